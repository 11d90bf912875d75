package nuget

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"net/url"
	"strings"

	"packhouse/internal/format/archive"
	"packhouse/internal/registry"
)

// contents is what is kept of a package beside its file.
type contents struct {
	Manifest *manifest
	Nuspec   []byte // as it lies in the package
	Icon     []byte // PNG or JPEG, otherwise nil
	License  []byte // the license file, or nil
	Readme   []byte // or nil
}

// maxEmbedded bounds the icon, the license file and the readme, in bytes, as NuGet's tools do.
const maxEmbedded = 1 << 20

// signaturePath is the entry that signs a package
// (https://github.com/NuGet/Home/wiki/Package-Signatures-Technical-Details).
const signaturePath = ".signature.p7s"

// readPackage reads the .nuspec of a .nupkg or .snupkg and the files that it names. size is in bytes. Of the package, only
// its directory and these files are read. Errors: Invalid, in GitLab's sentences where it has some; an error of r as it is.
func readPackage(r io.ReaderAt, size int64) (*contents, error) {
	p, err := openPackage(r, size)
	if err != nil {
		return nil, err
	}
	nuspec, err := p.nuspec()
	if err != nil {
		return nil, err
	}
	c := &contents{}
	if c.Nuspec, err = p.read(nuspec, maxNuspec, "nuspec file too big"); err != nil {
		return nil, err
	}
	if c.Manifest, err = parseNuspec(c.Nuspec); err != nil {
		return nil, err
	}
	c.Manifest.Signed = p.Member(signaturePath) != nil
	if c.Manifest.isSymbolPackage() { // it repeats the metadata of its package, without these files
		return c, nil
	}
	for _, file := range []struct {
		to         *[]byte
		path, what string
	}{{&c.Icon, c.Manifest.Icon, "icon"}, {&c.License, c.Manifest.LicenseFile, "license file"}, {&c.Readme, c.Manifest.Readme, "readme"}} {
		if file.path == "" {
			continue
		}
		member := p.find(file.path)
		if member == nil {
			return nil, registry.Errorf(registry.Invalid, "The package lacks the file %.255q, which its nuspec names as its %s", file.path, file.what)
		}
		if *file.to, err = p.read(member, maxEmbedded, "The "+file.what+" of the package is larger than 1 MiB"); err != nil {
			return nil, err
		}
	}
	if !bytes.HasPrefix(c.Icon, []byte("\x89PNG\r\n\x1a\n")) && !bytes.HasPrefix(c.Icon, []byte("\xff\xd8\xff")) {
		c.Icon = nil
	}
	return c, nil
}

// packageFile is an open .nupkg or .snupkg.
type packageFile struct{ *archive.Zip }

var errNoNuspec = registry.Errorf(registry.Invalid, "nuspec file not found") // in GitLab's words

// openPackage reads the directory of a package. What is no zip archive has no .nuspec either.
func openPackage(r io.ReaderAt, size int64) (*packageFile, error) {
	z, err := archive.OpenZip(r, size, "the package")
	if errors.Is(err, zip.ErrFormat) {
		return nil, errNoNuspec
	}
	if err != nil {
		return nil, err
	}
	for _, member := range z.File {
		if !archive.SafePath(entryPath(member)) {
			return nil, registry.Errorf(registry.Invalid, "the package has a file whose path leads out of it")
		}
	}
	return &packageFile{z}, nil
}

// entryPath is the path of a file in the package: the names of entries are escaped as in URIs (ECMA-376-2, Open Packaging
// Conventions), and NuGet 2 may have escaped the backslashes of a .nuspec that was written on Windows.
func entryPath(member *zip.File) string {
	if strings.Contains(member.Name, "%") {
		if name, err := url.PathUnescape(member.Name); err == nil {
			return strings.ReplaceAll(name, `\`, "/")
		}
	}
	return member.Name
}

// nuspec is the one .nuspec in the root.
func (p *packageFile) nuspec() (found *zip.File, err error) {
	for _, member := range p.File {
		name := entryPath(member)
		if len(name) < len(".nuspec") || !strings.EqualFold(name[len(name)-len(".nuspec"):], ".nuspec") || strings.Contains(name, "/") {
			continue
		}
		if found != nil {
			return nil, registry.Errorf(registry.Invalid, "the package has two nuspec files, %.255q and %.255q", found.Name, member.Name)
		}
		found = member
	}
	if found == nil {
		return nil, errNoNuspec
	}
	return found, nil
}

// find is the file of a path, in this spelling or else in one of other case, as Windows has it; nil for none.
func (p *packageFile) find(path string) (found *zip.File) {
	for _, member := range p.File {
		switch name := entryPath(member); {
		case name == path:
			return member
		case found == nil && strings.EqualFold(name, path):
			found = member
		}
	}
	return found
}

// read is a whole file of at most so many bytes; tooLarge is the sentence for one with more.
func (p *packageFile) read(member *zip.File, limit uint64, tooLarge string) ([]byte, error) {
	if member.UncompressedSize64 > limit {
		return nil, registry.Errorf(registry.Invalid, "%s", tooLarge)
	}
	r, err := p.Open(member)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r) // an error where there is more than the directory says
}
