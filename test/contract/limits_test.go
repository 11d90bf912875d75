package contract

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// wantLimited checks an answer in the form of a client.
func wantLimited(t *testing.T, a *harness.Answer, err error, status int) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	after, _ := strconv.Atoi(a.Header.Get("Retry-After"))
	if a.Status != status || after < 1 || !strings.Contains(string(a.Body), `"error":"Too many`) {
		t.Errorf("%d, Retry-After %q, %s; want %d", a.Status, a.Header.Get("Retry-After"), a.Body, status)
	}
}

func TestRateLimit(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--rate-limit", "0.2", "--rate-burst", "20"}})
	get := func(path, token string) (*harness.Answer, error) { return w.server.Do("GET", path, token, nil) }
	limited := false
	for range 30 {
		a, err := get("/api/v4/version", w.server.RootToken)
		if err != nil {
			t.Fatal(err)
		}
		limited = limited || a.Status == http.StatusTooManyRequests
	}
	if !limited {
		t.Fatal("30 requests at once are not limited to 20")
	}
	for _, path := range []string{"/api/v4/projects/1/packages/npm/x", "/api/v4/projects/1/packages/pypi/simple/x", "/api/v4/projects/1/packages/nuget/index.json"} {
		a, err := get(path, w.server.RootToken)
		wantLimited(t, a, err, http.StatusTooManyRequests)
	}
	for range 40 {
		for _, path := range []string{"/-/health", "/-/liveness", "/-/readiness"} {
			if a, err := get(path, ""); err != nil || a.Status != 200 {
				t.Fatalf("%s: %v, %v", path, a, err)
			}
		}
	}
}

// Uploads that stay half-open take no more than their share, and others go on.
func TestHalfOpenUploads(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--max-client-uploads", "30", "--trusted-proxy", "127.0.0.1"}})
	p := w.open()
	k := newPack()
	someone := w.user().as()
	address := strings.TrimPrefix(w.server.URL, "http://")
	waiting := func(n int) bool {
		a, err := w.server.Do("GET", "/metrics", w.server.RootToken, nil)
		return err == nil && strings.Contains(string(a.Body), fmt.Sprintf("packhouse_http_requests_in_flight %d\n", n+1))
	}
	hold := func(token string, n int) {
		for range n {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			fmt.Fprintf(conn, "PUT %s/%s HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\nPRIVATE-TOKEN: %s\r\nContent-Length: 100000\r\n\r\n{\"name\":", p.prefix(), k.name, token)
		}
	}
	hold(w.server.RootToken, 30)
	eventually(w, "30 uploads are half-open", func() bool { return waiting(30) })
	// That address has had its share, whatever its credential; others have theirs.
	request := func(from string) *harness.Answer {
		r, err := w.request(call{method: "PUT", path: p.prefix() + "/" + k.name, as: someone, body: k.document(), header: map[string]string{"X-Forwarded-For": from}})
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body := make([]byte, 1000)
		n, _ := response.Body.Read(body)
		return &harness.Answer{Status: response.StatusCode, Header: response.Header, Body: body[:n]}
	}
	wantLimited(t, request("192.0.2.7"), nil, http.StatusTooManyRequests)
	if a := request("192.0.2.8"); a.Status == http.StatusTooManyRequests {
		t.Errorf("another client: %d %s", a.Status, a.Body)
	}
	if a, err := w.server.Do("GET", "/-/readiness", "", nil); err != nil || a.Status != 200 {
		t.Errorf("readiness: %v, %v", a, err)
	}
}

// A push to a repository is an upload.
func TestHalfOpenPush(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--max-client-uploads", "1"}})
	p := w.open()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /%s.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nPRIVATE-TOKEN: %s\r\nContent-Type: application/x-git-receive-pack-request\r\nContent-Length: 100000\r\n\r\n00",
		p.PathWithNamespace, w.server.RootToken)
	eventually(w, "the push has begun", func() bool { // before anything else takes its place
		a, err := w.server.Do("GET", "/metrics", w.server.RootToken, nil)
		return err == nil && strings.Contains(string(a.Body), "packhouse_http_requests_in_flight 2\n")
	})
	eventually(w, "the push counts", func() bool {
		return w.send(putZip(p, w.root(), libZip(newLib(), "1.0.0"))).status == http.StatusTooManyRequests
	})
	conn.Close()
	eventually(w, "it has ended", func() bool {
		return w.send(putZip(p, w.root(), libZip(newLib(), "1.0.0"))).status == http.StatusCreated
	})
}
