package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // driver "sqlite"

	"packhouse/internal/database/databasetest" // and driver "pgx"
	"packhouse/test/harness"
)

// Lists, searches and pages are asked of a store that is full. To fill it by
// publishing would take longer than all else, so its rows are written as a
// publish would have written them, by a few large statements. None of them
// reads a blob, and there are none.

// listStore is a server on a full store.
type listStore struct {
	system  string
	each    int    // versions of each name
	dialect string // name of the driver
	dsn     string
	config  harness.Config
	server  *harness.Server
	group   int64
	project int64 // holds all packages until they are spread
	token   string
	user    harness.User // a member of the group
	names   []string
	crowded int64 // package with the most files
	files   int   // that it has
}

// fullStores are a server on a full SQLite and one on a full PostgreSQL, filled when they are first asked for. At first one
// project has all packages; once they are spread, many of a group have them.
func (b *bench) fullStores(spread bool) ([]*listStore, error) {
	if b.stores == nil {
		if err := b.fillStores(); err != nil {
			return nil, err
		}
	}
	if spread && !b.spread {
		for _, s := range b.stores {
			if err := s.spread(b.ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", s.system, err)
			}
		}
		b.spread = true
	}
	return b.stores, nil
}

func (b *bench) fillStores() error {
	url, drop, err := databasetest.Create()
	if err != nil {
		return err
	}
	b.ends = append(b.ends, func() { drop() })
	folder := filepath.Join(b.dir, "full")
	var stores []*listStore
	for _, s := range []*listStore{
		{system: packhouse + ", SQLite", each: b.listVersions, dialect: "sqlite", dsn: "file:" + filepath.Join(folder, "sqlite", "packhouse.db") + "?_pragma=busy_timeout(60000)"},
		{system: packhouse + ", PostgreSQL", each: b.listVersions, dialect: "pgx", dsn: url},
	} {
		s.config = harness.Config{
			Data: filepath.Join(folder, s.dialect), RootPassword: harness.Random(), RootToken: harness.Random(), Args: []string{"--log-requests", "none"},
		}
		if s.dialect == "pgx" {
			s.config.Args = append(s.config.Args, "--database", url)
		}
		if s.server, err = harness.Start(b.ctx, s.config); err != nil {
			return err
		}
		b.ends = append(b.ends, func() { s.server.Stop() })
		stores = append(stores, s)
		if err := s.fill(b.ctx, b.listPackages/s.each); err != nil {
			return fmt.Errorf("%s: %w", s.system, err)
		}
	}
	b.stores = stores
	return nil
}

// fill makes a private group with a project, a member of it, and the packages.
func (s *listStore) fill(ctx context.Context, names int) error {
	top, err := s.server.CreateGroup("bench", harness.Private, 0)
	if err != nil {
		return err
	}
	project, err := s.server.CreateProject("all", top.ID, harness.Private)
	if err != nil {
		return err
	}
	user, err := s.server.CreateUser("lister")
	if err != nil {
		return err
	}
	if err := s.server.AddGroupMember(top.ID, user.ID, harness.Maintainer); err != nil {
		return err
	}
	token, err := s.server.CreatePersonalToken(user.ID, "read_api")
	if err != nil {
		return err
	}
	s.group, s.project, s.token, s.user = top.ID, project.ID, token.Token, user
	db, err := sql.Open(s.dialect, s.dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	return s.write(ctx, db, user.ID, names)
}

// Every name holds the first word, one in twenty each of the second, and only one its number.
var listWords = []string{"button", "chart", "client", "date", "editor", "form", "grid", "icon", "layout", "menu", "modal", "parser", "query", "router", "schema", "session", "table", "theme", "token", "worker"}

// listName is the name of index i, of its type.
func listName(i int) (kind string, number int, name string) {
	word := listWords[i%len(listWords)]
	switch i % 10 {
	case 0:
		return "generic", 7, fmt.Sprintf("acme-%s-%d", word, i)
	case 1:
		return "pypi", 5, fmt.Sprintf("acme-%s-%d", word, i)
	case 2:
		return "nuget", 4, fmt.Sprintf("acme.%s.%d", word, i)
	case 3:
		return "maven", 1, fmt.Sprintf("com/acme/%s-%d", word, i)
	case 4:
		return "composer", 6, fmt.Sprintf("acme/%s-%d", word, i)
	}
	return "npm", 2, fmt.Sprintf("@acme/%s-%d", word, i)
}

// listFragments are the pieces of documents that a search shows something of, by type and variant.
var listFragments = []struct{ kind, variant, body string }{
	{"npm", "full", `{"description":"a package of the benchmark","keywords":["bench","load"],"license":"MIT"}`},
	{"npm", "abbreviated", `{}`},
	{"nuget", "nuspec", `<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>Acme</id><version>1.0.0</version><authors>Ann</authors><description>a package of the benchmark</description></metadata></package>`},
	{"nuget", "registration", `{}`},
	{"composer", "version", `{"manifest":{"description":"a package of the benchmark"},"reference":"0123456789012345678901234567890123456789","shasum":"0123456789012345678901234567890123456789","time":"2031-01-01T00:00:00Z"}`},
}

// write writes what publishing the packages writes: versions of all names by turns, and one package a second. Each turn is
// a transaction: in one alone, PostgreSQL could not use again what the turn before has left of the numbers of the names.
func (s *listStore) write(ctx context.Context, db *sql.DB, user int64, names int) error {
	bytes := map[string]string{"sqlite": "BLOB", "pgx": "BYTEA"}[s.dialect]
	begin := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	conn, err := db.Conn(ctx) // of the temporary table
	if err != nil {
		return err
	}
	defer conn.Close()
	var rows []string
	for i := range names {
		kind, number, name := listName(i)
		s.names = append(s.names, name)
		rows = append(rows, fmt.Sprintf("('%s', %d, '%s', %d)", kind, number, name, i))
	}
	statements := []string{
		"CREATE TEMPORARY TABLE named (type TEXT, type_number INTEGER, name TEXT, i BIGINT)",
	}
	for ; len(rows) > 0; rows = rows[min(len(rows), 1000):] {
		statements = append(statements, "INSERT INTO named VALUES "+strings.Join(rows[:min(len(rows), 1000)], ", "))
	}
	const files = `WITH RECURSIVE number(f) AS (SELECT 0 UNION ALL SELECT f + 1 FROM number WHERE f + 1 < {most})
		INSERT INTO package_files (package_id, name, size, md5, sha1, sha256, sha512, created_at)
		SELECT p.id, 'file-' || f || '-of-' || p.version || '.tgz', 1000 + f,
			{digest} || '0123456789abcdef012345', {digest} || '0123456789abcdef0123456789abcd', {digest} || '0123456789abcdef0123456789abcdef0123456789abcdef012345',
			{digest} || '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef012345', p.created_at `
	statements = append(statements,
		"INSERT INTO entries (project_id, type, name, revision, latest_id, search, created_at, updated_at) SELECT {project}, type, name, {versions}, 0, '', {begin}, {begin} FROM named ORDER BY i",
		"INSERT INTO pipelines (project_id, user_id, ref, sha, source, web_url, created_at) SELECT {project}, {user}, 'main', '0123456789012345678901234567890123456789', 'push', '', {begin} FROM named",
	)
	for v := range s.each {
		version := fmt.Sprintf("'1.%d.' || (n.i %% 7)", v)
		if v == 0 {
			version = "CASE WHEN e.type = 'maven' THEN '' ELSE " + version + " END"
		}
		statements = append(statements, strings.NewReplacer("{v}", fmt.Sprint(v), "{version}", version).Replace(`INSERT INTO packages (project_id, entry_id, type, type_number, name, name_key, version, version_key, status, status_message, creator_id, pipeline_id, root_id, search, created_at, last_downloaded_at)
			SELECT e.project_id, e.id, e.type, n.type_number, e.name, e.name, {version}, {version},
				CASE WHEN (n.i + {v}) % 50 = 0 THEN 5 WHEN (n.i + {v}) % 97 = 0 THEN 1 ELSE 0 END, CASE WHEN (n.i + {v}) % 50 = 0 THEN 'use another one' ELSE '' END,
				{user}, CASE WHEN n.i % 2 = 0 THEN (SELECT MIN(id) FROM pipelines) + n.i END, CASE WHEN e.type = 'npm' THEN {group} END,
				e.name || '`+"\n"+`a package of the benchmark', {begin} + ({v} * {names} + n.i) * 1000, 0
			FROM named n JOIN entries e ON e.project_id = {project} AND e.type = n.type AND e.name = n.name
			ORDER BY n.i`))
	}
	statements = append(statements,
		`UPDATE entries SET search = name || '`+"\n"+`a package of the benchmark', updated_at = {begin} + {versions} * {names} * 1000,
			listed = 1, latest_id = (SELECT MAX(p.id) FROM packages p WHERE p.entry_id = entries.id AND p.status <> 4)`,
		"INSERT INTO tags (entry_id, name, package_id, created_at, updated_at) SELECT id, 'latest', latest_id, created_at, updated_at FROM entries WHERE type = 'npm'",
		strings.Replace(files, "{most}", "{files}", 1)+"FROM packages p CROSS JOIN number",
		files+"FROM number CROSS JOIN packages p WHERE p.id = {crowded} AND f >= {files}",
		`INSERT INTO audit_events (created_at, name, project_id, target, detail, user_id, token_kind, author, address)
			SELECT created_at, 'package_registry_package_published', project_id, type || ' ' || name || ' ' || version, '', creator_id, 'personal', 'lister', '127.0.0.1' FROM packages`,
		"DROP TABLE named",
	)
	for _, f := range listFragments {
		statements = append(statements, fmt.Sprintf("INSERT INTO fragments (package_id, variant, body) SELECT id, '%s', CAST('%s' AS %s) FROM packages WHERE type = '%s'", f.variant, f.body, bytes, f.kind))
	}
	s.crowded, s.files = int64(names), min(10_000, s.each*names) // as many as a package may have
	values := strings.NewReplacer("{project}", fmt.Sprint(s.project), "{group}", fmt.Sprint(s.group), "{user}", fmt.Sprint(user), "{versions}", fmt.Sprint(s.each),
		"{names}", fmt.Sprint(names), "{begin}", fmt.Sprint(begin), "{files}", fmt.Sprint(listsFiles), "{most}", fmt.Sprint(s.files), "{crowded}", fmt.Sprint(s.crowded),
		"{digest}", "CAST(1000000000 + p.id * 20000 + f AS TEXT)")
	for _, statement := range statements {
		statement = values.Replace(statement)
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%w in %.200s", err, statement)
		}
	}
	return s.settle(ctx, db)
}

// spread moves the packages from the one project to many, all versions of a name to one of them, one project after another.
func (s *listStore) spread(ctx context.Context) error {
	var first int64
	for i := range listsProjects {
		p, err := s.server.CreateProject(fmt.Sprintf("part-%d", i*37%listsProjects), s.group, harness.Private)
		if err != nil {
			return err
		}
		if i == 0 {
			first = p.ID
		}
	}
	db, err := sql.Open(s.dialect, s.dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	for project := range listsProjects {
		for _, table := range []struct{ name, entry string }{{"entries", "id"}, {"packages", "entry_id"}} {
			_, err := db.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET project_id = %d WHERE project_id = %d AND %s %% %d = %d",
				table.name, first+int64(project), s.project, table.entry, listsProjects, project))
			if err != nil {
				return err
			}
		}
		if project%10 == 9 {
			if err := s.settle(ctx, db); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle does what PostgreSQL does by itself within some minutes of so many changes. What was committed without a sync must
// be in its log first: VACUUM marks no page as visible to everybody before, and each step along an index would look at a row.
func (s *listStore) settle(ctx context.Context, db *sql.DB) error {
	if s.dialect != "pgx" {
		return nil
	}
	for _, statement := range []string{"CHECKPOINT", "VACUUM ANALYZE"} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
