package contract

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// path is the user in the API.
func (u user) path() string { return fmt.Sprintf("/api/v4/users/%d", u.ID) }

// names are a field of each of a list.
func (a *answer) names(t testing.TB, field string) []string {
	t.Helper()
	var list []map[string]any
	if err := json.Unmarshal(a.must(t, 200).body, &list); err != nil {
		t.Fatalf("%s: %v in %s", a.call, err, a.body)
	}
	names := []string{}
	for _, one := range list {
		names = append(names, fmt.Sprint(one[field]))
	}
	return names
}

// login tries a password by npm's legacy login, and returns the token that it makes.
func (w *world) login(name, password string) *answer {
	w.Helper()
	a := w.send(call{method: "PUT", path: instance + "/-/user/org.couchdb.user:" + name, body: map[string]any{"name": name, "password": secret(password)}})
	secret(a.says("token"))
	return a
}

func TestUserFilters(t *testing.T) {
	w := own(t, harness.Config{})
	p := w.project(w.group(harness.Private), harness.Private)
	users := map[string]user{}
	for _, name := range []string{"Ada", "Bob", "blocked", "deactivated", "External"} {
		var u user
		w.make("/users", map[string]any{"username": name, "name": name + " Ünïque-Name", "email": name + "@example.com", "force_random_password": true, "external": name == "External"}, &u)
		u.token = w.personal(u, "api")
		users[name] = u
	}
	w.send(call{method: "POST", path: users["blocked"].path() + "/block", as: w.root()}).must(t, 201).is(t, `true`)
	w.send(call{method: "POST", path: users["deactivated"].path() + "/deactivate", as: w.root()}).must(t, 201).is(t, `true`)
	var bot struct {
		UserID int64 `json:"user_id"`
		Token  string
	}
	w.make(fmt.Sprintf("/projects/%d/access_tokens", p.ID), map[string]any{"name": "robot", "scopes": []string{"api"}}, &bot)
	secret(bot.Token)
	root, ada := w.root(), users["Ada"].as()
	all := []string{"External", "deactivated", "blocked", "Bob", "Ada", "root"} // the newest first
	for _, row := range []struct {
		query string
		as    credential
		want  []string
	}{
		{"?humans=true", root, all},
		{"?without_project_bots=true", root, all},
		{"", ada, all}, // bots are not shown to everybody
		{"?sort=asc", ada, []string{"root", "Ada", "Bob", "blocked", "deactivated", "External"}},
		{"?order_by=username&sort=asc", ada, []string{"Ada", "blocked", "Bob", "deactivated", "External", "root"}},
		{"?order_by=name&search=name", ada, []string{"External", "deactivated", "Bob", "blocked", "Ada"}},
		{"?active=true&humans=true", root, []string{"External", "Bob", "Ada", "root"}},
		{"?blocked=true", root, []string{"blocked"}},
		{"?exclude_active=true", root, []string{"deactivated", "blocked"}},
		{"?external=true", root, []string{"External"}},
		{"?exclude_external=true&humans=1", root, []string{"deactivated", "blocked", "Bob", "Ada", "root"}},
		{"?admins=true", root, []string{"root"}},
		{"?username=ADA", ada, []string{"Ada"}},
		{"?username=ad", ada, []string{}},
		{"?search=ADA", ada, []string{"Ada"}},
		{"?search=%C3%9CN%C3%8FQUE-nAME", ada, []string{"External", "deactivated", "blocked", "Bob", "Ada"}},
		{"?search=b", ada, []string{"blocked", "Bob"}},
		{"?search=%25", ada, []string{}},
		{"?search=bob@example.com", root, []string{"Bob"}},
		{"?search=bob@example.com", ada, []string{}}, // addresses are nobody's business
		{"?search=" + strings.Repeat("x", 1999), ada, []string{}},
		{"?created_after=2000-01-01&humans=true", root, all},
		{"?created_before=2000-01-01", root, []string{}},
		{"?created_after=2100-01-01T00:00:00Z", root, []string{}},
		{"?per_page=2&page=2", ada, []string{"blocked", "Bob"}},
	} {
		w.sub(row.query, func(w *world) {
			if got := w.send(call{path: "/api/v4/users" + row.query, as: row.as}).names(w, "username"); !slices.Equal(got, row.want) {
				w.Errorf("%q, want %q", got, row.want)
			}
		})
	}
	w.sub("bots are listed to administrators, and to those who ask for them", func(w *world) {
		for query, as := range map[string]credential{"": root, "?exclude_humans=true": ada} {
			if got := w.send(call{path: "/api/v4/users" + query, as: as}).names(w, "id"); !slices.Contains(got, fmt.Sprint(bot.UserID)) {
				w.Errorf("%q: %q", query, got)
			}
		}
	})
	for query, want := range map[string]string{
		"?order_by=password": `{"error":"order_by does not have a valid value"}`, "?sort=up": `{"error":"sort does not have a valid value"}`,
		"?active=perhaps": `{"error":"active is invalid"}`, "?created_after=soon": `{"error":"created_after is invalid"}`,
	} {
		w.sub(query, func(w *world) { w.send(call{path: "/api/v4/users" + query, as: root}).want(w, 400).is(w, want) })
	}
}

func TestChangingUsers(t *testing.T) {
	w := own(t, harness.Config{})
	home := w.group(harness.Private)
	p := w.project(home, harness.Private)
	change := func(w *world, u user, body map[string]any) *answer {
		return w.send(call{method: "PUT", path: u.path(), as: w.root(), body: body})
	}
	w.sub("a new password is the only one at once", func(w *world) {
		u := w.user()
		next := secret(harness.Random())
		change(w, u, map[string]any{"password": next}).want(w, 200)
		w.login(u.Username, u.Password).want(w, 401)
		w.login(u.Username, next).want(w, 201)
		w.send(call{path: "/api/v4/user", as: u.as()}).want(w, 200) // tokens are not the password's
		change(w, u, map[string]any{"password": "short"}).want(w, 400).is(w, `{"message":{"password":["is too short (minimum is 8 characters)"]}}`)
		w.login(u.Username, next).want(w, 201)
	})
	w.sub("the fields", func(w *world) {
		u := w.user()
		name := "n" + harness.Random()[:8]
		got := change(w, u, map[string]any{"name": "New Name", "email": name + "@example.com", "external": true, "admin": true}).must(w, 200).object(w)
		for field, want := range map[string]any{"name": "New Name", "email": name + "@example.com", "external": true, "is_admin": true, "username": u.Username, "state": "active"} {
			if got[field] != want {
				w.Errorf("%s is %v, want %v", field, got[field], want)
			}
		}
		w.send(call{path: "/api/v4/users?blocked=true", as: u.as()}).want(w, 200)
		w.send(call{path: "/api/v4/audit_events", as: u.as()}).want(w, 200)
		change(w, u, map[string]any{"admin": false}).must(w, 200)
		w.send(call{path: "/api/v4/audit_events", as: u.as()}).want(w, 403)
		if got := change(w, u, map[string]any{}).must(w, 200).says("name"); got != "New Name" {
			w.Errorf("nothing changed, and the name is %q", got)
		}
	})
	w.sub("a new user name takes the projects along", func(w *world) {
		u := w.user()
		var mine project
		a := w.send(call{method: "POST", path: "/api/v4/projects", as: u.as(), body: map[string]any{"name": "Mine"}}).must(w, 201)
		if err := json.Unmarshal(a.body, &mine); err != nil {
			w.Fatal(err)
		}
		k := newPack()
		w.publish(mine, u.as(), k)
		name := "N" + harness.Random()[:8]
		change(w, u, map[string]any{"username": name}).must(w, 200)
		if got := w.send(call{path: mine.prefix() + "/-/whoami", as: u.as()}).says("username"); got != name {
			w.Errorf("is %q", got)
		}
		at := "/api/v4/projects/" + strings.ToLower(name) + "%2Fmine"
		if got := w.send(call{path: at, as: u.as()}).must(w, 200).says("path_with_namespace"); got != name+"/mine" {
			w.Errorf("path %q", got)
		}
		w.send(call{path: at + "/packages/npm/" + k.name, as: u.as()}).want(w, 200)
		// The old name is free again.
		w.make("/users", map[string]any{"username": u.Username, "name": "x", "email": u.Username + "2@example.com", "force_random_password": true}, &struct{}{})
		change(w, u, map[string]any{"username": strings.ToUpper(name)}).must(w, 200) // the same name in capitals is one's own
	})
	other := w.user()
	for what, row := range map[string]struct {
		body   map[string]any
		status int
		want   string
	}{
		"a user name that is taken":    {map[string]any{"username": other.Username}, 409, `{"message":"Username has already been taken"}`},
		"a user name that a group has": {map[string]any{"username": home.Path}, 409, `{"message":"Username has already been taken"}`},
		"an address that is taken":     {map[string]any{"email": strings.ToUpper(other.Email)}, 409, `{"message":"Email has already been taken"}`},
		"no address":                   {map[string]any{"email": "nobody"}, 400, `{"message":{"email":["is invalid"]}}`},
		"an empty name":                {map[string]any{"name": " "}, 400, `{"error":"name is empty"}`},
		"a user name that is none":     {map[string]any{"username": "-x"}, 400, ""},
		"no flag":                      {map[string]any{"admin": "perhaps"}, 400, `{"error":"admin is invalid"}`},
	} {
		w.sub("refused: "+what, func(w *world) {
			u := w.user()
			a := change(w, u, row.body).want(w, row.status)
			if row.want != "" {
				a.is(w, row.want)
			}
			if got := w.send(call{path: u.path(), as: w.root()}).object(w); got["username"] != u.Username || got["email"] != u.Email {
				w.Errorf("changed all the same: %v", got)
			}
		})
	}
	w.sub("the last administrator stays one", func(w *world) {
		a := w.send(call{method: "PUT", path: "/api/v4/users/1", as: w.root(), body: map[string]any{"admin": false}}).want(w, 409)
		if !strings.HasPrefix(a.says("message"), "User cannot be changed: ") {
			w.Errorf("%s", a.body)
		}
		w.send(call{path: "/api/v4/audit_events", as: w.root()}).want(w, 200)
		w.send(call{method: "DELETE", path: "/api/v4/users/1", as: w.root()}).want(w, 409)
		for _, verb := range []string{"block", "deactivate", "ban"} {
			w.send(call{method: "POST", path: "/api/v4/users/1/" + verb, as: w.root()}).want(w, 403)
		}
	})
	w.sub("nobody there", func(w *world) {
		for _, c := range []call{{method: "PUT", path: "/api/v4/users/99999"}, {method: "DELETE", path: "/api/v4/users/99999"}, {method: "POST", path: "/api/v4/users/99999/block"}, {path: "/api/v4/users/99999/memberships"}} {
			c.as = w.root()
			w.send(c).want(w, 404).is(w, `{"message":"404 User Not Found"}`)
		}
	})
	w.sub("memberships", func(w *world) {
		u := w.user()
		w.join(home.path(), u, harness.Developer)
		w.join(fmt.Sprintf("/projects/%d", p.ID), u, harness.Owner)
		group := fmt.Sprintf(`{"source_id":%d,"source_name":%q,"source_type":"Namespace","access_level":30}`, home.ID, home.Path)
		here := fmt.Sprintf(`{"source_id":%d,"source_name":%q,"source_type":"Project","access_level":50}`, p.ID, p.Path)
		for query, want := range map[string]string{"": "[" + group + "," + here + "]", "?type=Project": "[" + here + "]", "?type=Namespace": "[" + group + "]", "?per_page=1&page=2": "[" + here + "]"} {
			w.send(call{path: u.path() + "/memberships" + query, as: w.root()}).want(w, 200).is(w, want)
		}
	})
}

// Who is kept out is so everywhere, from the next request on, and whatever they hold.
func TestKeptOut(t *testing.T) {
	w := own(t, harness.Config{})
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	k := newPack()
	w.publish(p, w.root(), k)
	state := func(w *world, u user, verb string, status int) *answer {
		w.Helper()
		return w.send(call{method: "POST", path: u.path() + "/" + verb, as: w.root()}).want(w, status)
	}
	for _, row := range []struct{ out, state, says, in string }{
		{"block", "blocked", "Your account has been blocked.", "unblock"},
		{"ban", "banned", "Your account has been blocked.", "unban"},
		{"deactivate", "deactivated", "Your account has been deactivated by your administrator.", "activate"},
	} {
		w.sub(row.out, func(w *world) {
			u := w.member(p, harness.Maintainer)
			var impersonation, bot harness.Token
			w.make(fmt.Sprintf("/users/%d/impersonation_tokens", u.ID), map[string]any{"name": "n", "scopes": []string{"api"}}, &impersonation)
			a := w.send(call{method: "POST", path: fmt.Sprintf("/api/v4/projects/%d/access_tokens", p.ID), as: u.as(), body: map[string]any{"name": "n", "scopes": []string{"api"}}}).must(w, 201)
			if err := json.Unmarshal(a.body, &bot); err != nil {
				w.Fatal(err)
			}
			deployed := deploy(w.deployToken(p, "write_package_registry"))
			credentials := map[string]credential{"token": u.as(), "bearer": bearer(u.token), "basic": basic(u.Username, u.token), "job": job(w.jobToken(p, u, 600)), "impersonation": private(impersonation.Token)}
			requests := []call{
				{path: p.prefix() + "/" + k.name}, {path: "/api/v4/user"}, {path: p.prefix() + "/-/whoami"}, {path: "/api/v4/users/1"},
				{method: "PUT", path: p.prefix() + "/" + k.name, body: k.at("9.0.0").document()}, {path: "/api/v4/personal_access_tokens/self"},
				{method: "POST", path: "/api/v4/personal_access_tokens/self/rotate"},
			}
			state(w, u, row.out, 201)
			if got := w.send(call{path: u.path(), as: w.root()}).says("state"); got != row.state {
				w.Errorf("state %q", got)
			}
			for carrier, as := range credentials {
				for _, c := range requests {
					c.as = as
					a := w.send(c)
					if a.status != 403 || !strings.Contains(string(a.body), "403 Forbidden - "+row.says) {
						w.Errorf("%s by %s: %d %s", a.call, carrier, a.status, a.body)
					}
				}
			}
			// What does not stand for the user goes on.
			w.send(call{path: p.prefix() + "/" + k.name, as: deployed}).want(w, 200)
			w.send(call{path: p.prefix() + "/" + k.name, as: private(secret(bot.Token))}).want(w, 200)
			state(w, u, row.in, 201)
			w.send(call{path: p.prefix() + "/" + k.name, as: u.as()}).want(w, 200)
		})
	}
	w.sub("a password does not let a blocked user in", func(w *world) {
		u := w.user()
		state(w, u, "block", 201)
		w.login(u.Username, u.Password).want(w, 401)
		state(w, u, "unblock", 201)
		w.login(u.Username, u.Password).want(w, 201)
	})
	w.sub("a password reactivates a deactivated user", func(w *world) {
		u := w.user()
		state(w, u, "deactivate", 201)
		w.login(u.Username, wrong()).want(w, 401)
		w.send(call{path: "/api/v4/user", as: u.as()}).want(w, 403)
		w.login(u.Username, u.Password).want(w, 201)
		w.send(call{path: "/api/v4/user", as: u.as()}).want(w, 200)
	})
	w.sub("a sign-in that was approved before gives no token after", func(w *world) {
		u := w.user()
		a := w.send(call{method: "POST", path: instance + "/-/v1/login", body: "{}"}).must(w, 200)
		page, done := strings.TrimPrefix(a.says("loginUrl"), w.server.URL), strings.TrimPrefix(a.says("doneUrl"), w.server.URL)
		w.send(call{method: "POST", path: page, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: "username=" + u.Username + "&password=" + u.Password}).must(w, 200)
		state(w, u, "block", 201)
		w.send(call{path: done}).want(w, 404)
	})
	for _, row := range []struct{ first, then, says string }{
		{"block", "deactivate", "A blocked user cannot be deactivated by the API"},
		{"block", "activate", "A blocked user must be unblocked to be activated"},
		{"block", "ban", "You cannot ban blocked users."},
		{"deactivate", "unblock", "A deactivated user cannot be unblocked by the API"},
		{"ban", "unblock", "A banned user cannot be unblocked by the API"},
		{"ban", "block", "You cannot block banned users."},
		{"block", "unban", "You cannot unban blocked users."},
	} {
		w.sub(row.first+" and "+row.then, func(w *world) {
			u := w.user()
			state(w, u, row.first, 201)
			state(w, u, row.then, 403).is(w, `{"message":"403 Forbidden - `+row.says+`"}`)
		})
	}
	w.sub("twice is as once", func(w *world) {
		u := w.user()
		for _, verb := range []string{"unblock", "activate", "block", "block", "unblock", "deactivate", "deactivate"} {
			state(w, u, verb, 201).is(w, `true`)
		}
	})
}

func TestRemovingUsers(t *testing.T) {
	w := own(t, harness.Config{})
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	remove := func(w *world, u user, query string) *answer {
		w.Helper()
		return w.send(call{method: "DELETE", path: u.path() + query, as: w.root()})
	}
	w.sub("what they hold opens nothing, and what they published stays", func(w *world) {
		u := w.member(p, harness.Developer)
		k := newPack()
		sent := w.publish(p, u.as(), k)
		jobs := job(w.jobToken(p, u, 600))
		second := k.at("1.1.0")
		w.publish(p, jobs, second)
		w.send(call{method: "POST", path: "/api/v4/projects", as: u.as(), body: map[string]any{"name": "empty"}}).must(w, 201)
		remove(w, u, "").want(w, 204)
		for _, as := range []credential{u.as(), jobs} {
			w.send(call{path: "/api/v4/user", as: as}).want(w, 401)
			w.send(call{path: p.prefix() + "/" + k.name, as: as}).want(w, 401)
		}
		w.login(u.Username, u.Password).want(w, 401)
		w.send(call{path: u.path(), as: w.root()}).want(w, 404)
		w.send(call{path: "/api/v4/projects/" + u.Username + "%2Fempty", as: w.root()}).want(w, 404)
		w.send(call{path: fmt.Sprintf("/api/v4/projects/%d/members/%d", p.ID, u.ID), as: w.root()}).want(w, 404)
		if got := w.download(p.prefix(), k.name, "1.0.0", anonymous); string(got) != string(sent) {
			w.Error("other bytes")
		}
		if got := w.versions(p.prefix(), k.name, anonymous); len(got) != 2 {
			w.Errorf("versions %v", got)
		}
		remove(w, u, "").want(w, 404)
		w.make("/users", map[string]any{"username": u.Username, "name": "x", "email": u.Email, "force_random_password": true}, &u)
	})
	w.sub("not the only owner of a group, but for hard_delete", func(w *world) {
		u, other := w.user(), w.user()
		a := w.send(call{method: "POST", path: "/api/v4/groups", as: u.as(), body: map[string]any{"name": "alone", "path": "a" + harness.Random()[:8]}}).must(w, 201)
		var alone, sub group
		if err := json.Unmarshal(a.body, &alone); err != nil {
			w.Fatal(err)
		}
		sub = w.group(harness.Private, alone)
		inside := w.project(sub, harness.Private)
		k := newPack()
		w.publish(inside, w.root(), k)
		remove(w, u, "").want(w, 409).is(w, fmt.Sprintf(`{"message":"User cannot be removed: nobody else owns the group %s"}`, alone.Path))
		w.send(call{path: "/api/v4/user", as: u.as()}).want(w, 200)
		w.join(alone.path(), other, harness.Owner)
		w.send(call{method: "POST", path: other.path() + "/block", as: w.root()}).must(w, 201)
		remove(w, u, "").want(w, 409) // who is blocked owns nothing
		remove(w, u, "?hard_delete=true").want(w, 204)
		w.send(call{path: "/api/v4" + alone.path(), as: w.root()}).want(w, 404)
		w.send(call{path: "/api/v4" + sub.path(), as: w.root()}).want(w, 404)
		w.send(call{path: inside.prefix() + "/" + k.name, as: w.root()}).want(w, 404)
	})
	w.sub("one of two owners", func(w *world) {
		u := w.user()
		w.join(home.path(), u, harness.Owner) // root is the other
		remove(w, u, "").want(w, 204)
		w.send(call{path: "/api/v4" + home.path(), as: w.root()}).want(w, 200)
	})
	w.sub("not with packages in their namespace, but for hard_delete", func(w *world) {
		u := w.user()
		a := w.send(call{method: "POST", path: "/api/v4/projects", as: u.as(), body: map[string]any{"name": "mine"}}).must(w, 201)
		var mine project
		if err := json.Unmarshal(a.body, &mine); err != nil {
			w.Fatal(err)
		}
		k := newPack()
		w.publish(mine, u.as(), k)
		remove(w, u, "").want(w, 409).is(w, fmt.Sprintf(`{"message":"User cannot be removed: there are packages in the namespace %s"}`, u.Username))
		w.send(call{path: mine.prefix() + "/" + k.name, as: u.as()}).want(w, 200)
		remove(w, u, "?hard_delete=true").want(w, 204)
		w.send(call{path: mine.prefix() + "/" + k.name, as: w.root()}).want(w, 404)
		w.send(call{path: mine.prefix() + "/" + k.name, as: u.as()}).want(w, 401)
	})
	w.sub("of administrators who remove each other, one stays", func(w *world) {
		w = own(w.T, harness.Config{})
		u := w.user()
		w.send(call{method: "PUT", path: u.path(), as: w.root(), body: map[string]any{"admin": true}}).must(w, 200)
		w.race(2, func(i int) call {
			return []call{{method: "DELETE", path: u.path() + "?hard_delete=true", as: w.root()}, {method: "DELETE", path: "/api/v4/users/1?hard_delete=true", as: u.as()}}[i]
		})
		left := 0
		for _, as := range []credential{w.root(), u.as()} {
			if w.send(call{path: "/api/v4/audit_events", as: as}).status == 200 {
				left++
			}
		}
		if left != 1 {
			w.Errorf("%d administrators are left", left)
		}
	})
}

// An administrator may act as somebody else, with a token that says so.
func TestSudo(t *testing.T) {
	w := newWorld(t)
	p := w.project(w.group(harness.Private), harness.Private)
	u := w.member(p, harness.Developer)
	root := user{User: harness.User{ID: 1}}
	sudo, plain := private(w.personal(root, "api", "sudo")), private(w.personal(root, "api"))
	who := func(w *world, c call, status int) *answer {
		w.Helper()
		if c.path == "" {
			c.path = "/api/v4/user"
		}
		return w.send(c).want(w, status)
	}
	as := func(name string) map[string]string { return map[string]string{"Sudo": name} }
	w.sub("by user name and by id, in the header and in the query", func(w *world) {
		for _, c := range []call{
			{header: as(u.Username)}, {header: as(strings.ToUpper(u.Username))}, {header: as(fmt.Sprint(u.ID))}, {path: "/api/v4/user?sudo=" + u.Username}, {path: fmt.Sprintf("/api/v4/user?sudo=%d", u.ID)},
		} {
			c.as = sudo
			if got := who(w, c, 200).says("username"); got != u.Username {
				w.Errorf("is %q", got)
			}
		}
		if got := who(w, call{path: p.prefix() + "/-/whoami", as: sudo, header: as(u.Username)}, 200).says("username"); got != u.Username {
			w.Errorf("npm: is %q", got)
		}
	})
	w.sub("in a body", func(w *world) {
		name := "s" + harness.Random()[:8]
		a := w.send(call{method: "POST", path: "/api/v4/projects", as: sudo, body: map[string]any{"name": name, "sudo": u.Username}}).must(w, 201)
		if got := a.says("path_with_namespace"); got != u.Username+"/"+name {
			w.Errorf("made %q", got)
		}
		w.send(call{method: "POST", path: "/api/v4/projects", as: plain, body: map[string]any{"name": name, "sudo": u.Username}}).want(w, 403)
		w.send(call{method: "POST", path: "/api/v4/projects", as: u.as(), body: map[string]any{"name": name + "2", "sudo": 1}}).want(w, 403)
	})
	w.sub("with the rights of the other", func(w *world) {
		for _, c := range []call{{path: "/api/v4/audit_events"}, {method: "PUT", path: u.path(), body: map[string]any{"admin": true}}, {path: fmt.Sprintf("/api/v4/projects/%d/deploy_tokens", p.ID)}} {
			c.as, c.header = sudo, as(u.Username)
			w.send(c).want(w, 403)
		}
		k := newPack()
		w.send(call{method: "PUT", path: p.prefix() + "/" + k.name, as: sudo, header: as(u.Username), body: k.document()}).want(w, 200)
		if got := at(w.packument(p.prefix(), k.name, u.as()), "versions", "1.0.0", "_npmUser", "name"); got != nil && got != u.Username {
			w.Errorf("published by %v", got)
		}
	})
	w.sub("a log line names both", func(w *world) {
		name := "l" + harness.Random()[:8]
		w.send(call{method: "POST", path: "/api/v4/user/personal_access_tokens", as: sudo, header: as(u.Username), body: map[string]any{"name": name, "scopes": []string{"self_rotate"}}}).must(w, 201)
		events := w.events("/audit_events?entity_type=User&entity_id="+fmt.Sprint(u.ID), w.root())
		if got := events[0]; got.Details["author_name"] != u.Username || got.Details["impersonated_by"] != "root" || got.AuthorID != u.ID {
			w.Errorf("%+v", got)
		}
	})
	blocked, admin := w.user(), w.user()
	w.send(call{method: "POST", path: blocked.path() + "/block", as: w.root()}).must(t, 201)
	w.send(call{method: "PUT", path: admin.path(), as: w.root(), body: map[string]any{"admin": true}}).must(t, 200)
	for what, row := range map[string]struct {
		as     credential
		name   string
		status int
		want   string
	}{
		"nobody":                             {anonymous, u.Username, 401, `{"message":"401 Unauthorized"}`},
		"a wrong token":                      {private(wrong()), u.Username, 401, `{"message":"401 Unauthorized"}`},
		"somebody who is no administrator":   {u.as(), "root", 403, `{"message":"403 Forbidden - Must be admin to use sudo"}`},
		"the scope without the right":        {private(w.personal(u, "api", "sudo")), "root", 403, `{"message":"403 Forbidden - Must be admin to use sudo"}`},
		"an administrator without the scope": {plain, u.Username, 403, ""},
		"an administrator's job":             {job(w.jobToken(p, admin, 60)), u.Username, 403, `{"message":"403 Forbidden - Must be authenticated using an OAuth or personal access token to use sudo"}`},
		"a deploy token":                     {deploy(w.deployToken(p, "read_package_registry")), u.Username, 401, `{"message":"401 Unauthorized"}`},
		"as nobody there":                    {sudo, "no-such-user", 404, `{"message":"404 User with ID or username 'no-such-user' Not Found"}`},
		"as no id there":                     {sudo, "99999", 404, `{"message":"404 User with ID or username '99999' Not Found"}`},
		"as a blocked user":                  {sudo, blocked.Username, 403, `{"message":"403 Forbidden - Your account has been blocked."}`},
	} {
		w.sub("refused: "+what, func(w *world) {
			a := who(w, call{as: row.as, header: as(row.name)}, row.status)
			if row.want != "" {
				a.is(w, row.want)
			}
			if a := w.send(call{method: "POST", path: "/api/v4/groups", as: row.as, header: as(row.name), body: map[string]any{"name": "sudo", "path": "s" + harness.Random()[:8]}}); a.status != row.status {
				w.Errorf("%s: %d %s", a.call, a.status, a.body)
			}
		})
	}
	w.sub("the scope sudo alone opens nothing else", func(w *world) {
		only := private(w.personal(root, "sudo"))
		who(w, call{as: only}, 403)
		who(w, call{as: only, header: as(u.Username)}, 200)
	})
}

// Keysets lead through all users, both ways.
func TestUsersByKeyset(t *testing.T) {
	w := own(t, harness.Config{})
	for range 4 {
		w.user()
	}
	for _, way := range []string{"asc", "desc"} {
		path := "/users?per_page=2&sort=" + way
		all := listed[int64](w, w.ask(w.root(), "GET", "/users?per_page=100&sort="+way), "id")
		if got := walk[int64](w, w.root(), path+"&pagination=keyset", "id"); !slices.Equal(got, all) || len(all) < 5 {
			w.Errorf("%s: by keyset %v, by offset %v", way, got, all)
		}
		if a := w.ask(w.root(), "GET", path+"&pagination=keyset"); a.header.Get("X-Total") != "" {
			w.Errorf("headers %v", a.header)
		}
	}
	w.ask(w.root(), "GET", "/users?pagination=keyset&order_by=name").want(w, 405).is(w, `{"error":"Keyset pagination is not yet available for this type of request"}`)
	w.ask(w.root(), "GET", "/users?pagination=keyset&cursor=x").want(w, 400).is(w, `{"error":"cursor is invalid"}`)
}
