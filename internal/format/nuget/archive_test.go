package nuget

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"packhouse/internal/registry"
)

type entry struct{ name, text string }

func makePackage(t testing.TB, entries ...entry) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		f, err := w.Create(e.name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, e.text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readBytes(body []byte) (*contents, error) {
	return readPackage(bytes.NewReader(body), int64(len(body)))
}

const (
	png  = "\x89PNG\r\n\x1a\nmore"
	jpeg = "\xff\xd8\xff\xe0more"
)

func TestGoodPackages(t *testing.T) {
	embedded := nuspecWith(`<icon>images\icon one.png</icon><license type="file">LICENSE</license><readme>docs/README.md</readme>`)
	files := []entry{{"acme.widgets.nuspec", embedded}, {"images/icon%20one.png", png}, {"LICENSE", "You may."}, {"docs/README.md", "# Widgets"}}
	for _, row := range []struct {
		why     string
		entries []entry
		right   func(*contents) bool
	}{
		{"the smallest package", []entry{{"a.nuspec", smallest}}, func(c *contents) bool {
			return string(c.Nuspec) == smallest && c.Icon == nil && c.License == nil && c.Readme == nil && !c.Manifest.Signed
		}},
		{"a nuspec in capitals, after other files", []entry{{"_rels/.rels", "<a/>"}, {"lib/net45/a.dll", "MZ"}, {"A.NUSPEC", smallest}}, func(c *contents) bool {
			return c.Manifest.ID == "Acme.Widgets"
		}},
		{"another nuspec in a folder", []entry{{"content/b.nuspec", "no XML"}, {"a.nuspec", smallest}}, func(c *contents) bool { return c.Manifest.ID == "Acme.Widgets" }},
		{"a signed package", []entry{{"a.nuspec", smallest}, {".signature.p7s", "0"}}, func(c *contents) bool { return c.Manifest.Signed }},
		{"a signature in a folder, which is none", []entry{{"a.nuspec", smallest}, {"a/.signature.p7s", "0"}}, func(c *contents) bool { return !c.Manifest.Signed }},
		{"icon, license and readme", files, func(c *contents) bool {
			return string(c.Icon) == png && string(c.License) == "You may." && string(c.Readme) == "# Widgets"
		}},
		{"files whose names have other capitals", []entry{files[0], {"images/Icon one.png", jpeg}, {"License", "You may."}, {"docs/readme.md", "# Widgets"}}, func(c *contents) bool {
			return string(c.Icon) == jpeg && string(c.License) == "You may." && string(c.Readme) == "# Widgets"
		}},
		{"two files that differ in capitals", append([]entry{{"license", "You may not."}}, files...), func(c *contents) bool { return string(c.License) == "You may." }},
		{"an icon that is no picture", []entry{{"a.nuspec", nuspecWith("<icon>a.svg</icon>")}, {"a.svg", "<svg/>"}}, func(c *contents) bool { return c.Icon == nil && c.Manifest.Icon == "a.svg" }},
		{"a symbol package, which lacks the icon of its package", []entry{{"a.nuspec", nuspecWith(`<icon>a.png</icon><packageTypes><packageType name="SymbolsPackage"/></packageTypes>`)}}, func(c *contents) bool {
			return c.Manifest.isSymbolPackage()
		}},
		{"a readme of 1 MiB", []entry{{"a.nuspec", nuspecWith("<readme>a.md</readme>")}, {"a.md", strings.Repeat("a", 1<<20)}}, func(c *contents) bool { return len(c.Readme) == 1<<20 }},
	} {
		c, err := readBytes(makePackage(t, row.entries...))
		if err != nil || !row.right(c) {
			t.Errorf("%s: %+v, %v", row.why, c, err)
		}
	}
}

// Packages that NuGet's own programs made: see testdata/README.md.
func TestRealPackages(t *testing.T) {
	description := manifest{
		ID: "Acme.Widgets", Version: "1.2.3-beta", Title: "Acme widgets", Description: "Widgets, small ones", ReleaseNotes: "Fixed",
		Tags: []string{"ui", "widgets"}, ProjectURL: "https://acme.example/widgets",
	}
	widgets := description
	widgets.Authors, widgets.Owners = "Ann, Bob", "Acme"
	widgets.LicenseFile, widgets.LicenseURL, widgets.Icon = "LICENSE.txt", "https://aka.ms/deprecateLicenseUrl", "images/icon.png"
	widgets.Repository = &repository{"git", "https://git.example/acme/widgets.git", "main", "0f1e2d"}
	widgets.DependencyGroups = []dependencyGroup{
		{".NETFramework4.5", []dependency{{ID: "Newtonsoft.Json", Range: "[6.0.0, 7.0.0)"}, {ID: "Acme.Core", Range: "1.0.0"}}},
		{".NETFramework4.0", nil},
		{".NETStandard2.0", []dependency{{ID: "Newtonsoft.Json", Range: "13.0.1", Exclude: "build"}}},
	}
	symbols := description
	symbols.Repository, symbols.DependencyGroups, symbols.PackageTypes = widgets.Repository, widgets.DependencyGroups, []packageType{{"SymbolsPackage", ""}}
	old := description
	old.ID, old.Version, old.Authors, old.Owners = "Acme.Old", "1.2.0.0", "Ann, Bob", "Acme"
	old.DependencyGroups = []dependencyGroup{
		{".NETFramework4.5", []dependency{{ID: "Newtonsoft.Json", Range: "[6.0, 7.0)"}, {ID: "Acme.Core", Range: "1.0"}}},
		{".NETFramework4.0", nil},
	}
	bodies := map[string][]byte{}
	for file, want := range map[string]*manifest{"Acme.Widgets.1.2.3-beta.nupkg": &widgets, "Acme.Widgets.1.2.3-beta.snupkg": &symbols, "Acme.Old.1.2.0.0.nupkg": &old} {
		body, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		bodies[file] = body
		c, err := readBytes(body)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if diff := cmp.Diff(want, c.Manifest, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s:\n%s", file, diff)
		}
		if want.Icon != "" && (!bytes.HasPrefix(c.Icon, []byte(png[:8])) || string(c.License) != "You may.\n") {
			t.Errorf("%s: icon %q, license %q", file, c.Icon, c.License)
		}
	}

	found, err := collect(bodies["Acme.Widgets.1.2.3-beta.snupkg"])
	id := found["lib/net45/Acme.Widgets.pdb"]
	if err != nil || len(found) != 1 || id != realSymbol {
		t.Errorf("its PDB: %v, %v", found, err)
	}
	nupkg := bodies["Acme.Widgets.1.2.3-beta.nupkg"]
	if err := checkSymbols(bytes.NewReader(nupkg), int64(len(nupkg)), found); err != nil {
		t.Errorf("its DLL: %v", err)
	}
	id.Signature = goodSymbol.Signature
	if err := checkSymbols(bytes.NewReader(nupkg), int64(len(nupkg)), map[string]symbol{"lib/net45/Acme.Widgets.pdb": id}); registry.KindOf(err) != registry.Invalid {
		t.Errorf("its DLL with another PDB: %v", err)
	}
}

// realSymbol is what Python's uuid and hashlib say of the PDB in testdata; the DLL names the same GUID.
var realSymbol = symbol{"0b3d475e993f4697beeffa4ef9b31f9eFFFFFFFF", "57e045d8195b94603604a205d810e59eaf91314f0cca75109d4c263f379453fb"}

func TestBadPackages(t *testing.T) {
	one := makePackage(t, entry{"a.nuspec", smallest})
	lie := func(size int) []byte {
		body := bytes.Clone(one)
		binary.LittleEndian.PutUint32(body[bytes.Index(body, []byte("PK\x01\x02"))+24:], uint32(size))
		return body
	}
	huge := strings.Repeat("a", 1<<20+1)
	for _, row := range []struct {
		why  string
		body []byte
		want string
	}{
		{"nothing", nil, "nuspec file not found"},
		{"no zip archive", []byte("long enough to be looked at for the end of a central directory"), "nuspec file not found"},
		{"half a package", one[:len(one)/2], "nuspec file not found"},
		{"no nuspec", makePackage(t, entry{"a.txt", ""}), "nuspec file not found"},
		{"a nuspec in a folder only", makePackage(t, entry{"a/a.nuspec", smallest}), "nuspec file not found"},
		{"two nuspecs", makePackage(t, entry{"a.nuspec", smallest}, entry{"b.NuSpec", smallest}), `the package has two nuspec files, "a.nuspec" and "b.NuSpec"`},
		{"one nuspec in two spellings", makePackage(t, entry{"a.nuspec", smallest}, entry{"%61.nuspec", smallest}), `the package has two nuspec files, "a.nuspec" and "%61.nuspec"`},
		{"one nuspec twice", makePackage(t, entry{"a.nuspec", smallest}, entry{"a.nuspec", smallest}), `the package has the file "a.nuspec" twice`},
		{"a nuspec of more than 4 MiB", makePackage(t, entry{"a.nuspec", nuspecWith("<!--" + strings.Repeat("a", 4<<20) + "-->")}), "nuspec file too big"},
		{"a nuspec said to be longer", lie(len(smallest) + 1), `the package has the file "a.nuspec", which is damaged`},
		{"a nuspec said to be shorter", lie(len(smallest) - 1), `the package has the file "a.nuspec", which is damaged`},
		{"a nuspec that is no XML", makePackage(t, entry{"a.nuspec", "text"}), "The nuspec is not well-formed XML (line 1)"},
		{"a path out of it", makePackage(t, entry{"a.nuspec", smallest}, entry{"lib/../../a", ""}), "the package has a file whose path leads out of it"},
		{"an escaped path out of it", makePackage(t, entry{"a.nuspec", smallest}, entry{"lib/%2e%2e/%2E%2E/a", ""}), "the package has a file whose path leads out of it"},
		{"an escaped path of Windows out of it", makePackage(t, entry{"a.nuspec", smallest}, entry{"..%5Ca", ""}), "the package has a file whose path leads out of it"},
		{"a bomb", makePackage(t, entry{"a.nuspec", smallest}, entry{"a", strings.Repeat("\x00", 70<<20)}), "the package unpacks to too much"},
		{"no icon where one is named", makePackage(t, entry{"a.nuspec", nuspecWith("<icon>a.png</icon>")}), `The package lacks the file "a.png", which its nuspec names as its icon`},
		{"no license file where one is named", makePackage(t, entry{"a.nuspec", nuspecWith(`<license type="file">a.txt</license>`)}), `The package lacks the file "a.txt", which its nuspec names as its license file`},
		{"no readme where one is named", makePackage(t, entry{"a.nuspec", nuspecWith("<readme>a.md</readme>")}), `The package lacks the file "a.md", which its nuspec names as its readme`},
		{"a large icon", makePackage(t, entry{"a.nuspec", nuspecWith("<icon>a.png</icon>")}, entry{"a.png", png + huge}), "The icon of the package is larger than 1 MiB"},
		{"a large readme", makePackage(t, entry{"a.nuspec", nuspecWith("<readme>a.md</readme>")}, entry{"a.md", huge}), "The readme of the package is larger than 1 MiB"},
	} {
		c, err := readBytes(row.body)
		if registry.KindOf(err) != registry.Invalid || registry.MessageOf(err) != row.want {
			t.Errorf("%s: %+v, %v", row.why, c, err)
		}
	}
}

func FuzzPackage(f *testing.F) {
	f.Add(makePackage(f, entry{"a.nuspec", nuspecWith("<icon>a.png</icon><readme>b</readme>")}, entry{"%61.png", png}, entry{"b", ""}))
	f.Add(makePackage(f, entry{"a.nuspec", smallest}, entry{"b.nuspec", smallest}))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := readBytes(body)
		if err != nil && registry.KindOf(err) != registry.Invalid {
			t.Errorf("%+v, %v", c, err)
		}
	})
}
