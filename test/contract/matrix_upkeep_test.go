package contract

import (
	"fmt"
	"sync/atomic"
)

// The rights of what keeps a project's packages in order.

func init() {
	preparations = append(preparations, func(w *world, s *site, _ people) {
		// A policy that removes nothing that is there.
		w.send(call{method: "PUT", path: s.project.cleanup(), as: w.root(), body: map[string]any{"keep_n_versions": 1000}}).must(w, 200)
	})
}

var manyVersions atomic.Int64

func upkeepRows() []row {
	const policy = "/projects/{id}/packages/cleanup_policy"
	sends := func(method, path string) func(*world, *site, *caller) attempt {
		return func(_ *world, s *site, _ *caller) attempt {
			return attempt{call: call{method: method, path: s.project.cleanup() + path}}
		}
	}
	return []row{
		reads(inProjects, "GET /api/v4/projects/{id}/packages/{package_id}/downloads", "asks how often a package was downloaded", readsPackages),
		reads(inProjects, api("GET "+policy), "looks at the cleanup policy", looks(40)),
		{pattern: api("PUT " + policy), does: "changes the cleanup policy", at: inProjects, want: manages(40, 200), try: func(_ *world, s *site, _ *caller) attempt {
			n := 1000 + manyVersions.Add(1)
			return attempt{call{method: "PUT", path: s.project.cleanup(), body: map[string]any{"keep_n_versions": n}}, func(w *world) bool {
				return fmt.Sprint(w.send(call{path: s.project.cleanup(), as: w.root()}).must(w, 200).object(w)["keep_n_versions"]) == fmt.Sprint(n)
			}}
		}},
		{pattern: api("POST " + policy + "/dry_run"), does: "tries the cleanup policy", at: inProjects, want: manages(40, 200), try: sends("POST", "/dry_run")},
		{pattern: api("POST " + policy + "/run"), does: "runs the cleanup policy", at: inProjects, want: manages(40, 202), try: sends("POST", "/run")},
	}
}
