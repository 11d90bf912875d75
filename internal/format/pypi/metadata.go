package pypi

import (
	"bufio"
	"bytes"
	"io"
	"net/textproto"
	"strings"

	"packhouse/internal/registry"
)

// metadata is the core metadata of a distribution (core metadata specification, 1.0 to 2.5): header fields by their
// canonical name, in their order, and the description, which is the body.
type metadata struct {
	fields textproto.MIMEHeader
	text   []byte // as it lies in the distribution
}

// maxMetadata bounds a METADATA or PKG-INFO, in bytes. The largest ones seen in public have some hundred kilobytes, a
// README with pictures in it.
const maxMetadata = 4 << 20

// maxMetadataFields bounds the fields of one; each takes far more memory than its bytes.
const maxMetadataFields = 20_000

// parseMetadata reads core metadata. It is the form of an e-mail (RFC 822), in UTF-8; a line that begins with white space
// continues the one before. Errors are Invalid.
func parseMetadata(text []byte) (*metadata, error) {
	m := &metadata{fields: textproto.MIMEHeader{}, text: text}
	lines := bufio.NewReader(bytes.NewReader(text))
	var key string
	var value strings.Builder // of the last field, which lines may continue
	fields := 0
	end := func() {
		if key != "" {
			m.fields[key] = append(m.fields[key], value.String())
		}
		value.Reset()
	}
	for {
		line, err := lines.ReadString('\n')
		if err != nil && err != io.EOF {
			return nil, err
		}
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "" && err == nil && key == "":
			continue // before the first field
		case line == "":
			end()
			body, readErr := io.ReadAll(lines)
			if readErr != nil {
				return nil, readErr
			}
			if len(bytes.TrimSpace(body)) > 0 {
				m.fields["Description"] = []string{string(body)}
			}
			return m, nil
		case line[0] == ' ' || line[0] == '\t':
			if key == "" {
				return nil, errMetadata
			}
			// A description in a field is indented, by eight spaces or, in newer versions, by seven and a bar.
			line = strings.TrimPrefix(strings.TrimPrefix(line, "       |"), "        ")
			value.WriteString("\n" + line)
		default:
			name, text, ok := strings.Cut(line, ":")
			if !ok || name == "" || strings.ContainsAny(name, " \t") {
				if key == "" {
					return nil, errMetadata
				}
				return m, nil // old tools did not indent all lines of a text; installers read no further either
			}
			if fields++; fields > maxMetadataFields {
				return nil, errMetadata
			}
			end()
			key = textproto.CanonicalMIMEHeaderKey(name)
			value.WriteString(strings.TrimSpace(text))
		}
		if err == io.EOF {
			end()
			return m, nil
		}
	}
}

var errMetadata = registry.Errorf(registry.Invalid, "the core metadata of the distribution cannot be read")

// get is the value of a field that comes once. "UNKNOWN" is what old tools wrote for nothing.
func (m *metadata) get(name string) string {
	value := m.fields.Get(name)
	if value == "UNKNOWN" {
		return ""
	}
	return value
}

func (m *metadata) all(name string) []string { return m.fields[textproto.CanonicalMIMEHeaderKey(name)] }

// check compares the metadata with what the form and the file name say.
func (m *metadata) check(name string, v *version) error {
	for _, field := range []string{"Metadata-Version", "Name", "Version"} {
		if m.get(field) == "" {
			return registry.Errorf(registry.Invalid, "the core metadata of the distribution has no %s", field)
		}
	}
	switch major, _, _ := strings.Cut(m.get("Metadata-Version"), "."); major {
	case "1", "2":
	default:
		return registry.Errorf(registry.Invalid, "Metadata-Version %.32q is not supported", m.get("Metadata-Version"))
	}
	if inside := m.get("Name"); !validName(inside) || normalize(inside) != normalize(name) {
		return registry.Errorf(registry.Invalid, "the distribution is one of %.255q, not of %q", inside, name)
	}
	inside, ok := parseVersion(m.get("Version"))
	if !ok || compareVersions(inside, v) != 0 {
		return registry.Errorf(registry.Invalid, "the distribution has version %.255q, not %q", m.get("Version"), v)
	}
	return nil
}

// knowsPython tells whether the version of the metadata has Requires-Python at all: that came with 1.2.
func (m *metadata) knowsPython() bool {
	version := m.get("Metadata-Version")
	return version != "1.0" && version != "1.1"
}

// sameSpecifier compares two Requires-Python without regard to white space and order.
func sameSpecifier(a, b string) bool {
	parts := func(text string) map[string]bool {
		set := map[string]bool{}
		for part := range strings.SplitSeq(strings.Join(strings.Fields(text), ""), ",") {
			set[part] = true
		}
		delete(set, "")
		return set
	}
	x, y := parts(a), parts(b)
	for part := range x {
		if !y[part] {
			return false
		}
	}
	return len(x) == len(y)
}
