package database

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"packhouse/internal/registry"
)

// A dump is all rows of a database, whichever it is, for either: lines of JSON.
//
//	{"packhouse":1,"schema":14}                    the first
//	{"table":"users","columns":["admin",…]}        then the table's rows follow
//	[true,…]                                       a row; bytes and broken text are {"b":"base64"}
//	{"sequences":{"users":12},"tables":{…}}        the last: the ids that were given, and what the tables sum up to
//
// What the database keeps for its own upkeep is not in it.

// TableSum is what a table holds, in any order of its rows and on either database.
type TableSum struct {
	Rows int64  `json:"rows"`
	Sum  uint64 `json:"sum,string"` // of the beginnings of the rows' SHA-256
}

type dumpHead struct {
	Packhouse int   `json:"packhouse"`
	Schema    int64 `json:"schema"`
}

type dumpTable struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
}

type dumpEnd struct {
	Sequences map[string]int64    `json:"sequences"`
	Tables    map[string]TableSum `json:"tables"`
}

// notDumped are the tables that are about the place and not about what is kept in it.
var notDumped = []string{"goose_db_version", "garbage", "leases"}

// dumpTx is a transaction of any length.
type dumpTx struct {
	*sql.Tx
	dialect dialect
	ctx     context.Context
}

func (t *dumpTx) texts(query string, args ...any) (found []string, err error) {
	rows, err := t.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		found = append(found, text)
	}
	return found, rows.Err()
}

func (t *dumpTx) tables() ([]string, error) {
	query := "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
	if t.dialect == postgresDialect {
		query = `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename COLLATE "C"`
	}
	tables, err := t.texts(query)
	return slices.DeleteFunc(tables, func(name string) bool { return slices.Contains(notDumped, name) }), err
}

// types are the columns of a table and what they hold: bool, bytes, or something else.
func (t *dumpTx) types(table string) (columns []string, types map[string]string, err error) {
	query := "SELECT name, lower(type) FROM pragma_table_info($1) ORDER BY name"
	if t.dialect == postgresDialect {
		query = `SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY column_name COLLATE "C"`
	}
	rows, err := t.QueryContext(t.ctx, query, table)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	types = map[string]string{}
	for rows.Next() {
		var name, kind string
		if err := rows.Scan(&name, &kind); err != nil {
			return nil, nil, err
		}
		switch kind {
		case "boolean":
			kind = "bool"
		case "blob", "bytea":
			kind = "bytes"
		}
		columns, types[name] = append(columns, name), kind
	}
	return columns, types, rows.Err()
}

func (t *dumpTx) sequences() (map[string]int64, error) {
	found := map[string]int64{}
	if t.dialect == sqliteDialect {
		rows, err := t.QueryContext(t.ctx, "SELECT name, seq FROM sqlite_sequence")
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			var last int64
			if err := rows.Scan(&name, &last); err != nil {
				return nil, err
			}
			if !slices.Contains(notDumped, name) {
				found[name] = last
			}
		}
		return found, rows.Err()
	}
	tables, err := t.texts("SELECT table_name FROM information_schema.columns WHERE table_schema = current_schema() AND is_identity = 'YES' AND identity_generation = 'ALWAYS'")
	for _, table := range tables {
		if slices.Contains(notDumped, table) {
			continue
		}
		var last int64
		err := t.QueryRowContext(t.ctx, "SELECT COALESCE(pg_sequence_last_value(CAST(pg_get_serial_sequence($1, 'id') AS regclass)), 0)", table).Scan(&last)
		if err != nil {
			return nil, err
		}
		if last > 0 {
			found[table] = last
		}
	}
	return found, err
}

func (t *dumpTx) schema() (version int64, err error) {
	err = t.QueryRowContext(t.ctx, "SELECT MAX(version_id) FROM goose_db_version WHERE is_applied").Scan(&version)
	return version, err
}

// rows yields the rows of a table as they stand in a dump.
func (t *dumpTx) rows(table string, f func(line []byte) error) (sum TableSum, err error) {
	columns, types, err := t.types(table)
	if err != nil {
		return sum, err
	}
	rows, err := t.QueryContext(t.ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+table)
	if err != nil {
		return sum, err
	}
	defer rows.Close()
	values := make([]any, len(columns))
	fields := make([]any, len(columns))
	for i := range values {
		fields[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(fields...); err != nil {
			return sum, err
		}
		for i, name := range columns {
			values[i] = dumped(values[i], types[name])
		}
		line, err := json.Marshal(values)
		if err != nil {
			return sum, err
		}
		hash := sha256.Sum256(line)
		sum.Rows, sum.Sum = sum.Rows+1, sum.Sum+binary.BigEndian.Uint64(hash[:])
		if err := f(line); err != nil {
			return sum, err
		}
	}
	return sum, rows.Err()
}

type dumpedBytes struct {
	B []byte `json:"b"`
}

// dumped is a value of a driver as it stands in a dump.
func dumped(value any, kind string) any {
	switch v := value.(type) {
	case int64:
		if kind == "bool" {
			return v != 0
		}
	case []byte:
		if kind != "bytes" && utf8.Valid(v) {
			return string(v)
		}
		return dumpedBytes{v}
	case string:
		if !utf8.ValidString(v) {
			return dumpedBytes{[]byte(v)}
		}
	}
	return value
}

// Dump writes all rows, from one snapshot, while others go on writing. contents is handed each content that a row of the
// snapshot names, in the order of SHA-256.
func (db *DB) Dump(ctx context.Context, w io.Writer, contents func(sha256 string, size int64) error) (tables map[string]TableSum, err error) {
	defer registry.Wrap(&err, "database.Dump")
	sqlTx, err := db.reader.BeginTx(ctx, &sql.TxOptions{Isolation: db.snapshot(), ReadOnly: db.dialect == postgresDialect})
	if err != nil {
		return nil, classify(err)
	}
	defer sqlTx.Rollback()
	t := &dumpTx{sqlTx, db.dialect, ctx}
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	head := dumpHead{Packhouse: 1}
	if head.Schema, err = t.schema(); err != nil {
		return nil, err
	}
	if err := lines.Encode(head); err != nil {
		return nil, err
	}
	end := dumpEnd{Tables: map[string]TableSum{}}
	names, err := t.tables()
	if err != nil {
		return nil, err
	}
	for _, table := range names {
		columns, _, err := t.types(table)
		if err != nil {
			return nil, err
		}
		if err := lines.Encode(dumpTable{table, columns}); err != nil {
			return nil, err
		}
		end.Tables[table], err = t.rows(table, func(line []byte) error {
			out.Write(line)
			return out.WriteByte('\n')
		})
		if err != nil {
			return nil, err
		}
	}
	if end.Sequences, err = t.sequences(); err != nil {
		return nil, err
	}
	if err := lines.Encode(end); err != nil {
		return nil, err
	}
	rows, err := t.QueryContext(ctx, "SELECT sha256, MAX(size) FROM (SELECT sha256, size FROM package_files UNION SELECT sha256, size FROM symbols) c GROUP BY sha256 ORDER BY sha256")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var sum string
		var size int64
		if err := rows.Scan(&sum, &size); err != nil {
			return nil, err
		}
		if err := contents(sum, size); err != nil {
			return nil, err
		}
	}
	return end.Tables, errors.Join(rows.Err(), out.Flush())
}

// revisionGap is added to revisions that go back to an earlier state: those that were given since must not come again for
// something else, since clients keep documents by them.
const revisionGap = 1 << 30

// Load fills the database at location, which must be empty, with a dump of either kind of database, in one transaction, and
// compares what is there then with what was. back says that the dump is of an earlier time, and the same server goes on
// from it. An older schema than ours is brought up to date.
func Load(ctx context.Context, location string, r io.Reader, back bool) (tables map[string]TableSum, err error) {
	defer registry.Wrap(&err, "database.Load")
	in := json.NewDecoder(bufio.NewReaderSize(r, 1<<20))
	in.UseNumber()
	var head dumpHead
	if err := in.Decode(&head); err != nil || head.Packhouse != 1 {
		return nil, registry.Errorf(registry.Invalid, "this is no dump of a database of packhouse")
	}
	db := &DB{}
	if err := db.open(location); err != nil {
		return nil, err
	}
	defer db.Close()
	if err := db.migrate(ctx, head.Schema); err != nil {
		return nil, classify(err)
	}
	sqlTx, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, classify(err)
	}
	defer sqlTx.Rollback()
	t := &dumpTx{sqlTx, db.dialect, ctx}
	if has, err := t.schema(); err != nil || has != head.Schema {
		return nil, errors.Join(err, registry.Errorf(registry.Invalid, "the dump is of a newer version of packhouse (schema %d), or the database is (schema %d)", head.Schema, has))
	}
	if tables, err = t.load(in, back); err != nil {
		return nil, classify(err)
	}
	if err := sqlTx.Commit(); err != nil {
		return nil, classify(err)
	}
	return tables, classify(db.migrate(ctx, 0))
}

// Empty returns Conflict unless nobody has used the database at location yet.
func Empty(ctx context.Context, location string) (err error) {
	defer registry.Wrap(&err, "database.Empty")
	db := &DB{}
	if err := db.open(location); err != nil {
		return err
	}
	defer db.Close()
	sqlTx, err := db.reader.BeginTx(ctx, nil)
	if err != nil {
		return classify(err)
	}
	defer sqlTx.Rollback()
	t := &dumpTx{sqlTx, db.dialect, ctx}
	tables, err := t.tables()
	if err != nil {
		return classify(err)
	}
	return classify(t.empty(tables))
}

func (t *dumpTx) empty(tables []string) error {
	for _, table := range tables {
		if table == "revisions" { // the migrations fill it
			continue
		}
		var there bool
		if err := t.QueryRowContext(t.ctx, "SELECT EXISTS (SELECT 1 FROM "+table+")").Scan(&there); err != nil {
			return err
		}
		if there {
			return registry.Errorf(registry.Conflict, "the database is not empty: there are rows in %s", table)
		}
	}
	return nil
}

// loading takes away what must not run while rows come in any order, and returns the statements that bring it back.
func (t *dumpTx) loading(tables []string) (restore []string, err error) {
	var before []string
	if t.dialect == sqliteDialect {
		before = []string{"PRAGMA defer_foreign_keys = 1"}
		if restore, err = t.texts("SELECT sql FROM sqlite_master WHERE type = 'trigger'"); err != nil {
			return nil, err
		}
		triggers, err := t.texts("SELECT 'DROP TRIGGER ' || name FROM sqlite_master WHERE type = 'trigger'")
		if err != nil {
			return nil, err
		}
		before = append(before, triggers...)
	} else {
		const foreign = " FROM pg_constraint c WHERE contype = 'f' AND connamespace = CAST(current_schema() AS regnamespace)"
		if restore, err = t.texts("SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', CAST(conrelid AS regclass), conname, pg_get_constraintdef(oid))" + foreign); err != nil {
			return nil, err
		}
		if before, err = t.texts("SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', CAST(conrelid AS regclass), conname)" + foreign); err != nil {
			return nil, err
		}
		for _, table := range tables {
			before = append(before, "ALTER TABLE "+table+" DISABLE TRIGGER USER")
			restore = append(restore, "ALTER TABLE "+table+" ENABLE TRIGGER USER")
		}
	}
	return restore, t.execAll(before)
}

func (t *dumpTx) execAll(statements []string) error {
	for _, statement := range statements {
		if _, err := t.ExecContext(t.ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// loadBatch is how many values go into one statement.
const loadBatch = 1000

func (t *dumpTx) load(in *json.Decoder, back bool) (map[string]TableSum, error) {
	tables, err := t.tables()
	if err != nil {
		return nil, err
	}
	if err := t.empty(tables); err != nil {
		return nil, err
	}
	restore, err := t.loading(tables)
	if err != nil {
		return nil, err
	}
	if _, err := t.ExecContext(t.ctx, "DELETE FROM revisions"); err != nil {
		return nil, err
	}
	var table dumpTable
	var types map[string]string
	var values []any
	flush := func() error {
		if len(values) == 0 {
			return nil
		}
		var query strings.Builder
		query.WriteString("INSERT INTO " + table.Table + " (" + strings.Join(table.Columns, ", ") + ")")
		if t.dialect == postgresDialect {
			query.WriteString(" OVERRIDING SYSTEM VALUE")
		}
		query.WriteString(" VALUES ")
		for i := range values {
			switch {
			case i == 0:
				query.WriteString("(")
			case i%len(table.Columns) == 0:
				query.WriteString("), (")
			default:
				query.WriteString(", ")
			}
			fmt.Fprintf(&query, "$%d", i+1)
		}
		query.WriteString(")")
		_, err := t.ExecContext(t.ctx, query.String(), values...)
		values = values[:0]
		return err
	}
	var line json.RawMessage
	for {
		if err := in.Decode(&line); err != nil {
			return nil, registry.Errorf(registry.Invalid, "the dump breaks off: %v", err)
		}
		if line[0] == '[' {
			var row []any
			if err := decode(line, &row); err != nil || len(row) != len(table.Columns) || len(row) == 0 {
				return nil, registry.Errorf(registry.Invalid, "the dump is damaged in %s", table.Table)
			}
			for i, value := range row {
				loaded, err := loaded(value, types[table.Columns[i]])
				if err != nil {
					return nil, err
				}
				values = append(values, loaded)
			}
			if len(values)+len(row) > loadBatch {
				if err := flush(); err != nil {
					return nil, err
				}
			}
			continue
		}
		if err := flush(); err != nil {
			return nil, err
		}
		if bytes.HasPrefix(line, []byte(`{"sequences"`)) {
			break
		}
		table = dumpTable{}
		if err := decode(line, &table); err != nil || !slices.Contains(tables, table.Table) {
			return nil, registry.Errorf(registry.Invalid, "the dump has a table %q, which the database has not", table.Table)
		}
		var columns []string
		if columns, types, err = t.types(table.Table); err != nil {
			return nil, err
		}
		if !slices.Equal(columns, table.Columns) {
			return nil, registry.Errorf(registry.Invalid, "the dump has other columns in %s than the database", table.Table)
		}
	}
	var end dumpEnd
	if err := decode(line, &end); err != nil {
		return nil, registry.Errorf(registry.Invalid, "the dump is damaged at its end")
	}
	for _, name := range tables {
		sum, err := t.rows(name, func([]byte) error { return nil })
		if err != nil {
			return nil, err
		}
		if sum != end.Tables[name] {
			return nil, registry.Errorf(registry.Invalid, "%s holds %d rows that sum up to %d, and should hold %d with %d", name, sum.Rows, sum.Sum, end.Tables[name].Rows, end.Tables[name].Sum)
		}
	}
	for name, last := range end.Sequences {
		if !slices.Contains(tables, name) {
			continue
		}
		statements := []string{"DELETE FROM sqlite_sequence WHERE name = $1", "INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)"}
		if t.dialect == postgresDialect {
			statements = []string{"SELECT setval(CAST(pg_get_serial_sequence($1, 'id') AS regclass), $2)"}
		}
		for _, statement := range statements {
			if _, err := t.ExecContext(t.ctx, statement, []any{name, last}[:strings.Count(statement, "$")]...); err != nil {
				return nil, err
			}
		}
	}
	if back {
		for _, statement := range []string{"UPDATE entries SET revision = revision + $1", "UPDATE revisions SET value = value + $1"} {
			if _, err := t.ExecContext(t.ctx, statement, revisionGap); err != nil {
				return nil, err
			}
		}
	}
	return end.Tables, t.execAll(restore)
}

func decode(line []byte, value any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	return d.Decode(value)
}

// loaded is a value of a dump as a driver wants it for a column.
func loaded(value any, kind string) (any, error) {
	switch v := value.(type) {
	case json.Number:
		return v.Int64()
	case map[string]any:
		text, _ := v["b"].(string)
		raw, err := base64.StdEncoding.DecodeString(text)
		if kind != "bytes" {
			return string(raw), err
		}
		return raw, err
	}
	return value, nil
}
