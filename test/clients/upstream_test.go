package clients

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sync/errgroup"

	"packhouse/test/harness"
)

// upstream LOCK FOLDER fetches the files that a lock names, of npm or, with the
// ending txt, of pip, from the registry that the client is set up for outside
// the tests. This is the one place where a test needs a network, and it does
// once: they are kept in the cache folder, under the digest of the lock.
func upstream(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: upstream LOCK FOLDER")
	}
	content := []byte(ts.ReadFile(args[0]))
	cache := os.Getenv("PACKHOUSE_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		ts.Check(err)
		cache = filepath.Join(user, "packhouse")
	}
	kept := filepath.Join(cache, fmt.Sprintf("tarballs-%x", sha256.Sum256(content))[:25])
	if _, err := os.Stat(kept); errors.Is(err, fs.ErrNotExist) {
		ts.Check(os.MkdirAll(cache, 0o755))
		fresh, err := os.MkdirTemp(cache, "tarballs-")
		ts.Check(err)
		defer os.RemoveAll(fresh)
		fetch := fetchTarballs
		if filepath.Ext(args[0]) == ".txt" {
			fetch = fetchDistributions
		}
		ts.Check(fetch(content, fresh))
		// Another process may have been faster, with the same files.
		if err := os.Rename(fresh, kept); err != nil && !errors.Is(err, fs.ErrExist) {
			ts.Check(err)
		}
	}
	ts.Check(os.Symlink(kept, ts.MkAbs(args[1])))
}

// fetchTarballs runs "npm pack" for the packages of a lock and checks that what came
// has the integrities of the lock.
func fetchTarballs(lock []byte, folder string) error {
	var parsed struct {
		Packages map[string]struct{ Version, Integrity string }
	}
	if err := json.Unmarshal(lock, &parsed); err != nil {
		return err
	}
	wanted := map[string]bool{} // integrities
	var specs []string
	for place, entry := range parsed.Packages {
		if place == "" || wanted[entry.Integrity] {
			continue
		}
		wanted[entry.Integrity] = true
		name := path.Base(place)
		if scope := path.Base(path.Dir(place)); scope[0] == '@' {
			name = scope + "/" + name
		}
		specs = append(specs, name+"@"+entry.Version)
	}
	var group errgroup.Group
	group.SetLimit(4)
	for some := range slices.Chunk(specs, 25) {
		group.Go(func() error {
			npm := exec.Command("npm", append([]string{"pack", "--loglevel=error", "--pack-destination=" + folder}, some...)...)
			if out, err := npm.CombinedOutput(); err != nil {
				return fmt.Errorf("npm pack, from the registry that `npm config get registry` names: %w\n%s", err, out)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	tarballs, err := filepath.Glob(filepath.Join(folder, "*.tgz"))
	if err != nil {
		return err
	}
	for _, tarball := range tarballs {
		content, err := os.ReadFile(tarball)
		if err != nil {
			return err
		}
		digest := sha512.Sum512(content)
		integrity := "sha512-" + base64.StdEncoding.EncodeToString(digest[:])
		if !wanted[integrity] {
			return fmt.Errorf("%s has another integrity than the lock", filepath.Base(tarball))
		}
		delete(wanted, integrity)
	}
	if len(wanted) > 0 {
		return fmt.Errorf("npm pack left out %d packages of the lock", len(wanted))
	}
	return nil
}

// locked is a requirement of a lock with its hashes, as uv and pip-compile
// write it.
var (
	locked       = regexp.MustCompile(`(?m)^\S+==\S+(?: \\\n +--hash=sha256:[0-9a-f]{64})+$`)
	lockedDigest = regexp.MustCompile(`--hash=sha256:([0-9a-f]{64})`)
)

// fetchDistributions runs "pip download" for the requirements of a lock, for
// the platform that the lock was made for: a wheel of each, and of those that
// have more than one hash the sdist too. It checks that this is all that the
// lock names.
func fetchDistributions(lock []byte, folder string) error {
	pip, err := harness.Tool("pip")
	if err != nil {
		return err
	}
	wanted := map[string]bool{} // digests
	var wheels, sdists []byte
	for _, requirement := range locked.FindAll(lock, -1) {
		digests := lockedDigest.FindAllSubmatch(requirement, -1)
		for _, digest := range digests {
			wanted[string(digest[1])] = true
		}
		wheels = append(append(wheels, requirement...), '\n')
		if len(digests) > 1 {
			sdists = append(append(sdists, requirement...), '\n')
		}
	}
	requirements, err := os.MkdirTemp("", "requirements-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(requirements)
	for _, what := range []struct {
		file    string
		content []byte
		options []string
	}{
		{"wheels.txt", wheels, []string{"--only-binary=:all:", "--implementation=cp", "--python-version=3.11", "--platform=manylinux_2_28_x86_64"}},
		{"sdists.txt", sdists, []string{"--no-binary=:all:", "--no-build-isolation"}},
	} {
		file := filepath.Join(requirements, what.file)
		if err := os.WriteFile(file, what.content, 0o644); err != nil {
			return err
		}
		download := exec.Command(pip, append(what.options, "--quiet", "--no-deps", "--require-hashes", "--dest="+folder, "--requirement="+file)...)
		download.Args = slices.Insert(download.Args, 1, "download")
		if out, err := download.CombinedOutput(); err != nil {
			return fmt.Errorf("pip download, from the index that `pip config list` names: %w\n%s", err, out)
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			return err
		}
		digest := fmt.Sprintf("%x", sha256.Sum256(content))
		if !wanted[digest] {
			return fmt.Errorf("%s has another digest than the lock", file.Name())
		}
		delete(wanted, digest)
	}
	if len(wanted) > 0 {
		return fmt.Errorf("pip download left out %d files of the lock", len(wanted))
	}
	return nil
}
