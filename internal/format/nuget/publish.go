package nuget

import (
	"encoding/json"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/format"
	"packhouse/internal/registry"
)

// Errors of a push, in GitLab's words.
var (
	errDuplicate = registry.Errorf(registry.Conflict, "A package with the same name and version already exists")
	errTooLarge  = registry.Errorf(registry.Invalid, "400 Bad request - File is too large")
)

// Kinds of fragments besides those of documents.go: small files of a package, as they are in it.
const (
	nuspecPart  = "nuspec"
	readmePart  = "readme"
	iconPart    = "icon"
	licensePart = "license"
)

// fileName is that of a package or of its symbols.
func fileName(id string, v version, extension string) string {
	return normalizeID(id) + "." + v.key() + extension
}

// push answers PUT of the project's prefix: one package.
func (h *Handler) push(w http.ResponseWriter, q *request) error {
	c, project, staged, err := h.receive(q)
	if staged != nil {
		defer staged.Discard()
	}
	if err != nil {
		return err
	}
	contents, err := readPackage(staged, staged.Digests().Size)
	if err != nil {
		return err
	}
	m := contents.Manifest
	if m.isSymbolPackage() {
		return registry.Errorf(registry.Invalid, "a package of symbols has to be pushed as one")
	}
	v, _ := parseVersion(m.Version) // readPackage has checked it
	known, err := json.Marshal(m)
	if err != nil {
		return err
	}
	leaf, err := leafFragment(m, v)
	if err != nil {
		return err
	}
	p := &registry.Publication{
		Package: registry.Package{ProjectID: project.ID, Name: m.ID, Version: m.Version, VersionKey: v.key(), Traits: traits(m, v), Words: words(m),
			CreatorID: c.UserID(), PipelineID: c.PipelineID()},
		EntryName: normalizeID(m.ID),
		Files:     []registry.PublicationFile{{Name: fileName(m.ID, v, ".nupkg"), Content: staged, Facts: string(known)}},
		Fragments: map[string][]byte{leafVariant: leaf, nuspecPart: contents.Nuspec},
	}
	for variant, text := range map[string][]byte{readmePart: contents.Readme, iconPart: contents.Icon, licensePart: contents.License} {
		if text != nil {
			p.Fragments[variant] = text
		}
	}
	return h.publish(w, q, p)
}

// publish makes a publication visible and answers.
func (h *Handler) publish(w http.ResponseWriter, q *request, p *registry.Publication) error {
	err := h.Registry.Publish(q.Context(), Format, p)
	if registry.KindOf(err) == registry.Conflict || err == nil && p.Unchanged {
		return errDuplicate
	}
	if err != nil {
		return err
	}
	return format.WriteJSON(w, http.StatusCreated, map[string]string{"message": "201 Created"})
}

// receive authorizes a push and stages the part "package" of its form. What it returns besides an error is to be discarded, too.
func (h *Handler) receive(q *request) (c *format.Caller, project *registry.Project, staged registry.Staged, err error) {
	if c, project, err = h.Project(q.Request, q.at.Project, access.Publish); err != nil {
		return nil, nil, nil, err
	}
	policy, err := c.View.Policy(0, project.ID)
	if err != nil {
		return nil, nil, nil, err
	}
	maxFile := policy.MaxFile(registry.NuGet, h.MaxFile)
	if q.ContentLength > maxFile+1<<20 { // boundaries and headers of parts are a little
		return nil, nil, nil, errTooLarge
	}
	parts, err := formOf(q.Request)
	if err != nil {
		return nil, nil, nil, format.ParamError("package is missing")
	}
	for n := 0; n < maxParts; n++ {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, staged, format.CutOff(err)
		}
		switch {
		case part.FormName() != "package": // the next part begins behind it
		case part.FileName() == "" || staged != nil:
			return nil, nil, staged, format.ParamError("package is invalid")
		default:
			staged, err = h.Registry.Blobs.Stage(q.Context(), &format.Limited{Reader: format.Upload{Reader: part}, Left: maxFile, Err: errTooLarge})
			if err != nil {
				return nil, nil, nil, err
			}
		}
	}
	if staged == nil {
		return nil, nil, nil, format.ParamError("package is missing")
	}
	return c, project, staged, nil
}

// maxParts of a form are looked at. All but the package are passed over.
const maxParts = 20

// traits are what some clients cannot read, or do not want.
func traits(m *manifest, v version) (t registry.Traits) {
	if v.prerelease() {
		t |= registry.Prerelease
	}
	if m.semVer2() {
		t |= registry.SemVer2
	}
	return t
}

// words are those by which a package is found: title, tags and texts, and its types.
func words(m *manifest) string {
	lines := []string{m.Title, strings.Join(m.Tags, " ")}
	for _, t := range m.types() {
		lines = append(lines, typeWord(t.Name))
	}
	return strings.Join(append(lines, m.Summary, m.Description), "\n")
}

// typeWord finds packages of a type, and nothing else: no text of a package has control characters.
func typeWord(name string) string {
	if strings.EqualFold(name, dependencyType) {
		name = "" // nearly every package has it: it must not be found by the word
	}
	return "\x01" + strings.ToLower(name) + "\x01"
}

// dependencyType is what a package is that does not say.
const dependencyType = "Dependency"

// types are those of a package.
func (m *manifest) types() []packageType {
	if len(m.PackageTypes) == 0 {
		return []packageType{{Name: dependencyType}}
	}
	return m.PackageTypes
}

// remove answers DELETE /:id/:version: the version is gone for good, or only unlisted where the project says so.
func (h *Handler) remove(w http.ResponseWriter, q *request) error {
	c, pkg, err := h.target(q)
	if err != nil {
		return err
	}
	policy, err := c.View.Policy(0, pkg.ProjectID)
	if err != nil {
		return err
	}
	if since := q.Header.Get("If-Unmodified-Since"); since != "" {
		if at, err := http.ParseTime(since); err == nil && pkg.CreatedAt.After(at.Add(time.Second)) {
			return format.WriteJSON(w, http.StatusPreconditionFailed, map[string]string{"message": "412 Precondition Failed"})
		}
	}
	may := func(registry.Tx, *registry.Package) error { return nil } // target has asked
	if policy.On(registry.NuGetUnlists) {
		err = h.Registry.SetListed(q.Context(), pkg.ID, false, may)
	} else {
		err = h.Registry.Delete(q.Context(), pkg.ID, may)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// relist answers POST /:id/:version.
func (h *Handler) relist(w http.ResponseWriter, q *request) error {
	_, pkg, err := h.target(q)
	if err != nil {
		return err
	}
	err = h.Registry.SetListed(q.Context(), pkg.ID, true, func(registry.Tx, *registry.Package) error { return nil })
	if err != nil {
		return err
	}
	return format.WriteJSON(w, http.StatusOK, map[string]string{"message": "200 OK"})
}

// target is the version that a request wants to delete, unlist or list.
func (h *Handler) target(q *request) (*format.Caller, *registry.Package, error) {
	c, project, err := h.Project(q.Request, q.at.Project, access.Delete)
	if err != nil {
		return nil, nil, err
	}
	id, number := q.PathValue("name"), q.PathValue("version")
	if !validID(id) {
		return nil, nil, format.ParamError("package_name is invalid")
	}
	v, ok := parseVersion(number)
	if !ok {
		return nil, nil, format.ParamError("package_version is invalid")
	}
	var pkg *registry.Package
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		entry, err := tx.Entry(project.ID, registry.NuGet, normalizeID(id))
		if err != nil {
			return err
		}
		pkg, err = tx.PackageByVersion(entry.ID, v.key())
		return err
	})
	if registry.KindOf(err) == registry.NotFound {
		err = errNoPackage
	}
	return c, pkg, err
}

// pushSymbols answers PUT /symbolpackage: the .snupkg of a version that is there. Its symbols are found from then on by
// what a debugger knows.
func (h *Handler) pushSymbols(w http.ResponseWriter, q *request) error {
	c, project, staged, err := h.receive(q)
	if staged != nil {
		defer staged.Discard()
	}
	if err != nil {
		return err
	}
	contents, err := readPackage(staged, staged.Digests().Size)
	if err != nil {
		return err
	}
	m := contents.Manifest
	if !m.isSymbolPackage() {
		return registry.Errorf(registry.Invalid, "the package is no package of symbols: its nuspec has no packageType SymbolsPackage")
	}
	v, _ := parseVersion(m.Version)
	file := registry.PublicationFile{Name: fileName(m.ID, v, ".snupkg"), Content: staged}
	defer func() {
		for _, s := range file.Symbols {
			s.Content.Discard()
		}
	}()
	symbols := map[string]symbol{} // by path
	err = eachSymbol(staged, staged.Digests().Size, func(name string, s symbol, content io.Reader) error {
		staged, err := h.Registry.Blobs.Stage(q.Context(), content)
		if err == nil {
			symbols[name] = s
			file.Symbols = append(file.Symbols, registry.PublicationSymbol{Content: staged,
				Symbol: registry.Symbol{Name: strings.ToLower(path.Base(name)), Signature: strings.ToLower(s.Signature), Checksum: s.Checksum}})
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := h.matchSymbols(q, project, m, v, symbols); err != nil {
		return err
	}
	return h.publish(w, q, &registry.Publication{
		Package:   registry.Package{ProjectID: project.ID, Name: m.ID, Version: m.Version, VersionKey: v.key(), CreatorID: c.UserID(), PipelineID: c.PipelineID()},
		EntryName: normalizeID(m.ID),
		Joins:     true,
		Files:     []registry.PublicationFile{file},
	})
}

// matchSymbols compares debug symbols with the programs in the package that they are for. It returns NotFound when there is
// no such package.
func (h *Handler) matchSymbols(q *request, project *registry.Project, m *manifest, v version, symbols map[string]symbol) error {
	var entry *registry.Entry
	err := h.Registry.Store.Read(q.Context(), func(tx registry.Tx) (err error) {
		entry, err = tx.Entry(project.ID, registry.NuGet, normalizeID(m.ID))
		return err
	})
	var file *registry.File
	if err == nil {
		file, err = h.Registry.Store.FileOfVersion(q.Context(), []int64{entry.ID}, v.key(), fileName(m.ID, v, ".nupkg"))
	}
	if registry.KindOf(err) == registry.NotFound {
		return errNoPackage
	}
	if err != nil {
		return err
	}
	blob, err := h.Registry.Blobs.Open(q.Context(), file.SHA256)
	if err != nil {
		return err
	}
	defer blob.Close()
	return checkSymbols(seeking{blob}, blob.Size(), symbols)
}

// seeking reads at any place of a blob.
type seeking struct{ io.ReadSeeker }

func (s seeking) ReadAt(p []byte, at int64) (int, error) {
	if _, err := s.Seek(at, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s.ReadSeeker, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}
