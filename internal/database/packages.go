package database

import (
	"cmp"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"packhouse/internal/registry"
)

// ---- entries

const entryColumns = "e.id, e.project_id, e.type, e.name, e.revision, e.latest_id, e.listed, e.created_at, e.updated_at"

func scanEntry(row scanner) (*registry.Entry, error) {
	e := &registry.Entry{}
	return e, row.Scan(&e.ID, &e.ProjectID, &e.Type, &e.Name, &e.Revision, &e.LatestID, &e.Listed, asTime{&e.CreatedAt}, asTime{&e.UpdatedAt})
}

// TouchEntry is one statement, so that whoever comes second waits for the row and sees the first one's revision.
func (t *tx) TouchEntry(project int64, kind registry.Type, name string) (*registry.Entry, error) {
	return get(t, scanEntry, `
		INSERT INTO entries AS e (project_id, type, name, revision, latest_id, search, created_at, updated_at)
		VALUES ($1, $2, $3, 1, 0, '', $4, $4)
		ON CONFLICT (type, name, project_id) DO UPDATE SET revision = e.revision + 1,
			updated_at = CASE WHEN e.updated_at > excluded.updated_at THEN e.updated_at ELSE excluded.updated_at END
		RETURNING id, project_id, type, name, revision, latest_id, listed, created_at, updated_at`,
		project, kind, name, millis(now()))
}

func (t *tx) SetLatest(entry, pkg int64, listed registry.Kinds) error {
	return t.one("UPDATE entries SET latest_id = $2, listed = $3, search = COALESCE((SELECT p.search FROM packages p WHERE p.id = $2), '') WHERE id = $1", entry, pkg, listed)
}

func (t *tx) Entry(project int64, kind registry.Type, name string) (*registry.Entry, error) {
	return get(t, scanEntry, "SELECT "+entryColumns+" FROM entries e WHERE e.project_id = $1 AND e.type = $2 AND e.name = $3", project, kind, name)
}

func (t *tx) EntryByID(id int64) (*registry.Entry, error) {
	return get(t, scanEntry, "SELECT "+entryColumns+" FROM entries e WHERE e.id = $1", id)
}

func (t *tx) EntriesAfter(id int64, limit int) ([]*registry.Entry, error) {
	entries, err := list(t, scanEntry, "UPDATE entries AS e SET revision = e.revision WHERE e.id IN (SELECT n.id FROM entries n WHERE n.id > $1 ORDER BY n.id LIMIT $2) RETURNING "+strings.ReplaceAll(entryColumns, "e.", ""), id, limit)
	slices.SortFunc(entries, func(a, b *registry.Entry) int { return cmp.Compare(a.ID, b.ID) })
	return entries, err
}

func (t *tx) SearchEntries(f registry.EntryFilter) (entries []*registry.Entry, total int, err error) {
	if !findable(f.Terms) {
		return nil, 0, nil
	}
	c := t.searched(f)
	from, counted := " FROM entries e JOIN projects p ON p.id = e.project_id WHERE "+c.String(), "*"
	if f.Once {
		counted = "DISTINCT e.name"
	}
	if !f.NoTotal {
		err = t.each(func(row scanner) error { return row.Scan(&total) }, "SELECT COUNT("+counted+")"+from, c.args...)
		if err != nil || total == 0 {
			return nil, 0, err
		}
	}
	n, order := len(c.args), byEntryName(f)
	page := fmt.Sprintf(" LIMIT $%d OFFSET $%d", n+1, n+2)
	if f.Once {
		from, page = " FROM entries e WHERE e.id IN (SELECT MAX(e.id)"+from+" GROUP BY e.name ORDER BY "+order+page+")", ""
	}
	entries, err = list(t, scanEntry, "SELECT "+entryColumns+from+" ORDER BY "+order+", e.id"+page, append(c.args, f.Limit, f.Offset)...)
	return entries, total, err
}

// searched are the conditions of a list of entries e of projects p.
func (t *tx) searched(f registry.EntryFilter) *conditions {
	c := entryConditions(f)
	c.add("e.latest_id <> 0")
	t.contain(c, "e.search", f.Terms)
	switch {
	case f.After != "" && f.Descending:
		c.add("e.name < $?", f.After)
	case f.After != "":
		c.add("e.name > $?", f.After)
	}
	return c
}

func byEntryName(f registry.EntryFilter) string {
	if f.Descending {
		return "e.name DESC"
	}
	return "e.name"
}

func (t *tx) PageVersions(f registry.EntryFilter, without registry.Traits, listed bool) (packages []int64, total int, err error) {
	if !findable(f.Terms) {
		return nil, 0, nil
	}
	c := t.searched(f)
	c.add("(k.traits & $?) = 0", without)
	if listed {
		c.add("k.status <> 1")
	}
	c.add(strings.ReplaceAll(installable+" AND "+withFiles, "p.", "k."))
	from := " FROM entries e JOIN projects p ON p.id = e.project_id JOIN packages k ON k.entry_id = e.id WHERE " + c.String() + " GROUP BY e.name, k.version_key"
	if !f.NoTotal {
		err = t.each(func(row scanner) error { return row.Scan(&total) }, "SELECT COUNT(*) FROM (SELECT 1"+from+") counted", c.args...)
		if err != nil || total == 0 {
			return nil, 0, err
		}
	}
	n := len(c.args)
	err = t.each(func(row scanner) error {
		var id int64
		err := row.Scan(&id)
		packages = append(packages, id)
		return err
	}, fmt.Sprintf("SELECT MAX(k.id) AS newest%s ORDER BY %s, newest LIMIT $%d OFFSET $%d", from, byEntryName(f), n+1, n+2), append(c.args, f.Limit, f.Offset)...)
	return packages, total, err
}

// entryConditions are those of entries e of projects p, but for the terms.
func entryConditions(f registry.EntryFilter) *conditions {
	c := &conditions{}
	if f.Type != "" {
		c.add("e.type = $?", f.Type)
	}
	if f.Project != 0 {
		c.add("e.project_id = $?", f.Project)
	}
	if f.Group != nil {
		c.add("p.lineage LIKE $?", lineageText(f.Group.Lineage)+"%")
	}
	if f.Listed != 0 {
		c.add("(e.listed & $?) <> 0", f.Listed)
	}
	if len(f.Names) > 0 {
		c.addIn("e.name", f.Names)
	}
	if f.Project != 0 || len(f.Names) > 0 {
		c.visible(f.Viewer, f.Known)
		return c
	}
	// Of many entries: which projects they may be of is found out first, and not again for each.
	viewed := conditions{args: c.args}
	viewed.visible(f.Viewer, f.Known)
	c.args = viewed.args
	c.add("e.project_id IN (SELECT p.id FROM projects p WHERE " + viewed.String() + ")")
	return c
}

func (t *tx) ProjectRevisions(f registry.EntryFilter) ([]registry.Revision, error) {
	c := entryConditions(f)
	var all []registry.Revision
	err := t.each(func(row scanner) error {
		r := registry.Revision{}
		err := row.Scan(&r.ProjectID, &r.Revision)
		r.EntryID = r.ProjectID
		all = append(all, r)
		return err
	}, "SELECT e.project_id, CAST(SUM(e.revision) AS BIGINT) FROM entries e JOIN projects p ON p.id = e.project_id WHERE "+c.String()+
		" GROUP BY e.project_id ORDER BY e.project_id", c.args...)
	return all, err
}

func (t *tx) EachName(f registry.EntryFilter, yield func(name, spelling string) error) error {
	c := entryConditions(f)
	last := ""
	return t.each(func(row scanner) error {
		var name, spelling string
		if err := row.Scan(&name, &spelling); err != nil || name == last {
			return err
		}
		last = name
		return yield(name, spelling)
	}, "SELECT e.name, k.name FROM entries e JOIN projects p ON p.id = e.project_id JOIN packages k ON k.id = e.latest_id WHERE "+c.String()+
		" ORDER BY e.name, k.id DESC", c.args...)
}

// conditions collects parts of a WHERE; "$?" in a part stands for the number of its next argument.
type conditions struct {
	parts []string
	args  []any
}

func (c *conditions) add(part string, args ...any) { c.parts = append(c.parts, c.text(part, args...)) }

// addIn adds that a column has one of some values.
func (c *conditions) addIn(column string, values []string) {
	args := make([]any, len(values))
	for i, value := range values {
		args[i] = value
	}
	c.add(column+" IN ($?"+strings.Repeat(", $?", len(values)-1)+")", args...)
}

// text is a part with the numbers of its arguments, which are kept: to be put into another one.
func (c *conditions) text(part string, args ...any) string {
	for _, arg := range args {
		c.args = append(c.args, arg)
		part = strings.Replace(part, "$?", fmt.Sprintf("$%d", len(c.args)), 1)
	}
	return part
}

func (c *conditions) String() string { return strings.Join(c.parts, " AND ") }

// visible restricts to projects p whose packages the viewer may read: the same rule as access.View.Authorize, in SQL.
// With known, it is only projects that the viewer may know of, and not those besides that anybody may pull from.
func (c *conditions) visible(v registry.Viewer, known bool) {
	c.add("p.registry_access <> 'disabled'")
	c.add("p.hidden_at = 0")
	if v.All && v.Project == 0 {
		return
	}
	or := []string{"p.visibility = 'public' AND p.registry_access <> 'private'"}
	if !known {
		or = append(or, "p.registry_access = 'public'")
	}
	if v.UserID != 0 && !v.External {
		or = append(or, "p.visibility = 'internal' AND p.registry_access <> 'private'")
	}
	switch {
	case v.UserID == 0: // nobody, or a deploy token
		if v.Project != 0 {
			or = append(or, c.text("p.id = $?", v.Project))
		}
		if v.Group != 0 {
			or = append(or, c.text("p.lineage LIKE $?", fmt.Sprintf("%%/%d/%%", v.Group)))
		}
	case v.All:
		or = append(or, c.text("p.id = $?", v.Project))
	case v.Project != 0:
		or = append(or, c.text("p.id = $?", v.Project)+" AND "+c.projectMember(v.UserID, registry.Guest))
	default:
		or = append(or, c.projectMember(v.UserID, registry.Guest))
	}
	c.add(anyOf(or))
}

// anyOf joins conditions, of which one must hold.
func anyOf(parts []string) string { return "((" + strings.Join(parts, ") OR (") + "))" }

// projectMember is that a user has at least a level in project p, as EffectiveLevel says.
func (c *conditions) projectMember(user int64, least registry.Level) string {
	return anyOf([]string{
		c.text("EXISTS (SELECT 1 FROM members m WHERE m.user_id = $? AND m.project_id = p.id AND m.level >= $? AND (m.expires_at = 0 OR m.expires_at > $?))",
			user, least, millis(now())),
		c.groupMember("p", user, least),
	})
}

// groupMember is that a user has at least a level in the namespace x, or in those above the project x.
func (c *conditions) groupMember(x string, user int64, least registry.Level) string {
	return anyOf([]string{
		c.text("EXISTS (SELECT 1 FROM namespaces a WHERE a.owner_id = $? AND "+x+".lineage LIKE a.lineage || '%')", user),
		c.text(`EXISTS (SELECT 1 FROM members m JOIN namespaces a ON a.id = m.namespace_id
			WHERE m.user_id = $? AND m.level >= $? AND (m.expires_at = 0 OR m.expires_at > $?) AND `+x+".lineage LIKE a.lineage || '%')", user, least, millis(now())),
	})
}

// contain demands that every term occurs in a column of lower-case text. Each database has a way that is the faster one.
func (t *tx) contain(c *conditions, column string, terms []string) {
	for _, term := range terms {
		if term = strings.ToLower(term); t.db.dialect == sqliteDialect {
			c.add("INSTR("+column+", $?) > 0", term)
		} else {
			c.add(column+` LIKE $? ESCAPE '\'`, "%"+escapeLike(term)+"%")
		}
	}
}

// findable tells whether anything could contain the terms. It could not when one is too long, or has bytes that no name
// or word has.
func findable(terms []string) bool {
	return !slices.ContainsFunc(terms, func(term string) bool {
		return len(term) > maxTerm || searchText(term) != strings.ToLower(term)
	})
}

// maxTerm is the length in bytes from which a search term finds nothing. SQLite refuses patterns of 50,000.
const maxTerm = 1 << 10

func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}

// ---- packages

const packageColumns = "p.id, p.project_id, p.entry_id, p.type, p.name, p.version, p.version_key, p.traits, p.status, p.status_message, p.creator_id, p.pipeline_id, p.root_id, p.created_at, p.last_downloaded_at, p.download_count"

// A client may install what is default, hidden or deprecated, and has a file.
const (
	installable = "p.status IN (0, 1, 5)"
	withFiles   = "EXISTS (SELECT 1 FROM package_files f WHERE f.package_id = p.id AND f.status = 0)"
)

func packageFields(p *registry.Package) []any {
	return []any{&p.ID, &p.ProjectID, &p.EntryID, &p.Type, &p.Name, &p.Version, &p.VersionKey, &p.Traits, &p.Status, &p.StatusMessage, asID{&p.CreatorID}, asID{&p.PipelineID},
		asID{&p.RootID}, asTime{&p.CreatedAt}, asTime{&p.LastDownloadedAt}, &p.Downloads}
}

func scanPackage(row scanner) (*registry.Package, error) {
	p := &registry.Package{}
	return p, row.Scan(packageFields(p)...)
}

func (t *tx) HoldRoot(project int64) (root int64, err error) {
	query := "SELECT lineage FROM projects WHERE id = $1 AND hidden_at = 0 AND NOT condemned"
	if t.db.dialect == postgresDialect {
		query += " FOR SHARE" // a transfer or a mark changes the row, and so waits; in SQLite one writer waits for the other anyway
	}
	var lineage []int64
	if err := t.row(func(row scanner) error { return row.Scan(asLineage{&lineage}) }, query, project); err != nil {
		return 0, err
	}
	return lineage[0], nil
}

func (t *tx) CreatePackage(p *registry.Package) error {
	if p.CreatedAt.IsZero() {
		p.CreatedAt = now()
	}
	p.VersionKey = p.Key()
	return t.insert(&p.ID, `
		INSERT INTO packages (project_id, entry_id, type, name, version, status, status_message, creator_id, pipeline_id, root_id, created_at, last_downloaded_at, search,
			type_number, name_key, version_key, traits)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13, $14, $15, $16)`,
		p.ProjectID, p.EntryID, p.Type, p.Name, p.Version, p.Status, p.StatusMessage, nullable(p.CreatorID), nullable(p.PipelineID), nullable(p.RootID), millis(p.CreatedAt),
		packageSearch(p.Name, p.Words), p.Type.Number(), searchText(p.Name), p.VersionKey, p.Traits)
}

func (t *tx) SetWords(pkg int64, name, words string) error {
	return t.one("UPDATE packages SET search = $2 WHERE id = $1", pkg, packageSearch(name, words))
}

// maxWords is how many bytes of a package's words it is found by; every search looks at them.
const maxWords = 8 << 10

// packageSearch is what a package is found by.
func packageSearch(name, words string) string {
	return searchText(name + "\n" + words[:min(len(words), maxWords)])
}

// searchText is a text as it is searched.
func searchText(text string) string { return strings.ToLower(storable(text)) }

// storable is a text that both databases take. PostgreSQL stores neither NUL nor broken UTF-8, and SQLite's LIKE stops
// at a NUL; a publisher's description may hold both.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, " "), "\x00", " ")
}

func (t *tx) UpdatePackage(p *registry.Package) error {
	return t.one("UPDATE packages SET status = $2, status_message = $3 WHERE id = $1", p.ID, p.Status, p.StatusMessage)
}

func (t *tx) MarkForDestruction(pkg int64) error {
	if _, err := t.exec("DELETE FROM tags WHERE package_id = $1", pkg); err != nil {
		return err
	}
	return t.one("UPDATE packages SET status = 4 WHERE id = $1 AND status <> 4", pkg)
}

func (t *tx) MarkFile(file int64) error {
	return t.one("UPDATE package_files SET status = 4 WHERE id = $1 AND status <> 4", file)
}

// purgeBatch is how many rows a purge removes at once, so that publishers wait for it some milliseconds at most.
const purgeBatch = 250

// PurgeMarked removes files and counts first: a package goes when it has none left. Each statement looks at the oldest,
// so that what the ones before it have emptied is found without looking at all the others, and several nodes lock in one
// order.
func (t *tx) PurgeMarked() (more bool, err error) {
	const marked = "SELECT id FROM packages WHERE status = 4 ORDER BY id LIMIT $1"
	for _, statement := range []string{
		"DELETE FROM package_files WHERE id IN (SELECT id FROM package_files WHERE status = 4 ORDER BY id LIMIT $1)",
		"DELETE FROM package_files WHERE id IN (SELECT id FROM package_files WHERE package_id IN (" + marked + ") ORDER BY package_id, id LIMIT $1)",
		`DELETE FROM downloads WHERE (package_id, day, file_id) IN (
			SELECT package_id, day, file_id FROM downloads WHERE package_id IN (` + marked + ") ORDER BY package_id, day, file_id LIMIT $1)",
		`DELETE FROM packages WHERE id IN (SELECT p.id FROM (` + marked + `) p
			WHERE NOT EXISTS (SELECT 1 FROM package_files f WHERE f.package_id = p.id)
			AND NOT EXISTS (SELECT 1 FROM downloads d WHERE d.package_id = p.id))`,
	} {
		result, err := t.exec(statement, purgeBatch)
		if err != nil {
			return false, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return false, err
		}
		more = more || n == purgeBatch
	}
	return more, nil
}

func (t *tx) Package(id int64) (*registry.Package, error) {
	return get(t, scanPackage, "SELECT "+packageColumns+" FROM packages p WHERE p.id = $1", id)
}

func (t *tx) PackageByVersion(entry int64, version string) (*registry.Package, error) {
	return get(t, scanPackage, "SELECT "+packageColumns+" FROM packages p WHERE p.entry_id = $1 AND p.version_key = $2 AND "+installable, entry, version)
}

func (t *tx) Packages(entries []int64) ([]*registry.Package, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	set, args := in(nil, entries)
	return list(t, scanPackage, "SELECT "+packageColumns+" FROM packages p WHERE p.entry_id IN "+set+" AND "+installable+" AND "+withFiles+" ORDER BY p.id", args...)
}

func (t *tx) Versions(entry int64) ([]*registry.Package, error) {
	return list(t, scanPackage, "SELECT "+packageColumns+" FROM packages p WHERE p.entry_id = $1 AND p.status <> 4 ORDER BY p.id", entry)
}

func (t *tx) CountVersions(entry int64, statuses []registry.Status) (count int, err error) {
	err = t.row(func(row scanner) error { return row.Scan(&count) }, "SELECT COUNT(*) FROM packages p WHERE p.entry_id = $1 AND p.status IN "+numbers(statuses), entry)
	return count, err
}

func (t *tx) CreateFile(f *registry.File) error {
	if err := t.holdContent(f.SHA256); err != nil {
		return err
	}
	f.CreatedAt = now()
	return t.insert(&f.ID, `
		INSERT INTO package_files (package_id, name, size, md5, sha1, sha256, sha512, created_at, facts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		f.PackageID, f.Name, f.Size, f.MD5, f.SHA1, f.SHA256, f.SHA512, millis(f.CreatedAt), f.Facts)
}

const fileColumns = "f.id, f.package_id, f.name, f.status, f.size, f.md5, f.sha1, f.sha256, f.sha512, f.created_at, f.download_count, f.facts"

func scanFile(row scanner) (*registry.File, error) {
	f := &registry.File{}
	return f, row.Scan(fileFields(f)...)
}

func fileFields(f *registry.File) []any {
	return []any{&f.ID, &f.PackageID, &f.Name, &f.Status, &f.Size, &f.MD5, &f.SHA1, &f.SHA256, &f.SHA512, asTime{&f.CreatedAt}, &f.Downloads, &f.Facts}
}

func (t *tx) Files(pkg int64) ([]*registry.File, error) {
	return list(t, scanFile, "SELECT "+fileColumns+" FROM package_files f WHERE f.package_id = $1 AND f.status = 0 ORDER BY f.id", pkg)
}

func (t *tx) FilesOf(packages []int64) ([]*registry.File, error) {
	if len(packages) == 0 {
		return nil, nil
	}
	set, args := in(nil, packages)
	return list(t, scanFile, "SELECT "+fileColumns+" FROM package_files f WHERE f.package_id IN "+set+" AND f.status = 0 ORDER BY f.id", args...)
}

func (t *tx) FileByName(pkg int64, name string) (*registry.File, error) {
	return get(t, scanFile, "SELECT "+fileColumns+" FROM package_files f WHERE f.package_id = $1 AND f.name = $2 AND f.status = 0", pkg, name)
}

func (t *tx) EachFile(entries []int64, f func(*registry.Package, *registry.File) error) error {
	set, args := in(nil, entries)
	return t.each(func(row scanner) error {
		p, one := &registry.Package{}, &registry.File{}
		if err := row.Scan(append(packageFields(p), fileFields(one)...)...); err != nil {
			return err
		}
		return f(p, one)
	}, "SELECT "+packageColumns+", "+fileColumns+" FROM packages p JOIN package_files f ON f.package_id = p.id WHERE p.entry_id IN "+set+
		" AND f.status = 0 AND "+installable+" ORDER BY f.id", args...)
}

func (t *tx) File(id int64) (*registry.File, error) {
	return get(t, scanFile, "SELECT "+fileColumns+" FROM package_files f WHERE f.id = $1 AND f.status = 0", id)
}

func (t *tx) CreateSymbol(s *registry.Symbol) error {
	if err := t.holdContent(s.SHA256); err != nil {
		return err
	}
	return t.insert(&s.ID, "INSERT INTO symbols (file_id, name, signature, checksum, size, sha256) VALUES ($1, $2, $3, $4, $5, $6)",
		s.FileID, s.Name, s.Signature, s.Checksum, s.Size, s.SHA256)
}

func (t *tx) Symbols(project int64, group *registry.Group, signature, name string, checksums []string) ([]*registry.ProjectSymbol, error) {
	if len(checksums) == 0 || storable(signature) != signature || storable(name) != name {
		return nil, nil
	}
	c := &conditions{}
	c.add("s.signature = $?", signature)
	c.add("s.name = $?", name)
	c.addIn("s.checksum", checksums)
	if group != nil {
		c.add("j.lineage LIKE $?", lineageText(group.Lineage)+"%")
	} else {
		c.add("j.id = $?", project)
	}
	return list(t, func(row scanner) (*registry.ProjectSymbol, error) {
		s := &registry.ProjectSymbol{}
		return s, row.Scan(&s.ID, &s.FileID, &s.Name, &s.Signature, &s.Checksum, &s.Size, &s.SHA256, &s.ProjectID)
	}, "SELECT s.id, s.file_id, s.name, s.signature, s.checksum, s.size, s.sha256, p.project_id FROM symbols s JOIN package_files f ON f.id = s.file_id "+
		"JOIN packages p ON p.id = f.package_id JOIN projects j ON j.id = p.project_id WHERE "+c.String()+" AND f.status = 0 AND "+installable+" ORDER BY s.id DESC LIMIT 100", c.args...)
}

// ---- fragments

func (t *tx) SetFragment(pkg int64, variant string, body []byte) error {
	return t.one(`INSERT INTO fragments (package_id, variant, body) VALUES ($1, $2, $3)
		ON CONFLICT (package_id, variant) DO UPDATE SET body = excluded.body`, pkg, variant, body)
}

// fragmentColumns are what documents show of a package. Of thousands of versions each further column takes its time.
const fragmentColumns = "SELECT p.id, p.project_id, p.name, p.version, p.status, p.status_message, p.creator_id, p.created_at, p.download_count, f.body " +
	"FROM packages p JOIN fragments f ON f.package_id = p.id AND f.variant = $1 WHERE "

func (t *tx) Fragments(packages []int64, variant string, f func(*registry.Package, []byte) error) error {
	if len(packages) == 0 {
		return nil
	}
	set, args := in([]any{variant}, packages)
	return t.fragments(f, fragmentColumns+"p.id IN "+set+" ORDER BY p.id", args, len(packages))
}

func (t *tx) EachFragment(entries []int64, variant string, f func(*registry.Package, []byte) error) error {
	if len(entries) == 0 {
		return nil
	}
	query, args := eachFragment(entries, variant)
	return t.fragments(f, query, args, len(entries))
}

// eachFragment is the query of EachFragment. It asks for the order in which SQLite comes by the packages, as else it would sort all
// bodies: that of an index, for one entry, and of the ids found, for several. Of one entry both are the same, since none of its
// packages is older than one before.
func eachFragment(entries []int64, variant string) (query string, args []any) {
	set, args := in([]any{variant}, entries)
	where := "p.entry_id IN " + set + " AND " + installable + " AND " + withFiles
	if len(entries) == 1 {
		return fragmentColumns + where + " ORDER BY p.created_at, p.id", args
	}
	return fragmentColumns + "p.id IN (SELECT MAX(p.id) FROM packages p WHERE " + where + " GROUP BY p.version_key) ORDER BY p.id", args
}

// fragments runs a query with a list of n ids.
func (t *tx) fragments(f func(*registry.Package, []byte) error, query string, args []any, n int) error {
	var p registry.Package
	var body sql.RawBytes
	fields := []any{&p.ID, &p.ProjectID, &p.Name, &p.Version, &p.Status, &p.StatusMessage, asID{&p.CreatorID}, asTime{&p.CreatedAt}, &p.Downloads, &body}
	return t.eachIn(n, func(row scanner) error {
		if err := row.Scan(fields...); err != nil {
			return err
		}
		one := p
		return f(&one, body)
	}, query, args...)
}

// ---- tags

func (t *tx) SetTag(tag *registry.Tag) error {
	tag.UpdatedAt = now()
	return t.row(func(row scanner) error { return row.Scan(&tag.ID, asTime{&tag.CreatedAt}) }, `
		INSERT INTO tags (entry_id, name, package_id, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)
		ON CONFLICT (entry_id, name) DO UPDATE SET package_id = excluded.package_id, updated_at = excluded.updated_at
		RETURNING id, created_at`, tag.EntryID, tag.Name, tag.PackageID, millis(tag.UpdatedAt))
}

func (t *tx) DeleteTag(entry int64, name string) error {
	return t.one("DELETE FROM tags WHERE entry_id = $1 AND name = $2", entry, name)
}

func (t *tx) Tags(entries []int64) ([]*registry.Tag, error) { return t.tags("t.entry_id", entries) }

func (t *tx) TagsOf(packages []int64) ([]*registry.Tag, error) {
	return t.tags("t.package_id", packages)
}

func (t *tx) tags(column string, ids []int64) ([]*registry.Tag, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	set, args := in(nil, ids)
	return listIn(t, len(ids), func(row scanner) (*registry.Tag, error) {
		tag := &registry.Tag{}
		return tag, row.Scan(&tag.ID, &tag.EntryID, &tag.Name, &tag.PackageID, &tag.Version, asTime{&tag.CreatedAt}, asTime{&tag.UpdatedAt})
	}, "SELECT t.id, t.entry_id, t.name, t.package_id, p.version, t.created_at, t.updated_at FROM tags t JOIN packages p ON p.id = t.package_id WHERE "+column+" IN "+set+
		" ORDER BY t.updated_at, t.id", args...)
}
