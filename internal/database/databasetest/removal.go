package databasetest

import (
	"strconv"
	"testing"
	"time"

	"packhouse/internal/registry"
)

func always(registry.Tx, *registry.Package) error { return nil }

// A package goes at once, whatever its size, and its rows bit by bit, while several nodes purge.
func testRemoval(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	s.publish(p, "pack", "1")
	s.publish(p, "pack", "2")
	large := publication(p, "pack", "3")
	for i := range 1200 {
		large.Files = append(large.Files, registry.PublicationFile{Name: strconv.Itoa(i), Content: large.Files[0].Content})
	}
	must(t, s.Publish(t.Context(), format, large))
	id := large.Package.ID
	must(t, s.Delete(t.Context(), id, always))
	select {
	case <-s.Marked():
	default:
		t.Error("nobody is told that there is something to purge")
	}
	wantKind(t, "deleted again", s.Delete(t.Context(), id, always), registry.NotFound)
	same(t, "versions", []string{"1", "2"}, s.versions(s.entry(p, "pack")))
	same(t, "latest", "2", s.latest(p, "pack"))
	s.publish(p, "pack", "3") // while the other one is still there
	failed := make(chan error, 2)
	for range cap(failed) {
		go func() { failed <- s.Purge(t.Context()) }()
	}
	for range cap(failed) {
		must(t, <-failed)
	}
	must(t, s.Purge(t.Context())) // what one has left to the other
	wantKind(t, "the package", s.attempt(func(tx registry.Tx) error { _, err := tx.Package(id); return err }), registry.NotFound)
	same(t, "its files", 0, len(find(s, func(tx registry.Tx) ([]*registry.File, error) { return tx.Files(id) })))
	same(t, "versions", []string{"1", "2", "3"}, s.versions(s.entry(p, "pack")))
	same(t, "fragments", []string{"1", "2", "3"}, s.fragments("full", s.entry(p, "pack")))

	// Who may not, changes nothing.
	before := s.entry(p, "pack")
	no := func(registry.Tx, *registry.Package) error { return registry.Errorf(registry.Forbidden, "no") }
	wantKind(t, "refused", s.Delete(t.Context(), before.LatestID, no), registry.Forbidden)
	same(t, "entry", before, s.entry(p, "pack"))
}

// A version whose files are gone is there, but no client may install it.
func testWithoutFiles(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	first := s.publish(p, "pack", "1")
	second := s.publish(p, "pack", "2", "latest", "beta")
	file := func(pkg *registry.Package) int64 {
		return find(s, func(tx registry.Tx) ([]*registry.File, error) { return tx.Files(pkg.ID) })[0].ID
	}
	revision := s.entry(p, "pack").Revision
	wantKind(t, "the file of another package", s.DeleteFile(t.Context(), first.ID, file(second), always), registry.NotFound)
	must(t, s.DeleteFile(t.Context(), second.ID, file(second), always))
	must(t, s.Purge(t.Context()))
	e := s.entry(p, "pack")
	if e.Revision <= revision {
		t.Error("documents do not change")
	}
	same(t, "installable", []string{"1"}, s.versions(e))
	same(t, "fragments", []string{"1"}, s.fragments("full", e))
	same(t, "latest", "1", s.latest(p, "pack"))
	versions := find(s, func(tx registry.Tx) ([]*registry.Package, error) { return tx.Versions(e.ID) })
	if len(versions) != 2 || versions[1].ID != second.ID {
		t.Errorf("versions: %v", versions)
	}
	wantKind(t, "a tag for it", s.SetTag(t.Context(), format, p.ID, "pack", "latest", "2"), registry.NotFound)
	wantKind(t, "published again", s.Publish(t.Context(), format, publication(p, "pack", "2")), registry.Conflict)
	must(t, s.Unpublish(t.Context(), format, p.ID, "pack", s.entry(p, "pack").Revision, func(v string) bool { return v == "1" }))
	s.publish(p, "pack", "2")
	same(t, "installable", []string{"1", "2"}, s.versions(e))
}

func testTagsOf(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	a, b := s.publish(p, "a", "1", "latest", "beta"), s.publish(p, "b", "1", "latest")
	s.publish(p, "a", "2", "next")
	names := map[int64]int{}
	for _, tag := range find(s, func(tx registry.Tx) ([]*registry.Tag, error) { return tx.TagsOf([]int64{a.ID, b.ID}) }) {
		names[tag.PackageID]++
	}
	same(t, "tags", map[int64]int{a.ID: 2, b.ID: 1}, names)
}

// Many levels at once are what each is alone.
func testEffectiveLevels(t *testing.T, s *store) {
	ada, bob := s.user("ada"), s.user("bob")
	top := s.group(nil, "top")
	low, side := s.group(top, "low"), s.group(top, "side")
	projects := []*registry.Project{s.project(top.ID, "a"), s.project(low.ID, "b"), s.project(side.ID, "c"), s.project(ada.NamespaceID, "d"), s.project(bob.NamespaceID, "e")}
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	s.member(ada, low, nil, registry.Developer, soon)
	s.member(ada, nil, projects[1], registry.Maintainer, time.Time{})
	s.member(ada, nil, projects[2], registry.Guest, soon)
	s.member(bob, top, nil, registry.Reporter, time.Time{})
	s.member(ada, nil, projects[4], registry.Owner, time.Now().Add(-time.Hour))
	for _, u := range []*registry.User{ada, bob, s.user("eve")} {
		all := find(s, func(tx registry.Tx) (map[int64]registry.Standing, error) { return tx.EffectiveLevels(u.ID, projects) })
		for _, p := range projects {
			s.read(func(tx registry.Tx) error {
				level, until, err := tx.EffectiveLevel(u.ID, p.ID, p.Lineage)
				same(t, u.Username+" in "+p.FullPath, registry.Standing{Level: level, Until: until}, all[p.ID])
				return err
			})
		}
	}
	found := find(s, func(tx registry.Tx) ([]*registry.Project, error) {
		return tx.ProjectsByID([]int64{projects[3].ID, projects[0].ID, 4711})
	})
	same(t, "projects by id", []*registry.Project{projects[0], projects[3]}, found)
}

func testMemberBelow(t *testing.T, s *store) {
	top := s.group(nil, "top")
	low, side := s.group(top, "low"), s.group(top, "side")
	p := s.project(low.ID, "p")
	for _, test := range []struct {
		who     string
		join    func(*registry.User)
		of      []*registry.Group
		nothing []*registry.Group
	}{
		{"nobody", func(*registry.User) {}, nil, []*registry.Group{top, low, side}},
		{"of-project", func(u *registry.User) { s.member(u, nil, p, registry.Guest, time.Time{}) }, []*registry.Group{top, low}, []*registry.Group{side}},
		{"of-group", func(u *registry.User) { s.member(u, low, nil, registry.Guest, time.Time{}) }, []*registry.Group{top, low}, []*registry.Group{side}},
		{"minimal", func(u *registry.User) { s.member(u, nil, p, registry.Minimal, time.Time{}) }, nil, []*registry.Group{top, low, side}},
		{"ended", func(u *registry.User) { s.member(u, nil, p, registry.Owner, time.Now().Add(-time.Hour)) }, nil, []*registry.Group{top, low, side}},
	} {
		u := s.user(test.who)
		test.join(u)
		for want, groups := range map[bool][]*registry.Group{true: test.of, false: test.nothing} {
			for _, g := range groups {
				if got := find(s, func(tx registry.Tx) (bool, error) { return tx.MemberBelow(u.ID, g) }); got != want {
					t.Errorf("%s below %s: %v", test.who, g.FullPath, got)
				}
			}
		}
	}
}
