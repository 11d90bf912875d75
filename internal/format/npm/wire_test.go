package npm

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"packhouse/internal/registry"
)

var wide = limits{File: 1 << 40, Metadata: 1 << 20}

// read is readBody with a store that keeps the tarball.
func read(r io.Reader, lim limits) (b *body, key, tarball string, err error) {
	b, err = readBody(r, lim, func(k string, r io.Reader) error {
		data, err := io.ReadAll(r)
		key, tarball = k, string(data)
		return err
	})
	return b, key, tarball, err
}

const (
	// gitlabSample is the document of GitLab's API page, cut down: the attachment first, and pretty-printed.
	gitlabSample = `{
  "_attachments": {
    "@myscope/my-pkg-1.3.7.tgz": {
      "content_type": "application/octet-stream",
      "data": "SGVsbG8sIHRhcmJhbGw=",
      "length": 354
    }
  },
  "_id": "@myscope/my-pkg",
  "description": "Package created by me",
  "dist-tags": {
    "latest": "1.3.7"
  },
  "name": "@myscope/my-pkg",
  "readme": "ERROR: No README data found!",
  "versions": {
    "1.3.7": {
      "name": "@myscope/my-pkg",
      "scripts": {"test": "echo \"Error: no test specified\" && exit 1"},
      "version": "1.3.7"
    }
  }
}
`
	// provenance is in the order of npm publish, with a bundle beside the tarball.
	provenance = `{"_id":"p","name":"p","dist-tags":{"next":"1.0.0"},"versions":{"1.0.0":{"name":"p","version":"1.0.0"}},` +
		`"access":null,"_attachments":{"p-1.0.0.tgz":{"content_type":"application\/octet-stream","data":"SGVsbG8sIHRhcmJhbGw=",` +
		`"length":14},"p-1.0.0.sigstore":{"data":"{\"a\":1}"}}}`
	deprecation = `{"name":"p","versions":{"1.0.0":{"version":"1.0.0","deprecated":"use 2"},` +
		`"1.1.0":{"version":"1.1.0","deprecated":""},"1.2.0":{"deprecated":false},"1.3.0":{"version":"1.3.0"}}}`
)

func attach(data string) string {
	return `{"_attachments":{"p-1.0.0.tgz":{"data":"` + data + `"}}}`
}

func TestReadBody(t *testing.T) {
	text := func(s string) *string { return &s }
	sample := &body{
		Name: "@myscope/my-pkg", DistTags: map[string]string{"latest": "1.3.7"},
		Readme: "ERROR: No README data found!", HasVersions: true, Attachments: 1,
		Versions: []version{{Version: "1.3.7", Manifest: json.RawMessage(`{
      "name": "@myscope/my-pkg",
      "scripts": {"test": "echo \"Error: no test specified\" && exit 1"},
      "version": "1.3.7"
    }`)}},
	}
	for _, c := range []struct {
		name, in, key, tarball string
		want                   *body
	}{
		{"GitLab's sample has the attachment first", gitlabSample, "@myscope/my-pkg-1.3.7.tgz", "Hello, tarball", sample},
		{"npm publish has it last, and a provenance beside it", provenance, "p-1.0.0.tgz", "Hello, tarball", &body{
			Name: "p", DistTags: map[string]string{"next": "1.0.0"}, HasVersions: true, Attachments: 1,
			Versions: []version{{Version: "1.0.0", Manifest: json.RawMessage(`{"name":"p","version":"1.0.0"}`)}},
		}},
		{"npm deprecate sends all versions, and the first keeps its manifest", deprecation, "", "", &body{
			Name: "p", DistTags: map[string]string{}, HasVersions: true,
			Versions: []version{
				{"1.0.0", json.RawMessage(`{"version":"1.0.0","deprecated":"use 2"}`), text("use 2")},
				{"1.1.0", nil, text("")}, {"1.2.0", nil, text("")}, {"1.3.0", nil, nil},
			},
		}},
		{"an empty object says nothing", "{}", "", "", &body{DistTags: map[string]string{}}},
		{
			"null and the empty array of PHP count as absent",
			`{"name":null,"readme":[],"dist-tags":[],"versions":null,"_attachments":[]}`, "", "",
			&body{DistTags: map[string]string{}},
		},
		{
			"white space is anywhere", "\r\n { \"name\"\t:\n\"p\" , \"_attachments\" : { \"a.tgz\" : { \"data\" : \"QQ==\" } } } \n",
			"a.tgz", "A", &body{Name: "p", DistTags: map[string]string{}, Attachments: 1},
		},
		{
			"keys and text may have escapes",
			`{"n\u0061me":"\ud83d\udce6 \"p\"","readme":"a\u0000b","_attachments":{"\u0061.tg\u007A":{"d\u0061ta":"QQ=="}}}`,
			"a.tgz", "A", &body{Name: `📦 "p"`, Readme: "ab", DistTags: map[string]string{}, Attachments: 1},
		},
		{
			"other keys are skipped, whatever they hold",
			`{"_rev":[1,-0.5e+7,[],{},[[{"a":[null,true,false]}]],"\\\"\/\u12aF"],"name":"p"}`,
			"", "", &body{Name: "p", DistTags: map[string]string{}},
		},
	} {
		for how, r := range map[string]io.Reader{
			"at once":        strings.NewReader(c.in),
			"byte by byte":   iotest.OneByteReader(strings.NewReader(c.in)),
			"with the end":   iotest.DataErrReader(strings.NewReader(c.in)),
			"half and half":  iotest.HalfReader(strings.NewReader(c.in)),
			"behind a blank": io.MultiReader(strings.NewReader(strings.Repeat(" ", wireWindow-9)), strings.NewReader(c.in)),
		} {
			got, key, tarball, err := read(r, wide)
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, how, err)
				continue
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("%s, %s (-want +got):\n%s", c.name, how, d)
			}
			if key != c.key || tarball != c.tarball {
				t.Errorf("%s, %s: stored %q as %q, want %q as %q", c.name, how, tarball, key, c.tarball, c.key)
			}
		}
	}
}

func TestReadBodyBase64(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"one byte", "QQ==", "A"},
		{"two bytes", "QUI=", "AB"},
		{"three bytes", "QUJD", "ABC"},
		{"an escaped slash, as PHP writes it", `\/\/\/\/`, "\xff\xff\xff"},
		{"an escaped plus", `\u002b\u002B++`, "\xfb\xef\xbe"},
		{"escapes all over", `\u0051\u0055\u004a\u0044`, "ABC"},
		{"lines of 4 characters", `QUJD\nQUJD\r\nQQ==\n`, "ABCABCA"},
		{"a line that ends in the middle of four", `QU\nJD`, "ABC"},
	} {
		if _, _, got, err := read(strings.NewReader(attach(c.data)), wide); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

// Encoders differ in what they escape and where they break lines; windows end anywhere.
func TestReadBodyEncoders(t *testing.T) {
	data := make([]byte, 3*wireWindow+1)
	rand.NewChaCha8([32]byte{1}).Read(data)
	text := base64.StdEncoding.EncodeToString(data)
	var lines []string
	for rest := text; rest != ""; rest = rest[min(76, len(rest)):] {
		lines = append(lines, rest[:min(76, len(rest))])
	}
	var all strings.Builder
	for _, c := range text {
		fmt.Fprintf(&all, `\u%04x`, c)
	}
	for name, data64 := range map[string]string{
		"plain":               text,
		"slashes escaped":     strings.ReplaceAll(text, "/", `\/`),
		"plus escaped":        strings.ReplaceAll(text, "+", `\u002b`),
		"wrapped":             strings.Join(lines, `\r\n`),
		"all escaped":         all.String(),
		"wrapped and escaped": strings.Join(lines, `\u000a`),
	} {
		_, _, got, err := read(strings.NewReader(attach(data64)), limits{File: int64(len(data)), Metadata: 100})
		if err != nil || got != string(data) {
			t.Errorf("%s: %d bytes, equal %v, %v", name, len(got), got == string(data), err)
		}
	}
}

func TestReadBodyRefuses(t *testing.T) {
	const (
		notJSON   = "Invalid json"
		early     = "Invalid json: the body ends early"
		notBase64 = "Attachment data is not base64."
		empty     = "Attachment data is empty."
		twice     = " is in the JSON upload twice"
		large     = "The JSON upload is too large without its tarball"
	)
	for _, c := range []struct {
		name, in string
		kind     registry.Kind
		message  string
	}{
		{"nothing", "", registry.Invalid, early},
		{"white space", " \n ", registry.Invalid, early},
		{"a form", "name=p&version=1", registry.Invalid, notJSON},
		{"an array", `[{"name":"p"}]`, registry.Invalid, notJSON},
		{"a string", `"p"`, registry.Invalid, notJSON},
		{"a byte order mark", "\ufeff{}", registry.Invalid, notJSON},
		{"garbage after the object", `{} x`, registry.Invalid, notJSON},
		{"a second object", `{}{}`, registry.Invalid, notJSON},
		{"a trailing comma", `{"name":"p",}`, registry.Invalid, notJSON},
		{"a comma first", `{,"name":"p"}`, registry.Invalid, notJSON},
		{"no comma", `{"a":1 "b":2}`, registry.Invalid, notJSON},
		{"no colon", `{"a" 1}`, registry.Invalid, notJSON},
		{"a key that is no string", `{1:2}`, registry.Invalid, notJSON},
		{"a key without quotes", `{name:"p"}`, registry.Invalid, notJSON},
		{"single quotes", `{'name':'p'}`, registry.Invalid, notJSON},
		{"brackets that do not match", `{"a":[}]`, registry.Invalid, notJSON},
		{"a skipped trailing comma", `{"a":[1,]}`, registry.Invalid, notJSON},
		{"a skipped key that is no string", `{"a":{"b":1,2:3}}`, registry.Invalid, notJSON},
		{"a skipped colon that is none", `{"a":{"b","c"}}`, registry.Invalid, notJSON},
		{"an unknown literal", `{"a":nul}`, registry.Invalid, notJSON},
		{"a number with a leading zero", `{"a":01}`, registry.Invalid, notJSON},
		{"a number that stops", `{"a":1e}`, registry.Invalid, notJSON},
		{"no value", `{"a":}`, registry.Invalid, notJSON},
		{"an unknown escape", `{"a":"\x"}`, registry.Invalid, notJSON},
		{"an escape that is not hexadecimal", "{\"a\":\"\\u00\x10g\"}", registry.Invalid, notJSON},
		{"a line break in a string", "{\"a\":\"\n\"}", registry.Invalid, notJSON},
		{"a NUL", "{\"a\":\"\x00\"}", registry.Invalid, notJSON},
		{"text that is not UTF-8", "{\"name\":\"\xff\"}", registry.Invalid, notJSON},
		{"a manifest that is not UTF-8", "{\"versions\":{\"1.0.0\":{\"a\":\"\xff\"}}}", registry.Invalid, notJSON},
		{"brackets without end", `{"a":` + strings.Repeat("[", 2000), registry.Invalid, notJSON},
		{"a body that ends in a key", `{"na`, registry.Invalid, early},
		{"a body that ends in a number", `{"a":1`, registry.Invalid, early},
		{"a body that ends in an escape", `{"a":"\u00`, registry.Invalid, early},
		{"a body that ends in the tarball", `{"_attachments":{"p.tgz":{"data":"QUJD`, registry.Invalid, early},
		{"a body that ends after the tarball", `{"_attachments":{"p.tgz":{"data":"QUJD"}}`, registry.Invalid, early},
		{"two lists of versions", `{"versions":{},"versions":{}}`, registry.Invalid, `"versions"` + twice},
		{"two lists of attachments", `{"_attachments":{},"_\u0061ttachments":{}}`, registry.Invalid, `"_attachments"` + twice},
		{"two names", `{"name":"a","name":"b"}`, registry.Invalid, `"name"` + twice},
		{"a version twice", `{"versions":{"1.0.0":{},"1.0.0":{}}}`, registry.Invalid, `"1.0.0"` + twice},
		{"a manifest that says two things", `{"versions":{"1.0.0":{"version":"1.0.0","version":"2.0.0"}}}`, registry.Invalid, `"version"` + twice},
		{"a version under the key of another", `{"versions":{"1.0.0":{"version":"2.0.0"}}}`, registry.Invalid, `versions lists version "2.0.0" as "1.0.0"`},
		{"a tag that is no string", `{"dist-tags":{"latest":1}}`, registry.Invalid, "dist-tags should be an object of strings"},
		{"two tarballs", `{"_attachments":{"a.tgz":{"data":"QQ=="},"b.tgz":{"data":"QQ=="}}}`, registry.Invalid, "The JSON upload has more than one .tgz attachment"},
		{"data twice", `{"_attachments":{"a.tgz":{"data":"QQ==","data":"QQ=="}}}`, registry.Invalid, `"data"` + twice},
		{"no data", `{"_attachments":{"a.tgz":{"length":1}}}`, registry.Invalid, empty},
		{"an attachment that is null", `{"_attachments":{"a.tgz":null}}`, registry.Invalid, empty},
		{"data that is null", `{"_attachments":{"a.tgz":{"data":null}}}`, registry.Invalid, empty},
		{"empty data", attach(""), registry.Invalid, empty},
		{"data of line breaks", attach(`\r\n`), registry.Invalid, empty},
		{"data of many line breaks", attach(strings.Repeat(`\n`, 3)), registry.Invalid, notBase64},
		{"data without padding", attach("QQ"), registry.Invalid, notBase64},
		{"data with half of its padding", attach("QQ="), registry.Invalid, notBase64},
		{"nothing but padding", attach("===="), registry.Invalid, notBase64},
		{"bits behind the last byte", attach("QR=="), registry.Invalid, notBase64},
		{"data after the padding", attach("QQ==QUJD"), registry.Invalid, notBase64},
		{"data after a window that ends in padding", attach(strings.Repeat("QUJD", wireWindow/4-1) + "QQ==QUJD"), registry.Invalid, notBase64},
		{"the alphabet for URLs", attach("-_-_"), registry.Invalid, notBase64},
		{"a blank in the data", attach("QU JD"), registry.Invalid, notBase64},
		{"an escape that is not base64", attach(`QUJ\u1244`), registry.Invalid, notBase64},
		{"a data URL", attach("data:application/gzip;base64,QUJD"), registry.Invalid, notBase64},
		{"a line break that is not escaped", attach("QUJD\nQUJD"), registry.Invalid, notJSON},
		{"base64 that breaks off later", attach(strings.Repeat("QUJD", wireWindow) + "*"), registry.Invalid, notBase64},
		{"a manifest over the limit", `{"versions":{"1.0.0":{"a":"` + strings.Repeat("a", 1<<20) + `"}}}`, registry.TooLarge, large},
		{"a key over the limit", `{"` + strings.Repeat("a", 2<<20), registry.TooLarge, large},
		{"white space over the limit", `{}` + strings.Repeat(" ", 1<<20), registry.TooLarge, large},
		{"white space over the limit, before the tarball", strings.Repeat(" ", 1<<20) + attach("QUJD"), registry.TooLarge, large},
		{"a provenance over the limit", `{"_attachments":{"a.sigstore":{"data":"` + strings.Repeat("a", 1<<20) + `"}}}`, registry.TooLarge, large},
	} {
		_, _, _, err := read(strings.NewReader(c.in), wide)
		if registry.KindOf(err) != c.kind || registry.MessageOf(err) != c.message {
			t.Errorf("%s: %v, want %q", c.name, err, c.message)
		}
		if c.message == early && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v is not io.ErrUnexpectedEOF", c.name, err)
		}
	}
}

func TestReadBodyLimits(t *testing.T) {
	big := base64.StdEncoding.EncodeToString(make([]byte, 100_000))
	metadata := int64(len(attach(""))) - 2 // the quotes
	for _, c := range []struct {
		name    string
		lim     limits
		message string
	}{
		{"both just enough", limits{100_000, metadata}, ""},
		{"a file one byte too large", limits{99_999, metadata}, "File is too large."},
		{"a file far too large", limits{1, metadata}, "File is too large."},
		{"metadata one byte too large", limits{100_000, metadata - 1}, "The JSON upload is too large without its tarball"},
	} {
		_, _, got, err := read(strings.NewReader(attach(big)), c.lim)
		if registry.MessageOf(err) != c.message || int64(len(got)) > c.lim.File {
			t.Errorf("%s: read %d bytes, %v, want %q", c.name, len(got), err, c.message)
		}
		if c.message != "" && registry.KindOf(err) != registry.TooLarge {
			t.Errorf("%s: %v is not TooLarge", c.name, err)
		}
	}

	many := func(key, member string) string {
		var b strings.Builder
		fmt.Fprintf(&b, `{%q:{`, key)
		for i := range wireKeys + 1 {
			fmt.Fprintf(&b, `"0.0.%d":%s,`, i, member)
		}
		return strings.TrimSuffix(b.String(), ",") + "}}"
	}
	for key, member := range map[string]string{"versions": "{}", "dist-tags": `"1.0.0"`} {
		_, _, _, err := read(strings.NewReader(many(key, member)), limits{1, 10 << 20})
		if registry.KindOf(err) != registry.TooLarge {
			t.Errorf("%d %s: %v, want TooLarge", wireKeys+1, key, err)
		}
	}
}

func TestReadBodyPassesErrorsOn(t *testing.T) {
	reset := errors.New("connection reset by peer")
	over := registry.Errorf(registry.TooLarge, "The request is too large")
	for _, in := range []string{"", `{"name":"p`, `{"_attachments":{"p.tgz":{"data":"QUJD`, "{}"} {
		for _, want := range []error{reset, over} {
			_, _, _, err := read(io.MultiReader(strings.NewReader(in), iotest.ErrReader(want)), wide)
			if !errors.Is(err, want) {
				t.Errorf("after %q: %v, want %v", in, err, want)
			}
		}
	}
	_, _, _, err := read(io.MultiReader(strings.NewReader("{"), iotest.ErrReader(io.ErrUnexpectedEOF)), wide)
	if registry.KindOf(err) != registry.Invalid || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a request that was cut: %v", err)
	}
	if _, _, _, err := read(stuck{}, wide); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
}

// stuck reads nothing, for ever.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestReadBodyStore(t *testing.T) {
	full := registry.Errorf(registry.Full, "No space left")
	rest := iotest.ErrReader(errors.New("read on after store had failed"))
	start := strings.NewReader(strings.TrimSuffix(attach(strings.Repeat("QUJD", wireWindow)), `"}}}`))
	_, err := readBody(io.MultiReader(start, rest), wide, func(string, io.Reader) error { return full })
	if err != full {
		t.Errorf("store failed: %v", err)
	}

	// A store that does not read to the end, or does not mind an error, hides nothing.
	lazy := func(string, io.Reader) error { return nil }
	careless := func(_ string, r io.Reader) error { io.Copy(io.Discard, r); return nil }
	for _, store := range []func(string, io.Reader) error{lazy, careless} {
		long := strings.Repeat("QUJD", wireWindow)
		if b, err := readBody(strings.NewReader(attach(long)), wide, store); err != nil || b.Attachments != 1 {
			t.Errorf("a good body: %v, %v", b, err)
		}
		if _, err := readBody(strings.NewReader(attach(long+"*")), wide, store); err != errBase64 {
			t.Errorf("a bad body: %v", err)
		}
	}

	called := false
	_, err = readBody(strings.NewReader(attach("*")), wide, func(string, io.Reader) error { called = true; return nil })
	if err != errBase64 || called {
		t.Errorf("what is bad from the start reached store (%v), %v", called, err)
	}
}

// upload is a body with a tarball of so many bytes, which takes no memory.
func upload(size int64) io.Reader {
	text := strings.Repeat(base64.StdEncoding.EncodeToString([]byte("abcdefghi/+\xff")), 1<<12)
	return io.MultiReader(
		strings.NewReader(`{"name":"p","versions":{"1.0.0":{"version":"1.0.0"}},"_attachments":{"p-1.0.0.tgz":{"data":"`),
		io.LimitReader(&repeat{text: text}, size/3*4),
		strings.NewReader(`","length":1}}}`))
}

type repeat struct {
	text string
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

func TestReadBodyTakesConstantMemory(t *testing.T) {
	const size = 256 << 20 / 3 * 3
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var stored int64
	_, err := readBody(upload(size), limits{size, 200}, func(_ string, r io.Reader) (err error) {
		stored, err = io.Copy(io.Discard, r)
		return err
	})
	runtime.ReadMemStats(&after)
	if err != nil || stored != size {
		t.Fatalf("stored %d bytes, %v", stored, err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("allocated %d bytes", grown)
	}
}

// BenchmarkReadBody counts the bytes of the tarball.
func BenchmarkReadBody(b *testing.B) {
	const size = 48 << 20
	b.SetBytes(size)
	for b.Loop() {
		_, err := readBody(upload(size), limits{size, 200}, func(_ string, r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadBodyMetadata counts the bytes of a packument as npm deprecate sends it, of 5,000 versions.
func BenchmarkReadBodyMetadata(b *testing.B) {
	var in bytes.Buffer
	in.WriteString(`{"name":"p","versions":{`)
	for i := range 5000 {
		if i > 0 {
			in.WriteByte(',')
		}
		fmt.Fprintf(&in, `"1.0.%d":{"name":"p","version":"1.0.%d","deprecated":"use 2","scripts":{"test":"node --test"},`+
			`"dependencies":{"left-pad":"^1.3.0","@scope/other":"~2.0.0"},"dist":{"shasum":"4a9dbd94ca6093feda03d909f3d7e6bd89d9d4bf"}}`, i, i)
	}
	in.WriteString(`}}`)
	b.SetBytes(int64(in.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := read(bytes.NewReader(in.Bytes()), limits{1, 64 << 20}); err != nil {
			b.Fatal(err)
		}
	}
}

// What readBody accepts is JSON, and says the same to encoding/json, at any size of reads.
func FuzzReadBody(f *testing.F) {
	for _, seed := range []string{
		gitlabSample, gitlabSample[:len(gitlabSample)/2], provenance, deprecation, "{}", "[]", `{"a":[{},[1e5,null]]} `,
		attach("QUJD"), attach(`QUJ\u0044\n\/\u002B+Q==`), attach("QQ"), attach("Q\nQ=="), attach(""),
		`{"name":"\ud83d\udce6","readme":"\u0000","dist-tags":{"a":"1.0.0"}}`,
		`{"versions":{"1.0.0":{"version":"1.0.0","deprecated":null},"1.0.0":{}}}`,
		strings.Repeat(" ", wireWindow-1) + `{"name":"p"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		lim := limits{File: 1 << 20, Metadata: 1 << 20}
		got, key, tarball, err := read(bytes.NewReader(in), lim)
		again, key2, tarball2, err2 := read(iotest.OneByteReader(bytes.NewReader(in)), lim)
		if fmt.Sprint(err) != fmt.Sprint(err2) || cmp.Diff(got, again) != "" || key != key2 || err == nil && tarball != tarball2 {
			t.Fatalf("at once: %v %v, byte by byte: %v %v", got, err, again, err2)
		}
		if err != nil {
			if k := registry.KindOf(err); k != registry.Invalid && k != registry.TooLarge {
				t.Fatalf("kind of %v", err)
			}
			return
		}
		if !json.Valid(in) {
			t.Fatalf("accepted what is not JSON")
		}
		var doc map[string]json.RawMessage
		if err := json.Unmarshal(in, &doc); err != nil {
			t.Fatal(err)
		}
		if name, ok := asString(doc["name"]); ok && name != got.Name {
			t.Fatalf("name %q, want %q", got.Name, name)
		}
		versions := asObject(doc["versions"])
		if (versions != nil) != got.HasVersions {
			t.Fatalf("HasVersions %v of %s", got.HasVersions, doc["versions"])
		}
		for i, v := range got.Versions {
			manifest := asObject(versions[v.Version])
			if manifest == nil || (manifest["deprecated"] != nil) != (v.Deprecated != nil) {
				t.Fatalf("version %q: %s", v.Version, versions[v.Version])
			}
			if i == 0 && !bytes.Equal(v.Manifest, versions[v.Version]) {
				t.Fatalf("kept %q, want %q", v.Manifest, versions[v.Version])
			}
		}
		if got.Attachments == 1 {
			data, _ := asString(asObject(asObject(doc["_attachments"])[key])["data"])
			if want, err := base64.StdEncoding.Strict().DecodeString(data); err != nil || string(want) != tarball {
				t.Fatalf("stored %q, want %q, %v", tarball, want, err)
			}
		}
	})
}

func TestCheckJSON(t *testing.T) {
	for text, want := range map[string]registry.Kind{
		`{"a":["1.0.0"]}`: -1, `{}`: -1, ` [1] `: -1, ``: registry.Invalid, `{`: registry.Invalid, `{}{}`: registry.Invalid, `nope`: registry.Invalid,
		strings.Repeat("[", 100_000): registry.Invalid, `"` + strings.Repeat("x", 300_000) + `"`: registry.TooLarge,
	} {
		err := checkJSON(strings.NewReader(text), 200_000)
		if want < 0 != (err == nil) || err != nil && registry.KindOf(err) != want {
			t.Errorf("%.20q: %v, want kind %d", text, err, want)
		}
	}
}
