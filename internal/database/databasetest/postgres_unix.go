//go:build unix

package databasetest

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// unprivileged says as whom PostgreSQL runs, which refuses to be root, and gives that user the folder.
func unprivileged(folder string) (func() *syscall.SysProcAttr, error) {
	// Its own process group: an interrupt from the terminal is for the test, which takes the server with it.
	attributes := syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		account, err := user.Lookup("postgres")
		if err != nil {
			account, err = user.Lookup("nobody")
		}
		if err != nil {
			return nil, fmt.Errorf("it refuses to run as root, and there is no other user for it: %w", err)
		}
		uid, err := strconv.Atoi(account.Uid)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.Atoi(account.Gid)
		if err != nil {
			return nil, err
		}
		if err := os.Chown(folder, uid, gid); err != nil {
			return nil, err
		}
		attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return func() *syscall.SysProcAttr { a := attributes; return &a }, nil
}

// quit makes PostgreSQL end without a checkpoint.
func quit(server *os.Process) error { return server.Signal(syscall.SIGQUIT) }
