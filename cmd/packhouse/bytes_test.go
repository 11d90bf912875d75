package main

import "testing"

func TestBytes(t *testing.T) {
	for text, want := range map[string]bytes{
		"1048576": 1 << 20, "5GiB": 5 << 30, "64 MiB": 64 << 20, "500MB": 500e6, "1.5kib": 1536, "12b": 12,
		"": 0, "GiB": 0, "-1": 0, "0": 0, "1e99": 0, "NaN": 0, "5 parsecs": 0,
	} {
		var got bytes
		if err := got.UnmarshalText([]byte(text)); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
}

func FuzzBytes(f *testing.F) {
	for _, seed := range []string{"5GiB", "1.5 kb", "0x10", "1e3MB", "-1", "Inf", "NaN"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got bytes
		if err := got.UnmarshalText([]byte(text)); (err == nil) != (got != 0) || got < 0 || got > 1<<50 {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	})
}
