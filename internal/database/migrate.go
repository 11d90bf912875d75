package database

import (
	"context"
	"embed"
	"io/fs"
	"strings"
	"testing/fstest"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The few words in which the two schemas differ. Ids are never given twice, also after a row is deleted: revisions of
// a dead project must not pass for those of a new one.
var dialectWords = map[dialect]*strings.Replacer{
	sqliteDialect: strings.NewReplacer(
		"{{id}}", "INTEGER PRIMARY KEY AUTOINCREMENT",
		"{{bytes}}", "BLOB",
		"{{prefix_search}}", "",
		"{{bytewise}}", "",
		"{{clustered}}", "WITHOUT ROWID",
		"{{sqlite}}", "", "{{end_sqlite}}", "",
		"{{postgres}}", "/*", "{{end_postgres}}", "*/"),
	postgresDialect: strings.NewReplacer(
		"{{id}}", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
		"{{bytes}}", "BYTEA",
		"{{prefix_search}}", "text_pattern_ops",
		"{{bytewise}}", `COLLATE "C"`,
		"{{clustered}}", "",
		"{{sqlite}}", "/*", "{{end_sqlite}}", "*/",
		"{{postgres}}", "", "{{end_postgres}}", ""),
}

// migrationsOf are the migrations in the words of a dialect.
func migrationsOf(d dialect) (fs.FS, error) {
	files := fstest.MapFS{}
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files[strings.TrimPrefix(name, "migrations/")] = &fstest.MapFile{Data: []byte(dialectWords[d].Replace(string(text)))}
	}
	return files, nil
}

// migrate brings the schema up to a version, or with 0 up to date. Processes that start at once on one database take turns.
func (db *DB) migrate(ctx context.Context, version int64) error {
	files, err := migrationsOf(db.dialect)
	if err != nil {
		return err
	}
	gooseDialect, options := goose.DialectSQLite3, []goose.ProviderOption{}
	if db.dialect == sqliteDialect {
		// Two processes would both find that a migration is missing, and run it one after the other.
		turn := flock.New(db.path + ".lock")
		if _, err := turn.TryLockContext(ctx, 20*time.Millisecond); err != nil {
			return err
		}
		defer turn.Close()
	}
	if db.dialect == postgresDialect {
		// Once a second for five minutes; left alone, who comes second waits five seconds for what takes a moment.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return err
		}
		gooseDialect, options = goose.DialectPostgres, append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(gooseDialect, db.writer, files, options...)
	if err != nil {
		return err
	}
	if version != 0 {
		_, err = provider.UpTo(ctx, version)
	} else {
		_, err = provider.Up(ctx)
	}
	return err
}
