package nuget

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"io"
	"slices"
)

// debugInfo is what a DLL or EXE says of its PDB in its debug directory
// (https://github.com/dotnet/runtime/blob/main/docs/design/specs/PE-COFF.md).
type debugInfo struct {
	Signature string   // of symbol; "" when the image names no portable PDB
	Checksums []string // SHA-256 of symbol, of which one must be right; none: any will do
}

const (
	maxImageHeader  = 4 << 10 // bytes at the start of an image in which all its headers must be
	maxDebugEntries = 32
	debugDirectory  = 6 // its place in the optional header
	codeViewEntry   = 2
	checksumEntry   = 19
	portableMinor   = 0x504d // minor version of a CodeView entry whose PDB is portable
)

// readDebugInfo reads the headers of a DLL or EXE (PE format: COFF header, optional header, section table) and the entries of
// its debug directory. What is no such image, or a damaged one, names no PDB. Errors are those of r.
func readDebugInfo(r io.ReaderAt) (info debugInfo, err error) {
	header, err := readAt(r, 0, maxImageHeader)
	if err != nil {
		return info, err
	}
	at, size := findDebugDirectory(header)
	if size < 28 || size > 28*maxDebugEntries {
		return info, nil
	}
	directory, err := readAt(r, at, int64(size))
	if err != nil {
		return info, err
	}
	// Characteristics (4), time stamp (4), major and minor version (2), type (4), size, address and place of the data (4).
	var entries [][]byte
	for entry := range slices.Chunk(directory, 28) {
		if len(entry) == 28 {
			entries = append(entries, entry)
		}
	}
	place := func(entry []byte) uint32 { return binary.LittleEndian.Uint32(entry[24:]) }
	slices.SortFunc(entries, func(a, b []byte) int { return cmp.Compare(place(a), place(b)) }) // to read forward
	var end int64
	for _, entry := range entries {
		kind, minor := binary.LittleEndian.Uint32(entry[12:]), binary.LittleEndian.Uint16(entry[10:])
		portable := kind == codeViewEntry && minor == portableMinor
		if !portable && kind != checksumEntry || int64(place(entry)) < end { // for what overlaps all before would be unpacked again
			continue
		}
		data, err := readAt(r, int64(place(entry)), min(256, int64(binary.LittleEndian.Uint32(entry[16:]))))
		if err != nil {
			return info, err
		}
		end = int64(place(entry)) + int64(len(data))
		if portable {
			// "RSDS", GUID, age (4), path.
			if len(data) >= 24 && string(data[:4]) == "RSDS" {
				info.Signature = guid(data[4:20]) + portableAge
			}
		} else if sum, ok := bytes.CutPrefix(data, []byte("SHA256\x00")); ok && len(sum) == 32 {
			info.Checksums = append(info.Checksums, hex.EncodeToString(sum))
		}
	}
	return info, nil
}

// findDebugDirectory is the place and size of the debug directory, in bytes; 0, 0 for none.
func findDebugDirectory(header []byte) (at int64, size uint32) {
	le := binary.LittleEndian
	if len(header) < 64 || string(header[:2]) != "MZ" {
		return 0, 0
	}
	start := le.Uint32(header[60:])
	if start > maxImageHeader || len(header) < int(start)+24+2 || string(header[start:start+4]) != "PE\x00\x00" {
		return 0, 0
	}
	coff := header[start+4:]
	sections, length := int(le.Uint16(coff[2:])), int(le.Uint16(coff[16:]))
	if len(coff) < 20+length+40*sections {
		return 0, 0
	}
	optional, table := coff[20:20+length], coff[20+length:]
	directories := 0
	switch {
	case length < 2:
	case le.Uint16(optional) == 0x10b: // 32 bits
		directories = 96
	case le.Uint16(optional) == 0x20b: // 64 bits
		directories = 112
	}
	place := directories + 8*debugDirectory
	if directories == 0 || length < place+8 || le.Uint32(optional[directories-4:]) <= debugDirectory {
		return 0, 0
	}
	address, size := le.Uint32(optional[place:]), le.Uint32(optional[place+4:])
	for section := range slices.Chunk(table[:40*sections], 40) {
		begin, raw := le.Uint32(section[12:]), le.Uint32(section[16:])
		if address >= begin && address-begin < raw {
			return int64(le.Uint32(section[20:])) + int64(address-begin), size
		}
	}
	return 0, 0
}

// readAt reads up to length bytes; fewer at the end.
func readAt(r io.ReaderAt, at, length int64) ([]byte, error) {
	b := make([]byte, length)
	n, err := r.ReadAt(b, at)
	if err == io.EOF {
		err = nil
	}
	return b[:n], err
}
