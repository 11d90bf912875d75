package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// npmRegistry is a server of the npm protocol, and what was published to it.
type npmRegistry struct {
	bench     *bench
	system    string
	role      role
	pid       func() int
	base      func() string            // URL, up to the slash before a name
	header    http.Header              // that says who asks
	folder    string                   // of Verdaccio's packages
	packages  map[string][]npmExpected // by name; the version of index i is versionText(i)
	published int
}

// npmExpected is what the packument must say about a version.
type npmExpected struct {
	integrity    string
	dependencies map[string]string
}

// npmRelease is a version, ready to be sent.
type npmRelease struct {
	npmExpected
	name string
	body []byte // of the PUT
}

const (
	npmDependencies = 24      // in each manifest
	npmSmall        = 2 << 10 // bytes of an ordinary tarball, about
	npmOverhead     = 730     // bytes of it that are not data: package.json and tar headers, compressed
	npmRead         = "npm-read"
	npmWarmup       = 50 // versions of another package, before any is timed
	npmGrown        = "npm-grown"
	npmBegun        = 20  // versions of a package that has only begun, after its first
	npmCompared     = 100 // last versions whose times are compared with theirs
	npmFreshReads   = 15

	diskFiles     = "disk, small files" // durableFiles
	firstVersions = packhouse + ", first"
)

func versionText(i int) string { return fmt.Sprintf("1.%d.%d", i/20, i%20) }

// npmPackageJSON makes the package.json of a version. The ranges differ from
// version to version, as they do in a package that lives, so that a document of
// many versions does not compress to nothing.
func npmPackageJSON(name string, i int) (fields map[string]any, dependencies map[string]string) {
	dependencies = map[string]string{}
	for d := range npmDependencies {
		dependencies[fmt.Sprintf("dependency-%c%d", 'a'+d, d*d)] = fmt.Sprintf("^%d.%d.%d", d%7+1, (i+d)/13, (i*7+d)%10)
	}
	return map[string]any{
		"name": name, "version": versionText(i), "description": "A package of the benchmark",
		"license": "MIT", "main": "index.js", "keywords": []string{"bench", "load"},
		"author":       map[string]string{"name": "A Person", "email": "person@example.com"},
		"repository":   map[string]string{"type": "git", "url": "git+https://example.com/bench/" + name + ".git"},
		"scripts":      map[string]string{"test": "node test.js"},
		"engines":      map[string]string{"node": ">=18"},
		"dependencies": dependencies,
	}, dependencies
}

// writeTarball writes a .tgz with size random bytes, which no compression makes
// smaller, and a package.json, which comes last because npm orders files by
// extension. The same arguments always give the same bytes.
func writeTarball(w io.Writer, level int, packageJSON []byte, size int64, seed byte) error {
	zipped, err := gzip.NewWriterLevel(w, level)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zipped)
	header := func(name string, size int64) *tar.Header {
		return &tar.Header{Name: "package/" + name, Mode: 0o644, Size: size, ModTime: time.Unix(499162500, 0)}
	}
	if err := archive.WriteHeader(header("data.bin", size)); err != nil {
		return err
	}
	random := rand.NewChaCha8([32]byte{seed})
	if _, err := io.CopyBuffer(archive, io.LimitReader(random, size), make([]byte, 256<<10)); err != nil {
		return err
	}
	if err := archive.WriteHeader(header("package.json", int64(len(packageJSON)))); err != nil {
		return err
	}
	if _, err := archive.Write(packageJSON); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zipped.Close()
}

// publishBody returns what stands in the body before and after the tarball.
func (r *npmRegistry) publishBody(name string, i int, fields map[string]any, sum512, sum1 []byte, length int64) (head, tail []byte, integrity string) {
	integrity = "sha512-" + base64.StdEncoding.EncodeToString(sum512)
	version, file := versionText(i), name+"-"+versionText(i)+".tgz"
	manifest := maps.Clone(fields)
	manifest["_id"] = name + "@" + version
	manifest["_nodeVersion"], manifest["_npmVersion"] = "20.19.0", "11.0.0"
	manifest["dist"] = map[string]string{
		"integrity": integrity, "shasum": hex.EncodeToString(sum1), "tarball": r.url(name) + "/-/" + file,
	}
	// The order of npm's own body: the attachments come last.
	head = fmt.Appendf(nil, `{"_id":%s,"name":%[1]s,"dist-tags":{"latest":%s},"versions":{%[2]s:%s},"access":null,"_attachments":{%s:{"content_type":"application/octet-stream","data":"`,
		mustJSON(name), mustJSON(version), mustJSON(manifest), mustJSON(file))
	return head, fmt.Appendf(nil, `","length":%d}}}`, length), integrity
}

func mustJSON(v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings always encode
	}
	return encoded
}

// prepare makes version i of a package with a tarball of about size bytes.
func (r *npmRegistry) prepare(name string, i int, size int64) (npmRelease, error) {
	fields, dependencies := npmPackageJSON(name, i)
	packageJSON := mustJSON(fields)
	var tarball bytes.Buffer
	if err := writeTarball(&tarball, gzip.DefaultCompression, packageJSON, size-npmOverhead, byte(i)); err != nil {
		return npmRelease{}, err
	}
	sum512, sum1 := sha512.Sum512(tarball.Bytes()), sha1.Sum(tarball.Bytes())
	head, tail, integrity := r.publishBody(name, i, fields, sum512[:], sum1[:], int64(tarball.Len()))
	body := base64.StdEncoding.AppendEncode(head, tarball.Bytes())
	return npmRelease{
		npmExpected: npmExpected{integrity: integrity, dependencies: dependencies},
		name:        name, body: append(body, tail...),
	}, nil
}

func (r *npmRegistry) url(name string) string { return r.base() + "/" + name }

// tarballURL is where a version's file is.
func (r *npmRegistry) tarballURL(name string, i int) string {
	return r.url(name) + "/-/" + name + "-" + versionText(i) + ".tgz"
}

// documentHeader asks for a packument the way npm does: compressed, and
// abbreviated for an install.
func (r *npmRegistry) documentHeader(abbreviated bool) http.Header {
	header := r.header.Clone()
	header.Set("Accept-Encoding", "gzip")
	if abbreviated {
		header.Set("Accept", "application/vnd.npm.install-v1+json")
	}
	return header
}

// put sends a publish of length bytes and expects success.
func (r *npmRegistry) put(name string, body io.Reader, length int64) error {
	request, err := http.NewRequestWithContext(r.bench.ctx, http.MethodPut, r.url(name), body)
	if err != nil {
		return err
	}
	request.ContentLength = length
	request.Header = r.header.Clone()
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusCreated {
		return fmt.Errorf("%s: publish of %s: status %d: %s", r.system, name, response.StatusCode, answer)
	}
	return nil
}

// send publishes releases one after the other and returns the time of each.
func (r *npmRegistry) send(releases []npmRelease) ([]time.Duration, error) {
	times := make([]time.Duration, 0, len(releases))
	for _, one := range releases {
		began := time.Now()
		if err := r.put(one.name, bytes.NewReader(one.body), int64(len(one.body))); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}

// sendAll publishes from several clients at once, each of which has its own
// releases.
func (r *npmRegistry) sendAll(clients [][]npmRelease) (times []time.Duration, err error) {
	var mu sync.Mutex
	var wait sync.WaitGroup
	for _, own := range clients {
		wait.Go(func() {
			t, wrong := r.send(own)
			mu.Lock()
			defer mu.Unlock()
			times = append(times, t...)
			if wrong != nil {
				err = wrong
			}
		})
	}
	wait.Wait()
	return times, err
}

// next prepares the next n versions of a package and notes them as
// published: a publish that fails ends the run.
func (r *npmRegistry) next(name string, n int, size int64) ([]npmRelease, error) {
	releases := make([]npmRelease, n)
	for i := range releases {
		one, err := r.prepare(name, len(r.packages[name]), size)
		if err != nil {
			return nil, err
		}
		releases[i] = one
		r.packages[name] = append(r.packages[name], one.npmExpected)
	}
	r.published += n
	return releases, nil
}

// ensure publishes what a package lacks of n versions.
func (r *npmRegistry) ensure(name string, n int) error {
	releases, err := r.next(name, max(0, n-len(r.packages[name])), npmSmall)
	if err != nil {
		return err
	}
	_, err = r.send(releases)
	return err
}

// document reads a packument and checks it.
func (r *npmRegistry) document(name string, header http.Header) (*http.Response, []byte, error) {
	response, body, err := get(r.bench.ctx, r.url(name), header)
	if err != nil {
		return nil, nil, err
	}
	if err := r.check(name, response, body); err != nil {
		return nil, nil, fmt.Errorf("%s: packument of %s: %w", r.system, name, err)
	}
	return response, body, nil
}

// check fails unless a packument tells of every version that was published
// until now, with the right digest and dependencies.
func (r *npmRegistry) check(name string, response *http.Response, body []byte) (err error) {
	plain := body
	if response.Header.Get("Content-Encoding") == "gzip" {
		if plain, err = gunzip(body); err != nil {
			return err
		}
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %.500s", response.StatusCode, plain)
	}
	var got struct {
		Name     string
		Versions map[string]struct {
			Name, Version string
			Dependencies  map[string]string
			Dist          struct{ Integrity, Tarball string }
		}
		DistTags map[string]string `json:"dist-tags"`
	}
	if err := json.Unmarshal(plain, &got); err != nil {
		return err
	}
	want := r.packages[name]
	if got.Name != name || len(got.Versions) != len(want) || got.DistTags["latest"] != versionText(len(want)-1) {
		return fmt.Errorf("name %q, %d versions, latest %q; want %d and %q",
			got.Name, len(got.Versions), got.DistTags["latest"], len(want), versionText(len(want)-1))
	}
	for i, w := range want {
		g := got.Versions[versionText(i)]
		if g.Name != name || g.Version != versionText(i) || g.Dist.Integrity != w.integrity || g.Dist.Tarball == "" || !maps.Equal(g.Dependencies, w.dependencies) {
			return fmt.Errorf("version %s is not what was published: %+v", versionText(i), g)
		}
	}
	return nil
}
