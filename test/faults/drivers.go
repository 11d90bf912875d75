package faults

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// driver is a format as these tests speak it.
type driver struct {
	format string
	// build makes a package with unique bytes and the request that publishes it.
	build func(prefix, name, version, unique string) (method, path, contentType string, body, content []byte)
	index string // path of the index below the prefix; %s is the name
	read  func(body []byte, name string) (map[string]string, error)
	file  func(prefix, name, version string, content string) string // path of the package file; content is its SHA-256
	// digest is how the index tells the bytes; empty: it does not.
	digest func(content []byte) string
}

var drivers = []driver{npmDriver, pypiDriver, nugetDriver}

func tarball(path, text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z) // in memory, where nothing fails
	w.WriteHeader(&tar.Header{Name: path, Size: int64(len(text)), Mode: 0o644})
	w.Write([]byte(text))
	w.Close()
	z.Close()
	return b.Bytes()
}

func form(field, file string, content []byte, fields map[string]string) (body []byte, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range fields {
		w.WriteField(name, value)
	}
	part, _ := w.CreateFormFile(field, file)
	part.Write(content)
	w.Close()
	return b.Bytes(), w.FormDataContentType()
}

func sha256Hex(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func integrityOf(content []byte) string {
	sum := sha512.Sum512(content)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

var npmDriver = driver{
	format: "npm", index: "/npm/%s", digest: integrityOf,
	build: func(prefix, name, version, unique string) (string, string, string, []byte, []byte) {
		content := tarball("package/package.json", fmt.Sprintf(`{"name":%q,"version":%q,"description":%q}`, name, version, unique))
		body, _ := json.Marshal(map[string]any{"_id": name, "name": name, "dist-tags": map[string]string{"latest": version},
			"versions": map[string]any{version: map[string]any{"name": name, "version": version, "description": unique, "_id": name + "@" + version,
				"dist": map[string]any{"integrity": integrityOf(content), "tarball": "http://packages.example.com/x.tgz"}}},
			"_attachments": map[string]any{name + "-" + version + ".tgz": map[string]any{"content_type": "application/octet-stream",
				"data": base64.StdEncoding.EncodeToString(content), "length": len(content)}}})
		return "PUT", prefix + "/npm/" + name, "application/json", body, content
	},
	read: func(body []byte, name string) (map[string]string, error) {
		var document struct {
			Versions map[string]struct{ Dist struct{ Integrity string } }
		}
		err := json.Unmarshal(body, &document)
		found := map[string]string{}
		for version, v := range document.Versions {
			found[version] = v.Dist.Integrity
		}
		return found, err
	},
	file: func(prefix, name, version, _ string) string {
		return prefix + "/npm/" + name + "/-/" + name + "-" + version + ".tgz"
	},
}

var pypiDriver = driver{
	format: "pypi", index: "/pypi/simple/%s/", digest: sha256Hex,
	build: func(prefix, name, version, unique string) (string, string, string, []byte, []byte) {
		folder := name + "-" + version
		content := tarball(folder+"/PKG-INFO", "Metadata-Version: 2.1\nName: "+name+"\nVersion: "+version+"\nSummary: "+unique+"\n")
		body, kind := form("content", folder+".tar.gz", content, map[string]string{":action": "file_upload", "name": name, "version": version, "sha256_digest": sha256Hex(content)})
		return "POST", prefix + "/pypi", kind, body, content
	},
	read: func(body []byte, name string) (map[string]string, error) {
		var page struct {
			Files []struct {
				Filename string
				Hashes   map[string]string
			}
		}
		err := json.Unmarshal(body, &page)
		found := map[string]string{}
		for _, f := range page.Files {
			found[strings.TrimSuffix(strings.TrimPrefix(f.Filename, name+"-"), ".tar.gz")] = f.Hashes["sha256"]
		}
		return found, err
	},
	file: func(prefix, name, version, content string) string {
		return prefix + "/pypi/files/" + content + "/" + name + "-" + version + ".tar.gz"
	},
}

var nugetDriver = driver{
	format: "nuget", index: "/nuget/download/%s/index.json",
	build: func(prefix, name, version, unique string) (string, string, string, []byte, []byte) {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for path, text := range map[string]string{"lib/unique.txt": unique, name + ".nuspec": `<?xml version="1.0" encoding="utf-8"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>` +
			name + "</id><version>" + version + "</version><authors>A</authors><description>D</description></metadata></package>"} {
			f, _ := w.Create(path)
			f.Write([]byte(text))
		}
		w.Close()
		body, kind := form("package", "package.nupkg", b.Bytes(), nil)
		return "PUT", prefix + "/nuget", kind, body, b.Bytes()
	},
	read: func(body []byte, name string) (map[string]string, error) {
		var list struct{ Versions []string }
		err := json.Unmarshal(body, &list)
		found := map[string]string{}
		for _, version := range list.Versions {
			found[version] = "?"
		}
		return found, err
	},
	file: func(prefix, name, version, _ string) string {
		return prefix + "/nuget/download/" + name + "/" + version + "/" + name + "." + version + ".nupkg"
	},
}

// client is one that talks to one node, and records what it sees.
type client struct {
	name    string
	url     func() string // of the node, which may be another one after a restart
	token   string
	project int64
	http    *http.Client
	history *history
}

func (c *client) prefix() string { return fmt.Sprintf("/api/v4/projects/%d/packages", c.project) }

func (c *client) send(method, path, contentType string, body []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequest(method, c.url()+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("PRIVATE-TOKEN", c.token)
	if strings.Contains(path, "/pypi/simple/") {
		request.Header.Set("Accept", "application/vnd.pypi.simple.v1+json")
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// ended is what an answer to a change says.
func ended(status int, err error) (outcome, string) {
	switch {
	case err != nil:
		return unknown, err.Error()
	case status < 300:
		return done, fmt.Sprint(status)
	case status >= 500:
		return unknown, fmt.Sprint(status)
	}
	return refused, fmt.Sprint(status)
}

// publish makes a version, and returns its outcome, status and content.
func (c *client) publish(d driver, name, version, unique string) (outcome, int, []byte) {
	method, path, contentType, body, content := d.build(c.prefix(), name, version, unique)
	e := event{kind: publish, key: key{d.format, name, version}, from: c.history.now(), client: c.name, digest: sha256Hex(content)}
	c.history.mu.Lock()
	c.history.note(e.key)
	c.history.mu.Unlock()
	c.history.learn(d, content)
	status, answer, err := c.send(method, path, contentType, body)
	e.outcome, e.statusText = ended(status, err)
	if e.outcome == refused {
		e.statusText += " " + string(answer)
	}
	c.history.add(e)
	return e.outcome, status, content
}

// index reads what there is of a name. It is nil without an answer.
func (c *client) index(d driver, name string) map[string]string {
	from := c.history.now()
	status, body, err := c.send("GET", c.prefix()+fmt.Sprintf(d.index, name), "", nil)
	var versions map[string]string
	switch {
	case err != nil || status >= 500 || status == http.StatusTooManyRequests:
		return nil
	case status == http.StatusNotFound:
		versions = map[string]string{}
	case status == http.StatusOK:
		if versions, err = d.read(body, name); err != nil {
			versions = map[string]string{"unreadable": err.Error()} // nobody published it
		}
	default:
		versions = map[string]string{fmt.Sprintf("status %d", status): string(body)}
	}
	for version, digest := range versions {
		versions[version] = c.history.learned(digest)
	}
	c.history.addIndex(c.name, d.format, name, from, versions)
	return versions
}

// download reads the file of a version, and records its bytes.
func (c *client) download(d driver, name, version, content string) {
	e := event{kind: download, key: key{d.format, name, version}, from: c.history.now(), client: c.name}
	status, body, err := c.send("GET", d.file(c.prefix(), name, version, content), "", nil)
	e.statusText = fmt.Sprint(status)
	switch {
	case err != nil || status >= 500 || status == http.StatusTooManyRequests:
		return
	case status == http.StatusNotFound:
		if d.format == "pypi" && content != "" { // that content is not there; another one may be
			return
		}
	case status == http.StatusOK:
		e.digest = sha256Hex(body)
	default:
		e.digest = fmt.Sprintf("status %d: %.200s", status, body)
	}
	c.history.add(e)
}

// remove deletes a version through the API.
func (c *client) remove(d driver, name, version string) outcome {
	query := url.Values{"package_type": {d.format}, "package_name": {name}, "package_version": {version}}
	status, body, err := c.send("GET", c.prefix()+"?"+query.Encode(), "", nil)
	var list []struct {
		ID   int64
		Name string
	}
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &list) != nil {
		return unknown
	}
	for _, p := range list {
		if p.Name != name {
			continue
		}
		e := event{kind: remove, key: key{d.format, name, version}, from: c.history.now(), client: c.name}
		status, _, err := c.send("DELETE", fmt.Sprintf("%s/%d", c.prefix(), p.ID), "", nil)
		e.outcome, e.statusText = ended(status, err)
		c.history.add(e)
		return e.outcome
	}
	return refused
}

// learn lets digests of an index be compared with contents: all by SHA-256.
func (h *history) learn(d driver, content []byte) {
	if d.digest == nil {
		return
	}
	h.digests.Store(d.digest(content), sha256Hex(content))
}

func (h *history) learned(digest string) string {
	if sum, ok := h.digests.Load(digest); ok {
		return sum.(string)
	}
	return digest
}

// newHTTP is a client with connections of its own.
func newHTTP(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
}

// incompressible is a text of so many bytes that does not get shorter.
func incompressible(n int) string {
	random := make([]byte, n*3/4)
	rand.Read(random)
	return base64.RawStdEncoding.EncodeToString(random)
}
