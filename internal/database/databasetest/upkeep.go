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

func (s *store) condemn(before time.Time) []string {
	s.t.Helper()
	var digests []string
	s.write(func(tx registry.Tx) error {
		digests = nil
		found, _, err := tx.CondemnGarbage(before, 100)
		for _, b := range found {
			digests = append(digests, b.SHA256)
		}
		return err
	})
	slices.Sort(digests)
	return digests
}

func later() time.Time { return time.Now().Add(time.Minute) }

// A content that loses its last row is noted by itself, and is condemned when grace is over; a row that comes in between
// keeps it, and one that comes later waits.
func testGarbage(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	pkg := s.publish(p, "pack", "1")
	shared := publication(p, "other", "1")
	shared.Files[0].Content = newContent("pack1")
	must(t, s.Publish(t.Context(), format, shared))
	sum := newContent("pack1").sums.SHA256
	remove := func(id int64) {
		t.Helper()
		must(t, s.Delete(t.Context(), id, always))
		must(t, s.Purge(t.Context()))
	}
	same(t, "with rows", []string(nil), s.condemn(later()))
	remove(pkg.ID)
	same(t, "with one row left", []string(nil), s.condemn(later()))
	remove(shared.Package.ID)
	same(t, "before grace is over", []string(nil), s.condemn(time.Now().Add(-time.Minute)))
	again := publication(p, "again", "1")
	again.Files[0].Content = newContent("pack1")
	must(t, s.Publish(t.Context(), format, again))
	same(t, "published again", []string(nil), s.condemn(later()))
	remove(again.Package.ID)
	same(t, "without rows", []string{sum}, s.condemn(later()))
	same(t, "by a second collector", []string(nil), s.condemn(later()))

	file := &registry.File{Name: "f", Digests: registry.Digests{SHA256: sum}}
	create := func(tx registry.Tx) error {
		e, err := tx.TouchEntry(p.ID, registry.NPM, "late")
		if err != nil {
			return err
		}
		k := &registry.Package{ProjectID: p.ID, EntryID: e.ID, Type: registry.NPM, Name: "late", Version: "1"}
		if err := tx.CreatePackage(k); err != nil {
			return err
		}
		file.PackageID = k.ID
		return tx.CreateFile(file)
	}
	if err := s.attempt(create); !errors.Is(err, registry.ErrBeingRemoved) || registry.KindOf(err) != registry.Unavailable {
		t.Errorf("a row for what is being removed: %v", err)
	}
	// A publish waits for it.
	published := make(chan error, 1)
	waits := publication(p, "waits", "1")
	waits.Files[0].Content = newContent("pack1")
	go func() { published <- s.Publish(context.Background(), format, waits) }()
	select {
	case err := <-published:
		t.Fatalf("a publish does not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	s.write(func(tx registry.Tx) error { return tx.ForgetGarbage([]string{sum}) })
	must(t, <-published)
	s.write(create)
	same(t, "in the end", []string(nil), s.condemn(later()))
}

// Symbols name contents, too.
func testGarbageOfSymbols(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	k := publication(p, "pack", "1")
	symbol := newContent("symbol")
	k.Files[0].Symbols = []registry.PublicationSymbol{{Symbol: registry.Symbol{Name: "a.pdb", Signature: "s", Checksum: "c"}, Content: symbol}}
	must(t, s.Publish(t.Context(), format, k))
	blobs := []registry.BlobInfo{{SHA256: symbol.sums.SHA256}, {SHA256: newContent("pack1").sums.SHA256}, {SHA256: strings.Repeat("0", 64), Size: 7}}
	noted := find(s, func(tx registry.Tx) ([]registry.BlobInfo, error) { return tx.Unnamed(blobs) })
	same(t, "without a row", blobs[2:], noted)
	for want := 1; want >= 0; want-- {
		s.write(func(tx registry.Tx) error {
			n, err := tx.NoteGarbage(blobs)
			same(t, "noted", want, n)
			return err
		})
	}
	same(t, "condemned", []string{blobs[2].SHA256}, s.condemn(later()))

	contents := find(s, func(tx registry.Tx) ([]registry.Content, error) { return tx.Contents("", 10) })
	if len(contents) != 2 || contents[0].SHA256 >= contents[1].SHA256 {
		t.Fatalf("contents %v", contents)
	}
	second := find(s, func(tx registry.Tx) ([]registry.Content, error) { return tx.Contents(contents[0].SHA256, 10) })
	same(t, "those after the first", contents[1:], second)
	for _, c := range contents {
		want := registry.ContentUse{Project: "g/p", Package: "pack", Version: "1", Type: registry.NPM, File: "pack-1.tgz", Digests: newContent("pack1").sums}
		if c.SHA256 == symbol.sums.SHA256 {
			want.File, want.Digests = "a.pdb", registry.Digests{Size: 6, SHA256: c.SHA256}
		}
		same(t, "uses", []registry.ContentUse{want}, c.Uses)
	}
	s.read(func(tx registry.Tx) error {
		n, bytes, err := tx.CountContents()
		same(t, "counted", []int64{2, 11}, []int64{n, bytes})
		return err
	})
	must(t, s.Delete(t.Context(), k.Package.ID, always))
	must(t, s.Purge(t.Context()))
	want := []string{blobs[0].SHA256, blobs[1].SHA256}
	slices.Sort(want)
	same(t, "when the package is gone", want, s.condemn(later()))
}

// A project that is removed as a whole leaves nothing that is not noted.
func testGarbageOfPlaces(t *testing.T, s *store) {
	g := s.group(nil, "g")
	p := s.project(g.ID, "p")
	for i := range 5 {
		s.publish(p, "pack", fmt.Sprint(i))
	}
	s.write(func(tx registry.Tx) error { return tx.Condemn(0, p.ID) })
	must(t, s.RemovePlaces(t.Context()))
	same(t, "condemned", 5, len(s.condemn(later())))
}

// Publishers, deleters and collectors at once: no content is condemned that a row names, now or later, before it is forgotten.
func testGarbageRaces(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	const contents = 4
	var mu sync.Mutex
	gone := map[string]bool{} // as the store of the blobs is: what was removed and not stored again
	stop := make(chan struct{})
	var collectors, publishers sync.WaitGroup
	for range 2 {
		collectors.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var digests []string
				err := s.Store.Write(context.Background(), func(tx registry.Tx) error {
					digests = nil
					found, _, err := tx.CondemnGarbage(later(), 10)
					for _, b := range found {
						digests = append(digests, b.SHA256)
					}
					return err
				})
				if err == nil && len(digests) > 0 {
					mu.Lock()
					for _, sha256 := range digests {
						gone[sha256] = true
					}
					mu.Unlock()
					err = s.Store.Write(context.Background(), func(tx registry.Tx) error { return tx.ForgetGarbage(digests) })
				}
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	for worker := range 6 {
		publishers.Go(func() {
			for i := range 12 {
				k := publication(p, fmt.Sprintf("pack%d", worker), fmt.Sprint(i))
				c := newContent(fmt.Sprintf("content %d", (worker+i)%contents))
				k.Files[0].Content = storing{c, func() { mu.Lock(); delete(gone, c.sums.SHA256); mu.Unlock() }}
				if err := s.Publish(context.Background(), format, k); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if gone[c.sums.SHA256] {
					t.Errorf("content %s is gone and a row names it", c.sums.SHA256)
				}
				mu.Unlock()
				if err := s.Delete(context.Background(), k.Package.ID, always); err != nil {
					t.Error(err)
				}
				if err := s.Purge(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishers.Wait()
	close(stop)
	collectors.Wait()
}

// storing is a content that says when it is committed.
type storing struct {
	*content
	commit func()
}

func (s storing) Commit(ctx context.Context) error {
	s.commit()
	return s.content.Commit(ctx)
}

func testLeases(t *testing.T, s *store) {
	now := time.Now()
	take := func(holder string, at time.Time) (l *registry.Lease, err error) {
		err = s.attempt(func(tx registry.Tx) error {
			l, err = tx.TakeLease("work", holder, at, at.Add(time.Minute))
			return err
		})
		return l, err
	}
	l, err := take("a", now)
	must(t, err)
	same(t, "holder", "a", l.Holder)
	_, err = take("b", now.Add(30*time.Second))
	wantKind(t, "taken by another", err, registry.Conflict)
	_, err = take("a", now.Add(10*time.Second))
	must(t, err)
	l.Progress, l.Until = "here", now.Add(2*time.Minute)
	s.write(func(tx registry.Tx) error { return tx.KeepLease(l) })
	_, err = take("b", now.Add(90*time.Second))
	wantKind(t, "taken by another before it ends", err, registry.Conflict)
	other, err := take("b", now.Add(3*time.Minute))
	must(t, err)
	same(t, "goes on", "here", other.Progress)
	wantKind(t, "kept by who lost it", s.attempt(func(tx registry.Tx) error { return tx.KeepLease(l) }), registry.NotFound)

	// One of many works at a time.
	var group sync.WaitGroup
	var mu sync.Mutex
	at, worked := 0, 0
	for range 8 {
		group.Go(func() {
			err := s.Holding(context.Background(), "many", func(*registry.Lease, func() error) error {
				mu.Lock()
				at++
				worked++
				if at > 1 {
					t.Error("two work at once")
				}
				mu.Unlock()
				time.Sleep(5 * time.Millisecond)
				mu.Lock()
				at--
				mu.Unlock()
				return nil
			})
			if err != nil && registry.KindOf(err) != registry.Conflict {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if worked == 0 {
		t.Error("nobody worked")
	}
}
