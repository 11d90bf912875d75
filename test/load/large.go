package main

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// large is a large package as it is sent and read back.
type large struct {
	id, what string // of the figures
	file     string // name of a file for it
	write    func(io.Writer) error
	send     func(content io.Reader, length int64, sha256 []byte) error
	url      func(sha256 []byte) string
}

// sendLarge sends a large package, watches the server's memory meanwhile, and reads it back to compare its digest.
func (b *bench) sendLarge(l large) error {
	path := filepath.Join(b.dir, l.file)
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer file.Close()
	// What the machine needs at least for a store of these bytes: four digests
	// and a synced file, in one process on one core.
	sum := sha256.New()
	began := time.Now()
	if err := l.write(io.MultiWriter(file, md5.New(), sha1.New(), sum, sha512.New())); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	limit := time.Since(began)
	length, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}

	idle, err := readMemory(b.server.PID)
	if err != nil {
		return err
	}
	stop, err := watchPeak(b.server.PID)
	if err != nil {
		return err
	}
	began = time.Now()
	sent := l.send(file, length, sum.Sum(nil))
	took := time.Since(began)
	peak, err := stop()
	if sent != nil {
		return sent
	}
	if err != nil {
		return err
	}
	rate := func(d time.Duration) float64 { return float64(length) / 1e6 / d.Seconds() }
	b.report.add(&figure{
		ID: l.id + ".large.publish", Unit: "MB/s", What: l.what,
		Samples: []sample{
			{System: packhouse, Value: rate(took)},
			{System: "disk + 4 digests", Value: rate(limit)},
		},
	})
	b.report.add(&figure{
		ID: l.id + ".large.memory", Unit: "MiB", What: l.what + ", rise of peak VmRSS",
		Samples: []sample{{System: packhouse, Value: mib(peak - idle.rss)}},
	}).goal("value", "<=", 64)

	request, err := http.NewRequestWithContext(b.ctx, http.MethodGet, l.url(sum.Sum(nil)), nil)
	if err != nil {
		return err
	}
	request.Header = b.basicHeader()
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	again := sha256.New()
	if _, err := io.Copy(again, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !bytes.Equal(again.Sum(nil), sum.Sum(nil)) {
		return fmt.Errorf("GET %s: status %d, and not the bytes that were uploaded", request.URL.Path, response.StatusCode)
	}
	return nil
}
