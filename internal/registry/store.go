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

	// FileOfVersion is the file of a name, or with name "" the one file, of a version by its key: where several entries hold the
	// version, that of the newest package. It returns NotFound when there is none.
	FileOfVersion(ctx context.Context, entries []int64, version, name string) (*File, error)
	// FileOfEntry is the newest installable file of a name in an entry. It returns NotFound when there is none.
	FileOfEntry(ctx context.Context, entry int64, name string) (*File, error)
	// FilesByDigest are the files with this SHA-256 and name in installable packages of a format, the newest first. It is
	// without regard to rights.
	FilesByDigest(ctx context.Context, t Type, sha256, name string) ([]ProjectFile, error)

	// Ping tells whether the database answers.
	Ping(ctx context.Context) error
	Close() error
}

// Tx is the queries of one transaction. Methods that look for one thing return NotFound when it is not there;
// methods that create return Conflict when it is already there, and set the ID and the times.
type Tx interface {
	// BeforeCommit has f done when nothing more is asked of the transaction, and before it is committed; when it fails, nothing is. Meanwhile
	// others may write.
	BeforeCommit(f func() error)

	CreateUser(*User) error // and the user's namespace
	// UpdateUser changes all of a user but Bot. A new user name moves the projects in the user's namespace along.
	UpdateUser(*User) error
	// DeleteUser removes a user with their namespace and the projects in it. What they published elsewhere stays.
	DeleteUser(id int64) error
	// OwnedAlone lists the groups that would be without an owner if there were no such user, topmost ones only.
	OwnedAlone(user int64) ([]*Group, error)
	// HasPackages tells whether there is a package in the projects of a namespace or below it.
	HasPackages(*Group) (bool, error)
	// HasAdmin tells whether an administrator can come in.
	HasAdmin() (bool, error)
	User(id int64) (*User, error)
	UserByUsername(username string) (*User, error)
	CountUsers() (int, error)
	// Users lists users, and their total number.
	Users(UserFilter) (users []*User, total int, err error)

	// HoldPlaces keeps groups and projects, and what rights hang on, as they are until the transaction ends, but for what
	// it changes itself. It comes before the first look at them.
	HoldPlaces() error

	CreateGroup(*Group) error // NotFound also: the parent is marked for deletion
	Group(id int64) (*Group, error)
	GroupByPath(fullPath string) (*Group, error) // also personal namespaces; without regard to case
	// GroupByFormerPath finds a group by a path that it had before and nobody has taken since.
	GroupByFormerPath(fullPath string) (*Group, error)
	GroupsByID(ids []int64) ([]*Group, error) // those that are there, by id
	// Groups lists groups, and their total number, which is 0 where the filter says NoTotal.
	Groups(GroupFilter) (groups []*Group, total int, err error)
	// SaveGroup changes the parent, path, name, description, visibility and mark of a group that was read from this
	// transaction, the paths and lineages of all below it, and the full path and lineage of *Group. It returns Conflict
	// when the path is taken, and ErrClaimed when the versions of packages are claimed where it goes. What is hidden
	// claims nothing; what is so no more claims again what nobody else has claimed meanwhile.
	SaveGroup(*Group) error
	// MoreOpen tells whether there are groups or projects below a group that are more open than a visibility.
	MoreOpen(*Group, Visibility) (groups, projects bool, err error)
	// Narrow makes nothing below a group more open than it.
	Narrow(*Group) error
	// Depth is how many levels of groups there are below a group.
	Depth(*Group) (int, error)

	CreateProject(*Project) error // NotFound also: the namespace is marked for deletion
	Project(id int64) (*Project, error)
	ProjectsByID(ids []int64) ([]*Project, error)
	ProjectByPath(fullPath string) (*Project, error) // without regard to case
	// ProjectByFormerPath finds a project by a path that it had before and nobody has taken since.
	ProjectByFormerPath(fullPath string) (*Project, error)
	// Projects lists projects, and their total number, which is 0 where the filter says NoTotal.
	Projects(ProjectFilter) (projects []*Project, total int, err error)
	// SaveProject changes all of a project but its creator, as SaveGroup does.
	SaveProject(*Project) error

	// ProjectSizes and GroupSizes are the bytes of the files that are not marked for destruction, by id of the project, or of the group with all
	// that is below it. What holds none may be missing.
	ProjectSizes(ids []int64) (map[int64]int64, error)
	GroupSizes(ids []int64) (map[int64]int64, error)
	// EachProjectBelow tells the projects in and below groups, by their ids.
	EachProjectBelow(groups []int64, yield func(group, project int64)) error

	// LargestProjects are the projects below a group, or the one of an id, with the most bytes of files, and the sum of all of them.
	LargestProjects(group *Group, project int64, limit int) ([]ProjectSize, error)
	// Usage sums everything up that is stored, and the days from one to another.
	Usage(from, to time.Time) (Usage, error)
	// Backlog is what waits to be removed.
	Backlog() (Backlog, error)

	// Condemn makes a group and all below it, or a project, disappear for good: from then on no other method finds them.
	// Their bots are removed at once.
	Condemn(group, project int64) error
	// DuePlaces are the groups and projects that were marked before a moment, and are not condemned.
	DuePlaces(before time.Time) (groups []*Group, projects []*Project, err error)
	// RemoveCondemned removes a part of what is condemned, some hundred rows, and tells whether there may be more.
	RemoveCondemned() (more bool, err error)

	// RemovedProjects are numbers of projects that are gone for good and whose repository may still be there; ForgetRemoved
	// notes that it is gone too.
	RemovedProjects(limit int) ([]int64, error)
	ForgetRemoved(ids []int64) error

	// Policy is that of a group or of a project, one of which is 0. Of a place that is not there it is empty.
	Policy(group, project int64) (*Policy, error)
	// SetSetting sets what a group or project, one of which is 0, says itself; nil takes it back. NotFound: it says nothing.
	SetSetting(group, project int64, name string, value *string) error
	CreateRule(*ProtectionRule) error
	UpdateRule(*ProtectionRule) error // type, pattern, levels
	DeleteRule(id int64) error
	// NameIsKnown tells whether an entry of this name is, or ever was, in a project below a top-level namespace, or below
	// another one that had its path; or whether the name's scope is a path below which there were names.
	NameIsKnown(t Type, scope, name string, root int64) (bool, error)

	CreateMember(*Member) error                           // also in place of one that has ended
	UpdateMember(*Member) error                           // level and end
	DeleteMember(*Member) error                           // of the user in the group or project
	DeleteMembersBelow(user int64, lineage []int64) error // of the user in what is below the group of this lineage
	Members(group, project int64) ([]*Member, error)      // direct ones, of a group or of a project
	// PageMembers lists members whose membership has not ended, by user, and their total number. Of a user's
	// memberships it is the highest one.
	PageMembers(MemberFilter) (members []*Member, total int, err error)
	// HasOwner tells whether somebody who can come in, and is no bot, owns one of the namespaces without an end.
	HasOwner(lineage []int64) (bool, error)
	// Memberships lists those that a user has directly, in groups or in projects, and their total number.
	Memberships(f MembershipFilter) (memberships []*Membership, total int, err error)
	// MembershipsIn are those of a user, as they are now, in any of the projects and groups.
	MembershipsIn(user int64, projects, groups []int64) ([]*Member, error)
	// EffectiveLevel is the highest level that the user has now, directly or through the namespaces of the lineage.
	// until is when the first of these memberships ends; zero: never.
	EffectiveLevel(user, project int64, lineage []int64) (level Level, until time.Time, err error)
	// EffectiveLevels is the same for many projects, by id, in one query.
	EffectiveLevels(user int64, projects []*Project) (map[int64]Standing, error)
	// MemberBelow tells whether a user is now a member of a group, or of a group or project below it.
	MemberBelow(user int64, group *Group) (bool, error)

	CreateToken(*Token) error
	Token(id int64) (*Token, error)
	TokenByHash(hash []byte) (*Token, error)
	Tokens(TokenFilter) ([]*Token, error)
	// PageTokens is a part of Tokens, and their total number.
	PageTokens(f TokenFilter, limit, offset int) (tokens []*Token, total int, err error)
	RevokeToken(id int64) error
	// TakeToken revokes a token for who asks first. NotFound: it was revoked already.
	TakeToken(id int64) error
	// RevokeFamily revokes all tokens of the line that a token belongs to. NotFound: they are.
	RevokeFamily(*Token) error
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
	Event(id int64) (*Event, error)
	// DeleteEvents removes a part of the events before a moment, some hundred, and tells whether there may be more.
	DeleteEvents(before time.Time) (more bool, err error)

	CreateSession(*Session) error // and removes those that have expired
	Session(hash []byte) (*Session, error)
	Sessions(user int64) ([]*Session, error) // that have not expired, the one used last first
	// UseSession notes when a session was used last and until when it lasts now. It does not count as a change of access.
	UseSession(id int64, at, expires time.Time) error
	// DeleteSession ends a session of a user. It returns NotFound when there is none.
	DeleteSession(user, id int64) error
	// DeleteSessions ends those of a user, but for one; 0: all.
	DeleteSessions(user, except int64) error

	CreateLogin(*Login) error // and removes those that have expired
	Login(hash []byte) (*Login, error)
	ApproveLogin(hash []byte, user int64) error
	// DeleteLogin removes a login. NotFound: another request took it.
	DeleteLogin(hash []byte) error

	// TouchEntry bumps the revision of an entry, or creates it at revision 1, and holds it against other writers
	// until the transaction ends.
	TouchEntry(project int64, t Type, name string) (*Entry, error)
	// SetLatest says which package an entry shows as its latest version, and so by which words it is found; 0: none. listed
	// is what its listed versions are.
	SetLatest(entry, pkg int64, listed Kinds) error
	// SetWords says by which words a package is found besides its name; its entry is found by them from the next SetLatest on. It returns
	// NotFound when the package does not exist.
	SetWords(pkg int64, name, words string) error
	// SetNeeds says on which names the latest version of an entry depends.
	SetNeeds(entry int64, t Type, names []string) error
	// Dependents lists entries whose latest version depends on a name, by name, and their total number: those with a listed version, of
	// projects that the viewer may know of and read.
	Dependents(t Type, name string, viewer Viewer, limit int) (entries []*Entry, total int, err error)
	Entry(project int64, t Type, name string) (*Entry, error)
	EntryByID(id int64) (*Entry, error)
	// EntriesAfter are the entries that follow an id, in the order of their ids. Whoever changes one waits until the transaction ends.
	EntriesAfter(id int64, limit int) ([]*Entry, error)
	// SearchEntries lists entries that have a latest version, by name, and their total number, which is 0 where the filter
	// says NoTotal.
	SearchEntries(EntryFilter) (entries []*Entry, total int, err error)
	// PageVersions lists the versions of such entries that a client may install, as ids of packages: by name, and the oldest
	// first; and their total number. Those with one of the traits, and with listed the hidden ones, are not among them. Where
	// entries of several projects hold one version, the newest package stands for it.
	PageVersions(f EntryFilter, without Traits, listed bool) (packages []int64, total int, err error)
	// ProjectRevisions are the projects with entries that a filter selects, terms and pages aside, by id: in place of a
	// revision, the sum of all their entries', which grows with each change of any of them.
	ProjectRevisions(EntryFilter) ([]Revision, error)
	// EachName yields the names that a filter selects, terms and pages aside, in their order and each once, with the
	// spelling of its latest version.
	EachName(f EntryFilter, yield func(name, spelling string) error) error

	// EachChange yields the names that a filter selects, terms and pages aside, whose entries have changed since a moment, the
	// change first that was first. gone: the entry has no version any more.
	EachChange(f EntryFilter, since time.Time, yield func(name string, at time.Time, gone bool) error) error

	// OwnName makes a name the entry's project's own until the transaction ends. It returns ErrNameTaken when the entry has no
	// version yet and another project below the same top-level namespace has one.
	OwnName(*Entry) error
	// HoldRoot is the top-level namespace of a project, which stays so, and is not marked for deletion, until the
	// transaction ends. It returns NotFound when it is marked.
	HoldRoot(project int64) (int64, error)
	// CreatePackage keeps the time of creation that it is given. It returns Conflict when the version exists in the entry, or name and version are claimed in RootID.
	CreatePackage(*Package) error
	UpdatePackage(*Package) error // status and its message
	// MarkForDestruction takes a package out of sight of all readers, and its tags away. PurgeMarked removes it. It
	// returns NotFound when somebody was faster.
	MarkForDestruction(pkg int64) error
	// MarkFile does the same with one file.
	MarkFile(file int64) error
	// PurgeMarked removes a part of what is marked, some hundred rows, and tells whether there may be more.
	PurgeMarked() (more bool, err error)
	Package(id int64) (*Package, error)
	PackageByVersion(entry int64, version string) (*Package, error) // by the version's key
	PackagesByID(ids []int64) ([]*Package, error)                   // those that are there, in the order of ids
	// ListPackages lists packages, and their total number.
	ListPackages(PackageFilter) (packages []*Package, total int, err error)
	// Packages are all of the entries that a client may install, oldest first. Those without a file are not among them.
	Packages(entries []int64) ([]*Package, error)
	// Versions are all packages of an entry but those marked for destruction, oldest first.
	Versions(entry int64) ([]*Package, error)
	// CountVersions is how many of them there are in some statuses.
	CountVersions(entry int64, statuses []Status) (int, error)

	// CreateFile holds the file's content until the transaction ends: no collector removes it. It returns ErrBeingRemoved when
	// one does so at this moment. CreateSymbol does the same.
	CreateFile(*File) error
	Files(pkg int64) ([]*File, error)
	FilesOf(packages []int64) ([]*File, error) // of several packages, the oldest first
	File(id int64) (*File, error)
	FileByName(pkg int64, name string) (*File, error)
	// EachFile yields the files of the entries' installable packages, the oldest first.
	EachFile(entries []int64, f func(*Package, *File) error) error
	// PageFiles is a part of the files of a package, and their total number. order is id, created_at or file_name.
	PageFiles(pkg int64, order string, descending bool, limit, offset int) (files []*File, total int, err error)
	// FilesSize is the bytes of all files of a package.
	FilesSize(pkg int64) (bytes int64, err error)

	CreateSymbol(*Symbol) error
	// Symbols are those with a signature, a name and one of the checksums in installable packages of a project, or of the
	// projects below a group, the newest first. It is without regard to rights.
	Symbols(project int64, group *Group, signature, name string, checksums []string) ([]*ProjectSymbol, error)

	// Unnamed are those of the blobs that no row names.
	Unnamed([]BlobInfo) ([]BlobInfo, error)
	// NoteGarbage notes that no row names these blobs, from now on, and how many were not noted before. Those that a row names
	// after all are passed over. A content that loses a row that named it is noted by itself.
	NoteGarbage([]BlobInfo) (noted int, err error)
	// CondemnGarbage picks contents that were noted before a moment and that no row names, so that from the end of the transaction
	// until ForgetGarbage none can name them. What another collector condemned long ago is among them.
	CondemnGarbage(before time.Time, limit int) (condemned []BlobInfo, more bool, err error)
	// ForgetGarbage ends that: the blobs are removed.
	ForgetGarbage(sha256 []string) error
	// Contents are those that rows name whose SHA-256 is above after, in its order, each with all of these rows.
	Contents(after string, limit int) ([]Content, error)
	// CountContents is how many contents rows name, and their bytes.
	CountContents() (n, bytes int64, err error)
	// TakeLease lets nobody else do a work until a moment. It returns Conflict when somebody else may do it at this one.
	TakeLease(name, holder string, now, until time.Time) (*Lease, error)
	// KeepLease writes all of a lease but its name and holder. It returns NotFound when another holder took it over.
	KeepLease(*Lease) error
	LeaseOf(name string) (*Lease, error)

	// AddDownloads adds to the counts of days, of files and of packages, and moves packages' last download forward, but
	// never back. Rows are ordered by package. What is gone meanwhile is passed over.
	AddDownloads(rows []Download) error
	// DeleteDownloads removes a part of the days before a moment, and tells whether there may be more.
	DeleteDownloads(before time.Time) (more bool, err error)
	// DownloadsByDay is the days from one to another, both included, on which a package was downloaded, or one of its
	// files (0: any).
	DownloadsByDay(pkg, file int64, from, to time.Time) ([]DayCount, error)
	// DownloadsOfName is the same for all versions of an entry that are still there.
	DownloadsOfName(entry int64, from, to time.Time) ([]DayCount, error)

	// CleanupPolicy is that of a project. NotFound: it never had one.
	CleanupPolicy(project int64) (*CleanupPolicy, error)
	// CleanupPolicies are those that are enabled or have run, the one that ran last first, and their total number.
	CleanupPolicies(limit, offset int) (policies []*CleanupPolicy, total int, err error)
	// SetCleanupPolicy creates or replaces a policy, but for what it says of its runs: one that goes on is ended.
	SetCleanupPolicy(*CleanupPolicy) error
	// RequestCleanup makes it a policy's turn, unless it is running.
	RequestCleanup(project int64) error
	// ClaimCleanup begins a run of a policy whose turn it is, or goes on with one that nobody is at, and lets nobody else
	// have it for a time. It returns NotFound when there is none.
	ClaimCleanup(now time.Time, lease time.Duration) (*CleanupPolicy, error)
	// AdvanceCleanup notes what the run that was claimed has removed, and lets it go on for a time. It returns NotFound
	// when the run is no longer the caller's.
	AdvanceCleanup(claimed *CleanupPolicy, removed CleanupTotals, lease time.Duration) error
	// EndCleanup gives a run back, finished or not, and says when the next one may begin; zero: never. It returns
	// NotFound as AdvanceCleanup does.
	EndCleanup(claimed *CleanupPolicy, finished bool, failure string, next time.Time) error
	// CleanupVersions yields the versions of a scope but those marked for destruction, entry by entry and then the newest
	// first.
	CleanupVersions(s CleanupScope, f func(*CleanupVersion) error) error
	// SpareFiles are files of a package beyond the newest of each name, the oldest first.
	SpareFiles(pkg int64, keep, limit int) ([]*File, error)

	// Installed are the newest files of those versions of some names that are wanted, in the entries that a filter selects, terms and
	// pages aside.
	Installed(f EntryFilter, names []string, want func(name, version string) bool) ([]*File, error)

	// Mirror is that of a project. NotFound: it never had one.
	Mirror(project int64) (*Mirror, error)
	// SetMirror creates or replaces a mirror, but for what it says of its fetches.
	SetMirror(*Mirror) error
	// RequestMirror makes it a mirror's turn. NotFound: the project has none that is enabled.
	RequestMirror(project int64) error
	// ClaimMirror begins to fetch a mirror whose turn it is, and lets nobody else have it for a time. It returns NotFound when
	// there is none.
	ClaimMirror(now time.Time, lease time.Duration) (*Mirror, error)
	// EndMirror notes how a fetch ended, and when the next one may begin, unless it was asked for meanwhile. It returns NotFound when the
	// fetch is no longer the caller's.
	EndMirror(claimed *Mirror, failure string, next time.Time) error

	// SetFragment stores a package's own piece of a kind of index document.
	SetFragment(pkg int64, variant string, body []byte) error
	// Fragments yields the pieces of packages, by package id. body is valid until f returns, and of p only what documents show
	// is set: ID, ProjectID, Name, Version, Status, StatusMessage, CreatorID, CreatedAt and Downloads.
	Fragments(packages []int64, variant string, f func(p *Package, body []byte) error) error
	// EachFragment yields the pieces of the packages that Packages finds, oldest first. Where entries of several
	// projects hold one version, the newest package stands for it. It gives f what Fragments gives.
	EachFragment(entries []int64, variant string, f func(p *Package, body []byte) error) error

	SetTag(*Tag) error // creates or moves it
	DeleteTag(entry int64, name string) error
	Tags(entries []int64) ([]*Tag, error) // the one moved last comes last
	TagsOf(packages []int64) ([]*Tag, error)
}

// ProjectSize is how much a project stores.
type ProjectSize struct {
	ID    int64
	Bytes int64
	Whole int64 // of all projects that were looked at
}

// Usage is what the server stores and sends.
type Usage struct {
	Users, Groups, Projects int64
	Packages, Files, Bytes  int64
	Stored                  []DayCount // bytes of the files that came on a day and are still there
	Published               []DayCount // packages, the same
	Downloads               []DayCount
}

// Backlog is what waits to be removed in the background.
type Backlog struct {
	Packages, Files   int64 // that are marked for destruction
	Marked, Condemned int64 // groups and projects
}

// UserFilter selects users; zero values but Limit do not restrict.
type UserFilter struct {
	IDs           []int64
	Username      string     // without regard to case
	Search        string     // in user name and name, without regard to case
	ByEmail       bool       // search in the email address, too
	State         *UserState // nil: any
	NotState      *UserState
	External      *bool
	Bot           *bool
	Admin         *bool
	CreatedAfter  time.Time
	CreatedBefore time.Time
	After         int64     // those that follow this id in a list by id; 0: from the beginning
	Order         UserOrder // then by id
	Descending    bool
	NoTotal       bool
	Limit         int
	Offset        int
}

// UserOrder is what a list of users is ordered by.
type UserOrder string

// The orders, as GitLab names them. The zero value is ByUserID.
const (
	ByUserID       UserOrder = "id"
	ByUsername     UserOrder = "username"
	ByUserName     UserOrder = "name"
	ByUserCreation UserOrder = "created_at"
)

// MemberFilter selects members of a group or a project; zero values but Limit do not restrict.
type MemberFilter struct {
	GroupID   int64   // one of GroupID and ProjectID is set
	ProjectID int64   //
	Above     []int64 // with those of the namespaces above it
	UserIDs   []int64 // only these
	SkipUsers []int64 // none of these
	Search    string  // in user name and name, without regard to case
	Limit     int
	Offset    int
}

// Membership is where a user is a member.
type Membership struct {
	Member
	Name string // of the group or project
}

// MembershipFilter selects memberships of a user.
type MembershipFilter struct {
	UserID           int64
	Groups, Projects bool
	Limit, Offset    int
}

// GroupFilter selects groups that the viewer may know of, without personal namespaces; zero values but Limit do not
// restrict.
type GroupFilter struct {
	Viewer     Viewer
	Parent     *Group // below it
	Direct     bool   // directly below Parent; without one, at the top
	Search     string // in name or path, without regard to case
	Visibility Visibility
	Level      Level // the viewer has at least this level in it as a member
	Skip       []int64
	Order      GroupOrder
	Descending bool
	After      *Group // in the order by name: those behind one of this Name and ID
	NoTotal    bool
	Limit      int
	Offset     int
}

// GroupOrder is what a list of groups is ordered by, and then by id.
type GroupOrder string

// The orders, as GitLab names them.
const (
	GroupsByName GroupOrder = "name" // without regard to case
	GroupsByPath GroupOrder = "path"
	GroupsByID   GroupOrder = "id"
)

// ProjectFilter selects projects that the viewer may know of; zero values but Limit do not restrict.
type ProjectFilter struct {
	Viewer     Viewer
	Namespace  *Group // below it
	Direct     bool   // directly in it
	Search     string // in name, path or description, without regard to case
	Visibility Visibility
	Archived   *bool
	Level      Level // the viewer has at least this level in it as a member
	AfterID    int64
	BeforeID   int64
	Order      ProjectOrder
	Descending bool
	NoTotal    bool
	Limit      int
	Offset     int
}

// ProjectOrder is what a list of projects is ordered by, and then by id.
type ProjectOrder string

// The orders, as GitLab names them.
const (
	ProjectsByID       ProjectOrder = "id"
	ProjectsByName     ProjectOrder = "name" // without regard to case
	ProjectsByPath     ProjectOrder = "path"
	ProjectsByCreation ProjectOrder = "created_at"
	ProjectsByUpdate   ProjectOrder = "updated_at"
	ProjectsByActivity ProjectOrder = "last_activity_at"
)

// TokenFilter selects tokens; zero values do not restrict.
type TokenFilter struct {
	Kind          TokenKind
	UserID        int64
	GroupID       int64
	ProjectID     int64
	Active        bool // only those that may be used now
	Inactive      bool // only those that may not
	Revoked       *bool
	Impersonation *bool
	Search        string // in the name, without regard to ASCII case
	CreatedAfter  time.Time
	CreatedBefore time.Time
	ExpiresAfter  time.Time // those that end at all
	ExpiresBefore time.Time
	UsedAfter     time.Time // those that were used at all
	UsedBefore    time.Time
	Order         TokenOrder // then by id
	Descending    bool
}

// TokenOrder is what a list of tokens is ordered by.
type TokenOrder string

// The orders, as GitLab names them. The zero value is by id.
const (
	ByTokenCreation TokenOrder = "created"
	ByTokenExpiry   TokenOrder = "expires"
	ByTokenUse      TokenOrder = "last_used"
	ByTokenName     TokenOrder = "name"
)

// PackageFilter selects packages of a project, or of the projects, below a group or anywhere, that the viewer may see; zero values
// but Limit do not restrict.
type PackageFilter struct {
	Project     int64    // 0: Group or Everywhere is set
	Group       *Group   // with the groups below it
	Everywhere  bool     // in all projects
	Direct      bool     // only the group's own projects
	Viewer      Viewer   // of a group's list
	Statuses    []Status // any of these
	Type        Type
	Version     string
	Versionless bool     // also packages without a version
	Terms       []string // each must occur in the name, without regard to case
	Order       PackageOrder
	Descending  bool
	Limit       int
	Offset      int
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
	Type    Type // empty: any
	Viewer  Viewer
	Project int64    // 0: of any
	Group   *Group   // the project is below this group; nil: any
	Known   bool     // the viewer may know of the project, and not only pull from it
	Listed  Kinds    // it has a listed version of one of them; 0: any version
	Names   []string // it has one of them; none: any
	Once    bool     // of the entries of several projects with one name only the newest
	Terms   []string // each must occur in the name or words, without regard to case

	After      string // names that come behind this one; "": all
	Descending bool   // by name
	NoTotal    bool
	Limit      int
	Offset     int
}

// ProjectSymbol is a symbol and the project that has it.
type ProjectSymbol struct {
	Symbol
	ProjectID int64
}

// Viewer is for whom a list is made: the conditions under which a project's packages are visible.
type Viewer struct {
	UserID   int64 // 0: nobody
	All      bool  // administrators; with Project, in that one only
	External bool
	Group    int64 // deploy tokens: everything below this group
	Project  int64 // deploy tokens: this project; job tokens: as far as the user may see it, this project
}

// ProjectFile is a file and the project that has it.
type ProjectFile struct {
	File
	ProjectID int64
}

// Login is a sign-in that a command-line client began and a person finishes in a browser.
type Login struct {
	Hash      []byte // SHA-256 of the secret in the URL
	UserID    int64  // 0 until somebody signed in
	Address   string // of the client that began it, shown to the person
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Content is what rows name by a SHA-256.
type Content struct {
	SHA256 string
	Uses   []ContentUse // at least one
}

// ContentUse is a file or a symbol with a content.
type ContentUse struct {
	Project, Package, Version, File string
	Type                            Type
	Digests                         Digests // of a symbol: only size and SHA-256
}

// Lease says who does a work that is done once for all nodes.
type Lease struct {
	Name       string
	Holder     string
	Until      time.Time // then another one may take it over
	FinishedAt time.Time // of what was done whole last; zero: never
	Progress   string    // where it goes on; empty: at the beginning
}
