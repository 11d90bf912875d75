package pypi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"packhouse/internal/format"
	"packhouse/internal/registry"
)

// facts is what the documents show of a file besides its name, size, digests and time. It is stored with the file.
type facts struct {
	Kind           string `json:"kind"`            // wheel or sdist
	RequiresPython string `json:"requires_python"` // a version specifier; "": any
	Metadata       string `json:"metadata"`        // SHA-256 of the core metadata, hex
	BLAKE2         string `json:"blake2b_256"`     // hex
	Signed         bool   `json:"signed"`          // there is a PGP signature
	Provenance     bool   `json:"provenance"`      // there are attestations
	PythonVersion  string `json:"python_version"`  // of the legacy JSON: the wheel's Python tag, or "source"
	Comment        string `json:"comment"`         // of the legacy JSON
}

// maxFact bounds the texts among them, in bytes.
const maxFact = 2000

// Companions of a file are small and kept with its package, as fragments whose variant is one of these words, a space
// and the name of the file.
const (
	coreMetadata = "metadata"
	signature    = "signature"
	attestations = "provenance"
)

// companion names the fragment of a file.
func companion(word, file string) string { return word + " " + file }

// upload answers POST and PUT of the project's prefix: one file of one version.
func (h *Handler) upload(w http.ResponseWriter, q *request) error {
	c, project, policy, err := h.Publishing(q.Request, q.at.Project)
	if err != nil {
		return err
	}
	maxFile := policy.MaxFile(registry.PyPI, h.MaxFile)
	// What cannot fit is refused unread; boundaries and headers of parts are a little.
	if q.ContentLength > h.MaxMetadata+maxFile+1<<20 {
		return errTooLarge
	}
	var staged registry.Staged
	defer func() {
		if staged != nil {
			staged.Discard()
		}
	}()
	form, err := readForm(q.Request, h.MaxMetadata, func(so *form, content io.Reader) (err error) {
		// Clients send the name before the file, so a protected one is refused before that has arrived.
		if name := so.get("name"); name != "" {
			if err := h.Registry.MayPush(q.Context(), policy, project.ID, registry.PyPI, name); err != nil {
				return err
			}
		}
		staged, err = h.Registry.Blobs.Stage(q.Context(), &format.Limited{Reader: content, Left: maxFile, Err: errTooLarge})
		return err
	})
	if err != nil {
		return err
	}
	var lacks []string
	for _, field := range []string{"content", "name", "version"} {
		if field == "content" && staged == nil || field != "content" && form.get(field) == "" {
			lacks = append(lacks, field+" is missing")
		}
	}
	if len(lacks) > 0 {
		return format.ParamError(strings.Join(lacks, ", "))
	}
	publication, err := h.publication(c, project, form, staged)
	if err != nil {
		return err
	}
	err = h.Registry.Publish(q.Context(), Format, publication)
	if registry.KindOf(err) == registry.Conflict {
		return registry.Errorf(registry.Invalid, "Validation failed: File name has already been taken")
	}
	if err != nil {
		return err
	}
	if publication.Unchanged {
		return writeJSON(w, http.StatusOK, map[string]string{"message": "200 OK"})
	}
	return writeJSON(w, http.StatusCreated, map[string]string{"message": "201 Created"})
}

var errTooLarge = registry.Errorf(registry.TooLarge, "File is too large")

// publication checks what was sent against itself and against the distribution.
func (h *Handler) publication(c *format.Caller, project *registry.Project, form *form, staged registry.Staged) (*registry.Publication, error) {
	name, digests := form.get("name"), staged.Digests()
	if action := form.get(":action"); action != "" && action != "file_upload" {
		return nil, registry.Errorf(registry.Invalid, "the action %.64q is not supported", action)
	}
	if !validName(name) {
		return nil, registry.Errorf(registry.Invalid, "Validation failed: Name is invalid")
	}
	v, ok := parseVersion(form.get("version"))
	if !ok {
		return nil, registry.Errorf(registry.Invalid, "Validation failed: Version is invalid")
	}
	file, err := parseFileName(form.fileName, name)
	if err != nil {
		return nil, err
	}
	if compareVersions(file.version, v) != 0 {
		return nil, registry.Errorf(registry.Invalid, "Invalid distribution filename %.255q: it is one of version %s, not of %s", form.fileName, file.version, v)
	}
	if kind := form.get("filetype"); kind != "" && kind != file.kind {
		return nil, registry.Errorf(registry.Invalid, "the file is a %s, not a %.64q", file.kind, kind)
	}
	if err := form.checkDigests(digests); err != nil {
		return nil, err
	}
	m, err := readCoreMetadata(file, staged, digests.Size)
	if err != nil {
		return nil, err
	}
	if err := m.check(name, v); err != nil {
		return nil, err
	}
	python, claimed := m.get("Requires-Python"), form.get("requires_python")
	switch {
	case claimed == "", claimed == "UNKNOWN":
	case python == "" && !m.knowsPython(): // some tools write the oldest metadata into an sdist, and say more in the form
		python = claimed
	case !sameSpecifier(claimed, python):
		return nil, registry.Errorf(registry.Invalid, "requires_python is %.255q, while the distribution says %.255q", claimed, python)
	}
	// Each page about the name repeats these, once for each file.
	if len(form.get("comment")) > maxFact || len(python) > maxFact {
		return nil, registry.Errorf(registry.Invalid, "the comment and Requires-Python have %d bytes at most", maxFact)
	}
	signed := form.fields[signatureField]
	bundle, err := provenance(form.get("attestations"), form.fileName, digests.SHA256)
	if err != nil {
		return nil, err
	}

	sum := sha256.Sum256(m.text)
	known, err := json.Marshal(facts{Kind: file.kind, RequiresPython: python, Metadata: hex.EncodeToString(sum[:]), BLAKE2: hex.EncodeToString(form.blake2),
		Signed: signed != "", Provenance: bundle != nil, PythonVersion: file.python(form.fileName), Comment: form.get("comment")})
	if err != nil {
		return nil, err
	}
	p := &registry.Publication{
		// The version as the file name spells it: a file name has one version then, though "1.0" equals "1.0.0".
		Package: registry.Package{ProjectID: project.ID, Name: name, Version: file.version.String(), Words: words(m),
			CreatorID: c.UserID(), PipelineID: c.PipelineID()},
		EntryName: file.name,
		How:       registry.Grow,
		Files:     []registry.PublicationFile{{Name: form.fileName, Content: staged, Facts: string(known)}},
		Fragments: map[string][]byte{companion(coreMetadata, form.fileName): m.text},
	}
	if signed != "" {
		p.Fragments[companion(signature, form.fileName)] = []byte(signed)
	}
	if bundle != nil {
		p.Fragments[companion(attestations, form.fileName)] = bundle
	}
	return p, nil
}

// words are those by which a version is found. Old metadata is not always UTF-8.
func words(m *metadata) string {
	return strings.ReplaceAll(strings.ToValidUTF8(m.get("Summary")+"\n"+m.get("Keywords"), "\uFFFD"), "\x00", "")
}

// python is the legacy JSON's python_version of a file.
func (f *fileName) python(file string) string {
	if f.kind == sdist {
		return "source"
	}
	parts := strings.Split(file, "-")
	return parts[len(parts)-3]
}
