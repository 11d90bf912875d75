package web

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // driver "sqlite"

	"packhouse/test/harness"
)

// world is a server with what a house has after some months.
type world struct {
	*testing.T
	server  *harness.Server
	npm     int64 // ids of packages
	pypi    int64
	nuget   int64
	attack  string // path of the page with the readme full of attacks
	project harness.Project
	marked  harness.Project // for deletion
	warned  int64           // id of a version that is deprecated
	user    harness.User
	// who is in no group and no project
	newcomer harness.User
	composer int64
}

// must makes the test fail on an error.
func must[V any](t *testing.T) func(V, error) V {
	return func(value V, err error) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// fill publishes packages of each format, with history.
func fill(t *testing.T, s *harness.Server) *world {
	t.Helper()
	w := &world{T: t, server: s}
	acme := must[harness.Group](t)(s.CreateGroup("acme", harness.Public, 0))
	platform := must[harness.Group](t)(s.CreateGroup("platform", harness.Public, acme.ID))
	must[harness.Group](t)(s.CreateGroup("lighthouse", harness.Private, 0))
	w.project = must[harness.Project](t)(s.CreateProject("tools", platform.ID, harness.Public))
	must[harness.Project](t)(s.CreateProject("sandbox", acme.ID, harness.Private))
	w.ask("POST", fmt.Sprintf("/projects/%d/archive", must[harness.Project](t)(s.CreateProject("attic", acme.ID, harness.Private)).ID), nil)
	doomed := fmt.Sprintf("/projects/%d", must[harness.Project](t)(s.CreateProject("doomed", acme.ID, harness.Private)).ID)
	w.ask("DELETE", doomed, nil)
	if err := json.Unmarshal(w.ask("GET", doomed, nil), &w.marked); err != nil {
		t.Fatal(err)
	}
	w.ask("PUT", "/projects/"+fmt.Sprint(w.project.ID), map[string]any{"description": "What the platform team shares: clients, parsers and the odd hammer"})
	for _, name := range []string{"ada", "grace", "linus"} {
		user := must[harness.User](t)(s.CreateUser(name))
		w.ask("POST", fmt.Sprintf("/groups/%d/members", acme.ID), map[string]any{"user_id": user.ID, "access_level": 30})
		w.user = user
	}
	for _, v := range []string{"0.9.0", "1.0.0", "1.1.0", "2.0.0-beta.1"} {
		w.publishNPM("@acme/lantern", v, npmReadme, map[string]any{"description": "A small lamp for dark terminals", "license": "MIT", "keywords": []string{"terminal", "colour", "light"},
			"homepage": "https://example.com/lantern", "repository": map[string]string{"type": "git", "url": "git+https://example.com/acme/lantern.git"}, "engines": map[string]string{"node": ">=20"},
			"author": "Ada <ada@example.com>", "dependencies": map[string]string{"@acme/wick": "^1.0.0", "left-pad": "^1.3.0"}, "devDependencies": map[string]string{"typescript": "^5.8.0"}})
	}
	w.publishNPM("@acme/wick", "1.0.3", "", map[string]any{"description": "Burns slowly"})
	w.publishNPM("@acme/lighthouse", "3.2.1", "", map[string]any{"description": "Lanterns in series", "dependencies": map[string]string{"@acme/lantern": "^1.0.0"}})
	w.publishNPM("attack", "1.0.0", attackReadme, map[string]any{"description": `<img src=x onerror=alert(1)>`, "homepage": "javascript:alert(1)", "license": `"><script>alert(1)</script>`,
		"repository": "data:text/html,<script>alert(1)</script>", "keywords": []string{`"><svg onload=alert(1)>`}})
	w.publishPyPI("brass-fittings", "1.4.0")
	w.publishNuGet("Acme.Ledger", "5.0.2")
	w.publishComposer("acme/rope", "2.1.0")
	w.newcomer = must[harness.User](t)(s.CreateUser("newcomer"))
	for i := range 24 {
		w.publishNPM(fmt.Sprintf("@acme/part-%02d", i), fmt.Sprintf("1.%d.0", i), "", map[string]any{})
	}
	var packages []struct {
		ID            int64
		Name, Version string
		Web           struct {
			Path string `json:"web_path"`
		} `json:"_links"`
	}
	w.list(fmt.Sprintf("/projects/%d/packages?per_page=100", w.project.ID), &packages)
	for _, p := range packages {
		switch {
		case p.Name == "@acme/lantern" && p.Version == "1.1.0":
			w.npm = p.ID
		case p.Name == "@acme/lantern" && p.Version == "0.9.0":
			w.warned = p.ID
			w.ask("POST", fmt.Sprintf("/projects/%d/packages/%d/yank", w.project.ID, p.ID), map[string]any{"reason": "It flickers. Use 1.0.0 or later."})
		case p.Name == "attack":
			w.attack = p.Web.Path
		case p.Name == "brass-fittings":
			w.pypi = p.ID
		case p.Name == "acme/rope":
			w.composer = p.ID
		case p.Name == "Acme.Ledger":
			w.nuget = p.ID
		}
	}
	w.ask("POST", fmt.Sprintf("/projects/%d/packages/protection/rules", w.project.ID), map[string]any{"package_name_pattern": "@acme/core-*", "package_type": "npm", "minimum_access_level_for_push": "owner"})
	w.ask("POST", fmt.Sprintf("/projects/%d/deploy_tokens", w.project.ID), map[string]any{"name": "build farm", "scopes": []string{"read_package_registry"}})
	w.ask("PUT", fmt.Sprintf("/projects/%d/packages/cleanup_policy", w.project.ID), map[string]any{"enabled": true, "keep_n_versions": 3, "older_than": 90})
	w.ask("POST", fmt.Sprintf("/users/%d/block", w.user.ID), nil)
	w.history()
	return w
}

// pages are all of the site, by a name for each.
func (w *world) pages() map[string]string {
	project, group := "/"+w.project.PathWithNamespace, "/groups/acme"
	one := func(id int64, tab string) string { return fmt.Sprintf("%s/-/packages/%d%s", project, id, tab) }
	pages := map[string]string{
		"home": "/", "explore": "/-/explore", "explore-groups": "/-/explore?show=groups", "search": "/-/search?q=lantern", "search-nothing": "/-/search?q=nothing-like-it",
		"error": "/no/such/page", "sign-in": "signed out:/-/sign_in", "home-public": "signed out:/", "home-empty": "newcomer:/", "error-forbidden": "newcomer:" + project + "/-/settings", "group-empty": "/groups/lighthouse", "group-packages-empty": "/groups/lighthouse/-/packages", "search-empty": "/-/search",
		"project-reader": "newcomer:" + project, "package-reader": "newcomer:" + one(w.npm, ""), "tokens-empty": "newcomer:/-/profile/tokens", "cleanup-empty": "/acme/sandbox/-/cleanup", "storage-empty": "/acme/sandbox/-/storage",
		"deploy-tokens-empty": "/acme/sandbox/-/tokens", "protection-empty": "/acme/sandbox/-/rules", "members-nobody": project + "/-/members?filter=nobody-like-it", "explore-nothing": "/-/explore?filter=nothing-like-it",
		"admin-users-nobody": "/-/admin/users?filter=nobody-like-it", "command-line": "/-/login/00",
		"group": group, "group-packages": group + "/-/packages", "group-members": group + "/-/members", "group-settings": group + "/-/settings", "group-storage": group + "/-/storage",
		"project": project, "project-packages": project + "/-/packages", "project-packages-nothing": project + "/-/packages?name=nothing-like-it", "project-empty": "/acme/sandbox", "publish": project + "/-/publish",
		"storage": project + "/-/storage", "members": project + "/-/members", "deploy-tokens": project + "/-/tokens", "protection": project + "/-/rules", "cleanup": project + "/-/cleanup", "activity": project + "/-/activity",
		"settings":    project + "/-/settings",
		"package-npm": one(w.npm, ""), "package-versions": one(w.npm, "?tab=versions"), "package-dependencies": one(w.npm, "?tab=dependencies"), "package-files": one(w.npm, "?tab=files"), "package-manage": one(w.npm, "?tab=manage"),
		"package-pypi": one(w.pypi, ""), "package-nuget": one(w.nuget, ""), "package-composer": one(w.composer, ""), "package-composer-dependencies": one(w.composer, "?tab=dependencies"), "package-nuget-manage": one(w.nuget, "?tab=manage"), "package-attack": w.attack, "package-composer-manage": one(w.composer, "?tab=manage"), "package-deprecated": one(w.warned, ""),
		"project-archived": "/acme/attic", "project-marked": "/" + w.marked.PathWithNamespace, "project-marked-settings": "/" + w.marked.PathWithNamespace + "/-/settings", "question": "pressed:" + one(w.npm, "?tab=files"),
		"user": "/ada", "new-group": "/-/groups/new", "new-project": "/-/projects/new",
		"profile": "/-/profile", "tokens": "/-/profile/tokens", "sessions": "/-/profile/sessions",
		"admin-health": "/-/admin", "admin-users": "/-/admin/users", "admin-new-user": "/-/admin/users/new", "admin-user": fmt.Sprintf("/-/admin/users/%d", w.user.ID), "admin-groups": "/-/admin/groups",
		"admin-jobs": "/-/admin/jobs", "admin-usage": "/-/admin/usage", "admin-audit": "/-/admin/audit",
	}
	return pages
}

// ask sends a request of the REST API as root, which must succeed.
func (w *world) ask(method, path string, body any) []byte {
	w.Helper()
	a := must[*harness.Answer](w.T)(w.server.Do(method, "/api/v4"+path, w.server.RootToken, body))
	if a.Status >= 300 {
		w.Fatalf("%s %s: %d %s", method, path, a.Status, a.Body)
	}
	return a.Body
}

func (w *world) list(path string, into any) {
	w.Helper()
	if err := json.Unmarshal(w.ask("GET", path, nil), into); err != nil {
		w.Fatal(err)
	}
}

func (w *world) publishNPM(name, version, readme string, manifest map[string]any) {
	w.Helper()
	manifest["name"], manifest["version"] = name, version
	text, err := json.Marshal(manifest)
	if err != nil {
		w.Fatal(err)
	}
	var tgz bytes.Buffer
	z := gzip.NewWriter(&tgz)
	archive := tar.NewWriter(z)
	archive.WriteHeader(&tar.Header{Name: "package/package.json", Mode: 0o644, Size: int64(len(text))})
	archive.Write(text)
	archive.Close()
	z.Close()
	sum := sha1.Sum(tgz.Bytes())
	manifest["dist"] = map[string]string{"shasum": hex.EncodeToString(sum[:])}
	tag := "latest"
	if strings.Contains(version, "-") {
		tag = "next"
	}
	w.ask("PUT", fmt.Sprintf("/projects/%d/packages/npm/%s", w.project.ID, url.PathEscape(name)), map[string]any{"name": name, "readme": readme, "dist-tags": map[string]string{tag: version},
		"versions": map[string]any{version: manifest}, "_attachments": map[string]any{"x.tgz": map[string]string{"data": base64.StdEncoding.EncodeToString(tgz.Bytes())}}})
}

// zipped is a ZIP archive of some texts.
func (w *world) zipped(files ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := z.Create(files[i])
		if err != nil {
			w.Fatal(err)
		}
		f.Write([]byte(files[i+1]))
	}
	if err := z.Close(); err != nil {
		w.Fatal(err)
	}
	return b.Bytes()
}

// upload sends a form with a file.
func (w *world) upload(method, path string, fields map[string]string, field, name string, content []byte) {
	w.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for name, value := range fields {
		form.WriteField(name, value)
	}
	part, err := form.CreateFormFile(field, name)
	if err != nil {
		w.Fatal(err)
	}
	part.Write(content)
	form.Close()
	r, err := http.NewRequest(method, w.server.URL+"/api/v4"+path, &b)
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.SetBasicAuth("root", w.server.RootToken)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		w.Fatalf("%s %s: %s", method, path, answer.Status)
	}
}

func (w *world) publishPyPI(name, version string) {
	w.Helper()
	file := strings.ReplaceAll(name, "-", "_")
	metadata := "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\nSummary: Couplings between data frames\nLicense: Apache-2.0\nAuthor: Grace\nRequires-Python: >=3.9\n" +
		"Project-URL: Documentation, https://example.com/brass\nRequires-Dist: numpy (>=1.20)\nRequires-Dist: pytest ; extra == 'test'\nDescription-Content-Type: text/x-rst\n\n" +
		"Brass fittings\n==============\n\nJoins what does not fit::\n\n    import brass\n    brass.join(left, right)\n"
	w.upload("POST", fmt.Sprintf("/projects/%d/packages/pypi", w.project.ID), map[string]string{":action": "file_upload", "name": name, "version": version, "filetype": "bdist_wheel"},
		"content", file+"-"+version+"-py3-none-any.whl", w.zipped(file+"/__init__.py", "", file+"-"+version+".dist-info/METADATA", metadata, file+"-"+version+".dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n", file+"-"+version+".dist-info/RECORD", ""))
}

func (w *world) publishNuGet(id, version string) {
	w.Helper()
	nuspec := `<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>` + id + `</id><version>` + version + `</version><authors>Linus</authors>
		<description>Double entry for ships and sealing wax</description><license type="expression">MIT</license><projectUrl>https://example.com/ledger</projectUrl><readme>README.md</readme><tags>ledger money</tags>
		<dependencies><group targetFramework="net8.0"><dependency id="Newtonsoft.Json" version="13.0.1" /></group></dependencies></metadata></package>`
	w.upload("PUT", fmt.Sprintf("/projects/%d/packages/nuget", w.project.ID), nil, "package", "package.nupkg", w.zipped(id+".nuspec", nuspec, "README.md", "# Ledger\n\nEvery entry has two sides.\n\n```csharp\nvar book = new Ledger();\n```\n", "lib/net8.0/_._", ""))
}

func (w *world) publishComposer(name, version string) {
	w.Helper()
	manifest := `{"name": "` + name + `", "version": "` + version + `", "description": "Holds what would drift", "license": "MIT", "keywords": ["ropes", "knots"], "homepage": "https://example.com/rope",
		"authors": [{"name": "Ada"}], "require": {"php": ">=8.2", "ext-json": "*", "acme/hook": "^1.0"}, "require-dev": {"acme/strain": "^3"}}`
	w.upload("PUT", fmt.Sprintf("/projects/%d/packages/composer", w.project.ID), nil, "package", "package.zip", w.zipped("composer.json", manifest, "README.md", "# Rope\n\nTie one end, hold the other.\n\n```php\n$rope = new Rope(12);\n```\n"))
}

// history gives the packages a past, as the server would have counted it.
func (w *world) history() {
	w.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.server.Data, "packhouse.db")+"?_pragma=busy_timeout(20000)")
	if err != nil {
		w.Fatal(err)
	}
	defer db.Close()
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for i := range 90 {
		count := 20 + (i*37)%41 + i/3
		if i%7 > 4 {
			count /= 4
		}
		_, err := db.Exec(`INSERT INTO downloads (package_id, day, file_id, count) SELECT f.package_id, ?, f.id, ? + f.package_id % 5 FROM package_files f JOIN packages p ON p.id = f.package_id WHERE p.name = '@acme/lantern'`,
			today.AddDate(0, 0, i-89).UnixMilli(), count)
		if err != nil {
			w.Fatal(err)
		}
	}
	if _, err := db.Exec(`UPDATE packages SET download_count = sums.count, last_downloaded_at = ? FROM (SELECT package_id, SUM(count) AS count FROM downloads GROUP BY package_id) AS sums WHERE sums.package_id = packages.id`,
		time.Now().Add(-3*time.Hour).UnixMilli()); err != nil {
		w.Fatal(err)
	}
}

const npmReadme = "# Lantern\n\nA small lamp for **dark terminals**. It picks colours that can be read on any background.\n\n## Use\n\n```js\nimport { lamp } from '@acme/lantern';\n\nlamp('north').on();\n```\n\n" +
	"| option | default | |\n|---|---|---|\n| `wick` | `1` | how wide it burns |\n| `oil` | `'colza'` | what it burns |\n\n- [x] no dependencies at run time but the wick\n- [ ] fog horn\n\n> Mind the glass.\n\n![build](https://example.com/badge.svg) See the [manual](https://example.com/manual).\n"

var attackReadme = func() string {
	text, err := os.ReadFile("testdata/attack.md")
	if err != nil {
		panic(err)
	}
	return string(text)
}()
