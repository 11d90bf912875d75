package registry

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Description is what people want to know of a version, as its publisher has written it: nothing of it is to be trusted.
type Description struct {
	Summary    string
	Readme     string
	ReadmeType string // media type: text/markdown, text/x-rst or text/plain
	License    string
	Authors    string
	Keywords   []string
	Links      []Link   // URLs as they were given
	Requires   []string // what it runs on: "Python >=3.9", "node >=18"
	Groups     []DependencyGroup
	Source     *Source // nil: none that the server knows of
}

// Source is what a version was made of, in the project's repository: one of a tag and a branch, and the commit that it named.
type Source struct {
	Tag, Branch, Commit string
}

// Link is a place elsewhere that a description names.
type Link struct {
	Label string // as the publisher wrote it, or the name of a LinkKind
	URL   string
}

// Labels of links that formats have fields for.
const (
	LinkHome       = "homepage"
	LinkRepository = "repository"
	LinkIssues     = "issues"
)

// DependencyGroup is dependencies that count under one condition: of a kind, an extra, a target framework.
type DependencyGroup struct {
	Name         string // as the format calls it: "devDependencies", "extra: test", "net8.0"; "": always
	Development  bool   // who installs the package does not need them
	Dependencies []Dependency
}

// Dependency is another package that one needs.
type Dependency struct {
	Name  string
	Key   string // Name in the format's canonical spelling
	Range string // as it is written; "": any version
}

// Describe reads the description of a version: from what its format has kept of it, not from its files. A package of a format that
// says nothing has an empty one.
func (r *Registry) Describe(tx Tx, p *Package) (*Description, error) {
	format := r.Format(p.Type)
	if format.Describe == nil {
		return &Description{}, nil
	}
	return describe(tx, format, p.ID)
}

func describe(tx Tx, format Format, pkg int64) (*Description, error) {
	files, _, err := tx.PageFiles(pkg, "id", false, describedFiles, 0)
	if err != nil {
		return nil, err
	}
	d, err := format.Describe(files, func(variant string) (body []byte, err error) {
		err = tx.Fragments([]int64{pkg}, variant, func(_ *Package, fragment []byte) error {
			body = append([]byte(nil), fragment...)
			return nil
		})
		return body, err
	})
	if err == nil {
		d.bound()
	}
	return d, err
}

// What is shown of a description: of a text in bytes, of a list in entries.
const (
	shownText         = 2000
	shownKeywords     = 30
	shownLinks        = 20
	shownRequires     = 20
	shownGroups       = 100
	shownDependencies = 500 // of a group
)

// bound cuts what is too long for people, but for the README.
func (d *Description) bound() {
	for _, text := range []*string{&d.Summary, &d.License, &d.Authors} {
		cut(text)
	}
	d.Keywords = d.Keywords[:min(len(d.Keywords), shownKeywords)]
	d.Links = d.Links[:min(len(d.Links), shownLinks)]
	d.Requires = d.Requires[:min(len(d.Requires), shownRequires)]
	d.Groups = d.Groups[:min(len(d.Groups), shownGroups)]
	for i := range d.Keywords {
		cut(&d.Keywords[i])
	}
	for i := range d.Links {
		cut(&d.Links[i].Label)
		cut(&d.Links[i].URL)
	}
	for i := range d.Requires {
		cut(&d.Requires[i])
	}
	for i := range d.Groups {
		all := &d.Groups[i].Dependencies
		*all = (*all)[:min(len(*all), shownDependencies)]
		cut(&d.Groups[i].Name)
		for j := range *all {
			cut(&(*all)[j].Name)
			cut(&(*all)[j].Range)
		}
	}
}

func cut(text *string) {
	if len(*text) > shownText {
		*text = strings.ToValidUTF8((*text)[:shownText], "") + "…"
	}
}

// describedFiles is how many files of a version a description may be taken from.
const describedFiles = 20

// maxNeeds bounds the names that are kept of what a version depends on.
const maxNeeds = 1000

// setLatest says which package an entry shows as its latest version; 0: none. What that depends on is kept apart, for [Tx.Dependents].
func setLatest(tx Tx, format Format, entry, pkg int64, listed Kinds) error {
	if err := tx.SetLatest(entry, pkg, listed); err != nil {
		return err
	}
	return setNeeds(tx, format, entry, pkg)
}

func setNeeds(tx Tx, format Format, entry, pkg int64) error {
	if format.Describe == nil {
		return nil
	}
	var names []string
	if pkg != 0 {
		d, err := describe(tx, format, pkg)
		if err != nil {
			return err
		}
		for _, group := range d.Groups {
			for _, each := range group.Dependencies {
				if !group.Development && each.Key != "" && len(names) < maxNeeds {
					names = append(names, each.Key)
				}
			}
		}
	}
	slices.Sort(names)
	return tx.SetNeeds(entry, format.Type, slices.Compact(names))
}

// NeedsLease is that of the work which notes on what the latest versions depend that were there before this was kept.
const NeedsLease = "needs"

const (
	needsBatch = 20          // entries of a transaction, for which publishes wait
	needsPause = time.Minute // between two attempts, when another node is at it or the database does not answer
)

// FillNeeds notes on what the latest versions depend that were published before this was kept. It is done once for all nodes, and goes on
// where it was left; when it was done it does nothing. It returns Conflict when another node is at it.
func (r *Registry) FillNeeds(ctx context.Context) error {
	done := false
	err := r.Store.Read(ctx, func(tx Tx) error {
		l, err := tx.LeaseOf(NeedsLease)
		if err == nil {
			done = !l.FinishedAt.IsZero()
		} else if KindOf(err) == NotFound {
			err = nil
		}
		return err
	})
	if err != nil || done {
		return err
	}
	return r.Holding(ctx, NeedsLease, func(l *Lease, _ func() error) error {
		for l.FinishedAt.IsZero() {
			if err := ctx.Err(); err != nil { // transactions do not end with it
				return err
			}
			next := *l
			err := r.Store.Write(ctx, func(tx Tx) error {
				after, _ := strconv.ParseInt(l.Progress, 10, 64) // empty: from the beginning
				entries, err := tx.EntriesAfter(after, needsBatch)
				if err != nil {
					return err
				}
				for _, entry := range entries {
					if err := setNeeds(tx, r.Format(entry.Type), entry.ID, entry.LatestID); err != nil {
						return err
					}
					after = entry.ID
				}
				next.Progress, next.Until = strconv.FormatInt(after, 10), time.Now().Add(leaseTime)
				if len(entries) < needsBatch {
					next.FinishedAt = time.Now()
				}
				return tx.KeepLease(&next)
			})
			if err != nil {
				return err
			}
			*l = next
		}
		return nil
	})
}

// KeepFillingNeeds is FillNeeds until it is done, by this node or another, or ctx ends.
func (r *Registry) KeepFillingNeeds(ctx context.Context, failed func(error)) {
	for {
		err := r.FillNeeds(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if KindOf(err) != Conflict {
			failed(err)
		}
		select {
		case <-time.After(needsPause):
		case <-ctx.Done():
			return
		}
	}
}
