package nuget

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"packhouse/internal/registry"
)

// sample is the entry that filters are tried on.
func sample() *feedEntry {
	v, _ := parseVersion("2.1.0")
	return &feedEntry{
		release: release{&registry.Package{ID: 7, Name: "Acme.Widgets", Version: "2.1", VersionKey: "2.1.0", Downloads: 5,
			CreatedAt: time.Date(2026, 5, 8, 17, 23, 25, 412e6, time.UTC)}, v},
		prefix: "https://packages.example/api/v4/projects/42/packages/nuget",
		manifest: &manifest{ID: "Acme.Widgets", Version: "2.1", Title: "Widgets", Authors: "Ann, Bob", Description: "UI widgets & more\x01", Tags: []string{"PSModule", "ui"},
			LicenseURL: "https://widgets.example/l",
			DependencyGroups: []dependencyGroup{
				{Framework: ".NETStandard2.0", Dependencies: []dependency{{ID: "Newtonsoft.Json", Range: "13.0.1"}, {ID: "Other", Range: "[1.0, 2.0)"}}},
				{Framework: "net8.0"},
			}},
		file:      &registry.File{Digests: registry.Digests{Size: 1234, SHA512: strings.Repeat("00", 64)}, CreatedAt: time.Date(2026, 5, 8, 17, 23, 26, 0, time.UTC)},
		downloads: 12, latest: true, absoluteLatest: true,
	}
}

// Filters that clients send, and whether they hold for the sample.
func TestFiltersOfClients(t *testing.T) {
	for _, test := range []struct {
		client, filter string
		want           bool
	}{
		{"the seed", "(tolower(Id) eq 'acme.widgets')", true},
		{"chocolatey 1, install", "(tolower(Id) eq 'acme.widgets') and IsLatestVersion", true},
		{"chocolatey 1, list", "((((Id ne null) and substringof('widgets',tolower(Id))) or ((Description ne null) and substringof('widgets',tolower(Description)))) or ((Tags ne null) and substringof(' widgets ',tolower(Tags)))) and IsLatestVersion", true},
		{"nuget 2.8 without Search, a word that is in the description only", "(((Id ne null) and substringof('more',tolower(Id))) or ((Description ne null) and substringof('more',tolower(Description)))) or ((Tags ne null) and substringof(' more ',tolower(Tags)))", true},
		{"nuget 2.8, a word that is nowhere", "(((Id ne null) and substringof('foo',tolower(Id))) or ((Description ne null) and substringof('foo',tolower(Description)))) or ((Tags ne null) and substringof(' foo ',tolower(Tags)))", false},
		{"nuget 2.8, updates of several", "((((tolower(Id) eq 'blogml') or (tolower(Id) eq 'acme.widgets')) or (tolower(Id) eq 'dotnetzip')) or (tolower(Id) eq 'log4net')) and IsLatestVersion", true},
		{"nuget 2.8, an exact version", "((tolower(Id) eq 'acme.widgets') and (Version eq '2.1.0'))", true},
		{"nuget 2.8, only listed", "Published gt datetime'1901-01-01T00:00:00'", true},
		{"nuget 5.8, list", "IsLatestVersion", true},
		{"nuget 5.8, list with prereleases", "IsAbsoluteLatestVersion", true},
		{"nuget 5.8, a word", "(((((Id ne null) and substringof('ui',tolower(Id))) or ((Description ne null) and substringof('ui',tolower(Description)))) or ((Tags ne null) and substringof(' ui ',tolower(Tags))))) and IsLatestVersion", true},
		{"PSResourceGet, by name", "Id eq 'Acme.Widgets' and IsLatestVersion eq true", true},
		{"PSResourceGet, by name and type", "Id eq 'acme.widgets' and IsAbsoluteLatestVersion eq true and substringof('PSModule', Tags) eq true", true},
		{"PSResourceGet, another type", "IsLatestVersion and substringof('PSScript', Tags) eq true", false},
		{"PSResourceGet, a wildcard", "IsLatestVersion and startswith(Id, 'acme') and endswith(Id, 'gets')", true},
		{"PSResourceGet, a range", "Id eq 'Acme.Widgets' and NormalizedVersion ge '2.0.0' and NormalizedVersion le '10.0.0'", true},
		{"PSResourceGet, an open range", "NormalizedVersion gt '2.1.0' and NormalizedVersion lt '10.0.0' and Id eq 'Acme.Widgets'", false},
		{"PSResourceGet, without prereleases", "IsPrerelease eq false and Id eq 'Acme.Widgets'", true},
		{"PSDepend", "Id eq 'Acme.Widgets' and Version eq '2.1'", true},
		{"Paket", "Id eq 'Acme.Widgets'", true},
		{"a script, in another spelling of the version", "Id eq 'Acme.Widgets' and Version eq '2.1.0.0'", true},
		{"a script, not", "not IsPrerelease and not (Id eq 'other')", true},
		{"a script, numbers", "DownloadCount ge 12 and VersionDownloadCount lt 6L and PackageSize ne 1.5M and length(Id) eq 12", true},
		{"a script, functions", "concat(toupper(trim(' a ')), replace('bxc','x','-')) eq 'Ab-c' and indexof(Id,'Widgets') eq 5 and substring(Id,5) eq 'widgets' and substring(Id,0,4) eq 'Acme'", true},
		{"a script, times", "year(Created) eq 2026 and month(Created) eq 5 and day(Created) eq 8 and hour(Created) eq 17 and minute(Created) eq 23 and second(Created) eq 25", true},
		{"a script, a time in another zone", "Created gt datetime'2026-05-08T19:23:25+02:00' and Created lt datetime'2026-05-08T17:23:26'", true},
		{"a script, quotes", "Title eq 'it''s'", false},
		{"a script, nulls", "Summary eq null and null eq Summary and Title ne null and not (Summary gt 'a')", true},
		{"what is unknown is not false", "not (substringof('a', Summary))", false},
		{"or with an unknown part", "substringof('a', Summary) or true", true},
		{"precedence", "true or false and false", true},
		{"precedence, in parentheses", "(true or false) and false", false},
		{"not before eq", "not Id eq 'other'", true},
	} {
		n, err := parseFilter("$filter", test.filter)
		if err != nil {
			t.Errorf("%s: %v", test.client, err)
			continue
		}
		if got := n.holds(sample()); got != test.want {
			t.Errorf("%s: %s is %t", test.client, test.filter, got)
		}
	}
}

func TestFiltersThatAreNone(t *testing.T) {
	for filter, want := range map[string]string{
		"":                                   "a value is expected, not the end at position 1",
		"Id":                                 "a condition is expected, not a string at position 1",
		"Id eq":                              "a value is expected, not the end at position 6",
		"Id eq 'x":                           "the text that begins here has no closing quote at position 7",
		"Id eq 'x' or":                       "a value is expected, not the end at position 13",
		"Id eq 'x')":                         `the end is expected, not ")" at position 10`,
		"(Id eq 'x'":                         `")" is expected, not the end at position 11`,
		"Id = 'x'":                           `the end is expected, not "=" at position 4`,
		"Id eq 5":                            "a string and a number are compared at position 4",
		"5 lt Id":                            "a number and a string are compared at position 3",
		"IsLatestVersion gt false":           "a bool has no order at position 17",
		"Nam eq 'x'":                         `a package has no property "Nam" at position 1`,
		"nam(Id) eq 'x'":                     `the function "nam" is not known at position 1`,
		"tolower(Id, Id) eq 'x'":             "tolower takes no more than 1 values at position 13",
		"substringof('x')":                   "substringof takes 2 values at position 16",
		"tolower(5) eq 'x'":                  "a string is expected, not a number at position 9",
		"Id eq 'x' and 5":                    "a condition is expected, not a number at position 15",
		"not Id":                             "a condition is expected, not a string at position 5",
		"Created gt datetime'today'":         `"datetime'today'" is not a value at position 12`,
		"Id eq guid'1-2'":                    `"guid'1-2'" is not a value at position 7`,
		"DownloadCount eq 1x":                `"1x" is not a value at position 18`,
		"DownloadCount eq 0x10":              `"0x10" is not a value at position 18`,
		"DownloadCount eq 1e999":             `"1e999" is not a value at position 18`,
		"Id eq 'ü' + 'x'":                    `'+' is not expected at position 11`,
		"Id eq 'x'; drop table x":            `';' is not expected at position 10`,
		"\xff eq 'x'":                        "is not UTF-8",
		strings.Repeat("(", 300):             "there are more than 200 levels at position 202",
		strings.Repeat("not ", 300) + "true": "there are more than 200 levels",
		strings.Repeat("true and ", 1200) + "true":    "more than 1000 parts",
		"Id eq '" + strings.Repeat("x", 20_000) + "'": "longer than 16384 bytes",
	} {
		_, err := parseFilter("$filter", filter)
		if registry.KindOf(err) != registry.Invalid || !strings.Contains(registry.MessageOf(err), want) || !strings.HasPrefix(registry.MessageOf(err), "$filter") {
			t.Errorf("%.60q: %v, not %s", filter, err, want)
		}
	}
}

// A text cannot be made to grow without end.
func TestMadeTextsAreBounded(t *testing.T) {
	filter := "Description"
	for range 30 {
		filter = "replace(" + filter + ",'e','" + strings.Repeat("e", 100) + "')"
	}
	n, err := parseFilter("$filter", "length("+filter+") gt 0")
	if err != nil {
		t.Fatal(err)
	}
	if n.holds(sample()) {
		t.Error("a text of more than 16 KiB was made")
	}
}

// An expression that is more work may look at fewer versions.
func TestEffortIsBounded(t *testing.T) {
	effort := func(text string) int64 {
		n, err := parseFilter("$filter", text)
		if err != nil {
			t.Fatal(err)
		}
		e := sample()
		n.holds(e)
		return e.effort
	}
	one, literal := effort("length('a') ge 0"), effort("length('"+strings.Repeat("a", 1001)+"') ge 0")
	if made := effort("length(replace('" + strings.Repeat("a", 1000) + "','a','bbb')) ge 0"); one < 3*effortOfPart || literal != one+1000 || made < one+4000 {
		t.Errorf("%d, %d and %d", one, literal, made)
	}
	if nested := effort("length(toupper(tolower('" + strings.Repeat("a", 1000) + "'))) ge 0"); nested < one+3000 {
		t.Errorf("nested: %d", nested)
	}

	filter, err := parseFilter("$filter", "DownloadCount eq 1 or DownloadCount ge 0")
	if err != nil {
		t.Fatal(err)
	}
	for spent, want := range map[int64]string{0: "", maxEffort: "$filter and $orderby are too much work"} {
		a := &ask{plan: planOf(filter), unlisted: true, effort: spent}
		goOn, err := a.sift(nil, []*feedEntry{sample()}, func(*feedEntry) bool { return true })
		if goOn != (want == "") || (err == nil) != goOn || !strings.HasPrefix(registry.MessageOf(err), want) {
			t.Errorf("%d spent before: %v", spent, err)
		}
	}
}

func TestPlan(t *testing.T) {
	for _, test := range []struct {
		filter string
		want   plan
		rest   bool
	}{
		{"Id eq 'A'", plan{ids: []string{"a"}}, false},
		{"'A' eq tolower(Id) and IsLatestVersion eq true", plan{ids: []string{"a"}, latest: true}, false},
		{"(Id eq 'b' or Id eq 'a') or tolower(Id) eq 'B'", plan{ids: []string{"a", "b"}}, false},
		{"(Id eq 'b' or Id eq 'a') and Id eq 'a'", plan{ids: []string{"a"}}, false},
		{"Id eq 'b' and Id eq 'a'", plan{ids: []string{}}, false},
		{"(Id eq 'b' and IsPrerelease) or Id eq 'a'", plan{ids: []string{"a", "b"}}, true},
		{"Id eq 'b' or IsPrerelease", plan{}, true},
		{"IsAbsoluteLatestVersion and not IsPrerelease and true eq Listed", plan{absoluteLatest: true, stable: true, listed: true}, false},
		{"IsPrerelease eq false and IsLatestVersion ne false", plan{latest: true, stable: true}, false},
		{"IsPrerelease", plan{}, true},
		{"not IsLatestVersion", plan{}, true},
		{"Id ne 'a'", plan{}, true},
		{"Id gt 'a' and Version eq '1.0'", plan{}, true},
		{"startswith(Id,'a')", plan{}, true},
	} {
		n, err := parseFilter("$filter", test.filter)
		if err != nil {
			t.Fatal(err)
		}
		got := planOf(n)
		if (got.rest != nil) != test.rest {
			t.Errorf("%s: rest is %v", test.filter, got.rest)
		}
		if slices.Compare(got.ids, test.want.ids) != 0 || (got.ids == nil) != (test.want.ids == nil) || got.latest != test.want.latest ||
			got.absoluteLatest != test.want.absoluteLatest || got.stable != test.want.stable || got.listed != test.want.listed {
			t.Errorf("%s: %+v", test.filter, got)
		}
	}
}

// What is taken out of a filter says the same as the filter.
func TestPlanKeepsTheMeaning(t *testing.T) {
	parts := []string{"Id eq 'acme.widgets'", "Id eq 'other'", "IsLatestVersion", "not IsLatestVersion", "IsAbsoluteLatestVersion eq true", "IsPrerelease eq false", "IsPrerelease", "Listed", "DownloadCount gt 3"}
	var entries []*feedEntry
	for i := range 32 {
		e := sample()
		e.latest, e.absoluteLatest = i&1 != 0, i&2 != 0
		if i&4 != 0 {
			e.version, _ = parseVersion("2.1.0-beta")
		}
		if i&8 != 0 {
			e.Status = registry.Hidden
		}
		if i&16 != 0 {
			e.Name = "Other"
		}
		entries = append(entries, e)
	}
	for _, a := range parts {
		for _, b := range parts {
			for _, c := range parts {
				for _, filter := range []string{a + " and " + b + " and " + c, "(" + a + " or " + b + ") and " + c, a + " or " + b + " and " + c} {
					n, err := parseFilter("$filter", filter)
					if err != nil {
						t.Fatal(err)
					}
					p := planOf(n)
					for _, e := range entries {
						planned := (p.ids == nil || slices.Contains(p.ids, normalizeID(e.Name))) && (!p.latest || e.latest) && (!p.absoluteLatest || e.absoluteLatest) &&
							(!p.stable || !e.version.prerelease()) && (!p.listed || e.listed()) && p.rest.holds(e)
						if planned != n.holds(e) {
							t.Fatalf("%s: %t, and by parts %t", filter, n.holds(e), planned)
						}
					}
				}
			}
		}
	}
}

func TestOrder(t *testing.T) {
	older, newer, title := sample(), sample(), sample()
	newer.version, _ = parseVersion("10.0.0")
	older.version, _ = parseVersion("2.9.0")
	newer.downloads, older.downloads = 3, 3
	title.manifest.Title = ""
	for _, test := range []struct {
		order string
		a, b  *feedEntry
		want  int
	}{
		{"Version", older, newer, -1},
		{"NormalizedVersion desc", older, newer, 1},
		{"Id,Version asc", older, newer, -1},
		{"DownloadCount desc,Id", older, newer, 0},
		{"DownloadCount desc, Version desc", older, newer, 1},
		{"Title", title, newer, -1},
		{"Title desc", title, newer, 1},
	} {
		order, err := parseOrder("$orderby", test.order)
		if err != nil {
			t.Fatal(err)
		}
		if got := compareValues(order, orderValues(order, test.a), orderValues(order, test.b)); got != test.want {
			t.Errorf("%s: %d", test.order, got)
		}
	}
	for _, bad := range []string{"", "Id desc Version", "Id,", "Id desc asc", "Nam", ",Id", "Id" + strings.Repeat(",Id", 8)} {
		if _, err := parseOrder("$orderby", bad); registry.KindOf(err) != registry.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestCalls(t *testing.T) {
	for segment, want := range map[string]call{
		"Packages":   {name: "Packages"},
		"Packages()": {name: "Packages"},
		"Search( )":  {name: "Search"},
		"Packages(Id='Acme.Widgets',Version='2.1.0-beta')": {"Packages", map[string]string{"id": "Acme.Widgets", "version": "2.1.0-beta"}},
		"Packages(Version='1.0', Id='it''s')":              {"Packages", map[string]string{"id": "it's", "version": "1.0"}},
	} {
		got, err := parseCall(segment)
		if err != nil || got.name != want.name || len(got.args) != len(want.args) || got.args["id"] != want.args["id"] || got.args["version"] != want.args["version"] {
			t.Errorf("%s: %+v, %v", segment, got, err)
		}
	}
	for _, bad := range []string{"", "'x'", "Packages(", "Packages)", "Packages()x", "Packages('x')", "Packages(Id)", "Packages(Id=)", "Packages(Id=5)", "Packages(Id='x',)", "Packages(Id='x',ID='y')", "Packages(Id='x' Version='y')"} {
		if c, err := parseCall(bad); registry.KindOf(err) != registry.Invalid {
			t.Errorf("%q: %+v, %v", bad, c, err)
		}
	}
	for text, want := range map[string]string{"'x'": "x", "x": "x", "'it''s'": "it's", "az* tag:PSScript": "az* tag:PSScript", "": "", "''": ""} {
		if got, err := parseArgument("id", text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, bad := range []string{"'x", "'x'y", "\xff"} {
		if got, err := parseArgument("id", bad); registry.KindOf(err) != registry.Invalid {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
}

func TestSelect(t *testing.T) {
	selected, err := parseSelect("$select", "Version,IsLatestVersion, ProjectUrl,Published,Version")
	if err != nil || len(selected) != 4 || selected[2].name != "ProjectUrl" {
		t.Errorf("renovate's: %v, %v", selected, err)
	}
	if all, err := parseSelect("$select", "Id,*"); all != nil || err != nil {
		t.Errorf("all: %v, %v", all, err)
	}
	if _, err := parseSelect("$select", "Id,Nam"); registry.MessageOf(err) != `$select: a package has no property "Nam"` {
		t.Error(err)
	}
}

// Whatever is sent, it is read within bounds or refused as the client's fault, and what is read can be tried.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"(tolower(Id) eq 'x') and IsLatestVersion", "substringof(' a ',Tags) or Created gt datetime'2020-01-01T00:00:00'", "not (replace(Id,'a','b') eq concat('a',null))",
		"Version ge '1.0' and DownloadCount lt -5.5e3 and 1L ne 2M", "substring(Id,1,2) eq 'it''s'", "((((", "year(Published) eq 1900"} {
		f.Add(seed)
	}
	e := sample()
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseFilter("$filter", text)
		if err == nil {
			n.holds(e)
			p := planOf(n)
			p.rest.late()
			if n.holds(e) && p.ids != nil && !slices.Contains(p.ids, "acme.widgets") {
				t.Errorf("the filter holds for an id that is not among %q", p.ids)
			}
		} else if registry.KindOf(err) != registry.Invalid {
			t.Error(err)
		}
		if order, err := parseOrder("$orderby", text); err == nil {
			v := orderValues(order, e)
			if compareValues(order, v, v) != 0 {
				t.Error("a version comes before itself")
			}
		}
		parseCall(text)
		parseArgument("id", text)
		parseSelect("$select", text)
		(&ask{}).searchOf(map[string]string{"searchTerm": text})
		(&ask{}).updatesOf(map[string]string{"packageIds": text, "versions": "1.0", "versionConstraints": text})
		if values, err := parameters(text); err == nil {
			(&ask{}).options(values)
		}
	})
}

// Paths and query strings of V2.
func FuzzCall(f *testing.F) {
	for _, seed := range []string{"Packages", "Packages()", "Packages(Id='a''b',Version='1.0')", "FindPackagesById()", "Packages(Id='a',id='b')", "Packages(Id=1)", "id='Acme'&$top=1", "$top=1&$top=2", "a=%zz", "'x'", "'x", "%27a%27"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		check := func(err error) {
			if err != nil && registry.KindOf(err) != registry.Invalid {
				t.Error(err)
			}
		}
		c, err := parseCall(text)
		check(err)
		if err == nil && c.name == "" {
			t.Errorf("%q calls nothing", text)
		}
		argument, err := parseArgument("id", text)
		check(err)
		if err == nil && (len(argument) > maxExpression || !utf8.ValidString(argument)) {
			t.Errorf("%q is %q", text, argument)
		}
		values, err := parameters(text)
		check(err)
		if err == nil {
			var a ask
			_, err := a.options(values)
			check(err)
			check(a.searchOf(values))
			check(a.updatesOf(values))
		}
	})
}

// A version is what its normalized text says, and versions have one order.
func FuzzVersion(f *testing.F) {
	for _, seed := range []string{"1.0", "1.0.0.0-a.b+c", "01.002.3.4", "1.0-0", "2147483648.0", "1", "1.0.0-A", ""} {
		f.Add(seed, "1.0.0-a")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, ok := parseVersion(a)
		if !ok {
			return
		}
		again, ok := parseVersion(v.String())
		if !ok || again.String() != v.String() || v.compare(again) != 0 || v.key() != again.key() {
			t.Errorf("%q is %s, and that is %s, %t", a, v, again, ok)
		}
		if w, ok := parseVersion(b); ok && (v.compare(w) != -w.compare(v) || v.key() == w.key() && v.compare(w) != 0) {
			t.Errorf("%q and %q have no order", a, b)
		}
	})
}
