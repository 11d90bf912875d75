package api

import (
	"encoding/json"
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

// errorJSON is the body of an error: message, a sentence or an object of sentences, or error.
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
		t, s := t.Elem(), s.Items
		optionalParts(t, s)
	} else {
		optionalParts(t, s)
	}
	return s
}

// optionalParts takes the fields of embedded pointers off the required ones: they are there or not together.
func optionalParts(t reflect.Type, s *jsonschema.Schema) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.Anonymous {
			continue
		}
		if f.Type.Kind() != reflect.Pointer {
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

// describe makes the OpenAPI 3.1 document of the routes.
func describe(routes []route, version string) ([]byte, error) {
	type object = map[string]any
	content := func(s any) object { return object{"application/json": object{"schema": s}} }
	paths := object{}
	for _, route := range routes {
		method, path, _ := strings.Cut(route.pattern, " ")
		op := route.operation
		parameters := []object{}
		for _, match := range pathParam.FindAllStringSubmatch(path, -1) {
			parameters = append(parameters, object{"name": match[1], "in": "path", "required": true, "schema": pathSchema(path, match[1])})
		}
		statuses := append([]int{http.StatusBadRequest, http.StatusTooManyRequests, http.StatusServiceUnavailable}, op.also...)
		if !op.noLogin {
			statuses = append(statuses, http.StatusUnauthorized, http.StatusForbidden)
		}
		if len(parameters) > 0 {
			statuses = append(statuses, http.StatusNotFound)
		}
		described := object{"operationId": operationID(method, path), "tags": []string{op.tag}, "summary": op.summary}
		if method == http.MethodGet || method == http.MethodDelete {
			for _, p := range op.in {
				parameters = append(parameters, object{"name": queryName(p), "in": "query", "required": p.required, "schema": p.schema, "description": p.about})
			}
		} else {
			statuses = append(statuses, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
			properties, required := object{}, []string{}
			for _, p := range op.in {
				s := *p.schema
				s.Description = p.about
				properties[p.name] = &s
				if p.required {
					required = append(required, p.name)
				}
			}
			if len(properties) > 0 {
				described["requestBody"] = object{"required": len(required) > 0, "content": content(object{"type": "object", "properties": properties, "required": required})}
			}
		}
		if len(parameters) > 0 {
			described["parameters"] = parameters
		}
		answers := object{}
		for _, status := range statuses {
			answers[strconv.Itoa(status)] = object{"description": http.StatusText(status), "content": content(object{"$ref": "#/components/schemas/Error"})}
		}
		success := object{"description": http.StatusText(route.success())}
		switch {
		case op.out == rawFile:
			success["content"] = object{"application/octet-stream": object{}}
		case op.out != nil:
			success["content"] = content(schemaOf(reflect.TypeOf(op.out)))
		}
		answers[strconv.Itoa(route.success())] = success
		described["responses"] = answers
		if op.noLogin {
			described["security"] = []object{}
		}
		full := "/api/v4" + path
		if paths[full] == nil {
			paths[full] = object{}
		}
		paths[full].(object)[strings.ToLower(method)] = described
	}
	header := func(name string) object { return object{"type": "apiKey", "in": "header", "name": name} }
	return json.Marshal(object{
		"openapi": "3.1.0",
		"info":    object{"title": "Packhouse", "version": version, "description": "The part of the GitLab REST API that a package registry needs."},
		"paths":   paths,
		"components": object{
			"schemas": object{"Error": schemaOf(reflect.TypeFor[errorJSON]())},
			"securitySchemes": object{
				"PersonalToken": header("PRIVATE-TOKEN"), "JobToken": header("JOB-TOKEN"), "DeployToken": header("Deploy-Token"),
				"Bearer": object{"type": "http", "scheme": "bearer"},
			},
		},
		"security": []object{{}, {"PersonalToken": []string{}}, {"JobToken": []string{}}, {"DeployToken": []string{}}, {"Bearer": []string{}}},
	})
}

// rawFile stands for a body that is a file.
var rawFile = any(struct{ file bool }{})

// pathSchema is that of a parameter in a path: :id of a project or group is a number or a full path, all others are
// numbers.
func pathSchema(path, name string) *jsonschema.Schema {
	if name == "id" && (strings.HasPrefix(path, "/projects/") || strings.HasPrefix(path, "/groups/")) {
		return &jsonschema.Schema{Type: "string", Description: "a number or a URL-encoded full path"}
	}
	return &jsonschema.Schema{Type: "integer"}
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
