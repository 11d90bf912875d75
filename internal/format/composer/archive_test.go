package composer

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"testing"
)

// zipOf is an archive of names and contents in turn.
func zipOf(t testing.TB, members ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		file, err := archive.Create(members[i])
		if err == nil {
			_, err = io.WriteString(file, members[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Where the composer.json of an archive is looked for.
func TestReadZip(t *testing.T) {
	for what, row := range map[string]struct {
		members []string
		want    string
	}{
		"at the top":                   {[]string{"composer.json", "a", "src/x", "b"}, "a"},
		"in the one folder":            {[]string{"lib-1/src/x", "b", "lib-1/composer.json", "a"}, "a"},
		"in the one folder, with it":   {[]string{"lib-1/", "", "lib-1/composer.json", "a"}, "a"},
		"at the top before a folder":   {[]string{"lib/composer.json", "b", "composer.json", "a"}, "a"},
		"in one of two folders":        {[]string{"a/composer.json", "a", "b/x", "b"}, ""},
		"in a folder beside a file":    {[]string{"a/composer.json", "a", "README", "b"}, ""},
		"a folder called so":           {[]string{"composer.json/x", "a"}, ""},
		"nowhere":                      {[]string{"x", "a"}, ""},
		"with a name that it is not":   {[]string{"Composer.json", "a"}, ""},
		"an absolute path beside it":   {[]string{"composer.json", "a", "/x", "b"}, ""},
		"a path out of it beside it":   {[]string{"composer.json", "a", "src/../../x", "b"}, ""},
		"a drive of Windows beside it": {[]string{"composer.json", "a", "C:x", "b"}, ""},
	} {
		content := zipOf(t, row.members...)
		text, err := readZip(bytes.NewReader(content), int64(len(content)))
		if string(text) != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%s: %q, %v", what, text, err)
		}
	}
}

// No link leads out, also not by way of another one.
func TestLinks(t *testing.T) {
	for what, row := range map[string]struct {
		links   []string // names and targets in turn
		members []string
		want    bool
	}{
		"to a file beside it":               {[]string{"bin/a", "b"}, nil, true},
		"to a file above it":                {[]string{"x/y/a", "../../src/b"}, nil, true},
		"out":                               {[]string{"x/a", "../../b"}, nil, false},
		"to the root":                       {[]string{"a", "/etc"}, nil, false},
		"out by way of another one":         {[]string{"d/l", "..", "m", "d/l/../x"}, nil, false},
		"up behind a name":                  {[]string{"m", "d/../x"}, nil, false},
		"out of fewer folders than written": {[]string{"a//l", "../../x"}, nil, false},
		"with a file below it":              {[]string{"l", "d"}, []string{"l/file", "x"}, false},
		"with one below it by another path": {[]string{"l", "d"}, []string{"./l//e/file", "x"}, false},
		"with one below another name":       {[]string{"l", "d"}, []string{"ll/file", "x"}, true},
	} {
		var b bytes.Buffer
		archive := zip.NewWriter(&b)
		add := func(name, content string, mode fs.FileMode) {
			header := &zip.FileHeader{Name: name}
			header.SetMode(mode)
			file, err := archive.CreateHeader(header)
			if err == nil {
				_, err = io.WriteString(file, content)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		add("composer.json", "{}", 0o644)
		for i := 0; i < len(row.links); i += 2 {
			add(row.links[i], row.links[i+1], fs.ModeSymlink|0o777)
		}
		for i := 0; i < len(row.members); i += 2 {
			add(row.members[i], row.members[i+1], 0o644)
		}
		if err := archive.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := readZip(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if (err == nil) != row.want || err != nil && err != errMember {
			t.Errorf("a link %s: %v", what, err)
		}
	}
}
