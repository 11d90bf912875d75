package blob

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// Whoever checks contents counts what was read, also of one that cannot be read to its end.
func TestDigestsOfAReaderThatFails(t *testing.T) {
	broken := errors.New("the disk is gone")
	for _, before := range []int{0, 10, copyBuffer / 2, copyBuffer + 1} {
		got, err := Digests(io.MultiReader(strings.NewReader(strings.Repeat("a", before)), iotest.ErrReader(broken)))
		if err != broken || got.Size != int64(before) || got.SHA256 != "" {
			t.Errorf("after %d bytes: %+v, %v", before, got, err)
		}
	}
}
