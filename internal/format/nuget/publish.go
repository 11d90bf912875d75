package nuget

import (
	"encoding/json"
	"io"
	"net/http"
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
	p, err := h.receive(q)
	if err != nil {
		return err
	}
	defer p.staged.Discard()
	m, v := p.Manifest, p.version
	if m.isSymbolPackage() {
		return registry.Errorf(registry.Invalid, "a package of symbols has to be pushed as one")
	}
	known, err := json.Marshal(m)
	if err != nil {
		return err
	}
	leaf, err := leafFragment(m, v)
	if err != nil {
		return err
	}
	publication := &registry.Publication{
		Package: registry.Package{ProjectID: p.project.ID, Name: m.ID, Version: m.Version, VersionKey: v.key(), Traits: traits(m, v), Words: words(m),
			CreatorID: p.caller.UserID(), PipelineID: p.caller.PipelineID()},
		EntryName: normalizeID(m.ID),
		Files:     []registry.PublicationFile{{Name: fileName(m.ID, v, ".nupkg"), Content: p.staged, Facts: string(known)}},
		Fragments: map[string][]byte{leafVariant: leaf, nuspecPart: p.Nuspec},
	}
	for variant, text := range map[string][]byte{readmePart: p.Readme, iconPart: p.Icon, licensePart: p.License} {
		if text != nil {
			publication.Fragments[variant] = text
		}
	}
	return h.publish(w, q, publication)
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

// pushed is a package that has arrived and was read. Whoever has it discards what is staged.
type pushed struct {
	caller  *format.Caller
	project *registry.Project
	staged  registry.Staged
	*contents
	version version
}

// receive authorizes a push, and stages and reads the part "package" of its form.
func (h *Handler) receive(q *request) (*pushed, error) {
	c, project, policy, err := h.Publishing(q.Request, q.at.Project)
	if err != nil {
		return nil, err
	}
	maxFile := policy.MaxFile(registry.NuGet, h.MaxFile)
	if q.ContentLength > maxFile+1<<20 { // boundaries and headers of parts are a little
		return nil, errTooLarge
	}
	staged, err := h.stage(q, maxFile)
	if err != nil {
		return nil, err
	}
	contents, err := readPackage(staged, staged.Digests().Size)
	if err != nil {
		staged.Discard()
		return nil, err
	}
	v, _ := parseVersion(contents.Manifest.Version) // readPackage has checked it
	return &pushed{c, project, staged, contents, v}, nil
}

// stage keeps the part "package" of a form of a push.
func (h *Handler) stage(q *request, maxFile int64) (staged registry.Staged, err error) {
	defer func() {
		if err != nil && staged != nil {
			staged.Discard()
		}
	}()
	parts, err := formOf(q.Request)
	if err != nil {
		return nil, format.ParamError("package is missing")
	}
	for n := 0; n < maxParts; n++ {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return staged, format.CutOff(err)
		}
		switch {
		case part.FormName() != "package": // the next part begins behind it
		case part.FileName() == "" || staged != nil:
			return staged, format.ParamError("package is invalid")
		default:
			staged, err = h.Registry.Blobs.Stage(q.Context(), &format.Limited{Reader: format.Upload{Reader: part}, Left: maxFile, Err: errTooLarge})
			if err != nil {
				return nil, err
			}
		}
	}
	if staged == nil {
		return nil, format.ParamError("package is missing")
	}
	return staged, nil
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
