package contract

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// pack is a package as a client has it on its disk before it publishes.
type pack struct {
	name, version string
	fields        map[string]any    // of the manifest and package.json, besides name and version
	inside        map[string]any    // package.json, when it is not the manifest
	files         map[string]string // besides package.json, below the root folder
	tags          map[string]string // latest when nil
	readme        string
}

// newPack is a small package with a name and content that no other has.
func newPack() pack { return named("pack-" + harness.Random()[:12]) }

func named(name string) pack { return pack{name: name, version: "1.0.0"}.unique() }

// unique gives it content of its own, so that no two tarballs share a blob.
func (p pack) unique() pack {
	p.files = maps.Clone(p.files)
	if p.files == nil {
		p.files = map[string]string{}
	}
	p.files["unique.txt"] = harness.Random()
	return p
}

// at is the same package in another version, with other content.
func (p pack) at(version string) pack {
	p.version = version
	return p.unique()
}

func (p pack) manifest() map[string]any {
	manifest := map[string]any{"name": p.name, "version": p.version}
	maps.Copy(manifest, p.fields)
	return manifest
}

type entry struct{ name, content string }

// entries of the tarball.
func (p pack) entries() []entry {
	inside := p.inside
	if inside == nil {
		inside = p.manifest()
	}
	text, _ := json.Marshal(inside)
	list := []entry{{"package/package.json", string(text)}}
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		list = append(list, entry{"package/" + name, p.files[name]})
	}
	return list
}

func (p pack) tarball() []byte { return zip(archive(p.entries()...)) }

func archive(entries ...entry) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		w.WriteHeader(&tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.content)), Typeflag: tar.TypeReg, Format: tar.FormatPAX})
		io.WriteString(w, e.content)
	}
	w.Close()
	return b.Bytes()
}

func zip(content []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // a level that exists
	w.Write(content)
	w.Close()
	return b.Bytes()
}

// noise is bytes that do not compress, the same ones each time.
func noise(n int) []byte {
	out := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(out)
	return out
}

// exactly is a tarball of a package of so many bytes: its content is not
// compressed, and the last bytes stand in the comment of the gzip header.
func exactly(k pack, size int) []byte {
	k.files = maps.Clone(k.files)
	tarball := func(content, comment int) []byte {
		k.files["noise"] = string(noise(content))
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.NoCompression) // a level that exists
		w.Comment = strings.Repeat("x", comment)
		w.Write(archive(k.entries()...))
		w.Close()
		return b.Bytes()
	}
	content := size - 8<<10
	for missing := 0; ; content += missing {
		missing = size - len(tarball(content, 1))
		if 0 <= missing && missing < 500 {
			return tarball(content, 1+missing)
		}
		missing = missing / 512 * 512 // a tar grows by its blocks
	}
}

// bomb is so many MiB of a letter, in few bytes: a gzip file may have many
// members.
func bomb(letter string, size int) []byte {
	return bytes.Repeat(zip([]byte(strings.Repeat(letter, 1<<20))), size)
}

func unzip(t testing.TB, content []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func shasum(content []byte) string {
	sum := sha1.Sum(content)
	return hex.EncodeToString(sum[:])
}

func integrity(content []byte) string {
	sum := sha512.Sum512(content)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// document is what npm publish sends.
func (p pack) document() map[string]any { return p.documentOf(p.tarball()) }

func (p pack) documentOf(tarball []byte) map[string]any {
	file := p.name + "-" + p.version + ".tgz"
	manifest := p.manifest()
	manifest["_id"] = p.name + "@" + p.version
	manifest["dist"] = map[string]any{
		"integrity": integrity(tarball), "shasum": shasum(tarball),
		"tarball": "http://packages.example.com/" + p.name + "/-/" + file,
	}
	tags := p.tags
	if tags == nil {
		tags = map[string]string{"latest": p.version}
	}
	document := map[string]any{
		"_id": p.name, "name": p.name, "dist-tags": tags, "versions": map[string]any{p.version: manifest}, "access": nil,
		"_attachments": map[string]any{file: map[string]any{
			"content_type": "application/octet-stream", "data": base64.StdEncoding.EncodeToString(tarball), "length": len(tarball),
		}},
	}
	if p.readme != "" {
		document["readme"] = p.readme
	}
	return document
}

// escaped is a name as npm writes it in a URL.
func escaped(name string) string { return strings.ReplaceAll(name, "/", "%2f") }

// publish publishes, which must succeed, and returns the tarball.
func (w *world) publish(to project, as credential, p pack) []byte {
	w.Helper()
	w.publishing(to, as, p.document(), p.name).must(w, http.StatusOK)
	return p.tarball()
}

func (w *world) publishing(to project, as credential, document any, name string) *answer {
	w.Helper()
	return w.send(call{method: "PUT", path: to.prefix() + "/" + escaped(name), as: as, body: document})
}

// packument reads the full form, which must succeed.
func (w *world) packument(prefix, name string, as credential) map[string]any {
	w.Helper()
	return w.send(call{path: prefix + "/" + escaped(name), as: as}).must(w, http.StatusOK).object(w)
}

// versions that a packument lists, or none where there is no packument.
func (w *world) versions(prefix, name string, as credential) []string {
	w.Helper()
	a := w.send(call{path: prefix + "/" + escaped(name), as: as})
	if a.status == http.StatusNotFound {
		return []string{}
	}
	return keys(at(a.must(w, http.StatusOK).object(w), "versions"))
}

// download fetches the tarball under the URL that the packument says.
func (w *world) download(prefix, name, version string, as credential) []byte {
	w.Helper()
	address, _ := at(w.packument(prefix, name, as), "versions", version, "dist", "tarball").(string)
	path, ok := strings.CutPrefix(address, w.server.URL)
	if !ok {
		w.Fatalf("tarball of %s %s is %q, not on this server", name, version, address)
	}
	return w.send(call{path: path, as: as}).must(w, http.StatusOK).body
}

// blobs is every file below the server's blob folder, or in its bucket and
// staging folder, with its size, but for the locks that a running server holds.
func blobs(t testing.TB, server *harness.Server) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	roots := []string{filepath.Join(server.Data, "blobs")}
	if bucket, ok := buckets.Load(server); ok {
		roots = []string{filepath.Join(server.Data, "staging"), filepath.Join(bucket.(string), "registry")}
	}
	for _, root := range roots {
		filesBelow(t, root, found)
	}
	return found
}

func filesBelow(t testing.TB, root string, found map[string]int64) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was there a moment ago
		}
		if err != nil || d.IsDir() || d.Name() == "lock" {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			found[path] = info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
