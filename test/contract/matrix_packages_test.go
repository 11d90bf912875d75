package contract

import (
	"fmt"
	"net/http"

	"packhouse/test/harness"
)

// The rights of the Packages API. Here deploy and job tokens count, and anybody may pull does not make a project known.

// readsPackages is who lists and downloads the packages of a project.
func readsPackages(id identity, s *site) int {
	switch {
	case id.refused != 0:
		return id.refused
	case !id.known(s) && !id.job:
		return http.StatusNotFound
	case !id.known(s), s.registry == "disabled", s.registry == "private" && id.level < harness.Guest,
		!id.can("api", "read_api", "read_package_registry", "write_package_registry"):
		return http.StatusForbidden
	}
	return http.StatusOK
}

// deletesPackages is who deletes them.
func deletesPackages(id identity, s *site) int {
	switch status := readsPackages(id, s); {
	case status != http.StatusOK:
		return status
	case id.level >= harness.Maintainer && id.can("api", "write_package_registry"):
		return http.StatusNoContent
	}
	return http.StatusForbidden
}

// readsPackagesOfGroup is who lists those of a group, as far as they may see them.
func readsPackagesOfGroup(id identity, s *site) int {
	switch {
	case id.refused != 0:
		return id.refused
	case !id.known(s):
		return http.StatusNotFound
	case !id.can("api", "read_api", "read_package_registry", "write_package_registry"):
		return http.StatusForbidden
	}
	return http.StatusOK
}

// doomed publishes a version to be deleted, and says its id and that of its file. There are none where nobody has packages.
func (w *world) doomed(s *site) (pkg, file int64) {
	if s.registry == "disabled" {
		return 1, 1
	}
	k := newPack()
	w.publish(s.project, w.root(), k)
	pkg = w.packageID(s.project, k, w.root())
	return pkg, w.fileID(s.project, pkg, w.root())
}

func init() {
	preparations = append(preparations, func(w *world, s *site, _ people) {
		s.ids["package_id"], s.ids["package_file_id"] = w.doomed(s)
	})
}

func packageRows() []row {
	const one = "/api/v4/projects/{id}/packages/{package_id}"
	gone := func(s *site, path string) func(*world) bool {
		if s.registry == "disabled" {
			return nil
		}
		return func(w *world) bool { return !w.there(path) }
	}
	return []row{
		reads(inProjects, "GET /api/v4/projects/{id}/packages", "lists the packages", readsPackages),
		reads(inGroups, "GET /api/v4/groups/{id}/packages", "lists the packages", readsPackagesOfGroup),
		reads(inProjects, "GET "+one, "looks at a package", readsPackages),
		reads(inProjects, "GET "+one+"/pipelines", "lists the pipelines of a package", readsPackages),
		reads(inProjects, "GET "+one+"/package_files", "lists the files of a package", readsPackages),
		reads(inProjects, "GET "+one+"/package_files/{package_file_id}/download", "downloads a file by its number", readsPackages),
		{pattern: "DELETE " + one, does: "deletes a package", at: inProjects, want: deletesPackages, try: func(w *world, s *site, _ *caller) attempt {
			pkg, _ := w.doomed(s)
			path := fmt.Sprintf("/projects/%d/packages/%d", s.project.ID, pkg)
			return attempt{call{method: "DELETE", path: "/api/v4" + path}, gone(s, path)}
		}},
		{pattern: "DELETE " + one + "/package_files/{package_file_id}", does: "deletes a file of a package", at: inProjects, want: deletesPackages, try: func(w *world, s *site, _ *caller) attempt {
			pkg, file := w.doomed(s)
			path := fmt.Sprintf("/projects/%d/packages/%d/package_files/%d", s.project.ID, pkg, file)
			return attempt{call{method: "DELETE", path: "/api/v4" + path}, gone(s, path+"/download")}
		}},
	}
}
