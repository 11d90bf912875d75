package pypi

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"packhouse/internal/registry"
)

// namePattern is a valid name (name normalization specification). Both cases are spelled out: folding would let two
// letters in that are none of ASCII, "ſ" and the Kelvin sign.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

const maxName = 255 // characters

var separators = regexp.MustCompile(`[-_.]+`)

// normalize is the canonical form of a name: lower case, each run of "-", "_" and "." one "-" (PEP 503).
func normalize(name string) string {
	for i, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || i > 0 && name[i-1] == '-') {
			return strings.ToLower(separators.ReplaceAllString(name, "-"))
		}
	}
	return name // as nearly all that installers ask for
}

// sought is the canonical form of a name that somebody asks for; what cannot be a name is "-", which nobody has: caches
// keep what is asked for, and a URL may be long.
func sought(name string) string {
	if !validName(name) {
		return "-"
	}
	return normalize(name)
}

func validName(name string) bool { return len(name) <= maxName && namePattern.MatchString(name) }

// version is a parsed version (PEP 440). Parts that are not there have the values that sort where PEP 440 wants them.
type version struct {
	epoch   int64
	release []int64
	pre     string // "a", "b", "rc" or ""
	preN    int64
	post    int64 // -1: none
	dev     int64 // -1: none
	local   []string
}

var versionPattern = regexp.MustCompile(`^v?(?:(\d+)!)?(\d+(?:\.\d+)*)` + // epoch, release
	`(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?` + // pre-release
	`(?:-(\d+)|([-_.]?)(post|rev|r)[-_.]?(\d*))?` + // post-release, the first form implicit
	`(?:[-_.]?(dev)[-_.]?(\d*))?` + // development release
	`(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$`) // local version

// parseVersion reads a version with all the spellings that PEP 440 lets a tool accept. Numbers of more than 18 digits
// are refused: nobody has them, and they would not compare.
func parseVersion(text string) (*version, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	if len(text) > maxName {
		return nil, false
	}
	m := versionPattern.FindStringSubmatch(text)
	if m == nil {
		return nil, false
	}
	v, ok := &version{post: -1, dev: -1}, true
	number := func(digits string) int64 {
		if digits == "" {
			return 0
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		ok = ok && err == nil && len(digits) <= 18
		return n
	}
	v.epoch = number(m[1])
	for part := range strings.SplitSeq(m[2], ".") {
		v.release = append(v.release, number(part))
	}
	switch m[3] {
	case "a", "alpha":
		v.pre = "a"
	case "b", "beta":
		v.pre = "b"
	case "c", "rc", "pre", "preview":
		v.pre = "rc"
	}
	v.preN = number(m[4])
	switch {
	case m[5] != "":
		v.post = number(m[5])
	case m[7] != "":
		v.post = number(m[8])
	}
	if m[9] != "" {
		v.dev = number(m[10])
	}
	if m[11] != "" {
		v.local = strings.FieldsFunc(m[11], func(r rune) bool { return strings.ContainsRune("-_.", r) })
	}
	return v, ok
}

// String is the normalized form. Trailing zeros of the release stay, as publishers wrote them.
func (v *version) String() string {
	var b strings.Builder
	if v.epoch != 0 {
		b.WriteString(strconv.FormatInt(v.epoch, 10) + "!")
	}
	for i, n := range v.release {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.FormatInt(n, 10))
	}
	if v.pre != "" {
		b.WriteString(v.pre + strconv.FormatInt(v.preN, 10))
	}
	if v.post >= 0 {
		b.WriteString(".post" + strconv.FormatInt(v.post, 10))
	}
	if v.dev >= 0 {
		b.WriteString(".dev" + strconv.FormatInt(v.dev, 10))
	}
	for i, part := range v.local {
		b.WriteString(map[bool]string{true: "+", false: "."}[i == 0] + part)
	}
	return b.String()
}

// prerelease tells whether installers pass over the version unless they are asked for such.
func (v *version) prerelease() bool { return v.pre != "" || v.dev >= 0 }

// compareVersions orders as PEP 440: 1.0.dev1 < 1.0a1.dev1 < 1.0a1 < 1.0a1.post1 < 1.0 < 1.0+local < 1.0.post1.
func compareVersions(a, b *version) int {
	return cmp.Or(
		cmp.Compare(a.epoch, b.epoch),
		slices.Compare(trimZeros(a.release), trimZeros(b.release)),
		cmp.Compare(a.phase(), b.phase()),
		cmp.Compare(a.preN, b.preN),
		cmp.Compare(a.post, b.post),
		compareDev(a.dev, b.dev),
		compareLocal(a.local, b.local),
	)
}

func trimZeros(release []int64) []int64 {
	for len(release) > 1 && release[len(release)-1] == 0 {
		release = release[:len(release)-1]
	}
	return release
}

// phase orders what comes before a release: a development release of it, its pre-releases, then itself.
func (v *version) phase() int {
	if v.pre == "" && v.post < 0 && v.dev >= 0 {
		return 0
	}
	return map[string]int{"a": 1, "b": 2, "rc": 3, "": 4}[v.pre]
}

// compareDev: what has a development number comes before what it develops.
func compareDev(a, b int64) int {
	if (a < 0) != (b < 0) {
		return cmp.Compare(b, a) // -1, none, is the higher one
	}
	return cmp.Compare(a, b)
}

// compareLocal: none is lowest, a text below a number, texts and numbers among themselves, the longer one higher.
func compareLocal(a, b []string) int {
	for i := range min(len(a), len(b)) {
		x, errX := strconv.ParseUint(a[i], 10, 64)
		y, errY := strconv.ParseUint(b[i], 10, 64)
		var order int
		switch {
		case errX == nil && errY == nil:
			order = cmp.Compare(x, y)
		case errX == nil:
			order = 1
		case errY == nil:
			order = -1
		default:
			order = strings.Compare(a[i], b[i])
		}
		if order != 0 {
			return order
		}
	}
	return cmp.Compare(len(a), len(b))
}

// Format is PyPI as the domain sees it.
var Format = registry.Format{Type: registry.PyPI, Describe: describe, Compare: func(a, b string) int {
	x, okX := parseVersion(a)
	y, okY := parseVersion(b)
	switch {
	case !okX || !okY:
		return strings.Compare(a, b) // cannot be: versions are checked when they are published
	case x.prerelease() != y.prerelease(): // the latest version is one that installers choose
		if x.prerelease() {
			return -1
		}
		return 1
	}
	return compareVersions(x, y)
}}

// The kinds of distribution that are taken.
const (
	wheel = "bdist_wheel"
	sdist = "sdist"
)

// fileName is what the name of a distribution says.
type fileName struct {
	kind    string // wheel or sdist
	name    string // as written; compare it normalized
	version *version
	zip     bool // a zip archive, otherwise a gzipped tar
}

// wheelTag is a Python, ABI or platform tag, several with dots between.
var wheelTag = regexp.MustCompile(`^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$`)

// parseFileName reads the name of a file that is to belong to the package name: a wheel,
// {name}-{version}(-{build})?-{python}-{abi}-{platform}.whl (binary distribution format), or an sdist,
// {name}-{version}.tar.gz (source distribution format). The name in the latter was not always escaped, and zip
// archives were allowed once. Errors are Invalid.
func parseFileName(file, name string) (*fileName, error) {
	invalid := func(why string) error {
		return registry.Errorf(registry.Invalid, "Invalid distribution filename %.255q: %s", file, why)
	}
	outside := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' || r == '\\' }
	if file == "" || len(file) > maxName || file[0] == '.' || strings.ContainsFunc(file, outside) {
		return nil, invalid("it is not a plain file name")
	}
	f := &fileName{kind: sdist, name: normalize(name)}
	var candidates []string // texts that may be the version
	if stem, ok := strings.CutSuffix(file, ".whl"); ok {
		f.kind, f.zip = wheel, true
		parts := strings.Split(stem, "-")
		switch {
		case len(parts) != 5 && len(parts) != 6:
			return nil, invalid("a wheel is named name-version(-build)-python-abi-platform.whl")
		case len(parts) == 6 && (parts[2] == "" || parts[2][0] < '0' || parts[2][0] > '9'):
			return nil, invalid("a wheel's build number begins with a digit")
		case slices.ContainsFunc(parts[len(parts)-3:], func(tag string) bool { return !wheelTag.MatchString(tag) }):
			return nil, invalid("a tag of the wheel is not valid")
		case normalize(parts[0]) != f.name:
			return nil, invalid("it begins with another name than " + name)
		}
		candidates = []string{parts[1], strings.ReplaceAll(parts[1], "_", "-")}
	} else {
		stem, ok := strings.CutSuffix(file, ".tar.gz")
		if !ok {
			if stem, f.zip = strings.CutSuffix(file, ".zip"); !f.zip {
				return nil, invalid("only wheels (.whl) and source distributions (.tar.gz, .zip) are taken")
			}
		}
		for at := range len(stem) { // name and version may both have a "-"
			if stem[at] == '-' && normalize(stem[:at]) == f.name {
				candidates = append(candidates, stem[at+1:])
			}
		}
		if candidates == nil {
			return nil, invalid("it does not begin with the name " + name)
		}
	}
	for _, text := range candidates {
		if v, ok := parseVersion(text); ok {
			f.version = v
			return f, nil
		}
	}
	return nil, invalid("it has no valid version")
}
