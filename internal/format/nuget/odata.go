package nuget

import (
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
	maxOrder      = 8        // terms of $orderby: their values are kept for each version
)

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
		if len(order) == maxOrder {
			return nil, registry.Errorf(registry.Invalid, "%s has more than %d terms", option, maxOrder)
		}
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
