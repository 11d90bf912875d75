package gitlabgo

import (
	"net/http"
	"testing"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

// day is in days from now.
func day(days int) *gitlab.ISOTime {
	return new(gitlab.ISOTime(time.Now().UTC().AddDate(0, 0, days).Truncate(24 * time.Hour)))
}

func TestPersonalTokens(t *testing.T) {
	story(t, func(w *world) {
		user, theirs := w.user("developer")
		me := must(theirs.Users.CurrentUser())
		w.equal("caller", []any{me.ID, me.Username, me.Email, me.State}, []any{user.ID, user.Username, user.Email, "active"})

		expires := day(30)
		made := must(w.root.Users.CreatePersonalAccessToken(user.ID, &gitlab.CreatePersonalAccessTokenOptions{
			Name: new("reader"), Description: new("reads"), Scopes: &[]string{"read_api", "read_user"}, ExpiresAt: expires,
		}))
		w.equal("token", []any{made.Name, made.Description, made.Scopes, made.UserID, made.Active, made.Revoked, made.ExpiresAt.String()},
			[]any{"reader", "reads", []string{"read_api", "read_user"}, user.ID, true, false, expires.String()})
		reader := w.client(made.Token)
		self := must(reader.PersonalAccessTokens.GetSinglePersonalAccessToken())
		w.equal("token of a request", []any{self.ID, self.Token}, []any{made.ID, ""})
		if _, _, err := reader.Projects.CreateProject(&gitlab.CreateProjectOptions{Path: new("more")}); err == nil {
			t.Error("a token that may only read made a project")
		} else {
			w.refused(err, http.StatusForbidden, "insufficient_scope")
		}

		done(reader.PersonalAccessTokens.RevokePersonalAccessTokenSelf())
		_, _, err := reader.Users.CurrentUser()
		w.refused(err, http.StatusUnauthorized, "revoked")
		_, _, err = w.client("php_nobody").Users.CurrentUser()
		w.refused(err, http.StatusUnauthorized, "401 Unauthorized")
		gone := must(w.root.PersonalAccessTokens.GetSinglePersonalAccessTokenByID(made.ID))
		w.equal("revoked token", []any{gone.Revoked, gone.Active}, []any{true, false})
	})
}

func TestDeployTokens(t *testing.T) {
	story(t, func(w *world) {
		until := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
		writer := must(w.root.DeployTokens.CreateProjectDeployToken(w.project.ID, &gitlab.CreateProjectDeployTokenOptions{
			Name: new("writer"), Username: new("robot"), ExpiresAt: &until, Scopes: &[]string{"read_package_registry", "write_package_registry"},
		}))
		w.equal("deploy token", []any{writer.Name, writer.Username, writer.Scopes, writer.Revoked, writer.Expired, writer.ExpiresAt.UTC()},
			[]any{"writer", "robot", []string{"read_package_registry", "write_package_registry"}, false, false, until})
		reader := must(w.root.DeployTokens.CreateGroupDeployToken(w.group.ID, &gitlab.CreateGroupDeployTokenOptions{
			Name: new("reader"), Scopes: &[]string{"read_package_registry"},
		}))
		if reader.Username == "" || reader.ExpiresAt != nil {
			t.Errorf("deploy token of a group: %+v", reader)
		}
		listed := must(w.root.DeployTokens.ListProjectDeployTokens(w.project.ID, nil))
		w.equal("deploy tokens of the project", len(listed), 1)
		w.equal("deploy token in a list", []any{listed[0].ID, listed[0].Token}, []any{writer.ID, ""})
		w.equal("deploy tokens of the group", must(w.root.DeployTokens.ListGroupDeployTokens(w.group.ID, nil))[0].ID, reader.ID)
		w.equal("deploy token", must(w.root.DeployTokens.GetProjectDeployToken(w.project.ID, writer.ID)).Name, "writer")

		name := "@" + w.name + "/deployed"
		if _, err := w.publish(w.project, reader.Token, name, "1.0.0"); err == nil {
			t.Error("a token that may only read published")
		}
		if _, err := w.publish(w.project, writer.Token, name, "1.0.0"); err != nil {
			t.Error(err)
		}
		if out, err := w.npm(w.registry(w.project, reader.Token), "view", name, "version"); err != nil || out != "1.0.0\n" {
			t.Errorf("view with a reader's token: %q %v", out, err)
		}
		done(w.root.DeployTokens.DeleteProjectDeployToken(w.project.ID, writer.ID))
		if _, err := w.publish(w.project, writer.Token, name, "1.1.0"); err == nil {
			t.Error("a revoked deploy token published")
		}
		done(w.root.DeployTokens.DeleteGroupDeployToken(w.group.ID, reader.ID))
		if _, err := w.npm(w.registry(w.project, reader.Token), "view", name); err == nil {
			t.Error("a revoked deploy token read")
		}
		_, _, err := w.root.DeployTokens.CreateProjectDeployToken(w.project.ID, &gitlab.CreateProjectDeployTokenOptions{Name: new("none"), Scopes: &[]string{"no_such_scope"}})
		w.refused(err, http.StatusBadRequest, "does not have a valid value")
	})
}

func TestResourceTokens(t *testing.T) {
	story(t, func(w *world) {
		expires := day(60)
		writer := must(w.root.ProjectAccessTokens.CreateProjectAccessToken(w.project.ID, &gitlab.CreateProjectAccessTokenOptions{
			Name: new("writer"), Description: new("publishes"), Scopes: &[]string{"api"}, AccessLevel: new(gitlab.DeveloperPermissions), ExpiresAt: expires,
		}))
		w.equal("project token", []any{writer.Name, writer.Description, writer.Scopes, writer.AccessLevel, writer.Active, writer.Revoked, writer.ExpiresAt.String()},
			[]any{"writer", "publishes", []string{"api"}, gitlab.DeveloperPermissions, true, false, expires.String()})
		reader := must(w.root.GroupAccessTokens.CreateGroupAccessToken(w.group.ID, &gitlab.CreateGroupAccessTokenOptions{
			Name: new("reader"), Scopes: &[]string{"read_api"}, AccessLevel: new(gitlab.ReporterPermissions), ExpiresAt: expires,
		}))
		w.equal("group token", []any{reader.Name, reader.AccessLevel}, []any{"reader", gitlab.ReporterPermissions})
		bot := must(w.client(writer.Token).Users.CurrentUser())
		w.equal("bot", []any{bot.ID, bot.Bot}, []any{writer.UserID, true})
		w.equal("level of the bot", must(w.root.ProjectMembers.GetProjectMember(w.project.ID, bot.ID)).AccessLevel, gitlab.DeveloperPermissions)

		name := "@" + w.name + "/tooled"
		if _, err := w.publish(w.project, writer.Token, name, "1.0.0"); err != nil {
			t.Error(err)
		}
		if _, err := w.publish(w.further, writer.Token, name, "1.1.0"); err == nil {
			t.Error("a project's token published to another project")
		}
		if out, err := w.npm(w.registry(w.project, reader.Token), "view", name, "version"); err != nil || out != "1.0.0\n" {
			t.Errorf("view with a group's token: %q %v", out, err)
		}

		// Rotated: the old text ends, the new one works.
		next := must(w.root.ProjectAccessTokens.RotateProjectAccessToken(w.project.ID, writer.ID, &gitlab.RotateProjectAccessTokenOptions{ExpiresAt: day(10)}))
		w.equal("rotated", []any{next.Name, next.UserID, next.AccessLevel, next.ExpiresAt.String(), next.ID != writer.ID, next.Token != writer.Token},
			[]any{"writer", writer.UserID, gitlab.DeveloperPermissions, day(10).String(), true, true})
		_, _, err := w.client(writer.Token).Users.CurrentUser()
		w.refused(err, http.StatusUnauthorized, "revoked")
		own := must(w.client(next.Token).PersonalAccessTokens.RotatePersonalAccessTokenSelf(nil))
		w.equal("rotated by itself", own.UserID, writer.UserID)
		active := must(w.root.ProjectAccessTokens.ListProjectAccessTokens(w.project.ID, &gitlab.ListProjectAccessTokensOptions{State: new("active")}))
		if len(active) != 1 || active[0].ID != own.ID || active[0].Token != "" {
			t.Errorf("active tokens: %+v", active)
		}
		w.equal("revoked", must(w.root.ProjectAccessTokens.GetProjectAccessToken(w.project.ID, writer.ID)).Revoked, true)

		done(w.root.ProjectAccessTokens.RevokeProjectAccessToken(w.project.ID, own.ID))
		done(w.root.GroupAccessTokens.RevokeGroupAccessToken(w.group.ID, reader.ID))
		if _, err := w.npm(w.registry(w.project, reader.Token), "view", name); err == nil {
			t.Error("a revoked group token read")
		}
		_, stranger := w.user("stranger")
		_, _, err = stranger.ProjectAccessTokens.ListProjectAccessTokens(w.project.ID, nil)
		w.refused(err, http.StatusNotFound, "")
	})
}

func TestTokenLists(t *testing.T) {
	story(t, func(w *world) {
		user, theirs := w.user("developer")
		var ids []int64
		for _, name := range []string{"alpha", "beta"} {
			ids = append(ids, must(w.root.Users.CreatePersonalAccessToken(user.ID, &gitlab.CreatePersonalAccessTokenOptions{Name: &name, Scopes: &[]string{"read_api"}})).ID)
		}
		done(w.root.PersonalAccessTokens.RevokePersonalAccessTokenByID(ids[1]))
		list := func(opt gitlab.ListPersonalAccessTokensOptions) (names []string) {
			opt.UserID = &user.ID
			for _, token := range must(w.root.PersonalAccessTokens.ListPersonalAccessTokens(&opt)) {
				names = append(names, token.Name)
			}
			return names
		}
		w.equal("by name", list(gitlab.ListPersonalAccessTokensOptions{Sort: new("name_desc")}), []string{"story", "beta", "alpha"})
		w.equal("active", list(gitlab.ListPersonalAccessTokensOptions{State: new("active"), Sort: new("name_asc")}), []string{"alpha", "story"})
		w.equal("revoked", list(gitlab.ListPersonalAccessTokensOptions{Revoked: new(true)}), []string{"beta"})
		w.equal("by words", list(gitlab.ListPersonalAccessTokensOptions{Search: new("ALPH")}), []string{"alpha"})
		w.equal("made later", list(gitlab.ListPersonalAccessTokensOptions{CreatedAfter: day(2)}), []string(nil))
		w.equal("own", len(must(theirs.PersonalAccessTokens.ListPersonalAccessTokens(nil))), 3)
		_, _, err := theirs.PersonalAccessTokens.ListPersonalAccessTokens(&gitlab.ListPersonalAccessTokensOptions{UserID: new(int64(1))})
		w.refused(err, http.StatusUnauthorized, "401 Unauthorized")

		rotated := must(w.root.PersonalAccessTokens.RotatePersonalAccessTokenByID(ids[0], &gitlab.RotatePersonalAccessTokenOptions{ExpiresAt: day(5)}))
		w.equal("rotated", []any{rotated.Name, rotated.UserID, rotated.ExpiresAt.String(), must(w.client(rotated.Token).PersonalAccessTokens.GetSinglePersonalAccessToken()).ID},
			[]any{"alpha", user.ID, day(5).String(), rotated.ID})
	})
}
