package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"packhouse/test/harness"
)

// What was acknowledged is what the next read shows, to everybody, in every
// form; what a read shows can be downloaded; and one ETag is one document.
func TestReadersWhilePublishing(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	k := named("@" + home.Path + "/watched")
	w.publish(p, w.root(), k)
	const versions, readers = 30, 4
	forms := []map[string]string{{}, {"Accept": abbreviatedType}, {"Accept-Encoding": "gzip"}}
	prefixes := []string{p.prefix(), home.prefix(), instance}

	var mu sync.Mutex
	acknowledged := []string{"1.0.0"}
	documents := map[string]string{} // by URL and ETag
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		defer close(done)
		for i := range versions {
			next := k.at(fmt.Sprintf("1.0.%d", i+1))
			w.publishing(p, w.root(), next.document(), k.name).want(w, 200)
			mu.Lock()
			acknowledged = append(acknowledged, next.version)
			mu.Unlock()
		}
	})
	for reader := range readers {
		all.Go(func() {
			choice := rand.New(rand.NewPCG(1, uint64(reader)))
			for {
				select {
				case <-done:
					return
				default:
				}
				prefix, form := prefixes[choice.IntN(len(prefixes))], forms[choice.IntN(len(forms))]
				mu.Lock()
				must := slices.Clone(acknowledged)
				mu.Unlock()
				a, err := w.try(call{path: prefix + "/" + escaped(k.name), header: form})
				if err != nil || a.status != http.StatusOK {
					w.Errorf("%v %+v", err, a)
					return
				}
				a.want(w, http.StatusOK)
				if a.header.Get("Content-Encoding") == "gzip" {
					a.body = unzip(w, a.body)
				}
				listed := keys(at(a.object(w), "versions"))
				for _, version := range must {
					if !slices.Contains(listed, version) {
						w.Errorf("%s was acknowledged and is not in %v", version, listed)
					}
				}
				id := a.call + a.header.Get("ETag")
				mu.Lock()
				if known, ok := documents[id]; ok && known != string(a.body) {
					w.Errorf("two documents with the ETag %s", a.header.Get("ETag"))
				}
				documents[id] = string(a.body)
				mu.Unlock()
				version := listed[choice.IntN(len(listed))]
				file, err := w.try(call{path: prefix + "/" + k.name + "/-/" + k.name + "-" + version + ".tgz"})
				if err != nil || integrity(file.body) != at(a.object(w), "versions", version, "dist", "integrity") {
					w.Errorf("%s at %s: not the tarball that the packument shows (%v)", version, prefix, err)
				}
			}
		})
	}
	all.Wait()
}

// A token that was taken away opens nothing from the next request on, also
// where it was used a moment ago.
func TestTakenAway(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Private)
	p := w.project(home, harness.Private)
	developer := w.member(p, harness.Developer)
	k := newPack()
	w.publish(p, w.root(), k)
	path := p.prefix() + "/" + k.name
	for what, kind := range map[string]struct{ at, scope string }{
		"a project's deploy token": {fmt.Sprintf("/projects/%d/deploy_tokens", p.ID), "read_package_registry"},
		"a group's deploy token":   {home.path() + "/deploy_tokens", "read_package_registry"},
	} {
		w.sub(what, func(w *world) {
			var made harness.Token
			w.make(kind.at, map[string]any{"name": "short", "scopes": []string{kind.scope}}, &made)
			w.send(call{path: path, as: deploy(made.Token)}).must(w, 200)
			w.send(call{method: "DELETE", path: fmt.Sprintf("/api/v4%s/%d", kind.at, made.ID), as: w.root()}).must(w, 204)
			w.send(call{path: path, as: deploy(made.Token)}).want(w, 401)
			w.send(call{path: path + "/-/" + k.name + "-1.0.0.tgz", as: deploy(made.Token)}).want(w, 401)
		})
	}
	w.sub("a personal token", func(w *world) {
		token := w.personal(developer, "api")
		tag := w.send(call{path: path, as: bearer(token)}).must(w, 200).header.Get("ETag")
		w.send(call{method: "DELETE", path: "/api/v4/personal_access_tokens/self", as: private(token)}).must(w, 204)
		w.send(call{path: path, as: bearer(token), header: map[string]string{"If-None-Match": tag}}).want(w, 401)
	})
	w.sub("and one that was just given opens at once", func(w *world) {
		stranger := w.user()
		w.send(call{path: path, as: stranger.as()}).must(w, 404)
		w.join(fmt.Sprintf("/projects/%d", p.ID), stranger, harness.Guest)
		w.send(call{path: path, as: stranger.as()}).want(w, 200)
	})
}

// A job may do what its user may, in its own project.
func TestJobs(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Private)
	mine, other := w.project(home, harness.Private), w.project(home, harness.Private)
	developer := w.member(mine, harness.Developer)
	w.join(fmt.Sprintf("/projects/%d", other.ID), developer, harness.Developer)
	as := job(w.jobToken(mine, developer, 600))
	k := newPack()
	w.publish(mine, as, k)
	w.publish(other, w.root(), k)
	w.send(call{path: mine.prefix() + "/" + k.name, as: as}).want(w, 200)
	if a := w.send(call{path: other.prefix() + "/" + k.name, as: as}); a.status != 404 && a.status != 403 {
		t.Errorf("in another project: %d", a.status)
	}
	next := k.at("2.0.0")
	if a := w.publishing(other, as, next.document(), k.name); a.status != 404 && a.status != 403 {
		t.Errorf("to another project: %d", a.status)
	}
	if got := w.versions(home.prefix(), k.name, as); len(got) != 1 {
		t.Errorf("at the group's prefix: %v", got)
	}
	if a := w.send(call{method: "POST", path: fmt.Sprintf("/api/v4/projects/%d/deploy_tokens", mine.ID), as: job(w.jobToken(mine, developer, 600)), body: map[string]any{"name": "x", "scopes": []string{"write_package_registry"}}}); a.status < 400 {
		t.Errorf("made itself a deploy token: %d", a.status)
	}
}

// A package that no person published is one like others.
func TestPublishedByDeployToken(t *testing.T) {
	w := newWorld(t)
	p := w.project(w.group(harness.Public), harness.Public)
	k := newPack()
	k.fields = map[string]any{"description": "by nobody"}
	sent := w.publish(p, deploy(w.deployToken(p, "write_package_registry")), k)
	if got := w.download(p.prefix(), k.name, "1.0.0", anonymous); !bytes.Equal(got, sent) {
		t.Error("other bytes")
	}
	document := w.packument(p.prefix(), k.name, anonymous)
	if people, ok := document["maintainers"].([]any); !ok || len(people) != 0 {
		t.Errorf("maintainers %v", document["maintainers"])
	}
	for _, path := range []string{"/-/v1/search?text=" + k.name, "/" + k.name + "/latest", "/-/package/" + k.name + "/visibility"} {
		w.send(call{path: p.prefix() + path}).want(t, 200).object(t)
	}
	w.send(call{path: p.prefix() + "/-/package/" + k.name + "/collaborators", as: w.root()}).want(t, 200)
}

// A person has a namespace too.
func TestPersonalNamespace(t *testing.T) {
	w := newWorld(t)
	ada, eve := w.user(), w.user()
	var p project
	a := w.send(call{method: "POST", path: "/api/v4/projects", as: ada.as(), body: map[string]any{"name": "mine", "visibility": "private"}}).must(t, 201)
	made := a.object(t)
	p.ID, p.PathWithNamespace = int64(made["id"].(float64)), made["path_with_namespace"].(string)
	if p.PathWithNamespace != ada.Username+"/mine" {
		t.Errorf("path %s", p.PathWithNamespace)
	}
	k := named("@" + ada.Username + "/personal")
	sent := w.publish(p, ada.as(), k)
	for _, prefix := range []string{p.prefix(), "/api/v4/projects/" + ada.Username + "%2Fmine/packages/npm", instance} {
		if got := w.download(prefix, k.name, "1.0.0", ada.as()); !bytes.Equal(got, sent) {
			t.Errorf("other bytes at %s", prefix)
		}
		if a := w.send(call{path: prefix + "/" + escaped(k.name), as: eve.as()}); a.status != 404 && a.status != 403 {
			t.Errorf("%s to a stranger: %d", a.call, a.status)
		}
		w.send(call{path: prefix + "/" + escaped(k.name)}).want(t, 401)
	}
}

// Uploads of unknown length have the same limits.
func TestChunked(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--max-file-size", "1MiB", "--max-metadata-size", "64KiB"}})
	p := w.open()
	for what, row := range map[string]struct {
		body   func(k pack) any
		status int
	}{
		"a package":                 {func(k pack) any { return k.document() }, 200},
		"a file over the limit":     {func(k pack) any { return k.documentOf(noise(1<<20 + 1)) }, 413},
		"a file far over it":        {func(k pack) any { return k.documentOf(noise(10 << 20)) }, 413},
		"a manifest over it":        {func(k pack) any { k.readme = strings.Repeat("x", 65<<10); return k.document() }, 413},
		"white space without end":   {func(pack) any { return strings.Repeat(" ", 10<<20) }, 413},
		"open brackets without end": {func(pack) any { return strings.Repeat("[", 10<<20) }, 400},
		"a key without end":         {func(pack) any { return `{"` + strings.Repeat("x", 10<<20) }, 413},
		"keys without end":          {func(pack) any { return "{" + strings.Repeat(`"x":1,`, 1<<20) }, 400},
	} {
		w.sub(what, func(w *world) {
			k := newPack()
			before := blobs(w, w.server)
			text, ok := row.body(k).(string)
			if !ok {
				document, err := json.Marshal(row.body(k))
				if err != nil {
					w.Fatal(err)
				}
				text = string(document)
			}
			// Not a reader of which net/http knows the length.
			a := w.send(call{method: "PUT", path: p.prefix() + "/" + k.name, as: w.root(), body: io.MultiReader(strings.NewReader(text))})
			if a.status != row.status && !(row.status == 400 && a.status == 413) {
				w.Errorf("%d %s, want %d", a.status, a.body, row.status)
			}
			if row.status != 200 {
				w.nothingLeft(before)
			}
		})
	}
}
