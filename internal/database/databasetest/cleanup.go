package databasetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"packhouse/internal/registry"
)

// age makes a version of a day in the past, with a file of so many bytes.
func age(tx registry.Tx, p *registry.Project, name, version string, days, size int) (*registry.Package, error) {
	e, err := tx.TouchEntry(p.ID, registry.NPM, name)
	if err != nil {
		return nil, err
	}
	pkg := &registry.Package{ProjectID: p.ID, EntryID: e.ID, Type: registry.NPM, Name: name, Version: version, CreatedAt: time.Now().Add(-time.Duration(days) * oneDay)}
	if err := tx.CreatePackage(pkg); err != nil {
		return nil, err
	}
	if err := tx.SetLatest(e.ID, pkg.ID, 1); err != nil {
		return nil, err
	}
	return pkg, tx.CreateFile(&registry.File{PackageID: pkg.ID, Name: "file", Digests: registry.Digests{Size: int64(size)}})
}

func (s *store) aged(p *registry.Project, name, version string, days, size int) (pkg *registry.Package) {
	s.t.Helper()
	s.write(func(tx registry.Tx) (err error) {
		pkg, err = age(tx, p, name, version, days, size)
		return err
	})
	return pkg
}

// cleanup stores a policy whose turn it is.
func (s *store) cleanup(p *registry.CleanupPolicy) *registry.CleanupPolicy {
	s.t.Helper()
	if p.Cadence == 0 {
		p.Cadence = registry.DefaultCadence
	}
	must(s.t, s.SetCleanupPolicy(s.t.Context(), p))
	s.write(func(tx registry.Tx) error { return tx.RequestCleanup(p.ProjectID) })
	return p
}

// preview is what would go, "name version reasons", and the totals.
func (s *store) preview(p *registry.CleanupPolicy) (list []string, totals registry.CleanupTotals) {
	s.t.Helper()
	picks, total, totals, err := s.PreviewCleanup(s.t.Context(), p, 10_000, 0)
	must(s.t, err)
	if total != len(picks) {
		s.t.Errorf("%d would go and %d are listed", total, len(picks))
	}
	for _, pick := range picks {
		list = append(list, strings.TrimSpace(pick.Name+" "+pick.Version+" "+strings.Join(pick.Reasons, ",")))
	}
	return list, totals
}

// cleanUp runs what is due, which must be one policy, and returns it afterwards.
func (s *store) cleanUp(project int64) *registry.CleanupPolicy {
	s.t.Helper()
	ran, err := s.CleanUp(s.t.Context())
	must(s.t, err)
	if !ran {
		s.t.Fatal("no policy's turn")
	}
	if again, err := s.CleanUp(s.t.Context()); again || err != nil {
		s.t.Fatalf("a second turn: %v, %v", again, err)
	}
	return s.cleanupPolicy(project)
}

func (s *store) cleanupPolicy(project int64) *registry.CleanupPolicy {
	s.t.Helper()
	return find(s, func(tx registry.Tx) (*registry.CleanupPolicy, error) { return tx.CleanupPolicy(project) })
}

func testCleanup(t *testing.T, s *store) {
	g := s.group(nil, "g")
	p, q := s.project(g.ID, "p"), s.project(g.ID, "q")
	for days := 9; days >= 0; days-- {
		s.aged(p, "a", fmt.Sprint(9-days), days*10, 100+days)
		s.aged(q, "a", fmt.Sprint(9-days), days*10, 100)
	}
	tagged := find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.PackageByVersion(s.entry(p, "a").ID, "2") })
	used := find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.PackageByVersion(s.entry(p, "a").ID, "3") })
	hidden := find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.PackageByVersion(s.entry(p, "a").ID, "4") })
	hidden.Status = registry.Hidden
	s.write(func(tx registry.Tx) error {
		return errors.Join(tx.UpdatePackage(hidden), tx.SetTag(&registry.Tag{EntryID: tagged.EntryID, Name: "stable", PackageID: tagged.ID}),
			tx.AddDownloads([]registry.Download{{PackageID: used.ID, FileID: s.files(used)[0].ID, Day: time.Now().Truncate(oneDay), Count: 1, Last: time.Now()}}))
	})
	s.aged(p, "b", "1", 400, 1) // the only one of its name
	policy := s.cleanup(&registry.CleanupPolicy{ProjectID: p.ID, KeepVersions: 3, NotDownloadedSince: 35})
	want := []string{"a 5 keep_n_versions,not_downloaded_since", "a 1 keep_n_versions,not_downloaded_since", "a 0 keep_n_versions,not_downloaded_since"}
	wantTotals := registry.CleanupTotals{Packages: 3, Files: 3, Bytes: 104 + 108 + 109}
	list, totals := s.preview(policy)
	same(t, "would go", want, list)
	same(t, "totals", wantTotals, totals)
	part, total, _, err := s.PreviewCleanup(t.Context(), policy, 1, 1)
	if must(t, err); total != 3 || len(part) != 1 || part[0].Version != "1" {
		t.Errorf("a part of the preview: %v of %d", part, total)
	}
	before, revision := s.entry(p, "a"), s.accessRevision()
	untouched := s.entry(p, "b")

	run := s.cleanUp(p.ID).Run
	same(t, "removed", wantTotals, run.Removed)
	if run.FinishedAt.IsZero() || run.StartedAt.After(run.FinishedAt) || run.Error != "" || !run.LeaseUntil.IsZero() {
		t.Errorf("run: %+v", run)
	}
	if next := s.cleanupPolicy(p.ID).NextRunAt; !next.IsZero() {
		t.Errorf("a policy that is not enabled runs again at %v", next)
	}
	same(t, "versions", []string{"2", "3", "4", "6", "7", "8", "9"}, s.versions(s.entry(p, "a")))
	same(t, "versions of another project", 10, len(s.versions(s.entry(q, "a"))))
	if after := s.entry(p, "a"); after.Revision == before.Revision || after.LatestID != before.LatestID {
		t.Errorf("entry %+v after %+v", after, before)
	}
	same(t, "an entry of which nothing went", untouched, s.entry(p, "b"))
	same(t, "access revision", revision, s.accessRevision())
	events := find(s, func(tx registry.Tx) ([]*registry.Event, error) {
		events, _, err := tx.Events(registry.EventFilter{ProjectID: p.ID, Limit: 10})
		return events, err
	})
	if len(events) != 4 || events[0].Name != registry.PackageDeleted || events[0].Detail != "cleanup policy: keep_n_versions, not_downloaded_since" || events[0].UserID != 0 || events[3].Name != registry.SettingsChanged {
		t.Errorf("events: %+v", events)
	}
	list, totals = s.preview(policy)
	same(t, "would go afterwards", []string{}, list)
	same(t, "totals afterwards", registry.CleanupTotals{}, totals)
	must(t, s.Purge(t.Context()))
	s.write(func(tx registry.Tx) error { return tx.RequestCleanup(p.ID) })
	same(t, "removed by a run without anything to do", registry.CleanupTotals{}, s.cleanUp(p.ID).Run.Removed)
}

// A search does not find a name for a kind of versions of which none is left.
func testCleanupOfKinds(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	for i, traits := range []registry.Traits{0, registry.Prerelease, registry.Prerelease} {
		pub := publication(p, "a", fmt.Sprint(i))
		pub.Package.Traits = traits
		must(t, s.Publish(t.Context(), format, pub))
	}
	all := s.entry(p, "a")
	s.cleanup(&registry.CleanupPolicy{ProjectID: p.ID, KeepVersions: 2})
	s.cleanUp(p.ID)
	left := s.entry(p, "a")
	same(t, "versions", []string{"1", "2"}, s.versions(left))
	if left.LatestID != all.LatestID || all.Listed != registry.Within(registry.Prerelease) || left.Listed != all.Listed&^registry.Within(0) {
		t.Errorf("entry %+v after %+v", left, all)
	}
}

func testCleanupFiles(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	pkg := s.aged(p, "a", "1", 10, 1)
	s.write(func(tx registry.Tx) error {
		for i := range 1300 { // more than go at once
			err := errors.Join(tx.CreateFile(&registry.File{PackageID: pkg.ID, Name: "file", Digests: registry.Digests{Size: int64(i + 2)}}),
				tx.CreateFile(&registry.File{PackageID: pkg.ID, Name: fmt.Sprint("other", i%650), Digests: registry.Digests{Size: 1000}}))
			if err != nil {
				return err
			}
		}
		return nil
	})
	policy := s.cleanup(&registry.CleanupPolicy{ProjectID: p.ID, KeepFiles: 2})
	list, totals := s.preview(policy)
	same(t, "would lose files", []string{"a 1"}, list)
	same(t, "totals", registry.CleanupTotals{Files: 1299, Bytes: 1299 * 1300 / 2}, totals)
	same(t, "removed", totals, s.cleanUp(p.ID).Run.Removed)
	var sizes []int64
	for _, f := range s.files(pkg) {
		if f.Name == "file" {
			sizes = append(sizes, f.Size)
		}
	}
	same(t, "sizes of those that stayed", []int64{1300, 1301}, sizes)
	same(t, "all files", 1302, len(s.files(pkg)))
}

// What a preview says is what goes, with more versions and names than are looked at or go at once.
func testCleanupAgrees(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	s.write(func(tx registry.Tx) error {
		for i := range 650 {
			if _, err := age(tx, p, "many", fmt.Sprint(i), 1000-i, i); err != nil {
				return err
			}
		}
		for i := range 220 {
			for version := range 3 {
				if _, err := age(tx, p, fmt.Sprint("name", i), fmt.Sprint(version), 100-version*40-i%30, 7); err != nil {
					return err
				}
			}
		}
		return nil
	})
	versions := func() (all []string) {
		s.read(func(tx registry.Tx) error {
			return tx.CleanupVersions(registry.CleanupScope{Project: p.ID}, func(v *registry.CleanupVersion) error {
				all = append(all, v.Name+" "+v.Version)
				return nil
			})
		})
		return all
	}
	before := versions()
	same(t, "versions", 650+3*220, len(before))
	policy := s.cleanup(&registry.CleanupPolicy{ProjectID: p.ID, Enabled: true, Cadence: time.Hour, OlderThan: 45, NameKeepPattern: "name1.*"})
	list, totals := s.preview(policy)
	if len(list) < 600 || int(totals.Packages) != len(list) {
		t.Fatalf("%d would go, totals %+v", len(list), totals)
	}
	after := s.cleanUp(p.ID)
	same(t, "removed", totals, after.Run.Removed)
	if wait := time.Until(after.NextRunAt); wait > time.Hour || wait < 50*time.Minute {
		t.Errorf("runs again in %v", wait)
	}
	for i := range list {
		list[i] = strings.TrimSuffix(list[i], " older_than")
	}
	want := slices.DeleteFunc(before, func(v string) bool { return slices.Contains(list, v) })
	same(t, "versions that stayed", want, versions())
}

// Of several nodes one runs a policy; another goes on when that one is silent, and a change of the policy ends it.
func testCleanupLease(t *testing.T, s *store) {
	g := s.group(nil, "g")
	p := s.project(g.ID, "p")
	wantKind(t, "a policy that is not there", s.attempt(func(tx registry.Tx) error { _, err := tx.CleanupPolicy(p.ID); return err }), registry.NotFound)
	wantKind(t, "a turn of a policy that is not there", s.attempt(func(tx registry.Tx) error { return tx.RequestCleanup(p.ID) }), registry.NotFound)
	claim := func(at time.Time) (claimed *registry.CleanupPolicy, err error) {
		err = s.attempt(func(tx registry.Tx) (err error) {
			claimed, err = tx.ClaimCleanup(at, time.Minute)
			return err
		})
		return claimed, err
	}
	stored := &registry.CleanupPolicy{ProjectID: p.ID, Enabled: true, Cadence: 36 * time.Hour, KeepFiles: 1, KeepVersions: 2, OlderThan: 3, NotDownloadedSince: 4,
		Type: registry.NPM, NamePattern: "a", NameKeepPattern: "b", VersionPattern: "c", VersionKeepPattern: "d"}
	want := *stored
	must(t, s.SetCleanupPolicy(t.Context(), stored))
	want.NextRunAt = stored.NextRunAt
	same(t, "stored", &want, s.cleanupPolicy(p.ID))
	if wait := time.Until(stored.NextRunAt); wait > 36*time.Hour || wait < 35*time.Hour {
		t.Errorf("the first run is in %v", wait)
	}
	_, err := claim(time.Now())
	wantKind(t, "a claim before its turn", err, registry.NotFound)
	s.write(func(tx registry.Tx) error { return tx.RequestCleanup(p.ID) })

	var won sync.Map
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			claimed, err := claim(time.Now())
			if err == nil {
				won.Store(claimed.Run.Lease, claimed)
			} else if registry.KindOf(err) != registry.NotFound {
				t.Error(err)
			}
		})
	}
	all.Wait()
	var first *registry.CleanupPolicy
	won.Range(func(_, claimed any) bool {
		if first != nil {
			t.Error("two nodes claimed one run")
		}
		first = claimed.(*registry.CleanupPolicy)
		return true
	})
	if first == nil {
		t.Fatal("no node claimed the run")
	}
	advance := func(claimed *registry.CleanupPolicy) error {
		return s.attempt(func(tx registry.Tx) error {
			return tx.AdvanceCleanup(claimed, registry.CleanupTotals{Packages: 1, Files: 2, Bytes: 3}, time.Minute)
		})
	}
	must(t, advance(first))
	s.write(func(tx registry.Tx) error { return tx.RequestCleanup(p.ID) }) // it is running
	_, err = claim(time.Now())
	wantKind(t, "a claim of a run that goes on", err, registry.NotFound)

	second, err := claim(time.Now().Add(2 * time.Minute))
	must(t, err)
	must(t, advance(second))
	if second.Run.Removed.Packages != 1 || !second.Run.StartedAt.Equal(first.Run.StartedAt) {
		t.Errorf("the run that was taken over: %+v", second.Run)
	}
	wantKind(t, "the silent node's going on", advance(first), registry.NotFound)
	wantKind(t, "the silent node's end", s.attempt(func(tx registry.Tx) error { return tx.EndCleanup(first, true, "", time.Time{}) }), registry.NotFound)

	must(t, s.SetCleanupPolicy(t.Context(), &registry.CleanupPolicy{ProjectID: p.ID, Cadence: time.Hour}))
	wantKind(t, "going on after the policy was changed", advance(second), registry.NotFound)
	got := s.cleanupPolicy(p.ID)
	if got.Run.Error == "" || got.Run.FinishedAt.IsZero() || got.Run.Removed != (registry.CleanupTotals{Packages: 2, Files: 4, Bytes: 6}) || !got.NextRunAt.IsZero() {
		t.Errorf("after a change: %+v", got)
	}
	s.write(func(tx registry.Tx) error { return tx.RequestCleanup(p.ID) })
	third, err := claim(time.Now().Add(time.Second))
	must(t, err)
	if third.Run.Removed.Packages != 0 || third.Run.Error != "" || third.Run.StartedAt.Equal(first.Run.StartedAt) {
		t.Errorf("a new run: %+v", third.Run)
	}
	s.write(func(tx registry.Tx) error { return tx.EndCleanup(third, true, "broken", time.Time{}) })
	if got := s.cleanupPolicy(p.ID); got.Run.Error != "broken" || got.Run.FinishedAt.IsZero() || !got.NextRunAt.IsZero() {
		t.Errorf("ended: %+v", got)
	}
}

// A run that is told to stop goes on where it was, the next time.
func testCleanupStops(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	s.aged(p, "a", "1", 10, 1)
	s.aged(p, "a", "2", 9, 1)
	s.cleanup(&registry.CleanupPolicy{ProjectID: p.ID, KeepVersions: 1})
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if ran, err := s.CleanUp(stopped); !ran || err != nil {
		t.Fatalf("%v, %v", ran, err)
	}
	if got := s.cleanupPolicy(p.ID); !got.Run.FinishedAt.IsZero() || got.Run.Removed.Packages != 0 || got.NextRunAt.IsZero() {
		t.Errorf("stopped: %+v", got)
	}
	if got := s.cleanUp(p.ID).Run; got.FinishedAt.IsZero() || got.Removed.Packages != 1 {
		t.Errorf("gone on: %+v", got)
	}
}

func testCleanupOfArchived(t *testing.T, s *store) {
	g := s.group(nil, "g")
	p := &registry.Project{NamespaceID: g.ID, Name: "p", Path: "p", Visibility: registry.Private, RegistryAccess: registry.RegistryEnabled, Archived: true}
	s.write(func(tx registry.Tx) error { return tx.CreateProject(p) })
	s.aged(p, "a", "1", 10, 1)
	s.aged(p, "a", "2", 9, 1)
	s.cleanup(&registry.CleanupPolicy{ProjectID: p.ID, Enabled: true, KeepVersions: 1})
	if got := s.cleanUp(p.ID); got.Run.Error != "the project is archived" || got.Run.Removed.Packages != 0 || got.NextRunAt.Before(time.Now()) {
		t.Errorf("%+v", got)
	}
	same(t, "versions", 2, len(s.versions(s.entry(p, "a"))))
}

// While versions are published, tagged and deleted, no run takes what the policy keeps at that moment.
func testCleanupRaces(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	const keep = 5
	for i := range 40 {
		s.aged(p, "a", fmt.Sprint(i), 100-i, 1)
	}
	s.cleanup(&registry.CleanupPolicy{ProjectID: p.ID, KeepVersions: keep})
	ctx := context.Background()
	var all sync.WaitGroup
	all.Go(func() {
		for i := range 20 {
			if err := s.Publish(ctx, format, publication(p, "a", fmt.Sprint(100+i))); err != nil {
				t.Error(err)
			}
		}
	})
	all.Go(func() { // a version that a tag names stays from then on
		err := s.SetTag(ctx, format, p.ID, "a", "old", "0")
		if err != nil && registry.KindOf(err) != registry.NotFound {
			t.Error(err)
		}
		for range 20 {
			tags := find(s, func(tx registry.Tx) ([]*registry.Tag, error) { return tx.Tags([]int64{s.entry(p, "a").ID}) })
			if err == nil && len(tags) == 0 {
				t.Error("a tag went with its version")
				return
			}
		}
	})
	for range 10 {
		s.write(func(tx registry.Tx) error { return tx.RequestCleanup(p.ID) })
		if _, err := s.CleanUp(ctx); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	s.write(func(tx registry.Tx) error { return tx.RequestCleanup(p.ID) })
	s.cleanUp(p.ID)
	versions := s.versions(s.entry(p, "a"))
	newest := versions[max(0, len(versions)-keep):]
	same(t, "the newest", []string{"115", "116", "117", "118", "119"}, newest)
	if len(versions) > keep+2 { // besides, the one with a tag, and the first of all, which may be tagged late
		t.Errorf("stayed: %v", versions)
	}
	if s.latest(p, "a") != "119" {
		t.Errorf("latest is %s", s.latest(p, "a"))
	}
}
