package api

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// ruleTypes are the formats whose packages rules can protect: GitLab's, and composer.
var ruleTypes = []string{"composer", "conan", "generic", "helm", "maven", "npm", "nuget", "pypi"}

// pushLevels and deleteLevels are the least levels that a rule can ask for. GitLab has no maintainer for deleting, which
// takes that anyway.
var (
	pushLevels   = []string{"maintainer", "owner", "admin"}
	deleteLevels = []string{"owner", "admin"}
	levelNumbers = map[string]string{"40": "maintainer", "50": "owner", "60": "admin"} // what GitLab's Go client sends
	levelsByName = map[string]registry.Level{"": registry.NoAccess, "maintainer": registry.Maintainer, "owner": registry.Owner, "admin": registry.Admin}
)

func (a *API) ruleRoutes() (routes []route) {
	const tag, rules, one = "Package protection", "/packages/protection/rules", "/{package_protection_rule_id}"
	level := func(p param) param {
		s := *p.schema
		p.about = "or its number"
		s.Type, s.Types, s.Enum = "", []string{"string", "null"}, append(s.Enum, "", nil)
		p.schema = &s
		return p
	}
	pattern := param{name: "package_name_pattern", schema: &jsonschema.Schema{Type: "string", MaxLength: ptr(maxName)}, about: "* stands for any text"}
	kind := inChoice("package_type", ruleTypes...)
	push := level(inChoice("minimum_access_level_for_push", pushLevels...))
	remove := level(inChoice("minimum_access_level_for_delete", deleteLevels...))
	unprocessable := []int{http.StatusUnprocessableEntity}
	for prefix, in := range places {
		routes = append(routes,
			route{"GET " + prefix + rules, a.listRules(in), operation{tag: tag, summary: "Rules that protect packages", out: []ruleJSON{}}},
			route{"POST " + prefix + rules, a.createRule(in), operation{tag: tag, summary: "Protect packages", out: ruleJSON{}, also: unprocessable,
				in: []param{pattern.must(), kind.must(), push, remove}}},
			route{"PATCH " + prefix + rules + one, a.updateRule(in), operation{tag: tag, summary: "Change a rule", out: ruleJSON{}, also: unprocessable,
				in: []param{pattern, kind, push, remove}}},
			route{"DELETE " + prefix + rules + one, a.deleteRule(in), operation{tag: tag, summary: "Remove a rule"}},
		)
	}
	return routes
}

// ruleJSON is a rule, of a project or of a group.
type ruleJSON struct {
	ID          int64         `json:"id"`
	ProjectID   int64         `json:"project_id,omitempty"`
	GroupID     int64         `json:"group_id,omitempty"`
	Pattern     string        `json:"package_name_pattern"`
	Type        registry.Type `json:"package_type"`
	PushLevel   *string       `json:"minimum_access_level_for_push"`
	DeleteLevel *string       `json:"minimum_access_level_for_delete"`
}

func ruleForm(r *registry.ProtectionRule) ruleJSON {
	level := func(l registry.Level) *string {
		for name, is := range levelsByName {
			if is == l && name != "" {
				return &name
			}
		}
		return nil
	}
	return ruleJSON{r.ID, r.ProjectID, r.GroupID, r.Pattern, r.Type, level(r.PushLevel), level(r.DeleteLevel)}
}

// ruled finds a place whose rules the caller may work with, after the parameters have been read: here, as with GitLab,
// what is wrong with those comes before rights.
func (c *call) ruled(in finder, action func(*place) access.Action) (*place, error) {
	if err := c.wrong(); err != nil {
		return nil, err
	}
	if c.who.User == nil {
		return nil, errAnonymous
	}
	return c.place(in, action)
}

func (a *API) listRules(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.anyone(w, r)
		if err != nil {
			return err
		}
		place, err := c.ruled(in, inspect)
		if err != nil {
			return err
		}
		policy, err := c.view.Policy(place.groupID, place.projectID)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, each(policy.Of(place.groupID, place.projectID), ruleForm))
	}
}

func (a *API) createRule(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.anyone(w, r)
		if err != nil {
			return err
		}
		for _, name := range []string{"package_name_pattern", "package_type"} {
			if !c.has(name) {
				c.problem(name + " is missing")
			}
		}
		rule := &registry.ProtectionRule{}
		c.readRule(rule)
		place, err := c.ruled(in, manage)
		if err != nil {
			return err
		}
		rule.GroupID, rule.ProjectID = place.groupID, place.projectID
		if err := checkRule(rule); err != nil {
			return err
		}
		if err := a.reg.CreateRule(r.Context(), rule); err != nil {
			return ruleError(err)
		}
		return writeJSON(w, http.StatusCreated, ruleForm(rule))
	}
}

func (a *API) updateRule(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.anyone(w, r)
		if err != nil {
			return err
		}
		id := c.number("package_protection_rule_id", 0)
		c.readRule(&registry.ProtectionRule{})
		place, err := c.ruled(in, manage)
		if err != nil {
			return err
		}
		rule, err := a.reg.UpdateRule(r.Context(), place.groupID, place.projectID, id, func(rule *registry.ProtectionRule) error {
			c.readRule(rule)
			return checkRule(rule)
		})
		if err != nil {
			return ruleError(err)
		}
		return writeJSON(w, http.StatusOK, ruleForm(rule))
	}
}

func (a *API) deleteRule(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.anyone(w, r)
		if err != nil {
			return err
		}
		id := c.number("package_protection_rule_id", 0)
		place, err := c.ruled(in, manage)
		if err != nil {
			return err
		}
		if err := a.reg.DeleteRule(r.Context(), place.groupID, place.projectID, id); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// readRule reads what of a rule is given. A level that is null or blank is taken back.
func (c *call) readRule(rule *registry.ProtectionRule) {
	rule.Pattern = c.text("package_name_pattern", rule.Pattern)
	rule.Type = registry.Type(c.choice("package_type", string(rule.Type), ruleTypes...))
	for _, level := range []struct {
		name    string
		choices []string
		into    *registry.Level
	}{{"minimum_access_level_for_push", pushLevels, &rule.PushLevel}, {"minimum_access_level_for_delete", deleteLevels, &rule.DeleteLevel}} {
		if name, ok := levelNumbers[strings.Join(c.values(level.name), " ")]; ok && slices.Contains(level.choices, name) {
			*level.into = levelsByName[name]
		} else if choice := c.choice(level.name, "", level.choices...); choice != "" || c.unset(level.name) {
			*level.into = levelsByName[choice]
		}
	}
}

// checkRule refuses what no rule can be, in GitLab's words.
func checkRule(rule *registry.ProtectionRule) error {
	var problems []string
	switch {
	case strings.TrimSpace(rule.Pattern) == "":
		problems = append(problems, "Package name pattern can't be blank")
	case utf8.RuneCountInString(rule.Pattern) > maxName:
		problems = append(problems, "Package name pattern is too long (maximum is 255 characters)")
	}
	if rule.Type == "" {
		problems = append(problems, "Package type can't be blank")
	}
	if rule.PushLevel == registry.NoAccess && rule.DeleteLevel == registry.NoAccess {
		problems = append(problems, "A rule must have at least a minimum access role for push or delete.")
	}
	if len(problems) > 0 {
		return ruleFailed(problems...)
	}
	return nil
}

func ruleFailed(problems ...string) error {
	return refuse(http.StatusUnprocessableEntity, map[string][]string{"error": problems})
}

func ruleError(err error) error {
	switch registry.KindOf(err) {
	case registry.Conflict:
		return ruleFailed("Package name pattern has already been taken")
	case registry.Limited:
		return ruleFailed(registry.MessageOf(err))
	}
	return err
}
