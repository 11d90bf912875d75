package registry

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSettingsAreInherited(t *testing.T) {
	type place = map[string]string
	const lock = "lock_npm_package_requests_forwarding"
	for _, test := range []struct {
		setting string
		places  []place // from the top down
		want    string
	}{
		{"npm_duplicates_allowed", nil, "false"},
		{"npm_duplicates_allowed", []place{{}, {}}, "false"},
		{"maven_duplicates_allowed", []place{{}}, "true"},
		{"generic_duplicates_allowed", []place{{}}, "true"},
		{"nuget_duplicates_allowed", []place{{}}, "false"},
		{"npm_duplicates_allowed", []place{{"npm_duplicates_allowed": "true"}, {}, {}}, "true"},
		{"npm_duplicates_allowed", []place{{"npm_duplicates_allowed": "true"}, {"npm_duplicates_allowed": "false"}, {}}, "false"},
		{"npm_duplicates_allowed", []place{{"pypi_duplicates_allowed": "true"}}, "false"},
		{"npm_duplicate_exception_regex", []place{{"npm_duplicate_exception_regex": "a"}, {"npm_duplicate_exception_regex": "b"}}, "b"},

		{"npm_max_file_size", []place{{}}, ""},
		{"npm_max_file_size", []place{{"npm_max_file_size": "9"}, {}}, "9"},
		{"npm_max_file_size", []place{{"npm_max_file_size": "9"}, {"npm_max_file_size": "10"}}, "9"},
		{"npm_max_file_size", []place{{"npm_max_file_size": "10"}, {"npm_max_file_size": "9"}}, "9"},

		{"npm_package_requests_forwarding", []place{{}}, "false"},
		{"npm_package_requests_forwarding", []place{{"npm_package_requests_forwarding": "true"}, {"npm_package_requests_forwarding": "false"}}, "false"},
		{"npm_package_requests_forwarding", []place{{"npm_package_requests_forwarding": "false", lock: "true"}, {"npm_package_requests_forwarding": "true"}}, "false"},
		{"npm_package_requests_forwarding", []place{{lock: "true"}, {}, {"npm_package_requests_forwarding": "true"}}, "false"},
		{"npm_package_requests_forwarding", []place{{"npm_package_requests_forwarding": "true"}, {lock: "true"}, {"npm_package_requests_forwarding": "false"}}, "true"},
		{"npm_package_requests_forwarding", []place{{}, {"npm_package_requests_forwarding": "true", lock: "true"}}, "true"},
		{lock, []place{{lock: "true"}, {}}, "false"},
		{lock, []place{{lock: "true"}}, "true"},

		{ReservedNames, []place{{ReservedNames: "a\nb"}, {}, {ReservedNames: "c"}}, "a\nb\nc"},
	} {
		p := &Policy{Settings: test.places}
		if got := p.Value(setting(test.setting)); got != test.want {
			t.Errorf("%s of %v: %q, want %q", test.setting, test.places, got, test.want)
		}
	}
	p := &Policy{Settings: []place{{lock: "true"}, {"npm_max_file_size": "10"}}}
	if forwarding := setting("npm_package_requests_forwarding"); !p.Locked(forwarding) || p.Above().Locked(setting("npm_max_file_size")) {
		t.Error("a lock is not seen, or one that is none")
	}
	if (&Policy{Settings: []place{{lock: "true"}}}).Locked(setting("npm_package_requests_forwarding")) {
		t.Error("a place's own lock locks itself")
	}
	for _, test := range []struct{ server, want int64 }{{0, 10}, {5, 5}, {20, 10}} {
		if got := p.MaxFile(NPM, test.server); got != test.want {
			t.Errorf("where the server allows %d: %d, want %d", test.server, got, test.want)
		}
	}
	if got := p.MaxFiles(7); got != 7 {
		t.Errorf("%d files", got)
	}
}

func TestDuplicates(t *testing.T) {
	for _, test := range []struct {
		allowed, exception, name, version string
		want                              bool
	}{
		{"false", "", "pack", "1.0.0", false},
		{"true", "", "pack", "1.0.0", true},
		{"false", "pack", "pack", "1.0.0", true},
		{"false", "pac", "pack", "1.0.0", false},
		{"false", "ack", "pack", "1.0.0", false},
		{"false", `.*-SNAPSHOT`, "pack", "1.0.0-SNAPSHOT", true},
		{"false", `.*-SNAPSHOT`, "pack", "1.0.0", false},
		{"false", `a|pack`, "package", "1.0.0", false},
		{"true", "pack", "pack", "1.0.0", false},
		{"true", "pack", "other", "1.0.0", true},
		{"true", `1\..*`, "pack", "1.0.0", false},
	} {
		p := &Policy{Settings: []map[string]string{{"npm_duplicates_allowed": test.allowed, "npm_duplicate_exception_regex": test.exception}}}
		if got := p.AllowsDuplicate(NPM, test.name, test.version); got != test.want {
			t.Errorf("allowed %s but for %q: %s %s: %t, want %t", test.allowed, test.exception, test.name, test.version, got, test.want)
		}
	}
}

func TestSettingValues(t *testing.T) {
	const bad = "bad"
	for _, test := range []struct{ setting, text, want string }{
		{"npm_duplicates_allowed", "true", "true"},
		{"npm_duplicates_allowed", "0", "false"},
		{"npm_duplicates_allowed", "maybe", bad},
		{"npm_max_file_size", "010", "10"},
		{"npm_max_file_size", "0", bad},
		{"npm_max_file_size", "-1", bad},
		{"npm_max_file_size", "9223372036854775808", bad},
		{"npm_duplicate_exception_regex", "a(b|c)*", "a(b|c)*"},
		{"npm_duplicate_exception_regex", "a)(b", bad},
		{"npm_duplicate_exception_regex", "(?<=x)y", bad},
		{"npm_duplicate_exception_regex", "(a{1000}){1000}", bad},
		{"npm_duplicate_exception_regex", strings.Repeat("ä", 255), strings.Repeat("ä", 255)},
		{"npm_duplicate_exception_regex", strings.Repeat("a", 256), bad},
		{ReservedNames, " @acme/* \n\nx", "@acme/*\nx"},
		{ReservedNames, strings.Repeat("a\n", 100), strings.TrimSuffix(strings.Repeat("a\n", 100), "\n")},
		{ReservedNames, strings.Repeat("a\n", 101), bad},
		{ReservedNames, strings.Repeat("a", 256), bad},
	} {
		got, err := setting(test.setting).Parse(test.text)
		if err != nil && KindOf(err) == Invalid && MessageOf(err) != "" {
			got = bad
		}
		if got != test.want {
			t.Errorf("%s %.40q: %.40q (%v), want %.40q", test.setting, test.text, got, err, test.want)
		}
	}
}

func TestNamePatterns(t *testing.T) {
	for _, test := range []struct {
		kind          Type
		pattern, name string
		want          bool
	}{
		{NPM, "pack", "pack", true},
		{NPM, "Pack", "pACK", true},
		{NPM, "pack", "package", false},
		{NPM, "ack", "pack", false},
		{NPM, "*", "", true},
		{NPM, "*", "@acme/pack", true},
		{NPM, "@acme/*", "@acme/pack", true},
		{NPM, "@acme/*", "@acme-/pack", false},
		{NPM, "*pack", "@acme/pack", true},
		{NPM, "*pack", "@acme/packs", false},
		{NPM, "a*b*c", "a-b-c", true},
		{NPM, "a*b*c", "abc", true},
		{NPM, "a*b*c", "acb", false},
		{NPM, "a*a", "a", false},
		{NPM, "a**a", "aa", true},
		{NPM, "*ab*ab", "abab", true},
		{NPM, "*ab*ab", "ab", false},
		{NPM, "a.c", "abc", false},
		{NPM, "a?c", "abc", false},
		{NPM, "my-pack", "my_pack", false},
		{PyPI, "My_Pack.*", "my-pack-tools", true},
		{PyPI, "my-pack", "My.__Pack", true},
		{PyPI, "my-pack", "mypack", false},
	} {
		if got := matchName(test.kind, test.pattern, test.name); got != test.want {
			t.Errorf("%s %q matches %q: %t, want %t", test.kind, test.pattern, test.name, got, test.want)
		}
	}
}

// Matching takes no time worth mentioning, whatever the pattern.
func TestPatternsAreFast(t *testing.T) {
	began := time.Now()
	for range 1000 {
		matchName(NPM, strings.Repeat("a*", 127)+"b", strings.Repeat("a", 255))
	}
	p := &Policy{Settings: []map[string]string{{"npm_duplicate_exception_regex": strings.Repeat("(a|aa)*", 30) + "b"}}}
	p.AllowsDuplicate(NPM, strings.Repeat("a", 255), strings.Repeat("a", 255))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestRequiredLevel(t *testing.T) {
	p := &Policy{Rules: []*ProtectionRule{
		{Type: NPM, Pattern: "@acme/*", PushLevel: Maintainer},
		{Type: NPM, Pattern: "@acme/core*", PushLevel: Admin, DeleteLevel: Owner},
		{Type: PyPI, Pattern: "*", PushLevel: Owner},
	}}
	for _, test := range []struct {
		deed  deed
		kind  Type
		names []string
		want  Level
	}{
		{push, NPM, []string{"@acme/x"}, Maintainer},
		{destroy, NPM, []string{"@acme/x"}, NoAccess},
		{push, NPM, []string{"@acme/core-x"}, Admin},
		{destroy, NPM, []string{"@acme/core-x"}, Owner},
		{push, NPM, []string{"x"}, NoAccess},
		{push, NPM, []string{"x", "@acme/core"}, Admin},
		{push, PyPI, []string{"x"}, Owner},
		{push, Maven, []string{"@acme/core"}, NoAccess},
	} {
		if got := p.required(test.deed, test.kind, test.names...); got != test.want {
			t.Errorf("%v of %s %v: %d, want %d", test.deed, test.kind, test.names, got, test.want)
		}
	}
}

func FuzzNamePatterns(f *testing.F) {
	f.Add("a*b", "xx")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		// What a pattern is made of fits it, whatever the stars stand for.
		made := strings.ReplaceAll(pattern, "*", name)
		for _, kind := range []Type{NPM, PyPI} {
			if kind == PyPI && slices.ContainsFunc([]string{pattern, name}, func(s string) bool { return strings.ContainsAny(s, "-_.") }) {
				continue // runs that meet at a star become one
			}
			if !matchName(kind, pattern, made) {
				t.Errorf("%s %q does not match %q", kind, pattern, made)
			}
		}
	})
}
