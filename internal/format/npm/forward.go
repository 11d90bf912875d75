package npm

import (
	"net/http"
	"net/url"
	"strings"

	"packhouse/internal/registry"
)

// forward answers a read of a name that was not found, which is what err says: with a redirect to the upstream where
// the settings of the project or group want it, otherwise with err. rest is what follows the name in the path.
//
// A name is ours, and never asked for elsewhere, when it is or ever was in a project below the same top-level
// namespace, or one that had its path, whoever may see it; when its scope is the path of any top-level namespace, or was
// one with packages; and when it is reserved.
// Otherwise whoever takes the name upstream would be installed in our place.
func (h *Handler) forward(w http.ResponseWriter, q *request, name string, err error, rest ...string) error {
	// npm asks for the packument before it publishes, and would compare versions with a stranger's.
	if err != errNoPackages || h.Upstream == "" || q.Header.Get("Npm-Command") == "publish" {
		return err
	}
	ours, err := h.ours(q, name)
	if err != nil {
		return err
	}
	if ours {
		return errNoPackages
	}
	location := h.Upstream + "/" + url.PathEscape(name)
	for _, part := range rest {
		location += "/" + url.PathEscape(part)
	}
	w.Header().Set("Vary", "Authorization")
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusFound)
	return nil
}

// ours tells whether a name that the place of a request does not have must not be forwarded.
func (h *Handler) ours(q *request, name string) (bool, error) {
	view, err := h.Gate.Now(q.Context())
	if err != nil {
		return true, err
	}
	var group, project, root int64
	if q.at.Project != "" {
		p, err := view.Project(q.at.Project)
		if err != nil {
			return true, err
		}
		project, root = p.ID, p.RootID()
	} else {
		g, err := view.Group(q.at.Group)
		if err != nil {
			return true, err
		}
		group, root = g.ID, g.Lineage[0]
	}
	policy, err := view.Policy(group, project)
	if err != nil || !policy.Forwards(registry.NPM) || policy.Reserved(registry.NPM, name) {
		return true, err
	}
	if scope := scopeOf(name); scope != "" {
		switch _, err := view.Namespace(strings.ToLower(scope)); {
		case err == nil:
			return true, nil
		case registry.KindOf(err) != registry.NotFound:
			return true, err
		}
	}
	known := true
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) (err error) {
		known, err = tx.NameIsKnown(registry.NPM, scopeOf(name), name, root)
		return err
	})
	return known, err
}
