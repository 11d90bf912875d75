package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"time"
)

// The collector removes blobs that no row names. A content's way out:
//
//	the last row that named it goes    a trigger notes the content as garbage, in that transaction
//	or a publish broke off after it    the collector finds it in the store's list, with no row, and notes it
//	grace passes                       who reads it, or backs it up, gets to the end
//	condemned, in one transaction      when still no row names it, and no publish holds it; from now on none can
//	removed                            from disk or bucket
//	forgotten, in one transaction      a publish of the same content can store it again
//
// A publish that finds its content condemned waits until it is forgotten. A collector that dies in between leaves it
// condemned; the next one goes on after some minutes. At each step a crash leaves a blob too many, never one too few.

// Names of leases.
const (
	CollectLease = "collect"
	VerifyLease  = "verify"
)

const (
	leaseTime    = 5 * time.Minute        // how long who does a work may be silent
	collectBatch = 500                    // blobs that are looked up at once
	removeBatch  = 50                     // blobs that are removed at once
	removeTime   = time.Minute            // that may take; condemned contents wait for longer before another collector takes them over
	removedWait  = 20 * time.Second       // how long a publish waits for its content to be removed
	removedPause = 100 * time.Millisecond // between two looks
	uploadsGrace = 24 * time.Hour         // what is staged for longer was left by a dead process
	collectPause = time.Minute            // between two looks at what is due
	collectWhole = 24 * time.Hour         // between two looks at the whole list of the store
)

// whenRemoved is Store.Write that waits while a content of the transaction is being removed.
func (r *Registry) whenRemoved(ctx context.Context, f func(Tx) error) error {
	deadline := time.Now().Add(removedWait)
	for {
		err := r.Store.Write(ctx, f)
		if !errors.Is(err, ErrBeingRemoved) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(removedPause):
		}
	}
}

// Collection is what a collector did.
type Collection struct {
	Listed  int64 // blobs looked at; 0: only those that were noted
	Noted   int64 // found without a row
	Removed int64
	Bytes   int64 // of those removed
}

// Holding does a work that no other node or command does at the same time, and hands it the lease. keep, called now and then,
// stores what changed in the lease and holds it on; its error ends the work. Holding returns Conflict when somebody else is at it.
func (r *Registry) Holding(ctx context.Context, name string, work func(l *Lease, keep func() error) error) error {
	var lease *Lease
	err := r.Store.Write(ctx, func(tx Tx) (err error) {
		now := time.Now()
		lease, err = tx.TakeLease(name, rand.Text(), now, now.Add(leaseTime))
		return err
	})
	if err != nil {
		return err
	}
	kept := time.Now()
	keep := func() error {
		if err := ctx.Err(); err != nil || time.Since(kept) < leaseTime/30 {
			return err
		}
		kept, lease.Until = time.Now(), time.Now().Add(leaseTime)
		return r.Store.Write(ctx, func(tx Tx) error { return tx.KeepLease(lease) })
	}
	err = work(lease, keep)
	lease.Until = time.Time{}
	ended := r.Store.Write(context.WithoutCancel(ctx), func(tx Tx) error { return tx.KeepLease(lease) })
	if KindOf(ended) == NotFound {
		ended = nil // it took so long that another one took over
	}
	return errors.Join(err, ended)
}

// Collect removes what has been without a row for grace. With whole it looks at the list of the store, too, for what broken
// publishes left, younger than grace and what is noted for shorter aside. progress, if any, is called now and then.
func (r *Registry) Collect(ctx context.Context, store BlobStore, grace time.Duration, whole bool, progress func(Collection)) (done Collection, err error) {
	err = r.Holding(ctx, CollectLease, func(l *Lease, keep func() error) (err error) {
		ctx, end := Trace(ctx, "job.Collect")
		defer func() { end(err) }()
		report := func() error {
			if progress != nil {
				progress(done)
			}
			return keep()
		}
		if whole {
			if err := r.noteGarbage(ctx, store, grace, &done, report); err != nil {
				return err
			}
			if err := store.Sweep(ctx, time.Now().Add(-max(grace, uploadsGrace))); err != nil {
				return err
			}
		}
		if err := r.removeGarbage(ctx, store, time.Now().Add(-grace), &done, report); err != nil {
			return err
		}
		if whole {
			l.FinishedAt = time.Now()
		}
		return nil
	})
	return done, err
}

// noteGarbage finds blobs that no row names.
func (r *Registry) noteGarbage(ctx context.Context, store BlobStore, grace time.Duration, done *Collection, report func() error) error {
	young := time.Now().Add(-grace)
	var batch []BlobInfo
	flush := func() error {
		done.Listed += int64(len(batch))
		var unnamed []BlobInfo
		err := r.Store.Read(ctx, func(tx Tx) (err error) {
			unnamed, err = tx.Unnamed(batch)
			return err
		})
		if err != nil {
			return err
		}
		batch = batch[:0]
		if len(unnamed) > 0 { // rarely: writers are not disturbed for a look
			var noted int
			err := r.Store.Write(ctx, func(tx Tx) (err error) {
				noted, err = tx.NoteGarbage(unnamed)
				return err
			})
			if err != nil {
				return err
			}
			done.Noted += int64(noted)
		}
		return report()
	}
	err := store.EachBlob(ctx, "", func(b BlobInfo) error {
		if b.Time.After(young) {
			return nil
		}
		if batch = append(batch, b); len(batch) < collectBatch {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// removeGarbage removes what was noted before a moment.
func (r *Registry) removeGarbage(ctx context.Context, store BlobStore, before time.Time, done *Collection, report func() error) error {
	for more := true; more; {
		began := time.Now()
		var condemned []BlobInfo
		err := r.Store.Write(ctx, func(tx Tx) (err error) {
			condemned, more, err = tx.CondemnGarbage(before, removeBatch)
			return err
		})
		if err != nil {
			return err
		}
		if len(condemned) == 0 {
			continue
		}
		digests := make([]string, len(condemned))
		for i, b := range condemned {
			digests[i] = b.SHA256
		}
		// Never after another collector may have taken over: then somebody may have stored the same content again.
		bounded, cancel := context.WithDeadline(context.WithoutCancel(ctx), began.Add(removeTime))
		err = store.Remove(bounded, digests)
		cancel()
		if err != nil {
			return err
		}
		if err := r.Store.Write(ctx, func(tx Tx) error { return tx.ForgetGarbage(digests) }); err != nil {
			return err
		}
		for _, b := range condemned {
			done.Removed++
			done.Bytes += b.Size
		}
		if err := report(); err != nil {
			return err
		}
	}
	return nil
}

// KeepCollecting collects for as long as ctx lasts, once for all nodes: each minute what is due, and each day the whole list.
func (r *Registry) KeepCollecting(ctx context.Context, store BlobStore, grace time.Duration, failed func(error), collected func(Collection)) {
	tick := time.NewTicker(collectPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		whole := false
		err := r.Store.Read(ctx, func(tx Tx) error {
			l, err := tx.LeaseOf(CollectLease)
			whole = KindOf(err) == NotFound || err == nil && time.Since(l.FinishedAt) > collectWhole
			if KindOf(err) == NotFound {
				err = nil
			}
			return err
		})
		var done Collection
		if err == nil {
			done, err = r.Collect(ctx, store, grace, whole, nil)
		}
		switch {
		case ctx.Err() != nil || KindOf(err) == Conflict:
		case err != nil:
			failed(err)
		case done != (Collection{}):
			collected(done)
		}
	}
}
