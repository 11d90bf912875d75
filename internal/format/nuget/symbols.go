package nuget

import (
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"path"
	"slices"
	"strings"

	"packhouse/internal/registry"
)

// symbol is what a debugger asks for a portable PDB by
// (https://github.com/dotnet/symstore/blob/main/docs/specs/SSQP_Key_Conventions.md).
type symbol struct {
	Signature string // 32 digits of a GUID in lower-case hex, as it is displayed, and "FFFFFFFF", which says that it is portable
	Checksum  string // SHA-256 of the PDB whose id is zero: 64 digits of lower-case hex
}

const (
	maxSymbols = 100 // PDBs of a package, as GitLab
	// maxPDBHeader is how far the directory of a PDB's streams may reach, in bytes. Those of compilers end before 200.
	maxPDBHeader = 4 << 10
	pdbIDLength  = 20 // GUID and stamp
	portableAge  = "FFFFFFFF"
)

// eachSymbol calls f for each portable PDB of the .snupkg r of size bytes, in constant memory: name is its path in the
// package, content its bytes. Windows PDBs are left out, as GitLab does: they have no checksum to ask for them by.
//
// Errors: Invalid for what is no zip archive, has no portable PDB or more than maxSymbols, or a .pdb that is no PDB; those of
// r and of f as they are. f may have been called before. The .nuspec is not looked at: see readPackage.
func eachSymbol(r io.ReaderAt, size int64, f func(name string, s symbol, content io.Reader) error) error {
	p, err := openPackage(r, size)
	if err != nil {
		return err
	}
	var pdbs []*zip.File
	for _, member := range p.File {
		if strings.EqualFold(path.Ext(entryPath(member)), ".pdb") {
			pdbs = append(pdbs, member)
		}
	}
	if len(pdbs) > maxSymbols {
		return registry.Errorf(registry.Invalid, "the package has more than %d PDB files", maxSymbols)
	}
	portable := 0
	for _, member := range pdbs {
		s, err := p.symbol(member)
		if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		portable++
		if err := p.with(member, func(content io.Reader) error { return f(entryPath(member), *s, content) }); err != nil {
			return err
		}
	}
	if portable == 0 {
		return registry.Errorf(registry.Invalid, "the package has no portable PDB file")
	}
	return nil
}

// with opens a file of the package for f.
func (p *packageFile) with(member *zip.File, f func(io.Reader) error) error {
	content, err := p.Open(member)
	if err != nil {
		return err
	}
	defer content.Close()
	return f(content)
}

// symbol reads a PDB once; nil for one of Windows.
func (p *packageFile) symbol(member *zip.File) (s *symbol, err error) {
	err = p.with(member, func(content io.Reader) error {
		s, err = readPDB(content, entryPath(member))
		return err
	})
	return s, err
}

// windowsPDB is how the multi-stream files of Windows begin.
const windowsPDB = "Microsoft C/C++ "

// readPDB reads a PDB to its end; nil for one of Windows. A portable PDB is metadata of the CLI (ECMA-335 II.24.2) with a
// stream #Pdb, which begins with the PDB's id
// (https://github.com/dotnet/runtime/blob/main/docs/design/specs/PortablePdb-Metadata.md). name is for the errors, which are
// Invalid, or those of r.
func readPDB(r io.Reader, name string) (*symbol, error) {
	in := bufio.NewReaderSize(r, maxPDBHeader)
	header, err := in.Peek(maxPDBHeader)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if bytes.HasPrefix(header, []byte(windowsPDB)) {
		return nil, nil
	}
	notPDB := registry.Errorf(registry.Invalid, "the package has the file %.255q, which is no PDB", name)
	at, ok := findPDBID(header)
	if !ok {
		return nil, notPDB
	}
	sum := sha256.New()
	var id, zero [pdbIDLength]byte
	if _, err = io.CopyN(sum, in, at); err == nil {
		_, err = io.ReadFull(in, id[:])
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, notPDB
	}
	if err == nil {
		sum.Write(zero[:])
		_, err = io.Copy(sum, in)
	}
	if err != nil {
		return nil, err
	}
	return &symbol{guid(id[:16]) + portableAge, hex.EncodeToString(sum.Sum(nil))}, nil
}

// findPDBID is where the id begins, counted in bytes from the start of the PDB, of which header is the first part.
func findPDBID(header []byte) (at int64, ok bool) {
	// Signature, version (4), reserved (4), length of a version string, the string, flags (2), number of streams (2).
	if len(header) < 16 || string(header[:4]) != "BSJB" {
		return 0, false
	}
	length := binary.LittleEndian.Uint32(header[12:])
	if length > 255 || len(header) < 16+int(length)+4 {
		return 0, false
	}
	rest := header[16+length:]
	streams := binary.LittleEndian.Uint16(rest[2:])
	rest = rest[4:]
	var found *uint32
	for range streams {
		// Offset, size, name with a NUL, padded to 4 bytes.
		if len(rest) < 8 {
			return 0, false
		}
		name, _, ok := bytes.Cut(rest[8:min(len(rest), 8+32)], []byte{0})
		if !ok {
			return 0, false
		}
		offset, size := binary.LittleEndian.Uint32(rest), binary.LittleEndian.Uint32(rest[4:])
		if string(name) == "#Pdb" {
			if found != nil || size < pdbIDLength {
				return 0, false
			}
			found = &offset
		}
		next := 8 + (len(name)+4)&^3
		if len(rest) < next {
			return 0, false
		}
		rest = rest[next:]
	}
	if found == nil || int(*found) < len(header)-len(rest) { // the id is not in the directory
		return 0, false
	}
	return int64(*found), true
}

// guid is the text of a GUID without dashes: its first three fields are little-endian.
func guid(b []byte) string {
	b = slices.Clone(b[:16])
	slices.Reverse(b[:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return hex.EncodeToString(b)
}

// checkSymbols compares the PDBs of a symbol package, by their paths, with the DLL or EXE of the same path in the package
// itself, the .nupkg r of size bytes: it must be of the same build. A PDB whose image is not there, is no image or names
// no portable PDB passes. Images are unpacked in constant memory, and only those beside a PDB.
//
// Errors: Invalid, with a sentence that names the file, where signature or checksum differ; an error of r as it is.
func checkSymbols(r io.ReaderAt, size int64, symbols map[string]symbol) error {
	p, err := openPackage(r, size)
	if err != nil {
		return err
	}
	beside := map[string][]string{} // PDBs by their paths without extension, which Windows takes for one in any spelling
	for name := range symbols {
		beside[stem(name)] = append(beside[stem(name)], name)
	}
	for _, member := range p.File {
		image := entryPath(member)
		names := beside[stem(image)]
		if extension := strings.ToLower(path.Ext(image)); names == nil || extension != ".dll" && extension != ".exe" {
			continue
		}
		reader := &memberReader{p: p, member: member}
		info, err := readDebugInfo(reader)
		reader.close()
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := info.match(image, name, symbols[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// match compares what an image says with the PDB of a name.
func (d debugInfo) match(image, name string, s symbol) error {
	switch {
	case d.Signature != "" && d.Signature != s.Signature:
		return registry.Errorf(registry.Invalid, "the PDB %.255q is not of the build of %.255q in the package: its signature is %s, not %s",
			name, image, s.Signature, d.Signature)
	case d.Signature != "" && len(d.Checksums) > 0 && !slices.Contains(d.Checksums, s.Checksum):
		return registry.Errorf(registry.Invalid, "the PDB %.255q has another checksum than %.255q in the package names: it was changed after the build",
			name, image)
	}
	return nil
}

func stem(name string) string { return strings.ToLower(strings.TrimSuffix(name, path.Ext(name))) }

// memberReader reads at any place of a file in a package, in constant memory: what lies before is unpacked and dropped, and
// a place behind begins anew.
type memberReader struct {
	p       *packageFile
	member  *zip.File
	content io.ReadCloser
	at      int64
}

func (m *memberReader) ReadAt(b []byte, at int64) (n int, err error) {
	if m.content == nil || at < m.at {
		m.close()
		if m.content, err = m.p.Open(m.member); err != nil {
			return 0, err
		}
		m.at = 0
	}
	skipped, err := io.CopyN(io.Discard, m.content, at-m.at)
	if m.at += skipped; err != nil {
		return 0, err
	}
	n, err = io.ReadFull(m.content, b)
	m.at += int64(n)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

func (m *memberReader) close() {
	if m.content != nil {
		m.content.Close()
		m.content = nil
	}
}
