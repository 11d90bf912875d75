package gitrepo

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/url"
	"strconv"
	"strings"

	"packhouse/internal/registry"
)

// The services of the smart HTTP protocol (gitprotocol-http).
const (
	UploadPack  = "git-upload-pack"  // to clone and fetch
	ReceivePack = "git-receive-pack" // to push
)

// maxRequest is how many bytes a request has besides a pack: names of refs, commits that a client wants and has.
const maxRequest = 8 << 20

// Serve answers a request of the smart HTTP protocol, which the caller has authorized: Git's own http-backend does. rest is
// "info/refs", UploadPack or ReceivePack; user is who asks, for Git to name. The pack of a push has maxPush bytes at most. The error
// is of what was not begun, and nothing is written then.
func (r *Repos) Serve(w http.ResponseWriter, request *http.Request, project int64, rest, user string, maxPush int64) error {
	most := int64(maxRequest)
	if rest == ReceivePack {
		most += maxPush
	}
	if request.ContentLength > most {
		return registry.Errorf(registry.TooLarge, "%s has %d bytes at most", rest, most)
	}
	if err := r.Make(request.Context(), project); err != nil {
		return err
	}
	release, err := place(request.Context(), r.serving)
	if err != nil {
		return err
	}
	defer release()
	// Git is told what it needs and nothing else: no credentials, no host that the client chose.
	inner := (&http.Request{Method: request.Method, Proto: request.Proto, ProtoMajor: 1, ProtoMinor: 1, Host: "localhost", RemoteAddr: request.RemoteAddr,
		URL:    &url.URL{Path: "/" + strconv.FormatInt(project, 10) + ".git/" + rest},
		Header: http.Header{}, ContentLength: request.ContentLength, Body: request.Body}).WithContext(request.Context())
	if service := request.URL.Query().Get("service"); rest == "info/refs" {
		inner.URL.RawQuery = "service=" + service
	}
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		if value := request.Header.Get(name); value != "" {
			inner.Header.Set(name, value)
		}
	}
	if request.Method == http.MethodPost {
		inner.Body = io.NopCloser(&limited{request.Body, most})
		if inner.ContentLength > 0 {
			inner.ContentLength = -1 // Git that is told a length asks again and again for what a client that hung up did not send
		}
	}
	env := append(r.environment([2]string{"receive.maxInputSize", strconv.FormatInt(maxPush, 10)}),
		"GIT_PROJECT_ROOT="+r.folder, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER="+user)
	if version := request.Header.Get("Git-Protocol"); protocolVersion(version) {
		env = append(env, "GIT_PROTOCOL="+version)
	}
	stderr := &tail{most: 4 << 10}
	(&cgi.Handler{Path: r.git, Args: []string{"http-backend"}, Dir: r.folder, Root: "/", Env: env, Stderr: stderr,
		Logger: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug)}).ServeHTTP(w, inner)
	if said := strings.TrimSpace(stderr.String()); said != "" { // mostly of clients that hung up
		slog.DebugContext(request.Context(), "git http-backend", "project", project, "said", said)
	}
	return nil
}

// protocolVersion tells whether a Git-Protocol header is one that Git sends: "version=2", perhaps with more behind colons.
func protocolVersion(header string) bool {
	return header != "" && len(header) < 100 && strings.Trim(header, "abcdefghijklmnopqrstuvwxyz0123456789=:-") == ""
}

// limited ends a body that is too long.
type limited struct {
	io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, registry.Errorf(registry.TooLarge, "the request is too large")
	}
	return n, err
}
