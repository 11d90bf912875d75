//go:build !unix

package database

import "errors"

// walIndex cannot be mapped here.
type walIndex *[2]walHeader

func openWALIndex[T any](string, *T) (walIndex, error) { return nil, errors.ErrUnsupported }

func readWALIndex(walIndex) (header walHeader, ok bool) { return header, false }
