package npm

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/format"
	"packhouse/internal/registry"
)

// signedIn is the caller of an endpoint that is about the caller, who has to be a person.
func (h *Handler) signedIn(q *request, scopes ...string) (*access.Caller, error) {
	caller, err := h.Caller(q.Request)
	if err != nil {
		return nil, err
	}
	return caller.Caller, access.RequireScope(caller.Caller, scopes...)
}

// whoami answers GET /-/whoami. A deploy token has a name too.
func (h *Handler) whoami(w http.ResponseWriter, q *request) error {
	caller, err := h.Caller(q.Request)
	if err != nil {
		return err
	}
	switch {
	case caller.User != nil:
		return writeJSON(w, http.StatusOK, map[string]string{"username": caller.User.Username})
	case caller.Token != nil:
		return writeJSON(w, http.StatusOK, map[string]string{"username": caller.Token.Login()})
	}
	return registry.Errorf(registry.Unauthenticated, "401 Unauthorized")
}

// profile answers GET /-/npm/v1/user.
func (h *Handler) profile(w http.ResponseWriter, q *request) error {
	caller, err := h.signedIn(q, registry.ScopeAPI, registry.ScopeReadAPI, registry.ScopeReadUser)
	if err != nil {
		return err
	}
	u := caller.User
	return writeJSON(w, http.StatusOK, map[string]any{
		"tfa": nil, "name": u.Username, "email": u.Email, "email_verified": true, "fullname": u.Name,
		"created": stamp(u.CreatedAt), "updated": stamp(u.CreatedAt), "cidr_whitelist": nil,
	})
}

// user answers GET /-/user/org.couchdb.user:NAME, to those who are signed in.
func (h *Handler) user(w http.ResponseWriter, q *request, name string) error {
	if _, err := h.signedIn(q, registry.ScopeAPI, registry.ScopeReadAPI, registry.ScopeReadUser); err != nil {
		return err
	}
	var user *registry.User
	err := h.Registry.Store.Read(q.Context(), func(tx registry.Tx) (err error) {
		user, err = tx.UserByUsername(name)
		return err
	})
	if registry.KindOf(err) == registry.NotFound {
		return registry.Errorf(registry.NotFound, "404 User Not Found")
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"_id": "org.couchdb.user:" + user.Username, "name": user.Username, "email": "", "type": "user", "roles": []string{}})
}

// ---- signing in

const (
	loginPoll = 1                    // seconds between two questions of the client
	tokenLife = 365 * 24 * time.Hour // of the tokens that npm login makes
)

// login answers PUT /-/user/org.couchdb.user:NAME, npm's legacy login, with a personal token.
func (h *Handler) login(w http.ResponseWriter, q *request, name string) error {
	var given struct{ Name, Password string }
	if err := readJSON(q, &given); err != nil {
		return err
	}
	name, _, _ = strings.Cut(name, "/-rev/") // npm 6 and older ask with a revision the second time
	if given.Name != "" && given.Name != name {
		return registry.Errorf(registry.Invalid, "the name in the body is not that in the URL")
	}
	user, err := h.Registry.SignIn(q.Context(), q.RemoteAddr, name, given.Password)
	if err != nil {
		return err
	}
	made := loginToken()
	made.UserID = user.ID
	token, err := h.Registry.IssueToken(q.Context(), made)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, map[string]any{"ok": true, "id": "org.couchdb.user:" + user.Username, "rev": "1", "token": token})
}

// beginLogin answers POST /-/v1/login, npm's login in the browser: one URL for the person, one to ask whether it is
// done. Both carry secrets of their own, so that seeing the person's URL does not give away the token.
func (h *Handler) beginLogin(w http.ResponseWriter, q *request) error {
	secret, hash, err := h.Registry.BeginLogin(q.Context(), q.RemoteAddr)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]string{
		"loginUrl": h.BaseURL(q.Request) + "/-/login/" + hex.EncodeToString(hash),
		"doneUrl":  q.prefix + "/-/v1/done/" + secret,
	})
}

// finishLogin answers GET /-/v1/done/SECRET: 202 until the person has signed in, then the token, once.
func (h *Handler) finishLogin(w http.ResponseWriter, q *request, secret string) error {
	if q.Method != http.MethodGet {
		return methodError("GET") // a HEAD would take the token and not show it
	}
	token, err := h.Registry.FinishLogin(q.Context(), secret, loginToken())
	switch {
	case registry.KindOf(err) == registry.NotFound:
		return registry.Errorf(registry.NotFound, "404 Login Not Found")
	case err != nil:
		return err
	case token == "":
		w.Header().Set("Retry-After", strconv.Itoa(loginPoll))
		return writeJSON(w, http.StatusAccepted, struct{}{})
	}
	return writeJSON(w, http.StatusOK, map[string]string{"token": token})
}

// loginToken is the token that npm login makes, but for its user.
func loginToken() *registry.Token {
	return personalToken("npm login", "", []string{registry.ScopeAPI}, tokenLife)
}

func personalToken(name, description string, scopes []string, life time.Duration) *registry.Token {
	return &registry.Token{Kind: registry.PersonalToken, Name: name, Description: description, Scopes: scopes,
		ExpiresAt: time.Now().Add(life).UTC().Truncate(24 * time.Hour)}
}

// logout answers DELETE /-/user/token/TOKEN. Whoever has the text of a token may revoke it.
func (h *Handler) logout(w http.ResponseWriter, q *request, text string) error {
	if _, err := h.signedIn(q); err != nil {
		return err
	}
	err := h.Registry.Store.Write(q.Context(), func(tx registry.Tx) error {
		token, err := tx.TokenByHash(registry.HashToken(text))
		if err != nil {
			return err
		}
		return registry.Revoke(tx, token)
	})
	if registry.KindOf(err) == registry.NotFound {
		return errNoToken
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"ok": true})
}

// ---- tokens

var errNoToken = registry.Errorf(registry.NotFound, "404 Token Not Found")

// tokenKey is the name by which npm token revokes a token. npm takes the beginning of one for the whole, so it has to
// look random, and it says nothing of the token itself.
func tokenKey(t *registry.Token) string {
	return hex.EncodeToString(registry.HashToken("npm token " + strconv.FormatInt(t.ID, 10)))
}

// tokenObject is how npm token shows a token; token is what it begins with, since its text is not kept.
func tokenObject(t *registry.Token) map[string]any {
	key := tokenKey(t)
	object := map[string]any{
		"key": key, "id": key, "token": "php_", "name": t.Name, "description": t.Description, "cidr_whitelist": nil, "readonly": !t.HasScope(registry.ScopeAPI, registry.ScopeWritePackage),
		"automation": false, "created": stamp(t.CreatedAt), "updated": stamp(t.CreatedAt), "scopes": t.Scopes,
	}
	if !t.ExpiresAt.IsZero() {
		object["expires"], object["expiry"] = stamp(t.ExpiresAt), stamp(t.ExpiresAt)
	}
	return object
}

// ownTokens are the tokens that a caller may see and revoke.
func ownTokens(c *access.Caller) registry.TokenFilter {
	return registry.TokenFilter{Kind: registry.PersonalToken, UserID: c.User.ID, Active: true}
}

// listTokens answers GET /-/npm/v1/tokens.
func (h *Handler) listTokens(w http.ResponseWriter, q *request) error {
	caller, err := h.signedIn(q, registry.ScopeAPI, registry.ScopeReadAPI)
	if err != nil {
		return err
	}
	objects := []map[string]any{}
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		tokens, err := tx.Tokens(ownTokens(caller))
		for _, t := range tokens {
			objects = append(objects, tokenObject(t))
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"objects": objects, "total": len(objects), "urls": struct{}{}})
}

// createToken answers POST /-/npm/v1/tokens. It asks for the password again, as npm does.
func (h *Handler) createToken(w http.ResponseWriter, q *request) error {
	caller, err := h.signedIn(q, registry.ScopeAPI)
	if err != nil {
		return err
	}
	var given struct {
		Password, Name, Description string
		Readonly                    bool
		CIDR                        []string `json:"cidr_whitelist"`
		Expires                     int      // days
	}
	if err := readJSON(q, &given); err != nil {
		return err
	}
	if len(given.CIDR) > 0 {
		return registry.Errorf(registry.Invalid, "tokens cannot be restricted to addresses here")
	}
	if _, err := h.Registry.SignIn(q.Context(), q.RemoteAddr, caller.User.Username, given.Password); err != nil {
		return err
	}
	name, scopes, life := "npm token", []string{registry.ScopeAPI}, tokenLife
	if given.Name != "" {
		name = given.Name
	}
	if given.Readonly {
		scopes = []string{registry.ScopeReadAPI}
	}
	if given.Expires > 0 && given.Expires <= 365 {
		life = time.Duration(given.Expires+1) * 24 * time.Hour
	}
	token := personalToken(name, given.Description, scopes, life)
	token.UserID = caller.User.ID
	text, err := h.Registry.IssueToken(q.Context(), token)
	if err != nil {
		return err
	}
	object := tokenObject(token)
	object["token"] = text
	return writeJSON(w, http.StatusCreated, object)
}

// deleteToken answers DELETE /-/npm/v1/tokens/token/KEY, where KEY may also be the token itself.
func (h *Handler) deleteToken(w http.ResponseWriter, q *request, key string) error {
	caller, err := h.signedIn(q, registry.ScopeAPI)
	if err != nil {
		return err
	}
	err = h.Registry.Store.Write(q.Context(), func(tx registry.Tx) error {
		tokens, err := tx.Tokens(ownTokens(caller))
		if err != nil {
			return err
		}
		for _, t := range tokens {
			if tokenKey(t) == key || bytes.Equal(t.Hash, registry.HashToken(key)) {
				return registry.Revoke(tx, t)
			}
		}
		return errNoToken
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ---- access

// visibility answers GET /-/package/:package/visibility.
func (h *Handler) visibility(w http.ResponseWriter, q *request, name string) error {
	f, err := h.find(q, name)
	if err != nil {
		return err
	}
	public := false
	for _, e := range f.Entries {
		p, err := f.View.ProjectByID(e.ProjectID)
		if err != nil {
			return err
		}
		public = public || p.Visibility == registry.Public || p.RegistryAccess == registry.RegistryPublic
	}
	return writeJSON(w, http.StatusOK, map[string]bool{"public": public})
}

// collaborators answers GET /-/package/:package/collaborators: the members of its projects, with what they may do.
func (h *Handler) collaborators(w http.ResponseWriter, q *request, name string) error {
	f, err := h.find(q, name)
	if err != nil {
		return err
	}
	if err := access.RequireScope(f.Caller.Caller, registry.ScopeAPI, registry.ScopeReadAPI); err != nil {
		return err
	}
	var members []*registry.Member
	for _, e := range f.Entries {
		p, err := f.View.ProjectByID(e.ProjectID)
		if err != nil {
			return err
		}
		// Who may pull from a project need not know of it, nor of its members.
		if known, err := f.View.Knows(f.Caller.Caller, p); err != nil {
			return err
		} else if !known {
			continue
		}
		err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
			direct, err := tx.Members(0, p.ID)
			members = append(members, direct...)
			for _, id := range p.Lineage {
				if err != nil {
					return err
				}
				var inherited []*registry.Member
				inherited, err = tx.Members(id, 0)
				members = append(members, inherited...)
			}
			return err
		})
		if err != nil {
			return err
		}
		if root, err := f.View.GroupByID(p.RootID()); err != nil {
			return err
		} else if root.Personal() {
			members = append(members, &registry.Member{UserID: root.OwnerID, Level: registry.Owner})
		}
	}
	rights := map[string]string{}
	for _, m := range members {
		user, err := f.View.UserByID(m.UserID)
		if err != nil {
			return err
		}
		switch {
		case !m.ExpiresAt.IsZero() && time.Now().After(m.ExpiresAt):
		case m.Level >= registry.Developer:
			rights[user.Username] = "read-write"
		case m.Level >= registry.Guest && rights[user.Username] == "":
			rights[user.Username] = "read-only"
		}
	}
	return writeJSON(w, http.StatusOK, rights)
}

// ---- audit

// emptyAudit is the answer of the quick audit when nothing is known against anything.
var emptyAudit = map[string]any{
	"actions": []any{}, "advisories": struct{}{}, "muted": []any{},
	"metadata": map[string]any{
		"vulnerabilities": map[string]int{"info": 0, "low": 0, "moderate": 0, "high": 0, "critical": 0},
		"dependencies":    0, "devDependencies": 0, "optionalDependencies": 0, "totalDependencies": 0,
	},
}

// audit answers POST /-/npm/v1/security/…: there are no advisories yet, so the answer does not depend on what is asked,
// but what is asked must be JSON.
func (h *Handler) audit(w http.ResponseWriter, q *request, answer any) error {
	caller, _, _, err := h.List(q.Request, q.at)
	if err != nil {
		return err
	}
	if caller.Anonymous() { // as with GitLab; npm install goes on without an audit
		return registry.Errorf(registry.Unauthenticated, "401 Unauthorized")
	}
	body := io.LimitReader(q.Body, h.MaxMetadata)
	if strings.EqualFold(q.Header.Get("Content-Encoding"), "gzip") {
		plain, err := gzip.NewReader(body)
		if err != nil {
			return registry.Errorf(registry.Invalid, "the body is not gzip")
		}
		body = format.Upload{Reader: plain}
	}
	if err := checkJSON(body, h.MaxMetadata); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// ping answers GET /-/ping. It is what people try a token with.
func (h *Handler) ping(w http.ResponseWriter, q *request) error {
	if _, err := h.Caller(q.Request); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct{}{})
}
