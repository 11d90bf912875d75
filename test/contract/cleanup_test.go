package contract

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// cleanup is the path of a project's policy.
func (p project) cleanup() string {
	return fmt.Sprintf("/api/v4/projects/%d/packages/cleanup_policy", p.ID)
}

func TestCleanupPolicy(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	ada := w.member(p, harness.Maintainer)
	get := call{path: p.cleanup(), as: ada.as()}
	put := func(w *world, body any) *answer {
		return w.send(call{method: "PUT", path: p.cleanup(), as: ada.as(), body: body})
	}
	const unset = `{"enabled":false,"cadence":"12h","keep_n_duplicated_package_files":"all","keep_n_versions":null,"older_than":null,"not_downloaded_since":null,
		"package_type":null,"name_pattern":null,"name_keep_pattern":null,"version_pattern":null,"version_keep_pattern":null,"next_run_at":null,"last_run":null}`
	w.send(get).want(w, 200).is(w, unset)
	w.send(call{method: "POST", path: p.cleanup() + "/run", as: ada.as()}).want(w, 400)

	put(w, map[string]any{"cadence": "7d", "keep_n_duplicated_package_files": "10", "keep_n_versions": 3, "older_than": 30, "not_downloaded_since": 90, "package_type": "npm",
		"name_pattern": "@acme/.*", "name_keep_pattern": ".*-core", "version_pattern": `.*-.+`, "version_keep_pattern": `1\..*`}).want(w, 200).is(w, `{"enabled":false,"cadence":"7d",
		"keep_n_duplicated_package_files":"10","keep_n_versions":3,"older_than":30,"not_downloaded_since":90,"package_type":"npm","name_pattern":"@acme/.*","name_keep_pattern":".*-core",
		"version_pattern":".*-.+","version_keep_pattern":"1\\..*","next_run_at":null,"last_run":null}`)
	w.sub("what is not given stays, what is empty is unset", func(w *world) {
		put(w, map[string]any{"keep_n_duplicated_package_files": "all", "keep_n_versions": "", "package_type": "", "name_pattern": "", "name_keep_pattern": "", "version_pattern": "",
			"older_than": 0, "cadence": ""}).want(w, 200).is(w, `{"enabled":false,"cadence":"12h","keep_n_duplicated_package_files":"all","keep_n_versions":null,"older_than":null,
			"not_downloaded_since":90,"package_type":null,"name_pattern":null,"name_keep_pattern":null,"version_pattern":null,"version_keep_pattern":"1\\..*","next_run_at":null,"last_run":null}`)
		put(w, map[string]any{"not_downloaded_since": "", "version_keep_pattern": ""}).want(w, 200).is(w, unset)
		w.send(get).want(w, 200).is(w, unset)
	})
	w.sub("GitLab's numbers of files, and others", func(w *world) {
		for _, n := range []string{"1", "10", "20", "30", "40", "50", "7", "all"} {
			if got := put(w, map[string]any{"keep_n_duplicated_package_files": n}).want(w, 200).object(w)["keep_n_duplicated_package_files"]; got != n {
				w.Errorf("%s is stored as %v", n, got)
			}
		}
	})
	w.sub("cadences", func(w *world) {
		for given, want := range map[string]string{"1h": "1h", "24h": "24h", "1d": "24h", "36h": "36h", "30d": "30d", "720h": "30d"} {
			if got := put(w, map[string]any{"cadence": given}).want(w, 200).object(w)["cadence"]; got != want {
				w.Errorf("%s is stored as %v", given, got)
			}
		}
	})
	for attribute, values := range map[string][]any{
		"name_pattern": {"[", "a)(b", "(?=x)", strings.Repeat("x", 256)}, "name_keep_pattern": {"*"}, "version_pattern": {"("}, "version_keep_pattern": {"+"},
		"keep_n_versions": {-1, 10_000_000}, "older_than": {-1}, "not_downloaded_since": {-1, 1_000_000}, "keep_n_duplicated_package_files": {-1}, "cadence": {"31d"},
	} {
		for _, value := range values {
			w.sub(fmt.Sprintf("refused: %s %.20v", attribute, value), func(w *world) {
				for _, path := range []string{p.cleanup() + "/dry_run", p.cleanup()} {
					method := "POST"
					if path == p.cleanup() {
						method = "PUT"
					}
					a := w.send(call{method: method, path: path, as: ada.as(), body: map[string]any{attribute: value}}).want(w, 400)
					if sentences, _ := at(a.object(w), "message", attribute).([]any); len(sentences) != 1 {
						w.Errorf("%s: %s", a.call, a.body)
					}
				}
			})
		}
	}
	for name, value := range map[string]any{"keep_n_versions": "many", "cadence": "12", "enabled": "perhaps", "package_type": "floppy", "keep_n_duplicated_package_files": "none"} {
		w.sub("refused: "+name+" of the wrong form", func(w *world) {
			if a := put(w, map[string]any{name: value}).want(w, 400); a.says("error") == "" {
				w.Errorf("%s", a.body)
			}
		})
	}
	w.sub("enabled, it has a next run", func(w *world) {
		if at(put(w, map[string]any{"enabled": true, "keep_n_versions": 5}).want(w, 200).object(w), "next_run_at") == nil {
			w.Error("no next_run_at")
		}
		if at(put(w, map[string]any{"enabled": false}).want(w, 200).object(w), "next_run_at") != nil {
			w.Error("disabled, it has a next_run_at")
		}
	})
}

// What a dry run says is what a run removes; clients see what stays.
func TestCleanupRun(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	ada := w.member(p, harness.Maintainer)
	k, other := newPack(), newPack()
	for i := range 6 {
		w.publish(p, ada.as(), k.at(fmt.Sprintf("1.0.%d", i)))
	}
	w.send(call{method: "PUT", path: p.prefix() + "/-/package/" + k.name + "/dist-tags/stable", as: ada.as(), body: `"1.0.1"`}).must(w, 204)
	w.publish(p, ada.as(), other)
	w.send(call{method: "PUT", path: p.cleanup(), as: ada.as(), body: map[string]any{"keep_n_versions": 2, "name_keep_pattern": ".*-core"}}).must(w, 200)

	dry := func(w *world, body any, query string) *answer {
		return w.send(call{method: "POST", path: p.cleanup() + "/dry_run" + query, as: ada.as(), body: body})
	}
	first := dry(w, nil, "").must(w, 200)
	preview := first.object(w)
	items, _ := preview["items"].([]any)
	var versions []string
	for _, item := range items {
		if at(item, "name") != k.name || at(item, "removes") != "package" || fmt.Sprint(at(item, "reasons")) != "[keep_n_versions]" || at(item, "package_files") != 1.0 || at(item, "bytes").(float64) < 1 {
			w.Errorf("item %v", item)
		}
		versions = append(versions, at(item, "version").(string))
	}
	if got := strings.Join(versions, " "); got != "1.0.3 1.0.2 1.0.0" || at(preview, "totals", "packages") != 3.0 || at(preview, "totals", "package_files") != 3.0 {
		w.Fatalf("dry run: %s\n%s", got, first.body)
	}
	w.sub("a dry run has pages", func(w *world) {
		a := dry(w, nil, "?per_page=2&page=2").want(w, 200)
		if items, _ := a.object(w)["items"].([]any); len(items) != 1 || a.header.Get("X-Total") != "3" || at(a.object(w), "totals", "packages") != 3.0 {
			w.Errorf("%s %v", a.body, a.header)
		}
	})
	w.sub("a dry run of another policy stores nothing", func(w *world) {
		a := dry(w, map[string]any{"keep_n_versions": 1, "version_pattern": url.QueryEscape("1.0.5")}, "").want(w, 200)
		if at(a.object(w), "totals", "packages") != 0.0 {
			w.Errorf("%s", a.body)
		}
		if got := w.send(call{path: p.cleanup(), as: ada.as()}).object(w)["keep_n_versions"]; got != 2.0 {
			w.Errorf("keep_n_versions is %v", got)
		}
	})
	if got := w.versions(p.prefix(), k.name, ada.as()); len(got) != 6 {
		w.Fatalf("after dry runs: %v", got)
	}

	w.send(call{method: "POST", path: p.cleanup() + "/run", as: ada.as()}).want(w, http.StatusAccepted)
	var run any
	eventually(w, "the run is finished", func() bool {
		run = w.send(call{path: p.cleanup(), as: ada.as()}).must(w, 200).object(w)["last_run"]
		return at(run, "status") == "finished"
	})
	if removed := at(run, "removed"); fmt.Sprint(removed) != fmt.Sprint(preview["totals"]) || at(run, "error") != nil || at(run, "finished_at") == nil {
		w.Errorf("run %v, want %v", run, preview["totals"])
	}
	if got := strings.Join(w.versions(p.prefix(), k.name, ada.as()), " "); got != "1.0.1 1.0.4 1.0.5" {
		w.Errorf("stayed: %s", got)
	}
	w.send(call{path: p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz", as: ada.as()}).want(w, 404)
	w.download(p.prefix(), k.name, "1.0.1", ada.as())
	w.download(p.prefix(), other.name, "1.0.0", ada.as())
	if got := at(w.packument(p.prefix(), k.name, ada.as()), "dist-tags", "latest"); got != "1.0.5" {
		w.Errorf("latest is %v", got)
	}
	if a := dry(w, nil, "").want(w, 200); at(a.object(w), "totals", "packages") != 0.0 {
		w.Errorf("a dry run afterwards: %s", a.body)
	}
	w.publish(p, ada.as(), k.at("1.0.6"))
}
