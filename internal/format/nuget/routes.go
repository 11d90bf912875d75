package nuget

import (
	"errors"
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
	Documents *document.Cache
	MaxFile   int64 // bytes of a package
}

// Routes hands the patterns to handle.
func (h *Handler) Routes(handle func(pattern string, handler http.Handler)) {
	const project, group = "/api/v4/projects/{project}/packages/nuget", "/api/v4/groups/{group}/-/packages/nuget"
	route := func(pattern string, serve func(http.ResponseWriter, *request) error) {
		handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			prefix, _, _ := strings.Cut(r.URL.EscapedPath(), "/packages/nuget")
			q := &request{prefix: h.BaseURL(r) + prefix + "/packages/nuget", at: format.Place{Project: r.PathValue("project"), Group: r.PathValue("group")}}
			var err error
			if q.Request, err = h.withKey(r); err == nil {
				err = serve(w, q)
			}
			if err != nil {
				h.writeError(w, r, err)
			}
		}))
	}
	for _, prefix := range []string{project, group} {
		for _, suffix := range []string{"", ".json"} {
			route("GET "+prefix+"/index"+suffix, h.index)
			route("GET "+prefix+"/query"+suffix, h.search)
			route("GET "+prefix+"/autocomplete"+suffix, h.autocomplete)
		}
		route("GET "+prefix+"/download/{name}/{index}", h.versions)
		route("GET "+prefix+"/download/{name}/{version}/{file}", h.download)
		for _, hive := range []hive{plain, semVer2} {
			route("GET "+prefix+"/"+hive.path+"/{name}/{version}", hive.bind(h.registration))
			route("GET "+prefix+"/"+hive.path+"/{name}/page/{lower}/{upper}", hive.bind(h.page))
		}
		route("GET "+prefix+"/symbolfiles/{file}/{signature}/{same}", h.symbol)
	}
	route("PUT "+project, h.push)
	route("PUT "+project+"/symbolpackage", h.pushSymbols)
	route("DELETE "+project+"/{name}/{version}", h.remove)
	route("POST "+project+"/{name}/{version}", h.relist)
	h.v2Routes(route, project, group)
}

// request is a request below one of the prefixes.
type request struct {
	*http.Request
	prefix string // URL up to ".../packages/nuget", as it was asked
	at     format.Place
}

// keyHeader carries a token besides Basic, where clients push.
const keyHeader = "X-Nuget-Apikey"

// withKey makes the API key of a request, if it has one, its credential. A client may send Basic beside it: both have to
// mean one caller.
func (h *Handler) withKey(r *http.Request) (*http.Request, error) {
	key := r.Header.Get(keyHeader)
	if key == "" {
		return r, nil
	}
	keyed := r.WithContext(r.Context())
	keyed.Header = http.Header{}
	for name, values := range r.Header {
		if name != "Authorization" && name != "Job-Token" && name != "Deploy-Token" {
			keyed.Header[name] = values
		}
	}
	keyed.Header["Private-Token"] = []string{key}
	if _, both := access.Credential(r); !both {
		return keyed, nil
	}
	first, err := h.Caller(r)
	if err != nil {
		return nil, err
	}
	second, err := h.Caller(keyed)
	switch {
	case err != nil && !denied(err):
		return nil, err
	case err != nil, first.Token == nil, first.UserID() != second.UserID(), first.UserID() == 0 && first.Token.ID != second.Token.ID:
		return nil, registry.Errorf(registry.Invalid, "400 Bad request - Found more than one set of credentials")
	}
	return keyed, nil
}

// denied tells whether an error says that a caller may not, rather than that it could not be found out.
func denied(err error) bool {
	switch registry.KindOf(err) {
	case registry.Unauthenticated, registry.Forbidden, registry.NotFound:
		return true
	}
	return false
}

// writeError answers as GitLab's REST API does. Clients of NuGet print one header of it.
func (h *Handler) writeError(w http.ResponseWriter, r *http.Request, err error) {
	message := registry.MessageOf(err)
	if parameter, is := errors.AsType[format.ParamError](err); is {
		message = parameter.Error()
	}
	if message != "" {
		w.Header().Set("X-NuGet-Warning", strings.Join(strings.FieldsFunc(message, func(c rune) bool { return c < ' ' || c > '~' }), " "))
	}
	h.WriteError(w, r, err, false)
}

// withoutJSON takes the suffix off that each JSON path may have.
func withoutJSON(segment string) string { return strings.TrimSuffix(segment, ".json") }

var (
	errNoPackage  = format.ErrNoPackage
	errNoPackages = registry.Errorf(registry.NotFound, "404 Packages Not Found")
)

// find looks an id up, in any case.
func (h *Handler) find(q *request, id string) (*format.Found, error) {
	if !validID(id) {
		id = "" // nobody has it; the caller's rights are asked all the same
	}
	return h.Find(q.Request, q.at, normalizeID(id))
}

// place says whether there is such a project or group, and what its policy is, to anybody: the service index and the like hold
// nothing but URLs, and clients ask for them before they say who they are.
func (h *Handler) place(q *request) (policy *registry.Policy, project *registry.Project, group *registry.Group, err error) {
	view, err := h.Gate.Now(q.Context())
	if err != nil {
		return nil, nil, nil, err
	}
	var hidden bool
	if q.at.Project != "" {
		if project, err = view.Project(q.at.Project); err == nil {
			hidden = project.Hidden()
			policy, err = view.Policy(0, project.ID)
		}
	} else if group, err = view.Group(q.at.Group); err == nil {
		hidden = group.Hidden()
		policy, err = view.Policy(group.ID, 0)
	}
	if hidden || registry.KindOf(err) == registry.NotFound {
		err = registry.Errorf(registry.NotFound, "404 Not Found")
	}
	return policy, project, group, err
}
