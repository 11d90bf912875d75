package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// operation is what the OpenAPI document says of a route. That the parameters are all that the handler reads, and the
// answer what it writes, the tests check.
type operation struct {
	tag, summary string
	in           []param // besides those of the path
	out          any     // a value of the type of the answer's body; nil: none
	status       int     // of success; 0: 201 for POST, 204 for DELETE, otherwise 200
	also         []int   // statuses of errors besides those of every route
	noLogin      bool    // it never answers 401 or 403
}

// param is a parameter: in the query of GET, HEAD and DELETE, otherwise in the body.
type param struct {
	name     string
	schema   *jsonschema.Schema
	required bool
	about    string
}

func (p param) must() param { p.required = true; return p }

// says adds what the name does not tell.
func (p param) says(about string) param { p.about = about; return p }

func ptr[T any](v T) *T { return &v }

func inText(name string) param {
	return param{name: name, schema: &jsonschema.Schema{Type: "string", MaxLength: ptr(maxText)}}
}
func inName(name string) param {
	return param{name: name, schema: &jsonschema.Schema{Type: "string", MinLength: ptr(1), MaxLength: ptr(maxName)}}
}
func inNumber(name string) param {
	return param{name: name, schema: &jsonschema.Schema{Type: "integer"}}
}
func inFlag(name string) param {
	return param{name: name, schema: &jsonschema.Schema{Type: "boolean"}}
}
func inDate(name string) param {
	return param{name: name, schema: &jsonschema.Schema{Type: "string", Format: "date"}}
}
func inTime(name string) param {
	return param{name: name, schema: &jsonschema.Schema{Type: "string", Format: "date-time"}}
}
func inChoice(name string, choices ...string) param {
	return param{name: name, schema: &jsonschema.Schema{Type: "string", Enum: anys(choices)}}
}
func inIDs(name string) param {
	return param{name: name, schema: &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "integer"}}}
}
func inList(name string, choices ...string) param {
	items := &jsonschema.Schema{Type: "string"}
	if len(choices) > 0 {
		items.Enum = anys(choices)
	}
	return param{name: name, schema: &jsonschema.Schema{Type: "array", Items: items}}
}

func anys[T any](list []T) []any {
	all := make([]any, len(list))
	for i, one := range list {
		all[i] = one
	}
	return all
}

// inPages are the parameters of every list.
var inPages = []param{inNumber("page").says("from 1"), inNumber("per_page").says("20 by default, 100 at most")}

// errorJSON is the body of an error: message, or error.
type errorJSON struct {
	Message     any    `json:"message,omitempty"`
	Error       string `json:"error,omitempty"`
	Description string `json:"error_description,omitempty"`
	Scope       string `json:"scope,omitempty"`
}

// Types that write themselves.
var schemas = map[reflect.Type]*jsonschema.Schema{
	reflect.TypeFor[timestamp]():       {Types: []string{"string", "null"}, Format: "date-time"},
	reflect.TypeFor[date]():            {Types: []string{"string", "null"}, Format: "date"},
	reflect.TypeFor[json.RawMessage](): {},
	reflect.TypeFor[settingsJSON]():    settingsSchema(),
}

// schemaOf is the schema of a Go type as encoding/json writes it.
func schemaOf(t reflect.Type) *jsonschema.Schema {
	s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: schemas})
	if err != nil {
		panic(err) // a type in our own table that no JSON can be
	}
	if t.Kind() == reflect.Slice { // lists are [] and never null
		s.Types, s.Type = nil, "array"
	}
	optionalParts(t, s)
	return s
}

// optionalParts takes the fields of embedded pointers off the required ones: they are there or not together. It also
// adds embedded fields that another one hides in Go and not in JSON, having another name there.
func optionalParts(t reflect.Type, s *jsonschema.Schema) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice && s.Items != nil {
			s = s.Items
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || schemas[t] != nil {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.Anonymous {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if inner := s.Properties[name]; inner != nil {
				optionalParts(f.Type, inner)
			}
			continue
		}
		if f.Type.Kind() != reflect.Pointer {
			embedded := schemaOf(f.Type)
			for name, property := range embedded.Properties {
				if s.Properties[name] == nil {
					s.Properties[name] = property
					if slices.Contains(embedded.Required, name) {
						s.Required = append(s.Required, name)
					}
				}
			}
			optionalParts(f.Type, s)
			continue
		}
		for j := range f.Type.Elem().NumField() {
			name, _, _ := strings.Cut(f.Type.Elem().Field(j).Tag.Get("json"), ",")
			s.Required = slices.DeleteFunc(s.Required, func(r string) bool { return r == name })
		}
	}
}

var pathParam = regexp.MustCompile(`\{(\w+)\}`)

type object = map[string]any

// described is what the document says of all: what this is, and what is not in it.
const described = `The part of GitLab's REST API that a package registry needs.

Package managers speak protocols of their own with this server, below /api/v4/projects/{id}/packages/, ` +
	`/api/v4/groups/{id}/-/packages/ and /api/v4/packages/. Those are documented by the package managers, and by this program's pages on its formats.

Parameters of a body may come as JSON, as a form or in the query; HEAD works where GET does. An {id} of a project or a group is its number or its full path with %2F for each slash.`

// tags are the parts of the API.
var tags = map[string]string{
	"Instance":               "The server itself.",
	"Users":                  "People and bots.",
	"Groups":                 "Groups hold projects and other groups.",
	"Projects":               "Projects hold packages.",
	"Members":                "Who has which access level in a project or group.",
	"Personal access tokens": "Tokens that stand for a user.",
	"Deploy tokens":          "Tokens that stand for nobody, for the packages of a project or group.",
	"Job tokens":             "Tokens of a CI job, which end with it.",
	"Project access tokens":  "Tokens of bots that are members of one project.",
	"Group access tokens":    "Tokens of bots that are members of one group, and so of all below it.",
	"Audit events":           "Who has changed what.",
	"Packages":               "Packages of all formats, and their files.",
	"Package settings":       "What a group or project takes, and whether it asks elsewhere for what it lacks.",
	"Package protection":     "Names that only some may publish or delete.",
	"Repository":             "The Git repository of a project: branches, tags, and a remote that it follows.",
	"Cleanup":                "Which packages go by themselves.",
}

// headers that answers have.
var (
	pageHeaders = headers{
		"X-Page":        number("the page that this is"),
		"X-Per-Page":    number("how many are on a page"),
		"X-Prev-Page":   words("number of the page before; empty when there is none"),
		"X-Next-Page":   words("number of the next page; empty when there is none"),
		"X-Total":       number("how many there are on all pages"),
		"X-Total-Pages": number("how many pages there are, at least 1"),
		"Link":          words(`the pages around, as RFC 8288 says: rel is prev, next, first or last`),
	}
	challengeHeaders = headers{"WWW-Authenticate": words("what is wrong with the token, as RFC 6750 says")}
	retryHeaders     = headers{"Retry-After": number("seconds to wait")}
)

type headers map[string]object

// required are the same headers, that are always there or not.
func (h headers) required(always bool) headers {
	all := headers{}
	for name, header := range h {
		all[name] = maps.Clone(header)
		all[name]["required"] = always
	}
	return all
}

func number(about string) object {
	return object{"description": about, "schema": object{"type": "integer", "minimum": 0}}
}
func words(about string) object {
	return object{"description": about, "schema": object{"type": "string"}}
}

// content is a body as JSON.
func content(schema any) object { return object{"application/json": object{"schema": schema}} }

// describe makes the OpenAPI 3.1 document of the routes.
func describe(routes []route, version string) ([]byte, error) {
	paths, used := object{}, map[string]bool{}
	for _, route := range routes {
		method, path, _ := strings.Cut(route.pattern, " ")
		full := "/api/v4" + path
		if paths[full] == nil {
			paths[full] = object{}
		}
		paths[full].(object)[strings.ToLower(method)] = route.describe(method, path)
		used[route.tag] = true
	}
	named := []object{}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		tag := object{"name": name}
		if about := tags[name]; about != "" {
			tag["description"] = about
		}
		named = append(named, tag)
	}
	header := func(name string) object { return object{"type": "apiKey", "in": "header", "name": name} }
	return json.Marshal(object{
		"openapi": "3.1.0",
		"info":    object{"title": "Packhouse", "version": version, "description": described},
		"servers": []object{{"url": "/", "description": "the server that answers this document"}},
		"tags":    named,
		"paths":   paths,
		"components": object{
			"schemas": object{"Error": errorSchema()},
			"securitySchemes": object{
				"PersonalToken": header("PRIVATE-TOKEN"), "JobToken": header("JOB-TOKEN"), "DeployToken": header("Deploy-Token"),
				"Bearer": object{"type": "http", "scheme": "bearer"},
				"Basic":  object{"type": "http", "scheme": "basic", "description": "any user name, and a token as the password"},
			},
		},
		"security": []object{{}, {"PersonalToken": []string{}}, {"JobToken": []string{}}, {"DeployToken": []string{}}, {"Bearer": []string{}}, {"Basic": []string{}}},
	})
}

// errorSchema is that of [errorJSON].
func errorSchema() *jsonschema.Schema {
	s := schemaOf(reflect.TypeFor[errorJSON]())
	s.Properties["message"] = &jsonschema.Schema{Types: []string{"string", "object"}, Description: "a sentence, or sentences by attribute"}
	s.AnyOf = []*jsonschema.Schema{{Required: []string{"message"}}, {Required: []string{"error"}}}
	return s
}

// describe is the operation of a route.
func (r *route) describe(method, path string) object {
	op := object{"operationId": operationID(method, path), "tags": []string{r.tag}, "summary": r.summary}
	parameters := []object{}
	for _, match := range pathParam.FindAllStringSubmatch(path, -1) {
		parameters = append(parameters, object{"name": match[1], "in": "path", "required": true, "schema": pathSchema(path, match[1])})
	}
	statuses := append([]int{http.StatusBadRequest, http.StatusTooManyRequests, http.StatusServiceUnavailable}, r.also...)
	if !r.noLogin {
		statuses = append(statuses, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound) // 404 is also for sudo as nobody there is
	} else {
		op["security"] = []object{}
	}
	if method == http.MethodGet || method == http.MethodDelete {
		for _, p := range r.in {
			parameter := object{"name": queryName(p), "in": "query", "required": p.required, "schema": p.schema}
			if p.about != "" {
				parameter["description"] = p.about
			}
			parameters = append(parameters, parameter)
		}
	} else {
		statuses = append(statuses, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
		properties, required := object{}, []string{}
		for _, p := range r.in {
			s := *p.schema
			s.Description = p.about
			properties[p.name] = &s
			if p.required {
				required = append(required, p.name)
			}
		}
		body := object{"type": "object", "properties": properties}
		if len(required) > 0 {
			body["required"] = required
		}
		if len(properties) > 0 {
			op["requestBody"] = object{"required": len(required) > 0, "content": content(body)}
		}
	}
	if method != http.MethodGet {
		statuses = append(statuses, http.StatusInsufficientStorage)
		if ofPlace(path) {
			statuses = append(statuses, http.StatusMethodNotAllowed) // at a path that was moved
		}
	}
	if len(parameters) > 0 {
		op["parameters"] = parameters
	}
	answers := object{}
	for _, status := range statuses {
		answer := object{"description": http.StatusText(status), "content": content(object{"$ref": "#/components/schemas/Error"})}
		switch status {
		case http.StatusUnauthorized, http.StatusForbidden:
			answer["headers"] = challengeHeaders
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			answer["headers"] = retryHeaders.required(true)
		}
		answers[strconv.Itoa(status)] = answer
	}
	if method == http.MethodGet && ofPlace(path) {
		answers["301"] = object{"description": "The path is a former one", "headers": headers{"Location": words("where it is now")}.required(true),
			"content": object{"text/plain": object{"schema": object{"type": "string"}}}}
	}
	success := object{"description": http.StatusText(r.success())}
	switch {
	case r.out == rawFile:
		success["content"] = object{"application/octet-stream": object{}}
		answers["206"] = object{"description": "The part that was asked for", "content": success["content"]}
		answers["304"] = object{"description": "The client has it"}
	case r.out != nil:
		success["content"] = content(schemaOf(reflect.TypeOf(r.out)))
	}
	takes := func(name string) bool { return slices.ContainsFunc(r.in, func(p param) bool { return p.name == name }) }
	switch {
	case takes("cursor") || takes("id_after"): // keyset pages are not counted
		success["headers"] = pageHeaders.required(false)
	case takes("page"):
		success["headers"] = pageHeaders.required(true)
	}
	answers[strconv.Itoa(r.success())] = success
	op["responses"] = answers
	return op
}

// rawFile stands for a body that is a file.
var rawFile = any(struct{ file bool }{})

// pathSchema is that of a parameter in a path: :id of a project or group is a number or a full path, branches and
// tags are names; all others are numbers.
func pathSchema(path, name string) *jsonschema.Schema {
	if name == "id" && ofPlace(path) {
		return &jsonschema.Schema{Type: "string", Description: "a number or a URL-encoded full path"}
	}
	if name == "tag_name" || name == "branch" {
		return &jsonschema.Schema{Type: "string", MinLength: ptr(1), MaxLength: ptr(maxName), Description: "URL-encoded"}
	}
	return &jsonschema.Schema{Type: "integer"}
}

// ofPlace tells whether a path is below a project or group.
func ofPlace(path string) bool {
	return strings.HasPrefix(path, "/projects/{id}") || strings.HasPrefix(path, "/groups/{id}")
}

// queryName is the name of a parameter in a query: arrays are repeated with brackets.
func queryName(p param) string {
	if p.schema.Type == "array" {
		return p.name + "[]"
	}
	return p.name
}

func operationID(method, path string) string {
	return strings.ToLower(method) + strings.NewReplacer("/", "_", "{", "", "}", "", ".", "_").Replace(path)
}

// openAPI answers the document, made once.
func (a *API) openAPI(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Write(a.described)
	return nil
}
