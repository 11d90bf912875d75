package pypi

import (
	"net/http"
	"strings"

	"packhouse/internal/document"
	"packhouse/internal/format"
)

// Handler serves the protocol.
type Handler struct {
	format.Finder
	Documents   *document.Cache
	MaxFile     int64 // bytes of a distribution
	MaxMetadata int64 // bytes of everything else in one request
}

// Routes hands the patterns to handle.
func (h *Handler) Routes(handle func(pattern string, handler http.Handler)) {
	const project, group = "/api/v4/projects/{project}/packages/pypi", "/api/v4/groups/{group}/-/packages/pypi"
	route := func(pattern string, serve func(http.ResponseWriter, *request) error) {
		handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			prefix, _, _ := strings.Cut(r.URL.EscapedPath(), "/packages/pypi")
			q := &request{Request: r, prefix: h.BaseURL(r) + prefix + "/packages/pypi", at: format.Place{Project: r.PathValue("project"), Group: r.PathValue("group")}}
			if err := serve(w, q); err != nil {
				h.writeError(w, r, err)
			}
		}))
	}
	route("POST "+project, h.upload)
	route("PUT "+project, h.upload) // as GitLab's page has it
	for _, prefix := range []string{project, group} {
		route("GET "+prefix+"/simple", h.index)
		route("GET "+prefix+"/simple/{name}", func(w http.ResponseWriter, q *request) error { return h.page(w, q, q.PathValue("name")) })
		route("GET "+prefix+"/files/{sha256}/{file}", func(w http.ResponseWriter, q *request) error {
			return h.download(w, q, q.PathValue("sha256"), q.PathValue("file"))
		})
		route("GET "+prefix+"/pypi/{name}/json", func(w http.ResponseWriter, q *request) error { return h.legacy(w, q, q.PathValue("name"), "") })
		route("GET "+prefix+"/pypi/{name}/{version}/json", func(w http.ResponseWriter, q *request) error {
			return h.legacy(w, q, q.PathValue("name"), q.PathValue("version"))
		})
	}
}

// request is a request below one of the prefixes.
type request struct {
	*http.Request
	prefix string // URL up to ".../packages/pypi", as it was asked
	at     format.Place
}

// ---- answers

var errNoPackage = format.ErrNoPackage

var writeJSON = format.WriteJSON

// writeError answers as GitLab's REST API does; twine and uv print either form.
func (h *Handler) writeError(w http.ResponseWriter, r *http.Request, err error) {
	h.WriteError(w, r, err, true)
}
