package gitrepo

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofrs/flock"

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
	node, err := Open(r.folder)
	if err != nil {
		t.Fatal(err)
	}
	for who, r := range map[string]*Repos{"this node": r, "another node": node} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := r.Lock(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("locked twice, by %s: %v", who, err)
		}
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
	for _, r := range []*Repos{r, node} {
		if again, err := r.Lock(t.Context(), 1); err != nil {
			t.Error(err)
		} else if again(); len(r.locks) > 0 {
			t.Errorf("%d locks are kept", len(r.locks))
		}
	}
}

// Another node that waits is next, though this one wants it again at once.
func TestLockInTurn(t *testing.T) {
	here := open(t)
	filled(t, here, 1)
	there, err := Open(here.folder)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := here.Lock(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	turns := make(chan string, 2)
	ended := make(chan error)
	go func() {
		unlock, err := there.Lock(t.Context(), 1)
		if err == nil {
			turns <- "there"
			unlock()
		}
		ended <- err
	}()
	gate := flock.New(filepath.Join(here.path(1), "packhouse.gate"))
	for mine := true; mine; time.Sleep(5 * time.Millisecond) { // until it waits
		if mine, err = gate.TryLock(); err != nil {
			t.Fatal(err)
		}
		gate.Unlock() // most of the time it is free for the other one to take
	}
	unlock()
	if unlock, err = here.Lock(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	turns <- "here"
	unlock()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if first := <-turns; first != "there" {
		t.Errorf("first came who was %s", first)
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
