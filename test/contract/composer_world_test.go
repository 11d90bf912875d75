package contract

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"packhouse/test/harness"
)

// composer is the prefix of a project, and of a group.
func (p project) composer() string {
	return fmt.Sprintf("/api/v4/projects/%d/packages/composer", p.ID)
}
func (g group) composer() string { return fmt.Sprintf("/api/v4/group/%d/-/packages/composer", g.ID) }

// newLib is a name that no other test has.
func newLib() string { return "acme/lib-" + strings.ToLower(harness.Random()[:10]) }

// manifestOf is a composer.json, with fields besides or instead of the usual ones; nil takes one away.
func manifestOf(name, version string, fields ...map[string]any) string {
	all := map[string]any{"name": name, "description": "A library " + harness.Random()}
	if version != "" {
		all["version"] = version
	}
	for _, more := range fields {
		maps.Copy(all, more)
	}
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	text, _ := json.Marshal(all) // of what JSON can be
	return string(text)
}

// libZip is an archive of a version, no two with the same bytes.
func libZip(name, version string, fields ...map[string]any) []byte {
	return zipped(member{"composer.json", manifestOf(name, version, fields...)}, member{"src/a.php", "<?php // " + harness.Random()})
}

func sha1Of(content []byte) string {
	sum := sha1.Sum(content)
	return hex.EncodeToString(sum[:])
}

// putZip publishes an archive.
func putZip(p project, as credential, content []byte) call {
	return call{method: "PUT", path: p.composer(), as: as, body: content, header: map[string]string{"Content-Type": "application/zip"}}
}

// lib publishes an archive as root.
func (w *world) lib(p project, name, version string, fields ...map[string]any) []byte {
	w.Helper()
	content := libZip(name, version, fields...)
	w.send(putZip(p, w.root(), content)).must(w, http.StatusCreated)
	return content
}

// fromRef publishes a tag or branch.
func fromRef(p project, as credential, params string) call {
	return call{method: "POST", path: p.composer(), as: as, body: params, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}
}

// libVersions are what a prefix shows of a name, by version; nil: it is not there.
func (w *world) libVersions(prefix, name string, as credential) map[string]map[string]any {
	w.Helper()
	a := w.send(call{path: prefix + "/p2/" + name + ".json", as: as})
	if a.status == http.StatusNotFound {
		return nil
	}
	versions := map[string]map[string]any{}
	for version, one := range a.must(w, http.StatusOK).object(w)["packages"].(map[string]any)[name].(map[string]any) {
		versions[version] = one.(map[string]any)
	}
	return versions
}

// clone is a work tree of a project's repository.
type clone struct {
	w    *world
	dir  string
	path string // full path of the project
}

// repository makes a clone of the repository of a project.
func (w *world) repository(p project) *clone {
	w.Helper()
	c := &clone{w, w.TempDir(), p.PathWithNamespace}
	scheme, host, _ := strings.Cut(w.server.URL, "://")
	c.git("init", "--quiet", "--initial-branch=main", ".")
	c.git("remote", "add", "origin", scheme+"://x:"+w.server.RootToken+"@"+host+"/"+c.path+".git")
	return c
}

// try runs Git.
func (c *clone) try(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "HOME="+c.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com",
		"GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// git runs Git, which must succeed.
func (c *clone) git(args ...string) string {
	c.w.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.w.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// commit writes files and commits them, and returns the commit.
func (c *clone) commit(files map[string]string) string {
	c.w.Helper()
	for name, content := range files {
		path := filepath.Join(c.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			c.w.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			c.w.Fatal(err)
		}
	}
	c.git("add", "--all")
	c.git("commit", "--quiet", "--allow-empty", "-m", "Change")
	return c.git("rev-parse", "HEAD")
}

// push pushes refs, by default the branch that is checked out and all tags.
func (c *clone) push(refs ...string) {
	c.w.Helper()
	if len(refs) == 0 {
		refs = []string{"--tags", "HEAD"}
	}
	c.git(append([]string{"push", "--quiet", "origin"}, refs...)...)
}
