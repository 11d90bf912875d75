package web

import (
	"net/http"
	"strconv"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// place is the project or the group of a page. The personal namespace of a user is a group here.
type place struct {
	Project *registry.Project // one of the two is set
	Group   *registry.Group
	Level   registry.Level // of the person
}

func (p *place) exists() bool { return p.Project != nil || p.Group != nil }

// Name and FullPath are those of the project or group.
func (p *place) Name() string {
	if p.Project != nil {
		return p.Project.Name
	}
	return p.Group.Name
}

func (p *place) FullPath() string {
	if p.Project != nil {
		return p.Project.FullPath
	}
	return p.Group.FullPath
}

func (p *place) Description() string {
	if p.Project != nil {
		return p.Project.Description
	}
	return p.Group.Description
}

// Visibility is who may know of it.
func (p *place) Visibility() registry.Visibility {
	if p.Project != nil {
		return p.Project.Visibility
	}
	return p.Group.Visibility
}

// Hidden tells whether it, or something above it, is marked for deletion; Marked, whether it is itself.
func (p *place) Hidden() bool {
	return p.Project != nil && p.Project.Hidden() || p.Group != nil && p.Group.Hidden()
}

func (p *place) Marked() bool {
	return p.Project != nil && !p.Project.MarkedAt.IsZero() || p.Group != nil && !p.Group.MarkedAt.IsZero()
}

// IDs are those of the group and of the project, one of which is 0.
func (p *place) IDs() (group, project int64) {
	if p.Project != nil {
		return 0, p.Project.ID
	}
	return p.Group.ID, 0
}

// Path is the address of its page, or of one below it.
func (p *place) Path(below ...string) string {
	path := "/" + p.FullPath()
	if p.Group != nil && !(p.Group.Personal() && len(below) == 0) {
		path = "/groups/" + p.FullPath()
	}
	if len(below) > 0 {
		path += "/-/" + strings.Join(below, "/")
	}
	return path
}

// api is its path in the REST API.
func (p *place) api() string {
	group, project := p.IDs()
	if project != 0 {
		return "/projects/" + strconv.FormatInt(project, 10)
	}
	return "/groups/" + strconv.FormatInt(group, 10)
}

// manage is what it takes to change its members, tokens and settings.
func (p *place) manage() access.Action {
	if p.Project != nil {
		return access.Manage
	}
	return access.Own
}

// May tells whether the person stands high enough for something.
func (p *place) may(action access.Action) bool { return p.Level >= action.Level() }

// Manages, Inspects, Owns, Publishes and Deletes are for templates.
func (p *place) Manages() bool  { return p.may(p.manage()) && !p.Hidden() }
func (p *place) Inspects() bool { return p.may(access.Inspect) }
func (p *place) Owns() bool     { return p.may(access.Own) }
func (p *place) Measures() bool { return p.may(access.Measure) }
func (p *place) Publishes() bool {
	return p.may(access.Publish) && p.Project != nil && !p.Project.Archived && !p.Hidden()
}
func (p *place) Deletes() bool {
	return p.may(access.Delete) && p.Project != nil && !p.Project.Archived && !p.Hidden()
}
func (p *place) CreatesProjects() bool { return p.may(access.CreateProject) && !p.Hidden() }
func (p *place) CreatesGroups() bool {
	return p.may(access.CreateSubgroup) && p.Group != nil && !p.Group.Personal() && !p.Hidden()
}

// findPlace finds what the path names, when the person may know of it. Who comes by a path that it had before is led on.
func (q *request) findPlace(inGroups bool) error {
	path := q.PathValue("place")
	if !inGroups {
		p, err := q.project(path)
		if err == nil || registry.KindOf(err) != registry.NotFound {
			q.place = place{Project: p}
			return q.enter(path, err)
		}
	}
	g, err := q.namespace(path)
	if err == nil {
		q.place = place{Group: g}
	}
	return q.enter(path, err)
}

// project and namespace find by path alone: a path may be a number, too.
func (q *request) project(path string) (*registry.Project, error) {
	if !strings.Contains(path, "/") {
		return nil, errNoPage
	}
	return q.view.Project(path)
}

func (q *request) namespace(path string) (g *registry.Group, err error) {
	if _, number := strconv.ParseInt(path, 10, 64); number != nil {
		return q.view.Namespace(path)
	}
	err = q.read(func(tx registry.Tx) error {
		g, err = tx.GroupByPath(path)
		return err
	})
	return g, err
}

// enter looks whether the person may know of the place.
func (q *request) enter(path string, err error) error {
	if err != nil {
		q.place = place{}
		return err
	}
	known := false
	if p := q.place.Project; p != nil {
		if q.place.Level, err = q.view.ProjectLevel(q.who, p); err == nil {
			known, err = q.view.Knows(q.who, p)
		}
	} else {
		if q.place.Level, err = q.view.GroupLevel(q.who, q.place.Group); err == nil {
			known, err = q.view.KnowsGroup(q.who, q.place.Group, q.place.Level)
		}
	}
	if err == nil && !known {
		err = errNoPage
	}
	if err != nil {
		return err
	}
	if full := q.place.FullPath(); !strings.EqualFold(path, full) && q.Method == http.MethodGet {
		segments := strings.Split(q.URL.EscapedPath(), "/")
		for i, segment := range segments {
			if strings.EqualFold(segment, strings.ReplaceAll(path, "/", "%2F")) {
				segments[i] = full
				to := strings.Join(segments, "/")
				if q.URL.RawQuery != "" {
					to += "?" + q.URL.RawQuery
				}
				return movedError(to)
			}
		}
	}
	return nil
}

// require says whether the person may do something here, as [access.View.Authorize] does.
func (q *request) require(action access.Action) error {
	if q.place.Project != nil && action <= access.Delete {
		err := q.view.Authorize(q.who, q.place.Project, action)
		if registry.KindOf(err) == registry.Unauthenticated {
			return errNoPage
		}
		return err
	}
	if q.place.Level < action.Level() {
		return errForbidden
	}
	return nil
}

// crumbs are the path of the place: each segment leads there.
func (q *request) crumbs() (crumbs []crumb) {
	segments := strings.Split(q.place.FullPath(), "/")
	personal := q.place.Group != nil && q.place.Group.Personal() || q.place.Project != nil && len(segments) == 2 && q.isPersonal(q.place.Project)
	for i, segment := range segments {
		path := "/groups/" + strings.Join(segments[:i+1], "/")
		if last := i == len(segments)-1; last {
			path = q.place.Path()
		} else if personal {
			path = "/" + segment
		}
		crumbs = append(crumbs, crumb{segment, path})
	}
	return crumbs
}

func (q *request) isPersonal(p *registry.Project) bool {
	g, err := q.view.GroupByID(p.NamespaceID)
	return err == nil && g.Personal()
}

// tabs are the pages of the place that the person may open.
func (q *request) tabs() (tabs []tab) {
	p := &q.place
	add := func(shown bool, text string, below ...string) {
		if shown {
			path := p.Path(below...)
			here := q.URL.Path == path || len(below) > 0 && strings.HasPrefix(q.URL.Path, path+"/")
			tabs = append(tabs, tab{text, path, here})
		}
	}
	personal := p.Group != nil && p.Group.Personal()
	add(true, q.t("Overview"))
	add(!p.Hidden(), q.t("Packages"), "packages")
	add(p.Project != nil && !p.Hidden(), q.t("Publish and install"), "publish")
	add(p.Measures() && !p.Hidden(), q.t("Storage"), "storage")
	add(q.who.User != nil && !personal && !p.Hidden(), q.t("Members"), "members")
	add(p.Inspects() && !personal && !p.Hidden(), q.t("Deploy tokens"), "tokens")
	add(p.Inspects() && !personal && !p.Hidden(), q.t("Protection"), "rules")
	add(p.Inspects() && p.Project != nil && !p.Hidden(), q.t("Cleanup"), "cleanup")
	add(p.Inspects() && !personal, q.t("Activity"), "activity")
	add(p.may(p.manage()) && !personal, q.t("Settings"), "settings")
	return tabs
}
