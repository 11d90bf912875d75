package faults

import (
	"strings"
	"testing"
	"time"
)

// The checker finds each way to break the promise, and accepts what is right.
func TestChecker(t *testing.T) {
	k := key{"npm", "pack", "1"}
	at := func(kind kind, from, to int, o outcome, digest string) event {
		end := time.Duration(to) * time.Second
		if to == 0 {
			end = forever
		}
		if kind == set || kind == shows {
			return event{kind: kind, key: key{"npm", "pack", "tag"}, from: time.Duration(from) * time.Second, to: end, outcome: o, digest: digest}
		}
		return event{kind: kind, key: k, from: time.Duration(from) * time.Second, to: end, outcome: o, digest: digest}
	}
	asked := func(content string, e event) event { e.asked = content; return e }
	for _, row := range []struct {
		what   string
		events []event
		broken string // empty: nothing is
	}{
		{"published and read", []event{at(publish, 1, 2, done, "a"), at(index, 3, 4, 0, "a"), at(download, 4, 5, 0, "a")}, ""},
		{"read while it is published", []event{at(publish, 1, 4, done, "a"), at(index, 2, 3, 0, "a"), at(index, 2, 3, 0, "")}, ""},
		{"lost", []event{at(publish, 1, 2, done, "a"), at(index, 3, 4, 0, "")}, "is not there"},
		{"other bytes", []event{at(publish, 1, 2, done, "a"), at(publish, 1, 2, unknown, "b"), at(download, 3, 4, 0, "b")}, "other bytes"},
		{"bytes of nobody", []event{at(publish, 1, 2, done, "a"), at(download, 3, 4, 0, "x")}, "not published"},
		{"two winners", []event{at(publish, 1, 3, done, "a"), at(publish, 2, 4, done, "b")}, "two publishes"},
		{"two winners, one deleted", []event{at(publish, 1, 2, done, "a"), at(remove, 2, 3, done, ""), at(publish, 4, 5, done, "b"), at(index, 6, 7, 0, "b")}, ""},
		{"a slow winner after a fast one that was deleted", []event{at(publish, 1, 9, done, "a"), at(publish, 2, 3, done, "b"), at(remove, 4, 5, done, ""), at(index, 10, 11, 0, "a")}, ""},
		{"a slow winner and a fast one", []event{at(publish, 1, 9, done, "a"), at(publish, 2, 3, done, "b"), at(remove, 10, 11, done, "")}, "two publishes"},
		{"a refused one is read", []event{at(publish, 1, 2, refused, "a"), at(index, 3, 4, 0, "a")}, "not published"},
		{"one in doubt is read", []event{at(publish, 1, 0, unknown, "a"), at(index, 3, 4, 0, "a")}, ""},
		{"one in doubt is never read", []event{at(publish, 1, 0, unknown, "a"), at(index, 3, 4, 0, "")}, ""},
		{"one in doubt goes away", []event{at(publish, 1, 0, unknown, "a"), at(index, 3, 4, 0, "a"), at(index, 5, 6, 0, "")}, "is missing"},
		{"deleted", []event{at(publish, 1, 2, done, "a"), at(remove, 3, 4, done, ""), at(index, 5, 6, 0, "")}, ""},
		{"deleted comes back", []event{at(publish, 1, 2, done, "a"), at(remove, 3, 4, done, ""), at(index, 5, 6, 0, "a")}, "was deleted"},
		{"read while it is deleted", []event{at(publish, 1, 2, done, "a"), at(remove, 3, 6, done, ""), at(index, 4, 5, 0, "a")}, ""},
		{"delete in doubt", []event{at(publish, 1, 2, done, "a"), at(remove, 3, 0, unknown, ""), at(index, 5, 6, 0, "")}, ""},
		{"a refused delete takes away", []event{at(publish, 1, 2, done, "a"), at(remove, 3, 4, refused, ""), at(index, 5, 6, 0, "")}, "is not there"},
		{"lost on another node", []event{at(publish, 1, 2, done, "a"), at(index, 3, 4, 0, "a"), at(index, 5, 6, 0, ""), at(index, 7, 8, 0, "a")}, "is not there"},
		{"the index has it, and its file is gone", []event{at(publish, 1, 2, done, "a"), at(index, 3, 4, 0, "a"), at(download, 5, 6, 0, "")}, "is not there"},
		{"its file is gone, by its digest", []event{at(publish, 1, 2, done, "a"), asked("a", at(download, 5, 6, 0, ""))}, "is not there"},
		{"the file of another publish is not there", []event{at(publish, 1, 2, done, "a"), at(publish, 1, 3, refused, "b"), asked("b", at(download, 5, 6, 0, ""))}, ""},
		{"the file of one in doubt goes away", []event{at(publish, 1, 0, unknown, "a"), asked("a", at(download, 3, 4, 0, "a")), asked("a", at(download, 5, 6, 0, ""))}, "is missing"},
		{"published again while another node has the old one", []event{at(publish, 1, 2, done, "a"), at(remove, 3, 4, done, ""), at(publish, 5, 6, done, "b"), at(index, 7, 8, 0, "a")}, "other bytes"},
		{"what was deleted comes back beside what is published again", []event{at(publish, 1, 2, done, "a"), at(remove, 3, 4, done, ""), at(publish, 5, 6, unknown, "b"), at(download, 7, 8, 0, "a")}, "was deleted"},
		{"two winners, one of them in doubt", []event{at(publish, 1, 0, unknown, "a"), at(publish, 2, 4, done, "b"), at(index, 5, 6, 0, "b")}, ""},
		{"a tag", []event{at(set, 1, 2, done, "1"), at(shows, 3, 4, 0, "1"), at(set, 5, 6, done, "2"), at(shows, 7, 8, 0, "2")}, ""},
		{"a tag while it moves", []event{at(set, 1, 2, done, "1"), at(set, 3, 8, done, "2"), at(shows, 4, 5, 0, "1"), at(shows, 6, 7, 0, "2")}, ""},
		{"a tag is lost", []event{at(set, 1, 2, done, "1"), at(shows, 3, 4, 0, "")}, "not what it was set to"},
		{"a tag is stale", []event{at(set, 1, 2, done, "1"), at(set, 3, 4, done, "2"), at(shows, 5, 6, 0, "1")}, "not what it was set to"},
		{"a tag is stale on another node", []event{at(set, 1, 2, done, "1"), at(set, 3, 9, done, "2"), at(shows, 4, 5, 0, "2"), at(shows, 6, 7, 0, "1")}, "went back"},
		{"a tag that nobody set", []event{at(set, 1, 2, done, "1"), at(shows, 3, 4, 0, "2")}, "not what it was set to"},
		{"a tag that was refused", []event{at(set, 1, 2, refused, "1"), at(shows, 3, 4, 0, "1")}, "not what it was set to"},
		{"a tag in doubt", []event{at(set, 1, 0, unknown, "1"), at(shows, 3, 4, 0, ""), at(shows, 5, 6, 0, "1")}, ""},
		{"a tag in doubt comes and goes", []event{at(set, 1, 0, unknown, "1"), at(shows, 3, 4, 0, "1"), at(shows, 5, 6, 0, "")}, "went back"},
		{"a tag that was removed", []event{at(set, 1, 2, done, "1"), at(set, 3, 4, done, ""), at(shows, 5, 6, 0, "")}, ""},
		{"a tag that was removed comes back", []event{at(set, 1, 2, done, "1"), at(set, 3, 4, done, ""), at(shows, 5, 6, 0, "1")}, "not what it was set to"},
		{"a tag goes with its version", []event{at(set, 1, 2, done, "1"), at(remove, 3, 4, done, ""), at(shows, 5, 6, 0, "")}, ""},
		{"a tag stays when its version goes", []event{at(set, 1, 2, done, "1"), at(remove, 3, 4, done, ""), at(shows, 5, 6, 0, "1")}, "not what it was set to"},
		{"a tag goes with another version", []event{at(set, 1, 2, done, "2"), at(remove, 3, 4, done, ""), at(shows, 5, 6, 0, "")}, "not what it was set to"},
		{"a tag comes back with its version", []event{at(set, 1, 2, done, "1"), at(remove, 3, 4, done, ""), at(publish, 5, 6, done, "a"), at(shows, 7, 8, 0, "1")}, "not what it was set to"},
		{"an index without digests", []event{at(publish, 1, 2, done, "a"), at(index, 3, 4, 0, "?")}, ""},
	} {
		h := newHistory()
		h.events = row.events
		broken := strings.Join(h.check(), "\n")
		if (broken == "") != (row.broken == "") || !strings.Contains(broken, row.broken) {
			t.Errorf("%s: %q, want %q", row.what, broken, row.broken)
		}
	}
}
