package pypi

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/document"
	"packhouse/internal/format"
	"packhouse/internal/registry"
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
				writeError(w, r, err)
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

// answers of the kinds of error, as GitLab's REST API gives them.
var answers = map[registry.Kind]struct {
	status int
	text   string
}{
	registry.Fault:           {http.StatusInternalServerError, "500 Internal Server Error"},
	registry.Invalid:         {http.StatusBadRequest, "400 Bad request"},
	registry.Unauthenticated: {http.StatusUnauthorized, "401 Unauthorized"},
	registry.Forbidden:       {http.StatusForbidden, "403 Forbidden"},
	registry.NotFound:        {http.StatusNotFound, "404 Not Found"},
	registry.Conflict:        {http.StatusConflict, "409 Conflict"},
	registry.TooLarge:        {http.StatusRequestEntityTooLarge, "413 Request Entity Too Large"},
	registry.Limited:         {http.StatusTooManyRequests, "429 Too Many Requests"},
	registry.Full:            {http.StatusInsufficientStorage, "507 Insufficient Storage"},
	registry.Unavailable:     {http.StatusServiceUnavailable, "503 Service Unavailable"},
}

// writeError answers {"message": "400 Bad request - …"}, and {"error": …} for a parameter. twine and uv print either.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	answer, message := answers[registry.KindOf(err)], registry.MessageOf(err)
	var token *access.TokenError
	var parameter paramError
	var moved *access.MovedError
	body := map[string]string{"message": message}
	switch {
	case errors.As(err, &moved) && moved.Location != "":
		moved.Redirect(w)
		return
	case errors.As(err, &moved):
		answer.status, body["message"] = http.StatusMethodNotAllowed, moved.Error()
	case errors.As(err, &parameter):
		answer, body = answers[registry.Invalid], map[string]string{"error": parameter.Error()}
	case errors.As(err, &token):
		body = map[string]string{"error": token.Code, "error_description": token.Description}
		if token.Scope != "" {
			body["scope"] = token.Scope
		}
	case answer.status == http.StatusInternalServerError && r.Context().Err() != nil: // the client is gone
		answer = answers[registry.Invalid]
		body["message"] = answer.text + " - the request was cut off"
	case answer.status == http.StatusInternalServerError:
		slog.ErrorContext(r.Context(), "pypi", "method", r.Method, "err", err)
		body["message"] = answer.text
	case message == "":
		body["message"] = answer.text
	case !strings.HasPrefix(message, answer.text[:len("400 ")]):
		body["message"] = answer.text + " - " + message
	}
	switch answer.status {
	case http.StatusUnauthorized: // without the challenge pip sends no password
		w.Header().Set("WWW-Authenticate", `Basic realm="Packhouse"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		w.Header().Set("Retry-After", "5")
	}
	writeJSON(w, answer.status, body)
}
