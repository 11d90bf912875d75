//go:build unix

package database

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"packhouse/internal/registry"
)

// What one handle commits, another one, which stands for another process, sees at its next read, however often it has
// read before, also across checkpoints, which begin the log anew.
func TestAnswersSeeEachCommit(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "packhouse.db")
	writer, reader := openAt(t, path), openAt(t, path)
	project := makeProject(t, writer)

	var committed atomic.Int64
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !stop.Load() {
				least := committed.Load()
				_, entries, err := reader.Revisions(ctx, registry.NPM, "x", project)
				if err != nil {
					t.Error(err)
					return
				}
				if least > 0 && (len(entries) != 1 || entries[0].Revision < least) {
					t.Errorf("read %v after revision %d was committed", entries, least)
					return
				}
			}
		})
	}
	for i := range 150 {
		err := writer.Write(ctx, func(tx registry.Tx) error {
			entry, err := tx.TouchEntry(project, registry.NPM, "x")
			if err != nil {
				return err
			}
			return tx.SetLatest(entry.ID, 1, 1) // entries without a version are not told of
		})
		if err != nil {
			t.Fatal(err)
		}
		committed.Store(int64(i + 1))
		if i%20 == 0 {
			if _, err := writer.writer.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop.Store(true)
	readers.Wait()
}

// Nothing is asked twice while nothing changes, and what is kept is bounded.
func TestAnswersAreKept(t *testing.T) {
	db := openAt(t, filepath.Join(t.TempDir(), "packhouse.db"))
	if _, ok := readWALIndex(db.answers.index); !ok {
		t.Fatal("the WAL index is not mapped")
	}
	asked := 0
	ask := func(key int) {
		answer(&db.answers, key, func() (int, error) { asked++; return key, nil })
	}
	ask(1)
	ask(1)
	if asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
	makeProject(t, db)
	ask(1)
	if asked != 2 {
		t.Errorf("asked %d times after a commit, want twice", asked)
	}
	for key := range 3 * maxAnswers {
		ask(key)
	}
	if size := db.answers.current.Load().size.Load(); size > maxAnswers {
		t.Errorf("%d answers are kept, want %d at most", size, maxAnswers)
	}
}

// A second process that opens the database (an admin command, a backup) must see that the first one is there: one that
// takes itself for the first cuts the WAL index, which the first has mapped.
func TestSecondProcess(t *testing.T) {
	if path := os.Getenv("PACKHOUSE_TEST_OPEN"); path != "" {
		openAt(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "packhouse.db")
	db := openAt(t, path)
	before, err := os.Stat(path + "-shm")
	if err != nil {
		t.Fatal(err)
	}
	header, _ := readWALIndex(db.answers.index)
	second := exec.Command(os.Args[0], "-test.run=^TestSecondProcess$")
	second.Env = append(os.Environ(), "PACKHOUSE_TEST_OPEN="+path)
	if out, err := second.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	after, err := os.Stat(path + "-shm")
	if err != nil || !os.SameFile(before, after) || after.Size() != before.Size() {
		t.Errorf("the WAL index is another one now: %v, %v", after, err)
	}
	if now, ok := readWALIndex(db.answers.index); !ok || now != header {
		t.Errorf("the second process began the index anew: %v, before %v", now, header)
	}
}

func openAt(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func makeProject(t *testing.T, db *DB) int64 {
	t.Helper()
	project := &registry.Project{Name: "p", Path: "p", Visibility: registry.Private, RegistryAccess: registry.RegistryEnabled}
	err := db.Write(context.Background(), func(tx registry.Tx) error {
		group := &registry.Group{Name: "g", Path: "g", Visibility: registry.Private}
		if err := tx.CreateGroup(group); err != nil {
			return err
		}
		project.NamespaceID = group.ID
		return tx.CreateProject(project)
	})
	if err != nil {
		t.Fatal(err)
	}
	return project.ID
}
