package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// refusal is an error that is answered with a status and body of its own.
type refusal struct {
	status int
	body   map[string]any
}

func (e *refusal) Error() string { return fmt.Sprint(e.status, " ", e.body) }

// refuse answers {"message": …}, where message is a sentence or attribute → sentences.
func refuse(status int, message any) error {
	return &refusal{status, map[string]any{"message": message}}
}

// invalid answers 400 {"message": {attribute: [sentence]}}: the parameter is well-formed and breaks a rule.
func invalid(attribute, format string, args ...any) error {
	return refuse(http.StatusBadRequest, map[string][]string{attribute: {fmt.Sprintf(format, args...)}})
}

// malformed answers 400 {"error": …}: a parameter is missing or not of its type.
func malformed(sentence string) error {
	return &refusal{http.StatusBadRequest, map[string]any{"error": sentence}}
}

var (
	errAnonymous = registry.Errorf(registry.Unauthenticated, "401 Unauthorized")
	errForbidden = registry.Errorf(registry.Forbidden, "403 Forbidden")
	errNotFound  = registry.Errorf(registry.NotFound, "404 Not found")
	errNoUser    = registry.Errorf(registry.NotFound, "404 User Not Found")
	errNoGroup   = registry.Errorf(registry.NotFound, "404 Group Not Found")
	errNoProject = registry.Errorf(registry.NotFound, "404 Project Not Found")
)

// statuses of the kinds of error: the sentence begins with the text, and what the error says follows the separator.
var statuses = map[registry.Kind]struct {
	code            int
	text, separator string
}{
	registry.Invalid:         {http.StatusBadRequest, "400 Bad request", " - "},
	registry.Unauthenticated: {http.StatusUnauthorized, "401 Unauthorized", " - "},
	registry.Forbidden:       {http.StatusForbidden, "403 Forbidden", " - "},
	registry.NotFound:        {http.StatusNotFound, "404 Not Found", " - "},
	registry.Conflict:        {http.StatusConflict, "409 Conflict", ": "},
	registry.TooLarge:        {http.StatusRequestEntityTooLarge, "413 Request Entity Too Large", " - "},
	registry.Limited:         {http.StatusTooManyRequests, "429 Too Many Requests", " - "},
	registry.Full:            {http.StatusInsufficientStorage, "507 Insufficient Storage", " - "},
	registry.Unavailable:     {http.StatusServiceUnavailable, "503 Service Unavailable", " - "},
}

// WriteError answers an error as GitLab's REST API does. An error without a kind, and the cause of any other, is for
// the log only.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	var refused *refusal
	var token *access.TokenError
	var moved *access.MovedError
	kind := registry.KindOf(err)
	status, known := statuses[kind]
	switch {
	case errors.As(err, &refused):
		writeJSON(w, refused.status, refused.body)
	case errors.As(err, &moved) && moved.Location != "":
		moved.Redirect(w)
	case errors.As(err, &moved):
		writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"message": moved.Error()})
	case errors.As(err, &token):
		body := map[string]string{"error": token.Code, "error_description": token.Description}
		challenge := fmt.Sprintf("Bearer realm=%q, error=%q, error_description=%q", "Packhouse", token.Code, token.Description)
		if token.Scope != "" {
			body["scope"] = token.Scope
			challenge += fmt.Sprintf(", scope=%q", token.Scope)
		}
		w.Header().Set("WWW-Authenticate", challenge)
		writeJSON(w, status.code, body)
	case known:
		message := registry.MessageOf(err)
		switch {
		case message == "":
			message = status.text
		case !strings.HasPrefix(message, status.text[:len("400 ")]):
			message = status.text + status.separator + message
		}
		if kind == registry.Full || kind == registry.Unavailable {
			slog.WarnContext(r.Context(), "request refused", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		if (kind == registry.Limited || kind == registry.Unavailable) && w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", "1")
		}
		writeJSON(w, status.code, map[string]string{"message": message})
	default:
		slog.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		writeJSON(w, http.StatusInternalServerError, map[string]string{"message": "500 Internal Server Error"})
	}
}

// orElse replaces an error of a kind by another one.
func orElse(err error, kind registry.Kind, other error) error {
	if err != nil && registry.KindOf(err) == kind {
		return other
	}
	return err
}
