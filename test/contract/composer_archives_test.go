package contract

import (
	stdzip "archive/zip"
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"packhouse/test/harness"
)

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
