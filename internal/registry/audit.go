package registry

import (
	"context"
	"time"
)

// Actor is on whose behalf something is done. It travels in the context of a request, so that no function on the way
// has to hand it on; work in the background has none.
type Actor struct {
	UserID  int64     // 0: nobody, or a deploy token
	TokenID int64     // 0: nobody, or a password
	Kind    TokenKind // of the token
	Name    string    // of the user or the deploy token
	Sudo    string    // the administrator who acts as the user; empty: nobody
	Address string    // without a port
}

type actorKey struct{}

// WithActor lets ActorOf find the actor. Its fields are filled in once it is known who asks.
func WithActor(ctx context.Context, actor *Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorOf is the actor of a context, or nil.
func ActorOf(ctx context.Context) *Actor {
	actor, _ := ctx.Value(actorKey{}).(*Actor)
	return actor
}

// BySignIn notes in the context that its actor is somebody who has just shown their password.
func BySignIn(ctx context.Context, user *User) {
	if actor := ActorOf(ctx); actor != nil && actor.UserID == 0 && actor.TokenID == 0 {
		actor.UserID, actor.Name = user.ID, user.Username
	}
}

// Event is a line of the audit log: an actor did something to a target. Tx.Record writes it in the transaction of the
// change itself, so that there is never the one without the other.
type Event struct {
	ID        int64
	CreatedAt time.Time
	Name      string // see the constants
	ProjectID int64  // one of ProjectID and GroupID is set, or neither: the server as a whole
	GroupID   int64
	OfUserID  int64  // of neither: the user whom it is about
	Path      string // of the project, group or user as it was then; Record finds it out
	Target    string // what it was done to, as people name it: "npm @acme/hello 1.0.0"
	Detail    string // what else there is to know: "developer, until 2026-01-31"
	Actor
}

// Names of events.
const (
	PackagePublished   = "package_registry_package_published"
	PackageDeleted     = "package_registry_package_deleted"
	PackageChanged     = "package_changed" // deprecated, tagged, yanked
	PackageFileDeleted = "package_file_deleted"
	CleanupRequested   = "package_cleanup_requested"
	UserCreated        = "user_created"
	UserChanged        = "user_changed"
	UserDeleted        = "user_deleted"
	GroupCreated       = "group_created"
	GroupChanged       = "group_changed"
	GroupDeleted       = "group_deleted" // or marked for it
	GroupRestored      = "group_restored"
	ProjectCreated     = "project_created"
	ProjectChanged     = "project_changed"
	ProjectDeleted     = "project_deleted" // or marked for it
	ProjectRestored    = "project_restored"
	MemberAdded        = "member_added"
	MemberChanged      = "member_changed"
	MemberRemoved      = "member_removed"
	TokenCreated       = "token_created"
	TokenRotated       = "token_rotated"
	TokenRevoked       = "token_revoked"
	SettingsChanged    = "settings_changed"
	NotPublished       = "package_not_published" // what was pushed, where it should have been published
	RepositoryChanged  = "repository_changed"    // branches and tags
)

// ForgetEvents removes the events before a moment, in small transactions between which others have their turn.
func (r *Registry) ForgetEvents(ctx context.Context, before time.Time) error {
	for more := true; more; {
		err := r.Store.Write(ctx, func(tx Tx) (err error) {
			more, err = tx.DeleteEvents(before)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// EventFilter selects events; zero values but Limit do not restrict.
type EventFilter struct {
	ProjectID int64
	GroupID   int64
	OfUserID  int64
	Projects  bool // only events of projects
	Groups    bool // only events of groups
	Users     bool // only events of users
	After     time.Time
	Before    time.Time
	BeforeID  int64 // 0: from the newest
	NoTotal   bool
	Limit     int
	Offset    int
}
