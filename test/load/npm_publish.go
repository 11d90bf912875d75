package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// npmRegistries are Packhouse and what does the same work.
func (b *bench) npmRegistries() ([]*npmRegistry, error) {
	registries := []*npmRegistry{&b.npm}
	peer, err := b.verdaccio()
	if peer != nil {
		registries = append(registries, peer)
	}
	return registries, err
}

// warmUp publishes another package. What only the first publishes of a process
// pay (a connection, prepared statements, cold code) must not make the first
// versions look slow: the ratio of last to first would hide a real growth.
func (r *npmRegistry) warmUp() error {
	if r.role == peer {
		return r.ensure("npm-warmup", npmWarmup/5)
	}
	return r.ensure("npm-warmup", npmWarmup)
}

// addDisk adds the rate of the disk for publishing: what no store that syncs can pass.
func (b *bench) addDisk(f *figure, folder string, workers, n int) error {
	rate, err := durableFiles(filepath.Join(b.dir, folder), workers, n)
	f.Samples = append(f.Samples, sample{System: diskFiles, Role: limit, Value: rate})
	return err
}

// timed publishes by send, which returns what each publish took.
func (r *npmRegistry) timed(send func() ([]time.Duration, error)) (s sample, err error) {
	var times []time.Duration
	u, err := observe(r.pid(), func() (err error) {
		times, err = send()
		return err
	})
	if err != nil {
		return s, err
	}
	s = u.sample(r.system, times)
	s.Role = r.role
	return s, nil
}

// npmPublish publishes one package version by version from one client.
func npmPublish(b *bench) error {
	registries, err := b.npmRegistries()
	if err != nil {
		return err
	}
	f := &figure{ID: "npm.publish.rate", Unit: "/s"}
	for i, r := range registries {
		if err := r.warmUp(); err != nil {
			return err
		}
		releases, err := r.next(npmRead, b.readVersions, npmSmall)
		if err != nil {
			return err
		}
		f.What = fmt.Sprintf("npm publish, %d versions of a package, one by one, bodies of %.1f KB", len(releases), float64(len(releases[0].body))/1024)
		s, err := r.timed(func() ([]time.Duration, error) { return r.send(releases) })
		if err != nil {
			return err
		}
		f.Samples = append(f.Samples, s)
		if _, _, err := r.document(npmRead, r.documentHeader(false)); err != nil {
			return err
		}
		if i == 0 {
			if err := b.addDisk(f, "disk-1", 1, 2000); err != nil {
				return err
			}
		}
	}
	b.report.add(f)
	return nil
}

// npmGrowth publishes a package of very many versions, and times the last of
// them in turn with the first of packages that have only begun, and not with the
// first of the same one seconds ago: what else the machine does now touches both.
func npmGrowth(b *bench) error {
	r := &b.npm
	if err := r.warmUp(); err != nil {
		return err
	}
	releases, err := r.next(npmGrown, b.grownVersions, npmSmall)
	if err != nil {
		return err
	}
	compared := min(npmCompared, b.grownVersions/2)
	most := releases[:b.grownVersions-compared]
	s, err := r.timed(func() ([]time.Duration, error) { return r.send(most) })
	if err != nil {
		return err
	}
	b.report.add(&figure{
		ID: "npm.publish.grown", Unit: "/s", What: fmt.Sprintf("npm publish, %d versions of a package, one by one", len(most)),
		Samples: []sample{s},
	})

	var last, first []time.Duration
	for i, release := range releases[b.grownVersions-compared:] {
		begun := fmt.Sprintf("npm-begun-%d", i/npmBegun)
		if err := r.ensure(begun, 1); err != nil {
			return err
		}
		other, err := r.next(begun, 1, npmSmall)
		if err != nil {
			return err
		}
		pair, err := r.send([]npmRelease{release, other[0]})
		if err != nil {
			return err
		}
		last, first = append(last, pair[0]), append(first, pair[1])
	}
	b.report.add(&figure{
		ID: "npm.publish.growth", Unit: "ms",
		What: fmt.Sprintf("npm publish, versions %d to %d beside 2 to %d, median", b.grownVersions-compared+1, b.grownVersions, npmBegun+1),
		Samples: []sample{
			{System: packhouse + ", last", Value: ms(median(last)), P50: ms(median(last)), P99: ms(percentile(last, 99))},
			{System: firstVersions, Role: limit, Value: ms(median(first)), P50: ms(median(first)), P99: ms(percentile(first, 99))},
		},
	}).goal(firstVersions, "<=", 1.2)
	for _, name := range []string{npmGrown, "npm-begun-0"} {
		if _, _, err := r.document(name, r.documentHeader(false)); err != nil {
			return err
		}
	}
	return nil
}

// npmPublishParallel publishes from several clients, each to a package of its
// own that has many versions before, in several rounds.
func npmPublishParallel(b *bench) error {
	registries, err := b.npmRegistries()
	if err != nil {
		return err
	}
	f := &figure{ID: "npm.publish.parallel", Unit: "/s", What: fmt.Sprintf("npm publish, %d clients, each to a package of %d versions", b.publishers, b.readVersions)}
	for i, r := range registries {
		clients, each := make([][]npmRelease, b.publishers), b.each
		if r.role == peer {
			each = max(1, b.each/16) // it takes its time
		}
		if err := r.ensure(npmRead, b.readVersions); err != nil {
			return err
		}
		for c := range clients {
			name := fmt.Sprintf("npm-parallel-%d", c)
			if r.role == peer {
				err = r.copyPackage(npmRead, name)
			} else {
				clients[c], err = r.next(name, b.readVersions, npmSmall)
			}
			if err != nil {
				return err
			}
		}
		if _, err := r.sendAll(clients); err != nil {
			return err
		}
		measured := b.rounds
		if r.role == peer {
			measured = 1
		}
		var rounds []sample
		for range measured {
			for c := range clients {
				if clients[c], err = r.next(fmt.Sprintf("npm-parallel-%d", c), each, npmSmall); err != nil {
					return err
				}
			}
			s, err := r.timed(func() ([]time.Duration, error) { return r.sendAll(clients) })
			if err != nil {
				return err
			}
			rounds = append(rounds, s)
		}
		f.Samples = append(f.Samples, medians(rounds))
		for c := range clients {
			if _, _, err := r.document(fmt.Sprintf("npm-parallel-%d", c), r.documentHeader(true)); err != nil {
				return err
			}
		}
		if i == 0 {
			if err := b.addDisk(f, "disk-2", b.publishers, b.publishers*b.each); err != nil {
				return err
			}
		}
	}
	b.report.add(f).goal("value", ">=", 1000).goal(verdaccioName, ">=", 50)
	return nil
}

// copyPackage gives Verdaccio the document of a package under another name. To
// publish so many versions once more would take longer than all else, and its
// publish reads nothing of other versions but this document.
func (r *npmRegistry) copyPackage(name, copied string) error {
	document, err := os.ReadFile(filepath.Join(r.folder, name, "package.json"))
	if err != nil {
		return err
	}
	folder := filepath.Join(r.folder, copied)
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	r.packages[copied] = append(r.packages[copied], r.packages[name]...)
	return os.WriteFile(filepath.Join(folder, "package.json"), bytes.ReplaceAll(document, []byte(name), []byte(copied)), 0o644)
}
