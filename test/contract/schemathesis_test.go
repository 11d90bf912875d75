package contract

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// TestDocument has the OpenAPI document checked against the OpenAPI specification, by a program of others.
func TestDocument(t *testing.T) {
	w := newWorld(t)
	python, err := harness.Tool("python")
	if err != nil {
		w.Fatal(err)
	}
	file := filepath.Join(w.TempDir(), "openapi.json")
	if err := os.WriteFile(file, w.send(call{path: "/api/v4/openapi.json"}).must(w, 200).body, 0o600); err != nil {
		w.Fatal(err)
	}
	if out, err := exec.Command(python, "-m", "openapi_spec_validator", "--schema", "3.1", file).CombinedOutput(); err != nil {
		w.Errorf("%v\n%s", err, out)
	}
}

// Requests that can end the caller's own token or rights: the numbers that they take are found in answers, too. They
// come last.
var lastForSchemathesis = []string{
	"DELETE /api/v4/personal_access_tokens/self",
	"POST /api/v4/personal_access_tokens/self/rotate",
	"DELETE /api/v4/personal_access_tokens/{id}",
	"POST /api/v4/personal_access_tokens/{id}/rotate",
	"PUT /api/v4/users/{id}",
	"DELETE /api/v4/users/{id}",
	"POST /api/v4/users/{id}/block",
	"POST /api/v4/users/{id}/ban",
	"POST /api/v4/users/{id}/deactivate",
}

// TestSchemathesis sends what a machine makes of the OpenAPI document, fitting and not: each answer must be one that
// the document describes, and none a failure of the server.
func TestSchemathesis(t *testing.T) {
	for _, row := range []struct {
		who      string
		examples int // for each operation
		phases   string
		as       func(w *world, s *site) credential
	}{
		{"an administrator", 6, "examples,coverage,fuzzing", func(w *world, s *site) credential {
			// Not root, which has the number 1 and so is the first to be tried for what ends users.
			var u user
			name := "a" + harness.Random()[:12]
			w.make("/users", map[string]any{"username": name, "name": name, "email": name + "@example.com", "force_random_password": true, "admin": true}, &u)
			return private(w.personal(u, "api"))
		}},
		{"a maintainer", 6, "examples,fuzzing", func(w *world, s *site) credential { return w.member(s.project, harness.Maintainer).as() }},
		{"nobody", 3, "examples,fuzzing", func(*world, *site) credential { return anonymous }},
	} {
		t.Run(row.who, func(t *testing.T) {
			w := own(t, harness.Config{Args: []string{"--log-requests", "errors"}})
			program, err := harness.Tool("schemathesis")
			if err != nil {
				w.Fatal(err)
			}
			them := w.people()
			s := w.site(inProjects, harness.Public, "enabled", them)
			for _, prepare := range preparations {
				prepare(w, s, them)
			}
			as := row.as(w, s)
			folder := w.TempDir()
			// Numbers that are something's are tried more often than chance would.
			config := []string{"[dictionaries.numbers]", "values = [1, 2, 3, 4, 5, 6]", "[parameters]"}
			for _, name := range w.pathNames() {
				config = append(config, fmt.Sprintf("%q = {dictionary = \"numbers\", probability = 0.7}", "path."+name))
			}
			if err := os.WriteFile(filepath.Join(folder, "config.toml"), []byte(strings.Join(config, "\n")), 0o600); err != nil {
				w.Fatal(err)
			}
			run := func(which string) {
				arguments := []string{"--no-color", "--config-file", "config.toml", "run", w.server.URL + "/api/v4/openapi.json", "--phases", row.phases, "--max-examples", fmt.Sprint(row.examples),
					"--generation-deterministic", "--continue-on-failure", "--no-shrink", "--warnings", "off", "--request-timeout", "60",
					"--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance"}
				if as != anonymous {
					arguments = append(arguments, "--header", as.header+": "+as.value)
				}
				for _, operation := range lastForSchemathesis {
					arguments = append(arguments, which, operation)
				}
				command := exec.Command(program, arguments...)
				command.Dir = folder
				out, err := command.CombinedOutput()
				summary := generated.FindString(string(out))
				if err != nil || summary == "" {
					w.Errorf("schemathesis: %v\n%s", err, out)
				}
				w.Log(summary)
			}
			run("--exclude-name")
			if as != anonymous { // or nothing was tried after its end
				w.send(call{path: "/api/v4/user", as: as}).want(w, 200)
			}
			run("--include-name")
		})
	}
}

var generated = regexp.MustCompile(`[0-9]+ generated, .*`)

// pathNames are the {names} in the paths of the OpenAPI document.
func (w *world) pathNames() (names []string) {
	w.Helper()
	d, err := described()
	if err != nil {
		w.Fatal(err)
	}
	seen := map[string]bool{}
	for path := range d.Paths {
		for _, name := range pathName.FindAllString(path, -1) {
			if name = strings.Trim(name, "{}"); !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}
