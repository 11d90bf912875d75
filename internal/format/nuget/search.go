package nuget

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"packhouse/internal/format"
	"packhouse/internal/registry"
)

// query is what a search asks for (https://learn.microsoft.com/nuget/api/search-query-service-resource).
type query struct {
	filter registry.EntryFilter
	within registry.Traits // versions with other traits are not shown
}

// Bounds of a search.
const (
	defaultTake = 20
	maxTake     = 1000 // autocomplete is asked for all there is
	maxHits     = 100  // a hit of a search has all versions with it
	maxSkip     = 1_000_000
)

// query reads the parameters of a search.
func (h *Handler) query(q *request) (*query, error) {
	_, filter, _, err := h.List(q.Request, q.at)
	if err != nil {
		return nil, err
	}
	values := q.URL.Query()
	search := &query{filter: filter}
	if search.filter.Offset, err = count(values.Get("skip"), 0, maxSkip, "skip"); err != nil {
		return nil, err
	}
	if search.filter.Limit, err = count(values.Get("take"), defaultTake, maxTake, "take"); err != nil {
		return nil, err
	}
	if text := values.Get("prerelease"); text != "" {
		prerelease, err := strconv.ParseBool(text)
		if err != nil {
			return nil, format.ParamError("prerelease is invalid")
		}
		if prerelease {
			search.within |= registry.Prerelease
		}
	}
	if knowsSemVer2(values.Get("semVerLevel")) {
		search.within |= registry.SemVer2
	}
	search.filter.Listed = registry.Within(search.within)
	search.filter.Once = filter.Project == 0
	for _, word := range strings.Fields(values.Get("q")) {
		for _, field := range []string{"packageid:", "id:", "tags:", "tag:", "title:"} { // what some clients put before a word
			if len(word) > len(field) && strings.EqualFold(word[:len(field)], field) {
				word = strings.Trim(word[len(field):], `"`)
				break
			}
		}
		search.filter.Terms = append(search.filter.Terms, word)
	}
	if kind := cmp.Or(values.Get("packageType"), values.Get("packageTypeFilter")); kind != "" { // the second is of clients before the protocol had it
		search.filter.Terms = append(search.filter.Terms, typeWord(kind))
	}
	if len(search.filter.Terms) > maxTerms {
		return nil, format.ParamError("q is invalid")
	}
	return search, nil
}

// maxTerms of one search.
const maxTerms = 16

// knowsSemVer2 reads semVerLevel: whether a client can read versions of SemVer 2.
func knowsSemVer2(level string) bool {
	v, ok := parseVersion(level)
	return ok && v.numbers[0] >= 2
}

// count reads a number that is not negative; more than most is most.
func count(text string, otherwise, most int, name string) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, ok := format.Number(text)
	if !ok || len(text) > 1 && text[0] == '0' {
		return 0, format.ParamError(name + " is invalid")
	}
	return int(min(n, int64(most))), nil
}

// hit is a package that a search found.
type hit struct {
	ID             string        `json:"@id"`
	Type           string        `json:"@type"`
	Registration   string        `json:"registration"`
	Authors        string        `json:"authors"`
	Name           string        `json:"id"`
	Title          string        `json:"title"`
	Description    string        `json:"description"`
	Summary        string        `json:"summary"`
	TotalDownloads int64         `json:"totalDownloads"`
	Verified       bool          `json:"verified"`
	Version        string        `json:"version"`
	Versions       []hitVersion  `json:"versions"`
	Tags           string        `json:"tags"`
	PackageTypes   []packageType `json:"packageTypes"`
	ProjectURL     string        `json:"projectUrl,omitempty"`
	LicenseURL     string        `json:"licenseUrl,omitempty"`
	IconURL        string        `json:"iconUrl,omitempty"`
}

type hitVersion struct {
	ID        string `json:"@id"`
	Version   string `json:"version"`
	Downloads int64  `json:"downloads"`
}

// search answers GET /query.
func (h *Handler) search(w http.ResponseWriter, q *request) error {
	search, err := h.query(q)
	if err != nil {
		return err
	}
	search.filter.Limit = min(search.filter.Limit, maxHits)
	hits, total := []hit{}, 0
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		hits = hits[:0]
		found, all, err := shown(tx, search)
		if err != nil {
			return err
		}
		total = all
		hive := plain
		if search.within&registry.SemVer2 != 0 {
			hive = semVer2
		}
		for _, one := range found {
			best := one.releases[len(one.releases)-1]
			m := one.manifest
			index := hive.url(q.prefix, best.Name, "index")
			hit := hit{ID: index, Type: "Package", Registration: index, Authors: m.Authors, Name: best.Name, Title: m.title(), Description: m.Description, Summary: m.summary(),
				Verified: true, Version: best.full(), Tags: strings.Join(m.Tags, " "), PackageTypes: m.types(), ProjectURL: m.ProjectURL,
				LicenseURL: m.licenseURL(q.prefix, best.version), IconURL: m.iconURL(q.prefix, best.version)}
			for _, r := range one.releases {
				hit.TotalDownloads += r.Downloads
				hit.Versions = append(hit.Versions, hitVersion{hive.leaf(q.prefix, r.Name, r.VersionKey), r.full(), r.Downloads})
			}
			hits = append(hits, hit)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return format.WriteJSON(w, http.StatusOK, struct {
		TotalHits int   `json:"totalHits"`
		Data      []hit `json:"data"`
	}{total, hits})
}

// listing is an id that a search found.
type listing struct {
	releases []release // listed ones, the lowest first; at least one
	manifest *manifest // of the highest
}

// shown are the ids on the page of a search, and their total number, in as many queries for all of them as for one.
func shown(tx registry.Tx, search *query) ([]listing, int, error) {
	if search.filter.Limit == 0 { // asked for the number only
		search.filter.Limit = 1
		_, total, err := tx.SearchEntries(search.filter)
		return nil, total, err
	}
	entries, total, err := tx.SearchEntries(search.filter)
	if err != nil || len(entries) == 0 {
		return nil, total, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	if search.filter.Once { // what else has these names
		others := search.filter
		others.Once, others.NoTotal, others.Names, others.Terms, others.Offset, others.Limit = false, true, names, nil, 0, maxNamesakes
		if entries, _, err = tx.SearchEntries(others); err != nil {
			return nil, 0, err
		}
	}
	ids, name := make([]int64, len(entries)), map[int64]string{}
	for i, e := range entries {
		ids[i], name[e.ID] = e.ID, e.Name
	}
	packages, err := tx.Packages(ids)
	if err != nil {
		return nil, 0, err
	}
	of := map[string][]*registry.Package{}
	for _, p := range packages {
		if p.Status != registry.Hidden {
			of[name[p.EntryID]] = append(of[name[p.EntryID]], p)
		}
	}
	var all []listing
	var best []int64
	for _, name := range names {
		if found := sorted(of[name], search.within); len(found) > 0 {
			all = append(all, listing{releases: found})
			best = append(best, found[len(found)-1].ID)
		}
	}
	manifests, err := manifestsOf(tx, best)
	for i := range all {
		all[i].manifest = manifests[best[i]]
	}
	return all, total, err
}

// maxNamesakes bounds how many entries of a group are looked at for one page of a search.
const maxNamesakes = 10_000

// manifestsOf are those of packages, by id.
func manifestsOf(tx registry.Tx, packages []int64) (map[int64]*manifest, error) {
	files, err := tx.FilesOf(packages)
	if err != nil {
		return nil, err
	}
	all := make(map[int64]*manifest, len(packages))
	for _, f := range files {
		if f.Facts == "" { // of symbols
			continue
		}
		m := &manifest{}
		if err := json.Unmarshal([]byte(f.Facts), m); err != nil {
			return nil, err
		}
		all[f.PackageID] = m
	}
	for _, id := range packages {
		if all[id] == nil { // only its symbols are left
			all[id] = &manifest{}
		}
	}
	return all, nil
}

// autocomplete answers GET /autocomplete: ids that a search finds, or the versions of one
// (https://learn.microsoft.com/nuget/api/search-autocomplete-service-resource).
func (h *Handler) autocomplete(w http.ResponseWriter, q *request) error {
	search, err := h.query(q)
	if err != nil {
		return err
	}
	values, data, total := q.URL.Query(), []string{}, 0
	if id := values.Get("id"); id != "" {
		f, err := h.find(q, id)
		if err == errNoPackage {
			return writeList(w, 0, data)
		}
		if err != nil {
			return err
		}
		err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
			all, err := releases(tx, f.IDs(), search.within)
			data = data[:0]
			for _, r := range all {
				if r.listed() {
					data = append(data, r.full())
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		return writeList(w, len(data), data)
	}
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		data = data[:0]
		entries, all, err := tx.SearchEntries(search.filter)
		if err != nil {
			return err
		}
		total = all
		latest := make([]int64, len(entries))
		for i, e := range entries {
			latest[i] = e.LatestID
		}
		packages, err := tx.PackagesByID(latest)
		for _, p := range packages {
			data = append(data, p.Name)
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeList(w, total, data)
}

func writeList(w http.ResponseWriter, total int, data []string) error {
	return format.WriteJSON(w, http.StatusOK, struct {
		TotalHits int      `json:"totalHits"`
		Data      []string `json:"data"`
	}{total, data})
}
