package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"packhouse/test/harness"
)

// What the tests of groups and projects have in common.

// of is the management API's path of a group or project.
func of(thing any) string {
	switch it := thing.(type) {
	case group:
		return fmt.Sprintf("/groups/%d", it.ID)
	case project:
		return fmt.Sprintf("/projects/%d", it.ID)
	}
	panic(thing)
}

// ask sends a request to the management API.
func (w *world) ask(as credential, method, path string, body ...any) *answer {
	w.Helper()
	c := call{method: method, path: "/api/v4" + path, as: as}
	if len(body) > 0 {
		c.body = body[0]
	}
	return w.send(c)
}

// listed are the values of a key in the objects of a list, in its order.
func listed[T any](w *world, a *answer, key string) []T {
	w.Helper()
	a.must(w, http.StatusOK)
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &list); err != nil {
		w.Fatalf("%s: %v in %.300s", a.call, err, a.body)
	}
	values := []T{}
	for _, object := range list {
		var value T
		if err := json.Unmarshal(object[key], &value); err != nil {
			w.Fatalf("%s: %s: %v in %.300s", a.call, key, err, a.body)
		}
		values = append(values, value)
	}
	return values
}

// shows checks which of some known paths a list has, in its order. What other tests made does not count.
func (w *world) shows(a *answer, key string, known []string, want ...string) {
	w.Helper()
	got := slices.DeleteFunc(listed[string](w, a, key), func(path string) bool { return !slices.Contains(known, path) })
	if !slices.Equal(got, want) {
		w.Errorf("%s: lists %q, want %q", a.call, got, want)
	}
}

// roles makes a user for each role, with that level in a place.
func (w *world) roles(place any) map[string]user {
	w.Helper()
	made := map[string]user{"a user who is no member": w.user()}
	for name, level := range map[string]int{"a guest": harness.Guest, "a reporter": harness.Reporter, "a developer": harness.Developer, "a maintainer": harness.Maintainer, "an owner": harness.Owner} {
		made[name] = w.user()
		w.join(of(place), made[name], level)
	}
	return made
}

// next is the address in the link to the next page, or "".
func (a *answer) next() string {
	for _, link := range strings.Split(a.header.Get("Link"), ", ") {
		if to, ok := strings.CutSuffix(link, `>; rel="next"`); ok {
			at, err := url.Parse(strings.TrimPrefix(to, "<"))
			if err != nil {
				return ""
			}
			return strings.TrimPrefix(at.RequestURI(), "/api/v4")
		}
	}
	return ""
}

// walk follows the links of pages from a first one, and returns the values of a key on all of them.
func walk[T any](w *world, as credential, path, key string) []T {
	w.Helper()
	var all []T
	for n := 0; path != ""; n++ {
		if n > 100 {
			w.Fatalf("the pages do not end: %s", path)
		}
		a := w.ask(as, "GET", path)
		all = append(all, listed[T](w, a, key)...)
		path = a.next()
	}
	return all
}

// segment is a full path as one segment of a URL.
func segment(path string) string { return url.PathEscape(path) }

// newPath is a path that nobody has.
func newPath() string { return "n" + harness.Random()[:12] }
