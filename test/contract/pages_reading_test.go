package contract

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// What pages show of packages, and to whom.

// page is what somebody sees at a path.
func (w *world) page(path string, as credential) string {
	w.Helper()
	return string(w.send(call{path: path, as: as, header: map[string]string{"Accept": "text/html"}}).must(w, http.StatusOK).body)
}

// displays reports which of some texts a page lacks, and which it has and should not.
func (w *world) displays(page string, want []string, not ...string) {
	w.Helper()
	for _, text := range want {
		if !strings.Contains(page, text) {
			w.Errorf("the page lacks %q: %.3000s", text, page[max(0, strings.Index(page, "<main")):])
		}
	}
	for _, text := range not {
		if strings.Contains(page, text) {
			w.Errorf("the page has %q", text)
		}
	}
}

func TestPagesOfPackages(t *testing.T) {
	w := newWorld(t)
	top := w.group(harness.Public)
	p := w.project(top, harness.Public)
	u := w.user()
	session := w.signIn(u)
	nobody := credential{}

	w.sub("a project that is nobody's to know is in no list, though anybody may install from it", func(w *world) {
		secret := w.project(top, harness.Private, map[string]any{"package_registry_access_level": "public"})
		known, hidden := newPack(), newPack()
		hidden.fields = map[string]any{"dependencies": map[string]string{known.name: "^1.0.0"}}
		known.fields = map[string]any{"dependencies": map[string]string{hidden.name: "^1.0.0"}}
		w.publish(p, w.root(), known)
		w.publish(secret, w.root(), hidden)
		page := "/" + p.PathWithNamespace + "/-/packages/" + fmt.Sprint(w.packageID(p, known, w.root()))
		for _, as := range []credential{nobody, session} {
			w.displays(w.page("/-/search?q="+hidden.name, as), []string{"No package that you may read"}, secret.PathWithNamespace)
			w.displays(w.page("/-/search/suggestions?q="+hidden.name, as), nil, secret.PathWithNamespace, `role="option"`)
			w.displays(w.page(page+"?tab=dependencies", as), []string{hidden.name, "No package here that you may read depends on it."}, secret.PathWithNamespace)
		}
		w.join(fmt.Sprintf("/projects/%d", secret.ID), u, harness.Guest)
		w.displays(w.page("/-/search?q="+hidden.name, session), []string{secret.PathWithNamespace})
		w.displays(w.page(page+"?tab=dependencies", session), []string{`Used by <span class="unit">1</span>`, `href="/` + secret.PathWithNamespace})
	})

	w.sub("groups are found by who may know of them", func(w *world) {
		open, secret := w.group(harness.Public, top), w.group(harness.Private, top)
		for _, search := range []string{"/-/search?q=", "/-/search/suggestions?q="} {
			w.displays(w.page(search+open.Path, nobody), []string{`href="/groups/` + open.FullPath + `"`})
			w.displays(w.page(search+secret.Path, nobody), nil, secret.FullPath)
		}
		w.join(secret.path(), u, harness.Guest)
		w.displays(w.page("/-/search/suggestions?q="+secret.Path, session), []string{`href="/groups/` + secret.FullPath + `"`})
	})

	w.sub("unlisted versions are counted for those who may list them again", func(w *world) {
		maintainer := w.user()
		w.join(fmt.Sprintf("/projects/%d", p.ID), maintainer, harness.Maintainer)
		theirs := w.signIn(maintainer)
		id := newID()
		ids := map[string]string{}
		for _, version := range []string{"1.0.0", "2.0.0"} {
			w.packed(p, id, version)
			ids[version] = fmt.Sprint(w.packageID(p, pack{name: id, version: version}, w.root()))
		}
		page := "/" + p.PathWithNamespace + "/-/packages/"
		change := func(version, verb string) *answer {
			c := form(page+ids[version]+"/"+verb, url.Values{"sure": {"yes"}})
			c.as = theirs
			return w.send(c)
		}
		change("2.0.0", "unlist").must(w, http.StatusSeeOther)
		w.displays(w.page(page+ids["1.0.0"]+"?tab=versions", nobody), []string{`Versions <span class="unit">1</span>`, "1.0.0"}, "2.0.0")
		w.displays(w.page(page+ids["1.0.0"]+"?tab=versions", theirs), []string{`Versions <span class="unit">2</span>`, "2.0.0", "unlisted"})
		w.send(call{path: page + ids["2.0.0"], as: nobody, header: map[string]string{"Accept": "text/html"}}).must(w, http.StatusNotFound)
		w.displays(w.page(page+ids["2.0.0"]+"?tab=manage", theirs), []string{"List it"})
		change("1.0.0", "unlist").must(w, http.StatusSeeOther)
		w.displays(w.page("/-/search?q="+id, nobody), []string{"No package that you may read"}, page)
		change("2.0.0", "list").must(w, http.StatusSeeOther)
		w.displays(w.page(page+ids["2.0.0"]+"?tab=versions", nobody), []string{`Versions <span class="unit">1</span>`, "2.0.0"}, "1.0.0")
	})

	w.sub("the size of a version is that of all of its files", func(w *world) {
		name, total := newName(), 0
		for i := range 60 {
			file := strings.ReplaceAll(name, "-", "_") + "-1.0.0"
			d := distribution{name, "1.0.0", fmt.Sprintf("%s-%d-py3-none-any.whl", file, i+1),
				zipped(member{file + ".dist-info/WHEEL", "Wheel-Version: 1.0\n"}, member{file + ".dist-info/METADATA", "Metadata-Version: 2.1\nName: " + name + "\nVersion: 1.0.0\n\n"}, member{"noise", string(noise(2<<10 + i))})}
			w.send(d.upload(p.pypi(), w.root(), nil)).must(w, http.StatusCreated)
			total += len(d.content)
		}
		id := w.packageID(p, pack{name: name, version: "1.0.0"}, w.root())
		w.displays(w.page(fmt.Sprintf("/%s/-/packages/%d", p.PathWithNamespace, id), nobody), []string{fmt.Sprintf(`<span class="n">%d <span class="unit">KiB`, total>>10), "in 60 files"})
	})

	w.sub("what Composer's packages say is shown", func(w *world) {
		name, needed := newLib(), newLib()
		home := w.project(top, harness.Public)
		w.lib(home, needed, "2.0.0")
		w.send(putZip(home, w.root(), zipped(member{"lib/composer.json", manifestOf(name, "1.0.0", map[string]any{"license": []string{"MIT", "GPL-3.0-only"}, "keywords": []string{"nails"}, "homepage": "https://example.com/lib",
			"authors": []map[string]string{{"name": "Ann Author", "email": "ann@example.com"}}, "support": map[string]string{"issues": "https://example.com/issues", "source": "javascript:alert(1)"},
			"require": map[string]string{"php": ">=8.1", "ext-json": "*", needed: "^2.0"}, "require-dev": map[string]string{"acme/tester": "^9"}})}, member{"lib/Readme.md", "# Lib\n\nIt has **teeth**.\n"}))).must(w, http.StatusCreated)
		id := func(name, version string) string {
			return fmt.Sprint(w.packageID(home, pack{name: name, version: version}, w.root()))
		}
		page := "/" + home.PathWithNamespace + "/-/packages/"
		w.displays(w.page(page+id(name, "1.0.0"), nobody), []string{"<strong>teeth</strong>", "MIT or GPL-3.0-only", "Ann Author", "php &gt;=8.1", "ext-json *", "https://example.com/lib", "https://example.com/issues", "nails",
			"composer require " + name + ":1.0.0"}, "javascript:", "ann@example.com", "<dt>Source")
		w.displays(w.page(page+id(name, "1.0.0")+"?tab=dependencies", nobody), []string{"^2.0", page + id(needed, "2.0.0"), "acme/tester", "require-dev"}, "ext-json")
		w.displays(w.page(page+id(needed, "2.0.0")+"?tab=dependencies", nobody), []string{`Used by <span class="unit">1</span>`, page + id(name, "1.0.0")})

		made, branch := newLib(), "x;$(reboot)"
		clone := w.repository(home)
		commit := clone.commit(map[string]string{"composer.json": manifestOf(made, "", map[string]any{"readme": "docs/start.txt"}), "docs/start.txt": "Begin *here*.", "README.md": "Not this one."})
		clone.git("tag", "v1.2.0")
		clone.git("branch", branch)
		clone.push("main", "v1.2.0", branch)
		for _, params := range []string{"tag=v1.2.0", "branch=" + url.QueryEscape(branch), "branch=main"} {
			w.send(fromRef(home, w.root(), params)).must(w, http.StatusCreated)
		}
		w.displays(w.page(page+id(made, "1.2.0"), nobody), []string{"Begin *here*.", `tag <span class="mono">v1.2.0</span>`, commit[:12], "composer require " + made + ":1.2.0"}, "Not this one")
		w.displays(w.page(page+id(made, "dev-"+branch), nobody), []string{`branch <span class="mono">` + branch, "composer require &#39;" + made + ":dev-" + branch + "&#39;"})
		clone.git("rm", "--quiet", "-r", "docs", "README.md")
		clone.commit(map[string]string{"composer.json": manifestOf(made, "")})
		clone.push("main")
		w.send(fromRef(home, w.root(), "branch=main")).must(w, http.StatusCreated)
		w.displays(w.page(page+id(made, "dev-main"), nobody), []string{"This version has no README."}, "Begin")
	})

	w.sub("what is typed is text wherever it is shown", func(w *world) {
		const attack = `"><script>alert(1)</script>`
		k := newPack()
		k.fields = map[string]any{"description": attack, "license": attack, "keywords": []string{attack}, "homepage": "javascript:alert(1)", "author": attack}
		w.publish(p, w.root(), k)
		project := w.ask(w.root(), "PUT", fmt.Sprintf("/projects/%d", w.project(top, harness.Public).ID), map[string]any{"description": attack}).must(w, http.StatusOK).object(w)
		id := w.packageID(p, k, w.root())
		w.ask(w.root(), "POST", fmt.Sprintf("/projects/%d/packages/%d/yank", p.ID, id), map[string]any{"reason": attack}).must(w, http.StatusOK)
		root := w.signIn(user{User: harness.User{ID: 1, Username: "root", Password: w.server.RootPassword}})
		for _, path := range []string{fmt.Sprintf("/%s/-/packages/%d", p.PathWithNamespace, id), fmt.Sprint("/", project["path_with_namespace"]), "/-/search?q=" + url.QueryEscape(attack), "/-/explore?filter=" + url.QueryEscape(attack),
			"/-/search/suggestions?q=" + url.QueryEscape(attack), "/" + p.PathWithNamespace + "/-/activity", "/-/admin/audit", "/-/sign_in?to=" + url.QueryEscape("/"+attack), "/" + p.PathWithNamespace + "/-/packages?name=" + url.QueryEscape(attack) + "&sort=" + url.QueryEscape(attack)} {
			page := w.page(path, map[bool]credential{true: root, false: nobody}[strings.HasSuffix(path, "activity") || strings.HasSuffix(path, "audit")])
			w.displays(page, nil, "<script>alert", "javascript:alert")
		}
	})
}

func TestPagesOfTransfers(t *testing.T) {
	w := newWorld(t)
	owner := w.user()
	session := w.signIn(owner)
	from, to, hidden := w.group(harness.Private), w.group(harness.Private), w.group(harness.Private)
	w.join(fmt.Sprintf("/groups/%d", from.ID), owner, harness.Owner)
	w.join(fmt.Sprintf("/groups/%d", to.ID), owner, harness.Owner)
	below := w.group(harness.Private, from)
	w.ask(w.root(), "DELETE", fmt.Sprintf("/groups/%d/members/1", below.ID)).must(w, http.StatusNoContent) // its owners are those above
	p := w.project(from, harness.Private)
	move := func(place, target, confirm string) *answer {
		c := form(place+"/-/transfer", url.Values{"to": {target}, "confirm": {confirm}})
		c.as = session
		return w.send(c)
	}

	w.sub("the settings suggest where it may go", func(w *world) {
		w.displays(w.page("/"+p.PathWithNamespace+"/-/settings", session), []string{`<option value="` + to.FullPath + `">`, `<option value="` + below.FullPath + `">`, `<option value="` + owner.Username + `">`},
			`<option value="`+from.FullPath+`">`, hidden.FullPath)
		w.displays(w.page("/groups/"+from.FullPath+"/-/settings", session), []string{`<option value="` + to.FullPath + `">`}, `<option value="`+below.FullPath+`">`, "becomes a group at the top")
		w.displays(w.page("/groups/"+below.FullPath+"/-/settings", session), []string{"becomes a group at the top"})
	})
	w.sub("what cannot be moved stays, and the form says why", func(w *world) {
		project, group := "/"+p.PathWithNamespace, "/groups/"+from.FullPath
		for _, try := range []struct{ place, to, confirm, want string }{
			{project, to.FullPath, p.Path, "another one"},
			{project, "no/such/group", p.PathWithNamespace, "There is no such group"},
			{project, hidden.FullPath, p.PathWithNamespace, "There is no such group"},
			{project, "", p.PathWithNamespace, "There is no such group"},
			{project, from.FullPath, p.PathWithNamespace, "already in this namespace"},
			{group, below.FullPath, from.FullPath, "one of its subgroup"},
			{group, "", from.FullPath, "already a root group"},
		} {
			a := move(try.place, try.to, try.confirm).must(w, http.StatusUnprocessableEntity)
			w.displays(string(a.body), []string{try.want, `value="` + try.to + `"`}, "new_namespace")
		}
	})
	w.sub("what is moved is where it was sent, and the old address leads there", func(w *world) {
		for _, try := range []struct{ place, confirm, to, want string }{
			{"/" + p.PathWithNamespace, p.PathWithNamespace, to.FullPath, "/" + to.FullPath + "/" + p.Path},
			{"/" + to.FullPath + "/" + p.Path, to.FullPath + "/" + p.Path, owner.Username, "/" + owner.Username + "/" + p.Path},
			{"/groups/" + below.FullPath, below.FullPath, "/" + to.FullPath + "/ ", "/groups/" + to.FullPath + "/" + below.Path},
			{"/groups/" + to.FullPath + "/" + below.Path, to.FullPath + "/" + below.Path, "", "/groups/" + below.Path},
		} {
			if a := move(try.place, try.to, try.confirm).must(w, http.StatusSeeOther); a.header.Get("Location") != try.want+"/-/settings" {
				w.Errorf("%s leads to %s, want %s", try.place, a.header.Get("Location"), try.want)
			}
			w.send(call{path: try.want, as: session}).want(w, http.StatusOK)
		}
		a := w.send(call{path: "/" + p.PathWithNamespace, as: session}).want(w, http.StatusSeeOther)
		if got, want := a.header.Get("Location"), "/"+owner.Username+"/"+p.Path; got != want {
			w.Errorf("the old address leads to %s, want %s", got, want)
		}
	})
}
