package api

import (
	"net/http"

	"packhouse/internal/registry"
)

func (a *API) personalTokenRoutes() []route {
	const tag = "Personal access tokens"
	const one, ofUser = "/personal_access_tokens/{id}", "/users/{id}/impersonation_tokens"
	return []route{
		{"POST /users/{id}/personal_access_tokens", a.createPersonalToken, operation{tag: tag, summary: "Create a token for a user, as an administrator", out: userTokenJSON{},
			in: inNewToken(personalScopes)}},
		{"POST /user/personal_access_tokens", a.createOwnToken, operation{tag: tag, summary: "Create a token of few rights for oneself", out: userTokenJSON{}, in: inNewToken(ownScopes)}},
		{"GET /personal_access_tokens", a.listPersonalTokens, operation{tag: tag, summary: "One's own tokens; of all users, for administrators", out: []userTokenJSON{},
			in: append([]param{inNumber("user_id")}, inTokens...)}},
		{"GET /personal_access_tokens/self", a.showOwnToken, operation{tag: tag, summary: "The token that the request came with", out: userTokenJSON{}}},
		{"DELETE /personal_access_tokens/self", a.revokeOwnToken, operation{tag: tag, summary: "Revoke the token that the request came with"}},
		{"POST /personal_access_tokens/self/rotate", a.rotateOwnToken, operation{tag: tag, summary: "Rotate the token that the request came with", out: userTokenJSON{},
			in: inRotation, status: http.StatusOK, also: []int{http.StatusMethodNotAllowed}}},
		{"GET " + one, a.showPersonalToken, operation{tag: tag, summary: "A token", out: userTokenJSON{}}},
		{"DELETE " + one, a.revokePersonalToken, operation{tag: tag, summary: "Revoke a token"}},
		{"POST " + one + "/rotate", a.rotatePersonalToken, operation{tag: tag, summary: "Rotate a token", out: userTokenJSON{}, in: inRotation, status: http.StatusOK}},

		{"GET " + ofUser, a.listImpersonationTokens, operation{tag: tag, summary: "Tokens to act as a user, for administrators", out: []impersonationTokenJSON{},
			in: append([]param{inChoice("state", "all", "active", "inactive")}, inPages...)}},
		{"POST " + ofUser, a.createImpersonationToken, operation{tag: tag, summary: "Create a token to act as a user, as an administrator", out: impersonationTokenJSON{},
			in: inNewToken(personalScopes)}},
		{"GET " + ofUser + "/{token_id}", a.showImpersonationToken, operation{tag: tag, summary: "A token to act as a user, for administrators", out: impersonationTokenJSON{}}},
		{"DELETE " + ofUser + "/{token_id}", a.revokeImpersonationToken, operation{tag: tag, summary: "Revoke a token to act as a user, as an administrator"}},
	}
}

// writeNew answers a token with its text, which is not shown again.
func writeNew(w http.ResponseWriter, status int, token *registry.Token, text string) error {
	body := newUserTokenJSON(token)
	body.Text = text
	return writeJSON(w, status, body)
}

func (a *API) createPersonalToken(w http.ResponseWriter, r *http.Request) error {
	var token *registry.Token
	_, user, err := a.administered(w, r, func(c *call) { token = c.newToken(registry.PersonalToken, personalScopes) })
	if err != nil {
		return err
	}
	if user.Bot {
		return errForbidden // a bot has the token that it was made with
	}
	token.UserID = user.ID
	text, err := a.issue(r, token, maxLifetime)
	if err != nil {
		return err
	}
	return writeNew(w, http.StatusCreated, token, text)
}

// createOwnToken makes tokens that open nothing here but their own rotation, as in GitLab: a token that leaked must
// not make itself heirs. Whoever has signed in in a browser chooses freely.
func (a *API) createOwnToken(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	scopes, life := ownScopes, day
	if c.who.Session != nil {
		scopes, life = personalScopes, maxLifetime
	}
	token := c.newToken(registry.PersonalToken, scopes)
	if err := c.wrong(); err != nil {
		return err
	}
	if c.who.User.Bot {
		return errForbidden
	}
	token.UserID = c.who.User.ID
	text, err := a.issue(r, token, life)
	if err != nil {
		return err
	}
	return writeNew(w, http.StatusCreated, token, text)
}

func (a *API) listPersonalTokens(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	filter := c.tokenFilter(registry.TokenFilter{Kind: registry.PersonalToken, Impersonation: new(false), UserID: c.number("user_id", 0)})
	pg := c.page()
	if err := c.wrong(); err != nil {
		return err
	}
	if !c.who.User.Admin {
		if filter.UserID != 0 && filter.UserID != c.who.User.ID {
			return errAnonymous // GitLab's 401, for one who is signed in too
		}
		filter.UserID = c.who.User.ID
	}
	if c.who.User.Bot {
		filter.Kind = registry.ResourceToken
	}
	tokens, total, err := a.pageTokens(r, filter, pg)
	if err != nil {
		return err
	}
	return c.writePage(w, r, pg, total, each(tokens, newUserTokenJSON))
}

func (a *API) showPersonalToken(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	token, err := a.personalToken(c, r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newUserTokenJSON(token))
}

func (a *API) revokePersonalToken(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	token, err := a.personalToken(c, r)
	if err != nil {
		return err
	}
	if err := a.revoke(r, token); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) rotatePersonalToken(w http.ResponseWriter, r *http.Request) error {
	c, err := a.rotating(w, r)
	if err != nil {
		return err
	}
	expires := c.date("expires_at")
	token, err := a.personalToken(c, r)
	if err != nil {
		return err
	}
	fresh, text, err := a.rotate(r, token, expires)
	if err != nil {
		return err
	}
	return writeNew(w, http.StatusOK, fresh, text)
}

// personalToken finds the token :id, one of the caller's own unless they are an administrator. To others, one that is
// missing is no different from one that is somebody else's, or that an administrator made to act as them.
func (a *API) personalToken(c *call, r *http.Request) (*registry.Token, error) {
	id := c.number("id", 0)
	if err := c.wrong(); err != nil {
		return nil, err
	}
	token, err := a.token(r, id)
	if err == nil && (!personal(token) || (token.UserID != c.who.User.ID || token.Impersonation) && !c.who.User.Admin) {
		err = errNotFound
	}
	if !c.who.User.Admin {
		err = orElse(err, registry.NotFound, errAnonymous) // GitLab's 401
	}
	return token, err
}

func (a *API) showOwnToken(w http.ResponseWriter, r *http.Request) error {
	_, token, err := a.ownToken(w, r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newUserTokenJSON(token))
}

func (a *API) revokeOwnToken(w http.ResponseWriter, r *http.Request) error {
	_, token, err := a.ownToken(w, r)
	if err != nil {
		return err
	}
	if err := a.revoke(r, token); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) rotateOwnToken(w http.ResponseWriter, r *http.Request) error {
	c, expires, err := a.ownRotation(w, r, "")
	if err != nil {
		return err
	}
	fresh, text, err := a.rotate(r, c.who.Token, expires)
	if err != nil {
		return err
	}
	return writeNew(w, http.StatusOK, fresh, text)
}

// ---- impersonation

type impersonationTokenJSON struct {
	userTokenJSON
	Impersonation bool `json:"impersonation"`
}

func newImpersonationTokenJSON(t *registry.Token) impersonationTokenJSON {
	return impersonationTokenJSON{newUserTokenJSON(t), true}
}

func (a *API) listImpersonationTokens(w http.ResponseWriter, r *http.Request) error {
	filter := registry.TokenFilter{Kind: registry.PersonalToken, Impersonation: new(true)}
	var pg page
	c, user, err := a.administered(w, r, func(c *call) {
		state := c.choice("state", "all", "all", "active", "inactive")
		filter.Active, filter.Inactive, pg = state == "active", state == "inactive", c.page()
	})
	if err != nil {
		return err
	}
	filter.UserID = user.ID
	tokens, total, err := a.pageTokens(r, filter, pg)
	if err != nil {
		return err
	}
	return c.writePage(w, r, pg, total, each(tokens, newImpersonationTokenJSON))
}

func (a *API) createImpersonationToken(w http.ResponseWriter, r *http.Request) error {
	var token *registry.Token
	_, user, err := a.administered(w, r, func(c *call) { token = c.newToken(registry.PersonalToken, personalScopes) })
	if err != nil {
		return err
	}
	if user.Bot {
		return errForbidden
	}
	token.UserID, token.Impersonation = user.ID, true
	text, err := a.issue(r, token, maxLifetime)
	if err != nil {
		return err
	}
	body := newImpersonationTokenJSON(token)
	body.Text = text
	return writeJSON(w, http.StatusCreated, body)
}

func (a *API) showImpersonationToken(w http.ResponseWriter, r *http.Request) error {
	token, err := a.impersonationToken(w, r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newImpersonationTokenJSON(token))
}

func (a *API) revokeImpersonationToken(w http.ResponseWriter, r *http.Request) error {
	token, err := a.impersonationToken(w, r)
	if err != nil {
		return err
	}
	if err := a.revoke(r, token); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) impersonationToken(w http.ResponseWriter, r *http.Request) (*registry.Token, error) {
	var id int64
	_, user, err := a.administered(w, r, func(c *call) { id = c.number("token_id", 0) })
	if err != nil {
		return nil, err
	}
	token, err := a.token(r, id)
	if err == nil && (!token.Impersonation || token.UserID != user.ID) {
		err = errNotFound
	}
	return token, orElse(err, registry.NotFound, registry.Errorf(registry.NotFound, "404 Impersonation Token Not Found"))
}
