package npm

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

const (
	maxListed   = 1000 // names in a list that npm does not page
	maxSearched = 250  // results on a page
)

// search answers GET /-/v1/search?text=&size=&from=.
func (h *Handler) search(w http.ResponseWriter, q *request) error {
	_, filter, _, err := h.List(q.Request, q.at)
	if err != nil {
		return err
	}
	query := q.URL.Query()
	filter.Limit, filter.Offset = 20, 0
	for name, into := range map[string]*int{"size": &filter.Limit, "from": &filter.Offset} {
		if text := query.Get(name); text != "" {
			if *into, err = strconv.Atoi(text); err != nil || *into < 0 {
				return registry.Errorf(registry.Invalid, "%s is invalid", name)
			}
		}
	}
	filter.Limit = min(filter.Limit, maxSearched)
	for term := range strings.FieldsSeq(query.Get("text")) {
		// npm's qualifiers: keywords are among the words; the others are about people and boosts, which do not narrow.
		qualifier, value, qualified := strings.Cut(term, ":")
		switch {
		case !qualified || !slices.Contains([]string{"keywords", "author", "maintainer", "scope", "not", "is", "boost-exact"}, qualifier):
			filter.Terms = append(filter.Terms, term)
		case qualifier == "keywords":
			filter.Terms = append(filter.Terms, strings.Split(value, ",")...)
		case qualifier == "scope":
			filter.Terms = append(filter.Terms, "@"+strings.TrimPrefix(value, "@")+"/")
		}
	}
	if len(filter.Terms) > 20 {
		return registry.Errorf(registry.Invalid, "text has too many words")
	}

	var entries []*registry.Entry
	var total int
	packages := map[int64]map[string]any{}
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) (err error) {
		if entries, total, err = tx.SearchEntries(filter); err != nil {
			return err
		}
		latest := make([]int64, len(entries))
		for i, e := range entries {
			latest[i] = e.LatestID
		}
		return tx.Fragments(latest, full, func(p *registry.Package, body []byte) error {
			var m struct {
				Description                                           any `json:",omitempty"`
				Keywords, Author, Homepage, Repository, Bugs, License any
				Publisher                                             *person `json:"_npmUser"`
			}
			// A manifest is what its publisher made of it: a field of an odd shape is shown as it is.
			if err := json.Unmarshal(slices.DeleteFunc(slices.Clone(body), func(c byte) bool { return c == 0 }), &m); err != nil {
				return err
			}
			shown := map[string]any{"name": p.Name, "version": p.Version, "date": stamp(p.CreatedAt), "links": links(m.Homepage, m.Repository, m.Bugs), "maintainers": []person{}}
			for key, value := range map[string]any{"description": m.Description, "keywords": m.Keywords, "author": m.Author, "license": m.License} {
				if value != nil {
					shown[key] = value
				}
			}
			if m.Publisher != nil {
				by := map[string]string{"username": m.Publisher.Name, "email": ""}
				shown["publisher"], shown["maintainers"] = by, []any{by}
			}
			if scope := scopeOf(p.Name); scope != "" {
				shown["scope"] = scope
			} else {
				shown["scope"] = "unscoped"
			}
			packages[p.ID] = shown
			return nil
		})
	})
	if err != nil {
		return err
	}
	objects := []map[string]any{}
	for _, e := range entries {
		if shown := packages[e.LatestID]; shown != nil {
			objects = append(objects, map[string]any{
				"package": shown, "searchScore": 1, "flags": map[string]any{},
				"score": map[string]any{"final": 1, "detail": map[string]any{"quality": 1, "popularity": 1, "maintenance": 1}},
			})
		}
	}
	w.Header().Set("Vary", "Authorization")
	return writeJSON(w, http.StatusOK, map[string]any{"objects": objects, "total": total, "time": stamp(time.Now())})
}

// links are the addresses of a package that are texts.
func links(homepage, repository, bugs any) map[string]string {
	found := map[string]string{}
	for key, value := range map[string]any{"homepage": homepage, "repository": repository, "bugs": bugs} {
		if object, ok := value.(map[string]any); ok {
			value = object["url"]
		}
		if text, ok := value.(string); ok && text != "" {
			found[key] = text
		}
	}
	return found
}

// listPackages answers GET /-/org/ORG/package and /-/user/USER/package: the packages below the prefix, or below the
// group or user where the prefix is the instance's, and what the caller may do with them.
func (h *Handler) listPackages(w http.ResponseWriter, q *request, owner string) error {
	c, filter, _, err := h.List(q.Request, q.at)
	if err != nil {
		return err
	}
	if q.at.Project == "" && q.at.Group == "" {
		filter.Group, err = c.View.Namespace(strings.TrimPrefix(owner, "@"))
		if err == nil {
			err = c.View.AuthorizeGroup(c.Caller, filter.Group, access.Read)
		}
		switch registry.KindOf(err) {
		case registry.NotFound, registry.Unauthenticated:
			return registry.Errorf(registry.NotFound, "404 Scope Not Found") // there or not
		}
		if err != nil {
			return err
		}
	}
	filter.Limit = maxListed
	rights := map[string]string{}
	var entries []*registry.Entry
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) (err error) {
		entries, _, err = tx.SearchEntries(filter)
		return err
	})
	if err != nil {
		return err
	}
	for _, e := range entries {
		p, err := c.View.ProjectByID(e.ProjectID)
		if registry.KindOf(err) == registry.NotFound { // removed since the list was read
			continue
		}
		if err != nil {
			return err
		}
		if c.View.Authorize(c.Caller, p, access.Publish) == nil {
			rights[e.Name] = "read-write"
		} else if rights[e.Name] == "" {
			rights[e.Name] = "read-only"
		}
	}
	return writeJSON(w, http.StatusOK, rights)
}
