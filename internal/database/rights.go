package database

import (
	"slices"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// ---- users

const userColumns = "u.id, u.username, u.name, u.email, u.password_hash, u.admin, u.external, u.bot, u.state, u.created_at, u.language, u.theme, u.temporary, n.id"
const userTables = "users u JOIN namespaces n ON n.owner_id = u.id"

func scanUser(row scanner) (*registry.User, error) {
	u := &registry.User{}
	return u, row.Scan(&u.ID, &u.Username, &u.Name, &u.Email, &u.PasswordHash, &u.Admin, &u.External, &u.Bot, &u.State,
		asTime{&u.CreatedAt}, &u.Language, &u.Theme, &u.Temporary, &u.NamespaceID)
}

// emailKey makes the unique form of an address; bots have none.
func emailKey(email string) any {
	if email == "" {
		return nil
	}
	return strings.ToLower(email)
}

func (t *tx) CreateUser(u *registry.User) error {
	u.CreatedAt = now()
	err := t.insert(&u.ID, `
		INSERT INTO users (username, username_key, name, name_key, email, email_key, password_hash, admin, external, bot, state, created_at, language, theme, temporary)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		u.Username, strings.ToLower(u.Username), u.Name, strings.ToLower(u.Name), u.Email, emailKey(u.Email), u.PasswordHash, u.Admin, u.External, u.Bot, u.State, millis(u.CreatedAt),
		u.Language, u.Theme, u.Temporary)
	if err != nil {
		return err
	}
	// The personal namespace is as open as can be; what is in it has its own visibility.
	personal := &registry.Group{OwnerID: u.ID, Name: u.Name, Path: u.Username, FullPath: u.Username, Visibility: registry.Public}
	if err := t.CreateGroup(personal); err != nil {
		return err
	}
	u.NamespaceID = personal.ID
	return nil
}

func (t *tx) User(id int64) (*registry.User, error) {
	return get(t, scanUser, "SELECT "+userColumns+" FROM "+userTables+" WHERE u.id = $1", id)
}

func (t *tx) UserByUsername(username string) (*registry.User, error) {
	return get(t, scanUser, "SELECT "+userColumns+" FROM "+userTables+" WHERE u.username_key = $1", strings.ToLower(username))
}

func (t *tx) CountUsers() (count int, err error) {
	err = t.row(func(row scanner) error { return row.Scan(&count) }, "SELECT COUNT(*) FROM users")
	return count, err
}

// ---- groups and projects

const groupColumns = "n.id, n.parent_id, n.owner_id, n.name, n.path, n.full_path, n.description, n.visibility, n.lineage, n.created_at, n.marked_at, n.hidden_at"

func scanGroup(row scanner) (*registry.Group, error) {
	g := &registry.Group{}
	return g, row.Scan(&g.ID, asID{&g.ParentID}, asID{&g.OwnerID}, &g.Name, &g.Path, &g.FullPath, &g.Description, &g.Visibility,
		asLineage{&g.Lineage}, asTime{&g.CreatedAt}, asTime{&g.MarkedAt}, asTime{&g.HiddenAt})
}

func (t *tx) CreateGroup(g *registry.Group) error {
	if err := t.HoldPlaces(); err != nil {
		return err
	}
	var above []int64
	if g.ParentID != 0 {
		parent, err := t.openGroup(g.ParentID)
		if err != nil {
			return err
		}
		above, g.FullPath = parent.Lineage, parent.FullPath+"/"+g.Path
	} else {
		g.FullPath = g.Path
	}
	g.CreatedAt = now()
	err := t.insert(&g.ID, `
		INSERT INTO namespaces (parent_id, owner_id, name, path, full_path, description, visibility, lineage, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8)`,
		nullable(g.ParentID), nullable(g.OwnerID), g.Name, g.Path, g.FullPath, g.Description, g.Visibility, millis(g.CreatedAt))
	if err != nil {
		return err
	}
	g.Lineage = append(append([]int64{}, above...), g.ID)
	if err := t.one("UPDATE namespaces SET lineage = $2 WHERE id = $1", g.ID, lineageText(g.Lineage)); err != nil {
		return err
	}
	return t.takePath(g.FullPath, g.ID, 0)
}

func (t *tx) Group(id int64) (*registry.Group, error) {
	return get(t, scanGroup, "SELECT "+groupColumns+" FROM namespaces n WHERE n.id = $1 AND NOT n.condemned", id)
}

const groupOfRoute = "SELECT " + groupColumns + " FROM routes r JOIN namespaces n ON n.id = r.namespace_id WHERE r.path = $1 AND NOT n.condemned AND "

func (t *tx) GroupByPath(fullPath string) (*registry.Group, error) {
	return get(t, scanGroup, groupOfRoute+"NOT r.moved", strings.ToLower(fullPath))
}

func (t *tx) GroupByFormerPath(fullPath string) (*registry.Group, error) {
	return get(t, scanGroup, groupOfRoute+"r.moved", strings.ToLower(fullPath))
}

const projectColumns = "p.id, p.namespace_id, p.creator_id, p.name, p.path, p.full_path, p.description, p.visibility, p.registry_access, p.archived, p.lineage, p.created_at, p.updated_at, p.marked_at, p.hidden_at"

func scanProject(row scanner) (*registry.Project, error) {
	p := &registry.Project{}
	return p, row.Scan(&p.ID, &p.NamespaceID, asID{&p.CreatorID}, &p.Name, &p.Path, &p.FullPath, &p.Description, &p.Visibility, &p.RegistryAccess, &p.Archived,
		asLineage{&p.Lineage}, asTime{&p.CreatedAt}, asTime{&p.UpdatedAt}, asTime{&p.MarkedAt}, asTime{&p.HiddenAt})
}

func (t *tx) CreateProject(p *registry.Project) error {
	if err := t.HoldPlaces(); err != nil {
		return err
	}
	namespace, err := t.openGroup(p.NamespaceID)
	if err != nil {
		return err
	}
	p.CreatedAt = now()
	p.UpdatedAt, p.FullPath, p.Lineage = p.CreatedAt, namespace.FullPath+"/"+p.Path, namespace.Lineage
	err = t.insert(&p.ID, `
		INSERT INTO projects (namespace_id, creator_id, name, path, full_path, description, visibility, registry_access, archived, lineage, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)`,
		p.NamespaceID, nullable(p.CreatorID), p.Name, p.Path, p.FullPath, p.Description, p.Visibility, p.RegistryAccess, p.Archived,
		lineageText(p.Lineage), millis(p.CreatedAt))
	if err != nil {
		return err
	}
	return t.takePath(p.FullPath, 0, p.ID)
}

func (t *tx) Project(id int64) (*registry.Project, error) {
	return get(t, scanProject, "SELECT "+projectColumns+" FROM projects p WHERE p.id = $1 AND NOT p.condemned", id)
}

func (t *tx) ProjectsByID(ids []int64) ([]*registry.Project, error) {
	set, args := in(nil, ids)
	return list(t, scanProject, "SELECT "+projectColumns+" FROM projects p WHERE NOT p.condemned AND p.id IN "+set+" ORDER BY p.id", args...)
}

const projectOfRoute = "SELECT " + projectColumns + " FROM routes r JOIN projects p ON p.id = r.project_id WHERE r.path = $1 AND NOT p.condemned AND "

func (t *tx) ProjectByPath(fullPath string) (*registry.Project, error) {
	return get(t, scanProject, projectOfRoute+"NOT r.moved", strings.ToLower(fullPath))
}

func (t *tx) ProjectByFormerPath(fullPath string) (*registry.Project, error) {
	return get(t, scanProject, projectOfRoute+"r.moved", strings.ToLower(fullPath))
}

// ---- members

const memberColumns = "user_id, namespace_id, project_id, level, expires_at, created_at"

func scanMember(row scanner) (*registry.Member, error) {
	m := &registry.Member{}
	return m, row.Scan(&m.UserID, asID{&m.GroupID}, asID{&m.ProjectID}, &m.Level, asTime{&m.ExpiresAt}, asTime{&m.CreatedAt})
}

func (t *tx) Members(group, project int64) ([]*registry.Member, error) {
	return list(t, scanMember, "SELECT "+memberColumns+" FROM members WHERE namespace_id = $1 OR project_id = $2 ORDER BY user_id",
		nullable(group), nullable(project))
}

func (t *tx) MembershipsIn(user int64, projects, groups []int64) ([]*registry.Member, error) {
	inProjects, args := in([]any{user, millis(now())}, projects)
	inGroups, args := in(args, groups)
	return list(t, scanMember, "SELECT "+memberColumns+" FROM members WHERE user_id = $1 AND (expires_at = 0 OR expires_at > $2) AND (project_id IN "+inProjects+
		" OR namespace_id IN "+inGroups+")", args...)
}

func (t *tx) EffectiveLevel(user, project int64, lineage []int64) (level registry.Level, until time.Time, err error) {
	args := []any{user, millis(now()), project}
	groups, args := in(args, lineage)
	err = t.each(func(row scanner) error {
		var each registry.Level
		var end time.Time
		if err := row.Scan(&each, asTime{&end}); err != nil {
			return err
		}
		level = max(level, each)
		if !end.IsZero() && (until.IsZero() || end.Before(until)) {
			until = end
		}
		return nil
	}, `SELECT level, expires_at FROM members
		WHERE user_id = $1 AND (expires_at = 0 OR expires_at > $2) AND (project_id = $3 OR namespace_id IN `+groups+`)
		UNION ALL
		SELECT CAST(50 AS INTEGER), CAST(0 AS BIGINT) FROM namespaces WHERE owner_id = $1 AND id IN `+groups, args...)
	return level, until, err
}

func (t *tx) EffectiveLevels(user int64, projects []*registry.Project) (map[int64]registry.Standing, error) {
	var ids, above []int64
	for _, p := range projects {
		ids, above = append(ids, p.ID), append(above, p.Lineage...)
	}
	slices.Sort(above)
	inProjects, args := in([]any{user, millis(now())}, ids)
	inGroups, args := in(args, slices.Compact(above))
	memberships, err := list(t, scanMember, "SELECT "+memberColumns+` FROM members
		WHERE user_id = $1 AND (expires_at = 0 OR expires_at > $2) AND (project_id IN `+inProjects+" OR namespace_id IN "+inGroups+`)
		UNION ALL
		SELECT owner_id, id, CAST(NULL AS BIGINT), CAST(50 AS INTEGER), CAST(0 AS BIGINT), created_at FROM namespaces WHERE owner_id = $1 AND id IN `+inGroups, args...)
	if err != nil {
		return nil, err
	}
	levels := map[int64]registry.Standing{}
	for _, p := range projects {
		var s registry.Standing
		for _, m := range memberships {
			if m.ProjectID != p.ID && !slices.Contains(p.Lineage, m.GroupID) {
				continue
			}
			s.Level = max(s.Level, m.Level)
			if !m.ExpiresAt.IsZero() && (s.Until.IsZero() || m.ExpiresAt.Before(s.Until)) {
				s.Until = m.ExpiresAt
			}
		}
		levels[p.ID] = s
	}
	return levels, nil
}

func (t *tx) MemberBelow(user int64, group *registry.Group) (member bool, err error) {
	const active = "m.user_id = $1 AND m.level >= 10 AND (m.expires_at = 0 OR m.expires_at > $2)"
	err = t.row(func(row scanner) error { return row.Scan(&member) }, `
		SELECT EXISTS (SELECT 1 FROM members m JOIN projects p ON p.id = m.project_id WHERE `+active+` AND p.lineage LIKE $3 AND p.hidden_at = 0)
			OR EXISTS (SELECT 1 FROM members m JOIN namespaces n ON n.id = m.namespace_id WHERE `+active+` AND n.lineage LIKE $3 AND n.hidden_at = 0)`,
		user, millis(now()), lineageText(group.Lineage)+"%")
	return member, err
}

// ---- pipelines

func (t *tx) CreatePipeline(p *registry.Pipeline) error {
	p.CreatedAt = now()
	return t.insert(&p.ID, `
		INSERT INTO pipelines (project_id, user_id, ref, sha, source, web_url, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		p.ProjectID, nullable(p.UserID), p.Ref, p.SHA, p.Source, p.WebURL, millis(p.CreatedAt))
}

func (t *tx) Pipelines(ids []int64) ([]*registry.Pipeline, error) {
	set, args := in(nil, ids)
	return list(t, func(row scanner) (*registry.Pipeline, error) {
		p := &registry.Pipeline{}
		return p, row.Scan(&p.ID, &p.ProjectID, asID{&p.UserID}, &p.Ref, &p.SHA, &p.Source, &p.WebURL, asTime{&p.CreatedAt})
	}, "SELECT id, project_id, user_id, ref, sha, source, web_url, created_at FROM pipelines WHERE id IN "+set+" ORDER BY id DESC", args...)
}

func (t *tx) DeleteExpiredJobs(before time.Time) error {
	if _, err := t.exec("DELETE FROM tokens WHERE kind = 'job' AND expires_at <> 0 AND expires_at < $1", millis(before)); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM pipelines WHERE created_at < $1
		AND NOT EXISTS (SELECT 1 FROM tokens k WHERE k.pipeline_id = pipelines.id) AND NOT EXISTS (SELECT 1 FROM packages p WHERE p.pipeline_id = pipelines.id)`, millis(before))
	return err
}

// ---- logins

func (t *tx) CreateLogin(l *registry.Login) error {
	l.CreatedAt = now()
	if _, err := t.exec("DELETE FROM logins WHERE expires_at <= $1", millis(l.CreatedAt)); err != nil {
		return err
	}
	return t.one("INSERT INTO logins (hash, address, created_at, expires_at) VALUES ($1, $2, $3, $4)",
		l.Hash, l.Address, millis(l.CreatedAt), millis(l.ExpiresAt))
}

func (t *tx) Login(hash []byte) (*registry.Login, error) {
	return get(t, func(row scanner) (*registry.Login, error) {
		l := &registry.Login{}
		return l, row.Scan(&l.Hash, asID{&l.UserID}, &l.Address, asTime{&l.CreatedAt}, asTime{&l.ExpiresAt})
	}, "SELECT hash, user_id, address, created_at, expires_at FROM logins WHERE hash = $1 AND expires_at > $2", hash, millis(now()))
}

func (t *tx) ApproveLogin(hash []byte, user int64) error {
	return t.one("UPDATE logins SET user_id = $2 WHERE hash = $1 AND user_id IS NULL AND expires_at > $3", hash, user, millis(now()))
}

func (t *tx) DeleteLogin(hash []byte) error {
	return t.one("DELETE FROM logins WHERE hash = $1", hash)
}
