package databasetest

import (
	"testing"
	"time"

	"packhouse/internal/registry"
)

func testSessions(t *testing.T, s *store) {
	ada, bob := s.user("ada"), s.user("bob")
	begin := func(user *registry.User, lasts time.Duration) *registry.Session {
		t.Helper()
		secret, err := s.BeginSession(t.Context(), user, "192.0.2.1:4711", "browser\x00\xff")
		must(t, err)
		session := find(s, func(tx registry.Tx) (*registry.Session, error) { return tx.Session(registry.HashToken(secret)) })
		s.write(func(tx registry.Tx) error {
			return tx.UseSession(session.ID, session.CreatedAt.Add(time.Second), time.Now().Add(lasts))
		})
		return session
	}
	ids := func(user *registry.User) (ids []int64) {
		for _, session := range find(s, func(tx registry.Tx) ([]*registry.Session, error) { return tx.Sessions(user.ID) }) {
			ids = append(ids, session.ID)
		}
		return ids
	}
	revision := func() int64 {
		n, err := s.AccessRevision(t.Context())
		must(t, err)
		return n
	}
	over := begin(ada, -time.Second)
	first, second, other := begin(ada, time.Hour), begin(ada, time.Hour), begin(bob, time.Hour)
	same(t, "address and agent", [2]string{"192.0.2.1", "browser??"}, [2]string{first.Address, first.Agent})
	wantKind(t, "a session that is over", s.attempt(func(tx registry.Tx) error { _, err := tx.Session(over.Hash); return err }), registry.NotFound)
	s.write(func(tx registry.Tx) error {
		return tx.UseSession(first.ID, time.Now().Add(time.Minute), time.Now().Add(time.Hour))
	})
	same(t, "Ada's sessions", []int64{first.ID, second.ID}, ids(ada))

	before := revision()
	wantKind(t, "ending another's session", s.attempt(func(tx registry.Tx) error { return tx.DeleteSession(ada.ID, other.ID) }), registry.NotFound)
	s.write(func(tx registry.Tx) error { return tx.DeleteSession(bob.ID, other.ID) })
	same(t, "Bob's sessions", []int64(nil), ids(bob))
	s.write(func(tx registry.Tx) error { return tx.DeleteSessions(ada.ID, second.ID) })
	same(t, "Ada's sessions", []int64{second.ID}, ids(ada))
	if now := revision(); now < before+2 {
		t.Errorf("two ends of sessions moved the access revision from %d to %d", before, now)
	}
	s.write(func(tx registry.Tx) error { return tx.DeleteUser(ada.ID) })
	wantKind(t, "the session of a user who was removed", s.attempt(func(tx registry.Tx) error { _, err := tx.Session(second.Hash); return err }), registry.NotFound)
}

func testChosenPasswords(t *testing.T, s *store) {
	password, _, err := s.FirstStart(t.Context(), "", "")
	must(t, err)
	root, err := s.SignIn(t.Context(), "192.0.2.1", "root", password)
	must(t, err)
	if !root.Temporary {
		t.Error("a password that was generated is not temporary")
	}
	_, err = s.BeginSession(t.Context(), root, "", "")
	must(t, err)
	change := func(old, password string) error {
		return s.ChangePassword(t.Context(), "192.0.2.1", root.ID, old, password, 0)
	}
	wantKind(t, "the same password again", change("", password), registry.Invalid)
	wantKind(t, "a short password", change("", "short"), registry.Invalid)
	must(t, change("", "the first choice"))
	same(t, "sessions after the password changed", 0, len(find(s, func(tx registry.Tx) ([]*registry.Session, error) { return tx.Sessions(root.ID) })))
	wantKind(t, "another password without the one before", change("", "the second choice"), registry.Invalid)
	must(t, change("the first choice", "the second choice"))
	_, err = s.SignIn(t.Context(), "192.0.2.1", "root", "the first choice")
	wantKind(t, "the password before", err, registry.Unauthenticated)
	again, err := s.SignIn(t.Context(), "192.0.2.1", "root", "the second choice")
	must(t, err)
	if again.Temporary {
		t.Error("a password that was chosen is temporary")
	}
}
