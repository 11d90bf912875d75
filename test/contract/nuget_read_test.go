package contract

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// resources of a service index: type → URL.
func (w *world) resources(prefix string, as credential) map[string]string {
	w.Helper()
	index := w.send(call{path: prefix + "/index.json", as: as}).must(w, 200).object(w)
	if index["version"] != "3.0.0" {
		w.Errorf("version %v", index["version"])
	}
	all := map[string]string{}
	for _, one := range index["resources"].([]any) {
		all[at(one, "@type").(string)] = at(one, "@id").(string)
		if at(one, "comment") == "" || !strings.HasPrefix(at(one, "@id").(string), w.server.URL+prefix) {
			w.Errorf("resource %v", one)
		}
	}
	return all
}

// The service index is for everybody, and leads to everything below the prefix that was asked.
func TestNuGetServiceIndex(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Private)
	p := w.project(g, harness.Private)
	for _, prefix := range []string{p.nuget(), g.nuget()} {
		base := w.server.URL + prefix
		all := w.resources(prefix, anonymous)
		want := map[string]string{
			"SearchQueryService": "/query", "SearchQueryService/3.0.0-beta": "/query", "SearchQueryService/3.0.0-rc": "/query", "SearchQueryService/3.5.0": "/query",
			"RegistrationsBaseUrl": "/metadata/", "RegistrationsBaseUrl/3.0.0-beta": "/metadata/", "RegistrationsBaseUrl/3.0.0-rc": "/metadata/", "RegistrationsBaseUrl/3.4.0": "/metadata/",
			"RegistrationsBaseUrl/3.6.0": "/metadata-semver2/", "RegistrationsBaseUrl/Versioned": "/metadata-semver2/",
			"PackageBaseAddress/3.0.0": "/download/", "SearchAutocompleteService": "/autocomplete", "SearchAutocompleteService/3.5.0": "/autocomplete", "LegacyGallery/2.0.0": "/v2",
		}
		if prefix == p.nuget() {
			want["PackagePublish/2.0.0"], want["SymbolPackagePublish/4.9.0"] = "", "/symbolpackage"
		} else if all["PackagePublish/2.0.0"] != "" {
			w.Error("a group takes packages")
		}
		for kind, path := range want {
			if all[kind] != base+path {
				w.Errorf("%s is %q, want %q", kind, all[kind], base+path)
			}
		}
		for _, path := range []string{"/index", "/index.json", "/index/", "/index.json/"} {
			w.send(call{path: prefix + path}).want(w, 200)
		}
		w.send(call{path: prefix + "/index.xls"}).want(w, 404)
	}
	w.send(call{path: "/api/v4/projects/" + url.QueryEscape(p.path()) + "/packages/nuget/index"}).want(w, 200)
	w.send(call{path: "/api/v4/projects/99999999/packages/nuget/index"}).want(w, 404).is(w, `{"message":"404 Not Found"}`)
	w.send(call{path: "/api/v4/groups/99999999/-/packages/nuget/index"}).want(w, 404)
}

// A registration, and what it says of a version (the protocol's page of the resource).
func TestNuGetRegistration(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	p := w.project(g, harness.Public)
	id := newID()
	w.packed(p, id, "1.10.0", `<title>A title</title><summary>In short</summary><tags>one two</tags><projectUrl>https://example.org/p</projectUrl><license type="expression">MIT</license>
		<releaseNotes>New</releaseNotes><language>en</language><requireLicenseAcceptance>true</requireLicenseAcceptance>
		<repository type="git" url="https://example.org/p.git" commit="abc"/><packageTypes><packageType name="DotnetTool"/></packageTypes>
		<dependencies><group targetFramework="net8.0"><dependency id="Other.Pack" version="2.0"/><dependency id="Third" version="[1.0,2.0)"/></group>
		<group targetFramework=".NETStandard2.0"><dependency id="Other.Pack" version="1.0"/></group><group targetFramework="net472"/></dependencies>`)
	w.packed(p, id, "1.2.0-beta")
	w.packed(p, id, "1.2.0")
	for _, prefix := range []string{p.nuget(), g.nuget()} {
		base := w.server.URL + prefix
		index := w.send(call{path: prefix + "/metadata/" + strings.ToUpper(id) + "/index.json"}).must(w, 200).object(w)
		if index["count"] != 1.0 || len(index["items"].([]any)) != 1 {
			w.Fatalf("index %v", index)
		}
		page := index["items"].([]any)[0]
		if at(page, "count") != 3.0 || at(page, "lower") != "1.2.0-beta" || at(page, "upper") != "1.10.0" || at(page, "parent") != base+"/metadata/"+strings.ToLower(id)+"/index.json" {
			w.Errorf("page %v", page)
		}
		var versions []string
		for _, leaf := range at(page, "items").([]any) {
			v := at(leaf, "catalogEntry", "version").(string)
			versions = append(versions, v)
			lower := strings.ToLower(id)
			content := base + "/download/" + id + "/" + v + "/" + lower + "." + v + ".nupkg"
			if at(leaf, "packageContent") != content || at(leaf, "catalogEntry", "packageContent") != content || at(leaf, "registration") != base+"/metadata/"+lower+"/index.json" ||
				at(leaf, "@id") != base+"/metadata/"+id+"/"+v+".json" || at(leaf, "catalogEntry", "listed") != true || at(leaf, "catalogEntry", "id") != id {
				w.Errorf("leaf %v", leaf)
			}
			w.send(call{path: strings.TrimPrefix(content, w.server.URL)}).want(w, 200)
			for _, suffix := range []string{"", ".json"} {
				w.send(call{path: prefix + "/metadata/" + id + "/" + v + suffix}).want(w, 200)
			}
		}
		if want := []string{"1.2.0-beta", "1.2.0", "1.10.0"}; !slices.Equal(versions, want) {
			w.Errorf("versions %v, want %v", versions, want)
		}
		entry := at(w.send(call{path: prefix + "/metadata/" + id + "/1.10"}).must(w, 200).object(w), "catalogEntry")
		for key, want := range map[string]any{
			"authors": "Ann, Bob", "description": "About " + id, "title": "A title", "summary": "In short", "tags": "one two", "projectUrl": "https://example.org/p",
			"licenseExpression": "MIT", "releaseNotes": "New", "language": "en", "requireLicenseAcceptance": true, "isSigned": false, "@type": "PackageDetails",
		} {
			if got := at(entry, key); got != want {
				w.Errorf("%s is %v, want %v", key, got, want)
			}
		}
		if !strings.HasSuffix(at(entry, "published").(string), "Z") || at(entry, "repository", "commit") != "abc" || fmt.Sprint(at(entry, "packageTypes")) != "[map[name:DotnetTool]]" {
			w.Errorf("entry %v", entry)
		}
		groups := at(entry, "dependencyGroups").([]any)
		var told []string
		for _, group := range groups {
			one := fmt.Sprint(at(group, "targetFramework"))
			dependencies, _ := at(group, "dependencies").([]any)
			for _, d := range dependencies {
				one += fmt.Sprintf(" %v %v", at(d, "id"), at(d, "range"))
				if at(d, "@type") != "PackageDependency" || at(d, "registration") != base+"/metadata-semver2/"+strings.ToLower(at(d, "id").(string))+"/index.json" {
					w.Errorf("dependency %v", d)
				}
			}
			told = append(told, one)
		}
		want := []string{"net8.0 Other.Pack [2.0.0, ) Third [1.0.0, 2.0.0)", ".NETStandard2.0 Other.Pack [1.0.0, )", "net472"}
		if !slices.Equal(told, want) {
			w.Errorf("dependencies %q, want %q", told, want)
		}
	}
	for path, says := range map[string]string{
		"/metadata/Absent/index.json": "404 Packages Not Found", "/metadata/Absent/1.0.0.json": "404 Package Not Found", "/metadata/" + id + "/9.9.9": "404 Package Not Found",
		"/metadata/" + id + "/x": "404 Package Not Found", "/metadata/" + id + "/page/5.0.0/6.0.0.json": "404 Packages Not Found", "/download/Absent/index.json": "404 Packages Not Found",
		"/download/" + id + "/1.10.0/other.1.10.0.nupkg": "404 Package Not Found", "/download/" + id + "/1.10.0/" + id + ".1.10.0.dll": "404 Package Not Found",
		"/download/" + id + "/1.10.0/" + id + ".1.2.0.nupkg": "404 Package Not Found", "/download/" + id + "/1.10.0/" + id + ".1.10.0.snupkg": "404 Package Not Found",
	} {
		w.send(call{path: p.nuget() + path}).want(w, 404).is(w, `{"message":"`+says+`"}`)
	}
}

// More versions than a page has are on pages of their own; none is lost.
func TestNuGetPages(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	id := newID()
	const n = 130
	order := make([]int, n)
	for i := range order {
		order[i] = (i*37 + 11) % n // not published in their order
	}
	for _, i := range order {
		w.packed(p, id, fmt.Sprintf("1.%d.0", i))
	}
	if got := w.versionsOf(p.nuget(), id, anonymous); len(got) != n || got[0] != "1.0.0" || got[n-1] != "1.129.0" || got[10] != "1.10.0" {
		w.Errorf("%d versions: %v", len(got), got)
	}
	for _, hive := range []string{"metadata", "metadata-semver2"} {
		index := w.send(call{path: p.nuget() + "/" + hive + "/" + id + "/index.json"}).must(w, 200).object(w)
		if index["count"] != 3.0 {
			w.Fatalf("index %v", index)
		}
		next := 0
		for _, page := range index["items"].([]any) {
			if at(page, "items") != nil {
				w.Error("a page of several is in the index")
			}
			whole := w.send(call{path: strings.TrimPrefix(at(page, "@id").(string), w.server.URL)}).must(w, 200).object(w)
			items := whole["items"].([]any)
			if whole["@id"] != at(page, "@id") || whole["lower"] != at(page, "lower") || whole["upper"] != at(page, "upper") || float64(len(items)) != at(page, "count") || len(items) > 64 {
				w.Errorf("page %v is listed as %v", whole["@id"], page)
			}
			for _, leaf := range items {
				if want := fmt.Sprintf("1.%d.0", next); at(leaf, "catalogEntry", "version") != want {
					w.Errorf("%v, want %s", at(leaf, "catalogEntry", "version"), want)
				}
				next++
			}
		}
		if next != n {
			w.Errorf("%d versions on the pages, want %d", next, n)
		}
	}
}

// Versions of SemVer 2 are for clients that say that they can read them.
func TestNuGetSemVer2(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	id := newID()
	w.packed(p, id, "1.0.0")
	w.packed(p, id, "1.1.0-pre")
	w.packed(p, id, "2.0.0-rc.1")
	w.packed(p, id, "2.0.0+build.7")
	w.packed(p, id, "1.2.0", `<dependencies><dependency id="x" version="1.0.0-a.b"/></dependencies>`)
	for hive, want := range map[string][]string{
		"metadata":         {"1.0.0", "1.1.0-pre"},
		"metadata-semver2": {"1.0.0", "1.1.0-pre", "1.2.0", "2.0.0-rc.1", "2.0.0+build.7"},
	} {
		index := w.send(call{path: p.nuget() + "/" + hive + "/" + id + "/index.json"}).must(w, 200).object(w)
		var got []string
		for _, leaf := range at(index["items"].([]any)[0], "items").([]any) {
			got = append(got, at(leaf, "catalogEntry", "version").(string))
		}
		if !slices.Equal(got, want) {
			w.Errorf("%s has %v, want %v", hive, got, want)
		}
	}
	if got, want := w.versionsOf(p.nuget(), id, anonymous), []string{"1.0.0", "1.1.0-pre", "1.2.0", "2.0.0-rc.1", "2.0.0"}; !slices.Equal(got, want) {
		w.Errorf("versions %v, want %v", got, want)
	}
	for query, want := range map[string][]string{
		"":                                   {"1.0.0"},
		"&prerelease=true":                   {"1.0.0", "1.1.0-pre"},
		"&semVerLevel=2.0.0":                 {"1.0.0", "1.2.0", "2.0.0+build.7"},
		"&prerelease=true&semVerLevel=2.0.0": {"1.0.0", "1.1.0-pre", "1.2.0", "2.0.0-rc.1", "2.0.0+build.7"},
		"&semVerLevel=1.0.0":                 {"1.0.0"},
	} {
		hit := w.send(call{path: p.nuget() + "/query?q=" + id + query}).must(w, 200).object(w)["data"].([]any)
		if len(hit) != 1 {
			w.Fatalf("%q finds %v", query, hit)
		}
		var got []string
		for _, v := range at(hit[0], "versions").([]any) {
			got = append(got, at(v, "version").(string))
		}
		if !slices.Equal(got, want) || at(hit[0], "version") != want[len(want)-1] {
			w.Errorf("%q: %v (%v), want %v", query, got, at(hit[0], "version"), want)
		}
		list := w.send(call{path: p.nuget() + "/autocomplete?id=" + id + query}).must(w, 200).object(w)
		if got := texts(list["data"]); !slices.Equal(got, want) || list["totalHits"] != float64(len(want)) {
			w.Errorf("autocomplete %q: %v, want %v", query, list, want)
		}
	}
	// Nothing for clients that do not know SemVer 2: not found by them.
	only := newID()
	w.packed(p, only, "1.0.0-a.b")
	w.send(call{path: p.nuget() + "/metadata/" + only + "/index.json"}).want(w, 404)
	w.send(call{path: p.nuget() + "/query?prerelease=true&q=" + only}).want(w, 200).is(w, `{"totalHits":0,"data":[]}`)
	w.send(call{path: p.nuget() + "/autocomplete?semVerLevel=2.0.0&prerelease=true&q=" + only}).want(w, 200).is(w, `{"totalHits":1,"data":["`+only+`"]}`)
}

// What a search finds, and how it is paged.
func TestNuGetSearch(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	p, q, hidden := w.project(g, harness.Public), w.project(g, harness.Public), w.project(g, harness.Private)
	mark := harness.Random()[:8]
	a, b, c := "A."+mark, "B."+mark, "C."+mark
	w.packed(p, a, "1.0.0", "<title>Quick title</title><tags>red green</tags>")
	w.packed(p, b, "1.0.0", `<packageTypes><packageType name="DotnetTool"/></packageTypes>`)
	w.packed(q, a, "2.0.0")
	w.packed(q, c, "1.0.0-pre")
	w.packed(hidden, "D."+mark, "1.0.0")
	found := func(prefix, query string, as credential) []string {
		w.Helper()
		answer := w.send(call{path: prefix + "/query?" + query, as: as}).must(w, 200).object(w)
		ids := []string{fmt.Sprint(answer["totalHits"])}
		for _, hit := range answer["data"].([]any) {
			ids = append(ids, at(hit, "id").(string))
		}
		return ids
	}
	for _, row := range []struct {
		prefix, query string
		as            credential
		want          []string
	}{
		{p.nuget(), "q=" + mark, anonymous, []string{"2", a, b}},
		{p.nuget(), "q=" + strings.ToUpper(mark), anonymous, []string{"2", a, b}},
		{p.nuget(), "q=" + mark + "+quick", anonymous, []string{"1", a}},
		{p.nuget(), "q=" + mark + "+red", anonymous, []string{"1", a}},
		{p.nuget(), "q=tags:green+" + mark, anonymous, []string{"1", a}},
		{p.nuget(), "q=about+" + mark, anonymous, []string{"2", a, b}},
		{p.nuget(), "q=dependency+" + mark, anonymous, []string{"0"}},
		{p.nuget(), "q=packageid:b." + mark, anonymous, []string{"1", b}},
		{p.nuget(), "packageType=dotnettool&q=" + mark, anonymous, []string{"1", b}},
		{p.nuget(), "packageType=Dependency&q=" + mark, anonymous, []string{"1", a}},
		{p.nuget(), "packageType=nonsense&q=" + mark, anonymous, []string{"0"}},
		{p.nuget(), "q=" + mark + "&take=1", anonymous, []string{"2", a}},
		{p.nuget(), "q=" + mark + "&skip=1&take=1", anonymous, []string{"2", b}},
		{p.nuget(), "q=" + mark + "&skip=5", anonymous, []string{"2"}},
		{p.nuget(), "q=" + mark + "&take=0", anonymous, []string{"2"}},
		{g.nuget(), "q=" + mark, anonymous, []string{"2", a, b}},
		{g.nuget(), "q=" + mark + "&prerelease=true", anonymous, []string{"3", a, b, c}},
		{g.nuget(), "q=" + mark + "&skip=1", w.root(), []string{"3", b, "D." + mark}},
	} {
		if got := found(row.prefix, row.query, row.as); !slices.Equal(got, row.want) {
			w.Errorf("%s: %v, want %v", row.query, got, row.want)
		}
	}
	hit := w.send(call{path: g.nuget() + "/query?q=" + a}).must(w, 200).object(w)["data"].([]any)[0]
	if at(hit, "version") != "2.0.0" || len(at(hit, "versions").([]any)) != 2 || at(hit, "registration") != w.server.URL+g.nuget()+"/metadata/"+strings.ToLower(a)+"/index.json" ||
		at(hit, "authors") != "Ann, Bob" || at(hit, "title") != a || at(hit, "@type") != "Package" || at(hit, "verified") != true || at(hit, "totalDownloads") != 0.0 || at(hit, "tags") != "" {
		w.Errorf("hit %v", hit)
	}
	for _, bad := range []string{"skip=-1", "skip=x", "skip=01", "take=-1", "take=x", "prerelease=maybe"} {
		name, _, _ := strings.Cut(bad, "=")
		w.send(call{path: p.nuget() + "/query?" + bad}).want(w, 400).is(w, `{"error":"`+name+` is invalid"}`)
	}
	w.send(call{path: p.nuget() + "/query?q=" + strings.Repeat("a+", 40)}).want(w, 400)
	if list := w.send(call{path: g.nuget() + "/autocomplete?q=" + mark}).must(w, 200).object(w); !slices.Equal(texts(list["data"]), []string{a, b}) || list["totalHits"] != 2.0 {
		w.Errorf("autocomplete %v", list)
	}
	w.send(call{path: g.nuget() + "/autocomplete?id=Absent"}).want(w, 200).is(w, `{"totalHits":0,"data":[]}`)
}

// Below a group all that the caller may read is one feed.
func TestNuGetGroup(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	p, hidden := w.project(w.group(harness.Public, g), harness.Public), w.project(g, harness.Private)
	id := newID()
	w.packed(p, id, "1.0.0")
	newer := w.packed(hidden, id, "1.0.0")
	w.packed(hidden, id, "2.0.0")
	secret := newID()
	w.packed(hidden, secret, "1.0.0")
	if got := w.versionsOf(g.nuget(), id, anonymous); !slices.Equal(got, []string{"1.0.0"}) {
		w.Errorf("anonymous: %v", got)
	}
	if got := w.versionsOf(g.nuget(), id, w.root()); !slices.Equal(got, []string{"1.0.0", "2.0.0"}) {
		w.Errorf("root: %v", got)
	}
	if a := w.send(call{path: newer.at(g.nuget(), "1.0.0"), as: w.root()}).want(w, 200); !bytes.Equal(a.body, newer.content) {
		w.Error("not the newest of the two")
	}
	w.send(call{path: g.nuget() + "/download/" + secret + "/index.json"}).want(w, 401)
	w.send(call{path: g.nuget() + "/download/" + secret + "/index.json", as: w.user().as()}).want(w, 404).is(w, `{"message":"404 Packages Not Found"}`)
	w.send(call{path: g.nuget() + "/download/" + secret + "/index.json", as: w.root()}).want(w, 200)
	closed := w.group(harness.Private)
	w.send(call{path: closed.nuget() + "/query"}).want(w, 401)
	w.send(call{path: closed.nuget() + "/query", as: w.user().as()}).want(w, 404)
}

// What is in a package is served beside it, as a stranger's text.
func TestNuGetParts(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	id := newID()
	const png = "\x89PNG\r\n\x1a\nrest"
	metadata := `<icon>images/icon.png</icon><license type="file">LICENSE.txt</license><readme>README.md</readme>`
	n := newNupkg(id, "1.0.0", metadata, member{"images/icon.png", png}, member{"LICENSE.txt", "Do as you like"}, member{"README.md", "# <script>alert(1)</script>"}, member{".signature.p7s", "x"})
	w.send(n.push(p.nuget(), w.root())).must(w, 201)
	base := p.nuget() + "/download/" + id + "/1.0.0/"
	for name, want := range map[string][2]string{
		id + ".nuspec": {nuspec(id, "1.0.0", metadata), "application/xml"}, strings.ToLower(id) + ".nuspec": {nuspec(id, "1.0.0", metadata), "application/xml"},
		"icon": {png, "image/png"}, "license": {"Do as you like", "text/plain; charset=utf-8"}, "readme": {"# <script>alert(1)</script>", "text/markdown; charset=utf-8"},
	} {
		a := w.send(call{path: base + name}).want(w, 200)
		if string(a.body) != want[0] || a.header.Get("Content-Type") != want[1] || !strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") {
			w.Errorf("%s is %q as %s", name, a.body, a.header.Get("Content-Type"))
		}
		w.send(call{path: base + name, header: map[string]string{"If-None-Match": a.header.Get("Etag")}}).want(w, http.StatusNotModified)
	}
	entry := at(w.send(call{path: p.nuget() + "/metadata/" + id + "/1.0.0"}).must(w, 200).object(w), "catalogEntry")
	if at(entry, "iconUrl") != w.server.URL+base+"icon" || at(entry, "licenseUrl") != w.server.URL+base+"license" || at(entry, "readmeUrl") != w.server.URL+base+"readme" || at(entry, "isSigned") != true {
		w.Errorf("entry %v", entry)
	}
	template := w.resources(p.nuget(), anonymous)["ReadmeUriTemplate/6.13.0"]
	w.send(call{path: strings.TrimPrefix(strings.NewReplacer("{lower_id}", strings.ToLower(id), "{lower_version}", "1.0.0").Replace(template), w.server.URL)}).want(w, 200)
	plain := newID()
	w.packed(p, plain, "1.0.0")
	for _, name := range []string{"icon", "license", "readme"} {
		w.send(call{path: p.nuget() + "/download/" + plain + "/1.0.0/" + name}).want(w, 404)
	}
}

// The documents change with what they show, and not before.
func TestNuGetDocuments(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	id := newID()
	w.packed(p, id, "1.0.0")
	for _, path := range []string{"/download/" + id + "/index.json", "/metadata/" + id + "/index.json", "/metadata-semver2/" + id + "/index.json"} {
		first := w.send(call{path: p.nuget() + path}).must(w, 200)
		same := call{path: p.nuget() + path, header: map[string]string{"If-None-Match": first.header.Get("Etag")}}
		w.send(same).want(w, http.StatusNotModified)
		gzip := w.send(call{path: p.nuget() + path, header: map[string]string{"Accept-Encoding": "gzip"}}).must(w, 200)
		if gzip.header.Get("Content-Encoding") != "gzip" {
			w.Errorf("%s is not compressed", path)
		}
	}
	before := w.send(call{path: p.nuget() + "/download/" + id + "/index.json"}).header.Get("Etag")
	w.packed(p, id, "1.0.1")
	if after := w.send(call{path: p.nuget() + "/download/" + id + "/index.json"}); after.header.Get("Etag") == before || !strings.Contains(string(after.body), "1.0.1") {
		w.Error("a new version is not shown")
	}
	w.send(call{method: "DELETE", path: p.nuget() + "/" + id + "/1.0.1", as: w.root()}).must(w, 204)
	if after := w.send(call{path: p.nuget() + "/metadata/" + id + "/index.json"}); strings.Contains(string(after.body), "1.0.1") {
		w.Error("a deleted version is shown")
	}
}
