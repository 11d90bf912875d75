package api

import (
	"net/http"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

func (a *API) yankRoutes() []route {
	const one = "/projects/{id}/packages/{package_id}"
	return []route{
		{"POST " + one + "/yank", a.yank(true), operation{tag: "Packages", summary: "Yank a version: installers choose it only where it is pinned", out: packageJSON{}, status: http.StatusOK,
			in: []param{inText("reason")}}},
		{"POST " + one + "/unyank", a.yank(false), operation{tag: "Packages", summary: "Take a yank back", out: packageJSON{}, status: http.StatusOK}},
	}
}

// yank is not in GitLab. It is for formats whose installers know of it: PyPI (PEP 592), and npm, which calls it deprecated.
func (a *API) yank(yanked bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, project, err := a.packagesOf(w, r, access.Delete)
		if err != nil {
			return err
		}
		id, reason := c.number("package_id", 0), ""
		if yanked {
			reason = c.text("reason", "")
		}
		if err := c.wrong(); err != nil {
			return err
		}
		err = a.reg.Yank(r.Context(), id, yanked, reason, func(_ registry.Tx, p *registry.Package) error {
			switch {
			case p.ProjectID != project.ID, p.Status != registry.Default && p.Status != registry.Deprecated:
				return errNotFound
			case p.Type != registry.PyPI && p.Type != registry.NPM:
				return refuse(http.StatusBadRequest, "400 Bad request - packages of the type "+string(p.Type)+" cannot be yanked")
			case yanked && p.Type == registry.NPM && reason == "":
				return refuse(http.StatusBadRequest, "400 Bad request - npm shows the reason for which a version is deprecated, so one must be given")
			}
			return nil
		})
		if err != nil {
			return err
		}
		return a.showPackage(w, r)
	}
}
