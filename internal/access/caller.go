package access

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// Caller is who is asking. The zero Caller is anonymous.
type Caller struct {
	User  *registry.User  // nil: anonymous, or a deploy token
	Token *registry.Token // nil: anonymous, or a browser session
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
// anonymous. A blocked user is Forbidden.
func (v *View) Caller(r *http.Request) (*Caller, error) {
	text, given := Credential(r)
	if len(r.Header["Sudo"]) > 0 || strings.Contains(r.URL.RawQuery, "sudo=") {
		return nil, ErrSudo
	}
	if !given {
		return anonymous, nil
	}
	unauthorized := registry.Errorf(registry.Unauthenticated, "401 Unauthorized")
	if !registry.PlausibleToken(text) {
		return nil, unauthorized
	}
	hash := registry.HashToken(text)
	caller, err := remember(v, &v.callers, string(hash), func(tx registry.Tx) (*Caller, error) {
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
		return nil, unauthorized
	}
	if err != nil {
		return nil, err
	}
	now := time.Now()
	switch {
	case caller.Token.Revoked:
		return nil, &TokenError{registry.Unauthenticated, "invalid_token", "Token was revoked. You have to re-authorize from the user.", ""}
	case !caller.Token.Active(now):
		return nil, &TokenError{registry.Unauthenticated, "invalid_token", "Token is expired. You can either do re-authorization or token refresh.", ""}
	case caller.User != nil && caller.User.Blocked:
		return nil, registry.Errorf(registry.Forbidden, "403 Forbidden - Your account has been blocked.")
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

// ErrSudo refuses to act as somebody else: doing what was asked as the administrator would be worse.
var ErrSudo = registry.Errorf(registry.Forbidden, "403 Forbidden - sudo is not supported")

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
