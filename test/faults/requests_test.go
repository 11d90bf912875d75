package faults

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"packhouse/internal/registry"
	"packhouse/internal/server"
	"packhouse/internal/upkeep"
	"packhouse/test/harness"
)

// breaking is a server whose stores break, and one over the same stores that work.
type breaking struct {
	*world
	points       *points
	broken, good *client
}

func newBreaking(t *testing.T) *breaking {
	t.Helper()
	b := &breaking{world: newWorld(t), points: &points{over: true}}
	logged := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // what breaks is logged
	t.Cleanup(func() { slog.SetDefault(logged) })
	b.db.Before = func() error { return b.points.hit("statement", func() error { return nil }) }
	config := server.Config{Data: t.TempDir(), RootPassword: harness.Random(), RootToken: harness.Random(), MaxFile: 1 << 30, MaxMetadata: 1 << 20, DocumentCache: 1 << 20, LogRequests: "none"}
	h := newHistory()
	client := func(name string, store registry.Store, blobs registry.BlobStore) *client {
		s, err := server.Over(t.Context(), config, store, blobs)
		if err != nil {
			t.Fatal(err)
		}
		web := httptest.NewServer(s.Handler())
		t.Cleanup(web.Close)
		return &client{name: name, url: func() string { return web.URL }, token: config.RootToken, project: b.project, http: newHTTP(time.Minute), history: h}
	}
	b.good = client("good", b.db, b.disk)
	b.broken = client("broken", reaching{b, b.db}, reachingBlobs{b, b.disk})
	var settings []string
	for _, d := range drivers {
		settings = append(settings, fmt.Sprintf(`"%s_duplicates_allowed":false,"%[1]s_duplicate_exception_regex":".*again"`, d.format))
	}
	b.must(b.good.send("PUT", b.good.prefix()+"/settings", "application/json", []byte("{"+strings.Join(settings, ",")+"}")))
	return b
}

func (b *breaking) must(status int, body []byte, err error) {
	b.t.Helper()
	if err != nil || status >= 300 {
		b.t.Fatalf("%d %s, %v", status, body, err)
	}
}

// reaching and reachingBlobs are the stores as the points of the moment break them.
type reaching struct {
	b *breaking
	registry.Store
}

func (r reaching) now() *brokenStore { return &brokenStore{r.Store, r.b.points} }
func (r reaching) Write(ctx context.Context, f func(registry.Tx) error) error {
	return r.now().Write(ctx, f)
}
func (r reaching) Read(ctx context.Context, f func(registry.Tx) error) error {
	return r.now().Read(ctx, f)
}
func (r reaching) AccessRevision(ctx context.Context) (int64, error) {
	return r.now().AccessRevision(ctx)
}
func (r reaching) Revisions(ctx context.Context, t registry.Type, name string, project int64) (int64, []registry.Revision, error) {
	return r.now().Revisions(ctx, t, name, project)
}
func (r reaching) FileOfEntry(ctx context.Context, entry int64, name string) (*registry.File, error) {
	return r.now().FileOfEntry(ctx, entry, name)
}

type reachingBlobs struct {
	b *breaking
	registry.BlobStore
}

func (r reachingBlobs) Stage(ctx context.Context, content io.Reader) (registry.Staged, error) {
	return (&brokenBlobs{r.BlobStore, r.b.points}).Stage(ctx, content)
}
func (r reachingBlobs) Open(ctx context.Context, sha256 string) (registry.Blob, error) {
	return (&brokenBlobs{r.BlobStore, r.b.points}).Open(ctx, sha256)
}

// seen is all that anybody can see: indexes, tags, files, and what the API lists. What is different in each try has a fixed name in it.
func (b *breaking) seen(d driver, fixed map[string]string) string {
	b.t.Helper()
	var lines []string
	for _, name := range []string{"pack", again} {
		versions := b.good.index(d, name)
		for version, digest := range versions {
			address := digest
			if d.format == "composer" {
				address = b.good.history.toldAs(digest)
			}
			status, content, err := b.good.send("GET", d.file(b.good.prefix(), name, version, address), "", nil)
			if sum := sha256Hex(content); err != nil || status != 200 || d.digest != nil && sum != digest {
				b.t.Errorf("%s %s %s: the index shows %s, the file is %d %s, %v", d.format, name, version, digest, status, sum, err)
			} else {
				lines = append(lines, "shown "+name+" "+version+" "+sum)
			}
		}
		if d.tag != nil {
			index := cmp.Or(d.tag.index, d.index)
			if body, ok := b.good.look(index, name); !ok {
				b.t.Errorf("no answer to %s", index)
			} else if body != nil {
				value, err := d.tag.read(body, name)
				lines = append(lines, fmt.Sprint("tag ", name, " ", b.good.history.learned(value), err))
			}
		}
	}
	var list []struct {
		ID                    int64
		Name, Version, Status string
	}
	b.list(b.good.prefix()+"?per_page=100&include_versionless=true", &list)
	for _, p := range list {
		lines = append(lines, "listed "+p.Name+" "+p.Version+" "+p.Status)
		var files []struct {
			Name string `json:"file_name"`
			Sum  string `json:"file_sha256"`
		}
		b.list(fmt.Sprintf("%s/%d/package_files", b.good.prefix(), p.ID), &files)
		for _, f := range files {
			lines = append(lines, "file "+p.Name+" "+p.Version+" "+f.Name+" "+f.Sum)
		}
	}
	text := strings.Join(lines, "\n")
	for _, value := range slices.Backward(slices.SortedFunc(maps.Keys(fixed), func(a, b string) int { return cmp.Compare(len(a), len(b)) })) {
		text = strings.ReplaceAll(text, value, fixed[value])
	}
	lines = strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (b *breaking) list(path string, into any) {
	b.t.Helper()
	status, body, err := b.good.send("GET", path, "", nil)
	b.must(status, body, err)
	if err := json.Unmarshal(body, into); err != nil {
		b.t.Fatal(err)
	}
}

// whole checks rows and blobs: each content is there with its digests, and after a collection nothing else is.
func (b *breaking) whole() {
	b.t.Helper()
	r := &registry.Registry{Store: b.db, Blobs: b.disk}
	if v, err := upkeep.Verify(b.t.Context(), r, b.disk, upkeep.Verification{}); err != nil || !v.OK() {
		b.t.Errorf("verify: %+v, %v", v, err)
	}
	if err := r.Purge(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.later()
	if _, err := r.Collect(b.t.Context(), b.disk, 0, true, nil); err != nil {
		b.t.Fatal(err)
	}
	var named []string
	err := b.db.Read(b.t.Context(), func(tx registry.Tx) error {
		contents, err := tx.Contents("", 1000)
		for _, c := range contents {
			named = append(named, c.SHA256)
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if got := b.blobs(); !slices.Equal(got, named) {
		b.t.Errorf("the disk has %v, and packages need %v", got, named)
	}
	if _, staged := left(b.t, b.folder); staged != 0 {
		b.t.Errorf("%d files are staged still", staged)
	}
}

// try is one step on a version of its own.
type try struct {
	version, unique string
	id, file        int64             // of the version, where it is there
	fixed           map[string]string // what is different in each try → its name
}

// request is a step: what comes before it, and itself.
type request struct {
	name    string
	of      func(driver) bool
	prepare func(b *breaking, d driver, y *try)
	send    func(b *breaking, c *client, d driver, y *try) (int, []byte, error)
}

func (b *breaking) build(c *client, d driver, name string, y *try, unique, called string) (int, []byte, error) {
	method, path, kind, body, content := d.build(c.prefix(), name, y.version, unique)
	c.history.learn(d, content)
	y.fixed[sha256Hex(content)] = called
	y.fixed[sha1Hex(content)] = called + " SHA-1" // in the name of Composer's archives
	return c.send(method, path, kind, body)
}

func (b *breaking) publishFirst(d driver, y *try) {
	b.t.Helper()
	b.must(b.build(b.good, d, "pack", y, y.unique, "content"))
	var ok bool
	if y.id, ok = b.good.find(d, "pack", y.version); !ok {
		b.t.Fatalf("%s %s is not listed", d.format, y.version)
	}
	var files []struct{ ID int64 }
	b.list(fmt.Sprintf("%s/%d/package_files", b.good.prefix(), y.id), &files)
	y.file = files[0].ID
}

var requests = []request{
	{"publish", anyDriver, func(*breaking, driver, *try) {}, func(b *breaking, c *client, d driver, y *try) (int, []byte, error) {
		return b.build(c, d, "pack", y, y.unique, "content")
	}},
	{"publish again with other bytes", anyDriver, func(b *breaking, d driver, y *try) { b.must(b.build(b.good, d, again, y, y.unique, "content")) },
		func(b *breaking, c *client, d driver, y *try) (int, []byte, error) {
			return b.build(c, d, again, y, y.unique+" again", "other content")
		}},
	{"set a tag", func(d driver) bool { return d.tag != nil }, (*breaking).publishFirst, func(b *breaking, c *client, d driver, y *try) (int, []byte, error) {
		method, path, kind, body, _ := d.tag.move(c.prefix(), "pack", y.version, y.unique)
		if d.format == "composer" {
			c.history.learn(d, body)
			y.fixed[sha256Hex(body)], y.fixed[sha1Hex(body)] = "branch", "branch SHA-1"
		}
		return c.send(method, path, kind, body)
	}},
	{"publish symbols", func(d driver) bool { return d.format == "nuget" }, (*breaking).publishFirst, func(b *breaking, c *client, d driver, y *try) (int, []byte, error) {
		content := snupkg("pack", y.version, y.unique)
		y.fixed[sha256Hex(content)] = "symbols"
		body, kind := form("package", "package.snupkg", content, nil)
		return c.send("PUT", c.prefix()+"/nuget/symbolpackage", kind, body)
	}},
	{"delete a version", anyDriver, (*breaking).publishFirst, func(_ *breaking, c *client, _ driver, y *try) (int, []byte, error) {
		return c.send("DELETE", fmt.Sprintf("%s/%d", c.prefix(), y.id), "", nil)
	}},
	{"delete a file", anyDriver, (*breaking).publishFirst, func(_ *breaking, c *client, _ driver, y *try) (int, []byte, error) {
		return c.send("DELETE", fmt.Sprintf("%s/%d/package_files/%d", c.prefix(), y.id, y.file), "", nil)
	}},
}

func anyDriver(driver) bool { return true }

// snupkg is a package of symbols with a portable PDB in it that has nothing but its id.
func snupkg(id, version, unique string) []byte {
	root := []byte("BSJB\x01\x00\x01\x00\x00\x00\x00\x00\x0c\x00\x00\x00PDB v1.0\x00\x00\x00\x00\x00\x00\x01\x00")
	root = binary.LittleEndian.AppendUint32(root, uint32(len(root)+16)) // offset, size and name of the one stream
	root = binary.LittleEndian.AppendUint32(root, 20)
	root = append(root, "#Pdb\x00\x00\x00\x00"+sha256Hex([]byte(unique))[:20]+unique...)
	return zippedAll([2]string{id + ".nuspec", `<?xml version="1.0" encoding="utf-8"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>` +
		id + "</id><version>" + version + `</version><authors>A</authors><description>D</description><packageTypes><packageType name="SymbolsPackage"/></packageTypes></metadata></package>`},
		[2]string{"lib/net8.0/pack.pdb", string(root)})
}

// Each call to the stores breaks, in each way, in the course of a request, of each format. After each, all that can be seen is what was before the request, or
// what is after it, and the answer is true: a success has happened, and a failure has not, unless the store did it all the same. A full disk is 507, what else
// breaks another 5xx; and the same request succeeds when nothing breaks any more.
func TestRequestFaultPoints(t *testing.T) {
	rng := seed(t)
	b := newBreaking(t)
	type way struct {
		name string
		mode mode
		err  error
	}
	ways := []way{{"fails", fails, syscall.EIO}, {"is full", fails, &registry.Error{Kind: registry.Full, Message: "no space left", Err: syscall.ENOSPC}}, {"fails but persisted", persisted, syscall.EIO},
		{"is slow", slow, nil}, {"torn", torn, syscall.EIO}}
	serial, broken, acknowledged := 0, 0, 0
	for _, d := range drivers {
		for _, q := range requests {
			if !q.of(d) {
				continue
			}
			// run makes a try, whose call number at breaks; 0: none.
			run := func(at int, w way) (y *try, before, after string, status int, calls []string) {
				serial++
				y = &try{version: fmt.Sprintf("1.%d.0", 100+serial), unique: fmt.Sprintf("unique %d %d", serial, rng.Uint64()), fixed: map[string]string{}}
				y.fixed[y.version] = "VERSION"
				q.prepare(b, d, y)
				before = b.seen(d, y.fixed)
				p := &points{at: at, mode: w.mode, err: w.err}
				b.points = p
				status, _, err := q.send(b, b.broken, d, y)
				p.end()
				if err != nil {
					t.Fatalf("%s, %s: no answer: %v", d.format, q.name, err)
				}
				return y, before, b.seen(d, y.fixed), status, p.names
			}
			clean := func() {
				for _, name := range []string{"pack", again} {
					var list []struct{ ID int64 }
					b.list(b.good.prefix()+"?per_page=100&include_versionless=true&package_name="+name, &list)
					for _, p := range list {
						b.must(b.good.send("DELETE", fmt.Sprintf("%s/%d", b.good.prefix(), p.ID), "", nil))
					}
				}
			}
			_, want, then, status, calls := run(0, way{})
			if status >= 300 || want == then {
				t.Fatalf("%s, %s: %d, and\n%s", d.format, q.name, status, then)
			}
			clean()
			for _, w := range ways {
				for _, at := range chosen(rng, len(calls)) {
					y, before, after, status, calls := run(at, w)
					if len(calls) < at { // there were fewer calls this time
						clean()
						continue
					}
					broken++
					what := fmt.Sprintf("%s, %s, call %d (%s) %s: %d", d.format, q.name, at, calls[at-1], w.name, status)
					if before != want {
						t.Fatalf("%s: it began with\n%s\nwant\n%s", what, before, want)
					}
					happened := after == then
					switch {
					case after != want && after != then:
						t.Errorf("%s: half is there:\n%s\nbefore\n%s\nwant\n%s", what, after, want, then)
					case status < 300 && !happened:
						t.Errorf("%s: acknowledged, and did not happen", what)
					case status >= 300 && happened && w.mode != persisted:
						t.Errorf("%s: refused, and did happen", what)
					case w.mode == slow && status >= 300:
						t.Errorf("%s: refused for being slow", what)
					case status >= 300 && status < 500, w.name == "is full" && status >= 300 && status != http.StatusInsufficientStorage:
						t.Errorf("%s: not the status of that", what)
					}
					if status < 300 {
						acknowledged++
					}
					if !happened {
						status, body, err := q.send(b, b.good, d, y)
						if after := b.seen(d, y.fixed); err != nil || status >= 300 || after != then {
							t.Errorf("%s: once more, %d %s, %v:\n%s\nwant\n%s", what, status, body, err, after, then)
						}
					}
					b.whole()
					clean()
				}
			}
		}
	}
	if broken < rounds(100, 1000) {
		t.Errorf("only %d points were broken", broken)
	}
	note("each call to the stores in the course of each request of each format fails, is full, fails but persisted, is slow, or torn", broken, acknowledged, 0, "", "-run TestRequestFaultPoints")
}

// chosen are the calls that break: all in full, otherwise two of them.
func chosen(rng *rand.Rand, calls int) (at []int) {
	for i := range calls {
		at = append(at, i+1)
	}
	if full {
		return at
	}
	rng.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
	return at[:min(2, len(at))]
}
