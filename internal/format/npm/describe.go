package npm

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"packhouse/internal/registry"
)

// describe reads a version's manifest for people. Its fields have the forms that package.json has had over the years; what is of
// none of them is left out.
func describe(_ []*registry.File, fragment func(string) ([]byte, error)) (*registry.Description, error) {
	body, err := fragment(full)
	if err != nil {
		return nil, err
	}
	text, err := fragment(readme)
	if err != nil {
		return nil, err
	}
	d := &registry.Description{Readme: string(text), ReadmeType: "text/markdown"}
	var manifest map[string]json.RawMessage
	if json.Unmarshal(bytes.ReplaceAll(body, []byte{0}, nil), &manifest) != nil {
		return d, nil
	}
	d.Summary, _ = asString(manifest["description"])
	d.License = named(manifest["license"], "type")
	d.Authors, _, _ = strings.Cut(named(manifest["author"], "name"), "<") // addresses are nobody's business
	d.Authors = strings.TrimSpace(d.Authors)
	if json.Unmarshal(manifest["keywords"], &d.Keywords) != nil {
		one, _ := asString(manifest["keywords"])
		d.Keywords = strings.Fields(strings.ReplaceAll(one, ",", " "))
	}
	for _, link := range []registry.Link{
		{Label: registry.LinkHome, URL: named(manifest["homepage"], "url")},
		{Label: registry.LinkRepository, URL: webURL(named(manifest["repository"], "url"))},
		{Label: registry.LinkIssues, URL: named(manifest["bugs"], "url")},
	} {
		if link.URL != "" {
			d.Links = append(d.Links, link)
		}
	}
	engines := texts(manifest["engines"])
	for _, name := range slices.Sorted(maps.Keys(engines)) {
		d.Requires = append(d.Requires, name+" "+engines[name])
	}
	for _, field := range []string{"dependencies", "peerDependencies", "optionalDependencies", "devDependencies"} {
		group := registry.DependencyGroup{Name: field, Development: field == "devDependencies"}
		if field == "dependencies" {
			group.Name = ""
		}
		ranges := texts(manifest[field])
		for _, name := range slices.Sorted(maps.Keys(ranges)) {
			group.Dependencies = append(group.Dependencies, registry.Dependency{Name: name, Key: name, Range: ranges[name]})
		}
		if len(group.Dependencies) > 0 {
			d.Groups = append(d.Groups, group)
		}
	}
	return d, nil
}

// named is a text, or that of a field of an object.
func named(value json.RawMessage, field string) string {
	if text, ok := asString(value); ok {
		return text
	}
	text, _ := asString(asObject(value)[field])
	return text
}

// texts is an object of texts.
func texts(value json.RawMessage) map[string]string {
	found := map[string]string{}
	for name, value := range asObject(value) {
		if text, ok := asString(value); ok {
			found[name] = text
		}
	}
	return found
}

// webURL is the page of a repository that git clones from a URL.
func webURL(clone string) string {
	clone = strings.TrimPrefix(clone, "git+")
	if rest, ok := strings.CutPrefix(clone, "git://"); ok {
		clone = "https://" + rest
	}
	if rest, ok := strings.CutPrefix(clone, "ssh://git@"); ok {
		clone = "https://" + rest
	}
	return strings.TrimSuffix(clone, ".git")
}
