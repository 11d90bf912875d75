package gitlabgo

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

func TestUsers(t *testing.T) {
	story(t, func(w *world) {
		user, theirs := w.user("ann")
		w.equal("user", []any{user.Name, user.State, user.IsAdmin, user.Bot, user.WebURL}, []any{"The ann", "active", false, false, server + "/ann-" + w.name})
		for what, opt := range map[string]gitlab.ListUsersOptions{"by username": {Username: &user.Username}, "by name": {Search: new(w.name), Active: new(true)}} {
			found := must(w.root.Users.ListUsers(&opt))
			if len(found) != 1 || found[0].ID != user.ID || found[0].Email != user.Email {
				t.Errorf("%s: %+v", what, found)
			}
		}
		w.equal("blocked users", len(must(w.root.Users.ListUsers(&gitlab.ListUsersOptions{Search: new(w.name), Blocked: new(true)}))), 0)
		_, _, err := w.root.Users.CreateUser(&gitlab.CreateUserOptions{Username: &user.Username, Name: new("Ann"), Email: new("other-" + user.Email), ResetPassword: new(true)})
		w.refused(err, http.StatusConflict, "Username has already been taken")
		_, _, err = theirs.Users.CreateUser(&gitlab.CreateUserOptions{Username: new("eve-" + w.name), Name: new("Eve"), Email: new("eve@example.com"), ResetPassword: new(true)})
		w.refused(err, http.StatusForbidden, "403 Forbidden")

		changed := must(w.root.Users.ModifyUser(user.ID, &gitlab.ModifyUserOptions{Name: new("Ann Another")}))
		w.equal("new name", []any{changed.Name, changed.Username}, []any{"Ann Another", user.Username})
		if err := w.root.Users.BlockUser(user.ID); err != nil {
			t.Error(err)
		}
		w.equal("state", must(w.root.Users.GetUser(user.ID, gitlab.GetUsersOptions{})).State, "blocked")
		_, _, err = theirs.Users.CurrentUser()
		w.refused(err, http.StatusForbidden, "blocked")
		if err := w.root.Users.UnblockUser(user.ID); err != nil {
			t.Error(err)
		}
		w.equal("caller", must(theirs.Users.CurrentUser()).ID, user.ID)
		done(w.root.Users.DeleteUser(user.ID))
		_, _, err = w.root.Users.GetUser(user.ID, gitlab.GetUsersOptions{})
		w.refused(err, http.StatusNotFound, "")
	})
}

func TestMembers(t *testing.T) {
	story(t, func(w *world) {
		ann, _ := w.user("ann")
		bob, asBob := w.user("bob")
		member := must(w.root.GroupMembers.AddGroupMember(w.group.ID, &gitlab.AddGroupMemberOptions{UserID: &ann.ID, AccessLevel: new(gitlab.MaintainerPermissions), ExpiresAt: new("2099-12-31")}))
		w.equal("member", []any{member.ID, member.Username, member.AccessLevel, member.ExpiresAt.String()}, []any{ann.ID, ann.Username, gitlab.MaintainerPermissions, "2099-12-31"})
		must(w.root.ProjectMembers.AddProjectMember(w.further.ID, &gitlab.AddProjectMemberOptions{Username: &bob.Username, AccessLevel: new(gitlab.DeveloperPermissions)}))

		levels := func(members []*gitlab.ProjectMember) []gitlab.AccessLevelValue {
			found := map[int64]gitlab.AccessLevelValue{}
			for _, m := range members {
				found[m.ID] = m.AccessLevel
			}
			return slices.Sorted(maps.Values(found))
		}
		w.equal("direct members", levels(must(w.root.ProjectMembers.ListProjectMembers(w.further.ID, nil))), []gitlab.AccessLevelValue{gitlab.DeveloperPermissions})
		w.equal("all members", levels(must(w.root.ProjectMembers.ListAllProjectMembers(w.further.ID, nil))),
			[]gitlab.AccessLevelValue{gitlab.DeveloperPermissions, gitlab.MaintainerPermissions, gitlab.OwnerPermissions})
		found := must(w.root.ProjectMembers.ListAllProjectMembers(w.further.ID, &gitlab.ListProjectMembersOptions{Query: new("ann")}))
		w.equal("members by name", []any{len(found), found[0].ID}, []any{1, ann.ID})
		w.equal("inherited member", must(w.root.ProjectMembers.GetInheritedProjectMember(w.further.ID, ann.ID)).AccessLevel, gitlab.MaintainerPermissions)
		w.equal("inherited member of a group", must(w.root.GroupMembers.GetInheritedGroupMember(w.team.ID, ann.ID)).AccessLevel, gitlab.MaintainerPermissions)
		_, _, err := w.root.ProjectMembers.GetProjectMember(w.further.ID, ann.ID)
		w.refused(err, http.StatusNotFound, "")

		_, _, err = w.root.GroupMembers.AddGroupMember(w.group.ID, &gitlab.AddGroupMemberOptions{UserID: &ann.ID, AccessLevel: new(gitlab.GuestPermissions)})
		w.refused(err, http.StatusConflict, "Member already exists")
		_, _, err = asBob.ProjectMembers.AddProjectMember(w.further.ID, &gitlab.AddProjectMemberOptions{UserID: ann.ID, AccessLevel: new(gitlab.GuestPermissions)})
		w.refused(err, http.StatusForbidden, "403 Forbidden")

		changed := must(w.root.ProjectMembers.EditProjectMember(w.further.ID, bob.ID, &gitlab.EditProjectMemberOptions{AccessLevel: new(gitlab.ReporterPermissions)}))
		w.equal("new level", changed.AccessLevel, gitlab.ReporterPermissions)
		w.equal("new level, as they see it", must(asBob.Projects.GetProject(w.further.ID, nil)).Permissions.ProjectAccess.AccessLevel, gitlab.ReporterPermissions)
		memberships := must(w.root.Users.GetUserMemberships(bob.ID, nil))
		if len(memberships) != 1 || memberships[0].SourceID != w.further.ID || memberships[0].SourceName != "Parts" || memberships[0].AccessLevel != gitlab.ReporterPermissions {
			t.Errorf("memberships: %+v", memberships)
		}
		done(w.root.ProjectMembers.DeleteProjectMember(w.further.ID, bob.ID))
		_, _, err = asBob.Projects.GetProject(w.further.ID, nil)
		w.refused(err, http.StatusNotFound, "")
		edited := must(w.root.GroupMembers.EditGroupMember(w.group.ID, ann.ID, &gitlab.EditGroupMemberOptions{AccessLevel: new(gitlab.OwnerPermissions)}))
		w.equal("owner", edited.AccessLevel, gitlab.OwnerPermissions)
		done(w.root.GroupMembers.RemoveGroupMember(w.group.ID, ann.ID, nil))
		w.equal("members of the group", len(must(w.root.Groups.ListAllGroupMembers(w.group.ID, nil))), 1)
	})
}
