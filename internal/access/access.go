// Package access says who is asking and what they may do.
//
// Everything that decides it (users, groups, projects, members, tokens) hangs on one counter in the database, the
// access revision. A request reads that counter, one point query that it needs for its package's revision anyway, and
// takes the [View] of it: what was looked up before at the same revision is still true, on this node and on all
// others, so a known token costs no further query. Whoever revokes a token moves the counter in the same transaction,
// and the very next request on any node starts from an empty view. Only time is checked besides: expiry.
package access

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"packhouse/internal/registry"
)

// Gate hands out views.
type Gate struct {
	store   registry.Store
	current atomic.Pointer[View]

	used    sync.Map // id of a token, or sessionKey → time.Time, to be written by FlushUsed
	flushed sync.Map // the same → time.Time of the last write
}

// NewGate makes the gate of a store.
func NewGate(store registry.Store) *Gate { return &Gate{store: store} }

// Now is the view at the present access revision.
func (g *Gate) Now(ctx context.Context) (*View, error) {
	revision, err := g.store.AccessRevision(ctx)
	if err != nil {
		return nil, err
	}
	return g.At(revision), nil
}

// At is the view at a revision that the caller has just read from the store.
func (g *Gate) At(revision int64) *View {
	for {
		current := g.current.Load()
		// A newer one than asked for is right too: what it holds was read later. One that has grown too large is
		// begun anew; the bound is on what callers can make us remember by asking for things.
		if current != nil && current.revision >= revision && current.entries.Load() < maxEntries {
			return current
		}
		fresh := &View{gate: g, revision: revision}
		if current != nil {
			fresh.revision = max(revision, current.revision)
		}
		if g.current.CompareAndSwap(current, fresh) {
			return fresh
		}
	}
}

// maxEntries bounds a view; an entry takes some hundred bytes.
const maxEntries = 20_000

// View is what the gate knows at one access revision. It fills as it is asked. What it returns is shared: not to be
// changed.
type View struct {
	gate     *Gate
	revision int64
	entries  atomic.Int64

	callers  sync.Map // hash of the text of a token or session, [sha256.Size]byte → *Caller
	projects sync.Map // id as int64, or lower-case path as string → *registry.Project
	groups   sync.Map // the same → *registry.Group
	users    sync.Map // id as int64 → *registry.User
	levels   sync.Map // levelKey → level
	policies sync.Map // placeKey → *registry.Policy
}

type placeKey struct{ group, project int64 }

type levelKey struct{ user, project, group int64 }

type level struct {
	registry.Level
	until time.Time
}

// ended tells whether a membership that counts in has ended by itself.
func (l level) ended() bool { return !l.until.IsZero() && !time.Now().Before(l.until) }

// remember looks a key up in m and, when it is not there, in the store. Errors, NotFound among them, are not kept.
func remember[V any](v *View, m *sync.Map, key any, load func(tx registry.Tx) (V, error)) (V, error) {
	if known, ok := m.Load(key); ok {
		return known.(V), nil
	}
	var loaded V
	err := v.gate.store.Read(context.Background(), func(tx registry.Tx) (err error) {
		loaded, err = load(tx)
		return err
	})
	if err != nil {
		return loaded, err
	}
	if _, raced := m.LoadOrStore(key, loaded); !raced {
		v.entries.Add(1)
	}
	return loaded, nil
}

// Project finds a project by :id, a number or a full path, also one that it had before and nobody has taken since (see
// [Moved]). It returns NotFound when there is none.
func (v *View) Project(id string) (*registry.Project, error) {
	p, err := byID(id, v.ProjectByID, func(path string) (*registry.Project, error) {
		return remember(v, &v.projects, path, func(tx registry.Tx) (*registry.Project, error) {
			p, err := tx.ProjectByPath(path)
			if registry.KindOf(err) == registry.NotFound {
				p, err = tx.ProjectByFormerPath(path)
			}
			return p, err
		})
	})
	return p, as(err, registry.NotFound, "404 Project Not Found")
}

// ProjectByID finds a project by its number.
func (v *View) ProjectByID(id int64) (*registry.Project, error) {
	return remember(v, &v.projects, id, func(tx registry.Tx) (*registry.Project, error) { return tx.Project(id) })
}

// Group finds a group by :id as Project does; personal namespaces are none. It returns NotFound when there
// is none.
func (v *View) Group(id string) (*registry.Group, error) {
	g, err := v.Namespace(id)
	if err == nil && g.Personal() {
		err = registry.Errorf(registry.NotFound, "")
	}
	return g, as(err, registry.NotFound, "404 Group Not Found")
}

// Namespace finds a group or a personal namespace by :id as Project does.
func (v *View) Namespace(id string) (*registry.Group, error) {
	return byID(id, v.GroupByID, func(path string) (*registry.Group, error) {
		return remember(v, &v.groups, path, func(tx registry.Tx) (*registry.Group, error) {
			g, err := tx.GroupByPath(path)
			if registry.KindOf(err) == registry.NotFound {
				g, err = tx.GroupByFormerPath(path)
			}
			return g, err
		})
	})
}

// GroupByID finds a namespace by its number.
func (v *View) GroupByID(id int64) (*registry.Group, error) {
	return remember(v, &v.groups, id, func(tx registry.Tx) (*registry.Group, error) { return tx.Group(id) })
}

// UserByID finds a user.
func (v *View) UserByID(id int64) (*registry.User, error) {
	return remember(v, &v.users, id, func(tx registry.Tx) (*registry.User, error) { return tx.User(id) })
}

// Policy is that of a group or of a project, one of which is 0.
func (v *View) Policy(group, project int64) (*registry.Policy, error) {
	return remember(v, &v.policies, placeKey{group, project}, func(tx registry.Tx) (*registry.Policy, error) { return tx.Policy(group, project) })
}

func byID[T any](id string, number func(int64) (T, error), path func(string) (T, error)) (T, error) {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil {
		return number(n)
	}
	return path(strings.ToLower(id))
}

// as replaces the sentence of an error of a kind.
func as(err error, kind registry.Kind, message string) error {
	if err != nil && registry.KindOf(err) == kind {
		return registry.Errorf(kind, "%s", message)
	}
	return err
}

// level is the effective level of a user in a project or a group.
func (v *View) level(user, project, group int64, lineage []int64) (registry.Level, error) {
	key := levelKey{user, project, group}
	if known, ok := v.levels.Load(key); ok && known.(level).ended() {
		v.levels.Delete(key)
	}
	found, err := remember(v, &v.levels, key, func(tx registry.Tx) (level, error) {
		l, until, err := tx.EffectiveLevel(user, project, lineage)
		return level{l, until}, err
	})
	return found.Level, err
}

// Learn looks projects up, and the caller's levels in them, in two queries at most: what the view is asked about them
// afterwards costs none.
func (v *View) Learn(ctx context.Context, c *Caller, ids []int64) error {
	var missing []int64
	for _, id := range ids {
		if _, known := v.projects.Load(id); !known {
			missing = append(missing, id)
		}
	}
	// A job has a level in one project only.
	levels := c.User != nil && !c.User.Admin && (c.Token == nil || c.Token.Kind != registry.JobToken)
	return v.gate.store.Read(ctx, func(tx registry.Tx) error {
		if len(missing) > 0 {
			projects, err := tx.ProjectsByID(missing)
			if err != nil {
				return err
			}
			for _, p := range projects {
				v.keep(&v.projects, p.ID, p)
			}
		}
		if !levels {
			return nil
		}
		var unsure []*registry.Project
		for _, id := range ids {
			p, known := v.projects.Load(id)
			if !known {
				continue
			}
			if found, known := v.levels.Load(levelKey{c.User.ID, id, 0}); !known || found.(level).ended() {
				unsure = append(unsure, p.(*registry.Project))
			}
		}
		if len(unsure) == 0 {
			return nil
		}
		standings, err := tx.EffectiveLevels(c.User.ID, unsure)
		for id, s := range standings {
			v.keep(&v.levels, levelKey{c.User.ID, id, 0}, level{s.Level, s.Until})
		}
		return err
	})
}

// keep remembers what was read, in place of what was known before.
func (v *View) keep(m *sync.Map, key, value any) {
	if _, known := m.Swap(key, value); !known {
		v.entries.Add(1)
	}
}

// FlushUsed writes when tokens and sessions were last used. It is called now and then; each is written once a minute at most.
func (g *Gate) FlushUsed(ctx context.Context) error {
	type use struct {
		id any
		at time.Time
	}
	var uses []use
	g.flushed.Range(func(id, at any) bool { // only the last minute matters
		if time.Since(at.(time.Time)) > time.Minute {
			g.flushed.Delete(id)
		}
		return true
	})
	g.used.Range(func(id, at any) bool {
		g.used.Delete(id)
		if last, ok := g.flushed.Load(id); !ok || at.(time.Time).Sub(last.(time.Time)) > time.Minute {
			uses = append(uses, use{id, at.(time.Time)})
		}
		return true
	})
	if len(uses) == 0 {
		return nil
	}
	err := g.store.Write(ctx, func(tx registry.Tx) error {
		for _, u := range uses {
			var err error
			if s, ok := u.id.(sessionKey); ok {
				err = tx.UseSession(s.id, u.at, (&registry.Session{CreatedAt: s.created}).Extended(u.at))
			} else {
				err = tx.UseToken(u.id.(int64), u.at)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, u := range uses {
		if err == nil {
			g.flushed.Store(u.id, u.at)
		} else {
			g.used.LoadOrStore(u.id, u.at) // for the next time, unless it was used again
		}
	}
	return err
}
