package nuget

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"packhouse/internal/registry"
)

// The expressions of OData version 2 that NuGet's V2 feed is asked with
// (https://www.odata.org/documentation/odata-version-2-0/uri-conventions/): $filter, $orderby, $select, literals, and calls
// like Packages(Id='x',Version='v'). They are read by a lexer and one function for each rule of the grammar:
//
//	or         = and { "or" and }
//	and        = not { "and" not }
//	not        = "not" not | comparison
//	comparison = primary [ ( "eq" | "ne" | "lt" | "le" | "gt" | "ge" ) primary ]
//	primary    = "(" or ")" | literal | function "(" or { "," or } ")" | property
//
// Not of OData: arithmetic, paths, casts, and the collections of version 3; no client sends them to a package feed.
//
// Texts are compared without regard to case, as by the SQL servers behind NuGet's galleries; Version and
// NormalizedVersion in NuGet's order of versions. What is unknown is null, and neither less nor greater than anything.

// Bounds of an expression.
const (
	maxExpression = 16 << 10 // bytes
	maxNodes      = 1000
	maxLevels     = 200      // of parentheses: clients that ask for many ids put one pair around each "or"
	maxMade       = 16 << 10 // bytes of a text that a function puts together; a longer one is null
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

// eval is what the expression comes to for a version.
func (n *node) eval(e *feedEntry) value {
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

// ---- the lexer

type tokenKind byte

const (
	endToken    tokenKind = iota
	wordToken             // a name or an operator
	textToken             // 'it''s', without quotes
	numberToken           // with its suffix
	typedToken            // datetime'…': the prefix in lower case; its text is in literal
	symbolToken           // ( ) , =
)

type token struct {
	kind    tokenKind
	text    string
	literal string // of a typedToken
	at      int    // from 1, in characters
}

// parser reads one expression.
type parser struct {
	option string // what errors say that it is
	text   string
	next   int   // offset behind the token
	token  token // to be read
	nodes  int
	depth  int
}

func newParser(option, text string) (*parser, error) {
	p := &parser{option: option, text: text}
	switch {
	case len(text) > maxExpression:
		return nil, registry.Errorf(registry.Invalid, "%s is longer than %d bytes", option, maxExpression)
	case !utf8.ValidString(text):
		return nil, registry.Errorf(registry.Invalid, "%s is not UTF-8", option)
	}
	return p, p.advance()
}

// failf is an error at a position of the expression.
func (p *parser) failf(at int, format string, args ...any) error {
	e := registry.Errorf(registry.Invalid, format, args...)
	return registry.Errorf(registry.Invalid, "%s: %s at position %d", p.option, registry.MessageOf(e), at)
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// advance reads the next token.
func (p *parser) advance() error {
	for p.next < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.next]) >= 0 {
		p.next++
	}
	start := p.next
	p.token = token{at: utf8.RuneCountInString(p.text[:start]) + 1}
	if start == len(p.text) {
		return nil
	}
	switch c := p.text[start]; {
	case strings.IndexByte("(),=", c) >= 0:
		p.next++
		p.token.kind, p.token.text = symbolToken, p.text[start:p.next]
		return nil
	case c == '\'':
		text, err := p.quoted()
		p.token.kind, p.token.text = textToken, text
		return err
	case isDigit(c), c == '-' && start+1 < len(p.text) && isDigit(p.text[start+1]):
		for p.next++; p.next < len(p.text); p.next++ {
			c, before := p.text[p.next], p.text[p.next-1]
			if !isDigit(c) && c != '.' && !isLetter(c) && !((c == '-' || c == '+') && before|0x20 == 'e') {
				break
			}
		}
		p.token.kind, p.token.text = numberToken, p.text[start:p.next]
		return nil
	case isLetter(c):
		for p.next < len(p.text) && (isLetter(p.text[p.next]) || isDigit(p.text[p.next])) {
			p.next++
		}
		p.token.kind, p.token.text = wordToken, p.text[start:p.next]
		if p.next < len(p.text) && p.text[p.next] == '\'' {
			text, err := p.quoted()
			p.token.kind, p.token.text, p.token.literal = typedToken, strings.ToLower(p.token.text), text
			return err
		}
		return nil
	}
	r, _ := utf8.DecodeRuneInString(p.text[start:])
	return p.failf(p.token.at, "%q is not expected", r)
}

// quoted reads a text in quotes, in which two stand for one.
func (p *parser) quoted() (string, error) {
	var b strings.Builder
	for rest := p.text[p.next+1:]; ; {
		part, behind, closed := strings.Cut(rest, "'")
		if !closed {
			return "", p.failf(p.token.at, "the text that begins here has no closing quote")
		}
		b.WriteString(part)
		if !strings.HasPrefix(behind, "'") {
			p.next = len(p.text) - len(behind)
			return b.String(), nil
		}
		b.WriteByte('\'')
		rest = behind[1:]
	}
}

// is tells whether the token is a symbol or an operator.
func (p *parser) is(text string) bool {
	return p.token.text == text && (p.token.kind == symbolToken || p.token.kind == wordToken)
}

// expect reads a symbol.
func (p *parser) expect(symbol string) error {
	if !p.is(symbol) {
		return p.unexpected("%q", symbol)
	}
	return p.advance()
}

// unexpected is the error of a token that is not what should be there.
func (p *parser) unexpected(format string, args ...any) error {
	e := registry.Errorf(registry.Invalid, format, args...)
	return p.failf(p.token.at, "%s is expected, not %s", registry.MessageOf(e), p.token)
}

func (t token) String() string {
	switch t.kind {
	case endToken:
		return "the end"
	case textToken:
		return "the text " + strconv.Quote(clip(t.text))
	case typedToken:
		return strconv.Quote(clip(t.text + "'" + t.literal + "'"))
	}
	return strconv.Quote(clip(t.text))
}

// clip shortens a text for an error.
func clip(s string) string {
	if utf8.RuneCountInString(s) <= 64 {
		return s
	}
	return string([]rune(s)[:64]) + "…"
}

// ---- the grammar

// parseFilter reads a condition.
func parseFilter(option, text string) (*node, error) {
	p, err := newParser(option, text)
	if err != nil {
		return nil, err
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.token.kind != endToken {
		return nil, p.unexpected("the end")
	}
	return n, p.want(n, boolKind, "a condition")
}

// want checks the kind of a part. A version is a text, too.
func (p *parser) want(n *node, k kind, what string) error {
	if n.kind == k || n.kind == nullKind || k == textKind && n.kind == versionKind {
		return nil
	}
	return p.failf(n.at, "%s is expected, not a %s", what, n.kind)
}

// make counts the parts.
func (p *parser) make(n *node) (*node, error) {
	if p.nodes++; p.nodes > maxNodes {
		return nil, registry.Errorf(registry.Invalid, "%s has more than %d parts", p.option, maxNodes)
	}
	return n, nil
}

// deeper runs a rule one level below.
func (p *parser) deeper(rule func() (*node, error)) (*node, error) {
	if p.depth++; p.depth > maxLevels {
		return nil, p.failf(p.token.at, "there are more than %d levels", maxLevels)
	}
	defer func() { p.depth-- }()
	return rule()
}

func (p *parser) or() (*node, error)  { return p.connected("or", p.and) }
func (p *parser) and() (*node, error) { return p.connected("and", p.not) }

// connected reads conditions that a connective joins.
func (p *parser) connected(op string, rule func() (*node, error)) (*node, error) {
	first, err := rule()
	if err != nil || !p.is(op) {
		return first, err
	}
	n := &node{op: op, args: []*node{first}, kind: boolKind, at: first.at}
	for p.is(op) {
		if err := p.advance(); err != nil {
			return nil, err
		}
		next, err := rule()
		if err != nil {
			return nil, err
		}
		n.args = append(n.args, next)
	}
	for _, arg := range n.args {
		if err := p.want(arg, boolKind, "a condition"); err != nil {
			return nil, err
		}
	}
	return p.make(n)
}

func (p *parser) not() (*node, error) {
	if !p.is("not") {
		return p.comparison()
	}
	at := p.token.at
	if err := p.advance(); err != nil {
		return nil, err
	}
	arg, err := p.deeper(p.not)
	if err != nil {
		return nil, err
	}
	if err := p.want(arg, boolKind, "a condition"); err != nil {
		return nil, err
	}
	return p.make(&node{op: "not", args: []*node{arg}, kind: boolKind, at: at})
}

func (p *parser) comparison() (*node, error) {
	left, err := p.primary()
	if err != nil || p.token.kind != wordToken || !slices.Contains([]string{"eq", "ne", "lt", "le", "gt", "ge"}, p.token.text) {
		return left, err
	}
	op, at := p.token.text, p.token.at
	if err := p.advance(); err != nil {
		return nil, err
	}
	right, err := p.primary()
	if err != nil {
		return nil, err
	}
	for _, sides := range [][2]*node{{left, right}, {right, left}} {
		if v := sides[1]; sides[0].kind == versionKind && v.op == "literal" && v.kind == textKind {
			if parsed, ok := parseVersion(v.value.text); ok {
				v.kind, v.value = versionKind, versionValue(v.value.text, parsed)
			}
		}
	}
	switch {
	case left.kind == nullKind, right.kind == nullKind:
	case p.want(right, left.kind, "") != nil && p.want(left, right.kind, "") != nil:
		return nil, p.failf(at, "a %s and a %s are compared", left.kind, right.kind)
	case op != "eq" && op != "ne" && (left.kind == boolKind || left.kind == guidKind):
		return nil, p.failf(at, "a %s has no order", left.kind)
	}
	return p.make(&node{op: op, args: []*node{left, right}, kind: boolKind, at: left.at})
}

func (p *parser) primary() (*node, error) {
	t := p.token
	if p.is("(") {
		if err := p.advance(); err != nil {
			return nil, err
		}
		n, err := p.deeper(p.or)
		if err != nil {
			return nil, err
		}
		return n, p.expect(")")
	}
	if t.kind == wordToken && t.text != "true" && t.text != "false" && t.text != "null" {
		if err := p.advance(); err != nil {
			return nil, err
		}
		if p.is("(") {
			return p.call(t)
		}
		return p.field(t)
	}
	v, err := p.literal()
	if err != nil {
		return nil, err
	}
	return p.make(&node{op: "literal", value: v, kind: v.kind, at: t.at})
}

// field is the property that a word names.
func (p *parser) field(word token) (*node, error) {
	property := propertyByName(word.text)
	if property == nil {
		return nil, p.failf(word.at, "a package has no property %s", word)
	}
	return p.make(&node{op: "property", property: property, kind: property.kind, at: word.at})
}

// call reads what follows the name of a function.
func (p *parser) call(name token) (*node, error) {
	op := strings.ToLower(name.text)
	f, known := functions[op]
	if !known {
		return nil, p.failf(name.at, "the function %s is not known", name)
	}
	n := &node{op: op, kind: f.gives, at: name.at}
	for more := true; more; more = p.is(",") {
		if err := p.advance(); err != nil { // past the parenthesis, or the comma
			return nil, err
		}
		arg, err := p.deeper(p.or)
		if err != nil {
			return nil, err
		}
		if len(n.args) == len(f.takes) {
			return nil, p.failf(arg.at, "%s takes no more than %d values", op, len(f.takes))
		}
		if err := p.want(arg, f.takes[len(n.args)], "a "+string(f.takes[len(n.args)])); err != nil {
			return nil, err
		}
		n.args = append(n.args, arg)
	}
	if least := len(f.takes) - f.optional; len(n.args) < least {
		return nil, p.failf(p.token.at, "%s takes %d values", op, least)
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	return p.make(n)
}

// literal reads a literal.
func (p *parser) literal() (v value, err error) {
	t := p.token
	ok := true
	switch t.kind {
	case textToken:
		v = value{kind: textKind, text: t.text}
	case numberToken:
		v, ok = parseNumber(t.text)
	case typedToken:
		v, ok = parseTyped(t.text, t.literal)
	case wordToken:
		switch t.text {
		case "true", "false":
			v = boolValue(t.text == "true")
		case "null":
			v = null
		default:
			ok = false
		}
	default:
		return v, p.unexpected("a value")
	}
	if !ok {
		return v, p.failf(t.at, "%s is not a value", t)
	}
	return v, p.advance()
}

// parseNumber reads an Edm.Int32, Edm.Int64 (L), Edm.Decimal (M), Edm.Double (D) or Edm.Single (F).
func parseNumber(text string) (value, bool) {
	digits := strings.TrimRight(text, "LlMmDdFf")
	if len(text)-len(digits) > 1 {
		return value{}, false
	}
	if whole, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return numberValue(whole), true
	}
	if strings.Trim(digits, "0123456789.eE+-") != "" || strings.HasSuffix(strings.ToLower(text), "l") {
		return value{}, false // ParseFloat knows hexadecimals and underscores
	}
	n, err := strconv.ParseFloat(digits, 64)
	return value{kind: numberKind, number: n}, err == nil
}

// parseTyped reads datetime'2024-05-06T07:08:09.123', also with an offset and without seconds, or guid'…'.
func parseTyped(prefix, text string) (value, bool) {
	switch prefix {
	case "datetime", "datetimeoffset":
		for _, layout := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02"} {
			if t, err := time.Parse(layout, text); err == nil {
				return timeValue(t), true
			}
		}
	case "guid":
		digits := strings.ReplaceAll(text, "-", "")
		return value{kind: guidKind, text: text}, len(text) == 36 && len(digits) == 32 && strings.Trim(strings.ToLower(digits), "0123456789abcdef") == ""
	}
	return value{}, false
}

// orderTerm is a part of $orderby.
type orderTerm struct {
	node       *node
	descending bool
}

// parseOrder reads "Id desc,Version".
func parseOrder(option, text string) (order []orderTerm, err error) {
	p, err := newParser(option, text)
	for more := true; more && err == nil; {
		var term orderTerm
		if term.node, err = p.or(); err != nil {
			break
		}
		if p.is("asc") || p.is("desc") {
			term.descending = p.is("desc")
			err = p.advance()
		}
		order = append(order, term)
		if more = p.is(","); more && err == nil {
			err = p.advance()
		}
	}
	if err == nil && p.token.kind != endToken {
		err = p.unexpected(`"," or the end`)
	}
	return order, err
}

// orderValues are what a version is ordered by. Of long texts the beginning decides.
func orderValues(order []orderTerm, e *feedEntry) []value {
	values := make([]value, len(order))
	for i, term := range order {
		v := term.node.eval(e)
		v.text = strings.Clone(v.text[:min(len(v.text), 256)])
		values[i] = v
	}
	return values
}

// compareValues orders by what orderValues gave. What is not known comes first.
func compareValues(order []orderTerm, a, b []value) int {
	for i, term := range order {
		c := 0
		switch v, w := a[i], b[i]; {
		case v.kind != nullKind && w.kind != nullKind:
			c = v.compare(w)
		case v.kind != w.kind:
			c = btoi(v.kind != nullKind) - btoi(w.kind != nullKind)
		}
		if term.descending {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// parseSelect reads "Id,Version", or "*" for all: nil.
func parseSelect(option, text string) (selected []*property, err error) {
	if len(text) > maxExpression {
		return nil, registry.Errorf(registry.Invalid, "%s is longer than %d bytes", option, maxExpression)
	}
	all := false
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		property := propertyByName(name)
		switch {
		case name == "*":
			all = true
		case property == nil:
			return nil, registry.Errorf(registry.Invalid, "%s: a package has no property %q", option, clip(strings.ToValidUTF8(name, "\uFFFD")))
		case !slices.Contains(selected, property):
			selected = append(selected, property)
		}
	}
	if all {
		return nil, nil
	}
	return selected, nil
}

// call is a segment of a V2 path: Packages, Packages(), Packages(Id='x',Version='v').
type call struct {
	name string
	args map[string]string // by name in lower case; nil: none
}

// parseCall reads a segment, unescaped.
func parseCall(segment string) (c call, err error) {
	p, err := newParser("the path", segment)
	if err != nil {
		return c, err
	}
	if p.token.kind != wordToken {
		return c, p.unexpected("a name")
	}
	c.name = p.token.text
	if err := p.advance(); err != nil || p.token.kind == endToken {
		return c, err
	}
	if err := p.expect("("); err != nil {
		return c, err
	}
	for !p.is(")") {
		if c.args == nil {
			c.args = map[string]string{}
		} else if err := p.expect(","); err != nil {
			return c, err
		}
		name := p.token
		if name.kind != wordToken {
			return c, p.unexpected("a name")
		}
		if err := p.advance(); err != nil {
			return c, err
		}
		if err := p.expect("="); err != nil {
			return c, err
		}
		at := p.token.at
		v, err := p.literal()
		if err != nil {
			return c, err
		}
		if v.kind != textKind {
			return c, p.failf(at, "a string is expected, not a %s", v.kind)
		}
		key := strings.ToLower(name.text)
		if _, twice := c.args[key]; twice {
			return c, p.failf(name.at, "%s is given twice", name)
		}
		c.args[key] = v.text
	}
	if err := p.advance(); err != nil {
		return c, err
	}
	if p.token.kind != endToken {
		return c, p.unexpected("the end")
	}
	return c, nil
}

// parseArgument reads a parameter of an operation: 'x', or x, as some clients have it.
func parseArgument(option, text string) (string, error) {
	if !strings.HasPrefix(strings.TrimSpace(text), "'") {
		if len(text) > maxExpression || !utf8.ValidString(text) {
			return "", registry.Errorf(registry.Invalid, "%s is not UTF-8 of at most %d bytes", option, maxExpression)
		}
		return text, nil
	}
	p, err := newParser(option, text)
	if err != nil {
		return "", err
	}
	inner := p.token.text
	if err := p.advance(); err != nil {
		return "", err
	}
	if p.token.kind != endToken {
		return "", p.unexpected("the end")
	}
	return inner, nil
}

// ---- what SQL can do of a filter

// plan is a filter in the parts that the store can select by, and the rest.
type plan struct {
	ids            []string // in lower case: only these; nil: any
	latest         bool     // only the latest stable version of each id
	absoluteLatest bool     // only the latest version of each id
	stable         bool     // only versions without labels
	listed         bool     // only listed ones
	rest           *node    // what else must hold; nil: nothing
}

// planOf takes apart the conditions that a filter joins with "and".
func planOf(filter *node) (p plan) {
	var rest []*node
	for _, term := range conjunction(filter) {
		ids, some := term.ids()
		if some {
			p.ids = intersect(p.ids, ids)
		}
		name, is := term.isFlag()
		switch {
		case some && term.onlyIDs():
		case name == "IsLatestVersion" && is:
			p.latest = true
		case name == "IsAbsoluteLatestVersion" && is:
			p.absoluteLatest = true
		case name == "IsPrerelease" && !is && name != "":
			p.stable = true
		case name == "Listed" && is:
			p.listed = true
		default:
			rest = append(rest, term)
		}
	}
	switch len(rest) {
	case 0:
	case 1:
		p.rest = rest[0]
	default:
		p.rest = &node{op: "and", args: rest, kind: boolKind}
	}
	return p
}

// conjunction lists the conditions that "and" joins.
func conjunction(n *node) []*node {
	if n == nil {
		return nil
	}
	if n.op != "and" {
		return []*node{n}
	}
	var terms []*node
	for _, arg := range n.args {
		terms = append(terms, conjunction(arg)...)
	}
	return terms
}

// intersect are the ids in both; a nil a has all.
func intersect(a, b []string) []string {
	if a == nil {
		return b
	}
	return slices.DeleteFunc(slices.Clone(a), func(id string) bool { return !slices.Contains(b, id) })
}

// ids are those, in lower case and each once, of which one must be a package's for the condition to hold. ok: there are such.
func (n *node) ids() (ids []string, ok bool) {
	switch n.op {
	case "eq":
		for _, sides := range [][2]*node{{n.args[0], n.args[1]}, {n.args[1], n.args[0]}} {
			if sides[0].isID() && sides[1].op == "literal" && sides[1].kind == textKind {
				return []string{normalizeID(sides[1].value.text)}, true
			}
		}
	case "or":
		ids = []string{}
		for _, arg := range n.args {
			some, all := arg.ids()
			if !all {
				return nil, false
			}
			ids = append(ids, some...)
		}
		slices.Sort(ids)
		return slices.Compact(ids), true
	case "and":
		for _, arg := range n.args {
			if some, is := arg.ids(); is {
				ids, ok = intersect(ids, some), true
			}
		}
	}
	return ids, ok
}

// onlyIDs tells whether nothing else is said than what ids has.
func (n *node) onlyIDs() bool {
	if n.op == "and" || n.op == "or" {
		return !slices.ContainsFunc(n.args, func(arg *node) bool { return !arg.onlyIDs() })
	}
	_, ok := n.ids()
	return ok
}

// isID tells whether an expression is the id, in whatever case.
func (n *node) isID() bool {
	if (n.op == "tolower" || n.op == "toupper") && len(n.args) == 1 {
		return n.args[0].isID()
	}
	return n.op == "property" && n.property.name == "Id"
}

// isFlag tells of "Flag", "Flag eq true", "not Flag" and "Flag eq false" which property it is, and what it must be.
func (n *node) isFlag() (name string, is bool) {
	switch n.op {
	case "property":
		if n.kind == boolKind {
			return n.property.name, true
		}
	case "not":
		name, is = n.args[0].isFlag()
		return name, !is
	case "eq", "ne":
		for _, sides := range [][2]*node{{n.args[0], n.args[1]}, {n.args[1], n.args[0]}} {
			if v := sides[1]; v.op == "literal" && v.kind == boolKind {
				name, is = sides[0].isFlag()
				return name, is == (v.value.flag == (n.op == "eq"))
			}
		}
	}
	return "", false
}
