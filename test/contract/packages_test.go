package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"packhouse/test/harness"
)

// packages is the path of a project's packages in the Packages API.
func (p project) packages(more ...any) string {
	path := fmt.Sprintf("/api/v4/projects/%d/packages", p.ID)
	for _, part := range more {
		path += fmt.Sprint("/", part)
	}
	return path
}

func (g group) packages() string { return fmt.Sprintf("/api/v4/groups/%d/packages", g.ID) }

// list decodes the body, which must be a list of objects.
func (a *answer) list(t testing.TB) []map[string]any {
	t.Helper()
	var list []map[string]any
	if err := json.Unmarshal(a.body, &list); err != nil || list == nil {
		t.Fatalf("%s: no list: %.600s", a.call, a.body)
	}
	return list
}

// fields are those of the members of a list.
func fields(list []map[string]any, key string) []string {
	all := []string{}
	for _, one := range list {
		all = append(all, fmt.Sprint(one[key]))
	}
	return all
}

// listed are the names and versions in a list.
func (w *world) listed(path string, as credential) []string {
	w.Helper()
	all := []string{}
	for _, one := range w.send(call{path: path, as: as}).must(w, 200).list(w) {
		all = append(all, fmt.Sprintf("%v@%v", one["name"], one["version"]))
	}
	return all
}

// packageID is that of a version in a project.
func (w *world) packageID(p project, k pack, as credential) int64 {
	w.Helper()
	list := w.send(call{path: p.packages() + "?package_name=" + url.QueryEscape(k.name) + "&package_version=" + url.QueryEscape(k.version), as: as}).must(w, 200).list(w)
	if len(list) != 1 {
		w.Fatalf("%s %s is listed %d times", k.name, k.version, len(list))
	}
	return int64(list[0]["id"].(float64))
}

// fileID is that of a package's one file.
func (w *world) fileID(p project, pkg int64, as credential) int64 {
	w.Helper()
	list := w.send(call{path: p.packages(pkg, "package_files"), as: as}).must(w, 200).list(w)
	if len(list) != 1 {
		w.Fatalf("package %d has %d files", pkg, len(list))
	}
	return int64(list[0]["id"].(float64))
}

// saysMessage checks a status and the whole body of an error.
func (a *answer) saysMessage(t testing.TB, status int, message string) *answer {
	t.Helper()
	return a.want(t, status).is(t, fmt.Sprintf(`{"message":%q}`, message))
}

func (a *answer) saysError(t testing.TB, message string) *answer {
	t.Helper()
	return a.want(t, 400).is(t, fmt.Sprintf(`{"error":%q}`, message))
}

const (
	noProject = "404 Project Not Found"
	noGroup   = "404 Group Not Found"
	notFound  = "404 Not found"
	forbidden = "403 Forbidden"
)

// Who may do what, on all routes: the matrix.
func TestPackagesMatrix(t *testing.T) {
	w := newWorld(t)
	outsider, external := w.user(), w.external()
	for _, test := range []struct {
		visibility, registry string
		callers              string // caller: read, delete
	}{
		{harness.Public, "enabled", `anonymous 200 403; stranger 200 403; external 200 403; guest 200 403; reporter 200 403; developer 200 403; maintainer 200 204; owner 200 204; admin 200 204;
			deploy-read 200 403; deploy-write 200 204; job 200 204; stranger's-job 200 403; wrong 401 401; wrong-job 401 401; wrong-deploy 401 401; read_api 200 403; read_user 403 403`},
		{harness.Internal, "enabled", `anonymous 404 404; stranger 200 403; external 404 404; guest 200 403; developer 200 403; maintainer 200 204; deploy-write 200 204; job 200 204; stranger's-job 200 403; wrong 401 401`},
		{harness.Private, "enabled", `anonymous 404 404; stranger 404 404; external 404 404; guest 200 403; reporter 200 403; developer 200 403; maintainer 200 204; owner 200 204; admin 200 204;
			deploy-read 200 403; deploy-write 200 204; other-deploy 404 404; job 200 204; stranger's-job 403 403; wrong 401 401; wrong-job 401 401; wrong-deploy 401 401; read_user 403 403`},
		{harness.Private, "public", `anonymous 404 404; stranger 404 404; stranger's-job 403 403; other-deploy 404 404; guest 200 403; maintainer 200 204`},
		{harness.Public, "private", `anonymous 403 403; stranger 403 403; guest 200 403; maintainer 200 204`},
		{harness.Public, "disabled", `anonymous 403 403; stranger 403 403; developer 403 403; maintainer 403 403; admin 403 403; deploy-write 403 403`},
		{harness.Private, "disabled", `anonymous 404 404; stranger 404 404; guest 403 403; maintainer 403 403; job 403 403`},
	} {
		w.sub(test.visibility+", packages "+test.registry, func(w *world) {
			home := w.group(test.visibility)
			p := w.project(home, test.visibility, map[string]any{"package_registry_access_level": test.registry})
			maintainer := w.member(p, harness.Maintainer)
			callers := map[string]credential{
				"anonymous": anonymous, "stranger": outsider.as(), "external": external.as(), "admin": w.root(),
				"guest": w.member(p, harness.Guest).as(), "reporter": w.member(p, harness.Reporter).as(), "developer": w.member(p, harness.Developer).as(),
				"maintainer": maintainer.as(), "owner": w.member(p, harness.Owner).as(),
				"deploy-read": deploy(w.deployToken(p, "read_package_registry")), "deploy-write": deploy(w.deployToken(p, "write_package_registry")),
				"other-deploy": deploy(w.deployToken(w.project(home, test.visibility), "write_package_registry")),
				"job":          job(w.jobToken(p, maintainer, 600)), "stranger's-job": job(w.jobToken(w.mine(outsider), outsider, 600)),
				"wrong": private(wrong()), "wrong-job": job(wrong()), "wrong-deploy": deploy(wrong()),
				"read_api": private(w.personal(maintainer, "read_api")), "read_user": private(w.personal(maintainer, "read_user")),
			}
			// Two packages for each caller, one to delete and one whose file is deleted.
			packs := map[string][2]int64{}
			files := map[string]int64{}
			for row := range strings.SplitSeq(test.callers, ";") {
				name := strings.Fields(row)[0]
				ids := [2]int64{1, 1}
				for i := range ids {
					if test.registry == "disabled" {
						break
					}
					k := newPack()
					w.publish(p, w.root(), k)
					ids[i] = w.packageID(p, k, w.root())
				}
				if packs[name], files[name] = ids, 1; test.registry != "disabled" {
					files[name] = w.fileID(p, ids[1], w.root())
				}
			}
			for row := range strings.SplitSeq(test.callers, ";") {
				var name string
				var read, remove int
				fmt.Sscan(row, &name, &read, &remove)
				as, known := callers[name]
				if !known {
					w.Fatalf("who is %q?", name)
				}
				body := func(a *answer, status int) {
					w.Helper()
					a.want(w, status)
					switch {
					case status == 404:
						a.saysMessage(w, 404, noProject)
					case status == 403 && a.says("error") == "":
						a.saysMessage(w, 403, forbidden)
					case status == 204 && len(a.body) > 0:
						w.Errorf("%s: a body of 204: %s", a.call, a.body)
					}
				}
				id, with := packs[name][0], packs[name][1]
				for _, path := range []string{p.packages(), p.packages(id), p.packages(id, "package_files"), p.packages(id, "pipelines"), p.packages(with, "package_files", files[name], "download")} {
					body(w.send(call{path: path, as: as}), read)
					w.send(call{method: "HEAD", path: path, as: as}).want(w, read)
				}
				body(w.send(call{method: "DELETE", path: p.packages(with, "package_files", files[name]), as: as}), remove)
				body(w.send(call{method: "DELETE", path: p.packages(id), as: as}), remove)
				if test.registry == "disabled" {
					continue
				}
				left := 200
				if remove == 204 {
					left = 404
				}
				w.send(call{path: p.packages(id), as: w.root()}).want(w, left)
				w.send(call{path: p.packages(with, "package_files", files[name], "download"), as: w.root()}).want(w, left)
				w.send(call{path: p.packages(with), as: w.root()}).want(w, 200)
			}
		})
	}
}

// external makes a user who sees internal projects only as a member.
func (w *world) external() user {
	w.Helper()
	name := "x" + harness.Random()[:12]
	var u user
	w.make("/users", map[string]any{"username": name, "name": name, "email": name + "@example.com", "force_random_password": true, "external": true}, &u)
	u.token = w.personal(u, "api")
	return u
}

// mine is a project in a user's own namespace.
func (w *world) mine(u user) (made project) {
	w.Helper()
	a := w.send(call{method: "POST", path: "/api/v4/projects", as: u.as(), body: map[string]any{"name": "p" + harness.Random()[:12]}}).must(w, 201)
	if err := json.Unmarshal(a.body, &made); err != nil {
		w.Fatal(err)
	}
	return made
}

func TestPackageObject(t *testing.T) {
	w := newWorld(t)
	top := w.group(harness.Public)
	p := w.project(w.group(harness.Public, top), harness.Public)
	ada := w.member(p, harness.Maintainer)
	k := newPack()
	ci := w.send(call{method: "POST", path: fmt.Sprintf("/api/v4/projects/%d/job_tokens", p.ID), as: ada.as(), body: map[string]any{"ref": "main", "sha": strings.Repeat("a", 40), "web_url": "https://ci.example.com/1"}}).must(w, 201).object(w)
	asJob := job(ci["token"].(string))
	pipeline := ci["pipeline"].(map[string]any)
	w.publish(p, ada.as(), k)
	w.publish(p, asJob, k.at("1.10.0"))
	w.publish(p, deploy(w.deployToken(p, "write_package_registry")), k.at("1.2.0"))
	first := w.packageID(p, k, ada.as())
	byJob := w.packageID(p, k.at("1.10.0"), ada.as())
	byDeploy := w.packageID(p, k.at("1.2.0"), ada.as())

	w.sub("all of its fields", func(w *world) {
		a := w.send(call{path: p.packages(first), as: ada.as()}).must(w, 200)
		o := a.object(w)
		if got, want := keys(o), []string{"_links", "created_at", "creator_id", "download_count", "id", "last_downloaded_at", "name", "package_type", "status", "tags", "version", "versions"}; !slices.Equal(got, want) {
			w.Errorf("keys %v, want %v", got, want)
		}
		for key, want := range map[string]any{"id": float64(first), "name": k.name, "version": "1.0.0", "package_type": "npm", "status": "default", "last_downloaded_at": nil, "creator_id": float64(ada.ID)} {
			if o[key] != want {
				w.Errorf("%s is %v, want %v", key, o[key], want)
			}
		}
		stamped(w, o["created_at"])
		if got, want := at(o, "_links", "web_path"), fmt.Sprintf("/%s/-/packages/%d", p.PathWithNamespace, first); got != want || strings.Count(p.PathWithNamespace, "/") != 2 {
			w.Errorf("web_path %v, want %v", got, want)
		}
		if got, want := at(o, "_links", "delete_api_path"), w.server.URL+p.packages(first); got != want {
			w.Errorf("delete_api_path %v, want %v", got, want)
		}
	})
	w.sub("by the full path of its project", func(w *world) {
		w.send(call{path: fmt.Sprintf("/api/v4/projects/%s/packages/%d", url.PathEscape(p.PathWithNamespace), first)}).want(w, 200)
	})
	w.sub("only who may delete sees how", func(w *world) {
		for what, as := range map[string]credential{"anonymous": anonymous, "a developer": w.member(p, harness.Developer).as(), "a reading deploy token": deploy(w.deployToken(p, "read_package_registry"))} {
			for _, path := range []string{p.packages(first), p.packages()} {
				a := w.send(call{path: path, as: as}).must(w, 200)
				if bytes.Contains(a.body, []byte("delete_api_path")) || !bytes.Contains(a.body, []byte("web_path")) {
					w.Errorf("%s: %s: %s", what, path, a.body)
				}
			}
		}
	})
	w.sub("versions stand in the order of their text, with tags and pipeline", func(w *world) {
		versions := objects(w.send(call{path: p.packages(first), as: ada.as()}).must(w, 200).object(w)["versions"])
		if got, want := fields(versions, "version"), []string{"1.10.0", "1.2.0"}; !slices.Equal(got, want) {
			w.Fatalf("versions %v, want %v", got, want)
		}
		if got := keys(versions[0]); !slices.Equal(got, []string{"created_at", "id", "pipeline", "tags", "version"}) {
			w.Errorf("keys %v", got)
		}
		if got := keys(versions[1]); !slices.Equal(got, []string{"created_at", "id", "tags", "version"}) {
			w.Errorf("keys %v", got)
		}
		if at(versions[0], "pipeline", "id") != pipeline["id"] || versions[0]["id"] != float64(byJob) || len(objects(versions[0]["tags"])) != 0 || len(objects(versions[1]["tags"])) != 1 {
			w.Errorf("%v", versions)
		}
	})
	w.sub("a package without others has no versions, and a list never", func(w *world) {
		alone := newPack()
		w.publish(p, ada.as(), alone)
		o := w.send(call{path: p.packages(w.packageID(p, alone, ada.as())), as: ada.as()}).must(w, 200).object(w)
		if list, ok := o["versions"].([]any); !ok || len(list) != 0 {
			w.Errorf("versions %v, want []", o["versions"])
		}
		for _, one := range w.send(call{path: p.packages()}).must(w, 200).list(w) {
			if _, there := one["versions"]; there {
				w.Errorf("%v", one)
			}
		}
	})
	w.sub("published with a deploy token: nobody's", func(w *world) {
		o := w.send(call{path: p.packages(byDeploy)}).must(w, 200).object(w)
		if creator, there := o["creator_id"]; creator != nil || !there {
			w.Errorf("creator_id %v", creator)
		}
	})
	w.sub("tags are rows", func(w *world) {
		o := w.send(call{path: p.packages(byDeploy)}).must(w, 200).object(w)
		tags := objects(o["tags"])
		if len(tags) != 1 || tags[0]["name"] != "latest" || tags[0]["package_id"] != float64(byDeploy) || tags[0]["project_id"] != float64(p.ID) ||
			!slices.Equal(keys(tags[0]), []string{"created_at", "id", "name", "package_id", "project_id", "updated_at"}) {
			w.Errorf("tags %v", tags)
		}
		if tags := w.send(call{path: p.packages(first)}).must(w, 200).object(w)["tags"]; !slices.Equal(tags.([]any), []any{}) {
			w.Errorf("tags %v, want []", tags)
		}
	})
	w.sub("published by a job: its pipeline", func(w *world) {
		for _, o := range []map[string]any{
			w.send(call{path: p.packages(byJob)}).must(w, 200).object(w),
			w.send(call{path: p.packages() + "?package_version=1.10.0"}).must(w, 200).list(w)[0],
		} {
			got, _ := o["pipeline"].(map[string]any)
			want := maps.Clone(pipeline)
			want["status"] = "success"
			if !sameJSON(text(got), text(want)) {
				w.Errorf("pipeline %s, want %s", text(got), text(want))
			}
			if !sameJSON(text(o["pipelines"]), text([]any{got})) {
				w.Errorf("pipelines %s", text(o["pipelines"]))
			}
			if at(got, "user", "username") != ada.Username || o["creator_id"] != float64(ada.ID) {
				w.Errorf("user %v, creator %v", at(got, "user"), o["creator_id"])
			}
		}
		for _, id := range []int64{first, byDeploy} {
			a := w.send(call{path: p.packages(id)}).must(w, 200).object(w)
			for _, key := range []string{"pipeline", "pipelines", "build_info"} {
				if value, there := a[key]; there {
					w.Errorf("%s: %v", key, value)
				}
			}
		}
	})
	w.sub("deprecated", func(w *world) {
		d := newPack()
		w.publish(p, ada.as(), d)
		w.send(call{method: "PUT", path: p.prefix() + "/" + d.name, as: ada.as(), body: map[string]any{"name": d.name, "versions": map[string]any{"1.0.0": map[string]any{"name": d.name, "version": "1.0.0", "deprecated": "no good"}}}}).must(w, 200)
		id := w.packageID(p, d, anonymous)
		o := w.send(call{path: p.packages(id)}).must(w, 200).object(w)
		if o["status"] != "deprecated" || at(o, "_links", "web_path") == nil || o["status_message"] != nil {
			w.Errorf("%v", o)
		}
		if got := w.listed(p.packages()+"?status=deprecated", anonymous); !slices.Equal(got, []string{d.name + "@1.0.0"}) {
			w.Errorf("deprecated: %v", got)
		}
		w.send(call{method: "DELETE", path: p.packages(id), as: ada.as()}).want(w, 204)
	})
	w.sub("a download is noted", func(w *world) {
		own := own(w.T, harness.Config{})
		p := own.open()
		k := newPack()
		own.publish(p, own.root(), k)
		id := own.packageID(p, k, own.root())
		own.send(call{path: p.packages(id, "package_files", own.fileID(p, id, anonymous), "download")}).must(w, 200)
		eventually(w, "last_downloaded_at is set", func() bool {
			return own.send(call{path: p.packages(id)}).must(w, 200).object(w)["last_downloaded_at"] != nil
		})
	})
	w.sub("what is not there", func(w *world) {
		other := w.open()
		k := newPack()
		w.publish(other, w.root(), k)
		foreign := w.packageID(other, k, w.root())
		for _, id := range []any{0, -1, 999999999, foreign} {
			for _, path := range []string{p.packages(id), p.packages(id, "pipelines"), p.packages(id, "package_files"), p.packages(id, "package_files", 1, "download")} {
				w.send(call{path: path, as: ada.as()}).saysMessage(w, 404, notFound)
			}
			w.send(call{method: "DELETE", path: p.packages(id), as: ada.as()}).saysMessage(w, 404, notFound)
			w.send(call{method: "DELETE", path: p.packages(id, "package_files", 1), as: ada.as()}).saysMessage(w, 404, notFound)
		}
		w.send(call{path: other.packages(foreign)}).want(w, 200)
		for _, id := range []string{"x", "1.5", "99999999999999999999"} {
			w.send(call{path: p.packages(id), as: ada.as()}).saysError(w, "package_id is invalid")
			w.send(call{method: "DELETE", path: p.packages(id), as: ada.as()}).saysError(w, "package_id is invalid")
		}
		// Who may not know of the project learns nothing of its packages.
		w.send(call{path: w.project(w.group(harness.Private), harness.Private).packages("x")}).saysMessage(w, 404, noProject)
		w.send(call{path: "/api/v4/projects/999999999/packages"}).saysMessage(w, 404, noProject)
		w.send(call{path: "/api/v4/projects/no%2Fsuch/packages"}).saysMessage(w, 404, noProject)
		w.send(call{method: "POST", path: p.packages(first), as: ada.as()}).want(w, 405)
	})
}

func text(value any) string {
	out, _ := json.Marshal(value) // it was JSON before
	return string(out)
}

// objects of a list.
func objects(list any) []map[string]any {
	all := []map[string]any{}
	values, _ := list.([]any)
	for _, one := range values {
		object, _ := one.(map[string]any)
		all = append(all, object)
	}
	return all
}

// stamped checks the form of a time.
func stamped(t testing.TB, value any) {
	t.Helper()
	at, _ := value.(string)
	if parsed, err := time.Parse("2006-01-02T15:04:05.000Z", at); err != nil || time.Since(parsed) > time.Hour {
		t.Errorf("a time is %q", value)
	}
}

func TestPackagePipelines(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	ada := w.member(p, harness.Developer)
	k := newPack()
	w.publish(p, job(w.jobToken(p, ada, 600)), k)
	w.publish(p, ada.as(), k.at("2.0.0"))
	id, without := w.packageID(p, k, anonymous), w.packageID(p, k.at("2.0.0"), anonymous)
	path := p.packages(id, "pipelines")
	a := w.send(call{path: path}).must(w, 200)
	list := a.list(w)
	if len(list) != 1 || at(list[0], "user", "username") != ada.Username || list[0]["ref"] != "main" || a.header.Get("Link") != "" || a.header.Get("X-Total") != "" || a.header.Get("X-Next-Cursor") != "" {
		w.Errorf("%s\n%v", a.body, a.header)
	}
	if got, want := keys(list[0]), []string{"created_at", "id", "iid", "project_id", "ref", "sha", "source", "status", "updated_at", "user", "web_url"}; !slices.Equal(got, want) {
		w.Errorf("keys %v, want %v", got, want)
	}
	if got, want := keys(list[0]["user"]), []string{"avatar_url", "id", "locked", "name", "public_email", "state", "username", "web_url"}; !slices.Equal(got, want) {
		w.Errorf("keys of the user %v, want %v", got, want)
	}
	w.send(call{path: p.packages(without, "pipelines")}).must(w, 200).is(w, "[]")
	for _, size := range []string{"-2", "0", "21", "100"} {
		w.send(call{path: path + "?per_page=" + size}).saysError(w, "per_page does not have a valid value")
	}
	w.send(call{path: path + "?per_page=x"}).saysError(w, "per_page is invalid")
	w.send(call{path: path + "?per_page=20"}).must(w, 200)
	w.send(call{path: path + "?per_page=1"}).must(w, 200)
	for _, cursor := range []string{"x", "!", "e30=", "bnVsbA=="} {
		w.send(call{path: path + "?cursor=" + cursor}).saysError(w, "cursor is invalid")
	}
}

func TestPackageFiles(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	ada := w.member(p, harness.Maintainer)
	k := newPack()
	tarball := w.publish(p, job(w.jobToken(p, ada, 600)), k)
	other := newPack()
	w.publish(p, ada.as(), other)
	id, otherID := w.packageID(p, k, anonymous), w.packageID(p, other, anonymous)
	file, otherFile := w.fileID(p, id, anonymous), w.fileID(p, otherID, anonymous)
	w.sub("listed", func(w *world) {
		one := w.send(call{path: p.packages(id, "package_files")}).must(w, 200).list(w)[0]
		if got, want := keys(one), []string{"created_at", "download_count", "file_md5", "file_name", "file_sha1", "file_sha256", "id", "package_id", "pipelines", "size"}; !slices.Equal(got, want) {
			w.Errorf("keys %v, want %v", got, want)
		}
		if one["package_id"] != float64(id) || one["file_name"] != k.name+"-1.0.0.tgz" || one["size"] != float64(len(tarball)) || one["file_sha1"] != shasum(tarball) || len(one["file_md5"].(string)) != 32 || len(one["file_sha256"].(string)) != 64 {
			w.Errorf("%v", one)
		}
		if _, there := w.send(call{path: p.packages(otherID, "package_files")}).must(w, 200).list(w)[0]["pipelines"]; there {
			w.Error("pipelines of a file that no job published")
		}
	})
	w.sub("orders", func(w *world) {
		for _, query := range []string{"", "?order_by=id", "?order_by=created_at&sort=desc", "?order_by=file_name", "?per_page=1"} {
			if a := w.send(call{path: p.packages(id, "package_files") + query}).must(w, 200); len(a.list(w)) != 1 || a.header.Get("X-Total") != "1" {
				w.Errorf("%s: %s", query, a.body)
			}
		}
		w.send(call{path: p.packages(id, "package_files") + "?page=2"}).must(w, 200).is(w, "[]")
		w.send(call{path: p.packages(id, "package_files") + "?order_by=size"}).saysError(w, "order_by does not have a valid value")
		w.send(call{path: p.packages(id, "package_files") + "?sort=up"}).saysError(w, "sort does not have a valid value")
	})
	w.sub("downloaded", func(w *world) {
		a := w.send(call{path: p.packages(id, "package_files", file, "download")}).must(w, 200)
		if !bytes.Equal(a.body, tarball) {
			w.Error("not the tarball")
		}
		for key, want := range map[string]string{"Content-Type": "application/octet-stream", "Content-Disposition": "attachment; filename=" + k.name + "-1.0.0.tgz", "Content-Transfer-Encoding": "binary"} {
			if got := a.header.Get(key); got != want {
				w.Errorf("%s: %q, want %q", key, got, want)
			}
		}
		part := w.send(call{path: p.packages(id, "package_files", file, "download"), header: map[string]string{"Range": "bytes=1-3"}}).want(w, 206)
		if !bytes.Equal(part.body, tarball[1:4]) {
			w.Error("not the part of the tarball")
		}
	})
	w.sub("what is not there", func(w *world) {
		for _, fileID := range []int64{0, 999999999, otherFile} {
			w.send(call{path: p.packages(id, "package_files", fileID, "download")}).saysMessage(w, 404, notFound)
			w.send(call{method: "DELETE", path: p.packages(id, "package_files", fileID), as: ada.as()}).saysMessage(w, 404, notFound)
		}
		w.send(call{path: p.packages(id, "package_files", "x", "download")}).saysError(w, "package_file_id is invalid")
		w.send(call{method: "DELETE", path: p.packages(id, "package_files", "x"), as: ada.as()}).saysError(w, "package_file_id is invalid")
		w.send(call{path: p.packages(otherID, "package_files", otherFile, "download")}).want(w, 200)
	})
}
