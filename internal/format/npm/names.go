package npm

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/Masterminds/semver/v3"

	"packhouse/internal/registry"
)

// nameRule is GitLab's pattern, narrowed by the rules of validate-npm-package-name for packages that exist already
// (its rules for new ones forbid capitals, which GitLab allows): characters that need no escaping in a URL, and
// neither part begins with a dot, an underscore or a hyphen; "-" is where the other routes begin. The scope is a
// namespace of GitLab's, and so does not end in a dot.
var nameRule = regexp.MustCompile(`^(?:@([a-zA-Z0-9](?:[-._a-zA-Z0-9]*[-_a-zA-Z0-9])?)/)?([a-zA-Z0-9][-._a-zA-Z0-9]*)$`)

const (
	maxName    = 214       // characters, by npm
	maxVersion = 256       // characters, by node-semver
	maxNumber  = 1<<53 - 1 // of a version, by node-semver: what JavaScript counts exactly
	maxTag     = 255       // characters, by GitLab
)

// validName is nil or Invalid.
func validName(name string) error {
	parts := nameRule.FindStringSubmatch(name)
	if parts == nil || len(name) > maxName || strings.Contains(name, "..") ||
		strings.HasSuffix(parts[1], ".git") || strings.HasSuffix(parts[1], ".atom") ||
		// Names that mean something else on the client's disk, or to a browser.
		strings.EqualFold(parts[2], "node_modules") || strings.EqualFold(parts[2], "favicon.ico") {
		return registry.Errorf(registry.Invalid, "Validation failed: Name should be a valid NPM package name: "+
			"https://github.com/npm/validate-npm-package-name#naming-rules.")
	}
	return nil
}

// scopeOf is the scope of a name, without its "@", or "".
func scopeOf(name string) string {
	if scope, _, ok := strings.Cut(name, "/"); ok {
		return strings.TrimPrefix(scope, "@")
	}
	return ""
}

// baseOf is a name without its scope.
func baseOf(name string) string {
	return name[strings.IndexByte(name, '/')+1:]
}

// parseVersion parses a version by SemVer 2.0.0, strictly, within the bounds of node-semver. The error is Invalid.
func parseVersion(version string) (*semver.Version, error) {
	v, err := semver.StrictNewVersion(version)
	if err != nil || len(version) > maxVersion || max(v.Major(), v.Minor(), v.Patch()) > maxNumber {
		return nil, registry.Errorf(registry.Invalid, "Validation failed: Version should follow SemVer: https://semver.org")
	}
	return v, nil
}

// compareVersions is the precedence of SemVer section 11, made a total order: versions that differ only in build
// metadata go by that, byte by byte.
func compareVersions(a, b *semver.Version) int {
	return cmp.Or(a.Compare(b), cmp.Compare(a.Metadata(), b.Metadata()))
}

// validTag is nil or Invalid. A tag that is a version or a range could never be installed: clients take it for one.
func validTag(tag string) error {
	_, isRange := semver.NewConstraint(tag)
	switch {
	case strings.TrimSpace(tag) == "":
		return registry.Errorf(registry.Invalid, `"Tag" not given`)
	case utf8.RuneCountInString(tag) > maxTag:
		return registry.Errorf(registry.Invalid, "Tag is too long (maximum is %d characters)", maxTag)
	case !isText(tag):
		return registry.Errorf(registry.Invalid, "Tag should not have control characters")
	case isRange == nil:
		return registry.Errorf(registry.Invalid, "Tag should not be a version or a range: %s", tag)
	}
	return nil
}

// isText tells whether s is UTF-8 without control characters.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// tarballName is the name that a tarball is stored and linked under: GitLab's, which has the scope in it.
func tarballName(name, version string) string { return name + "-" + version + ".tgz" }

// versionOfFile is the version in the name of a tarball of the package name, with the scope (GitLab, npm publish) or
// without (npmjs).
func versionOfFile(name, file string) (version string, ok bool) {
	file, ok = strings.CutSuffix(file, ".tgz")
	if !ok {
		return "", false
	}
	if version, ok = strings.CutPrefix(file, name+"-"); !ok {
		version, ok = strings.CutPrefix(file, baseOf(name)+"-")
	}
	if _, err := parseVersion(version); !ok || err != nil {
		return "", false
	}
	return version, true
}

// path is what a URL path says after the prefix of the registry, unescaped. With neither Version, File nor Rev it is
// the packument.
type path struct {
	Name    string // a valid name
	Version string // of /<version or tag>
	File    string // of /-/<file>, with its scope if it has one
	Rev     string // of /-rev/<rev>, after the name or after the file
}

// splitPath takes the escaped path after the prefix of the registry, without a leading slash and not beginning with
// "-/". A slash may be escaped wherever it stands, since clients differ in which of them they escape. The error is
// Invalid: GitLab's for a path that is not safe or has no such form, that of validName for a bad name.
func splitPath(escaped string) (path, error) {
	whole, err := url.PathUnescape(escaped)
	parts := strings.Split(whole, "/")
	if err != nil || !isText(whole) || strings.Contains(whole, `\`) ||
		slices.ContainsFunc(parts, func(part string) bool { return part == "" || part == "." || part == ".." }) {
		return path{}, errPath
	}
	var p path
	p.Name, parts = cutScoped(parts)
	if len(parts) > 1 && parts[0] == "-" {
		p.File, parts = cutScoped(parts[1:])
	}
	switch {
	case len(parts) == 2 && parts[0] == "-rev":
		p.Rev = parts[1]
	case len(parts) == 1 && p.File == "" && parts[0] != "-" && parts[0] != "-rev":
		p.Version = parts[0]
	case len(parts) > 0:
		return path{}, errPath
	}
	return p, validName(p.Name)
}

var errPath = registry.Errorf(registry.Invalid, "package_name should be a valid file path")

// cutScoped takes the first name off parts: two of them, when the first is a scope.
func cutScoped(parts []string) (name string, rest []string) {
	n := 1
	if len(parts) > 1 && parts[0][0] == '@' {
		n = 2
	}
	return strings.Join(parts[:n], "/"), parts[n:]
}
