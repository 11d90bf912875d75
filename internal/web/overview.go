package web

import (
	"context"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

type overviewPage struct {
	Recent   []row
	Projects []*registry.Project
	Groups   []*registry.Group
	Empty    *publishPage // of a project without packages
	Owner    *registry.User
	Packages int
	Readable bool // its packages
	paging
}

// overview is the first page of a project, a group, or a user.
func (h *Handler) overview(q *request) error {
	p := &q.place
	if p.Group != nil && !p.Group.Personal() && strings.EqualFold(q.URL.Path, "/"+p.FullPath()) {
		q.redirect(p.Path())
		return nil
	}
	if p.Group != nil && p.Group.Personal() && q.URL.Path != p.Path() {
		q.redirect(p.Path())
		return nil
	}
	page := overviewPage{paging: q.paging(30), Readable: true}
	f := registry.PackageFilter{Statuses: registry.Listed, Order: registry.ByCreation, Descending: true, Limit: homeRecent, Viewer: q.who.Viewer()}
	if p.Project != nil {
		f.Project = p.Project.ID
		err := q.view.Authorize(q.who, p.Project, access.Read)
		switch registry.KindOf(err) {
		case registry.Unauthenticated, registry.Forbidden, registry.NotFound:
			page.Readable = false
		default:
			if err != nil {
				return err
			}
		}
	} else {
		f.Group = p.Group
	}
	err := q.read(func(tx registry.Tx) (err error) {
		if page.Readable && !p.Hidden() {
			packages, total, err := tx.ListPackages(f)
			if err != nil {
				return err
			}
			page.Packages = total
			if page.Recent, err = q.rows(tx, packages); err != nil {
				return err
			}
		}
		if p.Project != nil {
			return nil
		}
		if p.Group.Personal() {
			if page.Owner, err = tx.User(p.Group.OwnerID); err != nil {
				return err
			}
		} else if page.Groups, _, err = tx.Groups(registry.GroupFilter{Viewer: q.who.Viewer(), Parent: p.Group, Direct: true, Order: registry.GroupsByName, NoTotal: true, Limit: 100}); err != nil {
			return err
		}
		page.Projects, page.Total, err = tx.Projects(registry.ProjectFilter{Viewer: q.who.Viewer(), Namespace: p.Group, Direct: true, Order: registry.ProjectsByName,
			Limit: page.Size, Offset: page.Offset()})
		return err
	})
	if err != nil {
		return err
	}
	if p.Project != nil && page.Readable && page.Packages == 0 && !p.Hidden() {
		page.Empty = q.howToPublish()
	}
	return q.render("overview", p.FullPath(), page)
}

type storagePage struct {
	Whole    bytesFigure
	Projects []projectSize
	Most     int64
}

type projectSize struct {
	Project *registry.Project
	Bytes   int64
}

// largest is how many projects of a group are shown.
const largest = 20

// storage tells how much is stored, for those who may know.
func (h *Handler) storage(q *request) error {
	if err := q.require(access.Measure); err != nil {
		return err
	}
	group, project := q.place.IDs()
	var page storagePage
	type key struct{ group, project int64 }
	value, at, ok := h.figures.ask(key{group, project}, func(ctx context.Context) (any, error) {
		var all []registry.ProjectSize
		err := h.Registry.Store.Read(ctx, func(tx registry.Tx) (err error) {
			all, err = tx.LargestProjects(q.place.Group, project, largest)
			return err
		})
		return all, err
	})
	page.Whole.Ready, page.Whole.At = ok, at
	if ok {
		err := q.read(func(tx registry.Tx) error {
			for _, size := range value.([]registry.ProjectSize) {
				page.Whole.Bytes = size.Whole
				if p, err := tx.Project(size.ID); err == nil {
					page.Projects = append(page.Projects, projectSize{p, size.Bytes})
					page.Most = max(page.Most, size.Bytes)
				} else if registry.KindOf(err) != registry.NotFound {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return q.render("storage", q.place.FullPath()+" · "+q.t("Storage"), page)
}
