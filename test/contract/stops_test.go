package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"packhouse/test/harness"
)

// slow is a body of which the last part waits.
type slow struct {
	body    []byte
	sent    chan struct{} // closed when all but the last part is read
	release chan struct{} // the last part waits for it
	at      int
}

func newSlow(body []byte) *slow {
	return &slow{body: body, sent: make(chan struct{}), release: make(chan struct{})}
}

func (s *slow) Read(p []byte) (int, error) {
	stop := len(s.body) - 100
	switch {
	case s.at == len(s.body):
		return 0, io.EOF
	case s.at < stop:
		n := copy(p, s.body[s.at:stop])
		s.at += n
		return n, nil
	case s.at == stop:
		close(s.sent)
		<-s.release
	}
	n := copy(p, s.body[s.at:])
	s.at += n
	return n, nil
}

// upload begins a publish that stays unfinished until its body is released.
func (w *world) upload(to project, k pack) (*slow, chan *answer) {
	text, err := json.Marshal(k.document())
	if err != nil {
		w.Fatal(err)
	}
	body, done := newSlow(text), make(chan *answer, 1)
	go func() {
		a, err := w.try(call{method: "PUT", path: to.prefix() + "/" + k.name, as: w.root(), body: body})
		if err != nil {
			a = &answer{call: err.Error()}
		}
		done <- a
	}()
	<-body.sent
	eventually(w, "the server stages what arrived", func() bool {
		for path, size := range blobs(w, w.server) {
			if strings.Contains(path, "staging") && size > 0 {
				return true
			}
		}
		return false
	})
	return body, done
}

func large() pack {
	k := newPack()
	k.files["large"] = string(noise(1 << 20))
	return k
}

// A power cut in the middle of an upload leaves what was there, and nothing
// else.
func TestKilledDuringUpload(t *testing.T) {
	t.Parallel()
	config := harness.Config{Data: t.TempDir(), RootToken: harness.Random()}
	w := &world{t, start(t, config), &http.Client{Transport: &http.Transport{}}}
	p := w.project(w.group(harness.Private), harness.Private)
	k := newPack()
	sent := w.publish(p, w.root(), k)
	before := blobs(t, w.server)

	mine := large()
	body, done := w.upload(p, mine)
	more := large() // of a package that is there
	more.name, more.version = k.name, "2.0.0"
	again, repeated := w.upload(p, more)
	w.server.Kill()
	close(body.release)
	close(again.release)
	for _, cut := range []chan *answer{done, repeated} {
		if a := <-cut; a.status != 0 {
			t.Errorf("a server that was killed answered %d", a.status)
		}
	}

	w = &world{t, start(t, config), client}
	defer func() {
		if err := w.server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	w.nothingLeft(before)
	if got := w.download(p.prefix(), k.name, "1.0.0", w.root()); !bytes.Equal(got, sent) {
		t.Error("what was published before is not what it was")
	}
	if got := w.versions(p.prefix(), k.name, w.root()); len(got) != 1 {
		t.Errorf("versions %v", got)
	}
	w.thenRightly(p, w.root(), mine)
	w.publish(p, w.root(), more)
}

// Told to stop, the server finishes what it does.
func TestStoppedDuringUpload(t *testing.T) {
	t.Parallel()
	config := harness.Config{Data: t.TempDir(), RootToken: harness.Random()}
	w := &world{t, start(t, config), &http.Client{Transport: &http.Transport{}}}
	p := w.project(w.group(harness.Private), harness.Private)
	mine := large()
	body, done := w.upload(p, mine)
	stopped := make(chan error, 1)
	go func() { stopped <- w.server.Stop() }()
	w.refusesConnections()
	select {
	case err := <-stopped:
		t.Fatalf("the server did not wait for the upload: %v", err)
	default:
	}
	close(body.release)
	(<-done).want(t, http.StatusOK)
	if err := <-stopped; err != nil {
		t.Error(err)
	}

	w = &world{t, start(t, config), client}
	if got := w.download(p.prefix(), mine.name, "1.0.0", w.root()); !bytes.Equal(got, mine.tarball()) {
		t.Error("the upload that was finished is another")
	}
	if err := w.server.Stop(); err != nil {
		t.Error(err)
	}
	if left := slices.DeleteFunc(slices.Collect(maps.Keys(blobs(t, w.server))), func(path string) bool { return !strings.Contains(path, "staging") }); len(left) > 0 {
		t.Errorf("left in staging: %v", left)
	}
}

// So is a download.
func TestStoppedDuringDownload(t *testing.T) {
	t.Parallel()
	w := &world{t, start(t, harness.Config{Data: t.TempDir()}), client}
	p := w.open()
	k := newPack()
	k.files["large"] = string(noise(12 << 20)) // more than fits into the buffers of a connection
	sent := w.publish(p, w.root(), k)
	response, err := w.client.Get(w.server.URL + p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	stopped := make(chan error, 1)
	go func() { stopped <- w.server.Stop() }()
	w.refusesConnections()
	if got, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%v, %d bytes of %d", err, len(got), len(sent))
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// refusesConnections waits until the server that was told to stop takes none.
func (w *world) refusesConnections() {
	w.Helper()
	eventually(w, "the server takes no new connections", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.server.URL, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

// Whatever was acknowledged before a power cut is there after it, and what is
// listed is whole.
func TestKilledWhilePublishing(t *testing.T) {
	t.Parallel()
	config := harness.Config{Data: t.TempDir(), RootToken: harness.Random()}
	w := &world{t, start(t, config), &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}}
	p := w.open()
	base := newPack()
	var mu sync.Mutex
	acknowledged := map[string][]byte{} // tarballs by version
	enough := make(chan struct{})
	var publishers sync.WaitGroup
	for publisher := range 4 {
		publishers.Go(func() {
			for i := 0; ; i++ {
				k := base.at(fmt.Sprintf("%d.0.%d", publisher, i))
				a, err := w.try(call{method: "PUT", path: p.prefix() + "/" + k.name, as: w.root(), body: k.document()})
				if err != nil {
					return // the server is gone
				}
				a.want(w, http.StatusOK)
				mu.Lock()
				if acknowledged[k.version] = k.tarball(); len(acknowledged) == 20 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	w.server.Kill()
	publishers.Wait()

	w = &world{t, start(t, config), client}
	document := w.packument(p.prefix(), base.name, anonymous)
	listed := keys(document["versions"])
	for version := range acknowledged {
		if !slices.Contains(listed, version) {
			t.Errorf("%s was acknowledged and is lost", version)
		}
	}
	for _, version := range listed {
		a := w.send(call{path: p.prefix() + "/" + base.name + "/-/" + base.name + "-" + version + ".tgz"}).want(t, 200)
		if integrity(a.body) != at(document, "versions", version, "dist", "integrity") {
			t.Errorf("%s is damaged", version)
		}
		if sent, ok := acknowledged[version]; ok && !bytes.Equal(a.body, sent) {
			t.Errorf("%s is another than was acknowledged", version)
		}
	}
	for path := range blobs(t, w.server) {
		if strings.Contains(path, "staging") {
			t.Errorf("left: %s", path)
		}
	}
	if err := w.server.Stop(); err != nil {
		t.Error(err)
	}
}
