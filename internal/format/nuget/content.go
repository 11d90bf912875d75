package nuget

import (
	"bytes"
	"net/http"
	"path"
	"strings"
	"time"

	"packhouse/internal/document"
	"packhouse/internal/format"
	"packhouse/internal/registry"
)

// What the flat container has of a version besides the list of versions: the package, its symbols, and small files of it that
// are kept as fragments.

// download answers GET /download/:id/:version/:file.
func (h *Handler) download(w http.ResponseWriter, q *request) error {
	f, v, err := h.findVersion(q)
	if err != nil {
		return err
	}
	return h.file(w, q, f, v, q.PathValue("file"))
}

// findVersion looks the id of a path up, and reads its version, which nobody may have.
func (h *Handler) findVersion(q *request) (f *format.Found, v version, err error) {
	if f, err = h.find(q, q.PathValue("name")); err != nil {
		return nil, v, err
	}
	v, ok := parseVersion(q.PathValue("version"))
	if !ok {
		return nil, v, errNoPackage
	}
	return f, v, nil
}

// file answers a file of a version.
func (h *Handler) file(w http.ResponseWriter, q *request, f *format.Found, v version, name string) error {
	name = strings.ToLower(name)
	extension, part := path.Ext(name), ""
	if extension == ".nupkg" || extension == ".snupkg" {
		// The version in the name may have another spelling.
		named, ok := parseVersion(strings.TrimPrefix(strings.TrimSuffix(name, extension), f.Name+"."))
		if !ok || named.key() != v.key() {
			return errNoPackage
		}
	} else {
		extension = ".nupkg"
		part = map[string]string{f.Name + ".nuspec": nuspecPart, readmePart: readmePart, iconPart: iconPart, licensePart: licensePart}[name]
		if part == "" {
			return errNoPackage
		}
	}
	file, err := h.Registry.Store.FileOfVersion(q.Context(), f.IDs(), v.key(), fileName(f.Name, v, extension))
	switch {
	case registry.KindOf(err) == registry.NotFound:
		return errNoPackage
	case err != nil:
		return err
	case part != "":
		return h.part(w, q, file, part)
	}
	return document.StreamFile(w, q.Request, h.Registry, file)
}

// part answers a small file of a package.
func (h *Handler) part(w http.ResponseWriter, q *request, nupkg *registry.File, part string) error {
	var text []byte
	found := false // the text may be empty
	err := h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		return tx.Fragments([]int64{nupkg.PackageID}, part, func(_ *registry.Package, body []byte) error {
			text, found = bytes.Clone(body), true
			return nil
		})
	})
	if err == nil && !found {
		err = errNoPackage
	}
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", partType(part, text))
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox") // a publisher's text, in our origin
	header.Set("Cache-Control", "private, max-age=31536000, immutable")
	header.Set("ETag", `"`+nupkg.SHA256+"-"+part+`"`)
	http.ServeContent(w, q.Request, "", time.Time{}, bytes.NewReader(text))
	return nil
}

// partType is the media type of a part.
func partType(part string, text []byte) string {
	switch part {
	case nuspecPart:
		return "application/xml"
	case iconPart:
		return http.DetectContentType(text) // readPackage takes PNG and JPEG only
	case readmePart:
		return "text/markdown; charset=utf-8"
	}
	return "text/plain; charset=utf-8"
}
