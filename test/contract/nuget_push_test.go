package contract

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// What is taken, under which version it is found, and that it comes back bit for bit.
func TestNuGetPush(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	for _, row := range []struct{ what, version, normalized string }{
		{"three numbers", "2.1.0", "2.1.0"},
		{"two numbers", "3.1", "3.1.0"},
		{"four numbers", "1.3.0.17", "1.3.0.17"},
		{"a fourth number that is 0", "1.4.0.0", "1.4.0"},
		{"leading zeros", "01.05.007", "1.5.7"},
		{"a prerelease in capitals", "1.0.0-Beta", "1.0.0-beta"},
		{"a prerelease with dots", "1.0.0-alpha.3", "1.0.0-alpha.3"},
		{"build metadata", "1.6.0+meta.5", "1.6.0"},
	} {
		w.sub(row.what, func(w *world) {
			id := newID()
			n := w.packed(p, id, row.version)
			if got := w.versionsOf(p.nuget(), id, anonymous); !slices.Equal(got, []string{row.normalized}) {
				w.Errorf("versions %v, want %s", got, row.normalized)
			}
			for _, path := range []string{
				n.at(p.nuget(), row.normalized),
				p.nuget() + "/download/" + id + "/" + strings.ReplaceAll(row.version, "+", "%2B") + "/" + id + "." + strings.ReplaceAll(row.version, "+", "%2B") + ".nupkg",
				strings.ToUpper(strings.TrimPrefix(n.at(p.nuget(), row.normalized), p.nuget()+"/download/")),
			} {
				if !strings.HasPrefix(path, "/api") {
					path = p.nuget() + "/download/" + path
				}
				a := w.send(call{path: path}).want(w, 200)
				if !bytes.Equal(a.body, n.content) {
					w.Errorf("%s: other bytes", a.call)
				}
				if got := a.header.Get("Content-Disposition"); got != fmt.Sprintf("attachment; filename=%s.%s.nupkg", strings.ToLower(id), row.normalized) {
					w.Errorf("%s: Content-Disposition %s", a.call, got)
				}
			}
			list := w.ask(anonymous, "GET", fmt.Sprintf("/projects/%d/packages?package_type=nuget&package_name=%s", p.ID, id)).list(w)
			if len(list) != 1 || list[0]["name"] != id || list[0]["version"] != row.version {
				w.Errorf("the API lists %v", list)
			}
		})
	}
	w.sub("to each URL that clients push to, chunked, and beside other fields", func(w *world) {
		for _, path := range []string{"", "/"} {
			n := newNupkg(newID(), "1.0.0", "")
			c := n.push(p.nuget()+path, w.root())
			c.body = struct{ *bytes.Reader }{bytes.NewReader(c.body.([]byte))} // of unknown length
			w.send(c).want(w, 201)
		}
		var b bytes.Buffer
		form := multipart.NewWriter(&b)
		form.WriteField("package_name", "ignored")
		part, _ := form.CreateFormFile("package", "x.bin")
		part.Write(newNupkg(newID(), "1.0.0", "").content)
		form.WriteField("after", "ignored")
		form.Close()
		w.send(call{method: "PUT", path: p.nuget(), as: w.root(), header: map[string]string{"Content-Type": form.FormDataContentType()}, body: b.Bytes()}).want(w, 201)
	})
}

// What is refused, in which words, and that nothing of it stays.
func TestNuGetRefused(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--max-file-size", "2097152"}})
	p := w.open()
	id := newID()
	spec := func(text string) []byte { return zipped(member{id + ".nuspec", text}) }
	metadata := func(id, version string, more ...string) []byte { return spec(nuspec(id, version, more...)) }
	good := newNupkg(id, "1.0.0", "")
	before := blobs(w, w.server)
	const bomb = `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "aaaaaaaaaa"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]>`
	for _, row := range []struct {
		what    string
		content []byte
		status  int
		says    string
	}{
		{"no zip", []byte("hello"), 400, `"nuspec file not found"`},
		{"nothing", nil, 400, `"nuspec file not found"`},
		{"half a zip", good.content[:len(good.content)/2], 400, `"nuspec file not found"`},
		{"no nuspec", zipped(member{"lib/a.dll", "x"}), 400, `"nuspec file not found"`},
		{"a nuspec in a folder only", zipped(member{"x/a.nuspec", nuspec(id, "1.0.0")}), 400, `"nuspec file not found"`},
		{"two nuspecs", zipped(member{"a.nuspec", nuspec(id, "1.0.0")}, member{"b.nuspec", nuspec(id, "1.0.0")}), 400, "two nuspec"},
		{"a nuspec of 5 MiB", metadata(id, "1.0.0", "<x>"+strings.Repeat("y", 5<<20)+"</x>"), 400, `"nuspec file too big"`},
		{"entities that multiply", spec(bomb + strings.Replace(strings.TrimPrefix(nuspec(id, "1.0.0"), `<?xml version="1.0" encoding="utf-8"?>`), "Ann", "&y;", 1)), 400, "message"},
		{"an external entity", spec(`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + strings.TrimPrefix(nuspec("&x;", "1.0.0"), `<?xml version="1.0" encoding="utf-8"?>`)), 400, "message"},
		{"no XML", spec("hello"), 400, "message"},
		{"XML that ends early", spec(nuspec(id, "1.0.0")[:200]), 400, "message"},
		{"no id", metadata("", "1.0.0"), 400, "Validation failed: Name"},
		{"no version", metadata(id, ""), 400, "Validation failed: Version"},
		{"an id with a slash", metadata("a/b", "1.0.0"), 400, "Validation failed: Name is invalid"},
		{"an id with two dots in a row", metadata("a..b", "1.0.0"), 400, "Validation failed: Name is invalid"},
		{"an id that climbs", metadata("../a", "1.0.0"), 400, "Validation failed: Name is invalid"},
		{"an id of 101 letters", metadata(strings.Repeat("a", 101), "1.0.0"), 400, "Validation failed: Name is"},
		{"a version of one number", metadata(id, "1"), 400, "Validation failed: Version is invalid"},
		{"a version of five numbers", metadata(id, "1.2.3.4.5"), 400, "Validation failed: Version is invalid"},
		{"a version that climbs", metadata(id, "../../x"), 400, "Validation failed: Version is invalid"},
		{"a version that is escaped", metadata(id, "%2e%2e%2f"), 400, "Validation failed: Version is invalid"},
		{"an empty label", metadata(id, "1.0.0-"), 400, "Validation failed: Version is invalid"},
		{"a number beyond 32 bits", metadata(id, "1.0.2147483648"), 400, "Validation failed: Version is invalid"},
		{"a URL that is none", metadata(id, "1.0.0", "<projectUrl>javascript:alert(1)</projectUrl>"), 400, "Validation failed"},
		{"a dependency on a range that is none", metadata(id, "1.0.0", `<dependencies><dependency id="b" version="[1.0"/></dependencies>`), 400, "message"},
		{"a dependency without an id", metadata(id, "1.0.0", `<dependencies><dependency version="1.0"/></dependencies>`), 400, "message"},
		{"an icon that is not there", metadata(id, "1.0.0", "<icon>icon.png</icon>"), 400, "icon.png"},
		{"a path out of the package", newNupkg(id, "1.0.0", "", member{"../evil", "x"}).content, 400, "leads out of it"},
		{"a zip bomb", newNupkg(id, "1.0.0", "", member{"lib/zeros", strings.Repeat("\x00", 110<<20)}).content, 400, "too much"},
		{"over the limit", newNupkg(id, "1.0.0", "", member{"lib/more", string(noise(3 << 20))}).content, 400, `"400 Bad request - File is too large"`},
		{"a package of symbols", metadata(id, "1.0.0", `<packageTypes><packageType name="SymbolsPackage"/></packageTypes>`), 400, "symbols"},
	} {
		w.sub(row.what, func(w *world) {
			if row.status == 400 && row.content != nil && len(row.content) > 2<<20 && !strings.Contains(row.says, "too large") {
				w.Fatalf("%d bytes are over the limit of this server", len(row.content))
			}
			a := w.send(pushed(p.nuget(), row.content, w.root())).want(w, row.status)
			if !strings.Contains(string(a.body), row.says) || len(a.object(w)) != 1 {
				w.Errorf("%s\nwant it to say %s", a.body, row.says)
			}
			if warning := a.header.Get("X-NuGet-Warning"); warning == "" {
				w.Error("no X-NuGet-Warning for the client to print")
			}
		})
	}
	form := good.push(p.nuget(), w.root())
	body, contentType := form.body.([]byte), form.header["Content-Type"]
	for _, row := range []struct {
		what string
		body []byte
		kind string
		says string
	}{
		{"no form", good.content, "application/octet-stream", `{"error":"package is missing"}`},
		{"an empty form", []byte("--x--\r\n"), "multipart/form-data; boundary=x", `{"error":"package is missing"}`},
		{"another part", bytes.Replace(body, []byte(`name="package"`), []byte(`name="pakkage"`), 1), contentType, `{"error":"package is missing"}`},
		{"a package that is no file", bytes.Replace(body, []byte(`; filename="package.nupkg"`), nil, 1), contentType, `{"error":"package is invalid"}`},
		{"half a form", body[:len(body)/2], contentType, ""},
		{"no end", body[:len(body)-20], contentType, ""},
	} {
		w.sub(row.what, func(w *world) {
			a := w.send(call{method: "PUT", path: p.nuget(), as: w.root(), body: row.body, header: map[string]string{"Content-Type": row.kind}}).want(w, 400)
			if row.says != "" {
				a.is(w, row.says)
			}
			if a.header.Get("X-NuGet-Warning") == "" {
				w.Error("no X-NuGet-Warning for the client to print")
			}
		})
	}
	w.sub("nothing of it stays", func(w *world) {
		w.nothingLeft(before)
		if got := w.versionsOf(p.nuget(), id, w.root()); got != nil {
			w.Errorf("versions %v", got)
		}
		w.ask(w.root(), "GET", of(p)+"/packages").want(w, 200).is(w, "[]")
		w.send(call{path: p.nuget() + "/query?prerelease=true&semVerLevel=2.0.0"}).want(w, 200).is(w, `{"totalHits":0,"data":[]}`)
		w.send(good.push(p.nuget(), w.root())).want(w, 201) // and nothing is in the way
	})
}

// A version belongs to its first bytes, in all of its spellings.
func TestNuGetDuplicates(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	const taken = `{"message":"A package with the same name and version already exists"}`
	id := newID()
	n := w.packed(p, id, "1.0.0")
	for _, again := range []nupkg{n, newNupkg(id, "1.0.0", ""), newNupkg(strings.ToUpper(id), "1.0", ""), newNupkg(id, "1.0.0.0", ""), newNupkg(id, "1.0.0+build", "")} {
		w.send(again.push(p.nuget(), w.root())).want(w, 409).is(w, taken)
	}
	if a := w.send(call{path: n.at(p.nuget(), "1.0.0")}); !bytes.Equal(a.body, n.content) {
		w.Error("the first bytes are gone")
	}
	w.sub("unless duplicates are allowed", func(w *world) {
		w.set(p.home(), map[string]any{"nuget_duplicates_allowed": true})
		again := newNupkg(id, "1.0", `<dependencies><dependency id="New" version="2.0"/></dependencies>`)
		w.send(again.push(p.nuget(), w.root())).want(w, 201)
		if got := w.versionsOf(p.nuget(), id, anonymous); !slices.Equal(got, []string{"1.0.0"}) {
			w.Errorf("versions %v", got)
		}
		if a := w.send(call{path: n.at(p.nuget(), "1.0.0")}); !bytes.Equal(a.body, again.content) {
			w.Error("the new bytes are not there")
		}
		leaf := w.send(call{path: p.nuget() + "/metadata/" + id + "/1.0.0.json"}).must(w, 200)
		if !strings.Contains(string(leaf.body), `"id":"New"`) {
			w.Errorf("the dependencies are the old ones: %s", leaf.body)
		}
	})
	w.sub("of racing pushes one wins", func(w *world) {
		p, id := w.open(), newID()
		won := map[int]int{}
		for _, a := range w.race(12, func(i int) call {
			return newNupkg(id, []string{"2.0", "2.0.0", "2.0.0.0", "2.0.0+x"}[i%4], "").push(p.nuget(), w.root())
		}) {
			won[a.status]++
		}
		if won[201] != 1 || won[409] != 11 {
			w.Errorf("statuses %v", won)
		}
	})
}

// Each way to say who pushes.
func TestNuGetCredentials(t *testing.T) {
	w := newWorld(t)
	p := w.project(w.group(harness.Private), harness.Private)
	developer, other := w.member(p, harness.Developer), w.member(p, harness.Developer)
	writes := w.deployToken(p, "write_package_registry")
	push := func(as credential, header ...string) *answer {
		c := newNupkg(newID(), "1.0.0", "").push(p.nuget(), as)
		for i := 0; i < len(header); i += 2 {
			c.header[header[i]] = header[i+1]
		}
		return w.send(c)
	}
	const key = "X-NuGet-ApiKey"
	jobToken := w.jobToken(p, developer, 3600)
	for what, as := range map[string]credential{
		"Basic, personal": basic(developer.Username, developer.token), "Basic, deploy": basic("any", writes), "Basic, job": basic("gitlab-ci-token", jobToken),
		"PRIVATE-TOKEN": private(developer.token), "Bearer": bearer(developer.token), "Deploy-Token": deploy(writes), "Job-Token": job(jobToken),
	} {
		if a := push(as); a.status != 201 {
			w.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	for _, token := range []string{developer.token, writes, jobToken} {
		push(anonymous, key, secret(token)).want(w, 201)
	}
	push(basic(developer.Username, developer.token), key, developer.token).want(w, 201)
	push(basic("gitlab-ci-token", jobToken), key, developer.token).want(w, 201) // a job is its user
	const two = `{"message":"400 Bad request - Found more than one set of credentials"}`
	push(basic(developer.Username, developer.token), key, other.token).want(w, 400).is(w, two)
	push(basic(developer.Username, developer.token), key, writes).want(w, 400).is(w, two)
	push(basic(developer.Username, developer.token), key, wrong()).want(w, 400).is(w, two)
	push(basic(developer.Username, wrong()), key, developer.token).want(w, 401)
	for _, a := range []*answer{push(anonymous), push(basic(developer.Username, wrong())), push(anonymous, key, wrong())} {
		a.want(w, 401).is(w, `{"message":"401 Unauthorized"}`)
		if challenge := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Basic ") {
			w.Errorf("%s: challenge %q", a.call, challenge)
		}
	}
	id := newID()
	w.packed(p, id, "1.0.0")
	w.send(call{path: p.nuget() + "/download/" + id + "/index.json", header: map[string]string{key: developer.token}}).want(w, 200)
}

// Deleted is gone, and may come again; unlisted is there for who knows it.
func TestNuGetDelete(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	maintainer := w.member(p, harness.Maintainer)
	found := func(id string) bool {
		return strings.Contains(string(w.send(call{path: p.nuget() + "/query?q=" + id}).must(w, 200).body), `"totalHits":1`)
	}
	remove := func(id, version string, as credential) *answer {
		return w.send(call{method: "DELETE", path: p.nuget() + "/" + id + "/" + version, as: as})
	}
	id := newID()
	for _, version := range []string{"1.0.0", "2.0.0"} {
		w.packed(p, id, version)
	}
	if a := remove(strings.ToLower(id), "2.0", maintainer.as()).want(w, 204); len(a.body) > 0 {
		w.Errorf("body %q", a.body)
	}
	if got := w.versionsOf(p.nuget(), id, anonymous); !slices.Equal(got, []string{"1.0.0"}) {
		w.Errorf("versions %v", got)
	}
	remove(id, "2.0.0", maintainer.as()).want(w, 404).is(w, `{"message":"404 Package Not Found"}`)
	remove(newID(), "2.0.0", maintainer.as()).want(w, 404)
	remove("a..b", "2.0.0", maintainer.as()).want(w, 400)
	remove(id, "2", maintainer.as()).want(w, 400)
	w.packed(p, id, "2.0.0")
	w.protect(p.home(), map[string]any{"package_name_pattern": strings.ToUpper(id), "package_type": "nuget", "minimum_access_level_for_delete": "owner"})
	remove(id, "2.0.0", maintainer.as()).want(w, 403).is(w, `{"message":"403 Forbidden - Package is deletion protected."}`)
	old := call{method: "DELETE", path: p.nuget() + "/" + id + "/2.0.0", as: w.root(), header: map[string]string{"If-Unmodified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"}}
	w.send(old).want(w, 412).is(w, `{"message":"412 Precondition Failed"}`)
	for _, version := range []string{"1.0.0", "2.0.0"} {
		remove(id, version, w.root()).want(w, 204)
	}
	w.send(call{path: p.nuget() + "/download/" + id + "/index.json"}).want(w, 404).is(w, `{"message":"404 Packages Not Found"}`)
	if found(id) {
		w.Error("a search still finds it")
	}

	w.sub("where the project says that a delete unlists", func(w *world) {
		w.set(p.home(), map[string]any{"nuget_delete_unlists": true})
		id := newID()
		n := w.packed(p, id, "1.0.0")
		w.packed(p, id, "1.1.0-pre")
		remove(id, "1.0.0", maintainer.as()).want(w, 204)
		if found(id) {
			w.Error("a search finds it")
		}
		listed := func() any {
			leaf := w.send(call{path: p.nuget() + "/metadata/" + id + "/1.0.0.json"}).must(w, 200).object(w)
			return at(leaf, "catalogEntry", "listed")
		}
		if listed() != false {
			w.Error("it is listed")
		}
		w.send(call{path: n.at(p.nuget(), "1.0.0")}).want(w, 200)
		if got := w.versionsOf(p.nuget(), id, anonymous); !slices.Equal(got, []string{"1.0.0", "1.1.0-pre"}) {
			w.Errorf("versions %v", got)
		}
		if list := w.ask(anonymous, "GET", fmt.Sprintf("/projects/%d/packages?package_name=%s", p.ID, id)).list(w); len(list) != 1 {
			w.Errorf("the API lists %v", list)
		}
		w.send(call{method: "POST", path: p.nuget() + "/" + id + "/1.0", as: maintainer.as()}).want(w, http.StatusOK)
		if !found(id) || listed() != true {
			w.Error("it is not listed again")
		}
	})
}

// A rule keeps an id from those below its level.
func TestNuGetProtected(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	id := newID()
	w.protect(p.home(), map[string]any{"package_name_pattern": strings.ToLower(id) + "*", "package_type": "nuget", "minimum_access_level_for_push": "maintainer"})
	developer, maintainer := w.member(p, harness.Developer), w.member(p, harness.Maintainer)
	n := newNupkg(id, "1.0.0", "")
	for _, as := range []credential{developer.as(), deploy(w.deployToken(p, "write_package_registry"))} {
		w.send(n.push(p.nuget(), as)).want(w, 403).is(w, `{"message":"403 Forbidden - Package protected."}`)
	}
	if got := w.versionsOf(p.nuget(), id, anonymous); got != nil {
		w.Errorf("versions %v", got)
	}
	w.send(n.push(p.nuget(), maintainer.as())).want(w, 201)
}
