package web

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// The pages on which groups and projects are made and managed.

// title is that of a page of the place.
func (q *request) title(page string) string { return q.place.FullPath() + " · " + q.t(page) }

// id writes the id of a path, for the REST API.
func (q *request) id(name string) string { return strconv.FormatInt(q.number(name), 10) }

// ---- making them

type newPlacePage struct {
	In         int64 // namespace; 0: the top
	Namespaces []*registry.Group
	Top        bool // there may be groups at the top
	Visibility registry.Visibility
	Parent     *registry.Group
}

// placesIn are the namespaces in which the person may make something.
func (q *request) placesIn(level registry.Level, personal bool) (all []*registry.Group, err error) {
	err = q.read(func(tx registry.Tx) error {
		if personal && q.who.User.Settles() {
			own, err := tx.Group(q.who.User.NamespaceID)
			if err != nil {
				return err
			}
			all = append(all, own)
		}
		groups, _, err := tx.Groups(registry.GroupFilter{Viewer: q.who.Viewer(), Level: level, Order: registry.GroupsByPath, NoTotal: true, Limit: 200})
		all = append(all, groups...)
		return err
	})
	return all, err
}

func (q *request) newPlace(level registry.Level, personal bool) (page newPlacePage, err error) {
	page.Visibility = registry.Private
	page.Top = q.who.User.Settles()
	if page.Namespaces, err = q.placesIn(level, personal); err != nil {
		return page, err
	}
	if page.In = q.number("in"); page.In != 0 && !slices.ContainsFunc(page.Namespaces, func(g *registry.Group) bool { return g.ID == page.In }) {
		// An administrator, who may do it anywhere, is no member.
		g, err := q.view.GroupByID(page.In)
		if err != nil {
			return page, err
		}
		if l, err := q.view.GroupLevel(q.who, g); err != nil || l < level {
			return page, errNoPage
		}
		page.Namespaces = append(page.Namespaces, g)
	}
	for _, g := range page.Namespaces {
		if g.ID == page.In {
			page.Parent, page.Visibility = g, g.Visibility
			if g.Personal() {
				page.Visibility = registry.Private
			}
		}
	}
	return page, nil
}

func (h *Handler) newGroup(q *request) error {
	page, err := q.newPlace(access.CreateSubgroup.Level(), false)
	if err != nil {
		return err
	}
	return q.render("new_group", q.t("New group"), page)
}

func (h *Handler) newProject(q *request) error {
	page, err := q.newPlace(access.CreateProject.Level(), true)
	if err != nil {
		return err
	}
	if page.In == 0 {
		page.In = q.who.User.NamespaceID
	}
	return q.render("new_project", q.t("New project"), page)
}

var notInPath = regexp.MustCompile(`[^a-z0-9_.]+`)

// slug makes a path of a name where none was given.
func slug(name string) string {
	return strings.Trim(notInPath.ReplaceAllString(strings.ToLower(name), "-"), "-.")
}

func (h *Handler) createGroup(q *request) error {
	form := q.fields("name", "path", "description", "visibility")
	if form.Get("path") == "" {
		form.Set("path", slug(form.Get("name")))
	}
	if in := q.PostFormValue("in"); in != "" && in != "0" {
		form.Set("parent_id", in)
	}
	a, err := q.send(change{method: http.MethodPost, path: "/groups", form: form})
	if err != nil {
		return err
	}
	var made struct {
		FullPath string `json:"full_path"`
	}
	if a.status >= 300 || a.into(&made) != nil {
		return q.again(a, h.newGroup)
	}
	return q.done("The group was created.", "/groups/"+made.FullPath)
}

func (h *Handler) createProject(q *request) error {
	form := q.fields("name", "path", "description", "visibility")
	if form.Get("path") == "" {
		form.Set("path", slug(form.Get("name")))
	}
	if in := q.PostFormValue("in"); in != "" {
		form.Set("namespace_id", in)
	}
	a, err := q.send(change{method: http.MethodPost, path: "/projects", form: form})
	if err != nil {
		return err
	}
	var made struct {
		FullPath string `json:"path_with_namespace"`
	}
	if a.status >= 300 || a.into(&made) != nil {
		return q.again(a, h.newProject)
	}
	return q.done("The project was created.", "/"+made.FullPath)
}

// ---- settings

type settingsPage struct {
	Settings []settingRow
	MaxOpen  registry.Visibility // that the place above allows
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
		return "Except for names or versions like"
	case strings.HasSuffix(s.Name, "_max_file_size"):
		return "Largest file, in bytes"
	case strings.HasSuffix(s.Name, "_package_requests_forwarding"):
		return "Requests for missing packages are forwarded to a public registry"
	case s.Name == registry.NuGetSymbolServer:
		return "Debug symbols are served to all who know their signature"
	case s.Name == registry.NuGetUnlists:
		return "A client that deletes a version only unlists it"
	case s.Name == registry.MaxFilesSetting:
		return "Most files of a version"
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
		known := s.Name == registry.MaxFilesSetting || s.Name == registry.ReservedNames
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
	page := settingsPage{Settings: q.settingRows(policy), MaxOpen: registry.Public}
	parent := int64(0)
	if q.place.Project != nil {
		parent = q.place.Project.NamespaceID
	} else {
		parent = q.place.Group.ParentID
	}
	if parent != 0 {
		above, err := q.view.GroupByID(parent)
		if err != nil {
			return err
		}
		page.MaxOpen = above.Visibility
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

func (h *Handler) deletePlace(q *request) error {
	if err := q.require(access.Own); err != nil {
		return err
	}
	if q.place.Group != nil && q.place.Group.Personal() {
		return errNoPage
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
	a, err := q.send(change{method: http.MethodPost, path: q.place.api() + "/restore"})
	if err != nil {
		return err
	}
	var restored struct {
		Project string `json:"path_with_namespace"`
		Group   string `json:"full_path"`
	}
	if a.status >= 300 || a.into(&restored) != nil {
		return q.again(a, nil)
	}
	if restored.Project != "" {
		return q.done("It is back.", "/"+restored.Project)
	}
	return q.done("It is back.", "/groups/"+restored.Group)
}

// ---- members

type membersPage struct {
	Members []memberRow
	Filter  string
	Levels  []registry.Level
	paging
}

type memberRow struct {
	*registry.Member
	User   *registry.User
	Direct bool
	May    bool // the person may change it
	Self   bool
}

var grantable = []registry.Level{registry.Guest, registry.Reporter, registry.Developer, registry.Maintainer, registry.Owner}

// members lists the direct members and those from above, to everybody who is signed in and may know of the place.
func (h *Handler) members(q *request) error {
	if q.who.User == nil {
		return errSignInFirst
	}
	if q.place.Group != nil && q.place.Group.Personal() {
		return errNoPage
	}
	page := membersPage{Filter: q.param("filter"), paging: q.paging(50)}
	for _, level := range grantable {
		if level <= q.place.Level {
			page.Levels = append(page.Levels, level)
		}
	}
	group, project := q.place.IDs()
	above := []int64{}
	if q.place.Project != nil {
		above = q.place.Project.Lineage
	} else {
		above = q.place.Group.Lineage[:len(q.place.Group.Lineage)-1]
	}
	err := q.read(func(tx registry.Tx) error {
		members, total, err := tx.PageMembers(registry.MemberFilter{GroupID: group, ProjectID: project, Above: above, Search: page.Filter, Limit: page.Size, Offset: page.Offset()})
		if err != nil || len(members) == 0 {
			return err
		}
		page.Total = total
		var ids []int64
		for _, m := range members {
			ids = append(ids, m.UserID)
		}
		users, _, err := tx.Users(registry.UserFilter{IDs: ids, Limit: len(ids)})
		if err != nil {
			return err
		}
		for _, m := range members {
			i := slices.IndexFunc(users, func(u *registry.User) bool { return u.ID == m.UserID })
			if i < 0 {
				continue
			}
			r := memberRow{Member: m, User: users[i], Direct: m.GroupID == group && m.ProjectID == project, Self: users[i].ID == q.who.User.ID}
			r.May = r.Direct && q.place.Manages() && !r.User.Bot && m.Level <= q.place.Level
			page.Members = append(page.Members, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return q.render("members", q.title("Members"), page)
}

func (h *Handler) addMember(q *request) error {
	form := q.fields("username", "access_level", "expires_at")
	form.Set("username", strings.TrimPrefix(strings.TrimSpace(form.Get("username")), "@"))
	a, err := q.send(change{method: http.MethodPost, path: q.place.api() + "/members", form: form})
	if err != nil {
		return err
	}
	if a.status == http.StatusNotFound && strings.Contains(a.body.String(), "User") {
		return q.refused(registry.Errorf(registry.Invalid, "There is no such user"), h.members)
	}
	if a.status >= 300 {
		return q.again(a, h.members)
	}
	return q.done("The member was added.", q.place.Path("members"))
}

func (h *Handler) changeMember(q *request) error {
	return q.submit(change{method: http.MethodPut, path: q.place.api() + "/members/" + q.id("user_id"), form: q.fields("access_level", "expires_at"), page: h.members,
		done: "The member was changed.", to: q.place.Path("members")})
}

func (h *Handler) removeMember(q *request) error {
	to := q.place.Path("members")
	if q.number("user_id") == q.who.User.ID {
		to = "/"
	}
	return q.submit(change{method: http.MethodDelete, path: q.place.api() + "/members/" + q.id("user_id"), page: h.members, done: "The member was removed.", to: to})
}

// ---- deploy tokens

type tokensPage struct {
	Tokens []*registry.Token
	Now    time.Time
	Made   *madeToken
	Scopes []string
	Latest string // end that a token may have, and has when it does not say
	paging
}

// madeToken is a token that is shown this once.
type madeToken struct{ Name, Text, User string }

func (h *Handler) deployTokens(q *request) error { return q.showDeployTokens(nil) }

func (q *request) showDeployTokens(made *madeToken) error {
	if err := q.require(access.Inspect); err != nil {
		return err
	}
	if q.place.Group != nil && q.place.Group.Personal() {
		return errNoPage
	}
	page := tokensPage{Now: time.Now(), Made: made, Scopes: []string{registry.ScopeReadPackage, registry.ScopeWritePackage}, paging: q.paging(50)}
	group, project := q.place.IDs()
	err := q.read(func(tx registry.Tx) (err error) {
		page.Tokens, page.Total, err = tx.PageTokens(registry.TokenFilter{Kind: registry.DeployToken, GroupID: group, ProjectID: project, Active: true, Descending: true}, page.Size, page.Offset())
		return err
	})
	if err != nil {
		return err
	}
	return q.render("deploy_tokens", q.title("Deploy tokens"), page)
}

func (h *Handler) createDeployToken(q *request) error {
	form := q.fields("name", "username", "expires_at")
	form["scopes[]"] = q.PostForm["scopes"]
	if len(form["scopes[]"]) == 0 {
		form.Set("scopes", "")
		delete(form, "scopes[]")
	}
	a, err := q.send(change{method: http.MethodPost, path: q.place.api() + "/deploy_tokens", form: form})
	if err != nil {
		return err
	}
	var made struct{ Name, Username, Token string }
	if a.status >= 300 || a.into(&made) != nil {
		return q.again(a, h.deployTokens)
	}
	return q.showDeployTokens(&madeToken{made.Name, made.Token, made.Username})
}

func (h *Handler) revokeDeployToken(q *request) error {
	return q.submit(change{method: http.MethodDelete, path: q.place.api() + "/deploy_tokens/" + q.id("token_id"), page: h.deployTokens, done: "The token was revoked.", to: q.place.Path("tokens")})
}

// ---- protection rules

type rulesPage struct {
	Own, Above []*registry.ProtectionRule
	Types      []registry.Type
}

func (h *Handler) rules(q *request) error {
	if err := q.require(access.Inspect); err != nil {
		return err
	}
	if q.place.Group != nil && q.place.Group.Personal() {
		return errNoPage
	}
	group, project := q.place.IDs()
	policy, err := q.view.Policy(group, project)
	if err != nil {
		return err
	}
	page := rulesPage{Own: policy.Of(group, project)}
	for _, rule := range policy.Rules {
		if rule.GroupID != group || rule.ProjectID != project {
			page.Above = append(page.Above, rule)
		}
	}
	for _, f := range q.h.Registry.Formats {
		page.Types = append(page.Types, f.Type)
	}
	return q.render("rules", q.title("Protection"), page)
}

func (h *Handler) createRule(q *request) error {
	return q.submit(change{method: http.MethodPost, path: q.place.api() + "/packages/protection/rules",
		form: q.fields("package_name_pattern", "package_type", "minimum_access_level_for_push", "minimum_access_level_for_delete"),
		page: h.rules, done: "The rule was added.", to: q.place.Path("rules")})
}

func (h *Handler) removeRule(q *request) error {
	return q.submit(change{method: http.MethodDelete, path: q.place.api() + "/packages/protection/rules/" + q.id("rule_id"), page: h.rules, done: "The rule was removed.", to: q.place.Path("rules")})
}

// ---- cleanup

type cleanupPage struct {
	Policy  *registry.CleanupPolicy
	Preview *cleanupPreview
	Types   []registry.Type
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
	for _, f := range q.h.Registry.Formats {
		page.Types = append(page.Types, f.Type)
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
	form.Set("per_page", strconv.Itoa(previewed))
	a, err := q.send(change{method: http.MethodPost, path: path + "/dry_run", form: form})
	if err != nil {
		return err
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
		return q.again(a, h.cleanup)
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
	q.problems = []string{} // the form stays as it was filled in
	return q.showCleanup(preview)
}

func (h *Handler) runCleanup(q *request) error {
	if q.place.Project == nil {
		return errNoPage
	}
	return q.submit(change{method: http.MethodPost, path: q.place.api() + "/packages/cleanup_policy/run", page: h.cleanup, done: "The cleanup begins in some seconds.", to: q.place.Path("cleanup")})
}

// ---- activity

type activityPage struct {
	Events []*registry.Event
	Before int64 // id that the next page begins behind; 0: there is none
	Filter string
	Entity string
}

// Said is what happened, in English.
func said(e *registry.Event) string {
	text := strings.ReplaceAll(strings.TrimPrefix(e.Name, "package_registry_"), "_", " ")
	return strings.ToUpper(text[:1]) + text[1:]
}

const eventsShown = 50

// events is a page of the audit log, the newest first.
func (q *request) events(f registry.EventFilter) (page activityPage, err error) {
	f.BeforeID, f.NoTotal, f.Limit = q.number("before"), true, eventsShown+1
	err = q.read(func(tx registry.Tx) (err error) {
		page.Events, _, err = tx.Events(f)
		return err
	})
	if len(page.Events) > eventsShown {
		page.Events = page.Events[:eventsShown]
		page.Before = page.Events[eventsShown-1].ID
	}
	return page, err
}

func (h *Handler) activity(q *request) error {
	if err := q.require(access.Inspect); err != nil {
		return err
	}
	if q.place.Group != nil && q.place.Group.Personal() {
		return errNoPage
	}
	group, project := q.place.IDs()
	page, err := q.events(registry.EventFilter{GroupID: group, ProjectID: project})
	if err != nil {
		return err
	}
	return q.render("activity", q.title("Activity"), page)
}
