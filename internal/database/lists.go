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
// How many there are is the sum of numbers that are kept for each name (package_names). The page is found in one of
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
	all      bool // all that is listed of the projects and the type is in the list
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
	l := listing{tx: t, PackageFilter: f}
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
	total := counts[0].packages
	l.all = counts[0].all
	ids, err := l.page(f.Order, total, f.Limit, f.Offset)
	if err != nil {
		return nil, 0, err
	}
	packages, err := t.PackagesByID(ids)
	return packages, total, err
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

// listed tells whether only such packages are asked for as the indexes and the numbers of package_names are about.
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
	if l.all {
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

// counted is how many packages a list has, and whether they are all that is listed of its projects and its type.
type counted struct {
	packages int
	all      bool
}

// counts are those of a list, for each value of a column.
func (l *listing) counts(column string) (map[int64]counted, error) {
	var c, matching conditions
	var query string
	switch {
	case l.Version == "" && l.listed():
		l.restrict(&matching, "n")
		matching.add("TRUE")
		c.args = matching.args
		l.within(&c, "n")
		query = "CAST(COALESCE(SUM(n.packages) FILTER (WHERE " + matching.String() + "), 0) AS BIGINT), CAST(COALESCE(SUM(n.packages), 0) AS BIGINT) FROM package_names n WHERE "
	default:
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
		query = "COUNT(*), -1 FROM packages k" + index + " WHERE "
	}
	query = "SELECT " + column + ", " + query + c.String()
	if column != "0" {
		query += " GROUP BY " + column
	}
	counts := map[int64]counted{}
	err := l.each(func(row scanner) error {
		var value int64
		var packages, all int
		err := row.Scan(&value, &packages, &all)
		counts[value] = counted{packages, packages == all}
		return err
	}, query, c.args...)
	return counts, err
}

// byProject is a page by the paths of the projects: the ids on it, those of a path in their order. The packages of each
// path are a list of its own, by id. The page lies in one of them, or it has the end of one, the beginning of another, and
// all between, which is found at once.
func (l *listing) byProject(places []place) (ids []int64, total int, err error) {
	counts, err := l.counts("project_id")
	if err != nil {
		return nil, 0, err
	}
	more := func(part *listing, packages, limit, offset int) {
		if err == nil && limit > 0 {
			var found []int64
			found, err = part.page(byID, packages, limit, offset)
			ids = append(ids, found...)
		}
	}
	begin, end := l.Offset, l.Offset+l.Limit
	whole, inWhole := *l, 0 // the paths that are on the page from their first package to their last
	whole.projects, whole.all = nil, true
	for len(places) > 0 {
		part, n := *l, 0
		part.projects, part.all = nil, true
		path := places[0].path
		for len(places) > 0 && places[0].path == path {
			part.projects = append(part.projects, places[0].id)
			of := counts[places[0].id]
			n, part.all = n+of.packages, part.all && of.all
			places = places[1:]
		}
		if n > 0 && total >= begin && total+n <= end {
			whole.projects, whole.all, inWhole = append(whole.projects, part.projects...), whole.all && part.all, inWhole+n
		} else if from := max(begin-total, 0); from < n {
			more(&part, n, min(n, end-total)-from, from)
		}
		total += n
	}
	more(&whole, inWhole, inWhole, 0)
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

// page is the ids on a page of a list that has total packages.
func (l *listing) page(order registry.PackageOrder, total, limit, offset int) (ids []int64, err error) {
	o, known := orders[order]
	if !known {
		return nil, fmt.Errorf("packages have no order %q", order)
	}
	if offset >= total {
		return nil, nil
	}
	limit = min(limit, total-offset)
	descending, turned := l.Descending, offset > total-offset-limit // the other end is nearer
	if turned {
		descending, offset = !descending, total-offset-limit
	}
	c := conditions{}
	index, err := l.way(order, descending, total, offset+limit, &c)
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

// way decides how the first need packages of a list that has total are found. It returns what follows the table's name
// in the query, and adds the conditions.
func (l *listing) way(order registry.PackageOrder, descending bool, total, need int, c *conditions) (index string, err error) {
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
	passed, terms := need*stored/total, len(l.Terms) // when they lie as thick everywhere
	if l.all {
		terms = 0
	}
	// Names that begin alike have more alike, also their type. So what is left of many lies together in these orders.
	together := total < stored*3/4 && (terms > 0 && (order == registry.ByName || order == registry.ByType) || l.Type != "" && order == registry.ByName)
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
	switch {
	case l.Version != "" && costOfSorted*total < cost:
		l.restrict(c, "k")
		return l.using("packages_by_version"), l.steer("seqscan")
	case l.marked() && costOfSorted*total < cost:
		l.restrict(c, "k")
		c.add(isMarked)
		return l.using("packages_by_status"), l.steer("seqscan")
	case l.Version == "" && costOfNamed*total < cost:
		c.add("k.name " + l.among("SELECT n.name FROM "+l.names(c)))
		named := *l
		named.Terms = nil // the names have them
		named.restrict(c, "k")
		return l.using("packages_by_name"), l.steer("seqscan")
	}
	l.restrict(c, "k")
	if together && l.Version == "" { // begin where they do
		column := strings.TrimPrefix(orders[order].column, "k.")
		if descending {
			c.add("k." + column + " <= (SELECT MAX(n." + column + ") FROM " + l.names(c) + ")")
		} else {
			c.add("k." + column + " >= (SELECT MIN(n." + column + ") FROM " + l.names(c) + ")")
		}
	}
	return l.using(index), l.steer("sort, seqscan, bitmapscan")
}

// names is what follows FROM in a query for the names of a list.
func (l *listing) names(c *conditions) string {
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
