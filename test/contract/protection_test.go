package contract

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"packhouse/test/harness"
)

func rules(of string) string { return "/api/v4" + of + "/packages/protection/rules" }

// protect makes a rule, which must succeed, and returns its path.
func (w *world) protect(of string, fields map[string]any) string {
	w.Helper()
	body := w.send(call{method: "POST", path: rules(of), as: w.root(), body: fields}).must(w, 201).object(w)
	return fmt.Sprintf("%s/%v", rules(of), body["id"])
}

func rule(pattern, push, remove string) map[string]any {
	fields := map[string]any{"package_name_pattern": pattern, "package_type": "npm"}
	if push != "" {
		fields["minimum_access_level_for_push"] = push
	}
	if remove != "" {
		fields["minimum_access_level_for_delete"] = remove
	}
	return fields
}

func TestProtectionRules(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Private)
	p := w.project(home, harness.Private)
	for of, id := range map[string]string{p.home(): fmt.Sprintf(`"project_id":%d`, p.ID), home.path(): fmt.Sprintf(`"group_id":%d`, home.ID)} {
		w.sub(of, func(w *world) {
			w.send(call{path: rules(of), as: w.root()}).want(w, 200).is(w, `[]`)
			a := w.send(call{method: "POST", path: rules(of), as: w.root(), body: rule("@acme/*", "maintainer", "")}).must(w, 201)
			number := fmt.Sprint(a.object(w)["id"])
			a.is(w, `{"id":`+number+`,`+id+`,"package_name_pattern":"@acme/*","package_type":"npm","minimum_access_level_for_push":"maintainer","minimum_access_level_for_delete":null}`)
			w.send(call{path: rules(of), as: w.root()}).want(w, 200).is(w, "["+string(a.body)+"]")

			one := rules(of) + "/" + number
			w.send(call{method: "PATCH", path: one, as: w.root(), body: map[string]any{"package_name_pattern": "@acme/core", "package_type": "pypi", "minimum_access_level_for_delete": "admin"}}).want(w, 200).
				is(w, `{"id":`+number+`,`+id+`,"package_name_pattern":"@acme/core","package_type":"pypi","minimum_access_level_for_push":"maintainer","minimum_access_level_for_delete":"admin"}`)
			for _, nothing := range []any{nil, ""} {
				w.send(call{method: "PATCH", path: one, as: w.root(), body: map[string]any{"minimum_access_level_for_push": nothing}}).want(w, 200).
					is(w, `{"id":`+number+`,`+id+`,"package_name_pattern":"@acme/core","package_type":"pypi","minimum_access_level_for_push":null,"minimum_access_level_for_delete":"admin"}`)
			}
			w.send(call{method: "PATCH", path: one, as: w.root(), body: map[string]any{}}).want(w, 200)
			w.send(call{method: "PATCH", path: one, as: w.root(), body: map[string]any{"minimum_access_level_for_delete": nil}}).want(w, 422).
				is(w, `{"message":{"error":["A rule must have at least a minimum access role for push or delete."]}}`)
			a = w.send(call{method: "DELETE", path: one, as: w.root()}).want(w, 204)
			if len(a.body) > 0 {
				w.Errorf("a body: %s", a.body)
			}
			for _, method := range []string{"DELETE", "PATCH"} {
				w.send(call{method: method, path: one, as: w.root(), body: "{}"}).want(w, 404).is(w, `{"message":"404 Not found"}`)
			}
		})
	}
	w.sub("a rule is its own place's", func(w *world) {
		path := w.protect(home.path(), rule("elsewhere", "owner", ""))
		at := strings.Replace(path, home.path(), p.home(), 1)
		w.send(call{method: "PATCH", path: at, as: w.root(), body: "{}"}).want(w, 404)
		w.send(call{method: "DELETE", path: at, as: w.root()}).want(w, 404)
		w.send(call{path: rules(p.home()), as: w.root()}).want(w, 200).is(w, `[]`)
	})
	w.sub("one rule for a pattern and a type", func(w *world) {
		w.protect(p.home(), rule("twice", "owner", ""))
		const taken = `{"message":{"error":["Package name pattern has already been taken"]}}`
		w.send(call{method: "POST", path: rules(p.home()), as: w.root(), body: rule("twice", "admin", "")}).want(w, 422).is(w, taken)
		other := rule("twice", "owner", "")
		other["package_type"] = "nuget"
		path := w.protect(p.home(), other)
		w.send(call{method: "PATCH", path: path, as: w.root(), body: map[string]any{"package_type": "npm"}}).want(w, 422).is(w, taken)
		w.protect(home.path(), rule("twice", "owner", ""))
	})
	for _, row := range []struct {
		what   string
		fields map[string]any
		status int
		body   string
	}{
		{"nothing", nil, 400, `{"error":"package_name_pattern is missing, package_type is missing"}`},
		{"an unknown type", map[string]any{"package_name_pattern": "x", "package_type": "cobol", "minimum_access_level_for_push": "owner"}, 400, `{"error":"package_type does not have a valid value"}`},
		{"an unknown level", rule("x", "developer", ""), 400, `{"error":"minimum_access_level_for_push does not have a valid value"}`},
		{"maintainers to delete", rule("x", "", "maintainer"), 400, `{"error":"minimum_access_level_for_delete does not have a valid value"}`},
		{"no level", rule("x", "", ""), 422, `{"message":{"error":["A rule must have at least a minimum access role for push or delete."]}}`},
		{"no pattern", rule(" ", "owner", ""), 422, `{"message":{"error":["Package name pattern can't be blank"]}}`},
		{"too long a pattern", rule(strings.Repeat("x", 256), "owner", ""), 422, `{"message":{"error":["Package name pattern is too long (maximum is 255 characters)"]}}`},
	} {
		w.sub("refused: "+row.what, func(w *world) {
			w.send(call{method: "POST", path: rules(p.home()), as: w.root(), body: row.fields}).want(w, row.status).is(w, row.body)
		})
	}
	for _, kind := range []string{"conan", "generic", "helm", "maven", "npm", "nuget", "pypi", "composer"} {
		fields := rule("kind", "admin", "owner")
		fields["package_type"] = kind
		w.protect(p.home(), fields)
	}
	w.send(call{method: "DELETE", path: rules(p.home()) + "/x", as: w.root()}).want(w, 400).is(w, `{"error":"package_protection_rule_id is invalid"}`)
}

func TestProtectionRulesRights(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Private)
	p := w.project(home, harness.Private)
	open := w.open()
	people := map[string]user{"stranger": w.user()}
	for name, level := range map[string]int{"guest": harness.Guest, "developer": harness.Developer, "maintainer": harness.Maintainer, "owner": harness.Owner} {
		people[name] = w.user()
		w.join(home.path(), people[name], level)
	}
	for _, row := range []struct {
		who                                    string
		list, create, ofGroup, inGroup, public int
	}{
		{"nobody", 401, 401, 401, 401, 401},
		{"stranger", 404, 404, 404, 404, 403},
		{"guest", 403, 403, 403, 403, 403},
		{"developer", 403, 403, 403, 403, 403},
		{"maintainer", 200, 201, 200, 403, 403},
		{"owner", 200, 201, 200, 201, 403},
	} {
		w.sub(row.who, func(w *world) {
			as := anonymous
			if row.who != "nobody" {
				as = people[row.who].as()
			}
			w.send(call{path: rules(p.home()), as: as}).want(w, row.list)
			w.send(call{method: "POST", path: rules(p.home()), as: as, body: rule("of-"+row.who, "owner", "")}).want(w, row.create)
			w.send(call{path: rules(home.path()), as: as}).want(w, row.ofGroup)
			w.send(call{method: "POST", path: rules(home.path()), as: as, body: rule("of-"+row.who, "owner", "")}).want(w, row.inGroup)
			w.send(call{path: rules(open.home()), as: as}).want(w, row.public)
			// What is wrong with a request is told first.
			w.send(call{method: "POST", path: rules(p.home()), as: as, body: "{}"}).want(w, 400)
		})
	}
}

// Who is kept from what, by npm's own requests.
func TestProtectedPackages(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	people := map[string]user{}
	for name, level := range map[string]int{"developer": harness.Developer, "maintainer": harness.Maintainer, "owner": harness.Owner} {
		people[name] = w.user()
		w.join(home.path(), people[name], level)
	}
	callers := map[string]credential{
		"developer": people["developer"].as(), "maintainer": people["maintainer"].as(), "owner": people["owner"].as(), "admin": w.root(),
		"deploy token": deploy(w.deployToken(p, "write_package_registry")), "group's deploy token": deploy(w.token(home.path()+"/deploy_tokens", []string{"write_package_registry"})),
		"maintainer's job": job(w.jobToken(p, people["maintainer"], 3600)), "owner's job": job(w.jobToken(p, people["owner"], 3600)),
	}
	const protected = "403 Forbidden - Package protected."
	const undeletable = "403 Forbidden - Package is deletion protected."
	version := 0
	// try does everything to a fresh version of a name, and tells what was refused.
	try := func(w *world, who, name string, push, remove bool) {
		w.Helper()
		as := callers[who]
		version++
		k := named(name).at(fmt.Sprintf("1.0.%d", version))
		w.publish(p, w.root(), k)
		want := func(what string, a *answer, may bool, message string) {
			w.Helper()
			switch refused := a.says("message") == message; {
			case may && refused, !may && !refused:
				w.Errorf("%s by %s: %d %s", what, who, a.status, a.body)
			case !may:
				a.refused(w, 403, message)
			case who != "developer" || a.status != 403: // whom the level alone keeps from some
				if a.status/100 != 2 {
					w.Errorf("%s by %s: %d %s", what, who, a.status, a.body)
				}
			}
		}
		next := k.at(fmt.Sprintf("2.0.%d", version))
		want("publish", w.publishing(p, as, next.document(), name), push, protected)
		tag := call{method: "PUT", path: p.prefix() + "/-/package/" + escaped(name) + "/dist-tags/t", as: as, body: `"` + k.version + `"`}
		want("dist-tag", w.send(tag), push, protected)
		if who == "developer" {
			return // who may not delete anyway
		}
		reason := map[string]any{"name": name, "versions": map[string]any{k.version: map[string]any{"version": k.version, "deprecated": "old"}}}
		want("deprecate", w.publishing(p, as, reason, name), push, protected)
		rev := w.packument(p.prefix(), name, anonymous)["_rev"].(string)
		file := name[strings.IndexByte(name, '/')+1:] + "-" + k.version + ".tgz"
		want("unpublish a version", w.send(call{method: "DELETE", path: p.prefix() + "/" + escaped(name) + "/-/" + file + "/-rev/" + rev, as: as}), remove, undeletable)
	}
	for _, row := range []struct {
		what         string
		of           string
		rule         map[string]any
		push, remove []string
	}{
		{"push takes a maintainer", p.home(), rule("@"+home.Path+"/*", "maintainer", ""),
			[]string{"maintainer", "owner", "admin", "maintainer's job", "owner's job"}, []string{"maintainer", "owner", "admin", "maintainer's job", "owner's job", "deploy token", "group's deploy token"}},
		{"a group's rule: push takes an owner, delete an administrator", home.path(), rule("*CORE*", "owner", "admin"),
			[]string{"owner", "admin", "owner's job"}, []string{"admin"}},
		{"delete takes an owner", p.home(), rule("@"+home.Path+"/core", "", "owner"),
			[]string{"developer", "maintainer", "owner", "admin", "maintainer's job", "owner's job", "deploy token", "group's deploy token"}, []string{"owner", "admin", "owner's job"}},
	} {
		path := w.protect(row.of, row.rule)
		for who := range callers {
			has := func(list []string) bool {
				text, _ := json.Marshal(list)
				return strings.Contains(string(text), `"`+who+`"`)
			}
			try(w, who, "@"+home.Path+"/core", has(row.push), has(row.remove))
		}
		try(w, "deploy token", "free-"+harness.Random()[:8], true, true)
		w.send(call{method: "DELETE", path: path, as: w.root()}).must(w, 204)
		try(w, "deploy token", "@"+home.Path+"/core", true, true)
	}
	w.sub("a first version too", func(w *world) {
		w.protect(p.home(), rule("new-*", "owner", ""))
		k := named("new-" + harness.Random()[:8])
		w.publishing(p, callers["maintainer"], k.document(), k.name).refused(w, 403, protected)
		w.send(call{path: p.prefix() + "/" + k.name}).want(w, 404)
		w.publish(p, callers["owner"], k)
	})
	w.sub("a replacement is a deletion too", func(w *world) {
		w.set(p.home(), map[string]any{"npm_duplicates_allowed": true})
		k := newPack()
		w.publish(p, w.root(), k)
		w.protect(p.home(), rule(k.name, "", "owner"))
		w.publishing(p, callers["maintainer"], k.at("1.0.0").document(), k.name).refused(w, 403, undeletable)
		w.publish(p, callers["maintainer"], k.at("1.0.1"))
		w.publish(p, callers["owner"], k.at("1.0.0"))
	})
}

func TestTooManyRules(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	for i := range 100 {
		w.protect(p.home(), rule(fmt.Sprint("p", i), "owner", ""))
	}
	w.send(call{method: "POST", path: rules(p.home()), as: w.root(), body: rule("more", "owner", "")}).want(w, 422).is(w, `{"message":{"error":["There are 100 rules at most"]}}`)
	// All of them are listed, on one page.
	var list []any
	if err := json.Unmarshal(w.send(call{path: rules(p.home()), as: w.root()}).must(w, 200).body, &list); err != nil || len(list) != 100 {
		w.Errorf("%d rules: %v", len(list), err)
	}
}

// Who is kept from deleting through the Packages API.
func TestProtectedFromTheAPI(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	people := map[string]user{}
	for name, level := range map[string]int{"developer": harness.Developer, "maintainer": harness.Maintainer, "owner": harness.Owner} {
		people[name] = w.user()
		w.join(home.path(), people[name], level)
	}
	const message = `{"message":"403 Forbidden - Package is deletion protected."}`
	for _, row := range []struct {
		what    string
		rule    map[string]any
		refused []string
	}{
		{"an owner's", rule("pack-*", "", "owner"), []string{"maintainer"}},
		{"an administrator's", rule("pack-*", "", "admin"), []string{"maintainer", "owner"}},
		{"another name's", rule("other-*", "", "admin"), nil},
		{"another type's", map[string]any{"package_name_pattern": "*", "package_type": "maven", "minimum_access_level_for_delete": "admin"}, nil},
		{"one against pushes", rule("*", "admin", ""), nil},
	} {
		path := w.protect(p.home(), row.rule)
		for _, who := range []string{"maintainer", "owner", "admin"} {
			w.sub(row.what+" rule, for "+who, func(w *world) {
				as := w.root()
				if who != "admin" {
					as = people[who].as()
				}
				k := newPack()
				a := w.publishing(p, w.root(), k.document(), k.name).must(w, 200)
				one := fmt.Sprintf("/api/v4%s/packages/%v", p.home(), a.object(w)["id"])
				var files []struct{ ID int64 }
				if err := json.Unmarshal(w.send(call{path: one + "/package_files", as: w.root()}).must(w, 200).body, &files); err != nil || len(files) != 1 {
					w.Fatalf("files: %v, %v", files, err)
				}
				file := fmt.Sprintf("%s/package_files/%d", one, files[0].ID)
				if refused, _ := json.Marshal(row.refused); strings.Contains(string(refused), who) {
					w.send(call{method: "DELETE", path: file, as: as}).want(w, 403).is(w, message)
					w.send(call{method: "DELETE", path: one + "/package_files/999999999", as: as}).want(w, 403).is(w, message) // the rule is asked first
					w.send(call{method: "DELETE", path: one, as: as}).want(w, 403).is(w, message)
					w.download(p.prefix(), k.name, k.version, anonymous)
					return
				}
				w.send(call{method: "DELETE", path: file, as: as}).want(w, 204)
				w.send(call{method: "DELETE", path: one, as: as}).want(w, 204)
				w.send(call{path: p.prefix() + "/" + k.name}).want(w, 404)
			})
		}
		// Who may not delete at all is told that.
		w.send(call{method: "DELETE", path: fmt.Sprintf("/api/v4%s/packages/999999999", p.home()), as: people["developer"].as()}).want(w, 403).is(w, `{"message":"403 Forbidden"}`)
		w.send(call{method: "DELETE", path: path, as: w.root()}).must(w, 204)
	}
}
