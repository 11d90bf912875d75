package composer

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"packhouse/internal/registry"
)

// Bounds of a zip that is published as it is. Its directory is the only part that is held in memory.
const (
	maxDirectory = 8 << 20 // bytes of the central directory: some 80,000 files
	// A member takes 46 bytes in the directory, and its name.
	maxMembers = maxDirectory / 46
	// An archive that unpacks to more than ratioFrom bytes may do so by a factor of maxRatio at most.
	ratioFrom = 64 << 20
	maxRatio  = 50
)

func badZip(sentence string) error {
	return &refusal{http.StatusBadRequest, "Validation failed: " + sentence}
}

var (
	errNotZip = badZip("the file is not a zip archive")
	errBomb   = badZip("the archive unpacks to too much")
	errMember = badZip("the archive has a file whose path leads out of it")
)

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

// readZip looks all members of a zip through and reads its composer.json: at the top, or in the one folder that all is in.
func readZip(r io.ReaderAt, size int64) ([]byte, error) {
	if members, ok := claimedMembers(r, size); !ok || members > maxMembers {
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
	var unpacked uint64
	top, single := "", true
	seen := make(map[string]*zip.File, len(archive.File))
	for _, member := range archive.File {
		if !safeMember(member.Name) {
			return nil, errMember
		}
		if seen[member.Name] != nil { // what unpacks it may take the one or the other
			return nil, badZip("the archive has a file twice")
		}
		seen[member.Name] = member
		if unpacked += member.UncompressedSize64; unpacked > ratioFrom && unpacked/maxRatio > uint64(size) {
			return nil, errBomb
		}
		folder, _, inFolder := strings.Cut(member.Name, "/")
		if top == "" {
			top = folder
		}
		single = single && inFolder && folder == top
		if kind := member.Mode().Type(); kind&^fs.ModeDir != 0 {
			if err := checkLink(member); err != nil {
				return nil, err
			}
		}
	}
	found := seen["composer.json"]
	if found == nil && single {
		found = seen[top+"/composer.json"]
	}
	if found == nil || !found.Mode().IsRegular() {
		return nil, errNoManifest
	}
	text, err := readMember(found, maxManifest)
	if err == errBomb {
		err = failed("composer.json is larger than %d bytes", maxManifest)
	}
	return text, err
}

// readMember reads a member to its end, and so its checksum.
func readMember(member *zip.File, most int64) ([]byte, error) {
	file, err := member.Open()
	if err != nil {
		return nil, errNotZip
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	switch {
	case registry.KindOf(err) != registry.Fault:
		return nil, err
	case err != nil:
		return nil, errNotZip
	case int64(len(text)) > most:
		return nil, errBomb
	}
	return text, nil
}

// checkLink refuses what is neither a file nor a folder, but for links that stay within the archive.
func checkLink(member *zip.File) error {
	if member.Mode().Type() != fs.ModeSymlink {
		return errMember
	}
	target, err := readMember(member, 4096)
	if err != nil {
		return errMember
	}
	depth := strings.Count(member.Name, "/")
	link := string(target)
	if link == "" || strings.HasPrefix(link, "/") || strings.ContainsAny(link, "\\\x00") {
		return errMember
	}
	for segment := range strings.SplitSeq(link, "/") {
		switch segment {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return errMember
			}
		default:
			depth++
		}
	}
	return nil
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
