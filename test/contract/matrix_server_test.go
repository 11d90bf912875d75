package contract

import "net/http"

// The routes that ask nobody who they are.
func serverRows() []row {
	everybody := func(identity, *site) int { return http.StatusOK }
	page := func(pattern, does, path string) row {
		return row{pattern: pattern, does: does, want: everybody, try: func(*world, *site, *caller) attempt { return attempt{call: call{path: path}} }}
	}
	return []row{
		page("GET /-/assets/", "fetches the style sheet", "/-/assets/style.css"),
		page("GET /-/health", "asks whether the server lives", "/-/health"),
		page("GET /-/liveness", "asks whether the server lives", "/-/liveness"),
		page("GET /-/readiness", "asks whether the server is ready", "/-/readiness"),
		page("GET /metrics", "reads the metrics", "/metrics"),
		{pattern: "/", does: "asks for what is not there", want: func(identity, *site) int { return http.StatusNotFound },
			try: func(*world, *site, *caller) attempt { return attempt{call: call{path: "/api/v4/nothing"}} }},
		{pattern: "GET /-/login/{id}", does: "opens the page of a sign-in", want: everybody, try: func(w *world, s *site, _ *caller) attempt {
			return attempt{call: call{path: w.beginLogin(s)}}
		}},
		{pattern: "POST /-/login/{id}", does: "signs in", only: signingIn, own: true, want: everybody, try: func(w *world, s *site, _ *caller) attempt {
			return attempt{call: call{method: "POST", path: w.beginLogin(s), header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
				body: "username=root&password=" + w.server.RootPassword}}
		}},
	}
}

// signingIn are the callers that try passwords, which may be tried so many times a minute only. The password decides,
// and not what comes beside it.
var signingIn = []string{"nobody", "somebody with a wrong token", "a guest"}

// beginLogin begins a sign-in in the browser, and is the path of its page.
func (w *world) beginLogin(s *site) string {
	w.Helper()
	a := w.send(call{method: "POST", path: s.project.prefix() + "/-/v1/login"}).must(w, http.StatusOK)
	return a.says("loginUrl")[len(w.server.URL):]
}
