package npm

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"packhouse/internal/registry"
)

const packageJSON = `{"name":"p","version":"1.0.0"}`

// entry is one of a tar: a regular file unless it says otherwise.
type entry struct {
	name, content string
	kind          byte
	pax           map[string]string
}

// tarOf is a tar as npm pack writes it, up to and with its end.
func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.content)), Typeflag: e.kind, PAXRecords: e.pax}
		switch e.kind {
		case 0:
			h.Typeflag = tar.TypeReg
		case tar.TypeSymlink, tar.TypeLink:
			h.Linkname = "/etc/passwd"
		case tar.TypeXGlobalHeader:
			h = &tar.Header{Name: e.name, Typeflag: e.kind, PAXRecords: e.pax}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(data ...[]byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(bytes.Join(data, nil))
	w.Close()
	return b.Bytes()
}

// mark sets the kind and the size of the only entry of a tar to what archive/tar would not write.
func mark(t testing.TB, raw []byte, kind byte, size int) []byte {
	t.Helper()
	raw = bytes.Clone(raw)
	raw[156] = kind
	copy(raw[124:136], fmt.Sprintf("%011o\x00", size))
	copy(raw[148:156], "        ")
	sum := 0
	for _, c := range raw[:512] {
		sum += int(c)
	}
	copy(raw[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return raw
}

func TestReadTarball(t *testing.T) {
	manifest := entry{name: "package/package.json", content: packageJSON}
	index := entry{name: "package/index.js", content: "x = 1\n"}
	whole := tarOf(t, manifest, index)
	for _, c := range []struct {
		name string
		in   []byte
		want contents
	}{
		{"npm pack", gzipped(whole), contents{json.RawMessage(packageJSON), 2, int64(len(packageJSON)) + 6, false}},
		{"a tar without its end", gzipped(whole[:len(whole)-1024]), contents{json.RawMessage(packageJSON), 2, int64(len(packageJSON)) + 6, false}},
		{"garbage after the end of the tar", gzipped(whole, []byte("garbage")), contents{json.RawMessage(packageJSON), 2, int64(len(packageJSON)) + 6, false}},
		{"padding after the gzip", append(gzipped(whole), make([]byte, 1000)...), contents{json.RawMessage(packageJSON), 2, int64(len(packageJSON)) + 6, false}},
		{"garbage after the padding", append(gzipped(whole), "\x00garbage"...), contents{json.RawMessage(packageJSON), 2, int64(len(packageJSON)) + 6, false}},
		{
			"a gzip of two members", append(gzipped(whole[:700]), gzipped(whole[700:])...),
			contents{json.RawMessage(packageJSON), 2, int64(len(packageJSON)) + 6, false},
		},
		{"an empty tar", gzipped(tarOf(t)), contents{}},
		{"a binding.gyp in the root", gzipped(tarOf(t, entry{name: "package/binding.gyp"})), contents{nil, 1, 0, true}},
		{"a binding.gyp further down", gzipped(tarOf(t, entry{name: "package/deps/binding.gyp"})), contents{nil, 1, 0, false}},
		{"no package.json", gzipped(tarOf(t, index)), contents{nil, 1, 6, false}},
		{
			"package.json elsewhere",
			gzipped(tarOf(t,
				entry{name: "package.json", content: "{"}, entry{name: "package/lib/package.json", content: "{"},
				entry{name: "./package/package.json", content: "{"}, entry{name: "package/Xpackage.json", content: "{"})),
			contents{nil, 4, 4, false},
		},
		{
			"another directory, as GitHub names it",
			gzipped(tarOf(t, entry{name: "org-repo-1a2b3c/package.json", content: packageJSON})),
			contents{json.RawMessage(packageJSON), 1, int64(len(packageJSON)), false},
		},
		{
			"the last package.json counts, however its path is written",
			gzipped(tarOf(t,
				entry{name: "package/package.json", content: `{}`}, entry{name: "package//./package.json", content: packageJSON})),
			contents{json.RawMessage(packageJSON), 2, int64(len(packageJSON)) + 2, false},
		},
		{
			"a byte order mark, and text that is not UTF-8",
			gzipped(tarOf(t, entry{name: "package/package.json", content: "\ufeff \r\n{\"a\":\"\xff\"}\n"})),
			contents{json.RawMessage("{\"a\":\"\ufffd\"}"), 1, 16, false},
		},
		{
			"directories do not count, links and devices do, and none of them is package.json",
			gzipped(tarOf(t,
				entry{name: "pax_global_header", kind: tar.TypeXGlobalHeader, pax: map[string]string{"comment": "1a2b3c"}},
				entry{name: "package/", kind: tar.TypeDir}, entry{name: "package/package.json", kind: tar.TypeSymlink},
				entry{name: "package/package.json", kind: tar.TypeLink}, entry{name: "package/null", kind: tar.TypeChar},
				entry{name: "package/pipe", kind: tar.TypeFifo}, entry{name: "package/package.json", kind: tar.TypeBlock},
				entry{name: "package/dots..js"}, entry{name: "package/..."})),
			contents{nil, 7, 0, false},
		},
		{
			"a long name in a pax header",
			gzipped(tarOf(t, manifest, entry{name: "package/" + strings.Repeat("länge/", 50) + "a.js", content: "a"})),
			contents{json.RawMessage(packageJSON), 2, int64(len(packageJSON)) + 1, false},
		},
	} {
		got, err := readTarball(bytes.NewReader(c.in), 1<<20)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d := cmp.Diff(&c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

func TestReadTarballRefuses(t *testing.T) {
	const (
		damaged  = "The tarball is damaged, or is no gzipped tar file"
		portable = "The tarball has an entry that is not portable: "
		unsafe   = "The tarball has an unsafe path: "
		second   = "The tarball has a second spelling of package.json: "
		object   = "package.json in the tarball is not a JSON object"
	)
	good := gzipped(tarOf(t, entry{name: "package/package.json", content: packageJSON}))
	one := tarOf(t, entry{name: "package/a", content: "content"})
	badSum := bytes.Clone(good)
	badSum[len(badSum)-8] ^= 1
	of := func(e ...entry) []byte { return gzipped(tarOf(t, e...)) }
	for _, c := range []struct {
		name    string
		in      []byte
		message string
	}{
		{"nothing", nil, damaged},
		{"text", []byte("#!/bin/sh\n"), damaged},
		{"a tar that is not gzipped", one, damaged},
		{"a gzip of text", gzipped([]byte(strings.Repeat("text", 200))), damaged},
		{"a gzip of half a tar", gzipped(one[:515]), damaged},
		{"a gzip cut in its trailer", good[:len(good)-4], damaged},
		{"a gzip cut in half", good[:len(good)/2], damaged},
		{"a wrong checksum", badSum, damaged},
		{"garbage after the gzip", append(bytes.Clone(good), "garbage that goes on"...), damaged},
		{"a second member cut short", append(bytes.Clone(good), good[:15]...), damaged},
		{"a path that leads out", of(entry{name: "package/../../evil"}), unsafe + `"package/../../evil"`},
		{"a path that is up", of(entry{name: ".."}), unsafe + `".."`},
		{"a directory that leads out", of(entry{name: "package/../", kind: tar.TypeDir}), unsafe + `"package/../"`},
		{"an absolute path", of(entry{name: "/package/package.json", content: packageJSON}), unsafe + `"/package/package.json"`},
		{"a path of Windows", of(entry{name: `package\..\evil`}), unsafe + `"package\\..\\evil"`},
		{"an absolute path of Windows", of(entry{name: `\\server\evil`}), unsafe + `"\\\\server\\evil"`},
		{"a path with a drive", of(entry{name: `C:evil`}), unsafe + `"C:evil"`},
		{"another case", of(entry{name: "package/Package.JSON", content: packageJSON}), second + `"package/Package.JSON"`},
		{"a backslash", of(entry{name: `package\package.json`, content: packageJSON}), second + `"package\\package.json"`},
		{"a package.json that is too large", of(entry{name: "package/package.json", content: strings.Repeat(" ", maxPackageJSON+1)}), "package.json file too large"},
		{"a package.json that is no JSON", of(entry{name: "package/package.json", content: "{"}), object},
		{"a package.json that is empty", of(entry{name: "package/package.json"}), object},
		{"a package.json that is an array", of(entry{name: "package/package.json", content: "[]"}), object},
		{"a global header with a path", of(entry{name: "g", kind: tar.TypeXGlobalHeader, pax: map[string]string{"path": "package/package.json"}}), portable + `"package/package.json"`},
		{"a long name of an old tar", gzipped(mark(t, one, 'N', 7)), portable + `"package/a"`},
		{"a sparse file", gzipped(mark(t, one, tar.TypeGNUSparse, 7)), ""},
		{"a link with content", gzipped(mark(t, one, tar.TypeLink, 7)), portable + `"package/a"`},
		{"a directory with content", gzipped(mark(t, one, tar.TypeDir, 7)), portable + `"package/a"`},
	} {
		_, err := readTarball(bytes.NewReader(c.in), 1<<30)
		if registry.KindOf(err) != registry.Invalid || c.message != "" && registry.MessageOf(err) != c.message {
			t.Errorf("%s: %v, want %q", c.name, err, c.message)
		}
	}
}

func TestReadTarballLimit(t *testing.T) {
	in := gzipped(tarOf(t, entry{name: "package/a", content: "aaaa"}, entry{name: "package/b", content: "bbbb"}))
	for limit, ok := range map[int64]bool{8: true, 7: false, 3: false, 0: false, 1<<63 - 1: true} {
		_, err := readTarball(bytes.NewReader(in), limit)
		if (err == nil) != ok || !ok && registry.KindOf(err) != registry.TooLarge {
			t.Errorf("limit of %d bytes: %v", limit, err)
		}
	}
	// Bombs end at the limit: what follows of them, 64 GiB, is never read.
	for name, block := range map[string][]byte{
		"empty files":          tarOf(t, entry{name: "package/a"})[:512],
		"one file":             mark(t, tarOf(t, entry{name: "package/a"}), '0', 1<<32)[:512],
		"an end without end":   make([]byte, 1024),
		"files after the end":  append(make([]byte, 1024), tarOf(t, entry{name: "package/a"})...),
		"headers of one entry": tarOf(t, entry{name: "package/" + strings.Repeat("ä", 100)})[:1024],
	} {
		var read int64
		bomb := gzipped(bytes.Repeat(block, 1<<20/len(block)))
		r := io.LimitReader(&repeat{text: string(bomb)}, int64(len(bomb))*64<<10)
		_, err := readTarball(io.TeeReader(r, counter{&read}), 1<<20)
		if k := registry.KindOf(err); k != registry.TooLarge && k != registry.Invalid || read > 2<<20 {
			t.Errorf("%s: read %d bytes, %v", name, read, err)
		}
	}
}

type counter struct{ n *int64 }

func (c counter) Write(p []byte) (int, error) {
	*c.n += int64(len(p))
	return len(p), nil
}

func TestReadTarballPassesErrorsOn(t *testing.T) {
	gone := errors.New("disk gone")
	good := gzipped(tarOf(t, entry{name: "package/package.json", content: packageJSON}))
	for _, n := range []int{0, 1, len(good) / 2, len(good) - 1, len(good)} {
		_, err := readTarball(io.MultiReader(bytes.NewReader(good[:n]), iotest.ErrReader(gone)), 1<<20)
		if err != gone {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestReadTarballTakesConstantMemory(t *testing.T) {
	const size = 256 << 20
	in, out := io.Pipe()
	go func() {
		z, _ := gzip.NewWriterLevel(out, gzip.BestSpeed)
		w := tar.NewWriter(z)
		w.WriteHeader(&tar.Header{Name: "package/a", Size: size, Mode: 0o644})
		io.CopyN(w, &repeat{text: strings.Repeat("some bytes of a file", 1000)}, size)
		w.Close()
		z.Close()
		out.Close()
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := readTarball(in, size)
	runtime.ReadMemStats(&after)
	if err != nil || c.UnpackedSize != size {
		t.Fatalf("%v, %v", c, err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 { // with what the writer takes
		t.Errorf("allocated %d bytes", grown)
	}
}

func object(t *testing.T, text string) map[string]json.RawMessage {
	t.Helper()
	o := asObject(json.RawMessage(text))
	if o == nil {
		t.Fatalf("not an object: %s", text)
	}
	return o
}

func TestReconcile(t *testing.T) {
	const id = `"name":"p","version":"1.0.0"`
	for _, c := range []struct{ name, manifest, inside, want string }{
		{"equal", `{` + id + `,"main":"a.js"}`, `{` + id + `,"main":"a.js"}`, `{` + id + `,"main":"a.js"}`},
		{"a version with a v", `{` + id + `}`, `{"name":"p","version":" v1.0.0 "}`, `{` + id + `}`},
		{"a version with an equals sign", `{` + id + `}`, `{"name":" p","version":"= 1.0.0"}`, `{` + id + `}`},
		{"build metadata", `{` + id + `}`, `{"name":"p","version":"1.0.0+build.7"}`, `{` + id + `}`},
		{
			"a version without its hyphen", `{"name":"p","version":"1.0.0-rc1"}`, `{"name":"p","version":"01.00.0rc1"}`,
			`{"name":"p","version":"1.0.0-rc1"}`,
		},
		{
			"bun sends little: the rest is filled in", `{` + id + `,"dist":{}}`,
			`{` + id + `,"dist":1,"_x":1,"private":false,"scripts":{"install":"x"},"dependencies":{"a":"1"},"optionalDependencies":{"b":"1"},
				"peerDependencies":{"c":"1"},"peerDependenciesMeta":{"c":{"optional":true}},"bin":"cli.js","engines":{"node":">=20"},
				"os":["linux"],"cpu":["x64"],"libc":["glibc"],"bundledDependencies":["a"],"license":"MIT","keywords":null}`,
			`{` + id + `,"dist":{},"scripts":{"install":"x"},"dependencies":{"a":"1"},"optionalDependencies":{"b":"1"},
				"peerDependencies":{"c":"1"},"peerDependenciesMeta":{"c":{"optional":true}},"bin":"cli.js","engines":{"node":">=20"},
				"os":["linux"],"cpu":["x64"],"libc":["glibc"],"bundleDependencies":["a"],"license":"MIT"}`,
		},
		{
			"what the manifest says stays", `{` + id + `,"bin":{"p":"cli.js"},"os":[],"dependencies":{"a":"2"},"bundleDependencies":[]}`,
			`{` + id + `,"bin":"cli.js","os":["linux"],"dependencies":{"a":"1"},"bundleDependencies":["a"]}`,
			`{` + id + `,"bin":{"p":"cli.js"},"os":[],"dependencies":{"a":"2"},"bundleDependencies":[]}`,
		},
		{
			"null and wrong shapes are filled in", `{` + id + `,"scripts":null,"dependencies":[],"bin":null}`,
			`{` + id + `,"scripts":{"test":"x"},"dependencies":{"a":"1"},"bin":"a"}`,
			`{` + id + `,"scripts":{"test":"x"},"dependencies":{"a":"1"},"bin":"a"}`,
		},
		{
			"wrong shapes inside are left out", `{` + id + `}`,
			`{` + id + `,"scripts":"x","dependencies":["a"],"optionalDependencies":"b","bundleDependencies":false}`, `{` + id + `}`,
		},
		{
			"bundle all", `{` + id + `}`, `{` + id + `,"dependencies":{"b":"1","a":"1"},"bundleDependencies":true}`,
			`{` + id + `,"dependencies":{"b":"1","a":"1"},"bundleDependencies":["a","b"]}`,
		},
		{
			"bundle an object", `{` + id + `}`, `{` + id + `,"bundledDependencies":{"a":"1"}}`,
			`{` + id + `,"bundleDependencies":["a"]}`,
		},
		{
			"npm adds the script for binding.gyp", `{` + id + `,"scripts":{"install":"node-gyp rebuild"},"gypfile":true}`,
			`{` + id + `}`, `{` + id + `,"scripts":{"install":"node-gyp rebuild"},"gypfile":true}`,
		},
		{
			"scripts that do not install may differ", `{` + id + `,"scripts":{"test":"a"}}`,
			`{` + id + `,"scripts":{"test":"b","prepare":"c","install":5,"preinstall":""}}`, `{` + id + `,"scripts":{"test":"a"}}`,
		},
		{
			"npm takes the directory of binaries off", `{` + id + `,"scripts":{"install":"tool a"}}`,
			`{` + id + `,"scripts":{"install":"./node_modules/.bin/tool a"}}`, `{` + id + `,"scripts":{"install":"tool a"}}`,
		},
		{
			"npm lists an optional dependency once", `{` + id + `,"optionalDependencies":{"a":"1"}}`,
			`{` + id + `,"dependencies":{"a":"1"},"optionalDependencies":{"a":"1"}}`,
			`{` + id + `,"dependencies":{"a":"1"},"optionalDependencies":{"a":"1"}}`,
		},
		{
			"dependencies that moved", `{` + id + `,"dependencies":{"b":"1"},"optionalDependencies":{},"peerDependencies":{"a":"1"}}`,
			`{` + id + `,"dependencies":{"a":"1"},"optionalDependencies":{"b":"1","c":7}}`,
			`{` + id + `,"dependencies":{"b":"1"},"optionalDependencies":{},"peerDependencies":{"a":"1"}}`,
		},
		{
			"a package.json that was trimmed when packed", `{` + id + `,"scripts":{"preinstall":"x"},"dependencies":{"a":"1"}}`,
			`{` + id + `}`, `{` + id + `,"scripts":{"preinstall":"x"},"dependencies":{"a":"1"}}`,
		},
	} {
		manifest := object(t, c.manifest)
		if err := reconcile(manifest, object(t, c.inside)); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		asText := cmp.Transformer("text", func(raw json.RawMessage) string { return string(raw) })
		if d := cmp.Diff(object(t, c.want), manifest, asText); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}

	const incoherent = "Package manifest is not coherent: "
	for _, c := range []struct{ name, manifest, inside, message string }{
		{"another name", `{` + id + `}`, `{"name":"q","version":"1.0.0"}`, `name is "p", but "q" in the package.json of the tarball`},
		{"another version", `{` + id + `}`, `{"name":"p","version":"1.0.1"}`, `version is "1.0.0", but "1.0.1" in the package.json of the tarball`},
		{"a prerelease", `{` + id + `}`, `{"name":"p","version":"1.0.0-rc.1"}`, `version is "1.0.0", but "1.0.0-rc.1" in the package.json of the tarball`},
		{"no name at all", `{"version":"1.0.0"}`, `{"version":"1.0.0"}`, `name is "", but "" in the package.json of the tarball`},
		{"a version that is a number", `{` + id + `}`, `{"name":"p","version":1}`, `version is "1.0.0", but "" in the package.json of the tarball`},
		{"names do not shed a v", `{"name":"1.0.0","version":"1.0.0"}`, `{"name":"v1.0.0","version":"1.0.0"}`, `name is "1.0.0", but "v1.0.0" in the package.json of the tarball`},
		{
			"a hidden script", `{` + id + `,"scripts":{"test":"x"}}`, `{` + id + `,"scripts":{"postinstall":"evil"}}`,
			"it hides an install script, postinstall, of the package.json of the tarball",
		},
		{
			"another script", `{` + id + `,"scripts":{"install":"good"}}`, `{` + id + `,"scripts":{"install":"evil"}}`,
			"it hides an install script, install, of the package.json of the tarball",
		},
		{
			"a script behind an empty object", `{` + id + `,"scripts":{}}`, `{` + id + `,"scripts":{"preinstall":"evil"}}`,
			"it hides an install script, preinstall, of the package.json of the tarball",
		},
		{
			"a hidden dependency", `{` + id + `,"dependencies":{"a":"1"}}`, `{` + id + `,"dependencies":{"a":"1","evil":"1"}}`,
			`it hides a dependency, "evil", of the package.json of the tarball`,
		},
		{
			"a hidden optional dependency", `{` + id + `,"optionalDependencies":{}}`, `{` + id + `,"optionalDependencies":{"evil":"1"}}`,
			`it hides a dependency, "evil", of the package.json of the tarball`,
		},
	} {
		err := reconcile(object(t, c.manifest), object(t, c.inside))
		if registry.KindOf(err) != registry.Invalid || registry.MessageOf(err) != incoherent+c.message {
			t.Errorf("%s: %v, want %q", c.name, err, c.message)
		}
	}
}

func TestHasInstallScript(t *testing.T) {
	for _, c := range []struct {
		manifest string
		want     bool
	}{
		{`{"scripts":{"preinstall":"x"}}`, true},
		{`{"scripts":{"install":"x"}}`, true},
		{`{"scripts":{"postinstall":"x","test":"y"}}`, true},
		{`{"scripts":{"prepare":"x","test":"y"}}`, false},
		{`{"scripts":{"install":""}}`, false},
		{`{"scripts":{"install":1}}`, false},
		{`{"scripts":"install"}`, false},
		{`{"scripts":null}`, false},
		{`{}`, false},
	} {
		if got := hasInstallScript(object(t, c.manifest)); got != c.want {
			t.Errorf("%s: %v", c.manifest, got)
		}
	}
}

func BenchmarkReadTarball(b *testing.B) {
	const size = 32 << 20
	in := gzipped(tarOf(b, entry{name: "package/package.json", content: packageJSON},
		entry{name: "package/a.js", content: strings.Repeat("module.exports = function (a) { return a }\n", size/43)}))
	b.SetBytes(size) // unpacked
	for b.Loop() {
		if _, err := readTarball(bytes.NewReader(in), 1<<30); err != nil {
			b.Fatal(err)
		}
	}
}

// The fuzzer writes the tar; the gzip around it is right half of the time, or the checksum would refuse all.
func FuzzReadTarball(f *testing.F) {
	whole := tarOf(f, entry{name: "package/package.json", content: packageJSON}, entry{name: "package/a", content: "a"})
	f.Add(whole, true)
	f.Add(whole[:1500], true)
	f.Add(gzipped(whole), false)
	f.Add(append(gzipped(whole[:512]), gzipped(whole[512:])...), false)
	f.Add(append(gzipped(whole), 0), false)
	f.Add(tarOf(f, entry{name: "package/" + strings.Repeat("ä", 200), pax: map[string]string{"X.y": "z"}}), true)
	f.Add(tarOf(f, entry{name: "package/../a"}, entry{name: "g", kind: tar.TypeXGlobalHeader, pax: map[string]string{"comment": "c"}}), true)
	f.Add(mark(f, tarOf(f, entry{name: "package/package.json"}), tar.TypeGNUSparse, 1<<30), true)
	f.Fuzz(func(t *testing.T, in []byte, wrap bool) {
		if wrap {
			in = gzipped(in)
		}
		const limit = 1 << 20
		got, err := readTarball(bytes.NewReader(in), limit)
		again, err2 := readTarball(iotest.OneByteReader(bytes.NewReader(in)), limit)
		if fmt.Sprint(err) != fmt.Sprint(err2) || cmp.Diff(got, again) != "" {
			t.Fatalf("at once: %v %v, byte by byte: %v %v", got, err, again, err2)
		}
		if err != nil {
			if k := registry.KindOf(err); k != registry.Invalid && k != registry.TooLarge {
				t.Fatalf("kind of %v", err)
			}
			return
		}
		if got.UnpackedSize > limit || got.UnpackedSize < 0 {
			t.Fatalf("%d bytes", got.UnpackedSize)
		}
		if got.PackageJSON == nil {
			return
		}
		inside := asObject(got.PackageJSON)
		if inside == nil {
			t.Fatalf("%q is no object", got.PackageJSON)
		}
		// Whatever it says, it is coherent with itself, once it has a name and a version.
		inside["name"], inside["version"] = json.RawMessage(`"p"`), json.RawMessage(`"1.0.0"`)
		manifest := map[string]json.RawMessage{"name": inside["name"], "version": inside["version"]}
		if err := reconcile(manifest, inside); err != nil {
			t.Fatalf("%s: %v", got.PackageJSON, err)
		}
		if hasInstallScript(manifest) != hasInstallScript(inside) {
			t.Fatalf("%s: the completed manifest hides a script", got.PackageJSON)
		}
	})
}
