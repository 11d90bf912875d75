package pypi

import (
	"archive/tar"
	"archive/zip"
	"encoding/binary"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"

	"packhouse/internal/registry"
)

// Bounds of an archive. A wheel's directory is the only part that is held in memory.
const (
	maxDirectory = 8 << 20 // bytes of a zip's central directory: some 80,000 files
	maxMembers   = 500_000 // of a tar
	// A member takes 46 bytes in the directory, and its name.
	maxZipMembers = maxDirectory / 46
	// An archive that unpacks to more than ratioFrom bytes may do so by a factor of maxRatio at most. The figures are
	// PyPI's own.
	ratioFrom = 64 << 20
	maxRatio  = 50
)

var (
	errBomb     = registry.Errorf(registry.Invalid, "the distribution unpacks to too much")
	errMember   = registry.Errorf(registry.Invalid, "the distribution has a file whose path leads out of it")
	errNotZip   = registry.Errorf(registry.Invalid, "the distribution is not a zip archive")
	errNotTar   = registry.Errorf(registry.Invalid, "the distribution is not a gzipped tar archive")
	errNoInfo   = registry.Errorf(registry.Invalid, "the distribution has no core metadata")
	errInfoSize = registry.Errorf(registry.Invalid, "the core metadata of the distribution is too large")
)

// readCoreMetadata finds the core metadata of a distribution and looks all of its members through. size is in bytes.
// Errors are Invalid, but for those of the store.
func readCoreMetadata(f *fileName, r io.ReaderAt, size int64) (*metadata, error) {
	var text []byte
	var err error
	if f.zip {
		text, err = readZip(f, r, size)
	} else {
		text, err = readTar(r, size)
	}
	if err != nil {
		return nil, err
	}
	return parseMetadata(text)
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

// bounded is a ReaderAt of which only so much may be read.
type bounded struct {
	io.ReaderAt
	left int64
}

func (b *bounded) ReadAt(p []byte, at int64) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, errBomb
	}
	return b.ReaderAt.ReadAt(p, at)
}

// readZip reads {name}-{version}.dist-info/METADATA of a wheel, or {name}-{version}/PKG-INFO of an old sdist.
func readZip(f *fileName, r io.ReaderAt, size int64) ([]byte, error) {
	if members, ok := claimedMembers(r, size); !ok || members > maxZipMembers {
		return nil, errNotZip
	}
	// The directory is read through a bound, since its length is what the archive claims.
	limited := &bounded{r, maxDirectory + 1<<20}
	archive, err := zip.NewReader(limited, size)
	if errors.Is(err, errBomb) {
		return nil, errBomb
	}
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, errNotZip
	}
	limited.left = 1 << 62
	var found *zip.File
	var unpacked uint64
	seen := make(map[string]bool, len(archive.File))
	for _, member := range archive.File {
		if !safeMember(member.Name) {
			return nil, errMember
		}
		if seen[member.Name] { // installers may each take another one
			return nil, registry.Errorf(registry.Invalid, "the distribution has the file %.255q twice", member.Name)
		}
		seen[member.Name] = true
		if unpacked += member.UncompressedSize64; unpacked > ratioFrom && unpacked/maxRatio > uint64(size) {
			return nil, errBomb
		}
		folder, base := path.Split(member.Name)
		folder = strings.TrimSuffix(folder, "/")
		switch {
		case f.kind == wheel && base == "METADATA" && strings.HasSuffix(folder, ".dist-info") && !strings.Contains(folder, "/"):
			name, _, _ := strings.Cut(strings.TrimSuffix(folder, ".dist-info"), "-")
			if normalize(name) != f.name {
				return nil, registry.Errorf(registry.Invalid, "the wheel's %.255q is that of another package", folder)
			}
			if found != nil {
				return nil, registry.Errorf(registry.Invalid, "the wheel has two folders .dist-info")
			}
			found = member
		case f.kind == sdist && base == "PKG-INFO" && folder != "" && !strings.Contains(folder, "/"):
			found = member
		}
	}
	if found == nil {
		return nil, errNoInfo
	}
	if f.kind == wheel && !seen[path.Dir(found.Name)+"/WHEEL"] {
		return nil, registry.Errorf(registry.Invalid, "the wheel has no file WHEEL")
	}
	if found.UncompressedSize64 > maxMetadata {
		return nil, errInfoSize
	}
	content, err := found.Open()
	if err != nil {
		return nil, errNotZip
	}
	defer content.Close()
	return readInfo(content)
}

// readTar reads {name}-{version}/PKG-INFO of an sdist, and the whole archive through.
func readTar(r io.ReaderAt, size int64) (text []byte, err error) {
	unzip, err := gzip.NewReader(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, errNotTar
	}
	unpacked := &counter{r: unzip, limit: max(ratioFrom, maxRatio*size)}
	archive := tar.NewReader(unpacked)
	for members := 0; ; members++ {
		member, err := archive.Next()
		if err == io.EOF {
			break
		}
		if errors.Is(err, errBomb) || members > maxMembers {
			return nil, errBomb
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, errNotTar
		}
		if !safeMember(member.Name) || (member.Typeflag == tar.TypeSymlink || member.Typeflag == tar.TypeLink) && !safeLink(member) {
			return nil, errMember
		}
		if parts := strings.Split(strings.TrimPrefix(member.Name, "./"), "/"); len(parts) != 2 || parts[1] != "PKG-INFO" || member.Typeflag != tar.TypeReg {
			continue
		}
		if text, err = readInfo(archive); err != nil {
			return nil, err
		}
	}
	// What follows the archive in the same stream counts too, and the checksum at its end.
	if _, err := io.Copy(io.Discard, unpacked); err != nil {
		if errors.Is(err, errBomb) {
			return nil, errBomb
		}
		return nil, errNotTar
	}
	if text == nil {
		return nil, errNoInfo
	}
	return text, nil
}

// counter refuses to read more than a limit of bytes.
type counter struct {
	r     io.Reader
	limit int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.limit -= int64(n); c.limit < 0 {
		return 0, errBomb
	}
	return n, err
}

func readInfo(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxMetadata+1))
	switch {
	case errors.Is(err, errBomb):
		return nil, errBomb
	case err != nil:
		return nil, errMetadata
	case len(text) > maxMetadata:
		return nil, errInfoSize
	}
	return text, nil
}

// safeMember tells whether a path stays within the folder that an archive is unpacked to.
func safeMember(name string) bool {
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

// safeLink tells whether a link points into the archive.
func safeLink(member *tar.Header) bool {
	if strings.HasPrefix(member.Linkname, "/") || strings.Contains(member.Linkname, "\\") {
		return false
	}
	target := member.Linkname // a hard link names a member
	if member.Typeflag == tar.TypeSymlink {
		target = path.Join(path.Dir(member.Name), target)
	}
	target = path.Clean(target)
	return target != ".." && !strings.HasPrefix(target, "../")
}
