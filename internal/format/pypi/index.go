package pypi

import (
	"context"
	"html"
	"io"
	"net/http"
	"time"

	"packhouse/internal/document"
	"packhouse/internal/registry"
)

// index answers GET /simple/: each name once, in the order of names, with the spelling of its latest version as text.
func (h *Handler) index(w http.ResponseWriter, q *request) error {
	_, filter, title, err := h.List(q.Request, q.at)
	if err != nil {
		return err
	}
	// What the index depends on: the projects that the caller may read, each with how often its names have changed.
	var projects []registry.Revision
	state := func(tx registry.Tx) (err error) {
		projects, err = tx.ProjectRevisions(filter)
		return err
	}
	if err := h.Registry.Store.Read(q.Context(), state); err != nil {
		return err
	}
	media := mediaType(q.Header)
	variant := "index " + media
	write := writeIndexHTML
	if media == simpleJSON {
		write = writeIndexJSON
	}
	return h.Documents.Serve(w, q.Request, document.Request{
		Key:         document.MakeKey(registry.PyPI, variant, title, q.prefix, projects),
		ContentType: contentType(media),
		Build: func(ctx context.Context, w io.Writer) (built document.Built, err error) {
			err = h.Registry.Store.Read(ctx, func(tx registry.Tx) error {
				now, err := tx.ProjectRevisions(filter)
				if err != nil {
					return err
				}
				built = document.Built{Key: document.MakeKey(registry.PyPI, variant, title, q.prefix, now), Modified: time.Now()}
				return write(w, q.prefix, title, func(each func(name, spelling string) error) error {
					return tx.EachName(filter, each)
				})
			})
			return built, err
		},
	})
}

func writeIndexHTML(w io.Writer, prefix, title string, names func(func(name, spelling string) error) error) error {
	title, prefix = html.EscapeString(title), html.EscapeString(prefix)
	if _, err := io.WriteString(w, htmlHead+title+"</title>\n  </head>\n  <body>\n    <h1>Links for "+title+"</h1>\n"); err != nil {
		return err
	}
	err := names(func(name, spelling string) error {
		_, err := io.WriteString(w, `    <a href="`+prefix+"/simple/"+name+`/">`+html.EscapeString(spelling)+"</a><br>\n")
		return err
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, "  </body>\n</html>\n")
	return err
}

func writeIndexJSON(w io.Writer, _, _ string, names func(func(name, spelling string) error) error) error {
	if _, err := io.WriteString(w, `{"meta":{"api-version":"`+apiVersion+`"},"projects":[`); err != nil {
		return err
	}
	comma := ""
	err := names(func(name, _ string) error { // a normalized name needs no escapes
		_, err := io.WriteString(w, comma+`{"name":"`+name+`"}`)
		comma = ","
		return err
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, "]}\n")
	return err
}
