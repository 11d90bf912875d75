package web

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// snippet is a text to be copied into a file or a terminal.
type snippet struct {
	Label string // what it is for: a client
	File  string // "": a terminal
	Text  string
}

// manager is what the package managers of a format have to be told. Where it says TOKEN a token is to be filled in, and nothing else.
type manager struct {
	kind    registry.Type
	address string  // of the server, public
	origin  url.URL // its scheme and host
	base    string  // URL of the prefix of the project
	project *registry.Project
	open    bool   // anybody may install
	user    string // whose token it is
}

// someone stands for the user of a token where nobody is signed in.
const someone = "USER"

func (q *request) manager(kind registry.Type) manager {
	p := q.place.Project
	scheme, host, _ := strings.Cut(q.base, "://")
	host, _, _ = strings.Cut(host, "/")
	m := manager{kind: kind, project: p, address: q.base, origin: url.URL{Scheme: scheme, Host: host}, base: fmt.Sprintf("%s/api/v4/projects/%d/packages/%s", q.base, p.ID, kind), user: someone,
		open: q.view.Authorize(&access.Caller{}, p, access.Read) == nil}
	if q.who.User != nil {
		m.user = q.who.User.Username
	}
	return m
}

// plain tells whether the server is reached without TLS, which some clients have to be told to accept.
func (m manager) plain() bool { return m.origin.Scheme == "http" }

// distrusted is the host where pip asks to be told that it is trusted: it goes by plain HTTP to this machine only.
func (m manager) distrusted() string {
	host := m.origin.Hostname()
	if ip := net.ParseIP(host); !m.plain() || host == "localhost" || ip != nil && ip.IsLoopback() {
		return ""
	}
	return m.origin.Host
}

// withLogin is an address with a user and a token in it.
func (m manager) withLogin(address string) string {
	return strings.Replace(address, "://", "://"+m.user+":TOKEN@", 1)
}

// npmrc is what npm, pnpm, yarn 1 and bun read. The token stands in a person's own file: the project's is kept with its sources, and pnpm
// takes no variable there.
func (m manager) npmrc(scope string, login bool) []snippet {
	text := "registry=" + m.base + "/\n"
	if scope != "" {
		text = scope + ":" + text
	}
	files := []snippet{{"", ".npmrc", text}}
	if login {
		files = append(files, snippet{"", "~/.npmrc", strings.TrimPrefix(m.base, m.origin.Scheme+":") + "/:_authToken=TOKEN\n"})
	}
	return files
}

// nugetConfig makes the project one of the sources of nuget and dotnet.
func (m manager) nugetConfig(login bool) snippet {
	text := "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<configuration>\n  <packageSources>\n    <add key=\"packhouse\" value=\"" + m.base + "/index.json\" protocolVersion=\"3\""
	if m.plain() {
		text += " allowInsecureConnections=\"true\""
	}
	text += " />\n  </packageSources>\n"
	if login {
		text += "  <packageSourceCredentials>\n    <packhouse>\n      <add key=\"Username\" value=\"" + m.user + "\" />\n      <add key=\"ClearTextPassword\" value=\"TOKEN\" />\n    </packhouse>\n  </packageSourceCredentials>\n"
	}
	return snippet{"", "nuget.config", text + "</configuration>\n"}
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

// index is the address of the simple index, with a login when there has to be one.
func (m manager) index() string {
	index := m.base + "/simple/"
	if !m.open {
		index = m.withLogin(index)
	}
	return index
}

// install is the lines that install a version.
func (m manager) install(name, version string) []snippet {
	at := quoted(name + "@" + version)
	switch m.kind {
	case registry.NPM:
		return []snippet{{"npm", "", "npm install " + at}, {"pnpm", "", "pnpm add " + at}, {"yarn", "", "yarn add " + at}, {"bun", "", "bun add " + at}}
	case registry.PyPI:
		pinned := quoted(name + "==" + version)
		pip := "pip install --index-url " + m.index() + " "
		if host := m.distrusted(); host != "" {
			pip += "--trusted-host " + host + " "
		}
		return []snippet{{"pip", "", pip + pinned}, {"uv", "", "uv pip install --index-url " + m.index() + " " + pinned}, {"poetry", "", "poetry add --source packhouse " + at}}
	case registry.NuGet:
		return []snippet{{"dotnet", "", "dotnet add package " + quoted(name) + " --version " + quoted(version)}, {"nuget", "", "nuget install " + quoted(name) + " -Version " + quoted(version)}}
	case registry.Composer:
		return []snippet{{"composer", "", "composer require " + quoted(name+":"+version)}}
	}
	return nil
}

// setup is the files that a package manager needs to find the project, and what else it has to be told.
func (m manager) setup(name string) []snippet {
	switch m.kind {
	case registry.NPM:
		scope := ""
		if strings.HasPrefix(name, "@") {
			scope, _, _ = strings.Cut(name, "/")
		}
		return m.npmrc(scope, !m.open)
	case registry.PyPI:
		conf := "[global]\nindex-url = " + m.index() + "\n"
		if host := m.distrusted(); host != "" {
			conf += "trusted-host = " + host + "\n"
		}
		// Explicit: it is asked for nothing but what is added from it, and stands beside the public index.
		all := []snippet{{"", "pip.conf", conf},
			{"poetry", "pyproject.toml", "[[tool.poetry.source]]\nname = \"packhouse\"\nurl = \"" + m.base + "/simple/\"\npriority = \"explicit\"\n"}}
		if !m.open {
			all = append(all, snippet{"poetry config", "", "poetry config http-basic.packhouse " + m.user + " TOKEN"})
		}
		return all
	case registry.NuGet:
		return []snippet{m.nugetConfig(!m.open)}
	case registry.Composer:
		text := "{\n  \"repositories\": {\n    \"packhouse\": { \"type\": \"composer\", \"url\": \"" + m.base + "\" }\n  }"
		if m.plain() {
			text += ",\n  \"config\": { \"secure-http\": false }"
		}
		files := []snippet{{"", "composer.json", text + "\n}\n"}}
		if !m.open {
			files = append(files, snippet{"", "auth.json", "{\n  \"http-basic\": {\n    \"" + m.origin.Host + "\": { \"username\": \"" + m.user + "\", \"password\": \"TOKEN\" }\n  }\n}\n"})
		}
		return files
	}
	return nil
}

// publish is what publishes a package.
func (m manager) publish() []snippet {
	login := "--user " + m.user + ":TOKEN "
	switch m.kind {
	case registry.NPM:
		return append(m.npmrc("", true), snippet{"npm", "", "npm publish"})
	case registry.PyPI:
		login := " --username " + m.user + " --password TOKEN"
		return []snippet{{"twine", "", "twine upload --repository-url " + m.base + login + " dist/*"}, {"uv", "", "uv publish --publish-url " + m.base + login}}
	case registry.NuGet:
		return []snippet{m.nugetConfig(!m.open), {"dotnet", "", `dotnet nuget push "bin/Release/*.nupkg" --source packhouse --api-key TOKEN`},
			{"nuget", "", `nuget push "*.nupkg" -Source packhouse -ApiKey TOKEN`}}
	case registry.Composer:
		return []snippet{{"zip", "", "composer archive --format=zip --file=package && curl --fail-with-body " + login + "--upload-file package.zip " + m.base},
			{"git", "", "git push " + m.withLogin(m.address) + "/" + m.project.FullPath + ".git v1.0.0"}, {"curl", "", "curl --fail-with-body " + login + "--data tag=v1.0.0 " + m.base}}
	}
	return nil
}

// installing is what the page of a package says of itself.
type installing struct {
	Lines, Setup []snippet
	Login        bool // a token is to be filled in
}

func (q *request) installing(p *registry.Package) installing {
	m := q.manager(p.Type)
	return installing{m.install(p.Name, p.Version), m.setup(p.Name), !m.open}
}

// publishPage says how to publish to a project and to install from it, format by format.
type publishPage struct {
	Formats []publishFormat
	Shown   string
}

type publishFormat struct {
	Type           registry.Type
	Publish, Setup []snippet
}

// Note is what there is to say of the lines that publish, in English.
func (f publishFormat) Note() string { return publishTexts[f.Type] }

var publishTexts = map[registry.Type]string{
	registry.Composer: "A zip, or a tag of the Git repository of the project. To push takes a personal access token with the scope write_repository, too.",
}

func (q *request) howToPublish() *publishPage {
	page := &publishPage{Shown: q.URL.Query().Get("format")}
	known := false
	for _, kind := range q.h.types() {
		m := q.manager(kind)
		page.Formats = append(page.Formats, publishFormat{kind, m.publish(), m.setup("")})
		known = known || page.Shown == string(kind)
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
