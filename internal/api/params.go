package api

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"packhouse/internal/registry"
)

const (
	maxBody = 1 << 20 // bytes
	maxText = 2000    // characters
	maxName = 255     // characters
)

// params is the parameters of a request: those of its path, body and query, the first winning. Each method reads one
// and notes what is wrong with it; after the last one, wrong gives all of it as one error. Parameters that nobody
// reads are ignored.
type params struct {
	r        *http.Request
	given    map[string][]string // without the [] of arrays
	nulls    map[string]bool     // given as null in JSON
	used     url.Values          // what was read, defaults included: what links to other pages repeat
	problems []string
	known    map[string]bool // the names that the table of routes says are read
}

func readParams(w http.ResponseWriter, r *http.Request) (*params, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, registry.Errorf(registry.Invalid, "400 Bad request")
	}
	p := &params{r: r, given: map[string][]string{}, nulls: map[string]bool{}, used: url.Values{}}
	p.known, _ = r.Context().Value(knownKey{}).(map[string]bool)
	p.merge(query)
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return p, nil
	}
	// In a copy, so that the server still gets at what is left of a body that was refused.
	limited := r.WithContext(r.Context())
	limited.Body = http.MaxBytesReader(w, r.Body, maxBody)
	body, err := readBody(limited, p.nulls)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, registry.Errorf(registry.TooLarge, "413 Request Entity Too Large")
	}
	p.merge(body)
	return p, err
}

// readBody is the parameters in a body, whatever its form. It notes the names of those that are null.
func readBody(r *http.Request, nulls map[string]bool) (map[string][]string, error) {
	unreadable := malformed("message body does not match declared format")
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media == "multipart/form-data" {
		if err := r.ParseMultipartForm(maxBody); err != nil {
			return nil, errors.Join(unreadable, err)
		}
		return r.MultipartForm.Value, nil
	}
	text, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		return nil, errors.Join(unreadable, err)
	case len(text) == 0:
		return nil, nil
	case media == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(text))
		if err != nil {
			return nil, unreadable
		}
		return form, nil
	case media == "application/json":
		var object map[string]json.RawMessage
		if json.Unmarshal(text, &object) != nil {
			return nil, unreadable
		}
		form := map[string][]string{}
		for name, value := range object {
			if texts := jsonTexts(value); texts != nil {
				form[name] = texts
			}
			nulls[name] = value[0] == 'n'
		}
		return form, nil
	}
	return nil, &refusal{http.StatusUnsupportedMediaType, map[string]any{"error": "The provided content-type '" + media + "' is not supported."}}
}

// jsonTexts is a scalar, or an array of them, as texts. It is nil for null, which is as good as absent, and for
// objects, which no parameter is; in an array, neither of these counts, nor another array.
func jsonTexts(value json.RawMessage) []string {
	if value[0] != '[' {
		return jsonScalar(value)
	}
	var array []json.RawMessage
	json.Unmarshal(value, &array) // it is valid: it was cut out of what is
	texts := []string{}
	for _, one := range array {
		texts = append(texts, jsonScalar(one)...)
	}
	return texts
}

func jsonScalar(value json.RawMessage) []string {
	switch value[0] {
	case 'n', '{', '[':
		return nil
	case '"':
		var text string
		json.Unmarshal(value, &text)
		return []string{text}
	}
	return []string{string(value)} // number, true, false: as written
}

func (p *params) merge(form map[string][]string) {
	for name, values := range form {
		if array, ok := strings.CutSuffix(name, "[]"); ok {
			name, values = array, append(slices.Clone(values), form[array]...)
		} else if form[name+"[]"] != nil {
			continue
		}
		p.given[name] = values
	}
}

// values are the texts of a parameter, nil when it is absent. No parameter may hold what is not text, and PostgreSQL
// could not store.
func (p *params) values(name string) []string {
	values := p.given[name]
	if inPath := p.r.PathValue(name); inPath != "" {
		values = []string{inPath}
	} else if !p.known[name] {
		// The tests look for this line in the log.
		slog.Error("a parameter is read that the table of routes does not name", "route", p.r.Pattern, "parameter", name)
	}
	for _, value := range values {
		if !utf8.ValidString(value) || strings.Contains(value, "\x00") {
			p.problem(name + " is invalid")
			return nil
		}
	}
	return values
}

// value is the text of a parameter; the last one wins.
func (p *params) value(name string) (value string, given bool) {
	values := p.values(name)
	if len(values) == 0 {
		return "", false
	}
	value = values[len(values)-1]
	p.used.Set(name, value)
	return value, true
}

func (p *params) problem(sentence string) {
	if !slices.Contains(p.problems, sentence) {
		p.problems = append(p.problems, sentence)
	}
}

// wrong is all that is wrong with the parameters that were read, or nil.
func (p *params) wrong() error {
	if len(p.problems) == 0 {
		return nil
	}
	return malformed(strings.Join(p.problems, ", "))
}

// has tells whether a parameter is there.
func (p *params) has(name string) bool { return len(p.values(name)) > 0 }

// unset tells whether a parameter is there to take a value back: null or an empty array in JSON, otherwise blank.
func (p *params) unset(name string) bool {
	_, given := p.given[name]
	return (given || p.nulls[name]) && strings.Join(p.values(name), "") == ""
}

// exactlyOne demands one parameter of several.
func (p *params) exactlyOne(names ...string) {
	switch present := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !p.has(name) }); len(present) {
	case 0:
		p.problem(strings.Join(names, ", ") + " are missing, exactly one parameter must be provided")
	case 1:
	default:
		p.problem(strings.Join(present, ", ") + " are mutually exclusive")
	}
}

// atLeastOne demands some of several parameters.
func (p *params) atLeastOne(names ...string) {
	if !slices.ContainsFunc(names, p.has) {
		p.problem(strings.Join(names, ", ") + " are missing, at least one parameter must be provided")
	}
}

// required is a text that must be there: a name.
func (p *params) required(name string) string {
	value, given := p.value(name)
	switch {
	case !given:
		p.problem(name + " is missing")
	case strings.TrimSpace(value) == "":
		p.problem(name + " is empty")
	}
	p.short(name, value)
	return value
}

// short bounds a name.
func (p *params) short(name, value string) {
	if utf8.RuneCountInString(value) > maxName {
		p.problem(name + " is too long (maximum is 255 characters)")
	}
}

// text is a text, with a bound against abuse.
func (p *params) text(name, fallback string) string {
	value, given := p.value(name)
	if !given {
		return fallback
	}
	if utf8.RuneCountInString(value) > maxText {
		p.problem(name + " is too long (maximum is 2000 characters)")
	}
	return value
}

// choice is one of some texts. Without a fallback the parameter may be absent.
func (p *params) choice(name, fallback string, choices ...string) string {
	value, _ := p.value(name)
	switch {
	case value == "":
		value = fallback
		if fallback != "" {
			p.used.Set(name, fallback)
		}
	case !slices.Contains(choices, value):
		p.problem(name + " does not have a valid value")
	}
	return value
}

// number is an integer; one that is blank is absent.
func (p *params) number(name string, fallback int64) int64 {
	value, _ := p.value(name)
	if value == "" {
		return fallback
	}
	number, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		p.problem(name + " is invalid")
		return fallback
	}
	return number
}

// requiredNumber is an integer that must be there.
func (p *params) requiredNumber(name string) int64 {
	if !p.has(name) {
		p.problem(name + " is missing")
	}
	return p.number(name, 0)
}

// flag is a boolean; one that is blank is absent.
func (p *params) flag(name string, fallback bool) bool {
	value, _ := p.value(name)
	switch strings.ToLower(value) {
	case "":
		return fallback
	case "true", "t", "1", "yes", "y", "on":
		return true
	case "false", "f", "0", "no", "n", "off":
		return false
	}
	p.problem(name + " is invalid")
	return fallback
}

// level is an access level that somebody is given; 0 when the parameter is absent.
func (p *params) level(name string) registry.Level {
	before := len(p.problems)
	level := registry.Level(p.number(name, 0))
	if text, _ := p.value(name); text != "" && len(p.problems) == before && !level.Grantable() {
		p.problem(name + " does not have a valid value")
	}
	return level
}

// list is an array: repeated, or with commas. It is nil when the parameter is absent.
func (p *params) list(name string) []string {
	values := p.values(name)
	if values == nil {
		return nil
	}
	list, seen := []string{}, map[string]bool{"": true}
	for _, value := range values {
		for one := range strings.SplitSeq(value, ",") {
			if one = strings.TrimSpace(one); !seen[one] {
				seen[one] = true
				list = append(list, one)
			}
		}
	}
	p.used[name+"[]"] = list
	return list
}

// requiredChoices is an array of some texts that must be there; it may be empty.
func (p *params) requiredChoices(name string, choices ...string) []string {
	list := p.list(name)
	switch {
	case list == nil:
		p.problem(name + " is missing")
	case slices.ContainsFunc(list, func(one string) bool { return !slices.Contains(choices, one) }):
		p.problem(name + " does not have a valid value")
	}
	return list
}

// time is a moment: ISO 8601, where a date alone is its beginning in UTC. It is zero when the parameter is absent.
func (p *params) time(name string) time.Time {
	value, _ := p.value(name)
	if value == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		// Years that JSON can write; and 1970 begins at 0, which is stored for "never".
		if t, err := time.Parse(layout, value); err == nil && t.UTC().Year() > 1970 && t.UTC().Year() <= 9999 {
			return t.UTC()
		}
	}
	p.problem(name + " is invalid")
	return time.Time{}
}

// date is the beginning of a day in UTC.
func (p *params) date(name string) time.Time { return p.time(name).Truncate(24 * time.Hour) }

// visibility is that of a project or group. Without a fallback the parameter may be absent.
func (p *params) visibility(fallback registry.Visibility) registry.Visibility {
	return registry.Visibility(p.choice("visibility", string(fallback), string(registry.Private), string(registry.Internal), string(registry.Public)))
}

// maybe is a boolean that may be absent: nil.
func (p *params) maybe(name string) *bool {
	if value, _ := p.value(name); value == "" {
		return nil
	}
	return new(p.flag(name, false))
}

// ids is an array of numbers.
func (p *params) ids(name string) []int64 {
	var ids []int64
	for _, one := range p.list(name) {
		id, err := strconv.ParseInt(one, 10, 64)
		if err != nil {
			p.problem(name + " is invalid")
			return nil
		}
		ids = append(ids, id)
	}
	return ids
}
