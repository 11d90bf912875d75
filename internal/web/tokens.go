package web

import (
	"cmp"
	"net/http"
	"net/url"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

type tokensPage struct {
	Tokens []*registry.Token
	Now    time.Time
	Made   *madeToken
	Scopes []string
	Latest string // end that a token may have, and has when it does not say
	paging
}

// madeToken is a token that is shown this once.
type madeToken struct{ Name, Text, User string }

// tokenForm takes fields of the form of a new token, and its scopes, as the API has them.
func (q *request) tokenForm(names ...string) url.Values {
	form := q.fields(names...)
	if scopes := q.PostForm["scopes"]; len(scopes) > 0 {
		form["scopes[]"] = scopes
	} else {
		form.Set("scopes", "")
	}
	return form
}

// newToken has the API make a token, and shows it this once.
func (q *request) newToken(path string, form url.Values, show func(*madeToken) error) error {
	c := change{method: http.MethodPost, path: path, form: form, page: func(*request) error { return show(nil) }}
	// The API makes tokens that have ended, as GitLab does; nobody means that who fills in a form.
	if day, err := time.Parse(time.DateOnly, form.Get("expires_at")); err == nil && day.Before(time.Now().UTC().Truncate(24*time.Hour)) {
		q.status, q.problems = http.StatusUnprocessableEntity, []string{q.lang.problem("expires_at", "cannot be a date in the past")}
		return c.page(q)
	}
	a, err := q.send(c)
	if err != nil {
		return err
	}
	var made struct{ Name, Username, Token string }
	if a.status >= 300 || a.into(&made) != nil {
		return q.notOwn(a, c)
	}
	return show(&madeToken{made.Name, made.Token, cmp.Or(made.Username, q.who.User.Username)})
}

// notOwn is again, where 401 is GitLab's answer about a token of somebody else.
func (q *request) notOwn(a *answer, c change) error {
	if a.status == http.StatusUnauthorized {
		return errNoPage
	}
	return q.again(a, c)
}

// askRevoke asks for tokens of each kind.
func (q *request) askRevoke() error {
	return q.ask("Revoke %s?", "The token ends at once, and what uses it is refused. This cannot be undone.", "Revoke")
}

// ---- of a person

var personalScopes = []string{registry.ScopeAPI, registry.ScopeReadAPI, registry.ScopeReadPackage, registry.ScopeWritePackage, registry.ScopeReadRepository, registry.ScopeWriteRepository, registry.ScopeReadUser, registry.ScopeSelfRotate}

func (h *Handler) tokens(q *request) error { return q.showTokens(nil) }

func (q *request) showTokens(made *madeToken) error {
	page := tokensPage{Now: time.Now(), Made: made, Scopes: personalScopes, Latest: time.Now().AddDate(0, 0, 365).Format(time.DateOnly), paging: q.paging(50)}
	if q.who.User.Admin {
		page.Scopes = append(append([]string{}, personalScopes...), registry.ScopeSudo)
	}
	err := q.read(func(tx registry.Tx) (err error) {
		page.Tokens, page.Total, err = tx.PageTokens(registry.TokenFilter{Kind: registry.PersonalToken, UserID: q.who.User.ID, Impersonation: new(false), Active: true, Descending: true}, page.Size, page.Offset())
		return err
	})
	if err != nil {
		return err
	}
	return q.render("tokens", q.t("Access tokens"), page)
}

func (h *Handler) createToken(q *request) error {
	return q.newToken("/user/personal_access_tokens", q.tokenForm("name", "description", "expires_at"), q.showTokens)
}

func (h *Handler) rotateToken(q *request) error {
	if q.unsure() {
		return q.ask("Put a new token in the place of %s?", "The old one ends at once, and what uses it has to be given the new one.", "Rotate")
	}
	expires := time.Now().AddDate(0, 0, 90).Format(time.DateOnly)
	return q.newToken("/personal_access_tokens/"+q.id("token_id")+"/rotate", url.Values{"expires_at": {expires}}, q.showTokens)
}

func (h *Handler) revokeToken(q *request) error {
	if q.unsure() {
		return q.askRevoke()
	}
	c := change{method: http.MethodDelete, path: "/personal_access_tokens/" + q.id("token_id"), page: h.tokens}
	a, err := q.send(c)
	if err != nil {
		return err
	}
	if a.status >= 300 {
		return q.notOwn(a, c)
	}
	return q.done("The token was revoked.", "/-/profile/tokens")
}

// ---- of a project or a group

func (h *Handler) deployTokens(q *request) error { return q.showDeployTokens(nil) }

func (q *request) showDeployTokens(made *madeToken) error {
	if err := q.require(access.Inspect); err != nil {
		return err
	}
	if q.place.Group != nil && q.place.Group.Personal() {
		return errNoPage
	}
	page := tokensPage{Now: time.Now(), Made: made, Scopes: []string{registry.ScopeReadPackage, registry.ScopeWritePackage}, paging: q.paging(50)}
	group, project := q.place.IDs()
	err := q.read(func(tx registry.Tx) (err error) {
		page.Tokens, page.Total, err = tx.PageTokens(registry.TokenFilter{Kind: registry.DeployToken, GroupID: group, ProjectID: project, Active: true, Descending: true}, page.Size, page.Offset())
		return err
	})
	if err != nil {
		return err
	}
	return q.render("deploy_tokens", q.title("Deploy tokens"), page)
}

func (h *Handler) createDeployToken(q *request) error {
	return q.newToken(q.place.api()+"/deploy_tokens", q.tokenForm("name", "username", "expires_at"), q.showDeployTokens)
}

func (h *Handler) revokeDeployToken(q *request) error {
	if q.unsure() {
		return q.askRevoke()
	}
	return q.submit(change{method: http.MethodDelete, path: q.place.api() + "/deploy_tokens/" + q.id("token_id"), page: h.deployTokens, done: "The token was revoked.", to: q.place.Path("tokens")})
}
