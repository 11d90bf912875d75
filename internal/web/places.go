package web

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

type newPlacePage struct {
	In         int64 // namespace; 0: the top
	Namespaces []*registry.Group
	Top        bool // there may be groups at the top
	Visibility registry.Visibility
	Parent     *registry.Group
}

// placesIn are the namespaces in which the person may make something.
func (q *request) placesIn(level registry.Level, personal bool) (all []*registry.Group, err error) {
	err = q.read(func(tx registry.Tx) error {
		if personal && q.who.User.Settles() {
			own, err := tx.Group(q.who.User.NamespaceID)
			if err != nil {
				return err
			}
			all = append(all, own)
		}
		groups, _, err := tx.Groups(registry.GroupFilter{Viewer: q.who.Viewer(), Level: level, Order: registry.GroupsByPath, NoTotal: true, Limit: 200})
		all = append(all, groups...)
		return err
	})
	return all, err
}

func (q *request) newPlace(level registry.Level, personal bool) (page newPlacePage, err error) {
	page.Visibility = registry.Private
	page.Top = q.who.User.Settles()
	if page.Namespaces, err = q.placesIn(level, personal); err != nil {
		return page, err
	}
	if page.In = q.number("in"); page.In != 0 && !slices.ContainsFunc(page.Namespaces, func(g *registry.Group) bool { return g.ID == page.In }) {
		// An administrator, who may do it anywhere, is no member.
		g, err := q.view.GroupByID(page.In)
		if err != nil {
			return page, err
		}
		if l, err := q.view.GroupLevel(q.who, g); err != nil || l < level {
			return page, errNoPage
		}
		page.Namespaces = append(page.Namespaces, g)
	}
	for _, g := range page.Namespaces {
		if g.ID == page.In {
			page.Parent, page.Visibility = g, g.Visibility
			if g.Personal() {
				page.Visibility = registry.Private
			}
		}
	}
	return page, nil
}

func (h *Handler) newGroup(q *request) error {
	page, err := q.newPlace(access.CreateSubgroup.Level(), false)
	if err != nil {
		return err
	}
	return q.render("new_group", q.t("New group"), page)
}

func (h *Handler) newProject(q *request) error {
	page, err := q.newPlace(access.CreateProject.Level(), true)
	if err != nil {
		return err
	}
	page.Top = false
	if page.In == 0 {
		page.In = q.who.User.NamespaceID
	}
	return q.render("new_project", q.t("New project"), page)
}

var notInPath = regexp.MustCompile(`[^a-z0-9_.]+`)

// slug makes a path of a name where none was given.
func slug(name string) string {
	return strings.Trim(notInPath.ReplaceAllString(strings.ToLower(name), "-"), "-.")
}

func (h *Handler) createGroup(q *request) error {
	form := q.placeForm()
	if in := q.PostFormValue("in"); in != "" && in != "0" {
		form.Set("parent_id", in)
	}
	return q.create("/groups", form, h.newGroup, "The group was created.")
}

func (h *Handler) createProject(q *request) error {
	form := q.placeForm()
	if in := q.PostFormValue("in"); in != "" {
		form.Set("namespace_id", in)
	}
	return q.create("/projects", form, h.newProject, "The project was created.")
}

// placeForm are the fields that groups and projects have in common.
func (q *request) placeForm() url.Values {
	form := q.fields("name", "path", "description", "visibility")
	if form.Get("path") == "" {
		form.Set("path", slug(form.Get("name")))
	}
	return form
}

// create makes a group or a project, and leads there.
func (q *request) create(path string, form url.Values, page func(*request) error, done string) error {
	return q.arrive(change{method: http.MethodPost, path: path, form: form, page: page, done: done}, "")
}

// arrive does what a form asks for and leads to the group or project that the API answers with, or to a page below it.
func (q *request) arrive(c change, below string) error {
	a, err := q.send(c)
	if err != nil {
		return err
	}
	var there struct {
		Project string `json:"path_with_namespace"`
		Group   string `json:"full_path"`
	}
	if a.status >= 300 || a.into(&there) != nil {
		return q.again(a, c)
	}
	to := "/" + there.Project
	if there.Project == "" {
		to = "/groups/" + there.Group
	}
	return q.done(c.done, to+below)
}
