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
// comes before the page; the indexes hold all that a list is filtered by, so no row is looked at. To gather is to
// collect the packages of the names that are left, and to sort them: better where few are left of many.

// listing is the part of a list that the steps share.
type listing struct {
	*tx
	registry.PackageFilter
	projects []int64
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
	var ids []int64
	var total int
	if f.Order == registry.ByProjectPath {
		ids, total, err = l.byProject(places)
	} else if total, err = l.count(); err == nil {
		ids, err = l.page(f.Order, total, f.Limit, f.Offset)
	}
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

// restrict adds the conditions on packages k, or on their names n. Ids stand in the text: they are ours, and there may be
// more of them than a query may have arguments.
func (l *listing) restrict(c *conditions, table string) {
	c.add(table + ".project_id IN " + numbers(l.projects))
	if table == "k" && l.listed() {
		c.add("(k.status = 0 OR k.status = 3 OR k.status = 5)") // in the words of the indexes, so that they are known to fit
	}
	if !l.listed() || len(l.Statuses) < len(registry.Listed) {
		c.add(table + ".status IN " + numbers(l.Statuses))
	}
	if l.Type != "" {
		c.add(table + ".type_number = " + strconv.Itoa(l.Type.Number()))
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

// count is how many packages the list has.
func (l *listing) count() (int, error) {
	counts, err := l.counts("0")
	return counts[0], err
}

// counts are how many packages the list has for each value of a column.
func (l *listing) counts(column string) (map[int64]int, error) {
	what, from, table := "CAST(COALESCE(SUM(n.packages), 0) AS BIGINT)", "package_names n", "n"
	if l.Version != "" || !l.listed() {
		what, from, table = "COUNT(*)", "packages k", "k"
		if l.listed() && column == "0" {
			from += l.using("packages_by_version")
		}
	}
	c := conditions{}
	l.restrict(&c, table)
	query := "SELECT " + column + ", " + what + " FROM " + from + " WHERE " + c.String()
	if column != "0" {
		query += " GROUP BY " + column
	}
	counts := map[int64]int{}
	err := l.each(func(row scanner) error {
		var value int64
		var n int
		err := row.Scan(&value, &n)
		counts[value] = n
		return err
	}, query, c.args...)
	return counts, err
}

// byProject is a page by the paths of the projects. The packages of each path are a list of its own, by id; the page
// lies in one of them, or in some that follow each other.
func (l *listing) byProject(places []place) (ids []int64, total int, err error) {
	counts, err := l.counts("project_id")
	if err != nil {
		return nil, 0, err
	}
	if l.Descending {
		slices.Reverse(places)
	}
	for len(places) > 0 {
		part, n := *l, 0
		part.projects = nil
		path := places[0].path
		for len(places) > 0 && places[0].path == path {
			part.projects = append(part.projects, places[0].id)
			n += counts[places[0].id]
			places = places[1:]
		}
		if from := max(l.Offset-total, 0); len(ids) < l.Limit && from < n {
			more, err := part.page(byID, n, l.Limit-len(ids), from)
			if err != nil {
				return nil, 0, err
			}
			ids = append(ids, more...)
		}
		total += n
	}
	return ids, total, nil
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
	l.restrict(&c, "k")
	index, err := l.way(order, total, offset+limit, &c)
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
	costOfTerm     = 1  // more, for each term that must occur in the name
	costOfRow      = 3  // in a scan without an index that holds what is filtered by
	costOfGathered = 20 // to find it by its name, and to sort it
)

// way decides how the first need packages of a list that has total are found. It returns what follows the table's name
// in the query, and adds to the conditions.
func (l *listing) way(order registry.PackageOrder, total, need int, c *conditions) (index string, err error) {
	if !l.listed() {
		return "", nil // few, and the indexes do not have them
	}
	var stored int
	err = l.row(func(row scanner) error { return row.Scan(&stored) }, "SELECT COALESCE(MAX(id), 0) FROM packages")
	if err != nil {
		return "", err
	}
	index = orders[order].index
	passed := need * stored / total // when they lie as thick everywhere
	if len(l.Terms) > 0 && (order == registry.ByName || order == registry.ByType) || l.Type != "" && order == registry.ByName {
		passed = stored // when they lie together: names that begin alike have more alike, also their type
	}
	cost := passed * (1 + costOfTerm*len(l.Terms))
	if index == "" {
		cost *= costOfRow
	}
	everything := l.Version == "" && l.Type == "" && len(l.Terms) == 0 && len(l.Statuses) == len(registry.Listed)
	if order == registry.ByCreation && len(l.projects) == 1 && everything && costOfRow*need < cost {
		index, cost = "packages_project", costOfRow*need
	}
	if cost <= costOfGathered*total {
		return l.using(index), l.steer("sort, seqscan, bitmapscan")
	}
	if l.Version != "" {
		return l.using("packages_by_version"), l.steer("seqscan")
	}
	names := conditions{args: c.args}
	l.restrict(&names, "n")
	c.args = names.args
	c.add("k.name IN (SELECT n.name FROM package_names n WHERE " + names.String() + ")")
	return l.using("packages_by_name"), l.steer("seqscan, hashjoin, mergejoin")
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

// steer tells PostgreSQL's planner to do without some ways until the transaction ends. Left alone, it would rather sort
// all packages than follow an index far.
func (t *tx) steer(without string) error {
	if t.db.dialect == sqliteDialect {
		return nil
	}
	settings := "set_config('jit', 'off', TRUE), set_config('max_parallel_workers_per_gather', '0', TRUE)"
	for _, way := range []string{"sort", "seqscan", "bitmapscan", "hashjoin", "mergejoin"} {
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

// PageFiles implements [registry.Tx]. Which files are on the page is found in an index, from the end that is nearer.
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
	turned := offset > total-offset-limit
	if turned {
		descending, offset = !descending, total-offset-limit
	}
	var ids []int64
	err = t.each(func(row scanner) error {
		var id int64
		err := row.Scan(&id)
		ids = append(ids, id)
		return err
	}, "SELECT f.id"+from+" ORDER BY "+orderBy(column, "f.id", descending)+" LIMIT $2 OFFSET $3", pkg, limit, offset)
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
