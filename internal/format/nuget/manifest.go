package nuget

// manifest is what the answers show of a package, as its .nuspec says it
// (https://learn.microsoft.com/nuget/reference/nuspec). It is stored, as JSON, with the package's file.
type manifest struct {
	ID                string            `json:"id"`      // as spelled
	Version           string            `json:"version"` // as spelled
	Title             string            `json:"title,omitempty"`
	Authors           string            `json:"authors,omitempty"` // "Ann, Bob"
	Owners            string            `json:"owners,omitempty"`
	Description       string            `json:"description,omitempty"`
	Summary           string            `json:"summary,omitempty"`
	ReleaseNotes      string            `json:"release_notes,omitempty"`
	Copyright         string            `json:"copyright,omitempty"`
	Language          string            `json:"language,omitempty"`
	Tags              []string          `json:"tags,omitempty"`
	ProjectURL        string            `json:"project_url,omitempty"`
	LicenseURL        string            `json:"license_url,omitempty"`
	LicenseExpression string            `json:"license,omitempty"`      // SPDX
	LicenseFile       string            `json:"license_file,omitempty"` // path in the package
	IconURL           string            `json:"icon_url,omitempty"`
	Icon              string            `json:"icon,omitempty"`   // path in the package
	Readme            string            `json:"readme,omitempty"` // path in the package
	RequireAcceptance bool              `json:"require_license_acceptance,omitempty"`
	Development       bool              `json:"development_dependency,omitempty"`
	MinClientVersion  string            `json:"min_client_version,omitempty"`
	Repository        *repository       `json:"repository,omitempty"`
	PackageTypes      []packageType     `json:"package_types,omitempty"`     // none: Dependency
	DependencyGroups  []dependencyGroup `json:"dependency_groups,omitempty"` // as in the .nuspec, also those without dependencies
	Signed            bool              `json:"signed,omitempty"`            // the package has a signature
}

type repository struct {
	Type   string `json:"type,omitempty"`
	URL    string `json:"url,omitempty"`
	Branch string `json:"branch,omitempty"`
	Commit string `json:"commit,omitempty"`
}

type packageType struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// dependencyGroup is the dependencies of one target framework; without one they are of all.
type dependencyGroup struct {
	Framework    string       `json:"framework,omitempty"` // as spelled: ".NETStandard2.0", "net8.0"
	Dependencies []dependency `json:"dependencies,omitempty"`
}

type dependency struct {
	ID      string `json:"id"`
	Range   string `json:"range,omitempty"` // as spelled: "1.0", "[1.0, 2.0)"; "": any
	Include string `json:"include,omitempty"`
	Exclude string `json:"exclude,omitempty"`
}
