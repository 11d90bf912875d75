package nuget

import (
	"io"
	"net/http"
	"path"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/document"
	"packhouse/internal/format"
	"packhouse/internal/registry"
)

var (
	errNoSymbol  = registry.Errorf(registry.NotFound, "404 Symbol Not Found")
	errNoServer  = registry.Errorf(registry.Forbidden, "403 Forbidden")
	errNoSymSums = registry.Errorf(registry.Invalid, "400 Bad request - Missing checksum header")
)

// symbol answers GET /symbolfiles/:file/:signature/:file, as debuggers ask for debug symbols: with the checksum in a header and
// without a login. Those of packages that not everybody may read are for everybody all the same where the settings say so:
// signature and checksum are the secret then.
func (h *Handler) symbol(w http.ResponseWriter, q *request) error {
	name := strings.ToLower(q.PathValue("file"))
	if strings.ToLower(q.PathValue("same")) != name {
		return format.ParamError("same_file_name is not the same as file_name")
	}
	policy, project, group, err := h.place(q)
	if err != nil {
		return err
	}
	c, err := h.Caller(q.Request)
	if err != nil {
		return err
	}
	var place int64
	served := policy.On(registry.NuGetSymbolServer)
	if project != nil {
		place = project.ID
		served, err = h.serves(c, project)
	} else if !served {
		err = c.View.AuthorizeGroup(c.Caller, group, access.Read)
		served = err == nil
	}
	if err != nil && !denied(err) {
		return err
	}
	switch {
	case !served:
		return errNoServer
	case q.Header.Get("Symbolchecksum") == "":
		return errNoSymSums
	}
	var found []*registry.ProjectSymbol
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) (err error) {
		found, err = tx.Symbols(place, group, strings.ToLower(q.PathValue("signature")), name, checksums(q.Header))
		return err
	})
	if err != nil {
		return err
	}
	for _, s := range found {
		p, err := c.View.ProjectByID(s.ProjectID)
		if registry.KindOf(err) == registry.NotFound { // it was removed, its packages go after it
			continue
		}
		if err == nil {
			served, err = h.serves(c, p)
		}
		if err != nil {
			return err
		}
		if served {
			return document.StreamFile(w, q.Request, h.Registry, &registry.File{Name: s.Name, Digests: registry.Digests{Size: s.Size, SHA256: s.SHA256}})
		}
	}
	return errNoSymbol
}

// serves tells whether a caller gets the debug symbols of a project.
func (h *Handler) serves(c *format.Caller, p *registry.Project) (bool, error) {
	err := c.View.Authorize(c.Caller, p, access.Read)
	if !denied(err) {
		return err == nil, err
	}
	if p.Hidden() || p.RegistryAccess == registry.RegistryDisabled {
		return false, nil
	}
	policy, err := c.View.Policy(0, p.ID)
	return err == nil && policy.On(registry.NuGetSymbolServer), err
}

// checksums are the SHA-256 that a request names, "SHA256:" and hex each, in lower case: a debugger knows one or more.
func checksums(header http.Header) (sums []string) {
	for _, line := range header["Symbolchecksum"] {
		for one := range strings.SplitSeq(line, ";") {
			if sum, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(one)), "sha256:"); ok && len(sum) == 64 && strings.Trim(sum, "0123456789abcdef") == "" {
				sums = append(sums, sum)
			}
		}
	}
	return sums
}

// pushSymbols answers PUT /symbolpackage: the .snupkg of a version that is there. Its symbols are found from then on by
// what a debugger knows.
func (h *Handler) pushSymbols(w http.ResponseWriter, q *request) error {
	p, err := h.receive(q)
	if err != nil {
		return err
	}
	defer p.staged.Discard()
	m, v := p.Manifest, p.version
	if !m.isSymbolPackage() {
		return registry.Errorf(registry.Invalid, "the package is no package of symbols: its nuspec has no packageType SymbolsPackage")
	}
	nupkg, err := h.nupkgOf(q, p)
	if err != nil {
		return err
	}
	file := registry.PublicationFile{Name: fileName(m.ID, v, ".snupkg"), Content: p.staged}
	defer func() {
		for _, s := range file.Symbols {
			s.Content.Discard()
		}
	}()
	symbols := map[string]symbol{} // by path
	err = eachSymbol(p.staged, p.staged.Digests().Size, func(name string, s symbol, content io.Reader) error {
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
	if err := h.match(q, nupkg, symbols); err != nil {
		return err
	}
	return h.publish(w, q, &registry.Publication{
		Package:   registry.Package{ProjectID: p.project.ID, Name: m.ID, Version: m.Version, VersionKey: v.key(), CreatorID: p.caller.UserID(), PipelineID: p.caller.PipelineID()},
		EntryName: normalizeID(m.ID),
		How:       registry.Join,
		Files:     []registry.PublicationFile{file},
	})
}

// nupkgOf is the file of the package that a package of symbols is for. It returns NotFound when there is none.
func (h *Handler) nupkgOf(q *request, p *pushed) (file *registry.File, err error) {
	var entry *registry.Entry
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) (err error) {
		entry, err = tx.Entry(p.project.ID, registry.NuGet, normalizeID(p.Manifest.ID))
		return err
	})
	if err == nil {
		file, err = h.Registry.Store.FileOfVersion(q.Context(), []int64{entry.ID}, p.version.key(), fileName(p.Manifest.ID, p.version, ".nupkg"))
	}
	if registry.KindOf(err) == registry.NotFound {
		err = errNoPackage
	}
	return file, err
}

// match compares debug symbols with the programs in the package that they are for.
func (h *Handler) match(q *request, nupkg *registry.File, symbols map[string]symbol) error {
	blob, err := h.Registry.Blobs.Open(q.Context(), nupkg.SHA256)
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
