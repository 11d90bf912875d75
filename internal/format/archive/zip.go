// Package archive opens archives that strangers made, within bounds: what is kept of one in memory is its directory, of at
// most some megabytes, whatever the archive claims, and no member can lead out of it or unpack to far more than it has.
package archive

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"packhouse/internal/registry"
)

const (
	maxDirectory = 8 << 20 // bytes of a zip's central directory: some 80,000 files
	// A member takes 46 bytes in the directory, and its name.
	maxMembers = maxDirectory / 46

	// RatioFrom and MaxRatio tell a bomb: an archive that unpacks to more than RatioFrom bytes may do so by a factor of
	// MaxRatio at most. The figures are PyPI's.
	RatioFrom = 64 << 20
	MaxRatio  = 50
)

// Zip is a zip archive whose directory has been looked through.
type Zip struct {
	File []*zip.File // in the order of the directory

	what   string
	names  map[string]*zip.File
	source *source
}

// OpenZip reads the central directory of the zip archive r of size bytes. what names it in the sentences of errors: "the
// distribution". Errors: Invalid for what is not a zip archive (this one wraps zip.ErrFormat), has a member twice or one
// whose path leads out of it, or would unpack to too much. An error of r is returned as it is.
func OpenZip(r io.ReaderAt, size int64, what string) (*Zip, error) {
	// The directory is read through a bound, since its length is what the archive claims.
	s := &source{r: io.NewSectionReader(r, 0, size), left: maxDirectory + 1<<20}
	notZip := &registry.Error{Kind: registry.Invalid, Message: what + " is not a zip archive", Err: zip.ErrFormat}
	bomb := registry.Errorf(registry.Invalid, "%s unpacks to too much", what)
	members, ok := claimedMembers(s, size)
	switch {
	case s.err != nil:
		return nil, s.err
	case !ok || members > maxMembers:
		return nil, notZip
	}
	archive, err := zip.NewReader(s, size)
	switch {
	case s.err != nil:
		return nil, s.err
	case errors.Is(err, errDirectory):
		return nil, bomb
	case err != nil && !errors.Is(err, zip.ErrInsecurePath):
		return nil, notZip
	}
	s.left = 1 << 62
	z := &Zip{File: archive.File, what: what, names: make(map[string]*zip.File, len(archive.File)), source: s}
	var unpacked uint64
	for _, member := range z.File {
		if !SafePath(member.Name) {
			return nil, registry.Errorf(registry.Invalid, "%s has a file whose path leads out of it", what)
		}
		if z.names[member.Name] != nil { // clients may each take another one
			return nil, registry.Errorf(registry.Invalid, "%s has the file %.255q twice", what, member.Name)
		}
		z.names[member.Name] = member
		unpacked += min(member.UncompressedSize64, 1<<62) // so that the sum does not begin anew
		if unpacked > RatioFrom && unpacked/MaxRatio > uint64(size) {
			return nil, bomb
		}
	}
	return z, nil
}

// Member is the member of a name, or nil.
func (z *Zip) Member(name string) *zip.File { return z.names[name] }

// Open begins to read a member. It is read to its end only when it has as many bytes as the directory says, of the same
// checksum; otherwise, and when it cannot be unpacked at all, the error is Invalid. An error of the archive's reader is
// returned as it is.
func (z *Zip) Open(member *zip.File) (io.ReadCloser, error) {
	r, err := member.Open()
	if err != nil {
		return nil, z.damaged(member)
	}
	return &content{r, z, member}, nil
}

// damaged is the error of a member that could not be read.
func (z *Zip) damaged(member *zip.File) error {
	if z.source.err != nil {
		return z.source.err
	}
	return registry.Errorf(registry.Invalid, "%s has the file %.255q, which is damaged", z.what, member.Name)
}

type content struct {
	io.ReadCloser
	archive *Zip
	member  *zip.File
}

func (c *content) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = c.archive.damaged(c.member)
	}
	return n, err
}

// source is a ReaderAt of which only so much may be read, and which keeps its error.
type source struct {
	r    *io.SectionReader // answers io.EOF to the places outside that an archive may name
	left int64
	err  error // but for io.EOF
}

var errDirectory = errors.New("the central directory is too large")

func (s *source) ReadAt(p []byte, at int64) (int, error) {
	if s.left -= int64(len(p)); s.left < 0 {
		return 0, errDirectory
	}
	n, err := s.r.ReadAt(p, at)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// claimedMembers is how many members the end of a zip says that there are: the standard library makes room for as many
// before it looks (APPNOTE 4.3.14 to 4.3.16). ok is false when there is no such end.
func claimedMembers(r io.ReaderAt, size int64) (members uint64, ok bool) {
	const endLength, locatorLength, end64Length = 22, 20, 56
	tail := make([]byte, min(size, endLength+1<<16-1))
	if n, _ := r.ReadAt(tail, size-int64(len(tail))); n < len(tail) {
		return 0, false
	}
	for at := len(tail) - endLength; at >= 0; at-- {
		end := tail[at:]
		if string(end[:4]) != "PK\x05\x06" || endLength+int(binary.LittleEndian.Uint16(end[20:])) > len(end) {
			continue
		}
		if members = uint64(binary.LittleEndian.Uint16(end[10:])); members < 1<<16-1 {
			return members, true
		}
		locator, end64 := make([]byte, locatorLength), make([]byte, end64Length)
		if n, _ := r.ReadAt(locator, size-int64(len(end))-locatorLength); n < locatorLength || string(locator[:4]) != "PK\x06\x07" {
			return members, true
		}
		if n, _ := r.ReadAt(end64, int64(binary.LittleEndian.Uint64(locator[8:])&(1<<62-1))); n < end64Length || string(end64[:4]) != "PK\x06\x06" {
			return members, true
		}
		return binary.LittleEndian.Uint64(end64[32:]), true
	}
	return 0, false
}

// SafePath tells whether the path of a member stays within the folder that its archive is unpacked to.
func SafePath(name string) bool {
	if name == "" || strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\\\x00") || len(name) > 1 && name[1] == ':' {
		return false
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == ".." {
			return false
		}
	}
	return true
}
