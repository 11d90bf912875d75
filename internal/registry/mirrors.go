package registry

import (
	"context"
	"time"
)

// Mirror is that the Git repository of a project follows one elsewhere.
type Mirror struct {
	ProjectID int64
	Enabled   bool
	URL       string
	User      string // with whose name the remote is asked; empty: nobody's
	Password  string
	UserID    int64     // who set it up; 0: no longer known
	NextAt    time.Time // of the next fetch; zero: none
	Lease     int64     // number of the fetch that goes on; each has another one
	StartedAt time.Time // this and what follows: of the last fetch
	EndedAt   time.Time // zero: it has not ended
	Succeeded time.Time // the end of the last one that did
	Error     string
}

// State of a mirror, with GitLab's words.
func (m *Mirror) State() string {
	switch {
	case m.StartedAt.IsZero() && m.NextAt.IsZero():
		return "none"
	case !m.StartedAt.IsZero() && m.EndedAt.IsZero():
		return "started"
	case !m.NextAt.IsZero() && m.NextAt.Before(time.Now()):
		return "scheduled"
	case m.Error != "":
		return "failed"
	}
	return "finished"
}

// ChangeMirror changes the mirror of a project, which is one without a URL at first. change edits it and may return an
// error. Afterwards it is fetched.
func (r *Registry) ChangeMirror(ctx context.Context, project int64, change func(*Mirror) error) (m *Mirror, err error) {
	err = r.Store.Write(ctx, func(tx Tx) error {
		m, err = tx.Mirror(project)
		if KindOf(err) == NotFound {
			m, err = &Mirror{ProjectID: project}, nil
		}
		if err != nil {
			return err
		}
		if err := change(m); err != nil {
			return err
		}
		if m.NextAt = (time.Time{}); m.Enabled {
			m.NextAt = time.Now()
		}
		if err := tx.SetMirror(m); err != nil {
			return err
		}
		detail := "not fetched any more"
		if m.Enabled {
			detail = "fetched from " + m.URL
		}
		return tx.Record(&Event{Name: RepositoryChanged, ProjectID: project, Target: "mirror", Detail: detail})
	})
	if err == nil {
		r.mirrors.ring()
	}
	return m, err
}

// FetchMirror makes it a mirror's turn. NotFound: the project has none that is enabled.
func (r *Registry) FetchMirror(ctx context.Context, project int64) error {
	err := r.Store.Write(ctx, func(tx Tx) error { return tx.RequestMirror(project) })
	if err == nil {
		r.mirrors.ring()
	}
	return err
}

// Mirrors receives when a mirror was asked for on this node since the last time.
func (r *Registry) Mirrors() <-chan struct{} { return r.mirrors.channel() }
