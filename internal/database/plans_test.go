package database

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A document of many versions is read as SQLite comes by them: it does not put all bodies into an order first, nor look at those
// of other names.
func TestFragmentsAreNotSorted(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "packhouse.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, entries := range [][]int64{{1}, {1, 2}, {1, 2, 3}} {
		query, args := eachFragment(entries, "full")
		rows, err := db.reader.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&plan, detail)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if text := plan.String(); !strings.Contains(text, "SEARCH p ") || strings.Contains(text, "FOR ORDER BY") || strings.Contains(text, "SCAN") {
			t.Errorf("of %d entries:\n%s", len(entries), text)
		}
	}
}
