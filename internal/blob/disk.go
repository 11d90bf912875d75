// Package blob keeps file contents by their SHA-256.
package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// Disk is a [registry.Blobs] in a folder:
//
//	sha256/ab/abcd…        a blob, read-only, never changed
//	staging/<process>/     what this process is writing, with a lock file that it holds
//	quarantine/abcd…       what was found damaged
//
// The way of an upload, and why each call is there:
//
//	open staging file, write           the content is nowhere visible
//	fsync(file)                        its bytes are on the disk, before anything names them
//	rename(staging file, sha256/…)     in one step visible and whole; a reader sees all or nothing
//	fsync(folder)                      the name is on the disk too, before the row that needs it is committed
//
// A process that dies leaves files only in its staging folder. The next process that opens the store sees that the
// lock is free and removes them.
type Disk struct {
	root    string
	staging *staging
}

var _ registry.BlobStore = (*Disk)(nil)

// OpenDisk opens the store in the folder root, made when missing, and removes what dead processes left.
func OpenDisk(root string) (_ *Disk, err error) {
	defer registry.Wrap(&err, "blob.OpenDisk")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	if err := makeFolders(root); err != nil {
		return nil, err
	}
	d := &Disk{root: root}
	if d.staging, err = openStaging(filepath.Join(root, "staging")); err != nil {
		return nil, err
	}
	return d, nil
}

// Close removes the staging folder. Contents that are staged still are lost, as they would be in a crash.
func (d *Disk) Close() error { return d.staging.close() }

// Ping tells whether contents could be staged: the folder is there, and a file can be made in it.
func (d *Disk) Ping(context.Context) error { return d.staging.ping() }

// path of a blob: 256 folders, so that one holds some thousands of a million files. More of them would be new nearly
// every time, and a new folder has to be synced too.
func (d *Disk) path(sha256 string) string {
	return filepath.Join(d.root, "sha256", sha256[:2], sha256)
}

// makeFolders makes all folders of blobs, durably, so that an upload finds its own.
func makeFolders(root string) error {
	folder := filepath.Join(root, "sha256")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for i := range 256 {
		if err := os.Mkdir(filepath.Join(folder, fmt.Sprintf("%02x", i)), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for _, changed := range []string{folder, root, filepath.Dir(root)} {
		if err := SyncFolder(changed); err != nil {
			return err
		}
	}
	return nil
}

// Open implements [registry.Blobs].
func (d *Disk) Open(_ context.Context, sha256 string) (registry.Blob, error) {
	if !isDigest(sha256) {
		return nil, registry.Errorf(registry.NotFound, "no blob %q", sha256)
	}
	file, err := os.Open(d.path(sha256))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &registry.Error{Kind: registry.NotFound, Message: "the file's content is missing", Err: err}
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &diskBlob{file, info.Size()}, nil
}

// isDigest tells whether a text is a SHA-256 in lower-case hex, and so nothing that leads elsewhere as a path.
func isDigest(text string) bool {
	return len(text) == 2*sha256.Size && strings.Trim(text, "0123456789abcdef") == ""
}

type diskBlob struct {
	*os.File // an *os.File, so that http.ServeContent reaches sendfile
	size     int64
}

func (b *diskBlob) Size() int64 { return b.size }

// Stage implements [registry.Blobs].
func (d *Disk) Stage(_ context.Context, r io.Reader) (registry.Staged, error) {
	file, err := d.staging.stage(r)
	if err != nil {
		return nil, err
	}
	if err := file.Sync(); err != nil {
		file.remove()
		return nil, noSpace(err)
	}
	return &stagedOnDisk{stagedFile: file, disk: d}, nil
}

type stagedOnDisk struct {
	*stagedFile
	disk    *Disk
	renamed bool
}

// Commit implements [registry.Staged]. A transaction that is repeated looks again: what it stored the first time may have been
// removed when the first time was over. Then the bytes are gone, and the client has to send them again.
func (s *stagedOnDisk) Commit(context.Context) error {
	path := s.disk.path(s.digests.SHA256)
	// A blob of that name has the same bytes, so replacing it would be harmless, but a reader's page cache is warm
	// with the old one. Its time says that it was wanted again, for whoever collects what nothing refers to.
	now := time.Now()
	err := os.Chtimes(path, now, now)
	if errors.Is(err, fs.ErrNotExist) {
		if s.renamed {
			return &registry.Error{Kind: registry.Unavailable, Message: "the file was collected while it was published; try again", Err: err}
		}
		err = os.Rename(s.Name(), path)
		s.renamed = err == nil
	}
	if err != nil {
		return noSpace(err)
	}
	// Also when the blob was there: the process that renamed it may not have come to this line yet.
	return noSpace(SyncFolder(filepath.Dir(path)))
}

// Discard implements [registry.Staged].
func (s *stagedOnDisk) Discard() {
	s.Close()
	if !s.renamed {
		os.Remove(s.Name())
	}
}

// EachBlob implements [registry.BlobStore].
func (d *Disk) EachBlob(ctx context.Context, after string, f func(registry.BlobInfo) error) error {
	for i := range 256 {
		prefix := fmt.Sprintf("%02x", i)
		if len(after) >= 2 && prefix < after[:2] {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(d.root, "sha256", prefix))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			name := entry.Name()
			if name <= after || !isDigest(name) {
				continue
			}
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			if err := f(registry.BlobInfo{SHA256: name, Size: info.Size(), Time: info.ModTime()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Remove implements [registry.BlobStore].
func (d *Disk) Remove(ctx context.Context, digests []string) error {
	for _, sha256 := range digests {
		if !isDigest(sha256) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := os.Remove(d.path(sha256)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Quarantine implements [registry.BlobStore].
func (d *Disk) Quarantine(_ context.Context, sha256 string) error {
	if !isDigest(sha256) {
		return registry.Errorf(registry.NotFound, "no blob %q", sha256)
	}
	folder := filepath.Join(d.root, quarantine)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	err := os.Rename(d.path(sha256), filepath.Join(folder, sha256))
	if errors.Is(err, fs.ErrNotExist) {
		return &registry.Error{Kind: registry.NotFound, Message: "the file's content is missing", Err: err}
	}
	if err != nil {
		return err
	}
	return SyncFolder(folder)
}

// quarantine is where contents go that are not what their name says.
const quarantine = "quarantine"

// Sweep implements [registry.BlobStore]. What processes left that are gone is removed whatever its age.
func (d *Disk) Sweep(context.Context, time.Time) error {
	return sweep(filepath.Join(d.root, "staging"))
}
