package composer

import (
	"encoding/json"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"packhouse/internal/format/archive"
	"packhouse/internal/registry"
)

// readme is the variant of a version's fragment that holds the text of its README.
const readme = "readme"

// maxReadme is how many bytes of a README are kept.
const maxReadme = 1 << 20

// readmes are the names under which a README is looked for, in lower case, the best first.
var readmes = []string{"readme.md", "readme.markdown", "readme.rst", "readme.txt", "readme"}

// findReadme takes the README out of an archive: the file that composer.json names, or one beside it that is called so. An archive that
// cannot be read has none: whether it is a good one is not asked here.
func findReadme(r io.ReaderAt, size int64, m *manifest) (name string, text []byte) {
	z, err := archive.OpenZip(r, size, "the archive")
	if err != nil {
		return "", nil
	}
	home := "" // of composer.json
	for _, member := range z.File {
		if folder, rest, ok := strings.Cut(member.Name, "/"); ok && rest == "composer.json" && z.Member("composer.json") == nil {
			home = folder + "/"
			break
		}
	}
	best := len(readmes)
	for _, member := range z.File {
		beside, ok := strings.CutPrefix(member.Name, home)
		if i := slices.Index(readmes, strings.ToLower(beside)); ok && i >= 0 && i < best {
			best, name = i, member.Name
		}
	}
	var named string
	json.Unmarshal(m.fields["readme"], &named) // its shape was looked at
	if named = home + path.Clean(named); z.Member(named) != nil {
		name = named
	}
	member := z.Member(name)
	if member == nil || !member.Mode().IsRegular() {
		return "", nil
	}
	if text, err = readMember(z, member, maxReadme); err != nil {
		return "", nil
	}
	return strings.TrimPrefix(name, home), text[:min(len(text), maxReadme)]
}

// describe reads a version's composer.json for people, and where it was made from.
func describe(_ []*registry.File, fragmentOf func(string) ([]byte, error)) (*registry.Description, error) {
	body, err := fragmentOf(fragment)
	if err != nil {
		return nil, err
	}
	text, err := fragmentOf(readme)
	if err != nil {
		return nil, err
	}
	d := &registry.Description{}
	var v version
	if json.Unmarshal(body, &v) != nil {
		return d, nil
	}
	if v.Readme != "" { // what a branch had before may have stayed
		d.Readme, d.ReadmeType = strings.ToValidUTF8(strings.ReplaceAll(string(text), "\x00", ""), "\uFFFD"), readmeType(v.Readme)
	}
	// The shapes of the fields were looked at when they came; one that is not there leaves its value empty.
	json.Unmarshal(v.Manifest["description"], &d.Summary)
	json.Unmarshal(v.Manifest["keywords"], &d.Keywords)
	d.License = strings.Join(oneOrAll(v.Manifest["license"]), " or ")
	var authors []struct{ Name any }
	json.Unmarshal(v.Manifest["authors"], &authors)
	var names []string
	for _, author := range authors {
		if name, ok := author.Name.(string); ok && name != "" {
			names = append(names, name)
		}
	}
	d.Authors = strings.Join(names, ", ")
	var homepage string
	json.Unmarshal(v.Manifest["homepage"], &homepage)
	support := map[string]any{}
	json.Unmarshal(v.Manifest["support"], &support) // or [], which is empty
	link := func(label string, url any) {
		if text, ok := url.(string); ok && text != "" {
			d.Links = append(d.Links, registry.Link{Label: label, URL: text})
		}
	}
	link(registry.LinkHome, homepage)
	link(registry.LinkRepository, support["source"])
	link(registry.LinkIssues, support["issues"])
	for _, kind := range []string{"docs", "wiki", "forum", "chat", "security", "rss"} {
		link(kind, support[kind])
	}
	for _, field := range []string{"require", "require-dev"} {
		group := registry.DependencyGroup{Name: field, Development: field == "require-dev"}
		if field == "require" {
			group.Name = ""
		}
		ranges := map[string]string{}
		json.Unmarshal(v.Manifest[field], &ranges)
		for _, name := range slices.Sorted(maps.Keys(ranges)) {
			switch {
			case !platform.MatchString(name):
				group.Dependencies = append(group.Dependencies, registry.Dependency{Name: name, Key: strings.ToLower(name), Range: ranges[name]})
			case !group.Development:
				d.Requires = append(d.Requires, name+" "+ranges[name])
			}
		}
		if len(group.Dependencies) > 0 {
			d.Groups = append(d.Groups, group)
		}
	}
	if v.Source {
		d.Source = &registry.Source{Tag: v.Tag, Branch: v.Branch, Commit: v.Reference}
	}
	return d, nil
}

// platform are names of what a machine has, and no package (composer's PlatformRepository).
var platform = regexp.MustCompile(`(?i)^(?:php(?:-64bit|-ipv6|-zts|-debug)?|hhvm|(?:ext|lib)-[a-z0-9](?:[_.-]?[a-z0-9]+)*|composer(?:-(?:plugin|runtime)-api)?)$`)

// readmeType is the media type of a README by its name.
func readmeType(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".md", ".markdown":
		return "text/markdown"
	case ".rst":
		return "text/x-rst"
	}
	return "text/plain"
}

// oneOrAll is a text, or all of a list.
func oneOrAll(value json.RawMessage) (all []string) {
	var one string
	if json.Unmarshal(value, &one) == nil {
		return []string{one}
	}
	json.Unmarshal(value, &all)
	return all
}
