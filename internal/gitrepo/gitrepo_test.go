package gitrepo

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"packhouse/internal/registry"
)

func open(t testing.TB) *Repos {
	r, err := Open(filepath.Join(t.TempDir(), "repositories with a space"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Ready(); err != nil {
		t.Fatal(err)
	}
	return r
}

// git runs Git as a client does, in a folder.
func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com", "GIT_TERMINAL_PROMPT=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// serve serves repositories without asking who comes: the number of the project is the path.
func serve(t testing.TB, r *Repos, maxPush int64) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var project int64
		var rest string
		if n, _ := fmt.Sscanf(q.URL.Path, "/%d.git/%s", &project, &rest); n != 2 {
			http.NotFound(w, q)
			return
		}
		if err := r.Serve(w, q, project, rest, "ann", maxPush); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// filled makes a repository with a history: two commits on main, another branch, a tag of each kind.
func filled(t testing.TB, r *Repos, project int64) (work string) {
	work = t.TempDir()
	git(t, work, "init", "--quiet", "--initial-branch=main")
	for i, content := range []string{"one", "two"} {
		if err := os.WriteFile(filepath.Join(work, "file"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		git(t, work, "add", "--all")
		git(t, work, "commit", "--quiet", "-m", "Commit "+content+"\n\nwith a body")
		if i == 0 {
			git(t, work, "tag", "v1")
			git(t, work, "branch", "topic/a")
		}
	}
	git(t, work, "tag", "-a", "v2", "-m", "The second\n\nand more")
	git(t, work, "push", "--quiet", serve(t, r, 1<<30)+fmt.Sprintf("/%d.git", project), "--all")
	git(t, work, "push", "--quiet", serve(t, r, 1<<30)+fmt.Sprintf("/%d.git", project), "--tags")
	return work
}

func TestRepository(t *testing.T) {
	r, ctx := open(t), t.Context()
	none, err := r.State(ctx, 7)
	if err != nil || len(none) != 0 || r.Has(7) || r.Head(7) != "" {
		t.Fatalf("before there is one: %v %v", none, err)
	}
	if _, err := r.Resolve(ctx, 7, Tag, "v1"); registry.KindOf(err) != registry.NotFound {
		t.Errorf("a tag of no repository: %v", err)
	}
	work := filled(t, r, 7)
	state, err := r.State(ctx, 7)
	if err != nil || len(state) != 4 {
		t.Fatalf("%v %v", state, err)
	}
	if got := fmt.Sprint(state.Changes(none)); got != "[{refs/tags/ v1} {refs/tags/ v2} {refs/heads/ main} {refs/heads/ topic/a}]" {
		t.Errorf("changes %s", got)
	}
	if got := state.Changes(state); got != nil {
		t.Errorf("changes of nothing: %v", got)
	}
	commit, err := r.Resolve(ctx, 7, Tag, "v2")
	if err != nil || commit.ID != git(t, work, "rev-parse", "main") || commit.Title != "Commit two" || commit.Message != "Commit two\n\nwith a body\n" || commit.Author.Name != "Ann" || len(commit.Parents) != 1 {
		t.Errorf("%+v %v", commit, err)
	}
	for name, kind := range map[string]Kind{"v3": Tag, "v1": Branch, "main": Tag, "topic": Branch, "HEAD": Branch, "v1^{tree}": Tag, "": Tag} {
		if c, err := r.Resolve(ctx, 7, kind, name); registry.KindOf(err) != registry.NotFound {
			t.Errorf("%s%s is %+v, %v", kind, name, c, err)
		}
	}
	tree := git(t, work, "rev-parse", "main^{tree}")
	if _, err := r.ResolveAny(ctx, 7, tree); registry.KindOf(err) != registry.NotFound {
		t.Errorf("a tree: %v", err)
	}
	if _, err := r.ResolveAny(ctx, 7, strings.Repeat("0", 40)); registry.KindOf(err) != registry.NotFound {
		t.Errorf("nothing: %v", err)
	}
	if text, err := r.File(ctx, 7, commit.ID, "file", 3); err != nil || string(text) != "two" {
		t.Errorf("%s %v", text, err)
	}
	if _, err := r.File(ctx, 7, commit.ID, "file", 2); registry.KindOf(err) != registry.TooLarge {
		t.Errorf("a file that is too large: %v", err)
	}
	if _, err := r.File(ctx, 7, commit.ID, "other", 9); registry.KindOf(err) != registry.NotFound {
		t.Errorf("a file that is not there: %v", err)
	}

	tags, total, err := r.Refs(ctx, 7, Tag, "", ByVersion, true, 1, 0)
	if err != nil || total != 2 || len(tags) != 1 || tags[0].Name != "v2" || tags[0].Message != "The second\n\nand more" || tags[0].Target == tags[0].Commit.ID || tags[0].Tagged.IsZero() {
		t.Errorf("%+v of %d, %v", tags, total, err)
	}
	tags, _, err = r.Refs(ctx, 7, Tag, "^V1$", ByName, false, 10, 0)
	if err != nil || len(tags) != 1 || tags[0].Message != "" || tags[0].Target != tags[0].Commit.ID || !tags[0].Tagged.IsZero() {
		t.Errorf("%+v, %v", tags, err)
	}
	branches, total, err := r.Refs(ctx, 7, Branch, "", ByName, false, 10, 0)
	if err != nil || total != 2 || !branches[0].Default || branches[1].Default || branches[1].Name != "topic/a" {
		t.Errorf("%+v, %v", branches, err)
	}
	if page, total, err := r.Refs(ctx, 7, Tag, "", ByUpdate, true, 10, 5); err != nil || total != 2 || page != nil {
		t.Errorf("beyond the end: %v of %d, %v", page, total, err)
	}

	by := Signature{"An <n>\n", "a@b", time.Unix(1e9, 0)}
	if err := r.Create(ctx, 7, Tag, "v3", commit.ID, "A message\n", by); err != nil {
		t.Fatal(err)
	}
	if ref, err := r.Ref(ctx, 7, Tag, "v3"); err != nil || ref.Message != "A message" || !ref.Tagged.Equal(by.At) {
		t.Errorf("%+v %v", ref, err)
	}
	for name, kind := range map[string]Kind{"v3": Tag, "topic": Branch, "topic/a/b": Branch} {
		if err := r.Create(ctx, 7, kind, name, commit.ID, "", by); registry.KindOf(err) != registry.Conflict {
			t.Errorf("%s%s again: %v", kind, name, err)
		}
	}
	if err := r.Delete(ctx, 7, Tag, "v3"); err != nil {
		t.Error(err)
	}
	if err := r.Delete(ctx, 7, Tag, "v3"); registry.KindOf(err) != registry.NotFound {
		t.Errorf("deleted twice: %v", err)
	}
	if err := r.Tidy(ctx, 7); err != nil {
		t.Error(err)
	}
	if err := r.Remove(7); err != nil || r.Has(7) {
		t.Error(err)
	}
	if err := r.Remove(7); err != nil {
		t.Error(err)
	}
}

// The branch that a clone checks out is one that is there.
func TestHead(t *testing.T) {
	r, work := open(t), t.TempDir()
	url := serve(t, r, 1<<20)
	git(t, work, "init", "--quiet", "--initial-branch=trunk")
	git(t, work, "commit", "--quiet", "--allow-empty", "-m", "x")
	for i, row := range []struct {
		push []string
		want string
	}{{[]string{"HEAD:refs/heads/trunk"}, "trunk"}, {[]string{"HEAD:refs/heads/a", "HEAD:refs/heads/master"}, "master"}, {[]string{"HEAD:refs/heads/main", "HEAD:refs/heads/master"}, "main"}, {[]string{"HEAD:refs/tags/v1"}, ""}} {
		project := int64(i + 1)
		git(t, work, append([]string{"push", "--quiet", fmt.Sprintf("%s/%d.git", url, project)}, row.push...)...)
		state, err := r.State(t.Context(), project)
		if err == nil {
			err = r.FindHead(t.Context(), project, state)
		}
		if got := r.Head(project); err != nil || got != row.want {
			t.Errorf("%v: %q, want %q, %v", row.push, got, row.want, err)
		}
	}
	// Also when it is packed.
	git(t, r.path(3), "pack-refs", "--all")
	if got := r.Head(3); got != "main" {
		t.Errorf("packed: %q", got)
	}
	// One below that name is another.
	git(t, work, "push", "--quiet", url+"/5.git", "HEAD:refs/heads/main/a")
	state, err := r.State(t.Context(), 5)
	if err == nil {
		err = r.FindHead(t.Context(), 5, state)
	}
	if got := r.Head(5); err != nil || got != "main/a" {
		t.Errorf("a folder of branches: %q, %v", got, err)
	}
}

func TestArchive(t *testing.T) {
	r := open(t)
	work := filled(t, r, 1)
	commit := git(t, work, "rev-parse", "main")
	var first bytes.Buffer
	if err := r.Archive(t.Context(), 1, commit, "top", func(in io.Reader) error { _, err := io.Copy(&first, in); return err }); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(first.Bytes()), int64(first.Len()))
	if err != nil || len(z.File) != 2 || z.File[1].Name != "top/file" {
		t.Fatalf("%v", err)
	}
	var again bytes.Buffer
	r.Archive(t.Context(), 1, commit, "top", func(in io.Reader) error { _, err := io.Copy(&again, in); return err })
	if !bytes.Equal(first.Bytes(), again.Bytes()) {
		t.Error("two archives of a commit differ")
	}
	full := errors.New("full")
	if err := r.Archive(t.Context(), 1, commit, "top", func(io.Reader) error { return full }); err != full {
		t.Errorf("%v", err)
	}
	if err := r.Archive(t.Context(), 1, strings.Repeat("0", 40), "top", func(in io.Reader) error { _, err := io.Copy(io.Discard, in); return err }); err == nil {
		t.Error("an archive of nothing")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Archive(ended, 1, commit, "top", func(in io.Reader) error { _, err := io.Copy(io.Discard, in); return err }); err == nil {
		t.Error("an archive for nobody")
	}
}

// What a commit and its attributes would have Git make is bounded.
func TestArchiveMemory(t *testing.T) {
	r, work := open(t), t.TempDir()
	r.most = "16m"
	git(t, work, "init", "--quiet", "--initial-branch=main")
	for name, content := range map[string]string{".gitattributes": "bomb export-subst\n", "bomb": strings.Repeat("$Format:%B$\n", 1000), "message": strings.Repeat("message\n", 10_000)} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git(t, work, "add", "--all")
	git(t, work, "commit", "--quiet", "--file=message")
	git(t, work, "push", "--quiet", serve(t, r, 1<<30)+"/1.git", "main")
	err := r.Archive(t.Context(), 1, git(t, work, "rev-parse", "main"), "top", func(in io.Reader) error { _, err := io.Copy(io.Discard, in); return err })
	if registry.KindOf(err) != registry.TooLarge {
		t.Errorf("%v", err)
	}
}

// A Git that is ended takes its lock files along.
func TestEndedInTime(t *testing.T) {
	r := open(t)
	work := filled(t, r, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdin, hold := io.Pipe()
	defer hold.Close()
	cmd := r.command(ctx, r.path(1), "update-ref", "--stdin")
	cmd.Stdin = stdin
	go io.WriteString(hold, "start\ncreate refs/heads/new "+git(t, work, "rev-parse", "main")+"\nprepare\n")
	lock := filepath.Join(r.path(1), "refs", "heads", "new.lock")
	err := r.stream(ctx, cmd, func(out io.Reader) error {
		said := make([]byte, 100)
		for text := ""; !strings.Contains(text, "prepare: ok"); {
			n, err := out.Read(said)
			if text += string(said[:n]); err != nil {
				return fmt.Errorf("%w after %q", err, text)
			}
		}
		if _, err := os.Stat(lock); err != nil {
			t.Errorf("there was no lock: %v", err)
		}
		cancel()
		hold.CloseWithError(io.ErrUnexpectedEOF)
		return nil
	})
	if err == nil {
		t.Error("it was not ended")
	}
	if _, err := os.Stat(lock); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock has stayed: %v", err)
	}
}

// Clients that Git waits for are not in the way of anything else, and others who wait for a repository not in that of another one.
func TestPlaces(t *testing.T) {
	r := open(t)
	filled(t, r, 1)
	for range cap(r.serving) {
		r.serving <- struct{}{}
	}
	if state, err := r.State(t.Context(), 1); err != nil || len(state) != 4 {
		t.Errorf("%v %v", state, err)
	}
	for range cap(r.working) {
		r.working <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.State(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one more Git than there are places: %v", err)
	}
	unlock, err := r.Lock(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Lock(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked twice: %v", err)
	}
	for project := range int64(200) {
		if project == 1 {
			continue
		}
		other, err := r.Lock(t.Context(), project)
		if err != nil {
			t.Fatal(err)
		}
		other()
	}
	unlock()
	if again, err := r.Lock(t.Context(), 1); err != nil {
		t.Error(err)
	} else if again(); len(r.locks) > 0 {
		t.Errorf("%d locks are kept", len(r.locks))
	}
}

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

// repeating is a text again and again, for a long time.
type repeating struct {
	text string
	read atomic.Int64
}

func (r *repeating) Read(p []byte) (n int, err error) {
	if r.read.Load() > 20*maxRequest {
		return 0, io.EOF
	}
	for n+len(r.text) <= len(p) {
		n += copy(p[n:], r.text)
	}
	r.read.Add(int64(n))
	return n, nil
}

// A push that is too large leaves nothing behind.
func TestPushTooLarge(t *testing.T) {
	r, work := open(t), t.TempDir()
	url := serve(t, r, 100_000) + "/1.git"
	git(t, work, "init", "--quiet", "--initial-branch=main")
	noise := make([]byte, 3_000_000)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	if err := os.WriteFile(filepath.Join(work, "noise"), noise, 0o644); err != nil {
		t.Fatal(err)
	}
	git(t, work, "add", "--all")
	git(t, work, "commit", "--quiet", "-m", "x")
	cmd := exec.Command("git", "push", url, "main")
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Fatalf("%s", out)
	}
	state, err := r.State(t.Context(), 1)
	if err != nil || len(state) != 0 {
		t.Errorf("%v %v", state, err)
	}
	var size int64
	filepath.WalkDir(r.path(1), func(_ string, d os.DirEntry, err error) error {
		if info, infoErr := d.Info(); err == nil && infoErr == nil && !d.IsDir() {
			size += info.Size()
		}
		return nil
	})
	if size > 50_000 {
		t.Errorf("%d bytes stayed", size)
	}
}

// What is left of a transfer that was cut off goes, and does not count.
func TestLeftOver(t *testing.T) {
	r := open(t)
	filled(t, r, 1)
	if err := r.Make(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	left, fresh := filepath.Join(r.path(2), "objects", "pack", "tmp_pack_left"), filepath.Join(r.path(2), "objects", "pack", "tmp_pack_new")
	quarantine := filepath.Join(r.path(2), "objects", "tmp_objdir-incoming-x", "pack")
	if err := os.MkdirAll(quarantine, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{left, fresh} {
		if err := os.WriteFile(file, make([]byte, 100_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Fetch(t.Context(), 2, Remote{URL: serve(t, r, 1<<30) + "/1.git", Local: true, MaxSize: 50_000}); err != nil {
		t.Error(err)
	}
	old := time.Now().Add(-25 * time.Hour)
	for _, path := range []string{left, filepath.Dir(quarantine)} {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Tidy(t.Context(), 2); err != nil {
		t.Error(err)
	}
	for path, stays := range map[string]bool{left: false, quarantine: false, fresh: true} {
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("%s: %v", path, err)
		}
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

// What was left half made goes, and what somebody is at stays.
func TestSweep(t *testing.T) {
	r := open(t)
	if err := r.Sweep(); err != nil {
		t.Error(err)
	}
	filled(t, r, 1)
	old := time.Now().Add(-2 * time.Hour)
	for name, stays := range map[string]bool{"new-1": false, "gone-2": false, "new-3": true, "other": true, "1.git": true} {
		path := filepath.Join(r.folder, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if name != "new-3" {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Sweep(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWithoutGit(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	r, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Make(t.Context(), 1); registry.KindOf(err) != registry.Unavailable {
		t.Errorf("%v", err)
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

// What passes as the name of a ref, Git takes as one, below its place.
func FuzzValidRef(f *testing.F) {
	for _, name := range []string{"main", "feature/a", "v1.0", "-x", "a..b", "a b", "x.lock", "@{1}", "ünï", "a\x00", "", "a//b", "/a", "HEAD", ".a", "a~1"} {
		f.Add(name)
	}
	if _, err := exec.LookPath("git"); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !ValidRef(name) {
			return
		}
		if strings.ContainsAny(name, "\x00\n ") || strings.HasPrefix(name, "-") || slices.Contains(strings.Split(name, "/"), "..") {
			t.Fatalf("%q", name)
		}
		if out, err := exec.Command("git", "check-ref-format", string(Branch)+name).CombinedOutput(); err != nil {
			t.Errorf("git refuses %q: %v %s", name, err, out)
		}
	})
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

// What was to follow a change of a process that is gone is found by another one.
func TestNotes(t *testing.T) {
	r := open(t)
	filled(t, r, 7)
	other, err := Open(r.folder)
	if err != nil {
		t.Fatal(err)
	}
	found := func(r *Repos) (notes []*Note) {
		t.Helper()
		err := r.Noted(func(n *Note) error { notes = append(notes, n); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return notes
	}
	note, err := r.Note(t.Context(), 7, nil, []byte("ann"))
	if err != nil || len(note.Before) != 4 {
		t.Fatalf("%+v %v", note, err)
	}
	none, err := r.Note(t.Context(), 8, nil, nil) // of a project without a repository
	if err != nil || len(none.Before) != 0 {
		t.Fatalf("%+v %v", none, err)
	}
	if notes := found(other); notes != nil {
		t.Errorf("while somebody is at work: %+v", notes)
	}
	note.Leave()
	notes := found(other)
	if len(notes) != 1 || notes[0].Project != 7 || string(notes[0].By) != "ann" || !maps.Equal(notes[0].Before, note.Before) {
		t.Fatalf("%+v", notes)
	}
	if again := found(r); again != nil {
		t.Errorf("twice: %+v", again)
	}
	for _, n := range []*Note{notes[0], none} {
		if err := n.Done(); err != nil {
			t.Error(err)
		}
	}
	if notes := found(other); notes != nil {
		t.Errorf("afterwards: %+v", notes)
	}
	// One that was cut off while it was written was of a change that had not begun; nobody takes it for a whole one.
	half := filepath.Join(r.folder, "new-half")
	if err := os.WriteFile(half, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := errors.Join(os.Chtimes(half, old, old), r.Sweep()); err != nil || len(found(r)) > 0 {
		t.Error(err)
	}
	left, err := os.ReadDir(r.folder)
	if err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
	// Where nothing can be written nothing changes.
	nowhere, err := Open(filepath.Join(r.path(7), "HEAD"))
	if err != nil {
		t.Fatal(err)
	}
	if note, err := nowhere.Note(t.Context(), 7, nil, nil); err == nil {
		t.Errorf("%+v", note)
	}
}

// What others do to a repository at the same time is not taken for what was asked for.
func TestAsked(t *testing.T) {
	r := open(t)
	filled(t, r, 7)
	asked := Asked{"refs/tags/v1": "", "refs/tags/v2": "another", "refs/heads/main": "to", "refs/heads/new": AnyObject, "refs/heads/none": AnyObject}
	note, err := r.Note(t.Context(), 7, asked, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer note.Done()
	if names := slices.Sorted(maps.Keys(note.Before)); !slices.Equal(names, []string{"refs/heads/main", "refs/tags/v1", "refs/tags/v2"}) {
		t.Errorf("noted %v", names)
	}
	before, now := note.Changed(State{"refs/heads/main": "to", "refs/tags/v2": "moved", "refs/heads/new": "x", "refs/heads/topic/a": "moved", "refs/tags/others": "y"})
	if got := fmt.Sprint(now.Changes(before)); got != "[{refs/heads/ main} {refs/heads/ new}]" {
		t.Errorf("changes %s", got)
	}
	if _, there := before["refs/tags/v1"]; !there || len(before) != 2 {
		t.Errorf("before %v", before)
	}
}

// pushBody is the beginning of the body of a push.
func pushBody(lines ...string) string {
	text := ""
	for _, line := range lines {
		text += fmt.Sprintf("%04x%s", len(line)+4, line)
	}
	return text + "0000"
}

func TestReadPush(t *testing.T) {
	a, b, zero := strings.Repeat("a", 40), strings.Repeat("b", 64), strings.Repeat("0", 40)
	good := pushBody(zero+" "+a+" refs/tags/v1\x00 report-status\n", a+" "+zero+" refs/heads/gone", "shallow "+a, zero+" "+b+" refs/heads/with space") + "0008"
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, good)
	z.Close()
	for what, row := range map[string]struct {
		body, encoding string
		want           Asked // nil: none
	}{
		"a push":                 {good, "", Asked{"refs/tags/v1": a, "refs/heads/gone": "", "refs/heads/with space": b}},
		"one that is compressed": {zipped.String(), "gzip", Asked{"refs/tags/v1": a, "refs/heads/gone": "", "refs/heads/with space": b}},
		"of nothing":             {"0000", "", Asked{}},
		"nothing":                {"", "", Asked{}},
		"no compressed one":      {good, "gzip", nil},
		"no length":              {"xyz1", "", nil},
		"a length alone":         {"0004", "", nil},
		"cut off":                {good[:20], "", nil},
		"no end":                 {good[:len(good)-8], "", nil},
		"no commit":              {pushBody("HEAD " + a + " refs/heads/x"), "", nil},
		"no name":                {pushBody(zero + " " + a + " "), "", nil},
		"a signed one":           {pushBody("push-cert\x00"), "", nil},
	} {
		q := httptest.NewRequest("POST", "/", strings.NewReader(row.body))
		q.Header.Set("Content-Encoding", row.encoding)
		got, err := ReadPush(q)
		if (err != nil) != (row.want == nil) || !maps.Equal(got, row.want) || err != nil && registry.KindOf(err) != registry.Invalid {
			t.Errorf("%s: %v, %v", what, got, err)
		}
		if body, err := io.ReadAll(q.Body); row.want != nil && (err != nil || len(row.want) > 0 && string(body) != good) {
			t.Errorf("%s: the body is %q afterwards, %v", what, body, err)
		}
	}
	line := strings.TrimSuffix(pushBody(zero+" "+a+" refs/tags/v1"), "0000")
	q := httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat(line, maxRequest/len(line)+2)))
	if _, err := ReadPush(q); registry.KindOf(err) != registry.TooLarge {
		t.Errorf("an endless one: %v", err)
	}
}

// FuzzReadPush: nothing that is sent takes much, and what is read is a push.
func FuzzReadPush(f *testing.F) {
	f.Add([]byte(pushBody(strings.Repeat("0", 40) + " " + strings.Repeat("a", 40) + " refs/tags/v1\x00caps")))
	f.Add([]byte("0000"))
	f.Add([]byte("ffff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		asked, err := readCommands(bytes.NewReader(body))
		if err == nil && len(body) > 0 && len(asked) == 0 && !bytes.Contains(body, []byte("0000")) {
			t.Errorf("%q was taken", body)
		}
		for ref, object := range asked {
			if ref == "" || object != "" && !ValidCommit(object) {
				t.Errorf("%q is to be %q", ref, object)
			}
		}
	})
}
