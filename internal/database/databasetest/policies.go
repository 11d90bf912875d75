package databasetest

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"packhouse/internal/registry"
)

func (s *store) policy(group, project int64) *registry.Policy {
	s.t.Helper()
	return find(s, func(tx registry.Tx) (*registry.Policy, error) { return tx.Policy(group, project) })
}

// set sets settings of a group or project; "" takes one back.
func (s *store) set(group, project int64, name, value string) {
	s.t.Helper()
	s.write(func(tx registry.Tx) error {
		if value == "" {
			return tx.SetSetting(group, project, name, nil)
		}
		return tx.SetSetting(group, project, name, &value)
	})
}

func testSettings(t *testing.T, s *store) {
	type places = []map[string]string
	top := s.group(nil, "top")
	low := s.group(top, "low")
	beside := s.group(top, "beside")
	p, q := s.project(low.ID, "p"), s.project(beside.ID, "q")
	own := s.project(s.user("ada").NamespaceID, "own")
	none := map[string]string{}

	same(t, "nothing is set", places{none, none, none}, s.policy(0, p.ID).Settings)
	same(t, "of a group", places{none, none}, s.policy(low.ID, 0).Settings)
	same(t, "in a personal namespace", places{none, none}, s.policy(0, own.ID).Settings)
	same(t, "of nothing", places(nil), s.policy(0, 4711).Settings)

	access := s.accessRevision()
	s.set(top.ID, 0, "a", "1")
	s.set(low.ID, 0, "a", "2")
	s.set(0, p.ID, "a", "3")
	s.set(0, p.ID, "b", "4")
	s.set(0, p.ID, "b", "5")
	if s.accessRevision() <= access {
		t.Error("settings did not change the access revision")
	}
	one := func(name, value string) map[string]string { return map[string]string{name: value} }
	same(t, "project", places{one("a", "1"), one("a", "2"), {"a": "3", "b": "5"}}, s.policy(0, p.ID).Settings)
	same(t, "group", places{one("a", "1"), one("a", "2")}, s.policy(low.ID, 0).Settings)
	same(t, "top-level group", places{one("a", "1")}, s.policy(top.ID, 0).Settings)
	same(t, "project beside", places{one("a", "1"), none, none}, s.policy(0, q.ID).Settings)
	same(t, "elsewhere", places{none, none}, s.policy(0, own.ID).Settings)

	s.set(low.ID, 0, "a", "")
	s.set(0, p.ID, "b", "")
	same(t, "taken back", places{one("a", "1"), none, one("a", "3")}, s.policy(0, p.ID).Settings)
	wantKind(t, "taking back what is not set", s.attempt(func(tx registry.Tx) error { return tx.SetSetting(0, p.ID, "b", nil) }), registry.NotFound)
}

func testProtectionRules(t *testing.T, s *store) {
	top := s.group(nil, "top")
	low := s.group(top, "low")
	p, q := s.project(low.ID, "p"), s.project(low.ID, "q")
	add := func(group, project int64, pattern string) *registry.ProtectionRule {
		t.Helper()
		r := &registry.ProtectionRule{GroupID: group, ProjectID: project, Type: registry.NPM, Pattern: pattern, PushLevel: registry.Owner}
		s.write(func(tx registry.Tx) error { return tx.CreateRule(r) })
		return r
	}
	access := s.accessRevision()
	ofP, ofTop, ofLow, ofQ := add(0, p.ID, "a"), add(top.ID, 0, "a"), add(low.ID, 0, "a"), add(0, q.ID, "a")
	second := add(0, p.ID, "b")
	if s.accessRevision() < access+5 {
		t.Error("rules did not change the access revision")
	}
	type rules = []*registry.ProtectionRule
	same(t, "of p and above", rules{ofP, ofTop, ofLow, second}, s.policy(0, p.ID).Rules)
	same(t, "of q and above", rules{ofTop, ofLow, ofQ}, s.policy(0, q.ID).Rules)
	same(t, "of low and above", rules{ofTop, ofLow}, s.policy(low.ID, 0).Rules)
	same(t, "p's own", rules{ofP, second}, s.policy(0, p.ID).Of(0, p.ID))
	same(t, "low's own", rules{ofLow}, s.policy(low.ID, 0).Of(low.ID, 0))

	for what, r := range map[string]*registry.ProtectionRule{"project": ofP, "group": ofTop} {
		again := *r
		wantKind(t, "the same pattern again in the "+what, s.attempt(func(tx registry.Tx) error { return tx.CreateRule(&again) }), registry.Conflict)
	}
	other := *ofP
	other.Type = registry.PyPI
	s.write(func(tx registry.Tx) error { return tx.CreateRule(&other) })

	second.Pattern, second.PushLevel, second.DeleteLevel = "c", registry.NoAccess, registry.Admin
	s.write(func(tx registry.Tx) error { return tx.UpdateRule(second) })
	same(t, "changed", rules{ofP, ofTop, ofLow, second, &other}, s.policy(0, p.ID).Rules)
	second.Pattern = "a"
	wantKind(t, "changed to what is there", s.attempt(func(tx registry.Tx) error { return tx.UpdateRule(second) }), registry.Conflict)
	s.write(func(tx registry.Tx) error { return tx.DeleteRule(ofLow.ID) })
	same(t, "less one", rules{ofTop, ofQ}, s.policy(0, q.ID).Rules)
	wantKind(t, "deleting it again", s.attempt(func(tx registry.Tx) error { return tx.DeleteRule(ofLow.ID) }), registry.NotFound)
	wantKind(t, "changing what is gone", s.attempt(func(tx registry.Tx) error { return tx.UpdateRule(ofLow) }), registry.NotFound)

	// Of the domain's methods: a rule is found at its own place only, and their number is bounded.
	keep := func(*registry.ProtectionRule) error { return nil }
	_, err := s.UpdateRule(t.Context(), 0, q.ID, ofP.ID, keep)
	wantKind(t, "another project's rule", err, registry.NotFound)
	wantKind(t, "a group's rule at a project", s.DeleteRule(t.Context(), 0, p.ID, ofTop.ID), registry.NotFound)
	must(t, s.DeleteRule(t.Context(), top.ID, 0, ofTop.ID))
	for i := 1; i < 100; i++ { // q has one
		must(t, s.CreateRule(t.Context(), &registry.ProtectionRule{ProjectID: q.ID, Type: registry.NPM, Pattern: strconv.Itoa(i), PushLevel: registry.Owner}))
	}
	wantKind(t, "one rule too many", s.CreateRule(t.Context(), &registry.ProtectionRule{ProjectID: q.ID, Type: registry.NPM, Pattern: "x", PushLevel: registry.Owner}), registry.Limited)
	events := find(s, func(tx registry.Tx) ([]*registry.Event, error) {
		events, _, err := tx.Events(registry.EventFilter{GroupID: top.ID, Limit: 10})
		return events, err
	})
	if len(events) != 1 || events[0].Name != registry.SettingsChanged || events[0].Target != "protection rule npm a" || events[0].Detail != "removed" {
		t.Errorf("events: %+v", events)
	}
}

// A name is known for good in the whole tree of its top-level group.
func testKnownNames(t *testing.T, s *store) {
	top, other := s.group(nil, "top"), s.group(nil, "other")
	p := s.project(s.group(top, "low").ID, "p")
	s.publish(p, "pack", "1")
	known := func(kind registry.Type, name string, root int64) bool {
		return find(s, func(tx registry.Tx) (bool, error) { return tx.NameIsKnown(kind, "", name, root) })
	}
	if !known(registry.NPM, "pack", top.ID) || known(registry.NPM, "pack", other.ID) || known(registry.NPM, "pac", top.ID) || known(registry.PyPI, "pack", top.ID) {
		t.Error("a name that is published is not known, or one that is not")
	}
	must(t, s.Unpublish(t.Context(), format, p.ID, "pack", s.entry(p, "pack").Revision, func(string) bool { return false }))
	must(t, s.Purge(t.Context()))
	if !known(registry.NPM, "pack", top.ID) {
		t.Error("a name that was published is not known any more")
	}
}

func testPublishedInPlace(t *testing.T, s *store) {
	g := s.group(nil, "g")
	p, q := s.project(g.ID, "p"), s.project(g.ID, "q")
	old := s.publish(p, "pack", "2", "latest", "beta")
	s.publish(p, "pack", "1")
	s.publish(p, "pack", "3", "gamma")
	wantKind(t, "a version again", s.Publish(t.Context(), format, publication(p, "pack", "2")), registry.Conflict)

	s.set(g.ID, 0, "npm_duplicates_allowed", "true")
	before := s.entry(p, "pack")
	again := publication(p, "pack", "2", "delta")
	again.Files[0].Content = newContent("other bytes")
	again.Fragments["full"] = []byte("two")
	must(t, s.Publish(t.Context(), format, again))
	after := s.entry(p, "pack")
	if after.Revision <= before.Revision || after.LatestID != again.Package.ID || again.Package.ID == old.ID {
		t.Errorf("entry: %+v, the package has the id %d", after, again.Package.ID)
	}
	same(t, "versions", []string{"1", "3", "2"}, s.versions(after))
	same(t, "fragments", []string{"1", "3", "two"}, s.fragments("full", after))
	file, err := s.FileOfVersion(t.Context(), []int64{after.ID}, "2", "")
	must(t, err)
	same(t, "file", newContent("other bytes").Digests(), file.Digests)
	tags := map[string]int64{}
	for _, tag := range find(s, func(tx registry.Tx) ([]*registry.Tag, error) { return tx.Tags([]int64{after.ID}) }) {
		tags[tag.Name] = tag.PackageID
	}
	id := again.Package.ID
	same(t, "tags", map[string]int64{"latest": id, "beta": id, "delta": id, "gamma": tags["gamma"]}, tags)
	if gone := find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.Package(old.ID) }); gone.Status != registry.PendingDestruction {
		t.Errorf("the one before is %v", gone.Status)
	}
	must(t, s.Purge(t.Context()))
	same(t, "fragments after the purge", []string{"1", "3", "two"}, s.fragments("full", after))

	// One that fails leaves the one before in its place.
	failing := publication(p, "pack", "2", "late")
	failing.Files[0].Content = &content{Reader: newContent("").Reader, committed: newContent("").committed, fail: registry.Errorf(registry.Full, "no")}
	wantKind(t, "a content that cannot be stored", s.Publish(t.Context(), format, failing), registry.Full)
	same(t, "entry", after, s.entry(p, "pack"))
	same(t, "fragments after the failure", []string{"1", "3", "two"}, s.fragments("full", after))

	// A claim is taken over in its project, and in no other.
	claimed := func(project *registry.Project) error {
		pub := publication(project, "claimed", "1")
		pub.Claim = project
		return s.Publish(t.Context(), format, pub)
	}
	must(t, claimed(p))
	must(t, claimed(p))
	wantKind(t, "what another project has claimed", claimed(q), registry.Conflict)

	// An exception turns the setting round.
	s.set(0, p.ID, "npm_duplicate_exception_regex", `1(\..*)?`)
	wantKind(t, "a version of the exception", s.Publish(t.Context(), format, publication(p, "pack", "1")), registry.Conflict)
	must(t, s.Publish(t.Context(), format, publication(p, "pack", "3")))
	s.set(0, p.ID, "npm_duplicates_allowed", "false")
	must(t, s.Publish(t.Context(), format, publication(p, "pack", "1")))
	wantKind(t, "any other version", s.Publish(t.Context(), format, publication(p, "pack", "3")), registry.Conflict)

	// Racing publishers take each other's place, one after the other.
	s.set(0, p.ID, "npm_duplicates_allowed", "true")
	s.set(0, p.ID, "npm_duplicate_exception_regex", "")
	errs := make(chan error)
	for i := range 8 {
		go func() {
			pub := publication(p, "race", "1", "t"+strconv.Itoa(i))
			errs <- s.Publish(context.Background(), format, pub)
		}()
	}
	for range 8 {
		must(t, <-errs)
	}
	same(t, "versions after a race", []string{"1"}, s.versions(s.entry(p, "race")))
	if tags := find(s, func(tx registry.Tx) ([]*registry.Tag, error) { return tx.Tags([]int64{s.entry(p, "race").ID}) }); len(tags) != 8 {
		t.Errorf("%d tags after a race", len(tags))
	}
}

func testProtected(t *testing.T, s *store) {
	g := s.group(nil, "g")
	p := s.project(g.ID, "p")
	people := map[string]*registry.User{}
	for name, level := range map[string]registry.Level{"developer": registry.Developer, "maintainer": registry.Maintainer, "owner": registry.Owner} {
		people[name] = s.user(name)
		s.member(people[name], nil, p, level, time.Time{})
	}
	people["admin"] = s.user("admin")
	people["admin"].Admin = true
	s.write(func(tx registry.Tx) error { return tx.UpdateUser(people["admin"]) })
	as := func(name string) context.Context {
		switch name {
		case "nobody":
			return registry.WithActor(t.Context(), &registry.Actor{})
		case "deploy token":
			return registry.WithActor(t.Context(), &registry.Actor{Kind: registry.DeployToken, TokenID: 1})
		case "job":
			return registry.WithActor(t.Context(), &registry.Actor{Kind: registry.JobToken, TokenID: 1, UserID: people["owner"].ID})
		case "background":
			return t.Context()
		}
		return registry.WithActor(t.Context(), &registry.Actor{UserID: people[name].ID})
	}
	everybody := []string{"nobody", "deploy token", "developer", "maintainer", "job", "owner", "admin", "background"}
	anybody := func(registry.Tx, *registry.Package) error { return nil }
	free := s.publish(p, "free", "1")
	version := 1
	deeds := []struct {
		name string
		push bool
		do   func(ctx context.Context, pkg *registry.Package) error
	}{
		{"publish", true, func(ctx context.Context, pkg *registry.Package) error {
			version++
			return s.Publish(ctx, format, publication(p, pkg.Name, strconv.Itoa(version)))
		}},
		{"tag", true, func(ctx context.Context, pkg *registry.Package) error {
			return s.SetTag(ctx, format, p.ID, pkg.Name, "mine", pkg.Version)
		}},
		{"untag", true, func(ctx context.Context, pkg *registry.Package) error {
			s.write(func(tx registry.Tx) error {
				return tx.SetTag(&registry.Tag{EntryID: pkg.EntryID, Name: "yours", PackageID: pkg.ID})
			})
			return s.DeleteTag(ctx, format, p.ID, pkg.Name, "yours")
		}},
		{"deprecate", true, func(ctx context.Context, pkg *registry.Package) error {
			return s.Deprecate(ctx, format, p.ID, pkg.Name, map[string]string{pkg.Version: "old"})
		}},
		{"unpublish", false, func(ctx context.Context, pkg *registry.Package) error {
			return s.Unpublish(ctx, format, p.ID, pkg.Name, s.entry(p, pkg.Name).Revision, func(version string) bool { return version != pkg.Version })
		}},
		{"delete", false, func(ctx context.Context, pkg *registry.Package) error { return s.Delete(ctx, pkg.ID, anybody) }},
		{"delete a file", false, func(ctx context.Context, pkg *registry.Package) error {
			files := find(s, func(tx registry.Tx) ([]*registry.File, error) { return tx.Files(pkg.ID) })
			return s.DeleteFile(ctx, pkg.ID, files[0].ID, anybody)
		}},
		{"replace a file", false, func(ctx context.Context, pkg *registry.Package) error {
			pub := publication(p, pkg.Name, pkg.Version)
			pub.How, pub.Files[0].Content = registry.Grow, newContent("other bytes")
			return s.Publish(ctx, format, pub)
		}},
		{"replace", false, func(ctx context.Context, pkg *registry.Package) error {
			return s.Publish(ctx, format, publication(p, pkg.Name, pkg.Version))
		}},
	}
	s.set(0, p.ID, "npm_duplicates_allowed", "true")
	for _, test := range []struct {
		rule registry.ProtectionRule
		may  map[bool][]string // push or not → who may
	}{
		{registry.ProtectionRule{ProjectID: p.ID, Type: registry.NPM, Pattern: "PRO*", PushLevel: registry.Maintainer},
			map[bool][]string{true: {"maintainer", "job", "owner", "admin", "background"}, false: everybody}},
		{registry.ProtectionRule{GroupID: g.ID, Type: registry.NPM, Pattern: "*", PushLevel: registry.Owner, DeleteLevel: registry.Admin},
			map[bool][]string{true: {"job", "owner", "admin", "background"}, false: {"admin", "background"}}},
		{registry.ProtectionRule{ProjectID: p.ID, Type: registry.NPM, Pattern: "protected", DeleteLevel: registry.Owner},
			map[bool][]string{true: everybody, false: {"job", "owner", "admin", "background"}}},
		{registry.ProtectionRule{ProjectID: p.ID, Type: registry.PyPI, Pattern: "*", PushLevel: registry.Admin, DeleteLevel: registry.Admin},
			map[bool][]string{true: everybody, false: everybody}},
	} {
		must(t, s.CreateRule(t.Context(), &test.rule))
		for _, deed := range deeds {
			for _, who := range everybody {
				version++
				pkg := s.publish(p, "protected", strconv.Itoa(version))
				err := deed.do(as(who), pkg)
				may := slices.Contains(test.may[deed.push], who)
				// A replacement is a publish too.
				if strings.HasPrefix(deed.name, "replace") {
					may = may && slices.Contains(test.may[true], who)
				}
				if may {
					must(t, err)
					continue
				}
				wantKind(t, test.rule.Pattern+": "+deed.name+" by "+who, err, registry.Forbidden)
			}
		}
		must(t, s.DeleteRule(t.Context(), test.rule.GroupID, test.rule.ProjectID, test.rule.ID))
	}
	s.write(func(tx registry.Tx) error {
		return tx.CreateRule(&registry.ProtectionRule{ProjectID: p.ID, Type: registry.NPM, Pattern: "protected", PushLevel: registry.Admin})
	})
	must(t, s.Publish(as("developer"), format, publication(p, "free", "2")))
	must(t, s.Delete(as("developer"), free.ID, anybody))
	policy := s.policy(0, p.ID)
	wantKind(t, "asked early", s.MayPush(as("owner"), policy, p.ID, registry.NPM, "protected"), registry.Forbidden)
	must(t, s.MayPush(as("admin"), policy, p.ID, registry.NPM, "protected"))
	must(t, s.MayPush(as("developer"), policy, p.ID, registry.NPM, "free"))
}

func testTooManyFiles(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	many := func(name string) *registry.Publication {
		pub := publication(p, name, "1")
		pub.Files = append(pub.Files, registry.PublicationFile{Name: "second", Content: newContent("second")})
		return pub
	}
	must(t, s.Publish(t.Context(), format, many("a")))
	s.set(0, p.ID, registry.MaxFilesSetting, "1")
	wantKind(t, "two files where one may be", s.Publish(t.Context(), format, many("b")), registry.TooLarge)
	must(t, s.Publish(t.Context(), format, publication(p, "c", "1")))
}
