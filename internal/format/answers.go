package format

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/document"
	"packhouse/internal/registry"
)

// Serve answers an index document about a name that was found, from the cache where it is there in its present state.
// write is given one snapshot of the store and the ids of the entries; what it returns for a name of which nothing is
// left is answered as an error. request says the rest of the answer.
func (f *Finder) Serve(w http.ResponseWriter, r *http.Request, cache *document.Cache, found *Found, prefix, variant string, request document.Request,
	write func(tx registry.Tx, w io.Writer, entries []int64) error) error {
	request.Key = document.MakeKey(f.Type, variant, found.Name, prefix, found.Entries)
	request.Build = func(ctx context.Context, w io.Writer) (built document.Built, err error) {
		built.Modified = request.Modified
		err = f.Registry.Store.Read(ctx, func(tx registry.Tx) error {
			entries, ids := slices.Clone(found.Entries), found.IDs()
			for i := range entries {
				e, err := tx.EntryByID(entries[i].EntryID)
				if err != nil {
					return err
				}
				entries[i].Revision = e.Revision
				if e.UpdatedAt.After(built.Modified) {
					built.Modified = e.UpdatedAt
				}
			}
			built.Key = document.MakeKey(f.Type, variant, found.Name, prefix, entries)
			return write(tx, w, ids)
		})
		return built, err
	}
	return cache.Serve(w, r, request)
}

// ParamError is a parameter that is missing or malformed: GitLab answers {"error": …} for it.
type ParamError string

func (e ParamError) Error() string { return string(e) }

// answers of the kinds of error, as GitLab's REST API gives them.
var answers = map[registry.Kind]struct {
	status int
	text   string
}{
	registry.Fault:           {http.StatusInternalServerError, "500 Internal Server Error"},
	registry.Invalid:         {http.StatusBadRequest, "400 Bad request"},
	registry.Unauthenticated: {http.StatusUnauthorized, "401 Unauthorized"},
	registry.Forbidden:       {http.StatusForbidden, "403 Forbidden"},
	registry.NotFound:        {http.StatusNotFound, "404 Not Found"},
	registry.Conflict:        {http.StatusConflict, "409 Conflict"},
	registry.TooLarge:        {http.StatusRequestEntityTooLarge, "413 Request Entity Too Large"},
	registry.Limited:         {http.StatusTooManyRequests, "429 Too Many Requests"},
	registry.Full:            {http.StatusInsufficientStorage, "507 Insufficient Storage"},
	registry.Unavailable:     {http.StatusServiceUnavailable, "503 Service Unavailable"},
}

// WriteError answers {"message": …}, as GitLab's REST API does, and {"error": …} for a parameter. numbered: the sentence
// follows the status and its name, "400 Bad request - …", unless it has them already.
func (f *Finder) WriteError(w http.ResponseWriter, r *http.Request, err error, numbered bool) {
	answer, message := answers[registry.KindOf(err)], registry.MessageOf(err)
	var token *access.TokenError
	var parameter ParamError
	var moved *access.MovedError
	body := map[string]string{"message": message}
	switch {
	case errors.As(err, &moved) && moved.Location != "":
		moved.Redirect(w)
		return
	case errors.As(err, &moved):
		answer.status, body["message"] = http.StatusMethodNotAllowed, moved.Error()
	case errors.As(err, &parameter):
		answer, body = answers[registry.Invalid], map[string]string{"error": parameter.Error()}
	case errors.As(err, &token):
		body = map[string]string{"error": token.Code, "error_description": token.Description}
		if token.Scope != "" {
			body["scope"] = token.Scope
		}
	case answer.status == http.StatusInternalServerError && r.Context().Err() != nil: // the client is gone
		answer = answers[registry.Invalid]
		body["message"] = answer.text + " - the request was cut off"
	case answer.status == http.StatusInternalServerError:
		slog.ErrorContext(r.Context(), string(f.Type), "method", r.Method, "err", err)
		body["message"] = answer.text
	case message == "":
		body["message"] = answer.text
	case numbered && !strings.HasPrefix(message, answer.text[:len("400 ")]):
		body["message"] = answer.text + " - " + message
	}
	switch answer.status {
	case http.StatusUnauthorized: // without the challenge clients send no password
		w.Header().Set("WWW-Authenticate", `Basic realm="Packhouse"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		w.Header().Set("Retry-After", "5")
	}
	WriteJSON(w, answer.status, body)
}
