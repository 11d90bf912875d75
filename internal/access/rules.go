package access

import (
	"context"
	"slices"
	"strings"

	"packhouse/internal/registry"
)

// Action is something to be done with the packages of a project, or with the project or group itself.
type Action int

// The actions, each with what it takes; rules below is the table.
const (
	Read    Action = iota // list and pull packages
	Publish               // publish packages, set tags; mint job tokens
	Delete                // delete, deprecate, unpublish

	CreateProject  // in a group
	CreateSubgroup // in a group
	Measure        // see how much is stored
	Inspect        // see deploy tokens, settings, the audit log
	Manage         // a project's members, tokens and settings
	Own            // a group's members, tokens and settings; delete, move and restore either

	Fetch // clone and fetch a project's Git repository
	Push  // push to it
)

// onRepository tells whether it is about a project's Git repository. What says who may have its packages does not count there.
func (a Action) onRepository() bool { return a == Fetch || a == Push }

// rules says for each action the level that a user needs and the scopes that let a token do it. Reading takes no
// level where the visibility allows it.
var rules = map[Action]struct {
	level  registry.Level
	user   []string // scopes of personal and resource tokens
	deploy []string // scopes of deploy tokens
}{
	Read:    {registry.Guest, []string{registry.ScopeAPI, registry.ScopeReadAPI, registry.ScopeReadPackage, registry.ScopeWritePackage}, []string{registry.ScopeReadPackage, registry.ScopeWritePackage}},
	Publish: {registry.Developer, []string{registry.ScopeAPI, registry.ScopeWritePackage}, []string{registry.ScopeWritePackage}},
	Delete:  {registry.Maintainer, []string{registry.ScopeAPI, registry.ScopeWritePackage}, []string{registry.ScopeWritePackage}},

	CreateProject:  {registry.Developer, []string{registry.ScopeAPI}, nil},
	CreateSubgroup: {registry.Maintainer, []string{registry.ScopeAPI}, nil},
	Measure:        {registry.Reporter, []string{registry.ScopeAPI, registry.ScopeReadAPI}, nil},
	Inspect:        {registry.Maintainer, []string{registry.ScopeAPI, registry.ScopeReadAPI}, nil},
	Manage:         {registry.Maintainer, []string{registry.ScopeAPI}, nil},
	Own:            {registry.Owner, []string{registry.ScopeAPI}, nil},

	// What may read a package may have its source, which the package names.
	Fetch: {registry.Guest, []string{registry.ScopeAPI, registry.ScopeReadAPI, registry.ScopeReadRepository, registry.ScopeWriteRepository, registry.ScopeReadPackage, registry.ScopeWritePackage},
		[]string{registry.ScopeReadRepository, registry.ScopeReadPackage, registry.ScopeWritePackage}},
	Push: {registry.Developer, []string{registry.ScopeAPI, registry.ScopeWriteRepository}, nil},
}

// Level is the least level of a user who may do it.
func (a Action) Level() registry.Level { return rules[a].level }

var (
	errAnonymous = registry.Errorf(registry.Unauthenticated, "401 Unauthorized")
	errForbidden = registry.Errorf(registry.Forbidden, "403 Forbidden")
	errNoProject = registry.Errorf(registry.NotFound, "404 Project Not Found")
	errNoGroup   = registry.Errorf(registry.NotFound, "404 Group Not Found")
)

// Authorize says whether a caller may do something with the packages of a project. What the caller may not know of is
// NotFound, or Unauthenticated as long as nobody has said who they are; what they know of and may not do is Forbidden.
func (v *View) Authorize(c *Caller, p *registry.Project, action Action) error {
	level, err := v.ProjectLevel(c, p)
	if err != nil {
		return err
	}
	known := level >= registry.Guest || !p.Hidden() && visible(c, p.Visibility)
	readable := !p.Hidden() && known && (p.RegistryAccess != registry.RegistryPrivate || level >= registry.Guest) || !p.Hidden() && p.RegistryAccess == registry.RegistryPublic
	if action.onRepository() {
		readable = known && !p.Hidden()
	}
	switch {
	case !known && !readable && c.Anonymous():
		return errAnonymous
	case !known && !readable, p.Hidden() && (action <= Delete || action.onRepository()):
		return errNoProject
	case p.RegistryAccess == registry.RegistryDisabled && action <= Delete:
		return errForbidden
	case (action == Read || action == Fetch) && readable:
		return scoped(c, action)
	case level >= rules[action].level:
		if p.Archived && (action == Publish || action == Delete || action == Push) {
			return errForbidden
		}
		return scoped(c, action)
	case c.Anonymous():
		return errAnonymous
	}
	return errForbidden
}

// Knows tells whether a caller may know of a project at all, and not only pull from it.
func (v *View) Knows(c *Caller, p *registry.Project) (bool, error) {
	level, err := v.ProjectLevel(c, p)
	return level >= registry.Guest || !p.Hidden() && visible(c, p.Visibility), err
}

// KnowsGroup tells whether a caller of this level may know of a group: also those who are members only of something
// below it, whose path names it anyway.
func (v *View) KnowsGroup(c *Caller, g *registry.Group, level registry.Level) (bool, error) {
	switch {
	case level >= registry.Guest:
		return true, nil
	case g.Hidden():
		return false, nil
	case visible(c, g.Visibility):
		return true, nil
	case c.Token != nil && c.Token.Kind == registry.JobToken:
		return false, nil // its level says it all
	case c.User != nil:
		var member bool
		err := v.gate.store.Read(context.Background(), func(tx registry.Tx) (err error) {
			member, err = tx.MemberBelow(c.User.ID, g)
			return err
		})
		return member, err
	case c.Token == nil:
		return false, nil
	}
	var lineage []int64 // of the deploy token's own place
	if c.Token.ProjectID != 0 {
		p, err := v.ProjectByID(c.Token.ProjectID)
		if err != nil {
			return false, err
		}
		lineage = p.Lineage
	} else {
		own, err := v.GroupByID(c.Token.GroupID)
		if err != nil {
			return false, err
		}
		lineage = own.Lineage
	}
	return slices.Contains(lineage, g.ID), nil
}

// AuthorizeGroup says whether a caller may do something with a group itself. Which packages in it they see, each
// project says.
func (v *View) AuthorizeGroup(c *Caller, g *registry.Group, action Action) error {
	level, err := v.GroupLevel(c, g)
	if err != nil {
		return err
	}
	known, err := v.KnowsGroup(c, g, level)
	switch {
	case err != nil:
		return err
	case !known:
		if c.Anonymous() {
			return errAnonymous
		}
		return errNoGroup
	case action == Read, level >= rules[action].level:
		return scoped(c, action)
	case c.Anonymous():
		return errAnonymous
	}
	return errForbidden
}

func visible(c *Caller, v registry.Visibility) bool {
	return v == registry.Public || v == registry.Internal && c.User != nil && !c.User.External
}

// scoped checks that the caller's token, if it is one, was made for such an action.
func scoped(c *Caller, action Action) error {
	if c.Token == nil {
		return nil
	}
	// A job works on packages with all of its user's rights, and on nothing else: whoever can change what a job runs
	// must not get to the members and tokens of the project, nor push what the next job runs.
	if c.Token.Kind == registry.JobToken && (action <= Delete || action == Fetch) {
		return nil
	}
	scopes := rules[action].user
	if c.Token.Kind == registry.DeployToken {
		scopes = rules[action].deploy
	}
	if c.Token.HasScope(scopes...) {
		return nil
	}
	return insufficient(scopes)
}

// withHidden is the level in what is marked for deletion: only its owners may know of it, to restore it. Its packages are
// for nobody.
func withHidden(hidden bool, level registry.Level, err error) (registry.Level, error) {
	if hidden && level < registry.Owner {
		level = registry.NoAccess
	}
	return level, err
}

// ProjectLevel is what the caller's membership in a project amounts to. A deploy token stands as high as its scopes
// can reach in its own project or group tree, a job token as its user in its own project; elsewhere both are nobody.
func (v *View) ProjectLevel(c *Caller, p *registry.Project) (registry.Level, error) {
	level, err := v.projectLevel(c, p)
	return withHidden(p.Hidden(), level, err)
}

func (v *View) projectLevel(c *Caller, p *registry.Project) (registry.Level, error) {
	if c.Token != nil {
		switch c.Token.Kind {
		case registry.DeployToken:
			if c.Token.ProjectID == p.ID || slices.Contains(p.Lineage, c.Token.GroupID) {
				return registry.Maintainer, nil
			}
			return registry.NoAccess, nil
		case registry.JobToken:
			if c.Token.ProjectID != p.ID {
				return registry.NoAccess, nil
			}
		}
	}
	if c.User == nil {
		return registry.NoAccess, nil
	}
	if c.User.Admin {
		return registry.Admin, nil
	}
	return v.level(c.User.ID, p.ID, 0, p.Lineage)
}

// GroupLevel is what the caller's membership in a group amounts to.
func (v *View) GroupLevel(c *Caller, g *registry.Group) (registry.Level, error) {
	level, err := v.groupLevel(c, g)
	return withHidden(g.Hidden(), level, err)
}

func (v *View) groupLevel(c *Caller, g *registry.Group) (registry.Level, error) {
	switch {
	case c.Token != nil && c.Token.Kind == registry.DeployToken:
		if slices.Contains(g.Lineage, c.Token.GroupID) {
			return registry.Maintainer, nil
		}
		return registry.NoAccess, nil
	case c.User == nil:
		return registry.NoAccess, nil
	case c.Token != nil && c.Token.Kind == registry.JobToken:
		// A job may use the group's prefix for its own project's packages and for those that everybody sees.
		p, err := v.ProjectByID(c.Token.ProjectID)
		if registry.KindOf(err) == registry.NotFound { // it was removed while the job ran
			return registry.NoAccess, nil
		}
		if err != nil || !slices.Contains(p.Lineage, g.ID) {
			return registry.NoAccess, err
		}
		level, err := v.ProjectLevel(c, p)
		return min(level, registry.Guest), err
	case c.User.Admin:
		return registry.Admin, nil
	}
	return v.level(c.User.ID, 0, g.ID, g.Lineage)
}

// RequireScope checks that a caller acts as a user, on no project or group, with a token of one of the scopes; none
// named, any will do.
func RequireScope(c *Caller, scopes ...string) error {
	switch {
	case c.User == nil:
		return errAnonymous
	case c.Token == nil || len(scopes) == 0 || c.Token.HasScope(scopes...):
		return nil
	}
	return insufficient(scopes)
}

// ReadScope checks that a caller's token, if it is one, may read packages at all, for lists over many projects.
func ReadScope(c *Caller) error { return scoped(c, Read) }

func insufficient(scopes []string) error {
	return &TokenError{registry.Forbidden, "insufficient_scope", "The request requires higher privileges than provided by the access token.", strings.Join(scopes, " ")}
}
