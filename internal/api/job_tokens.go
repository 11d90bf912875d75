package api

import (
	"net/http"
	"net/url"
	"regexp"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

const (
	jobLifetime    = 3600      // seconds
	maxJobLifetime = 24 * 3600 // seconds
)

func (a *API) jobTokenRoutes() []route {
	return []route{
		{"POST /projects/{id}/job_tokens", a.createJobToken, operation{tag: "Job tokens", summary: "Create the token of a CI job", out: jobTokenJSON{},
			in: []param{inName("ref"), inText("sha"), inText("web_url"), inName("source"), inNumber("expires_in").says("seconds")}}},
	}
}

type jobTokenJSON struct {
	Text      string       `json:"token"`
	ExpiresAt timestamp    `json:"expires_at"`
	Pipeline  pipelineJSON `json:"pipeline"`
}

// pipelineJSON is a CI run. It is numbered across the server and has no state here.
type pipelineJSON struct {
	ID        int64       `json:"id"`
	IID       int64       `json:"iid"`
	ProjectID int64       `json:"project_id"`
	SHA       string      `json:"sha"`
	Ref       string      `json:"ref"`
	Status    string      `json:"status"`
	Source    string      `json:"source"`
	CreatedAt timestamp   `json:"created_at"`
	UpdatedAt timestamp   `json:"updated_at"`
	WebURL    string      `json:"web_url"`
	User      *authorJSON `json:"user"`
}

// authorJSON is a user as the one who started a pipeline.
type authorJSON struct {
	userJSON
	PublicEmail string `json:"public_email"` // nobody's is
}

func (c *call) pipelineJSON(p *registry.Pipeline, u *registry.User, status string) pipelineJSON {
	j := pipelineJSON{ID: p.ID, IID: p.ID, ProjectID: p.ProjectID, SHA: p.SHA, Ref: p.Ref, Status: status, Source: p.Source,
		CreatedAt: timestamp(p.CreatedAt), UpdatedAt: timestamp(p.CreatedAt), WebURL: p.WebURL}
	if u != nil {
		j.User = &authorJSON{userJSON: c.userJSON(u)}
	}
	return j
}

var sha = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})?$`)

// createJobToken is not in GitLab, whose own runner gets such tokens: here another CI asks for one at the beginning of
// a job, and what the job publishes is shown with its commit and run.
func (a *API) createJobToken(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	pipeline := &registry.Pipeline{
		UserID: c.who.User.ID, Ref: c.text("ref", ""), SHA: c.text("sha", ""), WebURL: c.text("web_url", ""), Source: c.text("source", "external"),
	}
	c.short("ref", pipeline.Ref)
	c.short("source", pipeline.Source)
	if !sha.MatchString(pipeline.SHA) {
		c.problem("sha is invalid")
	}
	if web, err := url.Parse(pipeline.WebURL); pipeline.WebURL != "" && (err != nil || web.Host == "" || web.Scheme != "https" && web.Scheme != "http") {
		c.problem("web_url is invalid") // pages link to it, so no javascript: or data:
	}
	seconds := c.number("expires_in", jobLifetime)
	if seconds < 1 || seconds > maxJobLifetime {
		c.problem("expires_in does not have a valid value")
	}
	id := c.text("id", "")
	if err := c.wrong(); err != nil {
		return err
	}
	project, level, err := c.project(id)
	if err != nil {
		return err
	}
	if err := c.may(level, access.Publish); err != nil {
		return err
	}
	pipeline.ProjectID = project.ID
	expires := time.Now().Add(time.Duration(seconds) * time.Second)
	text, err := a.reg.JobToken(r.Context(), pipeline, expires)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, jobTokenJSON{text, timestamp(expires), c.pipelineJSON(pipeline, c.who.User, "running")})
}
