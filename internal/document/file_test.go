package document_test

import (
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"packhouse/internal/blob"
	"packhouse/internal/document"
	"packhouse/internal/registry"
)

func TestServeFile(t *testing.T) {
	disk, err := blob.OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	reg := &registry.Registry{Blobs: disk}
	const content = "0123456789"
	staged, err := disk.Stage(t.Context(), strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer staged.Discard()
	if err := staged.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := &registry.File{ID: 1, Name: "pack-1.0.0.tgz", Digests: staged.Digests()}
	tag := `"` + file.SHA256 + `"`

	for _, test := range []struct {
		what         string
		method       string
		header       string
		value        string
		status       int
		body         string
		contentRange string
		counts       int64
	}{
		{"all", http.MethodGet, "", "", 200, content, "", 1},
		{"HEAD", http.MethodHead, "", "", 200, "", "", 0},
		{"a range", http.MethodGet, "Range", "bytes=2-4", 206, "234", "bytes 2-4/10", 0},
		{"the rest", http.MethodGet, "Range", "bytes=7-", 206, "789", "bytes 7-9/10", 0},
		{"the end", http.MethodGet, "Range", "bytes=-2", 206, "89", "bytes 8-9/10", 0},
		{"the first part", http.MethodGet, "Range", "bytes=0-3", 206, "0123", "bytes 0-3/10", 1},
		{"all as a range", http.MethodGet, "Range", "bytes=0-", 206, content, "bytes 0-9/10", 1},
		{"HEAD of a range", http.MethodHead, "Range", "bytes=0-", 206, "", "bytes 0-9/10", 0},
		{"behind the end", http.MethodGet, "Range", "bytes=10-", 416, "", "bytes */10", 0},
		{"what is there already", http.MethodGet, "If-None-Match", tag, 304, "", "", 0},
		{"another one there", http.MethodGet, "If-None-Match", `"x"`, 200, content, "", 1},
		{"only this one", http.MethodGet, "If-Match", `"x"`, 412, "", "", 0},
		{"compressed", http.MethodGet, "Accept-Encoding", "gzip", 200, content, "", 1},
	} {
		r := httptest.NewRequest(test.method, "/file", nil)
		if test.header != "" {
			r.Header.Set(test.header, test.value)
		}
		w := httptest.NewRecorder()
		if err := document.ServeFile(w, r, reg, file); err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		if got := counted(t, reg); got != test.counts {
			t.Errorf("%s: counted as %d downloads, want %d", test.what, got, test.counts)
		}
		response := w.Result()
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != test.status || test.status < 400 && string(body) != test.body || response.Header.Get("Content-Range") != test.contentRange {
			t.Errorf("%s: %d %q %q, want %d %q %q", test.what, response.StatusCode, body, response.Header.Get("Content-Range"), test.status, test.body, test.contentRange)
		}
		if test.status < 400 && response.Header.Get("ETag") != tag {
			t.Errorf("%s: ETag %s", test.what, response.Header.Get("ETag"))
		}
		if test.status == 200 && (response.Header.Get("Content-Length") != "10" || response.Header.Get("Content-Encoding") != "") {
			t.Errorf("%s: %v", test.what, response.Header)
		}
	}

	r := httptest.NewRequest(http.MethodGet, "/file", nil)
	r.Header.Set("Range", "bytes=0-1,3-4")
	if err := document.ServeFile(httptest.NewRecorder(), r, reg, file); err != nil || counted(t, reg) != 0 {
		t.Errorf("several ranges: counted, or %v", err)
	}

	for _, name := range []string{"pack-1.0.0.tgz", `a "quoted"; name.zip`, "größe.whl", "../../etc/passwd", "folder/file.txt"} {
		w := httptest.NewRecorder()
		if err := document.ServeFile(w, httptest.NewRequest(http.MethodGet, "/file", nil), reg, &registry.File{Name: name, Digests: file.Digests}); err != nil {
			t.Fatal(err)
		}
		disposition, parameters, err := mime.ParseMediaType(w.Header().Get("Content-Disposition"))
		want := name[strings.LastIndexByte(name, '/')+1:]
		if err != nil || disposition != "attachment" || parameters["filename"] != want {
			t.Errorf("%s: Content-Disposition %q, %v", name, w.Header().Get("Content-Disposition"), err)
		}
		// What somebody uploaded must not become a page of this server.
		if got := w.Header().Get("Content-Type"); got != "application/octet-stream" {
			t.Errorf("%s: Content-Type %q", name, got)
		}
	}

	missing := &registry.File{Name: "x", Digests: registry.Digests{SHA256: strings.Repeat("0", 64)}}
	counted(t, reg)
	w := httptest.NewRecorder()
	if err := document.ServeFile(w, httptest.NewRequest(http.MethodGet, "/file", nil), reg, missing); registry.KindOf(err) != registry.Fault || err == nil || w.Body.Len() > 0 {
		t.Errorf("a row without its bytes: %v, want a Fault and nothing written", err)
	}
	if counted(t, reg) != 0 {
		t.Error("a file that was not there was counted")
	}
}

// counted is how many downloads were counted since the last call.
func counted(t *testing.T, reg *registry.Registry) (n int64) {
	t.Helper()
	if err := reg.Downloads.Flush(t.Context(), &counting{n: &n}); err != nil {
		t.Fatal(err)
	}
	return n
}

// counting is a store that takes nothing but counts.
type counting struct {
	registry.Store
	registry.Tx
	n *int64
}

func (c *counting) Write(_ context.Context, f func(registry.Tx) error) error { return f(c) }

func (c *counting) AddDownloads(rows []registry.Download) error {
	for _, r := range rows {
		*c.n += r.Count
	}
	return nil
}

// Whatever ranges and conditions a client sends, what it gets of a file is what the answer says it is.
func FuzzRanges(f *testing.F) {
	for _, seed := range []string{"bytes=0-", "bytes=2-4", "bytes=-3", "bytes=0-0,-1", "bytes=9-,2-3", "bytes=10-", "bytes=5-4", "bytes=", "lines=1-2", "bytes=0-18446744073709551616", "bytes=" + strings.Repeat("0-0,", 100)} {
		f.Add(seed, "", "")
		f.Add(seed, `"x", W/"y", *`, `"x"`)
	}
	disk, err := blob.OpenDisk(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { disk.Close() })
	const content = "0123456789"
	staged, err := disk.Stage(f.Context(), strings.NewReader(content))
	if err != nil {
		f.Fatal(err)
	}
	defer staged.Discard()
	if err := staged.Commit(f.Context()); err != nil {
		f.Fatal(err)
	}
	reg, file := &registry.Registry{Blobs: disk}, &registry.File{Name: "a.tgz", Digests: staged.Digests()}
	f.Fuzz(func(t *testing.T, ranges, match, ifRange string) {
		r := httptest.NewRequest("GET", "/file", nil)
		r.Header = http.Header{"Range": {ranges}, "If-None-Match": {match}, "If-Range": {ifRange}}
		w := httptest.NewRecorder()
		if err := document.StreamFile(w, r, reg, file); err != nil {
			t.Fatal(err)
		}
		part := func(about, got string) {
			var from, to, of int
			if _, err := fmt.Sscanf(about, "bytes %d-%d/%d", &from, &to, &of); err != nil || of != len(content) || from < 0 || to >= of || from > to || got != content[from:to+1] {
				t.Errorf("Range %q: %q is %q", ranges, about, got)
			}
		}
		kind, parameters, _ := mime.ParseMediaType(w.Header().Get("Content-Type"))
		switch {
		case w.Code == http.StatusOK:
			if w.Body.String() != content {
				t.Errorf("Range %q: all is %q", ranges, w.Body)
			}
		case w.Code == http.StatusPartialContent && kind == "multipart/byteranges":
			for parts := multipart.NewReader(w.Body, parameters["boundary"]); ; {
				p, err := parts.NextPart()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(p)
				if err != nil {
					t.Fatal(err)
				}
				part(p.Header.Get("Content-Range"), string(got))
			}
		case w.Code == http.StatusPartialContent:
			part(w.Header().Get("Content-Range"), w.Body.String())
		case w.Code == http.StatusNotModified && match != "", w.Code == http.StatusRequestedRangeNotSatisfiable && ranges != "":
		default:
			t.Errorf("Range %q, If-None-Match %q, If-Range %q: %d", ranges, match, ifRange, w.Code)
		}
	})
}
