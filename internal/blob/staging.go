package blob

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"packhouse/internal/registry"
)

// staging is the folder in which this process writes contents that are not committed yet, below one that it shares with
// other processes. Its lock tells them that this one lives.
type staging struct {
	folder  string
	lock    *flock.Flock
	buffers sync.Pool
}

// copyBuffer is large enough that digests and disk, not calls, take the time.
const copyBuffer = 256 << 10

// worthSharing is how many bytes take longer to digest than it takes to have several cores do so.
const worthSharing = 32 << 10

const lockName = "lock"

// openStaging makes a folder below stagings, which is made when missing, and removes those of dead processes.
func openStaging(stagings string) (*staging, error) {
	if err := os.MkdirAll(stagings, 0o700); err != nil {
		return nil, err
	}
	if err := sweep(stagings); err != nil {
		return nil, err
	}
	s := &staging{buffers: sync.Pool{New: func() any { return new([copyBuffer]byte) }}}
	for {
		s.folder = filepath.Join(stagings, rand.Text())
		if err := os.Mkdir(s.folder, 0o700); err != nil {
			return nil, err
		}
		s.lock = flock.New(filepath.Join(s.folder, lockName))
		if err := s.lock.Lock(); err != nil {
			return nil, err
		}
		// Between the making of the lock file and its locking, a process that sweeps takes the folder for a dead one's.
		if _, err := os.Stat(s.lock.Path()); err == nil {
			return s, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		s.lock.Close()
	}
}

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

func (s *staging) close() error {
	err := os.RemoveAll(s.folder)
	return errors.Join(err, s.lock.Close())
}

// ping tells whether contents could be staged.
func (s *staging) ping() error {
	file, err := os.CreateTemp(s.folder, "ping")
	if err != nil {
		return &registry.Error{Kind: registry.Unavailable, Message: "the folder of the blobs cannot be written", Err: err}
	}
	file.Close()
	return os.Remove(file.Name())
}

// stagedFile is a content in a file of the staging folder.
type stagedFile struct {
	*os.File
	digests registry.Digests
}

func (s *stagedFile) Digests() registry.Digests { return s.digests }

func (s *stagedFile) remove() {
	s.Close()
	os.Remove(s.Name())
}

// stage reads r to its end into a file. After an error, or when r panics, nothing is left.
func (s *staging) stage(r io.Reader) (*stagedFile, error) {
	file, err := os.OpenFile(filepath.Join(s.folder, rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return nil, noSpace(err)
	}
	staged := &stagedFile{File: file}
	complete := false
	defer func() {
		if !complete { // also when r panics
			staged.remove()
		}
	}()
	buffer := s.buffers.Get().(*[copyBuffer]byte)
	defer s.buffers.Put(buffer)
	if staged.digests, err = digest(file, r, buffer); err != nil {
		return nil, noSpace(err)
	}
	complete = true
	return staged, nil
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

// noSpace gives errors of a full disk their kind.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &registry.Error{Kind: registry.Full, Message: "no space left to store the file", Err: err}
	}
	return err
}

// digest copies r to its end into w, by way of a buffer, and returns the digests of it. They are what takes the time of a large
// content, so each is computed by itself, while what it goes through is written and what comes next is read.
func digest(w io.Writer, r io.Reader, buffer *[copyBuffer]byte) (digests registry.Digests, err error) {
	hashes := [...]hash.Hash{md5.New(), sha1.New(), sha256.New(), sha512.New()}
	var hashing sync.WaitGroup
	defer hashing.Wait() // the buffer is in use until then
	this, next := buffer[:copyBuffer/2], buffer[copyBuffer/2:]
	for readErr := error(nil); readErr == nil; this, next = next, this {
		var n int
		n, readErr = fill(r, this)
		digests.Size += int64(n)
		if readErr != nil && readErr != io.EOF {
			return digests, readErr
		}
		piece := this[:n]
		hashing.Wait()
		for _, h := range hashes {
			if n < worthSharing {
				h.Write(piece)
			} else {
				hashing.Go(func() { h.Write(piece) })
			}
		}
		if _, err := w.Write(piece); err != nil {
			return digests, err
		}
	}
	hashing.Wait()
	for i, sum := range []*string{&digests.MD5, &digests.SHA1, &digests.SHA256, &digests.SHA512} {
		*sum = hex.EncodeToString(hashes[i].Sum(nil))
	}
	return digests, nil
}

// Digests reads r to its end, in constant memory. After an error only the size is set: what was read until then.
func Digests(r io.Reader) (registry.Digests, error) {
	return digest(io.Discard, r, new([copyBuffer]byte))
}
