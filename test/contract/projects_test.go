package contract

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// Which projects a list has, for whom, and in which order.
func TestProjectLists(t *testing.T) {
	w := newWorld(t)
	top := w.group(harness.Public)
	low := w.group(harness.Public, top)
	open := w.project(top, harness.Public, map[string]any{"name": "Beta " + newPath(), "description": "the door"})
	inner := w.project(top, harness.Internal, map[string]any{"name": "alpha " + newPath()})
	shut := w.project(low, harness.Private, map[string]any{"name": "Gamma " + newPath()})
	guest, owner, stranger := w.user(), w.user(), w.user()
	w.join(of(shut), guest, harness.Guest)
	w.join(of(inner), guest, harness.Developer)
	w.join(of(low), owner, harness.Owner)
	var mine project
	w.make("/projects", map[string]any{"name": "mine"}, &mine) // root's own
	var his project
	if a := w.ask(stranger.as(), "POST", "/projects", map[string]any{"name": "his", "visibility": "internal"}).must(w, 201); true {
		his.ID, his.PathWithNamespace = int64(a.object(w)["id"].(float64)), a.says("path_with_namespace")
	}
	w.ask(w.root(), "POST", of(inner)+"/archive").must(w, 201)
	k := newPack()
	w.publish(open, w.root(), k)
	w.publish(shut, w.root(), k)
	all := []string{open.PathWithNamespace, inner.PathWithNamespace, shut.PathWithNamespace, mine.PathWithNamespace, his.PathWithNamespace}
	const key = "path_with_namespace"

	for _, row := range []struct {
		what, query string
		as          credential
		want        []project
	}{
		{"nobody", "", anonymous, []project{open}},
		{"a stranger", "", stranger.as(), []project{his, inner, open}},
		{"a member", "", guest.as(), []project{his, shut, inner, open}},
		{"an owner of the group", "", owner.as(), []project{his, shut, inner, open}},
		{"an administrator", "", w.root(), []project{his, mine, shut, inner, open}},
		{"a deploy token counts as nobody", "", deploy(w.deployToken(shut, "read_package_registry")), []project{open}},
		{"a job counts as nobody", "", job(w.jobToken(inner, guest, 3600)), []project{open}},
		{"those of a member", "membership=true", guest.as(), []project{shut, inner}},
		{"those of a member, to nobody", "membership=true", anonymous, nil},
		{"those of a developer", "min_access_level=30", guest.as(), []project{inner}},
		{"owned", "owned=true", owner.as(), []project{shut}},
		{"owned in the own namespace", "owned=true", stranger.as(), []project{his}},
		{"private", "visibility=private", guest.as(), []project{shut}},
		{"internal", "visibility=internal", guest.as(), []project{his, inner}},
		{"archived", "archived=true", guest.as(), []project{inner}},
		{"not archived", "archived=false", guest.as(), []project{his, shut, open}},
		{"after an id", fmt.Sprintf("id_after=%d", open.ID), guest.as(), []project{his, shut, inner}},
		{"before an id", fmt.Sprintf("id_before=%d", shut.ID), guest.as(), []project{inner, open}},
		{"between ids", fmt.Sprintf("id_before=%d&id_after=%d", shut.ID, open.ID), guest.as(), []project{inner}},
		{"by id", "order_by=id&sort=asc", guest.as(), []project{open, inner, shut, his}},
		{"by creation", "order_by=created_at&sort=asc", guest.as(), []project{open, inner, shut, his}},
		{"by name", "order_by=name&sort=asc&membership=true", guest.as(), []project{inner, shut}},
		{"by update", "order_by=updated_at", guest.as(), []project{inner, his, shut, open}},
		{"by activity", "order_by=last_activity_at&sort=asc", guest.as(), []project{open, shut, his, inner}},
		{"simple", "simple=true", guest.as(), []project{his, shut, inner, open}},
	} {
		w.sub(row.what, func(w *world) {
			want := []string{}
			for _, p := range row.want {
				want = append(want, p.PathWithNamespace)
			}
			got := slices.DeleteFunc(walk[string](w, row.as, "/projects?per_page=100&"+row.query, key), func(path string) bool { return !slices.Contains(all, path) })
			if !slices.Equal(got, want) {
				w.Errorf("%q, want %q", got, want)
			}
		})
	}
	w.sub("searched by name, path and description, whatever the case", func(w *world) {
		for _, text := range []string{strings.ToUpper(open.Path), "BETA%20" + strings.TrimPrefix(open.Path, "beta-")} {
			w.shows(w.ask(anonymous, "GET", "/projects?search="+text), key, all, open.PathWithNamespace)
		}
		w.shows(w.ask(guest.as(), "GET", of(top)+"/projects?search=THE%20d"), key, all, open.PathWithNamespace)
		w.shows(w.ask(guest.as(), "GET", of(top)+"/projects?search=t_e"), key, all)
	})
	for _, row := range []struct {
		what, path string
		as         credential
		want       []project
	}{
		{"a group's own", of(top) + "/projects", guest.as(), []project{inner, open}},
		{"a group's with those below", of(top) + "/projects?include_subgroups=true", guest.as(), []project{shut, inner, open}},
		{"a group's with those below, to a stranger", of(top) + "/projects?include_subgroups=true", stranger.as(), []project{inner, open}},
		{"a group's, to nobody", of(top) + "/projects?include_subgroups=true", anonymous, []project{open}},
		{"a group's by name", of(top) + "/projects?include_subgroups=1&order_by=name&sort=asc", guest.as(), []project{inner, open, shut}},
		{"a group's that are archived", of(top) + "/projects?archived=true", guest.as(), []project{inner}},
		{"a group's of a visibility", of(top) + "/projects?visibility=public", guest.as(), []project{open}},
		{"a user's", fmt.Sprintf("/users/%d/projects", stranger.ID), guest.as(), []project{his}},
		{"a user's by name", "/users/" + stranger.Username + "/projects", guest.as(), []project{his}},
		{"a user's, to nobody", "/users/" + stranger.Username + "/projects", anonymous, nil},
		{"a user's who has none", fmt.Sprintf("/users/%d/projects", guest.ID), w.root(), nil},
	} {
		w.sub(row.what, func(w *world) {
			want := []string{}
			for _, p := range row.want {
				want = append(want, p.PathWithNamespace)
			}
			w.shows(w.ask(row.as, "GET", row.path), key, all, want...)
		})
	}
	for _, id := range []string{"0", "99999999", newPath(), top.Path, "-1"} {
		w.sub("projects of no user: "+id, func(w *world) {
			w.ask(w.root(), "GET", "/users/"+id+"/projects").want(w, 404).is(w, `{"message":"404 User Not Found"}`)
		})
	}
	for _, path := range []string{"/projects", of(top) + "/projects", fmt.Sprintf("/users/%d/projects", stranger.ID)} {
		for query, want := range map[string]string{
			"order_by=size":      `{"error":"order_by does not have a valid value"}`,
			"sort=up":            `{"error":"sort does not have a valid value"}`,
			"visibility=open":    `{"error":"visibility does not have a valid value"}`,
			"archived=perhaps":   `{"error":"archived is invalid"}`,
			"min_access_level=7": `{"error":"min_access_level does not have a valid value"}`,
			"id_after=x":         `{"error":"id_after is invalid"}`,
			"per_page=0":         `{"error":"per_page has a value not allowed"}`,
			"page=x":             `{"error":"page is invalid"}`,
			"search=%00":         `{"error":"search is invalid"}`,
			"simple=perhaps":     `{"error":"simple is invalid"}`,
			"statistics=perhaps": `{"error":"statistics is invalid"}`,
		} {
			w.sub("refused: "+path+"?"+query, func(w *world) { w.ask(w.root(), "GET", path+"?"+query).want(w, 400).is(w, want) })
		}
		w.sub("keysets go by id only: "+path, func(w *world) {
			for _, query := range []string{"", "&order_by=name", "&order_by=created_at"} {
				w.ask(w.root(), "GET", path+"?pagination=keyset"+query).want(w, 405).is(w, `{"error":"Keyset pagination is not yet available for this type of request"}`)
			}
			a := w.ask(w.root(), "GET", path+"?page=502&per_page=100").want(w, 405)
			if !strings.HasPrefix(a.says("error"), "Offset pagination has a maximum allowed offset of 50000 for requests that return objects of type Project.") {
				w.Errorf("%s", a.body)
			}
		})
	}
	w.sub("pages by keyset have each project once, in both directions", func(w *world) {
		home := w.group(harness.Private)
		var want []int64
		for range 5 {
			want = append(want, w.project(home, harness.Private).ID)
		}
		path := of(home) + "/projects?pagination=keyset&order_by=id&per_page=2"
		first := w.ask(w.root(), "GET", path).must(w, 200)
		if next := first.next(); !strings.Contains(next, fmt.Sprintf("id_before=%d", want[3])) || strings.Contains(next, "&page=") || first.header.Get("X-Total") != "" {
			w.Errorf("next is %s, headers %v", next, first.header)
		}
		if got := walk[int64](w, w.root(), path+"&sort=asc", "id"); !slices.Equal(got, want) {
			w.Errorf("upwards %v, want %v", got, want)
		}
		slices.Reverse(want)
		if got := walk[int64](w, w.root(), path, "id"); !slices.Equal(got, want) {
			w.Errorf("downwards %v, want %v", got, want)
		}
		if got := walk[int64](w, w.root(), path+"&per_page=5", "id"); !slices.Equal(got, want) {
			w.Errorf("on one full page %v", got)
		}
	})
	w.sub("what one may do stands with each project", func(w *world) {
		levels := map[string][2]any{}
		var list []map[string]any
		a := w.ask(owner.as(), "GET", of(top)+"/projects?include_subgroups=true").must(w, 200)
		for i, path := range listed[string](w, a, key) {
			list = append(list, listed[map[string]any](w, a, "permissions")[i])
			levels[path] = [2]any{at(list[i], "project_access", "access_level"), at(list[i], "group_access", "access_level")}
		}
		for _, row := range []struct {
			p    project
			want [2]any
		}{{open, [2]any{nil, nil}}, {shut, [2]any{nil, 50.0}}} {
			if levels[row.p.PathWithNamespace] != row.want {
				w.Errorf("%s: %v, want %v", row.p.Path, levels[row.p.PathWithNamespace], row.want)
			}
		}
		if a := w.ask(owner.as(), "GET", of(top)+"/projects?simple=true").must(w, 200); bytes.Contains(a.body, []byte("permissions")) {
			w.Errorf("simple: %s", a.body)
		}
		if a := w.ask(anonymous, "GET", of(top)+"/projects").must(w, 200); bytes.Contains(a.body, []byte("permissions")) {
			w.Errorf("to nobody: %s", a.body)
		}
	})
	w.sub("statistics count repositories", func(w *world) {
		above := w.group(harness.Public)
		p, q := w.project(w.group(harness.Public, above), harness.Public), w.project(above, harness.Public)
		statistics := func(thing any) (packages, repository float64) {
			all := w.ask(w.root(), "GET", of(thing)+"?statistics=true").must(w, 200).object(w)["statistics"].(map[string]any)
			packages, repository = all["packages_size"].(float64), all["repository_size"].(float64)
			if all["storage_size"] != packages+repository {
				w.Errorf("%v", all)
			}
			return packages, repository
		}
		if _, size := statistics(p); size != 0 {
			w.Errorf("no repository has %v bytes", size)
		}
		w.lib(p, newLib(), "1.0.0")
		c := w.repository(p)
		for round, least := range []float64{100_000, 200_000} {
			c.commit(map[string]string{fmt.Sprint("noise", round): string(noise(200_000)[100_000*round:][:100_000])})
			c.push()
			packages, size := statistics(p)
			if packages == 0 || size < least || size > least+100_000 {
				w.Errorf("packages %v, repository %v", packages, size)
			}
			if all, sum := statistics(above); all != packages || sum != size {
				w.Errorf("the group has %v and %v, the project %v and %v", all, sum, packages, size)
			}
		}
		if _, size := statistics(q); size != 0 {
			w.Errorf("another project has %v bytes", size)
		}
	})
	w.sub("statistics are for reporters", func(w *world) {
		for as, want := range map[credential]bool{w.member(open, harness.Reporter).as(): true, w.member(open, harness.Guest).as(): false, stranger.as(): false, anonymous: false, w.root(): true} {
			for _, path := range []string{of(open) + "?statistics=true", of(top) + "/projects?statistics=true&visibility=public"} {
				a := w.ask(as, "GET", path).must(w, 200)
				if got := bytes.Contains(a.body, []byte(`"packages_size":`)) && !bytes.Contains(a.body, []byte(`"packages_size":0`)); got != want {
					w.Errorf("%s: %v, want %v: %s", a.call, got, want, a.body)
				}
			}
		}
	})
}

// Who may do what with a project itself.
func TestWhoMayChangeProjects(t *testing.T) {
	w := newWorld(t)
	home, target := w.group(harness.Public), w.group(harness.Public)
	for _, visibility := range visibilities {
		p := w.project(home, visibility)
		roles := w.roles(p)
		for _, u := range roles {
			w.join(of(target), u, harness.Developer)
		}
		changes := func(w *world, as credential, manage, own int) {
			w.Helper()
			ok := func(want, status int) int {
				if want != 200 {
					return want
				}
				return status
			}
			w.ask(as, "PUT", of(p), map[string]any{"description": newPath()}).want(w, manage)
			other := harness.Private
			if visibility == harness.Private {
				other = harness.Internal
			}
			w.ask(as, "PUT", of(p), map[string]any{"visibility": other}).want(w, own)
			w.ask(w.root(), "PUT", of(p), map[string]any{"visibility": visibility}).must(w, 200)
			w.ask(as, "POST", of(p)+"/archive").want(w, ok(own, 201))
			w.ask(as, "POST", of(p)+"/unarchive").want(w, ok(own, 201))
			w.ask(as, "PUT", of(p)+"/transfer", map[string]any{"namespace": target.ID}).want(w, own)
			if own == 200 {
				w.ask(w.root(), "PUT", of(p)+"/transfer", map[string]any{"namespace": home.FullPath}).must(w, 200)
			}
			w.ask(as, "DELETE", of(p)).want(w, ok(own, 202))
			w.ask(as, "POST", of(p)+"/restore").want(w, ok(own, 201))
		}
		outside := 403
		if visibility == harness.Private {
			outside = 404
		}
		for who, want := range map[string][2]int{"a user who is no member": {outside, outside}, "a guest": {403, 403}, "a reporter": {403, 403}, "a developer": {403, 403}, "a maintainer": {200, 403}, "an owner": {200, 200}} {
			w.sub(who+" changes a project that is "+visibility, func(w *world) { changes(w, roles[who].as(), want[0], want[1]) })
		}
		for who, row := range map[string]struct {
			as   credential
			want int
		}{
			"an administrator": {w.root(), 200}, "nobody": {anonymous, 401}, "a token that reads": {private(w.personal(roles["an owner"], "read_api")), 403},
			"a token for packages": {private(w.personal(roles["an owner"], "write_package_registry")), 403},
			"a deploy token":       {deploy(w.deployToken(p, "write_package_registry")), 401}, "an owner's job": {job(w.jobToken(p, roles["an owner"], 3600)), 401},
		} {
			w.sub(who+" changes a project that is "+visibility, func(w *world) { changes(w, row.as, row.want, row.want) })
		}
	}
}

// What a project may be changed to.
func TestChangeProject(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Internal)
	p, beside := w.project(home, harness.Internal), w.project(home, harness.Internal)
	owner := w.member(p, harness.Owner)
	w.sub("all of it", func(w *world) {
		path := newPath()
		a := w.ask(owner.as(), "PUT", of(p), map[string]any{"name": "Näme", "path": path, "description": "d", "visibility": "private", "package_registry_access_level": "public"}).must(w, 200).object(w)
		for key, want := range map[string]any{"name": "Näme", "path": path, "description": "d", "path_with_namespace": home.Path + "/" + path, "visibility": "private",
			"name_with_namespace": home.Path + " / Näme", "package_registry_access_level": "public", "packages_enabled": true} {
			if a[key] != want {
				w.Errorf("%s is %v, want %v", key, a[key], want)
			}
		}
		w.ask(owner.as(), "PUT", of(p), map[string]any{"path": p.Path, "visibility": "internal"}).must(w, 200)
	})
	for _, row := range []struct {
		body        map[string]any
		access      string
		enabled     bool
		publishable bool
	}{
		{map[string]any{"packages_enabled": false}, "disabled", false, false},
		{map[string]any{"packages_enabled": true}, "enabled", true, true},
		{map[string]any{"package_registry_access_level": "private"}, "private", true, true},
		{map[string]any{"packages_enabled": true}, "private", true, true},
		{map[string]any{"package_registry_access_level": "disabled"}, "disabled", false, false},
		{map[string]any{"packages_enabled": "true", "package_registry_access_level": "enabled"}, "enabled", true, true},
	} {
		w.sub(fmt.Sprint("packages: ", row.body), func(w *world) {
			a := w.ask(owner.as(), "PUT", of(p), row.body).must(w, 200).object(w)
			if a["package_registry_access_level"] != row.access || a["packages_enabled"] != row.enabled {
				w.Errorf("%v %v", a["package_registry_access_level"], a["packages_enabled"])
			}
			k := newPack()
			want := http.StatusOK
			if !row.publishable {
				want = http.StatusForbidden
			}
			w.publishing(p, owner.as(), k.document(), k.name).want(w, want)
		})
	}
	for what, row := range map[string]struct {
		body map[string]any
		want string
	}{
		"nothing":                   {map[string]any{}, `{"error":"name, path, description, visibility, packages_enabled, package_registry_access_level are missing, at least one parameter must be provided"}`},
		"a path of another":         {map[string]any{"path": strings.ToUpper(beside.Path)}, `{"message":{"project_namespace.name":["has already been taken"],"name":["has already been taken"],"path":["has already been taken"]}}`},
		"a path with a slash":       {map[string]any{"path": "a/b"}, ``},
		"no path":                   {map[string]any{"path": ""}, ``},
		"a path that begins with -": {map[string]any{"path": "-x"}, ``},
		"a path that ends in .atom": {map[string]any{"path": "x.ATOM"}, ``},
		"a long path":               {map[string]any{"path": strings.Repeat("x", 256)}, `{"error":"path is too long (maximum is 255 characters)"}`},
		"a long name":               {map[string]any{"name": strings.Repeat("x", 256)}, `{"error":"name is too long (maximum is 255 characters)"}`},
		"no name":                   {map[string]any{"name": ""}, `{"message":{"name":["can't be blank"]}}`},
		"an unknown visibility":     {map[string]any{"visibility": "open"}, `{"error":"visibility does not have a valid value"}`},
		"more open than its group":  {map[string]any{"visibility": "public"}, `{"message":{"visibility_level":["public is not allowed in a internal group."]}}`},
		"an unknown access level":   {map[string]any{"package_registry_access_level": "open"}, `{"error":"package_registry_access_level does not have a valid value"}`},
		"packages perhaps":          {map[string]any{"packages_enabled": "perhaps"}, `{"error":"packages_enabled is invalid"}`},
	} {
		w.sub("refused: "+what, func(w *world) {
			before := w.ask(w.root(), "GET", of(p)).body
			a := w.ask(owner.as(), "PUT", of(p), row.body).want(w, 400)
			if row.want != "" {
				a.is(w, row.want)
			}
			if after := w.ask(w.root(), "GET", of(p)).body; !bytes.Equal(before, after) {
				w.Errorf("%s became %s", before, after)
			}
		})
	}
	w.sub("archived, it is read and not written, until it is no more", func(w *world) {
		p := w.project(home, harness.Internal)
		k := newPack()
		w.publish(p, w.root(), k)
		for range 2 {
			if a := w.ask(w.root(), "POST", of(p)+"/archive").must(w, 201); a.object(w)["archived"] != true {
				w.Errorf("%s", a.body)
			}
		}
		w.publishing(p, w.root(), k.at("2.0.0").document(), k.name).want(w, 403)
		if got := w.versions(p.prefix(), k.name, w.root()); len(got) != 1 {
			w.Errorf("versions %v", got)
		}
		if a := w.ask(w.root(), "POST", of(p)+"/unarchive").must(w, 201); a.object(w)["archived"] != false {
			w.Errorf("%s", a.body)
		}
		w.publish(p, w.root(), k.at("2.0.0"))
	})
	for _, id := range []string{"0", "-1", "99999999999", "99999999999999999999", "nothing", "a%2Fb", "%00", "%ff", "1.5"} {
		w.sub("no such project: "+id, func(w *world) {
			for _, c := range [][2]string{{"GET", ""}, {"PUT", ""}, {"DELETE", ""}, {"POST", "/restore"}, {"POST", "/archive"}, {"POST", "/unarchive"}, {"PUT", "/transfer"}} {
				if a := w.ask(w.root(), c[0], "/projects/"+id+c[1], map[string]any{"name": "x", "namespace": home.ID}); a.status != 404 && a.status != 400 {
					w.Errorf("%s: %d %s", a.call, a.status, a.body)
				}
			}
		})
	}
}

// Where a project may go.
func TestTransferProject(t *testing.T) {
	w := newWorld(t)
	failed := func(sentence string) string {
		return fmt.Sprintf(`{"message":"Failed to transfer project {:new_namespace=>[\"%s\"]}"}`, sentence)
	}
	transfer := func(w *world, p project, to any) *answer {
		w.Helper()
		return w.ask(w.root(), "PUT", of(p)+"/transfer", map[string]any{"namespace": to})
	}
	w.sub("by id and by path, also into a personal namespace", func(w *world) {
		p, to, u := w.project(w.group(harness.Public), harness.Public), w.group(harness.Internal), w.user()
		if a := transfer(w, p, to.ID).must(w, 200); a.says("path_with_namespace") != to.Path+"/"+p.Path || a.says("visibility") != "internal" || at(a.object(w), "namespace", "id") != float64(to.ID) {
			w.Errorf("%s", a.body)
		}
		if a := transfer(w, p, strings.ToUpper(u.Username)).must(w, 200); a.says("path_with_namespace") != u.Username+"/"+p.Path || at(a.object(w), "namespace", "kind") != "user" {
			w.Errorf("%s", a.body)
		}
		w.ask(u.as(), "PUT", of(p), map[string]any{"description": "mine"}).want(w, 200)
	})
	w.sub("refused", func(w *world) {
		home, to := w.group(harness.Private), w.group(harness.Private)
		p := w.project(home, harness.Private)
		w.make("/projects", map[string]any{"name": p.Path, "namespace_id": to.ID}, &struct{}{})
		transfer(w, p, home.ID).want(w, 400).is(w, failed("Project is already in this namespace."))
		transfer(w, p, to.ID).want(w, 400).is(w, failed("Project with same name or path in target namespace already exists"))
		transfer(w, p, 99999999).want(w, 404).is(w, `{"message":"404 Namespace Not Found"}`)
		transfer(w, p, p.PathWithNamespace).want(w, 404).is(w, `{"message":"404 Namespace Not Found"}`)
		transfer(w, p, "").want(w, 400).is(w, `{"error":"namespace is empty"}`)
		w.ask(w.root(), "PUT", of(p)+"/transfer").want(w, 400).is(w, `{"error":"namespace is missing"}`)
		owner := w.member(p, harness.Owner)
		known, hidden := w.group(harness.Public), w.group(harness.Private)
		w.join(of(known), owner, harness.Reporter)
		w.ask(owner.as(), "PUT", of(p)+"/transfer", map[string]any{"namespace": known.ID}).want(w, 400).is(w, failed("You don't have permission to transfer projects into that namespace."))
		w.ask(owner.as(), "PUT", of(p)+"/transfer", map[string]any{"namespace": w.user().Username}).want(w, 400)
		w.ask(owner.as(), "PUT", of(p)+"/transfer", map[string]any{"namespace": hidden.ID}).want(w, 404)
		if got := w.ask(w.root(), "GET", of(p)).says("path_with_namespace"); got != p.PathWithNamespace {
			w.Errorf("it is %s", got)
		}
	})
	w.sub("names and versions that are claimed go along, and collide", func(w *world) {
		home, to := w.group(harness.Private), w.group(harness.Private)
		p, q := w.project(home, harness.Private), w.project(to, harness.Private)
		k := named("@" + to.Path + "/tool")
		w.publish(p, w.root(), k) // not the scope of this group: nothing is claimed
		w.publish(q, w.root(), k)
		transfer(w, p, to.ID).want(w, 400).is(w, failed("The project has packages whose names and versions are taken under the new top-level group."))
		if got := w.ask(w.root(), "GET", of(p)).says("path_with_namespace"); got != p.PathWithNamespace {
			w.Errorf("it is %s", got)
		}
		w.ask(w.root(), "POST", of(home)+"/transfer", map[string]any{"group_id": to.ID}).want(w, 400).
			is(w, `{"message":"Transfer failed: Group contains projects with packages whose names and versions are taken under the new top-level group."}`)
		elsewhere := w.project(home, harness.Private)
		other := named("@" + to.Path + "/other")
		w.publish(elsewhere, w.root(), other)
		transfer(w, elsewhere, to.ID).must(w, 200)
		w.publishing(q, w.root(), other.document(), other.name).want(w, 400) // claimed by the project that came
		w.publish(q, w.root(), other.at("2.0.0"))
	})
}

// What was renamed or moved is found by its new path, and by the old one until somebody else takes that.
func TestMovedPaths(t *testing.T) {
	w := newWorld(t)
	top := w.group(harness.Private)
	g := w.group(harness.Private, top)
	p := w.project(g, harness.Private)
	k := named("@" + top.Path + "/tool")
	w.publish(p, w.root(), k)
	d := w.uploaded(p, newName(), "1.0")
	member := w.member(p, harness.Developer)
	oldGroup, oldProject := g.FullPath, p.PathWithNamespace
	to := newPath()
	w.ask(w.root(), "PUT", of(top), map[string]any{"path": to}).must(w, 200)
	newGroup, newProject := to+"/"+g.Path, to+"/"+g.Path+"/"+p.Path
	npm := func(path string) string { return "/projects/" + segment(path) + "/packages/npm/" + escaped(k.name) }

	for _, row := range []struct{ what, old, now string }{
		{"a project", "/projects/" + segment(oldProject), of(p)},
		{"a project in capitals", "/projects/" + segment(strings.ToUpper(oldProject)), of(p)},
		{"its members, with a query", "/projects/" + segment(oldProject) + "/members?per_page=1", of(p) + "/members?per_page=1"},
		{"a group", "/groups/" + segment(oldGroup), of(g)},
		{"its projects", "/groups/" + segment(oldGroup) + "/projects", of(g) + "/projects"},
		{"the group at the top", "/groups/" + top.Path, of(top)},
		{"a packument", npm(oldProject), of(p) + "/packages/npm/" + escaped(k.name)},
		{"a tarball", "/projects/" + segment(oldProject) + "/packages/npm/" + k.name + "/-/" + k.name + "-1.0.0.tgz", of(p) + "/packages/npm/" + k.name + "/-/" + k.name + "-1.0.0.tgz"},
		{"a search", "/projects/" + segment(oldProject) + "/packages/npm/-/v1/search?text=x", of(p) + "/packages/npm/-/v1/search?text=x"},
		{"a packument of the group", "/groups/" + segment(oldGroup) + "/-/packages/npm/" + escaped(k.name), of(g) + "/-/packages/npm/" + escaped(k.name)},
		{"an index of PyPI", "/projects/" + segment(oldProject) + "/packages/pypi/simple", of(p) + "/packages/pypi/simple"},
		{"a page of it", "/projects/" + segment(oldProject) + "/packages/pypi/simple/" + d.name, of(p) + "/packages/pypi/simple/" + d.name},
		{"a distribution", "/projects/" + segment(oldProject) + "/packages/pypi/files/" + d.sha256() + "/" + d.file, of(p) + "/packages/pypi/files/" + d.sha256() + "/" + d.file},
		{"a release", "/projects/" + segment(oldProject) + "/packages/pypi/pypi/" + d.name + "/json", of(p) + "/packages/pypi/pypi/" + d.name + "/json"},
		{"an index of PyPI of the group", "/groups/" + segment(oldGroup) + "/-/packages/pypi/simple", of(g) + "/-/packages/pypi/simple"},
		{"a page of it", "/groups/" + segment(oldGroup) + "/-/packages/pypi/simple/" + d.name, of(g) + "/-/packages/pypi/simple/" + d.name},
		{"a distribution of the group", "/groups/" + segment(oldGroup) + "/-/packages/pypi/files/" + d.sha256() + "/" + d.file, of(g) + "/-/packages/pypi/files/" + d.sha256() + "/" + d.file},
	} {
		w.sub("asked by its old path: "+row.what, func(w *world) {
			for _, method := range []string{"GET", "HEAD"} {
				a := w.ask(w.root(), method, row.old).want(w, 301)
				if got, want := a.header.Get("Location"), w.server.URL+"/api/v4"+row.now; got != want {
					w.Errorf("sent to %s, want %s", got, want)
				}
			}
			w.ask(w.root(), "GET", row.now).want(w, 200)
			stranger := w.ask(w.user().as(), "GET", row.old)
			if stranger.status != 404 && stranger.status != 403 {
				w.Errorf("a stranger gets %d %s", stranger.status, stranger.body)
			}
			if a := w.ask(anonymous, "GET", row.old); a.status != 404 && a.status != 401 {
				w.Errorf("nobody gets %d %s", a.status, a.body)
			}
		})
	}
	w.sub("changed by its old path", func(w *world) {
		for path, what := range map[string]string{"/projects/" + segment(oldProject): "projects", "/groups/" + segment(oldGroup): "groups"} {
			w.ask(w.root(), "PUT", path, map[string]any{"name": "x"}).want(w, 405).is(w, `{"message":"Non GET methods are not allowed for moved `+what+`"}`)
			w.ask(w.root(), "DELETE", path).want(w, 405)
			w.ask(w.user().as(), "DELETE", path).want(w, 404)
		}
		mine := newPack()
		w.ask(member.as(), "PUT", "/projects/"+segment(oldProject)+"/packages/npm/"+mine.name, mine.document()).want(w, 405).refused(w, 405, "Non GET methods are not allowed for moved projects")
		w.send(newSdist(newName(), "1.0").upload("/api/v4/projects/"+segment(oldProject)+"/packages/pypi", member.as(), nil)).want(w, 405).is(w, `{"message":"Non GET methods are not allowed for moved projects"}`)
	})
	w.sub("by its new path", func(w *world) {
		w.ask(member.as(), "GET", "/projects/"+segment(newProject)).want(w, 200)
		w.ask(w.root(), "GET", "/groups/"+segment(newGroup)).want(w, 200)
		w.download("/api/v4/projects/"+segment(newProject)+"/packages/npm", k.name, "1.0.0", member.as())
		w.download("/api/v4/groups/"+segment(newGroup)+"/-/packages/npm", k.name, "1.0.0", w.root())
		w.publish(p, member.as(), k.at("2.0.0"))
	})
	w.sub("the instance's prefix still finds the scope", func(w *world) {
		w.download(instance, k.name, "1.0.0", member.as())
	})
	w.sub("and back", func(w *world) {
		w.ask(w.root(), "PUT", of(top), map[string]any{"path": top.Path}).must(w, 200)
		w.ask(w.root(), "GET", "/projects/"+segment(oldProject)).want(w, 200)
		w.ask(w.root(), "GET", "/projects/"+segment(newProject)).want(w, 301)
		w.ask(w.root(), "PUT", of(top), map[string]any{"path": to}).must(w, 200)
		w.ask(w.root(), "GET", "/projects/"+segment(oldProject)).want(w, 301)
	})
	w.sub("until somebody else takes the path, and all below it", func(w *world) {
		w.make("/groups", map[string]any{"name": "new", "path": top.Path}, &struct{}{})
		w.ask(w.root(), "GET", "/projects/"+segment(oldProject)).want(w, 404)
		w.ask(w.root(), "GET", "/groups/"+segment(oldGroup)).want(w, 404)
		w.ask(member.as(), "GET", npm(oldProject)).want(w, 404)
		w.ask(member.as(), "GET", "/packages/npm/"+escaped(k.name)).want(w, 404)
		if got := w.ask(w.root(), "GET", "/groups/"+top.Path).must(w, 200).says("name"); got != "new" {
			w.Errorf("it is %s", got)
		}
		w.ask(member.as(), "GET", "/projects/"+segment(newProject)).want(w, 200)
	})
}
