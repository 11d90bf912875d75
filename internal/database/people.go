package database

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// ---- users

func (t *tx) UpdateUser(u *registry.User) error {
	before, err := t.User(u.ID)
	if err != nil {
		return err
	}
	err = t.one(`
		UPDATE users SET username = $2, username_key = $3, name = $4, name_key = $5, email = $6, email_key = $7, password_hash = $8,
			admin = $9, external = $10, state = $11, language = $12, theme = $13, temporary = $14 WHERE id = $1`,
		u.ID, u.Username, strings.ToLower(u.Username), u.Name, strings.ToLower(u.Name), u.Email, emailKey(u.Email), u.PasswordHash, u.Admin, u.External, u.State,
		u.Language, u.Theme, u.Temporary)
	if err == nil && (u.Username != before.Username || u.Name != before.Name) {
		err = t.renameNamespace(u)
	}
	return t.changedAccess(err)
}

// renameNamespace lets the namespace of a user be called like the user.
func (t *tx) renameNamespace(u *registry.User) error {
	g, err := t.Group(u.NamespaceID)
	if err != nil {
		return err
	}
	g.Name, g.Path = u.Name, u.Username
	return t.SaveGroup(g)
}

func (t *tx) DeleteUser(id int64) error {
	u, err := t.User(id)
	if err != nil {
		return err
	}
	if err := t.Condemn(u.NamespaceID, 0); err != nil {
		return err
	}
	for _, statement := range []string{
		"UPDATE namespaces SET owner_id = NULL WHERE owner_id = $1", // its rows go bit by bit
		"UPDATE projects SET creator_id = NULL WHERE creator_id = $1",
	} {
		if _, err := t.exec(statement, id); err != nil {
			return err
		}
	}
	return t.changedAccess(t.one("DELETE FROM users WHERE id = $1", id))
}

// owner is the condition that a member m, whose user is u, owns a place and can come in. Bots own nothing, and who
// is deactivated comes in by signing in.
const owner = "m.level = 50 AND NOT u.bot AND u.state IN ('', 'deactivated')"

func (t *tx) OwnedAlone(user int64) ([]*registry.Group, error) {
	c := conditions{parts: []string{"NOT n.condemned"}}
	c.add("EXISTS (SELECT 1 FROM members m WHERE m.namespace_id = n.id AND m.level = 50 AND m.user_id = $?)", user)
	c.add(`NOT EXISTS (SELECT 1 FROM members m JOIN users u ON u.id = m.user_id JOIN namespaces a ON a.id = m.namespace_id
		WHERE n.lineage LIKE a.lineage || '%' AND m.user_id <> $? AND `+owner+" AND (m.expires_at = 0 OR m.expires_at > $?))", user, millis(now()))
	groups, err := list(t, scanGroup, "SELECT "+groupColumns+" FROM namespaces n WHERE "+c.String()+" ORDER BY LENGTH(n.lineage), n.id", c.args...)
	var top []*registry.Group
	for _, g := range groups {
		if !slices.ContainsFunc(top, func(above *registry.Group) bool { return slices.Contains(g.Lineage, above.ID) }) {
			top = append(top, g)
		}
	}
	return top, err
}

func (t *tx) HasPackages(g *registry.Group) (bool, error) {
	return t.exists(`SELECT 1 FROM packages k JOIN projects p ON p.id = k.project_id WHERE k.status <> 4 AND NOT p.condemned AND p.lineage LIKE $1`, lineageText(g.Lineage)+"%")
}

func (t *tx) HasAdmin() (bool, error) {
	return t.exists("SELECT 1 FROM users WHERE admin AND NOT bot AND state IN ('', 'deactivated')")
}

// exists tells whether a query, of any text, has a row.
func (t *tx) exists(query string, args ...any) (found bool, err error) {
	err = t.each(func(row scanner) error { return row.Scan(&found) }, "SELECT EXISTS ("+query+")", args...)
	return found, err
}

func (t *tx) Users(f registry.UserFilter) (users []*registry.User, total int, err error) {
	c := conditions{parts: []string{"TRUE"}}
	if len(f.IDs) > 0 {
		c.in("u.id", f.IDs)
	}
	if f.Username != "" {
		c.add("u.username_key = $?", strings.ToLower(f.Username))
	}
	searched := []string{"u.username_key", "u.name_key"}
	if f.ByEmail {
		searched = append(searched, "u.email_key")
	}
	c.contains(f.Search, searched...)
	if f.State != nil {
		c.add("u.state = $?", *f.State)
	}
	if f.NotState != nil {
		c.add("u.state <> $?", *f.NotState)
	}
	c.flag("u.external", f.External)
	c.flag("u.bot", f.Bot)
	c.flag("u.admin", f.Admin)
	c.between("u.created_at", f.CreatedAfter, f.CreatedBefore)
	if f.After != 0 && f.Descending {
		c.add("u.id < $?", f.After)
	} else if f.After != 0 {
		c.add("u.id > $?", f.After)
	}
	columns := map[registry.UserOrder]string{registry.ByUsername: "u.username_key", registry.ByUserName: "u.name_key", registry.ByUserCreation: "u.created_at"}
	return part(t, f.NoTotal, scanUser, userColumns, userTables, &c, orderBy(columns[f.Order], "u.id", f.Descending), f.Limit, f.Offset)
}

// ---- members

func (t *tx) CreateMember(m *registry.Member) error {
	m.CreatedAt = now()
	_, err := t.exec("DELETE FROM members WHERE user_id = $1 AND (namespace_id = $2 OR project_id = $3) AND expires_at <> 0 AND expires_at <= $4",
		m.UserID, nullable(m.GroupID), nullable(m.ProjectID), millis(m.CreatedAt))
	if err != nil {
		return err
	}
	return t.changedAccess(t.one(`
		INSERT INTO members (user_id, namespace_id, project_id, level, expires_at, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		m.UserID, nullable(m.GroupID), nullable(m.ProjectID), m.Level, millis(m.ExpiresAt), millis(m.CreatedAt)))
}

func (t *tx) UpdateMember(m *registry.Member) error {
	return t.changedAccess(t.one("UPDATE members SET level = $4, expires_at = $5 WHERE user_id = $1 AND (namespace_id = $2 OR project_id = $3)",
		m.UserID, nullable(m.GroupID), nullable(m.ProjectID), m.Level, millis(m.ExpiresAt)))
}

func (t *tx) DeleteMember(m *registry.Member) error {
	return t.changedAccess(t.one("DELETE FROM members WHERE user_id = $1 AND (namespace_id = $2 OR project_id = $3)",
		m.UserID, nullable(m.GroupID), nullable(m.ProjectID)))
}

func (t *tx) DeleteMembersBelow(user int64, lineage []int64) error {
	_, err := t.exec(`DELETE FROM members WHERE user_id = $1
		AND (namespace_id IN (SELECT n.id FROM namespaces n WHERE n.lineage LIKE $2 AND n.id <> $3) OR project_id IN (SELECT p.id FROM projects p WHERE p.lineage LIKE $2))`,
		user, lineageText(lineage)+"%", lineage[len(lineage)-1])
	return t.changedAccess(err)
}

// PageMembers implements [registry.Tx]. The owner of a personal namespace above a project is one of its members.
func (t *tx) PageMembers(f registry.MemberFilter) ([]*registry.Member, int, error) {
	c := &conditions{args: []any{nullable(f.GroupID), nullable(f.ProjectID), millis(now())}}
	var above string
	above, c.args = in(c.args, f.Above)
	tables := `(SELECT m.*, ROW_NUMBER() OVER (PARTITION BY m.user_id ORDER BY m.level DESC, m.project_id IS NULL, m.namespace_id DESC) AS place FROM (
			SELECT ` + memberColumns + ` FROM members WHERE (namespace_id = $1 OR project_id = $2 OR namespace_id IN ` + above + `) AND (expires_at = 0 OR expires_at > $3)
			UNION ALL
			SELECT owner_id, id, NULL, 50, 0, created_at FROM namespaces WHERE owner_id IS NOT NULL AND id IN ` + above + `
		) m) m JOIN users u ON u.id = m.user_id`
	c.add("m.place = 1")
	if len(f.UserIDs) > 0 {
		c.in("m.user_id", f.UserIDs)
	}
	if len(f.SkipUsers) > 0 {
		c.in("m.user_id NOT", f.SkipUsers)
	}
	c.contains(f.Search, "u.username_key", "u.name_key")
	return page(t, scanMember, "m."+strings.ReplaceAll(memberColumns, ", ", ", m."), tables, c, "m.user_id", f.Limit, f.Offset)
}

func (t *tx) HasOwner(lineage []int64) (bool, error) {
	c := conditions{}
	c.in("m.namespace_id", lineage)
	return t.exists("SELECT 1 FROM members m JOIN users u ON u.id = m.user_id WHERE m.expires_at = 0 AND "+owner+" AND "+c.String(), c.args...)
}

func (t *tx) Memberships(f registry.MembershipFilter) ([]*registry.Membership, int, error) {
	c := &conditions{parts: []string{"NOT COALESCE(n.condemned, p.condemned)"}}
	c.add("m.user_id = $? AND (m.expires_at = 0 OR m.expires_at > $?)", f.UserID, millis(now()))
	if !f.Groups {
		c.add("m.namespace_id IS NULL")
	}
	if !f.Projects {
		c.add("m.project_id IS NULL")
	}
	return page(t, func(row scanner) (*registry.Membership, error) {
		m := &registry.Membership{}
		return m, row.Scan(&m.UserID, asID{&m.GroupID}, asID{&m.ProjectID}, &m.Level, asTime{&m.ExpiresAt}, asTime{&m.CreatedAt}, &m.Name)
	}, "m."+strings.ReplaceAll(memberColumns, ", ", ", m.")+", COALESCE(n.name, p.name)",
		"members m LEFT JOIN namespaces n ON n.id = m.namespace_id LEFT JOIN projects p ON p.id = m.project_id", c, "m.namespace_id IS NULL, m.namespace_id, m.project_id", f.Limit, f.Offset)
}

// ---- parts of conditions

// in demands that a column has one of the values.
func (c *conditions) in(column string, ids []int64) {
	var set string
	set, c.args = in(c.args, ids)
	c.parts = append(c.parts, column+" IN "+set)
}

// flag demands a value of a boolean column, unless it is nil.
func (c *conditions) flag(column string, value *bool) {
	if value != nil {
		c.add(column+" = $?", *value)
	}
}

// contains demands that a text occurs in one of the columns, which hold lower case.
func (c *conditions) contains(text string, columns ...string) {
	if text == "" {
		return
	}
	if len(text) > maxTerm {
		c.add("FALSE") // nothing is as long, and SQLite would refuse the pattern
		return
	}
	pattern := "%" + escapeLike(strings.ToLower(text)) + "%"
	var parts []string
	for _, column := range columns {
		c.args = append(c.args, pattern)
		parts = append(parts, column+" LIKE $"+strconv.Itoa(len(c.args))+` ESCAPE '\'`)
	}
	c.parts = append(c.parts, "("+strings.Join(parts, " OR ")+")")
}

// between demands that a time lies after and before others, as far as they are not zero. A time that is never is not
// before anything.
func (c *conditions) between(column string, after, before time.Time) {
	if !after.IsZero() {
		c.add(column+" >= $?", millis(after))
	}
	if !before.IsZero() {
		c.add(column+" <> 0 AND "+column+" <= $?", millis(before))
	}
}

// orderBy orders by a column, if there is one, and then by id.
func orderBy(column, id string, descending bool) string {
	direction := ""
	if descending {
		direction = " DESC"
	}
	if column == "" {
		return id + direction
	}
	return column + direction + ", " + id + direction
}
