package database

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// tx is a [registry.Tx].
type tx struct {
	ctx  context.Context
	db   *DB
	pool *sql.DB
	*sql.Tx
	uncompiled []string // queries that were not compiled yet
}

var _ registry.Tx = (*tx)(nil)

// compiled returns the compiled query, or nil the first time. Compiling takes a connection of the pool, which here,
// where one is held already, would wait for itself; so that is left for when the transaction is over.
func (t *tx) compiled(query string) *sql.Stmt {
	statements := t.db.statements[t.pool]
	if statements == nil {
		return nil
	}
	if stmt, ok := statements.Load(query); ok {
		return t.StmtContext(t.ctx, stmt.(*sql.Stmt))
	}
	t.uncompiled = append(t.uncompiled, query)
	return nil
}

// count is called before each statement.
func (t *tx) count() error {
	t.db.queries.Add(1)
	if t.db.Before != nil {
		return t.db.Before()
	}
	return nil
}

// exec runs a statement with a fixed text.
func (t *tx) exec(query string, args ...any) (sql.Result, error) {
	if err := t.count(); err != nil {
		return nil, err
	}
	var result sql.Result
	var err error
	stmt := t.compiled(query)
	if stmt == nil {
		result, err = t.ExecContext(t.ctx, query, args...)
	} else {
		result, err = stmt.ExecContext(t.ctx, args...)
	}
	return result, classify(err)
}

// row runs a query with a fixed text and scans its first row.
func (t *tx) row(scan func(scanner) error, query string, args ...any) error {
	if err := t.count(); err != nil {
		return err
	}
	stmt := t.compiled(query)
	if stmt == nil {
		return classify(scan(t.QueryRowContext(t.ctx, query, args...)))
	}
	return classify(scan(stmt.QueryRowContext(t.ctx, args...)))
}

// each runs a query, of any text, and scans each of its rows.
func (t *tx) each(scan func(scanner) error, query string, args ...any) error {
	if err := t.count(); err != nil {
		return err
	}
	rows, err := t.QueryContext(t.ctx, query, args...)
	return scanAll(rows, err, scan)
}

// eachFixed is each for a query with a fixed text.
func (t *tx) eachFixed(scan func(scanner) error, query string, args ...any) error {
	stmt := t.compiled(query)
	if stmt == nil {
		return t.each(scan, query, args...)
	}
	if err := t.count(); err != nil {
		return err
	}
	rows, err := stmt.QueryContext(t.ctx, args...)
	return scanAll(rows, err, scan)
}

func scanAll(rows *sql.Rows, err error, scan func(scanner) error) error {
	if err != nil {
		return classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return classify(rows.Err())
}

// one is for statements that must find their row.
func (t *tx) one(query string, args ...any) error {
	result, err := t.exec(query, args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return classify(sql.ErrNoRows)
}

// insert runs INSERT … RETURNING id.
func (t *tx) insert(id *int64, query string, args ...any) error {
	return t.row(func(row scanner) error { return row.Scan(id) }, query+" RETURNING id", args...)
}

// changedAccess is part of each change of who may see what.
func (t *tx) changedAccess(err error) error {
	if err != nil {
		return err
	}
	return t.one("UPDATE revisions SET value = value + 1 WHERE name = 'access'")
}

type scanner interface{ Scan(...any) error }

// list collects the rows of a query.
func list[T any](t *tx, scan func(scanner) (*T, error), query string, args ...any) ([]*T, error) {
	var all []*T
	err := t.each(func(row scanner) error {
		one, err := scan(row)
		all = append(all, one)
		return classify(err)
	}, query, args...)
	return all, err
}

// page collects a part of the rows that meet the conditions, and counts them all.
func page[T any](t *tx, scan func(scanner) (*T, error), columns, tables string, c *conditions, order string, limit, offset int) (part []*T, total int, err error) {
	from := " FROM " + tables + " WHERE " + c.String()
	err = t.each(func(row scanner) error { return row.Scan(&total) }, "SELECT COUNT(*)"+from, c.args...)
	if err != nil || offset >= total {
		return nil, total, err
	}
	n := len(c.args)
	part, err = list(t, scan, fmt.Sprintf("SELECT %s%s ORDER BY %s LIMIT $%d OFFSET $%d", columns, from, order, n+1, n+2),
		append(c.args, limit, offset)...)
	return part, total, err
}

// get reads the one row of a query with a fixed text.
func get[T any](t *tx, scan func(scanner) (*T, error), query string, args ...any) (one *T, err error) {
	err = t.row(func(row scanner) error {
		one, err = scan(row)
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return one, nil
}

// now is the time to the precision that is stored.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// millis stores a time; the zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// asTime scans what millis stored.
type asTime struct{ time *time.Time }

func (a asTime) Scan(value any) error {
	ms, ok := value.(int64)
	if !ok {
		return fmt.Errorf("time is a %T, not a number", value)
	}
	*a.time = time.Time{}
	if ms != 0 {
		*a.time = time.UnixMilli(ms).UTC()
	}
	return nil
}

// nullable stores id 0 as NULL; asID scans it back.
func nullable(id int64) sql.NullInt64 { return sql.NullInt64{Int64: id, Valid: id != 0} }

type asID struct{ id *int64 }

func (a asID) Scan(value any) error {
	var id sql.NullInt64
	err := id.Scan(value)
	*a.id = id.Int64
	return err
}

// lineageText is /1/7/12/ for 1, 7, 12, so that "below 7" is a prefix of text.
func lineageText(ids []int64) string {
	var b strings.Builder
	b.WriteByte('/')
	for _, id := range ids {
		b.WriteString(strconv.FormatInt(id, 10))
		b.WriteByte('/')
	}
	return b.String()
}

type asLineage struct{ ids *[]int64 }

func (a asLineage) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("lineage is a %T, not a text", value)
	}
	*a.ids = nil
	for part := range strings.SplitSeq(strings.Trim(text, "/"), "/") {
		id, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			return err
		}
		*a.ids = append(*a.ids, id)
	}
	return nil
}

// in makes "($1, $2, …)" for the ids, numbered after the args that are there, and appends them to args. Without ids it
// is a list that nothing is in.
func in(args []any, ids []int64) (string, []any) {
	if len(ids) == 0 {
		return "(NULL)", args
	}
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteString(", ")
		}
		args = append(args, id)
		b.WriteString("$" + strconv.Itoa(len(args)))
	}
	return "(" + b.String() + ")", args
}
