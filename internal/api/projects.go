package api

import (
	"cmp"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

func (a *API) projectRoutes() []route {
	const tag = "Projects"
	about := []int{http.StatusMethodNotAllowed}
	lists := slices.Concat([]param{inText("search"), inFlag("membership"), inFlag("owned"), inNumber("min_access_level"), inVisibility, inFlag("archived"),
		inFlag("simple").says("without what follows namespace"), inFlag("statistics"), inChoice("order_by", projectOrders...), inSort, inKeyset, inNumber("id_after"), inNumber("id_before")}, inPages)
	return []route{
		{"GET /projects", a.listProjects(allProjects), operation{tag: tag, summary: "Projects that the caller may know of", out: []projectJSON{}, also: about, in: lists}},
		{"GET /users/{id}/projects", a.listProjects(userProjects), operation{tag: tag, summary: "Projects in the namespace of a user", out: []projectJSON{}, also: about, in: lists}},
		{"GET /groups/{id}/projects", a.listProjects(groupProjects), operation{tag: tag, summary: "Projects of a group", out: []projectJSON{}, also: about,
			in: append([]param{inFlag("include_subgroups")}, lists...)}},
		{"POST /projects", a.createProject, operation{tag: tag, summary: "Create a project", out: projectJSON{},
			in: []param{inName("name"), inName("path"), inNumber("namespace_id"), inText("description"), inVisibility, inFlag("packages_enabled"), inRegistryAccess}}},
		{"GET /projects/{id}", a.showProject, operation{tag: tag, summary: "A project", out: projectJSON{}, in: []param{inFlag("statistics")}}},
		{"PUT /projects/{id}", a.changeProject, operation{tag: tag, summary: "Change a project", out: projectJSON{}, also: about,
			in: []param{inName("name"), inName("path"), inText("description"), inVisibility, inFlag("packages_enabled"), inRegistryAccess}}},
		{"DELETE /projects/{id}", a.deleteProject, operation{tag: tag, summary: "Mark a project for deletion, or remove one that is", out: acceptedJSON{}, status: http.StatusAccepted,
			also: about, in: inRemoval}},
		{"POST /projects/{id}/restore", a.restoreProject, operation{tag: tag, summary: "Restore a project that is marked for deletion", out: projectJSON{}, also: about}},
		{"POST /projects/{id}/archive", a.archiveProject(true), operation{tag: tag, summary: "Make a project read-only", out: projectJSON{}, also: about}},
		{"POST /projects/{id}/unarchive", a.archiveProject(false), operation{tag: tag, summary: "Make an archived project writable", out: projectJSON{}, also: about}},
		{"PUT /projects/{id}/transfer", a.transferProject, operation{tag: tag, summary: "Move a project to another namespace", out: projectJSON{}, also: about,
			in: []param{inText("namespace").must().says("id or full path")}}},
	}
}

var projectOrders = []string{"id", "name", "path", "created_at", "updated_at", "last_activity_at"}

var inRegistryAccess = inChoice("package_registry_access_level", "disabled", "private", "enabled", "public")

// projectJSON is a project as everybody sees it who may know of it.
type projectJSON struct {
	ID                int64         `json:"id"`
	Description       string        `json:"description"`
	Name              string        `json:"name"`
	NameWithNamespace string        `json:"name_with_namespace"`
	Path              string        `json:"path"`
	PathWithNamespace string        `json:"path_with_namespace"`
	CreatedAt         timestamp     `json:"created_at"`
	DefaultBranch     *string       `json:"default_branch"`
	TagList           []string      `json:"tag_list"`
	Topics            []string      `json:"topics"`
	SSHURL            *string       `json:"ssh_url_to_repo"`
	HTTPURL           string        `json:"http_url_to_repo"`
	WebURL            string        `json:"web_url"`
	AvatarURL         *string       `json:"avatar_url"`
	StarCount         int           `json:"star_count"`
	LastActivityAt    timestamp     `json:"last_activity_at"`
	Namespace         namespaceJSON `json:"namespace"`
	*projectDetails
	Statistics *projectStatisticsJSON `json:"statistics,omitempty"`
}

type projectStatisticsJSON struct {
	Commits int `json:"commit_count"`
	statisticsJSON
}

// projectDetails are for those who are signed in.
type projectDetails struct {
	Visibility      registry.Visibility     `json:"visibility"`
	Archived        bool                    `json:"archived"`
	MarkedAt        date                    `json:"marked_for_deletion_at"`
	MarkedOn        date                    `json:"marked_for_deletion_on"`
	PackagesEnabled bool                    `json:"packages_enabled"`
	RegistryAccess  registry.RegistryAccess `json:"package_registry_access_level"`
	CreatorID       *int64                  `json:"creator_id"`
	Links           map[string]string       `json:"_links"`
	Permissions     permissionsJSON         `json:"permissions"`
}

type namespaceJSON struct {
	ID        int64   `json:"id"`
	Name      string  `json:"name"`
	Path      string  `json:"path"`
	Kind      string  `json:"kind"` // "group" or "user"
	FullPath  string  `json:"full_path"`
	ParentID  *int64  `json:"parent_id"`
	AvatarURL *string `json:"avatar_url"`
	WebURL    string  `json:"web_url"`
}

// permissionsJSON is the memberships of the caller: in the project, and in the groups above it.
type permissionsJSON struct {
	Project *permissionJSON `json:"project_access"`
	Group   *permissionJSON `json:"group_access"`
}

type permissionJSON struct {
	Level        registry.Level `json:"access_level"`
	Notification int            `json:"notification_level"`
}

func permission(level registry.Level) *permissionJSON {
	if level == registry.NoAccess {
		return nil
	}
	return &permissionJSON{level, 3} // GitLab's 3: as the user's own setting says
}

// projectsJSON is projects for the caller, with statistics where they may see them: a few queries, however many projects.
func (c *call) projectsJSON(tx registry.Tx, projects []*registry.Project, simple, statistics bool) ([]projectJSON, error) {
	var ids, above []int64
	for _, p := range projects {
		ids = append(ids, p.ID)
		above = append(above, p.Lineage...)
	}
	around, err := c.around(tx, ids, above)
	if err != nil {
		return nil, err
	}
	var sizes map[int64]int64
	if statistics {
		if sizes, err = tx.ProjectSizes(ids); err != nil {
			return nil, err
		}
	}
	return each(projects, func(p *registry.Project) projectJSON {
		namespace := around.group(p.NamespaceID)
		kind, page := "group", "/groups/"+namespace.FullPath
		direct, inherited := around.inProject[p.ID], around.inherited(p.Lineage)
		if namespace.Personal() { // no group: what comes from it is the project's own
			kind, page = "user", "/"+namespace.FullPath
			direct, inherited = max(direct, inherited), registry.NoAccess
		}
		web := c.base + "/" + p.FullPath
		form := projectJSON{
			ID: p.ID, Description: p.Description, Name: p.Name, NameWithNamespace: around.fullName(p.Lineage, p.Name), Path: p.Path, PathWithNamespace: p.FullPath,
			CreatedAt: timestamp(p.CreatedAt), DefaultBranch: c.defaultBranch(p.ID), TagList: []string{}, Topics: []string{}, HTTPURL: web + ".git", WebURL: web, LastActivityAt: timestamp(p.UpdatedAt),
			Namespace: namespaceJSON{ID: namespace.ID, Name: namespace.Name, Path: namespace.Path, Kind: kind, FullPath: namespace.FullPath,
				ParentID: orNull(namespace.ParentID), WebURL: c.base + page},
		}
		if statistics && c.may(max(direct, inherited, around.everywhere), access.Measure) == nil {
			form.Statistics = &projectStatisticsJSON{statisticsJSON: stored(sizes[p.ID], c.repos.Size(p.ID))}
		}
		if simple || c.who.User == nil {
			return form
		}
		self := c.base + "/api/v4/projects/" + strconv.FormatInt(p.ID, 10)
		form.projectDetails = &projectDetails{
			Visibility: p.Visibility, Archived: p.Archived, PackagesEnabled: p.RegistryAccess != registry.RegistryDisabled, RegistryAccess: p.RegistryAccess,
			MarkedAt: date(p.HiddenAt), MarkedOn: date(p.HiddenAt),
			CreatorID: orNull(p.CreatorID), Links: map[string]string{"self": self, "members": self + "/members"},
			Permissions: permissionsJSON{permission(direct), permission(inherited)},
		}
		return form
	}), nil
}

// writeProject answers a project.
func (a *API) writeProject(w http.ResponseWriter, r *http.Request, c *call, status int, p *registry.Project, statistics ...bool) error {
	var forms []projectJSON
	err := a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		forms, err = c.projectsJSON(tx, []*registry.Project{p}, false, slices.Contains(statistics, true))
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, status, forms[0])
}

func (a *API) showProject(w http.ResponseWriter, r *http.Request) error {
	c, err := a.anyone(w, r)
	if err != nil {
		return err
	}
	id, statistics := c.text("id", ""), c.flag("statistics", false)
	if err := c.wrong(); err != nil {
		return err
	}
	project, _, err := c.project(id)
	if err != nil {
		return err
	}
	return a.writeProject(w, r, c, http.StatusOK, project, statistics)
}

// listProjects answers the projects that narrow selects. It reads parameters, and then returns what looks them up.
func (a *API) listProjects(narrow func(*call, *registry.ProjectFilter) (find func() error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.anyone(w, r)
		if err != nil {
			return err
		}
		pg, simple, statistics := c.page(), c.flag("simple", false), c.flag("statistics", false)
		f := registry.ProjectFilter{
			Viewer: c.who.Viewer(), Search: c.text("search", ""), Visibility: c.visibility(""), Archived: c.maybe("archived"), Level: c.level("min_access_level"),
			Order: registry.ProjectOrder(c.choice("order_by", "created_at", projectOrders...)), Descending: c.choice("sort", "desc", "asc", "desc") == "desc",
			Limit: pg.size, Offset: pg.offset(),
		}
		if owned, member := c.flag("owned", false), c.flag("membership", false); owned {
			f.Level = registry.Owner
		} else if member {
			f.Level = max(f.Level, registry.Guest)
		}
		f.AfterID, f.BeforeID = c.number("id_after", 0), c.number("id_before", 0)
		find := narrow(c, &f)
		keyset, err := c.keyset(f.Order == registry.ProjectsByID)
		if err := errors.Join(c.wrong(), err); err != nil {
			return err
		}
		if err := find(); err != nil {
			return err
		}
		if keyset {
			f.NoTotal, f.Limit, f.Offset = true, pg.size+1, 0
		} else if err := pg.bounded("Project"); err != nil {
			return err
		}
		var total int
		var projects []*registry.Project
		var forms []projectJSON
		var next map[string]string
		err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
			if projects, total, err = tx.Projects(f); err != nil {
				return err
			}
			if len(projects) > pg.size {
				projects = projects[:pg.size]
				beyond := "id_after"
				if f.Descending {
					beyond = "id_before"
				}
				next = map[string]string{beyond: strconv.FormatInt(projects[pg.size-1].ID, 10)}
			}
			forms, err = c.projectsJSON(tx, projects, simple, statistics)
			return err
		})
		if err != nil {
			return err
		}
		if keyset {
			return c.writeKeyset(w, r, next, forms)
		}
		return c.writePage(w, r, pg, total, forms)
	}
}

func allProjects(*call, *registry.ProjectFilter) func() error {
	return func() error { return nil }
}

func groupProjects(c *call, f *registry.ProjectFilter) func() error {
	id := c.text("id", "")
	f.Direct = !c.flag("include_subgroups", false)
	return func() (err error) {
		f.Namespace, _, err = c.group(id)
		return err
	}
}

// userProjects is the projects in the namespace of the user :id, a number or a name.
func userProjects(c *call, f *registry.ProjectFilter) func() error {
	id := c.text("id", "")
	f.Direct = true
	return func() error {
		if number, err := strconv.ParseInt(id, 10, 64); err == nil {
			user, err := c.view.UserByID(number)
			if err != nil {
				return orElse(err, registry.NotFound, errNoUser)
			}
			f.Namespace, err = c.view.GroupByID(user.NamespaceID)
			return orElse(err, registry.NotFound, errNoUser)
		}
		namespace, err := c.view.Namespace(id)
		if err != nil || !namespace.Personal() {
			return orElse(cmp.Or(err, errNoUser), registry.NotFound, errNoUser)
		}
		f.Namespace = namespace
		return nil
	}
}

func (a *API) createProject(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	c.atLeastOne("name", "path")
	user := c.who.User
	project := &registry.Project{
		CreatorID: user.ID, NamespaceID: c.number("namespace_id", user.NamespaceID),
		Name: c.text("name", c.text("path", "")), Path: c.text("path", slug(c.text("name", ""))),
		Description: c.text("description", ""), Visibility: c.visibility(registry.Private), RegistryAccess: c.registryAccess(registry.RegistryEnabled),
	}
	c.short("name", project.Name)
	if err := c.wrong(); err != nil {
		return err
	}
	namespace, err := c.namespaceForProjects(project.NamespaceID)
	if err != nil {
		return err
	}
	switch err := registry.ValidPath(project.Path, false); {
	case err != nil:
		return invalid("path", "%s", registry.MessageOf(err))
	case strings.TrimSpace(project.Name) == "":
		return invalid("name", "can't be blank")
	case project.Visibility.Exceeds(namespace.Visibility):
		return invalid("visibility_level", "%s is not allowed in a %s group.", project.Visibility, namespace.Visibility)
	}
	err = a.reg.Store.Write(r.Context(), func(tx registry.Tx) error {
		if err := tx.HoldPlaces(); err != nil {
			return err
		}
		now, err := tx.Group(project.NamespaceID)
		if err != nil {
			return err
		}
		if project.Visibility.Exceeds(now.Visibility) {
			return invalid("visibility_level", "%s is not allowed in a %s group.", project.Visibility, now.Visibility)
		}
		if err := tx.CreateProject(project); err != nil {
			return err
		}
		// Whoever makes a project can manage it. The owner of a personal namespace can already.
		level, _, err := tx.EffectiveLevel(user.ID, 0, project.Lineage)
		if err == nil && level < registry.Maintainer && !namespace.Personal() {
			err = tx.CreateMember(&registry.Member{UserID: user.ID, ProjectID: project.ID, Level: registry.Maintainer})
		}
		if err != nil {
			return err
		}
		return tx.Record(&registry.Event{Name: registry.ProjectCreated, ProjectID: project.ID, Target: project.FullPath, Detail: string(project.Visibility)})
	})
	if err != nil {
		return orElse(orElse(err, registry.Conflict, errTaken), registry.NotFound, invalid("namespace", "is not valid"))
	}
	return a.writeProject(w, r, c, http.StatusCreated, project)
}

var errTaken = func() error {
	taken := []string{"has already been taken"}
	return refuse(http.StatusBadRequest, map[string][]string{"project_namespace.name": taken, "name": taken, "path": taken})
}()

// namespaceForProjects finds a group or personal namespace in which the caller may create projects. GitLab answers
// one that is missing, hidden or not the caller's alike, and so does this.
func (c *call) namespaceForProjects(id int64) (*registry.Group, error) {
	notValid := invalid("namespace", "is not valid")
	namespace, err := c.view.GroupByID(id)
	if err != nil {
		return nil, orElse(err, registry.NotFound, notValid)
	}
	level, err := c.view.GroupLevel(c.who, namespace)
	switch {
	case err != nil:
		return nil, err
	case level < access.CreateProject.Level(), namespace.Hidden():
		return nil, notValid
	case namespace.OwnerID == c.who.User.ID && !c.who.User.Settles():
		return nil, errForbidden // external users work in the groups of others
	}
	return namespace, nil
}

// registryAccess reads who may use the packages of a project.
func (p *params) registryAccess(fallback registry.RegistryAccess) registry.RegistryAccess {
	if !p.flag("packages_enabled", true) {
		fallback = registry.RegistryDisabled
	}
	return registry.RegistryAccess(p.choice("package_registry_access_level", string(fallback), string(registry.RegistryDisabled),
		string(registry.RegistryPrivate), string(registry.RegistryEnabled), string(registry.RegistryPublic)))
}

var notInPath = regexp.MustCompile(`[^a-z0-9_.]+`)

// slug makes a path of a name: "My Project" is my-project.
func slug(name string) string {
	return strings.Trim(notInPath.ReplaceAllString(strings.ToLower(name), "-"), "-.")
}
