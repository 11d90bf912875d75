package databasetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"packhouse/internal/registry"
)

// composer orders versions as the other tests' format does; a version of it is one of its files.
var composer = registry.Format{Type: registry.Composer, Compare: compareVersions}

// point lets a version be a file, in a name of the project's own.
func (s *store) point(project *registry.Project, name, version, file string, floats bool) (*registry.Publication, error) {
	how := registry.Point
	if floats {
		how = registry.Float
	}
	p := &registry.Publication{
		Package:   registry.Package{ProjectID: project.ID, Name: name, Version: version},
		EntryName: name, How: how, OwnName: true,
		Files:     []registry.PublicationFile{{Name: file, Content: newContent(file)}},
		Fragments: map[string][]byte{"version": []byte(file)},
	}
	return p, s.Publish(s.t.Context(), composer, p)
}

// testPointsWords: a version is found by the words of what it is now.
func testPointsWords(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	publish := func(version, file, words string) *registry.Publication {
		t.Helper()
		pub := &registry.Publication{
			Package:   registry.Package{ProjectID: p.ID, Name: "lib", Version: version, Words: words},
			EntryName: "lib", How: registry.Float,
			Files: []registry.PublicationFile{{Name: file, Content: newContent(file)}},
		}
		must(t, s.Publish(t.Context(), composer, pub))
		return pub
	}
	finds := func(what, word string, want bool) {
		t.Helper()
		names, _ := s.search(registry.EntryFilter{Type: registry.Composer, Viewer: registry.Viewer{All: true}, Terms: []string{word}})
		same(t, what, want, len(names) == 1)
	}
	publish("2", "a", "early")
	finds("its words", "early", true)
	publish("1", "b", "beside")
	finds("the words of a version that is not the latest", "beside", false)
	latest := publish("2", "c", "Late")
	finds("the words of what it is now", "late", true)
	finds("the words of what it was", "early", false)
	publish("1", "d", "below")
	finds("the words of the latest version after another has moved", "late", true)
	publish("2", "e", strings.Repeat("long ", 10_000)+"end\x00\xff")
	finds("the first of many words", "long", true)
	finds("the last of many words", "end", false)
	must(t, s.Delete(t.Context(), latest.Package.ID, func(registry.Tx, *registry.Package) error { return nil }))
	finds("the words of what is left, as it is now", "below", true)
	finds("its name", "lib", true)
	err := s.Store.Write(t.Context(), func(tx registry.Tx) error { return tx.SetWords(1<<40, "lib", "") })
	wantKind(t, "words of a version that is not there", err, registry.NotFound)
}

// keyed lets a version be a file of its own, with a key.
func (s *store) keyed(project *registry.Project, name, version, key string) (*registry.Publication, error) {
	p := &registry.Publication{
		Package:   registry.Package{ProjectID: project.ID, Name: name, Version: version, VersionKey: key},
		EntryName: name, How: registry.Point, OwnName: true,
		Files: []registry.PublicationFile{{Name: version, Content: newContent(version)}},
	}
	return p, s.Publish(s.t.Context(), composer, p)
}

func (s *store) composerEntry(project *registry.Project, name string) *registry.Entry {
	s.t.Helper()
	return find(s, func(tx registry.Tx) (*registry.Entry, error) { return tx.Entry(project.ID, registry.Composer, name) })
}

// A version that points is what it was made last; what it was before stays to be found.
func testPoints(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	point := func(version, file string, floats bool) *registry.Publication {
		t.Helper()
		pub, err := s.point(p, "lib", version, file, floats)
		must(t, err)
		return pub
	}
	shown := func() (bodies []string) {
		s.read(func(tx registry.Tx) error {
			return tx.EachFragment([]int64{s.composerEntry(p, "lib").ID}, "version", func(p *registry.Package, body []byte) error {
				bodies = append(bodies, p.Version+" "+string(body))
				return nil
			})
		})
		return bodies
	}
	files := func(pkg *registry.Publication) (names []string) {
		for _, f := range s.files(&pkg.Package) {
			names = append(names, f.Name)
		}
		return names
	}
	first := point("0", "a", true)
	revision := s.composerEntry(p, "lib").Revision
	if again := point("0", "a", true); !again.Unchanged || s.composerEntry(p, "lib").Revision != revision {
		t.Errorf("the same again: %+v", again)
	}
	point("0", "b", true)
	same(t, "after it moved", []string{"0 b"}, shown())
	same(t, "its files", []string{"a", "b"}, files(first))
	point("0", "a", true)
	same(t, "after it moved back", []string{"0 a"}, shown())
	same(t, "its files, the newest last", []string{"b", "a"}, files(first))
	found, err := s.FileOfEntry(t.Context(), first.Package.EntryID, "b")
	must(t, err)
	same(t, "a file from before", "b", found.Name)
	_, err = s.FileOfEntry(t.Context(), first.Package.EntryID, "c")
	wantKind(t, "a file that never was", err, registry.NotFound)

	// One that does not float moves where the settings allow it, and is there otherwise.
	point("1", "c", false)
	point("1", "d", false)
	s.set(0, p.ID, "composer_duplicates_allowed", "false")
	_, err = s.point(p, "lib", "1", "c", false)
	wantKind(t, "a version that should stay", err, registry.Conflict)
	point("1", "d", false)
	point("0", "e", true)
	same(t, "all of them", []string{"0 e", "1 d"}, shown())

	// Two spellings of one version.
	keyed := func(version string) error {
		_, err := s.keyed(p, "keyed", version, "key")
		return err
	}
	must(t, keyed("1"))
	wantKind(t, "another spelling", keyed("1.0"), registry.Conflict)
	must(t, keyed("1"))
	one := find(s, func(tx registry.Tx) (*registry.Package, error) {
		return tx.PackageByVersion(s.composerEntry(p, "keyed").ID, "key")
	})
	must(t, s.Delete(t.Context(), one.ID, func(registry.Tx, *registry.Package) error { return nil }))
	must(t, keyed("1.0"))
	wantKind(t, "the one that was deleted", keyed("1"), registry.Conflict)
	must(t, s.Purge(t.Context()))
	wantKind(t, "the one that is gone", keyed("1"), registry.Conflict)

	// As many files as it may have, the oldest goes.
	s.set(0, p.ID, registry.MaxFilesSetting, "2")
	point("0", "f", true)
	point("0", "g", true)
	same(t, "the newest ones", []string{"f", "g"}, files(first))
	s.read(func(tx registry.Tx) error {
		changed := []string{}
		err := tx.EachChange(registry.EntryFilter{Type: registry.Composer, Viewer: registry.Viewer{All: true}}, time.Now().Add(-time.Minute), func(name string, _ time.Time, gone bool) error {
			changed = append(changed, fmt.Sprint(name, gone))
			return nil
		})
		slices.Sort(changed)
		same(t, "changes", []string{"keyedfalse", "libfalse"}, changed)
		return err
	})
	installed := find(s, func(tx registry.Tx) ([]*registry.File, error) {
		return tx.Installed(registry.EntryFilter{Type: registry.Composer, Viewer: registry.Viewer{All: true}}, []string{"lib", "other"}, func(name, version string) bool { return name == "lib" && version == "0" })
	})
	if len(installed) != 1 || installed[0].Name != "g" {
		t.Errorf("installed: %+v", installed)
	}
}

// A name of its own is of one project below a top-level namespace, as long as it has a version there.
func testOwnNames(t *testing.T, s *store) {
	g, other := s.group(nil, "g"), s.group(nil, "other")
	p, q, r := s.project(g.ID, "p"), s.project(s.group(g, "low").ID, "q"), s.project(other.ID, "r")
	pub, err := s.point(p, "lib", "1", "a", false)
	must(t, err)
	_, err = s.point(q, "lib", "2", "b", false)
	wantKind(t, "a name of another project", err, registry.Conflict)
	if registry.MessageOf(err) != registry.MessageOf(registry.ErrNameTaken) {
		t.Errorf("%v", err)
	}
	_, err = s.point(r, "lib", "2", "b", false)
	must(t, err)

	// Neither comes where the other is.
	wantKind(t, "a move to where the name is", s.saveProject(r.ID, func(r *registry.Project) { r.NamespaceID = g.ID }), registry.Conflict)
	wantKind(t, "a move of the group", s.saveGroup(other.ID, func(o *registry.Group) { o.ParentID = g.ID }), registry.Conflict)
	must(t, s.Delete(t.Context(), pub.Package.ID, func(registry.Tx, *registry.Package) error { return nil }))
	must(t, s.saveProject(r.ID, func(r *registry.Project) { r.NamespaceID = g.ID }))
	_, err = s.point(p, "lib", "1", "a", false)
	wantKind(t, "a name that came", err, registry.Conflict)

	// Of many at once, in as many projects, one has it.
	projects := []*registry.Project{p, q}
	for i := range 4 {
		projects = append(projects, s.project(g.ID, fmt.Sprint("x", i)))
	}
	for round := range 5 {
		var mu sync.Mutex
		var owners []int64
		var group sync.WaitGroup
		for i := range 12 {
			group.Go(func() {
				project := projects[i%len(projects)]
				_, err := s.point(project, fmt.Sprint("new", round), fmt.Sprint(i), fmt.Sprint("file", i), false)
				if err == nil {
					mu.Lock()
					owners = append(owners, project.ID)
					mu.Unlock()
				} else if registry.KindOf(err) != registry.Conflict {
					t.Errorf("publisher %d: %v", i, err)
				}
			})
		}
		group.Wait()
		slices.Sort(owners)
		if len(slices.Compact(owners)) != 1 {
			t.Errorf("owners %v", owners)
		}
	}
}

// A mirror is fetched by one node at a time, when it is its turn.
func testMirrors(t *testing.T, s *store) {
	g := s.group(nil, "g")
	p := s.project(g.ID, "p")
	user := s.user("ann")
	claim := func() (m *registry.Mirror, err error) {
		err = s.Store.Write(t.Context(), func(tx registry.Tx) (err error) {
			m, err = tx.ClaimMirror(time.Now(), time.Hour)
			return err
		})
		return m, err
	}
	none := func(what string) {
		t.Helper()
		if m, err := claim(); registry.KindOf(err) != registry.NotFound {
			t.Errorf("%s: %+v, %v", what, m, err)
		}
	}
	none("no mirror")
	wantKind(t, "a request for none", s.FetchMirror(t.Context(), p.ID), registry.NotFound)
	made, err := s.ChangeMirror(t.Context(), p.ID, func(m *registry.Mirror) error {
		m.Enabled, m.URL, m.User, m.Password, m.UserID = true, "https://a", "u", "w", user.ID
		return nil
	})
	must(t, err)
	same(t, "its state", "scheduled", made.State())
	m, err := claim()
	must(t, err)
	same(t, "what was claimed", []any{"https://a", "u", "w", user.ID, "started"}, []any{m.URL, m.User, m.Password, m.UserID, m.State()})
	none("while another one fetches")
	must(t, s.FetchMirror(t.Context(), p.ID)) // asked for meanwhile
	end := func(m *registry.Mirror, failure string) error {
		return s.Store.Write(t.Context(), func(tx registry.Tx) error { return tx.EndMirror(m, failure, time.Now().Add(time.Hour)) })
	}
	must(t, end(m, ""))
	again, err := claim()
	must(t, err)
	wantKind(t, "the end of another one's fetch", end(m, ""), registry.NotFound)
	must(t, end(again, "it failed"))
	none("before its time")
	now := find(s, func(tx registry.Tx) (*registry.Mirror, error) { return tx.Mirror(p.ID) })
	if now.State() != "failed" || now.Error != "it failed" || now.Succeeded.IsZero() || now.EndedAt.Before(now.Succeeded) {
		t.Errorf("%+v", now)
	}
	// What is not seen any more, or must not change, is not fetched.
	for what, change := range map[string]func(*registry.Project){
		"archived": func(p *registry.Project) { p.Archived = true },
		"marked":   func(p *registry.Project) { p.Archived, p.MarkedAt = false, time.Now() },
	} {
		must(t, s.saveProject(p.ID, change))
		s.write(func(tx registry.Tx) error { return tx.RequestMirror(p.ID) })
		none(what)
		must(t, s.saveProject(p.ID, func(p *registry.Project) { p.Archived, p.MarkedAt = false, time.Time{} }))
	}
	_, err = s.ChangeMirror(t.Context(), p.ID, func(m *registry.Mirror) error { m.Enabled = false; return nil })
	must(t, err)
	none("switched off")
	s.write(func(tx registry.Tx) error { return tx.DeleteUser(user.ID) })
	same(t, "of a user who is gone", int64(0), find(s, func(tx registry.Tx) (*registry.Mirror, error) { return tx.Mirror(p.ID) }).UserID)

	// A project that is gone is noted for whoever has its repository.
	must(t, s.MarkProject(t.Context(), p.ID))
	must(t, s.RemovePlaces(t.Context()))
	gone := find(s, func(tx registry.Tx) ([]int64, error) { return tx.RemovedProjects(10) })
	same(t, "removed", []int64{p.ID}, gone)
	select {
	case <-s.Removed():
	default:
		t.Error("nobody was told that a project was removed")
	}
	s.write(func(tx registry.Tx) error { return tx.ForgetRemoved(gone) })
	same(t, "removed, and forgotten", []int64(nil), find(s, func(tx registry.Tx) ([]int64, error) { return tx.RemovedProjects(10) }))
}
