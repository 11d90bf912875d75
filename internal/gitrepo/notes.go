package gitrepo

import (
	"context"
	"encoding/gob"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// Note is what is kept of a repository's refs while they change, until all that follows is done. When the process is gone before that, another one
// finds it (see [Repos.Noted]). It is a file beside the repositories; whoever works on it has it locked.
type Note struct {
	Project int64
	Asked   Asked  // nil: anything
	Before  State  // of what was asked for
	By      []byte // what the caller has to know besides

	lock *flock.Flock
}

// notePrefix begins the names of the files, the number of the project and something random follow.
const notePrefix = "note-"

// Note notes durably what the refs of a project's repository are, those that are asked for.
func (r *Repos) Note(ctx context.Context, project int64, asked Asked, by []byte) (*Note, error) {
	before, err := r.State(ctx, project)
	if err != nil {
		return nil, err
	}
	if asked != nil {
		maps.DeleteFunc(before, func(ref, _ string) bool { _, changes := asked[ref]; return !changes })
	}
	note := &Note{Project: project, Asked: asked, Before: before, By: by}
	for {
		path, err := r.writeNote(note)
		if err != nil {
			return nil, noSpace(err)
		}
		note.lock = flock.New(path, flock.SetFlag(os.O_RDONLY))
		if mine, err := note.lock.TryLock(); err == nil && mine {
			if _, err := os.Stat(path); err == nil {
				return note, nil
			}
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			os.Remove(path)
			return nil, err
		}
		note.lock.Close() // before it was locked another process took it for a dead one's, and has found nothing to do
	}
}

// writeNote writes the file, under another name until it is whole and synced.
func (r *Repos) writeNote(note *Note) (path string, err error) {
	if err := os.MkdirAll(r.folder, 0o700); err != nil {
		return "", err
	}
	file, err := os.CreateTemp(r.folder, "new-")
	if err != nil {
		return "", err
	}
	defer os.Remove(file.Name()) // but for the one that has got its name
	err = gob.NewEncoder(file).Encode(note)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	path = filepath.Join(r.folder, notePrefix+strconv.FormatInt(note.Project, 10)+"-"+strings.TrimPrefix(filepath.Base(file.Name()), "new-"))
	if err := os.Rename(file.Name(), path); err != nil {
		return "", err
	}
	return path, syncFolder(r.folder)
}

// Changed is what the refs were and are, of a state of now: those that came, moved or went as it was asked for.
func (n *Note) Changed(now State) (before, after State) { return n.Asked.met(n.Before, now) }

// Done ends a note: all that follows is done.
func (n *Note) Done() error {
	n.Leave()
	if err := os.Remove(n.lock.Path()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Leave lets another one, or a later call of Noted, do what follows.
func (n *Note) Leave() { n.lock.Close() }

// Noted yields the notes on which nobody works any more. Each is to be ended by Done or Leave.
func (r *Repos) Noted(yield func(*Note) error) error {
	paths, _ := filepath.Glob(filepath.Join(globSafe(r.folder), notePrefix+"*")) // the pattern is a good one
	var failed []error
	for _, path := range paths {
		note, err := openNote(path)
		if err == nil && note != nil {
			err = yield(note)
		}
		failed = append(failed, err) // it keeps no other one waiting
	}
	return errors.Join(failed...)
}

// openNote reads and locks a note; nil: somebody works on it, or has ended it.
func openNote(path string) (*Note, error) {
	note := &Note{lock: flock.New(path, flock.SetFlag(os.O_RDONLY))}
	if mine, err := note.lock.TryLock(); err != nil || !mine {
		note.lock.Close()
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	file, err := os.Open(path)
	if err == nil {
		err = gob.NewDecoder(file).Decode(note)
		file.Close()
	}
	if err != nil {
		note.lock.Close()
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	return note, nil
}
