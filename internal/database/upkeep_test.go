package database

import (
	"path/filepath"
	"slices"
	"testing"
)

// Whoever adds a table that names contents has to teach the collector (named, Contents, CountContents and Dump, and a trigger), or it
// takes them away.
func TestCollectorKnowsWhatNamesContents(t *testing.T) {
	db := &DB{}
	if err := db.open(filepath.Join(t.TempDir(), "packhouse.db")); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.migrate(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	tx, err := db.writer.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	names, err := (&dumpTx{tx, db.dialect, t.Context()}).texts(`SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND (c.name LIKE '%sha256%' OR c.name LIKE '%blob%' OR c.name LIKE '%digest%') ORDER BY m.name`)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"garbage", "package_files", "symbols"}; !slices.Equal(names, want) {
		t.Errorf("these tables name contents: %v; the collector knows %v", names, want)
	}
	triggers, err := (&dumpTx{tx, db.dialect, t.Context()}).texts("SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' AND sql LIKE '%INTO garbage%' ORDER BY tbl_name")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"package_files", "symbols"}; !slices.Equal(triggers, want) {
		t.Errorf("triggers note what these tables lose: %v, want %v", triggers, want)
	}
}
