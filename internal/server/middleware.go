package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"packhouse/internal/format/git"
	"packhouse/internal/registry"
	"packhouse/internal/web"
)

// handler is what stands around the routes, outermost first: request id and log, panics, the form of the path, and
// what is left of a body that was refused.
func (s *Server) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		response := &response{ResponseWriter: w, began: time.Now(), id: [1]string{requestID(r)}}
		if r.ProtoMajor == 1 { // later ones have many answers under way on one connection
			response.conn, _ = r.Context().Value(connKey{}).(*conn)
			response.secure = r.TLS != nil
		}
		r = r.WithContext(registry.WithActor(context.WithValue(r.Context(), responseKey{}, response), &response.actor))
		header := w.Header()
		header["X-Request-Id"] = response.id[:]
		header["X-Content-Type-Options"] = nosniff
		header["X-Frame-Options"] = sameOrigin
		if r.ContentLength != 0 {
			r.Body = &patientBody{r.Body, http.NewResponseController(w)}
		}
		s.trustProxy(r)
		response.actor.Address = registry.HostOf(r.RemoteAddr)
		s.metrics.inFlight.Inc()
		defer func() {
			failure := recover()
			if failure != nil && failure != http.ErrAbortHandler {
				slog.ErrorContext(r.Context(), "panic", "err", failure, "stack", string(debug.Stack()))
				if response.status == 0 {
					writeJSON(response, http.StatusInternalServerError, map[string]string{"message": "500 Internal Server Error", "error": "500 Internal Server Error"})
				}
			}
			s.metrics.inFlight.Dec()
			s.answered.Add(1)
			s.account(r, response, time.Since(response.began))
			if failure != nil && response.status != http.StatusInternalServerError {
				trace.SpanFromContext(r.Context()).SetStatus(codes.Error, "the answer was cut off")
				panic(http.ErrAbortHandler) // the answer is cut off; the client must see that
			}
		}()
		done, admitted := s.limits.admit(response, r)
		if admitted {
			defer done()
			s.serve(response, r)
		}
		drain(r)
	})
}

var nosniff, sameOrigin = []string{"nosniff"}, []string{"SAMEORIGIN"}

// serve hands the request to its route. http.ServeMux would redirect "//", "." and "..", and lose the body of a PUT
// on the way; and it speaks plain text where clients of the API expect JSON.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if err := cleanPath(r); err != nil {
		r.URL = &url.URL{Path: "/[refused]"} // for the log: dots must not hide a secret from redact
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	if escaped, ok := git.Escape(r); ok {
		inner := *r
		inner.URL = &url.URL{Path: r.URL.Path, RawPath: escaped, RawQuery: r.URL.RawQuery}
		s.mux.ServeHTTP(w, &inner)
		r.Pattern = inner.Pattern
		return
	}
	web.Gather(r)
	s.mux.ServeHTTP(w, r)
}

// noRoute is the route of all paths that have no other, or none for this method. It answers as GitLab's API does: 404,
// or 405 with Allow.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for method := range methods {
		other := *r
		other.Method = method
		_, pattern := s.mux.Handler(&other)
		if pattern == everything {
			_, pattern = s.api.Handler(&other)
		}
		if pattern != everything && !strings.Contains(pattern, "{place}") { // any path may be one
			allowed = append(allowed, method)
		}
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/v3/"): // scripts of old look for it
		writeJSON(w, http.StatusGone, map[string]string{"error": "API V3 is no longer supported. Use API V4 instead."})
		return
	case len(allowed) == 0 && strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/api/"):
		s.web.NotFound(w, r)
		return
	case len(allowed) == 0:
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "404 Not Found"})
		return
	}
	slices.Sort(allowed)
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"error": "405 Not Allowed"})
}

// everything is the pattern of what no other has.
const everything = "/"

var errPath = errors.New("path is invalid")

// cleanPath joins doubled slashes and takes off one at the end, so that no route has to, and refuses dot segments:
// no client that means well sends them.
func cleanPath(r *http.Request) error {
	escaped := r.URL.EscapedPath()
	if strings.Contains(escaped, "//") || len(escaped) > 1 && strings.HasSuffix(escaped, "/") && strings.HasPrefix(escaped, "/api/") {
		for strings.Contains(escaped, "//") {
			escaped = strings.ReplaceAll(escaped, "//", "/")
		}
		if strings.HasPrefix(escaped, "/api/") {
			escaped = strings.TrimSuffix(escaped, "/")
		}
		plain, err := url.PathUnescape(escaped)
		if err != nil {
			return errPath
		}
		r.URL.Path, r.URL.RawPath = plain, escaped
		if plain == escaped {
			r.URL.RawPath = "" // as url.Parse leaves it
		}
	}
	if !strings.HasPrefix(escaped, "/") {
		return errPath
	}
	if strings.Contains(escaped, "/.") {
		for segment := range strings.SplitSeq(escaped, "/") {
			if segment == "." || segment == ".." {
				return errPath
			}
		}
	}
	return nil
}

// How much of a refused upload is read on, and for how long. A client that still sends while the connection is closed
// sees a broken pipe and not the answer.
const (
	drainBytes = 64 << 20
	drainTime  = 10 * time.Second
)

func drain(r *http.Request) {
	if r.ContentLength == 0 || r.ProtoMajor != 1 || r.Header.Get("Expect") != "" {
		return // nothing left, or the protocol has a way to say no
	}
	buffer := make([]byte, 4<<10) // mostly for the end that a format has not looked for
	for began, left := time.Now(), drainBytes; left > 0 && time.Since(began) < drainTime; {
		n, err := r.Body.Read(buffer)
		if err != nil {
			return
		}
		left -= n
	}
}

// bodyPatience is how long a client that sends a body may send nothing.
const bodyPatience = time.Minute

// patientBody is a body that may take any time as a whole, as long as it goes on.
type patientBody struct {
	io.ReadCloser
	controller *http.ResponseController
}

func (b *patientBody) Read(p []byte) (int, error) {
	b.controller.SetReadDeadline(time.Now().Add(bodyPatience))
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.controller.SetReadDeadline(time.Time{}) // or it would end a request that goes on without reading
	}
	switch {
	case err == nil, err == io.EOF:
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = registry.Errorf(registry.Invalid, "400 Bad request - the body stopped coming")
	default: // the client hung up, or what it sent is not chunked as it says
		err = &registry.Error{Kind: registry.Invalid, Message: "400 Bad request - the body cannot be read", Err: err}
	}
	return n, err
}

// Answers may take answerPatience, and longer while they are large and the client takes slowRate at least.
const (
	answerPatience = 5 * time.Minute
	slowRate       = 16 << 10 // bytes a second
	answerChunk    = 4 << 20  // bytes
)

const (
	writeBuffer = 4 << 10   // bytes of an answer, header included, that net/http collects before it writes to the connection
	mostCorked  = 256 << 10 // bytes of a body; in a longer one a packet more or less is nothing
)

// response notes what was answered, and holds what else a request needs of its own, so that all of it is one allocation.
type response struct {
	http.ResponseWriter
	began  time.Time
	id     [1]string      // of the request, as a header's value
	actor  registry.Actor // who asks
	conn   *conn          // nil: unknown, or shared with other answers
	secure bool           // by TLS
	status int
	bytes  int64
}

type responseKey struct{}

type connKey struct{}

// withConn lets requests find their connection, also below TLS. It is the server's ConnContext.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if outer, ok := c.(*tls.Conn); ok {
		c = outer.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

// cork begins to write a body of so many bytes at most, and returns whether uncork has to end it. Between the two, header and
// body, which net/http writes one after the other, come together in as few packets as they fill. nginx calls it
// tcp_nopush.
func (w *response) cork(bytes int64) bool {
	return w.conn != nil && bytes <= mostCorked && w.conn.raw.Control(corkOn) == nil
}

func (w *response) uncork() {
	w.ResponseWriter.(http.Flusher).Flush() // what net/http would only write when the handler has returned; of a body, that is the end
	w.conn.raw.Control(corkOff)             // an error is the connection's end, which the next write tells
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if len(p) > answerChunk || w.late() {
		w.extend(int64(len(p)))
	}
	switch {
	case len(p) <= writeBuffer:
	case w.conn != nil && !w.secure:
		w.conn.hold()
		defer func() {
			w.ResponseWriter.(http.Flusher).Flush()
			w.conn.release()
		}()
	case w.cork(int64(len(p))):
		defer w.uncork()
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// late tells whether the time that an answer has without extend is half over.
func (w *response) late() bool { return time.Since(w.began) > answerPatience/2 }

// extend lets the client take so many bytes more.
func (w *response) extend(bytes int64) {
	http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(answerPatience + time.Duration(bytes/slowRate)*time.Second))
}

// ReadFrom keeps the way to sendfile open, a chunk at a time.
func (w *response) ReadFrom(r io.Reader) (total int64, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: r, N: math.MaxInt64}
	}
	if memory, ok := limited.R.(interface{ Next(n int) []byte }); ok {
		n, err := w.Write(memory.Next(int(min(limited.N, math.MaxInt))))
		limited.N -= int64(n)
		return int64(n), err
	}
	if w.cork(limited.N) {
		defer w.uncork()
	}
	for err == nil {
		if limited.N > answerChunk || w.late() {
			w.extend(answerChunk)
		}
		// A LimitedReader of a file, not one of another LimitedReader: that is as far as sendfile looks.
		chunk := &io.LimitedReader{R: limited.R, N: min(limited.N, answerChunk)}
		var n int64
		n, err = io.Copy(w.ResponseWriter, chunk)
		total, limited.N, w.bytes = total+n, limited.N-n, w.bytes+n
		if chunk.N > 0 || limited.N == 0 {
			break
		}
	}
	return total, err
}

// Unwrap lets http.ResponseController through.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// account logs and counts a request.
func (s *Server) account(r *http.Request, w *response, took time.Duration) {
	status := w.status
	if status == 0 {
		status = http.StatusOK
	}
	s.metrics.count(r, status, w.bytes, took)
	if s.config.Traces != nil {
		s.describe(r, w, status)
	}
	switch {
	case s.config.LogRequests == "none", s.config.LogRequests == "errors" && status < 400:
		return
	}
	slog.LogAttrs(r.Context(), slog.LevelInfo, "request",
		slog.String("method", r.Method), slog.String("path", redact(r.URL)), slog.Int("status", status), slog.Int64("bytes", w.bytes),
		slog.Float64("ms", float64(took.Microseconds())/1000), slog.String("address", r.RemoteAddr), slog.String("agent", r.UserAgent()))
}

// describe adds to the span of a request what is known of it at its end, as the semantic conventions for HTTP servers have it: the route, which
// also is its name, and nothing that may hold a secret.
func (s *Server) describe(r *http.Request, w *response, status int) {
	span := trace.SpanFromContext(r.Context())
	if !span.IsRecording() {
		return
	}
	method, name := r.Method, r.Method
	if !methods[method] {
		method, name = "_OTHER", "HTTP"
	}
	if route := r.Pattern[strings.IndexByte(r.Pattern, ' ')+1:]; route != "" && route != everything {
		name += " " + route
		span.SetAttributes(semconv.HTTPRoute(route))
	}
	span.SetName(name)
	span.SetAttributes(semconv.HTTPRequestMethodKey.String(method), semconv.URLPath(redact(r.URL)), semconv.HTTPResponseStatusCode(status), semconv.HTTPResponseBodySize(int(w.bytes)),
		semconv.NetworkProtocolVersion(strings.TrimSuffix(strings.TrimPrefix(r.Proto, "HTTP/"), ".0")), semconv.ClientAddress(w.actor.Address), semconv.UserAgentOriginal(r.UserAgent()),
		semconv.HTTPResponseHeader("x-request-id", w.id[0]))
	if r.ContentLength > 0 {
		span.SetAttributes(semconv.HTTPRequestBodySize(int(r.ContentLength)))
	}
	if u, err := url.Parse(s.BaseURL(r)); err == nil {
		span.SetAttributes(semconv.URLScheme(u.Scheme), semconv.ServerAddress(u.Hostname()))
		if port, err := strconv.Atoi(u.Port()); err == nil {
			span.SetAttributes(semconv.ServerPort(port))
		}
	}
	if status >= 500 {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(status)))
	}
}

// secretPath finds what must not be in a log: the routes that name a token or a sign-in, and anything that looks like
// a token of ours. Queries are never logged.
var secretPath = regexp.MustCompile(`(/-/user/token/|/-/npm/v1/tokens/token/|/-/v1/done/|/-/login/).*|ph[pdjg]_[0-9A-Za-z]+`)

// redact is the path as it may be logged: as it came, or unescaped and cut, since an escape must not hide a secret.
func redact(u *url.URL) string {
	if (strings.Contains(u.Path, "/-/") || strings.Contains(u.Path, "ph")) && secretPath.MatchString(u.Path) {
		return secretPath.ReplaceAllString(u.Path, "$1[redacted]")
	}
	return u.EscapedPath()
}

// trustProxy makes the address of a request that came through a proxy of ours the client's: the last one in
// X-Forwarded-For that is not a proxy's itself.
func (s *Server) trustProxy(r *http.Request) {
	if len(s.config.TrustedProxies) == 0 || !s.isProxy(r.RemoteAddr) {
		return
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(hops) {
		hop = strings.TrimSpace(hop)
		if _, err := netip.ParseAddr(hop); err != nil {
			return
		}
		r.RemoteAddr = net.JoinHostPort(hop, "0")
		if !s.isProxy(r.RemoteAddr) {
			return
		}
	}
}

func (s *Server) isProxy(address string) bool {
	host, err := netip.ParseAddrPort(address)
	return err == nil && slices.ContainsFunc(s.config.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(host.Addr().Unmap()) })
}

// goodID is what we take over from a proxy in front.
var goodID = regexp.MustCompile(`^[0-9A-Za-z._-]{1,64}$`)

func requestID(r *http.Request) string {
	if given := r.Header["X-Request-Id"]; len(given) > 0 && goodID.MatchString(given[0]) {
		return given[0]
	}
	return rand.Text()
}

// NewLogger makes the program's logger: format "text" or "json", with the id of the request on each line.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{}
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is none of debug, info, warn, error", level)
	}
	options.Level = least
	if format == "json" {
		return slog.New(withID{slog.NewJSONHandler(w, options)}), nil
	}
	return slog.New(withID{slog.NewTextHandler(w, options)}), nil
}

type withID struct{ slog.Handler }

func (h withID) Handle(ctx context.Context, record slog.Record) error {
	if response, ok := ctx.Value(responseKey{}).(*response); ok {
		record.AddAttrs(slog.String("request_id", response.id[0]))
	}
	return h.Handler.Handle(ctx, record)
}

func (h withID) WithAttrs(attrs []slog.Attr) slog.Handler { return withID{h.Handler.WithAttrs(attrs)} }
func (h withID) WithGroup(name string) slog.Handler       { return withID{h.Handler.WithGroup(name)} }
