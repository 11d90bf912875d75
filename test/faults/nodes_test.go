package faults

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"packhouse/internal/blob/blobtest"
	"packhouse/internal/database/databasetest"
	"packhouse/test/harness"
)

// wire is a connection to a store that can be cut: a relay on an address of this machine.
type wire struct {
	listener net.Listener
	network  string
	address  string
	mu       sync.Mutex
	cut      bool
	refuse   string // what is answered instead; empty: nothing is
	open     map[net.Conn]bool
}

func newWire(t *testing.T, listen, network, address string) *wire {
	t.Helper()
	kind := "tcp"
	if filepath.IsAbs(listen) {
		kind = "unix"
	}
	listener, err := net.Listen(kind, listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	w := &wire{listener: listener, network: network, address: address, open: map[net.Conn]bool{}}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go w.relay(conn)
		}
	}()
	return w
}

func (w *wire) relay(in net.Conn) {
	defer in.Close()
	w.mu.Lock()
	cut, refuse := w.cut, w.refuse
	w.mu.Unlock()
	if refuse != "" {
		buffer := make([]byte, 64<<10)
		in.Read(buffer)
		io.WriteString(in, refuse)
		return
	}
	if cut {
		return
	}
	out, err := net.Dial(w.network, w.address)
	if err != nil {
		return
	}
	defer out.Close()
	w.mu.Lock()
	if w.cut || w.refuse != "" {
		w.mu.Unlock()
		return
	}
	w.open[in], w.open[out] = true, true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.open, in)
		delete(w.open, out)
		w.mu.Unlock()
	}()
	ended := make(chan struct{}, 2)
	go func() { io.Copy(out, in); ended <- struct{}{} }()
	go func() { io.Copy(in, out); ended <- struct{}{} }()
	<-ended
}

// set cuts the wire, or lets something else be answered, or mends it.
func (w *wire) set(cut bool, refuse string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.refuse = cut, refuse
	if cut || refuse != "" {
		for conn := range w.open {
			conn.Close()
		}
	}
}

const slowDown = "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 60\r\nConnection: close\r\n\r\n<Error><Code>SlowDown</Code><Message>slow</Message></Error>\n"

// Three nodes on one PostgreSQL and one bucket: a node is killed, one is cut off, the database is killed, the bucket answers
// 503. What one node acknowledged, all show, before, meanwhile and after.
func TestNodes(t *testing.T) {
	rng := seed(t)
	cluster, err := databasetest.StartCluster()
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	database, err := cluster.Create()
	if err != nil {
		t.Fatal(err)
	}
	s3, err := blobtest.StartServer("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer s3.Remove()
	bucket, _, err := s3.NewBucket()
	if err != nil {
		t.Fatal(err)
	}
	type wires struct{ database, bucket *wire }
	var nodes []*node
	var between []wires
	for i := range 3 {
		folder, err := os.MkdirTemp("", "packhouse-wire-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(folder) })
		w := wires{newWire(t, filepath.Join(folder, ".s.PGSQL.5432"), "unix", cluster.Socket()), newWire(t, "127.0.0.1:0", "tcp", s3.URL[len("http://"):])}
		between = append(between, w)
		d, err := url.Parse(database)
		if err != nil {
			t.Fatal(err)
		}
		query := d.Query()
		query.Set("host", folder)
		d.RawQuery = query.Encode()
		b, err := url.Parse(bucket)
		if err != nil {
			t.Fatal(err)
		}
		query = b.Query()
		query.Set("endpoint", "http://"+w.bucket.listener.Addr().String())
		b.RawQuery = query.Encode()
		config := harness.Config{Args: []string{"--database", d.String(), "--blobs", b.String()}}
		if i > 0 {
			config.RootToken = nodes[0].config.RootToken
		}
		nodes = append(nodes, newNode(t, config))
	}
	h, project := newHistory(), nodes[0].project()
	var clients []*client
	for i := range 9 {
		c := nodes[i%3].client(h, fmt.Sprintf("node %d, c%d", i%3, i), project)
		c.http = newHTTP(10 * time.Second)
		clients = append(clients, c)
	}
	pause := func() { time.Sleep(time.Duration(rounds(500, 1000)) * time.Millisecond) }
	version := 0
	// recovered is how long after a repair each node acknowledges a publish again.
	recovered := func() time.Duration {
		began := time.Now()
		for i, nd := range nodes {
			c := nd.client(h, fmt.Sprintf("node %d, prober", i), project)
			for {
				version++
				if o, _, _ := c.publish(drivers[0], "probe", fmt.Sprintf("1.%d.0", version), "x"); o == done {
					break
				}
				if time.Since(began) > 90*time.Second {
					t.Fatalf("node %d does not recover", i)
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
		return time.Since(began)
	}
	faults := []struct {
		what        string
		begin, mend func()
	}{
		{"one of three nodes killed", func() { nodes[1].kill() }, func() { nodes[1].start() }},
		{"one of three nodes cut off from PostgreSQL and S3",
			func() { between[2].database.set(true, ""); between[2].bucket.set(true, "") },
			func() { between[2].database.set(false, ""); between[2].bucket.set(false, "") }},
		{"PostgreSQL killed under three nodes", func() {
			if err := cluster.Kill(); err != nil {
				t.Error(err)
			}
		}, func() {
			if err := cluster.Start(); err != nil {
				t.Error(err)
			}
		}},
		{"S3 answers 503 to three nodes", func() {
			for _, w := range between {
				w.bucket.set(false, slowDown)
			}
		}, func() {
			for _, w := range between {
				w.bucket.set(false, "")
			}
		}},
	}
	stopCollecting := besides(func() { nodes[0].command("gc", "--grace", "0s") }) // it fails while the stores are away
	n := rounds(1, 10)
	for _, fault := range faults {
		before := h.count(publish, done)
		var slowest time.Duration
		ended := make(chan struct{})
		stop := make(chan struct{})
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
		for range n {
			pause()
			fault.begin()
			pause()
			fault.mend()
			slowest = max(slowest, recovered())
		}
		close(stop)
		<-ended
		for _, nd := range nodes {
			readAll(t, nd.client(h, "reader at "+nd.address(), project), packs...)
		}
		note(fault.what, n, h.count(publish, done)-before, len(h.check()), fmt.Sprintf("slowest recovery %.1f s", slowest.Seconds()), "-run TestNodes")
	}
	stopCollecting()
	for _, nd := range nodes {
		c := nd.client(h, "last reader at "+nd.address(), project)
		for v, digest := range c.index(drivers[0], "probe") {
			if !full || len(v)%7 == 0 {
				c.download(drivers[0], "probe", v, digest)
			}
		}
	}
	judge(t, h)
	nodes[0].collect()
	nodes[0].verify()
}
