package contract

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"packhouse/internal/server"
	"packhouse/test/harness"
)

// The matrix of rights: every kind of caller sends every request to every kind of place, and gets the status that the
// contract's tables say. What a refused request would have changed is looked at afterwards, as root. The rows stand in
// matrix_api_test.go and
// matrix_packages_test.go (GitLab's API), matrix_npm_test.go (npm), matrix_pages_test.go (people in browsers) and matrix_server_test.go
// (the rest).

// row is one request, by everybody, at all sites of a kind.
type row struct {
	pattern string // of the server's route
	does    string // what its callers do, in the words of a sentence
	at      kind
	only    []string         // callers, where not all; for what is limited in time
	unless  func(*site) bool // sites where it makes no sense
	// try makes what the request needs, as root, and says what it is. It is asked again when the last request has
	// changed something.
	try  func(w *world, s *site, c *caller) attempt
	want func(identity, *site) int
	own  bool // the request is about its caller: it is made anew for each, with a credential that may be spent
	page bool // it is a page's, which sessions of browsers open, and tokens do not
}

// attempt is a request that would succeed if its sender might.
type attempt struct {
	call
	// done looks, as root, whether it has happened; nil where nothing changes.
	done func(w *world) bool
}

// kind of site.
type kind int

const (
	onServer kind = iota
	inProjects
	inGroups
)

// site is a place with its inhabitants.
type site struct {
	kind
	what       string // "a private project"
	visibility string
	registry   string // package_registry_access_level
	top        group  // above all
	group      group  // what the site is, or in which it lies
	project    project
	pack       pack
	dist       distribution
	ids        map[string]any // what stands for the {names} of patterns
	sync.Mutex
	credentials map[string]credential // of the callers, by name
	login       user                  // signs in with a password
}

// route is the path of a pattern at this site.
func (s *site) route(pattern string) string {
	_, path, _ := strings.Cut(pattern, " ")
	return pathName.ReplaceAllStringFunc(path, func(name string) string {
		id, ok := s.ids[strings.Trim(name, "{.}")]
		if !ok {
			panic(s.what + " has nothing for " + name + " of " + pattern)
		}
		return fmt.Sprint(id)
	})
}

var pathName = regexp.MustCompile(`\{[^}]+\}`)

// identity is what the tables of the contract ask about a caller.
type identity struct {
	refused  int // the status of a credential that is no good anywhere; 0: it is good
	user     bool
	external bool
	level    int      // at the site, direct or inherited; 60: administrator
	inside   int      // at the project in a group, where it is higher than that
	scopes   []string // of the token; nil: no bounds
	top      int      // at the group above all
	packages bool     // a deploy or job token
	job      bool
	bot      bool // with an access token of the site's project or group
	home     bool // which is the site itself

	browser *identity // in whose session; of tokens nil, as sessions are nothing elsewhere
}

const adminLevel = 60

// caller is a kind of caller. Its credential is made once at each site.
type caller struct {
	who  string
	mint func(w *world, s *site) credential
	is   func(s *site) identity
}

func (c *caller) as(w *world, s *site) credential {
	s.Lock()
	defer s.Unlock()
	as, ok := s.credentials[c.who]
	if !ok {
		as = c.mint(w, s)
		s.credentials[c.who] = as
	}
	return as
}

// roles, with the least first.
var roles = []struct {
	who   string
	level int
}{
	{"a member with minimal access", 5}, {"a guest", 10}, {"a planner", 15}, {"a reporter", 20}, {"a developer", 30}, {"a maintainer", 40}, {"an owner", 50},
}

// people are the users of a matrix, by who they are; members of each site where they are.
type people map[string]user

func (w *world) people() people {
	them := people{}
	for _, role := range roles {
		them[role.who] = w.user()
	}
	for _, who := range []string{"a user who is no member", "an owner of the group above", "a developer of the project only", "a blocked owner", "an external user", "an external guest"} {
		them[who] = w.user()
	}
	for _, who := range []string{"an external user", "an external guest"} {
		name := "x" + harness.Random()[:12]
		var u user
		w.make("/users", map[string]any{"username": name, "name": name, "email": name + "@example.com", "force_random_password": true, "external": true}, &u)
		u.token = w.personal(u, "api")
		them[who] = u
	}
	return them
}

// site makes a place of a kind, in a group of its own that has the same visibility, in another such group.
func (w *world) site(k kind, visibility, registry string, them people) *site {
	w.Helper()
	s := &site{kind: k, visibility: visibility, registry: registry, credentials: map[string]credential{}}
	s.top = w.group(visibility)
	s.group = w.group(visibility, s.top)
	s.project = w.project(s.group, visibility, map[string]any{"package_registry_access_level": registry})
	s.what, s.ids = fmt.Sprintf("%s %s project", article(visibility), visibility), map[string]any{"id": s.project.ID, "project": s.project.ID, "group": s.group.ID}
	if registry != "enabled" {
		s.what += " whose package registry is " + registry
	}
	home := fmt.Sprintf("/projects/%d", s.project.ID)
	if k == inGroups {
		home, s.what, s.ids["id"] = s.group.path(), fmt.Sprintf("%s %s group", article(visibility), visibility), s.group.ID
	}
	for _, role := range roles {
		w.join(home, them[role.who], role.level)
	}
	w.join(home, them["an external guest"], harness.Guest)
	w.join(home, them["a blocked owner"], harness.Owner)
	w.join(s.top.path(), them["an owner of the group above"], harness.Owner)
	w.join(fmt.Sprintf("/projects/%d", s.project.ID), them["a developer of the project only"], harness.Developer)
	s.pack = named("@" + s.top.Path + "/" + "pack-" + harness.Random()[:8])
	if registry != "disabled" {
		w.publish(s.project, w.root(), s.pack)
	}
	return s
}

func article(word string) string {
	if strings.ContainsAny(word[:1], "aeiou") {
		return "an"
	}
	return "a"
}

// callers are all kinds of them.
func (w *world) callers(them people) []*caller {
	var all []*caller
	add := func(who string, mint func(*world, *site) credential, is func(*site) identity) {
		all = append(all, &caller{who, mint, is})
	}
	same := func(id identity) func(*site) identity { return func(*site) identity { return id } }
	personal := func(who string, scopes ...string) func(*world, *site) credential {
		return func(w *world, _ *site) credential { return private(w.personal(them[who], scopes...)) }
	}
	add("nobody", func(*world, *site) credential { return anonymous }, same(identity{}))
	add("somebody with a wrong token", func(*world, *site) credential { return private(wrong()) }, same(identity{refused: 401}))
	add("a user who is no member", personal("a user who is no member", "api"), same(identity{user: true}))
	add("an external user", personal("an external user", "api"), same(identity{user: true, external: true}))
	add("an external guest", personal("an external guest", "api"), func(s *site) identity { return identity{user: true, external: true, level: s.level(10)} })
	for _, role := range roles {
		add(role.who, personal(role.who, "api"), func(s *site) identity { return identity{user: true, level: s.level(role.level)} })
	}
	add("an owner of the group above", personal("an owner of the group above", "api"), func(s *site) identity { return identity{user: true, level: s.level(50), top: 50} })
	add("a developer of the project only", personal("a developer of the project only", "api"), func(s *site) identity {
		return identity{user: true, level: map[bool]int{true: 30}[s.kind == inProjects], inside: 30}
	})
	add("an administrator", func(w *world, _ *site) credential {
		return private(w.token("/users/1/personal_access_tokens", []string{"api"}))
	}, same(identity{user: true, level: adminLevel}))

	for _, scope := range []string{"read_api", "read_user", "read_package_registry", "write_package_registry", "read_repository"} {
		add("an owner's token with the scope "+scope, personal("an owner", scope), func(s *site) identity {
			return identity{user: true, level: s.level(50), scopes: []string{scope}}
		})
	}
	add("an owner's token that was revoked", func(w *world, _ *site) credential {
		as := private(w.personal(them["an owner"], "api"))
		w.send(call{method: "DELETE", path: "/api/v4/personal_access_tokens/self", as: as}).must(w, http.StatusNoContent)
		return as
	}, same(identity{refused: 401}))
	add("an owner's token that expired", func(w *world, _ *site) credential {
		var made harness.Token
		w.make(fmt.Sprintf("/users/%d/personal_access_tokens", them["an owner"].ID), map[string]any{
			"name": "old", "scopes": []string{"api"}, "expires_at": time.Now().AddDate(0, 0, -2).Format(time.DateOnly)}, &made)
		return private(made.Token)
	}, same(identity{refused: 401}))

	var once sync.Once
	var blocked credential
	add("an owner who is blocked", func(w *world, _ *site) credential {
		once.Do(func() {
			u := them["a blocked owner"]
			blocked = private(w.personal(u, "api"))
			w.send(call{method: "POST", path: fmt.Sprintf("/api/v4/users/%d/block", u.ID), as: w.root()}).must(w, http.StatusCreated)
		})
		return blocked
	}, same(identity{refused: 403}))

	// A bot is a member of what its token was made in.
	bots := func(who string, in func(*site) string, is func(*site) identity) {
		add(who, func(w *world, s *site) credential {
			var made harness.Token
			w.make(in(s)+"/access_tokens", map[string]any{"name": "bot", "scopes": []string{"api"}, "access_level": 40}, &made)
			return private(made.Token)
		}, is)
	}
	bots("the project's access token", func(s *site) string { return fmt.Sprintf("/projects/%d", s.project.ID) }, func(s *site) identity {
		return identity{user: true, scopes: []string{"api"}, bot: true, home: s.kind == inProjects, level: map[bool]int{true: 40}[s.kind == inProjects], inside: 40}
	})
	bots("the group's access token", func(s *site) string { return s.group.path() }, func(s *site) identity {
		return identity{user: true, scopes: []string{"api"}, bot: true, home: s.kind == inGroups, level: s.level(40)}
	})

	// A deploy token can reach as far as its scopes do, in its own project or group.
	deploys := func(who, scope string, in func(*site) string, reaches func(*site) bool) {
		add(who, func(w *world, s *site) credential { return deploy(w.token(in(s)+"/deploy_tokens", []string{scope})) }, func(s *site) identity {
			id := identity{packages: true, scopes: []string{scope}}
			if reaches(s) {
				id.level = 40
			} else if who[:13] == "the project's" {
				id.inside = 40
			}
			return id
		})
	}
	ofProject := func(s *site) string { return fmt.Sprintf("/projects/%d", s.project.ID) }
	ofGroup := func(s *site) string { return s.group.path() }
	always := func(*site) bool { return true }
	elsewhere := w.project(w.group(harness.Private), harness.Private)
	deploys("the project's deploy token that reads", "read_package_registry", ofProject, func(s *site) bool { return s.kind == inProjects })
	deploys("the project's deploy token that writes", "write_package_registry", ofProject, func(s *site) bool { return s.kind == inProjects })
	deploys("the group's deploy token that reads", "read_package_registry", ofGroup, always)
	deploys("the group's deploy token that writes", "write_package_registry", ofGroup, always)
	deploys("another project's deploy token", "write_package_registry", func(*site) string { return fmt.Sprintf("/projects/%d", elsewhere.ID) }, func(*site) bool { return false })

	jobs := func(who string, u user, level int, in func(*site) project) {
		add(who, func(w *world, s *site) credential { return job(w.jobToken(in(s), u, 3600)) }, func(s *site) identity {
			return identity{user: true, packages: true, job: true, level: s.level(level), top: level}
		})
	}
	here := func(s *site) project { return s.project }
	w.join(fmt.Sprintf("/projects/%d", elsewhere.ID), them["an owner"], harness.Owner)
	jobs("a developer's job in the project", them["a developer"], 30, here)
	jobs("an owner's job in the project", them["an owner"], 50, here)
	jobs("an owner's job in another project", them["an owner"], 0, func(*site) project { return elsewhere })
	return all
}

// level is that of a member at this site; on the server nobody is one.
func (s *site) level(level int) int {
	if s.kind == onServer {
		return 0
	}
	return level
}

func TestMatrix(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--log-requests", "errors"}})
	rows := slices.Concat(serverRows(), pageRows(), apiRows(), peopleRows(), packageRows(), npmRows(), policyRows(), upkeepRows(), placeRows(), pypiRows(), nugetRows(), composerRows(), repositoryRows())
	w.sub("every route has a row", func(w *world) {
		unknown := map[string]bool{}
		for _, r := range rows {
			unknown[r.pattern] = true
		}
		for _, pattern := range patterns(w) {
			if !slices.ContainsFunc(rows, func(r row) bool { return r.pattern == pattern }) {
				w.Errorf("no row of the matrix asks the route %q", pattern)
			}
			delete(unknown, pattern)
		}
		for _, pattern := range slices.Sorted(maps.Keys(unknown)) {
			w.Errorf("rows of the matrix ask the route %q, which the server does not have", pattern)
		}
	})

	w.sub("every route of the API is described, every part of it too", func(w *world) {
		d, err := described()
		if err != nil {
			w.Fatal(err)
		}
		for _, pattern := range patterns(w) {
			method, path, ok := strings.Cut(pattern, " ")
			if !ok || !strings.HasPrefix(path, "/api/v4/") || strings.Contains(path, "/packages/") && !strings.Contains(path, "{package_id}") {
				continue // a package manager's protocol, or none of the API's
			}
			if operation := d.Paths[path][strings.ToLower(method)]; operation == nil || operation.Summary == "" || len(operation.Tags) != 1 {
				w.Errorf("the OpenAPI document has nothing to say of %q", pattern)
			}
		}
		for _, tag := range d.Tags {
			if tag.Description == "" {
				w.Errorf("the tag %q has no description", tag.Name)
			}
		}
	})

	them := w.people()
	callers := append(w.callers(them), w.browsers(them)...)
	sites := map[kind][]*site{onServer: {w.site(onServer, harness.Private, "enabled", them)}}
	sites[onServer][0].what = "the server"
	for _, v := range visibilities {
		sites[inGroups] = append(sites[inGroups], w.site(inGroups, v, "enabled", them))
		sites[inProjects] = append(sites[inProjects], w.site(inProjects, v, "enabled", them))
	}
	for _, more := range [][2]string{{harness.Private, "public"}, {harness.Internal, "public"}, {harness.Public, "private"}, {harness.Public, "disabled"}, {harness.Private, "disabled"}} {
		sites[inProjects] = append(sites[inProjects], w.site(inProjects, more[0], more[1], them))
	}
	for _, prepare := range preparations {
		for _, s := range slices.Concat(sites[onServer], sites[inGroups], sites[inProjects]) {
			prepare(w, s, them)
		}
	}
	asked := 0
	for _, r := range rows {
		asked += len(sites[r.at]) * len(callers)
		for _, s := range sites[r.at] {
			if r.unless != nil && r.unless(s) {
				continue
			}
			w.sub(r.pattern+": who "+r.does+", "+s.what, func(w *world) {
				w.Parallel()
				r.run(w, s, callers)
			})
		}
	}
	t.Logf("%d rows, %d callers, about %d requests", len(rows), len(callers), asked)
}

// preparations make what the rows of a part need at each site.
var preparations []func(w *world, s *site, them people)

func (r *row) run(w *world, s *site, callers []*caller) {
	var now *attempt
	for _, c := range callers {
		if r.only != nil && !slices.Contains(r.only, c.who) || !r.asks(c) {
			continue
		}
		as := c.as(w, s)
		if r.own {
			as = c.mint(w, s)
		}
		if now == nil || r.own {
			made := r.try(w, s, c)
			now = &made
		}
		request := now.call
		request.as = as
		want := r.want(c.is(s), s)
		a := w.send(request)
		if r.page {
			a.status = statusOfPage(a)
		}
		sentence := fmt.Sprintf("%s %s, %s: %s answers %d", c.who, r.does, s.what, a.call, a.status)
		if a.status != want {
			w.Errorf("%s, want %d\n%.300s", sentence, want, a.body)
		}
		if now.done == nil {
			continue
		}
		done := now.done(w)
		switch {
		case done && want >= 300:
			w.Errorf("%s, and it has happened all the same", sentence)
		case !done && want < 300:
			w.Errorf("%s, and it has not happened", sentence)
		}
		if done || a.status < 300 {
			now = nil
		}
	}
}

// patterns are those of all routes of a server.
func patterns(w *world) []string {
	s, err := server.New(context.Background(), server.Config{Data: w.TempDir(), RootPassword: harness.Random(), RootToken: harness.Random()})
	if err != nil {
		w.Fatal(err)
	}
	defer s.Close()
	return s.Patterns()
}

// known tells whether a caller may know of a site (contract, visibility of projects and groups).
func (id identity) known(s *site) bool {
	if s.kind == inGroups && id.inside >= harness.Guest {
		return true // of something below it
	}
	return id.level >= harness.Guest || s.visibility == harness.Public || s.visibility == harness.Internal && id.user && !id.external
}

// can tells whether the caller's token has one of some scopes.
func (id identity) can(scopes ...string) bool {
	return id.scopes == nil || slices.ContainsFunc(scopes, func(scope string) bool { return slices.Contains(id.scopes, scope) })
}
