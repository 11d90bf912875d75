package npm

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packhouse/internal/registry"
)

func TestValidName(t *testing.T) {
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{"left-pad", true},
		{"a", true},
		{"7zip", true},
		{"JSONStream", true},
		{"socket.io", true},
		{"snake_case", true},
		{"a-", true},
		{"@my-org/pkg", true},
		{"@My.Org_2/Pkg.js", true},
		{"@a/b", true},
		{"@org-/pkg", true},
		{"@github/pkg", true},
		{strings.Repeat("a", 214), true},
		{"http", true}, // a module of Node.js: forbidden for new packages only

		{"", false},
		{strings.Repeat("a", 215), false},
		{"@" + strings.Repeat("a", 110) + "/" + strings.Repeat("b", 110), false},
		{".hidden", false},
		{"_private", false},
		{"-", false},
		{"-rev", false},
		{"..", false},
		{"a..b", false},
		{"node_modules", false},
		{"Node_Modules", false},
		{"favicon.ico", false},
		{"@org/node_modules", false},
		{"a b", false},
		{" a", false},
		{"a\n", false},
		{"a/b", false},
		{"a@b", false},
		{"a+b", false},
		{"a%2fb", false},
		{"a~b", false},
		{"a\\b", false},
		{"päckchen", false},
		{"@", false},
		{"@org", false},
		{"@org/", false},
		{"@/pkg", false},
		{"@org//pkg", false},
		{"@org/pkg/more", false},
		{"@.org/pkg", false},
		{"@_org/pkg", false},
		{"@-org/pkg", false},
		{"@org./pkg", false},
		{"@org.git/pkg", false},
		{"@org.atom/pkg", false},
		{"@org/.pkg", false},
		{"@org/_pkg", false},
		{"@org/-", false},
		{"@@org/pkg", false},
		{"org/@pkg", false},
	} {
		err := validName(c.name)
		if (err == nil) != c.ok {
			t.Errorf("%q: %v", c.name, err)
		}
		if err != nil && (registry.KindOf(err) != registry.Invalid ||
			!strings.HasPrefix(registry.MessageOf(err), "Validation failed: Name should be a valid NPM package name: ")) {
			t.Errorf("%q: %v", c.name, err)
		}
	}
}

func TestScopeAndBase(t *testing.T) {
	for _, c := range []struct{ name, scope, base, tarball string }{
		{"pkg", "", "pkg", "pkg-1.0.0.tgz"},
		{"@org/pkg", "org", "pkg", "@org/pkg-1.0.0.tgz"},
	} {
		if got := [3]string{scopeOf(c.name), baseOf(c.name), tarballName(c.name, "1.0.0")}; got != [3]string{c.scope, c.base, c.tarball} {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// ascending is the example of SemVer section 11 with more around it, in order.
var ascending = []string{
	"0.0.0-0", "0.0.0", "0.0.1", "0.10.0", "1.0.0--", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta",
	"1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0-rc.1+a", "1.0.0-rc.1+b", "1.0.0", "1.0.0+20130313144700",
	"1.0.0+21AF26D3---117B344092BD", "1.0.1", "2.0.0", "2.1.0", "2.1.1", "9007199254740991.0.0",
}

func TestParseVersion(t *testing.T) {
	for _, version := range append(ascending,
		"1.2.3-20240101123456789", "1.2.3-x.7.z.92", "1.2.3-0A.00a", "1.2.3+001", "1.2.3+"+strings.Repeat("a", 250),
	) {
		if v, err := parseVersion(version); err != nil || v.String() != version {
			t.Errorf("%q: %v, %v", version, v, err)
		}
	}
	for _, version := range []string{
		"", "1", "1.2", "1.2.3.4", "v1.2.3", "=1.2.3", " 1.2.3", "1.2.3 ", "1.2.3\n", "01.2.3", "1.02.3", "1.2.03",
		"1.2.3-", "1.2.3+", "1.2.3-a..b", "1.2.3-01", "1.2.3-a_b", "1.2.3+a+b", "1.2.3+ä", "1..3", ".2.3", "1.2.", "-1.2.3",
		"1.2.x", "latest", "9007199254740992.0.0", "0.9007199254740992.0", "0.0.99999999999999999999",
		"1.2.3+" + strings.Repeat("a", 251),
	} {
		_, err := parseVersion(version)
		if registry.KindOf(err) != registry.Invalid ||
			registry.MessageOf(err) != "Validation failed: Version should follow SemVer: https://semver.org" {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	for i, a := range ascending {
		for j, b := range ascending {
			v, _ := parseVersion(a)
			w, _ := parseVersion(b)
			if got, want := compareVersions(v, w), min(max(i-j, -1), 1); got != want {
				t.Errorf("%s and %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestValidTag(t *testing.T) {
	for _, c := range []struct{ tag, message string }{
		{"latest", ""},
		{"next-11", ""},
		{"feature/x", ""},
		{"beta 2", ""},
		{"1.x", "Tag should not be a version or a range: 1.x"},
		{strings.Repeat("ä", 255), ""},
		{"", `"Tag" not given`},
		{" \t", `"Tag" not given`},
		{strings.Repeat("a", 256), "Tag is too long (maximum is 255 characters)"},
		{"a\nb", "Tag should not have control characters"},
		{"a\x00", "Tag should not have control characters"},
		{"\xff", "Tag should not have control characters"},
		{"1.0.0", "Tag should not be a version or a range: 1.0.0"},
		{"v1.0.0-rc.1", "Tag should not be a version or a range: v1.0.0-rc.1"},
	} {
		if err := validTag(c.tag); registry.MessageOf(err) != c.message || err != nil && registry.KindOf(err) != registry.Invalid {
			t.Errorf("%q: %v, want %q", c.tag, err, c.message)
		}
	}
}

func TestVersionOfFile(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"pkg", "pkg-1.0.0.tgz", "1.0.0"},
		{"pkg", "pkg-1.0.0-rc.1+b.2.tgz", "1.0.0-rc.1+b.2"},
		{"@org/pkg", "@org/pkg-1.0.0.tgz", "1.0.0"},
		{"@org/pkg", "pkg-1.0.0.tgz", "1.0.0"},
		{"pkg", "pkg-2-1.0.0.tgz", ""},
		{"pkg-2", "pkg-2-1.0.0.tgz", "1.0.0"},
		{"pkg", "pkg-1.0.0.tar.gz", ""},
		{"pkg", "pkg-1.0.tgz", ""},
		{"pkg", "pkg.tgz", ""},
		{"pkg", "other-1.0.0.tgz", ""},
		{"pkg", "@org/pkg-1.0.0.tgz", ""},
		{"@org/pkg", "@other/pkg-1.0.0.tgz", ""},
		{"@org/pkg", "org-pkg-1.0.0.tgz", ""},
		{"pkg", "", ""},
	} {
		if got, ok := versionOfFile(c.name, c.file); got != c.want || ok != (c.want != "") {
			t.Errorf("%s in %s: %q, %v, want %q", c.name, c.file, got, ok, c.want)
		}
	}
}

func TestSplitPath(t *testing.T) {
	for _, c := range []struct {
		in   string
		want path
	}{
		{"pkg", path{Name: "pkg"}},
		{"@org/pkg", path{Name: "@org/pkg"}},
		{"@org%2fpkg", path{Name: "@org/pkg"}},
		{"@org%2Fpkg", path{Name: "@org/pkg"}},
		{"%40org%2Fpkg", path{Name: "@org/pkg"}},
		{"pkg/1.0.0", path{Name: "pkg", Version: "1.0.0"}},
		{"pkg/1.0.0+b.1", path{Name: "pkg", Version: "1.0.0+b.1"}},
		{"pkg/1.0.0%2Bb.1", path{Name: "pkg", Version: "1.0.0+b.1"}},
		{"pkg/latest", path{Name: "pkg", Version: "latest"}},
		{"pkg/a%20tag", path{Name: "pkg", Version: "a tag"}},
		{"@org/pkg/next", path{Name: "@org/pkg", Version: "next"}},
		{"@org%2fpkg/next", path{Name: "@org/pkg", Version: "next"}},
		{"pkg/-/pkg-1.0.0.tgz", path{Name: "pkg", File: "pkg-1.0.0.tgz"}},
		{"@org/pkg/-/pkg-1.0.0.tgz", path{Name: "@org/pkg", File: "pkg-1.0.0.tgz"}},
		{"@org/pkg/-/@org/pkg-1.0.0.tgz", path{Name: "@org/pkg", File: "@org/pkg-1.0.0.tgz"}},
		{"@org%2fpkg/-/@org%2fpkg-1.0.0.tgz", path{Name: "@org/pkg", File: "@org/pkg-1.0.0.tgz"}},
		{"@org%2Fpkg/-/@org/pkg-1.0.0.tgz", path{Name: "@org/pkg", File: "@org/pkg-1.0.0.tgz"}},
		{"pkg/-rev/3-abc", path{Name: "pkg", Rev: "3-abc"}},
		{"@org%2fpkg/-rev/undefined", path{Name: "@org/pkg", Rev: "undefined"}},
		{"pkg/-/pkg-1.0.0.tgz/-rev/3", path{Name: "pkg", File: "pkg-1.0.0.tgz", Rev: "3"}},
		{"@org/pkg/-/@org/pkg-1.0.0.tgz/-rev/3", path{Name: "@org/pkg", File: "@org/pkg-1.0.0.tgz", Rev: "3"}},
		{"@org%2fpkg/-/@org%2fpkg-1.0.0.tgz/-rev/3", path{Name: "@org/pkg", File: "@org/pkg-1.0.0.tgz", Rev: "3"}},
	} {
		if got, err := splitPath(c.in); err != nil || got != c.want {
			t.Errorf("%s: %v, %s", c.in, err, cmp.Diff(c.want, got))
		}
	}

	for _, in := range []string{
		"", "/", "/pkg", "pkg/", "pkg//1.0.0", "pkg/-/", "pkg/-", "pkg/-rev", "pkg/-rev/", "pkg/-/a.tgz/", "pkg/-/a.tgz/-rev",
		"pkg/-/a.tgz/b", "pkg/-/a/b/c", "pkg/1.0.0/more", "pkg/1.0.0/-rev/3", "pkg/-rev/3/4", "@org/", "@org%2f",
		"..", ".", "../pkg", "pkg/..", "pkg/.", "%2e%2e/pkg", "pkg/%2e%2E", "pkg%2f..%2fother", "pkg/-/../../etc/passwd",
		"pkg/-/..%2f..%2fetc%2fpasswd", "pkg%5c..", `pkg\..\other`, "pkg%00", "pkg/-/a%00.tgz", "pkg%0a", "pkg/%7f", "pkg/%c2%85",
		"pkg%", "pkg%zz", "pkg%2", "pkg/%ff",
	} {
		if got, err := splitPath(in); err != errPath {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"-", "@org", "a%20b", "@org%252fpkg", "a%252e%252e", "%252e%252e%252fpkg", "@org/-/pkg-1.0.0.tgz", "favicon.ico", ".npmrc",
	} {
		if _, err := splitPath(in); registry.KindOf(err) != registry.Invalid ||
			!strings.HasPrefix(registry.MessageOf(err), "Validation failed: Name") {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// A path that is accepted has one meaning: written out again, with either slash, it reads the same.
func FuzzSplitPath(f *testing.F) {
	for _, seed := range []string{
		"pkg", "@org/pkg", "@org%2fpkg", "@org%2Fpkg/1.0.0", "pkg/-/pkg-1.0.0.tgz", "@org/pkg/-/@org/pkg-1.0.0.tgz",
		"@org%2fpkg/-/@org%2fpkg-1.0.0.tgz/-rev/3", "pkg/-rev/undefined", "pkg/..", "%2e%2e%2fpkg", "a%252fb", "-/-/-", "%", "//",
		"@a/b/-/-/-rev/-", "@/@", "a/-/@b", "a/@b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, err := splitPath(in)
		if err != nil {
			if registry.KindOf(err) != registry.Invalid {
				t.Fatalf("%q: kind of %v", in, err)
			}
			return
		}
		if err := validName(p.Name); err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		out := p.Name
		if p.Version != "" {
			out += "/" + p.Version
		}
		if p.File != "" {
			out += "/-/" + p.File
		}
		if p.Rev != "" {
			out += "/-rev/" + p.Rev
		}
		for _, part := range strings.Split(out, "/") {
			if part == "" || part == "." || part == ".." {
				t.Fatalf("%q: %v", in, p)
			}
		}
		if !isText(out) || strings.Contains(out, `\`) {
			t.Fatalf("%q: %v", in, p)
		}
		for _, again := range []string{strings.ReplaceAll(url.PathEscape(out), "%2F", "/"), url.PathEscape(out)} {
			if q, err := splitPath(again); err != nil || q != p {
				t.Fatalf("%q: %v, but %q: %v, %v", in, p, again, q, err)
			}
		}
	})
}

func FuzzVersion(f *testing.F) {
	for i, v := range ascending {
		f.Add(v, ascending[len(ascending)-1-i], "1.0.0-"+strings.Repeat("9", 30))
	}
	f.Add("1.2", "v1.0.0", "01.0.0")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		in := []string{a, b, c}
		for _, s := range in {
			v, err := parseVersion(s)
			if err != nil {
				if registry.KindOf(err) != registry.Invalid {
					t.Fatalf("%q: kind of %v", s, err)
				}
				return
			}
			if v.String() != s || len(s) > maxVersion || !isText(s) {
				t.Fatalf("%q reads as %q", s, v)
			}
			if file := tarballName("@o/p", s); validTag(s) == nil {
				t.Fatalf("%q is a tag", s)
			} else if got, ok := versionOfFile("@o/p", file); !ok || got != s {
				t.Fatalf("%q in %q: %q, %v", s, file, got, ok)
			}
		}
		order := func(s, u string) int {
			v, _ := parseVersion(s)
			w, _ := parseVersion(u)
			return compareVersions(v, w)
		}
		slices.SortFunc(in, order)
		for i, s := range in {
			for j, u := range in {
				if got := order(s, u); got != -order(u, s) || (got == 0) != (s == u) || i < j && got > 0 {
					t.Fatalf("%q and %q: %d", s, u, got)
				}
			}
		}
	})
}
