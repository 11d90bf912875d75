// Package harness builds packhouse and runs it for tests and benchmarks: the
// real binary, in a process of its own, on a port that the system picks, with
// a data folder that nobody else uses. What a test needs before it can begin,
// users, groups, projects and tokens, is made through the management API
// (api.go), as an administrator's script would.
package harness

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startBound = 30 * time.Second // the server says where it listens within this time
	stopBound  = 30 * time.Second // and is gone within this time of a SIGTERM
)

// Root is the folder of the module that the working folder lies in.
var Root = sync.OnceValues(func() (string, error) {
	gomod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("harness: go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(gomod))), nil
})

var build struct {
	sync.Mutex
	path string
}

// Build compiles cmd/packhouse, once a process, and returns the path of the
// binary. Test processes that run at the same time share that path: each puts
// its binary there by a rename, so none ever runs half a file.
func Build(ctx context.Context) (path string, err error) {
	build.Lock()
	defer build.Unlock()
	if build.path != "" {
		return build.path, nil
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	temporary := filepath.Join(bin, fmt.Sprintf("packhouse-test-%d", os.Getpid()))
	defer os.Remove(temporary)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", temporary, "./cmd/packhouse")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if os.Getenv("PACKHOUSE_TEST_RACE") != "" { // slower, and a race anywhere ends the server with an error
		cmd.Args = slices.Insert(cmd.Args, 2, "-race")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GORACE=halt_on_error=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("harness: go build ./cmd/packhouse: %w\n%s", err, out)
	}
	path = filepath.Join(bin, "packhouse-test")
	if err := os.Rename(temporary, path); err != nil {
		return "", err
	}
	build.path = path
	return path, nil
}

// Config says how to start a server. The zero value is a fresh server with
// generated secrets.
type Config struct {
	Data         string   // data folder; a new temporary one when empty, which Stop and Kill remove
	Listen       string   // 127.0.0.1:0 when empty
	RootPassword string   // generated when empty
	RootToken    string   // generated when empty
	Args         []string // after those that the harness gives to "packhouse serve"
	Env          []string // after the environment of this process, KEY=value
	OwnPassword  bool     // the server makes root's password itself, as it does for people; Output has it

	// Dial connects to the server where it is in another network than the test; nil: it is not.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// RootCAs are what Do trusts when Args give the server a certificate.
	RootCAs *x509.CertPool
}

// Server is a running packhouse. Its methods may be called at the same time.
type Server struct {
	URL          string // base URL, without a slash at its end
	Data         string // data folder
	RootToken    string // personal access token of the user root, scope api
	RootPassword string
	PID          int

	config  Config
	client  *http.Client
	ownData bool
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process is gone; exitErr is set then
	exitErr error

	mu     sync.Mutex
	log    bytes.Buffer
	output bytes.Buffer
}

// Start builds packhouse, runs "packhouse serve" and returns when it listens.
// ctx bounds the start only; the server runs until Stop or Kill.
func Start(ctx context.Context, config Config) (_ *Server, err error) {
	binary, err := Build(ctx)
	if err != nil {
		return nil, err
	}
	if config.Listen == "" {
		config.Listen = "127.0.0.1:0"
	}
	if config.RootPassword == "" {
		config.RootPassword = Random()
	}
	if config.RootToken == "" {
		config.RootToken = Random()
	}
	s := &Server{
		Data: config.Data, RootToken: config.RootToken, RootPassword: config.RootPassword,
		config: config, client: newClient(config), exited: make(chan struct{}),
	}
	if s.Data == "" {
		if s.Data, err = os.MkdirTemp("", "packhouse-"); err != nil {
			return nil, err
		}
		s.ownData = true
	}
	s.cmd = exec.Command(binary, append([]string{"serve",
		"--data", s.Data, "--listen", config.Listen, "--log-format", "json"}, config.Args...)...)
	s.cmd.Env = append(append(os.Environ(),
		"PACKHOUSE_ROOT_PASSWORD="+config.RootPassword,
		"PACKHOUSE_ROOT_TOKEN="+config.RootToken), config.Env...)
	if config.OwnPassword {
		s.cmd.Env = append(s.cmd.Env, "PACKHOUSE_ROOT_PASSWORD=")
		s.RootPassword = ""
	}
	s.cmd.Stdout = printed{s}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.PID = s.cmd.Process.Pid
	listening := make(chan string, 1)
	go s.follow(stderr, listening)

	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	select {
	case s.URL = <-listening:
		return s, nil
	case <-s.exited:
		err = fmt.Errorf("harness: packhouse ended before it listened: %v\n%s", s.exitErr, s.Log())
	case <-ctx.Done():
		err = fmt.Errorf("harness: packhouse does not listen: %w\n%s", context.Cause(ctx), s.Log())
	}
	s.Kill()
	return nil, err
}

// follow keeps the log, tells the first address that stands in it, and reaps
// the process at its end.
func (s *Server) follow(stderr io.Reader, listening chan<- string) {
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadBytes('\n')
		s.mu.Lock()
		s.log.Write(line)
		s.mu.Unlock()
		var entry struct{ Msg, URL string }
		if json.Unmarshal(line, &entry) == nil && entry.Msg == "listening" {
			select {
			case listening <- strings.TrimSuffix(entry.URL, "/"):
			default:
			}
		}
		if err != nil {
			break
		}
	}
	s.exitErr = s.cmd.Wait()
	close(s.exited)
}

// Stop asks the server to end and waits for it. An exit status other than
// zero is an error, and so is a server that must be killed.
func (s *Server) Stop() error {
	defer s.removeData()
	return s.stop()
}

func (s *Server) stop() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(stopBound):
		s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("harness: packhouse still ran %v after SIGTERM\n%s", stopBound, s.Log())
	}
	if s.exitErr != nil {
		return fmt.Errorf("harness: packhouse: %w\n%s", s.exitErr, s.Log())
	}
	return nil
}

// Kill ends the server as a power cut would: at once, with nothing flushed.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	<-s.exited
	s.removeData()
}

func (s *Server) removeData() {
	if s.ownData {
		os.RemoveAll(s.Data)
	}
}

// Restart stops the server and starts it again with the same data at the same
// address. The receiver is of no use afterwards, the returned server takes
// its place.
func (s *Server) Restart(ctx context.Context) (*Server, error) {
	if err := s.stop(); err != nil {
		s.removeData()
		return nil, err
	}
	config := s.config
	_, config.Listen, _ = strings.Cut(s.URL, "://")
	config.Data = s.Data
	next, err := Start(ctx, config)
	if err != nil {
		s.removeData()
		return nil, err
	}
	next.ownData = s.ownData
	return next, nil
}

// Log is what the server has written to its standard error until now.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Output is what the server has written to its standard output until now.
func (s *Server) Output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.String()
}

// printed keeps what the server prints.
type printed struct{ s *Server }

func (p printed) Write(text []byte) (int, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.s.output.Write(text)
}

// Random is a text of 20 lower-case hex digits, different at each call: for
// secrets and for names that must not meet those of another test.
func Random() string {
	random := make([]byte, 10)
	rand.Read(random)
	return hex.EncodeToString(random)
}

// Tool is the path of a program that "make tools" provides: the package
// managers, PostgreSQL's programs, nginx, wrk.
func Tool(name string) (string, error) {
	tools, err := Tools()
	if err != nil {
		return "", err
	}
	path, err := exec.LookPath(filepath.Join(tools, name))
	if err != nil {
		return "", fmt.Errorf("%s is missing; `make tools` installs it", name)
	}
	return path, nil
}

// Tools is the folder where "make tools" puts the programs, each by its name.
func Tools() (string, error) {
	root, err := Root()
	return filepath.Join(root, "bin", "tools"), err
}
