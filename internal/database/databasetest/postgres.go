package databasetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
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
	folder   string // of the socket and, in data/, the files
	bin      string // folder of the programs
	settings []string
	user     func() *syscall.SysProcAttr
	admin    *sql.DB
	holds    []io.Closer // the supervisors' standard inputs; kept, since the garbage collector would close them
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

// Cluster is a PostgreSQL server of its own, for tests that stop it.
type Cluster struct{ *cluster }

// StartCluster starts a server that keeps what it acknowledged when it is killed. It listens on an address as well as on its socket, and runs in the
// network namespace of the calling thread.
func StartCluster(address string) (*Cluster, error) {
	c, err := newCluster("-c", "fsync=off", "-c", "listen_addresses="+address)
	return &Cluster{c}, err
}

// At is the URL of a database of the server at that address.
func (c *Cluster) At(database, address string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", err
	}
	u.Host, u.RawQuery = address+":5432", "sslmode=disable"
	return u.String(), nil
}

// Create makes a database and returns its URL.
func (c *Cluster) Create() (string, error) {
	name := "t_" + strings.ToLower(rand.Text())
	_, err := c.admin.Exec("CREATE DATABASE " + name)
	return c.url(name), err
}

// Socket is the path of the server's socket.
func (c *Cluster) Socket() string { return filepath.Join(c.folder, ".s.PGSQL.5432") }

// Kill ends the server at once, as a crash would.
func (c *Cluster) Kill() error {
	text, err := os.ReadFile(filepath.Join(c.folder, "data", "postmaster.pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(string(text), "\n", 2)[0]))
	if err != nil {
		return err
	}
	server, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := quit(server); err != nil {
		return err
	}
	for range 500 {
		if _, err := os.Stat(c.Socket()); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("databasetest: PostgreSQL does not end")
}

// Start starts the server again, and returns when it answers.
func (c *Cluster) Start() error { return c.serve() }

// Close removes the server.
func (c *Cluster) Close() {
	c.admin.Close()
	for _, hold := range c.holds {
		hold.Close()
	}
}

func startCluster() (*cluster, error) {
	// No power cut is tested here, and each of these costs a wait for the disk.
	return newCluster("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")
}

func newCluster(settings ...string) (_ *cluster, err error) {
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
	c := &cluster{folder: folder, bin: bin, settings: settings}
	if c.user, err = unprivileged(folder); err != nil {
		os.RemoveAll(folder)
		return nil, err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata="+filepath.Join(folder, "data"), "--username=postgres", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = folder, c.user()
	if output, err := initdb.CombinedOutput(); err != nil {
		os.RemoveAll(folder)
		return nil, fmt.Errorf("initdb: %w\n%s", err, output)
	}
	hba, err := os.OpenFile(filepath.Join(folder, "data", "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0) // for who listens on an address
	if err == nil {
		_, err = hba.WriteString("host all all all trust\n")
		err = errors.Join(err, hba.Close())
	}
	if err != nil {
		os.RemoveAll(folder)
		return nil, err
	}
	if c.admin, err = sql.Open("pgx", c.url("postgres")); err != nil {
		os.RemoveAll(folder)
		return nil, err
	}
	c.admin.SetMaxIdleConns(2)
	return c, c.serve()
}

// serve starts the server and waits until it answers.
func (c *cluster) serve() error {
	server := exec.Command("/bin/sh", append([]string{"-c", supervise, "sh", c.folder,
		filepath.Join(c.bin, "postgres"), "-D", filepath.Join(c.folder, "data"), "-k", c.folder, "-p", "5432", "-c", "listen_addresses=",
		"-c", "max_connections=300"}, c.settings...)...)
	server.Dir, server.SysProcAttr = c.folder, c.user()
	hold, err := server.StdinPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		os.RemoveAll(c.folder)
		return err
	}
	c.holds = append(c.holds, hold) // from here on the supervisor removes the folder
	gone := make(chan error, 1)
	go func() { gone <- server.Wait() }()
	ctx, cancel := context.WithTimeout(context.Background(), startBound)
	defer cancel()
	for {
		err := c.admin.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case err := <-gone:
			return err
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(c.folder, "log"))
			return fmt.Errorf("%w\n%s", err, log)
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
