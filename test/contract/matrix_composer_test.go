package contract

import (
	"fmt"
	"net/http"
	"slices"

	"packhouse/test/harness"
)

// The rights of Composer's protocol, at a project's and a group's prefix, and of Git repositories.

// libOf is the package that a site has, and where its archive is.
type libOf struct{ name, reference string }

func init() {
	preparations = append(preparations, func(w *world, s *site, _ people) {
		lib := libOf{name: newLib()}
		if s.registry != "disabled" {
			lib.reference = sha1Of(w.lib(s.project, lib.name, "1.0.0"))
		} else {
			lib.reference = sha1Of(nil)
		}
		s.ids["lib"] = lib
		if s.kind == inProjects {
			c := w.repository(s.project)
			c.commit(map[string]string{"composer.json": manifestOf(newLib(), "")})
			c.git("tag", "v1.0.0")
			c.push()
			s.ids["tag_name"], s.ids["branch"] = "v1.0.0", "main"
			w.send(call{method: "PUT", path: "/api/v4" + s.here() + "/mirror/pull", as: w.root(), body: map[string]any{"enabled": false, "url": "https://git.example.com/a.git"}}).must(w, http.StatusOK)
		}
	})
}

func (s *site) lib() libOf { return s.ids["lib"].(libOf) }

func composerRows() (rows []row) {
	as := func(success int, want func(identity, *site) int) func(identity, *site) int {
		return func(id identity, s *site) int {
			if status := want(id, s); status != http.StatusOK {
				return status
			}
			return success
		}
	}
	for _, prefix := range []struct {
		kind
		pattern       string
		at            func(*site) string
		index, pulled func(identity, *site) int
	}{
		{inProjects, "/api/v4/projects/{project}/packages/composer", func(s *site) string { return s.project.composer() }, pulls, pulls},
		{inGroups, "/api/v4/group/{group}/-/packages/composer", func(s *site) string { return s.group.composer() }, indexed, above(pulls)},
	} {
		reads := func(pattern, does string, want func(identity, *site) int, path func(lib libOf) string) {
			rows = append(rows, row{pattern: "GET " + prefix.pattern + pattern, does: does, at: prefix.kind, want: want, try: func(_ *world, s *site, _ *caller) attempt {
				return attempt{call: call{path: prefix.at(s) + path(s.lib())}}
			}})
		}
		same := func(path string) func(libOf) string { return func(libOf) string { return path } }
		reads("/packages", "reads the repository of Composer", prefix.index, same("/packages"))
		reads("/packages.json", "reads the repository of Composer by its file", prefix.index, same("/packages.json"))
		reads("/p/{sha}", "reads the providers", prefix.index, same("/p/0123.json"))
		reads("/list.json", "lists Composer's names", prefix.index, same("/list.json"))
		reads("/search.json", "searches Composer's packages", prefix.index, same("/search.json?q=lib"))
		reads("/changes.json", "reads what has changed", prefix.index, same("/changes.json?since=0"))
		reads("/security-advisories", "reads the advisories", prefix.index, same("/security-advisories?packages[]=a/b"))
		reads("/p2/{vendor}/{name}", "reads the metadata of a name", prefix.pulled, func(l libOf) string { return "/p2/" + l.name + ".json" })
		reads("/p2/{name}", "reads the metadata of a name with an escaped slash", prefix.pulled, func(l libOf) string { return "/p2/" + escaped(l.name) + "~dev.json" })
		reads("/{vendor}/{name}", "reads the metadata of a name by V1", prefix.pulled, func(l libOf) string { return "/" + l.name + "$0123.json" })
		reads("/{name}", "reads the metadata of a name by V1, with an escaped slash", prefix.pulled, func(l libOf) string { return "/" + escaped(l.name) + "%240123.json" })
		rows = append(rows,
			row{pattern: "POST " + prefix.pattern + "/downloads", does: "tells what was installed", at: prefix.kind, want: as(http.StatusCreated, prefix.index), try: func(_ *world, s *site, _ *caller) attempt {
				return attempt{call: call{method: "POST", path: prefix.at(s) + "/downloads", body: map[string]any{"downloads": []any{}}}}
			}},
			row{pattern: "POST " + prefix.pattern + "/security-advisories", does: "asks for advisories", at: prefix.kind, want: prefix.index, try: func(_ *world, s *site, _ *caller) attempt {
				return attempt{call: call{method: "POST", path: prefix.at(s) + "/security-advisories", body: "packages[]=a/b", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}}
			}},
		)
	}
	const pattern = "/api/v4/projects/{project}/packages/composer"
	return append(rows,
		row{pattern: "PUT " + pattern, does: "publishes a zip", at: inProjects, want: pushes(harness.Developer, 201), try: func(_ *world, s *site, _ *caller) attempt {
			name := newLib()
			return attempt{putZip(s.project, anonymous, libZip(name, "1.0.0")), func(w *world) bool {
				return s.registry != "disabled" && w.libVersions(s.project.composer(), name, w.root()) != nil
			}}
		}},
		row{pattern: "POST " + pattern, does: "publishes a tag", at: inProjects, want: pushes(harness.Developer, 201), try: func(w *world, s *site, _ *caller) attempt {
			return attempt{call: fromRef(s.project, anonymous, "tag=v1.0.0")} // again and again: that is no mistake
		}},
		row{pattern: "POST " + pattern + "/abandon", does: "abandons a package", at: inProjects, want: pushes(harness.Developer, 201), try: func(w *world, s *site, _ *caller) attempt {
			name := newLib()
			if s.registry != "disabled" {
				w.lib(s.project, name, "1.0.0")
			}
			abandon := fromRef(s.project, anonymous, "name="+name)
			abandon.path += "/abandon"
			return attempt{abandon, func(w *world) bool {
				return s.registry != "disabled" && w.libVersions(s.project.composer(), name, w.root())["1.0.0"]["abandoned"] == true
			}}
		}},
		row{pattern: "GET " + pattern + "/archives/{vendor}/{name}", does: "downloads an archive", at: inProjects, want: pulls, try: func(_ *world, s *site, _ *caller) attempt {
			return attempt{call: call{path: s.project.composer() + "/archives/" + s.lib().name + ".zip?sha=" + s.lib().reference}}
		}},
		row{pattern: "GET " + pattern + "/archives/{name}", does: "downloads an archive with an escaped slash", at: inProjects, want: pulls, try: func(_ *world, s *site, _ *caller) attempt {
			return attempt{call: call{path: s.project.composer() + "/archives/" + escaped(s.lib().name) + ".zip?sha=" + s.lib().reference}}
		}},
	)
}

// fetches is who clones a repository: as who reads packages, but for what only says who may have packages.
func fetches(id identity, s *site) int {
	id = id.inProject()
	switch {
	case id.refused != 0:
		return id.refused
	case !id.known(s) && id.nobody():
		return http.StatusUnauthorized
	case !id.known(s):
		return http.StatusNotFound
	case !id.can("api", "read_api", "read_repository", "write_repository", "read_package_registry", "write_package_registry"):
		return http.StatusForbidden
	}
	return http.StatusOK
}

// commits is who pushes to one. Neither jobs nor deploy tokens do.
func commits(id identity, s *site) int {
	switch status := fetches(id, s); {
	case status != http.StatusOK && status != http.StatusForbidden:
		return status
	case id.nobody():
		return http.StatusUnauthorized
	case id.packages || id.inProject().level < harness.Developer || !id.can("api", "write_repository"):
		return http.StatusForbidden
	}
	return http.StatusOK
}

func repositoryRows() (rows []row) {
	git := func(method, rest, query, does string, want func(identity, *site) int) {
		pattern := method + " /{repository}/" + rest
		rows = append(rows, row{pattern: pattern, does: does, at: inProjects, want: want, try: func(_ *world, s *site, _ *caller) attempt {
			c := call{method: method, path: "/" + s.project.PathWithNamespace + ".git/" + rest + query}
			if method == "POST" {
				c.body, c.header = "0000", map[string]string{"Content-Type": "application/x-" + rest + "-request"}
			}
			return attempt{call: c}
		}})
	}
	git("GET", "info/refs", "?service=git-upload-pack", "begins to fetch", fetches)
	git("GET", "info/refs", "?service=git-receive-pack", "begins to push", commits)
	git("POST", "git-upload-pack", "", "fetches", fetches)
	git("POST", "git-receive-pack", "", "pushes", commits)

	looks := func(id identity, s *site) int { // as [sees], and with the scope read_repository
		if slices.Contains(id.scopes, "read_repository") && !id.packages {
			id.scopes = []string{"api"}
		}
		return sees(id, s)
	}
	const tags, branches, mirror = "/projects/{id}/repository/tags", "/projects/{id}/repository/branches", "/projects/{id}/mirror/pull"
	for _, in := range []struct{ list, name, param, kind string }{{tags, "tag_name", "tag_name", "tag"}, {branches, "branch", "branch", "branch"}} {
		made := func(w *world, s *site) string {
			name := "n" + harness.Random()[:12]
			w.send(call{method: "POST", path: "/api/v4" + s.route("POST "+in.list), as: w.root(), body: map[string]any{in.param: name, "ref": "main"}}).must(w, http.StatusCreated)
			return name
		}
		has := func(s *site, name string) func(*world) bool {
			return func(w *world) bool { return w.there(s.route("GET "+in.list) + "/" + name) }
		}
		rows = append(rows,
			reads(inProjects, "GET /api/v4"+in.list, "lists the repository's "+in.kind, looks),
			reads(inProjects, "GET /api/v4"+in.list+"/{"+in.name+"}", "looks at a "+in.kind, looks),
			row{pattern: api("POST " + in.list), does: "creates a " + in.kind, at: inProjects, want: manages(harness.Developer, 201), try: func(_ *world, s *site, _ *caller) attempt {
				name := "n" + harness.Random()[:12]
				return attempt{call{method: "POST", path: "/api/v4" + s.route("POST "+in.list), body: map[string]any{in.param: name, "ref": "main"}}, has(s, name)}
			}},
			row{pattern: api("DELETE " + in.list + "/{" + in.name + "}"), does: "deletes a " + in.kind, at: inProjects, want: manages(harness.Developer, 204), try: func(w *world, s *site, _ *caller) attempt {
				name := made(w, s)
				there := has(s, name)
				return attempt{call{method: "DELETE", path: "/api/v4" + s.route("DELETE "+in.list) + "/" + name}, func(w *world) bool { return !there(w) }}
			}},
		)
	}
	return append(rows,
		reads(inProjects, "GET /api/v4"+mirror, "looks at the remote that the repository follows", inspects(harness.Maintainer)),
		row{pattern: api("PUT " + mirror), does: "says which remote the repository follows", at: inProjects, want: manages(harness.Maintainer, 200), try: func(_ *world, s *site, _ *caller) attempt {
			remote := "https://git.example.com/" + harness.Random()[:12] + ".git"
			path := "/api/v4" + s.route("PUT "+mirror)
			return attempt{call{method: "PUT", path: path, body: map[string]any{"enabled": false, "url": remote}}, func(w *world) bool {
				return w.send(call{path: path, as: w.root()}).says("url") == remote
			}}
		}},
		row{pattern: api("POST " + mirror), does: "asks to fetch what follows nothing", at: inProjects, want: func(id identity, s *site) int {
			if status := manages(harness.Developer, 200)(id, s); status != http.StatusOK {
				return status
			}
			return http.StatusBadRequest
		}, try: func(_ *world, s *site, _ *caller) attempt {
			return attempt{call: call{method: "POST", path: fmt.Sprintf("/api/v4%s/mirror/pull", s.here())}}
		}},
	)
}
