package database

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"packhouse/internal/registry"
)

// together is SQLite's one writer. What takes a writer's time is mostly to wait for the disk, and while one waits the others
// would wait for that one. So those who came meanwhile write in one transaction, one after another, each within a savepoint,
// and the last of them commits for all: one sync of the log, and one copy of a page that several have changed. Who has
// written does what [registry.Tx.BeforeCommit] was told while the next one writes.
//
// Nobody is told of success before the commit, and who fails takes back their own part alone. When the whole
// transaction has to be given up for one of them, the others begin again.
type together struct {
	turn    chan struct{} // held by who writes: who waits longest is next, as in database/sql's pool it would not be
	waiting atomic.Int32  // for it
	group   *group        // that the next one joins; nil: they begin one
}

// group is the writers of one transaction.
type group struct {
	*sql.Tx
	began      time.Time
	single     bool           // takes on nobody else
	members    int            // whose part stands
	last       sync.WaitGroup // of what is done before the commit
	broken     atomic.Bool    // cannot be committed
	uncompiled []string
	done       chan struct{} // closed when it is over, one way or the other
	err        error         // of the commit; errAgain: there was none
}

// errAgain tells the members of a group that nothing of it is there, by the fault of another one.
var errAgain = errors.New("the transaction was given up")

// groupTime is how long a group may take on new members: the first of them waits for the last.
const groupTime = 20 * time.Millisecond

// writeTogether runs f in a transaction, maybe with others.
func (db *DB) writeTogether(ctx context.Context, f func(registry.Tx) error) error {
	ctx = context.WithoutCancel(ctx)
	err := db.writeInGroup(ctx, f, false)
	for err == errAgain { // by the fault of another one, which does not reach it twice
		err = db.writeInGroup(ctx, f, true)
	}
	return err
}

func (db *DB) writeInGroup(ctx context.Context, f func(registry.Tx) error, single bool) (err error) {
	w := &db.together
	w.waiting.Add(1)
	w.turn <- struct{}{}
	w.waiting.Add(-1)
	g := w.group
	if g != nil && single {
		db.end(g)
		g = nil
	}
	if g == nil {
		sqlTx, err := db.writer.BeginTx(ctx, nil)
		if err != nil {
			<-w.turn
			return classify(err)
		}
		g = &group{Tx: sqlTx, began: time.Now(), single: single, done: make(chan struct{})}
	}
	t := &tx{ctx: ctx, db: db, pool: db.writer, Tx: g.Tx}
	stands := false
	alone := g.members == 0 // then its part is all there is
	defer func() {          // also when f panics
		common := db.leave(g, t, stands)
		switch {
		case stands && err == nil:
			err = common
		case !stands && !alone: // what it saw of the others' parts, and failed by, has to be there
			if <-g.done; g.err != nil {
				err = errAgain
			}
		}
	}()
	if !alone {
		if _, err := t.exec("SAVEPOINT member"); err != nil {
			g.broken.Store(true)
			return errAgain
		}
	}
	defer func() {
		if alone || stands {
			return
		}
		for _, statement := range []string{"ROLLBACK TO member", "RELEASE member"} {
			if _, err := t.exec(statement); err != nil { // SQLite itself has given up all: the disk is full, for one
				g.broken.Store(true)
			}
		}
	}()
	if err := f(t); err != nil {
		return err
	}
	if !alone {
		if _, err := t.exec("RELEASE member"); err != nil {
			return err
		}
	}
	stands = true
	return nil
}

// leave gives the turn to the next writer, or ends the group, and returns what came of the member's part, if it stands.
func (db *DB) leave(g *group, t *tx, stands bool) (err error) {
	w := &db.together
	g.uncompiled = append(g.uncompiled, t.uncompiled...)
	if stands {
		g.members++
		g.last.Add(1)
	}
	if !g.single && g.members > 0 && !g.broken.Load() && w.waiting.Load() > 0 && time.Since(g.began) < groupTime {
		w.group = g
		<-w.turn
		if stands {
			if err = g.beforeCommit(t); err == nil {
				<-g.done
				err = g.err
			}
		}
		return err
	}
	defer func() { // also when beforeCommit panics
		db.end(g)
		<-w.turn
		if stands && err == nil {
			err = g.err
		}
	}()
	if stands {
		err = g.beforeCommit(t)
	}
	return err
}

// end ends a group, for who has the turn.
func (db *DB) end(g *group) {
	db.together.group = nil
	g.last.Wait()
	g.finish()
	db.compile(db.writer, g.uncompiled)
	close(g.done)
}

// beforeCommit does what a member wants done before the commit. Without it there is none.
func (g *group) beforeCommit(t *tx) error {
	done := false
	defer func() { // also when it panics
		if !done {
			g.broken.Store(true)
		}
		g.last.Done()
	}()
	if err := t.beforeCommit(); err != nil {
		return err
	}
	done = true
	return nil
}

// finish commits, or gives up.
func (g *group) finish() {
	if g.members == 0 || g.broken.Load() {
		g.Rollback()
		g.err = errAgain
		return
	}
	g.err = classify(g.Commit())
}
