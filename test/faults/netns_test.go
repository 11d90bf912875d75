//go:build linux

package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lan is three machines and a hub, as network namespaces of this machine. Each machine has two cables to the hub: one to the clients' network, and
// one to that of the stores. The addresses mean something within the namespaces only, and their names have the number of this process,
// so that any number of runs can have one at the same time.
type lan struct {
	t    *testing.T
	name string
}

const (
	machines  = 3
	hubFront  = "10.1.0.1" // where clients are
	hubBack   = "10.2.0.1" // where PostgreSQL and S3 are
	lanPrefix = "packhouse-"
)

func machineFront(i int) string { return fmt.Sprintf("10.1.0.%d", 11+i) }

// newLAN plugs everything together. Who has no right to make a network namespace cannot make the test; CI has it.
func newLAN(t *testing.T) *lan {
	t.Helper()
	l := &lan{t: t, name: lanPrefix + strconv.Itoa(os.Getpid())}
	sweepLANs()
	if err := l.ip("netns", "add", l.hub()); err != nil {
		why := fmt.Sprintf("three nodes need the right to make network namespaces (root, with `ip` of iproute2): %v", err)
		if os.Getenv("CI") == "" && (os.Getuid() != 0 || errors.Is(err, exec.ErrNotFound)) {
			t.Skip(why)
		}
		t.Fatal(why)
	}
	t.Cleanup(func() { l.must("netns", "del", l.hub()) })
	l.must("-n", l.hub(), "link", "set", "lo", "up")
	for _, network := range []struct{ name, address string }{{"front", hubFront}, {"back", hubBack}} {
		l.must("-n", l.hub(), "link", "add", network.name, "type", "bridge")
		l.must("-n", l.hub(), "address", "add", network.address+"/24", "dev", network.name)
		l.must("-n", l.hub(), "link", "set", network.name, "up")
	}
	for i := range machines {
		l.must("netns", "add", l.machine(i))
		t.Cleanup(func() { l.must("netns", "del", l.machine(i)) })
		l.must("-n", l.machine(i), "link", "set", "lo", "up")
		for number, network := range []string{"front", "back"} {
			l.must("-n", l.hub(), "link", "add", cable(network, i), "type", "veth", "peer", "name", network, "netns", l.machine(i))
			l.must("-n", l.machine(i), "address", "add", fmt.Sprintf("10.%d.0.%d/24", 1+number, 11+i), "dev", network)
			l.must("-n", l.machine(i), "link", "set", network, "up")
			l.must("-n", l.hub(), "link", "set", cable(network, i), "up")
			l.plug(network, i)
		}
	}
	return l
}

func (l *lan) hub() string          { return l.name + "-hub" }
func (l *lan) machine(i int) string { return fmt.Sprintf("%s-%d", l.name, i) }

// cable is the hub's end of one.
func cable(network string, i int) string { return fmt.Sprintf("%s%d", network, i) }

// unplug takes a cable out of the hub: packets vanish both ways, and nobody is told. plug puts it back.
func (l *lan) unplug(network string, i int) {
	l.must("-n", l.hub(), "link", "set", cable(network, i), "nomaster")
}
func (l *lan) plug(network string, i int) {
	l.must("-n", l.hub(), "link", "set", cable(network, i), "master", network)
}

func (l *lan) ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (l *lan) must(args ...string) {
	l.t.Helper()
	if err := l.ip(args...); err != nil {
		l.t.Error(err)
	}
}

// sweepLANs removes the namespaces of processes that are gone.
func sweepLANs() {
	all, _ := filepath.Glob("/run/netns/" + lanPrefix + "*")
	for _, path := range all {
		name := filepath.Base(path)
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, lanPrefix), "-")
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, os.ErrNotExist) {
			exec.Command("ip", "netns", "del", name).Run() // another process may be faster
		}
	}
}

// in runs f in a namespace: what it starts, listens on and dials is there.
func (l *lan) in(namespace string, f func() error) error {
	target, err := os.Open("/run/netns/" + namespace)
	if err != nil {
		return err
	}
	defer target.Close()
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil { // otherwise the thread ends with its goroutine
			runtime.UnlockOSThread()
		}
	}()
	return f()
}

// dial connects from where the clients are.
func (l *lan) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = l.in(l.hub(), func() error {
		conn, err = (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

func (l *lan) http(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 32, DialContext: l.dial}}
}
