package registry

import (
	"fmt"
	"testing"
	"time"
)

func TestDownloadsTake(t *testing.T) {
	var d Downloads
	morning := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for range 100 { // over all shards
		d.count(&File{ID: 2, PackageID: 1}, morning.Add(time.Hour))
		d.count(&File{ID: 2, PackageID: 1}, morning)
		d.count(&File{ID: 2, PackageID: 1}, morning.Add(-time.Millisecond))
	}
	d.count(&File{ID: 1, PackageID: 1}, morning)
	want := []Download{
		{1, 1, morning, 1, morning},
		{1, 2, morning.Add(-24 * time.Hour), 100, morning.Add(-time.Millisecond)},
		{1, 2, morning, 200, morning.Add(time.Hour)},
	}
	if got := d.take(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counted\n%v\nwant\n%v", got, want)
	}
	if got := d.take(); len(got) != 0 {
		t.Errorf("taken twice: %v", got)
	}
}

func TestDownloadsAreBounded(t *testing.T) {
	var d Downloads
	const files = 2 * len(d.shards) * maxDownloads
	for i := range files {
		d.count(&File{ID: int64(i), PackageID: 1}, time.Now())
	}
	if got := len(d.take()); got != len(d.shards)*maxDownloads {
		t.Errorf("%d of %d files are counted, want as many as there is room", got, files)
	}
	d.count(&File{ID: 1, PackageID: 1}, time.Now())
	if got := len(d.take()); got != 1 {
		t.Errorf("%d rows after there was room again, want 1", got)
	}
}

// BenchmarkDownloads counts one file from all processors at once: the worst case for a lock.
func BenchmarkDownloads(b *testing.B) {
	var d Downloads
	f := &File{ID: 1, PackageID: 1}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			d.Count(f)
		}
	})
}
