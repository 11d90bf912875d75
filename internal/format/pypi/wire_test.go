package pypi

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"packhouse/internal/registry"
)

// readFrom reads a form whose boundary is "b".
func readFrom(body io.Reader) (f *form, content []byte, err error) {
	r := &http.Request{Header: http.Header{"Content-Type": {"multipart/form-data; boundary=b"}}, Method: "POST", Body: io.NopCloser(body)}
	f, err = readForm(r, 1<<16, func(so *form, from io.Reader) (err error) {
		content, err = io.ReadAll(from)
		return err
	})
	return f, content, err
}

// However a form comes, it says the same, and what is refused is the client's fault.
func FuzzForm(f *testing.F) {
	field := func(name, value string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	const file = "--b\r\nContent-Disposition: form-data; name=\"content\"; filename=\"a-1.0.tar.gz\"\r\nContent-Type: application/octet-stream\r\n\r\nbytes\r\n"
	for _, seed := range []string{
		field(":action", "file_upload") + field("name", "a") + file + "--b--\r\n",
		file + field("md5_digest", "d41d8cd98f00b204e9800998ecf8427e") + "--b--",
		file + file + "--b--", field("name", "\xff") + "--b--", field("gpg_signature", "-----BEGIN PGP SIGNATURE-----") + "--b--", field("classifiers", strings.Repeat("x", 1000)),
		"--b\r\nContent-Disposition: form-data; name*=utf-8''content; filename=\"../x\"\r\n\r\n\r\n--b--", "--b--", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, content, err := readFrom(bytes.NewReader(body))
		again, same, err2 := readFrom(iotest.OneByteReader(bytes.NewReader(body)))
		if (err == nil) != (err2 == nil) {
			t.Fatalf("at once %v, byte by byte %v", err, err2)
		}
		if err != nil {
			if kind := registry.KindOf(err); kind != registry.Invalid && kind != registry.TooLarge {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(content, same) || got.fileName != again.fileName || !bytes.Equal(got.blake2, again.blake2) || len(got.fields) != len(again.fields) {
			t.Fatalf("at once %v, byte by byte %v", got, again)
		}
		for name, value := range got.fields {
			if !slices.Contains(formFields, name) || !utf8.ValidString(value) || value != again.fields[name] {
				t.Fatalf("%q is %q", name, value)
			}
		}
		if err := got.checkDigests(registry.Digests{MD5: strings.Repeat("0", 32), SHA256: strings.Repeat("0", 64)}); err != nil && registry.KindOf(err) != registry.Invalid {
			t.Fatal(err)
		}
	})
}

func FuzzAttestations(f *testing.F) {
	sum := strings.Repeat("0", 64)
	// {"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"0…"}}]}
	statement := "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoiYSIsImRpZ2VzdCI6eyJzaGEyNTYiOiIwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwIn19XX0="
	good := `[{"version":1,"verification_material":{},"envelope":{"statement":"` + statement + `","signature":"s"}}]`
	if made, err := provenance(good, "a", sum); err != nil || !bytes.Contains(made, []byte(`"verification_material"`)) {
		f.Fatalf("%s, %v", made, err)
	}
	for _, seed := range []string{good, "", "[]", "[null]", `[{"version":1}]`, "{}", strings.Repeat("[", 1000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if made, err := provenance(text, "a", sum); err != nil && registry.KindOf(err) != registry.Invalid || err == nil && strings.TrimSpace(text) != "" && len(made) == 0 {
			t.Errorf("%s, %v", made, err)
		}
	})
}
