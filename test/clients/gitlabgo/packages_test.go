package gitlabgo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

func TestPackages(t *testing.T) {
	story(t, func(w *world) {
		lib, inner := "@"+w.name+"/lib", "@"+w.name+"/inner"
		tarball, err := w.publish(w.project, token, lib, "1.0.0")
		if err != nil {
			t.Fatal(err)
		}
		for _, version := range []string{"1.1.0", "2.0.0"} {
			if _, err := w.publish(w.project, token, lib, version); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.publish(w.further, token, inner, "0.1.0"); err != nil {
			t.Fatal(err)
		}

		// The list of a project.
		list := func(client *gitlab.Client, opt gitlab.ListProjectPackagesOptions) (versions []string) {
			for _, p := range must(client.Packages.ListProjectPackages(w.project.ID, &opt)) {
				versions = append(versions, p.Version)
			}
			return versions
		}
		for _, row := range []struct {
			what string
			opt  gitlab.ListProjectPackagesOptions
			want []string
		}{
			{"as they came", gitlab.ListProjectPackagesOptions{}, []string{"1.0.0", "1.1.0", "2.0.0"}},
			{"newest first", gitlab.ListProjectPackagesOptions{Sort: new("desc")}, []string{"2.0.0", "1.1.0", "1.0.0"}},
			{"by version", gitlab.ListProjectPackagesOptions{OrderBy: new("version"), Sort: new("desc")}, []string{"2.0.0", "1.1.0", "1.0.0"}},
			{"by name", gitlab.ListProjectPackagesOptions{OrderBy: new("name"), PackageName: new("LIB")}, []string{"1.0.0", "1.1.0", "2.0.0"}},
			{"of a type", gitlab.ListProjectPackagesOptions{PackageType: new("npm"), Status: new("default"), IncludeVersionless: new(true)}, []string{"1.0.0", "1.1.0", "2.0.0"}},
			{"of another type", gitlab.ListProjectPackagesOptions{PackageType: new("pypi")}, nil},
			{"of a version", gitlab.ListProjectPackagesOptions{PackageVersion: new("1.1.0")}, []string{"1.1.0"}},
			{"of no such name", gitlab.ListProjectPackagesOptions{PackageName: new("lip")}, nil},
			{"hidden", gitlab.ListProjectPackagesOptions{Status: new("hidden")}, nil},
			{"a page", gitlab.ListProjectPackagesOptions{ListOptions: gitlab.ListOptions{PerPage: 2, Page: 2}}, []string{"2.0.0"}},
		} {
			w.equal(row.what, list(w.root, row.opt), row.want)
		}
		_, _, err = w.root.Packages.ListProjectPackages(w.project.ID, &gitlab.ListProjectPackagesOptions{PackageType: new("foo")})
		w.refused(err, http.StatusBadRequest, "package_type does not have a valid value")

		// Pages, counted and followed.
		_, response, err := w.root.Packages.ListProjectPackages(w.project.ID, &gitlab.ListProjectPackagesOptions{ListOptions: gitlab.ListOptions{PerPage: 2}})
		if err != nil {
			t.Fatal(err)
		}
		w.equal("page", []int64{response.TotalItems, response.TotalPages, response.ItemsPerPage, response.CurrentPage, response.NextPage, response.PreviousPage}, []int64{3, 2, 2, 1, 2, 0})
		all, err := gitlab.ScanAndCollect(func(page gitlab.PaginationOptionFunc) ([]*gitlab.Package, *gitlab.Response, error) {
			return w.root.Packages.ListProjectPackages(w.project.ID, &gitlab.ListProjectPackagesOptions{ListOptions: gitlab.ListOptions{PerPage: 1}}, page)
		})
		if err != nil || len(all) != 3 {
			t.Fatalf("%d packages in pages of one: %v", len(all), err)
		}

		// A package as it is listed.
		first, last := all[0], all[2]
		w.equal("package", []any{first.Name, first.Version, first.PackageType, first.Status}, []any{lib, "1.0.0", "npm", "default"})
		w.equal("links", *first.Links, gitlab.PackageLinks{
			WebPath:       fmt.Sprintf("/%s/tools/-/packages/%d", w.name, first.ID),
			DeleteAPIPath: fmt.Sprintf("%s/api/v4/projects/%d/packages/%d", server, w.project.ID, first.ID),
		})
		if since := time.Since(*first.CreatedAt); since < 0 || since > time.Hour {
			t.Errorf("created %s ago", since)
		}
		if len(first.Tags) != 0 || len(last.Tags) != 1 || last.Tags[0].Name != "latest" || last.Tags[0].PackageID != last.ID {
			t.Errorf("tags: %+v, %+v", first.Tags, last.Tags)
		}

		// The list of a group.
		names := func(opt *gitlab.ListGroupPackagesOptions) (names []string) {
			for _, p := range must(w.root.Packages.ListGroupPackages(w.name, opt)) {
				names = append(names, fmt.Sprintf("%d %s %s", p.ProjectID, p.ProjectPath, p.Version))
			}
			return names
		}
		var want []string
		for _, version := range []string{"1.0.0", "1.1.0", "2.0.0"} {
			want = append(want, fmt.Sprintf("%d %s/tools %s", w.project.ID, w.name, version))
		}
		w.equal("without subgroups", names(&gitlab.ListGroupPackagesOptions{ExcludeSubGroups: new(true)}), want)
		below := fmt.Sprintf("%d %s/team/parts 0.1.0", w.further.ID, w.name)
		w.equal("with subgroups", names(nil), append(slices.Clone(want), below))
		w.equal("by project", names(&gitlab.ListGroupPackagesOptions{OrderBy: new("project_path")}), append([]string{below}, want...))
		w.equal("by name", names(&gitlab.ListGroupPackagesOptions{PackageName: new("inner")}), []string{below})

		// The one package, for which this client has no method of its own.
		var one struct {
			gitlab.Package
			Versions []gitlab.Package `json:"versions"`
		}
		done(w.get(w.root, fmt.Sprintf("projects/%d/packages/%d", w.project.ID, first.ID), &one))
		w.equal("package", one.Package.Name, lib)
		if len(one.Versions) != 2 || one.Versions[0].ID != all[1].ID || one.Versions[1].Version != "2.0.0" {
			t.Errorf("versions: %+v", one.Versions)
		}

		// Its files.
		files := must(w.root.Packages.ListPackageFiles(w.project.ID, first.ID, nil))
		if len(files) != 1 {
			t.Fatalf("files: %+v", files)
		}
		file := files[0]
		digests := func() []string {
			a, b, c := md5.Sum(tarball), sha1.Sum(tarball), sha256.Sum256(tarball)
			return []string{hex.EncodeToString(a[:]), hex.EncodeToString(b[:]), hex.EncodeToString(c[:])}
		}()
		w.equal("file", []any{file.PackageID, file.FileName, file.Size}, []any{first.ID, lib + "-1.0.0.tgz", int64(len(tarball))})
		w.equal("digests", []string{file.FileMD5, file.FileSHA1, file.FileSHA256}, digests)
		var content strings.Builder
		done(w.get(w.root, fmt.Sprintf("projects/%d/packages/%d/package_files/%d/download", w.project.ID, first.ID, file.ID), io.Writer(&content)))
		w.equal("download", content.String() == string(tarball), true)

		// Who may, and what is then gone.
		_, stranger := w.user("stranger")
		developer, theirs := w.user("developer")
		must(w.root.ProjectMembers.AddProjectMember(w.project.ID, &gitlab.AddProjectMemberOptions{UserID: developer.ID, AccessLevel: new(gitlab.DeveloperPermissions)}))
		_, _, err = stranger.Packages.ListProjectPackages(w.project.ID, nil)
		w.refused(err, http.StatusNotFound, "")
		_, err = stranger.Packages.DeleteProjectPackage(w.project.ID, first.ID)
		w.refused(err, http.StatusNotFound, "")
		w.equal("to a developer", list(theirs, gitlab.ListProjectPackagesOptions{}), []string{"1.0.0", "1.1.0", "2.0.0"})
		w.equal("a developer's link", must(theirs.Packages.ListProjectPackages(w.project.ID, nil))[0].Links.DeleteAPIPath, "")
		_, err = theirs.Packages.DeleteProjectPackage(w.project.ID, first.ID)
		w.refused(err, http.StatusForbidden, "403 Forbidden")
		_, err = theirs.Packages.DeletePackageFile(w.project.ID, first.ID, file.ID)
		w.refused(err, http.StatusForbidden, "403 Forbidden")

		done(w.root.Packages.DeletePackageFile(w.project.ID, first.ID, file.ID))
		w.equal("files", len(must(w.root.Packages.ListPackageFiles(w.project.ID, first.ID, nil))), 0)
		done(w.root.Packages.DeleteProjectPackage(w.project.ID, last.ID))
		_, err = w.root.Packages.DeleteProjectPackage(w.project.ID, last.ID)
		w.refused(err, http.StatusNotFound, "")
		w.equal("what is left", list(w.root, gitlab.ListProjectPackagesOptions{}), []string{"1.0.0", "1.1.0"})
		if out, err := w.npm(w.registry(w.project, token), "view", lib, "versions", "--json"); err != nil || strings.Contains(out, "2.0.0") || !strings.Contains(out, "1.1.0") {
			t.Errorf("npm view: %s %v", out, err)
		}
	})
}

// What a job of a CI system publishes is shown with its run.
func TestPipelines(t *testing.T) {
	story(t, func(w *world) {
		// A job publishes, so that each package has a pipeline.
		var job struct {
			Token    string
			Pipeline gitlab.Pipeline
		}
		request, err := w.root.NewRequest(http.MethodPost, fmt.Sprintf("projects/%d/job_tokens", w.project.ID), map[string]string{"ref": "main", "sha": strings.Repeat("a", 40)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		done(w.root.Do(request, &job))
		if _, err := w.publish(w.project, job.Token, "@"+w.name+"/built", "1.0.0"); err != nil {
			t.Fatal(err)
		}
		packages := must(w.root.Packages.ListProjectPackages(w.project.ID, nil))
		files := must(w.root.Packages.ListPackageFiles(w.project.ID, packages[0].ID, nil))
		if len(files) != 1 || files[0].Pipeline == nil || len(*files[0].Pipeline) != 1 {
			t.Fatalf("files: %+v", files)
		}
		var pipelines []gitlab.Pipeline
		done(w.get(w.root, fmt.Sprintf("projects/%d/packages/%d/pipelines", w.project.ID, packages[0].ID), &pipelines))
		for _, p := range append(pipelines, (*files[0].Pipeline)[0]) {
			w.equal("pipeline", []any{p.ID, p.Ref, p.SHA, p.ProjectID, p.User.Username}, []any{job.Pipeline.ID, "main", strings.Repeat("a", 40), w.project.ID, "root"})
		}
		w.equal("pipelines", len(pipelines), 1)
	})
}

// get asks for what the client has no method for.
func (w *world) get(client *gitlab.Client, path string, into any) (*gitlab.Response, error) {
	request, err := client.NewRequest(http.MethodGet, path, nil, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(request, into)
}

// A package of Python, uploaded in a form as twine does, is managed as one of npm is.
func TestPyPIPackages(t *testing.T) {
	story(t, func(w *world) {
		first, second := w.upload("lib", "1.0"), w.upload("lib", "1.10")
		if _, err := w.publish(w.project, token, "@"+w.name+"/lib", "1.0.0"); err != nil {
			t.Fatal(err)
		}
		of := &gitlab.ListProjectPackagesOptions{PackageType: new("pypi"), OrderBy: new("version"), Sort: new("desc")}
		found := must(w.root.Packages.ListProjectPackages(w.project.ID, of))
		if len(found) != 2 {
			t.Fatalf("packages: %+v", found)
		}
		w.equal("package", []any{found[0].Name, found[0].Version, found[0].PackageType, found[1].Version}, []any{"lib", "1.10", "pypi", "1.0"})
		w.equal("in the group", len(must(w.root.Packages.ListGroupPackages(w.name, &gitlab.ListGroupPackagesOptions{PackageType: new("pypi")}))), 2)
		_, response, err := w.root.Packages.ListProjectPackages(w.project.ID, &gitlab.ListProjectPackagesOptions{ListOptions: gitlab.ListOptions{PerPage: 2}})
		if err != nil {
			t.Fatal(err)
		}
		w.equal("page", []int64{response.TotalItems, response.TotalPages}, []int64{3, 2})
		for i, want := range [][]byte{second, first} {
			files := must(w.root.Packages.ListPackageFiles(w.project.ID, found[i].ID, nil))
			sum := sha256.Sum256(want)
			w.equal("files", len(files), 1)
			w.equal("file", []any{files[0].FileName, files[0].Size, files[0].FileSHA256}, []any{"lib-" + found[i].Version + ".tar.gz", int64(len(want)), hex.EncodeToString(sum[:])})
		}
		done(w.root.Packages.DeleteProjectPackage(w.project.ID, found[0].ID))
		w.equal("what is left", must(w.root.Packages.ListProjectPackages(w.project.ID, of))[0].Version, "1.0")
	})
}

// upload makes a source distribution, uploads it to the project and returns it.
func (w *world) upload(name, version string) []byte {
	w.Helper()
	metadata := fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version)
	var file, form bytes.Buffer
	zipped := gzip.NewWriter(&file)
	archive := tar.NewWriter(zipped)
	archive.WriteHeader(&tar.Header{Name: name + "-" + version + "/PKG-INFO", Mode: 0o644, Size: int64(len(metadata))})
	io.WriteString(archive, metadata)
	archive.Close()
	zipped.Close()

	fields := multipart.NewWriter(&form)
	fields.WriteField("name", name)
	fields.WriteField("version", version)
	content, _ := fields.CreateFormFile("content", name+"-"+version+".tar.gz")
	content.Write(file.Bytes())
	fields.Close()
	request, err := http.NewRequest(http.MethodPost, fmt.Sprintf("%s/api/v4/projects/%d/packages/pypi", server, w.project.ID), &form)
	if err != nil {
		w.Fatal(err)
	}
	request.Header.Set("Content-Type", fields.FormDataContentType())
	request.SetBasicAuth("root", token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	w.equal("upload", response.StatusCode, http.StatusCreated)
	return file.Bytes()
}
