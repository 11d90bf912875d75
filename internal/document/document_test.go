package document_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"packhouse/internal/document"
	"packhouse/internal/registry"
)

const text = `{"name":"pack","versions":{}}`

var modified = time.Date(2031, 2, 3, 4, 5, 6, 789_000_000, time.FixedZone("", 3600))

func key(revision int64) document.Key {
	return document.MakeKey(registry.NPM, "full", "pack", "https://example.org/api", []registry.Revision{{ProjectID: 1, EntryID: 2, Revision: revision}})
}

// builder makes requests for documents and counts how often they are built.
type builder struct {
	builds atomic.Int64
	err    error
}

func (b *builder) request(k document.Key, content string) document.Request {
	return document.Request{Key: k, ContentType: "application/json", Build: func(_ context.Context, w io.Writer) (document.Built, error) {
		b.builds.Add(1)
		if b.err != nil {
			return document.Built{}, b.err
		}
		_, err := io.WriteString(w, content)
		return document.Built{Key: k, Modified: modified}, err
	}}
}

func (b *builder) want(t *testing.T, what string, builds int64) {
	t.Helper()
	if n := b.builds.Load(); n != builds {
		t.Errorf("%s: built %d times, want %d", what, n, builds)
	}
}

// get asks for a document; headers are names and values in turn.
func get(t *testing.T, c *document.Cache, request document.Request, method string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "/pack", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	if err := c.Serve(w, r, request); err != nil {
		t.Fatal(err)
	}
	return w.Result()
}

// plain reads a response's body, uncompressed.
func plain(t *testing.T, response *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if length := response.Header.Get("Content-Length"); length != fmt.Sprint(len(body)) {
		t.Errorf("Content-Length is %s, the body has %d bytes", length, len(body))
	}
	if response.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body, err = io.ReadAll(zip); err != nil {
			t.Fatal(err)
		}
	}
	return string(body)
}

func TestServe(t *testing.T) {
	c, b := document.NewCache(1<<20), &builder{}
	for i, encoding := range []string{"gzip", "identity", "gzip"} {
		response := get(t, c, b.request(key(1), text), http.MethodGet, "Accept-Encoding", encoding)
		if body := plain(t, response); response.StatusCode != http.StatusOK || body != text {
			t.Errorf("%s: %d %q", encoding, response.StatusCode, body)
		}
		for header, want := range map[string]string{
			"Content-Type":     "application/json",
			"Last-Modified":    "Mon, 03 Feb 2031 03:05:06 GMT",
			"Vary":             "Accept, Accept-Encoding, Authorization",
			"Cache-Control":    "private, max-age=0, must-revalidate",
			"Content-Encoding": map[string]string{"gzip": "gzip"}[encoding],
		} {
			if got := response.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", encoding, header, got, want)
			}
		}
		b.want(t, fmt.Sprintf("request %d", i), 1)
	}
	if body := plain(t, get(t, c, b.request(key(2), "changed"), http.MethodGet)); body != "changed" {
		t.Errorf("the next revision reads %q", body)
	}
	b.want(t, "the next revision", 2)
	if body := plain(t, get(t, c, b.request(key(3), ""), http.MethodGet)); body != "" {
		t.Errorf("an empty document reads %q", body)
	}
}

// Whatever a document depends on makes another key, and so another ETag.
func TestMakeKey(t *testing.T) {
	one := []registry.Revision{{ProjectID: 1, EntryID: 2, Revision: 3}}
	keys := map[document.Key]string{}
	for _, k := range []document.Key{
		document.MakeKey(registry.NPM, "full", "pack", "/p", one),
		document.MakeKey(registry.PyPI, "full", "pack", "/p", one),
		document.MakeKey(registry.NPM, "short", "pack", "/p", one),
		document.MakeKey(registry.NPM, "full", "packs", "/p", one),
		document.MakeKey(registry.NPM, "full", "pack", "/q", one),
		document.MakeKey(registry.NPM, "fullpack", "", "/p", one),
		document.MakeKey(registry.NPM, "full", "pack/p", "", one),
		document.MakeKey(registry.NPM, "full", "pack", "/p", nil),
		document.MakeKey(registry.NPM, "full", "pack", "/p", []registry.Revision{{ProjectID: 1, EntryID: 2, Revision: 4}}),
		document.MakeKey(registry.NPM, "full", "pack", "/p", []registry.Revision{{ProjectID: 1, EntryID: 23, Revision: 0}}),
		document.MakeKey(registry.NPM, "full", "pack", "/p", []registry.Revision{{ProjectID: 1, EntryID: 2, Revision: 3}, {ProjectID: 2, EntryID: 3, Revision: 3}}),
	} {
		tag := get(t, document.NewCache(1), (&builder{}).request(k, text), http.MethodGet).Header.Get("ETag")
		for other, otherTag := range keys {
			if k == other || tag == otherTag {
				t.Errorf("%q and %q are one", k, other)
			}
		}
		keys[k] = tag
	}
	if again := document.MakeKey(registry.NPM, "full", "pack", "/p", one); keys[again] == "" {
		t.Errorf("the same things make another key: %q", again)
	}
}

func TestETag(t *testing.T) {
	c, b := document.NewCache(1<<20), &builder{}
	tag := func(encoding string) string {
		return get(t, c, b.request(key(1), text), http.MethodGet, "Accept-Encoding", encoding).Header.Get("ETag")
	}
	identity, zipped := tag("identity"), tag("gzip")
	for _, each := range []string{identity, zipped} {
		if len(each) < 10 || each[0] != '"' || each[len(each)-1] != '"' || strings.ContainsAny(each[1:len(each)-1], "\", ") {
			t.Errorf("%s is no strong ETag", each)
		}
	}
	if identity == zipped {
		t.Errorf("both forms have the ETag %s", identity)
	}
	other := get(t, c, b.request(key(2), text), http.MethodGet).Header.Get("ETag")
	b.want(t, "two revisions", 2)

	for _, test := range []struct {
		what        string
		match       []string
		notModified bool
	}{
		{"plain", []string{identity}, true},
		{"gzip", []string{zipped}, true},
		{"weak", []string{"W/" + identity}, true}, // as a proxy makes it that compresses anew
		{"weak gzip", []string{"W/" + zipped}, true},
		{"list", []string{`"x", ` + zipped + `, "y"`}, true},
		{"list without spaces", []string{`"x",W/` + identity}, true},
		{"two lines", []string{`"x"`, identity}, true},
		{"anything", []string{"*"}, true},
		{"another revision", []string{other}, false},
		{"list of others", []string{other + `, "x"`, `"y"`}, false},
		{"part of it", []string{identity[:8] + `"`}, false},
		{"nothing", []string{""}, false},
		{"no value", nil, false},
	} {
		for _, encoding := range []string{"identity", "gzip"} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				headers := []string{"Accept-Encoding", encoding}
				for _, value := range test.match {
					headers = append(headers, "If-None-Match", value)
				}
				response := get(t, c, b.request(key(1), text), method, headers...)
				if (response.StatusCode == http.StatusNotModified) != test.notModified {
					t.Errorf("%s %s, accepting %s: status %d", method, test.what, encoding, response.StatusCode)
				}
				want := map[string]string{"identity": identity, "gzip": zipped}[encoding]
				if got := response.Header.Get("ETag"); got != want {
					t.Errorf("%s %s, accepting %s: ETag %s, want %s", method, test.what, encoding, got, want)
				}
				if response.Header.Get("Vary") == "" || response.Header.Get("Cache-Control") == "" {
					t.Errorf("%s %s: no Vary or Cache-Control (RFC 9110, 15.4.5)", method, test.what)
				}
				if body, _ := io.ReadAll(response.Body); test.notModified && (len(body) > 0 || response.Header.Get("Content-Length") != "") {
					t.Errorf("%s %s: 304 with %d bytes, Content-Length %q", method, test.what, len(body), response.Header.Get("Content-Length"))
				}
			}
		}
	}
}

// A client that has the document costs no build, even where the document is not kept.
func TestNotModifiedWithoutBuild(t *testing.T) {
	b := &builder{}
	tag := get(t, document.NewCache(1<<20), b.request(key(1), text), http.MethodGet).Header.Get("ETag")
	if response := get(t, document.NewCache(1<<20), b.request(key(1), text), http.MethodGet, "If-None-Match", tag); response.StatusCode != http.StatusNotModified {
		t.Errorf("status %d", response.StatusCode)
	}
	b.want(t, "the other node", 1)
	// Any document will do, but there must be one.
	b.err = registry.Errorf(registry.NotFound, "404 Not found")
	r := httptest.NewRequest(http.MethodGet, "/pack", nil)
	r.Header.Set("If-None-Match", "*")
	if err := document.NewCache(1<<20).Serve(httptest.NewRecorder(), r, b.request(key(1), text)); registry.KindOf(err) != registry.NotFound {
		t.Errorf("If-None-Match: * of nothing: %v", err)
	}
}

func TestAcceptEncoding(t *testing.T) {
	c, b := document.NewCache(1<<20), &builder{}
	for _, test := range []struct {
		accept []string
		gzip   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"gzip"}, true},
		{[]string{"GZip"}, true},
		{[]string{"x-gzip"}, true},
		{[]string{"*"}, true},
		{[]string{"identity"}, false},
		{[]string{"br, zstd"}, false},
		{[]string{"gzip, deflate, br"}, true},
		{[]string{"deflate,gzip;q=1.0"}, true},
		{[]string{"deflate", "gzip"}, true},
		{[]string{"br;q=1.0, gzip;q=0.8, *;q=0.1"}, true},
		{[]string{"gzip;q=0.001"}, true},
		{[]string{"gzip;q=0"}, false},
		{[]string{"gzip;q=0.000"}, false},
		{[]string{"gzip; q=0"}, false},
		{[]string{"gzip ;Q=0.0"}, false},
		{[]string{"gzip;q=0, *"}, false},
		{[]string{"*, gzip;q=0"}, false},
		{[]string{"*;q=0"}, false},
		{[]string{"*;q=0, gzip"}, true},
		{[]string{"gzip, *;q=0"}, true},
		{[]string{"gzipped"}, false},
		{[]string{"not-gzip"}, false},
	} {
		var headers []string
		for _, value := range test.accept {
			headers = append(headers, "Accept-Encoding", value)
		}
		response := get(t, c, b.request(key(1), text), http.MethodGet, headers...)
		if got := response.Header.Get("Content-Encoding") == "gzip"; got != test.gzip {
			t.Errorf("Accept-Encoding %q: gzip %t, want %t", test.accept, got, test.gzip)
		}
		if body := plain(t, response); body != text {
			t.Errorf("Accept-Encoding %q: %q", test.accept, body)
		}
	}
	b.want(t, "all", 1)
}

func TestHead(t *testing.T) {
	c, b := document.NewCache(1<<20), &builder{}
	for _, encoding := range []string{"gzip", "identity"} {
		head := get(t, c, b.request(key(1), text), http.MethodHead, "Accept-Encoding", encoding)
		full := get(t, c, b.request(key(1), text), http.MethodGet, "Accept-Encoding", encoding)
		for name := range full.Header {
			if head.Header.Get(name) != full.Header.Get(name) {
				t.Errorf("%s: HEAD has %s %q, GET %q", encoding, name, head.Header.Get(name), full.Header.Get(name))
			}
		}
		if body, _ := io.ReadAll(head.Body); len(body) != 0 {
			t.Errorf("%s: HEAD has a body of %d bytes", encoding, len(body))
		}
	}
}

func TestOneBuildForMany(t *testing.T) {
	c := document.NewCache(1 << 20)
	const readers = 50
	var builds, arrived atomic.Int64
	all := make(chan struct{})
	request := document.Request{Key: key(1), Build: func(_ context.Context, w io.Writer) (document.Built, error) {
		builds.Add(1)
		<-all // until everybody is there
		_, err := io.WriteString(w, text)
		return document.Built{Key: key(1)}, err
	}}
	var group sync.WaitGroup
	for range readers {
		group.Go(func() {
			if arrived.Add(1) == readers {
				close(all)
			}
			if body := plain(t, get(t, c, request, http.MethodGet, "Accept-Encoding", "gzip")); body != text {
				t.Errorf("read %q", body)
			}
		})
	}
	group.Wait()
	if n := builds.Load(); n != 1 {
		t.Errorf("built %d times", n)
	}
}

// A build serves others too, so it goes on when the client that began it hangs up.
func TestBuildOutlivesItsRequest(t *testing.T) {
	c := document.NewCache(1 << 20)
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/pack", nil)
	w := httptest.NewRecorder()
	err := c.Serve(w, r, document.Request{Key: key(1), Build: func(ctx context.Context, w io.Writer) (document.Built, error) {
		cancel()
		if ctx.Err() != nil {
			return document.Built{}, ctx.Err()
		}
		_, err := io.WriteString(w, text)
		return document.Built{Key: key(1)}, err
	}})
	if err != nil || w.Body.String() != text {
		t.Errorf("%q, %v", w.Body, err)
	}
}

func TestBuildErrorIsNotKept(t *testing.T) {
	c, b := document.NewCache(1<<20), &builder{err: errors.New("the database is away")}
	for range 2 {
		w := httptest.NewRecorder()
		err := c.Serve(w, httptest.NewRequest(http.MethodGet, "/pack", nil), b.request(key(1), text))
		if !errors.Is(err, b.err) || w.Body.Len() != 0 {
			t.Errorf("%v, with %q written", err, w.Body)
		}
	}
	b.want(t, "with errors", 2)
	b.err = nil
	if body := plain(t, get(t, c, b.request(key(1), text), http.MethodGet)); body != text {
		t.Errorf("read %q", body)
	}

	// Half a document is none.
	half := document.Request{Key: key(2), Build: func(_ context.Context, w io.Writer) (document.Built, error) {
		io.WriteString(w, "half of ")
		return document.Built{}, io.ErrUnexpectedEOF
	}}
	if err := c.Serve(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/pack", nil), half); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a build: %v", err)
	}
	panicking := document.Request{Key: key(2), Build: func(_ context.Context, w io.Writer) (document.Built, error) {
		io.WriteString(w, "half of ")
		panic("boom")
	}}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not come through")
			}
		}()
		c.Serve(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/pack", nil), panicking)
	}()
	for revision := range int64(5) { // also by the compressors that were interrupted
		if body := plain(t, get(t, c, b.request(key(2+revision), text), http.MethodGet)); body != text {
			t.Errorf("after half a build: %q", body)
		}
	}
}

// A compressor that got half a document does not wait for the rest.
func TestInterruptedCompressorEnds(t *testing.T) {
	for name, build := range map[string]func(w io.Writer) error{
		"fails early": func(io.Writer) error { return io.ErrUnexpectedEOF },
		"fails":       func(w io.Writer) error { return cmp.Or(writeMuch(w), io.ErrUnexpectedEOF) },
		"panics":      func(w io.Writer) error { writeMuch(w); panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which fails when a goroutine stays
				defer func() { recover() }()
				request := document.Request{Key: key(1), Build: func(_ context.Context, w io.Writer) (document.Built, error) { return document.Built{}, build(w) }}
				err := document.NewCache(1<<20).Serve(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/pack", nil), request)
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("the build ended with %v", err)
				}
			})
		})
	}
}

// writeMuch writes more than any buffer holds.
func writeMuch(w io.Writer) error {
	_, err := w.Write(make([]byte, 1<<20))
	return err
}

// The builder may find a later state than the request knew of. It is kept, and named, as what it is.
func TestLaterKey(t *testing.T) {
	c, b := document.NewCache(1<<20), &builder{}
	later := b.request(key(2), text)
	early := document.Request{Key: key(1), ContentType: "application/json", Build: later.Build}
	response := get(t, c, early, http.MethodGet)
	b.want(t, "early", 1)
	if body := plain(t, get(t, c, later, http.MethodGet)); body != text {
		t.Errorf("read %q", body)
	}
	b.want(t, "then the later one", 1)
	if got, want := response.Header.Get("ETag"), get(t, c, later, http.MethodGet).Header.Get("ETag"); got != want {
		t.Errorf("ETag %s, want that of what was read, %s", got, want)
	}
	// The early state is not there, so it must not be served under its own name.
	get(t, c, early, http.MethodGet)
	b.want(t, "early again", 2)
}

// entryKey is that of a document of its own.
func entryKey(entry int64) document.Key {
	return document.MakeKey(registry.NPM, "full", "pack", "/p", []registry.Revision{{ProjectID: 1, EntryID: entry, Revision: 1}})
}

// A document takes the place of its former state: many changes leave one document.
func TestFormerState(t *testing.T) {
	const size = 1 << 10
	c, other, b := document.NewCache(16<<10), &builder{}, &builder{}
	get(t, c, other.request(entryKey(7), text), http.MethodGet)
	for revision := range int64(50) {
		get(t, c, b.request(key(revision), strings.Repeat("x", size)), http.MethodGet)
	}
	get(t, c, other.request(entryKey(7), text), http.MethodGet)
	other.want(t, "the other document", 1)
	get(t, c, b.request(key(3), text), http.MethodGet)
	b.want(t, "a former state", 51)
}

func TestEviction(t *testing.T) {
	// Text that does not compress, so that its size is the document's.
	random := rand.New(rand.NewPCG(1, 2))
	content := func(size int) string {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return string(b)
	}
	const limit, size = 1 << 20, 200 << 10 // room for five
	c := document.NewCache(limit)
	contents := map[int64]string{}
	builders := map[int64]*builder{}
	read := func(revision int64, wantBuilds int64) {
		t.Helper()
		if builders[revision] == nil {
			builders[revision], contents[revision] = &builder{}, content(size)
		}
		if body := plain(t, get(t, c, builders[revision].request(entryKey(revision), contents[revision]), http.MethodGet, "Accept-Encoding", "gzip")); body != contents[revision] {
			t.Errorf("document %d is another one", revision)
		}
		builders[revision].want(t, fmt.Sprintf("document %d", revision), wantBuilds)
	}
	for revision := range int64(5) {
		read(revision, 1)
	}
	read(0, 1)
	read(5, 1) // takes the place of 1, the one not used for longest
	read(0, 1)
	read(1, 2) // takes that of 2
	read(3, 1)
	read(4, 1)
	read(5, 1)
	read(2, 2)

	// One that would take much of the room is not kept, and drives nothing out.
	builders[99], contents[99] = &builder{}, content(limit/2)
	read(99, 1)
	read(99, 2)
	read(2, 2)
	read(5, 1)

	// Small ones cost more than their bytes.
	small := document.NewCache(64 << 10)
	b := &builder{}
	const many = 200
	for revision := range int64(many) {
		get(t, small, b.request(entryKey(revision), "x"), http.MethodGet)
	}
	b.want(t, "small ones", many)
	for revision := range int64(many) {
		get(t, small, b.request(entryKey(many-1-revision), "x"), http.MethodGet)
	}
	if again := b.builds.Load() - many; again < many-64 || again == many {
		t.Errorf("of %d documents in 64 KiB, %d were built again", many, again)
	}
}

func TestConcurrentUse(t *testing.T) {
	c := document.NewCache(16 << 10)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			b := &builder{}
			for i := range 200 {
				revision := int64((worker + i*7) % 40)
				want := fmt.Sprint("document ", revision)
				if body := plain(t, get(t, c, b.request(key(revision), want), http.MethodGet, "Accept-Encoding", []string{"gzip", "identity"}[i%2])); body != want {
					t.Errorf("read %q, want %q", body, want)
				}
			}
		})
	}
	group.Wait()
}

func TestExpand(t *testing.T) {
	for _, test := range []struct{ fragment, want string }{
		{"", ""},
		{"none", "none"},
		{"\x00", "/p"},
		{"\x00/a", "/p/a"},
		{"a\x00", "a/p"},
		{`{"x":"` + "\x00" + `/1","y":"` + "\x00\x00" + `"}`, `{"x":"/p/1","y":"/p/p"}`},
	} {
		var b strings.Builder
		if err := document.Expand(&b, []byte(test.fragment), "/p"); err != nil || b.String() != test.want {
			t.Errorf("Expand(%q) = %q, %v, want %q", test.fragment, b.String(), err, test.want)
		}
	}
	full := errors.New("full")
	for room := range 3 { // "a", the prefix, "b"
		if err := document.Expand(&brokenWriter{room, full}, []byte("a\x00b"), "/p"); !errors.Is(err, full) {
			t.Errorf("Expand to a writer that breaks after %d writes: %v", room, err)
		}
	}
}

// brokenWriter fails after some writes.
type brokenWriter struct {
	room int
	err  error
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.room--; w.room < 0 {
		return 0, w.err
	}
	return len(p), nil
}

// Clients that know no ETag ask by time, and get 304 for what they were told: once the second is over in which it changed.
func TestByTime(t *testing.T) {
	c := document.NewCache(1 << 20)
	serve := func(state int64, changed time.Time, headers ...string) *http.Response {
		k := key(state)
		return get(t, c, document.Request{Key: k, ContentType: "application/json", ByTime: true, Vary: []string{"User-Agent"}, Build: func(_ context.Context, w io.Writer) (document.Built, error) {
			_, err := fmt.Fprint(w, state)
			return document.Built{Key: k, Modified: changed}, err
		}}, "GET", headers...)
	}
	old := time.Now().Add(-time.Hour)
	first := serve(1, old)
	told := first.Header.Get("Last-Modified")
	if told != old.UTC().Format(http.TimeFormat) || first.Header.Get("Vary") != "User-Agent" {
		t.Fatalf("%v", first.Header)
	}
	if again := serve(1, old, "If-Modified-Since", told); again.StatusCode != http.StatusNotModified || again.Header.Get("Etag") == "" {
		t.Errorf("the same again: %d", again.StatusCode)
	}
	for what, headers := range map[string][]string{
		"a later time":          {"If-Modified-Since", time.Now().UTC().Format(http.TimeFormat)},
		"an earlier time":       {"If-Modified-Since", old.Add(-time.Second).UTC().Format(http.TimeFormat)},
		"a tag that is another": {"If-Modified-Since", told, "If-None-Match", `"x"`},
	} {
		if r := serve(1, old, headers...); r.StatusCode != http.StatusOK || plain(t, r) != "1" {
			t.Errorf("%s: %d", what, r.StatusCode)
		}
	}
	// Two states of one second.
	now := time.Now()
	for state := range int64(2) {
		r := serve(2+state, now, "If-Modified-Since", now.UTC().Format(http.TimeFormat))
		if r.StatusCode != http.StatusOK || r.Header.Get("Last-Modified") != "" || plain(t, r) != fmt.Sprint(2+state) {
			t.Errorf("state %d: %d, %v", state, r.StatusCode, r.Header)
		}
	}
}
