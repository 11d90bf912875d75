package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// memory of a process, in bytes.
type memory struct {
	rss       int64 // VmRSS: resident now
	peak      int64 // VmHWM: highest VmRSS since the start or since resetPeak
	anonymous int64 // Anonymous: the part of rss that no file backs
}

func readMemory(pid int) (m memory, err error) {
	if m.rss, err = procField(pid, "status", "VmRSS"); err != nil {
		return m, err
	}
	if m.peak, err = procField(pid, "status", "VmHWM"); err != nil {
		return m, err
	}
	m.anonymous, err = procField(pid, "smaps_rollup", "Anonymous")
	return m, err
}

// procField reads one line such as "VmRSS:  1234 kB" of a file in /proc/PID, in
// bytes.
func procField(pid int, file, field string) (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		name, value, _ := strings.Cut(line, ":")
		if name == field {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/%s has no %s", pid, file, field)
}

// resetPeak makes VmHWM start again from the memory of now (proc(5), clear_refs).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// watchPeak samples VmRSS until stop is called, which returns the highest
// value: the samples, and VmHWM for what passed between two of them.
func watchPeak(pid int) (stop func() (int64, error), err error) {
	if err := resetPeak(pid); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	var peak int64
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				// A process that has gone shows when stop reads it.
				rss, _ := procField(pid, "status", "VmRSS")
				peak = max(peak, rss)
			}
		}
	})
	return func() (int64, error) {
		close(done)
		wait.Wait()
		highest, err := procField(pid, "status", "VmHWM")
		return max(peak, highest), err
	}, nil
}

// cpuSeconds is the time that a process and its children have run, in user and
// kernel mode: nginx works in children.
func cpuSeconds(pid int) float64 {
	var ticks int64
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // gone since Glob
		}
		// The name, in parentheses, may hold spaces: fields count from its end,
		// state first (proc(5) field 3).
		fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		if filepath.Base(filepath.Dir(file)) != strconv.Itoa(pid) && parent != pid {
			continue
		}
		user, _ := strconv.ParseInt(fields[11], 10, 64)
		system, _ := strconv.ParseInt(fields[12], 10, 64)
		ticks += user + system
	}
	return float64(ticks) / 100 // USER_HZ is 100 on every architecture that Go runs on
}

// loadOf is one URL, read again and again.
type loadOf struct {
	system string // its name in the report
	pid    int
	url    string
	header http.Header
	status int // that every answer must have
	length int // bytes of every answer's body
}

// reading is what one round of it gave.
type reading struct {
	rate     float64 // answers a second
	p50, p99 time.Duration
	cpu      float64 // seconds of the server per 1,000 answers
}

// compare reads each load in turn, several rounds, so that a machine that
// slows down meanwhile slows all of them, and adds the medians as one figure.
func (b *bench) compare(f *figure, loads ...loadOf) (*figure, error) {
	readings := make([][]reading, len(loads))
	for _, l := range loads {
		if b.wrk {
			b.command("wrk " + shellQuote(b.wrkArgs(l)))
		}
		if err := l.check(b.ctx); err != nil {
			return nil, err
		}
	}
	for range b.rounds {
		for i, l := range loads {
			r, err := b.read(l)
			if err != nil {
				return nil, err
			}
			readings[i] = append(readings[i], r)
		}
	}
	for i, l := range loads {
		if err := l.check(b.ctx); err != nil {
			return nil, err
		}
		s := sample{System: l.system}
		for _, r := range readings[i] {
			s.Rounds = append(s.Rounds, r.rate)
		}
		s.Value = median(s.Rounds)
		s.P50 = medianOf(readings[i], func(r reading) float64 { return ms(r.p50) })
		s.P99 = medianOf(readings[i], func(r reading) float64 { return ms(r.p99) })
		s.CPU = medianOf(readings[i], func(r reading) float64 { return r.cpu })
		f.Samples = append(f.Samples, s)
	}
	f.Unit = "/s"
	return b.report.add(f), nil
}

// check asks once and compares status and length.
func (l loadOf) check(ctx context.Context) error {
	response, body, err := get(ctx, l.url, l.header)
	if err != nil {
		return err
	}
	if response.StatusCode != l.status || len(body) != l.length {
		return fmt.Errorf("GET %s at %s: status %d with %d bytes, want %d with %d", l.url, l.system, response.StatusCode, len(body), l.status, l.length)
	}
	return nil
}

func (b *bench) read(l loadOf) (reading, error) {
	before := cpuSeconds(l.pid)
	generate := b.readWithLoop
	if b.wrk {
		generate = b.readWithWrk
	}
	r, answers, err := generate(l)
	if err != nil {
		return r, fmt.Errorf("%s, %s: %w", l.system, l.url, err)
	}
	r.cpu = (cpuSeconds(l.pid) - before) / float64(answers) * 1000
	return r, nil
}

func (b *bench) wrkArgs(l loadOf) []string {
	// One thread: two of them and a server of several threads share too few
	// cores on a small machine. wrk takes whole seconds only.
	args := []string{"-t1", fmt.Sprintf("-c%d", b.connections), fmt.Sprintf("-d%.0fs", math.Ceil(b.duration.Seconds())), "--latency"}
	names := make([]string, 0, len(l.header))
	for name := range l.header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		args = append(args, "-H", name+": "+l.header.Get(name))
	}
	return append(args, l.url)
}

func (b *bench) readWithWrk(l loadOf) (r reading, answers int, err error) {
	out, err := exec.CommandContext(b.ctx, "wrk", b.wrkArgs(l)...).CombinedOutput()
	if err != nil {
		return r, 0, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	w, err := parseWrk(string(out))
	if err != nil {
		return r, 0, fmt.Errorf("%w in\n%s", err, out)
	}
	// wrk counts statuses only as 2xx and 3xx together; what tells a 304 or a
	// short answer apart is the bytes. Headers, and answers that the end of the
	// round cut off, are the difference.
	if average := w.bytes / float64(w.answers); average < 0.97*float64(l.length) || average > 1.03*float64(l.length)+2048 {
		return r, 0, fmt.Errorf("%.0f bytes an answer, the body has %d", average, l.length)
	}
	return w.reading, w.answers, nil
}

type wrkOutput struct {
	reading
	answers int
	bytes   float64
}

var (
	wrkRate  = regexp.MustCompile(`(?m)^Requests/sec:\s+([0-9.]+)`)
	wrkTotal = regexp.MustCompile(`(?m)^\s*(\d+) requests in \S+, ([0-9.]+)([KMGT]?)B read`)
	wrkP50   = regexp.MustCompile(`(?m)^\s*50%\s+(\S+)`)
	wrkP99   = regexp.MustCompile(`(?m)^\s*99%\s+(\S+)`)
	wrkWrong = regexp.MustCompile(`(?m)^\s*(Socket errors: .*|Non-2xx or 3xx responses: .*)`)
)

// parseWrk reads what wrk --latency prints. A socket error or a status other
// than 2xx and 3xx is an error.
func parseWrk(out string) (w wrkOutput, err error) {
	if wrong := wrkWrong.FindStringSubmatch(out); wrong != nil {
		return w, errors.New("wrk: " + wrong[1])
	}
	rate, total := wrkRate.FindStringSubmatch(out), wrkTotal.FindStringSubmatch(out)
	p50, p99 := wrkP50.FindStringSubmatch(out), wrkP99.FindStringSubmatch(out)
	if rate == nil || total == nil || p50 == nil || p99 == nil {
		return w, errors.New("wrk: output not understood")
	}
	w.rate, _ = strconv.ParseFloat(rate[1], 64)
	w.answers, _ = strconv.Atoi(total[1])
	w.bytes, _ = strconv.ParseFloat(total[2], 64)
	w.bytes *= math.Pow(1024, float64(strings.Index(" KMGT", total[3]))) // no unit: index 0
	if w.p50, err = time.ParseDuration(p50[1]); err != nil {
		return w, err
	}
	if w.p99, err = time.ParseDuration(p99[1]); err != nil {
		return w, err
	}
	if w.answers == 0 {
		return w, errors.New("wrk: no answer")
	}
	return w, nil
}

// readWithLoop stands in where wrk is missing. It takes more of the machine
// for itself, so its rates are lower.
func (b *bench) readWithLoop(l loadOf) (r reading, answers int, err error) {
	var mu sync.Mutex
	var times []time.Duration
	var wait sync.WaitGroup
	began := time.Now()
	for range b.connections {
		wait.Go(func() {
			var own []time.Duration
			for time.Since(began) < b.duration {
				asked := time.Now()
				if wrong := l.check(b.ctx); wrong != nil {
					mu.Lock()
					err = wrong
					mu.Unlock()
					return
				}
				own = append(own, time.Since(asked))
			}
			mu.Lock()
			times = append(times, own...)
			mu.Unlock()
		})
	}
	wait.Wait()
	if err != nil {
		return r, 0, err
	}
	r.rate = float64(len(times)) / time.Since(began).Seconds()
	r.p50, r.p99 = percentile(times, 50), percentile(times, 99)
	return r, len(times), nil
}

// client keeps its connections, asks for no encoding on its own, and goes
// through no proxy.
var client = &http.Client{
	Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	// A redirect would be a second request within one measured time.
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// get reads an answer whole. A status is no error.
func get(ctx context.Context, url string, header http.Header) (*http.Response, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	request.Header = header.Clone()
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, body, err
}

// waitReady asks until the server says that it is ready.
func waitReady(ctx context.Context, url string) error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		response, body, err := get(ctx, url+"/-/readiness", nil)
		if err == nil && response.StatusCode == http.StatusOK {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s/-/readiness: not ready after 30 s: %v %s", url, err, body)
		}
		sleep(ctx, time.Millisecond)
	}
}

// durableFiles makes n small files the way a store must before it says that it
// has them (write, fsync, rename, fsync of the folder), from several workers,
// and returns how many a second: the limit of the disk for publishing. They
// stay until the run is over; freshFolder says why.
func durableFiles(dir string, workers, n int) (float64, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer folder.Close()
	content := make([]byte, 4096)
	one := func(name string) error {
		f, err := os.Create(filepath.Join(dir, name+".part"))
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
			return err
		}
		return folder.Sync()
	}
	errs := make([]error, workers)
	var wait sync.WaitGroup
	began := time.Now()
	for w := range workers {
		wait.Go(func() {
			for i := range n / workers {
				if errs[w] = one(fmt.Sprintf("%d-%d", w, i)); errs[w] != nil {
					return
				}
			}
		})
	}
	wait.Wait()
	return float64(n/workers*workers) / time.Since(began).Seconds(), errors.Join(errs...)
}

// freshFolder makes a folder where ext4 finds free inodes at once. It passes
// over those of files that were deleted in the last minutes one by one, and so
// creates files at a third of its rate where another run, or tests, have just
// cleaned up: nothing that a server meets. Folders in one that is marked as the
// top of a hierarchy are spread over the disk by their names (chattr(1), T).
// Where there is no such mark, there is no such trouble either.
func freshFolder(top string) (string, error) {
	folder, err := os.Open(top)
	if err != nil {
		return "", err
	}
	defer folder.Close()
	const getFlags, setFlags, topOfHierarchy = 0x80086601, 0x40086602, 0x20000 // linux/fs.h
	var flags uint64
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, folder.Fd(), getFlags, uintptr(unsafe.Pointer(&flags))); errno == 0 {
		flags |= topOfHierarchy
		syscall.Syscall(syscall.SYS_IOCTL, folder.Fd(), setFlags, uintptr(unsafe.Pointer(&flags)))
	}
	fresh := filepath.Join(top, rand.Text())
	return fresh, os.Mkdir(fresh, 0o700)
}

// watchOthers begins to watch what other programs take of the machine; the
// function it returns says how much that was. The kernel's own threads count as
// others, also where they write what this run gave them.
func (b *bench) watchOthers() func() string {
	busy := func() float64 {
		content, _ := os.ReadFile("/proc/stat")
		line, _, _ := strings.Cut(string(content), "\n")
		var ticks float64
		for i, field := range strings.Fields(line)[1:] {
			n, _ := strconv.ParseFloat(field, 64)
			if i != 3 && i != 4 && i < 8 { // neither idle nor waiting for the disk; what follows is counted before
				ticks += n
			}
		}
		return ticks / 100
	}
	own := func() float64 {
		// This process and its children that run, those that have ended, and
		// nginx's workers.
		var ended syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_CHILDREN, &ended)
		seconds := cpuSeconds(os.Getpid()) + time.Duration(ended.Utime.Nano()+ended.Stime.Nano()).Seconds()
		if b.nginx != nil {
			seconds += cpuSeconds(b.nginx.pid())
		}
		return seconds
	}
	began, busyThen, ownThen := time.Now(), busy(), own()
	return func() string {
		others := (busy() - busyThen) - (own() - ownThen)
		return fmt.Sprintf("%.2f cores on average during the run", max(0, others)/time.Since(began).Seconds())
	}
}

// machineFacts are what another run has to have in common with this one.
// load is the load average before the run; dir lies on the disk that is used.
func machineFacts(dir, load string) []fact {
	model := "unknown CPU"
	if cpuinfo, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(cpuinfo)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	var info syscall.Sysinfo_t
	syscall.Sysinfo(&info)
	return []fact{
		{"time", time.Now().UTC().Format("2006-01-02 15:04 UTC")},
		{"cores", fmt.Sprintf("%d, %s; the load generator runs on the same ones", runtime.NumCPU(), model)},
		{"memory", fmt.Sprintf("%.1f GiB", float64(info.Totalram)*float64(info.Unit)/(1<<30))},
		{"kernel", "Linux " + strings.TrimSpace(string(kernel))},
		{"disk", fileSystem(dir)},
		{"load average at start", load},
	}
}

func loadAverage() string {
	content, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(content))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

// fileSystem names the file system of a folder: on one in memory a sync costs
// nothing and the publishing figures mean little. The numbers are those of
// linux/magic.h.
func fileSystem(dir string) string {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return "unknown"
	}
	switch stat.Type {
	case 0xef53:
		return "ext4"
	case 0x58465342:
		return "xfs"
	case 0x9123683e:
		return "btrfs"
	case 0x794c7630:
		return "overlayfs"
	case 0x01021994:
		return "tmpfs (in memory: nothing is durable here)"
	}
	return fmt.Sprintf("file system %#x", stat.Type)
}

// programs names the versions of what ran.
func (b *bench) programs() []fact {
	version := func(name string, args ...string) string {
		// nginx and wrk print it on standard error, and wrk exits with 1.
		out, _ := exec.CommandContext(b.ctx, name, args...).CombinedOutput()
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return strings.TrimPrefix(strings.TrimPrefix(line, "nginx version: "), "wrk ")
	}
	binary, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", b.server.PID))
	programs := []fact{
		{"packhouse", version(binary, "version")},
		{"go", runtime.Version()},
	}
	if b.nginx != nil {
		programs = append(programs, fact{"nginx", version(b.nginx.cmd.Path, "-v")})
	}
	if b.wrk {
		name, _, _ := strings.Cut(version("wrk", "--version"), " [")
		programs = append(programs, fact{"wrk", name})
	}
	return programs
}

// commandLine of a running process, as it was started.
func commandLine(pid int) string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return err.Error()
	}
	args := strings.Split(strings.TrimRight(string(content), "\x00"), "\x00")
	args[0] = filepath.Base(args[0])
	return shellQuote(args)
}

func shellQuote(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		if strings.ContainsAny(arg, " '\"$;*") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		quoted[i] = arg
	}
	return strings.Join(quoted, " ")
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// percentile of unsorted values; 0 of none.
func percentile[T ~int64 | ~float64](values []T, p int) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

func median[T ~int64 | ~float64](values []T) T { return percentile(values, 50) }

func medianOf[T any](values []T, of func(T) float64) float64 {
	numbers := make([]float64, len(values))
	for i, v := range values {
		numbers[i] = of(v)
	}
	return median(numbers)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func mib(n int64) float64        { return float64(n) / (1 << 20) }
