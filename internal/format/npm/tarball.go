package npm

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"packhouse/internal/registry"
)

// contents is what a package tarball holds.
type contents struct {
	PackageJSON  json.RawMessage // of the package's root: a JSON object in UTF-8; nil when absent
	Files        int             // entries that are not directories; links and devices count, though no client extracts them
	UnpackedSize int64           // bytes of all files
	Gyp          bool            // there is a binding.gyp in the package's root, which clients build without being told
}

const (
	maxPackageJSON = 4 << 20 // bytes, as GitLab

	// tarOverhead is how many bytes of headers, padding and rest a tar may have beside its files: empty files
	// compress a thousandfold too.
	tarOverhead = 64 << 20
)

// readTarball reads the gzipped tar (RFC 1952, POSIX pax) r to its end in constant memory. As clients extract it
// without the first directory of each name, the last <any directory>/package.json is that of the package. What
// follows the end of the tar is read past, as npm does; padding with NUL after the gzip too.
//
// Errors: Invalid for what is not such a file, is cut short or damaged, names files outside of its directory, or is
// read differently by different clients; TooLarge for more than maxUnpacked bytes of files. An error of r is
// returned as it is. After an error the rest of r is unread.
func readTarball(r io.Reader, maxUnpacked int64) (*contents, error) {
	in := &source{in: r}
	c, err := readTar(in, maxUnpacked)
	var known *registry.Error
	switch {
	case err == nil:
		return c, nil
	case in.err != nil:
		return nil, in.err
	case errors.As(err, &known):
		return nil, err
	}
	return nil, &registry.Error{
		Kind: registry.Invalid, Message: "The tarball is damaged, or is no gzipped tar file", Err: err,
	}
}

func readTar(r io.Reader, maxUnpacked int64) (*contents, error) {
	z := inflaters.Get().(*inflater)
	defer func() {
		z.in.Reset(nil) // of r nothing is held
		inflaters.Put(z)
	}()
	z.in.Reset(r)
	z.n, z.max = 0, maxUnpacked
	if err := z.next(); err != nil {
		return nil, err
	}
	c := &contents{}
	for files := tar.NewReader(z); ; {
		h, err := files.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := checkHeader(h); err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader || strings.HasSuffix(h.Name, "/") {
			continue
		}
		c.Files++
		if h.Size > maxUnpacked-c.UnpackedSize {
			return nil, tooMuch(maxUnpacked)
		}
		c.UnpackedSize += h.Size
		c.Gyp = c.Gyp || strings.HasSuffix(h.Name, "/binding.gyp") && strings.Count(h.Name, "/") == 1
		if isRoot, err := isPackageJSON(h); err != nil {
			return nil, err
		} else if isRoot {
			if c.PackageJSON, err = readPackageJSON(files, h.Size); err != nil {
				return nil, err
			}
		}
	}
	// The checksum is at the end of the gzip, and whoever feeds r waits until it is read.
	if _, err := io.Copy(io.Discard, z); err != nil {
		return nil, err
	}
	_, err := io.Copy(io.Discard, z.in)
	return c, err
}

// checkHeader refuses what could mean another file to a client than to us: names that lead out of the directory, kinds
// of entries that only some readers know, and the extensions for which readers of tar differ in name or length.
func checkHeader(h *tar.Header) error {
	for key := range h.PAXRecords {
		global := h.Typeflag == tar.TypeXGlobalHeader && (key == "path" || key == "linkpath" || key == "size")
		if global || strings.HasPrefix(key, "GNU.sparse.") {
			return notPortable(h)
		}
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont:
	case tar.TypeDir, tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return notPortable(h)
	}
	if h.Size > 0 && !isFile(h) {
		return notPortable(h)
	}
	name := strings.ReplaceAll(h.Name, `\`, "/") // as Windows reads it
	drive := len(name) > 1 && name[1] == ':'
	if drive || strings.HasPrefix(name, "/") || slices.Contains(strings.Split(name, "/"), "..") {
		return registry.Errorf(registry.Invalid, "The tarball has an unsafe path: %.256q", h.Name)
	}
	return nil
}

func notPortable(h *tar.Header) error {
	return registry.Errorf(registry.Invalid, "The tarball has an entry that is not portable: %.256q", h.Name)
}

// isFile tells whether an entry has content. One whose name ends in a slash is a directory, of an older tar.
func isFile(h *tar.Header) bool {
	return (h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeCont) && !strings.HasSuffix(h.Name, "/")
}

// isPackageJSON tells whether an entry becomes the package.json of the package. One that does so only where case or
// backslashes do not count, and could then replace the one that we read, is Invalid.
func isPackageJSON(h *tar.Header) (bool, error) {
	parts := strings.Split(strings.ReplaceAll(h.Name, `\`, "/"), "/")[1:]
	parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" || part == "." })
	switch {
	case !isFile(h) || len(parts) != 1 || !strings.EqualFold(parts[0], "package.json"):
		return false, nil
	case parts[0] != "package.json" || strings.Contains(h.Name, `\`):
		return false, registry.Errorf(registry.Invalid, "The tarball has a second spelling of package.json: %.256q", h.Name)
	}
	return true, nil
}

func readPackageJSON(r io.Reader, size int64) (json.RawMessage, error) {
	if size > maxPackageJSON {
		return nil, registry.Errorf(registry.Invalid, "package.json file too large")
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, err
	}
	// As npm reads it: with or without a byte order mark, and whatever is not UTF-8 replaced.
	raw = bytes.TrimPrefix(bytes.ToValidUTF8(raw, []byte("\uFFFD")), []byte("\uFEFF"))
	raw = bytes.Trim(raw, " \t\r\n")
	if !bytes.HasPrefix(raw, []byte("{")) || !json.Valid(raw) {
		return nil, registry.Errorf(registry.Invalid, "package.json in the tarball is not a JSON object")
	}
	return raw, nil
}

func tooMuch(max int64) error {
	return registry.Errorf(registry.TooLarge, "The tarball unpacks to more than %d bytes", max)
}

// source remembers the error of a reader, to tell it from one of those who parse what was read.
type source struct {
	in  io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// inflater reads the members of a gzip file one after the other, at most max and tarOverhead bytes. Like zlib in
// Node.js, and unlike gzip.Reader, it takes a NUL after a member for padding up to the end.
type inflater struct {
	in     *bufio.Reader
	z      gzip.Reader
	n, max int64
}

var inflaters = sync.Pool{New: func() any { return &inflater{in: bufio.NewReaderSize(nil, 64<<10)} }}

// next begins a member.
func (f *inflater) next() error {
	err := f.z.Reset(f.in)
	f.z.Multistream(false)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (f *inflater) Read(p []byte) (int, error) {
	for {
		n, err := f.z.Read(p)
		if f.n += int64(n); f.n-tarOverhead > f.max {
			return 0, tooMuch(f.max)
		}
		if n > 0 {
			return n, nil
		}
		if err != io.EOF {
			return 0, err
		}
		head, err := f.in.Peek(1)
		if err == nil && head[0] == 0 {
			err = io.EOF
		}
		if err == nil {
			err = f.next()
		}
		if err != nil {
			return 0, err
		}
	}
}

// What a manifest that lacks it gets from package.json, by the shape that clients read it in.
var (
	// Objects that decide what is installed and run. A value of another shape is as good as none: npm would have mended
	// it or left it out.
	installObjects = []string{
		"scripts", "dependencies", "optionalDependencies", "peerDependencies", "peerDependenciesMeta", "dependenciesMeta",
	}
	// The rest of what decides that, and what describes the package to a reader.
	otherKeys = []string{
		"bin", "directories", "engines", "os", "cpu", "libc", "gypfile", "acceptDependencies", "preferUnplugged",
		"type", "main", "module", "browser", "exports", "imports", "types", "typings", "devDependencies",
		"description", "keywords", "license", "author", "contributors", "homepage", "repository", "bugs", "funding",
	}
	installScripts = []string{"preinstall", "install", "postinstall"}
)

// reconcile compares the manifest that the client sent with the package.json inside the tarball, and completes the
// manifest from it: some clients (bun) send little more than name and version. Installers decide by the manifest and
// then run what is in the tarball, so the manifest must not hide anything. It may say more: npm adds a script for
// binding.gyp, and a package.json may have been trimmed while it was packed.
//
// Invalid: name or version differ, beyond what npm cleans (white space, a leading "v" or "=", build metadata); an
// install script is lacking or another; a dependency that would be installed is lacking.
func reconcile(manifest, packageJSON map[string]json.RawMessage) error {
	for _, same := range []struct {
		key   string
		clean func(string) string
	}{{"name", strings.TrimSpace}, {"version", cleanVersion}} {
		said, _ := asString(manifest[same.key])
		inside, ok := asString(packageJSON[same.key])
		if !ok || same.clean(said) != same.clean(inside) {
			return incoherent("%s is %.256q, but %.256q in the package.json of the tarball", same.key, said, inside)
		}
	}
	complete(manifest, packageJSON)

	scripts, inside := asObject(manifest["scripts"]), asObject(packageJSON["scripts"])
	for _, key := range installScripts {
		script, ok := asString(inside[key])
		if said, _ := asString(scripts[key]); ok && cleanScript(said) != cleanScript(script) {
			return incoherent("it hides an install script, %s, of the package.json of the tarball", key)
		}
	}

	named := map[string]json.RawMessage{}
	for _, key := range []string{"dependencies", "optionalDependencies", "peerDependencies"} {
		maps.Copy(named, asObject(manifest[key]))
	}
	for _, key := range []string{"dependencies", "optionalDependencies"} {
		inside := asObject(packageJSON[key])
		for _, name := range slices.Sorted(maps.Keys(inside)) {
			_, isString := asString(inside[name])
			if _, ok := named[name]; isString && !ok {
				return incoherent("it hides a dependency, %.256q, of the package.json of the tarball", name)
			}
		}
	}
	return nil
}

// incoherent begins with GitLab's words for it.
func incoherent(format string, args ...any) error {
	return registry.Errorf(registry.Invalid, "Package manifest is not coherent: "+format, args...)
}

func complete(manifest, packageJSON map[string]json.RawMessage) {
	for _, key := range installObjects {
		if asObject(manifest[key]) == nil && asObject(packageJSON[key]) != nil {
			manifest[key] = packageJSON[key]
		}
	}
	for _, key := range otherKeys {
		if isAbsent(manifest[key]) && !isAbsent(packageJSON[key]) {
			manifest[key] = packageJSON[key]
		}
	}
	// Two spellings, and three shapes of which clients read one, an array of names.
	const bundle, bundled = "bundleDependencies", "bundledDependencies"
	if !isAbsent(manifest[bundle]) || !isAbsent(manifest[bundled]) {
		return
	}
	raw := packageJSON[bundle]
	if isAbsent(raw) {
		raw = packageJSON[bundled]
	}
	names := asObject(raw)
	if string(raw) == "true" {
		names = asObject(packageJSON["dependencies"])
	}
	switch {
	case len(names) > 0:
		manifest[bundle], _ = json.Marshal(slices.Sorted(maps.Keys(names))) // strings always marshal
	case len(raw) > 0 && raw[0] == '[':
		manifest[bundle] = raw
	}
}

// hasInstallScript tells whether installing the package runs something of its own: hasInstallScript of the abbreviated
// packument. A binding.gyp is built also without a script (gypfile).
func hasInstallScript(manifest map[string]json.RawMessage) bool {
	scripts := asObject(manifest["scripts"])
	return string(manifest["gypfile"]) == "true" || slices.ContainsFunc(installScripts, func(key string) bool {
		script, _ := asString(scripts[key])
		return script != ""
	})
}

// looseVersion is what npm accepts for a version in a package.json, and the parts that it keeps: not leading zeros, not
// the build metadata, and a hyphen where it was forgotten.
var looseVersion = regexp.MustCompile(`^[v=\s]*0*(\d+)\.0*(\d+)\.0*(\d+)(?:-?([-.0-9A-Za-z]+))?(?:\+[-.0-9A-Za-z]*)?\s*$`)

func cleanVersion(version string) string {
	return looseVersion.ReplaceAllString(version, "$1.$2.$3-$4")
}

// cleanScript takes off the directory of binaries that npm takes off at the start of a script, as it is in the PATH.
func cleanScript(script string) string {
	const bin = "node_modules/.bin/"
	rest, ok := strings.CutPrefix(strings.TrimPrefix(strings.ReplaceAll(script, `\`, "/"), "./"), bin)
	if !ok {
		return script
	}
	return script[len(script)-len(rest):]
}

func isAbsent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// asObject is nil for what is no object.
func asObject(raw json.RawMessage) map[string]json.RawMessage {
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		return nil
	}
	return object
}

func asString(raw json.RawMessage) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}
