package api

import (
	"net/http"

	"packhouse/internal/access"
	"packhouse/internal/gitrepo"
	"packhouse/internal/registry"
)

// call is one request: what is known at its moment, who asks, and with which parameters.
type call struct {
	view *access.View
	who  *access.Caller
	*params
	base  string // public URL of the server
	repos *gitrepo.Repos
}

// open reads a request. It returns Unauthenticated for a credential that is not valid.
func (a *API) open(w http.ResponseWriter, r *http.Request) (*call, error) {
	view, err := a.gate.Now(r.Context())
	if err != nil {
		return nil, err
	}
	who, err := view.Caller(r)
	if err != nil {
		return nil, err
	}
	params, err := readParams(w, r)
	if err != nil {
		return nil, err
	}
	if names := params.given["sudo"]; len(names) > 0 && names[len(names)-1] != r.URL.Query().Get("sudo") { // in the body
		if who, err = view.As(r, who, names[len(names)-1]); err != nil {
			return nil, err
		}
	}
	return &call{view, who, params, a.baseURL(r), a.repos}, nil
}

// anyone opens a request that nobody needs to sign in for. Deploy and job tokens are for packages and count as nobody
// here. A personal token must have the scope api or, to read, read_api or one of those that also do.
func (a *API) anyone(w http.ResponseWriter, r *http.Request, alsoRead ...string) (*call, error) {
	c, err := a.open(w, r)
	if err != nil {
		return nil, err
	}
	return c, c.scoped(r, alsoRead...)
}

// scoped is what anyone does with an open call.
func (c *call) scoped(r *http.Request, alsoRead ...string) error {
	if token := c.who.Token; token != nil && (token.Kind == registry.DeployToken || token.Kind == registry.JobToken) {
		c.who = &access.Caller{}
	}
	if c.who.User == nil {
		return nil
	}
	scopes := []string{registry.ScopeAPI}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		scopes = append(append(scopes, registry.ScopeReadAPI), alsoRead...)
	}
	return access.RequireScope(c.who, scopes...)
}

// signedIn opens a request of a user. It returns Unauthenticated when there is none.
func (a *API) signedIn(w http.ResponseWriter, r *http.Request, alsoRead ...string) (*call, error) {
	c, err := a.anyone(w, r, alsoRead...)
	if err != nil {
		return nil, err
	}
	return c, c.person()
}

// person is Unauthenticated unless a user asks.
func (c *call) person() error {
	if c.who.User == nil {
		return errAnonymous
	}
	return nil
}

// may says whether a caller of this level may do something. The scopes of their token were checked before.
func (c *call) may(level registry.Level, action access.Action) error {
	switch {
	case level >= action.Level():
		return nil
	case c.who.User == nil:
		return errAnonymous
	}
	return errForbidden
}

// admin is nil for administrators and Forbidden for others.
func (c *call) admin() error {
	if !c.who.User.Admin {
		return errForbidden
	}
	return nil
}

// sees tells whether the caller may know of what has this visibility, as a member of this level. What is hidden only its
// owners have a level in.
func (c *call) sees(v registry.Visibility, hidden bool, level registry.Level) bool {
	return level >= registry.Guest || !hidden && (v == registry.Public || v == registry.Internal && c.who.User != nil && !c.who.User.External)
}

// errGoing refuses to change what is to be removed.
var errGoing = registry.Errorf(registry.Forbidden, "it is marked for deletion")

// project finds the project :id and the caller's level in it. What the caller may not know of is NotFound, for
// anonymous callers too. What is marked for deletion is not to be changed.
func (c *call) project(id string) (*registry.Project, registry.Level, error) {
	p, level, err := c.projectToRestore(id)
	if err == nil && p.Hidden() && !c.reads() {
		err = errGoing
	}
	return p, level, err
}

// projectToRestore is project, also to change one that is marked for deletion.
func (c *call) projectToRestore(id string) (*registry.Project, registry.Level, error) {
	p, err := c.view.Project(id)
	if err != nil {
		return nil, 0, err
	}
	level, err := c.view.ProjectLevel(c.who, p)
	if err == nil && !c.sees(p.Visibility, p.Hidden(), level) {
		err = errNoProject
	}
	if err == nil {
		err = access.Moved(c.r, c.base, id, p)
	}
	return p, level, err
}

// group and groupToRestore are the same for groups. Members of only something below a group see it, with no level.
func (c *call) group(id string) (*registry.Group, registry.Level, error) {
	g, level, err := c.groupToRestore(id)
	if err == nil && g.Hidden() && !c.reads() {
		err = errGoing
	}
	return g, level, err
}

func (c *call) groupToRestore(id string) (*registry.Group, registry.Level, error) {
	g, err := c.view.Group(id)
	if err != nil {
		return nil, 0, err
	}
	level, err := c.view.GroupLevel(c.who, g)
	if err != nil {
		return nil, 0, err
	}
	known, err := c.view.KnowsGroup(c.who, g, level)
	if err == nil && !known {
		err = errNoGroup
	}
	if err == nil {
		err = access.MovedGroup(c.r, c.base, id, g)
	}
	return g, level, err
}

// reads tells whether the request changes nothing.
func (c *call) reads() bool { return c.r.Method == http.MethodGet || c.r.Method == http.MethodHead }

// place is a project or a group as what members and deploy tokens belong to.
type place struct {
	groupID, projectID int64          // one of them is set
	above              []int64        // the namespaces above it
	level              registry.Level // of the caller
	manage             access.Action  // to change its members, tokens and settings
}

// places are the routes that projects and groups have alike.
var places = map[string]finder{"/projects/{id}": inProject, "/groups/{id}": inGroup}

// finder finds the place that the path of a request names.
type finder func(*call) (*place, error)

// place finds a place, when what was read of the parameters is right and the caller may do something there.
func (c *call) place(in finder, action func(*place) access.Action) (*place, error) {
	if err := c.wrong(); err != nil {
		return nil, err
	}
	p, err := in(c)
	if err != nil {
		return nil, err
	}
	return p, c.may(p.level, action(p))
}

func manage(p *place) access.Action { return p.manage }

func inspect(*place) access.Action { return access.Inspect }

func inProject(c *call) (*place, error) {
	p, level, err := c.project(c.text("id", ""))
	if err != nil {
		return nil, err
	}
	return &place{projectID: p.ID, above: p.Lineage, level: level, manage: access.Manage}, nil
}

func inGroup(c *call) (*place, error) {
	g, level, err := c.group(c.text("id", ""))
	if err != nil {
		return nil, err
	}
	return &place{groupID: g.ID, above: g.Lineage[:len(g.Lineage)-1], level: level, manage: access.Own}, nil
}
