package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// CleanupPolicy says which versions of a project go by themselves, and which files of those that stay.
//
// A version goes when its name and version are selected by the patterns and all conditions that are set hold for it:
// KeepVersions, OlderThan, NotDownloadedSince; without any of them no version goes. The newest version of a name never
// does, nor does one that a tag names, that is shown as the latest, that a rule protects, or that is neither default nor
// deprecated.
type CleanupPolicy struct {
	ProjectID int64
	Enabled   bool
	Cadence   time.Duration // from the end of one run to the next

	// What makes something go; 0: nothing.
	KeepFiles          int // of the files of one name in a package, all but so many of the newest go
	KeepVersions       int // of the selected versions of a name, so many of the newest stay; newest by creation
	OlderThan          int // days since it was published
	NotDownloadedSince int // days; one that never was counts from when it was published

	// What is selected; empty: everything. The patterns are RE2 and stand for a whole text. A name is the one that was
	// published or its canonical spelling.
	Type               Type
	NamePattern        string
	NameKeepPattern    string // what it matches stays
	VersionPattern     string
	VersionKeepPattern string

	NextRunAt time.Time // zero: never
	Run       CleanupRun
}

// CleanupRun is the last run of a policy, or the one that goes on.
type CleanupRun struct {
	Lease      int64     // number of the run
	LeaseUntil time.Time // zero: no node is at it; then, another node takes it over
	StartedAt  time.Time // zero: there was none
	FinishedAt time.Time // zero: it is not finished
	Removed    CleanupTotals
	Error      string // why it ended early
}

// CleanupTotals is what goes, or went.
type CleanupTotals struct {
	Packages int64
	Files    int64 // also those of the packages
	Bytes    int64 // of the files. A content that others have too stays on the disk.
}

func (t *CleanupTotals) add(p *CleanupPick) {
	if len(p.Reasons) > 0 {
		t.Packages++
		t.Files += p.Files
		t.Bytes += p.Bytes
	} else {
		t.Files += p.SpareFiles
		t.Bytes += p.SpareBytes
	}
}

// The bounds of a policy.
const (
	MinCadence     = time.Hour
	DefaultCadence = 12 * time.Hour // GitLab's
	MaxCadence     = 30 * day
	MaxCleanupKeep = 1_000_000
	MaxCleanupDays = 36_500
)

// The conditions, as the reasons for which a version goes.
const (
	BeyondNewest  = "keep_n_versions"
	TooOld        = "older_than"
	NotDownloaded = "not_downloaded_since"
)

// CleanupVersion is a version as a cleanup sees it.
type CleanupVersion struct {
	Package
	EntryName              string
	Needed                 bool // named by a tag, or shown as the latest
	Files, Bytes           int64
	SpareFiles, SpareBytes int64 // beyond those that KeepFiles keeps
}

// CleanupPick is what goes of a version: all of it, for the reasons, or without any its spare files.
type CleanupPick struct {
	CleanupVersion
	Reasons []string
}

// CleanupScope is what a cleanup looks at.
type CleanupScope struct {
	Project   int64
	Entry     int64 // only this one; 0: all of the project
	After     int64 // only entries with a higher id
	Type      Type  // empty: any
	KeepFiles int   // 0: no file is spare
}

// expression compiles a pattern for a whole text; it is nil for an empty one. It returns Invalid.
func expression(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	if utf8.RuneCountInString(pattern) > maxPattern {
		return nil, Errorf(Invalid, "is too long (maximum is %d characters)", maxPattern)
	}
	compiled, err := whole(pattern)
	if err != nil {
		return nil, Errorf(Invalid, "not valid RE2 syntax: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return compiled, nil
}

// Check returns what is wrong with a policy: attribute → sentence.
func (p *CleanupPolicy) Check() map[string]string {
	wrong := map[string]string{}
	for attribute, pattern := range map[string]string{"name_pattern": p.NamePattern, "name_keep_pattern": p.NameKeepPattern,
		"version_pattern": p.VersionPattern, "version_keep_pattern": p.VersionKeepPattern} {
		if _, err := expression(pattern); err != nil {
			wrong[attribute] = MessageOf(err)
		}
	}
	for attribute, n := range map[string]struct{ value, most int }{"keep_n_duplicated_package_files": {p.KeepFiles, MaxCleanupKeep},
		BeyondNewest: {p.KeepVersions, MaxCleanupKeep}, TooOld: {p.OlderThan, MaxCleanupDays}, NotDownloaded: {p.NotDownloadedSince, MaxCleanupDays}} {
		if n.value < 0 || n.value > n.most {
			wrong[attribute] = fmt.Sprintf("must be between 0 and %d", n.most)
		}
	}
	if p.Cadence < MinCadence || p.Cadence > MaxCadence {
		wrong["cadence"] = "must be between 1h and 30d"
	}
	return wrong
}

// Removes tells whether the policy makes anything go.
func (p *CleanupPolicy) Removes() bool {
	return p.KeepFiles > 0 || p.KeepVersions > 0 || p.OlderThan > 0 || p.NotDownloadedSince > 0
}

// cleaner judges versions in the order of [Tx.CleanupVersions].
type cleaner struct {
	protected                            *Policy
	policy                               *CleanupPolicy
	olderThan, notDownloadedSince        time.Time // zero: no such condition
	name, nameKeep, version, versionKeep *regexp.Regexp
	entry                                int64 // of the last version
	selected                             int   // versions of the entry so far
}

func newCleaner(p *CleanupPolicy, protected *Policy, now time.Time) (*cleaner, error) {
	c := &cleaner{policy: p, protected: protected}
	if p.OlderThan > 0 {
		c.olderThan = now.Add(-time.Duration(p.OlderThan) * day)
	}
	if p.NotDownloadedSince > 0 {
		c.notDownloadedSince = now.Add(-time.Duration(p.NotDownloadedSince) * day)
	}
	var err error
	for pattern, compiled := range map[*string]**regexp.Regexp{&p.NamePattern: &c.name, &p.NameKeepPattern: &c.nameKeep,
		&p.VersionPattern: &c.version, &p.VersionKeepPattern: &c.versionKeep} {
		if *compiled, err = expression(*pattern); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// judge says what goes of a version; nil: nothing.
func (c *cleaner) judge(v *CleanupVersion) *CleanupPick {
	if v.Status != Default && v.Status != Deprecated {
		return nil
	}
	newest := v.EntryID != c.entry
	if newest {
		c.entry, c.selected = v.EntryID, 0
	}
	matches := func(e *regexp.Regexp) bool { return e.MatchString(v.Name) || e.MatchString(v.EntryName) }
	switch {
	case c.name != nil && !matches(c.name), c.nameKeep != nil && matches(c.nameKeep),
		c.version != nil && !c.version.MatchString(v.Version), c.versionKeep != nil && c.versionKeep.MatchString(v.Version):
		return nil
	}
	c.selected++
	if c.protected.required(destroy, v.Type, v.Name, v.EntryName) > NoAccess {
		return nil // whoever is told to remove it has no level
	}
	pick := &CleanupPick{CleanupVersion: *v}
	if reasons := c.reasons(v); !newest && !v.Needed && len(reasons) > 0 {
		pick.Reasons = reasons
	} else if v.SpareFiles == 0 {
		return nil
	}
	return pick
}

// reasons are the conditions when all hold, or nil.
func (c *cleaner) reasons(v *CleanupVersion) []string {
	last := v.LastDownloadedAt
	if last.IsZero() {
		last = v.CreatedAt
	}
	var reasons []string
	for _, condition := range []struct {
		name       string
		set, holds bool
	}{
		{BeyondNewest, c.policy.KeepVersions > 0, c.selected > c.policy.KeepVersions},
		{TooOld, !c.olderThan.IsZero(), v.CreatedAt.Before(c.olderThan)},
		{NotDownloaded, !c.notDownloadedSince.IsZero(), last.Before(c.notDownloadedSince)},
	} {
		switch {
		case condition.set && !condition.holds:
			return nil
		case condition.set:
			reasons = append(reasons, condition.name)
		}
	}
	return reasons
}

var errEnough = errors.New("enough")

// cleanupPicks hands what goes of a scope to f, until f returns false.
func cleanupPicks(tx Tx, p *CleanupPolicy, scope CleanupScope, f func(*CleanupPick) bool) error {
	protected, err := tx.Policy(0, p.ProjectID)
	if err != nil {
		return err
	}
	c, err := newCleaner(p, protected, time.Now())
	if err != nil {
		return err
	}
	scope.Project, scope.Type, scope.KeepFiles = p.ProjectID, p.Type, p.KeepFiles
	err = tx.CleanupVersions(scope, func(v *CleanupVersion) error {
		if pick := c.judge(v); pick != nil && !f(pick) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// PreviewCleanup is what a run of a policy would take away now: a part of the list, ordered by name as it came into
// being and then the newest first, its length, and all of it summed up.
func (r *Registry) PreviewCleanup(ctx context.Context, p *CleanupPolicy, limit, offset int) (picks []*CleanupPick, total int, totals CleanupTotals, err error) {
	err = r.Store.Read(ctx, func(tx Tx) error {
		return cleanupPicks(tx, p, CleanupScope{}, func(pick *CleanupPick) bool {
			if total >= offset && len(picks) < limit {
				picks = append(picks, pick)
			}
			total++
			totals.add(pick)
			return true
		})
	})
	return picks, total, totals, err
}

// SetCleanupPolicy stores a policy that Check finds nothing wrong with. A run that goes on stops.
func (r *Registry) SetCleanupPolicy(ctx context.Context, p *CleanupPolicy) error {
	return r.Store.Write(ctx, func(tx Tx) error {
		p.NextRunAt = time.Time{}
		if p.Enabled {
			p.NextRunAt = time.Now().Add(p.Cadence)
		}
		if err := tx.SetCleanupPolicy(p); err != nil {
			return err
		}
		return tx.Record(&Event{Name: SettingsChanged, ProjectID: p.ProjectID, Target: "cleanup policy", Detail: p.summary()})
	})
}

// summary is for the audit log.
func (p *CleanupPolicy) summary() string {
	text := "disabled"
	if p.Enabled {
		text = fmt.Sprintf("every %d hours", int(p.Cadence.Hours()))
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"keep_n_duplicated_package_files", p.KeepFiles}, {BeyondNewest, p.KeepVersions}, {TooOld, p.OlderThan}, {NotDownloaded, p.NotDownloadedSince}} {
		if n.value > 0 {
			text += fmt.Sprintf(", %s %d", n.name, n.value)
		}
	}
	for _, s := range []struct{ name, value string }{{"package_type", string(p.Type)}, {"name_pattern", p.NamePattern}, {"name_keep_pattern", p.NameKeepPattern},
		{"version_pattern", p.VersionPattern}, {"version_keep_pattern", p.VersionKeepPattern}} {
		if s.value != "" {
			text += fmt.Sprintf(", %s %q", s.name, s.value)
		}
	}
	return text
}

// RunCleanup makes it a policy's turn, unless it is running. It returns NotFound for a project that has none.
func (r *Registry) RunCleanup(ctx context.Context, project int64) error {
	return r.Store.Write(ctx, func(tx Tx) error {
		if err := tx.RequestCleanup(project); err != nil {
			return err
		}
		return tx.Record(&Event{Name: CleanupRequested, ProjectID: project, Target: "cleanup policy"})
	})
}

const (
	cleanupLease   = 5 * time.Minute   // how long a node may be silent before another one takes its run over
	cleanupTime    = 250 * time.Second // of a run; what is left has its turn when other projects had theirs
	cleanupBatch   = 500               // versions or files that go in one transaction
	cleanupEntries = 100               // names that are looked for at once
)

// CleanUp runs the policy of one project whose turn has come, and tells whether there was one. Of several nodes, one
// runs it. It stops between two transactions when ctx ends; another call goes on.
func (r *Registry) CleanUp(ctx context.Context) (bool, error) {
	var p *CleanupPolicy
	err := r.Store.Write(ctx, func(tx Tx) (err error) {
		p, err = tx.ClaimCleanup(time.Now(), cleanupLease)
		return err
	})
	if KindOf(err) == NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	done, err := r.clean(ctx, p)
	if KindOf(err) == NotFound { // the policy was changed or its project deleted, or another node took over
		return true, nil
	}
	next, message := time.Now(), ""
	if err != nil {
		if KindOf(err) == Fault {
			slog.ErrorContext(ctx, "clean up", "project", p.ProjectID, "err", err)
		}
		done, message = true, cmp.Or(MessageOf(err), "500 Internal Server Error")
	}
	if done {
		next = time.Time{}
		if p.Enabled {
			next = time.Now().Add(p.Cadence)
		}
	}
	err = r.Store.Write(ctx, func(tx Tx) error { return tx.EndCleanup(p, done, message, next) })
	if KindOf(err) == NotFound { // as above
		err = nil
	}
	return true, err
}

// clean takes away what goes, and tells whether that is all.
func (r *Registry) clean(ctx context.Context, p *CleanupPolicy) (done bool, err error) {
	ctx, end := TraceProject(ctx, "job.CleanUp", p.ProjectID)
	defer func() { end(err) }()
	deadline := time.Now().Add(cleanupTime)
	// What was downloaded from this node must not seem to be unused.
	if err := r.Downloads.Flush(ctx, r.Store); err != nil {
		return false, err
	}
	for after := int64(0); ; {
		var entries []int64
		err := r.Store.Read(ctx, func(tx Tx) error {
			switch project, err := tx.Project(p.ProjectID); {
			case err != nil:
				return err
			case project.Archived:
				return Errorf(Forbidden, "the project is archived")
			case project.Hidden():
				return Errorf(Forbidden, "the project is marked for deletion")
			}
			return cleanupPicks(tx, p, CleanupScope{After: after}, func(pick *CleanupPick) bool {
				if !slices.Contains(entries, pick.EntryID) {
					entries = append(entries, pick.EntryID)
				}
				return len(entries) < cleanupEntries
			})
		})
		if err != nil {
			return false, err
		}
		for _, entry := range entries {
			for more := true; more; {
				if ctx.Err() != nil || time.Now().After(deadline) {
					return false, nil
				}
				if more, err = r.cleanEntry(ctx, p, entry); err != nil {
					return false, err
				}
			}
			after = entry
		}
		if len(entries) < cleanupEntries {
			return true, nil
		}
	}
}

// cleanEntry takes away some of what goes of an entry, as it is while nobody else can change it, and tells whether there
// may be more.
func (r *Registry) cleanEntry(ctx context.Context, p *CleanupPolicy, id int64) (more bool, err error) {
	err = r.Store.Write(ctx, func(tx Tx) error {
		entry, err := tx.EntryByID(id)
		if err != nil {
			return err
		}
		if entry, err = tx.TouchEntry(entry.ProjectID, entry.Type, entry.Name); err != nil {
			return err
		}
		var picks []*CleanupPick
		weight := int64(0)
		err = cleanupPicks(tx, p, CleanupScope{Entry: id}, func(pick *CleanupPick) bool {
			picks = append(picks, pick)
			if weight++; len(pick.Reasons) == 0 {
				weight += pick.SpareFiles
			}
			return weight < cleanupBatch
		})
		if err != nil {
			return err
		}
		if len(picks) == 0 {
			return errEnough // somebody else removed them; the revision stays as it was
		}
		more = weight >= cleanupBatch
		// Whoever counts downloads takes packages in this order too.
		slices.SortFunc(picks, func(a, b *CleanupPick) int { return cmp.Compare(a.ID, b.ID) })
		var removed CleanupTotals
		for _, pick := range picks {
			if err := removePick(tx, p, pick, &removed); err != nil {
				return err
			}
		}
		if entry.Listed > Within(0) { // the last of a kind may be among what went
			if err := findLatest(tx, r.Format(entry.Type), id); err != nil {
				return err
			}
		}
		return tx.AdvanceCleanup(p, removed, cleanupLease)
	})
	if errors.Is(err, errEnough) {
		return false, nil
	}
	return more, err
}

// removePick takes a version away, or some of its spare files, and adds that to removed. Latest versions are never among
// what goes.
func removePick(tx Tx, p *CleanupPolicy, pick *CleanupPick, removed *CleanupTotals) error {
	if len(pick.Reasons) > 0 {
		removed.add(pick)
		if err := tx.MarkForDestruction(pick.ID); err != nil {
			return err
		}
		return tx.Record(&Event{Name: PackageDeleted, ProjectID: pick.ProjectID, Target: pick.title(), Detail: "cleanup policy: " + strings.Join(pick.Reasons, ", ")})
	}
	files, err := tx.SpareFiles(pick.ID, p.KeepFiles, cleanupBatch)
	if err != nil {
		return err
	}
	for _, f := range files {
		removed.Files++
		removed.Bytes += f.Size
		if err := tx.MarkFile(f.ID); err != nil {
			return err
		}
		if err := tx.Record(&Event{Name: PackageFileDeleted, ProjectID: pick.ProjectID, Target: pick.title(), Detail: f.Name + " (cleanup policy)"}); err != nil {
			return err
		}
	}
	return nil
}
