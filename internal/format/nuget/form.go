package nuget

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
)

// formOf reads the multipart form of a push. NuGet 2.8 on Mono ends it with a bare line feed before the last boundary, which is
// none (RFC 2046, 5.1.1): it is made one.
func formOf(r *http.Request) (*multipart.Reader, error) {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || parameters["boundary"] == "" {
		return nil, http.ErrNotMultipart
	}
	boundary := parameters["boundary"]
	if len(boundary) > maxBoundary {
		return nil, http.ErrNotMultipart
	}
	return multipart.NewReader(&mended{Reader: r.Body, end: []byte("\n--" + boundary + "--"), buffer: make([]byte, 32<<10)}, boundary), nil
}

// maxBoundary is the length of a boundary, in bytes, as RFC 2046 has it.
const maxBoundary = 70

// mended is a form whose last boundary, if it follows a bare line feed, follows a whole line end.
type mended struct {
	io.Reader
	end    []byte
	buffer []byte // much longer than end
	lo, hi int    // what is read and not yet handed on: at least what may belong to the end
	err    error  // of the Reader
}

func (m *mended) Read(p []byte) (int, error) {
	hold := len("\r") + len(m.end) + len("\r\n")
	for m.err == nil && m.hi-m.lo <= hold {
		if m.hi == len(m.buffer)-1 { // there is room for one byte more
			m.hi = copy(m.buffer, m.buffer[m.lo:m.hi])
			m.lo = 0
		}
		var n int
		n, m.err = m.Reader.Read(m.buffer[m.hi : len(m.buffer)-1])
		m.hi += n
		held := m.buffer[m.lo:m.hi]
		if at := bytes.LastIndex(held, m.end); m.err == io.EOF && at > 0 && held[at-1] != '\r' {
			m.hi++
			held = m.buffer[m.lo:m.hi]
			copy(held[at+1:], held[at:])
			held[at] = '\r'
		}
	}
	if m.err == nil {
		n := copy(p, m.buffer[m.lo:m.hi-hold])
		m.lo += n
		return n, nil
	}
	n := copy(p, m.buffer[m.lo:m.hi])
	if m.lo += n; m.lo < m.hi {
		return n, nil
	}
	return n, m.err
}
