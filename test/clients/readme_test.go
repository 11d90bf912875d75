package clients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// block is a fenced part of the README that names what it is for: ```sh npm
var block = regexp.MustCompile("(?ms)^```sh (\\w+)\n(.*?)^```$")

// reader follows a page of the documentation as it is written, but for the address, in a checkout as "make run" leaves
// it: the program in bin, its data in data.
type reader struct {
	server         *harness.Server
	checkout, work string // folders
	tools          string // the folder of the clients
}

func newReader(t *testing.T) *reader {
	binary, err := harness.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{work: t.TempDir()}
	if r.tools, err = harness.Tools(); err != nil {
		t.Fatal(err)
	}
	r.checkout = filepath.Join(r.work, "checkout")
	if err := os.MkdirAll(filepath.Join(r.checkout, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(r.checkout, "bin", "packhouse")); err != nil {
		t.Fatal(err)
	}
	if r.server, err = harness.Start(context.Background(), harness.Config{Data: filepath.Join(r.checkout, "data")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// page is a file of the project.
func page(name string) (string, error) {
	root, err := harness.Root()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(root, name))
	return string(text), err
}

// here is what a page says, with the address of the server.
func (r *reader) here(text string) string {
	_, host, _ := strings.Cut(r.server.URL, "://")
	return strings.ReplaceAll(text, "127.0.0.1:8080", host)
}

// run runs a script in a home of its own, and returns its standard output.
func (r *reader) run(t *testing.T, dir, script string, env ...string) string {
	t.Helper()
	home := t.TempDir()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home, "XDG_DATA_HOME="+home, "npm_config_cache="+home, "YARN_GLOBAL_FOLDER="+home,
		"BUN_INSTALL_CACHE_DIR="+home, "npm_config_update_notifier=false", "YARN_ENABLE_TELEMETRY=0", "YARN_NPM_MINIMAL_AGE_GATE=0", "PNPM_CONFIG_MINIMUM_RELEASE_AGE=0",
		"CI=", "PATH="+r.tools+":"+os.Getenv("PATH"))
	cmd.Env = append(cmd.Env, env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s%s", err, script, out, stderr.String())
	}
	return string(out)
}

// TestReadme does what the README says.
func TestReadme(t *testing.T) {
	r := newReader(t)

	// What is called yarn depends on which of the two one has.
	berry := filepath.Join(r.work, "berry")
	if err := os.Mkdir(berry, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(r.tools, "yarn-berry"), filepath.Join(berry, "yarn")); err != nil {
		t.Fatal(err)
	}

	readme, err := page("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, found := range block.FindAllStringSubmatch(r.here(readme), -1) {
		blocks[found[1]] = found[2]
	}
	quickstart := blocks["quickstart"]
	if strings.Count(quickstart, "\n") != 3 {
		t.Fatalf("the README's quick start is not three lines:\n%s", quickstart)
	}
	out := r.run(t, r.checkout, quickstart+"\nnode -p \"require('hello/package.json').version\"\nprintf '%s\\n' $TOKEN $REGISTRY\n")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	version, token, registry := lines[len(lines)-3], lines[len(lines)-2], lines[len(lines)-1]
	if version != "1.0.0" {
		t.Errorf("installed hello %s, want 1.0.0", version)
	}

	for _, client := range []string{"npm", "yarn", "berry", "pnpm", "bun"} {
		t.Run(client, func(t *testing.T) {
			script := blocks[client]
			if script == "" {
				t.Fatal("the README does not say how")
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"name":"hello-`+client+`","version":"1.0.0"}`), 0o644); err != nil {
				t.Fatal(err)
			}
			path := ""
			if client == "berry" {
				path = berry + ":"
			}
			r.run(t, dir, script, "TOKEN="+token, "REGISTRY="+registry, "PATH="+path+r.tools+":"+os.Getenv("PATH"))
			answer, err := r.server.Do("GET", strings.TrimPrefix(registry, r.server.URL)+"hello-"+client, token, nil)
			if err != nil || answer.Status != 200 {
				t.Errorf("hello-%s was not published: %v %v", client, answer, err)
			}
		})
	}

	t.Run("composer", func(t *testing.T) {
		library, app := t.TempDir(), t.TempDir()
		for file, content := range map[string]string{
			filepath.Join(library, "composer.json"): `{"name": "acme/hello", "description": "Says hello"}`,
			filepath.Join(app, "composer.json"):     `{"repositories": {"packagist": false}, "require": {}}`,
		} {
			if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		env := []string{"TOKEN=" + token, "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com", "COMPOSER_ALLOW_SUPERUSER=1", "COMPOSER_NO_INTERACTION=1"}
		for i, step := range []string{"repository", "zip"} {
			if blocks[step] == "" {
				t.Fatalf("the README has no block %s", step)
			}
			r.run(t, library, blocks[step], env...)
			os.RemoveAll(filepath.Join(app, "composer.lock"))
			out := r.run(t, app, blocks["composer"]+"composer show --format=json acme/hello", env...)
			if want := []string{`"1.0.0"`, `"1.1.0"`}[i]; !strings.Contains(out, want) {
				t.Errorf("after %s composer shows %s, want %s", step, out, want)
			}
			os.RemoveAll(filepath.Join(app, "vendor"))
			if err := os.WriteFile(filepath.Join(app, "composer.json"), []byte(`{"repositories": {"packagist": false}, "require": {}}`), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})

	// Each publishes a package of its own; what they install is the one of the first.
	python := r.run(t, r.work, blocks["index"]+`printf %s "$PYPI"`)
	for i, client := range []string{"twine", "uv", "poetry", "pdm"} {
		t.Run(client, func(t *testing.T) {
			script := blocks[client]
			if script == "" {
				t.Fatal("the README does not say how")
			}
			dir, name := t.TempDir(), "hello"
			if i > 0 {
				name += "_" + client
			}
			for file, content := range map[string]string{
				"pyproject.toml": "[project]\nname = \"" + name + "\"\nversion = \"1.0\"\nrequires-python = \">=3.11\"\n\n[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n",
				name + ".py":     "",
			} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			// An environment as people have one, where what is installed goes to.
			r.run(t, dir, "pyproject-build --no-isolation\npython-packaging -m venv .venv\n. .venv/bin/activate\n"+script+".venv/bin/python -P -c 'import importlib.metadata as m; m.version(\"hello\")'",
				"TOKEN="+token, "PYPI="+python, "PATH="+r.tools+":"+os.Getenv("PATH"), "PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring")
			answer, err := r.server.Do("GET", strings.TrimPrefix(python, r.server.URL)+"/simple/"+name+"/", token, nil)
			if err != nil || answer.Status != 200 {
				t.Errorf("%s was not published: %v %v", name, answer, err)
			}
		})
	}

	// As in Python's: the first one is what all install. The older protocol has two clients that are called nuget.
	gallery := r.run(t, r.work, blocks["gallery"]+`printf %s "$NUGET"`)
	old := filepath.Join(r.work, "nuget2")
	if err := os.Mkdir(old, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(r.tools, "nuget2"), filepath.Join(old, "nuget")); err != nil {
		t.Fatal(err)
	}
	for i, client := range []struct{ name, block, path string }{{"nuget", "nuget", ""}, {"nuget by V2", "nugetv2", ""}, {"nuget2", "nugetv2", old + ":"}} {
		t.Run(client.name, func(t *testing.T) {
			script := blocks[client.block]
			if script == "" {
				t.Fatal("the README does not say how")
			}
			dir, version := t.TempDir(), fmt.Sprintf("1.%d.0", i)
			nuspec := "<package><metadata><id>hello</id><version>" + version + "</version><authors>Ann</authors><description>A greeting</description>" +
				"</metadata><files><file src=\"hello.txt\" target=\"content\"/></files></package>"
			for file, content := range map[string]string{"hello.nuspec": nuspec, "hello.txt": "hello\n"} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			r.run(t, dir, "nuget pack hello.nuspec\nexport PATH="+client.path+"$PATH\n"+script+"test -e packages/hello."+version+"/hello."+version+".nupkg",
				"TOKEN="+token, "NUGET="+gallery, "PATH="+r.tools+":"+os.Getenv("PATH"))
		})
	}
}
