package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"
)

// npmState is what the npm steps know of the store.
type npmState struct {
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
	npmCompared     = 20 // first and last versions whose times are compared
	npmFreshReads   = 15

	diskFiles = "disk, small files" // durableFiles
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

// npmPublishBody returns what stands in the body before and after the tarball.
func (b *bench) npmPublishBody(name string, i int, fields map[string]any, sum512, sum1 []byte, length int64) (head, tail []byte, integrity string) {
	integrity = "sha512-" + base64.StdEncoding.EncodeToString(sum512)
	version, file := versionText(i), name+"-"+versionText(i)+".tgz"
	manifest := maps.Clone(fields)
	manifest["_id"] = name + "@" + version
	manifest["_nodeVersion"], manifest["_npmVersion"] = "20.19.0", "11.0.0"
	manifest["dist"] = map[string]string{
		"integrity": integrity, "shasum": hex.EncodeToString(sum1), "tarball": b.npmURL(name) + "/-/" + file,
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

// npmPrepare makes version i of a package with a tarball of about size bytes.
func (b *bench) npmPrepare(name string, i int, size int64) (npmRelease, error) {
	fields, dependencies := npmPackageJSON(name, i)
	packageJSON := mustJSON(fields)
	var tarball bytes.Buffer
	if err := writeTarball(&tarball, gzip.DefaultCompression, packageJSON, size-npmOverhead, byte(i)); err != nil {
		return npmRelease{}, err
	}
	sum512, sum1 := sha512.Sum512(tarball.Bytes()), sha1.Sum(tarball.Bytes())
	head, tail, integrity := b.npmPublishBody(name, i, fields, sum512[:], sum1[:], int64(tarball.Len()))
	body := base64.StdEncoding.AppendEncode(head, tarball.Bytes())
	return npmRelease{
		npmExpected: npmExpected{integrity: integrity, dependencies: dependencies},
		name:        name, body: append(body, tail...),
	}, nil
}

func (b *bench) npmURL(name string) string {
	return fmt.Sprintf("%s/api/v4/projects/%d/packages/npm/%s", b.server.URL, b.project, name)
}

func (b *bench) npmHeader() http.Header {
	return http.Header{"Authorization": {"Bearer " + b.token}}
}

// npmDocumentHeader asks for a packument the way npm does: compressed, and
// abbreviated for an install.
func (b *bench) npmDocumentHeader(abbreviated bool) http.Header {
	header := b.npmHeader()
	header.Set("Accept-Encoding", "gzip")
	if abbreviated {
		header.Set("Accept", "application/vnd.npm.install-v1+json")
	}
	return header
}

// npmPut sends a publish of length bytes and expects 200.
func (b *bench) npmPut(name string, body io.Reader, length int64) error {
	request, err := http.NewRequestWithContext(b.ctx, http.MethodPut, b.npmURL(name), body)
	if err != nil {
		return err
	}
	request.ContentLength = length
	request.Header = b.npmHeader()
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
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("publish of %s: status %d: %s", name, response.StatusCode, answer)
	}
	return nil
}

// npmSend publishes releases one after the other and returns the time of each.
func (b *bench) npmSend(releases []npmRelease) ([]time.Duration, error) {
	times := make([]time.Duration, 0, len(releases))
	for _, r := range releases {
		began := time.Now()
		if err := b.npmPut(r.name, bytes.NewReader(r.body), int64(len(r.body))); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}

// npmNext prepares the next n versions of a package and notes them as
// published: a publish that fails ends the run.
func (b *bench) npmNext(name string, n int, size int64) ([]npmRelease, error) {
	if b.npm.packages == nil {
		b.npm.packages = map[string][]npmExpected{}
	}
	releases := make([]npmRelease, n)
	for i := range releases {
		r, err := b.npmPrepare(name, len(b.npm.packages[name]), size)
		if err != nil {
			return nil, err
		}
		releases[i] = r
		b.npm.packages[name] = append(b.npm.packages[name], r.npmExpected)
	}
	b.npm.published += n
	return releases, nil
}

// npmEnsure publishes what a package lacks of n versions.
func (b *bench) npmEnsure(name string, n int) error {
	releases, err := b.npmNext(name, max(0, n-len(b.npm.packages[name])), npmSmall)
	if err != nil {
		return err
	}
	_, err = b.npmSend(releases)
	return err
}

// npmDocument reads a packument and checks it.
func (b *bench) npmDocument(name string, header http.Header) (*http.Response, []byte, error) {
	response, body, err := get(b.ctx, b.npmURL(name), header)
	if err != nil {
		return nil, nil, err
	}
	if err := b.npmCheck(name, response, body); err != nil {
		return nil, nil, fmt.Errorf("packument of %s: %w", name, err)
	}
	return response, body, nil
}

// npmCheck fails unless a packument tells of every version that was published
// until now, with the right digest and dependencies.
func (b *bench) npmCheck(name string, response *http.Response, body []byte) (err error) {
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
	want := b.npm.packages[name]
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

// npmPublish publishes one package version by version from one client. The
// disk's own rate is what no store that syncs can pass.
func npmPublish(b *bench) error {
	// What only the first publish of a process pays (a connection, prepared
	// statements, cold code) must not make the first versions look slow: the
	// ratio of last to first would hide a real growth.
	if err := b.npmEnsure("npm-warmup", npmWarmup); err != nil {
		return err
	}
	const name, other = "npm-sequence", "npm-begun"
	releases, err := b.npmNext(name, b.versions, npmSmall)
	if err != nil {
		return err
	}
	disk, err := durableFiles(filepath.Join(b.dir, "disk-1"), 1, b.versions)
	if err != nil {
		return err
	}
	before, began := cpuSeconds(b.server.PID), time.Now()
	times, err := b.npmSend(releases[:b.versions-npmCompared])
	if err != nil {
		return err
	}
	total := time.Since(began)
	b.report.add(&figure{
		ID: "npm.publish.rate", Unit: "/s",
		What: fmt.Sprintf("npm publish, %d versions, one by one, bodies of %.1f KB", len(times), float64(len(releases[0].body))/1024),
		Samples: []sample{
			{System: packhouse, Value: float64(len(times)) / total.Seconds(), P50: ms(median(times)), P99: ms(percentile(times, 99)),
				CPU: (cpuSeconds(b.server.PID) - before) / float64(len(times)) * 1000},
			{System: diskFiles, Value: disk},
		},
	})

	// The last versions in turn with the first of a package that has only
	// begun, and not with the first of the same one seconds ago: what else the
	// machine does now touches both.
	if err := b.npmEnsure(other, 1); err != nil {
		return err
	}
	firsts, err := b.npmNext(other, npmCompared, npmSmall)
	if err != nil {
		return err
	}
	var last, first []time.Duration
	for i, release := range releases[b.versions-npmCompared:] {
		times, err := b.npmSend([]npmRelease{release, firsts[i]})
		if err != nil {
			return err
		}
		last, first = append(last, times[0]), append(first, times[1])
	}
	b.report.add(&figure{
		ID: "npm.publish.growth", Unit: "ms",
		What: fmt.Sprintf("npm publish, versions %d to %d beside 2 to %d, median", b.versions-npmCompared+1, b.versions, npmCompared+1),
		Samples: []sample{
			{System: packhouse + ", last", Value: ms(median(last))},
			{System: packhouse + ", first", Value: ms(median(first))},
		},
	}).goal("ratio", "<=", 1.5)

	for _, name := range []string{name, other} {
		if _, _, err := b.npmDocument(name, b.npmDocumentHeader(false)); err != nil {
			return err
		}
	}
	return nil
}

// npmPublishParallel publishes from several clients, a package each.
func npmPublishParallel(b *bench) error {
	releases := make([][]npmRelease, b.publishers)
	for p := range releases {
		var err error
		if releases[p], err = b.npmNext(fmt.Sprintf("npm-parallel-%d", p), b.each, npmSmall); err != nil {
			return err
		}
	}
	disk, err := durableFiles(filepath.Join(b.dir, "disk-2"), b.publishers, b.publishers*b.each)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var times []time.Duration
	var wait sync.WaitGroup
	before, began := cpuSeconds(b.server.PID), time.Now()
	for _, own := range releases {
		wait.Go(func() {
			t, wrong := b.npmSend(own)
			mu.Lock()
			defer mu.Unlock()
			times = append(times, t...)
			if wrong != nil {
				err = wrong
			}
		})
	}
	wait.Wait()
	if err != nil {
		return err
	}
	total := time.Since(began)
	b.report.add(&figure{
		ID: "npm.publish.parallel", Unit: "/s",
		What: fmt.Sprintf("npm publish, %d versions, %d clients, a package each", b.publishers*b.each, b.publishers),
		Samples: []sample{
			{System: packhouse, Value: float64(len(times)) / total.Seconds(), P50: ms(median(times)), P99: ms(percentile(times, 99)),
				CPU: (cpuSeconds(b.server.PID) - before) / float64(len(times)) * 1000},
			{System: diskFiles, Value: disk},
		},
	})
	for p := range releases {
		if _, _, err := b.npmDocument(fmt.Sprintf("npm-parallel-%d", p), b.npmDocumentHeader(true)); err != nil {
			return err
		}
	}
	return nil
}

// npmLarge publishes one large tarball, watches the server's memory meanwhile,
// and reads it back. Neither side holds it: it is made twice, once to know its
// digests, which stand in front of it, and once to send it. Its gzip stores and
// does not compress, because the core is needed for sending.
func npmLarge(b *bench) error {
	const name = "npm-large"
	fields, _ := npmPackageJSON(name, 0)
	packageJSON := mustJSON(fields)

	// The first time also shows what the machine needs at least for a store of
	// these bytes: four digests and a synced file, in one process on one core.
	www := b.dir
	if b.nginx != nil {
		www = b.nginx.www
	}
	path := filepath.Join(www, "large.tgz")
	defer os.Remove(path)
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	sum1, sum512 := sha1.New(), sha512.New()
	began := time.Now()
	sink := bufio.NewWriterSize(io.MultiWriter(file, md5.New(), sum1, sha256.New(), sum512), 256<<10)
	if err := writeTarball(sink, gzip.NoCompression, packageJSON, b.large, 1); err != nil {
		return err
	}
	if err := sink.Flush(); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	limit := time.Since(began)
	info, err := file.Stat()
	if err != nil {
		return err
	}
	length := info.Size()

	head, tail, _ := b.npmPublishBody(name, 0, fields, sum512.Sum(nil), sum1.Sum(nil), length)
	reader, writer := io.Pipe()
	go func() {
		buffered := bufio.NewWriterSize(writer, 256<<10)
		encoder := base64.NewEncoder(base64.StdEncoding, buffered)
		err := writeTarball(encoder, gzip.NoCompression, packageJSON, b.large, 1)
		if err == nil {
			err = encoder.Close()
		}
		if err == nil {
			err = buffered.Flush()
		}
		writer.CloseWithError(err)
	}()
	defer reader.Close()

	idle, err := readMemory(b.server.PID)
	if err != nil {
		return err
	}
	stop, err := watchPeak(b.server.PID)
	if err != nil {
		return err
	}
	before, began := cpuSeconds(b.server.PID), time.Now()
	body := io.MultiReader(bytes.NewReader(head), reader, bytes.NewReader(tail))
	published := b.npmPut(name, body, int64(len(head))+int64(base64.StdEncoding.EncodedLen(int(length)))+int64(len(tail)))
	took, cpu := time.Since(began), cpuSeconds(b.server.PID)-before
	peak, err := stop()
	if published != nil {
		return published
	}
	if err != nil {
		return err
	}
	b.npm.published++
	fmt.Fprintf(b.log, " %.1f CPU seconds of the server ...", cpu)

	size := fmt.Sprintf("%d MiB", b.large>>20)
	rate := func(d time.Duration) float64 { return float64(length) / 1e6 / d.Seconds() }
	b.report.add(&figure{
		ID: "npm.large.publish", Unit: "MB/s", What: "npm publish of " + size + ", tarball bytes",
		Samples: []sample{
			{System: packhouse, Value: rate(took)},
			{System: "disk + 4 digests", Value: rate(limit)},
		},
	})
	b.report.add(&figure{
		ID: "npm.large.memory", Unit: "MiB", What: "npm publish of " + size + ", rise of peak VmRSS",
		Samples: []sample{{System: packhouse, Value: mib(peak - idle.rss)}},
	}).goal("value", "<=", 64)

	return b.npmReadLarge(name, "npm publish of "+size+", read back", length, sum512.Sum(nil))
}

// npmReadLarge reads the large tarball back: its digest once, and its rate
// without computing one, which would be the limit.
func (b *bench) npmReadLarge(name, what string, length int64, sum512 []byte) error {
	download := func(url string, sink io.Writer) (time.Duration, error) {
		request, err := http.NewRequestWithContext(b.ctx, http.MethodGet, url, nil)
		if err != nil {
			return 0, err
		}
		request.Header = b.npmHeader()
		began := time.Now()
		response, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		// The struct hides io.Discard's own way of reading, with its small buffer.
		n, err := io.CopyBuffer(struct{ io.Writer }{sink}, response.Body, make([]byte, 1<<20))
		if err == nil && (response.StatusCode != http.StatusOK || n != length) {
			err = fmt.Errorf("GET %s: status %d with %d bytes, want %d", url, response.StatusCode, n, length)
		}
		return time.Since(began), err
	}
	ours := b.npmURL(name) + "/-/" + name + "-" + versionText(0) + ".tgz"
	hash := sha512.New()
	if _, err := download(ours, hash); err != nil {
		return err
	}
	if !bytes.Equal(hash.Sum(nil), sum512) {
		return fmt.Errorf("GET %s: the bytes are not those that were published", ours)
	}
	f := &figure{ID: "npm.large.download", Unit: "MB/s", What: what, Samples: []sample{{System: packhouse}}}
	urls := []string{ours}
	if b.nginx != nil {
		f.Samples = append(f.Samples, sample{System: nginxName})
		urls = append(urls, b.nginx.url+"/large.tgz")
	}
	for range b.rounds {
		for i, url := range urls {
			took, err := download(url, io.Discard)
			if err != nil {
				return err
			}
			f.Samples[i].Rounds = append(f.Samples[i].Rounds, float64(length)/1e6/took.Seconds())
		}
	}
	for i := range f.Samples {
		f.Samples[i].Value = median(f.Samples[i].Rounds)
	}
	b.report.add(f)
	return nil
}

// npmPackument reads a packument of many versions: abbreviated, full, and
// unchanged since it was last read.
func npmPackument(b *bench) error {
	if err := b.npmEnsure(npmRead, b.readVersions); err != nil {
		return err
	}
	for _, abbreviated := range []bool{true, false} {
		form := "full"
		if abbreviated {
			form = "abbreviated"
		}
		header := b.npmDocumentHeader(abbreviated)
		response, zipped, err := b.npmDocument(npmRead, header)
		if err != nil {
			return err
		}
		if response.Header.Get("Content-Encoding") != "gzip" {
			return fmt.Errorf("%s packument: not gzip though it was asked for", form)
		}
		if err := b.npmSamePlain(zipped, header); err != nil {
			return fmt.Errorf("%s packument: %w", form, err)
		}
		loads, err := b.compareDocument(&figure{
			ID:   "npm.packument." + form,
			What: fmt.Sprintf("npm packument, %d versions, %s, gzip, %d KB", b.readVersions, form, len(zipped)>>10),
		}, b.npmURL(npmRead), header, form+".json", zipped)
		if err != nil {
			return err
		}
		if !abbreviated {
			continue
		}
		if err := b.compareUnchanged(&figure{
			ID:   "npm.packument.304",
			What: fmt.Sprintf("npm packument, %d versions, %s, unchanged: 304", b.readVersions, form),
		}, loads...); err != nil {
			return err
		}
	}
	return nil
}

// npmSamePlain checks that the document without compression is the same one.
func (b *bench) npmSamePlain(zipped []byte, header http.Header) error {
	header = header.Clone()
	header.Set("Accept-Encoding", "identity")
	_, plain, err := b.npmDocument(npmRead, header)
	if err != nil {
		return err
	}
	unzipped, err := gunzip(zipped)
	if err != nil {
		return err
	}
	var one, other any
	if err := json.Unmarshal(plain, &one); err != nil {
		return err
	}
	if err := json.Unmarshal(unzipped, &other); err != nil {
		return err
	}
	if !reflect.DeepEqual(one, other) {
		return fmt.Errorf("the gzip form is not the same JSON as the plain one")
	}
	return nil
}

// npmTarball reads tarballs of two sizes.
func npmTarball(b *bench) error {
	for _, size := range []struct {
		text  string
		bytes int64
	}{{"10KB", 10 << 10}, {"1MB", 1 << 20}} {
		name := "npm-tarball-" + strings.ToLower(size.text)
		releases, err := b.npmNext(name, 1, size.bytes)
		if err != nil {
			return err
		}
		if _, err := b.npmSend(releases); err != nil {
			return err
		}
		url := b.npmURL(name) + "/-/" + name + "-" + versionText(0) + ".tgz"
		_, content, err := get(b.ctx, url, b.npmHeader())
		if err != nil {
			return err
		}
		sum := sha512.Sum512(content)
		if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != releases[0].integrity {
			return fmt.Errorf("GET %s: %d bytes that are not those that were published", url, len(content))
		}
		loads := []loadOf{{system: packhouse, pid: b.server.PID, url: url, header: b.npmHeader(), status: http.StatusOK, length: len(content)}}
		if b.nginx != nil {
			l, err := b.nginx.putFile(b.ctx, name+".tgz", content, b.npmHeader())
			if err != nil {
				return err
			}
			loads = append(loads, l)
		}
		if _, err := b.compare(&figure{ID: "npm.tarball." + size.text, What: "npm tarball of " + size.text}, loads...); err != nil {
			return err
		}
	}
	return nil
}

// npmFresh reads a packument just after a publish, when no kept document is
// valid, and once more, when there is one.
func npmFresh(b *bench) error {
	for i, n := range b.freshVersions {
		name := fmt.Sprintf("npm-fresh-%d", i)
		if err := b.npmEnsure(name, n); err != nil {
			return err
		}
		for _, abbreviated := range []bool{true, false} {
			form := "full"
			if abbreviated {
				form = "abbreviated"
			}
			header := b.npmDocumentHeader(abbreviated)
			var fresh, kept []time.Duration
			for range npmFreshReads {
				releases, err := b.npmNext(name, 1, npmSmall)
				if err != nil {
					return err
				}
				if _, err := b.npmSend(releases); err != nil {
					return err
				}
				for _, times := range []*[]time.Duration{&fresh, &kept} {
					began := time.Now()
					response, body, err := get(b.ctx, b.npmURL(name), header)
					if err != nil {
						return err
					}
					*times = append(*times, time.Since(began))
					if err := b.npmCheck(name, response, body); err != nil {
						return fmt.Errorf("packument of %s right after a publish: %w", name, err)
					}
				}
			}
			b.report.add(&figure{
				ID: fmt.Sprintf("npm.fresh.%d.%s", n, form), Unit: "ms",
				What: fmt.Sprintf("npm packument, %d versions, %s, just after a publish", n, form),
				Samples: []sample{
					{System: packhouse, Value: ms(median(fresh)), P50: ms(median(fresh)), P99: ms(percentile(fresh, 99))},
					{System: packhouse + ", again", Value: ms(median(kept)), P50: ms(median(kept)), P99: ms(percentile(kept, 99))},
				},
			})
		}
	}
	return nil
}
