package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// pdb is a portable PDB with nothing in it but its id, and what a debugger knows of it.
type pdb struct {
	content             []byte
	signature, checksum string
}

func newPDB() pdb {
	id, rest := []byte(harness.Random()[:20]), []byte(harness.Random())
	root := []byte("BSJB\x01\x00\x01\x00\x00\x00\x00\x00\x0c\x00\x00\x00PDB v1.0\x00\x00\x00\x00\x00\x00\x01\x00")
	const header = 16 // offset, size and name of the one stream
	root = binary.LittleEndian.AppendUint32(root, uint32(len(root)+header))
	root = binary.LittleEndian.AppendUint32(root, 20)
	root = append(root, "#Pdb\x00\x00\x00\x00"...)
	sum := sha256.Sum256(slices.Concat(root, make([]byte, 20), rest))
	// A GUID is displayed with its first three numbers in the other order.
	signature := hex.EncodeToString([]byte{id[3], id[2], id[1], id[0], id[5], id[4], id[7], id[6]}) + hex.EncodeToString(id[8:16]) + "FFFFFFFF"
	return pdb{slices.Concat(root, id, rest), signature, hex.EncodeToString(sum[:])}
}

// newSnupkg makes a package of symbols.
func newSnupkg(id, version string, members ...member) []byte {
	spec := nuspec(id, version, `<packageTypes><packageType name="SymbolsPackage"/></packageTypes>`)
	return zipped(append([]member{{id + ".nuspec", spec}}, members...)...)
}

// Debug symbols are found by signature and checksum, and by nothing less.
func TestNuGetSymbols(t *testing.T) {
	w := newWorld(t)
	g := w.group(harness.Public)
	p := w.project(g, harness.Public)
	id := newID()
	n := w.packed(p, id, "1.0.0")
	one, two := newPDB(), newPDB()
	symbols := p.nuget() + "/symbolpackage"
	w.send(pushed(symbols, newSnupkg(id, "1.0", member{"lib/net8.0/My.App.pdb", string(one.content)}, member{"lib/net472/My.App.pdb", string(two.content)}), w.root())).must(w, 201)
	get := func(prefix, file, signature, checksum string, as credential) *answer {
		c := call{path: prefix + "/symbolfiles/" + file + "/" + signature + "/" + file, as: as, header: map[string]string{}}
		if checksum != "" {
			c.header["Symbolchecksum"] = checksum
		}
		return w.send(c)
	}
	for _, prefix := range []string{p.nuget(), g.nuget()} {
		for _, s := range []pdb{one, two} {
			for _, a := range []*answer{
				get(prefix, "My.App.pdb", s.signature, "SHA256:"+s.checksum, anonymous),
				get(prefix, "my.app.PDB", strings.ToUpper(s.signature), "sha256:"+strings.ToUpper(s.checksum), anonymous),
				get(prefix, "My.App.pdb", s.signature, "SHA256:"+strings.Repeat("0", 64)+";SHA256:"+s.checksum, anonymous),
			} {
				if a.want(w, 200); !bytes.Equal(a.body, s.content) || a.header.Get("Content-Type") != "application/octet-stream" {
					w.Errorf("%s: other bytes", a.call)
				}
			}
		}
		const none = `{"message":"404 Symbol Not Found"}`
		get(prefix, "My.App.pdb", one.signature, "SHA256:"+two.checksum, anonymous).want(w, 404).is(w, none)
		get(prefix, "My.App.pdb", two.signature[:32]+"00000000", "SHA256:"+two.checksum, anonymous).want(w, 404).is(w, none)
		get(prefix, "Other.pdb", one.signature, "SHA256:"+one.checksum, anonymous).want(w, 404).is(w, none)
		get(prefix, "My.App.pdb", one.signature, "", anonymous).want(w, 400).is(w, `{"message":"400 Bad request - Missing checksum header"}`)
		w.send(call{path: prefix + "/symbolfiles/a.pdb/" + one.signature + "/b.pdb", header: map[string]string{"Symbolchecksum": "SHA256:" + one.checksum}}).want(w, 400)
	}
	get(w.open().nuget(), "My.App.pdb", one.signature, "SHA256:"+one.checksum, anonymous).want(w, 404)
	lower := strings.ToLower(id)
	w.send(call{path: p.nuget() + "/download/" + lower + "/1.0.0/" + lower + ".1.0.0.snupkg"}).want(w, 200)
	w.send(call{path: n.at(p.nuget(), "1.0.0")}).want(w, 200) // the package is as it was

	w.sub("pushed again", func(w *world) {
		w.send(pushed(symbols, newSnupkg(id, "1.0.0", member{"a.pdb", string(newPDB().content)}), w.root())).want(w, 409)
		get(p.nuget(), "My.App.pdb", one.signature, "SHA256:"+one.checksum, anonymous).want(w, 200)
	})
	w.sub("of a private project", func(w *world) {
		g := w.group(harness.Private)
		p := w.project(g, harness.Private)
		w.packed(p, id, "1.0.0")
		s := newPDB()
		w.send(pushed(p.nuget()+"/symbolpackage", newSnupkg(id, "1.0.0", member{"a.pdb", string(s.content)}), w.root())).must(w, 201)
		for _, prefix := range []string{p.nuget(), g.nuget()} {
			get(prefix, "a.pdb", s.signature, "SHA256:"+s.checksum, anonymous).want(w, 403).is(w, `{"message":"403 Forbidden"}`)
			get(prefix, "a.pdb", s.signature, "SHA256:"+s.checksum, w.root()).want(w, 200)
			get(prefix, "a.pdb", s.signature, "SHA256:"+s.checksum, private(wrong())).want(w, 401)
		}
		w.set(p.home(), map[string]any{"nuget_symbol_server_enabled": true})
		get(p.nuget(), "a.pdb", s.signature, "SHA256:"+s.checksum, anonymous).want(w, 200)
		get(g.nuget(), "a.pdb", s.signature, "SHA256:"+s.checksum, anonymous).want(w, 403)
		w.set(g.path(), map[string]any{"nuget_symbol_server_enabled": true})
		get(g.nuget(), "a.pdb", s.signature, "SHA256:"+s.checksum, anonymous).want(w, 200)
	})
	w.sub("go with their package", func(w *world) {
		w.send(call{method: "DELETE", path: p.nuget() + "/" + id + "/1.0.0", as: w.root()}).must(w, 204)
		get(p.nuget(), "My.App.pdb", one.signature, "SHA256:"+one.checksum, anonymous).want(w, 404)
		w.packed(p, id, "1.0.0")
		get(p.nuget(), "My.App.pdb", one.signature, "SHA256:"+one.checksum, anonymous).want(w, 404)
	})
	w.sub("or with its file", func(w *world) {
		id := newID()
		w.packed(p, id, "1.0.0")
		s := newPDB()
		w.send(pushed(symbols, newSnupkg(id, "1.0.0", member{"a.pdb", string(s.content)}), w.root())).must(w, 201)
		list := w.ask(anonymous, "GET", fmt.Sprintf("/projects/%d/packages?package_name=%s", p.ID, id)).list(w)
		pkg := list[0]["id"]
		for _, f := range w.ask(w.root(), "GET", fmt.Sprintf("/projects/%d/packages/%v/package_files", p.ID, pkg)).list(w) {
			if strings.HasSuffix(f["file_name"].(string), ".nupkg") {
				w.ask(w.root(), "DELETE", fmt.Sprintf("/projects/%d/packages/%v/package_files/%v", p.ID, pkg, f["id"])).must(w, 204)
			}
		}
		get(p.nuget(), "a.pdb", s.signature, "SHA256:"+s.checksum, anonymous).want(w, 404)
		if got := w.versionsOf(p.nuget(), id, anonymous); got != nil {
			w.Errorf("versions %v", got)
		}
		w.send(call{path: p.nuget() + "/query?q=" + id}).want(w, 200).is(w, `{"totalHits":0,"data":[]}`)
	})
}

// What is refused of symbols, and that nothing of it stays.
func TestNuGetSymbolsRefused(t *testing.T) {
	w := own(t, harness.Config{})
	p := w.open()
	id := newID()
	w.packed(p, id, "1.0.0")
	good := member{"lib/a.pdb", string(newPDB().content)}
	many := make([]member, 101)
	for i := range many {
		many[i] = member{fmt.Sprintf("lib/%d.pdb", i), good.content}
	}
	before := blobs(w, w.server)
	for _, row := range []struct {
		what    string
		content []byte
		status  int
		says    string
	}{
		{"no zip", []byte("hello"), 400, "nuspec file not found"},
		{"a package that is none of symbols", newNupkg(id, "1.0.0", "").content, 400, "SymbolsPackage"},
		{"no PDB", newSnupkg(id, "1.0.0", member{"lib/a.dll", "x"}), 400, "no portable PDB"},
		{"a PDB that is none", newSnupkg(id, "1.0.0", member{"lib/a.pdb", "hello"}), 400, "is no PDB"},
		{"a PDB that ends early", newSnupkg(id, "1.0.0", member{"lib/a.pdb", good.content[:60]}), 400, "is no PDB"},
		{"one good and one bad", newSnupkg(id, "1.0.0", good, member{"lib/b.pdb", "hello"}), 400, "is no PDB"},
		{"101 PDBs", newSnupkg(id, "1.0.0", many...), 400, "more than 100"},
		{"no such version", newSnupkg(id, "2.0.0", good), 404, "404 Package Not Found"},
		{"no such id", newSnupkg(newID(), "1.0.0", good), 404, "404 Package Not Found"},
	} {
		w.sub(row.what, func(w *world) {
			a := w.send(pushed(p.nuget()+"/symbolpackage", row.content, w.root())).want(w, row.status)
			if !strings.Contains(string(a.body), row.says) {
				w.Errorf("%s\nwant it to say %s", a.body, row.says)
			}
		})
	}
	w.nothingLeft(before)
	w.send(call{path: p.nuget() + "/symbolpackage", method: "PUT", as: w.root(), body: "x"}).want(w, http.StatusBadRequest).is(w, `{"error":"package is missing"}`)
}
