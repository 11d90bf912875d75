package web

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// snippet is a text to be copied into a file or a terminal.
type snippet struct {
	Label string // what it is for: a client, or a file
	File  string // "": a terminal
	Text  string
}

// manager is what the package managers of a format have to be told.
type manager struct {
	kind    registry.Type
	base    string // URL of the prefix of the project
	host    string // of the server, without the scheme
	scheme  string
	project *registry.Project
	open    bool // anybody may install
}

func (q *request) manager(kind registry.Type) manager {
	p := q.place.Project
	scheme, host, _ := strings.Cut(q.base, "://")
	return manager{kind: kind, project: p, scheme: scheme, host: host, open: q.view.Authorize(&access.Caller{}, p, access.Read) == nil,
		base: fmt.Sprintf("%s/api/v4/projects/%d/packages/%s", q.base, p.ID, kind)}
}

// withLogin is an address with a user and a token in it.
func (m manager) withLogin(address string) string {
	return strings.Replace(address, "://", "://USER:TOKEN@", 1)
}

// npmrc is what npm, pnpm and yarn 1 read. It names where the token comes from, and not the token.
func (m manager) npmrc(scope string, login bool) string {
	text := "registry=" + m.base + "/\n"
	if scope != "" {
		text = scope + ":registry=" + m.base + "/\n"
	}
	if login {
		text += "//" + m.host + strings.TrimPrefix(m.base, m.scheme+"://"+m.host) + "/:_authToken=${PACKHOUSE_TOKEN}\n"
	}
	return text
}

// plainWord is what a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_^-]+$`)

// quoted is a word for a shell: names and versions are whatever their publisher has chosen, a branch may be called $(…).
func quoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// install is the lines that install a version.
func (m manager) install(name, version string) []snippet {
	at := quoted(name + "@" + version)
	switch m.kind {
	case registry.NPM:
		return []snippet{{"npm", "", "npm install " + at}, {"pnpm", "", "pnpm add " + at}, {"yarn", "", "yarn add " + at}, {"bun", "", "bun add " + at}}
	case registry.PyPI:
		index := m.base + "/simple/"
		if !m.open {
			index = m.withLogin(index)
		}
		return []snippet{{"pip", "", "pip install --index-url " + index + " " + quoted(name+"=="+version)}, {"uv", "", "uv pip install --index-url " + index + " " + quoted(name+"=="+version)},
			{"poetry", "", "poetry add --source packhouse " + at}}
	case registry.NuGet:
		return []snippet{{"dotnet", "", "dotnet add package " + quoted(name) + " --version " + quoted(version) + " --source packhouse"}, {"nuget", "", "nuget install " + quoted(name) + " -Version " + quoted(version) + " -Source packhouse"}}
	case registry.Composer:
		return []snippet{{"composer", "", "composer require " + quoted(name+":"+version)}}
	}
	return nil
}

// setup is the files that a package manager needs to find the project.
func (m manager) setup(name string) []snippet {
	switch m.kind {
	case registry.NPM:
		scope := ""
		if strings.HasPrefix(name, "@") {
			scope, _, _ = strings.Cut(name, "/")
		}
		return []snippet{{"", ".npmrc", m.npmrc(scope, !m.open)}}
	case registry.PyPI:
		index := m.base + "/simple/"
		if !m.open {
			index = m.withLogin(index)
		}
		return []snippet{{"pip", "pip.conf", "[global]\nindex-url = " + index + "\n"},
			{"poetry", "pyproject.toml", "[[tool.poetry.source]]\nname = \"packhouse\"\nurl = \"" + m.base + "/simple/\"\npriority = \"primary\"\n"}}
	case registry.NuGet:
		text := "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<configuration>\n  <packageSources>\n    <add key=\"packhouse\" value=\"" + m.base + "/index.json\" protocolVersion=\"3\""
		if m.scheme == "http" {
			text += " allowInsecureConnections=\"true\""
		}
		text += " />\n  </packageSources>\n"
		if !m.open {
			text += "  <packageSourceCredentials>\n    <packhouse>\n      <add key=\"Username\" value=\"USER\" />\n      <add key=\"ClearTextPassword\" value=\"TOKEN\" />\n    </packhouse>\n  </packageSourceCredentials>\n"
		}
		return []snippet{{"", "nuget.config", text + "</configuration>\n"}}
	case registry.Composer:
		address := m.scheme + "://" + m.host + "/api/v4/group/" + url.PathEscape(strings.TrimSuffix(m.project.FullPath, "/"+m.project.Path)) + "/-/packages/composer/packages.json"
		files := []snippet{{"", "composer.json", "{\n  \"repositories\": {\n    \"packhouse\": { \"type\": \"composer\", \"url\": \"" + address + "\" }\n  }\n}\n"}}
		if !m.open {
			files = append(files, snippet{"", "auth.json", "{\n  \"http-basic\": {\n    \"" + m.host + "\": { \"username\": \"USER\", \"password\": \"TOKEN\" }\n  }\n}\n"})
		}
		return files
	}
	return nil
}

// publish is what publishes a package.
func (m manager) publish() []snippet {
	switch m.kind {
	case registry.NPM:
		return []snippet{{"", ".npmrc", m.npmrc("", true)}, {"npm", "", "npm publish"}}
	case registry.PyPI:
		return []snippet{{"twine", "", "twine upload --repository-url " + m.base + " --username USER --password TOKEN dist/*"},
			{"uv", "", "uv publish --publish-url " + m.base + " --username USER --password TOKEN"}}
	case registry.NuGet:
		return []snippet{{"dotnet", "", "dotnet nuget push bin/Release/*.nupkg --source " + m.base + "/index.json --api-key TOKEN"},
			{"nuget", "", "nuget push Example.1.0.0.nupkg -Source " + m.base + "/index.json -ApiKey TOKEN"}}
	case registry.Composer:
		return []snippet{{"curl", "", "curl --header \"PRIVATE-TOKEN: TOKEN\" --data tag=v1.0.0 " + m.base}}
	}
	return nil
}

func (q *request) snippets(p *registry.Package) (install, setup []snippet) {
	m := q.manager(p.Type)
	return m.install(p.Name, p.Version), m.setup(p.Name)
}

// publishPage says how to publish to a project and to install from it, format by format.
type publishPage struct {
	Formats []publishFormat
	Shown   string
	Open    bool
}

type publishFormat struct {
	Type           registry.Type
	Publish, Setup []snippet
}

func (q *request) howToPublish() *publishPage {
	page := &publishPage{Shown: q.URL.Query().Get("format")}
	known := false
	for _, kind := range shownTypes {
		for _, format := range q.h.Registry.Formats {
			if format.Type == kind {
				m := q.manager(kind)
				page.Open = m.open
				page.Formats = append(page.Formats, publishFormat{kind, m.publish(), m.setup("")})
				known = known || page.Shown == string(kind)
			}
		}
	}
	if !known && len(page.Formats) > 0 {
		page.Shown = string(page.Formats[0].Type)
	}
	return page
}

func (h *Handler) publishing(q *request) error {
	if q.place.Project == nil {
		return errNoPage
	}
	if err := q.require(access.Read); err != nil {
		return err
	}
	return q.render("publish", q.place.FullPath()+" · "+q.t("Publish and install"), q.howToPublish())
}
