package database

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"packhouse/internal/registry"
)

// A list is made in four steps: which projects, how many packages, which of them are on the page, and their rows.
//
// How many there are is the sum of numbers that are kept for each project (package_counts), or when names are searched for
// each name (package_names). The page is found in one of
// two ways. To scan is to walk along the index that has the list's order, from the end that is nearer, past all that
// comes before the page; the indexes hold all that a list is filtered by, so no row is looked at. A step costs less than
// each condition that is asked at it; so what all packages fulfil, as the sums tell, is not asked. To gather is to collect
// the packages of a status, of a version or of the names that are left, and to sort them: better where few are left of
// many.

// listing is the part of a list that the steps share.
type listing struct {
	*tx
	registry.PackageFilter
	projects []int64
	counted
	named []string // the names that have the terms, when they are few; nil: they are not, or not known
}

// place is a project of a list.
type place struct {
	id   int64
	path string // its own segment
}

// ListPackages implements [registry.Tx].
func (t *tx) ListPackages(f registry.PackageFilter) ([]*registry.Package, int, error) {
	places, err := t.places(f)
	if err != nil || len(places) == 0 || len(f.Statuses) == 0 || f.Type != "" && f.Type.Number() == 0 || !findable(f.Terms) {
		return nil, 0, err
	}
	l := listing{tx: t, PackageFilter: f, counted: unknown}
	for _, p := range places {
		l.projects = append(l.projects, p.id)
	}
	if f.Order == registry.ByProjectPath {
		if l.Descending {
			slices.Reverse(places)
		}
		ids, total, err := l.byProject(places)
		if err != nil {
			return nil, 0, err
		}
		packages, err := t.PackagesByID(ids)
		path := map[int64]string{}
		for _, p := range places {
			path[p.id] = p.path
		}
		slices.SortStableFunc(packages, func(a, b *registry.Package) int {
			if l.Descending {
				a, b = b, a
			}
			return cmp.Compare(path[a.ProjectID], path[b.ProjectID])
		})
		return packages, total, err
	}
	counts, err := l.counts("0")
	if err != nil {
		return nil, 0, err
	}
	l.counted = counts[0]
	ids, err := l.page(f.Order, f.Limit, f.Offset)
	if err != nil {
		return nil, 0, err
	}
	packages, err := t.PackagesByID(ids)
	return packages, l.packages, err
}

// places are the projects of a list, by path.
func (t *tx) places(f registry.PackageFilter) (places []place, err error) {
	if f.Project != 0 {
		return []place{{id: f.Project}}, nil
	}
	c := conditions{}
	switch {
	case f.Everywhere:
	case f.Direct:
		c.add("p.namespace_id = $?", f.Group.ID)
	default:
		c.add("p.lineage LIKE $?", lineageText(f.Group.Lineage)+"%")
	}
	c.visible(f.Viewer, true)
	err = t.each(func(row scanner) error {
		var p place
		err := row.Scan(&p.id, &p.path)
		places = append(places, p)
		return err
	}, "SELECT p.id, p.path FROM projects p WHERE "+c.String()+" ORDER BY p.path, p.id", c.args...)
	return places, err
}

// PackagesByID implements [registry.Tx].
func (t *tx) PackagesByID(ids []int64) ([]*registry.Package, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	set, args := in(nil, ids)
	packages, err := list(t, scanPackage, "SELECT "+packageColumns+" FROM packages p WHERE p.id IN "+set, args...)
	at := make(map[int64]int, len(ids))
	for i, id := range ids {
		at[id] = i
	}
	slices.SortFunc(packages, func(a, b *registry.Package) int { return cmp.Compare(at[a.ID], at[b.ID]) })
	return packages, err
}

// listed tells whether only such packages are asked for as the indexes and the numbers of package_names and package_counts are about.
func (l *listing) listed() bool {
	return !slices.ContainsFunc(l.Statuses, func(s registry.Status) bool { return !slices.Contains(registry.Listed, s) })
}

// within adds the conditions on project and type of packages k or names n. Ids stand in the text: they are ours, and there
// may be more of them than a query may have arguments. Projects that were made one after another are compared as ranges,
// where they are few: that takes SQLite a third of the time.
func (l *listing) within(c *conditions, table string) {
	if ranges := ranges(l.projects); table == "k" && len(ranges) < min(8, len(l.projects)) {
		var or []string
		for _, r := range ranges {
			or = append(or, fmt.Sprintf("k.project_id BETWEEN %d AND %d", r[0], r[1]))
		}
		c.add(anyOf(or))
	} else {
		c.add(table + ".project_id IN " + numbers(l.projects))
	}
	if l.Type != "" {
		c.add(table + ".type_number = " + strconv.Itoa(l.Type.Number()))
	}
}

// ranges are the first and last numbers of those ids that follow each other.
func ranges(ids []int64) (all [][2]int64) {
	for _, id := range slices.Sorted(slices.Values(ids)) {
		if n := len(all); n > 0 && id == all[n-1][1]+1 {
			all[n-1][1] = id
		} else {
			all = append(all, [2]int64{id, id})
		}
	}
	return all
}

// restrict adds the other conditions.
func (l *listing) restrict(c *conditions, table string) {
	if l.whole() {
		return
	}
	if !l.listed() || len(l.Statuses) < len(registry.Listed) {
		c.add(table + ".status IN " + numbers(l.Statuses))
	}
	switch {
	case l.Version != "" && table == "k":
		c.add("k.version = $?", l.Version)
	case l.Version == "" && !l.Versionless && table == "k":
		c.add("k.version <> ''")
	case l.Version == "" && !l.Versionless:
		c.add("n.versioned")
	}
	l.contain(c, table+".name_key", l.Terms)
}

// The indexes are about the packages that are listed, or about those that are not as they were published. In these words,
// so that they are known to fit.
const (
	isListed = "(k.status = 0 OR k.status = 3 OR k.status = 5)"
	isMarked = "k.status <> 0"
)

// marked tells whether only packages are asked for that packages_by_status has.
func (l *listing) marked() bool { return !slices.Contains(l.Statuses, registry.Default) }

// counted are numbers of a list.
type counted struct {
	packages int // that are in it
	listed   int // that the projects list of the type; -1: not known
	names    int // of these
}

// unknown is before they are counted.
var unknown = counted{listed: -1}

// whole tells whether all that is listed of the projects and the type is in the list.
func (n counted) whole() bool { return n.packages == n.listed }

// plus are the numbers of two lists in one.
func (n counted) plus(m counted) counted {
	if n.listed < 0 || m.listed < 0 {
		return counted{packages: n.packages + m.packages, listed: -1}
	}
	return counted{n.packages + m.packages, n.listed + m.listed, n.names + m.names}
}

// counts are those of a list, for each value of a column.
func (l *listing) counts(column string) (map[int64]counted, error) {
	counts := map[int64]counted{}
	var c conditions
	if l.Version != "" || !l.listed() {
		index := ""
		switch {
		case l.Version != "" && l.listed():
			index = l.using("packages_by_version")
			c.add(isListed)
		case l.marked():
			index = l.using("packages_by_status")
			c.add(isMarked)
		}
		l.within(&c, "k")
		l.restrict(&c, "k")
		return counts, l.sums(column, "COUNT(*), -1, 0 FROM packages k"+index, &c, counts)
	}
	unnamed := *l
	unnamed.Terms = nil
	shown := conditions{parts: []string{"TRUE"}}
	unnamed.restrict(&shown, "n")
	l.within(&c, "n")
	const sum = "CAST(COALESCE(SUM(n.packages), 0) AS BIGINT)"
	err := l.sums(column, strings.Replace(sum, ")", ") FILTER (WHERE "+shown.String()+")", 1)+", "+sum+", CAST(COALESCE(SUM(n.names), 0) AS BIGINT) FROM package_counts n", &c, counts)
	if err != nil || len(l.Terms) == 0 {
		return counts, err
	}
	return counts, l.countNamed(column, counts)
}

// sums asks for the numbers of a list.
func (l *listing) sums(column, from string, c *conditions, counts map[int64]counted) error {
	query := "SELECT " + column + ", " + from + " WHERE " + c.String()
	if column != "0" {
		query += " GROUP BY " + column
	}
	return l.each(func(row scanner) error {
		var value int64
		var n counted
		err := row.Scan(&value, &n.packages, &n.listed, &n.names)
		counts[value] = n
		return err
	}, query, c.args...)
}

// fewNames is up to how many names are looked up by themselves.
const fewNames = 100

// countNamed counts the packages whose names have the terms, and notes the names when they are few.
func (l *listing) countNamed(column string, counts map[int64]counted) error {
	for value, n := range counts {
		n.packages = 0
		counts[value] = n
	}
	add := func(value int64, packages int) {
		n := counts[value]
		n.packages += packages
		counts[value] = n
	}
	type named struct {
		value    int64
		name     string
		packages int
	}
	var c conditions
	l.within(&c, "n")
	l.restrict(&c, "n")
	from := " FROM package_names n WHERE " + c.String()
	few, err := list(l.tx, func(row scanner) (*named, error) {
		var n named
		return &n, row.Scan(&n.value, &n.name, &n.packages)
	}, fmt.Sprintf("SELECT %s, n.name, n.packages%s LIMIT %d", column, from, fewNames+1), c.args...)
	if err != nil {
		return err
	}
	if len(few) <= fewNames {
		l.named = []string{}
		for _, n := range few {
			l.named = append(l.named, n.name)
			add(n.value, n.packages)
		}
		return nil
	}
	query := "SELECT " + column + ", CAST(SUM(n.packages) AS BIGINT)" + from
	if column != "0" {
		query += " GROUP BY " + column
	}
	return l.each(func(row scanner) error {
		var value int64
		var packages int
		err := row.Scan(&value, &packages)
		add(value, packages)
		return err
	}, query, c.args...)
}

// byProject is a page by the paths of the projects: the ids on it, those of a path in their order. The packages of each
// path are a list of its own, by id. The page lies in one of them, or it has the end of one, the beginning of another, and
// all between, which is found at once.
func (l *listing) byProject(places []place) (ids []int64, total int, err error) {
	counts, err := l.counts("project_id")
	if err != nil {
		return nil, 0, err
	}
	more := func(part *listing, limit, offset int) {
		if err == nil && limit > 0 {
			var found []int64
			found, err = part.page(byID, limit, offset)
			ids = append(ids, found...)
		}
	}
	begin, end := l.Offset, l.Offset+l.Limit
	whole := *l // the paths that are on the page from their first package to their last
	whole.projects, whole.counted = nil, counted{}
	for len(places) > 0 {
		part := *l
		part.projects, part.counted = nil, counted{}
		path := places[0].path
		for len(places) > 0 && places[0].path == path {
			part.projects = append(part.projects, places[0].id)
			part.counted = part.plus(counts[places[0].id])
			places = places[1:]
		}
		n := part.packages
		if n > 0 && total >= begin && total+n <= end {
			whole.projects, whole.counted = append(whole.projects, part.projects...), whole.plus(part.counted)
		} else if from := max(begin-total, 0); from < n {
			more(&part, min(n, end-total)-from, from)
		}
		total += n
	}
	more(&whole, whole.packages, 0)
	return ids, total, err
}

// byID is the order within a project path.
const byID registry.PackageOrder = "id"

// orders are by a column, and then by id, as an index has it.
var orders = map[registry.PackageOrder]struct{ column, index string }{
	registry.ByCreation: {"k.created_at", "packages_by_creation"},
	registry.ByName:     {"k.name", "packages_by_name"},
	registry.ByVersion:  {"k.version", "packages_by_version"},
	registry.ByType:     {"k.type_number", "packages_by_type"},
	byID:                {}, // as the table itself
}

// page is the ids on a page of a list whose packages are counted.
func (l *listing) page(order registry.PackageOrder, limit, offset int) (ids []int64, err error) {
	o, known := orders[order]
	if !known {
		return nil, fmt.Errorf("packages have no order %q", order)
	}
	if offset >= l.packages {
		return nil, nil
	}
	limit = min(limit, l.packages-offset)
	descending, turned := l.Descending, offset > l.packages-offset-limit // the other end is nearer
	if turned {
		descending, offset = !descending, l.packages-offset-limit
	}
	c := conditions{}
	index, err := l.way(order, descending, offset+limit, &c)
	if err != nil {
		return nil, err
	}
	n := len(c.args)
	err = l.each(func(row scanner) error {
		var id int64
		err := row.Scan(&id)
		ids = append(ids, id)
		return err
	}, fmt.Sprintf("SELECT k.id FROM packages k%s WHERE %s ORDER BY %s LIMIT $%d OFFSET $%d", index, c.String(), orderBy(o.column, "k.id", descending), n+1, n+2),
		append(c.args, limit, offset)...)
	if turned {
		slices.Reverse(ids)
	}
	return ids, err
}

// What it costs to look at a package, where one that a scan passes is 1.
const (
	costOfTerm   = 1  // more, for each term that must occur in the name
	costOfRow    = 3  // in a scan without an index that holds what is filtered by
	costOfSorted = 4  // to find it by its status or version, and to sort it
	costOfNamed  = 12 // to find it by its name, and to sort it
)

// way decides how the first need packages of a list are found. It returns what follows the table's name in the query, and
// adds the conditions.
func (l *listing) way(order registry.PackageOrder, descending bool, need int, c *conditions) (index string, err error) {
	l.within(c, "k")
	switch {
	case l.listed():
		c.add(isListed)
	case l.marked():
		l.restrict(c, "k")
		c.add(isMarked)
		return l.using("packages_by_status"), l.steer("seqscan")
	default:
		l.restrict(c, "k")
		return "", l.steer("") // no such list can be asked for by the API
	}
	var stored int
	err = l.row(func(row scanner) error { return row.Scan(&stored) }, "SELECT COALESCE(MAX(id), 0) FROM packages")
	if err != nil {
		return "", err
	}
	index = orders[order].index
	thick := need * stored / l.packages // are passed when they lie as thick everywhere
	passed, terms := thick, len(l.Terms)
	if l.whole() {
		terms = 0
	}
	// Names that begin alike have more alike, also their type. So what is left of many lies together in these orders.
	together := l.packages < stored*3/4 && (terms > 0 && (order == registry.ByName || order == registry.ByType) || l.Type != "" && order == registry.ByName)
	if together {
		passed = stored
	}
	cost := passed * (1 + costOfTerm*terms)
	if index == "" {
		cost *= costOfRow
	}
	everything := l.Version == "" && l.Type == "" && terms == 0 && len(l.Statuses) == len(registry.Listed)
	if order == registry.ByCreation && len(l.projects) == 1 && everything && costOfRow*need < cost {
		index, cost = "packages_project", costOfRow*need
	}
	gathered := costOfNamed * l.packages
	if l.named == nil {
		gathered += l.names * (1 + costOfTerm*terms)
	}
	switch {
	case l.Version != "" && costOfSorted*l.packages < cost:
		l.restrict(c, "k")
		return l.using("packages_by_version"), l.steer("seqscan")
	case l.marked() && costOfSorted*l.packages < cost:
		l.restrict(c, "k")
		c.add(isMarked)
		return l.using("packages_by_status"), l.steer("seqscan")
	case l.Version == "" && gathered < cost:
		if l.named != nil {
			c.addIn("k.name", l.named)
		} else {
			c.add("k.name " + l.among("SELECT n.name FROM "+l.theirs(c)))
		}
		named := *l
		named.Terms = nil // the names have them
		named.restrict(c, "k")
		return l.using("packages_by_name"), l.steer("seqscan")
	}
	l.restrict(c, "k")
	if together && l.Version == "" && l.names+thick < stored { // begin where they do, unless it takes as long to see where
		column := strings.TrimPrefix(orders[order].column, "k.")
		if descending {
			c.add("k." + column + " <= (SELECT MAX(n." + column + ") FROM " + l.theirs(c) + ")")
		} else {
			c.add("k." + column + " >= (SELECT MIN(n." + column + ") FROM " + l.theirs(c) + ")")
		}
	}
	return l.using(index), l.steer("sort, seqscan, bitmapscan")
}

// theirs is what follows FROM in a query for the names of a list.
func (l *listing) theirs(c *conditions) string {
	names := conditions{args: c.args}
	l.within(&names, "n")
	l.restrict(&names, "n")
	c.args = names.args
	return "package_names n WHERE " + names.String()
}

// using makes SQLite take an index, which it would choose without knowing the data; without one, the table.
func (t *tx) using(index string) string {
	switch {
	case t.db.dialect != sqliteDialect:
		return ""
	case index == "":
		return " NOT INDEXED"
	}
	return " INDEXED BY " + index
}

// among is that a value is one of those that a query finds. PostgreSQL, left the choice, may ask the query for each row.
func (t *tx) among(query string) string {
	if t.db.dialect == sqliteDialect {
		return "IN (" + query + ")"
	}
	return "= ANY (ARRAY(" + query + "))"
}

// steer tells PostgreSQL's planner to do without some ways until the transaction ends. Left alone, it would rather sort
// all packages than follow an index far.
func (t *tx) steer(without string) error {
	if t.db.dialect == sqliteDialect {
		return nil
	}
	settings := "set_config('jit', 'off', TRUE), set_config('max_parallel_workers_per_gather', '0', TRUE)"
	for _, way := range []string{"sort", "seqscan", "bitmapscan"} {
		value := "on"
		if slices.Contains(strings.Split(without, ", "), way) {
			value = "off"
		}
		settings += ", set_config('enable_" + way + "', '" + value + "', TRUE)"
	}
	_, err := t.exec("SELECT " + settings)
	return err
}

// numbers is "(1, 2, …)".
func numbers[T ~int | ~int64](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = strconv.FormatInt(int64(v), 10)
	}
	return "(" + strings.Join(texts, ", ") + ")"
}

// PageFiles implements [registry.Tx]. By name, which files are on the page is found in an index, from the end that is nearer.
func (t *tx) PageFiles(pkg int64, order string, descending bool, limit, offset int) (files []*registry.File, total int, err error) {
	column, known := map[string]string{"id": "", "created_at": "f.created_at", "file_name": "f.name"}[order]
	if !known {
		return nil, 0, fmt.Errorf("files have no order %q", order)
	}
	const from = " FROM package_files f WHERE f.package_id = $1 AND f.status = 0"
	err = t.row(func(row scanner) error { return row.Scan(&total) }, "SELECT COUNT(*)"+from, pkg)
	if err != nil || offset >= total {
		return nil, total, err
	}
	limit = min(limit, total-offset)
	id, turned := "f.id", offset > total-offset-limit
	if order != "file_name" {
		// They are sorted, which is quick for those that come in order already. PostgreSQL would rather walk through all
		// files of the server in the order of their ids, where it can.
		id, turned = "f.id + 0", descending
	}
	if turned {
		descending, offset = !descending, total-offset-limit
	}
	var ids []int64
	err = t.each(func(row scanner) error {
		var id int64
		err := row.Scan(&id)
		ids = append(ids, id)
		return err
	}, "SELECT f.id"+from+" ORDER BY "+orderBy(column, id, descending)+" LIMIT $2 OFFSET $3", pkg, limit, offset)
	if err != nil {
		return nil, 0, err
	}
	if turned {
		slices.Reverse(ids)
	}
	set, args := in(nil, ids)
	files, err = list(t, scanFile, "SELECT "+fileColumns+" FROM package_files f WHERE f.id IN "+set, args...)
	slices.SortFunc(files, func(a, b *registry.File) int { return cmp.Compare(slices.Index(ids, a.ID), slices.Index(ids, b.ID)) })
	return files, total, err
}

func (t *tx) FilesSize(pkg int64) (bytes int64, err error) {
	err = t.row(func(row scanner) error { return row.Scan(&bytes) }, "SELECT COALESCE(CAST(SUM(f.size) AS BIGINT), 0) FROM package_files f WHERE f.package_id = $1 AND f.status = 0", pkg)
	return bytes, err
}
