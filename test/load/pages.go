package main

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Pages for people are asked of the stores that lists fills, by a member of the group and by an administrator.

const pagesBound = 50 // ms, that no page may take longer than

// pagesOfProject and pagesOfGroup measure each page of the site.
func pagesOfProject(b *bench) error {
	stores, err := b.fullStores(false)
	if err != nil {
		return err
	}
	return b.measurePages(stores, "project", "in one project", "/bench/all", "/groups/bench")
}

func pagesOfGroup(b *bench) error {
	stores, err := b.fullStores(true)
	if err != nil {
		return err
	}
	return b.measurePages(stores, "group", fmt.Sprintf("in %d projects of a group", listsProjects), "/bench/part-0", "/groups/bench")
}

// signIn begins a session in a browser.
func (s *listStore) signIn(username, password string) (http.Header, error) {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.PostForm(s.server.URL+"/-/sign_in", url.Values{"username": {username}, "password": {password}})
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	for _, cookie := range response.Cookies() {
		if cookie.Name == "session" && cookie.Value != "" {
			return http.Header{"Cookie": {"session=" + cookie.Value}, "Accept-Encoding": {"gzip"}}, nil
		}
	}
	return nil, fmt.Errorf("%s: signing in as %s: %s without a cookie", s.system, username, response.Status)
}

// measurePages asks for each page several times, one at a time.
func (b *bench) measurePages(stores []*listStore, scope, where, project, group string) error {
	packages := len(stores[0].names) * b.listVersions
	for _, page := range []struct {
		id    string
		admin bool
		paths []string
	}{
		{"home", false, []string{"/"}},
		{"explore", false, []string{"/-/explore", "/-/explore?show=groups", "/-/explore?filter=all"}},
		{"search", false, []string{"/-/search?q=router", "/-/search?q=acme", "/-/search?q=acme+grid&type=npm", "/-/search?q=nothing-like-it"}},
		{"suggestions", false, []string{"/-/search/suggestions?q=r", "/-/search/suggestions?q=rout", "/-/search/suggestions?q=acme", "/-/search/suggestions?q=nothing-like-it"}},
		{"project", false, []string{project, project + "/-/publish", project + "/-/members", project + "/-/settings", project + "/-/activity", project + "/-/cleanup", project + "/-/rules", project + "/-/tokens"}},
		{"group", false, []string{group, group + "/-/members", group + "/-/activity"}},
		{"storage", false, []string{project + "/-/storage", group + "/-/storage"}},
		{"packages", false, []string{group + "/-/packages", group + "/-/packages?page=" + fmt.Sprint(packages/60), group + "/-/packages?sort=name", group + "/-/packages?sort=-version&page=100", group + "/-/packages?name=router",
			group + "/-/packages?sort=project", project + "/-/packages", project + "/-/packages?name=router&sort=name", project + "/-/packages?type=npm", project + "/-/packages?status=deprecated"}},
		{"package", false, []string{"package", "package?tab=versions", "package?tab=dependencies", "package?tab=files", "package?tab=manage"}},
		{"admin", true, []string{"/", "/-/search?q=router", "/-/admin", "/-/admin/users", "/-/admin/groups", "/-/admin/jobs", "/-/admin/usage", "/-/admin/audit", "/-/admin/audit?of=projects"}},
	} {
		f := &figure{ID: "pages." + scope + "." + page.id, What: fmt.Sprintf("%d packages %s: %s, 99 of 100 within", packages, where, page.id), Unit: "ms"}
		for _, s := range stores {
			user, password := s.user.Username, s.user.Password
			if page.admin {
				user, password = "root", s.server.RootPassword
			}
			header, err := s.signIn(user, password)
			if err != nil {
				return err
			}
			paths := page.paths
			if page.id == "package" {
				if paths, err = s.packagePages(b, paths); err != nil {
					return err
				}
			}
			if err := b.timePaths(s, f, paths, header, func(int, []byte) error { return nil }); err != nil {
				return err
			}
		}
		b.report.add(f).goal("each", "<=", pagesBound)
	}
	return nil
}

// timePaths asks a store for each of some paths several times, one at a time, in an order that is another each time, and adds
// to a figure how long it took. right looks at each answer, which is 200.
func (b *bench) timePaths(s *listStore, f *figure, paths []string, header http.Header, right func(i int, body []byte) error) error {
	var times []time.Duration
	slowest, what := time.Duration(0), ""
	for round := uint64(0); len(times) < b.listRequests; round++ {
		for _, i := range rand.New(rand.NewPCG(round, 1)).Perm(len(paths)) {
			began := time.Now()
			response, body, err := get(b.ctx, s.server.URL+paths[i], header)
			took := time.Since(began)
			if err != nil {
				return err
			}
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("%s, %s: %s %.200s", s.system, paths[i], response.Status, body)
			}
			if err := right(i, body); err != nil {
				return err
			}
			times = append(times, took)
			if took > slowest {
				slowest, what = took, paths[i]
			}
		}
	}
	fmt.Fprintf(b.log, "%s, %s: slowest %.1f ms, %s\n", s.system, f.ID, ms(slowest), what)
	f.Samples = append(f.Samples, sample{System: s.system, Value: ms(percentile(times, 99)), P50: ms(percentile(times, 50)), P99: ms(percentile(times, 99))})
	return nil
}

// packagePages are the tabs of two packages: one like others, and the one with the most files.
func (s *listStore) packagePages(b *bench, tabs []string) (paths []string, err error) {
	for _, id := range []int64{s.crowded, s.crowded / 2} {
		found, err := s.projectOf(b, id)
		if err != nil {
			return nil, err
		}
		for _, tab := range tabs {
			paths = append(paths, strings.Replace(tab, "package", fmt.Sprintf("%s/-/packages/%d", found, id), 1))
		}
	}
	return paths, nil
}

// projectOf is the path of the project that has a package.
func (s *listStore) projectOf(b *bench, id int64) (path string, err error) {
	db, err := sql.Open(s.dialect, s.dsn)
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = db.QueryRowContext(b.ctx, "SELECT p.full_path FROM packages k JOIN projects p ON p.id = k.project_id WHERE k.id = $1", id).Scan(&path)
	return "/" + path, err
}
