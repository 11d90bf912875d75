package npm

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// Buffers are used again: by readings at the same time, and after readings that failed halfway, nobody sees those of others.
func TestBuffersOfReadings(t *testing.T) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			inside := fmt.Sprintf(`{"name":"p","version":"1.0.%d"}`, i)
			noise := bytes.Repeat([]byte{byte('a' + i)}, 300<<10*(1+i%3))
			tarball := gzipped(tarOf(t, entry{name: "package/package.json", content: inside}, entry{name: "package/noise", content: string(noise)}))
			raw := append(append(tarball, 0), noise...) // what follows is read past
			whole := attach(base64.StdEncoding.EncodeToString(raw))
			for range 5 {
				b, err := readBody(strings.NewReader(whole), wide, func(_ string, r io.Reader) error {
					got, err := io.ReadAll(r)
					if err != nil || !bytes.Equal(got, raw) {
						t.Errorf("%d: another tarball, %v", i, err)
					}
					c, err := readTarball(bytes.NewReader(got), 1<<30)
					if err != nil || string(c.PackageJSON) != inside {
						t.Errorf("%d: %v", i, err)
					}
					readTarball(bytes.NewReader(got[:len(tarball)/2]), 1<<30)
					return nil
				})
				if err != nil || b.Attachments != 1 {
					t.Errorf("%d: %v", i, err)
				}
				readBody(strings.NewReader(whole[:len(whole)/2]), wide, func(_ string, r io.Reader) error {
					_, err := io.CopyN(io.Discard, r, 100)
					return errors.Join(err, errors.New("full"))
				})
				func() {
					defer func() { recover() }()
					readBody(strings.NewReader(whole), wide, func(_ string, r io.Reader) error { io.CopyN(io.Discard, r, 7); panic("boom") })
				}()
				checkJSON(strings.NewReader(whole[:len(whole)-3]), 1<<30)
			}
		})
	}
	all.Wait()
}
