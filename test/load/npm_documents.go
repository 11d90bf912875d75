package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"time"
)

// npmPackument reads a packument of many versions: abbreviated, full, and
// unchanged since it was last read.
func npmPackument(b *bench) error {
	registries, err := b.npmRegistries()
	if err != nil {
		return err
	}
	for _, r := range registries {
		if err := r.ensure(npmRead, b.readVersions); err != nil {
			return err
		}
	}
	for _, abbreviated := range []bool{true, false} {
		form := "full"
		if abbreviated {
			form = "abbreviated"
		}
		var zipped []byte
		var peers []loadOf
		header := b.npm.documentHeader(abbreviated)
		for i, r := range registries {
			response, body, err := r.document(npmRead, r.documentHeader(abbreviated))
			if err != nil {
				return err
			}
			if response.Header.Get("Content-Encoding") != "gzip" {
				return fmt.Errorf("%s: %s packument: not gzip though it was asked for", r.system, form)
			}
			if i > 0 {
				peers = append(peers, loadOf{system: r.system, role: peer, pid: r.pid(), url: r.url(npmRead), header: r.documentHeader(abbreviated), status: http.StatusOK, length: len(body)})
				continue
			}
			zipped = body
			if err := r.samePlain(zipped, header); err != nil {
				return fmt.Errorf("%s packument: %w", form, err)
			}
		}
		loads, err := b.compareDocument(&figure{
			ID:   "npm.packument." + form,
			What: fmt.Sprintf("npm packument, %d versions, %s, gzip, %d KB", b.readVersions, form, len(zipped)>>10),
		}, b.npm.url(npmRead), header, form+".json", zipped, peers...)
		if err != nil {
			return err
		}
		if !abbreviated {
			continue
		}
		if err := b.compareUnchanged(&figure{
			ID:   "npm.packument.304",
			What: fmt.Sprintf("npm packument, %d versions, %s, unchanged: 304", b.readVersions, form),
		}, loads...); err != nil {
			return err
		}
	}
	return nil
}

// samePlain checks that the document without compression is the same one.
func (r *npmRegistry) samePlain(zipped []byte, header http.Header) error {
	header = header.Clone()
	header.Set("Accept-Encoding", "identity")
	_, plain, err := r.document(npmRead, header)
	if err != nil {
		return err
	}
	unzipped, err := gunzip(zipped)
	if err != nil {
		return err
	}
	var one, other any
	if err := json.Unmarshal(plain, &one); err != nil {
		return err
	}
	if err := json.Unmarshal(unzipped, &other); err != nil {
		return err
	}
	if !reflect.DeepEqual(one, other) {
		return fmt.Errorf("the gzip form is not the same JSON as the plain one")
	}
	return nil
}

// npmFresh reads a packument just after a publish, when no kept document is
// valid, and once more, when there is one; then with many readers at once.
func npmFresh(b *bench) error {
	r := &b.npm
	for i, n := range b.freshVersions {
		name := npmGrown
		if i < len(b.freshVersions)-1 {
			name = fmt.Sprintf("npm-fresh-%d", i)
		}
		if err := r.ensure(name, n); err != nil {
			return err
		}
		for _, abbreviated := range []bool{true, false} {
			form := "full"
			if abbreviated {
				form = "abbreviated"
			}
			header := r.documentHeader(abbreviated)
			var fresh, kept []time.Duration
			var cpu float64
			for range npmFreshReads {
				for j, times := range []*[]time.Duration{&fresh, &kept} {
					u, err := r.readBy(1, name, header, j == 0)
					if err != nil {
						return err
					}
					*times = append(*times, u.took)
					if j == 0 {
						cpu += u.cpu
					}
				}
			}
			f := b.report.add(&figure{
				ID: fmt.Sprintf("npm.fresh.%d.%s", n, form), Unit: "ms",
				What: fmt.Sprintf("npm packument, %d versions, %s, just after a publish", n, form),
				Samples: []sample{
					{System: packhouse, Value: ms(median(fresh)), P50: ms(median(fresh)), P99: ms(percentile(fresh, 99))},
					{System: packhouse + ", again", Role: limit, Value: ms(median(kept)), P50: ms(median(kept)), P99: ms(percentile(kept, 99))},
				},
			})
			if i < len(b.freshVersions)-1 {
				continue
			}
			f.goal("value", "<=", 60)

			var last []time.Duration
			var together float64
			for range npmFreshReads {
				u, err := r.readBy(b.connections, name, header, true)
				if err != nil {
					return err
				}
				last, together = append(last, u.took), together+u.cpu
			}
			perRebuild := 1000 / float64(npmFreshReads)
			b.report.add(&figure{
				ID: fmt.Sprintf("npm.fresh.%d.%s.shared", n, form), Unit: "ms",
				What: fmt.Sprintf("the same, %d readers at once, until the last has it", b.connections),
				Samples: []sample{
					{System: packhouse, Value: ms(median(last)), P50: ms(median(last)), P99: ms(percentile(last, 99)), CPU: together * perRebuild},
					{System: packhouse + ", one reader", Role: limit, Value: ms(median(fresh)), P50: ms(median(fresh)), P99: ms(percentile(fresh, 99)), CPU: cpu * perRebuild},
				},
			}).goal("value", "<=", 60)
		}
	}
	return nil
}

// readBy has several readers ask for a packument at once, after a publish if it is to be fresh. took is the time until the
// last of them has it, cpu what the server ran meanwhile. Every answer is checked.
func (r *npmRegistry) readBy(readers int, name string, header http.Header, fresh bool) (u usage, err error) {
	if fresh {
		releases, err := r.next(name, 1, npmSmall)
		if err != nil {
			return u, err
		}
		if _, err := r.send(releases); err != nil {
			return u, err
		}
	}
	responses, bodies, errs := make([]*http.Response, readers), make([][]byte, readers), make([]error, readers)
	var wait sync.WaitGroup
	cpu, began := cpuSeconds(r.pid()), time.Now()
	for i := range readers {
		wait.Go(func() { responses[i], bodies[i], errs[i] = get(r.bench.ctx, r.url(name), header) })
	}
	wait.Wait()
	u.took, u.cpu = time.Since(began), cpuSeconds(r.pid())-cpu
	for i := range readers {
		if errs[i] != nil {
			return u, errs[i]
		}
		if i > 0 && string(bodies[i]) == string(bodies[0]) {
			continue
		}
		if err := r.check(name, responses[i], bodies[i]); err != nil {
			return u, fmt.Errorf("packument of %s right after a publish: %w", name, err)
		}
	}
	return u, nil
}
