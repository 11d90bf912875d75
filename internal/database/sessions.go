package database

import (
	"time"

	"packhouse/internal/registry"
)

const sessionColumns = "id, hash, user_id, address, agent, created_at, last_used_at, expires_at"

func scanSession(row scanner) (*registry.Session, error) {
	s := &registry.Session{}
	return s, row.Scan(&s.ID, &s.Hash, &s.UserID, &s.Address, &s.Agent, asTime{&s.CreatedAt}, asTime{&s.LastUsedAt}, asTime{&s.ExpiresAt})
}

func (t *tx) CreateSession(s *registry.Session) error {
	s.CreatedAt = now()
	s.LastUsedAt = s.CreatedAt
	if _, err := t.exec("DELETE FROM sessions WHERE expires_at <= $1", millis(s.CreatedAt)); err != nil {
		return err
	}
	return t.insert(&s.ID, "INSERT INTO sessions (hash, user_id, address, agent, created_at, last_used_at, expires_at) VALUES ($1, $2, $3, $4, $5, $5, $6)",
		s.Hash, s.UserID, s.Address, s.Agent, millis(s.CreatedAt), millis(s.ExpiresAt))
}

func (t *tx) Session(hash []byte) (*registry.Session, error) {
	return get(t, scanSession, "SELECT "+sessionColumns+" FROM sessions WHERE hash = $1", hash)
}

func (t *tx) Sessions(user int64) ([]*registry.Session, error) {
	return list(t, scanSession, "SELECT "+sessionColumns+" FROM sessions WHERE user_id = $1 AND expires_at > $2 ORDER BY last_used_at DESC, id DESC", user, millis(now()))
}

func (t *tx) UseSession(id int64, at, expires time.Time) error {
	_, err := t.exec("UPDATE sessions SET last_used_at = $2, expires_at = $3 WHERE id = $1 AND last_used_at < $2", id, millis(at), millis(expires))
	return err
}

func (t *tx) DeleteSession(user, id int64) error {
	return t.changedAccess(t.one("DELETE FROM sessions WHERE user_id = $1 AND id = $2", user, id))
}

func (t *tx) DeleteSessions(user, except int64) error {
	_, err := t.exec("DELETE FROM sessions WHERE user_id = $1 AND id <> $2", user, except)
	return t.changedAccess(err)
}
