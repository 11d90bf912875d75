package api

import (
	"slices"
	"strconv"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// packageJSON is a package in lists, and with Versions on its own.
type packageJSON struct {
	ID               int64             `json:"id"`
	Name             string            `json:"name"`
	Version          *string           `json:"version"`
	Type             registry.Type     `json:"package_type"`
	Status           string            `json:"status"`
	Links            packageLinksJSON  `json:"_links"`
	CreatedAt        timestamp         `json:"created_at"`
	LastDownloadedAt timestamp         `json:"last_downloaded_at"`
	Downloads        int64             `json:"download_count"`
	CreatorID        *int64            `json:"creator_id"`
	ProjectID        int64             `json:"project_id,omitempty"`   // lists of groups only
	ProjectPath      string            `json:"project_path,omitempty"` // the same
	Tags             []packageTagJSON  `json:"tags"`
	Pipeline         *pipelineJSON     `json:"pipeline,omitempty"` // which published it
	Pipelines        []pipelineJSON    `json:"pipelines,omitempty"`
	Versions         *[]packageVersion `json:"versions,omitempty"` // the others of its name
}

type packageLinksJSON struct {
	Web    string `json:"web_path,omitempty"`        // without a host
	Delete string `json:"delete_api_path,omitempty"` // with it; for those who may
}

type packageTagJSON struct {
	ID        int64     `json:"id"`
	PackageID int64     `json:"package_id"`
	Name      string    `json:"name"`
	CreatedAt timestamp `json:"created_at"`
	UpdatedAt timestamp `json:"updated_at"`
	ProjectID int64     `json:"project_id"`
}

type packageVersion struct {
	ID        int64            `json:"id"`
	Version   *string          `json:"version"`
	CreatedAt timestamp        `json:"created_at"`
	Tags      []packageTagJSON `json:"tags"`
	Pipeline  *pipelineJSON    `json:"pipeline,omitempty"`
}

// packageFileJSON is a file; a digest is null where the format computes none.
type packageFileJSON struct {
	ID        int64          `json:"id"`
	PackageID int64          `json:"package_id"`
	CreatedAt timestamp      `json:"created_at"`
	Name      string         `json:"file_name"`
	Size      int64          `json:"size"`
	Downloads int64          `json:"download_count"`
	MD5       *string        `json:"file_md5"`
	SHA1      *string        `json:"file_sha1"`
	SHA256    *string        `json:"file_sha256"`
	Pipelines []pipelineJSON `json:"pipelines,omitempty"`
}

// extras is what belongs to some packages.
type extras struct {
	tags      map[int64][]*registry.Tag    // by package
	pipelines map[int64]*registry.Pipeline // by id
	users     map[int64]*registry.User     // who started the pipelines, by id
}

// lookupBatch bounds the ids in one query. No page has more packages; the versions of one name may.
const lookupBatch = 1000

// extrasOf reads what belongs to packages, in three queries for all of them.
func extrasOf(tx registry.Tx, packages []*registry.Package) (*extras, error) {
	x := &extras{map[int64][]*registry.Tag{}, map[int64]*registry.Pipeline{}, map[int64]*registry.User{}}
	for packages := range slices.Chunk(packages, lookupBatch) {
		var ids, pipelines, users []int64
		for _, p := range packages {
			ids = append(ids, p.ID)
			if p.PipelineID != 0 {
				pipelines = append(pipelines, p.PipelineID)
			}
		}
		tags, err := tx.TagsOf(ids)
		if err != nil {
			return nil, err
		}
		for _, tag := range tags {
			x.tags[tag.PackageID] = append(x.tags[tag.PackageID], tag)
		}
		if len(pipelines) == 0 {
			continue
		}
		found, err := tx.Pipelines(pipelines)
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			x.pipelines[p.ID] = p
			if p.UserID != 0 && x.users[p.UserID] == nil {
				users = append(users, p.UserID)
			}
		}
		if len(users) == 0 {
			continue
		}
		people, _, err := tx.Users(registry.UserFilter{IDs: users, Limit: len(users)})
		if err != nil {
			return nil, err
		}
		for _, u := range people {
			x.users[u.ID] = u
		}
	}
	return x, nil
}

// packageJSON is a package of a project. deletes says whether the caller may delete it.
func (c *call) packageJSON(p *registry.Package, project *registry.Project, deletes bool, x *extras) packageJSON {
	j := packageJSON{ID: p.ID, Name: p.Name, Version: orNull(p.Version), Type: p.Type, Status: p.Status.String(), CreatedAt: timestamp(p.CreatedAt),
		LastDownloadedAt: timestamp(p.LastDownloadedAt), Downloads: p.Downloads, CreatorID: orNull(p.CreatorID), Tags: x.tagsJSON(p), Pipeline: c.publishedBy(p, x)}
	id := strconv.FormatInt(p.ID, 10)
	if p.Status == registry.Default || p.Status == registry.Deprecated {
		j.Links.Web = "/" + project.FullPath + "/-/packages/" + id
	}
	if deletes {
		j.Links.Delete = c.base + "/api/v4/projects/" + strconv.FormatInt(project.ID, 10) + "/packages/" + id
	}
	if j.Pipeline != nil {
		j.Pipelines = []pipelineJSON{*j.Pipeline}
	}
	return j
}

// publishedBy is the pipeline that published a package, or nil.
func (c *call) publishedBy(p *registry.Package, x *extras) *pipelineJSON {
	pipeline := x.pipelines[p.PipelineID]
	if pipeline == nil {
		return nil
	}
	return new(c.pipelineJSON(pipeline, x.users[pipeline.UserID], "success")) // or it would have published nothing
}

func (x *extras) tagsJSON(p *registry.Package) []packageTagJSON {
	return each(x.tags[p.ID], func(t *registry.Tag) packageTagJSON {
		return packageTagJSON{t.ID, t.PackageID, t.Name, timestamp(t.CreatedAt), timestamp(t.UpdatedAt), p.ProjectID}
	})
}

// versionsJSON are the other versions of a package that lists show, ordered by the text of their version.
func (c *call) versionsJSON(tx registry.Tx, p *registry.Package) ([]packageVersion, error) {
	versions, err := tx.Versions(p.EntryID)
	if err != nil {
		return nil, err
	}
	versions = slices.DeleteFunc(versions, func(v *registry.Package) bool {
		return v.ID == p.ID || v.Version == p.Version || !slices.Contains(registry.Listed, v.Status)
	})
	slices.SortFunc(versions, func(a, b *registry.Package) int { return strings.Compare(a.Version, b.Version) })
	x, err := extrasOf(tx, versions)
	if err != nil {
		return nil, err
	}
	return each(versions, func(v *registry.Package) packageVersion {
		return packageVersion{v.ID, orNull(v.Version), timestamp(v.CreatedAt), x.tagsJSON(v), c.publishedBy(v, x)}
	}), nil
}

func newPackageFileJSON(f *registry.File) packageFileJSON {
	return packageFileJSON{ID: f.ID, PackageID: f.PackageID, CreatedAt: timestamp(f.CreatedAt), Name: f.Name, Size: f.Size, Downloads: f.Downloads,
		MD5: orNull(f.MD5), SHA1: orNull(f.SHA1), SHA256: orNull(f.SHA256)}
}

// mayDelete tells whether the caller may delete packages of a project.
func (c *call) mayDelete(p *registry.Project) (bool, error) {
	err := c.view.Authorize(c.who, p, access.Delete)
	switch registry.KindOf(err) {
	case registry.Forbidden, registry.Unauthenticated, registry.NotFound:
		return false, nil
	}
	return err == nil, err
}
