package main

import (
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
)

// files reads tarballs of several sizes, and ranges of the largest.
func files(b *bench) error {
	registries, err := b.npmRegistries()
	if err != nil {
		return err
	}
	for _, size := range []struct {
		text  string
		bytes int64
		goal  float64
		peers bool
	}{{"10KB", 10 << 10, 0.5, true}, {"1MB", 1 << 20, 0.9, true}, {"100MB", b.largeFile, 0.9, false}} {
		name := "npm-tarball-" + strings.ToLower(size.text)
		var loads []loadOf
		var content []byte
		for _, r := range registries {
			if r.role == peer && !size.peers {
				continue
			}
			releases, err := r.next(name, 1, size.bytes)
			if err != nil {
				return err
			}
			if _, err := r.send(releases); err != nil {
				return err
			}
			url := r.tarballURL(name, 0)
			if _, content, err = get(b.ctx, url, r.header); err != nil {
				return err
			}
			sum := sha512.Sum512(content)
			if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != releases[0].integrity {
				return fmt.Errorf("GET %s: %d bytes that are not those that were published", url, len(content))
			}
			loads = append(loads, loadOf{system: r.system, role: r.role, pid: r.pid(), url: url, header: r.header, status: http.StatusOK, length: len(content)})
			if r.role == "" && b.nginx != nil {
				l, err := b.nginx.putFile(b.ctx, name+".tgz", content, r.header)
				if err != nil {
					return err
				}
				loads = append(loads, l)
			}
		}
		f, err := b.compare(&figure{ID: "file." + size.text, What: "file of " + size.text + " (npm tarball)"}, loads...)
		if err != nil {
			return err
		}
		f.goal(nginxName, ">=", size.goal)
		if size.peers {
			continue
		}
		from := len(content) / 2
		length := min(1<<20, from)
		for i, l := range loads {
			loads[i].header = l.header.Clone()
			loads[i].header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, from+length-1))
			loads[i].status, loads[i].length = http.StatusPartialContent, length
			_, part, err := get(b.ctx, l.url, loads[i].header)
			if err != nil {
				return err
			}
			if string(part) != string(content[from:from+length]) {
				return fmt.Errorf("GET %s at %s: not the range that was asked for", l.url, l.system)
			}
		}
		if f, err = b.compare(&figure{ID: "file.range", What: "1 MB from the middle of the file of " + size.text}, loads...); err != nil {
			return err
		}
		f.goal(nginxName, ">=", 0.9)
	}
	return nil
}
