package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// loadOf is one URL, read again and again.
type loadOf struct {
	system string // its name in the report
	role   role
	pid    int
	url    string
	header http.Header
	status int // that every answer must have
	length int // bytes of every answer's body
}

// reading is what one round of it gave.
type reading struct {
	rate        float64 // answers a second
	p50, p99    time.Duration
	perThousand float64 // seconds of CPU of the server per 1,000 answers
	peak, rss   int64   // bytes resident in the server, at most and afterwards
}

// compare reads each load in turn, several rounds, so that a machine that
// slows down meanwhile slows all of them, and adds the medians as one figure.
// A peer is read in one round only: it is further away than rounds differ.
func (b *bench) compare(f *figure, loads ...loadOf) (*figure, error) {
	readings := make([][]sample, len(loads))
	for _, l := range loads {
		if b.wrk {
			b.command("wrk " + shellQuote(b.wrkArgs(l)))
		}
		if err := l.check(b.ctx); err != nil {
			return nil, err
		}
	}
	for round := range b.rounds {
		for i, l := range loads {
			if round > 0 && l.role == peer {
				continue
			}
			r, err := b.read(l)
			if err != nil {
				return nil, err
			}
			readings[i] = append(readings[i], sample{
				System: l.system, Role: l.role, Value: r.rate, P50: ms(r.p50), P99: ms(r.p99), CPU: r.perThousand, Peak: mib(r.peak), RSS: mib(r.rss),
			})
		}
	}
	for i, l := range loads {
		if err := l.check(b.ctx); err != nil {
			return nil, err
		}
		f.Samples = append(f.Samples, medians(readings[i]))
	}
	f.Unit = "/s"
	return b.report.add(f), nil
}

// medians is one sample of a system's rounds.
func medians(rounds []sample) sample {
	s := rounds[len(rounds)-1]
	for _, r := range rounds {
		s.Rounds = append(s.Rounds, r.Value)
		s.Peak = max(s.Peak, r.Peak)
	}
	s.Value = median(s.Rounds)
	s.P50 = medianOf(rounds, func(r sample) float64 { return r.P50 })
	s.P99 = medianOf(rounds, func(r sample) float64 { return r.P99 })
	s.CPU = medianOf(rounds, func(r sample) float64 { return r.CPU })
	return s
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

func (b *bench) read(l loadOf) (r reading, err error) {
	generate := b.readWithLoop
	if b.wrk {
		generate = b.readWithWrk
	}
	answers := 0
	u, err := observe(l.pid, func() (err error) {
		r, answers, err = generate(l)
		return err
	})
	if err != nil {
		return r, fmt.Errorf("%s, %s: %w", l.system, l.url, err)
	}
	r.perThousand, r.peak, r.rss = u.cpu/float64(answers)*1000, u.peak, u.rss
	return r, nil
}

func (b *bench) wrkArgs(l loadOf) []string {
	// One thread: two of them and a server of several threads share too few
	// cores on a small machine. wrk takes whole seconds only.
	args := []string{"-t1", fmt.Sprintf("-c%d", b.connections), fmt.Sprintf("-d%.0fs", math.Ceil(b.duration.Seconds())), "--latency", "--timeout", "30s"}
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
	// short answer apart is the bytes. Headers, and what had come of an answer on
	// each connection at the end of the round, are the difference.
	cut := float64(b.connections) * float64(l.length) / float64(w.answers)
	if average := w.bytes / float64(w.answers); average < 0.97*float64(l.length) || average > 1.03*float64(l.length)+2048+cut {
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
