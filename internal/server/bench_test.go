package server

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"archive/tar"
	"archive/zip"
	"compress/gzip"
)

const testToken = "token-of-the-tests"

// open makes a server over a fresh folder. It is driven through its handler.
func open(t testing.TB, change func(*Config)) *Server {
	t.Helper()
	config := Config{Data: t.TempDir(), MaxFile: 1 << 20, MaxMetadata: 1 << 20, DocumentCache: 16 << 20, LogRequests: "none",
		RootPassword: "password-of-the-tests", RootToken: testToken, Version: "test"}
	if change != nil {
		change(&config)
	}
	s, err := New(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// do sends a request as root and wants a status.
func do(t testing.TB, s *Server, want int, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+testToken)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, r)
	if w.Code != want {
		t.Fatalf("%s %s: status %d, want %d\n%s", method, path, w.Code, want, w.Body)
	}
	return w
}

// publish sends a version of a package with a small tarball.
func publish(t testing.TB, s *Server, name, version string) {
	t.Helper()
	manifest := fmt.Sprintf(`{"name":%q,"version":%q,"dependencies":{"a":"^1.0.0","b":"^2.0.0"}}`, name, version)
	var tgz bytes.Buffer
	compressed := gzip.NewWriter(&tgz)
	archive := tar.NewWriter(compressed)
	archive.WriteHeader(&tar.Header{Name: "package/package.json", Mode: 0o644, Size: int64(len(manifest))})
	archive.Write([]byte(manifest))
	archive.Close()
	compressed.Close()
	sum := sha1.Sum(tgz.Bytes())
	do(t, s, http.StatusOK, "PUT", "/api/v4/projects/1/packages/npm/"+name, fmt.Sprintf(
		`{"name":%q,"dist-tags":{"latest":%q},"versions":{%q:{"dist":{"shasum":%q},%s},"_attachments":{"x.tgz":{"data":%q}}}`,
		name, version, version, hex.EncodeToString(sum[:]), manifest[1:], base64.StdEncoding.EncodeToString(tgz.Bytes())))
}

// nowhere takes an answer and keeps nothing of it.
type nowhere struct{ header http.Header }

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w *nowhere) WriteHeader(int)             {}

// BenchmarkRead is the path of a reader through the whole program but for the network.
func BenchmarkRead(b *testing.B) {
	s := open(b, nil)
	do(b, s, http.StatusCreated, "POST", "/api/v4/projects", `{"name":"bench"}`)
	for i := range 500 {
		publish(b, s, "bench", fmt.Sprintf("1.0.%d", i))
	}
	request := func(path string, header ...string) *http.Request {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer "+testToken)
		r.Header.Set("Accept-Encoding", "gzip")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	var archive bytes.Buffer
	zipped := zip.NewWriter(&archive)
	manifest, err := zipped.Create("composer.json")
	if err != nil {
		b.Fatal(err)
	}
	fmt.Fprint(manifest, `{"name":"acme/bench","version":"1.0.0"}`)
	zipped.Close()
	do(b, s, http.StatusCreated, "PUT", "/api/v4/projects/1/packages/composer", archive.String())
	const packument = "/api/v4/projects/1/packages/npm/bench"
	first := do(b, s, http.StatusOK, "GET", packument, "")
	for name, r := range map[string]*http.Request{
		"packument": request(packument, "Accept", "application/vnd.npm.install-v1+json"),
		"unchanged": request(packument, "If-None-Match", first.Header().Get("ETag")),
		"tarball":   request(packument + "/-/bench-1.0.7.tgz"),
		"p2":        request("/api/v4/projects/1/packages/composer/p2/acme/bench.json", "User-Agent", "Composer/2.8.8 (Linux)"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.http.Handler.ServeHTTP(&nowhere{http.Header{}}, r)
			}
		})
	}
}
