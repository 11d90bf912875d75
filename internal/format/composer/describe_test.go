package composer

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestFindReadme(t *testing.T) {
	for what, test := range map[string]struct {
		named string // by composer.json
		files []string
		want  string
	}{
		"beside it":               {"", []string{"composer.json", "{}", "ReadMe.md", "a"}, "ReadMe.md"},
		"the best of several":     {"", []string{"composer.json", "{}", "README", "a", "README.rst", "b", "README.md", "c"}, "README.md"},
		"in the one folder":       {"", []string{"lib/README.md", "a", "lib/composer.json", "{}"}, "README.md"},
		"not elsewhere":           {"", []string{"composer.json", "{}", "docs/README.md", "a"}, ""},
		"the one that is named":   {"./docs/start.txt", []string{"composer.json", "{}", "README.md", "a", "docs/start.txt", "b"}, "docs/start.txt"},
		"named, in a folder":      {"start.md", []string{"lib/composer.json", "{}", "lib/start.md", "a", "start.md", "b"}, "start.md"},
		"named, but not there":    {"start.md", []string{"composer.json", "{}", "README.md", "a"}, "README.md"},
		"named out of the folder": {"../start.md", []string{"lib/composer.json", "{}", "start.md", "a"}, ""},
		"a folder":                {"docs/", []string{"composer.json", "{}", "docs/", ""}, ""},
	} {
		named, err := json.Marshal(test.named)
		if err != nil {
			t.Fatal(err)
		}
		content := zipOf(t, test.files...)
		name, text := findReadme(bytes.NewReader(content), int64(len(content)), &manifest{fields: map[string]json.RawMessage{"readme": named}})
		if name != test.want {
			t.Errorf("%s: %q, want %q", what, name, test.want)
		}
		if (name == "") != (len(text) == 0) {
			t.Errorf("%s: %q has the text %q", what, name, text)
		}
	}
}

// Whatever an archive or a stored fragment holds, a README is bounded and a description is one.
func FuzzDescribe(f *testing.F) {
	f.Add(zipOf(f, "composer.json", "{}", "README.md", "# A"), []byte(`{"manifest":{"description":"A","license":["MIT"],"authors":[{"name":1}],"support":[],"require":{"php":"8"}},"readme":"README.md"}`))
	f.Add([]byte("PK"), []byte(`{"manifest":null,"source":true}`))
	f.Fuzz(func(t *testing.T, content, stored []byte) {
		if _, text := findReadme(bytes.NewReader(content), int64(len(content)), &manifest{}); len(text) > maxReadme {
			t.Errorf("a README of %d bytes", len(text))
		}
		d, err := describe(nil, func(variant string) ([]byte, error) {
			if variant == readme {
				return content, nil
			}
			return stored, nil
		})
		if err != nil || d == nil {
			t.Errorf("%v, %v", d, err)
		}
	})
}
