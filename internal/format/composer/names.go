package composer

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"packhouse/internal/registry"
)

// namePattern is a name as composer.json's schema has it.
var namePattern = regexp.MustCompile(`^[a-z0-9]([_.-]?[a-z0-9]+)*/[a-z0-9](([_.]|-{1,2})?[a-z0-9]+)*$`)

const maxName = 255 // bytes of a name or a version

func validName(name string) bool {
	if len(name) > maxName {
		return false
	}
	// Most are told without the expression, which each request would have to wait for.
	slash, letters := -1, true
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			letters = false
			continue
		case c == '-' && !letters && i+1 < len(name):
		case c == '/' && !letters && slash < 0:
			slash = i
		default:
			return namePattern.MatchString(name)
		}
		letters = true // must follow
	}
	return slash > 0 && !letters
}

// Parts of Composer's expressions for versions (composer/semver, VersionParser). Those of PHP that take all they can and give
// nothing back mean the same here.
const (
	modifier    = `[._-]?(?:(stable|beta|b|rc|alpha|a|patch|pl|p)((?:[.-]?\d+)*)?)?([.-]?dev)?`
	stabilities = `stable|rc|beta|alpha|dev`
)

var (
	aliased     = regexp.MustCompile(`^([^,\s]+) +as +([^,\s]+)$`)
	flagged     = regexp.MustCompile(`(?i)@(?:` + stabilities + `)$`)
	withBuild   = regexp.MustCompile(`^([^,\s+]+)\+[^\s]+$`)
	classical   = regexp.MustCompile(`(?i)^v?(\d{1,5})(\.\d+)?(\.\d+)?(\.\d+)?` + modifier + `$`)
	dated       = regexp.MustCompile(`(?i)^v?(\d{4}(?:[.:-]?\d{2}){1,6}(?:[.:-]?\d{1,3})?)` + modifier + `$`)
	notDigits   = regexp.MustCompile(`\D`)
	devEnding   = regexp.MustCompile(`(?i)^(.*?)[.-]?dev$`)
	numbered    = regexp.MustCompile(`(?i)^v?(\d+)(\.(?:\d+|[x*]))?(\.(?:\d+|[x*]))?(\.(?:\d+|[x*]))?$`)
	anyPart     = strings.NewReplacer("*", "x", "X", "x")
	expandParts = map[string]string{"a": "alpha", "b": "beta", "p": "patch", "pl": "patch", "rc": "RC"}
)

// phpSpace is what PHP's trim takes off.
const phpSpace = " \t\n\r\x00\x0b"

func ascii(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c >= 0x80 })
}

// normalize is the form in which Composer compares versions: "1.0" is 1.0.0.0, "1.2-beta3" is 1.2.0.0-beta3, "1.x-dev"
// is 1.9999999.9999999.9999999-dev. ok is false for what it cannot read.
func normalize(version string) (normalized string, ok bool) {
	version = strings.Trim(version, phpSpace)
	if len(version) > maxName {
		return "", false
	}
	if m := aliased.FindStringSubmatch(version); m != nil {
		version = m[1]
	}
	version = strings.TrimSuffix(version, flagged.FindString(version))
	if version == "master" || version == "trunk" || version == "default" {
		version = "dev-" + version
	}
	if len(version) >= 4 && strings.EqualFold(version[:4], "dev-") {
		return "dev-" + version[4:], true
	}
	if !ascii(version) {
		return "", false
	}
	if m := withBuild.FindStringSubmatch(version); m != nil {
		version = m[1]
	}
	var base, stability, number, dev string
	if m := classical.FindStringSubmatch(version); m != nil {
		base = m[1]
		for _, part := range m[2:5] {
			base += cmp.Or(part, ".0")
		}
		stability, number, dev = m[5], m[6], m[7]
	} else if m := dated.FindStringSubmatch(version); m != nil {
		base = notDigits.ReplaceAllString(m[1], ".")
		stability, number, dev = m[2], m[3], m[4]
	} else {
		if m := devEnding.FindStringSubmatch(version); m != nil {
			if branch := normalizeBranch(m[1]); !strings.HasPrefix(branch, "dev-") {
				return branch, true
			}
		}
		return "", false
	}
	if stability == "stable" { // as it is written, or it is a word like any other
		return base, true
	}
	if stability != "" {
		stability = strings.ToLower(stability)
		base += "-" + cmp.Or(expandParts[stability], stability) + strings.TrimLeft(number, ".-")
	}
	if dev != "" {
		base += "-dev"
	}
	return base, true
}

// normalizeBranch is the normalized version of a branch: "1.7" is 1.7.9999999.9999999-dev, "main" is dev-main.
func normalizeBranch(name string) string {
	name = strings.Trim(name, phpSpace)
	m := numbered.FindStringSubmatch(name)
	if m == nil || !ascii(name) {
		return "dev-" + name
	}
	version := m[1]
	for _, part := range m[2:] {
		version += anyPart.Replace(cmp.Or(part, ".x"))
	}
	return strings.ReplaceAll(version, "x", "9999999") + "-dev"
}

// tagVersion is the version of a tag: without a leading "v". ok is false when Composer could not read it, or it is one of a
// branch.
func tagVersion(tag string) (version string, ok bool) {
	version = strings.TrimPrefix(tag, "release-")
	if len(version) > 1 && version[0]|0x20 == 'v' && version[1] >= '0' && version[1] <= '9' {
		version = version[1:]
	}
	normalized, ok := normalize(version)
	return version, ok && !isDev(normalized) && !strings.ContainsAny(version, phpSpace+"@")
}

var nines = regexp.MustCompile(`(\.9{7})+`)

// branchVersion is the version of a branch: "1.7", "v1.7" and "1.7.x" are 1.7.x-dev, "main" is dev-main.
func branchVersion(branch string) string {
	normalized := normalizeBranch(branch)
	if strings.HasPrefix(normalized, "dev-") {
		return "dev-" + strings.ReplaceAll(branch, "#", "+")
	}
	return nines.ReplaceAllString(normalized, ".x")
}

// isDev tells whether a normalized version moves, as that of a branch.
func isDev(normalized string) bool {
	return strings.HasPrefix(normalized, "dev-") || strings.HasSuffix(normalized, "-dev")
}

// isDevVersion is isDev of a version as it is stored.
func isDevVersion(version string) bool {
	normalized, _ := normalize(version)
	return isDev(normalized)
}

// ---- order

var versionParts = regexp.MustCompile(`\d+|[^\d.+_-]+`)

// orders of words in PHP's version_compare; a number is 5, any other word is 0.
var orders = map[string]int{"dev": 1, "alpha": 2, "a": 2, "beta": 3, "b": 3, "RC": 4, "rc": 4, "patch": 6, "pl": 6, "p": 6}

// comparePHP is PHP's version_compare, by which Composer orders normalized versions.
func comparePHP(a, b string) int {
	x, y := versionParts.FindAllString(a, -1), versionParts.FindAllString(b, -1)
	isNumber := func(part string) bool { return part[0] >= '0' && part[0] <= '9' }
	order := func(part string) int {
		if isNumber(part) {
			return 5
		}
		return orders[part]
	}
	for i := range min(len(x), len(y)) {
		var c int
		switch {
		case isNumber(x[i]) && isNumber(y[i]):
			p, q := strings.TrimLeft(x[i], "0"), strings.TrimLeft(y[i], "0")
			c = cmp.Or(cmp.Compare(len(p), len(q)), strings.Compare(p, q))
		default:
			c = cmp.Compare(order(x[i]), order(y[i]))
		}
		if c != 0 {
			return c
		}
	}
	switch { // what is longer is higher when it goes on with a number or a patch
	case len(x) > len(y):
		return sign(order(x[len(y)]) >= 5)
	case len(x) < len(y):
		return -sign(order(y[len(x)]) >= 5)
	}
	return 0
}

func sign(positive bool) int {
	if positive {
		return 1
	}
	return -1
}

// parsed is a version ready to be compared.
type parsed struct {
	rank       int // stable versions are above pre-releases, those above numbered branches, and those above other branches
	normalized string
}

func parse(version string) parsed {
	normalized, ok := normalize(version)
	p := parsed{3, normalized}
	switch {
	case !ok: // cannot be: versions are checked when they are published
		p = parsed{-1, version}
	case strings.HasPrefix(normalized, "dev-"):
		p.rank = 0
	case isDev(normalized):
		p.rank = 1
	case strings.ContainsAny(normalized, "-") && !strings.Contains(normalized, "-patch"):
		p.rank = 2
	}
	return p
}

func (p parsed) compare(q parsed) int {
	c := cmp.Compare(p.rank, q.rank)
	if c == 0 && p.rank > 0 {
		c = comparePHP(p.normalized, q.normalized)
	}
	return cmp.Or(c, strings.Compare(p.normalized, q.normalized))
}

// Format is Composer as the domain sees it.
var Format = registry.Format{Type: registry.Composer, Describe: describe, Compare: func(a, b string) int { return parse(a).compare(parse(b)) }}

// ---- constraints

const constraintVersion = `v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.(\d+))?(?:` + modifier + `|\.([x*][.-]?dev))(?:\+[^\s]+)?`

var (
	alternatives = regexp.MustCompile(`\s*\|\|?\s*`)
	stableFlag   = regexp.MustCompile(`(?i)^([^,\s]*?)@(?:` + stabilities + `)$`)
	commitRef    = regexp.MustCompile(`(?i)^(dev-[^,\s@]+?|[^,\s@]+?\.x-dev)#.+$`)
	anything     = regexp.MustCompile(`(?i)^v?[x*](\.[x*])*$`)
	tilde        = regexp.MustCompile(`(?i)^~` + constraintVersion + `$`)
	caret        = regexp.MustCompile(`(?i)^\^` + constraintVersion + `$`)
	xRange       = regexp.MustCompile(`(?i)^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.[x*])+$`)
	hyphenRange  = regexp.MustCompile(`(?i)^(` + constraintVersion + `) +- +(` + constraintVersion + `)$`)
	comparator   = regexp.MustCompile(`^(?:<>|!=|>=?|<=?|==?)?\s*(.*)$`)
	turnedBranch = regexp.MustCompile(`^[0-9a-zA-Z./-]+-dev$`)
)

// maxConstraint is the length in bytes of a constraint.
const maxConstraint = 2000

// validConstraint tells whether Composer can read a constraint: one version whose constraints it cannot read keeps it from all
// versions of a name.
func validConstraint(text string) bool {
	if text == "self.version" {
		return true
	}
	if len(text) > maxConstraint {
		return false
	}
	for _, alternative := range alternatives.Split(strings.Trim(text, phpSpace), -1) {
		if slices.ContainsFunc(splitConstraints(alternative), func(one string) bool { return !validSingle(one) }) {
			return false
		}
	}
	return true
}

// splitConstraints splits at commas and spaces where Composer does: not around operators, hyphens and "as".
func splitConstraints(text string) (parts []string) {
	begin := 0
	for at := 0; at < len(text); {
		end := separator(text, at)
		if end < 0 {
			at++
			continue
		}
		parts = append(parts, text[begin:at])
		begin, at = end, end
	}
	return append(parts, text[begin:])
}

// separator is where the separator at a place ends, or -1: (?<!^|as|[=>< ,]) *(?<!-)[, ](?!-) *(?!,|as|$).
func separator(text string, at int) int {
	if at == 0 || strings.HasSuffix(text[:at], "as") || strings.IndexByte("=>< ,", text[at-1]) >= 0 {
		return -1
	}
	spaces := func(at int) int { return len(text[at:]) - len(strings.TrimLeft(text[at:], " ")) }
	for n := spaces(at); n >= 0; n-- {
		mid := at + n
		if text[mid-1] == '-' || mid >= len(text) || text[mid] != ',' && text[mid] != ' ' || mid+1 < len(text) && text[mid+1] == '-' {
			continue
		}
		for more := spaces(mid + 1); more >= 0; more-- {
			end := mid + 1 + more
			if end < len(text) && text[end] != ',' && !strings.HasPrefix(text[end:], "as") {
				return end
			}
		}
	}
	return -1
}

func validSingle(text string) bool {
	if m := aliased.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	if m := stableFlag.FindStringSubmatch(text); m != nil {
		text = cmp.Or(m[1], "*")
	}
	if m := commitRef.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	readable := func(version string) bool { _, ok := normalize(version); return ok }
	switch {
	case anything.MatchString(text), xRange.MatchString(text):
		return true
	case tilde.MatchString(text) || caret.MatchString(text):
		m := tilde.FindStringSubmatch(text)
		if m == nil {
			m = caret.FindStringSubmatch(text)
		}
		if m[5] == "" && m[7] == "" && m[8] == "" {
			text += "-dev"
		}
		return readable(text[1:])
	}
	if m := hyphenRange.FindStringSubmatch(text); m != nil {
		return readable(m[1]) && readable(m[10])
	}
	m := comparator.FindStringSubmatch(text)
	return m != nil && (readable(m[1]) || turnedBranch.MatchString(m[1]))
}

// ---- files

// archiveName is the name under which the archive of a reference is stored: of a commit, or the SHA-1 of a zip.
func archiveName(name, reference string) string {
	return strings.ReplaceAll(name, "/", "-") + "-" + reference + ".zip"
}

// downloadName is the name under which an archive is downloaded, as GitLab has it.
func downloadName(project *registry.Project, reference string) string {
	return folder(project, reference) + ".zip"
}

var notInFolder = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// folder is the one at the top of an archive.
func folder(project *registry.Project, reference string) string {
	return notInFolder.ReplaceAllString(project.Path, "-") + "-" + reference + "-" + reference
}

// place is a project's part of paths.
func place(project int64) string {
	return "/api/v4/projects/" + strconv.FormatInt(project, 10) + "/packages/composer"
}
