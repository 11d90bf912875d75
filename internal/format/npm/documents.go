package npm

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"packhouse/internal/document"
	"packhouse/internal/format"
	"packhouse/internal/registry"
)

// The variants of a version's fragment. Both are JSON objects, with a NUL byte where the URL prefix goes. The readme
// is kept apart, as a packument shows only that of the latest version.
const (
	full        = "full"
	abbreviated = "abbreviated"
	readme      = "readme"
)

// abbreviatedType is the media type of the abbreviated packument, of which installers ask for.
const abbreviatedType = "application/vnd.npm.install-v1+json"

// abbreviatedKeys are the fields of a manifest that an installer needs, "dist" aside.
var abbreviatedKeys = []string{
	"name", "version", "dependencies", "optionalDependencies", "devDependencies", "bundleDependencies", "bundledDependencies",
	"peerDependencies", "peerDependenciesMeta", "acceptDependencies", "dependenciesMeta", "bin", "directories", "engines", "os", "cpu", "libc", "funding",
	"_hasShrinkwrap", "hasInstallScript",
}

// noise are fields of a manifest that say something of the publisher's machine, or stand elsewhere in the packument.
var noise = []string{"readme", "readmeFilename", "deprecated", "dist", "_attachments", "_from", "_resolved", "_integrity", "_rev", "_args", "_where", "_requested", "_spec", "_inBundle", "_location", "_phantomChildren", "_requiredBy", "_shasum"}

// prefixMark is where the URL prefix goes in dist.Tarball, as JSON writes the byte that stands for it.
const prefixMark = `\u0000`

// dist is what the registry knows of the tarball.
type dist struct {
	Integrity    string `json:"integrity"` // Subresource Integrity, sha512
	Shasum       string `json:"shasum"`    // SHA-1, hex
	FileCount    int    `json:"fileCount"`
	UnpackedSize int64  `json:"unpackedSize"` // bytes
	Tarball      string `json:"tarball"`      // begins with the byte that stands for the URL prefix
}

// fragments renders a version's own pieces of the documents, once and for all. manifest is changed.
func fragments(manifest map[string]json.RawMessage, d dist, publisher *registry.User, readmeText string) (map[string][]byte, error) {
	for _, key := range noise {
		delete(manifest, key)
	}
	if hasInstallScript(manifest) {
		manifest["hasInstallScript"] = json.RawMessage("true")
	}
	if publisher != nil {
		manifest["_npmUser"], _ = json.Marshal(person{Name: publisher.Username}) // strings always marshal
	}
	short := map[string]json.RawMessage{}
	for _, key := range abbreviatedKeys {
		if value, ok := manifest[key]; ok {
			short[key] = value
		}
	}
	fullPiece, err := fragment(manifest, d)
	if err != nil {
		return nil, err
	}
	shortPiece, err := fragment(short, d)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{full: fullPiece, abbreviated: shortPiece, readme: []byte(readmeText)}, nil
}

// fragment writes {manifest…, "dist": {…, "tarball": "<NUL>/…"}}.
func fragment(manifest map[string]json.RawMessage, d dist) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(manifest); err != nil {
		return nil, err
	}
	b.Truncate(b.Len() - len("}\n"))
	tail, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	b.WriteString(`,"dist":`) // the manifest has a name, so there is something before the comma
	b.Write(bytes.Replace(tail, []byte(prefixMark), []byte{0}, 1))
	b.WriteByte('}')
	return b.Bytes(), nil
}

// person is how a packument names somebody. Addresses are nobody's business.
type person struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// packument answers GET /:package.
func (h *Handler) packument(w http.ResponseWriter, q *request, name string) error {
	f, err := h.find(q, name)
	if err != nil {
		return h.forward(w, q, name, err)
	}
	variant, contentType := full, "application/json"
	if wantsAbbreviated(q.Header) {
		variant, contentType = abbreviated, abbreviatedType
	}
	prefix := q.prefix
	return h.Documents.Serve(w, q.Request, document.Request{
		Key:         document.MakeKey(registry.NPM, variant, name, prefix, f.Entries),
		ContentType: contentType,
		Build: func(ctx context.Context, w io.Writer) (document.Built, error) {
			return h.build(ctx, w, name, variant, prefix, f.Entries)
		},
	})
}

// wantsAbbreviated tells whether Accept (RFC 9110, 12.5.1) puts the abbreviated form before, or level with, the full one.
func wantsAbbreviated(header http.Header) bool {
	var short, whole float64
	for _, line := range header["Accept"] {
		for part := range strings.SplitSeq(line, ",") {
			switch kind, weight := format.MediaRange(part); kind {
			case abbreviatedType:
				short = weight
			case "application/json":
				whole = weight
			}
		}
	}
	return short > 0 && short >= whole
}

// build writes a packument from one snapshot: the versions' fragments joined, and what belongs to the name.
func (h *Handler) build(ctx context.Context, w io.Writer, name, variant, prefix string, asked []registry.Revision) (built document.Built, err error) {
	err = h.Registry.Store.Read(ctx, func(tx registry.Tx) error {
		entries, ids := slices.Clone(asked), make([]int64, len(asked))
		var modified time.Time
		for i := range entries {
			e, err := tx.Entry(entries[i].ProjectID, registry.NPM, name)
			if err != nil {
				return err
			}
			entries[i].Revision, ids[i] = e.Revision, e.ID
			if e.UpdatedAt.After(modified) {
				modified = e.UpdatedAt
			}
		}
		built = document.Built{Key: document.MakeKey(registry.NPM, variant, name, prefix, entries), Modified: modified}

		j := &jsonWriter{w: w}
		j.field("name", name)
		if variant == full {
			j.field("_id", name)
			j.field("_rev", revisionText(entries))
		} else {
			j.field("modified", stamp(modified))
		}
		j.open("versions")
		var packages []*registry.Package
		prefixJSON := jsonInner(prefix)
		err := tx.EachFragment(ids, variant, func(p *registry.Package, body []byte) error {
			packages = append(packages, p)
			j.key(p.Version)
			return expand(j, p, body, prefixJSON)
		})
		if err != nil {
			return err
		}
		j.close()
		if len(packages) == 0 {
			return errNoPackages
		}
		tags, err := tx.Tags(ids)
		if err != nil {
			return err
		}
		j.field("dist-tags", distTags(packages, tags))
		if variant == full {
			if err := h.describe(tx, j, packages, tags, modified); err != nil {
				return err
			}
		}
		j.raw("}")
		return j.err
	})
	return built, err
}

// expand writes a version's fragment as it is now. A deprecation comes after it was rendered, and goes in first.
func expand(w io.Writer, p *registry.Package, body []byte, prefixJSON string) error {
	if p.Status == registry.Deprecated {
		if _, err := io.WriteString(w, `{"deprecated":`+jsonText(p.StatusMessage)+","); err != nil {
			return err
		}
		body = body[1:]
	}
	return document.Expand(w, body, prefixJSON)
}

// describe writes what the full packument says of the name: times, people, and the latest version's description.
func (h *Handler) describe(tx registry.Tx, j *jsonWriter, packages []*registry.Package, tags []*registry.Tag, modified time.Time) error {
	j.open("time")
	created := packages[0].CreatedAt
	j.key("created")
	j.raw(jsonText(stamp(created)))
	j.key("modified")
	j.raw(jsonText(stamp(modified)))
	for _, p := range packages {
		j.key(p.Version)
		j.raw(jsonText(stamp(p.CreatedAt)))
	}
	j.close()

	var publishers []int64
	for _, p := range packages {
		if p.CreatorID != 0 && !slices.Contains(publishers, p.CreatorID) {
			publishers = append(publishers, p.CreatorID)
		}
	}
	maintainers := []person{}
	if len(publishers) > 0 {
		users, _, err := tx.Users(registry.UserFilter{IDs: publishers, Limit: len(publishers)})
		if err != nil {
			return err
		}
		for _, user := range users {
			maintainers = append(maintainers, person{Name: user.Username})
		}
	}
	j.field("maintainers", maintainers)

	latest := registry.Latest(Format, packages, tags)
	err := tx.Fragments([]int64{latest.ID}, full, func(_ *registry.Package, body []byte) error {
		var manifest map[string]json.RawMessage
		if err := json.Unmarshal(bytes.ReplaceAll(body, []byte{0}, nil), &manifest); err != nil {
			return err
		}
		for _, key := range []string{"description", "homepage", "keywords", "repository", "author", "contributors", "bugs", "license"} {
			if value, ok := manifest[key]; ok {
				j.field(key, value)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Fragments([]int64{latest.ID}, readme, func(_ *registry.Package, body []byte) error {
		j.field("readme", string(body))
		return nil
	})
}

// distTags are the tags of a name, as far as they lead to one of its packages. Of two projects in a group that have the
// same tag, the one set last counts.
func distTags(packages []*registry.Package, tags []*registry.Tag) map[string]string {
	there := make(map[string]bool, len(packages))
	for _, p := range packages {
		there[p.Version] = true
	}
	shown := map[string]string{}
	for _, tag := range tags {
		if there[tag.Version] {
			shown[tag.Name] = tag.Version
		}
	}
	if latest := registry.Latest(Format, packages, tags); latest != nil {
		shown[registry.LatestTag] = latest.Version
	}
	return shown
}

// revisionText is the packument's _rev, which unpublishing sends back. It guards one entry; for a name that comes from
// several projects there is none that could be right.
func revisionText(entries []registry.Revision) string {
	if len(entries) != 1 {
		return "0-several-projects"
	}
	return strconv.FormatInt(entries[0].Revision, 10) + "-" + strconv.FormatInt(entries[0].EntryID, 10)
}

// stamp is a time as JavaScript's toISOString writes it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// manifest answers GET /:package/:version-or-tag with one version's manifest.
func (h *Handler) manifest(w http.ResponseWriter, q *request, name, version string) error {
	f, err := h.find(q, name)
	if err != nil {
		return h.forward(w, q, name, err, version)
	}
	var text bytes.Buffer
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		packages, err := tx.Packages(f.IDs())
		if err != nil {
			return err
		}
		tags, err := tx.Tags(f.IDs())
		if err != nil {
			return err
		}
		if tagged, ok := distTags(packages, tags)[version]; ok {
			version = tagged
		}
		var id int64
		for _, p := range packages { // of several projects' the newest, as in the packument
			if p.Version == version {
				id = p.ID
			}
		}
		if id == 0 {
			return errNoPackage
		}
		return tx.Fragments([]int64{id}, full, func(p *registry.Package, body []byte) error {
			return expand(&text, p, body, jsonInner(q.prefix))
		})
	})
	if err != nil {
		return err
	}
	w.Header().Set("Vary", "Authorization")
	return writeJSON(w, http.StatusOK, json.RawMessage(text.Bytes()))
}

// tarball answers GET /:package/-/:file.
func (h *Handler) tarball(w http.ResponseWriter, q *request, name, file string) error {
	version, ok := versionOfFile(name, file)
	if !ok {
		return errNoPackage
	}
	f, err := h.find(q, name)
	if err != nil {
		return h.forward(w, q, name, err, "-", file)
	}
	content, err := h.Registry.Store.FileOfVersion(q.Context(), f.IDs(), version, "")
	if registry.KindOf(err) == registry.NotFound {
		return errNoPackage
	}
	if err != nil {
		return err
	}
	return document.ServeFile(w, q.Request, h.Registry, content)
}

// ---- writing JSON piece by piece

// jsonWriter writes an object whose larger parts are ready-made JSON. It keeps the first error.
type jsonWriter struct {
	w     io.Writer
	err   error
	began bool // something stands in the object that is open
}

func (j *jsonWriter) Write(p []byte) (int, error) {
	if j.err == nil {
		_, j.err = j.w.Write(p)
	}
	return len(p), j.err
}

func (j *jsonWriter) raw(text string) { io.WriteString(j, text) }

// key begins a member of the open object.
func (j *jsonWriter) key(key string) {
	separator := ","
	if !j.began {
		separator = "{"
	}
	j.began = true
	j.raw(separator + jsonText(key) + ":")
}

// field writes a member.
func (j *jsonWriter) field(key string, value any) {
	text, err := json.Marshal(value)
	if err != nil && j.err == nil {
		j.err = err
	}
	j.key(key)
	j.Write(text)
}

// open begins a member that is an object, close ends it.
func (j *jsonWriter) open(key string) {
	j.key(key)
	j.began = false
}

func (j *jsonWriter) close() {
	if !j.began {
		j.raw("{")
	}
	j.began = true
	j.raw("}")
}

// jsonText is a string as JSON.
func jsonText(s string) string {
	text, _ := json.Marshal(s) // strings always marshal
	return string(text)
}

// jsonInner is a string as it stands within the quotes of a JSON string.
func jsonInner(s string) string {
	text := jsonText(s)
	return text[1 : len(text)-1]
}
