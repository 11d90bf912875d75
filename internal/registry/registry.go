package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// Registry is the rules about packages and the accounts that use them, over a store and the blobs.
type Registry struct {
	Store Store
	Blobs Blobs
	// Redirect lets clients that follow redirects download from the store of the blobs itself, where it can be linked to.
	Redirect bool
	Formats  []Format // all that packages can have
	// DeletionDelay is how long a group or project that was marked for deletion can be restored; 0: it is gone at once.
	DeletionDelay time.Duration

	Downloads Downloads // of all formats

	// Limits of the server, which settings can only lower; 0: none.
	MaxFile  int64 // bytes of a file
	MaxFiles int64 // of a package version
	MaxPush  int64 // bytes of a push to a Git repository

	triesOfName, triesOfAddress limiter // of signing in
	marked                      bell    // rings when there is something to purge
	removed                     bell    // rings when projects were removed for good
	mirrors                     bell    // rings when a mirror is to be fetched
}

// Format is what the domain has to know of a format.
type Format struct {
	Type Type
	// Compare orders two versions of the format: negative when a is the lower one.
	Compare func(a, b string) int
	// Companion tells of files by their names that nobody installs by themselves. They go with the last of the others; nil:
	// there are none.
	Companion func(file string) bool
	// Describe tells people of a version, from its files and the fragments that the format has written; fragment is nil for one that
	// is not there. nil: the format has nothing to tell.
	Describe func(files []*File, fragment func(variant string) ([]byte, error)) (*Description, error)
}

// LatestTag is the tag whose package an entry shows as its latest version. Without one it is the highest version.
const LatestTag = "latest"

// Publication is all of one version, ready to be published: checked by its format, and its contents staged.
type Publication struct {
	Package   Package           // ProjectID, Type, Name, Version and its key, Traits, Status and its message, CreatorID, PipelineID, Words
	EntryName string            // Name in the format's canonical spelling
	How       Way               // it comes to the version
	OwnName   bool              // no other project below the top-level namespace may have the name
	Claim     *Project          // set: name and version are claimed in the project's top-level namespace
	Files     []PublicationFile // at least one
	Fragments map[string][]byte // variant of index document → this version's own piece
	Tags      []string
	Unchanged bool // set by Publish: the version had all of the files already
}

// Way is how a publication comes to its version, which may be there already.
type Way int

// The ways.
const (
	Whole Way = iota // it is all of the version. One that is there stays, or is replaced where the settings allow duplicates
	Grow             // its files are added to the version
	Join             // the same, and the version has to be there, with files
	Point            // from then on the version is its one new file, as a tag is the commit that it names; the files before stay. One that is there may be moved where the settings allow duplicates
	Float            // the same, whatever the settings say: a branch
)

// PublicationFile is a file and its staged content.
type PublicationFile struct {
	Name    string
	Content Staged
	Facts   string // see [File]
	Symbols []PublicationSymbol
}

// PublicationSymbol is a symbol, but for what its content says, and its staged content.
type PublicationSymbol struct {
	Symbol
	Content Staged
}

// Publish makes a version visible, whole, in one transaction: when it returns nil, the version is durable and part of
// each document that is read from then on. Its cost does not depend on how many versions there are.
//
// It returns Conflict when the version exists: of any number of publishers at once, one wins. Where the settings allow
// duplicates, the version that exists is replaced instead, with its tags. It returns Forbidden when a rule protects the
// name from the actor of ctx, TooLarge for more files than a version may have, NotFound when a version that has to be
// there is not. After an error nothing is visible; the caller discards what is staged in any case. Only a transaction
// that is given up or begun again at its end leaves blobs, which nothing names.
func (r *Registry) Publish(ctx context.Context, format Format, p *Publication) (err error) {
	defer Wrap(&err, "Publish(%d, %q, %q)", p.Package.ProjectID, p.EntryName, p.Package.Version)
	defer func() {
		if errors.Is(err, errSame) { // the transaction was rolled back: not even the revision moved
			p.Unchanged, err = true, nil
		}
	}()
	asked := p.Package
	described, err := p.describe(format)
	if err != nil {
		return err
	}
	return r.whenRemoved(ctx, func(tx Tx) error {
		p.Package = asked // what a run before has found may be gone
		pkg := &p.Package
		entry, err := tx.TouchEntry(pkg.ProjectID, format.Type, p.EntryName)
		if err != nil {
			return err
		}
		pkg.EntryID, pkg.Type, pkg.CreatedAt = entry.ID, format.Type, entry.UpdatedAt // no version is younger than its entry
		if p.Claim != nil {
			if pkg.RootID, err = tx.HoldRoot(p.Claim.ID); err != nil {
				return err
			}
		}
		if p.OwnName {
			if err := tx.OwnName(entry); err != nil {
				return err
			}
		}
		if err := takesPackages(tx, pkg.ProjectID); err != nil {
			return err
		}
		policy, err := tx.Policy(0, pkg.ProjectID)
		if err != nil {
			return err
		}
		if err := policy.protect(ctx, tx, pkg.ProjectID, push, format.Type, pkg.Name, p.EntryName); err != nil {
			return err
		}
		there, replaced, tags := false, false, []string(nil) // of the version that was there
		switch most := policy.MaxFiles(r.MaxFiles); p.How {
		case Whole:
			if err = fits(len(p.Files), most); err == nil && policy.AllowsDuplicate(format.Type, pkg.Name, pkg.Version) {
				tags, replaced, err = makeWay(ctx, tx, policy, entry, pkg, p.EntryName)
			}
		case Grow, Join:
			there, err = grow(ctx, tx, p, policy, most)
		case Point, Float:
			there, err = point(ctx, tx, p, policy, most)
		}
		if err == nil && !there {
			err = tx.CreatePackage(pkg)
		}
		if err != nil {
			return err
		}
		for variant, body := range p.Fragments {
			if err := tx.SetFragment(pkg.ID, variant, body); err != nil {
				return err
			}
		}
		for _, tag := range slices.Concat(p.Tags, tags) {
			if err := tx.SetTag(&Tag{EntryID: entry.ID, Name: tag, PackageID: pkg.ID}); err != nil {
				return err
			}
		}
		for _, file := range p.Files {
			created := file.file()
			created.PackageID = pkg.ID
			if err := tx.CreateFile(created); err != nil {
				return err
			}
			for _, s := range file.Symbols {
				symbol := s.Symbol
				symbol.FileID, symbol.Size, symbol.SHA256 = created.ID, s.Content.Digests().Size, s.Content.Digests().SHA256
				if err := tx.CreateSymbol(&symbol); err != nil {
					return err
				}
			}
		}
		detail := ""
		switch {
		case replaced:
			detail, err = "in place of the one before", findLatest(tx, format, entry.ID)
		case there:
			detail, err = p.Files[0].Name, raiseLatest(tx, format, entry, p, nil)
		default:
			if p.How != Whole {
				detail = p.Files[0].Name
			}
			err = raiseLatest(tx, format, entry, p, described)
		}
		if err != nil {
			return err
		}
		if err := tx.Record(&Event{Name: PackagePublished, ProjectID: pkg.ProjectID, Target: pkg.title(), Detail: detail}); err != nil {
			return err
		}
		// The contents come last, when nothing but the commit itself can fail any more.
		tx.BeforeCommit(func() error {
			for _, file := range p.Files {
				if err := file.Content.Commit(ctx); err != nil {
					return err
				}
				for _, s := range file.Symbols {
					if err := s.Content.Commit(ctx); err != nil {
						return err
					}
				}
			}
			return nil
		})
		return nil
	})
}

// file is a row for it, of no package yet.
func (f *PublicationFile) file() *File {
	return &File{Name: f.Name, Digests: f.Content.Digests(), Facts: f.Facts}
}

// describe describes the version, as its format would when it is there. It does so before the transaction, in which others wait; nil for a
// format that describes nothing.
func (p *Publication) describe(format Format) (*Description, error) {
	if format.Describe == nil {
		return nil, nil
	}
	var files []*File
	for _, file := range p.Files[:min(len(p.Files), describedFiles)] {
		files = append(files, file.file())
	}
	d, err := format.Describe(files, func(variant string) ([]byte, error) { return p.Fragments[variant], nil })
	if err == nil {
		d.bound()
	}
	return d, err
}

// takesPackages looks at a project again, within the transaction that publishes: an upload may take long, and meanwhile
// the project may have been archived or be on its way out. It returns Forbidden and NotFound for these.
func takesPackages(tx Tx, project int64) error {
	p, err := tx.Project(project)
	switch {
	case err != nil:
		return err
	case p.Hidden():
		return Errorf(NotFound, "404 Project Not Found")
	case p.Archived:
		return Errorf(Forbidden, "403 Forbidden")
	}
	return nil
}

// makeWay takes the version that is to be published again out of sight, in the transaction that publishes it, and
// returns its tags. Whoever may not delete it may not replace it either.
func makeWay(ctx context.Context, tx Tx, policy *Policy, entry *Entry, pkg *Package, entryName string) (tags []string, replaced bool, err error) {
	old, err := tx.PackageByVersion(entry.ID, pkg.Key())
	if KindOf(err) == NotFound {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if err := policy.protect(ctx, tx, pkg.ProjectID, destroy, pkg.Type, old.Name, entryName); err != nil {
		return nil, false, err
	}
	set, err := tx.Tags([]int64{entry.ID})
	if err != nil {
		return nil, false, err
	}
	for _, tag := range set {
		if tag.PackageID == old.ID {
			tags = append(tags, tag.Name)
		}
	}
	return tags, true, tx.MarkForDestruction(old.ID)
}

// fits says, as TooLarge, whether a version may have so many files; most 0: as many as it likes.
func fits(files int, most int64) error {
	if most > 0 && int64(files) > most {
		return Errorf(TooLarge, "A package version has %d files at most", most)
	}
	return nil
}

// grow finds the version that a publication adds files to, if it is there, and takes those that it replaces out of sight. It
// returns errSame when the version has all of them already, and Conflict when it has another content under one of their
// names, and duplicates are not allowed. Whoever may not delete may not replace.
func grow(ctx context.Context, tx Tx, p *Publication, policy *Policy, most int64) (there bool, err error) {
	existing, err := tx.PackageByVersion(p.Package.EntryID, p.Package.Key())
	switch {
	case KindOf(err) == NotFound && p.How == Join:
		return false, errNothingToJoin
	case KindOf(err) == NotFound:
		return false, fits(len(p.Files), most)
	case err != nil:
		return false, err
	}
	p.Package = *existing
	_, had, err := tx.PageFiles(existing.ID, "id", false, 1, 0)
	if err != nil {
		return false, err
	}
	if p.How == Join && had == 0 { // all of its files were deleted, and no client may install what comes now
		return false, errNothingToJoin
	}
	same := 0
	for _, file := range p.Files {
		old, err := tx.FileByName(existing.ID, file.Name)
		switch {
		case KindOf(err) == NotFound:
			continue
		case err != nil:
			return false, err
		case old.SHA256 == file.Content.Digests().SHA256:
			same++
		case !policy.AllowsDuplicate(existing.Type, existing.Name, existing.Version):
			return false, Errorf(Conflict, "File name has already been taken")
		default:
			if err := policy.protect(ctx, tx, existing.ProjectID, destroy, existing.Type, existing.Name, p.EntryName); err != nil {
				return false, err
			}
			if err := tx.MarkFile(old.ID); err != nil {
				return false, err
			}
			had--
		}
	}
	if same == len(p.Files) {
		return false, errSame
	}
	return true, fits(had+len(p.Files), most)
}

var errNothingToJoin = Errorf(NotFound, "404 Package Not Found")

// pointsDropped is how many files a publish drops at most, where a version has more of them than it may have.
const pointsDropped = 100

// point finds the version, if it is there, that is to be another file from now on. Of one that has as many files as it may,
// the oldest goes. It returns errSame when the version is that file already, and Conflict when it should stay what it is.
// Whoever may not delete may not replace.
func point(ctx context.Context, tx Tx, p *Publication, policy *Policy, most int64) (there bool, err error) {
	existing, err := tx.PackageByVersion(p.Package.EntryID, p.Package.Key())
	if KindOf(err) == NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if existing.Version != p.Package.Version { // a tag beside that one, and not the same
		return false, Errorf(Conflict, "Version is the same as %s, which is there already", existing.Version)
	}
	words := p.Package.Words
	p.Package = *existing
	newest, had, err := tx.PageFiles(existing.ID, "id", true, 1, 0)
	if err != nil {
		return false, err
	}
	file := p.Files[0]
	switch {
	case had > 0 && newest[0].Name == file.Name && newest[0].SHA256 == file.Content.Digests().SHA256:
		return false, errSame
	case p.How == Float || had == 0:
	case !policy.AllowsDuplicate(existing.Type, existing.Name, existing.Version):
		return false, Errorf(Conflict, "Version has already been taken")
	default:
		if err := policy.protect(ctx, tx, existing.ProjectID, destroy, existing.Type, existing.Name, p.EntryName); err != nil {
			return false, err
		}
	}
	drop := func(f *File, err error) error {
		if err == nil {
			err = tx.MarkFile(f.ID)
			had--
		}
		return err
	}
	// What it was once, and is again, comes to be the newest.
	if err := drop(tx.FileByName(existing.ID, file.Name)); err != nil && KindOf(err) != NotFound {
		return false, err
	}
	if most > 0 && int64(had) >= most {
		oldest, _, err := tx.PageFiles(existing.ID, "id", false, min(had-int(most)+1, pointsDropped), 0)
		if err != nil {
			return false, err
		}
		for _, f := range oldest {
			if err := drop(f, nil); err != nil {
				return false, err
			}
		}
	}
	return true, tx.SetWords(existing.ID, existing.Name, words)
}

// errSame rolls a publish back that would change nothing.
var errSame = errors.New("nothing changes")

// raiseLatest sets an entry's latest version, and what is listed of it, after one was added, without looking at the others. described
// is a version that is new, which is all in p; nil: there was more of it before.
func raiseLatest(tx Tx, format Format, entry *Entry, p *Publication, described *Description) error {
	listed := entry.Listed | kinds([]*Package{&p.Package})
	set := func() error {
		if described == nil {
			return setLatest(tx, format, entry.ID, p.Package.ID, listed)
		}
		if err := tx.SetLatest(entry.ID, p.Package.ID, listed); err != nil {
			return err
		}
		return setNeeds(tx, format, entry.ID, described)
	}
	if slices.Contains(p.Tags, LatestTag) || entry.LatestID == 0 {
		return set()
	}
	tags, err := tx.Tags([]int64{entry.ID})
	if err != nil {
		return err
	}
	tagged := slices.ContainsFunc(tags, func(t *Tag) bool { return t.Name == LatestTag })
	latest, err := tx.Package(entry.LatestID)
	switch {
	case err != nil:
		return err
	case !tagged && !behind(format, &p.Package, latest):
		return set()
	case listed != entry.Listed:
		return tx.SetLatest(entry.ID, latest.ID, listed)
	}
	return nil
}

// behind tells whether another version goes before p as the latest one: of equal ones the newer, p, is the latest.
func behind(format Format, p, other *Package) bool {
	if p.Status == Hidden || other.Status == Hidden {
		return other.Status != Hidden || p.Status == Hidden && format.Compare(p.Version, other.Version) < 0
	}
	return format.Compare(p.Version, other.Version) < 0
}

// findLatest sets an entry's latest version anew.
func findLatest(tx Tx, format Format, entry int64) error {
	packages, err := tx.Packages([]int64{entry})
	if err != nil {
		return err
	}
	tags, err := tx.Tags([]int64{entry})
	if err != nil {
		return err
	}
	var id int64
	if latest := Latest(format, packages, tags); latest != nil {
		id = latest.ID
	}
	return setLatest(tx, format, entry, id, kinds(packages))
}

// Latest picks the latest version: the one with that tag, otherwise the highest of those that are not hidden, or else of
// all. It is nil when there are none.
func Latest(format Format, packages []*Package, tags []*Tag) *Package {
	for _, tag := range slices.Backward(tags) {
		if tag.Name == LatestTag {
			if i := slices.IndexFunc(packages, func(p *Package) bool { return p.ID == tag.PackageID }); i >= 0 {
				return packages[i]
			}
		}
	}
	var latest *Package
	for _, p := range packages {
		if latest == nil || !behind(format, p, latest) {
			latest = p
		}
	}
	return latest
}

// SetTag lets tag name a version, which it returns NotFound for when it does not exist.
func (r *Registry) SetTag(ctx context.Context, format Format, project int64, name, tag, version string) error {
	return r.Store.Write(ctx, func(tx Tx) error {
		entry, err := tx.TouchEntry(project, format.Type, name)
		if err != nil {
			return err
		}
		if err := guard(ctx, tx, project, push, format.Type, name); err != nil {
			return err
		}
		pkg, err := tx.PackageByVersion(entry.ID, version)
		if err != nil {
			return err
		}
		if _, files, err := tx.PageFiles(pkg.ID, "id", false, 1, 0); err != nil || files == 0 {
			return cmp.Or(err, Errorf(NotFound, "404 Not found")) // its last file was deleted
		}
		if err := tx.SetTag(&Tag{EntryID: entry.ID, Name: tag, PackageID: pkg.ID}); err != nil {
			return err
		}
		if err := tx.Record(&Event{Name: PackageChanged, ProjectID: project, Target: pkg.title(), Detail: "tag " + tag}); err != nil {
			return err
		}
		if tag != LatestTag {
			return nil
		}
		return setLatest(tx, format, entry.ID, pkg.ID, entry.Listed)
	})
}

// DeleteTag removes a tag. It returns NotFound when there is none.
func (r *Registry) DeleteTag(ctx context.Context, format Format, project int64, name, tag string) error {
	return r.Store.Write(ctx, func(tx Tx) error {
		entry, err := tx.TouchEntry(project, format.Type, name)
		if err != nil {
			return err
		}
		if err := guard(ctx, tx, project, push, format.Type, name); err != nil {
			return err
		}
		if err := tx.DeleteTag(entry.ID, tag); err != nil {
			return err
		}
		if err := tx.Record(&Event{Name: PackageChanged, ProjectID: project, Target: string(format.Type) + " " + name, Detail: "tag " + tag + " removed"}); err != nil {
			return err
		}
		if tag != LatestTag {
			return nil
		}
		return findLatest(tx, format, entry.ID)
	})
}

// versionsOf are the packages of an entry. It returns NotFound when there are none.
func versionsOf(tx Tx, entry *Entry) ([]*Package, error) {
	packages, err := tx.Versions(entry.ID)
	if err == nil && len(packages) == 0 {
		err = Errorf(NotFound, "404 Not found")
	}
	return packages, err
}

// Deprecate sets why versions should not be used any more; an empty reason takes it back. Versions that do not exist
// are passed over. It returns NotFound when there is no such name.
func (r *Registry) Deprecate(ctx context.Context, format Format, project int64, name string, reasons map[string]string) error {
	return r.Store.Write(ctx, func(tx Tx) error {
		entry, err := tx.Entry(project, format.Type, name)
		if err != nil {
			return err
		}
		packages, err := versionsOf(tx, entry)
		if err != nil {
			return err
		}
		if err := guard(ctx, tx, project, push, format.Type, name); err != nil {
			return err
		}
		changed := false
		for _, p := range packages {
			reason, named := reasons[p.Version]
			if !named || reason == p.StatusMessage || p.Status == Processing || p.Status == Failed {
				continue
			}
			event := &Event{Name: PackageChanged, ProjectID: project, Target: p.title(), Detail: "no longer deprecated"}
			p.Status, p.StatusMessage = Default, reason
			if reason != "" {
				p.Status, event.Detail = Deprecated, "deprecated: "+reason
			}
			if err := tx.UpdatePackage(p); err != nil {
				return err
			}
			if err := tx.Record(event); err != nil {
				return err
			}
			changed = true
		}
		if changed {
			_, err = tx.TouchEntry(project, format.Type, name)
		}
		return err
	})
}

// Unpublish removes the versions that keep does not want. revision is the one that the caller saw: when the entry has
// moved on, somebody may have published what keep knows nothing of, and Unpublish returns Conflict. It returns NotFound
// when there is no version at all.
func (r *Registry) Unpublish(ctx context.Context, format Format, project int64, name string, revision int64, keep func(version string) bool) error {
	return r.mark(ctx, func(tx Tx) error {
		entry, err := tx.TouchEntry(project, format.Type, name)
		if err != nil {
			return err
		}
		packages, err := versionsOf(tx, entry)
		if err != nil {
			return err
		}
		if entry.Revision != revision+1 {
			return Errorf(Conflict, "the package was changed meanwhile; fetch it and try again")
		}
		if err := guard(ctx, tx, project, destroy, format.Type, name); err != nil {
			return err
		}
		for _, p := range packages {
			if keep(p.Version) {
				continue
			}
			if err := remove(tx, p); err != nil {
				return err
			}
		}
		return findLatest(tx, format, entry.ID)
	})
}
