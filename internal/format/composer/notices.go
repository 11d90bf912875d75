package composer

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"packhouse/internal/format"
	"packhouse/internal/registry"
)

const (
	maxNotice  = 1 << 20 // bytes
	maxNotices = 1000
)

// notify answers POST /downloads: {"downloads":[{"name","version"}]}, what a client has installed.
func (h *Handler) notify(w http.ResponseWriter, q *request) error {
	_, filter, _, err := h.List(q.Request, q.at)
	if err != nil {
		return err
	}
	limited := http.MaxBytesReader(w, q.Body, maxNotice)
	var notice struct {
		Downloads []struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"downloads"`
	}
	text, err := io.ReadAll(limited)
	if err != nil {
		return registry.Errorf(registry.TooLarge, "413 Request Entity Too Large")
	}
	if json.Unmarshal(text, &notice) != nil {
		return format.ParamError("downloads is invalid")
	}
	if len(notice.Downloads) > maxNotices {
		return format.ParamError("downloads has too many entries")
	}
	// Composer tells the normalized version; which one it is here has to be looked up.
	wanted := map[[2]string]bool{}
	var names []string
	for _, one := range notice.Downloads {
		name := strings.ToLower(one.Name)
		if normalized, ok := normalize(one.Version); ok && validName(name) {
			wanted[[2]string{name, normalized}] = true
			names = append(names, name)
		}
	}
	var files []*registry.File
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) (err error) {
		files, err = tx.Installed(filter, names, func(name, version string) bool {
			normalized, _ := normalize(version)
			return wanted[[2]string{name, normalized}]
		})
		return err
	})
	if err != nil {
		return err
	}
	host := registry.HostOf(q.RemoteAddr)
	for _, file := range files {
		if !h.credits.take(file.PackageID, host) {
			h.Registry.Downloads.Count(file)
		}
	}
	return writeJSON(w, http.StatusCreated, map[string]string{"status": "success"})
}

// advisories answers GET and POST /security-advisories: there are none yet.
func (h *Handler) advisories(w http.ResponseWriter, q *request) error {
	if _, _, _, err := h.List(q.Request, q.at); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"advisories": struct{}{}})
}
