package pypi

import (
	"mime"
	"regexp"
	"slices"
	"strings"

	"packhouse/internal/registry"
)

// describe reads the core metadata of a version for people: that of a wheel, which is complete, or else of an sdist.
func describe(files []*registry.File, fragment func(string) ([]byte, error)) (*registry.Description, error) {
	d := &registry.Description{}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b *registry.File) int { return rank(a.Name) - rank(b.Name) })
	for _, file := range files {
		text, err := fragment(companion(coreMetadata, file.Name))
		if err != nil {
			return nil, err
		}
		m, err := parseMetadata(text)
		if text == nil || err != nil { // it was parsed when it came; so this is of another age
			continue
		}
		return describeMetadata(m), nil
	}
	return d, nil
}

func rank(file string) int {
	if strings.HasSuffix(file, ".whl") {
		return 0
	}
	return 1
}

func describeMetadata(m *metadata) *registry.Description {
	get := func(name string) string { return strings.ToValidUTF8(m.get(name), "\uFFFD") }
	d := &registry.Description{Summary: get("Summary"), Readme: get("Description"), ReadmeType: "text/x-rst", License: get("License-Expression"), Authors: get("Author")}
	if kind, _, err := mime.ParseMediaType(get("Description-Content-Type")); err == nil {
		d.ReadmeType = kind
	}
	if d.License == "" {
		d.License, _, _ = strings.Cut(get("License"), "\n") // some put the whole text there
	}
	if d.Authors == "" {
		d.Authors = withoutAddress(get("Author-Email"))
	}
	d.Keywords = strings.FieldsFunc(get("Keywords"), func(r rune) bool { return r == ',' || r == ' ' })
	if url := get("Home-Page"); url != "" {
		d.Links = append(d.Links, registry.Link{Label: registry.LinkHome, URL: url})
	}
	for _, line := range m.all("Project-URL") {
		label, url, ok := strings.Cut(strings.ToValidUTF8(line, ""), ",")
		if ok {
			d.Links = append(d.Links, registry.Link{Label: strings.TrimSpace(label), URL: strings.TrimSpace(url)})
		}
	}
	if python := get("Requires-Python"); python != "" {
		d.Requires = []string{"Python " + python}
	}
	groups := map[string]*registry.DependencyGroup{}
	var order []string
	for _, line := range m.all("Requires-Dist") {
		name, rest, condition := splitRequirement(strings.ToValidUTF8(line, ""))
		if groups[condition] == nil {
			groups[condition] = &registry.DependencyGroup{Name: condition}
			order = append(order, condition)
		}
		groups[condition].Dependencies = append(groups[condition].Dependencies, registry.Dependency{Name: name, Key: normalize(name), Range: rest})
	}
	for _, condition := range order {
		d.Groups = append(d.Groups, *groups[condition])
	}
	return d
}

var requirement = regexp.MustCompile(`^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(.*)$`)

// splitRequirement takes a requirement (PEP 508) apart: name, extras and versions, and the marker.
func splitRequirement(line string) (name, rest, marker string) {
	line, marker, _ = strings.Cut(line, ";")
	found := requirement.FindStringSubmatch(line)
	if found == nil {
		return strings.TrimSpace(line), "", strings.TrimSpace(marker)
	}
	rest = strings.TrimSpace(found[2])
	if strings.HasPrefix(rest, "(") && strings.HasSuffix(rest, ")") {
		rest = rest[1 : len(rest)-1]
	}
	return found[1], rest, strings.TrimSpace(marker)
}

// withoutAddress is the names of "Ann <ann@example.org>, Bob <bob@example.org>"; of an address alone, nothing.
func withoutAddress(people string) string {
	var names []string
	for one := range strings.SplitSeq(people, ",") {
		name, _, _ := strings.Cut(one, "<")
		if name = strings.Trim(strings.TrimSpace(name), `"`); name != "" && !strings.Contains(name, "@") {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
