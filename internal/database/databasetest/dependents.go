package databasetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"packhouse/internal/registry"
)

// describing is a format whose fragment lists what a version depends on.
var describing = registry.Format{Type: registry.NPM, Compare: compareVersions, Describe: func(_ []*registry.File, fragment func(string) ([]byte, error)) (*registry.Description, error) {
	text, err := fragment("full")
	d := &registry.Description{Groups: []registry.DependencyGroup{{}}}
	for _, name := range strings.Fields(string(text)) {
		d.Groups[0].Dependencies = append(d.Groups[0].Dependencies, registry.Dependency{Name: name, Key: name})
	}
	return d, err
}}

func testDependents(t *testing.T, s *store) {
	s.Formats = []registry.Format{describing}
	project := s.projectWith(s.group(nil, "top").ID, "tools", registry.Public, registry.RegistryEnabled)
	publish := func(name, version, needs string) int64 {
		p := publication(project, name, version)
		p.Fragments["full"] = []byte(needs)
		must(t, s.Publish(t.Context(), describing, p))
		return p.Package.EntryID
	}
	users := func(name string) (names []string) {
		s.read(func(tx registry.Tx) error {
			entries, total, err := tx.Dependents(registry.NPM, name, registry.Viewer{}, 100)
			for _, e := range entries {
				names = append(names, e.Name)
			}
			if total != len(names) {
				t.Errorf("%d use %s, and the total is %d", len(names), name, total)
			}
			return err
		})
		return names
	}
	var want []string
	var entries []int64
	const many = 45 // several transactions
	for i := range many {
		name := fmt.Sprintf("user-%02d", i)
		want = append(want, name)
		entries = append(entries, publish(name, "1", "wick oil"))
	}
	other := publish("other", "1", "wick")
	same(t, "users of wick", append([]string{"other"}, want...), users("wick"))
	publish("other", "2", "oil") // the latest counts
	same(t, "versions", 2, find(s, func(tx registry.Tx) (int, error) { return tx.CountVersions(other, registry.Listed) }))
	same(t, "versions that are not listed", 0, find(s, func(tx registry.Tx) (int, error) { return tx.CountVersions(other, []registry.Status{registry.Hidden}) }))
	same(t, "users of wick, without one", want, users("wick"))

	// As if all had been published before this was kept.
	forget := func() {
		s.write(func(tx registry.Tx) error {
			for _, entry := range append(entries, other) {
				if err := tx.SetNeeds(entry, registry.NPM, nil); err != nil {
					return err
				}
			}
			return nil
		})
		same(t, "users that are known", []string(nil), users("oil"))
	}
	forget()
	// It breaks off after the first transaction, and goes on from there.
	stopped, stop := context.WithCancelCause(t.Context())
	s.Registry.Store = stopping{s.Store, func(writes int) {
		if writes == 2 { // the first takes the lease
			stop(errors.New("the node ends"))
		}
	}, new(int)}
	if err := s.FillNeeds(stopped); err == nil {
		t.Error("it went on to the end")
	}
	s.Registry.Store = s.Store
	first := users("oil")
	if len(first) == 0 || len(first) >= many {
		t.Errorf("%d were noted before it broke off", len(first))
	}
	must(t, s.FillNeeds(t.Context()))
	same(t, "users of oil", append([]string{"other"}, want...), users("oil"))
	same(t, "users of wick", want, users("wick"))

	// It is done once.
	forget()
	must(t, s.FillNeeds(t.Context()))
	same(t, "users after it was done", []string(nil), users("oil"))
}

// stopping is a store that tells after each transaction that writes how many there were.
type stopping struct {
	registry.Store
	wrote func(int)
	count *int
}

func (s stopping) Write(ctx context.Context, f func(registry.Tx) error) error {
	err := s.Store.Write(ctx, f)
	*s.count++
	s.wrote(*s.count)
	return err
}
