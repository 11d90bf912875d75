package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"packhouse/internal/registry"
	"packhouse/internal/server"
	"packhouse/internal/upkeep"
)

// openAll opens what a server keeps.
func (s *stores) openAll(ctx context.Context) (store registry.Store, blobs registry.BlobStore, close func(), err error) {
	if store, err = s.open(ctx); err != nil {
		return nil, nil, nil, err
	}
	if blobs, err = s.config().BlobStore(ctx); err != nil {
		store.Close()
		return nil, nil, nil, err
	}
	return store, blobs, func() { blobs.Close(); store.Close() }, nil
}

// using runs a command on what a server keeps, with a bar for its progress.
func (s *stores) using(ctx context.Context, run func(store registry.Store, blobs registry.BlobStore, b *bar) error) error {
	store, blobs, close, err := s.openAll(ctx)
	if err != nil {
		return err
	}
	defer close()
	return run(store, blobs, newBar())
}

func (s *stores) config() *server.Config {
	return &server.Config{Data: s.Data, Database: s.Database, Blobs: s.Blobs}
}

// reading limits what a command reads.
type reading struct {
	Rate bytes `help:"Most bytes to read in a second, such as 20MiB (default: no limit)." placeholder:"SIZE"`
}

func (r reading) limit() *rate.Limiter {
	if r.Rate == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(r.Rate), int(min(r.Rate, 1<<20)))
}

// bar shows progress: on a terminal a line that is written over, elsewhere a line now and then.
type bar struct {
	out      io.Writer
	terminal bool
	began    time.Time
	shown    time.Time
}

func newBar() *bar {
	info, err := os.Stderr.Stat()
	return &bar{out: os.Stderr, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, began: time.Now()}
}

func (b *bar) show(contents, bytes, ofContents, ofBytes int64) {
	pause := 10 * time.Second
	if b.terminal {
		pause = 200 * time.Millisecond
	}
	last := contents >= ofContents
	if now := time.Now(); now.Sub(b.shown) < pause && !(last && b.terminal) {
		return
	} else if b.shown = now; b.shown.Sub(b.began) < pause && !b.terminal {
		return
	}
	done := 1.0
	if ofBytes > 0 {
		done = min(1, float64(bytes)/float64(ofBytes))
	}
	const width = 30
	filled := int(done * width)
	left := ""
	if spent := time.Since(b.began); done > 0 && !last {
		left = ", " + (time.Duration(float64(spent) * (1 - done) / done)).Round(time.Second).String() + " left"
	}
	line := fmt.Sprintf("[%s%s] %3.0f%%  %d of %d contents, %s of %s%s", strings.Repeat("#", filled), strings.Repeat(".", width-filled), 100*done,
		contents, max(contents, ofContents), size(bytes), size(max(bytes, ofBytes)), left)
	if b.terminal {
		fmt.Fprintf(b.out, "\r\x1b[K%s", line)
	} else {
		fmt.Fprintln(b.out, line)
	}
}

// end begins a new line after the bar.
func (b *bar) end() {
	if b.terminal && !b.shown.IsZero() {
		fmt.Fprintln(b.out)
	}
}

func size(n int64) string {
	for i := 3; i >= 0; i-- {
		if unit := int64(1) << (10 * (i + 1)); n >= unit {
			return fmt.Sprintf("%.1f %ciB", float64(n)/float64(unit), "KMGT"[i])
		}
	}
	return fmt.Sprintf("%d B", n)
}

type gcCommand struct {
	stores
	Grace time.Duration `help:"How long contents stay that are in no package any more (default: ${default})." default:"1h" env:"PACKHOUSE_GC_GRACE" placeholder:"DURATION"`
}

// Help is shown by gc --help.
func (*gcCommand) Help() string {
	return `A server does this by itself, each minute for what was deleted and each day for what broken uploads left. The command may run
beside it, at any time.`
}

func (c *gcCommand) Run(ctx context.Context) error {
	if c.Grace < 0 {
		return fmt.Errorf("--grace %s: nothing can be removed before it was deleted", c.Grace)
	}
	store, blobs, close, err := c.openAll(ctx)
	if err != nil {
		return err
	}
	defer close()
	r := &registry.Registry{Store: store}
	var done registry.Collection
	// What is deleted and not purged yet goes, too.
	if err := r.Purge(ctx); err != nil {
		return err
	}
	err = upkeep.Waiting(ctx, func() (err error) {
		done, err = r.Collect(ctx, blobs, c.Grace, true, nil)
		return err
	})
	fmt.Printf("%d contents looked at, %d removed, %s\n", done.Listed, done.Removed, size(done.Bytes))
	return err
}

type verifyCommand struct {
	stores
	reading
	Resume     bool `help:"Go on where the last verification stopped."`
	Quarantine bool `help:"Take damaged contents aside: nobody gets them any more, and whoever publishes them again heals them."`
	JSON       bool `name:"json" help:"Print each problem as a line of JSON."`
}

// Help is shown by verify --help.
func (*verifyCommand) Help() string {
	return `It reads every content that a package needs, and compares it with all digests that are known of it. It may run beside a server.
The exit status is 1 when something is missing, damaged or other than its rows say.`
}

func (c *verifyCommand) Run(ctx context.Context) error {
	return c.using(ctx, func(store registry.Store, blobs registry.BlobStore, b *bar) error {
		return c.verify(ctx, store, blobs, b)
	})
}

func (c *verifyCommand) verify(ctx context.Context, store registry.Store, blobs registry.BlobStore, b *bar) error {
	v, err := upkeep.Verify(ctx, &registry.Registry{Store: store}, blobs, upkeep.Verification{Resume: c.Resume, Quarantine: c.Quarantine,
		Limit: c.limit(), Progress: b.show, Problem: func(p upkeep.Problem) {
			b.end()
			c.print(p)
		}})
	b.end()
	fmt.Printf("%d contents checked, %s: %d missing, %d damaged, %d other than their rows say\n", v.Contents, size(v.Bytes), v.Missing, v.Damaged, v.Differing)
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted; --resume goes on")
	case registry.KindOf(err) == registry.Conflict:
		return errors.New("somebody else verifies at this moment")
	case err != nil:
		return err
	case !v.OK():
		return errors.New("not everything is there and right")
	}
	return nil
}

func (c *verifyCommand) print(p upkeep.Problem) {
	if c.JSON {
		json.NewEncoder(os.Stdout).Encode(map[string]any{"sha256": p.SHA256, "problem": p.What, "detail": p.Detail, "quarantined": p.Quarantined, "uses": p.Uses})
		return
	}
	fmt.Printf("%s %s: %s\n", p.What, p.SHA256, p.Detail)
	for _, u := range p.Uses {
		fmt.Printf("  %s: %s %s %s, file %s\n", u.Project, u.Type, u.Package, u.Version, u.File)
	}
	if p.Quarantined {
		fmt.Println("  taken aside")
	}
}

type backupCommand struct {
	stores
	reading
	To string `arg:"" help:"Folder of the backup; made when missing. What it has is not copied again." type:"path"`
}

func (c *backupCommand) Run(ctx context.Context) error {
	return c.using(ctx, func(store registry.Store, blobs registry.BlobStore, b *bar) error {
		done, err := upkeep.Backup(ctx, store, blobs, c.To, upkeep.Copying{Version: version, Limit: c.limit(), Progress: b.show})
		b.end()
		if err != nil {
			return err
		}
		fmt.Printf("snapshot %s: %d contents, %s; %d of them new, %s\n", done.Snapshot, done.Contents, size(done.Bytes), done.New, size(done.NewBytes))
		return nil
	})
}

type restoreCommand struct {
	stores
	reading
	From     string `arg:"" help:"Folder of the backup." type:"path"`
	Snapshot string `help:"Name of the snapshot (default: the newest)." placeholder:"NAME"`
	List     bool   `help:"List the snapshots, and do nothing."`
}

// Help is shown by restore --help.
func (*restoreCommand) Help() string {
	return `The database has to be empty: name a new data folder, or a new database. What is interrupted can be run again, and goes on.`
}

func (c *restoreCommand) Run(ctx context.Context) error {
	if c.List {
		names, err := upkeep.Snapshots(c.From)
		for _, name := range names {
			fmt.Println(name)
		}
		return err
	}
	config := c.config()
	location, err := config.Location()
	if err != nil {
		return err
	}
	blobs, err := config.BlobStore(ctx)
	if err != nil {
		return err
	}
	defer blobs.Close()
	b := newBar()
	done, err := upkeep.Restore(ctx, c.From, c.Snapshot, location, blobs, upkeep.Copying{Version: version, Limit: c.limit(), Progress: b.show})
	b.end()
	if err != nil {
		return err
	}
	fmt.Printf("snapshot %s: %d contents, %s, all as they were\n", done.Snapshot, done.Contents, size(done.Bytes))
	return nil
}

type migrateCommand struct {
	stores
	reading
	ToData     string `help:"Data folder to move to, for a database or package files that are kept in it." type:"path" placeholder:"DIR"`
	ToDatabase string `help:"Database to move to, which must be empty: a SQLite file or postgres:// URL." placeholder:"URL"`
	ToBlobs    string `help:"Store of the package files to move to: a folder or s3:// URL." placeholder:"URL"`
	OnlyBlobs  bool   `help:"Copy package files and leave the rest to a later run. Servers may go on meanwhile."`
}

// Help is shown by migrate-store --help.
func (*migrateCommand) Help() string {
	return `Run it with --only-blobs while the server runs, then stop the server and run it without: the second run copies only what
came in meanwhile, and the database. What is interrupted can be run again, and goes on. The source stays as it is.`
}

func (c *migrateCommand) Run(ctx context.Context) error {
	target := &server.Config{Data: c.ToData, Database: c.ToDatabase, Blobs: c.ToBlobs}
	if c.ToData == "" && (c.ToDatabase == "" || c.ToBlobs == "") {
		return errors.New("say where to move to: --to-database and --to-blobs, or --to-data")
	}
	if c.ToData == "" {
		target.Data = filepath.Join(c.Data, "migrating") // for what is staged on its way to a bucket
		defer os.RemoveAll(target.Data)
	}
	location, err := target.Location()
	if err != nil {
		return err
	}
	store, blobs, close, err := c.openAll(ctx)
	if err != nil {
		return err
	}
	defer close()
	to, err := target.BlobStore(ctx)
	if err != nil {
		return err
	}
	defer to.Close()
	b := newBar()
	done, err := upkeep.Migrate(ctx, store, blobs, location, to, c.OnlyBlobs, c.Data, upkeep.Copying{Version: version, Limit: c.limit(), Progress: b.show})
	b.end()
	if err != nil {
		return err
	}
	fmt.Printf("%d contents, %s; %d of them copied now, %s\n", done.Contents, size(done.Bytes), done.New, size(done.NewBytes))
	if !c.OnlyBlobs {
		fmt.Println("The database was moved and compared; start servers on the new one from now on.")
	}
	return nil
}
