package npm

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"strings"
	"sync"
	"unicode/utf8"

	"packhouse/internal/registry"
)

// limits of one body, in bytes.
type limits struct {
	File     int64 // the tarball, after base64
	Metadata int64 // everything else in the document
}

// body is what a PUT of a package document says (npm registry, "package metadata" with _attachments). A value of
// another shape than clients send (null, an array for an object) counts as absent, except where noted.
type body struct {
	Name        string
	DistTags    map[string]string // tag to version; never nil
	Readme      string
	Versions    []version // in document order, without duplicates
	HasVersions bool      // the key was there
	Attachments int       // attachments whose key ends in .tgz: 0 or 1
}

// version is one member of versions. Only the first of a body keeps its manifest, whole and as it was sent, in valid
// UTF-8: a publish has one version; npm deprecate and unpublish send all of them, to change little.
type version struct {
	Version    string // the key; a "version" inside the manifest says the same
	Manifest   json.RawMessage
	Deprecated *string // nil: the key is absent; "" undoes, and so does whatever is not a string
}

// What a body is read with: bytes at once; brackets open at once in one value; keys of one object that is looked into,
// since many empty members take far more memory than their text.
const (
	wireWindow = 64 << 10
	wireDepth  = 1000
	wireKeys   = 100_000
)

// windows are the buffers of one reading. Small bodies are the most, and would make garbage of many times their size.
type windows struct {
	in, text [wireWindow]byte
	room     [wireWindow / 4 * 3]byte
}

var freeWindows = sync.Pool{New: func() any { return new(windows) }}

var (
	errJSON   = registry.Errorf(registry.Invalid, "Invalid json")
	errBase64 = registry.Errorf(registry.Invalid, "Attachment data is not base64.")
	errEmpty  = registry.Errorf(registry.Invalid, "Attachment data is empty.")
)

// readBody parses r to its end, in constant memory but for what it returns. For the one attachment whose key ends in
// ".tgz" it calls store with that key and a reader of the decoded tarball, which may come before or after the rest of
// the document and is good only during the call. Other attachments (".sigstore") are read past.
//
// Errors: Invalid for what is not JSON (RFC 8259), ends early, is not base64 (RFC 4648 section 4, padded, with line
// breaks allowed if escaped) or names a key twice; TooLarge over a limit. An error of r stays in the chain, and an
// error of store is returned at once, with the rest of r unread.
func readBody(r io.Reader, lim limits, store func(key string, tarball io.Reader) error) (*body, error) {
	w := freeWindows.Get().(*windows)
	defer freeWindows.Put(w)
	s := &scanner{in: r, end: lim.Metadata, windows: w, buf: w.in[:0]}
	b := &body{DistTags: map[string]string{}}
	ok := s.object(func(key string) {
		switch key {
		case "name":
			b.Name, _ = s.text()
		case "readme":
			b.Readme = s.prose()
		case "dist-tags":
			s.object(func(tag string) { b.readTag(s, tag) })
		case "versions":
			b.HasVersions = s.object(func(number string) { b.readVersion(s, number) })
		case "_attachments":
			s.object(func(key string) { b.readAttachment(s, key, lim.File, store) })
		default:
			s.skip()
		}
	})
	if !ok {
		s.fail(errJSON)
	}
	s.finish()
	if s.failed != nil {
		return nil, s.failed
	}
	return b, nil
}

// checkJSON reads one JSON value of so many bytes at most to the end of r, in constant memory. The errors are those of
// readBody.
func checkJSON(r io.Reader, limit int64) error {
	w := freeWindows.Get().(*windows)
	defer freeWindows.Put(w)
	s := &scanner{in: r, end: limit, windows: w, buf: w.in[:0]}
	s.skip()
	s.finish()
	return s.failed
}

func (b *body) readTag(s *scanner, tag string) {
	number, ok := s.text()
	if !ok {
		s.fail(registry.Errorf(registry.Invalid, "dist-tags should be an object of strings"))
	}
	b.DistTags[tag] = number
}

func (b *body) readVersion(s *scanner, number string) {
	v, inside := version{Version: number}, number
	object := false
	manifest := func() {
		object = s.object(func(key string) {
			switch key {
			case "version":
				inside, _ = s.text()
			case "deprecated":
				message := s.prose()
				v.Deprecated = &message
			default:
				s.skip()
			}
		})
	}
	s.token() // so that what is kept begins with the manifest, not with the white space before it
	if len(b.Versions) == 0 {
		v.Manifest = bytes.Clone(s.keep(manifest))
	} else {
		manifest()
	}
	switch {
	case !object:
		// Not as good as absent: what an unpublish does not list is removed.
		s.fail(registry.Errorf(registry.Invalid, "versions should be an object of manifests"))
	case !utf8.Valid(v.Manifest):
		s.fail(errJSON)
	case inside != number:
		s.fail(registry.Errorf(registry.Invalid, "versions lists version %.256q as %.256q", inside, number))
	default:
		b.Versions = append(b.Versions, v)
	}
}

func (b *body) readAttachment(s *scanner, key string, limit int64, store func(string, io.Reader) error) {
	if !strings.HasSuffix(key, ".tgz") {
		s.skip()
		return
	}
	if b.Attachments++; b.Attachments > 1 {
		s.fail(registry.Errorf(registry.Invalid, "The JSON upload has more than one .tgz attachment"))
		return
	}
	found := false
	s.object(func(field string) {
		if field != "data" || s.token() != '"' {
			s.skip()
			return
		}
		found = true
		s.tarball(limit, func(r io.Reader) error { return store(key, r) })
	})
	if !found {
		s.fail(errEmpty)
	}
}

// tarball reads the base64 string that is next, at most limit bytes when decoded, through store. The string is not
// metadata: where the document may end moves on by its length.
func (s *scanner) tarball(limit int64, store func(io.Reader) error) {
	if s.spent(); s.failed != nil {
		return
	}
	start, end := s.offset(), s.end
	s.end = math.MaxInt64
	s.at++ // the opening quote
	t := &tarballReader{s: s, left: limit, text: s.windows.text[:0], room: s.windows.room[:]}
	// The first bytes are decoded before anybody makes room for a file.
	if t.err = t.decode(); t.err == io.EOF && len(t.out) == 0 {
		s.fail(errEmpty)
	}
	if s.failed != nil {
		return
	}
	if err := store(t); err != nil {
		s.fail(err)
		return
	}
	// What store left unread is still to be checked. An error that it did not mind has failed s.
	io.Copy(io.Discard, t)
	s.end = end + s.offset() - start
}

// tarballReader decodes the base64 string that s stands in. It works in two steps, so that escapes anywhere (PHP
// writes "\/", others wrap lines with "\n") do not break the stride: gather the characters, decode them a windowful
// at a time.
type tarballReader struct {
	s      *scanner
	left   int64  // bytes that the tarball may still have
	text   []byte // characters gathered and not decoded yet
	room   []byte // what out is a part of
	out    []byte // bytes decoded and not read yet
	breaks int    // line breaks in a row
	padded bool   // the padding that ends base64 has been
	err    error  // what comes after out: io.EOF once the closing quote is consumed
}

func (t *tarballReader) Read(p []byte) (int, error) {
	for len(t.out) == 0 {
		if t.err != nil {
			return 0, t.err
		}
		t.err = t.decode()
	}
	n := copy(p, t.out)
	t.out = t.out[n:]
	return n, nil
}

// decode fills out. It returns io.EOF with the last of it, and any other error, which fails the scanner too, alone.
func (t *tarballReader) decode() error {
	ended := t.gather()
	whole := t.text[:len(t.text)&^3]
	n, err := base64.StdEncoding.Strict().Decode(t.room, whole)
	switch {
	case err != nil, ended && len(whole) < len(t.text), t.padded && len(t.text) > 0:
		t.s.fail(errBase64)
	case int64(n) > t.left:
		t.s.fail(registry.Errorf(registry.TooLarge, "File is too large."))
	}
	if t.s.failed != nil {
		return t.s.failed
	}
	t.padded = n < len(whole)/4*3
	t.left -= int64(n)
	t.out = t.room[:n]
	t.text = t.text[:copy(t.text, t.text[len(whole):])]
	if ended {
		return io.EOF
	}
	return nil
}

// gather appends to text until it is full or the string, whose closing quote it consumes, has ended.
func (t *tarballReader) gather() (ended bool) {
	s := t.s
	for len(t.text) < cap(t.text) {
		c := s.peek()
		switch {
		case s.failed != nil:
			return false
		case c == '"':
			s.at++
			return true
		case c == '\\':
			r := s.escape()
			switch {
			case r != '\n' && r != '\r':
				t.text = append(t.text, byte(min(r, utf8.RuneSelf))) // RuneSelf is not base64 either
				t.breaks = 0
			case t.breaks < 2: // CR, LF, or both
				t.breaks++
			default: // a body of nothing but line breaks would never reach a limit
				s.fail(errBase64)
			}
		default:
			run := s.buf[s.at:]
			run = run[:min(len(run), cap(t.text)-len(t.text))]
			// The backslash first: each search then begins where the last one ended, however many there are.
			if i := bytes.IndexByte(run, '\\'); i >= 0 {
				run = run[:i]
			}
			if i := bytes.IndexByte(run, '"'); i >= 0 {
				run = run[:i]
			}
			// encoding/base64 reads past line breaks, which a JSON string has only as escapes. Every other control
			// character it refuses.
			if bytes.IndexByte(run, '\n') >= 0 || bytes.IndexByte(run, '\r') >= 0 {
				s.fail(errJSON)
			}
			t.text = append(t.text, run...)
			t.breaks = 0
			s.at += len(run)
		}
	}
	return false
}

// scanner reads one JSON text (RFC 8259) forward, once, through a window; encoding/json would hold the whole of each
// string. It is strict, and it does not recurse with its input.
//
// The first failure stays: from then on the next byte is 0, which no grammar has, so that every loop comes to its end.
type scanner struct {
	in      io.Reader
	windows *windows
	failed  error
	end     int64  // offset, in bytes, that the document may reach
	passed  int64  // bytes that have left the window
	buf     []byte // the window: buf[at:] is read and not consumed yet
	at      int
	after   error           // what in returned with the window
	keeping int             // calls of keep under way
	kept    []byte          // what they keep of former windows
	from    int             // where in buf the rest of it begins
	open    [wireDepth]byte // room for skip
}

func (s *scanner) fail(err error) {
	if s.failed == nil {
		s.failed = err
	}
}

// offset is how many bytes are consumed.
func (s *scanner) offset() int64 { return s.passed + int64(s.at) }

// spent fails when the document has outgrown its limit.
func (s *scanner) spent() {
	if s.offset() > s.end {
		s.fail(registry.Errorf(registry.TooLarge, "The JSON upload is too large without its tarball"))
	}
}

// fill replaces the window, all consumed, by the next one, and tells whether there is one. The end of the input is no
// failure yet.
func (s *scanner) fill() bool {
	if s.spent(); s.failed != nil {
		return false
	}
	if s.keeping > 0 {
		s.kept = append(s.kept, s.buf[s.from:]...)
	}
	s.passed += int64(len(s.buf))
	s.buf, s.at, s.from = s.buf[:0], 0, 0
	for tries := 0; s.after == nil && len(s.buf) == 0; tries++ {
		var n int
		n, s.after = s.in.Read(s.buf[:cap(s.buf)])
		s.buf = s.buf[:n]
		if n == 0 && s.after == nil && tries == 100 {
			s.after = io.ErrNoProgress
		}
	}
	switch {
	case len(s.buf) > 0:
		return true
	case s.after == io.ErrUnexpectedEOF:
		s.cut()
	case s.after != io.EOF:
		s.fail(s.after)
	}
	return false
}

// cut fails for a body that ends before its document does.
func (s *scanner) cut() {
	s.fail(&registry.Error{
		Kind: registry.Invalid, Message: "Invalid json: the body ends early", Err: io.ErrUnexpectedEOF,
	})
}

// peek is the next byte, not consumed.
func (s *scanner) peek() byte {
	switch {
	case s.failed != nil:
		return 0
	case s.at == len(s.buf) && !s.fill():
		s.cut()
		return 0
	}
	return s.buf[s.at]
}

// token is the next byte that is not white space, not consumed.
func (s *scanner) token() byte {
	for {
		c := s.peek()
		if !isSpace(c) {
			return c
		}
		s.at++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// expect consumes the token want.
func (s *scanner) expect(want byte) {
	if s.token() != want {
		s.fail(errJSON)
		return
	}
	s.at++
}

// finish reads to the end of the input, which has nothing more but white space.
func (s *scanner) finish() {
	for s.failed == nil {
		switch {
		case s.at == len(s.buf):
			if !s.fill() {
				return
			}
		case !isSpace(s.buf[s.at]):
			s.fail(errJSON)
		default:
			s.at++
		}
	}
}

// keep calls read and returns the bytes that it consumed. They are good until the next call of keep, other than those
// that read makes.
func (s *scanner) keep(read func()) []byte {
	if s.keeping == 0 {
		s.kept, s.from = s.kept[:0], s.at
	}
	start := len(s.kept) + s.at - s.from
	s.keeping++
	read()
	s.keeping--
	s.kept = append(s.kept, s.buf[s.from:s.at]...)
	s.from = s.at
	return s.kept[start:]
}

// object consumes a value. If that is an object, it calls member with each key, standing before the member's value,
// which member consumes. A key that is there twice fails: parsers disagree on which of two counts, and what is checked
// here must be what others read.
func (s *scanner) object(member func(key string)) bool {
	if s.token() != '{' {
		s.skip()
		return false
	}
	s.at++
	if s.token() == '}' {
		s.at++
		return true
	}
	for seen := map[string]bool{}; s.failed == nil; {
		key, ok := s.text()
		switch {
		case !ok:
			s.fail(errJSON)
		case seen[key]:
			s.fail(registry.Errorf(registry.Invalid, "%.256q is in the JSON upload twice", key))
		case len(seen) == wireKeys:
			s.fail(registry.Errorf(registry.TooLarge, "An object of the JSON upload has more than %d keys", wireKeys))
		}
		seen[key] = true
		if s.expect(':'); s.failed != nil {
			break
		}
		member(key)
		switch s.token() {
		case ',':
			s.at++
		case '}':
			s.at++
			return true
		default:
			s.fail(errJSON)
		}
	}
	return false
}

// text consumes a value and returns it if it is a string.
func (s *scanner) text() (text string, ok bool) {
	if s.token() != '"' {
		s.skip()
		return "", false
	}
	raw := s.keep(s.quoted)
	switch {
	case s.failed != nil:
	case !utf8.Valid(raw):
		s.fail(errJSON)
	case bytes.IndexByte(raw, '\\') < 0:
		text = string(raw[1 : len(raw)-1])
	case json.Unmarshal(raw, &text) != nil:
		s.fail(errJSON)
	}
	return text, s.failed == nil
}

// prose is text for people: it has no NUL, which a README saved as UTF-16 is full of and which not every database
// takes.
func (s *scanner) prose() string {
	text, _ := s.text()
	return strings.ReplaceAll(text, "\x00", "")
}

// skip consumes a value of any kind.
func (s *scanner) skip() {
	open := s.open[:0] // the closing brackets that are due
	for s.failed == nil {
		switch c := s.token(); c {
		case '{', '[':
			if len(open) == cap(open) {
				s.fail(errJSON)
				return
			}
			s.at++
			open = append(open, c+2) // in ASCII each pair of brackets is two apart
			if s.token() != c+2 {
				s.member(c + 2)
				continue
			}
		case '"':
			s.quoted()
		default:
			s.scalar()
		}
		// A value has ended, and with it perhaps those that it is in.
		for len(open) > 0 && s.token() == open[len(open)-1] {
			s.at++
			open = open[:len(open)-1]
		}
		if len(open) == 0 {
			return
		}
		s.expect(',')
		s.member(open[len(open)-1])
	}
}

// member consumes what stands before a value inside the bracket that closing ends: a key, in an object.
func (s *scanner) member(closing byte) {
	if closing == '}' {
		if s.token() != '"' {
			s.fail(errJSON)
			return
		}
		s.quoted()
		s.expect(':')
	}
}

// maxScalar is the length of a number, far more than any that means something, in bytes.
const maxScalar = 1 << 10

// scalar consumes a number, true, false or null.
func (s *scanner) scalar() {
	raw := s.keep(func() {
		for length := 0; length < maxScalar && strings.IndexByte("0123456789+-.eEtrufalsn", s.peek()) >= 0; length++ {
			s.at++
		}
	})
	if !json.Valid(raw) {
		s.fail(errJSON)
	}
}

// quoted consumes a string, whose opening quote is next.
func (s *scanner) quoted() {
	for s.at++; ; {
		switch c := s.peek(); {
		case c == '"':
			s.at++
			return
		case c == '\\':
			s.escape()
		case c < ' ': // as after a failure
			s.fail(errJSON)
			return
		default:
			for s.at < len(s.buf) && s.buf[s.at] >= ' ' && s.buf[s.at] != '"' && s.buf[s.at] != '\\' {
				s.at++
			}
		}
	}
}

// escape consumes an escape in a string and returns what it stands for: for \u, one unit of UTF-16.
func (s *scanner) escape() (r rune) {
	s.at++ // the backslash
	c := s.peek()
	i := strings.IndexByte(`"\/bfnrtu`, c)
	if i < 0 {
		s.fail(errJSON)
		return 0
	}
	s.at++
	if c != 'u' {
		return rune("\"\\/\b\f\n\r\t"[i])
	}
	for range 4 {
		digit := strings.IndexByte("0123456789abcdefABCDEF", s.peek())
		switch {
		case digit < 0:
			s.fail(errJSON)
			return 0
		case digit >= 16:
			digit -= 6
		}
		r = r<<4 | rune(digit)
		s.at++
	}
	return r
}
