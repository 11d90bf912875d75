package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// memory of a process, in bytes.
type memory struct {
	rss       int64 // VmRSS: resident now
	peak      int64 // VmHWM: highest VmRSS since the start or since resetPeak
	anonymous int64 // Anonymous: the part of rss that no file backs
}

// readMemory adds up what a process and its children have: nginx works in children.
func readMemory(pid int) (sum memory, err error) {
	for _, one := range family(pid) {
		var m memory
		if m.rss, err = procField(one, "status", "VmRSS"); err == nil {
			m.peak, err = procField(one, "status", "VmHWM")
		}
		if err == nil {
			m.anonymous, err = procField(one, "smaps_rollup", "Anonymous")
		}
		if err != nil {
			if one != pid && os.IsNotExist(err) {
				continue // gone since it was listed
			}
			return sum, err
		}
		sum.rss, sum.peak, sum.anonymous = sum.rss+m.rss, sum.peak+m.peak, sum.anonymous+m.anonymous
	}
	return sum, nil
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
	for _, one := range family(pid) {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", one), []byte("5"), 0); err != nil {
			return err
		}
	}
	return nil
}

// processes calls f for each process with its parent, its name, and the clock ticks that it and its children that have
// ended have run.
func processes(f func(pid, parent int, name string, ticks, ended int64)) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // gone since Glob
		}
		// The name, in parentheses, may hold spaces: fields count from its end,
		// state first (proc(5) field 3).
		name, rest := content[bytes.IndexByte(content, '(')+1:bytes.LastIndexByte(content, ')')], content[bytes.LastIndexByte(content, ')')+1:]
		fields := strings.Fields(string(rest))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		parent, _ := strconv.Atoi(fields[1])
		var times [4]int64 // user and system, of it and of its children that have ended
		for i := range times {
			times[i], _ = strconv.ParseInt(fields[11+i], 10, 64)
		}
		f(pid, parent, string(name), times[0]+times[1], times[2]+times[3])
	}
}

// family is a process and its children.
func family(pid int) (pids []int) {
	pids = []int{pid}
	processes(func(one, parent int, _ string, _, _ int64) {
		if parent == pid {
			pids = append(pids, one)
		}
	})
	return pids
}

// cpuSeconds is the time that a process and its children have run, in user and
// kernel mode.
func cpuSeconds(pid int) float64 {
	var sum int64
	processes(func(one, parent int, _ string, ticks, _ int64) {
		if one == pid || parent == pid {
			sum += ticks
		}
	})
	return float64(sum) / userHZ
}

// userHZ is what clock ticks are counted in, on every architecture that Go runs on.
const userHZ = 100

// own calls f for each process that this one has started, or that such a one has, with the clock ticks that it and its
// children that have ended have run.
func own(f func(pid int, name string, ticks int64)) {
	type process struct {
		parent int
		name   string
		ticks  int64
	}
	all := map[int]process{}
	processes(func(pid, parent int, name string, ticks, ended int64) {
		all[pid] = process{parent, name, ticks + ended}
	})
	for pid, p := range all {
		at := p.parent
		for at > 1 && at != os.Getpid() {
			at = all[at].parent
		}
		if at == os.Getpid() {
			f(pid, p.name, p.ticks)
		}
	}
}

// cpuOfOwn is the time that the processes of a name have run which this process has started.
func cpuOfOwn(name string) float64 {
	var sum int64
	own(func(_ int, one string, ticks int64) {
		if one == name {
			sum += ticks
		}
	})
	return float64(sum) / userHZ
}

// usage is what a system took for a piece of work.
type usage struct {
	took      time.Duration
	cpu       float64 // seconds
	idle      int64   // bytes resident before
	peak, rss int64   // bytes resident at most and afterwards
}

// observe does a piece of work and returns what the system of a process took meanwhile.
func observe(pid int, work func() error) (u usage, err error) {
	before, err := readMemory(pid)
	if err != nil {
		return u, err
	}
	if err := resetPeak(pid); err != nil {
		return u, err
	}
	cpu, began := cpuSeconds(pid), time.Now()
	if err := work(); err != nil {
		return u, err
	}
	u = usage{took: time.Since(began), cpu: cpuSeconds(pid) - cpu, idle: before.rss}
	after, err := readMemory(pid)
	u.peak, u.rss = max(after.peak, after.rss), after.rss
	return u, err
}

// sample of n pieces of work that were done one by one in times, or by several at once.
func (u usage) sample(system string, times []time.Duration) sample {
	n := float64(len(times))
	return sample{
		System: system, Value: n / u.took.Seconds(), P50: ms(median(times)), P99: ms(percentile(times, 99)),
		CPU: u.cpu / n * 1000, Peak: mib(u.peak), RSS: mib(u.rss),
	}
}
