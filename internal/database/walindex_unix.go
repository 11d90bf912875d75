//go:build unix

package database

import (
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// walIndex is the beginning of the mapped WAL index: two copies of its header.
type walIndex *[2]walHeader

// openWALIndex maps the WAL index of a database to which a connection is open; one has to stay open for as long as the
// map is used, since the last one that closes removes the file. The map ends with owner.
//
// The descriptor is for the caller to keep, and to close only when all connections are closed: POSIX gives up all
// locks that a process has on a file when it closes any descriptor of it, SQLite's too ("How To Corrupt An SQLite
// Database File", section 2.2), and the next process would take itself for the first one.
func openWALIndex[T any](path string, owner *T) (walIndex, io.Closer, error) {
	file, err := os.Open(path + "-shm")
	if err != nil {
		return nil, nil, err
	}
	memory, err := syscall.Mmap(int(file.Fd()), 0, os.Getpagesize(), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, file, err
	}
	runtime.AddCleanup(owner, func(memory []byte) { syscall.Munmap(memory) }, memory)
	return walIndex(unsafe.Pointer(&memory[0])), file, nil
}

// readWALIndex returns the header, and false when there is none or it is being written at this moment. A writer fills the
// second copy first, so that a reader who sees the same in both, the first one read first, has it whole.
func readWALIndex(index walIndex) (header walHeader, ok bool) {
	if index == nil {
		return header, false
	}
	for i := range header {
		header[i] = atomic.LoadUint32(&index[0][i])
	}
	for i := range header {
		if atomic.LoadUint32(&index[1][i]) != header[i] {
			return header, false
		}
	}
	return header, header[0] == walIndexVersion
}
