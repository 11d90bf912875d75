package web

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// request is one request for a page, and what is known of it.
type request struct {
	*http.Request
	w    http.ResponseWriter
	h    *Handler
	view *access.View
	who  *access.Caller
	base string // public URL of the server
	lang *locale
	place

	status   int      // of the answer; 0: 200
	problems []string // what was wrong with the form
	secret   string   // of the session
}

// read runs f over a snapshot of the store.
func (q *request) read(f func(registry.Tx) error) error {
	return q.h.Registry.Store.Read(q.Context(), f)
}

// t is a text in the language of the person.
func (q *request) t(text string, args ...any) string { return q.lang.text(text, args...) }

// title is that of a page of the place.
func (q *request) title(page string) string { return q.place.FullPath() + " · " + q.t(page) }

// maxForm bounds the body of a form, in bytes.
const maxForm = 256 << 10

// serve opens a request and answers it. Whatever is wrong is a page, too.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, route route) {
	q := &request{Request: r, w: w, h: h, base: h.BaseURL(r), who: &access.Caller{}, lang: localeOf(r, "")}
	if err := q.open(route); err != nil {
		q.fail(err)
		return
	}
	if err := route.serve(q); err != nil {
		q.fail(err)
	}
}

// open finds out who asks, and for which place.
func (q *request) open(route route) (err error) {
	if q.view, err = q.h.Gate.Now(q.Context()); err != nil {
		return err
	}
	if err := q.recognize(); err != nil {
		return err
	}
	if q.who.User != nil {
		q.lang = localeOf(q.Request, q.who.User.Language)
	}
	if q.Method == http.MethodPost {
		q.Body = http.MaxBytesReader(q.w, q.Body, maxForm)
		if err := q.ParseForm(); err != nil {
			return registry.Errorf(registry.Invalid, "%s", q.t("The form could not be read."))
		}
	}
	switch {
	case route.who != anyone && q.who.User == nil:
		return errSignInFirst
	case route.who == administrators && !q.who.User.Admin:
		return errNoPage // whoever may not know of it
	case q.who.User != nil && q.who.User.Temporary && !strings.HasSuffix(route.pattern, "/-/setup") && route.who != anyone:
		return errSetUpFirst
	}
	if q.PathValue("place") != "" {
		return q.findPlace(strings.HasPrefix(route.pattern[strings.Index(route.pattern, " ")+1:], "/groups/"))
	}
	return nil
}

var (
	errNoPage      = registry.Errorf(registry.NotFound, "404 Not Found")
	errForbidden   = registry.Errorf(registry.Forbidden, "403 Forbidden")
	errSignInFirst = errors.New("sign in first")
	errSetUpFirst  = errors.New("choose a password first")
)

// movedError is where the thing is that was asked for.
type movedError string

func (e movedError) Error() string { return "moved to " + string(e) }

// fail answers an error with a page that says what happened and what to do.
func (q *request) fail(err error) {
	var moved movedError
	switch {
	case errors.As(err, &moved):
		q.redirect(string(moved))
		return
	case errors.Is(err, errSignInFirst):
		to := "/"
		if q.Method == http.MethodGet {
			to = q.URL.RequestURI()
		}
		q.redirect("/-/sign_in?to=" + url.QueryEscape(to))
		return
	case errors.Is(err, errSetUpFirst):
		q.redirect("/-/setup")
		return
	}
	type failure struct{ Heading, Text string }
	var page failure
	message := sentence(registry.MessageOf(err))
	switch registry.KindOf(err) {
	case registry.NotFound, registry.Unauthenticated:
		if !strings.Contains(q.Header.Get("Accept"), "text/html") { // a program that has lost its way
			q.w.Header().Set("Content-Type", "application/json")
			q.w.WriteHeader(http.StatusNotFound)
			q.w.Write([]byte(`{"error":"404 Not Found"}` + "\n"))
			return
		}
		q.status = http.StatusNotFound
		page = failure{q.t("There is no such page"), q.t("It may have moved, or you may not be allowed to see it.")}
	case registry.Forbidden:
		q.status = http.StatusForbidden
		page = failure{q.t("You may not do that"), q.t("It takes more rights here than you have. An owner or a maintainer can give them to you.")}
		if message != "" {
			page.Text = q.lang.message(message)
		}
	case registry.Invalid, registry.Conflict, registry.TooLarge:
		q.status = http.StatusBadRequest
		page = failure{q.t("That did not work"), q.lang.message(message)}
	case registry.Limited:
		q.status = http.StatusTooManyRequests
		page = failure{q.t("Too many attempts"), q.lang.message(message)}
	case registry.Unavailable, registry.Full:
		q.status = http.StatusServiceUnavailable
		slog.WarnContext(q.Context(), "page", "path", q.URL.Path, "err", err)
		page = failure{q.t("The server is not ready"), q.t("A part that it depends on does not answer. Try again in a moment.")}
	default:
		if q.Context().Err() != nil { // nobody is there to see it
			return
		}
		q.status = http.StatusInternalServerError
		slog.ErrorContext(q.Context(), "page", "path", q.URL.Path, "err", err)
		page = failure{q.t("Something went wrong on the server"), q.t("It has been noted in the log of the server. Try again, or tell whoever runs it the number of the request: %s.", q.w.Header().Get("X-Request-Id"))}
	}
	q.place = place{} // its tabs are not for those who may not see it
	if err := q.render("error", page.Heading, page); err != nil {
		slog.ErrorContext(q.Context(), "page of an error", "err", err)
		http.Error(q.w, page.Heading, q.status)
	}
}

// sentence is what an error of the domain or the API says, without the status before it.
func sentence(message string) string {
	if text, ok := strings.CutPrefix(message, `Failed to transfer project {:new_namespace=>["`); ok { // as GitLab writes it
		return strings.TrimSuffix(text, `"]}`)
	}
	for _, prefix := range []string{"400 Bad request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "409 Conflict", "429 Too Many Requests", "Transfer failed:"} {
		if rest, ok := strings.CutPrefix(message, prefix); ok {
			return strings.TrimLeft(rest, " -:")
		}
	}
	return message
}

// NotFound answers a path that has no route.
func (h *Handler) NotFound(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, route{"GET /", anyone, func(*request) error { return errNoPage }})
}

// refuseOrigin answers a form that another site has sent.
func (h *Handler) refuseOrigin(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, route{"GET /", anyone, func(*request) error {
		return registry.Errorf(registry.Forbidden, "The form was sent by another site.")
	}})
}

// redirect sends the browser to a path of this server, to be read.
func (q *request) redirect(path string) {
	q.w.Header().Set("Cache-Control", "no-store")
	q.w.Header().Set("Location", path)
	q.w.WriteHeader(http.StatusSeeOther)
}

// policy is what a page may load and do: what this server has, and nothing inline.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

func secure(header http.Header) {
	header.Set("Content-Security-Policy", policy)
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Cookie, Accept-Language")
}

// page is what each page's template is given.
type page struct {
	Title  string
	User   *registry.User
	Lang   string // BCP 47
	Theme  string
	Path   string // of this page, with its query
	Search string // what is in the search box
	Crumbs []crumb
	Tabs   []tab
	Place  *place // nil: the page is of none
	Base   string // public URL of the server
	Done   string // what was done just now
	*request
	Data any
}

type crumb struct{ Text, Path string }

type tab struct {
	Text, Path string
	Here       bool
}

// Locales are the languages that there are.
func (p *page) Locales() []*locale { return locales }

// Problems are what was wrong with the form.
func (p *page) Problems() []string { return p.problems }

// Val is what was entered in a field of the form that is shown again, or else a value.
func (p *page) Val(name string, value any) any {
	if p.problems != nil && p.PostForm.Has(name) {
		return p.PostForm.Get(name)
	}
	return value
}

// Is tells whether a choice of a field is to be chosen.
func (p *page) Is(name string, value any, choice string) bool {
	return asText(p.Val(name, value)) == choice
}

// Checked tells whether a box of the form is to be checked.
func (p *page) Checked(name string, value bool) bool {
	if p.problems != nil {
		return p.PostForm.Has(name)
	}
	return value
}

func asText(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case registry.Visibility:
		return string(v)
	case registry.RegistryAccess:
		return string(v)
	case registry.Type:
		return string(v)
	case registry.Level:
		return strconv.Itoa(int(v))
	case int:
		return strconv.Itoa(v)
	}
	return ""
}

// render answers a page.
func (q *request) render(name, title string, data any) error {
	p := &page{Title: title, User: q.who.User, Lang: q.lang.tag, Path: q.URL.RequestURI(), request: q, Base: q.base, Data: data, Done: q.takeFlash()}
	if q.URL.Path == "/-/search" {
		p.Search = q.URL.Query().Get("q")
	}
	if q.who.User != nil {
		p.Theme = q.who.User.Theme
	}
	if q.place.exists() {
		p.Place, p.Crumbs, p.Tabs = &q.place, q.crumbs(), q.tabs()
	}
	return q.write(name, p)
}

// write executes a template and sends what it made, compressed when that pays.
func (q *request) write(name string, data any) error {
	var b bytes.Buffer
	if err := q.lang.pages().ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	header := q.w.Header()
	secure(header)
	header.Set("Content-Type", "text/html; charset=utf-8")
	if q.status == 0 {
		q.status = http.StatusOK
	}
	// What was sent with a form is not compressed together with what only its sender may know: the length would tell.
	if b.Len() > 1<<10 && q.Method != http.MethodPost && strings.Contains(q.Header.Get("Accept-Encoding"), "gzip") {
		header.Add("Vary", "Accept-Encoding")
		header.Set("Content-Encoding", "gzip")
		q.w.WriteHeader(q.status)
		z := zippers.Get().(*gzip.Writer)
		defer zippers.Put(z)
		z.Reset(q.w)
		z.Write(b.Bytes())
		return z.Close()
	}
	header.Set("Content-Length", strconv.Itoa(b.Len()))
	q.w.WriteHeader(q.status)
	q.w.Write(b.Bytes())
	return nil
}

var zippers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// number reads a number of the path or query that begins with 1.
func (q *request) number(name string) int64 {
	text := q.PathValue(name)
	if text == "" {
		text = q.URL.Query().Get(name)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0
	}
	return n
}

// id writes a number of the path, for the REST API.
func (q *request) id(name string) string { return strconv.FormatInt(q.number(name), 10) }

// paging is a part of a list and the way to the others.
type paging struct {
	Number, Size, Total int
	path                string
	query               url.Values
}

// maxPage is the last page that can be asked for; beyond it, filters are the way.
const maxPage = 100_000

func (q *request) paging(size int) paging {
	return paging{Number: int(min(max(q.number("page"), 1), maxPage)), Size: size, path: q.URL.Path, query: q.URL.Query()}
}

func (p paging) Offset() int { return (p.Number - 1) * p.Size }
func (p paging) Pages() int  { return max(1, (p.Total+p.Size-1)/p.Size) }
func (p paging) First() int  { return min(p.Offset()+1, p.Total) }
func (p paging) Last() int   { return min(p.Offset()+p.Size, p.Total) }

// To is the address of another page.
func (p paging) To(number int) string { return p.With("page", strconv.Itoa(number)) }

// Previous and Next are 0 where there is none.
func (p paging) Previous() int {
	if p.Number > 1 {
		return min(p.Number-1, p.Pages())
	}
	return 0
}

func (p paging) Next() int {
	if p.Number < p.Pages() {
		return p.Number + 1
	}
	return 0
}

// With is the address of the list with another value of a parameter, from its first page.
func (p paging) With(name, value string) string {
	query := url.Values{}
	for key, values := range p.query {
		if key != "page" && len(values) > 0 && values[0] != "" {
			query.Set(key, values[0])
		}
	}
	query.Set(name, value)
	if name == "page" && value == "1" || value == "" {
		query.Del(name)
	}
	if len(query) == 0 {
		return p.path
	}
	return p.path + "?" + query.Encode()
}

// choice is a parameter of the query that is one of some texts; the first one is what it is by default.
func (q *request) choice(name string, choices ...string) string {
	given := q.URL.Query().Get(name)
	for _, choice := range choices {
		if given == choice {
			return choice
		}
	}
	return choices[0]
}

// param is a parameter of the query that holds text.
func (q *request) param(name string) string {
	text := strings.TrimSpace(strings.ToValidUTF8(q.URL.Query().Get(name), ""))
	text = strings.ReplaceAll(text, "\x00", "")
	return text[:min(len(text), 500)]
}

// ---- what templates look up

// Types are the formats that the server speaks.
func (p *page) Types() []registry.Type { return p.h.types() }

// ScopeTexts say what scopes of tokens open.
func (p *page) ScopeTexts() map[string]string { return scopeTexts }

var scopeTexts = map[string]string{
	registry.ScopeAPI:             "everything that you may do",
	registry.ScopeReadAPI:         "read everything that you may read",
	registry.ScopeReadPackage:     "install packages",
	registry.ScopeWritePackage:    "publish, delete and install packages",
	registry.ScopeReadRepository:  "clone repositories",
	registry.ScopeWriteRepository: "push to repositories",
	registry.ScopeReadUser:        "know who you are",
	registry.ScopeSelfRotate:      "rotate itself",
	registry.ScopeSudo:            "act as somebody else",
}

// ReasonTexts say why a version goes.
func (p *page) ReasonTexts() map[string]string { return reasonTexts }

var reasonTexts = map[string]string{
	registry.BeyondNewest:  "beyond the newest",
	registry.TooOld:        "too old",
	registry.NotDownloaded: "not downloaded",
}

// Positive is a number, or nothing for 0.
func (p *page) Positive(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// ProfileTabs and AdminTabs are the pages beside each other.
func (p *page) ProfileTabs() []tab {
	return p.beside("/-/profile", p.t("Profile"), "/-/profile/tokens", p.t("Access tokens"), "/-/profile/sessions", p.t("Sessions"))
}

func (p *page) AdminTabs() []tab {
	return p.beside("/-/admin", p.t("Health"), "/-/admin/users", p.t("Users"), "/-/admin/groups", p.t("All groups"), "/-/admin/jobs", p.t("Jobs"),
		"/-/admin/usage", p.t("Storage and traffic"), "/-/admin/audit", p.t("Audit log"))
}

func (p *page) beside(pairs ...string) (tabs []tab) {
	for i := 0; i < len(pairs); i += 2 {
		here := p.URL.Path == pairs[i] || i > 0 && strings.HasPrefix(p.URL.Path, pairs[i]+"/")
		tabs = append(tabs, tab{pairs[i+1], pairs[i], here})
	}
	return tabs
}
