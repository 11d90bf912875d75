// Command packhouse is a package registry server.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"packhouse/internal/registry"
	"packhouse/internal/server"
	"packhouse/internal/tracing"
)

// version is set by the linker.
var version = "dev"

// commands is the command line.
type commands struct {
	Serve   serveCommand   `cmd:"" help:"Run the server."`
	Admin   adminCommand   `cmd:"" help:"Manage the server on its own machine."`
	GC      gcCommand      `cmd:"" name:"gc" help:"Remove contents that are in no package any more."`
	Verify  verifyCommand  `cmd:"" help:"Check that every package file is there and right."`
	Backup  backupCommand  `cmd:"" help:"Add a snapshot to a backup."`
	Restore restoreCommand `cmd:"" help:"Fill an empty server from a backup."`
	Migrate migrateCommand `cmd:"" name:"migrate-store" help:"Move everything to another database and another store of package files."`
	Version versionCommand `cmd:"" help:"Print the version."`
	Help    helpCommand    `cmd:"" help:"Explain a command."`
}

// storage says where everything is.
type storage struct {
	Data     string `help:"Folder of everything that is kept (default: ${default})." default:"./data" env:"PACKHOUSE_DATA" type:"path" placeholder:"DIR"`
	Database string `help:"SQLite file (default: packhouse.db in the data folder) or postgres:// URL." env:"PACKHOUSE_DATABASE" placeholder:"URL"`
}

// stores says where everything is, the package files, too.
type stores struct {
	storage
	Blobs string `help:"Package files: a folder (default: blobs in the data folder) or s3://bucket/prefix?endpoint=URL&region=NAME, with credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY." env:"PACKHOUSE_BLOBS" placeholder:"URL"`
}

type serveCommand struct {
	stores
	Listen           string        `help:"Address to listen on (default: ${default})." default:"127.0.0.1:8080" env:"PACKHOUSE_LISTEN" placeholder:"HOST:PORT"`
	URL              string        `name:"url" help:"Public base URL. Without it, URLs follow the request's host." env:"PACKHOUSE_URL" placeholder:"URL"`
	BlobRedirect     bool          `help:"Let clients that follow redirects download package files from the bucket itself." env:"PACKHOUSE_BLOB_REDIRECT"`
	GCGrace          time.Duration `name:"gc-grace" help:"How long contents are kept that are in no package any more (default: ${default})." default:"1h" env:"PACKHOUSE_GC_GRACE" placeholder:"DURATION"`
	Repositories     string        `help:"Folder of the Git repositories (default: repositories in the data folder)." env:"PACKHOUSE_REPOSITORIES" placeholder:"DIR"`
	TrustedProxy     []string      `help:"Address or network of a proxy whose X-Forwarded-For is believed; may be repeated." env:"PACKHOUSE_TRUSTED_PROXY" placeholder:"CIDR"`
	TLSCert          string        `name:"tls-cert" help:"Certificate chain, PEM. Serves HTTPS together with --tls-key." env:"PACKHOUSE_TLS_CERT" placeholder:"FILE"`
	TLSKey           string        `name:"tls-key" help:"Private key of the certificate, PEM." env:"PACKHOUSE_TLS_KEY" placeholder:"FILE"`
	MaxFileSize      bytes         `help:"Largest package file (default: ${default})." default:"5GiB" env:"PACKHOUSE_MAX_FILE_SIZE" placeholder:"SIZE"`
	MaxMetadataSize  bytes         `help:"Most of everything else in one request (default: ${default})." default:"64MiB" env:"PACKHOUSE_MAX_METADATA_SIZE" placeholder:"SIZE"`
	MaxPushSize      bytes         `help:"Most that one push to a Git repository brings, or one fetch from a remote (default: ${default})." default:"2GiB" env:"PACKHOUSE_MAX_PUSH_SIZE" placeholder:"SIZE"`
	MirrorInterval   time.Duration `help:"How often a repository is fetched that follows a remote one (default: ${default})." default:"30m" env:"PACKHOUSE_MIRROR_INTERVAL" placeholder:"DURATION"`
	LocalMirrors     bool          `help:"Let such remotes be on this machine and in private networks." env:"PACKHOUSE_LOCAL_MIRRORS"`
	MaxFiles         int64         `help:"Most files of one package version (default: ${default})." default:"10000" env:"PACKHOUSE_MAX_FILES" placeholder:"N"`
	NPMUpstream      string        `name:"npm-upstream" help:"npm registry to which names that nobody has here are redirected, where a project's or group's settings say so. Without it, none." env:"PACKHOUSE_NPM_UPSTREAM" placeholder:"URL"`
	DocumentCache    bytes         `help:"Memory for rendered index documents (default: ${default})." default:"64MiB" env:"PACKHOUSE_DOCUMENT_CACHE" placeholder:"SIZE"`
	ShutdownTimeout  time.Duration `help:"How long requests in flight may take to finish when the server is told to stop (default: ${default})." default:"5m" env:"PACKHOUSE_SHUTDOWN_TIMEOUT" placeholder:"DURATION"`
	AuditRetention   time.Duration `help:"How long audit events are kept; 0 is for ever (default: ${default})." default:"8760h" env:"PACKHOUSE_AUDIT_RETENTION" placeholder:"DURATION"`
	DeletionDelay    time.Duration `help:"How long a deleted group or project can be restored (default: ${default}); 0 removes it at once." default:"168h" env:"PACKHOUSE_DELETION_DELAY" placeholder:"DURATION"`
	RateLimit        float64       `help:"Requests a second of one credential, and of one address; over it: 429 (default: no limit)." env:"PACKHOUSE_RATE_LIMIT" placeholder:"N"`
	RateBurst        int           `help:"Requests that may come at once before --rate-limit counts (default: ${default})." default:"300" env:"PACKHOUSE_RATE_BURST" placeholder:"N"`
	MaxUploads       int           `help:"Uploads that go on at once; over it: 503 (default: ${default})." default:"4096" env:"PACKHOUSE_MAX_UPLOADS" placeholder:"N"`
	MaxClientUploads int           `help:"Uploads of one credential, and of one address, that go on at once; over it: 429 (default: ${default})." default:"512" env:"PACKHOUSE_MAX_CLIENT_UPLOADS" placeholder:"N"`
	UploadTimeout    time.Duration `help:"How long one upload may take (default: ${default}); 0 is any time." default:"6h" env:"PACKHOUSE_UPLOAD_TIMEOUT" placeholder:"DURATION"`
	QueueLimit       int           `help:"Transactions that go on or wait for the database; over it: 503 (default: ${default}); 0 is any number." default:"4096" env:"PACKHOUSE_QUEUE_LIMIT" placeholder:"N"`
	LogFormat        string        `help:"Form of the log: ${enum} (default: ${default})." enum:"text,json" default:"text" env:"PACKHOUSE_LOG_FORMAT"`
	LogLevel         string        `help:"Least level that is logged: ${enum} (default: ${default})." enum:"debug,info,warn,error" default:"info" env:"PACKHOUSE_LOG_LEVEL"`
	LogRequests      string        `help:"Which requests are logged: ${enum} (default: ${default})." enum:"all,errors,none" default:"all" env:"PACKHOUSE_LOG_REQUESTS"`
}

// Help is shown by serve --help.
func (*serveCommand) Help() string {
	return `The first start creates the administrator root, with the password PACKHOUSE_ROOT_PASSWORD and the token
PACKHOUSE_ROOT_TOKEN of the environment. What is not set is generated and printed once.`
}

func (c *serveCommand) Run(ctx context.Context) error {
	logger, err := server.NewLogger(os.Stderr, c.LogFormat, c.LogLevel)
	if err != nil {
		return err
	}
	slog.SetDefault(logger)
	traces, err := tracing.Start(ctx, version)
	if err != nil {
		return err
	}
	defer traces.Stop()
	slog.SetDefault(traces.Logger(logger))
	if c.MaxFiles < 1 {
		return fmt.Errorf("--max-files %d: a package version has at least one", c.MaxFiles)
	}
	if c.AuditRetention < 0 {
		return fmt.Errorf("--audit-retention %s is in the past", c.AuditRetention)
	}
	if c.MirrorInterval < time.Second {
		return fmt.Errorf("--mirror-interval %s: a second is the least", c.MirrorInterval)
	}
	if c.DeletionDelay < 0 {
		return fmt.Errorf("--deletion-delay %s: nothing can be removed before it was deleted", c.DeletionDelay)
	}
	if c.GCGrace < 0 {
		return fmt.Errorf("--gc-grace %s: nothing can be removed before it was deleted", c.GCGrace)
	}
	if c.RateLimit < 0 || c.RateBurst < 1 || c.MaxUploads < 1 || c.MaxClientUploads < 1 || c.UploadTimeout < 0 || c.QueueLimit < 0 {
		return errors.New("a limit is negative, or would let nothing in")
	}
	var proxies []netip.Prefix
	for _, text := range c.TrustedProxy {
		if address, err := netip.ParseAddr(text); err == nil {
			text = netip.PrefixFrom(address, address.BitLen()).String()
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("--trusted-proxy %q is not an address or a network", text)
		}
		proxies = append(proxies, network)
	}
	s, err := server.New(ctx, server.Config{
		Data: c.Data, Database: c.Database, Listen: c.Listen, URL: c.URL, Blobs: c.Blobs, BlobRedirect: c.BlobRedirect, GCGrace: c.GCGrace, Repositories: c.Repositories,
		TLSCert: c.TLSCert, TLSKey: c.TLSKey, TrustedProxies: proxies, MaxPush: int64(c.MaxPushSize), MirrorInterval: c.MirrorInterval, LocalMirrors: c.LocalMirrors,
		MaxFile: int64(c.MaxFileSize), MaxMetadata: int64(c.MaxMetadataSize), MaxFiles: c.MaxFiles, NPMUpstream: c.NPMUpstream, DocumentCache: int64(c.DocumentCache),
		ShutdownTimeout: c.ShutdownTimeout, AuditRetention: c.AuditRetention, DeletionDelay: c.DeletionDelay, LogRequests: c.LogRequests,
		Limits:     server.Limits{Rate: c.RateLimit, Burst: c.RateBurst, Uploads: c.MaxUploads, UploadsPerClient: c.MaxClientUploads, UploadTime: c.UploadTimeout},
		QueueLimit: c.QueueLimit, Traces: traces,
		RootPassword: os.Getenv("PACKHOUSE_ROOT_PASSWORD"), RootToken: os.Getenv("PACKHOUSE_ROOT_TOKEN"),
		Version: version, Revision: revision(),
	})
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Run(ctx)
}

// open opens the database of a server, which must have been there.
func (s *storage) open(ctx context.Context) (registry.Store, error) {
	if s.Database == "" {
		if _, err := os.Stat(filepath.Join(s.Data, "packhouse.db")); err != nil {
			return nil, fmt.Errorf("no server has kept its data in %s; name the folder with --data", s.Data)
		}
	}
	return (&server.Config{Data: s.Data, Database: s.Database}).Store(ctx)
}

type adminCommand struct {
	Token tokenCommand `cmd:"" help:"Make a personal access token and print it."`
}

type tokenCommand struct {
	storage
	User    string        `arg:"" optional:"" default:"root" help:"Username."`
	Name    string        `help:"Name of the token (default: ${default})." default:"made on the server" placeholder:"NAME"`
	Scopes  []string      `help:"What the token may do, such as api or read_api (default: ${default})." default:"api" placeholder:"SCOPE"`
	Expires time.Duration `help:"How long it is valid (default: ${default})." default:"8760h" placeholder:"DURATION"`
}

func (c *tokenCommand) Run(ctx context.Context) error {
	known := []string{registry.ScopeAPI, registry.ScopeReadAPI, registry.ScopeReadUser, registry.ScopeReadPackage, registry.ScopeWritePackage,
		registry.ScopeReadRepository, registry.ScopeWriteRepository}
	if slices.ContainsFunc(c.Scopes, func(scope string) bool { return !slices.Contains(known, scope) }) {
		return fmt.Errorf("--scopes: choose from %s", strings.Join(known, ", "))
	}
	if c.Expires <= 0 {
		return fmt.Errorf("--expires %s: the token would never be valid", c.Expires)
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	var user *registry.User
	err = store.Read(ctx, func(tx registry.Tx) (err error) {
		user, err = tx.UserByUsername(c.User)
		return err
	})
	if registry.KindOf(err) == registry.NotFound {
		return fmt.Errorf("there is no user %q", c.User)
	}
	if err != nil {
		return err
	}
	ctx = registry.WithActor(ctx, &registry.Actor{Name: "(command line)"})
	text, err := (&registry.Registry{Store: store}).IssueToken(ctx, &registry.Token{Kind: registry.PersonalToken, Name: c.Name,
		UserID: user.ID, Scopes: c.Scopes, ExpiresAt: time.Now().Add(c.Expires)})
	if err != nil {
		return err
	}
	fmt.Println(text)
	return nil
}

type versionCommand struct{}

func (*versionCommand) Run() error {
	fmt.Println(strings.TrimSpace("packhouse " + version + " " + revision()))
	return nil
}

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command."`
}

func (c *helpCommand) Run(parser *kong.Kong) error {
	_, err := parser.Parse(append(c.Command, "--help"))
	return err
}

// revision is the commit that the binary was built from, when the build knows it.
func revision() string {
	info, _ := debug.ReadBuildInfo()
	if info != nil {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				return setting.Value[:min(12, len(setting.Value))]
			}
		}
	}
	return ""
}

func main() {
	// The first signal lets transfers finish; the second one, with nobody catching it any more, ends the program.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	parser := kong.Must(&commands{}, kong.Name("packhouse"),
		kong.Description("A package registry: npm and more, on one machine or many."),
		kong.ShortUsageOnError(), kong.BindTo(ctx, (*context.Context)(nil)))
	parser.Model.HelpFlag.Help = "Explain the command."
	args := os.Args[1:]
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	parser.FatalIfErrorf(err)
	parser.FatalIfErrorf(command.Run(parser))
}
