package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"packhouse/internal/registry"
)

func TestPersonalTokens(t *testing.T) {
	w := newWorld(t)
	made := w.post("root", fmt.Sprintf("/users/%d/personal_access_tokens", w.ids["eve"]), `{"name":"laptop","scopes":["api","read_user"],"description":"mine"}`)
	text := made["token"].(string)
	w.tokens["new"] = text
	if want := today(365); made["expires_at"] != want {
		t.Errorf("expires %v, want %s", made["expires_at"], want)
	}
	if !strings.HasPrefix(text, "php_") || made["description"] != "mine" || made["active"] != true || made["last_used_at"] != nil {
		t.Error(made)
	}
	path := fmt.Sprintf("/personal_access_tokens/%.0f", made["id"])
	for _, as := range []string{"new", "eve", "root"} {
		if shown := w.get(as, path); shown["token"] != nil || shown["name"] != "laptop" {
			t.Errorf("%s is shown %v", as, shown)
		}
	}
	if list := w.do("eve", "GET", "/personal_access_tokens?state=active", "").Body.String(); strings.Contains(list, text) || strings.Count(list, `"id"`) != 2 {
		t.Error("list:", list)
	}
	if list := w.do("root", "GET", fmt.Sprintf("/personal_access_tokens?state=inactive&user_id=%d", w.ids["eve"]), "").Body.String(); strings.Count(list, `"revoked":true`) != 1 {
		t.Error("list of the inactive:", list)
	}
	if answer := w.do("eve", "DELETE", path, ""); answer.Code != 204 || answer.Body.Len() != 0 {
		t.Error(answer.Code, answer.Body)
	}
	if answer := w.do("new", "GET", "/user", ""); answer.Code != 401 {
		t.Error("a revoked token still works:", answer.Code)
	}
	if shown := w.get("eve", path); shown["revoked"] != true || shown["active"] != false {
		t.Error(shown)
	}
	if answer := w.do("dave packages", "DELETE", "/personal_access_tokens/self", ""); answer.Code != 204 {
		t.Error(answer.Code, answer.Body)
	}
	if answer := w.do("dave packages", "GET", "/personal_access_tokens/self", ""); answer.Code != 401 {
		t.Error(answer.Code, answer.Body)
	}
	// The administrator's first token never expires, and none of another kind is in the list.
	if list := w.do("root", "GET", "/personal_access_tokens?per_page=100", "").Body.String(); !strings.Contains(list, `"expires_at":null`) || strings.Contains(list, `"name":"ci"`) {
		t.Error(list)
	}
}

func TestDeployTokens(t *testing.T) {
	w := newWorld(t)
	for _, row := range []struct{ as, list string }{{"mara", "/projects/acme%2Ftools%2Fhammer/deploy_tokens"}, {"olga", "/groups/acme%2Ftools/deploy_tokens"}} {
		made := w.post(row.as, row.list, "name=ci&scopes=read_package_registry&expires_at=2036-05-06T07:08:09%2B01:00")
		text := made["token"].(string)
		if !strings.HasPrefix(text, "phd_") || made["username"] != fmt.Sprintf("gitlab+deploy-token-%.0f", made["id"]) || made["expires_at"] != "2036-05-06T06:08:09.000Z" || made["expired"] != false {
			t.Error(made)
		}
		if never := w.post(row.as, row.list, "name=ci&scopes=read_package_registry&username=bot"); never["expires_at"] != nil || never["username"] != "bot" {
			t.Error(never)
		}
		one := fmt.Sprintf("%s/%.0f", row.list, made["id"])
		if shown := w.get(row.as, one); shown["token"] != nil || shown["name"] != "ci" {
			t.Error(shown)
		}
		before := w.do(row.as, "GET", row.list+"?active=true", "")
		if answer := w.do(row.as, "DELETE", one, ""); answer.Code != 204 || answer.Body.Len() != 0 {
			t.Error(answer.Code, answer.Body)
		}
		after := w.do(row.as, "GET", row.list+"?active=true", "")
		if b, a := before.Header().Get("X-Total"), after.Header().Get("X-Total"); b <= a || strings.Contains(before.Body.String(), text) {
			t.Error(b, a, before.Body)
		}
		if shown := w.get(row.as, one); shown["revoked"] != true {
			t.Error(shown)
		}
	}
	// A token of the group is not one of the project in it, nor of the group above.
	id := int64(w.post("olga", "/groups/acme%2Ftools/deploy_tokens", "name=ci&scopes=read_package_registry")["id"].(float64))
	for _, path := range []string{"/projects/acme%2Ftools%2Fhammer", "/groups/acme"} {
		if answer := w.do("olga", "DELETE", fmt.Sprintf("%s/deploy_tokens/%d", path, id), ""); answer.Code != 404 {
			t.Error(path, answer.Code)
		}
	}
	// A maintainer of the group may look and not revoke.
	one := fmt.Sprintf("/groups/acme%%2Ftools/deploy_tokens/%d", id)
	if show, revoke := w.do("mara", "GET", one, "").Code, w.do("mara", "DELETE", one, "").Code; show != 200 || revoke != 403 {
		t.Error(show, revoke)
	}
}

func TestJobToken(t *testing.T) {
	w := newWorld(t)
	sha := strings.Repeat("0a", 20)
	made := w.post("dave", "/projects/acme%2Ftools%2Fhammer/job_tokens", `{"ref":"main","sha":"`+sha+`","source":"push","web_url":"https://ci.example.com/1","expires_in":60}`)
	expires, err := time.Parse("2006-01-02T15:04:05.000Z", made["expires_at"].(string))
	if left := time.Until(expires); err != nil || left > time.Minute || left < 50*time.Second {
		t.Error(left, err)
	}
	pipeline := made["pipeline"].(map[string]any)
	if pipeline["ref"] != "main" || pipeline["sha"] != sha || pipeline["source"] != "push" || pipeline["web_url"] != "https://ci.example.com/1" ||
		pipeline["user"].(map[string]any)["username"] != "dave" {
		t.Error(pipeline)
	}
	err = w.reg.Store.Read(t.Context(), func(tx registry.Tx) error {
		token, err := tx.TokenByHash(registry.HashToken(made["token"].(string)))
		if err == nil && (token.Kind != registry.JobToken || token.ProjectID != w.ids["hammer"] || float64(token.PipelineID) != pipeline["id"]) {
			t.Error(token)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
