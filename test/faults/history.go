// Package faults shows what docs/reliability.md promises, while things break: concurrent clients publish, read, tag and delete
// over HTTP, each call and its answer is recorded with its times, and the record is checked against the promise afterwards.
//
// The short form runs with the other tests; `make faults` runs the full one and writes the table. A run prints its seed, and
// PACKHOUSE_FAULTS_SEED repeats it, as far as the scheduling of processes lets anything be repeated.
package faults

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// outcome is what an answer says about a change.
type outcome int

const (
	unknown outcome = iota // no answer, or one of 5xx: it may have happened
	done                   // acknowledged
	refused                // it did not happen
)

func (o outcome) String() string { return []string{"unknown", "done", "refused"}[o] }

// kind of a call.
type kind string

const (
	publish  kind = "publish"
	remove   kind = "delete"
	index    kind = "index" // one for each version that it shows, or one that shows none
	download kind = "download"
	set      kind = "set"   // a tag; with no value: remove it
	shows    kind = "shows" // what a tag is
)

// key is a version of a package, or a tag of its name.
type key struct{ format, name, version string }

// event is a call and its answer. Of a reading call that has no answer there is none.
type event struct {
	kind       kind
	key        key
	from, to   time.Duration // since the history began; to of an unknown change is the end of time
	outcome    outcome       // of changes
	digest     string        // that was published, shown or downloaded, or a tag's value; empty: not there; "?": there, and the index says no digest
	asked      string        // digest that the address of a download names; empty: none
	client     string
	statusText string
}

func (e event) String() string {
	digest := e.digest
	if len(digest) > 12 {
		digest = digest[:12]
	}
	return fmt.Sprintf("%v–%v %s %s %s %s %s %s: %s (%s)", e.from.Round(time.Microsecond), e.to.Round(time.Microsecond), e.client, e.kind, e.key.format, e.key.name, e.key.version, digest, e.outcome, e.statusText)
}

const forever = time.Duration(1<<63 - 1)

// history is a record. Its methods may be called at the same time.
type history struct {
	began   time.Time
	mu      sync.Mutex
	events  []event
	digests sync.Map                   // as an index tells it → SHA-256
	told    sync.Map                   // SHA-256 → as an index tells it
	shown   map[string]map[string]bool // format and name → all versions that were ever tried
}

func newHistory() *history { return &history{began: time.Now(), shown: map[string]map[string]bool{}} }

func (h *history) now() time.Duration { return time.Since(h.began) }

func (h *history) add(e event) {
	if (e.kind == publish || e.kind == remove || e.kind == set) && e.outcome == unknown {
		e.to = forever
	} else {
		e.to = h.now()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	if e.kind == publish {
		h.note(e.key)
	}
}

func (h *history) note(k key) {
	name := k.format + " " + k.name
	if h.shown[name] == nil {
		h.shown[name] = map[string]bool{}
	}
	h.shown[name][k.version] = true
}

// addIndex records an index that was read from a moment on: version → digest.
func (h *history) addIndex(client, format, name string, from time.Duration, versions map[string]string) {
	to := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string]bool{}
	for version := range h.shown[format+" "+name] {
		all[version] = true
	}
	for version := range versions {
		all[version] = true
	}
	for version := range all {
		h.events = append(h.events, event{kind: index, key: key{format, name, version}, from: from, to: to, digest: versions[version], client: client})
	}
}

// count is how many changes of a kind had an outcome.
func (h *history) count(k kind, o outcome) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.kind == k && e.outcome == o {
			n++
		}
	}
	return n
}

// check returns what breaks the promise:
//
//   - an acknowledged publish is visible to each read that begins after it, with its bytes, until a delete begins;
//   - of publishes of one version without a delete between them, one is acknowledged;
//   - what was deleted is not read after it, but for a publish that ended after the delete began;
//   - nothing is read that nobody published, or whose publish was refused;
//   - what one read has shown, the next one does not miss, unless a delete comes between;
//   - a tag is what it was set to last, until the version that it names is deleted, and no read shows what it was before the read before.
func (h *history) check() (broken []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	byKey, tags := map[key][]event{}, map[key][]event{}
	for _, e := range h.events {
		if e.kind == set || e.kind == shows {
			tags[e.key] = append(tags[e.key], e)
		} else {
			byKey[e.key] = append(byKey[e.key], e)
		}
	}
	for _, events := range byKey {
		slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.from, b.from) })
		broken = append(broken, checkKey(events)...)
	}
	for k, events := range tags {
		slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.from, b.from) })
		broken = append(broken, checkTag(events, func(version string) (removes []event) {
			for _, e := range byKey[key{k.format, k.name, version}] {
				if e.kind == remove && e.outcome != refused {
					removes = append(removes, e)
				}
			}
			return removes
		})...)
	}
	slices.Sort(broken)
	return broken
}

// complaint is a line of what is broken, with the events that show it.
func complaint(text string, involved ...event) string {
	for _, e := range involved {
		text += "\n    " + e.String()
	}
	return text
}

func checkKey(events []event) (broken []string) {
	var publishes, removes, reads []event
	for _, e := range events {
		switch {
		case e.kind == publish:
			publishes = append(publishes, e)
		case e.kind == remove && e.outcome != refused:
			removes = append(removes, e)
		case e.kind == index || e.kind == download:
			reads = append(reads, e)
		}
	}
	complain := func(text string, involved ...event) { broken = append(broken, complaint(text, involved...)) }
	// between tells whether a delete may have taken effect after one moment and before another one.
	between := func(after, before time.Duration) bool {
		return slices.ContainsFunc(removes, func(r event) bool { return r.to > after && r.from < before })
	}
	for i, p := range publishes {
		if p.outcome != done {
			continue
		}
		for _, q := range publishes[i+1:] {
			// The one that began first may have taken effect last, after a delete of the other one.
			if q.outcome == done && !between(p.from, max(p.to, q.to)) {
				complain("two publishes of one version were acknowledged", p, q)
			}
		}
		for _, r := range reads {
			if r.from <= p.to || r.asked != "" && r.asked != p.digest || between(p.from, r.to) {
				continue
			}
			if r.digest == "" {
				complain("an acknowledged publish is not there", p, r)
			} else if r.digest != "?" && r.digest != p.digest {
				complain("an acknowledged publish has other bytes", p, r)
			}
		}
	}
	for _, r := range reads {
		if r.digest == "" {
			continue
		}
		possible := func(p event) bool {
			return p.outcome != refused && p.from < r.to && (r.digest == "?" || p.digest == r.digest)
		}
		if !slices.ContainsFunc(publishes, possible) {
			complain("something is read that was not published", r)
			continue
		}
		for _, d := range removes {
			if d.outcome != done || d.to >= r.from {
				continue
			}
			after := func(p event) bool { return possible(p) && p.to > d.from }
			if !slices.ContainsFunc(publishes, after) {
				complain("what was deleted is read", d, r)
			}
		}
	}
	for i, r := range reads {
		if r.digest == "" {
			continue
		}
		for _, later := range reads[i+1:] {
			if later.from > r.to && later.digest == "" && (later.asked == "" || later.asked == r.digest) && !between(r.from, later.to) {
				complain("what was read once is missing", r, later)
				break
			}
		}
	}
	return broken
}

// checkTag checks the reads of a tag against the calls that set it and those that remove the versions that it names.
func checkTag(events []event, removesOf func(version string) []event) (broken []string) {
	var writes, reads []event
	removes := map[string][]event{} // of the values
	for _, e := range events {
		switch {
		case e.kind == shows:
			reads = append(reads, e)
		case e.outcome != refused:
			writes = append(writes, e)
			if e.digest != "" {
				removes[e.digest] = removesOf(e.digest)
			}
		}
	}
	// overwritten tells whether what took effect before a moment had certainly come to an end before another one.
	overwritten := func(value string, after, before time.Duration) bool {
		later := func(e event) bool { return e.outcome == done && e.from > after && e.to < before }
		return slices.ContainsFunc(writes, later) || slices.ContainsFunc(removes[value], later)
	}
	// could tells whether the tag may have had a value at a moment between two, by something that took effect after a third.
	const beginning = -1
	var could func(value string, from, to, since time.Duration) bool
	could = func(value string, from, to, since time.Duration) bool {
		for _, w := range writes {
			if w.digest == value && w.from < to && w.to > since && !overwritten(value, w.to, from) {
				return true
			}
		}
		if value != "" {
			return false
		}
		if since < beginning && !overwritten("", beginning, from) {
			return true
		}
		for named, all := range removes {
			for _, r := range all {
				if r.from < to && r.to > since && could(named, r.from, r.to, beginning-1) && !overwritten("", r.to, from) {
					return true
				}
			}
		}
		return false
	}
	for i, r := range reads {
		if !could(r.digest, r.from, r.to, beginning-1) {
			broken = append(broken, complaint("a tag is not what it was set to", r))
			continue
		}
		for _, before := range slices.Backward(reads[:i]) {
			if before.to < r.from {
				if before.digest != r.digest && !could(r.digest, r.from, r.to, before.from) {
					broken = append(broken, complaint("a tag went back to what it was", before, r))
				}
				break
			}
		}
	}
	return broken
}
