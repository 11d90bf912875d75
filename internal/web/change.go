package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// answer is what the API has answered.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// get reads a part of the answer.
func (a *answer) into(value any) error { return json.Unmarshal(a.body.Bytes(), value) }

// apiRequest is a request for the REST API by the person of the session.
func (q *request) apiRequest(method, path string, form url.Values) (*http.Request, error) {
	ctx := q.Context()
	if q.who.Session != nil {
		ctx = access.WithSession(ctx, q.secret)
	}
	r, err := http.NewRequestWithContext(ctx, method, q.base+"/api/v4"+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr = q.RemoteAddr
	return r, nil
}

// change is something that a form does.
type change struct {
	method, path string // of the REST API
	form         url.Values
	page         func(*request) error // that has the form, to be shown again
	missing      error                // what to say when there is no such thing as the form names
	done, to     string               // what to say then, and where
}

// send asks the REST API to do something.
func (q *request) send(c change) (*answer, error) {
	r, err := q.apiRequest(c.method, c.path, c.form)
	if err != nil {
		return nil, err
	}
	a := &answer{header: http.Header{}, status: http.StatusOK}
	q.h.API.ServeHTTP(a, r)
	return a, nil
}

// submit does what a form asks for and leads to the next page, or shows the form again with what was wrong.
func (q *request) submit(c change) error {
	a, err := q.send(c)
	if err != nil {
		return err
	}
	if a.status < 300 {
		return q.done(c.done, c.to)
	}
	return q.again(a, c)
}

// again shows a form with what the API found wrong with it.
func (q *request) again(a *answer, c change) error {
	problems := q.wrong(a)
	switch {
	case a.status == http.StatusUnauthorized:
		return errSignInFirst
	case a.status == http.StatusNotFound && c.missing != nil:
		return q.refused(c.missing, c.page)
	case a.status == http.StatusNotFound:
		return errNoPage
	case a.status == http.StatusForbidden && (len(problems) == 0 || c.page == nil):
		return registry.Errorf(registry.Forbidden, "%s", strings.Join(problems, " "))
	case a.status >= 500:
		return registry.Errorf(registry.Unavailable, "%s", strings.Join(problems, " "))
	case len(problems) == 0:
		problems = []string{q.t("That did not work")}
	}
	if c.page == nil {
		return registry.Errorf(registry.Invalid, "%s", strings.Join(problems, " "))
	}
	q.status, q.problems = http.StatusUnprocessableEntity, problems
	return c.page(q)
}

// wrong is what an answer of the API says, in sentences.
func (q *request) wrong(a *answer) (problems []string) {
	var body struct {
		Message     json.RawMessage `json:"message"`
		Error       json.RawMessage `json:"error"`
		Description string          `json:"error_description"`
	}
	if a.into(&body) != nil {
		return nil
	}
	add := func(text string) {
		if text = sentence(text); text != "" {
			problems = append(problems, q.lang.problems(text)...)
		}
	}
	for _, part := range []json.RawMessage{body.Message, body.Error} {
		var text string
		var list []string
		var object map[string][]string
		switch {
		case json.Unmarshal(part, &text) == nil:
			add(text)
		case json.Unmarshal(part, &list) == nil:
			for _, one := range list {
				add(one)
			}
		case json.Unmarshal(part, &object) == nil:
			said := map[string]bool{}
			for _, attribute := range slices.Sorted(maps.Keys(object)) {
				for _, one := range object[attribute] {
					switch text := q.lang.problem(attribute, one); {
					case attribute == "error": // of no attribute
						add(one)
					case !said[text]:
						said[text] = true
						problems = append(problems, text)
					}
				}
			}
		}
	}
	return problems
}

var (
	ofAttribute = regexp.MustCompile(`:(\w+)=>\["([^"]*)"`)                                                  // of Ruby, as GitLab writes it
	ofParameter = regexp.MustCompile(`^([a-z][a-z_]*)(?:\[\])? (is (?:empty|missing|invalid|too long .*))$`) // as GitLab does of what was sent
)

// problems are what a sentence of the API says, one by one.
func (l *locale) problems(text string) (all []string) {
	if rest, ok := strings.CutPrefix(text, "Failed to save group "); ok {
		for _, found := range ofAttribute.FindAllStringSubmatch(rest, -1) {
			all = append(all, l.problem(found[1], found[2]))
		}
		return all
	}
	for part := range strings.SplitSeq(text, ", ") {
		found := ofParameter.FindStringSubmatch(part)
		if found == nil {
			return []string{l.message(text)}
		}
		all = append(all, l.problem(found[1], found[2]))
	}
	return all
}

// problem is what is wrong with a parameter of the API.
func (l *locale) problem(parameter, text string) string {
	return l.text("%s: %s", l.text(label(parameter)), l.message(text))
}

// label is a parameter of the API as its field is called.
func label(parameter string) string {
	if text, ok := fieldTexts[parameter]; ok {
		return text
	}
	for _, s := range registry.Settings {
		if s.Name == parameter {
			return settingRow{Setting: s}.Label()
		}
	}
	text := strings.ReplaceAll(parameter, "_", " ")
	return strings.ToUpper(text[:1]) + text[1:]
}

// fieldTexts are the labels of forms, by the parameters that fields are sent as.
var fieldTexts = map[string]string{
	"name": "Name", "path": "Path", "project_namespace.name": "Path", "description": "Description", "visibility": "Who may know of it", "visibility_level": "Who may know of it",
	"package_registry_access_level": "Who may install packages", "username": "User name", "email": "E-mail", "password": "Password", "access_level": "Level", "expires_at": "Until",
	"scopes": "Scopes", "package_name_pattern": "Names, * for any text", "package_type": "Format", "keep_n_versions": "Versions to keep of each name", "older_than": "Older than, in days",
	"not_downloaded_since": "Not downloaded for, in days", "keep_n_duplicated_package_files": "Files of one name to keep in a version", "cadence": "Time between two runs",
	"name_pattern": "Only names that match", "name_keep_pattern": "Except names that match", "version_pattern": "Only versions that match", "version_keep_pattern": "Except versions that match",
	"reason": "Reason",
}

// ---- what is asked first

// What cannot be taken back is asked first, of those without scripts, too. Where much is lost the form has a field for a name to be typed; else
// what the form asks for is shown as a question, on a page of its own, and done when that is sent.

// confirmed tells whether the name was typed that a form asks for.
func (q *request) confirmed(name string) error {
	if strings.TrimSpace(q.PostFormValue("confirm")) != name {
		return registry.Errorf(registry.Invalid, "The name that was typed is another one")
	}
	return nil
}

// unsure tells whether the person has not yet been asked.
func (q *request) unsure() bool { return !q.PostForm.Has("sure") }

// question is a page that asks whether a form is meant.
type question struct {
	Title, Text, Button string
	Fields              url.Values // of the form
	Back                string     // where it was
}

// ask asks whether the form is meant that was sent. Its field "what" is the name of what it is about, for the title.
func (q *request) ask(title, text, button string) error {
	if title = q.t(title); strings.Contains(title, "%s") {
		title = fmt.Sprintf(title, q.PostFormValue("what"))
	}
	page := question{title, q.t(text), q.t(button), q.PostForm, "/"}
	if from, err := url.Parse(q.Referer()); err == nil && from.Scheme+"://"+from.Host == q.base && isLocal(from.RequestURI()) {
		page.Back = from.RequestURI()
	}
	return q.render("question", title, page)
}

// fields takes fields of the form under the names that the API has for them.
func (q *request) fields(names ...string) url.Values {
	form := url.Values{}
	for _, name := range names {
		if q.PostForm.Has(name) {
			form[name] = q.PostForm[name]
		}
	}
	return form
}

// box is what a box of the form says.
func (q *request) box(name string) string {
	if q.PostForm.Has(name) {
		return "true"
	}
	return "false"
}
