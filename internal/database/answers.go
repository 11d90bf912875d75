package database

import (
	"sync"
	"sync/atomic"
)

// answers keeps what point queries answered, for as long as nothing at all was committed to the SQLite database, by
// this process or any other. Whether that is so it reads, without a system call, where SQLite's own readers look for
// it: in the header of the WAL index, which is shared memory that each commit rewrites before it returns (SQLite, "WAL
// file format", section 2.1). SQLite trusts its page cache while these bytes are the same; so do we our answers. It is a
// check on each read and not an expiry: whoever reads after a commit sees it.
//
// PostgreSQL has nothing of the kind; there, and where the index cannot be mapped, every read is a query.
type answers struct {
	index   walIndex // nil: keep nothing
	current atomic.Pointer[generation]
}

// generation is what was asked between two commits.
type generation struct {
	header walHeader
	known  sync.Map
	size   atomic.Int32
}

// maxAnswers of a generation, so that asking for names at random does not fill the memory.
const maxAnswers = 10_000

// answer returns what load says for a key. The key's type tells one query from another. What is returned is shared.
func answer[V any](a *answers, key any, load func() (V, error)) (V, error) {
	header, ok := readWALIndex(a.index)
	if !ok {
		return load()
	}
	g := a.current.Load()
	if g == nil || g.header != header || g.size.Load() >= maxAnswers {
		g = &generation{header: header}
		a.current.Store(g)
	}
	if known, ok := g.known.Load(key); ok {
		return known.(V), nil
	}
	// The header was read before the query: what it finds is as old as that or newer, never older.
	value, err := load()
	if err == nil {
		g.known.Store(key, value)
		g.size.Add(1)
	}
	return value, err
}

// walHeader is one of the two equal copies of the header: version, change counter, size and checksums of the log.
type walHeader [12]uint32

// walIndexVersion is the first word of an index in the one format that there is.
const walIndexVersion = 3007000
