package nuget

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packhouse/internal/registry"
)

// stream is one of a PDB's.
type stream struct{ name, text string }

// makePDB writes the metadata root of ECMA-335 II.24.2.1 and the streams after it.
func makePDB(streams ...stream) string {
	le := binary.LittleEndian
	b := []byte("BSJB\x01\x00\x01\x00\x00\x00\x00\x00\x0c\x00\x00\x00PDB v1.0\x00\x00\x00\x00\x00\x00")
	b = le.AppendUint16(b, uint16(len(streams)))
	at := len(b)
	for _, s := range streams {
		at += 8 + (len(s.name)+4)&^3
	}
	for _, s := range streams {
		b = le.AppendUint32(b, uint32(at))
		b = le.AppendUint32(b, uint32(len(s.text)))
		b = append(b, s.name...)
		b = append(b, make([]byte, 4-len(s.name)%4)...)
		at += len(s.text)
	}
	for _, s := range streams {
		b = append(b, s.text...)
	}
	return string(b)
}

const pdbID = "\x20\x15\x1a\xb9\xfc\x48\x38\x4b\x83\xbf\x3c\xf7\x3f\xbc\x03\xf1\xd4\x91\x66\xcc"

var (
	goodPDB    = makePDB(stream{"#Pdb", pdbID + "rest"}, stream{"#~", "tables"}, stream{"#Blob", "blobs"})
	goodSymbol = symbol{"b91a152048fc4b3883bf3cf73fbc03f1FFFFFFFF", func() string {
		sum := sha256.Sum256([]byte(strings.Replace(goodPDB, pdbID, strings.Repeat("\x00", 20), 1)))
		return hex.EncodeToString(sum[:])
	}()}
)

// makeImage is the headers and the debug directory of a DLL of 32 or 64 bits.
func makeImage(bits int, entries ...[]byte) string {
	le := binary.LittleEndian
	const place, address, sectionAt, sectionAddress = 6, 0x2010, 0x200, 0x2000
	directories := map[int]int{32: 96, 64: 112}[bits]
	optional := make([]byte, directories+16*8)
	le.PutUint16(optional, map[int]uint16{32: 0x10b, 64: 0x20b}[bits])
	le.PutUint32(optional[directories-4:], 16)
	le.PutUint32(optional[directories+8*place:], address)
	le.PutUint32(optional[directories+8*place+4:], uint32(28*len(entries)))
	b := make([]byte, 0x80)
	copy(b, "MZ")
	le.PutUint32(b[60:], 0x80)
	coff := make([]byte, 20)
	le.PutUint16(coff[2:], 1)
	le.PutUint16(coff[16:], uint16(len(optional)))
	section := make([]byte, 40)
	copy(section, ".text")
	le.PutUint32(section[12:], sectionAddress)
	le.PutUint32(section[16:], 0x1000)
	le.PutUint32(section[20:], sectionAt)
	b = append(append(append(append(b, "PE\x00\x00"...), coff...), optional...), section...)
	b = append(b, make([]byte, sectionAt+address-sectionAddress-len(b))...)
	data := len(b) + 28*len(entries)
	var rest []byte
	for _, e := range entries { // type, minor version, data
		head := make([]byte, 28)
		le.PutUint16(head[10:], le.Uint16(e[4:]))
		le.PutUint32(head[12:], le.Uint32(e))
		le.PutUint32(head[16:], uint32(len(e)-6))
		le.PutUint32(head[24:], uint32(data+len(rest)))
		b = append(b, head...)
		rest = append(rest, e[6:]...)
	}
	return string(append(b, rest...))
}

func debugEntry(kind uint32, minor uint16, data string) []byte {
	return append(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint32(nil, kind), minor), data...)
}

func codeView(minor uint16) []byte {
	return debugEntry(2, minor, "RSDS"+pdbID[:16]+"\x01\x00\x00\x00a.pdb\x00")
}

func checksum(hexSum string) []byte {
	sum, _ := hex.DecodeString(hexSum)
	return debugEntry(19, 0, "SHA256\x00"+string(sum))
}

func collect(body []byte) (map[string]symbol, error) {
	found := map[string]symbol{}
	err := eachSymbol(bytes.NewReader(body), int64(len(body)), func(name string, s symbol, content io.Reader) error {
		text, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		if s == goodSymbol && string(text) != goodPDB {
			return fmt.Errorf("%s: other bytes", name)
		}
		found[name] = s
		return nil
	})
	return found, err
}

func TestSymbolsOfAPackage(t *testing.T) {
	windows := windowsPDB + "MSF 7.00\r\n\x1aDS\x00\x00\x00"
	nuspec := entry{"a.nuspec", smallest}
	for _, row := range []struct {
		why     string
		entries []entry
		want    map[string]symbol
	}{
		{"one PDB", []entry{nuspec, {"lib/net45/a.pdb", goodPDB}}, map[string]symbol{"lib/net45/a.pdb": goodSymbol}},
		{"PDBs of one name, one at the root and in capitals", []entry{nuspec, {"lib/net45/a.pdb", goodPDB}, {"lib/net8.0/a%20b.pdb", goodPDB}, {"A.PDB", goodPDB}},
			map[string]symbol{"lib/net45/a.pdb": goodSymbol, "lib/net8.0/a b.pdb": goodSymbol, "A.PDB": goodSymbol}},
		{"a PDB of Windows beside", []entry{nuspec, {"a.pdb", goodPDB}, {"b.pdb", windows}, {"c.dll", ""}}, map[string]symbol{"a.pdb": goodSymbol}},
	} {
		got, err := collect(makePackage(t, row.entries...))
		if diff := cmp.Diff(row.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", row.why, err, diff)
		}
	}
	many := []entry{nuspec}
	for i := range 101 {
		many = append(many, entry{fmt.Sprintf("%d.pdb", i), goodPDB})
	}
	if got, err := collect(makePackage(t, many[:101]...)); err != nil || len(got) != 100 {
		t.Errorf("100 PDBs: %d, %v", len(got), err)
	}
	id := bytes.Index([]byte(goodPDB), []byte(pdbID))
	for _, row := range []struct {
		why     string
		entries []entry
		want    string
	}{
		{"101 PDBs", many, "the package has more than 100 PDB files"},
		{"no PDB", []entry{nuspec}, "the package has no portable PDB file"},
		{"PDBs of Windows only", []entry{nuspec, {"a.pdb", windows}}, "the package has no portable PDB file"},
		{"no zip archive", nil, "nuspec file not found"},
		{"an empty PDB", []entry{nuspec, {"a.pdb", ""}}, `the package has the file "a.pdb", which is no PDB`},
		{"a protein", []entry{nuspec, {"a.pdb", "HEADER    EXTRACELLULAR MATRIX"}}, `the package has the file "a.pdb", which is no PDB`},
		{"metadata of a DLL", []entry{nuspec, {"a.pdb", makePDB(stream{"#~", "tables"})}}, `the package has the file "a.pdb", which is no PDB`},
		{"a PDB cut within its directory", []entry{nuspec, {"a.pdb", goodPDB[:40]}}, `the package has the file "a.pdb", which is no PDB`},
		{"a PDB cut within its id", []entry{nuspec, {"a.pdb", goodPDB[:id+10]}}, `the package has the file "a.pdb", which is no PDB`},
		{"a short stream", []entry{nuspec, {"a.pdb", makePDB(stream{"#Pdb", pdbID[:19]})}}, `the package has the file "a.pdb", which is no PDB`},
		{"two ids", []entry{nuspec, {"a.pdb", makePDB(stream{"#Pdb", pdbID}, stream{"#Pdb", pdbID})}}, `the package has the file "a.pdb", which is no PDB`},
		{"an id within the directory", []entry{nuspec, {"a.pdb", strings.Replace(goodPDB, string(rune(id))+"\x00\x00\x00", "\x08\x00\x00\x00", 1)}}, `the package has the file "a.pdb", which is no PDB`},
		{"a long version", []entry{nuspec, {"a.pdb", strings.Replace(goodPDB, "\x0c\x00\x00\x00PDB", "\xff\xff\xff\xffPDB", 1)}}, `the package has the file "a.pdb", which is no PDB`},
	} {
		var body []byte
		if row.entries != nil {
			body = makePackage(t, row.entries...)
		}
		got, err := collect(body)
		if registry.KindOf(err) != registry.Invalid || registry.MessageOf(err) != row.want {
			t.Errorf("%s: %v, %v", row.why, got, err)
		}
	}
	stop := errors.New("stop")
	body := makePackage(t, nuspec, entry{"a.pdb", goodPDB})
	if err := eachSymbol(bytes.NewReader(body), int64(len(body)), func(string, symbol, io.Reader) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of the caller: %v", err)
	}
}

func TestSymbolsAreOfTheBuild(t *testing.T) {
	other := symbol{strings.Replace(goodSymbol.Signature, "b9", "b8", 1), goodSymbol.Checksum}
	changed := symbol{goodSymbol.Signature, strings.Repeat("0", 64)}
	image := makeImage(32, codeView(portableMinor), checksum(goodSymbol.Checksum), debugEntry(16, 0, ""))
	for _, row := range []struct {
		why, file, image string
		symbols          map[string]symbol
		want             string // the start of the error
	}{
		{"the same build", "lib/net45/a.dll", image, map[string]symbol{"lib/net45/a.pdb": goodSymbol}, ""},
		{"the same build, of 64 bits", "lib/net45/a.exe", makeImage(64, checksum(goodSymbol.Checksum), codeView(portableMinor)), map[string]symbol{"lib/net45/A.pdb": goodSymbol}, ""},
		{"one of two checksums", "a.dll", makeImage(32, codeView(portableMinor), checksum(changed.Checksum), checksum(goodSymbol.Checksum)), map[string]symbol{"a.pdb": goodSymbol}, ""},
		{"an image that names no checksum", "a.dll", makeImage(32, codeView(portableMinor)), map[string]symbol{"a.pdb": changed}, ""},
		{"an image with a PDB of Windows", "a.dll", makeImage(32, codeView(0)), map[string]symbol{"a.pdb": other}, ""},
		{"an image without debug entries", "a.dll", makeImage(32), map[string]symbol{"a.pdb": other}, ""},
		{"no image", "a.dll", "text", map[string]symbol{"a.pdb": other}, ""},
		{"half an image", "a.dll", image[:len(image)/2], map[string]symbol{"a.pdb": other}, ""},
		{"an image elsewhere", "lib/net46/a.dll", image, map[string]symbol{"lib/net45/a.pdb": other}, ""},
		{"a PDB of another build", "lib/net45/a.dll", image, map[string]symbol{"lib/net45/a.pdb": other},
			`the PDB "lib/net45/a.pdb" is not of the build of "lib/net45/a.dll" in the package: its signature is b81a`},
		{"a PDB changed after the build", "a.dll", image, map[string]symbol{"b.pdb": goodSymbol, "a.pdb": changed}, `the PDB "a.pdb" has another checksum than "a.dll" in the package names`},
		{"a PDB changed after the build, of 64 bits", "a.dll", makeImage(64, codeView(portableMinor), checksum(goodSymbol.Checksum)), map[string]symbol{"a.pdb": changed}, `the PDB "a.pdb" has another checksum`},
	} {
		body := makePackage(t, entry{"a.nuspec", smallest}, entry{row.file, row.image})
		err := checkSymbols(bytes.NewReader(body), int64(len(body)), row.symbols)
		switch {
		case row.want == "" && err != nil, row.want != "" && (registry.KindOf(err) != registry.Invalid || !strings.HasPrefix(registry.MessageOf(err), row.want)):
			t.Errorf("%s: %v", row.why, err)
		}
	}
}

func FuzzPDB(f *testing.F) {
	f.Add([]byte(goodPDB))
	f.Add([]byte(windowsPDB))
	f.Add([]byte(makePDB(stream{"#~", ""}, stream{"#Pdb", pdbID})))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := readPDB(bytes.NewReader(text), "a.pdb")
		if err != nil && registry.KindOf(err) != registry.Invalid {
			t.Error(err)
		}
		if s != nil && (len(s.Signature) != 40 || len(s.Checksum) != 64) {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzSymbols(f *testing.F) {
	f.Add(makePackage(f, entry{"a.nuspec", smallest}, entry{"a.pdb", goodPDB}, entry{"b.pdb", windowsPDB}, entry{"a.dll", makeImage(32, codeView(portableMinor))}))
	f.Fuzz(func(t *testing.T, body []byte) {
		found, err := collect(body)
		if err == nil {
			err = checkSymbols(bytes.NewReader(body), int64(len(body)), found)
		}
		if err != nil && registry.KindOf(err) != registry.Invalid {
			t.Error(err)
		}
	})
}

func FuzzImage(f *testing.F) {
	f.Add([]byte(makeImage(32, codeView(portableMinor), checksum(goodSymbol.Checksum))))
	f.Add([]byte(makeImage(64, checksum(goodSymbol.Checksum), codeView(portableMinor))))
	f.Fuzz(func(t *testing.T, text []byte) {
		info, err := readDebugInfo(bytes.NewReader(text))
		if err != nil || len(info.Signature)%40 != 0 {
			t.Errorf("%+v, %v", info, err)
		}
	})
}
