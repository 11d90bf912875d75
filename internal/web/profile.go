package web

import (
	"strings"

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

// ---- sessions

type sessionsPage struct {
	Sessions []*registry.Session
	Own      int64
}

// What a browser says of itself names others, too, that it wants to be taken for: the first that is found counts.
var (
	browsers = [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}}
	systems  = [][2]string{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"}}
)

// Browser is what a session runs in, as people call it.
func (p *page) Browser(agent string) string {
	find := func(all [][2]string) string {
		for _, one := range all {
			if strings.Contains(agent, one[0]) {
				return one[1]
			}
		}
		return ""
	}
	browser, system := find(browsers), find(systems)
	switch {
	case agent == "":
		return p.t("unknown")
	case browser == "" || system == "":
		return agent
	}
	return p.t("%s on %s", browser, system)
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
	if q.unsure() {
		return q.ask("End the session of %s?", "That browser has to sign in again.", "End it")
	}
	err := h.Registry.Store.Write(q.Context(), func(tx registry.Tx) error { return tx.DeleteSession(q.who.User.ID, q.number("session_id")) })
	if err != nil {
		return err
	}
	return q.done("The session has ended.", "/-/profile/sessions")
}

func (h *Handler) endSessions(q *request) error {
	if q.unsure() {
		return q.ask("End all other sessions?", "All browsers but this one have to sign in again.", "End all others")
	}
	err := h.Registry.Store.Write(q.Context(), func(tx registry.Tx) error { return tx.DeleteSessions(q.who.User.ID, q.who.Session.ID) })
	if err != nil {
		return err
	}
	return q.done("All other sessions have ended.", "/-/profile/sessions")
}
