package gitrepo

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"packhouse/internal/registry"
)

// What was to follow a change of a process that is gone is found by another one.
func TestNotes(t *testing.T) {
	r := open(t)
	filled(t, r, 7)
	other, err := Open(r.folder)
	if err != nil {
		t.Fatal(err)
	}
	found := func(r *Repos) (notes []*Note) {
		t.Helper()
		err := r.Noted(func(n *Note) error { notes = append(notes, n); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return notes
	}
	note, err := r.Note(t.Context(), 7, nil, []byte("ann"))
	if err != nil || len(note.Before) != 4 {
		t.Fatalf("%+v %v", note, err)
	}
	none, err := r.Note(t.Context(), 8, nil, nil) // of a project without a repository
	if err != nil || len(none.Before) != 0 {
		t.Fatalf("%+v %v", none, err)
	}
	if notes := found(other); notes != nil {
		t.Errorf("while somebody is at work: %+v", notes)
	}
	note.Leave()
	notes := found(other)
	if len(notes) != 1 || notes[0].Project != 7 || string(notes[0].By) != "ann" || !maps.Equal(notes[0].Before, note.Before) {
		t.Fatalf("%+v", notes)
	}
	if again := found(r); again != nil {
		t.Errorf("twice: %+v", again)
	}
	for _, n := range []*Note{notes[0], none} {
		if err := n.Done(); err != nil {
			t.Error(err)
		}
	}
	if notes := found(other); notes != nil {
		t.Errorf("afterwards: %+v", notes)
	}
	// One that was cut off while it was written was of a change that had not begun; nobody takes it for a whole one.
	half := filepath.Join(r.folder, "new-half")
	if err := os.WriteFile(half, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := errors.Join(os.Chtimes(half, old, old), r.Sweep()); err != nil || len(found(r)) > 0 {
		t.Error(err)
	}
	left, err := os.ReadDir(r.folder)
	if err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
	// Where nothing can be written nothing changes.
	nowhere, err := Open(filepath.Join(r.path(7), "HEAD"))
	if err != nil {
		t.Fatal(err)
	}
	if note, err := nowhere.Note(t.Context(), 7, nil, nil); err == nil {
		t.Errorf("%+v", note)
	}
}

// What others do to a repository at the same time is not taken for what was asked for.
func TestAsked(t *testing.T) {
	r := open(t)
	filled(t, r, 7)
	asked := Asked{"refs/tags/v1": "", "refs/tags/v2": "another", "refs/heads/main": "to", "refs/heads/new": AnyObject, "refs/heads/none": AnyObject}
	note, err := r.Note(t.Context(), 7, asked, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer note.Done()
	if names := slices.Sorted(maps.Keys(note.Before)); !slices.Equal(names, []string{"refs/heads/main", "refs/tags/v1", "refs/tags/v2"}) {
		t.Errorf("noted %v", names)
	}
	before, now := note.Changed(State{"refs/heads/main": "to", "refs/tags/v2": "moved", "refs/heads/new": "x", "refs/heads/topic/a": "moved", "refs/tags/others": "y"})
	if got := fmt.Sprint(now.Changes(before)); got != "[{refs/heads/ main} {refs/heads/ new}]" {
		t.Errorf("changes %s", got)
	}
	if _, there := before["refs/tags/v1"]; !there || len(before) != 2 {
		t.Errorf("before %v", before)
	}
}

// pushBody is the beginning of the body of a push.
func pushBody(lines ...string) string {
	text := ""
	for _, line := range lines {
		text += fmt.Sprintf("%04x%s", len(line)+4, line)
	}
	return text + "0000"
}

func TestReadPush(t *testing.T) {
	a, b, zero := strings.Repeat("a", 40), strings.Repeat("b", 64), strings.Repeat("0", 40)
	good := pushBody(zero+" "+a+" refs/tags/v1\x00 report-status\n", a+" "+zero+" refs/heads/gone", "shallow "+a, zero+" "+b+" refs/heads/with space") + "0008"
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, good)
	z.Close()
	for what, row := range map[string]struct {
		body, encoding string
		want           Asked // nil: none
	}{
		"a push":                 {good, "", Asked{"refs/tags/v1": a, "refs/heads/gone": "", "refs/heads/with space": b}},
		"one that is compressed": {zipped.String(), "gzip", Asked{"refs/tags/v1": a, "refs/heads/gone": "", "refs/heads/with space": b}},
		"of nothing":             {"0000", "", Asked{}},
		"nothing":                {"", "", Asked{}},
		"no compressed one":      {good, "gzip", nil},
		"no length":              {"xyz1", "", nil},
		"a length alone":         {"0004", "", nil},
		"cut off":                {good[:20], "", nil},
		"no end":                 {good[:len(good)-8], "", nil},
		"no commit":              {pushBody("HEAD " + a + " refs/heads/x"), "", nil},
		"no name":                {pushBody(zero + " " + a + " "), "", nil},
		"a signed one":           {pushBody("push-cert\x00"), "", nil},
	} {
		q := httptest.NewRequest("POST", "/", strings.NewReader(row.body))
		q.Header.Set("Content-Encoding", row.encoding)
		got, err := ReadPush(q)
		if (err != nil) != (row.want == nil) || !maps.Equal(got, row.want) || err != nil && registry.KindOf(err) != registry.Invalid {
			t.Errorf("%s: %v, %v", what, got, err)
		}
		if body, err := io.ReadAll(q.Body); row.want != nil && (err != nil || len(row.want) > 0 && string(body) != good) {
			t.Errorf("%s: the body is %q afterwards, %v", what, body, err)
		}
	}
	line := strings.TrimSuffix(pushBody(zero+" "+a+" refs/tags/v1"), "0000")
	q := httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat(line, maxRequest/len(line)+2)))
	if _, err := ReadPush(q); registry.KindOf(err) != registry.TooLarge {
		t.Errorf("an endless one: %v", err)
	}
}

// FuzzReadPush: nothing that is sent takes much, and what is read is a push.
func FuzzReadPush(f *testing.F) {
	f.Add([]byte(pushBody(strings.Repeat("0", 40) + " " + strings.Repeat("a", 40) + " refs/tags/v1\x00caps")))
	f.Add([]byte("0000"))
	f.Add([]byte("ffff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		asked, err := readCommands(bytes.NewReader(body))
		if err == nil && len(body) > 0 && len(asked) == 0 && !bytes.Contains(body, []byte("0000")) {
			t.Errorf("%q was taken", body)
		}
		for ref, object := range asked {
			if ref == "" || object != "" && !ValidCommit(object) {
				t.Errorf("%q is to be %q", ref, object)
			}
		}
	})
}
