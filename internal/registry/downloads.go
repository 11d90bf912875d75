package registry

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Download is how often a file was downloaded on a day.
type Download struct {
	PackageID int64
	FileID    int64
	Day       time.Time // its beginning in UTC
	Count     int64
	Last      time.Time // the last of them
}

// DayCount is how many downloads a day had.
type DayCount struct {
	Day   time.Time // its beginning in UTC
	Count int64
}

// Downloads counts in memory, for Flush to write now and then: a download waits for no database. The zero value is ready.
type Downloads struct {
	// Each call takes a shard at random, so that a file that all ask for is no place where they queue.
	shards [16]downloadShard
}

type downloadShard struct {
	sync.Mutex
	counts map[downloadKey]downloadCount
	lost   int64    // not counted, since the shard was full
	_      [32]byte // a shard has its cache line for itself
}

type downloadKey struct{ pkg, file, day int64 } // day in Unix milliseconds

type downloadCount struct{ count, last int64 } // last in Unix milliseconds

const (
	maxDownloads  = 8 << 10 // keys of a shard; one takes some sixty bytes
	downloadBatch = 1000    // rows written in one transaction
	day           = 24 * time.Hour
)

// Count notes a download of a file.
func (d *Downloads) Count(f *File) { d.count(f, time.Now()) }

func (d *Downloads) count(f *File, at time.Time) {
	now := at.UnixMilli()
	key := downloadKey{f.PackageID, f.ID, now - now%day.Milliseconds()}
	s := &d.shards[rand.N(len(d.shards))]
	s.Lock()
	defer s.Unlock()
	s.add(key, downloadCount{1, now})
}

// add is called with the shard locked.
func (s *downloadShard) add(key downloadKey, more downloadCount) {
	known, ok := s.counts[key]
	if !ok && len(s.counts) >= maxDownloads {
		s.lost += more.count
		return
	}
	if s.counts == nil {
		s.counts = map[downloadKey]downloadCount{}
	}
	s.counts[key] = downloadCount{known.count + more.count, max(known.last, more.last)}
}

// take empties the shards. The rows are in the order in which they are written.
func (d *Downloads) take() []Download {
	var lost int64
	var all downloadShard
	all.counts = map[downloadKey]downloadCount{}
	for i := range d.shards {
		s := &d.shards[i]
		s.Lock()
		counts := s.counts
		lost += s.lost
		s.counts, s.lost = nil, 0
		s.Unlock()
		for key, c := range counts {
			known := all.counts[key]
			all.counts[key] = downloadCount{known.count + c.count, max(known.last, c.last)}
		}
	}
	if lost > 0 {
		slog.Warn("more files were downloaded at once than are counted", "not counted", lost)
	}
	rows := make([]Download, 0, len(all.counts))
	for key, c := range all.counts {
		rows = append(rows, Download{key.pkg, key.file, time.UnixMilli(key.day).UTC(), c.count, time.UnixMilli(c.last).UTC()})
	}
	slices.SortFunc(rows, func(a, b Download) int {
		return cmp.Or(cmp.Compare(a.PackageID, b.PackageID), cmp.Compare(a.FileID, b.FileID), a.Day.Compare(b.Day))
	})
	return rows
}

// Flush writes what was counted. What it could not write is there for the next time; a commit whose answer got lost may
// so be counted twice.
func (d *Downloads) Flush(ctx context.Context, store Store) (err error) {
	rows := d.take()
	if len(rows) == 0 {
		return nil
	}
	ctx, end := Trace(ctx, "job.CountDownloads")
	defer func() { end(err) }()
	for len(rows) > 0 {
		batch := rows[:min(len(rows), downloadBatch)]
		if err := store.Write(ctx, func(tx Tx) error { return tx.AddDownloads(batch) }); err != nil {
			for _, r := range rows {
				s := &d.shards[rand.N(len(d.shards))]
				s.Lock()
				s.add(downloadKey{r.PackageID, r.FileID, r.Day.UnixMilli()}, downloadCount{r.Count, r.Last.UnixMilli()})
				s.Unlock()
			}
			return err
		}
		rows = rows[len(batch):]
	}
	return nil
}

// KeepDownloads is how long the count of each day is kept. The totals stay.
const KeepDownloads = 400 * day

// SweepDownloads removes the days before a moment, in small transactions between which others have their turn.
func (r *Registry) SweepDownloads(ctx context.Context, before time.Time) error {
	for more := true; more; {
		err := r.Store.Write(ctx, func(tx Tx) (err error) {
			more, err = tx.DeleteDownloads(before)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
