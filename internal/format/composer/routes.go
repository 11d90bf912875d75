package composer

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/document"
	"packhouse/internal/format"
	"packhouse/internal/gitrepo"
	"packhouse/internal/registry"
)

// Handler serves the protocol.
type Handler struct {
	format.Finder
	Documents *document.Cache
	Repos     *gitrepo.Repos
	MaxFile   int64 // bytes of an archive

	hashes  hashes
	credits credits
}

// Routes hands the patterns to handle.
func (h *Handler) Routes(handle func(pattern string, handler http.Handler)) {
	const project, group = "/api/v4/projects/{project}/packages/composer", "/api/v4/group/{group}/-/packages/composer"
	route := func(pattern string, serve func(http.ResponseWriter, *request) error) {
		handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q := &request{r, h.BaseURL(r), format.Place{Project: r.PathValue("project"), Group: r.PathValue("group")}}
			if err := serve(w, q); err != nil {
				writeError(w, r, err)
			}
		}))
	}
	route("POST "+project, h.publishRef)
	route("PUT "+project, h.publishZip)
	route("POST "+project+"/abandon", h.abandon)
	route("GET "+project+"/archives/{vendor}/{name}", func(w http.ResponseWriter, q *request) error {
		return h.download(w, q, q.PathValue("vendor")+"/"+q.PathValue("name"))
	})
	route("GET "+project+"/archives/{name}", func(w http.ResponseWriter, q *request) error { // its slash is escaped
		if strings.Contains(q.PathValue("name"), "$") { // V1, of a vendor that is called like this
			return h.whole(w, q, "archives/"+q.PathValue("name"))
		}
		return h.download(w, q, q.PathValue("name"))
	})
	for _, prefix := range []string{project, group} {
		route("GET "+prefix+"/packages", h.root)
		route("GET "+prefix+"/packages.json", h.root)
		route("GET "+prefix+"/p2/{vendor}/{name}", func(w http.ResponseWriter, q *request) error {
			return h.package2(w, q, q.PathValue("vendor")+"/"+q.PathValue("name"))
		})
		route("GET "+prefix+"/p2/{name}", func(w http.ResponseWriter, q *request) error {
			if strings.Contains(q.PathValue("name"), "$") {
				return h.whole(w, q, "p2/"+q.PathValue("name"))
			}
			return h.package2(w, q, q.PathValue("name"))
		})
		route("GET "+prefix+"/p/{sha}", func(w http.ResponseWriter, q *request) error {
			if strings.Contains(q.PathValue("sha"), "$") {
				return h.whole(w, q, "p/"+q.PathValue("sha"))
			}
			return h.providers(w, q)
		})
		route("GET "+prefix+"/{vendor}/{name}", func(w http.ResponseWriter, q *request) error {
			return h.whole(w, q, q.PathValue("vendor")+"/"+q.PathValue("name"))
		})
		route("GET "+prefix+"/{name}", func(w http.ResponseWriter, q *request) error { return h.whole(w, q, q.PathValue("name")) })
		route("GET "+prefix+"/list.json", h.list)
		route("GET "+prefix+"/search.json", h.search)
		route("GET "+prefix+"/changes.json", h.changes)
		route("POST "+prefix+"/downloads", h.notify)
		route("POST "+prefix+"/security-advisories", h.advisories)
		route("GET "+prefix+"/security-advisories", h.advisories)
	}
}

// request is a request below one of the prefixes.
type request struct {
	*http.Request
	base string // public URL of the server
	at   format.Place
}

// ---- answers

var writeJSON = format.WriteJSON

// paramError is a parameter that is missing or malformed: GitLab answers {"error": …} for it.
type paramError string

func (e paramError) Error() string { return string(e) }

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

// writeError answers {"message": "404 Not Found"}, and {"error": …} for a parameter.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	answer, message := answers[registry.KindOf(err)], registry.MessageOf(err)
	var token *access.TokenError
	var parameter paramError
	var refused *refusal
	var moved *access.MovedError
	body := map[string]string{"message": message}
	switch {
	case errors.As(err, &moved) && moved.Location != "":
		moved.Redirect(w)
		return
	case errors.As(err, &moved):
		answer.status, body["message"] = http.StatusMethodNotAllowed, moved.Error()
	case errors.As(err, &refused):
		answer.status, body["message"] = refused.status, refused.message
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
		slog.ErrorContext(r.Context(), "composer", "method", r.Method, "err", err)
		body["message"] = answer.text
	case message == "":
		body["message"] = answer.text
	case !strings.HasPrefix(message, answer.text[:len("400 ")]):
		body["message"] = answer.text + " - " + message
	}
	switch answer.status {
	case http.StatusUnauthorized: // without the challenge a client asks nobody for a password
		w.Header().Set("WWW-Authenticate", `Basic realm="Packhouse"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		w.Header().Set("Retry-After", "5")
	}
	writeJSON(w, answer.status, body)
}

// ---- who asks

// second tells whether a request is one of Composer 2, or a later one, which needs none of V1's parts.
func second(r *http.Request) bool {
	_, rest, ok := strings.Cut(r.UserAgent(), "Composer/")
	major, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(strings.TrimRight(major, " ;"))
	return ok && err == nil && n >= 2
}

// ---- downloads

// download answers GET of archives/:name.zip?sha=.
func (h *Handler) download(w http.ResponseWriter, q *request, name string) error {
	_, project, err := h.Project(q.Request, q.at.Project, access.Read)
	if err != nil {
		return err
	}
	name, isZip := strings.CutSuffix(name, ".zip")
	reference := q.URL.Query().Get("sha")
	switch {
	case !isZip || !validName(name):
		return format.ErrNoPackage
	case reference == "":
		return paramError("sha is missing")
	case !gitrepo.ValidCommit(reference):
		return format.ErrNoPackage
	}
	found, err := h.Find(q.Request, q.at, name)
	if err != nil {
		return err
	}
	file, err := h.Registry.Store.FileOfEntry(q.Context(), found.Entries[0].EntryID, archiveName(name, reference))
	if registry.KindOf(err) == registry.NotFound {
		return format.ErrNoPackage
	}
	if err != nil {
		return err
	}
	named := *file // others have the same
	named.Name = downloadName(project, reference)
	w.Header().Set("Content-Type", "application/zip")
	if err := document.ServeFile(w, q.Request, h.Registry, &named); err != nil {
		return err
	}
	if q.Method == http.MethodGet && q.Header.Get("Range") == "" && strings.Contains(q.UserAgent(), "Composer/") {
		h.credits.add(file.PackageID, registry.HostOf(q.RemoteAddr)) // it will tell of it once more
	}
	return nil
}

// credits are downloads that were counted when the archive was sent, and of which the client will tell once more (notify-batch): a
// notice without one is of an archive that the client had already. They are kept in memory, for some minutes.
type credits struct {
	mu          sync.Mutex
	now, before map[credit]int
	began       time.Time
}

type credit struct {
	pkg  int64
	host string
}

const (
	creditTime = 10 * time.Minute
	maxCredits = 20_000 // of a period
)

// turn begins a new period when it is time.
func (c *credits) turn() {
	if now := time.Now(); c.now == nil || now.Sub(c.began) > creditTime || len(c.now) >= maxCredits {
		c.before, c.now, c.began = c.now, map[credit]int{}, now
	}
}

func (c *credits) add(pkg int64, host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	c.now[credit{pkg, host}]++
}

// take uses a credit up, if there is one.
func (c *credits) take(pkg int64, host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	for _, period := range []map[credit]int{c.before, c.now} {
		if key := (credit{pkg, host}); period[key] > 0 {
			period[key]--
			return true
		}
	}
	return false
}
