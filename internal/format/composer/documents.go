package composer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"packhouse/internal/document"
	"packhouse/internal/format"
	"packhouse/internal/registry"
)

const mediaType = "application/json"

// vary is on what a document depends besides the usual: Composer 1 and 2 get different ones at one URL.
var vary = []string{"Accept-Encoding, Authorization, User-Agent"}

// writeAsIs writes JSON without escapes for HTML, which would make ">=8.1" longer, and without a line break.
func writeAsIs(w io.Writer, value any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	return err
}

// raw is a value as JSON.
func raw(value any) json.RawMessage {
	var b bytes.Buffer
	writeAsIs(&b, value) // of types that JSON can be
	return b.Bytes()
}

// ---- one version

type dist struct {
	Type      string `json:"type"`
	URL       string `json:"url"`
	Reference string `json:"reference"`
	Shasum    string `json:"shasum"`
}

type source struct {
	Type      string `json:"type"`
	URL       string `json:"url"`
	Reference string `json:"reference"`
}

// show is a version as the documents have it: all of composer.json, and over it what is ours.
func (v *version) show(p *registry.Package, base, fullPath string) map[string]json.RawMessage {
	shown := v.Manifest
	if shown == nil {
		shown = map[string]json.RawMessage{}
	}
	for _, ours := range []string{"version_normalized", "dist", "source", "uid", "default-branch", "notification-url", "installation-source"} {
		delete(shown, ours)
	}
	shown["name"], shown["version"], shown["uid"] = raw(p.Name), raw(p.Version), raw(p.ID)
	if shown["type"] == nil {
		shown["type"] = raw("library")
	}
	shown["time"] = raw(v.Time.UTC().Format(time.RFC3339))
	shown["dist"] = raw(dist{"zip", base + place(p.ProjectID) + "/archives/" + p.Name + ".zip?sha=" + v.Reference, v.Reference, v.Shasum})
	if v.Source {
		shown["source"] = raw(source{"git", base + "/" + fullPath + ".git", v.Reference})
	}
	if v.Default {
		shown["default-branch"] = raw(true)
	}
	if p.Status == registry.Deprecated {
		shown["abandoned"] = raw(true)
		if validName(p.StatusMessage) {
			shown["abandoned"] = raw(p.StatusMessage)
		}
	}
	return shown
}

// shown is a version of a document.
type shown struct {
	number string
	parsed
	fields map[string]json.RawMessage
}

// versions are those of entries, the highest first. paths are the full paths of their projects.
func versions(tx registry.Tx, entries []int64, base string, paths map[int64]string, want func(version string) bool) ([]shown, error) {
	var all []shown
	err := tx.EachFragment(entries, fragment, func(p *registry.Package, body []byte) error {
		if !want(p.Version) {
			return nil
		}
		var v version
		if err := json.Unmarshal(body, &v); err != nil {
			return err
		}
		all = append(all, shown{p.Version, parse(p.Version), v.show(p, base, paths[p.ProjectID])})
		return nil
	})
	slices.SortFunc(all, func(a, b shown) int { return cmp.Or(b.compare(a.parsed), strings.Compare(a.number, b.number)) })
	return all, err
}

// writeWhole writes V1's document of a name: its versions by number, the lowest first.
func writeWhole(w io.Writer, name string, all []shown) error {
	if _, err := io.WriteString(w, `{"packages":{`+string(raw(name))+`:{`); err != nil {
		return err
	}
	comma := ""
	for _, v := range slices.Backward(all) {
		if _, err := io.WriteString(w, comma+string(raw(v.number))+":"); err != nil {
			return err
		}
		if err := writeAsIs(w, v.fields); err != nil {
			return err
		}
		comma = ","
	}
	_, err := io.WriteString(w, "}}}")
	return err
}

// writeMinified writes V2's document of a name: each version holds what it has unlike the one before (composer/metadata-minifier).
func writeMinified(w io.Writer, name string, all []shown) error {
	if _, err := io.WriteString(w, `{"minified":"composer/2.0","packages":{`+string(raw(name))+`:[`); err != nil {
		return err
	}
	unset := raw("__unset")
	before, comma := map[string]json.RawMessage{}, ""
	for _, v := range all {
		changes := map[string]json.RawMessage{}
		for field, value := range v.fields {
			if !bytes.Equal(before[field], value) {
				changes[field] = value
			}
		}
		for field := range before {
			if v.fields[field] == nil {
				changes[field] = unset
			}
		}
		if _, err := io.WriteString(w, comma); err != nil {
			return err
		}
		if err := writeAsIs(w, changes); err != nil {
			return err
		}
		before, comma = v.fields, ","
	}
	_, err := io.WriteString(w, "]}}")
	return err
}

// ---- documents about a name

// package2 answers GET /p2/:name.json and /p2/:name~dev.json. Who is not Composer 2 gets all versions, in V1's form.
func (h *Handler) package2(w http.ResponseWriter, q *request, name string) error {
	name = strings.TrimSuffix(name, ".json")
	name, dev := strings.CutSuffix(name, "~dev")
	if !dev && !second(q.Request) {
		return h.serveWhole(w, q, name)
	}
	variant := "stable"
	if dev {
		variant = "dev"
	}
	return h.serve(w, q, name, variant, func(w io.Writer, all []shown) error { return writeMinified(w, name, all) },
		func(version string) bool { return isDevVersion(version) == dev })
}

// whole answers GET /:name$:sha.json. As in GitLab, the hash is not looked at: the client compares it with what it gets.
func (h *Handler) whole(w http.ResponseWriter, q *request, path string) error {
	name, sha, ok := strings.Cut(strings.TrimSuffix(path, ".json"), "$")
	if !ok || sha == "" {
		return format.ErrNoPackage
	}
	return h.serveWhole(w, q, name)
}

const variantWhole = "whole"

func (h *Handler) serveWhole(w http.ResponseWriter, q *request, name string) error {
	return h.serve(w, q, name, variantWhole, func(w io.Writer, all []shown) error { return writeWhole(w, name, all) }, func(string) bool { return true })
}

// paths are the full paths of the projects of entries, by id, and as a part of a key: a move changes no revision.
func paths(c *format.Caller, entries []registry.Revision) (byID map[int64]string, key string, err error) {
	byID = make(map[int64]string, len(entries))
	for _, e := range entries {
		p, err := c.View.ProjectByID(e.ProjectID)
		if registry.KindOf(err) == registry.NotFound { // it was removed meanwhile, and its versions go after it
			continue
		}
		if err != nil {
			return nil, "", err
		}
		byID[e.ProjectID] = p.FullPath
		key += "\n" + p.FullPath
	}
	return byID, key, nil
}

// serve answers a document about one name.
func (h *Handler) serve(w http.ResponseWriter, q *request, name, variant string, write func(io.Writer, []shown) error, want func(version string) bool) error {
	if !validName(name) {
		name = "-" // which nobody has: caches keep what is asked for, and a URL may be long
	}
	f, err := h.Find(q.Request, q.at, name)
	if err != nil {
		return err
	}
	paths, pathKey, err := paths(&f.Caller, f.Entries)
	if err != nil {
		return err
	}
	key := func(entries []registry.Revision) document.Key {
		return document.MakeKey(registry.Composer, variant, name, q.base+pathKey, entries)
	}
	return h.Documents.Serve(w, q.Request, document.Request{
		Key: key(f.Entries), ContentType: mediaType, Vary: vary, ByTime: true,
		Build: func(ctx context.Context, w io.Writer) (built document.Built, err error) {
			err = h.Registry.Store.Read(ctx, func(tx registry.Tx) error {
				entries := slices.Clone(f.Entries)
				for i := range entries {
					e, err := tx.EntryByID(entries[i].EntryID)
					if err != nil {
						return err
					}
					entries[i].Revision = e.Revision
					if e.UpdatedAt.After(built.Modified) {
						built.Modified = e.UpdatedAt
					}
				}
				built.Key = key(entries)
				all, err := versions(tx, f.IDs(), q.base, paths, want)
				if err != nil {
					return err
				}
				return write(w, all)
			})
			return built, err
		},
	})
}

// ---- the repository

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
	var pathKey string
	if s.paths, pathKey, err = paths(c, s.projects); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(pathKey))
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

// ---- lists

// maxTerms of a search.
const maxTerms = 20

// list answers GET /list.json?filter=&vendor=: the names, "*" in the filter standing for any text.
func (h *Handler) list(w http.ResponseWriter, q *request) error {
	filter, vendor := q.URL.Query().Get("filter"), q.URL.Query().Get("vendor")
	if filter == "" && vendor == "" {
		return h.serveScope(w, q, "list", false, func(tx registry.Tx, s *scope, w io.Writer) error {
			return writeNames(tx, s.EntryFilter, w, func(string) bool { return true })
		})
	}
	_, entries, _, err := h.List(q.Request, q.at)
	if err != nil {
		return err
	}
	if len(filter) > maxName || len(vendor) > maxName {
		return format.ParamError("filter is too long")
	}
	pattern, err := regexp.Compile("^(?i:" + strings.ReplaceAll(regexp.QuoteMeta(filter), `\*`, ".*") + ")$")
	if err != nil {
		return format.ParamError("filter is invalid")
	}
	var b bytes.Buffer
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		return writeNames(tx, entries, &b, func(name string) bool {
			return (vendor == "" || strings.HasPrefix(name, strings.ToLower(vendor)+"/")) && (filter == "" || pattern.MatchString(name))
		})
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", mediaType)
	w.Write(b.Bytes())
	return nil
}

func writeNames(tx registry.Tx, f registry.EntryFilter, w io.Writer, want func(string) bool) error {
	if _, err := io.WriteString(w, `{"packageNames":[`); err != nil {
		return err
	}
	comma := ""
	err := tx.EachName(f, func(name, _ string) error {
		if !want(name) {
			return nil
		}
		_, err := io.WriteString(w, comma+string(raw(name)))
		comma = ","
		return err
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, "]}")
	return err
}

type result struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	URL         string `json:"url"`
	Repository  string `json:"repository"`
	Downloads   int64  `json:"downloads"` // of the latest version
	Favers      int64  `json:"favers"`
	Abandoned   any    `json:"abandoned,omitempty"`
}

const maxSearched = 100 // results on a page

// search answers GET /search.json?q=&type=&page=&per_page=.
func (h *Handler) search(w http.ResponseWriter, q *request) error {
	c, filter, _, err := h.List(q.Request, q.at)
	if err != nil {
		return err
	}
	query := q.URL.Query()
	page, size := 1, 15
	for name, into := range map[string]*int{"page": &page, "per_page": &size} {
		if text := query.Get(name); text != "" {
			if *into, err = strconv.Atoi(text); err != nil || *into < 1 || *into > 1<<30 {
				return format.ParamError(name + " is invalid")
			}
		}
	}
	size = min(size, maxSearched)
	filter.Limit, filter.Offset = size, (page-1)*size
	filter.Terms = strings.Fields(query.Get("q"))
	if kind := query.Get("type"); kind != "" {
		filter.Terms = append(filter.Terms, typeWord(kind))
	}
	if len(filter.Terms) > maxTerms {
		return format.ParamError("q has too many words")
	}
	var entries []*registry.Entry
	var total int
	found := map[int64]result{}
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) (err error) {
		if entries, total, err = tx.SearchEntries(filter); err != nil {
			return err
		}
		latest := make([]int64, len(entries))
		for i, e := range entries {
			latest[i] = e.LatestID
		}
		return tx.Fragments(latest, fragment, func(p *registry.Package, body []byte) error {
			var v version
			if err := json.Unmarshal(body, &v); err != nil {
				return err
			}
			one := result{Name: p.Name, Downloads: p.Downloads}
			json.Unmarshal(v.Manifest["description"], &one.Description) // "" where there is none
			var told any
			if abandoned := v.show(p, "", "")["abandoned"]; abandoned != nil {
				json.Unmarshal(abandoned, &told)
			}
			if told != nil && told != false {
				one.Abandoned = told
			}
			found[p.ID] = one
			return nil
		})
	})
	if err != nil {
		return err
	}
	ids := make([]int64, len(entries))
	for i, e := range entries {
		ids[i] = e.ProjectID
	}
	if err := c.View.Learn(q.Context(), c.Caller, ids); err != nil {
		return err
	}
	results := []result{}
	for _, e := range entries {
		one, ok := found[e.LatestID]
		if !ok {
			continue
		}
		if p, err := c.View.ProjectByID(e.ProjectID); err == nil {
			one.URL = q.base + "/" + p.FullPath
			one.Repository = one.URL + ".git"
		}
		results = append(results, one)
	}
	answer := map[string]any{"results": results, "total": total}
	if filter.Offset+len(entries) < total {
		query.Set("page", strconv.Itoa(page+1))
		answer["next"] = q.base + below(q, filter) + "/search.json?" + url.Values(query).Encode()
	}
	w.Header()["Vary"] = vary
	return writeJSON(w, http.StatusOK, answer)
}

// ---- changes

// Times of changes count in units of 100 microseconds, as Packagist's do.
const tick = 100 * time.Microsecond

// maxSince is how far back changes are told. Who asks for more has to read everything again.
const maxSince = 24 * time.Hour

type change struct {
	Type    string `json:"type"` // "update", "delete" or "resync"
	Package string `json:"package"`
	Time    int64  `json:"time"` // seconds
}

// changes answers GET /changes.json?since=: the names that have changed since a timestamp of such an answer.
func (h *Handler) changes(w http.ResponseWriter, q *request) error {
	_, filter, _, err := h.List(q.Request, q.at)
	if err != nil {
		return err
	}
	// What is committed while we look may be told twice, and nothing is left out.
	now := time.Now().Add(-changeMargin)
	timestamp := now.UnixNano() / int64(tick)
	text := q.URL.Query().Get("since")
	since, err := strconv.ParseInt(text, 10, 64)
	if err != nil || since < 0 {
		return writeJSON(w, http.StatusBadRequest, map[string]any{"error": "since is missing or invalid: the timestamp of the last answer, of which this is the first", "timestamp": timestamp})
	}
	actions := []change{}
	if from := time.Unix(0, min(since, timestamp)*int64(tick)); now.Sub(from) > maxSince {
		actions = append(actions, change{"resync", "*", now.Unix()})
	} else {
		err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
			return tx.EachChange(filter, from, func(name string, at time.Time, gone bool) error {
				one := change{"update", name, at.Unix()}
				if gone {
					one.Type = "delete"
				}
				actions = append(actions, one)
				if !gone { // V2 has its dev versions in a document of their own
					actions = append(actions, change{"update", name + "~dev", at.Unix()})
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	w.Header()["Vary"] = vary
	return writeJSON(w, http.StatusOK, map[string]any{"actions": actions, "timestamp": timestamp})
}

// changeMargin is how long a publish may take between the moment that it notes and its commit, and how far the clocks of several
// nodes may be apart.
const changeMargin = 5 * time.Second

// ---- what clients tell

const (
	maxNotice  = 1 << 20 // bytes
	maxNotices = 1000
)

// notify answers POST /downloads: {"downloads":[{"name","version"}]}, what a client has installed.
func (h *Handler) notify(w http.ResponseWriter, q *request) error {
	_, filter, _, err := h.List(q.Request, q.at)
	if err != nil {
		return err
	}
	limited := http.MaxBytesReader(w, q.Body, maxNotice)
	var notice struct {
		Downloads []struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"downloads"`
	}
	text, err := io.ReadAll(limited)
	if err != nil {
		return registry.Errorf(registry.TooLarge, "413 Request Entity Too Large")
	}
	if json.Unmarshal(text, &notice) != nil {
		return format.ParamError("downloads is invalid")
	}
	if len(notice.Downloads) > maxNotices {
		return format.ParamError("downloads has too many entries")
	}
	// Composer tells the normalized version; which one it is here has to be looked up.
	wanted := map[[2]string]bool{}
	var names []string
	for _, one := range notice.Downloads {
		name := strings.ToLower(one.Name)
		if normalized, ok := normalize(one.Version); ok && validName(name) {
			wanted[[2]string{name, normalized}] = true
			names = append(names, name)
		}
	}
	var files []*registry.File
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) (err error) {
		files, err = tx.Installed(filter, names, func(name, version string) bool {
			normalized, _ := normalize(version)
			return wanted[[2]string{name, normalized}]
		})
		return err
	})
	if err != nil {
		return err
	}
	host := registry.HostOf(q.RemoteAddr)
	for _, file := range files {
		if !h.credits.take(file.PackageID, host) {
			h.Registry.Downloads.Count(file)
		}
	}
	return writeJSON(w, http.StatusCreated, map[string]string{"status": "success"})
}

// advisories answers GET and POST /security-advisories: there are none yet.
func (h *Handler) advisories(w http.ResponseWriter, q *request) error {
	if _, _, _, err := h.List(q.Request, q.at); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"advisories": struct{}{}})
}
