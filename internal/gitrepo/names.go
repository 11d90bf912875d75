package gitrepo

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// Kind is a kind of ref.
type Kind string

// The kinds, with their place among the refs.
const (
	Branch Kind = "refs/heads/"
	Tag    Kind = "refs/tags/"
)

// maxRef is the length in bytes of a name below its place: what a file of a lock could be called.
const maxRef = 240

// ValidRef tells whether a text can be the name of a branch or tag, by the rules of git-check-ref-format, and is UTF-8.
func ValidRef(name string) bool {
	if name == "" || len(name) > maxRef || name == "@" || name == "HEAD" || name[0] == '-' || !utf8.ValidString(name) ||
		strings.Contains(name, "..") || strings.Contains(name, "@{") || strings.HasSuffix(name, ".") {
		return false
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment[0] == '.' || strings.HasSuffix(segment, ".lock") {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c == 0x7f || strings.ContainsRune(`~^:?*[\`, c) })
}

// commitPattern is a full number of a commit, by SHA-1 or by SHA-256.
var commitPattern = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// ValidCommit tells whether a text is the whole number of an object.
func ValidCommit(id string) bool { return commitPattern.MatchString(id) }
