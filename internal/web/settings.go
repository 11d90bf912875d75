package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

type settingsPage struct {
	Settings []settingRow
	Targets  []string // paths to which it may be moved
	Top      bool     // it may be moved to the top
}

// settingRow is a setting of packages as it is here.
type settingRow struct {
	registry.Setting
	Own     string // "": inherited
	Set     bool   // here
	Value   string // that counts
	Above   string // that would count without this place
	Locked  bool   // by a group above
	Format  string
	Heading bool // the first of its format
}

// Label is what the setting is about, in English.
func (s settingRow) Label() string {
	switch {
	case strings.HasPrefix(s.Name, "lock_"):
		return "Nothing below may set the forwarding of requests otherwise"
	case strings.HasSuffix(s.Name, "_duplicates_allowed"):
		return "A version may be published again"
	case strings.HasSuffix(s.Name, "_duplicate_exception_regex"):
		return "Except names or versions that match"
	case strings.HasSuffix(s.Name, "_max_file_size"):
		return "Maximum file size, in bytes"
	case strings.HasSuffix(s.Name, "_package_requests_forwarding"):
		return "Requests for missing packages are forwarded to a public registry"
	case s.Name == registry.NuGetSymbolServer:
		return "Debug symbols are served to all who know their signature"
	case s.Name == registry.NuGetUnlists:
		return "A client that deletes a version only unlists it"
	case s.Name == registry.MaxFilesSetting:
		return "Maximum number of files in a version"
	case s.Name == registry.MaxPushSetting:
		return "Maximum size of a push to the repository, in bytes"
	case strings.HasSuffix(s.Name, "_auto_publish"):
		return "Tags and branches that are pushed are published"
	case s.Name == registry.ReservedNames:
		return "Names that are never asked for at a public registry, one pattern a line"
	}
	return s.Name
}

// IsFlag, IsLimit and IsNames tell how it is set.
func (s settingRow) IsFlag() bool  { return s.Kind == registry.Flag || s.Kind == registry.Lock }
func (s settingRow) IsLimit() bool { return s.Kind == registry.Limit }
func (s settingRow) IsNames() bool { return s.Kind == registry.Names }

// settingRows are the settings that pages show: those of the formats that there are.
func (q *request) settingRows(policy *registry.Policy) (rows []settingRow) {
	above := policy.Above()
	group, _ := q.place.IDs()
	last := "?"
	for _, s := range registry.Settings {
		format := ""
		known := s.Name == registry.MaxFilesSetting || s.Name == registry.MaxPushSetting || s.Name == registry.ReservedNames
		for _, f := range q.h.Registry.Formats {
			if name := string(f.Type) + "_"; strings.HasPrefix(strings.TrimPrefix(s.Name, "lock_"), name) {
				format, known = string(f.Type), true
			}
		}
		if !known || s.GroupOnly && group == 0 {
			continue
		}
		own, set := policy.Own()[s.Name]
		rows = append(rows, settingRow{Setting: s, Own: own, Set: set, Value: policy.Value(s), Above: above.Value(s), Locked: policy.Locked(s), Format: format})
	}
	slices.SortStableFunc(rows, func(a, b settingRow) int {
		return slices.Index(typeNames(), a.Format) - slices.Index(typeNames(), b.Format)
	})
	for i := range rows {
		rows[i].Heading, last = rows[i].Format != last, rows[i].Format
	}
	return rows
}

func (h *Handler) settings(q *request) error {
	if err := q.require(q.place.manage()); err != nil {
		return err
	}
	if q.place.Group != nil && q.place.Group.Personal() {
		return errNoPage
	}
	policy, err := q.view.Policy(q.place.IDs())
	if err != nil {
		return err
	}
	page := settingsPage{Settings: q.settingRows(policy), Top: q.place.Group != nil && q.place.Group.ParentID != 0 && q.who.User.Settles()}
	if q.place.Owns() {
		if page.Targets, err = q.targets(); err != nil {
			return err
		}
	}
	return q.render("settings", q.title("Settings"), page)
}

func (h *Handler) changePlace(q *request) error {
	form := q.fields("name", "path", "description", "visibility", "package_registry_access_level")
	to := strings.TrimSuffix(q.place.FullPath(), lastSegment(q.place.FullPath())) + form.Get("path")
	if q.place.Group != nil {
		to = "groups/" + to
	}
	// Who manages a project without owning it may change all but its visibility.
	if form.Get("visibility") == string(q.place.Visibility()) {
		form.Del("visibility")
	}
	return q.submit(change{method: http.MethodPut, path: q.place.api(), form: form, page: h.settings, done: "The changes were saved.", to: "/" + to + "/-/settings"})
}

func lastSegment(path string) string { return path[strings.LastIndex(path, "/")+1:] }

func (h *Handler) changeSettings(q *request) error {
	form := url.Values{}
	for _, s := range registry.Settings {
		if s.GroupOnly && q.place.Group == nil || !q.PostForm.Has(s.Name) {
			continue
		}
		value := strings.ReplaceAll(q.PostForm.Get(s.Name), "\r\n", "\n")
		if s.Kind == registry.Names {
			form[s.Name+"[]"] = strings.FieldsFunc(value, func(r rune) bool { return r == '\n' })
			if len(form[s.Name+"[]"]) == 0 {
				form.Set(s.Name, "")
				delete(form, s.Name+"[]")
			}
			continue
		}
		form.Set(s.Name, strings.TrimSpace(value))
	}
	return q.submit(change{method: http.MethodPut, path: q.place.api() + "/packages/settings", form: form, page: h.settings, done: "The changes were saved.", to: q.place.Path("settings")})
}

func (h *Handler) archive(q *request) error {
	return q.archived("/archive", "The project is read-only now.")
}

func (h *Handler) unarchive(q *request) error {
	return q.archived("/unarchive", "The project can be published to again.")
}

func (q *request) archived(verb, done string) error {
	if q.place.Project == nil {
		return errNoPage
	}
	return q.submit(change{method: http.MethodPost, path: q.place.api() + verb, done: done, to: q.place.Path("settings")})
}

// ofOwner lets owners of a place on, unless it is somebody's personal one, which stays where it is.
func (q *request) ofOwner() error {
	if err := q.require(access.Own); err != nil {
		return err
	}
	if q.place.Group != nil && q.place.Group.Personal() {
		return errNoPage
	}
	return nil
}

func (h *Handler) deletePlace(q *request) error {
	if err := q.ofOwner(); err != nil {
		return err
	}
	if err := q.confirmed(q.place.FullPath()); err != nil {
		return q.refused(err, h.settings)
	}
	to := "/"
	if at := strings.LastIndex(q.place.FullPath(), "/"); at > 0 {
		to = "/" + q.place.FullPath()[:at]
	}
	form := url.Values{}
	done := "It is marked for deletion."
	if q.place.Marked() {
		form.Set("permanently_remove", "true")
		form.Set("full_path", q.place.FullPath())
		done = "It is removed for good."
	}
	return q.submit(change{method: http.MethodDelete, path: q.place.api(), form: form, page: h.settings, done: done, to: to})
}

func (h *Handler) restorePlace(q *request) error {
	return q.arrive(change{method: http.MethodPost, path: q.place.api() + "/restore", done: "It is back."}, "")
}

// ---- transfer

// targets are paths to which the place may be moved, to be suggested.
func (q *request) targets() (paths []string, err error) {
	level, above := access.CreateSubgroup.Level(), int64(0)
	if q.place.Project != nil {
		level, above = access.CreateProject.Level(), q.place.Project.NamespaceID
	} else {
		above = q.place.Group.ParentID
	}
	all, err := q.placesIn(level, q.place.Project != nil)
	for _, g := range all {
		if g.ID != above && (q.place.Group == nil || !slices.Contains(g.Lineage, q.place.Group.ID)) {
			paths = append(paths, g.FullPath)
		}
	}
	return paths, err
}

// transfer moves a project or a group, with all that is in it.
func (h *Handler) transfer(q *request) error {
	if err := q.ofOwner(); err != nil {
		return err
	}
	if err := q.confirmed(q.place.FullPath()); err != nil {
		return q.refused(err, h.settings)
	}
	c := change{method: http.MethodPost, path: q.place.api() + "/transfer", form: url.Values{}, page: h.settings,
		missing: registry.Errorf(registry.Invalid, "There is no such group"), done: "It was moved. The old address leads here."}
	parameter := "group_id" // without it, to the top
	if q.place.Project != nil {
		c.method, parameter = http.MethodPut, "namespace"
	}
	if to := strings.Trim(strings.TrimSpace(q.PostFormValue("to")), "/"); to != "" || q.place.Project != nil {
		target, err := q.namespace(to)
		if registry.KindOf(err) == registry.NotFound {
			return q.refused(c.missing, h.settings)
		}
		if err != nil {
			return err
		}
		c.form.Set(parameter, strconv.FormatInt(target.ID, 10))
	}
	return q.arrive(c, "/-/settings")
}
