package blob_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"packhouse/internal/blob"
	"packhouse/internal/blob/blobtest"
	"packhouse/internal/registry"
)

func openS3(t *testing.T, location string) *blob.S3 {
	t.Helper()
	s, err := blob.OpenS3(t.Context(), location, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestS3(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blobtest.Store {
		staging := t.TempDir()
		s, err := blob.OpenS3(t.Context(), blobtest.S3(t), staging)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return blobtest.Store{BlobStore: s, Staged: func() int { return len(files(t, staging)) + blob.Uploads(t, s) }}
	})
}

func TestOpenS3Fails(t *testing.T) {
	good := blobtest.S3(t)
	for _, location := range []string{
		"s3://", "s3:///prefix", "gs://bucket", "s3://key:secret@bucket/", "s3://bucket?endpoint=nowhere", "s3://bucket?colour=red",
		"s3://bucket\x00", strings.Replace(good, "s3://", "s3://not-", 1),
		"s3://bucket?lookup=path&region=us-east-1&endpoint=" + url.QueryEscape("http://127.0.0.1:1"),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		s, err := blob.OpenS3(ctx, location, t.TempDir())
		cancel()
		if err == nil {
			s.Close()
			t.Errorf("opened %s", location)
		} else if strings.Contains(err.Error(), "secret@") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

// Large files go as parts before the transaction; what a process that died left of them is removed by age.
func TestS3Uploads(t *testing.T) {
	s := openS3(t, blobtest.S3(t))
	large := strings.Repeat("0123456789abcdef", 40<<20/16)
	staged, err := s.Stage(t.Context(), strings.NewReader(large))
	if err != nil {
		t.Fatal(err)
	}
	sum := staged.Digests().SHA256
	if n := blob.Uploads(t, s); n != 1 {
		t.Errorf("%d uploads go on, want 1", n)
	}
	if _, err := s.Open(t.Context(), sum); registry.KindOf(err) != registry.NotFound {
		t.Errorf("it can be read before it is committed: %v", err)
	}
	if err := s.Sweep(t.Context(), time.Now().Add(-time.Hour)); err != nil || blob.Uploads(t, s) != 1 {
		t.Errorf("a young upload was removed: %v", err)
	}
	if err := staged.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	staged.Discard()
	opened, err := s.Open(t.Context(), sum)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if got, err := io.ReadAll(opened); err != nil || string(got) != large {
		t.Errorf("it comes back with %d bytes, %v", len(got), err)
	}

	// One that the store has is not sent again. When it is removed meanwhile, it is.
	again, err := s.Stage(t.Context(), strings.NewReader(large))
	if err != nil {
		t.Fatal(err)
	}
	if n := blob.Uploads(t, s); n != 0 {
		t.Errorf("%d uploads of what is there", n)
	}
	if err := s.Remove(t.Context(), []string{sum}); err != nil {
		t.Fatal(err)
	}
	if err := again.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	again.Discard()
	if opened, err := s.Open(t.Context(), sum); err != nil {
		t.Error(err)
	} else {
		opened.Close()
	}

	// A process dies: nobody discards.
	if _, err := s.Stage(t.Context(), strings.NewReader("x"+large)); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context(), time.Now().Add(time.Minute)); err != nil || blob.Uploads(t, s) != 0 {
		t.Errorf("%d uploads are left, %v", blob.Uploads(t, s), err)
	}
}

// A transaction may be run again after the collector took what its first run stored: it is stored again, small or large. What
// a broken store left half under its name is replaced.
func TestS3CommitsAgain(t *testing.T) {
	location, folder, err := blobtest.CreateBucket()
	if err != nil {
		t.Fatal(err)
	}
	s := openS3(t, location)
	for _, content := range []string{"small", strings.Repeat("0123456789abcdef", 9<<20/16)} {
		staged, err := s.Stage(t.Context(), strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		sum := staged.Digests().SHA256
		for _, spoil := range []func() error{
			func() error { return nil },
			func() error { return s.Remove(t.Context(), []string{sum}) },
			func() error {
				return os.WriteFile(filepath.Join(folder, "registry", "sha256", sum[:2], sum), []byte("half"), 0o644)
			},
		} {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			if err := staged.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			opened, err := s.Open(t.Context(), sum)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(opened); err != nil || string(got) != content {
				t.Errorf("it comes back with %d bytes, want %d; %v", len(got), len(content), err)
			}
			opened.Close()
		}
		staged.Discard()
		if n := blob.Uploads(t, s); n != 0 {
			t.Errorf("%d uploads are left", n)
		}
	}
}

// proxy stands before an S3 server; answer may answer in its place.
func proxy(t *testing.T, location string, answer func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	target, err := url.Parse(query.Get("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	// The host stays as it was signed.
	through := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
		r.Out.Host = r.In.Host
	}}
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if !answer(w, r) {
			through.ServeHTTP(w, r)
		}
	})
	query.Set("endpoint", server)
	u.RawQuery = query.Encode()
	return u.String()
}

func TestS3Link(t *testing.T) {
	s := openS3(t, blobtest.S3(t))
	staged, err := s.Stage(t.Context(), strings.NewReader("a package"))
	if err != nil {
		t.Fatal(err)
	}
	defer staged.Discard()
	if err := staged.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	link, err := s.Link(t.Context(), staged.Digests().SHA256, "hello-1.0.0.tgz")
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != 200 || string(body) != "a package" || response.Header.Get("Content-Disposition") != "attachment; filename=hello-1.0.0.tgz" ||
		response.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%s: %q with %v", response.Status, body, response.Header)
	}
	if bare, _, _ := strings.Cut(link, "?"); bare != "" {
		if response, err := http.Get(bare); err != nil || response.StatusCode != 403 {
			t.Errorf("without its signature: %v, %v, want 403", response, err)
		}
	}
}

// The errors of a store that is out of order are no fault of ours, and a commit in doubt is looked at again.
func TestS3OutOfOrder(t *testing.T) {
	var mode atomic.Value
	mode.Store("")
	location := proxy(t, blobtest.S3(t), func(w http.ResponseWriter, r *http.Request) bool {
		switch m := mode.Load().(string); {
		case m == "503", m == "full" && r.Method == "PUT":
			status, code := 503, "SlowDown"
			if m == "full" {
				status, code = 507, "XMinioStorageFull"
			}
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			io.WriteString(w, "<Error><Code>"+code+"</Code><Message>out of order</Message></Error>")
			return true
		}
		return false
	})
	s := openS3(t, location)
	staged, err := s.Stage(t.Context(), strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	defer staged.Discard()
	for name, want := range map[string]registry.Kind{"503": registry.Unavailable, "full": registry.Full} {
		mode.Store(name)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		if name == "503" {
			if _, err := s.Open(ctx, staged.Digests().SHA256); registry.KindOf(err) != want {
				t.Errorf("%s: Open: %v, want kind %d", name, err, want)
			}
			if err := s.Ping(ctx); registry.KindOf(err) != want {
				t.Errorf("%s: Ping: %v, want kind %d", name, err, want)
			}
		} else if err := staged.Commit(ctx); registry.KindOf(err) != want {
			t.Errorf("%s: Commit: %v, want kind %d", name, err, want)
		}
		cancel()
	}
	mode.Store("")
	if err := staged.Commit(t.Context()); err != nil {
		t.Errorf("when it is in order again: %v", err)
	}
}

// An answer may break off; the rest is asked for.
func TestS3ReadGoesOn(t *testing.T) {
	var cuts atomic.Int64
	content := strings.Repeat("abcdefghij", 300_000)
	s := openS3(t, proxy(t, blobtest.S3(t), func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "GET" || !strings.Contains(r.URL.Path, "/sha256/") || cuts.Add(1) > 2 {
			return false
		}
		from, err := rangeStart(r.Header.Get("Range"))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Length", "3000000")
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusPartialContent)
		io.WriteString(w, content[from:from+1000])
		panic(http.ErrAbortHandler)
	}))
	staged, err := s.Stage(t.Context(), strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer staged.Discard()
	if err := staged.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	opened, err := s.Open(t.Context(), staged.Digests().SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if got, err := io.ReadAll(opened); err != nil || string(got) != content || cuts.Load() < 3 {
		t.Errorf("%d bytes, %v, after %d requests", len(got), err, cuts.Load())
	}
}

// What was in the folder of a process that died goes with the next start.
func TestS3Staging(t *testing.T) {
	staging := t.TempDir()
	location := blobtest.S3(t)
	old := filepath.Join(staging, "dead")
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := blob.OpenS3(t.Context(), location, staging)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a dead process: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(staging); err != nil || slices.ContainsFunc(left, os.DirEntry.IsDir) {
		t.Errorf("left: %v, %v", left, err)
	}
}

func newServer(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// rangeStart is where a header "bytes=5-" or "bytes=5-9" begins.
func rangeStart(header string) (int, error) {
	from, _, _ := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	return strconv.Atoi(from)
}
