package blobtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// S3 returns the s3:// URL of a new, empty bucket. It fails the test where the S3 server is not installed.
func S3(t testing.TB) string {
	t.Helper()
	location, _, err := CreateBucket()
	if err != nil {
		t.Fatal(err)
	}
	return location
}

// CreateBucket is S3 for those who have no test, with the folder of the bucket's objects. All buckets of a test process are of one server, which is started when
// the first is asked for and ends with the process. Its credentials are set in the environment, where processes that the
// test starts find them, too.
func CreateBucket() (location, folder string, err error) {
	s, err := theServer()
	if err != nil {
		return "", "", err
	}
	return s.NewBucket()
}

// Server is an S3 server of a test.
type Server struct {
	URL     string // of the server
	Folder  string // of its objects
	program string
	address string
	hold    io.WriteCloser // its standard input; while it is open the server runs
	gone    chan struct{}
}

var theServer = sync.OnceValues(func() (*Server, error) { return StartServer("127.0.0.1") })

// NewBucket makes a bucket, which for this server is a folder.
func (s *Server) NewBucket() (location, folder string, err error) {
	name := "t-" + strings.ToLower(rand.Text())
	folder = filepath.Join(s.Folder, name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		return "", "", err
	}
	return "s3://" + name + "/registry?" + url.Values{"endpoint": {s.URL}, "region": {"us-east-1"}, "lookup": {"path"}}.Encode(), folder, nil
}

// superviseS3 keeps a server while its standard input is open, which the kernel closes however the test process ends; then
// the folder goes, too, unless a word came before.
const superviseS3 = `
folder=$1; shift
"$@" </dev/null >/dev/null 2>&1 &
server=$!
read word
kill -KILL $server
wait $server
[ "$word" ] || rm -rf "$folder"
`

// StartServer starts a server on an address of this machine.
func StartServer(host string) (_ *Server, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("blobtest: the S3 server does not start: %w", err)
		}
	}()
	program, err := findServer()
	if err != nil {
		return nil, err
	}
	os.Setenv("AWS_ACCESS_KEY_ID", "test")
	os.Setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
	folder, err := os.MkdirTemp("", "packhouse-s3-")
	if err != nil {
		return nil, err
	}
	for range 5 { // another process may take the port that was found free
		s := &Server{Folder: folder, program: program}
		listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, err
		}
		s.address = listener.Addr().String()
		listener.Close()
		s.URL = "http://" + s.address
		if err := s.Start(); err == nil {
			return s, nil
		}
	}
	return nil, errors.New("it does not answer")
}

// Start starts the server again, after a Stop.
func (s *Server) Start() error {
	server := exec.Command("/bin/sh", "-c", superviseS3, "sh", s.Folder, s.program, "--port", s.address, "--quiet", "posix", s.Folder)
	server.Env = append(os.Environ(), "ROOT_ACCESS_KEY=test", "ROOT_SECRET_KEY=test-secret")
	hold, err := server.StdinPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	gone := make(chan struct{})
	go func() { server.Wait(); close(gone) }()
	s.hold, s.gone = hold, gone
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
			return nil
		}
		select {
		case <-gone:
			return errors.New("it ended")
		case <-ctx.Done():
			s.Stop()
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop kills the server. Its objects stay, until Remove.
func (s *Server) Stop() {
	io.WriteString(s.hold, "keep\n")
	s.hold.Close()
	<-s.gone
}

// Remove ends the server for good.
func (s *Server) Remove() {
	s.hold.Close()
	<-s.gone
	os.RemoveAll(s.Folder)
}

// findServer looks where `make tools` puts programs, and in PATH.
func findServer() (string, error) {
	for folder, _ := os.Getwd(); folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		if path, err := exec.LookPath(filepath.Join(folder, "bin", "tools", "versitygw")); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath("versitygw")
	if err != nil {
		return "", errors.New("versitygw is missing; `make tools` installs it")
	}
	return path, nil
}
