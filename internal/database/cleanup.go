package database

import (
	"fmt"
	"time"

	"packhouse/internal/registry"
)

const cleanupColumns = "project_id, enabled, cadence, keep_files, keep_versions, older_than, not_downloaded_since, package_type, " +
	"name_pattern, name_keep_pattern, version_pattern, version_keep_pattern, next_run_at, " +
	"lease, lease_until, started_at, finished_at, packages_removed, files_removed, bytes_removed, error"

func scanCleanup(row scanner) (*registry.CleanupPolicy, error) {
	p := &registry.CleanupPolicy{}
	var cadence int64
	r := &p.Run
	err := row.Scan(&p.ProjectID, &p.Enabled, &cadence, &p.KeepFiles, &p.KeepVersions, &p.OlderThan, &p.NotDownloadedSince, &p.Type,
		&p.NamePattern, &p.NameKeepPattern, &p.VersionPattern, &p.VersionKeepPattern, asTime{&p.NextRunAt},
		&r.Lease, asTime{&r.LeaseUntil}, asTime{&r.StartedAt}, asTime{&r.FinishedAt}, &r.Removed.Packages, &r.Removed.Files, &r.Removed.Bytes, &r.Error)
	p.Cadence = time.Duration(cadence) * time.Millisecond
	return p, err
}

func (t *tx) CleanupPolicy(project int64) (*registry.CleanupPolicy, error) {
	return get(t, scanCleanup, "SELECT "+cleanupColumns+" FROM cleanup_policies WHERE project_id = $1", project)
}

func (t *tx) SetCleanupPolicy(p *registry.CleanupPolicy) error {
	stored, err := get(t, scanCleanup, `
		INSERT INTO cleanup_policies AS c (`+cleanupColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, 0, 0, 0, 0, 0, 0, '')
		ON CONFLICT (project_id) DO UPDATE SET enabled = $2, cadence = $3, keep_files = $4, keep_versions = $5, older_than = $6, not_downloaded_since = $7,
			package_type = $8, name_pattern = $9, name_keep_pattern = $10, version_pattern = $11, version_keep_pattern = $12, next_run_at = $13,
			lease = c.lease + 1, lease_until = 0,
			finished_at = CASE WHEN c.started_at <> 0 AND c.finished_at = 0 THEN $14 ELSE c.finished_at END,
			error = CASE WHEN c.started_at <> 0 AND c.finished_at = 0 THEN 'the policy was changed' ELSE c.error END
		RETURNING `+cleanupColumns,
		p.ProjectID, p.Enabled, p.Cadence.Milliseconds(), p.KeepFiles, p.KeepVersions, p.OlderThan, p.NotDownloadedSince, p.Type,
		p.NamePattern, p.NameKeepPattern, p.VersionPattern, p.VersionKeepPattern, millis(p.NextRunAt), millis(now()))
	if err == nil {
		*p = *stored
	}
	return err
}

func (t *tx) RequestCleanup(project int64) error {
	return t.one("UPDATE cleanup_policies SET next_run_at = CASE WHEN lease_until = 0 THEN $2 ELSE next_run_at END WHERE project_id = $1", project, millis(now()))
}

// ClaimCleanup is one statement, so that of several nodes one finds the row still free.
func (t *tx) ClaimCleanup(at time.Time, lease time.Duration) (*registry.CleanupPolicy, error) {
	const goesOn = "CASE WHEN started_at <> 0 AND finished_at = 0 THEN "
	return get(t, scanCleanup, `
		UPDATE cleanup_policies SET lease = lease + 1, lease_until = $2, finished_at = 0, error = '',
			started_at = `+goesOn+`started_at ELSE $1 END, packages_removed = `+goesOn+`packages_removed ELSE 0 END,
			files_removed = `+goesOn+`files_removed ELSE 0 END, bytes_removed = `+goesOn+`bytes_removed ELSE 0 END
		WHERE lease_until <= $1 AND project_id = (
			SELECT d.project_id FROM cleanup_policies d WHERE d.next_run_at <> 0 AND d.next_run_at <= $1 AND d.lease_until <= $1 ORDER BY d.next_run_at, d.project_id LIMIT 1)
		RETURNING `+cleanupColumns, millis(at), millis(at.Add(lease)))
}

func (t *tx) AdvanceCleanup(p *registry.CleanupPolicy, removed registry.CleanupTotals, lease time.Duration) error {
	return t.one(`UPDATE cleanup_policies SET packages_removed = packages_removed + $3, files_removed = files_removed + $4, bytes_removed = bytes_removed + $5,
		lease_until = $6 WHERE project_id = $1 AND lease = $2`,
		p.ProjectID, p.Run.Lease, removed.Packages, removed.Files, removed.Bytes, millis(now().Add(lease)))
}

func (t *tx) EndCleanup(p *registry.CleanupPolicy, finished bool, failure string, next time.Time) error {
	var at time.Time
	if finished {
		at = now()
	}
	return t.one("UPDATE cleanup_policies SET lease_until = 0, finished_at = $3, error = $4, next_run_at = $5 WHERE project_id = $1 AND lease = $2",
		p.ProjectID, p.Run.Lease, millis(at), failure, millis(next))
}

// CleanupVersions looks at the files of a version only when it comes to it: whoever has enough stops early.
func (t *tx) CleanupVersions(s registry.CleanupScope, f func(*registry.CleanupVersion) error) error {
	c := conditions{}
	c.add("p.project_id = $?", s.Project)
	c.add("p.status <> 4")
	if s.Entry != 0 {
		c.add("p.entry_id = $?", s.Entry)
	}
	if s.After != 0 {
		c.add("p.entry_id > $?", s.After)
	}
	if s.Type != "" {
		c.add("p.type = $?", s.Type)
	}
	const files = " FROM package_files f WHERE f.package_id = p.id AND f.status = 0"
	spare, args := "0, 0", c.args
	if s.KeepFiles > 0 {
		args = append(args, s.KeepFiles)
		of := fmt.Sprintf(" FROM (SELECT f.size, "+placeOfFile+files+") f WHERE f.place > $%d", len(args))
		spare = "(SELECT COUNT(*)" + of + "), (SELECT COALESCE(CAST(SUM(f.size) AS BIGINT), 0)" + of + ")"
	}
	return t.each(func(row scanner) error {
		v := &registry.CleanupVersion{}
		err := row.Scan(append(packageFields(&v.Package), &v.EntryName, &v.Needed, &v.Files, &v.Bytes, &v.SpareFiles, &v.SpareBytes)...)
		if err != nil {
			return err
		}
		return f(v)
	}, "SELECT "+packageColumns+", e.name, e.latest_id = p.id OR EXISTS (SELECT 1 FROM tags t WHERE t.package_id = p.id), (SELECT COUNT(*)"+files+
		"), (SELECT COALESCE(CAST(SUM(f.size) AS BIGINT), 0)"+files+"), "+spare+
		" FROM packages p JOIN entries e ON e.id = p.entry_id WHERE "+c.String()+" ORDER BY p.entry_id, p.created_at DESC, p.id DESC", args...)
}

// placeOfFile is 1 for the newest file of a name in a package, and for the newest file of a version of Composer's, which is that one file; its others are
// what it was before.
const placeOfFile = "ROW_NUMBER() OVER (PARTITION BY CASE WHEN (SELECT k.type FROM packages k WHERE k.id = f.package_id) = 'composer' THEN '' ELSE f.name END ORDER BY f.created_at DESC, f.id DESC) AS place"

func (t *tx) SpareFiles(pkg int64, keep, limit int) ([]*registry.File, error) {
	return list(t, scanFile, "SELECT "+fileColumns+` FROM (
			SELECT f.*, `+placeOfFile+` FROM package_files f WHERE f.package_id = $1 AND f.status = 0) f
		WHERE f.place > $2 ORDER BY f.id LIMIT $3`, pkg, keep, limit)
}
