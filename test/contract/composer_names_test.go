package contract

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"packhouse/test/harness"
)

// A name is of one project below a top-level group; of racing publishers one gets it.
func TestComposerNames(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	lib := newLib()
	p, q := w.project(g, harness.Private), w.project(w.group(harness.Public, g), harness.Public)
	w.lib(p, lib, "1.0.0")
	w.send(putZip(q, w.root(), libZip(lib, "2.0.0"))).want(w, 400).is(w, `{"message":"Validation failed: Name is already taken by another project"}`)
	w.lib(p, lib, "1.1.0")
	w.lib(w.open(), lib, "2.0.0") // elsewhere

	w.sub("free again when it is deleted", func(w *world) {
		for _, one := range w.send(call{path: fmt.Sprintf("/api/v4/projects/%d/packages?package_type=composer", p.ID), as: w.root()}).must(w, 200).list(w) {
			w.send(call{method: "DELETE", path: fmt.Sprintf("/api/v4/projects/%d/packages/%v", p.ID, one["id"]), as: w.root()}).must(w, 204)
		}
		if got := w.libVersions(p.composer(), lib, w.root()); got != nil {
			w.Errorf("%v", got)
		}
		w.lib(q, lib, "2.0.0")
		w.send(putZip(p, w.root(), libZip(lib, "3.0.0"))).want(w, 400)
	})
	w.sub("racing publishers", func(w *world) {
		for range 5 {
			lib := newLib()
			projects := []project{p, q, w.project(g, harness.Public), w.project(g, harness.Public)}
			statuses := make([]int, 2*len(projects))
			var all sync.WaitGroup
			for i := range statuses {
				all.Go(func() {
					a, err := w.try(putZip(projects[i%len(projects)], w.root(), libZip(lib, fmt.Sprintf("1.0.%d", i))))
					if err == nil {
						statuses[i] = a.status
					}
				})
			}
			all.Wait()
			owners := map[int]bool{}
			for i, status := range statuses {
				if status == 201 {
					owners[i%len(projects)] = true
				} else if status != 400 {
					w.Errorf("%v", statuses)
				}
			}
			if len(owners) != 1 {
				w.Errorf("%d projects have the name: %v", len(owners), statuses)
			}
		}
	})
	w.sub("racing publishers of one branch", func(w *world) {
		c := w.repository(q)
		lib := newLib()
		var last string
		for i := range 8 {
			last = c.commit(map[string]string{"composer.json": manifestOf(lib, ""), "n": fmt.Sprint(i)})
			c.push()
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					if a, err := w.try(fromRef(q, w.root(), "branch=main")); err != nil || a.status != 201 {
						w.Errorf("%v %v", a, err)
					}
				})
			}
			all.Wait()
		}
		if got := at(w.libVersions(q.composer(), lib, anonymous)["dev-main"], "dist", "reference"); got != last {
			w.Errorf("%v, want %s", got, last)
		}
	})
	w.sub("a move to where the name is taken", func(w *world) {
		other := w.group(harness.Public)
		here, there := w.project(g, harness.Public), w.project(other, harness.Public)
		lib := newLib()
		w.lib(here, lib, "1.0.0")
		w.lib(there, lib, "2.0.0")
		w.send(call{method: "PUT", path: "/api/v4" + of(there) + "/transfer", as: w.root(), body: map[string]any{"namespace": g.ID}}).want(w, 400)
		free := w.project(other, harness.Public)
		w.lib(free, newLib(), "1.0.0")
		w.send(call{method: "PUT", path: "/api/v4" + of(free) + "/transfer", as: w.root(), body: map[string]any{"namespace": g.ID}}).want(w, 200)
	})
}

// What a group shows is what its caller may read.
func TestComposerVisible(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	open, closed := w.project(g, harness.Public), w.project(g, harness.Private)
	shown, hidden := newLib(), newLib()
	w.lib(open, shown, "1.0.0")
	w.lib(closed, hidden, "1.0.0")
	guest := w.member(closed, harness.Guest)
	names := func(as credential) (all []string) {
		for _, name := range w.send(call{path: g.composer() + "/list.json", as: as}).must(w, 200).object(w)["packageNames"].([]any) {
			all = append(all, name.(string))
		}
		slices.Sort(all)
		return all
	}
	both := []string{shown, hidden}
	slices.Sort(both)
	stranger := w.user()
	for who, row := range map[string]struct {
		as     credential
		sees   []string
		status int // of the hidden one
	}{
		"nobody": {anonymous, []string{shown}, 401}, "a stranger": {stranger.as(), []string{shown}, 404}, "a guest": {guest.as(), both, 200}, "root": {w.root(), both, 200},
	} {
		w.sub(who, func(w *world) {
			if got := names(row.as); !slices.Equal(got, row.sees) {
				w.Errorf("%v, want %v", got, row.sees)
			}
			w.send(call{path: g.composer() + "/p2/" + hidden + ".json", as: row.as}).want(w, row.status)
			w.send(call{path: g.composer() + "/" + hidden + "$0123.json", as: row.as}).want(w, row.status)
			root := w.send(call{path: g.composer() + "/packages.json", as: row.as}).must(w, 200).object(w)
			providers := w.send(call{path: g.composer() + "/p/x.json", as: row.as}).must(w, 200).object(w)["providers"].(map[string]any)
			if !slices.Equal(slices.Sorted(maps.Keys(providers)), row.sees) || len(root["available-packages"].([]any)) != len(row.sees) {
				w.Errorf("%v, %v", providers, root)
			}
			found := w.send(call{path: g.composer() + "/search.json?q=library&per_page=1", as: row.as}).must(w, 200).object(w)
			if found["total"] != float64(len(row.sees)) || (found["next"] != nil) != (len(row.sees) > 1) {
				w.Errorf("%v", found)
			}
		})
	}
	if got := names(basic("x", stranger.token)); !slices.Equal(got, []string{shown}) {
		t.Errorf("%v", got)
	}
	a := w.send(call{path: g.composer() + "/list.json", as: private(wrong())}).want(w, 401)
	if a.header.Get("WWW-Authenticate") == "" {
		t.Error("no challenge")
	}
	// A filter, a vendor.
	for query, want := range map[string]int{"?filter=" + shown: 1, "?filter=acme/*": 2, "?filter=" + shown[:8] + "*": -1, "?vendor=acme": 2, "?vendor=other": 0, "?filter=(": 0, "?vendor=acme&filter=*lib*": 2} {
		got := w.send(call{path: g.composer() + "/list.json" + query, as: w.root()}).must(w, 200).object(w)["packageNames"].([]any)
		if want >= 0 && len(got) != want {
			t.Errorf("%s: %v", query, got)
		}
	}

	// What has changed, for those who keep a copy.
	first := w.send(call{path: g.composer() + "/changes.json", as: w.root()}).want(w, 400).object(w)
	since := fmt.Sprintf("%.0f", first["timestamp"])
	w.lib(open, shown, "1.1.0")
	actions := func(as credential, since string) map[string]string {
		all := map[string]string{}
		for _, one := range w.send(call{path: g.composer() + "/changes.json?since=" + since, as: as}).must(w, 200).object(w)["actions"].([]any) {
			all[at(one, "package").(string)] = at(one, "type").(string)
		}
		return all
	}
	if got := actions(anonymous, since); got[shown] != "update" || got[shown+"~dev"] != "update" || got[hidden] != "" {
		t.Errorf("%v", got)
	}
	if got := actions(w.root(), "0"); got["*"] != "resync" {
		t.Errorf("%v", got)
	}
	for _, one := range w.send(call{path: fmt.Sprintf("/api/v4/projects/%d/packages", open.ID), as: w.root()}).must(w, 200).list(w) {
		w.send(call{method: "DELETE", path: fmt.Sprintf("/api/v4/projects/%d/packages/%v", open.ID, one["id"]), as: w.root()}).must(w, 204)
	}
	if got := actions(anonymous, since); got[shown] != "delete" {
		t.Errorf("%v", got)
	}
	for _, bad := range []string{"-1", "x", "99999999999999999999"} {
		w.send(call{path: g.composer() + "/changes.json?since=" + bad, as: w.root()}).want(w, 400)
	}
	for _, bad := range []string{"?page=0", "?page=x", "?per_page=-1", "?q=" + strings.Repeat("a+", 30)} {
		w.send(call{path: g.composer() + "/search.json" + bad, as: w.root()}).want(w, 400)
	}
	for _, body := range []any{"x", "[]", map[string]any{"downloads": 1}, map[string]any{"downloads": slices.Repeat([]any{map[string]any{"name": "a/b", "version": "1"}}, 1001)}} {
		w.send(call{method: "POST", path: g.composer() + "/downloads", as: w.root(), body: body}).want(w, 400)
	}
	w.send(call{method: "POST", path: g.composer() + "/downloads", as: w.root(), body: strings.Repeat(" ", 2<<20)}).want(w, 413)
	w.send(call{method: "POST", path: g.composer() + "/security-advisories", as: w.root()}).want(w, 200).is(w, `{"advisories":{}}`)
}

// Rules that protect names hold for pushes that are published by themselves, too.
func TestComposerProtected(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	developer := w.member(p, harness.Developer)
	lib := newLib()
	w.protect(of(p), map[string]any{"package_name_pattern": lib, "package_type": "composer", "minimum_access_level_for_push": "maintainer"})
	w.send(call{method: "PUT", path: settings(of(p)), as: w.root(), body: map[string]any{"composer_auto_publish": true}}).must(w, 200)
	w.send(putZip(p, developer.as(), libZip(lib, "1.0.0"))).want(w, 403).is(w, `{"message":"403 Forbidden - Package protected."}`)
	c := w.repository(p)
	c.commit(map[string]string{"composer.json": manifestOf(lib, "")})
	c.git("tag", "v1.0.0")
	c.git("remote", "set-url", "origin", strings.Replace(c.git("remote", "get-url", "origin"), w.server.RootToken, developer.token, 1))
	c.push()
	if got := w.libVersions(p.composer(), lib, anonymous); got != nil {
		t.Errorf("%v", got)
	}
	events := string(w.send(call{path: "/api/v4" + of(p) + "/audit_events", as: w.root()}).must(w, 200).body)
	if !strings.Contains(events, "package_not_published") || !strings.Contains(events, "Package protected") || !strings.Contains(events, "created tag v1.0.0") {
		t.Errorf("%.2000s", events)
	}
	w.send(fromRef(p, developer.as(), "tag=v1.0.0")).want(w, 403)
	w.send(fromRef(p, w.root(), "tag=v1.0.0")).want(w, 201)
}

// What somebody pushes while another push goes on is not published on behalf of who pushes that one.
func TestComposerProtectedMeanwhile(t *testing.T) {
	w := own(t, harness.Config{})
	p := w.open()
	developer := w.member(p, harness.Developer)
	lib := newLib()
	w.protect(of(p), map[string]any{"package_name_pattern": lib, "package_type": "composer", "minimum_access_level_for_push": "maintainer"})
	w.send(call{method: "PUT", path: settings(of(p)), as: w.root(), body: map[string]any{"composer_auto_publish": true}}).must(w, 200)
	c := w.repository(p)
	c.commit(map[string]string{"composer.json": manifestOf(lib, "")})
	c.git("tag", "v1.0.0")
	c.git("remote", "set-url", "origin", strings.Replace(c.git("remote", "get-url", "origin"), w.server.RootToken, developer.token, 1))

	conn, err := net.Dial("tcp", strings.TrimPrefix(w.server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	command := strings.Repeat("0", 40) + " " + strings.Repeat("1", 40) + " refs/heads/other"
	fmt.Fprintf(conn, "POST /%s.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nPRIVATE-TOKEN: %s\r\nContent-Type: application/x-git-receive-pack-request\r\nContent-Length: 100000\r\n\r\n%04x%s0000",
		p.PathWithNamespace, w.server.RootToken, len(command)+4, command)
	noted := func(n int) func() bool {
		return func() bool {
			notes, err := filepath.Glob(filepath.Join(w.server.Data, "repositories", "note-*"))
			return err == nil && len(notes) == n
		}
	}
	eventually(w, "a push of root goes on", noted(1))
	c.push()
	eventually(w, "the developer's has ended", noted(1))
	conn.Close()
	eventually(w, "that of root has ended", noted(0))
	if got := w.libVersions(p.composer(), lib, anonymous); got != nil {
		t.Errorf("%v", got)
	}
	events := string(w.send(call{path: "/api/v4" + of(p) + "/audit_events", as: w.root()}).must(w, 200).body)
	if n := strings.Count(events, "created tag v1.0.0"); n != 1 {
		t.Errorf("the tag came %d times: %.3000s", n, events)
	}
	w.send(call{method: "GET", path: "/" + p.PathWithNamespace + ".git/info/refs?service=git-upload-pack"}).must(w, 200)
}

// Of racing creators of a tag one makes it, and it is one's deed.
func TestTagRaces(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	c := w.repository(p)
	c.commit(nil)
	c.push()
	path := "/api/v4" + of(p) + "/repository/tags"
	for round := range 5 {
		tag := fmt.Sprint("v", round)
		made := 0
		for _, a := range w.race(8, func(int) call {
			return call{method: "POST", path: path, as: w.root(), body: map[string]any{"tag_name": tag, "ref": "main"}}
		}) {
			if a.status == 201 {
				made++
			} else if a.status != 400 {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
		events := string(w.send(call{path: "/api/v4" + of(p) + "/audit_events?per_page=100", as: w.root()}).must(w, 200).body)
		if n := strings.Count(events, "created tag "+tag); made != 1 || n != 1 {
			t.Errorf("made %d times, in the audit log %d times", made, n)
		}
	}
}

// The repository of a project goes with it, and that of no other.
func TestRepositoryRemoved(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--deletion-delay", "0"}})
	g := w.group(harness.Public)
	gone, stays := w.project(g, harness.Public), w.project(g, harness.Public)
	for _, p := range []project{gone, stays} {
		c := w.repository(p)
		c.commit(nil)
		c.push()
	}
	folder := func(p project) string {
		return filepath.Join(w.server.Data, "repositories", fmt.Sprint(p.ID)+".git")
	}
	for _, p := range []project{gone, stays} {
		if _, err := os.Stat(folder(p)); err != nil {
			t.Fatal(err)
		}
	}
	w.send(call{method: "DELETE", path: "/api/v4" + of(gone), as: w.root()}).must(w, 202)
	eventually(w, "the repository is gone", func() bool {
		_, err := os.Stat(folder(gone))
		return os.IsNotExist(err)
	})
	if out, err := (&clone{w, w.TempDir(), stays.PathWithNamespace}).try("clone", "--quiet", w.server.URL+"/"+stays.PathWithNamespace+".git", "x"); err != nil {
		t.Errorf("%s", out)
	}
}

// A remote that must not be followed is refused, or not asked.
func TestMirrors(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	path := "/api/v4" + of(p) + "/mirror/pull"
	w.send(call{path: path, as: w.root()}).want(w, 400).is(w, `{"message":"The project is not mirrored"}`)
	for what, remote := range map[string]string{
		"another program": "ext::sh -c id", "a file": "file:///etc/passwd", "a path": "/etc/passwd", "a relative path": "../1.git", "an option": "--upload-pack=id", "SSH": "ssh://git@git.example.com/a.git",
		"SSH for short": "git@git.example.com:a.git", "Git's own": "git://git.example.com/a.git", "no host": "http:///a.git", "a space": "http://git.example.com/a b.git", "a line break": "http://git.example.com/a\nb",
		"nothing": "", "an option as a host": "http://-x/a.git", "a query": "https://git.example.com/a.git?x=1", "not UTF-8": "http://git.example.com/\xff", "a helper": "http::http://git.example.com/a.git", "another scheme": "javascript:alert(1)",
	} {
		w.sub(what, func(w *world) {
			w.send(call{method: "PUT", path: path, as: w.root(), body: "url=" + url.QueryEscape(remote), header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}).want(w, 400)
		})
	}
	w.send(call{path: path, as: w.root()}).want(w, 400)
	for _, remote := range []string{w.server.URL + "/x/y.git", "http://127.0.0.1:1/a.git", "http://localhost:1/a.git", "http://[::1]:1/a.git", "http://10.0.0.1/a.git", "http://169.254.169.254/a.git", "http://0.0.0.0:1/a.git", "http://[::ffff:127.0.0.1]/a.git"} {
		w.sub("of our own network: "+remote, func(w *world) {
			p := w.open()
			path := "/api/v4" + of(p) + "/mirror/pull"
			made := w.send(call{method: "PUT", path: path, as: w.root(), body: map[string]any{"url": strings.Replace(remote, "://", "://me:secret@", 1)}}).must(w, 200)
			if strings.Contains(string(made.body), "secret") {
				w.Errorf("%s", made.body)
			}
			var now map[string]any
			eventually(w, "the fetch has ended", func() bool {
				now = w.send(call{path: path, as: w.root()}).must(w, 200).object(w)
				return now["update_status"] == "failed"
			})
			if said, _ := now["last_error"].(string); !strings.Contains(said, "in a network of our own") && !strings.Contains(said, "is not known") || strings.Contains(said, "secret") {
				w.Errorf("%v", now)
			}
			w.send(call{method: "PUT", path: path, as: w.root(), body: map[string]any{"enabled": false}}).must(w, 200)
			w.send(call{method: "POST", path: path, as: w.root()}).want(w, 400)
		})
	}
}

// A remote that does not answer keeps no other one waiting.
func TestSlowMirror(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--local-mirrors"}})
	asked, end := make(chan struct{}, 10), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{}; <-end }))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(end) })
	follow := func(remote string) (path string) {
		path = "/api/v4" + of(w.open()) + "/mirror/pull"
		w.send(call{method: "PUT", path: path, as: w.root(), body: map[string]any{"url": remote}}).must(w, 200)
		return path
	}
	waits := follow(slow.URL + "/a.git")
	<-asked
	source := w.open()
	c := w.repository(source)
	c.commit(nil)
	c.push()
	path := follow(w.server.URL + "/" + source.PathWithNamespace + ".git")
	status := func(path string) any {
		return w.send(call{path: path, as: w.root()}).must(w, 200).object(w)["update_status"]
	}
	eventually(w, "the other one is fetched", func() bool { return status(path) == "finished" })
	if got := status(waits); got != "started" {
		t.Errorf("the slow one is %v", got)
	}
}

// A branch's archives are as many as the cleanup policy keeps.
func TestComposerCleanup(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	lib := newLib()
	var references []string
	for range 4 {
		references = append(references, sha1Of(w.lib(p, lib, "dev-main")))
	}
	path := "/api/v4" + of(p) + "/packages/cleanup_policy"
	w.send(call{method: "PUT", path: path, as: w.root(), body: map[string]any{"enabled": true, "keep_n_duplicated_package_files": "1"}}).must(w, 200)
	w.send(call{method: "POST", path: path + "/run", as: w.root()}).must(w, 202)
	status := func(reference string) int {
		return w.send(call{path: p.composer() + "/archives/" + lib + ".zip?sha=" + reference}).status
	}
	eventually(w, "the archives before are gone", func() bool { return status(references[0]) == 404 && status(references[2]) == 404 })
	if got := status(references[3]); got != 200 {
		t.Errorf("the newest one: %d", got)
	}
	if got := at(w.libVersions(p.composer(), lib, anonymous)["dev-main"], "dist", "reference"); got != references[3] {
		t.Errorf("%v", got)
	}
}

// formWith is a multipart form with one file.
func formWith(field, file string, content []byte) (body []byte, contentType string) {
	const boundary = "packhouse-boundary"
	head := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + field + "\"; filename=\"" + file + "\"\r\nContent-Type: application/zip\r\n\r\n"
	return slices.Concat([]byte(head), content, []byte("\r\n--"+boundary+"--\r\n")), "multipart/form-data; boundary=" + boundary
}
