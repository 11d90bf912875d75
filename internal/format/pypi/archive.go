package pypi

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"

	"packhouse/internal/format/archive"
	"packhouse/internal/registry"
)

const maxMembers = 500_000 // of a tar

var (
	errBomb     = registry.Errorf(registry.Invalid, "the distribution unpacks to too much")
	errMember   = registry.Errorf(registry.Invalid, "the distribution has a file whose path leads out of it")
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

// readZip reads {name}-{version}.dist-info/METADATA of a wheel, or {name}-{version}/PKG-INFO of an old sdist.
func readZip(f *fileName, r io.ReaderAt, size int64) ([]byte, error) {
	wheelOrSdist, err := archive.OpenZip(r, size, "the distribution")
	if err != nil {
		return nil, err
	}
	var found *zip.File
	for _, member := range wheelOrSdist.File {
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
	if f.kind == wheel && wheelOrSdist.Member(path.Dir(found.Name)+"/WHEEL") == nil {
		return nil, registry.Errorf(registry.Invalid, "the wheel has no file WHEEL")
	}
	if found.UncompressedSize64 > maxMetadata {
		return nil, errInfoSize
	}
	content, err := found.Open()
	if err != nil {
		return nil, errMetadata
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
	unpacked := &counter{r: unzip, limit: max(archive.RatioFrom, archive.MaxRatio*size)}
	members := tar.NewReader(unpacked)
	for count := 0; ; count++ {
		member, err := members.Next()
		if err == io.EOF {
			break
		}
		if errors.Is(err, errBomb) || count > maxMembers {
			return nil, errBomb
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, errNotTar
		}
		if !archive.SafePath(member.Name) || (member.Typeflag == tar.TypeSymlink || member.Typeflag == tar.TypeLink) && !safeLink(member) {
			return nil, errMember
		}
		if parts := strings.Split(strings.TrimPrefix(member.Name, "./"), "/"); len(parts) != 2 || parts[1] != "PKG-INFO" || member.Typeflag != tar.TypeReg {
			continue
		}
		if text, err = readInfo(members); err != nil {
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
