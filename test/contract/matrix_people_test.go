package contract

import (
	"encoding/json"
	"fmt"
	"net/http"

	"packhouse/test/harness"
)

// The rights of GitLab's API for changing users and members, for tokens of projects and groups, and for the audit log.

func init() {
	preparations = append(preparations, func(w *world, s *site, _ people) {
		var events []struct{ ID int64 }
		a := w.send(call{path: "/api/v4" + s.here() + "/audit_events", as: w.root()}).must(w, http.StatusOK)
		if err := json.Unmarshal(a.body, &events); err != nil || len(events) == 0 {
			w.Fatalf("%s: %v in %s", a.call, err, a.body)
		}
		s.ids["audit_event_id"] = events[0].ID
	})
}

// field is a field of what root gets at a path of the API.
func (w *world) field(path, name string) any {
	w.Helper()
	return w.send(call{path: "/api/v4" + path, as: w.root()}).must(w, http.StatusOK).object(w)[name]
}

// keepsTokens is for what those do who manage the tokens of a place. To others that they do not is answered by one
// status of the request's own.
func keepsTokens(level, success, refusal int, scopes ...string) func(identity, *site) int {
	return func(id identity, s *site) int {
		id = id.person()
		switch {
		case id.refused != 0:
			return id.refused
		case !id.user:
			return http.StatusUnauthorized
		case !id.can(scopes...):
			return http.StatusForbidden
		case !id.known(s):
			return http.StatusNotFound
		case id.level >= level && !id.bot: // a bot makes no bots, nor tokens of others
			return success
		}
		return refusal
	}
}

// rotatesAccess is for an access token that rotates itself, in its own place.
func rotatesAccess(id identity, s *site) int {
	switch {
	case !id.bot:
		return rotatesItself(http.StatusMethodNotAllowed)(id, s)
	case id.home:
		return http.StatusOK
	case !id.known(s):
		return http.StatusNotFound
	}
	return http.StatusUnauthorized
}

// rotatesItself is for a token that rotates itself, where kinds of token are told apart.
func rotatesItself(success int) func(identity, *site) int {
	return func(id identity, _ *site) int {
		switch {
		case id.refused != 0:
			return id.refused
		case id.packages:
			return http.StatusMethodNotAllowed
		case !id.user:
			return http.StatusUnauthorized
		case success < 300 && !id.can("api"):
			return http.StatusForbidden
		}
		return success
	}
}

// people201 is for what every user makes for themselves, and no bot.
func people201(id identity, s *site) int {
	if id.bot {
		return http.StatusForbidden
	}
	return users(http.StatusCreated, "api")(id, s)
}

func peopleRows() []row {
	// onUser is a request of administrators about a user.
	onUser := func(pattern, does string, success int, before string, body map[string]any, done func(w *world, path string) bool) row {
		method, suffix := "GET", ""
		fmt.Sscanf(pattern, "%s /users/{id}%s", &method, &suffix)
		scopes := []string{"api"}
		if method == "GET" {
			scopes = append(scopes, "read_api")
		}
		return row{pattern: api(pattern), does: does, want: administrators(success, scopes...), try: func(w *world, _ *site, _ *caller) attempt {
			path := fmt.Sprintf("/users/%d", w.cheapUser().ID)
			if before != "" {
				w.send(call{method: "POST", path: "/api/v4" + path + before, as: w.root()}).must(w, http.StatusCreated)
			}
			made := attempt{call: call{method: method, path: "/api/v4" + path + suffix, body: body}}
			if body == nil {
				made.call.body = nil
			}
			if done != nil {
				made.done = func(w *world) bool { return done(w, path) }
			}
			return made
		}}
	}
	state := func(want string) func(*world, string) bool {
		return func(w *world, path string) bool { return w.field(path, "state") == want }
	}
	rows := []row{
		onUser("PUT /users/{id}", "changes a user", 200, "", map[string]any{"name": "Changed"}, func(w *world, path string) bool { return w.field(path, "name") == "Changed" }),
		onUser("DELETE /users/{id}", "removes a user", 204, "", nil, func(w *world, path string) bool { return !w.there(path) }),
		onUser("POST /users/{id}/block", "blocks a user", 201, "", nil, state("blocked")),
		onUser("POST /users/{id}/unblock", "unblocks a user", 201, "/block", nil, state("active")),
		onUser("POST /users/{id}/deactivate", "deactivates a user", 201, "", nil, state("deactivated")),
		onUser("POST /users/{id}/activate", "activates a user", 201, "/deactivate", nil, state("active")),
		onUser("POST /users/{id}/ban", "bans a user", 201, "", nil, state("banned")),
		onUser("POST /users/{id}/unban", "unbans a user", 201, "/ban", nil, state("active")),
		onUser("GET /users/{id}/memberships", "lists a user's memberships", 200, "", nil, nil),
		onUser("GET /users/{id}/impersonation_tokens", "lists the tokens to act as a user", 200, "", nil, nil),
		onUser("POST /users/{id}/impersonation_tokens", "makes a token to act as a user", 201, "", map[string]any{"name": "n", "scopes": []string{"api"}},
			func(w *world, path string) bool { return w.lists(path+"/impersonation_tokens", "name", "n") }),

		{pattern: "POST /api/v4/user/personal_access_tokens", does: "makes a token that does next to nothing", want: people201, try: func(*world, *site, *caller) attempt {
			return attempt{call: call{method: "POST", path: "/api/v4/user/personal_access_tokens", body: map[string]any{"name": "n", "scopes": []string{"self_rotate"}}}}
		}},
		{pattern: "POST /api/v4/personal_access_tokens/self/rotate", does: "rotates the token they came with", own: true, want: rotatesItself(200), try: func(*world, *site, *caller) attempt {
			return attempt{call: call{method: "POST", path: "/api/v4/personal_access_tokens/self/rotate"}}
		}},
		{pattern: "POST /api/v4/personal_access_tokens/{id}/rotate", does: "rotates somebody else's token", want: others(200, "api"), try: func(w *world, _ *site, _ *caller) attempt {
			path := fmt.Sprintf("/personal_access_tokens/%d", w.tokenOf(w.cheapUser()).ID)
			return attempt{call{method: "POST", path: "/api/v4" + path + "/rotate"}, func(w *world) bool { return w.field(path, "revoked") == true }}
		}},

		reads(onServer, "GET /api/v4/personal_access_tokens/self/associations", "asks what the token they came with reaches", func(id identity, s *site) int {
			if status := itself(200)(id, s); status != 200 || id.can("api", "read_api") {
				return status
			}
			return http.StatusForbidden
		}),
		reads(onServer, "GET /api/v4/deploy_tokens", "lists all deploy tokens", administrators(200, "api", "read_api")),
		reads(onServer, "GET /api/v4/audit_events", "lists all audit events", administrators(200, "api", "read_api")),
		reads(onServer, "GET /api/v4/audit_events/{audit_event_id}", "looks at any audit event", administrators(200, "api", "read_api")),
	}
	for _, one := range []struct {
		method, does string
		success      int
	}{{"GET", "looks at a token to act as a user", 200}, {"DELETE", "revokes a token to act as a user", 204}} {
		scopes := map[string][]string{"GET": {"api", "read_api"}, "DELETE": {"api"}}[one.method]
		rows = append(rows, row{pattern: one.method + " /api/v4/users/{id}/impersonation_tokens/{token_id}", does: one.does, want: administrators(one.success, scopes...), try: func(w *world, _ *site, _ *caller) attempt {
			list := fmt.Sprintf("/users/%d/impersonation_tokens", w.cheapUser().ID)
			var made harness.Token
			w.make(list, map[string]any{"name": "n", "scopes": []string{"api"}}, &made)
			path := fmt.Sprintf("%s/%d", list, made.ID)
			a := attempt{call: call{method: one.method, path: "/api/v4" + path}}
			if one.method == "DELETE" {
				a.done = func(w *world) bool { return w.field(path, "revoked") == true }
			}
			return a
		}})
	}
	for _, in := range []struct {
		kind
		path  string
		least int // level of those who manage it
	}{{inProjects, "/projects/{id}", 40}, {inGroups, "/groups/{id}", 50}} {
		all := "/api/v4" + in.path
		inspects := func(id identity, s *site) int {
			if id.refused == 0 && !id.person().user {
				return http.StatusUnauthorized
			}
			return looks(40)(id, s)
		}
		rows = append(rows,
			reads(in.kind, "GET "+all+"/members/{user_id}", "looks at a member", signedIn),
			reads(in.kind, "GET "+all+"/members/all", "lists the members, inherited ones too", signedIn),
			reads(in.kind, "GET "+all+"/members/all/{user_id}", "looks at a member, be it an inherited one", signedIn),
			reads(in.kind, "GET "+all+"/audit_events", "lists the audit events", inspects),
			reads(in.kind, "GET "+all+"/audit_events/{audit_event_id}", "looks at an audit event", inspects),
			row{pattern: "PUT " + all + "/members/{user_id}", does: "changes a member", at: in.kind, want: manages(in.least, 200), try: func(w *world, s *site, _ *caller) attempt {
				u := w.cheapUser()
				w.join(s.here(), u, harness.Guest)
				path := fmt.Sprintf("%s/members/%d", s.here(), u.ID)
				return attempt{call{method: "PUT", path: "/api/v4" + path, body: map[string]any{"access_level": harness.Reporter}},
					func(w *world) bool { return w.field(path, "access_level") == float64(harness.Reporter) }}
			}},
			row{pattern: "DELETE " + all + "/members/{user_id}", does: "removes a member", at: in.kind, want: manages(in.least, 204), try: func(w *world, s *site, _ *caller) attempt {
				u := w.cheapUser()
				w.join(s.here(), u, harness.Guest)
				path := fmt.Sprintf("%s/members/%d", s.here(), u.ID)
				return attempt{call{method: "DELETE", path: "/api/v4" + path}, func(w *world) bool { return !w.there(path) }}
			}},
			reads(in.kind, "GET "+all+"/access_tokens", "lists the access tokens", keepsTokens(in.least, 200, 401, "api", "read_api")),
			creates(in.kind, "POST "+in.path+"/access_tokens", "creates an access token", keepsTokens(in.least, 201, 400, "api"), "/access_tokens", map[string]any{"scopes": []string{"api"}, "access_level": 10}),
			row{pattern: "POST " + all + "/access_tokens/self/rotate", does: "rotates the access token they came with", at: in.kind, own: true, want: rotatesAccess, try: func(_ *world, s *site, _ *caller) attempt {
				return attempt{call: call{method: "POST", path: "/api/v4" + s.here() + "/access_tokens/self/rotate"}}
			}},
		)
		for _, one := range []struct {
			method, suffix, does string
			success              int
		}{{"GET", "", "looks at an access token", 200}, {"DELETE", "", "revokes an access token", 204}, {"POST", "/rotate", "rotates an access token", 200}} {
			scopes := []string{"api"}
			if one.method == "GET" {
				scopes = append(scopes, "read_api")
			}
			rows = append(rows, row{pattern: one.method + " " + all + "/access_tokens/{token_id}" + one.suffix, does: one.does, at: in.kind, want: keepsTokens(in.least, one.success, 401, scopes...),
				try: func(w *world, s *site, _ *caller) attempt {
					var made harness.Token
					w.make(s.here()+"/access_tokens", map[string]any{"name": "n", "scopes": []string{"api"}, "access_level": 10}, &made)
					path := fmt.Sprintf("%s/access_tokens/%d", s.here(), made.ID)
					a := attempt{call: call{method: one.method, path: "/api/v4" + path + one.suffix}}
					if one.method != "GET" {
						a.done = func(w *world) bool { return w.field(path, "revoked") == true }
					}
					return a
				}})
		}
	}
	return rows
}
