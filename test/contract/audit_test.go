package contract

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"packhouse/test/harness"
)

type event struct {
	ID         int64
	AuthorID   int64  `json:"author_id"`
	EntityID   int64  `json:"entity_id"`
	EntityType string `json:"entity_type"`
	Name       string `json:"event_name"`
	Details    map[string]any
	CreatedAt  string `json:"created_at"`
}

// events are those at a path of the API.
func (w *world) events(path string, as credential) (events []event) {
	w.Helper()
	a := w.send(call{path: "/api/v4" + path, as: as}).must(w, 200)
	if err := json.Unmarshal(a.body, &events); err != nil {
		w.Fatal(err)
	}
	return events
}

func TestAuditEvents(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Private)
	p := w.project(home, harness.Private)
	at := fmt.Sprintf("/projects/%d", p.ID)
	boss, ada := w.user(), w.user()
	w.join(home.path(), boss, harness.Owner)
	do := func(method, path string, body any, status int) *answer {
		t.Helper()
		a := w.send(call{method: method, path: "/api/v4" + path, as: boss.as(), body: body}).must(t, status)
		secret(a.says("token"))
		return a
	}
	id := func(a *answer) int64 { return int64(a.object(t)["id"].(float64)) }

	do("POST", at+"/members", map[string]any{"user_id": ada.ID, "access_level": 30, "expires_at": "2099-12-31"}, 201)
	do("PUT", fmt.Sprintf("%s/members/%d", at, ada.ID), map[string]any{"access_level": 40}, 200)
	do("DELETE", fmt.Sprintf("%s/members/%d", at, ada.ID), nil, 204)
	deployed := id(do("POST", at+"/deploy_tokens", map[string]any{"name": "ci", "scopes": []string{"read_package_registry"}}, 201))
	do("DELETE", fmt.Sprintf("%s/deploy_tokens/%d", at, deployed), nil, 204)
	bot := id(do("POST", at+"/access_tokens", map[string]any{"name": "bot", "scopes": []string{"api"}, "access_level": 30, "expires_at": time.Now().AddDate(0, 0, 9).Format(time.DateOnly)}, 201))
	bot = id(do("POST", fmt.Sprintf("%s/access_tokens/%d/rotate", at, bot), nil, 200))
	do("DELETE", fmt.Sprintf("%s/access_tokens/%d", at, bot), nil, 204)
	k := newPack()
	w.publish(p, boss.as(), k)
	do("POST", home.path()+"/members", map[string]any{"user_id": ada.ID, "access_level": 20}, 201)

	w.sub("of a project, the newest first", func(w *world) {
		var got []string
		for _, e := range w.events(at+"/audit_events", boss.as()) {
			if e.EntityID != p.ID || e.EntityType != "Project" || e.Details["entity_path"] != p.PathWithNamespace || !isTime.MatchString(e.CreatedAt) {
				w.Errorf("%+v", e)
			}
			if e.AuthorID == boss.ID {
				got = append(got, e.Name+"|"+fmt.Sprint(e.Details["target_details"])+"|"+fmt.Sprint(e.Details["custom_message"]))
				if e.Details["author_name"] != boss.Username || e.Details["ip_address"] != "127.0.0.1" || e.Details["auth_token_type"] != "PersonalAccessToken" || e.Details["auth_token_id"] == nil {
					w.Errorf("%+v", e)
				}
			}
		}
		in := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
		want := []string{
			"package_registry_package_published|npm " + k.name + " 1.0.0|Package published",
			"token_revoked|resource token bot|Token revoked",
			"token_rotated|resource token bot|Token rotated: api as developer, until " + in(7),
			"token_created|resource token bot|Token created: api as developer, until " + in(9),
			"token_revoked|deploy token ci|Token revoked",
			"token_created|deploy token ci|Token created: read_package_registry",
			"member_removed|" + ada.Username + "|Member removed",
			"member_changed|" + ada.Username + "|Member changed: maintainer, until 2099-12-31",
			"member_added|" + ada.Username + "|Member added: developer, until 2099-12-31",
		}
		if !slices.Equal(got, want) {
			w.Errorf("got\n%q\nwant\n%q", got, want)
		}
	})
	w.sub("of a group, its own", func(w *world) {
		events := w.events(home.path()+"/audit_events", boss.as())
		if e := events[0]; e.Name != "member_added" || e.EntityType != "Group" || e.EntityID != home.ID || e.Details["entity_path"] != home.FullPath || e.Details["custom_message"] != "Member added: reporter" {
			w.Errorf("%+v", e)
		}
	})
	w.sub("one, where it belongs", func(w *world) {
		first := w.events(at+"/audit_events", boss.as())[0]
		path := fmt.Sprintf("/audit_events/%d", first.ID)
		w.send(call{path: "/api/v4" + at + path, as: boss.as()}).want(w, 200)
		w.send(call{path: "/api/v4" + path, as: w.root()}).want(w, 200)
		w.send(call{path: "/api/v4" + home.path() + path, as: boss.as()}).want(w, 404).is(w, `{"message":"404 Not found"}`)
		w.send(call{path: "/api/v4/audit_events/999999999", as: w.root()}).want(w, 404)
		w.send(call{path: "/api/v4" + path, as: boss.as()}).want(w, 403)
	})
	w.sub("by keyset", func(w *world) {
		path := "/api/v4" + at + "/audit_events"
		all := listed[int64](w, w.send(call{path: path + "?per_page=100", as: boss.as()}), "id")
		if got := walk[int64](w, boss.as(), at+"/audit_events?pagination=keyset&per_page=2", "id"); !slices.Equal(got, all) || len(all) < 3 {
			w.Errorf("by keyset %v, by offset %v", got, all)
		}
		if a := w.send(call{path: path + "?pagination=keyset&per_page=2", as: boss.as()}); a.header.Get("X-Total") != "" {
			w.Errorf("headers %v", a.header)
		}
		w.send(call{path: path + "?pagination=keyset&cursor=x", as: boss.as()}).want(w, 400).is(w, `{"error":"cursor is invalid"}`)
	})
	w.sub("of a time", func(w *world) {
		all := w.events(at+"/audit_events", boss.as())
		for query, want := range map[string]int{
			"?created_after=2100-01-01": 0, "?created_before=2000-01-01": 0, "?created_after=2000-01-01&created_before=2100-01-01": len(all), "?created_after=" + all[0].CreatedAt: 1,
		} {
			if got := len(w.events(at+"/audit_events"+query, boss.as())); got < want || want != 1 && got != want {
				w.Errorf("%s: %d, want %d", query, got, want)
			}
		}
		w.send(call{path: "/api/v4" + at + "/audit_events?created_after=then", as: boss.as()}).want(w, 400).is(w, `{"error":"created_after is invalid"}`)
	})
	w.sub("of users", func(w *world) {
		u := w.user()
		of := fmt.Sprintf("/audit_events?entity_type=User&entity_id=%d", u.ID)
		w.send(call{method: "PUT", path: u.path(), as: w.root(), body: map[string]any{"name": "Other", "external": true, "password": secret(harness.Random())}}).must(w, 200)
		w.send(call{method: "POST", path: u.path() + "/block", as: w.root()}).must(w, 201)
		w.send(call{method: "DELETE", path: u.path(), as: w.root()}).must(w, 204)
		var got []string
		for _, e := range w.events(of, w.root()) {
			got = append(got, fmt.Sprint(e.Details["custom_message"]))
			if e.Details["entity_path"] != u.Username || e.EntityType != "User" || e.AuthorID != 1 {
				w.Errorf("%+v", e)
			}
		}
		want := []string{"User deleted", "User changed: blocked", "User changed: name, external true, password", "Token created: api, until " + time.Now().UTC().AddDate(0, 0, 365).Format(time.DateOnly), "User created"}
		if !slices.Equal(got, want) {
			w.Errorf("%q, want %q", got, want)
		}
		w.send(call{path: "/api/v4/audit_events?entity_id=1", as: w.root()}).want(w, 400).is(w, `{"error":"entity_type is missing"}`)
		w.send(call{path: "/api/v4/audit_events?entity_type=Planet", as: w.root()}).want(w, 400)
	})
	w.sub("of npm login, logout and tokens, by who signed in", func(w *world) {
		w = own(w.T, harness.Config{})
		u := w.user()
		token := w.login(u.Username, u.Password).must(w, 201).says("token")
		made := w.send(call{method: "POST", path: instance + "/-/npm/v1/tokens", as: bearer(token), body: map[string]any{"password": u.Password, "name": "second"}}).must(w, 201).object(w)
		secret(made["token"].(string))
		w.send(call{method: "DELETE", path: fmt.Sprintf("%s/-/npm/v1/tokens/token/%v", instance, made["key"]), as: bearer(token)}).must(w, 204)
		w.send(call{method: "DELETE", path: instance + "/-/user/token/" + token, as: bearer(token)}).must(w, 200)
		var got []string
		for _, e := range w.events(fmt.Sprintf("/audit_events?entity_type=User&entity_id=%d", u.ID), w.root())[:4] {
			got = append(got, fmt.Sprint(e.Name, " ", e.Details["target_details"], " by ", e.Details["author_name"]))
		}
		by := " by " + u.Username
		want := []string{"token_revoked personal token npm login" + by, "token_revoked personal token second" + by, "token_created personal token second" + by, "token_created personal token npm login" + by}
		if !slices.Equal(got, want) {
			w.Errorf("%q, want %q", got, want)
		}
	})
	w.sub("of a package's tags and deprecations", func(w *world) {
		k := newPack()
		w.publish(p, boss.as(), k)
		tag := p.prefix() + "/-/package/" + escaped(k.name) + "/dist-tags/stable"
		w.send(call{method: "PUT", path: tag, as: boss.as(), body: `"1.0.0"`}).must(w, 204)
		w.send(call{method: "DELETE", path: tag, as: boss.as()}).must(w, 204)
		for _, reason := range []string{"old", "old", ""} { // the second changes nothing
			manifest := map[string]any{"versions": map[string]any{"1.0.0": map[string]any{"name": k.name, "version": "1.0.0", "deprecated": reason}}}
			w.send(call{method: "PUT", path: p.prefix() + "/" + escaped(k.name), as: boss.as(), body: manifest}).must(w, 200)
		}
		w.send(call{method: "DELETE", path: tag, as: boss.as()}).must(w, 404)
		var got []string
		for _, e := range w.events(at+"/audit_events", boss.as())[:5] {
			got = append(got, fmt.Sprint(e.Name, "|", e.Details["target_details"], "|", e.Details["custom_message"], "|", e.Details["author_name"]))
		}
		of := "package_changed|npm " + k.name
		want := []string{
			of + " 1.0.0|Package changed: no longer deprecated|" + boss.Username,
			of + " 1.0.0|Package changed: deprecated: old|" + boss.Username,
			of + "|Package changed: tag stable removed|" + boss.Username,
			of + " 1.0.0|Package changed: tag stable|" + boss.Username,
			"package_registry_package_published|npm " + k.name + " 1.0.0|Package published|" + boss.Username,
		}
		if !slices.Equal(got, want) {
			w.Errorf("got\n%q\nwant\n%q", got, want)
		}
	})
	w.sub("a deploy token has a name", func(w *world) {
		w.publish(p, deploy(w.deployToken(p, "write_package_registry")), newPack())
		e := w.events(at+"/audit_events", boss.as())[0]
		if e.Name != "package_registry_package_published" || e.AuthorID != -1 || e.Details["author_name"] != "test" || e.Details["auth_token_type"] != "DeployToken" {
			w.Errorf("%+v", e)
		}
	})
	w.sub("what is refused leaves no event", func(w *world) {
		before := w.events(at+"/audit_events", boss.as())[0].ID
		w.send(call{method: "POST", path: "/api/v4" + at + "/members", as: ada.as(), body: map[string]any{"user_id": ada.ID, "access_level": 50}}).want(w, 403)
		w.send(call{method: "DELETE", path: "/api/v4" + at + "/members/1", as: boss.as()}).want(w, 404)
		if after := w.events(at+"/audit_events", boss.as())[0].ID; after != before {
			w.Errorf("event %d", after)
		}
	})
}

// Events end after a time.
func TestAuditRetention(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--audit-retention", "3s"}})
	p := w.project(w.group(harness.Private), harness.Private)
	w.publish(p, w.root(), newPack())
	eventually(w, "old events are removed", func() bool { return len(w.events("/audit_events", w.root())) == 0 })
	w.publish(p, w.root(), newPack())
	if got := w.events("/audit_events", w.root()); len(got) != 1 {
		w.Errorf("%+v", got)
	}
}
