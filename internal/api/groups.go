package api

import (
	"fmt"
	"net/http"
	"strconv"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// maxDepth bounds how deep groups are nested, as in GitLab.
const maxDepth = 20

func (a *API) groupRoutes() []route {
	return []route{
		{"POST /groups", a.createGroup, operation{tag: "Groups", summary: "Create a group or subgroup", out: groupJSON{},
			in: []param{inName("name").must(), inName("path").must(), inNumber("parent_id"), inText("description"), inVisibility}}},
		{"GET /groups/{id}", a.showGroup, operation{tag: "Groups", summary: "A group", out: groupJSON{}}},
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
	MarkedForDeletionOn   *string `json:"marked_for_deletion_on"`
}

// writeGroup answers a group.
func (c *call) writeGroup(w http.ResponseWriter, status int, g *registry.Group) error {
	fullName, err := c.fullName(g.Lineage)
	if err != nil {
		return err
	}
	return writeJSON(w, status, groupJSON{
		ID: g.ID, WebURL: c.base + "/groups/" + g.FullPath, Name: g.Name, Path: g.Path, Description: g.Description, Visibility: g.Visibility,
		FullName: fullName, FullPath: g.FullPath, ParentID: orNull(g.ParentID), CreatedAt: timestamp(g.CreatedAt),
		ProjectCreationLevel: "developer", SubgroupCreationLevel: "maintainer", OrganizationID: 1,
	})
}

func (a *API) showGroup(w http.ResponseWriter, r *http.Request) error {
	c, err := a.anyone(w, r)
	if err != nil {
		return err
	}
	id := c.text("id", "")
	if err := c.wrong(); err != nil {
		return err
	}
	group, _, err := c.group(id)
	if err != nil {
		return err
	}
	return c.writeGroup(w, http.StatusOK, group)
}

func (a *API) createGroup(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	group := &registry.Group{
		Name: c.required("name"), Path: c.required("path"), ParentID: c.number("parent_id", 0),
		Description: c.text("description", ""), Visibility: c.visibility(),
	}
	if err := c.wrong(); err != nil {
		return err
	}
	if group.ParentID == 0 {
		if c.who.User.External {
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
		if group.Visibility.Exceeds(parent.Visibility) {
			return groupFailed("visibility_level", fmt.Sprintf("%s is not allowed since the parent group has a %s visibility.", group.Visibility, parent.Visibility))
		}
		if len(parent.Lineage) >= maxDepth {
			return groupFailed("parent_id", "has too deep level of nesting")
		}
	}
	if err := registry.ValidPath(group.Path, group.ParentID == 0); err != nil {
		return groupFailed("path", registry.MessageOf(err))
	}
	err = a.reg.Store.Write(r.Context(), func(tx registry.Tx) error {
		if err := tx.CreateGroup(group); err != nil {
			return err
		}
		return tx.CreateMember(&registry.Member{UserID: c.who.User.ID, GroupID: group.ID, Level: registry.Owner})
	})
	if err != nil {
		return orElse(err, registry.Conflict, groupFailed("path", "has already been taken"))
	}
	return c.writeGroup(w, http.StatusCreated, group)
}

// groupFailed is a rule that a new group breaks: GitLab answers a text here, where others have an object.
func groupFailed(attribute, sentence string) error {
	return refuse(http.StatusBadRequest, fmt.Sprintf("Failed to save group {:%s=>[%q]}", attribute, sentence))
}
