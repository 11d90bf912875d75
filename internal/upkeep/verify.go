// Package upkeep checks, copies and moves what a server keeps: the work of an administrator's commands, all of which may run
// while servers do.
package upkeep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"packhouse/internal/blob"
	"packhouse/internal/registry"
)

// Progress is told now and then how far a work is: contents and bytes, of how many. Totals may be short of what comes in
// meanwhile.
type Progress func(contents, bytes, ofContents, ofBytes int64)

// Verification says how to verify.
type Verification struct {
	Resume     bool          // go on where the last one stopped
	Quarantine bool          // take damaged blobs aside
	Limit      *rate.Limiter // of bytes that are read; nil: none
	Progress   Progress
	Problem    func(Problem)
}

// Problem is a content that is not what its rows say.
type Problem struct {
	registry.Content
	What        string // missing, damaged, or differs: from what one of its rows says of it
	Detail      string
	Quarantined bool
}

// Verified is what a verification found.
type Verified struct {
	Contents, Bytes             int64
	Missing, Damaged, Differing int64
}

// OK tells whether everything is there and right.
func (v Verified) OK() bool { return v.Missing+v.Damaged+v.Differing == 0 }

const verifyBatch = 200 // contents that are looked up at once

// Verify reads each content that a row names and compares all its digests. It returns Conflict when somebody else verifies,
// and what was found until then with any error; a later one can resume.
func Verify(ctx context.Context, r *registry.Registry, store registry.BlobStore, how Verification) (v Verified, err error) {
	err = r.Holding(ctx, registry.VerifyLease, func(l *registry.Lease, keep func() error) error {
		if !how.Resume {
			l.Progress = ""
		}
		var all, allBytes int64
		err := r.Store.Read(ctx, func(tx registry.Tx) (err error) {
			all, allBytes, err = tx.CountContents()
			return err
		})
		if err != nil {
			return err
		}
		for {
			var contents []registry.Content
			err := r.Store.Read(ctx, func(tx registry.Tx) (err error) {
				contents, err = tx.Contents(l.Progress, verifyBatch)
				return err
			})
			if err != nil {
				return err
			}
			if len(contents) == 0 {
				l.Progress, l.FinishedAt = "", time.Now()
				return nil
			}
			for _, c := range contents {
				if err := verifyContent(ctx, r, store, how, keep, c, &v); err != nil {
					return err
				}
				l.Progress = c.SHA256
				if how.Progress != nil {
					how.Progress(v.Contents, v.Bytes, all, allBytes)
				}
				if err := keep(); err != nil {
					return err
				}
			}
		}
	})
	return v, err
}

func verifyContent(ctx context.Context, r *registry.Registry, store registry.BlobStore, how Verification, keep func() error, c registry.Content, v *Verified) error {
	p, err := check(ctx, store, how.Limit, keep, c, &v.Bytes)
	if err != nil {
		return err
	}
	v.Contents++
	if p == nil {
		return nil
	}
	// Its rows may have been removed meanwhile, and its blob after them.
	still, err := named(ctx, r, c.SHA256)
	if err != nil || still == nil {
		return err
	}
	if p, err = check(ctx, store, how.Limit, keep, *still, &v.Bytes); err != nil || p == nil {
		return err
	}
	switch p.What {
	case "missing":
		v.Missing++
	case "damaged":
		v.Damaged++
		if how.Quarantine {
			if err := store.Quarantine(ctx, c.SHA256); err != nil {
				return err
			}
			p.Quarantined = true
		}
	default:
		v.Differing++
	}
	if how.Problem != nil {
		how.Problem(*p)
	}
	return nil
}

// named is a content with its rows, or nil when it has none any more.
func named(ctx context.Context, r *registry.Registry, sha256 string) (*registry.Content, error) {
	var found []registry.Content
	err := r.Store.Read(ctx, func(tx registry.Tx) (err error) {
		found, err = tx.Contents(sha256[:len(sha256)-1], 1) // a text is above each of its beginnings
		return err
	})
	if err != nil || len(found) == 0 || found[0].SHA256 != sha256 {
		return nil, err
	}
	return &found[0], nil
}

// check reads a content. The error is one of reading that says nothing about the content.
func check(ctx context.Context, store registry.Blobs, limit *rate.Limiter, keep func() error, c registry.Content, read *int64) (*Problem, error) {
	b, err := store.Open(ctx, c.SHA256)
	if registry.KindOf(err) == registry.NotFound {
		return &Problem{Content: c, What: "missing", Detail: "there is no blob"}, nil
	}
	if err != nil {
		return nil, err
	}
	defer b.Close()
	from := &limited{ctx: ctx, r: b, limit: limit, keep: keep}
	got, err := blob.Digests(from)
	*read += got.Size
	if from.ended != nil {
		return nil, from.ended
	}
	if err != nil {
		if ctx.Err() != nil || registry.KindOf(err) == registry.Unavailable {
			return nil, errors.Join(err, ctx.Err())
		}
		return &Problem{Content: c, What: "damaged", Detail: "it cannot be read: " + err.Error()}, nil // the disk's
	}
	if got.SHA256 != c.SHA256 {
		return &Problem{Content: c, What: "damaged", Detail: fmt.Sprintf("its %d bytes have SHA-256 %s", got.Size, got.SHA256)}, nil
	}
	for _, use := range c.Uses {
		want := use.Digests
		if want.MD5 == "" && want.SHA1 == "" && want.SHA512 == "" { // a symbol
			want.MD5, want.SHA1, want.SHA512 = got.MD5, got.SHA1, got.SHA512
		}
		if want != got {
			return &Problem{Content: c, What: "differs", Detail: fmt.Sprintf("the row of %s says size %d, MD5 %s, SHA-1 %s, SHA-512 %s", use.File, want.Size, want.MD5, want.SHA1, want.SHA512)}, nil
		}
	}
	return nil, nil
}

// limited reads no faster than it may, and holds the lease of the work on meanwhile: a large content takes long.
type limited struct {
	ctx   context.Context
	r     io.Reader
	limit *rate.Limiter
	keep  func() error
	ended error // keep's: of the work, and not of the content
}

func (l *limited) Read(p []byte) (int, error) {
	if l.ended = l.keep(); l.ended != nil {
		return 0, l.ended
	}
	if l.limit == nil {
		return l.r.Read(p)
	}
	n, err := l.r.Read(p[:min(len(p), l.limit.Burst())])
	if wait := l.limit.WaitN(l.ctx, n); wait != nil {
		slog.Debug("wait for the rate", "err", wait)
		return n, wait
	}
	return n, err
}
