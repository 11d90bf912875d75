package nuget

import (
	"net/http"
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
