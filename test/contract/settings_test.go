package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// settings is the path of the settings of a project or group ("/projects/7").
func settings(of string) string { return "/api/v4" + of + "/packages/settings" }

func (p project) home() string { return fmt.Sprintf("/projects/%d", p.ID) }

// set changes settings, which must succeed, and returns the answer.
func (w *world) set(of string, values map[string]any) map[string]any {
	w.Helper()
	return w.send(call{method: "PUT", path: settings(of), as: w.root(), body: values}).must(w, http.StatusOK).object(w)
}

func TestSettings(t *testing.T) {
	w := newWorld(t)
	top := w.group(harness.Private)
	low := w.group(harness.Private, top)
	p := w.project(low, harness.Private)
	read := func(of string) map[string]any {
		w.Helper()
		return w.send(call{path: settings(of), as: w.root()}).must(w, http.StatusOK).object(w)
	}
	inherits := func(body map[string]any, name string) bool {
		list, _ := body["inherited"].([]any)
		return slices.Contains(list, any(name))
	}
	check := func(of string, name string, want any, inherited bool) {
		w.Helper()
		body := read(of)
		if got := body[name]; fmt.Sprint(got) != fmt.Sprint(want) {
			w.Errorf("%s of %s is %v, want %v", name, of, got, want)
		}
		if got := inherits(body, name); got != inherited {
			w.Errorf("%s of %s is inherited: %t, want %t", name, of, got, inherited)
		}
	}
	w.sub("what nobody has set is the server's", func(w *world) {
		body := read(p.home())
		for _, format := range []string{"maven", "npm", "conan", "nuget", "pypi", "composer", "generic"} {
			for name, want := range map[string]any{"_duplicates_allowed": format == "maven" || format == "generic" || format == "composer", "_duplicate_exception_regex": "", "_max_file_size": float64(5 << 30)} {
				if got := body[format+name]; got != want {
					w.Errorf("%s%s is %v, want %v", format, name, got, want)
				}
			}
		}
		for name, want := range map[string]any{"npm_package_requests_forwarding": false, "npm_package_requests_forwarding_locked": false, "pypi_package_requests_forwarding": false,
			"maven_package_requests_forwarding": false, "max_files_per_package": float64(10000), "max_push_size": float64(2 << 30), "composer_auto_publish": false} {
			if body[name] != want {
				w.Errorf("%s is %v, want %v", name, body[name], want)
			}
		}
		for _, name := range []string{"lock_npm_package_requests_forwarding", "reserved_names"} {
			if _, ok := body[name]; ok {
				w.Errorf("a project has %s", name)
			}
			if _, ok := read(top.path())[name]; !ok {
				w.Errorf("a group has no %s", name)
			}
		}
	})
	w.sub("a value goes down the tree until somebody says otherwise, and comes back with null", func(w *world) {
		const name = "npm_duplicates_allowed"
		if body := w.set(top.path(), map[string]any{name: true}); body[name] != true || inherits(body, name) {
			w.Errorf("%v", body)
		}
		check(low.path(), name, true, true)
		check(p.home(), name, true, true)
		w.set(p.home(), map[string]any{name: false})
		check(p.home(), name, false, false)
		check(low.path(), name, true, true)
		w.set(p.home(), map[string]any{name: nil})
		check(p.home(), name, true, true)
		w.send(call{method: "PUT", path: settings(top.path()) + "?" + name + "=", as: w.root()}).want(w, 200)
		check(p.home(), name, false, true)
	})
	w.sub("of limits the least counts", func(w *world) {
		const name = "npm_max_file_size"
		w.set(top.path(), map[string]any{name: 2000})
		check(p.home(), name, 2000, true)
		w.send(call{method: "PUT", path: settings(p.home()), as: w.root(), body: map[string]any{name: 3000}}).want(w, 400).
			is(w, `{"message":{"npm_max_file_size":["must be less than or equal to 2000"]}}`)
		w.set(p.home(), map[string]any{name: 1000})
		check(p.home(), name, 1000, false)
		w.set(top.path(), map[string]any{name: 500})
		check(p.home(), name, 500, false)
		w.set(p.home(), map[string]any{name: 0})
		check(p.home(), name, 500, true)
		w.send(call{method: "PUT", path: settings(top.path()), as: w.root(), body: map[string]any{name: 6 << 30, "max_files_per_package": 10001}}).want(w, 400)
		w.set(top.path(), map[string]any{name: 5 << 30, "max_files_per_package": 10000})
		check(p.home(), name, float64(5<<30), true)
	})
	w.sub("a lock holds for all below", func(w *world) {
		const name = "npm_package_requests_forwarding"
		w.set(p.home(), map[string]any{name: true})
		w.set(top.path(), map[string]any{"lock_" + name: true})
		check(p.home(), name, false, false)
		check(p.home(), name+"_locked", true, false)
		check(low.path(), "lock_"+name, false, true)
		for _, of := range []string{low.path(), p.home()} {
			w.send(call{method: "PUT", path: settings(of), as: w.root(), body: map[string]any{name: true}}).want(w, 400).
				is(w, `{"message":{"`+name+`":["cannot be changed because it is locked by an ancestor"]}}`)
		}
		w.set(top.path(), map[string]any{name: true})
		check(p.home(), name, true, false)
		w.set(p.home(), map[string]any{name: nil})
		w.set(top.path(), map[string]any{"lock_" + name: false})
		w.set(p.home(), map[string]any{name: false})
		check(p.home(), name, false, false)
	})
	w.sub("reserved names add up", func(w *world) {
		w.set(top.path(), map[string]any{"reserved_names": []string{"@acme/*", "tool-*"}})
		w.set(low.path(), map[string]any{"reserved_names": "x"})
		check(low.path(), "reserved_names", []any{"@acme/*", "tool-*", "x"}, false)
		w.set(low.path(), map[string]any{"reserved_names": []string{}})
		check(low.path(), "reserved_names", []any{"@acme/*", "tool-*"}, true)
		w.send(call{method: "PUT", path: settings(p.home()), as: w.root(), body: map[string]any{"reserved_names": "y"}}).want(w, 200) // nothing that a project has
		check(low.path(), "reserved_names", []any{"@acme/*", "tool-*"}, true)
	})
	for what, body := range map[string]map[string]any{
		"a flag that is none":        {"npm_duplicates_allowed": "maybe"},
		"an expression that is none": {"maven_duplicate_exception_regex": "a)("},
		"one that RE2 does not have": {"maven_duplicate_exception_regex": "(?=a)"},
		"one that is too long":       {"maven_duplicate_exception_regex": strings.Repeat("a", 256)},
		"a size that is none":        {"npm_max_file_size": "much"},
		"a negative size":            {"npm_max_file_size": -1},
		"too many reserved names":    {"reserved_names": names(101)},
		"too long a reserved name":   {"reserved_names": []string{strings.Repeat("a", 256)}},
	} {
		w.sub("refused, and nothing changes: "+what, func(w *world) {
			body["conan_duplicates_allowed"] = true
			w.send(call{method: "PUT", path: settings(top.path()), as: w.root(), body: body}).want(w, 400)
			check(top.path(), "conan_duplicates_allowed", false, true)
		})
	}
	w.sub("a form will do, and what is unknown is ignored", func(w *world) {
		w.send(call{method: "PUT", path: settings(p.home()), as: w.root(), header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
			body: "pypi_duplicates_allowed=true&nothing=1"}).want(w, 200)
		check(p.home(), "pypi_duplicates_allowed", true, false)
	})
}

// names are so many of them, no two alike.
func names(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("n", i))
	}
	return list
}

func TestSettingsRights(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Private)
	p := w.project(home, harness.Private)
	open := w.project(w.group(harness.Public), harness.Public)
	people := map[string]user{"stranger": w.user()}
	for name, level := range map[string]int{"guest": harness.Guest, "developer": harness.Developer, "maintainer": harness.Maintainer, "owner": harness.Owner} {
		people[name] = w.user()
		w.join(home.path(), people[name], level)
	}
	who := func(name string) credential {
		switch name {
		case "nobody":
			return anonymous
		case "read_api":
			return private(w.personal(people["owner"], "read_api"))
		case "deploy token":
			return deploy(w.deployToken(p, "read_package_registry", "write_package_registry"))
		case "job":
			return job(w.jobToken(p, people["owner"], 60))
		}
		return people[name].as()
	}
	change := map[string]any{"npm_duplicates_allowed": true}
	for _, row := range []struct {
		who                                                string
		project, changeProject, group, changeGroup, public int
	}{
		{"nobody", 401, 401, 401, 401, 401},
		{"stranger", 404, 404, 404, 404, 403},
		{"guest", 403, 403, 403, 403, 403},
		{"developer", 403, 403, 403, 403, 403},
		{"maintainer", 200, 200, 200, 403, 403},
		{"owner", 200, 200, 200, 200, 403},
		{"read_api", 200, 403, 200, 403, 403},
		{"deploy token", 401, 401, 401, 401, 401},
		{"job", 401, 401, 401, 401, 401},
	} {
		w.sub(row.who, func(w *world) {
			as := who(row.who)
			w.send(call{path: settings(p.home()), as: as}).want(w, row.project)
			w.send(call{method: "PUT", path: settings(p.home()), as: as, body: change}).want(w, row.changeProject)
			w.send(call{path: settings(home.path()), as: as}).want(w, row.group)
			w.send(call{method: "PUT", path: settings(home.path()), as: as, body: change}).want(w, row.changeGroup)
			w.send(call{path: settings(open.home()), as: as}).want(w, row.public)
		})
	}
	w.send(call{path: settings("/projects/0"), as: w.root()}).want(w, 404).is(w, `{"message":"404 Project Not Found"}`)
	w.send(call{path: settings("/groups/nowhere"), as: w.root()}).want(w, 404).is(w, `{"message":"404 Group Not Found"}`)
}

// What the settings say holds from the next request on.
func TestDuplicatesAllowed(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	developer := w.member(p, harness.Developer)
	k := named("@" + home.Path + "/again")
	k.tags = map[string]string{"latest": k.version, "stable": k.version}
	w.publish(p, w.root(), k)
	first := w.packument(p.prefix(), k.name, anonymous)
	again := k.at("1.0.0")
	again.tags = map[string]string{"next": k.version}
	w.publishing(p, w.root(), again.document(), k.name).refused(w, 403, "Package already exists.")

	w.set(home.path(), map[string]any{"npm_duplicates_allowed": true})
	w.publish(p, developer.as(), again)
	second := w.packument(p.prefix(), k.name, anonymous)
	if before, after := at(first, "versions", k.version, "dist", "integrity"), at(second, "versions", k.version, "dist", "integrity"); before == after || after != integrity(again.tarball()) {
		w.Errorf("integrity %v, then %v", before, after)
	}
	if got := keys(at(second, "dist-tags")); !slices.Equal(got, []string{"latest", "next", "stable"}) || at(second, "dist-tags", "stable") != k.version {
		w.Errorf("tags: %v", at(second, "dist-tags"))
	}
	if got := w.download(p.prefix(), k.name, k.version, anonymous); integrity(got) != integrity(again.tarball()) {
		w.Error("the old tarball is served")
	}
	if first["_rev"] == second["_rev"] {
		w.Error("one revision for two documents")
	}
	w.sub("the exception", func(w *world) {
		w.set(p.home(), map[string]any{"npm_duplicate_exception_regex": `@.*/aga.n`})
		w.publishing(p, w.root(), k.at("1.0.0").document(), k.name).refused(w, 403, "Package already exists.")
		w.set(p.home(), map[string]any{"npm_duplicate_exception_regex": `aga.n`})
		w.publish(p, w.root(), k.at("1.0.0"))
	})
	w.sub("not another project's", func(w *world) {
		other := w.project(home, harness.Public)
		w.publishing(other, w.root(), k.at("1.0.0").document(), k.name).refused(w, 400, "Validation failed: Package already exists in another project")
	})
	w.sub("racing", func(w *world) {
		r := newPack()
		r.tags = map[string]string{"latest": r.version}
		var sums []string
		var documents []any
		for range 8 {
			one := r.at("1.0.0")
			sums = append(sums, integrity(one.tarball()))
			documents = append(documents, one.document())
		}
		for _, a := range w.race(8, func(i int) call {
			return call{method: "PUT", path: p.prefix() + "/" + r.name, as: w.root(), body: documents[i]}
		}) {
			a.want(w, 200)
		}
		now, _ := at(w.packument(p.prefix(), r.name, anonymous), "versions", "1.0.0", "dist", "integrity").(string)
		if !slices.Contains(sums, now) || integrity(w.download(p.prefix(), r.name, "1.0.0", anonymous)) != now {
			w.Errorf("integrity %s", now)
		}
	})
}

func TestMaxFileSizeOfAProject(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	p, q := w.project(home, harness.Public), w.project(home, harness.Public)
	w.set(p.home(), map[string]any{"npm_max_file_size": 20000})
	k := newPack()
	fits, over := exactly(k, 20000), exactly(k, 20001)
	w.publishing(p, w.root(), k.documentOf(over), k.name).refused(w, 413, "File is too large.")
	w.publishing(p, w.root(), k.documentOf(fits), k.name).want(w, 200)
	w.publishing(q, w.root(), k.documentOf(over), k.name).want(w, 200)
	// A claim of less does not help.
	l := newPack()
	body := l.documentOf(exactly(l, 30000))
	body["_attachments"].(map[string]any)[l.name+"-1.0.0.tgz"].(map[string]any)["length"] = 1
	w.publishing(p, w.root(), body, l.name).refused(w, 413, "File is too large.")
}

// forwarded checks that a read is sent on, to location or, where that is empty, not at all.
func (w *world) forwarded(c call, location string) {
	w.Helper()
	request, err := w.request(c)
	if err != nil {
		w.Fatal(err)
	}
	response, err := w.client.Do(request)
	if err != nil {
		w.Fatal(err)
	}
	response.Body.Close()
	want := http.StatusFound
	if location == "" {
		want = http.StatusNotFound
	}
	if got := response.Header.Get("Location"); response.StatusCode != want || got != location {
		w.Errorf("%s: %d to %q, want %d to %q", c.path, response.StatusCode, got, want, location)
	}
}

func TestForwarding(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--npm-upstream", "http://registry.example.com/npm/"}})
	const upstream = "http://registry.example.com/npm"
	home := w.group(harness.Public)
	team := w.group(harness.Private, home)
	p := w.project(home, harness.Public)
	hidden := w.project(team, harness.Private)
	elsewhere := w.group(harness.Private)

	name := "free-" + harness.Random()[:8]
	w.sub("off unless somebody switches it on", func(w *world) {
		w.forwarded(call{path: p.prefix() + "/" + name}, "")
		w.forwarded(call{path: home.prefix() + "/" + name}, "")
	})
	w.set(home.path(), map[string]any{"npm_package_requests_forwarding": true, "reserved_names": []string{"acme-*", "@reserved/*"}})

	w.sub("what nobody has goes to the upstream", func(w *world) {
		for _, prefix := range []string{p.prefix(), home.prefix()} {
			w.forwarded(call{path: prefix + "/" + name}, upstream+"/"+name)
			w.forwarded(call{method: "HEAD", path: prefix + "/" + name}, upstream+"/"+name)
			w.forwarded(call{path: prefix + "/@some%2fname?private_token=" + w.server.RootToken}, upstream+"/@some%2Fname")
			w.forwarded(call{path: prefix + "/@some/name"}, upstream+"/@some%2Fname")
			w.forwarded(call{path: prefix + "/" + name + "/1.0.0"}, upstream+"/"+name+"/1.0.0")
			w.forwarded(call{path: prefix + "/" + name + "/-/" + name + "-1.0.0.tgz"}, upstream+"/"+name+"/-/"+name+"-1.0.0.tgz")
			w.forwarded(call{path: prefix + "/@some/name/-/name-1.0.0.tgz"}, upstream+"/@some%2Fname/-/name-1.0.0.tgz")
		}
	})
	w.sub("but not", func(w *world) {
		secret, gone, marked := newPack(), newPack(), newPack()
		for _, k := range []pack{secret, gone, marked} {
			w.publish(hidden, w.root(), k)
		}
		w.send(call{method: "DELETE", path: hidden.prefix() + "/" + gone.name + "/-rev/1-1", as: w.root()}).must(w, 200)
		for what, name := range map[string]string{
			"a name of a project that the caller may not see": secret.name,
			"one whose last version is gone":                  gone.name,
			"a reserved name":                                 "acme-tools",
			"a reserved name in other letters":                "ACME-Tools",
			"a reserved scope":                                "@reserved/x",
			"the group's own scope":                           "@" + home.Path + "/x",
			"another group's scope":                           "@" + elsewhere.Path + "/x",
			"another group's scope in other letters":          "@" + strings.ToUpper(elsewhere.Path) + "/x",
		} {
			w.sub(what, func(w *world) {
				w.forwarded(call{path: p.prefix() + "/" + escaped(name)}, "")
				w.forwarded(call{path: p.prefix() + "/" + escaped(name) + "/-/x-1.0.0.tgz"}, "")
				if name != secret.name { // there it is 401
					w.forwarded(call{path: home.prefix() + "/" + escaped(name)}, "")
				}
			})
		}
		w.send(call{path: home.prefix() + "/" + secret.name}).want(w, 401)
	})
	w.sub("nor what npm asks before it publishes, nor any write, nor the instance", func(w *world) {
		w.forwarded(call{path: p.prefix() + "/" + name, header: map[string]string{"Npm-Command": "publish"}}, "")
		w.forwarded(call{path: instance + "/" + name}, "")
		w.forwarded(call{path: p.prefix() + "/-/package/" + name + "/dist-tags"}, "")
		w.forwarded(call{method: "DELETE", path: p.prefix() + "/" + name + "/-rev/1", as: w.root()}, "")
	})
	w.sub("nor a version that a name lacks", func(w *world) {
		k := newPack()
		w.publish(p, w.root(), k)
		w.forwarded(call{path: p.prefix() + "/" + k.name + "/2.0.0"}, "")
		w.forwarded(call{path: p.prefix() + "/" + k.name + "/-/" + k.name + "-2.0.0.tgz"}, "")
	})
	w.sub("and who may not read is told so first", func(w *world) {
		w.send(call{path: hidden.prefix() + "/" + name}).want(w, 401)
		w.forwarded(call{path: hidden.prefix() + "/" + name, as: w.user().as()}, "")
		w.forwarded(call{path: hidden.prefix() + "/" + name, as: w.root()}, upstream+"/"+name)
	})
	w.sub("nor a name that was there", func(w *world) {
		away, removed, renamed := w.project(home, harness.Public), w.project(home, harness.Public), w.group(harness.Public)
		moves, goes, stays := newPack(), newPack(), newPack()
		w.publish(away, w.root(), moves)
		w.publish(removed, w.root(), goes)
		w.publish(w.project(renamed, harness.Public), w.root(), stays)
		w.ask(w.root(), "PUT", of(away)+"/transfer", map[string]any{"namespace": elsewhere.ID}).must(w, 200)
		w.ask(w.root(), "DELETE", of(removed)).must(w, 202)
		w.ask(w.root(), "DELETE", of(removed)+"?permanently_remove=true&full_path="+segment(removed.PathWithNamespace)).must(w, 202)
		w.ask(w.root(), "PUT", of(renamed), map[string]any{"path": newPath()}).must(w, 200)
		var next group
		w.make("/groups", map[string]any{"name": "next", "path": renamed.Path, "visibility": "public"}, &next)
		w.set(next.path(), map[string]any{"npm_package_requests_forwarding": true})
		w.forwarded(call{path: p.prefix() + "/" + moves.name}, "")
		w.forwarded(call{path: home.prefix() + "/" + goes.name}, "")
		w.forwarded(call{path: next.prefix() + "/" + stays.name}, "")
		w.forwarded(call{path: next.prefix() + "/" + goes.name}, upstream+"/"+goes.name)
		w.ask(w.root(), "PUT", of(next), map[string]any{"path": newPath()}).must(w, 200)
		w.forwarded(call{path: p.prefix() + "/" + escaped("@"+renamed.Path+"/x")}, "")
	})
	w.sub("switched off again, for one project", func(w *world) {
		w.set(p.home(), map[string]any{"npm_package_requests_forwarding": false})
		w.forwarded(call{path: p.prefix() + "/" + name}, "")
		w.forwarded(call{path: home.prefix() + "/" + name}, upstream+"/"+name)
	})
}

// Without an upstream a setting forwards nowhere.
func TestForwardingWithoutUpstream(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	w.set(p.home(), map[string]any{"npm_package_requests_forwarding": true})
	w.forwarded(call{path: p.prefix() + "/nothing"}, "")
}

// Who changes what is told in the audit log; what changes nothing is not.
func TestSettingsAreAudited(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Private)
	p := w.project(home, harness.Private)
	owner := w.member(p, harness.Owner)
	change := func(body map[string]any) {
		w.Helper()
		w.send(call{method: "PUT", path: settings(p.home()), as: owner.as(), body: body}).must(w, 200)
	}
	change(map[string]any{"npm_duplicates_allowed": true, "npm_max_file_size": 1000})
	change(map[string]any{"npm_duplicates_allowed": true})
	change(map[string]any{"npm_duplicates_allowed": nil, "pypi_duplicates_allowed": nil})
	path := w.protect(p.home(), rule("@acme/*", "owner", ""))
	w.send(call{method: "PATCH", path: path, as: owner.as(), body: map[string]any{"minimum_access_level_for_delete": "admin"}}).must(w, 200)
	w.send(call{method: "DELETE", path: path, as: owner.as()}).must(w, 204)
	var events []struct {
		EventName string `json:"event_name"`
		Details   struct {
			Author  string `json:"author_name"`
			Target  string `json:"target_details"`
			Message string `json:"custom_message"`
		}
	}
	if err := json.Unmarshal(w.send(call{path: "/api/v4" + p.home() + "/audit_events", as: w.root()}).must(w, 200).body, &events); err != nil {
		w.Fatal(err)
	}
	var got []string
	for _, e := range slices.Backward(events) {
		if e.EventName == "settings_changed" {
			got = append(got, strings.Join([]string{e.Details.Author, e.Details.Target, e.Details.Message}, " | "))
		}
	}
	const rule = "protection rule npm @acme/*"
	want := []string{
		owner.Username + " | package settings | Settings changed: npm_duplicates_allowed: true; npm_max_file_size: 1000",
		owner.Username + " | package settings | Settings changed: npm_duplicates_allowed: inherited",
		"root | " + rule + " | Settings changed: created; push: owner, delete: anyone who may",
		owner.Username + " | " + rule + " | Settings changed: changed; push: owner, delete: admin",
		owner.Username + " | " + rule + " | Settings changed: removed",
	}
	if !slices.Equal(got, want) {
		w.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
