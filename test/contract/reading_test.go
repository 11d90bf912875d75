package contract

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packhouse/test/harness"
)

const abbreviatedType = "application/vnd.npm.install-v1+json"

// Which form a client gets is what its Accept asks for (RFC 9110, 12.5.1).
func TestAccept(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	k := newPack()
	w.publish(p, w.root(), k)
	for accept, abbreviated := range map[string]bool{
		"application/json": false,
		"*/*":              false,
		"application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*": true, // npm, yarn, pnpm, bun
		"application/vnd.npm.install-v1+json,application/json;q=0.9,*/*;q=0.8":     true,
		"application/vnd.npm.install-v1+json":                                      true,
		"APPLICATION/VND.NPM.INSTALL-V1+JSON":                                      true,
		"application/json; q=1.0, application/vnd.npm.install-v1+json; q=0.5":      false,
		"application/json, application/vnd.npm.install-v1+json;q=0":                false,
	} {
		w.sub("Accept: "+accept, func(w *world) {
			a := w.send(call{path: p.prefix() + "/" + k.name, header: map[string]string{"Accept": accept}}).must(w, 200)
			_, full := a.object(w)["_id"]
			if full == abbreviated {
				w.Errorf("full form: %v", full)
			}
			want := map[bool]string{true: abbreviatedType, false: "application/json"}[abbreviated]
			if got := a.header.Get("Content-Type"); got != want {
				w.Errorf("Content-Type %q, want %q", got, want)
			}
		})
	}
}

// A packument is checked cheaply, compressed, and never shown to who may not
// see it.
func TestConditionalReads(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	k := newPack()
	k.fields = map[string]any{"description": strings.Repeat("compresses well ", 500)}
	w.publish(p, w.root(), k)
	path := p.prefix() + "/" + k.name
	get := func(w *world, header map[string]string) *answer { return w.send(call{path: path, header: header}) }
	plain := get(w, nil).must(t, 200)
	zipped := get(w, map[string]string{"Accept-Encoding": "gzip"}).must(t, 200)
	short := get(w, map[string]string{"Accept": abbreviatedType}).must(t, 200)

	w.sub("the ETag is strong and each form has its own", func(w *world) {
		tags := map[string]bool{}
		for _, a := range []*answer{plain, zipped, short} {
			tag := a.header.Get("ETag")
			if !strings.HasPrefix(tag, `"`) || !strings.HasSuffix(tag, `"`) || len(tag) < 10 {
				w.Errorf("ETag %s", tag)
			}
			tags[tag] = true
		}
		if len(tags) != 3 {
			w.Errorf("%d ETags for three forms", len(tags))
		}
	})
	w.sub("Vary names what the answer depends on", func(w *world) {
		for _, a := range []*answer{plain, zipped, short} {
			vary := strings.ToLower(strings.Join(a.header.Values("Vary"), ", "))
			for _, name := range []string{"accept", "accept-encoding", "authorization"} {
				if !strings.Contains(", "+vary+",", ", "+name+",") {
					w.Errorf("Vary %q lacks %s", vary, name)
				}
			}
		}
	})
	w.sub("no cache in between may give it to others, or without asking", func(w *world) {
		control := plain.header.Get("Cache-Control")
		if !strings.Contains(control, "private") || !strings.Contains(control, "no-cache") && !strings.Contains(control, "max-age=0") {
			w.Errorf("Cache-Control %q", control)
		}
		if plain.header.Get("Last-Modified") == "" {
			w.Error("no Last-Modified")
		}
	})
	w.sub("HEAD has the headers of GET", func(w *world) {
		for _, header := range []map[string]string{nil, {"Accept-Encoding": "gzip"}} {
			got, head := get(w, header), w.send(call{method: "HEAD", path: path, header: header}).want(w, 200)
			for _, key := range []string{"ETag", "Content-Type", "Content-Length", "Content-Encoding", "Vary", "Last-Modified", "Cache-Control"} {
				if got.header.Get(key) != head.header.Get(key) {
					w.Errorf("%s: %q for GET, %q for HEAD", key, got.header.Get(key), head.header.Get(key))
				}
			}
		}
	})
	w.sub("gzip is the same document", func(w *world) {
		if zipped.header.Get("Content-Encoding") != "gzip" || plain.header.Get("Content-Encoding") != "" {
			w.Fatalf("Content-Encoding %q and %q", zipped.header.Get("Content-Encoding"), plain.header.Get("Content-Encoding"))
		}
		if !bytes.Equal(unzip(w, zipped.body), plain.body) {
			w.Error("another document")
		}
		if len(zipped.body) > len(plain.body)/4 {
			w.Errorf("%d bytes of %d", len(zipped.body), len(plain.body))
		}
	})
	for accepted, want := range map[string]string{
		"gzip": "gzip", "gzip, deflate, br": "gzip", "br;q=1, gzip;q=0.5": "gzip", "gzip;q=0": "", "identity": "", "": "", "deflate": "", "*": "gzip", "identity;q=1, *;q=0": "", "GZIP": "gzip",
	} {
		w.sub("Accept-Encoding: "+accepted, func(w *world) {
			if got := get(w, map[string]string{"Accept-Encoding": accepted}).must(w, 200).header.Get("Content-Encoding"); got != want {
				w.Errorf("Content-Encoding %q, want %q", got, want)
			}
		})
	}
	tag := plain.header.Get("ETag")
	for match, want := range map[string]int{
		tag: 304, "W/" + tag: 304, `"other", ` + tag: 304, "*": 304, `"other"`: 200, strings.Trim(tag, `"`) + "x": 200, "": 200,
	} {
		for _, method := range []string{"GET", "HEAD"} {
			w.sub(fmt.Sprintf("%s with If-None-Match %s", method, strings.ReplaceAll(match, tag, "the ETag")), func(w *world) {
				a := w.send(call{method: method, path: path, header: map[string]string{"If-None-Match": match}}).want(w, want)
				if a.header.Get("ETag") != tag || a.header.Get("Vary") == "" {
					w.Errorf("ETag %q, Vary %q", a.header.Get("ETag"), a.header.Get("Vary"))
				}
				if want == 304 && len(a.body) > 0 {
					w.Errorf("a body of %d bytes", len(a.body))
				}
			})
		}
	}
	w.sub("each form's ETag gives 304 for that form", func(w *world) {
		get(w, map[string]string{"Accept-Encoding": "gzip", "If-None-Match": zipped.header.Get("ETag")}).want(w, 304)
		get(w, map[string]string{"Accept": abbreviatedType, "If-None-Match": short.header.Get("ETag")}).want(w, 304)
		get(w, map[string]string{"Accept": abbreviatedType, "If-None-Match": tag}).want(w, 200)
	})
	w.sub("whatever changes the package changes the ETag, what does not does not", func(w *world) {
		k := newPack()
		w.publish(p, w.root(), k)
		path := p.prefix() + "/" + k.name
		tag := w.send(call{path: path}).must(w, 200).header.Get("ETag")
		deprecate := func(message string) {
			w.send(call{method: "PUT", path: path, as: w.root(), header: map[string]string{"npm-command": "deprecate"},
				body: map[string]any{"versions": map[string]any{"1.0.0": map[string]any{"deprecated": message}}}}).must(w, 200)
		}
		for _, step := range []struct {
			what    string
			do      func()
			changes bool
		}{
			{"nothing", func() {}, false},
			{"a refused publish", func() { w.publishing(p, w.root(), k.document(), k.name).want(w, 403) }, false},
			{"a publish", func() { w.publish(p, w.root(), k.at("1.1.0")) }, true},
			{"a tag", func() {
				w.send(call{method: "PUT", path: p.prefix() + "/-/package/" + k.name + "/dist-tags/next", as: w.root(), body: `"1.1.0"`}).want(w, 204)
			}, true},
			{"a tag's removal", func() {
				w.send(call{method: "DELETE", path: p.prefix() + "/-/package/" + k.name + "/dist-tags/next", as: w.root()}).want(w, 204)
			}, true},
			{"a deprecation", func() { deprecate("old") }, true},
			{"the same deprecation again", func() { deprecate("old") }, false},
			{"its end", func() { deprecate("") }, true},
			{"another package's publish", func() { w.publish(p, w.root(), newPack()) }, false},
		} {
			step.do()
			a := w.send(call{path: path, header: map[string]string{"If-None-Match": tag}})
			if changed := a.status == 200; changed != step.changes {
				w.Errorf("after %s: %d", step.what, a.status)
			}
			tag = a.header.Get("ETag")
		}
	})
	w.sub("an ETag opens nothing", func(w *world) {
		shut := w.project(w.group(harness.Private), harness.Private)
		k := newPack()
		w.publish(shut, w.root(), k)
		tag := w.send(call{path: shut.prefix() + "/" + k.name, as: w.root()}).must(w, 200).header.Get("ETag")
		w.send(call{path: shut.prefix() + "/" + k.name, header: map[string]string{"If-None-Match": tag}}).want(w, 401)
		w.send(call{path: shut.prefix() + "/" + k.name, as: w.user().as(), header: map[string]string{"If-None-Match": tag}}).want(w, 404)
		w.send(call{path: shut.prefix() + "/" + k.name, as: bearer(wrong()), header: map[string]string{"If-None-Match": tag}}).want(w, 401)
	})
}

// A tarball over HTTP.
func TestTarball(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	k := named("@" + home.Path + "/tarball")
	sent := w.publish(p, w.root(), k)
	path := p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz"
	whole := w.send(call{path: path}).must(t, 200)

	w.sub("the answer is the file that was sent", func(w *world) {
		if !bytes.Equal(whole.body, sent) {
			w.Error("other bytes")
		}
		if got := whole.header.Get("Content-Type"); got != "application/octet-stream" {
			w.Errorf("Content-Type %q", got)
		}
		if got := whole.header.Get("Content-Length"); got != fmt.Sprint(len(sent)) {
			w.Errorf("Content-Length %q", got)
		}
		kind, parameters, err := mime.ParseMediaType(whole.header.Get("Content-Disposition"))
		if err != nil || kind != "attachment" || parameters["filename"] != "tarball-1.0.0.tgz" {
			w.Errorf("Content-Disposition %q", whole.header.Get("Content-Disposition"))
		}
		if whole.header.Get("Content-Encoding") != "" {
			w.Error("compressed once more")
		}
	})
	w.sub("it stays what it is", func(w *world) {
		if tag := whole.header.Get("ETag"); !strings.HasPrefix(tag, `"`) || len(tag) < 10 {
			w.Errorf("ETag %s", tag)
		}
		if control := whole.header.Get("Cache-Control"); !strings.Contains(control, "immutable") || strings.Contains(control, "public") {
			w.Errorf("Cache-Control %q", control)
		}
	})
	w.sub("HEAD has its headers", func(w *world) {
		head := w.send(call{method: "HEAD", path: path}).want(w, 200)
		for _, key := range []string{"ETag", "Content-Type", "Content-Length", "Content-Disposition", "Accept-Ranges"} {
			if head.header.Get(key) != whole.header.Get(key) {
				w.Errorf("%s: %q, for GET %q", key, head.header.Get(key), whole.header.Get(key))
			}
		}
	})
	for _, row := range []struct {
		header map[string]string
		status int
		body   []byte
		span   string
	}{
		{map[string]string{"Range": "bytes=0-9"}, 206, sent[:10], fmt.Sprintf("bytes 0-9/%d", len(sent))},
		{map[string]string{"Range": "bytes=10-"}, 206, sent[10:], fmt.Sprintf("bytes 10-%d/%d", len(sent)-1, len(sent))},
		{map[string]string{"Range": "bytes=-5"}, 206, sent[len(sent)-5:], fmt.Sprintf("bytes %d-%d/%d", len(sent)-5, len(sent)-1, len(sent))},
		{map[string]string{"Range": "bytes=999999999-"}, 416, nil, fmt.Sprintf("bytes */%d", len(sent))},
		{map[string]string{"Range": "bytes=0-9", "If-Range": whole.header.Get("ETag")}, 206, sent[:10], fmt.Sprintf("bytes 0-9/%d", len(sent))},
		{map[string]string{"Range": "bytes=0-9", "If-Range": `"other"`}, 200, sent, ""},
		{map[string]string{"If-None-Match": whole.header.Get("ETag")}, 304, []byte{}, ""},
		{map[string]string{"If-None-Match": `"other"`}, 200, sent, ""},
		{map[string]string{"Accept-Encoding": "gzip"}, 200, sent, ""},
	} {
		w.sub(fmt.Sprint("with ", strings.ReplaceAll(fmt.Sprint(row.header), whole.header.Get("ETag"), "the ETag")), func(w *world) {
			request, err := w.request(call{path: path, header: row.header})
			if err != nil {
				w.Fatal(err)
			}
			response, err := w.client.Do(request)
			if err != nil {
				w.Fatal(err)
			}
			defer response.Body.Close()
			var body bytes.Buffer
			if _, err := body.ReadFrom(response.Body); err != nil {
				w.Fatal(err)
			}
			if response.StatusCode != row.status || row.body != nil && !bytes.Equal(body.Bytes(), row.body) || response.Header.Get("Content-Range") != row.span {
				w.Errorf("%d, %d bytes, Content-Range %q; want %d, %d bytes, %q", response.StatusCode, body.Len(), response.Header.Get("Content-Range"), row.status, len(row.body), row.span)
			}
		})
	}
	for what, file := range map[string]string{
		"an unknown version":              k.name + "-2.0.0.tgz",
		"another package's file":          "other-1.0.0.tgz",
		"another scope's file":            "@other/tarball-1.0.0.tgz",
		"no version":                      "tarball.tgz",
		"another kind of file":            k.name + "-1.0.0.zip",
		"a version that is not one":       k.name + "-1.0.tgz",
		"a path that leads out":           "..%2f..%2f..%2fetc%2fpasswd",
		"a path that leads out, and back": "..%2ftarball-1.0.0.tgz",
		"a NUL":                           "tarball-1.0.0.tgz%00",
		"a backslash":                     `..%5ctarball-1.0.0.tgz`,
		"a file below the file":           "tarball-1.0.0.tgz/x",
	} {
		w.sub("there is no "+what, func(w *world) {
			for _, method := range []string{"GET", "HEAD"} {
				if a := w.send(call{method: method, path: p.prefix() + "/" + k.name + "/-/" + file}); a.status != 404 && a.status != 400 {
					w.Errorf("%s: %d, want 404 or 400", a.call, a.status)
				}
			}
		})
	}
	w.sub("an unknown file says so in npm's form", func(w *world) {
		w.send(call{path: p.prefix() + "/" + k.name + "/-/" + k.name + "-2.0.0.tgz"}).want(w, 404).is(w, `{"message":"404 Package Not Found","error":"Package not found"}`)
	})
}

// What is not there, in GitLab's words.
func TestNotFound(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	shut := w.project(w.group(harness.Private), harness.Private)
	stranger := w.user()
	const packages = `{"message":"404 Packages Not Found","error":"Packages not found"}`
	const project = `{"message":"404 Project Not Found","error":"Project not found"}`
	const group = `{"message":"404 Group Not Found","error":"Group not found"}`
	for _, row := range []struct {
		what   string
		path   string
		as     credential
		status int
		body   string
	}{
		{"an unknown name in a project", p.prefix() + "/nothing", anonymous, 404, packages},
		{"an unknown scoped name in a project", p.prefix() + "/@a%2fnothing", anonymous, 404, packages},
		{"an unknown name in a group", home.prefix() + "/nothing", anonymous, 404, packages},
		{"an unscoped name at the instance", instance + "/nothing", anonymous, 404, project},
		{"an unknown scope at the instance", instance + "/@nobody" + harness.Random() + "%2fx", anonymous, 404, project},
		{"an unknown project", "/api/v4/projects/999999999/packages/npm/x", stranger.as(), 404, project},
		{"an unknown project by path", "/api/v4/projects/no%2Fsuch/packages/npm/x", stranger.as(), 404, project},
		{"an unknown group", "/api/v4/groups/999999999/-/packages/npm/x", stranger.as(), 404, group},
		{"a hidden project is as good as none", shut.prefix() + "/x", stranger.as(), 404, project},
		{"an unknown name in a private project, to nobody", shut.prefix() + "/nothing", anonymous, 401, ""},
		{"the tags of an unknown name", p.prefix() + "/-/package/nothing/dist-tags", anonymous, 404, `{"message":"404 Package Not Found","error":"Package not found"}`},
	} {
		w.sub(row.what, func(w *world) {
			a := w.send(call{path: row.path, as: row.as}).want(w, row.status)
			if row.body != "" {
				a.is(w, row.body)
			}
		})
	}
	for _, path := range []string{"/-/", "/-", "/-/nothing", "/-/package", "/-/package/x", "/-/package/x/nothing", "/-/npm/v1/nothing"} {
		w.sub("no route "+path, func(w *world) {
			if a := w.send(call{path: p.prefix() + path}).want(w, 404); a.says("error") != "404 Not Found" {
				w.Errorf("%s: %s", a.call, a.body)
			}
		})
	}
	for what, name := range map[string]string{
		"a line break":               "%0d%0ahttp:/%2fexample.com",
		"a path that leads out":      "..%2f..%2fx",
		"a path that leads in":       "@scope%2f..%2fx",
		"a path within":              "@scope%2fsub%2fgroup%2fmore",
		"a NUL":                      "a%00b",
		"a leading dot":              ".hidden",
		"a leading underscore":       "_private",
		"a space":                    "a%20b",
		"a character that URLs need": "a%23b",
		"two scopes":                 "@a@b%2fc",
		"an empty name":              "@scope%2f",
		"an empty scope":             "@%2fname",
		"only a scope":               "@scope",
		"a letter of another script": "p%CE%B1ck",
		"215 characters":             strings.Repeat("x", 215),
		"the name of a folder":       "node_modules",
	} {
		w.sub("the metadata of a name with "+what, func(w *world) {
			for _, prefix := range []string{p.prefix(), home.prefix()} {
				if a := w.send(call{path: prefix + "/" + name}); a.status != 400 && a.status != 404 {
					w.Errorf("%s: %d", a.call, a.status)
				}
			}
		})
	}
	w.sub("a line break in a name is 400 and in no header", func(w *world) {
		a := w.send(call{path: p.prefix() + "/%0d%0ahttp:/%2fexample.com"}).want(w, 400)
		for key := range a.header {
			if strings.HasPrefix(strings.ToLower(key), "http") || key == "Location" {
				w.Errorf("header %s", key)
			}
		}
		if a.says("error") != "package_name should be a valid file path" {
			w.Errorf("body %s", a.body)
		}
	})
}

// A group shows the packages of all its projects that the caller may read.
func TestGroup(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	below := w.group(harness.Public, home)
	one, two := w.project(home, harness.Public), w.project(below, harness.Public)
	hidden := w.project(below, harness.Private)
	member := w.member(hidden, harness.Reporter)
	stranger := w.user()

	w.sub("versions of two projects are merged", func(w *world) {
		k := newPack()
		k.tags = map[string]string{"one": "1.0.0"}
		first := w.publish(one, w.root(), k)
		other := k.at("2.0.0")
		other.tags = map[string]string{"two": "2.0.0"}
		second := w.publish(two, w.root(), other)
		document := w.packument(home.prefix(), k.name, anonymous)
		if diff := cmp.Diff([]string{"1.0.0", "2.0.0"}, keys(document["versions"])); diff != "" {
			w.Error(diff)
		}
		if diff := cmp.Diff(map[string]any{"latest": "2.0.0", "one": "1.0.0", "two": "2.0.0"}, document["dist-tags"]); diff != "" {
			w.Error(diff)
		}
		if diff := cmp.Diff([]string{"1.0.0", "2.0.0", "created", "modified"}, keys(document["time"])); diff != "" {
			w.Error(diff)
		}
		w.send(call{path: home.prefix() + "/-/package/" + k.name + "/dist-tags"}).want(w, 200).is(w, `{"latest":"2.0.0","one":"1.0.0","two":"2.0.0"}`)
		if got := w.download(home.prefix(), k.name, "1.0.0", anonymous); !bytes.Equal(got, first) {
			w.Error("1.0.0 is another tarball")
		}
		if got := w.download(home.prefix(), k.name, "2.0.0", anonymous); !bytes.Equal(got, second) {
			w.Error("2.0.0 is another tarball")
		}
		if got := w.versions(below.prefix(), k.name, anonymous); !cmp.Equal(got, []string{"2.0.0"}) {
			w.Errorf("below: %v", got)
		}
		if got := w.versions(one.prefix(), k.name, anonymous); !cmp.Equal(got, []string{"1.0.0"}) {
			w.Errorf("in the project: %v", got)
		}
	})
	w.sub("of the same version in two projects one is shown, with its own tarball", func(w *world) {
		k := newPack()
		k.fields = map[string]any{"description": "from one"}
		w.publish(one, w.root(), k)
		k = k.unique()
		k.fields = map[string]any{"description": "from two"}
		last := w.publish(two, w.root(), k)
		document := w.packument(home.prefix(), k.name, anonymous)
		if at(document, "versions", "1.0.0", "description") != "from two" || at(document, "versions", "1.0.0", "dist", "integrity") != integrity(last) {
			w.Errorf("%v, want that of the last publish", at(document, "versions", "1.0.0"))
		}
		if got := w.download(home.prefix(), k.name, "1.0.0", anonymous); !bytes.Equal(got, last) {
			w.Error("the tarball is not that of the integrity shown")
		}
		manifest := w.send(call{path: home.prefix() + "/" + k.name + "/1.0.0"}).must(w, 200).object(w)
		if diff := cmp.Diff(at(document, "versions", "1.0.0"), any(manifest)); diff != "" {
			w.Errorf("the version's manifest is another (-packument +manifest):\n%s", diff)
		}
	})
	w.sub("of the same tag in two projects the one set last counts", func(w *world) {
		k := newPack()
		k.tags = map[string]string{"latest": "1.0.0", "next": "1.0.0"}
		w.publish(one, w.root(), k)
		other := k.at("2.0.0")
		other.tags = map[string]string{"latest": "2.0.0", "next": "2.0.0"}
		w.publish(two, w.root(), other)
		tags := func() any { return w.packument(home.prefix(), k.name, anonymous)["dist-tags"] }
		if diff := cmp.Diff(any(map[string]any{"latest": "2.0.0", "next": "2.0.0"}), tags()); diff != "" {
			w.Error(diff)
		}
		for _, tag := range []string{"next", "latest"} {
			w.send(call{method: "PUT", path: one.prefix() + "/-/package/" + k.name + "/dist-tags/" + tag, as: w.root(), body: `"1.0.0"`}).want(w, 204)
		}
		if diff := cmp.Diff(any(map[string]any{"latest": "1.0.0", "next": "1.0.0"}), tags()); diff != "" {
			w.Error(diff)
		}
	})
	w.sub("a hidden project's versions are shown to its members only", func(w *world) {
		k := newPack()
		w.publish(one, w.root(), k)
		w.publish(hidden, w.root(), k.at("3.0.0"))
		for who, as := range map[string]credential{"nobody": anonymous, "a user who is no member": stranger.as()} {
			document := w.packument(home.prefix(), k.name, as)
			if got := keys(document["versions"]); !cmp.Equal(got, []string{"1.0.0"}) {
				w.Errorf("%s sees %v", who, got)
			}
			if diff := cmp.Diff(any(map[string]any{"latest": "1.0.0"}), document["dist-tags"]); diff != "" {
				w.Errorf("%s: %s", who, diff)
			}
			w.send(call{path: home.prefix() + "/" + k.name + "/-/" + k.name + "-3.0.0.tgz", as: as}).want(w, 404)
			w.send(call{path: home.prefix() + "/" + k.name + "/3.0.0", as: as}).want(w, 404)
		}
		theirs := w.send(call{path: home.prefix() + "/" + k.name, as: member.as()}).must(w, 200)
		if got := keys(theirs.object(w)["versions"]); !cmp.Equal(got, []string{"1.0.0", "3.0.0"}) {
			w.Errorf("a member sees %v", got)
		}
		w.send(call{path: home.prefix() + "/" + k.name, header: map[string]string{"If-None-Match": theirs.header.Get("ETag")}}).want(w, 200)
	})
	w.sub("a name that only a hidden project has is 401, 403 or shown", func(w *world) {
		k := named("@" + home.Path + "/hidden")
		w.publish(hidden, w.root(), k)
		for _, prefix := range []string{home.prefix(), below.prefix(), instance} {
			w.send(call{path: prefix + "/" + escaped(k.name)}).want(w, http.StatusUnauthorized)
			w.send(call{path: prefix + "/" + escaped(k.name), as: stranger.as()}).want(w, http.StatusForbidden)
			w.send(call{path: prefix + "/" + escaped(k.name), as: member.as()}).want(w, http.StatusOK)
		}
	})
	w.sub("a group that may not be known is 401 or 404", func(w *world) {
		shut := w.group(harness.Private)
		p := w.project(shut, harness.Private)
		k := newPack()
		w.publish(p, w.root(), k)
		guest := w.user()
		w.join(shut.path(), guest, harness.Guest)
		w.send(call{path: shut.prefix() + "/" + k.name}).want(w, http.StatusUnauthorized)
		w.send(call{path: shut.prefix() + "/" + k.name, as: stranger.as()}).want(w, http.StatusNotFound)
		w.send(call{path: shut.prefix() + "/" + k.name, as: guest.as()}).want(w, http.StatusOK)
		reporter := w.member(p, harness.Reporter)
		w.send(call{path: shut.prefix() + "/" + k.name, as: reporter.as()}).want(w, http.StatusOK)
	})
	w.sub("the instance looks only below the scope's namespace", func(w *world) {
		k := named("@" + home.Path + "/conventional")
		elsewhere := w.open()
		w.publish(elsewhere, w.root(), k)
		w.send(call{path: instance + "/" + escaped(k.name)}).want(w, 404)
		w.publish(two, w.root(), k)
		w.send(call{path: instance + "/" + escaped(k.name)}).want(w, 200)
	})
}
