package nuget

import "strings"

// versionRange is which versions of a dependency will do
// (https://learn.microsoft.com/nuget/concepts/package-versioning#version-ranges). A bound that is nil is none.
type versionRange struct {
	min, max     *version
	minIn, maxIn bool // the bound itself will do
}

// parseRange reads a range in interval notation: "1.0" (that or newer), "[1.0]", "(,2.0]", "[1.0,2.0)"; "" is any version.
// A floating one ("1.*") is for projects, not for packages.
func parseRange(text string) (r versionRange, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return r, true
	}
	low, high := text, ""
	r.minIn = true
	if text[0] == '[' || text[0] == '(' {
		end := text[len(text)-1]
		if len(text) < 2 || end != ']' && end != ')' {
			return r, false
		}
		r.minIn, r.maxIn = text[0] == '[', end == ']'
		interval := text[1 : len(text)-1]
		var two bool
		if low, high, two = strings.Cut(interval, ","); !two {
			if high = low; !r.minIn || !r.maxIn || strings.TrimSpace(low) == "" {
				return r, false
			}
		}
		if interval == "," {
			return r, false
		}
	}
	if r.min, ok = parseBound(low); !ok {
		return r, false
	}
	if r.max, ok = parseBound(high); !ok {
		return r, false
	}
	if r.min != nil && r.max != nil {
		if c := r.min.compare(*r.max); c > 0 || c == 0 && r.minIn != r.maxIn {
			return r, false
		}
	}
	return r, true
}

// parseBound reads the version at an end of a range, which, unlike that of a package, may be one number. "" is no bound.
func parseBound(text string) (*version, bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, true
	}
	if end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' }); end < 0 {
		text += ".0"
	} else if text[end] == '-' || text[end] == '+' {
		text = text[:end] + ".0" + text[end:]
	}
	v, ok := parseVersion(text)
	return &v, ok
}

// String is the range as NuGet's registrations have it: both ends, with normalized versions: "[1.0.0, )", "(, )".
func (r versionRange) String() string {
	var b strings.Builder
	if r.min != nil && r.minIn {
		b.WriteByte('[')
	} else {
		b.WriteByte('(')
	}
	if r.min != nil {
		b.WriteString(r.min.String())
	}
	b.WriteString(", ")
	if r.max != nil {
		b.WriteString(r.max.String())
	}
	if r.max != nil && r.maxIn {
		b.WriteByte(']')
	} else {
		b.WriteByte(')')
	}
	return b.String()
}

// contains tells whether a version will do.
func (r versionRange) contains(v version) bool {
	if r.min != nil {
		if c := v.compare(*r.min); c < 0 || c == 0 && !r.minIn {
			return false
		}
	}
	if r.max != nil {
		if c := v.compare(*r.max); c > 0 || c == 0 && !r.maxIn {
			return false
		}
	}
	return true
}

// semVer2 tells whether a bound can be read only by clients that know SemVer 2.
func (r versionRange) semVer2() bool {
	return r.min != nil && r.min.semVer2() || r.max != nil && r.max.semVer2()
}

// normalizeRange is a range of a manifest in the form of registrations.
func normalizeRange(text string) string {
	r, ok := parseRange(text)
	if !ok {
		return text
	}
	return r.String()
}
