package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"packhouse/test/harness"
)

// The rights of the pages. People come to them with the sessions of browsers; to a page a token is nothing, and to the rest a session is.

// What pages answer besides 200, 403 and 404: who has to sign in first is led to where one does, which counts as 401 here; and a form that
// was done leads on, which counts as 200.
func statusOfPage(a *answer) int {
	if a.status != http.StatusSeeOther {
		return a.status
	}
	if strings.HasPrefix(a.header.Get("Location"), "/-/sign_in") {
		return http.StatusUnauthorized
	}
	return http.StatusOK
}

const cookie = "Cookie"

// browsers are people in browsers.
func (w *world) browsers(them people) (all []*caller) {
	credentials := map[string]credential{}
	add := func(who string, u func() user, is func(*site) identity) {
		once := &sync.Once{}
		all = append(all, &caller{who + " in a browser", func(w *world, _ *site) credential {
			once.Do(func() { credentials[who] = w.signIn(u()) })
			return credentials[who]
		}, func(s *site) identity { return identity{browser: new(is(s))} }})
	}
	person := func(who string) func() user { return func() user { return them[who] } }
	add("a user who is no member", person("a user who is no member"), func(*site) identity { return identity{user: true} })
	for _, role := range roles {
		add(role.who, person(role.who), func(s *site) identity { return identity{user: true, level: s.level(role.level)} })
	}
	add("an owner of the group above", person("an owner of the group above"), func(s *site) identity { return identity{user: true, level: s.level(50), top: 50} })
	add("a developer of the project only", person("a developer of the project only"), func(s *site) identity {
		return identity{user: true, level: map[bool]int{true: 30}[s.kind == inProjects], inside: 30}
	})
	add("an administrator", func() user { return user{User: harness.User{ID: 1, Username: "root", Password: w.server.RootPassword}} },
		func(*site) identity { return identity{user: true, level: adminLevel} })
	// Their session began before they were kept out.
	out := w.user()
	var once sync.Once
	var ended credential
	all = append(all, &caller{"somebody whose session has ended", func(w *world, _ *site) credential {
		once.Do(func() {
			ended = w.signIn(out)
			w.send(call{method: "POST", path: fmt.Sprintf("/api/v4/users/%d/block", out.ID), as: w.root()}).must(w, http.StatusCreated)
		})
		return ended
	}, func(*site) identity { return identity{browser: &identity{}} }})
	return all
}

// signIn signs a user in with their password, as a browser does, and returns the cookie of the session.
func (w *world) signIn(u user) credential {
	w.Helper()
	a := w.send(form("/-/sign_in", url.Values{"username": {u.Username}, "password": {u.Password}}))
	for _, line := range a.header.Values("Set-Cookie") {
		if set, err := http.ParseSetCookie(line); err == nil && set.Name == "session" && set.MaxAge > 0 {
			return credential{header: cookie, value: "session=" + secret(set.Value)}
		}
	}
	w.Fatalf("%s signs in: %d, and there is no cookie\n%s", u.Username, a.status, a.body)
	return credential{}
}

// form is a request that sends one.
func form(path string, fields url.Values) call {
	return call{method: "POST", path: path, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: fields.Encode()}
}

// asks tells whether a caller sends the request of a row: those with tokens open pages only here and there, to see that they do not.
func (r *row) asks(c *caller) bool {
	browser := strings.HasSuffix(c.who, "in a browser") || strings.HasPrefix(c.who, "somebody whose session")
	if r.page {
		return browser || slices.Contains([]string{"nobody", "an owner", "an administrator", "the project's deploy token that writes"}, c.who)
	}
	return !browser || c.who == "an owner in a browser"
}

// who is the person of a session.
func (id identity) who() identity {
	if id.browser == nil {
		return identity{}
	}
	return *id.browser
}

var (
	opens = func(identity, *site) int { return http.StatusOK }

	// hasSignedIn is for everybody who has signed in.
	hasSignedIn = func(id identity, _ *site) int {
		if !id.who().user {
			return http.StatusUnauthorized
		}
		return http.StatusOK
	}

	// administers is for administrators; to others the page is not there.
	administers = func(id identity, _ *site) int {
		switch id = id.who(); {
		case !id.user:
			return http.StatusUnauthorized
		case id.level < adminLevel:
			return http.StatusNotFound
		}
		return http.StatusOK
	}

	// finds is for all who may know of the place.
	finds = func(id identity, s *site) int {
		if !id.who().known(s) {
			return http.StatusNotFound
		}
		return http.StatusOK
	}

	// browses is for all who may read the packages.
	browses = func(id identity, s *site) int {
		id = id.who()
		switch {
		case !id.known(s), s.registry == "private" && !id.user:
			return http.StatusNotFound
		case s.kind == inProjects && s.registry == "disabled", s.registry == "private" && id.level < harness.Guest:
			return http.StatusForbidden
		}
		return http.StatusOK
	}

	// meets is for those who are signed in and may know of the place.
	meets = func(id identity, s *site) int {
		switch id = id.who(); {
		case !id.known(s):
			return http.StatusNotFound
		case !id.user:
			return http.StatusUnauthorized
		}
		return http.StatusOK
	}
)

// stands is for members of a level, who sign in first.
func stands(level int) func(identity, *site) int {
	return func(id identity, s *site) int {
		switch id = id.who(); {
		case !id.user:
			return http.StatusUnauthorized
		case !id.known(s):
			return http.StatusNotFound
		case id.level < level:
			return http.StatusForbidden
		}
		return http.StatusOK
	}
}

// below is the same in something that was made in the group: members of something else there are nobody.
func below(level int) func(identity, *site) int {
	return func(id identity, s *site) int {
		id = id.who()
		id.inside = 0
		return stands(level)(identity{browser: &id}, s)
	}
}

// changes is for those who delete and yank packages.
func changes(id identity, s *site) int {
	switch status := stands(40)(id, s); {
	case status == http.StatusOK && s.registry == "disabled":
		return http.StatusForbidden
	default:
		return status
	}
}

func (s *site) full() string {
	if s.kind == inGroups {
		return s.group.FullPath
	}
	return s.project.PathWithNamespace
}

var manyTexts atomic.Int64

func fresh() string { return fmt.Sprintf("fresh-%d", manyTexts.Add(1)) }

func pageRows() []row {
	open := func(at kind, pattern, does string, want func(identity, *site) int) row {
		return row{pattern: pattern, does: does, at: at, want: want, page: true, try: func(_ *world, s *site, _ *caller) attempt {
			ids := s.ids["place"]
			s.Lock()
			s.ids["place"] = s.full()
			path := s.route(pattern)
			s.ids["place"] = ids
			s.Unlock()
			return attempt{call: call{path: strings.TrimSuffix(path, "{$}"), header: map[string]string{"Accept": "text/html"}}}
		}}
	}
	send := func(at kind, pattern, does string, want func(identity, *site) int, try func(w *world, s *site) (path string, fields url.Values, done func(*world) bool)) row {
		return row{pattern: "POST " + pattern, does: does, at: at, want: want, page: true, try: func(w *world, s *site, _ *caller) attempt {
			path, fields, done := try(w, s)
			if fields == nil {
				fields = url.Values{}
			}
			fields.Set("sure", "yes") // as the page says that asks first
			return attempt{form(path, fields), done}
		}}
	}
	// own is about the caller alone.
	own := func(pattern, does string, fields url.Values) row {
		return send(onServer, pattern, does, hasSignedIn, func(*world, *site) (string, url.Values, func(*world) bool) {
			f := url.Values{}
			for name, values := range fields {
				f[name] = values
			}
			return pattern, f, nil
		})
	}
	home := row{pattern: "GET /{$}", does: "opens the first page", want: opens, page: true, try: func(*world, *site, *caller) attempt { return attempt{call: call{path: "/"}} }}
	missing := func(id identity, s *site) int {
		if hasSignedIn(id, s) != http.StatusOK {
			return http.StatusUnauthorized
		}
		return http.StatusNotFound
	}
	refused := func(id identity, s *site) int {
		if hasSignedIn(id, s) != http.StatusOK {
			return http.StatusUnauthorized
		}
		return http.StatusUnprocessableEntity
	}
	rows := []row{
		home,
		open(onServer, "GET /-/explore", "explores", opens),
		open(onServer, "GET /-/search", "searches", opens),
		open(onServer, "GET /-/search/suggestions", "searches while typing", opens),
		open(onServer, "GET /-/sign_in", "opens the page to sign in", opens),
		{pattern: "POST /-/sign_in", does: "signs in", page: true, only: signingIn, want: opens, try: func(w *world, s *site, _ *caller) attempt {
			return attempt{call: form("/-/sign_in", url.Values{"username": {"root"}, "password": {w.server.RootPassword}})}
		}},
		{pattern: "POST /-/sign_out", does: "signs out, though nobody is in", page: true, only: []string{"nobody"}, want: opens, try: func(*world, *site, *caller) attempt {
			return attempt{call: form("/-/sign_out", nil)}
		}},
		send(onServer, "/-/language", "chooses a language", opens, func(*world, *site) (string, url.Values, func(*world) bool) {
			return "/-/language", url.Values{"language": {"zh-CN"}}, nil
		}),
		open(onServer, "GET /-/setup", "opens the set-up, which is done", hasSignedIn),
		own("/-/setup", "sends the set-up, which is done", url.Values{"password": {"xxxxxxxx"}, "repeated": {"xxxxxxxx"}}),
		open(onServer, "GET /-/profile", "opens the profile", hasSignedIn),
		own("/-/profile", "changes the profile", url.Values{"name": {"Somebody"}}),
		send(onServer, "/-/profile/password", "changes the password without knowing it", refused, func(*world, *site) (string, url.Values, func(*world) bool) {
			return "/-/profile/password", url.Values{"old": {wrong()}, "password": {"another one"}, "repeated": {"another two"}}, nil
		}),
		open(onServer, "GET /-/profile/tokens", "lists tokens", hasSignedIn),
		own("/-/profile/tokens", "creates a token", url.Values{"name": {"page"}, "scopes": {"read_api"}}),
		// Root's token is somebody else's, but for root; and one that is not there is nobody's.
		send(onServer, "/-/profile/tokens/{token_id}/revoke", "revokes a token that is not there", missing, func(*world, *site) (string, url.Values, func(*world) bool) {
			return "/-/profile/tokens/999999/revoke", nil, nil
		}),
		send(onServer, "/-/profile/tokens/{token_id}/rotate", "rotates a token that is not there", missing, func(*world, *site) (string, url.Values, func(*world) bool) {
			return "/-/profile/tokens/999999/rotate", nil, nil
		}),
		open(onServer, "GET /-/profile/sessions", "lists sessions", hasSignedIn),
		own("/-/profile/sessions/revoke", "ends all other sessions", nil),
		send(onServer, "/-/profile/sessions/{session_id}/revoke", "ends a session that is not theirs", missing, func(*world, *site) (string, url.Values, func(*world) bool) {
			return "/-/profile/sessions/999999/revoke", nil, nil
		}),
		open(onServer, "GET /-/groups/new", "opens the form of a group", hasSignedIn),
		send(inGroups, "/-/groups", "creates a group in the group", func(id identity, s *site) int {
			status := stands(40)(id, s)
			return status
		}, func(w *world, s *site) (string, url.Values, func(*world) bool) {
			path := fresh()
			return "/-/groups", url.Values{"name": {path}, "path": {path}, "in": {fmt.Sprint(s.group.ID)}, "visibility": {"private"}},
				func(w *world) bool { return w.there("/groups/" + url.PathEscape(s.group.FullPath+"/"+path)) }
		}),
		open(onServer, "GET /-/projects/new", "opens the form of a project", hasSignedIn),
		send(inGroups, "/-/projects", "creates a project in the group", func(id identity, s *site) int {
			if status := stands(30)(id, s); status == http.StatusUnauthorized || status == http.StatusOK {
				return status
			}
			return http.StatusUnprocessableEntity // a namespace that is not theirs is none
		}, func(w *world, s *site) (string, url.Values, func(*world) bool) {
			path := fresh()
			return "/-/projects", url.Values{"name": {path}, "path": {path}, "in": {fmt.Sprint(s.group.ID)}, "visibility": {"private"}},
				func(w *world) bool { return w.there("/projects/" + url.PathEscape(s.group.FullPath+"/"+path)) }
		}),

		open(inProjects, "GET /{place}", "opens the project", finds),
		open(inGroups, "GET /groups/{place}", "opens the group", finds),
		open(inProjects, "GET /{place}/-/packages", "lists packages", browses),
		open(inGroups, "GET /groups/{place}/-/packages", "lists packages", finds),
		open(inProjects, "GET /{place}/-/packages/{package_id}", "looks at a package", func(id identity, s *site) int {
			return browses(id, s)
		}),
		{pattern: "GET /{place}/-/package_files/{package_file_id}/download", does: "downloads a file", at: inProjects, page: true, want: browses, try: func(_ *world, s *site, _ *caller) attempt {
			return attempt{call: call{path: fmt.Sprintf("/%s/-/package_files/%v/download", s.full(), s.ids["package_file_id"])}}
		}},
		open(inProjects, "GET /{place}/-/publish", "reads how to publish", browses),
		open(inProjects, "GET /{place}/-/cleanup", "looks at the cleanup policy", stands(40)),
		send(inProjects, "/{place}/-/cleanup", "changes the cleanup policy", stands(40), func(_ *world, s *site) (string, url.Values, func(*world) bool) {
			n := fmt.Sprint(1000 + manyVersions.Add(1))
			return "/" + s.full() + "/-/cleanup", url.Values{"keep_n_versions": {n}, "cadence": {"12h"}}, func(w *world) bool {
				return fmt.Sprint(w.send(call{path: s.project.cleanup(), as: w.root()}).must(w, 200).object(w)["keep_n_versions"]) == n
			}
		}),
		send(inProjects, "/{place}/-/cleanup/run", "runs the cleanup policy", stands(40), func(_ *world, s *site) (string, url.Values, func(*world) bool) {
			return "/" + s.full() + "/-/cleanup/run", nil, nil
		}),

		open(onServer, "GET /-/admin", "looks at the health", administers),
		open(onServer, "GET /-/admin/users", "lists users", administers),
		open(onServer, "GET /-/admin/users/new", "opens the form of a user", administers),
		open(onServer, "GET /-/admin/users/{user_id}", "looks at a user", administers),
		open(onServer, "GET /-/admin/groups", "lists all groups", administers),
		open(onServer, "GET /-/admin/jobs", "looks at jobs", administers),
		open(onServer, "GET /-/admin/usage", "looks at the traffic", administers),
		open(onServer, "GET /-/admin/audit", "reads the audit log", administers),
		send(onServer, "/-/admin/users", "creates a user", administers, func(*world, *site) (string, url.Values, func(*world) bool) {
			name := fresh()
			return "/-/admin/users", url.Values{"username": {name}, "name": {name}, "email": {name + "@example.com"}, "password": {secret(harness.Random())}},
				func(w *world) bool { return len(w.ask(w.root(), "GET", "/users?username="+name).body) > 2 }
		}),
		send(onServer, "/-/admin/users/{user_id}", "renames a user", administers, func(w *world, _ *site) (string, url.Values, func(*world) bool) {
			u, name := w.user(), fresh()
			return fmt.Sprintf("/-/admin/users/%d", u.ID), url.Values{"username": {u.Username}, "name": {name}}, func(w *world) bool { return w.says(fmt.Sprintf("/users/%d", u.ID), "name") == name }
		}),
		send(onServer, "/-/admin/users/{user_id}/state", "blocks a user", administers, func(w *world, _ *site) (string, url.Values, func(*world) bool) {
			u := w.user()
			return fmt.Sprintf("/-/admin/users/%d/state", u.ID), url.Values{"verb": {"block"}}, func(w *world) bool { return w.says(fmt.Sprintf("/users/%d", u.ID), "state") == "blocked" }
		}),
		send(onServer, "/-/admin/users/{user_id}/delete", "removes a user", administers, func(w *world, _ *site) (string, url.Values, func(*world) bool) {
			u := w.user()
			return fmt.Sprintf("/-/admin/users/%d/delete", u.ID), url.Values{"confirm": {u.Username}}, func(w *world) bool { return !w.there(fmt.Sprintf("/users/%d", u.ID)) }
		}),
	}
	// What is done to a version.
	version := func(what string) func(*world, *site) (string, url.Values, func(*world) bool) {
		return func(w *world, s *site) (string, url.Values, func(*world) bool) {
			pkg, file := w.doomed(s)
			path := fmt.Sprintf("/projects/%d/packages/%d", s.project.ID, pkg)
			page := fmt.Sprintf("/%s/-/packages/%d/", s.full(), pkg)
			var done func(*world) bool
			fields := url.Values{"reason": {"because"}}
			if s.registry != "disabled" {
				switch what {
				case "delete":
					name := w.ask(w.root(), "GET", path).must(w, 200).object(w)
					fields = url.Values{"confirm": {fmt.Sprint(name["name"], " ", name["version"])}}
					done = func(w *world) bool { return !w.there(path) }
				case "yank":
					done = func(w *world) bool { return w.says(path, "status") == "deprecated" }
				case "unyank":
					w.send(call{method: "POST", path: "/api/v4" + path + "/yank", as: w.root(), body: map[string]any{"reason": "because"}}).must(w, 200)
					done = func(w *world) bool { return w.says(path, "status") == "default" }
				}
			}
			if what == "file" {
				if s.registry != "disabled" {
					done = func(w *world) bool { return !w.there(fmt.Sprintf("%s/package_files/%d/download", path, file)) }
				}
				return fmt.Sprintf("%sfiles/%d/delete", page, file), nil, done
			}
			return page + what, fields, done
		}
	}
	onlyNuGet := func(id identity, s *site) int { // the packages of the sites are npm's
		if status := changes(id, s); status != http.StatusOK {
			return status
		}
		return http.StatusNotFound
	}
	const one = "/{place}/-/packages/{package_id}/"
	rows = append(rows,
		send(inProjects, one+"delete", "deletes a version", changes, version("delete")),
		send(inProjects, one+"yank", "deprecates a version", changes, version("yank")),
		send(inProjects, one+"unyank", "takes a deprecation back", changes, version("unyank")),
		send(inProjects, one+"unlist", "unlists a version", onlyNuGet, version("unlist")),
		send(inProjects, one+"list", "lists a version", onlyNuGet, version("list")),
		send(inProjects, one+"files/{package_file_id}/delete", "deletes a file", changes, version("file")),
	)
	for _, archived := range []bool{true, false} {
		verb := map[bool]string{true: "archive", false: "unarchive"}[archived]
		rows = append(rows, row{pattern: "POST /{place}/-/" + verb, does: verb + "s a project", at: inGroups, page: true, want: below(50), try: func(w *world, s *site, _ *caller) attempt {
			p := w.project(s.group, s.visibility)
			path := of(p)
			w.ask(w.root(), "POST", path+"/"+map[bool]string{true: "unarchive", false: "archive"}[archived]).must(w, 201)
			return attempt{form("/"+p.PathWithNamespace+"/-/"+verb, nil), func(w *world) bool { return w.ask(w.root(), "GET", path).object(w)["archived"] == archived }}
		}})
	}
	for _, in := range []struct {
		kind
		prefix string
		least  int
	}{{inProjects, "/{place}", 40}, {inGroups, "/groups/{place}", 50}} {
		prefix := in.prefix + "/-/"
		at := func(s *site, below string) string { return strings.Replace(prefix, "{place}", s.full(), 1) + below }
		rows = append(rows,
			open(in.kind, "GET "+prefix+"storage", "looks at how much is stored", func(id identity, s *site) int {
				switch id = id.who(); {
				case !id.known(s):
					return http.StatusNotFound
				case id.level < harness.Reporter:
					return http.StatusForbidden
				}
				return http.StatusOK
			}),
			open(in.kind, "GET "+prefix+"members", "lists members", meets),
			open(in.kind, "GET "+prefix+"tokens", "lists deploy tokens", stands(40)),
			open(in.kind, "GET "+prefix+"rules", "lists rules", stands(40)),
			open(in.kind, "GET "+prefix+"activity", "reads what happened", stands(40)),
			open(in.kind, "GET "+prefix+"settings", "looks at the settings", stands(in.least)),
			send(in.kind, prefix+"members", "adds a member", stands(in.least), func(w *world, s *site) (string, url.Values, func(*world) bool) {
				u := w.user()
				return at(s, "members"), url.Values{"username": {u.Username}, "access_level": {"20"}}, func(w *world) bool { return w.there(fmt.Sprintf("%s/members/%d", s.here(), u.ID)) }
			}),
			send(in.kind, prefix+"members/{user_id}", "changes a member", stands(in.least), func(w *world, s *site) (string, url.Values, func(*world) bool) {
				u := w.user()
				w.join(s.here(), u, 10)
				return at(s, fmt.Sprintf("members/%d", u.ID)), url.Values{"access_level": {"20"}}, func(w *world) bool {
					return fmt.Sprint(w.field(fmt.Sprintf("%s/members/%d", s.here(), u.ID), "access_level")) == "20"
				}
			}),
			send(in.kind, prefix+"members/{user_id}/remove", "removes a member", stands(in.least), func(w *world, s *site) (string, url.Values, func(*world) bool) {
				u := w.user()
				w.join(s.here(), u, 10)
				return at(s, fmt.Sprintf("members/%d/remove", u.ID)), nil, func(w *world) bool { return !w.there(fmt.Sprintf("%s/members/%d", s.here(), u.ID)) }
			}),
			send(in.kind, prefix+"tokens", "creates a deploy token", stands(in.least), func(w *world, s *site) (string, url.Values, func(*world) bool) {
				name := fresh()
				return at(s, "tokens"), url.Values{"name": {name}, "scopes": {"read_package_registry"}}, func(w *world) bool {
					return strings.Contains(string(w.ask(w.root(), "GET", s.here()+"/deploy_tokens?per_page=100&page=1").body), `"`+name+`"`)
				}
			}),
			send(in.kind, prefix+"tokens/{token_id}/revoke", "revokes a deploy token", stands(in.least), func(w *world, s *site) (string, url.Values, func(*world) bool) {
				var made harness.Token
				w.make(s.here()+"/deploy_tokens", map[string]any{"name": "doomed", "scopes": []string{"read_package_registry"}}, &made)
				secret(made.Token)
				return at(s, fmt.Sprintf("tokens/%d/revoke", made.ID)), nil, func(w *world) bool {
					return w.ask(w.root(), "GET", fmt.Sprintf("%s/deploy_tokens/%d", s.here(), made.ID)).object(w)["revoked"] == true
				}
			}),
			send(in.kind, prefix+"rules", "adds a rule", stands(in.least), func(w *world, s *site) (string, url.Values, func(*world) bool) {
				pattern := fresh()
				return at(s, "rules"), url.Values{"package_name_pattern": {pattern}, "package_type": {"npm"}, "minimum_access_level_for_push": {"owner"}}, func(w *world) bool {
					var rules []struct {
						ID      int64
						Pattern string `json:"package_name_pattern"`
					}
					if err := json.Unmarshal(w.ask(w.root(), "GET", s.here()+"/packages/protection/rules").body, &rules); err != nil {
						w.Fatal(err)
					}
					for _, r := range rules {
						if r.Pattern == pattern { // there is room for a hundred
							w.ask(w.root(), "DELETE", fmt.Sprintf("%s/packages/protection/rules/%d", s.here(), r.ID))
							return true
						}
					}
					return false
				}
			}),
			send(in.kind, prefix+"rules/{rule_id}/remove", "removes a rule", stands(in.least), func(w *world, s *site) (string, url.Values, func(*world) bool) {
				path := w.protect(s.here(), rule(fresh(), "owner", ""))
				id := path[strings.LastIndexByte(path, '/')+1:]
				return at(s, "rules/"+id+"/remove"), nil, func(w *world) bool {
					return !strings.Contains(string(w.ask(w.root(), "GET", s.here()+"/packages/protection/rules").body), `"id":`+id+`,`)
				}
			}),
			send(in.kind, prefix+"settings", "describes it", stands(in.least), func(w *world, s *site) (string, url.Values, func(*world) bool) {
				text := fresh()
				is := w.ask(w.root(), "GET", s.here()).must(w, 200).object(w)
				return at(s, "settings"), url.Values{"name": {fmt.Sprint(is["name"])}, "path": {fmt.Sprint(is["path"])}, "description": {text}, "visibility": {s.visibility}},
					func(w *world) bool { return w.says(s.here(), "description") == text }
			}),
			send(in.kind, prefix+"settings/packages", "sets a limit", stands(in.least), func(w *world, s *site) (string, url.Values, func(*world) bool) {
				n := fmt.Sprint(5000 + manyTexts.Add(1)%4000)
				return at(s, "settings/packages"), url.Values{"max_files_per_package": {n}}, func(w *world) bool {
					return fmt.Sprint(w.field(s.here()+"/packages/settings", "max_files_per_package")) == n
				}
			}),
		)
		rows = append(rows, row{pattern: "POST " + prefix + "transfer", does: "moves it", at: inGroups, page: true, want: below(50), try: func(w *world, s *site, _ *caller) attempt {
			to := w.group(s.visibility, s.group)
			path, full, says := "", "", "full_path"
			if in.kind == inProjects {
				p := w.project(s.group, s.visibility)
				path, full, says = of(p), p.PathWithNamespace, "path_with_namespace"
			} else {
				g := w.group(s.visibility, s.group)
				path, full = of(g), g.FullPath
			}
			return attempt{form(strings.Replace(prefix, "{place}", full, 1)+"transfer", url.Values{"to": {to.FullPath}, "confirm": {full}}),
				func(w *world) bool { return strings.HasPrefix(w.says(path, says), to.FullPath+"/") }}
		}})
		for _, restore := range []bool{false, true} {
			does := map[bool]string{false: "delete", true: "restore"}[restore]
			rows = append(rows, row{pattern: "POST " + prefix + does, does: does + "s it", at: inGroups, page: true, try: func(w *world, s *site, _ *caller) attempt {
				var path, full string
				if in.kind == inProjects {
					p := w.project(s.group, s.visibility)
					path, full = of(p), p.PathWithNamespace
				} else {
					g := w.group(s.visibility, s.group)
					path, full = of(g), g.FullPath
				}
				fields := url.Values{"confirm": {full}}
				if restore {
					w.ask(w.root(), "DELETE", path).must(w, 202)
					is := w.ask(w.root(), "GET", path).must(w, 200).object(w)
					full = fmt.Sprint(map[bool]any{true: is["path_with_namespace"], false: is["full_path"]}[in.kind == inProjects])
				}
				return attempt{form(strings.Replace(prefix, "{place}", full, 1)+does, fields), func(w *world) bool { return (w.says(path, "marked_for_deletion_on") == "") == restore }}
			}, want: func(id identity, s *site) int {
				status := below(50)(id, s)
				if restore && status == http.StatusForbidden {
					return http.StatusNotFound // what is marked only its owners know
				}
				return status
			}})
		}
	}
	return rows
}
