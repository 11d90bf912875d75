package nuget

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"

	"packhouse/internal/registry"
)

// Format is NuGet's, for the domain.
var Format = registry.Format{
	Type:     registry.NuGet,
	Describe: describe,
	Compare: func(a, b string) int {
		x, okX := parseVersion(a)
		y, okY := parseVersion(b)
		if !okX || !okY {
			return strings.Compare(a, b)
		}
		return x.compare(y)
	},
	Companion: func(file string) bool { return strings.HasSuffix(file, ".snupkg") },
}

// maxID is the length of an id, in bytes, as NuGet's own tools have it.
const maxID = 100

var idPattern = regexp.MustCompile(`^[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*$`)

// validID tells whether NuGet and GitLab both allow an id: words of letters, digits and _, joined by one dot or dash.
func validID(id string) bool { return len(id) <= maxID && idPattern.MatchString(id) }

// normalizeID is the spelling by which an id is looked up: ids are case-insensitive.
func normalizeID(id string) string { return strings.ToLower(id) }

// version is a NuGet version: two to four numbers, labels, build metadata
// (https://learn.microsoft.com/nuget/concepts/package-versioning).
type version struct {
	numbers [4]int32
	labels  string // prerelease, as spelled, without the dash; "": stable
	build   string // without the plus
}

// maxVersion is the length of a version, in bytes.
const maxVersion = 128

var versionPattern = regexp.MustCompile(`^(\d+)\.(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?$`)

// parseVersion reads a version. Leading zeros of numbers are allowed, as NuGet's tools allow them.
func parseVersion(text string) (v version, ok bool) {
	if len(text) > maxVersion {
		return v, false
	}
	parts := versionPattern.FindStringSubmatch(text)
	if parts == nil {
		return v, false
	}
	for i, digits := range parts[1:5] {
		if digits == "" {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 32)
		if err != nil {
			return v, false
		}
		v.numbers[i] = int32(n)
	}
	v.labels, v.build = parts[5], parts[6]
	return v, true
}

// String is the normalized version: three numbers, a fourth unless it is 0, labels as they are spelled, no build metadata.
func (v version) String() string {
	text := make([]byte, 0, 32)
	for i, n := range v.numbers {
		if i == 3 && n == 0 {
			break
		}
		if i > 0 {
			text = append(text, '.')
		}
		text = strconv.AppendInt(text, int64(n), 10)
	}
	if v.labels != "" {
		text = append(append(text, '-'), v.labels...)
	}
	return string(text)
}

// key is the one spelling of all versions that are the same to NuGet: the normalized version in lower case.
func (v version) key() string { return strings.ToLower(v.String()) }

// prerelease tells whether there are labels.
func (v version) prerelease() bool { return v.labels != "" }

// semVer2 tells whether clients older than SemVer 2 cannot read it: labels with a dot, or build metadata.
func (v version) semVer2() bool { return strings.Contains(v.labels, ".") || v.build != "" }

// compare orders versions: by numbers, stable after prerelease, labels one by one: digits by value and before words, words
// without regard to case. Build metadata does not count.
func (v version) compare(w version) int {
	for i := range v.numbers {
		if c := cmp.Compare(v.numbers[i], w.numbers[i]); c != 0 {
			return c
		}
	}
	if v.labels == "" || w.labels == "" {
		return cmp.Compare(len(w.labels), len(v.labels))
	}
	a, b := strings.Split(strings.ToLower(v.labels), "."), strings.Split(strings.ToLower(w.labels), ".")
	for i := range min(len(a), len(b)) {
		if c := compareLabels(a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func compareLabels(a, b string) int {
	x, y := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	switch digitsA, digitsB := strings.Trim(a, "0123456789") == "", strings.Trim(b, "0123456789") == ""; {
	case digitsA && digitsB:
		return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y))
	case digitsA:
		return -1
	case digitsB:
		return 1
	}
	return strings.Compare(a, b)
}
