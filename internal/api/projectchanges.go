package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// projectFor opens a request to do something to the project :id.
func (a *API) projectFor(c *call, action access.Action, find func(string) (*registry.Project, registry.Level, error)) (*registry.Project, registry.Level, error) {
	id := c.text("id", "")
	if err := c.wrong(); err != nil {
		return nil, 0, err
	}
	project, level, err := find(id)
	if err != nil {
		return nil, 0, err
	}
	return project, level, c.may(level, action)
}

func (a *API) changeProject(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	c.atLeastOne("name", "path", "description", "visibility", "packages_enabled", "package_registry_access_level")
	name, path := c.change("name"), c.change("path")
	description, visibility := c.change("description"), c.visibility("")
	enabled, registryAccess := c.maybe("packages_enabled"), c.registryAccess("")
	project, level, err := a.projectFor(c, access.Manage, c.project)
	if err != nil {
		return err
	}
	changed, err := a.reg.ChangeProject(r.Context(), project.ID, registry.ProjectChanged, func(tx registry.Tx, p *registry.Project) error {
		if p.Hidden() { // since it was looked at
			return errGoing
		}
		name.set(&p.Name)
		description.set(&p.Description)
		if path.given && path.value != p.Path {
			if err := registry.ValidPath(path.value, false); err != nil {
				return invalid("path", "%s", registry.MessageOf(err))
			}
			p.Path = path.value
		}
		if strings.TrimSpace(p.Name) == "" {
			return invalid("name", "can't be blank")
		}
		switch {
		case registryAccess != "":
			p.RegistryAccess = registryAccess
		case enabled != nil && *enabled && p.RegistryAccess == registry.RegistryDisabled:
			p.RegistryAccess = registry.RegistryEnabled
		}
		if visibility == "" || visibility == p.Visibility {
			return nil
		}
		// Who may manage a project may not open it to others, nor close it to them.
		if err := c.may(level, access.Own); err != nil {
			return err
		}
		namespace, err := tx.Group(p.NamespaceID)
		if err != nil {
			return err
		}
		if visibility.Exceeds(namespace.Visibility) {
			return invalid("visibility_level", "%s is not allowed in a %s group.", visibility, namespace.Visibility)
		}
		p.Visibility = visibility
		return nil
	})
	if err != nil {
		return orElse(orElse(err, registry.Conflict, errTaken), registry.NotFound, errNoProject)
	}
	return a.writeProject(w, r, c, http.StatusOK, changed)
}

// deleteProject marks a project for deletion, or removes one that is marked.
func (a *API) deleteProject(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	permanently, fullPath := c.flag("permanently_remove", false), c.text("full_path", "")
	project, _, err := a.projectFor(c, access.Own, c.projectToRestore)
	if err != nil {
		return err
	}
	switch {
	case !permanently:
		err = a.reg.MarkProject(r.Context(), project.ID)
	case project.MarkedAt.IsZero():
		err = refuse(http.StatusBadRequest, "Project must be marked for deletion first.")
	case fullPath != project.FullPath && fullPath != registry.PathBefore(project.FullPath, project.ID):
		err = refuse(http.StatusBadRequest, "`full_path` is incorrect. You must enter the complete path for the project.")
	default:
		err = a.reg.CondemnProject(r.Context(), project.ID)
	}
	if err != nil {
		return orElse(plainly(err), registry.NotFound, errNoProject)
	}
	return writeJSON(w, http.StatusAccepted, accepted)
}

func (a *API) restoreProject(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	project, _, err := a.projectFor(c, access.Own, c.projectToRestore)
	if err != nil {
		return err
	}
	restored, err := a.reg.RestoreProject(r.Context(), project.ID)
	if err != nil {
		return orElse(plainly(err), registry.NotFound, errNoProject)
	}
	return a.writeProject(w, r, c, http.StatusCreated, restored)
}

// archiveProject archives a project, or takes that back. It may be so already.
func (a *API) archiveProject(archived bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		project, _, err := a.projectFor(c, access.Own, c.project)
		if err != nil {
			return err
		}
		changed, err := a.reg.ChangeProject(r.Context(), project.ID, registry.ProjectChanged, func(_ registry.Tx, p *registry.Project) error {
			if p.Hidden() {
				return errGoing
			}
			p.Archived = archived
			return nil
		})
		if err != nil {
			return orElse(err, registry.NotFound, errNoProject)
		}
		return a.writeProject(w, r, c, http.StatusCreated, changed)
	}
}

// transferProject moves a project to another group or personal namespace. It becomes no more open than that allows.
func (a *API) transferProject(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	to := c.required("namespace")
	project, _, err := a.projectFor(c, access.Own, c.project)
	if err != nil {
		return err
	}
	failed := func(sentence string) error {
		return refuse(http.StatusBadRequest, fmt.Sprintf("Failed to transfer project {:new_namespace=>[%q]}", sentence))
	}
	noNamespace := registry.Errorf(registry.NotFound, "404 Namespace Not Found")
	target, err := c.view.Namespace(to)
	if err != nil {
		return orElse(err, registry.NotFound, noNamespace)
	}
	level, err := c.view.GroupLevel(c.who, target)
	switch {
	case err != nil:
		return err
	case !c.sees(target.Visibility, target.Hidden(), level):
		return noNamespace
	case c.may(level, access.CreateProject) != nil, target.OwnerID == c.who.User.ID && !c.who.User.Settles():
		return failed("You don't have permission to transfer projects into that namespace.")
	}
	moved, err := a.reg.ChangeProject(r.Context(), project.ID, registry.ProjectChanged, func(tx registry.Tx, p *registry.Project) error {
		if p.NamespaceID == target.ID {
			return failed("Project is already in this namespace.")
		}
		namespace, err := tx.Group(target.ID)
		if err != nil {
			return err
		}
		if p.Hidden() || namespace.Hidden() {
			return errGoing
		}
		p.NamespaceID = namespace.ID
		if p.Visibility.Exceeds(namespace.Visibility) {
			p.Visibility = namespace.Visibility
		}
		return nil
	})
	switch {
	case errors.Is(err, registry.ErrClaimed):
		return failed("The project has packages whose names and versions are taken under the new top-level group.")
	case err != nil:
		return orElse(orElse(err, registry.Conflict, failed("Project with same name or path in target namespace already exists")), registry.NotFound, noNamespace)
	}
	return a.writeProject(w, r, c, http.StatusOK, moved)
}
