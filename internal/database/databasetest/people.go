package databasetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"packhouse/internal/registry"
)

func testUserFilter(t *testing.T, s *store) {
	for _, u := range []registry.User{
		{Username: "ada", Name: "Ada Lovelace", Email: "ada@example.org", Admin: true},
		{Username: "Bob", Name: "Ünder_score", Email: "bob@example.org", External: true},
		{Username: "eve", Name: "100% Eve", State: registry.Blocked},
		{Username: "rob", Name: "Robot", Bot: true},
	} {
		s.write(func(tx registry.Tx) error { return tx.CreateUser(&u) })
	}
	for _, test := range []struct {
		filter registry.UserFilter
		want   []string
	}{
		{registry.UserFilter{}, []string{"ada", "Bob", "eve", "rob"}},
		{registry.UserFilter{Descending: true}, []string{"rob", "eve", "Bob", "ada"}},
		{registry.UserFilter{Order: registry.ByUserName}, []string{"eve", "ada", "rob", "Bob"}},
		{registry.UserFilter{Order: registry.ByUsername, Descending: true}, []string{"rob", "eve", "Bob", "ada"}},
		{registry.UserFilter{Order: registry.ByUserCreation}, []string{"ada", "Bob", "eve", "rob"}},
		{registry.UserFilter{Search: "OB"}, []string{"Bob", "rob"}},
		{registry.UserFilter{Search: "ünDER_"}, []string{"Bob"}},
		{registry.UserFilter{Search: "_"}, []string{"Bob"}},
		{registry.UserFilter{Search: "0%"}, []string{"eve"}},
		{registry.UserFilter{Search: "ada@example.org"}, nil},
		{registry.UserFilter{Search: "ADA@example.org", ByEmail: true}, []string{"ada"}},
		{registry.UserFilter{State: new(registry.Active)}, []string{"ada", "Bob", "rob"}},
		{registry.UserFilter{State: new(registry.Blocked)}, []string{"eve"}},
		{registry.UserFilter{NotState: new(registry.Active)}, []string{"eve"}},
		{registry.UserFilter{External: new(true)}, []string{"Bob"}},
		{registry.UserFilter{Bot: new(false), Admin: new(false)}, []string{"Bob", "eve"}},
		{registry.UserFilter{CreatedAfter: time.Now().Add(time.Hour)}, nil},
		{registry.UserFilter{CreatedBefore: time.Now().Add(time.Hour), CreatedAfter: time.Now().Add(-time.Hour)}, []string{"ada", "Bob", "eve", "rob"}},
	} {
		test.filter.Limit = 10
		s.read(func(tx registry.Tx) error {
			users, total, err := tx.Users(test.filter)
			var names []string
			for _, u := range users {
				names = append(names, u.Username)
			}
			same(t, fmt.Sprintf("users of %+v", test.filter), test.want, names)
			same(t, "their number", len(test.want), total)
			return err
		})
	}
}

func testRenamedUser(t *testing.T, s *store) {
	ada := s.user("Ada")
	s.user("bob")
	p := s.project(ada.NamespaceID, "Tool")
	rename := func(name string) error {
		return s.attempt(func(tx registry.Tx) error {
			u, err := tx.User(ada.ID)
			if err == nil {
				u.Username = name
				err = tx.UpdateUser(u)
			}
			return err
		})
	}
	wantKind(t, "a name that is taken", rename("BOB"), registry.Conflict)
	must(t, rename("Countess"))
	for _, path := range []string{"countess/tool", "Countess/Tool"} {
		found := find(s, func(tx registry.Tx) (*registry.Project, error) { return tx.ProjectByPath(path) })
		same(t, "project", p.ID, found.ID)
		same(t, "its path", "Countess/Tool", found.FullPath)
	}
	same(t, "namespace", "Countess", find(s, func(tx registry.Tx) (*registry.Group, error) { return tx.GroupByPath("COUNTESS") }).FullPath)
	wantKind(t, "the old path", s.attempt(func(tx registry.Tx) error { _, err := tx.ProjectByPath("ada/tool"); return err }), registry.NotFound)
	same(t, "user", ada.ID, find(s, func(tx registry.Tx) (*registry.User, error) { return tx.UserByUsername("countess") }).ID)
	must(t, rename("COUNTESS"))
}

func testDeletedUser(t *testing.T, s *store) {
	ada, bob := s.user("ada"), s.user("bob")
	g := s.group(nil, "g")
	shared, own := s.project(g.ID, "shared"), s.project(ada.NamespaceID, "own")
	s.member(ada, g, nil, registry.Owner, time.Time{})
	token := &registry.Token{Kind: registry.PersonalToken, UserID: ada.ID, Hash: someHash()}
	s.write(func(tx registry.Tx) error { return tx.CreateToken(token) })
	publication := publication(shared, "pack", "1")
	publication.Package.CreatorID = ada.ID
	must(t, s.Publish(context.Background(), format, publication))
	has := func(namespace int64) bool {
		return find(s, func(tx registry.Tx) (bool, error) {
			g, err := tx.Group(namespace)
			must(t, err)
			return tx.HasPackages(g)
		})
	}
	same(t, "packages in the group", true, has(g.ID))
	same(t, "packages of ada's", false, has(ada.NamespaceID))
	pkg := s.publish(own, "pack", "1")
	same(t, "packages of ada's, after a publish", true, has(ada.NamespaceID))

	before := s.accessRevision()
	s.write(func(tx registry.Tx) error { return tx.DeleteUser(ada.ID) })
	if s.accessRevision() <= before {
		t.Error("the access revision did not move")
	}
	for what, look := range map[string]func(tx registry.Tx) error{
		"user":      func(tx registry.Tx) error { _, err := tx.User(ada.ID); return err },
		"namespace": func(tx registry.Tx) error { _, err := tx.Group(ada.NamespaceID); return err },
		"path":      func(tx registry.Tx) error { _, err := tx.ProjectByPath("ada/own"); return err },
		"project":   func(tx registry.Tx) error { _, err := tx.Project(own.ID); return err },
		"token":     func(tx registry.Tx) error { _, err := tx.Token(token.ID); return err },
		"again":     func(tx registry.Tx) error { return tx.DeleteUser(ada.ID) },
	} {
		wantKind(t, what, s.attempt(look), registry.NotFound)
	}
	for more := true; more; {
		s.write(func(tx registry.Tx) (err error) { more, err = tx.RemoveCondemned(); return err })
	}
	wantKind(t, "package", s.attempt(func(tx registry.Tx) error { _, err := tx.Package(pkg.ID); return err }), registry.NotFound)
	same(t, "members", 0, len(find(s, func(tx registry.Tx) ([]*registry.Member, error) { return tx.Members(g.ID, 0) })))
	kept := find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.Package(publication.Package.ID) })
	same(t, "creator of what stays", int64(0), kept.CreatorID)
	same(t, "versions of what stays", []string{"1"}, s.versions(s.entry(shared, "pack")))

	low := s.group(g, "low")
	s.project(low.ID, "p")
	s.member(bob, low, nil, registry.Owner, time.Time{})
	s.write(func(tx registry.Tx) error { return tx.Condemn(g.ID, 0) })
	for _, path := range []string{"g", "g/low"} {
		wantKind(t, path, s.attempt(func(tx registry.Tx) error { _, err := tx.GroupByPath(path); return err }), registry.NotFound)
	}
	s.group(nil, "g")
}

func testOwners(t *testing.T, s *store) {
	ada, bob := s.user("ada"), s.user("bob")
	never, soon, past := time.Time{}, time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	top := s.group(nil, "top")
	low := s.group(top, "low")
	lowest := s.group(low, "lowest")
	beside := s.group(nil, "beside")
	for _, g := range []*registry.Group{top, low, lowest, beside} {
		s.member(ada, g, nil, registry.Owner, never)
	}
	alone := func() (paths []string) {
		for _, g := range find(s, func(tx registry.Tx) ([]*registry.Group, error) { return tx.OwnedAlone(ada.ID) }) {
			paths = append(paths, g.FullPath)
		}
		return paths
	}
	owned := func(lineage ...int64) bool {
		return find(s, func(tx registry.Tx) (bool, error) { return tx.HasOwner(lineage) })
	}
	set := func(level registry.Level, ends time.Time) {
		s.write(func(tx registry.Tx) error {
			return tx.UpdateMember(&registry.Member{UserID: bob.ID, GroupID: low.ID, Level: level, ExpiresAt: ends})
		})
	}
	same(t, "alone", []string{"beside", "top"}, sorted(alone()))
	s.member(bob, low, nil, registry.Maintainer, never)
	same(t, "alone with a maintainer", []string{"beside", "top"}, sorted(alone()))
	s.write(func(tx registry.Tx) error { return tx.DeleteMember(&registry.Member{UserID: ada.ID, GroupID: top.ID}) })
	same(t, "alone in what is below", []string{"beside", "top/low"}, sorted(alone()))
	set(registry.Owner, soon)
	same(t, "alone beside one who goes", []string{"beside"}, sorted(alone()))
	set(registry.Owner, past)
	same(t, "alone beside one who went", []string{"beside", "top/low"}, sorted(alone()))
	set(registry.Owner, never)
	same(t, "alone with a second owner", []string{"beside"}, sorted(alone()))
	for _, kind := range []func(*registry.User){func(u *registry.User) { u.State = registry.Blocked }, func(u *registry.User) { u.State = registry.Banned }} {
		u := find(s, func(tx registry.Tx) (*registry.User, error) { return tx.User(bob.ID) })
		kind(u)
		s.write(func(tx registry.Tx) error { return tx.UpdateUser(u) })
		same(t, "alone beside one who is kept out", []string{"beside", "top/low"}, sorted(alone()))
	}
	same(t, "owner of top", false, owned(top.ID))
	same(t, "owner of low", true, owned(top.ID, low.ID))
	same(t, "owner of nothing", false, owned())
	s.write(func(tx registry.Tx) error {
		return tx.UpdateMember(&registry.Member{UserID: ada.ID, GroupID: beside.ID, Level: registry.Owner, ExpiresAt: soon})
	})
	same(t, "owner for an hour", false, owned(beside.ID))
	bot := &registry.User{Username: "bot", Bot: true}
	s.write(func(tx registry.Tx) error { return tx.CreateUser(bot) })
	s.member(bot, top, nil, registry.Owner, never)
	same(t, "a bot for an owner", false, owned(top.ID))

	admin := func() bool { return find(s, registry.Tx.HasAdmin) }
	same(t, "administrator", false, admin())
	ada.Admin = true
	s.write(func(tx registry.Tx) error { return tx.UpdateUser(ada) })
	same(t, "administrator", true, admin())
	ada.State = registry.Blocked
	s.write(func(tx registry.Tx) error { return tx.UpdateUser(ada) })
	same(t, "blocked administrator", false, admin())
}

func sorted(list []string) []string { slices.Sort(list); return list }

func testMemberFilter(t *testing.T, s *store) {
	ada, bob, eve, gone := s.user("ada"), s.user("bob"), s.user("eve"), s.user("gone")
	top := s.group(nil, "top")
	low := s.group(top, "low")
	p := s.project(low.ID, "p")
	never := time.Time{}
	s.member(ada, top, nil, registry.Guest, never)
	s.member(ada, low, nil, registry.Owner, never)
	s.member(ada, nil, p, registry.Developer, never)
	s.member(bob, top, nil, registry.Reporter, never)
	s.member(eve, nil, p, registry.Guest, never)
	s.member(gone, nil, p, registry.Owner, time.Now().Add(-time.Hour))
	own := s.project(eve.NamespaceID, "own")
	above := []int64{top.ID, low.ID}
	for what, test := range map[string]struct {
		filter registry.MemberFilter
		want   []string
	}{
		"direct":            {registry.MemberFilter{ProjectID: p.ID}, []string{"ada 30", "eve 10"}},
		"direct in a group": {registry.MemberFilter{GroupID: top.ID}, []string{"ada 10", "bob 20"}},
		"all":               {registry.MemberFilter{ProjectID: p.ID, Above: above}, []string{"ada 50", "bob 20", "eve 10"}},
		"all in a group":    {registry.MemberFilter{GroupID: low.ID, Above: above[:1]}, []string{"ada 50", "bob 20"}},
		"some":              {registry.MemberFilter{ProjectID: p.ID, Above: above, UserIDs: []int64{bob.ID, gone.ID, 4711}}, []string{"bob 20"}},
		"but some":          {registry.MemberFilter{ProjectID: p.ID, Above: above, SkipUsers: []int64{bob.ID}}, []string{"ada 50", "eve 10"}},
		"by name":           {registry.MemberFilter{ProjectID: p.ID, Above: above, Search: "THE E"}, []string{"eve 10"}},
		"of a person":       {registry.MemberFilter{ProjectID: own.ID, Above: []int64{eve.NamespaceID}}, []string{"eve 50"}},
		"of nothing":        {registry.MemberFilter{ProjectID: 4711}, nil},
	} {
		test.filter.Limit = 10
		s.read(func(tx registry.Tx) error {
			members, total, err := tx.PageMembers(test.filter)
			var got []string
			for _, m := range members {
				u, err := tx.User(m.UserID)
				must(t, err)
				got = append(got, fmt.Sprint(u.Username, " ", int(m.Level)))
			}
			same(t, what, test.want, got)
			same(t, what+", number", len(test.want), total)
			return err
		})
	}
	wantKind(t, "an update of no member", s.attempt(func(tx registry.Tx) error { return tx.UpdateMember(&registry.Member{UserID: bob.ID, ProjectID: p.ID}) }), registry.NotFound)
	wantKind(t, "removing no member", s.attempt(func(tx registry.Tx) error { return tx.DeleteMember(&registry.Member{UserID: bob.ID, ProjectID: p.ID}) }), registry.NotFound)
	s.member(gone, nil, p, registry.Guest, never) // in place of the one that has ended

	memberships := func(groups, projects bool) (got []string) {
		s.read(func(tx registry.Tx) error {
			list, total, err := tx.Memberships(registry.MembershipFilter{UserID: ada.ID, Groups: groups, Projects: projects, Limit: 10})
			for _, m := range list {
				got = append(got, fmt.Sprint(m.Name, " ", int(m.Level)))
			}
			same(t, "number of memberships", total, len(got))
			return err
		})
		return got
	}
	same(t, "memberships", []string{"top 10", "low 50", "p 30"}, memberships(true, true))
	same(t, "memberships in projects", []string{"p 30"}, memberships(false, true))
	s.write(func(tx registry.Tx) error { return tx.DeleteMembersBelow(ada.ID, top.Lineage) })
	same(t, "memberships that are not below", []string{"top 10"}, memberships(true, true))
}

func testTokenLines(t *testing.T, s *store) {
	ada := s.user("ada")
	issue := func(name string) *registry.Token {
		token := &registry.Token{Kind: registry.PersonalToken, Name: name, UserID: ada.ID, Scopes: []string{registry.ScopeAPI}}
		_, err := s.IssueToken(t.Context(), token)
		must(t, err)
		return token
	}
	active := func() (names []string) {
		for _, token := range find(s, func(tx registry.Tx) ([]*registry.Token, error) { return tx.Tokens(registry.TokenFilter{Active: true}) }) {
			names = append(names, token.Name)
		}
		return names
	}
	first, other := issue("first"), issue("other")
	ends := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	second, text, err := s.RotateToken(t.Context(), first.ID, ends)
	must(t, err)
	stored := find(s, func(tx registry.Tx) (*registry.Token, error) { return tx.TokenByHash(registry.HashToken(text)) })
	same(t, "rotated token", second, stored)
	same(t, "its line", first.ID, stored.FamilyID)
	same(t, "its end", ends, stored.ExpiresAt)
	third, _, err := s.RotateToken(t.Context(), second.ID, ends)
	must(t, err)
	same(t, "line of the third", first.ID, third.FamilyID)
	same(t, "active", []string{"other", "first"}, active())
	for what, id := range map[string]int64{"one that was rotated": first.ID, "one that is not there": 4711} {
		_, _, err := s.RotateToken(t.Context(), id, ends)
		wantKind(t, what, err, registry.NotFound)
	}
	expired := &registry.Token{Kind: registry.PersonalToken, Name: "expired", UserID: ada.ID, ExpiresAt: time.Now().Add(-time.Hour)}
	if _, err := s.IssueToken(t.Context(), expired); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.RotateToken(t.Context(), expired.ID, ends)
	wantKind(t, "one that has expired", err, registry.NotFound)
	if find(s, func(tx registry.Tx) (*registry.Token, error) { return tx.Token(expired.ID) }).Revoked {
		t.Error("a refused rotation revoked it")
	}
	must(t, s.RevokeFamily(t.Context(), second))
	same(t, "active after the line ended", []string{"other"}, active())
	_ = other

	// Of any number of rotations at once, one wins.
	for range 5 {
		token := issue("raced")
		won := 0
		results := make(chan error)
		for range 8 {
			go func() {
				_, _, err := s.RotateToken(context.Background(), token.ID, ends)
				results <- err
			}()
		}
		for range 8 {
			switch err := <-results; {
			case err == nil:
				won++
			case registry.KindOf(err) != registry.NotFound:
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d rotations won", won)
		}
	}
}

func testAudit(t *testing.T, s *store) {
	ada := s.user("ada")
	g := s.group(nil, "g")
	p := s.project(g.ID, "p")
	ctx := registry.WithActor(t.Context(), &registry.Actor{UserID: ada.ID, TokenID: 7, Kind: registry.PersonalToken, Name: "ada", Sudo: "root", Address: "192.0.2.1"})
	record := func(e registry.Event) registry.Event {
		must(t, s.Store.Write(ctx, func(tx registry.Tx) error { return tx.Record(&e) }))
		return e
	}
	ofProject := record(registry.Event{Name: registry.MemberAdded, ProjectID: p.ID, Target: "ada", Detail: "guest"})
	record(registry.Event{Name: registry.MemberAdded, GroupID: g.ID, Target: "bob"})
	record(registry.Event{Name: registry.UserChanged, OfUserID: ada.ID, Target: "nul\x00 and \xff"})
	record(registry.Event{Name: registry.SettingsChanged})
	s.write(func(tx registry.Tx) error { return tx.Condemn(g.ID, 0) })

	got := find(s, func(tx registry.Tx) (*registry.Event, error) { return tx.Event(ofProject.ID) })
	ofProject.Path = "g/p" // as it was
	same(t, "event", &ofProject, got)
	wantKind(t, "an event that is not there", s.attempt(func(tx registry.Tx) error { _, err := tx.Event(4711); return err }), registry.NotFound)
	for what, test := range map[string]struct {
		filter registry.EventFilter
		want   []string
	}{
		"all":         {registry.EventFilter{}, []string{"settings_changed ", "user_changed ada", "member_added g", "member_added g/p"}},
		"a project's": {registry.EventFilter{ProjectID: p.ID}, []string{"member_added g/p"}},
		"a group's":   {registry.EventFilter{GroupID: g.ID}, []string{"member_added g"}},
		"a user's":    {registry.EventFilter{OfUserID: ada.ID}, []string{"user_changed ada"}},
		"projects'":   {registry.EventFilter{Projects: true}, []string{"member_added g/p"}},
		"groups'":     {registry.EventFilter{Groups: true}, []string{"member_added g"}},
		"users'":      {registry.EventFilter{Users: true}, []string{"user_changed ada"}},
		"late":        {registry.EventFilter{After: time.Now().Add(time.Hour)}, nil},
		"early":       {registry.EventFilter{Before: time.Now().Add(-time.Hour)}, nil},
	} {
		test.filter.Limit = 10
		s.read(func(tx registry.Tx) error {
			events, total, err := tx.Events(test.filter)
			var got []string
			for _, e := range events {
				got = append(got, e.Name+" "+e.Path)
			}
			same(t, what, test.want, got)
			same(t, what+", number", len(test.want), total)
			return err
		})
	}
	must(t, s.ForgetEvents(t.Context(), time.Now().Add(-time.Hour)))
	count := func() int {
		return find(s, func(tx registry.Tx) (int, error) {
			_, total, err := tx.Events(registry.EventFilter{Limit: 1})
			return total, err
		})
	}
	same(t, "events that are young", 4, count())
	s.write(func(tx registry.Tx) error {
		for range 1200 { // more than one batch
			if err := tx.Record(&registry.Event{Name: registry.SettingsChanged}); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, s.ForgetEvents(t.Context(), time.Now().Add(time.Hour)))
	same(t, "events after all were forgotten", 0, count())
}
