package nuget

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// Forms as clients end them, in pieces of any size.
func TestFormEnds(t *testing.T) {
	for _, content := range []string{"", "x", "a\nb", "ends in a line\r\n", strings.Repeat("0123456789\n--BB-", 9000)} {
		for end, whole := range map[string]bool{"\r\n--BB--\r\n": true, "\r\n--BB--": true, "\n--BB--": true, "\n--BB--\r\n": true, "": false, "\r\n--B": false} {
			for name, in := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "halves": iotest.HalfReader, "with the error": iotest.DataErrReader} {
				body := "--BB\r\nContent-Disposition: form-data; name=\"package\"; filename=\"x\"\r\n\r\n" + content + end
				r := &http.Request{Header: http.Header{"Content-Type": {"multipart/form-data; boundary=BB"}}, Body: io.NopCloser(in(strings.NewReader(body)))}
				form, err := formOf(r)
				if err != nil {
					t.Fatal(err)
				}
				part, err := form.NextRawPart()
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(part)
				if whole && (err != nil || !bytes.Equal(got, []byte(content))) || !whole && err == nil {
					t.Errorf("%.20q with %q, %s: %.40q, %v", content, end, name, got, err)
				}
				if _, err := form.NextRawPart(); whole && err != io.EOF {
					t.Errorf("%.20q with %q, %s: then %v", content, end, name, err)
				}
			}
		}
	}
	for _, kind := range []string{"", "application/zip", "multipart/form-data", "multipart/form-data; boundary="} {
		if _, err := formOf(&http.Request{Header: http.Header{"Content-Type": {kind}}}); err == nil {
			t.Errorf("%q is a form", kind)
		}
	}
}

// A form that is whole is read as mime/multipart reads it, however it comes, and what is mended is only its end.
func FuzzForm(f *testing.F) {
	for _, content := range []string{"", "x", "a\nb", "ends in a line\r\n", "\n--BB-"} {
		for _, end := range []string{"\r\n--BB--\r\n", "\r\n--BB--", "\n--BB--", ""} {
			f.Add([]byte("--BB\r\nContent-Disposition: form-data; name=\"package\"; filename=\"x\"\r\n\r\n" + content + end))
		}
	}
	parts := func(form *multipart.Reader) (found []string, err error) {
		for len(found) < 2*maxParts {
			part, err := form.NextRawPart()
			if err != nil {
				return found, err
			}
			content, err := io.ReadAll(part)
			if err != nil {
				return found, err
			}
			found = append(found, part.FormName(), string(content))
		}
		return found, io.EOF
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var came [][]string
		var ended []bool
		for _, in := range []io.Reader{bytes.NewReader(body), iotest.OneByteReader(bytes.NewReader(body))} {
			form, err := formOf(&http.Request{Header: http.Header{"Content-Type": {"multipart/form-data; boundary=BB"}}, Body: io.NopCloser(in)})
			if err != nil {
				t.Fatal(err)
			}
			found, err := parts(form)
			came, ended = append(came, found), append(ended, err == io.EOF)
		}
		if !slices.Equal(came[0], came[1]) || ended[0] != ended[1] {
			t.Errorf("at once %q, %t, byte by byte %q, %t", came[0], ended[0], came[1], ended[1])
		}
		plain, err := parts(multipart.NewReader(bytes.NewReader(body), "BB"))
		if err == io.EOF && !bytes.Contains(body, []byte("\n--BB--")) && !slices.Equal(came[0], plain) {
			t.Errorf("%q, for others %q", came[0], plain)
		}
	})
}
