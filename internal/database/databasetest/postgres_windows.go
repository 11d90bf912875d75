package databasetest

import (
	"errors"
	"syscall"
)

// unprivileged is not needed on Windows, but the supervisor's shell is.
func unprivileged(string) (func() *syscall.SysProcAttr, error) {
	return nil, errors.New("this test needs a Unix system")
}
