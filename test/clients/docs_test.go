package clients

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// example is a part of docs/api.md that is typed, and the answer shown after it, if any.
	example = regexp.MustCompile("(?ms)^```sh api\n(.*?)^```$(?:\n\n```json\n(.*?)^```$)?")
	// row is one of its table of routes: methods, path, purpose. {a,b} in a path stands for either.
	row    = regexp.MustCompile("(?m)^\\| ([A-Z]+(?:, [A-Z]+)*) \\| `(/[^`]+)` \\| [^|]+ \\|$")
	braces = regexp.MustCompile(`^(.*?)\{(.*?)\}(.*)$`)
)

// TestAPIPage does what docs/api.md says, from top to bottom, and compares the answers with those it shows: an answer
// has every field that is shown, of the same type.
func TestAPIPage(t *testing.T) {
	r := newReader(t)
	page, err := page("docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := example.FindAllStringSubmatch(r.here(page), -1)
	if len(examples) == 0 {
		t.Fatal("docs/api.md has no examples")
	}
	const next = "=== next example ==="
	var script strings.Builder
	for _, e := range examples {
		fmt.Fprintf(&script, "%s\necho '%s'\n", e[1], next)
	}
	answers := strings.Split(r.run(t, r.checkout, script.String()), next)
	for i, e := range examples {
		if e[2] == "" {
			continue
		}
		var shown, got any
		if err := json.Unmarshal([]byte(e[2]), &shown); err != nil {
			t.Errorf("what docs/api.md shows after\n%s\nis not JSON: %v", e[1], err)
		} else if err := json.Unmarshal([]byte(answers[i]), &got); err != nil {
			t.Errorf("%s\nanswered\n%s", e[1], answers[i])
		} else if diff := unlike(shown, got); diff != "" {
			t.Errorf("%s\nanswered\n%s\nunlike docs/api.md: %s", e[1], answers[i], diff)
		}
	}
}

// unlike says what of an answer is not as shown. Null is shown for what may be anything.
func unlike(shown, got any) string {
	switch shown := shown.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			return "it is no object"
		}
		for _, key := range slices.Sorted(maps.Keys(shown)) {
			if value, there := got[key]; !there {
				return key + " is missing"
			} else if diff := unlike(shown[key], value); diff != "" {
				return key + ": " + diff
			}
		}
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(shown) {
			return fmt.Sprintf("it is no array of %d", len(shown))
		}
		for i := range shown {
			if diff := unlike(shown[i], got[i]); diff != "" {
				return fmt.Sprintf("%d: %s", i, diff)
			}
		}
	case nil:
	default:
		if fmt.Sprintf("%T", shown) != fmt.Sprintf("%T", got) {
			return fmt.Sprintf("%v is of another type", got)
		}
	}
	return ""
}

// TestAPITable compares the table of routes in docs/api.md with the OpenAPI document.
func TestAPITable(t *testing.T) {
	page, err := page("docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, found := range row.FindAllStringSubmatch(page, -1) {
		for method := range strings.SplitSeq(found[1], ", ") {
			for _, path := range expandBraces(found[2]) {
				documented[method+" "+path] = true
			}
		}
	}

	answer, err := shared.Do("GET", "/api/v4/openapi.json", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal(answer.Body, &document); err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for path, methods := range document.Paths {
		path = strings.NewReplacer("/api/v4", "", "{", ":", "}", "").Replace(path)
		for method := range methods {
			served[strings.ToUpper(method)+" "+path] = true
		}
	}
	for _, route := range slices.Sorted(maps.Keys(served)) {
		if !documented[route] {
			t.Errorf("the table in docs/api.md lacks %s", route)
		}
	}
	for _, route := range slices.Sorted(maps.Keys(documented)) {
		if !served[route] {
			t.Errorf("the table in docs/api.md has %s, which is not served", route)
		}
	}
}

// expandBraces is what a shell makes of a word with braces.
func expandBraces(word string) (words []string) {
	part := braces.FindStringSubmatch(word)
	if part == nil {
		return []string{word}
	}
	for choice := range strings.SplitSeq(part[2], ",") {
		words = append(words, expandBraces(part[1]+choice+part[3])...)
	}
	return words
}
