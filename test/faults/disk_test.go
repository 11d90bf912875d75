//go:build linux

package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"packhouse/test/harness"
)

// small mounts a file system of so many bytes. Who has no right to mount cannot make the test; CI has it.
func small(t *testing.T, size string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := mount(folder, "size="+size, 0); err != nil {
		if os.Getenv("CI") == "" && errors.Is(err, os.ErrPermission) {
			t.Skipf("needs the right to mount a file system: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return folder
}

func mount(folder, options string, flags uintptr) error {
	return syscall.Mount("packhouse-test", folder, "tmpfs", flags, options)
}

// A disk that is full, or cannot be written: a clear answer, nothing half-visible, and all goes on when that is over.
func TestDisk(t *testing.T) {
	folder := small(t, "5m")
	nd := newNode(t, harness.Config{Data: folder})
	h, project := newHistory(), nd.project()
	c := nd.client(h, "c", project)
	noise := strings.Repeat(harness.Random(), 1)
	n := rounds(2, 20)
	version := 0
	try := func(d driver) (outcome, int) {
		version++
		o, status, _ := c.publish(d, "disk", fmt.Sprintf("1.%d.0", version), noise+incompressible(150_000))
		return o, status
	}
	for round := range n {
		full := false
		for range 200 {
			d := drivers[version%len(drivers)]
			o, status := try(d)
			if o == done {
				continue
			}
			full = true
			if status != 507 && status != 500 && status != 503 {
				t.Errorf("a full disk: %s answers %d", d.format, status)
			}
			break
		}
		if !full {
			t.Fatal("the disk does not get full")
		}
		for _, d := range drivers { // and still is
			try(d)
		}
		if status, _, err := c.send("GET", "/-/liveness", "", nil); err != nil || status != 200 {
			t.Errorf("liveness on a full disk: %d, %v", status, err)
		}
		readAll(t, c, "disk")
		if err := mount(folder, fmt.Sprintf("size=%dm", 5+5*(round+1)), syscall.MS_REMOUNT); err != nil {
			t.Fatal(err)
		}
		for _, d := range drivers {
			if o, status := try(d); o != done {
				t.Errorf("with space again: %s answers %d", d.format, status)
			}
		}

		// The server has files open to write, so only a mount of its own would be read-only at once; its blobs can be.
		if err := syscall.Mount(filepath.Join(folder, "blobs"), filepath.Join(folder, "blobs"), "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("", filepath.Join(folder, "blobs"), "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		for _, d := range drivers {
			if o, status := try(d); o == done || status < 500 {
				t.Errorf("read-only: %s answers %d", d.format, status)
			}
		}
		if status, _, err := c.send("GET", "/-/readiness", "", nil); err != nil || status != 503 {
			t.Errorf("readiness when nothing can be stored: %d, %v", status, err)
		}
		readAll(t, c, "disk")
		if err := syscall.Unmount(filepath.Join(folder, "blobs"), syscall.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
		for _, d := range drivers {
			if o, status := try(d); o != done {
				t.Errorf("when it can be written again: %s answers %d", d.format, status)
			}
		}
	}
	readAll(t, c, "disk")
	broken := judge(t, h)
	nd.collect()
	nd.verify()
	if _, staged := left(t, folder); staged > 0 {
		t.Errorf("%d files are staged still", staged)
	}
	note("disk full, then read-only, then neither", n, h.count(publish, done), broken, "", "-run TestDisk")
}
