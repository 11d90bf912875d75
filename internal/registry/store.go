package registry

import (
	"context"
	"time"
)

// Store keeps the metadata. SQLite and PostgreSQL implement it with the same queries.
type Store interface {
	// Read runs f over one consistent snapshot. It returns f's error.
	Read(ctx context.Context, f func(Tx) error) error
	// Write runs f in one transaction, which is durable when Write returns nil and without effect otherwise.
	// f may be run again when the database asks for it, so it has no effect but through Tx.
	Write(ctx context.Context, f func(Tx) error) error

	// AccessRevision is the counter of everything that decides who may see what: it grows in each transaction that
	// changes a user, group, project, member or token.
	AccessRevision(ctx context.Context) (int64, error)
	// Revisions reads the access revision and the entries of a name, in one query: all that a reader of an index
	// document has to ask. Entries without a version are not among them. With project 0 they are those of every
	// project, without regard to rights.
	Revisions(ctx context.Context, t Type, name string, project int64) (access int64, entries []Revision, err error)

	// FileOfVersion is the one file of a version, for formats that have one: where several entries hold the version,
	// that of the newest package. It returns NotFound when there is none.
	FileOfVersion(ctx context.Context, entries []int64, version string) (*File, error)

	// Ping tells whether the database answers.
	Ping(ctx context.Context) error
	Close() error
}

// Tx is the queries of one transaction. Methods that look for one thing return NotFound when it is not there;
// methods that create return Conflict when it is already there, and set the ID and the times.
type Tx interface {
	CreateUser(*User) error // and the user's namespace
	UpdateUser(*User) error // password, admin, external, blocked, name, email
	User(id int64) (*User, error)
	UserByUsername(username string) (*User, error)
	CountUsers() (int, error)
	// Users lists users by id, and their total number.
	Users(UserFilter) (users []*User, total int, err error)

	CreateGroup(*Group) error
	Group(id int64) (*Group, error)
	GroupByPath(fullPath string) (*Group, error) // also personal namespaces; without regard to case

	CreateProject(*Project) error
	Project(id int64) (*Project, error)
	ProjectByPath(fullPath string) (*Project, error) // without regard to case

	// Policy is that of a group or of a project, one of which is 0. Of a place that is not there it is empty.
	Policy(group, project int64) (*Policy, error)
	// SetSetting sets what a group or project, one of which is 0, says itself; nil takes it back. NotFound: it says nothing.
	SetSetting(group, project int64, name string, value *string) error
	CreateRule(*ProtectionRule) error
	UpdateRule(*ProtectionRule) error // type, pattern, levels
	DeleteRule(id int64) error
	// NameIsKnown tells whether an entry of this name is, or ever was, in a project below a top-level namespace.
	NameIsKnown(t Type, name string, root int64) (bool, error)

	CreateMember(*Member) error
	Members(group, project int64) ([]*Member, error) // direct ones, of a group or of a project
	// PageMembers is a part of Members, and their total number.
	PageMembers(group, project int64, limit, offset int) (members []*Member, total int, err error)
	// EffectiveLevel is the highest level that the user has now, directly or through the namespaces of the lineage.
	// until is when the first of these memberships ends; zero: never.
	EffectiveLevel(user, project int64, lineage []int64) (level Level, until time.Time, err error)

	CreateToken(*Token) error
	Token(id int64) (*Token, error)
	TokenByHash(hash []byte) (*Token, error)
	Tokens(TokenFilter) ([]*Token, error)
	// PageTokens is a part of Tokens, and their total number.
	PageTokens(f TokenFilter, limit, offset int) (tokens []*Token, total int, err error)
	RevokeToken(id int64) error
	// UseToken notes when a token was used last. It does not count as a change of access.
	UseToken(id int64, at time.Time) error

	CreatePipeline(*Pipeline) error
	Pipelines(ids []int64) ([]*Pipeline, error)
	// DeleteExpiredJobs removes the job tokens that ended before a moment, and the pipelines that published nothing.
	DeleteExpiredJobs(before time.Time) error

	// Record writes a line of the audit log, with the actor of the transaction's context.
	Record(*Event) error
	// Events lists events, the newest first, and their total number.
	Events(EventFilter) (events []*Event, total int, err error)

	CreateLogin(*Login) error // and removes those that have expired
	Login(hash []byte) (*Login, error)
	ApproveLogin(hash []byte, user int64) error
	// DeleteLogin removes a login. NotFound: another request took it.
	DeleteLogin(hash []byte) error

	// TouchEntry bumps the revision of an entry, or creates it at revision 1, and holds it against other writers
	// until the transaction ends.
	TouchEntry(project int64, t Type, name string) (*Entry, error)
	// SetLatest says which package an entry shows as its latest version, and so by which words it is found; 0: none.
	SetLatest(entry, pkg int64) error
	Entry(project int64, t Type, name string) (*Entry, error)
	EntryByID(id int64) (*Entry, error)
	// SearchEntries lists entries that have a latest version, by name, and their total number.
	SearchEntries(EntryFilter) (entries []*Entry, total int, err error)

	// CreatePackage keeps the time of creation that it is given. It returns Conflict when the version exists in the entry, or name and version are claimed in RootID.
	CreatePackage(*Package) error
	UpdatePackage(*Package) error // status and its message
	// MarkForDestruction takes a package out of sight of all readers, and its tags away. PurgeMarked removes it.
	MarkForDestruction(pkg int64) error
	// MarkFile does the same with one file.
	MarkFile(file int64) error
	// PurgeMarked removes a part of what is marked, some hundred rows, and tells whether there may be more.
	PurgeMarked() (more bool, err error)
	Package(id int64) (*Package, error)
	PackageByVersion(entry int64, version string) (*Package, error)
	// ListPackages lists packages, and their total number.
	ListPackages(PackageFilter) (packages []*Package, total int, err error)
	// Packages are all of the entries that a client may install, oldest first.
	Packages(entries []int64) ([]*Package, error)

	CreateFile(*File) error
	Files(pkg int64) ([]*File, error)
	File(id int64) (*File, error)
	// PageFiles is a part of the files of a package, and their total number. order is id, created_at or file_name.
	PageFiles(pkg int64, order string, descending bool, limit, offset int) (files []*File, total int, err error)

	// AddDownloads adds to the counts of days, of files and of packages, and moves packages' last download forward, but
	// never back. Rows are ordered by package. What is gone meanwhile is passed over.
	AddDownloads(rows []Download) error
	// DeleteDownloads removes a part of the days before a moment, and tells whether there may be more.
	DeleteDownloads(before time.Time) (more bool, err error)
	// DownloadsByDay is the days from one to another, both included, on which a package was downloaded, or one of its
	// files (0: any).
	DownloadsByDay(pkg, file int64, from, to time.Time) ([]DayCount, error)

	// SetFragment stores a package's own piece of a kind of index document.
	SetFragment(pkg int64, variant string, body []byte) error
	// Fragments yields the pieces of packages, by package id. body is valid until f returns.
	Fragments(packages []int64, variant string, f func(p *Package, body []byte) error) error
	// EachFragment yields the pieces of the entries' installable packages, oldest first. Where entries of several
	// projects hold one version, the newest package stands for it. body is valid until f returns.
	EachFragment(entries []int64, variant string, f func(p *Package, body []byte) error) error

	SetTag(*Tag) error // creates or moves it
	DeleteTag(entry int64, name string) error
	Tags(entries []int64) ([]*Tag, error) // the one moved last comes last
}

// UserFilter selects users; zero values but Limit do not restrict.
type UserFilter struct {
	IDs      []int64
	Username string // without regard to case
	Limit    int
	Offset   int
}

// TokenFilter selects tokens; zero values do not restrict.
type TokenFilter struct {
	Kind      TokenKind
	UserID    int64
	GroupID   int64
	ProjectID int64
	Active    bool // only those that may be used now
	Inactive  bool // only those that may not
}

// PackageFilter selects packages of a project, or of the projects below a group that the viewer may see; zero values but
// Limit do not restrict.
type PackageFilter struct {
	Project    int64    // 0: Group is set
	Group      *Group   // with the groups below it
	Direct     bool     // only the group's own projects
	Viewer     Viewer   // of a group's list
	Statuses   []Status // any of these
	Type       Type
	Version    string
	Terms      []string // each must occur in the name, without regard to case
	Order      PackageOrder
	Descending bool
	Limit      int
	Offset     int
}

// PackageOrder is what a list of packages is ordered by, and then by id.
type PackageOrder string

// The orders, as GitLab names them.
const (
	ByCreation    PackageOrder = "created_at"
	ByName        PackageOrder = "name"
	ByVersion     PackageOrder = "version"
	ByType        PackageOrder = "type"         // by GitLab's number of the type
	ByProjectPath PackageOrder = "project_path" // by the project's own segment of its path
)

// EntryFilter selects entries for search.
type EntryFilter struct {
	Type    Type
	Viewer  Viewer
	Project int64    // 0: of any
	Group   *Group   // the project is below this group; nil: any
	Terms   []string // each must occur in the name or words, without regard to case
	Limit   int
	Offset  int
}

// Viewer is for whom a list is made: the conditions under which a project's packages are visible.
type Viewer struct {
	UserID   int64 // 0: nobody
	All      bool  // administrators; with Project, in that one only
	External bool
	Group    int64 // deploy tokens: everything below this group
	Project  int64 // deploy tokens: this project; job tokens: as far as the user may see it, this project
}

// Login is a sign-in that a command-line client began and a person finishes in a browser.
type Login struct {
	Hash      []byte // SHA-256 of the secret in the URL
	UserID    int64  // 0 until somebody signed in
	Address   string // of the client that began it, shown to the person
	CreatedAt time.Time
	ExpiresAt time.Time
}
