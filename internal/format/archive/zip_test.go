package archive

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"packhouse/internal/registry"
)

func makeZip(t testing.TB, members ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range members {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "/") {
			io.WriteString(f, "text of "+name)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readAll opens an archive and reads all of its members.
func readAll(r io.ReaderAt, size int64) (map[string]string, error) {
	z, err := OpenZip(r, size, "the parcel")
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for _, member := range z.File {
		content, err := z.Open(member)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(content, 1<<20))
		content.Close()
		if err != nil {
			return nil, err
		}
		texts[member.Name] = string(text)
	}
	return texts, nil
}

func TestGoodZip(t *testing.T) {
	for why, body := range map[string][]byte{
		"a zip":                   makeZip(t, "a", "b/", "b/a"),
		"a zip with a comment":    comment(makeZip(t, "a", "b/", "b/a"), "words"),
		"a zip after other bytes": append([]byte("#!/bin/sh\n"), makeZip(t, "a", "b/", "b/a")...),
	} {
		texts, err := readAll(bytes.NewReader(body), int64(len(body)))
		if err != nil || len(texts) != 3 || texts["b/a"] != "text of b/a" {
			t.Errorf("%s: %v, %v", why, texts, err)
		}
	}
	body := makeZip(t, "a")
	z, err := OpenZip(bytes.NewReader(body), int64(len(body)), "the parcel")
	if err != nil || z.Member("a") == nil || z.Member("A") != nil {
		t.Errorf("members by name: %v, %v", z, err)
	}
}

func comment(body []byte, text string) []byte {
	binary.LittleEndian.PutUint16(body[len(body)-2:], uint16(len(text)))
	return append(body, text...)
}

// change replaces bytes of an archive's one member: in the directory, or in the data.
func change(body []byte, at int, value []byte) []byte {
	body = bytes.Clone(body)
	copy(body[at:], value)
	return body
}

func TestBadZip(t *testing.T) {
	one := makeZip(t, "a")
	directory := bytes.Index(one, []byte("PK\x01\x02"))
	four := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	for _, row := range []struct {
		why  string
		body []byte
		want string
	}{
		{"nothing", nil, "the parcel is not a zip archive"},
		{"some text", []byte("long enough to be looked at for the end of a central directory"), "the parcel is not a zip archive"},
		{"the first half", one[:len(one)/2], "the parcel is not a zip archive"},
		{"a directory said to be elsewhere", change(one, len(one)-6, four(1<<30)), `the parcel has the file "a", which is damaged`},
		{"many members claimed", change(append(bytes.Repeat([]byte{0}, 3<<20), one...), 3<<20+len(one)-14, []byte{0xfe, 0xff, 0xfe, 0xff}), "the parcel is not a zip archive"},
		{"a path out of it", makeZip(t, "../a"), "the parcel has a file whose path leads out of it"},
		{"a path out of it in the middle", makeZip(t, "a/../../b"), "the parcel has a file whose path leads out of it"},
		{"an absolute path", makeZip(t, "/a"), "the parcel has a file whose path leads out of it"},
		{"a path of Windows", makeZip(t, `..\a`), "the parcel has a file whose path leads out of it"},
		{"a drive", makeZip(t, "c:a"), "the parcel has a file whose path leads out of it"},
		{"a member twice", makeZip(t, "a", "b", "a"), `the parcel has the file "a" twice`},
		{"a bomb", change(one, directory+24, four(100<<20)), "the parcel unpacks to too much"},
		{"a member said to be longer", change(one, directory+24, four(100)), `the parcel has the file "a", which is damaged`},
		{"a member said to be shorter", change(one, directory+24, four(3)), `the parcel has the file "a", which is damaged`},
		{"a member of another checksum", change(one, directory+16, four(1)), `the parcel has the file "a", which is damaged`},
		{"a member compressed in an unknown way", change(one, directory+10, []byte{99, 0}), `the parcel has the file "a", which is damaged`},
		{"a member whose data is elsewhere", change(one, directory+42, four(1<<30)), `the parcel has the file "a", which is damaged`},
	} {
		texts, err := readAll(bytes.NewReader(row.body), int64(len(row.body)))
		if registry.KindOf(err) != registry.Invalid || registry.MessageOf(err) != row.want {
			t.Errorf("%s: %v, %v", row.why, texts, err)
		}
		if got := errors.Is(err, zip.ErrFormat); got != strings.HasSuffix(row.want, "not a zip archive") {
			t.Errorf("%s: zip.ErrFormat: %v", row.why, got)
		}
	}
}

var errDisk = errors.New("the disk is broken")

// brokenAt cannot read from some place on.
type brokenAt struct {
	io.ReaderAt
	from, to int64
}

func (b brokenAt) ReadAt(p []byte, at int64) (int, error) {
	if at < b.to && at+int64(len(p)) > b.from {
		return 0, errDisk
	}
	return b.ReaderAt.ReadAt(p, at)
}

func TestErrorsOfTheReaderStayAsTheyAre(t *testing.T) {
	body := append(bytes.Repeat([]byte{0}, 100<<10), makeZip(t, "a")...)
	size := int64(len(body))
	for why, broken := range map[string]brokenAt{
		"the directory": {bytes.NewReader(body), size - 1, size},
		"the data":      {bytes.NewReader(body), 100 << 10, 100<<10 + 1},
	} {
		if _, err := readAll(broken, size); !errors.Is(err, errDisk) || registry.KindOf(err) != registry.Fault {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func FuzzZip(f *testing.F) {
	f.Add(makeZip(f, "a", "b/c"))
	f.Add(comment(makeZip(f, "a", "a"), "words"))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := readAll(bytes.NewReader(body), int64(len(body))); err != nil && registry.KindOf(err) != registry.Invalid {
			t.Error(err)
		}
	})
}
