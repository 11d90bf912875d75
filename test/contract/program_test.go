package contract

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"packhouse/test/harness"
)

// program is packhouse as a person starts it, without the harness's flags.
type program struct {
	cmd    *exec.Cmd
	url    chan string
	exited chan error
	mu     sync.Mutex
	out    bytes.Buffer // standard output
	log    bytes.Buffer // standard error
}

// packhouse runs the program with only these variables set.
func packhouse(t *testing.T, env []string, args ...string) *program {
	t.Helper()
	binary, err := harness.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: exec.Command(binary, args...), url: make(chan string, 1), exited: make(chan error, 1)}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.cmd.Dir}, env...)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	both.Go(func() { p.follow(out, &p.out) })
	both.Go(func() { p.follow(log, &p.log) })
	go func() {
		both.Wait()
		p.exited <- p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
	})
	return p
}

var listening = regexp.MustCompile(`https?://[0-9.:\[\]]+`)

func (p *program) follow(r io.Reader, into *bytes.Buffer) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		p.mu.Lock()
		into.WriteString(line)
		p.mu.Unlock()
		if address := listening.FindString(line); address != "" && strings.Contains(line, "listening") {
			select {
			case p.url <- address:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *program) said() (out, log string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String(), p.log.String()
}

// address waits until the program listens.
func (p *program) address(t *testing.T) string {
	t.Helper()
	select {
	case address := <-p.url:
		return address
	case err := <-p.exited:
		_, log := p.said()
		t.Fatalf("ended before it listened: %v\n%s", err, log)
	case <-time.After(30 * time.Second):
		_, log := p.said()
		t.Fatalf("does not listen\n%s", log)
	}
	return ""
}

// end waits for the program's end, with a SIGTERM before when stop is true.
func (p *program) end(t *testing.T, stop bool) error {
	t.Helper()
	if stop {
		p.cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case err := <-p.exited:
		return err
	case <-time.After(30 * time.Second):
		p.cmd.Process.Kill()
		t.Fatal("does not end")
	}
	return nil
}

// world of a program that was started by hand.
func (p *program) world(t *testing.T, token string) *world {
	t.Helper()
	return &world{t, &harness.Server{URL: p.address(t), RootToken: secret(token)}, client}
}

func TestFirstStart(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	args := []string{"serve", "--data", data, "--listen", "127.0.0.1:0"}
	find := func(what, text string) string {
		match := regexp.MustCompile(what+`:\s+(\S+)\n`).FindAllStringSubmatch(text, -1)
		if len(match) != 1 {
			t.Fatalf("%s is there %d times in\n%s", what, len(match), text)
		}
		return match[0][1]
	}
	first := packhouse(t, nil, args...)
	w := first.world(t, "")
	eventually(t, "the token is printed", func() bool { out, _ := first.said(); return strings.Contains(out, "token:") })
	out, log := first.said()
	token, password := secret(find("token", out)), secret(find("password", out))
	if strings.Contains(log, token) || strings.Contains(log, password) {
		t.Error("the log has what was generated")
	}
	w.server.RootToken = token
	w.send(call{path: instance + "/-/whoami", as: w.root()}).want(t, 200).is(t, `{"username":"root"}`)
	secret(w.send(call{method: "PUT", path: instance + "/-/user/org.couchdb.user:root", body: map[string]string{"name": "root", "password": password}}).want(t, 201).says("token"))
	if err := first.end(t, true); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}

	second := packhouse(t, []string{"PACKHOUSE_ROOT_TOKEN=" + secret(harness.Random())}, args...)
	w = second.world(t, token)
	w.send(call{path: instance + "/-/whoami", as: w.root()}).want(t, 200)
	if out, _ := second.said(); strings.Contains(out, "token") || strings.Contains(out, "password") || strings.Contains(out, token) {
		t.Errorf("the second start prints %s", out)
	}
	if err := second.end(t, true); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}

	// Only what is not given is generated.
	third := packhouse(t, []string{"PACKHOUSE_ROOT_PASSWORD=" + secret(harness.Random())}, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0")
	third.address(t)
	eventually(t, "the token is printed", func() bool { out, _ := third.said(); return strings.Contains(out, "token:") })
	out, _ = third.said()
	secret(find("token", out))
	if strings.Contains(out, "password:") {
		t.Errorf("a given password is printed, or another one made:\n%s", out)
	}
	third.end(t, true)
}

// certificate makes one of its own for 127.0.0.1, in files.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cert, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pool
}

func trusting(pool *x509.CertPool) *http.Client {
	return &http.Client{Timeout: time.Minute, CheckRedirect: client.CheckRedirect,
		Transport: &http.Transport{DisableCompression: true, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

func TestTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	w := own(t, harness.Config{Args: []string{"--tls-cert", cert, "--tls-key", key}})
	if !strings.HasPrefix(w.server.URL, "https://127.0.0.1:") {
		t.Fatalf("URL %s", w.server.URL)
	}
	w.client = trusting(pool)
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	k := named("@" + home.Path + "/pack")
	sent := w.publish(p, w.root(), k)
	if got := w.download(instance, k.name, "1.0.0", anonymous); !bytes.Equal(got, sent) {
		t.Error("other bytes")
	}
	w.publishing(p, w.root(), k.document(), k.name).refused(t, 403, exists)
	for name, path := range map[string][]string{"only a certificate": {"--tls-cert", cert}, "only a key": {"--tls-key", key}, "a key that is none": {"--tls-cert", cert, "--tls-key", cert}} {
		t.Run("does not start with "+name, func(t *testing.T) {
			p := packhouse(t, nil, append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0"}, path...)...)
			if err := p.end(t, false); err == nil {
				t.Error("ended well")
			}
			if _, log := p.said(); !strings.Contains(log, "tls") {
				t.Errorf("says %s", log)
			}
		})
	}
}

// Every option is an environment variable too.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	cert, key, pool := certificate(t)
	token := harness.Random()
	data, database, store := filepath.Join(folder, "data"), filepath.Join(folder, "elsewhere", "meta.db"), filepath.Join(folder, "files")
	env := []string{
		"PACKHOUSE_DATA=" + data, "PACKHOUSE_LISTEN=127.0.0.1:0", "PACKHOUSE_URL=https://packages.example.com/", "PACKHOUSE_DATABASE=" + database, "PACKHOUSE_BLOBS=" + store,
		"PACKHOUSE_TLS_CERT=" + cert, "PACKHOUSE_TLS_KEY=" + key, "PACKHOUSE_MAX_FILE_SIZE=10KiB", "PACKHOUSE_MAX_METADATA_SIZE=20000", "PACKHOUSE_DOCUMENT_CACHE=1MiB",
		"PACKHOUSE_SHUTDOWN_TIMEOUT=1s", "PACKHOUSE_AUDIT_RETENTION=1s", "PACKHOUSE_LOG_FORMAT=json", "PACKHOUSE_LOG_LEVEL=info", "PACKHOUSE_LOG_REQUESTS=errors",
		"PACKHOUSE_ROOT_TOKEN=" + token, "PACKHOUSE_ROOT_PASSWORD=" + secret(harness.Random()),
	}
	p := packhouse(t, env, "serve")
	w := p.world(t, token)
	w.client = trusting(pool)
	w.sub("PACKHOUSE_TLS_CERT, PACKHOUSE_TLS_KEY and PACKHOUSE_LISTEN", func(w *world) {
		if !strings.HasPrefix(w.server.URL, "https://127.0.0.1:") {
			w.Errorf("listens at %s", w.server.URL)
		}
	})
	home := w.group(harness.Public)
	to := w.project(home, harness.Public)
	k := newPack()
	w.publish(to, w.root(), k)
	w.sub("PACKHOUSE_ROOT_TOKEN, and nothing is printed", func(w *world) {
		w.send(call{path: instance + "/-/whoami", as: w.root()}).want(w, 200)
		if out, _ := p.said(); out != "" {
			w.Errorf("printed %s", out)
		}
	})
	w.sub("PACKHOUSE_URL", func(w *world) {
		if got := at(w.packument(to.prefix(), k.name, anonymous), "versions", "1.0.0", "dist", "tarball"); got != "https://packages.example.com"+to.prefix()+"/"+k.name+"/-/"+k.name+"-1.0.0.tgz" {
			w.Errorf("tarball at %v", got)
		}
		if got := w.send(call{method: "POST", path: instance + "/-/v1/login", body: "{}"}).must(w, 200).says("loginUrl"); !strings.HasPrefix(got, "https://packages.example.com/-/login/") {
			w.Errorf("login at %s", got)
		}
	})
	w.sub("PACKHOUSE_DATABASE, PACKHOUSE_BLOBS and PACKHOUSE_DATA", func(w *world) {
		if _, err := os.Stat(database); err != nil {
			w.Error(err)
		}
		files := 0
		filepath.WalkDir(store, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && d.Name() != "lock" {
				files++
			}
			return nil
		})
		if files != 1 {
			w.Errorf("%d files in %s", files, store)
		}
		if _, err := os.Stat(filepath.Join(p.cmd.Dir, "data")); err == nil {
			w.Error("the default folder was made")
		}
	})
	w.sub("PACKHOUSE_MAX_FILE_SIZE", func(w *world) {
		k := newPack()
		w.publishing(to, w.root(), k.documentOf(noise(10<<10+1)), k.name).want(w, 413)
	})
	w.sub("PACKHOUSE_MAX_METADATA_SIZE", func(w *world) {
		k := newPack()
		k.readme = strings.Repeat("x", 20001)
		w.publishing(to, w.root(), k.document(), k.name).want(w, 413)
	})
	w.sub("PACKHOUSE_LOG_FORMAT and PACKHOUSE_LOG_REQUESTS", func(w *world) {
		failed := w.send(call{path: "/failed"}).header.Get("X-Request-Id")
		succeeded := w.send(call{path: "/-/health"}).header.Get("X-Request-Id")
		w.send(call{path: "/failed"})
		eventually(w, "a failed request is logged", func() bool { _, log := p.said(); return strings.Contains(log, failed) })
		_, log := p.said()
		if strings.Contains(log, succeeded) {
			w.Error("a request that succeeded is logged")
		}
		if !strings.HasPrefix(log, "{") {
			w.Errorf("not JSON: %.200s", log)
		}
	})
	w.sub("PACKHOUSE_AUDIT_RETENTION", func(w *world) {
		eventually(w, "old events are removed", func() bool { return len(w.events("/audit_events", w.root())) == 0 })
	})
	w.sub("PACKHOUSE_SHUTDOWN_TIMEOUT", func(w *world) {
		text, _ := json.Marshal(newPack().document())
		body := newSlow(append(bytes.Repeat([]byte(" "), 5000), text...))
		done := make(chan struct{})
		go func() {
			w.try(call{method: "PUT", path: to.prefix() + "/late", as: w.root(), body: body})
			close(done)
		}()
		<-body.sent
		began := time.Now()
		p.end(w.T, true)
		if took := time.Since(began); took > 20*time.Second {
			w.Errorf("took %v", took)
		}
		close(body.release)
		<-done
	})
	_, log := p.said()
	for _, line := range leaks(log) {
		t.Errorf("the log holds a secret: %s", line)
	}

	for _, wrong := range []string{
		"PACKHOUSE_LISTEN=nowhere", "PACKHOUSE_URL=ftp://x", "PACKHOUSE_DATABASE=mysql://x", "PACKHOUSE_BLOBS=s3://x", "PACKHOUSE_TLS_CERT=/nowhere", "PACKHOUSE_MAX_FILE_SIZE=much",
		"PACKHOUSE_MAX_METADATA_SIZE=-1", "PACKHOUSE_DOCUMENT_CACHE=x", "PACKHOUSE_SHUTDOWN_TIMEOUT=x", "PACKHOUSE_AUDIT_RETENTION=x", "PACKHOUSE_AUDIT_RETENTION=-1h", "PACKHOUSE_LOG_FORMAT=xml", "PACKHOUSE_LOG_LEVEL=loud", "PACKHOUSE_LOG_REQUESTS=some",
		"PACKHOUSE_ROOT_PASSWORD=short", "PACKHOUSE_MAX_FILES=0", "PACKHOUSE_NPM_UPSTREAM=registry.example.com",
	} {
		t.Run("does not start with "+wrong, func(t *testing.T) {
			p := packhouse(t, []string{"PACKHOUSE_DATA=" + t.TempDir(), "PACKHOUSE_LISTEN=127.0.0.1:0", wrong}, "serve")
			if err := p.end(t, false); err == nil {
				t.Error("ended well")
			}
			if _, log := p.said(); len(strings.TrimSpace(log)) == 0 || strings.Contains(log, "goroutine ") {
				t.Errorf("says %q", log)
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args []string
		says string // on standard output
		fail bool
	}{
		{[]string{"version"}, "packhouse ", false},
		{[]string{"help"}, "serve", false},
		{[]string{"--help"}, "serve", false},
		{[]string{}, "serve", false},
		{[]string{"serve", "--help"}, "PACKHOUSE_DATA", false},
		{[]string{"help", "serve"}, "--listen", false},
		{[]string{"nothing"}, "", true},
		{[]string{"serve", "--nothing"}, "", true},
		{[]string{"admin", "token", "--data", "/nowhere"}, "", true},
	} {
		t.Run("packhouse "+strings.Join(row.args, " "), func(t *testing.T) {
			p := packhouse(t, nil, row.args...)
			err := p.end(t, false)
			out, log := p.said()
			if (err != nil) != row.fail || !strings.Contains(out, row.says) || row.fail && log == "" {
				t.Errorf("%v\n%s\n%s", err, out, log)
			}
		})
	}
	t.Run("packhouse serve --help names every flag's variable", func(t *testing.T) {
		p := packhouse(t, nil, "serve", "--help")
		p.end(t, false)
		out, _ := p.said()
		for _, name := range []string{"DATA", "LISTEN", "URL", "DATABASE", "BLOBS", "TLS_CERT", "TLS_KEY", "MAX_FILE_SIZE", "MAX_METADATA_SIZE", "DOCUMENT_CACHE", "SHUTDOWN_TIMEOUT", "LOG_FORMAT", "LOG_LEVEL", "LOG_REQUESTS", "ROOT_PASSWORD", "ROOT_TOKEN"} {
			if !strings.Contains(out, "PACKHOUSE_"+name) {
				t.Errorf("PACKHOUSE_%s is not mentioned", name)
			}
		}
	})
}
