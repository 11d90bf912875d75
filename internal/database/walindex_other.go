//go:build !unix

package database

import (
	"errors"
	"io"
)

// walIndex cannot be mapped here.
type walIndex *[2]walHeader

func openWALIndex[T any](string, *T) (walIndex, io.Closer, error) {
	return nil, nil, errors.ErrUnsupported
}

func readWALIndex(walIndex) (header walHeader, ok bool) { return header, false }
