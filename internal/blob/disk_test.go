package blob_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"packhouse/internal/blob"
	"packhouse/internal/blob/blobtest"
	"packhouse/internal/registry"
)

// childFolder names the store in which a child process, being this test program, stages a content and then waits.
const childFolder = "PACKHOUSE_BLOB_TEST_CHILD"

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		d, err := blob.OpenDisk(folder)
		if err == nil {
			_, err = d.Stage(context.Background(), strings.NewReader("of a process that will die"))
		}
		fmt.Println("staged", err)
		select {}
	}
	os.Exit(m.Run())
}

func openDisk(t *testing.T, root string) *blob.Disk {
	t.Helper()
	d, err := blob.OpenDisk(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// files lists the files below a folder, by their paths in it, but not the lock files.
func files(t *testing.T, root string) map[string]fs.FileInfo {
	t.Helper()
	all := map[string]fs.FileInfo{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "lock" {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all[name], err = entry.Info()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDisk(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blobtest.Store {
		root := t.TempDir()
		return blobtest.Store{BlobStore: openDisk(t, root), Staged: func() int { return len(files(t, filepath.Join(root, "staging"))) }}
	})
}

func put(t *testing.T, d *blob.Disk, content string) registry.Digests {
	t.Helper()
	staged, err := d.Stage(t.Context(), strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer staged.Discard()
	if err := staged.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return staged.Digests()
}

func TestDiskLayout(t *testing.T) {
	root := filepath.Join(t.TempDir(), "not", "there", "yet")
	d := openDisk(t, root)
	sum := put(t, d, "abc").SHA256
	put(t, d, "abc")
	name := filepath.Join("sha256", "ba", sum)
	all := files(t, root)
	if len(all) != 1 || all[name] == nil {
		t.Fatalf("the store holds %v, want only %s", all, name)
	}
	if runtime.GOOS != "windows" { // which has no such modes
		if mode := all[name].Mode(); mode != 0o400 {
			t.Errorf("a blob has mode %v, want read-only for its owner", mode)
		}
		for _, folder := range []string{".", "staging", "sha256", "sha256/ba"} {
			info, err := os.Stat(filepath.Join(root, folder))
			if err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("folder %s: %v, %v, want mode 0700", folder, info, err)
			}
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(root, "staging")); err != nil || len(left) != 0 {
		t.Errorf("a closed store leaves %v, %v", left, err)
	}
	// It is all there for the next process.
	blob, err := openDisk(t, root).Open(t.Context(), sum)
	if err != nil {
		t.Fatal(err)
	}
	blob.Close()
}

// Whoever collects what nothing refers to goes by the time, so that a content that comes again looks new.
func TestDiskTimeOfBlobThatComesAgain(t *testing.T) {
	root := t.TempDir()
	d := openDisk(t, root)
	path := filepath.Join(root, "sha256", "ba", put(t, d, "abc").SHA256)
	old := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	put(t, d, "abc")
	info, err := os.Stat(path)
	if err != nil || !info.ModTime().After(old.Add(time.Hour)) {
		t.Errorf("time of the blob: %v, %v", info, err)
	}
}

func TestDiskSweep(t *testing.T) {
	root := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childFolder+"="+root)
	child.Stderr = os.Stderr
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Process.Kill() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "staged <nil>\n" {
		t.Fatalf("child says %q, %v", line, err)
	}

	mine := openDisk(t, root)
	staged, err := mine.Stage(t.Context(), strings.NewReader("mine"))
	if err != nil {
		t.Fatal(err)
	}
	defer staged.Discard()
	count := func(what string, want int) {
		t.Helper()
		if got := files(t, filepath.Join(root, "staging")); len(got) != want {
			t.Errorf("%s, %d contents are staged, want %d: %v", what, len(got), want, got)
		}
	}
	openDisk(t, root)
	count("with both processes alive", 2)

	child.Process.Kill()
	child.Wait()
	openDisk(t, root)
	count("with the child dead", 1)
	if err := staged.Commit(t.Context()); err != nil {
		t.Errorf("the living process's content: %v", err)
	}
	if folders, err := os.ReadDir(filepath.Join(root, "staging")); err != nil || len(folders) != 3 {
		t.Errorf("%d staging folders, %v, want those of the three open stores", len(folders), err)
	}
}

// A folder without a lock is one that is being made, unless it has been so for long.
func TestDiskSweepsFoldersWithoutLock(t *testing.T) {
	root := t.TempDir()
	stagings := filepath.Join(root, "staging")
	for _, name := range []string{"young", "old"} {
		if err := os.MkdirAll(filepath.Join(stagings, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	hourAgo := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(stagings, "old"), hourAgo, hourAgo); err != nil {
		t.Fatal(err)
	}
	openDisk(t, root)
	if _, err := os.Stat(filepath.Join(stagings, "young")); err != nil {
		t.Errorf("the young one: %v", err)
	}
	if _, err := os.Stat(filepath.Join(stagings, "old")); !os.IsNotExist(err) {
		t.Errorf("the old one is still there: %v", err)
	}
}

// Processes that start at once sweep while others make their folders.
func TestDiskOpenTogether(t *testing.T) {
	root := t.TempDir()
	for range 20 {
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				d, err := blob.OpenDisk(root)
				if err != nil {
					t.Error(err)
					return
				}
				defer d.Close()
				staged, err := d.Stage(context.Background(), strings.NewReader("x"))
				if err != nil {
					t.Error(err)
					return
				}
				staged.Discard()
			})
		}
		group.Wait()
	}
}

func TestDiskPing(t *testing.T) {
	root := t.TempDir()
	d := openDisk(t, root)
	if err := d.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if left := files(t, root); len(left) != 0 {
		t.Errorf("Ping leaves %v", left)
	}
	if err := os.RemoveAll(filepath.Join(root, "staging")); err != nil {
		t.Fatal(err)
	}
	if err := d.Ping(t.Context()); registry.KindOf(err) != registry.Unavailable {
		t.Errorf("without its folder: %v, want Unavailable", err)
	}
}

func TestOpenDiskFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{file, filepath.Join(file, "below")} {
		if d, err := blob.OpenDisk(root); err == nil {
			d.Close()
			t.Errorf("opened %s", root)
		}
	}
}
