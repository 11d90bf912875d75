package database

import (
	"strings"
	"time"

	"packhouse/internal/registry"
)

// Record implements [registry.Tx].
func (t *tx) Record(e *registry.Event) error {
	e.CreatedAt = now()
	if actor := registry.ActorOf(t.ctx); actor != nil {
		e.Actor = *actor
	}
	return t.insert(&e.ID, `
		INSERT INTO audit_events (created_at, name, project_id, namespace_id, of_user_id, path, target, detail, user_id, token_id, token_kind, author, sudo, address)
		VALUES ($1, $2, $3, $4, $5, COALESCE((SELECT full_path FROM projects WHERE id = $3), (SELECT full_path FROM namespaces WHERE id = $4),
			(SELECT username FROM users WHERE id = $5), ''), $6, $7, $8, $9, $10, $11, $12, $13)`,
		millis(e.CreatedAt), e.Name, nullable(e.ProjectID), nullable(e.GroupID), nullable(e.OfUserID), storable(e.Target), storable(e.Detail),
		nullable(e.UserID), nullable(e.TokenID), e.Kind, e.Actor.Name, e.Sudo, e.Address)
}

const eventColumns = "id, created_at, name, project_id, namespace_id, of_user_id, path, target, detail, user_id, token_id, token_kind, author, sudo, address"

func scanEvent(row scanner) (*registry.Event, error) {
	e := &registry.Event{}
	return e, row.Scan(&e.ID, asTime{&e.CreatedAt}, &e.Name, asID{&e.ProjectID}, asID{&e.GroupID}, asID{&e.OfUserID}, &e.Path, &e.Target, &e.Detail,
		asID{&e.UserID}, asID{&e.TokenID}, &e.Kind, &e.Actor.Name, &e.Sudo, &e.Address)
}

// Events implements [registry.Tx].
func (t *tx) Events(f registry.EventFilter) ([]*registry.Event, int, error) {
	c := &conditions{parts: []string{"TRUE"}}
	for column, id := range map[string]int64{"project_id": f.ProjectID, "namespace_id": f.GroupID, "of_user_id": f.OfUserID} {
		if id != 0 {
			c.add(column+" = $?", id)
		}
	}
	var kinds []string
	for column, only := range map[string]bool{"project_id": f.Projects, "namespace_id": f.Groups, "of_user_id": f.Users} {
		if only {
			kinds = append(kinds, column+" IS NOT NULL")
		}
	}
	if len(kinds) > 0 {
		c.add("(" + strings.Join(kinds, " OR ") + ")")
	}
	c.between("created_at", f.After, f.Before)
	if f.BeforeID != 0 {
		c.add("id < $?", f.BeforeID)
	}
	return part(t, f.NoTotal, scanEvent, eventColumns, "audit_events", c, "id DESC", f.Limit, f.Offset)
}

// Event implements [registry.Tx].
func (t *tx) Event(id int64) (*registry.Event, error) {
	return get(t, scanEvent, "SELECT "+eventColumns+" FROM audit_events WHERE id = $1", id)
}

// DeleteEvents implements [registry.Tx].
func (t *tx) DeleteEvents(before time.Time) (more bool, err error) {
	result, err := t.exec("DELETE FROM audit_events WHERE id IN (SELECT id FROM audit_events WHERE created_at < $1 ORDER BY created_at LIMIT $2)", millis(before), purgeBatch)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == purgeBatch, err
}
