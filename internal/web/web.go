// Package web is the pages for people: HTML that the server renders, which works with forms and links alone. Scripts only add to it.
//
// Pages read through the store, with the rights of package access. What they change they change through the REST API, in the same
// process and as the person of the session: so each rule, each right and each line of the audit log is in one place, for scripts and
// people alike.
package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// Handler serves the pages.
type Handler struct {
	Registry *registry.Registry
	Gate     *access.Gate
	API      http.Handler // the REST API
	BaseURL  func(*http.Request) string
	Health   func(context.Context) map[string]error // of the parts of the server, by name
	Version  string
	Started  time.Time

	figures figures
	readmes readmes
}

// who may open a page.
type who int

const (
	anyone who = iota
	signedIn
	administrators
)

// route is a page, or a form that one has.
type route struct {
	pattern string
	who     who
	serve   func(*request) error
}

// Routes hands the patterns of the pages to handle. {place} is the full path of a project or a group, slashes and all, in one
// segment: see [Gather].
func (h *Handler) Routes(handle func(pattern string, handler http.Handler)) {
	handle("GET /-/assets/", http.HandlerFunc(serveAsset))
	// Another site must not be able to send a form.
	for _, r := range h.routes() {
		serve := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) { h.serve(w, request, r) }))
		if strings.HasPrefix(r.pattern, "POST ") {
			guarded := http.NewCrossOriginProtection()
			guarded.SetDenyHandler(http.HandlerFunc(h.refuseOrigin))
			serve = guarded.Handler(serve)
		}
		handle(r.pattern, serve)
	}
}

func (h *Handler) routes() []route {
	all := []route{
		{"GET /{$}", anyone, h.home},
		{"GET /-/explore", anyone, h.explore},
		{"GET /-/search", anyone, h.search},
		{"GET /-/search/suggestions", anyone, h.suggest},

		{"GET /-/sign_in", anyone, h.signInForm},
		{"POST /-/sign_in", anyone, h.signIn},
		{"POST /-/sign_out", anyone, h.signOut},
		{"GET /-/login/{id}", anyone, h.loginForm},
		{"POST /-/login/{id}", anyone, h.login},
		{"GET /-/setup", signedIn, h.setup},
		{"POST /-/setup", signedIn, h.finishSetup},
		{"POST /-/language", anyone, h.chooseLanguage},

		{"GET /-/profile", signedIn, h.profile},
		{"POST /-/profile", signedIn, h.changeProfile},
		{"POST /-/profile/password", signedIn, h.changePassword},
		{"GET /-/profile/tokens", signedIn, h.tokens},
		{"POST /-/profile/tokens", signedIn, h.createToken},
		{"POST /-/profile/tokens/{token_id}/revoke", signedIn, h.revokeToken},
		{"POST /-/profile/tokens/{token_id}/rotate", signedIn, h.rotateToken},
		{"GET /-/profile/sessions", signedIn, h.sessions},
		{"POST /-/profile/sessions/revoke", signedIn, h.endSessions},
		{"POST /-/profile/sessions/{session_id}/revoke", signedIn, h.endSession},

		{"GET /-/groups/new", signedIn, h.newGroup},
		{"POST /-/groups", signedIn, h.createGroup},
		{"GET /-/projects/new", signedIn, h.newProject},
		{"POST /-/projects", signedIn, h.createProject},

		{"GET /{place}", anyone, h.overview},
		{"GET /groups/{place}", anyone, h.overview},
		{"GET /{place}/-/packages/{package_id}", anyone, h.showPackage},
		{"POST /{place}/-/packages/{package_id}/delete", signedIn, h.deletePackage},
		{"POST /{place}/-/packages/{package_id}/yank", signedIn, h.yank},
		{"POST /{place}/-/packages/{package_id}/unyank", signedIn, h.unyank},
		{"POST /{place}/-/packages/{package_id}/unlist", signedIn, h.unlist},
		{"POST /{place}/-/packages/{package_id}/list", signedIn, h.list},
		{"POST /{place}/-/packages/{package_id}/files/{package_file_id}/delete", signedIn, h.deleteFile},
		{"GET /{place}/-/package_files/{package_file_id}/download", anyone, h.download},
		{"GET /{place}/-/publish", anyone, h.publishing},
		{"GET /{place}/-/cleanup", signedIn, h.cleanup},
		{"POST /{place}/-/cleanup", signedIn, h.changeCleanup},
		{"POST /{place}/-/cleanup/run", signedIn, h.runCleanup},
		{"POST /{place}/-/archive", signedIn, h.archive},
		{"POST /{place}/-/unarchive", signedIn, h.unarchive},

		{"GET /-/admin", administrators, h.health},
		{"GET /-/admin/users", administrators, h.users},
		{"GET /-/admin/users/new", administrators, h.newUser},
		{"POST /-/admin/users", administrators, h.createUser},
		{"GET /-/admin/users/{user_id}", administrators, h.user},
		{"POST /-/admin/users/{user_id}", administrators, h.changeUser},
		{"POST /-/admin/users/{user_id}/state", administrators, h.changeState},
		{"POST /-/admin/users/{user_id}/delete", administrators, h.deleteUser},
		{"GET /-/admin/groups", administrators, h.groups},
		{"GET /-/admin/jobs", administrators, h.jobs},
		{"GET /-/admin/usage", administrators, h.usage},
		{"GET /-/admin/audit", administrators, h.audit},
	}
	for _, prefix := range []string{"/{place}", "/groups/{place}"} {
		prefix += "/-/"
		all = append(all,
			route{"GET " + prefix + "packages", anyone, h.packages},
			route{"GET " + prefix + "storage", anyone, h.storage},
			route{"GET " + prefix + "members", anyone, h.members},
			route{"POST " + prefix + "members", signedIn, h.addMember},
			route{"POST " + prefix + "members/{user_id}", signedIn, h.changeMember},
			route{"POST " + prefix + "members/{user_id}/remove", signedIn, h.removeMember},
			route{"GET " + prefix + "tokens", signedIn, h.deployTokens},
			route{"POST " + prefix + "tokens", signedIn, h.createDeployToken},
			route{"POST " + prefix + "tokens/{token_id}/revoke", signedIn, h.revokeDeployToken},
			route{"GET " + prefix + "rules", signedIn, h.rules},
			route{"POST " + prefix + "rules", signedIn, h.createRule},
			route{"POST " + prefix + "rules/{rule_id}/remove", signedIn, h.removeRule},
			route{"GET " + prefix + "activity", signedIn, h.activity},
			route{"GET " + prefix + "settings", signedIn, h.settings},
			route{"POST " + prefix + "settings", signedIn, h.changePlace},
			route{"POST " + prefix + "settings/packages", signedIn, h.changeSettings},
			route{"POST " + prefix + "transfer", signedIn, h.transfer},
			route{"POST " + prefix + "delete", signedIn, h.deletePlace},
			route{"POST " + prefix + "restore", signedIn, h.restorePlace},
		)
	}
	return all
}

// Gather makes one segment of the full path of a place in the escaped path of a request, so that patterns can match it:
// /acme/tools/-/packages is /acme%2Ftools/-/packages. Paths of the server's own, below /api, /- and /metrics, stay as they are, and so
// do those of repositories, which end in .git.
func Gather(r *http.Request) {
	escaped := r.URL.EscapedPath()
	rest, ok := strings.CutPrefix(escaped, "/")
	if !ok || rest == "" {
		return
	}
	first, _, nested := strings.Cut(rest, "/")
	if first == "-" || first == "api" || first == "metrics" {
		return
	}
	prefix := "/"
	if after, ok := strings.CutPrefix(rest, "groups/"); ok && nested {
		prefix, rest = "/groups/", after
	}
	path, page, paged := strings.Cut(strings.TrimSuffix(rest, "/"), "/-/")
	if strings.Contains(path+"/", ".git/") {
		return
	}
	gathered := prefix + strings.ReplaceAll(path, "/", "%2F")
	if paged {
		gathered += "/-/" + page
	}
	plain := r.URL.Path
	if gathered != escaped {
		plain = strings.TrimSuffix(plain, "/")
	}
	r.URL.Path, r.URL.RawPath = plain, gathered
}
