package api

import (
	"net/http"
	"net/url"
	"regexp"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

const (
	day = 24 * time.Hour
	// maxLifetime of a personal token, and what one has that does not say.
	maxLifetime = 365 * day

	jobLifetime    = 3600      // seconds
	maxJobLifetime = 24 * 3600 // seconds
)

// Scopes that mean nothing here are taken too, since scripts ask for them; they open nothing.
var (
	personalScopes = []string{registry.ScopeAPI, registry.ScopeReadAPI, registry.ScopeReadUser, registry.ScopeReadPackage, registry.ScopeWritePackage,
		"read_repository", "write_repository", "read_registry", "write_registry", "sudo", "admin_mode", "create_runner", "manage_runner", "k8s_proxy", "self_rotate"}
	deployScopes = []string{registry.ScopeReadPackage, registry.ScopeWritePackage,
		"read_repository", "read_registry", "write_registry", "read_virtual_registry", "write_virtual_registry"}
)

// ---- personal access tokens

func (a *API) personalTokenRoutes() []route {
	const tag = "Personal access tokens"
	return []route{
		{"POST /users/{id}/personal_access_tokens", a.createPersonalToken, operation{tag: tag, summary: "Create a token for a user, as an administrator", out: personalTokenJSON{},
			in: []param{inName("name").must(), inText("description"), inList("scopes", personalScopes...).must(), inDate("expires_at")}}},
		{"GET /personal_access_tokens", a.listPersonalTokens, operation{tag: tag, summary: "Tokens", out: []personalTokenJSON{},
			in: append([]param{inNumber("user_id"), inChoice("state", "active", "inactive")}, inPages...)}},
		{"GET /personal_access_tokens/self", a.showOwnToken, operation{tag: tag, summary: "The token that the request came with", out: personalTokenJSON{}}},
		{"DELETE /personal_access_tokens/self", a.revokeOwnToken, operation{tag: tag, summary: "Revoke the token that the request came with"}},
		{"GET /personal_access_tokens/{id}", a.showPersonalToken, operation{tag: tag, summary: "A token", out: personalTokenJSON{}}},
		{"DELETE /personal_access_tokens/{id}", a.revokePersonalToken, operation{tag: tag, summary: "Revoke a token"}},
	}
}

type personalTokenJSON struct {
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

func newPersonalTokenJSON(t *registry.Token) personalTokenJSON {
	return personalTokenJSON{ID: t.ID, Name: t.Name, Revoked: t.Revoked, CreatedAt: timestamp(t.CreatedAt), Description: orNull(t.Description),
		Scopes: t.Scopes, UserID: t.UserID, LastUsedAt: timestamp(t.LastUsedAt), Active: t.Active(time.Now()), ExpiresAt: date(t.ExpiresAt)}
}

// personal tells whether a token stands for a user, as people and bots have them.
func personal(t *registry.Token) bool {
	return t.Kind == registry.PersonalToken || t.Kind == registry.ResourceToken
}

func (a *API) createPersonalToken(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	token := &registry.Token{
		Kind: registry.PersonalToken, UserID: c.number("id", 0), Name: c.required("name"), Description: c.text("description", ""),
		Scopes: c.requiredChoices("scopes", personalScopes...), ExpiresAt: c.date("expires_at"),
	}
	if err := c.wrong(); err != nil {
		return err
	}
	if err := c.admin(); err != nil {
		return err
	}
	if _, err := c.view.UserByID(token.UserID); err != nil {
		return orElse(err, registry.NotFound, errNoUser)
	}
	latest := time.Now().UTC().Truncate(day).Add(maxLifetime)
	switch {
	case len(token.Scopes) == 0:
		return refuse(http.StatusBadRequest, "Scopes can't be blank")
	case token.ExpiresAt.IsZero():
		token.ExpiresAt = latest
	case token.ExpiresAt.After(latest):
		return invalid("expires_at", "must be before %s", latest.Add(day).Format(time.DateOnly))
	}
	text, err := a.reg.IssueToken(r.Context(), token)
	if err != nil {
		return err
	}
	body := newPersonalTokenJSON(token)
	body.Text = text
	return writeJSON(w, http.StatusCreated, body)
}

func (a *API) listPersonalTokens(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	user, state, pg := c.number("user_id", 0), c.choice("state", "", "active", "inactive"), c.page()
	if err := c.wrong(); err != nil {
		return err
	}
	if !c.who.User.Admin {
		if user != 0 && user != c.who.User.ID {
			return errAnonymous // GitLab's 401, for one who is signed in too
		}
		user = c.who.User.ID
	}
	filter := registry.TokenFilter{Kind: registry.PersonalToken, UserID: user, Active: state == "active", Inactive: state == "inactive"}
	tokens, total, err := a.pageTokens(r, filter, pg)
	if err != nil {
		return err
	}
	return c.writePage(w, r, pg, total, each(tokens, newPersonalTokenJSON))
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

func (a *API) revoke(r *http.Request, id int64) error {
	return a.reg.Store.Write(r.Context(), func(tx registry.Tx) error { return tx.RevokeToken(id) })
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
	return writeJSON(w, http.StatusOK, newPersonalTokenJSON(token))
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
	if err := a.revoke(r, token.ID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// personalToken finds the token :id, one of the caller's own unless they are an administrator. To others, one that is
// missing is no different from one that is somebody else's.
func (a *API) personalToken(c *call, r *http.Request) (*registry.Token, error) {
	id := c.number("id", 0)
	if err := c.wrong(); err != nil {
		return nil, err
	}
	token, err := a.token(r, id)
	if err == nil && (!personal(token) || token.UserID != c.who.User.ID && !c.who.User.Admin) {
		err = errNotFound
	}
	if !c.who.User.Admin {
		err = orElse(err, registry.NotFound, errAnonymous) // GitLab's 401
	}
	return token, err
}

func (a *API) showOwnToken(w http.ResponseWriter, r *http.Request) error {
	token, err := a.ownToken(w, r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newPersonalTokenJSON(token))
}

func (a *API) revokeOwnToken(w http.ResponseWriter, r *http.Request) error {
	token, err := a.ownToken(w, r)
	if err != nil {
		return err
	}
	if err := a.revoke(r, token.ID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ownToken is the token that the request came with, whatever its scopes: whoever holds it may know and end it.
func (a *API) ownToken(w http.ResponseWriter, r *http.Request) (*registry.Token, error) {
	c, err := a.open(w, r)
	switch {
	case err != nil:
		return nil, err
	case c.who.Anonymous():
		return nil, errAnonymous
	case c.who.Token == nil || !personal(c.who.Token):
		return nil, refuse(http.StatusBadRequest, "400 Bad request - This endpoint requires token type to be a personal access token")
	}
	return a.token(r, c.who.Token.ID) // the caller's copy does not know its last use
}

// ---- deploy tokens

func (a *API) deployTokenRoutes() (routes []route) {
	const tag = "Deploy tokens"
	for prefix, in := range places {
		prefix += "/deploy_tokens"
		routes = append(routes,
			route{"POST " + prefix, a.createDeployToken(in), operation{tag: tag, summary: "Create a deploy token", out: deployTokenJSON{},
				in: []param{inName("name").must(), inText("username"), inList("scopes", deployScopes...).must(), inTime("expires_at")}}},
			route{"GET " + prefix, a.listDeployTokens(in), operation{tag: tag, summary: "Deploy tokens", out: []deployTokenJSON{}, in: append([]param{inFlag("active")}, inPages...)}},
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
		if err := c.wrong(); err != nil {
			return err
		}
		place, err := in(c)
		if err != nil {
			return err
		}
		if err := c.may(place.level, place.manage); err != nil {
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
		if err := c.wrong(); err != nil {
			return err
		}
		place, err := in(c)
		if err != nil {
			return err
		}
		if err := c.may(place.level, access.Inspect); err != nil {
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
		if err := a.revoke(r, token.ID); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// deployToken finds the deploy token :token_id of the project or group :id, for those who may list them.
func (a *API) deployToken(c *call, r *http.Request, in finder) (*registry.Token, *place, error) {
	id := c.number("token_id", 0)
	if err := c.wrong(); err != nil {
		return nil, nil, err
	}
	place, err := in(c)
	if err != nil {
		return nil, nil, err
	}
	if err := c.may(place.level, access.Inspect); err != nil {
		return nil, nil, err
	}
	token, err := a.token(r, id)
	if err == nil && (token.Kind != registry.DeployToken || token.GroupID != place.groupID || token.ProjectID != place.projectID) {
		err = errNotFound
	}
	return token, place, err
}

// ---- job tokens

func (a *API) jobTokenRoutes() []route {
	return []route{
		{"POST /projects/{id}/job_tokens", a.createJobToken, operation{tag: "Job tokens", summary: "Create the token of a CI job", out: jobTokenJSON{},
			in: []param{inName("ref"), inText("sha"), inText("web_url"), inName("source"), inNumber("expires_in").says("seconds")}}},
	}
}

type jobTokenJSON struct {
	Text      string       `json:"token"`
	ExpiresAt timestamp    `json:"expires_at"`
	Pipeline  pipelineJSON `json:"pipeline"`
}

// pipelineJSON is a CI run. It is numbered across the server and has no state here.
type pipelineJSON struct {
	ID        int64     `json:"id"`
	IID       int64     `json:"iid"`
	ProjectID int64     `json:"project_id"`
	SHA       string    `json:"sha"`
	Ref       string    `json:"ref"`
	Status    string    `json:"status"`
	Source    string    `json:"source"`
	CreatedAt timestamp `json:"created_at"`
	UpdatedAt timestamp `json:"updated_at"`
	WebURL    string    `json:"web_url"`
	User      *userJSON `json:"user"`
}

func (c *call) pipelineJSON(p *registry.Pipeline, u *registry.User, status string) pipelineJSON {
	j := pipelineJSON{ID: p.ID, IID: p.ID, ProjectID: p.ProjectID, SHA: p.SHA, Ref: p.Ref, Status: status, Source: p.Source,
		CreatedAt: timestamp(p.CreatedAt), UpdatedAt: timestamp(p.CreatedAt), WebURL: p.WebURL}
	if u != nil {
		user := c.userJSON(u)
		j.User = &user
	}
	return j
}

var sha = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})?$`)

// createJobToken is not in GitLab, whose own runner gets such tokens: here another CI asks for one at the beginning of
// a job, and what the job publishes is shown with its commit and run.
func (a *API) createJobToken(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	pipeline := &registry.Pipeline{
		UserID: c.who.User.ID, Ref: c.text("ref", ""), SHA: c.text("sha", ""), WebURL: c.text("web_url", ""), Source: c.text("source", "external"),
	}
	c.short("ref", pipeline.Ref)
	c.short("source", pipeline.Source)
	if !sha.MatchString(pipeline.SHA) {
		c.problem("sha is invalid")
	}
	if web, err := url.Parse(pipeline.WebURL); pipeline.WebURL != "" && (err != nil || web.Host == "" || web.Scheme != "https" && web.Scheme != "http") {
		c.problem("web_url is invalid") // pages link to it, so no javascript: or data:
	}
	seconds := c.number("expires_in", jobLifetime)
	if seconds < 1 || seconds > maxJobLifetime {
		c.problem("expires_in does not have a valid value")
	}
	id := c.text("id", "")
	if err := c.wrong(); err != nil {
		return err
	}
	project, level, err := c.project(id)
	if err != nil {
		return err
	}
	if err := c.may(level, access.Publish); err != nil {
		return err
	}
	pipeline.ProjectID = project.ID
	expires := time.Now().Add(time.Duration(seconds) * time.Second)
	text, err := a.reg.JobToken(r.Context(), pipeline, expires)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, jobTokenJSON{text, timestamp(expires), c.pipelineJSON(pipeline, c.who.User, "running")})
}
