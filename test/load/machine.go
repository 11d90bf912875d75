package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// watchOthers begins to watch what other programs take of the machine; the
// function it returns says how much that was. The kernel's own threads count as
// others, also where they write what this run gave them.
func watchOthers() func() string {
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
	ours := func() float64 {
		// This process, those that run for it, and those that have.
		var self, ended syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &self)
		syscall.Getrusage(syscall.RUSAGE_CHILDREN, &ended)
		var running int64
		own(func(_ int, _ string, ticks int64) { running += ticks })
		return float64(running)/userHZ + time.Duration(self.Utime.Nano()+self.Stime.Nano()+ended.Utime.Nano()+ended.Stime.Nano()).Seconds()
	}
	began, busyThen, oursThen := time.Now(), busy(), ours()
	return func() string {
		others := (busy() - busyThen) - (ours() - oursThen)
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
