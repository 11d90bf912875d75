package composer

import (
	"errors"
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
				h.writeError(w, r, err)
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

// writeError answers {"message": "404 Not Found"}, and {"error": …} for a parameter.
func (h *Handler) writeError(w http.ResponseWriter, r *http.Request, err error) {
	if refused, ok := errors.AsType[*refusal](err); ok {
		writeJSON(w, refused.status, map[string]string{"message": refused.message})
		return
	}
	h.WriteError(w, r, err, true)
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
		return format.ParamError("sha is missing")
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
