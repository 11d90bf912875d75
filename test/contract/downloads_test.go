package contract

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"packhouse/test/harness"
)

// onlyPackage is the package of a project that has one, in the list of the API.
func (w *world) onlyPackage(p project, as credential) map[string]any {
	w.Helper()
	a := w.send(call{path: fmt.Sprintf("/api/v4/projects/%d/packages", p.ID), as: as}).must(w, http.StatusOK)
	list := a.list(w)
	if len(list) != 1 {
		w.Fatalf("%d packages: %s", len(list), a.body)
	}
	return list[0]
}

func TestDownloads(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	ada := w.member(p, harness.Developer)
	k := newPack()
	tarball := w.publish(p, ada.as(), k)
	pkg := w.onlyPackage(p, ada.as())
	base := fmt.Sprintf("/api/v4/projects/%d/packages/%.0f", p.ID, pkg["id"])
	if pkg["download_count"] != 0.0 || pkg["last_downloaded_at"] != nil {
		w.Errorf("before a download: %v", pkg)
	}
	files := w.send(call{path: base + "/package_files", as: ada.as()}).must(w, 200).list(w)
	file := fmt.Sprintf("%.0f", at(files[0], "id"))

	// The server's own clock says which day it is; it may be another one at the end of the test.
	today := time.Now().UTC().Format(time.DateOnly)
	path := p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz"
	etag := ""
	for _, test := range []struct {
		what   string
		method string
		header map[string]string
		status int
	}{
		{"counts", "GET", nil, 200},
		{"counts again", "GET", nil, 200},
		{"a look only", "HEAD", nil, 200},
		{"there already", "GET", map[string]string{"If-None-Match": "etag"}, 304},
		{"the beginning counts", "GET", map[string]string{"Range": "bytes=0-9"}, 206},
		{"going on", "GET", map[string]string{"Range": "bytes=10-"}, 206},
		{"the end", "GET", map[string]string{"Range": "bytes=-5"}, 206},
	} {
		header := map[string]string{}
		for name, value := range test.header {
			header[name] = strings.ReplaceAll(value, "etag", etag)
		}
		if a := w.send(call{method: test.method, path: path, header: header}).want(w, test.status); a.header.Get("ETag") != "" {
			etag = a.header.Get("ETag")
		}
	}
	if got := w.send(call{path: base + "/package_files/" + file + "/download", as: ada.as()}).want(w, 200).body; string(got) != string(tarball) {
		w.Error("another content by the file's id")
	}
	w.send(call{path: p.prefix() + "/" + k.name + "/-/" + k.name + "-9.9.9.tgz"}).want(w, 404)
	const all = 4

	eventually(w, "the downloads are counted", func() bool { return w.onlyPackage(p, ada.as())["download_count"] == float64(all) })
	pkg = w.onlyPackage(p, ada.as())
	if last, err := time.Parse(time.RFC3339, fmt.Sprint(pkg["last_downloaded_at"])); err != nil || time.Since(last) > time.Minute || time.Since(last) < -time.Second {
		w.Errorf("last_downloaded_at is %v", pkg["last_downloaded_at"])
	}
	if got := w.send(call{path: base, as: ada.as()}).must(w, 200).object(w)["download_count"]; got != float64(all) {
		w.Errorf("package: download_count %v", got)
	}
	if got := at(w.send(call{path: base + "/package_files", as: ada.as()}).must(w, 200).list(w)[0], "download_count"); got != float64(all) {
		w.Errorf("file: download_count %v", got)
	}
	for _, query := range []string{"", "?package_file_id=" + file, "?from=" + today + "&to=" + time.Now().UTC().Format(time.DateOnly)} {
		w.sub("by day"+query, func(w *world) {
			body := w.send(call{path: base + "/downloads" + query, as: ada.as()}).want(w, 200).object(w)
			days, _ := body["days"].([]any)
			sum := 0.0
			for _, day := range days {
				sum += at(day, "count").(float64)
			}
			if body["total"] != float64(all) || body["download_count"] != float64(all) || sum != all || len(days) == 0 || at(days[len(days)-1], "date") != body["to"] || at(days[0], "date") != body["from"] {
				w.Errorf("%v", body)
			}
			if query == "" && len(days) != 30 {
				w.Errorf("%d days", len(days))
			}
		})
	}
	w.sub("other days", func(w *world) {
		w.send(call{path: base + "/downloads?from=2026-02-27&to=2026-03-01", as: ada.as()}).want(w, 200).is(w, fmt.Sprintf(`{"from":"2026-02-27","to":"2026-03-01","total":0,"download_count":%d,
			"days":[{"date":"2026-02-27","count":0},{"date":"2026-02-28","count":0},{"date":"2026-03-01","count":0}]}`, all))
	})
	for query, status := range map[string]int{"?from=2026-03-02&to=2026-03-01": 400, "?from=2024-01-01&to=2026-01-01": 400, "?from=2024-11-28&to=2026-01-01": 200, "?from=2024-11-27&to=2026-01-01": 400,
		"?from=soon": 400, "?package_file_id=4711000": 404, "?package_file_id=x": 400, "?package_file_id=0": 404} {
		w.send(call{path: base + "/downloads" + query, as: ada.as()}).want(w, status)
	}
	w.send(call{path: fmt.Sprintf("/api/v4/projects/%d/packages/4711000/downloads", p.ID), as: ada.as()}).want(w, 404)

	// The index documents are the same as before: nothing that counts moves a revision.
	first := w.send(call{path: p.prefix() + "/" + k.name}).must(w, 200)
	w.send(call{path: path}).want(w, 200)
	eventually(w, "one more is counted", func() bool { return w.onlyPackage(p, ada.as())["download_count"] == float64(all+1) })
	w.send(call{path: p.prefix() + "/" + k.name, header: map[string]string{"If-None-Match": first.header.Get("ETag")}}).want(w, 304)
}

// What was counted when a server stops is there when it starts again.
func TestDownloadsSurviveAStop(t *testing.T) {
	t.Parallel()
	w := &world{t, start(t, harness.Config{}), client}
	defer func() { // the server that there is at the end
		if err := w.server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	p := w.open()
	k := newPack()
	w.publish(p, w.root(), k)
	w.download(p.prefix(), k.name, "1.0.0", anonymous)
	next, err := w.server.Restart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.server = next
	if got := w.onlyPackage(p, w.root())["download_count"]; got != 1.0 {
		w.Errorf("download_count %v after a restart", got)
	}
}
