package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"packhouse/test/harness"
)

// The names of the peers in the report.
const (
	verdaccioName  = "verdaccio"
	devpiName      = "devpi"
	pypiserverName = "pypiserver"
)

// peerServer is another server that does the same work.
type peerServer struct {
	system string
	url    string // without a slash at its end
	cmd    *exec.Cmd
	dir    string // of its data
	output bytes.Buffer
	gone   chan struct{} // closed when the process has ended
}

// errNoPeer says that a peer is not on this machine.
var errNoPeer = errors.New("not installed")

// startPeer runs a program of `scripts/tools.sh bench` on a free port and returns when it answers at path. Its arguments
// are made by args from its folder and address, host:port. prepare runs before it. errNoPeer when there is no such program.
func (b *bench) startPeer(system, program, path string, prepare func(dir string) error, args func(dir, address string) []string, env ...string) (*peerServer, error) {
	if !b.peers {
		return nil, errNoPeer
	}
	binary, err := harness.Tool(program)
	if err != nil {
		fmt.Fprintf(b.log, " %s is not on this machine (scripts/tools.sh bench): nothing to compare with ...", program)
		return nil, errNoPeer
	}
	p := &peerServer{system: system, dir: filepath.Join(b.dir, system), gone: make(chan struct{})}
	if err := os.Mkdir(p.dir, 0o755); err != nil {
		return nil, err
	}
	if prepare != nil {
		if err := prepare(p.dir); err != nil {
			return nil, fmt.Errorf("%s: %w", system, err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	listener.Close()
	p.url = "http://" + address
	p.cmd = exec.Command(binary, args(p.dir, address)...)
	p.cmd.Dir, p.cmd.Env = p.dir, append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.cmd.Wait(); close(p.gone) }()
	b.ends, b.running = append(b.ends, p.stop), append(b.running, p)
	b.command(shellQuote(append([]string{program}, p.cmd.Args[1:]...)))
	for began := time.Now(); ; {
		if response, _, err := get(b.ctx, p.url+path, nil); err == nil && response.StatusCode < 500 {
			return p, nil
		}
		select {
		case <-p.gone:
			return nil, fmt.Errorf("%s ended:\n%s", system, &p.output)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(began) > 3*time.Minute || b.ctx.Err() != nil {
			p.stop()
			return nil, fmt.Errorf("%s does not answer:\n%s", system, &p.output)
		}
	}
}

func (p *peerServer) pid() int { return p.cmd.Process.Pid }

func (p *peerServer) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	force := time.AfterFunc(10*time.Second, func() { p.cmd.Process.Kill() })
	defer force.Stop()
	<-p.gone
}

// once makes something when it is first asked for. What cannot be had, because
// it is not installed, is nil without an error.
type once[T any] struct {
	done  bool
	value *T
}

func (o *once[T]) get(make func() (*T, error)) (*T, error) {
	if o.done {
		return o.value, nil
	}
	value, err := make()
	if err != nil && !errors.Is(err, errNoPeer) {
		return nil, err
	}
	if err != nil {
		value = nil
	}
	o.done, o.value = true, value
	return value, nil
}

// verdaccioConf: packages are private as in the project of Packhouse, and who asks is told by a signed token, which costs it
// less than the password that its tokens hold otherwise. There is no registry behind it, no page for people, no log of
// requests, and no limit on them.
const verdaccioConf = `storage: ./storage
auth:
  htpasswd:
    file: ./htpasswd
security:
  api:
    jwt:
      sign:
        expiresIn: 1d
uplinks: {}
packages:
  '**':
    access: $authenticated
    publish: $authenticated
    unpublish: $authenticated
web:
  enable: false
max_body_size: 4gb
userRateLimit:
  max: 1000000
server:
  keepAliveTimeout: 600
log: { type: stdout, format: json, level: error }
`

// verdaccio is Verdaccio as one more npm registry; nil where it is not installed.
func (b *bench) verdaccio() (*npmRegistry, error) {
	return b.verdaccioOnce.get(func() (*npmRegistry, error) {
		p, err := b.startPeer(verdaccioName, "verdaccio", "/-/ping",
			func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(verdaccioConf), 0o644)
			},
			func(dir, address string) []string {
				return []string{"--config", filepath.Join(dir, "config.yaml"), "--listen", address}
			}, "NODE_ENV=production")
		if err != nil {
			return nil, err
		}
		var answer struct{ Token string }
		password := harness.Random()
		err = sendJSON(b.ctx, http.MethodPut, p.url+"/-/user/org.couchdb.user:bencher", nil, map[string]any{"name": "bencher", "password": password}, &answer)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.system, err)
		}
		b.secrets = append(b.secrets, answer.Token, "$TOKEN")
		return &npmRegistry{
			bench: b, system: p.system, role: peer, pid: p.pid, base: func() string { return p.url },
			header: http.Header{"Authorization": {"Bearer " + answer.Token}}, folder: filepath.Join(p.dir, "storage"), packages: map[string][]npmExpected{},
		}, nil
	})
}

// devpi is devpi-server with an index of its own and none behind it, read by anybody, as its indexes are; uploads come
// with the token of a login, as `devpi upload` sends them. nil where it is not installed.
func (b *bench) devpi() (*pypiIndex, error) {
	return b.devpiOnce.get(func() (*pypiIndex, error) {
		initialize, err := harness.Tool("devpi-init")
		if err != nil {
			return nil, errNoPeer
		}
		p, err := b.startPeer(devpiName, "devpi-server", "/+api",
			func(dir string) error {
				out, err := exec.CommandContext(b.ctx, initialize, "--serverdir", filepath.Join(dir, "data"), "--no-root-pypi").CombinedOutput()
				if err != nil {
					return fmt.Errorf("devpi-init: %w\n%s", err, out)
				}
				// Warnings and errors only.
				return os.WriteFile(filepath.Join(dir, "log.json"), []byte(`{"version": 1, "disable_existing_loggers": false, "handlers": {"h": {"class": "logging.StreamHandler"}}, "root": {"level": "WARNING", "handlers": ["h"]}}`), 0o644)
			},
			func(dir, address string) []string {
				return []string{"--serverdir", filepath.Join(dir, "data"), "--listen", address, "--logger-cfg", filepath.Join(dir, "log.json"), "--offline-mode", "--max-request-body-size", fmt.Sprint(int64(8) << 30)}
			})
		if err != nil {
			return nil, err
		}
		password := harness.Random()
		var login struct{ Result struct{ Password string } }
		header := http.Header{}
		for _, call := range []struct {
			method, path string
			body         map[string]any
		}{
			{http.MethodPut, "/bencher", map[string]any{"password": password}},
			{http.MethodPost, "/+login", map[string]any{"user": "bencher", "password": password}},
			{http.MethodPut, "/bencher/bench", map[string]any{"type": "stage", "bases": []string{}}},
		} {
			if err := sendJSON(b.ctx, call.method, p.url+call.path, header, call.body, &login); err != nil {
				return nil, fmt.Errorf("%s: %w", p.system, err)
			}
			if call.path == "/+login" {
				token := base64.StdEncoding.EncodeToString([]byte("bencher:" + login.Result.Password))
				header = http.Header{"X-Devpi-Auth": {token}}
			}
		}
		return &pypiIndex{
			bench: b, system: p.system, role: peer, pid: p.pid, upload: p.url + "/bencher/bench/", simple: p.url + "/bencher/bench/+simple/",
			uploadHeader: header, readHeader: http.Header{},
		}, nil
	})
}

// pypiserver serves a folder, read by anybody; uploads come with a password, of which it keeps a hash that is quick to
// compare. It finds waitress by itself, which answers several requests at a time. nil where it is not installed.
func (b *bench) pypiserver() (*pypiIndex, error) {
	return b.pypiserverOnce.get(func() (*pypiIndex, error) {
		password := harness.Random()
		p, err := b.startPeer(pypiserverName, "pypi-server", "/",
			func(dir string) error {
				if err := os.Mkdir(filepath.Join(dir, "packages"), 0o755); err != nil {
					return err
				}
				sum := sha1.Sum([]byte(password))
				return os.WriteFile(filepath.Join(dir, "htpasswd"), fmt.Appendf(nil, "bencher:{SHA}%s\n", base64.StdEncoding.EncodeToString(sum[:])), 0o644)
			},
			func(dir, address string) []string {
				host, port, _ := strings.Cut(address, ":")
				return []string{"run", "--interface", host, "--port", port, "--passwords", filepath.Join(dir, "htpasswd"), "--authenticate", "update",
					"--disable-fallback", "--log-stream", "none", filepath.Join(dir, "packages")}
			})
		if err != nil {
			return nil, err
		}
		request := http.Request{Header: http.Header{}}
		request.SetBasicAuth("bencher", password)
		return &pypiIndex{
			bench: b, system: p.system, role: peer, pid: p.pid, upload: p.url + "/", simple: p.url + "/simple/",
			uploadHeader: request.Header, readHeader: http.Header{},
		}, nil
	})
}

// sendJSON sends a body and reads the answer, whose status must be a success.
func sendJSON(ctx context.Context, method, url string, header http.Header, body, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(mustJSON(body)))
	if err != nil {
		return err
	}
	if header != nil {
		request.Header = header.Clone()
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: status %d: %s", method, url, response.StatusCode, text)
	}
	return json.Unmarshal(text, answer)
}
