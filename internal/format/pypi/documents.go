package pypi

import (
	"cmp"
	"encoding/json"
	"html"
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

// apiVersion is that of the simple repository API that both pages have.
const apiVersion = "1.3"

// The media types of a page (PEP 691).
const (
	simpleJSON = "application/vnd.pypi.simple.v1+json"
	simpleHTML = "application/vnd.pypi.simple.v1+html"
	plainHTML  = "text/html"
)

// mediaTypes are the forms of a page; each stands before those that are only chosen when they weigh more.
var mediaTypes = [...]string{plainHTML, simpleHTML, simpleJSON}

// mediaType chooses the form of a page by Accept (RFC 9110, 12.5.1), weights and wildcards included. HTML is for all who
// accept it as much, or nothing that there is.
func mediaType(header http.Header) string {
	var weights, specific [len(mediaTypes)]float64 // specific: of the range that gave the weight; the most specific counts
	for _, line := range header["Accept"] {
		for part := range strings.SplitSeq(line, ",") {
			accepted, weight := format.MediaRange(part)
			accepted = strings.Replace(accepted, "simple.latest+", "simple.v1+", 1)
			for i, kind := range mediaTypes {
				family, _, _ := strings.Cut(kind, "/")
				fits := 0.0
				switch accepted {
				case kind:
					fits = 3
				case family + "/*":
					fits = 2
				case "*/*":
					fits = 1
				}
				switch {
				case fits == 0 || fits < specific[i]:
				case fits > specific[i]:
					weights[i], specific[i] = weight, fits
				default:
					weights[i] = max(weights[i], weight)
				}
			}
		}
	}
	chosen, best := plainHTML, 0.0
	for i, weight := range weights {
		if weight > best {
			chosen, best = mediaTypes[i], weight
		}
	}
	return chosen
}

// contentType is the header of a page; JSON is UTF-8 by itself, but some clients want to read it.
func contentType(media string) string {
	if media == simpleJSON {
		return media
	}
	return media + "; charset=utf-8"
}

// file is what a page says of one file.
type file struct {
	pkg *registry.Package
	*registry.File
	facts
}

// eachFile yields the files of entries, the oldest first. Of files with one name in several projects of a group only
// the newest counts.
func eachFile(tx registry.Tx, entries []int64) (files []file, err error) {
	at := map[string]int{}
	err = tx.EachFile(entries, func(p *registry.Package, f *registry.File) error {
		one := file{pkg: p, File: f}
		if err := json.Unmarshal([]byte(f.Facts), &one.facts); err != nil {
			return err
		}
		if i, ok := at[f.Name]; ok {
			files[i] = one
			return nil
		}
		at[f.Name] = len(files)
		files = append(files, one)
		return nil
	})
	return files, err
}

// page answers GET /simple/:name/.
func (h *Handler) page(w http.ResponseWriter, q *request, name string) error {
	f, err := h.Find(q.Request, q.at, sought(name))
	if err != nil {
		return err
	}
	media := mediaType(q.Header)
	write := writeHTML
	if media == simpleJSON {
		write = writeSimpleJSON
	}
	return h.serve(w, q, f, media, contentType(media), func(tx registry.Tx, w io.Writer, ids []int64) error {
		files, err := eachFile(tx, ids)
		if err == nil && len(files) == 0 {
			err = errNoPackage
		}
		if err != nil {
			return err
		}
		return write(w, q.prefix, f.Name, files)
	})
}

// serve answers a document about one name.
func (h *Handler) serve(w http.ResponseWriter, q *request, f *format.Found, variant, contentType string, write func(registry.Tx, io.Writer, []int64) error) error {
	return h.Serve(w, q.Request, h.Documents, f, q.prefix, variant, document.Request{ContentType: contentType}, write)
}

// fileURL is where a file is; its name has no character that a URL would have to escape but "!" and "+".
func fileURL(prefix string, f *registry.File) string {
	return prefix + "/files/" + f.SHA256 + "/" + url.PathEscape(f.Name)
}

const htmlHead = "<!DOCTYPE html>\n<html>\n  <head>\n    <meta name=\"pypi:repository-version\" content=\"" + apiVersion + "\">\n    <title>Links for "

// writeHTML writes the project page (PEP 503, 592, 658, 714, 740).
func writeHTML(w io.Writer, prefix, name string, files []file) error {
	var b strings.Builder
	title := html.EscapeString(files[0].pkg.Name)
	b.WriteString(htmlHead + title + "</title>\n  </head>\n  <body>\n    <h1>Links for " + title + "</h1>\n")
	for _, f := range files {
		link := html.EscapeString(fileURL(prefix, f.File))
		b.WriteString(`    <a href="` + link + `#sha256=` + f.SHA256 + `" data-requires-python="` + html.EscapeString(f.RequiresPython) + `"`)
		b.WriteString(` data-dist-info-metadata="sha256=` + f.Metadata + `" data-core-metadata="sha256=` + f.Metadata + `"`)
		if f.Signed {
			b.WriteString(` data-gpg-sig="true"`)
		}
		if f.Provenance {
			b.WriteString(` data-provenance="` + link + `.provenance"`)
		}
		if f.pkg.Status == registry.Deprecated {
			b.WriteString(` data-yanked="` + html.EscapeString(f.pkg.StatusMessage) + `"`)
		}
		b.WriteString(">" + html.EscapeString(f.Name) + "</a><br>\n")
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
		b.Reset()
	}
	_, err := io.WriteString(w, "  </body>\n</html>\n")
	return err
}

// yanked is false, true, or the reason (PEP 592).
func yanked(p *registry.Package) any {
	switch {
	case p.Status != registry.Deprecated:
		return false
	case p.StatusMessage == "":
		return true
	}
	return p.StatusMessage
}

type jsonMeta struct {
	APIVersion string `json:"api-version"`
}

// writeSimpleJSON writes the project page (PEP 691, 700, 714, 740).
func writeSimpleJSON(w io.Writer, prefix, name string, files []file) error {
	type jsonFile struct {
		Name           string            `json:"filename"`
		URL            string            `json:"url"`
		Hashes         map[string]string `json:"hashes"`
		RequiresPython string            `json:"requires-python,omitempty"`
		CoreMetadata   map[string]string `json:"core-metadata"`
		DistInfo       map[string]string `json:"dist-info-metadata"`
		Signed         bool              `json:"gpg-sig"`
		Yanked         any               `json:"yanked"`
		Size           int64             `json:"size"`
		UploadTime     string            `json:"upload-time"`
		Provenance     *string           `json:"provenance"`
	}
	list := make([]jsonFile, len(files))
	for i, f := range files {
		digest := map[string]string{"sha256": f.Metadata}
		list[i] = jsonFile{Name: f.Name, URL: fileURL(prefix, f.File), Hashes: map[string]string{"sha256": f.SHA256}, RequiresPython: f.RequiresPython,
			CoreMetadata: digest, DistInfo: digest, Signed: f.Signed, Yanked: yanked(f.pkg), Size: f.Size, UploadTime: stamp(f.CreatedAt)}
		if f.Provenance {
			list[i].Provenance = new(list[i].URL + ".provenance")
		}
	}
	return writeAsIs(w, struct {
		Meta     jsonMeta   `json:"meta"`
		Name     string     `json:"name"`
		Versions []string   `json:"versions"`
		Files    []jsonFile `json:"files"`
	}{jsonMeta{apiVersion}, name, versions(files), list})
}

// writeAsIs writes JSON without escapes for HTML, which would make ">=3.6" longer.
func writeAsIs(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// versions are those of files, the lowest first.
func versions(files []file) []string {
	seen, list := map[string]bool{}, []string{}
	for _, f := range files {
		if !seen[f.pkg.Version] {
			seen[f.pkg.Version] = true
			list = append(list, f.pkg.Version)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		x, okX := parseVersion(a)
		y, okY := parseVersion(b)
		if !okX || !okY {
			return strings.Compare(a, b)
		}
		return cmp.Or(compareVersions(x, y), strings.Compare(a, b))
	})
	return list
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// download answers GET /files/:sha256/:file and its companions.
func (h *Handler) download(w http.ResponseWriter, q *request, digest, name string) error {
	if f, err := h.File(q.Request, q.at, digest, name); err == nil {
		return document.ServeFile(w, q.Request, h.Registry, f)
	} else if registry.KindOf(err) != registry.NotFound {
		return err
	}
	for suffix, kind := range map[string]struct {
		word, media string
		has         func(*facts) bool
	}{
		".metadata":   {coreMetadata, "text/plain; charset=utf-8", func(*facts) bool { return true }},
		".asc":        {signature, "application/pgp-signature", func(f *facts) bool { return f.Signed }},
		".provenance": {attestations, "application/vnd.pypi.integrity.v1+json", func(f *facts) bool { return f.Provenance }},
	} {
		whole, ok := strings.CutSuffix(name, suffix)
		if !ok {
			continue
		}
		f, err := h.File(q.Request, q.at, digest, whole)
		if err != nil {
			return err
		}
		var known facts
		if err := json.Unmarshal([]byte(f.Facts), &known); err != nil {
			return err
		}
		if !kind.has(&known) { // a file of this name that it replaced may have had one
			return errNoPackage
		}
		var text []byte
		err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
			return tx.Fragments([]int64{f.PackageID}, companion(kind.word, whole), func(_ *registry.Package, body []byte) error {
				text = slices.Clone(body)
				return nil
			})
		})
		if err != nil {
			return err
		}
		if text == nil {
			return errNoPackage
		}
		header := w.Header()
		header.Set("Content-Type", kind.media)
		header.Set("Cache-Control", "private, max-age=31536000, immutable")
		header.Set("ETag", `"`+digest+suffix+`"`)
		http.ServeContent(w, q.Request, "", time.Time{}, strings.NewReader(string(text)))
		return nil
	}
	return errNoPackage
}
