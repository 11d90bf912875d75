package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// asset is a file of the folder assets, ready to be sent.
type asset struct {
	content, compressed []byte
	kind                string // media type
	version             string // changes with the content
}

var assets = func() map[string]*asset {
	all := map[string]*asset{}
	err := fs.WalkDir(files, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		a := &asset{content: content, kind: mime.TypeByExtension(path.Ext(name)), version: hex.EncodeToString(sum[:6])}
		if path.Ext(name) == ".svg" {
			a.kind = "image/svg+xml"
		}
		var b bytes.Buffer
		z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err != nil {
			return err
		}
		z.Write(content)
		z.Close()
		a.compressed = b.Bytes()
		all["/-/"+name] = a
		return nil
	})
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return all
}()

// assetPath is the address of an asset, which is another one when it has changed.
func assetPath(name string) string {
	return "/-/assets/" + name + "?v=" + assets["/-/assets/"+name].version
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	a := assets[r.URL.Path]
	if a == nil {
		http.Error(w, "404 Not Found", http.StatusNotFound)
		return
	}
	header := w.Header()
	header.Set("Content-Type", a.kind)
	header.Set("ETag", `"`+a.version+`"`)
	header.Set("Vary", "Accept-Encoding")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	header.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == a.version {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	content := a.content
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		header.Set("ETag", `"`+a.version+`-gzip"`)
		content = a.compressed
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// glyph is the drawing of a format, 16 by 16. A format is told by it and by its name.
func glyph(kind any) template.HTML {
	drawn, ok := glyphs[asText(kind)]
	if !ok {
		drawn = glyphs["generic"]
	}
	return template.HTML(`<svg class="glyph" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">` + drawn + `</svg>`) // ours
}

// Each is a kind of parcel.
var glyphs = map[string]string{
	"npm":      `<path d="M2.5 3.5h11v9h-11z"/><path d="M6.5 12.5v-6h3v6"/>`,
	"pypi":     `<path d="M8 2.5H5.5v3H10v2H3.5v3h2"/><path d="M8 13.5h2.5v-3H6v-2h6.5v-3h-2"/>`,
	"nuget":    `<circle cx="4" cy="4.5" r="1.5"/><circle cx="9.5" cy="9" r="4"/>`,
	"composer": `<path d="M6 11.5V3.5l6-1v8"/><circle cx="4.5" cy="11.5" r="1.5"/><circle cx="10.5" cy="10.5" r="1.5"/>`,
	"maven":    `<path d="M3 13.500 13 2.500M6 10.200C4.500 7 8 3.500 13 2.500 12.500 7.500 9 10.500 6 10.200z"/>`,
	"conan":    `<path d="M8 2l5.500 3v6L8 14l-5.500-3V5z"/><path d="M2.500 5 8 8l5.500-3M8 8v6"/>`,
	"generic":  `<path d="M2.500 5.500 8 2.500l5.500 3v5L8 13.500l-5.500-3z"/><path d="M5.200 4 10.800 7"/>`,
}

// icon is a drawing of an interface, 16 by 16.
func icon(name string) template.HTML {
	return template.HTML(`<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">` + icons[name] + `</svg>`) // ours
}

var icons = map[string]string{
	"search":  `<circle cx="7" cy="7" r="4.500"/><path d="M10.500 10.500 14 14"/>`,
	"copy":    `<path d="M5.500 5.500h8v8h-8z"/><path d="M10.500 5.500v-3h-8v8h3"/>`,
	"group":   `<path d="M2.500 13.500v-8l5.500-3 5.500 3v8z"/><path d="M5.500 13.500v-5h5v5"/>`,
	"project": `<path d="M2.500 4.500h4l1.500 2h5.500v7h-11z"/>`,
	"plus":    `<path d="M8 3v10M3 8h10"/>`,
	"user":    `<circle cx="8" cy="5.500" r="2.800"/><path d="M2.800 13.800c.8-3 2.800-4.300 5.200-4.300s4.400 1.300 5.200 4.300"/>`,
	"mark":    `<path d="M1.500 14V6.500L8 2.500l6.500 4V14"/><path d="M4.500 14V8.500h7V14M4.500 11.200h7"/>`,
	"down":    `<path d="M8 2.500v8M4.500 7.500 8 11l3.500-3.500M3 13.500h10"/>`,
	"lock":    `<path d="M3.500 7.500h9v6h-9z"/><path d="M5.500 7.500v-2a2.500 2.500 0 0 1 5 0v2"/>`,
	"globe":   `<circle cx="8" cy="8" r="5.500"/><path d="M2.500 8h11M8 2.500c3 3.500 3 7.500 0 11M8 2.500c-3 3.500-3 7.500 0 11"/>`,
	"shield":  `<path d="M8 2l5 2v4c0 3-2 5-5 6-3-1-5-3-5-6V4z"/>`,
}
