package gitrepo

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// Change is a branch or tag that came or moved.
type Change struct {
	Kind Kind
	Name string
}

// State is what the branches and tags of a repository were at a moment: full name of the ref → object.
type State map[string]string

// State reads what the refs are. A project without a repository has none.
func (r *Repos) State(ctx context.Context, project int64) (State, error) {
	state := State{}
	err := r.eachRef(ctx, project, []string{"%(refname)", "%(objectname)"}, []string{string(Branch), string(Tag)}, func(fields []string) error {
		state[fields[0]] = fields[1]
		return nil
	})
	return state, err
}

// Changes are the branches and tags that are there now, and were not, or were other ones, before: the tags first, each
// kind in the order of names.
func (now State) Changes(before State) []Change {
	var changes []Change
	for _, kind := range []Kind{Tag, Branch} {
		for _, ref := range slices.Sorted(maps.Keys(now)) {
			if name, ok := strings.CutPrefix(ref, string(kind)); ok && now[ref] != before[ref] {
				changes = append(changes, Change{kind, name})
			}
		}
	}
	return changes
}

// eachRef yields fields of for-each-ref of the refs that patterns select.
func (r *Repos) eachRef(ctx context.Context, project int64, fields, arguments []string, yield func([]string) error) error {
	if !r.Has(project) {
		return nil
	}
	if err := r.Ready(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	args := append([]string{"for-each-ref", "--format=" + strings.Join(fields, "%00") + "%00"}, arguments...)
	return r.stream(r.command(ctx, r.path(project), args...), func(out io.Reader) error {
		return eachRecord(out, len(fields), func(record []string) error {
			record[0] = strings.TrimPrefix(record[0], "\n") // of the line before
			return yield(record)
		})
	})
}

// maxOutput bounds what is read of lists, in bytes.
const maxOutput = 64 << 20

// eachRecord yields records of so many fields, each of which ends with a NUL.
func eachRecord(r io.Reader, fields int, yield func([]string) error) error {
	text, err := io.ReadAll(io.LimitReader(r, maxOutput+1))
	if err != nil {
		return err
	}
	if len(text) > maxOutput {
		return registry.Errorf(registry.TooLarge, "there are too many refs")
	}
	record := make([]string, 0, fields)
	for rest := string(text); ; {
		field, after, ended := strings.Cut(rest, "\x00")
		if !ended {
			return nil // a line break, or nothing
		}
		rest = after
		if record = append(record, field); len(record) == fields {
			if err := yield(record); err != nil {
				return err
			}
			record = record[:0]
		}
	}
}

// Commit is a commit.
type Commit struct {
	ID        string
	Parents   []string
	Title     string
	Message   string
	Author    Signature
	Committer Signature
}

// Signature is who, and when.
type Signature struct {
	Name, Email string
	At          time.Time
}

// Ref is a branch or tag.
type Ref struct {
	Name    string
	Target  string    // the object that it names: of an annotated tag, that of the tag
	Commit  *Commit   // nil: a tag of what is no commit
	Message string    // of an annotated tag
	Tagged  time.Time // of an annotated tag
	Default bool      // the branch that a clone checks out
	commit  string
}

// Order is what a list of refs is ordered by.
type Order string

// The orders.
const (
	ByName    Order = "name"
	ByUpdate  Order = "updated" // the time of the commit, or of an annotated tag
	ByVersion Order = "version" // names as versions
)

// Refs lists the branches or tags that hold a text in their name, "^" and "$" standing for its ends, and how many
// there are.
func (r *Repos) Refs(ctx context.Context, project int64, kind Kind, search string, order Order, descending bool, limit, offset int) (page []*Ref, total int, err error) {
	key := map[Order]string{ByName: "refname", ByUpdate: "creatordate", ByVersion: "version:refname"}[order]
	if descending {
		key = "-" + key
	}
	var names []string
	err = r.eachRef(ctx, project, []string{"%(refname)"}, []string{"--sort=refname", "--sort=" + key, string(kind)}, func(fields []string) error {
		if name := strings.TrimPrefix(fields[0], string(kind)); holds(name, search) {
			names = append(names, name)
		}
		return nil
	})
	if err != nil || offset >= len(names) {
		return nil, len(names), err
	}
	total = len(names)
	page, err = r.refs(ctx, project, kind, names[offset:min(len(names), offset+limit)])
	return page, total, err
}

func holds(name, search string) bool {
	start, fromStart := strings.CutPrefix(search, "^")
	text, toEnd := strings.CutSuffix(start, "$")
	name, text = strings.ToLower(name), strings.ToLower(text)
	switch {
	case fromStart && toEnd:
		return name == text
	case fromStart:
		return strings.HasPrefix(name, text)
	case toEnd:
		return strings.HasSuffix(name, text)
	}
	return strings.Contains(name, text)
}

// Ref finds a branch or tag. It returns NotFound when there is none.
func (r *Repos) Ref(ctx context.Context, project int64, kind Kind, name string) (*Ref, error) {
	if !ValidRef(name) {
		return nil, errNoRef
	}
	refs, err := r.refs(ctx, project, kind, []string{name})
	if err != nil {
		return nil, err
	}
	if len(refs) == 0 {
		return nil, errNoRef
	}
	return refs[0], nil
}

var errNoRef = registry.Errorf(registry.NotFound, "404 Not Found")

// refs are the branches or tags of names that are there, in their order.
func (r *Repos) refs(ctx context.Context, project int64, kind Kind, names []string) ([]*Ref, error) {
	patterns := make([]string, len(names))
	for i, name := range names {
		patterns[i] = string(kind) + name
	}
	found, head := map[string]*Ref{}, r.Head(project)
	var commits []string
	fields := []string{"%(refname)", "%(objecttype)", "%(objectname)", "%(*objecttype)", "%(*objectname)", "%(taggerdate:unix)", "%(contents:subject)", "%(contents:body)"}
	err := r.eachRef(ctx, project, fields, patterns, func(f []string) error {
		one := &Ref{Name: strings.TrimPrefix(f[0], string(kind)), Target: f[2]}
		one.Default = kind == Branch && one.Name == head
		switch {
		case f[1] == "commit":
			one.commit = f[2]
		case f[1] == "tag":
			if f[3] == "commit" {
				one.commit = f[4]
			}
			if one.Message = f[6]; f[7] != "" {
				one.Message += "\n\n" + strings.TrimRight(f[7], "\n")
			}
			if seconds, err := strconv.ParseInt(f[5], 10, 64); err == nil {
				one.Tagged = time.Unix(seconds, 0).UTC()
			}
		}
		if one.commit != "" {
			commits = append(commits, one.commit)
		}
		found[one.Name] = one
		return nil
	})
	if err != nil {
		return nil, err
	}
	known, err := r.commits(ctx, project, commits)
	if err != nil {
		return nil, err
	}
	var list []*Ref
	for _, name := range names {
		if one := found[name]; one != nil {
			one.Commit = known[one.commit]
			list = append(list, one)
		}
	}
	return list, nil
}

// commits reads commits, in one go.
func (r *Repos) commits(ctx context.Context, project int64, ids []string) (map[string]*Commit, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := r.command(ctx, r.path(project), "log", "--no-walk=unsorted", "--no-show-signature", "--no-color", "-z", "--stdin",
		"--format=%H%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%s%x00%B")
	cmd.Stdin = strings.NewReader(strings.Join(ids, "\n") + "\n")
	known := map[string]*Commit{}
	err := r.stream(cmd, func(out io.Reader) error {
		return eachRecord(out, 10, func(f []string) error {
			sign := func(name, email, at string) Signature {
				seconds, _ := strconv.ParseInt(at, 10, 64) // one that Git cannot read is 1970
				return Signature{name, email, time.Unix(seconds, 0).UTC()}
			}
			known[f[0]] = &Commit{ID: f[0], Parents: strings.Fields(f[1]), Author: sign(f[2], f[3], f[4]), Committer: sign(f[5], f[6], f[7]), Title: f[8], Message: f[9]}
			return nil
		})
	})
	return known, err
}

// Resolve finds the commit that a branch or tag names. It returns NotFound when there is no such ref, or it names no commit.
func (r *Repos) Resolve(ctx context.Context, project int64, kind Kind, name string) (*Commit, error) {
	if !ValidRef(name) {
		return nil, errNoRef
	}
	return r.resolve(ctx, project, string(kind)+name)
}

// ResolveAny finds the commit of a branch, a tag or a commit's own number.
func (r *Repos) ResolveAny(ctx context.Context, project int64, name string) (*Commit, error) {
	if ValidCommit(name) {
		return r.resolve(ctx, project, name)
	}
	for _, kind := range []Kind{Branch, Tag} {
		commit, err := r.Resolve(ctx, project, kind, name)
		if registry.KindOf(err) != registry.NotFound {
			return commit, err
		}
	}
	return nil, errNoRef
}

// resolve finds the commit of a full name of a ref, or of a number; both were checked.
func (r *Repos) resolve(ctx context.Context, project int64, name string) (*Commit, error) {
	if !r.Has(project) {
		return nil, errNoRef
	}
	if err := r.Ready(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := r.output(r.command(ctx, r.path(project), "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}"), 1<<10)
	if exitCode(err) == 1 || exitCode(err) == 128 && strings.Contains(err.Error(), "expected commit type") {
		return nil, errNoRef
	}
	if err != nil {
		return nil, err
	}
	id := strings.TrimSpace(string(out))
	commits, err := r.commits(ctx, project, []string{id})
	if err == nil && commits[id] == nil {
		err = errors.New("gitrepo: git does not show the commit " + id)
	}
	return commits[id], err
}

// File reads a file of a commit, by its path from the top. It returns NotFound when there is none, TooLarge when it has
// more bytes than that.
func (r *Repos) File(ctx context.Context, project int64, commit, path string, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	text, err := r.output(r.command(ctx, r.path(project), "cat-file", "blob", commit+":"+path), most)
	if exitCode(err) == 128 {
		return nil, errNoRef
	}
	return text, err
}

// Archive lets read have the zip archive of a commit (git-archive), with all below the folder prefix. export-ignore and
// export-subst of the commit's .gitattributes count. What read made of it is good only when Archive returns nil.
func (r *Repos) Archive(ctx context.Context, project int64, commit, prefix string, read func(io.Reader) error) error {
	release, err := r.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return r.stream(r.command(ctx, r.path(project), "archive", "--format=zip", "--prefix="+prefix+"/", commit), read)
}

// Head is the branch that a clone checks out, "" when there is no such branch yet.
func (r *Repos) Head(project int64) string {
	folder := r.path(project)
	text, err := os.ReadFile(filepath.Join(folder, "HEAD"))
	ref, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "ref: ")
	name, isBranch := strings.CutPrefix(ref, string(Branch))
	if err != nil || !ok || !isBranch {
		return ""
	}
	if _, err := os.Stat(filepath.Join(folder, filepath.FromSlash(ref))); err == nil {
		return name
	}
	packed, _ := os.ReadFile(filepath.Join(folder, "packed-refs")) // without one it is not there
	if strings.Contains(string(packed), " "+ref+"\n") {
		return name
	}
	return ""
}

// FindHead lets the first branch be that which a clone checks out: main or master, where there is one of these, where the
// one that it was is not there.
func (r *Repos) FindHead(ctx context.Context, project int64, state State) error {
	if r.Head(project) != "" {
		return nil
	}
	branches := slices.Sorted(maps.Keys(state))
	branches = slices.DeleteFunc(branches, func(ref string) bool { return !strings.HasPrefix(ref, string(Branch)) })
	if len(branches) == 0 {
		return nil
	}
	head := branches[0]
	for _, name := range []string{"main", "master"} {
		if ref := string(Branch) + name; state[ref] != "" {
			head = ref
			break
		}
	}
	return r.run(r.command(ctx, r.path(project), "symbolic-ref", "HEAD", head))
}

// Create makes a branch or tag at a commit. message makes an annotated tag, by somebody. It returns Conflict when the name
// is taken, also by a part of another one.
func (r *Repos) Create(ctx context.Context, project int64, kind Kind, name, commit, message string, by Signature) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if message != "" {
		clean := func(text string) string {
			return strings.Map(func(c rune) rune {
				if c < ' ' || c == '<' || c == '>' {
					return -1
				}
				return c
			}, text)
		}
		cmd := r.command(ctx, r.path(project), "mktag")
		cmd.Stdin = strings.NewReader("object " + commit + "\ntype commit\ntag " + name + "\ntagger " + clean(by.Name) + " <" + clean(by.Email) + "> " +
			strconv.FormatInt(by.At.Unix(), 10) + " +0000\n\n" + strings.TrimRight(message, "\n") + "\n")
		out, err := r.output(cmd, 1<<10)
		if err != nil {
			return err
		}
		commit = strings.TrimSpace(string(out))
	}
	zero := strings.Repeat("0", len(commit))
	return r.update(ctx, project, string(kind)+name, commit, zero)
}

// Delete removes a branch or tag. It returns NotFound when there is none.
func (r *Repos) Delete(ctx context.Context, project int64, kind Kind, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := r.Ref(ctx, project, kind, name)
	if err != nil {
		return err
	}
	return r.run(r.command(ctx, r.path(project), "update-ref", "--no-deref", "-d", string(kind)+name, found.Target))
}

// update moves a ref from one object to another.
func (r *Repos) update(ctx context.Context, project int64, ref, to, from string) error {
	err := r.run(r.command(ctx, r.path(project), "update-ref", "--no-deref", ref, to, from))
	if exitCode(err) == 128 && strings.Contains(err.Error(), "cannot lock ref") {
		return registry.Errorf(registry.Conflict, "%s already exists", ref)
	}
	return err
}

// Grown notes that a repository has grown, for Tidy.
func (r *Repos) Grown(project int64) {
	select {
	case r.tidying <- project:
	default: // it will have grown again before it matters
	}
}

// Grows receives the projects whose repositories have grown.
func (r *Repos) Grows() <-chan int64 { return r.tidying }

// Tidy packs a repository when there is enough to pack (git-gc). Nothing is thrown away: what a branch has left a lock file may
// still name.
func (r *Repos) Tidy(ctx context.Context, project int64) (err error) {
	if !r.Has(project) {
		return nil
	}
	ctx, end := registry.TraceProject(ctx, "job.Tidy", project)
	defer func() { end(err) }()
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	cmd := r.command(ctx, r.path(project), "-c", "gc.auto=2000", "-c", "gc.autoPackLimit=40", "-c", "gc.cruftPacks=true", "-c", "gc.pruneExpire=never",
		"-c", "gc.autoDetach=false", "gc", "--auto", "--quiet")
	return r.run(cmd)
}
