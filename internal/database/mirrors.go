package database

import (
	"fmt"
	"strings"
	"time"

	"packhouse/internal/registry"
)

const mirrorColumns = "project_id, enabled, url, username, password, user_id, next_at, lease, started_at, ended_at, succeeded_at, error"

func scanMirror(row scanner) (*registry.Mirror, error) {
	m := &registry.Mirror{}
	return m, row.Scan(&m.ProjectID, &m.Enabled, &m.URL, &m.User, &m.Password, asID{&m.UserID}, asTime{&m.NextAt}, &m.Lease,
		asTime{&m.StartedAt}, asTime{&m.EndedAt}, asTime{&m.Succeeded}, &m.Error)
}

func (t *tx) Mirror(project int64) (*registry.Mirror, error) {
	return get(t, scanMirror, "SELECT "+mirrorColumns+" FROM mirrors WHERE project_id = $1", project)
}

func (t *tx) SetMirror(m *registry.Mirror) error {
	stored, err := get(t, scanMirror, `
		INSERT INTO mirrors AS m (project_id, enabled, url, username, password, user_id, next_at, lease, lease_until, started_at, ended_at, succeeded_at, error)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, 0, 0, '')
		ON CONFLICT (project_id) DO UPDATE SET enabled = $2, url = $3, username = $4, password = $5, user_id = $6, next_at = $7
		RETURNING `+mirrorColumns, m.ProjectID, m.Enabled, m.URL, m.User, m.Password, nullable(m.UserID), millis(m.NextAt))
	if err == nil {
		*m = *stored
	}
	return err
}

func (t *tx) RequestMirror(project int64) error {
	return t.one("UPDATE mirrors SET next_at = $2 WHERE project_id = $1 AND enabled", project, millis(now()))
}

// ClaimMirror is one statement, so that of several nodes one finds the row still free. Projects that are not seen any more
// are passed over.
func (t *tx) ClaimMirror(at time.Time, lease time.Duration) (*registry.Mirror, error) {
	return get(t, scanMirror, `
		UPDATE mirrors SET lease = lease + 1, lease_until = $2, started_at = $1, ended_at = 0
		WHERE lease_until <= $1 AND project_id = (
			SELECT m.project_id FROM mirrors m JOIN projects p ON p.id = m.project_id
			WHERE m.next_at <> 0 AND m.next_at <= $1 AND m.lease_until <= $1 AND p.hidden_at = 0 AND NOT p.condemned AND NOT p.archived
			ORDER BY m.next_at, m.project_id LIMIT 1)
		RETURNING `+mirrorColumns, millis(at), millis(at.Add(lease)))
}

func (t *tx) EndMirror(m *registry.Mirror, failure string, next time.Time) error {
	return t.one(`UPDATE mirrors SET lease_until = 0, ended_at = $3, error = $4, succeeded_at = CASE WHEN $4 = '' THEN $3 ELSE succeeded_at END,
		next_at = CASE WHEN next_at = $5 THEN $6 ELSE next_at END WHERE project_id = $1 AND lease = $2`,
		m.ProjectID, m.Lease, millis(now()), failure, millis(m.NextAt), millis(next))
}

// OwnName implements [registry.Tx]. Whoever publishes the name elsewhere is waited for, or waits.
func (t *tx) OwnName(e *registry.Entry) error {
	root, err := t.HoldRoot(e.ProjectID)
	if err != nil {
		return err
	}
	if t.db.dialect == postgresDialect { // in SQLite one writer waits for the other anyway
		if _, err := t.exec("SELECT pg_advisory_xact_lock(hashtextextended($1, $2))", string(e.Type)+" "+e.Name, root); err != nil {
			return err
		}
	}
	var taken bool
	err = t.row(func(row scanner) error { return row.Scan(&taken) }, `
		SELECT NOT EXISTS (SELECT 1 FROM packages k WHERE k.entry_id = $1 AND k.status <> 4)
			AND EXISTS (SELECT 1 FROM entries e JOIN projects p ON p.id = e.project_id JOIN packages k ON k.entry_id = e.id
				WHERE e.type = $2 AND e.name = $3 AND e.id <> $1 AND p.lineage LIKE $4 AND p.hidden_at = 0 AND NOT p.condemned AND k.status <> 4)`,
		e.ID, e.Type, e.Name, fmt.Sprintf("/%d/%%", root))
	if err == nil && taken {
		err = registry.ErrNameTaken
	}
	return err
}

func (t *tx) EachChange(f registry.EntryFilter, since time.Time, yield func(name string, at time.Time, gone bool) error) error {
	c := entryConditions(f)
	c.add("e.updated_at > $?", millis(since))
	return t.each(func(row scanner) error {
		var name string
		var at time.Time
		var gone bool
		if err := row.Scan(&name, asTime{&at}, &gone); err != nil {
			return err
		}
		return yield(name, at, gone)
	}, "SELECT e.name, MAX(e.updated_at), MAX(e.latest_id) = 0 FROM entries e JOIN projects p ON p.id = e.project_id WHERE "+c.String()+
		" GROUP BY e.name ORDER BY MAX(e.updated_at), e.name", c.args...)
}

func (t *tx) Installed(f registry.EntryFilter, names []string, want func(name, version string) bool) ([]*registry.File, error) {
	if len(names) == 0 {
		return nil, nil
	}
	c := entryConditions(f)
	or := make([]string, len(names))
	for i, name := range names {
		or[i] = c.text("$?", name)
	}
	c.add("e.name IN (" + strings.Join(or, ", ") + ")")
	var wanted []int64
	err := t.each(func(row scanner) error {
		var id int64
		var name, version string
		err := row.Scan(&id, &name, &version)
		if err == nil && want(name, version) {
			wanted = append(wanted, id)
		}
		return err
	}, "SELECT k.id, e.name, k.version FROM entries e JOIN projects p ON p.id = e.project_id JOIN packages k ON k.entry_id = e.id WHERE "+c.String()+" AND k.status IN (0, 1, 5)", c.args...)
	if err != nil || len(wanted) == 0 {
		return nil, err
	}
	return list(t, scanFile, "SELECT "+fileColumns+" FROM package_files f WHERE f.id IN (SELECT MAX(x.id) FROM package_files x WHERE x.package_id IN "+numbers(wanted)+
		" AND x.status = 0 GROUP BY x.package_id)")
}

func (t *tx) RemovedProjects(limit int) (ids []int64, err error) {
	err = t.eachFixed(func(row scanner) error {
		var id int64
		err := row.Scan(&id)
		ids = append(ids, id)
		return err
	}, "SELECT project_id FROM removed_projects ORDER BY project_id LIMIT $1", limit)
	return ids, err
}

func (t *tx) ForgetRemoved(ids []int64) error {
	set, args := in(nil, ids)
	_, err := t.exec("DELETE FROM removed_projects WHERE project_id IN "+set, args...)
	return err
}
