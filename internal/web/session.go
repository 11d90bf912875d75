package web

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

const (
	languageCookie = "language"
	flashCookie    = "flash"
)

// sessionCookie is its name. Browsers let nobody but this very host set one of the second name.
func (q *request) sessionCookie() string {
	if strings.HasPrefix(q.base, "https:") {
		return "__Host-session"
	}
	return "session"
}

// setCookie sets a cookie that no script reads and no other site sends; seconds < 0 takes it away.
func (q *request) setCookie(name, value string, seconds int) {
	http.SetCookie(q.w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(q.base, "https:")})
}

// recognize finds the person of the cookie. One that is no good any more is as none.
func (q *request) recognize() error {
	cookie, err := q.Cookie(q.sessionCookie())
	if err != nil || cookie.Value == "" {
		return nil
	}
	caller, err := q.view.Browser(q.Request, cookie.Value)
	switch {
	case registry.KindOf(err) == registry.Unauthenticated:
		q.setCookie(q.sessionCookie(), "", -1)
		return nil
	case err != nil:
		return err
	}
	q.who, q.secret = caller, cookie.Value
	// The cookie ends with the session, which lasts longer when it is used.
	if left := time.Until(caller.Session.ExpiresAt); left < registry.SessionLife-time.Hour && q.Method == http.MethodGet {
		q.keep(q.secret, caller.Session.Extended(time.Now()))
	}
	return nil
}

func (q *request) keep(secret string, until time.Time) {
	q.setCookie(q.sessionCookie(), secret, int(time.Until(until).Seconds()))
}

// isLocal tells whether an address is a path of this server: nobody is to be led elsewhere by a link to a form here.
func isLocal(to string) bool {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\x00\r\n\t") {
		return false
	}
	u, err := url.Parse(to)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil
}

// target is where a form leads to when it is done.
func (q *request) target() string {
	to := q.FormValue("to")
	if !isLocal(to) || strings.HasPrefix(to, "/-/sign_") {
		return "/"
	}
	return to
}

// ---- what was done, said once on the next page

// done notes what was done, an English text of the catalogue, and leads to a page.
func (q *request) done(text, to string) error {
	q.setCookie(flashCookie, url.QueryEscape(text), 60)
	q.redirect(to)
	return nil
}

// takeFlash is what was done, once. Only texts of ours are shown: the cookie may be anybody's.
func (q *request) takeFlash() string {
	cookie, err := q.Cookie(flashCookie)
	if err != nil {
		return ""
	}
	q.setCookie(flashCookie, "", -1)
	text, err := url.QueryUnescape(cookie.Value)
	if err != nil || locales[1].catalog[text] == "" {
		return ""
	}
	return q.t(text)
}

// ---- signing in and out

type signInPage struct {
	To  string
	New bool // nobody has signed in yet
}

func (h *Handler) signInForm(q *request) error {
	if q.who.User != nil {
		q.redirect(q.target())
		return nil
	}
	page := signInPage{To: q.target()}
	err := q.read(func(tx registry.Tx) error {
		root, err := tx.UserByUsername("root")
		if err == nil {
			page.New = root.Temporary
		}
		if registry.KindOf(err) == registry.NotFound {
			err = nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return q.render("sign_in", q.t("Sign in"), page)
}

func (h *Handler) signIn(q *request) error {
	user, err := h.Registry.SignIn(q.Context(), q.RemoteAddr, q.PostFormValue("username"), q.PostFormValue("password"))
	var secret string
	if err == nil {
		secret, err = h.Registry.BeginSession(q.Context(), user, q.RemoteAddr, q.UserAgent())
	}
	switch registry.KindOf(err) {
	case registry.Unauthenticated:
		q.status = http.StatusUnauthorized
	case registry.Limited:
		q.status = http.StatusTooManyRequests
	default:
		if err != nil {
			return err
		}
		if q.who.Session != nil { // somebody else's, in the same browser
			if err := q.endOwn(); err != nil {
				return err
			}
		}
		q.keep(secret, time.Now().Add(registry.SessionLife))
		if user.Temporary {
			q.redirect("/-/setup")
			return nil
		}
		q.redirect(q.target())
		return nil
	}
	q.problems = []string{q.lang.message(registry.MessageOf(err))}
	q.who = &access.Caller{}
	return h.signInForm(q)
}

// endOwn ends the session of the request.
func (q *request) endOwn() error {
	err := q.h.Registry.Store.Write(q.Context(), func(tx registry.Tx) error { return tx.DeleteSession(q.who.User.ID, q.who.Session.ID) })
	if registry.KindOf(err) == registry.NotFound {
		err = nil
	}
	return err
}

func (h *Handler) signOut(q *request) error {
	if q.who.Session != nil {
		if err := q.endOwn(); err != nil {
			return err
		}
	}
	q.setCookie(q.sessionCookie(), "", -1)
	q.w.Header().Set("Clear-Site-Data", `"cache"`)
	return q.done("You are signed out.", "/")
}

func (h *Handler) chooseLanguage(q *request) error {
	for _, l := range locales {
		if l.tag == q.PostFormValue("language") {
			q.setCookie(languageCookie, l.tag, 365*24*60*60)
		}
	}
	q.redirect(q.target())
	return nil
}

// ---- the first sign-in with a password that was generated

func (h *Handler) setup(q *request) error {
	if !q.who.User.Temporary {
		q.redirect("/")
		return nil
	}
	return q.render("setup", q.t("Set up"), nil)
}

func (h *Handler) finishSetup(q *request) error {
	if !q.who.User.Temporary {
		q.redirect("/")
		return nil
	}
	if q.PostFormValue("password") != q.PostFormValue("repeated") {
		return q.refused(registry.Errorf(registry.Invalid, "The two passwords are not the same"), h.setup)
	}
	if err := h.Registry.ChangePassword(q.Context(), q.RemoteAddr, q.who.User.ID, "", q.PostFormValue("password"), q.who.Session.ID); err != nil {
		return q.refused(err, h.setup)
	}
	return q.done("The password is yours now.", "/")
}

// refused shows a form again when its sender can do something about the error.
func (q *request) refused(err error, form func(*request) error) error {
	switch registry.KindOf(err) {
	case registry.Invalid, registry.Conflict, registry.Limited:
		q.status = http.StatusUnprocessableEntity
		q.problems = []string{q.lang.message(sentence(registry.MessageOf(err)))}
		return form(q)
	}
	return err
}

// ---- the sign-in of a command-line client

// loginPage is a sign-in that a command-line client began.
type loginPage struct {
	Address string    // of the client
	Since   time.Time // when it began
	State   string    // "open", "done" or "gone"
}

func (q *request) pending() (hash []byte, page loginPage, err error) {
	hash, err = hex.DecodeString(q.PathValue("id"))
	if err != nil {
		return nil, loginPage{State: "gone"}, nil
	}
	err = q.read(func(tx registry.Tx) error {
		login, err := tx.Login(hash)
		if err == nil {
			page = loginPage{Address: login.Address, Since: login.CreatedAt, State: "open"}
			if login.UserID != 0 {
				page.State = "done"
			}
		}
		return err
	})
	if registry.KindOf(err) == registry.NotFound {
		return hash, loginPage{State: "gone"}, nil
	}
	return hash, page, err
}

func (h *Handler) loginForm(q *request) error {
	_, page, err := q.pending()
	if err != nil {
		return err
	}
	return q.showLogin(page)
}

// login signs the person in, unless they are, and approves the client's sign-in.
func (h *Handler) login(q *request) error {
	hash, page, err := q.pending()
	if err == nil && page.State == "open" {
		user := q.who.User
		if user == nil {
			user, err = h.Registry.SignIn(q.Context(), q.RemoteAddr, q.PostFormValue("username"), q.PostFormValue("password"))
		}
		if err == nil && user.Temporary { // first they choose a password of their own
			return errSetUpFirst
		}
		if err == nil {
			err = h.Registry.Store.Write(q.Context(), func(tx registry.Tx) error { return tx.ApproveLogin(hash, user.ID) })
			page.State = "done"
		}
	}
	switch registry.KindOf(err) {
	case registry.Unauthenticated:
		q.status = http.StatusUnauthorized
	case registry.Limited:
		q.status = http.StatusTooManyRequests
	case registry.NotFound:
		page.State = "gone"
	default:
		if err != nil {
			return err
		}
	}
	if err != nil && page.State != "gone" {
		q.problems = []string{q.lang.message(registry.MessageOf(err))}
	}
	return q.showLogin(page)
}

func (q *request) showLogin(page loginPage) error {
	if page.State == "gone" {
		q.status = http.StatusNotFound
	}
	q.w.Header().Set("Referrer-Policy", "no-referrer") // the address of a sign-in is a secret
	return q.render("login", q.t("Sign in"), page)
}
