package web

import "strings"

// The parts of forms, as templates take them.

// field is a text field.
type field struct {
	Name, Label, Hint, Kind string
	Value                   any
	Extra                   []string // attributes that are on: "required", "mono"; "autocomplete:username"
}

func newField(name, label string, value any, kind, hint string, extra ...string) field {
	return field{name, label, hint, kind, value, extra}
}

// Has tells whether something is said of the field.
func (f field) Has(extra string) bool {
	for _, one := range f.Extra {
		if one == extra {
			return true
		}
	}
	return false
}

// Attr is a value that is said of the field.
func (f field) Attr(name string) string {
	for _, one := range f.Extra {
		if value, ok := strings.CutPrefix(one, name+":"); ok {
			return value
		}
	}
	return ""
}

// selection is a field with choices.
type selection struct {
	Name, Label, Hint string
	Value             string
	Options           []option
}

type option struct{ Value, Label string }

func newSelect(name, label, hint string, value any, options ...option) selection {
	return selection{name, label, hint, asText(value), options}
}

// With is the field with other choices.
func (s selection) With(options ...option) selection {
	s.Options = options
	return s
}

func newOption(value any, label string) option { return option{asText(value), label} }

// confirmation is a form for what cannot be taken back: the name is typed first.
type confirmation struct{ Action, Name, Title, Text, Button string }

func newConfirm(action, name, title, text, button string) confirmation {
	return confirmation{action, name, title, text, button}
}

// copyLine is a text to be copied.
type copyLine struct{ Label, Text string }

func newCopyLine(label, text string) copyLine { return copyLine{label, text} }
