package format

import (
	"io"

	"packhouse/internal/registry"
)

// Limited is a reader that returns Err beyond Left bytes.
type Limited struct {
	io.Reader
	Left int64
	Err  error
}

func (l *Limited) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if l.Left -= int64(n); l.Left < 0 {
		return 0, l.Err
	}
	return n, err
}

// Upload is a body, or a part of one, that tells its early end from a failure of ours.
type Upload struct{ io.Reader }

func (u Upload) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = CutOff(err)
	}
	return n, err
}

// CutOff is the error of a body that cannot be read on: Invalid. Limits of the server keep their kind.
func CutOff(err error) error {
	if registry.KindOf(err) != registry.Fault {
		return err
	}
	return &registry.Error{Kind: registry.Invalid, Message: "the body ended early, or is not in the form that it says", Err: err}
}
