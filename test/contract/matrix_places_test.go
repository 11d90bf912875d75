package contract

import (
	"net/http"
	"strings"
)

// The rights of the routes that list, change, move, delete and restore groups and projects.

// anybody is for lists, which have for each caller what they may know of.
func anybody(id identity, s *site) int {
	id = id.person()
	switch {
	case id.refused != 0:
		return id.refused
	case !id.can("api", "read_api"):
		return http.StatusForbidden
	}
	return http.StatusOK
}

// restores is for owners of what is marked for deletion, of which nobody else knows.
func restores(id identity, s *site) int {
	status := manages(50, http.StatusCreated)(id, s)
	if id = id.person(); status == http.StatusForbidden && id.refused == 0 && id.can("api") {
		return http.StatusNotFound
	}
	return status
}

// says is a text that root reads of something.
func (w *world) says(path, key string) string {
	w.Helper()
	return w.ask(w.root(), "GET", path).says(key)
}

func placeRows() []row {
	// place is a group or a project in the group of a site, as open as that, so that everybody is in it what they are there.
	place := func(w *world, s *site, what string) (path string) {
		if what == "group" {
			return of(w.group(s.visibility, s.group))
		}
		return of(w.project(s.group, s.visibility))
	}
	// In such a place, members of something else below the group are nobody.
	managesPlace := func(level, success int) func(identity, *site) int {
		return func(id identity, s *site) int {
			id.inside = 0
			return manages(level, success)(id, s)
		}
	}
	rows := []row{
		reads(onServer, "GET /api/v4/groups", "lists groups", anybody),
		reads(onServer, "GET /api/v4/projects", "lists projects", anybody),
		{pattern: "GET /api/v4/users/{id}/projects", does: "lists the projects of a user", want: anybody, try: func(*world, *site, *caller) attempt {
			return attempt{call: call{path: "/api/v4/users/1/projects"}}
		}},
		reads(inGroups, "GET /api/v4/groups/{id}/subgroups", "lists the groups in the group", sees),
		reads(inGroups, "GET /api/v4/groups/{id}/descendant_groups", "lists the groups below the group", sees),
		reads(inGroups, "GET /api/v4/groups/{id}/projects", "lists the projects of the group", sees),
		{pattern: "POST /api/v4/groups/{id}/transfer", does: "moves the group to the top", at: inGroups, want: managesPlace(50, 201), try: func(w *world, s *site, _ *caller) attempt {
			path := place(w, s, "group")
			return attempt{call{method: "POST", path: "/api/v4" + path + "/transfer"}, func(w *world) bool { return !strings.Contains(w.says(path, "full_path"), "/") }}
		}},
		{pattern: "PUT /api/v4/projects/{id}/transfer", does: "moves the project to a subgroup", at: inGroups, want: managesPlace(50, 200), try: func(w *world, s *site, _ *caller) attempt {
			path, to := place(w, s, "project"), w.group(s.visibility, s.group)
			return attempt{call{method: "PUT", path: "/api/v4" + path + "/transfer", body: map[string]any{"namespace": to.ID}},
				func(w *world) bool { return strings.HasPrefix(w.says(path, "path_with_namespace"), to.FullPath+"/") }}
		}},
	}
	for _, archived := range []bool{true, false} {
		verb := map[bool]string{true: "archive", false: "unarchive"}
		rows = append(rows, row{pattern: "POST /api/v4/projects/{id}/" + verb[archived], does: verb[archived] + "s the project", at: inGroups, want: managesPlace(50, 201), try: func(w *world, s *site, _ *caller) attempt {
			path := place(w, s, "project")
			w.ask(w.root(), "POST", path+"/"+verb[!archived]).must(w, 201)
			return attempt{call{method: "POST", path: "/api/v4" + path + "/" + verb[archived]},
				func(w *world) bool { return w.ask(w.root(), "GET", path).object(w)["archived"] == archived }}
		}})
	}
	for _, in := range []struct {
		kind
		what  string
		least int
	}{{inProjects, "project", 40}, {inGroups, "group", 50}} {
		pattern := "/api/v4/" + in.what + "s/{id}"
		rows = append(rows,
			row{pattern: "PUT " + pattern, does: "describes the " + in.what, at: in.kind, want: manages(in.least, 200), try: func(_ *world, s *site, _ *caller) attempt {
				text := newPath()
				return attempt{call{method: "PUT", path: "/api/v4" + s.here(), body: map[string]any{"description": text}}, func(w *world) bool { return w.says(s.here(), "description") == text }}
			}},
			row{pattern: "DELETE " + pattern, does: "deletes the " + in.what, at: inGroups, want: managesPlace(50, 202), try: func(w *world, s *site, _ *caller) attempt {
				path := place(w, s, in.what)
				return attempt{call{method: "DELETE", path: "/api/v4" + path}, func(w *world) bool { return w.says(path, "marked_for_deletion_on") != "" }}
			}},
			row{pattern: "POST " + pattern + "/restore", does: "restores the " + in.what, at: inGroups, want: restores, try: func(w *world, s *site, _ *caller) attempt {
				path := place(w, s, in.what)
				w.ask(w.root(), "DELETE", path).must(w, 202)
				return attempt{call{method: "POST", path: "/api/v4" + path + "/restore"}, func(w *world) bool { return w.says(path, "marked_for_deletion_on") == "" }}
			}},
		)
	}
	return rows
}
