package contract

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"packhouse/test/harness"
)

// The rights of npm's protocol, at each of its prefixes. A row's path is below the prefix.

// inProject is the caller as the project of a site sees them.
func (id identity) inProject() identity {
	id.level = max(id.level, id.inside)
	return id
}

// nobody tells whether the caller has shown nothing.
func (id identity) nobody() bool { return id.refused == 0 && !id.user && !id.packages }

// pulls is who reads packages at a project's prefix.
func pulls(id identity, s *site) int {
	id = id.inProject()
	readable := id.known(s) && (s.registry != "private" || id.level >= harness.Guest) || s.registry == "public"
	switch {
	case id.refused != 0:
		return id.refused
	case !id.known(s) && !readable && id.nobody():
		return http.StatusUnauthorized
	case !id.known(s) && !readable:
		return http.StatusNotFound
	case s.registry == "disabled":
		return http.StatusForbidden
	case readable && id.can("api", "read_api", "read_package_registry", "write_package_registry"):
		return http.StatusOK
	case id.nobody():
		return http.StatusUnauthorized
	}
	return http.StatusForbidden
}

// pushes is who changes packages at a project's prefix, where that takes a level.
func pushes(level, success int) func(identity, *site) int {
	return func(id identity, s *site) int {
		id = id.inProject()
		switch status := pulls(id, s); {
		case status != http.StatusOK && status != http.StatusForbidden, s.registry == "disabled":
			return status
		case id.level >= level && id.can("api", "write_package_registry"):
			return success
		case id.nobody():
			return http.StatusUnauthorized
		}
		return http.StatusForbidden
	}
}

// above is what a group's or the instance's prefix makes of a status of the project's: that there is a package is
// known where the group is.
func above(want func(identity, *site) int) func(identity, *site) int {
	return func(id identity, s *site) int {
		if pulled := pulls(id, s); pulled != http.StatusOK && !(s.kind == inGroups && pulled == http.StatusNotFound) && !id.nobody() && id.refused == 0 {
			return http.StatusForbidden
		} else if pulled != http.StatusOK {
			return pulled
		}
		return want(id, s)
	}
}

// npmUsers is for what is about the user who asks: deploy tokens are none, and jobs' tokens have no scopes.
func npmUsers(success int, scopes ...string) func(identity, *site) int {
	return func(id identity, s *site) int {
		if id.job && len(scopes) > 0 {
			return http.StatusForbidden
		}
		id.packages = id.packages && !id.job
		if len(scopes) == 0 {
			id.scopes = nil
		}
		return users(success, scopes...)(id, s)
	}
}

// npmPrefix is one of the three.
type npmPrefix struct {
	kind
	what, pattern string
	at            func(*site) string
}

func npmRows() (rows []row) {
	everybody := func(id identity, _ *site) int {
		if id.refused != 0 {
			return id.refused
		}
		return http.StatusOK
	}
	somebody := func(id identity, s *site) int {
		if id.nobody() {
			return http.StatusUnauthorized
		}
		return everybody(id, s)
	}
	then := func(want func(identity, *site) int, status int) func(identity, *site) int {
		return func(id identity, s *site) int {
			if got := want(id, s); got != http.StatusOK {
				return got
			}
			return status
		}
	}
	for _, prefix := range []npmPrefix{
		{inProjects, "project's", "/api/v4/projects/{project}/packages/npm", func(s *site) string { return s.project.prefix() }},
		{inGroups, "group's", "/api/v4/groups/{group}/-/packages/npm", func(s *site) string { return s.group.prefix() }},
		{inProjects, "instance's", instance, func(*site) string { return instance }},
	} {
		alone := prefix.what == "project's"
		add := func(r row) {
			r.at = prefix.kind
			r.does += " at the " + prefix.what + " prefix of npm"
			if r.pattern == "" {
				r.pattern = prefix.pattern + "/{rest...}"
			}
			// A project that never had a package has none at the other prefixes, whoever asks.
			r.unless = func(s *site) bool { return !alone && s.registry == "disabled" }
			rows = append(rows, r)
		}
		reads := func(does, method string, path func(*site) string, want func(identity, *site) int, body ...any) {
			pattern := ""
			if method == "GET" || method == "HEAD" {
				pattern = "GET " + prefix.pattern + "/{rest...}"
			}
			add(row{pattern: pattern, does: does, want: want, try: func(_ *world, s *site, _ *caller) attempt {
				c := call{method: method, path: prefix.at(s) + path(s)}
				if len(body) > 0 {
					c.body = body[0]
				}
				return attempt{call: c}
			}})
		}
		at := func(path string) func(*site) string { return func(*site) string { return path } }
		pulled, pushed := pulls, pushes
		if !alone {
			pulled = above(pulls)
			pushed = func(level, success int) func(identity, *site) int { return above(pushes(level, success)) }
		}

		add(row{pattern: prefix.pattern, does: "asks for nothing", want: func(identity, *site) int { return http.StatusNotFound }, try: func(_ *world, s *site, _ *caller) attempt {
			return attempt{call: call{path: prefix.at(s)}}
		}})
		for _, method := range []string{"GET", "HEAD"} {
			reads("reads a packument with "+method, method, func(s *site) string { return "/" + escaped(s.pack.name) }, pulled)
			reads("reads a tarball with "+method, method, func(s *site) string { return "/" + s.pack.name + "/-/" + s.pack.name + "-1.0.0.tgz" }, pulled)
		}
		reads("reads one version's manifest", "GET", func(s *site) string { return "/" + escaped(s.pack.name) + "/1.0.0" }, pulled)
		reads("lists the dist-tags", "GET", func(s *site) string { return "/-/package/" + escaped(s.pack.name) + "/dist-tags" }, pulled)
		reads("asks for the visibility of a package", "GET", func(s *site) string { return "/-/package/" + escaped(s.pack.name) + "/visibility" }, pulled)
		reads("lists the collaborators of a package", "GET", func(s *site) string { return "/-/package/" + escaped(s.pack.name) + "/collaborators" }, func(id identity, s *site) int {
			if status := pulled(id, s); status != http.StatusOK {
				return status
			}
			return npmUsers(200, "api", "read_api")(id, s) // members are for users to see
		})
		reads("asks to change who has access", "POST", func(s *site) string { return "/-/package/" + escaped(s.pack.name) + "/access" }, then(everybody, http.StatusForbidden))
		reads("asks for a sign of life", "GET", at("/-/ping"), everybody)
		reads("asks who they are", "GET", at("/-/whoami"), somebody)
		reads("asks for their profile", "GET", at("/-/npm/v1/user"), npmUsers(200, "api", "read_api", "read_user"))
		reads("looks at a user", "GET", at("/-/user/org.couchdb.user:root"), npmUsers(200, "api", "read_api", "read_user"))
		reads("lists their tokens", "GET", at("/-/npm/v1/tokens"), npmUsers(200, "api", "read_api"))

		// What is searched is the prefix, not a package.
		searched := pulls
		scoped := func(id identity, s *site) int {
			if !id.can("api", "read_api", "read_package_registry", "write_package_registry") {
				return http.StatusForbidden
			}
			return everybody(id, s)
		}
		switch prefix.what {
		case "group's":
			searched = func(id identity, s *site) int {
				switch {
				case id.refused != 0:
					return id.refused
				case !id.known(s) && id.nobody():
					return http.StatusUnauthorized
				case !id.known(s):
					return http.StatusNotFound
				}
				return scoped(id, s)
			}
		case "instance's":
			searched = scoped
		}
		reads("searches", "GET", at("/-/v1/search?text=pack"), searched)
		audited := func(id identity, s *site) int {
			if status := searched(id, s); status != http.StatusOK || !id.nobody() {
				return status
			}
			return http.StatusUnauthorized
		}
		reads("asks for advisories", "POST", at("/-/npm/v1/security/advisories/bulk"), audited, "{}")
		reads("asks for a quick audit", "POST", at("/-/npm/v1/security/audits/quick"), audited, "{}")
		reads("asks for an audit", "POST", at("/-/npm/v1/security/audits"), audited, "{}")
		listed := searched
		if prefix.what == "instance's" { // there it is the namespace that is asked for
			listed = func(id identity, s *site) int {
				switch status := scoped(id, s); {
				case status != http.StatusOK:
					return status
				case s.visibility == harness.Public, s.visibility == harness.Internal && id.user && !id.external, id.top > 0, max(id.level, id.inside) >= harness.Guest:
					return http.StatusOK
				}
				return http.StatusNotFound
			}
		}
		reads("lists the packages of a scope", "GET", func(s *site) string { return "/-/org/" + s.top.Path + "/package" }, listed)
		reads("lists the packages of a user", "GET", func(s *site) string { return "/-/user/" + s.top.Path + "/package" }, listed)

		// Signing in: what decides is the password.
		signsIn := func(does string, status int, try func(w *world, s *site, c *caller) attempt) {
			add(row{does: does, want: func(identity, *site) int { return status }, only: signingIn, own: true, try: try})
		}
		signsIn("begins to sign in in the browser", http.StatusOK, func(w *world, s *site, _ *caller) attempt {
			return attempt{call: call{method: "POST", path: prefix.at(s) + "/-/v1/login"}}
		})
		add(row{does: "asks whether they have signed in", want: func(identity, *site) int { return http.StatusAccepted }, try: func(w *world, s *site, _ *caller) attempt {
			a := w.send(call{method: "POST", path: prefix.at(s) + "/-/v1/login"}).must(w, http.StatusOK)
			return attempt{call: call{path: strings.TrimPrefix(a.says("doneUrl"), w.server.URL)}}
		}})
		signsIn("signs in in the terminal", http.StatusCreated, func(w *world, s *site, _ *caller) attempt {
			u := w.loginUser(s)
			return attempt{call: call{method: "PUT", path: prefix.at(s) + "/-/user/org.couchdb.user:" + u.Username, body: map[string]string{"name": u.Username, "password": u.Password}}}
		})
		add(row{does: "makes a token, without their password", want: then(npmUsers(200, "api"), http.StatusUnauthorized), only: []string{"nobody", "somebody with a wrong token", "a guest",
			"an owner's token with the scope read_api", "the group's deploy token that writes", "an owner's job in the project"}, try: func(_ *world, s *site, _ *caller) attempt {
			return attempt{call: call{method: "POST", path: prefix.at(s) + "/-/npm/v1/tokens", body: map[string]string{"password": wrong()}}}
		}})
		add(row{does: "ends somebody's token, whose text they have", want: npmUsers(200), try: func(w *world, s *site, _ *caller) attempt {
			made := w.tokenOf(w.cheapUser())
			return attempt{call{method: "DELETE", path: prefix.at(s) + "/-/user/token/" + made.Token}, func(w *world) bool { return !w.good(made.Token) }}
		}})
		add(row{does: "revokes a token that is not theirs", want: then(npmUsers(200, "api"), http.StatusNotFound), try: func(w *world, s *site, _ *caller) attempt {
			made := w.tokenOf(w.cheapUser())
			return attempt{call{method: "DELETE", path: prefix.at(s) + "/-/npm/v1/tokens/token/" + made.Token},
				func(w *world) bool {
					return w.send(call{path: "/api/v4/user", as: private(made.Token)}).status != http.StatusOK
				}}
		}})

		// Changes.
		changes := func(does string, want func(identity, *site) int, make func(w *world, s *site, k pack) (call, func(w *world) bool)) {
			add(row{does: does, want: want, try: func(w *world, s *site, _ *caller) attempt {
				k := named("@" + s.top.Path + "/" + "pack-" + harness.Random()[:12])
				c, done := make(w, s, k)
				c.path = prefix.at(s) + c.path
				return attempt{c, done}
			}})
		}
		published := want404(pushes(30, http.StatusOK), alone)
		changes("publishes", published, func(w *world, s *site, k pack) (call, func(*world) bool) {
			return call{method: "PUT", path: "/" + escaped(k.name), body: k.document()}, func(w *world) bool { return len(w.left(s, k)) > 0 }
		})
		changes("deprecates a version", want404(pushes(40, http.StatusOK), alone), func(w *world, s *site, k pack) (call, func(*world) bool) {
			w.prepared(s, k)
			return call{method: "PUT", path: "/" + escaped(k.name), header: map[string]string{"npm-command": "deprecate"}, body: map[string]any{
					"name": k.name, "versions": map[string]any{"1.0.0": map[string]any{"name": k.name, "version": "1.0.0", "deprecated": "old"}}}}, func(w *world) bool {
					return at1(w, s, k, "versions", "1.0.0", "deprecated") != nil
				}
		})
		changes("sets a dist-tag", pushed(30, http.StatusNoContent), func(w *world, s *site, k pack) (call, func(*world) bool) {
			w.prepared(s, k)
			return call{method: "PUT", path: "/-/package/" + escaped(k.name) + "/dist-tags/next", body: `"1.0.0"`}, func(w *world) bool { return at1(w, s, k, "dist-tags", "next") != nil }
		})
		changes("removes a dist-tag", pushed(40, http.StatusNoContent), func(w *world, s *site, k pack) (call, func(*world) bool) {
			k.tags = map[string]string{"latest": "1.0.0", "next": "1.0.0"}
			w.prepared(s, k)
			return call{method: "DELETE", path: "/-/package/" + escaped(k.name) + "/dist-tags/next"}, func(w *world) bool {
				return s.registry != "disabled" && at1(w, s, k, "dist-tags", "next") == nil
			}
		})
		changes("removes a package", pushed(40, http.StatusOK), func(w *world, s *site, k pack) (call, func(*world) bool) {
			w.prepared(s, k)
			return call{method: "DELETE", path: "/" + escaped(k.name) + "/-rev/" + w.rev(s, k)}, func(w *world) bool { return s.registry != "disabled" && len(w.left(s, k)) == 0 }
		})
		changes("removes a version by its file", pushed(40, http.StatusOK), func(w *world, s *site, k pack) (call, func(*world) bool) {
			w.prepared(s, k)
			return call{method: "DELETE", path: "/" + escaped(k.name) + "/-/" + k.name + "-1.0.0.tgz/-rev/" + w.rev(s, k)}, func(w *world) bool {
				return s.registry != "disabled" && len(w.left(s, k)) == 0
			}
		})
		changes("removes a version by a shorter packument", pushed(40, http.StatusOK), func(w *world, s *site, k pack) (call, func(*world) bool) {
			w.prepared(s, k)
			next := k.at("2.0.0")
			w.prepared(s, next)
			return call{method: "PUT", path: "/" + escaped(k.name) + "/-rev/" + w.rev(s, k), body: map[string]any{"name": k.name, "versions": map[string]any{"1.0.0": k.manifest()}}}, func(w *world) bool {
				return s.registry != "disabled" && !slices.Contains(w.left(s, k), "2.0.0")
			}
		})
	}
	return rows
}

// want404 is for what there is at a project's prefix only, and not found elsewhere.
func want404(want func(identity, *site) int, there bool) func(identity, *site) int {
	if there {
		return want
	}
	return func(identity, *site) int { return http.StatusNotFound }
}

// prepared publishes a package as root, where packages are switched on.
func (w *world) prepared(s *site, k pack) {
	w.Helper()
	if s.registry != "disabled" {
		w.publish(s.project, w.root(), k)
	}
}

// left are the versions of a package that root sees.
func (w *world) left(s *site, k pack) []string {
	w.Helper()
	if s.registry == "disabled" {
		return nil
	}
	return w.versions(s.project.prefix(), k.name, w.root())
}

// at1 is a value in the packument, as root reads it; nil where nobody can.
func at1(w *world, s *site, k pack, keys ...string) any {
	w.Helper()
	if s.registry == "disabled" {
		return nil
	}
	return at(w.packument(s.project.prefix(), k.name, w.root()), keys...)
}

// rev is the revision of a package, as a URL has it.
func (w *world) rev(s *site, k pack) string {
	w.Helper()
	if s.registry == "disabled" {
		return "1-1"
	}
	rev, _ := w.packument(s.project.prefix(), k.name, w.root())["_rev"].(string)
	return url.PathEscape(rev)
}

// good tells whether a personal token is.
func (w *world) good(token string) bool {
	w.Helper()
	return w.send(call{path: "/api/v4/user", as: private(token)}).status == http.StatusOK
}

// loginUser is a user with a password, of the site's own: a name's password may be tried so many times a minute only.
func (w *world) loginUser(s *site) user {
	w.Helper()
	s.Lock()
	defer s.Unlock()
	if s.login.Username == "" {
		s.login = w.user()
	}
	return s.login
}
