package api

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

func (a *API) cleanupRoutes() []route {
	const path = "/projects/{id}/packages/cleanup_policy"
	const pattern = "RE2 for the whole text"
	policy := []param{
		inFlag("enabled"),
		inText("cadence").says("hours or days between two runs: 1h to 30d; 12h by default"),
		inText("keep_n_duplicated_package_files").says("of the files of one name in a package, so many of the newest stay; all by default"),
		inNumber("keep_n_versions").says("of the versions of a name, so many of the newest stay"),
		inNumber("older_than").says("days since a version was published"),
		inNumber("not_downloaded_since").says("days since a version was downloaded last, or published"),
		inText("package_type").says("one of " + strings.Join(cleanupTypes, ", ") + "; empty: all"),
		inText("name_pattern").says(pattern), inText("name_keep_pattern").says(pattern + "; what it matches stays"),
		inText("version_pattern").says(pattern), inText("version_keep_pattern").says(pattern + "; what it matches stays"),
	}
	return []route{
		{"GET " + path, a.showCleanup, operation{tag: "Cleanup", summary: "Cleanup policy of a project, and its last run", out: cleanupPolicyJSON{}}},
		{"PUT " + path, a.updateCleanup, operation{tag: "Cleanup", summary: "Change the cleanup policy; what is not given stays, what is empty is unset", out: cleanupPolicyJSON{}, in: policy}},
		{"POST " + path + "/dry_run", a.previewCleanup, operation{tag: "Cleanup", summary: "What the policy, with changes that are not stored, would remove now",
			out: cleanupPreviewJSON{}, status: http.StatusOK, in: slices.Concat(policy, inPages)}},
		{"POST " + path + "/run", a.runCleanup, operation{tag: "Cleanup", summary: "Run the policy now, in the background", out: cleanupPolicyJSON{}, status: http.StatusAccepted}},
	}
}

var cleanupTypes = []string{string(registry.NPM), string(registry.PyPI), string(registry.NuGet), string(registry.Composer), string(registry.Maven), string(registry.Conan), string(registry.Generic)}

type cleanupPolicyJSON struct {
	Enabled            bool            `json:"enabled"`
	Cadence            string          `json:"cadence"`
	KeepFiles          string          `json:"keep_n_duplicated_package_files"` // a number or all
	KeepVersions       *int            `json:"keep_n_versions"`
	OlderThan          *int            `json:"older_than"`
	NotDownloadedSince *int            `json:"not_downloaded_since"`
	Type               *string         `json:"package_type"`
	NamePattern        *string         `json:"name_pattern"`
	NameKeepPattern    *string         `json:"name_keep_pattern"`
	VersionPattern     *string         `json:"version_pattern"`
	VersionKeepPattern *string         `json:"version_keep_pattern"`
	NextRunAt          timestamp       `json:"next_run_at"`
	LastRun            *cleanupRunJSON `json:"last_run"`
}

type cleanupRunJSON struct {
	Status     string            `json:"status"` // running, finished, failed
	StartedAt  timestamp         `json:"started_at"`
	FinishedAt timestamp         `json:"finished_at"`
	Removed    cleanupTotalsJSON `json:"removed"`
	Error      *string           `json:"error"`
}

// cleanupTotalsJSON is registry.CleanupTotals.
type cleanupTotalsJSON struct {
	Packages int64 `json:"packages"`
	Files    int64 `json:"package_files"`
	Bytes    int64 `json:"bytes"`
}

type cleanupPreviewJSON struct {
	Totals cleanupTotalsJSON `json:"totals"`
	Items  []cleanupItemJSON `json:"items"`
}

type cleanupItemJSON struct {
	PackageID        int64         `json:"package_id"`
	Name             string        `json:"name"`
	Version          string        `json:"version"`
	Type             registry.Type `json:"package_type"`
	Removes          string        `json:"removes"` // package, or package_files: those beyond the newest of each name
	Reasons          []string      `json:"reasons"`
	Files            int64         `json:"package_files"`
	Bytes            int64         `json:"bytes"`
	CreatedAt        timestamp     `json:"created_at"`
	LastDownloadedAt timestamp     `json:"last_downloaded_at"`
}

const keepsAllFiles = "all"

func newCleanupPolicyJSON(p *registry.CleanupPolicy) cleanupPolicyJSON {
	j := cleanupPolicyJSON{Enabled: p.Enabled, Cadence: cadenceText(p.Cadence), KeepFiles: keepsAllFiles,
		KeepVersions: orNull(p.KeepVersions), OlderThan: orNull(p.OlderThan), NotDownloadedSince: orNull(p.NotDownloadedSince), Type: orNull(string(p.Type)),
		NamePattern: orNull(p.NamePattern), NameKeepPattern: orNull(p.NameKeepPattern), VersionPattern: orNull(p.VersionPattern), VersionKeepPattern: orNull(p.VersionKeepPattern),
		NextRunAt: timestamp(p.NextRunAt)}
	if p.KeepFiles > 0 {
		j.KeepFiles = strconv.Itoa(p.KeepFiles)
	}
	if run := p.Run; !run.StartedAt.IsZero() {
		j.LastRun = &cleanupRunJSON{"running", timestamp(run.StartedAt), timestamp(run.FinishedAt), cleanupTotalsJSON(run.Removed), orNull(run.Error)}
		switch {
		case run.Error != "":
			j.LastRun.Status = "failed"
		case !run.FinishedAt.IsZero():
			j.LastRun.Status = "finished"
		}
	}
	return j
}

func newCleanupItemJSON(p *registry.CleanupPick) cleanupItemJSON {
	j := cleanupItemJSON{PackageID: p.ID, Name: p.Name, Version: p.Version, Type: p.Type, Removes: "package", Reasons: p.Reasons, Files: p.Files, Bytes: p.Bytes,
		CreatedAt: timestamp(p.CreatedAt), LastDownloadedAt: timestamp(p.LastDownloadedAt)}
	if len(p.Reasons) == 0 {
		j.Removes, j.Reasons, j.Files, j.Bytes = "package_files", []string{"keep_n_duplicated_package_files"}, p.SpareFiles, p.SpareBytes
	}
	return j
}

// cadenceText is "12h" or, of whole days but a single one, "7d".
func cadenceText(d time.Duration) string {
	if hours := int(d.Hours()); hours <= 24 || hours%24 != 0 {
		return fmt.Sprintf("%dh", hours)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// cadence is a number of hours or days.
func (p *params) cadence(name string, fallback time.Duration) time.Duration {
	value, given := p.value(name)
	switch {
	case !given:
		return fallback
	case value == "":
		return registry.DefaultCadence
	}
	unit := map[byte]time.Duration{'h': time.Hour, 'd': 24 * time.Hour}[value[len(value)-1]]
	n, err := strconv.Atoi(value[:len(value)-1])
	if unit == 0 || err != nil || n < 1 || n > 30*24 {
		p.problem(name + " does not have a valid value")
		return fallback
	}
	return time.Duration(n) * unit
}

// unsettable is a number that an empty text takes back.
func (p *params) unsettable(name string, fallback int) int {
	if value, given := p.value(name); given && value == "" {
		return 0
	}
	return int(p.number(name, int64(fallback)))
}

// cleanup opens a request about the policy of the project :id and reads it; a project that never had one has the default.
func (a *API) cleanup(w http.ResponseWriter, r *http.Request, action access.Action) (*call, *registry.CleanupPolicy, error) {
	open := a.signedIn
	if action == access.Inspect {
		open = a.anyone
	}
	c, err := open(w, r)
	if err != nil {
		return nil, nil, err
	}
	project, level, err := c.project(c.text("id", ""))
	if err != nil {
		return nil, nil, err
	}
	if err := c.may(level, action); err != nil {
		return nil, nil, err
	}
	policy, err := a.cleanupPolicy(r, project.ID)
	return c, policy, err
}

func (a *API) cleanupPolicy(r *http.Request, project int64) (policy *registry.CleanupPolicy, err error) {
	err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		policy, err = tx.CleanupPolicy(project)
		return err
	})
	if registry.KindOf(err) == registry.NotFound {
		return &registry.CleanupPolicy{ProjectID: project, Cadence: registry.DefaultCadence}, nil
	}
	return policy, err
}

// changed reads what a request says of a policy.
func (c *call) changed(p *registry.CleanupPolicy) error {
	p.Enabled = c.flag("enabled", p.Enabled)
	p.Cadence = c.cadence("cadence", p.Cadence)
	if value, _ := c.value("keep_n_duplicated_package_files"); value == keepsAllFiles {
		p.KeepFiles = 0
	} else {
		p.KeepFiles = c.unsettable("keep_n_duplicated_package_files", p.KeepFiles)
	}
	p.KeepVersions = c.unsettable(registry.BeyondNewest, p.KeepVersions)
	p.OlderThan = c.unsettable(registry.TooOld, p.OlderThan)
	p.NotDownloadedSince = c.unsettable(registry.NotDownloaded, p.NotDownloadedSince)
	p.Type = registry.Type(c.text("package_type", string(p.Type)))
	if p.Type != "" && !slices.Contains(cleanupTypes, string(p.Type)) {
		c.problem("package_type does not have a valid value")
	}
	p.NamePattern, p.NameKeepPattern = c.text("name_pattern", p.NamePattern), c.text("name_keep_pattern", p.NameKeepPattern)
	p.VersionPattern, p.VersionKeepPattern = c.text("version_pattern", p.VersionPattern), c.text("version_keep_pattern", p.VersionKeepPattern)
	if err := c.wrong(); err != nil {
		return err
	}
	wrong := map[string][]string{}
	for attribute, sentence := range p.Check() {
		wrong[attribute] = []string{sentence}
	}
	if len(wrong) > 0 {
		return refuse(http.StatusBadRequest, wrong)
	}
	return nil
}

func (a *API) showCleanup(w http.ResponseWriter, r *http.Request) error {
	_, policy, err := a.cleanup(w, r, access.Inspect)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newCleanupPolicyJSON(policy))
}

func (a *API) updateCleanup(w http.ResponseWriter, r *http.Request) error {
	c, policy, err := a.cleanup(w, r, access.Manage)
	if err != nil {
		return err
	}
	if err := c.changed(policy); err != nil {
		return err
	}
	if err := a.reg.SetCleanupPolicy(r.Context(), policy); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newCleanupPolicyJSON(policy))
}

func (a *API) previewCleanup(w http.ResponseWriter, r *http.Request) error {
	c, policy, err := a.cleanup(w, r, access.Manage)
	if err != nil {
		return err
	}
	pg := c.page()
	if err := c.changed(policy); err != nil {
		return err
	}
	picks, total, totals, err := a.reg.PreviewCleanup(r.Context(), policy, pg.size, pg.offset())
	if err != nil {
		return err
	}
	return c.writePage(w, r, pg, total, cleanupPreviewJSON{cleanupTotalsJSON(totals), each(picks, newCleanupItemJSON)})
}

func (a *API) runCleanup(w http.ResponseWriter, r *http.Request) error {
	_, policy, err := a.cleanup(w, r, access.Manage)
	if err != nil {
		return err
	}
	if !policy.Removes() {
		return registry.Errorf(registry.Invalid, "the policy removes nothing")
	}
	if err := a.reg.RunCleanup(r.Context(), policy.ProjectID); err != nil {
		return err
	}
	if policy, err = a.cleanupPolicy(r, policy.ProjectID); err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted, newCleanupPolicyJSON(policy))
}
