package registry

import "slices"

// Description is what people want to know of a version, as its publisher has written it: nothing of it is to be trusted.
type Description struct {
	Summary    string
	Readme     string
	ReadmeType string // media type: text/markdown, text/x-rst or text/plain
	License    string
	Authors    string
	Keywords   []string
	Links      []Link   // URLs as they were given
	Requires   []string // what it runs on: "Python >=3.9", "node >=18"
	Groups     []DependencyGroup
}

// Link is a place elsewhere that a description names.
type Link struct {
	Label string // as the publisher wrote it, or the name of a LinkKind
	URL   string
}

// Labels of links that formats have fields for.
const (
	LinkHome       = "homepage"
	LinkRepository = "repository"
	LinkIssues     = "issues"
)

// DependencyGroup is dependencies that count under one condition: of a kind, an extra, a target framework.
type DependencyGroup struct {
	Name         string // as the format calls it: "devDependencies", "extra: test", "net8.0"; "": always
	Development  bool   // who installs the package does not need them
	Dependencies []Dependency
}

// Dependency is another package that one needs.
type Dependency struct {
	Name  string
	Key   string // Name in the format's canonical spelling
	Range string // as it is written; "": any version
}

// Describe reads the description of a version: from what its format has kept of it, not from its files. A package of a format that
// says nothing has an empty one.
func (r *Registry) Describe(tx Tx, p *Package) (*Description, error) {
	format := r.Format(p.Type)
	if format.Describe == nil {
		return &Description{}, nil
	}
	return describe(tx, format, p.ID)
}

func describe(tx Tx, format Format, pkg int64) (*Description, error) {
	files, _, err := tx.PageFiles(pkg, "id", false, describedFiles, 0)
	if err != nil {
		return nil, err
	}
	return format.Describe(files, func(variant string) (body []byte, err error) {
		err = tx.Fragments([]int64{pkg}, variant, func(_ *Package, fragment []byte) error {
			body = append([]byte(nil), fragment...)
			return nil
		})
		return body, err
	})
}

// describedFiles is how many files of a version a description may be taken from.
const describedFiles = 20

// maxNeeds bounds the names that are kept of what a version depends on.
const maxNeeds = 1000

// setLatest says which package an entry shows as its latest version; 0: none. What that depends on is kept apart, for [Tx.Dependents].
func setLatest(tx Tx, format Format, entry, pkg int64, listed Kinds) error {
	if err := tx.SetLatest(entry, pkg, listed); err != nil || format.Describe == nil {
		return err
	}
	d := &Description{}
	if pkg != 0 {
		var err error
		if d, err = describe(tx, format, pkg); err != nil {
			return err
		}
	}
	return setNeeds(tx, format, entry, d)
}

// setNeeds keeps what the latest version of an entry depends on.
func setNeeds(tx Tx, format Format, entry int64, d *Description) error {
	var names []string
	for _, group := range d.Groups {
		for _, each := range group.Dependencies {
			if !group.Development && each.Key != "" && len(names) < maxNeeds {
				names = append(names, each.Key)
			}
		}
	}
	slices.Sort(names)
	return tx.SetNeeds(entry, format.Type, slices.Compact(names))
}
