package web

import (
	"context"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// ---- health

type healthPage struct {
	Checks     []check
	Version    string
	Go         string
	Started    time.Time
	Goroutines int
	Memory     int64
	Backlog    registry.Backlog
}

type check struct {
	Name string
	OK   bool
	Text string
}

func (h *Handler) health(q *request) error {
	bounded, cancel := context.WithTimeout(q.Context(), 2*time.Second)
	defer cancel()
	page := healthPage{Version: h.Version, Go: runtime.Version(), Started: h.Started, Goroutines: runtime.NumGoroutine()}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	page.Memory = int64(memory.HeapInuse)
	for name, err := range h.Health(bounded) {
		c := check{Name: name, OK: err == nil}
		if err != nil {
			c.Text = registry.MessageOf(err)
		}
		page.Checks = append(page.Checks, c)
	}
	slices.SortFunc(page.Checks, func(a, b check) int { return strings.Compare(a.Name, b.Name) })
	err := q.read(func(tx registry.Tx) (err error) {
		page.Backlog, err = tx.Backlog()
		return err
	})
	if err != nil {
		return err
	}
	return q.render("admin_health", q.t("Health"), page)
}

// ---- users

type usersPage struct {
	Users  []*registry.User
	Filter string
	State  string
	paging
}

func (h *Handler) users(q *request) error {
	page := usersPage{Filter: q.param("filter"), State: q.choice("state", "", "active", "blocked", "deactivated", "banned", "admins", "bots"), paging: q.paging(50)}
	f := registry.UserFilter{Search: page.Filter, ByEmail: true, Order: registry.ByUsername, Bot: new(page.State == "bots"), Limit: page.Size, Offset: page.Offset()}
	switch page.State {
	case "active":
		f.State = new(registry.Active)
	case "blocked", "deactivated", "banned":
		f.State = new(registry.UserState(page.State))
	case "admins":
		f.Admin = new(true)
	}
	err := q.read(func(tx registry.Tx) (err error) {
		page.Users, page.Total, err = tx.Users(f)
		return err
	})
	if err != nil {
		return err
	}
	return q.render("admin_users", q.t("Users"), page)
}

func (h *Handler) newUser(q *request) error { return q.render("admin_new_user", q.t("New user"), nil) }

func (h *Handler) createUser(q *request) error {
	form := q.fields("username", "name", "email", "password")
	form.Set("admin", q.box("admin"))
	form.Set("external", q.box("external"))
	return q.submit(change{method: http.MethodPost, path: "/users", form: form, page: h.newUser, done: "The user was created.", to: "/-/admin/users"})
}

type userPage struct {
	Person      *registry.User
	Memberships []*registry.Membership
	Paths       map[int64]string // of groups, by id
	Projects    map[int64]*registry.Project
	Tokens      int
	Verbs       []string
	Events      []*registry.Event
}

// verbs are what may be done to a user in a state.
var verbs = map[registry.UserState][]string{registry.Active: {"block", "deactivate", "ban"}, registry.Blocked: {"unblock"}, registry.Deactivated: {"activate", "block"}, registry.Banned: {"unban"}}

func (h *Handler) user(q *request) error {
	page := userPage{Paths: map[int64]string{}}
	err := q.read(func(tx registry.Tx) (err error) {
		if page.Person, err = tx.User(q.number("user_id")); err != nil {
			return err
		}
		if page.Memberships, _, err = tx.Memberships(registry.MembershipFilter{UserID: page.Person.ID, Groups: true, Projects: true, Limit: 100}); err != nil {
			return err
		}
		var groups, projects []int64
		for _, m := range page.Memberships {
			if m.GroupID != 0 {
				groups = append(groups, m.GroupID)
			} else {
				projects = append(projects, m.ProjectID)
			}
		}
		if len(groups) > 0 {
			found, err := tx.GroupsByID(groups)
			if err != nil {
				return err
			}
			for _, g := range found {
				page.Paths[g.ID] = g.FullPath
			}
		}
		if page.Projects, err = projectsByID(tx, projects); err != nil {
			return err
		}
		if _, page.Tokens, err = tx.PageTokens(registry.TokenFilter{UserID: page.Person.ID, Active: true}, 1, 0); err != nil {
			return err
		}
		page.Events, _, err = tx.Events(registry.EventFilter{OfUserID: page.Person.ID, Users: true, NoTotal: true, Limit: 10})
		return err
	})
	if err != nil {
		return err
	}
	if page.Person.ID != q.who.User.ID {
		page.Verbs = verbs[page.Person.State]
	}
	return q.render("admin_user", page.Person.Username, page)
}

func (q *request) userPath() string { return "/-/admin/users/" + q.id("user_id") }

func (h *Handler) changeUser(q *request) error {
	form := q.fields("username", "name", "email")
	if password := q.PostFormValue("password"); password != "" {
		form.Set("password", password)
	}
	if form.Get("email") == "" {
		form.Del("email")
	}
	form.Set("admin", q.box("admin"))
	form.Set("external", q.box("external"))
	return q.submit(change{method: http.MethodPut, path: "/users/" + q.id("user_id"), form: form, page: h.user, done: "The changes were saved.", to: q.userPath()})
}

func (h *Handler) changeState(q *request) error {
	verb := known(q.PostFormValue("verb"), "", "block", "unblock", "deactivate", "activate", "ban", "unban")
	if verb == "" {
		return registry.Errorf(registry.Invalid, "There is no such change")
	}
	if q.unsure() {
		switch verb {
		case "block":
			return q.ask("Block %s?", "They cannot sign in, and their tokens are refused, until they are unblocked.", "Block")
		case "deactivate":
			return q.ask("Deactivate %s?", "Their tokens are refused until they sign in again.", "Deactivate")
		case "ban":
			return q.ask("Ban %s?", "They cannot sign in, and their tokens are refused, until they are unbanned.", "Ban")
		}
	}
	return q.submit(change{method: http.MethodPost, path: "/users/" + q.id("user_id") + "/" + verb, page: h.user, done: "The changes were saved.", to: q.userPath()})
}

func (h *Handler) deleteUser(q *request) error {
	var name string
	err := q.read(func(tx registry.Tx) error {
		u, err := tx.User(q.number("user_id"))
		if err == nil {
			name = u.Username
		}
		return err
	})
	if err == nil {
		err = q.confirmed(name)
	}
	if err != nil {
		return q.refused(err, h.user)
	}
	return q.submit(change{method: http.MethodDelete, path: "/users/" + q.id("user_id"), page: h.user, done: "The user was removed.", to: "/-/admin/users"})
}

// ---- groups

type groupsPage struct {
	Groups []*registry.Group
	Filter string
	paging
}

func (h *Handler) groups(q *request) error {
	page := groupsPage{Filter: q.param("filter"), paging: q.paging(50)}
	err := q.read(func(tx registry.Tx) (err error) {
		page.Groups, page.Total, err = tx.Groups(registry.GroupFilter{Viewer: q.who.Viewer(), Search: page.Filter, Order: registry.GroupsByPath, Limit: page.Size, Offset: page.Offset()})
		return err
	})
	if err != nil {
		return err
	}
	return q.render("admin_groups", q.t("All groups"), page)
}

// ---- jobs

type jobsPage struct {
	Backlog  registry.Backlog
	Policies []jobRow
	paging
}

type jobRow struct {
	*registry.CleanupPolicy
	Project *registry.Project
}

// Running tells whether a node is at it.
func (j jobRow) Running() bool {
	return !j.Run.StartedAt.IsZero() && j.Run.FinishedAt.IsZero() && j.Run.Error == ""
}

// jobs are what the server does in the background: cleanup of projects, and removal of what was deleted.
func (h *Handler) jobs(q *request) error {
	page := jobsPage{paging: q.paging(50)}
	err := q.read(func(tx registry.Tx) (err error) {
		if page.Backlog, err = tx.Backlog(); err != nil {
			return err
		}
		policies, total, err := tx.CleanupPolicies(page.Size, page.Offset())
		if err != nil {
			return err
		}
		page.Total = total
		var ids []int64
		for _, p := range policies {
			ids = append(ids, p.ProjectID)
		}
		projects, err := projectsByID(tx, ids)
		for _, p := range policies {
			if project := projects[p.ProjectID]; project != nil {
				page.Policies = append(page.Policies, jobRow{p, project})
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return q.render("admin_jobs", q.t("Jobs"), page)
}

// ---- storage and traffic

type usagePage struct {
	At                          time.Time
	Ready                       bool
	Usage                       registry.Usage
	Stored, Published, Download chart
}

const usageDays = 90

// usage draws what is stored and what is downloaded.
func (h *Handler) usage(q *request) error {
	to := time.Now().UTC().Truncate(24 * time.Hour)
	from := to.AddDate(0, 0, 1-usageDays)
	value, at, ok := h.figures.ask("usage", func(ctx context.Context) (any, error) {
		var usage registry.Usage
		err := h.Registry.Store.Read(ctx, func(tx registry.Tx) (err error) {
			usage, err = tx.Usage(from, to)
			return err
		})
		return usage, err
	})
	page := usagePage{At: at, Ready: ok}
	if ok {
		page.Usage = value.(registry.Usage)
		page.Stored = newChart(from, to, page.Usage.Stored, nil)
		page.Stored.Unit = "bytes"
		page.Published = newChart(from, to, page.Usage.Published, nil)
		page.Download = newChart(from, to, page.Usage.Downloads, nil)
	}
	return q.render("admin_usage", q.t("Storage and traffic"), page)
}

// ---- audit log

func (h *Handler) audit(q *request) error {
	entity := q.choice("of", "", "projects", "groups", "users")
	page, err := q.events(registry.EventFilter{Projects: entity == "projects", Groups: entity == "groups", Users: entity == "users"})
	if err != nil {
		return err
	}
	page.Entity = entity
	return q.render("admin_audit", q.t("Audit log"), page)
}
