package databasetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"packhouse/internal/registry"
)

// Lists by name: each name once, from where the last list ended, backwards, and of kinds of versions.
func testNames(t *testing.T, s *store) {
	top := s.group(nil, "top")
	p, q := s.project(top.ID, "p"), s.project(top.ID, "q")
	all := registry.Viewer{All: true}
	publish := func(project *registry.Project, name, version string, traits registry.Traits) *registry.Package {
		t.Helper()
		pub := publication(project, name, version)
		pub.Package.Traits = traits
		must(t, s.Publish(t.Context(), format, pub))
		return &pub.Package
	}
	publish(p, "a", "1", 0)
	publish(p, "a", "2", registry.Prerelease)
	publish(q, "a", "1", 0)
	publish(q, "a", "3", 0)
	publish(q, "b", "1", registry.Prerelease)
	publish(p, "c", "1", registry.SemVer2|registry.Prerelease)
	hidden := publish(p, "d", "1", 0)
	must(t, s.SetListed(t.Context(), hidden.ID, false, func(registry.Tx, *registry.Package) error { return nil }))

	for _, test := range []struct {
		what   string
		filter registry.EntryFilter
		want   string
		total  int
	}{
		{"entries", registry.EntryFilter{}, "a a b c d", 5},
		{"names", registry.EntryFilter{Once: true}, "a b c d", 4},
		{"names backwards", registry.EntryFilter{Once: true, Descending: true}, "d c b a", 4},
		{"a page of names", registry.EntryFilter{Once: true, Limit: 2, Offset: 1}, "b c", 4},
		{"a page of names backwards", registry.EntryFilter{Once: true, Descending: true, Limit: 2, Offset: 1}, "c b", 4},
		{"names without their number", registry.EntryFilter{Once: true, NoTotal: true}, "a b c d", 0},
		{"names behind one", registry.EntryFilter{Once: true, After: "b"}, "c d", 2},
		{"names before one", registry.EntryFilter{Once: true, After: "b", Descending: true}, "a", 1},
		{"some names", registry.EntryFilter{Names: []string{"a", "d", "x"}}, "a a d", 3},
		{"with a listed stable version", registry.EntryFilter{Once: true, Listed: registry.Within(0)}, "a", 1},
		{"with a listed version", registry.EntryFilter{Once: true, Listed: registry.Within(registry.Prerelease)}, "a b", 2},
		{"with a listed version of any kind", registry.EntryFilter{Once: true, Listed: registry.Within(registry.Prerelease | registry.SemVer2)}, "a b c", 3},
	} {
		test.filter.Viewer = all
		names, total := s.search(test.filter)
		same(t, test.what, test.want, strings.Join(names, " "))
		same(t, test.what+", total", test.total, total)
	}

	for _, test := range []struct {
		what    string
		filter  registry.EntryFilter
		without registry.Traits
		listed  bool
		want    string
		total   int
	}{
		{"all versions", registry.EntryFilter{}, 0, false, "a2 a1 a3 b1 c1 d1", 6}, // a1 is that of the second project
		{"listed ones", registry.EntryFilter{}, 0, true, "a2 a1 a3 b1 c1", 5},
		{"stable ones", registry.EntryFilter{}, registry.Prerelease, false, "a1 a3 d1", 3},
		{"without SemVer 2", registry.EntryFilter{}, registry.SemVer2, false, "a2 a1 a3 b1 d1", 5},
		{"backwards by name", registry.EntryFilter{Descending: true}, registry.Prerelease, false, "d1 a1 a3", 3},
		{"a page", registry.EntryFilter{Limit: 2, Offset: 2}, 0, false, "a3 b1", 6},
		{"a page behind the end", registry.EntryFilter{Limit: 2, Offset: 6}, 0, false, "", 6},
		{"without their number", registry.EntryFilter{NoTotal: true, Limit: 1}, 0, false, "a2", 0},
		{"of one project", registry.EntryFilter{Project: p.ID}, 0, false, "a1 a2 c1 d1", 4},
		{"of some names", registry.EntryFilter{Names: []string{"b", "d"}}, 0, false, "b1 d1", 2},
		{"of a word", registry.EntryFilter{Terms: []string{"B"}}, 0, false, "b1", 1},
		{"of no word", registry.EntryFilter{Terms: []string{"x"}}, 0, false, "", 0},
		{"of a word that is too long", registry.EntryFilter{Terms: []string{strings.Repeat("x", 100_000)}}, 0, false, "", 0},
	} {
		test.filter.Viewer, test.filter.Type = all, registry.NPM
		if test.filter.Limit == 0 {
			test.filter.Limit = 100
		}
		var got []string
		var total int
		s.read(func(tx registry.Tx) error {
			ids, n, err := tx.PageVersions(test.filter, test.without, test.listed)
			if err != nil {
				return err
			}
			total = n
			packages, err := tx.PackagesByID(ids)
			for _, id := range ids {
				i := slices.IndexFunc(packages, func(p *registry.Package) bool { return p.ID == id })
				got = append(got, fmt.Sprint(packages[i].Name, packages[i].Version))
			}
			return err
		})
		same(t, test.what, test.want, strings.Join(got, " "))
		same(t, test.what+", total", test.total, total)
	}
}
