package format

import "testing"

func TestMediaRange(t *testing.T) {
	for _, c := range []struct {
		part, kind string
		weight     float64
	}{
		{"text/html", "text/html", 1},
		{" Text/HTML ; Q=0.5 ", "text/html", 0.5},
		{"application/json;charset=utf-8;q=0", "application/json", 0},
		{"*/*;q=0.01", "*/*", 0.01},
		{"text/html;q=much", "text/html", 1},
		{"text/html;q=", "text/html", 1},
		{"", "", 1},
		{";q=0.5", "", 0.5},
	} {
		if kind, weight := MediaRange(c.part); kind != c.kind || weight != c.weight {
			t.Errorf("MediaRange(%q) = %q, %v; want %q, %v", c.part, kind, weight, c.kind, c.weight)
		}
	}
}
