package web

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

type cleanupPage struct {
	Policy  *registry.CleanupPolicy
	Preview *cleanupPreview
}

// cleanupPreview is what a run would remove now.
type cleanupPreview struct {
	Packages, Files, Bytes int64
	Items                  []*registry.CleanupPick
	Total                  int
}

// CadenceHours is the time between two runs.
func (p cleanupPage) CadenceHours() string {
	return strconv.Itoa(int(p.Policy.Cadence.Hours())) + "h"
}

const previewed = 50

func (h *Handler) cleanup(q *request) error { return q.showCleanup(nil) }

func (q *request) showCleanup(preview *cleanupPreview) error {
	if q.place.Project == nil {
		return errNoPage
	}
	if err := q.require(access.Inspect); err != nil {
		return err
	}
	page := cleanupPage{Preview: preview}
	err := q.read(func(tx registry.Tx) (err error) {
		page.Policy, err = tx.CleanupPolicy(q.place.Project.ID)
		return err
	})
	if registry.KindOf(err) == registry.NotFound {
		page.Policy, err = &registry.CleanupPolicy{ProjectID: q.place.Project.ID, Cadence: registry.DefaultCadence}, nil
	}
	if err != nil {
		return err
	}
	return q.render("cleanup", q.title("Cleanup"), page)
}

// changeCleanup stores a policy, or with the button of the dry run tells what it would do.
func (h *Handler) changeCleanup(q *request) error {
	if q.place.Project == nil {
		return errNoPage
	}
	form := q.fields("cadence", "keep_n_duplicated_package_files", "keep_n_versions", "older_than", "not_downloaded_since", "package_type", "name_pattern", "name_keep_pattern",
		"version_pattern", "version_keep_pattern")
	form.Set("enabled", q.box("enabled"))
	path := q.place.api() + "/packages/cleanup_policy"
	if !q.PostForm.Has("preview") {
		return q.submit(change{method: http.MethodPut, path: path, form: form, page: h.cleanup, done: "The policy was saved.", to: q.place.Path("cleanup")})
	}
	preview, c, a, err := q.dryRun(form, previewed)
	if err != nil {
		return err
	}
	if preview == nil {
		return q.again(a, c)
	}
	q.problems = []string{} // the form stays as it was filled in
	return q.showCleanup(preview)
}

// dryRun is what a run would remove now by the stored policy with some changes; nil when the API answers something else.
func (q *request) dryRun(form url.Values, items int) (*cleanupPreview, change, *answer, error) {
	form.Set("per_page", strconv.Itoa(items))
	c := change{method: http.MethodPost, path: q.place.api() + "/packages/cleanup_policy/dry_run", form: form, page: q.h.cleanup}
	a, err := q.send(c)
	if err != nil {
		return nil, c, nil, err
	}
	var body struct {
		Totals struct {
			Packages, Bytes int64
			Files           int64 `json:"package_files"`
		}
		Items []struct {
			ID        int64 `json:"package_id"`
			Name      string
			Version   string
			Type      registry.Type `json:"package_type"`
			Removes   string
			Reasons   []string
			Files     int64 `json:"package_files"`
			Bytes     int64
			CreatedAt time.Time `json:"created_at"`
		}
	}
	if a.status >= 300 || a.into(&body) != nil {
		return nil, c, a, nil
	}
	preview := &cleanupPreview{Packages: body.Totals.Packages, Files: body.Totals.Files, Bytes: body.Totals.Bytes}
	preview.Total, _ = strconv.Atoi(a.header.Get("X-Total"))
	for _, item := range body.Items {
		pick := &registry.CleanupPick{Reasons: item.Reasons}
		pick.Package = registry.Package{ID: item.ID, Name: item.Name, Version: item.Version, Type: item.Type, CreatedAt: item.CreatedAt}
		pick.Files, pick.Bytes = item.Files, item.Bytes
		if item.Removes != "package" {
			pick.Reasons = nil
		}
		preview.Items = append(preview.Items, pick)
	}
	return preview, c, a, nil
}

func (h *Handler) runCleanup(q *request) error {
	if q.place.Project == nil {
		return errNoPage
	}
	if q.unsure() {
		would, c, a, err := q.dryRun(url.Values{}, 1)
		switch {
		case err != nil:
			return err
		case would == nil:
			return q.again(a, c)
		case would.Packages+would.Files == 0:
			return q.ask("Run the cleanup now?", "There is nothing that it would remove now.", "Run now")
		}
		return q.ask("Run the cleanup now?", q.t("It removes %s, %s, %s. What goes cannot be restored.", q.lang.plural(would.Packages, "%s version", "%s versions"),
			q.lang.plural(would.Files, "%s file", "%s files"), plainSize(would.Bytes)), "Run now")
	}
	return q.submit(change{method: http.MethodPost, path: q.place.api() + "/packages/cleanup_policy/run", page: h.cleanup, done: "The cleanup begins in some seconds.", to: q.place.Path("cleanup")})
}
