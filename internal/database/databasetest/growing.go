package databasetest

import (
	"context"
	"testing"

	"packhouse/internal/registry"
)

// pypi orders versions as the other tests' format does; its versions grow.
var pypi = registry.Format{Type: registry.PyPI, Compare: compareVersions}

// upload adds one file to a version.
func (s *store) upload(project *registry.Project, name, spelling, version, file, text string) (*registry.Publication, error) {
	p := &registry.Publication{
		Package:   registry.Package{ProjectID: project.ID, Name: spelling, Version: version},
		EntryName: name,
		How:       registry.Grow,
		Files:     []registry.PublicationFile{{Name: file, Content: newContent(text), Facts: "facts of " + text}},
		Fragments: map[string][]byte{"metadata " + file: []byte(text)},
	}
	return p, s.Publish(s.t.Context(), pypi, p)
}

func (s *store) pypiEntry(project *registry.Project, name string) *registry.Entry {
	s.t.Helper()
	return find(s, func(tx registry.Tx) (*registry.Entry, error) { return tx.Entry(project.ID, registry.PyPI, name) })
}

// filesOf are the files of entries with their versions and facts, as EachFile orders them.
func (s *store) filesOf(entries ...*registry.Entry) (list []string) {
	s.t.Helper()
	s.read(func(tx registry.Tx) error {
		return tx.EachFile(ids(entries), func(p *registry.Package, f *registry.File) error {
			if f.PackageID != p.ID {
				s.t.Errorf("file %+v comes with package %+v", f, p)
			}
			list = append(list, p.Name+" "+p.Version+" "+f.Name+" "+f.Facts)
			return nil
		})
	})
	return list
}

func testGrowing(t *testing.T, s *store) {
	g := s.group(nil, "g")
	p, q := s.project(g.ID, "p"), s.project(g.ID, "q")
	up := func(project *registry.Project, spelling, version, file, text string) *registry.Publication {
		t.Helper()
		pub, err := s.upload(project, "my-pkg", spelling, version, file, text)
		must(t, err)
		return pub
	}
	first := up(p, "My.Pkg", "1", "a", "A")
	second := up(p, "my_pkg", "1", "b", "B")
	if first.Package.ID != second.Package.ID || first.Unchanged || second.Unchanged {
		t.Errorf("two files of a version: %+v and %+v", first.Package, second.Package)
	}
	up(p, "my-pkg", "2", "c", "C")
	up(q, "my-pkg", "1", "a", "other")
	ofP, ofQ := s.pypiEntry(p, "my-pkg"), s.pypiEntry(q, "my-pkg")
	all := []string{"My.Pkg 1 a facts of A", "My.Pkg 1 b facts of B", "my-pkg 2 c facts of C"}
	same(t, "files", all, s.filesOf(ofP))
	same(t, "files of two projects", append(all, "my-pkg 1 a facts of other"), s.filesOf(ofP, ofQ))

	revision := ofP.Revision
	if again := up(p, "my-pkg", "1", "a", "A"); !again.Unchanged {
		t.Error("the same file again changes something")
	}
	_, err := s.upload(p, "my-pkg", "my-pkg", "1", "a", "X")
	wantKind(t, "other bytes under a name", err, registry.Conflict)
	if now := s.pypiEntry(p, "my-pkg").Revision; now != revision {
		t.Errorf("revision %d after what changed nothing, want %d", now, revision)
	}
	same(t, "files after what changed nothing", all, s.filesOf(ofP))

	named := func(name string) (f *registry.File, err error) {
		err = s.Store.Read(context.Background(), func(tx registry.Tx) (err error) {
			f, err = tx.FileByName(first.Package.ID, name)
			return err
		})
		return f, err
	}
	f, err := named("b")
	must(t, err)
	if f.Name != "b" || f.Facts != "facts of B" || f.SHA256 != newContent("B").sums.SHA256 || f.PackageID != first.Package.ID {
		t.Errorf("file b: %+v", f)
	}
	for _, name := range []string{"B", "c", ""} {
		_, err := named(name)
		wantKind(t, "a file that the version does not have", err, registry.NotFound)
	}
	s.write(func(tx registry.Tx) error { return tx.MarkFile(f.ID) })
	_, err = named("b")
	wantKind(t, "a file that was deleted", err, registry.NotFound)
	same(t, "files without the deleted one", []string{all[0], all[2]}, s.filesOf(ofP))
	up(p, "my-pkg", "1", "b", "B anew")
	s.write(func(tx registry.Tx) error { return tx.MarkForDestruction(first.Package.ID) })
	same(t, "files without the deleted version", []string{all[2]}, s.filesOf(ofP))

	s.set(0, p.ID, "pypi_duplicates_allowed", "true")
	up(p, "my-pkg", "2", "c", "C anew")
	same(t, "a file in place of another", []string{"my-pkg 2 c facts of C anew"}, s.filesOf(ofP))
}

func testFilesByDigest(t *testing.T, s *store) {
	g := s.group(nil, "g")
	p, q := s.project(g.ID, "p"), s.project(g.ID, "q")
	digest := newContent("A").sums.SHA256
	projects := func(kind registry.Type, sha256, name string) (list []int64) {
		t.Helper()
		files, err := s.FilesByDigest(t.Context(), kind, sha256, name)
		must(t, err)
		for _, f := range files {
			list = append(list, f.ProjectID)
			if f.Name != name || f.SHA256 != sha256 {
				t.Errorf("found %+v", f)
			}
		}
		return list
	}
	same(t, "before", []int64{}, projects(registry.PyPI, digest, "a"))
	inP, err := s.upload(p, "x", "x", "1", "a", "A")
	must(t, err)
	same(t, "in one", []int64{p.ID}, projects(registry.PyPI, digest, "a"))
	_, err = s.upload(q, "y", "y", "1", "a", "A")
	must(t, err)
	same(t, "in two, the newest first", []int64{q.ID, p.ID}, projects(registry.PyPI, digest, "a"))
	same(t, "another name", []int64{}, projects(registry.PyPI, digest, "b"))
	same(t, "another digest", []int64{}, projects(registry.PyPI, newContent("B").sums.SHA256, "a"))
	same(t, "another format", []int64{}, projects(registry.NPM, digest, "a"))
	s.write(func(tx registry.Tx) error { return tx.MarkForDestruction(inP.Package.ID) })
	same(t, "after one was deleted", []int64{q.ID}, projects(registry.PyPI, digest, "a"))
	files, err := s.FilesByDigest(t.Context(), registry.PyPI, digest, "a")
	must(t, err)
	s.write(func(tx registry.Tx) error { return tx.MarkFile(files[0].ID) })
	same(t, "after the other's file was", []int64{}, projects(registry.PyPI, digest, "a"))
}

func testIndexOfNames(t *testing.T, s *store) {
	top := s.group(nil, "g")
	below := s.group(top, "below")
	p, q := s.project(top.ID, "p"), s.project(below.ID, "q")
	elsewhere := s.project(s.group(nil, "h").ID, "r")
	everybody := registry.Viewer{All: true}
	index := func(f registry.EntryFilter) (list []string) {
		t.Helper()
		f.Type = registry.PyPI
		s.read(func(tx registry.Tx) error {
			return tx.EachName(f, func(name, spelling string) error {
				list = append(list, name+"="+spelling)
				return nil
			})
		})
		return list
	}
	state := func(f registry.EntryFilter) (list [][2]int64) {
		t.Helper()
		f.Type = registry.PyPI
		for _, r := range find(s, func(tx registry.Tx) ([]registry.Revision, error) { return tx.ProjectRevisions(f) }) {
			list = append(list, [2]int64{r.ProjectID, r.Revision})
		}
		return list
	}
	inTop := registry.EntryFilter{Viewer: everybody, Group: find(s, func(tx registry.Tx) (*registry.Group, error) { return tx.Group(top.ID) })}
	inBelow := registry.EntryFilter{Viewer: everybody, Group: find(s, func(tx registry.Tx) (*registry.Group, error) { return tx.Group(below.ID) })}
	inP := registry.EntryFilter{Viewer: everybody, Project: p.ID}
	same(t, "index of nothing", []string{}, index(inTop))
	same(t, "state of nothing", [][2]int64{}, state(inTop))
	up := func(project *registry.Project, name, spelling, version string) *registry.Publication {
		t.Helper()
		pub, err := s.upload(project, name, spelling, version, spelling+version, project.Path+spelling+version)
		must(t, err)
		return pub
	}
	up(p, "b-b", "B.B", "1")
	up(p, "a", "A", "1")
	up(q, "b-b", "b_b", "1")
	up(elsewhere, "z", "z", "1")
	s.publish(p, "npm", "1")
	same(t, "of a project", []string{"a=A", "b-b=B.B"}, index(inP))
	same(t, "of a group, each once, in the newest spelling", []string{"a=A", "b-b=b_b"}, index(inTop))
	same(t, "of a group below", []string{"b-b=b_b"}, index(inBelow))
	same(t, "state of a group", [][2]int64{{p.ID, 2}, {q.ID, 1}}, state(inTop))
	same(t, "for nobody", []string{}, index(registry.EntryFilter{Group: inTop.Group}))
	same(t, "state for nobody", [][2]int64{}, state(registry.EntryFilter{Group: inTop.Group}))
	gone := up(p, "a", "a", "2")
	same(t, "in the spelling of the latest version", []string{"a=a", "b-b=B.B"}, index(inP))
	same(t, "state of a project that changed", [][2]int64{{p.ID, 3}}, state(inP))
	s.Formats = []registry.Format{pypi}
	must(t, s.Registry.Delete(t.Context(), gone.Package.ID, func(registry.Tx, *registry.Package) error { return nil }))
	same(t, "in that of what is left", []string{"a=A", "b-b=B.B"}, index(inP))
	if now := state(inP); len(now) != 1 || now[0][1] <= 3 {
		t.Errorf("state after a deletion: %v", now)
	}
}
