package gitrepo

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"packhouse/internal/registry"
)

// What a client asks for is no pack, and has fewer bytes.
func TestFetchTooLarge(t *testing.T) {
	r := open(t)
	filled(t, r, 1)
	url := serve(t, r, 1<<30) + "/1.git/" + UploadPack
	have := "0032have " + strings.Repeat("1", 40) + "\n"
	answer, err := http.Post(url, "application/x-git-upload-pack-request", strings.NewReader(strings.Repeat(have, maxRequest/len(have)+1)))
	if err != nil || answer.StatusCode != http.StatusBadRequest {
		t.Errorf("%v %v", answer, err)
	}
	// Of one whose length nobody knows, no more is read.
	endless := &repeating{text: have}
	if answer, err = http.Post(url, "application/x-git-upload-pack-request", endless); err == nil {
		answer.Body.Close()
	}
	if read := endless.read.Load(); read > 3*maxRequest {
		t.Errorf("%d bytes were read", read)
	}
}

func TestFetch(t *testing.T) {
	r := open(t)
	work := filled(t, r, 1)
	remote := Remote{URL: serve(t, r, 1<<30) + "/1.git", Local: true, MaxSize: 1 << 30}
	if err := r.Fetch(t.Context(), 2, remote); err != nil {
		t.Fatal(err)
	}
	one, _ := r.State(t.Context(), 1)
	two, err := r.State(t.Context(), 2)
	if err != nil || len(two.Changes(one))+len(one.Changes(two)) > 0 {
		t.Errorf("%v, want %v, %v", two, one, err)
	}
	// What moves backwards and what goes is followed too.
	git(t, work, "push", "--quiet", "--force", remote.URL, "v1:refs/heads/main", ":refs/heads/topic/a", ":refs/tags/v2")
	if err := r.Fetch(t.Context(), 2, remote); err != nil {
		t.Fatal(err)
	}
	two, _ = r.State(t.Context(), 2)
	if len(two) != 2 || two["refs/heads/main"] != two["refs/tags/v1"] {
		t.Errorf("%v", two)
	}
	remote.Local = false
	if err := r.Fetch(t.Context(), 2, remote); registry.KindOf(err) != registry.Invalid {
		t.Errorf("a remote on this machine: %v", err)
	}
	remote.Local, remote.URL = true, serve(t, r, 1)+"/x.git"
	if err := r.Fetch(t.Context(), 2, remote); registry.KindOf(err) != registry.Unavailable || !strings.Contains(registry.MessageOf(err), "not found") {
		t.Errorf("no remote: %v", err)
	}
	elsewhere := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	defer elsewhere.Close()
	remote.URL = elsewhere.URL + "/1.git"
	if err := r.Fetch(t.Context(), 2, remote); registry.KindOf(err) != registry.Unavailable {
		t.Errorf("a redirect: %v", err)
	}
	// The password is the remote's alone, and not among the arguments.
	got := ""
	asks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		user, password, _ := q.BasicAuth()
		got = user + " " + password
		http.NotFound(w, q)
	}))
	defer asks.Close()
	remote.URL, remote.User, remote.Password = asks.URL+"/1.git", "me", "sec ret"
	err = r.Fetch(t.Context(), 2, remote)
	if got != "me sec ret" || err == nil || strings.Contains(err.Error(), "sec ret") || strings.Contains(err.Error(), "c2VjIHJldA") {
		t.Errorf("%q, %v", got, err)
	}
}

// A Git that does not heed where a fetch may lead is none.
func TestOldGit(t *testing.T) {
	for said, want := range map[string]bool{"git version 2.39.5 (Apple Git-154)": true, "git version 2.38.0.windows.1": true, "git version 3.0": true, "git version 2.37.9": false, "git version 1.99": false, "GNU bash": false} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "git"), []byte("#!/bin/sh\necho '"+said+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", folder)
		r, err := Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Ready(); (err == nil) != want {
			t.Errorf("%s: %v", said, err)
		}
	}
}

// Hosts that curl would take for addresses, or for another name than the one that was looked up.
func TestParseRemote(t *testing.T) {
	for text, want := range map[string]bool{"https://git.example.com/a.git": true, "http://127.0.0.1:8080/a": true, "http://[::1]/a": true, "https://1.example.com/a": true, "https://a_b.example/": true,
		"http://127.1/a": false, "http://2130706433/a": false, "http://0x7f000001/a": false, "http://0X7F.0.0.0x1/a": false, "http://0177.0.0.01/a": false, "http://127.0.0.1./a": false, "https://git.example.com./a": false} {
		if _, err := ParseRemote(text); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestPinned(t *testing.T) {
	for remote, want := range map[string]string{"https://git.example.com/a": "[[http.curloptResolve git.example.com:443:[2606::1]]]", "http://git.example.com/a": "[[http.curloptResolve git.example.com:80:[2606::1]]]",
		"http://git.example.com:8080/a": "[[http.curloptResolve git.example.com:8080:[2606::1]]]", "http://[2606::1]:8080/a": "[]", "https://192.0.2.1/a": "[]"} {
		u, err := ParseRemote(remote)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(pinned(u, netip.MustParseAddr("2606::1"))); got != want {
			t.Errorf("%s: %s", remote, got)
		}
	}
	u, _ := ParseRemote("https://git.example.com/a") // a good one
	if got := fmt.Sprint(pinned(u, netip.MustParseAddr("192.0.2.1"))); got != "[[http.curloptResolve git.example.com:443:192.0.2.1]]" {
		t.Error(got)
	}
}

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{"93.184.216.34": true, "2606:2800:220:1::1": true, "127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "0.0.0.0": false,
		"100.64.0.1": false, "::1": false, "fe80::1": false, "fd00::1": false, "224.0.0.1": false, "255.255.255.255": false, "198.18.0.1": false, "64:ff9b::a00:1": false, "2001:db8::1": false, "::7f00:1": false, "fec0::1": false, "3fff::1": false} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

// What passes as the URL of a remote is http or https, and no option.
func FuzzParseRemote(f *testing.F) {
	for _, text := range []string{"https://git.example.com/a.git", "http://[::1]:8080/a", "ext::sh -c id", "file:///etc", "--upload-pack=id", "http://a\nb", "http://u:p@h/", "git@h:a", "http://h/?q"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseRemote(text)
		if err != nil {
			if registry.KindOf(err) != registry.Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || !strings.HasPrefix(u.String(), u.Scheme+"://") || strings.ContainsAny(u.String(), " \n\x00") || strings.HasPrefix(u.Hostname(), "-") {
			t.Errorf("%q passes as %q", text, u)
		}
	})
}
