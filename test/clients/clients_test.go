// Package clients proves Packhouse by the programs that people use: package
// managers, and the GitLab clients that their scripts are written with. Each
// script in testdata is a story told with real clients against a real server.
// The commands that the scripts have beyond testscript's own stand in
// commands_test.go. GitLab's Go client is driven in a module of its own,
// gitlabgo.
package clients

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"packhouse/test/harness"
)

// The programs that the scripts run. All but npm, which comes with
// Node.js, are installed by "make tools".
var (
	preinstalled = []string{"node", "npm", "git"}
	installed    = []string{"php", "composer", "yarn", "yarn-berry", "pnpm", "pnpm10", "bun", "python", "gitlab", "python-packaging", "pip", "twine", "uv", "poetry", "pdm", "pyproject-build", "nuget", "nuget2", "renovate"}
)

// shared is the server of all scripts that do not ask for one of their own.
var shared *harness.Server

func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"login": login})
}

// suite runs the tests with a server around them.
type suite struct{ *testing.M }

func (s suite) Run() int {
	if err := requireClients(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var err error
	if shared, err = harness.Start(context.Background(), harness.Config{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := s.M.Run()
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func requireClients() error {
	for _, name := range preinstalled {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is missing; install Node.js 20 or later, and Git", name)
		}
	}
	for _, name := range installed {
		if _, err := harness.Tool(name); err != nil {
			return err
		}
	}
	return nil
}

func TestClients(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "testdata",
		Setup:              setup,
		Cmds:               commands,
		RequireUniqueNames: true,
	})
}

// setup gives a script its own home, its own caches, and its own small world
// on the server (see world).
func setup(env *testscript.Env) error {
	tools, err := harness.Tools()
	if err != nil {
		return err
	}
	testdata, err := filepath.Abs("testdata")
	if err != nil {
		return err
	}
	home := filepath.Join(env.WorkDir, ".home")
	cache := filepath.Join(env.WorkDir, ".cache")
	for _, dir := range []string{home, cache} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	for key, value := range map[string]string{
		"PATH":     tools + string(os.PathListSeparator) + env.Getenv("PATH"),
		"HOME":     home,
		"TESTDATA": testdata,

		"PYTHONPATH":              filepath.Join(testdata, "python"),
		"PYTHONDONTWRITEBYTECODE": "1",

		// One folder for the caches of all clients: "rm $CACHE" makes them cold.
		"CACHE":                 cache,
		"XDG_CACHE_HOME":        cache,
		"XDG_DATA_HOME":         cache, // the store of pnpm
		"npm_config_cache":      filepath.Join(cache, "npm"),
		"YARN_GLOBAL_FOLDER":    filepath.Join(cache, "berry"),
		"BUN_INSTALL_CACHE_DIR": filepath.Join(cache, "bun"),
		"NUGET_PACKAGES":        filepath.Join(cache, "nuget"),

		"PIP_DISABLE_PIP_VERSION_CHECK": "1",
		"UV_PYTHON_DOWNLOADS":           "never",
		"PYTHON_KEYRING_BACKEND":        "keyring.backends.null.Keyring",
		"PDM_CHECK_UPDATE":              "0",
		"COLUMNS":                       "200", // or their sentences are broken into lines

		"COMPOSER_HOME":            filepath.Join(home, "composer"),
		"COMPOSER_CACHE_DIR":       filepath.Join(cache, "composer"),
		"COMPOSER_ALLOW_SUPERUSER": "1",
		"COMPOSER_NO_INTERACTION":  "1",
		"GIT_CONFIG_NOSYSTEM":      "1",
		"GIT_TERMINAL_PROMPT":      "0",
		"GIT_AUTHOR_NAME":          "Ann",
		"GIT_AUTHOR_EMAIL":         "ann@example.com",
		"GIT_COMMITTER_NAME":       "Ann",
		"GIT_COMMITTER_EMAIL":      "ann@example.com",

		// Nothing but the server is within reach.
		"HTTP_PROXY":  "http://127.0.0.1:1",
		"HTTPS_PROXY": "http://127.0.0.1:1",
		"NO_PROXY":    "127.0.0.1",

		// Versions are installed on the day they are published.
		"YARN_NPM_MINIMAL_AGE_GATE":       "0",
		"PNPM_CONFIG_MINIMUM_RELEASE_AGE": "0",

		// No talk that a story does not ask for.
		"npm_config_update_notifier": "false",
		"npm_config_audit":           "false",
		"npm_config_fund":            "false",
		"YARN_ENABLE_TELEMETRY":      "0",
		"DO_NOT_TRACK":               "1",
	} {
		env.Setenv(key, value)
	}
	env.Values[stateKey{}] = new(state)
	return world(shared, env.Setenv)
}

// world makes what every story begins with and tells it in environment
// variables: a public group with a public and a private project and a
// private subgroup, the people around them, and their tokens.
//
//	GROUP, GROUP_ID              path of the group, and so the scope of its packages; its number
//	PUBLIC_URL, PRIVATE_URL      registries: the two projects, by number,
//	GROUP_URL, INSTANCE_URL      the group and the instance
//	PRIVATE_PATH_URL             the private project by its encoded path
//	TEAM_URL, NESTED_URL         a private subgroup and its project, by their paths
//	PUBLIC_PYPI, PRIVATE_PYPI, PRIVATE_PATH_PYPI, GROUP_PYPI
//	                             paths of the same for PyPI, without a slash at the end
//	PUBLIC_NUGET, PRIVATE_NUGET, PRIVATE_PATH_NUGET, GROUP_NUGET
//	                             and for NuGet
//	PUBLIC_COMPOSER, PRIVATE_COMPOSER, GROUP_COMPOSER
//	                             and for Composer
//	PUBLIC_PATH, PRIVATE_PATH    full paths of the projects
//	URL, HOST                    base URL of the server; its host and port, as .npmrc needs them
//	ROOT_TOKEN                   token of the administrator
//	USERNAME, PASSWORD, TOKEN    a maintainer of the group; personal access token
//	DEVELOPER_TOKEN, GUEST_TOKEN members of lower rank
//	STRANGER_TOKEN               a user who is no member
//	DEPLOY_TOKEN, DEPLOY_USER    deploy token of the private project: read, write
//	READ_TOKEN, READ_USER        the same, but it may only read
func world(s *harness.Server, setenv func(key, value string)) error {
	// The first error ends all; each step below is skipped after it.
	var err error
	try := func(step func() error) {
		if err == nil {
			err = step()
		}
	}
	name := "acme-" + harness.Random()[:8]
	var group harness.Group
	var team harness.Group
	var public, private, nested harness.Project
	try(func() (err error) { group, err = s.CreateGroup(name, harness.Public, 0); return })
	try(func() (err error) { public, err = s.CreateProject("open", group.ID, harness.Public); return })
	try(func() (err error) { private, err = s.CreateProject("closed", group.ID, harness.Private); return })

	try(func() (err error) { team, err = s.CreateGroup("team", harness.Private, group.ID); return })
	try(func() (err error) { nested, err = s.CreateProject("deep.er", team.ID, harness.Private); return })

	token := func(role string, level int) {
		try(func() error {
			user, err := s.CreateUser(role + "-" + name)
			if err != nil {
				return err
			}
			if level > 0 {
				if err := s.AddGroupMember(group.ID, user.ID, level); err != nil {
					return err
				}
			}
			made, err := s.CreatePersonalToken(user.ID, "api")
			if err != nil {
				return err
			}
			if role == "maintainer" {
				setenv("USERNAME", user.Username)
				setenv("PASSWORD", user.Password)
				setenv("TOKEN", made.Token)
			} else {
				setenv(strings.ToUpper(role)+"_TOKEN", made.Token)
			}
			return nil
		})
	}
	token("maintainer", harness.Maintainer)
	token("developer", harness.Developer)
	token("guest", harness.Guest)
	token("stranger", 0)

	deploy := func(prefix string, scopes ...string) {
		try(func() error {
			made, err := s.CreateDeployToken(private.ID, scopes...)
			setenv(prefix+"_TOKEN", made.Token)
			setenv(prefix+"_USER", made.Username)
			return err
		})
	}
	deploy("DEPLOY", "read_package_registry", "write_package_registry")
	deploy("READ", "read_package_registry")

	_, host, _ := strings.Cut(s.URL, "://")
	setenv("URL", s.URL)
	setenv("HOST", host)
	setenv("ROOT_TOKEN", s.RootToken)
	setenv("GROUP", name)
	setenv("GROUP_ID", strconv.FormatInt(group.ID, 10))
	setenv("PUBLIC_URL", fmt.Sprintf("%s/api/v4/projects/%d/packages/npm/", s.URL, public.ID))
	setenv("PRIVATE_URL", fmt.Sprintf("%s/api/v4/projects/%d/packages/npm/", s.URL, private.ID))
	setenv("PRIVATE_PATH_URL", fmt.Sprintf("%s/api/v4/projects/%s/packages/npm/", s.URL, url.PathEscape(private.PathWithNamespace)))
	setenv("NESTED_URL", fmt.Sprintf("%s/api/v4/projects/%s/packages/npm/", s.URL, url.PathEscape(nested.PathWithNamespace)))
	setenv("TEAM_URL", fmt.Sprintf("%s/api/v4/groups/%s/-/packages/npm/", s.URL, url.PathEscape(team.FullPath)))
	setenv("GROUP_URL", fmt.Sprintf("%s/api/v4/groups/%d/-/packages/npm/", s.URL, group.ID))
	setenv("INSTANCE_URL", s.URL+"/api/v4/packages/npm/")
	for _, format := range []string{"pypi", "nuget", "composer"} {
		upper := strings.ToUpper(format)
		setenv("PUBLIC_"+upper, fmt.Sprintf("/api/v4/projects/%d/packages/%s", public.ID, format))
		setenv("PRIVATE_"+upper, fmt.Sprintf("/api/v4/projects/%d/packages/%s", private.ID, format))
		setenv("PRIVATE_PATH_"+upper, fmt.Sprintf("/api/v4/projects/%s/packages/%s", url.PathEscape(private.PathWithNamespace), format))
		setenv("GROUP_"+upper, fmt.Sprintf("/api/v4/groups/%d/-/packages/%s", group.ID, format))
	}
	setenv("GROUP_COMPOSER", fmt.Sprintf("/api/v4/group/%d/-/packages/composer", group.ID))
	setenv("PUBLIC_PATH", public.PathWithNamespace)
	setenv("PRIVATE_PATH", private.PathWithNamespace)
	return err
}
