package faults

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"packhouse/test/harness"
)

// full tells whether all rounds run, and not only those that fit beside other tests.
var full = os.Getenv("PACKHOUSE_FAULTS") == "full"

func rounds(short, long int) int {
	if full {
		return long
	}
	return short
}

// seed of a test's choices. It is printed, and PACKHOUSE_FAULTS_SEED gives it.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	n := rand.Uint64()
	if text := os.Getenv("PACKHOUSE_FAULTS_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("PACKHOUSE_FAULTS_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// table is what docs/reliability.md shows.
var table struct {
	sync.Mutex
	rows []string
}

// note adds a line: what broke, how often, how many publishes were acknowledged, how many of them lost, and a measurement.
func note(fault string, rounds, acknowledged, lost int, measured, test string) {
	table.Lock()
	defer table.Unlock()
	table.rows = append(table.rows, fmt.Sprintf("| %s | %d | %d | %d | %s | `%s` |", fault, rounds, acknowledged, lost, measured, test))
}

const (
	tableBegin = "<!-- the table of make faults -->\n"
	tableEnd   = "<!-- end of the table -->\n"
)

func TestMain(m *testing.M) {
	code := m.Run()
	slices.Sort(table.rows)
	text := "| fault | rounds | publishes acknowledged | lost | | repeat it |\n|---|---|---|---|---|---|\n" + strings.Join(table.rows, "\n") + "\n"
	if (full || testing.Verbose()) && len(table.rows) > 0 {
		fmt.Print(text)
	}
	if path := os.Getenv("PACKHOUSE_FAULTS_TABLE"); path != "" && code == 0 {
		if err := putTable(path, text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func putTable(path, text string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(page), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place for the table", path)
	}
	// What another run measured stays, but for the tests of this one.
	ours := text
	for line := range strings.Lines(rest) {
		if line == tableEnd {
			break
		}
		_, test, row := strings.Cut(line, "`-run ")
		if row && !strings.Contains(ours, "`-run "+strings.TrimSpace(test)) {
			text += line
		}
	}
	return os.WriteFile(path, []byte(before+tableBegin+text+tableEnd+after), 0o644)
}

// node is a server that may be stopped and started.
type node struct {
	t      *testing.T
	config harness.Config
	mu     sync.Mutex
	server *harness.Server
	url    atomic.Value // string
}

func newNode(t *testing.T, config harness.Config) *node {
	t.Helper()
	if config.Data == "" {
		config.Data = t.TempDir()
	}
	if config.RootToken == "" {
		config.RootToken = "root-" + harness.Random()
	}
	config.RootPassword = "password-of-root"
	config.Args = append(slices.Clone(config.Args), "--log-requests", "errors", "--gc-grace", "0s")
	n := &node{t: t, config: config}
	n.start()
	t.Cleanup(n.kill)
	return n
}

func (n *node) start() {
	n.t.Helper()
	server, err := harness.Start(context.Background(), n.config)
	if err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server = server
	n.url.Store(server.URL)
}

func (n *node) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server != nil {
		n.server.Kill()
		n.server = nil
	}
}

func (n *node) address() string { return n.url.Load().(string) }

// project makes one for the test.
func (n *node) project() int64 {
	n.t.Helper()
	p, err := n.server.CreateProject("p"+harness.Random(), 0, harness.Private)
	if err != nil {
		n.t.Fatal(err)
	}
	settings := map[string]any{}
	for _, d := range drivers { // what Composer's tags are allowed by default
		settings[d.format+"_duplicates_allowed"], settings[d.format+"_duplicate_exception_regex"] = false, ".*"+again
	}
	if a, err := n.server.Do("PUT", fmt.Sprintf("/api/v4/projects/%d/packages/settings", p.ID), n.config.RootToken, settings); err != nil || a.Status != 200 {
		n.t.Fatalf("settings: %v, %+v", err, a)
	}
	return p.ID
}

func (n *node) client(h *history, name string, project int64) *client {
	return &client{name: name, url: n.address, token: n.config.RootToken, project: project, http: newHTTP(20 * time.Second), history: h}
}

// command runs packhouse beside the servers, with the node's stores.
func (n *node) command(args ...string) (string, error) {
	binary, err := harness.Build(context.Background())
	if err != nil {
		return "", err
	}
	args = append(args, "--data", n.config.Data)
	for i, arg := range n.config.Args {
		if arg == "--database" || arg == "--blobs" {
			args = append(args, arg, n.config.Args[i+1])
		}
	}
	out, err := exec.Command(binary, args...).CombinedOutput()
	return string(out), err
}

// collect takes everything that no row names; a second time there is nothing left to take.
func (n *node) collect() {
	n.t.Helper()
	for round := range 2 {
		out, err := n.command("gc", "--grace", "0s")
		if err != nil || round == 1 && !strings.Contains(out, " 0 removed") {
			n.t.Errorf("gc: %v, %s", err, out)
		}
	}
}

// verify reads every content.
func (n *node) verify() {
	n.t.Helper()
	if out, err := n.command("verify"); err != nil {
		n.t.Errorf("verify: %v, %s", err, out)
	}
}

// left are the files of a store on disk: blobs, and what is staged.
func left(t *testing.T, data string) (blobs, staged int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(data, "blobs"), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir() || d.Name() == "lock":
		case strings.Contains(path, "staging"):
			staged++
		default:
			blobs++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return blobs, staged
}

// judge checks a history.
func judge(t *testing.T, h *history) (lost int) {
	t.Helper()
	broken := h.check()
	for i, line := range broken {
		if i == 10 {
			t.Errorf("and %d more", len(broken)-i)
			break
		}
		t.Error(line)
	}
	if h.count(publish, done) == 0 {
		t.Error("no publish was acknowledged: nothing was tested")
	}
	return len(broken)
}

// clearAnswers says that each publish had a clear answer, as it has while nothing is broken.
func clearAnswers(t *testing.T, h *history) {
	t.Helper()
	if n := h.count(publish, unknown) + h.count(set, unknown); n > 0 {
		t.Errorf("%d publishes had no clear answer, and nothing is broken", n)
	}
}

// workload lets clients do all kinds of calls on few versions, until stop.
func workload(clients []*client, rng *rand.Rand, versions int, stop func() bool) {
	var working sync.WaitGroup
	for i, c := range clients {
		r := rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))
		working.Go(func() {
			known := map[key]string{} // SHA-256 that an index showed
			for n := 0; !stop(); n++ {
				d := drivers[r.IntN(len(drivers))]
				k := key{d.format, packs[r.IntN(len(packs))], fmt.Sprintf("1.0.%d", r.IntN(versions))}
				switch at := r.IntN(100); {
				case at < 35:
					if o, _, _ := c.publish(d, k.name, k.version, fmt.Sprintf("%s %d", c.name, n)); o == unknown {
						time.Sleep(20 * time.Millisecond)
					}
				case at < 60:
					for version, digest := range c.index(d, k.name) {
						known[key{d.format, k.name, version}] = digest
					}
				case at < 75:
					c.download(d, k.name, k.version, known[k])
				case at < 85 && d.tag != nil:
					c.move(d, k.name, k.version, fmt.Sprintf("%s %d", c.name, n))
				case at < 87 && d.tag != nil:
					c.untag(d, k.name)
				case at < 90:
					c.replace(d, fmt.Sprintf("%s %d", c.name, n))
				case at < 93:
					c.showAgain(d)
				case at < 94:
					c.forget(d)
				default:
					c.remove(d, k.name, k.version)
				}
			}
		})
	}
	working.Wait()
}

// readAll lets a client see all that there is of some names, of all formats. Nothing is broken any more: there has to be an answer.
func readAll(t *testing.T, c *client, names ...string) {
	t.Helper()
	for _, d := range drivers {
		c.showAgain(d)
		for _, name := range names {
			versions := c.index(d, name)
			for tries := 0; versions == nil && tries < 100; tries++ {
				time.Sleep(100 * time.Millisecond)
				versions = c.index(d, name)
			}
			if versions == nil {
				t.Errorf("%s: the index of %s %s cannot be read", c.name, d.format, name)
			}
			for version, digest := range versions {
				c.download(d, name, version, digest)
			}
		}
	}
}

// packs are the names of a workload.
var packs = []string{"pack0", "pack1"}

// besides runs something again and again until stop is called.
func besides(f func()) (stop func()) {
	var stopped atomic.Bool
	var working sync.WaitGroup
	working.Go(func() {
		for !stopped.Load() {
			f()
			time.Sleep(50 * time.Millisecond)
		}
	})
	return func() { stopped.Store(true); working.Wait() }
}

// Clients of all formats publish, read, tag and delete the same few versions, while everything unneeded is collected.
func TestHistory(t *testing.T) {
	rng := seed(t)
	acknowledged, broken, n := 0, 0, rounds(1, 3)
	for range n {
		nd := newNode(t, harness.Config{})
		h, project := newHistory(), nd.project()
		var clients []*client
		for i := range 12 {
			clients = append(clients, nd.client(h, fmt.Sprint("c", i), project))
		}
		stop := besides(func() {
			if out, err := nd.command("gc", "--grace", "0s"); err != nil {
				t.Errorf("gc: %v %s", err, out)
			}
		})
		until := time.Now().Add(time.Duration(rounds(4, 30)) * time.Second)
		workload(clients, rng, 4, func() bool { return time.Now().After(until) })
		stop()
		readAll(t, clients[0], packs...)
		clearAnswers(t, h)
		broken += judge(t, h)
		acknowledged += h.count(publish, done)
		nd.collect()
		nd.verify()
		nd.kill()
	}
	note("none: clients of all formats publish, delete and read the same versions, beside `packhouse gc --grace 0s`", n, acknowledged, broken, "", "-run TestHistory$")
}

// Killed at any moment under 16 publishers of all formats.
func TestKilled(t *testing.T) {
	rng := seed(t)
	nd := newNode(t, harness.Config{})
	h, project := newHistory(), nd.project()
	n := rounds(3, 100)
	names := map[string]bool{}
	var slowest time.Duration
	for round := range n {
		var stop atomic.Bool
		var working sync.WaitGroup
		for i := range 16 {
			c := nd.client(h, fmt.Sprint("c", i), project)
			d := drivers[i%len(drivers)]
			name := fmt.Sprintf("kill%d", i)
			names[d.format+" "+name] = true
			working.Go(func() {
				for v := 0; !stop.Load(); v++ {
					if o, _, _ := c.publish(d, name, fmt.Sprintf("%d.%d.0", round+1, v), "x"); o == unknown {
						return // it is gone
					}
				}
			})
		}
		time.Sleep(time.Duration(30+rng.IntN(300)) * time.Millisecond)
		nd.kill()
		stop.Store(true)
		working.Wait()
		began := time.Now()
		nd.start()
		slowest = max(slowest, time.Since(began))
		if _, staged := left(t, nd.config.Data); staged > 0 {
			t.Errorf("round %d: %d files are staged after the start", round, staged)
		}
	}
	c := nd.client(h, "reader", project)
	for each := range names {
		format, name, _ := strings.Cut(each, " ")
		d := drivers[slices.IndexFunc(drivers, func(d driver) bool { return d.format == format })]
		versions := c.index(d, name)
		if versions == nil {
			t.Errorf("the index of %s %s cannot be read", format, name)
		}
		for i, version := range slices.Sorted(maps.Keys(versions)) {
			if !full || i%5 == 0 {
				c.download(d, name, version, versions[version])
			}
		}
	}
	broken := judge(t, h)
	nd.collect()
	nd.verify()
	note("`kill -9` under 16 publishers of all formats", n, h.count(publish, done), broken, fmt.Sprintf("slowest start %d ms", slowest.Milliseconds()), "-run TestKilled")
}

// Of 100 racing publishers of one version one wins, whatever the format.
func TestRacing(t *testing.T) {
	nd := newNode(t, harness.Config{})
	project := nd.project()
	n := rounds(1, 20)
	for _, d := range drivers {
		h := newHistory()
		acknowledged := 0
		for round := range n {
			var working sync.WaitGroup
			var won, doubt atomic.Int32
			start := make(chan struct{})
			shared := newHTTP(time.Minute)
			for i := range 100 {
				c := nd.client(h, fmt.Sprint("c", i), project)
				c.http = shared
				working.Go(func() {
					<-start
					switch o, _, _ := c.publish(d, "race", fmt.Sprintf("1.%d.0", round), c.name); o {
					case done:
						won.Add(1)
					case unknown:
						doubt.Add(1)
					}
				})
			}
			close(start)
			working.Wait()
			if won.Load() != 1 || doubt.Load() != 0 {
				t.Errorf("%s: %d of 100 racing publishes were acknowledged, %d had no clear answer", d.format, won.Load(), doubt.Load())
			}
			acknowledged += int(won.Load())
		}
		c := nd.client(h, "reader", project)
		for version, digest := range c.index(d, "race") {
			c.download(d, "race", version, digest)
		}
		note("100 racing publishers of one version, "+d.format, n, acknowledged, judge(t, h), "", "-run TestRacing")
	}
	nd.collect()
}

// policyTakes sets a cleanup policy, which may take any version of pack1 at any time, and returns its path.
func policyTakes(t *testing.T, nd *node, h *history, project int64) (path string) {
	t.Helper()
	path = fmt.Sprintf("/api/v4/projects/%d/packages/cleanup_policy", project)
	if a, err := nd.server.Do("PUT", path, nd.config.RootToken, map[string]any{"enabled": true, "keep_n_versions": 2, "name_pattern": "(acme/)?pack1"}); err != nil || a.Status >= 300 {
		t.Fatalf("cleanup policy: %v, %+v", err, a)
	}
	for _, d := range drivers {
		for v := range 4 {
			h.add(event{kind: remove, key: key{d.format, "pack1", fmt.Sprintf("1.0.%d", v)}, from: 0, outcome: unknown, client: "policy"})
		}
		if d.format == "composer" { // of its branch, too
			h.add(event{kind: set, key: key{d.format, "pack1", d.tag.name}, from: 0, outcome: unknown, client: "policy"})
		}
	}
	return path
}

// Publishers, deleters, a cleanup policy and collectors race for one name.
func TestRacingRemovals(t *testing.T) {
	rng := seed(t)
	nd := newNode(t, harness.Config{})
	h, project := newHistory(), nd.project()
	api := policyTakes(t, nd, h, project)
	stopCollecting := besides(func() { nd.command("gc", "--grace", "0s") })
	stopCleaning := besides(func() { nd.server.Do("POST", api+"/run", nd.config.RootToken, nil) })
	var clients []*client
	for i := range 12 {
		clients = append(clients, nd.client(h, fmt.Sprint("c", i), project))
	}
	until := time.Now().Add(time.Duration(rounds(4, 60)) * time.Second)
	workload(clients, rng, 3, func() bool { return time.Now().After(until) })
	stopCleaning()
	stopCollecting()
	readAll(t, clients[0], packs...)
	broken := judge(t, h)
	nd.verify()
	note("publish against delete, cleanup policy and `packhouse gc --grace 0s`", 1, h.count(publish, done), broken, "", "-run TestRacingRemovals")
}

// Thousands of half-open uploads.
func TestSlowClients(t *testing.T) {
	nd := newNode(t, harness.Config{Args: []string{"--max-client-uploads", "100", "--max-uploads", "100000"}})
	h, project := newHistory(), nd.project()
	n := rounds(300, 3000)
	conns := halfOpen(t, nd.address(), fmt.Sprintf("/api/v4/projects/%d/packages/npm/slow", project), n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	c := nd.client(h, "c", project)
	var slowest time.Duration
	// The half-open ones have no credential and their address's share; this one would, too, from the same address. Reads go on.
	for range rounds(50, 500) {
		began := time.Now()
		if status, _, err := c.send("GET", "/-/readiness", "", nil); err != nil || status != 200 {
			t.Fatalf("readiness: %d, %v", status, err)
		}
		slowest = max(slowest, time.Since(began))
	}
	for _, open := range conns {
		open.Close()
	}
	conns = nil
	for i := range 20 {
		deadline := time.Now().Add(15 * time.Second)
		for {
			if o, _, _ := c.publish(drivers[i%len(drivers)], "slow", fmt.Sprintf("1.%d.0", i), "x"); o == done || time.Now().After(deadline) {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	if slowest > 2*time.Second {
		t.Errorf("readiness took %v", slowest)
	}
	readAll(t, c, "slow")
	note(fmt.Sprintf("%d half-open uploads", n), 1, h.count(publish, done), judge(t, h), fmt.Sprintf("slowest readiness meanwhile %d ms", slowest.Milliseconds()), "-run TestSlowClients")
}

// halfOpen begins uploads that go no further.
func halfOpen(t *testing.T, url, path string, n int) (conns []net.Conn) {
	t.Helper()
	for i := range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
		fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{", path)
		conns = append(conns, conn)
	}
	return conns
}
