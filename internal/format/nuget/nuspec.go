package nuget

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"packhouse/internal/format/archive"
	"packhouse/internal/registry"
)

// Bounds of a .nuspec.
const (
	maxNuspec = 4 << 20 // bytes, as GitLab
	// maxManifest is what is kept of it, in bytes of JSON: every document of the package's name has it.
	maxManifest = 256 << 10
	maxDepth    = 32     // of elements in elements
	maxElements = 50_000 // those that are not read count too
	// maxAttributes bounds the equals signs, of which every attribute has one: the parser keeps all attributes of an element.
	maxAttributes = 50_000
	maxURL        = 4000 // bytes
)

// parseNuspec reads a .nuspec as NuGet's client does (its NuspecReader): in any namespace, of which there is one for each
// age, or in none, in UTF-8, UTF-16 or Windows-1252; of two elements with one value the first counts, and their names are
// not case-sensitive; flat dependencies count when there is no group. Texts that are too long are cut, as GitLab does.
//
// Errors are Invalid: XML that is not well-formed or has a DOCTYPE (its entities could be large, or elsewhere), and values
// that NuGet or GitLab refuse, in GitLab's sentences.
func parseNuspec(text []byte) (*manifest, error) {
	text, err := toUTF8(text)
	if err != nil {
		return nil, registry.Errorf(registry.Invalid, "The nuspec is not in UTF-16, though it begins so")
	}
	if bytes.Count(text, []byte("=")) > maxAttributes {
		return nil, invalid("The nuspec has too many attributes")
	}
	r := &nuspecReader{d: xml.NewDecoder(bytes.NewReader(text)), values: map[string]string{}}
	r.d.CharsetReader = charset
	if err := r.document(); err != nil {
		var known *registry.Error
		if errors.As(err, &known) {
			return nil, known
		}
		line, _ := r.d.InputPos()
		return nil, &registry.Error{Kind: registry.Invalid, Message: fmt.Sprintf("The nuspec is not well-formed XML (line %d)", line), Err: err}
	}
	if err := r.finish(); err != nil {
		return nil, err
	}
	if kept, err := json.Marshal(r.m); err != nil || len(kept) > maxManifest {
		return nil, invalid("The nuspec has more than %d KiB of metadata", maxManifest>>10)
	}
	return &r.m, nil
}

// invalid is an error in the words of GitLab's, which are its models'.
func invalid(format string, args ...any) error {
	return registry.Errorf(registry.Invalid, "Validation failed: "+format, args...)
}

// toUTF8 decodes UTF-16, which the first bytes tell, and drops the byte order mark.
func toUTF8(text []byte) ([]byte, error) {
	order := unicode.BigEndian
	switch {
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf")):
		return text[3:], nil
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("<\x00")):
		order = unicode.LittleEndian
	case bytes.HasPrefix(text, []byte("\xfe\xff")), bytes.HasPrefix(text, []byte("\x00<")):
	default:
		return text, nil
	}
	return unicode.UTF16(order, unicode.UseBOM).NewDecoder().Bytes(text)
}

// charset decodes what the XML declaration names. What it names UTF-16 is UTF-8 by now, or was so from the start: .NET's
// writers of strings say UTF-16 whatever the file is written in.
func charset(label string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "utf-8", "utf8", "us-ascii", "ascii", "utf-16", "utf-16le", "utf-16be", "unicode":
		return in, nil
	case "iso-8859-1", "latin1", "windows-1252": // the last has all printable characters of the others
		return charmap.Windows1252.NewDecoder().Reader(in), nil
	}
	return nil, registry.Errorf(registry.Invalid, "The nuspec is in the encoding %.40q, and should be in UTF-8", label)
}

// nuspecReader goes through the elements of a .nuspec. Every method that is given an element reads to its end.
type nuspecReader struct {
	d        *xml.Decoder
	depth    int
	elements int
	m        manifest

	space       string            // namespace of metadata
	values      map[string]string // of the elements in metadata that hold only text, by their name in lower case
	licenseType string
	grouped     bool // there is a group of dependencies
	flat        []dependency
}

// next is the next token of an element or a text.
func (r *nuspecReader) next() (xml.Token, error) {
	for {
		token, err := r.d.Token()
		if err != nil {
			return nil, err
		}
		switch token.(type) {
		case xml.Directive:
			return nil, registry.Errorf(registry.Invalid, "The nuspec has a document type declaration, which is not allowed")
		case xml.StartElement:
			if r.depth++; r.depth > maxDepth {
				return nil, registry.Errorf(registry.Invalid, "The nuspec has elements that are more than %d deep", maxDepth)
			}
			if r.elements++; r.elements > maxElements {
				return nil, invalid("The nuspec has too many elements")
			}
			return token, nil
		case xml.EndElement:
			r.depth--
			return token, nil
		case xml.CharData:
			return token, nil
		}
	}
}

// document reads the root element, of any name, and in it the first element metadata.
func (r *nuspecReader) document() error {
	root, found := false, false
	for {
		token, err := r.next()
		if err == io.EOF && root {
			break
		}
		if err != nil {
			return err
		}
		if text, ok := token.(xml.CharData); ok && len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		if _, ok := token.(xml.StartElement); !ok || root {
			return errors.New("something beside the root element")
		}
		root = true
		if _, err := r.children(func(e xml.StartElement) error {
			if found || e.Name.Local != "metadata" {
				return r.skip(e)
			}
			found = true
			return r.metadata(e)
		}); err != nil {
			return err
		}
	}
	if !found {
		return invalid("The nuspec has no metadata")
	}
	return nil
}

// children calls f for each element in the current one. It returns the text, unless there are elements.
func (r *nuspecReader) children(f func(xml.StartElement) error) (text string, err error) {
	var b []byte
	elements := false
	for {
		token, err := r.next()
		if err != nil {
			return "", err
		}
		switch token := token.(type) {
		case xml.EndElement:
			if elements {
				return "", nil
			}
			return strings.TrimSpace(string(b)), nil
		case xml.CharData:
			b = append(b, token...)
		case xml.StartElement:
			elements = true
			if err := f(token); err != nil {
				return "", err
			}
		}
	}
}

// each calls f for each child that is the element name of NuGet.
func (r *nuspecReader) each(name string, f func(xml.StartElement) error) error {
	_, err := r.children(func(e xml.StartElement) error {
		if !r.is(e, name) {
			return r.skip(e)
		}
		return f(e)
	})
	return err
}

// is tells whether e is an element of NuGet that has more than text: it counts in the namespace of metadata only, and in
// this spelling.
func (r *nuspecReader) is(e xml.StartElement, name string) bool {
	return e.Name == xml.Name{Space: r.space, Local: name}
}

func (r *nuspecReader) skip(xml.StartElement) error {
	for depth := r.depth; r.depth >= depth; {
		if _, err := r.next(); err != nil {
			return err
		}
	}
	return nil
}

func (r *nuspecReader) metadata(e xml.StartElement) error {
	r.space = e.Name.Space
	r.m.MinClientVersion = attribute(e, "minClientVersion")
	_, err := r.children(func(e xml.StartElement) error {
		switch {
		case r.is(e, "dependencies"):
			return r.dependencies()
		case r.is(e, "packageTypes"):
			return r.each("packageType", r.packageType)
		case r.is(e, "repository"):
			if r.m.Repository == nil {
				r.m.Repository = &repository{attribute(e, "type"), attribute(e, "url"), attribute(e, "branch"), attribute(e, "commit")}
			}
			return r.skip(e)
		}
		text, err := r.children(r.skip)
		name := strings.ToLower(e.Name.Local)
		if err != nil || text == "" || r.values[name] != "" {
			return err
		}
		if r.values[name] = text; name == "license" {
			r.licenseType = attribute(e, "type")
		}
		return nil
	})
	return err
}

func (r *nuspecReader) dependencies() error {
	_, err := r.children(func(e xml.StartElement) error {
		switch {
		case r.is(e, "dependency"):
			return r.dependency(e, &r.flat)
		case r.is(e, "group"):
			r.grouped = true
			g := dependencyGroup{Framework: attribute(e, "targetFramework")}
			if err := r.each("dependency", func(e xml.StartElement) error { return r.dependency(e, &g.Dependencies) }); err != nil {
				return err
			}
			r.m.DependencyGroups = append(r.m.DependencyGroups, g)
			return nil
		}
		return r.skip(e)
	})
	return err
}

func (r *nuspecReader) dependency(e xml.StartElement, to *[]dependency) error {
	d := dependency{attribute(e, "id"), attribute(e, "version"), attribute(e, "include"), attribute(e, "exclude")}
	if !validID(d.ID) {
		return invalid("Dependency %.255q is invalid", d.ID)
	}
	if _, ok := parseRange(d.Range); !ok {
		return invalid("Version range %.255q of the dependency %s is invalid", d.Range, d.ID)
	}
	*to = append(*to, d)
	return r.skip(e)
}

// packageTypeVersion is what .NET's System.Version reads.
var packageTypeVersion = regexp.MustCompile(`^\d{1,9}(\.\d{1,9}){1,3}$`)

func (r *nuspecReader) packageType(e xml.StartElement) error {
	t := packageType{attribute(e, "name"), attribute(e, "version")}
	if t.Name == "" || len(t.Name) > 255 {
		return invalid("Package type is invalid")
	}
	if t.Version != "" && !packageTypeVersion.MatchString(t.Version) {
		return invalid("Version %.255q of the package type is invalid", t.Version)
	}
	r.m.PackageTypes = append(r.m.PackageTypes, t)
	return r.skip(e)
}

// attribute is the value of an attribute without a namespace, without spaces around; "" when absent.
func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name == (xml.Name{Local: name}) {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}

// finish checks what was read and completes the manifest.
func (r *nuspecReader) finish() (err error) {
	m := &r.m
	line := func(name string, characters int) string {
		return cut(strings.Join(strings.Fields(r.values[name]), " "), characters)
	}
	if m.ID = r.values["id"]; !validID(m.ID) {
		return invalid("Name is invalid")
	}
	m.Version = r.values["version"]
	if _, ok := parseVersion(m.Version); !ok {
		return invalid("Version is invalid")
	}
	if _, ok := parseBound(m.MinClientVersion); !ok {
		return invalid("Min client version is invalid")
	}
	m.Title = line("title", 256)
	m.Authors = cut(names(r.values["authors"]), 255)
	m.Owners = cut(names(r.values["owners"]), 255)
	m.Description = cut(r.values["description"], 4000)
	m.Summary = cut(r.values["summary"], 4000)
	m.ReleaseNotes = cut(r.values["releasenotes"], 35_000)
	m.Copyright = line("copyright", 4000)
	m.Language = line("language", 20)
	m.Tags = strings.FieldsFunc(cut(r.values["tags"], 4000), func(r rune) bool { return strings.ContainsRune(" \t\r\n,;", r) })
	m.RequireAcceptance = strings.EqualFold(r.values["requirelicenseacceptance"], "true")
	m.Development = strings.EqualFold(r.values["developmentdependency"], "true")
	for _, u := range []struct {
		to          *string
		value, name string
	}{{&m.ProjectURL, "projecturl", "Project url"}, {&m.LicenseURL, "licenseurl", "License url"}, {&m.IconURL, "iconurl", "Icon url"}} {
		if *u.to = r.values[u.value]; *u.to != "" && !validURL(*u.to) {
			return invalid("%s must be a valid URL", u.name)
		}
	}
	var ok bool
	if m.Icon, ok = filePath(r.values["icon"]); !ok {
		return invalid("Icon is invalid")
	}
	if m.Readme, ok = filePath(r.values["readme"]); !ok {
		return invalid("Readme is invalid")
	}
	switch license := r.values["license"]; strings.ToLower(r.licenseType) {
	case "expression":
		if m.LicenseExpression = license; !licensePattern.MatchString(license) {
			return invalid("License is invalid")
		}
	case "file":
		if m.LicenseFile, ok = filePath(license); !ok {
			return invalid("License is invalid")
		}
	default:
		if license != "" {
			return invalid("License type is invalid")
		}
	}
	if !r.grouped && r.flat != nil {
		m.DependencyGroups = []dependencyGroup{{Dependencies: r.flat}}
	}
	return checkGroups(m.DependencyGroups)
}

// licensePattern is the characters of an SPDX license expression.
var licensePattern = regexp.MustCompile(`^[A-Za-z0-9.+() -]{1,500}$`)

// checkGroups refuses a dependency that is twice in one group: NuGet's tools make no such package, and clients would each
// take another one.
func checkGroups(groups []dependencyGroup) error {
	for _, g := range groups {
		seen := make(map[string]bool, len(g.Dependencies))
		for _, d := range g.Dependencies {
			if seen[normalizeID(d.ID)] {
				return invalid("Dependency %s is twice in one group", d.ID)
			}
			seen[normalizeID(d.ID)] = true
		}
	}
	return nil
}

// names is a list of names as answers show it: "Ann, Bob".
func names(text string) string {
	var list []string
	for name := range strings.SplitSeq(text, ",") {
		if words := strings.Fields(name); len(words) > 0 {
			list = append(list, strings.Join(words, " "))
		}
	}
	return strings.Join(list, ", ")
}

// cut is the text up to so many characters.
func cut(text string, characters int) string {
	if len(text) <= characters {
		return text
	}
	for i := range text {
		if characters--; characters < 0 {
			return strings.TrimSpace(text[:i])
		}
	}
	return text
}

func validURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && len(text) <= maxURL && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// filePath is the path of a file in the package, which on Windows is written with backslashes; "" for none.
func filePath(text string) (string, bool) {
	if text == "" {
		return "", true
	}
	name := path.Clean(strings.ReplaceAll(text, `\`, "/"))
	return name, name != "." && len(name) <= 1024 && archive.SafePath(name)
}

// semVer2 tells whether only clients that know SemVer 2 can use the package: for its version, or for a dependency.
func (m *manifest) semVer2() bool {
	if v, ok := parseVersion(m.Version); ok && v.semVer2() {
		return true
	}
	for _, g := range m.DependencyGroups {
		for _, d := range g.Dependencies {
			if r, ok := parseRange(d.Range); ok && r.semVer2() {
				return true
			}
		}
	}
	return false
}

// isSymbolPackage tells whether it is a .snupkg.
func (m *manifest) isSymbolPackage() bool {
	return slices.ContainsFunc(m.PackageTypes, func(t packageType) bool { return strings.EqualFold(t.Name, "SymbolsPackage") })
}
