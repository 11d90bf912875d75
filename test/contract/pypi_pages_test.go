package contract

import (
	stdzip "archive/zip"
	"bytes"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"packhouse/internal/database"
	"packhouse/internal/registry"
	"packhouse/test/harness"
)

// Which form a page has, by Accept (PEP 691).
func TestPyPINegotiation(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	d := w.uploaded(p, newName(), "1.0")
	const j, v1, html = "application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v1+html; charset=utf-8", "text/html; charset=utf-8"
	for accept, want := range map[string]string{
		"":          html,
		"*/*":       html,
		"text/html": html,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": html,
		"application/json": html,
		"image/png":        html,
		j:                  j,
		"application/vnd.pypi.simple.latest+json": j,
		"application/vnd.pypi.simple.v1+html":     v1,
		"application/vnd.pypi.simple.latest+html": v1,
		strings.ToUpper(j):                        j,
		j + ";q=0.1, text/html;q=0.2":             html,
		j + ";q=0.2, text/html;q=0.1":             j,
		j + ";q=0":                                html,
		j + ", text/html":                         html,
		j + "; q=0.9, */*; q=0.1":                 j,
		j + ";q=0.5, */*":                         html,
		"text/html;q=0, " + j + ";q=0.1":          j,
		"text/*;q=0.1, application/*;q=0.2":       v1,
		j + ", application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01":                              j, // pip
		"application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01": j, // uv
	} {
		for _, page := range []string{"/simple/", "/simple/" + d.name + "/", "/simple", "/simple/" + d.name} {
			a := w.send(call{path: p.pypi() + page, header: map[string]string{"Accept": accept}}).want(w, 200)
			if got := a.header.Get("Content-Type"); got != want {
				w.Errorf("%s, Accept %q: %q, want %q", a.call, accept, got, want)
			}
			if !strings.Contains(a.header.Get("Vary"), "Accept") {
				w.Errorf("%s: Vary is %q", a.call, a.header.Get("Vary"))
			}
		}
	}
}

// The two forms say the same, and escape what has to be.
func TestPyPIPage(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	d := newWheel("my.pkg-"+harness.Random()[:6], "1.0+a", "Requires-Python: >=3.6,\"><script>\n")
	d.file = strings.ReplaceAll(d.file, "my.pkg", "my_pkg")
	name := strings.ReplaceAll(d.name, ".", "-")
	w.push(p, d, map[string]string{"gpg_signature": "-----BEGIN PGP SIGNATURE-----\nx\n"}).must(w, 201)
	metadata := w.send(call{path: d.at(p.pypi()) + ".metadata"}).must(w, 200)
	sum := distribution{content: metadata.body}.sha256()
	url := w.server.URL + d.at(p.pypi())
	html := string(w.send(call{path: p.pypi() + "/simple/" + name + "/"}).must(w, 200).body)
	for _, part := range []string{
		"<!DOCTYPE html>", `<meta name="pypi:repository-version" content="1.`, "<title>Links for " + d.name + "</title>", "<h1>Links for " + d.name + "</h1>",
		`href="` + url + "#sha256=" + d.sha256() + `"`, `data-requires-python="&gt;=3.6,&#34;&gt;&lt;script&gt;"`,
		`data-core-metadata="sha256=` + sum + `"`, `data-dist-info-metadata="sha256=` + sum + `"`, `data-gpg-sig="true"`, ">" + d.file + "</a>",
	} {
		if !strings.Contains(html, part) {
			w.Errorf("the page lacks %s\n%s", part, html)
		}
	}
	if strings.Contains(html, "<script>") || strings.Contains(html, "data-yanked") {
		w.Errorf("page %s", html)
	}
	page, files := w.pageOf(p.pypi(), name, anonymous)
	one := files[d.file]
	if version, _ := at(page, "meta", "api-version").(string); !strings.HasPrefix(version, "1.") || page["name"] != name || !slices.Equal(page["versions"].([]any), []any{"1.0+a"}) {
		w.Errorf("page %v", page)
	}
	for key, want := range map[string]any{"url": url, "requires-python": `>=3.6,"><script>`, "gpg-sig": true, "yanked": false} {
		if one[key] != want {
			w.Errorf("%s is %v, want %v", key, one[key], want)
		}
	}
	if at(one, "hashes", "sha256") != d.sha256() || at(one, "core-metadata", "sha256") != sum || at(one, "dist-info-metadata", "sha256") != sum || fmt.Sprint(one["size"]) != fmt.Sprint(len(d.content)) {
		w.Errorf("file %v", one)
	}
	if when, _ := one["upload-time"].(string); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`).MatchString(when) {
		w.Errorf("upload-time %q", when)
	}
	if kind := metadata.header.Get("Content-Type"); strings.Contains(kind, "html") {
		w.Errorf("core metadata is %q", kind)
	}
	for _, spelling := range []string{d.name, name, strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "-_.")} {
		for _, tail := range []string{"", "/"} {
			if got := string(w.send(call{path: p.pypi() + "/simple/" + spelling + tail}).want(w, 200).body); got != html {
				w.Errorf("%s%s: another page", spelling, tail)
			}
		}
	}
	w.sub("index", func(w *world) {
		html := string(w.send(call{path: p.pypi() + "/simple/"}).must(w, 200).body)
		for _, part := range []string{"<title>Links for " + p.PathWithNamespace[strings.LastIndex(p.PathWithNamespace, "/")+1:] + "</title>", `href="` + w.server.URL + p.pypi() + "/simple/" + name + `/"`, ">" + d.name + "</a>"} {
			if !strings.Contains(html, part) {
				w.Errorf("the index lacks %s\n%s", part, html)
			}
		}
		got := w.send(call{path: p.pypi() + "/simple/", header: map[string]string{"Accept": "application/vnd.pypi.simple.v1+json"}}).must(w, 200).object(w)
		if fmt.Sprint(got["projects"]) != fmt.Sprint([]any{map[string]any{"name": name}}) {
			w.Errorf("index %v", got)
		}
	})
	w.sub("an empty index", func(w *world) {
		if a := w.send(call{path: w.open().pypi() + "/simple"}).want(w, 200); strings.Contains(string(a.body), "<a") {
			w.Errorf("%s", a.body)
		}
	})
}

// Conditions, HEAD and ranges.
func TestPyPIConditions(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	d := w.uploaded(p, newName(), "1.0")
	for _, path := range []string{p.pypi() + "/simple/", p.pypi() + "/simple/" + d.name + "/", p.pypi() + "/pypi/" + d.name + "/json", d.at(p.pypi()), d.at(p.pypi()) + ".metadata"} {
		full := w.send(call{path: path}).must(w, 200)
		tag := full.header.Get("Etag")
		if !strings.HasPrefix(tag, `"`) {
			w.Errorf("%s: ETag %q", path, tag)
		}
		if a := w.send(call{path: path, header: map[string]string{"If-None-Match": tag}}).want(w, 304); len(a.body) > 0 || a.header.Get("Etag") != tag {
			w.Errorf("%s: 304 with ETag %q and %d bytes", path, a.header.Get("Etag"), len(a.body))
		}
		w.send(call{path: path, header: map[string]string{"If-None-Match": `"other"`}}).want(w, 200)
		head := w.send(call{method: "HEAD", path: path}).want(w, 200)
		if head.header.Get("Content-Length") != strconv.Itoa(len(full.body)) || head.header.Get("Etag") != tag || head.header.Get("Content-Type") != full.header.Get("Content-Type") {
			w.Errorf("%s: HEAD %v", path, head.header)
		}
	}
	for spec, want := range map[string]string{"bytes=0-9": string(d.content[:10]), "bytes=-7": string(d.content[len(d.content)-7:])} {
		if a := w.send(call{path: d.at(p.pypi()), header: map[string]string{"Range": spec}}).want(w, 206); string(a.body) != want {
			w.Errorf("%s: %d bytes", spec, len(a.body))
		}
	}
	whole := w.send(call{path: d.at(p.pypi())})
	if whole.header.Get("Content-Type") != "application/octet-stream" || !strings.Contains(whole.header.Get("Content-Disposition"), d.file) {
		w.Errorf("headers %v", whole.header)
	}
	for _, path := range []string{
		p.pypi() + "/files/" + strings.Repeat("0", 64) + "/" + d.file, p.pypi() + "/files/" + d.sha256() + "/other-1.0.tar.gz", p.pypi() + "/files/" + d.sha256() + "/..%2f" + d.file,
		p.pypi() + "/simple/none-such", p.pypi() + "/pypi/none-such/json", p.pypi() + "/pypi/" + d.name + "/9.9/json", d.at(p.pypi()) + ".asc", d.at(p.pypi()) + ".sig",
	} {
		w.send(call{path: path}).want(w, 404)
	}
}

// What changes a name shows at once, everywhere, also after a restart.
func TestPyPIChanges(t *testing.T) {
	w := own(t, harness.Config{})
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	name := newName()
	prefixes := []string{p.pypi(), home.pypi()}
	tags := map[string]string{}
	shows := func(what string, want ...string) { // file names, at both prefixes
		w.Helper()
		slices.Sort(want)
		for _, prefix := range prefixes {
			a := w.send(call{path: prefix + "/simple/" + name, header: map[string]string{"If-None-Match": tags[prefix]}})
			tags[prefix] = a.header.Get("Etag")
			index := string(w.send(call{path: prefix + "/simple"}).must(w, 200).body)
			if len(want) == 0 {
				a.want(w, 404)
				if strings.Contains(index, name) {
					w.Errorf("%s: the index still has it", what)
				}
				continue
			}
			a.want(w, 200) // never 304: it has changed
			_, files := w.pageOf(prefix, name, anonymous)
			if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
				w.Errorf("%s, %s: files %v, want %v", what, prefix, got, want)
			}
			if !strings.Contains(index, name) {
				w.Errorf("%s: the index lacks it", what)
			}
		}
	}
	one, wheel, two := newSdist(name, "1.0"), newWheel(name, "1.0"), newSdist(name, "2.0rc1")
	shows("nothing")
	w.push(p, one, nil).must(w, 201)
	shows("an upload", one.file)
	w.push(p, wheel, nil).must(w, 201)
	shows("a second file", one.file, wheel.file)
	w.push(p, two, nil).must(w, 201)
	shows("a second version", one.file, wheel.file, two.file)

	id := w.versionID(p, one)
	w.ask(w.root(), "POST", fmt.Sprintf("%s/packages/%v/yank", of(p), id), map[string]any{"reason": `bad "<x>"`}).must(w, 200)
	shows("a yank", one.file, wheel.file, two.file)
	_, files := w.pageOf(home.pypi(), name, anonymous)
	if files[one.file]["yanked"] != `bad "<x>"` || files[wheel.file]["yanked"] != `bad "<x>"` || files[two.file]["yanked"] != false {
		w.Errorf("yanked: %v", files)
	}
	html := string(w.send(call{path: p.pypi() + "/simple/" + name}).body)
	if strings.Count(html, `data-yanked="bad &#34;&lt;x&gt;&#34;"`) != 2 {
		w.Errorf("page %s", html)
	}
	w.send(call{path: wheel.at(p.pypi())}).want(w, 200) // whoever has pinned it
	if got := w.send(call{path: p.pypi() + "/pypi/" + name + "/json"}).must(w, 200).object(w); at(got, "info", "version") != "2.0rc1" || len(at(got, "releases").(map[string]any)) != 2 {
		w.Errorf("legacy JSON %v", got["info"])
	}
	w.ask(w.root(), "POST", fmt.Sprintf("%s/packages/%v/unyank", of(p), id)).must(w, 200)
	shows("the end of a yank", one.file, wheel.file, two.file)
	if got := w.send(call{path: p.pypi() + "/pypi/" + name + "/json"}).must(w, 200).object(w); at(got, "info", "version") != "1.0" {
		w.Errorf("a pre-release is the latest: %v", got["info"])
	}

	var files1 []int64
	list := w.ask(w.root(), "GET", fmt.Sprintf("%s/packages/%v/package_files", of(p), id))
	for i, file := range listed[string](w, list, "file_name") {
		if file == wheel.file {
			files1 = append(files1, listed[int64](w, list, "id")[i])
		}
	}
	w.ask(w.root(), "DELETE", fmt.Sprintf("%s/packages/%v/package_files/%d", of(p), id, files1[0])).must(w, 204)
	shows("a deleted file", one.file, two.file)
	w.send(call{path: wheel.at(p.pypi())}).want(w, 404)
	w.send(call{path: wheel.at(p.pypi()) + ".metadata"}).want(w, 404)
	again := newWheel(name, "1.0")
	w.push(p, again, nil).must(w, 201) // the name of a file that is gone is free
	shows("the file anew", one.file, again.file, two.file)
	w.ask(w.root(), "DELETE", fmt.Sprintf("%s/packages/%v", of(p), id)).must(w, 204)
	shows("a deleted version", two.file)
	w.send(call{path: one.at(p.pypi())}).want(w, 404)
	w.ask(w.root(), "DELETE", fmt.Sprintf("%s/packages/%v", of(p), w.versionID(p, two))).must(w, 204)
	shows("all deleted")
	anew := newSdist(name, "1.0")
	w.push(p, anew, nil).must(w, 201)
	shows("published anew", anew.file)

	before := w.send(call{path: p.pypi() + "/simple/" + name}).must(w, 200)
	server, err := w.server.Restart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.server = server
	t.Cleanup(server.Kill)
	after := w.send(call{path: p.pypi() + "/simple/" + name}).must(w, 200)
	port := regexp.MustCompile(`127\.0\.0\.1:\d+`)
	if !bytes.Equal(port.ReplaceAll(before.body, nil), port.ReplaceAll(after.body, nil)) {
		w.Errorf("after a restart %s\nbefore %s", after.body, before.body)
	}
	if a := w.send(call{path: anew.at(p.pypi())}).must(w, 200); !bytes.Equal(a.body, anew.content) {
		w.Error("after a restart the file has other bytes")
	}
}

// Two projects of a group have one name.
func TestPyPIGroup(t *testing.T) {
	w := newWorld(t)
	top := w.group(harness.Public)
	home := w.group(harness.Public, top)
	p, q, hidden := w.project(home, harness.Public), w.project(home, harness.Public), w.project(top, harness.Private)
	name := newName()
	inP, inQ, inHidden := newSdist(name, "1.0"), newSdist(name, "2.0"), newSdist(name, "3.0")
	inQ.name = strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	w.push(p, inP, nil).must(w, 201)
	w.push(q, inQ, nil).must(w, 201)
	w.push(hidden, inHidden, nil).must(w, 201)
	clash := newSdist(name, "1.0") // the file name of another project
	w.push(q, clash, nil).must(w, 201)
	same := newWheel(name, "1.0") // the same bytes too
	w.push(p, same, nil).must(w, 201)
	w.push(q, same, nil).must(w, 201)
	for _, row := range []struct {
		who   string
		as    credential
		files []string
	}{
		{"nobody", anonymous, []string{inP.file, same.file, inQ.file}},
		{"an administrator", w.root(), []string{inP.file, same.file, inQ.file, inHidden.file}},
	} {
		w.sub(row.who, func(w *world) {
			_, files := w.pageOf(top.pypi(), strings.ToUpper(name), row.as)
			slices.Sort(row.files)
			if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, row.files) {
				w.Errorf("files %v, want %v", got, row.files)
			}
			if at(files[inP.file], "hashes", "sha256") != clash.sha256() {
				w.Errorf("of one file name the newest counts: %v", files[inP.file])
			}
			for file, one := range files {
				url := strings.TrimPrefix(one["url"].(string), w.server.URL)
				if !strings.HasPrefix(url, top.pypi()+"/files/") {
					w.Errorf("%s is at %s", file, url)
				}
				a := w.send(call{path: url, as: row.as}).want(w, 200)
				if (distribution{content: a.body}).sha256() != at(one, "hashes", "sha256") {
					w.Errorf("%s has other bytes", url)
				}
			}
			index := string(w.send(call{path: top.pypi() + "/simple", as: row.as}).must(w, 200).body)
			if strings.Count(index, "/simple/"+name+"/\"") != 1 {
				w.Errorf("the index has it not once: %s", index)
			}
		})
	}
	w.send(call{path: inP.at(top.pypi())}).want(w, 200) // by digest also the older one
	w.send(call{path: inQ.at(p.pypi())}).want(w, 404)   // of another project
	a := w.send(call{path: inHidden.at(top.pypi())}).want(w, 401)
	if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic") {
		w.Errorf("no challenge: %v", a.header)
	}
	w.send(call{path: inHidden.at(top.pypi()), as: w.user().as()}).want(w, 404) // who may not know of it
	w.send(call{path: inHidden.at(top.pypi()) + ".metadata", as: w.user().as()}).want(w, 404)
	w.send(call{path: inHidden.at(home.pypi()), as: w.root()}).want(w, 404) // not below that group
	guest := w.member(hidden, harness.Guest)
	w.send(call{path: inHidden.at(top.pypi()), as: guest.as()}).want(w, 200)
	upload := newSdist(newName(), "1.0").upload(top.pypi(), w.root(), nil)
	if a := w.send(upload); a.status != 404 && a.status != 405 {
		w.Errorf("upload to a group: %d", a.status)
	}
}

// The older JSON, of a name with pre-releases only too.
func TestPyPILegacy(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	name := newName()
	w.push(p, newSdist(name, "1.0a1"), nil).must(w, 201)
	d := newWheel(name, "1.0a2", "Summary: short\nLicense-Expression: MIT\nLicense-File: LICENSE\nProject-URL: Home, https://example.org/\nClassifier: A\nRequires-Dist: x>1\nDescription-Content-Type: text/markdown\nDynamic: Version\n", "\n# Long <b>\n")
	w.push(p, d, nil).must(w, 201)
	for _, path := range []string{"/json", "/1.0a2/json", "/1.0.ALPHA-2/json/"} {
		got := w.send(call{path: p.pypi() + "/pypi/" + strings.ToUpper(name) + path}).must(w, 200).object(w)
		for key, want := range map[string]any{"name": name, "version": "1.0a2", "summary": "short", "license_expression": "MIT", "yanked": false, "description_content_type": "text/markdown"} {
			if at(got, "info", key) != want {
				w.Errorf("%s: %s is %v, want %v", path, key, at(got, "info", key), want)
			}
		}
		if at(got, "info", "project_urls", "Home") != "https://example.org/" || !strings.Contains(fmt.Sprint(at(got, "info", "description")), "# Long <b>") {
			w.Errorf("%s: info %v", path, got["info"])
		}
		one := got["urls"].([]any)[0].(map[string]any)
		if len(got["urls"].([]any)) != 1 || one["filename"] != d.file || one["packagetype"] != "bdist_wheel" || at(one, "digests", "sha256") != d.sha256() || one["url"] != w.server.URL+d.at(p.pypi()) {
			w.Errorf("%s: urls %v", path, got["urls"])
		}
		if _, whole := got["releases"]; whole != (path == "/json") {
			w.Errorf("%s: releases %v", path, whole)
		}
	}
}

// A project that moved is found by its old path.
func TestPyPIMoved(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	d := w.uploaded(p, newName(), "1.0")
	old := "/api/v4/projects/" + segment(p.PathWithNamespace) + "/packages/pypi"
	w.send(call{path: old + "/simple/" + d.name + "/"}).must(w, 200)
	w.ask(w.root(), "PUT", of(p), map[string]any{"path": newPath()}).must(w, 200)
	for _, path := range []string{"/simple/" + d.name + "/", "/simple/", "/files/" + d.sha256() + "/" + d.file} {
		a := w.send(call{path: old + path}).want(w, 301)
		if to := a.header.Get("Location"); !strings.HasPrefix(to, w.server.URL+p.pypi()+strings.TrimSuffix(path, "/")) {
			w.Errorf("%s: to %s", a.call, to)
		}
	}
	w.send(call{path: old + "/simple/" + d.name, as: basic("x", wrong())}).want(w, 401)
	w.send(newSdist(newName(), "1.0").upload(old, w.root(), nil)).want(w, 405).is(w, `{"message":"Non GET methods are not allowed for moved projects"}`)
}

// Who may what at the places of three visibilities, with each kind of token and each way to carry it.
func TestPyPIRights(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	const ok, no, forbidden, hidden = 200, 401, 403, 404
	stranger := w.user()
	for _, visibility := range visibilities {
		p := w.project(home, visibility)
		d := w.uploaded(p, newName(), "1.0")
		developer, guest, reporter := w.member(p, harness.Developer), w.member(p, harness.Guest), w.member(p, harness.Reporter)
		reads, writes := w.deployToken(p, "read_package_registry"), w.deployToken(p, "write_package_registry")
		ofGroup, ofJob := w.token(home.path()+"/deploy_tokens", []string{"read_package_registry"}), w.jobToken(p, developer, 3600)
		of := func(public, internal, private int) int {
			return map[string]int{harness.Public: public, harness.Internal: internal, harness.Private: private}[visibility]
		}
		for _, row := range []struct {
			who           string
			as            credential
			read, publish int
		}{
			{"nobody", anonymous, of(ok, no, no), no},
			{"a wrong password", basic("x", wrong()), no, no},
			{"a wrong job token", basic("gitlab-ci-token", wrong()), no, no},
			{"a wrong PRIVATE-TOKEN", private(wrong()), no, no},
			{"a stranger", stranger.as(), of(ok, ok, hidden), of(forbidden, forbidden, hidden)},
			{"a guest", guest.as(), ok, forbidden},
			{"a reporter", reporter.as(), ok, forbidden},
			{"a developer", developer.as(), ok, 201},
			{"a developer by Basic, under any name", basic("whoever", developer.token), ok, 201},
			{"a developer by Bearer", bearer(developer.token), ok, 201},
			{"a developer who may only read", private(w.personal(developer, "read_api")), ok, forbidden},
			{"a developer's token for something else", private(w.personal(developer, "read_user")), forbidden, forbidden},
			{"a deploy token that reads", basic("x", reads), ok, forbidden},
			{"a deploy token that writes", basic("x", writes), ok, 201},
			{"a deploy token that writes, in its header", deploy(writes), ok, 201},
			{"a deploy token as Bearer", bearer(writes), ok, 201},
			{"the group's deploy token", basic("x", ofGroup), ok, forbidden},
			{"a job", basic("gitlab-ci-token", ofJob), ok, 201},
			{"a job, in its header", job(ofJob), ok, 201},
			{"a job as Bearer", bearer(ofJob), ok, 201},
		} {
			w.sub(row.who+", "+visibility, func(w *world) {
				byPath := "/api/v4/projects/" + segment(p.PathWithNamespace) + "/packages/pypi"
				for _, prefix := range []string{p.pypi(), byPath} {
					for _, path := range []string{"/simple", "/simple/" + d.name + "/", "/files/" + d.sha256() + "/" + d.file, "/files/" + d.sha256() + "/" + d.file + ".metadata"} {
						a := w.send(call{path: prefix + path, as: row.as}).want(w, row.read)
						if row.read == no && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic") {
							w.Errorf("%s: no challenge", a.call)
						}
					}
				}
				name := newName()
				a := w.send(newSdist(name, "1.0").upload(p.pypi(), row.as, nil)).want(w, row.publish)
				if row.publish == no && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic") {
					w.Errorf("%s: no challenge", a.call)
				}
				if got := w.send(call{path: p.pypi() + "/simple/" + name, as: w.root()}).status; (got == 200) != (row.publish == 201) {
					w.Errorf("after %d the name answers %d", a.status, got)
				}
			})
		}
	}
	for _, path := range []string{"/api/v4/projects/999999/packages/pypi/simple", "/api/v4/groups/999999/-/packages/pypi/simple", "/api/v4/projects/no%2Fsuch/packages/pypi/simple/x/"} {
		w.send(call{path: path, as: stranger.as()}).want(w, 404)
	}
	w.sub("the list shows a job's pipeline", func(w *world) {
		p := w.open()
		developer := w.member(p, harness.Developer)
		d := newSdist(newName(), "1.0")
		w.send(d.upload(p.pypi(), job(w.jobToken(p, developer, 3600)), nil)).must(w, 201)
		if got := w.ask(w.root(), "GET", fmt.Sprintf("%s/packages/%v", of(p), w.versionID(p, d))).object(w); at(got, "pipeline") == nil && len(fmt.Sprint(got["pipelines"])) < 5 {
			w.Errorf("no pipeline: %v", got)
		}
	})
}

// A large wheel passes in constant memory. It is made while it is sent.
func TestPyPIMemory(t *testing.T) {
	w := own(t, harness.Config{})
	p := w.open()
	w.uploaded(p, newName(), "1.0") // warm
	name := newName()
	resident := func(field string) int64 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.server.PID))
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(field + `:\s+(\d+) kB`).FindSubmatch(text)
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		return n << 10
	}
	before := resident("VmRSS")
	read, write := io.Pipe()
	form := multipart.NewWriter(write)
	go func() {
		form.WriteField("name", name)
		form.WriteField("version", "1.0")
		stem := strings.ReplaceAll(name, "-", "_") + "-1.0"
		content, _ := form.CreateFormFile("content", stem+"-py3-none-any.whl")
		write.CloseWithError(storedWheel(content, stem, coreMetadata(name, "1.0"), 300))
	}()
	// The form is closed by the goroutine's end; the trailer follows.
	a := w.send(call{method: "POST", path: p.pypi(), as: w.root(), header: map[string]string{"Content-Type": form.FormDataContentType()},
		body: io.MultiReader(read, strings.NewReader("\r\n--"+form.Boundary()+"--\r\n"))}).want(w, 201)
	_, files := w.pageOf(p.pypi(), name, anonymous)
	for _, one := range files {
		response, err := http.Get(one["url"].(string))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if one["size"] != float64(n) || n < 300<<20 || err != nil {
			w.Errorf("%d bytes (%v), the page says %v", n, err, one["size"])
		}
	}
	if grown := resident("VmHWM") - before; grown > 64<<20 {
		w.Errorf("%s: %d MiB more at the peak", a.call, grown>>20)
	}
}

// storedWheel writes a wheel with so many MiB of noise that nothing compresses.
func storedWheel(to io.Writer, stem, metadata string, size int) error {
	archive := stdzip.NewWriter(to)
	for _, m := range []member{{stem + ".dist-info/METADATA", metadata}, {stem + ".dist-info/WHEEL", "x"}, {"noise", ""}} {
		file, err := archive.CreateHeader(&stdzip.FileHeader{Name: m.path, Method: stdzip.Store})
		if err != nil {
			return err
		}
		if _, err := io.WriteString(file, m.content); err != nil {
			return err
		}
		for mebibyte := noise(1 << 20); m.path == "noise" && size > 0; size-- {
			if _, err := file.Write(mebibyte); err != nil {
				return err
			}
		}
	}
	return archive.Close()
}

// Many files, and many names.
func TestPyPIMany(t *testing.T) {
	config := onDatabase(harness.Config{})
	w := own(t, config)
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	const files, names, together = 5000, 10000, 8
	upload := func(n int, of func(int) distribution) {
		var begun = make(chan int)
		done := make(chan error)
		for range together {
			go func() {
				for i := range begun {
					if a, err := w.try(of(i).upload(p.pypi(), w.root(), nil)); err != nil || a.status != 201 {
						done <- fmt.Errorf("%d: %v %+v", i, err, a)
						return
					}
				}
				done <- nil
			}()
		}
		go func() {
			defer close(begun)
			for i := range n {
				select {
				case begun <- i:
				case <-t.Context().Done():
					return
				}
			}
		}()
		for range together {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	name := newName()
	under := strings.ReplaceAll(name, "-", "_")
	upload(files, func(i int) distribution {
		d := newWheel(name, "1.0")
		d.file = fmt.Sprintf("%s-1.0-%d-py3-none-any.whl", under, i)
		return d
	})
	// The names come straight into the database: each upload waits for the disk.
	where := filepath.Join(w.server.Data, "packhouse.db")
	if i := slices.Index(config.Args, "--database"); i >= 0 {
		where = config.Args[i+1]
	}
	store, err := database.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Write(t.Context(), func(tx registry.Tx) error {
		for i := range names {
			name := fmt.Sprintf("name-%05d", i)
			entry, err := tx.TouchEntry(p.ID, registry.PyPI, name)
			if err != nil {
				return err
			}
			pkg := &registry.Package{ProjectID: p.ID, EntryID: entry.ID, Type: registry.PyPI, Name: name, Version: "1.0", CreatedAt: entry.UpdatedAt}
			if err := tx.CreatePackage(pkg); err != nil {
				return err
			}
			if err := tx.SetLatest(entry.ID, pkg.ID, 1); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{p.pypi(), home.pypi()} {
		begin := time.Now()
		if _, got := w.pageOf(prefix, name, anonymous); len(got) != files {
			w.Errorf("%d files", len(got))
		}
		index := w.send(call{path: prefix + "/simple/", header: map[string]string{"Accept": "application/vnd.pypi.simple.v1+json"}}).must(w, 200).object(w)
		if got := len(index["projects"].([]any)); got != names+1 {
			w.Errorf("%d names", got)
		}
		if took := time.Since(begin); took > 20*time.Second {
			w.Errorf("the page and the index took %s", took)
		}
	}
}
