package git

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"packhouse/internal/gitrepo"
	"packhouse/internal/registry"
)

// maxFailure is the length in bytes of what is kept of a fetch that failed.
const maxFailure = 1000

// FetchMirror fetches the mirror whose turn it is. ran is false when there is none.
func (h *Handler) FetchMirror(ctx context.Context) (ran bool, err error) {
	var m *registry.Mirror
	err = h.Registry.Store.Write(ctx, func(tx registry.Tx) (err error) {
		m, err = tx.ClaimMirror(time.Now(), gitrepo.FetchTime+5*time.Minute)
		return err
	})
	if registry.KindOf(err) == registry.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	failure := h.fetch(ctx, m)
	said := ""
	switch kind := registry.KindOf(failure); {
	case failure == nil:
	case ctx.Err() != nil:
		said = "the server stopped"
	case kind == registry.Fault:
		slog.ErrorContext(ctx, "fetch a mirror", "project", m.ProjectID, "err", failure)
		said = "500 Internal Server Error"
	default:
		said = registry.MessageOf(failure)
	}
	if said = strings.ToValidUTF8(said, ""); len(said) > maxFailure {
		said = strings.ToValidUTF8(said[:maxFailure], "")
	}
	err = h.Registry.Store.Write(context.WithoutCancel(ctx), func(tx registry.Tx) error {
		next := time.Now().Add(h.MirrorInterval)
		if ctx.Err() != nil {
			next = time.Now() // for the next node, or the next start
		}
		return tx.EndMirror(m, said, next)
	})
	if registry.KindOf(err) == registry.NotFound { // the project was removed meanwhile
		err = nil
	}
	return true, err
}

func (h *Handler) fetch(ctx context.Context, m *registry.Mirror) (err error) {
	ctx, end := registry.TraceProject(ctx, "job.Mirror", m.ProjectID)
	defer func() { end(err) }()
	view, err := h.Gate.Now(ctx)
	if err != nil {
		return err
	}
	project, err := view.ProjectByID(m.ProjectID)
	if err != nil {
		return err
	}
	policy, err := view.Policy(0, project.ID)
	if err != nil {
		return err
	}
	before, err := h.Repos.State(ctx, project.ID)
	if err != nil {
		return err
	}
	remote := gitrepo.Remote{URL: m.URL, User: m.User, Password: m.Password, Local: h.LocalMirrors, MaxSize: policy.MaxPush(h.MaxPush)}
	if err := h.Repos.Fetch(ctx, project.ID, remote); err != nil {
		return err
	}
	h.Changed(context.WithoutCancel(ctx), project, Publisher{UserID: m.UserID}, before)
	return nil
}

// Mirrors fetches mirrors until ctx ends: at once what is asked for, and the others when it is their turn.
func (h *Handler) Mirrors(ctx context.Context) {
	tick := time.NewTicker(min(h.MirrorInterval, 10*time.Second))
	defer tick.Stop()
	for ctx.Err() == nil {
		ran, err := h.FetchMirror(ctx)
		if err != nil {
			slog.Error("fetch mirrors", "err", err)
		} else if ran {
			continue
		}
		select {
		case <-h.Registry.Mirrors():
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// Upkeep packs the repositories that have grown, and removes those of projects that are gone, until ctx ends.
func (h *Handler) Upkeep(ctx context.Context) {
	tick := time.NewTicker(10 * time.Minute) // what other nodes have removed
	defer tick.Stop()
	for {
		if err := errors.Join(h.sweep(ctx), h.Repos.Sweep()); err != nil && ctx.Err() == nil {
			slog.Error("remove the repositories of projects that are gone", "err", err)
		}
		for again := false; !again; {
			select {
			case project := <-h.Repos.Grows():
				if err := h.Repos.Tidy(ctx, project); err != nil && ctx.Err() == nil {
					slog.Error("pack a repository", "project", project, "err", err)
				}
			case <-h.Registry.Removed():
				again = true
			case <-tick.C:
				again = true
			case <-ctx.Done():
				return
			}
		}
	}
}

// sweepBatch is how many repositories are removed before that is noted.
const sweepBatch = 100

// sweep removes the repositories of projects that are not there any more.
func (h *Handler) sweep(ctx context.Context) error {
	for ctx.Err() == nil {
		var gone []int64
		err := h.Registry.Store.Read(ctx, func(tx registry.Tx) (err error) {
			gone, err = tx.RemovedProjects(sweepBatch)
			return err
		})
		if err != nil || len(gone) == 0 {
			return err
		}
		for _, id := range gone {
			if err := h.Repos.Remove(id); err != nil {
				return err
			}
		}
		if err := h.Registry.Store.Write(ctx, func(tx registry.Tx) error { return tx.ForgetRemoved(gone) }); err != nil {
			return err
		}
	}
	return nil
}
