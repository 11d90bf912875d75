package access

import (
	"net/http"
	"strconv"
	"strings"

	"packhouse/internal/registry"
)

// MovedError is a request by a path that a project or group had before. Reading ones are sent on to its number.
type MovedError struct {
	Location string // URL; empty: the request does not read
	what     string
}

func (e *MovedError) Error() string {
	if e.Location == "" {
		return "Non GET methods are not allowed for moved " + e.what
	}
	return "This resource has been moved permanently to " + e.Location
}

// Moved is a MovedError when :id, the fourth segment of the path of a request, is neither the number nor the full path of
// what was found by it, and otherwise nil. base is the public URL of the server. Ask it when the caller may know where
// the thing is.
func Moved(r *http.Request, base, id string, p *registry.Project) error {
	return moved(r, base, id, p.FullPath, p.ID, "projects")
}

// MovedGroup is the same for groups.
func MovedGroup(r *http.Request, base, id string, g *registry.Group) error {
	return moved(r, base, id, g.FullPath, g.ID, "groups")
}

func moved(r *http.Request, base, id, fullPath string, number int64, what string) error {
	if _, err := strconv.ParseInt(id, 10, 64); err == nil || strings.EqualFold(id, fullPath) {
		return nil
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return &MovedError{what: what}
	}
	segments := strings.Split(r.URL.EscapedPath(), "/") // "", "api", "v4", "projects", :id
	segments[4] = strconv.FormatInt(number, 10)
	location := base + strings.Join(segments, "/")
	if r.URL.RawQuery != "" {
		location += "?" + r.URL.RawQuery
	}
	return &MovedError{location, what}
}

// Redirect sends a client to the Location.
func (e *MovedError) Redirect(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Location", e.Location)
	w.Header().Set("Cache-Control", "no-store") // somebody else may take the path
	w.WriteHeader(http.StatusMovedPermanently)
	w.Write([]byte(e.Error()))
}
