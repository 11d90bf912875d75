package blob

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"packhouse/internal/registry"
)

// A disk that is really full is the matter of test/faults; here, how its errors are told.
func TestNoSpace(t *testing.T) {
	for _, test := range []struct {
		err  error
		want registry.Kind
	}{
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, registry.Full},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}, registry.Full},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.EIO}, registry.Fault},
	} {
		if got := noSpace(test.err); registry.KindOf(got) != test.want || !errors.Is(got, test.err) {
			t.Errorf("noSpace(%v) = %v, want kind %d", test.err, got, test.want)
		}
	}
	if err := noSpace(nil); err != nil {
		t.Errorf("noSpace(nil) = %v", err)
	}
}
