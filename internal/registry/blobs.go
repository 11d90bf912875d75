package registry

import (
	"context"
	"io"
	"time"
)

// Digests are the size in bytes and the digests of a content, all lower-case hex.
type Digests struct {
	Size   int64
	MD5    string
	SHA1   string
	SHA256 string
	SHA512 string
}

// Blobs keeps file contents by their SHA-256.
//
// A content comes in two steps, so that a publish that is refused leaves nothing behind and one that is acknowledged
// has its bytes: Stage writes and syncs it where no reader looks; Commit, called within the transaction that inserts
// the row, gives it its name.
type Blobs interface {
	// Stage reads r to its end and puts the content on stable storage, in constant memory. It returns r's error as
	// it is, and Full when there is no space; then nothing is left.
	Stage(ctx context.Context, r io.Reader) (Staged, error)
	// Open opens the blob with this SHA-256. It returns NotFound when there is none.
	Open(ctx context.Context, sha256 string) (Blob, error)
}

// Staged is a content that no reader sees yet.
type Staged interface {
	Digests() Digests
	io.ReaderAt
	// Commit makes the content readable under its SHA-256, durably. A content that is there already is kept once.
	Commit(ctx context.Context) error
	// Discard removes what was staged. After Commit it does nothing but release; always defer it.
	Discard()
}

// Blob is an open content.
type Blob interface {
	io.ReadSeekCloser
	Size() int64
}

// BlobStore is Blobs with what the upkeep of a store asks for.
type BlobStore interface {
	Blobs
	// EachBlob yields the blobs whose SHA-256 is above after, in its order. It returns f's error.
	EachBlob(ctx context.Context, after string, f func(BlobInfo) error) error
	// Remove removes blobs; what is not there is passed over.
	Remove(ctx context.Context, sha256 []string) error
	// Quarantine takes a blob aside, where nobody finds it but who looks for it by hand. It returns NotFound when there
	// is none.
	Quarantine(ctx context.Context, sha256 string) error
	// Sweep removes what processes that died have left staged since before a moment.
	Sweep(ctx context.Context, before time.Time) error
	// Ping tells whether contents can be stored. It returns Unavailable.
	Ping(ctx context.Context) error
	Close() error
}

// BlobInfo is a blob in a list.
type BlobInfo struct {
	SHA256 string
	Size   int64
	Time   time.Time // when it was stored last
}

// Linker is a BlobStore from which clients can download themselves.
type Linker interface {
	// Link is a URL that gives the blob to whoever has it, as a file of this name, for some minutes. It does not look
	// whether there is such a blob.
	Link(ctx context.Context, sha256, name string) (string, error)
}
