package gitlabgo

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

func TestVersion(t *testing.T) {
	story(t, func(w *world) {
		version := must(w.root.Version.GetVersion())
		metadata := must(w.root.Metadata.GetMetadata())
		if version.Version == "" || version.Version != metadata.Version || version.Revision != metadata.Revision || metadata.Enterprise || metadata.KAS.Enabled {
			t.Errorf("version %+v, metadata %+v", version, metadata)
		}
		_, _, err := w.client("").Version.GetVersion()
		w.refused(err, http.StatusUnauthorized, "401 Unauthorized")
	})
}

func TestPlaces(t *testing.T) {
	story(t, func(w *world) {
		// What was made is found by number and by path.
		for _, id := range []any{w.group.ID, w.name} {
			group := must(w.root.Groups.GetGroup(id, nil))
			w.equal("group", []any{group.ID, group.Name, group.FullPath, group.FullName, group.ParentID, group.Visibility},
				[]any{w.group.ID, "Acme", w.name, "Acme", int64(0), gitlab.PrivateVisibility})
		}
		team := must(w.root.Groups.GetGroup(w.name+"/team", nil))
		w.equal("subgroup", []any{team.ID, team.FullPath, team.FullName, team.ParentID}, []any{w.team.ID, w.name + "/team", "Acme / The team", w.group.ID})
		for _, id := range []any{w.further.ID, w.name + "/team/parts"} {
			project := must(w.root.Projects.GetProject(id, nil))
			w.equal("project", []any{project.ID, project.Name, project.PathWithNamespace, project.NameWithNamespace, project.Visibility, project.Namespace.ID, project.Namespace.FullPath, project.Namespace.Kind},
				[]any{w.further.ID, "Parts", w.name + "/team/parts", "Acme / The team / Parts", gitlab.PrivateVisibility, w.team.ID, w.name + "/team", "group"})
			if project.CreatedAt == nil || project.CreatedAt.IsZero() || project.WebURL != server+"/"+w.name+"/team/parts" {
				t.Errorf("project: created at %v, web URL %s", project.CreatedAt, project.WebURL)
			}
		}
		// Who may not know of them is told that they are not there.
		_, stranger := w.user("stranger")
		_, _, err := stranger.Groups.GetGroup(w.group.ID, nil)
		w.refused(err, http.StatusNotFound, "")
		_, _, err = stranger.Projects.GetProject(w.project.ID, nil)
		w.refused(err, http.StatusNotFound, "")

		// What is wrong is said.
		_, _, err = w.root.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: new("Again"), Path: &w.name})
		w.refused(err, http.StatusBadRequest, "has already been taken")
		_, _, err = w.root.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: new("No path")})
		w.refused(err, http.StatusBadRequest, "path is missing")
		_, _, err = w.root.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: new("Wide"), Path: new("wide"), ParentID: &w.group.ID, Visibility: new(gitlab.PublicVisibility)})
		w.refused(err, http.StatusBadRequest, "visibility")
		_, _, err = w.root.Projects.CreateProject(&gitlab.CreateProjectOptions{Path: new("tools"), NamespaceID: &w.group.ID})
		w.refused(err, http.StatusBadRequest, "has already been taken")
		_, _, err = stranger.Projects.CreateProject(&gitlab.CreateProjectOptions{Path: new("mine"), NamespaceID: &w.group.ID})
		if err == nil {
			t.Error("a stranger made a project in a private group")
		}
		// Everybody has a namespace of their own.
		own := must(stranger.Projects.CreateProject(&gitlab.CreateProjectOptions{Path: new("mine")}))
		w.equal("own project", []any{own.PathWithNamespace, own.Namespace.Kind}, []any{"stranger-" + w.name + "/mine", "user"})
	})
}

func TestPlaceLists(t *testing.T) {
	story(t, func(w *world) {
		paths := func(groups []*gitlab.Group) (paths []string) {
			for _, g := range groups {
				paths = append(paths, strings.TrimPrefix(g.FullPath, w.name))
			}
			return paths
		}
		w.equal("groups by words", paths(must(w.root.Groups.ListGroups(&gitlab.ListGroupsOptions{Search: &w.name}))), []string{""})
		w.equal("at the top", paths(must(w.root.Groups.ListGroups(&gitlab.ListGroupsOptions{Search: &w.name, TopLevelOnly: new(true), Owned: new(true)}))), []string{""})
		w.equal("all but some", paths(must(w.root.Groups.ListGroups(&gitlab.ListGroupsOptions{Search: &w.name, SkipGroups: &[]int64{w.group.ID, 1 << 40}}))), []string(nil))
		must(w.root.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: new("Deep"), Path: new("deep"), ParentID: &w.team.ID}))
		w.equal("subgroups", paths(must(w.root.Groups.ListSubGroups(w.group.ID, nil))), []string{"/team"})
		w.equal("all below", paths(must(w.root.Groups.ListDescendantGroups(w.name, nil))), []string{"/team/deep", "/team"}) // by name

		names := func(projects []*gitlab.Project) (names []string) {
			for _, p := range projects {
				names = append(names, p.Path)
			}
			return names
		}
		w.equal("projects of a group", names(must(w.root.Groups.ListGroupProjects(w.group.ID, nil))), []string{"tools"})
		w.equal("and below", names(must(w.root.Groups.ListGroupProjects(w.group.ID, &gitlab.ListGroupProjectsOptions{IncludeSubGroups: new(true), OrderBy: new("path"), Sort: new("asc")}))), []string{"parts", "tools"})

		user, theirs := w.user("ann")
		for _, path := range []string{"one", "two", "three", "four", "five"} {
			must(theirs.Projects.CreateProject(&gitlab.CreateProjectOptions{Path: &path}))
		}
		list := func(opt gitlab.ListProjectsOptions) []string {
			opt.Membership = new(true)
			return names(must(theirs.Projects.ListProjects(&opt)))
		}
		w.equal("newest first", list(gitlab.ListProjectsOptions{}), []string{"five", "four", "three", "two", "one"})
		w.equal("by path", list(gitlab.ListProjectsOptions{OrderBy: new("path"), Sort: new("asc"), Simple: new(true)}), []string{"five", "four", "one", "three", "two"})
		w.equal("by words", list(gitlab.ListProjectsOptions{Search: new("TH")}), []string{"three"})
		w.equal("public", list(gitlab.ListProjectsOptions{Visibility: new(gitlab.PublicVisibility)}), []string(nil))
		w.equal("a user's", len(must(w.root.Projects.ListUserProjects(user.ID, nil))), 5)

		// Pages by number and by key.
		for what, options := range map[string]gitlab.ListOptions{"by number": {PerPage: 2}, "by key": {PerPage: 2, Pagination: "keyset", OrderBy: "id", Sort: "asc"}} {
			projects, err := gitlab.ScanAndCollect(func(page gitlab.PaginationOptionFunc) ([]*gitlab.Project, *gitlab.Response, error) {
				return theirs.Projects.ListProjects(&gitlab.ListProjectsOptions{ListOptions: options, Membership: new(true)}, page)
			})
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			w.equal(what, len(projects), 5)
			if what == "by key" {
				w.equal(what, names(projects), []string{"one", "two", "three", "four", "five"})
			}
		}
		groups, err := gitlab.ScanAndCollect(func(page gitlab.PaginationOptionFunc) ([]*gitlab.Group, *gitlab.Response, error) {
			return w.root.Groups.ListGroups(&gitlab.ListGroupsOptions{ListOptions: gitlab.ListOptions{PerPage: 1, Pagination: "keyset", OrderBy: "name", Sort: "asc"}}, page)
		})
		if err != nil {
			t.Fatal(err)
		}
		groups = slices.DeleteFunc(groups, func(g *gitlab.Group) bool { return !strings.HasPrefix(g.FullPath, w.name) })
		w.equal("groups by key", paths(groups), []string{"", "/team/deep", "/team"})
	})
}

func TestPlaceChanges(t *testing.T) {
	story(t, func(w *world) {
		edited := must(w.root.Projects.EditProject(w.project.ID, &gitlab.EditProjectOptions{
			Name: new("Hammers"), Path: new("hammers"), Description: new("to hit with"), PackagesEnabled: new(false),
		}))
		w.equal("edited", []any{edited.Name, edited.PathWithNamespace, edited.Description, edited.PackagesEnabled}, []any{"Hammers", w.name + "/hammers", "to hit with", false})
		w.equal("old path", must(w.root.Projects.GetProject(w.name+"/tools", nil)).ID, w.project.ID)
		group := must(w.root.Groups.UpdateGroup(w.team.ID, &gitlab.UpdateGroupOptions{Name: new("The crew"), Description: new("who build")}))
		w.equal("group", []string{group.Name, group.FullPath, group.Description}, []string{"The crew", w.name + "/team", "who build"})

		must(w.root.Projects.EditProject(w.project.ID, &gitlab.EditProjectOptions{PackagesEnabled: new(true)}))

		w.equal("archived", must(w.root.Projects.ArchiveProject(w.project.ID)).Archived, true)
		if _, err := w.publish(w.project, token, "@"+w.name+"/late", "1.0.0"); err == nil {
			t.Error("npm published to an archived project")
		}
		w.equal("unarchived", must(w.root.Projects.UnarchiveProject(w.project.ID)).Archived, false)
		moved := must(w.root.Projects.TransferProject(w.project.ID, &gitlab.TransferProjectOptions{Namespace: w.team.ID}))
		w.equal("moved", moved.PathWithNamespace, w.name+"/team/hammers")

		// Deleted in two steps, and restored between them.
		done(w.root.Projects.DeleteProject(w.project.ID, nil))
		marked := must(w.root.Projects.GetProject(w.project.ID, nil))
		if marked.MarkedForDeletionOn == nil {
			t.Error("the project is not marked for deletion")
		}
		restored := must(w.root.Projects.RestoreProject(w.project.ID))
		w.equal("restored", []any{restored.ID, restored.MarkedForDeletionOn}, []any{w.project.ID, (*gitlab.ISOTime)(nil)})
		_, err := w.root.Projects.DeleteProject(w.project.ID, &gitlab.DeleteProjectOptions{PermanentlyRemove: new(true), FullPath: &moved.PathWithNamespace})
		w.refused(err, http.StatusBadRequest, "must be marked for deletion first")
		done(w.root.Projects.DeleteProject(w.project.ID, &gitlab.DeleteProjectOptions{}))
		marked = must(w.root.Projects.GetProject(w.project.ID, nil))
		done(w.root.Projects.DeleteProject(w.project.ID, &gitlab.DeleteProjectOptions{PermanentlyRemove: new(true), FullPath: &marked.PathWithNamespace}))
		_, _, err = w.root.Projects.GetProject(w.project.ID, nil)
		w.refused(err, http.StatusNotFound, "")

		done(w.root.Groups.DeleteGroup(w.group.ID, nil))
		if must(w.root.Groups.GetGroup(w.group.ID, nil)).MarkedForDeletionOn == nil {
			t.Error("the group is not marked for deletion")
		}
		w.equal("restored group", must(w.root.Groups.RestoreGroup(w.group.ID)).MarkedForDeletionOn, (*gitlab.ISOTime)(nil))
	})
}
