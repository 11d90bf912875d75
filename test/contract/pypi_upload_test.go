package contract

import (
	"archive/tar"
	stdzip "archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/blake2b"

	"packhouse/test/harness"
)

// member is a file of a wheel or sdist.
type member struct{ path, content string }

func zipped(members ...member) []byte {
	var b bytes.Buffer
	archive := stdzip.NewWriter(&b)
	for _, m := range members {
		// In memory, where nothing fails.
		file, _ := archive.Create(m.path)
		io.WriteString(file, m.content)
	}
	archive.Close()
	return b.Bytes()
}

func tarred(members ...tar.Header) []byte {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	archive := tar.NewWriter(zip)
	for _, m := range members {
		text := m.PAXRecords["content"]
		m.PAXRecords, m.Mode, m.Size = nil, 0o644, int64(len(text))
		archive.WriteHeader(&m)
		io.WriteString(archive, text)
	}
	archive.Close()
	zip.Close()
	return b.Bytes()
}

func file(path, content string) tar.Header {
	return tar.Header{Name: path, Typeflag: tar.TypeReg, PAXRecords: map[string]string{"content": content}}
}

func coreMetadata(name, version string, more ...string) string {
	return "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n" + strings.Join(more, "") + "\n"
}

// newWheel makes a wheel with one module and no two with the same bytes. name is normalized.
func newWheel(name, version string, metadata ...string) distribution {
	stem := strings.ReplaceAll(name, "-", "_") + "-" + version
	return distribution{name: name, version: version, file: stem + "-py3-none-any.whl", content: zipped(
		member{"module.py", harness.Random()},
		member{stem + ".dist-info/METADATA", coreMetadata(name, version, metadata...)},
		member{stem + ".dist-info/WHEEL", "Wheel-Version: 1.0\n"},
	)}
}

func (d distribution) at(prefix string) string { return prefix + "/files/" + d.sha256() + "/" + d.file }

// send uploads as root.
func (w *world) push(p project, d distribution, fields map[string]string) *answer {
	w.Helper()
	return w.send(d.upload(p.pypi(), w.root(), fields))
}

// pageOf is the JSON page of a name, and its files by name.
func (w *world) pageOf(prefix, name string, as credential) (page map[string]any, files map[string]map[string]any) {
	w.Helper()
	page = w.send(call{path: prefix + "/simple/" + name + "/", as: as, header: map[string]string{"Accept": "application/vnd.pypi.simple.v1+json"}}).must(w, 200).object(w)
	files = map[string]map[string]any{}
	for _, one := range page["files"].([]any) {
		f := one.(map[string]any)
		files[f["filename"].(string)] = f
	}
	return page, files
}

// What is taken, and how it is read afterwards: by URL, digest and name.
func TestPyPIUploads(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	local := func(name, version, file string, content []byte) distribution {
		return distribution{name: name, version: version, file: file, content: content}
	}
	dist := newName()
	under := strings.ReplaceAll(dist, "-", "_")
	info := func(version string) string { return coreMetadata(dist, version) }
	wheelOf := func(version, metadata string) []byte {
		return zipped(member{under + "-" + version + ".dist-info/METADATA", metadata}, member{under + "-" + version + ".dist-info/WHEEL", harness.Random()})
	}
	for _, row := range []struct {
		what    string
		d       distribution
		fields  map[string]string
		version string // that is shown
	}{
		{"an sdist", newSdist(dist, "1.0"), nil, "1.0"},
		{"a wheel of the same version", newWheel(dist, "1.0"), nil, "1.0"},
		{"without digests", newSdist(dist, "1.1"), map[string]string{"sha256_digest": ""}, "1.1"},
		{"what curl sends: content, name, version", newSdist(dist, "1.2"), map[string]string{"sha256_digest": "", ":action": ""}, "1.2"},
		{"digests in upper case", newSdist(dist, "1.3"), map[string]string{"sha256_digest": "UPPER"}, "1.3"},
		{"a local version", newWheel(dist, "2.0+cu12.1"), nil, "2.0+cu12.1"},
		{"an epoch", newWheel(dist, "1!3.0"), nil, "1!3.0"},
		{"a version in another spelling", local(dist, "v2.1.RC-1", under+"-2.1rc1.tar.gz", tarred(file("x/PKG-INFO", info("2.1c1")))), nil, "2.1rc1"},
		{"an old sdist: zip, dashes in its name", local(dist, "2.2", dist+"-2.2.zip", zipped(member{dist + "-2.2/PKG-INFO", info("2.2")})), nil, "2.2"},
		{"a name in another spelling", local(strings.ToUpper(strings.ReplaceAll(dist, "-", ".")), "2.3", strings.ReplaceAll(dist, "-", ".")+"-2.3.tar.gz", tarred(file("x/PKG-INFO", info("2.3")))), nil, "2.3"},
		{"a wheel with a build number", local(dist, "2.4", under+"-2.4-1abc-cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", wheelOf("2.4", info("2.4"))), nil, "2.4"},
		{"core metadata 2.5", local(dist, "2.5", under+"-2.5-py3-none-any.whl", wheelOf("2.5", strings.Replace(info("2.5"), "2.1", "2.5", 1))), nil, "2.5"},
		{"core metadata 1.0", local(dist, "2.6", under+"-2.6.tar.gz", tarred(file("./x-2.6/PKG-INFO", strings.Replace(info("2.6"), "2.1", "1.0", 1)))), nil, "2.6"},
		{"metadata 1.1 in an sdist, Requires-Python in the form alone", local(dist, "2.7", under+"-2.7.tar.gz", tarred(file("x/PKG-INFO", strings.Replace(info("2.7"), "2.1", "1.1", 1)))), map[string]string{"requires_python": ">=3"}, "2.7"},
		{"metadata with a text that is not indented", local(dist, "2.8", under+"-2.8.tar.gz", tarred(file("x/PKG-INFO", coreMetadata(dist, "2.8", "License: This is\nfree software\n")))), nil, "2.8"},
		{"metadata that is not UTF-8", local(dist, "2.9", under+"-2.9.tar.gz", tarred(file("x/PKG-INFO", coreMetadata(dist, "2.9", "Summary: Andr\xe9 \x00\n")))), nil, "2.9"},
		{"Requires-Python in another order", newWheel(dist, "2.10", "Requires-Python: >=3.6, !=3.7.*,<4\n"), map[string]string{"requires_python": "<4,>=3.6,!=3.7.*"}, "2.10"},
		{"every field very long", newWheel(dist, "2.11", "Summary: "+strings.Repeat("s", 10000)+"\nKeywords: "+strings.Repeat("k", 10000)+"\n"),
			map[string]string{"summary": strings.Repeat("s", 10000), "description": strings.Repeat("d", 10000), "keywords": strings.Repeat("k", 10000), "author_email": strings.Repeat("a", 10000)}, "2.11"},
		{"a link within an sdist", local(dist, "2.12", under+"-2.12.tar.gz", tarred(file("x/PKG-INFO", info("2.12")), tar.Header{Name: "x/a/b", Typeflag: tar.TypeSymlink, Linkname: "../PKG-INFO"})), nil, "2.12"},
	} {
		w.sub(row.what, func(w *world) {
			fields := maps.Clone(row.fields)
			if fields["sha256_digest"] == "UPPER" {
				sum, whole := md5.Sum(row.d.content), blake2b.Sum256(row.d.content)
				fields["sha256_digest"] = strings.ToUpper(row.d.sha256())
				fields["md5_digest"], fields["blake2_256_digest"] = strings.ToUpper(hex.EncodeToString(sum[:])), hex.EncodeToString(whole[:])
			}
			w.push(p, row.d, fields).must(w, 201).is(w, `{"message":"201 Created"}`)
			page, files := w.pageOf(p.pypi(), dist, anonymous)
			one := files[row.d.file]
			if one == nil {
				w.Fatalf("the page has %v", slices.Sorted(maps.Keys(files)))
			}
			if !slices.Contains(page["versions"].([]any), any(row.version)) {
				w.Errorf("versions %v, want %s among them", page["versions"], row.version)
			}
			for _, url := range []string{strings.TrimPrefix(one["url"].(string), w.server.URL), row.d.at(p.pypi()), row.d.at(p.pypi()) + "/"} {
				if a := w.send(call{path: url}).want(w, 200); !bytes.Equal(a.body, row.d.content) {
					w.Errorf("%s: other bytes", url)
				}
			}
			sum := at(one, "core-metadata", "sha256")
			a := w.send(call{path: row.d.at(p.pypi()) + ".metadata"}).want(w, 200)
			if got := (distribution{content: a.body}).sha256(); got != sum {
				w.Errorf("core metadata has %s, the page says %v", got, sum)
			}
			if want, got := row.fields["requires_python"], one["requires-python"]; want != "" && !strings.Contains(fmt.Sprint(got), ">=3") {
				w.Errorf("requires-python %v, want %s", got, want)
			}
			w.send(call{path: p.pypi() + "/pypi/" + dist + "/" + strings.ReplaceAll(row.version, "+", "%2B") + "/json"}).want(w, 200)
		})
	}
	w.sub("with PUT and a slash at the end", func(w *world) {
		for _, c := range []struct{ method, path string }{{"PUT", ""}, {"PUT", "/"}, {"POST", "/"}} {
			d := newSdist(newName(), "1.0")
			upload := d.upload(p.pypi()+c.path, w.root(), nil)
			upload.method = c.method
			w.send(upload).want(w, 201)
		}
	})
	w.sub("the list shows each version once with all of its files", func(w *world) {
		d := newSdist(newName(), "1.0")
		w.push(p, d, nil).must(w, 201)
		wheel := newWheel(d.name, "1.0")
		w.push(p, wheel, nil).must(w, 201)
		id := w.versionID(p, d)
		got := listed[string](w, w.ask(anonymous, "GET", fmt.Sprintf("/projects/%d/packages/%v/package_files", p.ID, id)), "file_name")
		slices.Sort(got)
		if want := []string{wheel.file, d.file}; !slices.Equal(got, want) {
			w.Errorf("files %v, want %v", got, want)
		}
		if got := w.ask(anonymous, "GET", fmt.Sprintf("/projects/%d/packages/%v", p.ID, id)).object(w); got["package_type"] != "pypi" || got["name"] != d.name || got["version"] != "1.0" {
			w.Errorf("package %v", got)
		}
	})
}

// What is refused, how, and that nothing of it stays.
func TestPyPIRefused(t *testing.T) {
	t.Parallel()
	w := &world{t, start(t, harness.Config{Args: []string{"--max-file-size", "2097152"}}), client}
	t.Cleanup(func() {
		if err := w.server.Stop(); err != nil {
			t.Error(err)
		}
	})
	p := w.open()
	name := newName()
	under := strings.ReplaceAll(name, "-", "_")
	info := coreMetadata(name, "1.0")
	whl, sd := under+"-1.0-py3-none-any.whl", under+"-1.0.tar.gz"
	inside := under + "-1.0.dist-info/"
	wheel := func(more ...member) []byte {
		return zipped(append([]member{{inside + "METADATA", info}, {inside + "WHEEL", "x"}}, more...)...)
	}
	raw := func(file string, content []byte) distribution { return distribution{name, "1.0", file, content} }
	good := newSdist(name, "1.0")
	zeros := strings.Repeat("\x00", 110<<20)
	link := func(kind byte, to string) []byte {
		return tarred(file("x/PKG-INFO", info), tar.Header{Name: "x/link", Typeflag: kind, Linkname: to})
	}
	statement := func(file, digest string) string {
		text := base64.StdEncoding.EncodeToString([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"` + file + `","digest":{"sha256":"` + digest + `"}}]}`))
		return `[{"version":1,"verification_material":{"certificate":"x"},"envelope":{"statement":"` + text + `","signature":"x"}}]`
	}
	with := func(pairs ...string) map[string]string {
		fields := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			fields[pairs[i]] = pairs[i+1]
		}
		return fields
	}
	before := blobs(w, w.server)
	for _, row := range []struct {
		what   string
		d      distribution
		fields map[string]string
		status int
		says   string // part of the body
	}{
		{"name missing", good, with("name", ""), 400, `{"error":"name is missing"}`},
		{"version missing", good, with("version", ""), 400, `{"error":"version is missing"}`},
		{"both missing", good, with("version", "", "name", ""), 400, `{"error":"name is missing, version is missing"}`},
		{"name invalid", good, with("name", ".$/@!^*"), 400, `{"message":"400 Bad request - Validation failed: Name is invalid"}`},
		{"version invalid", good, with("version", "1.0-zig"), 400, `{"message":"400 Bad request - Validation failed: Version is invalid"}`},
		{"another name in the form", good, with("name", "another"), 400, "Invalid distribution filename"},
		{"another version in the form", good, with("version", "1.1"), 400, "Invalid distribution filename"},
		{"another kind in the form", good, with("filetype", "bdist_wheel"), 400, "the file is a sdist"},
		{"another action", good, with(":action", "doc_upload"), 400, "doc_upload"},
		{"sha256 of something else", good, with("sha256_digest", strings.Repeat("a", 64)), 400, "sha256_digest does not match"},
		{"md5 of something else", good, with("md5_digest", strings.Repeat("a", 32)), 400, "md5_digest does not match"},
		{"blake2 of something else", good, with("blake2_256_digest", strings.Repeat("a", 64)), 400, "blake2_256_digest does not match"},
		{"sha256 malformed", good, with("sha256_digest", strings.Repeat("a", 63)+"%"), 400, `{"error":"sha256_digest is invalid"}`},
		{"md5 malformed", good, with("md5_digest", "567"), 400, `{"error":"md5_digest is invalid"}`},
		{"Requires-Python that the distribution does not have", good, with("requires_python", ">=3.6"), 400, "requires_python is"},
		{"a signature that is none", good, with("gpg_signature", "hello"), 400, "gpg_signature is not"},
		{"attestations that are no JSON", good, with("attestations", "{"), 400, "Invalid attestations"},
		{"attestations about another file", good, with("attestations", statement("other.whl", good.sha256())), 400, "about another file"},
		{"attestations about other bytes", good, with("attestations", statement(good.file, strings.Repeat("a", 64))), 400, "about another file"},
		{"neither zip nor tar", raw(whl, []byte("hello")), nil, 400, "not a zip"},
		{"neither tar nor zip", raw(sd, []byte("hello")), nil, 400, "not a gzipped tar"},
		{"a zip that calls itself tar.gz", raw(sd, wheel()), nil, 400, "not a gzipped tar"},
		{"an empty file", raw(sd, nil), nil, 400, "not a gzipped tar"},
		{"half a wheel", raw(whl, wheel()[:200]), nil, 400, "not a zip"},
		{"half an sdist", raw(sd, tarred(file("x/PKG-INFO", info), file("x/noise", string(noise(1<<20))))[:1<<19]), nil, 400, "not a gzipped tar"},
		{"an sdist that ends within its metadata", raw(sd, tarred(file("x/PKG-INFO", info+base64.StdEncoding.EncodeToString(noise(1<<20))))[:1<<19]), nil, 400, "cannot be read"},
		{"an egg", raw(under+"-1.0-py3.egg", wheel()), nil, 400, "only wheels"},
		{"a wheel's name without tags", raw(under+"-1.0.whl", wheel()), nil, 400, "a wheel is named"},
		{"a zip bomb", raw(whl, wheel(member{"zeros", zeros})), nil, 400, "unpacks to too much"},
		{"a tar bomb", raw(sd, tarred(file("x/PKG-INFO", info), file("x/zeros", zeros))), nil, 400, "unpacks to too much"},
		{"a path out of a wheel", raw(whl, wheel(member{"../evil.py", "x"})), nil, 400, "leads out of it"},
		{"an absolute path in a wheel", raw(whl, wheel(member{"/etc/passwd", "x"})), nil, 400, "leads out of it"},
		{"a path out of a wheel on Windows", raw(whl, wheel(member{`..\evil.py`, "x"})), nil, 400, "leads out of it"},
		{"a path out of an sdist", raw(sd, tarred(file("x/PKG-INFO", info), file("x/../../evil", "x"))), nil, 400, "leads out of it"},
		{"a symbolic link out of an sdist", raw(sd, link(tar.TypeSymlink, "../../etc/passwd")), nil, 400, "leads out of it"},
		{"an absolute link in an sdist", raw(sd, link(tar.TypeSymlink, "/etc/passwd")), nil, 400, "leads out of it"},
		{"a hard link out of an sdist", raw(sd, link(tar.TypeLink, "../etc/passwd")), nil, 400, "leads out of it"},
		{"a path twice in a wheel", raw(whl, wheel(member{"a.py", "1"}, member{"a.py", "2"})), nil, 400, "twice"},
		{"a wheel without METADATA", raw(whl, zipped(member{inside + "WHEEL", "x"})), nil, 400, "no core metadata"},
		{"a wheel without WHEEL", raw(whl, zipped(member{inside + "METADATA", info})), nil, 400, "no file WHEEL"},
		{"an sdist without PKG-INFO", raw(sd, tarred(file("x/setup.py", "x"))), nil, 400, "no core metadata"},
		{"metadata that is none", raw(sd, tarred(file("x/PKG-INFO", "hello\n"))), nil, 400, "cannot be read"},
		{"metadata without a version", raw(sd, tarred(file("x/PKG-INFO", "Metadata-Version: 2.1\nName: "+name+"\n\n"))), nil, 400, "has no Version"},
		{"metadata of a version to come", raw(sd, tarred(file("x/PKG-INFO", strings.Replace(info, "2.1", "3.0", 1)))), nil, 400, "not supported"},
		{"metadata of another name", raw(sd, tarred(file("x/PKG-INFO", coreMetadata("other", "1.0")))), nil, 400, `is one of \"other\"`},
		{"metadata of another version", raw(sd, tarred(file("x/PKG-INFO", coreMetadata(name, "2.0")))), nil, 400, `has version \"2.0\"`},
		{"a dist-info of another name", raw(whl, zipped(member{"other-1.0.dist-info/METADATA", info}, member{"other-1.0.dist-info/WHEEL", "x"})), nil, 400, "another package"},
		{"over the limit", raw(whl, wheel(member{"noise", string(noise(3 << 20))})), nil, 413, "File is too large"},
	} {
		w.sub(row.what, func(w *world) {
			a := w.push(p, row.d, row.fields).want(w, row.status)
			if !strings.Contains(string(a.body), row.says) {
				w.Errorf("%s\nwant it to say %s", a.body, row.says)
			}
		})
	}
	form, contentType := good.form(nil)
	for what, c := range map[string]call{
		"no form":           {body: "hello", header: map[string]string{"Content-Type": "text/plain"}},
		"no boundary":       {body: form, header: map[string]string{"Content-Type": "multipart/form-data"}},
		"half an upload":    {body: form[:len(form)/2], header: map[string]string{"Content-Type": contentType}},
		"no end":            {body: form[:len(form)-20], header: map[string]string{"Content-Type": contentType}},
		"nothing":           {header: map[string]string{"Content-Type": contentType}},
		"content as a text": {body: strings.Replace(string(form), `; filename="`+good.file+`"`, "", 1), header: map[string]string{"Content-Type": contentType}},
	} {
		w.sub(what, func(w *world) {
			c.method, c.path, c.as = "POST", p.pypi(), w.root()
			w.send(c).want(w, 400)
		})
	}
	w.sub("content missing", func(w *world) {
		at := bytes.Index(form, []byte(`name="content"`))
		boundary := strings.TrimPrefix(contentType, "multipart/form-data; boundary=")
		head := form[:bytes.LastIndex(form[:at], []byte("--"+boundary))]
		body := string(head) + "--" + boundary + "--\r\n"
		w.send(call{method: "POST", path: p.pypi(), as: w.root(), body: body, header: map[string]string{"Content-Type": contentType}}).want(w, 400).is(w, `{"error":"content is missing"}`)
	})
	w.sub("nothing of it stays", func(w *world) {
		w.nothingLeft(before)
		w.send(call{path: p.pypi() + "/simple/" + name}).want(w, 404).is(w, `{"message":"404 Package Not Found"}`)
		if a := w.send(call{path: p.pypi() + "/simple"}).want(w, 200); strings.Contains(string(a.body), name) {
			w.Errorf("the index: %s", a.body)
		}
		w.ask(w.root(), "GET", of(p)+"/packages").want(w, 200).is(w, "[]")
		w.push(p, good, nil).want(w, 201) // and nothing is in the way
	})
}

// A file name belongs to its first bytes.
func TestPyPIDuplicates(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	d := w.uploaded(p, newName(), "1.0")
	const taken = `{"message":"400 Bad request - Validation failed: File name has already been taken"}`
	other := newSdist(d.name, "1.0")
	_, files := w.pageOf(p.pypi(), d.name, anonymous)
	tag := w.send(call{path: p.pypi() + "/simple/" + d.name}).header.Get("Etag")
	w.push(p, d, nil).want(w, 200)
	if now := w.send(call{path: p.pypi() + "/simple/" + d.name}).header.Get("Etag"); now != tag {
		w.Error("the same bytes again change the page")
	}
	w.push(p, other, nil).want(w, 400).is(w, taken)
	spelled := other
	spelled.name = strings.ToUpper(d.name)
	w.push(p, spelled, nil).want(w, 400).is(w, taken)
	// 1.0.0 is the same version, and the file name the same one.
	equal := distribution{d.name, "1.0.0", d.file, tarred(file("x/PKG-INFO", coreMetadata(d.name, "1.0.0")))}
	w.push(p, equal, nil).want(w, 400).is(w, taken)
	if _, now := w.pageOf(p.pypi(), d.name, anonymous); fmt.Sprint(now) != fmt.Sprint(files) {
		w.Errorf("the page is %v", now)
	}
	w.sub("unless duplicates are allowed", func(w *world) {
		const armor = "-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n"
		d := newSdist(newName(), "1.0")
		w.push(p, d, map[string]string{"gpg_signature": armor}).must(w, 201)
		if a := w.send(call{path: d.at(p.pypi()) + ".asc"}).want(w, 200); string(a.body) != armor {
			w.Errorf("signature %q", a.body)
		}
		w.set(p.home(), map[string]any{"pypi_duplicates_allowed": true})
		other := newSdist(d.name, "1.0")
		w.push(p, other, nil).want(w, 201)
		_, files := w.pageOf(p.pypi(), d.name, anonymous)
		if len(files) != 1 || at(files[d.file], "hashes", "sha256") != other.sha256() || files[d.file]["gpg-sig"] != false {
			w.Errorf("the page has %v", files)
		}
		w.send(call{path: d.at(p.pypi())}).want(w, 404)
		w.send(call{path: other.at(p.pypi())}).want(w, 200)
		w.send(call{path: other.at(p.pypi()) + ".asc"}).want(w, 404) // it was of the other bytes
	})
}

// Of any number who upload other bytes under one name one wins; files of one new version do not get into each other's way.
func TestPyPIRaces(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	w.sub("one file name", func(w *world) {
		name := newName()
		const n = 8
		var all [n]distribution
		for i := range all {
			all[i] = newSdist(name, "1.0")
		}
		won := map[int]int{}
		winner := ""
		for i, a := range w.race(n, func(i int) call { return all[i].upload(p.pypi(), w.root(), nil) }) {
			won[a.status]++
			if a.status == 201 {
				winner = all[i].sha256()
			}
		}
		if won[201] != 1 || won[400] != n-1 {
			w.Errorf("statuses %v", won)
		}
		if _, files := w.pageOf(p.pypi(), name, anonymous); len(files) != 1 || at(files[all[0].file], "hashes", "sha256") != winner {
			w.Errorf("files %v, want the winner's %s", files, winner)
		}
	})
	w.sub("the same bytes", func(w *world) {
		d := newSdist(newName(), "1.0")
		won := map[int]int{}
		for _, a := range w.race(8, func(int) call { return d.upload(p.pypi(), w.root(), nil) }) {
			won[a.status]++
		}
		if won[201] != 1 || won[200] != 7 {
			w.Errorf("statuses %v", won)
		}
	})
	w.sub("files of one new version", func(w *world) {
		name := newName()
		under := strings.ReplaceAll(name, "-", "_")
		const n = 12
		for i, a := range w.race(n, func(i int) call {
			d := newWheel(name, "1.0")
			d.file = fmt.Sprintf("%s-1.0-%d-py3-none-any.whl", under, i)
			return d.upload(p.pypi(), w.root(), nil)
		}) {
			if a.status != 201 {
				w.Errorf("%d: %d %s", i, a.status, a.body)
			}
		}
		page, files := w.pageOf(p.pypi(), name, anonymous)
		if len(files) != n || len(page["versions"].([]any)) != 1 {
			w.Errorf("%d files of versions %v", len(files), page["versions"])
		}
		w.versionID(p, distribution{name: name, version: "1.0"}) // once
	})
}

// Attestations come back as the provenance of their file (PEP 740).
func TestPyPIAttestations(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	d := newWheel(newName(), "1.0")
	text := base64.StdEncoding.EncodeToString([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"` + d.file + `","digest":{"sha256":"` + d.sha256() + `"}}]}`))
	attestation := `{"version":1,"verification_material":{"certificate":"x","transparency_entries":[]},"envelope":{"statement":"` + text + `","signature":"eA=="}}`
	w.push(p, d, map[string]string{"attestations": "[" + attestation + "]"}).must(w, 201)
	_, files := w.pageOf(p.pypi(), d.name, anonymous)
	url, _ := files[d.file]["provenance"].(string)
	if url != w.server.URL+d.at(p.pypi())+".provenance" {
		w.Fatalf("provenance is at %q", url)
	}
	a := w.send(call{path: strings.TrimPrefix(url, w.server.URL)}).must(w, 200)
	var got struct {
		Version int `json:"version"`
		Bundles []struct {
			Publisher    map[string]any    `json:"publisher"`
			Attestations []json.RawMessage `json:"attestations"`
		} `json:"attestation_bundles"`
	}
	if err := json.Unmarshal(a.body, &got); err != nil || got.Version != 1 || len(got.Bundles) != 1 || len(got.Bundles[0].Attestations) != 1 || !sameJSON(string(got.Bundles[0].Attestations[0]), attestation) {
		w.Errorf("provenance %s (%v)", a.body, err)
	}
	if html := string(w.send(call{path: p.pypi() + "/simple/" + d.name + "/"}).body); !strings.Contains(html, `data-provenance="`+url+`"`) {
		w.Errorf("no provenance in %s", html)
	}
	w.send(call{path: w.uploaded(p, newName(), "1.0").at(p.pypi()) + ".provenance"}).want(w, http.StatusNotFound)
}

// A rule keeps a name from those below its level, before and after the content.
func TestPyPIProtected(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	name := newName()
	w.protect(p.home(), map[string]any{"package_name_pattern": strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "*", "package_type": "pypi", "minimum_access_level_for_push": "maintainer"})
	developer, maintainer := w.member(p, harness.Developer), w.member(p, harness.Maintainer)
	const protected = `{"message":"403 Forbidden - Package protected."}`
	for _, as := range map[string]credential{"developer": developer.as(), "deploy token": deploy(w.deployToken(p, "write_package_registry")), "developer's job": job(w.jobToken(p, developer, 3600))} {
		w.send(newSdist(name, "1.0").upload(p.pypi(), as, nil)).want(w, 403).is(w, protected)
		// Before the content is there: a file that no check would pass is not looked at.
		w.send(distribution{name, "1.0", "x", []byte("x")}.upload(p.pypi(), as, nil)).want(w, 403).is(w, protected)
		w.send(newSdist(newName(), "1.0").upload(p.pypi(), as, nil)).want(w, 201)
	}
	if w.send(call{path: p.pypi() + "/simple/" + name}).status != 404 {
		w.Error("a protected name is there")
	}
	w.send(newSdist(name, "1.0").upload(p.pypi(), maintainer.as(), nil)).want(w, 201)
}
