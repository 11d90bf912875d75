package nuget

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// The documents of the V2 feed: OData version 2 in Atom (https://www.odata.org/documentation/odata-version-2-0/atom-format/)
// and, where a script asks for it, in verbose JSON.

// feedEntry is a version as the V2 feed shows it. Before it is filled it has no file and no manifest.
type feedEntry struct {
	release
	prefix         string // URL up to ".../packages/nuget", as it was asked
	manifest       *manifest
	file           *registry.File
	downloads      int64 // of all versions
	latest         bool  // the highest stable one of those that are listed
	absoluteLatest bool  // the highest of those that are listed
}

// property is one of an entry's, by the name that NuGet's gallery gives it.
type property struct {
	name     string
	kind     kind
	edm      string // its type in $metadata
	required bool
	value    func(*feedEntry) value
	early    bool // known before an entry is filled
}

const (
	edmString = "Edm.String"
	edmBool   = "Edm.Boolean"
	edmInt64  = "Edm.Int64"
	edmTime   = "Edm.DateTime"
)

// unlisted is when NuGet's clients take a version to be published that is not listed.
var unlisted = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)

// properties are those of the entity type, GitLab's first. Clients detect by them what the feed can do.
var properties = []*property{
	{"Id", textKind, edmString, true, func(e *feedEntry) value { return textValue(e.Name) }, true},
	{"Version", versionKind, edmString, true, func(e *feedEntry) value { return versionValue(e.Version, e.version) }, true},
	{"Authors", textKind, edmString, false, func(e *feedEntry) value { return textValue(e.manifest.Authors) }, false},
	{"Dependencies", textKind, edmString, false, func(e *feedEntry) value { return textValue(dependenciesText(e.manifest.DependencyGroups)) }, false},
	{"Description", textKind, edmString, false, func(e *feedEntry) value { return textValue(e.manifest.Description) }, false},
	{"DownloadCount", numberKind, edmInt64, true, func(e *feedEntry) value { return numberValue(e.downloads) }, true},
	{"IconUrl", textKind, edmString, false, func(e *feedEntry) value { return textValue(e.manifest.iconURL(e.prefix, e.version)) }, false},
	{"Published", timeKind, edmTime, true, func(e *feedEntry) value {
		if !e.listed() {
			return timeValue(unlisted)
		}
		return timeValue(e.CreatedAt)
	}, true},
	{"ProjectUrl", textKind, edmString, false, func(e *feedEntry) value { return textValue(e.manifest.ProjectURL) }, false},
	{"Tags", textKind, edmString, false, func(e *feedEntry) value { return textValue(tagsText(e.manifest.Tags)) }, false},
	{"Title", textKind, edmString, false, func(e *feedEntry) value { return textValue(e.manifest.Title) }, false},
	{"LicenseUrl", textKind, edmString, false, func(e *feedEntry) value { return textValue(e.manifest.licenseURL(e.prefix, e.version)) }, false},
	{"NormalizedVersion", versionKind, edmString, false, func(e *feedEntry) value { return versionValue(e.version.String(), e.version) }, true},
	{"Owners", textKind, edmString, false, func(e *feedEntry) value { return textValue(e.manifest.Owners) }, false},
	{"Summary", textKind, edmString, false, func(e *feedEntry) value { return textValue(e.manifest.Summary) }, false},
	{"ReleaseNotes", textKind, edmString, false, func(e *feedEntry) value { return textValue(e.manifest.ReleaseNotes) }, false},
	{"Copyright", textKind, edmString, false, func(e *feedEntry) value { return textValue(e.manifest.Copyright) }, false},
	{"Language", textKind, edmString, false, func(e *feedEntry) value { return textValue(e.manifest.Language) }, false},
	{"MinClientVersion", textKind, edmString, false, func(e *feedEntry) value { return textValue(e.manifest.MinClientVersion) }, false},
	{"RequireLicenseAcceptance", boolKind, edmBool, true, func(e *feedEntry) value { return boolValue(e.manifest.RequireAcceptance) }, false},
	{"DevelopmentDependency", boolKind, edmBool, true, func(e *feedEntry) value { return boolValue(e.manifest.Development) }, false},
	{"IsPrerelease", boolKind, edmBool, true, func(e *feedEntry) value { return boolValue(e.version.prerelease()) }, true},
	{"IsLatestVersion", boolKind, edmBool, true, func(e *feedEntry) value { return boolValue(e.latest) }, true},
	{"IsAbsoluteLatestVersion", boolKind, edmBool, true, func(e *feedEntry) value { return boolValue(e.absoluteLatest) }, true},
	{"Listed", boolKind, edmBool, true, func(e *feedEntry) value { return boolValue(e.listed()) }, true},
	{"Created", timeKind, edmTime, true, func(e *feedEntry) value { return timeValue(e.CreatedAt) }, true},
	{"LastUpdated", timeKind, edmTime, true, func(e *feedEntry) value { return timeValue(e.file.CreatedAt) }, false},
	{"VersionDownloadCount", numberKind, edmInt64, true, func(e *feedEntry) value { return numberValue(e.Downloads) }, true},
	{"PackageHash", textKind, edmString, true, func(e *feedEntry) value {
		sum, _ := hex.DecodeString(e.file.SHA512) // ours
		return textValue(base64.StdEncoding.EncodeToString(sum))
	}, false},
	{"PackageHashAlgorithm", textKind, edmString, true, func(*feedEntry) value { return textValue("SHA512") }, true},
	{"PackageSize", numberKind, edmInt64, true, func(e *feedEntry) value { return numberValue(e.file.Size) }, false},
}

// propertyByName finds a property without regard to case; nil: there is none.
func propertyByName(name string) *property {
	i := slices.IndexFunc(properties, func(p *property) bool { return strings.EqualFold(p.name, name) })
	if i < 0 {
		return nil
	}
	return properties[i]
}

// tagsText has a space before and behind each tag, so that a filter finds whole ones.
func tagsText(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	return " " + strings.Join(tags, " ") + " "
}

// dependenciesText is "id:range:framework|…". A group without dependencies is "::framework".
func dependenciesText(groups []dependencyGroup) string {
	var parts []string
	plain := strings.NewReplacer(":", "", "|", "")
	for _, group := range groups {
		framework := plain.Replace(shortFramework(group.Framework))
		if len(group.Dependencies) == 0 && framework != "" {
			parts = append(parts, "::"+framework)
		}
		for _, d := range group.Dependencies {
			parts = append(parts, plain.Replace(d.ID)+":"+plain.Replace(d.Range)+":"+framework)
		}
	}
	return strings.Join(parts, "|")
}

// feed is what the documents say besides the entries.
type feed struct {
	prefix   string      // URL up to ".../packages/nuget", as it was asked
	title    string      // "Packages", or the operation
	self     string      // URL
	next     string      // URL of the next page; "": this is the last
	count    int         // of all pages
	counted  bool        // count is asked for
	selected []*property // nil: all
	updated  time.Time
}

func (f *feed) base() string { return f.prefix + "/v2" }

// shown are the properties of the entries.
func (f *feed) shown() []*property {
	if f.selected == nil {
		return properties
	}
	return f.selected
}

// entityURL is the address, and so the id, of an entry.
func (f *feed) entityURL(e *feedEntry) string {
	return f.base() + "/Packages(Id='" + url.PathEscape(e.Name) + "',Version='" + url.PathEscape(e.Version) + "')"
}

const (
	xmlHead = `<?xml version="1.0" encoding="utf-8"?>` + "\n"
	// atomSpaces are the namespaces of a feed and of an entry that stands alone, as GitLab declares them.
	atomSpaces = ` xmlns="http://www.w3.org/2005/Atom" xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices"` +
		` xmlns:georss="http://www.georss.org/georss" xmlns:gml="http://www.opengis.net/gml"` +
		` xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"`
	entityType = "V2FeedPackage"
)

// layout writes a feed or a single entry, part by part: open, each entry, close.
type layout interface {
	open(*bytes.Buffer, *feed)
	entry(*bytes.Buffer, *feed, *feedEntry)
	close(*bytes.Buffer, *feed)
	contentType(single bool) string
}

// atom is a document in Atom. alone: one entry, without a feed around it.
type atom struct{ alone bool }

func (a atom) contentType(single bool) string {
	if single {
		return "application/atom+xml;type=entry;charset=utf-8"
	}
	return "application/atom+xml;type=feed;charset=utf-8"
}

func (a atom) open(b *bytes.Buffer, f *feed) {
	b.WriteString(xmlHead)
	if a.alone {
		return
	}
	b.WriteString("<feed" + atomSpaces + xmlAttribute("xml:base", f.base()) + ">\n")
	if f.counted {
		element(b, "  ", "m:count", "", strconv.Itoa(f.count))
	}
	element(b, "  ", "id", "", f.self)
	element(b, "  ", "title", ` type="text"`, f.title)
	element(b, "  ", "updated", "", edmTimeText(f.updated)+"Z")
	b.WriteString("  <link" + xmlAttribute("rel", "self") + xmlAttribute("title", f.title) + xmlAttribute("href", f.self) + "/>\n")
}

func (a atom) entry(b *bytes.Buffer, f *feed, e *feedEntry) {
	indent, id := "  ", f.entityURL(e)
	if a.alone {
		indent = ""
		b.WriteString("<entry" + atomSpaces + xmlAttribute("xml:base", f.base()) + ">\n")
	} else {
		b.WriteString("  <entry>\n")
	}
	inner := indent + "  "
	element(b, inner, "id", "", id)
	b.WriteString(inner + `<category term="` + entityType + `" scheme="http://schemas.microsoft.com/ado/2007/08/dataservices/scheme"/>` + "\n")
	b.WriteString(inner + "<link" + xmlAttribute("rel", "edit") + xmlAttribute("title", entityType) + xmlAttribute("href", id) + "/>\n")
	element(b, inner, "title", ` type="text"`, e.Name)
	if e.manifest.Summary != "" {
		element(b, inner, "summary", ` type="text"`, e.manifest.Summary)
	}
	element(b, inner, "updated", "", edmTimeText(e.file.CreatedAt)+"Z")
	b.WriteString(inner + "<author>\n")
	element(b, inner+"  ", "name", "", e.manifest.Authors)
	b.WriteString(inner + "</author>\n")
	b.WriteString(inner + "<content" + xmlAttribute("type", "application/zip") + xmlAttribute("src", contentURL(f.prefix, e.Name, e.version)) + "/>\n")
	b.WriteString(inner + "<m:properties>\n")
	for _, p := range f.shown() {
		typed := ""
		if p.edm != edmString {
			typed = xmlAttribute("m:type", p.edm)
		}
		v := p.value(e)
		if v.kind == nullKind {
			b.WriteString(inner + "  <d:" + p.name + typed + ` m:null="true"/>` + "\n")
			continue
		}
		element(b, inner+"  ", "d:"+p.name, typed, valueText(v))
	}
	b.WriteString(inner + "</m:properties>\n" + indent + "</entry>\n")
}

func (a atom) close(b *bytes.Buffer, f *feed) {
	if a.alone {
		return
	}
	if f.next != "" {
		b.WriteString("  <link" + xmlAttribute("rel", "next") + xmlAttribute("href", f.next) + "/>\n")
	}
	b.WriteString("</feed>\n")
}

// valueText is a value that is not null, as XML has it.
func valueText(v value) string {
	switch v.kind {
	case boolKind:
		return strconv.FormatBool(v.flag)
	case numberKind:
		return strconv.FormatInt(int64(v.number), 10)
	case timeKind:
		return edmTimeText(v.time)
	}
	return v.text
}

// edmTimeText is an Edm.DateTime, which has no zone; ours are in UTC.
func edmTimeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999") }

// element writes an element with a text, on a line of its own.
func element(b *bytes.Buffer, indent, name, attributes, text string) {
	b.WriteString(indent + "<" + name + attributes + ">")
	escape(b, text)
	b.WriteString("</" + name + ">\n")
}

// xmlAttribute is an attribute with a space before it.
func xmlAttribute(name, text string) string {
	var b bytes.Buffer
	b.WriteString(" " + name + `="`)
	escape(&b, text)
	b.WriteByte('"')
	return b.String()
}

// escape writes a text, without what XML cannot hold.
func escape(b *bytes.Buffer, text string) {
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\uFFFE' || r == '\uFFFF' {
			return -1
		}
		return r
	}, text)
	escapes.WriteString(b, text) // a buffer takes all
}

var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\r", "&#xD;")

// verbose is a document in the JSON that OData version 2 had. first: no entry was written yet.
type verbose struct {
	alone bool
	some  bool
}

func (j *verbose) contentType(bool) string { return "application/json;odata=verbose;charset=utf-8" }

func (j *verbose) open(b *bytes.Buffer, _ *feed) {
	b.WriteString(`{"d":`)
	if !j.alone {
		b.WriteString(`{"results":[`)
	}
}

func (j *verbose) entry(b *bytes.Buffer, f *feed, e *feedEntry) {
	if j.some {
		b.WriteByte(',')
	}
	j.some = true
	b.WriteString(`{"__metadata":`)
	writeValue(b, map[string]string{"id": f.entityURL(e), "uri": f.entityURL(e), "type": entityType, "media_src": contentURL(f.prefix, e.Name, e.version), "content_type": "application/zip"})
	for _, p := range f.shown() {
		b.WriteString(`,"` + p.name + `":`)
		switch v := p.value(e); v.kind {
		case nullKind:
			b.WriteString("null")
		case boolKind:
			b.WriteString(valueText(v))
		case timeKind:
			b.WriteString(`"\/Date(` + strconv.FormatInt(v.time.UnixMilli(), 10) + `)\/"`)
		default: // Edm.Int64 is a text, too
			writeValue(b, valueText(v))
		}
	}
	b.WriteByte('}')
}

func (j *verbose) close(b *bytes.Buffer, f *feed) {
	if !j.alone {
		b.WriteByte(']')
		if f.counted {
			b.WriteString(`,"__count":"` + strconv.Itoa(f.count) + `"`)
		}
		if f.next != "" {
			b.WriteString(`,"__next":`)
			writeValue(b, f.next)
		}
		b.WriteByte('}')
	}
	b.WriteString("}\n")
}

// writeValue writes JSON; strings and maps of them always marshal.
func writeValue(b *bytes.Buffer, v any) {
	text, _ := json.Marshal(v)
	b.Write(text)
}

// serviceDocument is the V2 feed's list of collections (RFC 5023), as GitLab has it.
func serviceDocument(base string) []byte {
	var b bytes.Buffer
	b.WriteString(xmlHead + `<service xmlns="http://www.w3.org/2007/app" xmlns:atom="http://www.w3.org/2005/Atom"` + xmlAttribute("xml:base", base) + `>
  <workspace>
    <atom:title type="text">Default</atom:title>
    <collection href="Packages">
      <atom:title type="text">Packages</atom:title>
    </collection>
  </workspace>
</service>
`)
	return b.Bytes()
}

// operations are the service operations that $metadata names. Old clients call no other.
var operations = []struct {
	name       string
	parameters []string // those that begin with "include" are Booleans
}{
	{"FindPackagesById", []string{"id", "semVerLevel"}},
	{"Search", []string{"searchTerm", "targetFramework", "includePrerelease", "semVerLevel"}},
	{"GetUpdates", []string{"packageIds", "versions", "includePrerelease", "includeAllVersions", "targetFrameworks", "versionConstraints", "semVerLevel"}},
}

// metadataDocument is $metadata: the schema of the feed (EDMX 1.0), GitLab's with what it leaves out.
var metadataDocument = func() []byte {
	var b bytes.Buffer
	b.WriteString(xmlHead + `<edmx:Edmx xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" Version="1.0">
  <edmx:DataServices xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata" m:DataServiceVersion="2.0" m:MaxDataServiceVersion="2.0">
    <Schema xmlns="http://schemas.microsoft.com/ado/2006/04/edm" Namespace="NuGetGallery.OData">
      <EntityType Name="` + entityType + `" m:HasStream="true">
        <Key>
          <PropertyRef Name="Id"/>
          <PropertyRef Name="Version"/>
        </Key>
`)
	for _, p := range properties {
		b.WriteString(`        <Property Name="` + p.name + `" Type="` + p.edm + `"`)
		if p.required {
			b.WriteString(` Nullable="false"`)
		}
		b.WriteString("/>\n")
	}
	b.WriteString(`      </EntityType>
    </Schema>
    <Schema xmlns="http://schemas.microsoft.com/ado/2006/04/edm" Namespace="NuGetGallery">
      <EntityContainer Name="V2FeedContext" m:IsDefaultEntityContainer="true">
        <EntitySet Name="Packages" EntityType="NuGetGallery.OData.` + entityType + `"/>
`)
	for _, o := range operations {
		b.WriteString(`        <FunctionImport Name="` + o.name + `" ReturnType="Collection(NuGetGallery.OData.` + entityType + `)" EntitySet="Packages" m:HttpMethod="GET">` + "\n")
		for _, name := range o.parameters {
			if strings.HasPrefix(name, "include") {
				b.WriteString(`          <Parameter Name="` + name + `" Type="Edm.Boolean"/>` + "\n")
			} else {
				b.WriteString(`          <Parameter Name="` + name + `" Type="Edm.String" FixedLength="false" Unicode="false"/>` + "\n")
			}
		}
		b.WriteString("        </FunctionImport>\n")
	}
	b.WriteString(`      </EntityContainer>
    </Schema>
  </edmx:DataServices>
</edmx:Edmx>
`)
	return b.Bytes()
}()
