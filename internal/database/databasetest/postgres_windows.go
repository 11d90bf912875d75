package databasetest

import (
	"errors"
	"os"
	"syscall"
)

// unprivileged is not needed on Windows, but the supervisor's shell is.
func unprivileged(string) (func() *syscall.SysProcAttr, error) {
	return nil, errors.New("this test needs a Unix system")
}

func quit(server *os.Process) error { return server.Kill() }
