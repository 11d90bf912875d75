package api

import (
	"testing"

	"packhouse/internal/registry"
)

// A cursor is ours, or refused, whatever bytes it is; ours come back as they were.
func FuzzCursor(f *testing.F) {
	f.Add(encodeCursor(&registry.Group{ID: 42, Name: "Acme"}))
	f.Add("eyJuYW1lIjoiQWNtZSIsImlkIjoiNDIiLCJfa2QiOiJuIn0=")
	f.Add("e30")
	f.Fuzz(func(t *testing.T, text string) {
		var p params
		g := p.cursor(text)
		if g == nil {
			if p.wrong() == nil {
				t.Errorf("%q is neither a cursor nor refused", text)
			}
			return
		}
		again := p.cursor(encodeCursor(g))
		if again == nil || again.ID != g.ID || again.Name != g.Name {
			t.Errorf("%q is %+v, and then %+v", text, g, again)
		}
	})
}
