package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packhouse/test/harness"
)

func (w *world) tags(prefix, name string, as credential) any {
	w.Helper()
	var tags any
	json.Unmarshal(w.send(call{path: prefix + "/-/package/" + escaped(name) + "/dist-tags", as: as}).must(w, 200).body, &tags)
	if shown := w.packument(prefix, name, as)["dist-tags"]; !cmp.Equal(tags, shown) {
		w.Errorf("tags %v, in the packument %v", tags, shown)
	}
	return tags
}

func TestDistTags(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	maintainer := w.member(p, harness.Maintainer).as()
	fresh := func(versions ...string) pack {
		k := named("@" + home.Path + "/tags" + harness.Random()[:8])
		for _, version := range versions {
			k.tags = map[string]string{}
			w.publish(p, w.root(), k.at(version))
		}
		return k
	}
	tag := func(k pack, name string) string {
		return p.prefix() + "/-/package/" + escaped(k.name) + "/dist-tags/" + name
	}

	for _, row := range []struct {
		what     string
		versions []string
		latest   string
	}{
		{"numbers count as numbers", []string{"1.9.0", "1.10.0", "1.2.0"}, "1.10.0"},
		{"a release is above its prereleases", []string{"1.0.0", "1.0.0-rc.1"}, "1.0.0"},
		{"prereleases are ordered", []string{"1.0.0-alpha.10", "1.0.0-alpha.9", "1.0.0-alpha"}, "1.0.0-alpha.10"},
		{"the order of publishing does not count", []string{"2.0.0", "1.0.0"}, "2.0.0"},
	} {
		w.sub("without a tag latest is the highest version: "+row.what, func(w *world) {
			k := fresh(row.versions...)
			if got, want := w.tags(p.prefix(), k.name, anonymous), any(map[string]any{"latest": row.latest}); !cmp.Equal(got, want) {
				w.Errorf("%v, want %v", got, want)
			}
		})
	}
	w.sub("published tags stay on their versions, latest too", func(w *world) {
		k := newPack()
		k.tags = map[string]string{"latest": "1.0.0", "stable": "1.0.0"}
		w.publish(p, w.root(), k)
		k.tags = map[string]string{"next": "2.0.0"}
		w.publish(p, w.root(), k.at("2.0.0"))
		if got, want := w.tags(p.prefix(), k.name, anonymous), any(map[string]any{"latest": "1.0.0", "stable": "1.0.0", "next": "2.0.0"}); !cmp.Equal(got, want) {
			w.Errorf("%v, want %v", got, want)
		}
		k.tags = map[string]string{"latest": "1.5.0"}
		w.publish(p, w.root(), k.at("1.5.0"))
		if got, want := w.tags(p.prefix(), k.name, anonymous), any(map[string]any{"latest": "1.5.0", "stable": "1.0.0", "next": "2.0.0"}); !cmp.Equal(got, want) {
			w.Errorf("after a publish with --tag latest: %v, want %v", got, want)
		}
	})
	w.sub("set, move, delete", func(w *world) {
		k := fresh("1.0.0", "2.0.0")
		for _, step := range []struct {
			method, tag, body string
			want              map[string]any
		}{
			{"PUT", "stable", `"1.0.0"`, map[string]any{"latest": "2.0.0", "stable": "1.0.0"}},
			{"PUT", "stable", `"2.0.0"`, map[string]any{"latest": "2.0.0", "stable": "2.0.0"}},
			{"PUT", "latest", `"1.0.0"`, map[string]any{"latest": "1.0.0", "stable": "2.0.0"}},
			{"PUT", "stable", "\"1.0.0\"\n", map[string]any{"latest": "1.0.0", "stable": "1.0.0"}},
			{"PUT", "a%20b", `"1.0.0"`, map[string]any{"latest": "1.0.0", "stable": "1.0.0", "a b": "1.0.0"}},
			{"DELETE", "a%20b", "", map[string]any{"latest": "1.0.0", "stable": "1.0.0"}},
			{"PUT", "feature%2flogin", `"1.0.0"`, map[string]any{"latest": "1.0.0", "stable": "1.0.0", "feature/login": "1.0.0"}},
			{"DELETE", "feature%2flogin", "", map[string]any{"latest": "1.0.0", "stable": "1.0.0"}},
			{"DELETE", "stable", "", map[string]any{"latest": "1.0.0"}},
			{"DELETE", "latest", "", map[string]any{"latest": "2.0.0"}}, // computed again
		} {
			a := w.send(call{method: step.method, path: tag(k, step.tag), as: maintainer, body: step.body}).must(w, 204)
			if len(a.body) > 0 {
				w.Errorf("%s: a body %s", a.call, a.body)
			}
			if got := w.tags(p.prefix(), k.name, anonymous); !cmp.Equal(got, any(step.want)) {
				w.Errorf("after %s: %v, want %v", a.call, got, step.want)
			}
		}
	})
	w.sub("set at the prefixes of group and instance", func(w *world) {
		for i, prefix := range []string{home.prefix(), instance} {
			k := fresh("1.0.0")
			name := fmt.Sprint("tag", i)
			w.send(call{method: "PUT", path: prefix + "/-/package/" + escaped(k.name) + "/dist-tags/" + name, as: maintainer, body: `"1.0.0"`}).want(w, 204)
			if got := w.tags(p.prefix(), k.name, anonymous); !cmp.Equal(got, any(map[string]any{"latest": "1.0.0", name: "1.0.0"})) {
				w.Errorf("%v", got)
			}
			w.send(call{method: "DELETE", path: prefix + "/-/package/" + escaped(k.name) + "/dist-tags/" + name, as: maintainer}).want(w, 204)
		}
	})
	const none = `{"message":"404 Package Not Found","error":"Package not found"}`
	blank := func(what string) string {
		out, _ := json.Marshal(map[string]string{"message": `400 Bad request - "` + what + `" not given`, "error": `"` + what + `" not given`})
		return string(out)
	}
	k := fresh("1.0.0", "2.0.0")
	other := fresh("1.0.0")
	w.send(call{method: "PUT", path: tag(other, "theirs"), as: maintainer, body: `"1.0.0"`}).must(w, 204)
	for _, row := range []struct {
		what   string
		call   call
		status int
		body   string // any when empty
	}{
		{"set to an unknown version", call{method: "PUT", path: tag(k, "some"), body: `"9.9.9"`}, 404, none},
		{"set on an unknown package", call{method: "PUT", path: p.prefix() + "/-/package/nothing/dist-tags/some", body: `"1.0.0"`}, 404, none},
		{"set to an empty version", call{method: "PUT", path: tag(k, "some"), body: `""`}, 400, blank("Version")},
		{"set to a blank version", call{method: "PUT", path: tag(k, "some"), body: `" "`}, 400, blank("Version")},
		{"set without a body", call{method: "PUT", path: tag(k, "some")}, 400, blank("Version")},
		{"set to what is no text", call{method: "PUT", path: tag(k, "some"), body: `{"version":"1.0.0"}`}, 400, ""},
		{"set to a version without quotes", call{method: "PUT", path: tag(k, "some"), body: `1.0.0`}, 400, ""},
		{"set a blank tag", call{method: "PUT", path: tag(k, "%20"), body: `"1.0.0"`}, 400, blank("Tag")},
		{"set no tag", call{method: "PUT", path: tag(k, ""), body: `"1.0.0"`}, 404, ""},
		{"set a tag that is a version", call{method: "PUT", path: tag(k, "2.0.0"), body: `"1.0.0"`}, 400, ""},
		{"set a tag that is a range", call{method: "PUT", path: tag(k, "1.x"), body: `"1.0.0"`}, 400, ""},
		{"set a tag that is a caret range", call{method: "PUT", path: tag(k, "%5E1.0.0"), body: `"1.0.0"`}, 400, ""},
		{"set a tag that is a star", call{method: "PUT", path: tag(k, "*"), body: `"1.0.0"`}, 400, ""},
		{"set a tag of 256 characters", call{method: "PUT", path: tag(k, strings.Repeat("x", 256)), body: `"1.0.0"`}, 400, ""},
		{"set a tag with a line break", call{method: "PUT", path: tag(k, "a%0ab"), body: `"1.0.0"`}, 400, ""},
		{"set a tag of a blank package", call{method: "PUT", path: p.prefix() + "/-/package/%20/dist-tags/some", body: `"1.0.0"`}, 400, blank("Package Name")},
		{"list the tags of a blank package", call{path: p.prefix() + "/-/package/%20/dist-tags"}, 400, blank("Package Name")},
		{"list the tags of no package", call{path: p.prefix() + "/-/package//dist-tags"}, 404, ""},
		{"delete an unknown tag", call{method: "DELETE", path: tag(k, "some")}, 404, `{"message":"404 Package tag Not Found","error":"Package tag not found"}`},
		{"delete another package's tag", call{method: "DELETE", path: tag(k, "theirs")}, 404, ""},
		{"delete a tag of an unknown package", call{method: "DELETE", path: p.prefix() + "/-/package/nothing/dist-tags/some"}, 404, ""},
		{"delete a blank tag", call{method: "DELETE", path: tag(k, "%20")}, 400, blank("Tag")},
		{"delete a tag of a blank package", call{method: "DELETE", path: p.prefix() + "/-/package/%20/dist-tags/some"}, 400, blank("Package Name")},
		{"delete the latest that is only computed", call{method: "DELETE", path: tag(k, "latest")}, 404, ""},
	} {
		w.sub("refused: "+row.what, func(w *world) {
			c := row.call
			c.as = maintainer
			a := w.send(c).want(w, row.status)
			if row.body != "" {
				a.is(w, row.body)
			}
			if got := w.tags(p.prefix(), k.name, anonymous); !cmp.Equal(got, any(map[string]any{"latest": "2.0.0"})) {
				w.Errorf("tags are %v", got)
			}
		})
	}
	w.sub("a tag of 255 characters is kept", func(w *world) {
		k := fresh("1.0.0")
		long := strings.Repeat("x", 255)
		w.send(call{method: "PUT", path: tag(k, long), as: maintainer, body: `"1.0.0"`}).want(w, 204)
		if got := at(w.tags(p.prefix(), k.name, anonymous), long); got != "1.0.0" {
			w.Errorf("%v", got)
		}
	})
}

func TestDeprecate(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	maintainer := w.member(p, harness.Maintainer).as()
	header := map[string]string{"npm-command": "deprecate"}
	// npm sends the whole packument back, with messages in it.
	deprecate := func(w *world, k pack, messages map[string]any, header map[string]string) *answer {
		w.Helper()
		document := w.packument(p.prefix(), k.name, maintainer)
		for version, message := range messages {
			versions, _ := document["versions"].(map[string]any)
			manifest, _ := versions[version].(map[string]any)
			if manifest == nil {
				manifest = map[string]any{"name": k.name, "version": version}
				versions[version] = manifest
			}
			manifest["deprecated"] = message
		}
		return w.send(call{method: "PUT", path: p.prefix() + "/" + k.name, as: maintainer, header: header, body: document})
	}
	shown := func(w *world, k pack) map[string]any {
		found := map[string]any{}
		for _, accept := range []string{"application/json", abbreviatedType} {
			document := w.send(call{path: p.prefix() + "/" + k.name, header: map[string]string{"Accept": accept}}).must(w, 200).object(w)
			now := map[string]any{}
			for _, version := range keys(document["versions"]) {
				if message := at(document, "versions", version, "deprecated"); message != nil {
					now[version] = message
				}
			}
			if accept == abbreviatedType && !cmp.Equal(now, found) {
				w.Errorf("full form %v, abbreviated %v", found, now)
			}
			found = now
		}
		return found
	}
	three := func(w *world) pack {
		k := newPack()
		sent := w.publish(p, w.root(), k)
		w.publish(p, w.root(), k.at("1.1.0"))
		w.publish(p, w.root(), k.at("2.0.0"))
		if !bytes.Equal(w.download(p.prefix(), k.name, "1.0.0", anonymous), sent) {
			w.Error("another tarball")
		}
		return k
	}
	w.sub("a message to one, others to others, and back", func(w *world) {
		k := three(w)
		for _, step := range []struct {
			say, want map[string]any
		}{
			{map[string]any{"1.0.0": "old"}, map[string]any{"1.0.0": "old"}},
			{map[string]any{"1.0.0": "very old", "1.1.0": "use 2, it's \"better\" <b>\n"}, map[string]any{"1.0.0": "very old", "1.1.0": "use 2, it's \"better\" <b>\n"}},
			{map[string]any{"1.0.0": ""}, map[string]any{"1.1.0": "use 2, it's \"better\" <b>\n"}},
			{map[string]any{"9.9.9": "unknown"}, map[string]any{"1.1.0": "use 2, it's \"better\" <b>\n"}},
			{map[string]any{"1.1.0": ""}, map[string]any{}},
		} {
			deprecate(w, k, step.say, header).want(w, 200)
			if got := shown(w, k); !cmp.Equal(got, step.want) {
				w.Errorf("after %v: %v, want %v", step.say, got, step.want)
			}
		}
		if got := w.versions(p.prefix(), k.name, anonymous); len(got) != 3 {
			w.Errorf("versions %v", got)
		}
	})
	w.sub("told by the lack of an attachment too", func(w *world) {
		k := three(w)
		deprecate(w, k, map[string]any{"1.0.0": "old"}, nil).want(w, 200)
		if got := shown(w, k); !cmp.Equal(got, map[string]any{"1.0.0": "old"}) {
			w.Errorf("%v", got)
		}
	})
	w.sub("a packument without a message is refused", func(w *world) {
		k := three(w)
		deprecate(w, k, nil, header).want(w, 400).is(w, `{"message":"400 Bad request - \"package versions to deprecate\" not given","error":"\"package versions to deprecate\" not given"}`)
	})
	w.sub("an unknown package is not found", func(w *world) {
		w.send(call{method: "PUT", path: p.prefix() + "/nothing", as: maintainer, header: header,
			body: map[string]any{"versions": map[string]any{"1.0.0": map[string]any{"deprecated": "x"}}}}).want(w, 404)
		w.send(call{path: p.prefix() + "/nothing"}).want(w, 404)
	})
	w.sub("published deprecated", func(w *world) {
		k := newPack()
		k.fields = map[string]any{"deprecated": "from the start"}
		k.inside = map[string]any{"name": k.name, "version": k.version}
		w.publish(p, w.root(), k)
		if got := shown(w, k); !cmp.Equal(got, map[string]any{"1.0.0": "from the start"}) {
			w.Errorf("%v", got)
		}
	})
	w.sub("the tarball stays, and so do tags", func(w *world) {
		k := three(w)
		deprecate(w, k, map[string]any{"1.0.0": "a", "1.1.0": "b", "2.0.0": "c"}, header).want(w, 200)
		w.download(p.prefix(), k.name, "2.0.0", anonymous)
		if got := w.tags(p.prefix(), k.name, anonymous); !cmp.Equal(got, any(map[string]any{"latest": "2.0.0"})) {
			w.Errorf("%v", got)
		}
	})
}

func TestUnpublish(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	maintainer := w.member(p, harness.Maintainer).as()
	rev := func(w *world, k pack) string {
		w.Helper()
		rev, _ := w.packument(p.prefix(), k.name, maintainer)["_rev"].(string)
		if rev == "" {
			w.Fatal("no _rev")
		}
		return rev
	}
	reduced := func(w *world, k pack, without ...string) map[string]any {
		w.Helper()
		document := w.packument(p.prefix(), k.name, maintainer)
		maps.DeleteFunc(document["versions"].(map[string]any), func(version string, _ any) bool {
			for _, gone := range without {
				if version == gone {
					return true
				}
			}
			return false
		})
		return document
	}
	three := func(w *world) (pack, map[string][]byte) {
		w.Helper()
		k := newPack()
		k.tags = map[string]string{"latest": "1.0.0", "old": "1.0.0"}
		sent := map[string][]byte{"1.0.0": w.publish(p, w.root(), k)}
		for _, version := range []string{"1.1.0", "2.0.0"} {
			next := k.at(version)
			next.tags = map[string]string{"latest": version}
			sent[version] = w.publish(p, w.root(), next)
		}
		k.tags = nil
		return k, sent
	}
	path := func(k pack) string { return p.prefix() + "/" + k.name }
	file := func(k pack, version string) string { return path(k) + "/-/" + k.name + "-" + version + ".tgz" }
	left := func(w *world, k pack, want ...string) {
		w.Helper()
		if want == nil {
			want = []string{}
		}
		if got := w.versions(p.prefix(), k.name, anonymous); !cmp.Equal(got, want) {
			w.Errorf("left: %v, want %v", got, want)
		}
	}

	w.sub("one version, as npm does it", func(w *world) {
		k, sent := three(w)
		w.send(call{path: path(k) + "?write=true", as: maintainer}).must(w, 200)
		w.send(call{method: "PUT", path: path(k) + "/-rev/" + rev(w, k), as: maintainer, body: reduced(w, k, "2.0.0")}).must(w, 200)
		w.send(call{method: "DELETE", path: file(k, "2.0.0") + "/-rev/" + rev(w, k), as: maintainer}).must(w, 200)
		left(w, k, "1.0.0", "1.1.0")
		w.send(call{path: file(k, "2.0.0")}).want(w, 404)
		w.send(call{path: path(k) + "/2.0.0"}).want(w, 404)
		if got := w.tags(p.prefix(), k.name, anonymous); !cmp.Equal(got, any(map[string]any{"latest": "1.1.0", "old": "1.0.0"})) {
			w.Errorf("tags %v", got)
		}
		if _, ok := at(w.packument(p.prefix(), k.name, anonymous), "time").(map[string]any)["2.0.0"]; ok {
			w.Error("time still has 2.0.0")
		}
		for _, version := range []string{"1.0.0", "1.1.0"} {
			if got := w.download(p.prefix(), k.name, version, anonymous); !bytes.Equal(got, sent[version]) {
				w.Errorf("%s is not what it was", version)
			}
		}
	})
	w.sub("one version by its tarball only", func(w *world) {
		k, _ := three(w)
		w.send(call{method: "DELETE", path: file(k, "1.1.0") + "/-rev/" + rev(w, k), as: maintainer}).want(w, 200)
		left(w, k, "1.0.0", "2.0.0")
	})
	w.sub("the whole package", func(w *world) {
		k, _ := three(w)
		w.send(call{method: "DELETE", path: path(k) + "/-rev/" + rev(w, k), as: maintainer}).want(w, 200)
		left(w, k)
		w.send(call{path: path(k)}).want(w, 404).is(w, `{"message":"404 Packages Not Found","error":"Packages not found"}`)
		w.send(call{path: p.prefix() + "/-/package/" + k.name + "/dist-tags"}).want(w, 404)
		for _, version := range []string{"1.0.0", "1.1.0", "2.0.0"} {
			w.send(call{path: file(k, version)}).want(w, 404)
		}
		w.send(call{method: "DELETE", path: path(k) + "/-rev/1-1", as: maintainer}).want(w, 404)
		if found := w.send(call{path: p.prefix() + "/-/v1/search?text=" + k.name}).must(w, 200).object(w); found["total"] != 0.0 {
			w.Errorf("search finds %v", found)
		}
	})
	w.sub("the last version by a packument without any", func(w *world) {
		k := newPack()
		w.publish(p, w.root(), k)
		w.send(call{method: "PUT", path: path(k) + "/-rev/" + rev(w, k), as: maintainer, body: reduced(w, k, "1.0.0")}).want(w, 200)
		left(w, k)
	})
	w.sub("a version that was removed can be published again, with other bytes", func(w *world) {
		k := newPack()
		w.publish(p, w.root(), k)
		w.send(call{method: "DELETE", path: path(k) + "/-rev/" + rev(w, k), as: maintainer}).must(w, 200)
		k = k.unique()
		sent := w.publish(p, w.root(), k)
		if got := w.download(p.prefix(), k.name, "1.0.0", anonymous); !bytes.Equal(got, sent) {
			w.Error("the old bytes")
		}
	})
	w.sub("an ETag from before the removal is not one of after", func(w *world) {
		k := newPack()
		w.publish(p, w.root(), k)
		before := w.send(call{path: path(k)}).must(w, 200)
		stale := rev(w, k)
		w.send(call{method: "DELETE", path: path(k) + "/-rev/" + stale, as: maintainer}).must(w, 200)
		w.publish(p, w.root(), k.unique())
		w.send(call{path: path(k), header: map[string]string{"If-None-Match": before.header.Get("ETag")}}).want(w, 200)
		w.send(call{method: "DELETE", path: path(k) + "/-rev/" + stale, as: maintainer}).want(w, 409)
		left(w, k, "1.0.0")
	})

	for what, stale := range map[string]func(rev string) string{
		"a revision of before":     func(rev string) string { return rev },
		"undefined, as of no _rev": func(string) string { return "undefined" },
		"a revision that is none":  func(string) string { return "1.0.0" },
		"a large number":           func(string) string { return "99999999999999999999-1" },
		"a negative number":        func(string) string { return "-1" },
	} {
		w.sub("refused with "+what, func(w *world) {
			k, sent := three(w)
			old := rev(w, k)
			body := reduced(w, k, "2.0.0")
			w.publish(p, w.root(), k.at("3.0.0")) // meanwhile
			given := url.PathEscape(stale(old))
			w.send(call{method: "PUT", path: path(k) + "/-rev/" + given, as: maintainer, body: body}).refused(w, 409, "")
			w.send(call{method: "DELETE", path: file(k, "2.0.0") + "/-rev/" + given, as: maintainer}).refused(w, 409, "")
			w.send(call{method: "DELETE", path: path(k) + "/-rev/" + given, as: maintainer}).refused(w, 409, "")
			left(w, k, "1.0.0", "1.1.0", "2.0.0", "3.0.0")
			for version, want := range sent {
				if got := w.download(p.prefix(), k.name, version, anonymous); !bytes.Equal(got, want) {
					w.Errorf("%s is not what it was", version)
				}
			}
		})
	}
	w.sub("of a removal and publishes at once no publish is lost", func(w *world) {
		k := newPack()
		w.publish(p, w.root(), k)
		for round := range 5 {
			given, body := rev(w, k), reduced(w, k, "1.0.0")
			var mine []pack
			for i := range 4 {
				mine = append(mine, k.at(fmt.Sprintf("2.%d.%d", round, i)))
			}
			answers := w.race(5, func(i int) call {
				if i == 4 {
					return call{method: "PUT", path: path(k) + "/-rev/" + given, as: maintainer, body: body}
				}
				return call{method: "PUT", path: path(k), as: w.root(), body: mine[i].document()}
			})
			listed := w.versions(p.prefix(), k.name, anonymous)
			for i := range 4 {
				answers[i].want(w, 200)
				if !strings.Contains(fmt.Sprint(listed), mine[i].version) {
					w.Errorf("round %d: %s was acknowledged and is lost", round, mine[i].version)
				}
			}
			if status := answers[4].status; status != 200 && status != 409 {
				w.Errorf("the removal: %d", status)
			}
		}
	})
	w.sub("of two removals with one revision one succeeds", func(w *world) {
		k, _ := three(w)
		given, one, two := rev(w, k), reduced(w, k, "1.0.0"), reduced(w, k, "2.0.0")
		answers := w.race(2, func(i int) call {
			return call{method: "PUT", path: path(k) + "/-rev/" + given, as: maintainer, body: []any{one, two}[i]}
		})
		if answers[0].status+answers[1].status != 200+409 {
			w.Errorf("%d and %d", answers[0].status, answers[1].status)
		}
		if got := w.versions(p.prefix(), k.name, anonymous); len(got) != 2 {
			w.Errorf("left: %v", got)
		}
	})
	w.sub("a packument at a revision brings no version, no tag, no message", func(w *world) {
		k := newPack()
		w.publish(p, w.root(), k)
		document := reduced(w, k)
		document["versions"].(map[string]any)["6.6.6"] = map[string]any{"name": k.name, "version": "6.6.6"}
		w.send(call{method: "PUT", path: path(k) + "/-rev/" + rev(w, k), as: maintainer, body: document})
		left(w, k, "1.0.0")
	})
	for what, body := range map[string]any{"no body": nil, "no JSON": "x", "no versions": map[string]any{"name": "x"}, "versions that are a list": map[string]any{"versions": []any{}}, "half a body": `{"versions":{"1.0.0":{`} {
		w.sub("refused with "+what, func(w *world) {
			k, _ := three(w)
			a := w.send(call{method: "PUT", path: path(k) + "/-rev/" + rev(w, k), as: maintainer, body: body})
			if a.status < 400 {
				w.Errorf("%d %s", a.status, a.body)
			}
			left(w, k, "1.0.0", "1.1.0", "2.0.0")
		})
	}
	w.sub("a name that several projects of a group have is removed from none of them at the group", func(w *world) {
		home := w.group(harness.Public)
		one, two := w.project(home, harness.Public), w.project(home, harness.Public)
		k := newPack()
		w.publish(one, w.root(), k)
		w.publish(two, w.root(), k.at("2.0.0"))
		given, _ := w.packument(home.prefix(), k.name, w.root())["_rev"].(string)
		a := w.send(call{method: "DELETE", path: home.prefix() + "/" + k.name + "/-rev/" + url.PathEscape(given), as: w.root()})
		if a.status < 400 {
			w.Errorf("%d", a.status)
		}
		if got := w.versions(home.prefix(), k.name, anonymous); len(got) != 2 {
			w.Errorf("left: %v", got)
		}
	})
}

// What a publish may look like and still be right.
func TestAcceptedPublishes(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	as := w.member(p, harness.Developer).as()
	for _, row := range []struct {
		what string
		edit func(k pack, document, manifest map[string]any)
	}{
		{"as npm sends it", func(pack, map[string]any, map[string]any) {}},
		{"with the attachment under the file's base name, as bun", func(k pack, d, _ map[string]any) {
			d["_attachments"] = map[string]any{strings.ReplaceAll(strings.TrimPrefix(k.name, "@"), "/", "-") + "-1.0.0.tgz": attachment(d)}
		}},
		{"with the attachment under any name", func(_ pack, d, _ map[string]any) {
			d["_attachments"] = map[string]any{"../../../../evil.tgz": attachment(d)}
		}},
		{"with a provenance beside the tarball", func(k pack, d, _ map[string]any) {
			d["_attachments"].(map[string]any)[k.name+"-1.0.0.sigstore"] = map[string]any{"content_type": "application/vnd.dev.sigstore.bundle+json;version=0.2", "data": "{}", "length": 2}
		}},
		{"without digests", func(_ pack, _, m map[string]any) { delete(m, "dist") }},
		{"with dist null", func(_ pack, _, m map[string]any) { m["dist"] = nil }},
		{"with an upper-case shasum", func(_ pack, _, m map[string]any) {
			d := m["dist"].(map[string]any)
			d["shasum"] = strings.ToUpper(d["shasum"].(string))
		}},
		{"with an integrity of two digests", func(_ pack, _, m map[string]any) {
			d := m["dist"].(map[string]any)
			d["integrity"] = d["integrity"].(string) + " sha384-" + strings.Repeat("A", 64)
		}},
		{"with a tarball address that is nonsense, as bun", func(_ pack, _, m map[string]any) { m["dist"].(map[string]any)["tarball"] = "http://https://x" }},
		{"without dist-tags", func(_ pack, d, _ map[string]any) { delete(d, "dist-tags") }},
		{"without access, with _rev", func(_ pack, d, _ map[string]any) { delete(d, "access"); d["_rev"] = "1-x" }},
		{"without a name in the document", func(_ pack, d, _ map[string]any) { delete(d, "name") }},
		{"with a length that is wrong", func(_ pack, d, _ map[string]any) { attachment(d)["length"] = 1 }},
		{"without a length", func(_ pack, d, _ map[string]any) {
			delete(attachment(d), "length")
			delete(attachment(d), "content_type")
		}},
		{"with base64 in lines", func(_ pack, d, _ map[string]any) {
			a := attachment(d)
			text := a["data"].(string)
			a["data"] = text[:76] + "\r\n" + text[76:]
		}},
		{"with dependencies null", func(_ pack, _, m map[string]any) { m["dependencies"] = nil }},
	} {
		for _, name := range []string{"plain" + harness.Random()[:8], "@" + home.Path + "/scoped" + harness.Random()[:8], "@elsewhere/" + harness.Random()[:8]} {
			w.sub(row.what+": "+name[:3], func(w *world) {
				k := named(name)
				document := edited(k, func(d, m map[string]any) { row.edit(k, d, m) })
				a := w.publishing(p, as, document, k.name).must(w, 200)
				if made := a.object(w); made["name"] != k.name && made["success"] != true || made["status"] == "processing" {
					w.Errorf("answer %s", a.body)
				}
				if got := w.download(p.prefix(), k.name, "1.0.0", as); !bytes.Equal(got, k.tarball()) {
					w.Error("other bytes")
				}
				dist := at(w.packument(p.prefix(), k.name, as), "versions", "1.0.0", "dist")
				if at(dist, "integrity") != integrity(k.tarball()) || at(dist, "shasum") != shasum(k.tarball()) || at(dist, "tarball") != w.server.URL+p.prefix()+"/"+k.name+"/-/"+k.name+"-1.0.0.tgz" {
					w.Errorf("dist %v", dist)
				}
			})
		}
	}
	for _, name := range []string{"UPPER", "a.b_c-d", "x", "9", "@Scope.x/Y", "@under_score-/a", strings.Repeat("x", 214)} {
		w.sub("a name such as "+name[:min(20, len(name))], func(w *world) {
			k := named(name)
			w.publish(w.open(), w.root(), k)
		})
	}
	for _, version := range []string{"0.0.0", "1.0.0-alpha", "1.0.0-0.3.7", "1.0.0-x-y-z.--", "1.0.0+build.01", "9007199254740991.0.0"} {
		w.sub("a version such as "+version, func(w *world) {
			k := newPack().at(version)
			sent := w.publish(p, as, k)
			if got := w.download(p.prefix(), k.name, version, as); !bytes.Equal(got, sent) {
				w.Error("other bytes")
			}
		})
	}
	w.sub("by Expect: 100-continue", func(w *world) {
		k := newPack()
		w.send(call{method: "PUT", path: p.prefix() + "/" + k.name, as: as, header: map[string]string{"Expect": "100-continue"}, body: k.document()}).want(w, 200)
	})
	w.sub("with any content type", func(w *world) {
		for _, kind := range []string{"application/json; charset=utf-8", "text/plain", "application/octet-stream"} {
			k := newPack()
			w.send(call{method: "PUT", path: p.prefix() + "/" + k.name, as: as, header: map[string]string{"Content-Type": kind}, body: k.document()}).want(w, 200)
		}
	})
	w.sub("the same tarball in two packages is kept once and read from both", func(w *world) {
		k := newPack()
		k.inside = map[string]any{"name": k.name, "version": "1.0.0"}
		elsewhere := w.open()
		one, two := w.publish(p, as, k), w.publish(elsewhere, w.root(), k)
		if !bytes.Equal(one, two) || !bytes.Equal(w.download(elsewhere.prefix(), k.name, "1.0.0", as), one) {
			w.Error("other bytes")
		}
		rev, _ := w.packument(p.prefix(), k.name, w.root())["_rev"].(string)
		w.send(call{method: "DELETE", path: p.prefix() + "/" + k.name + "/-rev/" + rev, as: w.root()}).must(w, 200)
		if !bytes.Equal(w.download(elsewhere.prefix(), k.name, "1.0.0", as), one) {
			w.Error("gone with the other package")
		}
	})
}
