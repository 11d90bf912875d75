package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v4/projects/7/packages/npm/hello":            "/api/v4/projects/7/packages/npm/hello",
		"/api/v4/packages/npm/-/user/token/secret":         "/api/v4/packages/npm/-/user/token/[redacted]",
		"/api/v4/packages/npm/-/npm/v1/tokens/token/ab/cd": "/api/v4/packages/npm/-/npm/v1/tokens/token/[redacted]",
		"/api/v4/packages/npm/-/v1/done/secret":            "/api/v4/packages/npm/-/v1/done/[redacted]",
		"/api/v4/packages/npm/%2D/user/t%6Fken/secret":     "/api/v4/packages/npm/-/user/token/[redacted]",
		"/api/v4/projects/a%2Fb/packages/npm/@x%2fy":       "/api/v4/projects/a%2Fb/packages/npm/@x%2fy",
		"/-/login/00ff": "/-/login/[redacted]",
		"/api/v4/packages/npm/-%2Fuser%2Ftoken%2Fsecret":            "/api/v4/packages/npm/-/user/token/[redacted]",
		"/api/v4/packages/npm/-/user%2ftoken/secret":                "/api/v4/packages/npm/-/user/token/[redacted]",
		"/nowhere/php_0123456789abcdefghijABCDEFGHIJ0123456789/end": "/nowhere/[redacted]/end",
	} {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := redact(u); got != want {
			t.Errorf("redact(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestCleanPath(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v4/user":                 "/api/v4/user",
		"/api/v4//user":                "/api/v4/user",
		"/api/v4/user/":                "/api/v4/user",
		"//api///v4/user//":            "/api/v4/user",
		"/api/v4/groups/a%2Fb//":       "/api/v4/groups/a%2Fb",
		"/-/assets/":                   "/-/assets/",
		"/api/v4/../user":              "",
		"/api/v4/./user":               "",
		"/api/v4/..":                   "",
		"/api/v4/projects/1/..%2fuser": "/api/v4/projects/1/..%2fuser", // for the route to judge: %2f may stand in a name
		"/.well-known/x":               "/.well-known/x",
	} {
		r := httptest.NewRequest("GET", "http://example.test"+path, nil)
		err := cleanPath(r)
		if got := r.URL.EscapedPath(); err == nil && got != want || err != nil && want != "" {
			t.Errorf("cleanPath(%q) = %q, %v; want %q", path, got, err, want)
		}
	}
}

// A panic is answered where nothing was answered yet, and counted; the server goes on.
func TestPanic(t *testing.T) {
	s := open(t, nil)
	s.mux.HandleFunc("GET /-/panic", func(http.ResponseWriter, *http.Request) { panic("on purpose") })
	do(t, s, http.StatusInternalServerError, "GET", "/-/panic", "")
	do(t, s, http.StatusOK, "GET", "/-/health", "")
}

// Only what a proxy of ours says is believed, and only its own last word.
func TestTrustProxy(t *testing.T) {
	s := &Server{config: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("fd00::/8")}}}
	for _, c := range []struct {
		story, peer, want string
		forwarded         []string
	}{
		{"a stranger says who they are", "203.0.113.9:5000", "203.0.113.9:5000", []string{"198.51.100.1"}},
		{"our proxy says nothing", "10.0.0.1:5000", "10.0.0.1:5000", nil},
		{"our proxy says who asks", "10.0.0.1:5000", "198.51.100.1:0", []string{"198.51.100.1"}},
		{"the client put something before it", "10.0.0.1:5000", "198.51.100.1:0", []string{"192.0.2.7, 198.51.100.1"}},
		{"in a header of its own", "10.0.0.1:5000", "198.51.100.1:0", []string{"192.0.2.7", "198.51.100.1"}},
		{"two proxies of ours", "127.0.0.1:5000", "198.51.100.1:0", []string{"192.0.2.7, 198.51.100.1, 10.1.2.3"}},
		{"nobody but proxies", "127.0.0.1:5000", "10.1.2.3:0", []string{"10.1.2.3"}},
		{"no address", "10.0.0.1:5000", "10.0.0.1:5000", []string{"198.51.100.1, unknown"}},
		{"IPv6", "[fd00::1]:5000", "[2001:db8::2]:0", []string{"2001:db8::2"}},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5000", "198.51.100.1:0", []string{"198.51.100.1"}},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		for _, line := range c.forwarded {
			r.Header.Add("X-Forwarded-For", line)
		}
		if s.trustProxy(r); r.RemoteAddr != c.want {
			t.Errorf("%s: the address is %s, want %s", c.story, r.RemoteAddr, c.want)
		}
	}
}

// An answer goes through in chunks, whole, whatever it comes from.
func TestReadFrom(t *testing.T) {
	for _, size := range []int{0, 1, answerChunk, answerChunk + 1, 2*answerChunk + 7} {
		body := strings.Repeat("x", size)
		for name, source := range map[string]io.Reader{
			"a reader": strings.NewReader(body), "a limited reader": &io.LimitedReader{R: strings.NewReader(body + "more"), N: int64(size)},
		} {
			recorder := httptest.NewRecorder()
			w := &response{ResponseWriter: recorder}
			n, err := w.ReadFrom(source)
			if err != nil || n != int64(size) || w.bytes != n || recorder.Body.String() != body {
				t.Errorf("%s of %d bytes: %d, %v, counted %d, arrived %d", name, size, n, err, w.bytes, recorder.Body.Len())
			}
		}
	}
}
