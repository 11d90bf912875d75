package contract

import (
	stdzip "archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

// The archive of a version: what is in it, and that it stays when a branch moves.
func TestComposerArchives(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	lib := newLib()
	c := w.repository(p)
	first := c.commit(map[string]string{"composer.json": manifestOf(lib, ""), ".gitattributes": "/tests export-ignore\n/version.txt export-subst\n", "tests/a.php": "x", "version.txt": "$Format:%H$", "src/a.php": "1"})
	c.git("tag", "v1.0.0")
	c.push()
	w.send(fromRef(p, w.root(), "tag=v1.0.0")).must(w, 201)
	archive := func(reference string) string { return p.composer() + "/archives/" + lib + ".zip?sha=" + reference }
	a := w.send(call{path: archive(first)}).must(w, 200)
	if kind, name := a.header.Get("Content-Type"), a.header.Get("Content-Disposition"); kind != "application/zip" || !strings.Contains(name, p.Path+"-"+first+"-"+first+".zip") {
		t.Errorf("%s, %s", kind, name)
	}
	r, err := stdzip.NewReader(bytes.NewReader(a.body), int64(len(a.body)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range r.File {
		name, ok := strings.CutPrefix(file.Name, p.Path+"-"+first+"-"+first+"/")
		if !ok {
			t.Errorf("%s is not in the one folder", file.Name)
		}
		if names = append(names, name); name == "version.txt" {
			in, _ := file.Open()
			text := make([]byte, 40)
			in.Read(text)
			if string(text) != first {
				t.Errorf("export-subst: %s", text)
			}
		}
	}
	if slices.Sort(names); !slices.Equal(names, []string{"", ".gitattributes", "composer.json", "src/", "src/a.php", "version.txt"}) {
		t.Errorf("%q", names)
	}
	shown := w.libVersions(p.composer(), lib, anonymous)["1.0.0"]
	if at(shown, "dist", "shasum") != sha1Of(a.body) || at(shown, "dist", "url") != w.server.URL+archive(first) || at(shown, "source", "url") != w.server.URL+"/"+p.PathWithNamespace+".git" {
		t.Errorf("%v", shown)
	}
	w.send(call{path: archive(first), header: map[string]string{"Range": "bytes=0-3"}}).want(w, 206)
	w.send(call{path: archive(first), header: map[string]string{"If-None-Match": a.header.Get("Etag")}}).want(w, 304)
	w.send(call{method: "HEAD", path: archive(first)}).want(w, 200)

	for path, status := range map[string]int{
		archive(strings.Repeat("0", 40)): 404, archive("x"): 404, archive(first[:7]): 404, archive("main"): 404, archive(first + "%00"): 404,
		p.composer() + "/archives/" + lib + ".zip":                          400,
		p.composer() + "/archives/" + lib + "?sha=" + first:                 404,
		p.composer() + "/archives/" + lib + ".tar?sha=" + first:             404,
		p.composer() + "/archives/acme/other.zip?sha=" + first:              404,
		w.open().composer() + "/archives/" + lib + ".zip?sha=" + first:      404,
		p.composer() + "/archives/" + escaped(lib) + ".zip?sha=" + first:    200,
		p.composer() + "/archives/" + lib + ".zip?sha=" + first + "&extra=": 200,
	} {
		w.send(call{path: path}).want(w, status)
	}
	w.send(call{path: p.composer() + "/archives/" + lib + ".zip"}).is(w, `{"error":"sha is missing"}`)

	// A branch: of the same commit it is the same archive, later it is another, and the first one stays.
	w.send(fromRef(p, w.root(), "branch=main")).must(w, 201)
	if dev := w.libVersions(p.composer(), lib, anonymous)["dev-main"]; at(dev, "dist", "shasum") != sha1Of(a.body) || dev["default-branch"] != true {
		t.Errorf("%v", dev)
	}
	next := c.commit(map[string]string{"src/a.php": "2"})
	c.push()
	w.send(call{path: archive(next)}).want(w, 404) // it is not an archive of anything that one may ask for
	for range 2 {
		w.send(fromRef(p, w.root(), "branch=main")).must(w, 201)
	}
	if dev := w.libVersions(p.composer(), lib, anonymous)["dev-main"]; at(dev, "dist", "reference") != next {
		t.Errorf("%v", dev)
	}
	for _, reference := range []string{first, next} {
		w.send(call{path: archive(reference)}).want(w, 200)
	}
	// Back again.
	c.git("reset", "--quiet", "--hard", first)
	c.push("--force", "HEAD")
	w.send(fromRef(p, w.root(), "branch=main")).must(w, 201)
	if dev := w.libVersions(p.composer(), lib, anonymous)["dev-main"]; at(dev, "dist", "reference") != first {
		t.Errorf("%v", dev)
	}
	id := w.send(call{path: fmt.Sprintf("/api/v4/projects/%d/packages?package_version=dev-main", p.ID)}).must(w, 200).list(w)[0]["id"]
	files := w.send(call{path: fmt.Sprintf("/api/v4/projects/%d/packages/%v/package_files", p.ID, id)}).must(w, 200).list(w)
	if len(files) != 2 {
		t.Errorf("%v", files)
	}
	// A tag that was moved is what it is now, unless the project says that versions stay what they are.
	c.git("tag", "--force", "v1.0.0", next)
	c.push("--force", "--tags")
	w.send(fromRef(p, w.root(), "tag=v1.0.0")).must(w, 201)
	if got := at(w.libVersions(p.composer(), lib, anonymous)["1.0.0"], "dist", "reference"); got != next {
		t.Errorf("%v", got)
	}
	w.send(call{method: "PUT", path: settings(of(p)), as: w.root(), body: map[string]any{"composer_duplicates_allowed": false}}).must(w, 200)
	c.git("tag", "--force", "v1.0.0", first)
	c.push("--force", "--tags")
	w.send(fromRef(p, w.root(), "tag=v1.0.0")).want(w, 400).is(w, `{"message":"Validation failed: Version has already been taken"}`)
	if got := at(w.libVersions(p.composer(), lib, anonymous)["1.0.0"], "dist", "reference"); got != next {
		t.Errorf("%v", got)
	}
	w.send(fromRef(p, w.root(), "branch=main")).want(w, 201)
	// 1.0 is the same version to Composer.
	c.git("tag", "v1.0")
	c.push("--tags")
	w.send(fromRef(p, w.root(), "tag=v1.0")).want(w, 400)

	// What the project was called does not matter, nor where it was.
	renamed := "r" + harness.Random()[:12]
	w.send(call{method: "PUT", path: "/api/v4" + of(p), as: w.root(), body: map[string]any{"path": renamed}}).must(w, 200)
	if got := at(w.libVersions(p.composer(), lib, anonymous)["1.0.0"], "source", "url"); got != w.server.URL+"/"+strings.TrimSuffix(p.PathWithNamespace, p.Path)+renamed+".git" {
		t.Errorf("source %v", got)
	}
	w.send(call{path: archive(first)}).want(w, 200)
}

// What is refused, how, and that nothing of it stays.
func TestComposerRefused(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--max-file-size", "2MiB", "--max-push-size", "4MiB"}})
	g := w.group(harness.Public)
	p := w.project(g, harness.Public)
	taken := newLib()
	w.lib(w.project(g, harness.Private), taken, "1.0.0")
	lib := newLib()
	c := w.repository(p)
	c.commit(map[string]string{"README": "no composer.json"})
	c.git("tag", "v0.1.0")
	n := 0
	tag := func(manifest string, more ...map[string]string) string {
		n++
		files := map[string]string{"composer.json": manifest}
		for _, one := range more {
			maps.Copy(files, one)
		}
		c.commit(files)
		name := fmt.Sprintf("v1.0.%d", n)
		c.git("tag", name)
		return "tag=" + name
	}
	object := func(field string, value any) string { return manifestOf(lib, "", map[string]any{field: value}) }
	type bad struct {
		what, params string
		status       int
		says         string // the body begins with, or is when it ends in "}"
	}
	const message = `{"message":"`
	rows := []bad{
		{"neither tag nor branch", "x=1", 400, `{"error":"tag, branch are missing, exactly one parameter must be provided"}`},
		{"nothing", "", 400, `{"error":"tag, branch are missing, exactly one parameter must be provided"}`},
		{"both", "tag=v1.0.0&branch=main", 400, `{"error":"tag, branch are mutually exclusive"}`},
		{"an unknown tag", "tag=v9.9.9", 404, message + `404 Tag Not Found"}`},
		{"an unknown branch", "branch=nobody", 404, message + `404 Branch Not Found"}`},
		{"an empty tag", "tag=", 400, message + `The tag refname is invalid"}`},
		{"an empty branch", "branch=", 400, message + `The branch refname is invalid"}`},
		{"no composer.json", "tag=v0.1.0", 422, message + `The file composer.json was not found."}`},
		{"an empty composer.json", tag(""), 422, message + `Could not parse composer.json file. Invalid JSON."}`},
		{"no JSON", tag("{"), 422, message + `Could not parse composer.json file. Invalid JSON."}`},
		{"a list", tag("[]"), 422, message + `Could not parse composer.json file. Invalid JSON."}`},
		{"null", tag("null"), 422, message + `Could not parse composer.json file. Invalid JSON."}`},
		{"JSON that is not UTF-8", tag("{\"name\":\"acme/\xff\"}"), 422, message + `Could not parse composer.json file. Invalid JSON."}`},
		{"JSON that is nested deep", tag(strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)), 422, message + `Could not parse composer.json file. Invalid JSON."}`},
		{"no name", tag(`{"description":"x"}`), 400, message + `Validation failed: Name can't be blank, Name is invalid"}`},
		{"a name that is null", tag(`{"name":null}`), 400, message + `Validation failed: Name can't be blank`},
		{"a name that is a number", tag(`{"name":1}`), 400, message + `Validation failed: composer.json is invalid: name must be a string`},
		{"an empty name", tag(`{"name":" "}`), 400, message + `Validation failed: Name can't be blank`},
		{"a name with capitals", tag(`{"name":"Acme/Lib"}`), 400, message + `Validation failed: Name is invalid`},
		{"a name without a vendor", tag(`{"name":"lib"}`), 400, message + `Validation failed: Name is invalid`},
		{"a name that leads out", tag(`{"name":"../lib"}`), 400, message + `Validation failed: Name is invalid`},
		{"a name with two slashes", tag(`{"name":"a/b/c"}`), 400, message + `Validation failed: Name is invalid`},
		{"a long name", tag(`{"name":"a/` + strings.Repeat("b", 300) + `"}`), 400, message + `Validation failed: Name is invalid`},
		{"a name of another project", tag(manifestOf(taken, "")), 400, message + `Validation failed: Name is already taken by another project"}`},
		{"require that is a list", tag(object("require", []string{"php"})), 400, message + `Validation failed: composer.json is invalid: require must be an object`},
		{"a constraint that is a number", tag(object("require", map[string]any{"php": 8})), 400, message + `Validation failed: composer.json is invalid: require must have a string`},
		{"a constraint that cannot be read", tag(object("require", map[string]any{"a/b": "1.0 ||| x"})), 400, message + `Validation failed: composer.json is invalid: require has a constraint`},
		{"a conflict that cannot be read", tag(object("conflict", map[string]any{"a/b": "~>1"})), 400, message + `Validation failed: composer.json is invalid: conflict has a constraint`},
		{"autoload that is a string", tag(object("autoload", "src")), 400, message + `Validation failed: composer.json is invalid: autoload must be an object`},
		{"keywords that are an object", tag(object("keywords", map[string]any{"a": "b"})), 400, message + `Validation failed: composer.json is invalid: keywords must be a list`},
		{"an alias that is a number", tag(object("extra", map[string]any{"branch-alias": map[string]any{"dev-main": 1}})), 400, message + `Validation failed: composer.json is invalid: extra.branch-alias`},
		{"a composer.json over a megabyte", tag(object("description", strings.Repeat("x", 1<<20))), 400, message + `Validation failed: composer.json is larger`},
		{"an archive over the limit", tag(object("license", "MIT"), map[string]string{"large": string(noise(3 << 20))}), 413, message + `413 Request Entity Too Large - File is too large"}`},
	}
	for _, trick := range []string{"$(touch /tmp/packhouse-was-here)", "../../etc/passwd", "--upload-pack=id", "-x", "v1\nv2", "v1 v2", "a..b", "HEAD@{1}", "v1^{tree}", "v1~1", "x.lock", "/v1", "v1/", "a//b", ".hidden", "@", "HEAD", "a\x00b",
		":/Change", "v1:composer.json", "*", "[a]", "\\v1", strings.Repeat("a", 300), "\xff", "a?b"} {
		rows = append(rows, bad{fmt.Sprintf("the tag %.40q", trick), "tag=" + url.QueryEscape(trick), 400, message + `The tag refname is invalid"}`},
			bad{fmt.Sprintf("the branch %.40q", trick), "branch=" + url.QueryEscape(trick), 400, message + `The branch refname is invalid"}`})
	}
	for _, trick := range []string{"`id`", "v1;id", "$(id)", "$HOME", "|id", "'", "a&b", ">x", "%s"} { // Git has nothing against these
		rows = append(rows, bad{"the tag " + trick, "tag=" + url.QueryEscape(trick), 404, message + `404 Tag Not Found"}`})
	}
	c.push()
	before := blobs(t, w.server)
	says := func(w *world, a *answer, want string) {
		w.Helper()
		if strings.HasSuffix(want, "}") && string(a.body) != want || !strings.HasPrefix(string(a.body), want) {
			w.Errorf("%s: %.300s\nwant %s", a.call, a.body, want)
		}
	}
	for _, row := range rows {
		w.sub("refused: "+row.what, func(w *world) {
			says(w, w.send(fromRef(p, w.root(), row.params)).want(w, row.status), row.says)
			w.nothingLeft(before)
		})
	}
	if _, err := os.Stat("/tmp/packhouse-was-here"); err == nil {
		t.Error("a name was run as a command")
	}
	for what, body := range map[string]call{
		"JSON that is cut":     {body: `{"tag":`},
		"a tag that is a list": {body: map[string]any{"tag": []string{"v1"}}},
		"a form that is cut":   {body: "--x\r\nContent-Disposition: form-data; name=\"tag\"\r\n\r\nv1", header: map[string]string{"Content-Type": "multipart/form-data; boundary=x"}},
		"a query that is none": {path: "?tag=%zz"},
	} {
		w.sub("refused: "+what, func(w *world) {
			body.method, body.path, body.as = "POST", p.composer()+body.path, w.root()
			if a := w.send(body).want(w, 400); a.says("error") == "" {
				w.Errorf("%s", a.body)
			}
		})
	}
	w.send(call{method: "POST", path: p.composer(), as: w.root(), body: `{"tag":"` + strings.Repeat("x", 2<<20) + `"}`}).want(w, 413)

	// Zips.
	good := manifestOf(lib, "1.0.0")
	whole := zipped(member{"composer.json", good}, member{"a", strings.Repeat("x", 1000)})
	link := func(to string) []byte {
		var b bytes.Buffer
		archive := stdzip.NewWriter(&b)
		file, _ := archive.Create("composer.json") // in memory, where nothing fails
		file.Write([]byte(good))
		header := &stdzip.FileHeader{Name: "src/link"}
		header.SetMode(os.ModeSymlink | 0o777)
		file, _ = archive.CreateHeader(header)
		file.Write([]byte(to))
		archive.Close()
		return b.Bytes()
	}
	for _, row := range []struct {
		what   string
		body   []byte
		query  string
		status int
		says   string
	}{
		{"no body", nil, "", 400, `{"error":"package is missing"}`},
		{"no zip", []byte("hello"), "", 400, message + "Validation failed: the archive is not a zip archive"},
		{"half of a zip", whole[:len(whole)/2], "", 400, message + "Validation failed: the archive is not a zip archive"},
		{"a zip without composer.json", zipped(member{"a", "b"}), "", 422, message + `The file composer.json was not found."}`},
		{"a composer.json in one of two folders", zipped(member{"a/composer.json", good}, member{"b/x", "y"}), "", 422, message + `The file composer.json was not found."}`},
		{"a composer.json two folders deep", zipped(member{"a/b/composer.json", good}), "", 422, message + `The file composer.json was not found."}`},
		{"an empty zip", zipped(), "", 422, message + `The file composer.json was not found."}`},
		{"a composer.json that is no JSON", zipped(member{"composer.json", "x"}), "", 422, message + `Could not parse`},
		{"no version", libZip(lib, ""), "", 400, message + `Validation failed: Version can't be blank`},
		{"a version that cannot be read", libZip(lib, "latest"), "", 400, message + `Validation failed: Version is invalid`},
		{"another version in the query", libZip(lib, "1.0.0"), "?version=1.0.1", 400, message + `Validation failed: Version is invalid`},
		{"a name of another project", libZip(taken, "1.0.0"), "", 400, message + `Validation failed: Name is already taken by another project"}`},
		{"a path that leads out", zipped(member{"composer.json", good}, member{"../evil", "x"}), "", 400, message + "Validation failed: the archive has a file whose path leads out of it"},
		{"an absolute path", zipped(member{"composer.json", good}, member{"/etc/evil", "x"}), "", 400, message + "Validation failed: the archive has a file whose path leads out of it"},
		{"a backslash", zipped(member{"composer.json", good}, member{`..\evil`, "x"}), "", 400, message + "Validation failed: the archive has a file whose path leads out of it"},
		{"a link that leads out", link("../../etc/passwd"), "", 400, message + "Validation failed: the archive has a file whose path leads out of it"},
		{"a link to the root", link("/etc/passwd"), "", 400, message + "Validation failed: the archive has a file whose path leads out of it"},
		{"a file twice", zipped(member{"composer.json", good}, member{"composer.json", good}), "", 400, message + `Validation failed: the archive has the file \"composer.json\" twice`},
		{"a zip bomb", zipped(member{"composer.json", good}, member{"zeros", strings.Repeat("\x00", 110<<20)}), "", 400, message + "Validation failed: the archive unpacks to too much"},
		{"a composer.json that unpacks to too much", zipped(member{"composer.json", strings.Repeat(" ", 2<<20) + good}), "", 400, message + "Validation failed: composer.json is larger"},
		{"a file over the limit", zipped(member{"composer.json", good}, member{"noise", string(noise(3 << 20))}), "", 413, message + "413 Request Entity Too Large"},
		{"a file far over the limit", noise(12 << 20), "", 413, message + "413 Request Entity Too Large"},
	} {
		w.sub("refused: "+row.what, func(w *world) {
			c := putZip(p, w.root(), row.body)
			c.path += row.query
			says(w, w.send(c).want(w, row.status), row.says)
			if len(row.body) > 5<<20 {
				return
			}
			form, contentType := formWith("package", "lib.zip", row.body)
			c.body, c.header = form, map[string]string{"Content-Type": contentType}
			if row.body != nil {
				says(w, w.send(c).want(w, row.status), row.says)
			}
			w.nothingLeft(before)
		})
	}
	form, contentType := formWith("file", "lib.zip", whole)
	a := w.send(call{method: "PUT", path: p.composer(), as: w.root(), body: form, header: map[string]string{"Content-Type": contentType}}).want(w, 400)
	says(w, a, `{"error":"package is missing"}`)
	form, contentType = formWith("package", "lib.zip", whole)
	w.send(call{method: "PUT", path: p.composer(), as: w.root(), body: form[:len(form)/2], header: map[string]string{"Content-Type": contentType}}).want(w, 400)
	w.nothingLeft(before)

	// A push over the limit.
	c.commit(map[string]string{"huge": string(noise(6 << 20))})
	if out, err := c.try("push", "origin", "HEAD:refs/heads/huge"); err == nil {
		t.Errorf("the push was taken: %s", out)
	}
	w.send(fromRef(p, w.root(), "branch=huge")).want(w, 404)
	if got := w.libVersions(p.composer(), lib, anonymous); got != nil {
		t.Errorf("what was refused is visible: %v", got)
	}
	w.send(putZip(p, w.root(), whole)).must(w, 201).is(w, created)

	// Other services, and files of the repository, are nobody's.
	for path, status := range map[string]int{"/info/refs": 403, "/info/refs?service=git-upload-archive": 403, "/HEAD": 404, "/objects/info/packs": 404, "/config": 404, "/git-upload-archive": 404} {
		w.send(call{path: "/" + p.PathWithNamespace + ".git" + path, as: w.root()}).want(w, status)
	}
	for _, path := range []string{"/..%2f..%2fetc.git/info/refs?service=git-upload-pack", "/" + p.PathWithNamespace + ".git%00/info/refs?service=git-upload-pack", "/a%5c..%5cb.git/info/refs?service=git-upload-pack", "/x.git/info/refs?service=git-upload-pack"} {
		if a := w.send(call{path: path, as: w.root()}); a.status != 404 && a.status != 400 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

// A name is of one project below a top-level group; of racing publishers one gets it.
func TestComposerNames(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	lib := newLib()
	p, q := w.project(g, harness.Private), w.project(w.group(harness.Public, g), harness.Public)
	w.lib(p, lib, "1.0.0")
	w.send(putZip(q, w.root(), libZip(lib, "2.0.0"))).want(w, 400).is(w, `{"message":"Validation failed: Name is already taken by another project"}`)
	w.lib(p, lib, "1.1.0")
	w.lib(w.open(), lib, "2.0.0") // elsewhere

	w.sub("free again when it is deleted", func(w *world) {
		for _, one := range w.send(call{path: fmt.Sprintf("/api/v4/projects/%d/packages?package_type=composer", p.ID), as: w.root()}).must(w, 200).list(w) {
			w.send(call{method: "DELETE", path: fmt.Sprintf("/api/v4/projects/%d/packages/%v", p.ID, one["id"]), as: w.root()}).must(w, 204)
		}
		if got := w.libVersions(p.composer(), lib, w.root()); got != nil {
			w.Errorf("%v", got)
		}
		w.lib(q, lib, "2.0.0")
		w.send(putZip(p, w.root(), libZip(lib, "3.0.0"))).want(w, 400)
	})
	w.sub("racing publishers", func(w *world) {
		for range 5 {
			lib := newLib()
			projects := []project{p, q, w.project(g, harness.Public), w.project(g, harness.Public)}
			statuses := make([]int, 2*len(projects))
			var all sync.WaitGroup
			for i := range statuses {
				all.Go(func() {
					a, err := w.try(putZip(projects[i%len(projects)], w.root(), libZip(lib, fmt.Sprintf("1.0.%d", i))))
					if err == nil {
						statuses[i] = a.status
					}
				})
			}
			all.Wait()
			owners := map[int]bool{}
			for i, status := range statuses {
				if status == 201 {
					owners[i%len(projects)] = true
				} else if status != 400 {
					w.Errorf("%v", statuses)
				}
			}
			if len(owners) != 1 {
				w.Errorf("%d projects have the name: %v", len(owners), statuses)
			}
		}
	})
	w.sub("racing publishers of one branch", func(w *world) {
		c := w.repository(q)
		lib := newLib()
		var last string
		for i := range 8 {
			last = c.commit(map[string]string{"composer.json": manifestOf(lib, ""), "n": fmt.Sprint(i)})
			c.push()
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					if a, err := w.try(fromRef(q, w.root(), "branch=main")); err != nil || a.status != 201 {
						w.Errorf("%v %v", a, err)
					}
				})
			}
			all.Wait()
		}
		if got := at(w.libVersions(q.composer(), lib, anonymous)["dev-main"], "dist", "reference"); got != last {
			w.Errorf("%v, want %s", got, last)
		}
	})
	w.sub("a move to where the name is taken", func(w *world) {
		other := w.group(harness.Public)
		here, there := w.project(g, harness.Public), w.project(other, harness.Public)
		lib := newLib()
		w.lib(here, lib, "1.0.0")
		w.lib(there, lib, "2.0.0")
		w.send(call{method: "PUT", path: "/api/v4" + of(there) + "/transfer", as: w.root(), body: map[string]any{"namespace": g.ID}}).want(w, 400)
		free := w.project(other, harness.Public)
		w.lib(free, newLib(), "1.0.0")
		w.send(call{method: "PUT", path: "/api/v4" + of(free) + "/transfer", as: w.root(), body: map[string]any{"namespace": g.ID}}).want(w, 200)
	})
}

// What a group shows is what its caller may read.
func TestComposerVisible(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	open, closed := w.project(g, harness.Public), w.project(g, harness.Private)
	shown, hidden := newLib(), newLib()
	w.lib(open, shown, "1.0.0")
	w.lib(closed, hidden, "1.0.0")
	guest := w.member(closed, harness.Guest)
	names := func(as credential) (all []string) {
		for _, name := range w.send(call{path: g.composer() + "/list.json", as: as}).must(w, 200).object(w)["packageNames"].([]any) {
			all = append(all, name.(string))
		}
		slices.Sort(all)
		return all
	}
	both := []string{shown, hidden}
	slices.Sort(both)
	stranger := w.user()
	for who, row := range map[string]struct {
		as     credential
		sees   []string
		status int // of the hidden one
	}{
		"nobody": {anonymous, []string{shown}, 401}, "a stranger": {stranger.as(), []string{shown}, 404}, "a guest": {guest.as(), both, 200}, "root": {w.root(), both, 200},
	} {
		w.sub(who, func(w *world) {
			if got := names(row.as); !slices.Equal(got, row.sees) {
				w.Errorf("%v, want %v", got, row.sees)
			}
			w.send(call{path: g.composer() + "/p2/" + hidden + ".json", as: row.as}).want(w, row.status)
			w.send(call{path: g.composer() + "/" + hidden + "$0123.json", as: row.as}).want(w, row.status)
			root := w.send(call{path: g.composer() + "/packages.json", as: row.as}).must(w, 200).object(w)
			providers := w.send(call{path: g.composer() + "/p/x.json", as: row.as}).must(w, 200).object(w)["providers"].(map[string]any)
			if !slices.Equal(slices.Sorted(maps.Keys(providers)), row.sees) || len(root["available-packages"].([]any)) != len(row.sees) {
				w.Errorf("%v, %v", providers, root)
			}
			found := w.send(call{path: g.composer() + "/search.json?q=library&per_page=1", as: row.as}).must(w, 200).object(w)
			if found["total"] != float64(len(row.sees)) || (found["next"] != nil) != (len(row.sees) > 1) {
				w.Errorf("%v", found)
			}
		})
	}
	if got := names(basic("x", stranger.token)); !slices.Equal(got, []string{shown}) {
		t.Errorf("%v", got)
	}
	a := w.send(call{path: g.composer() + "/list.json", as: private(wrong())}).want(w, 401)
	if a.header.Get("WWW-Authenticate") == "" {
		t.Error("no challenge")
	}
	// A filter, a vendor.
	for query, want := range map[string]int{"?filter=" + shown: 1, "?filter=acme/*": 2, "?filter=" + shown[:8] + "*": -1, "?vendor=acme": 2, "?vendor=other": 0, "?filter=(": 0, "?vendor=acme&filter=*lib*": 2} {
		got := w.send(call{path: g.composer() + "/list.json" + query, as: w.root()}).must(w, 200).object(w)["packageNames"].([]any)
		if want >= 0 && len(got) != want {
			t.Errorf("%s: %v", query, got)
		}
	}

	// What has changed, for those who keep a copy.
	first := w.send(call{path: g.composer() + "/changes.json", as: w.root()}).want(w, 400).object(w)
	since := fmt.Sprintf("%.0f", first["timestamp"])
	w.lib(open, shown, "1.1.0")
	actions := func(as credential, since string) map[string]string {
		all := map[string]string{}
		for _, one := range w.send(call{path: g.composer() + "/changes.json?since=" + since, as: as}).must(w, 200).object(w)["actions"].([]any) {
			all[at(one, "package").(string)] = at(one, "type").(string)
		}
		return all
	}
	if got := actions(anonymous, since); got[shown] != "update" || got[shown+"~dev"] != "update" || got[hidden] != "" {
		t.Errorf("%v", got)
	}
	if got := actions(w.root(), "0"); got["*"] != "resync" {
		t.Errorf("%v", got)
	}
	for _, one := range w.send(call{path: fmt.Sprintf("/api/v4/projects/%d/packages", open.ID), as: w.root()}).must(w, 200).list(w) {
		w.send(call{method: "DELETE", path: fmt.Sprintf("/api/v4/projects/%d/packages/%v", open.ID, one["id"]), as: w.root()}).must(w, 204)
	}
	if got := actions(anonymous, since); got[shown] != "delete" {
		t.Errorf("%v", got)
	}
	for _, bad := range []string{"-1", "x", "99999999999999999999"} {
		w.send(call{path: g.composer() + "/changes.json?since=" + bad, as: w.root()}).want(w, 400)
	}
	for _, bad := range []string{"?page=0", "?page=x", "?per_page=-1", "?q=" + strings.Repeat("a+", 30)} {
		w.send(call{path: g.composer() + "/search.json" + bad, as: w.root()}).want(w, 400)
	}
	for _, body := range []any{"x", "[]", map[string]any{"downloads": 1}, map[string]any{"downloads": slices.Repeat([]any{map[string]any{"name": "a/b", "version": "1"}}, 1001)}} {
		w.send(call{method: "POST", path: g.composer() + "/downloads", as: w.root(), body: body}).want(w, 400)
	}
	w.send(call{method: "POST", path: g.composer() + "/downloads", as: w.root(), body: strings.Repeat(" ", 2<<20)}).want(w, 413)
	w.send(call{method: "POST", path: g.composer() + "/security-advisories", as: w.root()}).want(w, 200).is(w, `{"advisories":{}}`)
}

// Rules that protect names hold for pushes that are published by themselves, too.
func TestComposerProtected(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	developer := w.member(p, harness.Developer)
	lib := newLib()
	w.protect(of(p), map[string]any{"package_name_pattern": lib, "package_type": "composer", "minimum_access_level_for_push": "maintainer"})
	w.send(call{method: "PUT", path: settings(of(p)), as: w.root(), body: map[string]any{"composer_auto_publish": true}}).must(w, 200)
	w.send(putZip(p, developer.as(), libZip(lib, "1.0.0"))).want(w, 403).is(w, `{"message":"403 Forbidden - Package protected."}`)
	c := w.repository(p)
	c.commit(map[string]string{"composer.json": manifestOf(lib, "")})
	c.git("tag", "v1.0.0")
	c.git("remote", "set-url", "origin", strings.Replace(c.git("remote", "get-url", "origin"), w.server.RootToken, developer.token, 1))
	c.push()
	if got := w.libVersions(p.composer(), lib, anonymous); got != nil {
		t.Errorf("%v", got)
	}
	events := string(w.send(call{path: "/api/v4" + of(p) + "/audit_events", as: w.root()}).must(w, 200).body)
	if !strings.Contains(events, "package_not_published") || !strings.Contains(events, "Package protected") || !strings.Contains(events, "created tag v1.0.0") {
		t.Errorf("%.2000s", events)
	}
	w.send(fromRef(p, developer.as(), "tag=v1.0.0")).want(w, 403)
	w.send(fromRef(p, w.root(), "tag=v1.0.0")).want(w, 201)
}

// The repository of a project goes with it, and that of no other.
func TestRepositoryRemoved(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--deletion-delay", "0"}})
	g := w.group(harness.Public)
	gone, stays := w.project(g, harness.Public), w.project(g, harness.Public)
	for _, p := range []project{gone, stays} {
		c := w.repository(p)
		c.commit(nil)
		c.push()
	}
	folder := func(p project) string {
		return filepath.Join(w.server.Data, "repositories", fmt.Sprint(p.ID)+".git")
	}
	for _, p := range []project{gone, stays} {
		if _, err := os.Stat(folder(p)); err != nil {
			t.Fatal(err)
		}
	}
	w.send(call{method: "DELETE", path: "/api/v4" + of(gone), as: w.root()}).must(w, 202)
	eventually(w, "the repository is gone", func() bool {
		_, err := os.Stat(folder(gone))
		return os.IsNotExist(err)
	})
	if out, err := (&clone{w, w.TempDir(), stays.PathWithNamespace}).try("clone", "--quiet", w.server.URL+"/"+stays.PathWithNamespace+".git", "x"); err != nil {
		t.Errorf("%s", out)
	}
}

// A remote that must not be followed is refused, or not asked.
func TestMirrors(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	path := "/api/v4" + of(p) + "/mirror/pull"
	w.send(call{path: path, as: w.root()}).want(w, 400).is(w, `{"message":"The project is not mirrored"}`)
	for what, remote := range map[string]string{
		"another program": "ext::sh -c id", "a file": "file:///etc/passwd", "a path": "/etc/passwd", "a relative path": "../1.git", "an option": "--upload-pack=id", "SSH": "ssh://git@git.example.com/a.git",
		"SSH for short": "git@git.example.com:a.git", "Git's own": "git://git.example.com/a.git", "no host": "http:///a.git", "a space": "http://git.example.com/a b.git", "a line break": "http://git.example.com/a\nb",
		"nothing": "", "an option as a host": "http://-x/a.git", "a query": "https://git.example.com/a.git?x=1", "not UTF-8": "http://git.example.com/\xff", "a helper": "http::http://git.example.com/a.git", "another scheme": "javascript:alert(1)",
	} {
		w.sub(what, func(w *world) {
			w.send(call{method: "PUT", path: path, as: w.root(), body: "url=" + url.QueryEscape(remote), header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}).want(w, 400)
		})
	}
	w.send(call{path: path, as: w.root()}).want(w, 400)
	for _, remote := range []string{w.server.URL + "/x/y.git", "http://127.0.0.1:1/a.git", "http://localhost:1/a.git", "http://[::1]:1/a.git", "http://10.0.0.1/a.git", "http://169.254.169.254/a.git", "http://0.0.0.0:1/a.git", "http://[::ffff:127.0.0.1]/a.git"} {
		w.sub("of our own network: "+remote, func(w *world) {
			p := w.open()
			path := "/api/v4" + of(p) + "/mirror/pull"
			made := w.send(call{method: "PUT", path: path, as: w.root(), body: map[string]any{"url": strings.Replace(remote, "://", "://me:secret@", 1)}}).must(w, 200)
			if strings.Contains(string(made.body), "secret") {
				w.Errorf("%s", made.body)
			}
			var now map[string]any
			eventually(w, "the fetch has ended", func() bool {
				now = w.send(call{path: path, as: w.root()}).must(w, 200).object(w)
				return now["update_status"] == "failed"
			})
			if said, _ := now["last_error"].(string); !strings.Contains(said, "in a network of our own") && !strings.Contains(said, "is not known") || strings.Contains(said, "secret") {
				w.Errorf("%v", now)
			}
			w.send(call{method: "PUT", path: path, as: w.root(), body: map[string]any{"enabled": false}}).must(w, 200)
			w.send(call{method: "POST", path: path, as: w.root()}).want(w, 400)
		})
	}
}

// A branch's archives are as many as the cleanup policy keeps.
func TestComposerCleanup(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	lib := newLib()
	var references []string
	for range 4 {
		references = append(references, sha1Of(w.lib(p, lib, "dev-main")))
	}
	path := "/api/v4" + of(p) + "/packages/cleanup_policy"
	w.send(call{method: "PUT", path: path, as: w.root(), body: map[string]any{"enabled": true, "keep_n_duplicated_package_files": "1"}}).must(w, 200)
	w.send(call{method: "POST", path: path + "/run", as: w.root()}).must(w, 202)
	status := func(reference string) int {
		return w.send(call{path: p.composer() + "/archives/" + lib + ".zip?sha=" + reference}).status
	}
	eventually(w, "the archives before are gone", func() bool { return status(references[0]) == 404 && status(references[2]) == 404 })
	if got := status(references[3]); got != 200 {
		t.Errorf("the newest one: %d", got)
	}
	if got := at(w.libVersions(p.composer(), lib, anonymous)["dev-main"], "dist", "reference"); got != references[3] {
		t.Errorf("%v", got)
	}
}

// formWith is a multipart form with one file.
func formWith(field, file string, content []byte) (body []byte, contentType string) {
	const boundary = "packhouse-boundary"
	head := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + field + "\"; filename=\"" + file + "\"\r\nContent-Type: application/zip\r\n\r\n"
	return slices.Concat([]byte(head), content, []byte("\r\n--"+boundary+"--\r\n")), "multipart/form-data; boundary=" + boundary
}
