package composer

import (
	"archive/zip"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"

	"packhouse/internal/format/archive"
	"packhouse/internal/registry"
)

func badZip(sentence string) error {
	return &refusal{http.StatusBadRequest, "Validation failed: " + sentence}
}

var errMember = badZip("the archive has a file whose path leads out of it")

// readZip looks all members of a zip through and reads its composer.json: at the top, or in the one folder that all is in.
func readZip(r io.ReaderAt, size int64) ([]byte, error) {
	archive, err := archive.OpenZip(r, size, "the archive")
	if err != nil {
		return nil, refusedZip(err)
	}
	top, single := "", true
	var links []string
	for _, member := range archive.File {
		folder, _, inFolder := strings.Cut(member.Name, "/")
		if top == "" {
			top = folder
		}
		single = single && inFolder && folder == top
		if kind := member.Mode().Type(); kind&^fs.ModeDir != 0 {
			if err := checkLink(archive, member); err != nil {
				return nil, err
			}
			links = append(links, path.Clean(member.Name)+"/")
		}
	}
	if len(links) > 0 && anyBelow(links, archive.File) {
		return nil, errMember // it would be where the link leads
	}
	found := archive.Member("composer.json")
	if found == nil && single {
		found = archive.Member(top + "/composer.json")
	}
	if found == nil || !found.Mode().IsRegular() {
		return nil, errNoManifest
	}
	text, err := readMember(archive, found, maxManifest)
	if err != nil {
		return nil, refusedZip(err)
	}
	if len(text) > maxManifest {
		return nil, failed("composer.json is larger than %d bytes", maxManifest)
	}
	return text, nil
}

// refusedZip gives what is wrong with a zip the form that it has here.
func refusedZip(err error) error {
	if registry.KindOf(err) == registry.Invalid {
		return badZip(registry.MessageOf(err))
	}
	return err
}

// readMember reads a member to its end, and so its checksum; of a longer one, one byte more than most.
func readMember(archive *archive.Zip, member *zip.File, most int64) ([]byte, error) {
	file, err := archive.Open(member)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, most+1))
}

// maxLink is the length of a link, in bytes.
const maxLink = 4096

// checkLink refuses what is neither a file nor a folder, but for links that stay within the archive.
func checkLink(archive *archive.Zip, member *zip.File) error {
	if member.Mode().Type() != fs.ModeSymlink {
		return errMember
	}
	target, err := readMember(archive, member, maxLink)
	if err != nil {
		return refusedZip(err)
	}
	if len(target) > maxLink {
		return errMember
	}
	link := string(target)
	if link == "" || strings.HasPrefix(link, "/") || strings.ContainsAny(link, "\\\x00") {
		return errMember
	}
	depth, named := strings.Count(path.Clean(member.Name), "/"), false
	for segment := range strings.SplitSeq(link, "/") {
		switch segment {
		case "", ".":
		case "..":
			if depth--; depth < 0 || named { // behind a name, which may be another link's, it could be anywhere
				return errMember
			}
		default:
			named = true
		}
	}
	return nil
}

// anyBelow tells whether a member is below one of the folders, whose paths end with a slash.
func anyBelow(folders []string, members []*zip.File) bool {
	paths := make([]string, len(members))
	for i, member := range members {
		paths[i] = path.Clean(member.Name)
	}
	slices.Sort(paths)
	return slices.ContainsFunc(folders, func(folder string) bool {
		at, _ := slices.BinarySearch(paths, folder)
		return at < len(paths) && strings.HasPrefix(paths[at], folder)
	})
}
