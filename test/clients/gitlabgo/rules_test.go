package gitlabgo

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

func TestProtectionRules(t *testing.T) {
	story(t, func(w *world) {
		developer, theirs := w.user("developer")
		must(w.root.ProjectMembers.AddProjectMember(w.project.ID, &gitlab.AddProjectMemberOptions{UserID: developer.ID, AccessLevel: new(gitlab.DeveloperPermissions)}))
		made := must(w.root.Users.CreatePersonalAccessToken(developer.ID, &gitlab.CreatePersonalAccessTokenOptions{Name: new("npm"), Scopes: &[]string{"api"}}))
		name, free := "@"+w.name+"/core", "@"+w.name+"/free"

		// The client knows levels by their numbers when it sends them, and by their names when it receives them.
		rule := must(w.root.ProtectedPackages.CreatePackageProtectionRules(w.project.ID, &gitlab.CreatePackageProtectionRulesOptions{
			PackageNamePattern: new("@" + w.name + "/co*"), PackageType: new("npm"), MinimumAccessLevelForPush: new(int64(gitlab.MaintainerPermissions)),
		}))
		w.equal("rule", *rule, gitlab.PackageProtectionRule{ID: rule.ID, ProjectID: w.project.ID, PackageNamePattern: "@" + w.name + "/co*", PackageType: "npm", MinimumAccessLevelForPush: "maintainer"})
		w.equal("rules", len(must(w.root.ProtectedPackages.ListPackageProtectionRules(w.project.ID, nil))), 1)
		_, _, err := theirs.ProtectedPackages.ListPackageProtectionRules(w.project.ID, nil)
		w.refused(err, http.StatusForbidden, "403 Forbidden")

		if _, err := w.publish(w.project, made.Token, name, "1.0.0"); err == nil || !strings.Contains(err.Error(), "Package protected") {
			t.Errorf("a developer published what is protected: %v", err)
		}
		if _, err := w.publish(w.project, made.Token, free, "1.0.0"); err != nil {
			t.Error(err)
		}
		if _, err := w.publish(w.project, token, name, "1.0.0"); err != nil {
			t.Error(err)
		}

		changed := must(w.root.ProtectedPackages.UpdatePackageProtectionRules(w.project.ID, rule.ID, &gitlab.UpdatePackageProtectionRulesOptions{
			PackageNamePattern: &name, MinimumAccessLevelForDelete: new(int64(gitlab.OwnerPermissions)),
		}))
		w.equal("changed rule", []string{changed.PackageNamePattern, changed.PackageType, changed.MinimumAccessLevelForPush, changed.MinimumAccessLevelForDelete}, []string{name, "npm", "", "owner"})
		must(w.root.ProjectMembers.EditProjectMember(w.project.ID, developer.ID, &gitlab.EditProjectMemberOptions{AccessLevel: new(gitlab.MaintainerPermissions)}))
		for _, p := range must(theirs.Packages.ListProjectPackages(w.project.ID, nil)) {
			_, err := theirs.Packages.DeleteProjectPackage(w.project.ID, p.ID)
			switch p.Name {
			case name:
				w.refused(err, http.StatusForbidden, "Package is deletion protected.")
			case free:
				if err != nil {
					t.Error(err)
				}
			}
		}
		done(w.root.ProtectedPackages.DeletePackageProtectionRules(w.project.ID, rule.ID))
		w.equal("rules", len(must(w.root.ProtectedPackages.ListPackageProtectionRules(w.project.ID, nil))), 0)
		for _, p := range must(theirs.Packages.ListProjectPackages(w.project.ID, nil)) {
			done(theirs.Packages.DeleteProjectPackage(w.project.ID, p.ID))
		}
		_, err = w.root.ProtectedPackages.DeletePackageProtectionRules(w.project.ID, rule.ID)
		w.refused(err, http.StatusNotFound, "")
		_, _, err = w.root.ProtectedPackages.CreatePackageProtectionRules(w.project.ID, &gitlab.CreatePackageProtectionRulesOptions{PackageNamePattern: &name, PackageType: new("cobol")})
		w.refused(err, http.StatusBadRequest, "package_type does not have a valid value")
	})
}

func TestAuditEvents(t *testing.T) {
	story(t, func(w *world) {
		if _, err := w.publish(w.project, token, "@"+w.name+"/lib", "1.0.0"); err != nil {
			t.Fatal(err)
		}
		packages := must(w.root.Packages.ListProjectPackages(w.project.ID, nil))
		done(w.root.Packages.DeleteProjectPackage(w.project.ID, packages[0].ID))
		events := must(w.root.AuditEvents.ListProjectAuditEvents(w.project.ID, nil))
		seen := map[string]*gitlab.AuditEvent{}
		for _, e := range events {
			w.equal("event's place", []any{e.EntityID, e.EntityType, e.AuthorID}, []any{w.project.ID, "Project", int64(1)})
			seen[e.EventName] = e
		}
		for _, name := range []string{"package_registry_package_published", "package_registry_package_deleted"} {
			e := seen[name]
			if e == nil || !strings.Contains(e.Details.TargetDetails, "lib") || e.CreatedAt == nil || e.Details.AuthorName == "" {
				t.Errorf("%s: %+v", name, e)
				continue
			}
			w.equal("event", must(w.root.AuditEvents.GetProjectAuditEvent(w.project.ID, e.ID)).EventName, name)
		}
		_, stranger := w.user("stranger")
		_, _, err := stranger.AuditEvents.ListProjectAuditEvents(w.project.ID, nil)
		w.refused(err, http.StatusNotFound, "")
		_, _, err = stranger.AuditEvents.ListInstanceAuditEvents(nil)
		w.refused(err, http.StatusForbidden, fmt.Sprint(http.StatusForbidden))
	})
}
