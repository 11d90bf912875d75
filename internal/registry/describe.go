package registry

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
	format := r.format(p.Type)
	if format.Describe == nil {
		return &Description{}, nil
	}
	files, _, err := tx.PageFiles(p.ID, "id", false, describedFiles, 0)
	if err != nil {
		return nil, err
	}
	return format.Describe(files, func(variant string) (body []byte, err error) {
		err = tx.Fragments([]int64{p.ID}, variant, func(_ *Package, fragment []byte) error {
			body = append([]byte(nil), fragment...)
			return nil
		})
		return body, err
	})
}

// describedFiles is how many files of a version a description may be taken from.
const describedFiles = 20
