//go:build linux

package faults

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"packhouse/internal/blob/blobtest"
	"packhouse/internal/database/databasetest"
	"packhouse/test/harness"
)

// fleet is three nodes, each on a machine of its own, on one PostgreSQL and one bucket at the hub.
type fleet struct {
	*lan
	database *databasetest.Cluster
	overload atomic.Bool // S3 answers 503
	nodes    []*node
	history  *history
	project  int64
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{lan: newLAN(t), history: newHistory()}
	if _, err := harness.Build(t.Context()); err != nil { // out here, where the network is
		t.Fatal(err)
	}
	var location string
	f.at(f.hub(), func() (err error) {
		if f.database, err = databasetest.StartCluster(hubBack); err != nil {
			return err
		}
		t.Cleanup(f.database.Close)
		if location, err = f.database.Create(); err == nil {
			location, err = f.database.At(location, hubBack)
		}
		return err
	})
	bucket := f.bucket()
	for i := range machines {
		config := harness.Config{Listen: machineFront(i) + ":0", Dial: f.dial, Args: []string{"--database", location, "--blobs", bucket}}
		if i > 0 {
			config.RootToken = f.nodes[0].config.RootToken
		}
		f.at(f.machine(i), func() error { f.nodes = append(f.nodes, newNode(t, config)); return nil })
	}
	f.project = f.nodes[0].project()
	return f
}

// at runs a step that has to succeed.
func (f *fleet) at(namespace string, step func() error) {
	f.t.Helper()
	if err := f.in(namespace, step); err != nil {
		f.t.Fatal(err)
	}
}

// bucket starts an S3 server and what stands before it at the hub, and returns the URL of a bucket.
func (f *fleet) bucket() string {
	f.t.Helper()
	s3, err := blobtest.StartServer("127.0.0.1")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(s3.Remove)
	location, _, err := s3.NewBucket()
	if err != nil {
		f.t.Fatal(err)
	}
	target, err := url.Parse(s3.URL)
	if err != nil {
		f.t.Fatal(err)
	}
	through := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
		r.Out.Host = r.In.Host // as it was signed
	}}
	front := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.overload.Load() {
			through.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "<Error><Code>SlowDown</Code><Message>slow</Message></Error>")
	})}
	var listener net.Listener
	f.at(f.hub(), func() (err error) { listener, err = net.Listen("tcp", hubBack+":0"); return err })
	go front.Serve(listener)
	f.t.Cleanup(func() { front.Close() })
	u, err := url.Parse(location)
	if err != nil {
		f.t.Fatal(err)
	}
	query := u.Query()
	query.Set("endpoint", "http://"+listener.Addr().String())
	u.RawQuery = query.Encode()
	return u.String()
}

// client is one of a node.
func (f *fleet) client(i int, name string) *client {
	c := f.nodes[i].client(f.history, fmt.Sprintf("node %d, %s", i, name), f.project)
	c.http = f.http(10 * time.Second)
	return c
}

func (f *fleet) start(i int) { f.at(f.machine(i), func() error { f.nodes[i].start(); return nil }) }

// command runs packhouse beside a node.
func (f *fleet) command(i int, args ...string) (out string, err error) {
	err = f.in(f.machine(i), func() (err error) { out, err = f.nodes[i].command(args...); return err })
	return out, err
}

// revoked tells whether a token that one node revokes is of no use at the next request, at any node.
func (f *fleet) revoked() {
	f.t.Helper()
	for i, nd := range f.nodes {
		token, err := nd.server.CreatePersonalToken(1, "read_api") // root's
		if err != nil {
			f.t.Fatal(err)
		}
		see := func(want int) {
			for j, other := range f.nodes {
				if a, err := other.server.Do("GET", "/api/v4/user", token.Token, nil); err != nil || a.Status != want {
					f.t.Errorf("token of node %d at node %d: %v, %+v, want %d", i, j, err, a, want)
				}
			}
		}
		see(200)
		if a, err := f.nodes[(i+1)%machines].server.Do("DELETE", "/api/v4/personal_access_tokens/self", token.Token, nil); err != nil || a.Status != 204 {
			f.t.Fatalf("revoke: %v, %+v", err, a)
		}
		see(401)
	}
}

// Three nodes on one PostgreSQL and one bucket, each in a network namespace: a node is killed, one is cut off, the database is killed, the bucket
// answers 503, a machine loses its power. What one node acknowledged, all show, before, meanwhile and after.
func TestNodes(t *testing.T) {
	rng := seed(t)
	f := newFleet(t)
	h := f.history
	policyTakes(t, f.nodes[0], h, f.project)
	var clients []*client
	for i := range 9 {
		clients = append(clients, f.client(i%machines, fmt.Sprint("c", i)))
	}
	pause := func() { time.Sleep(time.Duration(rounds(500, 1000)) * time.Millisecond) }
	var version atomic.Int64
	// recovered is how long from now on nodes need until each acknowledges a publish of a name again.
	recovered := func(name string, nodes ...int) time.Duration {
		t.Helper()
		began := time.Now()
		var asking sync.WaitGroup
		for _, i := range nodes {
			c := f.client(i, "prober")
			c.http.Timeout = 2 * time.Second
			asking.Go(func() {
				for time.Since(began) < 90*time.Second {
					if o, _, _ := c.publish(drivers[0], name, fmt.Sprintf("2.%d.0", version.Add(1)), "x"); o == done {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
				t.Errorf("node %d does not acknowledge a publish of %s any more", i, name)
			})
		}
		asking.Wait()
		return time.Since(began)
	}
	both := func(change func(string, int), i int) { change("front", i); change("back", i) }
	faults := []struct {
		name, what  string
		rounds      int
		begin, mend func()
	}{
		{"nothing", "none: clients of all formats at three nodes, beside a cleanup policy and `packhouse gc --grace 0s`", rounds(1, 5), func() {}, func() {}},
		{"node killed", "one of three nodes killed", rounds(1, 10), func() { f.nodes[1].kill() }, func() { f.start(1) }},
		{"cut off from the stores", "one of three nodes cut off from PostgreSQL and S3: packets vanish", rounds(1, 10), func() { f.unplug("back", 2) }, func() { f.plug("back", 2) }},
		{"cut off", "one of three nodes cut off from everybody: packets vanish", rounds(0, 5), func() { both(f.unplug, 0) }, func() { both(f.plug, 0) }},
		{"database killed", "PostgreSQL killed under three nodes", rounds(1, 10), func() {
			if err := f.database.Kill(); err != nil {
				t.Error(err)
			}
		}, func() { f.at(f.hub(), f.database.Start) }},
		{"bucket overloaded", "S3 answers 503 to three nodes", rounds(1, 10), func() { f.overload.Store(true) }, func() { f.overload.Store(false) }},
		// What it held in the database is free again before it comes back.
		{"power lost", "the machine of one of three nodes loses its power", rounds(0, 3), func() {
			both(f.unplug, 1)
			f.nodes[1].kill()
			for _, name := range []string{again, packs[0]} { // not what the policy takes
				recovered(name, 0, 2)
			}
		}, func() { both(f.plug, 1); f.start(1) }},
	}
	stopCollecting := besides(func() { f.command(0, "gc", "--grace", "0s") }) // it fails while the stores are away
	stopCleaning := besides(func() {
		f.nodes[2].server.Do("POST", fmt.Sprintf("/api/v4/projects/%d/packages/cleanup_policy/run", f.project), f.nodes[2].config.RootToken, nil)
	})
	defer func() { stopCleaning(); stopCollecting() }()
	for _, fault := range faults {
		if fault.rounds == 0 {
			continue
		}
		t.Run(fault.name, func(t *testing.T) {
			before, lost := h.count(publish, done), len(h.check())
			var slowest, longest time.Duration
			ended, stop := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				workload(clients, rng, 4, func() bool {
					select {
					case <-stop:
						return true
					default:
						return false
					}
				})
			}()
			for range fault.rounds {
				pause()
				began := time.Now()
				fault.begin()
				longest = max(longest, time.Since(began))
				pause()
				fault.mend()
				slowest = max(slowest, recovered("probe", 0, 1, 2))
				f.revoked()
			}
			close(stop)
			<-ended
			for i := range f.nodes {
				readAll(t, f.client(i, "reader"), append([]string{"probe"}, packs...)...)
			}
			measured := fmt.Sprintf("slowest recovery %.1f s", slowest.Seconds())
			if fault.name == "power lost" {
				measured += fmt.Sprintf("; meanwhile the others go on after %.0f s at most", longest.Seconds())
			}
			note(fault.what, fault.rounds, h.count(publish, done)-before, len(h.check())-lost, measured, "-run TestNodes")
		})
	}
	stopCleaning()
	stopCollecting()
	judge(t, h)
	for round := range 2 {
		if out, err := f.command(0, "gc", "--grace", "0s"); err != nil || round == 1 && !strings.Contains(out, " 0 removed") {
			t.Errorf("gc: %v, %s", err, out)
		}
	}
	if out, err := f.command(0, "verify"); err != nil {
		t.Errorf("verify: %v, %s", err, out)
	}
}
