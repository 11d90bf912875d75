package access_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/database"
	"packhouse/internal/registry"
)

// world is a store with its gate, and what tests put into it.
type world struct {
	t     *testing.T
	store *counting
	gate  *access.Gate
	*registry.Registry
}

// counting is a store that counts its transactions, and can be told to fail.
type counting struct {
	registry.Store
	reads  atomic.Int64
	fail   error
	change func(*registry.Project) // what has happened to every project, at the cost of one revision
}

func (c *counting) Read(ctx context.Context, f func(registry.Tx) error) error {
	c.reads.Add(1)
	if c.fail != nil {
		return c.fail
	}
	return c.Store.Read(ctx, func(tx registry.Tx) error { return f(&changed{tx, c.change}) })
}

func (c *counting) Write(ctx context.Context, f func(registry.Tx) error) error {
	if c.fail != nil {
		return c.fail
	}
	return c.Store.Write(ctx, f)
}

func (c *counting) AccessRevision(ctx context.Context) (int64, error) {
	revision, err := c.Store.AccessRevision(ctx)
	if c.change != nil {
		revision++
	}
	return revision, err
}

// changed stands for an update of projects, which the store has not got yet.
type changed struct {
	registry.Tx
	change func(*registry.Project)
}

func (tx *changed) Project(id int64) (*registry.Project, error) {
	p, err := tx.Tx.Project(id)
	if err == nil && tx.change != nil {
		tx.change(p)
	}
	return p, err
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := database.Open(t.Context(), filepath.Join(t.TempDir(), "packhouse.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	store := &counting{Store: db}
	return &world{t: t, store: store, gate: access.NewGate(store), Registry: &registry.Registry{Store: store}}
}

func (w *world) write(f func(tx registry.Tx) error) {
	w.t.Helper()
	if err := w.store.Write(context.Background(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) user(name string, options ...func(*registry.User)) *registry.User {
	w.t.Helper()
	u := &registry.User{Username: name, Name: name}
	for _, option := range options {
		option(u)
	}
	w.write(func(tx registry.Tx) error { return tx.CreateUser(u) })
	return u
}

func (w *world) group(parent int64, path string, v registry.Visibility) *registry.Group {
	w.t.Helper()
	g := &registry.Group{ParentID: parent, Name: path, Path: path, Visibility: v}
	w.write(func(tx registry.Tx) error { return tx.CreateGroup(g) })
	return g
}

func (w *world) project(namespace int64, path string, v registry.Visibility, packages registry.RegistryAccess, archived bool) *registry.Project {
	w.t.Helper()
	p := &registry.Project{NamespaceID: namespace, Name: path, Path: path, Visibility: v, RegistryAccess: packages, Archived: archived}
	w.write(func(tx registry.Tx) error { return tx.CreateProject(p) })
	return p
}

func (w *world) member(user *registry.User, group, project int64, level registry.Level, ends time.Time) {
	w.t.Helper()
	w.write(func(tx registry.Tx) error {
		return tx.CreateMember(&registry.Member{UserID: user.ID, GroupID: group, ProjectID: project, Level: level, ExpiresAt: ends})
	})
}

// token issues a token and returns its text.
func (w *world) token(token registry.Token) (text string, id int64) {
	w.t.Helper()
	text, err := w.IssueToken(context.Background(), &token)
	if err != nil {
		w.t.Fatal(err)
	}
	return text, token.ID
}

func (w *world) personal(user *registry.User, scopes ...string) (text string, id int64) {
	w.t.Helper()
	return w.token(registry.Token{Kind: registry.PersonalToken, UserID: user.ID, Scopes: scopes})
}

func (w *world) now() *access.View {
	w.t.Helper()
	view, err := w.gate.Now(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return view
}

// caller asks with a token, or as nobody when there is none.
func (w *world) caller(text string) (*access.Caller, error) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if text != "" {
		r.Header.Set("Authorization", "Bearer "+text)
	}
	return w.now().Caller(r)
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestCredential(t *testing.T) {
	const text = "php_text"
	for _, test := range []struct {
		what  string
		query string
		names []string // headers, names and values in turn
		text  string
		given bool
	}{
		{"nothing", "", nil, "", false},
		{"PRIVATE-TOKEN", "", []string{"PRIVATE-TOKEN", text}, text, true},
		{"JOB-TOKEN", "", []string{"JOB-TOKEN", text}, text, true},
		{"Deploy-Token", "", []string{"Deploy-Token", text}, text, true},
		{"Bearer", "", []string{"Authorization", "Bearer " + text}, text, true},
		{"bearer in small letters", "", []string{"Authorization", "bearer " + text}, text, true},
		{"Bearer and spaces", "", []string{"Authorization", "Bearer   " + text + " "}, text, true},
		{"Basic", "", []string{"Authorization", basic("anybody", text)}, text, true},
		{"basic in small letters", "", []string{"Authorization", "basic" + basic("", text)[5:]}, text, true},
		{"Basic without a name", "", []string{"Authorization", basic("", text)}, text, true},
		{"Basic with colons in the password", "", []string{"Authorization", basic("me", "a:b:c")}, "a:b:c", true},
		{"private_token", "private_token=" + text, nil, text, true},
		{"access_token", "a=b&access_token=" + text, nil, text, true},
		{"job_token", "job_token=php%5Ftext", nil, text, true},
		{"a header goes before the query", "private_token=other", []string{"JOB-TOKEN", text}, text, true},
		{"GitLab's header goes before Authorization", "", []string{"Authorization", "Bearer other", "PRIVATE-TOKEN", text}, text, true},

		{"another parameter", "token=x&page_token=y", nil, "", false},
		{"an empty header", "", []string{"PRIVATE-TOKEN", ""}, "", true},
		{"an empty parameter", "private_token=", nil, "", true},
		{"an empty Authorization", "", []string{"Authorization", ""}, "", true},
		{"Bearer and nothing", "", []string{"Authorization", "Bearer"}, "", true},
		{"another scheme", "", []string{"Authorization", "Digest " + text}, "", true},
		{"Basic that is no base64", "", []string{"Authorization", "Basic !"}, "", true},
		{"Basic without a colon", "", []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(text))}, "", true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/?"+test.query, nil)
		for i := 0; i < len(test.names); i += 2 {
			r.Header.Set(test.names[i], test.names[i+1])
		}
		if got, given := access.Credential(r); got != test.text || given != test.given {
			t.Errorf("%s: %q, %t, want %q, %t", test.what, got, given, test.text, test.given)
		}
	}
}

func TestCaller(t *testing.T) {
	w := newWorld(t)
	ada := w.user("ada")
	g := w.group(0, "g", registry.Private)
	p := w.project(g.ID, "p", registry.Private, registry.RegistryEnabled, false)
	blocked := w.user("blocked", func(u *registry.User) { u.State = registry.Blocked })

	mine, _ := w.personal(ada, registry.ScopeAPI)
	deploy, _ := w.token(registry.Token{Kind: registry.DeployToken, ProjectID: p.ID, Scopes: []string{registry.ScopeReadPackage}})
	job, err := w.JobToken(t.Context(), &registry.Pipeline{ProjectID: p.ID, UserID: ada.ID}, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := w.caller(""); err != nil || !c.Anonymous() || c.UserID() != 0 || c.PipelineID() != 0 || c.Viewer() != (registry.Viewer{}) {
		t.Errorf("nobody: %+v, %v", c, err)
	}
	if c, err := w.caller(mine); err != nil || c.UserID() != ada.ID || c.Token.Kind != registry.PersonalToken || c.Anonymous() || c.PipelineID() != 0 {
		t.Errorf("personal token: %+v, %v", c, err)
	}
	if c, err := w.caller(deploy); err != nil || c.User != nil || c.UserID() != 0 || c.Anonymous() || c.Viewer() != (registry.Viewer{Project: p.ID}) {
		t.Errorf("deploy token: %+v, %v", c, err)
	}
	if c, err := w.caller(job); err != nil || c.UserID() != ada.ID || c.PipelineID() == 0 || c.Viewer() != (registry.Viewer{UserID: ada.ID, Project: p.ID}) {
		t.Errorf("job token: %+v, %v", c, err)
	}
	// A token that an administrator chose, as on the first start.
	w.write(func(tx registry.Tx) error {
		return tx.CreateToken(&registry.Token{Kind: registry.PersonalToken, UserID: ada.ID, Hash: registry.HashToken("chosen")})
	})
	if c, err := w.caller("chosen"); err != nil || c.UserID() != ada.ID {
		t.Errorf("chosen token: %+v, %v", c, err)
	}

	typo := []byte(mine)
	typo[10] ^= 1
	past := time.Now().Add(-time.Hour)
	revoked, _ := w.token(registry.Token{Kind: registry.PersonalToken, UserID: ada.ID, Revoked: true})
	expired, _ := w.token(registry.Token{Kind: registry.PersonalToken, UserID: ada.ID, ExpiresAt: past})
	expiredDeploy, _ := w.token(registry.Token{Kind: registry.DeployToken, ProjectID: p.ID, ExpiresAt: past})
	ofBlocked, _ := w.personal(blocked, registry.ScopeAPI)
	for _, test := range []struct {
		what, text string
		want       registry.Kind
		code       string
	}{
		{"a token that nobody issued", registry.NewTokenText(registry.PersonalToken), registry.Unauthenticated, ""},
		{"one that nobody chose", "unknown", registry.Unauthenticated, ""},
		{"a typo", string(typo), registry.Unauthenticated, ""},
		{"a part of one", mine[:20], registry.Unauthenticated, ""},
		{"one that is not text", "\xff\x00", registry.Unauthenticated, ""},
		{"a revoked one", revoked, registry.Unauthenticated, "invalid_token"},
		{"an expired one", expired, registry.Unauthenticated, "invalid_token"},
		{"an expired deploy token", expiredDeploy, registry.Unauthenticated, "invalid_token"},
		{"one of a blocked user", ofBlocked, registry.Forbidden, ""},
	} {
		c, err := w.caller(test.text)
		if c != nil || err == nil || registry.KindOf(err) != test.want {
			t.Errorf("%s: %+v, %v, want kind %d", test.what, c, err, test.want)
		}
		var tokenErr *access.TokenError
		if errors.As(err, &tokenErr) != (test.code != "") || tokenErr != nil && tokenErr.Code != test.code {
			t.Errorf("%s: %#v, want code %q", test.what, err, test.code)
		}
	}
	// An empty credential is a wrong one, not none: npm with an unset variable for its token must not look at public packages only.
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("PRIVATE-TOKEN", "")
	if _, err := w.now().Caller(r); registry.KindOf(err) != registry.Unauthenticated {
		t.Errorf("an empty credential: %v", err)
	}
	// A store that does not answer says nothing about the credential.
	fresh := access.NewGate(w.store).At(1)
	w.store.fail = &registry.Error{Kind: registry.Unavailable}
	r.Header.Set("PRIVATE-TOKEN", mine)
	if _, err := fresh.Caller(r); registry.KindOf(err) != registry.Unavailable {
		t.Errorf("without a database: %v", err)
	}
	w.store.fail = nil
	if c, err := fresh.Caller(r); err != nil || c.UserID() != ada.ID {
		t.Errorf("with it again: %+v, %v", c, err)
	}
}

// The rights of a bot are those of its user, wherever its token was made.
func TestViewerOfBot(t *testing.T) {
	w := newWorld(t)
	bot := w.user("bot", func(u *registry.User) { u.Bot, u.External = true, true })
	admin := w.user("admin", func(u *registry.User) { u.Admin = true })
	g := w.group(0, "g", registry.Private)
	text, _ := w.token(registry.Token{Kind: registry.ResourceToken, UserID: bot.ID, GroupID: g.ID})
	if c, err := w.caller(text); err != nil || c.Viewer() != (registry.Viewer{UserID: bot.ID, External: true}) {
		t.Errorf("bot: %+v, %v", c, err)
	}
	text, _ = w.personal(admin)
	if c, err := w.caller(text); err != nil || c.Viewer() != (registry.Viewer{UserID: admin.ID, All: true}) {
		t.Errorf("administrator: %+v, %v", c, err)
	}
}

func TestLookups(t *testing.T) {
	w := newWorld(t)
	ada := w.user("Ada")
	g := w.group(0, "Group", registry.Private)
	sub := w.group(g.ID, "Sub", registry.Private)
	p := w.project(sub.ID, "Tool", registry.Private, registry.RegistryEnabled, false)
	v := w.now()
	for _, id := range []string{"1", "Group/Sub/Tool", "group/sub/tool", "GROUP/SUB/TOOL"} {
		if got, err := v.Project(id); err != nil || got.ID != p.ID {
			t.Errorf("project %s: %+v, %v", id, got, err)
		}
	}
	for _, id := range []string{"Group/Sub", "group/sub"} {
		if got, err := v.Group(id); err != nil || got.ID != sub.ID {
			t.Errorf("group %s: %+v, %v", id, got, err)
		}
	}
	if got, err := v.Namespace("ada"); err != nil || got.OwnerID != ada.ID {
		t.Errorf("namespace of ada: %+v, %v", got, err)
	}
	if got, err := v.UserByID(ada.ID); err != nil || got.Username != "Ada" {
		t.Errorf("user: %+v, %v", got, err)
	}
	for _, id := range []string{"", "0", "-1", "4711", "99999999999999999999", "none", "group/sub", "../x"} {
		if _, err := v.Project(id); registry.KindOf(err) != registry.NotFound || registry.MessageOf(err) != "404 Project Not Found" {
			t.Errorf("project %q: %v", id, err)
		}
	}
	for _, id := range []string{"", "0", "none", "group/sub/tool", "ada"} { // a personal namespace is no group
		if _, err := v.Group(id); registry.KindOf(err) != registry.NotFound || registry.MessageOf(err) != "404 Group Not Found" {
			t.Errorf("group %q: %v", id, err)
		}
	}
	// What is known at a revision costs no query; what was not there then is looked for again, since it may be made
	// by the very request.
	before := w.store.reads.Load()
	for range 10 {
		v.Project("group/sub/tool")
		v.Group("group/sub")
		v.ProjectByID(p.ID)
	}
	if n := w.store.reads.Load() - before; n != 0 {
		t.Errorf("%d queries for what is known", n)
	}
}

func TestKnownTokenCostsNoQuery(t *testing.T) {
	w := newWorld(t)
	ada := w.user("ada")
	g := w.group(0, "g", registry.Private)
	p := w.project(g.ID, "p", registry.Private, registry.RegistryEnabled, false)
	w.member(ada, g.ID, 0, registry.Developer, time.Time{})
	text, _ := w.personal(ada, registry.ScopeAPI)
	request := func() {
		c, err := w.caller(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.now().Authorize(c, p, access.Publish); err != nil {
			t.Fatal(err)
		}
	}
	request()
	before := w.store.reads.Load()
	for range 10 {
		request()
	}
	if n := w.store.reads.Load() - before; n != 0 {
		t.Errorf("%d queries for 10 requests of a known token", n)
	}
}

// Each change of rights is seen by the very next request, also on another node.
func TestChangesAreSeenAtOnce(t *testing.T) {
	w := newWorld(t)
	ada := w.user("ada")
	g := w.group(0, "g", registry.Private)
	p := w.project(g.ID, "p", registry.Private, registry.RegistryEnabled, false)
	text, id := w.personal(ada, registry.ScopeAPI)
	nodes := []*access.Gate{w.gate, access.NewGate(w.store)}
	check := func(what string, action access.Action, want string) {
		t.Helper()
		for i, gate := range nodes {
			view, err := gate.Now(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("PRIVATE-TOKEN", text)
			c, err := view.Caller(r)
			if err == nil {
				var fresh *registry.Project
				if fresh, err = view.ProjectByID(p.ID); err == nil {
					err = view.Authorize(c, fresh, action)
				}
			}
			if got := outcome(err); got != want {
				t.Errorf("%s, on node %d: %s, want %s", what, i, got, want)
			}
		}
	}
	check("before", access.Read, "404")
	w.member(ada, g.ID, 0, registry.Reporter, time.Time{})
	check("with a role", access.Read, "yes")
	check("with a role", access.Publish, "403")
	w.member(ada, 0, p.ID, registry.Developer, time.Time{})
	check("with a higher role", access.Publish, "yes")
	check("with a higher role", access.Delete, "403")

	ada.Admin = true
	w.write(func(tx registry.Tx) error { return tx.UpdateUser(ada) })
	check("as administrator", access.Own, "yes")
	ada.Admin, ada.State = false, registry.Blocked
	w.write(func(tx registry.Tx) error { return tx.UpdateUser(ada) })
	check("blocked", access.Read, "403")
	ada.State = registry.Active
	w.write(func(tx registry.Tx) error { return tx.UpdateUser(ada) })
	check("unblocked", access.Read, "yes")

	w.store.change = func(p *registry.Project) { p.RegistryAccess = registry.RegistryDisabled }
	check("registry disabled", access.Read, "403")
	w.store.change = nil
	w.user("moves-the-revision-on")
	w.user("moves-the-revision-on-again")
	check("registry enabled", access.Read, "yes")

	w.write(func(tx registry.Tx) error { return tx.RevokeToken(id) })
	check("revoked", access.Read, "401")
	text, _ = w.personal(ada, registry.ScopeReadUser)
	check("another token", access.Read, "scope")
}

func TestVisibilityChangeIsSeenAtOnce(t *testing.T) {
	w := newWorld(t)
	p := w.project(w.group(0, "g", registry.Public).ID, "p", registry.Public, registry.RegistryEnabled, false)
	read := func() string {
		t.Helper()
		v := w.now()
		c, err := w.caller("")
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := v.ProjectByID(p.ID)
		if err != nil {
			t.Fatal(err)
		}
		return outcome(v.Authorize(c, fresh, access.Read))
	}
	if got := read(); got != "yes" {
		t.Errorf("public: %s", got)
	}
	w.store.change = func(p *registry.Project) { p.Visibility = registry.Private }
	if got := read(); got != "401" {
		t.Errorf("made private: %s", got)
	}
}

// What ends by itself moves no revision.
func TestEndsWithoutARevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.store.Close() // within the bubble, whose goroutines must end
		ada := w.user("ada")
		g := w.group(0, "g", registry.Private)
		p := w.project(g.ID, "p", registry.Private, registry.RegistryEnabled, false)
		start := time.Now()
		w.member(ada, g.ID, 0, registry.Maintainer, start.Add(time.Hour))
		w.member(ada, 0, p.ID, registry.Guest, start.Add(2*time.Hour))
		long, _ := w.personal(ada, registry.ScopeAPI)
		short, _ := w.token(registry.Token{Kind: registry.PersonalToken, UserID: ada.ID, Scopes: []string{registry.ScopeAPI}, ExpiresAt: start.Add(90 * time.Minute)})
		v := w.now()
		ask := func(text string, action access.Action) string {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("PRIVATE-TOKEN", text)
			c, err := v.Caller(r)
			if err == nil {
				err = v.Authorize(c, p, action)
			}
			return outcome(err)
		}
		for _, step := range []struct {
			at          time.Duration
			text        string
			read, write string
		}{
			{0, long, "yes", "yes"},
			{0, short, "yes", "yes"},
			{time.Hour - time.Millisecond, long, "yes", "yes"},
			{time.Hour, long, "yes", "403"}, // at this moment the membership ends
			{time.Hour, short, "yes", "403"},
			{90*time.Minute - time.Millisecond, short, "yes", "403"},
			{90 * time.Minute, short, "401", "401"},
			{90 * time.Minute, long, "yes", "403"},
			{2 * time.Hour, long, "404", "404"},
			{1000 * time.Hour, long, "404", "404"},
		} {
			time.Sleep(time.Until(start.Add(step.at)))
			if got := ask(step.text, access.Read); got != step.read {
				t.Errorf("after %v: read %s, want %s", step.at, got, step.read)
			}
			if got := ask(step.text, access.Delete); got != step.write {
				t.Errorf("after %v: delete %s, want %s", step.at, got, step.write)
			}
		}
	})
}

func TestViews(t *testing.T) {
	w := newWorld(t)
	first := w.gate.At(5)
	if w.gate.At(5) != first || w.gate.At(4) != first {
		t.Error("what was read later than asked for is not used")
	}
	second := w.gate.At(6)
	if second == first || w.gate.At(5) != second {
		t.Error("a later revision has no view of its own")
	}
	w.store.fail = &registry.Error{Kind: registry.Unavailable}
	broken := &failing{w.store}
	if _, err := access.NewGate(broken).Now(t.Context()); registry.KindOf(err) != registry.Unavailable {
		t.Errorf("without a database: %v", err)
	}
}

type failing struct{ *counting }

func (f *failing) AccessRevision(context.Context) (int64, error) { return 0, f.fail }

func TestFlushUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.store.Close()
		text, id := w.personal(w.user("ada"), registry.ScopeAPI)
		use := func() time.Time {
			t.Helper()
			if _, err := w.caller(text); err != nil {
				t.Fatal(err)
			}
			return time.Now().UTC()
		}
		flush := func() time.Time {
			t.Helper()
			if err := w.gate.FlushUsed(t.Context()); err != nil {
				t.Fatal(err)
			}
			var token *registry.Token
			w.write(func(tx registry.Tx) (err error) {
				token, err = tx.Token(id)
				return err
			})
			return token.LastUsedAt
		}
		if got := flush(); !got.IsZero() {
			t.Errorf("a token that was not used was used at %v", got)
		}
		first := use()
		if got := flush(); !got.Equal(first) {
			t.Errorf("used at %v, want %v", got, first)
		}
		revision, err := w.store.AccessRevision(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		time.Sleep(30 * time.Second)
		use()
		if got := flush(); !got.Equal(first) {
			t.Errorf("written again within a minute: %v", got)
		}
		time.Sleep(time.Minute)
		later := use()
		// A write that fails is made up for.
		w.store.fail = errors.New("the disk is full")
		if err := w.gate.FlushUsed(t.Context()); !errors.Is(err, w.store.fail) {
			t.Errorf("FlushUsed: %v, want the store's error", err)
		}
		w.store.fail = nil
		if got := flush(); !got.Equal(later) {
			t.Errorf("after a write that failed: %v, want %v", got, later)
		}
		if after, err := w.store.AccessRevision(t.Context()); err != nil || after != revision {
			t.Errorf("the access revision went from %d to %d, %v", revision, after, err)
		}
	})
}
