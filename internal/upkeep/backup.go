package upkeep

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"packhouse/internal/blob"
	"packhouse/internal/database"
	"packhouse/internal/registry"
)

// A backup is a folder:
//
//	blobs/                               the contents of all snapshots, each once, as a store on disk
//	snapshots/<time>/database.jsonl.gz   all rows
//	snapshots/<time>/contents.gz         what the rows name: a line "<SHA-256> <bytes>" for each
//	snapshots/<time>/manifest.json       what it is; written last: a snapshot without it is not whole
//
// The rows are of one moment. Each content that they name was stored before them and is copied after them, while nothing is
// collected; so the copy is consistent while servers publish and delete.

// Manifest describes a snapshot.
type Manifest struct {
	Version  string                       `json:"version"` // of packhouse
	Time     time.Time                    `json:"time"`    // of the rows
	Contents int64                        `json:"contents"`
	Bytes    int64                        `json:"bytes"`  // of the contents
	Files    map[string]string            `json:"files"`  // name → SHA-256
	Tables   map[string]database.TableSum `json:"tables"` // what the rows sum up to
}

const (
	databaseName = "database.jsonl.gz"
	contentsName = "contents.gz"
	manifestName = "manifest.json"
	timeLayout   = "20060102T150405.000Z" // of a snapshot's folder: UTC
)

// Copied is what a backup, a restore or a move did.
type Copied struct {
	Snapshot string
	Contents int64 // that the rows name
	Bytes    int64
	New      int64 // contents that were not there
	NewBytes int64
}

// Copying says how to copy.
type Copying struct {
	Version  string        // of packhouse
	Limit    *rate.Limiter // of bytes that are read; nil: none
	Progress Progress
}

// Backup adds a snapshot to a backup in the folder, which is made when missing. Contents that it has are not copied again.
func Backup(ctx context.Context, store registry.Store, blobs registry.BlobStore, folder string, how Copying) (done Copied, err error) {
	defer registry.Wrap(&err, "Backup")
	db, ok := store.(*database.DB)
	if !ok {
		return done, errors.New("this store cannot be dumped")
	}
	target, err := blob.OpenDisk(filepath.Join(folder, "blobs"))
	if err != nil {
		return done, err
	}
	defer target.Close()
	err = Waiting(ctx, func() error {
		return (&registry.Registry{Store: store}).Holding(ctx, registry.CollectLease, func(l *registry.Lease, keep func() error) error {
			done, err = backup(ctx, db, blobs, target, folder, how, keep)
			return err
		})
	})
	return done, err
}

// Waiting tries again while somebody else does the same work, for some minutes.
func Waiting(ctx context.Context, f func() error) error {
	for deadline := time.Now().Add(10 * time.Minute); ; {
		err := f()
		if registry.KindOf(err) != registry.Conflict || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func backup(ctx context.Context, db *database.DB, blobs registry.Blobs, target *blob.Disk, folder string, how Copying, keep func() error) (done Copied, err error) {
	name := time.Now().UTC().Format(timeLayout)
	snapshot := filepath.Join(folder, "snapshots", name)
	whole := false
	defer func() {
		if !whole {
			os.RemoveAll(snapshot)
		}
	}()
	m, err := dump(ctx, db, snapshot, how, keep)
	if err != nil {
		return done, err
	}
	if done, err = copyContents(ctx, snapshot, m, blobs, target, how, keep); err != nil {
		return done, err
	}
	done.Snapshot = name
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return done, err
	}
	if err := writeSynced(filepath.Join(snapshot, manifestName), text); err != nil {
		return done, err
	}
	whole = true
	return done, nil
}

// dump writes the rows, and what they name, into a new folder.
func dump(ctx context.Context, db *database.DB, snapshot string, how Copying, keep func() error) (m Manifest, err error) {
	m = Manifest{Version: how.Version, Time: time.Now().UTC(), Files: map[string]string{}}
	if err := os.MkdirAll(snapshot, 0o700); err != nil {
		return m, err
	}
	rows, err := create(snapshot, databaseName)
	if err != nil {
		return m, err
	}
	defer rows.Close()
	contents, err := create(snapshot, contentsName)
	if err != nil {
		return m, err
	}
	defer contents.Close()
	m.Tables, err = db.Dump(ctx, rows, func(sha256 string, size int64) error {
		m.Contents++
		m.Bytes += size
		fmt.Fprintf(contents, "%s %d\n", sha256, size)
		return keep()
	})
	if err != nil {
		return m, err
	}
	for _, file := range []*hashedFile{rows, contents} {
		if m.Files[file.name], err = file.finish(); err != nil {
			return m, err
		}
	}
	return m, nil
}

// copyContents copies what contents.gz names from one store to another. Each is read once, and what is written has the
// SHA-256 that it should have.
func copyContents(ctx context.Context, snapshot string, m Manifest, from registry.Blobs, to registry.BlobStore, how Copying, keep func() error) (done Copied, err error) {
	// What is there already: both lists have the same order.
	there, stop := pull(ctx, to)
	defer stop()
	next, err := there()
	if err != nil {
		return done, err
	}
	err = eachContent(snapshot, func(sha256 string, size int64) error {
		for next.SHA256 != "" && next.SHA256 < sha256 {
			if next, err = there(); err != nil {
				return err
			}
		}
		if next.SHA256 != sha256 || next.Size != size {
			if next.SHA256 == sha256 { // torn, as no store of ours leaves it
				if err := to.Quarantine(ctx, sha256); err != nil {
					return err
				}
			}
			if err := copyContent(ctx, sha256, from, to, how.Limit, keep); err != nil {
				return fmt.Errorf("copy content %s: %w", sha256, err)
			}
			done.New++
			done.NewBytes += size
		}
		done.Contents++
		done.Bytes += size
		if how.Progress != nil {
			how.Progress(done.Contents, done.Bytes, m.Contents, m.Bytes)
		}
		return keep()
	})
	return done, err
}

func copyContent(ctx context.Context, sha256 string, from, to registry.Blobs, limit *rate.Limiter, keep func() error) error {
	source, err := from.Open(ctx, sha256)
	if err != nil {
		return err
	}
	defer source.Close()
	staged, err := to.Stage(ctx, &limited{ctx: ctx, r: source, limit: limit, keep: keep})
	if err != nil {
		return err
	}
	defer staged.Discard()
	if got := staged.Digests().SHA256; got != sha256 {
		return fmt.Errorf("it is damaged: its SHA-256 is %s; `packhouse verify` tells which packages have it", got)
	}
	return staged.Commit(ctx)
}

// pull yields the blobs of a store one after another, and then one without a SHA-256.
func pull(ctx context.Context, store registry.BlobStore) (next func() (registry.BlobInfo, error), stop func()) {
	ctx, stop = context.WithCancel(ctx)
	found := make(chan registry.BlobInfo, 1000)
	failed := make(chan error, 1)
	go func() {
		defer close(found)
		failed <- store.EachBlob(ctx, "", func(b registry.BlobInfo) error {
			select {
			case found <- b:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	ended := false
	return func() (registry.BlobInfo, error) {
		b, ok := <-found
		if !ok && !ended {
			ended = true
			return b, <-failed
		}
		return b, nil
	}, stop
}

// unpack reads a file of a snapshot, until end is called.
func unpack(snapshot, name string) (unpacked io.Reader, end func() error, err error) {
	file, err := os.Open(filepath.Join(snapshot, name))
	if err != nil {
		return nil, nil, err
	}
	if unpacked, err = gzip.NewReader(file); err != nil {
		file.Close()
		return nil, nil, err
	}
	return unpacked, file.Close, nil
}

// eachContent reads contents.gz.
func eachContent(snapshot string, f func(sha256 string, size int64) error) error {
	unpacked, end, err := unpack(snapshot, contentsName)
	if err != nil {
		return err
	}
	defer end()
	lines := bufio.NewScanner(unpacked)
	for lines.Scan() {
		var sha256 string
		var size int64
		if _, err := fmt.Sscanf(lines.Text(), "%s %d", &sha256, &size); err != nil {
			return fmt.Errorf("%s is damaged: %w", contentsName, err)
		}
		if err := f(sha256, size); err != nil {
			return err
		}
	}
	return lines.Err()
}

// hashedFile is a file of a snapshot: packed, hashed and in the end synced.
type hashedFile struct {
	*gzip.Writer
	name string
	file *os.File
	hash interface{ Sum([]byte) []byte }
}

func create(folder, name string) (*hashedFile, error) {
	file, err := os.OpenFile(filepath.Join(folder, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	return &hashedFile{gzip.NewWriter(io.MultiWriter(file, hash)), name, file, hash}, nil
}

func (f *hashedFile) finish() (sum string, err error) {
	if err := errors.Join(f.Writer.Close(), f.file.Sync(), f.file.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(f.hash.Sum(nil)), nil
}

// Close gives up what is not finished.
func (f *hashedFile) Close() error { return f.file.Close() }

// writeSynced writes a file whole or not at all.
func writeSynced(path string, content []byte) error {
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	for _, folder := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if err := blob.SyncFolder(folder); err != nil {
			return err
		}
	}
	return nil
}

// Snapshots are the names of the whole snapshots of a backup, the oldest first.
func Snapshots(folder string) ([]string, error) {
	found, err := os.ReadDir(filepath.Join(folder, "snapshots"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, entry := range found {
		if _, err := os.Stat(filepath.Join(folder, "snapshots", entry.Name(), manifestName)); err == nil {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, err
}

// openSnapshot checks the files of a snapshot; with an empty name it is the newest.
func openSnapshot(folder, name string) (path string, m Manifest, err error) {
	names, err := Snapshots(folder)
	if err != nil {
		return "", m, err
	}
	if name == "" && len(names) > 0 {
		name = names[len(names)-1]
	}
	if !slices.Contains(names, name) {
		return "", m, fmt.Errorf("there is no whole snapshot %s in %s; there are: %s", name, folder, strings.Join(names, ", "))
	}
	path = filepath.Join(folder, "snapshots", name)
	text, err := os.ReadFile(filepath.Join(path, manifestName))
	if err != nil {
		return "", m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return "", m, fmt.Errorf("%s of %s is damaged: %w", manifestName, name, err)
	}
	for _, file := range []string{databaseName, contentsName} {
		f, err := os.Open(filepath.Join(path, file))
		if err != nil {
			return "", m, err
		}
		got, err := blob.Digests(f)
		f.Close()
		if err != nil {
			return "", m, err
		}
		if got.SHA256 != m.Files[file] {
			return "", m, fmt.Errorf("%s of %s is damaged", file, name)
		}
	}
	return path, m, nil
}

// Restore fills an empty database and a store of blobs from a snapshot; with an empty name, from the newest. The rows come
// last, in one transaction: what is interrupted can be run again, and goes on. Each content is compared with its SHA-256.
func Restore(ctx context.Context, folder, name, location string, blobs registry.BlobStore, how Copying) (done Copied, err error) {
	defer registry.Wrap(&err, "Restore")
	snapshot, m, err := openSnapshot(folder, name)
	if err != nil {
		return done, err
	}
	if err := database.Empty(ctx, location); err != nil {
		return done, err
	}
	source, err := blob.OpenDisk(filepath.Join(folder, "blobs"))
	if err != nil {
		return done, err
	}
	defer source.Close()
	done, err = copyContents(ctx, snapshot, m, source, blobs, how, func() error { return ctx.Err() })
	if err != nil {
		return done, err
	}
	done.Snapshot = filepath.Base(snapshot)
	return done, load(ctx, snapshot, location, m, true)
}

// load fills the database from a snapshot.
func load(ctx context.Context, snapshot, location string, m Manifest, back bool) error {
	unpacked, end, err := unpack(snapshot, databaseName)
	if err != nil {
		return err
	}
	defer end()
	tables, err := database.Load(ctx, location, unpacked, back)
	if err != nil {
		return err
	}
	for name, want := range m.Tables {
		if tables[name] != want {
			return fmt.Errorf("%s is not what the manifest says", name)
		}
	}
	return nil
}
