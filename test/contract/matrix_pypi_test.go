package contract

import (
	"fmt"
	"net/http"

	"packhouse/test/harness"
)

// The rights of PyPI's protocol, at a project's and a group's prefix.

func init() {
	preparations = append(preparations, func(w *world, s *site, _ people) {
		s.dist = newSdist(newName(), "1.0")
		if s.registry != "disabled" {
			w.send(s.dist.upload(s.project.pypi(), w.root(), nil)).must(w, http.StatusCreated)
		}
		s.ids["name"], s.ids["version"], s.ids["sha256"], s.ids["file"] = s.dist.name, s.dist.version, s.dist.sha256(), s.dist.file
	})
}

// indexed is who reads what lists the packages of a group.
func indexed(id identity, s *site) int {
	switch {
	case id.refused != 0:
		return id.refused
	case !id.known(s) && id.nobody():
		return http.StatusUnauthorized
	case !id.known(s):
		return http.StatusNotFound
	case !id.can("api", "read_api", "read_package_registry", "write_package_registry"):
		return http.StatusForbidden
	}
	return http.StatusOK
}

func pypiRows() (rows []row) {
	for _, prefix := range []struct {
		kind
		pattern       string
		index, pulled func(identity, *site) int
	}{
		{inProjects, "/api/v4/projects/{project}/packages/pypi", pulls, pulls},
		{inGroups, "/api/v4/groups/{group}/-/packages/pypi", indexed, above(pulls)},
	} {
		rows = append(rows, reads(prefix.kind, "GET "+prefix.pattern+"/simple", "reads the index of PyPI", prefix.index))
		for path, does := range map[string]string{
			"/simple/{name}": "reads a project page", "/files/{sha256}/{file}": "downloads a distribution",
			"/pypi/{name}/json": "reads the JSON of a name", "/pypi/{name}/{version}/json": "reads the JSON of a version",
		} {
			rows = append(rows, reads(prefix.kind, "GET "+prefix.pattern+path, does, prefix.pulled))
		}
		rows = append(rows, row{pattern: "GET " + prefix.pattern + "/files/{sha256}/{file}", does: "reads the core metadata of a distribution", at: prefix.kind, want: prefix.pulled,
			try: func(_ *world, s *site, _ *caller) attempt {
				return attempt{call: call{path: s.route("GET "+prefix.pattern+"/files/{sha256}/{file}") + ".metadata"}}
			}})
	}
	for _, method := range []string{"POST", "PUT"} {
		rows = append(rows, row{pattern: method + " /api/v4/projects/{project}/packages/pypi", does: "uploads a distribution with " + method, at: inProjects, want: pushes(harness.Developer, http.StatusCreated),
			try: func(_ *world, s *site, _ *caller) attempt {
				d := newSdist(newName(), "1.0")
				upload := d.upload(s.project.pypi(), anonymous, nil)
				upload.method = method
				return attempt{upload, func(w *world) bool { return s.registry != "disabled" && w.hasFile(s.project, d) }}
			}})
	}
	for _, verb := range []string{"yank", "unyank"} {
		rows = append(rows, row{pattern: "POST /api/v4/projects/{id}/packages/{package_id}/" + verb, does: verb + "s a version", at: inProjects,
			want: func(id identity, s *site) int {
				if status := deletesPackages(id, s); status != http.StatusNoContent {
					return status
				}
				return http.StatusOK
			},
			try: func(w *world, s *site, _ *caller) attempt {
				if s.registry == "disabled" {
					return attempt{call: call{method: "POST", path: fmt.Sprintf("/api/v4/projects/%d/packages/1/%s", s.project.ID, verb)}}
				}
				d := w.uploaded(s.project, newName(), "1.0")
				path := fmt.Sprintf("/api/v4/projects/%d/packages/%v", s.project.ID, w.versionID(s.project, d))
				if verb == "unyank" {
					w.send(call{method: "POST", path: path + "/yank", as: w.root(), body: map[string]string{"reason": "bad"}}).must(w, http.StatusOK)
				}
				return attempt{call{method: "POST", path: path + "/" + verb, body: map[string]string{"reason": "bad"}}, func(w *world) bool {
					return w.send(call{path: path, as: w.root()}).must(w, http.StatusOK).object(w)["status"] == map[string]string{"yank": "deprecated", "unyank": "default"}[verb]
				}}
			}})
	}
	return rows
}

// versionID is the id of a distribution's package.
func (w *world) versionID(p project, d distribution) any {
	w.Helper()
	list := w.send(call{path: fmt.Sprintf("/api/v4/projects/%d/packages?package_type=pypi&package_name=%s&package_version=%s", p.ID, d.name, d.version), as: w.root()}).must(w, http.StatusOK).list(w)
	if len(list) != 1 {
		w.Fatalf("%s %s is there %d times", d.name, d.version, len(list))
	}
	return list[0]["id"]
}
