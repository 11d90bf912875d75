package registry

import (
	"context"
	"io"
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
