package databasetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"packhouse/internal/registry"
)

// search lists the names that a filter finds. Without a limit there is a generous one.
func (s *store) search(f registry.EntryFilter) (names []string, total int) {
	s.t.Helper()
	if f.Type == "" {
		f.Type = registry.NPM
	}
	if f.Limit == 0 {
		f.Limit = 100
	}
	s.read(func(tx registry.Tx) error {
		entries, n, err := tx.SearchEntries(f)
		total, names = n, nil
		for _, e := range entries {
			names = append(names, e.Name)
		}
		return err
	})
	return names, total
}

func (s *store) publishWords(project *registry.Project, name, version, words string) {
	s.t.Helper()
	pub := publication(project, name, version)
	pub.Package.Words = words
	must(s.t, s.Publish(s.t.Context(), format, pub))
}

func testSearch(t *testing.T, s *store) {
	top := s.group(nil, "top")
	low := s.group(top, "low")
	p, q := s.project(top.ID, "p"), s.project(low.ID, "q")
	r := s.project(s.group(nil, "other").ID, "r")
	all := registry.Viewer{All: true}
	for i, project := range []*registry.Project{r, q, p} {
		s.publish(project, fmt.Sprintf("pack%d", i), "1")
		s.publish(project, "common", "1")
	}
	must(t, s.Publish(t.Context(), registry.Format{Type: registry.PyPI, Compare: compareVersions}, publication(p, "wheel", "1")))
	s.publish(p, "gone", "1")
	must(t, s.Unpublish(t.Context(), format, p.ID, "gone", s.entry(p, "gone").Revision, func(string) bool { return false }))

	for _, test := range []struct {
		what   string
		filter registry.EntryFilter
		want   string
		total  int
	}{
		{"everything", registry.EntryFilter{}, "common common common pack0 pack1 pack2", 6},
		{"another format", registry.EntryFilter{Type: registry.PyPI}, "wheel", 1},
		{"one project", registry.EntryFilter{Project: q.ID}, "common pack1", 2},
		{"a group tree", registry.EntryFilter{Group: top}, "common common pack1 pack2", 4},
		{"a subgroup", registry.EntryFilter{Group: low}, "common pack1", 2},
		{"a project in another group", registry.EntryFilter{Project: r.ID, Group: top}, "", 0},
		{"a page", registry.EntryFilter{Limit: 2, Offset: 2}, "common pack0", 6},
		{"the last page", registry.EntryFilter{Limit: 4, Offset: 4}, "pack1 pack2", 6},
		{"a page behind the end", registry.EntryFilter{Limit: 2, Offset: 6}, "", 6},
		{"what is gone", registry.EntryFilter{Terms: []string{"gone"}}, "", 0},
	} {
		test.filter.Viewer = all
		names, total := s.search(test.filter)
		same(t, test.what, test.want, strings.Join(names, " "))
		same(t, test.what+", total", test.total, total)
	}
	// A group whose number begins with that of another one is not below it.
	if _, total := s.search(registry.EntryFilter{Viewer: all, Group: &registry.Group{Lineage: []int64{top.ID*10 + 1}}}); total != 0 {
		t.Errorf("a group that is not there has %d", total)
	}
	same(t, "pages", "common common common pack0 pack1 pack2", func() string {
		var names []string
		for offset := range 6 {
			page, _ := s.search(registry.EntryFilter{Viewer: all, Limit: 1, Offset: offset})
			names = append(names, page...)
		}
		return strings.Join(names, " ")
	}())
}

func testSearchTerms(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	s.publishWords(p, "fast-json", "1", "Parses JSON quickly")
	s.publishWords(p, "@scope/slow_json", "1", "takes 100% of the time")
	s.publishWords(p, "größe", "1", `C:\temp and GRÖSSE`)
	s.publishWords(p, "new", "2", "second words")
	s.publishWords(p, "new", "1", "first words")
	for _, test := range []struct {
		terms []string
		want  string
	}{
		{nil, "@scope/slow_json fast-json größe new"},
		{[]string{""}, "@scope/slow_json fast-json größe new"},
		{[]string{"json"}, "@scope/slow_json fast-json"},
		{[]string{"JSON"}, "@scope/slow_json fast-json"},
		{[]string{"json", "QUICK"}, "fast-json"},
		{[]string{"json", "slow", "time"}, "@scope/slow_json"},
		{[]string{"json", "größe"}, ""},
		{[]string{"Größe"}, "größe"},
		{[]string{"grösse"}, "größe"},
		{[]string{"@scope/"}, "@scope/slow_json"},
		// What LIKE would take for a pattern.
		{[]string{"%"}, "@scope/slow_json"},
		{[]string{"100% of"}, "@scope/slow_json"},
		{[]string{"f%n"}, ""},
		{[]string{"_"}, "@scope/slow_json"},
		{[]string{"fast_json"}, ""},
		{[]string{`\`}, "größe"},
		{[]string{`c:\temp`}, "größe"},
		{[]string{`\%`}, ""},
		{[]string{`'`}, ""},
		{[]string{`"; DROP TABLE entries; --`}, ""},
		{[]string{"$1"}, ""},
		{[]string{"$?"}, ""},
		// Words are those of the latest version.
		{[]string{"second"}, "new"},
		{[]string{"first"}, ""},
		{[]string{strings.Repeat("x", 100_000)}, ""},
	} {
		names, total := s.search(registry.EntryFilter{Viewer: registry.Viewer{All: true}, Terms: test.terms})
		what := fmt.Sprintf("%.50q", test.terms)
		same(t, what, test.want, strings.Join(names, " "))
		same(t, what+", total", len(names), total)
	}
	must(t, s.SetTag(t.Context(), format, p.ID, "new", "latest", "1"))
	if names, _ := s.search(registry.EntryFilter{Viewer: registry.Viewer{All: true}, Terms: []string{"first"}}); len(names) != 1 {
		t.Errorf("after the latest moved, a search finds %v", names)
	}
}

func testSearchVisibility(t *testing.T, s *store) {
	top := s.group(nil, "top")
	low := s.group(top, "low")
	other := s.group(nil, "other")
	ada := s.user("ada")
	// One package in each project, named for it: where it is, visibility, access to packages.
	projects := map[string]*registry.Project{}
	for _, place := range []struct {
		name      string
		namespace int64
	}{{"low", low.ID}, {"other", other.ID}, {"ada", ada.NamespaceID}} {
		for v, visibility := range []registry.Visibility{registry.Private, registry.Internal, registry.Public} {
			for a, access := range []registry.RegistryAccess{registry.RegistryDisabled, registry.RegistryPrivate, registry.RegistryEnabled, registry.RegistryPublic} {
				name := fmt.Sprintf("%s-%c%c", place.name, "piu"[v], "dpeu"[a])
				projects[name] = s.projectWith(place.namespace, name, visibility, access)
				s.publish(projects[name], name, "1")
			}
		}
	}
	stranger := s.user("stranger").ID
	member := func(name string, group *registry.Group, project *registry.Project, level registry.Level) int64 {
		u := s.user(name)
		s.member(u, group, project, level, time.Time{})
		return u.ID
	}
	direct := member("direct", nil, projects["low-pe"], registry.Guest)
	inherited := member("inherited", top, nil, registry.Guest)
	below := member("below", low, nil, registry.Reporter)
	minimal := member("minimal", top, nil, registry.Minimal)

	const (
		everybody = "ada-pu ada-iu ada-ue ada-uu low-pu low-iu low-ue low-uu other-pu other-iu other-ue other-uu "
		signedIn  = everybody + "ada-ie low-ie other-ie "
		inLow     = "low-pp low-pe low-ip low-ie low-up " // more than everybody's there
		inAda     = "ada-pp ada-pe ada-ip ada-ie ada-up "
		inOther   = "other-pp other-pe other-ip other-ie other-up "
	)
	for _, test := range []struct {
		who    string
		viewer registry.Viewer
		want   string
	}{
		{"anonymous", registry.Viewer{}, everybody},
		{"somebody", registry.Viewer{UserID: stranger}, signedIn},
		{"somebody external", registry.Viewer{UserID: stranger, External: true}, everybody},
		{"a member of one project", registry.Viewer{UserID: direct}, signedIn + "low-pe"},
		{"an external member of one project", registry.Viewer{UserID: direct, External: true}, everybody + "low-pe"},
		{"a member of a group above", registry.Viewer{UserID: inherited}, signedIn + inLow},
		{"an external member of a group above", registry.Viewer{UserID: inherited, External: true}, everybody + inLow},
		{"a member of the group", registry.Viewer{UserID: below}, signedIn + inLow},
		{"a member with minimal access", registry.Viewer{UserID: minimal}, signedIn},
		{"the owner of a personal namespace", registry.Viewer{UserID: ada.ID}, signedIn + inAda},
		{"a deploy token of a group", registry.Viewer{Group: top.ID}, everybody + inLow},
		{"a deploy token of a subgroup", registry.Viewer{Group: low.ID}, everybody + inLow},
		{"a deploy token of a project", registry.Viewer{Project: projects["low-pp"].ID}, everybody + "low-pp"},
		{"a deploy token of a disabled project", registry.Viewer{Project: projects["low-pd"].ID}, everybody},
		{"a job token in a member's project", registry.Viewer{UserID: inherited, Project: projects["low-pp"].ID}, signedIn + "low-pp"},
		{"a job token in a project that its user left", registry.Viewer{UserID: inherited, Project: projects["other-pp"].ID}, signedIn},
		{"a job token of an owner", registry.Viewer{UserID: ada.ID, Project: projects["ada-pe"].ID}, signedIn + "ada-pe"},
		{"a job token of an external user", registry.Viewer{UserID: inherited, External: true, Project: projects["low-ie"].ID}, everybody + "low-ie"},
		{"a job token of an administrator", registry.Viewer{UserID: stranger, All: true, Project: projects["low-pp"].ID}, signedIn + "low-pp"},
		{"an administrator", registry.Viewer{UserID: ada.ID, All: true}, everybody + inLow + inAda + inOther},
	} {
		want := map[string]bool{}
		for name := range strings.FieldsSeq(test.want) {
			want[name] = true
		}
		names, total := s.search(registry.EntryFilter{Viewer: test.viewer})
		got := map[string]bool{}
		for _, name := range names {
			got[name] = true
		}
		same(t, test.who, want, got)
		same(t, test.who+", total", len(want), total)
	}
}
