package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
)

const (
	nugetRead  = "NuGet.Read"
	nugetSmall = 2 << 10 // bytes of an ordinary package, about
)

// writeNupkg writes a package with size random bytes. The same arguments always give the same bytes.
func writeNupkg(w io.Writer, id, version string, size int64, seed byte) error {
	nuspec := fmt.Sprintf(`<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>%s</id><version>%s</version>`+
		`<authors>Ann, Bob</authors><description>A package of the benchmark</description><tags>load test</tags>`+
		`<dependencies><group targetFramework="net472"><dependency id="Other" version="[1.0,2.0)"/></group>`+
		`<group targetFramework="netstandard2.0"><dependency id="Other" version="1.0"/></group></dependencies></metadata></package>`, id, version)
	archive := zip.NewWriter(w)
	for _, entry := range []struct {
		name    string
		content io.Reader
	}{
		{id + ".nuspec", strings.NewReader(nuspec)},
		{"content/data.bin", io.LimitReader(rand.NewChaCha8([32]byte{seed}), size)},
	} {
		file, err := archive.CreateHeader(&zip.FileHeader{Name: entry.name, Method: zip.Store})
		if err != nil {
			return err
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{file}, entry.content, make([]byte, 256<<10)); err != nil {
			return err
		}
	}
	return archive.Close()
}

func (b *bench) nugetURL() string {
	return fmt.Sprintf("%s/api/v4/projects/%d/packages/nuget", b.server.URL, b.project)
}

// nugetPush sends a package as nuget does, to / or /symbolpackage, without saying how long it is, and expects 201.
func (b *bench) nugetPush(what, path string, nupkg io.Reader) error {
	var form bytes.Buffer
	fields := multipart.NewWriter(&form)
	fields.CreateFormFile("package", "package.nupkg")
	head := bytes.Clone(form.Bytes())
	form.Reset()
	fields.Close()

	request, err := http.NewRequestWithContext(b.ctx, http.MethodPut, b.nugetURL()+path, io.MultiReader(bytes.NewReader(head), nupkg, &form))
	if err != nil {
		return err
	}
	request.Header.Set("X-NuGet-ApiKey", b.token)
	request.Header.Set("Content-Type", fields.FormDataContentType())
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusCreated {
		err = fmt.Errorf("push of %s: status %d: %s", what, response.StatusCode, answer)
	}
	return err
}

// writeSnupkg writes a package of symbols, whose one portable PDB has size random bytes.
func writeSnupkg(w io.Writer, id, version string, size int64) error {
	nuspec := fmt.Sprintf(`<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>%s</id><version>%s</version>`+
		`<authors>Ann, Bob</authors><description>A package of the benchmark</description><packageTypes><packageType name="SymbolsPackage"/></packageTypes></metadata></package>`, id, version)
	// Metadata of the CLI with one stream, #Pdb, which begins with the PDB's id (ECMA-335 II.24.2).
	pdb := []byte("BSJB\x01\x00\x01\x00\x00\x00\x00\x00\x0c\x00\x00\x00PDB v1.0\x00\x00\x00\x00\x00\x00\x01\x00")
	pdb = binary.LittleEndian.AppendUint32(pdb, uint32(len(pdb)+16))
	pdb = binary.LittleEndian.AppendUint32(pdb, 32)
	pdb = append(pdb, "#Pdb\x00\x00\x00\x00"...)
	archive := zip.NewWriter(w)
	for _, entry := range []struct {
		name    string
		content io.Reader
	}{
		{id + ".nuspec", strings.NewReader(nuspec)},
		{"lib/net8.0/" + id + ".pdb", io.MultiReader(bytes.NewReader(pdb), io.LimitReader(rand.NewChaCha8([32]byte{2}), size))},
	} {
		file, err := archive.CreateHeader(&zip.FileHeader{Name: entry.name, Method: zip.Store})
		if err != nil {
			return err
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{file}, entry.content, make([]byte, 256<<10)); err != nil {
			return err
		}
	}
	return archive.Close()
}

// nugetLarge pushes one large package, and one of its symbols.
func nugetLarge(b *bench) error {
	const id, version = "NuGet.Large", "1.0.0"
	for _, l := range []large{
		{
			id: "nuget", file: "large.nupkg", what: fmt.Sprintf("NuGet push of %d MiB", b.large>>20),
			write: func(w io.Writer) error { return writeNupkg(w, id, version, b.large, 1) },
			targets: []largeTarget{{
				send: func(content io.Reader, _ int64, _ digests) error { return b.nugetPush(id, "/", content) },
				url:  func(digests) string { return b.nugetURL() + "/download/nuget.large/1.0.0/nuget.large.1.0.0.nupkg" },
			}},
		},
		{
			id: "nuget.symbols", file: "large.snupkg", what: fmt.Sprintf("NuGet push of a symbol package of %d MiB", b.large>>20),
			write: func(w io.Writer) error { return writeSnupkg(w, id, version, b.large) },
			targets: []largeTarget{{
				send: func(content io.Reader, _ int64, _ digests) error { return b.nugetPush(id, "/symbolpackage", content) },
			}},
		},
	} {
		l.targets[0].system, l.targets[0].pid, l.targets[0].header = packhouse, b.server.PID, b.basicHeader()
		path, _, err := b.sendLarge(l)
		if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// nugetIndexes reads what clients ask for first about an id with many versions: its registration, of which the index lists the pages, one
// of the pages, and the list of versions. Each again, unchanged since it was last read.
func nugetIndexes(b *bench) error {
	var versions []string
	for i := range b.readVersions {
		versions = append(versions, fmt.Sprintf("1.%d.0", i))
		var nupkg bytes.Buffer
		if err := writeNupkg(&nupkg, nugetRead, versions[i], nugetSmall, byte(i)); err != nil {
			return err
		}
		if err := b.nugetPush(nugetRead, "/", &nupkg); err != nil {
			return err
		}
	}
	header := b.basicHeader()
	header.Set("Accept-Encoding", "gzip")
	id := strings.ToLower(nugetRead)
	registration := b.nugetURL() + "/metadata-semver2/" + id + "/index.json"
	var page string
	for _, document := range []struct {
		id, what string
		url      func() string
		check    func(plain []byte) error
	}{
		{"registration", "NuGet registration index", func() string { return registration }, func(plain []byte) (err error) {
			page, err = nugetCheckRegistration(plain, versions)
			return err
		}},
		{"page", "NuGet registration page of 64 versions", func() string { return page }, func(plain []byte) error {
			return nugetCheckPage(plain, versions[:min(64, len(versions))])
		}},
		{"versions", "NuGet list of versions", func() string { return b.nugetURL() + "/download/" + id + "/index.json" }, func(plain []byte) error {
			return nugetCheckVersions(plain, versions)
		}},
	} {
		address := document.url()
		if address == registration && document.id == "page" { // all versions are inside the index
			continue
		}
		zipped, plain, err := b.getGzip(address, header, "application/json")
		if err != nil {
			return err
		}
		if err := document.check(plain); err != nil {
			return fmt.Errorf("GET %s: %w", address, err)
		}
		loads, err := b.compareDocument(&figure{
			ID: "nuget." + document.id, What: fmt.Sprintf("%s, %d versions, gzip, %.1f KB", document.what, b.readVersions, float64(len(zipped))/1024),
		}, address, header, "nuget-"+document.id+".json", zipped)
		if err != nil {
			return err
		}
		if err := b.compareUnchanged(&figure{ID: "nuget." + document.id + ".304", What: document.what + ", unchanged: 304"}, loads...); err != nil {
			return err
		}
	}
	return nil
}

// nugetCheckRegistration fails unless an index has just these versions, and returns the URL of its first page: its own, when the page is in it.
func nugetCheckRegistration(index []byte, versions []string) (page string, err error) {
	var got struct {
		ID    string `json:"@id"`
		Count int
		Items []struct {
			ID           string `json:"@id"`
			Count        int
			Lower, Upper string
			Items        []any
		}
	}
	if err := json.Unmarshal(index, &got); err != nil {
		return "", err
	}
	if len(got.Items) == 0 {
		return "", errors.New("no page")
	}
	total := 0
	for _, item := range got.Items {
		total += item.Count
	}
	if got.Count != len(got.Items) || total != len(versions) || got.Items[0].Lower != versions[0] || got.Items[len(got.Items)-1].Upper != versions[len(versions)-1] {
		return "", fmt.Errorf("%d versions on %d pages, want the %d that were pushed", total, len(got.Items), len(versions))
	}
	if got.Items[0].Items != nil {
		return got.ID, nil
	}
	return got.Items[0].ID, nil
}

// nugetCheckPage fails unless a registration page has just these versions.
func nugetCheckPage(page []byte, versions []string) error {
	var got struct {
		Items []struct{ CatalogEntry struct{ Version string } }
	}
	if err := json.Unmarshal(page, &got); err != nil {
		return err
	}
	var list []string
	for _, leaf := range got.Items {
		list = append(list, leaf.CatalogEntry.Version)
	}
	return nugetSame(list, versions)
}

// nugetCheckVersions fails unless a list of versions has just these.
func nugetCheckVersions(list []byte, versions []string) error {
	var got struct{ Versions []string }
	if err := json.Unmarshal(list, &got); err != nil {
		return err
	}
	return nugetSame(got.Versions, versions)
}

func nugetSame(got, want []string) error {
	if !slices.Equal(got, want) {
		return fmt.Errorf("%d versions that are not the %d that were pushed, in their order", len(got), len(want))
	}
	return nil
}
