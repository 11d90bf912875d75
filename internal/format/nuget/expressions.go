package nuget

import (
	"cmp"
	"strings"
	"time"
	"unicode/utf8"
)

// kind is the type of a value.
type kind string

// The kinds. Of versions both the spelling and the order are known.
const (
	nullKind    kind = "null"
	boolKind    kind = "bool"
	numberKind  kind = "number"
	textKind    kind = "string"
	versionKind kind = "version"
	timeKind    kind = "datetime"
	guidKind    kind = "guid"
)

// value is what an expression comes to. The zero value is not one; null is value{kind: nullKind}.
type value struct {
	kind    kind
	flag    bool
	number  float64
	text    string // also of versions and guids
	time    time.Time
	version version
}

var null = value{kind: nullKind}

func boolValue(b bool) value { return value{kind: boolKind, flag: b} }

func numberValue[T ~int | ~int64](n T) value { return value{kind: numberKind, number: float64(n)} }

func timeValue(t time.Time) value { return value{kind: timeKind, time: t} }

// textValue is a text; an empty one is null, as a .nuspec knows no difference.
func textValue(s string) value {
	if s == "" {
		return null
	}
	return value{kind: textKind, text: s}
}

func versionValue(text string, v version) value {
	return value{kind: versionKind, text: text, version: v}
}

// compare orders two values of kinds that can be compared, none of them null.
func (v value) compare(w value) int {
	switch v.kind {
	case boolKind:
		return cmp.Compare(btoi(v.flag), btoi(w.flag))
	case numberKind:
		return cmp.Compare(v.number, w.number)
	case timeKind:
		return v.time.Compare(w.time)
	case versionKind:
		if w.kind == versionKind {
			return v.version.compare(w.version)
		}
	}
	return strings.Compare(strings.ToLower(v.text), strings.ToLower(w.text))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// node is a part of an expression.
type node struct {
	op       string // a connective, a comparison, a function; "literal", "property"
	args     []*node
	value    value     // of a literal
	property *property // of a property
	kind     kind      // of what it comes to; null may always come instead
	at       int       // position in the text, from 1
}

// eval is what the expression comes to for a version. It counts the effort: each text is looked at where it comes to.
func (n *node) eval(e *feedEntry) value {
	v := n.compute(e)
	e.effort += int64(effortOfPart + len(v.text))
	return v
}

func (n *node) compute(e *feedEntry) value {
	switch n.op {
	case "literal":
		return n.value
	case "property":
		return n.property.value(e)
	case "not":
		v := n.args[0].eval(e)
		if v.kind == boolKind {
			v.flag = !v.flag
		}
		return v
	case "and", "or": // decided by the first that is false, or true; null when the rest leaves it open
		decides, result := n.op == "or", boolValue(n.op == "and")
		for _, arg := range n.args {
			switch v := arg.eval(e); {
			case v.kind == nullKind:
				result = null
			case v.flag == decides:
				return v
			}
		}
		return result
	}
	if f, ok := functions[n.op]; ok {
		args := make([]value, len(n.args))
		for i, arg := range n.args {
			if args[i] = arg.eval(e); args[i].kind == nullKind {
				return null
			}
		}
		return f.apply(args)
	}
	a, b := n.args[0].eval(e), n.args[1].eval(e)
	unknown := a.kind == nullKind || b.kind == nullKind
	switch n.op {
	case "eq":
		return boolValue(unknown && a.kind == b.kind || !unknown && a.compare(b) == 0)
	case "ne":
		return boolValue(unknown && a.kind != b.kind || !unknown && a.compare(b) != 0)
	}
	if unknown {
		return boolValue(false)
	}
	c := a.compare(b)
	return boolValue(n.op == "lt" && c < 0 || n.op == "le" && c <= 0 || n.op == "gt" && c > 0 || n.op == "ge" && c >= 0)
}

// holds tells whether a condition is true of a version. Nil is true of all.
func (n *node) holds(e *feedEntry) bool {
	return n == nil || n.eval(e).flag
}

// ---- functions

// function is one that a filter may call. apply gets values that are not null.
type function struct {
	takes    []kind
	optional int // how many of them, at the end
	gives    kind
	apply    func([]value) value
}

var functions = map[string]function{
	"tolower":     text1(strings.ToLower),
	"toupper":     text1(strings.ToUpper),
	"trim":        text1(strings.TrimSpace),
	"substringof": text2(func(part, whole string) bool { return strings.Contains(whole, part) }),
	"startswith":  text2(strings.HasPrefix),
	"endswith":    text2(strings.HasSuffix),
	"length": {takes: []kind{textKind}, gives: numberKind, apply: func(v []value) value {
		return numberValue(utf8.RuneCountInString(v[0].text))
	}},
	"indexof": {takes: []kind{textKind, textKind}, gives: numberKind, apply: func(v []value) value {
		whole := strings.ToLower(v[0].text)
		at := strings.Index(whole, strings.ToLower(v[1].text))
		if at > 0 {
			at = utf8.RuneCountInString(whole[:at])
		}
		return numberValue(at)
	}},
	"concat": {takes: []kind{textKind, textKind}, gives: textKind, apply: func(v []value) value {
		return made(len(v[0].text)+len(v[1].text), func() string { return v[0].text + v[1].text })
	}},
	"replace": {takes: []kind{textKind, textKind, textKind}, gives: textKind, apply: func(v []value) value {
		if v[1].text == "" {
			return v[0]
		}
		size := len(v[0].text) + strings.Count(v[0].text, v[1].text)*(len(v[2].text)-len(v[1].text))
		return made(size, func() string { return strings.ReplaceAll(v[0].text, v[1].text, v[2].text) })
	}},
	"substring": {takes: []kind{textKind, numberKind, numberKind}, optional: 1, gives: textKind, apply: func(v []value) value {
		runes := []rune(v[0].text)
		from := int(min(max(v[1].number, 0), float64(len(runes))))
		to := len(runes)
		if len(v) > 2 {
			to = from + int(min(max(v[2].number, 0), float64(to-from)))
		}
		return value{kind: textKind, text: string(runes[from:to])}
	}},
	"year":   timePart(func(t time.Time) int { return t.Year() }),
	"month":  timePart(func(t time.Time) int { return int(t.Month()) }),
	"day":    timePart(func(t time.Time) int { return t.Day() }),
	"hour":   timePart(func(t time.Time) int { return t.Hour() }),
	"minute": timePart(func(t time.Time) int { return t.Minute() }),
	"second": timePart(func(t time.Time) int { return t.Second() }),
}

func text1(f func(string) string) function {
	return function{takes: []kind{textKind}, gives: textKind, apply: func(v []value) value { return value{kind: textKind, text: f(v[0].text)} }}
}

func text2(f func(string, string) bool) function {
	return function{takes: []kind{textKind, textKind}, gives: boolKind, apply: func(v []value) value {
		return boolValue(f(strings.ToLower(v[0].text), strings.ToLower(v[1].text)))
	}}
}

func timePart(f func(time.Time) int) function {
	return function{takes: []kind{timeKind}, gives: numberKind, apply: func(v []value) value { return numberValue(f(v[0].time.UTC())) }}
}

// made is a text of so many bytes, unless they are too many: functions inside functions would make it grow without end.
func made(size int, text func() string) value {
	if size > maxMade {
		return null
	}
	return value{kind: textKind, text: text()}
}
