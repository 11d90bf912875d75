package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

type acceptedJSON struct {
	Message string `json:"message"`
}

var accepted = acceptedJSON{"202 Accepted"}

// inRemoval are the parameters that remove what is marked for deletion.
var inRemoval = []param{inFlag("permanently_remove").says("of what is marked already"), inText("full_path").says("that of what is to be removed, against slips")}

// ownGroup opens a request to do something to the group :id that only its owners may.
func (a *API) ownGroup(c *call, find func(string) (*registry.Group, registry.Level, error)) (*registry.Group, error) {
	id := c.text("id", "")
	if err := c.wrong(); err != nil {
		return nil, err
	}
	group, level, err := find(id)
	if err != nil {
		return nil, err
	}
	return group, c.may(level, access.Own)
}

func (a *API) changeGroup(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	name, path := c.change("name"), c.change("path")
	description, visibility := c.change("description"), c.visibility("")
	group, err := a.ownGroup(c, c.group)
	if err != nil {
		return err
	}
	changed, err := a.reg.ChangeGroup(r.Context(), group.ID, registry.GroupChanged, func(tx registry.Tx, g *registry.Group) error {
		if g.Hidden() { // since it was looked at
			return errGoing
		}
		name.set(&g.Name)
		description.set(&g.Description)
		if path.given && path.value != g.Path {
			if err := registry.ValidPath(path.value, g.ParentID == 0); err != nil {
				return invalid("path", "%s", registry.MessageOf(err))
			}
			g.Path = path.value
		}
		if strings.TrimSpace(g.Name) == "" {
			return invalid("name", "can't be blank")
		}
		if visibility == "" || visibility == g.Visibility {
			return nil
		}
		g.Visibility = visibility
		if g.ParentID != 0 {
			parent, err := tx.Group(g.ParentID)
			if err != nil {
				return err
			}
			if visibility.Exceeds(parent.Visibility) {
				return invalid("visibility_level", "%s is not allowed since the parent group has a %s visibility.", visibility, parent.Visibility)
			}
		}
		switch groups, projects, err := tx.MoreOpen(g, visibility); {
		case err != nil:
			return err
		case projects:
			return invalid("visibility_level", "%s is not allowed since this group contains projects with higher visibility.", visibility)
		case groups:
			return invalid("visibility_level", "%s is not allowed since there are sub-groups with higher visibility.", visibility)
		}
		return nil
	})
	if err != nil {
		return orElse(orElse(err, registry.Conflict, invalid("path", "has already been taken")), registry.NotFound, errNoGroup)
	}
	return a.writeGroup(w, r, c, http.StatusOK, changed)
}

// changed is a text to be set, when it is given.
type changed struct {
	value string
	given bool
}

// change is a text that may be set; one that is absent stays as it is.
func (p *params) change(name string) changed {
	given := p.has(name)
	value := p.text(name, "")
	if name != "description" {
		p.short(name, value)
	}
	return changed{value, given}
}

func (c changed) set(text *string) {
	if c.given {
		*text = c.value
	}
}

// deleteGroup marks a group for deletion, or removes one that is marked.
func (a *API) deleteGroup(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	permanently, fullPath := c.flag("permanently_remove", false), c.text("full_path", "")
	group, err := a.ownGroup(c, c.groupToRestore)
	if err != nil {
		return err
	}
	switch {
	case !permanently:
		err = a.reg.MarkGroup(r.Context(), group.ID)
	case group.MarkedAt.IsZero():
		err = refuse(http.StatusBadRequest, "Group must be marked for deletion first.")
	case fullPath != group.FullPath && fullPath != registry.PathBefore(group.FullPath, group.ID):
		err = refuse(http.StatusBadRequest, "`full_path` is incorrect. You must enter the complete path for the subgroup.")
	default:
		err = a.reg.CondemnGroup(r.Context(), group.ID)
	}
	if err != nil {
		return orElse(plainly(err), registry.NotFound, errNoGroup)
	}
	return writeJSON(w, http.StatusAccepted, accepted)
}

// plainly answers an Invalid error with its sentence alone.
func plainly(err error) error {
	return orElse(err, registry.Invalid, refuse(http.StatusBadRequest, registry.MessageOf(err)))
}

func (a *API) restoreGroup(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	group, err := a.ownGroup(c, c.groupToRestore)
	if err != nil {
		return err
	}
	restored, err := a.reg.RestoreGroup(r.Context(), group.ID)
	if err != nil {
		return orElse(plainly(err), registry.NotFound, errNoGroup)
	}
	return a.writeGroup(w, r, c, http.StatusCreated, restored)
}

// transferGroup moves a group, with all that is in it, into another one or to the top. What is more open than its new
// place allows is closed that far.
func (a *API) transferGroup(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	to := c.number("group_id", 0)
	group, err := a.ownGroup(c, c.group)
	if err != nil {
		return err
	}
	failed := func(sentence string) error { return refuse(http.StatusBadRequest, "Transfer failed: "+sentence) }
	if to == 0 {
		if !c.who.User.Settles() {
			return errForbidden
		}
	} else {
		target, err := c.view.Group(strconv.FormatInt(to, 10))
		if err != nil {
			return err
		}
		level, err := c.view.GroupLevel(c.who, target)
		switch {
		case err != nil:
			return err
		case !c.sees(target.Visibility, target.Hidden(), level):
			return errNoGroup
		case c.may(level, access.CreateSubgroup) != nil:
			return failed("You don't have enough permissions.")
		}
	}
	moved, err := a.reg.ChangeGroup(r.Context(), group.ID, registry.GroupChanged, func(tx registry.Tx, g *registry.Group) error {
		switch {
		case g.Hidden():
			return errGoing
		case g.ParentID == to && to == 0:
			return failed("Group is already a root group.")
		case g.ParentID == to:
			return failed("Group is already associated to the parent group.")
		case to == 0:
			g.ParentID = 0
			if err := registry.ValidPath(g.Path, true); err != nil {
				return failed("Path " + registry.MessageOf(err) + ".")
			}
			return c.own(tx, g)
		}
		parent, err := tx.Group(to)
		if err != nil {
			return err
		}
		for _, id := range parent.Lineage {
			if id == g.ID {
				return failed("Cannot transfer group to one of its subgroup.")
			}
		}
		levels, err := tx.Depth(g)
		switch {
		case err != nil:
			return err
		case parent.Hidden():
			return errGoing
		case len(parent.Lineage)+1+levels > maxDepth:
			return failed("Parent has too deep level of nesting.")
		}
		g.ParentID = to
		if g.Visibility.Exceeds(parent.Visibility) {
			g.Visibility = parent.Visibility
			return tx.Narrow(g)
		}
		return nil
	})
	switch {
	case errors.Is(err, registry.ErrClaimed):
		return failed("Group contains projects with packages whose names and versions are taken under the new top-level group.")
	case err != nil:
		return orElse(orElse(err, registry.Conflict, failed("The parent group already has a subgroup or a project with the same path.")), registry.NotFound, errNoGroup)
	}
	return a.writeGroup(w, r, c, http.StatusCreated, moved)
}

// own makes the caller the owner of a group at the top that has none of its own: its owners were those of the groups above.
func (c *call) own(tx registry.Tx, g *registry.Group) error {
	found, err := tx.HasOwner([]int64{g.ID})
	if err != nil || found {
		return err
	}
	m := &registry.Member{UserID: c.who.User.ID, GroupID: g.ID, Level: registry.Owner}
	members, _, err := tx.PageMembers(registry.MemberFilter{GroupID: g.ID, UserIDs: []int64{m.UserID}, Limit: 1})
	switch {
	case err != nil:
		return err
	case len(members) > 0:
		return tx.UpdateMember(m)
	}
	return tx.CreateMember(m)
}
