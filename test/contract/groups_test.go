package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// Which groups a list has, for whom, and in which order.
func TestGroupLists(t *testing.T) {
	w := newWorld(t)
	open := w.group(harness.Public)
	inner := w.group(harness.Internal)
	shut := w.group(harness.Private)
	below := w.group(harness.Private, open)
	deep := w.group(harness.Private, below)
	all := []string{open.FullPath, inner.FullPath, shut.FullPath, below.FullPath, deep.FullPath}
	guest, owner, stranger := w.user(), w.user(), w.user()
	w.join(of(shut), guest, harness.Guest)
	w.join(of(below), guest, harness.Developer)
	w.join(of(open), owner, harness.Owner)
	reads := private(w.personal(guest, "read_api"))
	w.publish(w.project(deep, harness.Private), w.root(), newPack())

	sorted := func(paths ...string) []string { slices.Sort(paths); return paths }
	for _, row := range []struct {
		what, query string
		as          credential
		want        []string
	}{
		{"nobody", "", anonymous, []string{open.FullPath}},
		{"a stranger", "", stranger.as(), []string{open.FullPath, inner.FullPath}},
		{"a member", "", guest.as(), all},
		{"a token that reads", "", reads, all},
		{"an owner of one", "", owner.as(), []string{open.FullPath, inner.FullPath, below.FullPath, deep.FullPath}},
		{"an administrator", "", w.root(), all},
		{"a deploy token counts as nobody", "", deploy(w.token(of(shut)+"/deploy_tokens", []string{"read_package_registry"})), []string{open.FullPath}},
		{"owned", "owned=true", owner.as(), []string{open.FullPath, below.FullPath, deep.FullPath}},
		{"owned by nobody", "owned=true", anonymous, nil},
		{"owned by an administrator who is a member nowhere", "owned=true&search=" + shut.Path, w.root(), []string{shut.FullPath}},
		{"as a developer", "min_access_level=30", guest.as(), []string{below.FullPath, deep.FullPath}},
		{"those that one is a member of", "all_available=false", guest.as(), []string{shut.FullPath, below.FullPath, deep.FullPath}},
		{"at the top", "top_level_only=true", guest.as(), []string{open.FullPath, inner.FullPath, shut.FullPath}},
		{"private", "visibility=private", guest.as(), []string{shut.FullPath, below.FullPath, deep.FullPath}},
		{"but for some", fmt.Sprintf("skip_groups[]=%d&skip_groups[]=%d", open.ID, deep.ID), guest.as(), []string{inner.FullPath, shut.FullPath, below.FullPath}},
		{"searched", "search=" + strings.ToUpper(below.Path), guest.as(), []string{below.FullPath}},
		{"searched in vain", "search=" + newPath(), guest.as(), nil},
		{"searched for a wildcard", "search=%25", guest.as(), nil},
	} {
		w.sub(row.what, func(w *world) {
			// All that there are, in pages: other tests make groups too.
			got := []string{}
			for _, path := range walk[string](w, row.as, "/groups?order_by=path&per_page=100&"+row.query, "full_path") {
				if slices.Contains(all, path) {
					got = append(got, path)
				}
			}
			if want := sorted(slices.Clone(row.want)...); !slices.Equal(sorted(got...), want) {
				w.Errorf("%q, want %q", got, want)
			}
		})
	}
	for _, row := range []struct {
		what, path string
		as         credential
		want       []string
	}{
		{"subgroups", "/subgroups", guest.as(), []string{below.FullPath}},
		{"all below, by id", "/descendant_groups?order_by=id&sort=asc", guest.as(), []string{below.FullPath, deep.FullPath}},
		{"subgroups, to a stranger", "/subgroups", stranger.as(), nil},
		{"all below, to nobody", "/descendant_groups", anonymous, nil},
		{"all below, backwards by id", "/descendant_groups?order_by=id&sort=desc", guest.as(), []string{deep.FullPath, below.FullPath}},
		{"all below by id", "/descendant_groups?order_by=id", guest.as(), []string{below.FullPath, deep.FullPath}},
	} {
		w.sub(row.what, func(w *world) { w.shows(w.ask(row.as, "GET", of(open)+row.path), "full_path", all, row.want...) })
	}
	w.sub("of a group that one may not know of", func(w *world) {
		for _, path := range []string{"/subgroups", "/descendant_groups", "/projects", ""} {
			w.ask(stranger.as(), "GET", of(shut)+path).want(w, 404).is(w, `{"message":"404 Group Not Found"}`)
			w.ask(anonymous, "GET", of(shut)+path).want(w, 404)
		}
	})
	for _, path := range []string{"/groups", of(open) + "/subgroups"} {
		for query, want := range map[string]string{
			"order_by=size":         `{"error":"order_by does not have a valid value"}`,
			"sort=up":               `{"error":"sort does not have a valid value"}`,
			"visibility=open":       `{"error":"visibility does not have a valid value"}`,
			"min_access_level=7":    `{"error":"min_access_level does not have a valid value"}`,
			"min_access_level=x":    `{"error":"min_access_level is invalid"}`,
			"skip_groups[]=x":       `{"error":"skip_groups is invalid"}`,
			"owned=perhaps":         `{"error":"owned is invalid"}`,
			"per_page=0":            `{"error":"per_page has a value not allowed"}`,
			"page=x":                `{"error":"page is invalid"}`,
			"pagination=both":       `{"error":"pagination does not have a valid value"}`,
			"search=%00":            `{"error":"search is invalid"}`,
			"search=%ff":            `{"error":"search is invalid"}`,
			"statistics=2&owned=no": `{"error":"statistics is invalid"}`,
		} {
			w.sub("refused: "+path+"?"+query, func(w *world) { w.ask(w.root(), "GET", path+"?"+query).want(w, 400).is(w, want) })
		}
		w.sub("keysets go by name only: "+path, func(w *world) {
			for _, query := range []string{"order_by=id", "order_by=path", "sort=desc"} {
				w.ask(w.root(), "GET", path+"?pagination=keyset&"+query).want(w, 405).is(w, `{"error":"Keyset pagination is not yet available for this type of request"}`)
			}
			for _, cursor := range []string{"x", "e30", "eyJuYW1lIjoxfQ"} {
				w.ask(w.root(), "GET", path+"?pagination=keyset&cursor="+cursor).want(w, 400).is(w, `{"error":"cursor is invalid"}`)
			}
		})
		w.sub("pages end somewhere: "+path, func(w *world) {
			a := w.ask(w.root(), "GET", path+"?page=502&per_page=100").want(w, 405)
			if !strings.HasPrefix(a.says("error"), "Offset pagination has a maximum allowed offset of 50000 for requests that return objects of type Group.") {
				w.Errorf("%s", a.body)
			}
			w.ask(w.root(), "GET", path+"?page=501&per_page=100").want(w, 200).is(w, `[]`)
		})
	}
	w.sub("pages by keyset have each group once, in order, and no totals", func(w *world) {
		home := w.group(harness.Private)
		var want []int64
		for _, name := range []string{"b", "a", "C", "a", "ä", "100%", `quo"te`} {
			var made group
			w.make("/groups", map[string]any{"name": name, "path": newPath(), "parent_id": home.ID}, &made)
			want = append(want, made.ID)
		}
		slices.Sort(want)
		first := w.ask(w.root(), "GET", of(home)+"/subgroups?pagination=keyset&per_page=2").must(w, 200)
		if first.header.Get("X-Total") != "" || first.header.Get("X-Page") != "" || strings.Contains(first.header.Get("Link"), "last") {
			w.Errorf("headers %v", first.header)
		}
		got := walk[int64](w, w.root(), of(home)+"/subgroups?pagination=keyset&per_page=2", "id")
		byName := listed[int64](w, w.ask(w.root(), "GET", of(home)+"/subgroups"), "id")
		if !slices.Equal(got, byName) {
			w.Errorf("by keyset %v, by offset %v", got, byName)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			w.Errorf("%v, want %v", got, want)
		}
		if got := walk[int64](w, w.root(), of(home)+"/subgroups?pagination=keyset&per_page=7", "id"); len(got) != 7 {
			w.Errorf("%d on one full page", len(got))
		}
	})
	w.sub("statistics are for those who have a role", func(w *world) {
		for _, query := range []string{of(open) + "?statistics=true", "/groups?statistics=true&search=" + open.Path} {
			if a := w.ask(stranger.as(), "GET", query).must(w, 200); bytes.Contains(a.body, []byte("statistics")) {
				w.Errorf("to a stranger: %s", a.body)
			}
			if a := w.ask(owner.as(), "GET", query).must(w, 200); !bytes.Contains(a.body, []byte(`"packages_size":`)) || bytes.Contains(a.body, []byte(`"packages_size":0`)) {
				w.Errorf("to an owner: %s", a.body)
			}
		}
		if a := w.ask(owner.as(), "GET", of(open)).must(w, 200); bytes.Contains(a.body, []byte("statistics")) {
			w.Errorf("unasked: %s", a.body)
		}
	})
	w.sub("a group shows its own projects, unless told not to", func(w *world) {
		p := w.project(below, harness.Private)
		hidden := w.project(open, harness.Private)
		for as, want := range map[credential][]any{guest.as(): {float64(p.ID)}, w.root(): {float64(p.ID)}} {
			var got []any
			for _, one := range w.ask(as, "GET", of(below)).must(w, 200).object(w)["projects"].([]any) {
				got = append(got, at(one, "id"))
			}
			if !slices.Equal(got, want) {
				w.Errorf("%v, want %v", got, want)
			}
		}
		if a := w.ask(stranger.as(), "GET", of(open)); bytes.Contains(a.body, []byte(hidden.Path)) {
			w.Errorf("a stranger sees %s", a.body)
		}
		if _, there := w.ask(guest.as(), "GET", of(below)+"?with_projects=false").must(w, 200).object(w)["projects"]; there {
			w.Error("projects, although not asked for")
		}
	})
}

// Who may change, delete, restore and move a group.
func TestWhoMayChangeGroups(t *testing.T) {
	w := newWorld(t)
	above := w.group(harness.Public)
	target := w.group(harness.Public)
	for _, visibility := range []string{harness.Public, harness.Private} {
		g := w.group(visibility, above)
		roles := w.roles(g)
		for _, u := range roles {
			w.join(of(target), u, harness.Maintainer)
		}
		// Each change stands for itself; the group is as before after all of them.
		changes := func(w *world, as credential, want int) {
			w.Helper()
			ok := func(status int) int {
				if want != 200 {
					return want
				}
				return status
			}
			w.ask(as, "PUT", of(g), map[string]any{"description": newPath()}).want(w, ok(200))
			w.ask(as, "POST", of(g)+"/transfer", map[string]any{"group_id": target.ID}).want(w, ok(201))
			if want == 200 {
				w.ask(w.root(), "POST", of(g)+"/transfer", map[string]any{"group_id": above.ID}).must(w, 201)
			}
			w.ask(as, "DELETE", of(g)).want(w, ok(202))
			w.ask(as, "POST", of(g)+"/restore").want(w, ok(201))
		}
		outside := 403
		if visibility == harness.Private {
			outside = 404
		}
		for who, want := range map[string]int{"a user who is no member": outside, "a guest": 403, "a reporter": 403, "a developer": 403, "a maintainer": 403, "an owner": 200} {
			w.sub(who+" changes a "+visibility+" group", func(w *world) { changes(w, roles[who].as(), want) })
		}
		w.sub("an administrator changes a "+visibility+" group", func(w *world) { changes(w, w.root(), 200) })
		w.sub("nobody changes a "+visibility+" group", func(w *world) { changes(w, anonymous, 401) })
		w.sub("a token that reads changes a "+visibility+" group", func(w *world) {
			changes(w, private(w.personal(roles["an owner"], "read_api")), 403)
		})
		w.sub("a deploy token changes a "+visibility+" group", func(w *world) {
			changes(w, deploy(w.token(of(g)+"/deploy_tokens", []string{"write_package_registry"})), 401)
		})
		w.sub("an owner's job changes a "+visibility+" group", func(w *world) {
			changes(w, job(w.jobToken(w.project(g, harness.Private), roles["an owner"], 3600)), 401)
		})
	}
}

// What a group may be changed to.
func TestChangeGroup(t *testing.T) {
	w := newWorld(t)
	top := w.group(harness.Internal)
	owner := w.user()
	w.join(of(top), owner, harness.Owner)
	g, beside := w.group(harness.Internal, top), w.group(harness.Private, top)
	low := w.group(harness.Internal, g)
	p := w.project(low, harness.Internal)

	w.sub("all of it", func(w *world) {
		path := newPath()
		a := w.ask(owner.as(), "PUT", of(g), map[string]any{"name": "Näme", "path": path, "description": "what it is"}).must(w, 200).object(w)
		for key, want := range map[string]any{"name": "Näme", "path": path, "description": "what it is", "full_path": top.Path + "/" + path, "visibility": "internal",
			"full_name": top.Path + " / Näme", "web_url": w.server.URL + "/groups/" + top.Path + "/" + path} {
			if a[key] != want {
				w.Errorf("%s is %v, want %v", key, a[key], want)
			}
		}
		if got := w.ask(owner.as(), "GET", of(p)).must(w, 200).says("path_with_namespace"); got != top.Path+"/"+path+"/"+low.Path+"/"+p.Path {
			w.Errorf("the project below is %s", got)
		}
		if got := w.ask(owner.as(), "GET", "/groups/"+segment(top.Path+"/"+path+"/"+low.Path)).must(w, 200).object(w)["id"]; got != float64(low.ID) {
			w.Errorf("the group below is %v", got)
		}
		w.ask(owner.as(), "PUT", of(g), map[string]any{"path": g.Path}).must(w, 200)
	})
	w.sub("nothing", func(w *world) { w.ask(owner.as(), "PUT", of(g), map[string]any{}).want(w, 200) })
	w.sub("the case of its path", func(w *world) {
		w.ask(owner.as(), "PUT", of(g), map[string]any{"path": strings.ToUpper(g.Path)}).must(w, 200)
		w.ask(owner.as(), "GET", "/groups/"+segment(top.Path+"/"+g.Path)).want(w, 200)
		w.ask(owner.as(), "PUT", of(g), map[string]any{"path": g.Path}).must(w, 200)
	})
	for what, row := range map[string]struct {
		of   group
		body map[string]any
		want string
	}{
		"a path of another":             {g, map[string]any{"path": beside.Path}, `{"message":{"path":["has already been taken"]}}`},
		"a path of another in capitals": {g, map[string]any{"path": strings.ToUpper(beside.Path)}, `{"message":{"path":["has already been taken"]}}`},
		"a reserved path":               {top, map[string]any{"path": "api"}, `{"message":{"path":["api is a reserved name"]}}`},
		"no path":                       {g, map[string]any{"path": ""}, ``},
		"a path with a slash":           {g, map[string]any{"path": "a/b"}, ``},
		"a path with dots":              {g, map[string]any{"path": ".."}, ``},
		"a path that Git would take":    {g, map[string]any{"path": "x.git"}, ``},
		"a path that is no ASCII":       {g, map[string]any{"path": "pfäd"}, ``},
		"a long path":                   {g, map[string]any{"path": strings.Repeat("x", 256)}, `{"error":"path is too long (maximum is 255 characters)"}`},
		"a long name":                   {g, map[string]any{"name": strings.Repeat("x", 256)}, `{"error":"name is too long (maximum is 255 characters)"}`},
		"no name":                       {g, map[string]any{"name": " "}, `{"message":{"name":["can't be blank"]}}`},
		"a long description":            {g, map[string]any{"description": strings.Repeat("x", 2001)}, `{"error":"description is too long (maximum is 2000 characters)"}`},
		"an unknown visibility":         {g, map[string]any{"visibility": "open"}, `{"error":"visibility does not have a valid value"}`},
		"more open than its parent":     {g, map[string]any{"visibility": "public"}, `{"message":{"visibility_level":["public is not allowed since the parent group has a internal visibility."]}}`},
		"less open than a project":      {g, map[string]any{"visibility": "private"}, `{"message":{"visibility_level":["private is not allowed since this group contains projects with higher visibility."]}}`},
	} {
		w.sub("refused: "+what, func(w *world) {
			before := w.ask(w.root(), "GET", of(row.of)+"?with_projects=false").body
			a := w.ask(owner.as(), "PUT", of(row.of), row.body).want(w, 400)
			if row.want != "" {
				a.is(w, row.want)
			}
			if after := w.ask(w.root(), "GET", of(row.of)+"?with_projects=false").body; !bytes.Equal(before, after) {
				w.Errorf("%s became %s", before, after)
			}
		})
	}
	w.sub("refused: less open than a group below", func(w *world) {
		g := w.group(harness.Public)
		w.group(harness.Internal, w.group(harness.Public, g))
		w.ask(w.root(), "PUT", of(g), map[string]any{"visibility": "private"}).want(w, 400).
			is(w, `{"message":{"visibility_level":["private is not allowed since there are sub-groups with higher visibility."]}}`)
	})
	w.sub("narrower, where nothing is in the way", func(w *world) {
		g := w.group(harness.Public)
		p := w.project(g, harness.Private)
		w.ask(anonymous, "GET", of(g)).want(w, 200)
		w.ask(w.root(), "PUT", of(g), map[string]any{"visibility": "private"}).want(w, 200)
		w.ask(anonymous, "GET", of(g)).want(w, 404)
		w.ask(w.root(), "PUT", of(p), map[string]any{"visibility": "public"}).want(w, 400).is(w, `{"message":{"visibility_level":["public is not allowed in a private group."]}}`)
	})
	w.sub("personal namespaces are no groups", func(w *world) {
		u := w.user()
		w.ask(u.as(), "PUT", "/groups/"+u.Username, map[string]any{"path": newPath()}).want(w, 404)
		w.ask(u.as(), "DELETE", "/groups/"+u.Username).want(w, 404)
	})
	for _, id := range []string{"0", "-1", "99999999999", "99999999999999999999", "nothing", "a%2Fb", "%00", "%ff", "1.5"} {
		w.sub("no such group: "+id, func(w *world) {
			for _, c := range [][2]string{{"GET", ""}, {"GET", "/subgroups"}, {"GET", "/descendant_groups"}, {"GET", "/projects"}, {"PUT", ""}, {"DELETE", ""}, {"POST", "/restore"}, {"POST", "/transfer"}} {
				if a := w.ask(w.root(), c[0], "/groups/"+id+c[1]); a.status != 404 && a.status != 400 {
					w.Errorf("%s: %d %s", a.call, a.status, a.body)
				}
			}
		})
	}
}

// Where a group may go, and what goes with it.
func TestTransferGroup(t *testing.T) {
	w := newWorld(t)
	failed := func(sentence string) string { return fmt.Sprintf(`{"message":"Transfer failed: %s"}`, sentence) }
	transfer := func(w *world, g, to group) *answer {
		w.Helper()
		if to.ID == 0 {
			return w.ask(w.root(), "POST", of(g)+"/transfer")
		}
		return w.ask(w.root(), "POST", of(g)+"/transfer", map[string]any{"group_id": to.ID})
	}
	w.sub("it takes all below along, and becomes no more open than its new place", func(w *world) {
		to := w.group(harness.Internal)
		g := w.group(harness.Public)
		low := w.group(harness.Public, g)
		p, closed := w.project(low, harness.Public), w.project(low, harness.Private)
		member, reader := w.user(), w.user()
		w.join(of(to), member, harness.Developer)
		w.join(of(closed), reader, harness.Guest)
		k := newPack()
		w.publish(p, w.root(), k)
		w.ask(member.as(), "GET", of(closed)).want(w, 404)
		if a := transfer(w, g, to).must(w, 201); a.says("full_path") != to.Path+"/"+g.Path || a.says("visibility") != "internal" {
			w.Errorf("%s", a.body)
		}
		if a := w.ask(member.as(), "GET", of(p)).must(w, 200); a.says("path_with_namespace") != to.Path+"/"+g.Path+"/"+low.Path+"/"+p.Path || a.says("visibility") != "internal" {
			w.Errorf("%s", a.body)
		}
		if a := w.ask(member.as(), "GET", of(closed)).must(w, 200); a.says("visibility") != "private" {
			w.Errorf("%s", a.body)
		}
		w.ask(reader.as(), "GET", of(closed)).want(w, 200)
		w.ask(anonymous, "GET", of(low)).want(w, 404)
		if got := w.versions(to.prefix(), k.name, member.as()); len(got) != 1 {
			w.Errorf("the new group's prefix has %v", got)
		}
		if a := transfer(w, g, group{}).must(w, 201); a.says("full_path") != g.Path || a.object(w)["parent_id"] != nil {
			w.Errorf("%s", a.body)
		}
		w.ask(member.as(), "GET", of(closed)).want(w, 404)
	})
	w.sub("refused", func(w *world) {
		g := w.group(harness.Private)
		low := w.group(harness.Private, g)
		deep := w.group(harness.Private, low)
		transfer(w, g, g).want(w, 400).is(w, failed("Cannot transfer group to one of its subgroup."))
		transfer(w, g, low).want(w, 400).is(w, failed("Cannot transfer group to one of its subgroup."))
		transfer(w, g, deep).want(w, 400).is(w, failed("Cannot transfer group to one of its subgroup."))
		transfer(w, low, g).want(w, 400).is(w, failed("Group is already associated to the parent group."))
		transfer(w, g, group{}).want(w, 400).is(w, failed("Group is already a root group."))
		to := w.group(harness.Private)
		w.make("/projects", map[string]any{"name": low.Path, "namespace_id": to.ID}, &struct{}{})
		transfer(w, low, to).want(w, 400).is(w, failed("The parent group already has a subgroup or a project with the same path."))
		w.ask(w.root(), "POST", of(low)+"/transfer", map[string]any{"group_id": 99999999}).want(w, 404)
		w.ask(w.root(), "POST", of(low)+"/transfer", map[string]any{"group_id": "x"}).want(w, 400).is(w, `{"error":"group_id is invalid"}`)
		if got := w.ask(w.root(), "GET", of(deep)).must(w, 200).says("full_path"); got != deep.FullPath {
			w.Errorf("%s, was %s", got, deep.FullPath)
		}
	})
	w.sub("refused: a reserved name at the top", func(w *world) {
		var g group
		w.make("/groups", map[string]any{"name": "api", "path": "api", "parent_id": w.group(harness.Private).ID}, &g)
		transfer(w, g, group{}).want(w, 400)
	})
	w.sub("refused: into a group where one may make none, or that one may not know of", func(w *world) {
		u := w.user()
		g, known, secret := w.group(harness.Private), w.group(harness.Public), w.group(harness.Private)
		w.join(of(g), u, harness.Owner)
		w.ask(u.as(), "POST", of(g)+"/transfer", map[string]any{"group_id": known.ID}).want(w, 400).is(w, failed("You don't have enough permissions."))
		w.ask(u.as(), "POST", of(g)+"/transfer", map[string]any{"group_id": secret.ID}).want(w, 404)
		var mine struct {
			Namespace int64 `json:"namespace_id"`
		}
		if err := json.Unmarshal(w.ask(u.as(), "GET", "/user").must(w, 200).body, &mine); err != nil || mine.Namespace == 0 {
			w.Fatal(err, mine)
		}
		w.ask(u.as(), "POST", of(g)+"/transfer", map[string]any{"group_id": mine.Namespace}).want(w, 404)
	})
	w.sub("refused: too deep", func(w *world) {
		chain := func(n int) (first, last group) {
			first = w.group(harness.Private)
			last = first
			for range n - 1 {
				last = w.group(harness.Private, last)
			}
			return first, last
		}
		_, last := chain(18)
		three, _ := chain(3)
		two, end := chain(2)
		transfer(w, three, last).want(w, 400).is(w, failed("Parent has too deep level of nesting."))
		transfer(w, two, last).want(w, 201)
		w.ask(w.root(), "POST", "/groups", map[string]any{"name": "x", "path": newPath(), "parent_id": end.ID}).want(w, 400)
	})
	w.sub("two that go into each other at once make no circle", func(w *world) {
		a, b := w.group(harness.Private), w.group(harness.Private)
		moved := 0
		for _, answer := range w.race(2, func(i int) call {
			g, to := a, b
			if i == 1 {
				g, to = b, a
			}
			return call{method: "POST", path: "/api/v4" + of(g) + "/transfer", as: w.root(), body: map[string]any{"group_id": to.ID}}
		}) {
			if answer.status == http.StatusCreated {
				moved++
			}
		}
		if moved != 1 {
			w.Errorf("%d moved", moved)
		}
		one, two := w.ask(w.root(), "GET", of(a)).must(w, 200).says("full_path"), w.ask(w.root(), "GET", of(b)).must(w, 200).says("full_path")
		if strings.Count(one+two, "/") != 1 {
			w.Errorf("%s and %s", one, two)
		}
	})
}
