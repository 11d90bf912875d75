package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"packhouse/test/harness"
)

const (
	pypiRead    = "pypi-read"
	pypiSmall   = 2 << 10  // bytes of an ordinary wheel, about
	pypiTree    = 60       // packages that one install needs
	pypiInTree  = 64 << 10 // bytes of each of them, about
	pypiAccepts = "application/vnd.pypi.simple.v1+json"
)

func wheelName(name, version string) string {
	return strings.ReplaceAll(name, "-", "_") + "-" + version + "-py3-none-any.whl"
}

// writeWheel writes a wheel with size random bytes. The same arguments always
// give the same bytes.
func writeWheel(w io.Writer, name, version string, size int64, seed byte, requires ...string) error {
	module := strings.ReplaceAll(name, "-", "_")
	info := module + "-" + version + ".dist-info/"
	metadata := fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\nSummary: A package of the benchmark\nRequires-Python: >=3.8\n", name, version)
	for _, other := range requires {
		metadata += "Requires-Dist: " + other + "\n"
	}
	// Compressed, as wheels are: what is only stored a client cannot unpack while it comes. The core is needed for
	// sending a large one.
	method := zip.Deflate
	if size > 1<<20 {
		method = zip.Store
	}
	archive := zip.NewWriter(w)
	for _, entry := range []struct {
		name    string
		content io.Reader
	}{
		{module + "/data.bin", io.LimitReader(rand.NewChaCha8([32]byte{seed}), size)},
		{module + "/__init__.py", strings.NewReader("")},
		{info + "METADATA", strings.NewReader(metadata)},
		{info + "WHEEL", strings.NewReader("Wheel-Version: 1.0\nGenerator: load\nRoot-Is-Purelib: true\nTag: py3-none-any\n")},
		{info + "RECORD", strings.NewReader(fmt.Sprintf("%[1]s/data.bin,,\n%[1]s/__init__.py,,\n%[2]sMETADATA,,\n%[2]sWHEEL,,\n%[2]sRECORD,,\n", module, info))},
	} {
		file, err := archive.CreateHeader(&zip.FileHeader{Name: entry.name, Method: method})
		if err != nil {
			return err
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{file}, entry.content, make([]byte, 256<<10)); err != nil {
			return err
		}
	}
	return archive.Close()
}

func (b *bench) pypiURL() string {
	return fmt.Sprintf("%s/api/v4/projects/%d/packages/pypi", b.server.URL, b.project)
}

func (b *bench) basicHeader() http.Header {
	request := http.Request{Header: http.Header{}}
	request.SetBasicAuth("bencher", b.token)
	return request.Header
}

// pypiIndex is a server of PyPI's protocol.
type pypiIndex struct {
	bench                    *bench
	system                   string
	role                     role
	pid                      func() int
	upload, simple           string // URLs, simple with a slash at its end
	uploadHeader, readHeader http.Header
}

// pypiIndexes are Packhouse and what does the same work.
func (b *bench) pypiIndexes() ([]*pypiIndex, error) {
	indexes := []*pypiIndex{{
		bench: b, system: packhouse, pid: func() int { return b.server.PID }, upload: b.pypiURL(), simple: b.pypiURL() + "/simple/",
		uploadHeader: b.basicHeader(), readHeader: b.basicHeader(),
	}}
	for _, start := range []func() (*pypiIndex, error){b.devpi, b.pypiserver} {
		peer, err := start()
		if err != nil {
			return nil, err
		}
		if peer != nil {
			indexes = append(indexes, peer)
		}
	}
	return indexes, nil
}

// send uploads a wheel of length bytes as twine does, and expects success.
func (x *pypiIndex) send(name, version string, wheel io.Reader, length int64, sum []byte) error {
	var form bytes.Buffer
	fields := multipart.NewWriter(&form)
	for _, field := range [][2]string{{":action", "file_upload"}, {"protocol_version", "1"}, {"metadata_version", "2.1"}, {"name", name}, {"version", version},
		{"filetype", "bdist_wheel"}, {"pyversion", "py3"}, {"requires_python", ">=3.8"}, {"sha256_digest", hex.EncodeToString(sum)}} {
		fields.WriteField(field[0], field[1])
	}
	fields.CreateFormFile("content", wheelName(name, version))
	head := bytes.Clone(form.Bytes())
	form.Reset()
	fields.Close()

	request, err := http.NewRequestWithContext(x.bench.ctx, http.MethodPost, x.upload, io.MultiReader(bytes.NewReader(head), wheel, &form))
	if err != nil {
		return err
	}
	request.ContentLength = int64(len(head)) + length + int64(form.Len())
	request.Header = x.uploadHeader.Clone()
	request.Header.Set("Content-Type", fields.FormDataContentType())
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: upload of %s %s: status %d: %s", x.system, name, version, response.StatusCode, answer)
	}
	return err
}

// smallWheel makes a wheel of about size bytes, and its SHA-256.
func smallWheel(name, version string, size int64, seed byte, requires ...string) (wheel []byte, sum [32]byte, err error) {
	var content bytes.Buffer
	err = writeWheel(&content, name, version, size, seed, requires...)
	return content.Bytes(), sha256.Sum256(content.Bytes()), err
}

// publish uploads a wheel of about size bytes.
func (x *pypiIndex) publish(name, version string, size int64, seed byte, requires ...string) error {
	wheel, sum, err := smallWheel(name, version, size, seed, requires...)
	if err != nil {
		return err
	}
	return x.send(name, version, bytes.NewReader(wheel), int64(len(wheel)), sum[:])
}

// pypiLarge uploads one large wheel.
func pypiLarge(b *bench) error {
	const name, version = "pypi-large", "1.0"
	indexes, err := b.pypiIndexes()
	if err != nil {
		return err
	}
	l := large{
		id: "pypi", file: "large.whl", what: fmt.Sprintf("PyPI upload of a wheel of %d MiB", b.large>>20),
		write: func(w io.Writer) error { return writeWheel(w, name, version, b.large, 1) },
	}
	for i, x := range indexes {
		if x.system == pypiserverName { // its server refuses a body of 1 GiB
			continue
		}
		t := largeTarget{system: x.system, role: x.role, pid: x.pid(), header: x.readHeader, send: func(content io.Reader, length int64, sums digests) error {
			return x.send(name, version, content, length, sums.sha256)
		}}
		if i == 0 {
			t.url = func(sums digests) string {
				return fmt.Sprintf("%s/files/%x/%s", b.pypiURL(), sums.sha256, wheelName(name, version))
			}
		}
		l.targets = append(l.targets, t)
	}
	path, _, err := b.sendLarge(l)
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// pypiPage uploads many files of one name, one by one, and reads its page, as
// pip and uv ask for it, and unchanged since it was last read.
func pypiPage(b *bench) error {
	indexes, err := b.pypiIndexes()
	if err != nil {
		return err
	}
	uploads := &figure{ID: "pypi.publish.rate", Unit: "/s", What: fmt.Sprintf("PyPI upload, %d small wheels of a project, one by one", b.readVersions)}
	digests := map[string]string{} // by file
	var wheels [][]byte
	for i := range b.readVersions {
		wheel, sum, err := smallWheel(pypiRead, versionText(i), pypiSmall, byte(i))
		if err != nil {
			return err
		}
		wheels, digests[wheelName(pypiRead, versionText(i))] = append(wheels, wheel), fmt.Sprintf("%x", sum)
	}
	var zipped []byte
	var peers []loadOf
	for _, x := range indexes {
		if err := x.publish("pypi-warmup", "1.0", pypiSmall, 1); err != nil {
			return err
		}
		var times []time.Duration
		u, err := observe(x.pid(), func() error {
			for i, wheel := range wheels {
				sum, began := sha256.Sum256(wheel), time.Now()
				if err := x.send(pypiRead, versionText(i), bytes.NewReader(wheel), int64(len(wheel)), sum[:]); err != nil {
					return err
				}
				times = append(times, time.Since(began))
			}
			return nil
		})
		if err != nil {
			return err
		}
		s := u.sample(x.system, times)
		s.Role = x.role
		uploads.Samples = append(uploads.Samples, s)

		header, address := x.pageHeader(), x.simple+pypiRead+"/"
		if x.role == "" {
			var plain []byte
			if zipped, plain, err = b.getGzip(address, header, pypiAccepts); err == nil {
				err = pypiCheck(plain, digests)
			}
			if err != nil {
				return fmt.Errorf("GET %s: %w", address, err)
			}
			continue
		}
		length, err := x.checkPage(address, digests)
		if err != nil {
			return err
		}
		peers = append(peers, loadOf{system: x.system, role: x.role, pid: x.pid(), url: address, header: header, status: http.StatusOK, length: length})
	}
	b.report.add(uploads)
	loads, err := b.compareDocument(&figure{
		ID: "pypi.page", What: fmt.Sprintf("PyPI project page, %d files, JSON, gzip, %d KB", b.readVersions, len(zipped)>>10),
	}, indexes[0].simple+pypiRead+"/", indexes[0].pageHeader(), "simple.json", zipped, peers...)
	if err != nil {
		return err
	}
	return b.compareUnchanged(&figure{
		ID: "pypi.page.304", What: fmt.Sprintf("PyPI project page, %d files, unchanged: 304", b.readVersions),
	}, loads...)
}

// pageHeader asks for the page of a project as pip and uv do: JSON, or else HTML, compressed.
func (x *pypiIndex) pageHeader() http.Header {
	header := x.readHeader.Clone()
	header.Set("Accept", pypiAccepts+", text/html; q=0.01")
	header.Set("Accept-Encoding", "gzip")
	return header
}

// checkPage fails unless a peer's page, in whatever form it has, names each file and its digest. It returns its length.
func (x *pypiIndex) checkPage(address string, digests map[string]string) (length int, err error) {
	response, body, err := get(x.bench.ctx, address, x.pageHeader())
	if err != nil {
		return 0, err
	}
	plain := body
	if response.Header.Get("Content-Encoding") == "gzip" {
		if plain, err = gunzip(body); err != nil {
			return 0, err
		}
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: GET %s: %s", x.system, address, response.Status)
	}
	for file, sum := range digests {
		if !bytes.Contains(plain, []byte(file)) || !bytes.Contains(plain, []byte(sum)) {
			return 0, fmt.Errorf("%s: GET %s: %s is not there", x.system, address, file)
		}
	}
	return len(body), nil
}

// pypiCheck fails unless a page names just these files, with their digests.
func pypiCheck(page []byte, digests map[string]string) error {
	var got struct {
		Files []struct {
			Filename, URL string
			Hashes        map[string]string
		}
	}
	if err := json.Unmarshal(page, &got); err != nil {
		return err
	}
	if len(got.Files) != len(digests) {
		return fmt.Errorf("%d files, want %d", len(got.Files), len(digests))
	}
	for _, file := range got.Files {
		if want := digests[file.Filename]; want == "" || file.Hashes["sha256"] != want || !strings.Contains(file.URL, want) {
			return fmt.Errorf("%s is not what was uploaded", file.Filename)
		}
	}
	return nil
}

// pypiInstall has uv resolve and install a tree without a cache, from the
// server and from nginx with the same pages, metadata and wheels as files.
func pypiInstall(b *bench) error {
	uv, err := harness.Tool("uv")
	if err != nil {
		return err
	}
	indexes, err := b.pypiIndexes()
	if err != nil {
		return err
	}
	member := func(i int) string { return fmt.Sprintf("pypi-tree-%d", i) }
	type source struct {
		system string
		role   role
		index  string
	}
	var sources []source
	for _, x := range indexes {
		for i := range pypiTree {
			var requires []string
			for _, other := range []int{2*i + 1, 2*i + 2} {
				if other < pypiTree {
					requires = append(requires, member(other)+">=1.0")
				}
			}
			if err := x.publish(member(i), "1.0", pypiInTree, byte(i), requires...); err != nil {
				return err
			}
		}
		address, err := url.Parse(x.simple)
		if err != nil {
			return err
		}
		if x.role == "" {
			address.User = url.UserPassword("bencher", b.token)
		}
		sources = append(sources, source{x.system, x.role, address.String()})
		if x.role == "" && b.nginx != nil {
			for i := range pypiTree {
				if err := b.pypiMirror(member(i)); err != nil {
					return err
				}
			}
			sources = append(sources, source{nginxName, limit, b.nginx.url + "/pypi/simple/"})
		}
	}
	f := &figure{ID: "pypi.install", Unit: "s", What: fmt.Sprintf("uv pip install of %d packages, without a cache", pypiTree)}
	install := func(s source) (time.Duration, error) {
		target := filepath.Join(b.dir, "target")
		defer os.RemoveAll(target)
		cmd := exec.CommandContext(b.ctx, uv, "pip", "install", "--quiet", "--no-cache", "--no-config", "--target", target, "--index-url", s.index, member(0))
		cmd.Env = append(os.Environ(), "UV_PYTHON_DOWNLOADS=never", "NO_PROXY=127.0.0.1")
		b.command(shellQuote(append([]string{"uv"}, cmd.Args[1:]...)))
		began := time.Now()
		out, err := cmd.CombinedOutput()
		took := time.Since(began)
		if err != nil {
			return 0, fmt.Errorf("uv, from %s: %w\n%s", s.system, err, out)
		}
		if installed, _ := filepath.Glob(filepath.Join(target, "*.dist-info")); len(installed) != pypiTree {
			return 0, fmt.Errorf("uv, from %s: %d packages were installed, want %d", s.system, len(installed), pypiTree)
		}
		return took, nil
	}
	for _, s := range sources {
		f.Samples = append(f.Samples, sample{System: s.system, Role: s.role})
		if _, err := install(s); err != nil { // both are warm afterwards
			return err
		}
	}
	for range b.rounds {
		for i, s := range sources {
			took, err := install(s)
			if err != nil {
				return err
			}
			f.Samples[i].Rounds = append(f.Samples[i].Rounds, took.Seconds())
		}
	}
	for i := range f.Samples {
		f.Samples[i].Value = median(f.Samples[i].Rounds)
	}
	b.report.add(f)
	return nil
}

// pypiMirror gives nginx the page of a name, its files and their metadata.
func (b *bench) pypiMirror(name string) error {
	header := b.basicHeader()
	header.Set("Accept", pypiAccepts)
	read := func(url string, header http.Header) ([]byte, error) {
		response, body, err := get(b.ctx, url, header)
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("GET %s: %s", url, response.Status)
		}
		return body, err
	}
	text, err := read(b.pypiURL()+"/simple/"+name+"/", header)
	if err != nil {
		return err
	}
	var page struct{ Files []struct{ URL string } }
	if err := json.Unmarshal(text, &page); err != nil {
		return err
	}
	header.Set("Accept", "text/html")
	if text, err = read(b.pypiURL()+"/simple/"+name+"/", header); err != nil {
		return err
	}
	text = bytes.ReplaceAll(text, []byte(b.pypiURL()), []byte(b.nginx.url+"/pypi"))
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	zip.Write(text)
	zip.Close()
	files := map[string][]byte{"/simple/" + name + "/index.html": text, "/simple/" + name + "/index.html.gz": zipped.Bytes()}
	for _, file := range page.Files {
		for _, address := range []string{file.URL, file.URL + ".metadata"} {
			if files[strings.TrimPrefix(address, b.pypiURL())], err = read(address, b.basicHeader()); err != nil {
				return err
			}
		}
	}
	for path, content := range files {
		path = filepath.Join(b.nginx.www, "pypi", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
