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
	"slices"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sync/errgroup"
)

// upstream LOCK FOLDER fetches the tarballs that an npm lock names, from the
// registry that npm is set up for outside the tests. This is the one place
// where a test needs a network, and it does once: they are kept in the cache
// folder, under the digest of the lock.
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
		ts.Check(fetch(content, fresh))
		// Another process may have been faster, with the same tarballs.
		if err := os.Rename(fresh, kept); err != nil && !errors.Is(err, fs.ErrExist) {
			ts.Check(err)
		}
	}
	ts.Check(os.Symlink(kept, ts.MkAbs(args[1])))
}

// fetch runs "npm pack" for the packages of a lock and checks that what came
// has the integrities of the lock.
func fetch(lock []byte, folder string) error {
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
