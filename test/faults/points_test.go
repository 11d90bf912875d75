package faults

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"packhouse/internal/blob"
	"packhouse/internal/database"
	"packhouse/internal/registry"
)

// mode is how a call breaks.
type mode int

const (
	fails     mode = iota // it does nothing and returns an error
	persisted             // it does all and returns an error
	slow                  // it takes its time
	torn                  // a content: half of it is read and then the store fails
	modes
)

func (m mode) String() string { return []string{"fails", "fails but persisted", "slow", "torn"}[m] }

var errPoint = errors.New("the store broke")

// points counts the calls to the stores, and breaks one of them.
type points struct {
	mode mode
	at   int   // which one breaks; 0: none
	err  error // how

	meanwhile func(removing []string) // happens when contents are about to be removed; nil: nothing

	mu    sync.Mutex
	over  bool // nothing is counted any more
	n     int  // calls so far
	names []string
}

// hit runs a call, or breaks it.
func (p *points) hit(name string, call func() error) error {
	p.mu.Lock()
	if !p.over {
		p.n++
		p.names = append(p.names, name)
	}
	broken := !p.over && p.n == p.at
	p.mu.Unlock()
	if !broken {
		return call()
	}
	switch p.mode {
	case persisted:
		return errors.Join(call(), p.failure())
	case slow:
		time.Sleep(time.Millisecond)
		return call()
	}
	return p.failure()
}

func (p *points) failure() error {
	if p.err != nil {
		return p.err
	}
	return errPoint
}

// end lets all calls from now on work.
func (p *points) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
}

// brokenBlobs and brokenStore break calls of the stores behind them.
type brokenBlobs struct {
	registry.BlobStore
	*points
}

func (b *brokenBlobs) Stage(ctx context.Context, r io.Reader) (staged registry.Staged, err error) {
	whole := r
	err = b.hit("Stage", func() (err error) {
		staged, err = b.BlobStore.Stage(ctx, whole)
		return err
	})
	if err == nil {
		return &brokenStaged{staged, b.points}, nil
	}
	if staged != nil {
		staged.Discard()
	} else if errors.Is(err, b.failure()) && b.mode == torn {
		_, err = b.BlobStore.Stage(ctx, io.MultiReader(io.LimitReader(r, 5), brokenReader{b.failure()}))
	}
	return nil, err
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

type brokenStaged struct {
	registry.Staged
	*points
}

func (s *brokenStaged) Commit(ctx context.Context) error {
	return s.hit("Commit", func() error { return s.Staged.Commit(ctx) })
}

func (b *brokenBlobs) Open(ctx context.Context, sha256 string) (opened registry.Blob, err error) {
	err = b.hit("Open", func() error { opened, err = b.BlobStore.Open(ctx, sha256); return err })
	if err != nil && opened != nil {
		opened.Close()
	}
	return opened, err
}

func (b *brokenBlobs) Remove(ctx context.Context, digests []string) error {
	if b.meanwhile != nil {
		b.meanwhile(digests)
	}
	return b.hit("Remove", func() error {
		if b.n == b.at && b.mode == torn {
			return b.BlobStore.Remove(ctx, digests[:len(digests)/2])
		}
		return b.BlobStore.Remove(ctx, digests)
	})
}

func (b *brokenBlobs) EachBlob(ctx context.Context, after string, f func(registry.BlobInfo) error) error {
	return b.hit("EachBlob", func() error { return b.BlobStore.EachBlob(ctx, after, f) })
}

// brokenStore breaks whole transactions; statements break below it ([database.DB.Before]).
type brokenStore struct {
	registry.Store
	*points
}

func (s *brokenStore) Write(ctx context.Context, f func(registry.Tx) error) error {
	return s.hit("Write", func() error { return s.Store.Write(ctx, f) })
}

func (s *brokenStore) Read(ctx context.Context, f func(registry.Tx) error) error {
	return s.hit("Read", func() error { return s.Store.Read(ctx, f) })
}

func (s *brokenStore) AccessRevision(ctx context.Context) (n int64, err error) {
	err = s.hit("AccessRevision", func() error { n, err = s.Store.AccessRevision(ctx); return err })
	return n, err
}

func (s *brokenStore) Revisions(ctx context.Context, t registry.Type, name string, project int64) (n int64, found []registry.Revision, err error) {
	err = s.hit("Revisions", func() error { n, found, err = s.Store.Revisions(ctx, t, name, project); return err })
	return n, found, err
}

func (s *brokenStore) FileOfEntry(ctx context.Context, entry int64, name string) (f *registry.File, err error) {
	err = s.hit("FileOfEntry", func() error { f, err = s.Store.FileOfEntry(ctx, entry, name); return err })
	return f, err
}

// world is stores on this machine with a registry over them, and what is known of it.
type world struct {
	t       *testing.T
	db      *database.DB
	clock   *sql.DB // the same database, for what only time can change
	disk    *blob.Disk
	folder  string
	project int64
}

var packages = registry.Format{Type: registry.NPM, Compare: strings.Compare}

// emptyDatabase is the file of a new database: to make one takes longer than all that a test does with it.
var emptyDatabase = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "packhouse-empty-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "packhouse.db")
	db, err := database.Open(context.Background(), path)
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, folder: t.TempDir()}
	empty, err := emptyDatabase()
	if err == nil {
		err = os.WriteFile(filepath.Join(w.folder, "packhouse.db"), empty, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if w.db, err = database.Open(t.Context(), filepath.Join(w.folder, "packhouse.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	if w.clock, err = sql.Open("sqlite", "file:"+filepath.Join(w.folder, "packhouse.db")+"?_pragma=busy_timeout(10000)"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.clock.Close() })
	if w.disk, err = blob.OpenDisk(filepath.Join(w.folder, "blobs")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.disk.Close() })
	err = w.db.Write(t.Context(), func(tx registry.Tx) error {
		g := &registry.Group{Name: "g", Path: "g", Visibility: registry.Private}
		if err := tx.CreateGroup(g); err != nil {
			return err
		}
		p := &registry.Project{NamespaceID: g.ID, Name: "p", Path: "p", Visibility: registry.Private, RegistryAccess: registry.RegistryEnabled}
		err := tx.CreateProject(p)
		w.project = p.ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) close() {
	w.clock.Close()
	w.db.Close()
	w.disk.Close()
}

// over is the registry over stores that break, until p ends.
func (w *world) over(p *points) (*registry.Registry, registry.BlobStore) {
	w.db.Before = func() error { return p.hit("statement", func() error { return nil }) }
	blobs := &brokenBlobs{w.disk, p}
	return &registry.Registry{Store: &brokenStore{w.db, p}, Blobs: blobs}, blobs
}

func (w *world) publish(r *registry.Registry, name, version, content string) (id int64, err error) {
	staged, err := r.Blobs.Stage(context.Background(), strings.NewReader(content))
	if err != nil {
		return 0, err
	}
	defer staged.Discard()
	k := &registry.Publication{Package: registry.Package{ProjectID: w.project, Name: name, Version: version}, EntryName: name,
		Files: []registry.PublicationFile{{Name: version + ".tgz", Content: staged}}, Fragments: map[string][]byte{"full": []byte(content)}, Tags: []string{"latest"}}
	err = r.Publish(context.Background(), packages, k)
	return k.Package.ID, err
}

func always(registry.Tx, *registry.Package) error { return nil }

// state reads everything: version → content. It checks that what is whole is whole: each file has its bytes, each version its
// file, its fragment and its place in the totals, each tag a version.
func (w *world) state() map[string]string {
	w.t.Helper()
	found := map[string]string{}
	err := w.db.Read(w.t.Context(), func(tx registry.Tx) error {
		list, total, err := tx.ListPackages(registry.PackageFilter{Project: w.project, Statuses: registry.Listed, Order: registry.ByName, Limit: 10_000})
		if err != nil {
			return err
		}
		if total != len(list) {
			w.t.Errorf("%d packages are listed, the total is %d", len(list), total)
		}
		for _, p := range list {
			files, err := tx.Files(p.ID)
			if err != nil || len(files) != 1 {
				w.t.Errorf("%s %s has %d files, %v", p.Name, p.Version, len(files), err)
				continue
			}
			b, err := w.disk.Open(w.t.Context(), files[0].SHA256)
			if err != nil {
				w.t.Errorf("%s %s can be seen and has no bytes: %v", p.Name, p.Version, err)
				continue
			}
			text, err := io.ReadAll(b)
			b.Close()
			if sum := sha256.Sum256(text); err != nil || hex.EncodeToString(sum[:]) != files[0].SHA256 {
				w.t.Errorf("%s %s has other bytes: %v", p.Name, p.Version, err)
			}
			found[p.Name+" "+p.Version] = string(text)
			fragments := 0
			err = tx.Fragments([]int64{p.ID}, "full", func(_ *registry.Package, body []byte) error {
				fragments++
				if string(body) != string(text) {
					w.t.Errorf("%s %s has the document of another", p.Name, p.Version)
				}
				return nil
			})
			if err != nil || fragments != 1 {
				w.t.Errorf("%s %s is in %d documents, %v", p.Name, p.Version, fragments, err)
			}
			e, err := tx.EntryByID(p.EntryID)
			if err != nil || e.LatestID == 0 {
				w.t.Errorf("%s has versions and no latest one: %v", p.Name, err)
			}
			tags, err := tx.Tags([]int64{p.EntryID})
			if err != nil {
				return err
			}
			for _, tag := range tags {
				if k, err := tx.Package(tag.PackageID); err != nil || k.Status == registry.PendingDestruction {
					w.t.Errorf("the tag %s names nothing: %v", tag.Name, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// blobs are the contents on the disk.
func (w *world) blobs() (all []string) {
	w.t.Helper()
	if err := w.disk.EachBlob(w.t.Context(), "", func(b registry.BlobInfo) error { all = append(all, b.SHA256); return nil }); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// later lets some minutes pass, after which a collector that died is known to be dead.
func (w *world) later() {
	w.t.Helper()
	for _, statement := range []string{"UPDATE garbage SET condemned_at = 1 WHERE condemned_at <> 0", "UPDATE leases SET until = 0"} {
		if _, err := w.clock.Exec(statement); err != nil {
			w.t.Fatal(err)
		}
	}
}

// settle collects with stores that work, after which nothing but what is seen is on the disk.
func (w *world) settle(seen map[string]string) {
	w.t.Helper()
	r := &registry.Registry{Store: w.db, Blobs: w.disk}
	if err := r.Purge(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.later()
	if _, err := r.Collect(w.t.Context(), w.disk, 0, true, nil); err != nil {
		w.t.Fatal(err)
	}
	var want []string
	for _, text := range seen {
		sum := sha256.Sum256([]byte(text))
		want = append(want, hex.EncodeToString(sum[:]))
	}
	slices.Sort(want)
	want = slices.Compact(want)
	got := w.blobs()
	if !slices.Equal(got, want) {
		w.t.Errorf("the disk has %v, and packages need %v", got, want)
	}
	if _, staged := left(w.t, w.folder); staged != 0 {
		w.t.Errorf("%d files are staged still", staged)
	}
}

// Each call to the stores breaks, in each way, in the course of a publish, a publish again, a deletion and a collection. After each the whole state is
// either that before or that after the step, and what the caller was told is true.
func TestFaultPoints(t *testing.T) {
	steps := []struct {
		name   string
		run    func(w *world, r *registry.Registry, store registry.BlobStore, id int64) error
		after  map[string]string // the state when it was done
		before map[string]string
	}{
		{"publish", func(w *world, r *registry.Registry, _ registry.BlobStore, _ int64) error {
			_, err := w.publish(r, "pack", "2", "two")
			return err
		}, map[string]string{"pack 1": "one", "pack 2": "two"}, map[string]string{"pack 1": "one"}},
		{"publish a content that is there", func(w *world, r *registry.Registry, _ registry.BlobStore, _ int64) error {
			_, err := w.publish(r, "other", "1", "one")
			return err
		}, map[string]string{"pack 1": "one", "other 1": "one"}, map[string]string{"pack 1": "one"}},
		{"delete", func(w *world, r *registry.Registry, _ registry.BlobStore, id int64) error {
			return r.Delete(context.Background(), id, always)
		}, map[string]string{}, map[string]string{"pack 1": "one"}},
		{"purge and collect", func(w *world, r *registry.Registry, store registry.BlobStore, id int64) error {
			if err := r.Purge(context.Background()); err != nil {
				return err
			}
			_, err := r.Collect(context.Background(), store, 0, true, nil)
			return err
		}, map[string]string{"pack 1": "one"}, map[string]string{"pack 1": "one"}},
	}
	rng := seed(t)
	n, acknowledged := 0, 0
	for _, step := range steps {
		for m := range modes {
			if m == slow && !full {
				continue
			}
			for at := 1; ; at += 1 + rng.IntN(rounds(9, 1)) { // all in full
				w := newWorld(t)
				good := &registry.Registry{Store: w.db, Blobs: w.disk}
				id, err := w.publish(good, "pack", "1", "one")
				if err != nil {
					t.Fatal(err)
				}
				if step.name == "purge and collect" { // there is something to take
					gone, err := w.publish(good, "gone", "1", "gone")
					if err != nil {
						t.Fatal(err)
					}
					if err := good.Delete(t.Context(), gone, always); err != nil {
						t.Fatal(err)
					}
				}
				p := &points{at: at, mode: m}
				r, store := w.over(p)
				failed := step.run(w, r, store, id)
				p.end()
				if p.n < at { // every call has broken once
					w.close()
					break
				}
				n++
				what := fmt.Sprintf("%s, %s %s (call %d)", step.name, p.names[at-1], m, at)
				got := w.state()
				switch {
				case failed == nil && fmt.Sprint(got) != fmt.Sprint(step.after):
					t.Errorf("%s: acknowledged, and there is %v", what, got)
				case failed != nil && fmt.Sprint(got) != fmt.Sprint(step.before) && fmt.Sprint(got) != fmt.Sprint(step.after):
					t.Errorf("%s: half is there: %v", what, got)
				case failed != nil && !errors.Is(failed, errPoint):
					t.Errorf("%s: another error: %v", what, failed)
				case failed != nil && m != persisted && step.name != "purge and collect" && fmt.Sprint(got) != fmt.Sprint(step.before):
					t.Errorf("%s: it failed and is there: %v", what, got)
				}
				if failed == nil {
					acknowledged++
				}
				w.settle(got)
				if again := w.state(); fmt.Sprint(again) != fmt.Sprint(got) {
					t.Errorf("%s: collecting changed %v to %v", what, got, again)
				}
				w.close()
			}
		}
	}
	if n < rounds(30, 200) {
		t.Errorf("only %d points were broken", n)
	}
	note("each call to the stores fails, fails but persisted, is slow, or torn", n, acknowledged, 0, "", "-run TestFaultPoints")
}

// The collector against a model: random histories of publishes that may break off at any call, deletions, purges and collections that
// may die at any call, or meet a publish of what they are about to remove. Nothing that can be read is ever taken, and nothing within its grace; what
// nothing names is taken in the end.
func TestCollectorModel(t *testing.T) {
	rng := seed(t)
	n, acknowledged := rounds(6, 100), 0
	content := func(i int) string { return fmt.Sprintf("content %d", i) } // few, so that what is taken comes again
	const contents = 6
	for range n {
		w := newWorld(t)
		good := &registry.Registry{Store: w.db, Blobs: w.disk}
		model := map[string]string{} // what was acknowledged and not deleted
		ids := map[string]int64{}
		doubt := map[string]string{}
		serial := 0
		for step := range 60 {
			p, met := &points{mode: mode(rng.IntN(int(modes)))}, ""
			if rng.IntN(3) == 0 {
				p.at = 1 + rng.IntN(60)
			}
			r, store := w.over(p)
			name := fmt.Sprintf("pack%d %d", rng.IntN(3), rng.IntN(5))
			pack, version, _ := strings.Cut(name, " ")
			switch at := rng.IntN(10); {
			case at < 4:
				text := content(rng.IntN(contents))
				id, err := w.publish(r, pack, version, text)
				_, there := model[name]
				switch {
				case err == nil && there:
					t.Fatalf("%s was published twice", name)
				case err == nil:
					model[name], ids[name] = text, id
					acknowledged++
				case errors.Is(err, errPoint):
					doubt[name] = text
				}
			case at < 6:
				if id := ids[name]; id != 0 {
					if err := r.Delete(context.Background(), id, always); err == nil {
						delete(model, name)
						delete(ids, name)
					} else {
						doubt[name] = ""
					}
				}
			case at < 7:
				r.Purge(context.Background())
			case at < 8: // all that happens here is younger
				before := w.blobs()
				if _, err := r.Collect(context.Background(), store, time.Hour, true, nil); err != nil {
					p.end()
					w.later()
				}
				if after := w.blobs(); !slices.Equal(before, after) {
					t.Fatalf("step %d: with a grace of an hour, of %v are left %v", step, before, after)
				}
			default:
				published := make(chan error)
				if rng.IntN(4) == 0 {
					p.at = 0
					p.meanwhile = func(removing []string) {
						for i := range contents {
							if met == "" && slices.Contains(removing, sha256Hex([]byte(content(i)))) {
								serial++
								met = fmt.Sprintf("meanwhile %d", serial)
								model[met] = content(i)
								go func() {
									_, err := w.publish(good, "meanwhile", fmt.Sprint(serial), content(i))
									published <- err
								}()
								select { // as a rule it waits until what is removed is gone
								case err := <-published:
									go func() { published <- err }()
								case <-time.After(20 * time.Millisecond):
								}
							}
						}
					}
				}
				_, err := r.Collect(context.Background(), store, 0, rng.IntN(2) == 0, nil)
				p.end()
				if err != nil { // it died; some minutes later another one goes on
					w.later()
					if _, err := good.Collect(context.Background(), w.disk, 0, false, nil); err != nil {
						t.Fatal(err)
					}
				}
				if met != "" {
					if err := <-published; err != nil {
						t.Fatalf("step %d: a publish of what is being removed: %v", step, err)
					}
					ids[met] = w.id(met)
					acknowledged++
				}
			}
			p.end()
			got := w.state() // complains when something can be read that is not whole
			for name, text := range model {
				if _, unsure := doubt[name]; !unsure && got[name] != text {
					t.Fatalf("step %d: %s is %q, want %q", step, name, got[name], text)
				}
			}
			// What was in doubt is decided now.
			for name := range doubt {
				delete(model, name)
				delete(ids, name)
				if text, ok := got[name]; ok {
					model[name], ids[name] = text, w.id(name)
				}
			}
			clear(doubt)
			if met != "" { // or soon there would be nothing to collect
				if err := good.Delete(context.Background(), ids[met], always); err != nil {
					t.Fatal(err)
				}
				delete(model, met)
			}
		}
		w.settle(w.state())
		w.close()
	}
	note("the collector against a model: random histories with broken calls, and publishes of what it is removing", n, acknowledged, 0, "", "-run TestCollectorModel")
}

func (w *world) id(name string) (id int64) {
	w.t.Helper()
	pack, version, _ := strings.Cut(name, " ")
	err := w.db.Read(w.t.Context(), func(tx registry.Tx) error {
		e, err := tx.Entry(w.project, registry.NPM, pack)
		if err != nil {
			return err
		}
		p, err := tx.PackageByVersion(e.ID, version)
		if err == nil {
			id = p.ID
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}
