package databasetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"packhouse/internal/registry"
)

const oneDay = 24 * time.Hour

var firstOfMarch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// files of a package.
func (s *store) files(pkg *registry.Package) []*registry.File {
	s.t.Helper()
	return find(s, func(tx registry.Tx) ([]*registry.File, error) { return tx.Files(pkg.ID) })
}

// days on which a package was downloaded in March.
func (s *store) days(pkg *registry.Package, file int64) []registry.DayCount {
	s.t.Helper()
	return find(s, func(tx registry.Tx) ([]registry.DayCount, error) {
		return tx.DownloadsByDay(pkg.ID, file, firstOfMarch, firstOfMarch.Add(30*oneDay))
	})
}

func testDownloads(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	a, b := s.publish(p, "a", "1"), s.publish(p, "b", "1")
	s.write(func(tx registry.Tx) error {
		return tx.CreateFile(&registry.File{PackageID: a.ID, Name: "second", Digests: newContent("second").Digests()})
	})
	first, second, other := s.files(a)[0].ID, s.files(a)[1].ID, s.files(b)[0].ID
	accessBefore, entryBefore := s.accessRevision(), s.entry(p, "a")

	noon := firstOfMarch.Add(12 * time.Hour)
	s.write(func(tx registry.Tx) error {
		return tx.AddDownloads([]registry.Download{
			{PackageID: a.ID, FileID: first, Day: firstOfMarch, Count: 2, Last: noon},
			{PackageID: a.ID, FileID: first, Day: firstOfMarch.Add(oneDay), Count: 5_000_000_000, Last: noon.Add(oneDay)},
			{PackageID: a.ID, FileID: second, Day: firstOfMarch, Count: 1, Last: noon},
			{PackageID: b.ID, FileID: other, Day: firstOfMarch, Count: 1, Last: noon},
			{PackageID: b.ID + 100, FileID: other + 100, Day: firstOfMarch, Count: 1, Last: noon}, // gone meanwhile
		})
	})
	s.write(func(tx registry.Tx) error { // another node, late
		return tx.AddDownloads([]registry.Download{{PackageID: a.ID, FileID: first, Day: firstOfMarch, Count: 3, Last: noon}})
	})
	s.write(func(tx registry.Tx) error { return tx.AddDownloads(nil) })
	s.write(func(tx registry.Tx) error {
		return tx.AddDownloads([]registry.Download{{PackageID: 4711, FileID: 4711, Day: firstOfMarch, Count: 3, Last: noon}})
	})

	got := find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.Package(a.ID) })
	if got.Downloads != 5_000_000_006 || !got.LastDownloadedAt.Equal(noon.Add(oneDay)) {
		t.Errorf("package: %d downloads, the last at %v", got.Downloads, got.LastDownloadedAt)
	}
	if files := s.files(a); files[0].Downloads != 5_000_000_005 || files[1].Downloads != 1 {
		t.Errorf("files: %d and %d downloads", files[0].Downloads, files[1].Downloads)
	}
	same(t, "days", []registry.DayCount{{Day: firstOfMarch, Count: 6}, {Day: firstOfMarch.Add(oneDay), Count: 5_000_000_000}}, s.days(a, 0))
	same(t, "days of a file", []registry.DayCount{{Day: firstOfMarch, Count: 1}}, s.days(a, second))
	same(t, "days of another package's file", []registry.DayCount{}, s.days(b, second))
	if revision, entry := s.accessRevision(), s.entry(p, "a"); revision != accessBefore || entry.Revision != entryBefore.Revision {
		t.Errorf("counting moved a revision: %d to %d, %d to %d", accessBefore, revision, entryBefore.Revision, entry.Revision)
	}

	// A file that is gone leaves its days to the package, and its package takes them along.
	must(t, s.DeleteFile(t.Context(), a.ID, second, func(registry.Tx, *registry.Package) error { return nil }))
	must(t, s.Purge(t.Context()))
	s.write(func(tx registry.Tx) error {
		return tx.AddDownloads([]registry.Download{{PackageID: a.ID, FileID: second, Day: firstOfMarch, Count: 1, Last: noon}})
	})
	same(t, "days with a file that is gone", []registry.DayCount{{Day: firstOfMarch, Count: 7}, {Day: firstOfMarch.Add(oneDay), Count: 5_000_000_000}}, s.days(a, 0))
	must(t, s.Delete(t.Context(), a.ID, func(registry.Tx, *registry.Package) error { return nil }))
	s.write(func(tx registry.Tx) error {
		return tx.AddDownloads([]registry.Download{{PackageID: a.ID, FileID: first, Day: firstOfMarch.Add(2 * oneDay), Count: 1, Last: noon}})
	})
	must(t, s.Purge(t.Context()))
	same(t, "days of a package that is gone", []registry.DayCount{}, s.days(a, 0))
	wantKind(t, "a package with downloads, purged", s.attempt(func(tx registry.Tx) error { _, err := tx.Package(a.ID); return err }), registry.NotFound)
}

func testSweepDownloads(t *testing.T, s *store) {
	pkg := s.publish(s.project(s.group(nil, "g").ID, "p"), "a", "1")
	file := s.files(pkg)[0].ID
	var rows []registry.Download
	for i := range 1200 { // more than one part
		rows = append(rows, registry.Download{PackageID: pkg.ID, FileID: file, Day: firstOfMarch.Add(time.Duration(-i) * oneDay), Count: 1, Last: firstOfMarch})
	}
	s.write(func(tx registry.Tx) error { return tx.AddDownloads(rows) })
	must(t, s.SweepDownloads(t.Context(), firstOfMarch))
	same(t, "days", []registry.DayCount{{Day: firstOfMarch, Count: 1}},
		find(s, func(tx registry.Tx) ([]registry.DayCount, error) {
			return tx.DownloadsByDay(pkg.ID, 0, firstOfMarch.Add(-1300*oneDay), firstOfMarch)
		}))
	if got := find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.Package(pkg.ID) }); got.Downloads != 1200 {
		t.Errorf("%d downloads in all after the days were removed", got.Downloads)
	}
}

// Several nodes count the same files, while packages are removed.
func testRacingDownloads(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	var files []*registry.File
	var packages []*registry.Package
	for _, version := range []string{"1", "2", "3", "4", "5", "6"} {
		pkg := s.publish(p, "a", version)
		packages, files = append(packages, pkg), append(files, s.files(pkg)...)
	}
	const nodes, rounds = 4, 10
	var all sync.WaitGroup
	for range nodes {
		all.Go(func() {
			var d registry.Downloads
			for range rounds {
				for _, f := range files {
					d.Count(f)
				}
				if err := d.Flush(context.Background(), s.Store); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for _, pkg := range packages[4:] {
			if err := s.Delete(context.Background(), pkg.ID, func(registry.Tx, *registry.Package) error { return nil }); err != nil {
				t.Error(err)
			}
			if err := s.Purge(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	for _, pkg := range packages[:4] {
		if got := find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.Package(pkg.ID) }); got.Downloads != nodes*rounds {
			t.Errorf("%d downloads, want %d", got.Downloads, nodes*rounds)
		}
	}
}

// What could not be written is written the next time.
func testDownloadsFlush(t *testing.T, s *store) {
	pkg := s.publish(s.project(s.group(nil, "g").ID, "p"), "a", "1")
	var d registry.Downloads
	d.Count(s.files(pkg)[0])
	broken := &brokenStore{Store: s.Store}
	if err := d.Flush(t.Context(), broken); err == nil {
		t.Error("a flush to a store that is broken succeeded")
	}
	for range 2 {
		must(t, d.Flush(t.Context(), s.Store))
	}
	if got := find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.Package(pkg.ID) }); got.Downloads != 1 || time.Since(got.LastDownloadedAt) > time.Minute {
		t.Errorf("%d downloads, the last at %v", got.Downloads, got.LastDownloadedAt)
	}
}

type brokenStore struct{ registry.Store }

func (*brokenStore) Write(context.Context, func(registry.Tx) error) error {
	return registry.Errorf(registry.Unavailable, "broken")
}
