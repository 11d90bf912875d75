package contract

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"packhouse/test/harness"
)

var visibilities = []string{harness.Public, harness.Internal, harness.Private}

// Who reads what: metadata and everything that is read with the same right, by
// visibility and role, at each prefix.
func TestWhoMayRead(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	stranger := w.user()
	roles := map[string]user{}
	for _, role := range []string{"guest", "reporter", "developer", "maintainer", "owner"} {
		roles[role] = w.user()
	}
	levels := map[string]int{"guest": harness.Guest, "reporter": harness.Reporter, "developer": harness.Developer, "maintainer": harness.Maintainer, "owner": harness.Owner}
	foreign := w.deployToken(w.project(home, harness.Private), "read_package_registry")
	groupToken := w.token(home.path()+"/deploy_tokens", []string{"read_package_registry"})

	places := map[string]project{}
	packs := map[string]pack{}
	own := map[string]map[string]credential{} // credentials of the project itself, by visibility
	for _, visibility := range visibilities {
		p := w.project(home, visibility)
		for role, u := range roles {
			w.join(fmt.Sprintf("/projects/%d", p.ID), u, levels[role])
		}
		k := named("@" + home.Path + "/" + visibility)
		w.publish(p, w.root(), k)
		places[visibility], packs[visibility] = p, k
		own[visibility] = map[string]credential{
			"read":  deploy(w.deployToken(p, "read_package_registry")),
			"write": deploy(w.deployToken(p, "write_package_registry")),
			"job":   job(w.jobToken(p, roles["developer"], 3600)),
		}
	}

	type statuses struct{ public, internal, private int }
	of := func(s statuses, visibility string) int {
		return map[string]int{harness.Public: s.public, harness.Internal: s.internal, harness.Private: s.private}[visibility]
	}
	same := func(as credential) func(string) credential {
		return func(string) credential { return as }
	}
	const ok, challenge, forbidden, hidden = http.StatusOK, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound
	for _, row := range []struct {
		who     string
		as      func(visibility string) credential
		project statuses // at the project's prefix
		above   statuses // at those of group and instance
	}{
		{"nobody", same(anonymous), statuses{ok, challenge, challenge}, statuses{ok, challenge, challenge}},
		{"a wrong PRIVATE-TOKEN", same(private(wrong())), statuses{challenge, challenge, challenge}, statuses{challenge, challenge, challenge}},
		{"a wrong Bearer", same(bearer(wrong())), statuses{challenge, challenge, challenge}, statuses{challenge, challenge, challenge}},
		{"a wrong password", same(basic("someone", wrong())), statuses{challenge, challenge, challenge}, statuses{challenge, challenge, challenge}},
		{"a wrong Deploy-Token", same(deploy(wrong())), statuses{challenge, challenge, challenge}, statuses{challenge, challenge, challenge}},
		{"a wrong JOB-TOKEN", same(job(wrong())), statuses{challenge, challenge, challenge}, statuses{challenge, challenge, challenge}},
		{"a wrong private_token in the query", same(param("private_token", wrong())), statuses{challenge, challenge, challenge}, statuses{challenge, challenge, challenge}},
		{"a user who is no member", same(stranger.as()), statuses{ok, ok, hidden}, statuses{ok, ok, forbidden}},
		{"a guest", same(roles["guest"].as()), statuses{ok, ok, ok}, statuses{ok, ok, ok}},
		{"a reporter", same(roles["reporter"].as()), statuses{ok, ok, ok}, statuses{ok, ok, ok}},
		{"a developer", same(roles["developer"].as()), statuses{ok, ok, ok}, statuses{ok, ok, ok}},
		{"a maintainer", same(roles["maintainer"].as()), statuses{ok, ok, ok}, statuses{ok, ok, ok}},
		{"an owner", same(roles["owner"].as()), statuses{ok, ok, ok}, statuses{ok, ok, ok}},
		{"an administrator", same(w.root()), statuses{ok, ok, ok}, statuses{ok, ok, ok}},
		{"the project's deploy token that reads", func(v string) credential { return own[v]["read"] }, statuses{ok, ok, ok}, statuses{ok, ok, ok}},
		{"the project's deploy token that writes", func(v string) credential { return own[v]["write"] }, statuses{ok, ok, ok}, statuses{ok, ok, ok}},
		{"the group's deploy token", same(deploy(groupToken)), statuses{ok, ok, ok}, statuses{ok, ok, ok}},
		{"another project's deploy token", same(deploy(foreign)), statuses{ok, hidden, hidden}, statuses{ok, forbidden, forbidden}},
		{"a job of the project", func(v string) credential { return own[v]["job"] }, statuses{ok, ok, ok}, statuses{ok, ok, ok}},
	} {
		for _, visibility := range visibilities {
			k, p := packs[visibility], places[visibility]
			for _, prefix := range []struct {
				name, path string
				statuses   statuses
			}{
				{"project", p.prefix(), row.project},
				{"group", home.prefix(), row.above},
				{"instance", instance, row.above},
			} {
				want := of(prefix.statuses, visibility)
				for _, thing := range []struct{ name, method, path string }{
					{"metadata", "GET", "/" + escaped(k.name)},
					{"head of the metadata", "HEAD", "/" + escaped(k.name)},
					{"tarball", "GET", "/" + k.name + "/-/" + k.name + "-1.0.0.tgz"},
					{"head of the tarball", "HEAD", "/" + k.name + "/-/" + k.name + "-1.0.0.tgz"},
					{"dist-tags", "GET", "/-/package/" + escaped(k.name) + "/dist-tags"},
					{"one version", "GET", "/" + escaped(k.name) + "/1.0.0"},
					{"visibility", "GET", "/-/package/" + escaped(k.name) + "/visibility"},
				} {
					w.sub(fmt.Sprintf("%s asks a %s package's %s at the %s prefix", row.who, visibility, thing.name, prefix.name), func(w *world) {
						a := w.send(call{method: thing.method, path: prefix.path + thing.path, as: row.as(visibility)}).want(w, want)
						if challenges := a.header.Get("WWW-Authenticate"); want == challenge && !strings.HasPrefix(challenges, "Basic") {
							w.Errorf("%s: WWW-Authenticate is %q, want a Basic challenge", a.call, challenges)
						}
					})
				}
			}
		}
	}
}

// What opens a private project: each kind of token by each way to carry it.
func TestCarriers(t *testing.T) {
	w := newWorld(t)
	p := w.project(w.group(harness.Private), harness.Private)
	developer := w.member(p, harness.Developer)
	k := newPack()
	w.publish(p, w.root(), k)
	tokens := map[string]string{
		"a personal token that may all":        developer.token,
		"a personal token that may read":       w.personal(developer, "read_api"),
		"a deploy token that reads":            w.deployToken(p, "read_package_registry"),
		"a deploy token that reads and writes": w.deployToken(p, "read_package_registry", "write_package_registry"),
		"a job token":                          w.jobToken(p, developer, 3600),
	}
	writes := map[string]bool{"a personal token that may all": true, "a deploy token that reads and writes": true, "a job token": true}
	anyKind := func(string) bool { return true }
	only := func(kind string) func(string) bool {
		return func(token string) bool { return strings.HasPrefix(token, kind) }
	}
	for _, carrier := range []struct {
		name  string
		takes func(token string) bool
		as    func(token string) credential
	}{
		{"Bearer", anyKind, bearer},
		{"Basic with the owner's name", anyKind, func(token string) credential { return basic(developer.Username, token) }},
		{"Basic with any name", anyKind, func(token string) credential { return basic("anybody", token) }},
		{"Basic as CI does it", only("a job"), func(token string) credential { return basic("gitlab-ci-token", token) }},
		{"PRIVATE-TOKEN", only("a personal"), private},
		{"Deploy-Token", only("a deploy"), deploy},
		{"JOB-TOKEN", only("a job"), job},
		{"the query's private_token", only("a personal"), func(token string) credential { return param("private_token", token) }},
		{"the query's access_token", only("a personal"), func(token string) credential { return param("access_token", token) }},
		{"the query's job_token", only("a job"), func(token string) credential { return param("job_token", token) }},
	} {
		for name, token := range tokens {
			if !carrier.takes(name) {
				continue
			}
			w.sub(name+" in "+carrier.name, func(w *world) {
				as := carrier.as(token)
				w.send(call{path: p.prefix() + "/" + k.name, as: as}).want(w, http.StatusOK)
				w.send(call{path: p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz", as: as}).want(w, http.StatusOK)
				w.send(call{path: p.prefix() + "/-/package/" + k.name + "/dist-tags", as: as}).want(w, http.StatusOK)
				mine := newPack()
				want := http.StatusForbidden
				if writes[name] {
					want = http.StatusOK
				}
				w.publishing(p, as, mine.document(), mine.name).want(w, want)
			})
		}
	}
}

// Credentials that once were good, or never were.
func TestBadCredentials(t *testing.T) {
	w := newWorld(t)
	open := w.open()
	shut := w.project(w.group(harness.Private), harness.Private)
	developer := w.member(shut, harness.Developer)
	k := newPack()
	w.publish(open, w.root(), k)
	w.publish(shut, w.root(), k)

	revoked := w.personal(developer, "api")
	w.send(call{method: "DELETE", path: "/api/v4/personal_access_tokens/self", as: private(revoked)}).must(w, http.StatusNoContent)
	var old struct {
		Token string `json:"token"`
	}
	w.make(fmt.Sprintf("/projects/%d/deploy_tokens", shut.ID), map[string]any{
		"name": "old", "scopes": []string{"read_package_registry"}, "expires_at": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}, &old)
	ended := w.jobToken(shut, developer, 1)
	eventually(t, "a job's token ends with the job", func() bool {
		return w.send(call{path: shut.prefix() + "/" + k.name, as: job(ended)}).status == http.StatusUnauthorized
	})
	typo := developer.token[:len(developer.token)-1] + "?"

	for name, token := range map[string]string{
		"a revoked token": revoked, "an expired token": old.Token, "a finished job's token": ended, "a token with a typo": typo, "an empty token": "", "an unknown token": wrong(),
	} {
		for carrier, as := range map[string]credential{
			"Bearer": bearer(token), "PRIVATE-TOKEN": private(token), "Basic": basic("name", token), "Deploy-Token": deploy(token), "JOB-TOKEN": job(token),
			"the query": param("private_token", token),
		} {
			w.sub(name+" in "+carrier+" is 401 everywhere", func(w *world) {
				for _, p := range []project{open, shut} {
					for _, c := range []call{
						{path: p.prefix() + "/" + k.name},
						{path: p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz"},
						{path: p.prefix() + "/no-such-package"},
						{path: p.prefix() + "/-/package/" + k.name + "/dist-tags"},
						{path: p.prefix() + "/-/whoami"},
						{path: p.prefix() + "/-/v1/search?text=x"},
						{path: p.prefix() + "/-/package/" + k.name + "/collaborators"},
						{method: "PUT", path: p.prefix() + "/" + k.name, body: k.document()},
						{method: "PUT", path: p.prefix() + "/-/package/" + k.name + "/dist-tags/next", body: `"1.0.0"`},
						{method: "DELETE", path: p.prefix() + "/-/package/" + k.name + "/dist-tags/latest"},
						{method: "DELETE", path: p.prefix() + "/" + k.name + "/-rev/1-1"},
						{method: "POST", path: p.prefix() + "/-/npm/v1/security/advisories/bulk", body: `{}`},
					} {
						c.as = as
						w.send(c).want(w, http.StatusUnauthorized)
					}
				}
			})
		}
	}
	for name, value := range map[string]string{
		"an unknown scheme": "Digest x", "Basic that is not base64": "Basic ???", "Bearer without a token": "Bearer", "an empty header": "",
	} {
		w.sub(name+" in Authorization is 401", func(w *world) {
			w.send(call{path: open.prefix() + "/" + k.name, as: credential{header: "Authorization", value: value}}).want(w, http.StatusUnauthorized)
		})
	}
	w.sub("a credential that is expired says so", func(w *world) {
		a := w.send(call{path: shut.prefix() + "/" + k.name, as: bearer(old.Token)}).want(w, http.StatusUnauthorized)
		if a.says("error") != "invalid_token" || !strings.HasPrefix(a.says("error_description"), "Token is expired.") {
			w.Errorf("body %s", a.body)
		}
	})
	w.sub("a scope that is too small says so", func(w *world) {
		mine := newPack()
		a := w.publishing(shut, private(w.personal(developer, "read_api")), mine.document(), mine.name).want(w, http.StatusForbidden)
		if a.says("error") != "insufficient_scope" || !strings.Contains(a.says("scope"), "api") {
			w.Errorf("body %s", a.body)
		}
	})
}

// Who changes what. A refused change changes nothing.
func TestWhoMayWrite(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	stranger := w.user()
	const ok, empty, bad, forbidden, hidden = http.StatusOK, http.StatusNoContent, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound
	for _, visibility := range visibilities {
		p := w.project(home, visibility)
		outside := forbidden // to a user who is no member
		if visibility == harness.Private {
			outside = hidden
		}
		developer := w.member(p, harness.Developer)
		for _, row := range []struct {
			who             string
			as              credential
			publish, delete int // statuses: of publishing and tagging, of what destroys
		}{
			{"nobody", anonymous, bad, bad},
			{"a wrong token", bearer(wrong()), bad, bad},
			{"a user who is no member", stranger.as(), outside, outside},
			{"a guest", w.member(p, harness.Guest).as(), forbidden, forbidden},
			{"a reporter", w.member(p, harness.Reporter).as(), forbidden, forbidden},
			{"a developer", developer.as(), ok, forbidden},
			{"a maintainer", w.member(p, harness.Maintainer).as(), ok, ok},
			{"an owner", w.member(p, harness.Owner).as(), ok, ok},
			{"an administrator", w.root(), ok, ok},
			{"a deploy token that reads", deploy(w.deployToken(p, "read_package_registry")), forbidden, forbidden},
			{"a deploy token that writes", deploy(w.deployToken(p, "write_package_registry")), ok, ok},
			{"a developer's job", job(w.jobToken(p, developer, 3600)), ok, forbidden},
			{"a developer's token that may read", private(w.personal(developer, "read_api")), forbidden, forbidden},
		} {
			w.sub(row.who+" writes to a "+visibility+" project", func(w *world) {
				there := newPack()
				w.publish(p, w.root(), there)
				w.publish(p, w.root(), there.at("2.0.0"))
				before := w.send(call{path: p.prefix() + "/" + there.name, as: w.root()})
				rev := func() string {
					rev, _ := w.packument(p.prefix(), there.name, w.root())["_rev"].(string)
					return url.PathEscape(rev)
				}
				quiet := func(status int) int { // where success has no body
					if status == ok {
						return empty
					}
					return status
				}
				mine := newPack()
				w.publishing(p, row.as, mine.document(), mine.name).want(w, row.publish)
				if listed := len(w.versions(p.prefix(), mine.name, w.root())) == 1; listed != (row.publish == ok) {
					w.Errorf("published: %v", listed)
				}
				w.send(call{method: "PUT", path: p.prefix() + "/-/package/" + there.name + "/dist-tags/next", as: row.as, body: `"1.0.0"`}).want(w, quiet(row.publish))
				w.send(call{method: "DELETE", path: p.prefix() + "/-/package/" + there.name + "/dist-tags/next", as: row.as}).
					want(w, quiet(map[bool]int{true: row.delete, false: row.publish}[row.publish == ok]))
				deprecation := map[string]any{"name": there.name, "versions": map[string]any{"1.0.0": map[string]any{"name": there.name, "version": "1.0.0", "deprecated": "old"}}}
				w.send(call{method: "PUT", path: p.prefix() + "/" + there.name, as: row.as, header: map[string]string{"npm-command": "deprecate"}, body: deprecation}).want(w, row.delete)
				reduced := map[string]any{"name": there.name, "versions": map[string]any{"1.0.0": there.manifest()}}
				if row.publish != ok {
					if after := w.send(call{path: p.prefix() + "/" + there.name, as: w.root()}); string(after.body) != string(before.body) {
						w.Errorf("changed:\n%s\n%s", before.body, after.body)
					}
				}
				w.send(call{method: "PUT", path: p.prefix() + "/" + there.name + "/-rev/" + rev(), as: row.as, body: reduced}).want(w, row.delete)
				w.send(call{method: "DELETE", path: p.prefix() + "/" + there.name + "/-/" + there.name + "-2.0.0.tgz/-rev/" + rev(), as: row.as}).want(w, row.delete)
				want := 2
				if row.delete == ok {
					want = 1
				}
				if left := w.versions(p.prefix(), there.name, w.root()); len(left) != want {
					w.Errorf("versions left: %v", left)
				}
				w.send(call{method: "DELETE", path: p.prefix() + "/" + there.name + "/-rev/" + rev(), as: row.as}).want(w, row.delete)
				if gone := len(w.versions(p.prefix(), there.name, w.root())) == 0; gone != (row.delete == ok) {
					w.Errorf("removed whole: %v", gone)
				}
			})
		}
	}
}

// A project may let everybody pull, or nobody.
func TestRegistryAccess(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	at := func(visibility, access string) project {
		return w.project(home, visibility, map[string]any{"package_registry_access_level": access})
	}
	everybody := at(harness.Private, "public")
	members := at(harness.Public, "private")
	k := newPack()
	w.publish(everybody, w.root(), k)
	w.publish(members, w.root(), k)
	guest, stranger := w.member(members, harness.Guest), w.user()
	file := "/" + k.name + "/-/" + k.name + "-1.0.0.tgz"
	for _, row := range []struct {
		what string
		call call
		want int
	}{
		{"anyone may pull: nobody reads the metadata", call{path: everybody.prefix() + "/" + k.name}, 200},
		{"anyone may pull: nobody reads the tarball", call{path: everybody.prefix() + file}, 200},
		{"anyone may pull: nobody lists the tags", call{path: everybody.prefix() + "/-/package/" + k.name + "/dist-tags"}, 200},
		{"anyone may pull: a user who is no member reads", call{path: everybody.prefix() + "/" + k.name, as: stranger.as()}, 200},
		{"anyone may pull: a wrong token does not", call{path: everybody.prefix() + "/" + k.name, as: bearer(wrong())}, 401},
		{"anyone may pull: nobody publishes", call{method: "PUT", path: everybody.prefix() + "/" + k.name, body: k.document()}, 401},
		{"members only: a guest reads", call{path: members.prefix() + "/" + k.name, as: guest.as()}, 200},
		{"members only: nobody is asked for a password", call{path: members.prefix() + "/" + k.name}, 401},
		{"members only: a user who is no member knows the project", call{path: members.prefix() + "/" + k.name, as: stranger.as()}, 403},
	} {
		w.sub(row.what, func(w *world) { w.send(row.call).want(w, row.want) })
	}
	w.sub("switched off: members neither read nor write", func(w *world) {
		off := at(harness.Private, "disabled")
		developer := w.member(off, harness.Developer)
		for _, c := range []call{
			{path: off.prefix() + "/" + k.name},
			{path: off.prefix() + file},
			{method: "PUT", path: off.prefix() + "/" + k.name, body: k.document()},
		} {
			c.as = developer.as()
			if a := w.send(c); a.status != http.StatusForbidden && a.status != http.StatusNotFound {
				w.Errorf("%s: %d, want 403 or 404", a.call, a.status)
			}
		}
	})
}
