package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// durableFiles makes n small files the way a store must before it says that it
// has them (write, fsync, rename, fsync of the folder), from several workers,
// and returns how many a second: the limit of the disk for publishing. They
// stay until the run is over; freshFolder says why.
func durableFiles(dir string, workers, n int) (float64, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer folder.Close()
	content := make([]byte, 4096)
	one := func(name string) error {
		f, err := os.Create(filepath.Join(dir, name+".part"))
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
			return err
		}
		return folder.Sync()
	}
	errs := make([]error, workers)
	var wait sync.WaitGroup
	began := time.Now()
	for w := range workers {
		wait.Go(func() {
			for i := range n / workers {
				if errs[w] = one(fmt.Sprintf("%d-%d", w, i)); errs[w] != nil {
					return
				}
			}
		})
	}
	wait.Wait()
	return float64(n/workers*workers) / time.Since(began).Seconds(), errors.Join(errs...)
}

// freshFolder makes a folder where ext4 finds free inodes at once. It passes
// over those of files that were deleted in the last minutes one by one, and so
// creates files at a third of its rate where another run, or tests, have just
// cleaned up: nothing that a server meets. Folders in one that is marked as the
// top of a hierarchy are spread over the disk by their names (chattr(1), T).
// Where there is no such mark, there is no such trouble either.
func freshFolder(top string) (string, error) {
	folder, err := os.Open(top)
	if err != nil {
		return "", err
	}
	defer folder.Close()
	const getFlags, setFlags, topOfHierarchy = 0x80086601, 0x40086602, 0x20000 // linux/fs.h
	var flags uint64
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, folder.Fd(), getFlags, uintptr(unsafe.Pointer(&flags))); errno == 0 {
		flags |= topOfHierarchy
		syscall.Syscall(syscall.SYS_IOCTL, folder.Fd(), setFlags, uintptr(unsafe.Pointer(&flags)))
	}
	fresh := filepath.Join(top, rand.Text())
	return fresh, os.Mkdir(fresh, 0o700)
}

// fileSystem names the file system of a folder: on one in memory a sync costs
// nothing and the publishing figures mean little. The numbers are those of
// linux/magic.h.
func fileSystem(dir string) string {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return "unknown"
	}
	switch stat.Type {
	case 0xef53:
		return "ext4"
	case 0x58465342:
		return "xfs"
	case 0x9123683e:
		return "btrfs"
	case 0x794c7630:
		return "overlayfs"
	case 0x01021994:
		return "tmpfs (in memory: nothing is durable here)"
	}
	return fmt.Sprintf("file system %#x", stat.Type)
}
