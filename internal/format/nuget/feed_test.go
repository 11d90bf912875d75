package nuget

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"packhouse/internal/registry"
)

var rewrite = flag.Bool("update", false, "write the golden files anew")

// golden compares a document with its file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n%s", name, got)
	}
}

// wellFormed reads XML to its end.
func wellFormed(t *testing.T, text []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
}

func TestDocuments(t *testing.T) {
	listed, unlisted := sample(), sample()
	unlisted.Version, unlisted.VersionKey, unlisted.Status, unlisted.latest, unlisted.absoluteLatest = "1.0.0-Beta", "1.0.0-beta", registry.Hidden, false, false
	unlisted.version, _ = parseVersion("1.0.0-Beta")
	unlisted.manifest = &manifest{ID: "Acme.Widgets", Version: "1.0.0-Beta"}
	f := &feed{prefix: listed.prefix, title: "Packages", self: listed.prefix + "/v2/Packages", updated: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	paged := *f
	paged.counted, paged.count, paged.next = true, 3, f.self+"()?$filter=Id eq 'x'&$skip=2"
	slim := *f
	slim.selected, _ = parseSelect("$select", "Version,Published")
	for name, test := range map[string]struct {
		layout  layout
		feed    *feed
		entries []*feedEntry
	}{
		"entry.xml":    {atom{alone: true}, f, []*feedEntry{listed}},
		"feed.xml":     {atom{}, &paged, []*feedEntry{listed, unlisted}},
		"selected.xml": {atom{}, &slim, []*feedEntry{unlisted}},
		"empty.xml":    {atom{}, f, nil},
		"entry.json":   {&verbose{alone: true}, &slim, []*feedEntry{listed}},
		"feed.json":    {&verbose{}, &paged, []*feedEntry{listed, unlisted}},
	} {
		var b bytes.Buffer
		test.layout.open(&b, test.feed)
		for _, e := range test.entries {
			test.layout.entry(&b, test.feed, e)
		}
		test.layout.close(&b, test.feed)
		if strings.HasSuffix(name, ".json") {
			if !json.Valid(b.Bytes()) {
				t.Errorf("%s is not JSON", name)
			}
		} else {
			wellFormed(t, b.Bytes())
		}
		golden(t, name, b.Bytes())
	}
	wellFormed(t, metadataDocument)
	golden(t, "metadata.xml", metadataDocument)
	golden(t, "service.xml", serviceDocument(f.base()))
}

// What XML cannot hold is left out, and the rest is escaped.
func TestEscape(t *testing.T) {
	var b bytes.Buffer
	escape(&b, "a\x00\x0b\x1f\uFFFE<&>\"'\tü\n\r")
	if b.String() != "a&lt;&amp;&gt;&quot;'\tü\n&#xD;" {
		t.Errorf("%q", b.String())
	}
}

func TestShortFrameworks(t *testing.T) {
	for framework, want := range map[string]string{
		"": "", "Any": "", "net8.0": "net8.0", "net45": "net45", "NET461": "net461", "netstandard2.0": "netstandard2.0", "net8.0-windows7.0": "net8.0-windows7.0",
		".NETStandard2.0": "netstandard2.0", ".NETStandard1.0": "netstandard1.0", ".NETStandard,Version=v2.1": "netstandard2.1",
		".NETFramework4.5": "net45", ".NETFramework4.0": "net40", ".NETFramework4.6.1": "net461", ".NETFramework,Version=v4.7.2": "net472",
		".NETFramework4.0-Client": "net40-client", ".NETFramework,Version=v4.0,Profile=Client": "net40-client",
		".NETCoreApp2.1": "netcoreapp2.1", ".NETCoreApp3.1": "netcoreapp3.1", ".NETCoreApp5.0": "net5.0", ".NETCoreApp,Version=v10.0": "net10.0",
		"Silverlight4.0": "sl4", "Silverlight5": "sl5", "Windows8.0": "win8", "Windows8.1": "win81", "WindowsPhone8.0": "wp8", "WindowsPhoneApp8.1": "wpa81",
		"UAP10.0": "uap10.0", "UAP10.0.16299": "uap10.0.16299", "MonoAndroid1.0": "monoandroid10", "Xamarin.iOS1.0": "xamarinios10", "native0.0": "native",
		".NETPortable4.5-Profile111": "portable-profile111", ".NETPortable0.0-net45+win8": "portable-net45+win8", "DNXCore5.0": "dnxcore50", "unknown 1": "unknown 1",
	} {
		if got := shortFramework(framework); got != want {
			t.Errorf("%q is %q, not %q", framework, got, want)
		}
	}
}

func TestDependencies(t *testing.T) {
	for want, groups := range map[string][]dependencyGroup{
		"":                            nil,
		"a:1.0:|b::":                  {{Dependencies: []dependency{{ID: "a", Range: "1.0"}, {ID: "b"}}}},
		"a:[1.0, 2.0):net45|::net8.0": {{Framework: ".NETFramework4.5", Dependencies: []dependency{{ID: "a", Range: "[1.0, 2.0)"}}}, {Framework: "net8.0"}},
		"ab:1:net45":                  {{Framework: "net45", Dependencies: []dependency{{ID: "a|b", Range: ":1"}}}},
	} {
		if got := dependenciesText(groups); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
