package pypi

import (
	"io"
	"net/http"
	"slices"
	"strings"

	"packhouse/internal/registry"
)

// The JSON API that PyPI had first (https://docs.pypi.org/api/json/) and that tools still read.

type legacyInfo struct {
	Author                 *string           `json:"author"`
	AuthorEmail            *string           `json:"author_email"`
	BugtrackURL            *string           `json:"bugtrack_url"`
	Classifiers            []string          `json:"classifiers"`
	Description            *string           `json:"description"`
	DescriptionContentType *string           `json:"description_content_type"`
	DocsURL                *string           `json:"docs_url"`
	DownloadURL            *string           `json:"download_url"`
	Downloads              legacyDownloads   `json:"downloads"`
	Dynamic                []string          `json:"dynamic"`
	HomePage               *string           `json:"home_page"`
	Keywords               *string           `json:"keywords"`
	License                *string           `json:"license"`
	LicenseExpression      *string           `json:"license_expression"`
	LicenseFiles           []string          `json:"license_files"`
	Maintainer             *string           `json:"maintainer"`
	MaintainerEmail        *string           `json:"maintainer_email"`
	Name                   string            `json:"name"`
	PackageURL             string            `json:"package_url"`
	Platform               *string           `json:"platform"`
	ProjectURL             string            `json:"project_url"`
	ProjectURLs            map[string]string `json:"project_urls"`
	ProvidesExtra          []string          `json:"provides_extra"`
	ReleaseURL             string            `json:"release_url"`
	RequiresDist           []string          `json:"requires_dist"`
	RequiresPython         *string           `json:"requires_python"`
	Summary                *string           `json:"summary"`
	Version                string            `json:"version"`
	Yanked                 bool              `json:"yanked"`
	YankedReason           *string           `json:"yanked_reason"`
}

// legacyDownloads are not counted in this form; -1 is what PyPI itself says.
type legacyDownloads struct {
	Day   int `json:"last_day"`
	Month int `json:"last_month"`
	Week  int `json:"last_week"`
}

type legacyFile struct {
	Comment        string            `json:"comment_text"`
	Digests        map[string]string `json:"digests"`
	Downloads      int               `json:"downloads"`
	Name           string            `json:"filename"`
	Signed         bool              `json:"has_sig"`
	MD5            string            `json:"md5_digest"`
	Kind           string            `json:"packagetype"`
	PythonVersion  string            `json:"python_version"`
	RequiresPython *string           `json:"requires_python"`
	Size           int64             `json:"size"`
	UploadTime     string            `json:"upload_time"`
	UploadTimeISO  string            `json:"upload_time_iso_8601"`
	URL            string            `json:"url"`
	Yanked         bool              `json:"yanked"`
	YankedReason   *string           `json:"yanked_reason"`
}

type legacyDocument struct {
	Info            legacyInfo              `json:"info"`
	LastSerial      int64                   `json:"last_serial"`
	Releases        map[string][]legacyFile `json:"releases,omitempty"` // of the whole name only
	URLs            []legacyFile            `json:"urls"`
	Vulnerabilities []struct{}              `json:"vulnerabilities"`
}

// legacy answers GET /pypi/:name/json and, with a version, GET /pypi/:name/:version/json.
func (h *Handler) legacy(w http.ResponseWriter, q *request, name, wanted string) error {
	var asked *version
	variant := "legacy"
	if wanted != "" {
		var ok bool
		if asked, ok = parseVersion(wanted); !ok {
			return errNoPackage
		}
		variant += " " + asked.String()
	}
	f, err := h.Find(q.Request, q.at, sought(name))
	if err != nil {
		return err
	}
	return h.serve(w, q, f, variant, "application/json", func(tx registry.Tx, w io.Writer, ids []int64) error {
		files, err := eachFile(tx, ids)
		if err != nil {
			return err
		}
		shown := shownVersion(files, asked)
		if shown == "" {
			return errNoPackage
		}
		doc := legacyDocument{URLs: []legacyFile{}, Vulnerabilities: []struct{}{}}
		for _, e := range f.Entries {
			doc.LastSerial += e.Revision
		}
		if asked == nil {
			doc.Releases = map[string][]legacyFile{}
		}
		var first *file // whose metadata is the version's: a wheel's before an sdist's
		for i, f := range files {
			one := newLegacyFile(q.prefix, f)
			if asked == nil {
				doc.Releases[f.pkg.Version] = append(doc.Releases[f.pkg.Version], one)
			}
			if f.pkg.Version == shown {
				doc.URLs = append(doc.URLs, one)
				if first == nil || first.Kind != wheel && f.Kind == wheel {
					first = &files[i]
				}
			}
		}
		var m *metadata
		err = tx.Fragments([]int64{first.pkg.ID}, companion(coreMetadata, first.Name), func(_ *registry.Package, body []byte) (err error) {
			m, err = parseMetadata(slices.Clone(body))
			return err
		})
		if err != nil {
			return err
		}
		if m == nil {
			return errNoPackage // a file without its metadata cannot be; were it so, there is nothing to tell
		}
		doc.Info = newLegacyInfo(q.prefix, first.pkg, m)
		return writeAsIs(w, doc)
	})
}

// shownVersion is the version that was asked for, or else the latest that is not yanked; "": none.
func shownVersion(files []file, asked *version) string {
	var best *registry.Package
	for _, f := range files {
		switch {
		case asked != nil:
			if v, ok := parseVersion(f.pkg.Version); ok && compareVersions(v, asked) == 0 {
				return f.pkg.Version
			}
		case best == nil,
			best.Status == registry.Deprecated && f.pkg.Status != registry.Deprecated,
			(best.Status == registry.Deprecated) == (f.pkg.Status == registry.Deprecated) && Format.Compare(f.pkg.Version, best.Version) > 0:
			best = f.pkg
		}
	}
	if best == nil {
		return ""
	}
	return best.Version
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func newLegacyFile(prefix string, f file) legacyFile {
	one := legacyFile{Comment: f.Comment, Digests: map[string]string{"blake2b_256": f.BLAKE2, "md5": f.MD5, "sha256": f.SHA256}, Downloads: -1,
		Name: f.Name, Signed: f.Signed, MD5: f.MD5, Kind: f.Kind, PythonVersion: f.PythonVersion, RequiresPython: orNull(f.RequiresPython), Size: f.Size,
		UploadTime: f.CreatedAt.UTC().Format("2006-01-02T15:04:05"), UploadTimeISO: stamp(f.CreatedAt), URL: fileURL(prefix, f.File)}
	if f.pkg.Status == registry.Deprecated {
		one.Yanked, one.YankedReason = true, orNull(f.pkg.StatusMessage)
	}
	return one
}

func newLegacyInfo(prefix string, p *registry.Package, m *metadata) legacyInfo {
	page := prefix + "/simple/" + normalize(p.Name) + "/"
	text := func(name string) *string { return orNull(m.get(name)) }
	info := legacyInfo{
		Author: text("Author"), AuthorEmail: text("Author-Email"), Classifiers: append([]string{}, m.all("Classifier")...), Description: text("Description"),
		DescriptionContentType: text("Description-Content-Type"), DownloadURL: text("Download-Url"), Downloads: legacyDownloads{-1, -1, -1},
		Dynamic: m.all("Dynamic"), HomePage: text("Home-Page"), Keywords: text("Keywords"), License: text("License"), LicenseExpression: text("License-Expression"),
		LicenseFiles: m.all("License-File"), Maintainer: text("Maintainer"), MaintainerEmail: text("Maintainer-Email"), Name: p.Name, PackageURL: page,
		Platform: text("Platform"), ProjectURL: page, ProvidesExtra: m.all("Provides-Extra"), ReleaseURL: page, RequiresDist: m.all("Requires-Dist"),
		RequiresPython: text("Requires-Python"), Summary: text("Summary"), Version: p.Version,
	}
	for _, line := range m.all("Project-Url") {
		if label, link, ok := strings.Cut(line, ","); ok {
			if info.ProjectURLs == nil {
				info.ProjectURLs = map[string]string{}
			}
			info.ProjectURLs[strings.TrimSpace(label)] = strings.TrimSpace(link)
		}
	}
	if p.Status == registry.Deprecated {
		info.Yanked, info.YankedReason = true, orNull(p.StatusMessage)
	}
	return info
}
