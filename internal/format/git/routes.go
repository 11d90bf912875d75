package git

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/format"
	"packhouse/internal/gitrepo"
	"packhouse/internal/registry"
)

// Handler serves the protocol.
type Handler struct {
	format.Finder
	Repos          *gitrepo.Repos
	MaxPush        int64         // bytes of a push, and of what one fetch of a mirror brings
	MirrorInterval time.Duration // between two fetches of a mirror
	LocalMirrors   bool          // mirrors may be on this machine and in private networks
	// Publish is told of the branches and tags that came or moved, and who did that. An error is that of an attempt that is to be made again.
	Publish func(ctx context.Context, project *registry.Project, by Publisher, changes []gitrepo.Change) error

	working sync.WaitGroup // publishing that goes on
}

// Publisher is on whose behalf packages are published.
type Publisher struct {
	UserID     int64 // 0: nobody's
	PipelineID int64 // 0: none
}

// Routes hands the patterns to handle.
func (h *Handler) Routes(handle func(pattern string, handler http.Handler)) {
	route := func(pattern, rest string) {
		handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := h.serve(w, r, r.PathValue("repository"), rest); err != nil {
				writeError(w, r, err)
			}
		}))
	}
	route("GET /{repository}/info/refs", "info/refs")
	route("POST /{repository}/git-upload-pack", gitrepo.UploadPack)
	route("POST /{repository}/git-receive-pack", gitrepo.ReceivePack)
}

// Escape makes the path of a repository one segment, which its slashes are not for [http.ServeMux]. It returns false for
// requests that are none of Git's: a project may be called info/refs.
func Escape(r *http.Request) (escaped string, ok bool) {
	path := r.URL.EscapedPath()
	if strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/-/") {
		return "", false
	}
	endings := []string{"/info/refs"}
	if r.Method == http.MethodPost {
		endings = []string{"/" + gitrepo.UploadPack, "/" + gitrepo.ReceivePack}
	}
	for _, rest := range endings {
		repository, ok := strings.CutSuffix(path, rest)
		if ok && len(repository) > 1 && (r.Method == http.MethodPost || strings.HasSuffix(repository, ".git") || strings.Contains(r.URL.RawQuery, "service=")) {
			return "/" + strings.ReplaceAll(repository[1:], "/", "%2F") + rest, true
		}
	}
	return "", false
}

var errNoRepository = registry.Errorf(registry.NotFound, "404 Not Found - there is no such repository, or it is not to be known")

// serve answers one request. repository is the path with its ending.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, repository, rest string) error {
	service := rest
	if rest == "info/refs" {
		service = r.URL.Query().Get("service")
	}
	action := access.Fetch
	switch service {
	case gitrepo.UploadPack:
	case gitrepo.ReceivePack:
		action = access.Push
	default:
		return registry.Errorf(registry.Forbidden, "403 Forbidden - only Git's smart HTTP protocol is spoken here")
	}
	c, err := h.Caller(r)
	if err != nil {
		return err
	}
	path, hasEnding := strings.CutSuffix(repository, ".git")
	project, err := c.View.Project(path)
	if registry.KindOf(err) == registry.NotFound {
		if c.Anonymous() { // who has not said who they are is asked, as for what is hidden
			return registry.Errorf(registry.Unauthenticated, "401 Unauthorized")
		}
		return errNoRepository
	}
	if err == nil {
		err = c.View.Authorize(c.Caller, project, action)
	}
	if registry.KindOf(err) == registry.NotFound {
		return errNoRepository
	}
	if err != nil {
		return err
	}
	if !hasEnding || !strings.EqualFold(path, project.FullPath) {
		if rest != "info/refs" {
			return errNoRepository // Git asks for the refs first, and goes on where it was led
		}
		w.Header().Set("Cache-Control", "no-store") // somebody else may take the path
		http.Redirect(w, r, h.BaseURL(r)+"/"+project.FullPath+".git/info/refs?service="+url.QueryEscape(service), http.StatusMovedPermanently)
		return nil
	}
	policy, err := c.View.Policy(0, project.ID)
	if err != nil {
		return err
	}
	user := "anonymous"
	if c.User != nil {
		user = c.User.Username
	} else if c.Token != nil {
		user = c.Token.Login()
	}
	serve := func() error { return h.Repos.Serve(w, r, project.ID, rest, user, policy.MaxPush(h.MaxPush)) }
	if action != access.Push {
		return serve()
	}
	if url, err := h.follows(r.Context(), project.ID); err != nil || url != "" {
		if err == nil {
			err = registry.Errorf(registry.Forbidden, "403 Forbidden - this repository follows %s; push there", url)
		}
		return err
	}
	if rest == "info/refs" {
		return serve()
	}
	asked, err := gitrepo.ReadPush(r)
	if err != nil {
		return err
	}
	return h.Change(r.Context(), project, Publisher{c.UserID(), c.PipelineID()}, asked, serve)
}

// follows is the URL of the remote that a project's repository follows, or "".
func (h *Handler) follows(ctx context.Context, project int64) (url string, err error) {
	err = h.Registry.Store.Read(ctx, func(tx registry.Tx) error {
		m, err := tx.Mirror(project)
		if err == nil && m.Enabled {
			url = m.URL
		}
		if registry.KindOf(err) == registry.NotFound {
			return nil
		}
		return err
	})
	return url, err
}

// publishPatience is how long a push waits for what follows it. What takes longer goes on by itself.
const publishPatience = 30 * time.Second

// deed is what a note of a change says besides.
type deed struct {
	By    Publisher
	Actor *registry.Actor
}

// Change lets change move the branches and tags of a project's repository that are asked for, nil: any, and does what follows, also when it returns
// an error: it may have moved some. What others do meanwhile is their deed. It returns when that is done, or takes too long. Of a process that ends before, Upkeep does it later; so it is done once at least.
func (h *Handler) Change(ctx context.Context, project *registry.Project, by Publisher, asked gitrepo.Asked, change func() error) (err error) {
	text, err := json.Marshal(deed{by, registry.ActorOf(ctx)})
	if err != nil {
		return err
	}
	note, err := h.Repos.Note(ctx, project.ID, asked, text)
	if err != nil {
		return err
	}
	defer func() {
		if kind := registry.KindOf(err); kind == registry.Conflict || kind == registry.NotFound { // who made it, or removed it, has done so
			note.Asked = gitrepo.Asked{}
		}
		h.changed(context.WithoutCancel(ctx), project, by, note)
	}()
	return change()
}

// changed does what follows a change of a repository.
func (h *Handler) changed(ctx context.Context, project *registry.Project, by Publisher, note *gitrepo.Note) {
	end := func(err error) {
		if err == nil {
			err = note.Done()
		} else {
			note.Leave()
		}
		if err != nil {
			slog.ErrorContext(ctx, "look at a repository that has changed", "project", project.ID, "err", err)
		}
	}
	now, err := h.Repos.State(ctx, project.ID)
	if err == nil {
		err = h.Repos.FindHead(ctx, project.ID, now)
	}
	before, now := note.Changed(now)
	if err == nil {
		err = h.record(ctx, project, now, before)
	}
	changes := now.Changes(before)
	if err != nil || len(changes) == 0 {
		end(err)
		return
	}
	done := make(chan struct{})
	h.working.Go(func() {
		defer close(done)
		end(h.Publish(ctx, project, by, changes))
	})
	select {
	case <-done:
	case <-time.After(publishPatience):
	}
}

// record notes in the audit log what has changed.
func (h *Handler) record(ctx context.Context, project *registry.Project, now, before gitrepo.State) error {
	lines := say(now, before)
	if len(lines) == 0 {
		return nil
	}
	h.Repos.Grown(project.ID)
	return h.Registry.Store.Write(ctx, func(tx registry.Tx) error {
		return tx.Record(&registry.Event{Name: registry.RepositoryChanged, ProjectID: project.ID, Target: "repository", Detail: strings.Join(lines, ", ")})
	})
}

// resume does what follows changes of which the process is gone.
func (h *Handler) resume(ctx context.Context) error {
	return h.Repos.Noted(func(note *gitrepo.Note) error {
		var left deed
		err := json.Unmarshal(note.By, &left)
		var project *registry.Project
		if err == nil && ctx.Err() == nil {
			var view *access.View
			if view, err = h.Gate.Now(ctx); err == nil {
				project, err = view.ProjectByID(note.Project)
			}
		}
		switch {
		case registry.KindOf(err) == registry.NotFound: // with its repository
			return note.Done()
		case err != nil || ctx.Err() != nil:
			note.Leave()
			return cmp.Or(err, ctx.Err())
		}
		h.changed(context.WithoutCancel(registry.WithActor(ctx, left.Actor)), project, left.By, note)
		return nil
	})
}

// Wait returns when all that was to be published after pushes is.
func (h *Handler) Wait() { h.working.Wait() }

// maxSaid is how many refs the audit log names of one push.
const maxSaid = 20

// say names the branches and tags that came, moved or went, for people.
func say(now, before gitrepo.State) (lines []string) {
	more := 0
	add := func(ref, what string) {
		if len(lines) == maxSaid {
			more++
			return
		}
		name := strings.NewReplacer("refs/heads/", "branch ", "refs/tags/", "tag ").Replace(ref)
		lines = append(lines, what+" "+strings.ToValidUTF8(name, "?"))
	}
	for _, change := range now.Changes(before) {
		ref := string(change.Kind) + change.Name
		if before[ref] == "" {
			add(ref, "created")
		} else {
			add(ref, "moved")
		}
	}
	for ref := range before {
		if now[ref] == "" {
			add(ref, "removed")
		}
	}
	if more > 0 {
		lines = append(lines, "and more")
	}
	return lines
}

// statuses of the kinds of error.
var statuses = map[registry.Kind]int{
	registry.Fault: http.StatusInternalServerError, registry.Invalid: http.StatusBadRequest, registry.Unauthenticated: http.StatusUnauthorized,
	registry.Forbidden: http.StatusForbidden, registry.NotFound: http.StatusNotFound, registry.Conflict: http.StatusConflict,
	registry.TooLarge: http.StatusRequestEntityTooLarge, registry.Limited: http.StatusTooManyRequests, registry.Full: http.StatusInsufficientStorage,
	registry.Unavailable: http.StatusServiceUnavailable,
}

// writeError answers in plain text, which git shows.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, text := statuses[registry.KindOf(err)], registry.MessageOf(err)
	var token *access.TokenError
	switch {
	case errors.As(err, &token):
		text = token.Description
	case status == http.StatusInternalServerError:
		slog.ErrorContext(r.Context(), "git", "method", r.Method, "err", err)
		text = "500 Internal Server Error"
	case text == "":
		text = http.StatusText(status)
	}
	switch status {
	case http.StatusUnauthorized: // without the challenge git sends no password
		w.Header().Set("WWW-Authenticate", `Basic realm="Packhouse"`)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "5")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	w.Write([]byte(text + "\n"))
}
