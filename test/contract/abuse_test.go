package contract

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What a publisher could do to everybody who reads.
func TestPyPIRefusesWhatWouldWeighOnReaders(t *testing.T) {
	w := newWorld(t)
	p := w.open()
	for name, row := range map[string]struct {
		metadata string
		fields   map[string]string
	}{
		"a Requires-Python that each page would repeat": {metadata: "Requires-Python: >=3" + strings.Repeat(" ", 3000) + ",<4\n"},
		"a comment that each page would repeat":         {fields: map[string]string{"comment": strings.Repeat("c", 3000)}},
		"attestations of tiny parts":                    {fields: map[string]string{"attestations": "[" + strings.Repeat("1,", 1<<20) + "1]"}},
		"fields without number":                         {metadata: strings.Repeat("A:\n", 30_000)},
		"a name with a letter that folds to s":          {fields: map[string]string{"name": "reque\u017ft"}},
	} {
		w.sub(name, func(w *world) {
			w.send(newSdist(newName(), "1.0", row.metadata).upload(p.pypi(), w.root(), row.fields)).want(w, http.StatusBadRequest)
		})
	}
	w.sub("a field of a million lines is read at once", func(w *world) {
		began := time.Now()
		w.send(newSdist(newName(), "1.0", "Description: a\n"+strings.Repeat(" b\n", 1<<20)).upload(p.pypi(), w.root(), nil)).want(w, http.StatusCreated)
		if took := time.Since(began); took > 20*time.Second {
			w.Errorf("it took %s", took)
		}
	})
}

// A signature and a provenance are of a content, not of a file name.
func TestPyPICompanionsOfAnotherContent(t *testing.T) {
	w := newWorld(t)
	p, d := w.open(), newSdist(newName(), "1.0")
	w.send(d.upload(p.pypi(), w.root(), map[string]string{"gpg_signature": "-----BEGIN PGP SIGNATURE-----\nof the first\n"})).must(w, http.StatusCreated)
	one := func(d distribution) string { return p.pypi() + "/files/" + d.sha256() + "/" + d.file }
	w.send(call{path: one(d) + ".asc"}).want(w, http.StatusOK)
	id := w.versionID(p, d)
	files := w.send(call{path: fmt.Sprintf("%s/packages/%v/package_files", "/api/v4"+p.home(), id), as: w.root()}).must(w, http.StatusOK).list(w)
	w.send(call{method: "DELETE", path: fmt.Sprintf("%s/packages/%v/package_files/%v", "/api/v4"+p.home(), id, files[0]["id"]), as: w.root()}).must(w, http.StatusNoContent)
	other := newSdist(d.name, "1.0")
	w.send(other.upload(p.pypi(), w.root(), nil)).must(w, http.StatusCreated)
	w.send(call{path: one(other) + ".metadata"}).want(w, http.StatusOK)
	w.send(call{path: one(other) + ".asc"}).want(w, http.StatusNotFound)
	w.send(call{path: one(other) + ".provenance"}).want(w, http.StatusNotFound)
}

// A token that an administrator made to act as a user is not that user's to prolong, to take or to end.
func TestImpersonationTokensAreNotTheUsers(t *testing.T) {
	w := newWorld(t)
	u := w.user()
	made := w.send(call{method: "POST", path: fmt.Sprintf("/api/v4/users/%d/impersonation_tokens", u.ID), as: w.root(), body: map[string]any{"name": "support", "scopes": []string{"api"}}}).must(w, 201).object(w)
	as := private(w.personal(u, "api"))
	path := fmt.Sprintf("/api/v4/personal_access_tokens/%v", made["id"])
	secret(made["token"].(string))
	w.send(call{path: path, as: as}).want(w, http.StatusUnauthorized)
	w.send(call{method: "POST", path: path + "/rotate", as: as}).want(w, http.StatusUnauthorized)
	w.send(call{method: "DELETE", path: path, as: as}).want(w, http.StatusUnauthorized)
	w.send(call{path: path, as: w.root()}).want(w, http.StatusOK)
}

// Whoever holds a token that has ended cannot fill the audit log with it.
func TestEndedTokenShownAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	u := w.user()
	text := w.personal(u, "api")
	w.send(call{method: "DELETE", path: "/api/v4/personal_access_tokens/self", as: private(text)}).must(w, http.StatusNoContent)
	events := func() int {
		return len(w.events(fmt.Sprintf("/audit_events?entity_type=User&entity_id=%d&per_page=100", u.ID), w.root()))
	}
	before := events()
	for range 5 {
		w.send(call{method: "POST", path: "/api/v4/personal_access_tokens/self/rotate", as: private(text)}).want(w, http.StatusUnauthorized)
	}
	if after := events(); after != before {
		w.Errorf("%d events became %d", before, after)
	}
}

// What happens to a project while somebody uploads counts when the upload ends.
func TestUploadIntoWhatChangesMeanwhile(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*world, project)
		want   int
	}{
		"archived": {func(w *world, p project) {
			w.send(call{method: "POST", path: "/api/v4" + p.home() + "/archive", as: w.root()}).must(w, 201)
		}, http.StatusForbidden},
		"marked for deletion": {func(w *world, p project) {
			w.send(call{method: "DELETE", path: "/api/v4" + p.home(), as: w.root()}).must(w, 202)
		}, http.StatusNotFound},
		"removed for good": {func(w *world, p project) {
			full := w.send(call{path: "/api/v4" + p.home(), as: w.root()}).must(w, 200).object(w)["path_with_namespace"]
			w.send(call{method: "DELETE", path: "/api/v4" + p.home(), as: w.root()}).must(w, 202)
			w.send(call{method: "DELETE", path: "/api/v4" + p.home(), as: w.root(), body: map[string]any{"permanently_remove": true, "full_path": full}}).must(w, 202)
		}, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p, d := w.open(), newSdist(newName(), "1.0")
			upload := d.upload(p.pypi(), w.root(), nil)
			body := upload.body.([]byte)
			read, write := io.Pipe()
			upload.body = read
			answers := make(chan *answer, 1)
			go func() {
				a, err := w.try(upload)
				if err != nil {
					t.Error(err)
				}
				answers <- a
			}()
			io.Copy(write, bytes.NewReader(body[:len(body)-10]))
			time.Sleep(300 * time.Millisecond) // it was let in
			row.change(w, p)
			write.Write(body[len(body)-10:])
			write.Close()
			if a := <-answers; a != nil {
				a.want(w, row.want)
			}
		})
	}
}

// A stranger who took the path that a place has when it is marked would keep it from being deleted.
func TestPathsOfWhatIsMarkedAreNobodys(t *testing.T) {
	w := newWorld(t)
	stranger := private(w.personal(w.user(), "api"))
	place := w.group("public")
	path := fmt.Sprintf("%s-deletion_scheduled-%d", place.FullPath, place.ID)
	for _, path := range []string{path, strings.ToUpper(path)} {
		w.send(call{method: "POST", path: "/api/v4/groups", as: stranger, body: map[string]any{"name": "squatter", "path": path}}).want(w, http.StatusBadRequest)
		w.send(call{method: "POST", path: "/api/v4/projects", as: stranger, body: map[string]any{"path": path}}).want(w, http.StatusBadRequest)
	}
	w.send(call{method: "DELETE", path: fmt.Sprintf("/api/v4/groups/%d", place.ID), as: w.root()}).want(w, http.StatusAccepted)
}

// Below a public group, a name that only a private project has is no different from one that nobody has.
func TestPyPIGroupDoesNotTellOfPrivateNames(t *testing.T) {
	w := newWorld(t)
	above := w.group("public")
	prefix := fmt.Sprintf("/api/v4/groups/%d/-/packages/pypi", above.ID)
	d := w.uploaded(w.project(above, "private"), newName(), "1.0")
	stranger := private(w.personal(w.user(), "api"))
	for _, path := range []string{"/simple/" + d.name + "/", "/pypi/" + d.name + "/json", "/files/" + d.sha256() + "/" + d.file, "/files/" + d.sha256() + "/" + d.file + ".metadata"} {
		w.send(call{path: prefix + path, as: stranger}).want(w, http.StatusNotFound).is(w, `{"message":"404 Package Not Found"}`)
		w.send(call{path: prefix + path}).want(w, http.StatusUnauthorized) // so that installers send a password
	}
}
