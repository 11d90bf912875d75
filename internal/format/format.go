// Package format is what the rooms of the ecosystems share: who asks, below which prefix, for which name.
package format

import (
	"net/http"
	"slices"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// Place is what a package manager's prefix names: a project, or a group with all that is below it. Both are an :id, a
// number or a full path, unescaped.
type Place struct {
	Project string
	Group   string
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
		p, err := found.View.Project(at.Project)
		if err != nil {
			return nil, err
		}
		if err := found.View.Authorize(found.Caller.Caller, p, access.Read); err != nil {
			return nil, err
		}
		found.Entries = slices.DeleteFunc(entries, func(e registry.Revision) bool { return e.ProjectID != p.ID })
		if len(found.Entries) == 0 {
			return nil, ErrNoPackage
		}
		return found, nil
	}
	group, err := found.View.Group(at.Group)
	if err != nil {
		return nil, err
	}
	hidden := false
	for _, e := range entries {
		readable, inside, err := found.reads(e.ProjectID, group)
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
	return nil, found.nothing(group, hidden)
}

// File finds a file by its digest and name. Of several below a group the newest that the caller may read counts.
func (f *Finder) File(r *http.Request, at Place, sha256, name string) (*registry.File, error) {
	c, err := f.Caller(r)
	if err != nil {
		return nil, err
	}
	var project *registry.Project
	var group *registry.Group
	if at.Project != "" {
		if project, err = c.View.Project(at.Project); err == nil {
			err = c.View.Authorize(c.Caller, project, access.Read)
		}
	} else {
		group, err = c.View.Group(at.Group)
	}
	if err != nil {
		return nil, err
	}
	files, err := f.Registry.Store.FilesByDigest(r.Context(), f.Type, sha256, name)
	if err != nil {
		return nil, err
	}
	hidden := false
	for _, file := range files {
		if project != nil {
			if file.ProjectID == project.ID {
				return &file.File, nil
			}
			continue
		}
		readable, inside, err := c.reads(file.ProjectID, group)
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
	return nil, c.nothing(group, hidden)
}

// reads tells whether a project is below a group, and whether the caller may read its packages.
func (c *Caller) reads(project int64, group *registry.Group) (readable, inside bool, err error) {
	p, err := c.View.ProjectByID(project)
	if err != nil || !slices.Contains(p.Lineage, group.ID) {
		return false, false, err
	}
	err = c.View.Authorize(c.Caller, p, access.Read)
	switch registry.KindOf(err) {
	case registry.NotFound, registry.Unauthenticated, registry.Forbidden: // not for this caller
		return false, true, nil
	}
	return err == nil, true, err
}

// nothing is the error of a name of which the caller may read nothing below a group. hidden: others may.
func (c *Caller) nothing(group *registry.Group, hidden bool) error {
	if err := c.View.AuthorizeGroup(c.Caller, group, access.Read); err != nil {
		return err
	}
	switch {
	case hidden && c.Anonymous():
		return registry.Errorf(registry.Unauthenticated, "401 Unauthorized")
	case hidden:
		return registry.Errorf(registry.Forbidden, "403 Forbidden")
	}
	return ErrNoPackage
}

// Project finds the project of a prefix and authorizes the caller.
func (f *Finder) Project(r *http.Request, id string, action access.Action) (*Caller, *registry.Project, error) {
	c, err := f.Caller(r)
	if err != nil {
		return nil, nil, err
	}
	p, err := c.View.Project(id)
	if err != nil {
		return nil, nil, err
	}
	return c, p, c.View.Authorize(c.Caller, p, action)
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
