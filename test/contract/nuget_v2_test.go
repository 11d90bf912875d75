package contract

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// v2Entry is an entry of a V2 feed.
type v2Entry struct {
	ID      string `xml:"http://www.w3.org/2005/Atom id"`
	Title   string `xml:"http://www.w3.org/2005/Atom title"`
	Content struct {
		Source string `xml:"src,attr"`
	} `xml:"http://www.w3.org/2005/Atom content"`
	Properties struct {
		All []struct {
			XMLName xml.Name
			Null    bool   `xml:"http://schemas.microsoft.com/ado/2007/08/dataservices/metadata null,attr"`
			Text    string `xml:",chardata"`
		} `xml:",any"`
	} `xml:"http://schemas.microsoft.com/ado/2007/08/dataservices/metadata properties"`
}

// is is the text of a property, "-" where there is none.
func (e v2Entry) is(property string) string {
	for _, p := range e.Properties.All {
		if p.XMLName.Local == property && p.XMLName.Space == "http://schemas.microsoft.com/ado/2007/08/dataservices" && !p.Null {
			return p.Text
		}
	}
	return "-"
}

type v2Feed struct {
	XMLName xml.Name
	Base    string `xml:"base,attr"`
	Count   string `xml:"http://schemas.microsoft.com/ado/2007/08/dataservices/metadata count"`
	Links   []struct {
		Rel  string `xml:"rel,attr"`
		Href string `xml:"href,attr"`
	} `xml:"http://www.w3.org/2005/Atom link"`
	Entries []v2Entry `xml:"http://www.w3.org/2005/Atom entry"`
}

// next is the URL of the next page.
func (f v2Feed) next() string {
	for _, link := range f.Links {
		if link.Rel == "next" {
			return link.Href
		}
	}
	return ""
}

// versions are "id version" of each entry.
func (f v2Feed) versions() (all []string) {
	for _, e := range f.Entries {
		all = append(all, e.is("Id")+" "+e.is("Version"))
	}
	return all
}

// v2Call is a request for a feed: "FindPackagesById()", and parameters in turn with their values.
func v2Call(prefix, operation string, as credential, parameters ...string) call {
	var query []string
	for i := 0; i < len(parameters); i += 2 {
		query = append(query, parameters[i]+"="+url.QueryEscape(parameters[i+1]))
	}
	return call{path: prefix + "/v2/" + operation + "?" + strings.Join(query, "&"), as: as}
}

// feed reads a feed.
func (w *world) feed(c call) (f v2Feed) {
	w.Helper()
	a := w.send(c).must(w, http.StatusOK)
	if kind := a.header.Get("Content-Type"); kind != "application/atom+xml;type=feed;charset=utf-8" || a.header.Get("DataServiceVersion") != "2.0" {
		w.Errorf("%s: %s, version %s", a.call, kind, a.header.Get("DataServiceVersion"))
	}
	if err := xml.Unmarshal(a.body, &f); err != nil || f.XMLName.Local != "feed" {
		w.Fatalf("%s: %v\n%s", a.call, err, a.body)
	}
	return f
}

func TestNuGetV2Entry(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	id := newID()
	n := w.packed(p, id, "2.01", "<title>Widgets &amp; more</title><tags>ui net</tags><dependencies><group targetFramework='.NETStandard2.0'><dependency id='Other' version='1.0'/></group><group targetFramework='net8.0'/></dependencies>")
	base := w.server.URL + p.nuget()
	for _, spelled := range []string{id, strings.ToLower(id), strings.ToUpper(id)} {
		for _, version := range []string{"2.1", "2.1.0", "2.1.0.0", "02.1", "2.1.0+build"} {
			a := w.send(call{path: p.nuget() + "/v2/Packages(Id='" + spelled + "',Version='" + version + "')"}).must(w, 200)
			var e v2Entry
			if err := xml.Unmarshal(a.body, &e); err != nil {
				w.Fatal(err)
			}
			want := base + "/v2/Packages(Id='" + id + "',Version='2.01')"
			if e.ID != want || e.Title != id || a.header.Get("Content-Type") != "application/atom+xml;type=entry;charset=utf-8" {
				w.Errorf("%s: id %s, want %s; %s", a.call, e.ID, want, a.header)
			}
			for property, want := range map[string]string{"Id": id, "Version": "2.01", "NormalizedVersion": "2.1.0", "Title": "Widgets & more", "Authors": "Ann, Bob", "Tags": " ui net ",
				"Dependencies": "Other:1.0:netstandard2.0|::net8.0", "IsLatestVersion": "true", "IsAbsoluteLatestVersion": "true", "IsPrerelease": "false", "Listed": "true",
				"PackageSize": fmt.Sprint(len(n.content)), "PackageHashAlgorithm": "SHA512", "Summary": "-", "GalleryDetailsUrl": "-"} {
				if e.is(property) != want {
					w.Errorf("%s is %q, want %q", property, e.is(property), want)
				}
			}
			// The content is where the entry says.
			path := strings.TrimPrefix(e.Content.Source, w.server.URL)
			if got := w.send(call{path: path}).must(w, 200); string(got.body) != string(n.content) || !strings.HasPrefix(path, p.nuget()) {
				w.Errorf("%s is another file", path)
			}
		}
	}
	// As clients escape it, in either order; and as JSON.
	for _, path := range []string{"Packages(Id=%27" + id + "%27,Version=%272.1%27)", "Packages(Version='2.1',Id='" + id + "')", "Packages%28Id='" + id + "',%20Version='2.1'%29"} {
		w.send(call{path: p.nuget() + "/v2/" + path}).want(w, 200)
	}
	a := w.send(call{path: p.nuget() + "/v2/Packages(Id='" + id + "',Version='2.1')?$format=json&$select=Id,NormalizedVersion,PackageSize"}).must(w, 200)
	if one := a.object(w); at(one, "d", "NormalizedVersion") != "2.1.0" || at(one, "d", "PackageSize") != fmt.Sprint(len(n.content)) || at(one, "d", "Version") != nil {
		w.Errorf("%s", a.body)
	}
	w.send(call{path: p.nuget() + "/v2/Packages(Id='" + id + "',Version='2.2')"}).want(w, 404).is(w, `{"message":"404 Package Not Found"}`)
	w.send(call{path: p.nuget() + "/v2/Packages(Id='" + newID() + "',Version='2.1')"}).want(w, 404).is(w, `{"message":"404 Package Not Found"}`)
}

// What $metadata and the service document say, to everybody.
func TestNuGetV2Service(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Private)
	p := w.project(g, harness.Private)
	for _, prefix := range []string{p.nuget(), g.nuget()} {
		for _, path := range []string{"/v2", "/v2/"} {
			a := w.send(call{path: prefix + path}).must(w, 200)
			if a.header.Get("Content-Type") != "application/xml; charset=utf-8" || !strings.Contains(string(a.body), `xml:base="`+w.server.URL+prefix+`/v2"`) || !strings.Contains(string(a.body), `<collection href="Packages">`) {
				w.Errorf("%s", a.body)
			}
		}
		for _, path := range []string{"/v2/$metadata", "/v2/%24metadata"} {
			a := w.send(call{path: prefix + path}).must(w, 200)
			for _, part := range []string{`FunctionImport Name="Search"`, `FunctionImport Name="GetUpdates"`, `FunctionImport Name="FindPackagesById"`, `Property Name="IsAbsoluteLatestVersion"`} {
				if !strings.Contains(string(a.body), part) {
					w.Errorf("$metadata lacks %s", part)
				}
			}
		}
	}
	for _, path := range []string{"/v2", "/v2/$metadata"} {
		w.send(call{path: "/api/v4/projects/999999999/packages/nuget" + path}).want(w, 404).is(w, `{"message":"404 Not Found"}`)
	}
}

// What the operations select, of one project that has prereleases, versions of SemVer 2 and one that is not listed.
func TestNuGetV2Feeds(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	p := w.project(g, harness.Public)
	tag := strings.ToLower(newID()[5:])
	a, b := "Aa."+tag, "Bb."+tag
	for _, version := range []string{"1.0.0", "1.10.0", "1.9.0", "2.0.0-beta", "3.0.0-rc.1", "1.11.0"} {
		w.packed(p, a, version, "<tags>PSModule "+tag+"</tags>")
	}
	w.packed(p, b, "0.1.0-alpha", "<tags>PSScript "+tag+"</tags>")
	w.set(p.home(), map[string]any{"nuget_delete_unlists": true})
	w.send(call{method: "DELETE", path: p.nuget() + "/v2/" + a + "/1.11.0", as: w.root()}).must(w, 204)
	all := func(versions ...string) (list []string) {
		for _, v := range versions {
			if rest, isB := strings.CutPrefix(v, "b "); isB {
				list = append(list, b+" "+rest)
			} else {
				list = append(list, a+" "+v)
			}
		}
		return list
	}
	everyA := []string{"1.0.0", "1.9.0", "1.10.0", "1.11.0", "2.0.0-beta"}
	for _, test := range []struct {
		what, operation string
		parameters      []string
		want            []string
		anyOrder        bool
	}{
		{"all versions of an id", "FindPackagesById()", []string{"id", "'" + a + "'"}, all(everyA...), false},
		{"in another case, without quotes", "FindPackagesById()", []string{"id", strings.ToUpper(a)}, all(everyA...), false},
		{"with SemVer 2", "FindPackagesById()", []string{"id", "'" + a + "'", "semVerLevel", "2.0.0"}, all(append(slices.Clone(everyA), "3.0.0-rc.1")...), false},
		{"with a level that nobody knows", "FindPackagesById()", []string{"id", "'" + a + "'", "semVerLevel", "x"}, all(everyA...), false},
		{"the latest", "FindPackagesById()", []string{"id", "'" + a + "'", "$filter", "IsLatestVersion eq true"}, all("1.10.0"), false},
		{"the latest of all", "FindPackagesById()", []string{"id", "'" + a + "'", "$filter", "IsAbsoluteLatestVersion"}, all("2.0.0-beta"), false},
		{"the latest of all, with SemVer 2", "FindPackagesById()", []string{"id", "'" + a + "'", "$filter", "IsAbsoluteLatestVersion", "semVerLevel", "2.0.0"}, all("3.0.0-rc.1"), false},
		{"the highest first", "FindPackagesById()", []string{"id", "'" + a + "'", "$orderby", "NormalizedVersion desc", "$top", "2"}, all("2.0.0-beta", "1.11.0"), false},
		{"a range", "FindPackagesById()", []string{"id", "'" + a + "'", "$filter", "NormalizedVersion ge '1.9.0' and NormalizedVersion lt '1.11.0' and Id eq '" + a + "'"}, all("1.9.0", "1.10.0"), false},
		{"a filter for another id", "FindPackagesById()", []string{"id", "'" + a + "'", "$filter", "Id eq 'other'"}, nil, false},
		{"an id that is not there", "FindPackagesById()", []string{"id", "'" + newID() + "'"}, nil, false},
		{"the seed's", "Packages()", []string{"$filter", "(tolower(Id) eq '" + strings.ToLower(a) + "')"}, all(everyA...), false},
		{"without parentheses", "Packages", []string{"$filter", "Id eq '" + a + "'", "$skip", "1", "$top", "2"}, all("1.9.0", "1.10.0"), false},
		{"two ids", "Packages()", []string{"$filter", "(Id eq '" + a + "' or Id eq '" + b + "') and IsAbsoluteLatestVersion"}, all("2.0.0-beta", "b 0.1.0-alpha"), false},
		{"the latest of all ids", "Packages()", []string{"$filter", "IsLatestVersion", "$orderby", "Id"}, all("1.10.0"), false},
		{"the latest of all ids, backwards", "Packages()", []string{"$filter", "IsAbsoluteLatestVersion", "$orderby", "Id desc"}, all("b 0.1.0-alpha", "2.0.0-beta"), false},
		{"everything", "Packages()", nil, all(append(slices.Clone(everyA), "b 0.1.0-alpha")...), true},
		{"all but prereleases", "Packages()", []string{"$filter", "IsPrerelease eq false"}, all("1.0.0", "1.9.0", "1.10.0", "1.11.0"), true},
		{"what is listed", "Packages()", []string{"$filter", "Listed"}, all("1.0.0", "1.9.0", "1.10.0", "2.0.0-beta", "b 0.1.0-alpha"), true},
		{"by something that the names do not say", "Packages()", []string{"$filter", "IsAbsoluteLatestVersion and substringof('PSScript', Tags) eq true"}, all("b 0.1.0-alpha"), false},
		{"by a part of the id", "Packages()", []string{"$filter", "IsAbsoluteLatestVersion and startswith(Id,'bb.')"}, all("b 0.1.0-alpha"), false},
		{"sorted by something else", "Packages()", []string{"$filter", "not IsLatestVersion", "$orderby", "Version desc", "$top", "3"}, all("2.0.0-beta", "1.11.0", "1.9.0"), false},
		{"sorted, a later page", "Packages()", []string{"$orderby", "Version desc", "$top", "2", "$skip", "2"}, all("1.10.0", "1.9.0"), false},
		{"a search", "Search()", []string{"searchTerm", "'" + tag + "'", "targetFramework", "''", "includePrerelease", "false", "$filter", "IsLatestVersion"}, all("1.10.0"), false},
		{"a search with prereleases", "Search()", []string{"searchTerm", "'" + tag + "'", "includePrerelease", "true", "$filter", "IsAbsoluteLatestVersion"}, all("2.0.0-beta", "b 0.1.0-alpha"), false},
		{"a search for a tag", "Search()", []string{"searchTerm", "'tag:PSScript " + tag + "'", "includePrerelease", "true"}, all("b 0.1.0-alpha"), false},
		{"a search for an id", "Search()", []string{"searchTerm", "'packageid:" + b + "'", "includePrerelease", "true"}, all("b 0.1.0-alpha"), false},
		{"a search of all versions", "Search()", []string{"searchTerm", "'aa." + tag + "'"}, all("1.0.0", "1.9.0", "1.10.0"), true},
		{"a search without words", "Search()", []string{"$filter", "IsLatestVersion"}, all("1.10.0"), false},
		{"a search for nothing that is there", "Search()", []string{"searchTerm", "'nowhere'"}, nil, false},
		{"updates", "GetUpdates()", []string{"packageIds", "'" + a + "|" + b + "'", "versions", "'1.0.0|0.0.1'", "includePrerelease", "false", "includeAllVersions", "false", "targetFrameworks", "''", "versionConstraints", "'|'"}, all("1.10.0"), false},
		{"updates with prereleases", "GetUpdates()", []string{"packageIds", "'" + a + "|" + b + "'", "versions", "'1.0.0|0.0.1'", "includePrerelease", "true", "includeAllVersions", "false"}, all("2.0.0-beta", "b 0.1.0-alpha"), false},
		{"updates, all", "GetUpdates()", []string{"packageIds", "'" + a + "'", "versions", "'1.0.0'", "includePrerelease", "false", "includeAllVersions", "true"}, all("1.9.0", "1.10.0"), false},
		{"updates within bounds", "GetUpdates()", []string{"packageIds", "'" + a + "|" + a + "'", "versions", "'1.0.0|1.9.0'", "versionConstraints", "'(,1.10.0)|'"}, all("1.10.0"), false},
		{"updates within bounds only", "GetUpdates()", []string{"packageIds", "'" + a + "'", "versions", "'1.0.0'", "versionConstraints", "'(,1.10.0)'"}, all("1.9.0"), false},
		{"no updates", "GetUpdates()", []string{"packageIds", "'" + a + "'", "versions", "'1.10.0'"}, nil, false},
		{"updates of nothing", "GetUpdates()", []string{"packageIds", "''", "versions", "''"}, nil, false},
	} {
		for _, prefix := range []string{p.nuget(), g.nuget()} {
			got := w.feed(v2Call(prefix, test.operation, anonymous, test.parameters...)).versions()
			if test.anyOrder {
				slices.Sort(got)
				slices.Sort(test.want)
			}
			if !slices.Equal(got, test.want) {
				w.Errorf("%s: %s is\n%q, want\n%q", prefix, test.what, got, test.want)
			}
			// The number is that of all, with and without the feed.
			var bare []string
			paged := false
			for i := 0; i < len(test.parameters); i += 2 {
				if name := test.parameters[i]; name == "$skip" || name == "$top" {
					paged = true
				}
				bare = append(bare, test.parameters[i], test.parameters[i+1])
			}
			a := w.send(v2Call(prefix, test.operation+"/$count", anonymous, bare...)).must(w, 200)
			if string(a.body) != fmt.Sprint(len(test.want)) || a.header.Get("Content-Type") != "text/plain;charset=utf-8" {
				w.Errorf("%s: %s counts %s", prefix, test.what, a.body)
			}
			if f := w.feed(v2Call(prefix, test.operation, anonymous, append(bare, "$inlinecount", "allpages")...)); !paged && f.Count != fmt.Sprint(len(test.want)) {
				w.Errorf("%s: %s has %s", prefix, test.what, f.Count)
			}
		}
	}
	// What is not listed says so, in clients' words.
	for _, e := range w.feed(v2Call(p.nuget(), "FindPackagesById()", anonymous, "id", "'"+a+"'")).Entries {
		if unlisted := e.is("Version") == "1.11.0"; (e.is("Published") == "1900-01-01T00:00:00") != unlisted || (e.is("Listed") == "false") != unlisted {
			w.Errorf("%s was published %s, listed: %s", e.is("Version"), e.is("Published"), e.is("Listed"))
		}
	}
	// renovate's, and JSON.
	for _, e := range w.feed(v2Call(p.nuget(), "FindPackagesById()", anonymous, "id", "'"+a+"'", "$select", "Version,IsLatestVersion,ProjectUrl,Published")).Entries {
		if len(e.Properties.All) != 4 {
			w.Errorf("%v", e.Properties.All)
		}
	}
	asJSON := v2Call(p.nuget(), "Packages()", anonymous, "$filter", "IsLatestVersion", "$inlinecount", "allpages")
	asJSON.header = map[string]string{"Accept": "application/json;odata=verbose"}
	one := w.send(asJSON).must(w, 200).object(w)
	if results, _ := at(one, "d", "results").([]any); len(results) != 1 || at(results[0], "Version") != "1.10.0" || at(one, "d", "__count") != "1" {
		w.Errorf("%v", one)
	}
}

// Feeds are paged, forwards and to the end.
func TestNuGetV2Pages(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	p, q := w.project(g, harness.Public), w.project(g, harness.Public)
	const many = 230
	w.fill(p, many)
	w.packed(q, "Pack.007", "9.0.0") // a namesake in another project
	for _, test := range []struct {
		prefix, operation string
		parameters        []string
		want              int
	}{
		{p.nuget(), "Packages()", nil, many + 2},
		{g.nuget(), "Packages()", nil, many + 3},
		{p.nuget(), "Packages()", []string{"$filter", "IsLatestVersion"}, many},
		{g.nuget(), "Packages()", []string{"$filter", "IsLatestVersion", "$orderby", "Id desc"}, many},
		{p.nuget(), "Packages()", []string{"$filter", "IsLatestVersion and substringof('about',tolower(Description))"}, many},
		{g.nuget(), "Packages()", []string{"$filter", "substringof('about',tolower(Description))", "$orderby", "Id desc"}, many + 3},
		{g.nuget(), "Packages()", []string{"$filter", "IsLatestVersion", "$orderby", "DownloadCount desc,Version desc,Id"}, many},
		{p.nuget(), "Search()", []string{"searchTerm", "'pack'"}, many + 2},
		{p.nuget(), "Search()", []string{"searchTerm", "'pack'", "$filter", "IsLatestVersion", "$top", "150"}, 150},
	} {
		seen := map[string]bool{}
		pages := 0
		for next := v2Call(test.prefix, test.operation, anonymous, append(test.parameters, "$inlinecount", "allpages")...); ; pages++ {
			f := w.feed(next)
			if total := fmt.Sprint(test.want); f.Count != total && !slices.Contains(test.parameters, "$top") {
				w.Errorf("%s: %s, want %s", next.path, f.Count, total)
			}
			for _, one := range f.versions() {
				if seen[one] {
					w.Errorf("%s: %s comes twice", next.path, one)
				}
				seen[one] = true
			}
			if f.next() == "" {
				break
			}
			if !strings.HasPrefix(f.next(), w.server.URL+test.prefix+"/v2/") || len(f.Entries) != 100 {
				w.Fatalf("%s: %d entries, next is %s", next.path, len(f.Entries), f.next())
			}
			next = call{path: strings.TrimPrefix(f.next(), w.server.URL)}
		}
		if len(seen) != test.want || pages != map[bool]int{true: 0, false: 2}[slices.Contains(test.parameters, "$top")] {
			w.Errorf("%s %s %q: %d versions on %d pages and one, want %d", test.prefix, test.operation, test.parameters, len(seen), pages, test.want)
		}
	}
	if got := w.feed(v2Call(g.nuget(), "FindPackagesById()", anonymous, "id", "'pack.007'")).versions(); !slices.Equal(got, []string{"Pack.007 1.0.0", "Pack.007 9.0.0"}) {
		w.Errorf("namesakes: %q", got)
	}
	if got := w.feed(v2Call(g.nuget(), "Packages()", anonymous, "$filter", "IsLatestVersion and startswith(Id,'Pack.007')")).versions(); !slices.Equal(got, []string{"Pack.007 9.0.0"}) {
		w.Errorf("the latest of namesakes: %q", got)
	}
}

// fill pushes many packages, and two versions more of the first.
func (w *world) fill(p project, many int) {
	w.Helper()
	for i := range many {
		w.packed(p, fmt.Sprintf("Pack.%03d", i), "1.0.0")
	}
	w.packed(p, "Pack.000", "0.9.0")
	w.packed(p, "Pack.000", "0.8.0")
}

// Who may read what, and what they are told otherwise.
func TestNuGetV2Rights(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	open, hidden := w.project(g, harness.Public), w.project(g, harness.Private)
	shown, secretID := newID(), newID()
	w.packed(open, shown, "1.0.0")
	w.packed(hidden, secretID, "1.0.0")
	member, stranger := w.member(hidden, harness.Guest), w.user()
	for _, path := range []string{"/v2/Packages()", "/v2/Search()?searchTerm='x'", "/v2/FindPackagesById()?id='" + secretID + "'", "/v2/Packages(Id='" + secretID + "',Version='1.0.0')",
		"/v2/GetUpdates()?packageIds='" + secretID + "'&versions='0.1'", "/v2/Packages()/$count", "/v2/package/" + secretID, "/v2/package/" + secretID + "/1.0.0"} {
		a := w.send(call{path: hidden.nuget() + path}).want(w, 401)
		if a.header.Get("WWW-Authenticate") != `Basic realm="Packhouse"` {
			w.Errorf("%s: no challenge", a.call)
		}
		w.send(call{path: hidden.nuget() + path, as: basic(member.Username, wrong())}).want(w, 401)
		w.send(call{path: hidden.nuget() + path, as: basic(stranger.Username, stranger.token)}).want(w, 404)
		w.send(call{path: hidden.nuget() + path, as: basic(member.Username, member.token)}).want(w, 200)
	}
	// Below a group each sees what they may; who asks for one by its id is asked who they are.
	list := func(as credential) []string { return w.feed(v2Call(g.nuget(), "Packages()", as)).versions() }
	if got := list(anonymous); !slices.Equal(got, []string{shown + " 1.0.0"}) {
		w.Errorf("anonymous: %q", got)
	}
	if got := list(basic(stranger.Username, stranger.token)); !slices.Equal(got, []string{shown + " 1.0.0"}) {
		w.Errorf("a stranger: %q", got)
	}
	if got := list(basic(member.Username, member.token)); len(got) != 2 {
		w.Errorf("a member: %q", got)
	}
	w.send(v2Call(g.nuget(), "FindPackagesById()", anonymous, "id", "'"+secretID+"'")).want(w, 401)
	w.send(v2Call(g.nuget(), "FindPackagesById()", basic(member.Username, member.token), "id", "'"+secretID+"'")).want(w, 200)
	w.send(v2Call(g.nuget(), "FindPackagesById()", anonymous, "id", "'"+shown+"'")).want(w, 200)
}

// Pushed, downloaded and deleted by V2's paths.
func TestNuGetV2Packages(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	id := newID()
	first, beta := newNupkg(id, "1.0.0", ""), newNupkg(id, "2.0.0-beta", "")
	w.send(beta.push(p.nuget()+"/v2/package/", w.root())).must(w, 201)
	path := p.nuget() + "/v2/package/" + strings.ToUpper(id)
	if a := w.send(call{path: path}).must(w, 200); string(a.body) != string(beta.content) {
		w.Error("the only version is not the latest")
	}
	w.send(first.push(p.nuget()+"/v2/", w.root())).must(w, 201)
	w.send(first.push(p.nuget()+"/v2", w.root())).want(w, 409)
	if a := w.send(call{path: path}).must(w, 200); string(a.body) != string(first.content) {
		w.Error("a prerelease is the latest")
	}
	if a := w.send(call{path: path + "/2.0.0-BETA"}).must(w, 200); string(a.body) != string(beta.content) {
		w.Error("2.0.0-beta is another file")
	}
	w.send(call{path: path + "/1.0"}).want(w, 200)
	w.send(call{path: path + "/3.0"}).want(w, 404).is(w, `{"message":"404 Package Not Found"}`)
	w.send(call{path: path + "/x"}).want(w, 404)
	w.send(call{method: "DELETE", path: p.nuget() + "/v2/" + id + "/1.0"}).want(w, 401)
	w.send(call{method: "DELETE", path: p.nuget() + "/v2/" + id + "/1.0", as: w.root()}).want(w, 204)
	w.send(call{method: "DELETE", path: path + "/2.0.0-beta", as: w.root()}).want(w, 204)
	w.send(call{path: path}).want(w, 404)
	if got := w.feed(v2Call(p.nuget(), "FindPackagesById()", anonymous, "id", "'"+id+"'")).versions(); got != nil {
		w.Errorf("%q is left", got)
	}
}

// What is no request is told so, with the place where it ends to be one.
func TestNuGetV2Refused(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	w.packed(p, newID(), "1.0.0")
	for query, want := range map[string]string{
		"Packages()?$filter=Nam eq 'x'":                                   `$filter: a package has no property "Nam" at position 1`,
		"Packages()?$filter=Id eq 'x":                                     "$filter: the text that begins here has no closing quote at position 7",
		"Packages()?$filter=Id":                                           "$filter: a condition is expected, not a string at position 1",
		"Packages()?$filter=" + strings.Repeat("(", 500):                  "$filter: there are more than 200 levels at position 202",
		"Packages()?$filter=IsLatestVersion&$filter=IsLatestVersion":      "$filter is given twice",
		"Packages()?$orderby=Id up":                                       `$orderby: "," or the end is expected, not "up" at position 4`,
		"Packages()?$select=Id,Nam":                                       `$select: a package has no property "Nam"`,
		"Packages()?$top=-1":                                              "$top is not a number",
		"Packages()?$skip=x":                                              "$skip is not a number",
		"Packages()?$expand=Id":                                           `the option "$expand" is not supported`,
		"Packages()?$skiptoken=x":                                         `the option "$skiptoken" is not supported`,
		"Packages()?$format=csv":                                          `$format has no value "csv" here`,
		"Packages()?$inlinecount=some":                                    `$inlinecount has no value "some" here`,
		"Packages()?$filter=%zz":                                          `the query has "$filter=%zz", which is no escape`,
		"Packages()?$orderby=Version&$skip=20000":                         "$orderby other than by Id reaches 10000 packages",
		"Packages(Id='x')":                                                "Packages has Id and Version of one package",
		"Packages(Id='x',Version='y')":                                    "Packages has Id and Version of one package",
		"Packages(Id='x y',Version='1.0')":                                "Packages has Id and Version of one package",
		"Packages(Id=x)":                                                  `the path: "x" is not a value at position 13`,
		"Packages('x')":                                                   `the path: a name is expected, not the text "x" at position 10`,
		"Search(searchTerm='x')":                                          "Search has its parameters in the query",
		"Search()?includePrerelease=maybe":                                "includePrerelease is neither true nor false",
		"Search()?searchTerm='x":                                          "searchTerm: the text that begins here has no closing quote at position 1",
		"FindPackagesById()":                                              "id is invalid",
		"FindPackagesById()?id=''":                                        "id is invalid",
		"FindPackagesById()?id='x y'":                                     "id is invalid",
		"GetUpdates()?packageIds='x|y'&versions='1.0'":                    "packageIds, versions and versionConstraints have 2, 1 and 0 parts",
		"GetUpdates()?packageIds='x'&versions='y'":                        `versions has "y", which is no version`,
		"GetUpdates()?packageIds='x'&versions='1.0'&versionConstraints=[": `versionConstraints has "[", which is no range of versions`,
	} {
		for _, counting := range []string{"", "/$count"} {
			operation, parameters, _ := strings.Cut(query, "?")
			if counting != "" && strings.Contains(operation, "Packages(Id='") {
				continue // of one package there is no count
			}
			path := operation + counting + "?" + strings.NewReplacer(" ", "%20", `"`, "%22").Replace(parameters)
			a := w.send(call{path: p.nuget() + "/v2/" + path}).want(w, 400)
			if got := a.says("message"); got != "400 Bad request - "+want {
				w.Errorf("%.100s: %s\nwant %s", query, got, want)
			}
		}
	}
	for _, path := range []string{"/v2/Nothing()", "/v2/Packages()/Id", "/v2/Packages(Id='x',Version='1.0')/$count", "/v2/packages"} {
		w.send(call{path: p.nuget() + path}).want(w, 404)
	}
}
