package npm

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/format"
	"packhouse/internal/registry"
)

// maxUnpacked is how much larger than the largest tarball its contents may be: reading it through takes time.
const maxUnpacked = 4

// put answers PUT /:package: a publish when there is a tarball, otherwise npm deprecate, which sends the packument.
func (h *Handler) put(w http.ResponseWriter, q *request, name string) error {
	if q.at.Project == "" {
		return registry.Errorf(registry.NotFound, "Packages are published to a project: PUT /api/v4/projects/:id/packages/npm/:package_name")
	}
	c, project, err := h.write(q, name, access.Publish)
	if err != nil {
		return err
	}
	if q.ContentLength == 0 {
		return registry.Errorf(registry.Invalid, "file is missing")
	}
	policy, err := c.View.Policy(0, project.ID)
	if err != nil {
		return err
	}
	if err := h.Registry.MayPush(q.Context(), policy, project.ID, registry.NPM, name); err != nil {
		return err
	}
	var staged registry.Staged
	defer func() {
		if staged != nil {
			staged.Discard()
		}
	}()
	maxFile := policy.MaxFile(registry.NPM, h.MaxFile)
	b, err := h.readBody(q, maxFile, func(_ string, tarball io.Reader) (err error) {
		staged, err = h.Registry.Blobs.Stage(q.Context(), tarball)
		return err
	})
	if err != nil {
		return err
	}
	if b.Name != "" && b.Name != name {
		return registry.Errorf(registry.Invalid, "Validation failed: Name in the body is %.256q, in the URL %q", b.Name, name)
	}
	if !b.HasVersions {
		return registry.Errorf(registry.Invalid, "Versions key is missing from the JSON upload")
	}
	if staged == nil && isDeprecation(q, b) {
		return h.deprecate(w, q, c, project, name, b)
	}
	if len(b.Versions) == 0 {
		return registry.Errorf(registry.Invalid, "Version is empty.")
	}
	if staged == nil {
		return errEmpty
	}
	if len(b.Versions) > 1 {
		return registry.Errorf(registry.Invalid, "Validation failed: one version is published at a time")
	}
	publication, err := h.publication(c, project, name, b, staged)
	if err != nil {
		return err
	}
	err = h.Registry.Publish(q.Context(), Format, publication)
	if registry.KindOf(err) == registry.Conflict {
		return h.conflict(q, project, name, publication.Package.Version)
	}
	if err != nil {
		return err
	}
	pkg := &publication.Package
	return writeJSON(w, http.StatusOK, map[string]any{
		"success": true, "ok": true,
		"id": pkg.ID, "project_id": pkg.ProjectID, "name": pkg.Name, "version": pkg.Version, "package_type": pkg.Type, "status": pkg.Status.String(),
		"creator_id": optional(pkg.CreatorID), "created_at": stamp(pkg.CreatedAt), "updated_at": stamp(pkg.CreatedAt), "last_downloaded_at": nil, "status_message": nil,
	})
}

func optional(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

// readBody reads a package document with a tarball of so many bytes at most.
func (h *Handler) readBody(q *request, maxFile int64, store func(string, io.Reader) error) (*body, error) {
	// Base64 takes a third more, escapes and wrapped lines a little; only what cannot fit is refused unread.
	if q.ContentLength > h.MaxMetadata+maxFile+maxFile/2 {
		return nil, registry.Errorf(registry.TooLarge, "File is too large.")
	}
	return readBody(q.Body, limits{File: maxFile, Metadata: h.MaxMetadata}, store)
}

// publication checks what was sent against itself and against the tarball, and renders it.
func (h *Handler) publication(c *format.Caller, project *registry.Project, name string, b *body, staged registry.Staged) (*registry.Publication, error) {
	number := b.Versions[0].Version
	if _, err := parseVersion(number); err != nil {
		return nil, err
	}
	var manifest map[string]json.RawMessage
	if err := json.Unmarshal(b.Versions[0].Manifest, &manifest); err != nil || manifest == nil {
		return nil, registry.Errorf(registry.Invalid, "Validation failed: the manifest of version %s is not an object", number)
	}
	for key, want := range map[string]string{"name": name, "version": number} {
		if got, _ := asString(manifest[key]); got != want {
			return nil, registry.Errorf(registry.Invalid, "Validation failed: %s of the manifest is %.256q, not %q", key, got, want)
		}
	}
	digests := staged.Digests()
	if err := checkDigests(manifest["dist"], digests); err != nil {
		return nil, err
	}
	inside, err := readTarball(io.NewSectionReader(staged, 0, digests.Size), maxUnpacked*h.MaxFile)
	if err != nil {
		return nil, err
	}
	var packageJSON map[string]json.RawMessage
	if inside.PackageJSON == nil {
		return nil, registry.Errorf(registry.Invalid, "package.json not found in the tarball")
	}
	if err := json.Unmarshal(inside.PackageJSON, &packageJSON); err != nil {
		return nil, registry.Errorf(registry.Invalid, "package.json in the tarball is not a JSON object")
	}
	if err := reconcile(manifest, packageJSON); err != nil {
		return nil, err
	}
	if _, said := manifest["gypfile"]; inside.Gyp && !said {
		manifest["gypfile"] = json.RawMessage("true") // npm says so when it publishes; not every client does
	}
	var tags []string
	for tag, tagged := range b.DistTags {
		if err := validTag(tag); err != nil {
			return nil, err
		}
		if tagged != number {
			return nil, registry.Errorf(registry.Invalid, "Validation failed: dist-tag %q is for %.256q, not for the version %s that is published", tag, tagged, number)
		}
		tags = append(tags, tag)
	}

	p := &registry.Publication{
		Package: registry.Package{ProjectID: project.ID, Name: name, Version: number, Words: words(manifest),
			CreatorID: c.UserID(), PipelineID: c.PipelineID()},
		EntryName: name,
		Files:     []registry.PublicationFile{{Name: tarballName(name, number), Content: staged}},
		Tags:      tags,
	}
	if reason := b.Versions[0].Deprecated; reason != nil && *reason != "" {
		p.Package.Status, p.Package.StatusMessage = registry.Deprecated, *reason
	}
	if strings.EqualFold(scopeOf(name), project.RootPath()) {
		p.Claim = project
	}
	text := b.Readme
	if text == "" {
		text, _ = asString(manifest["readme"])
	}
	sum, err := hex.DecodeString(digests.SHA512)
	if err != nil {
		return nil, err
	}
	p.Fragments, err = fragments(manifest, dist{
		Integrity:    "sha512-" + base64.StdEncoding.EncodeToString(sum),
		Shasum:       digests.SHA1,
		FileCount:    inside.Files,
		UnpackedSize: inside.UnpackedSize,
		Tarball:      "\x00/" + name + "/-/" + tarballName(name, number),
	}, c.User, text)
	return p, err
}

// words are what search finds a package by besides its name.
func words(manifest map[string]json.RawMessage) string {
	description, _ := asString(manifest["description"])
	var keywords []string
	if json.Unmarshal(manifest["keywords"], &keywords) != nil {
		one, _ := asString(manifest["keywords"])
		keywords = []string{one}
	}
	return description + "\n" + strings.Join(keywords, " ")
}

// checkDigests compares the digests that the client claims, where it does, with those of what arrived. An integrity
// (Subresource Integrity) may list several; those of an algorithm that we do not compute say nothing.
func checkDigests(claimed json.RawMessage, got registry.Digests) error {
	claims := asObject(claimed)
	if shasum, ok := asString(claims["shasum"]); ok && shasum != "" && !strings.EqualFold(shasum, got.SHA1) {
		return registry.Errorf(registry.Invalid, "shasum does not match: the tarball that arrived has %s, not %.64q", got.SHA1, shasum)
	}
	integrity, _ := asString(claims["integrity"])
	for claim := range strings.FieldsSeq(integrity) {
		algorithm, sum, _ := strings.Cut(claim, "-")
		sum, _, _ = strings.Cut(sum, "?")
		have, known := map[string]string{"md5": got.MD5, "sha1": got.SHA1, "sha256": got.SHA256, "sha512": got.SHA512}[algorithm]
		if !known && algorithm != "sha384" {
			return registry.Errorf(registry.Invalid, "integrity is malformed: %.200q", integrity)
		}
		raw, err := base64.StdEncoding.DecodeString(sum)
		if err != nil || known && hex.EncodeToString(raw) != have {
			return registry.Errorf(registry.Invalid, "integrity does not match: the tarball that arrived has another %s than %.200q", algorithm, sum)
		}
	}
	return nil
}

// conflict tells a version that exists from one that another project of the same top-level namespace has.
func (h *Handler) conflict(q *request, project *registry.Project, name, version string) error {
	err := h.hasVersion(q, project, name, version)
	switch {
	case err == nil:
		return registry.Errorf(registry.Forbidden, "Package already exists.")
	case registry.KindOf(err) == registry.NotFound:
		return registry.Errorf(registry.Invalid, "Validation failed: Package already exists in another project of %s", project.RootPath())
	}
	return err
}

// hasVersion is nil, or NotFound when the project does not have the version.
func (h *Handler) hasVersion(q *request, project *registry.Project, name, version string) error {
	return h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		entry, err := tx.Entry(project.ID, registry.NPM, name)
		if err != nil {
			return err
		}
		_, err = tx.PackageByVersion(entry.ID, version)
		return err
	})
}

// isDeprecation tells whether a document without a tarball is npm deprecate's, which names its command, or another
// client's that does the same.
func isDeprecation(q *request, b *body) bool {
	return q.Header.Get("Npm-Command") == "deprecate" || slices.ContainsFunc(b.Versions, func(v version) bool { return v.Deprecated != nil })
}

// deprecate sets or takes back why versions should not be used any more.
func (h *Handler) deprecate(w http.ResponseWriter, q *request, c *format.Caller, project *registry.Project, name string, b *body) error {
	if err := c.View.Authorize(c.Caller, project, access.Delete); err != nil {
		return err
	}
	reasons := map[string]string{}
	for _, v := range b.Versions {
		if v.Deprecated != nil {
			reasons[v.Version] = *v.Deprecated
		}
	}
	if len(reasons) == 0 {
		return registry.Errorf(registry.Invalid, `"package versions to deprecate" not given`)
	}
	if err := packageError(h.Registry.Deprecate(q.Context(), Format, project.ID, name, reasons)); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"success": true, "ok": true})
}

var errNoPackage = registry.Errorf(registry.NotFound, "404 Package Not Found")

// packageError names what was not found.
func packageError(err error) error {
	if registry.KindOf(err) == registry.NotFound {
		return errNoPackage
	}
	return err
}

// ---- unpublish

// putRevision answers PUT /:package/-rev/:rev with the packument less some versions: npm unpublish of one version. It
// also is how npm owner writes, which here says nothing: who may publish is decided by the project's members.
func (h *Handler) putRevision(w http.ResponseWriter, q *request, name, rev string) error {
	_, project, err := h.write(q, name, access.Delete)
	if err != nil {
		return err
	}
	b, err := h.readBody(q, h.MaxFile, func(string, io.Reader) error {
		return registry.Errorf(registry.Invalid, "a version is published with PUT /:package")
	})
	if err != nil {
		return err
	}
	if !b.HasVersions {
		return registry.Errorf(registry.Forbidden, "The owners of a package are the members of its project")
	}
	keep := map[string]bool{}
	for _, v := range b.Versions {
		keep[v.Version] = true
	}
	return h.unpublish(w, q, project, name, rev, func(version string) bool { return keep[version] })
}

// deletePackage answers DELETE /:package/-rev/:rev: npm unpublish of all versions.
func (h *Handler) deletePackage(w http.ResponseWriter, q *request, name, rev string) error {
	_, project, err := h.write(q, name, access.Delete)
	if err != nil {
		return err
	}
	return h.unpublish(w, q, project, name, rev, func(string) bool { return false })
}

// deleteVersion answers DELETE /:package/-/:file/-rev/:rev. npm sends it after the PUT that has removed the version
// already, so that there may be nothing left to do.
func (h *Handler) deleteVersion(w http.ResponseWriter, q *request, name, file, rev string) error {
	_, project, err := h.write(q, name, access.Delete)
	if err != nil {
		return err
	}
	gone, ok := versionOfFile(name, file)
	if !ok {
		return errNoPackage
	}
	err = h.hasVersion(q, project, name, gone)
	if registry.KindOf(err) == registry.NotFound {
		return writeJSON(w, http.StatusOK, map[string]any{"ok": true})
	}
	if err != nil {
		return err
	}
	return h.unpublish(w, q, project, name, rev, func(version string) bool { return version != gone })
}

func (h *Handler) unpublish(w http.ResponseWriter, q *request, project *registry.Project, name, rev string, keep func(string) bool) error {
	number, _, _ := strings.Cut(rev, "-")
	revision, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return registry.Errorf(registry.Conflict, "the revision %.64q is not one of this package; fetch it and try again", rev)
	}
	if err := packageError(h.Registry.Unpublish(q.Context(), Format, project.ID, name, revision, keep)); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"ok": true})
}

// ---- dist-tags

// listTags answers GET /-/package/:package/dist-tags.
func (h *Handler) listTags(w http.ResponseWriter, q *request, name string) error {
	f, err := h.find(q, name)
	if err == errNoPackages {
		return errNoPackage
	}
	if err != nil {
		return err
	}
	var tags map[string]string
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		packages, err := tx.Packages(f.IDs())
		if err != nil {
			return err
		}
		if len(packages) == 0 {
			return errNoPackage
		}
		set, err := tx.Tags(f.IDs())
		tags = distTags(packages, set)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, tags)
}

// setTag answers PUT /-/package/:package/dist-tags/:tag; the body is the version as a JSON string.
func (h *Handler) setTag(w http.ResponseWriter, q *request, name, tag string) error {
	_, project, err := h.write(q, name, access.Publish)
	if err != nil {
		return err
	}
	var version string
	if err := readJSON(q, &version); err != nil || strings.TrimSpace(version) == "" {
		return registry.Errorf(registry.Invalid, `"Version" not given`)
	}
	if err := validTag(tag); err != nil {
		return err
	}
	if err := packageError(h.Registry.SetTag(q.Context(), Format, project.ID, name, tag, version)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deleteTag answers DELETE /-/package/:package/dist-tags/:tag.
func (h *Handler) deleteTag(w http.ResponseWriter, q *request, name, tag string) error {
	_, project, err := h.write(q, name, access.Delete)
	if err != nil {
		return err
	}
	if strings.TrimSpace(tag) == "" {
		return registry.Errorf(registry.Invalid, `"Tag" not given`)
	}
	err = h.Registry.DeleteTag(q.Context(), Format, project.ID, name, tag)
	if registry.KindOf(err) == registry.NotFound {
		return registry.Errorf(registry.NotFound, "404 Package tag Not Found")
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// maxJSON bounds the small bodies, in bytes.
const maxJSON = 1 << 20

// readJSON reads a small body.
func readJSON(q *request, into any) error {
	text, err := io.ReadAll(io.LimitReader(q.Body, maxJSON+1))
	if err != nil {
		return err
	}
	if len(text) > maxJSON {
		return registry.Errorf(registry.TooLarge, "the body is too large (maximum is %d bytes)", maxJSON)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return registry.Errorf(registry.Invalid, "Invalid json")
	}
	return nil
}
