package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"packhouse/internal/registry"
)

func (a *API) settingRoutes() (routes []route) {
	for prefix, in := range places {
		routes = append(routes,
			route{"GET " + prefix + "/packages/settings", a.showSettings(in), operation{tag: "Package settings", summary: "Settings of packages", out: settingsJSON{}}},
			route{"PUT " + prefix + "/packages/settings", a.changeSettings(in), operation{tag: "Package settings", summary: "Change settings of packages; null or blank: inherited", out: settingsJSON{},
				in: inSettings(strings.HasPrefix(prefix, "/groups"))}},
		)
	}
	return routes
}

// settingsJSON is the effective settings of a place by their names, and besides: inherited, the names of those that the
// place does not set itself; NAME_locked of each setting that a group above may fix.
type settingsJSON map[string]any

// inSettings are the parameters with which settings are changed.
func inSettings(group bool) (in []param) {
	for _, s := range registry.Settings {
		if s.GroupOnly && !group {
			continue
		}
		p := param{name: s.Name}
		switch s.Kind {
		case registry.Flag:
			p.schema = &jsonschema.Schema{Types: []string{"boolean", "null"}}
		case registry.Lock:
			p.schema = &jsonschema.Schema{Types: []string{"boolean", "null"}}
			p.about = "nothing below may set it otherwise"
		case registry.Pattern:
			p.schema = &jsonschema.Schema{Types: []string{"string", "null"}, MaxLength: ptr(maxName)}
			p.about = "RE2, for the whole of a name or a version"
		case registry.Limit:
			p.schema = &jsonschema.Schema{Types: []string{"integer", "null"}, Minimum: ptr(0.0)}
			p.about = "0: no limit of its own; the least of those above, and of the server, counts"
		case registry.Names:
			p.schema = &jsonschema.Schema{Types: []string{"array", "null"}, Items: &jsonschema.Schema{Type: "string", MaxLength: ptr(maxName)}}
			p.about = "names, * for any text, that are never asked for at another registry; those of the groups above count too"
		}
		in = append(in, p)
	}
	return in
}

// settingsSchema is that of settingsJSON.
func settingsSchema() *jsonschema.Schema {
	properties := map[string]*jsonschema.Schema{"inherited": {Type: "array", Items: &jsonschema.Schema{Type: "string"}}}
	required := []string{"inherited"}
	for _, s := range registry.Settings {
		one := &jsonschema.Schema{Type: "boolean"}
		switch s.Kind {
		case registry.Pattern:
			one = &jsonschema.Schema{Type: "string"}
		case registry.Limit:
			one = &jsonschema.Schema{Type: "integer"}
		case registry.Names:
			one = &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "string"}}
		case registry.Lock:
			locked := strings.TrimPrefix(s.Name, "lock_") + "_locked"
			properties[locked] = &jsonschema.Schema{Type: "boolean"}
			required = append(required, locked)
		}
		if properties[s.Name] = one; !s.GroupOnly {
			required = append(required, s.Name)
		}
	}
	return &jsonschema.Schema{Type: "object", Properties: properties, Required: required}
}

func (a *API) writeSettings(w http.ResponseWriter, p *place, policy *registry.Policy) error {
	body, inherited := settingsJSON{}, []string{}
	for _, s := range registry.Settings {
		if s.Kind == registry.Lock {
			name := strings.TrimPrefix(s.Name, "lock_")
			body[name+"_locked"] = policy.Locked(registry.Setting{Name: name})
		}
		if s.GroupOnly && p.groupID == 0 {
			continue
		}
		value := policy.Value(s)
		switch s.Kind {
		case registry.Flag, registry.Lock:
			body[s.Name] = value == "true"
		case registry.Pattern:
			body[s.Name] = value
		case registry.Limit:
			body[s.Name] = a.limit(policy, s)
		case registry.Names:
			body[s.Name] = slices.DeleteFunc(strings.Split(value, "\n"), func(name string) bool { return name == "" })
		}
		if _, own := policy.Own()[s.Name]; !own {
			inherited = append(inherited, s.Name)
		}
	}
	body["inherited"] = inherited
	return writeJSON(w, http.StatusOK, body)
}

// limit is the effective value of a limit, which is never above the server's.
func (a *API) limit(policy *registry.Policy, s registry.Setting) int64 {
	server := a.reg.MaxFile
	switch s.Name {
	case registry.MaxFilesSetting:
		server = a.reg.MaxFiles
	case registry.MaxPushSetting:
		server = a.reg.MaxPush
	}
	return policy.Limit(s, server)
}

func (a *API) showSettings(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, place, err := a.inspected(w, r, in)
		if err != nil {
			return err
		}
		policy, err := c.view.Policy(place.groupID, place.projectID)
		if err != nil {
			return err
		}
		return a.writeSettings(w, place, policy)
	}
}

// inspected opens a request to see what only those see who may change it.
func (a *API) inspected(w http.ResponseWriter, r *http.Request, in finder) (*call, *place, error) {
	c, err := a.signedIn(w, r)
	if err != nil {
		return nil, nil, err
	}
	place, err := c.place(in, inspect)
	return c, place, err
}

func (a *API) changeSettings(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		place, err := c.place(in, manage)
		if err != nil {
			return err
		}
		values := map[string]*string{}
		problems := map[string][]string{}
		var given []registry.Setting
		for _, s := range registry.Settings {
			if s.GroupOnly && place.groupID == 0 {
				continue
			}
			text, is := c.setting(s)
			if !is {
				continue
			}
			given, values[s.Name] = append(given, s), text
			if text == nil {
				continue
			}
			parsed, err := s.Parse(*text)
			if err != nil {
				problems[s.Name] = []string{registry.MessageOf(err)}
			}
			values[s.Name] = &parsed
		}
		if err := c.wrong(); err != nil {
			return err
		}
		if len(problems) > 0 {
			return refuse(http.StatusBadRequest, problems)
		}
		policy, err := a.reg.ChangeSettings(r.Context(), place.groupID, place.projectID, values, func(before *registry.Policy) error {
			above := before.Above()
			for _, s := range given {
				value := values[s.Name]
				switch {
				case value == nil:
				case before.Locked(s):
					return invalid(s.Name, "cannot be changed because it is locked by an ancestor")
				case s.Kind == registry.Limit:
					n, _ := strconv.ParseInt(*value, 10, 64) // Parse has made it
					if most := a.limit(above, s); most > 0 && n > most {
						return invalid(s.Name, "must be less than or equal to %d", most)
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return a.writeSettings(w, place, policy)
	}
}

// setting reads a setting as a text for Parse: nil when it is to be inherited. is tells whether it is there.
func (c *call) setting(s registry.Setting) (text *string, is bool) {
	if c.unset(s.Name) {
		return nil, true
	}
	if !c.has(s.Name) {
		return nil, false
	}
	var value string
	switch s.Kind {
	case registry.Flag, registry.Lock:
		value = strconv.FormatBool(c.flag(s.Name, false))
	case registry.Limit:
		n := c.number(s.Name, 0)
		if n == 0 {
			return nil, true
		}
		value = strconv.FormatInt(n, 10)
	case registry.Names:
		value = strings.Join(c.list(s.Name), "\n")
	default:
		value = c.text(s.Name, "")
	}
	return &value, true
}
