package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"packhouse/internal/access"
	"packhouse/internal/database"
	"packhouse/internal/gitrepo"
	"packhouse/internal/registry"
)

const base = "http://packhouse.example"

// world is a server with people in it. Levels are in the group acme, which is private, unless said otherwise:
//
//	root administers the server; olga owns, mara maintains, dave develops, gina is a guest; eve is nobody anywhere;
//	xena is an external user; mona maintains the project acme/tools/hammer only
//	acme > tools > project hammer, all private; open, a public group, with the public project open/door;
//	inner, a project of olga's, internal
type world struct {
	*testing.T
	reg    *registry.Registry
	mux    *http.ServeMux
	ids    map[string]int64  // of users, groups and projects, by name or full path
	tokens map[string]string // of users, by name; and some others, see newWorld
}

func newWorld(t *testing.T) *world {
	store, err := database.Open(t.Context(), filepath.Join(t.TempDir(), "packhouse.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	w := &world{T: t, reg: &registry.Registry{Store: store}, mux: http.NewServeMux(), ids: map[string]int64{}, tokens: map[string]string{}}
	repos, err := gitrepo.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	New(w.reg, access.NewGate(store), repos, func(_ context.Context, _ *registry.Project, _ int64, _ gitrepo.Asked, change func() error) error {
		return change()
	}, func(*http.Request) string { return base }, "18.0.0", "abc").Routes(w.mux.Handle)
	_, w.tokens["root"], err = w.reg.FirstStart(t.Context(), "a long password", "")
	if err != nil {
		t.Fatal(err)
	}
	w.ids["root"] = 1

	for _, name := range []string{"olga", "mara", "dave", "gina", "eve", "mona", "xena"} {
		external := name == "xena"
		w.ids[name] = w.make("root", "/users", fmt.Sprintf(`{"username":%q,"name":%[1]q,"email":"%[1]s@example.com","force_random_password":true,"external":%v}`, name, external))
		w.tokens[name] = w.token(name, "api")
	}
	w.tokens["dave read_api"] = w.token("dave", "read_api")
	w.tokens["dave read_user"] = w.token("dave", "read_user")
	w.tokens["dave packages"] = w.token("dave", "write_package_registry")
	w.tokens["root read_api"] = w.token("root", "read_api")

	w.ids["acme"] = w.make("olga", "/groups", "name=Acme&path=acme")
	w.ids["acme/tools"] = w.make("olga", "/groups", fmt.Sprintf("name=Tools&path=tools&parent_id=%d", w.ids["acme"]))
	w.ids["open"] = w.make("olga", "/groups", "name=Open&path=open&visibility=public")
	for name, level := range map[string]int{"mara": 40, "dave": 30, "gina": 10} {
		w.make("olga", "/groups/acme/members", fmt.Sprintf("user_id=%d&access_level=%d", w.ids[name], level))
	}
	w.ids["hammer"] = w.make("olga", "/projects", fmt.Sprintf("name=Hammer&namespace_id=%d", w.ids["acme/tools"]))
	w.ids["door"] = w.make("olga", "/projects", fmt.Sprintf("name=Door&visibility=public&namespace_id=%d", w.ids["open"]))
	w.ids["inner"] = w.make("olga", "/projects", "name=inner&visibility=internal")
	w.make("olga", "/projects/acme%2Ftools%2Fhammer/members", "username=mona&access_level=40")

	w.tokens["deploy"] = w.str("olga", "/projects/acme%2Ftools%2Fhammer/deploy_tokens", "name=ci&scopes[]=write_package_registry", "token")
	w.tokens["job"] = w.str("mara", "/projects/acme%2Ftools%2Fhammer/job_tokens", "ref=main", "token")
	w.ids["blocked"] = w.make("root", "/users", "username=blocked&name=b&email=b@example.com&force_random_password=true")
	w.tokens["blocked"] = w.token("blocked", "api")
	w.tokens["expired"] = w.str("root", "/users/1/personal_access_tokens", "name=old&scopes=api&expires_at=2020-01-01", "token")
	w.tokens["revoked"] = w.token("eve", "api")
	w.tokens["unknown"] = registry.NewTokenText(registry.PersonalToken)
	err = store.Write(t.Context(), func(tx registry.Tx) error {
		user, err := tx.User(w.ids["blocked"])
		if err != nil {
			return err
		}
		user.State = registry.Blocked
		revoked, err := tx.TokenByHash(registry.HashToken(w.tokens["revoked"]))
		if err != nil {
			return err
		}
		return errors.Join(tx.UpdateUser(user), tx.RevokeToken(revoked.ID))
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// do sends a request as somebody of the world. A body that begins with "{" or "[" is JSON, another one a form.
func (w *world) do(as, method, path, body string) *httptest.ResponseRecorder {
	w.Helper()
	r := httptest.NewRequest(method, "/api/v4"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if body[0] == '{' || body[0] == '[' {
			r.Header.Set("Content-Type", "application/json")
		}
	}
	if as != "" {
		if w.tokens[as] == "" {
			w.Fatalf("there is no %s", as)
		}
		r.Header.Set("Private-Token", w.tokens[as])
	}
	answer := httptest.NewRecorder()
	w.mux.ServeHTTP(answer, r)
	return answer
}

// get and the others demand success.
func (w *world) get(as, path string) map[string]any {
	w.Helper()
	return w.object(w.do(as, "GET", path, ""), 200)
}

func (w *world) post(as, path, body string) map[string]any {
	w.Helper()
	return w.object(w.do(as, "POST", path, body), 201)
}

func (w *world) object(answer *httptest.ResponseRecorder, status int) (object map[string]any) {
	w.Helper()
	if err := json.Unmarshal(answer.Body.Bytes(), &object); answer.Code != status || err != nil {
		w.Fatalf("%d, want %d: %s", answer.Code, status, answer.Body)
	}
	return object
}

func (w *world) make(as, path, body string) int64 {
	w.Helper()
	return int64(w.post(as, path, body)["id"].(float64))
}

func (w *world) str(as, path, body, field string) string {
	w.Helper()
	return w.post(as, path, body)[field].(string)
}

func (w *world) token(name, scope string) string {
	w.Helper()
	return w.str("root", fmt.Sprintf("/users/%d/personal_access_tokens", w.ids[name]), fmt.Sprintf(`{"name":"test","scopes":[%q]}`, scope), "token")
}

const (
	unauthorized = `{"message":"401 Unauthorized"}`
	forbidden    = `{"message":"403 Forbidden"}`
	noProject    = `{"message":"404 Project Not Found"}`
	noGroup      = `{"message":"404 Group Not Found"}`
	noUser       = `{"message":"404 User Not Found"}`
	notFound     = `{"message":"404 Not found"}`
	tooLow       = `{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":`
)

func TestAnswers(t *testing.T) {
	w := newWorld(t)
	const hammer = "/projects/acme%2Ftools%2Fhammer"
	// The ids of acme/tools and others are what newWorld makes of an empty database; rows may name them by {path}.
	ids := []string{}
	for name, id := range w.ids {
		ids = append(ids, "{"+name+"}", fmt.Sprint(id))
	}
	fill := strings.NewReplacer(ids...)
	long := strings.Repeat("x", 256)

	for _, row := range []struct {
		name, as, method, path, body string
		status                       int
		want                         string // the whole body when it begins with "{", otherwise a part of it; "": any
	}{
		// Who is asking
		{"nobody asks for the version", "", "GET", "/version", "", 401, unauthorized},
		{"anybody signed in gets it", "dave read_user", "GET", "/version", "",
			200, `{"version":"18.0.0","revision":"abc","kas":{"enabled":false,"externalUrl":null,"externalK8sProxyUrl":null,"version":null},"enterprise":false}`},
		{"metadata is the same", "dave", "GET", "/metadata", "", 200, `"version":"18.0.0"`},
		{"a token for packages does not read the version", "dave packages", "GET", "/version", "", 403, tooLow + `"api read_api read_user"}`},
		{"an unknown token", "unknown", "GET", "/projects/open%2Fdoor", "", 401, unauthorized},
		{"an expired token", "expired", "GET", "/user", "", 401,
			`{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}`},
		{"a revoked token", "revoked", "GET", "/user", "", 401,
			`{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}`},
		{"a blocked user", "blocked", "GET", "/user", "", 403, `{"message":"403 Forbidden - Your account has been blocked."}`},
		{"the current user, of nobody", "", "GET", "/user", "", 401, unauthorized},
		{"the current user, of a deploy token", "deploy", "GET", "/user", "", 401, unauthorized},
		{"the current user, of a job token", "job", "GET", "/user", "", 401, unauthorized},
		{"the current user, to read users", "dave read_user", "GET", "/user", "", 200, `"username":"dave"`},
		{"read_api does not write", "dave read_api", "POST", "/groups", "name=a&path=a", 403, tooLow + `"api"}`},
		{"nor for an administrator", "root read_api", "POST", "/users", "", 403, tooLow + `"api"}`},
		{"read_user does not read projects", "dave read_user", "GET", hammer, "", 403, tooLow + `"api read_api"}`},
		{"a token for packages does not read projects", "dave packages", "GET", hammer, "", 403, tooLow + `"api read_api"}`},

		// Parameters
		{"a body that is not JSON", "dave", "POST", "/groups", `{"name"`, 400, `{"error":"message body does not match declared format"}`},
		{"a body that is no object", "dave", "POST", "/groups", `[1]`, 400, `{"error":"message body does not match declared format"}`},
		{"a body over a MiB", "dave", "POST", "/groups", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, 413, `{"message":"413 Request Entity Too Large"}`},
		{"a query that cannot be decoded", "dave", "GET", "/user?a=%zz", "", 400, `{"message":"400 Bad request"}`},
		{"several missing", "dave", "POST", "/groups", "", 400, `{"error":"name is missing, path is missing"}`},
		{"null is missing", "dave", "POST", "/groups", `{"name":null,"path":"p"}`, 400, `{"error":"name is missing"}`},
		{"an object is missing", "dave", "POST", "/groups", `{"name":{"a":1},"path":"p"}`, 400, `{"error":"name is missing"}`},
		{"blank", "dave", "POST", "/groups", "name=+&path=p", 400, `{"error":"name is empty"}`},
		{"too long", "dave", "POST", "/groups", "path=p&name=" + long, 400, `{"error":"name is too long (maximum is 255 characters)"}`},
		{"not text", "dave", "POST", "/groups", "path=p&name=%ff", 400, `name is invalid`},
		{"a zero byte", "dave", "POST", "/groups", `{"name":"\u0000","path":"p"}`, 400, `name is invalid`},
		{"a zero byte in a path", "dave", "GET", "/projects/a%2F%00", "", 400, `{"error":"id is invalid"}`},
		{"no number", "dave", "POST", "/groups", "name=n&path=p&parent_id=x", 400, `{"error":"parent_id is invalid"}`},
		{"no id", "dave", "GET", "/users/dave", "", 400, `{"error":"id is invalid"}`},
		{"not one of the values", "dave", "POST", "/groups", "name=n&path=p&visibility=secret", 400, `{"error":"visibility does not have a valid value"}`},
		{"no boolean", "root", "POST", "/users", "username=u&name=u&email=u@example.com&force_random_password=maybe", 400, `{"error":"force_random_password is invalid"}`},
		{"no page size", "dave", "GET", "/users?per_page=0", "", 400, `{"error":"per_page has a value not allowed"}`},
		{"no page", "dave", "GET", "/users?page=x", "", 400, `{"error":"page is invalid"}`},

		// Users
		{"users, nobody", "", "GET", "/users?username=dave", "", 401, unauthorized},
		{"users by name, in any case", "dave", "GET", "/users?username=DAVE", "", 200, `[{"id":{dave},"username":"dave"`},
		{"users by a name that nobody has", "dave", "GET", "/users?username=nobody", "", 200, `[]`},
		{"a user, nobody", "", "GET", "/users/{dave}", "", 404, noUser},
		{"a user, missing", "dave", "GET", "/users/9999", "", 404, noUser},
		{"another user shows no address", "dave", "GET", "/users/{gina}", "", 200, `"public_email":"","bot":false}`},
		{"create a user, nobody", "", "POST", "/users", "", 401, unauthorized},
		{"create a user, no administrator", "olga", "POST", "/users", "username=u&name=u&email=u@example.com&password=12345678", 403, forbidden},
		{"create a user, all missing", "root", "POST", "/users", "", 400,
			`{"error":"password, reset_password, force_random_password are missing, at least one parameter must be provided, username is missing, name is missing, email is missing"}`},
		{"create a user whose name is taken", "root", "POST", "/users", "username=DAVE&name=d&email=d2@example.com&password=12345678", 409, `{"message":"Username has already been taken"}`},
		{"create a user whose name is a group", "root", "POST", "/users", "username=acme&name=d&email=d2@example.com&password=12345678", 409, `{"message":"Username has already been taken"}`},
		{"create a user whose address is taken", "root", "POST", "/users", "username=d2&name=d&email=Dave@example.com&password=12345678", 409, `{"message":"Email has already been taken"}`},
		{"create a user with a short password", "root", "POST", "/users", "username=u&name=u&email=u@example.com&password=1234567", 400, `{"message":{"password":["is too short (minimum is 8 characters)"]}}`},
		{"create a user with no password", "root", "POST", "/users", "username=u&name=u&email=u@example.com&reset_password=false", 400, `"password":["is too short`},
		{"create a user with no address", "root", "POST", "/users", "username=u&name=u&email=u&password=12345678", 400, `{"message":{"email":["is invalid"]}}`},
		{"create a user with a bad name", "root", "POST", "/users", "username=a/b&name=u&email=u@example.com&password=12345678", 400, `{"message":{"username":["can contain only`},
		{"create a user with a reserved name", "root", "POST", "/users", "username=api&name=u&email=u@example.com&password=12345678", 400, `{"message":{"username":["api is a reserved name"]}}`},

		// Personal access tokens
		{"create a token, nobody", "", "POST", "/users/{dave}/personal_access_tokens", "name=n&scopes=api", 401, unauthorized},
		{"create a token of one's own", "dave", "POST", "/users/{dave}/personal_access_tokens", "name=n&scopes=api", 403, forbidden},
		{"create a token, all missing", "root", "POST", "/users/{dave}/personal_access_tokens", "", 400, `{"error":"name is missing, scopes is missing"}`},
		{"create a token of an unknown scope", "root", "POST", "/users/{dave}/personal_access_tokens", "name=n&scopes=api,all", 400, `{"error":"scopes does not have a valid value"}`},
		{"create a token of no scope", "root", "POST", "/users/{dave}/personal_access_tokens", `{"name":"n","scopes":[]}`, 400, `{"message":"Scopes can't be blank"}`},
		{"create a token of nobody", "root", "POST", "/users/9999/personal_access_tokens", "name=n&scopes=api", 404, noUser},
		{"create a token until a day that is none", "root", "POST", "/users/{dave}/personal_access_tokens", "name=n&scopes=api&expires_at=2026-02-30", 400, `{"error":"expires_at is invalid"}`},
		{"create a token until the day that is stored as never", "root", "POST", "/users/{dave}/personal_access_tokens", "name=n&scopes=api&expires_at=1970-01-01", 400, `{"error":"expires_at is invalid"}`},
		{"create a token for too long", "root", "POST", "/users/{dave}/personal_access_tokens", "name=n&scopes=api&expires_at=" + today(366), 400,
			`{"message":{"expires_at":["must be before ` + today(366) + `"]}}`},
		{"create a token for as long as can be", "root", "POST", "/users/{dave}/personal_access_tokens", "name=n&scopes=api&expires_at=" + today(365), 201, `"expires_at":"` + today(365) + `"`},
		{"a token, missing, as administrator", "root", "GET", "/personal_access_tokens/9999", "", 404, notFound},
		{"a token, missing", "dave", "GET", "/personal_access_tokens/9999", "", 401, unauthorized},
		{"a token, somebody else's", "dave", "GET", "/personal_access_tokens/1", "", 401, unauthorized},
		{"revoke a token, somebody else's", "dave", "DELETE", "/personal_access_tokens/1", "", 401, unauthorized},
		{"revoke a token, nobody", "", "DELETE", "/personal_access_tokens/1", "", 401, unauthorized},
		{"somebody else's tokens", "dave", "GET", "/personal_access_tokens?user_id=1", "", 401, unauthorized},
		{"tokens, nobody", "", "GET", "/personal_access_tokens", "", 401, unauthorized},
		{"tokens in a state that is none", "dave", "GET", "/personal_access_tokens?state=old", "", 400, `{"error":"state does not have a valid value"}`},
		{"own token, nobody", "", "GET", "/personal_access_tokens/self", "", 401, unauthorized},
		{"own token, any scope", "dave packages", "GET", "/personal_access_tokens/self", "", 200, `"scopes":["write_package_registry"]`},
		{"own token, a deploy token", "deploy", "GET", "/personal_access_tokens/self", "", 400,
			`{"message":"400 Bad request - This endpoint requires token type to be a personal access token"}`},
		{"revoke own token, a job token", "job", "DELETE", "/personal_access_tokens/self", "", 400, `personal access token`},

		// Groups
		{"create a group, nobody", "", "POST", "/groups", "", 401, unauthorized},
		{"create a group, external", "xena", "POST", "/groups", "name=x&path=x", 403, forbidden},
		{"create a group, deploy token", "deploy", "POST", "/groups", "name=x&path=x", 401, unauthorized},
		{"create a group, job token", "job", "POST", "/groups", "name=x&path=x", 401, unauthorized},
		{"create a group that exists", "eve", "POST", "/groups", "name=x&path=ACME", 400, `{"message":"Failed to save group {:path=\u003e[\"has already been taken\"]}"}`},
		{"create a group with a user's name", "eve", "POST", "/groups", "name=x&path=dave", 400, `has already been taken`},
		{"create a group with a bad path", "eve", "POST", "/groups", "name=x&path=-x", 400, `{:path=\u003e[\"can contain only`},
		{"create a group with a reserved path", "eve", "POST", "/groups", "name=x&path=api", 400, `reserved`},
		{"create a subgroup, stranger", "eve", "POST", "/groups", "name=x&path=x&parent_id={acme}", 404, noGroup},
		{"create a subgroup, developer", "dave", "POST", "/groups", "name=x&path=x&parent_id={acme}", 403, forbidden},
		{"create a subgroup, stranger in a public group", "eve", "POST", "/groups", "name=x&path=x&parent_id={open}", 403, forbidden},
		{"create a subgroup in a personal namespace", "eve", "POST", "/groups", "name=x&path=x&parent_id=1", 404, noGroup},
		{"create a subgroup, maintainer", "mara", "POST", "/groups", "name=x&path=api&parent_id={acme}", 201, `"full_path":"acme/api"`},
		{"create a subgroup, too open", "olga", "POST", "/groups", "name=x&path=x&parent_id={acme}&visibility=internal", 400,
			`{"message":"Failed to save group {:visibility_level=\u003e[\"internal is not allowed since the parent group has a private visibility.\"]}"}`},
		{"a private group, nobody", "", "GET", "/groups/acme", "", 404, noGroup},
		{"a private group, stranger", "eve", "GET", "/groups/acme", "", 404, noGroup},
		{"a private group, guest, by path", "gina", "GET", "/groups/acme%2Ftools", "", 200, `"full_name":"Acme / Tools"`},
		{"a private group, in any case", "gina", "GET", "/groups/ACME%2ftools", "", 200, `"full_path":"acme/tools"`},
		{"a private group, read_api, by number", "dave read_api", "GET", "/groups/{acme/tools}", "", 200, `"full_path":"acme/tools"`},
		{"a public group, nobody", "", "GET", "/groups/open", "", 200, `"visibility":"public"`},
		{"a user is no group", "dave", "GET", "/groups/dave", "", 404, noGroup},

		// Projects
		{"create a project, nobody", "", "POST", "/projects", "name=x", 401, unauthorized},
		{"create a project, nameless", "dave", "POST", "/projects", "", 400, `{"error":"name, path are missing, at least one parameter must be provided"}`},
		{"create a project, blank", "dave", "POST", "/projects", "name=+&path=x", 400, `{"message":{"name":["can't be blank"]}}`},
		{"create a project, no path in the name", "dave", "POST", "/projects", "name=%E6%9D%B1", 400, `{"message":{"path":["can contain only`},
		{"create a project, guest", "gina", "POST", "/projects", "name=x&namespace_id={acme}", 400, `{"message":{"namespace":["is not valid"]}}`},
		{"create a project, stranger", "eve", "POST", "/projects", "name=x&namespace_id={acme}", 400, `{"message":{"namespace":["is not valid"]}}`},
		{"create a project nowhere", "eve", "POST", "/projects", "name=x&namespace_id=9999", 400, `{"message":{"namespace":["is not valid"]}}`},
		{"create a project in somebody's namespace", "eve", "POST", "/projects", "name=x&namespace_id=1", 400, `{"message":{"namespace":["is not valid"]}}`},
		{"create a project, external, of their own", "xena", "POST", "/projects", "name=x", 403, forbidden},
		{"create a project, developer", "dave", "POST", "/projects", `{"name":"My Saw","namespace_id":{acme}}`, 201, `"path_with_namespace":"acme/my-saw"`},
		{"create a project that exists", "dave", "POST", "/projects", "path=HAMMER&namespace_id={acme/tools}", 400,
			`{"message":{"name":["has already been taken"],"path":["has already been taken"],"project_namespace.name":["has already been taken"]}}`},
		{"create a project where a group is", "dave", "POST", "/projects", "path=tools&namespace_id={acme}", 400, `has already been taken`},
		{"create a project, too open", "dave", "POST", "/projects", "name=x&namespace_id={acme}&visibility=public", 400,
			`{"message":{"visibility_level":["public is not allowed in a private group."]}}`},
		{"create a project, public, in one's own namespace", "dave", "POST", "/projects", "name=pub&visibility=public", 201, `"kind":"user"`},
		{"create a project without packages", "dave", "POST", "/projects", "name=nopkg&packages_enabled=false", 201, `"packages_enabled":false,"package_registry_access_level":"disabled"`},
		{"create a project with packages for all", "dave", "POST", "/projects", "name=allpkg&package_registry_access_level=public", 201, `"package_registry_access_level":"public"`},
		{"create a project with packages for whom", "dave", "POST", "/projects", "name=q&package_registry_access_level=some", 400, `{"error":"package_registry_access_level does not have a valid value"}`},
		{"a project without packages is there", "dave", "GET", "/projects/dave%2Fnopkg", "", 200, `"id"`},
		{"a private project with packages for all is not", "", "GET", "/projects/dave%2Fallpkg", "", 404, noProject},
		{"a private project, nobody", "", "GET", hammer, "", 404, noProject},
		{"a private project, stranger", "eve", "GET", hammer, "", 404, noProject},
		{"a private project, its deploy token", "deploy", "GET", hammer, "", 404, noProject},
		{"a private project, its job token", "job", "GET", hammer, "", 404, noProject},
		{"a private project, guest", "gina", "GET", hammer, "", 200, `"project_access":null,"group_access":{"access_level":10,"notification_level":3}`},
		{"a private project, its maintainer", "mona", "GET", hammer, "", 200, `"project_access":{"access_level":40,"notification_level":3},"group_access":null`},
		{"a private project, administrator", "root", "GET", "/projects/{hammer}", "", 200, `"project_access":null,"group_access":null`},
		{"a private project, in any case", "dave read_api", "GET", "/projects/Acme%2ftools%2FHAMMER", "", 200, `"path_with_namespace":"acme/tools/hammer"`},
		{"a private project, by its short path", "dave", "GET", "/projects/hammer", "", 404, noProject},
		{"an internal project, nobody", "", "GET", "/projects/olga%2Finner", "", 404, noProject},
		{"an internal project, anybody", "eve", "GET", "/projects/olga%2Finner", "", 200, `"visibility":"internal"`},
		{"an internal project, external", "xena", "GET", "/projects/olga%2Finner", "", 404, noProject},
		{"a public project, nobody", "", "GET", "/projects/open%2Fdoor", "", 200, `"path_with_namespace":"open/door"`},
		{"a group is no project", "dave", "GET", "/projects/acme%2Ftools", "", 404, noProject},

		// Members
		{"members, nobody, though public", "", "GET", "/groups/open/members", "", 401, unauthorized},
		{"members, stranger", "eve", "GET", "/groups/acme/members", "", 404, noGroup},
		{"members, guest", "gina", "GET", "/groups/acme/members", "", 200, `"access_level":50`},
		{"members of a project are the direct ones", "dave read_api", "GET", hammer + "/members", "", 200, `[{"id":{mona},`},
		{"add a member, nobody", "", "POST", "/groups/acme/members", "", 401, unauthorized},
		{"add a member, stranger", "eve", "POST", "/groups/acme/members", "user_id={eve}&access_level=50", 404, noGroup},
		{"add a member, maintainer of the group", "mara", "POST", "/groups/acme/members", "user_id={eve}&access_level=10", 403, forbidden},
		{"add a member, developer of the project", "dave", "POST", hammer + "/members", "user_id={eve}&access_level=10", 403, forbidden},
		{"add a member, deploy token", "deploy", "POST", hammer + "/members", "user_id={eve}&access_level=10", 401, unauthorized},
		{"add a member, job token of a maintainer", "job", "POST", hammer + "/members", "user_id={eve}&access_level=10", 401, unauthorized},
		{"add an owner, maintainer", "mara", "POST", hammer + "/members", "user_id={eve}&access_level=50", 403, forbidden},
		{"add a member, whom and how high", "olga", "POST", "/groups/acme/members", "", 400,
			`{"error":"user_id, username are missing, exactly one parameter must be provided, access_level is missing"}`},
		{"add a member, two ways", "olga", "POST", "/groups/acme/members", "user_id=1&username=root&access_level=10", 400, `{"error":"user_id, username are mutually exclusive"}`},
		{"add a member, blank", "olga", "POST", "/groups/acme/members", "username=&access_level=10", 400, `{"error":"username is invalid"}`},
		{"add a member, no such level", "olga", "POST", "/groups/acme/members", "user_id={eve}&access_level=31", 400, `{"message":{"access_level":["is not included in the list"]}}`},
		{"add an administrator", "root", "POST", "/groups/acme/members", "user_id={eve}&access_level=60", 400, `{"message":{"access_level":["is not included in the list"]}}`},
		{"add a member, nobody there", "olga", "POST", "/groups/acme/members", "user_id=9999&access_level=10", 404, noUser},
		{"add a member, no number", "olga", "POST", "/groups/acme/members", "user_id=eve&access_level=10", 404, noUser},
		{"add a member again", "olga", "POST", "/groups/acme/members", "user_id={gina}&access_level=20", 409, `{"message":"Member already exists"}`},
		{"add a member below the inherited level", "olga", "POST", hammer + "/members", "user_id={dave}&access_level=20", 400,
			`{"message":{"access_level":["should be greater than or equal to the inherited level, which is 30"]}}`},
		{"add a member until yesterday", "olga", "POST", "/groups/acme/members", "user_id={eve}&access_level=10&expires_at=" + today(-1), 400,
			`{"message":{"expires_at":["cannot be a date in the past"]}}`},
		{"add members, one of them nobody", "olga", "POST", "/groups/acme/members", "username=eve,nobody&access_level=10", 404, noUser},
		{"then none is added", "eve", "GET", "/groups/acme", "", 404, noGroup},
		{"add members, too many", "olga", "POST", "/groups/acme/members", "access_level=10&user_id=" + numbers(101), 400, `{"message":"Too many users specified (limit is 100)"}`},
		{"add members", "olga", "POST", "/groups/open/members", "username=eve,dave&access_level=10", 201, `{"status":"success"}`},

		// Deploy tokens
		{"deploy tokens of a private project, nobody", "", "GET", hammer + "/deploy_tokens", "", 404, noProject},
		{"deploy tokens of a public project, nobody", "", "GET", "/projects/open%2Fdoor/deploy_tokens", "", 401, unauthorized},
		{"deploy tokens, developer", "dave", "GET", hammer + "/deploy_tokens", "", 403, forbidden},
		{"deploy tokens, a deploy token", "deploy", "GET", hammer + "/deploy_tokens", "", 404, noProject},
		{"deploy tokens, maintainer", "mona", "GET", hammer + "/deploy_tokens", "", 200, `"name":"ci"`},
		{"deploy tokens of a group, maintainer", "mara", "GET", "/groups/acme/deploy_tokens", "", 200, `[]`},
		{"create one, nobody", "", "POST", "/projects/open%2Fdoor/deploy_tokens", "name=n&scopes=read_package_registry", 401, unauthorized},
		{"create one, developer", "dave", "POST", hammer + "/deploy_tokens", "name=n&scopes=read_package_registry", 403, forbidden},
		{"create one, a deploy token", "deploy", "POST", hammer + "/deploy_tokens", "name=n&scopes=read_package_registry", 401, unauthorized},
		{"create one, a job token of a maintainer", "job", "POST", hammer + "/deploy_tokens", "name=n&scopes=read_package_registry", 401, unauthorized},
		{"create one, stranger", "eve", "POST", hammer + "/deploy_tokens", "name=n&scopes=read_package_registry", 404, noProject},
		{"create one of a group, maintainer", "mara", "POST", "/groups/acme/deploy_tokens", "name=n&scopes=read_package_registry", 403, forbidden},
		{"create one, all missing", "mara", "POST", hammer + "/deploy_tokens", "", 400, `{"error":"name is missing, scopes is missing"}`},
		{"create one of an unknown scope", "mara", "POST", hammer + "/deploy_tokens", "name=n&scopes[]=api", 400, `{"error":"scopes does not have a valid value"}`},
		{"create one of no scope", "mara", "POST", hammer + "/deploy_tokens", "name=n&scopes=", 400, `{"message":"Scopes can't be blank"}`},
		{"create one with a bad user name", "mara", "POST", hammer + "/deploy_tokens", "name=n&scopes=read_package_registry&username=a:b", 400,
			`{"message":"Username can contain only letters, digits, '_', '-', '+', and '.'"}`},
		{"one, missing", "mara", "GET", hammer + "/deploy_tokens/9999", "", 404, notFound},
		{"one, no number", "mara", "GET", hammer + "/deploy_tokens/x", "", 400, `{"error":"token_id is invalid"}`},
		{"one that is a personal token", "mara", "GET", hammer + "/deploy_tokens/1", "", 404, notFound},

		// Job tokens
		{"a job, nobody", "", "POST", hammer + "/job_tokens", "", 401, unauthorized},
		{"a job, stranger", "eve", "POST", hammer + "/job_tokens", "", 404, noProject},
		{"a job, guest", "gina", "POST", hammer + "/job_tokens", "", 403, forbidden},
		{"a job, read_api", "dave read_api", "POST", hammer + "/job_tokens", "", 403, tooLow + `"api"}`},
		{"a job that makes another", "job", "POST", hammer + "/job_tokens", "", 401, unauthorized},
		{"a job, all wrong", "dave", "POST", hammer + "/job_tokens", "sha=xyz&web_url=javascript:alert(1)&expires_in=0", 400,
			`{"error":"sha is invalid, web_url is invalid, expires_in does not have a valid value"}`},
		{"a job of more than a day", "dave", "POST", hammer + "/job_tokens", "expires_in=86401", 400, `{"error":"expires_in does not have a valid value"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			answer := w.do(row.as, row.method, fill.Replace(row.path), fill.Replace(row.body))
			body, want := answer.Body.String(), fill.Replace(row.want)
			whole := strings.HasPrefix(want, "{") && strings.HasSuffix(want, "}")
			if answer.Code != row.status || whole && body != want || !strings.Contains(body, want) {
				t.Errorf("%s %s\n got %d %s\nwant %d %s", row.method, row.path, answer.Code, body, row.status, want)
			}
			if got := answer.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type is %q", got)
			}
			if challenged := answer.Header().Get("WWW-Authenticate") != ""; challenged != strings.Contains(body, "error_description") {
				t.Errorf("WWW-Authenticate is %q", answer.Header().Get("WWW-Authenticate"))
			}
		})
	}
}

// today is the date some days from now.
func today(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }

func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprint(&b, i+1, ",")
	}
	return b.String()
}

func TestFields(t *testing.T) {
	w := newWorld(t)
	user := "avatar_url id locked name state username web_url"
	group := "archived avatar_url created_at description full_name full_path id lfs_enabled marked_for_deletion_on name organization_id parent_id path " +
		"project_creation_level request_access_enabled share_with_group_lock subgroup_creation_level visibility web_url"
	simple := "avatar_url created_at default_branch description http_url_to_repo id last_activity_at name name_with_namespace namespace path " +
		"path_with_namespace ssh_url_to_repo star_count tag_list topics web_url"
	profile := user + " bot created_at public_email"
	own := profile + " can_create_group can_create_project commit_email email external namespace_id two_factor_enabled"
	personal := "active created_at description expires_at id last_used_at name revoked scopes user_id"
	for _, row := range []struct {
		name string
		got  map[string]any
		want string
	}{
		{"the current user", w.get("dave", "/user"), own},
		{"the current administrator", w.get("root", "/user"), own + " is_admin"},
		{"another user", w.get("dave", fmt.Sprintf("/users/%d", w.ids["eve"])), profile},
		{"a user, to an administrator", w.get("root", fmt.Sprintf("/users/%d", w.ids["eve"])), own + " is_admin"},
		{"a group", w.get("dave", "/groups/acme"), group + " projects"},
		{"a group without its projects", w.get("dave", "/groups/acme?with_projects=false"), group},
		{"a project, to nobody", w.get("", "/projects/open%2Fdoor"), simple},
		{"a project", w.get("eve", "/projects/open%2Fdoor"), simple + " _links archived creator_id marked_for_deletion_at marked_for_deletion_on package_registry_access_level packages_enabled permissions visibility"},
		{"a namespace", w.get("eve", "/projects/open%2Fdoor")["namespace"].(map[string]any), "avatar_url full_path id kind name parent_id path web_url"},
		{"a member", w.post("olga", "/groups/acme/members", "username=eve&access_level=20&expires_at="+today(3)), user + " access_level created_at expires_at membership_state"},
		{"a new personal token", w.post("root", "/users/1/personal_access_tokens", "name=n&scopes=api"), personal + " token"},
		{"a personal token", w.get("dave", "/personal_access_tokens/self"), personal},
		{"a new deploy token", w.post("olga", "/groups/acme/deploy_tokens", "name=n&scopes=read_package_registry"), "expired expires_at id name revoked scopes token username"},
		{"a new job token", w.post("dave", fmt.Sprintf("/projects/%d/job_tokens", w.ids["hammer"]), ""), "expires_at pipeline token"},
	} {
		want := strings.Fields(row.want)
		slices.Sort(want)
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(row.got))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
}

// The same parameters, in every form that a client sends them.
func TestForms(t *testing.T) {
	w := newWorld(t)
	path := fmt.Sprintf("/api/v4/projects/%d/deploy_tokens", w.ids["hammer"])
	multipart := func(fields ...string) string {
		var b strings.Builder
		for i := 0; i < len(fields); i += 2 {
			fmt.Fprintf(&b, "--B\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", fields[i], fields[i+1])
		}
		return b.String() + "--B--\r\n"
	}
	for _, row := range []struct{ name, query, media, body string }{
		{"query", "?name=ci&scopes=read_package_registry,write_package_registry", "", ""},
		{"query and form", "?name=other&scopes[]=read_package_registry", "application/x-www-form-urlencoded", "name=ci&scopes[]=read_package_registry&scopes[]=write_package_registry"},
		{"form, repeated without brackets", "", "application/x-www-form-urlencoded", "name=ci&scopes=read_package_registry&scopes=write_package_registry"},
		{"JSON array", "", "application/json; charset=utf-8", ` { "name": "ci", "scopes": [ "read_package_registry", "write_package_registry" ], "unknown": {"a": []} } `},
		{"JSON commas", "", "application/json", `{"name":"ci","scopes":"read_package_registry, write_package_registry"}`},
		{"multipart", "", "multipart/form-data; boundary=B", multipart("name", "ci", "scopes[]", "read_package_registry", "scopes[]", "write_package_registry")},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", path+row.query, strings.NewReader(row.body))
			r.Header.Set("Content-Type", row.media)
			r.Header.Set("Authorization", "Bearer "+w.tokens["mara"])
			answer := httptest.NewRecorder()
			w.mux.ServeHTTP(answer, r)
			var got struct {
				Name   string
				Scopes []string
			}
			if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != 201 {
				t.Fatal(answer.Code, answer.Body, err)
			}
			if got.Name != "ci" || !slices.Equal(got.Scopes, []string{"read_package_registry", "write_package_registry"}) {
				t.Error(got)
			}
		})
	}
	r := httptest.NewRequest("POST", path, strings.NewReader("name"))
	r.Header.Set("Content-Type", "text/plain")
	r.Header.Set("Private-Token", w.tokens["mara"])
	answer := httptest.NewRecorder()
	w.mux.ServeHTTP(answer, r)
	if want := `{"error":"The provided content-type 'text/plain' is not supported."}`; answer.Code != 415 || answer.Body.String() != want {
		t.Error(answer.Code, answer.Body)
	}
}

func TestCreators(t *testing.T) {
	w := newWorld(t)
	levels := func(path string) (levels []float64) {
		var members []map[string]any
		json.Unmarshal(w.do("root", "GET", path+"/members", "").Body.Bytes(), &members)
		for _, m := range members {
			levels = append(levels, m["access_level"].(float64))
		}
		return levels
	}
	w.post("mara", "/groups", fmt.Sprintf("name=New&path=new&parent_id=%d", w.ids["acme"]))
	w.post("dave", "/projects", fmt.Sprintf("name=p&namespace_id=%d", w.ids["acme"]))
	w.post("mara", "/projects", fmt.Sprintf("name=q&namespace_id=%d", w.ids["acme"]))
	for path, want := range map[string][]float64{
		"/groups/acme%2Fnew":     {50}, // whoever makes a group owns it
		"/groups/acme%2Ftools":   {50},
		"/projects/acme%2Fp":     {40}, // a developer maintains the project they made
		"/projects/acme%2Fq":     nil,  // a maintainer does already
		"/projects/open%2Fdoor":  nil,  // an owner too
		"/projects/olga%2Finner": nil,  // and the owner of a personal namespace
	} {
		if got := levels(path); !slices.Equal(got, want) {
			t.Errorf("members of %s have %v, want %v", path, got, want)
		}
	}
	// What a user may follows each change at once.
	if answer := w.do("eve", "GET", "/groups/acme", ""); answer.Code != 404 {
		t.Error(answer.Code)
	}
	w.post("olga", "/groups/acme/members", "username=eve&access_level=10")
	w.get("eve", "/groups/acme")
	// An administrator may work in the namespace of another user, and gets no membership there.
	var dave struct {
		Namespace int64 `json:"namespace_id"`
	}
	json.Unmarshal(w.do("dave", "GET", "/user", "").Body.Bytes(), &dave)
	w.post("root", "/projects", fmt.Sprintf("name=gift&namespace_id=%d", dave.Namespace))
	if got := w.get("dave", "/projects/dave%2Fgift")["permissions"].(map[string]any)["project_access"].(map[string]any)["access_level"]; got != 50.0 {
		t.Error(got)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t) // 9 users
	const last = `<http://packhouse.example/api/v4/users?order_by=id&page=%[1]d&per_page=4&sort=desc>; rel="last"`
	for _, row := range []struct {
		query                           string
		items                           int
		page, per, next, prev, of, link string
	}{
		{"", 9, "1", "20", "", "", "1", `<http://packhouse.example/api/v4/users?order_by=id&page=1&per_page=20&sort=desc>; rel="first", <http://packhouse.example/api/v4/users?order_by=id&page=1&per_page=20&sort=desc>; rel="last"`},
		{"?per_page=4&private_token=x&unknown=y", 4, "1", "4", "2", "", "3",
			`<http://packhouse.example/api/v4/users?order_by=id&page=2&per_page=4&sort=desc>; rel="next", <http://packhouse.example/api/v4/users?order_by=id&page=1&per_page=4&sort=desc>; rel="first", ` + fmt.Sprintf(last, 3)},
		{"?per_page=4&page=2", 4, "2", "4", "3", "1", "3",
			`<http://packhouse.example/api/v4/users?order_by=id&page=1&per_page=4&sort=desc>; rel="prev", <http://packhouse.example/api/v4/users?order_by=id&page=3&per_page=4&sort=desc>; rel="next", ` +
				`<http://packhouse.example/api/v4/users?order_by=id&page=1&per_page=4&sort=desc>; rel="first", ` + fmt.Sprintf(last, 3)},
		{"?per_page=4&page=3", 1, "3", "4", "", "2", "3", ""},
		{"?per_page=4&page=4", 0, "4", "4", "", "", "3", ""},
		{"?page=9223372036854775807&per_page=100", 0, "1099511627776", "100", "", "", "1", ""},
		{"?per_page=1000", 9, "1", "100", "", "", "1", ""},
		{"?per_page=-3&page=-2", 9, "1", "20", "", "", "1", ""},
		{"?username=eve", 1, "1", "20", "", "", "1", `<http://packhouse.example/api/v4/users?order_by=id&page=1&per_page=20&sort=desc&username=eve>; rel="first"`},
	} {
		answer := w.do("dave", "GET", "/users"+row.query, "")
		var items []any
		if err := json.Unmarshal(answer.Body.Bytes(), &items); err != nil || items == nil || len(items) != row.items {
			t.Errorf("%s: %d items, want %d: %s", row.query, len(items), row.items, answer.Body)
		}
		h := answer.Header()
		got := []string{h.Get("X-Page"), h.Get("X-Per-Page"), h.Get("X-Next-Page"), h.Get("X-Prev-Page"), h.Get("X-Total-Pages")}
		if want := []string{row.page, row.per, row.next, row.prev, row.of}; !slices.Equal(got, want) {
			t.Errorf("%s: page, per page, next, previous, pages: %q, want %q", row.query, got, want)
		}
		if !strings.HasPrefix(h.Get("Link"), row.link) {
			t.Errorf("%s: Link is\n%s, want\n%s", row.query, h.Get("Link"), row.link)
		}
	}
	// The id of the path is one of the parameters that links repeat.
	link := w.do("olga", "GET", "/groups/acme%2Ftools/members", "").Header().Get("Link")
	if want := `<http://packhouse.example/api/v4/groups/acme%2Ftools/members?id=acme%2Ftools&page=1&per_page=20>; rel="first"`; !strings.HasPrefix(link, want) {
		t.Error(link)
	}
}

func TestWriteError(t *testing.T) {
	var log strings.Builder
	previous := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(previous)
	for _, row := range []struct {
		err    error
		status int
		body   string
		retry  string
		logged bool
	}{
		{registry.Errorf(registry.Invalid, "File is too large"), 400, `{"message":"400 Bad request - File is too large"}`, "", false},
		{registry.Errorf(registry.Invalid, "400 Bad request - File is too large"), 400, `{"message":"400 Bad request - File is too large"}`, "", false},
		{registry.Errorf(registry.Forbidden, "Package protected."), 403, `{"message":"403 Forbidden - Package protected."}`, "", false},
		{registry.Errorf(registry.NotFound, ""), 404, `{"message":"404 Not Found"}`, "", false},
		{registry.Errorf(registry.Conflict, "Resource lock"), 409, `{"message":"409 Conflict: Resource lock"}`, "", false},
		{fmt.Errorf("wrapped: %w", registry.Errorf(registry.TooLarge, "")), 413, `{"message":"413 Request Entity Too Large"}`, "", false},
		{registry.Errorf(registry.Limited, ""), 429, `{"message":"429 Too Many Requests"}`, "1", false},
		{&registry.Error{Kind: registry.Full, Message: "no space left", Err: errors.New("secret")}, 507, `{"message":"507 Insufficient Storage - no space left"}`, "", true},
		{&registry.Error{Kind: registry.Unavailable, Err: errors.New("secret")}, 503, `{"message":"503 Service Unavailable"}`, "1", true},
		{errors.New("secret"), 500, `{"message":"500 Internal Server Error"}`, "", true},
		{&registry.Error{Message: "a fault", Err: io.ErrUnexpectedEOF}, 500, `{"message":"500 Internal Server Error"}`, "", true},
	} {
		log.Reset()
		answer := httptest.NewRecorder()
		WriteError(answer, httptest.NewRequestWithContext(context.Background(), "GET", "/api/v4/x?private_token=hush", nil), row.err)
		if answer.Code != row.status || answer.Body.String() != row.body || answer.Header().Get("Retry-After") != row.retry {
			t.Errorf("%v: %d %s %v", row.err, answer.Code, answer.Body, answer.Header())
		}
		if (log.Len() > 0) != row.logged || strings.Contains(log.String(), "hush") {
			t.Errorf("%v: logged %q", row.err, log.String())
		}
	}
}
