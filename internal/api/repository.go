package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/gitrepo"
	"packhouse/internal/registry"
)

// ChangeRefs lets change move branches and tags of a project as it is asked for, on behalf of a user, and does what follows.
type ChangeRefs func(ctx context.Context, project *registry.Project, user int64, asked gitrepo.Asked, change func() error) error

func (a *API) repositoryRoutes() []route {
	const tag, tags, branches, mirror = "Repository", "/projects/{id}/repository/tags", "/projects/{id}/repository/branches", "/projects/{id}/mirror/pull"
	search := inText("search").says("in the name; ^ and $ stand for its ends")
	ref := inText("ref").must().says("a branch, a tag or a commit")
	return []route{
		{"GET " + tags, a.listTags, operation{tag: tag, summary: "Tags of a project's repository", out: []tagJSON{},
			in: append([]param{inChoice("order_by", "name", "updated", "version"), inSort, search}, inPages...)}},
		{"GET " + tags + "/{tag_name}", a.showTag, operation{tag: tag, summary: "A tag", out: tagJSON{}}},
		{"POST " + tags, a.createTag, operation{tag: tag, summary: "Create a tag; with a message, an annotated one", out: tagJSON{}, in: []param{inName("tag_name").must(), ref, inText("message")}}},
		{"DELETE " + tags + "/{tag_name}", a.deleteRef(gitrepo.Tag), operation{tag: tag, summary: "Delete a tag"}},
		{"GET " + branches, a.listBranches, operation{tag: tag, summary: "Branches of a project's repository", out: []branchJSON{},
			in: append([]param{search, inChoice("sort", "name_asc", "updated_asc", "updated_desc")}, inPages...)}},
		{"GET " + branches + "/{branch}", a.showBranch, operation{tag: tag, summary: "A branch", out: branchJSON{}}},
		{"POST " + branches, a.createBranch, operation{tag: tag, summary: "Create a branch", out: branchJSON{}, in: []param{inName("branch").must(), ref}}},
		{"DELETE " + branches + "/{branch}", a.deleteRef(gitrepo.Branch), operation{tag: tag, summary: "Delete a branch"}},
		{"GET " + mirror, a.showMirror, operation{tag: tag, summary: "The remote that a project's repository follows, and how the last fetch ended", out: mirrorJSON{}}},
		{"PUT " + mirror, a.changeMirror, operation{tag: tag, summary: "Let a project's repository follow a remote one, or no longer", out: mirrorJSON{},
			in: []param{inFlag("enabled"), inText("url").says("http or https"), inText("auth_user"), inText("auth_password")}}},
		{"POST " + mirror, a.fetchMirror, operation{tag: tag, summary: "Fetch from the remote now, in the background", out: mirrorJSON{}, status: http.StatusOK}},
	}
}

type commitJSON struct {
	ID             string            `json:"id"`
	ShortID        string            `json:"short_id"`
	CreatedAt      timestamp         `json:"created_at"`
	ParentIDs      []string          `json:"parent_ids"`
	Title          string            `json:"title"`
	Message        string            `json:"message"`
	AuthorName     string            `json:"author_name"`
	AuthorEmail    string            `json:"author_email"`
	AuthoredAt     timestamp         `json:"authored_date"`
	CommitterName  string            `json:"committer_name"`
	CommitterEmail string            `json:"committer_email"`
	CommittedAt    timestamp         `json:"committed_date"`
	Trailers       map[string]string `json:"trailers"` // empty
	WebURL         string            `json:"web_url"`
}

type tagJSON struct {
	Name      string      `json:"name"`
	Message   *string     `json:"message"` // of an annotated tag
	Target    string      `json:"target"`  // of an annotated tag, its own object
	Commit    *commitJSON `json:"commit"`  // null: a tag of what is no commit
	Release   *struct{}   `json:"release"` // null
	Protected bool        `json:"protected"`
	CreatedAt timestamp   `json:"created_at"` // of an annotated tag
}

type branchJSON struct {
	Name               string      `json:"name"`
	Commit             *commitJSON `json:"commit"`
	Merged             bool        `json:"merged"`
	Protected          bool        `json:"protected"`
	DevelopersCanPush  bool        `json:"developers_can_push"`
	DevelopersCanMerge bool        `json:"developers_can_merge"`
	CanPush            bool        `json:"can_push"`
	Default            bool        `json:"default"`
	WebURL             string      `json:"web_url"`
}

// repository is a request about the repository of a project.
type repository struct {
	*call
	project *registry.Project
	level   registry.Level
}

func (q *repository) commitJSON(c *gitrepo.Commit) *commitJSON {
	if c == nil {
		return nil
	}
	text := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
	return &commitJSON{ID: c.ID, ShortID: c.ID[:8], CreatedAt: timestamp(c.Committer.At), ParentIDs: append([]string{}, c.Parents...), Title: text(c.Title), Message: text(c.Message),
		AuthorName: text(c.Author.Name), AuthorEmail: text(c.Author.Email), AuthoredAt: timestamp(c.Author.At),
		CommitterName: text(c.Committer.Name), CommitterEmail: text(c.Committer.Email), CommittedAt: timestamp(c.Committer.At),
		Trailers: map[string]string{}, WebURL: q.base + "/" + q.project.FullPath + "/-/commit/" + c.ID}
}

func (q *repository) tagJSON(r *gitrepo.Ref) tagJSON {
	return tagJSON{Name: strings.ToValidUTF8(r.Name, "\uFFFD"), Message: orNull(strings.ToValidUTF8(r.Message, "\uFFFD")), Target: r.Target, Commit: q.commitJSON(r.Commit), CreatedAt: timestamp(r.Tagged)}
}

func (q *repository) branchJSON(r *gitrepo.Ref) branchJSON {
	return branchJSON{Name: strings.ToValidUTF8(r.Name, "\uFFFD"), Commit: q.commitJSON(r.Commit), Default: r.Default,
		CanPush: !q.project.Archived && q.level >= access.Push.Level(), WebURL: q.base + "/" + q.project.FullPath + "/-/tree/" + url.PathEscape(r.Name)}
}

// repository opens a request that reads, when what it read of the parameters is right.
func (a *API) readRepository(w http.ResponseWriter, r *http.Request, parameters func(*call)) (*repository, error) {
	c, err := a.anyone(w, r, registry.ScopeReadRepository)
	if err != nil {
		return nil, err
	}
	id := c.text("id", "")
	parameters(c)
	if err := c.wrong(); err != nil {
		return nil, err
	}
	p, level, err := c.project(id)
	return &repository{c, p, level}, err
}

// writeRepository opens a request that changes branches or tags.
func (a *API) writeRepository(w http.ResponseWriter, r *http.Request, parameters func(*call)) (*repository, error) {
	c, err := a.signedIn(w, r)
	if err != nil {
		return nil, err
	}
	id := c.text("id", "")
	parameters(c)
	if err := c.wrong(); err != nil {
		return nil, err
	}
	p, level, err := c.project(id)
	if err == nil {
		err = c.may(level, access.Push)
	}
	if err == nil && p.Archived {
		err = errForbidden
	}
	if err != nil {
		return nil, err
	}
	m, err := a.mirrorOf(r, p.ID)
	if err == nil && m.Enabled {
		err = refuse(http.StatusForbidden, "403 Forbidden - this repository follows "+m.URL)
	}
	return &repository{c, p, level}, err
}

func (a *API) listTags(w http.ResponseWriter, r *http.Request) error {
	var pg page
	var order gitrepo.Order
	var search string
	var descending bool
	q, err := a.readRepository(w, r, func(c *call) {
		pg, search = c.page(), c.text("search", "")
		order = gitrepo.Order(c.choice("order_by", "updated", "name", "updated", "version"))
		descending = c.choice("sort", "desc", "asc", "desc") == "desc"
	})
	if err != nil {
		return err
	}
	refs, total, err := a.repos.Refs(r.Context(), q.project.ID, gitrepo.Tag, search, order, descending, pg.size, pg.offset())
	if err != nil {
		return err
	}
	return q.writePage(w, r, pg, total, each(refs, q.tagJSON))
}

func (a *API) listBranches(w http.ResponseWriter, r *http.Request) error {
	var pg page
	var sort, search string
	q, err := a.readRepository(w, r, func(c *call) {
		pg, search, sort = c.page(), c.text("search", ""), c.choice("sort", "name_asc", "name_asc", "updated_asc", "updated_desc")
	})
	if err != nil {
		return err
	}
	order := gitrepo.ByUpdate
	if sort == "name_asc" {
		order = gitrepo.ByName
	}
	refs, total, err := a.repos.Refs(r.Context(), q.project.ID, gitrepo.Branch, search, order, sort == "updated_desc", pg.size, pg.offset())
	if err != nil {
		return err
	}
	return q.writePage(w, r, pg, total, each(refs, q.branchJSON))
}

var errNoTag, errNoBranch = registry.Errorf(registry.NotFound, "404 Tag Not Found"), registry.Errorf(registry.NotFound, "404 Branch Not Found")

func (a *API) showTag(w http.ResponseWriter, r *http.Request) error {
	q, ref, err := a.readRef(w, r, "tag_name", gitrepo.Tag, errNoTag)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, q.tagJSON(ref))
}

func (a *API) showBranch(w http.ResponseWriter, r *http.Request) error {
	q, ref, err := a.readRef(w, r, "branch", gitrepo.Branch, errNoBranch)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, q.branchJSON(ref))
}

// readRef opens a request that reads one branch or tag.
func (a *API) readRef(w http.ResponseWriter, r *http.Request, param string, kind gitrepo.Kind, missing error) (*repository, *gitrepo.Ref, error) {
	var name string
	q, err := a.readRepository(w, r, func(c *call) { name = c.text(param, "") })
	if err != nil {
		return nil, nil, err
	}
	ref, err := a.repos.Ref(r.Context(), q.project.ID, kind, name)
	return q, ref, orElse(err, registry.NotFound, missing)
}

// createRef makes a branch or tag at a commit.
func (a *API) createRef(r *http.Request, q *repository, kind gitrepo.Kind, name, at, message string, taken, noName, noTarget error) (*gitrepo.Ref, error) {
	if !gitrepo.ValidRef(name) {
		return nil, noName
	}
	commit, err := a.repos.ResolveAny(r.Context(), q.project.ID, at)
	if err != nil {
		return nil, orElse(err, registry.NotFound, noTarget)
	}
	by := gitrepo.Signature{Name: q.who.User.Name, Email: q.who.User.Email, At: time.Now()}
	err = a.change(r.Context(), q.project, q.who.UserID(), gitrepo.Asked{string(kind) + name: gitrepo.AnyObject},
		func() error { return a.repos.Create(r.Context(), q.project.ID, kind, name, commit.ID, message, by) })
	if err != nil {
		return nil, orElse(err, registry.Conflict, taken)
	}
	return a.repos.Ref(r.Context(), q.project.ID, kind, name)
}

func (a *API) createTag(w http.ResponseWriter, r *http.Request) error {
	var name, at, message string
	q, err := a.writeRepository(w, r, func(c *call) { name, at, message = c.required("tag_name"), c.required("ref"), c.text("message", "") })
	if err != nil {
		return err
	}
	ref, err := a.createRef(r, q, gitrepo.Tag, name, at, message, refuse(http.StatusBadRequest, "Tag "+name+" already exists"),
		refuse(http.StatusBadRequest, "Tag name invalid"), refuse(http.StatusBadRequest, "Target "+at+" is invalid"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, q.tagJSON(ref))
}

func (a *API) createBranch(w http.ResponseWriter, r *http.Request) error {
	var name, at string
	q, err := a.writeRepository(w, r, func(c *call) { name, at = c.required("branch"), c.required("ref") })
	if err != nil {
		return err
	}
	ref, err := a.createRef(r, q, gitrepo.Branch, name, at, "", refuse(http.StatusBadRequest, "Branch already exists"),
		refuse(http.StatusBadRequest, "Branch name is invalid"), refuse(http.StatusBadRequest, "Invalid reference name: "+at))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, q.branchJSON(ref))
}

func (a *API) deleteRef(kind gitrepo.Kind) handler {
	param, missing := "tag_name", errNoTag
	if kind == gitrepo.Branch {
		param, missing = "branch", errNoBranch
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		var name string
		q, err := a.writeRepository(w, r, func(c *call) { name = c.text(param, "") })
		if err != nil {
			return err
		}
		if kind == gitrepo.Branch && name == a.repos.Head(q.project.ID) {
			return refuse(http.StatusBadRequest, "Cannot remove HEAD branch")
		}
		err = a.change(r.Context(), q.project, q.who.UserID(), gitrepo.Asked{string(kind) + name: ""}, func() error { return a.repos.Delete(r.Context(), q.project.ID, kind, name) })
		if err != nil {
			return orElse(err, registry.NotFound, missing)
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// ---- the remote that a repository follows

type mirrorJSON struct {
	ID         int64     `json:"id"` // of the project
	Enabled    bool      `json:"enabled"`
	URL        string    `json:"url"`
	Status     string    `json:"update_status"` // none, scheduled, started, finished, failed
	LastError  *string   `json:"last_error"`
	StartedAt  timestamp `json:"last_update_started_at"`
	UpdatedAt  timestamp `json:"last_update_at"`
	Successful timestamp `json:"last_successful_update_at"`
	Overwrites bool      `json:"mirror_overwrites_diverged_branches"` // true: the repository is what the remote is
}

func newMirrorJSON(m *registry.Mirror) mirrorJSON {
	j := mirrorJSON{ID: m.ProjectID, Enabled: m.Enabled, URL: m.URL, Status: m.State(), LastError: orNull(m.Error), StartedAt: timestamp(m.StartedAt), UpdatedAt: timestamp(m.EndedAt),
		Successful: timestamp(m.Succeeded), Overwrites: true}
	if u, err := url.Parse(m.URL); err == nil && m.User+m.Password != "" { // as GitLab shows that there is a password
		j.URL = u.Scheme + "://*****:*****@" + u.Host + u.EscapedPath()
	}
	return j
}

// mirrorOf is that of a project; one that never had any has one that is not enabled.
func (a *API) mirrorOf(r *http.Request, project int64) (m *registry.Mirror, err error) {
	err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) error {
		m, err = tx.Mirror(project)
		return err
	})
	if registry.KindOf(err) == registry.NotFound {
		return &registry.Mirror{ProjectID: project}, nil
	}
	return m, err
}

var errNoMirror = refuse(http.StatusBadRequest, "The project is not mirrored")

// mirrored opens a request about a mirror.
func (a *API) mirrored(w http.ResponseWriter, r *http.Request, action access.Action) (*call, *registry.Project, error) {
	c, err := a.signedIn(w, r)
	if err != nil {
		return nil, nil, err
	}
	project, _, err := a.projectFor(c, action, c.project)
	if err == nil && action != access.Inspect && project.Archived {
		err = errForbidden
	}
	return c, project, err
}

func (a *API) showMirror(w http.ResponseWriter, r *http.Request) error {
	_, project, err := a.mirrored(w, r, access.Inspect)
	if err != nil {
		return err
	}
	m, err := a.mirrorOf(r, project.ID)
	if err == nil && m.URL == "" {
		err = errNoMirror
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newMirrorJSON(m))
}

func (a *API) changeMirror(w http.ResponseWriter, r *http.Request) error {
	c, project, err := a.mirrored(w, r, access.Manage)
	if err != nil {
		return err
	}
	c.atLeastOne("enabled", "url", "auth_user", "auth_password")
	remote, user, password, enabled := c.change("url"), c.change("auth_user"), c.change("auth_password"), c.maybe("enabled")
	if err := c.wrong(); err != nil {
		return err
	}
	if err := a.repos.Ready(); err != nil {
		return err
	}
	m, err := a.reg.ChangeMirror(r.Context(), project.ID, func(m *registry.Mirror) error {
		if remote.given {
			text := remote.value
			if u, err := url.Parse(text); err == nil && u.User != nil { // as GitLab's scripts give them
				m.User = u.User.Username()
				m.Password, _ = u.User.Password()
				u.User = nil
				text = u.String()
			} else if text != m.URL {
				m.User, m.Password = "", "" // they are for the host that they were given for
			}
			m.URL = text
			if _, err := gitrepo.ParseRemote(m.URL); err != nil {
				return invalid("import_url", "%s", registry.MessageOf(err))
			}
		}
		user.set(&m.User)
		password.set(&m.Password)
		if strings.ContainsAny(m.User, ":\r\n") || strings.ContainsAny(m.Password, "\r\n") {
			return invalid("auth_user", "is invalid")
		}
		m.Enabled = m.Enabled || remote.given
		if enabled != nil {
			m.Enabled = *enabled
		}
		if m.Enabled && m.URL == "" {
			return invalid("import_url", "can't be blank")
		}
		m.UserID = c.who.User.ID
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newMirrorJSON(m))
}

func (a *API) fetchMirror(w http.ResponseWriter, r *http.Request) error {
	_, project, err := a.mirrored(w, r, access.Push)
	if err != nil {
		return err
	}
	err = a.reg.FetchMirror(r.Context(), project.ID)
	if registry.KindOf(err) == registry.NotFound {
		err = errNoMirror
	}
	if err != nil {
		return err
	}
	m, err := a.mirrorOf(r, project.ID)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newMirrorJSON(m))
}

// defaultBranch is the one that a clone checks out; null: there is none yet.
func (c *call) defaultBranch(project int64) *string { return orNull(c.repos.Head(project)) }
