package contract

import (
	"net/http"
	"strings"

	"packhouse/test/harness"
)

// The rights of NuGet's protocols, at a project's and a group's prefix.

func init() {
	preparations = append(preparations, func(w *world, s *site, _ people) {
		id := newID()
		if s.registry != "disabled" {
			w.packed(s.project, id, "1.0.0")
		}
		s.ids["nuget"] = id
	})
}

func nugetRows() (rows []row) {
	everybody := func(success int) func(identity, *site) int {
		return func(identity, *site) int { return success }
	}
	for _, prefix := range []struct {
		kind
		pattern          string
		searched, pulled func(identity, *site) int
	}{
		{inProjects, "/api/v4/projects/{project}/packages/nuget", pulls, pulls},
		{inGroups, "/api/v4/groups/{group}/-/packages/nuget", indexed, above(pulls)},
	} {
		for path, does := range map[string]string{
			"/index": "reads the service index", "/index.json": "reads the service index",
			"/query": "searches NuGet's packages", "/query.json": "searches NuGet's packages",
			"/autocomplete": "completes ids", "/autocomplete.json": "completes ids",
			"/download/{name}/{index}":                      "reads the versions in the flat container",
			"/download/{name}/{version}/{file}":             "downloads a package of NuGet",
			"/metadata/{name}/{version}":                    "reads a registration",
			"/metadata/{name}/page/{lower}/{upper}":         "reads a registration page",
			"/metadata-semver2/{name}/{version}":            "reads a registration of the hive of SemVer 2",
			"/metadata-semver2/{name}/page/{lower}/{upper}": "reads a registration page of the hive of SemVer 2",
			"/symbolfiles/{file}/{signature}/{same}":        "asks for debug symbols",
			"/v2":                                           "reads the service document of V2",
			"/v2/$metadata":                                 "reads the schema of V2",
			"/v2/{call}":                                    "reads a feed of V2",
			"/v2/{call}/{count}":                            "counts the versions of a feed",
			"/v2/package/{name}":                            "downloads the latest package by V2",
			"/v2/package/{name}/{version}":                  "downloads a package by V2",
		} {
			want := prefix.pulled
			switch {
			case strings.HasPrefix(path, "/index"), path == "/v2", path == "/v2/$metadata":
				want = everybody(http.StatusOK)
			case strings.HasPrefix(path, "/query"), strings.HasPrefix(path, "/autocomplete"), strings.HasPrefix(path, "/v2/{call}"):
				want = prefix.searched
			case strings.HasPrefix(path, "/symbolfiles"):
				want = func(id identity, s *site) int {
					status := prefix.searched(id, s)
					switch {
					case id.refused != 0:
						return id.refused
					case status == http.StatusOK:
						return http.StatusNotFound // there are none
					}
					return http.StatusForbidden // also to who may not know of the place: debuggers say nothing of themselves
				}
			}
			rows = append(rows, row{pattern: "GET " + prefix.pattern + path, does: does, at: prefix.kind, want: want, try: func(_ *world, s *site, _ *caller) attempt {
				names := strings.NewReplacer("{name}", s.ids["nuget"].(string), "{index}", "index.json", "{call}", "Packages()", "{count}", "$count", "{version}", "1.0.0", "{lower}", "1.0.0", "{upper}", "1.0.0.json",
					"{file}", strings.ToLower(s.ids["nuget"].(string))+".1.0.0.nupkg", "{signature}", strings.Repeat("a", 40), "{same}", strings.ToLower(s.ids["nuget"].(string))+".1.0.0.nupkg")
				return attempt{call: call{path: s.route("GET " + names.Replace(prefix.pattern+path)), header: map[string]string{"Symbolchecksum": "SHA256:" + strings.Repeat("b", 64)}}}
			}})
		}
	}
	const project = "/api/v4/projects/{project}/packages/nuget"
	for path, does := range map[string]string{"": "pushes a package of NuGet", "/v2": "pushes a package to V2", "/v2/package": "pushes a package to V2's own path"} {
		rows = append(rows, row{pattern: "PUT " + project + path, does: does, at: inProjects, want: pushes(harness.Developer, http.StatusCreated), try: func(_ *world, s *site, _ *caller) attempt {
			n := newNupkg(newID(), "1.0.0", "")
			return attempt{n.push(s.project.nuget()+path, anonymous), func(w *world) bool {
				return s.registry != "disabled" && w.versionsOf(s.project.nuget(), n.id, w.root()) != nil
			}}
		}})
	}
	for path, does := range map[string]string{"": "deletes a package of NuGet", "/v2": "deletes a package by V2", "/v2/package": "deletes a package by V2's own path"} {
		rows = append(rows, row{pattern: "DELETE " + project + path + "/{name}/{version}", does: does, at: inProjects, want: pushes(harness.Maintainer, http.StatusNoContent), try: func(w *world, s *site, _ *caller) attempt {
			id := newID()
			if s.registry != "disabled" {
				w.packed(s.project, id, "1.0.0")
			}
			return attempt{call{method: "DELETE", path: s.project.nuget() + path + "/" + id + "/1.0.0"}, func(w *world) bool {
				return s.registry != "disabled" && w.versionsOf(s.project.nuget(), id, w.root()) == nil
			}}
		}})
	}
	return append(rows,
		row{pattern: "PUT " + project + "/symbolpackage", does: "pushes debug symbols", at: inProjects, want: pushes(harness.Developer, http.StatusBadRequest), try: func(_ *world, s *site, _ *caller) attempt {
			return attempt{call: pushed(s.project.nuget()+"/symbolpackage", []byte("not a package"), anonymous)}
		}},
		row{pattern: "POST " + project + "/{name}/{version}", does: "lists a package of NuGet again", at: inProjects, want: pushes(harness.Maintainer, http.StatusOK), try: func(w *world, s *site, _ *caller) attempt {
			return attempt{call: call{method: "POST", path: s.project.nuget() + "/" + s.ids["nuget"].(string) + "/1.0.0"}}
		}},
	)
}
