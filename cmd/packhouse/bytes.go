package main

import (
	"fmt"
	"strconv"
	"strings"
)

// bytes is a size on the command line: a number with an optional unit, as 5GiB, 64 MiB, 500MB or 1048576.
type bytes int64

var units = []struct {
	suffix string
	factor float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12}, {"b", 1}, {"", 1},
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (b *bytes) UnmarshalText(text []byte) error {
	lower := strings.ToLower(strings.TrimSpace(string(text)))
	for _, unit := range units {
		if number, ok := strings.CutSuffix(lower, unit.suffix); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if err != nil || !(n > 0) || n*unit.factor > 1<<50 {
				break
			}
			*b = bytes(n * unit.factor)
			return nil
		}
	}
	return fmt.Errorf("%q is not a size such as 64MiB", text)
}
