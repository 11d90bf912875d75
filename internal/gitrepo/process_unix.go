//go:build unix

package gitrepo

import (
	"os/exec"
	"syscall"
)

// killGroup lets the end of a command be that of all that it has started.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
