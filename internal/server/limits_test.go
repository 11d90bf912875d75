package server

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whom a request counts for, however the credential comes.
func TestClients(t *testing.T) {
	from := func(address, header, value, query string) []client {
		r := httptest.NewRequest("GET", "/?"+query, nil)
		r.RemoteAddr = address
		if header != "" {
			r.Header.Set(header, value)
		}
		return clientsOf(r)
	}
	one := from("192.0.2.1:1", "Private-Token", "secret", "")
	if len(one) != 2 {
		t.Fatalf("%d clients of an address with a credential", len(one))
	}
	for name, same := range map[string][]client{
		"another port":   from("192.0.2.1:2", "Private-Token", "secret", ""),
		"as Bearer":      from("192.0.2.1:1", "Authorization", "Bearer secret", ""),
		"as Basic":       from("192.0.2.1:1", "Authorization", "Basic dTpzZWNyZXQ=", ""),
		"in the query":   from("192.0.2.1:1", "", "", "private_token=secret"),
		"as NuGet's key": from("192.0.2.1:1", "X-Nuget-Apikey", "secret", ""),
	} {
		if !slices.Equal(one, same) {
			t.Errorf("%s it is another client", name)
		}
	}
	if len(from("192.0.2.1:1", "", "", "")) != 1 {
		t.Error("nobody has a credential")
	}
	if other := from("192.0.2.2:1", "Private-Token", "secret", ""); other[0] == one[0] || other[1] != one[1] {
		t.Error("a credential counts by itself, from another address, too")
	}
	if !slices.Equal(from("[2001:db8::1]:1", "", "", ""), from("[2001:db8::ffff:2]:1", "", "", "")) || slices.Equal(from("[2001:db8::1]:1", "", "", ""), from("[2001:db8:0:1::1]:1", "", "", "")) {
		t.Error("an address of IPv6 is not its network of 64 bits")
	}
}

// Uploads beyond what the server takes at once are to come again, and have their turn when others have ended.
func TestUploadsAtOnce(t *testing.T) {
	l := newLimits(Limits{Uploads: 2, UploadsPerClient: 2, UploadTime: time.Hour})
	upload := func(address, path string) (func(), *httptest.ResponseRecorder) {
		r := httptest.NewRequest("POST", path, strings.NewReader("x"))
		r.RemoteAddr = address
		w := httptest.NewRecorder()
		done, _ := l.admit(w, r)
		return done, w
	}
	const npm, push = "/api/v4/projects/1/packages/npm/x", "/acme/tools.git/git-receive-pack"
	first, _ := upload("192.0.2.1:1", npm)
	second, _ := upload("192.0.2.2:1", push)
	if first == nil || second == nil {
		t.Fatal("two uploads are too many")
	}
	third, w := upload("192.0.2.3:1", push)
	if third != nil || w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("a third upload: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	first()
	if third, w = upload("192.0.2.2:1", npm); third == nil {
		t.Errorf("after one has ended: %d", w.Code)
	}
	second()
	third()
	if len(l.uploads) != 0 || l.all != 0 {
		t.Errorf("%d uploads of %d clients go on", l.all, len(l.uploads))
	}
}

// A body that goes on for too long ends, whether it is an upload or not.
func TestBodyTime(t *testing.T) {
	l := newLimits(Limits{UploadTime: time.Hour})
	for path, most := range map[string]time.Duration{"/api/v4/projects/1/packages/npm/x": time.Hour, "/a/b.git/git-receive-pack": time.Hour, "/api/v4/users": smallTime} {
		r := httptest.NewRequest("POST", path, strings.NewReader("x"))
		if done, admitted := l.admit(httptest.NewRecorder(), r); admitted {
			done()
		}
		body, ok := r.Body.(*boundedBody)
		if !ok || time.Until(body.until) > most || time.Until(body.until) < most-time.Minute {
			t.Fatalf("%s has a body of %T", path, r.Body)
		}
		body.until = time.Now()
		if _, err := io.ReadAll(r.Body); !errors.Is(err, errBodyTime) {
			t.Errorf("%s: %v after its time", path, err)
		}
	}
}
