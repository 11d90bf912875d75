package contract

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"packhouse/test/harness"
)

func TestRoutes(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	k := newPack()
	w.publish(p, w.root(), k)
	for _, path := range []string{"/nothing", "/api", "/api/v4", "/api/v4/", "/api/v4/nothing", "/api/v3/projects", "/api/v4/projects/1/packages/nothing", "/-/nothing", "/api/v4/packages/npm/", "/favicon.ico"} {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE", "PATCH"} {
			w.sub(fmt.Sprintf("%s %s is no route", method, path), func(w *world) {
				a := w.send(call{method: method, path: path}).want(w, 404)
				if a.says("error") != "404 Not Found" || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
					w.Errorf("%s %s", a.header.Get("Content-Type"), a.body)
				}
			})
		}
	}
	w.sub("an unknown route has exactly GitLab's body", func(w *world) {
		w.send(call{path: "/api/v4/nothing"}).want(w, 404).is(w, `{"error":"404 Not Found"}`)
	})
	for _, row := range []struct {
		method, path string
		allow        []string
	}{
		{"DELETE", "/-/health", []string{"GET", "HEAD"}},
		{"POST", "/-/readiness", []string{"GET", "HEAD"}},
		{"PUT", "/metrics", []string{"GET", "HEAD"}},
		{"PATCH", "/api/v4/users", []string{"GET", "POST"}},
		{"DELETE", "/api/v4/projects", []string{"POST"}},
		{"POST", p.prefix() + "/" + k.name, []string{"GET", "PUT"}},
		{"PATCH", p.prefix() + "/" + k.name, []string{"GET", "PUT"}},
		{"DELETE", p.prefix() + "/" + k.name, []string{"GET", "PUT"}},
		{"PUT", p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz", []string{"GET"}},
	} {
		w.sub(fmt.Sprintf("%s is not for %s", row.method, strings.ReplaceAll(row.path, p.prefix(), "")), func(w *world) {
			a := w.send(call{method: row.method, path: row.path, as: w.root()}).want(w, 405)
			allowed := regexp.MustCompile(`[A-Z]+`).FindAllString(a.header.Get("Allow"), -1)
			for _, method := range row.allow {
				if !slices.Contains(allowed, method) {
					w.Errorf("Allow %q lacks %s", a.header.Get("Allow"), method)
				}
			}
			if slices.Contains(allowed, row.method) {
				w.Errorf("Allow %q has %s", a.header.Get("Allow"), row.method)
			}
			if a.says("error") == "" {
				w.Errorf("body %s", a.body)
			}
		})
	}
	// A PUT is served at once, whatever slashes are around it: a redirect would lose its body, or be refused.
	for what, path := range map[string]func(name string) string{
		"a slash at the end":         func(name string) string { return p.prefix() + "/" + name + "/" },
		"two slashes before":         func(name string) string { return "/" + p.prefix() + "/" + name },
		"two slashes within":         func(name string) string { return p.prefix() + "//" + name },
		"slashes everywhere":         func(name string) string { return strings.ReplaceAll(p.prefix()+"/"+name+"/", "/", "//") },
		"three slashes":              func(name string) string { return strings.ReplaceAll(p.prefix()+"/"+name, "/packages/", "///packages/") },
		"a query":                    func(name string) string { return p.prefix() + "/" + name + "?x=1" },
		"two slashes and a slash":    func(name string) string { return "/" + p.prefix() + "//" + name + "/" },
		"two slashes at the end too": func(name string) string { return p.prefix() + "/" + name + "//" },
	} {
		w.sub("PUT with "+what, func(w *world) {
			for _, name := range []string{"slashes" + harness.Random(), "@scope%2fslashes" + harness.Random(), "@scope/slashes" + harness.Random()} {
				k := named(strings.ReplaceAll(name, "%2f", "/"))
				w.send(call{method: "PUT", path: path(name), as: w.root(), body: k.document()}).want(w, 200)
				if got := w.download(p.prefix(), k.name, "1.0.0", anonymous); !bytes.Equal(got, k.tarball()) {
					w.Error("other bytes")
				}
				w.send(call{path: path(name)}).want(w, 200)
			}
		})
	}
	w.sub("POST to the management API with a slash at the end", func(w *world) {
		w.send(call{method: "POST", path: "/api/v4/groups/", as: w.root(), body: map[string]string{"name": "g" + harness.Random(), "path": "g" + harness.Random()}}).want(w, 201)
	})
}

func TestOperations(t *testing.T) {
	w := newWorld(t)
	w.sub("health", func(w *world) {
		if a := w.send(call{path: "/-/health"}).want(w, 200); len(a.body) == 0 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
			w.Errorf("%s %s", a.header.Get("Content-Type"), a.body)
		}
	})
	w.sub("liveness", func(w *world) { w.send(call{path: "/-/liveness"}).want(w, 200).is(w, `{"status":"ok"}`) })
	w.sub("readiness", func(w *world) {
		if a := w.send(call{path: "/-/readiness"}).want(w, 200); a.says("status") != "ok" {
			w.Errorf("%s", a.body)
		}
	})
	for _, path := range []string{"/-/health", "/-/liveness", "/-/readiness", "/metrics"} {
		w.sub("HEAD "+path, func(w *world) { w.send(call{method: "HEAD", path: path}).want(w, 200) })
	}
	w.sub("metrics are Prometheus text", func(w *world) {
		w.send(call{path: w.open().prefix() + "/nothing"}).want(w, 404)
		a := w.send(call{path: "/metrics"}).want(w, 200)
		if !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
			w.Errorf("Content-Type %q", a.header.Get("Content-Type"))
		}
		line := regexp.MustCompile(`^(#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? [-+0-9.eInfNa]+)$`)
		for text := range strings.Lines(string(a.body)) {
			if text = strings.TrimSuffix(text, "\n"); text != "" && !line.MatchString(text) {
				w.Errorf("not a line of metrics: %s", text)
			}
		}
		for _, name := range []string{"packhouse_http_requests_total{", "packhouse_http_request_duration_seconds_bucket{", "packhouse_http_requests_in_flight ", "packhouse_build_info{", "process_resident_memory_bytes ", "go_goroutines "} {
			if !bytes.Contains(a.body, []byte("\n"+name)) {
				w.Errorf("no %s", name)
			}
		}
		if len(leaks(string(a.body))) > 0 {
			w.Error("metrics hold a secret")
		}
	})
	w.sub("metrics through a proxy are for administrators", func(w *world) {
		proxied := map[string]string{"X-Forwarded-For": "203.0.113.1"}
		if a := w.send(call{path: "/metrics", header: proxied}); a.status < 400 {
			w.Errorf("%d", a.status)
		}
		if a := w.send(call{path: "/metrics", header: proxied, as: w.user().as()}); a.status < 400 {
			w.Errorf("a user: %d", a.status)
		}
		w.send(call{path: "/metrics", header: proxied, as: bearer(w.server.RootToken)}).want(w, 200)
	})
	w.sub("a request has an id, its own or the proxy's, and the log has it", func(w *world) {
		one, two := w.send(call{path: "/-/health"}).header.Get("X-Request-Id"), w.send(call{path: "/-/health"}).header.Get("X-Request-Id")
		if one == two || len(one) < 8 {
			w.Errorf("%q and %q", one, two)
		}
		mine := harness.Random()
		if got := w.send(call{path: "/-/health", header: map[string]string{"X-Request-Id": mine}}).header.Get("X-Request-Id"); got != mine {
			w.Errorf("%q, sent %q", got, mine)
		}
		for _, bad := range []string{strings.Repeat("x", 500), "a b\"c", "<script>"} {
			if got := w.send(call{path: "/-/health", header: map[string]string{"X-Request-Id": bad}}).header.Get("X-Request-Id"); got == bad || got == "" {
				w.Errorf("%q was taken over as %q", bad, got)
			}
		}
		eventually(w, "the log has the ids", func() bool {
			found := 0
			for line := range strings.Lines(w.server.Log()) {
				var entry struct {
					ID     string `json:"request_id"`
					Status int
					Method string
				}
				if json.Unmarshal([]byte(line), &entry) == nil && (entry.ID == one || entry.ID == mine) && entry.Status == 200 && entry.Method == "GET" {
					found++
				}
			}
			return found == 2
		})
	})
	w.sub("the log never has a secret, however it comes", func(w *world) {
		p := w.open()
		u := w.user()
		token, plain := u.token, wrong() // with our prefix, and without, as an administrator chooses one
		for _, text := range []string{token, plain} {
			for _, c := range []call{
				{path: "/api/v4/projects?private_token=" + text},
				{path: p.prefix() + "/x?access_token=" + text},
				{method: "DELETE", path: p.prefix() + "/-/user/token/" + text + "x"},
				{method: "DELETE", path: p.prefix() + "/-/user/token/" + text + "/x"},
				{method: "DELETE", path: p.prefix() + "/-/user%2ftoken%2f" + text + "x"},
				{method: "DELETE", path: p.prefix() + "//-//user/token//" + text + "x"},
				{method: "DELETE", path: p.prefix() + "/-/user/./token/" + text},
				{method: "DELETE", path: p.prefix() + "/-/user/../user/token/" + text},
				{method: "GET", path: p.prefix() + "/-/user/token/" + text},
				{method: "DELETE", path: p.prefix() + "/-/npm/v1/tokens/token/" + text + "x"},
				{path: p.prefix() + "/-/v1/done/" + text},
				{path: "/-/login/" + text},
				{method: "PUT", path: p.prefix() + "/-/user/org.couchdb.user:" + u.Username, body: map[string]string{"name": "other", "password": text}},
				{path: p.prefix() + "/x", as: credential{header: "Authorization", value: text}},
				{path: p.prefix() + "/x", header: map[string]string{"Referer": "http://example.com/?private_token=" + text}},
				{path: p.prefix() + "/x", header: map[string]string{"Cookie": "token=" + text}},
				{method: "POST", path: "/api/v4/users", as: w.root(), body: map[string]string{"username": "", "password": text}},
			} {
				w.send(c)
			}
		}
		// The search itself is at the end of all tests.
	})
	w.sub("each line of the log is one of JSON", func(w *world) {
		// A name with line breaks must not make lines of its own.
		w.send(call{path: "/x%0a%7b%22msg%22:%22forged%22%7d", header: map[string]string{"User-Agent": "a\tb\"c"}})
		whole := w.server.Log()
		for line := range strings.Lines(whole[:strings.LastIndexByte(whole, '\n')+1]) {
			var entry map[string]any
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["msg"] == "forged" {
				w.Errorf("%v: %s", err, line)
			}
		}
	})
}

// slow is a body of which the last part waits.
type slow struct {
	body    []byte
	sent    chan struct{} // closed when all but the last part is read
	release chan struct{} // the last part waits for it
	at      int
}

func newSlow(body []byte) *slow {
	return &slow{body: body, sent: make(chan struct{}), release: make(chan struct{})}
}

func (s *slow) Read(p []byte) (int, error) {
	stop := len(s.body) - 100
	switch {
	case s.at == len(s.body):
		return 0, io.EOF
	case s.at < stop:
		n := copy(p, s.body[s.at:stop])
		s.at += n
		return n, nil
	case s.at == stop:
		close(s.sent)
		<-s.release
	}
	n := copy(p, s.body[s.at:])
	s.at += n
	return n, nil
}

// upload begins a publish that stays unfinished until its body is released.
func (w *world) upload(to project, k pack) (*slow, chan *answer) {
	text, err := json.Marshal(k.document())
	if err != nil {
		w.Fatal(err)
	}
	body, done := newSlow(text), make(chan *answer, 1)
	go func() {
		a, err := w.try(call{method: "PUT", path: to.prefix() + "/" + k.name, as: w.root(), body: body})
		if err != nil {
			a = &answer{call: err.Error()}
		}
		done <- a
	}()
	<-body.sent
	eventually(w, "the server stages what arrived", func() bool {
		for path, size := range blobs(w, w.server) {
			if strings.Contains(path, "staging") && size > 0 {
				return true
			}
		}
		return false
	})
	return body, done
}

func large() pack {
	k := newPack()
	k.files["large"] = string(noise(1 << 20))
	return k
}

// A power cut in the middle of an upload leaves what was there, and nothing
// else.
func TestKilledDuringUpload(t *testing.T) {
	t.Parallel()
	config := harness.Config{Data: t.TempDir(), RootToken: harness.Random()}
	w := &world{t, start(t, config), &http.Client{Transport: &http.Transport{}}}
	p := w.project(w.group(harness.Private), harness.Private)
	k := newPack()
	sent := w.publish(p, w.root(), k)
	before := blobs(t, w.server)

	mine := large()
	body, done := w.upload(p, mine)
	more := large() // of a package that is there
	more.name, more.version = k.name, "2.0.0"
	again, repeated := w.upload(p, more)
	w.server.Kill()
	close(body.release)
	close(again.release)
	for _, cut := range []chan *answer{done, repeated} {
		if a := <-cut; a.status != 0 {
			t.Errorf("a server that was killed answered %d", a.status)
		}
	}

	w = &world{t, start(t, config), client}
	defer func() {
		if err := w.server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	w.nothingLeft(before)
	if got := w.download(p.prefix(), k.name, "1.0.0", w.root()); !bytes.Equal(got, sent) {
		t.Error("what was published before is not what it was")
	}
	if got := w.versions(p.prefix(), k.name, w.root()); len(got) != 1 {
		t.Errorf("versions %v", got)
	}
	w.thenRightly(p, w.root(), mine)
	w.publish(p, w.root(), more)
}

// Told to stop, the server finishes what it does.
func TestStoppedDuringUpload(t *testing.T) {
	t.Parallel()
	config := harness.Config{Data: t.TempDir(), RootToken: harness.Random()}
	w := &world{t, start(t, config), &http.Client{Transport: &http.Transport{}}}
	p := w.project(w.group(harness.Private), harness.Private)
	mine := large()
	body, done := w.upload(p, mine)
	stopped := make(chan error, 1)
	go func() { stopped <- w.server.Stop() }()
	w.refusesConnections()
	select {
	case err := <-stopped:
		t.Fatalf("the server did not wait for the upload: %v", err)
	default:
	}
	close(body.release)
	(<-done).want(t, http.StatusOK)
	if err := <-stopped; err != nil {
		t.Error(err)
	}

	w = &world{t, start(t, config), client}
	if got := w.download(p.prefix(), mine.name, "1.0.0", w.root()); !bytes.Equal(got, mine.tarball()) {
		t.Error("the upload that was finished is another")
	}
	if err := w.server.Stop(); err != nil {
		t.Error(err)
	}
	if left := slices.DeleteFunc(slices.Collect(maps.Keys(blobs(t, w.server))), func(path string) bool { return !strings.Contains(path, "staging") }); len(left) > 0 {
		t.Errorf("left in staging: %v", left)
	}
}

// So is a download.
func TestStoppedDuringDownload(t *testing.T) {
	t.Parallel()
	w := &world{t, start(t, harness.Config{Data: t.TempDir()}), client}
	p := w.open()
	k := newPack()
	k.files["large"] = string(noise(12 << 20)) // more than fits into the buffers of a connection
	sent := w.publish(p, w.root(), k)
	response, err := w.client.Get(w.server.URL + p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	stopped := make(chan error, 1)
	go func() { stopped <- w.server.Stop() }()
	w.refusesConnections()
	if got, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%v, %d bytes of %d", err, len(got), len(sent))
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// refusesConnections waits until the server that was told to stop takes none.
func (w *world) refusesConnections() {
	w.Helper()
	eventually(w, "the server takes no new connections", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.server.URL, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

// Whatever was acknowledged before a power cut is there after it, and what is
// listed is whole.
func TestKilledWhilePublishing(t *testing.T) {
	t.Parallel()
	config := harness.Config{Data: t.TempDir(), RootToken: harness.Random()}
	w := &world{t, start(t, config), &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}}
	p := w.open()
	base := newPack()
	var mu sync.Mutex
	acknowledged := map[string][]byte{} // tarballs by version
	enough := make(chan struct{})
	var publishers sync.WaitGroup
	for publisher := range 4 {
		publishers.Go(func() {
			for i := 0; ; i++ {
				k := base.at(fmt.Sprintf("%d.0.%d", publisher, i))
				a, err := w.try(call{method: "PUT", path: p.prefix() + "/" + k.name, as: w.root(), body: k.document()})
				if err != nil {
					return // the server is gone
				}
				a.want(w, http.StatusOK)
				mu.Lock()
				if acknowledged[k.version] = k.tarball(); len(acknowledged) == 20 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	w.server.Kill()
	publishers.Wait()

	w = &world{t, start(t, config), client}
	document := w.packument(p.prefix(), base.name, anonymous)
	listed := keys(document["versions"])
	for version := range acknowledged {
		if !slices.Contains(listed, version) {
			t.Errorf("%s was acknowledged and is lost", version)
		}
	}
	for _, version := range listed {
		a := w.send(call{path: p.prefix() + "/" + base.name + "/-/" + base.name + "-" + version + ".tgz"}).want(t, 200)
		if integrity(a.body) != at(document, "versions", version, "dist", "integrity") {
			t.Errorf("%s is damaged", version)
		}
		if sent, ok := acknowledged[version]; ok && !bytes.Equal(a.body, sent) {
			t.Errorf("%s is another than was acknowledged", version)
		}
	}
	for path := range blobs(t, w.server) {
		if strings.Contains(path, "staging") {
			t.Errorf("left: %s", path)
		}
	}
	if err := w.server.Stop(); err != nil {
		t.Error(err)
	}
}

// program is packhouse as a person starts it, without the harness's flags.
type program struct {
	cmd    *exec.Cmd
	url    chan string
	exited chan error
	mu     sync.Mutex
	out    bytes.Buffer // standard output
	log    bytes.Buffer // standard error
}

// packhouse runs the program with only these variables set.
func packhouse(t *testing.T, env []string, args ...string) *program {
	t.Helper()
	binary, err := harness.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: exec.Command(binary, args...), url: make(chan string, 1), exited: make(chan error, 1)}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.cmd.Dir}, env...)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	both.Go(func() { p.follow(out, &p.out) })
	both.Go(func() { p.follow(log, &p.log) })
	go func() {
		both.Wait()
		p.exited <- p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
	})
	return p
}

var listening = regexp.MustCompile(`https?://[0-9.:\[\]]+`)

func (p *program) follow(r io.Reader, into *bytes.Buffer) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		p.mu.Lock()
		into.WriteString(line)
		p.mu.Unlock()
		if address := listening.FindString(line); address != "" && strings.Contains(line, "listening") {
			select {
			case p.url <- address:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *program) said() (out, log string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String(), p.log.String()
}

// address waits until the program listens.
func (p *program) address(t *testing.T) string {
	t.Helper()
	select {
	case address := <-p.url:
		return address
	case err := <-p.exited:
		_, log := p.said()
		t.Fatalf("ended before it listened: %v\n%s", err, log)
	case <-time.After(30 * time.Second):
		_, log := p.said()
		t.Fatalf("does not listen\n%s", log)
	}
	return ""
}

// end waits for the program's end, with a SIGTERM before when stop is true.
func (p *program) end(t *testing.T, stop bool) error {
	t.Helper()
	if stop {
		p.cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case err := <-p.exited:
		return err
	case <-time.After(30 * time.Second):
		p.cmd.Process.Kill()
		t.Fatal("does not end")
	}
	return nil
}

// world of a program that was started by hand.
func (p *program) world(t *testing.T, token string) *world {
	t.Helper()
	return &world{t, &harness.Server{URL: p.address(t), RootToken: secret(token)}, client}
}

func TestFirstStart(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	args := []string{"serve", "--data", data, "--listen", "127.0.0.1:0"}
	find := func(what, text string) string {
		match := regexp.MustCompile(what+`:\s+(\S+)\n`).FindAllStringSubmatch(text, -1)
		if len(match) != 1 {
			t.Fatalf("%s is there %d times in\n%s", what, len(match), text)
		}
		return match[0][1]
	}
	first := packhouse(t, nil, args...)
	w := first.world(t, "")
	eventually(t, "the token is printed", func() bool { out, _ := first.said(); return strings.Contains(out, "token:") })
	out, log := first.said()
	token, password := secret(find("token", out)), secret(find("password", out))
	if strings.Contains(log, token) || strings.Contains(log, password) {
		t.Error("the log has what was generated")
	}
	w.server.RootToken = token
	w.send(call{path: instance + "/-/whoami", as: w.root()}).want(t, 200).is(t, `{"username":"root"}`)
	secret(w.send(call{method: "PUT", path: instance + "/-/user/org.couchdb.user:root", body: map[string]string{"name": "root", "password": password}}).want(t, 201).says("token"))
	if err := first.end(t, true); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}

	second := packhouse(t, []string{"PACKHOUSE_ROOT_TOKEN=" + secret(harness.Random())}, args...)
	w = second.world(t, token)
	w.send(call{path: instance + "/-/whoami", as: w.root()}).want(t, 200)
	if out, _ := second.said(); strings.Contains(out, "token") || strings.Contains(out, "password") || strings.Contains(out, token) {
		t.Errorf("the second start prints %s", out)
	}
	if err := second.end(t, true); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}

	// Only what is not given is generated.
	third := packhouse(t, []string{"PACKHOUSE_ROOT_PASSWORD=" + secret(harness.Random())}, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0")
	third.address(t)
	eventually(t, "the token is printed", func() bool { out, _ := third.said(); return strings.Contains(out, "token:") })
	out, _ = third.said()
	secret(find("token", out))
	if strings.Contains(out, "password:") {
		t.Errorf("a given password is printed, or another one made:\n%s", out)
	}
	third.end(t, true)
}

// certificate makes one of its own for 127.0.0.1, in files.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cert, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pool
}

func trusting(pool *x509.CertPool) *http.Client {
	return &http.Client{Timeout: time.Minute, CheckRedirect: client.CheckRedirect,
		Transport: &http.Transport{DisableCompression: true, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

func TestTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	w := own(t, harness.Config{Args: []string{"--tls-cert", cert, "--tls-key", key}})
	if !strings.HasPrefix(w.server.URL, "https://127.0.0.1:") {
		t.Fatalf("URL %s", w.server.URL)
	}
	w.client = trusting(pool)
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	k := named("@" + home.Path + "/pack")
	sent := w.publish(p, w.root(), k)
	if got := w.download(instance, k.name, "1.0.0", anonymous); !bytes.Equal(got, sent) {
		t.Error("other bytes")
	}
	w.publishing(p, w.root(), k.document(), k.name).refused(t, 403, exists)
	for name, path := range map[string][]string{"only a certificate": {"--tls-cert", cert}, "only a key": {"--tls-key", key}, "a key that is none": {"--tls-cert", cert, "--tls-key", cert}} {
		t.Run("does not start with "+name, func(t *testing.T) {
			p := packhouse(t, nil, append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0"}, path...)...)
			if err := p.end(t, false); err == nil {
				t.Error("ended well")
			}
			if _, log := p.said(); !strings.Contains(log, "tls") {
				t.Errorf("says %s", log)
			}
		})
	}
}

// Every option is an environment variable too.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	cert, key, pool := certificate(t)
	token := harness.Random()
	data, database, store := filepath.Join(folder, "data"), filepath.Join(folder, "elsewhere", "meta.db"), filepath.Join(folder, "files")
	env := []string{
		"PACKHOUSE_DATA=" + data, "PACKHOUSE_LISTEN=127.0.0.1:0", "PACKHOUSE_URL=https://packages.example.com/", "PACKHOUSE_DATABASE=" + database, "PACKHOUSE_BLOBS=" + store,
		"PACKHOUSE_TLS_CERT=" + cert, "PACKHOUSE_TLS_KEY=" + key, "PACKHOUSE_MAX_FILE_SIZE=10KiB", "PACKHOUSE_MAX_METADATA_SIZE=20000", "PACKHOUSE_DOCUMENT_CACHE=1MiB",
		"PACKHOUSE_SHUTDOWN_TIMEOUT=1s", "PACKHOUSE_LOG_FORMAT=json", "PACKHOUSE_LOG_LEVEL=info", "PACKHOUSE_LOG_REQUESTS=errors",
		"PACKHOUSE_ROOT_TOKEN=" + token, "PACKHOUSE_ROOT_PASSWORD=" + secret(harness.Random()),
	}
	p := packhouse(t, env, "serve")
	w := p.world(t, token)
	w.client = trusting(pool)
	w.sub("PACKHOUSE_TLS_CERT, PACKHOUSE_TLS_KEY and PACKHOUSE_LISTEN", func(w *world) {
		if !strings.HasPrefix(w.server.URL, "https://127.0.0.1:") {
			w.Errorf("listens at %s", w.server.URL)
		}
	})
	home := w.group(harness.Public)
	to := w.project(home, harness.Public)
	k := newPack()
	w.publish(to, w.root(), k)
	w.sub("PACKHOUSE_ROOT_TOKEN, and nothing is printed", func(w *world) {
		w.send(call{path: instance + "/-/whoami", as: w.root()}).want(w, 200)
		if out, _ := p.said(); out != "" {
			w.Errorf("printed %s", out)
		}
	})
	w.sub("PACKHOUSE_URL", func(w *world) {
		if got := at(w.packument(to.prefix(), k.name, anonymous), "versions", "1.0.0", "dist", "tarball"); got != "https://packages.example.com"+to.prefix()+"/"+k.name+"/-/"+k.name+"-1.0.0.tgz" {
			w.Errorf("tarball at %v", got)
		}
		if got := w.send(call{method: "POST", path: instance + "/-/v1/login", body: "{}"}).must(w, 200).says("loginUrl"); !strings.HasPrefix(got, "https://packages.example.com/-/login/") {
			w.Errorf("login at %s", got)
		}
	})
	w.sub("PACKHOUSE_DATABASE, PACKHOUSE_BLOBS and PACKHOUSE_DATA", func(w *world) {
		if _, err := os.Stat(database); err != nil {
			w.Error(err)
		}
		files := 0
		filepath.WalkDir(store, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && d.Name() != "lock" {
				files++
			}
			return nil
		})
		if files != 1 {
			w.Errorf("%d files in %s", files, store)
		}
		if _, err := os.Stat(filepath.Join(p.cmd.Dir, "data")); err == nil {
			w.Error("the default folder was made")
		}
	})
	w.sub("PACKHOUSE_MAX_FILE_SIZE", func(w *world) {
		k := newPack()
		w.publishing(to, w.root(), k.documentOf(noise(10<<10+1)), k.name).want(w, 413)
	})
	w.sub("PACKHOUSE_MAX_METADATA_SIZE", func(w *world) {
		k := newPack()
		k.readme = strings.Repeat("x", 20001)
		w.publishing(to, w.root(), k.document(), k.name).want(w, 413)
	})
	w.sub("PACKHOUSE_LOG_FORMAT and PACKHOUSE_LOG_REQUESTS", func(w *world) {
		failed := w.send(call{path: "/failed"}).header.Get("X-Request-Id")
		succeeded := w.send(call{path: "/-/health"}).header.Get("X-Request-Id")
		w.send(call{path: "/failed"})
		eventually(w, "a failed request is logged", func() bool { _, log := p.said(); return strings.Contains(log, failed) })
		_, log := p.said()
		if strings.Contains(log, succeeded) {
			w.Error("a request that succeeded is logged")
		}
		if !strings.HasPrefix(log, "{") {
			w.Errorf("not JSON: %.200s", log)
		}
	})
	w.sub("PACKHOUSE_SHUTDOWN_TIMEOUT", func(w *world) {
		text, _ := json.Marshal(newPack().document())
		body := newSlow(append(bytes.Repeat([]byte(" "), 5000), text...))
		done := make(chan struct{})
		go func() {
			w.try(call{method: "PUT", path: to.prefix() + "/late", as: w.root(), body: body})
			close(done)
		}()
		<-body.sent
		began := time.Now()
		p.end(w.T, true)
		if took := time.Since(began); took > 20*time.Second {
			w.Errorf("took %v", took)
		}
		close(body.release)
		<-done
	})
	_, log := p.said()
	for _, line := range leaks(log) {
		t.Errorf("the log holds a secret: %s", line)
	}

	for _, wrong := range []string{
		"PACKHOUSE_LISTEN=nowhere", "PACKHOUSE_URL=ftp://x", "PACKHOUSE_DATABASE=mysql://x", "PACKHOUSE_BLOBS=s3://x", "PACKHOUSE_TLS_CERT=/nowhere", "PACKHOUSE_MAX_FILE_SIZE=much",
		"PACKHOUSE_MAX_METADATA_SIZE=-1", "PACKHOUSE_DOCUMENT_CACHE=x", "PACKHOUSE_SHUTDOWN_TIMEOUT=x", "PACKHOUSE_LOG_FORMAT=xml", "PACKHOUSE_LOG_LEVEL=loud", "PACKHOUSE_LOG_REQUESTS=some",
		"PACKHOUSE_ROOT_PASSWORD=short",
	} {
		t.Run("does not start with "+wrong, func(t *testing.T) {
			p := packhouse(t, []string{"PACKHOUSE_DATA=" + t.TempDir(), "PACKHOUSE_LISTEN=127.0.0.1:0", wrong}, "serve")
			if err := p.end(t, false); err == nil {
				t.Error("ended well")
			}
			if _, log := p.said(); len(strings.TrimSpace(log)) == 0 || strings.Contains(log, "goroutine ") {
				t.Errorf("says %q", log)
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args []string
		says string // on standard output
		fail bool
	}{
		{[]string{"version"}, "packhouse ", false},
		{[]string{"help"}, "serve", false},
		{[]string{"--help"}, "serve", false},
		{[]string{}, "serve", false},
		{[]string{"serve", "--help"}, "PACKHOUSE_DATA", false},
		{[]string{"help", "serve"}, "--listen", false},
		{[]string{"nothing"}, "", true},
		{[]string{"serve", "--nothing"}, "", true},
		{[]string{"admin", "token", "--data", "/nowhere"}, "", true},
	} {
		t.Run("packhouse "+strings.Join(row.args, " "), func(t *testing.T) {
			p := packhouse(t, nil, row.args...)
			err := p.end(t, false)
			out, log := p.said()
			if (err != nil) != row.fail || !strings.Contains(out, row.says) || row.fail && log == "" {
				t.Errorf("%v\n%s\n%s", err, out, log)
			}
		})
	}
	t.Run("packhouse serve --help names every flag's variable", func(t *testing.T) {
		p := packhouse(t, nil, "serve", "--help")
		p.end(t, false)
		out, _ := p.said()
		for _, name := range []string{"DATA", "LISTEN", "URL", "DATABASE", "BLOBS", "TLS_CERT", "TLS_KEY", "MAX_FILE_SIZE", "MAX_METADATA_SIZE", "DOCUMENT_CACHE", "SHUTDOWN_TIMEOUT", "LOG_FORMAT", "LOG_LEVEL", "LOG_REQUESTS", "ROOT_PASSWORD", "ROOT_TOKEN"} {
			if !strings.Contains(out, "PACKHOUSE_"+name) {
				t.Errorf("PACKHOUSE_%s is not mentioned", name)
			}
		}
	})
}
