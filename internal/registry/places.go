package registry

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Groups and projects change in transactions that hold the whole tree, so that what was checked still holds when it is
// written: a new parent is not below the group, a visibility not beyond the one above.

// ChangeGroup lets change set the fields of a group as it is now, saves it, and records what has changed as an event of a
// name. It returns NotFound when there is no such group, and what Tx.SaveGroup and change return.
func (r *Registry) ChangeGroup(ctx context.Context, id int64, event string, change func(Tx, *Group) error) (*Group, error) {
	var g *Group
	err := r.Store.Write(ctx, func(tx Tx) (err error) {
		if err := tx.HoldPlaces(); err != nil {
			return err
		}
		if g, err = tx.Group(id); err != nil {
			return err
		}
		before := *g
		if err := change(tx, g); err != nil {
			return err
		}
		if err := tx.SaveGroup(g); err != nil {
			return err
		}
		if g, err = tx.Group(id); err != nil { // with what the database made of it
			return err
		}
		return tx.Record(&Event{Name: event, GroupID: id, Target: before.FullPath, Detail: differences(
			"name", before.Name, g.Name, "path", before.FullPath, g.FullPath, "description", before.Description, g.Description,
			"visibility", before.Visibility, g.Visibility)})
	})
	return g, err
}

// ChangeProject is the same for projects.
func (r *Registry) ChangeProject(ctx context.Context, id int64, event string, change func(Tx, *Project) error) (*Project, error) {
	var p *Project
	err := r.Store.Write(ctx, func(tx Tx) (err error) {
		if err := tx.HoldPlaces(); err != nil {
			return err
		}
		if p, err = tx.Project(id); err != nil {
			return err
		}
		before := *p
		if err := change(tx, p); err != nil {
			return err
		}
		if err := tx.SaveProject(p); err != nil {
			return err
		}
		if p, err = tx.Project(id); err != nil {
			return err
		}
		return tx.Record(&Event{Name: event, ProjectID: id, Target: before.FullPath, Detail: differences(
			"name", before.Name, p.Name, "path", before.FullPath, p.FullPath, "description", before.Description, p.Description,
			"visibility", before.Visibility, p.Visibility, "packages", before.RegistryAccess, p.RegistryAccess, "archived", before.Archived, p.Archived)})
	})
	return p, err
}

// differences writes triples of a name, what was and what is, where the two differ.
func differences(triples ...any) string {
	var changed []string
	for i := 0; i < len(triples); i += 3 {
		if name, before, after := triples[i], triples[i+1], triples[i+2]; before != after {
			changed = append(changed, fmt.Sprintf("%v: %v → %v", name, before, after))
		}
	}
	return strings.Join(changed, ", ")
}

// A deletion has two steps. The first one marks: the place, with all that is in it, is hidden from everybody but its
// owners, its packages from them too, and its path is free for others. It can be restored until, after
// DeletionDelay or when somebody says so, it is condemned: nobody finds it any more, and RemovePlaces takes
// it away bit by bit. What is condemned is written in the rows themselves, so a crash or a second node changes nothing.

// scheduled is what the path of something marked ends in, so that nobody else's path can be like it.
func scheduled(id int64) string { return fmt.Sprintf("-deletion_scheduled-%d", id) }

// scheduledPath matches what scheduled has made.
var scheduledPath = regexp.MustCompile(`-deletion_scheduled-[0-9]+$`)

// PathBefore is the path, or full path, that something marked had before.
func PathBefore(path string, id int64) string { return strings.TrimSuffix(path, scheduled(id)) }

var (
	errMarkedGroup     = Errorf(Invalid, "Group has been already marked for deletion")
	errMarkedProject   = Errorf(Invalid, "Project has been already marked for deletion")
	errUnmarkedGroup   = Errorf(Invalid, "Group has not been marked for deletion")
	errUnmarkedProject = Errorf(Invalid, "Project has not been marked for deletion")
)

// MarkGroup marks a group for deletion. It returns Invalid when it is marked.
func (r *Registry) MarkGroup(ctx context.Context, id int64) error {
	_, err := r.ChangeGroup(ctx, id, GroupDeleted, func(tx Tx, g *Group) error {
		if !g.MarkedAt.IsZero() {
			return errMarkedGroup
		}
		g.MarkedAt, g.Path = time.Now().UTC().Truncate(time.Millisecond), g.Path+scheduled(id)
		return nil
	})
	if err == nil && r.DeletionDelay == 0 {
		err = r.CondemnGroup(ctx, id)
	}
	return err
}

// MarkProject is the same for projects.
func (r *Registry) MarkProject(ctx context.Context, id int64) error {
	_, err := r.ChangeProject(ctx, id, ProjectDeleted, func(tx Tx, p *Project) error {
		if !p.MarkedAt.IsZero() {
			return errMarkedProject
		}
		p.MarkedAt, p.Path = time.Now().UTC().Truncate(time.Millisecond), p.Path+scheduled(id)
		return nil
	})
	if err == nil && r.DeletionDelay == 0 {
		err = r.CondemnProject(ctx, id)
	}
	return err
}

// RestoreGroup takes a mark back. When another one has the path now, the group gets one like it. It returns Invalid when
// it is not marked.
func (r *Registry) RestoreGroup(ctx context.Context, id int64) (*Group, error) {
	restore := func(suffix string) (*Group, error) {
		return r.ChangeGroup(ctx, id, GroupRestored, func(tx Tx, g *Group) error {
			if g.MarkedAt.IsZero() {
				return errUnmarkedGroup
			}
			g.MarkedAt, g.Path = time.Time{}, PathBefore(g.Path, id)+suffix
			return nil
		})
	}
	g, err := restore("")
	if KindOf(err) == Conflict {
		g, err = restore(fmt.Sprintf("-restored-%d", id))
	}
	return g, err
}

// RestoreProject is the same for projects.
func (r *Registry) RestoreProject(ctx context.Context, id int64) (*Project, error) {
	restore := func(suffix string) (*Project, error) {
		return r.ChangeProject(ctx, id, ProjectRestored, func(tx Tx, p *Project) error {
			if p.MarkedAt.IsZero() {
				return errUnmarkedProject
			}
			p.MarkedAt, p.Path = time.Time{}, PathBefore(p.Path, id)+suffix
			return nil
		})
	}
	p, err := restore("")
	if KindOf(err) == Conflict {
		p, err = restore(fmt.Sprintf("-restored-%d", id))
	}
	return p, err
}

// CondemnGroup removes a marked group, with all that is in it, for good. It returns NotFound when that was done, and Invalid
// when the group is not marked any more.
func (r *Registry) CondemnGroup(ctx context.Context, id int64) error {
	return r.Store.Write(ctx, func(tx Tx) error {
		if err := tx.HoldPlaces(); err != nil {
			return err
		}
		g, err := tx.Group(id)
		if err != nil {
			return err
		}
		if g.MarkedAt.IsZero() {
			return errUnmarkedGroup
		}
		if err := tx.Condemn(id, 0); err != nil {
			return err
		}
		return tx.Record(&Event{Name: GroupDeleted, GroupID: id, Target: g.FullPath, Detail: "for good"})
	})
}

// CondemnProject is the same for projects.
func (r *Registry) CondemnProject(ctx context.Context, id int64) error {
	return r.Store.Write(ctx, func(tx Tx) error {
		if err := tx.HoldPlaces(); err != nil {
			return err
		}
		p, err := tx.Project(id)
		if err != nil {
			return err
		}
		if p.MarkedAt.IsZero() {
			return errUnmarkedProject
		}
		if err := tx.Condemn(0, id); err != nil {
			return err
		}
		return tx.Record(&Event{Name: ProjectDeleted, ProjectID: id, Target: p.FullPath, Detail: "for good"})
	})
}

// RemovePlaces condemns what was marked longer ago than DeletionDelay, and removes all that is condemned, in small
// transactions between which others have their turn. When ctx ends it stops; the rest is for the next time.
func (r *Registry) RemovePlaces(ctx context.Context) (err error) {
	var groups []*Group
	var projects []*Project
	err = r.Store.Read(ctx, func(tx Tx) (err error) {
		groups, projects, err = tx.DuePlaces(time.Now().Add(-r.DeletionDelay))
		return err
	})
	if err != nil {
		return err
	}
	if len(groups)+len(projects) > 0 {
		var end func(error)
		ctx, end = Trace(ctx, "job.RemovePlaces")
		defer func() { end(err) }()
	}
	// Meanwhile it may have been restored, or gone with a group above it, or another node was faster.
	passed := func(err error) error {
		if kind := KindOf(err); kind == NotFound || kind == Invalid {
			return nil
		}
		return err
	}
	var errs []error
	for _, p := range projects {
		errs = append(errs, passed(r.CondemnProject(ctx, p.ID)))
	}
	for _, g := range groups {
		errs = append(errs, passed(r.CondemnGroup(ctx, g.ID)))
	}
	for more := true; more && ctx.Err() == nil; {
		err := r.Store.Write(ctx, func(tx Tx) (err error) {
			more, err = tx.RemoveCondemned()
			return err
		})
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if more {
			r.removed.ring()
		}
	}
	return errors.Join(errs...)
}
