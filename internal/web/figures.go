package web

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Some figures are sums over everything that there is. They are made in the background when somebody asks, and kept for a while: no
// page waits for one for long.
type figures struct {
	mu    sync.Mutex
	known map[any]*figure
}

type figure struct {
	value   any
	at      time.Time     // zero: there is none yet
	working chan struct{} // closed when it is made; nil: nobody is at it
}

const (
	figureLife     = 2 * time.Minute
	figurePatience = 15 * time.Millisecond
	maxFigures     = 1000
)

// ask returns a figure and when it was made. ok is false as long as it is being made for the first time.
func (f *figures) ask(key any, sum func(context.Context) (any, error)) (value any, at time.Time, ok bool) {
	f.mu.Lock()
	if f.known == nil || len(f.known) > maxFigures {
		f.known = map[any]*figure{}
	}
	one := f.known[key]
	if one == nil {
		one = &figure{}
		f.known[key] = one
	}
	if one.working == nil && time.Since(one.at) > figureLife {
		done := make(chan struct{})
		one.working = done
		go func() {
			value, err := sum(context.Background())
			f.mu.Lock()
			defer f.mu.Unlock()
			if err != nil {
				slog.Error("sum a figure up", "err", err)
			} else {
				one.value, one.at = value, time.Now()
			}
			one.working = nil
			close(done)
		}()
	}
	working := one.working
	f.mu.Unlock()
	if working != nil {
		select {
		case <-working:
		case <-time.After(figurePatience):
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return one.value, one.at, !one.at.IsZero()
}

// bytesFigure is a figure of bytes.
type bytesFigure struct {
	Bytes int64
	At    time.Time
	Ready bool
}
