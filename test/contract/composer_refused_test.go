package contract

import (
	stdzip "archive/zip"
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"os"
	"strings"
	"testing"

	"packhouse/test/harness"
)

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
		{"a version that is not UTF-8", libZip(lib, ""), "?version=dev-%ff", 400, message + `Validation failed: Version is invalid`},
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

	// A project may be called as a part of Git's paths is.
	info := w.group(harness.Public)
	w.send(call{method: "PUT", path: "/api/v4" + info.path(), as: w.root(), body: map[string]any{"path": "info"}}).must(w, 200)
	refs := w.project(info, harness.Public)
	w.send(call{method: "PUT", path: "/api/v4" + of(refs), as: w.root(), body: map[string]any{"path": "refs"}}).must(w, 200)
	if a := w.send(call{path: "/info/refs"}).want(w, 200); !strings.Contains(string(a.body), "<html") {
		t.Errorf("%.300s", a.body)
	}
	w.send(call{path: "/info/refs.git/info/refs?service=git-upload-pack"}).want(w, 200)

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
