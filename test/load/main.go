// Command load is the benchmark: it builds Packhouse, starts it on an empty
// store, does the work of real clients on it, and prints each figure beside
// what it was measured against in the same run on the same machine: the limit,
// which is nginx with the same bytes as static files or the disk with nothing
// in between, and peers, which are servers that do the same work.
//
//	go run ./test/load [--quick] [--only REGEXP] [--json FILE]
//	go run ./test/load --from FILE [--docs FILE]
//
// A goal that is missed is printed as missed and changes nothing else; the exit
// status is 1 when an answer was wrong or the run could not be made. What each
// row means stands in docs/performance.md.
//
// A step (steps) measures one thing and adds its figures to the report. Another
// package format is another file with steps of its own; another server is one
// more sample in a figure (peers.go).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
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
	readVersions  int           // of the packument, the page and the registration that are read again and again
	grownVersions int           // of the package that is published version by version
	freshVersions []int         // of the packuments that are read right after a publish; the last is the package that grew
	publishers    int           // clients that publish at the same time
	each          int           // versions that each of them publishes
	large         int64         // bytes of the large package of each format
	largeFile     int64         // bytes of the large file that is read, and of what peers take of npm's
	listPackages  int           // of the store whose lists are read
	listVersions  int           // of each name there
	listRequests  int           // of each kind of page, at least
	rounds        int           // of each system in a comparison; they alternate
	duration      time.Duration // of one round
	connections   int           // of the load generator
	starts        int
	settle        time.Duration // between a start and the reading of idle memory
	quiet         time.Duration // longest wait for memory to settle after the run
	wrk           bool          // read with wrk; otherwise with the loop in reads.go
	peers         bool          // run them, where they are installed
	only          *regexp.Regexp
	json          string
}

func full() options {
	return options{
		readVersions: 500, grownVersions: 5000, freshVersions: []int{500, 5000}, publishers: 8, each: 250, large: 1 << 30, largeFile: 100 << 20,
		listPackages: 100_000, listVersions: 10, listRequests: 200,
		rounds: 3, duration: 3 * time.Second, connections: 16,
		starts: 10, settle: 2 * time.Second, quiet: 90 * time.Second, wrk: true, peers: true,
	}
}

func quick() options {
	o := full()
	o.readVersions, o.grownVersions, o.freshVersions, o.each, o.large, o.largeFile = 100, 300, []int{100, 300}, 40, 64<<20, 16<<20
	o.listPackages, o.listRequests = 10_000, 50
	o.rounds, o.duration, o.starts, o.quiet = 1, time.Second, 3, 5*time.Second
	return o
}

func main() {
	isQuick := flag.Bool("quick", false, "less of everything, about two minutes: to see that it works, not to quote")
	only := flag.String("only", "", "run only the steps whose name matches this `regexp`")
	json := flag.String("json", "", "write the report as JSON to this `file` too")
	from := flag.String("from", "", "measure nothing: print the report of this JSON `file`, as Markdown")
	docs := flag.String("docs", "", "with -from, put it into this Markdown `file` instead, in place of the one that it has")
	duration := flag.Duration("duration", 0, "of one round of reading, instead of the default")
	versions := flag.Int("list-versions", 0, "of each name in the full store, instead of the default")
	rounds := flag.Int("rounds", 0, "of each system in a comparison, instead of the default")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: go run ./test/load [flags]\nsteps: "+strings.Join(stepNames(), ", "))
		flag.PrintDefaults()
	}
	flag.Parse()
	if *from != "" {
		if err := show(*from, *docs); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
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

// show prints a report that was written before.
func show(from, docs string) error {
	r, err := readReport(from)
	if err != nil {
		return err
	}
	if docs != "" {
		return r.intoDocs(docs)
	}
	r.markdown(os.Stdout)
	return nil
}

// bench is one run.
type bench struct {
	options
	ctx     context.Context
	log     io.Writer // progress, for a person who waits
	dir     string    // of this run: data, www
	report  *report
	ends    []func() // what has to be done at the end of the run, last first
	secrets []string // as strings.NewReplacer takes them

	config  harness.Config
	server  *harness.Server
	project int64
	token   string // of a member of the project, not of an administrator
	nginx   *nginx // nil when the machine has none
	npm     npmRegistry

	verdaccioOnce             once[npmRegistry]
	devpiOnce, pypiserverOnce once[pypiIndex]
	running                   []*peerServer

	stores []*listStore // full ones
	spread bool         // over many projects
}

type step struct {
	name, section string
	run           func(*bench) error
}

// steps in the order of the run. Publishing comes first so that the later ones
// find a store with something in it; the large files follow the restarts
// because their memory is counted from that of an idle process.
var steps = []step{
	{"npm-publish", "Publishing", npmPublish},
	{"npm-growth", "Publishing", npmGrowth},
	{"npm-publish-parallel", "Publishing", npmPublishParallel},
	{"start", "Start and memory", start},
	{"npm-large", "Large files", npmLarge},
	{"pypi-large", "Large files", pypiLarge},
	{"nuget-large", "Large files", nugetLarge},
	{"composer-large", "Large files", composerLarge},
	{"npm-packument", "Documents", npmPackument},
	{"pypi-page", "Documents", pypiPage},
	{"nuget-indexes", "Documents", nugetIndexes},
	{"composer-p2", "Documents", composerP2},
	{"npm-fresh", "Just after a publish", npmFresh},
	{"files", "Files", files},
	{"pypi-install", "An install", pypiInstall},
	{"quiet", "Start and memory", quiet},
	{"nodes", "Several nodes", nodes},
	{"store-start", "A full store", storeStart},
	{"search", "A full store", searchOfProject},
	{"lists", "A full store", listsOfProject},
	{"pages", "A full store", pagesOfProject},
	{"search-group", "A full store", searchOfGroup},
	{"lists-group", "A full store", listsOfGroup},
	{"pages-group", "A full store", pagesOfGroup},
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
	defer func() {
		for _, end := range slices.Backward(b.ends) {
			end()
		}
	}()

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
	others := watchOthers()

	var failed error
	for _, s := range steps {
		if o.only != nil && !o.only.MatchString(s.name) {
			continue
		}
		began := time.Now()
		b.report.section = s.section
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
	if b.project, b.token, err = makeProject(b.server); err != nil {
		return err
	}
	b.npm = npmRegistry{
		bench: b, system: packhouse, pid: func() int { return b.server.PID }, packages: map[string][]npmExpected{},
		base:   func() string { return fmt.Sprintf("%s/api/v4/projects/%d/packages/npm", b.server.URL, b.project) },
		header: http.Header{"Authorization": {"Bearer " + b.token}},
	}
	b.command(commandLine(b.server.PID))
	if b.nginx != nil {
		b.command(shellQuote(append([]string{"nginx"}, b.nginx.cmd.Args[1:]...)))
	}
	return nil
}

// makeProject makes a private project with one member, and a token of his.
func makeProject(server *harness.Server) (project int64, token string, err error) {
	group, err := server.CreateGroup("bench", harness.Private, 0)
	if err != nil {
		return 0, "", err
	}
	made, err := server.CreateProject("bench", group.ID, harness.Private)
	if err != nil {
		return 0, "", err
	}
	user, err := server.CreateUser("bencher")
	if err != nil {
		return 0, "", err
	}
	if err := server.AddMember(made.ID, user.ID, harness.Maintainer); err != nil {
		return 0, "", err
	}
	personal, err := server.CreatePersonalToken(user.ID, "api")
	return made.ID, personal.Token, err
}

// command notes a command line for the report, without the secrets and the
// folder of this run.
func (b *bench) command(line string) {
	_, basic, _ := strings.Cut(b.basicHeader().Get("Authorization"), " ")
	line = strings.NewReplacer(append([]string{b.token, "$TOKEN", basic, "$BASIC", b.dir, "$DIR"}, b.secrets...)...).Replace(line)
	if !slices.Contains(b.report.Commands, line) {
		b.report.Commands = append(b.report.Commands, line)
	}
}
