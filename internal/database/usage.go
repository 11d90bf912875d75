package database

import (
	"fmt"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// LargestProjects implements [registry.Tx].
func (t *tx) LargestProjects(group *registry.Group, project int64, limit int) (sizes []registry.ProjectSize, err error) {
	c := conditions{parts: []string{"f.status = 0", "k.status <> 4", "NOT p.condemned"}}
	if group != nil {
		c.add("p.lineage LIKE $?", lineageText(group.Lineage)+"%")
	} else {
		c.add("p.id = $?", project)
	}
	var whole int64
	err = t.each(func(row scanner) error {
		var s registry.ProjectSize
		err := row.Scan(&s.ID, &s.Bytes)
		whole += s.Bytes
		if len(sizes) < limit {
			sizes = append(sizes, s)
		}
		return err
	}, "SELECT k.project_id, CAST(SUM(f.size) AS BIGINT) AS bytes FROM projects p JOIN packages k ON k.project_id = p.id JOIN package_files f ON f.package_id = k.id WHERE "+
		c.String()+" GROUP BY k.project_id ORDER BY bytes DESC, k.project_id", c.args...)
	for i := range sizes {
		sizes[i].Whole = whole
	}
	return sizes, err
}

// Usage implements [registry.Tx].
func (t *tx) Usage(from, to time.Time) (u registry.Usage, err error) {
	const day = "/ 86400000 * 86400000"
	end := to.AddDate(0, 0, 1)
	for _, number := range []struct {
		into  *int64
		query string
	}{
		{&u.Users, "SELECT COUNT(*) FROM users WHERE NOT bot"},
		{&u.Groups, "SELECT COUNT(*) FROM namespaces WHERE owner_id IS NULL AND NOT condemned"},
		{&u.Projects, "SELECT COUNT(*) FROM projects WHERE NOT condemned"},
		{&u.Packages, "SELECT COUNT(*) FROM packages WHERE status <> 4"},
		{&u.Files, "SELECT COUNT(*) FROM package_files WHERE status = 0"},
		{&u.Bytes, "SELECT COALESCE(CAST(SUM(size) AS BIGINT), 0) FROM package_files WHERE status = 0"},
	} {
		if err := t.each(func(row scanner) error { return row.Scan(number.into) }, number.query); err != nil {
			return u, err
		}
	}
	for _, days := range []struct {
		into  *[]registry.DayCount
		query string
	}{
		{&u.Stored, "SELECT created_at " + day + " AS d, CAST(SUM(size) AS BIGINT) FROM package_files WHERE status = 0 AND created_at >= $1 AND created_at < $2 GROUP BY d ORDER BY d"},
		{&u.Published, "SELECT created_at " + day + " AS d, COUNT(*) FROM packages WHERE status <> 4 AND created_at >= $1 AND created_at < $2 GROUP BY d ORDER BY d"},
		{&u.Downloads, "SELECT day AS d, CAST(SUM(count) AS BIGINT) FROM downloads WHERE day >= $1 AND day < $2 GROUP BY d ORDER BY d"},
	} {
		err := t.each(func(row scanner) error {
			var d registry.DayCount
			err := row.Scan(asTime{&d.Day}, &d.Count)
			*days.into = append(*days.into, d)
			return err
		}, days.query, millis(from), millis(end))
		if err != nil {
			return u, err
		}
	}
	return u, nil
}

// Backlog implements [registry.Tx].
func (t *tx) Backlog() (b registry.Backlog, err error) {
	err = t.row(func(row scanner) error { return row.Scan(&b.Packages, &b.Files, &b.Marked, &b.Condemned) }, `
		SELECT (SELECT COUNT(*) FROM packages WHERE status = 4), (SELECT COUNT(*) FROM package_files WHERE status = 4),
			(SELECT COUNT(*) FROM namespaces WHERE marked_at <> 0 AND NOT condemned) + (SELECT COUNT(*) FROM projects WHERE marked_at <> 0 AND NOT condemned),
			(SELECT COUNT(*) FROM namespaces WHERE condemned) + (SELECT COUNT(*) FROM projects WHERE condemned)`)
	return b, err
}

// CleanupPolicies implements [registry.Tx].
func (t *tx) CleanupPolicies(limit, offset int) ([]*registry.CleanupPolicy, int, error) {
	return page(t, scanCleanup, cleanupColumns, "cleanup_policies", &conditions{parts: []string{"(enabled OR started_at <> 0)"}}, "started_at DESC, project_id", limit, offset)
}

// SetNeeds implements [registry.Tx].
func (t *tx) SetNeeds(entry int64, kind registry.Type, names []string) error {
	if _, err := t.exec("DELETE FROM needs WHERE entry_id = $1", entry); err != nil || len(names) == 0 {
		return err
	}
	args := []any{kind, entry}
	rows := make([]string, len(names))
	for i, name := range names {
		args = append(args, searchText(name))
		rows[i] = fmt.Sprintf("($1, $%d, $2)", len(args))
	}
	t.db.queries.Add(1)
	_, err := t.ExecContext(t.ctx, "INSERT INTO needs (type, name, entry_id) VALUES "+strings.Join(rows, ", ")+" ON CONFLICT DO NOTHING", args...)
	return classify(err)
}

// Dependents implements [registry.Tx].
func (t *tx) Dependents(kind registry.Type, name string, viewer registry.Viewer, limit int) ([]*registry.Entry, int, error) {
	c := &conditions{parts: []string{"e.latest_id <> 0", "e.listed <> 0"}}
	c.add("d.type = $? AND d.name = $?", kind, name)
	c.visible(viewer, true)
	return page(t, scanEntry, entryColumns, "needs d JOIN entries e ON e.id = d.entry_id JOIN projects p ON p.id = e.project_id", c, "e.name, e.id", limit, 0)
}
