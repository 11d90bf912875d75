package database

import (
	"cmp"
	"slices"
	"strings"

	"packhouse/internal/registry"
)

// above are the namespaces over $2, or over the project $1, from the bottom up.
const above = `WITH RECURSIVE above (id, height) AS (
		SELECT id, 1 FROM namespaces WHERE id = $2
		UNION ALL SELECT namespace_id, 1 FROM projects WHERE id = $1
		UNION ALL SELECT n.parent_id, a.height + 1 FROM above a JOIN namespaces n ON n.id = a.id WHERE n.parent_id IS NOT NULL
	)`

// policyQuery has the settings and the rules of a place and of those above it in rows of one shape: its height, 0 for
// the project itself; of settings name and value; of rules type, pattern and the rest. Without CROSS JOIN, SQLite goes
// through all that is set anywhere.
const policyQuery = above + `
	SELECT height, '', '', -1, NULL, NULL, 0, 0 FROM above
	UNION ALL SELECT a.height, s.name, s.value, 0, s.namespace_id, s.project_id, 0, 0
		FROM above a CROSS JOIN package_settings s WHERE s.namespace_id = a.id
	UNION ALL SELECT 0, s.name, s.value, 0, s.namespace_id, s.project_id, 0, 0
		FROM package_settings s WHERE s.project_id = $1
	UNION ALL SELECT a.height, r.type, r.pattern, r.id, r.namespace_id, r.project_id, r.push_level, r.delete_level
		FROM above a CROSS JOIN protection_rules r WHERE r.namespace_id = a.id
	UNION ALL SELECT 0, r.type, r.pattern, r.id, r.namespace_id, r.project_id, r.push_level, r.delete_level
		FROM protection_rules r WHERE r.project_id = $1`

// Policy implements [registry.Tx].
func (t *tx) Policy(group, project int64) (*registry.Policy, error) {
	// The places by their height; that of a group is 1 at least, and then there is no place of height 0.
	var settings []map[string]string
	p := &registry.Policy{}
	base := 0
	if project == 0 {
		base = 1
	}
	err := t.eachFixed(func(row scanner) error {
		var height int
		var name, value string
		var r registry.ProtectionRule
		if err := row.Scan(&height, &name, &value, &r.ID, asID{&r.GroupID}, asID{&r.ProjectID}, &r.PushLevel, &r.DeleteLevel); err != nil {
			return err
		}
		for len(settings) <= height-base {
			settings = append(settings, map[string]string{})
		}
		switch {
		case r.ID < 0: // only says that the place is there
		case r.ID == 0:
			settings[height-base][name] = value
		default:
			r.Type, r.Pattern = registry.Type(name), value
			p.Rules = append(p.Rules, &r)
		}
		return nil
	}, policyQuery, project, group)
	slices.Reverse(settings)
	p.Settings = settings
	slices.SortFunc(p.Rules, func(a, b *registry.ProtectionRule) int { return cmp.Compare(a.ID, b.ID) })
	return p, err
}

// SetSetting implements [registry.Tx].
func (t *tx) SetSetting(group, project int64, name string, value *string) error {
	column, id := "namespace_id", group
	if project != 0 {
		column, id = "project_id", project
	}
	if value == nil {
		return t.changedAccess(t.one("DELETE FROM package_settings WHERE "+column+" = $1 AND name = $2", id, name))
	}
	return t.changedAccess(t.one("INSERT INTO package_settings ("+column+", name, value) VALUES ($1, $2, $3) ON CONFLICT ("+column+", name) WHERE "+
		column+" IS NOT NULL DO UPDATE SET value = excluded.value", id, name, *value))
}

// CreateRule implements [registry.Tx].
func (t *tx) CreateRule(r *registry.ProtectionRule) error {
	return t.changedAccess(t.insert(&r.ID, `
		INSERT INTO protection_rules (namespace_id, project_id, type, pattern, push_level, delete_level) VALUES ($1, $2, $3, $4, $5, $6)`,
		nullable(r.GroupID), nullable(r.ProjectID), r.Type, r.Pattern, r.PushLevel, r.DeleteLevel))
}

// UpdateRule implements [registry.Tx].
func (t *tx) UpdateRule(r *registry.ProtectionRule) error {
	return t.changedAccess(t.one("UPDATE protection_rules SET type = $2, pattern = $3, push_level = $4, delete_level = $5 WHERE id = $1",
		r.ID, r.Type, r.Pattern, r.PushLevel, r.DeleteLevel))
}

// DeleteRule implements [registry.Tx].
func (t *tx) DeleteRule(id int64) error {
	return t.changedAccess(t.one("DELETE FROM protection_rules WHERE id = $1", id))
}

// NameIsKnown implements [registry.Tx].
func (t *tx) NameIsKnown(kind registry.Type, scope, name string, root int64) (known bool, err error) {
	err = t.row(func(row scanner) error { return row.Scan(&known) }, `
		SELECT EXISTS (SELECT 1 FROM entries e JOIN projects p ON p.id = e.project_id WHERE e.type = $1 AND e.name = $2 AND p.lineage LIKE $3)
			OR EXISTS (SELECT 1 FROM former_names f JOIN namespaces n ON f.root = LOWER(n.full_path) WHERE n.id = $4 AND f.type = $1 AND f.name = $2)
			OR EXISTS (SELECT 1 FROM former_names f WHERE f.root = $5)`,
		kind, name, lineageText([]int64{root})+"%", root, strings.ToLower(scope))
	return known, err
}
