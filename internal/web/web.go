// Package web is the pages for people.
package web

import (
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"packhouse/internal/registry"
)

//go:embed templates assets
var files embed.FS

var pages = template.Must(template.ParseFS(files, "templates/*.html"))

// Handler serves the pages.
type Handler struct {
	Registry *registry.Registry
	BaseURL  func(*http.Request) string
}

// Routes hands the patterns of the pages to handle.
func (h *Handler) Routes(handle func(pattern string, handler http.Handler)) {
	assets, err := fs.Sub(files, "assets")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	handle("GET /-/assets/", http.StripPrefix("/-/assets/", http.FileServerFS(assets)))
	handle("GET /{$}", http.HandlerFunc(h.home))
	handle("GET /-/login/{id}", http.HandlerFunc(h.loginForm))
	// Another site must not be able to send the form.
	handle("POST /-/login/{id}", http.NewCrossOriginProtection().Handler(http.HandlerFunc(h.login)))
}

func render(w http.ResponseWriter, r *http.Request, status int, page string, data any) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	header.Set("Referrer-Policy", "no-referrer") // the address of a sign-in is a secret
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, page, data); err != nil {
		slog.ErrorContext(r.Context(), "page", "page", page, "err", err)
	}
}

func (h *Handler) home(w http.ResponseWriter, r *http.Request) {
	render(w, r, http.StatusOK, "home.html", map[string]string{"URL": h.BaseURL(r)})
}

// loginPage is a sign-in that a command-line client began.
type loginPage struct {
	Address string    // of the client
	Since   time.Time // when it began
	Message string
	State   string // "open", "done" or "gone"
}

func (h *Handler) pending(r *http.Request) (hash []byte, page loginPage, err error) {
	hash, err = hex.DecodeString(r.PathValue("id"))
	if err != nil {
		return nil, loginPage{State: "gone"}, nil
	}
	err = h.Registry.Store.Read(r.Context(), func(tx registry.Tx) error {
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

func (h *Handler) loginForm(w http.ResponseWriter, r *http.Request) {
	_, page, err := h.pending(r)
	h.showLogin(w, r, page, err)
}

// login signs the person in and approves the client's sign-in.
func (h *Handler) login(w http.ResponseWriter, r *http.Request) {
	hash, page, err := h.pending(r)
	if err == nil && page.State == "open" {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		var user *registry.User
		user, err = h.Registry.SignIn(r.Context(), r.RemoteAddr, r.PostFormValue("username"), r.PostFormValue("password"))
		if err == nil {
			err = h.Registry.Store.Write(r.Context(), func(tx registry.Tx) error { return tx.ApproveLogin(hash, user.ID) })
			page.State = "done"
		}
	}
	h.showLogin(w, r, page, err)
}

func (h *Handler) showLogin(w http.ResponseWriter, r *http.Request, page loginPage, err error) {
	status := http.StatusOK
	switch registry.KindOf(err) {
	case registry.Unauthenticated:
		status, page.Message = http.StatusUnauthorized, registry.MessageOf(err)
	case registry.Limited:
		status, page.Message = http.StatusTooManyRequests, registry.MessageOf(err)
	case registry.NotFound:
		page.State = "gone"
	default:
		if err != nil {
			slog.ErrorContext(r.Context(), "login", "err", err)
			http.Error(w, "Something went wrong on the server.", http.StatusInternalServerError)
			return
		}
	}
	if page.State == "gone" {
		status = http.StatusNotFound
	}
	render(w, r, status, "login.html", page)
}
