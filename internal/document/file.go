package document

import (
	"mime"
	"net/http"
	"path"
	"time"

	"packhouse/internal/registry"
)

// ServeFile answers a GET or HEAD for a package file whose reader has been authorized: with ranges and conditions
// (RFC 9110), from disk by sendfile. Clients may keep it for good: only a version that was removed and published anew has
// another content, and then its digest in the index, which clients compare, is another one too.
func ServeFile(w http.ResponseWriter, r *http.Request, blobs registry.Blobs, file *registry.File) error {
	blob, err := blobs.Open(r.Context(), file.SHA256)
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
	header.Set("Cache-Control", "private, max-age=31536000, immutable")
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(file.Name)}))
	http.ServeContent(w, r, "", time.Time{}, blob)
	return nil
}
