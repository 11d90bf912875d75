package database

import "packhouse/internal/registry"

// Record implements [registry.Tx].
func (t *tx) Record(e *registry.Event) error {
	e.CreatedAt = now()
	if actor := registry.ActorOf(t.ctx); actor != nil {
		e.Actor = *actor
	}
	return t.insert(&e.ID, `
		INSERT INTO audit_events (created_at, name, project_id, namespace_id, target, detail, user_id, token_id, token_kind, author, address)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		millis(e.CreatedAt), e.Name, nullable(e.ProjectID), nullable(e.GroupID), storable(e.Target), storable(e.Detail),
		nullable(e.UserID), nullable(e.TokenID), e.Kind, e.Actor.Name, e.Address)
}

// Events implements [registry.Tx].
func (t *tx) Events(f registry.EventFilter) ([]*registry.Event, int, error) {
	c := &conditions{parts: []string{"TRUE"}}
	if f.ProjectID != 0 {
		c.add("project_id = $?", f.ProjectID)
	}
	if f.GroupID != 0 {
		c.add("namespace_id = $?", f.GroupID)
	}
	if !f.After.IsZero() {
		c.add("created_at >= $?", millis(f.After))
	}
	if !f.Before.IsZero() {
		c.add("created_at <= $?", millis(f.Before))
	}
	return page(t, func(row scanner) (*registry.Event, error) {
		e := &registry.Event{}
		return e, row.Scan(&e.ID, asTime{&e.CreatedAt}, &e.Name, asID{&e.ProjectID}, asID{&e.GroupID}, &e.Target, &e.Detail,
			asID{&e.UserID}, asID{&e.TokenID}, &e.Kind, &e.Actor.Name, &e.Address)
	}, "id, created_at, name, project_id, namespace_id, target, detail, user_id, token_id, token_kind, author, address", "audit_events", c, "id DESC", f.Limit, f.Offset)
}
