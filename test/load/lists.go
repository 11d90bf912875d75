package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

const (
	listsFiles    = 10  // of each version
	listsProjects = 100 // of the group, when the packages are spread
	listsBound    = 20  // ms, that no page may take longer than
)

// listsOfProject and listsOfGroup measure the pages of lists, on SQLite and on PostgreSQL.
func listsOfProject(b *bench) error {
	stores, err := b.fullStores(false)
	if err != nil {
		return err
	}
	return b.measureLists(stores, "project", "in one project")
}

func listsOfGroup(b *bench) error {
	stores, err := b.fullStores(true)
	if err != nil {
		return err
	}
	return b.measureLists(stores, "group", fmt.Sprintf("in %d projects of a group", listsProjects))
}

// listRow is one row of the report: all pages of one kind.
type listRow struct {
	id, what string
	filters  []string // each with all orders, both ways, in pages of 20 and 100
	pages    []string // that are asked for: first, middle, last
}

// listRows are the kinds of pages. The names are those of a store.
func listRows(names int) []listRow {
	every := []string{"first", "middle", "last"}
	name := func(text string) string { return url.Values{"package_name": {text}}.Encode() }
	return []listRow{
		{"first", "first page", []string{""}, []string{"first"}},
		{"middle", "page in the middle", []string{""}, []string{"middle"}},
		{"last", "last page", []string{""}, []string{"last"}},
		{"type", "of one type", []string{"package_type=npm", "package_type=generic"}, every},
		{"version", "of one version", []string{"package_version=1.5.3"}, every},
		{"versionless", "with those without a version", []string{"include_versionless=true"}, every},
		{"status", "deprecated ones", []string{"status=deprecated"}, every},
		{"status.hidden", "hidden ones", []string{"status=hidden"}, every},
		{"name.all", "name with a word of all", []string{name("acme")}, every},
		{"name.some", "name with a word of some", []string{name("router")}, every},
		{"name.one", "name with a word of one", []string{name(fmt.Sprint(names - 3))}, []string{"first"}},
		{"name.none", "name with a word of none", []string{name("nothing-like-it")}, []string{"first"}},
		{"name.two", "name with two words", []string{name("acme grid")}, every},
		{"name.letter", "name with a letter", []string{name("e"), name("g")}, every},
		{"name.type", "name and type", []string{"package_type=pypi&" + name("acme")}, every},
	}
}

// listPage is one page, and what it must hold.
type listPage struct {
	path         string
	total, count int
}

// pages are those of a list, ordered in several ways.
func (s *listStore) pages(ctx context.Context, list string, orders []string, filters, which []string) (pages []listPage, err error) {
	for _, filter := range filters {
		response, _, err := get(ctx, s.server.URL+list+"?per_page=1&"+filter, s.header())
		if err != nil {
			return nil, err
		}
		total, err := strconv.Atoi(response.Header.Get("X-Total"))
		if err != nil {
			return nil, fmt.Errorf("%s?%s: %s without a total", list, filter, response.Status)
		}
		for _, order := range orders {
			for _, sort := range []string{"asc", "desc"} {
				for _, size := range []int{20, 100} {
					last := max(1, (total+size-1)/size)
					for _, page := range which {
						number := map[string]int{"first": 1, "middle": (last + 1) / 2, "last": last}[page]
						path := fmt.Sprintf("%s?order_by=%s&sort=%s&per_page=%d&page=%d&%s", list, order, sort, size, number, filter)
						pages = append(pages, listPage{path, total, min(size, total-(number-1)*size)})
					}
				}
			}
		}
	}
	return pages, nil
}

func (s *listStore) header() http.Header { return http.Header{"Authorization": {"Bearer " + s.token}} }

// read reads a page, and returns what tells its items from others in each store.
func (p listPage) read(ctx context.Context, s *listStore) (items []string, took time.Duration, err error) {
	began := time.Now()
	response, body, err := get(ctx, s.server.URL+p.path, s.header())
	took = time.Since(began)
	if err != nil {
		return nil, 0, err
	}
	var list []struct {
		Name, Version string
		FileName      string `json:"file_name"`
	}
	if err := json.Unmarshal(body, &list); err != nil || response.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%s, %s: %s %.200s", s.system, p.path, response.Status, body)
	}
	if total := response.Header.Get("X-Total"); total != strconv.Itoa(p.total) || len(list) != p.count {
		return nil, 0, fmt.Errorf("%s, %s: %d of %s, want %d of %d", s.system, p.path, len(list), total, p.count, p.total)
	}
	for _, item := range list {
		items = append(items, item.Name+" "+item.Version+item.FileName)
	}
	return items, took, nil
}

// measureLists asks for each page of each row several times, one at a time, in an order that is another each time. All
// stores hold the same, so their answers are compared.
func (b *bench) measureLists(stores []*listStore, scope, where string) error {
	packages := len(stores[0].names) * b.listVersions
	orders := []string{"created_at", "name", "version", "type"}
	if scope == "group" {
		orders = append(orders, "project_path")
	}
	rows := listRows(len(stores[0].names))
	if scope == "project" {
		rows = append(rows, listRow{id: "files"})
	} else {
		rows = append(rows, listRow{"direct", "without subgroups", []string{"exclude_subgroups=true"}, []string{"first", "middle", "last"}})
	}
	for _, row := range rows {
		f := &figure{ID: "lists." + scope + "." + row.id, What: fmt.Sprintf("%d packages %s: %s, 99 of 100 within", packages, where, row.what), Unit: "ms"}
		answers := map[int][]string{}
		for _, s := range stores {
			list := fmt.Sprintf("/api/v4/%ss/%d/packages", scope, map[string]int64{"project": s.project, "group": s.group}[scope])
			orders, filters, which := orders, row.filters, row.pages
			if row.id == "files" {
				f.What = fmt.Sprintf("%d files of a package, 99 of 100 pages within", s.files)
				list, orders = fmt.Sprintf("%s/%d/package_files", list, s.crowded), []string{"id", "created_at", "file_name"}
				filters, which = []string{""}, []string{"first", "middle", "last"}
			}
			pages, err := s.pages(b.ctx, list, orders, filters, which)
			if err != nil {
				return err
			}
			var times []time.Duration
			for round := uint64(0); len(times) < b.listRequests; round++ {
				for _, i := range rand.New(rand.NewPCG(round, 1)).Perm(len(pages)) {
					items, took, err := pages[i].read(b.ctx, s)
					if err != nil {
						return err
					}
					if answers[i] == nil {
						answers[i] = items
					}
					if !slices.Equal(answers[i], items) {
						return fmt.Errorf("%s, %s: other packages than before, or than on another database", s.system, pages[i].path)
					}
					times = append(times, took)
				}
			}
			f.Samples = append(f.Samples, sample{System: s.system, Value: ms(percentile(times, 99)), P50: ms(percentile(times, 50)), P99: ms(percentile(times, 99))})
		}
		b.report.add(f).goal("each", "<=", listsBound)
	}
	return nil
}
