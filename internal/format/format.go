// Package format is what the rooms of the ecosystems share: who asks, below which prefix, for which name.
package format

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// Place is what a package manager's prefix names: a project, or a group with all that is below it. Both are an :id, a
// number or a full path, unescaped.
type Place struct {
	Project string
	Group   string
	Scope   string // where both are empty: the path of the top-level namespace in which the instance's prefix looks
}

// Caller is who asks, at the access revision at which they were resolved.
type Caller struct {
	View *access.View
	*access.Caller
}

// Finder resolves requests of one format.
type Finder struct {
	Registry *registry.Registry
	Gate     *access.Gate
	Type     registry.Type
	// Tells: who is signed in is told, as Forbidden, of a name below a group that only projects have which they may not
	// know of. GitLab's npm does so, and its clients then say why an install fails; its other formats do not.
	Tells bool
	// BaseURL is the public URL of the server as a request sees it, without a slash at the end.
	BaseURL func(*http.Request) string
}

// Caller finds out who sent a request, see [access.View.Caller].
func (f *Finder) Caller(r *http.Request) (*Caller, error) {
	view, err := f.Gate.Now(r.Context())
	if err != nil {
		return nil, err
	}
	caller, err := view.Caller(r)
	if err != nil {
		return nil, err
	}
	return &Caller{view, caller}, nil
}

// Found is a name within what a request is about, as far as the caller may read it.
type Found struct {
	Caller
	Name    string
	Entries []registry.Revision // by project id; never empty
}

// IDs are those of the entries.
func (f *Found) IDs() []int64 {
	ids := make([]int64, len(f.Entries))
	for i, e := range f.Entries {
		ids[i] = e.EntryID
	}
	return ids
}

// ErrNoPackage is the error of a name that nobody has published, as far as the caller may know.
var ErrNoPackage = registry.Errorf(registry.NotFound, "404 Package Not Found")

// Find resolves the caller and the name, in one query when both were seen before. Without any entry that the caller may
// read it returns what the caller may know: Unauthenticated, Forbidden or NotFound.
func (f *Finder) Find(r *http.Request, at Place, name string) (*Found, error) {
	project, _ := Number(at.Project)
	revision, entries, err := f.Registry.Store.Revisions(r.Context(), f.Type, name, project)
	if err != nil {
		return nil, err
	}
	found := &Found{Name: name, Caller: Caller{View: f.Gate.At(revision)}}
	if found.Caller.Caller, err = found.View.Caller(r); err != nil {
		return nil, err
	}
	if at.Project != "" {
		p, err := f.project(r, &found.Caller, at.Project, access.Read)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(entries, func(e registry.Revision) bool { return e.ProjectID == p.ID })
		if i < 0 {
			return nil, ErrNoPackage
		}
		found.Entries = entries[i : i+1 : i+1] // others have the same slice
		return found, nil
	}
	group, err := f.above(r, &found.Caller, at)
	if err != nil {
		return nil, err
	}
	hidden := false
	for _, e := range entries {
		readable, inside, err := f.reads(&found.Caller, e.ProjectID, group)
		if err != nil {
			return nil, err
		}
		if readable {
			found.Entries = append(found.Entries, e)
		}
		hidden = hidden || inside
	}
	if len(found.Entries) > 0 {
		return found, nil
	}
	return nil, found.nothing(at, group, hidden)
}

// maxFileName is the length in bytes beyond which no file has a name.
const maxFileName = 255

// File finds a file by its digest and name. Of several below a group the newest that the caller may read counts.
func (f *Finder) File(r *http.Request, at Place, sha256, name string) (*registry.File, error) {
	c, err := f.Caller(r)
	if err != nil {
		return nil, err
	}
	var project *registry.Project
	var group *registry.Group
	if at.Project != "" {
		project, err = f.project(r, c, at.Project, access.Read)
	} else {
		group, err = f.above(r, c, at)
	}
	if err != nil {
		return nil, err
	}
	var files []registry.ProjectFile
	if len(sha256) == 64 && len(name) <= maxFileName { // what the store is asked for it may keep, and a URL may be long
		if files, err = f.Registry.Store.FilesByDigest(r.Context(), f.Type, sha256, name); err != nil {
			return nil, err
		}
	}
	hidden := false
	for _, file := range files {
		if project != nil {
			if file.ProjectID == project.ID {
				return &file.File, nil
			}
			continue
		}
		readable, inside, err := f.reads(c, file.ProjectID, group)
		if err != nil {
			return nil, err
		}
		if readable {
			return &file.File, nil
		}
		hidden = hidden || inside
	}
	if project != nil {
		return nil, ErrNoPackage
	}
	return nil, c.nothing(at, group, hidden)
}

// reads tells whether the caller may read the packages of a project below a group, and whether there are any that
// others may, as far as the caller, or whoever has not said yet who they are, may know.
func (f *Finder) reads(c *Caller, project int64, group *registry.Group) (readable, inside bool, err error) {
	p, err := c.View.ProjectByID(project)
	if registry.KindOf(err) == registry.NotFound { // it was removed, its packages go after it
		return false, false, nil
	}
	if err != nil || !slices.Contains(p.Lineage, group.ID) {
		return false, false, err
	}
	err = c.View.Authorize(c.Caller, p, access.Read)
	switch registry.KindOf(err) {
	case registry.NotFound:
		return false, f.Tells, nil
	case registry.Unauthenticated, registry.Forbidden: // not for this caller
		return false, true, nil
	}
	return err == nil, true, err
}

// nothing is the error of a name of which the caller may read nothing below a group or namespace. hidden: others may.
func (c *Caller) nothing(at Place, above *registry.Group, hidden bool) error {
	if at.Group != "" {
		if err := c.View.AuthorizeGroup(c.Caller, above, access.Read); err != nil {
			return err
		}
	}
	switch {
	case hidden && c.Anonymous():
		return registry.Errorf(registry.Unauthenticated, "401 Unauthorized")
	case hidden:
		return registry.Errorf(registry.Forbidden, "403 Forbidden")
	case at.Group == "":
		return errNoProject
	}
	return ErrNoPackage
}

var errNoProject = registry.Errorf(registry.NotFound, "404 Project Not Found")

// project finds the project of a prefix and authorizes the caller. Who comes by a path that it had before gets an
// [access.MovedError].
func (f *Finder) project(r *http.Request, c *Caller, id string, action access.Action) (*registry.Project, error) {
	p, err := c.View.Project(id)
	if err == nil {
		err = c.View.Authorize(c.Caller, p, action)
	}
	if _, isNumber := Number(id); err == nil && !isNumber {
		err = access.Moved(r, f.BaseURL(r), id, p)
	}
	return p, err
}

// above is the namespace under which a group's or the instance's prefix looks. The instance looks only in the
// top-level namespace that a name's scope says: any other rule would let one team publish under another's names. What
// the caller may read below it is asked of each project; from a path that a group had before only those are sent on who
// may know of it.
func (f *Finder) above(r *http.Request, c *Caller, at Place) (*registry.Group, error) {
	if at.Group != "" {
		g, err := c.View.Group(at.Group)
		if err != nil {
			return nil, err
		}
		if moved := access.MovedGroup(r, f.BaseURL(r), at.Group, g); moved != nil {
			return nil, cmp.Or(c.View.AuthorizeGroup(c.Caller, g, access.Read), moved)
		}
		return g, nil
	}
	if _, isNumber := Number(at.Scope); at.Scope == "" || isNumber {
		return nil, errNoProject
	}
	g, err := c.View.Namespace(at.Scope)
	if registry.KindOf(err) == registry.NotFound {
		err = errNoProject
	}
	return g, err
}

// Project finds the caller, and the project of a prefix, and authorizes the one in the other.
func (f *Finder) Project(r *http.Request, id string, action access.Action) (*Caller, *registry.Project, error) {
	c, err := f.Caller(r)
	if err != nil {
		return nil, nil, err
	}
	p, err := f.project(r, c, id, action)
	return c, p, err
}

// Publishing finds the caller, and the project of a prefix, to which they may publish, with its rules.
func (f *Finder) Publishing(r *http.Request, id string) (c *Caller, p *registry.Project, policy *registry.Policy, err error) {
	if c, p, err = f.Project(r, id, access.Publish); err == nil {
		policy, err = c.View.Policy(0, p.ID)
	}
	return c, p, policy, err
}

// List is what a list may show: what is in the project or group of a prefix, or all, as far as the caller may read it.
// title is the name of the project or group.
func (f *Finder) List(r *http.Request, at Place) (c *Caller, filter registry.EntryFilter, title string, err error) {
	if c, err = f.Caller(r); err != nil {
		return
	}
	filter = registry.EntryFilter{Type: f.Type, Viewer: c.Viewer()}
	switch {
	case at.Project != "":
		var p *registry.Project
		if p, err = f.project(r, c, at.Project, access.Read); err == nil {
			filter.Project, filter.Viewer, title = p.ID, registry.Viewer{All: true}, p.Name
		}
	case at.Group != "":
		if filter.Group, err = f.above(r, c, at); err == nil {
			title, err = filter.Group.Name, c.View.AuthorizeGroup(c.Caller, filter.Group, access.Read)
		}
	case c.Token != nil:
		err = access.ReadScope(c.Caller)
	}
	return
}

// WriteJSON answers a value.
func WriteJSON(w http.ResponseWriter, status int, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(text)
	return nil
}

// MediaRange reads one part of an Accept header (RFC 9110, 12.5.1): a media type or wildcard in lower case, and its
// weight, which is 1 unless a "q" says otherwise.
func MediaRange(part string) (kind string, weight float64) {
	kind, parameters, _ := strings.Cut(part, ";")
	weight = 1
	for parameter := range strings.SplitSeq(parameters, ";") {
		if q, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameter)), "q="); ok {
			if parsed, err := strconv.ParseFloat(q, 64); err == nil {
				weight = parsed
			}
		}
	}
	return strings.ToLower(strings.TrimSpace(kind)), weight
}

// Number tells whether an :id is a number, and which.
func Number(id string) (n int64, ok bool) {
	for _, c := range []byte(id) {
		if c < '0' || c > '9' || n > 1<<58 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, id != ""
}
