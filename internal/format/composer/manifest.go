package composer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// manifest is a composer.json.
type manifest struct {
	fields      map[string]json.RawMessage
	name        string // as it is written
	version     string // "": it names none
	description string
	kind        string // its type
	keywords    []string
}

const (
	maxManifest = 1 << 20 // bytes of a composer.json
	// maxDepth of its values. PHP's json_decode reads 512 levels, of which the document around it takes some.
	maxDepth = 100
)

// refusal is an error that is answered with its sentence alone, as GitLab's services do.
type refusal struct {
	status  int
	message string
}

func (e *refusal) Error() string { return e.message }

var (
	errNoManifest = &refusal{http.StatusUnprocessableEntity, "The file composer.json was not found."}
	errNotJSON    = &refusal{http.StatusUnprocessableEntity, "Could not parse composer.json file. Invalid JSON."}
)

// failed is the refusal of what breaks a rule.
func failed(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, "Validation failed: " + fmt.Sprintf(format, args...)}
}

// shape is what the value of a field must be, or else Composer cannot read it, and with it no other version of the name.
type shape int

const (
	aString      shape = iota
	object             // of anything; PHP's [] is an empty one too
	texts              // object of strings
	constraints        // object of constraints
	list               // of anything
	stringList         // a list of strings
	oneOrMore          // a string, or a list of strings
	listOrObject       //
	flagOrString       //
	aFlag              //
	people             // a list of objects
)

// shapes of the fields that Composer looks at (ArrayLoader). Others are kept as they are.
var shapes = map[string]shape{
	"name": aString, "version": aString, "description": aString, "type": aString, "homepage": aString, "readme": aString, "time": aString,
	"target-dir": aString, "minimum-stability": aString, "prefer-stable": aFlag,
	"require": constraints, "require-dev": constraints, "conflict": constraints, "replace": constraints, "provide": constraints, "suggest": texts,
	"autoload": object, "autoload-dev": object, "extra": object, "support": object, "config": object, "scripts": object, "scripts-descriptions": texts, "archive": object,
	"keywords": stringList, "include-path": stringList, "bin": oneOrMore, "license": oneOrMore, "authors": people, "funding": people,
	"repositories": listOrObject, "abandoned": flagOrString, "php-ext": object,
}

// fits says what is wrong with a value, or "".
func (s shape) fits(value json.RawMessage) string {
	kind := value[0]
	empty := bytes.Equal(value, []byte("[]"))
	items := func(want byte, what string) string {
		var all []json.RawMessage
		if json.Unmarshal(value, &all) != nil {
			return "must be a list"
		}
		for _, one := range all {
			if one[0] != want {
				return "must be a list of " + what
			}
		}
		return ""
	}
	switch s {
	case aString:
		if kind != '"' {
			return "must be a string"
		}
	case aFlag:
		if kind != 't' && kind != 'f' {
			return "must be true or false"
		}
	case flagOrString:
		if kind != 't' && kind != 'f' && kind != '"' {
			return "must be true, false or a string"
		}
	case object:
		if kind != '{' && !empty {
			return "must be an object"
		}
	case texts, constraints:
		if empty {
			return ""
		}
		var all map[string]json.RawMessage
		if json.Unmarshal(value, &all) != nil || kind != '{' {
			return "must be an object"
		}
		for key, one := range all {
			var text string
			switch {
			case one[0] != '"' || json.Unmarshal(one, &text) != nil:
				return fmt.Sprintf("must have a string for %.100q", key)
			case s == constraints && !validConstraint(text):
				return fmt.Sprintf("has a constraint for %.100q that Composer cannot read: %.100q", key, text)
			}
		}
	case list:
		if kind != '[' {
			return "must be a list"
		}
	case listOrObject:
		if kind != '[' && kind != '{' {
			return "must be a list or an object"
		}
	case stringList:
		return items('"', "strings")
	case oneOrMore:
		if kind != '"' {
			return items('"', "strings")
		}
	case people:
		return items('{', "objects")
	}
	return ""
}

// readManifest reads and checks a composer.json.
func readManifest(text []byte) (*manifest, error) {
	m := &manifest{}
	if !utf8.Valid(text) || tooDeep(text) || json.Unmarshal(text, &m.fields) != nil || m.fields == nil {
		return nil, errNotJSON
	}
	for field, value := range m.fields {
		var compact bytes.Buffer
		if err := json.Compact(&compact, value); err != nil {
			return nil, errNotJSON
		}
		value = compact.Bytes()
		if m.fields[field] = value; value[0] == 'n' { // as if it were not there
			delete(m.fields, field)
		}
	}
	textOf := func(field string) (text string) {
		json.Unmarshal(m.fields[field], &text) // "" where it is not there
		return text
	}
	if value, there := m.fields["name"]; !there || value[0] == '"' && strings.TrimSpace(textOf("name")) == "" {
		return nil, failed("Name can't be blank, Name is invalid")
	}
	for field, value := range m.fields {
		if s, known := shapes[field]; known {
			if wrong := s.fits(value); wrong != "" {
				return nil, failed("composer.json is invalid: %s %s", field, wrong)
			}
		}
	}
	m.name, m.version, m.description, m.kind = textOf("name"), textOf("version"), textOf("description"), textOf("type")
	if !validName(m.name) {
		return nil, failed("Name is invalid: %.100q is not vendor/name in lower case", m.name)
	}
	if m.kind == "" {
		m.kind = "library"
	}
	json.Unmarshal(m.fields["keywords"], &m.keywords) // their shape was looked at
	if err := m.checkAliases(); err != nil {
		return nil, err
	}
	return m, nil
}

// checkAliases looks at extra.branch-alias, which Composer reads as an object of versions.
func (m *manifest) checkAliases() error {
	var extra map[string]json.RawMessage
	if json.Unmarshal(m.fields["extra"], &extra) != nil || extra["branch-alias"] == nil {
		return nil // none, or []
	}
	if wrong := texts.fits(extra["branch-alias"]); wrong != "" {
		return failed("composer.json is invalid: extra.branch-alias %s", wrong)
	}
	return nil
}

// tooDeep tells whether the values of a JSON text are nested too deep.
func tooDeep(text []byte) bool {
	depth, inString, escaped := 0, false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped = c == '\\'
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// words are those by which a version is found, with its type as a word of its own.
func (m *manifest) words() string {
	return m.description + "\n" + strings.Join(m.keywords, "\n") + "\n" + typeWord(m.kind)
}

// typeWord is the word by which packages of a type are found.
func typeWord(kind string) string { return "type:" + strings.ToLower(kind) + ";" }
