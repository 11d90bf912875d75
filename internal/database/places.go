package database

import (
	"fmt"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// Where groups and projects are, and how they go.

// HoldPlaces bumps the access revision, whose row is the lock under which the tree changes.
func (t *tx) HoldPlaces() error { return t.changedAccess(nil) }

// openGroup is a namespace in which something may be made.
func (t *tx) openGroup(id int64) (*registry.Group, error) {
	g, err := t.Group(id)
	if err == nil && g.Hidden() {
		err = registry.Errorf(registry.NotFound, "404 Not found")
	}
	return g, err
}

// takePath leads a path to a namespace or a project. What was there before and moved is not found by it any more, nor
// what was below that.
func (t *tx) takePath(path string, namespace, project int64) error {
	if err := t.freePath(path); err != nil {
		return err
	}
	return t.one("INSERT INTO routes (path, namespace_id, project_id) VALUES ($1, $2, $3)", strings.ToLower(path), nullable(namespace), nullable(project))
}

func (t *tx) freePath(path string) error {
	path = strings.ToLower(path)
	_, err := t.exec(`DELETE FROM routes WHERE moved AND (path = $1 OR path LIKE $2 ESCAPE '\')`, path, escapeLike(path)+"/%")
	return err
}

func (t *tx) GroupsByID(ids []int64) ([]*registry.Group, error) {
	set, args := in(nil, ids)
	return list(t, scanGroup, "SELECT "+groupColumns+" FROM namespaces n WHERE n.id IN "+set+" AND NOT n.condemned ORDER BY n.id", args...)
}

// known restricts to namespaces or projects x that the viewer may know of: the same rule as access.View.Knows, in SQL.
// member makes the condition of a membership of at least a level.
func (c *conditions) known(x string, v registry.Viewer, member func(user int64, least registry.Level) string) {
	c.add("NOT " + x + ".condemned")
	if v.All {
		return
	}
	or := []string{x + ".visibility = 'public'"}
	if v.UserID == 0 {
		c.add(x + ".hidden_at = 0")
		c.add(or[0])
		return
	}
	if !v.External {
		or = append(or, x+".visibility = 'internal'")
	}
	or = append(or, member(v.UserID, registry.Guest))
	c.add(anyOf([]string{x + ".hidden_at = 0 AND " + anyOf(or), member(v.UserID, registry.Owner)}))
}

// holds restricts to columns of any case that hold a text.
func (c *conditions) holds(text string, columns ...string) {
	or := make([]string, len(columns))
	for i, column := range columns {
		or[i] = c.text("LOWER("+column+`) LIKE LOWER($?) ESCAPE '\'`, "%"+escapeLike(text)+"%")
	}
	c.add(anyOf(or))
}

// part is page without the total, where nobody asks for it.
func part[T any](t *tx, noTotal bool, scan func(scanner) (*T, error), columns, tables string, c *conditions, order string, limit, offset int) ([]*T, int, error) {
	if !noTotal {
		return page(t, scan, columns, tables, c, order, limit, offset)
	}
	n := len(c.args)
	list, err := list(t, scan, fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s LIMIT $%d OFFSET $%d", columns, tables, c, order, n+1, n+2), append(c.args, limit, offset)...)
	return list, 0, err
}

func direction(descending bool) string {
	if descending {
		return " DESC"
	}
	return " ASC"
}

func (t *tx) Groups(f registry.GroupFilter) ([]*registry.Group, int, error) {
	c := conditions{}
	member := func(user int64, least registry.Level) string { return c.groupMember("n", user, least) }
	c.add("n.owner_id IS NULL")
	c.known("n", f.Viewer, member)
	switch {
	case f.Parent != nil && f.Direct:
		c.add("n.parent_id = $?", f.Parent.ID)
	case f.Parent != nil:
		c.add("n.lineage LIKE $?", lineageText(f.Parent.Lineage)+"%")
		c.add("n.id <> $?", f.Parent.ID)
	case f.Direct:
		c.add("n.parent_id IS NULL")
	}
	if f.Search != "" {
		c.holds(f.Search, "n.name", "n.path")
	}
	if f.Visibility != "" {
		c.add("n.visibility = $?", f.Visibility)
	}
	if f.Level > 0 {
		c.add(member(f.Viewer.UserID, f.Level))
	}
	if len(f.Skip) > 0 {
		var set string
		set, c.args = in(c.args, f.Skip)
		c.add("n.id NOT IN " + set)
	}
	if f.After != nil {
		than := ">"
		if f.Descending {
			than = "<"
		}
		c.add("(LOWER(n.name) "+than+" LOWER($?) OR (LOWER(n.name) = LOWER($?) AND n.id "+than+" $?))", f.After.Name, f.After.Name, f.After.ID)
	}
	column := map[registry.GroupOrder]string{registry.GroupsByName: "LOWER(n.name)", registry.GroupsByPath: "LOWER(n.path)", registry.GroupsByID: "n.id"}[f.Order]
	order := column + direction(f.Descending) + ", n.id" + direction(f.Descending)
	return part(t, f.NoTotal, scanGroup, groupColumns, "namespaces n", &c, order, f.Limit, f.Offset)
}

func (t *tx) Projects(f registry.ProjectFilter) ([]*registry.Project, int, error) {
	c := conditions{}
	c.known("p", f.Viewer, c.projectMember)
	switch {
	case f.Namespace != nil && f.Direct:
		c.add("p.namespace_id = $?", f.Namespace.ID)
	case f.Namespace != nil:
		c.add("p.lineage LIKE $?", lineageText(f.Namespace.Lineage)+"%")
	}
	if f.Search != "" {
		c.holds(f.Search, "p.name", "p.path", "p.description")
	}
	if f.Visibility != "" {
		c.add("p.visibility = $?", f.Visibility)
	}
	if f.Archived != nil {
		c.add("p.archived = $?", *f.Archived)
	}
	if f.Level > 0 {
		c.add(c.projectMember(f.Viewer.UserID, f.Level))
	}
	if f.AfterID != 0 {
		c.add("p.id > $?", f.AfterID)
	}
	if f.BeforeID != 0 {
		c.add("p.id < $?", f.BeforeID)
	}
	column := map[registry.ProjectOrder]string{registry.ProjectsByID: "p.id", registry.ProjectsByName: "LOWER(p.name)", registry.ProjectsByPath: "LOWER(p.path)",
		registry.ProjectsByCreation: "p.created_at", registry.ProjectsByUpdate: "p.updated_at", registry.ProjectsByActivity: "p.updated_at"}[f.Order]
	order := column + direction(f.Descending) + ", p.id" + direction(f.Descending)
	return part(t, f.NoTotal, scanProject, projectColumns, "projects p", &c, order, f.Limit, f.Offset)
}

// ---- sizes

func (t *tx) sizes(query string, ids []int64) (map[int64]int64, error) {
	set, args := in(nil, ids)
	sizes := map[int64]int64{}
	err := t.each(func(row scanner) error {
		var id, size int64
		err := row.Scan(&id, &size)
		sizes[id] = size
		return err
	}, strings.Replace(query, "$?", set, 1), args...)
	return sizes, err
}

func (t *tx) ProjectSizes(ids []int64) (map[int64]int64, error) {
	return t.sizes(`SELECT k.project_id, CAST(SUM(f.size) AS BIGINT) FROM packages k JOIN package_files f ON f.package_id = k.id
		WHERE k.project_id IN $? AND k.status <> 4 AND f.status <> 4 GROUP BY k.project_id`, ids)
}

func (t *tx) GroupSizes(ids []int64) (map[int64]int64, error) {
	return t.sizes(`SELECT n.id, CAST(SUM(f.size) AS BIGINT) FROM namespaces n JOIN projects p ON p.lineage LIKE n.lineage || '%'
		JOIN packages k ON k.project_id = p.id JOIN package_files f ON f.package_id = k.id
		WHERE n.id IN $? AND k.status <> 4 AND f.status <> 4 GROUP BY n.id`, ids)
}

func (t *tx) EachProjectBelow(groups []int64, yield func(group, project int64)) error {
	set, args := in(nil, groups)
	return t.each(func(row scanner) error {
		var group, project int64
		err := row.Scan(&group, &project)
		yield(group, project)
		return err
	}, "SELECT n.id, p.id FROM namespaces n JOIN projects p ON p.lineage LIKE n.lineage || '%' WHERE n.id IN "+set+" AND NOT p.condemned", args...)
}

// ---- changes

func (t *tx) SaveGroup(g *registry.Group) error {
	if err := t.HoldPlaces(); err != nil {
		return err
	}
	before, err := t.Group(g.ID)
	if err != nil {
		return err
	}
	above, prefix := []int64{}, ""
	if g.ParentID != 0 {
		parent, err := t.Group(g.ParentID)
		if err != nil {
			return err
		}
		above, prefix = parent.Lineage, parent.FullPath+"/"
	}
	g.FullPath, g.Lineage = prefix+g.Path, append(append([]int64{}, above...), g.ID)
	err = t.one("UPDATE namespaces SET parent_id = $2, path = $3, name = $4, description = $5, visibility = $6, marked_at = $7 WHERE id = $1",
		g.ID, nullable(g.ParentID), g.Path, g.Name, g.Description, g.Visibility, millis(g.MarkedAt))
	if err != nil {
		return err
	}
	from, to := lineageText(before.Lineage), lineageText(g.Lineage)
	if g.FullPath != before.FullPath || from != to {
		for _, table := range []string{"namespaces", "projects"} {
			// Paths are letters, digits and the like: a character is a byte.
			_, err := t.exec("UPDATE "+table+` SET full_path = CAST($1 AS TEXT) || SUBSTR(full_path, $2), lineage = CAST($3 AS TEXT) || SUBSTR(lineage, $4) WHERE lineage LIKE $5`,
				g.FullPath, len(before.FullPath)+1, to, len(from)+1, from+"%")
			if err != nil {
				return err
			}
		}
		if _, err := t.exec("UPDATE projects SET updated_at = $1 WHERE lineage LIKE $2", millis(now()), to+"%"); err != nil { // documents show their paths
			return err
		}
		if err := t.moveRoutes(before.FullPath, g.FullPath, to+"%", 0); err != nil {
			return err
		}
	}
	marked := !g.MarkedAt.Equal(before.MarkedAt)
	if marked || g.ParentID != before.ParentID {
		if err := t.hide(to+"%", 0); err != nil {
			return err
		}
	}
	return t.rerooted(before.Lineage[0], g.Lineage[0], before.FullPath, g.FullPath, marked, "p.lineage LIKE $?", to+"%")
}

func (t *tx) SaveProject(p *registry.Project) error {
	if err := t.HoldPlaces(); err != nil {
		return err
	}
	before, err := t.Project(p.ID)
	if err != nil {
		return err
	}
	namespace, err := t.Group(p.NamespaceID)
	if err != nil {
		return err
	}
	p.FullPath, p.Lineage, p.UpdatedAt = namespace.FullPath+"/"+p.Path, namespace.Lineage, now()
	err = t.one(`UPDATE projects SET namespace_id = $2, path = $3, full_path = $4, name = $5, description = $6, visibility = $7, registry_access = $8, archived = $9,
		lineage = $10, marked_at = $11, updated_at = $12 WHERE id = $1`,
		p.ID, p.NamespaceID, p.Path, p.FullPath, p.Name, p.Description, p.Visibility, p.RegistryAccess, p.Archived,
		lineageText(p.Lineage), millis(p.MarkedAt), millis(p.UpdatedAt))
	if err != nil {
		return err
	}
	if p.FullPath != before.FullPath {
		if err := t.moveRoutes(before.FullPath, p.FullPath, "", p.ID); err != nil {
			return err
		}
	}
	marked := !p.MarkedAt.Equal(before.MarkedAt)
	if marked || p.NamespaceID != before.NamespaceID {
		if err := t.hide("", p.ID); err != nil {
			return err
		}
	}
	return t.rerooted(before.RootID(), p.RootID(), before.FullPath, p.FullPath, marked, "p.id = $?", p.ID)
}

// moveRoutes leads the paths below to, which the rows have already, to what was below from: a project, or all whose
// lineage is like below. The paths that it had go on leading to it.
func (t *tx) moveRoutes(from, to, below string, project int64) error {
	if strings.EqualFold(from, to) {
		return nil
	}
	if err := t.freePath(to); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE routes SET moved = TRUE WHERE NOT moved
		AND (project_id IN (SELECT id FROM projects WHERE id = $1 OR lineage LIKE $2) OR namespace_id IN (SELECT id FROM namespaces WHERE lineage LIKE $2))`, project, below)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO routes (path, namespace_id, project_id)
		SELECT LOWER(full_path), id, CAST(NULL AS BIGINT) FROM namespaces WHERE lineage LIKE $2 AND NOT condemned
		UNION ALL SELECT LOWER(full_path), CAST(NULL AS BIGINT), id FROM projects WHERE (id = $1 OR lineage LIKE $2) AND NOT condemned`, project, below)
	return err
}

// rerooted brings claims and known names to where projects p are now. Their rows are changed already, so that who
// publishes there was waited for, or waits.
func (t *tx) rerooted(from, to int64, before, after string, marked bool, which string, arg any) error {
	was, is := rootPath(before), rootPath(after)
	if was != is {
		if err := t.keepNames(was, which, arg); err != nil {
			return err
		}
	}
	if was != is && from == to { // the top-level namespace itself has another path
		if _, err := t.exec("INSERT INTO former_names (root, type, name) SELECT CAST($2 AS TEXT), type, name FROM former_names WHERE root = $1 ON CONFLICT DO NOTHING", was, is); err != nil {
			return err
		}
	}
	switch {
	case from != to:
		return t.claim(to, is, which, arg)
	case marked || was != is:
		return t.claimAnew(to, is, which, arg)
	}
	return nil
}

// rootPath is the path of the top-level namespace of a full path, lower case.
func rootPath(fullPath string) string {
	root, _, _ := strings.Cut(strings.ToLower(fullPath), "/")
	return root
}

// scoped is what the names of npm below a top-level path are like.
func scoped(root string) string { return "@" + escapeLike(root) + "/%" }

// keepNames notes the names in projects p as such that were below a top-level path.
func (t *tx) keepNames(root, which string, arg any) error {
	c := conditions{}
	into := c.text("INSERT INTO former_names (root, type, name) SELECT CAST($? AS TEXT), e.type, e.name FROM entries e JOIN projects p ON p.id = e.project_id WHERE ", root)
	c.add(which, arg)
	_, err := t.exec(into+c.String()+" ON CONFLICT DO NOTHING", c.args...)
	return err
}

// claim moves the claims of projects p to another top-level namespace, and claims there what its name is the scope of.
func (t *tx) claim(root int64, path, which string, arg any) error {
	c := conditions{}
	set := c.text("UPDATE packages SET root_id = $?", root)
	c.add("project_id IN (SELECT p.id FROM projects p WHERE p.hidden_at = 0 AND "+which+")", arg)
	c.add("status <> 4")
	c.add(`(root_id IS NOT NULL OR (type = 'npm' AND LOWER(name) LIKE $? ESCAPE '\'))`, scoped(path))
	_, err := t.exec(set+" WHERE "+c.String(), c.args...)
	if registry.KindOf(err) == registry.Conflict {
		err = registry.ErrClaimed
	}
	if err != nil {
		return err
	}
	return t.ownNames(root, which, arg)
}

// ownNames returns ErrClaimed when projects p have names that only one project may have (see OwnName), and another project
// below a top-level namespace has one of them.
func (t *tx) ownNames(root int64, which string, arg any) error {
	c := conditions{}
	c.add("p.hidden_at = 0")
	c.add(which, arg)
	c.add("e.type = 'composer'")
	c.add("q.hidden_at = 0 AND NOT q.condemned")
	c.add("q.lineage LIKE $?", lineageText([]int64{root})+"%")
	c.add("q.id NOT IN (SELECT p.id FROM projects p WHERE "+which+")", arg)
	const has = "EXISTS (SELECT 1 FROM packages k WHERE k.entry_id = %s.id AND k.status <> 4)"
	c.add(fmt.Sprintf(has, "e"))
	c.add(fmt.Sprintf(has, "o"))
	var taken bool
	err := t.row(func(row scanner) error { return row.Scan(&taken) }, `SELECT EXISTS (SELECT 1 FROM projects p JOIN entries e ON e.project_id = p.id
		JOIN entries o ON o.type = e.type AND o.name = e.name JOIN projects q ON q.id = o.project_id WHERE `+c.String()+")", c.args...)
	if err == nil && taken {
		err = registry.ErrClaimed
	}
	return err
}

// claimAnew releases the claims of those of projects p that are hidden, and lets the others claim what their top-level
// namespace's name is the scope of, as far as nobody else has claimed it. Of two alike the newer one does: it is the one
// that is read where both are.
func (t *tx) claimAnew(root int64, path, which string, arg any) error {
	c := conditions{}
	c.add("root_id IS NOT NULL")
	c.add("project_id IN (SELECT p.id FROM projects p WHERE p.hidden_at <> 0 AND "+which+")", arg)
	if _, err := t.exec("UPDATE packages SET root_id = NULL WHERE "+c.String(), c.args...); err != nil {
		return err
	}
	if t.db.dialect == postgresDialect { // who publishes elsewhere below the namespace is waited for too
		_, err := t.exec("SELECT id FROM projects WHERE lineage LIKE $1 ORDER BY id FOR NO KEY UPDATE", lineageText([]int64{root})+"%")
		if err != nil {
			return err
		}
	}
	c = conditions{}
	set := c.text("UPDATE packages SET root_id = $?", root)
	c.add("p.hidden_at = 0")
	c.add(which, arg)
	c.add("k.status <> 4 AND k.root_id IS NULL AND k.type = 'npm'")
	c.add(`LOWER(k.name) LIKE $? ESCAPE '\'`, scoped(path))
	c.add(`NOT EXISTS (SELECT 1 FROM packages o WHERE o.root_id = $? AND o.type = k.type AND o.name = k.name AND o.version = k.version AND o.status <> 4)`, root)
	_, err := t.exec(set+" WHERE id IN (SELECT MAX(k.id) FROM projects p JOIN packages k ON k.project_id = p.id WHERE "+c.String()+" GROUP BY k.name, k.version)", c.args...)
	return err
}

// hide finds anew since when a project, or all whose lineage is like below, are hidden.
func (t *tx) hide(below string, project int64) error {
	const above = "(SELECT MIN(a.marked_at) FROM namespaces a WHERE a.marked_at <> 0 AND %[1]s.lineage LIKE a.lineage || '%%')"
	_, err := t.exec("UPDATE namespaces SET hidden_at = COALESCE("+fmt.Sprintf(above, "namespaces")+", 0) WHERE lineage LIKE $1", below)
	if err != nil {
		return err
	}
	_, err = t.exec("UPDATE projects SET hidden_at = COALESCE("+fmt.Sprintf(above, "projects")+", marked_at) WHERE id = $1 OR lineage LIKE $2", project, below)
	return err
}

// moreOpen are the visibilities beyond one, as a list in SQL.
var moreOpen = map[registry.Visibility]string{registry.Private: "('internal', 'public')", registry.Internal: "('public')", registry.Public: "(NULL)"}

func (t *tx) MoreOpen(g *registry.Group, v registry.Visibility) (groups, projects bool, err error) {
	err = t.row(func(row scanner) error { return row.Scan(&groups, &projects) }, `
		SELECT EXISTS (SELECT 1 FROM namespaces WHERE lineage LIKE $1 AND id <> $2 AND NOT condemned AND visibility IN `+moreOpen[v]+`),
			EXISTS (SELECT 1 FROM projects WHERE lineage LIKE $1 AND NOT condemned AND visibility IN `+moreOpen[v]+")", lineageText(g.Lineage)+"%", g.ID)
	return groups, projects, err
}

func (t *tx) Narrow(g *registry.Group) error {
	for _, table := range []string{"namespaces", "projects"} {
		if _, err := t.exec("UPDATE "+table+" SET visibility = $1 WHERE lineage LIKE $2 AND visibility IN "+moreOpen[g.Visibility], g.Visibility, lineageText(g.Lineage)+"%"); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) Depth(g *registry.Group) (levels int, err error) {
	err = t.row(func(row scanner) error { return row.Scan(&levels) },
		"SELECT COALESCE(MAX(LENGTH(lineage) - LENGTH(REPLACE(lineage, '/', ''))), 0) FROM namespaces WHERE lineage LIKE $1 AND NOT condemned", lineageText(g.Lineage)+"%")
	return max(levels-len(g.Lineage)-1, 0), err // /1/7/ has one slash more than ids
}

// ---- removal

func (t *tx) DuePlaces(before time.Time) (groups []*registry.Group, projects []*registry.Project, err error) {
	const due = ".marked_at <> 0 AND %[1]s.marked_at <= $1 AND NOT %[1]s.condemned ORDER BY %[1]s.id"
	if groups, err = list(t, scanGroup, "SELECT "+groupColumns+" FROM namespaces n WHERE n"+fmt.Sprintf(due, "n"), millis(before)); err != nil {
		return nil, nil, err
	}
	projects, err = list(t, scanProject, "SELECT "+projectColumns+" FROM projects p WHERE p"+fmt.Sprintf(due, "p"), millis(before))
	return groups, projects, err
}

func (t *tx) Condemn(group, project int64) error {
	if err := t.HoldPlaces(); err != nil {
		return err
	}
	if project != 0 {
		p, err := t.Project(project)
		if err != nil {
			return err
		}
		if err := t.keepNames(rootPath(p.FullPath), "p.id = $?", project); err != nil {
			return err
		}
		if err := t.endBots("k.project_id = $1", project); err != nil {
			return err
		}
		if _, err := t.exec("DELETE FROM routes WHERE project_id = $1", project); err != nil {
			return err
		}
		return t.one("UPDATE projects SET condemned = TRUE WHERE id = $1", project)
	}
	g, err := t.Group(group)
	if err != nil {
		return err
	}
	below := lineageText(g.Lineage) + "%"
	root := rootPath(g.FullPath)
	if err := t.keepNames(root, "p.lineage LIKE $?", below); err != nil {
		return err
	}
	if g.ParentID == 0 && !g.MarkedAt.IsZero() { // they were kept under the path that it had before it was marked
		if _, err := t.exec("DELETE FROM former_names WHERE root = $1", root); err != nil {
			return err
		}
	}
	err = t.endBots("k.project_id IN (SELECT id FROM projects WHERE lineage LIKE $1) OR k.namespace_id IN (SELECT id FROM namespaces WHERE lineage LIKE $1)", below)
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"UPDATE namespaces SET condemned = TRUE WHERE lineage LIKE $1",
		"UPDATE projects SET condemned = TRUE WHERE lineage LIKE $1",
		"DELETE FROM routes WHERE namespace_id IN (SELECT id FROM namespaces WHERE lineage LIKE $1)",
		"DELETE FROM routes WHERE project_id IN (SELECT id FROM projects WHERE lineage LIKE $1)",
	} {
		if _, err := t.exec(statement, below); err != nil {
			return err
		}
	}
	return nil
}

// endBots removes the bots of places, with their tokens and memberships. which is of tokens k.
func (t *tx) endBots(which string, arg any) error {
	var bots []int64
	err := t.each(func(row scanner) error {
		var id int64
		err := row.Scan(&id)
		bots = append(bots, id)
		return err
	}, "SELECT DISTINCT k.user_id FROM tokens k WHERE k.kind = 'resource' AND ("+which+")", arg)
	if err != nil {
		return err
	}
	for _, id := range bots {
		if err := t.DeleteUser(id); err != nil {
			return err
		}
	}
	return nil
}

// RemoveCondemned does the first thing that there is to do: packages, what else a project has, projects, and namespaces
// from the bottom up.
func (t *tx) RemoveCondemned() (more bool, err error) {
	const ofProject = " WHERE id IN (SELECT x.id FROM projects p JOIN %[1]s x ON x.project_id = p.id WHERE p.condemned LIMIT $1)"
	for _, step := range []struct {
		statement string
		access    bool
	}{
		{"DELETE FROM tags WHERE id IN (SELECT t.id FROM projects p JOIN entries e ON e.project_id = p.id JOIN tags t ON t.entry_id = e.id WHERE p.condemned LIMIT $1)", false},
		{"UPDATE packages SET status = 4 WHERE id IN (SELECT k.id FROM projects p JOIN packages k ON k.project_id = p.id WHERE p.condemned AND k.status <> 4 LIMIT $1)", false},
		{"", false}, // packages that are marked
		{"DELETE FROM entries" + fmt.Sprintf(ofProject, "entries"), false},
		{"DELETE FROM tokens" + fmt.Sprintf(ofProject, "tokens"), true},
		{"DELETE FROM pipelines" + fmt.Sprintf(ofProject, "pipelines"), false},
		{"DELETE FROM projects WHERE id IN (SELECT id FROM projects WHERE condemned LIMIT $1)", true},
		{"DELETE FROM tokens WHERE id IN (SELECT k.id FROM namespaces n JOIN tokens k ON k.namespace_id = n.id WHERE n.condemned LIMIT $1)", true},
		{`DELETE FROM namespaces WHERE id IN (SELECT n.id FROM namespaces n WHERE n.condemned AND NOT EXISTS (SELECT 1 FROM namespaces b WHERE b.parent_id = n.id)
			AND NOT EXISTS (SELECT 1 FROM projects p WHERE p.namespace_id = n.id) LIMIT $1)`, true},
	} {
		if step.statement == "" {
			left := false
			err := t.row(func(row scanner) error { return row.Scan(&left) },
				"SELECT EXISTS (SELECT 1 FROM projects p JOIN packages k ON k.project_id = p.id WHERE p.condemned)")
			if err == nil && left {
				_, err = t.PurgeMarked()
			}
			if err != nil || left {
				return left, err
			}
			continue
		}
		result, err := t.exec(step.statement, purgeBatch)
		if err != nil {
			return false, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return false, err
		}
		if n > 0 && step.access {
			err = t.changedAccess(nil)
		}
		if n > 0 || err != nil {
			return true, err
		}
	}
	return false, nil
}
