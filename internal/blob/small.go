package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"sync"

	"packhouse/internal/registry"
)

// small keeps small contents in memory once they were read: to open a file and close it again costs more than to send it, and
// to ask a bucket for one much more.
//
// A content never changes, and is kept only if it has the digest that is its name, so nothing damaged gets in. On disk it counts for as long
// as its file is the one that was read: one that a command has removed, taken aside or put in its place ends it at once. A bucket
// is not asked again: who comes for a content comes from a row that names it, and its bytes are right.
type small struct {
	registry.BlobStore
	disk  *Disk // nil: in a bucket
	limit int64 // bytes

	mu       sync.Mutex
	new, old map[string]*content // by SHA-256; when new is half of the limit, it becomes the old
	size     int64               // of new
}

type content struct {
	bytes []byte
	file  os.FileInfo // as it was before it was read; nil: in a bucket
}

// smallSize is how many bytes a content has at most that is kept in memory.
const smallSize = 64 << 10

// KeepSmall returns the store with small contents of so many bytes in memory.
func KeepSmall(store registry.BlobStore, limit int64) registry.BlobStore {
	disk, _ := store.(*Disk)
	s := &small{BlobStore: store, disk: disk, limit: limit, new: map[string]*content{}}
	if linker, ok := store.(registry.Linker); ok {
		return struct {
			*small
			registry.Linker
		}{s, linker}
	}
	return s
}

// Open implements [registry.Blobs].
func (s *small) Open(ctx context.Context, digest string) (registry.Blob, error) {
	var file os.FileInfo
	if s.disk != nil && isDigest(digest) {
		var err error
		if file, err = os.Stat(s.disk.path(digest)); err != nil || file.Size() > smallSize {
			return s.BlobStore.Open(ctx, digest)
		}
	}
	if known := s.find(digest); known != nil && known.isOf(file) {
		return &inMemory{bytes.NewReader(known.bytes), known.bytes}, nil
	}
	blob, err := s.BlobStore.Open(ctx, digest)
	if err != nil || blob.Size() > smallSize {
		return blob, err
	}
	read := make([]byte, blob.Size())
	if _, err := io.ReadFull(blob, read); err != nil {
		blob.Close()
		return nil, err
	}
	if sum := sha256.Sum256(read); hex.EncodeToString(sum[:]) != digest { // damaged: as it would be without us
		_, err := blob.Seek(0, io.SeekStart)
		return blob, err
	}
	blob.Close()
	s.keep(digest, &content{read, file})
	return &inMemory{bytes.NewReader(read), read}, nil
}

// isOf tells whether a file is the one that was read. Whatever writes to one moves its time.
func (c *content) isOf(file os.FileInfo) bool {
	return c.file == nil || os.SameFile(c.file, file) && c.file.ModTime().Equal(file.ModTime()) && c.file.Size() == file.Size()
}

func (s *small) find(digest string) *content {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.new[digest]; found != nil {
		return found
	}
	found := s.old[digest]
	if found != nil { // it is used still
		s.add(digest, found)
	}
	return found
}

func (s *small) keep(digest string, c *content) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(digest, c)
}

func (s *small) add(digest string, c *content) {
	if former := s.new[digest]; former != nil {
		s.size -= cost(former)
	}
	if s.size += cost(c); s.size > s.limit/2 {
		s.old, s.new, s.size = s.new, map[string]*content{}, cost(c)
	}
	s.new[digest] = c
}

// cost is what a content takes of the memory, roughly.
func cost(c *content) int64 { return int64(len(c.bytes)) + 512 }

// inMemory is an open content that is in memory.
type inMemory struct {
	*bytes.Reader
	bytes []byte
}

// Next is what Read would read next, at most n bytes, without a copy.
func (m *inMemory) Next(n int) []byte {
	next := m.bytes[len(m.bytes)-m.Len():]
	next = next[:min(n, len(next))]
	m.Seek(int64(len(next)), io.SeekCurrent)
	return next
}

func (m *inMemory) Close() error { return nil }
