package web

import (
	"slices"
	"strings"

	"packhouse/internal/registry"
)

// row is a package in a list of packages.
type row struct {
	*registry.Package
	Project *registry.Project
	Tags    []string
	Here    bool // on a page of its project
}

// Path is the address of its page.
func (r row) Path() string { return packagePath(r.Project, r.Package.ID) }

// rows add to packages what lists show of them: the same queries, however many there are.
func (q *request) rows(tx registry.Tx, packages []*registry.Package) (rows []row, err error) {
	var ids, projects []int64
	for _, p := range packages {
		ids, projects = append(ids, p.ID), append(projects, p.ProjectID)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	tags, err := tx.TagsOf(ids)
	if err != nil {
		return nil, err
	}
	homes, err := projectsByID(tx, projects)
	if err != nil {
		return nil, err
	}
	for _, p := range packages {
		r := row{Package: p, Project: homes[p.ProjectID], Here: q.place.Project != nil}
		for _, tag := range tags {
			if tag.PackageID == p.ID {
				r.Tags = append(r.Tags, tag.Name)
			}
		}
		if r.Project != nil { // it is being removed
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// projectsByID are projects by their ids; those that are gone are not among them.
func projectsByID(tx registry.Tx, ids []int64) (map[int64]*registry.Project, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ids = slices.Clone(ids)
	slices.Sort(ids)
	all, err := tx.ProjectsByID(slices.Compact(ids))
	byID := make(map[int64]*registry.Project, len(all))
	for _, p := range all {
		byID[p.ID] = p
	}
	return byID, err
}

type homePage struct {
	Projects []*registry.Project
	Groups   []*registry.Group
	Recent   []row
	Mine     bool
}

const (
	homePlaces = 12
	homeRecent = 10
)

// home is what one comes for: one's own projects and groups, and what was published lately; for who is not signed in, what is public.
func (h *Handler) home(q *request) error {
	if q.who.User != nil && q.who.User.Temporary {
		return errSetUpFirst
	}
	page := homePage{Mine: q.who.User != nil}
	viewer := q.who.Viewer()
	var level registry.Level
	if page.Mine {
		level = registry.Guest
	}
	err := q.read(func(tx registry.Tx) (err error) {
		if page.Projects, _, err = tx.Projects(registry.ProjectFilter{Viewer: viewer, Level: level, Order: registry.ProjectsByUpdate, Descending: true, NoTotal: true, Limit: homePlaces}); err != nil {
			return err
		}
		if page.Groups, _, err = tx.Groups(registry.GroupFilter{Viewer: viewer, Level: level, Order: registry.GroupsByName, NoTotal: true, Limit: homePlaces}); err != nil {
			return err
		}
		page.Recent, err = q.recent(tx, viewer)
		return err
	})
	if err != nil {
		return err
	}
	return q.render("home", q.t("Home"), page)
}

// recent is what was published last, as far as the viewer may read it.
func (q *request) recent(tx registry.Tx, viewer registry.Viewer) ([]row, error) {
	packages, _, err := tx.ListPackages(registry.PackageFilter{Everywhere: true, Viewer: viewer, Statuses: registry.Listed, Order: registry.ByCreation, Descending: true, Limit: homeRecent})
	if err != nil {
		return nil, err
	}
	return q.rows(tx, packages)
}

type explorePage struct {
	Projects []*registry.Project
	Groups   []*registry.Group
	Shown    string // "projects" or "groups"
	Filter   string
	Sort     string
	paging
}

// explore lists the projects and groups that the person may know of.
func (h *Handler) explore(q *request) error {
	page := explorePage{Shown: q.choice("show", "projects", "groups"), Filter: q.param("filter"), Sort: q.choice("sort", "name", "created"), paging: q.paging(30)}
	err := q.read(func(tx registry.Tx) (err error) {
		if page.Shown == "groups" {
			order := map[string]registry.GroupOrder{"name": registry.GroupsByName, "created": registry.GroupsByID}[page.Sort]
			page.Groups, page.Total, err = tx.Groups(registry.GroupFilter{Viewer: q.who.Viewer(), Search: page.Filter, Order: order, Descending: page.Sort == "created",
				Limit: page.Size, Offset: page.Offset()})
			return err
		}
		order := map[string]registry.ProjectOrder{"name": registry.ProjectsByName, "created": registry.ProjectsByCreation}[page.Sort]
		page.Projects, page.Total, err = tx.Projects(registry.ProjectFilter{Viewer: q.who.Viewer(), Search: page.Filter, Order: order, Descending: page.Sort == "created",
			Limit: page.Size, Offset: page.Offset()})
		return err
	})
	if err != nil {
		return err
	}
	return q.render("explore", q.t("Explore"), page)
}

// ---- search

type found struct {
	*registry.Entry
	Latest  *registry.Package
	Project *registry.Project
}

// Path is the address of the page of its latest version.
func (f found) Path() string { return packagePath(f.Project, f.Latest.ID) }

type searchPage struct {
	Query    string
	Type     string
	Found    []found
	Projects []*registry.Project
	Groups   []*registry.Group
	paging
}

// placesFound is how many projects and how many groups a search finds: more are found under Explore.
const placesFound = 5

// maxQuery bounds a query, in words.
const maxQuery = 8

// find looks for names that a query selects, as far as the person may read them.
func (q *request) find(tx registry.Tx, page *searchPage, quick bool) error {
	words := strings.Fields(page.Query)
	words = words[:min(len(words), maxQuery)]
	entries, total, err := tx.SearchEntries(registry.EntryFilter{Type: registry.Type(page.Type), Viewer: q.who.Viewer(), Known: true, Listed: registry.AnyKind, Terms: words, NoTotal: quick,
		Limit: page.Size, Offset: page.Offset()})
	if err != nil {
		return err
	}
	page.Total = total
	if page.Found, err = q.withLatest(tx, entries); err != nil {
		return err
	}
	if page.Number > 1 {
		return nil
	}
	if page.Projects, _, err = tx.Projects(registry.ProjectFilter{Viewer: q.who.Viewer(), Search: page.Query, Order: registry.ProjectsByName, NoTotal: true, Limit: placesFound}); err != nil {
		return err
	}
	page.Groups, _, err = tx.Groups(registry.GroupFilter{Viewer: q.who.Viewer(), Search: page.Query, Order: registry.GroupsByPath, NoTotal: true, Limit: placesFound})
	return err
}

// founds are the entries of a filter with what lists show of them.
func (q *request) founds(tx registry.Tx, f registry.EntryFilter) ([]found, error) {
	entries, _, err := tx.SearchEntries(f)
	if err != nil {
		return nil, err
	}
	return q.withLatest(tx, entries)
}

// withLatest adds to entries their latest versions and their projects.
func (q *request) withLatest(tx registry.Tx, entries []*registry.Entry) (all []found, err error) {
	if len(entries) == 0 {
		return nil, nil
	}
	var latest, projects []int64
	for _, e := range entries {
		latest, projects = append(latest, e.LatestID), append(projects, e.ProjectID)
	}
	packages, err := tx.PackagesByID(latest)
	if err != nil {
		return nil, err
	}
	homes, err := projectsByID(tx, projects)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f := found{Entry: e, Project: homes[e.ProjectID]}
		if i := slices.IndexFunc(packages, func(p *registry.Package) bool { return p.ID == e.LatestID }); i >= 0 {
			f.Latest = packages[i]
		}
		if f.Latest != nil && f.Project != nil {
			all = append(all, f)
		}
	}
	return all, nil
}

func (h *Handler) search(q *request) error {
	page := searchPage{Query: q.param("q"), Type: q.choice("type", append([]string{""}, typeNames()...)...), paging: q.paging(30)}
	if page.Query != "" {
		if err := q.read(func(tx registry.Tx) error { return q.find(tx, &page, false) }); err != nil {
			return err
		}
	}
	return q.render("search", q.t("Search"), page)
}

// suggest answers the first that is found, as a piece of HTML for the list below the search box.
func (h *Handler) suggest(q *request) error {
	page := searchPage{Query: q.param("q"), paging: paging{Number: 1, Size: 8}}
	if page.Query != "" {
		if err := q.read(func(tx registry.Tx) error { return q.find(tx, &page, true) }); err != nil {
			return err
		}
	}
	return q.write("suggestions", page)
}
