package upkeep_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"packhouse/internal/blob"
	"packhouse/internal/blob/blobtest"
	"packhouse/internal/database"
	"packhouse/internal/database/databasetest"
	"packhouse/internal/registry"
	"packhouse/internal/upkeep"
)

// place is a server's database and blobs.
type place struct {
	t        *testing.T
	location string
	store    *database.DB
	blobs    registry.BlobStore
	reg      *registry.Registry
	project  *registry.Project
	folder   string // of blobs on disk
}

var format = registry.Format{Type: registry.NPM, Compare: strings.Compare}

// emptyPlace is one that nobody has used.
func emptyPlace(t *testing.T, many bool) *place {
	t.Helper()
	p := &place{t: t}
	var err error
	if many {
		p.location = databasetest.Postgres(t)
		p.blobs, err = blob.OpenS3(t.Context(), blobtest.S3(t), t.TempDir())
	} else {
		p.location, p.folder = filepath.Join(t.TempDir(), "packhouse.db"), t.TempDir()
		p.blobs, err = blob.OpenDisk(p.folder)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.blobs.Close() })
	return p
}

func (p *place) open() {
	p.t.Helper()
	store, err := database.Open(p.t.Context(), p.location)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { store.Close() })
	p.store, p.reg = store, &registry.Registry{Store: store, Blobs: p.blobs}
}

func newPlace(t *testing.T, many bool) *place {
	t.Helper()
	p := emptyPlace(t, many)
	p.open()
	if _, _, err := p.reg.FirstStart(t.Context(), "a password of root", "ghp_token"); err != nil {
		t.Fatal(err)
	}
	p.project = &registry.Project{Name: "p", Path: "p", Visibility: registry.Private, RegistryAccess: registry.RegistryEnabled}
	err := p.store.Write(t.Context(), func(tx registry.Tx) error {
		g := &registry.Group{Name: "g", Path: "g", Visibility: registry.Private}
		if err := tx.CreateGroup(g); err != nil {
			return err
		}
		p.project.NamespaceID = g.ID
		return tx.CreateProject(p.project)
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// publish makes a version with one file of a content, and returns its id.
func (p *place) publish(name, version, content string) int64 {
	p.t.Helper()
	id, err := p.try(name, version, content)
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

func (p *place) try(name, version, content string) (int64, error) {
	staged, err := p.blobs.Stage(context.Background(), strings.NewReader(content))
	if err != nil {
		return 0, err
	}
	defer staged.Discard()
	k := &registry.Publication{Package: registry.Package{ProjectID: p.project.ID, Name: name, Version: version}, EntryName: name,
		Files: []registry.PublicationFile{{Name: version + ".tgz", Content: staged}}, Fragments: map[string][]byte{"full": {0, 255, 'x'}}, Tags: []string{"latest"}}
	err = p.reg.Publish(context.Background(), format, k)
	return k.Package.ID, err
}

// files reads everything that can be read: name and version → content.
func (p *place) files(project int64) map[string]string {
	p.t.Helper()
	found := map[string]string{}
	err := p.store.Read(p.t.Context(), func(tx registry.Tx) error {
		packages, _, err := tx.ListPackages(registry.PackageFilter{Project: project, Statuses: registry.Listed, Order: registry.ByName, Limit: 1000})
		if err != nil {
			return err
		}
		for _, k := range packages {
			files, err := tx.Files(k.ID)
			if err != nil {
				return err
			}
			for _, f := range files {
				b, err := p.blobs.Open(p.t.Context(), f.SHA256)
				if err != nil {
					return fmt.Errorf("%s %s: %w", k.Name, k.Version, err)
				}
				text, err := io.ReadAll(b)
				b.Close()
				if err != nil {
					return err
				}
				found[k.Name+" "+k.Version] = string(text)
			}
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return found
}

func (p *place) verify(how upkeep.Verification) (upkeep.Verified, []upkeep.Problem) {
	p.t.Helper()
	var problems []upkeep.Problem
	how.Problem = func(q upkeep.Problem) { problems = append(problems, q) }
	v, err := upkeep.Verify(p.t.Context(), p.reg, p.blobs, how)
	if err != nil {
		p.t.Fatal(err)
	}
	return v, problems
}

func (p *place) path(content string) string {
	sums, _ := blob.Digests(strings.NewReader(content))
	return filepath.Join(p.folder, "sha256", sums.SHA256[:2], sums.SHA256)
}

func both(t *testing.T, run func(t *testing.T, many bool)) {
	t.Run("SQLite and disk", func(t *testing.T) { t.Parallel(); run(t, false) })
	t.Run("PostgreSQL and S3", func(t *testing.T) { t.Parallel(); run(t, true) })
}

func TestVerify(t *testing.T) {
	both(t, func(t *testing.T, many bool) {
		p := newPlace(t, many)
		for i := range 10 {
			p.publish("pack", fmt.Sprint(i), fmt.Sprintf("content %d", i))
		}
		if v, problems := p.verify(upkeep.Verification{}); !v.OK() || v.Contents != 10 || v.Bytes != 90 || problems != nil {
			t.Errorf("%+v, %v", v, problems)
		}
		sums, _ := blob.Digests(strings.NewReader("content 4"))
		if err := p.blobs.Remove(t.Context(), []string{sums.SHA256}); err != nil {
			t.Fatal(err)
		}
		v, problems := p.verify(upkeep.Verification{})
		if v.Missing != 1 || v.Damaged != 0 || len(problems) != 1 || problems[0].What != "missing" || problems[0].SHA256 != sums.SHA256 ||
			len(problems[0].Uses) != 1 || problems[0].Uses[0].Version != "4" || problems[0].Uses[0].Project != "g/p" {
			t.Errorf("%+v, %+v", v, problems)
		}
	})
}

// A flipped bit is found, taken aside, and healed by whoever publishes the content again.
func TestVerifyDamage(t *testing.T) {
	p := newPlace(t, false)
	p.publish("pack", "1", "a good content")
	p.publish("pack", "2", "another")
	path := p.path("a good content")
	os.Chmod(path, 0o600)
	if err := os.WriteFile(path, []byte("a gooe content"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, problems := p.verify(upkeep.Verification{})
	if v.Damaged != 1 || len(problems) != 1 || problems[0].What != "damaged" || problems[0].Quarantined {
		t.Errorf("%+v, %+v", v, problems)
	}
	if v, problems = p.verify(upkeep.Verification{Quarantine: true}); v.Damaged != 1 || !problems[0].Quarantined {
		t.Errorf("%+v, %+v", v, problems)
	}
	if v, _ = p.verify(upkeep.Verification{}); v.Missing != 1 || v.Damaged != 0 {
		t.Errorf("taken aside: %+v", v)
	}
	if text, err := os.ReadFile(filepath.Join(p.folder, "quarantine", filepath.Base(path))); err != nil || string(text) != "a gooe content" {
		t.Errorf("what was taken aside: %q, %v", text, err)
	}
	p.publish("pack", "3", "a good content")
	if v, _ = p.verify(upkeep.Verification{}); !v.OK() {
		t.Errorf("healed: %+v", v)
	}
}

// A row that says something else of a content than the content does.
func TestVerifyRows(t *testing.T) {
	p := newPlace(t, false)
	p.publish("pack", "1", "content")
	sums, _ := blob.Digests(strings.NewReader("content"))
	sums.MD5 = strings.Repeat("0", 32)
	err := p.store.Write(t.Context(), func(tx registry.Tx) error {
		e, err := tx.TouchEntry(p.project.ID, registry.NPM, "wrong")
		if err != nil {
			return err
		}
		k := &registry.Package{ProjectID: p.project.ID, EntryID: e.ID, Type: registry.NPM, Name: "wrong", Version: "1"}
		if err := tx.CreatePackage(k); err != nil {
			return err
		}
		return tx.CreateFile(&registry.File{PackageID: k.ID, Name: "wrong.tgz", Digests: sums})
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, problems := p.verify(upkeep.Verification{Quarantine: true}); v.Differing != 1 || problems[0].Quarantined || !strings.Contains(problems[0].Detail, "wrong.tgz") {
		t.Errorf("%+v, %+v", v, problems)
	}
}

func TestVerifyGoesOn(t *testing.T) {
	p := newPlace(t, false)
	for i := range 30 {
		p.publish("pack", fmt.Sprint(i), fmt.Sprintf("content %d", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, err := upkeep.Verify(ctx, p.reg, p.blobs, upkeep.Verification{Progress: func(n, _, of, _ int64) {
		if n == 10 {
			cancel()
		}
		if of != 30 {
			t.Errorf("of %d", of)
		}
	}})
	if !errors.Is(err, context.Canceled) || first.Contents < 10 || first.Contents == 30 {
		t.Fatalf("%+v, %v", first, err)
	}
	if rest, _ := p.verify(upkeep.Verification{Resume: true}); rest.Contents+first.Contents != 30 {
		t.Errorf("first %d, then %d", first.Contents, rest.Contents)
	}
	if all, _ := p.verify(upkeep.Verification{}); all.Contents != 30 {
		t.Errorf("anew %d", all.Contents)
	}
}

func TestVerifyLimit(t *testing.T) {
	p := newPlace(t, false)
	p.publish("pack", "1", strings.Repeat("x", 30_000))
	began := time.Now()
	if v, _ := p.verify(upkeep.Verification{Limit: rate.NewLimiter(100_000, 1000)}); !v.OK() || time.Since(began) < 200*time.Millisecond {
		t.Errorf("%+v in %v", v, time.Since(began))
	}
}

func TestBackup(t *testing.T) {
	both(t, func(t *testing.T, many bool) {
		p := newPlace(t, many)
		folder := t.TempDir()
		p.publish("pack", "1", "one")
		second := p.publish("pack", "2", strings.Repeat("two", 100_000))
		first, err := upkeep.Backup(t.Context(), p.store, p.blobs, folder, upkeep.Copying{})
		if err != nil || first.New != 2 || first.Contents != 2 {
			t.Fatalf("%+v, %v", first, err)
		}
		want := p.files(p.project.ID)
		p.publish("pack", "3", "three")
		if err := p.reg.Delete(t.Context(), second, func(registry.Tx, *registry.Package) error { return nil }); err != nil {
			t.Fatal(err)
		}
		next, err := upkeep.Backup(t.Context(), p.store, p.blobs, folder, upkeep.Copying{})
		if err != nil || next.New != 1 {
			t.Fatalf("%+v, %v", next, err)
		}
		names, err := upkeep.Snapshots(folder)
		if err != nil || len(names) != 2 || names[0] != first.Snapshot || names[1] != next.Snapshot {
			t.Fatalf("%v, %v", names, err)
		}
		access, entries, err := p.store.Revisions(t.Context(), registry.NPM, "pack", p.project.ID)
		if err != nil {
			t.Fatal(err)
		}

		// Into the other kind of place.
		for _, snapshot := range names {
			q := emptyPlace(t, !many)
			done, err := upkeep.Restore(t.Context(), folder, snapshot, q.location, q.blobs, upkeep.Copying{})
			if err != nil {
				t.Fatal(err)
			}
			q.open()
			got := q.files(p.project.ID)
			if snapshot == next.Snapshot {
				want = p.files(p.project.ID)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || done.Contents != int64(len(want)) && snapshot == first.Snapshot {
				t.Errorf("%s: %d files %+v", snapshot, len(got), done)
			}
			if v, problems := q.verify(upkeep.Verification{}); !v.OK() {
				t.Errorf("%+v, %v", v, problems)
			}
			// No revision that somebody may have seen comes again, and no id.
			access2, entries2, err := q.store.Revisions(t.Context(), registry.NPM, "pack", p.project.ID)
			if err != nil || access2 <= access || len(entries2) != 1 || entries2[0].Revision <= entries[0].Revision+1000 {
				t.Errorf("revisions %d %v, were %d %v; %v", access2, entries2, access, entries, err)
			}
			q.project = p.project
			if id := q.publish("new", "1", "new"); id <= second {
				t.Errorf("id %d comes again", id)
			}
			// What is counted by triggers is right: the list has a total.
			err = q.store.Read(t.Context(), func(tx registry.Tx) error {
				list, total, err := tx.ListPackages(registry.PackageFilter{Project: p.project.ID, Statuses: registry.Listed, Order: registry.ByName, Limit: 100})
				if len(list) != total || total != len(got)+1 {
					t.Errorf("%d packages of %d, want %d", len(list), total, len(got)+1)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := upkeep.Restore(t.Context(), folder, snapshot, q.location, q.blobs, upkeep.Copying{}); registry.KindOf(err) != registry.Conflict {
				t.Errorf("into a place that is in use: %v", err)
			}
		}
	})
}

// A snapshot is of one moment, while others publish and delete, and the collector does not come between.
func TestBackupWhilePublishing(t *testing.T) {
	both(t, func(t *testing.T, many bool) {
		p := newPlace(t, many)
		for i := range 20 {
			p.publish("pack", fmt.Sprint(i), fmt.Sprintf("content %d", i))
		}
		var stop atomic.Bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := 100; !stop.Load(); i++ {
				id, err := p.try("busy", fmt.Sprint(i), fmt.Sprintf("content %d", i))
				if err != nil {
					t.Error(err)
					return
				}
				if i%2 == 0 {
					p.reg.Delete(context.Background(), id, func(registry.Tx, *registry.Package) error { return nil })
					p.reg.Purge(context.Background())
				}
				if _, err := p.reg.Collect(context.Background(), p.blobs, 0, true, nil); err != nil && registry.KindOf(err) != registry.Conflict {
					t.Error(err)
				}
			}
		}()
		folder := t.TempDir()
		for range 3 {
			if _, err := upkeep.Backup(t.Context(), p.store, p.blobs, folder, upkeep.Copying{}); err != nil {
				t.Error(err)
			}
		}
		stop.Store(true)
		<-done
		names, err := upkeep.Snapshots(folder)
		if err != nil || len(names) != 3 {
			t.Fatal(names, err)
		}
		for _, name := range names {
			q := emptyPlace(t, false)
			if _, err := upkeep.Restore(t.Context(), folder, name, q.location, q.blobs, upkeep.Copying{}); err != nil {
				t.Fatal(err)
			}
			q.open()
			if v, problems := q.verify(upkeep.Verification{}); !v.OK() || v.Contents < 20 {
				t.Errorf("%+v, %v", v, problems)
			}
		}
	})
}

func TestDamagedBackup(t *testing.T) {
	p := newPlace(t, false)
	p.publish("pack", "1", "one")
	for name, damage := range map[string]func(folder, snapshot string) error{
		"a content": func(folder, _ string) error {
			path := filepath.Join(folder, "blobs", strings.TrimPrefix(p.path("one"), p.folder))
			os.Chmod(path, 0o600)
			return os.WriteFile(path, []byte("oNe"), 0o600)
		},
		"the rows": func(folder, snapshot string) error {
			path := filepath.Join(folder, "snapshots", snapshot, "database.jsonl.gz")
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text[len(text)/2] ^= 1
			return os.WriteFile(path, text, 0o600)
		},
		"a content is missing": func(folder, _ string) error {
			return os.Remove(filepath.Join(folder, "blobs", strings.TrimPrefix(p.path("one"), p.folder)))
		},
		"no manifest": func(folder, snapshot string) error {
			return os.Remove(filepath.Join(folder, "snapshots", snapshot, "manifest.json"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			done, err := upkeep.Backup(t.Context(), p.store, p.blobs, folder, upkeep.Copying{})
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(folder, done.Snapshot); err != nil {
				t.Fatal(err)
			}
			q := emptyPlace(t, false)
			if _, err := upkeep.Restore(t.Context(), folder, "", q.location, q.blobs, upkeep.Copying{}); err == nil {
				t.Error("it was restored")
			}
			if err := database.Empty(t.Context(), q.location); err != nil && registry.KindOf(err) == registry.Conflict {
				t.Errorf("something was left: %v", err)
			}
		})
	}
}

// A source that is damaged is not copied as if it were good.
func TestBackupOfDamage(t *testing.T) {
	p := newPlace(t, false)
	p.publish("pack", "1", "one")
	os.Chmod(p.path("one"), 0o600)
	os.WriteFile(p.path("one"), []byte("oNe"), 0o600)
	folder := t.TempDir()
	if _, err := upkeep.Backup(t.Context(), p.store, p.blobs, folder, upkeep.Copying{}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("%v", err)
	}
	if names, err := upkeep.Snapshots(folder); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
}

func TestMigrate(t *testing.T) {
	both(t, func(t *testing.T, many bool) {
		p := newPlace(t, many)
		for i := range 10 {
			p.publish("pack", fmt.Sprint(i), fmt.Sprintf("content %d", i))
		}
		q := emptyPlace(t, !many)
		move := func(ctx context.Context, onlyBlobs bool, how upkeep.Copying) (upkeep.Copied, error) {
			return upkeep.Migrate(ctx, p.store, p.blobs, q.location, q.blobs, onlyBlobs, t.TempDir(), how)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := move(ctx, false, upkeep.Copying{Progress: func(n, _, _, _ int64) {
			if n == 4 {
				cancel()
			}
		}}); !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted: %v", err)
		}
		if done, err := move(t.Context(), true, upkeep.Copying{}); err != nil || done.New > 6 || done.New == 0 {
			t.Fatalf("%+v, %v", done, err)
		}
		p.publish("late", "1", "late")
		if done, err := move(t.Context(), false, upkeep.Copying{}); err != nil || done.New != 1 || done.Contents != 11 {
			t.Fatalf("%+v, %v", done, err)
		}
		q.open()
		if got, want := q.files(p.project.ID), p.files(p.project.ID); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", got, want)
		}
		a, entriesA, errA := p.store.Revisions(t.Context(), registry.NPM, "pack", p.project.ID)
		b, entriesB, errB := q.store.Revisions(t.Context(), registry.NPM, "pack", p.project.ID)
		if err := errors.Join(errA, errB); err != nil || a != b || fmt.Sprint(entriesA) != fmt.Sprint(entriesB) {
			t.Errorf("revisions %d %v became %d %v; %v", a, entriesA, b, entriesB, err)
		}
		if _, err := move(t.Context(), false, upkeep.Copying{}); registry.KindOf(err) != registry.Conflict {
			t.Errorf("a second time: %v", err)
		}
	})
}

// Whatever is loaded, it is a dump, whole, or nothing is there afterwards.
func FuzzLoad(f *testing.F) {
	var dump bytes.Buffer
	location := filepath.Join(f.TempDir(), "packhouse.db")
	db, err := database.Open(context.Background(), location)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := db.Dump(context.Background(), &dump, func(string, int64) error { return nil }); err != nil {
		f.Fatal(err)
	}
	db.Close()
	f.Add(dump.Bytes())
	f.Add(dump.Bytes()[:dump.Len()/2])
	f.Add([]byte(`{"packhouse":1,"schema":14}` + "\n" + `{"table":"users","columns":["id"]}` + "\n[1]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		to := filepath.Join(t.TempDir(), "packhouse.db")
		if _, err := database.Load(t.Context(), to, bytes.NewReader(text), false); err == nil {
			return
		}
		if _, err := os.Stat(to); err != nil {
			return
		}
		if err := database.Empty(t.Context(), to); err != nil {
			t.Errorf("something was left: %v", err)
		}
	})
}
