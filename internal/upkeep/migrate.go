package upkeep

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"packhouse/internal/database"
	"packhouse/internal/registry"
)

// Migrate moves all that a server keeps to another database, which must be empty, and another store of blobs: from any kind
// to any kind. With onlyBlobs it copies the contents that there are, so that a later run has less to do. The rows come last;
// what is interrupted can be run again, and goes on. Each content is compared with its SHA-256, each table with its sum. The
// source stays as it is. scratch is a folder for the rows on their way.
func Migrate(ctx context.Context, store registry.Store, from registry.BlobStore, location string, to registry.BlobStore, onlyBlobs bool, scratch string, how Copying) (done Copied, err error) {
	defer registry.Wrap(&err, "Migrate")
	db, ok := store.(*database.DB)
	if !ok {
		return done, errors.New("this store cannot be dumped")
	}
	if !onlyBlobs {
		if err := database.Empty(ctx, location); err != nil {
			return done, err
		}
	}
	temporary, err := os.MkdirTemp(scratch, "migrate-")
	if err != nil {
		return done, err
	}
	defer os.RemoveAll(temporary)
	err = Waiting(ctx, func() error {
		return (&registry.Registry{Store: store}).Holding(ctx, registry.CollectLease, func(l *registry.Lease, keep func() error) error {
			// A backup into a folder, but for the contents.
			done, err = migrate(ctx, db, from, location, to, onlyBlobs, filepath.Join(temporary, "snapshot"), how, keep)
			return err
		})
	})
	return done, err
}

func migrate(ctx context.Context, db *database.DB, from registry.Blobs, location string, to registry.BlobStore, onlyBlobs bool, snapshot string, how Copying, keep func() error) (Copied, error) {
	m, err := dump(ctx, db, snapshot, how, keep)
	if err != nil {
		return Copied{}, err
	}
	done, err := copyContents(ctx, snapshot, m, from, to, how, keep)
	if err != nil || onlyBlobs {
		return done, err
	}
	return done, load(ctx, snapshot, location, m, false)
}
