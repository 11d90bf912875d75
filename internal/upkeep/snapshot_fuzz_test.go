package upkeep

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"packhouse/internal/blob"
)

// A snapshot that somebody else has written is whole or refused; what its list of contents names is looked for as digests alone.
func FuzzSnapshot(f *testing.F) {
	list := func(text string) []byte {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		io.WriteString(w, text)
		w.Close()
		return packed.Bytes()
	}
	f.Add([]byte(`{"files":{"database.jsonl.gz":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}`), list(strings.Repeat("0", 64)+" 5\n"))
	f.Add([]byte("{}"), list("../../etc/passwd 1\n"))
	f.Add([]byte("null"), []byte("\x1f\x8b"))
	target, err := blob.OpenDisk(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { target.Close() })
	f.Fuzz(func(t *testing.T, manifest, contents []byte) {
		folder := t.TempDir()
		snapshot := filepath.Join(folder, "snapshots", "20260102T030405Z")
		if err := os.MkdirAll(snapshot, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string][]byte{manifestName: manifest, databaseName: nil, contentsName: contents} {
			if err := os.WriteFile(filepath.Join(snapshot, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		openSnapshot(folder, "")
		eachContent(snapshot, func(sha256 string, size int64) error {
			if b, err := target.Open(t.Context(), sha256); err == nil {
				b.Close()
				t.Errorf("%q opens something", sha256)
			}
			return nil
		})
	})
}
