package registry

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Policy is what a project or a group, with all the groups above it, says of its packages: settings, and rules that
// protect packages. It is shared: not to be changed.
type Policy struct {
	// Settings are those of each place by name, from the top-level group down; the place's own are the last. What a
	// place does not set is not in its map.
	Settings []map[string]string
	Rules    []*ProtectionRule // by id
}

// Setting is one of the settings of a place. Names and meanings are GitLab's, where it has them.
type Setting struct {
	Name      string
	Kind      SettingKind
	Default   string // where nobody sets it; of a Limit: the server's, see Registry
	GroupOnly bool
}

// SettingKind says what the value of a setting is, and how those of several places come to one.
type SettingKind int

// The kinds of setting.
const (
	Flag    SettingKind = iota // "true" or "false"; the nearest place counts
	Pattern                    // regular expression (RE2) for a whole text, or empty; the nearest place counts
	Limit                      // whole number above 0; the least of all places counts, so that nobody below can raise it
	Names                      // patterns with wildcards, a line each; those of all places count
	Lock                       // Flag of a group that fixes the value of another setting below it; it is not inherited
)

// lockPrefix and the name of a setting is the name of its lock.
const lockPrefix = "lock_"

// Names of settings that are not of one format.
const (
	MaxFilesSetting = "max_files_per_package"
	MaxPushSetting  = "max_push_size"  // bytes
	ReservedNames   = "reserved_names" // names that lie in a group's own realm, and are never asked for elsewhere
	autoPublish     = "_auto_publish"  // after the name of a format: what is pushed to the repository is published
)

// Settings of NuGet alone.
const (
	NuGetSymbolServer = "nuget_symbol_server_enabled" // symbols of what not everybody may read are for all who know signature and checksum
	NuGetUnlists      = "nuget_delete_unlists"        // a client's delete takes a version off the lists, and no more
)

// What comes after the name of a format in the names of its settings.
const (
	duplicatesAllowed  = "_duplicates_allowed"
	duplicateException = "_duplicate_exception_regex"
	maxFileSize        = "_max_file_size" // bytes
	forwarding         = "_package_requests_forwarding"
)

// Settings are all that there are.
var Settings = allSettings()

func allSettings() (all []Setting) {
	for _, t := range []Type{Maven, NPM, Conan, NuGet, PyPI, Composer, Generic} {
		allowed := strconv.FormatBool(t == Maven || t == Generic || t == Composer)
		all = append(all,
			Setting{Name: string(t) + duplicatesAllowed, Kind: Flag, Default: allowed},
			Setting{Name: string(t) + duplicateException, Kind: Pattern},
			Setting{Name: string(t) + maxFileSize, Kind: Limit})
		if t == NPM || t == PyPI || t == Maven {
			name := string(t) + forwarding
			all = append(all, Setting{Name: name, Kind: Flag, Default: "false"}, Setting{Name: lockPrefix + name, Kind: Lock, Default: "false", GroupOnly: true})
		}
	}
	return append(all, Setting{Name: NuGetSymbolServer, Kind: Flag, Default: "false"}, Setting{Name: NuGetUnlists, Kind: Flag, Default: "false"},
		Setting{Name: string(Composer) + autoPublish, Kind: Flag, Default: "false"},
		Setting{Name: MaxFilesSetting, Kind: Limit}, Setting{Name: MaxPushSetting, Kind: Limit}, Setting{Name: ReservedNames, Kind: Names, GroupOnly: true})
}

const (
	maxPattern  = 255 // characters of a pattern of any kind
	maxPatterns = 100 // of one setting
	maxRules    = 100 // of one place
)

// Parse checks a value and gives it its stored form. The error is Invalid and says what is wrong with it.
func (s Setting) Parse(text string) (string, error) {
	switch s.Kind {
	case Flag, Lock:
		on, err := strconv.ParseBool(text)
		if err != nil {
			return "", Errorf(Invalid, "is not true or false")
		}
		return strconv.FormatBool(on), nil
	case Pattern:
		if utf8.RuneCountInString(text) > maxPattern {
			return "", Errorf(Invalid, "is too long (maximum is %d characters)", maxPattern)
		}
		if _, err := whole(text); err != nil {
			return "", Errorf(Invalid, "not valid RE2 syntax: %v", err)
		}
		return text, nil
	case Limit:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return "", Errorf(Invalid, "must be greater than 0")
		}
		return strconv.FormatInt(n, 10), nil
	}
	patterns := strings.Split(text, "\n")
	for i, pattern := range patterns {
		if patterns[i] = strings.TrimSpace(pattern); utf8.RuneCountInString(patterns[i]) > maxPattern {
			return "", Errorf(Invalid, "has a pattern that is too long (maximum is %d characters)", maxPattern)
		}
	}
	patterns = slices.DeleteFunc(patterns, func(pattern string) bool { return pattern == "" })
	if len(patterns) > maxPatterns {
		return "", Errorf(Invalid, "has too many patterns (maximum is %d)", maxPatterns)
	}
	return strings.Join(patterns, "\n"), nil
}

// whole compiles an expression that must match a text from beginning to end. Matching takes time in proportion to the
// text, whatever the expression.
func whole(expression string) (*regexp.Regexp, error) {
	// By itself first, as one that closes our own group would pass.
	if _, err := regexp.Compile(expression); err != nil {
		return nil, err
	}
	return regexp.Compile(`\A(?:` + expression + `)\z`)
}

// Value is the effective value of a setting; of a Limit "" when none of the places has one.
func (p *Policy) Value(s Setting) string {
	value, found := s.Default, []string(nil)
	for i, set := range p.Settings {
		own, is := set[s.Name]
		last := i == len(p.Settings)-1
		switch {
		case !is:
		case s.Kind == Lock:
			if last {
				value = own
			}
		case s.Kind == Names:
			found = append(found, own)
		case s.Kind == Limit && value != "" && number(value) <= number(own):
		default:
			value = own
		}
		if !last && set[lockPrefix+s.Name] == "true" {
			break
		}
	}
	if s.Kind == Names {
		return strings.Join(found, "\n")
	}
	return value
}

// Locked tells whether a group above has fixed the value of a setting.
func (p *Policy) Locked(s Setting) bool {
	above := p.Settings[:max(0, len(p.Settings)-1)]
	return slices.ContainsFunc(above, func(set map[string]string) bool { return set[lockPrefix+s.Name] == "true" })
}

// Own is what the place itself sets.
func (p *Policy) Own() map[string]string {
	if len(p.Settings) == 0 {
		return nil
	}
	return p.Settings[len(p.Settings)-1]
}

// Above is the policy without what the place itself sets.
func (p *Policy) Above() *Policy {
	return &Policy{Settings: append(slices.Clone(p.Settings[:max(0, len(p.Settings)-1)]), nil)}
}

func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64) // it was checked when it was set
	return n
}

func (p *Policy) value(name string) string { return p.Value(setting(name)) }

// setting is the one of a name that there is.
func setting(name string) Setting {
	return Settings[slices.IndexFunc(Settings, func(s Setting) bool { return s.Name == name })]
}

// Limit is the effective value of a limit, which is never above the server's; 0: none.
func (p *Policy) Limit(s Setting, server int64) int64 {
	own := number(p.Value(s))
	if own == 0 || server > 0 && server < own {
		return server
	}
	return own
}

// On is the effective value of a flag.
func (p *Policy) On(name string) bool { return p.value(name) == "true" }

// MaxFile is the largest file of a format, in bytes, where the server allows so much.
func (p *Policy) MaxFile(t Type, server int64) int64 {
	return p.Limit(setting(string(t)+maxFileSize), server)
}

// MaxFiles is how many files a package version may have, where the server allows so many.
func (p *Policy) MaxFiles(server int64) int64 { return p.Limit(setting(MaxFilesSetting), server) }

// MaxPush is how many bytes a push to a Git repository may have, where the server allows so many.
func (p *Policy) MaxPush(server int64) int64 { return p.Limit(setting(MaxPushSetting), server) }

// AutoPublishes tells whether what is pushed to the repository is published as packages of a format.
func (p *Policy) AutoPublishes(t Type) bool { return p.value(string(t)+autoPublish) == "true" }

// Forwards tells whether what is missing may be asked for at a public registry.
func (p *Policy) Forwards(t Type) bool { return p.value(string(t)+forwarding) == "true" }

// Reserved tells whether a name is one of those that are never asked for elsewhere.
func (p *Policy) Reserved(t Type, name string) bool {
	for pattern := range strings.SplitSeq(p.value(ReservedNames), "\n") {
		if pattern != "" && matchName(t, pattern, name) {
			return true
		}
	}
	return false
}

// AllowsDuplicate tells whether a version (or, of formats whose versions grow file by file, a file of it) may be
// published again. The exception, matching the whole of a name or version, turns the setting round.
func (p *Policy) AllowsDuplicate(t Type, name, version string) bool {
	allowed := p.value(string(t)+duplicatesAllowed) == "true"
	exception := p.value(string(t) + duplicateException)
	if exception == "" {
		return allowed
	}
	expression, err := whole(exception)
	if err != nil {
		return false // it was checked when it was set
	}
	return allowed != (expression.MatchString(name) || expression.MatchString(version))
}

// ProtectionRule lets only some change packages whose name it matches. Any rule that matches is enough to refuse.
type ProtectionRule struct {
	ID          int64
	GroupID     int64 // one of GroupID and ProjectID is set
	ProjectID   int64
	Type        Type
	Pattern     string // "*" stands for anything; without regard to case
	PushLevel   Level  // 0: does not matter
	DeleteLevel Level
}

func (r *ProtectionRule) title() string { return "protection rule " + string(r.Type) + " " + r.Pattern }

// deed is what a rule protects from.
type deed int

const (
	push deed = iota
	destroy
)

// required is the level that a deed with a package takes, by the rules that match one of its names; NoAccess: any.
func (p *Policy) required(d deed, t Type, names ...string) (level Level) {
	for _, r := range p.Rules {
		wanted := r.PushLevel
		if d == destroy {
			wanted = r.DeleteLevel
		}
		if r.Type == t && wanted > level && slices.ContainsFunc(names, func(name string) bool { return matchName(t, r.Pattern, name) }) {
			level = wanted
		}
	}
	return level
}

// Errors of protection rules, in GitLab's words.
var (
	errPushProtected   = Errorf(Forbidden, "403 Forbidden - Package protected.")
	errDeleteProtected = Errorf(Forbidden, "403 Forbidden - Package is deletion protected.")
)

// protect returns Forbidden when the rules keep whoever acts in ctx from a deed. Who that is and which level they have
// is read within the transaction, and only when a rule matches. A deploy token has no level and never passes; a job's
// has that of its user. The server's own work in the background does what it was told when it was set up.
func (p *Policy) protect(ctx context.Context, tx Tx, project int64, d deed, t Type, names ...string) error {
	required, actor := p.required(d, t, names...), ActorOf(ctx)
	if required == NoAccess || actor == nil {
		return nil
	}
	if actor.UserID != 0 && actor.Kind != DeployToken {
		user, err := tx.User(actor.UserID)
		if err != nil {
			return err
		}
		home, err := tx.Project(project)
		if err != nil {
			return err
		}
		level, _, err := tx.EffectiveLevel(user.ID, project, home.Lineage)
		if err != nil || level >= required || user.Admin {
			return err
		}
	}
	if d == destroy {
		return errDeleteProtected
	}
	return errPushProtected
}

// guard is protect with the policy as it is in the transaction.
func guard(ctx context.Context, tx Tx, project int64, d deed, t Type, names ...string) error {
	policy, err := tx.Policy(0, project)
	if err != nil {
		return err
	}
	return policy.protect(ctx, tx, project, d, t, names...)
}

// MayPush tells early, before an upload is read, what Publish would refuse: Forbidden when a rule protects the name
// from the actor of ctx.
func (r *Registry) MayPush(ctx context.Context, policy *Policy, project int64, t Type, name string) error {
	if policy.required(push, t, name) == NoAccess {
		return nil
	}
	return r.Store.Read(ctx, func(tx Tx) error { return policy.protect(ctx, tx, project, push, t, name) })
}

var separators = regexp.MustCompile(`[-_.]+`)

// matchName matches a whole name with a pattern, "*" standing for any text, without regard to case. Of PyPI's names,
// what is one project by PEP 503 is one here.
func matchName(t Type, pattern, name string) bool {
	pattern, name = strings.ToLower(pattern), strings.ToLower(name)
	if t == PyPI {
		pattern, name = separators.ReplaceAllString(pattern, "-"), separators.ReplaceAllString(name, "-")
	}
	head, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	// What stands between two stars is taken where it comes first: no later place could leave more for the rest.
	name, fits := strings.CutPrefix(name, head)
	for fits {
		middle, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, rest)
		}
		rest = after
		_, name, fits = strings.Cut(name, middle)
	}
	return false
}

// ChangeSettings sets settings of a project or a group, one of which is 0; nil is inherited again. values are in the
// form that Parse returns. check sees the policy before, within the transaction.
func (r *Registry) ChangeSettings(ctx context.Context, group, project int64, values map[string]*string, check func(*Policy) error) (policy *Policy, err error) {
	err = r.Store.Write(ctx, func(tx Tx) error {
		before, err := tx.Policy(group, project)
		if err != nil {
			return err
		}
		if err := check(before); err != nil {
			return err
		}
		var changes []string
		for _, s := range Settings {
			value, given := values[s.Name]
			old, was := before.Own()[s.Name]
			switch {
			case !given || value == nil && !was || value != nil && was && *value == old:
				continue
			case value == nil:
				changes = append(changes, s.Name+": inherited")
			default:
				changes = append(changes, fmt.Sprintf("%s: %s", s.Name, strings.ReplaceAll(*value, "\n", ", ")))
			}
			if err := tx.SetSetting(group, project, s.Name, value); err != nil {
				return err
			}
		}
		if len(changes) > 0 {
			if err := tx.Record(&Event{Name: SettingsChanged, GroupID: group, ProjectID: project, Target: "package settings", Detail: strings.Join(changes, "; ")}); err != nil {
				return err
			}
		}
		policy, err = tx.Policy(group, project)
		return err
	})
	return policy, err
}

// ruleDetail says what a rule asks for, to people.
func ruleDetail(r *ProtectionRule) string {
	return fmt.Sprintf("push: %s, delete: %s", levelName(r.PushLevel), levelName(r.DeleteLevel))
}

func levelName(l Level) string {
	if name, ok := map[Level]string{Maintainer: "maintainer", Owner: "owner", Admin: "admin"}[l]; ok {
		return name
	}
	return "anyone who may"
}

// CreateRule adds a rule to its place. It returns Conflict when the place has the pattern for the type, Limited when it
// has as many as it may have.
func (r *Registry) CreateRule(ctx context.Context, rule *ProtectionRule) error {
	return r.Store.Write(ctx, func(tx Tx) error {
		rules, err := rulesOf(tx, rule.GroupID, rule.ProjectID)
		if err != nil {
			return err
		}
		if len(rules) >= maxRules {
			return Errorf(Limited, "There are %d rules at most", maxRules)
		}
		if err := tx.CreateRule(rule); err != nil {
			return err
		}
		return recordRule(tx, rule, "created; "+ruleDetail(rule))
	})
}

// UpdateRule changes a rule of a place. change edits it and may return an error. NotFound: the place has no such rule;
// Conflict: another one has the pattern for the type.
func (r *Registry) UpdateRule(ctx context.Context, group, project, id int64, change func(*ProtectionRule) error) (rule *ProtectionRule, err error) {
	err = r.Store.Write(ctx, func(tx Tx) error {
		if rule, err = ruleOf(tx, group, project, id); err != nil {
			return err
		}
		if err := change(rule); err != nil {
			return err
		}
		if err := tx.UpdateRule(rule); err != nil {
			return err
		}
		return recordRule(tx, rule, "changed; "+ruleDetail(rule))
	})
	return rule, err
}

// DeleteRule removes a rule of a place. NotFound: the place has no such rule.
func (r *Registry) DeleteRule(ctx context.Context, group, project, id int64) error {
	return r.Store.Write(ctx, func(tx Tx) error {
		rule, err := ruleOf(tx, group, project, id)
		if err != nil {
			return err
		}
		if err := tx.DeleteRule(id); err != nil {
			return err
		}
		return recordRule(tx, rule, "removed")
	})
}

func recordRule(tx Tx, rule *ProtectionRule, detail string) error {
	return tx.Record(&Event{Name: SettingsChanged, GroupID: rule.GroupID, ProjectID: rule.ProjectID, Target: rule.title(), Detail: detail})
}

// Of are the rules of a place itself, without those from above.
func (p *Policy) Of(group, project int64) []*ProtectionRule {
	return slices.DeleteFunc(slices.Clone(p.Rules), func(r *ProtectionRule) bool { return r.GroupID != group || r.ProjectID != project })
}

func rulesOf(tx Tx, group, project int64) ([]*ProtectionRule, error) {
	policy, err := tx.Policy(group, project)
	if err != nil {
		return nil, err
	}
	return policy.Of(group, project), nil
}

func ruleOf(tx Tx, group, project, id int64) (*ProtectionRule, error) {
	rules, err := rulesOf(tx, group, project)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(rules, func(r *ProtectionRule) bool { return r.ID == id }); i >= 0 {
		return rules[i], nil
	}
	return nil, Errorf(NotFound, "404 Not found")
}
