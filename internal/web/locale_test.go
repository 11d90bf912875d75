package web

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"packhouse/internal/registry"
)

// inTemplates finds the texts that templates ask for.
var inTemplates = []*regexp.Regexp{
	regexp.MustCompile(`\bt "((?:[^"\\]|\\.)*)"`),
	regexp.MustCompile(`\bn [^"{}]+ "(?:[^"\\]|\\.)*" "((?:[^"\\]|\\.)*)"`),
}

// ofChoices are texts that templates ask for by the value of something.
var ofChoices = []string{"active", "admins", "blocked", "deactivated", "banned", "bots", "block", "unblock", "deactivate", "activate", "ban", "unban", "projects", "groups", "users"}

// texts are all that pages can show, in English.
func texts(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, text := range ofChoices {
		all[text] = true
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		template, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, expression := range inTemplates {
			for _, found := range expression.FindAllSubmatch(template, -1) {
				text, err := strconv.Unquote(`"` + string(found[1]) + `"`)
				if err != nil {
					t.Fatalf("%s: %v in %s", name, err, found[1])
				}
				all[text] = true
			}
		}
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	add := func(e ast.Expr) {
		if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil && text != "" && text != "%s" {
				all[text] = true
			}
		}
	}
	inspect := func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.CallExpr:
			name := ""
			switch f := n.Fun.(type) {
			case *ast.SelectorExpr:
				name = f.Sel.Name
			case *ast.Ident:
				name = f.Name
			}
			switch name {
			case "t", "title", "done", "text":
				if len(n.Args) > 0 {
					add(n.Args[0])
				}
			case "ask":
				if len(n.Args) == 3 { // figures are asked for with two
					add(n.Args[0])
					add(n.Args[1])
					add(n.Args[2])
				}
			case "plural", "create":
				add(n.Args[len(n.Args)-1])
			case "Errorf":
				if len(n.Args) == 2 {
					add(n.Args[1])
				}
			case "packageChange", "archived", "setListed":
				add(n.Args[len(n.Args)-2])
				if name != "packageChange" {
					add(n.Args[len(n.Args)-1])
				}
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "done" {
				add(n.Value)
			}
		case *ast.ValueSpec: // tables of texts
			if len(n.Names) == 1 && strings.HasSuffix(n.Names[0].Name, "Texts") && len(n.Values) == 1 {
				for _, element := range n.Values[0].(*ast.CompositeLit).Elts {
					add(element.(*ast.KeyValueExpr).Value)
				}
			}
		case *ast.AssignStmt:
			if name, ok := n.Lhs[0].(*ast.Ident); ok && name.Name == "done" {
				add(n.Rhs[0])
			}
		case *ast.FuncDecl:
			if n.Name.Name == "Label" || n.Name.Name == "level" {
				ast.Inspect(n.Body, func(node ast.Node) bool {
					switch n := node.(type) {
					case *ast.ReturnStmt:
						for _, result := range n.Results {
							add(result)
						}
					case *ast.KeyValueExpr:
						add(n.Value)
					}
					return true
				})
			}
		}
		return true
	}
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, inspect)
	}
	for text := range all { // statuses of the API and prefixes are no texts
		if regexp.MustCompile(`^[0-9]{3} `).MatchString(text) || strings.HasPrefix(text, "/") || !regexp.MustCompile(`[A-Za-z]{2}`).MatchString(text) {
			delete(all, text)
		}
	}
	return all
}

var verb = regexp.MustCompile(`%[a-z]`)

// Each text is there in each language, with the same gaps to be filled, and no text is kept that nobody shows.
func TestCatalogue(t *testing.T) {
	all := texts(t)
	if len(all) < 300 {
		t.Fatalf("only %d texts were found", len(all))
	}
	for _, l := range locales[1:] {
		for text := range gapped {
			if got, want := verb.FindAllString(l.catalog[text], -1), verb.FindAllString(text, -1); !slices.Equal(got, want) {
				t.Errorf("%s: %q has the gaps %q, and %q has %q", l.tag, l.catalog[text], got, text, want)
			}
		}
		missing := map[string]string{}
		for _, text := range slices.Sorted(maps.Keys(all)) {
			translated, ok := l.catalog[text]
			if !ok || strings.TrimSpace(translated) == "" {
				missing[text] = ""
				continue
			}
			if got, want := verb.FindAllString(translated, -1), verb.FindAllString(text, -1); !slices.Equal(got, want) {
				t.Errorf("%s: %q has the gaps %q, and %q has %q", l.tag, translated, got, text, want)
			}
		}
		if len(missing) > 0 {
			list, _ := json.MarshalIndent(missing, "", "  ")
			t.Errorf("%s lacks %d texts:\n%s", l.tag, len(missing), list)
		}
		for text := range l.catalog {
			if _, gaps := gapped[text]; !all[text] && !gaps && !slices.Contains(fromElsewhere, text) {
				t.Errorf("%s has %q, which no page shows", l.tag, text)
			}
		}
	}
}

// fromElsewhere are sentences of the domain and of the REST API.
var fromElsewhere = []string{
	"Incorrect username or password",
	"Too many attempts to sign in. Try again in a minute.",
	"The present password is not right",
	"Password is the one before",
	"Password is too short (minimum is 8 characters)",
	"Password is too long (maximum is 72 bytes)",
	"Name is empty",
	"has already been taken",
	"is invalid",
	"can't be blank",
	"%s: %s",
	"is empty",
	"is missing",
	"must be greater than 0",
	"can contain only letters, digits, '_', '-' and '.'. Cannot start with '-' or end in '.', '.git' or '.atom'",
	"cannot end like the path of what is marked for deletion",
	"Username can contain only letters, digits, '_', '-', '+', and '.'",
	"Package name pattern can't be blank",
	"the policy removes nothing",
	"it is marked for deletion",
	"the project is marked for deletion",
	"Scopes can't be blank",
	"Member already exists",
	"cannot be a date in the past",
	"Package is deletion protected.",
	"Package protected.",
	"the last owner of a group cannot be removed or lowered",
	"Package name pattern has already been taken",
	"A rule must have at least a minimum access role for push or delete.",
	"Username has already been taken",
	"Email has already been taken",
	"Package published",
	"Package deleted",
	"Package changed",
	"Package file deleted",
	"Package cleanup requested",
	"User created",
	"User changed",
	"User deleted",
	"Group created",
	"Group changed",
	"Group deleted",
	"Group restored",
	"Project created",
	"Project changed",
	"Project deleted",
	"Project restored",
	"Member added",
	"Member changed",
	"Member removed",
	"Token created",
	"Token rotated",
	"Token revoked",
	"Settings changed",
	"Project is already in this namespace.",
	"You don't have permission to transfer projects into that namespace.",
	"Project with same name or path in target namespace already exists",
	"The project has packages whose names and versions are taken under the new top-level group.",
	"Group is already a root group.",
	"Group is already associated to the parent group.",
	"Cannot transfer group to one of its subgroup.",
	"You don't have enough permissions.",
	"The parent group already has a subgroup or a project with the same path.",
	"Parent has too deep level of nesting.",
	"Group contains projects with packages whose names and versions are taken under the new top-level group.",
}

// Each setting of packages has a label.
func TestSettingLabels(t *testing.T) {
	for _, s := range registry.Settings {
		if label := (settingRow{Setting: s}).Label(); label == s.Name {
			t.Errorf("%s is shown by its name", s.Name)
		}
	}
}
