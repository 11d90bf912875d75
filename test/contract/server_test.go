package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"packhouse/test/harness"
)

func TestRoutes(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	k := newPack()
	w.publish(p, w.root(), k)
	for _, path := range []string{"/nothing", "/api", "/api/v4", "/api/v4/", "/api/v4/nothing", "/api/v4/projects/1/packages/1/nothing", "/-/nothing", "/api/v4/packages/npm/", "/favicon.ico"} {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE", "PATCH"} {
			w.sub(fmt.Sprintf("%s %s is no route", method, path), func(w *world) {
				a := w.send(call{method: method, path: path}).want(w, 404)
				if a.says("error") != "404 Not Found" || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
					w.Errorf("%s %s", a.header.Get("Content-Type"), a.body)
				}
			})
		}
	}
	w.sub("an unknown route has exactly GitLab's body", func(w *world) {
		w.send(call{path: "/api/v4/nothing"}).want(w, 404).is(w, `{"error":"404 Not Found"}`)
		w.send(call{path: "/api/v3/projects"}).want(w, 410).is(w, `{"error":"API V3 is no longer supported. Use API V4 instead."}`)
		w.send(call{method: "POST", path: "/api/v3/projects/1/packages"}).want(w, 410)
	})
	for _, row := range []struct {
		method, path string
		allow        []string
	}{
		{"DELETE", "/-/health", []string{"GET", "HEAD"}},
		{"POST", "/-/readiness", []string{"GET", "HEAD"}},
		{"PUT", "/metrics", []string{"GET", "HEAD"}},
		{"PATCH", "/api/v4/users", []string{"GET", "POST"}},
		{"DELETE", "/api/v4/projects", []string{"GET", "POST"}},
		{"POST", p.prefix() + "/" + k.name, []string{"GET", "PUT"}},
		{"PATCH", p.prefix() + "/" + k.name, []string{"GET", "PUT"}},
		{"DELETE", p.prefix() + "/" + k.name, []string{"GET", "PUT"}},
		{"PUT", p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz", []string{"GET"}},
	} {
		w.sub(fmt.Sprintf("%s is not for %s", row.method, strings.ReplaceAll(row.path, p.prefix(), "")), func(w *world) {
			a := w.send(call{method: row.method, path: row.path, as: w.root()}).want(w, 405)
			allowed := regexp.MustCompile(`[A-Z]+`).FindAllString(a.header.Get("Allow"), -1)
			for _, method := range row.allow {
				if !slices.Contains(allowed, method) {
					w.Errorf("Allow %q lacks %s", a.header.Get("Allow"), method)
				}
			}
			if slices.Contains(allowed, row.method) {
				w.Errorf("Allow %q has %s", a.header.Get("Allow"), row.method)
			}
			if a.says("error") == "" {
				w.Errorf("body %s", a.body)
			}
		})
	}
	// A PUT is served at once, whatever slashes are around it: a redirect would lose its body, or be refused.
	for what, path := range map[string]func(name string) string{
		"a slash at the end":         func(name string) string { return p.prefix() + "/" + name + "/" },
		"two slashes before":         func(name string) string { return "/" + p.prefix() + "/" + name },
		"two slashes within":         func(name string) string { return p.prefix() + "//" + name },
		"slashes everywhere":         func(name string) string { return strings.ReplaceAll(p.prefix()+"/"+name+"/", "/", "//") },
		"three slashes":              func(name string) string { return strings.ReplaceAll(p.prefix()+"/"+name, "/packages/", "///packages/") },
		"a query":                    func(name string) string { return p.prefix() + "/" + name + "?x=1" },
		"two slashes and a slash":    func(name string) string { return "/" + p.prefix() + "//" + name + "/" },
		"two slashes at the end too": func(name string) string { return p.prefix() + "/" + name + "//" },
	} {
		w.sub("PUT with "+what, func(w *world) {
			for _, name := range []string{"slashes" + harness.Random(), "@scope%2fslashes" + harness.Random(), "@scope/slashes" + harness.Random()} {
				k := named(strings.ReplaceAll(name, "%2f", "/"))
				w.send(call{method: "PUT", path: path(name), as: w.root(), body: k.document()}).want(w, 200)
				if got := w.download(p.prefix(), k.name, "1.0.0", anonymous); !bytes.Equal(got, k.tarball()) {
					w.Error("other bytes")
				}
				w.send(call{path: path(name)}).want(w, 200)
			}
		})
	}
	w.sub("POST to the management API with a slash at the end", func(w *world) {
		w.send(call{method: "POST", path: "/api/v4/groups/", as: w.root(), body: map[string]string{"name": "g" + harness.Random(), "path": "g" + harness.Random()}}).want(w, 201)
	})
}

func TestOperations(t *testing.T) {
	w := newWorld(t)
	w.sub("health", func(w *world) {
		if a := w.send(call{path: "/-/health"}).want(w, 200); len(a.body) == 0 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
			w.Errorf("%s %s", a.header.Get("Content-Type"), a.body)
		}
	})
	w.sub("liveness", func(w *world) { w.send(call{path: "/-/liveness"}).want(w, 200).is(w, `{"status":"ok"}`) })
	w.sub("readiness", func(w *world) {
		if a := w.send(call{path: "/-/readiness"}).want(w, 200); a.says("status") != "ok" {
			w.Errorf("%s", a.body)
		}
	})
	for _, path := range []string{"/-/health", "/-/liveness", "/-/readiness", "/metrics"} {
		w.sub("HEAD "+path, func(w *world) { w.send(call{method: "HEAD", path: path}).want(w, 200) })
	}
	w.sub("metrics are Prometheus text", func(w *world) {
		w.send(call{path: w.open().prefix() + "/nothing"}).want(w, 404)
		a := w.send(call{path: "/metrics"}).want(w, 200)
		if !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
			w.Errorf("Content-Type %q", a.header.Get("Content-Type"))
		}
		line := regexp.MustCompile(`^(#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? [-+0-9.eInfNa]+)$`)
		for text := range strings.Lines(string(a.body)) {
			if text = strings.TrimSuffix(text, "\n"); text != "" && !line.MatchString(text) {
				w.Errorf("not a line of metrics: %s", text)
			}
		}
		for _, name := range []string{"packhouse_http_requests_total{", "packhouse_http_request_duration_seconds_bucket{", "packhouse_http_requests_in_flight ", "packhouse_build_info{", "process_resident_memory_bytes ", "go_goroutines "} {
			if !bytes.Contains(a.body, []byte("\n"+name)) {
				w.Errorf("no %s", name)
			}
		}
		if len(leaks(string(a.body))) > 0 {
			w.Error("metrics hold a secret")
		}
	})
	w.sub("metrics through a proxy are for administrators", func(w *world) {
		proxied := map[string]string{"X-Forwarded-For": "203.0.113.1"}
		if a := w.send(call{path: "/metrics", header: proxied}); a.status < 400 {
			w.Errorf("%d", a.status)
		}
		if a := w.send(call{path: "/metrics", header: proxied, as: w.user().as()}); a.status < 400 {
			w.Errorf("a user: %d", a.status)
		}
		w.send(call{path: "/metrics", header: proxied, as: bearer(w.server.RootToken)}).want(w, 200)
	})
	w.sub("a request has an id, its own or the proxy's, and the log has it", func(w *world) {
		one, two := w.send(call{path: "/-/health"}).header.Get("X-Request-Id"), w.send(call{path: "/-/health"}).header.Get("X-Request-Id")
		if one == two || len(one) < 8 {
			w.Errorf("%q and %q", one, two)
		}
		mine := harness.Random()
		if got := w.send(call{path: "/-/health", header: map[string]string{"X-Request-Id": mine}}).header.Get("X-Request-Id"); got != mine {
			w.Errorf("%q, sent %q", got, mine)
		}
		for _, bad := range []string{strings.Repeat("x", 500), "a b\"c", "<script>"} {
			if got := w.send(call{path: "/-/health", header: map[string]string{"X-Request-Id": bad}}).header.Get("X-Request-Id"); got == bad || got == "" {
				w.Errorf("%q was taken over as %q", bad, got)
			}
		}
		eventually(w, "the log has the ids", func() bool {
			found := 0
			for line := range strings.Lines(w.server.Log()) {
				var entry struct {
					ID     string `json:"request_id"`
					Status int
					Method string
				}
				if json.Unmarshal([]byte(line), &entry) == nil && (entry.ID == one || entry.ID == mine) && entry.Status == 200 && entry.Method == "GET" {
					found++
				}
			}
			return found == 2
		})
	})
	w.sub("the log never has a secret, however it comes", func(w *world) {
		p := w.open()
		u := w.user()
		token, plain := u.token, wrong() // with our prefix, and without, as an administrator chooses one
		for _, text := range []string{token, plain} {
			for _, c := range []call{
				{path: "/api/v4/projects?private_token=" + text},
				{path: p.prefix() + "/x?access_token=" + text},
				{method: "DELETE", path: p.prefix() + "/-/user/token/" + text + "x"},
				{method: "DELETE", path: p.prefix() + "/-/user/token/" + text + "/x"},
				{method: "DELETE", path: p.prefix() + "/-/user%2ftoken%2f" + text + "x"},
				{method: "DELETE", path: p.prefix() + "//-//user/token//" + text + "x"},
				{method: "DELETE", path: p.prefix() + "/-/user/./token/" + text},
				{method: "DELETE", path: p.prefix() + "/-/user/../user/token/" + text},
				{method: "GET", path: p.prefix() + "/-/user/token/" + text},
				{method: "DELETE", path: p.prefix() + "/-/npm/v1/tokens/token/" + text + "x"},
				{path: p.prefix() + "/-/v1/done/" + text},
				{path: "/-/login/" + text},
				{method: "PUT", path: p.prefix() + "/-/user/org.couchdb.user:" + u.Username, body: map[string]string{"name": "other", "password": text}},
				{path: p.prefix() + "/x", as: credential{header: "Authorization", value: text}},
				{path: p.prefix() + "/x", header: map[string]string{"Referer": "http://example.com/?private_token=" + text}},
				{path: p.prefix() + "/x", header: map[string]string{"Cookie": "token=" + text}},
				{method: "POST", path: "/api/v4/users", as: w.root(), body: map[string]string{"username": "", "password": text}},
			} {
				w.send(c)
			}
		}
		// The search itself is at the end of all tests.
	})
	w.sub("each line of the log is one of JSON", func(w *world) {
		// A name with line breaks must not make lines of its own.
		w.send(call{path: "/x%0a%7b%22msg%22:%22forged%22%7d", header: map[string]string{"User-Agent": "a\tb\"c"}})
		whole := w.server.Log()
		for line := range strings.Lines(whole[:strings.LastIndexByte(whole, '\n')+1]) {
			var entry map[string]any
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["msg"] == "forged" {
				w.Errorf("%v: %s", err, line)
			}
		}
	})
}
