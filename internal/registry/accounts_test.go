package registry_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"packhouse/internal/database"
	"packhouse/internal/registry"
)

func newRegistry(t *testing.T) *registry.Registry {
	t.Helper()
	db, err := database.Open(t.Context(), filepath.Join(t.TempDir(), "packhouse.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &registry.Registry{Store: db}
}

func wantKind(t *testing.T, what string, err error, want registry.Kind) {
	t.Helper()
	if err == nil || registry.KindOf(err) != want {
		t.Errorf("%s: %v, want kind %d", what, err, want)
	}
}

func TestValidPath(t *testing.T) {
	for _, test := range []struct {
		path     string
		below    bool // valid below a group
		atTheTop bool
	}{
		{"a", true, true},
		{"group", true, true},
		{"My-Group_2.0", true, true},
		{"2", true, true},
		{"_x", true, true},
		{".x", true, true},
		{"x-", true, true},
		{"x--y", true, true},
		{"git", true, true},
		{"x.gitx", true, true},
		{"-x", false, false},
		{"-", false, false},
		{"", false, false},
		{".", false, false},
		{"..", false, false},
		{"x.", false, false},
		{"x..y", false, false},
		{"x.git", false, false},
		{"x.GIT", false, false},
		{"x.atom", false, false},
		{"a/b", false, false},
		{`a\b`, false, false},
		{"a b", false, false},
		{"a%2fb", false, false},
		{"a+b", false, false},
		{"a@b", false, false},
		{"a\n", false, false},
		{"a\x00", false, false},
		{"größe", false, false},
		{"\xff", false, false},
		{strings.Repeat("x", 255), true, true},
		{strings.Repeat("x", 256), false, false},
		// The server's own.
		{"api", true, false},
		{"API", true, false},
		{"groups", true, false},
		{"projects", true, false},
		{"login", true, false},
		{"metrics", true, false},
		{"apis", true, true},
	} {
		for top, want := range map[bool]bool{false: test.below, true: test.atTheTop} {
			err := registry.ValidPath(test.path, top)
			if (err == nil) != want {
				t.Errorf("ValidPath(%.20q, %t) = %v", test.path, top, err)
			}
			if err != nil && (registry.KindOf(err) != registry.Invalid || registry.MessageOf(err) == "") {
				t.Errorf("ValidPath(%.20q, %t) is of kind %d: %v", test.path, top, registry.KindOf(err), err)
			}
		}
	}
}

func TestHashPassword(t *testing.T) {
	for password, valid := range map[string]bool{
		"": false, "1234567": false, "12345678": true, strings.Repeat("x", 72): true, strings.Repeat("x", 73): false, "größe größe": true,
	} {
		hash, err := registry.HashPassword(password)
		if (err == nil) != valid || err == nil && strings.Contains(hash, password) {
			t.Errorf("password of %d bytes: %v", len(password), err)
		}
		if err != nil {
			wantKind(t, "password", err, registry.Invalid)
		}
	}
}

// address is one that nobody tried to sign in from, since the server remembers.
func address() string { return rand.Text() }

func TestFirstStart(t *testing.T) {
	r := newRegistry(t)
	find := func(f func(tx registry.Tx) error) error { return r.Store.Read(t.Context(), f) }

	// What cannot be used leaves the server as new as it was.
	_, _, err := r.FirstStart(t.Context(), "short", "")
	wantKind(t, "a short password", err, registry.Invalid)
	typo := registry.NewTokenText(registry.PersonalToken)
	typo = typo[:10] + strings.Map(func(c rune) rune { return c ^ 1 }, typo[10:11]) + typo[11:]
	_, _, err = r.FirstStart(t.Context(), "", typo)
	wantKind(t, "a token with a typo", err, registry.Invalid)
	_, _, err = r.FirstStart(t.Context(), "", "php_mine")
	wantKind(t, "a token that only looks like one", err, registry.Invalid)
	if err := find(func(tx registry.Tx) error {
		if n, err := tx.CountUsers(); n != 0 || err != nil {
			t.Errorf("%d users, %v", n, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	password, token, err := r.FirstStart(t.Context(), "", "")
	if err != nil || len(password) < 20 || !registry.PlausibleToken(token) || !strings.HasPrefix(token, "php_") {
		t.Fatalf("password %q, token %q, %v", password, token, err)
	}
	root, err := r.SignIn(t.Context(), address(), "root", password)
	if err != nil || !root.Admin || root.State != registry.Active || root.Bot || root.External {
		t.Fatalf("signed in: %+v, %v", root, err)
	}
	err = find(func(tx registry.Tx) error {
		stored, err := tx.TokenByHash(registry.HashToken(token))
		if err == nil && (stored.UserID != root.ID || !stored.Active(time.Now()) || !stored.HasScope(registry.ScopeAPI)) {
			t.Errorf("token: %+v", stored)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	// The second start is none, whatever it is given.
	for _, given := range [][2]string{{"", ""}, {"another password", "another token"}, {"short", "php_mine"}} {
		newPassword, newToken, err := r.FirstStart(t.Context(), given[0], given[1])
		if newPassword != "" || newToken != "" || err != nil {
			t.Errorf("started again: %q, %q, %v", newPassword, newToken, err)
		}
	}
	_, err = r.SignIn(t.Context(), address(), "root", "another password")
	wantKind(t, "signing in with the second start's password", err, registry.Unauthenticated)
	wantKind(t, "the second start's token", find(func(tx registry.Tx) error {
		_, err := tx.TokenByHash(registry.HashToken("another token"))
		return err
	}), registry.NotFound)
}

func TestFirstStartWithChoice(t *testing.T) {
	generated := registry.NewTokenText(registry.PersonalToken)
	for _, token := range []string{"chosen-token", generated} {
		r := newRegistry(t)
		newPassword, newToken, err := r.FirstStart(t.Context(), "chosen password", token)
		if newPassword != "" || newToken != "" || err != nil {
			t.Errorf("what was chosen is told again: %q, %q, %v", newPassword, newToken, err)
		}
		if _, err := r.SignIn(t.Context(), address(), "ROOT", "chosen password"); err != nil {
			t.Error(err)
		}
		err = r.Store.Read(t.Context(), func(tx registry.Tx) error {
			_, err := tx.TokenByHash(registry.HashToken(token))
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestSignIn(t *testing.T) {
	r := newRegistry(t)
	hash, err := registry.HashPassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	err = r.Store.Write(t.Context(), func(tx registry.Tx) error {
		for _, user := range []registry.User{
			{Username: "ada", PasswordHash: hash},
			{Username: "nopassword"},
			{Username: "blocked", PasswordHash: hash, State: registry.Blocked},
			{Username: "bot", PasswordHash: hash, Bot: true},
		} {
			if err := tx.CreateUser(&user); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		username, password string
		want               bool
	}{
		{"ada", "correct horse", true},
		{"ADA", "correct horse", true},
		{"ada", "Correct horse", false},
		{"ada", "", false},
		{"nobody", "correct horse", false},
		{"nopassword", "", false},
		{"blocked", "correct horse", false},
		{"bot", "correct horse", false},
	} {
		user, err := r.SignIn(t.Context(), address(), test.username, test.password)
		if (user != nil) != test.want || user != nil && user.Username != "ada" {
			t.Errorf("%s with %q: %+v, %v", test.username, test.password, user, err)
		}
		if !test.want {
			wantKind(t, test.username+" with "+test.password, err, registry.Unauthenticated)
			if got := registry.MessageOf(err); got != "Incorrect username or password" {
				t.Errorf("%s with %q: %q tells what was wrong", test.username, test.password, got)
			}
		}
	}
}

// away is a store that does not answer, so that an attempt that is let through ends before the password is checked.
type away struct{ registry.Store }

func (away) Read(context.Context, func(registry.Tx) error) error {
	return registry.Errorf(registry.Unavailable, "away")
}

func TestSignInIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in which time stands still
		r := &registry.Registry{Store: away{}}
		host := address()
		try := func(what, from string, want registry.Kind) {
			t.Helper()
			_, err := r.SignIn(t.Context(), from, "nobody", "guess")
			wantKind(t, what, err, want)
		}
		for i := range 20 {
			try("a guess", fmt.Sprintf("%s:%d", host, 1000+i), registry.Unavailable) // another port is the same address
		}
		try("one guess too many", host, registry.Limited)
		try("somebody else's guess", address(), registry.Unavailable)
		time.Sleep(3 * time.Second)
		try("a guess later", host, registry.Unavailable)
		try("and another one", host, registry.Limited)
	})
}

func TestIssueToken(t *testing.T) {
	r := newRegistry(t)
	user := &registry.User{Username: "ada"}
	project := &registry.Project{Path: "p", Visibility: registry.Private, RegistryAccess: registry.RegistryEnabled}
	err := r.Store.Write(t.Context(), func(tx registry.Tx) error {
		if err := tx.CreateUser(user); err != nil {
			return err
		}
		project.NamespaceID = user.NamespaceID
		return tx.CreateProject(project)
	})
	if err != nil {
		t.Fatal(err)
	}
	stored := func(text string) (token *registry.Token) {
		t.Helper()
		err := r.Store.Read(t.Context(), func(tx registry.Tx) (err error) {
			token, err = tx.TokenByHash(registry.HashToken(text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := &registry.Token{Kind: registry.PersonalToken, Name: "mine", UserID: user.ID, Scopes: []string{registry.ScopeAPI}}
	text, err := r.IssueToken(t.Context(), token)
	if err != nil || token.ID == 0 {
		t.Fatalf("%+v, %v", token, err)
	}
	if got := stored(text); got.ID != token.ID || got.Name != "mine" || got.UserID != user.ID {
		t.Errorf("token: %+v", got)
	}

	pipeline := &registry.Pipeline{ProjectID: project.ID, UserID: user.ID, Ref: "main"}
	ends := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	text, err = r.JobToken(t.Context(), pipeline, ends)
	if err != nil || !strings.HasPrefix(text, "phj_") {
		t.Fatalf("%q, %v", text, err)
	}
	if got := stored(text); got.Kind != registry.JobToken || got.UserID != user.ID || got.ProjectID != project.ID || got.PipelineID != pipeline.ID || !got.ExpiresAt.Equal(ends) {
		t.Errorf("job token: %+v", got)
	}
}
