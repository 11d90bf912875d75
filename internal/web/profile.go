package web

import (
	"net/http"
	"net/url"
	"time"

	"packhouse/internal/registry"
)

func (h *Handler) profile(q *request) error {
	return q.render("profile", q.t("Profile"), nil)
}

var themes = []string{"", "light", "dark"}

// changeProfile sets how the pages look to the person, and what they are called.
func (h *Handler) changeProfile(q *request) error {
	name := q.PostFormValue("name")
	language, theme := q.PostFormValue("language"), q.PostFormValue("theme")
	if err := h.Registry.ChangeProfile(q.Context(), q.who.User.ID, name, known(language, "", "en", "zh-CN"), known(theme, themes...)); err != nil {
		return q.refused(err, h.profile)
	}
	return q.done("The changes were saved.", "/-/profile")
}

// known is a text when it is one of some, and otherwise the first of them.
func known(text string, all ...string) string {
	for _, one := range all {
		if one == text {
			return text
		}
	}
	return all[0]
}

func (h *Handler) changePassword(q *request) error {
	if q.PostFormValue("password") != q.PostFormValue("repeated") {
		return q.refused(registry.Errorf(registry.Invalid, "The two passwords are not the same"), h.profile)
	}
	err := h.Registry.ChangePassword(q.Context(), q.RemoteAddr, q.who.User.ID, q.PostFormValue("old"), q.PostFormValue("password"), q.who.Session.ID)
	if err != nil {
		return q.refused(err, h.profile)
	}
	return q.done("The password was changed. All other sessions have ended.", "/-/profile")
}

// ---- tokens

var personalScopes = []string{registry.ScopeAPI, registry.ScopeReadAPI, registry.ScopeReadPackage, registry.ScopeWritePackage, registry.ScopeReadUser, registry.ScopeSelfRotate}

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
	form := q.fields("name", "description", "expires_at")
	form["scopes[]"] = q.PostForm["scopes"]
	if len(form["scopes[]"]) == 0 {
		form.Set("scopes", "")
		delete(form, "scopes[]")
	}
	return q.newToken("/user/personal_access_tokens", form)
}

func (h *Handler) rotateToken(q *request) error {
	expires := time.Now().AddDate(0, 0, 90).Format(time.DateOnly)
	return q.newToken("/personal_access_tokens/"+q.id("token_id")+"/rotate", url.Values{"expires_at": {expires}})
}

// newToken has the API make a token, and shows it this once.
func (q *request) newToken(path string, form url.Values) error {
	a, err := q.send(change{method: http.MethodPost, path: path, form: form})
	if err != nil {
		return err
	}
	var made struct{ Name, Token string }
	if a.status >= 300 || a.into(&made) != nil {
		if a.status == http.StatusUnauthorized { // GitLab's answer about a token of somebody else
			return errNoPage
		}
		return q.again(a, q.h.tokens)
	}
	return q.showTokens(&madeToken{made.Name, made.Token, q.who.User.Username})
}

func (h *Handler) revokeToken(q *request) error {
	a, err := q.send(change{method: http.MethodDelete, path: "/personal_access_tokens/" + q.id("token_id")})
	if err != nil {
		return err
	}
	if a.status == http.StatusUnauthorized {
		return errNoPage
	}
	if a.status >= 300 {
		return q.again(a, h.tokens)
	}
	return q.done("The token was revoked.", "/-/profile/tokens")
}

// ---- sessions

type sessionsPage struct {
	Sessions []*registry.Session
	Own      int64
}

func (h *Handler) sessions(q *request) error {
	page := sessionsPage{Own: q.who.Session.ID}
	err := q.read(func(tx registry.Tx) (err error) {
		page.Sessions, err = tx.Sessions(q.who.User.ID)
		return err
	})
	if err != nil {
		return err
	}
	return q.render("sessions", q.t("Sessions"), page)
}

func (h *Handler) endSession(q *request) error {
	err := h.Registry.Store.Write(q.Context(), func(tx registry.Tx) error { return tx.DeleteSession(q.who.User.ID, q.number("session_id")) })
	if err != nil {
		return err
	}
	return q.done("The session has ended.", "/-/profile/sessions")
}

func (h *Handler) endSessions(q *request) error {
	err := h.Registry.Store.Write(q.Context(), func(tx registry.Tx) error { return tx.DeleteSessions(q.who.User.ID, q.who.Session.ID) })
	if err != nil {
		return err
	}
	return q.done("All other sessions have ended.", "/-/profile/sessions")
}
