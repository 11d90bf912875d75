package database

import (
	"fmt"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// holdContent is part of each statement that makes a row name a content: until the transaction ends no collector removes
// it, and what it was noted as garbage for is past. On SQLite the one writer holds everything.
func (t *tx) holdContent(sha256 string) error {
	if t.db.dialect == postgresDialect {
		if _, err := t.exec("SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))", sha256); err != nil {
			return err
		}
	}
	var condemned int64
	err := t.row(func(row scanner) error { return row.Scan(&condemned) }, "DELETE FROM garbage WHERE sha256 = $1 RETURNING condemned_at", sha256)
	switch {
	case registry.KindOf(err) == registry.NotFound:
		return nil
	case err == nil && condemned != 0:
		return registry.ErrBeingRemoved
	}
	return err
}

// inTexts is in for texts.
func inTexts(args []any, texts []string) (string, []any) {
	if len(texts) == 0 {
		return "(NULL)", args
	}
	places := make([]string, len(texts))
	for i, text := range texts {
		args = append(args, text)
		places[i] = fmt.Sprintf("$%d", len(args))
	}
	return "(" + strings.Join(places, ", ") + ")", args
}

func scanText(row scanner) (*string, error) {
	text := new(string)
	return text, row.Scan(text)
}

func (t *tx) texts(query string, args ...any) ([]string, error) {
	found, err := list(t, scanText, query, args...)
	texts := make([]string, len(found))
	for i, text := range found {
		texts[i] = *text
	}
	return texts, err
}

// named are those of the contents that a row names.
func (t *tx) named(digests []string) (map[string]bool, error) {
	set, args := inTexts(nil, digests)
	found, err := t.texts("SELECT sha256 FROM package_files WHERE sha256 IN "+set+" UNION SELECT sha256 FROM symbols WHERE sha256 IN "+set, args...)
	named := map[string]bool{}
	for _, sha256 := range found {
		named[sha256] = true
	}
	return named, err
}

func (t *tx) Unnamed(blobs []registry.BlobInfo) (unnamed []registry.BlobInfo, err error) {
	digests := make([]string, len(blobs))
	for i, b := range blobs {
		digests[i] = b.SHA256
	}
	named, err := t.named(digests)
	for _, b := range blobs {
		if !named[b.SHA256] {
			unnamed = append(unnamed, b)
		}
	}
	return unnamed, err
}

func (t *tx) NoteGarbage(blobs []registry.BlobInfo) (noted int, err error) {
	unnamed, err := t.Unnamed(blobs)
	if err != nil {
		return 0, err
	}
	for _, b := range unnamed {
		result, err := t.exec("INSERT INTO garbage (sha256, size, since, condemned_at) VALUES ($1, $2, $3, 0) ON CONFLICT (sha256) DO NOTHING", b.SHA256, b.Size, millis(now()))
		if err != nil {
			return 0, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return 0, err
		}
		noted += int(n)
	}
	return noted, nil
}

// condemnedFor is how long a collector may take to remove what it condemned, before another one takes it for dead.
const condemnedFor = 5 * time.Minute

func (t *tx) CondemnGarbage(before time.Time, limit int) (condemned []registry.BlobInfo, more bool, err error) {
	due := map[string]int64{}
	err = t.each(func(row scanner) error {
		var sha256 string
		var size int64
		err := row.Scan(&sha256, &size)
		due[sha256] = size
		return err
	}, "SELECT sha256, size FROM garbage WHERE condemned_at = 0 AND since <= $1 OR condemned_at <> 0 AND condemned_at <= $2 ORDER BY since LIMIT $3",
		millis(before), millis(now().Add(-condemnedFor)), limit)
	if err != nil || len(due) == 0 {
		return nil, false, err
	}
	full, passed := len(due) == limit, 0
	if t.db.dialect == postgresDialect {
		// What a publish holds is left to it. Otherwise its row could come after the look at the rows that is next.
		for sha256 := range due {
			var free bool
			err := t.row(func(row scanner) error { return row.Scan(&free) }, "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", sha256)
			if err != nil {
				return nil, false, err
			}
			if !free {
				delete(due, sha256)
			}
		}
	}
	digests := make([]string, 0, len(due))
	for sha256 := range due {
		digests = append(digests, sha256)
	}
	named, err := t.named(digests)
	if err != nil {
		return nil, false, err
	}
	for sha256, size := range due {
		if named[sha256] {
			if _, err := t.exec("DELETE FROM garbage WHERE sha256 = $1 AND condemned_at = 0", sha256); err != nil {
				return nil, false, err
			}
			passed++
			continue
		}
		result, err := t.exec("UPDATE garbage SET condemned_at = $2 WHERE sha256 = $1 AND (condemned_at = 0 OR condemned_at <= $3)",
			sha256, millis(now()), millis(now().Add(-condemnedFor)))
		if err != nil {
			return nil, false, err
		}
		if n, err := result.RowsAffected(); err != nil {
			return nil, false, err
		} else if n > 0 {
			condemned = append(condemned, registry.BlobInfo{SHA256: sha256, Size: size})
		}
	}
	return condemned, full && len(condemned)+passed > 0, nil
}

func (t *tx) ForgetGarbage(digests []string) error {
	set, args := inTexts(nil, digests)
	return t.each(func(scanner) error { return nil }, "DELETE FROM garbage WHERE condemned_at <> 0 AND sha256 IN "+set+" RETURNING sha256", args...)
}

func (t *tx) Contents(after string, limit int) (contents []registry.Content, err error) {
	digests, err := t.texts(`SELECT sha256 FROM (SELECT sha256 FROM package_files WHERE sha256 > $1 UNION SELECT sha256 FROM symbols WHERE sha256 > $1) c
		ORDER BY sha256 LIMIT $2`, after, limit)
	if err != nil || len(digests) == 0 {
		return nil, err
	}
	at := map[string]int{}
	for i, sha256 := range digests {
		contents = append(contents, registry.Content{SHA256: sha256})
		at[sha256] = i
	}
	set, args := inTexts(nil, digests)
	err = t.each(func(row scanner) error {
		var u registry.ContentUse
		var sha256 string
		err := row.Scan(&sha256, &u.Project, &u.Type, &u.Package, &u.Version, &u.File, &u.Digests.Size, &u.Digests.MD5, &u.Digests.SHA1, &u.Digests.SHA512)
		u.Digests.SHA256 = sha256
		c := &contents[at[sha256]]
		c.Uses = append(c.Uses, u)
		return err
	}, `SELECT f.sha256, COALESCE(j.full_path, ''), p.type, p.name, p.version, f.name, f.size, f.md5, f.sha1, f.sha512
		FROM package_files f JOIN packages p ON p.id = f.package_id JOIN projects j ON j.id = p.project_id WHERE f.sha256 IN `+set+`
		UNION ALL SELECT s.sha256, COALESCE(j.full_path, ''), p.type, p.name, p.version, s.name, s.size, '', '', ''
		FROM symbols s JOIN package_files f ON f.id = s.file_id JOIN packages p ON p.id = f.package_id JOIN projects j ON j.id = p.project_id WHERE s.sha256 IN `+set, args...)
	return contents, err
}

func (t *tx) CountContents() (n, bytes int64, err error) {
	err = t.row(func(row scanner) error { return row.Scan(&n, &bytes) }, `SELECT COUNT(*), COALESCE(CAST(SUM(size) AS BIGINT), 0)
		FROM (SELECT sha256, size FROM package_files UNION SELECT sha256, size FROM symbols) c`)
	return n, bytes, err
}

func scanLease(row scanner) (*registry.Lease, error) {
	l := &registry.Lease{}
	return l, row.Scan(&l.Name, &l.Holder, asTime{&l.Until}, asTime{&l.FinishedAt}, &l.Progress)
}

const leaseColumns = "name, holder, until, finished_at, progress"

func (t *tx) TakeLease(name, holder string, at, until time.Time) (*registry.Lease, error) {
	l, err := get(t, scanLease, `INSERT INTO leases AS l (`+leaseColumns+`) VALUES ($1, $2, $4, 0, '')
		ON CONFLICT (name) DO UPDATE SET holder = $2, until = $4 WHERE l.holder = $2 OR l.until <= $3 RETURNING `+leaseColumns,
		name, holder, millis(at), millis(until))
	if registry.KindOf(err) == registry.NotFound {
		return nil, registry.Errorf(registry.Conflict, "somebody else is at it")
	}
	return l, err
}

func (t *tx) KeepLease(l *registry.Lease) error {
	return t.one("UPDATE leases SET until = $3, finished_at = $4, progress = $5 WHERE name = $1 AND holder = $2", l.Name, l.Holder, millis(l.Until), millis(l.FinishedAt), l.Progress)
}

func (t *tx) LeaseOf(name string) (*registry.Lease, error) {
	return get(t, scanLease, "SELECT "+leaseColumns+" FROM leases WHERE name = $1", name)
}
