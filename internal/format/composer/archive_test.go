package composer

import (
	"archive/zip"
	"bytes"
	"io"
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
