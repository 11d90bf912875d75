package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"
)

// openAPI is the document that the server answers, as far as answers are held against it.
type openAPI struct {
	Tags []struct {
		Name, Description string
	}
	Paths map[string]map[string]*struct {
		OperationID string
		Summary     string
		Tags        []string
		Responses   map[string]struct {
			Headers map[string]struct {
				Required bool
			}
			Content map[string]struct {
				Schema *jsonschema.Schema
			}
		}
	}
	Components struct {
		Schemas map[string]*jsonschema.Schema
	}

	templates []template
	resolved  sync.Map // *jsonschema.Schema → *jsonschema.Resolved
}

// template is a path of the document.
type template struct {
	path     string
	segments []string
}

// described is the document of the server of all tests. Others answer the same one, being the same program.
var described = sync.OnceValues(func() (*openAPI, error) {
	response, err := client.Get(shared.URL + "/api/v4/openapi.json")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	d := &openAPI{}
	if err := json.NewDecoder(response.Body).Decode(d); err != nil {
		return nil, err
	}
	// The paths with the fewest names in them first: /personal_access_tokens/self before /personal_access_tokens/{id}.
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		d.templates = append(d.templates, template{path, strings.Split(path, "/")})
	}
	slices.SortStableFunc(d.templates, func(a, b template) int { return strings.Count(a.path, "{") - strings.Count(b.path, "{") })
	return d, nil
})

// fits finds the path of the document that the path of a request is one of.
func (d *openAPI) fits(escaped string) (path string, ok bool) {
	segments := strings.Split(escaped, "/")
	for _, t := range d.templates {
		if slices.EqualFunc(t.segments, segments, func(want, got string) bool {
			if strings.HasPrefix(want, "{") {
				return got != ""
			}
			plain, err := url.PathUnescape(got)
			return err == nil && plain == want
		}) {
			return t.path, true
		}
	}
	return "", false
}

// described holds an answer of the API against the document: an undocumented status, header or field is an error.
func (w *world) described(request *http.Request, a *answer) {
	w.Helper()
	d, err := described()
	if err != nil {
		w.Fatal(err)
	}
	path, ok := d.fits(request.URL.EscapedPath())
	if !ok || protocols.MatchString(request.URL.Path) {
		return
	}
	method := strings.ToLower(request.Method)
	if method == "head" {
		method = "get"
	}
	if err := d.holds(method, path, request.Method == http.MethodHead, a); err != nil {
		w.Errorf("%s answers what the OpenAPI document does not say of %s: %v\n%.600s", a.call, path, err, a.body)
	}
}

func (d *openAPI) holds(method, path string, head bool, a *answer) error {
	operation := d.Paths[path][method]
	if operation == nil {
		if a.status == http.StatusMethodNotAllowed {
			return nil
		}
		return fmt.Errorf("there is no method %s", method)
	}
	response, ok := operation.Responses[strconv.Itoa(a.status)]
	if !ok {
		return fmt.Errorf("the status %d is not among %q", a.status, slices.Sorted(maps.Keys(operation.Responses)))
	}
	for name, header := range response.Headers {
		if _, ok := a.header[http.CanonicalHeaderKey(name)]; !ok && header.Required {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	for name := range a.header {
		if _, ok := response.Headers[name]; !ok && paging.MatchString(name) {
			return fmt.Errorf("the header %s is not among those of status %d", name, a.status)
		}
	}
	if len(response.Content) == 0 {
		if len(a.body) > 0 {
			return errors.New("there is a body")
		}
		return nil
	}
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	media, ok := response.Content[kind]
	if !ok {
		return fmt.Errorf("the type %q is not among %q", kind, slices.Sorted(maps.Keys(response.Content)))
	}
	if head || kind != "application/json" || media.Schema == nil {
		return nil
	}
	var body any
	if err := json.Unmarshal(a.body, &body); err != nil {
		return err
	}
	resolved, err := d.resolve(media.Schema)
	if err != nil {
		return err
	}
	return resolved.Validate(body)
}

// protocols are the paths of package managers, which the document leaves to them.
var protocols = regexp.MustCompile(`/packages/(npm|nuget|pypi)(/|$)`)

var paging = regexp.MustCompile(`^(X-Page|X-Per-Page|X-Prev-Page|X-Next-Page|X-Total|X-Total-Pages|Link)$`)

// resolve makes a schema ready. References are to the components of the document.
func (d *openAPI) resolve(schema *jsonschema.Schema) (*jsonschema.Resolved, error) {
	if ready, ok := d.resolved.Load(schema); ok {
		return ready.(*jsonschema.Resolved), nil
	}
	whole := schema
	if name, ok := strings.CutPrefix(schema.Ref, "#/components/schemas/"); ok {
		whole = d.Components.Schemas[name]
	}
	if whole == nil {
		return nil, fmt.Errorf("there is no schema %s", schema.Ref)
	}
	resolved, err := whole.CloneSchemas().Resolve(nil)
	if err == nil {
		d.resolved.Store(schema, resolved)
	}
	return resolved, err
}
