package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"
)

const composerRead = "bench/composer-read"

func (b *bench) composerPath() string {
	return fmt.Sprintf("/api/v4/projects/%d/packages/composer", b.project)
}

// composerHeader is that of Composer 2.
func (b *bench) composerHeader() http.Header {
	header := b.basicHeader()
	header.Set("User-Agent", "Composer/2.8.8 (Linux; 6.1; PHP 8.4.1; cURL 8.14.1; Platform-PHP 8.4.1)")
	return header
}

// writeComposerZip writes the archive of a version, with as much in its
// composer.json as an ordinary library has, and size random bytes if there are
// to be any.
func writeComposerZip(w io.Writer, name, version string, n int, size int64) error {
	require := map[string]string{"php": ">=8.1"}
	for i := range 8 {
		require[fmt.Sprintf("bench/dependency-%d", i)] = fmt.Sprintf("^%d.%d || ^%d", 1+i, n%10, 2+i)
	}
	manifest, err := json.Marshal(map[string]any{
		"name": name, "version": version, "description": "A package of the benchmark", "type": "library", "license": []string{"MIT"}, "keywords": []string{"bench", "load"},
		"homepage": "https://example.com", "require": require, "require-dev": map[string]string{"bench/test": "^10"},
		"autoload": map[string]any{"psr-4": map[string]string{"Bench\\": "src/"}}, "authors": []map[string]string{{"name": "Ann", "email": "ann@example.com"}},
		"support": map[string]string{"issues": "https://example.com/issues"}, "extra": map[string]any{"branch-alias": map[string]string{"dev-main": "1.x-dev"}},
	})
	if err != nil {
		return err
	}
	archive := zip.NewWriter(w)
	entries := map[string]io.Reader{
		"composer.json": bytes.NewReader(manifest), "src/Bench.php": strings.NewReader(fmt.Sprintf("<?php // %s %d\n", version, n)),
	}
	if size > 0 {
		entries["data.bin"] = io.LimitReader(rand.NewChaCha8([32]byte{1}), size)
	}
	for file, content := range entries {
		entry, err := archive.CreateHeader(&zip.FileHeader{Name: file, Method: zip.Store})
		if err != nil {
			return err
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{entry}, content, make([]byte, 256<<10)); err != nil {
			return err
		}
	}
	return archive.Close()
}

// composerPut publishes a zip and expects 201.
func (b *bench) composerPut(what string, content io.Reader, length int64) error {
	request, err := http.NewRequestWithContext(b.ctx, http.MethodPut, b.server.URL+b.composerPath(), content)
	if err != nil {
		return err
	}
	request.ContentLength = length
	request.Header = b.composerHeader()
	request.Header.Set("Content-Type", "application/zip")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusCreated {
		err = fmt.Errorf("publish of %s: status %d: %s", what, response.StatusCode, answer)
	}
	return err
}

// composerLarge publishes one large zip.
func composerLarge(b *bench) error {
	const name, version = "bench/composer-large", "1.0.0"
	path, _, err := b.sendLarge(large{
		id: "composer", file: "large.zip", what: fmt.Sprintf("Composer publish of a zip of %d MiB", b.large>>20),
		write: func(w io.Writer) error { return writeComposerZip(w, name, version, 0, b.large) },
		targets: []largeTarget{{
			system: packhouse, pid: b.server.PID, header: b.composerHeader(),
			send: func(content io.Reader, length int64, _ digests) error { return b.composerPut(name, content, length) },
			url: func(sums digests) string {
				return fmt.Sprintf("%s%s/archives/%s.zip?sha=%x", b.server.URL, b.composerPath(), name, sums.sha1)
			},
		}},
	})
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// composerP2 reads the metadata of a name with many versions, as Composer 2
// asks for it, and unchanged since the time that it was told.
func composerP2(b *bench) error {
	digests := map[string]string{} // by version
	for i := range b.readVersions {
		var content bytes.Buffer
		if err := writeComposerZip(&content, composerRead, versionText(i), i, 0); err != nil {
			return err
		}
		digests[versionText(i)] = fmt.Sprintf("%x", sha1.Sum(content.Bytes()))
		if err := b.composerPut(composerRead, &content, int64(content.Len())); err != nil {
			return err
		}
	}
	header := b.composerHeader()
	header.Set("Accept-Encoding", "gzip")
	address := b.server.URL + b.composerPath() + "/p2/" + composerRead + ".json"
	var response *http.Response
	var zipped []byte
	for began := time.Now(); ; { // a time is told some seconds after a change
		var err error
		if response, zipped, err = get(b.ctx, address, header); err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK || response.Header.Get("Content-Encoding") != "gzip" {
			return fmt.Errorf("GET %s: status %d, %v: not the gzip that was asked for", address, response.StatusCode, response.Header)
		}
		if response.Header.Get("Last-Modified") != "" {
			break
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("GET %s: no Last-Modified", address)
		}
		sleep(b.ctx, 200*time.Millisecond)
	}
	plain, err := gunzip(zipped)
	if err != nil {
		return err
	}
	if err := composerCheck(plain, digests); err != nil {
		return fmt.Errorf("GET %s: %w", address, err)
	}
	loads, err := b.compareDocument(&figure{
		ID: "composer.p2", What: fmt.Sprintf("Composer p2, %d versions, minified, gzip, %d KB", b.readVersions, len(zipped)>>10),
	}, address, header, "p2.json", zipped)
	if err != nil {
		return err
	}
	for i, l := range loads {
		response, _, err := get(b.ctx, l.url, l.header)
		if err != nil {
			return err
		}
		l.header = l.header.Clone()
		l.header.Set("If-Modified-Since", response.Header.Get("Last-Modified"))
		l.status, l.length = http.StatusNotModified, 0
		loads[i] = l
	}
	f, err := b.compare(&figure{
		ID: "composer.p2.304", What: fmt.Sprintf("Composer p2, %d versions, unchanged: 304", b.readVersions),
	}, loads...)
	if err == nil {
		f.goal(nginxName, ">=", 0.5)
	}
	return err
}

// composerCheck fails unless a document has just these versions, with the
// digests of their archives.
func composerCheck(document []byte, digests map[string]string) error {
	var got struct {
		Packages map[string][]struct {
			Version string
			Dist    struct{ URL, Shasum string }
		}
	}
	if err := json.Unmarshal(document, &got); err != nil {
		return err
	}
	versions := got.Packages[composerRead]
	if len(versions) != len(digests) {
		return fmt.Errorf("%d versions, want %d", len(versions), len(digests))
	}
	for _, one := range versions { // these two are other ones in each
		if want := digests[one.Version]; want == "" || one.Dist.Shasum != want {
			return fmt.Errorf("%s is not what was published", one.Version)
		}
	}
	return nil
}
