package nuget

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"packhouse/internal/registry"
)

const smallest = `<package><metadata><id>Acme.Widgets</id><version>1.0</version></metadata></package>`

// nuspecWith is the smallest nuspec with more in its metadata.
func nuspecWith(more string) string {
	return strings.Replace(smallest, "</metadata>", more+"</metadata>", 1)
}

const whole = `<?xml version="1.0" encoding="utf-8"?>
<!-- written by hand -->
<package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd">
  <metadata minClientVersion="2.12">
    <id>Acme.Widgets</id>
    <version>1.2.3-Beta.1+build.7</version>
    <title>Acme
      widgets</title>
    <authors>Ann, Bob  Smith,,Zoë</authors>
    <owners>Acme</owners>
    <requireLicenseAcceptance>True</requireLicenseAcceptance>
    <developmentDependency>true</developmentDependency>
    <license type="expression">MIT OR (Apache-2.0 AND BSD-2-Clause)</license>
    <licenseUrl>https://licenses.example/MIT</licenseUrl>
    <icon>images\icon.png</icon>
    <readme>docs/README.md</readme>
    <projectUrl>https://acme.example/widgets?a=1&amp;b=2</projectUrl>
    <iconUrl>http://acme.example/icon.png</iconUrl>
    <description><![CDATA[Widgets & <more>.

Two paragraphs.]]></description>
    <summary>Widgets</summary>
    <releaseNotes>Fixed &#233;verything</releaseNotes>
    <copyright>© Acme</copyright>
    <language>en-US</language>
    <tags>ui widgets, Gadgets;tools</tags>
    <repository type="git" url="https://git.example/acme/widgets.git" branch="main" commit="0f1e2d" />
    <packageTypes>
      <packageType name="DotnetTool" />
      <packageType name="Custom" version="1.0" />
    </packageTypes>
    <dependencies>
      <group targetFramework=".NETStandard2.0">
        <dependency id="Newtonsoft.Json" version="13.0.1" exclude="Build,Analyzers" />
        <dependency id="Acme.Core" version="[1.0, 2.0)" include="Compile" />
      </group>
      <group targetFramework="net8.0">
        <dependency id="newtonsoft.json" version="13.0.3" />
      </group>
      <group targetFramework="net462" />
      <group>
        <dependency id="Acme.Any" />
      </group>
      <dependency id="Not.Read" version="1.0" />
    </dependencies>
    <frameworkAssemblies><frameworkAssembly assemblyName="System.Xml" /></frameworkAssemblies>
    <title>Second title</title>
  </metadata>
  <files><file src="a" target="b" /></files>
</package>
`

func TestWholeNuspec(t *testing.T) {
	want := &manifest{
		ID: "Acme.Widgets", Version: "1.2.3-Beta.1+build.7", Title: "Acme widgets", Authors: "Ann, Bob Smith, Zoë", Owners: "Acme",
		Description: "Widgets & <more>.\n\nTwo paragraphs.", Summary: "Widgets", ReleaseNotes: "Fixed éverything", Copyright: "© Acme", Language: "en-US",
		Tags: []string{"ui", "widgets", "Gadgets", "tools"}, ProjectURL: "https://acme.example/widgets?a=1&b=2", LicenseURL: "https://licenses.example/MIT",
		LicenseExpression: "MIT OR (Apache-2.0 AND BSD-2-Clause)", IconURL: "http://acme.example/icon.png", Icon: "images/icon.png", Readme: "docs/README.md",
		RequireAcceptance: true, Development: true, MinClientVersion: "2.12",
		Repository:   &repository{"git", "https://git.example/acme/widgets.git", "main", "0f1e2d"},
		PackageTypes: []packageType{{"DotnetTool", ""}, {"Custom", "1.0"}},
		DependencyGroups: []dependencyGroup{
			{".NETStandard2.0", []dependency{{"Newtonsoft.Json", "13.0.1", "", "Build,Analyzers"}, {"Acme.Core", "[1.0, 2.0)", "Compile", ""}}},
			{"net8.0", []dependency{{"newtonsoft.json", "13.0.3", "", ""}}},
			{"net462", nil},
			{"", []dependency{{"Acme.Any", "", "", ""}}},
		},
	}
	utf16Text := func(order func(uint16) []byte, mark bool, text string) string {
		units := utf16.Encode([]rune(text))
		if mark {
			units = append([]uint16{0xfeff}, units...)
		}
		var b []byte
		for _, unit := range units {
			b = append(b, order(unit)...)
		}
		return string(b)
	}
	little := func(u uint16) []byte { return []byte{byte(u), byte(u >> 8)} }
	big := func(u uint16) []byte { return []byte{byte(u >> 8), byte(u)} }
	as16 := strings.Replace(whole, "utf-8", "utf-16", 1)
	latin := strings.NewReplacer("utf-8", "ISO-8859-1", "ë", "\xeb", "©", "\xa9").Replace(whole)
	namespace := "http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"
	rows := map[string]string{
		"as it is":                             whole,
		"with a byte order mark":               "\ufeff" + whole,
		"without a declaration":                whole[strings.Index(whole, "<!--"):],
		"without a namespace":                  strings.Replace(whole, ` xmlns="`+namespace+`"`, "", 1),
		"with the namespace at its metadata":   strings.Replace(strings.Replace(whole, ` xmlns="`+namespace+`"`, "", 1), "<metadata", `<metadata xmlns="`+namespace+`"`, 1),
		"with CRLF":                            strings.ReplaceAll(strings.ReplaceAll(whole, "\n", "\r\n"), "\r\n\r\nTwo", "\n\nTwo"),
		"with other capitals":                  strings.NewReplacer("<id>", "<ID>", "</id>", "</ID>", "releaseNotes>", "ReleaseNotes>").Replace(whole),
		"in UTF-16, little-endian":             utf16Text(little, true, as16),
		"in UTF-16, big-endian":                utf16Text(big, true, as16),
		"in UTF-16 without a byte order mark":  utf16Text(little, false, as16),
		"in UTF-16, big-endian without a mark": utf16Text(big, false, as16),
		"in UTF-8, said to be UTF-16":          as16,
		"in ISO-8859-1":                        latin,
	}
	for _, year := range []string{"2010/07", "2011/08", "2011/10", "2012/06", "2013/01"} {
		rows["in the namespace of "+year] = strings.Replace(whole, "2013/05", year, 1)
	}
	for why, text := range rows {
		got, err := parseNuspec([]byte(text))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", why, err, diff)
		}
	}
	if !want.semVer2() || want.isSymbolPackage() {
		t.Error("it has a version of SemVer 2 and is no symbol package")
	}
}

func TestGoodNuspecs(t *testing.T) {
	for _, row := range []struct {
		why, more string
		right     func(*manifest) bool
	}{
		{"nothing more", "", func(m *manifest) bool { return m.DependencyGroups == nil && len(m.Tags) == 0 && !m.semVer2() }},
		{"empty elements", "<description/><iconUrl> </iconUrl><icon/><license/><dependencies/>", func(m *manifest) bool {
			return m.Description == "" && m.DependencyGroups == nil
		}},
		{"flat dependencies", `<dependencies><dependency id="a" version="1.0"/><dependency id="b"/></dependencies>`, func(m *manifest) bool {
			return cmp.Equal(m.DependencyGroups, []dependencyGroup{{"", []dependency{{ID: "a", Range: "1.0"}, {ID: "b"}}}})
		}},
		{"dependencies in another spelling, which clients do not read", `<Dependencies><dependency id="a"/></Dependencies>`, func(m *manifest) bool {
			return m.DependencyGroups == nil
		}},
		{"dependencies of another namespace", `<dependencies xmlns="urn:x"><dependency id="a"/></dependencies>`, func(m *manifest) bool {
			return m.DependencyGroups == nil
		}},
		{"one framework twice", `<dependencies><group targetFramework="net45"><dependency id="a"/></group><group targetFramework="net45"><dependency id="a"/></group></dependencies>`, func(m *manifest) bool {
			return len(m.DependencyGroups) == 2
		}},
		{"a dependency that needs SemVer 2", `<dependencies><dependency id="a" version="[1.0-a.1, 2.0)"/></dependencies>`, (*manifest).semVer2},
		{"a symbol package", `<packageTypes><packageType name="symbolsPackage"/></packageTypes>`, (*manifest).isSymbolPackage},
		{"a license file", `<license type="file">LICENSE.txt</license>`, func(m *manifest) bool { return m.LicenseFile == "LICENSE.txt" && m.LicenseExpression == "" }},
		{"an element with children, which has no value", "<title>a<b>c</b></title><title>d</title>", func(m *manifest) bool { return m.Title == "d" }},
		{"an entity of XML's own", "<title>&lt;&amp;&#65;</title>", func(m *manifest) bool { return m.Title == "<&A" }},
		{"long authors", "<authors>" + strings.Repeat("ä", 300) + "</authors>", func(m *manifest) bool { return m.Authors == strings.Repeat("ä", 255) }},
		{"a long description", "<description>" + strings.Repeat("ä", 5000) + "</description>", func(m *manifest) bool {
			return m.Description == strings.Repeat("ä", 4000)
		}},
		{"long release notes", "<releaseNotes>" + strings.Repeat("日", 40_000) + "</releaseNotes>", func(m *manifest) bool {
			return m.ReleaseNotes == strings.Repeat("日", 35_000)
		}},
		{"an icon in a folder above one", `<icon>a/../icon.png</icon>`, func(m *manifest) bool { return m.Icon == "icon.png" }},
	} {
		m, err := parseNuspec([]byte(nuspecWith(row.more)))
		if err != nil || m.ID != "Acme.Widgets" || !row.right(m) {
			t.Errorf("%s: %+v, %v", row.why, m, err)
		}
	}
}

func TestBadNuspecs(t *testing.T) {
	set := func(id, version string) string {
		return strings.NewReplacer("Acme.Widgets", id, "1.0", version).Replace(smallest)
	}
	with := nuspecWith
	var dependencies strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&dependencies, `<dependency id="%s%d" version="1.0"/>`, strings.Repeat("a", 50), i)
	}
	for _, row := range []struct{ why, text, want string }{
		{"nothing", "", "The nuspec is not well-formed XML (line 1)"},
		{"some text", "a nuspec", "The nuspec is not well-formed XML (line 1)"},
		{"JSON", "{}", "The nuspec is not well-formed XML (line 1)"},
		{"an open element", "<package><metadata>\n<id>a</id>", "The nuspec is not well-formed XML (line 2)"},
		{"elements that cross", strings.Replace(smallest, "</id>", "</version>", 1), "The nuspec is not well-formed XML (line 1)"},
		{"two roots", smallest + smallest, "The nuspec is not well-formed XML (line 1)"},
		{"text after the root", smallest + "more", "The nuspec is not well-formed XML (line 1)"},
		{"an unknown entity", with("<title>&a;</title>"), "The nuspec is not well-formed XML (line 1)"},
		{"a NUL", with("<title>&#0;</title>"), "The nuspec is not well-formed XML (line 1)"},
		{"a NUL in an attribute", with(`<packageTypes><packageType name="&#0;"/></packageTypes>`), "The nuspec is not well-formed XML (line 1)"},
		{"bytes that are not UTF-8", with("<title>\xff</title>"), "The nuspec is not well-formed XML (line 1)"},
		{"another encoding", `<?xml version="1.0" encoding="EBCDIC"?>` + smallest, `The nuspec is in the encoding "EBCDIC", and should be in UTF-8`},
		{"an XML bomb", `<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>` + with("<title>&b;</title>"), "The nuspec has a document type declaration, which is not allowed"},
		{"an external entity", `<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + with("<title>&a;</title>"), "The nuspec has a document type declaration, which is not allowed"},
		{"a DTD elsewhere", `<!DOCTYPE package SYSTEM "https://dtd.example/a.dtd">` + smallest, "The nuspec has a document type declaration, which is not allowed"},
		{"a DTD in UTF-16", "\xff\xfe" + strings.Join(strings.Split("<!DOCTYPE a []>"+smallest, ""), "\x00") + "\x00", "The nuspec has a document type declaration, which is not allowed"},
		{"deep elements", with(strings.Repeat("<a>", 100_000)), "The nuspec has elements that are more than 32 deep"},
		{"many attributes", with("<a " + strings.Repeat(`a="" `, 60_000) + "/>"), "Validation failed: The nuspec has too many attributes"},
		{"many elements", with("<dependencies>" + strings.Repeat("<group/>", 60_000) + "</dependencies>"), "Validation failed: The nuspec has too many elements"},
		{"many dependencies", with("<dependencies>" + dependencies.String() + "</dependencies>"), "Validation failed: The nuspec has more than 256 KiB of metadata"},
		{"no metadata", "<package/>", "Validation failed: The nuspec has no metadata"},
		{"metadata in capitals", strings.ReplaceAll(smallest, "metadata", "Metadata"), "Validation failed: The nuspec has no metadata"},
		{"metadata at the root", "<metadata><id>a</id><version>1.0</version></metadata>", "Validation failed: The nuspec has no metadata"},
		{"no id", set("", "1.0"), "Validation failed: Name is invalid"},
		{"an id with a slash", set("../a", "1.0"), "Validation failed: Name is invalid"},
		{"an id with a space", set("a b", "1.0"), "Validation failed: Name is invalid"},
		{"a long id", set(strings.Repeat("a", 101), "1.0"), "Validation failed: Name is invalid"},
		{"no version", set("a", ""), "Validation failed: Version is invalid"},
		{"a version of one number", set("a", "1"), "Validation failed: Version is invalid"},
		{"a version of five numbers", set("a", "1.2.3.4.5"), "Validation failed: Version is invalid"},
		{"a version with a path", set("a", "1./2.3"), "Validation failed: Version is invalid"},
		{"a token that pack did not replace", set("$id$", "1.0"), "Validation failed: Name is invalid"},
		{"another minimum version of clients", strings.Replace(smallest, "<metadata", `<metadata minClientVersion="new"`, 1), "Validation failed: Min client version is invalid"},
		{"a project URL without http", with("<projectUrl>javascript:alert(1)</projectUrl>"), "Validation failed: Project url must be a valid URL"},
		{"an icon URL that is a path", with("<iconUrl>/icon.png</iconUrl>"), "Validation failed: Icon url must be a valid URL"},
		{"a license URL without a host", with("<licenseUrl>https:///a</licenseUrl>"), "Validation failed: License url must be a valid URL"},
		{"a long URL", with("<projectUrl>https://a.example/" + strings.Repeat("a", 4000) + "</projectUrl>"), "Validation failed: Project url must be a valid URL"},
		{"an icon outside of the package", with(`<icon>..\icon.png</icon>`), "Validation failed: Icon is invalid"},
		{"a readme at an absolute path", with("<readme>/etc/passwd</readme>"), "Validation failed: Readme is invalid"},
		{"a license of no type", with("<license>MIT</license>"), "Validation failed: License type is invalid"},
		{"a license that is no expression", with(`<license type="expression">&lt;MIT&gt;</license>`), "Validation failed: License is invalid"},
		{"a license file outside of the package", with(`<license type="file">../a</license>`), "Validation failed: License is invalid"},
		{"a dependency without an id", with(`<dependencies><dependency version="1.0"/></dependencies>`), `Validation failed: Dependency "" is invalid`},
		{"a dependency on a path", with(`<dependencies><group><dependency id="../a"/></group></dependencies>`), `Validation failed: Dependency "../a" is invalid`},
		{"a floating range", with(`<dependencies><dependency id="a" version="1.*"/></dependencies>`), `Validation failed: Version range "1.*" of the dependency a is invalid`},
		{"a dependency twice", with(`<dependencies><group><dependency id="a"/><dependency id="A"/></group></dependencies>`), "Validation failed: Dependency A is twice in one group"},
		{"a package type without a name", with(`<packageTypes><packageType/></packageTypes>`), "Validation failed: Package type is invalid"},
		{"a package type of a version that is none", with(`<packageTypes><packageType name="a" version="b"/></packageTypes>`), `Validation failed: Version "b" of the package type is invalid`},
	} {
		m, err := parseNuspec([]byte(row.text))
		if registry.KindOf(err) != registry.Invalid || registry.MessageOf(err) != row.want {
			t.Errorf("%s: %+v, %v", row.why, m, err)
		}
	}
}

func FuzzNuspec(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(smallest))
	f.Add([]byte("\xff\xfe<\x00a\x00/\x00>\x00"))
	f.Add([]byte(`<?xml version="1.0" encoding="windows-1252"?>` + nuspecWith(`<license type="file">a\b</license><title>\xe9</title>`)))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c">]>` + nuspecWith("<title>&b;</title>")))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseNuspec(text)
		if err != nil {
			if registry.KindOf(err) != registry.Invalid || registry.MessageOf(err) == "" {
				t.Error(err)
			}
			return
		}
		var again manifest
		kept, err := json.Marshal(m)
		if err != nil || len(kept) > maxManifest || json.Unmarshal(kept, &again) != nil || strings.Contains(fmt.Sprint(again), "\x00") {
			t.Errorf("%s, %v", kept, err)
		}
		if diff := cmp.Diff(m, &again, cmpopts.EquateEmpty()); diff != "" { // what is not UTF-8 would be replaced
			t.Error(diff)
		}
		m.semVer2()
	})
}
