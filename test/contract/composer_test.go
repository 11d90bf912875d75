package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"packhouse/test/harness"
)

// created is the answer to what was published.
const created = `{"message":"201 Created"}`

// The version that a tag or a branch becomes, and what none becomes.
func TestComposerRefs(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	c := w.repository(p)
	c.commit(map[string]string{"composer.json": manifestOf(newLib(), "")})
	c.push()
	for tag, want := range map[string]string{
		"v1.0.0": "1.0.0", "1.0.1": "1.0.1", "V1.0.2": "1.0.2", "v1.1.0-beta2": "1.1.0-beta2", "1.2.0-RC1": "1.2.0-RC1", "v1.3": "1.3", "v2": "2", "1.4.0.1": "1.4.0.1",
		"v1.5.0+meta": "1.5.0+meta", "1.6.0RC1": "1.6.0RC1", "2026.01.02": "2026.01.02", "v1.7.0-patch1": "1.7.0-patch1", "release-1.8.0": "1.8.0", "20260102": "20260102",
		"main": "", "latest": "", "v": "", "1.x": "", "1.9.0-dev": "", "dev-main": "", "1.2.3.4.5": "", "v1.9.0-foo": "", "1.9.0 ": "", "feature/1.0.0": "", "ünï": "", "1.2.x-dev": "",
	} {
		w.sub("the tag "+tag, func(w *world) {
			if strings.HasSuffix(tag, " ") {
				w.send(fromRef(p, w.root(), "tag="+url.QueryEscape(tag))).want(w, 400).is(w, `{"message":"The tag refname is invalid"}`)
				return
			}
			lib := newLib()
			c := &clone{w, c.dir, c.path}
			commit := c.commit(map[string]string{"composer.json": manifestOf(lib, "")})
			c.git("tag", tag)
			c.push("refs/tags/" + tag)
			a := w.send(fromRef(p, w.root(), "tag="+url.QueryEscape(tag)))
			if want == "" {
				a.want(w, 400)
				if !strings.HasPrefix(a.says("message"), "Validation failed: Version is invalid") || w.libVersions(p.composer(), lib, anonymous) != nil {
					w.Errorf("%s", a.body)
				}
				return
			}
			a.must(w, 201).is(w, created)
			w.send(fromRef(p, w.root(), "tag="+url.QueryEscape(tag))).want(w, 201).is(w, created)
			all := w.libVersions(p.composer(), lib, anonymous)
			if len(all) != 1 || all[want] == nil || at(all[want], "source", "reference") != commit || at(all[want], "dist", "reference") != commit {
				w.Errorf("%v", all)
			}
		})
	}
	for branch, want := range map[string]string{
		"main2": "dev-main2", "feature/a": "dev-feature/a", "12-fix": "dev-12-fix", "v1": "1.x-dev", "v1.x": "1.x-dev", "1.7": "1.7.x-dev", "v1.7.x": "1.7.x-dev", "1.0.0": "1.0.0.x-dev",
		"3.X": "3.x-dev", "1.2.3.4": "1.2.3.4-dev", "v": "dev-v", "issue#1": "dev-issue+1", "größe": "dev-größe",
	} {
		w.sub("the branch "+branch, func(w *world) {
			lib := newLib()
			c := &clone{w, c.dir, c.path}
			c.git("checkout", "--quiet", "-B", branch)
			c.commit(map[string]string{"composer.json": manifestOf(lib, "1.0.0")}) // what it says of a version does not count
			c.push("refs/heads/" + branch)
			w.send(fromRef(p, w.root(), "branch="+url.QueryEscape(branch))).must(w, 201).is(w, created)
			if all := w.libVersions(p.composer(), lib, anonymous); len(all) != 1 || all[want] == nil || all[want]["default-branch"] != nil {
				w.Errorf("%v, want %s", all, want)
			}
			// The same as JSON, and in the query.
			w.send(call{method: "POST", path: p.composer(), as: w.root(), body: map[string]string{"branch": branch}}).want(w, 201)
			w.send(call{method: "POST", path: p.composer() + "?branch=" + url.QueryEscape(branch), as: w.root()}).want(w, 201)
		})
	}
}

// expand undoes what minified documents leave out, as composer/metadata-minifier does.
func expand(versions []any) (all []map[string]any) {
	var known map[string]any
	for _, one := range versions {
		next := maps.Clone(known)
		if next == nil {
			next = map[string]any{}
		}
		for key, value := range one.(map[string]any) {
			if next[key] = value; value == "__unset" {
				delete(next, key)
			}
		}
		known = next
		all = append(all, next)
	}
	return all
}

// The documents of the repository and of a name, for Composer 1 and 2.
func TestComposerDocuments(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	p := w.project(g, harness.Public)
	lib, other := newLib(), newLib()
	second := map[string]string{"User-Agent": "Composer/2.8.1 (Linux; 6.1; PHP 8.3; cURL 8.5)"}
	for _, version := range []string{"1.0.0", "1.10.0", "1.2.0", "2.0.0-beta1", "1.3.0-dev"} {
		extra := map[string]any{"require": map[string]any{"php": ">=8.1", "b/a": "^1"}, "extra": map[string]any{"<&>": "\u2028"}}
		if version == "1.2.0" {
			extra = map[string]any{"require": nil, "license": []string{"MIT"}}
		}
		w.lib(p, lib, version, extra)
	}
	w.lib(p, other, "1.0")

	for what, prefix := range map[string]string{"project": p.composer(), "group": g.composer()} {
		w.sub(what, func(w *world) {
			for _, file := range []string{"/packages", "/packages.json", "/packages.json/"} {
				a := w.send(call{path: prefix + file}).must(w, 200)
				root := a.object(w)
				for key, want := range map[string]any{"metadata-url": prefix + "/p2/%package%.json", "providers-url": prefix + "/%package%$%hash%.json", "list": prefix + "/list.json",
					"search": prefix + "/search.json?q=%query%&type=%type%", "notify-batch": prefix + "/downloads", "metadata-changes-url": prefix + "/changes.json"} {
					if root[key] != want {
						w.Errorf("%s is %v, want %v", key, root[key], want)
					}
				}
				if names := []any{lib, other}; !cmp.Equal(root["packages"], []any{}) || !sameNames(root["available-packages"], names) {
					w.Errorf("%v", root)
				}
				two := w.send(call{path: prefix + file, header: second}).must(w, 200).object(w)
				if two["metadata-url"] != root["metadata-url"] || two["provider-includes"] != nil || two["providers-url"] != nil {
					w.Errorf("Composer 2 is told %v", two)
				}
				if vary := a.header.Get("Vary"); !strings.Contains(vary, "User-Agent") {
					w.Errorf("Vary: %s", vary)
				}
				// Each hash is that of the bytes that it leads to.
				sum := at(root, "provider-includes", "p/%hash%.json", "sha256").(string)
				providers := w.send(call{path: prefix + "/p/" + sum + ".json"}).must(w, 200)
				if sha256Of(providers.body) != sum {
					w.Errorf("the providers have another hash")
				}
				for name, one := range providers.object(w)["providers"].(map[string]any) {
					sum := at(one, "sha256").(string)
					for _, path := range []string{"/" + name + "%24" + sum + ".json", "/" + name + "$" + sum, "/" + escaped(name) + "$" + sum + ".json"} {
						if a := w.send(call{path: prefix + path}).must(w, 200); sha256Of(a.body) != sum {
							w.Errorf("%s has another hash", path)
						}
					}
				}
			}
			whole := w.libVersions(prefix, lib, anonymous)
			if len(whole) != 5 {
				w.Fatalf("%v", slices.Sorted(maps.Keys(whole)))
			}
			seen := map[string]bool{}
			for file, want := range map[string][]string{"": {"1.10.0", "1.2.0", "1.0.0", "2.0.0-beta1"}, "~dev": {"1.3.0-dev"}} {
				for _, ending := range []string{"", ".json"} {
					a := w.send(call{path: prefix + "/p2/" + lib + file + ending, header: second}).must(w, 200)
					document := a.object(w)
					if document["minified"] != "composer/2.0" {
						w.Errorf("%s", a.body)
					}
					var got []string
					for _, one := range expand(at(document, "packages", lib).([]any)) {
						version := one["version"].(string)
						got = append(got, version)
						seen[version] = true
						if diff := cmp.Diff(whole[version], one); diff != "" {
							w.Errorf("%s is another one minified (-whole +minified):\n%s", version, diff)
						}
					}
					if !slices.Equal(got, want) {
						w.Errorf("%q has %v, want %v", file, got, want)
					}
				}
			}
			if len(seen) != 5 {
				w.Errorf("V2 has %v", seen)
			}
			uids := map[any]bool{}
			for version, one := range whole {
				uids[one["uid"]] = true
				if one["name"] != lib || one["version"] != version || one["type"] != "library" || at(one, "dist", "type") != "zip" || one["source"] != nil {
					w.Errorf("%v", one)
				}
			}
			if len(uids) != 5 {
				w.Errorf("uids %v", uids)
			}

			for _, path := range []string{"/p2/acme/nothing.json", "/p2/acme/nothing~dev.json", "/acme/nothing$0123.json", "/" + lib + "$", "/" + lib, "/p2/UPPER/case.json", "/p2/x.json", "/p2/a/b/c.json", "/p2/" + lib + ".xls"} {
				a := w.send(call{path: prefix + path, header: second})
				a.want(w, 404)
			}
		})
	}

	// What has not changed is not sent again: by its tag, and by its time, which is told when the second is over.
	w.sub("not modified", func(w *world) {
		path := g.composer() + "/p2/" + lib + ".json"
		var a *answer
		eventually(w, "a time is told", func() bool {
			a = w.send(call{path: path, header: second}).must(w, 200)
			return a.header.Get("Last-Modified") != ""
		})
		header := func(name, value string) map[string]string {
			return map[string]string{"User-Agent": second["User-Agent"], name: value}
		}
		for name, value := range map[string]string{"If-Modified-Since": a.header.Get("Last-Modified"), "If-None-Match": a.header.Get("Etag")} {
			if got := w.send(call{path: path, header: header(name, value)}).want(w, 304); len(got.body) > 0 {
				w.Errorf("304 has a body")
			}
		}
		w.send(call{path: path, header: header("If-Modified-Since", time.Now().UTC().Format(http.TimeFormat))}).want(w, 200)
		w.lib(p, lib, "3.0.0")
		w.send(call{path: path, header: header("If-Modified-Since", a.header.Get("Last-Modified"))}).want(w, 200)
		w.send(call{path: path, header: header("If-None-Match", a.header.Get("Etag"))}).want(w, 200)
	})
}

// Who has a document that shows where a project was gets another one when the project, or a group above it, has moved.
func TestComposerMovedPlaces(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	below := w.group(harness.Public, g)
	type place struct {
		project
		lib, rename, modified string
	}
	places := []*place{{project: w.project(g, harness.Public)}, {project: w.project(below, harness.Public)}}
	places[0].rename, places[1].rename = "/api/v4"+of(places[0].project), "/api/v4"+below.path()
	second := func(header map[string]string) map[string]string {
		header["User-Agent"] = "Composer/2.8.1 (Linux; 6.1; PHP 8.3; cURL 8.5)"
		return header
	}
	for _, p := range places {
		p.lib = newLib()
		c := w.repository(p.project)
		c.commit(map[string]string{"composer.json": manifestOf(p.lib, "")})
		c.git("tag", "v1.0.0")
		c.push()
		w.send(fromRef(p.project, w.root(), "tag=v1.0.0")).must(w, 201)
	}
	for _, p := range places {
		path := g.composer() + "/p2/" + p.lib + ".json"
		eventually(w, "a time is told", func() bool {
			p.modified = w.send(call{path: path, header: second(map[string]string{})}).must(w, 200).header.Get("Last-Modified")
			return p.modified != ""
		})
		w.send(call{path: path, header: second(map[string]string{"If-Modified-Since": p.modified})}).want(w, 304)
		renamed := "r" + harness.Random()[:12]
		w.send(call{method: "PUT", path: p.rename, as: w.root(), body: map[string]any{"path": renamed}}).must(w, 200)
		a := w.send(call{path: path, header: second(map[string]string{"If-Modified-Since": p.modified})}).want(w, 200)
		if !strings.Contains(string(a.body), "/"+renamed) {
			t.Errorf("%s", a.body)
		}
	}
}

func sha256Of(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func sameNames(got any, want []any) bool {
	text := func(list []any) (texts []string) {
		for _, one := range list {
			texts = append(texts, fmt.Sprint(one))
		}
		slices.Sort(texts)
		return texts
	}
	list, _ := got.([]any)
	return slices.Equal(text(list), text(want))
}
