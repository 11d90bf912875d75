package access

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"packhouse/internal/registry"
)

// Caller is who is asking. The zero Caller is anonymous.
type Caller struct {
	User  *registry.User  // nil: anonymous, or a deploy token
	Token *registry.Token // nil: anonymous, or a browser session
	Sudo  *registry.User  // the administrator who acts as User; nil: nobody

	Session *registry.Session // of a browser; nil: none
}

// Anonymous tells whether nothing is known of the caller.
func (c *Caller) Anonymous() bool { return c.User == nil && c.Token == nil }

// UserID is the caller's user, or 0.
func (c *Caller) UserID() int64 {
	if c.User == nil {
		return 0
	}
	return c.User.ID
}

// PipelineID is the CI run that the caller's token was made for, or 0.
func (c *Caller) PipelineID() int64 {
	if c.Token == nil {
		return 0
	}
	return c.Token.PipelineID
}

// Viewer is the caller as lists see them.
func (c *Caller) Viewer() registry.Viewer {
	viewer := registry.Viewer{UserID: c.UserID()}
	if c.User != nil {
		viewer.External = c.User.External
		viewer.All = c.User.Admin
	}
	// A bot's token may name the project or group that it was made in, which says nothing about its rights.
	if c.Token != nil && (c.Token.Kind == registry.DeployToken || c.Token.Kind == registry.JobToken) {
		viewer.Project, viewer.Group = c.Token.ProjectID, c.Token.GroupID
	}
	return viewer
}

var anonymous = &Caller{}

// Caller finds out who sent a request. Any carrier (see [Credential]) takes any kind of token. A credential that is
// not valid is Unauthenticated, also where nobody needs one: a typo must not look like an outage or fall back to
// anonymous. A blocked user is Forbidden. An administrator may act as somebody else, see [View.As].
func (v *View) Caller(r *http.Request) (*Caller, error) {
	if secret, ok := r.Context().Value(sessionSecret{}).(string); ok {
		return v.Browser(r, secret)
	}
	caller, err := v.holder(r)
	if err != nil {
		return nil, err
	}
	if name, given := sudo(r); given {
		return v.As(r, caller, name)
	}
	return caller, nil
}

// holder is whose credential the request carries.
func (v *View) holder(r *http.Request) (*Caller, error) {
	text, given := Credential(r)
	if !given {
		return anonymous, nil
	}
	if !registry.PlausibleToken(text) {
		return nil, errAnonymous
	}
	hash := registry.HashToken(text)
	caller, err := remember(v, &v.callers, [sha256.Size]byte(hash), func(tx registry.Tx) (*Caller, error) {
		token, err := tx.TokenByHash(hash)
		if err != nil {
			return nil, err
		}
		caller := &Caller{Token: token}
		if token.UserID != 0 {
			caller.User, err = tx.User(token.UserID)
		}
		return caller, err
	})
	if registry.KindOf(err) == registry.NotFound {
		return nil, errAnonymous
	}
	if err != nil {
		return nil, err
	}
	now := time.Now()
	switch {
	case caller.Token == nil: // the secret of a session is no token
		return nil, errAnonymous
	case caller.Token.Revoked:
		return nil, &TokenError{registry.Unauthenticated, "invalid_token", "Token was revoked. You have to re-authorize from the user.", ""}
	case !caller.Token.Active(now):
		return nil, &TokenError{registry.Unauthenticated, "invalid_token", "Token is expired. You can either do re-authorization or token refresh.", ""}
	case caller.User != nil && caller.User.State != registry.Active:
		return nil, errState(caller.User.State)
	}
	// Not more often than a request can see: the map is written once a second per token, not once a request.
	if last, ok := v.gate.used.Load(caller.Token.ID); !ok || now.Sub(last.(time.Time)) > time.Second {
		v.gate.used.Store(caller.Token.ID, now)
	}
	if actor := registry.ActorOf(r.Context()); actor != nil {
		actor.TokenID, actor.Kind, actor.UserID, actor.Name = caller.Token.ID, caller.Token.Kind, caller.UserID(), caller.Token.Name
		if caller.User != nil {
			actor.Name = caller.User.Username
		}
	}
	return caller, nil
}

type sessionSecret struct{}

// WithSession makes all that is done with a context be done by the person of a session. No credential of a request counts then.
// It is for the pages alone, which look at what cookies and other sites may bring about.
func WithSession(ctx context.Context, secret string) context.Context {
	return context.WithValue(ctx, sessionSecret{}, secret)
}

// sessionKey is what is noted of a session that was used.
type sessionKey struct {
	id      int64
	created time.Time
}

// Browser is the person of a session, with all of their rights. It returns Unauthenticated for one that is over, or whose user
// may not come in any more.
func (v *View) Browser(r *http.Request, secret string) (*Caller, error) {
	hash := registry.HashToken(secret)
	key := [sha256.Size]byte(hash)
	find := func() (*Caller, error) {
		return remember(v, &v.callers, key, func(tx registry.Tx) (*Caller, error) {
			session, err := tx.Session(hash)
			if err != nil {
				return nil, err
			}
			user, err := tx.User(session.UserID)
			return &Caller{User: user, Session: session}, err
		})
	}
	now := time.Now()
	caller, err := find()
	if err == nil && caller.Session != nil && !now.Before(caller.Session.ExpiresAt) { // it may have been extended since
		v.callers.Delete(key)
		caller, err = find()
	}
	switch {
	case registry.KindOf(err) == registry.NotFound:
		return nil, errAnonymous
	case err != nil:
		return nil, err
	case caller.Session == nil, !now.Before(caller.Session.ExpiresAt), caller.User.State != registry.Active: // the text of a token is no session
		return nil, errAnonymous
	}
	use := sessionKey{caller.Session.ID, caller.Session.CreatedAt}
	if last, ok := v.gate.used.Load(use); !ok || now.Sub(last.(time.Time)) > time.Second {
		v.gate.used.Store(use, now)
	}
	if actor := registry.ActorOf(r.Context()); actor != nil {
		actor.UserID, actor.Name = caller.User.ID, caller.User.Username
	}
	return caller, nil
}

func errState(state registry.UserState) error {
	if state == registry.Deactivated {
		return registry.Errorf(registry.Forbidden, "403 Forbidden - Your account has been deactivated by your administrator. Sign in with your password to reactivate it.")
	}
	return registry.Errorf(registry.Forbidden, "403 Forbidden - Your account has been blocked.")
}

// sudo is whom the caller wants to act as, by the query or by the header.
func sudo(r *http.Request) (name string, given bool) {
	if strings.Contains(r.URL.RawQuery, "sudo=") {
		if values := r.URL.Query()["sudo"]; len(values) > 0 {
			return values[len(values)-1], true
		}
	}
	if values := r.Header["Sudo"]; len(values) > 0 {
		return values[0], true
	}
	return "", false
}

// As lets an administrator, by a personal token of the scope sudo, act as the user with an id or a user name. With it
// the token does all that the user may. It returns NotFound when there is no such user.
func (v *View) As(r *http.Request, c *Caller, name string) (*Caller, error) {
	admin := c.User
	if c.Sudo != nil { // it is said twice
		admin = c.Sudo
	}
	switch {
	case admin == nil:
		return nil, errAnonymous
	case !admin.Admin:
		return nil, registry.Errorf(registry.Forbidden, "403 Forbidden - Must be admin to use sudo")
	case c.Token == nil || c.Token.Kind != registry.PersonalToken:
		return nil, registry.Errorf(registry.Forbidden, "403 Forbidden - Must be authenticated using an OAuth or personal access token to use sudo")
	case !c.Token.HasScope(registry.ScopeSudo):
		return nil, insufficient([]string{registry.ScopeSudo})
	}
	user, err := v.user(name)
	if err != nil {
		return nil, as(err, registry.NotFound, "404 User with ID or username '"+name+"' Not Found")
	}
	if user.State != registry.Active {
		return nil, errState(user.State)
	}
	token := *c.Token
	token.Scopes = append(slices.Clone(token.Scopes), registry.ScopeAPI)
	if actor := registry.ActorOf(r.Context()); actor != nil {
		actor.UserID, actor.Name, actor.Sudo = user.ID, user.Username, admin.Username
	}
	return &Caller{User: user, Token: &token, Sudo: admin}, nil
}

// user finds a user by id or user name.
func (v *View) user(name string) (user *registry.User, err error) {
	if id, err := strconv.ParseInt(name, 10, 64); err == nil {
		return v.UserByID(id)
	}
	if !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return nil, registry.Errorf(registry.NotFound, "")
	}
	err = v.gate.store.Read(context.Background(), func(tx registry.Tx) error {
		user, err = tx.UserByUsername(name)
		return err
	})
	return user, err
}

// TokenError is a credential that was recognised and does not do, in the terms of RFC 6750.
type TokenError struct {
	kind        registry.Kind
	Code        string // "invalid_token" or "insufficient_scope"
	Description string
	Scope       string // the scopes that would do
}

func (e *TokenError) Error() string { return e.Description }

// Unwrap gives the error its kind.
func (e *TokenError) Unwrap() error { return registry.Errorf(e.kind, "%s", e.Description) }

// Credential reads the text of the token that a request carries, as GitLab's clients send it: the header
// PRIVATE-TOKEN, JOB-TOKEN or Deploy-Token, Authorization as Bearer or Basic (the password; the user name is not
// looked at), or a query parameter. given is false when there is none.
func Credential(r *http.Request) (text string, given bool) {
	for _, header := range []string{"Private-Token", "Job-Token", "Deploy-Token"} {
		if values := r.Header[header]; len(values) > 0 {
			return values[0], true
		}
	}
	if values := r.Header["Authorization"]; len(values) > 0 {
		scheme, value, _ := strings.Cut(values[0], " ")
		switch {
		case strings.EqualFold(scheme, "Bearer"):
			return strings.TrimSpace(value), true
		case strings.EqualFold(scheme, "Basic"):
			plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
			if err != nil {
				return "", true
			}
			_, password, _ := strings.Cut(string(plain), ":")
			return password, true
		}
		return "", true
	}
	if strings.Contains(r.URL.RawQuery, "token=") {
		query := r.URL.Query()
		for _, name := range []string{"private_token", "access_token", "job_token"} {
			if values := query[name]; len(values) > 0 {
				return values[0], true
			}
		}
	}
	return "", false
}
