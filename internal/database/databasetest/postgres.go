package databasetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
)

// Postgres returns the postgres:// URL of a new, empty database, which is dropped when the test ends. It fails the
// test where PostgreSQL is not installed.
func Postgres(t testing.TB) string {
	t.Helper()
	url, drop, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Error(err)
		}
	})
	return url
}

// Create is Postgres for those who have no test, as a TestMain. drop removes the database.
//
// All databases of a test process are in one cluster, started when the first is asked for. It has its data and its
// socket in a temporary folder and listens on no port, so that any number of test processes run side by side.
func Create() (url string, drop func() error, err error) {
	c, err := theCluster()
	if err != nil {
		return "", nil, err
	}
	name := "t_" + strings.ToLower(rand.Text())
	// In the order of a language, where this PostgreSQL knows any: a query that means the order of bytes has to say so.
	if _, err := c.admin.Exec("CREATE DATABASE " + name + " TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'"); err != nil {
		if _, err := c.admin.Exec("CREATE DATABASE " + name); err != nil {
			return "", nil, fmt.Errorf("databasetest: %w", err)
		}
	}
	return c.url(name), func() error {
		// FORCE: a test that failed may have left connections.
		if _, err := c.admin.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			return fmt.Errorf("databasetest: %w", err)
		}
		return nil
	}, nil
}

type cluster struct {
	folder string // of the socket and, in data/, the files
	admin  *sql.DB
	hold   io.Closer // the supervisor's standard input; kept, since the garbage collector would close it
}

var theCluster = sync.OnceValues(startCluster)

func (c *cluster) url(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + database,
		RawQuery: url.Values{"host": {c.folder}, "port": {"5432"}, "sslmode": {"disable"}}.Encode()}
	return u.String()
}

// supervise keeps a server while its standard input is open. The other end is held by the test process alone, so it
// is closed by the kernel however that process ends: a TestMain or a deferred call would miss panics and time-outs.
// QUIT makes PostgreSQL stop at once, without regard to data that nobody wants any more.
const supervise = `
folder=$1; shift
"$@" </dev/null >"$folder/log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT $server
wait $server
rm -rf "$folder"
`

// startBound is how long a cluster may take to come up. It is only waited out when something is wrong.
const startBound = time.Minute

func startCluster() (_ *cluster, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("databasetest: PostgreSQL does not start: %w", err)
		}
	}()
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "packhouse-pg-")
	if err != nil {
		return nil, err
	}
	c := &cluster{folder: folder}
	started := false
	defer func() {
		if !started {
			os.RemoveAll(folder)
		}
	}()
	user, err := unprivileged(folder)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(folder, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = folder, user()
	if output, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, output)
	}
	server := exec.Command("/bin/sh", "-c", supervise, "sh", folder,
		filepath.Join(bin, "postgres"), "-D", data, "-k", folder, "-p", "5432", "-c", "listen_addresses=",
		"-c", "max_connections=300",
		// No power cut is tested here, and each of these costs a wait for the disk.
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")
	server.Dir, server.SysProcAttr = folder, user()
	hold, err := server.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	c.hold = hold
	started = true // from here on the supervisor removes the folder
	gone := make(chan error, 1)
	go func() { gone <- server.Wait() }()
	if c.admin, err = sql.Open("pgx", c.url("postgres")); err != nil {
		return nil, err
	}
	c.admin.SetMaxIdleConns(2)
	ctx, cancel := context.WithTimeout(context.Background(), startBound)
	defer cancel()
	for {
		err := c.admin.PingContext(ctx)
		if err == nil {
			return c, nil
		}
		select {
		case err := <-gone:
			return nil, err
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(folder, "log"))
			return nil, fmt.Errorf("%w\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// binaries finds the folder of PostgreSQL's server programs, which Debian keeps out of PATH.
func binaries() (string, error) {
	var candidates []string
	if path, err := exec.LookPath("initdb"); err == nil {
		candidates = append(candidates, filepath.Dir(path))
	}
	installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Reverse(installed) // the newest first
	candidates = append(candidates, installed...)
	// Where `make tools` puts programs when it may not install any.
	for folder, _ := os.Getwd(); folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		candidates = append(candidates, filepath.Join(folder, "bin", "tools"))
	}
	for _, folder := range candidates {
		_, initdb := os.Stat(filepath.Join(folder, "initdb"))
		_, postgres := os.Stat(filepath.Join(folder, "postgres"))
		if initdb == nil && postgres == nil {
			return folder, nil
		}
	}
	return "", errors.New("initdb and postgres are not installed; run `make tools` to get them")
}
