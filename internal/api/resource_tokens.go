package api

import (
	"net/http"
	"slices"
	"strconv"

	"packhouse/internal/registry"
)

// The tokens of a project or group, which GitLab calls its access tokens: each is that of a bot, which is a member.

func (a *API) resourceTokenRoutes() (routes []route) {
	for prefix, in := range places {
		tag := "Project access tokens"
		if prefix == "/groups/{id}" {
			tag = "Group access tokens"
		}
		prefix += "/access_tokens"
		rotation := operation{tag: tag, summary: "Rotate a token", out: resourceTokenJSON{}, in: inRotation, status: http.StatusOK}
		own := rotation
		own.summary, own.also = "Rotate the token that the request came with", []int{http.StatusMethodNotAllowed}
		routes = append(routes,
			route{"GET " + prefix, a.listResourceTokens(in), operation{tag: tag, summary: "Tokens", out: []resourceTokenJSON{}, in: inTokens}},
			route{"POST " + prefix, a.createResourceToken(in), operation{tag: tag, summary: "Create a token", out: resourceTokenJSON{},
				in: append(inNewToken(resourceScopes), inNumber("access_level").says("40 by default"))}},
			route{"GET " + prefix + "/{token_id}", a.showResourceToken(in), operation{tag: tag, summary: "A token", out: resourceTokenJSON{}}},
			route{"DELETE " + prefix + "/{token_id}", a.revokeResourceToken(in), operation{tag: tag, summary: "Revoke a token"}},
			route{"POST " + prefix + "/{token_id}/rotate", a.rotateResourceToken(in), rotation},
			route{"POST " + prefix + "/self/rotate", a.rotateOwnResourceToken(in), own},
		)
	}
	return routes
}

type resourceTokenJSON struct {
	userTokenJSON
	Level        registry.Level `json:"access_level"`
	ResourceType string         `json:"resource_type"` // "project" or "group"
	ResourceID   int64          `json:"resource_id"`
}

func newResourceTokenJSON(t *registry.Token) resourceTokenJSON {
	j := resourceTokenJSON{newUserTokenJSON(t), t.Level, "project", t.ProjectID}
	if t.GroupID != 0 {
		j.ResourceType, j.ResourceID = "group", t.GroupID
	}
	return j
}

func writeNewResource(w http.ResponseWriter, status int, token *registry.Token, text string) error {
	body := newResourceTokenJSON(token)
	body.Text = text
	return writeJSON(w, status, body)
}

// kind is "project" or "group".
func (p *place) kind() string {
	if p.groupID != 0 {
		return "group"
	}
	return "project"
}

// mayHaveTokens says whether the caller has to do with the tokens of a place. A token does not make tokens, so that
// revoking it ends what it opened.
func (c *call) mayHaveTokens(p *place) bool { return p.level >= p.manage.Level() && !c.who.User.Bot }

func (a *API) listResourceTokens(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		filter, pg := c.tokenFilter(registry.TokenFilter{Kind: registry.ResourceToken}), c.page()
		if err := c.wrong(); err != nil {
			return err
		}
		place, err := in(c)
		if err != nil {
			return err
		}
		if !c.mayHaveTokens(place) {
			return errAnonymous // GitLab's 401
		}
		filter.GroupID, filter.ProjectID = place.groupID, place.projectID
		tokens, total, err := a.pageTokens(r, filter, pg)
		if err != nil {
			return err
		}
		return c.writePage(w, r, pg, total, each(tokens, newResourceTokenJSON))
	}
}

// tokenLevels are the levels that a bot may have.
var tokenLevels = []registry.Level{registry.Guest, registry.Planner, registry.Reporter, registry.Developer, registry.Maintainer, registry.Owner}

func (a *API) createResourceToken(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		token := c.newToken(registry.ResourceToken, resourceScopes)
		token.Level = registry.Level(c.number("access_level", int64(registry.Maintainer)))
		if !slices.Contains(tokenLevels, token.Level) {
			c.problem("access_level does not have a valid value")
		}
		if err := c.wrong(); err != nil {
			return err
		}
		place, err := in(c)
		if err != nil {
			return err
		}
		switch {
		case !c.mayHaveTokens(place):
			return refuse(http.StatusBadRequest, "400 Bad request - User does not have permission to create "+place.kind()+" access token")
		case token.Level > place.level:
			return refuse(http.StatusBadRequest, "400 Bad request - Access level of the token can't be greater than the access level of the user who created the token")
		}
		if err := checkToken(token, maxLifetime); err != nil {
			return err
		}
		token.GroupID, token.ProjectID = place.groupID, place.projectID
		text, err := a.reg.IssueBotToken(r.Context(), token, c.who.User.External)
		if err != nil {
			return err
		}
		return writeNewResource(w, http.StatusCreated, token, text)
	}
}

// resourceToken finds the token :token_id of the place. What the caller may not do, and a token that is not there, are
// 401 unless they may have to do with tokens.
func (a *API) resourceToken(c *call, r *http.Request, in finder) (*registry.Token, *place, error) {
	id := c.number("token_id", 0)
	if err := c.wrong(); err != nil {
		return nil, nil, err
	}
	place, err := in(c)
	if err != nil {
		return nil, nil, err
	}
	if !c.mayHaveTokens(place) {
		return nil, nil, errAnonymous
	}
	token, err := a.token(r, id)
	if err == nil && (token.Kind != registry.ResourceToken || token.GroupID != place.groupID || token.ProjectID != place.projectID) {
		err = errNotFound
	}
	return token, place, orElse(err, registry.NotFound,
		registry.Errorf(registry.NotFound, "404 Could not find %s access token with token_id: %s Not Found", place.kind(), strconv.FormatInt(id, 10)))
}

func (a *API) showResourceToken(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		token, _, err := a.resourceToken(c, r, in)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, newResourceTokenJSON(token))
	}
}

func (a *API) revokeResourceToken(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		token, place, err := a.resourceToken(c, r, in)
		if err != nil {
			return err
		}
		if token.Level > place.level {
			return errForbidden
		}
		if err := a.revoke(r, token); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

func (a *API) rotateResourceToken(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.rotating(w, r)
		if err != nil {
			return err
		}
		expires := c.date("expires_at")
		token, place, err := a.resourceToken(c, r, in)
		if registry.KindOf(err) == registry.NotFound && place != nil && !c.who.User.Admin {
			err = errAnonymous // GitLab's 401
		}
		if err != nil {
			return err
		}
		if token.Level > place.level {
			return errForbidden
		}
		fresh, text, err := a.rotate(r, token, expires)
		if err != nil {
			return err
		}
		return writeNewResource(w, http.StatusOK, fresh, text)
	}
}

// rotateOwnResourceToken lets a bot rotate its token, in the place that it belongs to.
func (a *API) rotateOwnResourceToken(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, expires, err := a.ownRotation(w, r, registry.ResourceToken)
		if err != nil {
			return err
		}
		place, err := in(c)
		if err != nil {
			return err
		}
		token := c.who.Token
		if token.GroupID != place.groupID || token.ProjectID != place.projectID {
			return errAnonymous
		}
		fresh, text, err := a.rotate(r, token, expires)
		if err != nil {
			return err
		}
		return writeNewResource(w, http.StatusOK, fresh, text)
	}
}
