package api

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

func (a *API) projectRoutes() []route {
	return []route{
		{"POST /projects", a.createProject, operation{tag: "Projects", summary: "Create a project", out: projectJSON{},
			in: []param{inName("name"), inName("path"), inNumber("namespace_id"), inText("description"), inVisibility, inFlag("packages_enabled"), inRegistryAccess}}},
		{"GET /projects/{id}", a.showProject, operation{tag: "Projects", summary: "A project", out: projectJSON{}}},
	}
}

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
}

// projectDetails are for those who are signed in.
type projectDetails struct {
	Visibility      registry.Visibility     `json:"visibility"`
	Archived        bool                    `json:"archived"`
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

// writeProject answers a project.
func (a *API) writeProject(w http.ResponseWriter, r *http.Request, c *call, status int, p *registry.Project) error {
	namespace, err := c.view.GroupByID(p.NamespaceID)
	if err != nil {
		return err
	}
	fullName, err := c.fullName(p.Lineage, p.Name)
	if err != nil {
		return err
	}
	kind, page := "group", "/groups/"+namespace.FullPath
	if namespace.Personal() {
		kind, page = "user", "/"+namespace.FullPath
	}
	web := c.base + "/" + p.FullPath
	body := &projectJSON{
		ID: p.ID, Description: p.Description, Name: p.Name, NameWithNamespace: fullName, Path: p.Path, PathWithNamespace: p.FullPath,
		CreatedAt: timestamp(p.CreatedAt), TagList: []string{}, Topics: []string{}, HTTPURL: web + ".git", WebURL: web, LastActivityAt: timestamp(p.UpdatedAt),
		Namespace: namespaceJSON{ID: namespace.ID, Name: namespace.Name, Path: namespace.Path, Kind: kind, FullPath: namespace.FullPath,
			ParentID: orNull(namespace.ParentID), WebURL: c.base + page},
	}
	if c.who.User == nil {
		return writeJSON(w, status, body)
	}
	var direct, inherited registry.Level
	err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		if direct, _, err = tx.EffectiveLevel(c.who.User.ID, p.ID, nil); err == nil {
			inherited, _, err = tx.EffectiveLevel(c.who.User.ID, 0, p.Lineage)
		}
		return err
	})
	if err != nil {
		return err
	}
	if namespace.Personal() { // no group: what comes from it is the project's own
		direct, inherited = max(direct, inherited), registry.NoAccess
	}
	self := c.base + "/api/v4/projects/" + strconv.FormatInt(p.ID, 10)
	body.projectDetails = &projectDetails{
		Visibility: p.Visibility, Archived: p.Archived, PackagesEnabled: p.RegistryAccess != registry.RegistryDisabled, RegistryAccess: p.RegistryAccess,
		CreatorID: orNull(p.CreatorID), Links: map[string]string{"self": self, "members": self + "/members"},
		Permissions: permissionsJSON{permission(direct), permission(inherited)},
	}
	return writeJSON(w, status, body)
}

func (a *API) showProject(w http.ResponseWriter, r *http.Request) error {
	c, err := a.anyone(w, r)
	if err != nil {
		return err
	}
	id := c.text("id", "")
	if err := c.wrong(); err != nil {
		return err
	}
	project, _, err := c.project(id)
	if err != nil {
		return err
	}
	return a.writeProject(w, r, c, http.StatusOK, project)
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
		Description: c.text("description", ""), Visibility: c.visibility(), RegistryAccess: c.registryAccess(registry.RegistryEnabled),
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
		if err := tx.CreateProject(project); err != nil {
			return err
		}
		// Whoever makes a project can manage it. The owner of a personal namespace can already.
		level, _, err := tx.EffectiveLevel(user.ID, 0, project.Lineage)
		if err == nil && level < registry.Maintainer && !namespace.Personal() {
			err = tx.CreateMember(&registry.Member{UserID: user.ID, ProjectID: project.ID, Level: registry.Maintainer})
		}
		return err
	})
	if err != nil {
		taken := []string{"has already been taken"}
		return orElse(err, registry.Conflict, refuse(http.StatusBadRequest, map[string][]string{"project_namespace.name": taken, "name": taken, "path": taken}))
	}
	return a.writeProject(w, r, c, http.StatusCreated, project)
}

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
	case level < access.CreateProject.Level():
		return nil, notValid
	case namespace.OwnerID == c.who.User.ID && c.who.User.External:
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
