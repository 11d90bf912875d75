package api

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/document"
	"packhouse/internal/registry"
)

// packageTypes and packageStatuses are all that GitLab has: a client may ask for what nothing here is.
var (
	packageTypes = []string{"maven", "npm", "conan", "nuget", "pypi", "composer", "generic", "golang", "debian", "rubygems", "helm",
		"terraform_module", "rpm", "ml_model", "cargo"}
	packageStatuses = []string{"default", "hidden", "processing", "error", "pending_destruction", "deprecated"}
	packageOrders   = []string{string(registry.ByCreation), string(registry.ByName), string(registry.ByVersion), string(registry.ByType)}
)

func (a *API) packageRoutes() []route {
	filters := append([]param{
		inChoice("sort", "asc", "desc"), inChoice("package_type", packageTypes...),
		inText("package_name").says("words and \"phrases\" that occur in the name"), inText("package_version").says("exact"),
		inFlag("include_versionless"), inChoice("status", packageStatuses...),
	}, inPages...)
	const one = "/projects/{id}/packages/{package_id}"
	const unlessModified = "; If-Unmodified-Since is heeded"
	failed := []int{http.StatusPreconditionFailed}
	return []route{
		{"GET /projects/{id}/packages", a.listProjectPackages, operation{tag: "Packages", summary: "Packages of a project", out: []packageJSON{},
			in: append([]param{inChoice("order_by", packageOrders...)}, filters...)}},
		{"GET /groups/{id}/packages", a.listGroupPackages, operation{tag: "Packages", summary: "Packages of a group", out: []packageJSON{},
			in: append([]param{inChoice("order_by", groupOrders...), inFlag("exclude_subgroups")}, filters...)}},
		{"GET " + one, a.showPackage, operation{tag: "Packages", summary: "A package", out: packageJSON{}}},
		{"DELETE " + one, a.deletePackage, operation{tag: "Packages", summary: "Delete a package" + unlessModified, also: failed}},
		{"GET " + one + "/pipelines", a.listPackagePipelines, operation{tag: "Packages", summary: "Pipelines that published a package, the newest first", out: []pipelineJSON{},
			in: []param{inNumber("per_page").says("1 to 20"), inText("cursor").says("from X-NEXT-CURSOR or X-PREV-CURSOR")}}},
		{"GET " + one + "/package_files", a.listPackageFiles, operation{tag: "Packages", summary: "Files of a package", out: []packageFileJSON{},
			in: append([]param{inChoice("order_by", fileOrders...), inChoice("sort", "asc", "desc")}, inPages...)}},
		{"GET " + one + "/package_files/{package_file_id}/download", a.downloadPackageFile, operation{tag: "Packages", summary: "Download a file", out: rawFile}},
		{"DELETE " + one + "/package_files/{package_file_id}", a.deletePackageFile, operation{tag: "Packages", summary: "Delete a file of a package" + unlessModified, also: failed}},
	}
}

var (
	groupOrders = append(slices.Clone(packageOrders), string(registry.ByProjectPath))
	fileOrders  = []string{"id", "created_at", "file_name"}
)

// packagesOf opens a request about the packages of the project :id. Deploy and job tokens count here. What the caller
// may not know of is NotFound, for anonymous callers too, though not for a job, which knows the project's number or path
// from its own configuration. That anybody may pull from a project does not make it known.
func (a *API) packagesOf(w http.ResponseWriter, r *http.Request, action access.Action) (*call, *registry.Project, error) {
	c, err := a.open(w, r)
	if err != nil {
		return nil, nil, err
	}
	p, _, err := c.project(c.text("id", ""))
	switch {
	case err == nil:
		err = orElse(c.view.Authorize(c.who, p, action), registry.Unauthenticated, errForbidden)
	case err == errNoProject && c.who.Token != nil && c.who.Token.Kind == registry.JobToken:
		err = errForbidden
	}
	return c, p, err
}

// ---- lists

// packageFilter reads what the lists of projects and groups have alike.
func (c *call) packageFilter(orders ...string) registry.PackageFilter {
	f := registry.PackageFilter{
		Order:      registry.PackageOrder(c.choice("order_by", string(registry.ByCreation), orders...)),
		Descending: c.choice("sort", "asc", "asc", "desc") == "desc",
		Type:       registry.Type(c.choice("package_type", "", packageTypes...)),
		Version:    c.text("package_version", ""),
		Terms:      terms(c.text("package_name", "")),
		Statuses:   registry.Listed,
	}
	f.Versionless = c.flag("include_versionless", false) && f.Version == ""
	if status := c.choice("status", "", packageStatuses...); status != "" {
		f.Statuses = []registry.Status{registry.Status(slices.Index(packageStatuses, status))}
	}
	return f
}

// terms are the words of a search. What stands between quotation marks is one term.
func terms(query string) []string {
	var found []string
	for rest := strings.Join(strings.Fields(query), " "); rest != ""; rest = strings.TrimPrefix(rest, " ") {
		if inner, ok := strings.CutPrefix(rest, `"`); ok {
			phrase, after, closed := strings.Cut(inner, `"`)
			if closed && phrase != "" && (after == "" || after[0] == ' ') {
				found, rest = append(found, phrase), after
				continue
			}
		}
		word, after, _ := strings.Cut(rest, " ")
		found, rest = append(found, word), after
	}
	return found
}

// packages reads a page of packages and what belongs to them.
func (a *API) packages(r *http.Request, f registry.PackageFilter, pg page) (packages []*registry.Package, total int, x *extras, err error) {
	f.Limit, f.Offset = pg.size, pg.offset()
	err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		if packages, total, err = tx.ListPackages(f); err == nil {
			x, err = extrasOf(tx, packages)
		}
		return err
	})
	return packages, total, x, err
}

func (a *API) listProjectPackages(w http.ResponseWriter, r *http.Request) error {
	c, project, err := a.packagesOf(w, r, access.Read)
	if err != nil {
		return err
	}
	filter, pg := c.packageFilter(packageOrders...), c.page()
	if err := c.wrong(); err != nil {
		return err
	}
	filter.Project = project.ID
	packages, total, x, err := a.packages(r, filter, pg)
	if err != nil {
		return err
	}
	deletes, err := c.mayDelete(project)
	if err != nil {
		return err
	}
	return c.writePage(w, r, pg, total, each(packages, func(p *registry.Package) packageJSON { return c.packageJSON(p, project, deletes, x) }))
}

// listGroupPackages shows what the caller may see, project by project; a project that everybody may pull from is not
// among them for that alone.
func (a *API) listGroupPackages(w http.ResponseWriter, r *http.Request) error {
	c, err := a.open(w, r)
	if err != nil {
		return err
	}
	group, _, err := c.group(c.text("id", ""))
	if err != nil {
		return err
	}
	if err := access.ReadScope(c.who); err != nil {
		return err
	}
	filter, pg := c.packageFilter(groupOrders...), c.page()
	filter.Group, filter.Direct, filter.Viewer = group, c.flag("exclude_subgroups", false), c.who.Viewer()
	if err := c.wrong(); err != nil {
		return err
	}
	packages, total, x, err := a.packages(r, filter, pg)
	if err != nil {
		return err
	}
	if err := c.view.Learn(r.Context(), c.who, each(packages, func(p *registry.Package) int64 { return p.ProjectID })); err != nil {
		return err
	}
	list := []packageJSON{}
	for _, p := range packages {
		project, err := c.view.ProjectByID(p.ProjectID)
		if err != nil {
			return err
		}
		deletes, err := c.mayDelete(project)
		if err != nil {
			return err
		}
		j := c.packageJSON(p, project, deletes, x)
		j.ProjectID, j.ProjectPath = project.ID, project.FullPath
		list = append(list, j)
	}
	return c.writePage(w, r, pg, total, list)
}

// ---- one package

var (
	errNoPackage = refuse(http.StatusNotFound, "Package not found")
	errModified  = refuse(http.StatusPreconditionFailed, "412 Precondition Failed")
)

// reachable tells whether a package of any project may be asked for by its id in this one. deletes says whether the
// caller may delete packages: then also those that are hidden.
func reachable(p *registry.Package, project *registry.Project, deletes bool) bool {
	return p.ProjectID == project.ID && (slices.Contains(registry.Listed, p.Status) || deletes && p.Status == registry.Hidden)
}

// onePackage opens a request about the package :package_id and finds it. read goes on in the same snapshot.
func (a *API) onePackage(w http.ResponseWriter, r *http.Request, parameters func(*call), read func(*call, registry.Tx, *registry.Package) error) (*call, *registry.Project, *registry.Package, error) {
	c, project, err := a.packagesOf(w, r, access.Read)
	if err != nil {
		return nil, nil, nil, err
	}
	id := c.number("package_id", 0)
	parameters(c)
	if err := c.wrong(); err != nil {
		return nil, nil, nil, err
	}
	deletes, err := c.mayDelete(project)
	if err != nil {
		return nil, nil, nil, err
	}
	var pkg *registry.Package
	err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		if pkg, err = tx.Package(id); err != nil {
			return err
		}
		if !reachable(pkg, project, deletes) {
			return errNotFound
		}
		return read(c, tx, pkg)
	})
	return c, project, pkg, err
}

func (a *API) showPackage(w http.ResponseWriter, r *http.Request) error {
	var x *extras
	var versions []packageVersion
	c, project, pkg, err := a.onePackage(w, r, func(*call) {}, func(c *call, tx registry.Tx, p *registry.Package) (err error) {
		if p.Status == registry.Failed {
			return errNoPackage
		}
		if x, err = extrasOf(tx, []*registry.Package{p}); err == nil {
			versions, err = c.versionsJSON(tx, p)
		}
		return err
	})
	if err != nil {
		return err
	}
	deletes, err := c.mayDelete(project)
	if err != nil {
		return err
	}
	j := c.packageJSON(pkg, project, deletes, x)
	j.Versions = &versions
	return writeJSON(w, http.StatusOK, j)
}

// maxPipelines is how many pipelines a page has at most, and by default.
const maxPipelines = 20

func (a *API) listPackagePipelines(w http.ResponseWriter, r *http.Request) error {
	var size int64
	var at idCursor
	var x *extras
	c, _, _, err := a.onePackage(w, r, func(c *call) {
		if size = c.number("per_page", maxPipelines); size < 1 || size > maxPipelines {
			c.problem("per_page does not have a valid value")
		}
		at = c.idCursor()
	}, func(_ *call, tx registry.Tx, p *registry.Package) (err error) {
		if p.Status == registry.Failed {
			return registry.Errorf(registry.NotFound, "404 Package not found Not Found")
		}
		x, err = extrasOf(tx, []*registry.Package{p})
		return err
	})
	if err != nil {
		return err
	}
	all := slices.SortedFunc(maps.Values(x.pipelines), func(a, b *registry.Pipeline) int { return cmp.Compare(b.ID, a.ID) })
	part, before, after := cut(all, func(p *registry.Pipeline) int64 { return p.ID }, at, int(size))
	return c.writeCut(w, r, before, after, each(part, func(p *registry.Pipeline) pipelineJSON { return c.pipelineJSON(p, x.users[p.UserID], "success") }))
}

// deletePackage takes a package out of every reader's sight; what it leaves is removed in the background.
func (a *API) deletePackage(w http.ResponseWriter, r *http.Request) error {
	c, project, err := a.packagesOf(w, r, access.Delete)
	if err != nil {
		return err
	}
	id := c.number("package_id", 0)
	if err := c.wrong(); err != nil {
		return err
	}
	unmodified, err := a.unmodified(r, id)
	if err != nil {
		return err
	}
	err = a.reg.Delete(r.Context(), id, func(tx registry.Tx, p *registry.Package) error {
		if !reachable(p, project, true) {
			return errNotFound
		}
		return unmodified(tx, p)
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// unmodified returns the check that nothing of a package's name was changed since the time that the request's condition
// says: the answer about a package tells of its other versions too. The check is for the transaction that deletes, which
// has bumped the entry once.
func (a *API) unmodified(r *http.Request, id int64) (func(registry.Tx, *registry.Package) error, error) {
	since, conditional := unmodifiedSince(r)
	if !conditional {
		return func(registry.Tx, *registry.Package) error { return nil }, nil
	}
	var seen *registry.Entry // nil: there is no such package
	err := a.reg.Store.Read(r.Context(), func(tx registry.Tx) error {
		p, err := tx.Package(id)
		if err == nil {
			seen, err = tx.EntryByID(p.EntryID)
		}
		return err
	})
	return func(tx registry.Tx, p *registry.Package) error {
		now, err := tx.EntryByID(p.EntryID)
		if err != nil {
			return err
		}
		if seen == nil || now.Revision != seen.Revision+1 || later(seen.UpdatedAt, since) {
			return errModified
		}
		return nil
	}, orElse(err, registry.NotFound, nil)
}

// unmodifiedSince is the time that If-Unmodified-Since names, as HTTP writes times or as ISO 8601 does. One that cannot
// be read is no condition.
func unmodifiedSince(r *http.Request) (since time.Time, conditional bool) {
	text := r.Header.Get("If-Unmodified-Since")
	if t, err := http.ParseTime(text); err == nil {
		return t, true
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05-0700", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// later compares times as exactly as since is: HTTP's have no fractions of a second.
func later(t, since time.Time) bool {
	if since.Nanosecond() == 0 {
		t = t.Truncate(time.Second)
	}
	return t.After(since)
}

// ---- its files

func (a *API) listPackageFiles(w http.ResponseWriter, r *http.Request) error {
	var order string
	var descending bool
	var pg page
	var files []*registry.File
	var total int
	var x *extras
	c, _, pkg, err := a.onePackage(w, r, func(c *call) {
		order, descending, pg = c.choice("order_by", "id", fileOrders...), c.choice("sort", "asc", "asc", "desc") == "desc", c.page()
	}, func(_ *call, tx registry.Tx, p *registry.Package) (err error) {
		if files, total, err = tx.PageFiles(p.ID, order, descending, pg.size, pg.offset()); err == nil {
			x, err = extrasOf(tx, []*registry.Package{p})
		}
		return err
	})
	if err != nil {
		return err
	}
	by := c.publishedBy(pkg, x)
	return c.writePage(w, r, pg, total, each(files, func(f *registry.File) packageFileJSON {
		j := newPackageFileJSON(f)
		if by != nil {
			j.Pipelines = []pipelineJSON{*by}
		}
		return j
	}))
}

func (a *API) downloadPackageFile(w http.ResponseWriter, r *http.Request) error {
	var id int64
	var file *registry.File
	_, _, _, err := a.onePackage(w, r, func(c *call) { id = c.number("package_file_id", 0) }, func(_ *call, tx registry.Tx, p *registry.Package) (err error) {
		if file, err = tx.File(id); err == nil && (file.PackageID != p.ID || p.Status == registry.Failed) {
			err = errNotFound
		}
		return err
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Transfer-Encoding", "binary")
	return document.ServeFile(w, r, a.reg, file)
}

func (a *API) deletePackageFile(w http.ResponseWriter, r *http.Request) error {
	c, project, err := a.packagesOf(w, r, access.Delete)
	if err != nil {
		return err
	}
	id, fileID := c.number("package_id", 0), c.number("package_file_id", 0)
	if err := c.wrong(); err != nil {
		return err
	}
	since, conditional := unmodifiedSince(r)
	err = a.reg.DeleteFile(r.Context(), id, fileID, func(tx registry.Tx, p *registry.Package) error {
		if !reachable(p, project, true) {
			return errNotFound
		}
		if !conditional {
			return nil
		}
		file, err := tx.File(fileID)
		if err == nil && file.PackageID == p.ID && later(file.CreatedAt, since) {
			err = errModified
		}
		return err
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
