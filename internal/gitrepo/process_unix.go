//go:build unix

package gitrepo

import (
	"os"
	"os/exec"
	"syscall"
)

// endGroup lets the end of a command be that of all that it has started. They are asked to end, and take their lock files along: one
// that stays keeps everybody else out for good.
func endGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}

// syncFolder puts the names in a folder on the disk.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
