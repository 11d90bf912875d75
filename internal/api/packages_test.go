package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"packhouse/internal/database"
	"packhouse/internal/registry"
)

// nothingStaged is a [registry.Staged] without bytes.
type nothingStaged struct{ *strings.Reader }

func (nothingStaged) Digests() registry.Digests {
	return registry.Digests{SHA256: strings.Repeat("0", 64)}
}
func (nothingStaged) Commit(context.Context) error { return nil }
func (nothingStaged) Discard()                     {}

// publish publishes a version with one file in the project hammer, and returns its id.
func (w *world) publish(project int64, name string, status registry.Status, more ...func(*registry.Package)) int64 {
	w.Helper()
	p := &registry.Publication{
		Package:   registry.Package{ProjectID: project, Name: name, Version: "1", Status: status},
		EntryName: name, Tags: []string{"latest"}, Files: []registry.PublicationFile{{Name: "f", Content: nothingStaged{strings.NewReader("")}}},
	}
	for _, change := range more {
		change(&p.Package)
	}
	if err := w.reg.Publish(w.Context(), registry.Format{Type: registry.NPM, Compare: strings.Compare}, p); err != nil {
		w.Fatal(err)
	}
	return p.Package.ID
}

// What may be done with a package by its id, by its status: for who may delete it and for who may not.
func TestPackageStatuses(t *testing.T) {
	w := newWorld(t)
	project := w.ids["hammer"]
	for status, want := range map[registry.Status]string{
		//                           maintainer: show, pipelines, files, delete; guest: show, pipelines, files
		registry.Default:    "200 200 200 204; 200 200 200",
		registry.Hidden:     "200 200 200 204; 404 404 404",
		registry.Processing: "404 404 404 404; 404 404 404",
		registry.Failed:     "404 404 200 204; 404 404 200",
		registry.Deprecated: "200 200 200 204; 200 200 200",
	} {
		id := w.publish(project, "pack-"+status.String(), status)
		path := fmt.Sprintf("/projects/%d/packages/%d", project, id)
		var got []string
		ask := func(who, method, path string) {
			got = append(got, fmt.Sprint(w.do(who, method, path, "").Code))
		}
		for _, sub := range []string{"", "/pipelines", "/package_files"} {
			ask("gina", "GET", path+sub)
		}
		guest := strings.Join(got, " ")
		got = nil
		listed := w.do("mara", "GET", fmt.Sprintf("/projects/%d/packages?package_name=pack-%s", project, status), "").Body.Bytes()
		if shown := len(listed) > 2; shown != slices.Contains(registry.Listed, status) {
			t.Errorf("%s: listed: %s", status, listed)
		}
		if only := w.do("gina", "GET", fmt.Sprintf("/projects/%d/packages?status=%s", project, status), "").Body.Bytes(); !strings.Contains(string(only), fmt.Sprintf(`"id":%d,`, id)) || strings.Count(string(only), `"status"`) != 1 {
			t.Errorf("only %s: %s", status, only)
		}
		if status == registry.Failed {
			if body := w.do("mara", "GET", path, "").Body.Bytes(); string(body) != `{"message":"Package not found"}` {
				t.Errorf("%s", body)
			}
			if body := w.do("mara", "GET", path+"/pipelines", "").Body.Bytes(); string(body) != `{"message":"404 Package not found Not Found"}` {
				t.Errorf("%s", body)
			}
		}
		for _, sub := range []string{"", "/pipelines", "/package_files"} {
			ask("mara", "GET", path+sub)
		}
		ask("mara", "DELETE", path)
		if all := strings.Join(got, " ") + "; " + guest; all != want {
			t.Errorf("%s: %s, want %s", status, all, want)
		}
	}
}

// A page of many packages takes as many queries as a page of one.
func TestPackageListsInAFewQueries(t *testing.T) {
	w := newWorld(t)
	db := w.reg.Store.(*database.DB)
	for i := range 40 {
		project := w.make("olga", "/projects", fmt.Sprintf("name=p%d&namespace_id=%d", i, w.ids["acme"]))
		pipeline := &registry.Pipeline{ProjectID: project, UserID: w.ids[[]string{"dave", "mara", "olga"}[i%3]]}
		if err := w.reg.Store.Write(t.Context(), func(tx registry.Tx) error { return tx.CreatePipeline(pipeline) }); err != nil {
			t.Fatal(err)
		}
		w.publish(project, fmt.Sprintf("pack%d", i), registry.Default, func(p *registry.Package) { p.PipelineID, p.CreatorID = pipeline.ID, pipeline.UserID })
		w.publish(w.ids["hammer"], fmt.Sprintf("pack%d", i), registry.Default, func(p *registry.Package) { p.PipelineID = pipeline.ID })
	}
	for _, path := range []string{fmt.Sprintf("/projects/%d/packages?", w.ids["hammer"]), "/groups/acme/packages?", "/groups/acme/packages?order_by=project_path&"} {
		for _, who := range []string{"mara", "gina", "root", "job", "d-group"} {
			if who == "d-group" {
				w.tokens[who] = w.str("olga", "/groups/acme/deploy_tokens", "name=ci&scopes[]=read_package_registry", "token")
			}
			cost := func(size int) int64 {
				// Each change of access lets the views of the rights forget all that they knew.
				w.make("root", "/groups", fmt.Sprintf("name=x&path=x%d%s%d", size, who, len(path)))
				before := db.Queries()
				a := w.do(who, "GET", fmt.Sprintf("%sper_page=%d", path, size), "")
				var list []map[string]any
				if err := json.Unmarshal(a.Body.Bytes(), &list); err != nil || a.Code != http.StatusOK || len(list) == 0 || who != "job" && len(list) != size {
					t.Fatalf("%s as %s: %d %.300s", path, who, a.Code, a.Body.Bytes())
				}
				return db.Queries() - before
			}
			if one, many := cost(1), cost(40); many > one {
				t.Errorf("%s as %s: %d queries for 40 packages, %d for one", path, who, many, one)
			}
		}
	}
}

func TestTerms(t *testing.T) {
	for query, want := range map[string]string{
		"": "", "  ": "", "a": "a", " a \t b ": "a|b", `"a b"`: "a b", `"a  b" c`: "a b|c", `x "a b"`: "x|a b", `"a`: `"a`, `a"b c"`: `a"b|c"`, `""`: `""`, `"a"b`: `"a"b`, `"`: `"`,
	} {
		if got := strings.Join(terms(query), "|"); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	all := []int64{9, 7, 5, 3, 1}
	for _, test := range []struct {
		at            idCursor
		want          []int64
		before, after string
	}{
		{idCursor{id: 1 << 60}, []int64{9, 7}, "", "7 next"},
		{idCursor{id: 7}, []int64{5, 3}, "5 back", "3 next"},
		{idCursor{id: 6}, []int64{5, 3}, "5 back", "3 next"},
		{idCursor{id: 3}, []int64{1}, "1 back", ""},
		{idCursor{id: 1}, nil, "", ""},
		{idCursor{5, true}, []int64{9, 7}, "", "7 next"},
		{idCursor{1, true}, []int64{5, 3}, "5 back", "3 next"},
		{idCursor{8, true}, []int64{9}, "", "9 next"},
		{idCursor{9, true}, nil, "", ""},
		{idCursor{0, true}, []int64{3, 1}, "3 back", ""},
	} {
		part, before, after := cut(all, func(id int64) int64 { return id }, test.at, 2)
		say := func(c *idCursor) string {
			if c == nil {
				return ""
			}
			return fmt.Sprint(c.id, map[bool]string{true: " back", false: " next"}[c.back])
		}
		if !slices.Equal(part, test.want) || say(before) != test.before || say(after) != test.after {
			t.Errorf("%+v: %v, %q, %q", test.at, part, say(before), say(after))
		}
	}
}
