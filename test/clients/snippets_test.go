package clients

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"packhouse/test/harness"
)

// snippet is what a page shows to be copied: a file, or a line for a terminal.
type snippet struct {
	label string // what it is for
	file  string // "": a terminal
	text  string
}

func (s snippet) name() string { return cmp.Or(s.file, s.label) }

// person reads pages in a browser, signed in or not.
type person struct {
	*testing.T
	url     string
	browser *http.Client
}

func newPerson(t *testing.T, s *harness.Server, u *harness.User) person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := person{t, s.URL, &http.Client{Jar: jar}}
	if u != nil {
		answer, err := p.browser.PostForm(s.URL+"/-/sign_in", url.Values{"username": {u.Username}, "password": {u.Password}})
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	return p
}

// snippets are those of a page, in its section on a format; where it has no such sections, all.
func (p person) snippets(path, format string) (all []snippet) {
	p.Helper()
	request, err := http.NewRequestWithContext(p.Context(), "GET", p.url+path, nil)
	if err != nil {
		p.Fatal(err)
	}
	request.Header.Set("Accept", "text/html")
	answer, err := p.browser.Do(request)
	if err != nil {
		p.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		p.Fatalf("%s: %s %v", path, answer.Status, err)
	}
	root, err := html.Parse(strings.NewReader(string(text)))
	if err != nil {
		p.Fatal(err)
	}
	within := root
	for node := range root.Descendants() {
		if attribute(node, "data-format") == format {
			within = node
			break
		}
	}
	for node := range within.Descendants() {
		classes := strings.Fields(attribute(node, "class"))
		if !slices.Contains(classes, "copy") {
			continue
		}
		var s snippet
		for part := range node.Descendants() {
			switch {
			case part.Data == "code":
				s.text, s.label = inner(part), attribute(part, "aria-label")
			case attribute(part, "class") == "file":
				s.file = strings.TrimSpace(part.FirstChild.Data) // and then for whom
			}
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		p.Fatalf("%s shows no snippets for %s", path, format)
	}
	return all
}

func attribute(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if node.Type == html.ElementNode && a.Key == name {
			return a.Val
		}
	}
	return ""
}

func inner(node *html.Node) string {
	var b strings.Builder
	for part := range node.Descendants() {
		if part.Type == html.TextNode {
			b.WriteString(part.Data)
		}
	}
	return b.String()
}

// trial is a client that does as a page says.
type trial struct {
	client  string
	prepare string   // what there is before
	uses    []string // files, and labels of lines, of the page, in the order in which they are used
	check   string   // that it has worked
}

// untried are clients that the tests have not.
var untried = []string{"dotnet"}

// follow writes the files and runs the lines that a client uses, with the token where the page says TOKEN, and nothing else changed. All that the
// page shows is used.
func (r *reader) follow(t *testing.T, shown []snippet, token string, trials []trial) {
	t.Helper()
	testdata, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, try := range trials {
		t.Run(try.client, func(t *testing.T) {
			script := []string{"mkdir -p $HOME/.config/NuGet && echo '<configuration><disabledPackageSources><add key=\"nuget.org\" value=\"true\"/></disabledPackageSources></configuration>' >$HOME/.config/NuGet/NuGet.Config", "set -x", try.prepare}
			dir := t.TempDir()
			for _, name := range try.uses {
				at := slices.IndexFunc(shown, func(s snippet) bool { return s.name() == name })
				if at < 0 {
					t.Fatalf("the page shows nothing called %s: %+v", name, shown)
				}
				used[name] = true
				text := placeholder.ReplaceAllString(shown[at].text, token)
				if shown[at].file == "" {
					script = append(script, text)
					continue
				}
				source := fmt.Sprintf(".snippet-%d", at)
				if err := os.WriteFile(filepath.Join(dir, source), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				script = append(script, fmt.Sprintf("cat %s >>%s && rm %s", source, name, source)) // what is there already stays
			}
			script = append(script, try.check)
			r.run(t, dir, strings.Join(script, "\n"), "TESTDATA="+testdata, "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=127.0.0.1", "PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring",
				"COMPOSER_ALLOW_SUPERUSER=1", "COMPOSER_NO_INTERACTION=1", "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com",
				"GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "TWINE_NON_INTERACTIVE=1", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_INPUT=1")
		})
	}
	for _, s := range shown {
		if name := s.name(); !used[name] && !slices.Contains(untried, name) {
			t.Errorf("nobody has tried what the page shows for %s:\n%s", name, s.text)
		}
	}
}

// placeholder is what people replace.
var placeholder = regexp.MustCompile(`\bTOKEN\b`)

// TestSnippets does what the pages say: of an empty project, how to publish the first package of each format; of the page of a package, how to set
// clients up and to install it. The project is private and the token a person's, with the scope that the page of tokens proposes; or the project
// is public and the token one of its own.
func TestSnippets(t *testing.T) {
	r := newReader(t)
	u, err := r.server.CreateUser("ann")
	if err != nil {
		t.Fatal(err)
	}
	for _, visibility := range []string{harness.Private, harness.Public} {
		t.Run(visibility, func(t *testing.T) {
			group, err := r.server.CreateGroup("acme-"+visibility, visibility, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.server.AddGroupMember(group.ID, u.ID, harness.Maintainer); err != nil {
				t.Fatal(err)
			}
			var token harness.Token
			for _, format := range []string{"npm", "pypi", "nuget", "composer"} {
				t.Run(format, func(t *testing.T) {
					// Each format is the first of its project.
					project, err := r.server.CreateProject(format, group.ID, visibility)
					if err != nil {
						t.Fatal(err)
					}
					reader := newPerson(t, r.server, &u)
					switch {
					case format == "composer": // Git takes one more, as the page says
						token, err = r.server.CreatePersonalToken(u.ID, "write_package_registry", "write_repository")
					case visibility == harness.Private:
						token, err = r.server.CreatePersonalToken(u.ID, "write_package_registry")
					default:
						token, err = r.server.CreateDeployToken(project.ID, "write_package_registry")
					}
					if err != nil {
						t.Fatal(err)
					}
					name, publish, install := stories(format, visibility == harness.Private)
					t.Run("publish", func(t *testing.T) {
						r.follow(t, reader.snippets("/"+project.PathWithNamespace, format), token.Token, publish)
					})
					if visibility == harness.Public { // anybody reads, and needs no token
						reader, token.Token = newPerson(t, r.server, nil), "no token is needed"
					}
					t.Run("install", func(t *testing.T) {
						r.follow(t, reader.snippets(r.pageOf(t, project, name), format), token.Token, install)
					})
				})
			}
		})
	}
}

// pageOf is the page of version 1.0.0 of a package.
func (r *reader) pageOf(t *testing.T, p harness.Project, name string) string {
	t.Helper()
	var packages []struct {
		Version string
		Links   struct {
			Path string `json:"web_path"`
		} `json:"_links"`
	}
	answer, err := r.server.Do("GET", fmt.Sprintf("/api/v4/projects/%d/packages?package_name=%s", p.ID, url.QueryEscape(name)), r.server.RootToken, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(answer.Body, &packages); err != nil {
		t.Fatalf("%v: %s", err, answer.Body)
	}
	for _, found := range packages {
		if found.Version == "1.0.0" {
			return found.Links.Path
		}
	}
	t.Fatalf("%s 1.0.0 was not published: %+v", name, packages)
	return ""
}

// stories are the name of a package, and how it is published, and installed with a token or without.
func stories(format string, private bool) (name string, publish, install []trial) {
	with := func(uses ...string) []string {
		if private {
			return uses
		}
		return slices.DeleteFunc(uses, func(one string) bool { return one == "~/.npmrc" || one == "poetry config" || one == "auth.json" })
	}
	switch format {
	case "npm":
		const app = `echo '{"private": true}' >package.json`
		check := `node -e 'if (require("@ann/first/package.json").version !== "1.0.0") process.exit(1)'`
		return "@ann/first", []trial{{"npm", `echo '{"name": "@ann/first", "version": "1.0.0"}' >package.json`, []string{".npmrc", "~/.npmrc", "npm"}, ""}},
			[]trial{{"npm", app, with(".npmrc", "~/.npmrc", "npm"), check}, {"pnpm", app, with(".npmrc", "~/.npmrc", "pnpm"), check},
				{"yarn", app, with(".npmrc", "~/.npmrc", "yarn"), check}, {"bun", app, with(".npmrc", "~/.npmrc", "bun"), check}}
	case "pypi":
		make := func(version string) string { return "python-packaging $TESTDATA/python/dist.py ann-first " + version }
		const venv = "python-packaging -m venv .venv\n. .venv/bin/activate"
		const check = `.venv/bin/python -P -c 'import importlib.metadata as m; assert m.version("ann-first") == "1.0.0"'`
		return "ann-first", []trial{{"twine", make("1.0.0"), []string{"twine"}, ""}, {"uv", make("1.1.0"), []string{"uv"}, ""}},
			[]trial{{"pip", venv, []string{"pip"}, check}, {"pip.conf", venv, []string{"pip.conf"}, "PIP_CONFIG_FILE=pip.conf pip install ann-first==1.0.0\n" + check}, {"uv", venv, []string{"uv"}, check},
				{"poetry", venv + "\nprintf '[project]\\nname = \"app\"\\nversion = \"1.0\"\\nrequires-python = \">=3.11\"\\n\\n' >pyproject.toml", with("pyproject.toml", "poetry config", "poetry"), check}}
	case "nuget":
		return "Ann.First", []trial{{"nuget", "python $TESTDATA/nuget/pack.py Ann.First 1.0.0", []string{"nuget.config", "nuget"}, ""}},
			[]trial{{"nuget", "", []string{"nuget.config", "nuget"}, "grep '^Ann.First 1.0.0$' Ann.First.1.0.0/content/Ann.First.txt"}}
	case "composer":
		// The repository says its version by a tag, the archive in its composer.json.
		return "ann/first", []trial{
				{"git", `echo '{"name": "ann/first"}' >composer.json; git init -q -b main && git add composer.json && git commit -q -m First && git tag v1.0.0`, []string{"git", "curl"}, ""},
				{"zip", `echo '{"name": "ann/first", "version": "1.1.0"}' >composer.json`, []string{"zip"}, ""}},
			[]trial{{"composer", "", with("composer.json", "auth.json", "composer"), `composer show --format=json ann/first | grep '"1.0.0"'`}}
	}
	return "", nil, nil
}
