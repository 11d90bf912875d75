package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"packhouse/test/harness"
)

// madeToken is a token as the API answers it when it is made.
type madeToken struct {
	ID        int64
	Name      string
	UserID    int64  `json:"user_id"`
	ExpiresAt string `json:"expires_at"`
	Token     string
}

// mint posts and decodes the token that is made.
func (w *world) mint(as credential, path string, body map[string]any) (made madeToken) {
	w.Helper()
	a := w.send(call{method: "POST", path: "/api/v4" + path, as: as, body: body})
	if a.status != 200 && a.status != 201 {
		w.Fatalf("%s: %d %s", a.call, a.status, a.body)
	}
	if err := json.Unmarshal(a.body, &made); err != nil {
		w.Fatal(err)
	}
	secret(made.Token)
	return made
}

// works tells whether a token opens the API.
func (w *world) works(text string) bool {
	w.Helper()
	switch a := w.send(call{path: "/api/v4/personal_access_tokens/self", as: private(text)}); a.status {
	case 200:
		return true
	case 401, 403:
	default:
		w.Errorf("%s: %d %s", a.call, a.status, a.body)
	}
	return false
}

func inDays(n int) string { return time.Now().UTC().AddDate(0, 0, n).Format(time.DateOnly) }

func TestTokenFilters(t *testing.T) {
	w := newWorld(t)
	u, eve := w.user(), w.user()
	path := fmt.Sprintf("/users/%d/personal_access_tokens", u.ID)
	for name, expires := range map[string]string{"Build": inDays(30), "old": inDays(-2), "long": inDays(365)} {
		w.mint(w.root(), path, map[string]any{"name": name, "scopes": []string{"read_api"}, "expires_at": expires})
	}
	doomed := w.mint(w.root(), path, map[string]any{"name": "doomed", "scopes": []string{"read_api"}, "expires_at": inDays(100)})
	w.send(call{method: "DELETE", path: fmt.Sprintf("/api/v4/personal_access_tokens/%d", doomed.ID), as: u.as()}).must(t, 204)
	w.mint(w.root(), fmt.Sprintf("/users/%d/impersonation_tokens", u.ID), map[string]any{"name": "impersonation", "scopes": []string{"api"}})
	for _, row := range []struct {
		query string
		want  string // sorted when it does not say how
	}{
		{"", "Build doomed long old test"},
		{"?state=active", "Build long test"},
		{"?state=inactive", "doomed old"},
		{"?revoked=true", "doomed"},
		{"?revoked=false", "Build long old test"},
		{"?revoked=false&state=inactive", "old"},
		{"?search=UIL", "Build"},
		{"?search=%25", ""},
		{"?created_after=2000-01-01", "Build doomed long old test"},
		{"?created_before=2000-01-01", ""},
		{"?expires_before=" + inDays(31), "Build old"},
		{"?expires_after=" + inDays(99) + "&expires_before=" + inDays(101), "doomed"},
		{"?expires_after=" + inDays(366), ""},
		{"?last_used_before=2100-01-01", "test"},
		{"?last_used_after=2100-01-01", ""},
		{"?sort=name_asc", "Build,doomed,long,old,test"},
		{"?sort=name_desc", "test,old,long,doomed,Build"},
		{"?sort=expires_asc&search=o", "old,doomed,long"},
		{"?sort=expires_desc&search=o", "long,doomed,old"},
		{"?sort=last_used_desc&per_page=1", "test"},
		{"?sort=created_asc&per_page=1", "test"},
		{"?sort=created_desc&per_page=1", "doomed"},
		{fmt.Sprintf("?user_id=%d", u.ID), "Build doomed long old test"},
	} {
		w.sub(row.query, func(w *world) {
			list := func() string {
				names := w.send(call{path: "/api/v4/personal_access_tokens" + row.query, as: u.as()}).names(w, "name")
				if !strings.Contains(row.query, "sort") {
					slices.Sort(names)
					return strings.Join(names, " ")
				}
				return strings.Join(names, ",")
			}
			if strings.Contains(row.query, "last_used") { // which is written now and then
				eventually(w, row.query, func() bool { return list() == row.want })
			}
			if got := list(); got != row.want {
				w.Errorf("%q, want %q", got, row.want)
			}
		})
	}
	for query, want := range map[string]string{
		"?sort=secret_asc": `{"error":"sort does not have a valid value"}`, "?revoked=perhaps": `{"error":"revoked is invalid"}`, "?expires_before=later": `{"error":"expires_before is invalid"}`,
	} {
		w.sub(query, func(w *world) {
			w.send(call{path: "/api/v4/personal_access_tokens" + query, as: u.as()}).want(w, 400).is(w, want)
		})
	}
	w.sub("of others, for administrators", func(w *world) {
		w.send(call{path: fmt.Sprintf("/api/v4/personal_access_tokens?user_id=%d", u.ID), as: eve.as()}).want(w, 401)
		a := w.send(call{path: fmt.Sprintf("/api/v4/personal_access_tokens?user_id=%d", u.ID), as: w.root()})
		if got := a.names(w, "name"); len(got) != 5 {
			w.Errorf("%v", got)
		}
	})
}

func TestOwnTokens(t *testing.T) {
	w := newWorld(t)
	u := w.user()
	const path = "/user/personal_access_tokens"
	w.sub("of one day, for next to nothing", func(w *world) {
		made := w.mint(u.as(), path, map[string]any{"name": "n", "scopes": []string{"self_rotate", "k8s_proxy"}})
		if made.UserID != u.ID || made.ExpiresAt != inDays(1) {
			w.Errorf("%+v", made)
		}
		w.send(call{path: "/api/v4/user", as: private(made.Token)}).want(w, 403)
		w.send(call{path: "/api/v4/personal_access_tokens/self", as: private(made.Token)}).want(w, 200)
	})
	for what, row := range map[string]struct {
		as     credential
		body   map[string]any
		status int
	}{
		"more than that":    {u.as(), map[string]any{"name": "n", "scopes": []string{"api"}}, 400},
		"nothing":           {u.as(), map[string]any{"name": "n", "scopes": []string{}}, 400},
		"without a name":    {u.as(), map[string]any{"scopes": []string{"self_rotate"}}, 400},
		"for too long":      {u.as(), map[string]any{"name": "n", "scopes": []string{"self_rotate"}, "expires_at": inDays(366)}, 400},
		"by one that reads": {private(w.personal(u, "read_api")), map[string]any{"name": "n", "scopes": []string{"self_rotate"}}, 403},
		"by nobody":         {anonymous, map[string]any{"name": "n", "scopes": []string{"self_rotate"}}, 401},
	} {
		w.sub("refused: "+what, func(w *world) {
			w.send(call{method: "POST", path: "/api/v4" + path, as: row.as, body: row.body}).want(w, row.status)
		})
	}
}

func TestRotation(t *testing.T) {
	w := newWorld(t)
	p := w.project(w.group(harness.Private), harness.Private)
	u, eve := w.member(p, harness.Developer), w.user()
	one := func(id int64) string { return fmt.Sprintf("/personal_access_tokens/%d", id) }
	fresh := func(w *world, scopes ...string) madeToken {
		w.Helper()
		return w.mint(w.root(), fmt.Sprintf("/users/%d/personal_access_tokens", u.ID), map[string]any{"name": "line", "description": "of tokens", "scopes": scopes})
	}
	w.sub("a new text, the old one ends at once", func(w *world) {
		for what, rotate := range map[string]func(madeToken) *answer{
			"itself": func(t madeToken) *answer {
				return w.send(call{method: "POST", path: "/api/v4/personal_access_tokens/self/rotate", as: private(t.Token)})
			},
			"its owner": func(t madeToken) *answer {
				return w.send(call{method: "POST", path: "/api/v4" + one(t.ID) + "/rotate", as: u.as()})
			},
			"an administrator": func(t madeToken) *answer {
				return w.send(call{method: "POST", path: "/api/v4" + one(t.ID) + "/rotate", as: w.root()})
			},
		} {
			old := fresh(w, "api", "self_rotate")
			if !w.works(old.Token) {
				w.Error("does not work at first")
			}
			a := rotate(old).must(w, 200)
			made := a.object(w)
			text := secret(a.says("token"))
			for field, want := range map[string]any{"name": "line", "description": "of tokens", "revoked": false, "active": true, "last_used_at": nil, "expires_at": inDays(7), "user_id": float64(u.ID)} {
				if made[field] != want {
					w.Errorf("by %s: %s is %v, want %v", what, field, made[field], want)
				}
			}
			if fmt.Sprint(made["scopes"]) != "[api self_rotate]" || !strings.HasPrefix(text, "php_") {
				w.Errorf("by %s: %s", what, a.body)
			}
			if w.works(old.Token) || !w.works(text) {
				w.Errorf("by %s: the old one works: %v, the new one: %v", what, w.works(old.Token), w.works(text))
			}
			if w.field(one(old.ID), "revoked") != true {
				w.Error("the old one is not revoked")
			}
		}
	})
	w.sub("until a day", func(w *world) {
		if made := w.mint(u.as(), one(fresh(w, "api").ID)+"/rotate", map[string]any{"expires_at": inDays(365)}); made.ExpiresAt != inDays(365) {
			w.Errorf("%+v", made)
		}
		old := fresh(w, "api")
		w.send(call{method: "POST", path: "/api/v4" + one(old.ID) + "/rotate", as: u.as(), body: map[string]any{"expires_at": inDays(366)}}).want(w, 400).
			is(w, fmt.Sprintf(`{"message":{"expires_at":["must be before %s"]}}`, inDays(366)))
		w.send(call{method: "POST", path: "/api/v4" + one(old.ID) + "/rotate", as: u.as(), body: map[string]any{"expires_at": "soon"}}).want(w, 400).is(w, `{"error":"expires_at is invalid"}`)
		if !w.works(old.Token) {
			w.Error("a refused rotation ended it")
		}
	})
	w.sub("with the scope self_rotate alone", func(w *world) {
		old := fresh(w, "read_api", "self_rotate")
		made := w.mint(private(old.Token), "/personal_access_tokens/self/rotate", nil)
		w.send(call{path: "/api/v4/user", as: private(made.Token)}).want(w, 200)
		w.send(call{method: "POST", path: "/api/v4" + one(made.ID) + "/rotate", as: private(made.Token)}).want(w, 403) // by its id takes api
		reader := fresh(w, "read_api")
		w.send(call{method: "POST", path: "/api/v4/personal_access_tokens/self/rotate", as: private(reader.Token)}).want(w, 403).
			is(w, `{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api self_rotate"}`)
	})
	w.sub("refused", func(w *world) {
		revoked := fresh(w, "api")
		w.send(call{method: "DELETE", path: "/api/v4" + one(revoked.ID), as: u.as()}).must(w, 204)
		expired := w.mint(w.root(), fmt.Sprintf("/users/%d/personal_access_tokens", u.ID), map[string]any{"name": "old", "scopes": []string{"api"}, "expires_at": inDays(-1)})
		mine := fresh(w, "api")
		for what, row := range map[string]struct {
			path   string
			as     credential
			status int
		}{
			"one that is revoked":                        {one(revoked.ID), u.as(), 401},
			"one that has expired":                       {one(expired.ID), u.as(), 401},
			"one that has expired, by an administrator":  {one(expired.ID), w.root(), 401},
			"somebody else's":                            {one(mine.ID), eve.as(), 401},
			"one that is not there":                      {one(99999999), u.as(), 401},
			"one that is not there, by an administrator": {one(99999999), w.root(), 404},
			"by nobody":                                  {one(mine.ID), anonymous, 401},
			"by a wrong token":                           {one(mine.ID), private(wrong()), 401},
			"by a job":                                   {one(mine.ID), job(w.jobToken(p, u, 60)), 401},
			"a job itself":                               {"/personal_access_tokens/self", job(w.jobToken(p, u, 60)), 405},
			"a deploy token itself":                      {"/personal_access_tokens/self", deploy(w.deployToken(p, "read_package_registry")), 405},
			"nobody itself":                              {"/personal_access_tokens/self", anonymous, 401},
			"an expired one itself":                      {"/personal_access_tokens/self", private(expired.Token), 401},
		} {
			a := w.send(call{method: "POST", path: "/api/v4" + row.path + "/rotate", as: row.as})
			if a.status != row.status {
				w.Errorf("%s: %d, want %d: %s", what, a.status, row.status, a.body)
			}
		}
		if !w.works(mine.Token) {
			w.Error("a refused rotation ended it")
		}
	})
	w.sub("of many at once, one wins, and what it got works", func(w *world) {
		for range 3 {
			old := fresh(w, "api")
			won := []string{}
			for _, a := range w.race(10, func(int) call { return call{method: "POST", path: "/api/v4" + one(old.ID) + "/rotate", as: u.as()} }) {
				switch a.status {
				case 200:
					won = append(won, secret(a.says("token")))
				case 401:
				default:
					w.Errorf("%d %s", a.status, a.body)
				}
			}
			if len(won) != 1 {
				w.Fatalf("%d won", len(won))
			}
			if !w.works(won[0]) || w.works(old.Token) {
				w.Errorf("the new one works: %v, the old one: %v", w.works(won[0]), w.works(old.Token))
			}
		}
	})
	w.sub("of many at once that rotate themselves, one wins at most", func(w *world) {
		old := fresh(w, "api")
		won := 0
		for _, a := range w.race(10, func(int) call {
			return call{method: "POST", path: "/api/v4/personal_access_tokens/self/rotate", as: private(old.Token)}
		}) {
			secret(a.says("token"))
			if a.status == 200 {
				won++
			} else if a.status != 401 {
				w.Errorf("%d %s", a.status, a.body)
			}
		}
		if won != 1 {
			w.Errorf("%d won", won)
		}
	})
	for what, path := range map[string]func(madeToken) string{
		"itself":      func(madeToken) string { return "/personal_access_tokens/self/rotate" },
		"another one": func(t madeToken) string { return one(t.ID) + "/rotate" },
		"a project's": func(t madeToken) string { return fmt.Sprintf("%s/access_tokens/%d/rotate", p.at(), t.ID) },
	} {
		w.sub("a revoked one that would rotate "+what+" takes its whole line along", func(w *world) {
			first, other := fresh(w, "api"), fresh(w, "api")
			second := w.mint(private(first.Token), "/personal_access_tokens/self/rotate", nil)
			third := w.mint(private(second.Token), "/personal_access_tokens/self/rotate", nil)
			w.send(call{path: "/api/v4/user", as: private(first.Token)}).want(w, 401) // elsewhere it does no harm
			if !w.works(third.Token) {
				w.Fatal("the newest does not work")
			}
			a := w.send(call{method: "POST", path: "/api/v4" + path(other), as: private(first.Token)}).want(w, 401)
			if a.says("error") != "invalid_token" {
				w.Errorf("%s", a.body)
			}
			if w.works(third.Token) {
				w.Error("the newest still works")
			}
			if !w.works(other.Token) || !w.works(u.token) {
				w.Error("another line ended too")
			}
		})
	}
}

func TestImpersonationTokens(t *testing.T) {
	w := newWorld(t)
	u, eve := w.user(), w.user()
	path := fmt.Sprintf("/users/%d/impersonation_tokens", u.ID)
	made := w.mint(w.root(), path, map[string]any{"name": "act", "scopes": []string{"api"}})
	w.sub("acts as the user", func(w *world) {
		if got := w.send(call{path: "/api/v4/user", as: private(made.Token)}).want(w, 200).says("username"); got != u.Username {
			w.Errorf("is %q", got)
		}
	})
	w.sub("is shown to administrators only", func(w *world) {
		for query, want := range map[string]int{"": 1, "?state=all": 1, "?state=active": 1, "?state=inactive": 0} {
			if got := w.send(call{path: "/api/v4" + path + query, as: w.root()}).names(w, "impersonation"); len(got) != want || want == 1 && got[0] != "true" {
				w.Errorf("%s: %v", query, got)
			}
		}
		if got := w.send(call{path: "/api/v4/personal_access_tokens", as: u.as()}).names(w, "name"); slices.Contains(got, "act") {
			w.Errorf("the user's own: %v", got)
		}
		w.send(call{path: "/api/v4" + path, as: u.as()}).want(w, 403)
		if a := w.send(call{path: fmt.Sprintf("/api/v4%s/%d", path, made.ID), as: w.root()}).want(w, 200); a.says("token") != "" {
			w.Errorf("%s", a.body)
		}
	})
	w.sub("not found", func(w *world) {
		other := w.tokenOf(u)
		for _, p := range []string{fmt.Sprintf("%s/%d", path, other.ID), path + "/99999999", fmt.Sprintf("/users/%d/impersonation_tokens/%d", eve.ID, made.ID)} {
			w.send(call{path: "/api/v4" + p, as: w.root()}).want(w, 404).is(w, `{"message":"404 Impersonation Token Not Found"}`)
			w.send(call{method: "DELETE", path: "/api/v4" + p, as: w.root()}).want(w, 404)
		}
		w.send(call{path: "/api/v4/users/99999/impersonation_tokens", as: w.root()}).want(w, 404).is(w, `{"message":"404 User Not Found"}`)
	})
	w.sub("ends at once", func(w *world) {
		w.send(call{method: "DELETE", path: fmt.Sprintf("/api/v4%s/%d", path, made.ID), as: w.root()}).want(w, 204)
		w.send(call{path: "/api/v4/user", as: private(made.Token)}).want(w, 401)
		if got := w.send(call{path: "/api/v4" + path + "?state=inactive", as: w.root()}).names(w, "id"); len(got) != 1 {
			w.Errorf("%v", got)
		}
	})
}

// The tokens of projects and groups: each is that of a bot.
func TestResourceTokens(t *testing.T) {
	w := newWorld(t)
	home := w.group(harness.Private)
	p, beside := w.project(home, harness.Private), w.project(home, harness.Private)
	sub := w.group(harness.Private, home)
	below := w.project(sub, harness.Private)
	maintainer, owner := w.member(p, harness.Maintainer), w.user()
	w.join(home.path(), owner, harness.Owner)
	k := newPack()
	w.publish(below, w.root(), k)
	for _, in := range []struct {
		what, at string
		id       int64
		boss     credential
		opens    []project
		not      []project
	}{
		{"project", p.at(), p.ID, maintainer.as(), []project{p}, []project{beside, below}},
		{"group", home.path(), home.ID, owner.as(), []project{p, beside, below}, []project{w.project(w.group(harness.Private), harness.Private)}},
	} {
		list := in.at + "/access_tokens"
		w.sub("made, shown, revoked, in a "+in.what, func(w *world) {
			a := w.send(call{method: "POST", path: "/api/v4" + list, as: in.boss, body: map[string]any{"name": "Robot", "description": "builds", "scopes": []string{"api"}, "access_level": 30}}).must(w, 201)
			made := a.object(w)
			text := secret(a.says("token"))
			for field, want := range map[string]any{"name": "Robot", "description": "builds", "access_level": 30.0, "resource_type": in.what, "resource_id": float64(in.id), "active": true, "revoked": false, "expires_at": inDays(365)} {
				if made[field] != want {
					w.Errorf("%s is %v, want %v", field, made[field], want)
				}
			}
			if !strings.HasPrefix(text, "phg_") {
				w.Errorf("text %.6s…", text)
			}
			id, userID := int64(made["id"].(float64)), int64(made["user_id"].(float64))
			bot := w.send(call{path: fmt.Sprintf("/api/v4/users/%d", userID), as: in.boss}).must(w, 200).object(w)
			if name, _ := bot["username"].(string); bot["bot"] != true || bot["name"] != "Robot" || !strings.HasPrefix(name, fmt.Sprintf("%s_%d_bot_", in.what, in.id)) {
				w.Errorf("%v", bot)
			}
			if level := w.levels(in.at+"/members", in.boss)[bot["username"].(string)]; level != 30 {
				w.Errorf("is a member of level %v", level)
			}
			for _, target := range in.opens {
				for _, as := range []credential{private(text), bearer(text), basic("anybody", text), deploy(text)} {
					k := newPack()
					w.publishing(target, as, k.document(), k.name).want(w, 200)
					w.send(call{path: target.prefix() + "/" + k.name, as: as}).want(w, 200)
				}
			}
			for _, target := range in.not {
				w.send(call{path: target.prefix() + "/x", as: private(text)}).want(w, 404)
			}
			one := fmt.Sprintf("/api/v4%s/%d", list, id)
			if shown := w.send(call{path: one, as: in.boss}).must(w, 200).object(w); shown["token"] != nil || shown["access_level"] != 30.0 {
				w.Errorf("%v", shown)
			}
			for query, want := range map[string]bool{"": true, "?state=active": true, "?state=inactive": false, "?revoked=true": false, "?search=robo": true, "?search=other": false} {
				got := w.send(call{path: "/api/v4" + list + query, as: in.boss}).names(w, "id")
				if slices.Contains(got, fmt.Sprint(id)) != want {
					w.Errorf("%s: %v", query, got)
				}
			}
			if w.send(call{path: "/api/v4/personal_access_tokens/self", as: private(text)}).must(w, 200).object(w)["id"] != float64(id) {
				w.Error("is not itself")
			}
			if got := w.send(call{path: "/api/v4/personal_access_tokens", as: private(text)}).names(w, "id"); !slices.Equal(got, []string{fmt.Sprint(id)}) {
				w.Errorf("its tokens: %v", got)
			}
			w.send(call{method: "DELETE", path: one, as: in.boss}).must(w, 204)
			w.send(call{path: in.opens[0].prefix() + "/x", as: private(text)}).want(w, 401)
			if _, still := w.levels(in.at+"/members", in.boss)[bot["username"].(string)]; still {
				w.Error("is still a member")
			}
			if got := w.send(call{path: fmt.Sprintf("/api/v4/users/%d", userID), as: w.root()}).must(w, 200).says("state"); got != "blocked" {
				w.Errorf("state %q", got)
			}
			if shown := w.send(call{path: one, as: in.boss}).must(w, 200).object(w); shown["revoked"] != true || shown["active"] != false {
				w.Errorf("%v", shown)
			}
		})
		w.sub("rotated, in a "+in.what, func(w *world) {
			made := w.mint(in.boss, list, map[string]any{"name": "n", "scopes": []string{"api", "self_rotate"}, "access_level": 20, "expires_at": inDays(1)})
			second := w.mint(in.boss, fmt.Sprintf("%s/%d/rotate", list, made.ID), map[string]any{"expires_at": inDays(30)})
			if second.UserID != made.UserID || second.ExpiresAt != inDays(30) || w.works(made.Token) || !w.works(second.Token) {
				w.Errorf("%+v", second)
			}
			if got := w.field(fmt.Sprintf("%s/members/%d", in.at, made.UserID), "expires_at"); got != inDays(30) {
				w.Errorf("the bot is a member until %v", got)
			}
			third := w.mint(private(second.Token), list+"/self/rotate", nil)
			fourth := w.mint(private(third.Token), "/personal_access_tokens/self/rotate", nil)
			if fourth.ExpiresAt != inDays(7) || w.works(third.Token) || !w.works(fourth.Token) {
				w.Errorf("%+v", fourth)
			}
			// The one that was rotated away is shown again: all end, and the bot with them.
			w.send(call{method: "POST", path: "/api/v4" + list + "/self/rotate", as: private(made.Token)}).want(w, 401)
			if w.works(fourth.Token) || w.there(fmt.Sprintf("%s/members/%d", in.at, made.UserID)) {
				w.Error("the newest still works, or its bot is still a member")
			}
		})
		w.sub("expired, in a "+in.what, func(w *world) {
			made := w.mint(in.boss, list, map[string]any{"name": "n", "scopes": []string{"api"}, "expires_at": inDays(0)}) // since midnight
			w.send(call{path: in.opens[0].prefix() + "/x", as: private(made.Token)}).want(w, 401)
			if w.there(fmt.Sprintf("%s/members/%d", in.at, made.UserID)) {
				w.Error("is a member")
			}
		})
	}
	create := func(w *world, as credential, at string, body map[string]any) *answer {
		w.Helper()
		all := map[string]any{"name": "n", "scopes": []string{"api"}}
		for key, value := range body {
			all[key] = value
		}
		a := w.send(call{method: "POST", path: "/api/v4" + at + "/access_tokens", as: as, body: all})
		secret(a.says("token"))
		return a
	}
	w.sub("nobody makes one of more than they are", func(w *world) {
		for _, row := range []struct {
			as     credential
			at     string
			level  int
			status int
		}{{maintainer.as(), p.at(), 40, 201}, {maintainer.as(), p.at(), 50, 400}, {owner.as(), p.at(), 50, 201}, {owner.as(), home.path(), 50, 201}, {w.root(), p.at(), 50, 201}} {
			create(w, row.as, row.at, map[string]any{"access_level": row.level}).want(w, row.status)
		}
		made := w.mint(owner.as(), p.at()+"/access_tokens", map[string]any{"name": "high", "scopes": []string{"api"}, "access_level": 50})
		w.send(call{method: "DELETE", path: fmt.Sprintf("/api/v4%s/access_tokens/%d", p.at(), made.ID), as: maintainer.as()}).want(w, 403)
		w.send(call{method: "POST", path: fmt.Sprintf("/api/v4%s/access_tokens/%d/rotate", p.at(), made.ID), as: maintainer.as()}).want(w, 403)
		if !w.works(made.Token) {
			w.Error("it ended all the same")
		}
	})
	for what, row := range map[string]struct {
		body map[string]any
		want string
	}{
		"no scope":         {map[string]any{"scopes": []string{}}, `{"message":"Scopes can't be blank"}`},
		"an unknown scope": {map[string]any{"scopes": []string{"sudo"}}, `{"error":"scopes does not have a valid value"}`},
		"no such level":    {map[string]any{"access_level": 60}, `{"error":"access_level does not have a valid value"}`},
		"no level":         {map[string]any{"access_level": "high"}, `{"error":"access_level is invalid"}`},
		"no name":          {map[string]any{"name": ""}, `{"error":"name is empty"}`},
		"more than a year": {map[string]any{"expires_at": inDays(366)}, fmt.Sprintf(`{"message":{"expires_at":["must be before %s"]}}`, inDays(366))},
	} {
		w.sub("refused: "+what, func(w *world) { create(w, maintainer.as(), p.at(), row.body).want(w, 400).is(w, row.want) })
	}
	w.sub("a bot has nothing of its own", func(w *world) {
		bot := private(w.mint(owner.as(), home.path()+"/access_tokens", map[string]any{"name": "n", "scopes": []string{"api"}, "access_level": 50}).Token)
		name := "n" + harness.Random()[:12]
		w.send(call{method: "POST", path: "/api/v4/groups", as: bot, body: map[string]any{"name": name, "path": name}}).want(w, 403)
		w.send(call{method: "POST", path: "/api/v4/projects", as: bot, body: map[string]any{"name": name}}).want(w, 403)
		w.send(call{method: "POST", path: "/api/v4/projects", as: bot, body: map[string]any{"name": name, "namespace_id": home.ID}}).want(w, 201)
	})
	w.sub("a bot makes no tokens, and has no password", func(w *world) {
		made := w.mint(owner.as(), home.path()+"/access_tokens", map[string]any{"name": "n", "scopes": []string{"api"}, "access_level": 50})
		bot := private(made.Token)
		create(w, bot, home.path(), nil).want(w, 400)
		create(w, bot, p.at(), nil).want(w, 400)
		w.send(call{path: "/api/v4" + home.path() + "/access_tokens", as: bot}).want(w, 401)
		w.send(call{method: "POST", path: "/api/v4/user/personal_access_tokens", as: bot, body: map[string]any{"name": "n", "scopes": []string{"self_rotate"}}}).want(w, 403)
		of := fmt.Sprintf("/api/v4/users/%d", made.UserID)
		w.send(call{method: "POST", path: of + "/personal_access_tokens", as: w.root(), body: map[string]any{"name": "n", "scopes": []string{"api"}}}).want(w, 403)
		w.send(call{method: "PUT", path: of, as: w.root(), body: map[string]any{"password": harness.Random()}}).want(w, 403)
		w.send(call{method: "PUT", path: of, as: w.root(), body: map[string]any{"admin": true}}).want(w, 403)
	})
	w.sub("one place's are not another's", func(w *world) {
		made := w.mint(maintainer.as(), p.at()+"/access_tokens", map[string]any{"name": "n", "scopes": []string{"api"}})
		for _, at := range []string{home.path(), beside.at()} {
			for _, c := range []call{{}, {method: "DELETE"}} {
				c.path, c.as = fmt.Sprintf("/api/v4%s/access_tokens/%d", at, made.ID), owner.as()
				kind := map[bool]string{true: "group", false: "project"}[strings.HasPrefix(at, "/groups")]
				w.send(c).want(w, 404).is(w, fmt.Sprintf(`{"message":"404 Could not find %s access token with token_id: %d Not Found"}`, kind, made.ID))
			}
			w.send(call{method: "POST", path: fmt.Sprintf("/api/v4%s/access_tokens/%d/rotate", at, made.ID), as: owner.as()}).want(w, 401)
			w.send(call{method: "POST", path: fmt.Sprintf("/api/v4%s/access_tokens/%d/rotate", at, made.ID), as: w.root()}).want(w, 404)
			a := w.send(call{method: "POST", path: "/api/v4" + at + "/access_tokens/self/rotate", as: private(made.Token)})
			if a.status != 401 && a.status != 404 {
				w.Errorf("%s: %d", a.call, a.status)
			}
		}
		if !w.works(made.Token) {
			w.Error("it ended all the same")
		}
	})
	w.sub("goes with its maker's external state", func(w *world) {
		name := "x" + harness.Random()[:8]
		var x user
		w.make("/users", map[string]any{"username": name, "name": name, "email": name + "@example.com", "force_random_password": true, "external": true}, &x)
		x.token = w.personal(x, "api")
		w.join(p.at(), x, harness.Maintainer)
		made := w.mint(x.as(), p.at()+"/access_tokens", map[string]any{"name": "n", "scopes": []string{"api"}})
		inner := w.project(w.group(harness.Internal), harness.Internal)
		w.send(call{path: "/api/v4" + inner.at(), as: private(made.Token)}).want(w, 404)
	})
}

func TestAllDeployTokens(t *testing.T) {
	w := own(t, harness.Config{})
	home := w.group(harness.Private)
	sub := w.group(harness.Private, home)
	p := w.project(sub, harness.Private)
	k := newPack()
	w.publish(p, w.root(), k)
	above := w.mint(w.root(), home.path()+"/deploy_tokens", map[string]any{"name": "above", "scopes": []string{"read_package_registry"}})
	here := w.mint(w.root(), p.at()+"/deploy_tokens", map[string]any{"name": "here", "scopes": []string{"read_package_registry"}})
	ended := w.mint(w.root(), p.at()+"/deploy_tokens", map[string]any{"name": "ended", "scopes": []string{"read_package_registry"}, "expires_at": "2020-01-01"})
	w.send(call{method: "DELETE", path: fmt.Sprintf("/api/v4%s/deploy_tokens/%d", p.at(), here.ID), as: w.root()}).must(t, 204)
	for query, want := range map[string]string{"": "above here ended", "?active=true": "above", "?per_page=1&page=2": "here"} {
		if got := strings.Join(w.send(call{path: "/api/v4/deploy_tokens" + query, as: w.root()}).names(t, "name"), " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	// One of a group above opens what is below.
	for token, status := range map[string]int{above.Token: http.StatusOK, here.Token: http.StatusUnauthorized, ended.Token: http.StatusUnauthorized} {
		for _, prefix := range []string{p.prefix(), sub.prefix(), home.prefix()} {
			w.send(call{path: prefix + "/" + k.name, as: deploy(token)}).want(t, status)
		}
	}
}

func TestAssociations(t *testing.T) {
	w := newWorld(t)
	top := w.group(harness.Private)
	sub := w.group(harness.Private, top)
	inherited, direct, hidden := w.project(sub, harness.Private), w.project(w.group(harness.Private), harness.Private), w.project(w.group(harness.Private), harness.Private)
	w.open() // which everybody sees, and nobody is a member of
	u := w.user()
	w.join(top.path(), u, harness.Developer)
	w.join(direct.at(), u, harness.Maintainer)
	const path = "/api/v4/personal_access_tokens/self/associations"
	reaches := func(query string) string {
		a := w.send(call{path: path + query, as: u.as()}).must(t, 200)
		var body struct {
			Groups []struct {
				ID    int64
				Level int `json:"access_levels"`
			}
			Projects []struct {
				ID     int64
				Levels struct {
					Project *int `json:"project_access_level"`
					Group   *int `json:"group_access_level"`
				} `json:"access_levels"`
			}
		}
		if err := json.Unmarshal(a.body, &body); err != nil {
			t.Fatal(err)
		}
		said := a.header.Get("X-Total") + ":"
		for _, g := range body.Groups {
			said += fmt.Sprintf(" group %d as %d", g.ID, g.Level)
		}
		for _, p := range body.Projects {
			for _, level := range []*int{p.Levels.Project, p.Levels.Group} {
				if level != nil {
					said += fmt.Sprintf(" project %d as %d", p.ID, *level)
				}
			}
			if p.ID == hidden.ID {
				t.Error("a hidden project")
			}
		}
		return said
	}
	groups := fmt.Sprintf(" group %d as 30 group %d as 30", top.ID, sub.ID)
	first, second := fmt.Sprintf(" project %d as 30", inherited.ID), fmt.Sprintf(" project %d as 40", direct.ID)
	for query, want := range map[string]string{
		"": "2:" + groups + first + second, "?min_access_level=40": "1:" + second, "?min_access_level=50": "0:",
		"?per_page=1&page=2": fmt.Sprintf("2: group %d as 30", sub.ID) + second,
	} {
		if got := reaches(query); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
	w.send(call{path: path + "?min_access_level=31", as: u.as()}).want(t, 400).is(t, `{"error":"min_access_level does not have a valid value"}`)
}
