package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An answer that net/http writes in several pieces arrives in one packet, whether it comes from memory or from a file.
func TestCork(t *testing.T) {
	s := open(t, nil)
	bodies := map[string]string{} // by path
	for _, size := range []int{1 << 10, 5 << 10, 20 << 10} {
		body := strings.Repeat("x", size)
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		memory, disk := fmt.Sprintf("/-/memory/%d", size), fmt.Sprintf("/-/disk/%d", size)
		bodies[memory], bodies[disk] = body, body
		s.mux.HandleFunc("GET "+memory, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			io.WriteString(w, body)
		})
		s.mux.HandleFunc("GET "+disk, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.http.Serve(tcpListener{listener})
	t.Cleanup(func() { s.http.Close() })
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for path, body := range bodies {
		const times = 20
		before := packets(t, conn)
		for range times {
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path)
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(response.Body); err != nil || string(got) != body {
				t.Fatalf("%s: %d bytes, want %d (%v)", path, len(got), len(body), err)
			}
		}
		if got := packets(t, conn) - before; got < times || got > times*5/4 { // one may be sent again
			t.Errorf("%s: %d answers came in %d packets", path, times, got)
		}
	}
}

// packets with data that a connection has received.
func packets(t *testing.T, conn net.Conn) int {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Data_segs_in)
}
