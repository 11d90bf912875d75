// Package database keeps the metadata in SQLite or PostgreSQL, with one set of queries and one set of migrations.
//
// Queries are written in the SQL that both speak: $1 placeholders, RETURNING, ON CONFLICT, common table expressions.
// Times are Unix milliseconds, optional references are NULL, which Go sees as id 0.
//
// SQLite has one writer: a pool of one connection whose transactions begin IMMEDIATE, so that two writers queue up
// in Go instead of failing with SQLITE_BUSY, and a small pool of readers, which in WAL mode never wait.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"packhouse/internal/registry"
)

type dialect int

const (
	sqliteDialect dialect = iota
	postgresDialect
)

// DB is a [registry.Store].
type DB struct {
	dialect dialect
	path    string // of SQLite's file
	writer  *sql.DB
	reader  *sql.DB // the writer's pool on PostgreSQL

	// SQLite compiles a statement each time it is asked; these keep the compiled ones. pgx does so by itself.
	statements map[*sql.DB]*sync.Map // query text → *sql.Stmt
	answers    answers
	queries    atomic.Int64  // sent
	queue      atomic.Int64  // transactions that go on or wait
	QueueLimit int64         // of them; 0: any number. Set it before use
	turn       chan struct{} // of SQLite's one writer: who waits longest is next, as in database/sql's pool it would not be
	Before     func() error  // called before each statement of a transaction, whose error it returns; nil but in tests
	anchor     *sql.Conn     // of SQLite: stays open, so that the log and its index stay in being
	index      io.Closer     // of the file behind answers.index: closed after all connections
}

var _ registry.Store = (*DB)(nil)

// Open opens the store at location and brings its schema up to date. location is a postgres:// URL, or the path of a
// SQLite file, which is made when missing.
func Open(ctx context.Context, location string) (_ *DB, err error) {
	defer registry.Wrap(&err, "database.Open")
	db := &DB{}
	if err := db.open(location); err != nil {
		return nil, err
	}
	if err := db.migrate(ctx, 0); err != nil {
		db.Close()
		return nil, classify(err)
	}
	if db.dialect == sqliteDialect {
		if err := db.openAnswers(ctx); err != nil {
			db.Close()
			return nil, classify(err)
		}
	}
	return db, nil
}

func (db *DB) open(location string) error {
	if strings.HasPrefix(location, "postgres://") || strings.HasPrefix(location, "postgresql://") {
		return db.openPostgres(location)
	}
	return db.openSQLite(location)
}

func (db *DB) openSQLite(path string) (err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return err
	}
	// Private also where the folder is not. SQLite gives its other files the same mode.
	if file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600); err == nil {
		file.Close()
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	// synchronous(FULL): a commit that was acknowledged survives a power cut. WAL with NORMAL would not promise that.
	dsn := "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_pragma=temp_store(MEMORY)"
	db.dialect, db.path = sqliteDialect, path
	if db.writer, err = sql.Open("sqlite", dsn+"&_txlock=immediate"); err != nil {
		return err
	}
	if db.reader, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return err
	}
	db.writer.SetMaxOpenConns(1)
	db.turn = make(chan struct{}, 1)
	readers := 1 + max(4, runtime.GOMAXPROCS(0)) // one of them is the anchor
	db.reader.SetMaxOpenConns(readers)
	db.reader.SetMaxIdleConns(readers)
	db.statements = map[*sql.DB]*sync.Map{db.writer: {}, db.reader: {}}
	return nil
}

// openAnswers lets point queries be answered from memory while nothing changes.
func (db *DB) openAnswers(ctx context.Context) (err error) {
	if db.anchor, err = db.reader.Conn(ctx); err != nil {
		return err
	}
	if _, err = db.anchor.ExecContext(ctx, "SELECT value FROM revisions"); err != nil { // a first read makes the index
		return err
	}
	if db.answers.index, db.index, err = openWALIndex(db.path, db); err != nil {
		slog.Warn("every read is a query: the index of the database's log cannot be mapped", "err", err)
	}
	return nil
}

// connectPatience is how long PostgreSQL may take to take a connection.
const connectPatience = 10 * time.Second

// missPeers lets PostgreSQL end a session within 20 seconds when the machine at its other end is gone without a word. By default it takes hours, in which
// what that machine's transactions held would be held against all other nodes.
const missPeers = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 2; SET tcp_user_timeout = 20000"

func (db *DB) openPostgres(location string) (err error) {
	config, err := pgx.ParseConfig(location)
	if err != nil {
		return err
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectPatience
	}
	db.dialect = postgresDialect
	db.writer = stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, missPeers)
		return err
	}))
	db.writer.SetMaxOpenConns(max(16, 4*runtime.GOMAXPROCS(0)))
	db.writer.SetMaxIdleConns(8)
	db.reader = db.writer
	return nil
}

// Close ends all connections.
func (db *DB) Close() error {
	var err error
	if db.anchor != nil {
		err = db.anchor.Close()
	}
	err = errors.Join(err, db.writer.Close())
	if db.reader != nil && db.reader != db.writer {
		err = errors.Join(err, db.reader.Close())
	}
	if db.index != nil {
		err = errors.Join(err, db.index.Close())
	}
	return err
}

// Ping tells whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	if err := db.reader.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return &registry.Error{Kind: registry.Unavailable, Message: "the database does not answer", Err: err}
	}
	return nil
}

// Read implements [registry.Store].
func (db *DB) Read(ctx context.Context, f func(registry.Tx) error) error {
	if err := db.enter(); err != nil {
		return err
	}
	defer db.queue.Add(-1)
	return db.run(ctx, db.reader, &sql.TxOptions{Isolation: db.snapshot(), ReadOnly: db.dialect == postgresDialect}, f)
}

// snapshot is the isolation in which a transaction of several reads sees one state: always so in SQLite.
func (db *DB) snapshot() sql.IsolationLevel {
	if db.dialect == postgresDialect {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

// enter counts a transaction. It returns Unavailable when too many go on or wait: one more would not have its turn in time.
func (db *DB) enter() error {
	if n := db.queue.Add(1); db.QueueLimit > 0 && n > db.QueueLimit {
		db.queue.Add(-1)
		return registry.Errorf(registry.Unavailable, "the database is busy; try again later")
	}
	return nil
}

// Write implements [registry.Store].
func (db *DB) Write(ctx context.Context, f func(registry.Tx) error) error {
	if err := db.enter(); err != nil {
		return err
	}
	defer db.queue.Add(-1)
	if db.turn != nil {
		db.turn <- struct{}{}
		defer func() { <-db.turn }()
	}
	for attempt := 1; ; attempt++ {
		err := db.run(ctx, db.writer, nil, f)
		if err == nil || attempt == 5 || !db.transient(err) {
			return err
		}
	}
}

// transient tells whether PostgreSQL gave up a transaction only because of another one (deadlock, serialization).
func (db *DB) transient(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "40001")
}

// patience is how long a transaction or query may take on PostgreSQL, which may hang as any machine may.
const patience = time.Minute

// bounded is a context that does not end with the request's.
func (db *DB) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx = context.WithoutCancel(ctx)
	if db.dialect == sqliteDialect {
		return ctx, func() {} // on this machine; and watching a context costs its driver a goroutine for each query
	}
	return context.WithTimeout(ctx, patience)
}

// point begins a query outside of a transaction, which counts as one. leave ends it.
func (db *DB) point(ctx context.Context) (_ context.Context, leave func(), err error) {
	if err := db.enter(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := db.bounded(ctx)
	return ctx, func() { cancel(); db.queue.Add(-1) }, nil
}

func (db *DB) run(ctx context.Context, pool *sql.DB, options *sql.TxOptions, f func(registry.Tx) error) (err error) {
	// A client that hangs up must not interrupt a statement half-way: SQLite would abandon the connection with its
	// compiled statements, and a commit would end in doubt. Transactions are short.
	ctx, cancel := db.bounded(ctx)
	defer cancel()
	sqlTx, err := pool.BeginTx(ctx, options)
	if err != nil {
		return classify(err)
	}
	t := &tx{ctx: ctx, db: db, pool: pool, Tx: sqlTx}
	defer func() {
		for _, query := range t.uncompiled {
			db.prepared(pool, query) // where it fails, the query goes on being compiled each time
		}
	}()
	defer sqlTx.Rollback() // after Commit it does nothing
	if err := f(t); err != nil {
		return err
	}
	return classify(sqlTx.Commit())
}

// AccessRevision implements [registry.Store].
func (db *DB) AccessRevision(ctx context.Context) (int64, error) {
	return answer(&db.answers, "access", func() (revision int64, err error) {
		ctx, leave, err := db.point(ctx)
		if err != nil {
			return 0, err
		}
		defer leave()
		err = db.row(ctx, "SELECT value FROM revisions WHERE name = 'access'").Scan(&revision)
		return revision, classify(err)
	})
}

// Revisions implements [registry.Store].
func (db *DB) Revisions(ctx context.Context, t registry.Type, name string, project int64) (access int64, entries []registry.Revision, err error) {
	type key struct {
		t       registry.Type
		name    string
		project int64
	}
	type revisions struct {
		access  int64
		entries []registry.Revision
	}
	found, err := answer(&db.answers, key{t, name, project}, func() (r revisions, err error) {
		ctx, leave, err := db.point(ctx)
		if err != nil {
			return r, err
		}
		defer leave()
		r.access, r.entries, err = db.revisions(ctx, t, name, project)
		return r, classify(err)
	})
	return found.access, found.entries, err
}

func (db *DB) revisions(ctx context.Context, t registry.Type, name string, project int64) (access int64, entries []registry.Revision, err error) {
	const query = `
		SELECT r.value, COALESCE(e.project_id, 0), COALESCE(e.id, 0), COALESCE(e.revision, 0)
		FROM revisions r LEFT JOIN entries e ON e.type = $1 AND e.name = $2 AND e.latest_id <> 0`
	var rows *sql.Rows
	if project != 0 {
		rows, err = db.rows(ctx, query+" AND e.project_id = $3 WHERE r.name = 'access'", t, name, project)
	} else {
		rows, err = db.rows(ctx, query+" WHERE r.name = 'access' ORDER BY e.project_id", t, name)
	}
	if err != nil {
		return 0, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r registry.Revision
		if err := rows.Scan(&access, &r.ProjectID, &r.EntryID, &r.Revision); err != nil {
			return 0, nil, err
		}
		if r.EntryID != 0 {
			entries = append(entries, r)
		}
	}
	return access, entries, rows.Err()
}

// FileOfVersion implements [registry.Store].
func (db *DB) FileOfVersion(ctx context.Context, entries []int64, version, name string) (*registry.File, error) {
	if len(entries) == 0 {
		return nil, classify(sql.ErrNoRows)
	}
	// Nearly always there is one entry, with one package of that version: the query has one text, stays compiled, and
	// has nothing to sort.
	set, args := in([]any{version}, entries)
	query := "SELECT " + fileColumns + " FROM packages p JOIN package_files f ON f.package_id = p.id WHERE p.version_key = $1 AND p.entry_id IN " + set + " AND f.status = 0 AND " + installable
	if name != "" {
		args = append(args, name)
		query += fmt.Sprintf(" AND f.name = $%d", len(args))
	}
	if len(entries) > 1 { // a text for each number of them, which is not kept compiled
		ctx, leave, err := db.point(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
		db.queries.Add(1)
		f, err := scanFile(db.reader.QueryRowContext(ctx, query+" ORDER BY p.id DESC, f.id DESC LIMIT 1", args...))
		return f, classify(err)
	}
	type key struct {
		entry         int64
		version, name string
	}
	return answer(&db.answers, key{entries[0], version, name}, func() (*registry.File, error) {
		ctx, leave, err := db.point(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
		f, err := scanFile(db.row(ctx, query+" LIMIT 1", args...))
		return f, classify(err)
	})
}

// FileOfEntry implements [registry.Store].
func (db *DB) FileOfEntry(ctx context.Context, entry int64, name string) (*registry.File, error) {
	type key struct {
		entry int64
		file  string
	}
	return answer(&db.answers, key{entry, name}, func() (*registry.File, error) {
		ctx, leave, err := db.point(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
		f, err := scanFile(db.row(ctx, "SELECT "+fileColumns+" FROM packages p JOIN package_files f ON f.package_id = p.id WHERE p.entry_id = $1 AND f.name = $2 AND f.status = 0 AND "+
			installable+" ORDER BY f.id DESC LIMIT 1", entry, name))
		return f, classify(err)
	})
}

// Queries is how many were sent since the store was opened.
func (db *DB) Queries() int64 { return db.queries.Load() }

// FilesByDigest implements [registry.Store].
func (db *DB) FilesByDigest(ctx context.Context, t registry.Type, sha256, name string) ([]registry.ProjectFile, error) {
	type key struct {
		t            registry.Type
		sha256, name string
	}
	return answer(&db.answers, key{t, sha256, name}, func() (files []registry.ProjectFile, err error) {
		ctx, leave, err := db.point(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
		rows, err := db.rows(ctx, "SELECT p.project_id, "+fileColumns+" FROM package_files f JOIN packages p ON p.id = f.package_id"+
			" WHERE f.sha256 = $1 AND f.name = $2 AND f.status = 0 AND p.type = $3 AND "+installable+" ORDER BY f.id DESC", sha256, name, t)
		if err != nil {
			return nil, classify(err)
		}
		defer rows.Close()
		for rows.Next() {
			one := registry.ProjectFile{}
			if err := rows.Scan(append([]any{&one.ProjectID}, fileFields(&one.File)...)...); err != nil {
				return nil, classify(err)
			}
			files = append(files, one)
		}
		return files, classify(rows.Err())
	})
}

// row and rows run one query on the readers, outside a transaction; compiled ones are not compiled again.
func (db *DB) row(ctx context.Context, query string, args ...any) *sql.Row {
	db.queries.Add(1)
	stmt, err := db.prepared(db.reader, query)
	if err != nil || stmt == nil {
		return db.reader.QueryRowContext(ctx, query, args...)
	}
	return stmt.QueryRowContext(ctx, args...)
}

func (db *DB) rows(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	db.queries.Add(1)
	stmt, err := db.prepared(db.reader, query)
	if err != nil {
		return nil, err
	}
	if stmt == nil {
		return db.reader.QueryContext(ctx, query, args...)
	}
	return stmt.QueryContext(ctx, args...)
}

// prepared returns the compiled query of a SQLite pool, and nil for PostgreSQL.
func (db *DB) prepared(pool *sql.DB, query string) (*sql.Stmt, error) {
	statements := db.statements[pool]
	if statements == nil {
		return nil, nil
	}
	if stmt, ok := statements.Load(query); ok {
		return stmt.(*sql.Stmt), nil
	}
	stmt, err := pool.Prepare(query)
	if err != nil {
		return nil, err
	}
	if other, raced := statements.LoadOrStore(query, stmt); raced {
		stmt.Close()
		return other.(*sql.Stmt), nil
	}
	return stmt, nil
}

// classify gives a driver's error its kind.
func classify(err error) error {
	if err == nil {
		return nil
	}
	var lite *sqlite.Error
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &registry.Error{Kind: registry.Unavailable, Message: "the database does not answer", Err: err}
	case errors.Is(err, sql.ErrNoRows):
		return registry.Errorf(registry.NotFound, "404 Not found")
	case errors.As(err, &lite):
		const primary = 0xff // the low byte of an extended code
		switch code := lite.Code(); {
		case code == sqlite3.SQLITE_CONSTRAINT_UNIQUE, code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return &registry.Error{Kind: registry.Conflict, Message: "has already been taken", Err: err}
		case code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: // what it belongs to was removed meanwhile
			return &registry.Error{Kind: registry.NotFound, Message: "404 Not found", Err: err}
		case code&primary == sqlite3.SQLITE_FULL:
			return &registry.Error{Kind: registry.Full, Message: "no space left", Err: err}
		case code&primary == sqlite3.SQLITE_BUSY:
			return &registry.Error{Kind: registry.Unavailable, Message: "the database is busy", Err: err}
		}
	case errors.As(err, &pg):
		switch {
		case pg.Code == "23505":
			return &registry.Error{Kind: registry.Conflict, Message: "has already been taken", Err: err}
		case pg.Code == "23503":
			return &registry.Error{Kind: registry.NotFound, Message: "404 Not found", Err: err}
		case pg.Code == "22021": // NUL or broken UTF-8, which SQLite takes as it is
			return &registry.Error{Kind: registry.Invalid, Message: "contains bytes that are not text", Err: err}
		case pg.Code == "53100":
			return &registry.Error{Kind: registry.Full, Message: "no space left", Err: err}
		case strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "57P"):
			return &registry.Error{Kind: registry.Unavailable, Message: "the database is not available", Err: err}
		}
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return &registry.Error{Kind: registry.Unavailable, Message: "the database is not available", Err: err}
	}
	return fmt.Errorf("database: %w", err)
}
