package access_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// outcome names what a caller gets: yes, the status that an error becomes, or scope, the 403 of a token that was not
// made for this.
func outcome(err error) string {
	var tokenErr *access.TokenError
	switch {
	case err == nil:
		return "yes"
	case errors.As(err, &tokenErr) && tokenErr.Code == "insufficient_scope" && registry.KindOf(err) == registry.Forbidden:
		return "scope"
	}
	switch registry.KindOf(err) {
	case registry.Unauthenticated:
		return "401"
	case registry.Forbidden:
		return "403"
	case registry.NotFound:
		return "404"
	}
	return "fault"
}

var actions = map[string]access.Action{"read": access.Read, "publish": access.Publish, "delete": access.Delete, "manage": access.Manage, "own": access.Own, "fetch": access.Fetch, "push": access.Push}

// callers makes the tokens of everybody who appears in the tables, for one project p. All roles are held in the group
// that p is in.
//
//	nobody      no credential               stranger    a user without any role
//	external    the same, but external      minimal … owner, admin
//	read_api … write_pkg   the owner's tokens of just this scope
//	bot         a resource token of a developer's rights
//	deploy-r, deploy-w     a deploy token of p, to read and to write; of another project; of the group; of another group
//	job         a job of p, of a developer, of a maintainer, of an administrator, of somebody without a role; in another project
//	blocked     an owner who is blocked
type callers struct {
	*world
	group, other *registry.Group
	elsewhere    *registry.Project
	fixed        map[string]string // texts that do not depend on a project
	users        map[string]*registry.User
}

func newCallers(t *testing.T) *callers {
	w := newWorld(t)
	c := &callers{world: w, fixed: map[string]string{"nobody": ""}, users: map[string]*registry.User{}}
	c.group, c.other = w.group(0, "group", registry.Private), w.group(0, "other", registry.Private)
	c.elsewhere = w.project(c.other.ID, "elsewhere", registry.Private, registry.RegistryEnabled, false)
	for name, level := range map[string]registry.Level{
		"stranger": 0, "external": 0, "minimal": registry.Minimal, "guest": registry.Guest, "planner": registry.Planner, "reporter": registry.Reporter,
		"developer": registry.Developer, "maintainer": registry.Maintainer, "owner": registry.Owner, "admin": 0, "blocked": registry.Owner,
		"ext-guest": registry.Guest,
	} {
		user := w.user(name, func(u *registry.User) {
			u.Admin, u.External = name == "admin", strings.HasPrefix(name, "ext")
			if name == "blocked" {
				u.State = registry.Blocked
			}
		})
		if level != 0 {
			w.member(user, c.group.ID, 0, level, time.Time{})
		}
		c.users[name] = user
		c.fixed[name], _ = w.personal(user, registry.ScopeAPI)
	}
	for name, scope := range map[string]string{"read_api": registry.ScopeReadAPI, "read_user": registry.ScopeReadUser,
		"read_pkg": registry.ScopeReadPackage, "write_pkg": registry.ScopeWritePackage} {
		c.fixed[name], _ = w.personal(c.users["owner"], scope)
	}
	c.fixed["adm-read"], _ = w.personal(c.users["admin"], registry.ScopeReadAPI)
	bot := w.user("bot", func(u *registry.User) { u.Bot = true })
	w.member(bot, c.group.ID, 0, registry.Developer, time.Time{})
	c.fixed["bot"], _ = w.token(registry.Token{Kind: registry.ResourceToken, UserID: bot.ID, GroupID: c.group.ID, Scopes: []string{registry.ScopeAPI}})
	return c
}

func (c *callers) of(name string, p *registry.Project) (*access.Caller, error) {
	text, ok := c.fixed[name]
	deploy := func(group, project int64, scope string) {
		text, _ = c.token(registry.Token{Kind: registry.DeployToken, GroupID: group, ProjectID: project, Scopes: []string{scope}})
	}
	job := func(user string, project *registry.Project) {
		var err error
		text, err = c.JobToken(context.Background(), &registry.Pipeline{ProjectID: project.ID, UserID: c.users[user].ID}, time.Now().Add(time.Hour))
		if err != nil {
			c.t.Fatal(err)
		}
	}
	switch {
	case ok:
	case name == "deploy-r":
		deploy(0, p.ID, registry.ScopeReadPackage)
	case name == "deploy-w":
		deploy(0, p.ID, registry.ScopeWritePackage)
	case name == "d-other-w":
		deploy(0, c.elsewhere.ID, registry.ScopeWritePackage)
	case name == "d-group-r":
		deploy(c.group.ID, 0, registry.ScopeReadPackage)
	case name == "d-group-w":
		deploy(c.group.ID, 0, registry.ScopeWritePackage)
	case name == "d-grp2-w":
		deploy(c.other.ID, 0, registry.ScopeWritePackage)
	case name == "job-dev":
		job("developer", p)
	case name == "job-maint":
		job("maintainer", p)
	case name == "job-admin":
		job("admin", p)
	case name == "job-left":
		job("stranger", p)
	case name == "job-other":
		job("owner", c.elsewhere)
	default:
		c.t.Fatalf("who is %s?", name)
	}
	return c.caller(text)
}

// The tables: one block for each kind of project, a row for each action, a column for each caller.

const usersTable = `
                    nobody  stranger external minimal guest planner reporter developer maintainer owner admin blocked ext-guest
private
          read      401     404      404      404     yes   yes     yes      yes       yes        yes   yes   403     yes
          publish   401     404      404      404     403   403     403      yes       yes        yes   yes   403     403
          delete    401     404      404      404     403   403     403      403       yes        yes   yes   403     403
          manage    401     404      404      404     403   403     403      403       yes        yes   yes   403     403
          own       401     404      404      404     403   403     403      403       403        yes   yes   403     403
          fetch     401     404      404      404     yes   yes     yes      yes       yes        yes   yes   403     yes
          push      401     404      404      404     403   403     403      yes       yes        yes   yes   403     403
internal
          read      401     yes      404      yes     yes   yes     yes      yes       yes        yes   yes   403     yes
          publish   401     403      404      403     403   403     403      yes       yes        yes   yes   403     403
          delete    401     403      404      403     403   403     403      403       yes        yes   yes   403     403
          manage    401     403      404      403     403   403     403      403       yes        yes   yes   403     403
          own       401     403      404      403     403   403     403      403       403        yes   yes   403     403
          fetch     401     yes      404      yes     yes   yes     yes      yes       yes        yes   yes   403     yes
          push      401     403      404      403     403   403     403      yes       yes        yes   yes   403     403
public
          read      yes     yes      yes      yes     yes   yes     yes      yes       yes        yes   yes   403     yes
          publish   401     403      403      403     403   403     403      yes       yes        yes   yes   403     403
          delete    401     403      403      403     403   403     403      403       yes        yes   yes   403     403
          manage    401     403      403      403     403   403     403      403       yes        yes   yes   403     403
          own       401     403      403      403     403   403     403      403       403        yes   yes   403     403
          fetch     yes     yes      yes      yes     yes   yes     yes      yes       yes        yes   yes   403     yes
          push      401     403      403      403     403   403     403      yes       yes        yes   yes   403     403
private, packages private
          read      401     404      404      404     yes   yes     yes      yes       yes        yes   yes   403     yes
          publish   401     404      404      404     403   403     403      yes       yes        yes   yes   403     403
internal, packages private
          read      401     403      404      403     yes   yes     yes      yes       yes        yes   yes   403     yes
          publish   401     403      404      403     403   403     403      yes       yes        yes   yes   403     403
public, packages private
          read      401     403      403      403     yes   yes     yes      yes       yes        yes   yes   403     yes
          publish   401     403      403      403     403   403     403      yes       yes        yes   yes   403     403
          fetch     yes     yes      yes      yes     yes   yes     yes      yes       yes        yes   yes   403     yes
          push      401     403      403      403     403   403     403      yes       yes        yes   yes   403     403
private, packages public
          read      yes     yes      yes      yes     yes   yes     yes      yes       yes        yes   yes   403     yes
          publish   401     403      403      403     403   403     403      yes       yes        yes   yes   403     403
          manage    401     403      403      403     403   403     403      403       yes        yes   yes   403     403
          fetch     401     404      404      404     yes   yes     yes      yes       yes        yes   yes   403     yes
          push      401     404      404      404     403   403     403      yes       yes        yes   yes   403     403
private, packages disabled
          read      401     404      404      404     403   403     403      403       403        403   403   403     403
          publish   401     404      404      404     403   403     403      403       403        403   403   403     403
          delete    401     404      404      404     403   403     403      403       403        403   403   403     403
          manage    401     404      404      404     403   403     403      403       yes        yes   yes   403     403
          fetch     401     404      404      404     yes   yes     yes      yes       yes        yes   yes   403     yes
          push      401     404      404      404     403   403     403      yes       yes        yes   yes   403     403
public, packages disabled
          read      403     403      403      403     403   403     403      403       403        403   403   403     403
          publish   403     403      403      403     403   403     403      403       403        403   403   403     403
          manage    401     403      403      403     403   403     403      403       yes        yes   yes   403     403
          fetch     yes     yes      yes      yes     yes   yes     yes      yes       yes        yes   yes   403     yes
          push      401     403      403      403     403   403     403      yes       yes        yes   yes   403     403
private, archived
          read      401     404      404      404     yes   yes     yes      yes       yes        yes   yes   403     yes
          publish   401     404      404      404     403   403     403      403       403        403   403   403     403
          delete    401     404      404      404     403   403     403      403       403        403   403   403     403
          manage    401     404      404      404     403   403     403      403       yes        yes   yes   403     403
          fetch     401     404      404      404     yes   yes     yes      yes       yes        yes   yes   403     yes
          push      401     404      404      404     403   403     403      403       403        403   403   403     403
`

const tokensTable = `
                    read_api read_user read_pkg write_pkg adm-read bot   deploy-r deploy-w d-other-w d-group-r d-group-w d-grp2-w job-dev job-maint job-admin job-left job-other
private
          read      yes      scope     yes      yes       yes      yes   yes      yes      404       yes       yes       404      yes     yes       yes       404      404
          publish   scope    scope     scope    yes       scope    yes   scope    yes      404       scope     yes       404      yes     yes       yes       404      404
          delete    scope    scope     scope    yes       scope    403   scope    yes      404       scope     yes       404      403     yes       yes       404      404
          manage    scope    scope     scope    scope     scope    403   scope    scope    404       scope     scope     404      403     scope     scope     404      404
          own       scope    scope     scope    scope     scope    403   403      403      404       403       403       404      403     403       scope     404      404
          fetch     yes      scope     yes      yes       yes       yes   yes      yes      404       yes       yes       404       yes     yes       yes       404      404
          push      scope    scope     scope    scope     scope     yes   scope    scope    404       scope     scope     404       scope   scope     scope     404      404
internal
          read      yes      scope     yes      yes       yes      yes   yes      yes      404       yes       yes       404      yes     yes       yes       yes      yes
          publish   scope    scope     scope    yes       scope    yes   scope    yes      404       scope     yes       404      yes     yes       yes       403      403
          manage    scope    scope     scope    scope     scope    403   scope    scope    404       scope     scope     404      403     scope     scope     403      403
public
          read      yes      scope     yes      yes       yes      yes   yes      yes      yes       yes       yes       yes      yes     yes       yes       yes      yes
          publish   scope    scope     scope    yes       scope    yes   scope    yes      403       scope     yes       403      yes     yes       yes       403      403
          delete    scope    scope     scope    yes       scope    403   scope    yes      403       scope     yes       403      403     yes       yes       403      403
          manage    scope    scope     scope    scope     scope    403   scope    scope    403       scope     scope     403      403     scope     scope     403      403
          fetch     yes      scope     yes      yes       yes       yes   yes      yes      yes       yes       yes       yes       yes     yes       yes       yes      yes
          push      scope    scope     scope    scope     scope     yes   scope    scope    403       scope     scope     403       scope   scope     scope     403      403
public, packages private
          read      yes      scope     yes      yes       yes      yes   yes      yes      403       yes       yes       403      yes     yes       yes       403      403
private, packages public
          read      yes      scope     yes      yes       yes      yes   yes      yes      yes       yes       yes       yes      yes     yes       yes       yes      yes
          publish   scope    scope     scope    yes       scope    yes   scope    yes      403       scope     yes       403      yes     yes       yes       403      403
private, packages disabled
          read      403      403       403      403       403      403   403      403      404       403       403       404      403     403       403       404      404
          publish   403      403       403      403       403      403   403      403      404       403       403       404      403     403       403       404      404
private, archived
          read      yes      scope     yes      yes       yes      yes   yes      yes      404       yes       yes       404      yes     yes       yes       404      404
          publish   403      403       403      403       403      403   403      403      404       403       403       404      403     403       403       404      404
`

// With groups, packages do not come in.
const groupTable = `
                    nobody  stranger external minimal guest developer maintainer owner admin blocked read_api read_user write_pkg bot   deploy-w d-group-r d-group-w d-grp2-w job-dev job-left job-other
private
          read      401     404      404      404     yes   yes       yes        yes   yes   403     yes      scope     yes       yes   yes      yes       yes       404      yes     404      404
          manage    401     404      404      404     403   403       yes        yes   yes   403     scope    scope     scope     403   403      scope     scope     404      403     404      404
          own       401     404      404      404     403   403       403        yes   yes   403     scope    scope     scope     403   403      403       403       404      403     404      404
internal
          read      401     yes      404      yes     yes   yes       yes        yes   yes   403     yes      scope     yes       yes   yes      yes       yes       404      yes     yes      yes
          manage    401     403      404      403     403   403       yes        yes   yes   403     scope    scope     scope     403   403      scope     scope     404      403     403      403
public
          read      yes     yes      yes      yes     yes   yes       yes        yes   yes   403     yes      scope     yes       yes   yes      yes       yes       yes      yes     yes      yes
          manage    401     403      403      403     403   403       yes        yes   yes   403     scope    scope     scope     403   403      scope     scope     403      403     403      403
`

// rows calls f for each cell of a table.
func rows(t *testing.T, table string, f func(kind, action, caller, want string)) {
	t.Helper()
	lines := strings.Split(strings.Trim(table, "\n"), "\n")
	names := strings.Fields(lines[0])
	kind := ""
	for _, line := range lines[1:] {
		if line[0] != ' ' {
			kind = line
			continue
		}
		cells := strings.Fields(line)
		if len(cells) != len(names)+1 {
			t.Fatalf("a row of %d cells below %d names: %s", len(cells)-1, len(names), line)
		}
		for i, name := range names {
			f(kind, cells[0], name, cells[i+1])
		}
	}
}

// projectOf makes a project as the head of a block describes it.
func (c *callers) projectOf(kind string) *registry.Project {
	c.t.Helper()
	visibility, rest, _ := strings.Cut(kind, ", ")
	packages := registry.RegistryEnabled
	if after, ok := strings.CutPrefix(rest, "packages "); ok {
		packages = registry.RegistryAccess(after)
	}
	if !registry.Visibility(visibility).Valid() || !packages.Valid() {
		c.t.Fatalf("what is a project %q?", kind)
	}
	return c.project(c.group.ID, strings.NewReplacer(",", "", " ", "-").Replace(kind), registry.Visibility(visibility), packages, rest == "archived")
}

func TestAuthorize(t *testing.T) {
	c := newCallers(t)
	projects := map[string]*registry.Project{}
	for _, table := range []string{usersTable, tokensTable} {
		rows(t, table, func(kind, action, name, want string) {
			if projects[kind] == nil {
				projects[kind] = c.projectOf(kind)
			}
			p := projects[kind]
			caller, err := c.of(name, p)
			if err == nil {
				err = c.now().Authorize(caller, p, actions[action])
			}
			if got := outcome(err); got != want {
				t.Errorf("%s: %s by %s: %s, want %s (%v)", kind, action, name, got, want, err)
			}
		})
	}
}

func TestAuthorizeGroup(t *testing.T) {
	c := newCallers(t)
	groups := map[string]*registry.Group{}
	projects := map[string]*registry.Project{}
	rows(t, groupTable, func(kind, action, name, want string) {
		if groups[kind] == nil {
			groups[kind] = c.group0(kind)
			projects[kind] = c.project(groups[kind].ID, "p", registry.Private, registry.RegistryEnabled, false)
		}
		caller, err := c.of(name, projects[kind])
		if err == nil {
			err = c.now().AuthorizeGroup(caller, groups[kind], actions[action])
		}
		if got := outcome(err); got != want {
			t.Errorf("%s group: %s by %s: %s, want %s (%v)", kind, action, name, got, want, err)
		}
	})
}

// group0 is a group below the one in which everybody has their roles.
func (c *callers) group0(visibility string) *registry.Group {
	return c.world.group(c.group.ID, visibility, registry.Visibility(visibility))
}

// Rights in the tree go down, never up or sideways; up, one may know of the groups whose names the path has.
func TestRightsInTheTree(t *testing.T) {
	w := newWorld(t)
	top := w.group(0, "top", registry.Private)
	middle := w.group(top.ID, "middle", registry.Private)
	low := w.group(middle.ID, "low", registry.Private)
	beside := w.group(top.ID, "beside", registry.Private)
	user := w.user("user")
	w.member(user, middle.ID, 0, registry.Maintainer, time.Time{})
	mine, _ := w.personal(user, registry.ScopeAPI)
	deploy, _ := w.token(registry.Token{Kind: registry.DeployToken, GroupID: middle.ID, Scopes: []string{registry.ScopeWritePackage}})
	for _, test := range []struct {
		group            *registry.Group
		want, read, make string // to publish in a project of the group, to read the group, and to make groups in it
	}{{top, "404", "yes", "403"}, {middle, "yes", "yes", "yes"}, {low, "yes", "yes", "yes"}, {beside, "404", "404", "404"}} {
		p := w.project(test.group.ID, "p", registry.Private, registry.RegistryEnabled, false)
		for what, text := range map[string]string{"member": mine, "deploy token": deploy} {
			c, err := w.caller(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := outcome(w.now().Authorize(c, p, access.Publish)); got != test.want {
				t.Errorf("%s in a project of %s: %s, want %s", what, test.group.FullPath, got, test.want)
			}
			if got := outcome(w.now().AuthorizeGroup(c, test.group, access.Read)); got != test.read {
				t.Errorf("%s in %s: %s, want %s", what, test.group.FullPath, got, test.read)
			}
			if got := outcome(w.now().AuthorizeGroup(c, test.group, access.CreateSubgroup)); what == "member" && got != test.make {
				t.Errorf("%s makes a subgroup of %s: %s, want %s", what, test.group.FullPath, got, test.make)
			}
		}
	}
	// The personal namespace is its owner's.
	own := w.project(user.NamespaceID, "own", registry.Private, registry.RegistryEnabled, false)
	c, err := w.caller(mine)
	if err != nil {
		t.Fatal(err)
	}
	if got := outcome(w.now().Authorize(c, own, access.Own)); got != "yes" {
		t.Errorf("the owner in their own namespace: %s", got)
	}
}

// A list must show what can be read, and nothing else: the SQL of the one and the rules of the other are two texts.
func TestListsFollowTheRules(t *testing.T) {
	c := newCallers(t)
	format := registry.Format{Type: registry.NPM, Compare: strings.Compare}
	var projects []*registry.Project
	for _, namespace := range []int64{c.group.ID, c.group0("internal").ID, c.other.ID, c.users["developer"].NamespaceID, c.users["stranger"].NamespaceID} {
		for _, visibility := range []registry.Visibility{registry.Private, registry.Internal, registry.Public} {
			for _, packages := range []registry.RegistryAccess{registry.RegistryDisabled, registry.RegistryPrivate, registry.RegistryEnabled, registry.RegistryPublic} {
				p := c.project(namespace, fmt.Sprintf("%s-%s", visibility, packages), visibility, packages, false)
				projects = append(projects, p)
				err := c.Publish(context.Background(), format, &registry.Publication{EntryName: "pack", Package: registry.Package{ProjectID: p.ID, Name: "pack", Version: "1"}})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	some := projects[:8] // private and internal ones in the group
	for _, name := range strings.Fields(`nobody stranger external minimal guest developer owner admin ext-guest read_api read_pkg adm-read bot
		deploy-r deploy-w d-other-w d-group-r d-grp2-w job-dev job-maint job-admin job-left job-other`) {
		for _, of := range some {
			if _, ok := c.fixed[name]; ok && of != some[0] {
				continue
			}
			caller, err := c.of(name, of)
			if err != nil {
				t.Fatal(err)
			}
			listed := map[int64]bool{}
			err = c.store.Read(context.Background(), func(tx registry.Tx) error {
				entries, total, err := tx.SearchEntries(registry.EntryFilter{Type: registry.NPM, Viewer: caller.Viewer(), Limit: 1000})
				if len(entries) != total {
					t.Errorf("%d of %d entries", len(entries), total)
				}
				for _, e := range entries {
					listed[e.ProjectID] = true
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range projects {
				if readable := outcome(c.now().Authorize(caller, p, access.Read)); (readable == "yes") != listed[p.ID] {
					t.Errorf("%s (of %s): %s is listed: %t, but reading it: %s", name, of.FullPath, p.FullPath, listed[p.ID], readable)
				}
			}
		}
	}
}

func TestRequireScope(t *testing.T) {
	c := newCallers(t)
	p := c.projectOf("private")
	for _, test := range []struct {
		who    string
		scopes []string
		want   string
	}{
		{"nobody", nil, "401"},
		{"nobody", []string{registry.ScopeAPI}, "401"},
		{"owner", nil, "yes"},
		{"owner", []string{registry.ScopeAPI}, "yes"},
		{"read_user", []string{registry.ScopeAPI}, "scope"},
		{"read_user", []string{registry.ScopeAPI, registry.ScopeReadUser}, "yes"},
		{"read_user", nil, "yes"},
		{"deploy-w", []string{registry.ScopeWritePackage}, "401"}, // it is no user
		{"job-dev", nil, "yes"},
		{"job-dev", []string{registry.ScopeAPI}, "scope"},
	} {
		caller, err := c.of(test.who, p)
		if err != nil {
			t.Fatal(err)
		}
		if got := outcome(access.RequireScope(caller, test.scopes...)); got != test.want {
			t.Errorf("%s with %v: %s, want %s", test.who, test.scopes, got, test.want)
		}
	}
	// A browser's session has no token, and all of its user's rights.
	session := &access.Caller{User: c.users["owner"]}
	if err := access.RequireScope(session, registry.ScopeAPI); err != nil {
		t.Errorf("session: %v", err)
	}
	if got := outcome(c.now().Authorize(session, p, access.Own)); got != "yes" {
		t.Errorf("session: %s", got)
	}
	for who, want := range map[string]string{"nobody": "yes", "read_user": "scope", "read_pkg": "yes", "deploy-r": "yes", "job-dev": "yes"} {
		caller, err := c.of(who, p)
		if err != nil {
			t.Fatal(err)
		}
		if got := outcome(access.ReadScope(caller)); got != want {
			t.Errorf("ReadScope of %s: %s, want %s", who, got, want)
		}
	}
	// The error says what would do.
	caller, err := c.of("read_user", p)
	if err != nil {
		t.Fatal(err)
	}
	var tokenErr *access.TokenError
	if err := c.now().Authorize(caller, p, access.Publish); !errors.As(err, &tokenErr) || tokenErr.Scope != "api write_package_registry" {
		t.Errorf("publishing without the scope: %#v", err)
	}
}
