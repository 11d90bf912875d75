package main

import (
	"encoding/json"
	"fmt"
	"net/url"
)

// searchBound in ms, that no search may take longer than.
const searchBound = 20

// searchTerms are what is asked for: a word of all names, words of some, of one, of none, two words, a part of a word.
func searchTerms(names int) []string {
	return []string{"acme", "router", "session", "acme grid", "rout", fmt.Sprint(names - 6), "nothing-like-it"}
}

// searchOfProject and searchOfGroup measure the searches of each format, of the API and of the page, on SQLite and on PostgreSQL.
func searchOfProject(b *bench) error {
	stores, err := b.fullStores(false)
	if err != nil {
		return err
	}
	return b.measureSearch(stores, "project", "in one project")
}

func searchOfGroup(b *bench) error {
	stores, err := b.fullStores(true)
	if err != nil {
		return err
	}
	return b.measureSearch(stores, "group", fmt.Sprintf("in %d projects of a group", listsProjects))
}

// searchKind is one endpoint that searches.
type searchKind struct {
	id, what string
	path     func(s *listStore, term string) []string // first and later pages
	total    func(body []byte) (int, error)           // of what it found; nil where it does not say
	page     bool                                     // it is asked by a browser
}

// searchKinds are the endpoints. Each asks its own scope and, where there is one, the whole server.
func searchKinds(scope string) []searchKind {
	place := func(s *listStore, format string) string {
		switch {
		case scope == "project":
			return fmt.Sprintf("/api/v4/projects/%d/packages/%s/", s.project, format)
		case format == "composer":
			return fmt.Sprintf("/api/v4/group/%d/-/packages/%s/", s.group, format)
		}
		return fmt.Sprintf("/api/v4/groups/%d/-/packages/%s/", s.group, format)
	}
	field := func(name string) func(body []byte) (int, error) {
		return func(body []byte) (int, error) {
			var answer map[string]json.RawMessage
			if err := json.Unmarshal(body, &answer); err != nil {
				return 0, err
			}
			var total int
			err := json.Unmarshal(answer[name], &total)
			return total, err
		}
	}
	return []searchKind{
		{"npm", "npm search", func(s *listStore, term string) []string {
			q := "-/v1/search?" + url.Values{"text": {term}}.Encode()
			return []string{place(s, "npm") + q, place(s, "npm") + q + "&from=40&size=20", "/api/v4/packages/npm/" + q}
		}, field("total"), false},
		{"nuget", "NuGet query and autocomplete", func(s *listStore, term string) []string {
			q := url.Values{"q": {term}}.Encode()
			return []string{place(s, "nuget") + "query?" + q, place(s, "nuget") + "query?skip=40&" + q, place(s, "nuget") + "autocomplete?" + q}
		}, field("totalHits"), false},
		{"composer", "Composer search", func(s *listStore, term string) []string {
			q := "search.json?" + url.Values{"q": {term}}.Encode()
			return []string{place(s, "composer") + q, place(s, "composer") + q + "&page=3"}
		}, field("total"), false},
		{"api", "Packages API by name", func(s *listStore, term string) []string {
			list := fmt.Sprintf("/api/v4/%ss/%d/packages?", scope, map[string]int64{"project": s.project, "group": s.group}[scope])
			return []string{list + url.Values{"package_name": {term}}.Encode()}
		}, nil, false},
		{"page", "search page and suggestions", func(s *listStore, term string) []string {
			q := url.Values{"q": {term}}.Encode()
			return []string{"/-/search?" + q, "/-/search/suggestions?" + q}
		}, nil, true},
	}
}

// measureSearch asks each endpoint for each term several times, one at a time. Both stores must find as much.
func (b *bench) measureSearch(stores []*listStore, scope, where string) error {
	packages := len(stores[0].names) * b.listVersions
	for _, kind := range searchKinds(scope) {
		f := &figure{ID: "search." + scope + "." + kind.id, What: fmt.Sprintf("%d packages %s: %s, 99 of 100 within", packages, where, kind.what), Unit: "ms"}
		totals := map[int]int{}
		for _, s := range stores {
			header := s.header()
			if kind.page {
				var err error
				if header, err = s.signIn(s.user.Username, s.user.Password); err != nil {
					return err
				}
			}
			var paths []string
			for _, term := range searchTerms(len(s.names)) {
				paths = append(paths, kind.path(s, term)...)
			}
			err := b.timePaths(s, f, paths, header, func(i int, body []byte) error {
				if kind.total == nil {
					return nil
				}
				total, err := kind.total(body)
				if err != nil {
					return fmt.Errorf("%s, %s: %w in %.200s", s.system, paths[i], err, body)
				}
				if known, ok := totals[i]; ok && known != total {
					return fmt.Errorf("%s, %s: %d found, and %d before, or on another database", s.system, paths[i], total, known)
				}
				totals[i] = total
				return nil
			})
			if err != nil {
				return err
			}
		}
		if kind.total != nil && totals[0] == 0 { // a word of every name
			return fmt.Errorf("%s found nothing", f.ID)
		}
		b.report.add(f).goal("each", "<=", searchBound)
	}
	return nil
}
