package databasetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"packhouse/internal/registry"
)

// found says what leads to a path: "group 1", "project 2", "formerly group 3", or "".
func (s *store) found(path string) (what string) {
	s.t.Helper()
	s.read(func(tx registry.Tx) error {
		what = ""
		for _, look := range []struct {
			what string
			find func() (int64, error)
		}{
			{"group", func() (int64, error) { g, err := tx.GroupByPath(path); return idOf(g, err) }},
			{"project", func() (int64, error) { p, err := tx.ProjectByPath(path); return idOfProject(p, err) }},
			{"formerly group", func() (int64, error) { g, err := tx.GroupByFormerPath(path); return idOf(g, err) }},
			{"formerly project", func() (int64, error) { p, err := tx.ProjectByFormerPath(path); return idOfProject(p, err) }},
		} {
			id, err := look.find()
			switch {
			case err == nil:
				what += fmt.Sprint(look.what, " ", id)
			case registry.KindOf(err) != registry.NotFound:
				return err
			}
		}
		return nil
	})
	return what
}

func idOf(g *registry.Group, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return g.ID, nil
}

func idOfProject(p *registry.Project, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return p.ID, nil
}

func (s *store) saveGroup(id int64, change func(*registry.Group)) error {
	return s.attempt(func(tx registry.Tx) error {
		g, err := tx.Group(id)
		if err != nil {
			return err
		}
		change(g)
		return tx.SaveGroup(g)
	})
}

func (s *store) saveProject(id int64, change func(*registry.Project)) error {
	return s.attempt(func(tx registry.Tx) error {
		p, err := tx.Project(id)
		if err != nil {
			return err
		}
		change(p)
		return tx.SaveProject(p)
	})
}

func (s *store) groupNow(id int64) *registry.Group {
	s.t.Helper()
	return find(s, func(tx registry.Tx) (*registry.Group, error) { return tx.Group(id) })
}

func (s *store) projectNow(id int64) *registry.Project {
	s.t.Helper()
	return find(s, func(tx registry.Tx) (*registry.Project, error) { return tx.Project(id) })
}

func testMoves(t *testing.T, s *store) {
	a, b := s.group(nil, "a"), s.group(nil, "b_c")
	low := s.group(a, "low")
	lower := s.group(low, "lower")
	p, q := s.project(lower.ID, "p"), s.project(a.ID, "q")
	beside := s.group(nil, "a-low") // begins like what moves, and stays
	lower2 := s.project(beside.ID, "p")

	before := s.accessRevision()
	time.Sleep(2 * time.Millisecond) // times count in milliseconds
	must(t, s.saveGroup(low.ID, func(g *registry.Group) {
		g.ParentID, g.Path, g.Name, g.Visibility = b.ID, "Moved", "M", registry.Internal
	}))
	if s.accessRevision() == before {
		t.Error("the access revision stays")
	}
	same(t, "moved group", []any{"b_c/Moved", []int64{b.ID, low.ID}, "M", registry.Internal, b.ID},
		[]any{s.groupNow(low.ID).FullPath, s.groupNow(low.ID).Lineage, s.groupNow(low.ID).Name, s.groupNow(low.ID).Visibility, s.groupNow(low.ID).ParentID})
	same(t, "group below", []any{"b_c/Moved/lower", []int64{b.ID, low.ID, lower.ID}}, []any{s.groupNow(lower.ID).FullPath, s.groupNow(lower.ID).Lineage})
	same(t, "project below", []any{"b_c/Moved/lower/p", []int64{b.ID, low.ID, lower.ID}}, []any{s.projectNow(p.ID).FullPath, s.projectNow(p.ID).Lineage})
	if now := s.projectNow(p.ID); !now.UpdatedAt.After(p.UpdatedAt) {
		t.Errorf("a project whose path has changed with its group's was updated at %v", now.UpdatedAt)
	}
	same(t, "project beside", q, s.projectNow(q.ID))
	same(t, "another one", lower2, s.projectNow(lower2.ID))
	for path, want := range map[string]string{
		"B_C/moved": fmt.Sprint("group ", low.ID), "b_c/moved/lower/p": fmt.Sprint("project ", p.ID), "a/LOW": fmt.Sprint("formerly group ", low.ID),
		"a/low/lower": fmt.Sprint("formerly group ", lower.ID), "a/low/lower/p": fmt.Sprint("formerly project ", p.ID), "a/q": fmt.Sprint("project ", q.ID),
	} {
		same(t, path, want, s.found(path))
	}

	must(t, s.saveProject(q.ID, func(p *registry.Project) { p.NamespaceID, p.Archived = lower.ID, true }))
	same(t, "moved project", []any{"b_c/Moved/lower/q", []int64{b.ID, low.ID, lower.ID}, true}, []any{s.projectNow(q.ID).FullPath, s.projectNow(q.ID).Lineage, s.projectNow(q.ID).Archived})
	same(t, "its old path", fmt.Sprint("formerly project ", q.ID), s.found("a/q"))
	wantKind(t, "a path that is taken", s.saveProject(q.ID, func(q *registry.Project) { q.Path = "P" }), registry.Conflict)
	wantKind(t, "a group's path that is taken", s.saveGroup(lower.ID, func(g *registry.Group) { g.ParentID, g.Path = 0, "A" }), registry.Conflict)
	wantKind(t, "no such group", s.attempt(func(tx registry.Tx) error { return tx.SaveGroup(&registry.Group{ID: 4711}) }), registry.NotFound)
	wantKind(t, "no such project", s.attempt(func(tx registry.Tx) error { return tx.SaveProject(&registry.Project{ID: 4711}) }), registry.NotFound)

	// Back: the old path is the present one again.
	must(t, s.saveGroup(low.ID, func(g *registry.Group) { g.ParentID, g.Path = a.ID, "low" }))
	same(t, "back", fmt.Sprint("group ", low.ID), s.found("a/low"))
	same(t, "where it was meanwhile", fmt.Sprint("formerly group ", low.ID), s.found("b_c/moved"))
	// Who takes a path takes those below it.
	s.group(b, "moved")
	same(t, "below a path that was taken", "", s.found("b_c/moved/lower/p"))
	same(t, "what is there itself", fmt.Sprint("project ", p.ID), s.found("a/low/lower/p"))
	// The case of a path.
	must(t, s.saveGroup(a.ID, func(g *registry.Group) { g.Path = "A" }))
	same(t, "in capitals", "A/low/lower/p", s.projectNow(p.ID).FullPath)
	same(t, "found all the same", fmt.Sprint("project ", p.ID), s.found("a/low/lower/p"))
	// A user who is renamed.
	u := s.user("ada")
	own := s.project(u.NamespaceID, "own")
	u.Username = "eve"
	s.write(func(tx registry.Tx) error { return tx.UpdateUser(u) })
	same(t, "a user's new path", fmt.Sprint("project ", own.ID), s.found("eve/own"))
	same(t, "a user's old path", fmt.Sprint("formerly project ", own.ID), s.found("ada/own"))
	u.Username = "ada"
	s.write(func(tx registry.Tx) error { return tx.UpdateUser(u) })
	same(t, "a user's path again", fmt.Sprint("project ", own.ID), s.found("ada/own"))

	s.read(func(tx registry.Tx) error {
		for g, want := range map[*registry.Group]int{a: 2, low: 1, lower: 0, b: 1} {
			depth, err := tx.Depth(s.groupNow(g.ID))
			if err != nil || depth != want {
				t.Errorf("there are %d levels below %s, want %d: %v", depth, g.FullPath, want, err)
			}
		}
		return nil
	})
}

func testOpenness(t *testing.T, s *store) {
	top := &registry.Group{Name: "top", Path: "top", Visibility: registry.Public}
	s.write(func(tx registry.Tx) error { return tx.CreateGroup(top) })
	low := &registry.Group{Name: "low", Path: "low", ParentID: top.ID, Visibility: registry.Internal}
	s.write(func(tx registry.Tx) error { return tx.CreateGroup(low) })
	p, q := s.projectWith(low.ID, "p", registry.Internal, registry.RegistryEnabled), s.projectWith(top.ID, "q", registry.Private, registry.RegistryEnabled)
	open := func(v registry.Visibility) (answer [2]bool) {
		s.read(func(tx registry.Tx) (err error) {
			answer[0], answer[1], err = tx.MoreOpen(top, v)
			return err
		})
		return answer
	}
	same(t, "more open than private", [2]bool{true, true}, open(registry.Private))
	same(t, "more open than internal", [2]bool{}, open(registry.Internal))
	same(t, "more open than public", [2]bool{}, open(registry.Public))
	top.Visibility = registry.Private
	s.write(func(tx registry.Tx) error { return errors.Join(tx.SaveGroup(top), tx.Narrow(top)) })
	same(t, "narrowed", []registry.Visibility{registry.Private, registry.Private, registry.Private},
		[]registry.Visibility{s.groupNow(low.ID).Visibility, s.projectNow(p.ID).Visibility, s.projectNow(q.ID).Visibility})
}

// The bots of a place go when it goes for good, with their tokens, and nobody else does.
func testBotsOfTheCondemned(t *testing.T, s *store) {
	top := s.group(nil, "top")
	low := s.group(top, "low")
	p, q := s.project(low.ID, "p"), s.project(top.ID, "q")
	ada := s.user("ada")
	s.member(ada, low, nil, registry.Owner, time.Time{})
	tokens := map[string]*registry.Token{"p": {ProjectID: p.ID}, "q": {ProjectID: q.ID}, "low": {GroupID: low.ID}, "top": {GroupID: top.ID}, "revoked": {ProjectID: p.ID}}
	for name, token := range tokens {
		token.Kind, token.Name, token.Level, token.Scopes = registry.ResourceToken, name, registry.Developer, []string{registry.ScopeAPI}
		_, err := s.IssueBotToken(t.Context(), token, false)
		must(t, err)
	}
	s.write(func(tx registry.Tx) error { return registry.Revoke(tx, tokens["revoked"]) })
	bot := find(s, func(tx registry.Tx) (*registry.User, error) { return tx.User(tokens["p"].UserID) })
	pkg := publication(q, "tool", "1")
	pkg.Package.CreatorID = bot.ID
	must(t, s.Publish(t.Context(), format, pkg))
	there := func(names ...string) {
		t.Helper()
		want := map[string]bool{}
		for _, name := range names {
			want[name] = true
		}
		for name, token := range tokens {
			s.read(func(tx registry.Tx) error {
				_, err := tx.TokenByHash(token.Hash)
				_, errUser := tx.User(token.UserID)
				if name != "revoked" && (err == nil) != want[name] || (errUser == nil) != want[name] {
					t.Errorf("%s: token %v, bot %v", name, err, errUser)
				}
				return nil
			})
		}
	}
	there("p", "q", "low", "top", "revoked")
	s.write(func(tx registry.Tx) error { return tx.Condemn(0, p.ID) })
	there("q", "low", "top")
	if got := find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.Package(pkg.Package.ID) }); got.CreatorID != 0 {
		t.Errorf("published by %d", got.CreatorID)
	}
	s.write(func(tx registry.Tx) error { return tx.Condemn(low.ID, 0) })
	there("q", "top")
	must(t, s.RemovePlaces(t.Context()))
	find(s, func(tx registry.Tx) (*registry.User, error) { return tx.User(ada.ID) })
	s.write(func(tx registry.Tx) error { return tx.Condemn(top.ID, 0) })
	there()
	must(t, s.RemovePlaces(t.Context()))
	wantKind(t, "the bot's namespace", s.attempt(func(tx registry.Tx) error { _, err := tx.Group(bot.NamespaceID); return err }), registry.NotFound)
}

func testMarks(t *testing.T, s *store) {
	top := s.group(nil, "top")
	low := s.group(top, "low")
	p, q := s.project(low.ID, "p"), s.project(top.ID, "q")
	first, second := time.UnixMilli(1_000_000).UTC(), time.UnixMilli(2_000_000).UTC()
	marks := func() [4]bool {
		return [4]bool{s.groupNow(top.ID).Hidden(), s.groupNow(low.ID).Hidden(), s.projectNow(p.ID).Hidden(), s.projectNow(q.ID).Hidden()}
	}
	mark := func(at time.Time) func(*registry.Group) { return func(g *registry.Group) { g.MarkedAt = at } }
	same(t, "nothing yet", [4]bool{}, marks())
	must(t, s.saveProject(p.ID, func(p *registry.Project) { p.MarkedAt = second }))
	same(t, "the project", [4]bool{false, false, true, false}, marks())
	must(t, s.saveGroup(low.ID, mark(first)))
	same(t, "its group too", [4]bool{false, true, true, false}, marks())
	must(t, s.saveGroup(top.ID, mark(second)))
	same(t, "all", [4]bool{true, true, true, true}, marks())
	same(t, "since when", first, s.projectNow(p.ID).HiddenAt)
	for what, err := range map[string]error{
		"a group in what is marked": s.attempt(func(tx registry.Tx) error {
			return tx.CreateGroup(&registry.Group{ParentID: low.ID, Path: "x", Visibility: registry.Private})
		}),
		"a project in what is marked": s.attempt(func(tx registry.Tx) error { return tx.CreateProject(&registry.Project{NamespaceID: low.ID, Path: "x"}) }),
	} {
		wantKind(t, what, err, registry.NotFound)
	}
	due := func(before time.Time) (ids []int64) {
		s.read(func(tx registry.Tx) error {
			groups, projects, err := tx.DuePlaces(before)
			for _, g := range groups {
				ids = append(ids, g.ID)
			}
			for _, p := range projects {
				ids = append(ids, -p.ID)
			}
			return err
		})
		return ids
	}
	same(t, "due before all", []int64(nil), due(first.Add(-time.Millisecond)))
	same(t, "due first", []int64{low.ID}, due(first))
	same(t, "due in the end", []int64{top.ID, low.ID, -p.ID}, due(second))
	must(t, s.saveGroup(low.ID, mark(time.Time{})))
	same(t, "the group is restored, not that above", [4]bool{true, true, true, true}, marks())
	must(t, s.saveGroup(top.ID, mark(time.Time{})))
	same(t, "the project is marked still", [4]bool{false, false, true, false}, marks())
	must(t, s.saveProject(p.ID, func(p *registry.Project) { p.MarkedAt = time.Time{} }))
	same(t, "nothing is marked", [4]bool{}, marks())
	must(t, s.saveGroup(low.ID, mark(first)))
	other := s.group(nil, "other")
	must(t, s.saveProject(q.ID, func(q *registry.Project) { q.NamespaceID = low.ID }))
	same(t, "moved into what is marked", true, s.projectNow(q.ID).Hidden())
	must(t, s.saveProject(q.ID, func(q *registry.Project) { q.NamespaceID = other.ID }))
	same(t, "moved out of it", false, s.projectNow(q.ID).Hidden())
}

func testSizes(t *testing.T, s *store) {
	top := s.group(nil, "top")
	low := s.group(top, "low")
	p, q, empty := s.project(low.ID, "p"), s.project(top.ID, "q"), s.project(top.ID, "empty")
	size := func(pkg *registry.Package) (sum int64) {
		for _, f := range find(s, func(tx registry.Tx) ([]*registry.File, error) { return tx.Files(pkg.ID) }) {
			sum += f.Size
		}
		return sum
	}
	one, two, gone := s.publish(p, "one", "1"), s.publish(q, "two", "1"), s.publish(q, "gone", "1")
	s.write(func(tx registry.Tx) error { return tx.MarkForDestruction(gone.ID) })
	same(t, "projects", map[int64]int64{p.ID: size(one), q.ID: size(two)},
		find(s, func(tx registry.Tx) (map[int64]int64, error) { return tx.ProjectSizes([]int64{p.ID, q.ID, empty.ID}) }))
	same(t, "groups", map[int64]int64{top.ID: size(one) + size(two), low.ID: size(one)},
		find(s, func(tx registry.Tx) (map[int64]int64, error) { return tx.GroupSizes([]int64{top.ID, low.ID}) }))
	below := map[[2]int64]bool{}
	s.read(func(tx registry.Tx) error {
		tx.EachProjectBelow(nil, func(group, project int64) { t.Errorf("%d is below nothing", project) })
		return tx.EachProjectBelow([]int64{top.ID, low.ID}, func(group, project int64) { below[[2]int64{group, project}] = true })
	})
	same(t, "projects below groups", map[[2]int64]bool{{top.ID, p.ID}: true, {top.ID, q.ID}: true, {top.ID, empty.ID}: true, {low.ID, p.ID}: true}, below)
	same(t, "of nothing", map[int64]int64{}, find(s, func(tx registry.Tx) (map[int64]int64, error) { return tx.GroupSizes(nil) }))
}

// Removal goes in small steps; whoever is beside it keeps all.
func testCondemned(t *testing.T, s *store) {
	user := s.user("ada")
	top := s.group(nil, "top")
	low := s.group(top, "low")
	p, q := s.project(low.ID, "p"), s.project(low.ID, "q")
	kept := s.project(top.ID, "kept")
	for _, project := range []*registry.Project{p, q, kept} {
		s.publish(project, "pack", "1")
		s.publish(project, "pack", "2")
		s.member(user, nil, project, registry.Owner, time.Time{})
	}
	s.member(user, low, nil, registry.Owner, time.Time{})
	pipeline := &registry.Pipeline{ProjectID: p.ID, UserID: user.ID}
	tokens := []*registry.Token{{Kind: registry.DeployToken, ProjectID: p.ID, Hash: someHash()}, {Kind: registry.DeployToken, GroupID: low.ID, Hash: someHash()},
		{Kind: registry.JobToken, UserID: user.ID, ProjectID: p.ID, Hash: someHash()}}
	s.write(func(tx registry.Tx) error {
		if err := tx.CreatePipeline(pipeline); err != nil {
			return err
		}
		for _, token := range tokens {
			if err := tx.CreateToken(token); err != nil {
				return err
			}
		}
		// More than one step takes.
		entry, err := tx.TouchEntry(p.ID, registry.NPM, "many")
		for i := 0; i < 1100 && err == nil; i++ {
			err = tx.CreatePackage(&registry.Package{ProjectID: p.ID, EntryID: entry.ID, Type: registry.NPM, Name: "many", Version: fmt.Sprint(i), PipelineID: pipeline.ID})
		}
		return err
	})
	list := func(project *registry.Project) (total int) {
		s.read(func(tx registry.Tx) (err error) {
			_, total, err = tx.ListPackages(registry.PackageFilter{Project: project.ID, Statuses: registry.Listed, Order: registry.ByName, Limit: 1})
			return err
		})
		return total
	}
	if total := list(p); total != 1102 {
		t.Fatalf("%d packages", total)
	}

	before := s.accessRevision()
	s.write(func(tx registry.Tx) error { return tx.Condemn(low.ID, 0) })
	if s.accessRevision() == before {
		t.Error("the access revision stays")
	}
	for what, err := range map[string]error{
		"the group":             s.attempt(func(tx registry.Tx) error { _, err := tx.Group(low.ID); return err }),
		"the project":           s.attempt(func(tx registry.Tx) error { _, err := tx.Project(q.ID); return err }),
		"the group again":       s.attempt(func(tx registry.Tx) error { return tx.Condemn(low.ID, 0) }),
		"the project by itself": s.attempt(func(tx registry.Tx) error { return tx.Condemn(0, q.ID) }),
		"a change":              s.attempt(func(tx registry.Tx) error { return tx.SaveProject(q) }),
		"a new project there": s.attempt(func(tx registry.Tx) error {
			return tx.CreateProject(&registry.Project{NamespaceID: low.ID, Path: "x"})
		}),
	} {
		wantKind(t, what, err, registry.NotFound)
	}
	for _, path := range []string{"top/low", "top/low/p"} {
		same(t, path, "", s.found(path))
	}
	s.read(func(tx registry.Tx) error {
		groups, _, err := tx.Groups(registry.GroupFilter{Viewer: registry.Viewer{All: true}, Order: registry.GroupsByID, Limit: 10})
		if len(groups) != 1 || groups[0].ID != top.ID {
			t.Errorf("the list has %d groups", len(groups))
		}
		projects, total, err2 := tx.Projects(registry.ProjectFilter{Viewer: registry.Viewer{All: true}, Order: registry.ProjectsByID, Limit: 10})
		if total != 1 || projects[0].ID != kept.ID {
			t.Errorf("the list has %d projects", total)
		}
		return errors.Join(err, err2)
	})
	// Its path is free, and does not go when the old one does.
	again := s.group(top, "low")

	steps := 0
	for more := true; more; steps++ {
		s.write(func(tx registry.Tx) (err error) {
			more, err = tx.RemoveCondemned()
			return err
		})
		if steps > 100 {
			t.Fatal("the removal does not end")
		}
	}
	if steps < 5 {
		t.Errorf("it took %d steps", steps)
	}
	if total := list(p); total != 0 {
		t.Errorf("%d packages are left", total)
	}
	for _, token := range tokens {
		wantKind(t, "token", s.attempt(func(tx registry.Tx) error { _, err := tx.Token(token.ID); return err }), registry.NotFound)
	}
	same(t, "members", 0, len(find(s, func(tx registry.Tx) ([]*registry.Member, error) { return tx.Members(low.ID, p.ID) })))
	same(t, "pipelines", 0, len(find(s, func(tx registry.Tx) ([]*registry.Pipeline, error) { return tx.Pipelines([]int64{pipeline.ID}) })))
	same(t, "packages of the other project", 2, list(kept))
	same(t, "members of the other project", 1, len(find(s, func(tx registry.Tx) ([]*registry.Member, error) { return tx.Members(0, kept.ID) })))
	same(t, "the path", fmt.Sprint("group ", again.ID), s.found("top/low"))
	wantKind(t, "a publish to what is gone", s.attempt(func(tx registry.Tx) error { _, err := tx.TouchEntry(p.ID, registry.NPM, "late"); return err }), registry.NotFound)
}

// Two nodes remove at once, while others publish and make things beside.
func testRacingRemovals(t *testing.T, s *store) {
	top := s.group(nil, "top")
	low := s.group(top, "low")
	for i := range 4 {
		p := s.project(low.ID, fmt.Sprint("p", i))
		s.publish(p, "pack", "1")
	}
	kept := s.project(top.ID, "kept")
	s.write(func(tx registry.Tx) error { return tx.Condemn(low.ID, 0) })
	done := make(chan error, 3)
	for range 2 {
		go func() {
			for more := true; more; {
				err := s.Store.Write(t.Context(), func(tx registry.Tx) (err error) {
					more, err = tx.RemoveCondemned()
					return err
				})
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	go func() {
		var errs []error
		for i := range 10 {
			errs = append(errs, s.Publish(t.Context(), format, publication(kept, "pack", fmt.Sprint(i))))
		}
		done <- errors.Join(errs...)
	}()
	must(t, errors.Join(<-done, <-done, <-done))
	s.read(func(tx registry.Tx) error {
		packages, total, err := tx.ListPackages(registry.PackageFilter{Project: kept.ID, Statuses: registry.Listed, Order: registry.ByName, Limit: 100})
		if total != 10 || len(packages) != 10 {
			t.Errorf("%d packages are left beside", total)
		}
		return err
	})
}

func testMembershipsIn(t *testing.T, s *store) {
	ada, bob := s.user("ada"), s.user("bob")
	g, h := s.group(nil, "g"), s.group(nil, "h")
	p, q := s.project(g.ID, "p"), s.project(g.ID, "q")
	s.member(ada, g, nil, registry.Guest, time.Time{})
	s.member(ada, nil, p, registry.Developer, time.Time{})
	s.member(ada, nil, q, registry.Owner, time.Now().Add(-time.Hour))
	s.member(bob, h, nil, registry.Owner, time.Time{})
	for _, row := range []struct {
		user             int64
		projects, groups []int64
		want             []registry.Level
	}{
		{ada.ID, []int64{p.ID, q.ID}, []int64{g.ID, h.ID}, []registry.Level{registry.Guest, registry.Developer}},
		{ada.ID, nil, []int64{h.ID}, nil},
		{ada.ID, []int64{p.ID}, nil, []registry.Level{registry.Developer}},
		{bob.ID, nil, []int64{g.ID, h.ID}, []registry.Level{registry.Owner}},
		{bob.ID, nil, nil, nil},
	} {
		var got []registry.Level
		for _, m := range find(s, func(tx registry.Tx) ([]*registry.Member, error) {
			return tx.MembershipsIn(row.user, row.projects, row.groups)
		}) {
			got = append(got, m.Level)
		}
		if len(got) == 2 && got[0] > got[1] {
			got[0], got[1] = got[1], got[0]
		}
		same(t, fmt.Sprintf("%+v", row), row.want, got)
	}
}
