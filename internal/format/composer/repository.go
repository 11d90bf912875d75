package composer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"packhouse/internal/document"
	"packhouse/internal/format"
	"packhouse/internal/registry"
)

// below is the path of a prefix, with the number of its project or group.
func below(q *request, f registry.EntryFilter) string {
	if f.Project != 0 {
		return place(f.Project)
	}
	return "/api/v4/group/" + strconv.FormatInt(f.Group.ID, 10) + "/-/packages/composer"
}

// scope is what a list may show, at one state of it.
type scope struct {
	registry.EntryFilter
	prefix   string // path
	projects []registry.Revision
	paths    map[int64]string
	key      string // what the documents depend on besides the revisions
}

// scope finds what a list may show. withPaths: the document holds the paths of the projects.
func (h *Handler) scope(q *request, withPaths bool) (*scope, error) {
	c, filter, _, err := h.List(q.Request, q.at)
	if err != nil {
		return nil, err
	}
	s := &scope{EntryFilter: filter, prefix: below(q, filter)}
	if err := h.Registry.Store.Read(q.Context(), s.look); err != nil {
		return nil, err
	}
	s.key = q.base + s.prefix
	if !withPaths {
		return s, nil
	}
	ids := make([]int64, len(s.projects))
	for i, p := range s.projects {
		ids[i] = p.ProjectID
	}
	if err := c.View.Learn(q.Context(), c.Caller, ids); err != nil {
		return nil, err
	}
	places, err := placesOf(c, s.projects)
	if err != nil {
		return nil, err
	}
	s.paths = places.paths
	sum := sha256.Sum256([]byte(places.key))
	s.key += " " + hex.EncodeToString(sum[:])
	return s, nil
}

// look reads the projects that are listed, each with how often its names have changed.
func (s *scope) look(tx registry.Tx) (err error) {
	s.projects, err = tx.ProjectRevisions(s.EntryFilter)
	return err
}

// serveScope answers a document about all that a list may show.
func (h *Handler) serveScope(w http.ResponseWriter, q *request, variant string, withPaths bool, write func(tx registry.Tx, s *scope, w io.Writer) error) error {
	s, err := h.scope(q, withPaths)
	if err != nil {
		return err
	}
	return h.Documents.Serve(w, q.Request, document.Request{
		Key: document.MakeKey(registry.Composer, variant, "", s.key, s.projects), ContentType: mediaType, Vary: vary, ByTime: true,
		Build: func(ctx context.Context, w io.Writer) (built document.Built, err error) {
			now := *s
			err = h.Registry.Store.Read(ctx, func(tx registry.Tx) error {
				if err := now.look(tx); err != nil {
					return err
				}
				built = document.Built{Key: document.MakeKey(registry.Composer, variant, "", s.key, now.projects), Modified: time.Now()}
				return write(tx, &now, w)
			})
			return built, err
		},
	})
}

// maxAvailable is how many names the repository lists. Of more it lists patterns of vendors.
const maxAvailable = 10_000

// repository is packages.json.
type repository struct {
	Packages    []struct{}        `json:"packages"`
	MetadataURL string            `json:"metadata-url"`
	Includes    map[string]sha    `json:"provider-includes,omitempty"`
	Providers   string            `json:"providers-url,omitempty"`
	Available   []string          `json:"available-packages,omitempty"`
	Patterns    []string          `json:"available-package-patterns,omitempty"`
	ChangesURL  string            `json:"metadata-changes-url"`
	List        string            `json:"list"`
	Search      string            `json:"search"`
	Notify      string            `json:"notify-batch"`
	Advisories  advisoriesPointer `json:"security-advisories"`
}

type sha struct {
	SHA256 string `json:"sha256"`
}

type advisoriesPointer struct {
	Metadata bool   `json:"metadata"`
	URL      string `json:"api-url"`
}

// root answers GET /packages.json.
func (h *Handler) root(w http.ResponseWriter, q *request) error {
	first, variant := !second(q.Request), "root 2"
	if first {
		variant = "root 1"
	}
	return h.serveScope(w, q, variant, first, func(tx registry.Tx, s *scope, w io.Writer) error {
		r := repository{Packages: []struct{}{}, MetadataURL: s.prefix + "/p2/%package%.json", ChangesURL: s.prefix + "/changes.json", List: s.prefix + "/list.json",
			Search: s.prefix + "/search.json?q=%query%&type=%type%", Notify: s.prefix + "/downloads", Advisories: advisoriesPointer{URL: q.base + s.prefix + "/security-advisories"}} // older clients take this one as it is
		vendors := map[string]bool{}
		err := tx.EachName(s.EntryFilter, func(name, _ string) error {
			vendor, _, _ := strings.Cut(name, "/")
			vendors[vendor] = true
			if len(r.Available) <= maxAvailable {
				r.Available = append(r.Available, name)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(r.Available) > maxAvailable {
			r.Available = nil
			for _, vendor := range slices.Sorted(maps.Keys(vendors)) {
				r.Patterns = append(r.Patterns, vendor+"/*")
			}
		}
		if first {
			sum := sha256.New()
			if err := h.writeProviders(tx, s, q.base, sum); err != nil {
				return err
			}
			r.Includes = map[string]sha{"p/%hash%.json": {hex.EncodeToString(sum.Sum(nil))}}
			r.Providers = s.prefix + "/%package%$%hash%.json"
		}
		return writeAsIs(w, r)
	})
}

// providers answers GET /p/:sha.json. As in GitLab, the hash is not looked at.
func (h *Handler) providers(w http.ResponseWriter, q *request) error {
	if strings.TrimSuffix(q.PathValue("sha"), ".json") == "" {
		return format.ErrNoPackage
	}
	return h.serveScope(w, q, "providers", true, func(tx registry.Tx, s *scope, w io.Writer) error {
		return h.writeProviders(tx, s, q.base, w)
	})
}

// providerPage is how many entries are looked at at once.
const providerPage = 1000

// writeProviders writes V1's list: the names, each with the SHA-256 of its document.
func (h *Handler) writeProviders(tx registry.Tx, s *scope, base string, w io.Writer) error {
	if _, err := io.WriteString(w, `{"providers":{`); err != nil {
		return err
	}
	comma := ""
	var group []registry.Revision // the entries of one name
	var name string
	flush := func() error {
		if len(group) == 0 {
			return nil
		}
		slices.SortFunc(group, func(a, b registry.Revision) int { return cmp.Compare(a.ProjectID, b.ProjectID) })
		sum, err := h.hash(tx, s, base, name, group)
		group = nil
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, comma+string(raw(name))+`:{"sha256":"`+sum+`"}`)
		comma = ","
		return err
	}
	filter := s.EntryFilter
	for filter.Limit = providerPage; ; filter.Offset += providerPage {
		entries, total, err := tx.SearchEntries(filter)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Name != name {
				if err := flush(); err != nil {
					return err
				}
				name = e.Name
			}
			group = append(group, registry.Revision{ProjectID: e.ProjectID, EntryID: e.ID, Revision: e.Revision})
		}
		if filter.Offset+len(entries) >= total {
			break
		}
	}
	if err := flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, "}}")
	return err
}

// hashes are those of V1's documents, by their keys, so that a list of a thousand names is made without making the thousand
// documents that have not changed.
type hashes struct {
	mu   sync.Mutex
	kept map[document.Key]string
}

// maxHashes that are kept; one takes some hundred bytes.
const maxHashes = 50_000

// hash is the SHA-256 of V1's document of a name.
func (h *Handler) hash(tx registry.Tx, s *scope, base, name string, entries []registry.Revision) (string, error) {
	pathKey, ids := "", make([]int64, len(entries))
	for i, e := range entries {
		ids[i] = e.EntryID
		pathKey += "\n" + s.paths[e.ProjectID]
	}
	key := document.MakeKey(registry.Composer, variantWhole, name, base+pathKey, entries)
	h.hashes.mu.Lock()
	sum, known := h.hashes.kept[key]
	h.hashes.mu.Unlock()
	if known {
		return sum, nil
	}
	all, err := versions(tx, ids, base, s.paths, func(string) bool { return true })
	if err != nil {
		return "", err
	}
	digest := sha256.New()
	if err := writeWhole(digest, name, all); err != nil {
		return "", err
	}
	sum = hex.EncodeToString(digest.Sum(nil))
	h.hashes.mu.Lock()
	defer h.hashes.mu.Unlock()
	if h.hashes.kept == nil || len(h.hashes.kept) >= maxHashes {
		h.hashes.kept = map[document.Key]string{}
	}
	h.hashes.kept[key] = sum
	return sum, nil
}
