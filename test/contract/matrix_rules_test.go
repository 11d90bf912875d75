package contract

import (
	"net/http"
	"strings"

	"packhouse/test/harness"
)

// The rights of package settings and protection rules.

// inspects is for what only those look at who are members of a level. Who is nobody is told so, whatever the place.
func inspects(level int) func(identity, *site) int {
	return func(id identity, s *site) int {
		if id.refused == 0 && !id.person().user {
			return http.StatusUnauthorized
		}
		return looks(level)(id, s)
	}
}

func init() {
	preparations = append(preparations, func(w *world, s *site, _ people) {
		path := w.protect(s.here(), rule("prepared-*", "owner", ""))
		s.ids["package_protection_rule_id"] = path[strings.LastIndexByte(path, '/')+1:]
	})
}

func policyRows() (rows []row) {
	for _, in := range []struct {
		kind
		path  string
		least int // level of those who manage it
	}{{inProjects, "/projects/{id}", 40}, {inGroups, "/groups/{id}", 50}} {
		const list, one = "/packages/protection/rules", "/packages/protection/rules/{package_protection_rule_id}"
		rows = append(rows,
			reads(in.kind, "GET /api/v4"+in.path+"/packages/settings", "looks at the package settings", inspects(40)),
			row{pattern: api("PUT " + in.path + "/packages/settings"), does: "changes a package setting", at: in.kind, want: manages(in.least, 200), try: func(w *world, s *site, _ *caller) attempt {
				pattern := harness.Random()[:12]
				return attempt{call{method: "PUT", path: settings(s.here()), body: map[string]any{"conan_duplicate_exception_regex": pattern}}, func(w *world) bool {
					return w.send(call{path: settings(s.here()), as: w.root()}).says("conan_duplicate_exception_regex") == pattern
				}}
			}},
			reads(in.kind, "GET /api/v4"+in.path+list, "lists the protection rules", inspects(40)),
			row{pattern: api("POST " + in.path + list), does: "protects a package", at: in.kind, want: manages(in.least, 201), try: func(_ *world, s *site, _ *caller) attempt {
				pattern := "n" + harness.Random()[:12]
				return attempt{call{method: "POST", path: rules(s.here()), body: rule(pattern, "owner", "")}, func(w *world) bool { return w.protects(s, pattern) }}
			}},
			row{pattern: api("PATCH " + in.path + one), does: "changes a protection rule", at: in.kind, want: manages(in.least, 200), try: func(w *world, s *site, _ *caller) attempt {
				pattern := "n" + harness.Random()[:12]
				return attempt{call{method: "PATCH", path: "/api/v4" + s.route("PATCH "+in.path+one), body: map[string]any{"package_name_pattern": pattern}}, func(w *world) bool { return w.protects(s, pattern) }}
			}},
			row{pattern: api("DELETE " + in.path + one), does: "removes a protection rule", at: in.kind, want: manages(in.least, 204), try: func(w *world, s *site, _ *caller) attempt {
				pattern := "n" + harness.Random()[:12]
				path := w.protect(s.here(), rule(pattern, "owner", ""))
				return attempt{call{method: "DELETE", path: path}, func(w *world) bool { return !w.protects(s, pattern) }}
			}},
		)
	}
	return rows
}

// protects tells whether a site has a rule with a pattern.
func (w *world) protects(s *site, pattern string) bool {
	w.Helper()
	a := w.send(call{path: rules(s.here()), as: w.root()}).must(w, http.StatusOK)
	return strings.Contains(string(a.body), `"package_name_pattern":"`+pattern+`"`)
}
