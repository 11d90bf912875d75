package contract

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"packhouse/test/harness"
)

func (p project) at() string { return fmt.Sprintf("/projects/%d", p.ID) } // in the management API

// levels are the members of a list, each with their level.
func (w *world) levels(path string, as credential) map[string]float64 {
	w.Helper()
	a := w.send(call{path: "/api/v4" + path, as: as})
	names, levels := a.names(w, "username"), map[string]float64{}
	for i, level := range a.names(w, "access_level") {
		if _, twice := levels[names[i]]; twice {
			w.Errorf("%s is there twice", names[i])
		}
		var n float64
		fmt.Sscan(level, &n)
		levels[names[i]] = n
	}
	return levels
}

func TestMembersInherited(t *testing.T) {
	w := newWorld(t)
	top := w.group(harness.Private)
	low := w.group(harness.Private, top)
	p := w.project(low, harness.Private)
	ada, bob, eve, ended := w.user(), w.user(), w.user(), w.user()
	w.join(top.path(), ada, harness.Guest)
	w.join(low.path(), ada, harness.Maintainer)
	w.join(top.path(), bob, harness.Owner)
	w.join(p.at(), bob, harness.Owner)
	w.join(p.at(), eve, harness.Reporter)
	w.make(top.path()+"/members", map[string]any{"user_id": ended.ID, "access_level": 50, "expires_at": time.Now().UTC().Format(time.DateOnly)}, &struct{}{}) // since midnight
	want := func(w *world, path string, want map[string]float64) {
		w.Helper()
		if got := w.levels(path, bob.as()); fmt.Sprint(got) != fmt.Sprint(want) {
			w.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	w.sub("direct ones", func(w *world) {
		want(w, top.path()+"/members", map[string]float64{"root": 50, ada.Username: 10, bob.Username: 50})
		want(w, low.path()+"/members", map[string]float64{"root": 50, ada.Username: 40})
		want(w, p.at()+"/members", map[string]float64{bob.Username: 50, eve.Username: 20})
	})
	w.sub("all, each once and with the highest level", func(w *world) {
		want(w, top.path()+"/members/all", map[string]float64{"root": 50, ada.Username: 10, bob.Username: 50})
		want(w, low.path()+"/members/all", map[string]float64{"root": 50, ada.Username: 40, bob.Username: 50})
		want(w, p.at()+"/members/all", map[string]float64{"root": 50, ada.Username: 40, bob.Username: 50, eve.Username: 20})
	})
	w.sub("in pages", func(w *world) {
		a := w.send(call{path: "/api/v4" + p.at() + "/members/all?per_page=3&page=2", as: eve.as()})
		if got := a.names(w, "username"); len(got) != 1 || a.header.Get("X-Total") != "4" {
			w.Errorf("%v of %s", got, a.header.Get("X-Total"))
		}
	})
	w.sub("filtered", func(w *world) {
		for query, want := range map[string][]string{
			"?query=" + ada.Username[1:8]:             {ada.Username},
			"?query=" + strings.ToUpper(ada.Username): {ada.Username},
			"?query=_": {},
			fmt.Sprintf("?user_ids=%d,%d", ada.ID, eve.ID):             {ada.Username, eve.Username},
			fmt.Sprintf("?user_ids[]=%d&user_ids[]=99999", ada.ID):     {ada.Username},
			fmt.Sprintf("?skip_users[]=%d&skip_users[]=1", bob.ID):     {ada.Username, eve.Username},
			fmt.Sprintf("?user_ids=%d&skip_users=%d", ada.ID, ada.ID):  {},
			fmt.Sprintf("?user_ids=%d&query=%s", ada.ID, eve.Username): {},
		} {
			got := w.send(call{path: "/api/v4" + p.at() + "/members/all" + query, as: bob.as()}).names(w, "username")
			if !slices.Equal(got, want) {
				w.Errorf("%s: %v, want %v", query, got, want)
			}
		}
		w.send(call{path: "/api/v4" + p.at() + "/members?user_ids=ada", as: bob.as()}).want(w, 400).is(w, `{"error":"user_ids is invalid"}`)
	})
	w.sub("one", func(w *world) {
		for path, level := range map[string]float64{
			fmt.Sprintf("%s/members/%d", p.at(), eve.ID): 20, fmt.Sprintf("%s/members/all/%d", p.at(), ada.ID): 40, fmt.Sprintf("%s/members/all/%d", low.path(), bob.ID): 50,
		} {
			if got := w.send(call{path: "/api/v4" + path, as: bob.as()}).must(w, 200).object(w)["access_level"]; got != level {
				w.Errorf("%s: level %v, want %v", path, got, level)
			}
		}
		for _, path := range []string{fmt.Sprintf("%s/members/%d", p.at(), ada.ID), fmt.Sprintf("%s/members/all/%d", p.at(), ended.ID), p.at() + "/members/99999", fmt.Sprintf("%s/members/all/%d", top.path(), eve.ID)} {
			w.send(call{path: "/api/v4" + path, as: bob.as()}).want(w, 404).is(w, `{"message":"404 Not found"}`)
		}
		w.send(call{path: "/api/v4" + p.at() + "/members/ada", as: bob.as()}).want(w, 400).is(w, `{"error":"user_id is invalid"}`)
	})
	w.sub("whose membership has ended can be added again", func(w *world) {
		w.send(call{path: "/api/v4" + p.at(), as: ended.as()}).want(w, 404)
		w.join(top.path(), ended, harness.Guest)
		w.send(call{path: "/api/v4" + p.at(), as: ended.as()}).want(w, 200)
		w.send(call{method: "POST", path: "/api/v4" + top.path() + "/members", as: bob.as(), body: map[string]any{"user_id": ended.ID, "access_level": 10}}).want(w, 409)
	})
	w.sub("the owner of a personal namespace is one of all", func(w *world) {
		a := w.send(call{method: "POST", path: "/api/v4/projects", as: ada.as(), body: map[string]any{"name": "own"}}).must(w, 201)
		path := fmt.Sprintf("/projects/%v/members/all", a.object(w)["id"])
		if got := w.levels(path, ada.as()); len(got) != 1 || got[ada.Username] != 50 {
			w.Errorf("%v", got)
		}
	})
}

func TestChangingMembers(t *testing.T) {
	w := newWorld(t)
	change := func(w *world, as credential, at string, u user, body map[string]any) *answer {
		w.Helper()
		return w.send(call{method: "PUT", path: fmt.Sprintf("/api/v4%s/members/%d", at, u.ID), as: as, body: body})
	}
	remove := func(w *world, as credential, at string, u user, query ...string) *answer {
		w.Helper()
		return w.send(call{method: "DELETE", path: fmt.Sprintf("/api/v4%s/members/%d", at, u.ID) + strings.Join(query, ""), as: as})
	}
	level := func(n int) map[string]any { return map[string]any{"access_level": n} }

	// Nobody reaches above their own level, on whatever side.
	for _, row := range []struct {
		by, of, to     int
		change, remove int
	}{
		{10, 10, 10, 403, 403}, {30, 10, 20, 403, 403},
		{40, 10, 30, 200, 204}, {40, 40, 10, 200, 204}, {40, 30, 40, 200, 204}, {40, 30, 50, 403, 204}, {40, 50, 40, 403, 403}, {40, 50, 10, 403, 403},
		{50, 50, 10, 200, 204}, {50, 10, 50, 200, 204}, {50, 10, 60, 400, 204}, {50, 10, 31, 400, 204},
	} {
		w.sub(fmt.Sprintf("in a project, %d changes %d to %d and removes", row.by, row.of, row.to), func(w *world) {
			p := w.project(w.group(harness.Private), harness.Private)
			by, of := w.member(p, row.by), w.member(p, row.of)
			want := row.of
			if change(w, by.as(), p.at(), of, level(row.to)).want(w, row.change).status == 200 {
				want = row.to
			}
			if got := w.levels(p.at()+"/members", w.root())[of.Username]; got != float64(want) {
				w.Errorf("has %v, want %d", got, want)
			}
			if row.change == 200 { // back, for whoever removes
				change(w, w.root(), p.at(), of, level(row.of)).must(w, 200)
			}
			remove(w, by.as(), p.at(), of).want(w, row.remove)
			if _, still := w.levels(p.at()+"/members", w.root())[of.Username]; still != (row.remove == 403) {
				w.Errorf("is still there: %v", still)
			}
		})
	}
	for _, row := range []struct{ by, of, change, remove int }{{40, 10, 403, 403}, {50, 50, 200, 204}, {50, 10, 200, 204}} {
		w.sub(fmt.Sprintf("in a group, %d changes %d and removes", row.by, row.of), func(w *world) {
			g := w.group(harness.Private)
			by, of := w.user(), w.user()
			w.join(g.path(), by, row.by)
			w.join(g.path(), of, row.of)
			change(w, by.as(), g.path(), of, level(20)).want(w, row.change)
			remove(w, by.as(), g.path(), of).want(w, row.remove)
		})
	}
	w.sub("takes effect at the next request", func(w *world) {
		p := w.project(w.group(harness.Private), harness.Private)
		u := w.member(p, harness.Guest)
		k := newPack()
		w.publishing(p, u.as(), k.document(), k.name).want(w, 403)
		change(w, w.root(), p.at(), u, level(30)).must(w, 200)
		w.publishing(p, u.as(), k.document(), k.name).want(w, 200)
		remove(w, w.root(), p.at(), u).must(w, 204)
		w.send(call{path: p.prefix() + "/" + k.name, as: u.as()}).want(w, 404)
	})
	w.sub("ends", func(w *world) {
		p := w.project(w.group(harness.Private), harness.Private)
		u := w.member(p, harness.Guest)
		day := time.Now().AddDate(0, 0, 3).UTC().Format(time.DateOnly)
		for _, step := range []struct {
			body map[string]any
			want any
		}{
			{map[string]any{"access_level": 10, "expires_at": day}, day}, {level(20), day}, {map[string]any{"access_level": 20, "expires_at": ""}, nil},
		} {
			if got := change(w, w.root(), p.at(), u, step.body).must(w, 200).object(w)["expires_at"]; got != step.want {
				w.Errorf("ends %v, want %v", got, step.want)
			}
		}
		change(w, w.root(), p.at(), u, map[string]any{"access_level": 20, "expires_at": "2020-01-01"}).want(w, 400).is(w, `{"message":{"expires_at":["cannot be a date in the past"]}}`)
		change(w, w.root(), p.at(), u, map[string]any{"access_level": 20, "expires_at": time.Now().UTC().Format(time.DateOnly)}).want(w, 200) // midnight
		w.send(call{path: "/api/v4" + p.at(), as: u.as()}).want(w, 404)
	})
	w.sub("no sense", func(w *world) {
		g := w.group(harness.Private)
		p := w.project(g, harness.Private)
		u := w.user()
		w.join(g.path(), u, harness.Developer)
		change(w, w.root(), p.at(), u, level(40)).want(w, 404).is(w, `{"message":"404 Not found"}`) // only inherited
		w.join(p.at(), u, harness.Maintainer)
		change(w, w.root(), p.at(), u, level(20)).want(w, 400).is(w, `{"message":{"access_level":["should be greater than or equal to the inherited level, which is 30"]}}`)
		change(w, w.root(), p.at(), u, nil).want(w, 400).is(w, `{"error":"access_level is missing"}`)
	})
	w.sub("everybody may leave", func(w *world) {
		g := w.group(harness.Private)
		p := w.project(g, harness.Private)
		guest := w.member(p, harness.Guest)
		owner := w.user()
		w.join(g.path(), owner, harness.Owner)
		remove(w, guest.as(), p.at(), guest).want(w, 204)
		w.send(call{path: "/api/v4" + p.at(), as: guest.as()}).want(w, 404)
		remove(w, owner.as(), g.path(), owner).want(w, 204)
		reader := w.member(p, harness.Guest)
		remove(w, private(w.personal(reader, "read_api")), p.at(), reader).want(w, 403)
	})
	w.sub("the last owner of a group stays one", func(w *world) {
		const refused = `{"message":"403 Forbidden - the last owner of a group cannot be removed or lowered"}`
		g := w.group(harness.Private)
		u, other := w.user(), w.user()
		root := user{User: harness.User{ID: 1}}
		w.join(g.path(), u, harness.Owner)
		remove(w, u.as(), g.path(), root).want(w, 204)
		remove(w, u.as(), g.path(), u).want(w, 403).is(w, refused)
		remove(w, w.root(), g.path(), u).want(w, 403).is(w, refused)
		change(w, u.as(), g.path(), u, level(40)).want(w, 403).is(w, refused)
		change(w, u.as(), g.path(), u, map[string]any{"access_level": 50, "expires_at": "2099-01-01"}).want(w, 403).is(w, refused)
		change(w, u.as(), g.path(), u, level(50)).want(w, 200)
		// Neither a bot, nor who is blocked, nor who goes, is an owner for that.
		w.token(g.path()+"/access_tokens", []string{"api"})
		a := w.send(call{method: "POST", path: "/api/v4" + g.path() + "/access_tokens", as: u.as(), body: map[string]any{"name": "n", "scopes": []string{"api"}, "access_level": 50}}).must(w, 201)
		secret(a.says("token"))
		w.make(g.path()+"/members", map[string]any{"user_id": other.ID, "access_level": 50, "expires_at": "2099-01-01"}, &struct{}{})
		remove(w, u.as(), g.path(), u).want(w, 403)
		change(w, u.as(), g.path(), other, map[string]any{"access_level": 50, "expires_at": ""}).must(w, 200)
		w.send(call{method: "POST", path: other.path() + "/block", as: w.root()}).must(w, 201)
		remove(w, u.as(), g.path(), u).want(w, 403)
		w.send(call{method: "POST", path: other.path() + "/unblock", as: w.root()}).must(w, 201)
		remove(w, u.as(), g.path(), u).want(w, 204)
		// An owner from above will do.
		sub := w.group(harness.Private, g)
		remove(w, other.as(), sub.path(), root).want(w, 204)
	})
	w.sub("of two owners who remove each other, one stays", func(w *world) {
		for range 5 {
			g := w.group(harness.Private)
			both := []user{w.user(), w.user()}
			for _, u := range both {
				w.join(g.path(), u, harness.Owner)
			}
			remove(w, both[0].as(), g.path(), user{User: harness.User{ID: 1}}).must(w, 204)
			w.race(2, func(i int) call {
				return call{method: "DELETE", path: fmt.Sprintf("/api/v4%s/members/%d", g.path(), both[i].ID), as: both[i].as()}
			})
			if left := w.levels(g.path()+"/members", w.root()); len(left) != 1 {
				w.Errorf("left: %v", left)
			}
		}
	})
	w.sub("with the memberships below the group, or without", func(w *world) {
		for query, status := range map[string]int{"": 404, "?skip_subresources=true": 200} {
			g := w.group(harness.Private)
			sub := w.group(harness.Private, g)
			p := w.project(sub, harness.Private)
			elsewhere := w.project(w.group(harness.Private), harness.Private)
			u := w.user()
			for _, at := range []string{g.path(), sub.path(), p.at(), elsewhere.at()} {
				w.join(at, u, harness.Developer)
			}
			remove(w, w.root(), g.path(), u, query).want(w, 204)
			w.send(call{path: "/api/v4" + sub.path(), as: u.as()}).want(w, status)
			w.send(call{path: "/api/v4" + p.at(), as: u.as()}).want(w, status)
			w.send(call{path: "/api/v4" + elsewhere.at(), as: u.as()}).want(w, 200)
		}
	})
	w.sub("a bot comes and goes with its token", func(w *world) {
		p, other := w.project(w.group(harness.Private), harness.Private), w.project(w.group(harness.Private), harness.Private)
		var bot struct {
			harness.Token
			UserID int64 `json:"user_id"`
		}
		w.make(p.at()+"/access_tokens", map[string]any{"name": "bot", "scopes": []string{"api"}, "access_level": 30}, &bot)
		it := user{User: harness.User{ID: bot.UserID}, token: secret(bot.Token.Token)}
		change(w, w.root(), p.at(), it, level(40)).want(w, 403)
		remove(w, w.root(), p.at(), it).want(w, 403)
		remove(w, it.as(), p.at(), it).want(w, 403)
		w.send(call{method: "POST", path: "/api/v4" + other.at() + "/members", as: w.root(), body: map[string]any{"user_id": it.ID, "access_level": 30}}).want(w, 400).
			is(w, `{"message":{"user":["project bots cannot be added to other groups / projects"]}}`)
	})
}

// Who was let in for a time leaves at its end, unless somebody else lets them stay.
func TestMembersForATime(t *testing.T) {
	w := newWorld(t)
	p := w.project(w.group(harness.Private), harness.Private)
	u := w.user()
	soon, later := time.Now().AddDate(0, 0, 3).Format(time.DateOnly), time.Now().AddDate(0, 0, 30).Format(time.DateOnly)
	w.send(call{method: "POST", path: "/api/v4" + p.at() + "/members", as: w.root(), body: map[string]any{"user_id": u.ID, "access_level": 40, "expires_at": later}}).must(w, http.StatusCreated)
	change := func(as credential, expires any) *answer {
		return w.send(call{method: "PUT", path: fmt.Sprintf("/api/v4%s/members/%d", p.at(), u.ID), as: as, body: map[string]any{"access_level": 40, "expires_at": expires}})
	}
	change(u.as(), soon).want(w, http.StatusOK)
	change(u.as(), later).want(w, http.StatusForbidden)
	change(u.as(), "").want(w, http.StatusForbidden)
	if got := w.send(call{path: fmt.Sprintf("/api/v4%s/members/%d", p.at(), u.ID), as: w.root()}).must(w, http.StatusOK).object(w)["expires_at"]; got != soon {
		w.Errorf("the membership ends %v, want %s", got, soon)
	}
	change(w.root(), "").want(w, http.StatusOK)
}
