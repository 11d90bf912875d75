package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packhouse/test/harness"
)

// Passwords are checked so many times a minute only, hence the server of its
// own.
func TestLegacyLogin(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--log-level", "debug"}})
	p := w.project(w.group(harness.Private), harness.Private)
	ada := w.member(p, harness.Developer)
	login := func(name, password string, more map[string]any) *answer {
		body := map[string]any{"_id": "org.couchdb.user:" + name, "name": name, "password": secret(password), "type": "user", "roles": []any{}, "date": "2026-01-01T00:00:00.000Z"}
		for key, value := range more {
			body[key] = value
		}
		return w.send(call{method: "PUT", path: p.prefix() + "/-/user/org.couchdb.user:" + name, body: body})
	}
	var token string
	w.sub("the right password gives a token, with which one publishes", func(w *world) {
		a := login(ada.Username, ada.Password, map[string]any{"email": "ada@example.com"}).must(w, 201)
		body := a.object(w)
		token = secret(a.says("token"))
		if body["ok"] != true || body["id"] != "org.couchdb.user:"+ada.Username || token == "" {
			w.Fatalf("%s", a.body)
		}
		if a.header.Get("Content-Type") != "application/json" {
			w.Errorf("Content-Type %q", a.header.Get("Content-Type"))
		}
		w.send(call{path: p.prefix() + "/-/whoami", as: bearer(token)}).want(w, 200).is(w, `{"username":"`+ada.Username+`"}`)
		w.publish(p, bearer(token), newPack())
	})
	w.sub("a stale token beside the password does no harm", func(w *world) {
		a := w.send(call{method: "PUT", path: p.prefix() + "/-/user/org.couchdb.user:" + ada.Username, as: bearer(wrong()), body: map[string]any{"name": ada.Username, "password": ada.Password}}).want(w, 201)
		secret(a.says("token"))
	})
	w.sub("with a revision, as old clients ask again", func(w *world) {
		a := w.send(call{method: "PUT", path: p.prefix() + "/-/user/org.couchdb.user:" + ada.Username + "/-rev/1", body: map[string]any{"name": ada.Username, "password": ada.Password}}).want(w, 201)
		secret(a.says("token"))
	})
	for what, try := range map[string]func() *answer{
		"a wrong password":            func() *answer { return login(ada.Username, wrong(), nil) },
		"an empty password":           func() *answer { return login(ada.Username, "", nil) },
		"an unknown user":             func() *answer { return login("nobody-"+harness.Random(), wrong(), nil) },
		"a token for a password":      func() *answer { return login(ada.Username, ada.token, nil) },
		"another name than the URL's": func() *answer { return login(ada.Username, ada.Password, map[string]any{"name": "root"}) },
	} {
		w.sub("refused: "+what, func(w *world) {
			a := try()
			if a.status != 401 && !(a.status == 400 && strings.HasPrefix(what, "another")) || a.says("token") != "" {
				w.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	for what, body := range map[string]any{"no body": nil, "no JSON": "x", "a list": "[]", "a number for a password": map[string]any{"name": ada.Username, "password": 12345678}} {
		w.sub("refused: "+what, func(w *world) {
			a := w.send(call{method: "PUT", path: p.prefix() + "/-/user/org.couchdb.user:" + ada.Username, body: body})
			if a.status != 400 && a.status != 401 {
				w.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	w.sub("logout ends the token at once", func(w *world) {
		w.send(call{path: p.prefix() + "/-/whoami", as: bearer(token)}).must(w, 200)
		if a := w.send(call{method: "DELETE", path: p.prefix() + "/-/user/token/" + token, as: bearer(token)}); a.status/100 != 2 {
			w.Errorf("%s: %d", a.call, a.status)
		}
		w.send(call{path: p.prefix() + "/-/whoami", as: bearer(token)}).want(w, 401)
		w.publishing(p, bearer(token), newPack().document(), "x").want(w, 401)
		w.send(call{path: p.prefix() + "/-/whoami", as: ada.as()}).want(w, 200)
	})
	w.sub("logout with a token that is none", func(w *world) {
		w.send(call{method: "DELETE", path: p.prefix() + "/-/user/token/" + wrong(), as: ada.as()}).want(w, 404)
		w.send(call{method: "DELETE", path: p.prefix() + "/-/user/token/" + secret(ada.token)}).want(w, 401)
		w.send(call{path: p.prefix() + "/-/whoami", as: ada.as()}).want(w, 200)
	})
	// Last: all attempts are used up.
	w.sub("passwords cannot be tried without end", func(w *world) {
		limited := 0
		for _, a := range w.race(60, func(int) call {
			return call{method: "PUT", path: p.prefix() + "/-/user/org.couchdb.user:" + ada.Username, body: map[string]string{"name": ada.Username, "password": wrong()}}
		}) {
			if a.status != http.StatusTooManyRequests {
				a.want(w, http.StatusUnauthorized)
				continue
			}
			limited++
			if a.refused(w, http.StatusTooManyRequests, ""); a.header.Get("Retry-After") == "" {
				w.Error("no Retry-After")
			}
		}
		if limited == 0 {
			w.Error("60 passwords were tried at once")
		}
		w.send(call{path: p.prefix() + "/-/whoami", as: ada.as()}).want(w, 200)
	})
}

func TestWebLogin(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--log-level", "debug"}})
	p := w.project(w.group(harness.Private), harness.Private)
	ada := w.member(p, harness.Developer)
	// begin is what npm login does first.
	begin := func(w *world, as credential) (loginPath, donePath string) {
		w.Helper()
		a := w.send(call{method: "POST", path: p.prefix() + "/-/v1/login", as: as, body: map[string]string{"hostname": "ada's laptop"}}).must(w, 200)
		var paths [2]string
		for i, key := range []string{"loginUrl", "doneUrl"} {
			path, ok := strings.CutPrefix(a.says(key), w.server.URL)
			if !ok {
				w.Fatalf("%s is %q", key, a.says(key))
			}
			paths[i] = path
		}
		secret(paths[1][strings.LastIndexByte(paths[1], '/')+1:])
		return paths[0], paths[1]
	}
	poll := func(w *world, path string) *answer { return w.send(call{path: path}) }
	form := func(w *world, path, name, password string, header map[string]string) *answer {
		all := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
		for key, value := range header {
			all[key] = value
		}
		return w.send(call{method: "POST", path: path, header: all, body: url.Values{"username": {name}, "password": {secret(password)}}.Encode()})
	}
	waits := func(w *world, path string) {
		w.Helper()
		a := poll(w, path).want(w, 202)
		if a.header.Get("Retry-After") == "" {
			w.Error("no Retry-After")
		}
		if a.says("token") != "" {
			w.Error("a token before anybody signed in")
		}
	}

	w.sub("202 until one has signed in, then the token, once", func(w *world) {
		page, done := begin(w, anonymous)
		waits(w, done)
		waits(w, done)
		a := w.send(call{path: page}).must(w, 200)
		if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") || !bytes.Contains(a.body, []byte(`name="username"`)) || !bytes.Contains(a.body, []byte(`name="password"`)) {
			w.Errorf("%s: no form\n%s", kind, a.body)
		}
		if !strings.Contains(a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || !strings.Contains(a.header.Get("Cache-Control"), "no-store") {
			w.Errorf("headers %v", a.header)
		}
		form(w, page, ada.Username, wrong(), nil).want(w, 401)
		waits(w, done)
		form(w, page, ada.Username, ada.Password, nil).want(w, 200)
		token := secret(poll(w, done).must(w, 200).says("token"))
		w.send(call{path: p.prefix() + "/-/whoami", as: bearer(token)}).want(w, 200).is(w, `{"username":"`+ada.Username+`"}`)
		w.publish(p, bearer(token), newPack())
		if again := poll(w, done); again.status < 400 || again.says("token") != "" {
			w.Errorf("a second time: %d %s", again.status, again.body)
		}
		if over := w.send(call{path: page}); over.status != 404 && bytes.Contains(over.body, []byte("<form")) {
			w.Errorf("the form is still open: %d", over.status)
		}
		if over := form(w, page, ada.Username, ada.Password, nil); over.status < 400 {
			w.Errorf("the form still signs in: %d", over.status)
		}
	})
	w.sub("of many who ask at once one gets the token", func(w *world) {
		page, done := begin(w, anonymous)
		form(w, page, ada.Username, ada.Password, nil).must(w, 200)
		tokens := 0
		for _, a := range w.race(10, func(int) call { return call{path: done} }) {
			if token := a.says("token"); token != "" {
				secret(token)
				tokens++
			}
		}
		if tokens != 1 {
			w.Errorf("%d tokens", tokens)
		}
	})
	w.sub("the person's address does not open the client's", func(w *world) {
		page, done := begin(w, anonymous)
		id := page[strings.LastIndexByte(page, '/')+1:]
		at := done[strings.LastIndexByte(done, '/')+1:]
		if id == at {
			w.Error("both have the same secret")
		}
		form(w, page, ada.Username, ada.Password, nil).must(w, 200)
		w.send(call{path: strings.Replace(done, at, id, 1)}).want(w, 404)
		secret(poll(w, done).must(w, 200).says("token"))
	})
	w.sub("a stale token in the client's configuration does no harm", func(w *world) {
		page, done := begin(w, bearer(wrong()))
		form(w, page, ada.Username, ada.Password, nil).must(w, 200)
		secret(w.send(call{path: done, as: bearer(wrong())}).must(w, 200).says("token"))
	})
	w.sub("another site cannot send the form", func(w *world) {
		page, done := begin(w, anonymous)
		form(w, page, ada.Username, ada.Password, map[string]string{"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"}).want(w, 403)
		waits(w, done)
	})
	w.sub("an unknown sign-in", func(w *world) {
		w.send(call{path: p.prefix() + "/-/v1/done/" + wrong()}).want(w, 404)
		w.send(call{path: "/-/login/" + wrong()}).want(w, 404)
		w.send(call{path: "/-/login/zz"}).want(w, 404)
	})
}

func TestTokens(t *testing.T) {
	w := own(t, harness.Config{})
	p := w.project(w.group(harness.Private), harness.Private)
	ada, eve := w.member(p, harness.Developer), w.member(p, harness.Developer)
	path := p.prefix() + "/-/npm/v1/tokens"
	list := func(w *world, as credential) []map[string]any {
		w.Helper()
		var body struct {
			Objects []map[string]any
			Total   int
		}
		a := w.send(call{path: path, as: as}).must(w, 200)
		if err := json.Unmarshal(a.body, &body); err != nil || body.Total != len(body.Objects) {
			w.Fatalf("%v in %s", err, a.body)
		}
		for text := range map[string]bool{ada.token: true, eve.token: true} {
			if bytes.Contains(a.body, []byte(text)) {
				w.Error("the list shows a whole token")
			}
		}
		return body.Objects
	}
	create := func(w *world, body map[string]any) map[string]any {
		w.Helper()
		a := w.send(call{method: "POST", path: path, as: ada.as(), body: body})
		if a.status != 200 && a.status != 201 {
			w.Fatalf("%d %s", a.status, a.body)
		}
		secret(a.says("token"))
		return a.object(w)
	}
	w.sub("one's own tokens are listed", func(w *world) {
		mine := list(w, ada.as())
		if len(mine) != 1 {
			w.Fatalf("%v", mine)
		}
		for _, key := range []string{"key", "token", "created"} {
			if text, _ := mine[0][key].(string); text == "" {
				w.Errorf("no %s in %v", key, mine[0])
			}
		}
		if mine[0]["readonly"] != false {
			w.Errorf("readonly %v", mine[0]["readonly"])
		}
	})
	w.sub("made with the password, used, revoked by its key", func(w *world) {
		made := create(w, map[string]any{"password": ada.Password, "readonly": false, "cidr_whitelist": []any{}})
		token, _ := made["token"].(string)
		key, _ := made["key"].(string)
		w.publish(p, bearer(token), newPack())
		if got := len(list(w, ada.as())); got != 2 {
			w.Errorf("%d tokens", got)
		}
		w.send(call{method: "DELETE", path: path + "/token/" + key, as: eve.as()}).want(w, 404)
		w.send(call{path: p.prefix() + "/-/whoami", as: bearer(token)}).want(w, 200)
		w.send(call{method: "DELETE", path: path + "/token/" + key, as: ada.as()}).want(w, 204)
		w.send(call{path: p.prefix() + "/-/whoami", as: bearer(token)}).want(w, 401)
		if got := len(list(w, ada.as())); got != 1 {
			w.Errorf("%d tokens", got)
		}
	})
	w.sub("revoked by the token itself", func(w *world) {
		token, _ := create(w, map[string]any{"password": ada.Password})["token"].(string)
		w.send(call{method: "DELETE", path: path + "/token/" + token, as: ada.as()}).want(w, 204)
		w.send(call{path: p.prefix() + "/-/whoami", as: bearer(token)}).want(w, 401)
	})
	w.sub("one that may only read reads only", func(w *world) {
		made := create(w, map[string]any{"password": ada.Password, "readonly": true})
		token, _ := made["token"].(string)
		if made["readonly"] != true {
			w.Errorf("%v", made)
		}
		k := newPack()
		w.publish(p, w.root(), k)
		w.send(call{path: p.prefix() + "/" + k.name, as: bearer(token)}).want(w, 200)
		mine := newPack()
		w.publishing(p, bearer(token), mine.document(), mine.name).want(w, 403)
		w.send(call{method: "POST", path: path, as: bearer(token), body: map[string]any{"password": ada.Password}}).want(w, 403)
	})
	w.sub("refused with a wrong password", func(w *world) {
		before := len(list(w, ada.as()))
		w.send(call{method: "POST", path: path, as: ada.as(), body: map[string]any{"password": wrong()}}).want(w, 401)
		w.send(call{method: "POST", path: path, as: ada.as(), body: map[string]any{"password": eve.Password}}).want(w, 401)
		if got := len(list(w, ada.as())); got != before {
			w.Errorf("%d tokens", got)
		}
	})
	w.sub("an address list that cannot be kept is refused, not dropped", func(w *world) {
		a := w.send(call{method: "POST", path: path, as: ada.as(), body: map[string]any{"password": ada.Password, "cidr_whitelist": []string{"10.0.0.0/8"}}})
		if a.status < 400 {
			secret(a.says("token"))
			if fmt.Sprint(a.object(w)["cidr_whitelist"]) != "[10.0.0.0/8]" {
				w.Errorf("%d %s", a.status, a.body)
			}
		}
	})
	w.sub("for those who are signed in", func(w *world) {
		for _, as := range []credential{anonymous, bearer(wrong()), deploy(w.deployToken(p, "read_package_registry"))} {
			for _, c := range []call{{path: path}, {method: "POST", path: path, body: map[string]any{"password": ada.Password}}, {method: "DELETE", path: path + "/token/" + strings.Repeat("0", 64)}} {
				c.as = as
				if a := w.send(c); a.status != 401 && a.status != 403 {
					w.Errorf("%s: %d", a.call, a.status)
				}
			}
		}
		w.send(call{method: "DELETE", path: path + "/token/" + strings.Repeat("0", 64), as: ada.as()}).want(w, 404)
	})
}

func TestWhoami(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Private)
	p := w.project(home, harness.Private)
	ada := w.member(p, harness.Developer)
	for _, prefix := range []string{p.prefix(), home.prefix(), instance} {
		for what, as := range map[string]credential{
			"PRIVATE-TOKEN": private(ada.token), "Bearer": bearer(ada.token), "Basic": basic(ada.Username, ada.token), "a job": job(w.jobToken(p, ada, 600)), "a token that may read": private(w.personal(ada, "read_api")),
		} {
			w.sub(what+" is its user", func(w *world) {
				w.send(call{path: prefix + "/-/whoami", as: as}).want(w, 200).is(w, `{"username":"`+ada.Username+`"}`)
			})
		}
		w.sub("nobody is nobody", func(w *world) { w.send(call{path: prefix + "/-/whoami"}).want(w, 401) })
		w.sub("ping", func(w *world) {
			w.send(call{path: prefix + "/-/ping"}).want(w, 200).is(w, `{}`)
			w.send(call{path: prefix + "/-/ping?write=true", as: ada.as()}).want(w, 200).is(w, `{}`)
			w.send(call{method: "HEAD", path: prefix + "/-/ping"}).want(w, 200)
			w.send(call{path: prefix + "/-/ping", as: bearer(wrong())}).want(w, 401)
		})
	}
	w.sub("a deploy token has a name", func(w *world) {
		if name := w.send(call{path: p.prefix() + "/-/whoami", as: deploy(w.deployToken(p, "read_package_registry"))}).want(w, 200).says("username"); name == "" {
			w.Error("no name")
		}
	})
	w.sub("the profile of npm profile get", func(w *world) {
		a := w.send(call{path: p.prefix() + "/-/npm/v1/user", as: ada.as()}).want(w, 200)
		if a.says("name") != ada.Username || a.says("email") != ada.Email {
			w.Errorf("%s", a.body)
		}
		w.send(call{path: p.prefix() + "/-/npm/v1/user"}).want(w, 401)
	})
}

func TestSearch(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	open, shut := w.project(home, harness.Public), w.project(home, harness.Private)
	member := w.member(shut, harness.Guest)
	mark := "mark" + harness.Random()[:8] // in all names of this test
	put := func(p project, k pack) { w.publish(p, w.root(), k) }
	k := named("@" + home.Path + "/" + mark + "-one")
	k.fields = map[string]any{"description": "Finds a Needle in 100% of cases", "keywords": []string{"haystack", "pin_cushion"}, "author": map[string]string{"name": "Ada"},
		"homepage": "https://example.com/one", "repository": map[string]string{"type": "git", "url": "git+https://example.com/one.git"}, "license": "MIT"}
	put(open, k)
	k.fields["description"] = "Newer"
	put(open, k.at("1.1.0"))
	put(open, named(mark+"-two"))
	put(open, named(mark+"-three"))
	put(shut, named(mark+"-hidden"))

	names := func(w *world, prefix, query string, as credential) []string {
		w.Helper()
		body := w.send(call{path: prefix + "/-/v1/search?" + query, as: as}).must(w, 200).object(w)
		found := []string{}
		list, _ := body["objects"].([]any)
		for _, object := range list {
			name, _ := at(object, "package", "name").(string)
			found = append(found, strings.TrimPrefix(name[strings.IndexByte(name, '/')+1:], mark+"-"))
		}
		slices.Sort(found)
		return found
	}
	for _, row := range []struct {
		what   string
		prefix string
		query  string
		as     credential
		want   []string
	}{
		{"by name, for nobody", home.prefix(), "text=" + mark, anonymous, []string{"one", "three", "two"}},
		{"by name, for a guest of the hidden project", home.prefix(), "text=" + mark, member.as(), []string{"hidden", "one", "three", "two"}},
		{"by name, for an administrator", home.prefix(), "text=" + mark, w.root(), []string{"hidden", "one", "three", "two"}},
		{"in one project", open.prefix(), "text=" + mark, member.as(), []string{"one", "three", "two"}},
		{"in the hidden one", shut.prefix(), "text=" + mark, member.as(), []string{"hidden"}},
		{"in the instance, for nobody", instance, "text=" + mark, anonymous, []string{"one", "three", "two"}},
		{"in the instance, for a guest of the hidden project", instance, "text=" + mark, member.as(), []string{"hidden", "one", "three", "two"}},
		{"in capitals", home.prefix(), "text=" + strings.ToUpper(mark), anonymous, []string{"one", "three", "two"}},
		{"by several words", home.prefix(), "text=" + mark + "+two", anonymous, []string{"two"}},
		{"by a keyword", home.prefix(), "text=haystack+" + mark, anonymous, []string{"one"}},
		{"by keywords:", home.prefix(), "text=keywords:haystack+" + mark, anonymous, []string{"one"}},
		{"by the newest description", home.prefix(), "text=newer+" + mark, anonymous, []string{"one"}},
		{"not by an old description", home.prefix(), "text=needle+" + mark, anonymous, []string{}},
		{"with a character of patterns that nothing has", home.prefix(), "text=" + mark + "%25", anonymous, []string{}},
		{"with an underscore, which is one", home.prefix(), "text=pin_cushion+" + mark, anonymous, []string{"one"}},
		{"with an underscore for any letter", home.prefix(), "text=pinXcushion+" + mark, anonymous, []string{}},
		{"for nothing", home.prefix(), "text=" + mark + "-nothing", anonymous, []string{}},
		{"behind the last", home.prefix(), "from=99&text=" + mark, anonymous, []string{}},
		{"of a page without room", home.prefix(), "size=0&text=" + mark, anonymous, []string{}},
		{"without a text, all", open.prefix(), "", anonymous, []string{"one", "three", "two"}},
		{"with what npm sends", home.prefix(), "text=" + mark + "&size=20&from=0&quality=0.65&popularity=0.98&maintenance=0.5", anonymous, []string{"one", "three", "two"}},
	} {
		w.sub("search "+row.what, func(w *world) {
			if diff := cmp.Diff(row.want, names(w, row.prefix, row.query, row.as)); diff != "" {
				w.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	w.sub("each is on one page", func(w *world) {
		all := []string{}
		for from := range 3 {
			page := names(w, home.prefix(), fmt.Sprintf("size=1&from=%d&text=%s", from, mark), anonymous)
			if len(page) != 1 {
				w.Errorf("page %d: %v", from, page)
			}
			all = append(all, page...)
		}
		slices.Sort(all)
		if diff := cmp.Diff([]string{"one", "three", "two"}, all); diff != "" {
			w.Errorf("(-want +got):\n%s", diff)
		}
	})
	w.sub("total counts what is on other pages", func(w *world) {
		body := w.send(call{path: home.prefix() + "/-/v1/search?size=1&text=" + mark}).must(w, 200).object(w)
		if body["total"] != 3.0 {
			w.Errorf("total %v", body["total"])
		}
		if moment, _ := body["time"].(string); moment == "" {
			w.Error("no time")
		}
	})
	w.sub("an object is what npm shows", func(w *world) {
		body := w.send(call{path: home.prefix() + "/-/v1/search?text=haystack+" + mark}).must(w, 200).object(w)
		object := body["objects"].([]any)[0]
		found := at(object, "package")
		for key, want := range map[string]any{
			"name": k.name, "version": "1.1.0", "description": "Newer", "keywords": []any{"haystack", "pin_cushion"}, "author": map[string]any{"name": "Ada"},
		} {
			if diff := cmp.Diff(want, at(found, key)); diff != "" {
				w.Errorf("%s: %s", key, diff)
			}
		}
		if date, _ := at(found, "date").(string); !isTime.MatchString(date) {
			w.Errorf("date %q", date)
		}
		if links, _ := at(found, "links", "homepage").(string); links != "https://example.com/one" {
			w.Errorf("links %v", at(found, "links"))
		}
		if people, _ := at(found, "maintainers").([]any); len(people) != 1 || at(people[0], "username") != "root" {
			w.Errorf("maintainers %v", at(found, "maintainers"))
		}
		if at(found, "publisher", "username") != "root" {
			w.Errorf("publisher %v", at(found, "publisher"))
		}
		for _, key := range []string{"quality", "popularity", "maintenance"} {
			if _, ok := at(object, "score", "detail", key).(float64); !ok {
				w.Errorf("no %s in %v", key, at(object, "score"))
			}
		}
		if _, ok := at(object, "searchScore").(float64); !ok {
			w.Error("no searchScore")
		}
	})
	for what, row := range map[string]struct {
		path   string
		as     credential
		status int
	}{
		"a private project by nobody":        {shut.prefix() + "/-/v1/search?text=x", anonymous, 401},
		"a private project by a stranger":    {shut.prefix() + "/-/v1/search?text=x", w.user().as(), 404},
		"a size that is none":                {open.prefix() + "/-/v1/search?size=x", anonymous, 400},
		"a place below zero":                 {open.prefix() + "/-/v1/search?from=-1", anonymous, 400},
		"a size beyond all":                  {open.prefix() + "/-/v1/search?size=1000000", anonymous, 200},
		"a text of ten thousand characters":  {open.prefix() + "/-/v1/search?text=" + strings.Repeat("x", 10_000), anonymous, 200},
		"a text with a quote and a NUL byte": {open.prefix() + "/-/v1/search?text=%27%22%00", anonymous, 200},
	} {
		w.sub("search in "+what, func(w *world) { w.send(call{path: row.path, as: row.as}).want(w, row.status) })
	}
}

func TestAudit(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Private)
	p := w.project(home, harness.Private)
	guest := w.member(p, harness.Guest)
	w.join(home.path(), guest, harness.Guest)
	bulk := []byte(`{"lodash":["4.17.20"],"@acme/hello":["1.0.0","2.0.0"]}`)
	quick := []byte(`{"name":"x","version":"1.0.0","requires":{"lodash":"1"},"dependencies":{"lodash":{"version":"4.17.20"}}}`)
	for name, prefix := range map[string]string{"project": p.prefix(), "group": home.prefix(), "instance": instance} {
		for _, packed := range []bool{false, true} {
			w.sub(fmt.Sprintf("bulk and quick at the %s prefix, gzip: %v", name, packed), func(w *world) {
				send := func(path string, body []byte) *answer {
					header := map[string]string{}
					if packed {
						body, header["Content-Encoding"] = zip(body), "gzip"
					}
					return w.send(call{method: "POST", path: prefix + path, as: guest.as(), header: header, body: body})
				}
				send("/-/npm/v1/security/advisories/bulk", bulk).want(w, 200).is(w, `{}`)
				report := send("/-/npm/v1/security/audits/quick", quick).want(w, 200).object(w)
				if list, ok := report["actions"].([]any); !ok || len(list) > 0 {
					w.Errorf("actions %v", report["actions"])
				}
				if advisories, ok := report["advisories"].(map[string]any); !ok || len(advisories) > 0 {
					w.Errorf("advisories %v", report["advisories"])
				}
				if len(keys(at(report, "metadata", "vulnerabilities"))) != 5 {
					w.Errorf("metadata %v", report["metadata"])
				}
			})
		}
	}
	open := w.open()
	path := "/-/npm/v1/security/advisories/bulk"
	for what, row := range map[string]struct {
		call   call
		status int
	}{
		"a private project by nobody": {call{path: p.prefix() + path, body: bulk}, 401},
		"a public project by nobody":  {call{path: open.prefix() + path, body: bulk}, 401}, // any login, as GitLab
		"a wrong token":               {call{path: open.prefix() + path, as: bearer(wrong()), body: bulk}, 401},
		"no JSON":                     {call{path: p.prefix() + path, as: guest.as(), body: "{"}, 400},
		"no gzip that says it is":     {call{path: p.prefix() + path, as: guest.as(), header: map[string]string{"Content-Encoding": "gzip"}, body: bulk}, 400},
		"gzip that is cut":            {call{path: p.prefix() + path, as: guest.as(), header: map[string]string{"Content-Encoding": "gzip"}, body: zip(bulk)[:20]}, 400},
		"GET":                         {call{path: p.prefix() + path, as: guest.as()}, 404},
	} {
		w.sub("audit of "+what, func(w *world) {
			if row.call.method = "POST"; what == "GET" {
				row.call.method = "GET"
				if a := w.send(row.call); a.status != 404 && a.status != 405 {
					w.Errorf("%d", a.status)
				}
				return
			}
			w.send(row.call).want(w, row.status)
		})
	}
	w.sub("a bomb in gzip is 413 and costs no memory to speak of", func(w *world) {
		body := append(zip([]byte(`{"a":"`)), bomb("a", 80)...)
		w.send(call{method: "POST", path: p.prefix() + path, as: guest.as(), header: map[string]string{"Content-Encoding": "gzip"}, body: body}).want(w, 413)
	})
}

func TestAccess(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Public)
	p := w.project(home, harness.Private)
	k := named("@" + home.Path + "/accessed")
	w.publish(p, w.root(), k)
	owner := w.user()
	w.join(home.path(), owner, harness.Owner)
	guest, developer := w.member(p, harness.Guest), w.member(p, harness.Developer)
	path := p.prefix() + "/-/package/" + escaped(k.name)
	w.sub("visibility", func(w *world) {
		w.send(call{path: path + "/visibility", as: guest.as()}).want(w, 200).is(w, `{"public":false}`)
		open := w.open()
		w.publish(open, w.root(), k)
		w.send(call{path: open.prefix() + "/-/package/" + escaped(k.name) + "/visibility"}).want(w, 200).is(w, `{"public":true}`)
		w.send(call{path: open.prefix() + "/-/package/nothing/visibility"}).want(w, 404)
	})
	w.sub("collaborators", func(w *world) {
		a := w.send(call{path: path + "/collaborators", as: guest.as()}).want(w, 200)
		got := a.object(w)
		delete(got, "root") // who made the group
		want := map[string]any{owner.Username: "read-write", developer.Username: "read-write", guest.Username: "read-only"}
		if diff := cmp.Diff(want, got); diff != "" {
			w.Errorf("(-want +got):\n%s", diff)
		}
		w.send(call{path: path + "/collaborators"}).want(w, 401)
	})
	w.sub("who owns is not npm's to change", func(w *world) {
		rev, _ := w.packument(p.prefix(), k.name, w.root())["_rev"].(string)
		a := w.send(call{method: "PUT", path: p.prefix() + "/" + escaped(k.name) + "/-rev/" + rev, as: w.root(), body: map[string]any{"_id": k.name, "_rev": rev, "maintainers": []any{}}})
		if a.status < 400 {
			w.Errorf("%d", a.status)
		}
		if got := w.versions(p.prefix(), k.name, w.root()); len(got) != 1 {
			w.Errorf("versions left: %v", got)
		}
	})
	w.sub("packages of a scope", func(w *world) {
		w.send(call{path: p.prefix() + "/-/org/" + home.Path + "/package", as: developer.as()}).want(w, 200).is(w, `{"`+k.name+`":"read-write"}`)
		w.send(call{path: p.prefix() + "/-/org/" + home.Path + "/package", as: guest.as()}).want(w, 200).is(w, `{"`+k.name+`":"read-only"}`)
	})
}
