package nuget

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"packhouse/internal/document"
	"packhouse/internal/format"
	"packhouse/internal/registry"
)

const jsonType = "application/json"

// resource is one of the service index (https://learn.microsoft.com/nuget/api/service-index).
type resource struct {
	ID      string `json:"@id"`
	Type    string `json:"@type"`
	Comment string `json:"comment"`
}

// index answers GET /index, the service index, to anybody.
func (h *Handler) index(w http.ResponseWriter, q *request) error {
	if _, _, _, err := h.place(q); err != nil {
		return err
	}
	var all []resource
	add := func(path, comment string, types ...string) {
		for _, t := range types {
			all = append(all, resource{q.prefix + path, t, comment})
		}
	}
	// First what GitLab has, in its order. Clients join names to a base that ends in a slash.
	add("/query", "Filter and search for packages by keyword.", "SearchQueryService", "SearchQueryService/3.0.0-beta", "SearchQueryService/3.0.0-rc")
	add("/"+plain.path+"/", "Get package metadata.", "RegistrationsBaseUrl", "RegistrationsBaseUrl/3.0.0-beta", "RegistrationsBaseUrl/3.0.0-rc")
	add("/download/", "Get package content (.nupkg).", "PackageBaseAddress/3.0.0")
	if q.at.Project != "" {
		add("", "Push and delete (or unlist) packages.", "PackagePublish/2.0.0")
		add("/symbolpackage", "Push symbol packages.", "SymbolPackagePublish/4.9.0")
	}
	add("/query", "Filter and search for packages by keyword and package type.", "SearchQueryService/3.5.0")
	add("/"+plain.path+"/", "Get package metadata, compressed where a client accepts it.", "RegistrationsBaseUrl/3.4.0")
	add("/"+semVer2.path+"/", "Get package metadata, versions of SemVer 2 included.", "RegistrationsBaseUrl/3.6.0", "RegistrationsBaseUrl/Versioned")
	add("/autocomplete", "Complete package ids and list versions.", "SearchAutocompleteService", "SearchAutocompleteService/3.0.0-beta", "SearchAutocompleteService/3.0.0-rc", "SearchAutocompleteService/3.5.0")
	add("/download/{lower_id}/{lower_version}/readme", "Get the README of a package.", "ReadmeUriTemplate/6.13.0")
	add("/v2", "The same packages for clients of the older protocol.", "LegacyGallery/2.0.0")
	return format.WriteJSON(w, http.StatusOK, struct {
		Version   string     `json:"version"`
		Resources []resource `json:"resources"`
	}{"3.0.0", all})
}

// release is one version of an id.
type release struct {
	*registry.Package
	version version
}

// listed tells whether lists and searches show it.
func (r *release) listed() bool { return r.Status != registry.Hidden }

// full is the normalized version with its build metadata.
func (r *release) full() string {
	if r.version.build == "" {
		return r.version.String()
	}
	return r.version.String() + "+" + r.version.build
}

// releases are the versions that entries of one id have, without any traits but the given ones, the lowest first. Where
// several projects have one, the newest stands for it.
func releases(tx registry.Tx, entries []int64, within registry.Traits) ([]release, error) {
	packages, err := tx.Packages(entries)
	if err != nil {
		return nil, err
	}
	return sorted(packages, within), nil
}

func sorted(packages []*registry.Package, within registry.Traits) []release {
	all, at := make([]release, 0, len(packages)), make(map[string]int, len(packages))
	for _, p := range packages { // the newest comes last
		v, ok := parseVersion(p.Version)
		if !ok || p.Traits&^within != 0 {
			continue
		}
		if i, again := at[p.VersionKey]; again {
			all[i] = release{p, v}
			continue
		}
		at[p.VersionKey] = len(all)
		all = append(all, release{p, v})
	}
	slices.SortFunc(all, func(a, b release) int { return a.version.compare(b.version) })
	return all
}

// serve answers a document about one id.
func (h *Handler) serve(w http.ResponseWriter, q *request, f *format.Found, variant string, write func(registry.Tx, io.Writer, []int64) error) error {
	return h.Serve(w, q.Request, h.Documents, f, q.prefix, variant, document.Request{ContentType: jsonType}, write)
}

// versions answers GET /download/:id/index of the flat container: all versions, the lowest first
// (https://learn.microsoft.com/nuget/api/package-base-address-resource).
func (h *Handler) versions(w http.ResponseWriter, q *request) error {
	f, err := h.find(q, q.PathValue("name"))
	if err == errNoPackage || err == nil && withoutJSON(q.PathValue("index")) != "index" {
		return errNoPackages
	}
	if err != nil {
		return err
	}
	return h.serve(w, q, f, "versions", func(tx registry.Tx, w io.Writer, entries []int64) error {
		all, err := releases(tx, entries, anyTraits)
		if err == nil && len(all) == 0 {
			err = errNoPackages
		}
		if err != nil {
			return err
		}
		keys := make([]string, len(all))
		for i, r := range all {
			keys[i] = r.VersionKey
		}
		return json.NewEncoder(w).Encode(map[string][]string{"versions": keys})
	})
}

// anyTraits is for all versions.
const anyTraits = registry.Prerelease | registry.SemVer2

// hive is a set of registrations: what clients may see that read one kind of versions.
type hive struct {
	path   string // below the prefix
	traits registry.Traits
}

var (
	plain   = hive{"metadata", registry.Prerelease}
	semVer2 = hive{"metadata-semver2", anyTraits}
)

func (v hive) bind(serve func(http.ResponseWriter, *request, hive) error) func(http.ResponseWriter, *request) error {
	return func(w http.ResponseWriter, q *request) error { return serve(w, q, v) }
}

// url is where something about an id is in the hive.
func (v hive) url(prefix, id, rest string) string {
	return prefix + "/" + v.path + "/" + normalizeID(id) + "/" + rest + ".json"
}

// leaf is where a version is in the hive, in the spelling that it was pushed with, as GitLab shows it.
func (v hive) leaf(prefix, id, key string) string {
	return prefix + "/" + v.path + "/" + id + "/" + key + ".json"
}

// perPage is how many versions a registration page has. An index with one page has its leaves in itself.
const perPage = 64

// registration answers GET /metadata/:id/index, and GET /metadata/:id/:version, one leaf
// (https://learn.microsoft.com/nuget/api/registration-base-url-resource).
func (h *Handler) registration(w http.ResponseWriter, q *request, in hive) error {
	f, err := h.find(q, q.PathValue("name"))
	text := withoutJSON(q.PathValue("version"))
	if text != "index" {
		if err != nil {
			return err
		}
		return h.leaf(w, q, f, text, in)
	}
	if err == errNoPackage {
		return errNoPackages
	}
	if err != nil {
		return err
	}
	return h.serve(w, q, f, in.path, func(tx registry.Tx, w io.Writer, entries []int64) error {
		all, err := releases(tx, entries, in.traits)
		if err == nil && len(all) == 0 {
			err = errNoPackages
		}
		if err != nil {
			return err
		}
		b := &builder{Writer: w, prefix: q.prefix, in: in, id: f.Name}
		pages := slices.Collect(slices.Chunk(all, perPage))
		b.print(`{"@id":%s,"@type":["catalog:CatalogRoot","PackageRegistration","catalog:Permalink"],"count":%d,"items":[`, in.url(q.prefix, f.Name, "index"), len(pages))
		for i, page := range pages {
			b.comma(i)
			if len(pages) == 1 {
				b.page(tx, in.url(q.prefix, f.Name, "index")+"#page/"+page[0].VersionKey+"/"+page[len(page)-1].VersionKey, page, true)
			} else {
				b.page(nil, in.url(q.prefix, f.Name, "page/"+page[0].VersionKey+"/"+page[len(page)-1].VersionKey), page, false)
			}
		}
		b.print("]}")
		return b.err
	})
}

// page answers GET /metadata/:id/page/:lower/:upper. What was published since the index was read may have moved the bounds:
// a page holds whatever lies in them.
func (h *Handler) page(w http.ResponseWriter, q *request, in hive) error {
	f, err := h.find(q, q.PathValue("name"))
	if err != nil {
		return err
	}
	lower, okLower := parseVersion(q.PathValue("lower"))
	upper, okUpper := parseVersion(withoutJSON(q.PathValue("upper")))
	if !okLower || !okUpper {
		return errNoPackages
	}
	bounds := lower.key() + "/" + upper.key()
	return h.serve(w, q, f, in.path+" "+bounds, func(tx registry.Tx, w io.Writer, entries []int64) error {
		all, err := releases(tx, entries, in.traits)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(r release) bool { return r.version.compare(lower) < 0 || r.version.compare(upper) > 0 })
		if len(all) == 0 {
			return errNoPackages
		}
		b := &builder{Writer: w, prefix: q.prefix, in: in, id: f.Name}
		b.page(tx, in.url(q.prefix, f.Name, "page/"+bounds), all, true)
		return b.err
	})
}

// leaf answers one version, of either hive.
func (h *Handler) leaf(w http.ResponseWriter, q *request, f *format.Found, text string, in hive) error {
	v, ok := parseVersion(text)
	if !ok {
		return errNoPackage
	}
	return h.serve(w, q, f, in.path+" "+v.key(), func(tx registry.Tx, w io.Writer, entries []int64) error {
		all, err := releases(tx, entries, anyTraits)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(r release) bool { return r.VersionKey != v.key() })
		if len(all) == 0 {
			return errNoPackage
		}
		b := &builder{Writer: w, prefix: q.prefix, in: in, id: f.Name}
		b.leaves(tx, all)
		return b.err
	})
}

// builder writes parts of registrations. After an error it does nothing.
type builder struct {
	io.Writer
	prefix string
	in     hive
	id     string // normalized
	err    error
}

// print writes JSON; strings among args are quoted.
func (b *builder) print(text string, args ...any) {
	for i, arg := range args {
		if s, is := arg.(string); is {
			args[i] = quoted(s)
		}
	}
	if b.err == nil {
		_, b.err = fmt.Fprintf(b.Writer, text, args...)
	}
}

func quoted(text string) []byte {
	quoted, _ := json.Marshal(text) // a string can be marshalled
	return quoted
}

func (b *builder) comma(i int) {
	if i > 0 {
		b.print(",")
	}
}

// page writes a page of releases, with its leaves or without.
func (b *builder) page(tx registry.Tx, id string, page []release, leaves bool) {
	b.print(`{"@id":%s,"@type":"catalog:CatalogPage","count":%d,`, id, len(page))
	if leaves {
		b.print(`"items":[`)
		b.leaves(tx, page)
		b.print(`],"parent":%s,`, b.in.url(b.prefix, b.id, "index"))
	}
	b.print(`"lower":%s,"upper":%s}`, page[0].VersionKey, page[len(page)-1].VersionKey)
}

// leaves writes those of releases, with commas between them.
func (b *builder) leaves(tx registry.Tx, page []release) {
	for chunk := range slices.Chunk(page, perPage) { // so many are in memory at once
		ids := make([]int64, len(chunk))
		for i, r := range chunk {
			ids[i] = r.ID
		}
		fragments := make(map[int64][]byte, len(chunk))
		if b.err == nil {
			b.err = tx.Fragments(ids, leafVariant, func(p *registry.Package, body []byte) error {
				fragments[p.ID] = bytes.Clone(body)
				return nil
			})
		}
		for i, r := range chunk {
			if &chunk[i] != &page[0] {
				b.print(",")
			}
			if b.err == nil {
				b.err = document.Expand(b.Writer, fragments[r.ID], b.prefix)
			}
			b.print(`,"listed":%t,"published":%s},"registration":%s}`, r.listed(), r.published(), b.in.url(b.prefix, b.id, "index"))
		}
	}
}

// unlistedSince is when what is unlisted was published, to clients that know of it by nothing else.
const unlistedSince = "1900-01-01T00:00:00Z"

func (r *release) published() string {
	if !r.listed() {
		return unlistedSince
	}
	return stamp(r.CreatedAt)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// leafVariant is the fragment of a registration leaf, up to what changes: whether it is listed.
const leafVariant = "registration"

// mark stands for the URL prefix while a fragment is made. XML cannot contain this character, so no .nuspec does.
const mark = "\uffff"

type leafDependency struct {
	ID           string `json:"@id"`
	Type         string `json:"@type"`
	Name         string `json:"id"`
	Range        string `json:"range"`
	Registration string `json:"registration"`
}

type leafGroup struct {
	ID           string           `json:"@id"`
	Type         string           `json:"@type"`
	Framework    string           `json:"targetFramework,omitempty"`
	Dependencies []leafDependency `json:"dependencies,omitempty"`
}

// catalogEntry is what a leaf says of a version.
type catalogEntry struct {
	ID                string        `json:"@id"`
	Type              string        `json:"@type"`
	Authors           string        `json:"authors"`
	DependencyGroups  []leafGroup   `json:"dependencyGroups"`
	Description       string        `json:"description"`
	IconURL           string        `json:"iconUrl,omitempty"`
	Name              string        `json:"id"`
	Language          string        `json:"language,omitempty"`
	LicenseExpression string        `json:"licenseExpression,omitempty"`
	LicenseURL        string        `json:"licenseUrl,omitempty"`
	MinClientVersion  string        `json:"minClientVersion,omitempty"`
	PackageContent    string        `json:"packageContent"`
	PackageTypes      []packageType `json:"packageTypes"`
	ProjectURL        string        `json:"projectUrl,omitempty"`
	ReadmeURL         string        `json:"readmeUrl,omitempty"`
	ReleaseNotes      string        `json:"releaseNotes,omitempty"`
	Repository        *repository   `json:"repository,omitempty"`
	RequireAcceptance bool          `json:"requireLicenseAcceptance"`
	Signed            bool          `json:"isSigned"`
	Summary           string        `json:"summary"`
	Tags              string        `json:"tags"`
	Title             string        `json:"title"`
	Version           string        `json:"version"`
}

// contentURL is where a package is.
func contentURL(prefix, id string, v version) string {
	return partURL(prefix, id, v, url.PathEscape(fileName(id, v, ".nupkg")))
}

// partURL is where a file of a package is.
func partURL(prefix, id string, v version, file string) string {
	return prefix + "/download/" + id + "/" + v.key() + "/" + file
}

// iconURL is the embedded icon, or the one elsewhere.
func (m *manifest) iconURL(prefix string, v version) string {
	if m.Icon != "" {
		return partURL(prefix, m.ID, v, iconPart)
	}
	return m.IconURL
}

// licenseURL is the embedded licence, or the one elsewhere.
func (m *manifest) licenseURL(prefix string, v version) string {
	if m.LicenseFile != "" {
		return partURL(prefix, m.ID, v, licensePart)
	}
	return m.LicenseURL
}

// maxLeaf is how many bytes the fragment of a leaf may have: some thousand dependencies. A page has many leaves.
const maxLeaf = 1 << 20

// leafFragment renders what never changes of a registration leaf. It returns Invalid when that is too large.
func leafFragment(m *manifest, v version) ([]byte, error) {
	id := plain.leaf(mark, m.ID, v.key())
	full := v.String()
	if v.build != "" {
		full += "+" + v.build
	}
	entry := catalogEntry{
		ID: id, Type: "PackageDetails", Authors: m.Authors, DependencyGroups: []leafGroup{}, Description: m.Description, IconURL: m.iconURL(mark, v), Name: m.ID,
		Language: m.Language, LicenseExpression: m.LicenseExpression, LicenseURL: m.licenseURL(mark, v), MinClientVersion: m.MinClientVersion,
		PackageContent: contentURL(mark, m.ID, v), PackageTypes: m.types(), ProjectURL: m.ProjectURL, ReleaseNotes: m.ReleaseNotes, Repository: m.Repository,
		RequireAcceptance: m.RequireAcceptance, Signed: m.Signed, Summary: m.summary(), Tags: strings.Join(m.Tags, " "), Title: m.title(), Version: full,
	}
	if m.Readme != "" {
		entry.ReadmeURL = partURL(mark, m.ID, v, readmePart)
	}
	for _, g := range m.DependencyGroups {
		group := leafGroup{ID: id + "#dependencygroup", Type: "PackageDependencyGroup", Framework: g.Framework}
		if g.Framework != "" {
			group.ID += "/" + strings.ToLower(url.PathEscape(g.Framework))
		}
		for _, d := range g.Dependencies {
			group.Dependencies = append(group.Dependencies, leafDependency{ID: group.ID + "/" + normalizeID(d.ID), Type: "PackageDependency", Name: d.ID,
				Range: normalizeRange(d.Range), Registration: semVer2.url(mark, d.ID, "index")})
		}
		entry.DependencyGroups = append(entry.DependencyGroups, group)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(struct {
		ID      string       `json:"@id"`
		Type    string       `json:"@type"`
		Content string       `json:"packageContent"`
		Entry   catalogEntry `json:"catalogEntry"`
	}{id, "Package", entry.PackageContent, entry})
	text := bytes.TrimSuffix(b.Bytes(), []byte("}}\n"))
	text = bytes.ReplaceAll(text, []byte(mark), []byte{0})
	if len(text) > maxLeaf {
		return nil, invalid("The nuspec has more dependencies than fit into %d MiB of an answer", maxLeaf>>20)
	}
	return text, err
}

// title is what a package is called; its id, where it does not say.
func (m *manifest) title() string {
	if m.Title == "" {
		return m.ID
	}
	return m.Title
}

// summary is a short description; the long one, where there is none.
func (m *manifest) summary() string {
	if m.Summary == "" {
		return m.Description
	}
	return m.Summary
}
