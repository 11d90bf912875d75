package contract

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// What holds for all pages: what they may load, who may send their forms, where they lead.

// inline finds what a strict policy would not run, and readers would miss.
var inline = regexp.MustCompile(`(?i)<script(?: [^>]*)?>[^<]|<[^>]+ (?:on[a-z]+|style)=|<style`)

// pageAlways is what holds for every page.
func (w *world) pageAlways(a *answer) {
	w.Helper()
	policy := a.header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, part) {
			w.Errorf("%s: the policy lacks %s: %s", a.call, part, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		w.Errorf("%s: the policy is not strict: %s", a.call, policy)
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Referrer-Policy") == "" {
		w.Errorf("%s: Cache-Control %q, Referrer-Policy %q", a.call, a.header.Get("Cache-Control"), a.header.Get("Referrer-Policy"))
	}
	if found := inline.Find(a.body); found != nil {
		w.Errorf("%s: something inline: %s", a.call, found)
	}
	for _, line := range a.header.Values("Set-Cookie") {
		if set, err := http.ParseSetCookie(line); err != nil || !set.HttpOnly || set.SameSite != http.SameSiteLaxMode || set.Path != "/" {
			w.Errorf("%s: the cookie %s: %v", a.call, line, err)
		}
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	u := w.user()
	g := w.group(harness.Public)
	sub := w.group(harness.Public, g)
	p := w.project(sub, harness.Private)
	w.join(fmt.Sprintf("/projects/%d", p.ID), u, harness.Maintainer)
	k := newPack()
	w.publish(p, w.root(), k)
	id := w.packageID(p, k, w.root())
	session := w.signIn(u)

	w.sub("web_path of the API is a page", func(w *world) {
		var found struct {
			Links struct {
				Web string `json:"web_path"`
			} `json:"_links"`
		}
		w.decode(w.ask(w.root(), "GET", fmt.Sprintf("/projects/%d/packages/%d", p.ID, id)).body, &found)
		a := w.send(call{path: found.Links.Web, as: session}).want(w, 200)
		if !strings.Contains(string(a.body), k.name) {
			w.Errorf("%s does not name the package", found.Links.Web)
		}
		var place map[string]any
		for _, path := range []string{fmt.Sprintf("/projects/%d", p.ID), fmt.Sprintf("/groups/%d", sub.ID), fmt.Sprintf("/users/%d", u.ID)} {
			w.decode(w.ask(w.root(), "GET", path).body, &place)
			w.send(call{path: strings.TrimPrefix(place["web_url"].(string), w.server.URL), as: session}).want(w, 200)
		}
	})
	w.sub("paths lead to one page each", func(w *world) {
		for path, want := range map[string]string{
			"/" + sub.FullPath:                        "/groups/" + sub.FullPath, // a group
			"/groups/" + u.Username:                   "/" + u.Username,          // a person
			"/groups/" + p.PathWithNamespace:          "",                        // no group
			"/" + p.PathWithNamespace + "/":           "200",
			"/" + strings.ToUpper(g.FullPath) + "/":   "/groups/" + g.FullPath,
			"/123":                                    "", // no project by its number
			"/" + p.PathWithNamespace + ".git":        "",
			"/-/":                                     "",
			"/%2e%2e/" + p.PathWithNamespace:          "",
			"/" + url.PathEscape(p.PathWithNamespace): "200",
			"/" + p.PathWithNamespace + "/-/nothing":  "",
		} {
			a := w.send(call{path: path, as: session, header: map[string]string{"Accept": "text/html"}})
			switch {
			case want == "200" && a.status == 200, want == "" && (a.status == 404 || a.status == 400), want != "" && a.header.Get("Location") == want:
			default:
				w.Errorf("%s: %d to %q, want %q", path, a.status, a.header.Get("Location"), want)
			}
		}
	})
	w.sub("a path that was before leads on", func(w *world) {
		moved := w.project(sub, harness.Public)
		w.send(call{method: "PUT", path: fmt.Sprintf("/api/v4/projects/%d", moved.ID), as: w.root(), body: map[string]any{"path": moved.Path + "-new"}}).must(w, 200)
		a := w.send(call{path: "/" + moved.PathWithNamespace + "/-/packages?sort=name"}).want(w, 303)
		if got, want := a.header.Get("Location"), "/"+moved.PathWithNamespace+"-new/-/packages?sort=name"; got != want {
			w.Errorf("led to %s, want %s", got, want)
		}
	})
	w.sub("what has no page is a page for people, and JSON for programs", func(w *world) {
		if a := w.send(call{path: "/no/such", header: map[string]string{"Accept": "text/html"}}).want(w, 404); !strings.Contains(string(a.body), "<h1>") {
			w.Errorf("no page: %s", a.body)
		}
		if a := w.send(call{path: "/api/v4/no/such", header: map[string]string{"Accept": "text/html"}}).want(w, 404); a.says("error") == "" {
			w.Errorf("no JSON: %s", a.body)
		}
	})
	w.sub("a form that another site sends does nothing", func(w *world) {
		for name, header := range map[string]map[string]string{"by Sec-Fetch-Site": {"Sec-Fetch-Site": "cross-site"}, "by Origin": {"Origin": "https://example.com"}, "by null": {"Origin": "null"}} {
			c := form(fmt.Sprintf("/%s/-/packages/%d/delete", p.PathWithNamespace, id), url.Values{"confirm": {k.name + " " + k.version}})
			for key, value := range header {
				c.header[key] = value
			}
			c.as = session
			if a := w.send(c); a.status != 403 {
				w.Errorf("%s: %d", name, a.status)
			}
			if !w.there(fmt.Sprintf("/projects/%d/packages/%d", p.ID, id)) {
				w.Fatalf("%s: the package is gone", name)
			}
		}
	})
	w.sub("signing in leads to no other site", func(w *world) {
		for to, want := range map[string]string{
			"/-/profile?x=1": "/-/profile?x=1", "": "/", "https://example.com/": "/", "//example.com/": "/", `/\example.com`: "/", "/%0d%0aX: y": "/%0d%0aX: y", "/\r\nX: y": "/",
			"javascript:alert(1)": "/", "/-/sign_in?to=/": "/", "example.com": "/", "\t//example.com": "/", "/\t/example.com": "/",
		} {
			a := w.send(form("/-/sign_in", url.Values{"username": {u.Username}, "password": {u.Password}, "to": {to}}))
			if got := a.header.Get("Location"); a.status != 303 || got != want {
				w.Errorf("to %q: %d, led to %q, want %q", to, a.status, got, want)
			}
		}
	})
	w.sub("a message is one of ours", func(w *world) {
		a := w.send(call{path: "/", header: map[string]string{"Cookie": "flash=" + url.QueryEscape("Your account is locked, call us")}})
		if strings.Contains(string(a.body), "is locked") {
			w.Error("a text of somebody else is shown")
		}
	})
	w.sub("a session ends when it is ended, by whatever", func(w *world) {
		for what, end := range map[string]func(u user, s credential){
			"signing out": func(_ user, s credential) {
				c := form("/-/sign_out", nil)
				c.as = s
				w.send(c).want(w, 303)
			},
			"another password": func(u user, _ credential) {
				w.send(call{method: "PUT", path: fmt.Sprintf("/api/v4/users/%d", u.ID), as: w.root(), body: map[string]any{"password": secret(harness.Random())}}).must(w, 200)
			},
			"a block":   func(u user, _ credential) { w.ask(w.root(), "POST", fmt.Sprintf("/users/%d/block", u.ID)).must(w, 201) },
			"a removal": func(u user, _ credential) { w.ask(w.root(), "DELETE", fmt.Sprintf("/users/%d", u.ID)).must(w, 204) },
		} {
			u := w.user()
			s := w.signIn(u)
			w.send(call{path: "/-/profile", as: s}).want(w, 200)
			end(u, s)
			if a := w.send(call{path: "/-/profile", as: s}); a.status != 303 {
				w.Errorf("after %s: %d", what, a.status)
			}
		}
	})
	w.sub("the secret of a session opens no API, and no token a page", func(w *world) {
		_, text, _ := strings.Cut(session.value, "=")
		w.send(call{path: "/api/v4/user", as: private(text)}).want(w, 401)
		w.send(call{path: "/api/v4/user", as: session}).want(w, 401)
		w.send(call{path: "/-/profile", as: credential{header: cookie, value: "session=" + u.token}}).want(w, 303)
	})
	w.sub("passwords are not tried for ever", func(w *world) {
		u := w.user()
		limited := false
		for range 40 {
			if a := w.send(form("/-/sign_in", url.Values{"username": {u.Username}, "password": {wrong()}})); a.status == 429 {
				limited = true
				break
			}
		}
		if !limited {
			w.Error("forty wrong passwords, and no end")
		}
	})
	w.sub("what is too large, or no form, is refused", func(w *world) {
		c := form("/-/profile", url.Values{"name": {strings.Repeat("x", 1<<20)}})
		c.as = session
		w.send(c).want(w, 400)
		c = form("/-/profile", url.Values{"name": {"\x00"}})
		c.as = session
		w.send(c).want(w, 422)
		w.send(call{path: "/" + p.PathWithNamespace + "/-/packages?name=%00&page=-1&sort=x&type=y&version=" + strings.Repeat("x", 2000), as: session}).want(w, 200)
		w.send(call{path: "/" + p.PathWithNamespace + "/-/packages?page=99999999999999999999", as: session}).want(w, 200)
		w.send(call{path: "/-/search?q=" + url.QueryEscape(strings.Repeat("a% ", 100)), as: session}).want(w, 200)
	})
}

// Under TLS the cookie is for this very host, and never sent in clear.
func TestPagesUnderTLS(t *testing.T) {
	cert, key, roots := certificate(t)
	w := own(t, harness.Config{Args: []string{"--tls-cert", cert, "--tls-key", key}})
	w.client = &http.Client{CheckRedirect: client.CheckRedirect, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	a := w.send(form("/-/sign_in", url.Values{"username": {"root"}, "password": {w.server.RootPassword}})).want(w, 303)
	found := false
	for _, line := range a.header.Values("Set-Cookie") {
		if set, err := http.ParseSetCookie(line); err == nil && set.Name == "__Host-session" {
			found = true
			secret(set.Value)
			if !set.Secure || !set.HttpOnly || set.SameSite != http.SameSiteLaxMode || set.Domain != "" || set.Path != "/" {
				w.Errorf("the cookie %s", strings.Replace(line, set.Value, "…", 1))
			}
		}
	}
	if !found {
		w.Error("no cookie of the host")
	}
}

func (w *world) decode(text []byte, into any) {
	w.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		w.Fatalf("%v in %s", err, text)
	}
}

// What cannot be taken back is asked first: a form that says nothing of that is answered by a page with the question, or by the form again where a
// name has to be typed; and it changes nothing. Rows that say yes are those of the matrix.
func TestPagesAsk(t *testing.T) {
	w := newWorld(t)
	them := w.people()
	session := w.signIn(user{User: harness.User{Username: "root", Password: w.server.RootPassword}})
	sites := map[kind]*site{inProjects: w.site(inProjects, harness.Private, "enabled", them), inGroups: w.site(inGroups, harness.Private, "enabled", them)}
	sites[onServer] = sites[inProjects]
	final := regexp.MustCompile(`/(revoke|rotate|remove|delete|yank|unlist|run|state|transfer)$`)
	asked := map[string]bool{}
	for _, r := range pageRows() {
		if !final.MatchString(r.pattern) {
			continue
		}
		w.sub(r.pattern, func(w *world) {
			try := r.try(w, sites[r.at], nil)
			fields, err := url.ParseQuery(try.body.(string))
			if err != nil || !fields.Has("sure") && !fields.Has("confirm") {
				w.Fatalf("the matrix sends %v: %v", fields, err)
			}
			typed := fields.Has("confirm")
			fields.Del("sure")
			fields.Del("confirm")
			fields.Set("what", `<b>"it"</b>`)
			try.body, try.as = fields.Encode(), session
			a := w.send(try.call)
			w.pageAlways(a)
			switch asks := strings.Contains(string(a.body), `name="sure"`); {
			case strings.Contains(string(a.body), `<b>"it"`):
				w.Errorf("what the form is about is not escaped: %s", a.body)
			case typed && !asks && (a.status == http.StatusUnprocessableEntity || a.status == http.StatusBadRequest) && strings.Contains(string(a.body), "another one"):
			case !typed && asks && a.status == http.StatusOK:
				asked[r.pattern] = true
			default:
				w.Errorf("%d, and asks: %t: %s", a.status, asks, a.body)
			}
			if try.done != nil && try.done(w) {
				w.Error("it was done without being asked")
			}
		})
	}
	if len(asked) < 12 {
		t.Errorf("only %d forms were asked", len(asked))
	}
}
