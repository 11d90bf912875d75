package contract

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"packhouse/test/harness"
)

// What is deleted is hidden from all but its owners, its packages from them too, and can be restored.
func TestDeleted(t *testing.T) {
	w := newWorld(t)
	for _, row := range []struct {
		what  string
		which func(p project, in, above group) (path, fullPath string) // what is deleted
		alone bool                                                     // nothing but the project is
	}{
		{"a project", func(p project, _, _ group) (string, string) { return of(p), p.PathWithNamespace }, true},
		{"the group of a project", func(_ project, in, _ group) (string, string) { return of(in), in.FullPath }, false},
		{"the top-level group of a project", func(_ project, _, above group) (string, string) { return of(above), above.FullPath }, false},
	} {
		for _, access := range []string{"enabled", "public"} {
			w.sub(row.what+", with packages "+access, func(w *world) {
				w.Parallel()
				top := w.group(harness.Public)
				in := w.group(harness.Public, top)
				p := w.project(in, harness.Public, map[string]any{"package_registry_access_level": access})
				roles := w.roles(top)
				owner := roles["an owner"]
				k := named("@" + top.Path + "/tool")
				w.publish(p, w.root(), k)
				path, fullPath := row.which(p, in, top)
				ofGroup := w.token(of(top)+"/deploy_tokens", []string{"write_package_registry"})
				ofProject, ofJob := w.deployToken(p, "write_package_registry"), w.jobToken(p, owner, 3600)
				callers := map[string]credential{"nobody": anonymous, "an administrator": w.root(), "the project's deploy token": deploy(ofProject), "the group's deploy token": deploy(ofGroup), "an owner's job": job(ofJob)}
				for who, u := range roles {
					callers[who] = u.as()
				}
				served := func(w *world, want bool) {
					w.Helper()
					for who, as := range callers {
						for _, c := range []call{
							{path: p.prefix() + "/" + escaped(k.name)},
							{path: p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz"},
							{path: p.prefix() + "/-/package/" + escaped(k.name) + "/dist-tags"},
							{path: in.prefix() + "/" + escaped(k.name)},
							{path: top.prefix() + "/" + escaped(k.name)},
							{path: instance + "/" + escaped(k.name)},
							{path: instance + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz"},
						} {
							c.as = as
							a := w.send(c)
							if want {
								a.want(w, 200)
							} else if a.status != 404 && a.status != 401 && a.status != 403 || a.status == 401 && who != "nobody" || a.status == 403 && strings.Contains(c.path, "/projects/") {
								w.Errorf("%s, %s: %d %.200s", who, a.call, a.status, a.body)
							}
						}
						for _, prefix := range []string{instance, top.prefix()} {
							a := w.send(call{path: prefix + "/-/v1/search?text=" + top.Path, as: as})
							if found := a.status == 200 && strings.Contains(string(a.body), k.name); found != want {
								w.Errorf("%s: %s finds it: %t, want %t", who, a.call, found, want)
							}
						}
					}
				}
				served(w, true)

				w.ask(owner.as(), "DELETE", path).must(w, 202).is(w, `{"message":"202 Accepted"}`)
				served(w, false)
				today := time.Now().UTC().Format(time.DateOnly)
				for who, as := range callers {
					want := 404
					if who == "an owner" || who == "an administrator" {
						want = 200
					}
					for _, path := range slices.Compact([]string{path, of(p)}) {
						a := w.ask(as, "GET", path).want(w, want)
						if date := a.says("marked_for_deletion_on"); want == 200 && date != today {
							w.Errorf("marked for deletion on %q", date)
						}
					}
					paths := walk[string](w, as, "/projects?per_page=100&search="+p.Path, "path_with_namespace")
					if there := len(paths) > 0; there != (want == 200) {
						w.Errorf("%s: listed %v", who, paths)
					}
				}
				mine := newPack()
				for who, as := range callers {
					a := w.publishing(p, as, mine.document(), mine.name)
					if a.status != 404 && (who != "nobody" || a.status != 401) {
						w.Errorf("%s publishes: %d", who, a.status)
					}
				}
				for _, c := range []struct {
					method, path string
					body         map[string]any
				}{
					{"PUT", of(p), map[string]any{"name": "x"}}, {"POST", of(p) + "/archive", nil}, {"PUT", of(p) + "/transfer", map[string]any{"namespace": owner.Username}},
					{"POST", of(p) + "/members", map[string]any{"user_id": 1, "access_level": 10}}, {"POST", of(p) + "/deploy_tokens", map[string]any{"name": "x", "scopes": []string{"read_package_registry"}}},
				} {
					w.ask(owner.as(), c.method, c.path, c.body).want(w, 403).is(w, `{"message":"403 Forbidden - it is marked for deletion"}`)
				}
				if !row.alone {
					w.ask(owner.as(), "PUT", of(in), map[string]any{"name": "x"}).want(w, 403)
					w.ask(owner.as(), "POST", "/groups", map[string]any{"name": "x", "path": newPath(), "parent_id": in.ID}).want(w, 403)
					w.ask(owner.as(), "POST", "/projects", map[string]any{"name": newPath(), "namespace_id": in.ID}).want(w, 400)
					other := w.project(w.group(harness.Private), harness.Private)
					w.ask(w.root(), "PUT", of(other)+"/transfer", map[string]any{"namespace": in.ID}).want(w, 403)
				}

				// Once more, and for good, with slips.
				what := "Project"
				if !row.alone {
					what = "Group"
				}
				w.ask(owner.as(), "DELETE", path).want(w, 400).is(w, fmt.Sprintf(`{"message":"%s has been already marked for deletion"}`, what))
				for _, slip := range []string{"", "&full_path=" + p.Path, "&full_path=" + segment(strings.ToUpper(fullPath))} {
					if a := w.ask(owner.as(), "DELETE", path+"?permanently_remove=true"+slip).want(w, 400); !strings.HasPrefix(a.says("message"), "`full_path` is incorrect.") {
						w.Errorf("%s", a.body)
					}
				}
				w.ask(roles["a maintainer"].as(), "POST", path+"/restore").want(w, 404)

				if a := w.ask(owner.as(), "POST", path+"/restore").must(w, 201); a.says("marked_for_deletion_on") != "" || !strings.Contains(string(a.body), `"`+fullPath+`"`) {
					w.Errorf("%s", a.body)
				}
				served(w, true)
				w.ask(owner.as(), "POST", path+"/restore").want(w, 400).is(w, fmt.Sprintf(`{"message":"%s has not been marked for deletion"}`, what))
				w.ask(owner.as(), "DELETE", path+"?permanently_remove=true&full_path="+segment(fullPath)).want(w, 400).is(w, fmt.Sprintf(`{"message":"%s must be marked for deletion first."}`, what))
				w.publish(p, deploy(ofProject), k.at("2.0.0"))
			})
		}
	}
}

// The path of what is deleted is free at once.
func TestDeletedPaths(t *testing.T) {
	w := newWorld(t)
	w.sub("a project's", func(w *world) {
		g := w.group(harness.Private)
		p := w.project(g, harness.Private)
		k := newPack()
		w.publish(p, w.root(), k)
		w.ask(w.root(), "GET", "/projects/"+segment(p.PathWithNamespace)).must(w, 200)
		w.ask(w.root(), "DELETE", of(p)).must(w, 202)
		w.ask(w.user().as(), "GET", "/projects/"+segment(p.PathWithNamespace)).want(w, 404)
		var again project
		w.make("/projects", map[string]any{"name": p.Path, "namespace_id": g.ID}, &again)
		if again.PathWithNamespace != p.PathWithNamespace || again.ID == p.ID {
			w.Errorf("%+v, was %+v", again, p)
		}
		if a := w.ask(w.root(), "GET", "/projects/"+segment(p.PathWithNamespace)).must(w, 200); a.object(w)["id"] != float64(again.ID) {
			w.Errorf("the path leads to %s", a.body)
		}
		w.publish(again, w.root(), k) // name and version too
		a := w.ask(w.root(), "POST", of(p)+"/restore").must(w, 201)
		if got := a.says("path_with_namespace"); got != fmt.Sprintf("%s-restored-%d", p.PathWithNamespace, p.ID) {
			w.Errorf("restored as %s", got)
		}
		w.ask(w.root(), "PUT", of(again), map[string]any{"path": newPath()}).must(w, 200)
		w.ask(w.root(), "PUT", of(p), map[string]any{"path": p.Path}).must(w, 200)
	})
	w.sub("a project's, with versions that the scope claims", func(w *world) {
		g := w.group(harness.Private)
		k := named("@" + g.Path + "/tool")
		read := func(w *world, want []byte, prefixes ...string) {
			w.Helper()
			for _, prefix := range prefixes {
				if got := w.download(prefix, k.name, "1.0.0", w.root()); !bytes.Equal(got, want) {
					w.Errorf("%s serves other bytes", prefix)
				}
			}
		}
		p := w.project(g, harness.Private)
		old := w.publish(p, w.root(), k)
		w.ask(w.root(), "DELETE", of(p)).must(w, 202)
		var again, third project
		w.make("/projects", map[string]any{"name": p.Path, "namespace_id": g.ID}, &again)
		fresh := k.at("1.0.0")
		fresh.files = map[string]string{"package/index.js": "other bytes"}
		tarball := w.publish(again, w.root(), fresh)
		if bytes.Equal(old, tarball) {
			w.Fatal("both are the same")
		}
		read(w, tarball, again.prefix(), g.prefix(), instance)

		w.ask(w.root(), "POST", of(p)+"/restore").must(w, 201)
		read(w, old, p.prefix())
		read(w, tarball, again.prefix(), g.prefix(), instance) // the newer one
		w.make("/projects", map[string]any{"name": newPath(), "namespace_id": g.ID}, &third)
		w.publishing(third, w.root(), k.document(), k.name).want(w, 400)
		w.ask(w.root(), "DELETE", of(again)).must(w, 202)
		read(w, old, p.prefix(), g.prefix(), instance)
	})
	w.sub("a group's", func(w *world) {
		g := w.group(harness.Private)
		p := w.project(w.group(harness.Private, g), harness.Private)
		w.ask(w.root(), "DELETE", of(g)).must(w, 202)
		var again group
		w.make("/groups", map[string]any{"name": "again", "path": g.Path}, &again)
		w.ask(w.root(), "GET", "/projects/"+segment(p.PathWithNamespace)).want(w, 404)
		if a := w.ask(w.root(), "POST", of(g)+"/restore").must(w, 201); a.says("full_path") != fmt.Sprintf("%s-restored-%d", g.Path, g.ID) {
			w.Errorf("%s", a.body)
		}
		if got := w.ask(w.root(), "GET", of(p)).must(w, 200).says("path_with_namespace"); !strings.HasPrefix(got, g.Path+"-restored-") {
			w.Errorf("below it is %s", got)
		}
	})
	w.sub("a project and then its group: each is restored for itself", func(w *world) {
		g := w.group(harness.Private)
		p, q := w.project(g, harness.Private), w.project(g, harness.Private)
		member := w.user()
		w.join(of(g), member, harness.Developer)
		w.ask(w.root(), "DELETE", of(p)).must(w, 202)
		w.ask(w.root(), "DELETE", of(g)).must(w, 202)
		w.ask(member.as(), "GET", of(q)).want(w, 404)
		w.ask(w.root(), "POST", of(q)+"/restore").want(w, 400).is(w, `{"message":"Project has not been marked for deletion"}`)
		w.ask(w.root(), "POST", of(g)+"/restore").must(w, 201)
		w.ask(member.as(), "GET", of(q)).want(w, 200)
		w.ask(member.as(), "GET", of(p)).want(w, 404)
		w.ask(w.root(), "DELETE", of(g)).must(w, 202)
		w.ask(w.root(), "POST", of(p)+"/restore").must(w, 201)
		w.ask(member.as(), "GET", of(p)).want(w, 404) // its group is deleted still
		w.ask(w.root(), "POST", of(g)+"/restore").must(w, 201)
		w.ask(member.as(), "GET", of(p)).want(w, 200)
	})
	w.sub("for good, beside one that stays: its packages are passed over", func(w *world) {
		g := w.group(harness.Private)
		p, q := w.project(g, harness.Private), w.project(g, harness.Private)
		k, both, d := newPack(), newName(), newName()
		w.publish(p, w.root(), k)
		w.uploaded(p, both, "1.0")
		w.uploaded(p, d, "1.0")
		w.uploaded(q, both, "2.0")
		w.ask(w.root(), "DELETE", of(p)).must(w, 202)
		w.ask(w.root(), "DELETE", of(p)+"?permanently_remove=true&full_path="+segment(p.PathWithNamespace)).must(w, 202)
		prefix := of(g) + "/-/packages"
		w.ask(w.root(), "GET", prefix+"/npm/"+k.name).want(w, 404)
		w.ask(w.root(), "GET", prefix+"/pypi/simple/"+d+"/").want(w, 404)
		if a := w.ask(w.root(), "GET", prefix+"/pypi/simple/"+both+"/").must(w, 200); !strings.Contains(string(a.body), "2.0") || strings.Contains(string(a.body), "1.0.tar.gz") {
			w.Errorf("%s", a.body)
		}
	})
	w.sub("for good: nobody finds it, nor restores it", func(w *world) {
		g := w.group(harness.Public)
		p := w.project(w.group(harness.Public, g), harness.Public)
		owner := w.user()
		w.join(of(g), owner, harness.Owner)
		k := named("@" + g.Path + "/tool")
		w.publish(p, w.root(), k)
		token, of_ := w.deployToken(p, "read_package_registry"), w.jobToken(p, owner, 3600)
		var bots []credential
		for _, place := range []string{of(p), of(g)} {
			var made harness.Token
			w.make(place+"/access_tokens", map[string]any{"name": "bot", "scopes": []string{"api"}, "access_level": 30, "expires_at": time.Now().AddDate(0, 0, 9).Format(time.DateOnly)}, &made)
			bots = append(bots, private(secret(made.Token)))
			w.ask(bots[len(bots)-1], "GET", "/user").want(w, 200)
		}
		w.ask(owner.as(), "DELETE", of(g)).must(w, 202)
		w.ask(owner.as(), "DELETE", of(g)+"?permanently_remove=true&full_path="+g.FullPath).must(w, 202).is(w, `{"message":"202 Accepted"}`)
		for _, as := range []credential{owner.as(), w.root()} {
			for _, path := range []string{of(g), of(p), "/groups/" + g.Path, "/projects/" + segment(p.PathWithNamespace)} {
				w.ask(as, "GET", path).want(w, 404)
				w.ask(as, "POST", path+"/restore").want(w, 404)
				w.ask(as, "DELETE", path+"?permanently_remove=true").want(w, 404)
			}
			w.ask(as, "GET", "/packages/npm/"+escaped(k.name)).want(w, 404)
			w.ask(as, "GET", strings.TrimPrefix(p.prefix(), "/api/v4")+"/"+escaped(k.name)).want(w, 404)
			if got := walk[string](w, as, "/groups?search="+g.Path, "path"); len(got) != 0 {
				w.Errorf("groups: %v", got)
			}
		}
		for _, as := range []credential{deploy(token), job(of_)} { // refused as what it belongs to is absent, or as unknown
			if a := w.ask(as, "GET", strings.TrimPrefix(p.prefix(), "/api/v4")+"/"+escaped(k.name)); a.status != 404 && a.status != 401 {
				w.Errorf("%d %s", a.status, a.body)
			}
		}
		for _, as := range bots {
			w.ask(as, "GET", "/user").want(w, 401)
		}
		var again group
		w.make("/groups", map[string]any{"name": "again", "path": g.Path, "visibility": "public"}, &again)
		w.publish(w.project(again, harness.Public), w.root(), k)
	})
}

// The server removes what was deleted long enough ago, also when it was stopped meanwhile.
func TestDeletionDelay(t *testing.T) {
	gone := func(w *world, paths ...string) {
		w.Helper()
		eventually(w, "it is removed", func() bool {
			return !slices.ContainsFunc(paths, func(path string) bool { return w.ask(w.root(), "GET", path).status != 404 })
		})
	}
	t.Run("by itself", func(t *testing.T) {
		w := own(t, harness.Config{Args: []string{"--deletion-delay", "1s"}})
		g := w.group(harness.Private)
		p := w.project(w.group(harness.Private, g), harness.Private)
		for range 3 {
			w.publish(p, w.root(), newPack())
		}
		q := w.project(w.group(harness.Private), harness.Private)
		k := newPack()
		w.publish(q, w.root(), k)
		w.ask(w.root(), "DELETE", of(g)).must(w, 202)
		gone(w, of(g), of(p))
		w.download(q.prefix(), k.name, "1.0.0", w.root())
	})
	t.Run("at once", func(t *testing.T) {
		w := own(t, harness.Config{Env: []string{"PACKHOUSE_DELETION_DELAY=0"}})
		g := w.group(harness.Private)
		p, q := w.project(g, harness.Private), w.project(g, harness.Private)
		w.ask(w.root(), "DELETE", of(p)).must(w, 202)
		w.ask(w.root(), "GET", of(p)).want(w, 404)
		w.ask(w.root(), "POST", of(p)+"/restore").want(w, 404)
		w.ask(w.root(), "GET", of(q)).want(w, 200)
		w.ask(w.root(), "DELETE", of(g)).must(w, 202)
		w.ask(w.root(), "GET", of(q)).want(w, 404)
		w.ask(w.root(), "GET", of(g)).want(w, 404)
	})
	t.Run("after a crash", func(t *testing.T) {
		t.Parallel()
		server := start(t, harness.Config{Data: t.TempDir()})
		w := &world{t, server, client}
		p := w.project(w.group(harness.Private), harness.Private)
		w.publish(p, w.root(), newPack())
		w.ask(w.root(), "DELETE", of(p)).must(w, 202)
		server.Kill()
		w.server = start(t, harness.Config{Data: server.Data, RootToken: server.RootToken, RootPassword: server.RootPassword, Args: []string{"--deletion-delay", "1s"}})
		defer w.server.Stop()
		gone(w, of(p))
	})
}
