package contract

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"

	"packhouse/test/harness"
)

// pypi is the prefix of a project.
func (p project) pypi() string { return fmt.Sprintf("/api/v4/projects/%d/packages/pypi", p.ID) }
func (g group) pypi() string   { return fmt.Sprintf("/api/v4/groups/%d/-/packages/pypi", g.ID) }

// distribution is a file as it is uploaded.
type distribution struct {
	name, version string
	file          string
	content       []byte
}

func (d distribution) sha256() string {
	sum := sha256.Sum256(d.content)
	return hex.EncodeToString(sum[:])
}

// newSdist makes a source distribution. name is normalized.
func newSdist(name, version string, metadata ...string) distribution {
	d := distribution{name: name, version: version, file: strings.ReplaceAll(name, "-", "_") + "-" + version + ".tar.gz"}
	info := "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n" + strings.Join(metadata, "") + "\n" + harness.Random() + "\n"
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	archive := tar.NewWriter(zip)
	// In memory, where nothing fails.
	archive.WriteHeader(&tar.Header{Name: strings.TrimSuffix(d.file, ".tar.gz") + "/PKG-INFO", Size: int64(len(info)), Mode: 0o644})
	archive.Write([]byte(info))
	archive.Close()
	zip.Close()
	d.content = b.Bytes()
	return d
}

// form is the upload of a distribution, with fields besides or instead of its own.
func (d distribution) form(fields map[string]string) (body []byte, contentType string) {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	all := map[string]string{":action": "file_upload", "name": d.name, "version": d.version, "sha256_digest": d.sha256()}
	for field, value := range fields {
		all[field] = value
	}
	for field, value := range all {
		if value != "" {
			form.WriteField(field, value)
		}
	}
	content, _ := form.CreateFormFile("content", d.file)
	content.Write(d.content)
	form.Close()
	return b.Bytes(), form.FormDataContentType()
}

// upload is the request that uploads a distribution to a prefix.
func (d distribution) upload(prefix string, as credential, fields map[string]string) call {
	body, contentType := d.form(fields)
	return call{method: "POST", path: prefix, as: as, header: map[string]string{"Content-Type": contentType}, body: body}
}

// newName is a name that no other test has.
func newName() string { return "dist-" + harness.Random()[:10] }

// uploaded makes a distribution and uploads it as root.
func (w *world) uploaded(p project, name, version string, metadata ...string) distribution {
	w.Helper()
	d := newSdist(name, version, metadata...)
	w.send(d.upload(p.pypi(), w.root(), nil)).must(w, http.StatusCreated)
	return d
}

// hasFile tells whether a page of a project shows a file.
func (w *world) hasFile(p project, d distribution) bool {
	w.Helper()
	a := w.send(call{path: p.pypi() + "/simple/" + d.name + "/", as: w.root()})
	return a.status == http.StatusOK && strings.Contains(string(a.body), d.sha256())
}
