package registry

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// Removal has two steps, so that a package of any size goes at once: marking takes it out of sight of all readers, in
// one transaction with the revision of its entry; Purge removes the rows, later and bit by bit.

// Key is the version in its format's canonical spelling.
func (p *Package) Key() string { return cmp.Or(p.VersionKey, p.Version) }

// title names a package to people.
func (p *Package) title() string { return string(p.Type) + " " + p.Name + " " + p.Version }

// Format is that of a type. A store may hold packages of formats that this server does not have.
func (r *Registry) Format(t Type) Format {
	if i := slices.IndexFunc(r.Formats, func(f Format) bool { return f.Type == t }); i >= 0 {
		return r.Formats[i]
	}
	return Format{Type: t, Compare: func(a, b string) int { return 0 }} // of equal ones, the newest is the latest
}

// remove marks a package within a transaction that holds its entry; the caller finds the latest version anew.
func remove(tx Tx, p *Package) error {
	if err := tx.MarkForDestruction(p.ID); err != nil {
		return err
	}
	return tx.Record(&Event{Name: PackageDeleted, ProjectID: p.ProjectID, Target: p.title()})
}

// mark runs a transaction that marks something, and wakes whoever purges.
func (r *Registry) mark(ctx context.Context, f func(Tx) error) error {
	err := r.Store.Write(ctx, f)
	if err == nil {
		r.marked.ring()
	}
	return err
}

// Delete removes a package. may is asked within the transaction. It returns NotFound when somebody was faster, and
// Forbidden when a rule protects the package from the actor of ctx.
func (r *Registry) Delete(ctx context.Context, pkg int64, may func(Tx, *Package) error) error {
	return r.mark(ctx, func(tx Tx) error {
		p, entry, err := hold(ctx, tx, pkg, destroy, may)
		if err != nil {
			return err
		}
		if err := remove(tx, p); err != nil {
			return err
		}
		return r.replaceLatest(tx, entry, p)
	})
}

// DeleteFile removes one file of a package. The package stays, also without files; then no client can install it.
func (r *Registry) DeleteFile(ctx context.Context, pkg, file int64, may func(Tx, *Package) error) error {
	return r.mark(ctx, func(tx Tx) error {
		p, entry, err := hold(ctx, tx, pkg, destroy, may)
		if err != nil {
			return err
		}
		f, err := tx.File(file)
		if err == nil && f.PackageID != p.ID {
			err = Errorf(NotFound, "404 Not found")
		}
		if err != nil {
			return err
		}
		if err := tx.MarkFile(file); err != nil {
			return err
		}
		if err := markCompanions(tx, r.Format(p.Type), p); err != nil {
			return err
		}
		if err := r.replaceLatest(tx, entry, p); err != nil {
			return err
		}
		return tx.Record(&Event{Name: PackageFileDeleted, ProjectID: p.ProjectID, Target: p.title(), Detail: f.Name})
	})
}

// markCompanions takes the files of a package out of sight that are of no use when there are no others.
func markCompanions(tx Tx, format Format, p *Package) error {
	if format.Companion == nil {
		return nil
	}
	left, err := tx.Files(p.ID)
	if err != nil || slices.ContainsFunc(left, func(f *File) bool { return !format.Companion(f.Name) }) {
		return err
	}
	for _, f := range left {
		if err := tx.MarkFile(f.ID); err != nil {
			return err
		}
	}
	return nil
}

// SetListed makes lists and searches show a version, or not. Whoever knows it can download it in either case. may is asked
// within the transaction. It returns NotFound when there is no such package, and Forbidden when a rule protects it from
// the actor of ctx.
func (r *Registry) SetListed(ctx context.Context, pkg int64, listed bool, may func(Tx, *Package) error) error {
	return r.Store.Write(ctx, func(tx Tx) error {
		p, entry, err := hold(ctx, tx, pkg, destroy, may)
		if err != nil {
			return err
		}
		status, detail := Default, "listed"
		if !listed {
			status, detail = Hidden, "unlisted"
		}
		if p.Status == status {
			return nil
		}
		p.Status, p.StatusMessage = status, ""
		if err := tx.UpdatePackage(p); err != nil {
			return err
		}
		if err := findLatest(tx, r.Format(p.Type), entry.ID); err != nil {
			return err
		}
		return tx.Record(&Event{Name: PackageChanged, ProjectID: p.ProjectID, Target: p.title(), Detail: detail})
	})
}

// replaceLatest finds an entry's latest version, and what is listed of it, anew when what was taken away may matter to them.
func (r *Registry) replaceLatest(tx Tx, entry *Entry, p *Package) error {
	if entry.LatestID != p.ID && entry.Listed <= Within(0) {
		return nil
	}
	return findLatest(tx, r.Format(p.Type), entry.ID)
}

// hold reads a package and bumps the revision of its entry, which holds both against other writers, and asks whether
// it may be changed: may, and the rules that protect packages. It returns NotFound for one that is marked.
func hold(ctx context.Context, tx Tx, pkg int64, d deed, may func(Tx, *Package) error) (*Package, *Entry, error) {
	p, err := tx.Package(pkg)
	if err != nil {
		return nil, nil, err
	}
	entry, err := tx.EntryByID(p.EntryID)
	if err != nil {
		return nil, nil, err
	}
	if entry, err = tx.TouchEntry(entry.ProjectID, entry.Type, entry.Name); err != nil {
		return nil, nil, err
	}
	if p, err = tx.Package(pkg); err != nil {
		return nil, nil, err
	}
	if p.Status == PendingDestruction {
		return nil, nil, Errorf(NotFound, "404 Not found")
	}
	if err := may(tx, p); err != nil {
		return nil, nil, err
	}
	return p, entry, guard(ctx, tx, p.ProjectID, d, p.Type, p.Name, entry.Name)
}

// Purge removes all that is marked, in small transactions between which others have their turn. It stops between two of
// them when ctx ends; what is left stays marked. Several nodes may purge at once.
func (r *Registry) Purge(ctx context.Context) error {
	for more := true; more && ctx.Err() == nil; {
		err := r.Store.Write(ctx, func(tx Tx) (err error) {
			more, err = tx.PurgeMarked()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Marked receives when something was marked on this node since the last time.
func (r *Registry) Marked() <-chan struct{} { return r.marked.channel() }

// Removed receives when projects were removed for good on this node since the last time.
func (r *Registry) Removed() <-chan struct{} { return r.removed.channel() }

// bell wakes one listener; its zero value is ready. Rung several times before anybody listens, it has rung once.
type bell struct {
	once sync.Once
	c    chan struct{}
}

func (b *bell) channel() chan struct{} {
	b.once.Do(func() { b.c = make(chan struct{}, 1) })
	return b.c
}

func (b *bell) ring() {
	select {
	case b.channel() <- struct{}{}:
	default:
	}
}
