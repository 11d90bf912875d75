package registry

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Visibility says who may know of a project or group. The values order by openness.
type Visibility string

// The visibilities, as GitLab names them.
const (
	Private  Visibility = "private"  // members
	Internal Visibility = "internal" // every signed-in user who is not external
	Public   Visibility = "public"   // everyone
)

var visibilities = []Visibility{Private, Internal, Public}

// Valid tells whether v is one of the three.
func (v Visibility) Valid() bool { return slices.Contains(visibilities, v) }

// Exceeds tells whether v is more open than limit.
func (v Visibility) Exceeds(limit Visibility) bool {
	return slices.Index(visibilities, v) > slices.Index(visibilities, limit)
}

// Level is an access level, with GitLab's numbers.
type Level int

// The access levels.
const (
	NoAccess   Level = 0
	Minimal    Level = 5
	Guest      Level = 10
	Planner    Level = 15
	Reporter   Level = 20
	Developer  Level = 30
	Maintainer Level = 40
	Owner      Level = 50
	Admin      Level = 60 // administrators of the whole server; no membership has it
)

// String is the level's name, for people.
func (l Level) String() string {
	switch l {
	case Minimal:
		return "minimal access"
	case Guest:
		return "guest"
	case Planner:
		return "planner"
	case Reporter:
		return "reporter"
	case Developer:
		return "developer"
	case Maintainer:
		return "maintainer"
	case Owner:
		return "owner"
	case Admin:
		return "administrator"
	}
	return "no access"
}

// Grantable tells whether a membership may have this level.
func (l Level) Grantable() bool {
	switch l {
	case Minimal, Guest, Planner, Reporter, Developer, Maintainer, Owner:
		return true
	}
	return false
}

// UserState says whether a user may come in. The zero value is an active user.
type UserState string

// The states of a user, as GitLab names them but for the first.
const (
	Active      UserState = ""
	Blocked     UserState = "blocked"
	Banned      UserState = "banned"
	Deactivated UserState = "deactivated" // until they sign in with their password
)

func (s UserState) String() string {
	if s == Active {
		return "active"
	}
	return string(s)
}

// User is a person or a bot.
type User struct {
	ID           int64
	Username     string // unique without regard to case; also the path of the user's own namespace
	Name         string
	Email        string
	PasswordHash string // bcrypt; empty: cannot sign in with a password
	Admin        bool
	External     bool // sees internal projects only as a member
	Bot          bool
	State        UserState
	NamespaceID  int64
	CreatedAt    time.Time
	Language     string // of the pages: a BCP 47 tag; empty: as the browser says
	Theme        string // of the pages: light, dark; empty: as the browser says
	Temporary    bool   // the password was generated; whoever signs in with it chooses another one first
}

// Settles tells whether the user may have groups and projects of their own; others work in those of others.
func (u *User) Settles() bool { return !u.External && !u.Bot }

// Group is a namespace: a group, a subgroup, or the personal namespace of a user.
type Group struct {
	ID          int64
	ParentID    int64 // 0 at the top
	OwnerID     int64 // the user of a personal namespace; 0 for groups
	Name        string
	Path        string // last segment of FullPath
	FullPath    string
	Description string
	Visibility  Visibility
	CreatedAt   time.Time
	MarkedAt    time.Time // for deletion; zero: not
	HiddenAt    time.Time // when it, or something above it, was marked for deletion; zero: not

	// Lineage is the ids of the namespaces from the top down to this one, itself included.
	Lineage []int64
}

// Hidden tells whether only owners may know of g, because it or a group above it is marked for deletion.
func (g *Group) Hidden() bool { return !g.HiddenAt.IsZero() }

// Personal tells whether g is the namespace of a user.
func (g *Group) Personal() bool { return g.OwnerID != 0 }

// RegistryAccess is a project's package_registry_access_level.
type RegistryAccess string

// The values of RegistryAccess, as GitLab names them.
const (
	RegistryDisabled RegistryAccess = "disabled" // nobody reads or writes packages
	RegistryPrivate  RegistryAccess = "private"  // members only
	RegistryEnabled  RegistryAccess = "enabled"  // as the project's visibility says
	RegistryPublic   RegistryAccess = "public"   // everyone may pull, also from a private project
)

// Valid tells whether a is one of the four.
func (a RegistryAccess) Valid() bool {
	return slices.Contains([]RegistryAccess{RegistryDisabled, RegistryPrivate, RegistryEnabled, RegistryPublic}, a)
}

// Project owns packages.
type Project struct {
	ID             int64
	NamespaceID    int64
	CreatorID      int64
	Name           string
	Path           string // last segment of FullPath
	FullPath       string
	Description    string
	Visibility     Visibility
	RegistryAccess RegistryAccess
	Archived       bool
	CreatedAt      time.Time
	UpdatedAt      time.Time
	MarkedAt       time.Time // for deletion; zero: not
	HiddenAt       time.Time // when it, or something above it, was marked for deletion; zero: not

	// Lineage is the ids of the namespaces above the project, from the top down.
	Lineage []int64
}

// Hidden tells whether only owners may know of p, because it or a group above it is marked for deletion.
func (p *Project) Hidden() bool { return !p.HiddenAt.IsZero() }

// RootID is the id of the project's top-level namespace.
func (p *Project) RootID() int64 { return p.Lineage[0] }

// RootPath is the path of the project's top-level namespace.
func (p *Project) RootPath() string {
	root, _, _ := strings.Cut(p.FullPath, "/")
	return root
}

// Member grants a user a level in a project or a group.
type Member struct {
	UserID    int64
	GroupID   int64 // one of GroupID and ProjectID is set
	ProjectID int64
	Level     Level
	ExpiresAt time.Time // zero: never; at this moment the membership ends
	CreatedAt time.Time
}

// Terms says how high the membership is and until when, for people.
func (m *Member) Terms() string { return m.Level.String() + until(m.ExpiresAt) }

// Standing is a user's effective level, and when the first of the memberships that it comes from ends; zero: never.
type Standing struct {
	Level Level
	Until time.Time
}

// TokenKind tells what a token stands for.
type TokenKind string

// The kinds of token, each with the prefix of its text.
const (
	PersonalToken TokenKind = "personal" // php_ : a user
	DeployToken   TokenKind = "deploy"   // phd_ : a project or a group tree, no user
	JobToken      TokenKind = "job"      // phj_ : a user, for one project, while a CI job runs
	ResourceToken TokenKind = "resource" // phg_ : the bot user of a project or group
)

// The scopes that matter to a package registry.
const (
	ScopeAPI          = "api"
	ScopeReadAPI      = "read_api"
	ScopeReadUser     = "read_user"
	ScopeReadPackage  = "read_package_registry"
	ScopeWritePackage = "write_package_registry"
	ScopeSudo         = "sudo"        // of administrators: act as somebody else
	ScopeSelfRotate   = "self_rotate" // rotate the token itself

	ScopeReadRepository  = "read_repository"
	ScopeWriteRepository = "write_repository"
)

// Token is a credential. Its text is shown once, when it is made; only the hash is stored.
type Token struct {
	ID            int64
	Kind          TokenKind
	Name          string
	Description   string
	Username      string // deploy tokens: the user name shown with it
	UserID        int64  // 0 for deploy tokens; of resource tokens, the bot
	GroupID       int64  // deploy and resource tokens of a group
	ProjectID     int64  // deploy, resource and job tokens of a project
	PipelineID    int64  // job tokens
	Level         Level  // resource tokens: of the bot
	FamilyID      int64  // the first of a line of tokens that were rotated one into the next; 0: this one
	Impersonation bool   // a personal token that an administrator made to act as the user
	Scopes        []string
	Hash          []byte // SHA-256 of the text
	Revoked       bool
	CreatedAt     time.Time
	ExpiresAt     time.Time // zero: never
	LastUsedAt    time.Time // zero: never
}

// Login is the user name that goes with a deploy token.
func (t *Token) Login() string {
	if t.Username != "" {
		return t.Username
	}
	return "gitlab+deploy-token-" + strconv.FormatInt(t.ID, 10)
}

// HasScope tells whether the token carries one of the scopes.
func (t *Token) HasScope(scopes ...string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(t.Scopes, s) })
}

// Title names the token to people.
func (t *Token) Title() string { return string(t.Kind) + " token " + t.Name }

// Terms says what the token opens and until when, for people.
func (t *Token) Terms() string {
	terms := strings.Join(t.Scopes, " ")
	if t.Level != NoAccess {
		terms += " as " + t.Level.String()
	}
	return terms + until(t.ExpiresAt)
}

// until is the end of something, for people; nothing for what never ends.
func until(end time.Time) string {
	if end.IsZero() {
		return ""
	}
	return ", until " + end.UTC().Format(time.DateOnly)
}

// Active tells whether the token may be used at now.
func (t *Token) Active(now time.Time) bool {
	return !t.Revoked && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

// Session is a person in a browser. The browser holds its secret, of which only the hash is stored.
type Session struct {
	ID         int64
	Hash       []byte // SHA-256 of the secret
	UserID     int64
	Address    string // from where it began, without a port
	Agent      string // what the browser said it was then
	CreatedAt  time.Time
	LastUsedAt time.Time // a minute late at most
	ExpiresAt  time.Time // moves on with each use
}

// Type is the format of a package, with the names of GitLab's package_type.
type Type string

// The formats.
const (
	NPM      Type = "npm"
	PyPI     Type = "pypi"
	NuGet    Type = "nuget"
	Composer Type = "composer"
	Maven    Type = "maven"
	Conan    Type = "conan"
	Generic  Type = "generic"
)

// Number is GitLab's number of the format, by which lists order formats.
func (t Type) Number() int { return typeNumbers[t] }

var typeNumbers = map[Type]int{Maven: 1, NPM: 2, Conan: 3, NuGet: 4, PyPI: 5, Composer: 6, Generic: 7}

// Status of a package or file, with GitLab's numbers.
type Status int

// Listed are the statuses of packages that lists show unless another is asked for.
var Listed = []Status{Default, Failed, Deprecated}

// The statuses.
const (
	Default            Status = 0
	Hidden             Status = 1 // downloadable, not listed
	Processing         Status = 2
	Failed             Status = 3
	PendingDestruction Status = 4 // gone for every reader, to be removed in the background
	Deprecated         Status = 5
)

var statusNames = []string{"default", "hidden", "processing", "error", "pending_destruction", "deprecated"}

func (s Status) String() string { return statusNames[s] }

// Entry is one name of one format in one project: what an index document (packument, simple page, …) is about. Its
// revision grows with each change of what such a document shows, and never falls, also when all versions are gone.
type Entry struct {
	ID        int64
	ProjectID int64
	Type      Type
	Name      string // in the format's canonical spelling
	Revision  int64
	LatestID  int64 // package shown as the latest version; 0 when there is none
	Listed    Kinds // of its listed versions
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Package is one version of a name.
type Package struct {
	ID               int64
	ProjectID        int64
	EntryID          int64
	Type             Type
	Name             string // as published
	Version          string
	VersionKey       string // Version in the format's canonical spelling; "": as it is
	Traits           Traits
	Status           Status
	StatusMessage    string // of deprecated packages: why
	CreatorID        int64  // 0: published with a deploy token
	PipelineID       int64  // of the job that published it; 0: none
	RootID           int64  // top-level namespace in which name and version are claimed; 0: not claimed
	Words            string // what search finds it by besides its name: description, keywords
	CreatedAt        time.Time
	LastDownloadedAt time.Time // some seconds late
	Downloads        int64     // of all its files, also those that are gone; some seconds late
}

// Traits are what some clients of a format cannot read, or do not want.
type Traits int

// The traits.
const (
	Prerelease Traits = 1 << iota
	SemVer2           // a version, or one that it depends on, that only clients which know SemVer 2 can read

	allTraits = Prerelease | SemVer2
)

// Kinds is a set of combinations of traits.
type Kinds int

// Within are the combinations without any traits but the given ones.
func Within(t Traits) (k Kinds) {
	for one := Traits(0); one <= allTraits; one++ {
		if one&^t == 0 {
			k |= one.kind()
		}
	}
	return k
}

// AnyKind are all combinations.
var AnyKind = Within(allTraits)

// kind is the set of one combination.
func (t Traits) kind() Kinds { return 1 << t }

// kinds are those of listed packages.
func kinds(packages []*Package) (k Kinds) {
	for _, p := range packages {
		if p.Status != Hidden {
			k |= p.Traits.kind()
		}
	}
	return k
}

// File is one file of a package. Its bytes are the blob with its SHA-256.
type File struct {
	ID        int64
	PackageID int64
	Name      string
	Status    Status // Default or PendingDestruction
	Facts     string // what the format's documents show of it besides, as the format writes it
	Digests
	CreatedAt time.Time
	Downloads int64 // some seconds late
}

// Tag names one version of an entry (npm: dist-tag).
type Tag struct {
	ID        int64
	EntryID   int64
	Name      string
	PackageID int64
	Version   string // of the package
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Symbol is a file of debug symbols that came in a package's file.
type Symbol struct {
	ID        int64
	FileID    int64
	Name      string // lower case, without a folder
	Signature string // the id that the program was given, lower-case hex
	Checksum  string // of the content without that id: SHA-256, lower-case hex; "": the kind has none
	Size      int64  // bytes
	SHA256    string // of the blob
}

// Pipeline is the CI run that published a package.
type Pipeline struct {
	ID        int64
	ProjectID int64
	UserID    int64
	Ref       string
	SHA       string
	Source    string
	WebURL    string
	CreatedAt time.Time
}

// Revision is the state of one entry: the pair that index documents depend on.
type Revision struct {
	ProjectID int64
	EntryID   int64
	Revision  int64
}
