package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // driver "sqlite"

	"packhouse/internal/database/databasetest" // and driver "pgx"
	"packhouse/test/harness"
)

// Lists of packages and files are asked of a store that is full. To fill it by
// publishing would take longer than all else, so its rows are written as a
// publish would have written them, by a few large statements. No list reads a
// blob, and there are none.

const (
	listsFiles    = 10  // of each version
	listsProjects = 100 // of the group, when the packages are spread
	listsBound    = 20  // ms, that no page may take longer than
)

// listStore is a server on a full store.
type listStore struct {
	system  string
	each    int    // versions of each name
	dialect string // name of the driver
	dsn     string
	server  *harness.Server
	group   int64
	project int64 // holds all packages until they are spread
	token   string
	user    harness.User // a member of the group
	names   []string
	crowded int64 // package with the most files
	files   int   // that it has
}

// lists measures the pages of lists, on SQLite and on PostgreSQL.
func lists(b *bench) error {
	stores, release, err := b.fillStores("lists")
	defer release()
	if err != nil {
		return err
	}
	if err := b.measureLists(stores, "project", "in one project"); err != nil {
		return err
	}
	for _, s := range stores {
		if err := s.spread(b.ctx); err != nil {
			return fmt.Errorf("%s: %w", s.system, err)
		}
	}
	return b.measureLists(stores, "group", fmt.Sprintf("in %d projects of a group", listsProjects))
}

// fillStores starts a server on a full SQLite and one on a full PostgreSQL. release stops what was started, also after an error.
func (b *bench) fillStores(name string) (stores []*listStore, release func(), err error) {
	var ends []func()
	release = func() {
		for _, end := range slices.Backward(ends) {
			end()
		}
	}
	url, drop, err := databasetest.Create()
	if err != nil {
		return nil, release, err
	}
	ends = append(ends, func() { drop() })
	folder := filepath.Join(b.dir, name)
	for _, s := range []*listStore{
		{system: packhouse + ", SQLite", each: b.listVersions, dialect: "sqlite", dsn: "file:" + filepath.Join(folder, "sqlite", "packhouse.db") + "?_pragma=busy_timeout(60000)"},
		{system: packhouse + ", PostgreSQL", each: b.listVersions, dialect: "pgx", dsn: url},
	} {
		config := harness.Config{Data: filepath.Join(folder, s.dialect), Args: []string{"--log-requests", "none"}}
		if s.dialect == "pgx" {
			config.Args = append(config.Args, "--database", url)
		}
		if s.server, err = harness.Start(b.ctx, config); err != nil {
			return nil, release, err
		}
		ends = append(ends, func() { s.server.Stop() })
		stores = append(stores, s)
		if err := s.fill(b.ctx, b.listPackages/s.each); err != nil {
			return nil, release, fmt.Errorf("%s: %w", s.system, err)
		}
	}
	return stores, release, nil
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
	case 1, 2:
		return "pypi", 5, fmt.Sprintf("acme-%s-%d", word, i)
	case 3:
		return "maven", 1, fmt.Sprintf("com/acme/%s-%d", word, i)
	}
	return "npm", 2, fmt.Sprintf("@acme/%s-%d", word, i)
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
		"INSERT INTO fragments (package_id, variant, body) SELECT id, 'full', CAST('{}' AS "+bytes+") FROM packages WHERE type = 'npm'",
		"INSERT INTO fragments (package_id, variant, body) SELECT id, 'abbreviated', CAST('{}' AS "+bytes+") FROM packages WHERE type = 'npm'",
		strings.Replace(files, "{most}", "{files}", 1)+"FROM packages p CROSS JOIN number",
		files+"FROM number CROSS JOIN packages p WHERE p.id = {crowded} AND f >= {files}",
		`INSERT INTO audit_events (created_at, name, project_id, target, detail, user_id, token_kind, author, address)
			SELECT created_at, 'package_registry_package_published', project_id, type || ' ' || name || ' ' || version, '', creator_id, 'personal', 'lister', '127.0.0.1' FROM packages`,
		"DROP TABLE named",
	)
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

// listRow is one row of the report: all pages of one kind.
type listRow struct {
	id, what string
	filters  []string // each with all orders, both ways, in pages of 20 and 100
	pages    []string // that are asked for: first, middle, last
}

// listRows are the kinds of pages. The names are those of a store.
func listRows(names int) []listRow {
	every := []string{"first", "middle", "last"}
	name := func(text string) string { return url.Values{"package_name": {text}}.Encode() }
	return []listRow{
		{"first", "first page", []string{""}, []string{"first"}},
		{"middle", "page in the middle", []string{""}, []string{"middle"}},
		{"last", "last page", []string{""}, []string{"last"}},
		{"type", "of one type", []string{"package_type=npm", "package_type=generic"}, every},
		{"version", "of one version", []string{"package_version=1.5.3"}, every},
		{"versionless", "with those without a version", []string{"include_versionless=true"}, every},
		{"status", "deprecated ones", []string{"status=deprecated"}, every},
		{"status.hidden", "hidden ones", []string{"status=hidden"}, every},
		{"name.all", "name with a word of all", []string{name("acme")}, every},
		{"name.some", "name with a word of some", []string{name("router")}, every},
		{"name.one", "name with a word of one", []string{name(fmt.Sprint(names - 3))}, []string{"first"}},
		{"name.none", "name with a word of none", []string{name("nothing-like-it")}, []string{"first"}},
		{"name.two", "name with two words", []string{name("acme grid")}, every},
		{"name.letter", "name with a letter", []string{name("e"), name("g")}, every},
		{"name.type", "name and type", []string{"package_type=pypi&" + name("acme")}, every},
	}
}

// listPage is one page, and what it must hold.
type listPage struct {
	path         string
	total, count int
}

// pages are those of a list, ordered in several ways.
func (s *listStore) pages(ctx context.Context, list string, orders []string, filters, which []string) (pages []listPage, err error) {
	for _, filter := range filters {
		response, _, err := get(ctx, s.server.URL+list+"?per_page=1&"+filter, s.header())
		if err != nil {
			return nil, err
		}
		total, err := strconv.Atoi(response.Header.Get("X-Total"))
		if err != nil {
			return nil, fmt.Errorf("%s?%s: %s without a total", list, filter, response.Status)
		}
		for _, order := range orders {
			for _, sort := range []string{"asc", "desc"} {
				for _, size := range []int{20, 100} {
					last := max(1, (total+size-1)/size)
					for _, page := range which {
						number := map[string]int{"first": 1, "middle": (last + 1) / 2, "last": last}[page]
						path := fmt.Sprintf("%s?order_by=%s&sort=%s&per_page=%d&page=%d&%s", list, order, sort, size, number, filter)
						pages = append(pages, listPage{path, total, min(size, total-(number-1)*size)})
					}
				}
			}
		}
	}
	return pages, nil
}

func (s *listStore) header() http.Header { return http.Header{"Authorization": {"Bearer " + s.token}} }

// read reads a page, and returns what tells its items from others in each store.
func (p listPage) read(ctx context.Context, s *listStore) (items []string, took time.Duration, err error) {
	began := time.Now()
	response, body, err := get(ctx, s.server.URL+p.path, s.header())
	took = time.Since(began)
	if err != nil {
		return nil, 0, err
	}
	var list []struct {
		Name, Version string
		FileName      string `json:"file_name"`
	}
	if err := json.Unmarshal(body, &list); err != nil || response.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%s, %s: %s %.200s", s.system, p.path, response.Status, body)
	}
	if total := response.Header.Get("X-Total"); total != strconv.Itoa(p.total) || len(list) != p.count {
		return nil, 0, fmt.Errorf("%s, %s: %d of %s, want %d of %d", s.system, p.path, len(list), total, p.count, p.total)
	}
	for _, item := range list {
		items = append(items, item.Name+" "+item.Version+item.FileName)
	}
	return items, took, nil
}

// measureLists asks for each page of each row several times, one at a time, in an order that is another each time. All
// stores hold the same, so their answers are compared.
func (b *bench) measureLists(stores []*listStore, scope, where string) error {
	packages := len(stores[0].names) * b.listVersions
	orders := []string{"created_at", "name", "version", "type"}
	if scope == "group" {
		orders = append(orders, "project_path")
	}
	rows := listRows(len(stores[0].names))
	if scope == "project" {
		rows = append(rows, listRow{id: "files"})
	} else {
		rows = append(rows, listRow{"direct", "without subgroups", []string{"exclude_subgroups=true"}, []string{"first", "middle", "last"}})
	}
	for _, row := range rows {
		f := &figure{ID: "lists." + scope + "." + row.id, What: fmt.Sprintf("%d packages %s: %s, 99 of 100 within", packages, where, row.what), Unit: "ms"}
		answers := map[int][]string{}
		for _, s := range stores {
			list := fmt.Sprintf("/api/v4/%ss/%d/packages", scope, map[string]int64{"project": s.project, "group": s.group}[scope])
			orders, filters, which := orders, row.filters, row.pages
			if row.id == "files" {
				f.What = fmt.Sprintf("%d files of a package, 99 of 100 pages within", s.files)
				list, orders = fmt.Sprintf("%s/%d/package_files", list, s.crowded), []string{"id", "created_at", "file_name"}
				filters, which = []string{""}, []string{"first", "middle", "last"}
			}
			pages, err := s.pages(b.ctx, list, orders, filters, which)
			if err != nil {
				return err
			}
			var times []time.Duration
			for round := uint64(0); len(times) < b.listRequests; round++ {
				for _, i := range rand.New(rand.NewPCG(round, 1)).Perm(len(pages)) {
					items, took, err := pages[i].read(b.ctx, s)
					if err != nil {
						return err
					}
					if answers[i] == nil {
						answers[i] = items
					}
					if !slices.Equal(answers[i], items) {
						return fmt.Errorf("%s, %s: other packages than before, or than on another database", s.system, pages[i].path)
					}
					times = append(times, took)
				}
			}
			f.Samples = append(f.Samples, sample{System: s.system, Value: ms(percentile(times, 99)), P50: ms(percentile(times, 50)), P99: ms(percentile(times, 99))})
		}
		b.report.add(f).goal("each", "<=", listsBound)
	}
	return nil
}
