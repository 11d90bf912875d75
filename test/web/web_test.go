// Package web drives the pages with a real browser: the stories of people who use them, and each page in both themes and on a
// phone, looked at with axe-core. The scripts beside this file hold the browser; here is what they find.
package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"packhouse/test/harness"
)

// browse runs a script of the browser. It is given a value as JSON, and writes one line for each thing that it has looked at:
// "ok NAME" or "not ok NAME: why", which become tests; what else it writes is shown.
func browse(t *testing.T, script string, input any) {
	t.Helper()
	modules, err := harness.Tool("browser-modules/playwright-core/cli.js")
	if err != nil {
		t.Fatal(err)
	}
	chromium, err := harness.Tool("chromium")
	if err != nil {
		t.Fatal(err)
	}
	given, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script)
	cmd.Env = append(os.Environ(), "MODULES="+filepath.Dir(filepath.Dir(modules)), "CHROMIUM="+chromium, "HOME="+t.TempDir())
	cmd.Stdin = bytes.NewReader(given)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "ok "); ok {
			seen++
			t.Run(name, func(*testing.T) {})
		} else if rest, ok := strings.CutPrefix(line, "not ok "); ok {
			seen++
			name, why, _ := strings.Cut(rest, ": ")
			t.Run(name, func(t *testing.T) { t.Error(strings.ReplaceAll(why, "␤", "\n")) })
		} else {
			t.Log(line)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", script, err, stderr.String())
	}
	if seen == 0 {
		t.Errorf("%s has looked at nothing", script)
	}
}

func start(t *testing.T, config harness.Config) *harness.Server {
	t.Helper()
	s, err := harness.Start(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var printedPassword = regexp.MustCompile(`password: (\S+)`)

// TestStories walks what people come for: the first run, a group, a project, a token; a publish with real npm and that token; search,
// reading, the install line, deletion. Then the same on a phone in the dark.
func TestStories(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{OwnPassword: true, Args: []string{"--log-requests", "errors"}})
	found := printedPassword.FindStringSubmatch(s.Output())
	if found == nil {
		t.Fatalf("the first start printed no password: %s", s.Output())
	}
	browse(t, "stories.mjs", map[string]string{"url": s.URL, "password": found[1], "folder": t.TempDir()})
}

// drip is a body that comes a little at a time, as over a slow line: the browser paints what it has in between.
type drip struct{ io.ReadCloser }

func (d drip) Read(p []byte) (int, error) {
	time.Sleep(30 * time.Millisecond)
	return d.ReadCloser.Read(p[:min(len(p), 512)])
}

// slowly serves a server's pages as over a slow line, at another address.
func slowly(t *testing.T, address string) string {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // a form is refused that seems to come from elsewhere
		},
		ModifyResponse: func(r *http.Response) error {
			if strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
				r.Body = drip{r.Body}
			}
			return nil
		},
		FlushInterval: -1,
	}
	line := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Otherwise the answer's first byte closes the form's body, whose end may not have been read yet.
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(line.Close)
	return line.URL
}

// TestPages opens every page in both themes, on a desk and on a phone. Pages come slowly, since a fast one that is painted once hides what moves.
func TestPages(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Args: []string{"--log-requests", "errors"}})
	w := fill(t, s)
	folder := os.Getenv("PACKHOUSE_SCREENSHOTS")
	browse(t, "pages.mjs", map[string]any{"url": slowly(t, s.URL), "password": s.RootPassword, "pages": w.pages(), "folder": folder, "attack": w.attack, "newcomer": map[string]string{"username": w.newcomer.Username, "password": w.newcomer.Password}, "only": os.Getenv("PACKHOUSE_PAGES")})
}
