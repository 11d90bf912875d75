package web

import (
	"net/http"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

type rulesPage struct {
	Own, Above []*registry.ProtectionRule
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
	return q.render("rules", q.title("Protection"), page)
}

func (h *Handler) createRule(q *request) error {
	return q.submit(change{method: http.MethodPost, path: q.place.api() + "/packages/protection/rules",
		form: q.fields("package_name_pattern", "package_type", "minimum_access_level_for_push", "minimum_access_level_for_delete"),
		page: h.rules, done: "The rule was added.", to: q.place.Path("rules")})
}

func (h *Handler) removeRule(q *request) error {
	if q.unsure() {
		return q.ask("Remove the rule for %s?", "It protects the names that it matches no longer.", "Remove")
	}
	return q.submit(change{method: http.MethodDelete, path: q.place.api() + "/packages/protection/rules/" + q.id("rule_id"), page: h.rules, done: "The rule was removed.", to: q.place.Path("rules")})
}
