package registry

import (
	"context"
	"crypto/rand"
	"maps"
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

// maxKeys bounds the memory of a limiter.
const maxKeys = 100_000

// allow lets a key go burst times at once, and then once in each interval.
func (l *limiter) allow(key string, interval time.Duration, burst int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = map[string]*rate.Limiter{}
	}
	if l.keys[key] == nil {
		if len(l.keys) >= maxKeys { // those who have waited long enough begin anew either way
			maps.DeleteFunc(l.keys, func(_ string, each *rate.Limiter) bool { return each.Tokens() >= float64(each.Burst()) })
		}
		if len(l.keys) >= maxKeys {
			return false
		}
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

// HostOf takes the port off an address.
func HostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

var errTooMany = Errorf(Limited, "Too many attempts to sign in. Try again in a minute.")

var errSignIn = Errorf(Unauthenticated, "Incorrect username or password")

// SignIn returns the user with that name and password, and otherwise Unauthenticated, whatever was wrong. Too many
// attempts from an address (with or without a port) are Limited.
func (r *Registry) SignIn(ctx context.Context, address, username, password string) (*User, error) {
	address = HostOf(address)
	if len(username) > 255 {
		return nil, errSignIn
	}
	// One name is tried slowly; an address may be that of an office, or of a proxy in front of everybody.
	// The address is asked first, so that it cannot fill the other limiter with names.
	if !r.triesOfAddress.allow(address, 100*time.Millisecond, 200) || !r.triesOfName.allow(address+" "+strings.ToLower(username), 3*time.Second, 20) {
		return nil, errTooMany
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
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || user == nil || user.Bot {
		return nil, errSignIn
	}
	BySignIn(ctx, user)
	switch user.State {
	case Active:
		return user, nil
	case Deactivated:
		return r.reactivate(ctx, user.ID)
	}
	return nil, errSignIn
}

// reactivate lets a user who was deactivated, and has shown their password, come in again.
func (r *Registry) reactivate(ctx context.Context, id int64) (user *User, err error) {
	err = r.Store.Write(ctx, func(tx Tx) error {
		if user, err = tx.User(id); err != nil {
			return err
		}
		if user.State != Deactivated { // meanwhile
			return errSignIn
		}
		user.State = Active
		if err := tx.UpdateUser(user); err != nil {
			return err
		}
		return tx.Record(&Event{Name: UserChanged, OfUserID: id, Target: user.Username, Detail: "active"})
	})
	return user, err
}

// loginLife is how long a sign-in waits for the browser.
const loginLife = 10 * time.Minute

// BeginLogin notes that a client at an address wants somebody to sign in. secret is for the client, to ask for the
// token with; hash names the sign-in to the person, and opens nothing. Too many from an address are Limited.
func (r *Registry) BeginLogin(ctx context.Context, address string) (secret string, hash []byte, err error) {
	address = HostOf(address)
	if !r.triesOfAddress.allow(address, 100*time.Millisecond, 200) {
		return "", nil, errTooMany
	}
	secret = rand.Text()
	hash = HashToken(secret)
	return secret, hash, r.Store.Write(ctx, func(tx Tx) error {
		return tx.CreateLogin(&Login{Hash: hash, Address: address, ExpiresAt: time.Now().Add(loginLife)})
	})
}

// FinishLogin makes the token of a sign-in that a person has approved, once, and returns its text; before that, it
// returns none. It returns NotFound for one that is over.
func (r *Registry) FinishLogin(ctx context.Context, secret string, token *Token) (text string, err error) {
	hash := HashToken(secret)
	var login *Login
	look := func(tx Tx) (err error) {
		login, err = tx.Login(hash)
		return err
	}
	if err := r.Store.Read(ctx, look); err != nil || login.UserID == 0 { // asked every second, mostly in vain
		return "", err
	}
	text = NewTokenText(token.Kind)
	return text, r.Store.Write(ctx, func(tx Tx) error {
		if err := look(tx); err != nil {
			return err
		}
		if err := tx.DeleteLogin(hash); err != nil {
			return err
		}
		user, err := tx.User(login.UserID)
		if err != nil {
			return err
		}
		if user.State != Active { // since they signed in
			return Errorf(NotFound, "404 Not found")
		}
		BySignIn(ctx, user)
		token.UserID = user.ID
		return issue(tx, token, text)
	})
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
		root := &User{Username: "root", Name: "Administrator", PasswordHash: hash, Admin: true, Temporary: password == ""}
		if err := tx.CreateUser(root); err != nil {
			return err
		}
		if err := tx.Record(&Event{Name: UserCreated, OfUserID: root.ID, Target: root.Username, Detail: "at the first start"}); err != nil {
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
	case scheduledPath.MatchString(lower): // whoever had it would keep another place from being deleted
		return Errorf(Invalid, "cannot end like the path of what is marked for deletion")
	case top && slices.Contains(reservedPaths, lower):
		return Errorf(Invalid, "%s is a reserved name", path)
	}
	return nil
}
