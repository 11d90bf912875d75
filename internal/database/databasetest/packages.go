package databasetest

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"packhouse/internal/registry"
)

func testEntries(t *testing.T, s *store) {
	g := s.group(nil, "g")
	p, q := s.project(g.ID, "p"), s.project(g.ID, "q")
	touch := func(project *registry.Project, kind registry.Type, name string) *registry.Entry {
		var e *registry.Entry
		s.write(func(tx registry.Tx) (err error) {
			e, err = tx.TouchEntry(project.ID, kind, name)
			return err
		})
		return e
	}
	first := touch(p, registry.NPM, "pack")
	same(t, "new entry", &registry.Entry{ID: first.ID, ProjectID: p.ID, Type: registry.NPM, Name: "pack", Revision: 1,
		CreatedAt: first.CreatedAt, UpdatedAt: first.CreatedAt}, first)
	second := touch(p, registry.NPM, "pack")
	if second.ID != first.ID || second.Revision != 2 || !second.CreatedAt.Equal(first.CreatedAt) || second.UpdatedAt.Before(first.UpdatedAt) {
		t.Errorf("touched again: %+v after %+v", second, first)
	}
	same(t, "entry", second, s.entry(p, "pack"))
	// Others of nearly the same name have revisions of their own.
	for _, other := range []*registry.Entry{touch(q, registry.NPM, "pack"), touch(p, registry.PyPI, "pack"), touch(p, registry.NPM, "Pack")} {
		if other.ID == first.ID || other.Revision != 1 {
			t.Errorf("another entry: %+v", other)
		}
	}
	same(t, "entry after others", second, s.entry(p, "pack"))
	wantKind(t, "an entry that is not there", s.attempt(func(tx registry.Tx) error { _, err := tx.Entry(p.ID, registry.NPM, "none"); return err }), registry.NotFound)
	wantKind(t, "the latest of an entry that is not there", s.attempt(func(tx registry.Tx) error { return tx.SetLatest(4711, 0, 1) }), registry.NotFound)
}

func testRevisions(t *testing.T, s *store) {
	g := s.group(nil, "g")
	p, q := s.project(g.ID, "p"), s.project(g.ID, "q")
	revisions := func(kind registry.Type, name string, project int64) []registry.Revision {
		t.Helper()
		access, entries, err := s.Revisions(t.Context(), kind, name, project)
		must(t, err)
		if want := s.accessRevision(); access != want {
			t.Errorf("access revision %d, want %d", access, want)
		}
		return entries
	}
	if entries := revisions(registry.NPM, "pack", p.ID); len(entries) != 0 {
		t.Errorf("revisions of nothing: %v", entries)
	}
	if entries := revisions(registry.NPM, "pack", 0); len(entries) != 0 {
		t.Errorf("revisions of nothing anywhere: %v", entries)
	}
	s.publish(q, "pack", "1")
	s.publish(p, "pack", "1")
	s.publish(p, "pack", "2")
	s.publish(p, "other", "1")
	inP := registry.Revision{ProjectID: p.ID, EntryID: s.entry(p, "pack").ID, Revision: 2}
	inQ := registry.Revision{ProjectID: q.ID, EntryID: s.entry(q, "pack").ID, Revision: 1}
	same(t, "in p", []registry.Revision{inP}, revisions(registry.NPM, "pack", p.ID))
	same(t, "in q", []registry.Revision{inQ}, revisions(registry.NPM, "pack", q.ID))
	same(t, "anywhere", []registry.Revision{inP, inQ}, revisions(registry.NPM, "pack", 0))
	if entries := revisions(registry.PyPI, "pack", 0); len(entries) != 0 {
		t.Errorf("revisions of another format: %v", entries)
	}
}

func testPublish(t *testing.T, s *store) {
	ada := s.user("ada")
	p := s.project(s.group(nil, "g").ID, "p")
	pipeline := &registry.Pipeline{ProjectID: p.ID, UserID: ada.ID}
	s.write(func(tx registry.Tx) error { return tx.CreatePipeline(pipeline) })
	a, b := newContent("the bytes"), newContent("")
	pub := &registry.Publication{
		Package:   registry.Package{ProjectID: p.ID, Name: "Pack", Version: "1-pre", Status: registry.Deprecated, StatusMessage: "no good", CreatorID: ada.ID, PipelineID: pipeline.ID, Words: "some Words"},
		EntryName: "pack",
		Claim:     p,
		Files:     []registry.PublicationFile{{Name: "pack-1.tgz", Content: a}, {Name: "empty", Content: b}},
		Fragments: map[string][]byte{"full": []byte("F"), "abbreviated": []byte("A")},
		Tags:      []string{"latest", "beta"},
	}
	must(t, s.Publish(t.Context(), format, pub))
	pkg := pub.Package
	if pkg.ID == 0 || pkg.EntryID == 0 || pkg.CreatedAt.IsZero() || pkg.Type != registry.NPM || pkg.RootID != p.RootID() {
		t.Errorf("Publish left fields empty: %+v", pkg)
	}
	if a.committed.Load() != 1 || b.committed.Load() != 1 {
		t.Errorf("contents were committed %d and %d times", a.committed.Load(), b.committed.Load())
	}
	want := pkg
	want.Words = "" // only written
	same(t, "package", &want, find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.Package(pkg.ID) }))
	same(t, "package by version", &want, find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.PackageByVersion(pkg.EntryID, "1-pre") }))
	same(t, "packages", []*registry.Package{&want}, find(s, func(tx registry.Tx) ([]*registry.Package, error) { return tx.Packages([]int64{pkg.EntryID}) }))

	e := s.entry(p, "pack")
	if e.Revision != 1 || e.LatestID != pkg.ID {
		t.Errorf("entry: %+v", e)
	}
	files := find(s, func(tx registry.Tx) ([]*registry.File, error) { return tx.Files(pkg.ID) })
	if len(files) != 2 {
		t.Fatalf("%d files, want 2", len(files))
	}
	for i, f := range files {
		same(t, "file", &registry.File{ID: f.ID, PackageID: pkg.ID, Name: pub.Files[i].Name, Digests: pub.Files[i].Content.Digests(), CreatedAt: f.CreatedAt}, f)
		if f.CreatedAt.IsZero() {
			t.Error("a file was made at no time")
		}
	}
	tags := find(s, func(tx registry.Tx) ([]*registry.Tag, error) { return tx.Tags([]int64{e.ID}) })
	var names []string
	for _, tag := range tags {
		names = append(names, tag.Name)
		if tag.ID == 0 || tag.EntryID != e.ID || tag.PackageID != pkg.ID || tag.Version != "1-pre" || tag.CreatedAt.IsZero() || tag.UpdatedAt.IsZero() {
			t.Errorf("tag: %+v", tag)
		}
	}
	same(t, "tags", []string{"beta", "latest"}, slices.Sorted(slices.Values(names)))
	for variant, body := range pub.Fragments {
		same(t, variant, []string{string(body)}, s.fragments(variant, e))
	}
	if fragments := s.fragments("none", e); len(fragments) != 0 {
		t.Errorf("fragments of no variant: %q", fragments)
	}
	if files := find(s, func(tx registry.Tx) ([]*registry.File, error) { return tx.Files(4711) }); len(files) != 0 {
		t.Errorf("files of nothing: %v", files)
	}
	if tags := find(s, func(tx registry.Tx) ([]*registry.Tag, error) { return tx.Tags(nil) }); len(tags) != 0 {
		t.Errorf("tags of nothing: %v", tags)
	}
	wantKind(t, "a package that is not there", s.attempt(func(tx registry.Tx) error { _, err := tx.Package(4711); return err }), registry.NotFound)
	wantKind(t, "a version that is not there", s.attempt(func(tx registry.Tx) error { _, err := tx.PackageByVersion(e.ID, "2"); return err }), registry.NotFound)
	wantKind(t, "an update of nothing", s.attempt(func(tx registry.Tx) error { return tx.UpdatePackage(&registry.Package{ID: 4711}) }), registry.NotFound)
	wantKind(t, "a deletion of nothing", s.attempt(func(tx registry.Tx) error { return tx.MarkForDestruction(4711) }), registry.NotFound)
}

// fragments of entries, as EachFragment orders them.
func (s *store) fragments(variant string, entries ...*registry.Entry) (bodies []string) {
	s.t.Helper()
	s.read(func(tx registry.Tx) error {
		bodies = nil
		return tx.EachFragment(ids(entries), variant, func(_ *registry.Package, body []byte) error {
			bodies = append(bodies, string(body))
			return nil
		})
	})
	return bodies
}

// A publish that fails at its last step leaves nothing: neither rows nor a revision.
func testPublishFailsWhole(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	s.publish(p, "old", "1")
	for _, name := range []string{"new", "old"} {
		pub := publication(p, name, "2", "latest", "next")
		broken := newContent("broken")
		broken.fail = &registry.Error{Kind: registry.Full, Message: "no space left"}
		pub.Files = append(pub.Files, registry.PublicationFile{Name: "second", Content: broken})
		wantKind(t, "publish", s.Publish(t.Context(), format, pub), registry.Full)
	}
	wantKind(t, "the entry", s.attempt(func(tx registry.Tx) error { _, err := tx.Entry(p.ID, registry.NPM, "new"); return err }), registry.NotFound)
	old := s.entry(p, "old")
	if old.Revision != 1 {
		t.Errorf("the revision went to %d", old.Revision)
	}
	same(t, "versions", []string{"1"}, s.versions(old))
	same(t, "latest", "1", s.latest(p, "old"))
	if tags := find(s, func(tx registry.Tx) ([]*registry.Tag, error) { return tx.Tags([]int64{old.ID}) }); len(tags) != 0 {
		t.Errorf("tags stayed: %v", tags)
	}
	s.publish(p, "new", "2")
	same(t, "revision of the new entry", int64(1), s.entry(p, "new").Revision)
}

func testPublishAgain(t *testing.T, s *store) {
	g := s.group(nil, "g")
	p, q := s.project(g.ID, "p"), s.project(g.ID, "q")
	s.publish(p, "pack", "1")
	refused := publication(p, "pack", "1", "latest")
	wantKind(t, "the same version", s.Publish(t.Context(), format, refused), registry.Conflict)
	if n := refused.Files[0].Content.(*content).committed.Load(); n != 0 {
		t.Errorf("the refused content was committed %d times", n)
	}
	// The name as published may differ where the canonical one is the same.
	other := publication(p, "pack", "1")
	other.Package.Name = "PACK"
	wantKind(t, "the same version by another spelling", s.Publish(t.Context(), format, other), registry.Conflict)
	same(t, "revision", int64(1), s.entry(p, "pack").Revision)

	s.publish(p, "pack", "2")
	s.publish(q, "pack", "1")
	s.publish(p, "Pack", "1")
	pypi := publication(p, "pack", "1")
	must(t, s.Publish(t.Context(), registry.Format{Type: registry.PyPI, Compare: compareVersions}, pypi))
	same(t, "revision", int64(2), s.entry(p, "pack").Revision)
}

func testClaims(t *testing.T, s *store) {
	root := s.group(nil, "root")
	sub := s.group(root, "sub")
	p, q := s.project(root.ID, "p"), s.project(sub.ID, "q")
	elsewhere := s.project(s.group(nil, "elsewhere").ID, "p")
	publish := func(project *registry.Project, claim bool, version string) error {
		pub := publication(project, "pack", version)
		if claim {
			pub.Claim = project
		}
		return s.Publish(t.Context(), format, pub)
	}
	must(t, publish(p, true, "1"))
	wantKind(t, "the version in another project of the root", publish(q, true, "1"), registry.Conflict)
	wantKind(t, "the entry", s.attempt(func(tx registry.Tx) error { _, err := tx.Entry(q.ID, registry.NPM, "pack"); return err }), registry.NotFound)
	must(t, publish(q, true, "2"))
	must(t, publish(q, false, "1"))
	must(t, publish(elsewhere, true, "1"))
	pypi := publication(q, "pack", "1")
	pypi.Claim = q
	must(t, s.Publish(t.Context(), registry.Format{Type: registry.PyPI, Compare: compareVersions}, pypi))

	// What is unpublished can be claimed anew.
	must(t, s.Unpublish(t.Context(), format, p.ID, "pack", s.entry(p, "pack").Revision, func(string) bool { return false }))
	third := s.project(root.ID, "third")
	must(t, publish(third, true, "1"))
}

func testTags(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	for _, version := range []string{"1", "2", "3"} {
		s.publish(p, "pack", version)
	}
	set := func(tag, version string) error { return s.SetTag(t.Context(), format, p.ID, "pack", tag, version) }
	tags := func() map[string]string {
		all := map[string]string{}
		for _, tag := range find(s, func(tx registry.Tx) ([]*registry.Tag, error) { return tx.Tags([]int64{s.entry(p, "pack").ID}) }) {
			all[tag.Name] = tag.Version
		}
		return all
	}
	must(t, set("beta", "3"))
	must(t, set("Beta", "2"))
	same(t, "tags", map[string]string{"beta": "3", "Beta": "2"}, tags())
	before := s.entry(p, "pack").Revision
	must(t, set("beta", "1"))
	same(t, "moved", map[string]string{"beta": "1", "Beta": "2"}, tags())
	if after := s.entry(p, "pack").Revision; after <= before {
		t.Errorf("moving a tag took the revision from %d to %d", before, after)
	}

	before = s.entry(p, "pack").Revision
	wantKind(t, "a tag of no version", set("gamma", "9"), registry.NotFound)
	wantKind(t, "a tag of no package", s.SetTag(t.Context(), format, p.ID, "none", "gamma", "1"), registry.NotFound)
	wantKind(t, "deleting no tag", s.DeleteTag(t.Context(), format, p.ID, "pack", "gamma"), registry.NotFound)
	wantKind(t, "deleting a tag of no package", s.DeleteTag(t.Context(), format, p.ID, "none", "gamma"), registry.NotFound)
	wantKind(t, "the entry", s.attempt(func(tx registry.Tx) error { _, err := tx.Entry(p.ID, registry.NPM, "none"); return err }), registry.NotFound)
	same(t, "revision after what was refused", before, s.entry(p, "pack").Revision)

	must(t, s.DeleteTag(t.Context(), format, p.ID, "pack", "beta"))
	same(t, "after one was deleted", map[string]string{"Beta": "2"}, tags())
	if after := s.entry(p, "pack").Revision; after <= before {
		t.Errorf("deleting a tag took the revision from %d to %d", before, after)
	}
	// A tag goes with its version.
	must(t, s.Unpublish(t.Context(), format, p.ID, "pack", s.entry(p, "pack").Revision, func(version string) bool { return version != "2" }))
	same(t, "after its version is gone", map[string]string{}, tags())
}

func testLatest(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	check := func(what, want string) {
		t.Helper()
		same(t, "latest after "+what, want, s.latest(p, "pack"))
	}
	s.publish(p, "pack", "2")
	check("the first", "2")
	s.publish(p, "pack", "1")
	check("a lower one", "2")
	s.publish(p, "pack", "10")
	check("a higher one", "10")
	s.publish(p, "pack", "3", "latest")
	check("one with the tag", "3")
	s.publish(p, "pack", "11")
	check("a higher one without it", "3")
	s.publish(p, "pack", "12", "next")
	check("a higher one with another tag", "3")
	must(t, s.SetTag(t.Context(), format, p.ID, "pack", "beta", "1"))
	check("another tag", "3")
	must(t, s.SetTag(t.Context(), format, p.ID, "pack", "latest", "1"))
	check("the tag moved", "1")
	must(t, s.DeleteTag(t.Context(), format, p.ID, "pack", "beta"))
	check("another tag is gone", "1")
	must(t, s.DeleteTag(t.Context(), format, p.ID, "pack", "latest"))
	check("the tag is gone", "12")
	must(t, s.SetTag(t.Context(), format, p.ID, "pack", "latest", "2"))
	must(t, s.Unpublish(t.Context(), format, p.ID, "pack", s.entry(p, "pack").Revision, func(version string) bool { return version != "2" }))
	check("its version is gone", "12")
	must(t, s.Unpublish(t.Context(), format, p.ID, "pack", s.entry(p, "pack").Revision, func(version string) bool { return version == "10" || version == "3" }))
	check("the highest are gone", "10")
	must(t, s.Unpublish(t.Context(), format, p.ID, "pack", s.entry(p, "pack").Revision, func(string) bool { return false }))
	check("all are gone", "")
	s.publish(p, "pack", "1")
	check("a new beginning", "1")
}

// Which version is the highest, and whether a prerelease may be it, only the format knows.
func testLatestIsTheFormats(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	stableFirst := registry.Format{Type: registry.NPM, Compare: func(a, b string) int {
		preA, preB := bytes.Contains([]byte(a), []byte("-")), bytes.Contains([]byte(b), []byte("-"))
		if preA != preB && preA {
			return -1
		} else if preA != preB {
			return 1
		}
		return compareVersions(a, b)
	}}
	equal := registry.Format{Type: registry.NPM, Compare: func(a, b string) int { return 0 }}
	for _, test := range []struct {
		name   string
		format registry.Format
		want   []string // after each of 1-a, 1-b, 1, 2-a
	}{
		{"semver", format, []string{"1-a", "1-b", "1", "2-a"}},
		{"stable-first", stableFirst, []string{"1-a", "1-b", "1", "1"}},
		{"of-equals-the-newest", equal, []string{"1-a", "1-b", "1", "2-a"}},
	} {
		for i, version := range []string{"1-a", "1-b", "1", "2-a"} {
			must(t, s.Publish(t.Context(), test.format, publication(p, test.name, version)))
			same(t, test.name+": latest after "+version, test.want[i], s.latest(p, test.name))
		}
		// Found anew, it is the same.
		must(t, s.SetTag(t.Context(), test.format, p.ID, test.name, "latest", "1-a"))
		must(t, s.DeleteTag(t.Context(), test.format, p.ID, test.name, "latest"))
		same(t, test.name+": latest found anew", test.want[3], s.latest(p, test.name))
	}
}

func testDeprecate(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	for _, version := range []string{"1", "2", "3"} {
		s.publish(p, "pack", version)
	}
	type state struct {
		Status  registry.Status
		Message string
	}
	states := func() map[string]state {
		all := map[string]state{}
		for _, pkg := range find(s, func(tx registry.Tx) ([]*registry.Package, error) { return tx.Packages([]int64{s.entry(p, "pack").ID}) }) {
			all[pkg.Version] = state{pkg.Status, pkg.StatusMessage}
		}
		return all
	}
	fine := state{registry.Default, ""}
	for _, step := range []struct {
		what    string
		reasons map[string]string
		bumps   bool
		want    map[string]state
	}{
		{"nothing", nil, false, map[string]state{"1": fine, "2": fine, "3": fine}},
		{"two of them", map[string]string{"1": "old", "2": "broken"}, true,
			map[string]state{"1": {registry.Deprecated, "old"}, "2": {registry.Deprecated, "broken"}, "3": fine}},
		{"the same again", map[string]string{"1": "old", "2": "broken", "3": ""}, false,
			map[string]state{"1": {registry.Deprecated, "old"}, "2": {registry.Deprecated, "broken"}, "3": fine}},
		{"one for another reason, one not any more", map[string]string{"1": "very old", "2": ""}, true,
			map[string]state{"1": {registry.Deprecated, "very old"}, "2": fine, "3": fine}},
		{"a version that is not there", map[string]string{"9": "old"}, false,
			map[string]state{"1": {registry.Deprecated, "very old"}, "2": fine, "3": fine}},
	} {
		before := s.entry(p, "pack").Revision
		must(t, s.Deprecate(t.Context(), format, p.ID, "pack", step.reasons))
		same(t, "after deprecating "+step.what, step.want, states())
		if after := s.entry(p, "pack").Revision; (after > before) != step.bumps {
			t.Errorf("deprecating %s took the revision from %d to %d", step.what, before, after)
		}
	}
	wantKind(t, "deprecating no package", s.Deprecate(t.Context(), format, p.ID, "none", map[string]string{"1": "old"}), registry.NotFound)
	same(t, "latest", "3", s.latest(p, "pack"))
	must(t, s.Unpublish(t.Context(), format, p.ID, "pack", s.entry(p, "pack").Revision, func(string) bool { return false }))
	wantKind(t, "deprecating what is gone", s.Deprecate(t.Context(), format, p.ID, "pack", map[string]string{"1": "old"}), registry.NotFound)
}

func testUnpublish(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	for _, version := range []string{"1", "2", "3"} {
		s.publish(p, "pack", version)
	}
	gone := find(s, func(tx registry.Tx) (*registry.Package, error) {
		return tx.PackageByVersion(s.entry(p, "pack").ID, "2")
	})
	seen := s.entry(p, "pack").Revision
	s.publish(p, "pack", "4")
	without2 := func(version string) bool { return version != "2" }
	for _, stale := range []int64{seen, 0, seen + 2} {
		wantKind(t, "unpublish at a stale revision", s.Unpublish(t.Context(), format, p.ID, "pack", stale, without2), registry.Conflict)
	}
	same(t, "versions", []string{"1", "2", "3", "4"}, s.versions(s.entry(p, "pack")))
	same(t, "revision", seen+1, s.entry(p, "pack").Revision)

	must(t, s.Unpublish(t.Context(), format, p.ID, "pack", seen+1, without2))
	e := s.entry(p, "pack")
	same(t, "versions", []string{"1", "3", "4"}, s.versions(e))
	same(t, "fragments", []string{"1", "3", "4"}, s.fragments("full", e))
	if e.Revision <= seen+1 {
		t.Errorf("unpublish took the revision from %d to %d", seen+1, e.Revision)
	}
	must(t, s.Purge(t.Context()))
	if files := find(s, func(tx registry.Tx) ([]*registry.File, error) { return tx.Files(gone.ID) }); len(files) != 0 {
		t.Errorf("files of what is gone: %v", files)
	}
	s.read(func(tx registry.Tx) error {
		return tx.Fragments([]int64{gone.ID}, "full", func(*registry.Package, []byte) error {
			t.Error("a fragment of what is gone")
			return nil
		})
	})
	s.publish(p, "pack", "2")
	same(t, "versions", []string{"1", "3", "4", "2"}, s.versions(e))
}

// Clients and caches hold on to revisions: one that came again would pass an old document for a new one.
func testRevisionSurvives(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	last := int64(0)
	var id int64
	for round := range 3 {
		pkg := s.publish(p, "pack", "1")
		e := s.entry(p, "pack")
		if id == 0 {
			id = e.ID
		}
		if e.Revision <= last || e.ID != id {
			t.Fatalf("round %d: published again, entry %d has revision %d after entry %d had %d", round, e.ID, e.Revision, id, last)
		}
		last = e.Revision
		must(t, s.Unpublish(t.Context(), format, p.ID, "pack", last, func(string) bool { return false }))
		e = s.entry(p, "pack")
		if e.Revision <= last {
			t.Fatalf("round %d: unpublished, revision %d after %d", round, e.Revision, last)
		}
		last = e.Revision
		if again := s.publish(p, "other", strconv.Itoa(round)); again.ID <= pkg.ID {
			t.Fatalf("package id %d came after %d", again.ID, pkg.ID)
		}
	}
}

// What is being removed is gone for every reader, and its version free; what is hidden can be had.
func testStatus(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	for i, status := range []registry.Status{registry.Default, registry.Hidden, registry.Processing, registry.Failed, registry.PendingDestruction, registry.Deprecated} {
		pub := publication(p, "pack", strconv.Itoa(i))
		pub.Package.Status = status
		must(t, s.Publish(t.Context(), format, pub))
	}
	e := s.entry(p, "pack")
	want := []string{"0", "1", "5"}
	same(t, "installable", want, s.versions(e))
	same(t, "fragments", want, s.fragments("full", e))
	for i := range 6 {
		version := strconv.Itoa(i)
		err := s.attempt(func(tx registry.Tx) error { _, err := tx.PackageByVersion(e.ID, version); return err })
		if slices.Contains(want, version) != (err == nil) {
			t.Errorf("version %s by its name: %v", version, err)
		}
		_, err = s.FileOfVersion(t.Context(), []int64{e.ID}, version, "")
		if slices.Contains(want, version) != (err == nil) {
			t.Errorf("file of version %s: %v", version, err)
		}
	}
	s.publish(p, "pack", "4")
	same(t, "versions after one in destruction was published anew", []string{"0", "1", "5", "4"}, s.versions(e))
	wantKind(t, "a version that is processed", s.Publish(t.Context(), format, publication(p, "pack", "2")), registry.Conflict)
}

func testFragments(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	bodies := map[string][]byte{"nul": []byte("\x00a\x00\x00b\x00"), "binary": {0xff, 0xfe, 0, 0x80}, "empty": {}}
	pub := publication(p, "pack", "1")
	pub.Fragments = maps.Clone(bodies)
	must(t, s.Publish(t.Context(), format, pub))
	e := s.entry(p, "pack")
	for variant, body := range bodies {
		same(t, variant, []string{string(body)}, s.fragments(variant, e))
	}
	s.write(func(tx registry.Tx) error { return tx.SetFragment(pub.Package.ID, "binary", []byte("new")) })
	same(t, "replaced", []string{"new"}, s.fragments("binary", e))

	// Oldest first, which is the order of publishing, not of versions.
	for _, version := range []string{"10", "9", "11"} {
		s.publish(p, "many", version)
	}
	many := s.entry(p, "many")
	same(t, "order", []string{"10", "9", "11"}, s.fragments("full", many))
	s.read(func(tx registry.Tx) error {
		packages, err := tx.Packages([]int64{many.ID})
		must(t, err)
		got := map[string]string{}
		must(t, tx.Fragments([]int64{packages[2].ID, packages[0].ID}, "full", func(p *registry.Package, body []byte) error {
			got[p.Version] = string(body)
			return nil
		}))
		same(t, "by package", map[string]string{"10": "10", "11": "11"}, got)
		var of []*registry.Package
		must(t, tx.EachFragment([]int64{many.ID}, "full", func(p *registry.Package, _ []byte) error {
			of = append(of, p)
			return nil
		}))
		var shown []*registry.Package // what documents show of them
		for _, p := range packages {
			shown = append(shown, &registry.Package{ID: p.ID, ProjectID: p.ProjectID, Name: p.Name, Version: p.Version, Status: p.Status, StatusMessage: p.StatusMessage,
				CreatorID: p.CreatorID, CreatedAt: p.CreatedAt, Downloads: p.Downloads})
		}
		same(t, "packages of the fragments", shown, of)

		stop := errors.New("enough")
		n := 0
		err = tx.EachFragment([]int64{many.ID}, "full", func(*registry.Package, []byte) error {
			n++
			return stop
		})
		if !errors.Is(err, stop) || n != 1 {
			t.Errorf("stopped after %d: %v", n, err)
		}
		none := func(*registry.Package, []byte) error {
			t.Error("a fragment of nothing")
			return nil
		}
		must(t, tx.EachFragment(nil, "full", none))
		must(t, tx.EachFragment([]int64{4711}, "full", none))
		must(t, tx.EachFragment([]int64{4711, 4712}, "full", none))
		must(t, tx.Fragments(nil, "full", none))
		return nil
	})
}

// Where projects of one group hold one version, the newest package stands for it.
func testMergedFragments(t *testing.T, s *store) {
	g := s.group(nil, "g")
	p, q, r := s.project(g.ID, "p"), s.project(g.ID, "q"), s.project(g.ID, "r")
	publish := func(project *registry.Project, version, body string, status registry.Status) {
		pub := publication(project, "pack", version)
		pub.Package.Status = status
		pub.Fragments = map[string][]byte{"full": []byte(body)}
		pub.Files[0].Content = newContent(body)
		must(t, s.Publish(t.Context(), format, pub))
	}
	publish(p, "1", "1 of p", registry.Default)
	publish(q, "1", "1 of q", registry.Default)
	publish(q, "2", "2 of q", registry.Default)
	publish(p, "3", "3 of p", registry.Default)
	publish(p, "2", "2 of p", registry.Default)
	publish(r, "1", "1 of r", registry.Failed) // does not stand for anything
	e, f, h := s.entry(p, "pack"), s.entry(q, "pack"), s.entry(r, "pack")
	same(t, "p", []string{"1 of p", "3 of p", "2 of p"}, s.fragments("full", e))
	same(t, "q", []string{"1 of q", "2 of q"}, s.fragments("full", f))
	same(t, "r", 0, len(s.fragments("full", h)))
	merged := []string{"1 of q", "3 of p", "2 of p"}
	same(t, "p and q", merged, s.fragments("full", e, f))
	same(t, "q, r and p", merged, s.fragments("full", f, h, e))
	same(t, "packages of all", []string{"1", "1", "2", "3", "2"}, s.versions(e, f, h))
	for _, test := range []struct {
		entries []*registry.Entry
		version string
		want    string
	}{
		{[]*registry.Entry{e}, "1", "1 of p"}, {[]*registry.Entry{e, f, h}, "1", "1 of q"}, {[]*registry.Entry{h, f, e}, "2", "2 of p"},
	} {
		file, err := s.FileOfVersion(t.Context(), ids(test.entries), test.version, "")
		must(t, err)
		same(t, "file of "+test.want, newContent(test.want).sums, file.Digests)
	}
	// Tags of several entries: the one moved last comes last.
	must(t, s.SetTag(t.Context(), format, p.ID, "pack", "latest", "1"))
	s.laterMillisecond()
	must(t, s.SetTag(t.Context(), format, q.ID, "pack", "latest", "1"))
	s.laterMillisecond()
	must(t, s.SetTag(t.Context(), format, p.ID, "pack", "latest", "2"))
	tags := find(s, func(tx registry.Tx) ([]*registry.Tag, error) { return tx.Tags(ids([]*registry.Entry{e, f})) })
	var order []string
	for _, tag := range tags {
		order = append(order, tag.Version)
	}
	same(t, "tags", []string{"1", "2"}, order)
	packages := find(s, func(tx registry.Tx) ([]*registry.Package, error) { return tx.Packages(ids([]*registry.Entry{e, f})) })
	if latest := registry.Latest(format, packages, tags); latest == nil || latest.Version != "2" || latest.ProjectID != p.ID {
		t.Errorf("latest of both: %+v", latest)
	}
}

// laterMillisecond waits until the stored form of the time is another one.
func (s *store) laterMillisecond() {
	for start := time.Now(); time.Since(start) < 2*time.Millisecond; {
		time.Sleep(time.Millisecond)
	}
}

func testLargeFragments(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	body := bytes.Repeat([]byte("0123456789abcde\x00"), 1<<16) // 1 MiB
	var want []string
	for i := range 3 {
		body[0] = byte('a' + i)
		pub := publication(p, "pack", strconv.Itoa(i))
		pub.Fragments = map[string][]byte{"full": bytes.Clone(body)}
		must(t, s.Publish(t.Context(), format, pub))
		want = append(want, string(body))
	}
	got := s.fragments("full", s.entry(p, "pack"))
	if !slices.Equal(got, want) {
		t.Errorf("got %d fragments that are not those stored", len(got))
	}
}

func testFileOfVersion(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	pkg := s.publish(p, "pack", "1")
	file, err := s.FileOfVersion(t.Context(), []int64{pkg.EntryID}, "1", "")
	must(t, err)
	same(t, "file", find(s, func(tx registry.Tx) ([]*registry.File, error) { return tx.Files(pkg.ID) })[0], file)
	for _, entries := range [][]int64{nil, {4711}, {4711, 4712}} {
		_, err := s.FileOfVersion(t.Context(), entries, "1", "")
		wantKind(t, "a file of nothing", err, registry.NotFound)
	}
	_, err = s.FileOfVersion(t.Context(), []int64{pkg.EntryID}, "2", "")
	wantKind(t, "a file of no version", err, registry.NotFound)
}

// Words come from a package's own description, which may hold anything. It must not depend on the database whether
// such a package can be published and found.
func testWordsThatAreNoText(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	pub := publication(p, "pack", "1")
	pub.Package.Words = "before\x00after and \xff\xfe last"
	must(t, s.Publish(t.Context(), format, pub))
	for _, term := range []string{"before", "after", "last"} {
		if _, total := s.search(registry.EntryFilter{Viewer: registry.Viewer{All: true}, Terms: []string{term}}); total != 1 {
			t.Errorf("a search for %s finds %d", term, total)
		}
	}
}
