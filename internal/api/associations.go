package api

import (
	"net/http"

	"packhouse/internal/registry"
)

func (a *API) associationRoutes() []route {
	return []route{{"GET /personal_access_tokens/self/associations", a.listAssociations, operation{tag: "Personal access tokens",
		summary: "The groups and projects in which the user of the token is a member", out: associationsJSON{}, in: append([]param{inNumber("min_access_level")}, inPages...)}}}
}

type associationsJSON struct {
	Groups   []groupAssociation   `json:"groups"`
	Projects []projectAssociation `json:"projects"`
}

type groupAssociation struct {
	ID             int64               `json:"id"`
	WebURL         string              `json:"web_url"`
	Name           string              `json:"name"`
	ParentID       *int64              `json:"parent_id"`
	OrganizationID int                 `json:"organization_id"`
	Level          registry.Level      `json:"access_levels"`
	Visibility     registry.Visibility `json:"visibility"`
}

type projectAssociation struct {
	ID                int64               `json:"id"`
	Description       string              `json:"description"`
	Name              string              `json:"name"`
	NameWithNamespace string              `json:"name_with_namespace"`
	Path              string              `json:"path"`
	PathWithNamespace string              `json:"path_with_namespace"`
	CreatedAt         timestamp           `json:"created_at"`
	Levels            associationLevels   `json:"access_levels"`
	Visibility        registry.Visibility `json:"visibility"`
	WebURL            string              `json:"web_url"`
	Namespace         namespaceJSON       `json:"namespace"`
}

type associationLevels struct {
	Project *registry.Level `json:"project_access_level"`
	Group   *registry.Level `json:"group_access_level"`
}

// listAssociations answers a page of each list at once; the headers tell of the longer one.
func (a *API) listAssociations(w http.ResponseWriter, r *http.Request) error {
	c, _, err := a.ownToken(w, r)
	if err != nil {
		return err
	}
	if err := c.scoped(r); err != nil {
		return err
	}
	least, pg := max(c.level("min_access_level"), registry.Guest), c.page()
	if err := c.wrong(); err != nil {
		return err
	}
	var body associationsJSON
	var total int
	err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) error {
		groups, n, err := tx.Groups(registry.GroupFilter{Viewer: c.who.Viewer(), Level: least, Order: registry.GroupsByID, Limit: pg.size, Offset: pg.offset()})
		if err != nil {
			return err
		}
		projects, m, err := tx.Projects(registry.ProjectFilter{Viewer: c.who.Viewer(), Level: least, Order: registry.ProjectsByID, Limit: pg.size, Offset: pg.offset()})
		if err != nil {
			return err
		}
		total = max(n, m)
		var above []int64
		for _, g := range groups {
			above = append(above, g.Lineage...)
		}
		around, err := c.around(tx, nil, above)
		if err != nil {
			return err
		}
		body.Groups = each(groups, func(g *registry.Group) groupAssociation {
			return groupAssociation{g.ID, c.base + "/groups/" + g.FullPath, g.Name, orNull(g.ParentID), 1, around.inherited(g.Lineage), g.Visibility}
		})
		forms, err := c.projectsJSON(tx, projects, false, false)
		body.Projects = each(forms, func(p projectJSON) projectAssociation {
			level := func(p *permissionJSON) *registry.Level {
				if p == nil {
					return nil
				}
				return &p.Level
			}
			return projectAssociation{p.ID, p.Description, p.Name, p.NameWithNamespace, p.Path, p.PathWithNamespace, p.CreatedAt,
				associationLevels{level(p.Permissions.Project), level(p.Permissions.Group)}, p.Visibility, p.WebURL, p.Namespace}
		})
		return err
	})
	if err != nil {
		return err
	}
	return c.writePage(w, r, pg, total, body)
}
