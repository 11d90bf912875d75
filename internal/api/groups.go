package api

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// maxDepth bounds how deep groups are nested, as in GitLab.
const maxDepth = 20

func (a *API) groupRoutes() []route {
	const tag = "Groups"
	lists := slices.Concat([]param{inText("search"), inFlag("owned"), inNumber("min_access_level"), inFlag("top_level_only"), inFlag("all_available"), inIDs("skip_groups"),
		inVisibility, inFlag("statistics"), inChoice("order_by", "name", "path", "id"), inSort, inKeyset, inText("cursor").says("of the next page, in its link")}, inPages)
	about := []int{http.StatusMethodNotAllowed}
	return []route{
		{"GET /groups", a.listGroups(nil), operation{tag: tag, summary: "Groups that the caller may know of", out: []groupJSON{}, in: lists, also: about}},
		{"POST /groups", a.createGroup, operation{tag: tag, summary: "Create a group or subgroup", out: groupJSON{}, also: []int{http.StatusNotFound},
			in: []param{inName("name").must(), inName("path").must(), inNumber("parent_id"), inText("description"), inVisibility}}},
		{"GET /groups/{id}", a.showGroup, operation{tag: tag, summary: "A group", out: groupDetailJSON{}, in: []param{inFlag("with_projects").says("true by default"), inFlag("statistics")}}},
		{"GET /groups/{id}/subgroups", a.listGroups(func(f *registry.GroupFilter) { f.Direct = true }), operation{tag: tag, summary: "Groups directly in a group", out: []groupJSON{}, in: lists, also: about}},
		{"GET /groups/{id}/descendant_groups", a.listGroups(func(*registry.GroupFilter) {}), operation{tag: tag, summary: "All groups below a group", out: []groupJSON{}, in: lists, also: about}},
		{"PUT /groups/{id}", a.changeGroup, operation{tag: tag, summary: "Change a group", out: groupJSON{}, also: about,
			in: []param{inName("name"), inName("path"), inText("description"), inVisibility}}},
		{"DELETE /groups/{id}", a.deleteGroup, operation{tag: tag, summary: "Mark a group for deletion, or remove one that is", out: acceptedJSON{}, status: http.StatusAccepted, also: about,
			in: inRemoval}},
		{"POST /groups/{id}/restore", a.restoreGroup, operation{tag: tag, summary: "Restore a group that is marked for deletion", out: groupJSON{}, also: about}},
		{"POST /groups/{id}/transfer", a.transferGroup, operation{tag: tag, summary: "Move a group into another one, or to the top", out: groupJSON{}, also: about,
			in: []param{inNumber("group_id").says("absent: to the top")}}},
	}
}

var inVisibility = inChoice("visibility", "private", "internal", "public")

// groupJSON is a group. What follows CreatedAt is settings of GitLab at the values by which groups work here.
type groupJSON struct {
	ID          int64               `json:"id"`
	WebURL      string              `json:"web_url"`
	Name        string              `json:"name"`
	Path        string              `json:"path"`
	Description string              `json:"description"`
	Visibility  registry.Visibility `json:"visibility"`
	FullName    string              `json:"full_name"`
	FullPath    string              `json:"full_path"`
	ParentID    *int64              `json:"parent_id"`
	CreatedAt   timestamp           `json:"created_at"`

	AvatarURL             *string `json:"avatar_url"`
	RequestAccessEnabled  bool    `json:"request_access_enabled"`
	ProjectCreationLevel  string  `json:"project_creation_level"`
	SubgroupCreationLevel string  `json:"subgroup_creation_level"`
	ShareWithGroupLock    bool    `json:"share_with_group_lock"`
	LFSEnabled            bool    `json:"lfs_enabled"`
	OrganizationID        int     `json:"organization_id"`
	Archived              bool    `json:"archived"`
	MarkedForDeletionOn   date    `json:"marked_for_deletion_on"`

	Statistics *statisticsJSON `json:"statistics,omitempty"`
}

// groupDetailJSON is a group on its own.
type groupDetailJSON struct {
	groupJSON
	Projects *[]projectJSON `json:"projects,omitempty"` // the first ones directly in it
}

// statisticsJSON is bytes. Only packages and repositories are stored here.
type statisticsJSON struct {
	Storage           int64 `json:"storage_size"`
	Repository        int64 `json:"repository_size"`
	Wiki              int64 `json:"wiki_size"`
	LFSObjects        int64 `json:"lfs_objects_size"`
	JobArtifacts      int64 `json:"job_artifacts_size"`
	PipelineArtifacts int64 `json:"pipeline_artifacts_size"`
	Packages          int64 `json:"packages_size"`
	Snippets          int64 `json:"snippets_size"`
	Uploads           int64 `json:"uploads_size"`
}

func stored(packages, repositories int64) statisticsJSON {
	return statisticsJSON{Storage: packages + repositories, Repository: repositories, Packages: packages}
}

// groupsJSON is groups for the caller, with statistics where they may see them: a few queries, however many groups.
func (c *call) groupsJSON(tx registry.Tx, groups []*registry.Group, statistics bool) ([]groupJSON, error) {
	var above []int64
	for _, g := range groups {
		above = append(above, g.Lineage...)
	}
	around, err := c.around(tx, nil, above)
	if err != nil {
		return nil, err
	}
	measured, repositories := []int64{}, map[int64]int64{}
	for _, g := range groups {
		if statistics && c.may(max(around.inherited(g.Lineage), around.everywhere), access.Measure) == nil {
			measured = append(measured, g.ID)
		}
	}
	var sizes map[int64]int64
	if len(measured) > 0 {
		if sizes, err = tx.GroupSizes(measured); err != nil {
			return nil, err
		}
		if err := tx.EachProjectBelow(measured, func(group, project int64) { repositories[group] += c.repos.Size(project) }); err != nil {
			return nil, err
		}
	}
	return each(groups, func(g *registry.Group) groupJSON {
		form := groupJSON{
			ID: g.ID, WebURL: c.base + "/groups/" + g.FullPath, Name: g.Name, Path: g.Path, Description: g.Description, Visibility: g.Visibility,
			FullName: around.fullName(g.Lineage), FullPath: g.FullPath, ParentID: orNull(g.ParentID), CreatedAt: timestamp(g.CreatedAt),
			ProjectCreationLevel: "developer", SubgroupCreationLevel: "maintainer", OrganizationID: 1, MarkedForDeletionOn: date(g.HiddenAt),
		}
		if slices.Contains(measured, g.ID) {
			form.Statistics = new(stored(sizes[g.ID], repositories[g.ID]))
		}
		return form
	}), nil
}

// around is the namespaces in and above some places, and the caller's memberships there.
type around struct {
	groups     map[int64]*registry.Group
	inGroup    map[int64]registry.Level
	inProject  map[int64]registry.Level
	everywhere registry.Level // of administrators
}

func (c *call) around(tx registry.Tx, projects, namespaces []int64) (*around, error) {
	slices.Sort(namespaces)
	namespaces = slices.Compact(namespaces)
	groups, err := tx.GroupsByID(namespaces)
	if err != nil {
		return nil, err
	}
	a := &around{map[int64]*registry.Group{}, map[int64]registry.Level{}, map[int64]registry.Level{}, registry.NoAccess}
	for _, g := range groups {
		a.groups[g.ID] = g
	}
	if c.who.User == nil {
		return a, nil
	}
	if c.who.User.Admin {
		a.everywhere = registry.Admin
	}
	members, err := tx.MembershipsIn(c.who.User.ID, projects, namespaces)
	for _, m := range members {
		if m.ProjectID != 0 {
			a.inProject[m.ProjectID] = m.Level
		} else {
			a.inGroup[m.GroupID] = m.Level
		}
	}
	for _, g := range groups {
		if g.OwnerID == c.who.User.ID {
			a.inGroup[g.ID] = registry.Owner
		}
	}
	return a, err
}

// group is a namespace, empty when it is gone.
func (a *around) group(id int64) *registry.Group { return cmp.Or(a.groups[id], &registry.Group{}) }

// inherited is the level that comes from groups.
func (a *around) inherited(lineage []int64) (level registry.Level) {
	for _, id := range lineage {
		level = max(level, a.inGroup[id])
	}
	return level
}

// fullName is the names of namespaces and what is in them: "Acme / Tools / Hammer".
func (a *around) fullName(lineage []int64, last ...string) string {
	var names []string
	for _, id := range lineage {
		names = append(names, a.group(id).Name)
	}
	return strings.Join(append(names, last...), " / ")
}

// writeGroup answers a group.
func (a *API) writeGroup(w http.ResponseWriter, r *http.Request, c *call, status int, g *registry.Group) error {
	var forms []groupJSON
	err := a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		forms, err = c.groupsJSON(tx, []*registry.Group{g}, false)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, status, forms[0])
}

func (a *API) showGroup(w http.ResponseWriter, r *http.Request) error {
	c, err := a.anyone(w, r)
	if err != nil {
		return err
	}
	id, withProjects, statistics := c.text("id", ""), c.flag("with_projects", true), c.flag("statistics", false)
	if err := c.wrong(); err != nil {
		return err
	}
	group, _, err := c.group(id)
	if err != nil {
		return err
	}
	var body groupDetailJSON
	err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) error {
		forms, err := c.groupsJSON(tx, []*registry.Group{group}, statistics)
		if err != nil || !withProjects {
			body = groupDetailJSON{groupJSON: forms[0]}
			return err
		}
		list, _, err := tx.Projects(registry.ProjectFilter{Viewer: c.who.Viewer(), Namespace: group, Direct: true, Order: registry.ProjectsByCreation, Descending: true,
			NoTotal: true, Limit: maxPerPage})
		if err != nil {
			return err
		}
		projects, err := c.projectsJSON(tx, list, false, false)
		body = groupDetailJSON{forms[0], &projects}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, body)
}

// listGroups answers all groups or, with within, those below the group :id.
func (a *API) listGroups(within func(*registry.GroupFilter)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.anyone(w, r)
		if err != nil {
			return err
		}
		pg, statistics := c.page(), c.flag("statistics", false)
		f := registry.GroupFilter{
			Viewer: c.who.Viewer(), Search: c.text("search", ""), Visibility: c.visibility(""), Level: c.level("min_access_level"), Skip: c.ids("skip_groups"),
			Direct: c.flag("top_level_only", false), Order: registry.GroupOrder(c.choice("order_by", "name", "name", "path", "id")),
			Descending: c.choice("sort", "asc", "asc", "desc") == "desc", Limit: pg.size, Offset: pg.offset(),
		}
		if owned, all := c.flag("owned", false), c.flag("all_available", true); owned {
			f.Level = registry.Owner
		} else if !all {
			f.Level = max(f.Level, registry.Guest)
		}
		keyset, err := c.keyset(f.Order == registry.GroupsByName && !f.Descending)
		cursor := c.text("cursor", "")
		if keyset && cursor != "" {
			f.After = c.cursor(cursor)
		}
		var id string
		if within != nil {
			id = c.text("id", "")
		}
		if err := errors.Join(c.wrong(), err); err != nil {
			return err
		}
		if within != nil {
			if f.Parent, _, err = c.group(id); err != nil {
				return err
			}
			f.Direct = false
			within(&f)
		}
		if keyset {
			f.NoTotal, f.Limit, f.Offset = true, pg.size+1, 0
		} else if err := pg.bounded("Group"); err != nil {
			return err
		}
		var total int
		var groups []*registry.Group
		var forms []groupJSON
		var next map[string]string
		err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
			if groups, total, err = tx.Groups(f); err != nil {
				return err
			}
			if len(groups) > pg.size {
				groups = groups[:pg.size]
				last := groups[pg.size-1]
				next = map[string]string{"cursor": encodeCursor(last)}
			}
			forms, err = c.groupsJSON(tx, groups, statistics)
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

// groupCursor is where a page of groups by name ended.
type groupCursor struct {
	Name      string `json:"name"`
	ID        int64  `json:"id,string"`
	Direction string `json:"_kd"`
}

func encodeCursor(g *registry.Group) string {
	text, err := json.Marshal(groupCursor{g.Name, g.ID, "n"})
	if err != nil {
		panic(err) // a text and a number
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// cursor reads what encodeCursor made; GitLab pads it.
func (p *params) cursor(text string) *registry.Group {
	var c groupCursor
	plain, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || json.Unmarshal(plain, &c) != nil || c.Direction != "n" || strings.Contains(c.Name, "\x00") {
		p.problem("cursor is invalid")
		return nil
	}
	return &registry.Group{Name: c.Name, ID: c.ID}
}

func (a *API) createGroup(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	group := &registry.Group{
		Name: c.required("name"), Path: c.required("path"), ParentID: c.number("parent_id", 0),
		Description: c.text("description", ""), Visibility: c.visibility(registry.Private),
	}
	if err := c.wrong(); err != nil {
		return err
	}
	if group.ParentID == 0 {
		if !c.who.User.Settles() {
			return errForbidden
		}
	} else {
		parent, level, err := c.group(strconv.FormatInt(group.ParentID, 10))
		if err != nil {
			return err
		}
		if err := c.may(level, access.CreateSubgroup); err != nil {
			return err
		}
		if err := mayHold(parent, group.Visibility, 1); err != nil {
			return err
		}
	}
	if err := registry.ValidPath(group.Path, group.ParentID == 0); err != nil {
		return groupFailed("path", registry.MessageOf(err))
	}
	err = a.reg.Store.Write(r.Context(), func(tx registry.Tx) error {
		if err := tx.HoldPlaces(); err != nil {
			return err
		}
		if group.ParentID != 0 { // as it is now
			parent, err := tx.Group(group.ParentID)
			if err != nil {
				return err
			}
			if err := mayHold(parent, group.Visibility, 1); err != nil {
				return err
			}
		}
		if err := tx.CreateGroup(group); err != nil {
			return err
		}
		if err := tx.CreateMember(&registry.Member{UserID: c.who.User.ID, GroupID: group.ID, Level: registry.Owner}); err != nil {
			return err
		}
		return tx.Record(&registry.Event{Name: registry.GroupCreated, GroupID: group.ID, Target: group.FullPath, Detail: string(group.Visibility)})
	})
	if err != nil {
		return orElse(orElse(err, registry.Conflict, groupFailed("path", "has already been taken")), registry.NotFound, errNoGroup)
	}
	return a.writeGroup(w, r, c, http.StatusCreated, group)
}

// mayHold says whether a new group of a visibility, with so many levels of groups, may be in a parent.
func mayHold(parent *registry.Group, v registry.Visibility, levels int) error {
	if v.Exceeds(parent.Visibility) {
		return groupFailed("visibility_level", fmt.Sprintf("%s is not allowed since the parent group has a %s visibility.", v, parent.Visibility))
	}
	if len(parent.Lineage)+levels > maxDepth {
		return groupFailed("parent_id", "has too deep level of nesting")
	}
	return nil
}

// groupFailed is a rule that a new group breaks: GitLab answers a text here, where others have an object.
func groupFailed(attribute, sentence string) error {
	return refuse(http.StatusBadRequest, fmt.Sprintf("Failed to save group {:%s=>[%q]}", attribute, sentence))
}
