package pypi

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"packhouse/internal/registry"
)

const info = "Metadata-Version: 2.1\nName: foo\nVersion: 1.0\nRequires-Python: >=3.6\n\nText.\n"

type member struct{ name, text string }

func makeZip(t testing.TB, members ...member) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		f, err := w.Create(m.name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, m.text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func makeTar(t testing.TB, headers []tar.Header, members ...member) []byte {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range members {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Size: int64(len(m.text)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, m.text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	zip.Close()
	return b.Bytes()
}

var goodWheel = []member{{"foo/__init__.py", "x = 1\n"}, {"foo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n"}, {"foo-1.0.dist-info/METADATA", info}}

func read(file, name string, body []byte) (*metadata, error) {
	f, err := parseFileName(file, name)
	if err != nil {
		return nil, err
	}
	return readCoreMetadata(f, bytes.NewReader(body), int64(len(body)))
}

func TestGoodArchives(t *testing.T) {
	for file, body := range map[string][]byte{
		"foo-1.0-py3-none-any.whl": makeZip(t, goodWheel...),
		"foo-1.0.tar.gz":           makeTar(t, []tar.Header{{Name: "foo-1.0/", Typeflag: tar.TypeDir}, {Name: "foo-1.0/a", Typeflag: tar.TypeSymlink, Linkname: "../foo-1.0/b"}}, member{"foo-1.0/PKG-INFO", info}, member{"foo-1.0/foo.egg-info/PKG-INFO", "other"}),
		"foo-1.0.zip":              makeZip(t, member{"foo-1.0/setup.py", ""}, member{"foo-1.0/PKG-INFO", info}),
	} {
		m, err := read(file, "foo", body)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		v, _ := parseVersion("1.0")
		if err := m.check("Foo", v); err != nil || m.get("Requires-Python") != ">=3.6" || strings.TrimSpace(m.get("Description")) != "Text." {
			t.Errorf("%s: %v, %v", file, err, m.fields)
		}
	}
}

func TestBadArchives(t *testing.T) {
	wheelName, sdistName := "foo-1.0-py3-none-any.whl", "foo-1.0.tar.gz"
	huge := strings.Repeat("0", 70<<20)
	with := func(more ...member) []byte {
		return makeZip(t, append(goodWheel[:len(goodWheel):len(goodWheel)], more...)...)
	}
	good := makeTar(t, nil, member{"foo-1.0/PKG-INFO", info})
	for _, row := range []struct {
		why, file string
		body      []byte
	}{
		{"empty", wheelName, nil},
		{"no zip", wheelName, []byte("not a zip, but long enough to be looked at for the end of a central directory")},
		{"a zip that claims many members", wheelName, func() []byte {
			body := makeZip(t, goodWheel...)
			end := body[len(body)-22:]
			end[8], end[9], end[10], end[11] = 0xfe, 0xff, 0xfe, 0xff
			return append(bytes.Repeat([]byte{0}, 3<<20), body...)
		}()},
		{"half a zip", wheelName, makeZip(t, goodWheel...)[:200]},
		{"a tar as a wheel", wheelName, good},
		{"no metadata", wheelName, makeZip(t, goodWheel[:2]...)},
		{"no WHEEL", wheelName, makeZip(t, goodWheel[2])},
		{"two dist-info", wheelName, with(member{"foo-2.0.dist-info/METADATA", info})},
		{"another package's dist-info", wheelName, makeZip(t, member{"bar-1.0.dist-info/WHEEL", ""}, member{"bar-1.0.dist-info/METADATA", info})},
		{"a path out of it", wheelName, with(member{"../evil", ""})},
		{"an absolute path", wheelName, with(member{"/evil", ""})},
		{"a backslash", wheelName, with(member{`..\evil`, ""})},
		{"a drive", wheelName, with(member{"c:evil", ""})},
		{"a file twice", wheelName, with(goodWheel[0])},
		{"a bomb", wheelName, with(member{"foo/bomb", huge})},
		{"large metadata", wheelName, makeZip(t, goodWheel[1], member{"foo-1.0.dist-info/METADATA", info + strings.Repeat("x", maxMetadata)})},
		{"metadata that is none", wheelName, makeZip(t, goodWheel[1], member{"foo-1.0.dist-info/METADATA", "no colon\n"})},
		{"empty", sdistName, nil},
		{"no gzip", sdistName, []byte("not a gzip")},
		{"half a gzip", sdistName, good[:len(good)/2]},
		{"bytes after the gzip", sdistName, append(bytes.Clone(good), "more"...)},
		{"a zip as a tar", sdistName, makeZip(t, goodWheel...)},
		{"no PKG-INFO", sdistName, makeTar(t, nil, member{"foo-1.0/setup.py", ""})},
		{"PKG-INFO at the top", sdistName, makeTar(t, nil, member{"PKG-INFO", info})},
		{"a path out of it", sdistName, makeTar(t, nil, member{"foo-1.0/../../evil", ""}, member{"foo-1.0/PKG-INFO", info})},
		{"an absolute path", sdistName, makeTar(t, nil, member{"/evil", ""}, member{"foo-1.0/PKG-INFO", info})},
		{"a link out of it", sdistName, makeTar(t, []tar.Header{{Name: "foo-1.0/link", Typeflag: tar.TypeSymlink, Linkname: "../../etc/passwd"}}, member{"foo-1.0/PKG-INFO", info})},
		{"an absolute link", sdistName, makeTar(t, []tar.Header{{Name: "foo-1.0/link", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}}, member{"foo-1.0/PKG-INFO", info})},
		{"a bomb", sdistName, makeTar(t, nil, member{"foo-1.0/PKG-INFO", info}, member{"foo-1.0/bomb", huge})},
	} {
		if m, err := read(row.file, "foo", row.body); registry.KindOf(err) != registry.Invalid || err == nil {
			t.Errorf("%s, %s: %v, %v", row.file, row.why, m, err)
		}
	}
}

func TestLyingMetadata(t *testing.T) {
	one, _ := parseVersion("1.0")
	for _, text := range []string{
		"", "Name: foo\nVersion: 1.0\n", "Metadata-Version: 2.1\nVersion: 1.0\n", "Metadata-Version: 2.1\nName: foo\n", "Metadata-Version: 2.1\nName: bar\nVersion: 1.0\n",
		"Metadata-Version: 2.1\nName: foo\nVersion: 1.1\n", "Metadata-Version: 3.0\nName: foo\nVersion: 1.0\n", "Metadata-Version: 2.1\nName: UNKNOWN\nVersion: 1.0\n",
		"Metadata-Version: 2.1\nName: foo\nVersion: one\n",
	} {
		m, err := parseMetadata([]byte(text))
		if err == nil {
			err = m.check("foo", one)
		}
		if registry.KindOf(err) != registry.Invalid || err == nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	m, err := parseMetadata([]byte("Metadata-Version: 1.2\r\nName: Foo\r\nVersion: 1.0.0\r\nDescription: first\r\n        second\r\nClassifier: a\r\nClassifier: b\r\n"))
	if err != nil || m.check("foo", one) != nil || m.get("Description") != "first\nsecond" || len(m.all("classifier")) != 2 {
		t.Errorf("%v, %v", m, err)
	}
}

func TestSameSpecifier(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want bool
	}{{">=3.6", ">= 3.6", true}, {">=3.6,<4", "<4, >=3.6", true}, {"", "", true}, {">=3.6", "", false}, {">=3.6", ">=3.7", false}, {">=3.6", ">=3.6,<4", false}} {
		if got := sameSpecifier(row.a, row.b); got != row.want {
			t.Errorf("%q and %q: %v", row.a, row.b, got)
		}
	}
}

func FuzzArchive(f *testing.F) {
	f.Add("foo-1.0-py3-none-any.whl", makeZip(f, goodWheel...))
	f.Add("foo-1.0.tar.gz", makeTar(f, nil, member{"foo-1.0/PKG-INFO", info}))
	f.Fuzz(func(t *testing.T, file string, body []byte) {
		if m, err := read(file, "foo", body); err != nil && registry.KindOf(err) != registry.Invalid {
			t.Errorf("%v, %v", m, err)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(info))
	f.Add([]byte("Description: a\n       |b\n\n\nbody"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseMetadata(text)
		if err != nil && registry.KindOf(err) != registry.Invalid {
			t.Error(err)
		}
		if err == nil {
			newLegacyInfo("", &registry.Package{}, m)
		}
	})
}
