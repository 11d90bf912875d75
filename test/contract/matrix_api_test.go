package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"packhouse/test/harness"
)

// The rights of GitLab's API for users, groups, projects, members, tokens and packages.

// person is the caller as this API sees them: deploy and job tokens are for packages, and nobody's here.
func (id identity) person() identity {
	if id.packages {
		return identity{}
	}
	return id
}

// sees is for what everybody may look at who may know of the place.
func sees(id identity, s *site) int { return looks(0)(id, s) }

// looks is for what members of a level may look at; 0: no members only.
func looks(level int) func(identity, *site) int {
	return func(id identity, s *site) int {
		id = id.person()
		switch {
		case id.refused != 0:
			return id.refused
		case !id.can("api", "read_api"):
			return http.StatusForbidden
		case !id.known(s):
			return http.StatusNotFound
		case id.level >= level:
			return http.StatusOK
		case !id.user:
			return http.StatusUnauthorized
		}
		return http.StatusForbidden
	}
}

// signedIn is for what everybody may look at who has signed in and may know of the place.
func signedIn(id identity, s *site) int {
	if id.refused == 0 && !id.person().user {
		return http.StatusUnauthorized
	}
	return sees(id, s)
}

// manages is for changes that take a level. Who is nobody is told so, whatever the place.
func manages(level, success int) func(identity, *site) int {
	return func(id identity, s *site) int {
		id = id.person()
		switch {
		case id.refused != 0:
			return id.refused
		case !id.user:
			return http.StatusUnauthorized
		case !id.can("api"):
			return http.StatusForbidden
		case !id.known(s):
			return http.StatusNotFound
		case id.level >= level:
			return success
		}
		return http.StatusForbidden
	}
}

// users is for what everybody does who has signed in, with a token of one of some scopes.
func users(success int, scopes ...string) func(identity, *site) int {
	return func(id identity, _ *site) int {
		id = id.person()
		switch {
		case id.refused != 0:
			return id.refused
		case !id.user:
			return http.StatusUnauthorized
		case !id.can(scopes...):
			return http.StatusForbidden
		}
		return success
	}
}

// administrators is for what only they do.
func administrators(success int, scopes ...string) func(identity, *site) int {
	return func(id identity, s *site) int {
		if status := users(success, scopes...)(id, s); status != success || id.level == adminLevel {
			return status
		}
		return http.StatusForbidden
	}
}

// reads is a row that changes nothing. The path is the pattern's, with the site's ids in it.
func reads(at kind, pattern, does string, want func(identity, *site) int, query ...string) row {
	return row{pattern: pattern, does: does, at: at, want: want, try: func(_ *world, s *site, _ *caller) attempt {
		method, _, _ := strings.Cut(pattern, " ")
		path := s.route(pattern)
		if !strings.HasPrefix(path, "/api/") {
			path = "/api/v4" + path
		}
		return attempt{call: call{method: method, path: path + strings.Join(query, "")}}
	}}
}

// api prepends what the API's patterns have in common.
func api(pattern string) string { return strings.Replace(pattern, " ", " /api/v4", 1) }

// there tells whether root gets something at a path of the API.
func (w *world) there(path string) bool {
	w.Helper()
	a := w.send(call{path: "/api/v4" + path, as: w.root()})
	if a.status != http.StatusOK && a.status != http.StatusNotFound {
		w.Errorf("%s as root: %d %.300s", a.call, a.status, a.body)
	}
	return a.status == http.StatusOK
}

// lists tells whether one of a list has some value, on whatever page.
func (w *world) lists(path, field string, value any) bool {
	w.Helper()
	for page := "1"; page != ""; {
		a := w.send(call{path: "/api/v4" + path + "?per_page=100&page=" + page, as: w.root()}).must(w, http.StatusOK)
		var list []map[string]any
		if err := json.Unmarshal(a.body, &list); err != nil {
			w.Fatal(err)
		}
		for _, one := range list {
			if fmt.Sprint(one[field]) == fmt.Sprint(value) {
				return true
			}
		}
		page = a.header.Get("X-Next-Page")
	}
	return false
}

// here is the path of the site in the API.
func (s *site) here() string {
	if s.kind == inGroups {
		return s.group.path()
	}
	return fmt.Sprintf("/projects/%d", s.project.ID)
}

func (w *world) cheapUser() (u user) {
	w.Helper()
	name := "c" + harness.Random()[:12]
	w.make("/users", map[string]any{"username": name, "name": name, "email": name + "@example.com", "force_random_password": true}, &u)
	return u
}

// creates is a row that makes something with a name of its own in a list of the site.
func creates(at kind, pattern, does string, want func(identity, *site) int, list string, body map[string]any) row {
	return row{pattern: api(pattern), does: does, at: at, want: want, try: func(_ *world, s *site, _ *caller) attempt {
		name := "n" + harness.Random()[:12]
		sent := map[string]any{"name": name}
		for key, value := range body {
			sent[key] = value
		}
		method, _, _ := strings.Cut(pattern, " ")
		return attempt{call{method: method, path: "/api/v4" + s.route(pattern), body: sent}, func(w *world) bool { return w.lists(s.here()+list, "name", name) }}
	}}
}

func init() {
	preparations = append(preparations, func(w *world, s *site, them people) {
		var made harness.Token
		w.make(s.here()+"/deploy_tokens", map[string]any{"name": "prepared", "scopes": []string{"read_package_registry"}}, &made)
		secret(made.Token)
		s.ids["token_id"] = made.ID
		s.ids["user_id"] = them["a guest"].ID
	})
}

func apiRows() []row {
	rows := []row{
		reads(onServer, "GET /api/v4/version", "asks for the version", users(200, "api", "read_api", "read_user")),
		reads(onServer, "GET /api/v4/metadata", "asks for the metadata", users(200, "api", "read_api", "read_user")),
		reads(onServer, "GET /api/v4/openapi.json", "reads the OpenAPI document", func(identity, *site) int { return 200 }),

		// Users.
		reads(onServer, "GET /api/v4/user", "asks who they are", users(200, "api", "read_api", "read_user")),
		reads(onServer, "GET /api/v4/users", "lists users", users(200, "api", "read_api", "read_user")),
		{pattern: "GET /api/v4/users/{id}", does: "looks at a user", want: func(id identity, s *site) int {
			if status := users(200, "api", "read_api", "read_user")(id, s); status != 401 || id.refused != 0 {
				return status
			}
			return 404 // users are hidden from nobody in particular
		}, try: func(*world, *site, *caller) attempt { return attempt{call: call{path: "/api/v4/users/1"}} }},
		{pattern: "POST /api/v4/users", does: "creates a user", want: administrators(201, "api"), try: func(*world, *site, *caller) attempt {
			name := "n" + harness.Random()[:12]
			return attempt{call{method: "POST", path: "/api/v4/users", body: map[string]any{"username": name, "name": name, "email": name + "@example.com", "force_random_password": true}},
				func(w *world) bool { return w.lists("/users", "username", name) }}
		}},

		// Personal access tokens.
		{pattern: "POST /api/v4/users/{id}/personal_access_tokens", does: "makes a token for somebody else", want: administrators(201, "api"), try: func(w *world, _ *site, _ *caller) attempt {
			u := w.cheapUser()
			return attempt{call{method: "POST", path: fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", u.ID), body: map[string]any{"name": "n", "scopes": []string{"api"}}},
				func(w *world) bool { return w.tokens(u) > 0 }}
		}},
		reads(onServer, "GET /api/v4/personal_access_tokens", "lists their tokens", users(200, "api", "read_api")),
		reads(onServer, "GET /api/v4/personal_access_tokens", "lists the tokens of somebody else", others(200, "api", "read_api"), "?user_id=1"),
		{pattern: "GET /api/v4/personal_access_tokens/{id}", does: "looks at somebody else's token", want: others(200, "api", "read_api"), try: func(w *world, _ *site, _ *caller) attempt {
			return attempt{call: call{path: fmt.Sprintf("/api/v4/personal_access_tokens/%d", w.tokenOf(w.cheapUser()).ID)}}
		}},
		{pattern: "DELETE /api/v4/personal_access_tokens/{id}", does: "revokes somebody else's token", want: others(204, "api"), try: func(w *world, _ *site, _ *caller) attempt {
			u := w.cheapUser()
			return attempt{call{method: "DELETE", path: fmt.Sprintf("/api/v4/personal_access_tokens/%d", w.tokenOf(u).ID)}, func(w *world) bool { return w.tokens(u) == 0 }}
		}},
		reads(onServer, "GET /api/v4/personal_access_tokens/self", "looks at the token they came with", itself(200)),
		{pattern: "DELETE /api/v4/personal_access_tokens/self", does: "revokes the token they came with", want: itself(204), own: true, try: func(*world, *site, *caller) attempt {
			return attempt{call: call{method: "DELETE", path: "/api/v4/personal_access_tokens/self"}}
		}},

		// Groups and projects.
		reads(inGroups, "GET /api/v4/groups/{id}", "looks at the group", sees),
		{pattern: "POST /api/v4/groups", does: "creates a group at the top", want: residents(201), try: func(*world, *site, *caller) attempt {
			path := "n" + harness.Random()[:12]
			return attempt{call{method: "POST", path: "/api/v4/groups", body: map[string]any{"name": path, "path": path}}, func(w *world) bool { return w.there("/groups/" + path) }}
		}},
		{pattern: "POST /api/v4/groups", does: "creates a subgroup", at: inGroups, want: manages(40, 201), try: func(_ *world, s *site, _ *caller) attempt {
			path := "n" + harness.Random()[:12]
			return attempt{call{method: "POST", path: "/api/v4/groups", body: map[string]any{"name": path, "path": path, "parent_id": s.group.ID}},
				func(w *world) bool {
					return w.there("/groups/" + strings.ReplaceAll(s.group.FullPath, "/", "%2F") + "%2F" + path)
				}}
		}},
		reads(inProjects, "GET /api/v4/projects/{id}", "looks at the project", sees),
		{pattern: "POST /api/v4/projects", does: "creates a project of their own", want: residents(201), try: func(*world, *site, *caller) attempt {
			return attempt{call: call{method: "POST", path: "/api/v4/projects", body: map[string]any{"name": "n" + harness.Random()[:12]}}}
		}},
		{pattern: "POST /api/v4/projects", does: "creates a project in the group", at: inGroups, want: func(id identity, s *site) int {
			switch status := manages(30, 201)(id, s); {
			case (status == 403 || status == 404) && id.refused == 0 && id.person().can("api"):
				return 400 // the group "is not valid" for them, whether they may know of it or not
			default:
				return status
			}
		}, try: func(_ *world, s *site, _ *caller) attempt {
			path := "n" + harness.Random()[:12]
			return attempt{call{method: "POST", path: "/api/v4/projects", body: map[string]any{"path": path, "namespace_id": s.group.ID}},
				func(w *world) bool {
					return w.there("/projects/" + strings.ReplaceAll(s.group.FullPath, "/", "%2F") + "%2F" + path)
				}}
		}},
		{pattern: "POST /api/v4/projects/{id}/job_tokens", does: "makes a job token", at: inProjects, want: manages(30, 201), try: func(_ *world, s *site, _ *caller) attempt {
			return attempt{call: call{method: "POST", path: "/api/v4" + s.here() + "/job_tokens", body: map[string]any{"ref": "main"}}}
		}},
	}
	for _, in := range []struct {
		kind
		what, path string
		least      int // level of those who manage it
	}{{inProjects, "project", "/projects/{id}", 40}, {inGroups, "group", "/groups/{id}", 50}} {
		rows = append(rows,
			reads(in.kind, "GET /api/v4"+in.path+"/members", "lists the members", signedIn),
			row{pattern: api("POST " + in.path + "/members"), does: "adds a member", at: in.kind, want: manages(in.least, 201), try: func(w *world, s *site, _ *caller) attempt {
				u := w.cheapUser()
				return attempt{call{method: "POST", path: "/api/v4" + s.here() + "/members", body: map[string]any{"user_id": u.ID, "access_level": 10}},
					func(w *world) bool { return w.lists(s.here()+"/members", "id", u.ID) }}
			}},

			reads(in.kind, "GET /api/v4"+in.path+"/deploy_tokens", "lists the deploy tokens", looks(40)),
			reads(in.kind, "GET /api/v4"+in.path+"/deploy_tokens/{token_id}", "looks at a deploy token", looks(40)),
			creates(in.kind, "POST "+in.path+"/deploy_tokens", "creates a deploy token", manages(in.least, 201), "/deploy_tokens", map[string]any{"scopes": []string{"read_package_registry"}}),
			row{pattern: api("DELETE " + in.path + "/deploy_tokens/{token_id}"), does: "revokes a deploy token", at: in.kind, want: manages(in.least, 204), try: func(w *world, s *site, _ *caller) attempt {
				var made harness.Token
				w.make(s.here()+"/deploy_tokens", map[string]any{"name": "doomed", "scopes": []string{"read_package_registry"}}, &made)
				secret(made.Token)
				return attempt{call{method: "DELETE", path: fmt.Sprintf("/api/v4%s/deploy_tokens/%d", s.here(), made.ID)}, func(w *world) bool {
					return w.send(call{path: s.packumentPath(), as: deploy(made.Token)}).status == http.StatusUnauthorized
				}}
			}},
		)
	}
	return rows
}

// packumentPath is something that any good token of the site gets at, or is refused otherwise than by 401.
func (s *site) packumentPath() string { return s.project.prefix() + "/" + escaped(s.pack.name) }

// itself is for what a token does with itself, whatever its scopes: deploy and job tokens are of the wrong kind.
func itself(success int) func(identity, *site) int {
	return func(id identity, _ *site) int {
		switch {
		case id.refused != 0:
			return id.refused
		case id.packages:
			return http.StatusBadRequest
		case !id.user:
			return http.StatusUnauthorized
		}
		return success
	}
}

// others is for the tokens of others, of which nobody but administrators knows anything: 401, as in GitLab.
func others(success int, scopes ...string) func(identity, *site) int {
	return func(id identity, s *site) int {
		if status := users(success, scopes...)(id, s); status != success || id.level == adminLevel {
			return status
		}
		return http.StatusUnauthorized
	}
}

// residents is for what every user does but external ones and bots.
func residents(success int) func(identity, *site) int {
	return func(id identity, s *site) int {
		if status := users(success, "api")(id, s); status != success || !id.external && !id.bot {
			return status
		}
		return http.StatusForbidden
	}
}

// tokenOf makes a personal token of a user.
func (w *world) tokenOf(u user) (made harness.Token) {
	w.Helper()
	w.make(fmt.Sprintf("/users/%d/personal_access_tokens", u.ID), map[string]any{"name": "test", "scopes": []string{"api"}}, &made)
	secret(made.Token)
	return made
}

// tokens counts the personal tokens of a user that are good.
func (w *world) tokens(u user) (n int) {
	w.Helper()
	a := w.send(call{path: fmt.Sprintf("/api/v4/personal_access_tokens?state=active&user_id=%d", u.ID), as: w.root()}).must(w, http.StatusOK)
	fmt.Sscan(a.header.Get("X-Total"), &n)
	return n
}
