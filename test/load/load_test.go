package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"packhouse/test/harness"
)

// The benchmark itself, with next to nothing to do: every figure is there and
// every answer was right. How fast it was is not looked at.
func TestRunGivesEveryFigure(t *testing.T) {
	o := options{
		readVersions: 70, grownVersions: 45, freshVersions: []int{20, 45}, publishers: 3, each: 4, large: 6 << 20, largeFile: 3 << 20,
		listPackages: 200, listVersions: 10, listRequests: 1,
		rounds: 1, duration: 100 * time.Millisecond, connections: 4,
		starts: 1, settle: time.Millisecond, quiet: time.Millisecond,
		wrk:   false,                                   // has no time shorter than a second
		peers: os.Getenv("PACKHOUSE_TEST_PEERS") != "", // they take their time to start
		json:  filepath.Join(t.TempDir(), "report.json"),
	}
	var table strings.Builder
	if _, err := run(t.Context(), o, &table, io.Discard); err != nil {
		t.Fatalf("%v\n%s", err, &table)
	}

	var got report
	content, err := os.ReadFile(o.json)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &got); err != nil {
		t.Fatal(err)
	}
	type row struct{ ID, Systems string }
	var rows []row
	for _, f := range got.Figures {
		if strings.HasPrefix(f.ID, "nodes.") && strings.HasSuffix(f.ID, ".shared") {
			continue // of so little work nothing may be seen
		}
		var systems []string
		for _, s := range f.Samples {
			systems = append(systems, s.System)
			// So little memory that it is not seen to rise is right too.
			if s.Value <= 0 && !strings.HasSuffix(f.ID, ".large.memory") {
				t.Errorf("%s of %s is %v", f.ID, s.System, s.Value)
			}
		}
		rows = append(rows, row{f.ID, strings.Join(systems, " / ")})
		if !strings.Contains(table.String(), f.What) {
			t.Errorf("the table has no row %q:\n%s", f.What, &table)
		}
	}
	// What is not installed is not measured. `make bench` installs the peers, `make test` all else.
	nginx, verdaccio, devpi := " / "+nginxName, "", ""
	if _, err := findNginx(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("nginx is missing")
		}
		nginx = ""
	}
	if _, err := harness.Tool("verdaccio"); o.peers && err == nil {
		verdaccio = " / " + verdaccioName
	}
	if _, err := harness.Tool("devpi-server"); o.peers && err == nil {
		devpi = " / " + devpiName
	}
	python := devpi
	if _, err := harness.Tool("pypi-server"); o.peers && err == nil {
		python += " / " + pypiserverName
	}
	disk, copied, again := " / "+diskFiles, " / "+copyDigests, " / "+packhouse+", again"
	alone := " / " + packhouse + ", one reader"
	want := []row{
		{"npm.publish.rate", packhouse + disk + verdaccio},
		{"npm.publish.grown", packhouse},
		{"npm.publish.growth", packhouse + ", last / " + firstVersions},
		{"npm.publish.parallel", packhouse + disk + verdaccio},
		{"start.time", packhouse},
		{"memory.start", packhouse + verdaccio},
		{"memory.start.anonymous", packhouse},
		{"npm.large.publish", packhouse + copied},
		{"npm.large.memory", packhouse},
		{"npm.large.download", packhouse + nginx},
		{"npm.peers.large.publish", packhouse + copied + verdaccio},
		{"npm.peers.large.memory", packhouse + verdaccio},
		{"pypi.large.publish", packhouse + copied + devpi},
		{"pypi.large.memory", packhouse + devpi},
		{"nuget.large.publish", packhouse + copied},
		{"nuget.large.memory", packhouse},
		{"nuget.symbols.large.publish", packhouse + copied},
		{"nuget.symbols.large.memory", packhouse},
		{"composer.large.publish", packhouse + copied},
		{"composer.large.memory", packhouse},
		{"npm.packument.abbreviated", packhouse + nginx + verdaccio},
		{"npm.packument.304", packhouse + nginx + verdaccio},
		{"npm.packument.full", packhouse + nginx + verdaccio},
		{"pypi.publish.rate", packhouse + python},
		{"pypi.page", packhouse + nginx + python},
		{"pypi.page.304", packhouse + nginx},
		{"nuget.registration", packhouse + nginx},
		{"nuget.registration.304", packhouse + nginx},
		{"nuget.page", packhouse + nginx},
		{"nuget.page.304", packhouse + nginx},
		{"nuget.versions", packhouse + nginx},
		{"nuget.versions.304", packhouse + nginx},
		{"composer.p2", packhouse + nginx},
		{"composer.p2.304", packhouse + nginx},
		{"npm.fresh.20.abbreviated", packhouse + again},
		{"npm.fresh.20.full", packhouse + again},
		{"npm.fresh.45.abbreviated", packhouse + again},
		{"npm.fresh.45.abbreviated.shared", packhouse + alone},
		{"npm.fresh.45.full", packhouse + again},
		{"npm.fresh.45.full.shared", packhouse + alone},
		{"file.10KB", packhouse + nginx + verdaccio},
		{"file.1MB", packhouse + nginx + verdaccio},
		{"file.100MB", packhouse + nginx},
		{"file.range", packhouse + nginx},
		{"pypi.install", packhouse + nginx + python},
		{"memory.quiet", packhouse + verdaccio + python},
		{"memory.quiet.anonymous", packhouse},
	}
	both := packhouse + ", SQLite / " + packhouse + ", PostgreSQL"
	if q, err := newQuota(nodesQuota); err == nil {
		q.remove()
		for _, work := range []string{"packument", "304", "file", "publish"} {
			want = append(want, row{"nodes." + work, "3 nodes / 2 nodes / " + oneNode})
		}
	}
	want = append(want, row{"store.start.time", both}, row{"store.memory.start", both})
	for _, scope := range []string{"project", "group"} {
		for _, kind := range searchKinds(scope) {
			want = append(want, row{"search." + scope + "." + kind.id, both})
		}
		for _, r := range listRows(1) {
			want = append(want, row{"lists." + scope + "." + r.id, both})
		}
		want = append(want, row{"lists." + scope + "." + map[string]string{"project": "files", "group": "direct"}[scope], both})
		for _, page := range []string{"home", "explore", "search", "suggestions", "project", "group", "storage", "packages", "package", "admin"} {
			want = append(want, row{"pages." + scope + "." + page, both})
		}
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
	var markdown strings.Builder
	got.markdown(&markdown)
	for _, f := range got.Figures {
		if !strings.Contains(markdown.String(), "| "+f.What+" | "+f.Samples[0].System+" | ") {
			t.Errorf("the Markdown has no row %q:\n%s", f.What, &markdown)
		}
	}
	if strings.Contains(table.String(), "Bearer") && !strings.Contains(table.String(), "Bearer $TOKEN") || !strings.Contains(table.String(), "bencher:$TOKEN@") {
		t.Errorf("the report tells the token:\n%s", &table)
	}
}

func TestReportTellsNoToken(t *testing.T) {
	b := &bench{token: "php_secret", dir: "/tmp/run", report: &report{}}
	b.command("wrk -H 'Authorization: " + "Bearer php_secret' -H 'Authorization: " + b.basicHeader().Get("Authorization") + "' /tmp/run/x")
	if diff := cmp.Diff([]string{"wrk -H 'Authorization: Bearer $TOKEN' -H 'Authorization: Basic $BASIC' $DIR/x"}, b.report.Commands); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

func TestParseWrk(t *testing.T) {
	const good = `Running 5s test @ http://127.0.0.1:8080/x
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   427.71us  602.38us  17.54ms   94.72%
    Req/Sec    31.14k     3.45k   36.47k    68.00%
  Latency Distribution
     50%  287.00us
     75%  447.00us
     90%  770.00us
     99%    3.19ms
  154930 requests in 5.00s, 13.98GB read
Requests/sec:  30972.45
Transfer/sec:      2.79GB
`
	got, err := parseWrk(good)
	if err != nil {
		t.Fatal(err)
	}
	want := wrkOutput{
		reading: reading{rate: 30972.45, p50: 287 * time.Microsecond, p99: 3190 * time.Microsecond},
		answers: 154930, bytes: 13.98 * (1 << 30),
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for name, out := range map[string]string{
		"another status": good + "  Non-2xx or 3xx responses: 12\n",
		"a lost answer":  good + "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
		"nothing":        "unable to connect to 127.0.0.1:1 Connection refused\n",
	} {
		if _, err := parseWrk(out); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}

// A benchmark of wrong answers is worth nothing: each of these ends the run.
func TestWrongAnswersAreErrors(t *testing.T) {
	var answer func(http.ResponseWriter)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
	defer server.Close()
	l := loadOf{system: "test", url: server.URL, status: http.StatusOK, length: 5}
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter)
		wrong  bool
	}{
		"as wanted":      {func(w http.ResponseWriter) { io.WriteString(w, "12345") }, false},
		"too short":      {func(w http.ResponseWriter) { io.WriteString(w, "1234") }, true},
		"another status": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted); io.WriteString(w, "12345") }, true},
		"a redirect":     {func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(http.StatusFound) }, true},
	} {
		answer = test.answer
		if err := l.check(t.Context()); (err != nil) != test.wrong {
			t.Errorf("%s: error %v", name, err)
		}
		b := &bench{ctx: t.Context(), options: options{connections: 2, duration: 10 * time.Millisecond}}
		if _, _, err := b.readWithLoop(l); (err != nil) != test.wrong {
			t.Errorf("%s, in a loop: error %v", name, err)
		}
	}

	r := npmRegistry{packages: map[string][]npmExpected{
		"p": {{integrity: "sha512-a", dependencies: map[string]string{"d": "^1.0.0"}}},
	}}
	const version = `{"name":"p","version":"1.0.0","dependencies":{"d":"^1.0.0"},"dist":{"integrity":"sha512-a","tarball":"http://localhost/p.tgz"}}`
	for name, test := range map[string]struct {
		status int
		body   string
		wrong  bool
	}{
		"as published":       {200, `{"name":"p","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":` + version + `}}`, false},
		"a version missing":  {200, `{"name":"p","dist-tags":{"latest":"1.0.0"},"versions":{}}`, true},
		"an old latest":      {200, `{"name":"p","dist-tags":{"latest":"0.9.0"},"versions":{"1.0.0":` + version + `}}`, true},
		"another digest":     {200, strings.Replace(`{"name":"p","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":`+version+`}}`, "sha512-a", "sha512-b", 1), true},
		"another dependency": {200, strings.Replace(`{"name":"p","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":`+version+`}}`, "^1.0.0", "^1.0.1", 1), true},
		"an error":           {500, `{"name":"p","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":` + version + `}}`, true},
		"cut off":            {200, `{"name":"p","dist-tags"`, true},
	} {
		response := &http.Response{StatusCode: test.status, Header: http.Header{}}
		if err := r.check("p", response, []byte(test.body)); (err != nil) != test.wrong {
			t.Errorf("packument, %s: error %v", name, err)
		}
	}
}

func TestWrongPageIsError(t *testing.T) {
	digests := map[string]string{"p-1.0-py3-none-any.whl": "aa"}
	const file = `{"filename":"p-1.0-py3-none-any.whl","url":"http://localhost/files/aa/p-1.0-py3-none-any.whl","hashes":{"sha256":"aa"}}`
	for name, test := range map[string]struct {
		page  string
		wrong bool
	}{
		"as uploaded":    {`{"files":[` + file + `]}`, false},
		"a file missing": {`{"files":[]}`, true},
		"one too many":   {`{"files":[` + file + `,` + file + `]}`, true},
		"another digest": {`{"files":[` + strings.Replace(file, `:"aa"`, `:"bb"`, 1) + `]}`, true},
		"another name":   {`{"files":[` + strings.Replace(file, `"p-1.0`, `"p-1.1`, 1) + `]}`, true},
		"another URL":    {`{"files":[` + strings.Replace(file, "/aa/", "/bb/", 1) + `]}`, true},
		"cut off":        {`{"files":[`, true},
	} {
		if err := pypiCheck([]byte(test.page), digests); (err != nil) != test.wrong {
			t.Errorf("page, %s: error %v", name, err)
		}
	}
}

func TestWrongIndexIsError(t *testing.T) {
	versions := []string{"1.0.0", "1.1.0"}
	page := func(versions string) string { return `{"items":[` + versions + `]}` }
	leaf := func(version string) string { return `{"catalogEntry":{"version":"` + version + `"}}` }
	index := func(count int, lower, upper string) string {
		return fmt.Sprintf(`{"@id":"http://localhost/index.json","count":1,"items":[{"@id":"http://localhost/page.json","count":%d,"lower":%q,"upper":%q}]}`, count, lower, upper)
	}
	registration := func(text []byte) error { _, err := nugetCheckRegistration(text, versions); return err }
	leaves := func(text []byte) error { return nugetCheckPage(text, versions) }
	list := func(text []byte) error { return nugetCheckVersions(text, versions) }
	for name, test := range map[string]struct {
		check func([]byte) error
		text  string
		wrong bool
	}{
		"index":                     {registration, index(2, "1.0.0", "1.1.0"), false},
		"index of one":              {registration, index(1, "1.0.0", "1.1.0"), true},
		"index of others":           {registration, index(2, "1.0.0", "1.2.0"), true},
		"index cut off":             {registration, `{"count":1,"items":[`, true},
		"page":                      {leaves, page(leaf("1.0.0") + "," + leaf("1.1.0")), false},
		"page of one":               {leaves, page(leaf("1.0.0")), true},
		"page in another order":     {leaves, page(leaf("1.1.0") + "," + leaf("1.0.0")), true},
		"page cut off":              {leaves, `{"items":[`, true},
		"versions":                  {list, `{"versions":["1.0.0","1.1.0"]}`, false},
		"versions of another":       {list, `{"versions":["1.0.0","1.2.0"]}`, true},
		"versions that are none":    {list, `{}`, true},
		"versions that are cut off": {list, `{"versions":[`, true},
	} {
		if err := test.check([]byte(test.text)); (err != nil) != test.wrong {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestVerdict(t *testing.T) {
	var r report
	add := func(unit string, samples ...sample) *figure { return r.add(&figure{Unit: unit, Samples: samples}) }
	own := func(values ...float64) (samples []sample) {
		for _, v := range values {
			samples = append(samples, sample{System: packhouse, Value: v})
		}
		return samples
	}
	for _, test := range []struct {
		name  string
		f     *figure
		on    string
		op    string
		bound float64
		want  []verdict
	}{
		{"value at its bound", add("MiB", own(40)...), "value", "<=", 40, []verdict{{"value", "<=", 40, 40, true}}},
		{"value over it", add("MiB", own(41)...), "value", "<=", 40, []verdict{{"value", "<=", 40, 41, false}}},
		{"ratio above its bound", add("/s", sample{Value: 6}, sample{System: "x", Role: limit, Value: 10}), "x", ">=", 0.5, []verdict{{"x", ">=", 0.5, 0.6, true}}},
		{"ratio below it", add("/s", sample{Value: 4}, sample{System: "x", Role: peer, Value: 10}), "x", ">=", 0.5, []verdict{{"x", ">=", 0.5, 0.4, false}}},
		{"ratio to what was not measured", add("/s", own(4)...), "x", ">=", 0.5, nil},
		{"each at its bound", add("ms", own(20, 20)...), "each", "<=", 20, []verdict{{"each", "<=", 20, 20, true}}},
		{"the second over it", add("ms", own(19, 21)...), "each", "<=", 20, []verdict{{"each", "<=", 20, 21, false}}},
		{"the first over it", add("ms", own(21, 19)...), "each", "<=", 20, []verdict{{"each", "<=", 20, 21, false}}},
	} {
		if diff := cmp.Diff(test.want, test.f.goal(test.on, test.op, test.bound).Goals); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// Of rates the best peer is the fastest, of times and of memory the smallest.
func TestRatios(t *testing.T) {
	var r report
	samples := []sample{{Value: 60}, {System: "l", Role: limit, Value: 120}, {System: "a", Role: peer, Value: 2}, {System: "b", Role: peer, Value: 6}}
	for unit, want := range map[string][2]float64{"/s": {0.5, 10}, "MB/s": {0.5, 10}, "MiB": {0.5, 30}, "s": {0.5, 30}} {
		f := r.add(&figure{Unit: unit, Samples: samples})
		if got := [2]float64{f.OfLimit, f.OfPeer}; got != want {
			t.Errorf("%s: of limit and best peer %v, want %v", unit, got, want)
		}
	}
}

// The first of three rounds was disturbed for one system, the last for both.
func TestRatioOfRounds(t *testing.T) {
	var r report
	f := r.add(&figure{Unit: "/s", Samples: []sample{
		{Value: 60, Rounds: []float64{60, 62, 30}},
		{Value: 70, Role: limit, Rounds: []float64{70, 124, 60}},
		{Value: 6, Role: peer, Rounds: []float64{6}},
	}})
	if f.OfLimit != 0.5 || f.OfPeer != 10 {
		t.Errorf("ratios are %v and %v, want 0.5 and 10", f.OfLimit, f.OfPeer)
	}
}

// A report takes the place of the one before it, and of nothing else.
func TestReportIntoDocs(t *testing.T) {
	var r report
	r.section = "Reads"
	r.add(&figure{What: "a file", Unit: "/s", Samples: []sample{{System: packhouse, Value: 1234, P50: 1}, {System: "x", Role: limit, Value: 2468}}}).goal("x", ">=", 0.6)
	file := filepath.Join(t.TempDir(), "docs.md")
	const want = "before\n" + docsBegin + `
| | |
|---|---|
| goals met | 0 of 1 |

### Reads

| work | system | value | p50 ms | of limit | goal | verdict |
|---|---|---|---|---|---|---|
| a file | packhouse | 1,234 /s | 1.00 | 0.50 | >= 0.6 of x | missed (0.5) |
|  | x | 2,468 /s |  |  |  |  |

` + docsEnd + "after\n"
	for _, old := range []string{"", "an old run\n"} {
		if err := os.WriteFile(file, []byte("before\n"+docsBegin+old+docsEnd+"after\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := r.intoDocs(file); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("docs (-want +got):\n%s", diff)
		}
	}
	if err := os.WriteFile(file, []byte("no place"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r.intoDocs(file) == nil {
		t.Error("a file without a place for it is no error")
	}
}

func TestPercentile(t *testing.T) {
	values := []time.Duration{5, 1, 4, 2, 3}
	for p, want := range map[int]time.Duration{0: 1, 50: 3, 99: 5, 100: 5} {
		if got := percentile(values, p); got != want {
			t.Errorf("percentile %d is %v, want %v", p, got, want)
		}
	}
	if got := percentile([]float64(nil), 50); got != 0 {
		t.Errorf("percentile of nothing is %v", got)
	}
}

// Memory and CPU time are read of a process that is known to have used some.
func TestProcess(t *testing.T) {
	m, err := readMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if m.rss < 1<<20 || m.peak < m.rss || m.anonymous <= 0 {
		t.Errorf("memory of this process: %+v", m)
	}
	// A child counts with its parent.
	child := exec.CommandContext(t.Context(), "sh", "-c", "while :; do :; done")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	before := cpuSeconds(os.Getpid())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for cpuSeconds(os.Getpid()) < before+0.05 {
		if ctx.Err() != nil {
			t.Fatal("the CPU time of a busy child does not grow")
		}
		sleep(ctx, 10*time.Millisecond)
	}
}
