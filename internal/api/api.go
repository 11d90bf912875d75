package api

import (
	"net/http"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// API is the handlers.
type API struct {
	reg               *registry.Registry
	gate              *access.Gate
	baseURL           func(*http.Request) string
	version, revision string
}

// New makes the handlers. baseURL tells the public URL of a request ("http://host[:port]", no trailing slash).
func New(reg *registry.Registry, gate *access.Gate, baseURL func(*http.Request) string, version, revision string) *API {
	return &API{reg, gate, baseURL, version, revision}
}

// Routes registers the handlers. Unknown paths, trailing slashes and wrong methods are the server's.
func (a *API) Routes(mux *http.ServeMux) {
	for pattern, h := range map[string]handler{
		"GET /version":  a.metadata,
		"GET /metadata": a.metadata,

		"GET /user":       a.currentUser,
		"GET /users":      a.listUsers,
		"POST /users":     a.createUser,
		"GET /users/{id}": a.showUser,

		"POST /users/{id}/personal_access_tokens": a.createPersonalToken,
		"GET /personal_access_tokens":             a.listPersonalTokens,
		"GET /personal_access_tokens/self":        a.showOwnToken,
		"DELETE /personal_access_tokens/self":     a.revokeOwnToken,
		"GET /personal_access_tokens/{id}":        a.showPersonalToken,
		"DELETE /personal_access_tokens/{id}":     a.revokePersonalToken,

		"POST /groups":     a.createGroup,
		"GET /groups/{id}": a.showGroup,

		"POST /groups/{id}/members": a.createMember(inGroup),
		"GET /groups/{id}/members":  a.listMembers(inGroup),

		"POST /groups/{id}/deploy_tokens":              a.createDeployToken(inGroup),
		"GET /groups/{id}/deploy_tokens":               a.listDeployTokens(inGroup),
		"GET /groups/{id}/deploy_tokens/{token_id}":    a.showDeployToken(inGroup),
		"DELETE /groups/{id}/deploy_tokens/{token_id}": a.revokeDeployToken(inGroup),

		"POST /projects":     a.createProject,
		"GET /projects/{id}": a.showProject,

		"POST /projects/{id}/members": a.createMember(inProject),
		"GET /projects/{id}/members":  a.listMembers(inProject),

		"POST /projects/{id}/deploy_tokens":              a.createDeployToken(inProject),
		"GET /projects/{id}/deploy_tokens":               a.listDeployTokens(inProject),
		"GET /projects/{id}/deploy_tokens/{token_id}":    a.showDeployToken(inProject),
		"DELETE /projects/{id}/deploy_tokens/{token_id}": a.revokeDeployToken(inProject),

		"POST /projects/{id}/job_tokens": a.createJobToken,
	} {
		mux.Handle(strings.Replace(pattern, " ", " /api/v4", 1), h)
	}
}

// handler writes its answer, or returns the error that is to be answered and has written nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		WriteError(w, r, err)
	}
}

func (a *API) metadata(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.signedIn(w, r, registry.ScopeReadUser); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Version    string  `json:"version"`
		Revision   string  `json:"revision"`
		Kas        kasJSON `json:"kas"`
		Enterprise bool    `json:"enterprise"`
	}{Version: a.version, Revision: a.revision})
}

// kasJSON describes GitLab's agent server for Kubernetes, which is not here.
type kasJSON struct {
	Enabled             bool    `json:"enabled"`
	ExternalURL         *string `json:"externalUrl"`
	ExternalK8sProxyURL *string `json:"externalK8sProxyUrl"`
	Version             *string `json:"version"`
}
