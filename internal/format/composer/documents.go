package composer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
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

// places are the projects of entries as documents show them.
type places struct {
	paths   map[int64]string // full ones, by id
	key     string           // the paths as a part of a key: a move changes no revision
	changed time.Time        // when one of them has changed last, or later
}

func placesOf(c *format.Caller, entries []registry.Revision) (*places, error) {
	all := &places{paths: make(map[int64]string, len(entries))}
	for _, e := range entries {
		p, err := c.View.ProjectByID(e.ProjectID)
		if registry.KindOf(err) == registry.NotFound { // it was removed meanwhile, and its versions go after it
			continue
		}
		if err != nil {
			return nil, err
		}
		all.paths[e.ProjectID] = p.FullPath
		all.key += "\n" + p.FullPath
		if p.UpdatedAt.After(all.changed) {
			all.changed = p.UpdatedAt
		}
	}
	return all, nil
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
	places, err := placesOf(&f.Caller, f.Entries)
	if err != nil {
		return err
	}
	return h.Serve(w, q.Request, h.Documents, f, q.base+places.key, variant,
		document.Request{ContentType: mediaType, Vary: vary, ByTime: true, Modified: places.changed},
		func(tx registry.Tx, w io.Writer, entries []int64) error {
			all, err := versions(tx, entries, q.base, places.paths, want)
			if err != nil {
				return err
			}
			return write(w, all)
		})
}
