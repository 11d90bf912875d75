// Package gitlabgo drives Packhouse with GitLab's own Go client, as programs
// written for GitLab do, and looks at what the client made of the answers. It
// is a module of its own, so that the product does not depend on the client.
//
// The tests of test/clients run it, on their server and with npm on the path:
//
//	PACKHOUSE_URL    base URL of the server
//	PACKHOUSE_TOKEN  personal access token of an administrator
package gitlabgo

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

var server, token = os.Getenv("PACKHOUSE_URL"), os.Getenv("PACKHOUSE_TOKEN")

func TestMain(m *testing.M) {
	if server == "" || token == "" {
		fmt.Fprintln(os.Stderr, "these tests need a server: run those of test/clients")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// world is a test with a group, a subgroup and a project in each, all private
// and with names that no other test has, and the client of the administrator.
type world struct {
	*testing.T
	root             *gitlab.Client
	name             string // of the group: "acme-…"
	group, team      *gitlab.Group
	project, further *gitlab.Project // in the group, in the subgroup
}

// story runs a test. A call that fails where it must not ends it, see must.
func story(t *testing.T, tell func(w *world)) {
	t.Parallel()
	defer func() {
		if failed, ok := recover().(failure); ok {
			t.Fatal(string(failed))
		}
	}()
	w := &world{T: t, name: "acme-" + strings.ToLower(rand.Text()[:10])}
	w.root = w.client(token)
	w.group = must(w.root.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: new("Acme"), Path: &w.name}))
	w.team = must(w.root.Groups.CreateGroup(&gitlab.CreateGroupOptions{Name: new("The team"), Path: new("team"), ParentID: &w.group.ID}))
	w.project = must(w.root.Projects.CreateProject(&gitlab.CreateProjectOptions{Name: new("Tools"), Path: new("tools"), NamespaceID: &w.group.ID}))
	w.further = must(w.root.Projects.CreateProject(&gitlab.CreateProjectOptions{Name: new("Parts"), Path: new("parts"), NamespaceID: &w.team.ID}))
	tell(w)
}

type failure string

// must is the result of a call that must succeed.
func must[T any](result T, _ *gitlab.Response, err error) T {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		panic(failure(fmt.Sprintf("%s:%d: %v", filepath.Base(file), line, err)))
	}
	return result
}

// done is the same for calls that answer nothing.
func done(_ *gitlab.Response, err error) {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		panic(failure(fmt.Sprintf("%s:%d: %v", filepath.Base(file), line, err)))
	}
}

// refused checks the status and the words of an error.
func (w *world) refused(err error, status int, words string) {
	w.Helper()
	var answer *gitlab.ErrorResponse
	switch {
	case errors.Is(err, gitlab.ErrNotFound): // which keeps no words
		if status != http.StatusNotFound {
			w.Errorf("404, want %d %s", status, words)
		}
	case !errors.As(err, &answer):
		w.Errorf("%v, want %d %s", err, status, words)
	case answer.Response.StatusCode != status || !strings.Contains(answer.Message, words):
		w.Errorf("%d %s, want %d %s", answer.Response.StatusCode, answer.Message, status, words)
	}
}

func (w *world) equal(what string, got, want any) {
	w.Helper()
	if !reflect.DeepEqual(got, want) {
		w.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

// client is one that sends a token as PRIVATE-TOKEN.
func (w *world) client(token string) *gitlab.Client {
	w.Helper()
	client, err := gitlab.NewClient(token, gitlab.WithBaseURL(server))
	if err != nil {
		w.Fatal(err)
	}
	return client
}

// user makes a user and a personal token of theirs, with the scope api.
func (w *world) user(role string) (*gitlab.User, *gitlab.Client) {
	name := role + "-" + w.name
	user := must(w.root.Users.CreateUser(&gitlab.CreateUserOptions{
		Username: &name, Name: new("The " + role), Email: new(name + "@example.com"), ForceRandomPassword: new(true), SkipConfirmation: new(true),
	}))
	made := must(w.root.Users.CreatePersonalAccessToken(user.ID, &gitlab.CreatePersonalAccessTokenOptions{Name: new("story"), Scopes: &[]string{"api"}}))
	return user, w.client(made.Token)
}

// npm runs npm in a folder and returns its standard output.
func (w *world) npm(folder string, args ...string) (string, error) {
	cache := w.TempDir()
	cmd := exec.Command("npm", append(args, "--loglevel=error")...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "HOME="+cache, "npm_config_cache="+cache, "npm_config_update_notifier=false", "npm_config_audit=false", "npm_config_fund=false")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("npm %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out), err
}

// registry is a folder in which npm uses the packages of a project.
func (w *world) registry(project *gitlab.Project, token string) string {
	w.Helper()
	folder := w.TempDir()
	url := fmt.Sprintf("%s/api/v4/projects/%d/packages/npm/", server, project.ID)
	_, address, _ := strings.Cut(url, ":")
	w.write(filepath.Join(folder, ".npmrc"), fmt.Sprintf("registry=%s\n%s:_authToken=%s\n", url, address, token))
	return folder
}

// publish publishes a package with npm and returns its tarball.
func (w *world) publish(project *gitlab.Project, token, name, version string) (tarball []byte, err error) {
	w.Helper()
	folder := w.registry(project, token)
	manifest, _ := json.Marshal(map[string]string{"name": name, "version": version, "license": "MIT"})
	w.write(filepath.Join(folder, "package.json"), string(manifest))
	file, err := w.npm(folder, "pack")
	if err != nil {
		return nil, err
	}
	file = strings.TrimSpace(file)
	if _, err := w.npm(folder, "publish", "./"+file); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(folder, file))
}

func (w *world) write(file, content string) {
	w.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		w.Fatal(err)
	}
}
