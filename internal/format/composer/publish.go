package composer

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"packhouse/internal/access"
	"packhouse/internal/format"
	"packhouse/internal/gitrepo"
	"packhouse/internal/registry"
)

// version is what the documents say of one version: the fragment of a package.
type version struct {
	Manifest  map[string]json.RawMessage `json:"manifest"`  // composer.json
	Reference string                     `json:"reference"` // the commit; of a zip that was published as it is, its SHA-1
	Shasum    string                     `json:"shasum"`    // SHA-1 of the archive
	Time      time.Time                  `json:"time"`      // of the commit or the publish
	Source    bool                       `json:"source"`    // the reference is a commit of the project's repository
	Default   bool                       `json:"default"`   // of the branch that a clone checks out
	Tag       string                     `json:"tag,omitempty"`
	Branch    string                     `json:"branch,omitempty"`
	Readme    string                     `json:"readme,omitempty"` // its path in the archive; the text is a fragment of its own
}

// fragment is the variant under which it is stored.
const fragment = "version"

// maxParams is how many bytes the parameters of a request may have.
const maxParams = 1 << 20

// publishRef answers POST of the project's prefix: a version from a tag or a branch.
func (h *Handler) publishRef(w http.ResponseWriter, q *request) error {
	c, project, params, err := h.asked(w, q)
	if err != nil {
		return err
	}
	tag, byTag := params["tag"]
	branch, byBranch := params["branch"]
	kind, name := gitrepo.Tag, tag
	switch {
	case byTag && byBranch:
		return format.ParamError("tag, branch are mutually exclusive")
	case byBranch:
		kind, name = gitrepo.Branch, branch
	case !byTag:
		return format.ParamError("tag, branch are missing, exactly one parameter must be provided")
	}
	word := map[gitrepo.Kind]string{gitrepo.Tag: "tag", gitrepo.Branch: "branch"}[kind]
	if !gitrepo.ValidRef(name) {
		return &refusal{http.StatusBadRequest, "The " + word + " refname is invalid"}
	}
	err = h.fromRef(q.Context(), project, c.UserID(), c.PipelineID(), kind, name)
	if errors.Is(err, errNoRef) {
		return registry.Errorf(registry.NotFound, "404 %s Not Found", strings.ToUpper(word[:1])+word[1:])
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, map[string]string{"message": "201 Created"})
}

// asked finds who may publish where, and what they say.
func (h *Handler) asked(w http.ResponseWriter, q *request) (c *format.Caller, p *registry.Project, params map[string]string, err error) {
	if c, p, err = h.Project(q.Request, q.at.Project, access.Publish); err == nil {
		params, err = readParams(w, q.Request)
	}
	return c, p, params, err
}

// readParams are the parameters of a request that are texts: in the query, and in the body as a form or as JSON.
func readParams(w http.ResponseWriter, r *http.Request) (map[string]string, error) {
	params := map[string]string{}
	merge := func(values url.Values) {
		for name, all := range values {
			params[name] = all[len(all)-1]
		}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, format.ParamError("the query is invalid")
	}
	merge(query)
	// In a copy, so that the server still gets at what is left of a body that was refused.
	limited := r.WithContext(r.Context())
	limited.Body = http.MaxBytesReader(w, r.Body, maxParams)
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch media {
	case "application/json":
		var body map[string]any
		if err = json.NewDecoder(limited.Body).Decode(&body); err == io.EOF {
			return params, nil
		}
		for name, value := range body {
			if text, ok := value.(string); ok {
				params[name] = text
			} else if value != nil {
				return nil, format.ParamError(name + " is invalid")
			}
		}
	case "multipart/form-data":
		if err = limited.ParseMultipartForm(maxParams); err == nil {
			merge(limited.MultipartForm.Value)
		}
	default:
		if err = limited.ParseForm(); err == nil {
			merge(limited.PostForm)
		}
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, registry.Errorf(registry.TooLarge, "413 Request Entity Too Large")
	}
	if err != nil {
		return nil, format.ParamError("message body does not match declared format")
	}
	return params, nil
}

var errNoRef = registry.Errorf(registry.NotFound, "404 Not Found")

// fromRef publishes what a tag or branch names. Of one project, one at a time does so: who looks the branch up last must be
// the last one to publish it. It returns errNoRef when there is no such ref, a refusal for what is wrong with the commit, and what
// [registry.Registry.Publish] returns.
func (h *Handler) fromRef(ctx context.Context, project *registry.Project, user, pipeline int64, kind gitrepo.Kind, name string) error {
	if err := h.Repos.Ready(); err != nil {
		return err
	}
	unlock, err := h.Repos.Lock(ctx, project.ID)
	if err != nil {
		return err
	}
	defer unlock()
	commit, err := h.Repos.Resolve(ctx, project.ID, kind, name)
	if registry.KindOf(err) == registry.NotFound {
		return errNoRef
	}
	if err != nil {
		return err
	}
	text, err := h.Repos.File(ctx, project.ID, commit.ID, "composer.json", maxManifest)
	switch registry.KindOf(err) {
	case registry.NotFound:
		return errNoManifest
	case registry.TooLarge:
		return failed("composer.json is larger than %d bytes", maxManifest)
	}
	if err != nil {
		return err
	}
	m, err := readManifest(text)
	if err != nil {
		return err
	}
	number, how := branchVersion(name), registry.Float
	if kind == gitrepo.Tag {
		var ok bool
		if number, ok = tagVersion(name); !ok {
			return failed("Version is invalid: Composer cannot read the version of the tag %.100q", name)
		}
		how = registry.Point
	}
	if len(number) > maxName {
		return failed("Version is invalid: it is too long")
	}
	p := &publication{project: project, user: user, pipeline: pipeline, manifest: m, number: number, how: how}
	p.Reference, p.Time, p.Source = commit.ID, commit.Committer.At, true
	if kind == gitrepo.Tag {
		p.Tag = name
	} else {
		p.Branch, p.Default = name, h.Repos.Head(project.ID) == name
	}
	policy, err := h.policy(ctx, p)
	if err != nil {
		return err
	}
	staged, err := h.archive(ctx, project, m.name, commit.ID, policy.MaxFile(registry.Composer, h.MaxFile))
	if err != nil {
		return err
	}
	defer staged.Discard()
	return h.publish(ctx, p, staged)
}

// archive stages the archive of a commit: the one that is there, when there is one, so that it is made once.
func (h *Handler) archive(ctx context.Context, project *registry.Project, name, commit string, most int64) (staged registry.Staged, err error) {
	var entry *registry.Entry
	err = h.Registry.Store.Read(ctx, func(tx registry.Tx) (err error) {
		entry, err = tx.Entry(project.ID, registry.Composer, name)
		return err
	})
	if err == nil {
		file, err := h.Registry.Store.FileOfEntry(ctx, entry.ID, archiveName(name, commit))
		if err == nil {
			blob, err := h.Registry.Blobs.Open(ctx, file.SHA256)
			if err != nil {
				return nil, err
			}
			defer blob.Close()
			return h.Registry.Blobs.Stage(ctx, blob)
		}
		if registry.KindOf(err) != registry.NotFound {
			return nil, err
		}
	} else if registry.KindOf(err) != registry.NotFound {
		return nil, err
	}
	err = h.Repos.Archive(ctx, project.ID, commit, folder(project, commit), func(out io.Reader) (err error) {
		staged, err = h.Registry.Blobs.Stage(ctx, &format.Limited{Reader: out, Left: most, Err: errTooLarge})
		return err
	})
	if err != nil && staged != nil {
		staged.Discard()
	}
	return staged, err
}

var errTooLarge = registry.Errorf(registry.TooLarge, "File is too large")

// publication is a version that is about to be published.
type publication struct {
	version
	project        *registry.Project
	user, pipeline int64
	manifest       *manifest
	number         string // the version
	how            registry.Way
}

// policy is that of the project, asked early whether the actor may publish the name at all.
func (h *Handler) policy(ctx context.Context, p *publication) (*registry.Policy, error) {
	view, err := h.Gate.Now(ctx)
	if err != nil {
		return nil, err
	}
	policy, err := view.Policy(0, p.project.ID)
	if err != nil {
		return nil, err
	}
	return policy, h.Registry.MayPush(ctx, policy, p.project.ID, registry.Composer, p.manifest.name)
}

// publish does the rest, which is the same for commits and zips.
func (h *Handler) publish(ctx context.Context, p *publication, staged registry.Staged) error {
	name := p.manifest.name
	normalized, _ := normalize(p.number)
	p.Manifest, p.Shasum = p.manifest.fields, staged.Digests().SHA1
	var prose []byte
	p.Readme, prose = findReadme(staged, staged.Digests().Size, p.manifest)
	text, err := json.Marshal(p.version)
	if err != nil {
		return err
	}
	fragments := map[string][]byte{fragment: text}
	if p.Readme != "" {
		fragments[readme] = prose
	}
	err = h.Registry.Publish(ctx, Format, &registry.Publication{
		Package: registry.Package{ProjectID: p.project.ID, Name: name, Version: p.number, VersionKey: normalized, // to Composer 1.0 and 1.0.0 are one
			Words: p.manifest.words(), CreatorID: p.user, PipelineID: p.pipeline},
		EntryName: name, How: p.how, OwnName: true,
		Files:     []registry.PublicationFile{{Name: archiveName(name, p.Reference), Content: staged}},
		Fragments: fragments,
	})
	if registry.KindOf(err) == registry.Conflict {
		return failed("%s", registry.MessageOf(err))
	}
	return err
}

// publishZip answers PUT of the project's prefix: a zip as the body, or as the part "package" of a form. The version is the one
// in composer.json or the parameter "version".
func (h *Handler) publishZip(w http.ResponseWriter, q *request) error {
	c, project, policy, err := h.Publishing(q.Request, q.at.Project)
	if err != nil {
		return err
	}
	most := policy.MaxFile(registry.Composer, h.MaxFile)
	if q.ContentLength > most+maxParams {
		return errTooLarge
	}
	staged, number, err := h.receiveZip(q.Request, most)
	if staged != nil {
		defer staged.Discard()
	}
	if err != nil {
		return err
	}
	text, err := readZip(staged, staged.Digests().Size)
	if err != nil {
		return err
	}
	m, err := readManifest(text)
	if err != nil {
		return err
	}
	if number == "" {
		number = m.version
	}
	normalized, ok := normalize(number)
	switch inside, _ := normalize(m.version); {
	case number == "":
		return failed("Version can't be blank: composer.json names none, so the parameter version must")
	case !ok, len(number) > maxName, !utf8.ValidString(number), strings.ContainsAny(number, phpSpace+"@"):
		return failed("Version is invalid: Composer cannot read %.100q", number)
	case m.version != "" && inside != normalized:
		return failed("Version is invalid: it is %.100s in composer.json, and %.100s in the request", m.version, number)
	}
	how := registry.Float
	if !isDev(normalized) {
		number, _ = tagVersion(number)
		how = registry.Point
	}
	p := &publication{project: project, user: c.UserID(), pipeline: c.PipelineID(), manifest: m, number: number, how: how}
	p.Reference, p.Time = staged.Digests().SHA1, time.Now().UTC().Truncate(time.Second)
	if err := h.publish(q.Context(), p, staged); err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, map[string]string{"message": "201 Created"})
}

// receiveZip stages the archive of a request. version is the parameter, or "".
func (h *Handler) receiveZip(r *http.Request, most int64) (staged registry.Staged, version string, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, "", format.ParamError("the query is invalid")
	}
	version = query.Get("version")
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "multipart/form-data" {
		if r.ContentLength == 0 {
			return nil, "", format.ParamError("package is missing")
		}
		staged, err = h.Registry.Blobs.Stage(r.Context(), &format.Limited{Reader: format.Upload{Reader: r.Body}, Left: most, Err: errTooLarge})
		return staged, version, err
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, "", format.ParamError("message body does not match declared format")
	}
	for left := 100; ; left-- {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return staged, "", format.CutOff(err)
		}
		switch name := part.FormName(); {
		case name == "package" && staged != nil, left == 0:
			return staged, "", format.ParamError("package is invalid")
		case name == "package":
			if staged, err = h.Registry.Blobs.Stage(r.Context(), &format.Limited{Reader: format.Upload{Reader: part}, Left: most, Err: errTooLarge}); err != nil {
				return nil, "", err
			}
		default:
			text, err := io.ReadAll(io.LimitReader(part, maxParams+1))
			if err != nil {
				return staged, "", format.CutOff(err)
			}
			if len(text) > maxParams {
				return staged, "", errTooLarge
			}
			if name == "version" {
				version = string(text)
			}
		}
	}
	if staged == nil {
		return nil, "", format.ParamError("package is missing")
	}
	return staged, version, nil
}

// Pushed publishes the tags and branches that came or moved, where the project says so. What cannot be published is in the audit
// log of the project; the error is that nothing was tried.
func (h *Handler) Pushed(ctx context.Context, project *registry.Project, user, pipeline int64, changes []gitrepo.Change) error {
	view, err := h.Gate.Now(ctx)
	var policy *registry.Policy
	if err == nil {
		policy, err = view.Policy(0, project.ID)
	}
	if err != nil || !policy.AutoPublishes(registry.Composer) || project.RegistryAccess == registry.RegistryDisabled {
		return err
	}
	for _, change := range changes {
		err := h.fromRef(ctx, project, user, pipeline, change.Kind, change.Name)
		if err == nil || errors.Is(err, errNoRef) { // it went again
			continue
		}
		var refused *refusal
		why := registry.MessageOf(err)
		if errors.As(err, &refused) {
			why = refused.message
		}
		word := map[gitrepo.Kind]string{gitrepo.Tag: "tag ", gitrepo.Branch: "branch "}[change.Kind]
		if why == "" {
			slog.ErrorContext(ctx, "publish what was pushed", "project", project.ID, "ref", word+change.Name, "err", err)
			why = "500 Internal Server Error"
		}
		err = h.Registry.Store.Write(ctx, func(tx registry.Tx) error {
			return tx.Record(&registry.Event{Name: registry.NotPublished, ProjectID: project.ID, Target: "composer " + word + strings.ToValidUTF8(change.Name, "?"), Detail: why})
		})
		if err != nil {
			slog.ErrorContext(ctx, "note what was not published", "project", project.ID, "err", err)
		}
	}
	return nil
}

// abandon answers POST of the project's prefix /abandon: the parameter name, with a replacement or not, or abandoned=false.
func (h *Handler) abandon(w http.ResponseWriter, q *request) error {
	_, project, params, err := h.asked(w, q)
	if err != nil {
		return err
	}
	name, replacement := params["name"], params["replacement"]
	reason := abandoned
	switch {
	case name == "":
		return format.ParamError("name is missing")
	case replacement != "" && !validName(replacement):
		return format.ParamError("replacement is invalid")
	case params["abandoned"] == "false":
		reason = ""
	case replacement != "":
		reason = replacement
	}
	if !validName(name) {
		return format.ErrNoPackage
	}
	reasons := map[string]string{}
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		entry, err := tx.Entry(project.ID, registry.Composer, name)
		if err != nil {
			return err
		}
		versions, err := tx.Versions(entry.ID)
		for _, v := range versions {
			reasons[v.Version] = reason
		}
		return err
	})
	if err == nil {
		err = h.Registry.Deprecate(q.Context(), Format, project.ID, name, reasons)
	}
	if registry.KindOf(err) == registry.NotFound {
		return format.ErrNoPackage
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, map[string]string{"message": "201 Created"})
}

// abandoned is why a version is deprecated that nothing replaces.
const abandoned = "abandoned"
