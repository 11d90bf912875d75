package registry

import (
	"strings"
	"testing"
	"time"
)

// The versions are those of a name, the newest first.
func TestCleanupJudge(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(days int) time.Time { return now.Add(-time.Duration(days) * day) }
	type version struct {
		version    string
		age        int
		downloaded int // days ago; -1: never
		status     Status
		needed     bool
		spare      int64
	}
	five := []version{{"5", 1, -1, 0, false, 0}, {"4", 10, -1, 0, false, 0}, {"3", 20, -1, 0, false, 0}, {"2", 30, -1, 0, false, 0}, {"1", 40, -1, 0, false, 0}}
	for _, test := range []struct {
		what     string
		policy   CleanupPolicy
		versions []version
		want     string // those that go, with the initials of the reasons
		rule     *ProtectionRule
	}{
		{"no condition takes nothing", CleanupPolicy{}, five, "", nil},
		{"patterns alone take nothing", CleanupPolicy{NamePattern: ".*", VersionPattern: ".*"}, five, "", nil},
		{"the newest stay", CleanupPolicy{KeepVersions: 2}, five, "3k 2k 1k", nil},
		{"as many as there are", CleanupPolicy{KeepVersions: 5}, five, "", nil},
		{"old ones go", CleanupPolicy{OlderThan: 15}, five, "3o 2o 1o", nil},
		{"of a day's age not before it is over", CleanupPolicy{OlderThan: 10}, five, "3o 2o 1o", nil},
		{"all conditions must hold", CleanupPolicy{KeepVersions: 2, OlderThan: 25}, five, "2ko 1ko", nil},
		{"the newest stays, however old", CleanupPolicy{OlderThan: 1},
			[]version{{"2", 400, -1, 0, false, 0}, {"1", 500, -1, 0, false, 0}}, "1o", nil},
		{"what was not downloaded", CleanupPolicy{NotDownloadedSince: 15},
			[]version{{"5", 1, -1, 0, false, 0}, {"4", 10, -1, 0, false, 0}, {"3", 20, -1, 0, false, 0}, {"2", 30, 3, 0, false, 0}, {"1", 40, 16, 0, false, 0}}, "3n 1n", nil},
		{"what a tag names stays, and counts", CleanupPolicy{KeepVersions: 2},
			[]version{{"5", 1, -1, 0, true, 0}, {"4", 10, -1, 0, false, 0}, {"3", 20, -1, 0, true, 0}, {"2", 30, -1, 0, false, 0}}, "2k", nil},
		{"what is hidden, processing, failed or going is left and does not count", CleanupPolicy{KeepVersions: 1},
			[]version{{"6", 0, -1, Hidden, false, 0}, {"5", 1, -1, 0, false, 0}, {"4", 10, -1, Hidden, false, 0}, {"3", 20, -1, Processing, false, 0}, {"2", 30, -1, Failed, false, 0}, {"1", 30, -1, PendingDestruction, false, 0}, {"0", 40, -1, Deprecated, false, 0}}, "0k", nil},
		{"only versions that match, which alone count", CleanupPolicy{KeepVersions: 1, VersionPattern: `.*-dev`},
			[]version{{"4", 1, -1, 0, false, 0}, {"4-dev", 2, -1, 0, false, 0}, {"3", 3, -1, 0, false, 0}, {"3-dev", 4, -1, 0, false, 0}, {"3-dev.1", 5, -1, 0, false, 0}}, "3-devk", nil},
		{"the newest of the name is not the newest that matches", CleanupPolicy{OlderThan: 1, VersionPattern: `.*-dev`},
			[]version{{"4", 1, -1, 0, false, 0}, {"4-dev", 2, -1, 0, false, 0}, {"3-dev", 4, -1, 0, false, 0}}, "4-devo 3-devo", nil},
		{"the newest of the name, matching", CleanupPolicy{OlderThan: 1, VersionPattern: `.*-dev`},
			[]version{{"4-dev", 2, -1, 0, false, 0}, {"4", 3, -1, 0, false, 0}, {"3-dev", 4, -1, 0, false, 0}}, "3-devo", nil},
		{"versions that a pattern keeps do not count", CleanupPolicy{KeepVersions: 1, VersionKeepPattern: `[45]`}, five, "2k 1k", nil},
		{"a pattern is for the whole text", CleanupPolicy{KeepVersions: 1, VersionPattern: `1|2.`},
			[]version{{"3", 1, -1, 0, false, 0}, {"21", 1, -1, 0, false, 0}, {"12", 2, -1, 0, false, 0}, {"1", 2, -1, 0, false, 0}, {"22", 3, -1, 0, false, 0}}, "1k 22k", nil},
		{"the name as published", CleanupPolicy{KeepVersions: 4, NamePattern: `My\.Pack`}, five, "1k", nil},
		{"the name in its canonical spelling", CleanupPolicy{KeepVersions: 4, NamePattern: `my-pack`}, five, "1k", nil},
		{"another name", CleanupPolicy{KeepVersions: 4, NamePattern: `my`}, five, "", nil},
		{"a name that is kept", CleanupPolicy{KeepVersions: 4, NamePattern: `.*`, NameKeepPattern: `my-.*`}, five, "", nil},
		{"a name that a rule protects from deletion", CleanupPolicy{KeepVersions: 1}, five, "", &ProtectionRule{Type: NPM, Pattern: "my-*", DeleteLevel: Owner}},
		{"a name that a rule protects from publishing only", CleanupPolicy{KeepVersions: 4}, five, "1k", &ProtectionRule{Type: NPM, Pattern: "my-*", PushLevel: Owner}},
		{"spare files of what is protected", CleanupPolicy{KeepFiles: 1}, []version{{"3", 1, -1, 0, true, 2}}, "", &ProtectionRule{Type: NPM, Pattern: "My.Pack", DeleteLevel: Maintainer}},
		{"spare files", CleanupPolicy{KeepFiles: 1},
			[]version{{"3", 1, -1, 0, true, 2}, {"2", 2, -1, 0, false, 0}, {"1", 2, -1, Hidden, false, 3}}, "3", nil},
		{"spare files of what stays, and versions whole", CleanupPolicy{KeepFiles: 1, KeepVersions: 2},
			[]version{{"4", 1, -1, 0, false, 2}, {"3", 2, -1, 0, false, 0}, {"2", 3, -1, 0, false, 3}, {"1", 3, -1, 0, true, 3}}, "4 2k 1", nil},
		{"spare files within the patterns", CleanupPolicy{KeepFiles: 1, VersionPattern: "3"},
			[]version{{"4", 1, -1, 0, false, 2}, {"3", 2, -1, 0, false, 2}}, "3", nil},
	} {
		protected := &Policy{}
		if test.rule != nil {
			protected.Rules = append(protected.Rules, test.rule)
		}
		c, err := newCleaner(&test.policy, protected, now)
		if err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		// A name before and behind: each is counted by itself.
		for entry := range int64(3) {
			var got []string
			for _, v := range test.versions {
				judged := &CleanupVersion{EntryName: "my-pack", Needed: v.needed, SpareFiles: v.spare,
					Package: Package{EntryID: entry + 1, Type: NPM, Name: "My.Pack", Version: v.version, Status: v.status, CreatedAt: ago(v.age)}}
				if v.downloaded >= 0 {
					judged.LastDownloadedAt = ago(v.downloaded)
				}
				if pick := c.judge(judged); pick != nil {
					initials := ""
					for _, reason := range pick.Reasons {
						initials += reason[:1]
					}
					got = append(got, v.version+initials)
				}
			}
			if text := strings.Join(got, " "); text != test.want {
				t.Errorf("%s: %q go, want %q", test.what, text, test.want)
			}
		}
	}
}

func TestCleanupCheck(t *testing.T) {
	for _, test := range []struct {
		policy CleanupPolicy
		wrong  string // attribute
	}{
		{CleanupPolicy{Cadence: DefaultCadence}, ""},
		{CleanupPolicy{Cadence: time.Minute}, "cadence"},
		{CleanupPolicy{Cadence: 31 * day}, "cadence"},
		{CleanupPolicy{Cadence: time.Hour, KeepVersions: -1}, "keep_n_versions"},
		{CleanupPolicy{Cadence: time.Hour, KeepFiles: -1}, "keep_n_duplicated_package_files"},
		{CleanupPolicy{Cadence: time.Hour, OlderThan: MaxCleanupDays + 1}, "older_than"},
		{CleanupPolicy{Cadence: time.Hour, NotDownloadedSince: MaxCleanupDays + 1}, "not_downloaded_since"},
		{CleanupPolicy{Cadence: time.Hour, NamePattern: "["}, "name_pattern"},
		{CleanupPolicy{Cadence: time.Hour, NamePattern: "a)(b"}, "name_pattern"},
		{CleanupPolicy{Cadence: time.Hour, NameKeepPattern: "(?=x)"}, "name_keep_pattern"},
		{CleanupPolicy{Cadence: time.Hour, VersionPattern: strings.Repeat("ü", 255)}, ""},
		{CleanupPolicy{Cadence: time.Hour, VersionPattern: strings.Repeat("ü", 256)}, "version_pattern"},
		{CleanupPolicy{Cadence: time.Hour, VersionKeepPattern: "*"}, "version_keep_pattern"},
	} {
		wrong := test.policy.Check()
		if (test.wrong != "" || len(wrong) != 0) && (len(wrong) != 1 || wrong[test.wrong] == "") {
			t.Errorf("%+v: %v, want %q", test.policy, wrong, test.wrong)
		}
	}
}
