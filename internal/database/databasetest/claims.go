package databasetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"packhouse/internal/registry"
)

// Claims on names within a top-level group, and the names that were there once, through moves and deletions.

func testClaimsMove(t *testing.T, s *store) {
	a, b := s.group(nil, "a"), s.group(nil, "b")
	low := s.group(a, "low")
	p, q := s.project(low.ID, "p"), s.project(b.ID, "q")
	claimed := func(project *registry.Project, name, version string) *registry.Package {
		pub := publication(project, name, version)
		pub.Claim = project
		must(t, s.Publish(t.Context(), format, pub))
		return &pub.Package
	}
	mine := claimed(p, "@a/tool", "1")
	plain := s.publish(p, "@b/tool", "1") // of another scope: not claimed
	both := s.publish(p, "other", "1")
	root := func(pkg int64) int64 {
		return find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.Package(pkg) }).RootID
	}
	must(t, s.saveGroup(low.ID, func(g *registry.Group) { g.ParentID = b.ID }))
	same(t, "claims that went along", []int64{b.ID, b.ID, 0}, []int64{root(mine.ID), root(plain.ID), root(both.ID)})
	must(t, s.saveGroup(low.ID, func(g *registry.Group) { g.ParentID = a.ID }))
	same(t, "and back", []int64{a.ID, a.ID}, []int64{root(mine.ID), root(plain.ID)})
	claimed(q, "@a/tool", "1")
	for what, err := range map[string]error{
		"a project": s.saveProject(p.ID, func(p *registry.Project) { p.NamespaceID = b.ID }),
		"a group":   s.saveGroup(low.ID, func(g *registry.Group) { g.ParentID = b.ID }),
	} {
		if !errors.Is(err, registry.ErrClaimed) {
			t.Errorf("%s goes where its packages are claimed: %v", what, err)
		}
	}
	s.write(func(tx registry.Tx) error { return tx.MarkForDestruction(mine.ID) })
	must(t, s.saveProject(p.ID, func(p *registry.Project) { p.NamespaceID = b.ID }))
	same(t, "the claim of what is gone", a.ID, root(mine.ID))
}

// Versions that are published while their project moves are claimed where it is in the end.
func testClaimsRaceWithMoves(t *testing.T, s *store) {
	a, b := s.group(nil, "a"), s.group(nil, "b")
	p := s.project(a.ID, "p")
	const versions = 20
	done := make(chan error, 2)
	var packages []*registry.Package
	go func() {
		var errs []error
		for i := range versions {
			pub := publication(p, "tool", fmt.Sprint(i))
			pub.Claim = p
			errs = append(errs, s.Publish(t.Context(), format, pub))
			packages = append(packages, &pub.Package)
		}
		done <- errors.Join(errs...)
	}()
	go func() {
		var errs []error
		for i := range versions {
			to := []int64{b.ID, a.ID}[i%2]
			errs = append(errs, s.saveProject(p.ID, func(p *registry.Project) { p.NamespaceID = to }))
		}
		done <- errors.Join(errs...)
	}()
	must(t, errors.Join(<-done, <-done))
	want := s.projectNow(p.ID).RootID()
	for _, pkg := range packages {
		if got := find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.Package(pkg.ID) }).RootID; got != want {
			t.Errorf("version %s is claimed in %d, the project is in %d", pkg.Version, got, want)
		}
	}
}

// claimed publishes a version that claims its name.
func (s *store) claimed(p *registry.Project, name, version string) (*registry.Package, error) {
	pub := publication(p, name, version)
	pub.Claim = p
	err := s.Publish(s.t.Context(), format, pub)
	return &pub.Package, err
}

// roots are where packages are claimed.
func (s *store) roots(packages ...*registry.Package) (roots []int64) {
	s.t.Helper()
	for _, pkg := range packages {
		roots = append(roots, find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.Package(pkg.ID) }).RootID)
	}
	return roots
}

// What is marked for deletion claims nothing, and has back what is free when it is restored.
func testClaimsOfTheMarked(t *testing.T, s *store) {
	a := s.group(nil, "a")
	low := s.group(a, "low")
	p, q, r := s.project(low.ID, "p"), s.project(low.ID, "q"), s.project(a.ID, "r")
	claimed := func(p *registry.Project, version string) *registry.Package {
		t.Helper()
		pkg, err := s.claimed(p, "@a/tool", version)
		must(t, err)
		return pkg
	}
	markProject := func(p *registry.Project, at time.Time) {
		t.Helper()
		must(t, s.saveProject(p.ID, func(p *registry.Project) { p.MarkedAt = at }))
	}
	markGroup := func(g *registry.Group, at time.Time) {
		t.Helper()
		must(t, s.saveGroup(g.ID, func(g *registry.Group) { g.MarkedAt = at }))
	}
	at, not := time.UnixMilli(1_000_000).UTC(), time.Time{}
	p1, p2, q3 := claimed(p, "1"), claimed(p, "2"), claimed(q, "3")
	plain := s.publish(p, "tool", "1")

	markProject(p, at)
	same(t, "a project is marked", []int64{0, 0, a.ID, 0}, s.roots(p1, p2, q3, plain))
	_, err := s.claimed(p, "@a/tool", "9")
	wantKind(t, "publishing to what is marked", err, registry.NotFound)
	r1 := claimed(r, "1")
	markProject(p, not)
	same(t, "it is restored", []int64{0, a.ID, a.ID, a.ID, 0}, s.roots(p1, p2, q3, r1, plain))
	_, err = s.claimed(r, "@a/tool", "2")
	wantKind(t, "publishing what is claimed again", err, registry.Conflict)

	markGroup(low, at)
	same(t, "a group is marked", []int64{0, 0, 0, a.ID}, s.roots(p1, p2, q3, r1))
	r3 := claimed(r, "3")
	markProject(q, at)
	markGroup(low, not)
	same(t, "it is restored, a project in it not", []int64{0, a.ID, 0, a.ID, a.ID}, s.roots(p1, p2, q3, r1, r3))
	markProject(r, at)
	markProject(q, not)
	same(t, "one for the other", []int64{0, a.ID, a.ID, 0, 0}, s.roots(p1, p2, q3, r1, r3))
	markProject(r, not)
	markGroup(a, at)
	markGroup(a, not)
	same(t, "of two alike the newer one claims", []int64{0, a.ID, 0, a.ID, a.ID}, s.roots(p1, p2, q3, r1, r3))

	// A group in which something is marked moves without it.
	markProject(q, at)
	b := s.group(nil, "b")
	must(t, s.saveGroup(low.ID, func(g *registry.Group) { g.ParentID = b.ID }))
	same(t, "it moves", []int64{0, b.ID, 0}, s.roots(p1, p2, q3))
	// Another name of the top-level group is another scope.
	b1 := s.publish(r, "@c/tool", "1")
	must(t, s.saveGroup(a.ID, func(g *registry.Group) { g.Path = "c" }))
	same(t, "it has another name", []int64{a.ID, a.ID}, s.roots(r1, b1))
}

// Of two projects that publish the same versions while one of them is marked and restored, one has the claim in the end.
func testClaimsRaceWithMarks(t *testing.T, s *store) {
	a := s.group(nil, "a")
	p, q := s.project(a.ID, "p"), s.project(a.ID, "q")
	const versions = 20
	done := make(chan error, 3)
	published := make([][2]*registry.Package, versions)
	for i, project := range []*registry.Project{p, q} {
		go func() {
			var errs []error
			for v := range versions {
				pkg, err := s.claimed(project, "@a/tool", fmt.Sprint(v))
				switch kind := registry.KindOf(err); {
				case err == nil:
					published[v][i] = pkg
				case kind != registry.Conflict && (kind != registry.NotFound || i == 1):
					errs = append(errs, err)
				}
			}
			done <- errors.Join(errs...)
		}()
	}
	go func() {
		var errs []error
		for i := range versions {
			at := []time.Time{time.UnixMilli(1), {}}[i%2]
			errs = append(errs, s.saveProject(p.ID, func(p *registry.Project) { p.MarkedAt = at }))
		}
		done <- errors.Join(errs...)
	}()
	must(t, errors.Join(<-done, <-done, <-done))
	for version, both := range published {
		claims := 0
		for _, pkg := range both {
			if pkg != nil && s.roots(pkg)[0] == a.ID {
				claims++
			}
		}
		if claims != 1 {
			t.Errorf("version %d is claimed %d times: %v", version, claims, both)
		}
	}
}

// A name that was below a path is known there for good.
func testFormerNames(t *testing.T, s *store) {
	known := func(scope, name string, root *registry.Group) bool {
		return find(s, func(tx registry.Tx) (bool, error) { return tx.NameIsKnown(registry.NPM, scope, name, root.ID) })
	}
	check := func(what string, want, got bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: known %t, want %t", what, got, want)
		}
	}
	top, other, third := s.group(nil, "Top"), s.group(nil, "other"), s.group(nil, "third")
	low := s.group(top, "low")
	p, q, r := s.project(top.ID, "p"), s.project(low.ID, "q"), s.project(top.ID, "r")
	s.publish(p, "by-project", "1")
	s.publish(q, "by-group", "1")
	s.publish(r, "purged", "1")
	s.publish(s.project(top.ID, "stays"), "stays", "1")
	must(t, s.saveProject(p.ID, func(p *registry.Project) { p.NamespaceID = other.ID }))
	must(t, s.saveGroup(low.ID, func(g *registry.Group) { g.ParentID = other.ID }))
	s.write(func(tx registry.Tx) error { return tx.Condemn(0, r.ID) })
	must(t, s.RemovePlaces(t.Context()))
	for _, name := range []string{"by-project", "by-group", "purged"} {
		check(name, true, known("", name, top))
		check(name+", elsewhere", name != "purged", known("", name, other))
		check(name+", in a third place", false, known("", name, third))
	}
	check("a scope", true, known("TOP", "@top/x", third))
	check("a scope that nothing left", false, known("third", "@third/x", other))

	must(t, s.saveGroup(top.ID, func(g *registry.Group) { g.Path = "new" }))
	next := s.group(nil, "top")
	for _, name := range []string{"by-project", "purged", "stays"} {
		check(name+", renamed", true, known("", name, top))
		check(name+", at the path that it had", true, known("", name, next))
	}
	// The top-level group goes for good, and its path is given again.
	must(t, s.MarkGroup(t.Context(), top.ID)) // and, without a delay, removes it
	must(t, s.RemovePlaces(t.Context()))
	again := s.group(nil, "new")
	check("of a group that is gone", true, known("", "stays", again))
	check("of a project that was gone before", true, known("", "purged", again))
	check("a scope of a group that is gone", true, known("new", "@new/x", third))
}
