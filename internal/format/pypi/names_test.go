package pypi

import (
	"slices"
	"strings"
	"testing"

	"packhouse/internal/registry"
)

func TestNormalize(t *testing.T) {
	for name, want := range map[string]string{
		"Friendly-Bard": "friendly-bard", "friendly.bard": "friendly-bard", "FRIENDLY--._bard": "friendly-bard", "a": "a", "zope.interface": "zope-interface",
	} {
		if got := normalize(name); got != want {
			t.Errorf("normalize(%q) = %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"", "-a", "a-", ".a", "a b", "a/b", "ä", "a\n", strings.Repeat("a", 256), ".$/@!^*"} {
		if validName(name) {
			t.Errorf("%q is a valid name", name)
		}
	}
}

// The order that PEP 440 gives for versions of one release, and some across releases.
func TestVersionOrder(t *testing.T) {
	ordered := []string{
		"0.9", "1.0.dev0", "1.0.dev456", "1.0a1.dev1", "1.0a1", "1.0a2.dev456", "1.0a12.dev456", "1.0a12", "1.0b1.dev456", "1.0b2", "1.0b2.post345.dev456",
		"1.0b2.post345", "1.0rc1.dev456", "1.0rc1", "1.0", "1.0+abc.5", "1.0+abc.7", "1.0+5", "1.0.post456.dev34", "1.0.post456", "1.0.15", "1.1.dev1", "1.10", "1!0.1",
	}
	for i, a := range ordered {
		for j, b := range ordered {
			x, okX := parseVersion(a)
			y, okY := parseVersion(b)
			if !okX || !okY {
				t.Fatalf("%q or %q is no version", a, b)
			}
			if got, want := compareVersions(x, y), sign(i-j); got != want {
				t.Errorf("compare(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func sign(n int) int { return max(-1, min(1, n)) }

func TestVersionSpellings(t *testing.T) {
	for text, want := range map[string]string{
		"v1.0": "1.0", " 1.0 ": "1.0", "1.0ALPHA1": "1.0a1", "1.0-beta.2": "1.0b2", "1.0_c3": "1.0rc3", "1.0pre": "1.0rc0", "1.0-preview_4": "1.0rc4",
		"1.0-1": "1.0.post1", "1.0r5": "1.0.post5", "1.0-rev6": "1.0.post6", "1.0post": "1.0.post0", "1.0-DEV3": "1.0.dev3", "0!1.0": "1.0", "2!1.0": "2!1.0",
		"1.0+Ubuntu-1": "1.0+ubuntu.1", "01.002.0": "1.2.0", "1": "1", "1.0a1.post2.dev3": "1.0a1.post2.dev3",
	} {
		v, ok := parseVersion(text)
		if !ok || v.String() != want {
			t.Errorf("%q is %v, %v, want %s", text, v, ok, want)
		}
	}
	for _, text := range []string{"", "a", "1.", ".1", "1..2", "1.0-", "1.0+", "1.0+a..b", "1.0+a_", "1.0x", "1.0 1", "1.0a1a2", "1.0.dev1.dev2", "1!2!3", "1.0\n1", strings.Repeat("9", 30), "1.0+" + strings.Repeat("a", 300)} {
		if v, ok := parseVersion(text); ok {
			t.Errorf("%q is version %s", text, v)
		}
	}
	for _, pair := range [][2]string{{"1.0", "1.0.0"}, {"1.0+a.1", "1.0+A-1"}, {"1.0-1", "1.0.post1"}} {
		x, _ := parseVersion(pair[0])
		y, _ := parseVersion(pair[1])
		if compareVersions(x, y) != 0 {
			t.Errorf("%s and %s differ", pair[0], pair[1])
		}
	}
}

func TestLatestIsNoPrerelease(t *testing.T) {
	versions := []string{"2.0rc1", "1.5", "1.10.dev1", "1.10", "0.1"}
	if latest := slices.MaxFunc(versions, Format.Compare); latest != "1.10" {
		t.Errorf("the latest is %s", latest)
	}
}

func TestFileNames(t *testing.T) {
	for _, row := range []struct{ file, name, kind, version string }{
		{"flask-3.1.3-py3-none-any.whl", "Flask", wheel, "3.1.3"},
		{"my_pypi_package-0.0.1rc1-1build-cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "my.pypi-package", wheel, "0.0.1rc1"},
		{"my.pypi.package-0.0.1-py3-none-any.whl", "my-pypi-package", wheel, "0.0.1"},
		{"a-1.0_1-py3-none-any.whl", "a", wheel, "1.0.post1"},
		{"a-1.0+ubuntu_1-py3-none-any.whl", "a", wheel, "1.0+ubuntu.1"},
		{"my-pypi.package-0.0.1.tar.gz", "my_pypi_package", sdist, "0.0.1"},
		{"foo-1.0-1.tar.gz", "foo", sdist, "1.0.post1"},
		{"foo-2-1.0.zip", "foo-2", sdist, "1.0"},
		{"Foo-v1.0-beta.tar.gz", "foo", sdist, "1.0b0"},
	} {
		f, err := parseFileName(row.file, row.name)
		if err != nil {
			t.Errorf("%s: %v", row.file, err)
			continue
		}
		if f.kind != row.kind || f.version.String() != row.version || f.name != normalize(row.name) {
			t.Errorf("%s is %s %s %s", row.file, f.kind, f.name, f.version)
		}
	}
	for _, file := range []string{
		"", ".foo-1.0.tar.gz", "foo", "foo.tar.gz", "foo-.tar.gz", "foo-x.tar.gz", "bar-1.0.tar.gz", "foo-1.0.tar.bz2", "foo-1.0.egg", "foo-1.0.exe", "../foo-1.0.tar.gz",
		"foo/foo-1.0.tar.gz", "foo-1.0 .tar.gz", "foo-1.0\n.tar.gz", `foo\foo-1.0.tar.gz`, "foo-1.0-py3-none.whl", "foo-1.0-x-py3-none-any.whl", "foo-1.0-1-2-py3-none-any.whl",
		"foo-1.0-py3-none-a/y.whl", "bar-1.0-py3-none-any.whl", "foo--py3-none-any.whl", "foo-1.0-py3--any.whl", "foo-" + strings.Repeat("1", 300) + ".tar.gz", "föö-1.0.tar.gz",
	} {
		if f, err := parseFileName(file, "foo"); registry.KindOf(err) != registry.Invalid || err == nil {
			t.Errorf("%q is %v, %v", file, f, err)
		}
	}
}

func FuzzVersion(f *testing.F) {
	for _, seed := range []string{"1.0", "1!2.0a1.post2.dev3+local.1", "v1-1", "1.0+a", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, ok := parseVersion(text)
		if !ok {
			return
		}
		again, ok := parseVersion(v.String())
		if !ok || again.String() != v.String() || compareVersions(v, again) != 0 {
			t.Errorf("%q is %s, which is %v, %v", text, v, again, ok)
		}
	})
}

func FuzzFileName(f *testing.F) {
	f.Add("flask-3.1.3-py3-none-any.whl", "flask")
	f.Add("foo-1.0-1.tar.gz", "foo")
	f.Fuzz(func(t *testing.T, file, name string) {
		if parsed, err := parseFileName(file, name); err == nil && (parsed.version == nil || strings.ContainsAny(file, "/\\\x00\n")) {
			t.Errorf("%q is %v", file, parsed)
		}
	})
}

// Caches keep what is asked for.
func TestSoughtIsShort(t *testing.T) {
	for asked, want := range map[string]string{"A_b": "a-b", strings.Repeat("a", 1<<20): "-", "reque\u017ft": "-", "": "-", "\u212Aey": "-"} {
		if got := sought(asked); got != want {
			t.Errorf("%.20q is sought as %.20q, not %q", asked, got, want)
		}
	}
}
