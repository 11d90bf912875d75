package registry

import (
	"context"
	"crypto/rand"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/time/rate"
)

// signIns bounds how many passwords are checked at once: each takes a core for some 50 ms on purpose.
var signIns = make(chan struct{}, 2)

// limiter bounds how fast each of many keys may go.
type limiter struct {
	mu   sync.Mutex
	keys map[string]*rate.Limiter
}

// allow lets a key go burst times at once, and then once in each interval.
func (l *limiter) allow(key string, interval time.Duration, burst int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil || len(l.keys) > 10_000 { // a bound on memory; forgetting lets everybody begin anew
		l.keys = map[string]*rate.Limiter{}
	}
	if l.keys[key] == nil {
		l.keys[key] = rate.NewLimiter(rate.Every(interval), burst)
	}
	return l.keys[key].Allow()
}

// passwordCost of bcrypt.
const passwordCost = 10

// noPassword stands in for the hash of users who do not exist, so that trying a name takes as long either way.
var noPassword, _ = bcrypt.GenerateFromPassword([]byte(rand.Text()), passwordCost)

// HashPassword returns the bcrypt hash of a password. It returns Invalid for one that bcrypt cannot hold or that is
// too short to be one.
func HashPassword(password string) (string, error) {
	if len(password) < 8 {
		return "", Errorf(Invalid, "Password is too short (minimum is 8 characters)")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), passwordCost)
	if err != nil {
		return "", Errorf(Invalid, "Password is too long (maximum is 72 bytes)")
	}
	return string(hash), nil
}

var errSignIn = Errorf(Unauthenticated, "Incorrect username or password")

// SignIn returns the user with that name and password, and otherwise Unauthenticated, whatever was wrong. Too many
// attempts from an address (with or without a port) are Limited.
func (r *Registry) SignIn(ctx context.Context, address, username, password string) (*User, error) {
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	if len(username) > 255 {
		return nil, errSignIn
	}
	// One name is tried slowly; an address may be that of an office, or of a proxy in front of everybody.
	if !r.triesOfName.allow(address+" "+strings.ToLower(username), 3*time.Second, 20) || !r.triesOfAddress.allow(address, 100*time.Millisecond, 200) {
		return nil, Errorf(Limited, "Too many attempts to sign in. Try again in a minute.")
	}
	var user *User
	err := r.Store.Read(ctx, func(tx Tx) (err error) {
		user, err = tx.UserByUsername(username)
		return err
	})
	if kind := KindOf(err); err != nil && kind != NotFound && kind != Invalid { // Invalid: a name that is no text
		return nil, err
	}
	hash := noPassword
	if user != nil && user.PasswordHash != "" {
		hash = []byte(user.PasswordHash)
	}
	select {
	case signIns <- struct{}{}:
		defer func() { <-signIns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || user == nil || user.Blocked || user.Bot {
		return nil, errSignIn
	}
	return user, nil
}

// IssueToken stores a token and returns its text, which cannot be had again. The token's kind, holder and scopes are
// set by the caller.
func (r *Registry) IssueToken(ctx context.Context, token *Token) (text string, err error) {
	text = NewTokenText(token.Kind)
	token.Hash = HashToken(text)
	return text, r.Store.Write(ctx, func(tx Tx) error { return tx.CreateToken(token) })
}

// FirstStart creates the administrator root when there is no user yet. An empty password or token is generated and
// returned; both are empty when they were given or there was nothing to do. A password or token that cannot be one is
// Invalid.
func (r *Registry) FirstStart(ctx context.Context, password, token string) (newPassword, newToken string, err error) {
	err = r.Store.Write(ctx, func(tx Tx) error {
		newPassword, newToken = "", ""
		if n, err := tx.CountUsers(); err != nil || n > 0 {
			return err
		}
		chosenPassword, chosenToken := password, token
		if token != "" && !PlausibleToken(token) {
			return Errorf(Invalid, "the token begins like a generated one, and its checksum is wrong")
		}
		if password == "" {
			newPassword = rand.Text()
			chosenPassword = newPassword
		}
		if token == "" {
			newToken = NewTokenText(PersonalToken)
			chosenToken = newToken
		}
		hash, err := HashPassword(chosenPassword)
		if err != nil {
			return err
		}
		root := &User{Username: "root", Name: "Administrator", PasswordHash: hash, Admin: true}
		if err := tx.CreateUser(root); err != nil {
			return err
		}
		return tx.CreateToken(&Token{Kind: PersonalToken, Name: "first start", UserID: root.ID, Scopes: []string{ScopeAPI}, Hash: HashToken(chosenToken)})
	})
	if KindOf(err) == Conflict {
		// Another node, which started at the same moment, was first.
		return "", "", r.Store.Read(ctx, func(tx Tx) error {
			if n, readErr := tx.CountUsers(); readErr != nil || n > 0 {
				return readErr
			}
			return err
		})
	}
	if err != nil {
		return "", "", err
	}
	return newPassword, newToken, nil
}

// pathPattern is what GitLab allows in a segment of a path.
var pathPattern = regexp.MustCompile(`^[a-zA-Z0-9_.][a-zA-Z0-9_.-]*$`)

// reservedPaths are top-level segments that are the server's own.
var reservedPaths = []string{"-", "api", "assets", "groups", "explore", "admin", "dashboard", "help", "login", "metrics", "profile", "projects", "search", "users", "v2"}

// ValidPath checks one segment of a path of a user, group or project.
func ValidPath(path string, top bool) error {
	lower := strings.ToLower(path)
	switch {
	case len(path) > 255:
		return Errorf(Invalid, "is too long (maximum is 255 characters)")
	case !pathPattern.MatchString(path), strings.HasSuffix(path, "."), strings.HasSuffix(lower, ".git"), strings.HasSuffix(lower, ".atom"), strings.Contains(path, ".."), path == ".":
		return Errorf(Invalid, "can contain only letters, digits, '_', '-' and '.'. Cannot start with '-' or end in '.', '.git' or '.atom'")
	case top && slices.Contains(reservedPaths, lower):
		return Errorf(Invalid, "%s is a reserved name", path)
	}
	return nil
}

// JobToken makes the token of a CI job and the pipeline that what it publishes belongs to.
func (r *Registry) JobToken(ctx context.Context, pipeline *Pipeline, expires time.Time) (text string, err error) {
	text = NewTokenText(JobToken)
	err = r.Store.Write(ctx, func(tx Tx) error {
		if err := tx.CreatePipeline(pipeline); err != nil {
			return err
		}
		return tx.CreateToken(&Token{Kind: JobToken, Name: "job", UserID: pipeline.UserID, ProjectID: pipeline.ProjectID, PipelineID: pipeline.ID,
			Hash: HashToken(text), ExpiresAt: expires})
	})
	return text, err
}
