package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"packhouse/internal/blob/blobtest"
	"packhouse/internal/database/databasetest"
	"packhouse/test/harness"
)

const (
	nodesMost  = 3
	nodesQuota = 0.2 // cores that each node may use
)

// nodes measures one, two and three nodes on one PostgreSQL and one S3 store. Each may use a part of a core, all on the
// first one, and what they share and the load generator have another: one node more is then one machine more, not one
// more program on the same cores.
func nodes(b *bench) error {
	first, err := newQuota(nodesQuota)
	if err != nil {
		fmt.Fprintf(b.log, " CPU quotas need a cgroup that this user may make (%v): not measured ...", err)
		return nil
	}
	defer first.remove()
	url, drop, err := databasetest.Create()
	if err != nil {
		return err
	}
	defer drop()
	blobs, _, err := blobtest.CreateBucket()
	if err != nil {
		return err
	}
	config := harness.Config{RootPassword: harness.Random(), RootToken: harness.Random(), Args: []string{"--log-requests", "none", "--database", url, "--blobs", blobs}}
	var servers []*harness.Server
	for i := range nodesMost {
		config.Data = filepath.Join(b.dir, fmt.Sprintf("node-%d", i))
		server, err := harness.Start(b.ctx, config)
		if err != nil {
			return err
		}
		defer server.Stop()
		servers = append(servers, server)
	}
	project, token, err := makeProject(servers[0])
	if err != nil {
		return err
	}
	b.secrets = append(b.secrets, token, "$TOKEN")
	var registries []*npmRegistry
	packages := map[string][]npmExpected{}
	for _, server := range servers {
		registries = append(registries, &npmRegistry{
			bench: b, system: packhouse, pid: func() int { return server.PID }, packages: packages,
			base:   func() string { return fmt.Sprintf("%s/api/v4/projects/%d/packages/npm", server.URL, project) },
			header: http.Header{"Authorization": {"Bearer " + token}},
		})
	}
	const file = "npm-nodes-file"
	if err := registries[0].ensure(npmRead, b.readVersions); err != nil {
		return err
	}
	one, err := registries[0].next(file, 1, 10<<10)
	if err != nil {
		return err
	}
	if _, err := registries[0].send(one); err != nil {
		return err
	}

	// Each node gets its part of a core only now, when the store is filled.
	for i, server := range servers {
		quota := first
		if i > 0 {
			if quota, err = newQuota(nodesQuota); err != nil {
				return err
			}
			defer quota.remove()
		}
		if err := quota.add(server.PID); err != nil {
			return err
		}
		if err := pin(b.ctx, server.PID, 0); err != nil {
			return err
		}
		defer server.Kill() // before its quota is removed; Stop afterwards finds it gone
	}

	release, err := b.pinOthers(1)
	if err != nil {
		return err
	}
	defer release()

	loads := map[string][]loadOf{}
	for _, r := range registries {
		response, body, err := r.document(npmRead, r.documentHeader(true))
		if err != nil {
			return err
		}
		header := r.documentHeader(true)
		loads["packument"] = append(loads["packument"], loadOf{system: packhouse, pid: r.pid(), url: r.url(npmRead), header: header, status: http.StatusOK, length: len(body)})
		header = header.Clone()
		header.Set("If-None-Match", response.Header.Get("ETag"))
		loads["304"] = append(loads["304"], loadOf{system: packhouse, pid: r.pid(), url: r.url(npmRead), header: header, status: http.StatusNotModified})
		address := r.tarballURL(file, 0)
		if _, body, err = get(b.ctx, address, r.header); err != nil {
			return err
		}
		loads["file"] = append(loads["file"], loadOf{system: packhouse, pid: r.pid(), url: address, header: r.header, status: http.StatusOK, length: len(body)})
	}
	for _, work := range []struct {
		id, what string
		goal     float64
	}{
		{"packument", fmt.Sprintf("npm packument, %d versions, abbreviated, gzip", b.readVersions), 2.5},
		{"304", "the same, unchanged: 304", 2.5},
		{"file", "file of 10 KB, through the node from the S3 store", 0},
	} {
		if err := b.compareNodes(work.id, work.what, work.goal, func(n int) (reading, int, error) { return b.readNodes(loads[work.id][:n]) }); err != nil {
			return err
		}
	}
	return b.compareNodes("publish", "npm publish, 4 clients a node, a package each", 0, func(n int) (r reading, answers int, err error) {
		return b.publishNodes(registries[:n])
	})
}

// compareNodes does the same work with one, two and three nodes, and adds their rates, and what the servers that they share
// took with all of them.
func (b *bench) compareNodes(id, what string, goal float64, work func(n int) (reading, int, error)) error {
	f := &figure{ID: "nodes." + id, What: what, Unit: "/s"}
	shared := &figure{ID: f.ID + ".shared", What: fmt.Sprintf("what is shared by %d nodes, meanwhile", nodesMost), Unit: "cores"}
	for n := nodesMost; n > 0; n-- {
		names := []string{"postgres", "versitygw"}
		var before []float64
		for _, name := range names {
			before = append(before, cpuOfOwn(name))
		}
		began := time.Now()
		r, answers, err := work(n)
		if err != nil {
			return err
		}
		took := time.Since(began).Seconds()
		s := sample{System: fmt.Sprintf("%d nodes", n), Value: r.rate, P50: ms(r.p50), P99: ms(r.p99), CPU: r.perThousand}
		if n == 1 {
			s.System, s.Role = oneNode, limit
		}
		f.Samples = append(f.Samples, s)
		for i, name := range names {
			if cpu := cpuOfOwn(name) - before[i]; n == nodesMost && cpu > 0 {
				shared.Samples = append(shared.Samples, sample{System: name, Value: cpu / took, CPU: cpu / float64(answers) * 1000})
			}
		}
	}
	b.report.add(f)
	if goal > 0 {
		f.goal(oneNode, ">=", goal)
	}
	if len(shared.Samples) > 0 {
		b.report.add(shared)
	}
	return nil
}

const oneNode = "1 node"

// readNodes reads from several nodes at once: a load generator for each.
func (b *bench) readNodes(loads []loadOf) (sum reading, answers int, err error) {
	readings, counts, errs := make([]reading, len(loads)), make([]int, len(loads)), make([]error, len(loads))
	var cpu float64
	for _, l := range loads {
		if err := l.check(b.ctx); err != nil {
			return sum, 0, err
		}
		cpu -= cpuSeconds(l.pid)
	}
	generate := b.readWithLoop
	if b.wrk {
		generate = b.readWithWrk
	}
	var wait sync.WaitGroup
	for i, l := range loads {
		wait.Go(func() { readings[i], counts[i], errs[i] = generate(l) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return sum, 0, err
	}
	for i, r := range readings {
		cpu += cpuSeconds(loads[i].pid)
		sum.rate, sum.p50, sum.p99 = sum.rate+r.rate, max(sum.p50, r.p50), max(sum.p99, r.p99)
		answers += counts[i]
	}
	sum.perThousand = cpu / float64(answers) * 1000
	return sum, answers, nil
}

// publishNodes publishes to several nodes at once, four packages at each.
func (b *bench) publishNodes(registries []*npmRegistry) (sum reading, answers int, err error) {
	const clients = 4
	work := make([][][]npmRelease, len(registries))
	var cpu float64
	for i, r := range registries {
		for c := range clients {
			releases, err := r.next(fmt.Sprintf("npm-node-%d-%d", i, c), max(1, b.each/10), npmSmall)
			if err != nil {
				return sum, 0, err
			}
			work[i] = append(work[i], releases)
		}
		cpu -= cpuSeconds(r.pid())
	}
	times, errs := make([][]time.Duration, len(registries)), make([]error, len(registries))
	var wait sync.WaitGroup
	began := time.Now()
	for i, r := range registries {
		wait.Go(func() { times[i], errs[i] = r.sendAll(work[i]) })
	}
	wait.Wait()
	took := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return sum, 0, err
	}
	var all []time.Duration
	for i, r := range registries {
		cpu += cpuSeconds(r.pid())
		all = append(all, times[i]...)
	}
	sum = reading{rate: float64(len(all)) / took.Seconds(), p50: median(all), p99: percentile(all, 99), perThousand: cpu / float64(len(all)) * 1000}
	return sum, len(all), nil
}

// quota is a control group whose processes may use a part of a core (cgroups(7)).
type quota struct{ folder string }

// newQuota makes one, in whichever version of control groups the machine has.
func newQuota(cores float64) (_ *quota, err error) {
	const period = 10_000 // µs: short beside what a request takes to be noticed
	share := strconv.Itoa(int(cores * period))
	parent, settings := "/sys/fs/cgroup", [][2]string{{"cpu.max", share + " " + strconv.Itoa(period)}}
	if _, err := os.Stat(filepath.Join(parent, "cgroup.controllers")); err != nil {
		parent, settings = filepath.Join(parent, "cpu"), [][2]string{{"cpu.cfs_period_us", strconv.Itoa(period)}, {"cpu.cfs_quota_us", share}}
	}
	q := &quota{filepath.Join(parent, "packhouse-load-"+harness.Random())}
	if err := os.Mkdir(q.folder, 0o755); err != nil {
		return nil, err
	}
	for _, s := range settings {
		if err := os.WriteFile(filepath.Join(q.folder, s[0]), []byte(s[1]), 0o644); err != nil {
			q.remove()
			return nil, err
		}
	}
	return q, nil
}

func (q *quota) add(pid int) error {
	return os.WriteFile(filepath.Join(q.folder, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
}

// remove takes the group away, once its processes have ended.
func (q *quota) remove() {
	for range 100 {
		if err := os.Remove(q.folder); err == nil || os.IsNotExist(err) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// pinOthers keeps the load generators, PostgreSQL and the S3 server on one core until they are released.
func (b *bench) pinOthers(core int) (release func(), err error) {
	pids := []int{os.Getpid()} // what it starts is kept there, too
	own(func(pid int, name string, _ int64) {
		if name == "postgres" || name == "versitygw" {
			pids = append(pids, pid)
		}
	})
	for _, pid := range pids {
		if err := pin(b.ctx, pid, core); err != nil && (pid == os.Getpid() || alive(pid)) {
			return nil, err
		}
	}
	return func() {
		for _, pid := range pids {
			taskset(context.WithoutCancel(b.ctx), pid, fmt.Sprintf("0-%d", runtime.NumCPU()-1))
		}
	}, nil
}

func alive(pid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return err == nil
}

// pin keeps a process on one core, where there are several.
func pin(ctx context.Context, pid, core int) error {
	if runtime.NumCPU() < 2 {
		return nil
	}
	return taskset(ctx, pid, strconv.Itoa(core))
}

func taskset(ctx context.Context, pid int, cores string) error {
	out, err := exec.CommandContext(ctx, "taskset", "--all-tasks", "--cpu-list", "--pid", cores, strconv.Itoa(pid)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
