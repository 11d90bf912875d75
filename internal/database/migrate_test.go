package database

import (
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"packhouse/internal/database/databasetest"
	"packhouse/internal/registry"
)

// Packages that were there before lists had indexes and numbers are listed like others, and go back unharmed.
func TestMigrateLists(t *testing.T) {
	for name, open := range map[string]func(db *DB) error{
		"SQLite":     func(db *DB) error { return db.openSQLite(filepath.Join(t.TempDir(), "packhouse.db")) },
		"PostgreSQL": func(db *DB) error { return db.openPostgres(databasetest.Postgres(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			db := &DB{}
			if err := open(db); err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			files, err := migrationsOf(db.dialect)
			if err != nil {
				t.Fatal(err)
			}
			provider, err := goose.NewProvider(map[dialect]goose.Dialect{sqliteDialect: goose.DialectSQLite3, postgresDialect: goose.DialectPostgres}[db.dialect], db.writer, files)
			if err != nil {
				t.Fatal(err)
			}
			list := func() (found string) {
				err := db.Read(t.Context(), func(tx registry.Tx) error {
					packages, total, err := tx.ListPackages(registry.PackageFilter{Project: 1, Statuses: registry.Listed, Terms: []string{"größe"}, Order: registry.ByType, Limit: 10})
					for _, p := range packages {
						found += p.Name + " " + p.Version + "\n"
					}
					if total != len(packages) {
						t.Errorf("the total is %d of %d", total, len(packages))
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				return found
			}
			const want = "Größe 2\nGröße 1\n"
			if _, err := provider.UpTo(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			for _, statement := range []string{
				"INSERT INTO namespaces (name, path, full_path, description, visibility, lineage, created_at) VALUES ('g', 'g', 'g', '', 'private', '/1/', 1)",
				`INSERT INTO projects (namespace_id, name, path, full_path, description, visibility, registry_access, archived, lineage, created_at, updated_at)
					VALUES (1, 'p', 'p', 'g/p', '', 'private', 'enabled', FALSE, '/1/', 1, 1)`,
				"INSERT INTO entries (project_id, type, name, revision, latest_id, search, created_at, updated_at) VALUES (1, 'npm', 'Größe', 1, 0, '', 1, 1)",
				`INSERT INTO packages (project_id, entry_id, type, name, version, status, status_message, search, created_at, last_downloaded_at) VALUES
					(1, 1, 'pypi', 'Größe', '1', 0, '', 'größe` + "\n" + `words', 1, 0), (1, 1, 'npm', 'Größe', '2', 5, '', 'größe` + "\n" + `', 2, 0),
					(1, 1, 'npm', 'other', '3', 0, '', 'other` + "\n" + `größe', 3, 0), (1, 1, 'npm', 'Größe', '4', 4, '', 'größe` + "\n" + `', 4, 0)`,
			} {
				if _, err := db.writer.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if _, err := provider.Up(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := list(); got != want {
					t.Errorf("the list is %q, want %q", got, want)
				}
				if _, err := provider.DownTo(t.Context(), 2); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
