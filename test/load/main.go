// Command load is the benchmark: it builds Packhouse, starts it on an empty
// store, does the work of real clients on it, and prints each figure beside
// what it was measured against in the same run on the same machine: nginx
// with the same bytes as static files, or the disk with nothing in between.
//
//	go run ./test/load [--quick] [--only REGEXP] [--json FILE]
//
// A goal that is missed is printed as missed and changes nothing else; the exit
// status is 1 when an answer was wrong or the run could not be made. What each
// row means stands in docs/performance.md.
//
// A step (steps) measures one thing and adds its figures to the report. Another
// package format is another file like npm.go with steps of its own; another
// server is one more sample in a figure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"packhouse/test/harness"
)

// options say how much work is done. The defaults of full are what
// docs/performance.md shows; quick and the test ask for less.
type options struct {
	versions      int           // of the package that is published version by version
	readVersions  int           // of the packument, the page and the registration that are read again and again
	freshVersions []int         // of the packuments that are read right after a publish
	publishers    int           // clients that publish at the same time
	each          int           // versions that each of them publishes
	large         int64         // bytes of npm's large tarball and of NuGet's package; the wheel has twice as many
	listPackages  int           // of the store whose lists are read
	listVersions  int           // of each name there
	listRequests  int           // of each kind of page, at least
	rounds        int           // of each system in a comparison; they alternate
	duration      time.Duration // of one round
	connections   int           // of the load generator
	starts        int
	settle        time.Duration // between a start and the reading of idle memory
	quiet         time.Duration // longest wait for memory to settle after the run
	wrk           bool          // read with wrk; otherwise with the loop in measure.go
	only          *regexp.Regexp
	json          string
}

func full() options {
	return options{
		versions: 2000, readVersions: 500, freshVersions: []int{500, 2000}, publishers: 8, each: 250, large: 1 << 30,
		listPackages: 100_000, listVersions: 10, listRequests: 200,
		rounds: 3, duration: 5 * time.Second, connections: 16,
		starts: 10, settle: 2 * time.Second, quiet: 90 * time.Second, wrk: true,
	}
}

func quick() options {
	o := full()
	o.versions, o.each, o.freshVersions, o.large = 300, 40, []int{500}, 128<<20
	o.listPackages, o.listRequests = 10_000, 50
	o.rounds, o.duration, o.starts, o.quiet = 1, time.Second, 3, 5*time.Second
	return o
}

func main() {
	isQuick := flag.Bool("quick", false, "less of everything, about half a minute: to see that it works, not to quote")
	only := flag.String("only", "", "run only the steps whose name matches this `regexp`")
	json := flag.String("json", "", "write the report as JSON to this `file` too")
	duration := flag.Duration("duration", 0, "of one round of reading, instead of the default")
	versions := flag.Int("list-versions", 0, "of each name in the store whose lists are read, instead of the default")
	rounds := flag.Int("rounds", 0, "of each system in a comparison, instead of the default")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: go run ./test/load [flags]\nsteps: "+strings.Join(stepNames(), ", "))
		flag.PrintDefaults()
	}
	flag.Parse()
	o := full()
	if *isQuick {
		o = quick()
	}
	if *duration > 0 {
		o.duration = *duration
	}
	if *versions > 0 {
		o.listVersions = *versions
	}
	if *rounds > 0 {
		o.rounds = *rounds
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	o.only, o.json = pattern, *json

	// An interrupt ends the run in order, so that no server and no folder is left.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if _, err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	options
	ctx    context.Context
	log    io.Writer // progress, for a person who waits
	dir    string    // of this run: data, www
	report *report

	config  harness.Config
	server  *harness.Server
	project int64
	token   string // of a member of the project, not of an administrator
	nginx   *nginx // nil when the machine has none

	npm npmState
}

type step struct {
	name string
	run  func(*bench) error
}

// steps in the order of the run. Publishing comes first so that the later ones
// find a store with something in it; the large files follow the restarts
// because their memory is counted from that of an idle process.
var steps = []step{
	{"npm-publish", npmPublish},
	{"npm-publish-parallel", npmPublishParallel},
	{"start", start},
	{"npm-large", npmLarge},
	{"pypi-large", pypiLarge},
	{"nuget-large", nugetLarge},
	{"npm-packument", npmPackument},
	{"npm-tarball", npmTarball},
	{"npm-fresh", npmFresh},
	{"pypi-page", pypiPage},
	{"pypi-install", pypiInstall},
	{"nuget-indexes", nugetIndexes},
	{"composer-p2", composerP2},
	{"quiet", quiet},
	{"lists", lists},
	{"pages", pages},
}

func stepNames() (names []string) {
	for _, s := range steps {
		names = append(names, s.name)
	}
	return names
}

// run makes the report and prints it, also what there is of it when a step
// fails.
func run(ctx context.Context, o options, out, log io.Writer) (_ *report, err error) {
	top, err := os.MkdirTemp("", "packhouse-load-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(top)
	dir, err := freshFolder(top)
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, ctx: ctx, log: log, dir: dir, report: &report{}}

	if o.wrk {
		if _, err := exec.LookPath("wrk"); err != nil {
			b.wrk = false
			fmt.Fprintln(log, "wrk is not on this machine (Debian: wrk): reading with a loop in Go, which is slower")
		}
	}
	b.nginx, err = startNginx(ctx, dir)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		fmt.Fprintln(log, "nginx is not on this machine (Debian: nginx-light): nothing to compare reads with")
	case err != nil:
		return nil, err
	default:
		defer b.nginx.stop()
	}

	// Before the build, which is a load of its own.
	load := loadAverage()
	if _, err := harness.Build(ctx); err != nil {
		return nil, err
	}
	if err := b.setUp(); err != nil {
		return nil, err
	}
	defer func() {
		if stopErr := b.server.Stop(); err == nil {
			err = stopErr
		}
	}()
	b.report.Machine = machineFacts(dir, load)
	b.report.Programs = b.programs()
	others := b.watchOthers()

	var failed error
	for _, s := range steps {
		if o.only != nil && !o.only.MatchString(s.name) {
			continue
		}
		began := time.Now()
		fmt.Fprintf(log, "%s ...", s.name)
		if failed = s.run(b); failed == nil {
			failed = ctx.Err()
		}
		fmt.Fprintf(log, " %.1f s\n", time.Since(began).Seconds())
		if failed != nil {
			failed = fmt.Errorf("%s: %w", s.name, failed)
			break
		}
	}
	b.report.Machine = append(b.report.Machine, fact{"other programs", others()})
	b.report.print(out)
	if o.json != "" && failed == nil {
		failed = b.report.writeJSON(o.json)
	}
	return b.report, failed
}

// setUp starts the server on an empty store and makes a private project with
// one member, whose token goes with every request: what is measured includes
// the question who is asking and what they may do.
func (b *bench) setUp() (err error) {
	b.config = harness.Config{
		Data:         filepath.Join(b.dir, "data"),
		RootPassword: harness.Random(), RootToken: harness.Random(),
		// nginx writes no access log either.
		Args: []string{"--log-requests", "none"},
	}
	if b.server, err = harness.Start(b.ctx, b.config); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			b.server.Stop()
		}
	}()
	group, err := b.server.CreateGroup("bench", harness.Private, 0)
	if err != nil {
		return err
	}
	project, err := b.server.CreateProject("bench", group.ID, harness.Private)
	if err != nil {
		return err
	}
	user, err := b.server.CreateUser("bencher")
	if err != nil {
		return err
	}
	if err := b.server.AddMember(project.ID, user.ID, harness.Maintainer); err != nil {
		return err
	}
	token, err := b.server.CreatePersonalToken(user.ID, "api")
	if err != nil {
		return err
	}
	b.project, b.token = project.ID, token.Token
	b.command(commandLine(b.server.PID))
	if b.nginx != nil {
		b.command(shellQuote(append([]string{"nginx"}, b.nginx.cmd.Args[1:]...)))
	}
	return nil
}

// command notes a command line for the report, without the secrets and the
// folder of this run.
func (b *bench) command(line string) {
	_, basic, _ := strings.Cut(b.basicHeader().Get("Authorization"), " ")
	line = strings.NewReplacer(b.token, "$TOKEN", basic, "$BASIC", b.dir, "$DIR").Replace(line)
	if !slices.Contains(b.report.Commands, line) {
		b.report.Commands = append(b.report.Commands, line)
	}
}

// start restarts the server on the store that the publishing left, and reads
// the memory of the last start when it has settled.
func start(b *bench) error {
	var times []time.Duration
	for range b.starts {
		if err := b.server.Stop(); err != nil {
			return err
		}
		began := time.Now()
		server, err := harness.Start(b.ctx, b.config)
		if err != nil {
			return err
		}
		b.server = server
		if err := waitReady(b.ctx, server.URL); err != nil {
			return err
		}
		times = append(times, time.Since(began))
	}
	b.report.add(&figure{
		ID: "start.time", Unit: "s",
		What:    fmt.Sprintf("start to ready, store of %d versions, median of %d", b.npm.published, b.starts),
		Samples: []sample{{System: packhouse, Value: median(times).Seconds()}},
	}).goal("value", "<=", 0.3)

	sleep(b.ctx, b.settle)
	return b.addMemory("memory.start", "idle memory after start")
}

// quietFor is how long memory has to stay where it is to count as settled: a
// program that gives memory back does so some time after its last request.
const quietFor = 30 * time.Second

// quiet waits until the server's memory no longer moves and reads it.
func quiet(b *bench) error {
	began := time.Now()
	waited := began
	last, err := readMemory(b.server.PID)
	if err != nil {
		return err
	}
	for time.Since(began) < b.quiet && time.Since(waited) < quietFor && b.ctx.Err() == nil {
		sleep(b.ctx, time.Second)
		now, err := readMemory(b.server.PID)
		if err != nil {
			return err
		}
		if diff := now.rss - last.rss; diff < -256<<10 || diff > 256<<10 {
			last, waited = now, time.Now()
		}
	}
	return b.addMemory("memory.quiet", fmt.Sprintf("idle memory, %.0f s after the run", time.Since(began).Seconds()))
}

// addMemory adds the server's resident memory and the part of it that is its
// own, heap and stacks. The rest is mostly the program's text, which the kernel
// can drop and read again. Whether that counts as private and as clean depends
// on who else runs the program and on how long ago it was built, so those
// counts say less.
func (b *bench) addMemory(id, what string) error {
	m, err := readMemory(b.server.PID)
	if err != nil {
		return err
	}
	b.report.add(&figure{
		ID: id, Unit: "MiB", What: what + ", VmRSS",
		Samples: []sample{{System: packhouse, Value: mib(m.rss)}},
	}).goal("value", "<=", 40)
	b.report.add(&figure{
		ID: id + ".anonymous", Unit: "MiB", What: what + ", heap and stacks",
		Samples: []sample{{System: packhouse, Value: mib(m.anonymous)}},
	})
	return nil
}
