package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// npmLarge publishes one large tarball, and reads it back on one connection. Then one that other servers take, too: to
// Verdaccio, a body of more than 512 MiB is none.
func npmLarge(b *bench) error {
	const name = "npm-large"
	size := fmt.Sprintf("%d MiB", b.large>>20)
	path, _, err := b.npmSendLarge(name, "npm", "npm publish of "+size+", tarball bytes", b.large, &b.npm)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	if err := b.npmReadLarge(name, "npm publish of "+size+", read back", path); err != nil {
		return err
	}
	registries, err := b.npmRegistries()
	if err != nil {
		return err
	}
	path, _, err = b.npmSendLarge(name+"-peers", "npm.peers", fmt.Sprintf("npm publish of %d MiB, tarball bytes", b.largeFile>>20), b.largeFile, registries...)
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// npmSendLarge publishes a tarball with size random bytes. Its gzip stores and does not compress, because the core is needed
// for sending; base64 is made while it is sent.
func (b *bench) npmSendLarge(name, id, what string, size int64, registries ...*npmRegistry) (path string, sums digests, err error) {
	fields, _ := npmPackageJSON(name, 0)
	l := large{
		id: id, what: what, file: name + ".tgz",
		write: func(w io.Writer) error {
			return writeTarball(w, gzip.NoCompression, mustJSON(fields), size, 1)
		},
	}
	for _, r := range registries {
		l.targets = append(l.targets, largeTarget{
			system: r.system, role: r.role, pid: r.pid(), header: r.header,
			send: func(content io.Reader, length int64, sums digests) error {
				head, tail, _ := r.publishBody(name, 0, fields, sums.sha512, sums.sha1, length)
				reader, writer := io.Pipe()
				defer reader.Close()
				go func() {
					buffered := bufio.NewWriterSize(writer, 256<<10)
					encoder := base64.NewEncoder(base64.StdEncoding, buffered)
					_, err := io.CopyBuffer(struct{ io.Writer }{encoder}, struct{ io.Reader }{content}, make([]byte, 192<<10))
					if err == nil {
						err = encoder.Close()
					}
					if err == nil {
						err = buffered.Flush()
					}
					writer.CloseWithError(err)
				}()
				r.published++
				return r.put(name, io.MultiReader(bytes.NewReader(head), reader, bytes.NewReader(tail)),
					int64(len(head))+int64(base64.StdEncoding.EncodedLen(int(length)))+int64(len(tail)))
			},
			url: func(digests) string { return r.tarballURL(name, 0) },
		})
	}
	return b.sendLarge(l)
}

// npmReadLarge reads the large tarball back, without computing a digest, which would be the limit; nginx has it as a file.
func (b *bench) npmReadLarge(name, what, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	download := func(url string) (time.Duration, error) {
		request, err := http.NewRequestWithContext(b.ctx, http.MethodGet, url, nil)
		if err != nil {
			return 0, err
		}
		request.Header = b.npm.header.Clone()
		began := time.Now()
		response, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		// The struct hides io.Discard's own way of reading, with its small buffer.
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, make([]byte, 1<<20))
		if err == nil && (response.StatusCode != http.StatusOK || n != info.Size()) {
			err = fmt.Errorf("GET %s: status %d with %d bytes, want %d", url, response.StatusCode, n, info.Size())
		}
		return time.Since(began), err
	}
	f := &figure{ID: "npm.large.download", Unit: "MB/s", What: what, Samples: []sample{{System: packhouse}}}
	urls := []string{b.npm.tarballURL(name, 0)}
	if b.nginx != nil {
		f.Samples = append(f.Samples, sample{System: nginxName, Role: limit})
		urls = append(urls, b.nginx.url+"/"+filepath.Base(path))
	}
	for range b.rounds {
		for i, url := range urls {
			took, err := download(url)
			if err != nil {
				return err
			}
			f.Samples[i].Rounds = append(f.Samples[i].Rounds, float64(info.Size())/1e6/took.Seconds())
		}
	}
	for i := range f.Samples {
		f.Samples[i].Value = median(f.Samples[i].Rounds)
	}
	b.report.add(f).goal(nginxName, ">=", 0.9)
	return nil
}
