package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/gitrepo"
	"packhouse/internal/registry"
)

// API is the handlers.
type API struct {
	reg               *registry.Registry
	gate              *access.Gate
	repos             *gitrepo.Repos
	change            ChangeRefs
	baseURL           func(*http.Request) string
	version, revision string
	described         []byte // the OpenAPI document
}

// New makes the handlers. baseURL tells the public URL of a request ("http://host[:port]", no trailing slash).
func New(reg *registry.Registry, gate *access.Gate, repos *gitrepo.Repos, change ChangeRefs, baseURL func(*http.Request) string, version, revision string) *API {
	a := &API{reg: reg, gate: gate, repos: repos, change: change, baseURL: baseURL, version: version, revision: revision}
	var err error
	if a.described, err = describe(a.routes(), version); err != nil {
		panic(err) // our own table
	}
	return a
}

// route is a row of the table: what is asked, who answers, and what the OpenAPI document says of it.
type route struct {
	pattern string // method and path below /api/v4
	handle  handler
	operation
}

// success is the status of an answer that is none of an error.
func (r *route) success() int {
	switch method, _, _ := strings.Cut(r.pattern, " "); {
	case r.status != 0:
		return r.status
	case method == http.MethodPost:
		return http.StatusCreated
	case method == http.MethodDelete:
		return http.StatusNoContent
	}
	return http.StatusOK
}

// routes is the whole table. Each part stands beside its handlers.
func (a *API) routes() []route {
	return slices.Concat(
		a.instanceRoutes(),
		a.userRoutes(),
		a.groupRoutes(),
		a.projectRoutes(),
		a.memberRoutes(),
		a.personalTokenRoutes(),
		a.associationRoutes(),
		a.resourceTokenRoutes(),
		a.deployTokenRoutes(),
		a.jobTokenRoutes(),
		a.settingRoutes(),
		a.ruleRoutes(),
		a.auditRoutes(),
		a.cleanupRoutes(),
		a.downloadRoutes(),
		a.packageRoutes(),
		a.yankRoutes(),
		a.repositoryRoutes(),
	)
}

// Routes hands each pattern, as of [http.ServeMux], to handle. Unknown paths, trailing slashes and wrong methods are the server's.
func (a *API) Routes(handle func(pattern string, handler http.Handler)) {
	for _, route := range a.routes() {
		known := map[string]bool{}
		for _, p := range route.in {
			known[p.name] = true
		}
		handle(strings.Replace(route.pattern, " ", " /api/v4", 1), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := route.handle(w, r.WithContext(context.WithValue(r.Context(), knownKey{}, known))); err != nil {
				WriteError(w, r, err)
			}
		}))
	}
}

// knownKey leads to the names of the parameters that the table says a route reads.
type knownKey struct{}

// handler writes its answer, or returns the error that is to be answered and has written nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

func (a *API) instanceRoutes() []route {
	metadata := operation{tag: "Instance", summary: "Version of the server", out: metadataJSON{}}
	return []route{
		{"GET /version", a.metadata, metadata},
		{"GET /metadata", a.metadata, metadata},
		{"GET /openapi.json", a.openAPI, operation{tag: "Instance", summary: "This document", out: map[string]any{}, noLogin: true}},
	}
}

type metadataJSON struct {
	Version    string  `json:"version"`
	Revision   string  `json:"revision"`
	Kas        kasJSON `json:"kas"`
	Enterprise bool    `json:"enterprise"`
}

func (a *API) metadata(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.signedIn(w, r, registry.ScopeReadUser); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, metadataJSON{Version: a.version, Revision: a.revision})
}

// kasJSON describes GitLab's agent server for Kubernetes, which is not here.
type kasJSON struct {
	Enabled             bool    `json:"enabled"`
	ExternalURL         *string `json:"externalUrl"`
	ExternalK8sProxyURL *string `json:"externalK8sProxyUrl"`
	Version             *string `json:"version"`
}
