// Package release checks what scripts/release.sh builds, for this machine alone.
package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"packhouse/test/harness"
)

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

// build runs the script under a shell's settings, and returns the folder of what it made and its checksums.
func build(t *testing.T, settings string) (folder, sums string) {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	folder = filepath.Join(t.TempDir(), "dist")
	cmd := exec.Command("bash", "-c", settings+"; exec scripts/release.sh v1.2.3-rc.1 linux/"+runtime.GOARCH)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "DIST="+folder)
	output(t, cmd)
	text, err := os.ReadFile(filepath.Join(folder, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	return folder, string(text)
}

// What is built twice is the same, and the Debian package brings what it should, keeps what people have changed when a new one comes, and leaves
// their data when it goes.
func TestRelease(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil && os.Getenv("CI") == "" {
		t.Skip("no dpkg-deb on this machine")
	}
	dist, sums := build(t, "umask 022; export TZ=UTC GOFLAGS=-buildvcs=true")
	if _, again := build(t, "umask 077; export TZ=Asia/Tokyo LC_ALL=C.UTF-8 GOFLAGS="); sums != again {
		t.Errorf("the second time\n%s, the first time\n%s", again, sums)
	}
	if strings.Count(sums, "\n") != 2 {
		t.Errorf("not a binary and a package:\n%s", sums)
	}
	if version := output(t, exec.Command(filepath.Join(dist, "packhouse-v1.2.3-rc.1-linux-"+runtime.GOARCH), "version")); !strings.HasPrefix(version, "packhouse v1.2.3-rc.1 ") {
		t.Errorf("version %q", version)
	}
	deb := filepath.Join(dist, "packhouse_1.2.3+rc.1_"+runtime.GOARCH+".deb")

	root := t.TempDir()
	for _, folder := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/packhouse"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	dpkg := func(args ...string) string {
		args = append([]string{"dpkg", "--root=" + root, "--force-script-chrootless"}, args...)
		if os.Geteuid() != 0 {
			args = append([]string{"unshare", "--map-root-user"}, args...)
		}
		return output(t, exec.Command(args[0], args[1:]...))
	}
	write("var/lib/dpkg/status", "")
	write("var/lib/packhouse/packhouse.db", "data")
	dpkg("-i", deb)
	unit := read("lib/systemd/system/packhouse.service")
	_, command, _ := strings.Cut(unit, "ExecStart=")
	program, _, _ := strings.Cut(command, " ")
	if info, err := os.Stat(filepath.Join(root, program)); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("what the unit starts: %v, %v", info, err)
	}
	if _, options, _ := strings.Cut(unit, "EnvironmentFile="); !strings.HasPrefix(options, "/etc/packhouse/packhouse.env\n") {
		t.Errorf("the unit reads other options than the package's:\n%s", unit)
	}
	for _, about := range []string{"copyright", "changelog.gz", "operations.md"} {
		read("usr/share/doc/packhouse/" + about)
	}
	write("etc/packhouse/packhouse.env", "PACKHOUSE_LISTEN=127.0.0.1:1\n")
	dpkg("-i", deb)
	if options := read("etc/packhouse/packhouse.env"); options != "PACKHOUSE_LISTEN=127.0.0.1:1\n" {
		t.Errorf("after an upgrade the options are\n%s", options)
	}
	if said := dpkg("--purge", "packhouse"); !strings.Contains(said, "stays in /var/lib/packhouse") {
		t.Errorf("purged: %s", said)
	}
	for _, gone := range []string{"usr/bin/packhouse", "etc/packhouse/packhouse.env"} {
		if _, err := os.Stat(filepath.Join(root, gone)); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
	if data := read("var/lib/packhouse/packhouse.db"); data != "data" {
		t.Error("the data of the server is gone")
	}
}
