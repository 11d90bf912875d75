package database_test

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"packhouse/internal/database"
	"packhouse/internal/database/databasetest"
	"packhouse/internal/registry"
)

// open opens a store that is closed when the test ends.
func open(t *testing.T, location string) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// The engines, each with how to come by the location of a new and empty database.
var engines = map[string]func(t *testing.T) string{
	"SQLite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "packhouse.db") },
	"PostgreSQL": func(t *testing.T) string { return databasetest.Postgres(t) },
}

func TestStore(t *testing.T) {
	for name, location := range engines {
		t.Run(name, func(t *testing.T) {
			databasetest.Run(t, func(t *testing.T) registry.Store { return open(t, location(t)) })
		})
	}
}

func TestOpenAgain(t *testing.T) {
	for name, location := range engines {
		t.Run(name, func(t *testing.T) {
			where := location(t)
			db := open(t, where)
			user := &registry.User{Username: "ada"}
			if err := db.Write(t.Context(), func(tx registry.Tx) error { return tx.CreateUser(user) }); err != nil {
				t.Fatal(err)
			}
			before, err := db.AccessRevision(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// Beside the one that is open, as an administrator's command is, and after it is closed.
			for range 2 {
				again := open(t, where)
				err := again.Read(t.Context(), func(tx registry.Tx) error {
					_, err := tx.UserByUsername("ada")
					return err
				})
				if err != nil {
					t.Error(err)
				}
				if after, err := again.AccessRevision(t.Context()); err != nil || after != before {
					t.Errorf("opened again, the access revision is %d, %v, want %d", after, err, before)
				}
				db.Close()
			}
		})
	}
}

func TestOpenTogether(t *testing.T) {
	for name, location := range engines {
		t.Run(name, func(t *testing.T) {
			where := location(t)
			const handles = 4
			var group sync.WaitGroup
			for i := range handles {
				group.Go(func() {
					db, err := database.Open(context.Background(), where)
					if err != nil {
						t.Error(err)
						return
					}
					defer db.Close()
					err = db.Write(context.Background(), func(tx registry.Tx) error {
						return tx.CreateUser(&registry.User{Username: string(rune('a' + i))})
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			db := open(t, where)
			var users int
			err := db.Read(t.Context(), func(tx registry.Tx) (err error) {
				users, err = tx.CountUsers()
				return err
			})
			if err != nil || users != handles {
				t.Errorf("%d users, %v, want %d", users, err, handles)
			}
		})
	}
}

// A path is a path, whatever characters it has.
func TestSQLitePath(t *testing.T) {
	for _, name := range []string{"plain.db", "with space.db", "50%20.db", "what?.db", "a#b.db", "a&b=c;d.db", "größe.db", ":memory:", "file:x.db", "q'\".db"} {
		where := filepath.Join(t.TempDir(), name)
		open(t, where).Close()
		files, err := filepath.Glob(filepath.Join(filepath.Dir(where), "*"))
		if err != nil || !slices.Equal(files, []string{where, where + ".lock"}) {
			t.Errorf("opening %q makes %q, %v", where, files, err)
		}
	}
}

func TestOpenFails(t *testing.T) {
	for _, where := range []string{
		filepath.Join(t.TempDir(), "missing", "packhouse.db"),
		t.TempDir(),
		"postgres://nobody@/none?host=" + t.TempDir(),
		"postgres://%zz",
	} {
		if db, err := database.Open(t.Context(), where); err == nil {
			db.Close()
			t.Errorf("opened %q", where)
		}
	}
}

// A database that does not answer is not the caller's fault, nor ours.
func TestPostgresUnavailable(t *testing.T) {
	_, err := database.Open(t.Context(), "postgres://nobody@/none?host="+t.TempDir())
	if registry.KindOf(err) != registry.Unavailable {
		t.Errorf("kind %d, want Unavailable: %v", registry.KindOf(err), err)
	}
}

// More transactions and queries than may wait are told to come again, and those that wait have their turn.
func TestQueueLimit(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "packhouse.db"))
	db.QueueLimit = 2
	inside, release := make(chan struct{}, 2), make(chan struct{})
	done := make(chan error, 2)
	for range 2 {
		go func() {
			done <- db.Read(t.Context(), func(registry.Tx) error { inside <- struct{}{}; <-release; return nil })
		}()
	}
	<-inside
	<-inside
	never := func(registry.Tx) error { t.Error("it has a turn"); return nil }
	_, err := db.FileOfEntry(t.Context(), 1, "x")
	_, _, err2 := db.Revisions(t.Context(), registry.NPM, "x", 1)
	for _, err := range []error{err, err2, db.Read(t.Context(), never), db.Write(t.Context(), never)} {
		if registry.KindOf(err) != registry.Unavailable {
			t.Errorf("with two under way: %v", err)
		}
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("the database does not seem to be well: %v", err)
	}
	close(release)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := db.Write(t.Context(), func(registry.Tx) error { return nil }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
