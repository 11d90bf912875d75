package pypi

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/blake2b"

	"packhouse/internal/format"
	"packhouse/internal/registry"
)

// form is what an upload says besides the file, as twine, uv, poetry and pdm send it.
type form struct {
	fields   map[string]string // those of formFields, the first of each name
	fileName string            // of the part content
	blake2   []byte            // BLAKE2b-256 of the content
}

// What a form may have besides the content.
const (
	maxFields    = 10_000
	maxField     = 4 << 20  // bytes of one that is kept
	maxSignature = 64 << 10 // bytes
)

// formFields are those that say something. The others repeat what the distribution says better.
var formFields = []string{":action", "name", "version", "filetype", "requires_python", "comment", "attestations", "md5_digest", "sha256_digest", "blake2_256_digest", signatureField}

const signatureField = "gpg_signature"

// readForm reads a multipart form in constant memory. Its fields may have maxText bytes together. The content, which comes
// before or after them, is given to store, with what the form has said so far. Errors: Invalid, TooLarge, and those of
// store.
func readForm(r *http.Request, maxText int64, store func(so *form, content io.Reader) error) (*form, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, registry.Errorf(registry.Invalid, "the body is not multipart/form-data")
	}
	f := &form{fields: map[string]string{}}
	for n := 0; ; n++ {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return f, nil
		}
		if err != nil {
			return nil, format.CutOff(err)
		}
		if n == maxFields {
			return nil, registry.Errorf(registry.TooLarge, "the form has too many fields")
		}
		switch name := part.FormName(); {
		case name == "content":
			if f.fileName != "" || part.FileName() == "" {
				return nil, registry.Errorf(registry.Invalid, "content must be one file with a name")
			}
			f.fileName = part.FileName()
			sum, err := blake2b.New256(nil)
			if err != nil {
				return nil, err
			}
			if err := store(f, io.TeeReader(format.Upload{Reader: part}, sum)); err != nil {
				return nil, err
			}
			f.blake2 = sum.Sum(nil)
		default:
			var kept strings.Builder
			into, limit := io.Discard, maxText
			if _, again := f.fields[name]; !again && slices.Contains(formFields, name) {
				into, limit = &kept, min(maxText, maxField)
			}
			size, err := io.Copy(into, io.LimitReader(part, limit+1))
			if err != nil {
				return nil, format.CutOff(err)
			}
			if maxText -= size + int64(len(name)); maxText < 0 || size > limit {
				return nil, registry.Errorf(registry.TooLarge, "the fields of the form are too large")
			}
			if into == io.Discard {
				continue
			}
			text := kept.String()
			if !utf8.ValidString(text) {
				return nil, registry.Errorf(registry.Invalid, "the field %.64q is not UTF-8", name)
			}
			if name == signatureField && (len(text) > maxSignature || !strings.HasPrefix(text, "-----BEGIN PGP SIGNATURE-----")) {
				return nil, registry.Errorf(registry.Invalid, "gpg_signature is not an armored PGP signature")
			}
			f.fields[name] = text
		}
	}
}

// get is the value of a field, "" when it is not there.
func (f *form) get(name string) string { return strings.TrimSpace(f.fields[name]) }

// checkDigests compares the digests that the client claims, where it does, with those of what arrived.
func (f *form) checkDigests(got registry.Digests) error {
	for _, claim := range []struct{ field, have string }{
		{"md5_digest", got.MD5}, {"sha256_digest", got.SHA256}, {"blake2_256_digest", hex.EncodeToString(f.blake2)},
	} {
		claimed := f.get(claim.field)
		if claimed == "" {
			continue
		}
		if strings.ToLower(claimed) != claim.have {
			if len(claimed) != len(claim.have) || strings.Trim(strings.ToLower(claimed), "0123456789abcdef") != "" {
				return format.ParamError(claim.field + " is invalid")
			}
			return registry.Errorf(registry.Invalid, "%s does not match: the file that arrived has %s, not %s", claim.field, claim.have, claimed)
		}
	}
	return nil
}

// maxAttestations in one upload.
const maxAttestations = 8

// maxAttestation is what one may have, in bytes: they are some ten kilobytes.
const maxAttestation = 128 << 10

// provenance makes the provenance object (PEP 740) of the attestations that came with a file, or nil when there are
// none. Their signatures are for readers to verify, who choose whom they trust; what is checked is that they are about
// this file.
func provenance(attestations, file, sha256 string) ([]byte, error) {
	if strings.TrimSpace(attestations) == "" {
		return nil, nil
	}
	invalid := func(why string) error {
		return registry.Errorf(registry.Invalid, "Invalid attestations supplied: %s", why)
	}
	if len(attestations) > maxAttestations*maxAttestation {
		return nil, invalid("they are too large")
	}
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(attestations), &list); err != nil || len(list) == 0 {
		return nil, invalid("they are not a JSON array")
	}
	if len(list) > maxAttestations {
		return nil, invalid("there are too many")
	}
	for _, one := range list {
		var attestation struct {
			Version  int             `json:"version"`
			Material json.RawMessage `json:"verification_material"`
			Envelope struct {
				Statement string `json:"statement"`
				Signature string `json:"signature"`
			} `json:"envelope"`
		}
		if err := json.Unmarshal(one, &attestation); err != nil || attestation.Version != 1 || len(attestation.Material) == 0 || attestation.Envelope.Signature == "" {
			return nil, invalid("one is not an attestation of version 1")
		}
		text, err := base64.StdEncoding.DecodeString(attestation.Envelope.Statement)
		if err != nil {
			return nil, invalid("a statement is not base64")
		}
		var statement struct {
			Type    string `json:"_type"`
			Subject []struct {
				Name   string            `json:"name"`
				Digest map[string]string `json:"digest"`
			} `json:"subject"`
		}
		if err := json.Unmarshal(text, &statement); err != nil || statement.Type != "https://in-toto.io/Statement/v1" || len(statement.Subject) != 1 {
			return nil, invalid("a statement is not an in-toto statement with one subject")
		}
		if subject := statement.Subject[0]; subject.Name != file || subject.Digest["sha256"] != sha256 {
			return nil, invalid("a statement is about another file")
		}
	}
	type bundle struct {
		Publisher    any               `json:"publisher"`
		Attestations []json.RawMessage `json:"attestations"`
	}
	return json.Marshal(struct {
		Version int      `json:"version"`
		Bundles []bundle `json:"attestation_bundles"`
	}{1, []bundle{{map[string]string{"kind": "Packhouse"}, list}}})
}
