package contract

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"

	"packhouse/test/harness"
)

// nuget is the prefix of a project.
func (p project) nuget() string { return fmt.Sprintf("/api/v4/projects/%d/packages/nuget", p.ID) }
func (g group) nuget() string   { return fmt.Sprintf("/api/v4/groups/%d/-/packages/nuget", g.ID) }

// nupkg is a package as it is pushed.
type nupkg struct {
	id, version string
	content     []byte
}

// nuspec is that of a package; more goes into its metadata.
func nuspec(id, version string, more ...string) string {
	return `<?xml version="1.0" encoding="utf-8"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata>` +
		"<id>" + id + "</id><version>" + version + "</version><authors>Ann, Bob</authors><description>About " + id + "</description>" + strings.Join(more, "") + "</metadata></package>"
}

// newNupkg makes a package, no two with the same bytes. members come after its .nuspec.
func newNupkg(id, version, metadata string, members ...member) nupkg {
	return nupkg{id, version, zipped(append([]member{{id + ".nuspec", nuspec(id, version, metadata)}, {"lib/noise", harness.Random()}}, members...)...)}
}

// at is the path of the package below a prefix.
func (n nupkg) at(prefix, normalized string) string {
	id := strings.ToLower(n.id)
	return prefix + "/download/" + id + "/" + normalized + "/" + id + "." + normalized + ".nupkg"
}

// pushed is the request that sends a file as a client does.
func pushed(path string, content []byte, as credential) call {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	part, _ := form.CreateFormFile("package", "package.nupkg") // in memory, where nothing fails
	part.Write(content)
	form.Close()
	return call{method: "PUT", path: path, as: as, header: map[string]string{"Content-Type": form.FormDataContentType()}, body: b.Bytes()}
}

func (n nupkg) push(path string, as credential) call { return pushed(path, n.content, as) }

// newID is an id that no other test has, with capitals.
func newID() string { return "Pack." + harness.Random()[:10] }

// packed makes a package and pushes it as root.
func (w *world) packed(p project, id, version string, metadata ...string) nupkg {
	w.Helper()
	n := newNupkg(id, version, strings.Join(metadata, ""))
	w.send(n.push(p.nuget(), w.root())).must(w, http.StatusCreated).is(w, `{"message":"201 Created"}`)
	return n
}

// versionsOf is what the flat container lists; nil where there is nothing.
func (w *world) versionsOf(prefix, id string, as credential) []string {
	w.Helper()
	a := w.send(call{path: prefix + "/download/" + id + "/index.json", as: as})
	if a.status == http.StatusNotFound {
		return nil
	}
	return texts(a.must(w, http.StatusOK).object(w)["versions"])
}

func texts(value any) (all []string) {
	list, _ := value.([]any)
	for _, one := range list {
		all = append(all, fmt.Sprint(one))
	}
	return all
}
