package registry

import (
	"context"
	"crypto/rand"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

// SessionLife is how long a session lasts that nobody uses. MaxSessionLife is how long it lasts in any case.
const (
	SessionLife    = 7 * day
	MaxSessionLife = 30 * day
)

// maxAgent bounds what is kept of what a browser says of itself, in characters.
const maxAgent = 255

// BeginSession begins a session of a user who has shown their password, and returns its secret.
func (r *Registry) BeginSession(ctx context.Context, user *User, address, agent string) (secret string, err error) {
	secret = rand.Text()
	agent = strings.ReplaceAll(strings.ToValidUTF8(agent, "?"), "\x00", "?")
	if utf8.RuneCountInString(agent) > maxAgent {
		agent = string([]rune(agent)[:maxAgent])
	}
	return secret, r.Store.Write(ctx, func(tx Tx) error {
		now, err := tx.User(user.ID)
		if err != nil {
			return err
		}
		if now.State != Active { // since they signed in
			return errSignIn
		}
		return tx.CreateSession(&Session{Hash: HashToken(secret), UserID: user.ID, Address: HostOf(address), Agent: agent, ExpiresAt: time.Now().Add(SessionLife)})
	})
}

// Extended is until when the session lasts when it is used at a moment.
func (s *Session) Extended(at time.Time) time.Time {
	latest := s.CreatedAt.Add(MaxSessionLife)
	if extended := at.Add(SessionLife); extended.Before(latest) {
		return extended
	}
	return latest
}

// ErrOldPassword is Invalid: whoever changes a password has to know the one before.
var ErrOldPassword = Errorf(Invalid, "The present password is not right")

// ChangePassword lets a user choose another password; it ends their sessions but for one. A password that was generated for
// them need not be shown again. It returns ErrOldPassword, Limited, or Invalid for a password that cannot be one.
func (r *Registry) ChangePassword(ctx context.Context, address string, id int64, old, password string, session int64) error {
	var user *User
	err := r.Store.Read(ctx, func(tx Tx) (err error) {
		user, err = tx.User(id)
		return err
	})
	if err != nil {
		return err
	}
	if !user.Temporary {
		signedIn, err := r.SignIn(ctx, address, user.Username, old)
		if KindOf(err) == Unauthenticated {
			return ErrOldPassword
		}
		if err != nil {
			return err
		}
		user = signedIn
	}
	if bcrypt.CompareHashAndPassword([]byte(user.PasswordHash), []byte(password)) == nil {
		return Errorf(Invalid, "Password is the one before")
	}
	hash, err := HashPassword(password)
	if err != nil {
		return err
	}
	return r.Store.Write(ctx, func(tx Tx) error {
		now, err := tx.User(id)
		if err != nil {
			return err
		}
		if now.PasswordHash != user.PasswordHash { // somebody else changed it meanwhile
			return ErrOldPassword
		}
		now.PasswordHash, now.Temporary = hash, false
		if err := tx.UpdateUser(now); err != nil { // then SQLite may have ended the transaction, and what follows would be one of its own
			return err
		}
		if err := tx.DeleteSessions(id, session); err != nil {
			return err
		}
		return tx.Record(&Event{Name: UserChanged, OfUserID: id, Target: now.Username, Detail: "password"})
	})
}

// ChangeProfile sets what a user decides of themselves: their name, and the language and the theme of the pages. It returns Invalid
// for a name that cannot be one.
func (r *Registry) ChangeProfile(ctx context.Context, id int64, name, language, theme string) error {
	name = strings.TrimSpace(name)
	switch {
	case name == "" || !utf8.ValidString(name) || strings.Contains(name, "\x00"):
		return Errorf(Invalid, "Name is empty")
	case utf8.RuneCountInString(name) > 255:
		return Errorf(Invalid, "Name is too long (maximum is 255 characters)")
	}
	return r.Store.Write(ctx, func(tx Tx) error {
		if err := tx.HoldPlaces(); err != nil {
			return err
		}
		user, err := tx.User(id)
		if err != nil {
			return err
		}
		renamed := user.Name != name
		user.Name, user.Language, user.Theme = name, language, theme
		if err := tx.UpdateUser(user); err != nil || !renamed {
			return err
		}
		return tx.Record(&Event{Name: UserChanged, OfUserID: id, Target: user.Username, Detail: "name"})
	})
}
