// Package databasetest says what a [registry.Store] has to do, and lends databases to the tests of other packages.
package databasetest

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"packhouse/internal/registry"
)

// Run checks a store. open returns a new and empty one, and closes it when the test ends.
func Run(t *testing.T, open func(t *testing.T) registry.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s *store)
	}{
		{"users", testUsers},
		{"groups and projects", testGroupsAndProjects},
		{"one space of paths", testOneSpaceOfPaths},
		{"moves", testMoves},
		{"openness", testOpenness},
		{"claims move", testClaimsMove},
		{"claims race with moves", testClaimsRaceWithMoves},
		{"claims of the marked", testClaimsOfTheMarked},
		{"claims race with marks", testClaimsRaceWithMarks},
		{"former names", testFormerNames},
		{"bots of the condemned", testBotsOfTheCondemned},
		{"marks for deletion", testMarks},
		{"sizes", testSizes},
		{"condemned", testCondemned},
		{"racing removals", testRacingRemovals},
		{"memberships in places", testMembershipsIn},
		{"members", testMembers},
		{"levels", testLevels},
		{"membership ends", testMembershipEnds},
		{"tokens", testTokens},
		{"token filter", testTokenFilter},
		{"pages", testPages},
		{"user filter", testUserFilter},
		{"renamed user", testRenamedUser},
		{"deleted user", testDeletedUser},
		{"owners", testOwners},
		{"member filter", testMemberFilter},
		{"token lines", testTokenLines},
		{"audit", testAudit},
		{"logins", testLogins},
		{"sessions", testSessions},
		{"chosen passwords", testChosenPasswords},
		{"access revision", testAccessRevision},
		{"look-ups of what cannot be", testStrangeLookups},
		{"times", testTimes},

		{"entries", testEntries},
		{"revisions", testRevisions},
		{"publish", testPublish},
		{"publish fails whole", testPublishFailsWhole},
		{"publish again", testPublishAgain},
		{"claims", testClaims},
		{"tags", testTags},
		{"latest", testLatest},
		{"latest is the format's", testLatestIsTheFormats},
		{"deprecate", testDeprecate},
		{"unpublish", testUnpublish},
		{"revision survives", testRevisionSurvives},
		{"removal", testRemoval},
		{"without files", testWithoutFiles},
		{"tags of packages", testTagsOf},
		{"many levels", testEffectiveLevels},
		{"member below", testMemberBelow},
		{"status", testStatus},
		{"fragments", testFragments},
		{"merged fragments", testMergedFragments},
		{"large fragments", testLargeFragments},
		{"file of version", testFileOfVersion},
		{"words that are no text", testWordsThatAreNoText},
		{"files of a version", testGrowing},
		{"files by digest", testFilesByDigest},
		{"index of names", testIndexOfNames},

		{"settings", testSettings},
		{"protection rules", testProtectionRules},
		{"known names", testKnownNames},
		{"published in place of another", testPublishedInPlace},
		{"protected", testProtected},
		{"too many files", testTooManyFiles},
		{"files that join others, and symbols", testJoins},

		{"search", testSearch},
		{"lists by name", testNames},
		{"search terms", testSearchTerms},
		{"search visibility", testSearchVisibility},

		{"downloads", testDownloads},
		{"sweep downloads", testSweepDownloads},
		{"racing downloads", testRacingDownloads},
		{"flush of downloads", testDownloadsFlush},

		{"cleanup", testCleanup},
		{"cleanup of kinds", testCleanupOfKinds},
		{"cleanup of files", testCleanupFiles},
		{"cleanup agrees with its preview", testCleanupAgrees},
		{"one cleanup of many nodes", testCleanupLease},
		{"cleanup stops", testCleanupStops},
		{"cleanup of an archived project", testCleanupOfArchived},
		{"cleanup races", testCleanupRaces},

		{"versions that point", testPoints},
		{"words of versions that point", testPointsWords},
		{"names of one project", testOwnNames},
		{"mirrors", testMirrors},
		{"garbage", testGarbage},
		{"garbage of symbols", testGarbageOfSymbols},
		{"garbage of places", testGarbageOfPlaces},
		{"racing collectors", testGarbageRaces},
		{"leases", testLeases},

		{"lists", testLists},
		{"lists while publishing", testListsWhilePublishing},
		{"list of files", testListOfFiles},
		{"dependents", testDependents},

		{"an error undoes", testErrorUndoes},
		{"a panic undoes", testPanicUndoes},
		{"writers together", testWritersTogether},
		{"writers beside failing ones", testWritersBesideFailingOnes},
		{"cold start", testColdStart},
		{"snapshot", testSnapshot},
		{"racing for one version", testRacingForOneVersion},
		{"racing for a claim", testRacingForAClaim},
		{"racing with distinct versions", testRacingWithDistinctVersions},
		{"racing first starts", testRacingFirstStarts},
		{"a canceled request", testCanceledRequest},
		{"closed", testClosed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			test.run(t, &store{Store: s, Registry: &registry.Registry{Store: s}, t: t})
		})
	}
}

// store adds to a store what most tests begin with.
type store struct {
	registry.Store
	*registry.Registry
	t *testing.T
}

// write and read fail the test on an error.
func (s *store) write(f func(tx registry.Tx) error) {
	s.t.Helper()
	must(s.t, s.Store.Write(s.t.Context(), f))
}

func (s *store) read(f func(tx registry.Tx) error) {
	s.t.Helper()
	must(s.t, s.Store.Read(s.t.Context(), f))
}

// attempt returns the error of one query of a writing transaction.
func (s *store) attempt(f func(tx registry.Tx) error) error {
	return s.Store.Write(context.Background(), f)
}

// find returns what a query of a reading transaction finds.
func find[T any](s *store, f func(tx registry.Tx) (T, error)) T {
	s.t.Helper()
	var found T
	s.read(func(tx registry.Tx) (err error) {
		found, err = f(tx)
		return err
	})
	return found
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantKind checks the kind of an error.
func wantKind(t *testing.T, what string, err error, want registry.Kind) {
	t.Helper()
	if err == nil {
		t.Errorf("%s succeeded, want an error of kind %d", what, want)
	} else if got := registry.KindOf(err); got != want {
		t.Errorf("%s: kind %d, want %d: %v", what, got, want, err)
	}
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (s *store) user(name string) *registry.User {
	s.t.Helper()
	u := &registry.User{Username: name, Name: "The " + name}
	s.write(func(tx registry.Tx) error { return tx.CreateUser(u) })
	return u
}

// group makes a group with this path below a parent, or at the top when that is nil.
func (s *store) group(parent *registry.Group, path string) *registry.Group {
	s.t.Helper()
	g := &registry.Group{Name: path, Path: path, Visibility: registry.Private}
	if parent != nil {
		g.ParentID = parent.ID
	}
	s.write(func(tx registry.Tx) error { return tx.CreateGroup(g) })
	return g
}

// project makes a private project in a namespace.
func (s *store) project(namespace int64, path string) *registry.Project {
	s.t.Helper()
	return s.projectWith(namespace, path, registry.Private, registry.RegistryEnabled)
}

func (s *store) projectWith(namespace int64, path string, v registry.Visibility, access registry.RegistryAccess) *registry.Project {
	s.t.Helper()
	p := &registry.Project{NamespaceID: namespace, Name: path, Path: path, Visibility: v, RegistryAccess: access}
	s.write(func(tx registry.Tx) error { return tx.CreateProject(p) })
	return p
}

func (s *store) member(user *registry.User, group *registry.Group, project *registry.Project, level registry.Level, ends time.Time) {
	s.t.Helper()
	m := &registry.Member{UserID: user.ID, Level: level, ExpiresAt: ends}
	if group != nil {
		m.GroupID = group.ID
	}
	if project != nil {
		m.ProjectID = project.ID
	}
	s.write(func(tx registry.Tx) error { return tx.CreateMember(m) })
}

func (s *store) accessRevision() int64 {
	s.t.Helper()
	revision, err := s.AccessRevision(s.t.Context())
	must(s.t, err)
	return revision
}

// format orders versions by their number; what follows a hyphen marks a prerelease, lower than its number.
var format = registry.Format{Type: registry.NPM, Compare: compareVersions}

func compareVersions(a, b string) int {
	numberA, preA, isPreA := strings.Cut(a, "-")
	numberB, preB, isPreB := strings.Cut(b, "-")
	x, _ := strconv.Atoi(numberA)
	y, _ := strconv.Atoi(numberB)
	switch {
	case x != y:
		return x - y
	case isPreA != isPreB && isPreA:
		return -1
	case isPreA != isPreB:
		return 1
	}
	return strings.Compare(preA, preB)
}

// content is a [registry.Staged] in memory.
type content struct {
	*bytes.Reader
	sums      registry.Digests
	fail      error // what Commit returns
	committed *atomic.Int32
}

func newContent(text string) *content {
	m, s1, s256, s512 := md5.Sum([]byte(text)), sha1.Sum([]byte(text)), sha256.Sum256([]byte(text)), sha512.Sum512([]byte(text))
	return &content{Reader: bytes.NewReader([]byte(text)), committed: new(atomic.Int32),
		sums: registry.Digests{Size: int64(len(text)), MD5: hex.EncodeToString(m[:]), SHA1: hex.EncodeToString(s1[:]),
			SHA256: hex.EncodeToString(s256[:]), SHA512: hex.EncodeToString(s512[:])}}
}

func (c *content) Digests() registry.Digests { return c.sums }

func (c *content) Commit(context.Context) error {
	c.committed.Add(1)
	return c.fail
}

func (c *content) Discard() {}

// publication of a version with one file and one fragment.
func publication(project *registry.Project, name, version string, tags ...string) *registry.Publication {
	return &registry.Publication{
		Package:   registry.Package{ProjectID: project.ID, Name: name, Version: version},
		EntryName: name,
		Files:     []registry.PublicationFile{{Name: name + "-" + version + ".tgz", Content: newContent(name + version)}},
		Fragments: map[string][]byte{"full": []byte(version)},
		Tags:      tags,
	}
}

// publish fails the test on an error.
func (s *store) publish(project *registry.Project, name, version string, tags ...string) *registry.Package {
	s.t.Helper()
	p := publication(project, name, version, tags...)
	must(s.t, s.Publish(s.t.Context(), format, p))
	return &p.Package
}

func (s *store) entry(project *registry.Project, name string) *registry.Entry {
	s.t.Helper()
	return find(s, func(tx registry.Tx) (*registry.Entry, error) { return tx.Entry(project.ID, registry.NPM, name) })
}

// versions of the entries that a client may install, as Packages orders them.
func (s *store) versions(entries ...*registry.Entry) []string {
	s.t.Helper()
	var versions []string
	for _, p := range find(s, func(tx registry.Tx) ([]*registry.Package, error) { return tx.Packages(ids(entries)) }) {
		versions = append(versions, p.Version)
	}
	return versions
}

// latest is the version that an entry shows as its latest, or "".
func (s *store) latest(project *registry.Project, name string) string {
	s.t.Helper()
	e := s.entry(project, name)
	if e.LatestID == 0 {
		return ""
	}
	return find(s, func(tx registry.Tx) (*registry.Package, error) { return tx.Package(e.LatestID) }).Version
}

func ids(entries []*registry.Entry) []int64 {
	var ids []int64
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return ids
}

func someHash() []byte {
	hash := make([]byte, 32)
	rand.Read(hash)
	return hash
}
