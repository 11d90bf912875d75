package main

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// copyDigests is the limit of a large upload: what the machine needs at least for a store of these bytes.
const copyDigests = "cp + 4 digests"

// large is a large package as it is sent and read back.
type large struct {
	id, what string // of the figures
	file     string // name of a file for it
	write    func(io.Writer) error
	targets  []largeTarget // Packhouse first
}

// digests of a large package.
type digests struct{ sha1, sha256, sha512 []byte }

// largeTarget is a server that a large package is sent to.
type largeTarget struct {
	system string
	role   role
	pid    int
	header http.Header // of a download
	send   func(content io.Reader, length int64, sums digests) error
	url    func(sums digests) string // where it is read back; nil: not at all
}

// sendLarge sends a large package to each target, watches the server's memory meanwhile, and reads it back to compare its
// digest. The file of it stays until the run is over: its path is returned.
func (b *bench) sendLarge(l large) (path string, sums digests, err error) {
	folder := b.dir
	if b.nginx != nil {
		folder = b.nginx.www
	}
	path = filepath.Join(folder, l.file)
	file, err := os.Create(path)
	if err != nil {
		return "", sums, err
	}
	defer file.Close()
	if err := l.write(file); err != nil {
		return "", sums, err
	}
	length, took, sums, err := copyFile(file, filepath.Join(b.dir, l.file+".copy"))
	if err != nil {
		return "", sums, err
	}
	rate := func(d time.Duration) float64 { return float64(length) / 1e6 / d.Seconds() }
	speed := &figure{ID: l.id + ".large.publish", Unit: "MB/s", What: l.what}
	rise := &figure{ID: l.id + ".large.memory", Unit: "MiB", What: l.what + ", rise of peak VmRSS"}
	for i, t := range l.targets {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return "", sums, err
		}
		u, err := observe(t.pid, func() error { return t.send(file, length, sums) })
		if err != nil {
			return "", sums, fmt.Errorf("%s: %w", t.system, err)
		}
		speed.Samples = append(speed.Samples, sample{System: t.system, Role: t.role, Value: rate(u.took), Peak: mib(u.peak), RSS: mib(u.rss)})
		if i == 0 {
			speed.Samples = append(speed.Samples, sample{System: copyDigests, Role: limit, Value: rate(took)})
		}
		rise.Samples = append(rise.Samples, sample{System: t.system, Role: t.role, Value: mib(max(0, u.peak-u.idle)), Peak: mib(u.peak), RSS: mib(u.rss)})
		if t.url == nil {
			continue
		}
		if err := sameBytes(b, t, sums); err != nil {
			return "", sums, err
		}
	}
	b.report.add(speed).goal(copyDigests, ">=", 0.5)
	b.report.add(rise).goal("value", "<=", 64)
	return path, sums, nil
}

// copyFile copies a file to another, digests it four ways meanwhile, in one process on one core, and syncs the copy, which is
// removed afterwards.
func copyFile(from *os.File, to string) (length int64, took time.Duration, sums digests, err error) {
	if err := from.Sync(); err != nil {
		return 0, 0, sums, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return 0, 0, sums, err
	}
	into, err := os.Create(to)
	if err != nil {
		return 0, 0, sums, err
	}
	defer os.Remove(to)
	began := time.Now()
	one, two, three := sha1.New(), sha256.New(), sha512.New()
	length, err = io.CopyBuffer(io.MultiWriter(into, md5.New(), one, two, three), struct{ io.Reader }{from}, make([]byte, 256<<10))
	if err := errors.Join(err, into.Sync(), into.Close()); err != nil {
		return 0, 0, sums, err
	}
	return length, time.Since(began), digests{one.Sum(nil), two.Sum(nil), three.Sum(nil)}, nil
}

// sameBytes reads a large package back.
func sameBytes(b *bench, t largeTarget, sums digests) error {
	request, err := http.NewRequestWithContext(b.ctx, http.MethodGet, t.url(sums), nil)
	if err != nil {
		return err
	}
	request.Header = t.header.Clone()
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	again := sha256.New()
	if _, err := io.Copy(again, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !bytes.Equal(again.Sum(nil), sums.sha256) {
		return fmt.Errorf("GET %s: status %d, and not the bytes that were uploaded", request.URL.Path, response.StatusCode)
	}
	return nil
}
