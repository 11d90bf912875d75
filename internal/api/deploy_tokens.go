package api

import (
	"net/http"
	"regexp"
	"time"

	"packhouse/internal/registry"
)

// Scopes that mean nothing here are taken too, since scripts ask for them; they open nothing.
var deployScopes = []string{registry.ScopeReadPackage, registry.ScopeWritePackage,
	registry.ScopeReadRepository, "read_registry", "write_registry", "read_virtual_registry", "write_virtual_registry"}

func (a *API) deployTokenRoutes() (routes []route) {
	const tag = "Deploy tokens"
	filters := append([]param{inFlag("active")}, inPages...)
	routes = append(routes, route{"GET /deploy_tokens", a.listAllDeployTokens, operation{tag: tag, summary: "All deploy tokens, for administrators", out: []deployTokenJSON{}, in: filters}})
	for prefix, in := range places {
		prefix += "/deploy_tokens"
		routes = append(routes,
			route{"POST " + prefix, a.createDeployToken(in), operation{tag: tag, summary: "Create a deploy token", out: deployTokenJSON{},
				in: []param{inName("name").must(), inText("username"), inList("scopes", deployScopes...).must(), inTime("expires_at")}}},
			route{"GET " + prefix, a.listDeployTokens(in), operation{tag: tag, summary: "Deploy tokens", out: []deployTokenJSON{}, in: filters}},
			route{"GET " + prefix + "/{token_id}", a.showDeployToken(in), operation{tag: tag, summary: "A deploy token", out: deployTokenJSON{}}},
			route{"DELETE " + prefix + "/{token_id}", a.revokeDeployToken(in), operation{tag: tag, summary: "Revoke a deploy token"}},
		)
	}
	return routes
}

type deployTokenJSON struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	Username  string    `json:"username"`
	ExpiresAt timestamp `json:"expires_at"`
	Scopes    []string  `json:"scopes"`
	Revoked   bool      `json:"revoked"`
	Expired   bool      `json:"expired"`
	Text      string    `json:"token,omitempty"` // only when it is made
}

func newDeployTokenJSON(t *registry.Token) deployTokenJSON {
	return deployTokenJSON{ID: t.ID, Name: t.Name, Username: t.Login(), ExpiresAt: timestamp(t.ExpiresAt), Scopes: t.Scopes, Revoked: t.Revoked,
		Expired: !t.ExpiresAt.IsZero() && !time.Now().Before(t.ExpiresAt)}
}

var deployUsername = regexp.MustCompile(`^[a-zA-Z0-9.+_-]*$`)

func (a *API) createDeployToken(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		token := &registry.Token{
			Kind: registry.DeployToken, Name: c.required("name"), Username: c.text("username", ""),
			Scopes: c.requiredChoices("scopes", deployScopes...), ExpiresAt: c.time("expires_at"),
		}
		c.short("username", token.Username)
		place, err := c.place(in, manage)
		if err != nil {
			return err
		}
		switch {
		case len(token.Scopes) == 0:
			return refuse(http.StatusBadRequest, "Scopes can't be blank")
		case !deployUsername.MatchString(token.Username):
			return refuse(http.StatusBadRequest, "Username can contain only letters, digits, '_', '-', '+', and '.'")
		}
		token.GroupID, token.ProjectID = place.groupID, place.projectID
		text, err := a.reg.IssueToken(r.Context(), token)
		if err != nil {
			return err
		}
		body := newDeployTokenJSON(token)
		body.Text = text
		return writeJSON(w, http.StatusCreated, body)
	}
}

func (a *API) listDeployTokens(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.anyone(w, r)
		if err != nil {
			return err
		}
		active, pg := c.flag("active", false), c.page()
		place, err := c.place(in, inspect)
		if err != nil {
			return err
		}
		filter := registry.TokenFilter{Kind: registry.DeployToken, GroupID: place.groupID, ProjectID: place.projectID, Active: active}
		tokens, total, err := a.pageTokens(r, filter, pg)
		if err != nil {
			return err
		}
		return c.writePage(w, r, pg, total, each(tokens, newDeployTokenJSON))
	}
}

func (a *API) listAllDeployTokens(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	active, pg := c.flag("active", false), c.page()
	if err := c.wrong(); err != nil {
		return err
	}
	if err := c.admin(); err != nil {
		return err
	}
	tokens, total, err := a.pageTokens(r, registry.TokenFilter{Kind: registry.DeployToken, Active: active}, pg)
	if err != nil {
		return err
	}
	return c.writePage(w, r, pg, total, each(tokens, newDeployTokenJSON))
}

func (a *API) showDeployToken(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.anyone(w, r)
		if err != nil {
			return err
		}
		token, _, err := a.deployToken(c, r, in)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, newDeployTokenJSON(token))
	}
}

func (a *API) revokeDeployToken(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		token, place, err := a.deployToken(c, r, in)
		if err != nil {
			return err
		}
		if err := c.may(place.level, place.manage); err != nil {
			return err
		}
		if err := a.revoke(r, token); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// deployToken finds the deploy token :token_id of the project or group :id, for those who may list them.
func (a *API) deployToken(c *call, r *http.Request, in finder) (*registry.Token, *place, error) {
	id := c.number("token_id", 0)
	place, err := c.place(in, inspect)
	if err != nil {
		return nil, nil, err
	}
	token, err := a.token(r, id)
	if err == nil && (token.Kind != registry.DeployToken || token.GroupID != place.groupID || token.ProjectID != place.projectID) {
		err = errNotFound
	}
	return token, place, err
}
