package npm

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/document"
	"packhouse/internal/format"
	"packhouse/internal/registry"
)

// Format is npm as the domain sees it.
var Format = registry.Format{Type: registry.NPM, Describe: describe, Compare: func(a, b string) int {
	x, errX := parseVersion(a)
	y, errY := parseVersion(b)
	if errX != nil || errY != nil {
		return strings.Compare(a, b) // cannot be: versions are checked when they are published
	}
	return compareVersions(x, y)
}}

// Handler serves the protocol.
type Handler struct {
	format.Finder
	Documents   *document.Cache
	MaxFile     int64 // bytes of a tarball; a project's settings may say less
	MaxMetadata int64 // bytes of everything else in one request
	// Upstream is the URL, without a slash at the end, of the registry to which names that nobody has here are
	// forwarded where the settings say so; empty: nowhere.
	Upstream string
}

// Routes hands the patterns of the three prefixes to handle. What follows them is matched here, on the escaped path: a scope's slash may
// come raw or escaped.
func (h *Handler) Routes(handle func(pattern string, handler http.Handler)) {
	for _, prefix := range []string{
		"/api/v4/projects/{project}/packages/npm",
		"/api/v4/groups/{group}/-/packages/npm",
		"/api/v4/packages/npm",
	} {
		slashes := strings.Count(prefix, "/") + 1
		// Without this, the mux would redirect there.
		handle(prefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { writeError(w, r, errRoute) }))
		all := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			escaped := r.URL.EscapedPath()
			at := nth(escaped, '/', slashes)
			q := &request{r, h.BaseURL(r) + escaped[:at], escaped[at+1:], format.Place{Project: r.PathValue("project"), Group: r.PathValue("group")}}
			if err := h.route(w, q); err != nil {
				writeError(w, r, err)
			}
		})
		handle("GET "+prefix+"/{rest...}", all) // what has no method the mux finds last, after all that have one
		handle(prefix+"/{rest...}", all)
	}
}

// nth is the index of the nth c in s.
func nth(s string, c byte, n int) (at int) {
	for ; n > 0; n-- {
		at += strings.IndexByte(s[at:], c) + 1
	}
	return at - 1
}

// request is a request below one of the prefixes.
type request struct {
	*http.Request
	prefix string // URL up to ".../packages/npm", as it was asked
	rest   string // escaped path after it, without the slash
	at     format.Place
}

var errRoute = registry.Errorf(registry.NotFound, "404 Not Found")

// route is the table of the protocol: packages here, the registry's own endpoints in the next one.
func (h *Handler) route(w http.ResponseWriter, q *request) error {
	rest := strings.TrimSuffix(q.rest, "/")
	if rest == "-" || strings.HasPrefix(rest, "-/") {
		return h.routeOwn(w, q, strings.TrimPrefix(rest, "-/"))
	}
	if rest == "" {
		return errRoute
	}
	p, err := splitPath(rest)
	if err != nil {
		return err
	}
	read := q.Method == http.MethodGet || q.Method == http.MethodHead
	switch {
	case read && p.Rev != "":
		return notAllowed(p)
	case read && p.File != "":
		return h.tarball(w, q, p.Name, p.File)
	case read && p.Version != "":
		return h.manifest(w, q, p.Name, p.Version)
	case read:
		return h.packument(w, q, p.Name)
	case q.Method == http.MethodPut && p.Rev != "" && p.File == "":
		return h.putRevision(w, q, p.Name, p.Rev)
	case q.Method == http.MethodPut && p.Rev == "" && p.File == "":
		if p.Version != "" {
			return validName(p.Name + "/" + p.Version) // which it is not: nothing is put there but names with a slash too many
		}
		return h.put(w, q, p.Name)
	case q.Method == http.MethodDelete && p.Rev != "" && p.File != "":
		return h.deleteVersion(w, q, p.Name, p.File, p.Rev)
	case q.Method == http.MethodDelete && p.Rev != "":
		return h.deletePackage(w, q, p.Name, p.Rev)
	}
	return notAllowed(p)
}

// notAllowed is the error of a method that a path does not have. It says which it has (RFC 9110, 15.5.6).
func notAllowed(p path) error {
	switch {
	case p.Rev != "" && p.File != "":
		return methodError("DELETE")
	case p.Rev != "":
		return methodError("DELETE, PUT")
	case p.File != "", p.Version != "":
		return methodError("GET, HEAD")
	}
	return methodError("GET, HEAD, PUT")
}

type methodError string

func (e methodError) Error() string { return "405 Method Not Allowed" }

// routeOwn is the table of what stands below "-/".
func (h *Handler) routeOwn(w http.ResponseWriter, q *request, escaped string) error {
	rest, err := url.PathUnescape(escaped)
	if err != nil {
		return errPath
	}
	method := q.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if name, ok := strings.CutPrefix(rest, "package/"); ok {
		return h.routePackage(w, q, method, name)
	}
	switch method + " " + rest {
	case "GET ping":
		return h.ping(w, q)
	case "GET whoami":
		return h.whoami(w, q)
	case "GET v1/search":
		return h.search(w, q)
	case "POST v1/login":
		return h.beginLogin(w, q)
	case "GET npm/v1/user":
		return h.profile(w, q)
	case "GET npm/v1/tokens":
		return h.listTokens(w, q)
	case "POST npm/v1/tokens":
		return h.createToken(w, q)
	case "POST npm/v1/security/advisories/bulk":
		return h.audit(w, q, struct{}{})
	case "POST npm/v1/security/audits/quick", "POST npm/v1/security/audits":
		return h.audit(w, q, emptyAudit)
	}
	for _, route := range []struct {
		method, prefix, suffix string
		handle                 func(http.ResponseWriter, *request, string) error
	}{
		{"GET", "v1/done/", "", h.finishLogin},
		{"PUT", "user/org.couchdb.user:", "", h.login},
		{"GET", "user/org.couchdb.user:", "", h.user},
		{"DELETE", "user/token/", "", h.logout},
		{"DELETE", "npm/v1/tokens/token/", "", h.deleteToken},
		{"GET", "org/", "/package", h.listPackages},
		{"GET", "user/", "/package", h.listPackages},
	} {
		middle, ok := strings.CutPrefix(rest, route.prefix)
		if middle, fits := strings.CutSuffix(middle, route.suffix); ok && fits && method == route.method && middle != "" {
			return route.handle(w, q, middle)
		}
	}
	return errRoute
}

// routePackage is the table of what stands below "-/package/". path is unescaped.
func (h *Handler) routePackage(w http.ResponseWriter, q *request, method, path string) error {
	parts := strings.Split(path, "/")
	if slices.ContainsFunc(parts, func(part string) bool { return part == "." || part == ".." }) {
		return errPath
	}
	if slices.Contains(parts, "") {
		return errRoute
	}
	name, parts := cutScoped(parts)
	if strings.TrimSpace(name) == "" {
		return registry.Errorf(registry.Invalid, `"Package Name" not given`)
	}
	if err := validName(name); err != nil {
		return err
	}
	if len(parts) == 0 {
		return errRoute
	}
	switch what := method + " " + parts[0]; {
	case what == "GET dist-tags" && len(parts) == 1:
		return h.listTags(w, q, name)
	case (what == "PUT dist-tags" || what == "POST dist-tags") && len(parts) > 1:
		return h.setTag(w, q, name, strings.Join(parts[1:], "/"))
	case what == "DELETE dist-tags" && len(parts) > 1:
		return h.deleteTag(w, q, name, strings.Join(parts[1:], "/"))
	case what == "GET visibility" && len(parts) == 1:
		return h.visibility(w, q, name)
	case what == "GET collaborators" && len(parts) == 1:
		return h.collaborators(w, q, name)
	case what == "POST access" && len(parts) == 1:
		if _, err := h.Caller(q.Request); err != nil {
			return err
		}
		return registry.Errorf(registry.Forbidden, "Who may see a package is decided by the visibility of its project")
	}
	return errRoute
}

var errNoPackages = registry.Errorf(registry.NotFound, "404 Packages Not Found")

// find is [format.Finder.Find].
func (h *Handler) find(q *request, name string) (*format.Found, error) {
	q.at.Scope = scopeOf(name)
	f, err := h.Find(q.Request, q.at, name)
	if err == format.ErrNoPackage {
		err = errNoPackages
	}
	return f, err
}

// write resolves the project that a change of a name is for, and authorizes it. At a group's or the instance's prefix
// it is the project of the version published last, as with GitLab.
func (h *Handler) write(q *request, name string, action access.Action) (*format.Caller, *registry.Project, error) {
	if q.at.Project != "" {
		return h.Project(q.Request, q.at.Project, action)
	}
	f, err := h.find(q, name)
	if err != nil {
		return nil, nil, err
	}
	id := f.Entries[0].ProjectID
	if len(f.Entries) > 1 {
		err := h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
			packages, err := tx.Packages(f.IDs())
			if len(packages) > 0 {
				id = packages[len(packages)-1].ProjectID
			}
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	p, err := f.View.ProjectByID(id)
	if err != nil {
		return nil, nil, err
	}
	return &f.Caller, p, f.View.Authorize(f.Caller.Caller, p, action)
}

// ---- answers

var writeJSON = format.WriteJSON

// statuses of the kinds of error in this protocol.
var statuses = map[registry.Kind]int{
	registry.Invalid:         http.StatusBadRequest,
	registry.Unauthenticated: http.StatusUnauthorized,
	registry.Forbidden:       http.StatusForbidden,
	registry.NotFound:        http.StatusNotFound,
	registry.Conflict:        http.StatusConflict,
	registry.TooLarge:        http.StatusRequestEntityTooLarge,
	registry.Limited:         http.StatusTooManyRequests,
	registry.Full:            http.StatusInsufficientStorage,
	registry.Unavailable:     http.StatusServiceUnavailable,
}

// writeError answers with {"message": …, "error": …}: npm and bun print error, scripts written for GitLab read message.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, message := statuses[registry.KindOf(err)], registry.MessageOf(err)
	body := map[string]string{"message": message, "error": message}
	var token *access.TokenError
	var method methodError
	var moved *access.MovedError
	switch {
	case errors.As(err, &moved) && moved.Location != "":
		moved.Redirect(w)
		return
	case errors.As(err, &moved):
		status = http.StatusMethodNotAllowed
		body["message"], body["error"] = moved.Error(), moved.Error()
	case errors.As(err, &method):
		w.Header().Set("Allow", string(method))
		status = http.StatusMethodNotAllowed
		body["message"], body["error"] = method.Error(), "405 Not Allowed"
	case status == 0 && r.Context().Err() != nil:
		// The client is gone, or has closed its side of the connection and still reads. Either way this was no success.
		status = http.StatusBadRequest
		body["message"], body["error"] = "400 Bad request - the request was cut off", "the request was cut off"
	case status == 0:
		slog.ErrorContext(r.Context(), "npm", "method", r.Method, "err", err)
		status = http.StatusInternalServerError
		body["message"], body["error"] = "500 Internal Server Error", "Internal server error"
	case errors.As(err, &token):
		body["error"], body["error_description"] = token.Code, token.Description
		if token.Scope != "" {
			body["scope"] = token.Scope
		}
	case err == errRoute:
		body["error"] = "404 Not Found"
	case status == http.StatusBadRequest && strings.HasSuffix(message, " not given"):
		body["message"] = "400 Bad request - " + message
	case status == http.StatusNotFound:
		// "404 Packages Not Found" and "Packages not found", as GitLab.
		if what, ok := strings.CutSuffix(strings.TrimPrefix(message, "404 "), " Not Found"); ok {
			body["error"] = what + " not found"
		}
	}
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="Packhouse"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		w.Header().Set("Retry-After", "5")
	}
	writeJSON(w, status, body)
}
