package nuget

import (
	"encoding/json"
	"slices"

	"packhouse/internal/format"
	"packhouse/internal/registry"
)

// Which versions are on a page of a V2 feed, and what is known of them.

// reach finds out in which entries a request looks. For one id that is asked of the id, so that somebody who has not said yet
// who they are is told to; nil: they are found by a.search.
func (h *Handler) reach(q *request, a *ask) (one *format.Found, err error) {
	if len(a.ids) == 1 && len(a.search.Terms) == 0 {
		one, err = h.find(q, a.ids[0])
		if err == errNoPackage {
			a.ids, err = []string{}, nil
			return nil, err
		}
		return one, err
	}
	terms := a.search.Terms
	_, a.search, _, err = h.List(q.Request, q.at)
	a.search.Terms = append(terms, a.idTerms()...)
	if len(a.ids) > 0 {
		a.search.Names = a.ids
	}
	return nil, err
}

// idTerms are texts that must occur in the id of a package for the rest to hold.
func (a *ask) idTerms() (terms []string) {
	for _, n := range conjunction(a.rest) {
		if len(n.args) != 2 {
			continue
		}
		part, whole := n.args[0], n.args[1]
		switch n.op {
		case "startswith", "endswith":
			part, whole = whole, part
		case "substringof":
		default:
			continue
		}
		if part.op == "literal" && part.kind == textKind && part.value.text != "" && whole.isID() && len(terms) < maxTerms {
			terms = append(terms, part.value.text)
		}
	}
	return terms
}

// page finds the versions of a page, as ids of packages, how many there are on all pages, if that is asked for, and whether
// there are more behind.
func (a *ask) page(tx registry.Tx, one *format.Found, prefix string) (page []int64, total int, more bool, err error) {
	if a.ids != nil && len(a.ids) == 0 {
		return nil, 0, false, nil
	}
	if one == nil && a.rest == nil && a.updates == nil && a.byID() {
		a.search.Descending = len(a.order) == 1 && a.order[0].descending
		a.search.Offset, a.search.Limit = a.skip, a.limit()+1
		a.search.NoTotal = !a.counted && !a.onlyNum
		switch {
		case a.latest != a.absoluteLatest && !(a.absoluteLatest && a.stable):
			return a.latestPage(tx, prefix)
		case !a.latest && !a.absoluteLatest:
			page, total, err = tx.PageVersions(a.search, anyTraits&^a.within(), a.listed || !a.unlisted)
			more = len(page) > a.limit()
			return page[:min(len(page), a.limit())], total, more, err
		}
	}
	return a.examined(tx, one, prefix)
}

// latestPage is a page of ids, of each of which there is one version that is the latest.
func (a *ask) latestPage(tx registry.Tx, prefix string) (page []int64, total int, more bool, err error) {
	f := a.search
	f.Listed, f.Once = registry.Within(a.seen()), f.Project == 0
	if a.latest {
		f.Listed = registry.Within(a.seen() &^ registry.Prerelease)
	}
	found, total, err := tx.SearchEntries(f)
	if more = len(found) > a.limit(); more {
		found = found[:a.limit()]
	}
	for chunk := range slices.Chunk(found, feedPage) {
		versions, err := a.entries(tx, chunk, prefix)
		if err != nil {
			return nil, 0, false, err
		}
		for _, e := range versions {
			if a.latest && e.latest || a.absoluteLatest && e.absoluteLatest {
				page = append(page, e.ID)
			}
		}
	}
	return page, total, more, err
}

// entries are the versions of the ids of entries, in the order of entries and then the lowest first. Other entries of the same
// names, which the caller may read as well, are looked at, too.
func (a *ask) entries(tx registry.Tx, of []*registry.Entry, prefix string) ([]*feedEntry, error) {
	var names []string
	var ids []int64
	for _, e := range of {
		if !slices.Contains(names, e.Name) {
			names, ids = append(names, e.Name), append(ids, e.ID)
		}
	}
	if a.search.Project == 0 {
		others := registry.EntryFilter{Type: a.search.Type, Viewer: a.search.Viewer, Group: a.search.Group, Names: names, NoTotal: true, Limit: maxNamesakes}
		namesakes, _, err := tx.SearchEntries(others)
		if err != nil {
			return nil, err
		}
		ids = ids[:0]
		for _, e := range namesakes {
			ids = append(ids, e.ID)
		}
	}
	packages, err := tx.Packages(ids)
	if err != nil {
		return nil, err
	}
	byName := map[string][]*registry.Package{}
	for _, p := range packages {
		byName[normalizeID(p.Name)] = append(byName[normalizeID(p.Name)], p)
	}
	var all []*feedEntry
	for _, name := range names {
		all = append(all, entriesOf(byName[name], a.seen(), prefix)...)
	}
	return all, nil
}

// entriesOf are the versions of one id without other traits than the given ones, the lowest first.
func entriesOf(packages []*registry.Package, within registry.Traits, prefix string) []*feedEntry {
	var downloads int64
	for _, p := range packages {
		downloads += p.Downloads
	}
	releases := sorted(packages, within)
	all := make([]*feedEntry, len(releases))
	var latest, absolute *feedEntry
	for i, r := range releases {
		all[i] = &feedEntry{release: r, prefix: prefix, downloads: downloads}
		if r.listed() {
			absolute = all[i]
			if !r.version.prerelease() {
				latest = all[i]
			}
		}
	}
	if latest != nil {
		latest.latest = true
	}
	if absolute != nil {
		absolute.absoluteLatest = true
	}
	return all
}

// examined is a page of a list whose versions have to be looked at one by one. It ends as soon as the page is full, unless they
// are to be counted or sorted.
func (a *ask) examined(tx registry.Tx, one *format.Found, prefix string) (page []int64, total int, more bool, err error) {
	need := a.skip + a.limit() // up to the end of the page
	counting := a.counted || a.onlyNum
	if a.onlyNum {
		need = 0
	}
	type ranked struct {
		id     int64
		values []value
	}
	var found []ranked
	sort := func() {
		slices.SortStableFunc(found, func(x, y ranked) int { return compareValues(a.order, x.values, y.values) })
	}
	inOrder := a.byID() || a.onlyNum
	err = a.examine(tx, one, prefix, func(e *feedEntry) (goOn bool) {
		total++
		switch {
		case inOrder && total > need:
			more = true
		case inOrder && total > a.skip:
			page = append(page, e.ID)
		case inOrder:
		default:
			found = append(found, ranked{e.ID, orderValues(a.order, e)})
			if len(found) > 2*need+feedPage { // the first ones are enough
				sort()
				found = found[:need]
			}
		}
		return counting || !inOrder || !more
	})
	if err != nil || inOrder {
		return page, total, more, err
	}
	sort()
	for i := a.skip; i < min(need, len(found)); i++ {
		page = append(page, found[i].id)
	}
	return page, total, total > need, nil
}

// examine yields the versions that are asked for, by id and the lowest first, until yield has enough.
func (a *ask) examine(tx registry.Tx, one *format.Found, prefix string, yield func(*feedEntry) bool) error {
	if one != nil {
		packages, err := tx.Packages(one.IDs())
		if err != nil {
			return err
		}
		_, err = a.sift(tx, entriesOf(packages, a.seen(), prefix), yield)
		return err
	}
	f := a.search
	f.Descending = len(a.order) == 1 && a.byID() && a.order[0].descending
	f.Offset, f.Limit, f.NoTotal, f.Once = 0, feedPage, true, f.Project == 0
	switch {
	case a.latest, a.stable && (a.listed || !a.unlisted):
		f.Listed = registry.Within(a.seen() &^ registry.Prerelease)
	case a.absoluteLatest, a.listed, !a.unlisted:
		f.Listed = registry.Within(a.seen())
	}
	for left := maxExamined; ; {
		batch, _, err := tx.SearchEntries(f)
		if err != nil || len(batch) == 0 {
			return err
		}
		entries, err := a.entries(tx, batch, prefix)
		if err != nil {
			return err
		}
		if left -= len(entries); left < 0 {
			return registry.Errorf(registry.Invalid, "more than %d versions would have to be looked at: ask for an id, or for words to search", maxExamined)
		}
		if goOn, err := a.sift(tx, entries, yield); err != nil || !goOn {
			return err
		}
		f.After = batch[len(batch)-1].Name
	}
}

// sift yields those of the entries that are asked for, until yield has enough.
func (a *ask) sift(tx registry.Tx, entries []*feedEntry, yield func(*feedEntry) bool) (goOn bool, err error) {
	entries = slices.DeleteFunc(entries, func(e *feedEntry) bool {
		return a.latest && !e.latest || a.absoluteLatest && !e.absoluteLatest || a.stable && e.version.prerelease() || (a.listed || !a.unlisted) && !e.listed() || !a.updated(e)
	})
	late := a.rest.late()
	for _, term := range a.order {
		late = late || term.node.late()
	}
	for chunk := range slices.Chunk(a.newestOf(entries), feedPage) {
		if late {
			if err := fill(tx, chunk); err != nil {
				return false, err
			}
		}
		for _, e := range chunk {
			if late && e.file == nil || !a.rest.holds(e) {
				continue
			}
			if !yield(e) {
				return false, nil
			}
		}
	}
	return true, nil
}

// updated tells whether a version is newer than one that the client has.
func (a *ask) updated(e *feedEntry) bool {
	return a.updates == nil || slices.ContainsFunc(a.updates[normalizeID(e.Name)], func(u update) bool {
		return e.version.compare(u.from) > 0 && u.allowed.contains(e.version)
	})
}

// newestOf are the entries of updates that are the newest of their id, where only those are asked for.
func (a *ask) newestOf(entries []*feedEntry) []*feedEntry {
	if !a.newest {
		return entries
	}
	var newest []*feedEntry
	for i, e := range entries {
		if i+1 == len(entries) || normalizeID(entries[i+1].Name) != normalizeID(e.Name) {
			newest = append(newest, e)
		}
	}
	return newest
}

// late tells whether an expression needs what an entry does not have before it is filled.
func (n *node) late() bool {
	if n == nil {
		return false
	}
	return n.op == "property" && !n.property.early || slices.ContainsFunc(n.args, (*node).late)
}

// fill reads files and manifests of entries. Without a file of its own a package has none of them.
func fill(tx registry.Tx, entries []*feedEntry) error {
	ids, at := make([]int64, len(entries)), make(map[int64]*feedEntry, len(entries))
	for i, e := range entries {
		ids[i], at[e.ID] = e.ID, e
	}
	files, err := tx.FilesOf(ids)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.Facts == "" { // of symbols
			continue
		}
		e := at[f.PackageID]
		e.file, e.manifest = f, &manifest{}
		if err := json.Unmarshal([]byte(f.Facts), e.manifest); err != nil {
			return err
		}
	}
	return nil
}

// read reads what is shown of the versions of a page, in its order. What is gone meanwhile is left out.
func (a *ask) read(tx registry.Tx, one *format.Found, page []int64, prefix string) ([]*feedEntry, error) {
	var all []*feedEntry
	if one != nil {
		packages, err := tx.Packages(one.IDs())
		if err != nil {
			return nil, err
		}
		all = entriesOf(packages, a.seen(), prefix)
	} else {
		packages, err := tx.PackagesByID(page)
		if err != nil {
			return nil, err
		}
		named := make([]*registry.Entry, len(packages))
		for i, p := range packages {
			named[i] = &registry.Entry{ID: p.EntryID, Name: normalizeID(p.Name)}
		}
		if all, err = a.entries(tx, named, prefix); err != nil {
			return nil, err
		}
	}
	at := make(map[int64]*feedEntry, len(all))
	for _, e := range all {
		at[e.ID] = e
	}
	var shown []*feedEntry
	for _, id := range page {
		if e := at[id]; e != nil {
			shown = append(shown, e)
		}
	}
	err := fill(tx, shown)
	return slices.DeleteFunc(shown, func(e *feedEntry) bool { return e.file == nil }), err
}
