package document

import (
	"encoding/base64"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// binary is the type of all files: what somebody uploaded must not become a page of this server. Several ranges at once
// have another one.
const binary = "application/octet-stream"

// ServeFile is StreamFile for clients that follow redirects: where the server is set to, it sends them to the store of the
// blobs for the content itself.
func ServeFile(w http.ResponseWriter, r *http.Request, reg *registry.Registry, file *registry.File) error {
	linker, ok := reg.Blobs.(registry.Linker)
	if !reg.Redirect || !ok || r.Method != http.MethodGet || r.Header.Get("If-None-Match") != "" || r.Header.Get("If-Range") != "" {
		return StreamFile(w, r, reg, file)
	}
	link, err := linker.Link(r.Context(), file.SHA256, path.Base(file.Name))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store") // the link ends
	w.Header().Set("Location", link)
	w.WriteHeader(http.StatusFound)
	if part := r.Header.Get("Range"); file.ID != 0 && (part == "" || strings.HasPrefix(part, "bytes=0-")) {
		reg.Downloads.Count(file)
	}
	return nil
}

// StreamFile answers a GET or HEAD for a package file whose reader has been authorized: with ranges and conditions
// (RFC 9110), from disk by sendfile. Clients may keep it for good: only a version that was removed and published anew has
// another content, and then its digest in the index, which clients compare, is another one too.
//
// A Content-Type that is set already stays.
//
// An answer with the whole has the digest that the content should have (RFC 9530): what a disk has damaged can be told by whoever compares, also where the format has no
// place for a digest. It is not compared here, since what is sent goes from the disk to the network without us.
//
// What is sent from its beginning, also as a first range, counts as a download of a file that has an id.
func StreamFile(w http.ResponseWriter, r *http.Request, reg *registry.Registry, file *registry.File) error {
	blob, err := reg.Blobs.Open(r.Context(), file.SHA256)
	if err != nil {
		if registry.KindOf(err) == registry.NotFound {
			// A row without its bytes is our fault, not an answer about the package.
			return &registry.Error{Kind: registry.Fault, Message: "the content of this file is missing", Err: err}
		}
		return err
	}
	defer blob.Close()
	header := w.Header()
	header.Set("ETag", `"`+file.SHA256+`"`)
	if sum, err := hex.DecodeString(file.SHA256); err == nil && r.Header.Get("Range") == "" { // of a range that is refused it would be wrong
		header.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
	}
	header.Set("Cache-Control", "private, max-age=31536000, immutable")
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", binary)
	}
	header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(file.Name)}))
	http.ServeContent(w, r, "", time.Time{}, blob)
	if r.Method == http.MethodGet && file.ID != 0 && fromBeginning(header) {
		reg.Downloads.Count(file)
	}
	return nil
}

// fromBeginning tells by the header of an answer of [http.ServeContent] whether it sent the content, or its first part.
// Only these answers accept ranges.
func fromBeginning(header http.Header) bool {
	part := header.Get("Content-Range")
	return header.Get("Accept-Ranges") != "" && (strings.HasPrefix(part, "bytes 0-") || part == "" && strings.HasPrefix(header.Get("Content-Type"), "application/"))
}
