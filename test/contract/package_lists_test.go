package contract

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// The Packages API: lists of projects and groups.

func TestPackageLists(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	as := w.member(p, harness.Developer).as()
	publish := func(w *world, name, version string) {
		w.Helper()
		w.publish(p, as, named(name).at(version))
	}
	publish(w, "zebra", "1.0.0")
	publish(w, "Apple-pie", "2.0.0")
	publish(w, "apple", "10.0.0")
	publish(w, "apple", "9.0.0")
	publish(w, "snow_white", "1.0.0-rc.1")
	all := []string{"zebra@1.0.0", "Apple-pie@2.0.0", "apple@10.0.0", "apple@9.0.0", "snow_white@1.0.0-rc.1"}
	for query, want := range map[string]string{
		"":                                                "0 1 2 3 4", // the oldest first
		"order_by=created_at&sort=desc":                   "4 3 2 1 0",
		"sort=desc":                                       "4 3 2 1 0",
		"order_by=name":                                   "1 2 3 4 0",
		"order_by=name&sort=desc":                         "0 4 3 2 1",
		"order_by=version":                                "0 4 2 1 3",
		"order_by=version&sort=desc":                      "3 1 2 4 0",
		"order_by=type":                                   "0 1 2 3 4",
		"order_by=type&sort=desc":                         "4 3 2 1 0",
		"package_type=npm":                                "0 1 2 3 4",
		"package_type=terraform_module":                   "",
		"package_type=cargo":                              "",
		"package_name=apple":                              "1 2 3",
		"package_name=APPLE":                              "1 2 3",
		"package_name=":                                   "0 1 2 3 4",
		"package_name=++":                                 "0 1 2 3 4",
		"package_name=pie+apple":                          "1",
		"package_name=++pie%09++apple++":                  "1",
		"package_name=%22apple-pie%22":                    "1",
		"package_name=%22pie+apple%22":                    "",
		"package_name=%22":                                "",
		"package_name=e":                                  "0 1 2 3 4",
		"package_name=w_w":                                "4",
		"package_name=%25":                                "",
		"package_name=e_p":                                "",
		"package_name=%5C":                                "",
		"package_name=apple&package_version=9.0.0":        "3",
		"package_version=1.0.0":                           "0",
		"package_version=1.0":                             "",
		"package_version=1.0.0-RC.1":                      "",
		"package_version=":                                "0 1 2 3 4",
		"package_version=9.0.0&include_versionless=true":  "3",
		"include_versionless=true":                        "0 1 2 3 4",
		"include_versionless=false":                       "0 1 2 3 4",
		"status=default":                                  "0 1 2 3 4",
		"status=hidden":                                   "",
		"status=processing":                               "",
		"status=error":                                    "",
		"status=pending_destruction":                      "",
		"unknown=1&pagination=keyset":                     "0 1 2 3 4",
		"page=2&per_page=2":                               "2 3",
		"page=2&per_page=2&sort=desc":                     "2 1",
		"page=4&per_page=2":                               "",
		"package_name=apple&order_by=version&per_page=1":  "2",
		"package_type=npm&status=default&package_name=sn": "4",
	} {
		expected := []string{}
		for i := range strings.FieldsSeq(want) {
			expected = append(expected, all[i[0]-'0'])
		}
		if got := w.listed(p.packages()+"?"+query, anonymous); !slices.Equal(got, expected) {
			w.Errorf("%q: %v, want %v", query, got, expected)
		}
	}
	for query, sentence := range map[string]string{
		"package_type=foo":                   "package_type does not have a valid value",
		"order_by=foo":                       "order_by does not have a valid value",
		"order_by=project_path":              "order_by does not have a valid value",
		"sort=up":                            "sort does not have a valid value",
		"status=foo":                         "status does not have a valid value",
		"include_versionless=maybe":          "include_versionless is invalid",
		"page=x":                             "page is invalid",
		"per_page=x":                         "per_page is invalid",
		"per_page=0":                         "per_page has a value not allowed",
		"package_type=foo&status=foo&page=x": "package_type does not have a valid value, status does not have a valid value, page is invalid",
	} {
		w.send(call{path: p.packages() + "?" + query}).saysError(w, sentence)
	}
	w.sub("the container comes before the parameters", func(w *world) {
		hidden := w.project(w.group(harness.Private), harness.Private)
		w.send(call{path: hidden.packages() + "?package_type=foo"}).saysMessage(w, 404, noProject)
		w.send(call{path: "/api/v4/groups/999999999/packages?package_type=foo"}).saysMessage(w, 404, noGroup)
	})
	w.sub("headers of a page", func(w *world) {
		a := w.send(call{path: p.packages() + "?page=2&per_page=2&package_type=npm"}).must(w, 200)
		for key, want := range map[string]string{"X-Page": "2", "X-Per-Page": "2", "X-Next-Page": "3", "X-Prev-Page": "1", "X-Total": "5", "X-Total-Pages": "3"} {
			if got := a.header.Get(key); got != want {
				w.Errorf("%s: %q, want %q", key, got, want)
			}
		}
		link := func(page int, rel string) string {
			return fmt.Sprintf(`<%s%s?id=%d&order_by=created_at&package_type=npm&page=%d&per_page=2&sort=asc>; rel="%s"`, w.server.URL, p.packages(), p.ID, page, rel)
		}
		if got, want := a.header.Get("Link"), strings.Join([]string{link(1, "prev"), link(3, "next"), link(1, "first"), link(3, "last")}, ", "); got != want {
			w.Errorf("Link: %s\nwant  %s", got, want)
		}
		none := w.send(call{path: w.open().packages()}).must(w, 200).is(w, "[]")
		if none.header.Get("X-Total") != "0" || none.header.Get("X-Total-Pages") != "1" {
			w.Errorf("%v", none.header)
		}
		if got := w.send(call{path: p.packages() + "?per_page=1000"}).must(w, 200).header.Get("X-Per-Page"); got != "100" {
			w.Errorf("X-Per-Page %s", got)
		}
		if a := w.send(call{method: "HEAD", path: p.packages()}).must(w, 200); a.header.Get("X-Total") != "5" {
			w.Errorf("HEAD: %v", a.header)
		}
	})
}

func TestGroupPackages(t *testing.T) {
	w := newWorld(t)
	top := w.group(harness.Public)
	below := w.group(harness.Public, top)
	shut := w.group(harness.Private, top)
	var packs []string
	projects := map[string]project{}
	for _, one := range []struct {
		name string
		p    project
	}{
		{"public", w.project(top, harness.Public)},
		{"internal", w.project(top, harness.Internal)},
		{"private", w.project(top, harness.Private)},
		{"deep", w.project(below, harness.Public)},
		{"shut", w.project(shut, harness.Private)},
		{"pull", w.project(top, harness.Private, map[string]any{"package_registry_access_level": "public"})},
		{"members", w.project(top, harness.Public, map[string]any{"package_registry_access_level": "private"})},
	} {
		k := named(one.name + "-" + harness.Random()[:8])
		w.publish(one.p, w.root(), k)
		packs = append(packs, k.name)
		projects[one.name] = one.p
	}
	group := func(u user, level int) user { w.join(top.path(), u, level); return u }
	member := func(of string, level int) user { return w.member(projects[of], level) }
	everything := "public internal private deep shut pull members"
	for who, test := range map[string]struct {
		as         credential
		all, alone string // what is shown, and with exclude_subgroups
	}{
		"anonymous":                  {anonymous, "public deep", "public"},
		"a stranger":                 {w.user().as(), "public internal deep", "public internal"},
		"an external user":           {w.external().as(), "public deep", "public"},
		"a guest of the group":       {group(w.user(), harness.Guest).as(), everything, "public internal private pull members"},
		"a maintainer of the group":  {group(w.user(), harness.Maintainer).as(), everything, "public internal private pull members"},
		"an administrator":           {w.root(), everything, "public internal private pull members"},
		"a member of one":            {member("shut", harness.Reporter).as(), "public internal deep shut", "public internal"},
		"a member of the pull one":   {member("pull", harness.Guest).as(), "public internal deep pull", "public internal pull"},
		"a deploy token of one":      {deploy(w.deployToken(projects["private"], "read_package_registry")), "public private deep", "public private"},
		"a deploy token of the tree": {deploy(w.token(top.path()+"/deploy_tokens", []string{"read_package_registry"})), everything, "public internal private pull members"},
		"a deploy token of a branch": {deploy(w.token(shut.path()+"/deploy_tokens", []string{"read_package_registry"})), "public deep shut", "public"},
		"a job":                      {job(w.jobToken(projects["shut"], member("shut", harness.Developer), 600)), "public internal deep shut", "public internal"},
		"read_api":                   {private(w.personal(group(w.user(), harness.Guest), "read_api")), everything, "public internal private pull members"},
	} {
		for query, want := range map[string]string{"": test.all, "?exclude_subgroups=true": test.alone} {
			got := []string{}
			for _, name := range fields(w.send(call{path: top.packages() + query, as: test.as}).must(w, 200).list(w), "name") {
				got = append(got, name[:strings.Index(name, "-")])
			}
			if !slices.Equal(got, strings.Fields(want)) {
				w.Errorf("%s%s: %v, want %s", who, query, got, want)
			}
		}
	}
	w.sub("the project of each", func(w *world) {
		for _, one := range w.send(call{path: top.packages(), as: w.root()}).must(w, 200).list(w) {
			name := one["name"].(string)
			p := projects[name[:strings.Index(name, "-")]]
			if one["project_id"] != float64(p.ID) || one["project_path"] != p.PathWithNamespace {
				w.Errorf("%v", one)
			}
			id := int64(one["id"].(float64))
			if at(one, "_links", "web_path") != fmt.Sprintf("/%s/-/packages/%d", p.PathWithNamespace, id) || at(one, "_links", "delete_api_path") != w.server.URL+p.packages(id) {
				w.Errorf("%v", one["_links"])
			}
			if _, there := one["versions"]; there {
				w.Errorf("%v", one)
			}
		}
	})
	w.sub("only where one may delete there is how", func(w *world) {
		as := member("deep", harness.Maintainer).as()
		for _, one := range w.send(call{path: top.packages(), as: as}).must(w, 200).list(w) {
			if may := at(one, "_links", "delete_api_path") != nil; may != strings.HasPrefix(one["name"].(string), "deep") {
				w.Errorf("%v", one)
			}
		}
	})
	w.sub("orders and filters", func(w *world) {
		got := w.send(call{path: top.packages() + "?order_by=project_path&sort=desc", as: w.root()}).must(w, 200).list(w)
		segments := []string{}
		for _, path := range fields(got, "project_path") {
			segments = append(segments, path[strings.LastIndexByte(path, '/')+1:])
		}
		if !slices.IsSortedFunc(segments, func(a, b string) int { return strings.Compare(b, a) }) || len(segments) != 7 {
			w.Errorf("%v", segments)
		}
		for query, want := range map[string][]string{
			"package_name=" + packs[0]: packs[:1], "package_type=pypi": {}, "package_version=2.0.0": {}, "status=hidden": {},
			"order_by=name&package_name=p&per_page=1": {slices.Min(slices.DeleteFunc(slices.Clone(packs[:6]), func(n string) bool { return !strings.Contains(n, "p") }))},
		} {
			if got := fields(w.send(call{path: top.packages() + "?" + query, as: w.root()}).must(w, 200).list(w), "name"); !slices.Equal(got, want) {
				w.Errorf("%s: %v, want %v", query, got, want)
			}
		}
		w.send(call{path: top.packages() + "?package_type=foo"}).saysError(w, "package_type does not have a valid value")
		w.send(call{path: top.packages() + "?exclude_subgroups=x"}).saysError(w, "exclude_subgroups is invalid")
		if a := w.send(call{path: top.packages() + "?per_page=2&page=2", as: w.root()}).must(w, 200); a.header.Get("X-Total") != "7" || a.header.Get("X-Total-Pages") != "4" || len(a.list(w)) != 2 {
			w.Errorf("%v", a.header)
		}
	})
	w.sub("by the full path", func(w *world) {
		w.send(call{path: "/api/v4/groups/" + top.FullPath + "/packages"}).want(w, 200)
		w.send(call{path: "/api/v4/groups/" + url.PathEscape(below.FullPath) + "/packages"}).want(w, 200)
	})
	w.sub("wrong tokens and scopes", func(w *world) {
		for _, as := range []credential{private(wrong()), job(wrong()), deploy(wrong()), bearer(wrong())} {
			w.send(call{path: top.packages(), as: as}).want(w, 401)
		}
		a := w.send(call{path: top.packages(), as: private(w.personal(w.user(), "read_user"))}).want(w, 403)
		if a.says("error") != "insufficient_scope" {
			w.Errorf("%s", a.body)
		}
	})
}

// Who is a member only of something below a private group may know of it.
func TestPrivateGroupOfAProject(t *testing.T) {
	w := newWorld(t)
	top := w.group(harness.Private)
	below := w.group(harness.Private, top)
	p, other := w.project(below, harness.Private), w.project(below, harness.Private)
	k, hidden := newPack(), newPack()
	w.publish(p, w.root(), k)
	w.publish(other, w.root(), hidden)
	reporter, guest, sub := w.member(p, harness.Reporter), w.member(p, harness.Guest), w.user()
	w.join(below.path(), sub, harness.Guest)
	own := w.mine(w.user())
	for _, g := range []group{top, below} {
		for who, as := range map[string]credential{
			"a reporter of the project": reporter.as(), "a guest of the project": guest.as(), "its deploy token": deploy(w.deployToken(p, "read_package_registry")),
			"its job": job(w.jobToken(p, w.member(p, harness.Developer), 600)),
		} {
			if got := w.listed(g.packages(), as); !slices.Equal(got, []string{k.name + "@1.0.0"}) {
				w.Errorf("%s in %s: %v", who, g.FullPath, got)
			}
		}
		for who, as := range map[string]credential{"anonymous": anonymous, "a stranger": w.user().as(), "another's deploy token": deploy(w.deployToken(own, "read_package_registry"))} {
			w.send(call{path: g.packages(), as: as}).saysMessage(w, 404, noGroup)
			if strings.Contains(who, "deploy") {
				continue
			}
			w.send(call{path: "/api/v4" + g.path(), as: as}).saysMessage(w, 404, noGroup)
		}
	}
	if got := w.listed(top.packages(), sub.as()); len(got) != 2 {
		w.Errorf("a guest of the subgroup: %v", got)
	}
	if got := w.listed(top.packages()+"?exclude_subgroups=true", sub.as()); len(got) != 0 {
		w.Errorf("without subgroups: %v", got)
	}
	for who, u := range map[string]user{"reporter": reporter, "guest": guest, "of the subgroup": sub} {
		w.send(call{path: "/api/v4" + top.path(), as: u.as()}).want(w, 200)
		for what, c := range map[string]call{
			"a subgroup":     {method: "POST", path: "/api/v4/groups", body: map[string]any{"name": "x", "path": "x", "parent_id": top.ID}},
			"a member":       {method: "POST", path: "/api/v4" + top.path() + "/members", body: map[string]any{"user_id": u.ID, "access_level": 50}},
			"a deploy token": {method: "POST", path: "/api/v4" + top.path() + "/deploy_tokens", body: map[string]any{"name": "x", "scopes": []string{"read_package_registry"}}},
		} {
			c.as = u.as()
			if a := w.send(c); a.status != 403 {
				w.Errorf("%s makes %s: %d %s", who, what, a.status, a.body)
			}
		}
	}
	w.sub("until the membership ends", func(w *world) {
		gone := w.user()
		path := fmt.Sprintf("/api/v4/projects/%d/members", p.ID)
		w.send(call{method: "POST", path: path, as: w.root(), body: map[string]any{"user_id": gone.ID, "access_level": 20}}).must(w, 201)
		w.send(call{path: top.packages(), as: gone.as()}).must(w, 200)
		w.send(call{path: own.packages(), as: gone.as()}).saysMessage(w, 404, noProject)
	})
}
