package faults

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha1"
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
	vendor string // before the name, where the API lists it
	tag    *tag   // what moves; nil: nothing does
}

// tag is something of a name that moves: npm's dist-tag "beta", whose value is a version; Composer's branch "main", whose value is its content.
type tag struct {
	name   string
	index  string // path of the index that shows it; empty: the one that shows the versions
	read   func(body []byte, name string) (value string, err error)
	move   func(prefix, name, version, unique string) (method, path, contentType string, body []byte, value string)
	remove func(c *client, d driver, name string) (outcome, string)
}

var drivers = []driver{npmDriver, pypiDriver, nugetDriver, composerDriver}

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
	tag: &tag{
		name: "beta",
		read: func(body []byte, name string) (string, error) {
			var document struct {
				Tags map[string]string `json:"dist-tags"`
			}
			err := json.Unmarshal(body, &document)
			return document.Tags["beta"], err
		},
		move: func(prefix, name, version, _ string) (string, string, string, []byte, string) {
			return "PUT", prefix + "/npm/-/package/" + name + "/dist-tags/beta", "application/json", []byte(`"` + version + `"`), version
		},
		remove: func(c *client, d driver, name string) (outcome, string) {
			status, _, err := c.send("DELETE", c.prefix()+"/npm/-/package/"+name+"/dist-tags/beta", "", nil)
			return ended(status, err)
		},
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

// zipped is an archive of a file and something unique.
func zipped(file, text, unique string) []byte {
	return zippedAll([2]string{file, text}, [2]string{"lib/unique.txt", unique})
}

// zippedAll is an archive of files: name and text.
func zippedAll(members ...[2]string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b) // in memory, where nothing fails
	for _, member := range members {
		f, _ := w.Create(member[0])
		f.Write([]byte(member[1]))
	}
	w.Close()
	return b.Bytes()
}

var nugetDriver = driver{
	format: "nuget", index: "/nuget/download/%s/index.json",
	build: func(prefix, name, version, unique string) (string, string, string, []byte, []byte) {
		content := zipped(name+".nuspec", `<?xml version="1.0" encoding="utf-8"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>`+
			name+"</id><version>"+version+"</version><authors>A</authors><description>D</description></metadata></package>", unique)
		body, kind := form("package", "package.nupkg", content, nil)
		return "PUT", prefix + "/nuget", kind, body, content
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

var composerDriver = driver{
	format: "composer", index: "/composer/p2/acme/%s.json", digest: sha1Hex, vendor: "acme/",
	build: composerZip,
	read:  composerVersions,
	file: func(prefix, name, version, content string) string {
		return prefix + "/composer/archives/acme/" + name + ".zip?sha=" + content
	},
	tag: &tag{
		name: "dev-main", index: "/composer/p2/acme/%s~dev.json",
		read: func(body []byte, name string) (string, error) {
			versions, err := composerVersions(body, name)
			return versions["dev-main"], err
		},
		move: func(prefix, name, _, unique string) (string, string, string, []byte, string) {
			method, path, contentType, body, content := composerZip(prefix, name, "dev-main", unique)
			return method, path, contentType, body, sha256Hex(content)
		},
		remove: func(c *client, d driver, name string) (outcome, string) {
			if id, ok := c.find(d, name, "dev-main"); ok {
				return c.destroy(id)
			}
			return refused, "not there"
		},
	},
}

func composerZip(prefix, name, version, unique string) (method, path, contentType string, body, content []byte) {
	content = zipped("composer.json", fmt.Sprintf(`{"name":"acme/%s","version":%q,"description":"D"}`, name, version), unique)
	return "PUT", prefix + "/composer", "application/zip", content, content
}

func composerVersions(body []byte, name string) (map[string]string, error) {
	var document struct {
		Packages map[string][]struct {
			Version string
			Dist    struct{ Shasum string }
		}
	}
	err := json.Unmarshal(body, &document)
	found := map[string]string{}
	for _, v := range document.Packages["acme/"+name] {
		found[v.Version] = v.Dist.Shasum
	}
	return found, err
}

func sha1Hex(content []byte) string {
	sum := sha1.Sum(content)
	return hex.EncodeToString(sum[:])
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
	if strings.Contains(path, "/composer/") {
		request.Header.Set("User-Agent", "Composer/2.8.0")
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
	body, ok := c.look(d.index, name)
	if !ok {
		return nil
	}
	versions, err := map[string]string{}, error(nil)
	if body != nil {
		if versions, err = d.read(body, name); err != nil {
			versions = map[string]string{err.Error(): string(body)} // nobody published it
		}
	}
	for version, digest := range versions {
		versions[version] = c.history.learned(digest)
	}
	c.history.addIndex(c.name, d.format, name, from, versions)
	if d.tag == nil {
		return versions
	}
	if d.tag.index != "" {
		from = c.history.now()
		if body, ok = c.look(d.tag.index, name); !ok {
			return versions
		}
	}
	e := event{kind: shows, key: key{d.format, name, d.tag.name}, from: from, client: c.name}
	if body != nil {
		if e.digest, err = d.tag.read(body, name); err != nil {
			e.digest = err.Error()
		}
		e.digest = c.history.learned(e.digest)
	}
	c.history.add(e)
	return versions
}

// look reads an index document; nil: there is none. ok is false without an answer.
func (c *client) look(index, name string) (body []byte, ok bool) {
	status, body, err := c.send("GET", c.prefix()+fmt.Sprintf(index, name), "", nil)
	switch {
	case err != nil || status >= 500 || status == http.StatusTooManyRequests:
		return nil, false
	case status == http.StatusNotFound:
		return nil, true
	case status != http.StatusOK:
		return fmt.Appendf(nil, "status %d: %s", status, body), true // no reader reads it
	}
	return body, true
}

// download reads the file of a version, and records its bytes.
func (c *client) download(d driver, name, version, content string) {
	e := event{kind: download, key: key{d.format, name, version}, from: c.history.now(), client: c.name}
	address := content
	switch d.format {
	case "pypi", "composer":
		if len(content) != 64 { // no index has shown it, so it has no address
			return
		}
		e.asked = content
	}
	if d.format == "composer" {
		address = c.history.toldAs(content)
	}
	status, body, err := c.send("GET", d.file(c.prefix(), name, version, address), "", nil)
	e.statusText = fmt.Sprint(status)
	switch {
	case err == nil && status == http.StatusInternalServerError && bytes.Contains(body, []byte("content of this file is missing")):
		e.digest = "collected" // and nobody published that
	case err != nil || status >= 500 || status == http.StatusTooManyRequests:
		return
	case status == http.StatusNotFound:
	case status == http.StatusOK:
		e.digest = sha256Hex(body)
	default:
		e.digest = fmt.Sprintf("status %d: %.200s", status, body)
	}
	c.history.add(e)
}

// find is the id of a version, as the API lists it.
func (c *client) find(d driver, name, version string) (id int64, ok bool) {
	query := url.Values{"package_type": {d.format}, "package_name": {d.vendor + name}, "package_version": {version}}
	status, body, err := c.send("GET", c.prefix()+"?"+query.Encode(), "", nil)
	var list []struct {
		ID   int64
		Name string
	}
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &list) != nil {
		return 0, false
	}
	for _, p := range list {
		if p.Name == d.vendor+name {
			return p.ID, true
		}
	}
	return 0, false
}

func (c *client) destroy(id int64) (outcome, string) {
	status, _, err := c.send("DELETE", fmt.Sprintf("%s/%d", c.prefix(), id), "", nil)
	return ended(status, err)
}

// remove deletes a version through the API, where it is there.
func (c *client) remove(d driver, name, version string) outcome {
	id, ok := c.find(d, name, version)
	if !ok {
		return refused
	}
	e := event{kind: remove, key: key{d.format, name, version}, from: c.history.now(), client: c.name}
	e.outcome, e.statusText = c.destroy(id)
	c.history.add(e)
	return e.outcome
}

// move sets the tag of a name, and untag removes it.
func (c *client) move(d driver, name, version, unique string) outcome {
	method, path, contentType, body, value := d.tag.move(c.prefix(), name, version, unique)
	if value != version {
		c.history.learn(d, body) // a content of its own
	}
	e := event{kind: set, key: key{d.format, name, d.tag.name}, from: c.history.now(), client: c.name, digest: value}
	status, answer, err := c.send(method, path, contentType, body)
	e.outcome, e.statusText = ended(status, err)
	if e.outcome == refused {
		e.statusText += " " + string(answer)
	}
	c.history.add(e)
	return e.outcome
}

func (c *client) untag(d driver, name string) {
	e := event{kind: set, key: key{d.format, name, d.tag.name}, from: c.history.now(), client: c.name}
	e.outcome, e.statusText = d.tag.remove(c, d, name)
	c.history.add(e)
}

// again is a name whose versions may be published again, with other bytes. Its version 1.0.0 is recorded as a tag whose value is the content.
const again = "again"

// replace publishes it, showAgain reads it, and forget deletes it.
func (c *client) replace(d driver, unique string) {
	method, path, contentType, body, content := d.build(c.prefix(), again, "1.0.0", unique)
	c.history.learn(d, content)
	e := event{kind: set, key: key{d.format, again, "1.0.0"}, from: c.history.now(), client: c.name, digest: sha256Hex(content)}
	status, answer, err := c.send(method, path, contentType, body)
	if e.outcome, e.statusText = ended(status, err); e.outcome == refused {
		e.statusText += " " + string(answer)
	}
	c.history.add(e)
}

func (c *client) showAgain(d driver) {
	e := event{kind: shows, key: key{d.format, again, "1.0.0"}, from: c.history.now(), client: c.name}
	if d.digest == nil { // the index tells no digest
		status, body, err := c.send("GET", d.file(c.prefix(), again, "1.0.0", ""), "", nil)
		switch {
		case err != nil || status >= 500 || status == http.StatusTooManyRequests:
			return
		case status == http.StatusOK:
			e.digest = sha256Hex(body)
		case status != http.StatusNotFound:
			e.digest = fmt.Sprintf("status %d: %.200s", status, body)
		}
		c.history.add(e)
		return
	}
	body, ok := c.look(d.index, again)
	if !ok {
		return
	}
	if body != nil {
		versions, err := d.read(body, again)
		if e.digest = c.history.learned(versions["1.0.0"]); err != nil {
			e.digest = err.Error()
		}
	}
	c.history.add(e)
}

func (c *client) forget(d driver) {
	if id, ok := c.find(d, again, "1.0.0"); ok {
		e := event{kind: set, key: key{d.format, again, "1.0.0"}, from: c.history.now(), client: c.name}
		e.outcome, e.statusText = c.destroy(id)
		c.history.add(e)
	}
}

// learn lets digests of an index be compared with contents: all by SHA-256.
func (h *history) learn(d driver, content []byte) {
	if d.digest == nil {
		return
	}
	h.digests.Store(d.digest(content), sha256Hex(content))
	h.told.Store(sha256Hex(content), d.digest(content))
}

func (h *history) learned(digest string) string {
	if sum, ok := h.digests.Load(digest); ok {
		return sum.(string)
	}
	return digest
}

// toldAs is how the index tells a content.
func (h *history) toldAs(sum string) string {
	if digest, ok := h.told.Load(sum); ok {
		return digest.(string)
	}
	return sum
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
