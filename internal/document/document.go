// Package document serves index documents: the packument, simple page, registration or provider file that tells a
// package manager what versions there are.
//
// A document is a pure function of its [Key]: format, variant, name, URL prefix, and the revisions of the entries that
// this caller may see. So a reader who knows the key, from one query, knows the ETag, and needs the document itself
// only when the client has not got it. Documents are kept compressed, one build at a time for each key, bounded in
// bytes and evicted by use. None is ever served past its revision: a change makes another key.
package document

import (
	"bufio"
	"bytes"
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"packhouse/internal/registry"
)

// rendering is part of each ETag. Raise it when documents come out differently for the same data.
const rendering = "1"

// Key identifies the content of a document.
type Key struct {
	subject string // all that it depends on but for the revisions
	state   string // the revisions, in the order of the entries
}

// MakeKey joins what a document depends on. Entries have to come in a fixed order.
func MakeKey(format registry.Type, variant, name, prefix string, entries []registry.Revision) Key {
	subject, state := make([]byte, 0, 128), make([]byte, 0, 16)
	for _, part := range []string{rendering, string(format), variant, name, prefix} {
		subject = append(append(subject, part...), 0)
	}
	for _, e := range entries {
		subject = append(strconv.AppendInt(subject, e.EntryID, 10), ' ')
		state = append(strconv.AppendInt(state, e.Revision, 10), ' ')
	}
	return Key{string(subject), string(state)}
}

// tag is the middle of the document's strong ETag. The compressed form has another one (RFC 9110, 8.8.3).
func (k Key) tag() string {
	sum := sha256.Sum256([]byte(k.subject + "\x00" + k.state))
	return base64.RawURLEncoding.EncodeToString(sum[:15])
}

// Built is a document as its builder found it.
type Built struct {
	Key      Key       // of the state that was read: that of the request, or a later one
	Modified time.Time // for Last-Modified
}

// Request is what a format knows when somebody asks for a document.
type Request struct {
	Key         Key
	ContentType string
	// Build writes the document, from one snapshot of the store. It may run for several requests at once, so ctx is
	// none of theirs.
	Build func(ctx context.Context, w io.Writer) (Built, error)
	Vary  []string // the header; nil: the usual
	// Modified is when what the document shows besides the entries has changed; zero: it shows nothing else. It counts where an index document
	// about a name is built.
	Modified time.Time
	// ByTime: its clients know no ETag and ask with If-Modified-Since, and get 304 for exactly what they were told. So that two states of
	// a second are not one to them, they are told no time as long as it is not over.
	ByTime bool
}

// settled is how old a document must be to be told by its time. Clocks of several nodes may be a little apart.
const settled = 5 * time.Second

// Cache keeps documents.
type Cache struct {
	limit    int64 // bytes
	builds   singleflight.Group
	building chan struct{} // a place for each build under way: each holds a document in memory, and a core

	mu   sync.Mutex
	kept map[string]*list.Element // subject of a key → *document, in its last state
	used *list.List               // the one used last comes first
	size int64
}

type document struct {
	key  Key
	tag  string // of the key
	gzip []byte
	// The values of headers, made once.
	plainTag, gzipTag         []string
	plainLength, gzipLength   []string
	contentType, lastModified []string
	modified                  time.Time
}

// newDocument is a document as far as its key says what it is.
func newDocument(key Key) *document {
	tag := key.tag()
	return &document{key: key, tag: tag, plainTag: []string{`"` + tag + `"`}, gzipTag: []string{`"` + tag + `-gzip"`}}
}

// etag is the header's value for one of the two forms.
func (d *document) etag(compressed bool) []string {
	if compressed {
		return d.gzipTag
	}
	return d.plainTag
}

// overhead is what a kept document costs besides its bytes, roughly.
const overhead = 1 << 10

// NewCache makes a cache of so many bytes.
func NewCache(limit int64) *Cache {
	return &Cache{limit: limit, building: make(chan struct{}, 2*runtime.GOMAXPROCS(0)), kept: map[string]*list.Element{}, used: list.New()}
}

var (
	vary         = []string{"Accept, Accept-Encoding, Authorization"}
	cacheControl = []string{"private, max-age=0, must-revalidate"}
	gzipEncoding = []string{"gzip"}
)

// Serve answers a GET or HEAD for a document.
func (c *Cache) Serve(w http.ResponseWriter, r *http.Request, request Request) error {
	header := w.Header()
	header["Vary"] = vary
	header["Cache-Control"] = cacheControl
	if request.Vary != nil {
		header["Vary"] = request.Vary
	}
	compressed := acceptsGzip(r.Header)
	doc := c.get(request.Key)
	// Only the ETag is trusted: Last-Modified counts in seconds, in which two versions may have been published.
	if match := r.Header["If-None-Match"]; len(match) > 0 {
		tagged := doc
		if tagged == nil {
			tagged = newDocument(request.Key)
		}
		if matches(match, tagged.tag) {
			header["Etag"] = tagged.etag(compressed)
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	if doc == nil {
		var err error
		if doc, err = c.await(r.Context(), request); err != nil {
			return err
		}
	}
	if slices.Contains(r.Header["If-None-Match"], "*") { // only now that there is a document
		header["Etag"] = doc.etag(compressed)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	switch since := r.Header["If-Modified-Since"]; {
	case !request.ByTime:
		header["Last-Modified"] = doc.lastModified
	case time.Since(doc.modified) > settled:
		header["Last-Modified"] = doc.lastModified
		if len(since) > 0 && since[0] == doc.lastModified[0] && len(r.Header["If-None-Match"]) == 0 {
			header["Etag"] = doc.etag(compressed)
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	header["Content-Type"] = doc.contentType
	header["Etag"] = doc.etag(compressed)
	if compressed {
		header["Content-Length"], header["Content-Encoding"] = doc.gzipLength, gzipEncoding
	} else {
		header["Content-Length"] = doc.plainLength
	}
	if r.Method == http.MethodHead {
		return nil
	}
	if compressed {
		w.Write(doc.gzip) // an error is the client's hanging up
		return nil
	}
	plain, err := gzip.NewReader(bytes.NewReader(doc.gzip))
	if err != nil {
		return err
	}
	io.Copy(w, plain)
	return nil
}

// await builds a document, or waits for whoever builds it already.
func (c *Cache) await(ctx context.Context, request Request) (*document, error) {
	built, err, _ := c.builds.Do(request.Key.subject+"\x00"+request.Key.state, func() (any, error) {
		if doc := c.get(request.Key); doc != nil {
			return doc, nil
		}
		return c.build(context.WithoutCancel(ctx), request)
	})
	if err != nil {
		return nil, err
	}
	return built.(*document), nil
}

func (c *Cache) build(ctx context.Context, request Request) (_ *document, err error) {
	ctx, end := registry.Trace(ctx, "document.Build")
	defer func() { end(err) }()
	c.building <- struct{}{}
	defer func() { <-c.building }()
	// To compress a document takes half as long as to read it from the store, and is done beside it.
	var buffer bytes.Buffer
	var length int64
	plain, pipe := io.Pipe()
	defer pipe.CloseWithError(io.ErrUnexpectedEOF) // when Build fails, or panics
	var compressing errgroup.Group
	compressing.Go(func() (err error) {
		defer func() { plain.CloseWithError(err) }() // whoever builds does not wait for a compressor that failed
		zip := gzipWriters.Get().(*gzip.Writer)
		defer gzipWriters.Put(zip)
		zip.Reset(&buffer)
		if length, err = io.Copy(zip, plain); err != nil {
			return err
		}
		return zip.Close()
	})
	pieces := bufio.NewWriterSize(pipe, piece)
	built, err := request.Build(ctx, pieces)
	if err != nil {
		return nil, err
	}
	if err := pieces.Flush(); err != nil {
		return nil, err
	}
	pipe.Close()
	if err := compressing.Wait(); err != nil {
		return nil, err
	}
	doc := newDocument(built.Key)
	doc.gzip = bytes.Clone(buffer.Bytes()) // without the buffer's spare room
	doc.plainLength = []string{strconv.FormatInt(length, 10)}
	doc.contentType = []string{request.ContentType}
	doc.lastModified = []string{built.Modified.UTC().Format(http.TimeFormat)}
	doc.modified = built.Modified
	doc.gzipLength = []string{strconv.Itoa(len(doc.gzip))}
	c.put(doc)
	return doc, nil
}

// piece is how much of a document, in bytes, goes from its builder to the compressor at once.
const piece = 32 << 10

var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, 5) // a level that exists
	return w
}}

func (c *Cache) get(key Key) *document {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.kept[key.subject]
	if element == nil || element.Value.(*document).key != key {
		return nil
	}
	c.used.MoveToFront(element)
	return element.Value.(*document)
}

// put keeps a document in place of its former state, unless it would take a good part of the room by itself.
func (c *Cache) put(doc *document) {
	size := int64(len(doc.gzip)) + overhead
	if size > c.limit/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if former := c.kept[doc.key.subject]; former != nil {
		c.drop(former) // nobody will ask for that state again
	}
	c.kept[doc.key.subject] = c.used.PushFront(doc)
	c.size += size
	for c.size > c.limit {
		c.drop(c.used.Back())
	}
}

func (c *Cache) drop(element *list.Element) {
	doc := c.used.Remove(element).(*document)
	delete(c.kept, doc.key.subject)
	c.size -= int64(len(doc.gzip)) + overhead
}

// Expand writes a fragment in which each NUL byte stands for the URL prefix. JSON and HTML cannot contain one.
func Expand(w io.Writer, fragment []byte, prefix string) error {
	for {
		at := bytes.IndexByte(fragment, 0)
		if at < 0 {
			_, err := w.Write(fragment)
			return err
		}
		if _, err := w.Write(fragment[:at]); err != nil {
			return err
		}
		if _, err := io.WriteString(w, prefix); err != nil {
			return err
		}
		fragment = fragment[at+1:]
	}
}

// matches tells whether an If-None-Match names the document in either form: its content is the same.
func matches(header []string, tag string) bool {
	for _, line := range header {
		for candidate := range strings.SplitSeq(line, ",") {
			candidate = strings.Trim(strings.TrimPrefix(strings.TrimSpace(candidate), "W/"), `"`)
			if strings.TrimSuffix(candidate, "-gzip") == tag {
				return true
			}
		}
	}
	return false
}

// acceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3). What it says of gzip by name goes before what it says of "*".
func acceptsGzip(header http.Header) bool {
	accepted, named := false, false
	for _, line := range header["Accept-Encoding"] {
		for part := range strings.SplitSeq(line, ",") {
			coding, parameter, _ := strings.Cut(part, ";")
			coding = strings.TrimSpace(coding)
			switch {
			case strings.EqualFold(coding, "gzip"), strings.EqualFold(coding, "x-gzip"):
				named = true
			case coding != "*" || named:
				continue
			}
			accepted = !zeroQuality(strings.TrimSpace(parameter))
		}
	}
	return accepted
}

// zeroQuality tells whether a parameter is q=0, also with decimals.
func zeroQuality(parameter string) bool {
	if len(parameter) < 3 || parameter[0]|0x20 != 'q' || parameter[1] != '=' || parameter[2] != '0' {
		return false
	}
	return strings.Trim(parameter[3:], ".0") == ""
}
