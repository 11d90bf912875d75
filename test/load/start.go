package main

import (
	"fmt"
	"time"

	"packhouse/test/harness"
)

// start restarts the server on the store that the publishing left, and reads
// the memory of the last start when it has settled.
func start(b *bench) error {
	times, err := b.restart(&b.server, b.config)
	if err != nil {
		return err
	}
	b.report.add(&figure{
		ID: "start.time", Unit: "s",
		What:    fmt.Sprintf("start to ready, store of %d versions, median of %d", b.npm.published, b.starts),
		Samples: []sample{{System: packhouse, Value: median(times).Seconds()}},
	}).goal("value", "<=", 0.3)

	sleep(b.ctx, b.settle)
	return b.addMemory("memory.start", "idle memory after start")
}

// storeStart does the same on the full stores.
func storeStart(b *bench) error {
	stores, err := b.fullStores(false)
	if err != nil {
		return err
	}
	packages := len(stores[0].names) * b.listVersions
	what := fmt.Sprintf("store of %d packages, %d files", packages, packages*listsFiles+stores[0].files-listsFiles)
	starts := &figure{ID: "store.start.time", Unit: "s", What: fmt.Sprintf("start to ready, %s, median of %d", what, b.starts)}
	idle := &figure{ID: "store.memory.start", Unit: "MiB", What: "idle memory after start, " + what + ", VmRSS"}
	for _, s := range stores {
		times, err := b.restart(&s.server, s.config)
		if err != nil {
			return fmt.Errorf("%s: %w", s.system, err)
		}
		starts.Samples = append(starts.Samples, sample{System: s.system, Value: median(times).Seconds()})
	}
	sleep(b.ctx, b.settle)
	for _, s := range stores {
		m, err := readMemory(s.server.PID)
		if err != nil {
			return err
		}
		idle.Samples = append(idle.Samples, sample{System: s.system, Value: mib(m.rss), RSS: mib(m.rss)})
	}
	b.report.add(starts).goal("each", "<=", 0.3)
	b.report.add(idle).goal("each", "<=", 40)
	return nil
}

// restart ends a server and starts it again, several times, and returns how long it took to be ready.
func (b *bench) restart(server **harness.Server, config harness.Config) (times []time.Duration, err error) {
	for range b.starts {
		if err := (*server).Stop(); err != nil {
			return nil, err
		}
		began := time.Now()
		started, err := harness.Start(b.ctx, config)
		if err != nil {
			return nil, err
		}
		*server = started
		if err := waitReady(b.ctx, started.URL); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}

// quietFor is how long memory has to stay where it is to count as settled: a
// program that gives memory back does so some time after its last request.
const quietFor = 30 * time.Second

// quiet waits until the server's memory no longer moves and reads it.
func quiet(b *bench) error {
	began := time.Now()
	waited := began
	last, err := readMemory(b.server.PID)
	if err != nil {
		return err
	}
	for time.Since(began) < b.quiet && time.Since(waited) < quietFor && b.ctx.Err() == nil {
		sleep(b.ctx, time.Second)
		now, err := readMemory(b.server.PID)
		if err != nil {
			return err
		}
		if diff := now.rss - last.rss; diff < -256<<10 || diff > 256<<10 {
			last, waited = now, time.Now()
		}
	}
	return b.addMemory("memory.quiet", fmt.Sprintf("idle memory, %.0f s after reads and uploads", time.Since(began).Seconds()))
}

// addMemory adds the server's resident memory and the part of it that is its
// own, heap and stacks. The rest is mostly the program's text, which the kernel
// can drop and read again. Whether that counts as private and as clean depends
// on who else runs the program and on how long ago it was built, so those
// counts say less.
func (b *bench) addMemory(id, what string) error {
	m, err := readMemory(b.server.PID)
	if err != nil {
		return err
	}
	f := &figure{
		ID: id, Unit: "MiB", What: what + ", VmRSS",
		Samples: []sample{{System: packhouse, Value: mib(m.rss)}},
	}
	for _, p := range b.running {
		other, err := readMemory(p.pid())
		if err != nil {
			return err
		}
		f.Samples = append(f.Samples, sample{System: p.system, Role: peer, Value: mib(other.rss)})
	}
	b.report.add(f).goal("value", "<=", 40)
	b.report.add(&figure{
		ID: id + ".anonymous", Unit: "MiB", What: what + ", heap and stacks",
		Samples: []sample{{System: packhouse, Value: mib(m.anonymous)}},
	})
	return nil
}
