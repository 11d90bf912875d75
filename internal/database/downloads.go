package database

import (
	"fmt"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// AddDownloads implements [registry.Tx]. Each statement is one for all rows, with the numbers written out: a parameter
// each would be too many.
func (t *tx) AddDownloads(rows []registry.Download) error {
	if len(rows) == 0 {
		return nil
	}
	var ids values
	for i, r := range rows {
		if i == 0 || rows[i-1].PackageID != r.PackageID {
			ids.add(r.PackageID)
		}
	}
	// Nodes that count downloads of the same packages take turns in this order. What else is written here then belongs
	// to the one that has them.
	lock := ""
	if t.db.dialect == postgresDialect {
		lock = " FOR NO KEY UPDATE"
	}
	there := map[int64]bool{}
	err := t.each(func(row scanner) error {
		var id int64
		err := row.Scan(&id)
		there[id] = true
		return err
	}, "SELECT id FROM packages WHERE id IN (VALUES "+ids.String()+") AND status <> 4 ORDER BY id"+lock)
	if err != nil {
		return err
	}
	totals := map[int64]*registry.Download{}
	var days, files, packages values
	for _, r := range rows {
		if !there[r.PackageID] {
			continue
		}
		days.add(r.PackageID, millis(r.Day), r.FileID, r.Count)
		files.add(r.FileID, r.Count)
		total := totals[r.PackageID]
		if total == nil {
			total = &registry.Download{}
			totals[r.PackageID] = total
		}
		total.Count += r.Count
		if r.Last.After(total.Last) {
			total.Last = r.Last
		}
	}
	if len(totals) == 0 {
		return nil
	}
	for id, total := range totals {
		packages.add(id, total.Count, millis(total.Last))
	}
	for _, statement := range []string{
		`WITH v (package_id, day, file_id, count) AS (VALUES ` + days.String() + `)
			INSERT INTO downloads (package_id, day, file_id, count) SELECT v.package_id, v.day, v.file_id, v.count FROM v WHERE TRUE
			ON CONFLICT (package_id, day, file_id) DO UPDATE SET count = downloads.count + excluded.count`,
		`WITH v (file_id, count) AS (VALUES ` + files.String() + `), s (file_id, count) AS (SELECT v.file_id, SUM(v.count) FROM v GROUP BY v.file_id)
			UPDATE package_files SET download_count = download_count + s.count FROM s WHERE package_files.id = s.file_id`,
		`WITH v (package_id, count, last) AS (VALUES ` + packages.String() + `)
			UPDATE packages SET download_count = download_count + v.count,
				last_downloaded_at = CASE WHEN last_downloaded_at < v.last THEN v.last ELSE last_downloaded_at END
			FROM v WHERE packages.id = v.package_id`,
	} {
		if _, err := t.ExecContext(t.ctx, statement); err != nil {
			return classify(err)
		}
	}
	return nil
}

// values is the rows of a VALUES.
type values struct{ strings.Builder }

func (v *values) add(row ...int64) {
	if v.Len() > 0 {
		v.WriteString(", ")
	}
	for i, n := range row {
		// PostgreSQL takes the type of a column from all its rows, and small numbers for INTEGER.
		fmt.Fprintf(v, "%cCAST(%d AS BIGINT)", "(,"[min(i, 1)], n)
	}
	v.WriteByte(')')
}

// DeleteDownloads implements [registry.Tx].
func (t *tx) DeleteDownloads(before time.Time) (more bool, err error) {
	result, err := t.exec(`DELETE FROM downloads WHERE (package_id, day, file_id) IN (
		SELECT package_id, day, file_id FROM downloads WHERE day < $1 LIMIT $2)`, millis(before), purgeBatch)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == purgeBatch, err
}

// DownloadsByDay implements [registry.Tx].
func (t *tx) DownloadsByDay(pkg, file int64, from, to time.Time) (days []registry.DayCount, err error) {
	c := conditions{}
	c.add("package_id = $?", pkg)
	c.add("day >= $?", millis(from))
	c.add("day <= $?", millis(to))
	if file != 0 {
		c.add("file_id = $?", file)
	}
	err = t.each(func(row scanner) error {
		var d registry.DayCount
		err := row.Scan(asTime{&d.Day}, &d.Count)
		days = append(days, d)
		return err
	}, "SELECT day, CAST(SUM(count) AS BIGINT) FROM downloads WHERE "+c.String()+" GROUP BY day ORDER BY day", c.args...)
	return days, err
}

// DownloadsOfName implements [registry.Tx].
func (t *tx) DownloadsOfName(entry int64, from, to time.Time) (days []registry.DayCount, err error) {
	err = t.each(func(row scanner) error {
		var d registry.DayCount
		err := row.Scan(asTime{&d.Day}, &d.Count)
		days = append(days, d)
		return err
	}, `SELECT d.day, CAST(SUM(d.count) AS BIGINT) FROM packages p JOIN downloads d ON d.package_id = p.id
		WHERE p.entry_id = $1 AND p.status <> 4 AND d.day >= $2 AND d.day <= $3 GROUP BY d.day ORDER BY d.day`, entry, millis(from), millis(to))
	return days, err
}
