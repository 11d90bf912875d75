package databasetest

import (
	"testing"
	"time"

	"packhouse/internal/registry"
)

func testUsers(t *testing.T, s *store) {
	if n := find(s, registry.Tx.CountUsers); n != 0 {
		t.Fatalf("a new store has %d users", n)
	}
	ada := &registry.User{Username: "Ada", Name: "Ada L.", Email: "Ada@example.org", PasswordHash: "$2a$", Admin: true, External: true, Bot: true, State: registry.Banned}
	s.write(func(tx registry.Tx) error { return tx.CreateUser(ada) })
	if ada.ID == 0 || ada.NamespaceID == 0 || ada.CreatedAt.IsZero() {
		t.Errorf("CreateUser left fields empty: %+v", ada)
	}
	same(t, "user by id", ada, find(s, func(tx registry.Tx) (*registry.User, error) { return tx.User(ada.ID) }))
	for _, name := range []string{"Ada", "ada", "ADA"} {
		same(t, "user by name "+name, ada, find(s, func(tx registry.Tx) (*registry.User, error) { return tx.UserByUsername(name) }))
	}
	if n := find(s, registry.Tx.CountUsers); n != 1 {
		t.Errorf("CountUsers = %d, want 1", n)
	}

	namespace := find(s, func(tx registry.Tx) (*registry.Group, error) { return tx.Group(ada.NamespaceID) })
	same(t, "personal namespace", &registry.Group{ID: ada.NamespaceID, OwnerID: ada.ID, Name: "Ada L.", Path: "Ada", FullPath: "Ada",
		Visibility: registry.Public, CreatedAt: namespace.CreatedAt, Lineage: []int64{ada.NamespaceID}}, namespace)
	same(t, "namespace by path", namespace, find(s, func(tx registry.Tx) (*registry.Group, error) { return tx.GroupByPath("aDA") }))

	wantKind(t, "the same name in capitals", s.attempt(func(tx registry.Tx) error { return tx.CreateUser(&registry.User{Username: "ADA"}) }), registry.Conflict)
	wantKind(t, "the same address in small letters", s.attempt(func(tx registry.Tx) error {
		return tx.CreateUser(&registry.User{Username: "other", Email: "ada@EXAMPLE.org"})
	}), registry.Conflict)
	// Two users without an address do not collide.
	s.user("bot1")
	s.user("bot2")

	ada.Name, ada.Email, ada.PasswordHash, ada.Admin, ada.External, ada.State = "A.", "", "", false, false, registry.Active
	s.write(func(tx registry.Tx) error { return tx.UpdateUser(ada) })
	same(t, "updated user", ada, find(s, func(tx registry.Tx) (*registry.User, error) { return tx.User(ada.ID) }))
	wantKind(t, "an update of nobody", s.attempt(func(tx registry.Tx) error { return tx.UpdateUser(&registry.User{ID: 4711}) }), registry.NotFound)

	for what, err := range map[string]error{
		"user by id":   s.attempt(func(tx registry.Tx) error { _, err := tx.User(4711); return err }),
		"user by name": s.attempt(func(tx registry.Tx) error { _, err := tx.UserByUsername("nobody"); return err }),
	} {
		wantKind(t, what, err, registry.NotFound)
	}
}

func testGroupsAndProjects(t *testing.T, s *store) {
	creator := s.user("creator")
	top := &registry.Group{Name: "Top", Path: "Top", Description: "all of it", Visibility: registry.Internal}
	s.write(func(tx registry.Tx) error { return tx.CreateGroup(top) })
	middle := s.group(top, "Middle")
	low := s.group(middle, "low")

	same(t, "lineage of top", []int64{top.ID}, top.Lineage)
	same(t, "lineage of low", []int64{top.ID, middle.ID, low.ID}, low.Lineage)
	same(t, "full path of low", "Top/Middle/low", low.FullPath)
	for _, g := range []*registry.Group{top, middle, low} {
		same(t, "group by id", g, find(s, func(tx registry.Tx) (*registry.Group, error) { return tx.Group(g.ID) }))
		same(t, "group by path", g, find(s, func(tx registry.Tx) (*registry.Group, error) { return tx.GroupByPath(g.FullPath) }))
	}
	same(t, "group by path in capitals", low, find(s, func(tx registry.Tx) (*registry.Group, error) { return tx.GroupByPath("TOP/MIDDLE/LOW") }))
	if top.Personal() || !(&registry.Group{OwnerID: 1}).Personal() {
		t.Error("Personal does not tell groups from personal namespaces")
	}

	p := &registry.Project{NamespaceID: low.ID, CreatorID: creator.ID, Name: "The Tool", Path: "Tool", Description: "does it",
		Visibility: registry.Internal, RegistryAccess: registry.RegistryPublic, Archived: true}
	s.write(func(tx registry.Tx) error { return tx.CreateProject(p) })
	same(t, "full path", "Top/Middle/low/Tool", p.FullPath)
	same(t, "lineage", low.Lineage, p.Lineage)
	same(t, "root", top.ID, p.RootID())
	same(t, "project by id", p, find(s, func(tx registry.Tx) (*registry.Project, error) { return tx.Project(p.ID) }))
	same(t, "project by path", p, find(s, func(tx registry.Tx) (*registry.Project, error) { return tx.ProjectByPath("top/middle/LOW/tool") }))
	own := s.project(creator.NamespaceID, "own")
	same(t, "project of a person", "creator/own", own.FullPath)

	for what, err := range map[string]error{
		"group by id":             s.attempt(func(tx registry.Tx) error { _, err := tx.Group(4711); return err }),
		"group by path":           s.attempt(func(tx registry.Tx) error { _, err := tx.GroupByPath("top/none"); return err }),
		"group by project's path": s.attempt(func(tx registry.Tx) error { _, err := tx.GroupByPath(p.FullPath); return err }),
		"project by id":           s.attempt(func(tx registry.Tx) error { _, err := tx.Project(4711); return err }),
		"project by path":         s.attempt(func(tx registry.Tx) error { _, err := tx.ProjectByPath("top/none"); return err }),
		"project by group's path": s.attempt(func(tx registry.Tx) error { _, err := tx.ProjectByPath(low.FullPath); return err }),
		"group in no parent": s.attempt(func(tx registry.Tx) error {
			return tx.CreateGroup(&registry.Group{ParentID: 4711, Path: "x", Visibility: registry.Private})
		}),
		"project in no namespace": s.attempt(func(tx registry.Tx) error {
			return tx.CreateProject(&registry.Project{NamespaceID: 4711, Path: "x"})
		}),
	} {
		wantKind(t, what, err, registry.NotFound)
	}
}

func testOneSpaceOfPaths(t *testing.T, s *store) {
	s.user("taken")
	top := s.group(nil, "top")
	s.group(top, "Sub")
	s.project(top.ID, "tool")
	group := func(parent int64, path string) error {
		return s.attempt(func(tx registry.Tx) error {
			return tx.CreateGroup(&registry.Group{ParentID: parent, Path: path, Visibility: registry.Private})
		})
	}
	project := func(path string) error {
		return s.attempt(func(tx registry.Tx) error {
			return tx.CreateProject(&registry.Project{NamespaceID: top.ID, Path: path, Visibility: registry.Private, RegistryAccess: registry.RegistryEnabled})
		})
	}
	before := s.accessRevision()
	for what, err := range map[string]error{
		"a group like a user":           group(0, "Taken"),
		"a group like a group":          group(0, "TOP"),
		"a subgroup like a subgroup":    group(top.ID, "sub"),
		"a subgroup like a project":     group(top.ID, "Tool"),
		"a project like a subgroup":     project("SUB"),
		"a project like a project":      project("TOOL"),
		"a user like a group":           s.attempt(func(tx registry.Tx) error { return tx.CreateUser(&registry.User{Username: "top"}) }),
		"a user like a group, capitals": s.attempt(func(tx registry.Tx) error { return tx.CreateUser(&registry.User{Username: "ToP"}) }),
	} {
		wantKind(t, what, err, registry.Conflict)
	}
	if n := find(s, registry.Tx.CountUsers); n != 1 {
		t.Errorf("refused users were kept: there are %d", n)
	}
	if after := s.accessRevision(); after != before {
		t.Errorf("the access revision went from %d to %d for what was refused", before, after)
	}
	// The same path elsewhere is another path.
	other := s.group(nil, "other")
	s.group(other, "sub")
	s.project(other.ID, "tool")
}

func testMembers(t *testing.T, s *store) {
	ada, bob := s.user("ada"), s.user("bob")
	g := s.group(nil, "g")
	p := s.project(g.ID, "p")
	ends := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	s.member(bob, g, nil, registry.Guest, ends)
	s.member(ada, g, nil, registry.Owner, time.Time{})
	s.member(bob, nil, p, registry.Reporter, time.Time{})

	members := func(group, project int64) []*registry.Member {
		members := find(s, func(tx registry.Tx) ([]*registry.Member, error) { return tx.Members(group, project) })
		for _, m := range members {
			if time.Since(m.CreatedAt).Abs() > time.Hour {
				t.Errorf("member was made at %v", m.CreatedAt)
			}
			m.CreatedAt = time.Time{}
		}
		return members
	}
	same(t, "members of the group", []*registry.Member{
		{UserID: ada.ID, GroupID: g.ID, Level: registry.Owner},
		{UserID: bob.ID, GroupID: g.ID, Level: registry.Guest, ExpiresAt: ends},
	}, members(g.ID, 0))
	same(t, "members of the project", []*registry.Member{{UserID: bob.ID, ProjectID: p.ID, Level: registry.Reporter}}, members(0, p.ID))
	same(t, "members of nothing", 0, len(members(4711, 0)))

	wantKind(t, "a second membership in the group", s.attempt(func(tx registry.Tx) error {
		return tx.CreateMember(&registry.Member{UserID: bob.ID, GroupID: g.ID, Level: registry.Owner})
	}), registry.Conflict)
	wantKind(t, "a second membership in the project", s.attempt(func(tx registry.Tx) error {
		return tx.CreateMember(&registry.Member{UserID: bob.ID, ProjectID: p.ID, Level: registry.Owner})
	}), registry.Conflict)
}

func testLevels(t *testing.T, s *store) {
	top := s.group(nil, "top")
	low := s.group(top, "low")
	beside := s.group(top, "beside")
	p := s.project(low.ID, "p")
	inherits, both, direct, nobody, elsewhere, below := s.user("inherits"), s.user("both"), s.user("direct"), s.user("nobody"), s.user("elsewhere"), s.user("below")
	never := time.Time{}
	s.member(inherits, top, nil, registry.Developer, never)
	s.member(both, top, nil, registry.Owner, never)
	s.member(both, low, nil, registry.Guest, never)
	s.member(both, nil, p, registry.Reporter, never)
	s.member(direct, nil, p, registry.Planner, never)
	s.member(elsewhere, beside, nil, registry.Owner, never)
	s.member(below, low, nil, registry.Maintainer, never)
	own := s.project(nobody.NamespaceID, "own")

	for _, test := range []struct {
		user                       *registry.User
		inProject, inLow, inTop    registry.Level
		inProjectOfNobodyNamespace registry.Level
	}{
		{inherits, registry.Developer, registry.Developer, registry.Developer, 0},
		{both, registry.Owner, registry.Owner, registry.Owner, 0},
		{direct, registry.Planner, 0, 0, 0},
		{elsewhere, 0, 0, 0, 0},
		{below, registry.Maintainer, registry.Maintainer, 0, 0},
		{nobody, 0, 0, 0, registry.Owner},
	} {
		for _, where := range []struct {
			what    string
			project int64
			lineage []int64
			want    registry.Level
		}{
			{"project", p.ID, p.Lineage, test.inProject},
			{"subgroup", 0, low.Lineage, test.inLow},
			{"top group", 0, top.Lineage, test.inTop},
			{"personal project", own.ID, own.Lineage, test.inProjectOfNobodyNamespace},
		} {
			s.read(func(tx registry.Tx) error {
				level, until, err := tx.EffectiveLevel(test.user.ID, where.project, where.lineage)
				if level != where.want || !until.IsZero() {
					t.Errorf("level of %s in the %s = %d until %v, want %d for ever", test.user.Username, where.what, level, until, where.want)
				}
				return err
			})
		}
	}
}

func testMembershipEnds(t *testing.T, s *store) {
	top := s.group(nil, "top")
	p := s.project(top.ID, "p")
	now := time.Now().UTC().Truncate(time.Millisecond)
	past, soon, later := now.Add(-time.Hour), now.Add(time.Hour), now.Add(2*time.Hour)
	for _, test := range []struct {
		name              string
		inGroup           registry.Level
		groupEnds         time.Time
		inProject         registry.Level
		projectEnds       time.Time
		want              registry.Level
		wantUntil         time.Time
		visibleToSearches bool
	}{
		{"ended", registry.Owner, past, 0, time.Time{}, 0, time.Time{}, false},
		{"ended-above", registry.Owner, past, registry.Guest, time.Time{}, registry.Guest, time.Time{}, true},
		{"ends", registry.Owner, soon, 0, time.Time{}, registry.Owner, soon, true},
		{"ends-twice", registry.Guest, later, registry.Owner, soon, registry.Owner, soon, true},
		{"ends-below", registry.Owner, time.Time{}, registry.Guest, soon, registry.Owner, soon, true},
		{"ended-both", registry.Owner, past, registry.Guest, past, 0, time.Time{}, false},
	} {
		user := s.user(test.name)
		s.member(user, top, nil, test.inGroup, test.groupEnds)
		if test.inProject != 0 {
			s.member(user, nil, p, test.inProject, test.projectEnds)
		}
		s.read(func(tx registry.Tx) error {
			level, until, err := tx.EffectiveLevel(user.ID, p.ID, p.Lineage)
			if level != test.want || !until.Equal(test.wantUntil) {
				t.Errorf("%s: level %d until %v, want %d until %v", test.name, level, until, test.want, test.wantUntil)
			}
			return err
		})
	}
	s.publish(p, "pack", "1")
	for _, name := range []string{"ended", "ended-above", "ends", "ends-twice", "ends-below", "ended-both"} {
		user := find(s, func(tx registry.Tx) (*registry.User, error) { return tx.UserByUsername(name) })
		want := 1
		if name == "ended" || name == "ended-both" {
			want = 0
		}
		if _, total := s.search(registry.EntryFilter{Viewer: registry.Viewer{UserID: user.ID}}); total != want {
			t.Errorf("%s: a search finds %d, want %d", name, total, want)
		}
	}
}

func testTokens(t *testing.T, s *store) {
	ada := s.user("ada")
	g := s.group(nil, "g")
	p := s.project(g.ID, "p")
	pipeline := &registry.Pipeline{ProjectID: p.ID, UserID: ada.ID, Ref: "main", SHA: "c0ffee", Source: "push", WebURL: "https://ci.example.org/1"}
	s.write(func(tx registry.Tx) error { return tx.CreatePipeline(pipeline) })
	if pipeline.ID == 0 || pipeline.CreatedAt.IsZero() {
		t.Errorf("CreatePipeline left fields empty: %+v", pipeline)
	}
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	tokens := []*registry.Token{
		{Kind: registry.PersonalToken, Name: "mine", Description: "for me", UserID: ada.ID, Scopes: []string{registry.ScopeAPI, registry.ScopeReadUser}, Hash: someHash(), ExpiresAt: expires},
		{Kind: registry.DeployToken, Name: "deploy", Username: "gitlab+deploy-token-1", GroupID: g.ID, Scopes: []string{registry.ScopeReadPackage}, Hash: someHash()},
		{Kind: registry.DeployToken, Name: "revoked", ProjectID: p.ID, Hash: someHash(), Revoked: true},
		{Kind: registry.JobToken, Name: "job", UserID: ada.ID, ProjectID: p.ID, PipelineID: pipeline.ID, Hash: someHash(), ExpiresAt: expires},
	}
	for _, token := range tokens {
		s.write(func(tx registry.Tx) error { return tx.CreateToken(token) })
		if token.ID == 0 || token.CreatedAt.IsZero() {
			t.Errorf("CreateToken left fields empty: %+v", token)
		}
		same(t, "token by id", token, find(s, func(tx registry.Tx) (*registry.Token, error) { return tx.Token(token.ID) }))
		same(t, "token by hash", token, find(s, func(tx registry.Tx) (*registry.Token, error) { return tx.TokenByHash(token.Hash) }))
	}
	wantKind(t, "a second token of one hash", s.attempt(func(tx registry.Tx) error {
		return tx.CreateToken(&registry.Token{Kind: registry.PersonalToken, UserID: ada.ID, Hash: tokens[0].Hash})
	}), registry.Conflict)

	mine := tokens[0]
	used := time.Now().UTC().Truncate(time.Millisecond)
	lastUsed := func() time.Time {
		return find(s, func(tx registry.Tx) (*registry.Token, error) { return tx.Token(mine.ID) }).LastUsedAt
	}
	s.write(func(tx registry.Tx) error { return tx.UseToken(mine.ID, used) })
	same(t, "last use", used, lastUsed())
	// A node that comes late with an earlier use does not turn the time back.
	s.write(func(tx registry.Tx) error { return tx.UseToken(mine.ID, used.Add(-time.Minute)) })
	same(t, "last use after an earlier one", used, lastUsed())
	s.write(func(tx registry.Tx) error { return tx.UseToken(4711, used) })

	s.write(func(tx registry.Tx) error { return tx.RevokeToken(mine.ID) })
	if !find(s, func(tx registry.Tx) (*registry.Token, error) { return tx.TokenByHash(mine.Hash) }).Revoked {
		t.Error("a revoked token is not revoked")
	}
	for what, err := range map[string]error{
		"token by id":   s.attempt(func(tx registry.Tx) error { _, err := tx.Token(4711); return err }),
		"token by hash": s.attempt(func(tx registry.Tx) error { _, err := tx.TokenByHash(someHash()); return err }),
		"revoke":        s.attempt(func(tx registry.Tx) error { return tx.RevokeToken(4711) }),
	} {
		wantKind(t, what, err, registry.NotFound)
	}
}

func testTokenFilter(t *testing.T, s *store) {
	ada, bob := s.user("ada"), s.user("bob")
	g := s.group(nil, "g")
	p, q := s.project(g.ID, "p"), s.project(g.ID, "q")
	for _, token := range []registry.Token{
		{Kind: registry.PersonalToken, Name: "ada's", UserID: ada.ID},
		{Kind: registry.PersonalToken, Name: "bob's", UserID: bob.ID},
		{Kind: registry.DeployToken, Name: "g's", GroupID: g.ID},
		{Kind: registry.DeployToken, Name: "p's", ProjectID: p.ID},
		{Kind: registry.DeployToken, Name: "q's", ProjectID: q.ID},
		{Kind: registry.JobToken, Name: "ada's in p", UserID: ada.ID, ProjectID: p.ID},
	} {
		token.Hash = someHash()
		s.write(func(tx registry.Tx) error { return tx.CreateToken(&token) })
	}
	for _, test := range []struct {
		filter registry.TokenFilter
		want   []string
	}{
		{registry.TokenFilter{}, []string{"ada's", "bob's", "g's", "p's", "q's", "ada's in p"}},
		{registry.TokenFilter{Kind: registry.DeployToken}, []string{"g's", "p's", "q's"}},
		{registry.TokenFilter{UserID: ada.ID}, []string{"ada's", "ada's in p"}},
		{registry.TokenFilter{Kind: registry.PersonalToken, UserID: ada.ID}, []string{"ada's"}},
		{registry.TokenFilter{GroupID: g.ID}, []string{"g's"}},
		{registry.TokenFilter{ProjectID: p.ID}, []string{"p's", "ada's in p"}},
		{registry.TokenFilter{Kind: registry.DeployToken, ProjectID: p.ID}, []string{"p's"}},
		{registry.TokenFilter{UserID: bob.ID, ProjectID: p.ID}, nil},
		{registry.TokenFilter{UserID: 1 << 40}, nil}, // an id that somebody typed
	} {
		var names []string
		for _, token := range find(s, func(tx registry.Tx) ([]*registry.Token, error) { return tx.Tokens(test.filter) }) {
			names = append(names, token.Name)
		}
		same(t, "tokens", test.want, names)
	}
}

// Users, members and tokens come in pages, each with the number of all.
func testPages(t *testing.T, s *store) {
	ada, bob, eve := s.user("Ada"), s.user("bob"), s.user("eve")
	g := s.group(nil, "g")
	p := s.project(g.ID, "p")
	for _, user := range []*registry.User{eve, ada, bob} {
		s.member(user, g, nil, registry.Guest, time.Time{})
	}
	s.member(bob, nil, p, registry.Owner, time.Time{})
	now := time.Now()
	for _, token := range []registry.Token{
		{Name: "plain"},
		{Name: "expires", ExpiresAt: now.Add(time.Hour)},
		{Name: "expired", ExpiresAt: now.Add(-time.Hour)},
		{Name: "revoked", Revoked: true},
		{Name: "revoked and expired", Revoked: true, ExpiresAt: now.Add(-time.Hour)},
	} {
		token.Kind, token.UserID, token.Hash = registry.PersonalToken, ada.ID, someHash()
		s.write(func(tx registry.Tx) error { return tx.CreateToken(&token) })
	}
	users := func(f registry.UserFilter) func(tx registry.Tx) ([]string, int, error) {
		return func(tx registry.Tx) (names []string, total int, err error) {
			users, total, err := tx.Users(f)
			for _, u := range users {
				names = append(names, u.Username)
			}
			return names, total, err
		}
	}
	members := func(group, project int64, limit, offset int) func(tx registry.Tx) ([]string, int, error) {
		return func(tx registry.Tx) (names []string, total int, err error) {
			members, total, err := tx.PageMembers(registry.MemberFilter{GroupID: group, ProjectID: project, Limit: limit, Offset: offset})
			for _, m := range members {
				u, err := tx.User(m.UserID)
				must(t, err)
				names = append(names, u.Username)
			}
			return names, total, err
		}
	}
	tokens := func(f registry.TokenFilter, limit, offset int) func(tx registry.Tx) ([]string, int, error) {
		return func(tx registry.Tx) (names []string, total int, err error) {
			tokens, total, err := tx.PageTokens(f, limit, offset)
			for _, token := range tokens {
				names = append(names, token.Name)
			}
			return names, total, err
		}
	}
	for _, test := range []struct {
		what  string
		query func(tx registry.Tx) ([]string, int, error)
		want  []string
		total int
	}{
		{"users", users(registry.UserFilter{Limit: 10}), []string{"Ada", "bob", "eve"}, 3},
		{"second page of users", users(registry.UserFilter{Limit: 2, Offset: 2}), []string{"eve"}, 3},
		{"page behind the last user", users(registry.UserFilter{Limit: 2, Offset: 4}), nil, 3},
		{"user of a name", users(registry.UserFilter{Username: "ADA", Limit: 10}), []string{"Ada"}, 1},
		{"user of no name", users(registry.UserFilter{Username: "ad", Limit: 10}), nil, 0},
		{"users of ids", users(registry.UserFilter{IDs: []int64{eve.ID, 4711, ada.ID}, Limit: 10}), []string{"Ada", "eve"}, 2},
		{"user of ids and a name", users(registry.UserFilter{IDs: []int64{eve.ID, ada.ID}, Username: "eve", Limit: 10}), []string{"eve"}, 1},

		{"members", members(g.ID, 0, 10, 0), []string{"Ada", "bob", "eve"}, 3},
		{"second page of members", members(g.ID, 0, 1, 1), []string{"bob"}, 3},
		{"members of a project", members(0, p.ID, 10, 0), []string{"bob"}, 1},
		{"members of nothing", members(0, 4711, 10, 0), nil, 0},

		{"tokens", tokens(registry.TokenFilter{UserID: ada.ID}, 10, 0), []string{"plain", "expires", "expired", "revoked", "revoked and expired"}, 5},
		{"second page of tokens", tokens(registry.TokenFilter{UserID: ada.ID}, 2, 2), []string{"expired", "revoked"}, 5},
		{"active tokens", tokens(registry.TokenFilter{UserID: ada.ID, Active: true}, 10, 0), []string{"plain", "expires"}, 2},
		{"inactive tokens", tokens(registry.TokenFilter{Inactive: true}, 10, 0), []string{"expired", "revoked", "revoked and expired"}, 3},
		{"tokens of nobody", tokens(registry.TokenFilter{UserID: bob.ID}, 10, 0), nil, 0},
	} {
		s.read(func(tx registry.Tx) error {
			names, total, err := test.query(tx)
			same(t, test.what, test.want, names)
			same(t, test.what+", total", test.total, total)
			return err
		})
	}
}

func testLogins(t *testing.T, s *store) {
	ada, bob := s.user("ada"), s.user("bob")
	now := time.Now().UTC().Truncate(time.Millisecond)
	open := &registry.Login{Hash: someHash(), Address: "192.0.2.7", ExpiresAt: now.Add(time.Hour)}
	other := &registry.Login{Hash: someHash(), Address: "2001:db8::1", ExpiresAt: now.Add(time.Hour)}
	late := &registry.Login{Hash: someHash(), ExpiresAt: now.Add(-time.Hour)}
	for _, login := range []*registry.Login{open, other, late} {
		s.write(func(tx registry.Tx) error { return tx.CreateLogin(login) })
	}
	get := func(login *registry.Login) *registry.Login {
		t.Helper()
		return find(s, func(tx registry.Tx) (*registry.Login, error) { return tx.Login(login.Hash) })
	}
	same(t, "login", open, get(open))
	wantKind(t, "a second login of one hash", s.attempt(func(tx registry.Tx) error {
		return tx.CreateLogin(&registry.Login{Hash: open.Hash, ExpiresAt: open.ExpiresAt})
	}), registry.Conflict)

	s.write(func(tx registry.Tx) error { return tx.ApproveLogin(open.Hash, ada.ID) })
	open.UserID = ada.ID
	same(t, "approved login", open, get(open))
	same(t, "another login", other, get(other))
	for what, err := range map[string]error{
		"a login that expired":            s.attempt(func(tx registry.Tx) error { _, err := tx.Login(late.Hash); return err }),
		"a login that is not there":       s.attempt(func(tx registry.Tx) error { _, err := tx.Login(someHash()); return err }),
		"approving it a second time":      s.attempt(func(tx registry.Tx) error { return tx.ApproveLogin(open.Hash, bob.ID) }),
		"approving what expired":          s.attempt(func(tx registry.Tx) error { return tx.ApproveLogin(late.Hash, bob.ID) }),
		"approving what is not there":     s.attempt(func(tx registry.Tx) error { return tx.ApproveLogin(someHash(), bob.ID) }),
		"deleting what is not there":      s.attempt(func(tx registry.Tx) error { return tx.DeleteLogin(someHash()) }),
		"an expired one that nobody took": s.attempt(func(tx registry.Tx) error { _, err := tx.Login(late.Hash); return err }),
	} {
		wantKind(t, what, err, registry.NotFound)
	}
	same(t, "approved login", open, get(open))

	s.write(func(tx registry.Tx) error { return tx.DeleteLogin(open.Hash) })
	wantKind(t, "taking a login twice", s.attempt(func(tx registry.Tx) error { return tx.DeleteLogin(open.Hash) }), registry.NotFound)
	// It took the expired one along, whose hash is free again.
	s.write(func(tx registry.Tx) error {
		return tx.CreateLogin(&registry.Login{Hash: late.Hash, ExpiresAt: other.ExpiresAt})
	})
	same(t, "another login", other, get(other))
}

func testAccessRevision(t *testing.T, s *store) {
	ada := s.user("ada")
	g := s.group(nil, "g")
	p := s.project(g.ID, "p")
	token := &registry.Token{Kind: registry.PersonalToken, UserID: ada.ID, Hash: someHash()}
	s.write(func(tx registry.Tx) error { return tx.CreateToken(token) })
	login := &registry.Login{Hash: someHash(), ExpiresAt: time.Now().Add(time.Hour)}
	var entry *registry.Entry
	var pkg *registry.Package
	for _, step := range []struct {
		what  string
		moves bool
		do    func(tx registry.Tx) error
	}{
		{"create a user", true, func(tx registry.Tx) error { return tx.CreateUser(&registry.User{Username: "bob"}) }},
		{"update a user", true, func(tx registry.Tx) error { return tx.UpdateUser(ada) }},
		{"create a group", true, func(tx registry.Tx) error {
			return tx.CreateGroup(&registry.Group{Path: "h", Visibility: registry.Public})
		}},
		{"create a project", true, func(tx registry.Tx) error {
			return tx.CreateProject(&registry.Project{NamespaceID: g.ID, Path: "q", Visibility: registry.Public, RegistryAccess: registry.RegistryEnabled})
		}},
		{"create a member", true, func(tx registry.Tx) error {
			return tx.CreateMember(&registry.Member{UserID: ada.ID, GroupID: g.ID, Level: registry.Guest})
		}},
		{"create a token", true, func(tx registry.Tx) error {
			return tx.CreateToken(&registry.Token{Kind: registry.PersonalToken, UserID: ada.ID, Hash: someHash()})
		}},
		{"revoke a token", true, func(tx registry.Tx) error { return tx.RevokeToken(token.ID) }},
		{"use a token", false, func(tx registry.Tx) error { return tx.UseToken(token.ID, time.Now()) }},
		{"create a pipeline", false, func(tx registry.Tx) error { return tx.CreatePipeline(&registry.Pipeline{ProjectID: p.ID}) }},
		{"create a login", false, func(tx registry.Tx) error { return tx.CreateLogin(login) }},
		{"approve a login", false, func(tx registry.Tx) error { return tx.ApproveLogin(login.Hash, ada.ID) }},
		{"delete a login", false, func(tx registry.Tx) error { return tx.DeleteLogin(login.Hash) }},
		{"create an entry", false, func(tx registry.Tx) (err error) { entry, err = tx.TouchEntry(p.ID, registry.NPM, "pack"); return err }},
		{"create a package", false, func(tx registry.Tx) error {
			pkg = &registry.Package{ProjectID: p.ID, EntryID: entry.ID, Type: registry.NPM, Name: "pack", Version: "1"}
			return tx.CreatePackage(pkg)
		}},
		{"create a file", false, func(tx registry.Tx) error { return tx.CreateFile(&registry.File{PackageID: pkg.ID}) }},
		{"set a fragment", false, func(tx registry.Tx) error { return tx.SetFragment(pkg.ID, "full", []byte("{}")) }},
		{"set a tag", false, func(tx registry.Tx) error {
			return tx.SetTag(&registry.Tag{EntryID: entry.ID, Name: "latest", PackageID: pkg.ID})
		}},
		{"set the latest", false, func(tx registry.Tx) error { return tx.SetLatest(entry.ID, pkg.ID, 1) }},
		{"touch an entry", false, func(tx registry.Tx) error { _, err := tx.TouchEntry(p.ID, registry.NPM, "pack"); return err }},
		{"update a package", false, func(tx registry.Tx) error { return tx.UpdatePackage(pkg) }},
		{"delete a tag", false, func(tx registry.Tx) error { return tx.DeleteTag(entry.ID, "latest") }},
		{"delete a package", false, func(tx registry.Tx) error { return tx.MarkForDestruction(pkg.ID) }},
		{"read", false, func(tx registry.Tx) error { _, err := tx.User(ada.ID); return err }},
	} {
		before := s.accessRevision()
		s.write(step.do)
		if after := s.accessRevision(); (after > before) != step.moves || after < before {
			t.Errorf("%s: the access revision goes from %d to %d, want it to move: %t", step.what, before, after, step.moves)
		}
	}
	before := s.accessRevision()
	s.publish(p, "other", "1")
	if after := s.accessRevision(); after != before {
		t.Errorf("publish: the access revision goes from %d to %d", before, after)
	}
}

// What comes from a URL need not be text, nor an id be small. PostgreSQL knows neither NUL nor broken UTF-8; whether
// such a name is not there or not a name is all the same, but it is not our fault.
func testStrangeLookups(t *testing.T, s *store) {
	absent := func(what string, err error) {
		t.Helper()
		if kind := registry.KindOf(err); err == nil || kind != registry.NotFound && kind != registry.Invalid {
			t.Errorf("%s: %v, want NotFound or Invalid", what, err)
		}
	}
	for _, text := range []string{"", "nul\x00byte", "not \xff UTF-8", "ünïcödé", `quote ' " \ %s $1`} {
		for what, look := range map[string]func(tx registry.Tx) error{
			"user":    func(tx registry.Tx) error { _, err := tx.UserByUsername(text); return err },
			"group":   func(tx registry.Tx) error { _, err := tx.GroupByPath(text); return err },
			"project": func(tx registry.Tx) error { _, err := tx.ProjectByPath(text); return err },
			"entry":   func(tx registry.Tx) error { _, err := tx.Entry(1, registry.NPM, text); return err },
			"version": func(tx registry.Tx) error { _, err := tx.PackageByVersion(1, text); return err },
		} {
			absent("writing, "+what+" "+text, s.attempt(look))
			absent("reading, "+what+" "+text, s.Store.Read(t.Context(), look))
		}
		absent("tag "+text, s.attempt(func(tx registry.Tx) error { return tx.DeleteTag(1, text) }))
		_, err := s.FileOfVersion(t.Context(), []int64{1}, text, "")
		absent("file of version "+text, err)
		if _, entries, err := s.Revisions(t.Context(), registry.NPM, text, 0); len(entries) != 0 || err != nil && registry.KindOf(err) != registry.Invalid {
			t.Errorf("revisions of %q: %v, %v", text, entries, err)
		}
		err = s.Store.Read(t.Context(), func(tx registry.Tx) error {
			_, total, err := tx.SearchEntries(registry.EntryFilter{Type: registry.NPM, Viewer: registry.Viewer{All: true}, Terms: []string{text}, Limit: 10})
			if total != 0 {
				t.Errorf("a search for %q finds %d", text, total)
			}
			return err
		})
		if err != nil && registry.KindOf(err) != registry.Invalid {
			t.Errorf("a search for %q: %v", text, err)
		}
	}
	const large = 1 << 62
	for what, look := range map[string]func(tx registry.Tx) error{
		"user":    func(tx registry.Tx) error { _, err := tx.User(large); return err },
		"group":   func(tx registry.Tx) error { _, err := tx.Group(large); return err },
		"project": func(tx registry.Tx) error { _, err := tx.Project(large); return err },
		"token":   func(tx registry.Tx) error { _, err := tx.Token(large); return err },
		"package": func(tx registry.Tx) error { _, err := tx.Package(large); return err },
	} {
		wantKind(t, what+" of a large id", s.attempt(look), registry.NotFound)
	}
}

func testTimes(t *testing.T, s *store) {
	ada := s.user("ada")
	// What a caller hands over may be finer, and in any zone.
	at := time.Date(2031, 2, 3, 4, 5, 6, 789_999_999, time.FixedZone("", 3600))
	want := time.Date(2031, 2, 3, 3, 5, 6, 789_000_000, time.UTC)
	token := &registry.Token{Kind: registry.PersonalToken, UserID: ada.ID, Hash: someHash(), ExpiresAt: at}
	s.write(func(tx registry.Tx) error { return tx.CreateToken(token) })
	s.write(func(tx registry.Tx) error { return tx.UseToken(token.ID, at) })
	got := find(s, func(tx registry.Tx) (*registry.Token, error) { return tx.Token(token.ID) })
	same(t, "expiry", want, got.ExpiresAt)
	same(t, "last use", want, got.LastUsedAt)
	same(t, "creation", token.CreatedAt, got.CreatedAt)
	if token.CreatedAt.Location() != time.UTC || token.CreatedAt.Nanosecond()%1_000_000 != 0 {
		t.Errorf("created at %v, want milliseconds in UTC", token.CreatedAt)
	}
	if g := s.group(nil, "g"); !find(s, func(tx registry.Tx) (*registry.Group, error) { return tx.Group(g.ID) }).CreatedAt.Equal(g.CreatedAt) {
		t.Error("a group's creation time does not survive")
	}
}
