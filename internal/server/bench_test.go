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
	"mime/multipart"
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

// upload sends a wheel with nothing in it but its metadata.
func upload(t testing.TB, s *Server, name, version string) {
	t.Helper()
	var wheel, form bytes.Buffer
	archive := zip.NewWriter(&wheel)
	for file, text := range map[string]string{
		"METADATA": fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version),
		"WHEEL":    "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"RECORD":   "",
	} {
		w, err := archive.Create(name + "-" + version + ".dist-info/" + file)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(text))
	}
	archive.Close()
	fields := multipart.NewWriter(&form)
	for _, field := range [][2]string{{":action", "file_upload"}, {"metadata_version", "2.1"}, {"name", name}, {"version", version}, {"filetype", "bdist_wheel"}, {"pyversion", "py3"}} {
		fields.WriteField(field[0], field[1])
	}
	content, err := fields.CreateFormFile("content", name+"-"+version+"-py3-none-any.whl")
	if err != nil {
		t.Fatal(err)
	}
	content.Write(wheel.Bytes())
	fields.Close()
	r := httptest.NewRequest("POST", "/api/v4/projects/1/packages/pypi", &form)
	r.Header.Set("Authorization", "Bearer "+testToken)
	r.Header.Set("Content-Type", fields.FormDataContentType())
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		t.Fatalf("upload of %s %s: status %d\n%s", name, version, w.Code, w.Body)
	}
}

// nowhere takes an answer and keeps nothing of it.
type nowhere struct{ header http.Header }

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w *nowhere) WriteHeader(int)             {}

// reading is a server with packages, and requests of installers by what they read.
func reading(t testing.TB, versions int) (*Server, map[string]*http.Request) {
	s := open(t, nil)
	do(t, s, http.StatusCreated, "POST", "/api/v4/projects", `{"name":"bench"}`)
	for i := range versions {
		publish(t, s, "bench", fmt.Sprintf("1.0.%d", i))
		upload(t, s, "bench", fmt.Sprintf("1.0.%d", i))
	}
	var archive bytes.Buffer
	zipped := zip.NewWriter(&archive)
	manifest, err := zipped.Create("composer.json")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(manifest, `{"name":"acme/bench","version":"1.0.0"}`)
	zipped.Close()
	do(t, s, http.StatusCreated, "PUT", "/api/v4/projects/1/packages/composer", archive.String())
	request := func(path string, header ...string) *http.Request {
		r := httptest.NewRequest("GET", path, nil)
		r.SetBasicAuth("__token__", testToken)
		r.Header.Set("Accept-Encoding", "gzip")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	const packument, page = "/api/v4/projects/1/packages/npm/bench", "/api/v4/projects/1/packages/pypi/simple/bench/"
	const npm, pip = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*", "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.1, text/html;q=0.01"
	requests := map[string]*http.Request{
		"packument": request(packument, "Accept", npm),
		"tarball":   request(packument + "/-/bench-1.0.1.tgz"),
		"page":      request(page, "Accept", pip),
		"p2":        request("/api/v4/projects/1/packages/composer/p2/acme/bench.json", "User-Agent", "Composer/2.8.8 (Linux)"),
	}
	for _, name := range []string{"packument", "page"} {
		first := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(first, requests[name].Clone(t.Context()))
		if first.Code != http.StatusOK || first.Header().Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s: %d %v", name, first.Code, first.Header())
		}
		again := requests[name].Clone(t.Context())
		again.Header.Set("If-None-Match", first.Header().Get("ETag"))
		requests[name+" unchanged"] = again
	}
	return s, requests
}

// again is a request that can be answered once more: the answer may change it, and its URL.
func again(r *http.Request) *http.Request {
	request, address := *r, *r.URL
	request.URL = &address
	return &request
}

// BenchmarkRead is the path of a reader through the whole program but for the network.
func BenchmarkRead(b *testing.B) {
	s, requests := reading(b, 500)
	for name, r := range requests {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.http.Handler.ServeHTTP(&nowhere{http.Header{}}, again(r))
			}
		})
	}
}

// What a read allocates is for the most part what it makes the garbage collector do later. These are the figures of
// today and a few more.
func TestAllocations(t *testing.T) {
	s, requests := reading(t, 3)
	for name, most := range map[string]float64{"page": 36, "page unchanged": 33, "packument": 43, "packument unchanged": 40, "tarball": 71} {
		got := testing.AllocsPerRun(200, func() {
			s.http.Handler.ServeHTTP(&nowhere{http.Header{}}, again(requests[name]))
		})
		if got > most {
			t.Errorf("%s: %.0f allocations, want %.0f at most", name, got, most)
		}
	}
}
