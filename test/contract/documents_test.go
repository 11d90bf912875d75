package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"packhouse/test/harness"
)

// everything is a manifest with each field that a client may act on, and some
// that are noise.
var everything = map[string]any{
	"description": "Holds <all> & every field", "keywords": []string{"alpha", "beta"}, "license": "MIT", "homepage": "https://example.com/home",
	"author": map[string]string{"name": "Ada", "email": "ada@example.com"}, "contributors": []map[string]string{{"name": "Bob"}},
	"bugs": map[string]string{"url": "https://example.com/bugs"}, "repository": map[string]string{"type": "git", "url": "git+https://example.com/all.git"},
	"main": "index.js", "module": "index.mjs", "types": "index.d.ts", "type": "module", "exports": map[string]any{".": map[string]string{"import": "./index.mjs"}},
	"bin": map[string]string{"all": "cli.js"}, "directories": map[string]string{"lib": "lib"}, "engines": map[string]string{"node": ">=18"},
	"os": []string{"linux", "!win32"}, "cpu": []string{"x64"}, "libc": []string{"glibc"}, "funding": "https://example.com/fund",
	"scripts":      map[string]string{"postinstall": "node hello.js", "test": "true"},
	"dependencies": map[string]string{"left": "^1.0.0", "bundled": "2"}, "devDependencies": map[string]string{"dev": "*"},
	"optionalDependencies": map[string]string{"native": "1.x"}, "peerDependencies": map[string]string{"host": ">=2"},
	"peerDependenciesMeta": map[string]any{"host": map[string]bool{"optional": true}}, "bundleDependencies": []string{"bundled"},
	"_hasShrinkwrap": false, "publishConfig": map[string]string{"access": "restricted"}, "custom": map[string]any{"deep": []any{1, nil, "x"}},
	"_nodeVersion": "22.0.0", "_npmVersion": "11.0.0", "gitHead": "0123456789012345678901234567890123456789",
	"_from": "file:.", "_resolved": "file:../all", "readme": "# Not in each version", "readmeFilename": "README.md",
}

// The whole of both forms, compared with golden files. What no file can know,
// times, digests and names, stands there as $words.
func TestPackumentWhole(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	p := w.project(home, harness.Private)
	ada := w.member(p, harness.Maintainer)
	k := named("@" + home.Path + "/all")
	k.fields, k.readme = everything, "# All\n\nÜmläut <b>bold</b> \u2028 text"
	first := w.publish(p, ada.as(), k)
	all := k
	k.version, k.tags, k.fields = "1.1.0-beta.1", map[string]string{"beta": "1.1.0-beta.1"}, map[string]any{"description": "Beta", "dependencies": map[string]string{}}
	k = k.unique()
	second := w.publish(p, ada.as(), k)
	w.send(call{method: "PUT", path: p.prefix() + "/" + escaped(k.name), as: ada.as(), header: map[string]string{"npm-command": "deprecate"},
		body: map[string]any{"name": k.name, "versions": map[string]any{k.version: map[string]any{"version": k.version, "deprecated": "wait for \"1.1\""}}}}).must(w, 200)

	for _, prefix := range []string{
		p.prefix(), "/api/v4/projects/" + url.PathEscape(p.path()) + "/packages/npm", home.prefix(), "/api/v4/groups/" + home.FullPath + "/-/packages/npm", instance,
	} {
		for _, form := range []struct{ name, accept, contentType string }{
			{"full", "application/json", "application/json"},
			{"full", "*/*", "application/json"},
			{"full", "", "application/json"},
			{"abbreviated", "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*", "application/vnd.npm.install-v1+json"},
			{"abbreviated", "application/vnd.npm.install-v1+json", "application/vnd.npm.install-v1+json"},
		} {
			w.sub(fmt.Sprintf("%s form for Accept %q at %s", form.name, form.accept, regexp.MustCompile(`\d+|g[0-9a-f]{12}.*?/`).ReplaceAllString(prefix, ":id")), func(w *world) {
				header := map[string]string{}
				if form.accept != "" {
					header["Accept"] = form.accept
				}
				a := w.send(call{path: prefix + "/" + escaped(k.name), as: ada.as(), header: header}).must(w, 200)
				if got := a.header.Get("Content-Type"); got != form.contentType {
					w.Errorf("Content-Type %q", got)
				}
				golden(w, "packument-"+form.name+".json", a.object(w), map[string]any{
					"prefix": w.server.URL + prefix, "name": k.name, "user": ada.Username,
					"integrity1": integrity(first), "shasum1": shasum(first), "integrity2": integrity(second), "shasum2": shasum(second),
					"size1": unpacked(all), "size2": unpacked(k),
				})
			})
		}
	}
	w.sub("each tarball of each prefix is what was sent", func(w *world) {
		for _, prefix := range []string{p.prefix(), home.prefix(), instance} {
			for version, sent := range map[string][]byte{"1.0.0": first, k.version: second} {
				if got := w.download(prefix, k.name, version, ada.as()); !bytes.Equal(got, sent) {
					w.Errorf("%s at %s: %d bytes, sent %d", version, prefix, len(got), len(sent))
				}
			}
		}
	})
	w.sub("one version's manifest is its part of the full form", func(w *world) {
		document := w.packument(p.prefix(), k.name, ada.as())
		for asked, version := range map[string]string{"1.0.0": "1.0.0", "latest": "1.0.0", "beta": k.version, k.version: k.version} {
			a := w.send(call{path: p.prefix() + "/" + escaped(k.name) + "/" + asked, as: ada.as()}).must(w, 200)
			if diff := cmp.Diff(at(document, "versions", version), any(a.object(w))); diff != "" {
				w.Errorf("%s (-packument +manifest):\n%s", asked, diff)
			}
		}
		w.send(call{path: p.prefix() + "/" + escaped(k.name) + "/9.9.9", as: ada.as()}).want(w, 404)
		w.send(call{path: p.prefix() + "/" + escaped(k.name) + "/no-such-tag", as: ada.as()}).want(w, 404)
	})
}

// unpacked is the bytes of a package's files.
func unpacked(k pack) (size float64) {
	for _, e := range k.entries() {
		size += float64(len(e.content))
	}
	return size
}

var isTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)

// golden compares a document with a file in testdata, in which $word stands
// for what known says, $time for any time of today's and $text for any text
// that is not empty.
func golden(w *world, file string, got any, known map[string]any) {
	w.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		w.Fatal(err)
	}
	var want any
	if err := json.Unmarshal(text, &want); err != nil {
		w.Fatal(err)
	}
	var fill func(want, got any) any
	expand := func(text string) string {
		return regexp.MustCompile(`\$[a-z]+\d?`).ReplaceAllStringFunc(text, func(word string) string {
			if value, ok := known[word[1:]].(string); ok {
				return value
			}
			return word
		})
	}
	fill = func(want, got any) any {
		switch want := want.(type) {
		case map[string]any:
			object := map[string]any{}
			for key, value := range want {
				object[expand(key)] = fill(value, at(got, expand(key)))
			}
			return object
		case []any:
			list := []any{}
			for i, value := range want {
				var other any
				if l, ok := got.([]any); ok && i < len(l) {
					other = l[i]
				}
				list = append(list, fill(value, other))
			}
			return list
		case string:
			said, _ := got.(string)
			if moment, err := time.Parse(time.RFC3339, said); want == "$time" && err == nil && isTime.MatchString(said) && time.Since(moment).Abs() < time.Hour {
				return got
			}
			if value, ok := known[strings.TrimPrefix(want, "$")]; ok {
				return value
			}
			if want == "$text" && said != "" {
				return got
			}
			return expand(want)
		}
		return want
	}
	if diff := cmp.Diff(fill(want, got), got); diff != "" {
		w.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// What the clients of GitLab's list of gaps missed, one by one.
func TestPackumentDetails(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	fields := func(more map[string]any) pack {
		k := newPack()
		k.fields = more
		return k
	}
	version := func(k pack, form string) any {
		a := w.send(call{path: p.prefix() + "/" + k.name, header: map[string]string{"Accept": form}}).must(w, 200)
		return at(a.object(t), "versions", k.version)
	}
	const short = "application/vnd.npm.install-v1+json"
	script := func(name string) map[string]any { return map[string]any{"scripts": map[string]string{name: "node x"}} }
	for _, row := range []struct {
		what string
		pack pack
		key  string
		want any
	}{
		{"a preinstall script is an install script", fields(script("preinstall")), "hasInstallScript", true},
		{"an install script is an install script", fields(script("install")), "hasInstallScript", true},
		{"a postinstall script is an install script", fields(script("postinstall")), "hasInstallScript", true},
		{"a test script is not", fields(script("test")), "hasInstallScript", nil},
		{"a manifest cannot deny its install script", fields(map[string]any{"scripts": map[string]string{"install": "x"}, "hasInstallScript": false}), "hasInstallScript", true},
		{"bundleDependencies stay an array", fields(map[string]any{"bundleDependencies": []string{"a"}, "dependencies": map[string]string{"a": "1"}}), "bundleDependencies", []any{"a"}},
		{"bundleDependencies false is not stored as an object", fields(map[string]any{"bundleDependencies": false}), "bundleDependencies", false},
		{"a range of 300 characters is kept", fields(map[string]any{"dependencies": map[string]string{"a": strings.Repeat("1", 300)}}), "dependencies", map[string]any{"a": strings.Repeat("1", 300)}},
		{"a bin that is a text stays one", fields(map[string]any{"bin": "cli.js"}), "bin", "cli.js"},
	} {
		w.sub(row.what, func(w *world) {
			w.publish(p, w.root(), row.pack)
			for _, form := range []string{"application/json", short} {
				if diff := cmp.Diff(row.want, at(version(row.pack, form), row.key)); diff != "" {
					w.Errorf("%s in %s (-want +got):\n%s", row.key, form, diff)
				}
			}
		})
	}
	w.sub("600 dependencies are kept", func(w *world) {
		many := map[string]string{}
		for i := range 600 {
			many[fmt.Sprintf("dependency-%03d", i)] = "^1.0.0"
		}
		k := fields(map[string]any{"dependencies": many})
		w.publish(p, w.root(), k)
		if got := len(keys(at(version(k, short), "dependencies"))); got != 600 {
			w.Errorf("%d dependencies", got)
		}
	})
	w.sub("a manifest of a million characters is kept", func(w *world) {
		long := strings.Repeat("0123456789", 100_000)
		k := fields(map[string]any{"description": long, "exports": map[string]string{"./x": long}})
		k.inside = map[string]any{"name": k.name, "version": k.version}
		w.publish(p, w.root(), k)
		if got := at(version(k, "application/json"), "exports", "./x"); got != long {
			w.Error("the manifest is not whole")
		}
	})
	w.sub("of several package.json the last one at the root counts", func(w *world) {
		k := newPack()
		other, _ := json.Marshal(map[string]string{"name": "other", "version": "9.9.9"})
		mine, _ := json.Marshal(k.manifest())
		tarball := zip(archive(entry{"package/package.json", string(other)}, entry{"package/sub/package.json", string(other)}, entry{"package/package.json", string(mine)}))
		w.publishing(p, w.root(), k.documentOf(tarball), k.name).want(w, 200)
	})
	w.sub("the root folder may have any name", func(w *world) {
		k := newPack()
		mine, _ := json.Marshal(k.manifest())
		w.publishing(p, w.root(), k.documentOf(zip(archive(entry{"somewhere/package.json", string(mine)}, entry{"somewhere/u", k.files["unique.txt"]}))), k.name).want(w, 200)
	})
	w.sub("what follows the end of the tar is tolerated", func(w *world) {
		k := newPack()
		whole := archive(k.entries()...)
		w.publishing(p, w.root(), k.documentOf(zip(append(whole, strings.Repeat("rubbish", 999)...))), k.name).want(w, 200)
		k = newPack()
		whole = archive(k.entries()...)
		w.publishing(p, w.root(), k.documentOf(zip(whole[:len(whole)-1024])), k.name).want(w, 200)
	})
	w.sub("fileCount and unpackedSize are the tarball's", func(w *world) {
		k := newPack()
		k.files = map[string]string{"a": strings.Repeat("a", 1000), "b/c": strings.Repeat("c", 24), "empty": ""}
		w.publish(p, w.root(), k)
		dist := at(version(k, short), "dist")
		if at(dist, "fileCount") != 4.0 || at(dist, "unpackedSize") != unpacked(k) {
			w.Errorf("dist %v, want 4 files of %v bytes", dist, unpacked(k))
		}
	})
	w.sub("a client that sends little is completed from the tarball", func(w *world) { // bun
		k := newPack()
		k.inside = k.manifest()
		maps.Copy(k.inside, map[string]any{"dependencies": map[string]string{"a": "^1"}, "optionalDependencies": map[string]string{"o": "2"}, "peerDependencies": map[string]string{"p": "3"},
			"os": []string{"linux"}, "bin": map[string]string{"x": "x.js"}, "scripts": map[string]string{"postinstall": "node x"}, "description": "from inside"})
		document := k.document()
		attachment := at(document, "_attachments", k.name+"-1.0.0.tgz")
		document["_attachments"] = map[string]any{strings.ReplaceAll(k.name, "/", "-") + "-1.0.0.tgz": attachment}
		w.send(call{method: "PUT", path: p.prefix() + "/" + k.name, as: bearer(w.server.RootToken), body: document, header: map[string]string{"npm-command": "publish"}}).must(w, 200)
		for key, want := range map[string]any{
			"dependencies": map[string]any{"a": "^1"}, "optionalDependencies": map[string]any{"o": "2"}, "peerDependencies": map[string]any{"p": "3"},
			"os": []any{"linux"}, "bin": map[string]any{"x": "x.js"}, "hasInstallScript": true,
		} {
			if diff := cmp.Diff(want, at(version(k, short), key)); diff != "" {
				w.Errorf("%s (-want +got):\n%s", key, diff)
			}
		}
	})
	w.sub("what npm builds with node-gyp has an install script, said or not", func(w *world) {
		k := newPack()
		k.files["binding.gyp"] = "{}"
		w.publish(p, w.root(), k)
		if got := at(version(k, short), "hasInstallScript"); got != true {
			w.Errorf("hasInstallScript %v", got)
		}
	})
	w.sub("time lists created, modified and each version, in order", func(w *world) {
		k := newPack()
		var want, order []string
		for i := range 20 {
			k = k.at(fmt.Sprintf("1.0.%d", i))
			w.publish(p, w.root(), k)
			document := w.packument(p.prefix(), k.name, anonymous)
			times := at(document, "time")
			text := func(key string) string { s, _ := at(times, key).(string); return s }
			want = append(want, k.version)
			if diff := cmp.Diff(slices.Sorted(slices.Values(append([]string{"created", "modified"}, want...))), keys(times)); diff != "" {
				w.Errorf("(-want +got):\n%s", diff)
			}
			order = append(order, text(k.version))
			if all := append(append([]string{text("created")}, order...), text("modified")); !slices.IsSorted(all) {
				w.Errorf("out of order: %v", all)
			}
		}
	})
	w.sub("build metadata is part of the version", func(w *world) {
		k := newPack().at("1.0.0-rc.1+build.5")
		sent := w.publish(p, w.root(), k)
		if got := w.download(p.prefix(), k.name, k.version, anonymous); !bytes.Equal(got, sent) {
			w.Error("another tarball")
		}
	})
}

// Every spelling of a name that clients send is the same package, in every
// route.
func TestSpellings(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	inner := w.group(harness.Public, home)
	p := w.project(inner, harness.Public)
	k := named("@" + home.Path + "/Spelled.out_name")
	k.tags = map[string]string{"latest": "1.0.0", "next": "1.0.0"}
	sent := w.publish(p, w.root(), k)
	file := k.name + "-1.0.0.tgz"
	short := strings.TrimPrefix(file, "@"+home.Path+"/")
	path := func(slash string) string { return strings.ReplaceAll(p.path(), "/", slash) }
	ids := map[string]string{
		"by number":                     fmt.Sprintf("/api/v4/projects/%d/packages/npm", p.ID),
		"by path":                       "/api/v4/projects/" + path("%2F") + "/packages/npm",
		"by path in lower-case escapes": "/api/v4/projects/" + path("%2f") + "/packages/npm",
		"of the group":                  inner.prefix(),
		"of the group by path":          "/api/v4/groups/" + strings.ReplaceAll(inner.FullPath, "/", "%2F") + "/-/packages/npm",
		"of the group above":            home.prefix(),
		"of the instance":               instance,
	}
	var document any
	for id, prefix := range ids {
		for _, slash := range []string{"/", "%2f", "%2F"} {
			name := strings.ReplaceAll(k.name, "/", slash)
			for _, sign := range []string{"@", "%40"} {
				name := strings.Replace(name, "@", sign, 1)
				w.sub(fmt.Sprintf("%s at the prefix %s", strings.Replace(name, home.Path, "scope", 1), id), func(w *world) {
					got := w.send(call{path: prefix + "/" + name}).must(w, 200).object(w)
					w.send(call{method: "HEAD", path: prefix + "/" + name}).want(w, 200)
					tarball, _ := at(got, "versions", "1.0.0", "dist", "tarball").(string)
					if tarball != w.server.URL+prefix+"/"+k.name+"/-/"+file {
						w.Errorf("tarball at %s", tarball)
					}
					at(got, "versions", "1.0.0", "dist").(map[string]any)["tarball"] = ""
					if document == nil {
						document = any(got)
					}
					if diff := cmp.Diff(document, any(got)); diff != "" {
						w.Errorf("another document:\n%s", diff)
					}
					for _, f := range []string{file, strings.ReplaceAll(file, "/", slash), short} {
						if a := w.send(call{path: prefix + "/" + name + "/-/" + f}).want(w, 200); !bytes.Equal(a.body, sent) {
							w.Errorf("%s: other bytes", a.call)
						}
						w.send(call{method: "HEAD", path: prefix + "/" + name + "/-/" + f}).want(w, 200)
					}
					w.send(call{path: prefix + "/-/package/" + name + "/dist-tags"}).want(w, 200).is(w, `{"latest":"1.0.0","next":"1.0.0"}`)
					w.send(call{path: prefix + "/" + name + "/1.0.0"}).want(w, 200)
					w.send(call{path: prefix + "/" + name + "/next"}).want(w, 200)
				})
			}
		}
	}
	for _, slash := range []string{"/", "%2f", "%2F"} {
		w.sub("publish, tag and unpublish with "+slash, func(w *world) {
			k := named("@" + home.Path + "/published" + harness.Random()[:8])
			name := strings.ReplaceAll(k.name, "/", slash)
			for _, prefix := range []string{ids["by number"], ids["by path"]} {
				w.send(call{method: "PUT", path: prefix + "/" + name, as: w.root(), body: k.document()}).want(w, 200)
				w.send(call{method: "PUT", path: prefix + "/-/package/" + name + "/dist-tags/stable", as: w.root(), body: `"1.0.0"`}).want(w, 204)
				w.send(call{method: "DELETE", path: prefix + "/-/package/" + name + "/dist-tags/stable", as: w.root()}).want(w, 204)
				rev, _ := w.packument(prefix, k.name, w.root())["_rev"].(string)
				w.send(call{method: "DELETE", path: prefix + "/" + name + "/-rev/" + rev, as: w.root()}).want(w, 200)
			}
		})
	}
	w.sub("a project's path may have dots and capitals", func(w *world) {
		dotted := w.project(home, harness.Public, map[string]any{"path": "My.Project-1.0"})
		k := newPack()
		w.publish(dotted, w.root(), k)
		w.send(call{path: "/api/v4/projects/" + home.Path + "%2FMy.Project-1.0/packages/npm/" + k.name}).want(w, 200)
		w.send(call{path: "/api/v4/projects/" + home.Path + "%2Fmy.project-1.0/packages/npm/" + k.name}).want(w, 200)
	})
}

// The prefix in dist.tarball is the one that was asked, as the client knows
// the server.
func TestTarballAddress(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	k := newPack()
	w.publish(p, w.root(), k)
	tarball := func(w *world, header map[string]string) any {
		return at(w.send(call{path: p.prefix() + "/" + k.name, header: header}).must(w, 200).object(w), "versions", "1.0.0", "dist", "tarball")
	}
	rest := p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz"
	for _, row := range []struct {
		what   string
		header map[string]string
		want   string
	}{
		{"the request's host", map[string]string{"Host": "packages.example.com"}, "http://packages.example.com" + rest},
		{"with its port", map[string]string{"Host": "packages.example.com:8443"}, "http://packages.example.com:8443" + rest},
		{"behind a proxy that ends TLS", map[string]string{"Host": "packages.example.com", "X-Forwarded-Proto": "https"}, "https://packages.example.com" + rest},
	} {
		w.sub(row.what, func(w *world) {
			if got := tarball(w, row.header); got != row.want {
				w.Errorf("%v, want %s", got, row.want)
			}
		})
	}
	w.sub("two hosts do not share a document", func(w *world) {
		a := w.send(call{path: p.prefix() + "/" + k.name, header: map[string]string{"Host": "a.example.com"}})
		b := w.send(call{path: p.prefix() + "/" + k.name, header: map[string]string{"Host": "b.example.com", "If-None-Match": a.header.Get("ETag")}})
		b.want(w, 200)
	})
	w.sub("a prefix with a doubled slash or with a query", func(w *world) {
		a := w.send(call{path: p.prefix() + "//" + k.name + "?write=true"}).must(w, 200)
		if got := at(a.object(w), "versions", "1.0.0", "dist", "tarball"); got != w.server.URL+rest {
			w.Errorf("%v", got)
		}
	})
}
