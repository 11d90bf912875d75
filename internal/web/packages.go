package web

import (
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// shownTypes are the formats, in the order in which pages name them.
var shownTypes = []registry.Type{registry.NPM, registry.PyPI, registry.NuGet, registry.Composer, registry.Maven, registry.Conan, registry.Generic}

// formatNames are how their people write them, where that is not the type of the API.
var formatNames = map[string]string{"pypi": "PyPI", "nuget": "NuGet", "composer": "Composer", "maven": "Maven", "conan": "Conan", "generic": "Generic"}

func formatName(kind any) string { return cmp.Or(formatNames[asText(kind)], asText(kind)) }

// types are the formats that the server speaks.
func (h *Handler) types() (types []registry.Type) {
	for _, kind := range shownTypes {
		if slices.ContainsFunc(h.Registry.Formats, func(f registry.Format) bool { return f.Type == kind }) {
			types = append(types, kind)
		}
	}
	return types
}

func typeNames() (names []string) {
	for _, t := range shownTypes {
		names = append(names, string(t))
	}
	return names
}

// packagePath is the address of the page of a package, which the REST API calls web_path.
func packagePath(p *registry.Project, id int64) string {
	return fmt.Sprintf("/%s/-/packages/%d", p.FullPath, id)
}

// ---- lists

type packagesPage struct {
	Rows    []row
	Name    string
	Version string
	Type    string
	Status  string
	Sort    string
	Any     bool         // there is something to filter
	Empty   *publishPage // how to publish the first one
	paging
}

// sorts are the orders of a list of packages, each with its direction.
var sorts = []string{"newest", "oldest", "name", "-name", "version", "-version", "type", "project"}

// Toggled is the order that the head of a column leads to.
func (p packagesPage) Toggled(column string) string {
	if p.Sort == column {
		return p.With("sort", "-"+column)
	}
	return p.With("sort", column)
}

// packages lists the packages of a project, or those of the projects below a group that the person may read.
func (h *Handler) packages(q *request) error {
	page := packagesPage{Name: q.param("name"), Version: q.param("version"), Type: q.choice("type", append([]string{""}, typeNames()...)...),
		Status: q.choice("status", "", "deprecated", "hidden"), Sort: q.choice("sort", sorts...), paging: q.paging(30)}
	f := registry.PackageFilter{Type: registry.Type(page.Type), Version: page.Version, Statuses: registry.Listed, Limit: page.Size, Offset: page.Offset(), Viewer: q.who.Viewer()}
	terms := strings.Fields(page.Name)
	f.Terms = terms[:min(len(terms), maxQuery)]
	if q.place.Project != nil {
		if err := q.require(access.Read); err != nil {
			return err
		}
		f.Project = q.place.Project.ID
	} else {
		f.Group = q.place.Group
	}
	switch page.Status {
	case "deprecated":
		f.Statuses = []registry.Status{registry.Deprecated}
	case "hidden":
		if !q.place.Deletes() { // nobody else is told of them
			page.Status = ""
		} else {
			f.Statuses = []registry.Status{registry.Hidden}
		}
	}
	by, descending := strings.CutPrefix(page.Sort, "-")
	f.Order, f.Descending = map[string]registry.PackageOrder{"newest": registry.ByCreation, "oldest": registry.ByCreation, "name": registry.ByName, "version": registry.ByVersion,
		"type": registry.ByType, "project": registry.ByProjectPath}[by], descending || by == "newest"
	if f.Order == registry.ByProjectPath && f.Group == nil {
		f.Order = registry.ByCreation
	}
	err := q.read(func(tx registry.Tx) error {
		packages, total, err := tx.ListPackages(f)
		if err != nil {
			return err
		}
		page.Total = total
		page.Rows, err = q.rows(tx, packages)
		return err
	})
	if err != nil {
		return err
	}
	page.Any = page.Total > 0 || page.Name+page.Version+page.Type+page.Status != ""
	if !page.Any && q.place.Publishes() {
		page.Empty = q.howToPublish()
	}
	return q.render("packages", q.place.FullPath()+" · "+q.t("Packages"), page)
}

// ---- one package

type packagePage struct {
	*registry.Package
	Entry       *registry.Entry
	Tab         string
	Tags        []*registry.Tag
	Publisher   *registry.User
	Pipeline    *registry.Pipeline
	Files       []*registry.File
	FileCount   int
	FileBytes   int64
	FilePages   paging
	Versions    []version
	Count       int // of versions
	Newer       *registry.Package
	Description *registry.Description
	Needs       int // dependencies
	Readme      template.HTML
	Install     installing
	Downloads   chart
	Month       int64
	Known       map[string]*found // dependencies that are here, by their canonical name
	Users       []found           // that depend on it
	UserCount   int
}

// Yankable, Listable: what the format knows.
func (p *packagePage) Yankable() bool { return p.Type == registry.NPM || p.Type == registry.PyPI }
func (p *packagePage) Listable() bool { return p.Type == registry.NuGet }

// Yanked tells whether it should not be chosen any more; Unlisted, whether lists do not show it.
func (p *packagePage) Yanked() bool   { return p.Status == registry.Deprecated }
func (p *packagePage) Unlisted() bool { return p.Status == registry.Hidden }

// ShowsLatest tells whether it is the latest version without a tag that says so.
func (p *packagePage) ShowsLatest() bool {
	return p.Entry.LatestID == p.ID && !slices.ContainsFunc(p.Tags, func(t *registry.Tag) bool { return t.Name == registry.LatestTag })
}

func (v version) ShowsLatest() bool { return v.Latest && !slices.Contains(v.Tags, registry.LatestTag) }

type version struct {
	*registry.Package
	Tags   []string
	Latest bool
	Here   bool
}

const (
	downloadDays  = 90
	versionsShown = 50
	filesShown    = 50
)

// reach finds a package of the project, as the REST API does by its id.
func (q *request) reach(tx registry.Tx) (*registry.Package, error) {
	p, err := tx.Package(q.number("package_id"))
	if err == nil && (p.ProjectID != q.place.Project.ID || !slices.Contains(q.shown(), p.Status)) {
		err = errNoPage
	}
	return p, err
}

// shown are the statuses of versions that the person is told of: of those that are not listed, only who may list them again.
func (q *request) shown() []registry.Status {
	if q.place.Deletes() {
		return []registry.Status{registry.Default, registry.Deprecated, registry.Hidden}
	}
	return []registry.Status{registry.Default, registry.Deprecated}
}

func (h *Handler) showPackage(q *request) error {
	if q.place.Project == nil {
		return errNoPage
	}
	if err := q.require(access.Read); err != nil {
		return err
	}
	page := &packagePage{Tab: q.choice("tab", "readme", "versions", "dependencies", "files", "manage")}
	if page.Tab == "manage" && !q.place.Deletes() {
		page.Tab = "readme"
	}
	err := q.read(func(tx registry.Tx) (err error) {
		if page.Package, err = q.reach(tx); err != nil {
			return err
		}
		if page.Entry, err = tx.EntryByID(page.EntryID); err != nil {
			return err
		}
		return q.readPackage(tx, page)
	})
	if err != nil {
		return err
	}
	page.Install = q.installing(page.Package)
	if page.Tab == "readme" {
		page.Readme = h.readmes.render(page.Description.Readme, page.Description.ReadmeType)
	}
	return q.render("package", page.Name+" "+page.Version+" · "+q.place.FullPath(), page)
}

// readPackage reads what the tab shows of a package.
func (q *request) readPackage(tx registry.Tx, page *packagePage) (err error) {
	if page.Tags, err = tx.TagsOf([]int64{page.ID}); err != nil {
		return err
	}
	if page.Count, err = tx.CountVersions(page.EntryID, q.shown()); err != nil {
		return err
	}
	if page.Entry.LatestID != 0 && page.Entry.LatestID != page.ID {
		newer, err := tx.Package(page.Entry.LatestID)
		if err != nil {
			return err
		}
		if slices.Contains(q.shown(), newer.Status) {
			page.Newer = newer
		}
	}
	page.FilePages = q.paging(filesShown)
	if page.Tab != "files" {
		page.FilePages.Number = 1
	}
	if page.Files, page.FileCount, err = tx.PageFiles(page.ID, "file_name", false, filesShown, page.FilePages.Offset()); err != nil {
		return err
	}
	page.FilePages.Total = page.FileCount
	if page.Description, err = q.h.Registry.Describe(tx, page.Package); err != nil {
		return err
	}
	for _, group := range page.Description.Groups {
		page.Needs += len(group.Dependencies)
	}
	switch page.Tab {
	case "versions":
		return q.readVersions(tx, page)
	case "readme":
		return q.readOverview(tx, page)
	case "dependencies":
		return q.readDependencies(tx, page)
	}
	return nil
}

func (q *request) readVersions(tx registry.Tx, page *packagePage) error {
	all, err := tx.Versions(page.EntryID)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(p *registry.Package) bool { return !slices.Contains(q.shown(), p.Status) })
	format := q.h.Registry.Format(page.Type)
	slices.SortStableFunc(all, func(a, b *registry.Package) int { return format.Compare(b.Version, a.Version) })
	page.FilePages = q.paging(versionsShown)
	page.FilePages.Total = len(all)
	tags, err := tx.Tags([]int64{page.EntryID})
	if err != nil {
		return err
	}
	from := min(page.FilePages.Offset(), len(all))
	for _, p := range all[from:min(from+versionsShown, len(all))] {
		v := version{Package: p, Latest: p.ID == page.Entry.LatestID, Here: p.ID == page.ID}
		for _, tag := range tags {
			if tag.PackageID == p.ID {
				v.Tags = append(v.Tags, tag.Name)
			}
		}
		page.Versions = append(page.Versions, v)
	}
	return nil
}

// readDependencies finds which of the packages that a version needs are here, and which ones here need it.
func (q *request) readDependencies(tx registry.Tx, page *packagePage) error {
	var names []string
	for _, group := range page.Description.Groups {
		for _, d := range group.Dependencies {
			names = append(names, d.Key)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	page.Known = map[string]*found{}
	if names = names[:min(len(names), maxKnown)]; len(names) > 0 {
		here, err := q.founds(tx, registry.EntryFilter{Type: page.Type, Viewer: q.who.Viewer(), Known: true, Listed: registry.AnyKind, Names: names, Once: true, NoTotal: true, Limit: maxKnown})
		if err != nil {
			return err
		}
		for i := range here {
			page.Known[here[i].Name] = &here[i]
		}
	}
	entries, total, err := tx.Dependents(page.Type, page.Entry.Name, q.who.Viewer(), usersShown)
	if err != nil {
		return err
	}
	page.UserCount = total
	page.Users, err = q.withLatest(tx, entries)
	return err
}

const (
	maxKnown   = 500
	usersShown = 50
)

func (q *request) readOverview(tx registry.Tx, page *packagePage) (err error) {
	if page.FileBytes, err = tx.FilesSize(page.ID); err != nil {
		return err
	}
	if page.CreatorID != 0 {
		user, err := tx.User(page.CreatorID)
		if err == nil {
			page.Publisher = user
		} else if registry.KindOf(err) != registry.NotFound {
			return err
		}
	}
	if page.PipelineID != 0 {
		pipelines, err := tx.Pipelines([]int64{page.PipelineID})
		if err != nil {
			return err
		}
		if len(pipelines) > 0 {
			page.Pipeline = pipelines[0]
		}
	}
	to := time.Now().UTC().Truncate(24 * time.Hour)
	from := to.AddDate(0, 0, 1-downloadDays)
	whole, err := tx.DownloadsOfName(page.EntryID, from, to)
	if err != nil {
		return err
	}
	own, err := tx.DownloadsByDay(page.ID, 0, from, to)
	if err != nil {
		return err
	}
	page.Downloads = newChart(from, to, whole, own)
	for _, d := range own {
		if !d.Day.Before(to.AddDate(0, 0, -29)) {
			page.Month += d.Count
		}
	}
	return nil
}

// external tells of the address of a link whether it may be followed: to the web, and nowhere else.
func external(address string) string {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	return u.String()
}

// WebLinks are the links of the description that lead to the web.
func (p *packagePage) WebLinks() (links []registry.Link) {
	for _, link := range p.Description.Links {
		if link.URL = external(link.URL); link.URL != "" {
			links = append(links, link)
		}
	}
	return links
}

// PipelineURL is the page of the pipeline, if that is one of the web.
func (p *packagePage) PipelineURL() string { return external(p.Pipeline.WebURL) }

// Digests are those of a file, to be copied whole.
func (p *packagePage) Digests(f *registry.File) (all []copyLine) {
	for _, digest := range []copyLine{{"SHA-256", f.SHA256}, {"SHA-512", f.SHA512}, {"SHA-1", f.SHA1}, {"MD5", f.MD5}} {
		if digest.Text != "" {
			all = append(all, digest)
		}
	}
	return all
}

// To is the address of a tab.
func (p *packagePage) To(tab string) string {
	if tab == "readme" {
		return "?"
	}
	return "?tab=" + tab
}

// download sends a file of a package, as the REST API does.
func (h *Handler) download(q *request) error {
	if q.place.Project == nil {
		return errNoPage
	}
	if err := q.require(access.Read); err != nil {
		return err
	}
	var file *registry.File
	err := q.read(func(tx registry.Tx) (err error) {
		file, err = tx.File(q.number("package_file_id"))
		return err
	})
	if err != nil {
		return err
	}
	r, err := q.apiRequest(q.Method, fmt.Sprintf("/projects/%d/packages/%d/package_files/%d/download", q.place.Project.ID, file.PackageID, file.ID), nil)
	if err != nil {
		return err
	}
	for _, name := range []string{"Range", "If-Range", "If-None-Match"} {
		if value := q.Header.Get(name); value != "" {
			r.Header.Set(name, value)
		}
	}
	h.API.ServeHTTP(q.w, r)
	return nil
}

// ---- changes

func (q *request) packageChange(method, what, done string, form url.Values) error {
	id := q.number("package_id")
	if q.place.Project == nil {
		return errNoPage
	}
	return q.submit(change{method: method, path: fmt.Sprintf("/projects/%d/packages/%d%s", q.place.Project.ID, id, what), form: form,
		done: done, to: packagePath(q.place.Project, id)})
}

// deletable finds the version of the path for those who may delete it.
func (q *request) deletable() (p *registry.Package, err error) {
	if q.place.Project == nil {
		return nil, errNoPage
	}
	if err := q.require(access.Delete); err != nil {
		return nil, err
	}
	err = q.read(func(tx registry.Tx) error {
		p, err = q.reach(tx)
		return err
	})
	return p, err
}

func (h *Handler) deletePackage(q *request) error {
	p, err := q.deletable()
	if err != nil {
		return err
	}
	if err := q.confirmed(p.Name + " " + p.Version); err != nil {
		return err
	}
	return q.submit(change{method: http.MethodDelete, path: fmt.Sprintf("/projects/%d/packages/%d", q.place.Project.ID, q.number("package_id")),
		done: "The version was deleted.", to: q.place.Path("packages")})
}

func (h *Handler) deleteFile(q *request) error {
	if q.unsure() {
		return q.ask("Delete the file %s?", "Installs that need it fail from then on. This cannot be undone.", "Delete the file")
	}
	return q.packageChange(http.MethodDelete, "/package_files/"+strconv.FormatInt(q.number("package_file_id"), 10), "The file was deleted.", nil)
}

func (h *Handler) yank(q *request) error {
	if q.unsure() {
		p, err := q.deletable()
		switch {
		case err != nil:
			return err
		case p.Type == registry.PyPI:
			return q.ask("Yank %s?", "Installers choose it only where it is pinned, and say why. It stays, and can be taken back.", "Yank")
		}
		return q.ask("Deprecate %s?", "Installers warn with the reason. It stays, and can be taken back.", "Deprecate")
	}
	return q.packageChange(http.MethodPost, "/yank", "The version should not be chosen any more.", q.fields("reason"))
}

func (h *Handler) unyank(q *request) error {
	return q.packageChange(http.MethodPost, "/unyank", "The version may be chosen again.", nil)
}

func (h *Handler) unlist(q *request) error {
	if q.unsure() {
		return q.ask("Unlist %s?", "Lists and searches do not show it any more. Whoever knows it can install it.", "Unlist it")
	}
	return q.setListed(false, "The version is not listed any more.")
}
func (h *Handler) list(q *request) error { return q.setListed(true, "The version is listed again.") }

// setListed is for formats that know of it. Their own protocols do it; the REST API has no route for it.
func (q *request) setListed(listed bool, done string) error {
	if q.place.Project == nil {
		return errNoPage
	}
	if err := q.require(access.Delete); err != nil {
		return err
	}
	id := q.number("package_id")
	err := q.h.Registry.SetListed(q.Context(), id, listed, func(_ registry.Tx, p *registry.Package) error {
		if p.ProjectID != q.place.Project.ID || p.Type != registry.NuGet {
			return errNoPage
		}
		return nil
	})
	if err != nil {
		return err
	}
	return q.done(done, packagePath(q.place.Project, id))
}
