package api

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// What personal, impersonation, project and group tokens have in common.

const (
	day = 24 * time.Hour
	// maxLifetime of a token, and what one has that does not say.
	maxLifetime = 365 * day
	// rotatedLifetime is that of a token that was rotated and does not say.
	rotatedLifetime = 7 * day
)

// Scopes that mean nothing here are taken too, since scripts ask for them; they open nothing.
var (
	resourceScopes = []string{registry.ScopeAPI, registry.ScopeReadAPI, registry.ScopeReadPackage, registry.ScopeWritePackage,
		registry.ScopeReadRepository, registry.ScopeWriteRepository, "read_registry", "write_registry", "create_runner", "manage_runner", "k8s_proxy", registry.ScopeSelfRotate}
	personalScopes = append([]string{registry.ScopeReadUser, registry.ScopeSudo, "admin_mode"}, resourceScopes...)
	ownScopes      = []string{"k8s_proxy", registry.ScopeSelfRotate} // of tokens that one makes for oneself by a token
)

// userTokenJSON is a token of a user or a bot.
type userTokenJSON struct {
	ID          int64     `json:"id"`
	Name        string    `json:"name"`
	Revoked     bool      `json:"revoked"`
	CreatedAt   timestamp `json:"created_at"`
	Description *string   `json:"description"`
	Scopes      []string  `json:"scopes"`
	UserID      int64     `json:"user_id"`
	LastUsedAt  timestamp `json:"last_used_at"`
	Active      bool      `json:"active"`
	ExpiresAt   date      `json:"expires_at"`
	Text        string    `json:"token,omitempty"` // only when it is made
}

func newUserTokenJSON(t *registry.Token) userTokenJSON {
	return userTokenJSON{ID: t.ID, Name: t.Name, Revoked: t.Revoked, CreatedAt: timestamp(t.CreatedAt), Description: orNull(t.Description),
		Scopes: t.Scopes, UserID: t.UserID, LastUsedAt: timestamp(t.LastUsedAt), Active: t.Active(time.Now()), ExpiresAt: date(t.ExpiresAt)}
}

// personal tells whether a token stands for a user, as people and bots have them.
func personal(t *registry.Token) bool {
	return t.Kind == registry.PersonalToken || t.Kind == registry.ResourceToken
}

// inNewToken are the parameters of a new token.
func inNewToken(scopes []string) []param {
	return []param{inName("name").must(), inText("description"), inList("scopes", scopes...).must(), inDate("expires_at")}
}

// newToken reads the parameters of a new token.
func (c *call) newToken(kind registry.TokenKind, scopes []string) *registry.Token {
	return &registry.Token{Kind: kind, Name: c.required("name"), Description: c.text("description", ""),
		Scopes: c.requiredChoices("scopes", scopes...), ExpiresAt: c.date("expires_at")}
}

// checkToken refuses a token that opens nothing or lives too long. One that does not say how long lives as long as life.
func checkToken(t *registry.Token, life time.Duration) (err error) {
	if len(t.Scopes) == 0 {
		return refuse(http.StatusBadRequest, "Scopes can't be blank")
	}
	t.ExpiresAt, err = expiry(t.ExpiresAt, life)
	return err
}

// issue makes a token of a user that lives so long at most.
func (a *API) issue(r *http.Request, token *registry.Token, life time.Duration) (text string, err error) {
	if err := checkToken(token, life); err != nil {
		return "", err
	}
	return a.reg.IssueToken(r.Context(), token)
}

func expiry(asked time.Time, life time.Duration) (time.Time, error) {
	today := time.Now().UTC().Truncate(day)
	switch latest := today.Add(maxLifetime); {
	case asked.IsZero():
		return today.Add(life), nil
	case asked.After(latest):
		return asked, invalid("expires_at", "must be before %s", latest.Add(day).Format(time.DateOnly))
	}
	return asked, nil
}

// inTokens are the parameters that select tokens.
var inTokens = append([]param{inChoice("state", "active", "inactive"), inFlag("revoked"), inText("search"), inTime("created_after"), inTime("created_before"),
	inTime("expires_after"), inTime("expires_before"), inTime("last_used_after"), inTime("last_used_before"), inChoice("sort", tokenSorts...)}, inPages...)

// tokenSorts are what a list of tokens is ordered by, and how.
var tokenSorts = []string{"created_asc", "created_desc", "expires_asc", "expires_desc", "last_used_asc", "last_used_desc", "name_asc", "name_desc"}

// tokenFilter reads the parameters that select tokens.
func (c *call) tokenFilter(f registry.TokenFilter) registry.TokenFilter {
	state, sort := c.choice("state", "", "active", "inactive"), c.choice("sort", "", tokenSorts...)
	f.Active, f.Inactive, f.Revoked, f.Search = state == "active", state == "inactive", c.maybe("revoked"), c.text("search", "")
	f.CreatedAfter, f.CreatedBefore = c.time("created_after"), c.time("created_before")
	f.ExpiresAfter, f.ExpiresBefore = c.time("expires_after"), c.time("expires_before")
	f.UsedAfter, f.UsedBefore = c.time("last_used_after"), c.time("last_used_before")
	by, descending := strings.CutSuffix(sort, "_desc")
	f.Order, f.Descending = registry.TokenOrder(strings.TrimSuffix(by, "_asc")), descending
	return f
}

func (a *API) pageTokens(r *http.Request, f registry.TokenFilter, pg page) (tokens []*registry.Token, total int, err error) {
	err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		tokens, total, err = tx.PageTokens(f, pg.size, pg.offset())
		return err
	})
	return tokens, total, err
}

func (a *API) token(r *http.Request, id int64) (token *registry.Token, err error) {
	err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		token, err = tx.Token(id)
		return err
	})
	return token, err
}

func (a *API) revoke(r *http.Request, token *registry.Token) error {
	return a.reg.Store.Write(r.Context(), func(tx registry.Tx) error { return registry.Revoke(tx, token) })
}

// ---- the token that a request came with

// ownToken is the token that the request came with, whatever its scopes: whoever holds it may know and end it.
func (a *API) ownToken(w http.ResponseWriter, r *http.Request) (*call, *registry.Token, error) {
	c, err := a.open(w, r)
	switch {
	case err != nil:
		return nil, nil, err
	case c.who.Anonymous():
		return nil, nil, errAnonymous
	case c.who.Token == nil || !personal(c.who.Token):
		return nil, nil, refuse(http.StatusBadRequest, "400 Bad request - This endpoint requires token type to be a personal access token")
	}
	token, err := a.token(r, c.who.Token.ID) // the caller's copy does not know its last use
	return c, token, err
}

// ---- rotation

// inRotation are the parameters of a rotation.
var inRotation = []param{inDate("expires_at").says("in a week, by default")}

// rotating opens a request of a user that rotates a token.
func (a *API) rotating(w http.ResponseWriter, r *http.Request) (*call, error) {
	c, err := a.openRotation(w, r)
	if err != nil {
		return nil, err
	}
	if err := c.scoped(r); err != nil {
		return nil, err
	}
	return c, c.person()
}

// openRotation opens a request that rotates a token. A revoked token that it comes with has been rotated away before, or
// stolen: the whole line of tokens that it belongs to ends.
func (a *API) openRotation(w http.ResponseWriter, r *http.Request) (*call, error) {
	c, err := a.open(w, r)
	var refused *access.TokenError
	if !errors.As(err, &refused) {
		return c, err
	}
	text, _ := access.Credential(r)
	var token *registry.Token
	lookErr := a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		token, err = tx.TokenByHash(registry.HashToken(text))
		return err
	})
	if lookErr != nil {
		return nil, lookErr
	}
	if token.Revoked && personal(token) {
		if err := a.reg.RevokeFamily(r.Context(), token); err != nil {
			return nil, err
		}
	}
	return nil, err
}

// rotate puts a new token in the place of one. To whoever comes second it is 401: by then the token has ended.
func (a *API) rotate(r *http.Request, token *registry.Token, expires time.Time) (*registry.Token, string, error) {
	expires, err := expiry(expires, rotatedLifetime)
	if err != nil {
		return nil, "", err
	}
	fresh, text, err := a.reg.RotateToken(r.Context(), token.ID, expires)
	return fresh, text, orElse(err, registry.NotFound, errAnonymous)
}

// ownRotation opens a request that rotates the token that it comes with.
func (a *API) ownRotation(w http.ResponseWriter, r *http.Request, kind registry.TokenKind) (*call, time.Time, error) {
	c, err := a.openRotation(w, r)
	if err != nil {
		return nil, time.Time{}, err
	}
	expires := c.date("expires_at")
	if err := c.wrong(); err != nil {
		return nil, time.Time{}, err
	}
	switch {
	case c.who.Anonymous():
		return nil, time.Time{}, errAnonymous
	case c.who.Token == nil || !personal(c.who.Token) || kind != "" && c.who.Token.Kind != kind:
		return nil, time.Time{}, refuse(http.StatusMethodNotAllowed, "405 Method Not Allowed")
	}
	return c, expires, access.RequireScope(c.who, registry.ScopeAPI, registry.ScopeSelfRotate)
}
