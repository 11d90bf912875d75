package contract

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"packhouse/internal/blob/blobtest"
	"packhouse/test/harness"
)

// command runs packhouse to its end, and returns what it prints.
func command(t *testing.T, fails bool, args ...string) string {
	t.Helper()
	p := packhouse(t, []string{"AWS_ACCESS_KEY_ID=" + os.Getenv("AWS_ACCESS_KEY_ID"), "AWS_SECRET_ACCESS_KEY=" + os.Getenv("AWS_SECRET_ACCESS_KEY")}, args...)
	err := p.end(t, false)
	out, log := p.said()
	if (err != nil) != fails {
		t.Errorf("packhouse %s: %v\n%s%s", strings.Join(args, " "), err, out, log)
	}
	return out + log
}

func packages(p project) string { return fmt.Sprintf("/api/v4/projects/%d/packages", p.ID) }

// Beside a server that runs: what was deleted goes, what is there is checked, copied and moved, and comes back.
func TestUpkeepCommands(t *testing.T) {
	config := harness.Config{Data: t.TempDir(), RootToken: harness.Random()}
	w := own(t, config)
	p := w.project(w.group(harness.Private), harness.Private)
	k := newPack()
	kept := w.publish(p, w.root(), k)
	gone := k.at("2.0.0")
	w.publish(p, w.root(), gone)
	packed := w.packed(p, "Kept.Package", "1.0.0")

	if said := command(t, false, "gc", "--data", config.Data, "--grace", "0s"); !strings.Contains(said, "3 contents looked at, 0 removed") {
		t.Errorf("gc says %s", said)
	}
	if said := command(t, false, "verify", "--data", config.Data); !strings.Contains(said, "3 contents checked") || !strings.Contains(said, "0 missing, 0 damaged") {
		t.Errorf("verify says %s", said)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	if said := command(t, false, "backup", "--data", config.Data, backup); !strings.Contains(said, "3 contents") || !strings.Contains(said, "3 of them new") {
		t.Errorf("backup says %s", said)
	}
	list := w.send(call{path: packages(p) + "?package_version=2.0.0", as: w.root()}).must(w, 200)
	id := regexp.MustCompile(`"id":(\d+)`).FindSubmatch(list.body)
	w.send(call{method: "DELETE", path: packages(p) + "/" + string(id[1]), as: w.root()}).must(w, 204)
	if said := command(t, false, "gc", "--data", config.Data, "--grace", "0s"); !strings.Contains(said, "1 removed") {
		t.Errorf("gc says %s", said)
	}
	if said := command(t, false, "backup", "--data", config.Data, backup); !strings.Contains(said, "2 contents") || !strings.Contains(said, "0 of them new") {
		t.Errorf("backup says %s", said)
	}
	if said := command(t, false, "restore", "--list", backup); strings.Count(said, "\n") != 2 {
		t.Errorf("restore --list says %s", said)
	}
	if said := command(t, true, "restore", "--data", config.Data, backup); !strings.Contains(said, "not empty") {
		t.Errorf("restore into what is in use says %s", said)
	}

	// A server that is moved, and one that comes back, are the same.
	moved, restored := t.TempDir(), t.TempDir()
	command(t, false, "migrate-store", "--data", config.Data, "--only-blobs", "--to-data", moved)
	if said := command(t, false, "migrate-store", "--data", config.Data, "--to-data", moved); !strings.Contains(said, "2 contents") || !strings.Contains(said, "0 of them copied now") {
		t.Errorf("migrate-store says %s", said)
	}
	command(t, false, "restore", "--data", restored, backup)
	for _, data := range []string{moved, restored} {
		other := &world{t, start(t, harness.Config{Data: data, RootToken: config.RootToken}), client}
		if got := other.download(p.prefix(), k.name, "1.0.0", w.root()); !bytes.Equal(got, kept) {
			t.Error("other bytes")
		}
		if got := other.versions(p.prefix(), k.name, w.root()); len(got) != 1 {
			t.Errorf("versions %v", got)
		}
		other.send(call{path: packed.at(p.nuget(), "1.0.0"), as: w.root()}).must(t, 200)
		other.publish(p, w.root(), k.at("3.0.0"))
		if err := other.server.Stop(); err != nil {
			t.Error(err)
		}
	}

	// What is damaged is found, told and taken aside, and is not served as good any more.
	for path := range blobs(t, w.server) {
		text, err := os.ReadFile(path)
		if err == nil && bytes.Equal(text, kept) {
			text[len(text)/2] ^= 4
			os.Chmod(path, 0o600)
			err = os.WriteFile(path, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if said := command(t, true, "verify", "--data", config.Data, "--quarantine"); !strings.Contains(said, "damaged") || !strings.Contains(said, k.name) || !strings.Contains(said, "taken aside") {
		t.Errorf("verify says %s", said)
	}
	if a, err := w.server.Do("GET", p.prefix()+"/"+k.name+"/-/"+k.name+"-1.0.0.tgz", w.server.RootToken, nil); err != nil || a.Status != 500 {
		t.Errorf("what was taken aside: %v, %v, want 500", a, err)
	}
}

func TestUpkeepCommandsRefuse(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{"gc", "--data", empty}, "no server has kept its data"},
		{[]string{"verify", "--data", empty}, "no server has kept its data"},
		{[]string{"backup", "--data", empty, filepath.Join(empty, "to")}, "no server has kept its data"},
		{[]string{"restore", "--data", filepath.Join(empty, "new"), filepath.Join(empty, "nothing")}, "no whole snapshot"},
		{[]string{"migrate-store", "--data", empty}, "say where to move to"},
		{[]string{"gc", "--grace=-1s"}, "--grace -1s"},
		{[]string{"verify", "--rate", "fast"}, "not a size"},
		{[]string{"serve", "--data", empty, "--blobs", "ftp://host/"}, "s3://bucket"},
		{[]string{"serve", "--data", empty, "--blob-redirect"}, "--blob-redirect"},
	} {
		if said := command(t, true, row.args...); !strings.Contains(said, row.says) {
			t.Errorf("packhouse %s says %s", strings.Join(row.args, " "), said)
		}
	}
}

// Clients that follow redirects get package files from the bucket itself; NuGet's, who may not, get them from us.
func TestBlobRedirect(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--blobs", blobtest.S3(t), "--blob-redirect"}})
	p := w.project(w.group(harness.Private), harness.Private)
	k := newPack()
	sent := w.publish(p, w.root(), k)
	tarball := p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz"
	request, err := w.request(call{path: tarball, as: w.root()}) // not sent as others, which must not leave this server
	if err != nil {
		t.Fatal(err)
	}
	a, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if a.StatusCode != 302 {
		t.Fatalf("answered %s", a.Status)
	}
	response, err := client.Get(a.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	body.ReadFrom(response.Body)
	if response.StatusCode != 200 || !bytes.Equal(body.Bytes(), sent) || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %d bytes, want %d", response.Status, body.Len(), len(sent))
	}
	if strings.Contains(w.server.Log(), "X-Amz-Signature") {
		t.Error("the log holds the link")
	}
	w.send(call{path: tarball}).want(t, 401) // the rights come first
	if a := w.send(call{method: "HEAD", path: tarball, as: w.root()}).want(t, 200); a.header.Get("Content-Length") == "" {
		t.Error("HEAD tells no length")
	}
	etag := w.send(call{method: "HEAD", path: tarball, as: w.root()}).header.Get("ETag")
	w.send(call{path: tarball, as: w.root(), header: map[string]string{"If-None-Match": etag}}).want(t, 304)
	n := w.packed(p, "Streamed", "1.0.0")
	if a := w.send(call{path: n.at(p.nuget(), "1.0.0"), as: w.root()}).want(t, 200); !bytes.Equal(a.body, n.content) {
		t.Error("other bytes")
	}
}
