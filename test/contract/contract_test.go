// Package contract says in tables what the endpoints of npm answer: each row
// reads as a sentence, each test has users, groups and projects of its own,
// and the server is the built binary. What the rows demand comes from GitLab's
// npm API, from what npm, yarn, pnpm and bun send, and from Packhouse's own
// decisions where it differs (docs/formats/npm.md), not from the code.
package contract

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"packhouse/internal/blob/blobtest"
	"packhouse/internal/database/databasetest"
	"packhouse/test/harness"
)

// shared is the server of all tests that need nothing special of one. It logs
// all that it can, for the test of the log.
var shared *harness.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if shared, err = begin(harness.Config{Args: []string{"--log-level", "debug"}}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	secret(shared.RootToken)
	secret(shared.RootPassword)
	code := m.Run()
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	// Last, when everything has been exercised.
	for _, line := range leaks(shared.Log()) {
		fmt.Fprintln(os.Stderr, "the log holds a secret:", line)
		code = 1
	}
	for line := range strings.Lines(shared.Log()) {
		if strings.Contains(line, "a parameter is read that the table of routes does not name") {
			fmt.Fprintln(os.Stderr, "the OpenAPI document lacks a parameter:", line)
			code = 1
		}
	}
	return code
}

// onDatabase lets a server that a test has not given a database run on PostgreSQL, when PACKHOUSE_TEST_DATABASE says so.
func onDatabase(config harness.Config) harness.Config {
	given := func(arg string) bool { return strings.HasPrefix(arg, "--database") }
	if os.Getenv("PACKHOUSE_TEST_DATABASE") != "postgres" || slices.ContainsFunc(config.Args, given) || config.Data != "" {
		return config
	}
	url, _, err := databasetest.Create() // it goes with the cluster, at the end of the process
	if err != nil {
		panic(err)
	}
	config.Args = append(slices.Clone(config.Args), "--database", url)
	return config
}

// begin starts a server on the stores that the environment asks for.
func begin(config harness.Config) (*harness.Server, error) {
	config, bucket := inBucket(onDatabase(config))
	server, err := harness.Start(context.Background(), config)
	if err == nil && bucket != "" {
		buckets.Store(server, bucket)
	}
	return server, err
}

// buckets has the folders behind the buckets of servers.
var buckets sync.Map

// inBucket lets a server that a test has not given a store keep its files in a bucket, when PACKHOUSE_TEST_BLOBS says so.
func inBucket(config harness.Config) (_ harness.Config, folder string) {
	given := func(arg string) bool { return strings.HasPrefix(arg, "--blobs") }
	if os.Getenv("PACKHOUSE_TEST_BLOBS") != "s3" || slices.ContainsFunc(config.Args, given) || config.Data != "" {
		return config, ""
	}
	location, folder, err := blobtest.CreateBucket()
	if err != nil {
		panic(err)
	}
	config.Args = append(slices.Clone(config.Args), "--blobs", location)
	return config, folder
}

// secrets are all tokens and passwords, right and wrong ones, that a test has
// sent or was given.
var secrets sync.Map

func secret(text string) string {
	if len(text) >= 8 {
		secrets.Store(text, true)
	}
	return text
}

// leaks are the lines of a log that hold a secret.
func leaks(log string) []string {
	var found []string
	secrets.Range(func(text, _ any) bool {
		for rest := log; strings.Contains(rest, text.(string)); {
			at := strings.Index(rest, text.(string))
			start := strings.LastIndexByte(rest[:at], '\n') + 1
			line, after, _ := strings.Cut(rest[start:], "\n")
			found = append(found, line)
			rest = after
		}
		return true
	})
	return found
}

// world is a test with a server. Nothing that it makes meets another test's.
type world struct {
	*testing.T
	server *harness.Server
	client *http.Client
}

func newWorld(t *testing.T) *world {
	t.Parallel()
	return &world{t, shared, client}
}

// own is a world on a server of its own, whose log is searched at the end.
func own(t *testing.T, config harness.Config) *world {
	t.Parallel()
	server := start(t, config)
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &world{t, server, client}
}

func start(t *testing.T, config harness.Config) *harness.Server {
	t.Helper()
	server, err := begin(config)
	if err != nil {
		t.Fatal(err)
	}
	secret(server.RootToken)
	secret(server.RootPassword)
	t.Cleanup(func() {
		for _, line := range leaks(server.Log()) {
			t.Errorf("the log holds a secret: %s", line)
		}
	})
	return server
}

// sub is the same world in a subtest.
func (w *world) sub(name string, run func(*world)) {
	w.Run(name, func(t *testing.T) { run(&world{t, w.server, w.client}) })
}

// client sees answers as they are: no redirect is followed, nothing is
// unpacked. Its timeout is long enough for any answer.
var client = &http.Client{
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       2 * time.Minute,
}

// call is one request. The zero value of each field is the usual one.
type call struct {
	method string     // GET
	path   string     // after the server's URL, escaped as it is sent
	as     credential // anonymous
	header map[string]string
	body   any // []byte, string and io.Reader are sent as they are, anything else as JSON
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
	call   string // what was asked
}

func (w *world) send(c call) *answer {
	w.Helper()
	a, err := w.try(c)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// try sends a request. The error is the transport's.
func (w *world) try(c call) (*answer, error) {
	request, err := w.request(c)
	if err != nil {
		return nil, err
	}
	response, err := w.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", request.Method, c.path, err)
	}
	a := &answer{response.StatusCode, response.Header, body, request.Method + " " + c.path}
	w.always(request, a)
	return a, nil
}

func (w *world) request(c call) (*http.Request, error) {
	var body io.Reader
	switch b := c.body.(type) {
	case nil:
	case []byte:
		body = bytes.NewReader(b)
	case string:
		body = strings.NewReader(b)
	case io.Reader:
		body = b
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	if c.method == "" {
		c.method = http.MethodGet
	}
	request, err := http.NewRequest(c.method, w.server.URL, body)
	if err != nil {
		return nil, err
	}
	host := request.URL.Host
	if request.URL, err = url.Parse(w.server.URL + c.path); err != nil {
		// What no URL may look like goes on the wire all the same.
		request.URL = &url.URL{Scheme: "http", Host: host, Opaque: c.path}
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for key, value := range c.header {
		if key == "Host" {
			request.Host = value
			continue
		}
		request.Header.Set(key, value)
	}
	c.as.on(request)
	return request, nil
}

// always is what holds for every answer.
func (w *world) always(request *http.Request, a *answer) {
	for key, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN"} {
		if got := a.header.Get(key); got != want {
			w.Errorf("%s: %s is %q, want %q", a.call, key, got, want)
		}
	}
	if a.header.Get("X-Request-Id") == "" {
		w.Errorf("%s: no X-Request-Id", a.call)
	}
	if a.status >= 500 {
		w.Errorf("%s: %d %s", a.call, a.status, a.body)
	}
	if strings.HasPrefix(a.header.Get("Content-Type"), "text/html") && !strings.HasPrefix(request.URL.Path, "/api/") {
		w.pageAlways(a)
	}
	if to := a.header.Get("Location"); a.status == http.StatusSeeOther && !strings.HasPrefix(request.URL.Path, "/api/") {
		if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n") {
			w.Errorf("%s: led to %q", a.call, to)
		}
		return
	}
	if a.status >= 300 && a.status < 400 && a.status != http.StatusNotModified && a.status != http.StatusMovedPermanently {
		w.Errorf("%s: redirected to %s", a.call, a.header.Get("Location"))
	}
	if a.status == http.StatusMovedPermanently { // only from the path that something had before, to its number
		if to := a.header.Get("Location"); string(a.body) != "This resource has been moved permanently to "+to && request.Method != http.MethodHead || !movedTo.MatchString(to) {
			w.Errorf("%s: redirected to %s: %s", a.call, to, a.body)
		}
	}
	if request.Method == http.MethodHead && len(a.body) > 0 {
		w.Errorf("%s: has a body", a.call)
	}
	w.described(request, a)
	if a.status < 400 || request.Method == http.MethodHead || !strings.Contains(a.call, "/api/v4/") {
		return
	}
	if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		w.Errorf("%s: %d as %q, want JSON", a.call, a.status, kind)
	}
	if strings.Contains(a.call, "packages/npm") && a.says("error") == "" { // npm prints nothing else
		w.Errorf("%s: %d without an error text: %s", a.call, a.status, a.body)
	}
}

var movedTo = regexp.MustCompile(`^https?://[^/]+/api/v4/(projects|groups?)/[0-9]+(/|\?|$)`)

// says is a text of the body's object, or "".
func (a *answer) says(key string) string {
	var body map[string]any
	json.Unmarshal(a.body, &body)
	text, _ := body[key].(string)
	return text
}

// want checks the status.
func (a *answer) want(t testing.TB, status int) *answer {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: %d, want %d\n%.600s", a.call, a.status, status, a.body)
	}
	return a
}

// must is want, where going on makes no sense otherwise.
func (a *answer) must(t testing.TB, status int) *answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("%s: %d, want %d\n%.600s", a.call, a.status, status, a.body)
	}
	return a
}

// refused checks a status and the form of errors, {"message": …, "error": …}
// with the same text, which begins with message; of what is missing, message
// says besides that it is a bad request.
func (a *answer) refused(t testing.TB, status int, message string) *answer {
	t.Helper()
	a.want(t, status)
	said := a.says("error")
	if whole := a.says("message"); said == "" || !strings.HasPrefix(said, message) || whole != said && whole != "400 Bad request - "+said {
		t.Errorf("%s: body %.600s\nwant message and error to be %q", a.call, a.body, message)
	}
	return a
}

// body checks the whole of a JSON body.
func (a *answer) is(t testing.TB, want string) *answer {
	t.Helper()
	if !sameJSON(string(a.body), want) {
		t.Errorf("%s: body %.600s\nwant %s", a.call, a.body, want)
	}
	return a
}

func sameJSON(a, b string) bool {
	canonical := func(text string) string {
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			return "not JSON: " + text
		}
		out, _ := json.Marshal(value)
		return string(out)
	}
	return canonical(a) == canonical(b)
}

// object decodes the body, which must name no key twice.
func (a *answer) object(t testing.TB) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	value, err := strict(decoder)
	if err == nil {
		if _, more := decoder.Token(); more != io.EOF {
			err = fmt.Errorf("something follows the document")
		}
	}
	object, ok := value.(map[string]any)
	if err != nil || !ok {
		t.Fatalf("%s: not one JSON object: %v\n%.600s", a.call, err, a.body)
	}
	return object
}

// strict decodes one value and fails for an object with a key twice.
func strict(decoder *json.Decoder) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for decoder.More() {
			key, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			if _, ok := object[key.(string)]; ok {
				return nil, fmt.Errorf("%q is there twice", key)
			}
			if object[key.(string)], err = strict(decoder); err != nil {
				return nil, err
			}
		}
		_, err = decoder.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			value, err := strict(decoder)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = decoder.Token()
		return list, err
	}
	return token, nil
}

// at walks into objects; nil where there is nothing.
func at(value any, keys ...string) any {
	for _, key := range keys {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	return value
}

// keys of an object, sorted.
func keys(value any) []string {
	object, _ := value.(map[string]any)
	names := []string{}
	for key := range object {
		names = append(names, key)
	}
	slices.Sort(names)
	return names
}

// ---- credentials

// credential is a way to say who asks.
type credential struct {
	header, value string
	query         string // parameter, in place of a header
}

func (c credential) on(request *http.Request) {
	switch {
	case c.query != "":
		query := request.URL.Query()
		query.Set(c.query, c.value)
		request.URL.RawQuery = query.Encode()
	case c.header != "":
		request.Header[c.header] = []string{c.value}
	}
}

var anonymous credential

func private(token string) credential {
	return credential{header: "Private-Token", value: secret(token)}
}
func bearer(token string) credential {
	return credential{header: "Authorization", value: "Bearer " + secret(token)}
}
func basic(user, token string) credential {
	secret(token)
	return credential{header: "Authorization", value: "Basic " + secret(base64.StdEncoding.EncodeToString([]byte(user+":"+token)))}
}
func deploy(token string) credential { return credential{header: "Deploy-Token", value: secret(token)} }
func job(token string) credential    { return credential{header: "Job-Token", value: secret(token)} }
func param(name, token string) credential {
	return credential{query: name, value: secret(token)}
}

// wrong is a token that nobody has.
func wrong() string { return secret(harness.Random()) }

// ---- people and places

func (w *world) root() credential { return private(w.server.RootToken) }

// make posts as root to the management API and decodes what was made.
func (w *world) make(path string, body map[string]any, into any) {
	w.Helper()
	a := w.send(call{method: "POST", path: "/api/v4" + path, as: w.root(), body: body}).must(w, http.StatusCreated)
	if err := json.Unmarshal(a.body, into); err != nil {
		w.Fatal(err)
	}
}

type group struct{ harness.Group }

func (g group) path() string { return fmt.Sprintf("/groups/%d", g.ID) } // in the management API

// prefix of the group's packages.
func (g group) prefix() string { return fmt.Sprintf("/api/v4/groups/%d/-/packages/npm", g.ID) }

// group makes one at the top, or below another.
func (w *world) group(visibility string, above ...group) (made group) {
	w.Helper()
	name := "g" + harness.Random()[:12]
	body := map[string]any{"name": name, "path": name, "visibility": visibility}
	if len(above) > 0 {
		body["parent_id"] = above[0].ID
	}
	w.make("/groups", body, &made)
	return made
}

type project struct{ harness.Project }

// prefix of the project's packages.
func (p project) prefix() string { return fmt.Sprintf("/api/v4/projects/%d/packages/npm", p.ID) }

func (p project) path() string { return p.PathWithNamespace }

// project makes one in a group. More is set as given.
func (w *world) project(in group, visibility string, more ...map[string]any) (made project) {
	w.Helper()
	body := map[string]any{"name": "p" + harness.Random()[:12], "namespace_id": in.ID, "visibility": visibility}
	for _, fields := range more {
		maps.Copy(body, fields)
	}
	w.make("/projects", body, &made)
	return made
}

// open is a public project of its own public group.
func (w *world) open() project {
	w.Helper()
	return w.project(w.group(harness.Public), harness.Public)
}

type user struct {
	harness.User
	token string // personal, scope api
}

func (w *world) user() user {
	w.Helper()
	name, password := "u"+harness.Random()[:12], secret(harness.Random())
	var u user
	w.make("/users", map[string]any{"username": name, "name": name, "email": name + "@example.com", "password": password, "skip_confirmation": true}, &u)
	u.Password = password
	u.token = w.personal(u, "api")
	return u
}

func (u user) as() credential { return private(u.token) }

// personal makes a token of a user.
func (w *world) personal(u user, scopes ...string) string {
	w.Helper()
	return w.token(fmt.Sprintf("/users/%d/personal_access_tokens", u.ID), scopes)
}

func (w *world) token(path string, scopes []string) string {
	w.Helper()
	var made harness.Token
	w.make(path, map[string]any{"name": "test", "scopes": scopes}, &made)
	return secret(made.Token)
}

// member makes a user who is a member of a project.
func (w *world) member(p project, level int) user {
	w.Helper()
	u := w.user()
	w.join(fmt.Sprintf("/projects/%d", p.ID), u, level)
	return u
}

// join makes a user a member of a project or group.
func (w *world) join(path string, u user, level int) {
	w.Helper()
	w.make(path+"/members", map[string]any{"user_id": u.ID, "access_level": level}, &struct{}{})
}

// deployToken makes one of a project.
func (w *world) deployToken(p project, scopes ...string) string {
	w.Helper()
	return w.token(fmt.Sprintf("/projects/%d/deploy_tokens", p.ID), scopes)
}

// jobToken makes a CI job's token of a user in a project.
func (w *world) jobToken(p project, u user, seconds int) string {
	w.Helper()
	a := w.send(call{method: "POST", path: fmt.Sprintf("/api/v4/projects/%d/job_tokens", p.ID), as: u.as(), body: map[string]any{"ref": "main", "expires_in": seconds}})
	return secret(a.must(w, http.StatusCreated).says("token"))
}

const instance = "/api/v4/packages/npm"

// eventually waits until something holds that the server does in its own
// time, and fails when it does not within a bound.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	bound := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-bound:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}
