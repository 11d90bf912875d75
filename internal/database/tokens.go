package database

import (
	"cmp"
	"strings"
	"time"

	"packhouse/internal/registry"
)

const tokenColumns = "id, kind, name, description, username, user_id, namespace_id, project_id, pipeline_id, level, family, impersonation, scopes, hash, revoked, created_at, expires_at, last_used_at"

func scanToken(row scanner) (*registry.Token, error) {
	k := &registry.Token{}
	var scopes string
	err := row.Scan(&k.ID, &k.Kind, &k.Name, &k.Description, &k.Username, asID{&k.UserID}, asID{&k.GroupID}, asID{&k.ProjectID}, asID{&k.PipelineID},
		&k.Level, asID{&k.FamilyID}, &k.Impersonation, &scopes, &k.Hash, &k.Revoked, asTime{&k.CreatedAt}, asTime{&k.ExpiresAt}, asTime{&k.LastUsedAt})
	k.Scopes = strings.Fields(scopes)
	return k, err
}

func (t *tx) CreateToken(k *registry.Token) error {
	k.CreatedAt = now()
	return t.changedAccess(t.insert(&k.ID, `
		INSERT INTO tokens (kind, name, description, username, user_id, namespace_id, project_id, pipeline_id, level, family, impersonation, scopes, hash, revoked, created_at, expires_at, last_used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 0)`,
		k.Kind, k.Name, k.Description, k.Username, nullable(k.UserID), nullable(k.GroupID), nullable(k.ProjectID), nullable(k.PipelineID),
		k.Level, nullable(k.FamilyID), k.Impersonation, strings.Join(k.Scopes, " "), k.Hash, k.Revoked, millis(k.CreatedAt), millis(k.ExpiresAt)))
}

func (t *tx) Token(id int64) (*registry.Token, error) {
	return get(t, scanToken, "SELECT "+tokenColumns+" FROM tokens WHERE id = $1", id)
}

func (t *tx) TokenByHash(hash []byte) (*registry.Token, error) {
	return get(t, scanToken, "SELECT "+tokenColumns+" FROM tokens WHERE hash = $1", hash)
}

func (t *tx) Tokens(f registry.TokenFilter) ([]*registry.Token, error) {
	c := tokenConditions(f)
	return list(t, scanToken, "SELECT "+tokenColumns+" FROM tokens WHERE "+c.String()+" ORDER BY "+tokenOrder(f), c.args...)
}

func (t *tx) PageTokens(f registry.TokenFilter, limit, offset int) ([]*registry.Token, int, error) {
	return page(t, scanToken, tokenColumns, "tokens", tokenConditions(f), tokenOrder(f), limit, offset)
}

func tokenConditions(f registry.TokenFilter) *conditions {
	c := &conditions{parts: []string{"TRUE"}}
	if f.Kind != "" {
		c.add("kind = $?", f.Kind)
	}
	for column, id := range map[string]int64{"user_id": f.UserID, "namespace_id": f.GroupID, "project_id": f.ProjectID} {
		if id != 0 {
			c.add(column+" = $?", id)
		}
	}
	if f.Active {
		c.add("NOT revoked AND (expires_at = 0 OR expires_at > $?)", millis(now()))
	}
	if f.Inactive {
		c.add("(revoked OR (expires_at <> 0 AND expires_at <= $?))", millis(now()))
	}
	c.flag("revoked", f.Revoked)
	c.flag("impersonation", f.Impersonation)
	c.contains(f.Search, "LOWER(name)")
	c.between("created_at", f.CreatedAfter, f.CreatedBefore)
	c.between("expires_at", f.ExpiresAfter, f.ExpiresBefore)
	c.between("last_used_at", f.UsedAfter, f.UsedBefore)
	return c
}

// tokenOrder is never a caller's text.
func tokenOrder(f registry.TokenFilter) string {
	columns := map[registry.TokenOrder]string{registry.ByTokenCreation: "created_at", registry.ByTokenExpiry: "expires_at",
		registry.ByTokenUse: "last_used_at", registry.ByTokenName: "LOWER(name)"}
	return orderBy(columns[f.Order], "id", f.Descending)
}

func (t *tx) RevokeToken(id int64) error {
	return t.changedAccess(t.one("UPDATE tokens SET revoked = TRUE WHERE id = $1", id))
}

func (t *tx) TakeToken(id int64) error {
	return t.changedAccess(t.one("UPDATE tokens SET revoked = TRUE WHERE id = $1 AND NOT revoked", id))
}

func (t *tx) RevokeFamily(k *registry.Token) error {
	return t.changedAccess(t.one("UPDATE tokens SET revoked = TRUE WHERE (id = $1 OR family = $1) AND NOT revoked", cmp.Or(k.FamilyID, k.ID)))
}

func (t *tx) UseToken(id int64, at time.Time) error {
	_, err := t.exec("UPDATE tokens SET last_used_at = $2 WHERE id = $1 AND last_used_at < $2", id, millis(at))
	return err
}
