package databasetest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"packhouse/internal/registry"
)

func testErrorUndoes(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	s.publish(p, "pack", "1")
	before := s.accessRevision()
	broken := errors.New("broken")
	for what, run := range map[string]func(context.Context, func(registry.Tx) error) error{"write": s.Store.Write, "read": s.Store.Read} {
		if err := run(t.Context(), func(registry.Tx) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("%s returns %v, want the function's own error", what, err)
		}
	}
	err := s.attempt(func(tx registry.Tx) error {
		must(t, tx.CreateUser(&registry.User{Username: "ada"}))
		_, err := tx.TouchEntry(p.ID, registry.NPM, "pack")
		must(t, err)
		// The transaction itself sees what it did.
		if n, err := tx.CountUsers(); n != 1 || err != nil {
			t.Errorf("within the transaction: %d users, %v", n, err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("Write returns %v, want the function's own error", err)
	}
	s.untouched(p, before)
}

func testPanicUndoes(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	s.publish(p, "pack", "1")
	before := s.accessRevision()
	// More than there are connections, lest each panic keep one.
	for range 100 {
		for _, run := range []func(context.Context, func(registry.Tx) error) error{s.Store.Write, s.Store.Read} {
			func() {
				defer func() {
					if recover() != "boom" {
						t.Error("the panic did not come through")
					}
				}()
				run(t.Context(), func(tx registry.Tx) error {
					if _, err := tx.TouchEntry(p.ID, registry.NPM, "pack"); err == nil {
						must(t, tx.CreateUser(&registry.User{Username: "ada"}))
					}
					panic("boom")
				})
			}()
		}
	}
	s.untouched(p, before)
}

func (s *store) untouched(p *registry.Project, accessRevision int64) {
	s.t.Helper()
	if n := find(s, registry.Tx.CountUsers); n != 0 {
		s.t.Errorf("%d users stayed", n)
	}
	same(s.t, "revision", int64(1), s.entry(p, "pack").Revision)
	same(s.t, "access revision", accessRevision, s.accessRevision())
	s.publish(p, "pack", "2") // writing goes on
}

// Of writers that come at once, which may share a transaction, each comes through or takes back what is its own.
func testWritersTogether(t *testing.T, s *store) {
	ways := map[string]func(tx registry.Tx) error{
		"well":                     func(registry.Tx) error { return nil },
		"with an error":            func(registry.Tx) error { return errBoom },
		"with a panic":             func(registry.Tx) error { panic("boom") },
		"with an error at the end": func(tx registry.Tx) error { tx.BeforeCommit(func() error { return errBoom }); return nil },
		"with a panic at the end":  func(tx registry.Tx) error { tx.BeforeCommit(func() error { panic("boom") }); return nil },
		"well, and slowly at the end": func(tx registry.Tx) error {
			tx.BeforeCommit(func() error { time.Sleep(time.Millisecond); return nil })
			return nil
		},
		"well, after a refused query":    func(tx registry.Tx) error { _, err := tx.UserByUsername("nobody"); return ignore(err) },
		"well, and with much to write":   func(tx registry.Tx) error { return several(tx, 50) },
		"with an error after much of it": func(tx registry.Tx) error { return cmp.Or(several(tx, 50), errBoom) },
	}
	var group sync.WaitGroup
	writers := 0
	for range 12 {
		for way, run := range ways {
			writers++
			name := fmt.Sprintf("u%d", writers)
			group.Go(func() {
				ends := 0 // of runs whose end was reached: one run is the last, whatever became of those before
				err := func() (err error) {
					defer func() {
						if recover() != nil {
							err = errBoom
						}
					}()
					return s.Store.Write(context.Background(), func(tx registry.Tx) error {
						if err := tx.CreateUser(&registry.User{Username: name, Name: way}); err != nil {
							return err
						}
						tx.BeforeCommit(func() error { ends++; return nil })
						return run(tx)
					})
				}()
				well := strings.HasPrefix(way, "well")
				if well != (err == nil) || well && ends == 0 || !well && !errors.Is(err, errBoom) {
					t.Errorf("%s: %v, with %d ends", way, err, ends)
				}
				err = s.Store.Read(context.Background(), func(tx registry.Tx) error { _, err := tx.UserByUsername(name); return err })
				if well && err != nil || !well && registry.KindOf(err) != registry.NotFound {
					t.Errorf("%s, looked for: %v", way, err)
				}
			})
		}
	}
	group.Wait()
	same(t, "users", 12*4, find(s, registry.Tx.CountUsers))
}

// Whose end fails again and again takes at most one try from each of the others.
func testWritersBesideFailingOnes(t *testing.T, s *store) {
	var good, failing sync.WaitGroup
	over := make(chan struct{})
	for range 8 {
		failing.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				err := s.Store.Write(context.Background(), func(tx registry.Tx) error {
					tx.BeforeCommit(func() error { time.Sleep(time.Millisecond); return errBoom })
					return several(tx, 1)
				})
				if !errors.Is(err, errBoom) {
					t.Errorf("one that fails: %v", err)
				}
			}
		})
	}
	for range 4 {
		good.Go(func() {
			for range 20 {
				tries := 0
				err := s.Store.Write(context.Background(), func(tx registry.Tx) error { tries++; return several(tx, 1) })
				if err != nil || tries > 2 {
					t.Errorf("%v, with %d tries", err, tries)
				}
			}
		})
	}
	good.Wait()
	close(over)
	failing.Wait()
}

var errBoom = errors.New("boom")

func ignore(error) error { return nil }

// several makes so many events.
func several(tx registry.Tx, n int) error {
	for range n {
		if err := tx.Record(&registry.Event{Name: registry.UserChanged}); err != nil {
			return err
		}
	}
	return nil
}

// The first requests after a start come all at once, when nothing is prepared yet.
func testColdStart(t *testing.T, s *store) {
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			err := s.Store.Read(t.Context(), func(tx registry.Tx) error {
				if _, err := tx.CountUsers(); err != nil {
					return err
				}
				_, err := tx.UserByUsername("nobody")
				return err
			})
			if registry.KindOf(err) != registry.NotFound {
				t.Errorf("reader: %v", err)
			}
			if _, _, err := s.Revisions(t.Context(), registry.NPM, "pack", 1); err != nil {
				t.Errorf("revisions: %v", err)
			}
			if i%8 == 0 {
				if err := s.attempt(func(tx registry.Tx) error { return tx.CreateUser(&registry.User{Username: fmt.Sprint("u", i)}) }); err != nil {
					t.Errorf("writer: %v", err)
				}
			}
		})
	}
	group.Wait()
	same(t, "users", 8, find(s, registry.Tx.CountUsers))
}

// A document is built from several reads, which have to be of one state.
func testSnapshot(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	s.publish(p, "pack", "1")
	s.read(func(tx registry.Tx) error {
		before, err := tx.Entry(p.ID, registry.NPM, "pack")
		must(t, err)
		s.publish(p, "pack", "2")
		must(t, s.Unpublish(t.Context(), format, p.ID, "pack", before.Revision+1, func(version string) bool { return version == "2" }))
		s.user("ada")

		after, err := tx.Entry(p.ID, registry.NPM, "pack")
		must(t, err)
		same(t, "entry in the snapshot", before, after)
		packages, err := tx.Packages([]int64{before.ID})
		must(t, err)
		if len(packages) != 1 || packages[0].Version != "1" {
			t.Errorf("packages in the snapshot: %v", packages)
		}
		if n, err := tx.CountUsers(); n != 0 || err != nil {
			t.Errorf("users in the snapshot: %d, %v", n, err)
		}
		return nil
	})
	same(t, "versions", []string{"2"}, s.versions(s.entry(p, "pack")))
}

func testRacingForOneVersion(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	s.publish(p, "pack", "1")
	const publishers = 50
	errs := make([]error, publishers)
	pubs := make([]*registry.Publication, publishers)
	together(publishers, func(i int) {
		pubs[i] = publication(p, "pack", "2", "latest")
		pubs[i].Fragments = map[string][]byte{"full": fmt.Append(nil, i)}
		errs[i] = s.Publish(t.Context(), format, pubs[i])
	})
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Errorf("publishers %d and %d both won", winner, i)
		default:
			wantKind(t, "a loser", err, registry.Conflict)
			if n := pubs[i].Files[0].Content.(*content).committed.Load(); n != 0 {
				t.Errorf("a loser's content was committed %d times", n)
			}
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	e := s.entry(p, "pack")
	same(t, "revision", int64(2), e.Revision)
	same(t, "latest", pubs[winner].Package.ID, e.LatestID)
	same(t, "versions", []string{"1", "2"}, s.versions(e))
	same(t, "fragments", []string{"1", fmt.Sprint(winner)}, s.fragments("full", e))
}

func testRacingForAClaim(t *testing.T, s *store) {
	root := s.group(nil, "root")
	const publishers = 16
	var projects []*registry.Project
	for i := range publishers {
		projects = append(projects, s.project(root.ID, fmt.Sprint("p", i)))
	}
	errs := make([]error, publishers)
	together(publishers, func(i int) {
		pub := publication(projects[i], "pack", "1")
		pub.Claim = projects[i]
		errs[i] = s.Publish(t.Context(), format, pub)
	})
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantKind(t, "a loser", err, registry.Conflict)
		}
	}
	_, entries, err := s.Revisions(t.Context(), registry.NPM, "pack", 0)
	must(t, err)
	if won != 1 || len(entries) != 1 {
		t.Errorf("%d won, and there are %d entries", won, len(entries))
	}
}

func testRacingWithDistinctVersions(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	const publishers, each = 8, 5
	together(publishers, func(i int) {
		for j := range each {
			if err := s.Publish(t.Context(), format, publication(p, "pack", fmt.Sprint(i*each+j), fmt.Sprint("tag", j))); err != nil {
				t.Error(err)
			}
		}
	})
	e := s.entry(p, "pack")
	same(t, "revision", int64(publishers*each), e.Revision)
	same(t, "latest", fmt.Sprint(publishers*each-1), s.latest(p, "pack"))
	var want []string
	for i := range publishers * each {
		want = append(want, fmt.Sprint(i))
	}
	slices.Sort(want)
	same(t, "versions", want, slices.Sorted(slices.Values(s.versions(e))))
	same(t, "fragments", want, slices.Sorted(slices.Values(s.fragments("full", e))))
}

// Nodes that start on one new database at the same time find the administrator made by one of them.
func testRacingFirstStarts(t *testing.T, s *store) {
	const nodes = 3
	var passwords [nodes]string
	together(nodes, func(i int) {
		var err error
		if passwords[i], _, err = s.FirstStart(t.Context(), "", ""); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	})
	told := slices.DeleteFunc(passwords[:], func(password string) bool { return password == "" })
	if len(told) != 1 {
		t.Fatalf("%d nodes have told a password", len(told))
	}
	if _, err := s.SignIn(t.Context(), rand.Text(), "root", told[0]); err != nil {
		t.Errorf("the password does not open: %v", err)
	}
}

// together runs f for 0 to n-1 at the same time.
func together(n int, f func(i int)) {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	group.Wait()
}

// Somebody who hangs up does not take a transaction with them half-way.
func testCanceledRequest(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Store.Write(ctx, func(tx registry.Tx) error {
			cancel()
			_, err := tx.TouchEntry(p.ID, registry.NPM, "pack")
			return err
		})
		if err == nil {
			same(t, "revision", int64(i+1), s.entry(p, "pack").Revision)
		} else {
			t.Errorf("canceled within: %v", err)
		}
	}
}

func testClosed(t *testing.T, s *store) {
	must(t, s.Ping(t.Context()))
	must(t, s.Close())
	wantKind(t, "ping", s.Ping(t.Context()), registry.Unavailable)
	done := make(chan error, 2)
	go func() { done <- s.Store.Read(context.Background(), func(registry.Tx) error { return nil }) }()
	go func() { done <- s.attempt(func(registry.Tx) error { return nil }) }()
	for range 2 {
		select {
		case err := <-done:
			if err == nil {
				t.Error("a closed store answers")
			}
		case <-time.After(time.Minute):
			t.Fatal("a closed store does not answer at all")
		}
	}
}
