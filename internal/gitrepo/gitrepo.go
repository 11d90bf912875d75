package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"packhouse/internal/registry"
)

// Repos is the repositories.
type Repos struct {
	folder string
	git    string // the program; empty: there is none that we can use
	// A place for each Git at work: one that serves a client may wait for it, and so must not be in the way of the others.
	serving, working chan struct{}

	making  sync.Mutex      // repositories
	tidying chan int64      // projects whose repository has grown
	mu      sync.Mutex      // of locks and sizes
	locks   map[int64]*lock // see Lock
	sizes   map[int64]sized // see Size
	null    string          // the file that is empty
	config  [][2]string     // what Git reads besides a repository's own configuration
	most    string          // memory that Git may ask for at once
}

// maxMemory is larger than what any Git that means well asks for at once: it packs files of up to 512 MiB as differences from others,
// and streams what is larger. A few bytes in a pack, or "export-subst" in .gitattributes, could ask for any number.
const maxMemory = "1g"

// oldest is the first version of Git that heeds all that is in config, on which depends where a fetch leads.
const oldest = 2<<16 + 38

// Open opens the repositories in a folder, which is made when the first one is. It finds no fault in a machine without
// Git: whatever needs it is Unavailable then.
func Open(folder string) (*Repos, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	places := 16 * runtime.GOMAXPROCS(0)
	r := &Repos{folder: folder, serving: make(chan struct{}, places), working: make(chan struct{}, places), tidying: make(chan int64, 256), locks: map[int64]*lock{},
		null: os.DevNull, most: maxMemory}
	if path, err := exec.LookPath("git"); err == nil && version(path) >= oldest {
		if r.git, err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	r.config = [][2]string{
		{"safe.directory", "*"},
		{"core.hooksPath", r.null},
		{"core.fsync", "all"}, // a push that was acknowledged survives a power cut
		{"core.bigFileThreshold", "50m"},
		{"core.logAllRefUpdates", "false"},
		{"init.defaultBranch", "main"},
		{"gc.auto", "0"}, // we say when, see Tidy
		{"maintenance.auto", "false"},
		{"receive.autogc", "false"},
		{"receive.unpackLimit", "1"},
		{"fetch.unpackLimit", "1"},
		{"pack.threads", "1"},
		{"pack.windowMemory", "128m"},
		{"http.receivepack", "true"},
		{"http.uploadpack", "true"},
		{"http.followRedirects", "false"}, // of a mirror: the address was checked, not the one that it would lead to
		{"http.lowSpeedLimit", "1000"},    // a remote that sends fewer bytes a second for a minute has stopped
		{"http.lowSpeedTime", "60"},
		{"uploadpack.allowFilter", "true"},
		{"uploadpack.allowAnySHA1InWant", "true"},
		{"transfer.fsckObjects", "true"},
	}
	// Harmless, and in the history of many old repositories.
	for _, old := range []string{"badTimezone", "missingSpaceBeforeDate", "zeroPaddedFilemode"} {
		r.config = append(r.config, [2]string{"receive.fsck." + old, "ignore"}, [2]string{"fetch.fsck." + old, "ignore"})
	}
	return r, nil
}

// version is that of a Git, its second number in the last 16 bits; 0: unknown.
func version(git string) (version int) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, git, "version").Output()
	var first, second int
	if n, _ := fmt.Sscanf(string(out), "git version %d.%d", &first, &second); err != nil || n < 2 {
		return 0
	}
	return first<<16 + second
}

// lock is what Lock waits for.
type lock struct {
	turn chan struct{}
	used int // by those who have it or wait for it
}

// Lock keeps others, of this process and of other nodes, from what belongs to a repository, and returns what lets them in again. Git has locks
// of its own; this one is for what is done with its answers.
func (r *Repos) Lock(ctx context.Context, project int64) (unlock func(), err error) {
	r.mu.Lock()
	l := r.locks[project]
	if l == nil {
		l = &lock{turn: make(chan struct{}, 1)}
		r.locks[project] = l
	}
	l.used++
	r.mu.Unlock()
	leave := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if l.used--; l.used == 0 {
			delete(r.locks, project)
		}
	}
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
	// Whoever has the turn here waits for the other nodes, at a gate first, so that the one that waits longest is next. The system lets go of the
	// files when a process is gone; one that only hangs is not waited for without end.
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	gate, file := flock.New(filepath.Join(r.path(project), "packhouse.gate")), flock.New(filepath.Join(r.path(project), "packhouse.lock"))
	defer gate.Close()
	unlock = func() { file.Close(); <-l.turn; leave() }
	for _, f := range []*flock.Flock{gate, file} {
		_, err := f.TryLockContext(waiting, 20*time.Millisecond)
		if errors.Is(err, fs.ErrNotExist) {
			break // where no repository is nobody finds anything
		}
		if err != nil {
			unlock()
			if waiting.Err() != nil && ctx.Err() == nil {
				err = registry.Errorf(registry.Unavailable, "503 Service Unavailable - another node is busy with the repository")
			}
			return nil, noSpace(err)
		}
	}
	return unlock, nil
}

// noSpace makes an error Full that says so.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &registry.Error{Kind: registry.Full, Message: "no space left for the repositories", Err: err}
	}
	return err
}

var errNoGit = registry.Errorf(registry.Unavailable, "503 Service Unavailable - git 2.38 or later is not installed on the server")

// Ready is Unavailable on a machine without Git, or with one that is too old.
func (r *Repos) Ready() error {
	if r.git == "" {
		return errNoGit
	}
	return nil
}

func (r *Repos) path(project int64) string {
	return filepath.Join(r.folder, strconv.FormatInt(project, 10)+".git")
}

// Has tells whether a project has a repository.
func (r *Repos) Has(project int64) bool {
	_, err := os.Stat(r.path(project))
	return err == nil
}

// sized is the size of a repository when the folder of its packs had last changed.
type sized struct {
	packed time.Time
	bytes  int64
}

// maxSizes that are kept; one takes some fifty bytes.
const maxSizes = 100_000

// Size is how many bytes the files of a project's repository have: 0 of one that there is not. It is added up when packs have come or gone; a few
// small files besides may do so without being counted.
func (r *Repos) Size(project int64) int64 {
	path := r.path(project)
	packs, err := os.Stat(filepath.Join(path, "objects", "pack"))
	if err != nil {
		return 0
	}
	r.mu.Lock()
	known := r.sizes[project]
	r.mu.Unlock()
	if known.packed.Equal(packs.ModTime()) {
		return known.bytes
	}
	size := sized{packed: packs.ModTime()}
	filepath.WalkDir(path, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if info, err := entry.Info(); err == nil { // otherwise it has gone meanwhile
				size.bytes += info.Size()
			}
		}
		return nil
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sizes == nil || len(r.sizes) >= maxSizes {
		r.sizes = map[int64]sized{}
	}
	r.sizes[project] = size
	return size.bytes
}

// Make makes an empty repository for a project that has none.
func (r *Repos) Make(ctx context.Context, project int64) error {
	if err := r.Ready(); err != nil || r.Has(project) {
		return err
	}
	r.making.Lock()
	defer r.making.Unlock()
	if r.Has(project) {
		return nil
	}
	if err := os.MkdirAll(r.folder, 0o700); err != nil {
		return err
	}
	// Under another name until it is whole: a reader must not find half of it.
	half, err := os.MkdirTemp(r.folder, "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(half)
	if err := r.run(ctx, r.command(ctx, half, "init", "--bare", "--quiet", "--template=")); err != nil {
		return err
	}
	if err := os.Rename(half, r.path(project)); err != nil && !r.Has(project) { // another node may have been faster
		return err
	}
	return nil
}

// Remove removes the repository of a project for good. It may be gone already.
func (r *Repos) Remove(project int64) error {
	path := r.path(project)
	// By a rename first, so that nobody finds half of it.
	gone := filepath.Join(r.folder, "gone-"+strconv.FormatInt(project, 10))
	if err := os.Rename(path, gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(gone)
}

// Sweep removes what a server that was killed has left half made or half removed.
func (r *Repos) Sweep() error {
	entries, err := os.ReadDir(r.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		info, infoErr := e.Info()
		half := strings.HasPrefix(e.Name(), "new-") || strings.HasPrefix(e.Name(), "gone-")
		if half && infoErr == nil && time.Since(info.ModTime()) > time.Hour { // another node may be at it
			err = errors.Join(err, os.RemoveAll(filepath.Join(r.folder, e.Name())))
		}
	}
	return err
}

// environment is all that Git sees of ours.
func (r *Repos) environment(more ...[2]string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.folder, "LC_ALL=C", "TMPDIR=" + os.TempDir(),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=" + r.null, "GIT_CONFIG_GLOBAL=" + r.null, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=",
		"GIT_ALLOW_PROTOCOL=http:https", "GIT_OPTIONAL_LOCKS=0", "GIT_ATTR_NOSYSTEM=1", "GIT_NO_REPLACE_OBJECTS=1", "GIT_ALLOC_LIMIT=" + r.most}
	for _, name := range []string{"SYSTEMROOT", "LD_LIBRARY_PATH", "GIT_EXEC_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	n := 0
	for _, list := range [][][2]string{r.config, more} {
		for _, setting := range list {
			key := strconv.Itoa(n)
			env = append(env, "GIT_CONFIG_KEY_"+key+"="+setting[0], "GIT_CONFIG_VALUE_"+key+"="+setting[1])
			n++
		}
	}
	return append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(n))
}

// command is Git with arguments, on the repository at a path: never on one that is found by looking around.
func (r *Repos) command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.git, args...)
	cmd.Dir = r.folder
	cmd.Env = append(r.environment(), "GIT_DIR="+path)
	cmd.WaitDelay = 5 * time.Second
	endGroup(cmd)
	return cmd
}

// patience is how long Git may take for what is no transfer.
const patience = 10 * time.Minute

// place waits for one of places. It returns Unavailable when there are too many before.
func place(ctx context.Context, places chan struct{}) (release func(), err error) {
	timeout := time.NewTimer(30 * time.Second)
	defer timeout.Stop()
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-timeout.C:
		return nil, registry.Errorf(registry.Unavailable, "503 Service Unavailable - too many Git requests at once")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// gitError is Git's failure with what it said.
type gitError struct {
	args   []string
	stderr string
	err    error
}

func (e *gitError) Error() string {
	return "git " + strings.Join(e.args, " ") + ": " + e.err.Error() + ": " + strings.TrimSpace(e.stderr)
}

func (e *gitError) Unwrap() error { return e.err }

// run runs a command that says nothing.
func (r *Repos) run(ctx context.Context, cmd *exec.Cmd) error {
	return r.stream(ctx, cmd, func(out io.Reader) error {
		_, err := io.Copy(io.Discard, out)
		return err
	})
}

// output is what a command says, of which there may be so many bytes; more is TooLarge.
func (r *Repos) output(ctx context.Context, cmd *exec.Cmd, most int64) (text []byte, err error) {
	err = r.stream(ctx, cmd, func(out io.Reader) error {
		text, err = io.ReadAll(io.LimitReader(out, most+1))
		if err == nil && int64(len(text)) > most {
			err = registry.Errorf(registry.TooLarge, "")
		}
		return err
	})
	return text, err
}

// stream runs a command of ctx and hands on what it says. When read fails the command is ended.
func (r *Repos) stream(ctx context.Context, cmd *exec.Cmd, read func(io.Reader) error) error {
	release, err := place(ctx, r.working)
	if err != nil {
		return err
	}
	defer release()
	stderr := &tail{most: 4 << 10}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return &gitError{cmd.Args[1:], "", err}
	}
	failed := read(out)
	if failed != nil {
		cmd.Cancel()
	}
	out.Close()
	err = cmd.Wait()
	if failed != nil {
		return failed
	}
	if err != nil {
		return &gitError{cmd.Args[1:], stderr.String(), err}
	}
	return nil
}

// exitCode is that of a Git that ran and failed, otherwise -1.
func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// tail keeps the last bytes that were written.
type tail struct {
	bytes.Buffer
	most int
}

func (t *tail) Write(p []byte) (int, error) {
	t.Buffer.Write(p)
	if over := t.Len() - t.most; over > 0 {
		t.Next(over)
	}
	return len(p), nil
}
