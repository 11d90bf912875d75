package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const nginxName = "nginx"

// nginx serves files from a folder of this run: the limit for reads.
type nginx struct {
	url string
	www string // folder that it serves
	cmd *exec.Cmd
}

// The settings that make nginx fast at this: no access log, sendfile,
// compression done beforehand, as many workers as cores. open_file_cache is not
// among them: with it nginx answers for a while with a file that has changed,
// and Packhouse never does. Connections live as long as those of a Go server,
// which sets no number of requests on them, and worker_connections leaves room
// for the load generator's. Everything that nginx writes lies in the folder of
// the run, so that it needs no rights.
const nginxConf = `%[1]s
daemon off;
worker_processes auto;
pid nginx.pid;
events { worker_connections 1024; }
http {
	access_log off;
	sendfile on;
	gzip_static on;
	gzip_vary on;
	keepalive_requests 1000000000;
	types { application/json json; text/html html; application/octet-stream tgz whl metadata; }
	client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
	server {
		listen %[2]s;
		root www;
	}
}
`

// findNginx returns the path of nginx, or exec.ErrNotFound.
func findNginx() (string, error) {
	// Debian keeps it where only root looks.
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// startNginx runs nginx on a free port. exec.ErrNotFound when there is none.
func startNginx(ctx context.Context, dir string) (_ *nginx, err error) {
	binary, err := findNginx()
	if err != nil {
		return nil, err
	}
	n := &nginx{www: filepath.Join(dir, "www")}
	for _, sub := range []string{"www", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	listener.Close()
	n.url = "http://" + address

	user := ""
	if os.Geteuid() == 0 {
		// Workers of a root nginx run as nobody, who cannot enter this folder.
		user = "user root;"
	}
	conf := fmt.Sprintf(nginxConf, user, address)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	var output bytes.Buffer
	n.cmd = exec.Command(binary, "-p", dir, "-c", "nginx.conf", "-e", "nginx.log")
	n.cmd.Stdout, n.cmd.Stderr = &output, &output
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	for range 500 {
		if _, _, err = get(ctx, n.url+"/", nil); err == nil {
			return n, nil
		}
		sleep(ctx, 10*time.Millisecond)
	}
	n.stop()
	return nil, fmt.Errorf("nginx does not answer: %w\n%s", err, &output)
}

func (n *nginx) pid() int { return n.cmd.Process.Pid }

func (n *nginx) stop() {
	n.cmd.Process.Signal(syscall.SIGTERM)
	n.cmd.Wait()
}

// putDocument gives nginx a document as Packhouse sent it, gzip bytes beside
// the plain ones, and returns a load that reads it with the same header. It
// fails unless nginx then answers those bytes.
func (n *nginx) putDocument(ctx context.Context, name string, zipped []byte, header http.Header) (loadOf, error) {
	plain, err := gunzip(zipped)
	if err != nil {
		return loadOf{}, err
	}
	if err := os.WriteFile(filepath.Join(n.www, name), plain, 0o644); err != nil {
		return loadOf{}, err
	}
	if err := os.WriteFile(filepath.Join(n.www, name+".gz"), zipped, 0o644); err != nil {
		return loadOf{}, err
	}
	return n.load(ctx, name, zipped, header)
}

// putFile gives nginx a file to send as it is.
func (n *nginx) putFile(ctx context.Context, name string, content []byte, header http.Header) (loadOf, error) {
	if err := os.WriteFile(filepath.Join(n.www, name), content, 0o644); err != nil {
		return loadOf{}, err
	}
	return n.load(ctx, name, content, header)
}

func (n *nginx) load(ctx context.Context, name string, want []byte, header http.Header) (loadOf, error) {
	l := loadOf{system: nginxName, role: limit, pid: n.pid(), url: n.url + "/" + name, header: header, status: http.StatusOK, length: len(want)}
	_, body, err := get(ctx, l.url, header)
	if err != nil {
		return l, err
	}
	if !bytes.Equal(body, want) {
		return l, fmt.Errorf("nginx: /%s: %d bytes that are not the %d of the file", name, len(body), len(want))
	}
	return l, nil
}

func gunzip(zipped []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, err
	}
	var plain bytes.Buffer
	_, err = plain.ReadFrom(reader)
	return plain.Bytes(), err
}
