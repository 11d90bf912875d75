package nuget

import (
	"cmp"
	"encoding/json"
	"strings"

	"packhouse/internal/registry"
)

// describe reads a version's manifest, which stands with its file, and its readme for people.
func describe(files []*registry.File, fragment func(string) ([]byte, error)) (*registry.Description, error) {
	var m manifest
	for _, file := range files {
		if strings.HasSuffix(file.Name, ".nupkg") && json.Unmarshal([]byte(file.Facts), &m) == nil {
			break
		}
	}
	readme, err := fragment(readmePart)
	if err != nil {
		return nil, err
	}
	d := &registry.Description{Summary: cmp.Or(m.Summary, m.Description), Readme: strings.ToValidUTF8(string(readme), "\uFFFD"), ReadmeType: "text/markdown",
		License: cmp.Or(m.LicenseExpression, m.LicenseFile), Authors: m.Authors, Keywords: m.Tags}
	if d.Readme == "" && m.Description != d.Summary { // older packages have said all there
		d.Readme, d.ReadmeType = m.Description, "text/plain"
	}
	if m.ProjectURL != "" {
		d.Links = append(d.Links, registry.Link{Label: registry.LinkHome, URL: m.ProjectURL})
	}
	if m.Repository != nil && m.Repository.URL != "" {
		d.Links = append(d.Links, registry.Link{Label: registry.LinkRepository, URL: m.Repository.URL})
	}
	for _, g := range m.DependencyGroups {
		group := registry.DependencyGroup{Name: g.Framework}
		for _, each := range g.Dependencies {
			group.Dependencies = append(group.Dependencies, registry.Dependency{Name: each.ID, Key: normalizeID(each.ID), Range: each.Range})
		}
		d.Groups = append(d.Groups, group)
	}
	return d, nil
}
