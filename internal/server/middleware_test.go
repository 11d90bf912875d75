package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
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
