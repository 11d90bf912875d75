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
			c := form(page+ids[version]+"/"+verb, nil)
			c.as = theirs
			return w.send(c)
		}
		change("2.0.0", "unlist").must(w, http.StatusSeeOther)
		w.displays(w.page(page+ids["1.0.0"]+"?tab=versions", nobody), []string{`Versions <span class="unit">1</span>`, "1.0.0"}, "2.0.0")
		w.displays(w.page(page+ids["1.0.0"]+"?tab=versions", theirs), []string{`Versions <span class="unit">2</span>`, "2.0.0", "unlisted"})
		w.send(call{path: page + ids["2.0.0"], as: nobody, header: map[string]string{"Accept": "text/html"}}).must(w, http.StatusNotFound)
		w.displays(w.page(page+ids["2.0.0"]+"?tab=manage", theirs), []string{"List it"})
		change("1.0.0", "unlist").must(w, http.StatusSeeOther)
		w.displays(w.page("/-/search?q="+id, nobody), []string{"No package that you may read"}, ids["1.0.0"], ids["2.0.0"])
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
