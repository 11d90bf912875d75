package contract

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packhouse/test/harness"
)

const (
	badName    = "Validation failed: Name should be a valid NPM package name: "
	badVersion = "Validation failed: Version should follow SemVer: https://semver.org"
	exists     = "Package already exists."
	noData     = "Attachment data is empty."
	badJSON    = "Invalid json"
)

// edited is a package's document with a change.
func edited(k pack, edit func(document, manifest map[string]any)) map[string]any {
	text, _ := json.Marshal(k.document())
	var document map[string]any
	json.Unmarshal(text, &document) // so that every object is a map[string]any
	manifest, _ := at(document, "versions", k.version).(map[string]any)
	edit(document, manifest)
	return document
}

func attachment(document map[string]any) map[string]any {
	all, _ := document["_attachments"].(map[string]any)
	for _, one := range all {
		object, _ := one.(map[string]any)
		return object
	}
	return nil
}

// Every upload that must not succeed: it is answered in npm's form, nothing
// of it is visible or on the disk, and the package can be published rightly
// right after. The tests of one server take turns, so that the disk can be
// looked at.
func TestRefusedPublishes(t *testing.T) {
	w := own(t, harness.Config{Args: []string{"--max-file-size", "2MiB", "--max-metadata-size", "64KiB"}})
	home := w.group(harness.Public)
	p := w.project(home, harness.Public)
	other := w.project(home, harness.Private)
	const developer = harness.Developer
	as := w.member(p, developer).as()

	text := func(document any) []byte {
		out, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	object := func(k pack, edit func(document, manifest map[string]any)) []byte { return text(edited(k, edit)) }
	with := func(k pack, tarball []byte) []byte { return text(k.documentOf(tarball)) }
	inside := func(k pack, packageJSON map[string]any) []byte {
		k.inside = packageJSON
		return text(k.document())
	}
	raw := func(k pack, replace ...string) []byte {
		return []byte(strings.NewReplacer(replace...).Replace(string(text(k.document()))))
	}
	big := func(n int) string { return strings.Repeat("x", n) }

	for _, row := range []struct {
		what    string
		body    func(pack) []byte
		header  map[string]string
		status  int
		message string // that the answer begins with; any when empty
	}{
		// The document.
		{what: "no body", body: func(k pack) []byte { return nil }, status: 400, message: "file is missing"},
		{what: "an empty body", body: func(k pack) []byte { return []byte{} }, status: 400, message: "file is missing"},
		{what: "no JSON", body: func(k pack) []byte { return []byte("hello") }, status: 400, message: badJSON},
		{what: "half of the JSON", body: func(k pack) []byte { b := text(k.document()); return b[:len(b)/2] }, status: 400, message: badJSON},
		{what: "all of the JSON but the last brace", body: func(k pack) []byte { b := text(k.document()); return b[:len(b)-1] }, status: 400, message: badJSON},
		{what: "something after the JSON", body: func(k pack) []byte { return append(text(k.document()), "{}"...) }, status: 400, message: badJSON},
		{what: "a list", body: func(k pack) []byte { return []byte("[]") }, status: 400},
		{what: "a number", body: func(k pack) []byte { return []byte("1") }, status: 400},
		{what: "null", body: func(k pack) []byte { return []byte("null") }, status: 400},
		{what: "an empty object", body: func(k pack) []byte { return []byte("{}") }, status: 400, message: "Versions key is missing from the JSON upload"},
		{what: "bytes that are no UTF-8", body: func(k pack) []byte { return raw(k, `"access"`, "\"acc\xffess\"", `"_id"`, "\"\xff\xfe\"") }, status: 400},
		{what: "a comma too many", body: func(k pack) []byte { return raw(k, `"access":null`, `"access":null,`) }, status: 400, message: badJSON},
		{what: "a hundred thousand open brackets", body: func(k pack) []byte {
			return raw(k, `"access":null`, `"access":`+strings.Repeat("[", 50_000)+strings.Repeat("]", 50_000))
		}, status: 400},
		{what: "versions twice", body: func(k pack) []byte { return raw(k, `"access":null`, `"versions":{"9.9.9":{}}`) }, status: 400},
		{what: "attachments twice", body: func(k pack) []byte { return raw(k, `"access":null`, `"_attachments":{}`) }, status: 400},
		{what: "the manifest's name twice", body: func(k pack) []byte { return raw(k, `"version":"1.0.0"`, `"version":"1.0.0","version":"2.0.0"`) }, status: 400},

		// What it says of versions.
		{what: "no versions", body: func(k pack) []byte { return object(k, func(d, _ map[string]any) { delete(d, "versions") }) }, status: 400, message: "Versions key is missing from the JSON upload"},
		{what: "versions without one", body: func(k pack) []byte { return object(k, func(d, _ map[string]any) { d["versions"] = map[string]any{} }) }, status: 400, message: "Version is empty."},
		{what: "neither version nor attachment", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["versions"] = map[string]any{}; delete(d, "_attachments") })
		}, status: 400, message: "Version is empty."},
		{what: "versions that are a text", body: func(k pack) []byte { return object(k, func(d, _ map[string]any) { d["versions"] = "1.0.0" }) }, status: 400},
		{what: "two versions", body: func(k pack) []byte {
			return object(k, func(d, m map[string]any) {
				second := maps.Clone(m)
				second["version"] = "1.0.1"
				d["versions"] = map[string]any{"1.0.0": m, "1.0.1": second}
			})
		}, status: 400},
		{what: "a manifest that is null", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["versions"] = map[string]any{"1.0.0": nil} })
		}, status: 400},
		{what: "a manifest that is a list", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["versions"] = map[string]any{"1.0.0": []any{}} })
		}, status: 400},
		{what: "a manifest of another version than its key", body: func(k pack) []byte { return object(k, func(_, m map[string]any) { m["version"] = "1.0.1" }) }, status: 400},
		{what: "a manifest without a version", body: func(k pack) []byte { return object(k, func(_, m map[string]any) { delete(m, "version") }) }, status: 400},
		{what: "a manifest without a name", body: func(k pack) []byte { return object(k, func(_, m map[string]any) { delete(m, "name") }) }, status: 400},
		{what: "a manifest of another name", body: func(k pack) []byte { return object(k, func(_, m map[string]any) { m["name"] = "other" }) }, status: 400},
		{what: "a document of another name", body: func(k pack) []byte { return object(k, func(d, _ map[string]any) { d["name"] = "other" }) }, status: 400},

		// Tags.
		{what: "a dist-tag that is a number", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["dist-tags"] = map[string]any{"latest": 1} })
		}, status: 400},
		{what: "a dist-tag that is null", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["dist-tags"] = map[string]any{"latest": nil} })
		}, status: 400},
		{what: "a dist-tag that is a list", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["dist-tags"] = map[string]any{"latest": []any{"1.0.0"}} })
		}, status: 400},
		{what: "a dist-tag of another version", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["dist-tags"] = map[string]any{"latest": "2.0.0"} })
		}, status: 400},
		{what: "a dist-tag without a name", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["dist-tags"] = map[string]any{"": "1.0.0"} })
		}, status: 400},
		{what: "a dist-tag that is a version", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["dist-tags"] = map[string]any{"1.0.0": "1.0.0"} })
		}, status: 400},
		{what: "a dist-tag of 256 characters", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["dist-tags"] = map[string]any{big(256): "1.0.0"} })
		}, status: 400},

		// The attachment.
		{what: "no attachments", body: func(k pack) []byte { return object(k, func(d, _ map[string]any) { delete(d, "_attachments") }) }, status: 400, message: noData},
		{what: "no attachments, from npm publish", body: func(k pack) []byte { return object(k, func(d, _ map[string]any) { delete(d, "_attachments") }) }, header: map[string]string{"npm-command": "publish"}, status: 400, message: noData},
		{what: "attachments without one", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["_attachments"] = map[string]any{} })
		}, status: 400, message: noData},
		{what: "an attachment that is no tarball", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["_attachments"] = map[string]any{"x.sigstore": attachment(d)} })
		}, status: 400, message: noData},
		{what: "an attachment without data", body: func(k pack) []byte { return object(k, func(d, _ map[string]any) { delete(attachment(d), "data") }) }, status: 400, message: noData},
		{what: "an attachment with empty data", body: func(k pack) []byte { return object(k, func(d, _ map[string]any) { attachment(d)["data"] = "" }) }, status: 400, message: noData},
		{what: "an attachment with data that is a number", body: func(k pack) []byte { return object(k, func(d, _ map[string]any) { attachment(d)["data"] = 1 }) }, status: 400},
		{what: "an attachment that is null", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["_attachments"] = map[string]any{k.name + "-1.0.0.tgz": nil} })
		}, status: 400, message: noData},
		{what: "two tarballs", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { d["_attachments"].(map[string]any)["other.tgz"] = attachment(d) })
		}, status: 400},
		{what: "base64 with a character that is none", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { a := attachment(d); a["data"] = "!" + a["data"].(string)[1:] })
		}, status: 400},
		{what: "base64 of the URL alphabet", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { a := attachment(d); a["data"] = "-_-_" + a["data"].(string) })
		}, status: 400},
		{what: "base64 that is cut", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) {
				a := attachment(d)
				a["data"] = strings.TrimRight(a["data"].(string), "=")[:41]
			})
		}, status: 400},
		{what: "base64 with padding in the middle", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { a := attachment(d); a["data"] = "AA==" + a["data"].(string) })
		}, status: 400},
		{what: "base64 followed by more", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) { a := attachment(d); a["data"] = a["data"].(string) + "====" })
		}, status: 400},

		// Digests.
		{what: "a wrong shasum", body: func(k pack) []byte {
			return object(k, func(_, m map[string]any) { m["dist"].(map[string]any)["shasum"] = shasum(nil) })
		}, status: 400},
		{what: "a shasum that is none", body: func(k pack) []byte {
			return object(k, func(_, m map[string]any) { m["dist"].(map[string]any)["shasum"] = "x" })
		}, status: 400},
		{what: "a wrong integrity", body: func(k pack) []byte {
			return object(k, func(_, m map[string]any) { m["dist"].(map[string]any)["integrity"] = integrity(nil) })
		}, status: 400},
		{what: "an integrity that is none", body: func(k pack) []byte {
			return object(k, func(_, m map[string]any) { m["dist"].(map[string]any)["integrity"] = "sha512-%%%" })
		}, status: 400},
		{what: "an integrity of which the second one is wrong", body: func(k pack) []byte {
			return object(k, func(_, m map[string]any) {
				d := m["dist"].(map[string]any)
				d["integrity"] = d["integrity"].(string) + " " + integrity(nil)
			})
		}, status: 400},
		{what: "a wrong shasum and no integrity", body: func(k pack) []byte {
			return object(k, func(_, m map[string]any) { m["dist"] = map[string]any{"shasum": shasum(nil)} })
		}, status: 400},

		// The tarball.
		{what: "a tarball that is text", body: func(k pack) []byte { return with(k, []byte("hello")) }, status: 400},
		{what: "a tarball of one byte", body: func(k pack) []byte { return with(k, []byte{0x1f}) }, status: 400},
		{what: "a tar that is not compressed", body: func(k pack) []byte { return with(k, archive(k.entries()...)) }, status: 400},
		{what: "gzip of what is no tar", body: func(k pack) []byte { return with(k, zip([]byte(big(5000)))) }, status: 400},
		{what: "gzip of nothing", body: func(k pack) []byte { return with(k, zip(nil)) }, status: 400},
		{what: "an empty tar", body: func(k pack) []byte { return with(k, zip(archive())) }, status: 400, message: "package.json not found"},
		{what: "gzip that is cut", body: func(k pack) []byte { b := k.tarball(); return with(k, b[:len(b)/2]) }, status: 400},
		{what: "gzip without its checksum", body: func(k pack) []byte { b := k.tarball(); return with(k, b[:len(b)-8]) }, status: 400},
		{what: "gzip with a wrong checksum", body: func(k pack) []byte { b := k.tarball(); b[len(b)-6] ^= 1; return with(k, b) }, status: 400},
		{what: "a tar that is cut within a file", body: func(k pack) []byte {
			k.files = map[string]string{"long": big(5000)}
			b := archive(k.entries()...)
			return with(k, zip(b[:len(b)-3000]))
		}, status: 400},
		{what: "a zip archive", body: func(k pack) []byte { return with(k, []byte("PK\x05\x06"+strings.Repeat("\x00", 18))) }, status: 400},
		{what: "a tarball without package.json", body: func(k pack) []byte { return with(k, zip(archive(entry{"package/index.js", "x"}))) }, status: 400, message: "package.json not found"},
		{what: "a package.json only in a folder", body: func(k pack) []byte {
			return with(k, zip(archive(entry{"package/sub/package.json", string(text(k.manifest()))})))
		}, status: 400, message: "package.json not found"},
		{what: "a package.json that is no JSON", body: func(k pack) []byte { return with(k, zip(archive(entry{"package/package.json", "{"}))) }, status: 400},
		{what: "a package.json that is a list", body: func(k pack) []byte { return with(k, zip(archive(entry{"package/package.json", "[]"}))) }, status: 400},
		{what: "a package.json that is empty", body: func(k pack) []byte { return with(k, zip(archive(entry{"package/package.json", ""}))) }, status: 400},
		{what: "a package.json over 4 MiB", body: func(k pack) []byte {
			return inside(k, map[string]any{"name": k.name, "version": k.version, "x": strings.Repeat("x", 4<<20)})
		}, status: 400, message: "package.json file too large"},
		{what: "a package.json of another name", body: func(k pack) []byte { return inside(k, map[string]any{"name": "other", "version": k.version}) }, status: 400},
		{what: "a package.json of another version", body: func(k pack) []byte { return inside(k, map[string]any{"name": k.name, "version": "1.0.1"}) }, status: 400},
		{what: "a package.json without a name", body: func(k pack) []byte { return inside(k, map[string]any{"version": k.version}) }, status: 400},
		{what: "a package.json whose version is a number", body: func(k pack) []byte { return inside(k, map[string]any{"name": k.name, "version": 1}) }, status: 400},
		{what: "a last package.json that disagrees with the first", body: func(k pack) []byte {
			return with(k, zip(archive(entry{"package/package.json", string(text(k.manifest()))}, entry{"package/package.json", `{"name":"other","version":"1.0.0"}`})))
		}, status: 400},
		{what: "an install script that the manifest leaves out", body: func(k pack) []byte {
			k.inside = map[string]any{"name": k.name, "version": k.version, "scripts": map[string]string{"postinstall": "node steal.js"}}
			k.fields = map[string]any{"scripts": map[string]string{"test": "true"}}
			return text(k.document())
		}, status: 400},
		{what: "an install script behind empty scripts", body: func(k pack) []byte {
			k.inside = map[string]any{"name": k.name, "version": k.version, "scripts": map[string]string{"install": "node steal.js"}}
			k.fields = map[string]any{"scripts": map[string]string{}}
			return text(k.document())
		}, status: 400},
		{what: "an install script that is another", body: func(k pack) []byte {
			k.inside = map[string]any{"name": k.name, "version": k.version, "scripts": map[string]string{"preinstall": "node steal.js"}}
			k.fields = map[string]any{"scripts": map[string]string{"preinstall": "true"}}
			return text(k.document())
		}, status: 400},
		{what: "a dependency that the manifest hides", body: func(k pack) []byte {
			k.inside = map[string]any{"name": k.name, "version": k.version, "dependencies": map[string]string{"evil": "1"}}
			k.fields = map[string]any{"dependencies": map[string]string{"good": "1"}}
			return text(k.document())
		}, status: 400},
		{what: "a file that leads out of the package", body: func(k pack) []byte {
			return with(k, zip(archive(append(k.entries(), entry{"package/../../evil", "x"})...)))
		}, status: 400},
		{what: "a file with an absolute path", body: func(k pack) []byte {
			return with(k, zip(archive(append(k.entries(), entry{"/etc/evil", "x"})...)))
		}, status: 400},

		// Limits: 2 MiB of file, 64 KiB of everything else.
		{what: "a file over the limit", body: func(k pack) []byte { return with(k, exactly(k, 2<<20+1)) }, status: 413},
		{what: "a file one byte over the limit with its length told small", body: func(k pack) []byte {
			document := k.documentOf(exactly(k, 2<<20+1))
			document["_attachments"].(map[string]any)[k.name+"-1.0.0.tgz"].(map[string]any)["length"] = 3
			return text(document)
		}, status: 413},
		{what: "a file far over the limit", body: func(k pack) []byte { return with(k, noise(12<<20)) }, status: 413},
		{what: "a manifest over the limit", body: func(k pack) []byte { return object(k, func(_, m map[string]any) { m["description"] = big(65 << 10) }) }, status: 413},
		{what: "a readme over the limit", body: func(k pack) []byte { return object(k, func(d, _ map[string]any) { d["readme"] = big(65 << 10) }) }, status: 413},
		{what: "another attachment over the limit", body: func(k pack) []byte {
			return object(k, func(d, _ map[string]any) {
				d["_attachments"].(map[string]any)["x.sigstore"] = map[string]any{"data": big(65 << 10)}
			})
		}, status: 413},
		{what: "white space over the limit", body: func(k pack) []byte { return append(text(k.document()), strings.Repeat(" ", 65<<10)...) }, status: 413},
		{what: "a tarball that unpacks to more than four times the limit", body: func(k pack) []byte {
			return with(k, zip(archive(append(k.entries(), entry{"package/zeros", strings.Repeat("\x00", 9<<20)})...)))
		}, status: 413},
		{what: "a tarball with eighty million bytes behind its end", body: func(k pack) []byte {
			return with(k, append(k.tarball(), bomb("\x00", 80)...))
		}, status: 413},
	} {
		w.sub("refused: "+row.what, func(w *world) {
			k := newPack()
			before := blobs(w, w.server)
			a := w.send(call{method: "PUT", path: p.prefix() + "/" + k.name, as: as, header: row.header, body: row.body(k)})
			a.refused(w, row.status, row.message)
			w.nothingLeft(before)
			w.thenRightly(p, as, k)
		})
	}

	for what, version := range map[string]string{
		"one number": "1", "two numbers": "1.2", "a slash": "1./2.3", "a path that leads out": "../../../../../1.2.3", "an escaped path": "%2e%2e%2f1.2.3", "nothing": "",
		"a leading v": "v1.2.3", "leading zeros": "01.2.3", "four numbers": "1.2.3.4", "a space": "1.2.3 ", "an empty prerelease": "1.2.3-", "a letter": "1.2.x", "a word": "latest",
		"zeros in a prerelease": "1.2.3-01", "a line break": "1.2.3\n", "a NUL": "1.2.3\x00", "300 characters": "1.2.3-" + big(300),
	} {
		w.sub("refused: a version with "+what, func(w *world) {
			k := newPack()
			before := blobs(w, w.server)
			w.publishing(p, as, k.at(version).document(), k.name).refused(w, 400, "Validation failed: Version")
			w.nothingLeft(before)
			w.thenRightly(p, as, k)
		})
	}
	for what, name := range map[string]string{
		"two scopes": "@inv@lid_scope/package", "two slashes": "@scope/sub/group", "a path that leads out": "@scope/../../package", "dots": "@scope..", "only dots": "..",
		"a leading dot": ".hidden", "a leading underscore": "_private", "a leading dot after the scope": "@scope/.hidden", "a space": "a b", "a space before": " a",
		"the name of a folder": "node_modules", "the name of an icon": "favicon.ico", "an exclamation mark": "a!b", "a tilde": "~a", "a star": "a*", "brackets": "a(b)",
		"a backslash": `a\b`, "an empty scope": "@/a", "an empty name": "@scope/", "another script": "pαck", "215 characters": big(215), "a NUL": "a\x00b", "a line break": "a\nb",
		"a hash": "a#b", "a percent sign": "a%b", "a question mark": "a?b", "a scope that ends in .git": "@scope.git/a", "a colon": "a:b", "no scope before the slash": "a/b",
	} {
		w.sub("refused: a name with "+what, func(w *world) {
			right := newPack()
			before := blobs(w, w.server)
			// As the URL says it and in the body only, which are two ways in.
			k := right
			k.name = name
			path := strings.NewReplacer("%", "%25", "/", "%2f", "#", "%23", "?", "%3f", "\\", "%5c", " ", "%20", "\x00", "%00", "\n", "%0a", "α", "%ce%b1").Replace(name)
			if name == ".." {
				path = "%2e%2e" // as it is it would be a path, not a name
			}
			a := w.send(call{method: "PUT", path: p.prefix() + "/" + path, as: as, body: k.document()})
			a.want(w, 400)
			if said := a.says("error"); !strings.HasPrefix(said, badName) && said != "package_name should be a valid file path" {
				w.Errorf("%s: %s", a.call, a.body)
			}
			w.publishing(p, as, k.document(), right.name).refused(w, 400, "Validation failed: ")
			w.nothingLeft(before)
			w.thenRightly(p, as, right)
		})
	}
	for what, path := range map[string]string{
		"dot segments":                   "/@scope/../../package",
		"a dot segment":                  "/./package",
		"dots without a slash":           "/@scope%2e%2e%2fpackage",
		"escaped dot segments":           "/@scope/%2e%2e/%2e%2e/package",
		"escaped slashes and dots":       "/@scope%2f..%2f..%2fpackage",
		"dots that lead to another":      "/x/..%2fpackage",
		"a file's path":                  "/package/-/package-1.0.0.tgz",
		"a semicolon and more":           "/package;x=1/../y",
		"a double escape":                "/@scope%252fpackage",
		"dots that lead out of projects": "/..%2f..%2f..%2f1%2fpackages%2fnpm%2fpackage",
	} {
		w.sub("refused: a path with "+what, func(w *world) {
			right := newPack()
			before := blobs(w, w.server)
			k := right
			k.name = "@scope/package"
			a := w.send(call{method: "PUT", path: p.prefix() + path, as: as, body: k.document()})
			if a.status != 400 && a.status != 404 && a.status != 405 {
				w.Errorf("%s: %d %s", a.call, a.status, a.body)
			}
			w.nothingLeft(before)
			w.thenRightly(p, as, right)
		})
	}

	w.sub("refused: a version that exists", func(w *world) {
		k := newPack()
		sent := w.publish(p, as, k)
		for what, document := range map[string]any{"the same bytes": k.document(), "other bytes": k.unique().document()} {
			before := blobs(w, w.server)
			w.publishing(p, as, document, k.name).refused(w, http.StatusForbidden, exists).is(w, `{"message":"Package already exists.","error":"Package already exists."}`)
			w.nothingLeft(before)
			if got := w.download(p.prefix(), k.name, "1.0.0", as); !bytes.Equal(got, sent) {
				w.Errorf("%s: the first publish is not what it was", what)
			}
		}
		w.thenRightly(p, as, k.at("1.0.1"))
	})
	w.sub("refused: a version that another project of the scope's group has", func(w *world) {
		k := named("@" + home.Path + "/convention")
		w.publish(other, w.root(), k)
		before := blobs(w, w.server)
		w.publishing(p, as, k.document(), k.name).refused(w, 400, "Validation failed: Package already exists")
		w.publishing(p, as, k.unique().document(), k.name).refused(w, 400, "Validation failed: Package already exists")
		w.nothingLeft(before)
		w.thenRightly(p, as, k.at("1.0.1"))
		// A name off the convention may repeat.
		off := named("@elsewhere/convention")
		w.publish(other, w.root(), off)
		w.publish(p, as, off)
	})
	w.sub("refused: who may not", func(w *world) {
		k := newPack()
		before := blobs(w, w.server)
		large := text(k.documentOf(noise(12 << 20)))
		for _, row := range []struct {
			as     credential
			status int
		}{
			{anonymous, 401}, {bearer(wrong()), 401}, {w.member(p, harness.Reporter).as(), 403}, {w.user().as(), 403},
		} {
			w.publishing(p, row.as, k.document(), k.name).want(w, row.status)
			// Also when there is more to send than fits into any buffer: the answer is seen, not a broken pipe.
			w.publishing(p, row.as, large, k.name).want(w, row.status)
		}
		w.nothingLeft(before)
		w.thenRightly(p, as, k)
	})
	w.sub("refused: at the group's and the instance's prefix", func(w *world) {
		k := named("@" + home.Path + "/elsewhere")
		before := blobs(w, w.server)
		for _, prefix := range []string{home.prefix(), instance} {
			if a := w.send(call{method: "PUT", path: prefix + "/" + escaped(k.name), as: w.root(), body: k.document()}); a.status != 404 && a.status != 405 {
				w.Errorf("%s: %d", a.call, a.status)
			}
		}
		w.nothingLeft(before)
		w.thenRightly(p, as, k)
	})

	// A client that hangs up, after so much of the request.
	for _, row := range []struct {
		after string
		cut   func(request []byte, tarball []byte) int
	}{
		{"the headers", func(request, _ []byte) int { return bytes.Index(request, []byte("\r\n\r\n")) + 4 }},
		{"a few bytes", func(request, _ []byte) int { return bytes.Index(request, []byte("\r\n\r\n")) + 14 }},
		{"half of the tarball", func(request, tarball []byte) int {
			return bytes.Index(request, []byte(base64.StdEncoding.EncodeToString(tarball)[:60])) + len(tarball)*2/3
		}},
		{"all but the last byte", func(request, _ []byte) int { return len(request) - 1 }},
	} {
		for _, chunked := range []bool{false, true} {
			w.sub(fmt.Sprintf("refused: a client that hangs up after %s, chunked: %v", row.after, chunked), func(w *world) {
				k := newPack()
				k.files["large"] = string(noise(400 << 10))
				before := blobs(w, w.server)
				tarball := k.tarball()
				id := harness.Random()
				request, err := w.request(call{method: "PUT", path: p.prefix() + "/" + k.name, as: as, body: text(k.documentOf(tarball)), header: map[string]string{"X-Request-Id": id}})
				if err != nil {
					w.Fatal(err)
				}
				if chunked {
					request.ContentLength = -1
				}
				var wire bytes.Buffer
				if err := request.Write(&wire); err != nil {
					w.Fatal(err)
				}
				conn, err := net.Dial("tcp", strings.TrimPrefix(w.server.URL, "http://"))
				if err != nil {
					w.Fatal(err)
				}
				conn.Write(wire.Bytes()[:row.cut(wire.Bytes(), tarball)])
				conn.Close()
				eventually(w, "the server notes that the client is gone", func() bool { return strings.Contains(w.server.Log(), id) })
				w.nothingLeft(before)
				w.thenRightly(p, as, k)
			})
		}
	}
	w.sub("refused: a body that ends before its length, and the client listens", func(w *world) {
		k := newPack()
		before := blobs(w, w.server)
		request, err := w.request(call{method: "PUT", path: p.prefix() + "/" + k.name, as: as, body: text(k.document())})
		if err != nil {
			w.Fatal(err)
		}
		var wire bytes.Buffer
		request.Write(&wire)
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.server.URL, "http://"))
		if err != nil {
			w.Fatal(err)
		}
		defer conn.Close()
		conn.Write(wire.Bytes()[:wire.Len()-100])
		conn.(*net.TCPConn).CloseWrite()
		response, err := http.ReadResponse(bufio.NewReader(conn), request)
		if err != nil {
			w.Fatalf("no answer: %v", err)
		}
		response.Body.Close()
		if response.StatusCode != 400 {
			w.Errorf("%s, want 400", response.Status)
		}
		w.nothingLeft(before)
		w.thenRightly(p, as, k)
	})

	w.sub("of 50 who publish one version at once exactly one succeeds", func(w *world) {
		k := newPack()
		before := blobs(w, w.server)
		tarballs := make([][]byte, 50)
		answers := w.race(50, func(i int) call {
			mine := k.unique()
			tarballs[i] = mine.tarball()
			return call{method: "PUT", path: p.prefix() + "/" + k.name, as: as, body: text(mine.document())}
		})
		winner := -1
		for i, a := range answers {
			switch {
			case a.status == http.StatusOK && winner < 0:
				winner = i
			case a.status == http.StatusOK:
				w.Errorf("%d and %d succeeded", winner, i)
			default:
				a.refused(w, http.StatusForbidden, exists)
			}
		}
		if winner < 0 {
			w.Fatal("nobody succeeded")
		}
		if got := w.download(p.prefix(), k.name, "1.0.0", as); !bytes.Equal(got, tarballs[winner]) {
			w.Error("the tarball is not that of who succeeded")
		}
		if after := blobs(w, w.server); len(after) != len(before)+1 {
			w.Errorf("%d files before, %d after", len(before), len(after))
		}
	})
	w.sub("all of 20 who publish different versions at once succeed", func(w *world) {
		k := newPack()
		for _, a := range w.race(20, func(i int) call {
			mine := k.at(fmt.Sprintf("1.0.%d", i))
			return call{method: "PUT", path: p.prefix() + "/" + k.name, as: as, body: text(mine.document())}
		}) {
			a.want(w, 200)
		}
		document := w.packument(p.prefix(), k.name, as)
		if got := len(keys(document["versions"])); got != 20 {
			w.Errorf("%d versions", got)
		}
	})
	w.sub("of two projects that publish one name of their group at once one succeeds", func(w *world) {
		k := named("@" + home.Path + "/raced")
		before := blobs(w, w.server)
		succeeded := 0
		for _, a := range w.race(10, func(i int) call {
			to := []project{p, other}[i%2]
			return call{method: "PUT", path: to.prefix() + "/" + escaped(k.name), as: w.root(), body: text(k.unique().document())}
		}) {
			switch a.status {
			case 200:
				succeeded++
			case 403:
				a.refused(w, 403, exists)
			default:
				a.refused(w, 400, "Validation failed: Package already exists")
			}
		}
		if succeeded != 1 {
			w.Errorf("%d succeeded", succeeded)
		}
		if after := blobs(w, w.server); len(after) != len(before)+1 {
			w.Errorf("%d files before, %d after", len(before), len(after))
		}
	})

	// Right to the limit, and no further.
	for what, size := range map[string]int{"one byte below the limit": 2<<20 - 1, "at the limit": 1 << 20, "two bytes below the limit": 2<<20 - 2} {
		w.sub("accepted: a file "+what, func(w *world) { // base64 with one, two and no padding
			k := newPack()
			tarball := exactly(k, size)
			w.publishing(p, as, k.documentOf(tarball), k.name).must(w, 200)
			if got := w.download(p.prefix(), k.name, "1.0.0", as); !bytes.Equal(got, tarball) {
				w.Error("other bytes")
			}
		})
	}
}

// race sends n requests at the same moment.
func (w *world) race(n int, of func(int) call) []*answer {
	answers := make([]*answer, n)
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			c := of(i)
			ready.Done()
			<-begin
			a, err := w.try(c)
			if err != nil {
				w.Error(err)
				a = &answer{call: "failed"}
			}
			answers[i] = a
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
	return answers
}

// nothingLeft checks that the blob folder, staging included, is as it was.
func (w *world) nothingLeft(before map[string]int64) {
	w.Helper()
	// The staging file goes with the request, which may end after its answer.
	eventually(w, "the blob folder is as it was", func() bool { return cmp.Equal(before, blobs(w, w.server)) })
}

// thenRightly publishes the package, after what was refused, and reads it.
func (w *world) thenRightly(to project, as credential, k pack) {
	w.Helper()
	if got := w.versions(to.prefix(), k.name, as); len(got) > 0 && k.version == "1.0.0" {
		w.Errorf("what was refused is visible: %v", got)
	}
	sent := w.publish(to, as, k)
	if got := w.download(to.prefix(), k.name, k.version, as); !bytes.Equal(got, sent) {
		w.Error("another tarball")
	}
}
