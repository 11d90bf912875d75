// Package blob keeps file contents by their SHA-256.
package blob

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"packhouse/internal/registry"
)

// Disk is a [registry.Blobs] in a folder:
//
//	sha256/ab/abcd…        a blob, read-only, never changed
//	staging/<process>/     what this process is writing, with a lock file that it holds
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
	staging string
	lock    *flock.Flock
	buffers sync.Pool
}

var _ registry.Blobs = (*Disk)(nil)

// copyBuffer is large enough that digests and disk, not calls, take the time.
const copyBuffer = 256 << 10

// OpenDisk opens the store in the folder root, made when missing, and removes what dead processes left.
func OpenDisk(root string) (_ *Disk, err error) {
	defer registry.Wrap(&err, "blob.OpenDisk")
	d := &Disk{root: root, buffers: sync.Pool{New: func() any { return new([copyBuffer]byte) }}}
	stagings := filepath.Join(root, "staging")
	if err := os.MkdirAll(stagings, 0o700); err != nil {
		return nil, err
	}
	if err := makeFolders(root); err != nil {
		return nil, err
	}
	if err := sweep(stagings); err != nil {
		return nil, err
	}
	for {
		d.staging = filepath.Join(stagings, rand.Text())
		if err := os.Mkdir(d.staging, 0o700); err != nil {
			return nil, err
		}
		d.lock = flock.New(filepath.Join(d.staging, lockName))
		if err := d.lock.Lock(); err != nil {
			return nil, err
		}
		// Between the making of the lock file and its locking, a process that sweeps takes the folder for a dead one's.
		if _, err := os.Stat(d.lock.Path()); err == nil {
			return d, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		d.lock.Close()
	}
}

const lockName = "lock"

// sweep removes the staging folders whose process is gone. A folder without a lock file may be one that is being
// made at this moment, so it is left alone while it is young.
func sweep(stagings string) error {
	folders, err := os.ReadDir(stagings)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		path := filepath.Join(stagings, folder.Name())
		lockFile := filepath.Join(path, lockName)
		if _, err := os.Stat(lockFile); errors.Is(err, fs.ErrNotExist) {
			if info, err := folder.Info(); err != nil || time.Since(info.ModTime()) < time.Minute {
				continue
			}
		}
		lock := flock.New(lockFile)
		if free, err := lock.TryLock(); err != nil || !free {
			continue
		}
		err := os.RemoveAll(path)
		lock.Close()
		// Not empty: its process lives after all, and makes its lock file at this moment. It goes on in the folder, or,
		// when the file was removed, begins anew.
		if err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
			return err
		}
	}
	return nil
}

// Close removes the staging folder. Contents that are staged still are lost, as they would be in a crash.
func (d *Disk) Close() error {
	err := os.RemoveAll(d.staging)
	return errors.Join(err, d.lock.Close())
}

// Ping tells whether contents could be staged: the folder is there, and a file can be made in it.
func (d *Disk) Ping(context.Context) error {
	file, err := os.CreateTemp(d.staging, "ping")
	if err != nil {
		return &registry.Error{Kind: registry.Unavailable, Message: "the folder of the blobs cannot be written", Err: err}
	}
	file.Close()
	return os.Remove(file.Name())
}

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
		if err := syncFolder(changed); err != nil {
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
func (d *Disk) Stage(_ context.Context, r io.Reader) (_ registry.Staged, err error) {
	file, err := os.OpenFile(filepath.Join(d.staging, rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return nil, noSpace(err)
	}
	s := &staged{disk: d, File: file}
	complete := false
	defer func() {
		if !complete { // also when r panics
			s.Discard()
		}
	}()
	sums := newDigester()
	buffer := d.buffers.Get().(*[copyBuffer]byte)
	defer d.buffers.Put(buffer)
	for {
		n, readErr := fill(r, buffer[:])
		sums.Write(buffer[:n])
		if _, err := file.Write(buffer[:n]); err != nil {
			return nil, noSpace(err)
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			return nil, readErr
		}
	}
	if err := file.Sync(); err != nil {
		return nil, noSpace(err)
	}
	s.digests = sums.digests()
	complete = true
	return s, nil
}

// fill is io.ReadFull that returns the reader's own error, also its io.ErrUnexpectedEOF.
func fill(r io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) && err == nil {
		var m int
		m, err = r.Read(buffer[n:])
		n += m
	}
	return n, err
}

type staged struct {
	*os.File
	disk    *Disk
	digests registry.Digests
	renamed bool
}

func (s *staged) Digests() registry.Digests { return s.digests }

// Commit implements [registry.Staged]. Calling it again, as a repeated transaction does, is harmless.
func (s *staged) Commit(context.Context) error {
	if s.renamed {
		return nil
	}
	path := s.disk.path(s.digests.SHA256)
	// A blob of that name has the same bytes, so replacing it would be harmless, but a reader's page cache is warm
	// with the old one. Its time says that it was wanted again, for whoever collects what nothing refers to.
	now := time.Now()
	err := os.Chtimes(path, now, now)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(s.Name(), path)
		s.renamed = err == nil
	}
	if err != nil {
		return noSpace(err)
	}
	// Also when the blob was there: the process that renamed it may not have come to this line yet.
	return noSpace(syncFolder(filepath.Dir(path)))
}

// Discard implements [registry.Staged].
func (s *staged) Discard() {
	s.Close()
	if !s.renamed {
		os.Remove(s.Name())
	}
}

// noSpace gives errors of a full disk their kind.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &registry.Error{Kind: registry.Full, Message: "no space left to store the file", Err: err}
	}
	return err
}

// digester computes the four digests of a stream.
type digester struct {
	size   int64
	hashes [4]hash.Hash
}

func newDigester() *digester {
	return &digester{hashes: [4]hash.Hash{md5.New(), sha1.New(), sha256.New(), sha512.New()}}
}

func (d *digester) Write(p []byte) (int, error) {
	d.size += int64(len(p))
	for _, h := range d.hashes {
		h.Write(p)
	}
	return len(p), nil
}

func (d *digester) digests() registry.Digests {
	hexSum := func(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
	return registry.Digests{Size: d.size,
		MD5: hexSum(d.hashes[0]), SHA1: hexSum(d.hashes[1]), SHA256: hexSum(d.hashes[2]), SHA512: hexSum(d.hashes[3])}
}
