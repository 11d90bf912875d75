package blob

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"packhouse/internal/registry"
)

// counted counts what is opened.
type counted struct {
	*Disk
	mu     sync.Mutex
	opened int
}

func (c *counted) Open(ctx context.Context, digest string) (registry.Blob, error) {
	c.mu.Lock()
	c.opened++
	c.mu.Unlock()
	return c.Disk.Open(ctx, digest)
}

// openSmall is a store on disk behind KeepSmall.
func openSmall(t *testing.T, limit int64) (*small, *counted) {
	disk, err := OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	store := &counted{Disk: disk}
	kept := KeepSmall(store, limit).(*small)
	kept.disk = disk
	return kept, store
}

func store(t *testing.T, blobs registry.Blobs, text string) (digest string) {
	t.Helper()
	staged, err := blobs.Stage(t.Context(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer staged.Discard()
	if err := staged.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return staged.Digests().SHA256
}

func read(t *testing.T, blobs registry.Blobs, digest string) string {
	t.Helper()
	blob, err := blobs.Open(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	text, err := io.ReadAll(blob)
	if err != nil || int64(len(text)) != blob.Size() {
		t.Fatalf("%d bytes of %d, %v", len(text), blob.Size(), err)
	}
	return string(text)
}

func TestSmallContents(t *testing.T) {
	kept, under := openSmall(t, 1<<20)
	little, large := store(t, kept, "little"), store(t, kept, strings.Repeat("l", smallSize+1))
	for range 3 {
		if got := read(t, kept, little); got != "little" {
			t.Errorf("read %q", got)
		}
	}
	if under.opened != 1 {
		t.Errorf("a small file was opened %d times, want once", under.opened)
	}
	under.opened = 0
	for range 2 {
		read(t, kept, large)
	}
	if under.opened != 2 {
		t.Errorf("a large file was opened %d times of 2", under.opened)
	}
	blob, err := kept.Open(t.Context(), little)
	if err != nil {
		t.Fatal(err)
	}
	blob.Seek(2, io.SeekStart)
	next := blob.(interface{ Next(int) []byte })
	if got := string(next.Next(3)) + "," + string(next.Next(9)) + "," + string(next.Next(1)); got != "ttl,e," {
		t.Errorf("next are %s", got)
	}
	for _, digest := range []string{"", "../../x", strings.Repeat("0", 64)} {
		if _, err := kept.Open(t.Context(), digest); registry.KindOf(err) != registry.NotFound {
			t.Errorf("%q: %v, want NotFound", digest, err)
		}
	}
}

// What has happened to the file of a content that is in memory counts at once, whoever did it.
func TestSmallContentsGoWithTheirFiles(t *testing.T) {
	for what, change := range map[string]func(d *Disk, digest string) error{
		"removed":     func(d *Disk, digest string) error { return d.Remove(context.Background(), []string{digest}) },
		"taken aside": func(d *Disk, digest string) error { return d.Quarantine(context.Background(), digest) },
	} {
		kept, under := openSmall(t, 1<<20)
		digest := store(t, kept, "text")
		read(t, kept, digest)
		if err := change(under.Disk, digest); err != nil {
			t.Fatal(err)
		}
		if _, err := kept.Open(t.Context(), digest); registry.KindOf(err) != registry.NotFound {
			t.Errorf("%s: %v, want NotFound", what, err)
		}
		if again := store(t, kept, "text"); read(t, kept, again) != "text" {
			t.Errorf("%s, and stored again: another text", what)
		}
	}
}

// A damaged content is not kept: what heals it is seen, and so is damage to one that was read before.
func TestSmallContentsAreRight(t *testing.T) {
	kept, under := openSmall(t, 1<<20)
	digest := store(t, kept, "right")
	path := under.path(digest)
	for _, text := range []string{"right", "wrong one", "other", "right!", "right"} {
		os.Chmod(path, 0o600)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := read(t, kept, digest); got != text {
				t.Errorf("read %q, the file has %q", got, text)
			}
		}
		if known := kept.find(digest); known != nil && string(known.bytes) != "right" {
			t.Errorf("%q is kept", known.bytes)
		}
	}
}

func TestSmallContentsAreBounded(t *testing.T) {
	const limit = 64 << 10
	kept, _ := openSmall(t, limit)
	var digests []string
	for i := range 40 {
		digests = append(digests, store(t, kept, fmt.Sprintf("%04d", i)+strings.Repeat("x", 4<<10)))
	}
	often := digests[0]
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i, digest := range digests {
				if got := read(t, kept, digest); !strings.HasPrefix(got, fmt.Sprintf("%04d", i)) {
					t.Errorf("content %d is another one", i)
				}
				read(t, kept, often)
				kept.mu.Lock()
				total := int64(0)
				for _, generation := range []map[string]*content{kept.new, kept.old} {
					for _, c := range generation {
						total += cost(c)
					}
				}
				kept.mu.Unlock()
				if total > limit {
					t.Errorf("%d bytes are kept, of %d", total, limit)
				}
			}
		})
	}
	group.Wait()
	if kept.find(often) == nil || kept.find(digests[1]) != nil {
		t.Error("what is used often is gone, or what is not is still there")
	}
}

// A bucket is not asked for what is in memory.
func TestSmallContentsOfABucket(t *testing.T) {
	under := bucket{contents: map[string]string{"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae": "foo"}}
	kept := KeepSmall(under, 1<<20)
	for digest := range under.contents {
		read(t, kept, digest)
		delete(under.contents, digest)
		if got := read(t, kept, digest); got != "foo" {
			t.Errorf("read %q", got)
		}
	}
}

// bucket is contents by digest.
type bucket struct {
	registry.BlobStore // nil: nothing else is asked for
	contents           map[string]string
}

func (b bucket) Open(_ context.Context, digest string) (registry.Blob, error) {
	text, ok := b.contents[digest]
	if !ok {
		return nil, registry.Errorf(registry.NotFound, "")
	}
	return &inMemory{bytes.NewReader([]byte(text)), []byte(text)}, nil
}
