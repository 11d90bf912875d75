package contract

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"packhouse/test/harness"
)

// The Packages API: what is deleted, and what of it is seen afterwards.

// A version whose file was deleted is there, but for no installer.
func TestDeletedFile(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	ada := w.member(p, harness.Maintainer)
	k := newPack()
	w.publish(p, ada.as(), k)
	w.publish(p, ada.as(), k.at("2.0.0"))
	id := w.packageID(p, k.at("2.0.0"), anonymous)
	file := w.fileID(p, id, anonymous)
	before := w.packument(p.prefix(), k.name, anonymous)
	if at(before, "dist-tags", "latest") != "2.0.0" {
		w.Fatal(before["dist-tags"])
	}
	w.send(call{method: "DELETE", path: p.packages(id, "package_files", file), as: ada.as()}).must(w, 204)
	w.send(call{method: "DELETE", path: p.packages(id, "package_files", file), as: ada.as()}).saysMessage(w, 404, notFound)
	w.send(call{path: p.packages(id, "package_files")}).must(w, 200).is(w, "[]")
	w.send(call{path: p.packages(id)}).must(w, 200)
	for _, prefix := range []string{p.prefix(), "/api/v4/groups/" + strings.Split(p.PathWithNamespace, "/")[0] + "/-/packages/npm"} {
		for _, accept := range []string{"application/json", "application/vnd.npm.install-v1+json"} {
			o := w.send(call{path: prefix + "/" + k.name, header: map[string]string{"Accept": accept}}).must(w, 200).object(w)
			if got := keys(o["versions"]); !slices.Equal(got, []string{"1.0.0"}) || !sameJSON(text(o["dist-tags"]), `{"latest":"1.0.0"}`) {
				w.Errorf("versions %v, tags %v", got, o["dist-tags"])
			}
		}
		w.send(call{path: prefix + "/" + k.name + "/2.0.0"}).want(w, 404)
		w.send(call{path: prefix + "/" + k.name + "/-/" + k.name + "-2.0.0.tgz"}).want(w, 404)
		w.send(call{path: prefix + "/-/package/" + k.name + "/dist-tags"}).must(w, 200).is(w, `{"latest":"1.0.0"}`)
	}
	w.send(call{method: "PUT", path: p.prefix() + "/-/package/" + k.name + "/dist-tags/beta", as: ada.as(), body: `"2.0.0"`}).want(w, 404)
	w.publishing(p, ada.as(), k.at("2.0.0").document(), k.name).refused(w, 403, "Package already exists.")
	w.sub("the package can still be deleted, and then published anew", func(w *world) {
		w.send(call{method: "DELETE", path: p.packages(id), as: ada.as()}).must(w, 204)
		w.publish(p, ada.as(), k.at("2.0.0"))
		if got := w.versions(p.prefix(), k.name, anonymous); !slices.Equal(got, []string{"1.0.0", "2.0.0"}) {
			w.Errorf("versions %v", got)
		}
	})
	w.sub("without any version with a file, there is no packument", func(w *world) {
		alone := newPack()
		w.publish(p, ada.as(), alone)
		id := w.packageID(p, alone, anonymous)
		w.send(call{method: "DELETE", path: p.packages(id, "package_files", w.fileID(p, id, anonymous)), as: ada.as()}).must(w, 204)
		w.send(call{path: p.prefix() + "/" + alone.name}).want(w, 404)
		w.publish(p, ada.as(), alone.at("0.9.0"))
		if o := w.packument(p.prefix(), alone.name, anonymous); !slices.Equal(keys(o["versions"]), []string{"0.9.0"}) || at(o, "dist-tags", "latest") != "0.9.0" {
			w.Errorf("%v", o)
		}
		w.send(call{path: p.packages(id)}).must(w, 200)
	})
}

func TestDeletedPackage(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	p, beside := w.project(g, harness.Public), w.project(g, harness.Public)
	ada := w.member(p, harness.Maintainer)
	k := named("@" + g.Path + "/hello") // claimed in the group
	w.publish(p, ada.as(), k)
	w.publish(p, ada.as(), k.at("2.0.0"))
	id := w.packageID(p, k.at("2.0.0"), anonymous)
	file := w.fileID(p, id, anonymous)
	w.packument(p.prefix(), k.name, anonymous) // kept by the server
	dev := w.member(p, harness.Developer)
	w.send(call{method: "DELETE", path: p.packages(id), as: dev.as()}).saysMessage(w, 403, forbidden)
	w.send(call{path: p.packages(id)}).must(w, 200)
	w.send(call{method: "DELETE", path: p.packages(id), as: ada.as()}).must(w, 204)
	w.sub("it is gone for everybody at once", func(w *world) {
		for _, path := range []string{p.packages(id), p.packages(id, "pipelines"), p.packages(id, "package_files"), p.packages(id, "package_files", file, "download")} {
			w.send(call{path: path, as: w.root()}).saysMessage(w, 404, notFound)
		}
		w.send(call{method: "DELETE", path: p.packages(id), as: ada.as()}).saysMessage(w, 404, notFound)
		w.send(call{method: "DELETE", path: p.packages(id, "package_files", file), as: ada.as()}).saysMessage(w, 404, notFound)
		for _, prefix := range []string{p.prefix(), g.prefix(), instance} {
			o := w.packument(prefix, k.name, anonymous)
			if !slices.Equal(keys(o["versions"]), []string{"1.0.0"}) || !sameJSON(text(o["dist-tags"]), `{"latest":"1.0.0"}`) {
				w.Errorf("%s: versions %v, tags %v", prefix, keys(o["versions"]), o["dist-tags"])
			}
		}
		if got := w.listed(p.packages(), anonymous); !slices.Equal(got, []string{k.name + "@1.0.0"}) {
			w.Errorf("listed: %v", got)
		}
		if got := w.listed(g.packages(), anonymous); len(got) != 1 {
			w.Errorf("listed in the group: %v", got)
		}
		if o := w.send(call{path: p.packages(w.packageID(p, k, anonymous))}).must(w, 200).object(w); len(objects(o["versions"])) != 0 {
			w.Errorf("versions %v", o["versions"])
		}
	})
	w.sub("published anew, by any project", func(w *world) {
		again := k.at("2.0.0")
		tarball := w.publish(beside, w.root(), again)
		if !bytes.Equal(w.download(g.prefix(), k.name, "2.0.0", anonymous), tarball) {
			w.Error("another tarball")
		}
		w.send(call{method: "DELETE", path: beside.packages(w.packageID(beside, again, anonymous)), as: w.root()}).must(w, 204)
		w.publish(p, ada.as(), again)
	})
	w.sub("the rows go by themselves", func(w *world) {
		eventually(w, "nothing is pending", func() bool { return len(w.listed(p.packages()+"?status=pending_destruction", ada.as())) == 0 })
	})
	w.sub("of several at once, one deletes", func(w *world) {
		k := newPack()
		w.publish(p, ada.as(), k)
		id := w.packageID(p, k, anonymous)
		done := 0
		for _, a := range w.race(8, func(int) call { return call{method: "DELETE", path: p.packages(id), as: ada.as()} }) {
			if a.status == 204 {
				done++
				continue
			}
			a.saysMessage(w, 404, notFound)
		}
		if done != 1 {
			w.Errorf("%d deleted it", done)
		}
	})
}

func TestConditionalDelete(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	ada := w.member(p, harness.Maintainer)
	past, now := "Tue, 15 Nov 1994 12:45:26 GMT", time.Now().UTC().Add(time.Minute)
	for what, test := range map[string]struct {
		since  string
		status int
	}{
		"HTTP, before":            {past, 412},
		"ISO 8601, before":        {"1990-01-12T00:00:48-0700", 412},
		"a day, before":           {"1990-01-12", 412},
		"HTTP, after":             {now.Format(http.TimeFormat), 204},
		"ISO 8601, after":         {now.Format(time.RFC3339Nano), 204},
		"nothing that is a time":  {"yesterday", 204},
		"nothing":                 {"", 204},
		"HTTP, the second itself": {"now", 204},
	} {
		w.sub(what, func(w *world) {
			k := newPack()
			w.publish(p, ada.as(), k)
			w.publish(p, ada.as(), k.at("2.0.0"))
			since := test.since
			if since == "now" {
				since = time.Now().UTC().Format(http.TimeFormat)
			}
			id := w.packageID(p, k, anonymous)
			file := w.fileID(p, w.packageID(p, k.at("2.0.0"), anonymous), anonymous)
			for _, path := range []string{p.packages(w.packageID(p, k.at("2.0.0"), anonymous), "package_files", file), p.packages(id)} {
				if strings.Contains(path, "files") == false && test.since == "now" {
					since = time.Now().UTC().Format(http.TimeFormat) // deleting the file changed the name
				}
				a := w.send(call{method: "DELETE", path: path, as: ada.as(), header: map[string]string{"If-Unmodified-Since": since}}).want(w, test.status)
				if test.status == 412 {
					a.saysMessage(w, 412, "412 Precondition Failed")
				}
			}
			left := map[int]int{412: 200, 204: 404}[test.status]
			w.send(call{path: p.packages(id)}).want(w, left)
		})
	}
	w.sub("who may not delete, and what is not there", func(w *world) {
		header := map[string]string{"If-Unmodified-Since": past}
		w.send(call{method: "DELETE", path: p.packages(999999999), as: ada.as(), header: header}).saysMessage(w, 404, notFound)
		w.send(call{method: "DELETE", path: p.packages(999999999), header: header}).saysMessage(w, 403, forbidden)
	})
}
