package gitlabgo

import (
	"net/http"
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
