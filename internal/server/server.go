// Package server assembles the program: store, blobs, formats, API and pages behind one HTTP server.
package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/api"
	"packhouse/internal/blob"
	"packhouse/internal/database"
	"packhouse/internal/document"
	"packhouse/internal/format"
	"packhouse/internal/format/composer"
	"packhouse/internal/format/git"
	"packhouse/internal/format/npm"
	"packhouse/internal/format/nuget"
	"packhouse/internal/format/pypi"
	"packhouse/internal/gitrepo"
	"packhouse/internal/registry"
	"packhouse/internal/tracing"
	"packhouse/internal/web"
)

// Config is what the command line says.
type Config struct {
	Data            string         // folder
	Listen          string         // host:port; port 0 takes a free one
	URL             string         // public base URL; empty: as the request says
	Database        string         // SQLite file or postgres:// URL; empty: in Data
	Blobs           string         // folder or s3:// URL; empty: in Data
	BlobRedirect    bool           // clients download from the bucket itself
	GCGrace         time.Duration  // how long contents stay that are in no package any more
	Repositories    string         // folder of Git repositories; empty: in Data
	TrustedProxies  []netip.Prefix // whose X-Forwarded-For is believed
	TLSCert, TLSKey string         // files; both or none
	MaxFile         int64          // bytes of one package file
	MaxFiles        int64          // files of one package version
	MaxMetadata     int64          // bytes of everything else in one request
	MaxPush         int64          // bytes of a push to a Git repository
	MirrorInterval  time.Duration  // between two fetches of a repository that follows a remote one
	LocalMirrors    bool           // remotes may be on this machine and in private networks
	NPMUpstream     string         // URL to which names that nobody has may be forwarded; empty: none
	DocumentCache   int64          // bytes of compressed index documents to keep
	ShutdownTimeout time.Duration  // for requests in flight
	AuditRetention  time.Duration  // of audit events; 0: for ever
	DeletionDelay   time.Duration  // in which deleted groups and projects can be restored
	LogRequests     string         // "all", "errors" or "none"
	RootPassword    string         // of the first start; empty: generated
	RootToken       string         // of the first start; empty: generated
	Limits          Limits
	QueueLimit      int             // transactions that go on or wait; 0: any number
	Traces          *tracing.Traces // nil: none
	Version         string
	Revision        string
}

// Store opens the database that the configuration names.
func (c *Config) Store(ctx context.Context) (registry.Store, error) {
	location, err := c.Location()
	if err != nil {
		return nil, err
	}
	db, err := database.Open(ctx, location)
	if err != nil {
		return nil, err
	}
	db.QueueLimit = int64(c.QueueLimit)
	return db, nil
}

// Location is where the database is: a URL, or a file whose folder is made when missing.
func (c *Config) Location() (string, error) {
	location := c.Database
	if location == "" {
		location = filepath.Join(c.Data, "packhouse.db")
	}
	if strings.Contains(location, "://") {
		return location, nil
	}
	return location, os.MkdirAll(filepath.Dir(location), 0o700)
}

// BlobStore opens the store of the package files that the configuration names.
func (c *Config) BlobStore(ctx context.Context) (registry.BlobStore, error) {
	if !blob.IsURL(c.Blobs) {
		disk, err := blob.OpenDisk(cmp.Or(c.Blobs, filepath.Join(c.Data, "blobs")))
		if err != nil {
			return nil, err // and no interface that holds a nil
		}
		return disk, nil
	}
	bucket, err := blob.OpenS3(ctx, c.Blobs, filepath.Join(c.Data, "staging"))
	if err != nil {
		return nil, err
	}
	return bucket, nil
}

// Server is the running program.
type Server struct {
	config   Config
	base     *url.URL // nil: as the request says
	store    registry.Store
	blobs    registry.BlobStore
	reg      *registry.Registry
	git      *git.Handler
	gate     *access.Gate
	http     *http.Server
	metrics  *metrics
	limits   *limits
	web      *web.Handler
	mux      *http.ServeMux // of formats, pages and operations; what it does not have is the API's
	api      *http.ServeMux
	patterns []string // of all routes
	draining atomic.Bool
	answered atomic.Int64 // requests
}

// New opens the stores that the configuration names, and is Over them.
func New(ctx context.Context, config Config) (*Server, error) {
	store, err := config.Store(ctx)
	if err != nil {
		return nil, err
	}
	blobs, err := config.BlobStore(ctx)
	if err != nil {
		store.Close()
		return nil, err
	}
	return Over(ctx, config, store, blobs)
}

// Over makes the first user when there is none, and registers all routes. From then on the stores are the server's, which closes them; also
// when there is an error.
func Over(ctx context.Context, config Config, store registry.Store, blobs registry.BlobStore) (_ *Server, err error) {
	s := &Server{config: config, store: store, blobs: blobs, limits: newLimits(config.Limits), metrics: newMetrics(config.Version, config.Revision), mux: http.NewServeMux(), api: http.NewServeMux()}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if config.URL != "" {
		s.base, err = url.Parse(strings.TrimRight(config.URL, "/"))
		if err != nil || s.base.Host == "" || s.base.Scheme != "http" && s.base.Scheme != "https" || s.base.Path != "" || s.base.RawQuery != "" || s.base.User != nil {
			return nil, fmt.Errorf("--url %q is not an http or https URL without a path", config.URL)
		}
	}
	upstream, err := url.Parse(strings.TrimRight(config.NPMUpstream, "/"))
	if err != nil || config.NPMUpstream != "" && (upstream.Host == "" || upstream.Scheme != "http" && upstream.Scheme != "https" || upstream.RawQuery != "" || upstream.User != nil) {
		return nil, fmt.Errorf("--npm-upstream %q is not an http or https URL", config.NPMUpstream)
	}
	system := "sqlite"
	if strings.Contains(config.Database, "://") {
		system = "postgresql"
	}
	s.store, s.blobs = config.Traces.Store(s.store, system), config.Traces.Blobs(blob.KeepSmall(s.blobs, smallContents))
	if _, links := s.blobs.(registry.Linker); config.BlobRedirect && !links {
		return nil, errors.New("--blob-redirect: clients can be sent to a bucket only, not to a folder")
	}
	reg := &registry.Registry{Store: s.store, Blobs: s.blobs, Formats: []registry.Format{npm.Format, pypi.Format, nuget.Format, composer.Format}, MaxFile: config.MaxFile,
		MaxFiles: config.MaxFiles, MaxPush: config.MaxPush, DeletionDelay: config.DeletionDelay, Redirect: config.BlobRedirect}
	s.reg = reg
	if err := s.firstStart(ctx, reg); err != nil {
		return nil, err
	}
	s.gate = access.NewGate(s.store)
	finder := func(kind registry.Type) format.Finder {
		return format.Finder{Registry: reg, Gate: s.gate, Type: kind, Tells: kind == registry.NPM, BaseURL: s.BaseURL}
	}
	npmHandler := &npm.Handler{Finder: finder(registry.NPM), Documents: document.NewCache(config.DocumentCache),
		MaxFile: config.MaxFile, MaxMetadata: config.MaxMetadata, Upstream: upstream.String()}
	npmHandler.Routes(s.handle)
	pypiHandler := &pypi.Handler{Finder: finder(registry.PyPI), Documents: npmHandler.Documents,
		MaxFile: config.MaxFile, MaxMetadata: config.MaxMetadata}
	pypiHandler.Routes(s.handle)
	nugetHandler := &nuget.Handler{Finder: finder(registry.NuGet), Documents: npmHandler.Documents, MaxFile: config.MaxFile}
	nugetHandler.Routes(s.handle)
	repositories := config.Repositories
	if repositories == "" {
		repositories = filepath.Join(config.Data, "repositories")
	}
	repos, err := gitrepo.Open(repositories)
	if err != nil {
		return nil, err
	}
	composerHandler := &composer.Handler{Finder: finder(registry.Composer), Documents: npmHandler.Documents, Repos: repos, MaxFile: config.MaxFile}
	composerHandler.Routes(s.handle)
	s.git = &git.Handler{Finder: finder(registry.Composer), Repos: repos, MaxPush: config.MaxPush, MirrorInterval: config.MirrorInterval, LocalMirrors: config.LocalMirrors,
		Publish: func(ctx context.Context, project *registry.Project, by git.Publisher, changes []gitrepo.Change) error {
			return composerHandler.Pushed(ctx, project, by.UserID, by.PipelineID, changes)
		}}
	s.git.Routes(s.handle)
	change := func(ctx context.Context, project *registry.Project, user int64, asked gitrepo.Asked, change func() error) error {
		return s.git.Change(ctx, project, git.Publisher{UserID: user}, asked, change)
	}
	api.New(reg, s.gate, repos, change, s.BaseURL, config.Version, config.Revision).Routes(s.handleAPI)
	s.web = &web.Handler{Registry: reg, Gate: s.gate, API: s.api, BaseURL: s.BaseURL, Health: s.health, Version: strings.TrimSpace(config.Version + " " + config.Revision), Started: time.Now()}
	s.web.Routes(s.handle)
	s.operationRoutes()
	s.http = &http.Server{
		Handler:           config.Traces.Handler(s.handler(), func(r *http.Request) bool { return operations[r.URL.Path] }),
		ReadHeaderTimeout: 20 * time.Second,
		WriteTimeout:      answerPatience, // which large and late answers extend
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug), // clients' broken handshakes and the like
	}
	return s, nil
}

// smallContents is how many bytes of small package files are kept in memory.
const smallContents = 4 << 20

// handle registers a route.
func (s *Server) handle(pattern string, handler http.Handler) {
	s.patterns = append(s.patterns, pattern)
	s.mux.Handle(pattern, handler)
}

// handleAPI registers a route of the API. It has a mux of its own, since in one .../packages/{package_id}/pipelines and
// .../packages/npm/{rest...} would be in each other's way.
func (s *Server) handleAPI(pattern string, handler http.Handler) {
	s.patterns = append(s.patterns, pattern)
	s.api.Handle(pattern, handler)
}

// Patterns are those of all routes, for whoever checks that each has its tests.
func (s *Server) Patterns() []string { return s.patterns }

// Handler answers requests without a listener; what goes on in the background does not.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// firstStart creates root, and shows once what it generated: on the terminal, not in the log.
func (s *Server) firstStart(ctx context.Context, reg *registry.Registry) error {
	password, token, err := reg.FirstStart(ctx, s.config.RootPassword, s.config.RootToken)
	if err != nil {
		return fmt.Errorf("create the user root: %w", err)
	}
	if password != "" || token != "" {
		fmt.Println("First start: the administrator root was created. What follows is not shown again.")
		if password != "" {
			fmt.Println("  password: " + password)
		}
		if token != "" {
			fmt.Println("  token:    " + token)
		}
	}
	return nil
}

// BaseURL is the public URL of the server as a request sees it: that of the configuration, otherwise the request's
// own host, and the scheme that a proxy in front names.
func (s *Server) BaseURL(r *http.Request) string {
	if s.base != nil {
		return s.base.String()
	}
	scheme := "http"
	if forwarded := r.Header["X-Forwarded-Proto"]; r.TLS != nil || len(forwarded) > 0 && forwarded[0] == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// headroom is memory that nothing writes to, so that the system never has to find any for it. The garbage collector
// counts it as in use all the same, and runs when as much again was allocated as is in use: with a heap of some 5 MiB,
// which is all that most servers have, that would be fifty times a second under load, a sixth of the CPU. So a busy
// server may take so many bytes more, whatever the size of its heap; GOGC would multiply also a large one.
const headroom = 16 << 20

// Run serves until ctx ends, then lets the requests in flight finish.
func (s *Server) Run(ctx context.Context) error {
	unused := make([]byte, headroom)
	defer runtime.KeepAlive(unused)
	listener, err := net.Listen("tcp", s.config.Listen)
	if err != nil {
		return err
	}
	scheme := "http"
	if s.config.TLSCert != "" || s.config.TLSKey != "" {
		certificate, err := tls.LoadX509KeyPair(s.config.TLSCert, s.config.TLSKey)
		if err != nil {
			listener.Close()
			return fmt.Errorf("--tls-cert and --tls-key: %w", err)
		}
		s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		scheme = "https"
	}
	listener = tcpListener{listener}
	failed := make(chan error, 1)
	go func() {
		if scheme == "https" {
			failed <- s.http.ServeTLS(listener, "", "")
		} else {
			failed <- s.http.Serve(listener)
		}
	}()
	slog.Info("listening", "url", scheme+"://"+listener.Addr().String(), "version", s.config.Version)

	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var working sync.WaitGroup
	working.Go(func() { s.background(background) })
	working.Go(func() { s.cleanUp(background) })
	working.Go(func() { s.purge(background) })
	working.Go(func() {
		s.reg.KeepFillingNeeds(background, func(err error) { slog.Error("note what packages depend on", "err", err) })
	})
	working.Go(func() { s.git.Mirrors(background) })
	working.Go(func() { s.git.Upkeep(background) })
	working.Go(func() {
		s.reg.KeepCollecting(background, s.blobs, s.config.GCGrace,
			func(err error) { slog.Error("collect what no package needs", "err", err) },
			func(c registry.Collection) {
				slog.Info("collected what no package needs", "blobs", c.Removed, "bytes", c.Bytes)
			})
	})
	select {
	case err = <-failed:
	case <-ctx.Done():
		s.draining.Store(true)
		slog.Info("stopping", "timeout", s.config.ShutdownTimeout.String())
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.ShutdownTimeout)
		err = s.http.Shutdown(bounded)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			slog.Warn("requests in flight were cut off")
			err = s.http.Close()
		}
	}
	stop()
	working.Wait()
	s.git.Wait()
	return err
}

// flushInterval is how often what is counted in memory goes to the database.
const flushInterval = 10 * time.Second

// fewRequests in a flushInterval are those of balancers and the like.
const fewRequests = 100

// sweepInterval is how often what has ended is removed, and how long it is kept at least.
const sweepInterval = 6 * time.Hour

func (s *Server) background(ctx context.Context) {
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	var seen int64 // requests at the last tick
	released := false
	swept := time.Now()
	for {
		// When hardly anybody asks for anything, the memory that a busy time took goes back to the system.
		now := s.answered.Load()
		switch {
		case now-seen > fewRequests:
			released = false
		case !released:
			debug.FreeOSMemory()
			released = true
		}
		seen = now
		last := false
		select {
		case <-tick.C:
		case <-ctx.Done():
			last = true
		}
		if err := s.gate.FlushUsed(context.WithoutCancel(ctx)); err != nil {
			slog.Error("note the use of tokens", "err", err)
		}
		if err := s.reg.Downloads.Flush(context.WithoutCancel(ctx), s.store); err != nil {
			slog.Error("write how often files were downloaded", "err", err)
		}
		if s.config.AuditRetention > 0 {
			if err := s.reg.ForgetEvents(context.WithoutCancel(ctx), time.Now().Add(-s.config.AuditRetention)); err != nil {
				slog.Error("remove old audit events", "err", err)
			}
		}
		if err := s.reg.RemovePlaces(ctx); err != nil {
			slog.Error("remove deleted groups and projects", "err", err)
		}
		if now := time.Now(); now.Sub(swept) > sweepInterval {
			swept = now
			if err := s.store.Write(context.WithoutCancel(ctx), func(tx registry.Tx) error { return tx.DeleteExpiredJobs(now.Add(-sweepInterval)) }); err != nil {
				slog.Error("remove the tokens of jobs that ended", "err", err)
			}
			if err := s.reg.SweepDownloads(context.WithoutCancel(ctx), now.Add(-registry.KeepDownloads)); err != nil {
				slog.Error("remove old counts of downloads", "err", err)
			}
		}
		if last {
			return
		}
	}
}

// cleanUp runs the cleanup policies whose turn it is, one after another.
func (s *Server) cleanUp(ctx context.Context) {
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		ran, err := s.reg.CleanUp(ctx)
		if err != nil {
			slog.Error("run a cleanup policy", "err", err)
		} else if ran {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// purge removes what was deleted: at once what was deleted here, and now and then what is left from elsewhere.
func (s *Server) purge(ctx context.Context) {
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	purge := func(ctx context.Context) error {
		err := s.reg.Purge(ctx)
		if err != nil {
			slog.ErrorContext(ctx, "remove what is marked for destruction", "err", err)
		}
		return err
	}
	purge(ctx)
	for {
		select {
		case <-s.reg.Marked():
			ctx, end := registry.Trace(ctx, "job.Purge")
			end(purge(ctx))
		case <-tick.C:
			purge(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// Close releases the stores. Call it when Run has returned.
func (s *Server) Close() error {
	return errors.Join(s.blobs.Close(), s.store.Close())
}

// operationRoutes are for those who run the server.
func (s *Server) operationRoutes() {
	s.handle("GET /-/health", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("Packhouse OK"))
	}))
	s.handle("GET /-/liveness", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	}))
	s.handle("GET /-/readiness", http.HandlerFunc(s.readiness))
	s.handle("GET /metrics", http.HandlerFunc(s.serveMetrics))
	s.mux.Handle(everything, s.api)
	s.handleAPI(everything, http.HandlerFunc(s.noRoute))
}

// readiness tells a balancer whether to send requests here: not while the server stops, nor without its stores.
func (s *Server) readiness(w http.ResponseWriter, r *http.Request) {
	bounded, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	check := func(err error) []map[string]string {
		if err == nil {
			return []map[string]string{{"status": "ok"}}
		}
		slog.ErrorContext(r.Context(), "not ready", "err", err)
		return []map[string]string{{"status": "failed", "message": registry.MessageOf(err)}}
	}
	answer, status := map[string]any{"status": "ok"}, http.StatusOK
	for name, err := range s.health(bounded) {
		answer[name+"_check"] = check(err)
		if err != nil {
			answer["status"], status = "failed", http.StatusServiceUnavailable
		}
	}
	writeJSON(w, status, answer)
}

// health asks the parts of the server how they are.
func (s *Server) health(ctx context.Context) map[string]error {
	errs := map[string]error{"database": s.store.Ping(ctx), "blobs": s.blobs.Ping(ctx), "master": nil}
	if s.draining.Load() {
		errs["master"] = registry.Errorf(registry.Unavailable, "stopping")
	}
	return errs
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value) // an error is the client's hanging up
}
