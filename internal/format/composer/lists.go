package composer

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"packhouse/internal/format"
	"packhouse/internal/registry"
)

// ---- lists

// maxTerms of a search.
const maxTerms = 20

// list answers GET /list.json?filter=&vendor=: the names, "*" in the filter standing for any text.
func (h *Handler) list(w http.ResponseWriter, q *request) error {
	filter, vendor := q.URL.Query().Get("filter"), q.URL.Query().Get("vendor")
	if filter == "" && vendor == "" {
		return h.serveScope(w, q, "list", false, func(tx registry.Tx, s *scope, w io.Writer) error {
			return writeNames(tx, s.EntryFilter, w, func(string) bool { return true })
		})
	}
	_, entries, _, err := h.List(q.Request, q.at)
	if err != nil {
		return err
	}
	if len(filter) > maxName || len(vendor) > maxName {
		return format.ParamError("filter is too long")
	}
	pattern, err := regexp.Compile("^(?i:" + strings.ReplaceAll(regexp.QuoteMeta(filter), `\*`, ".*") + ")$")
	if err != nil {
		return format.ParamError("filter is invalid")
	}
	var b bytes.Buffer
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		return writeNames(tx, entries, &b, func(name string) bool {
			return (vendor == "" || strings.HasPrefix(name, strings.ToLower(vendor)+"/")) && (filter == "" || pattern.MatchString(name))
		})
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", mediaType)
	w.Write(b.Bytes())
	return nil
}

func writeNames(tx registry.Tx, f registry.EntryFilter, w io.Writer, want func(string) bool) error {
	if _, err := io.WriteString(w, `{"packageNames":[`); err != nil {
		return err
	}
	comma := ""
	err := tx.EachName(f, func(name, _ string) error {
		if !want(name) {
			return nil
		}
		_, err := io.WriteString(w, comma+string(raw(name)))
		comma = ","
		return err
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, "]}")
	return err
}

type result struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	URL         string `json:"url"`
	Repository  string `json:"repository"`
	Downloads   int64  `json:"downloads"` // of the latest version
	Favers      int64  `json:"favers"`
	Abandoned   any    `json:"abandoned,omitempty"`
}

const maxSearched = 100 // results on a page

// search answers GET /search.json?q=&type=&page=&per_page=.
func (h *Handler) search(w http.ResponseWriter, q *request) error {
	c, filter, _, err := h.List(q.Request, q.at)
	if err != nil {
		return err
	}
	query := q.URL.Query()
	page, size := 1, 15
	for name, into := range map[string]*int{"page": &page, "per_page": &size} {
		if text := query.Get(name); text != "" {
			if *into, err = strconv.Atoi(text); err != nil || *into < 1 || *into > 1<<30 {
				return format.ParamError(name + " is invalid")
			}
		}
	}
	size = min(size, maxSearched)
	filter.Limit, filter.Offset = size, (page-1)*size
	filter.Terms = strings.Fields(query.Get("q"))
	if kind := query.Get("type"); kind != "" {
		filter.Terms = append(filter.Terms, typeWord(kind))
	}
	if len(filter.Terms) > maxTerms {
		return format.ParamError("q has too many words")
	}
	var entries []*registry.Entry
	var total int
	found := map[int64]result{}
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) (err error) {
		if entries, total, err = tx.SearchEntries(filter); err != nil {
			return err
		}
		latest := make([]int64, len(entries))
		for i, e := range entries {
			latest[i] = e.LatestID
		}
		return tx.Fragments(latest, fragment, func(p *registry.Package, body []byte) error {
			var v version
			if err := json.Unmarshal(body, &v); err != nil {
				return err
			}
			one := result{Name: p.Name, Downloads: p.Downloads}
			json.Unmarshal(v.Manifest["description"], &one.Description) // "" where there is none
			var told any
			if abandoned := v.show(p, "", "")["abandoned"]; abandoned != nil {
				json.Unmarshal(abandoned, &told)
			}
			if told != nil && told != false {
				one.Abandoned = told
			}
			found[p.ID] = one
			return nil
		})
	})
	if err != nil {
		return err
	}
	ids := make([]int64, len(entries))
	for i, e := range entries {
		ids[i] = e.ProjectID
	}
	if err := c.View.Learn(q.Context(), c.Caller, ids); err != nil {
		return err
	}
	results := []result{}
	for _, e := range entries {
		one, ok := found[e.LatestID]
		if !ok {
			continue
		}
		if p, err := c.View.ProjectByID(e.ProjectID); err == nil {
			one.URL = q.base + "/" + p.FullPath
			one.Repository = one.URL + ".git"
		}
		results = append(results, one)
	}
	answer := map[string]any{"results": results, "total": total}
	if filter.Offset+len(entries) < total {
		query.Set("page", strconv.Itoa(page+1))
		answer["next"] = q.base + below(q, filter) + "/search.json?" + url.Values(query).Encode()
	}
	w.Header()["Vary"] = vary
	return writeJSON(w, http.StatusOK, answer)
}

// ---- changes

// Times of changes count in units of 100 microseconds, as Packagist's do.
const tick = 100 * time.Microsecond

// maxSince is how far back changes are told. Who asks for more has to read everything again.
const maxSince = 24 * time.Hour

type change struct {
	Type    string `json:"type"` // "update", "delete" or "resync"
	Package string `json:"package"`
	Time    int64  `json:"time"` // seconds
}

// changes answers GET /changes.json?since=: the names that have changed since a timestamp of such an answer.
func (h *Handler) changes(w http.ResponseWriter, q *request) error {
	_, filter, _, err := h.List(q.Request, q.at)
	if err != nil {
		return err
	}
	// What is committed while we look may be told twice, and nothing is left out.
	now := time.Now().Add(-changeMargin)
	timestamp := now.UnixNano() / int64(tick)
	text := q.URL.Query().Get("since")
	since, err := strconv.ParseInt(text, 10, 64)
	if err != nil || since < 0 {
		return writeJSON(w, http.StatusBadRequest, map[string]any{"error": "since is missing or invalid: the timestamp of the last answer, of which this is the first", "timestamp": timestamp})
	}
	actions := []change{}
	if from := time.Unix(0, min(since, timestamp)*int64(tick)); now.Sub(from) > maxSince {
		actions = append(actions, change{"resync", "*", now.Unix()})
	} else {
		err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
			return tx.EachChange(filter, from, func(name string, at time.Time, gone bool) error {
				one := change{"update", name, at.Unix()}
				if gone {
					one.Type = "delete"
				}
				actions = append(actions, one)
				if !gone { // V2 has its dev versions in a document of their own
					actions = append(actions, change{"update", name + "~dev", at.Unix()})
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	w.Header()["Vary"] = vary
	return writeJSON(w, http.StatusOK, map[string]any{"actions": actions, "timestamp": timestamp})
}

// changeMargin is how long a publish may take between the moment that it notes and its commit, and how far the clocks of several
// nodes may be apart.
const changeMargin = 5 * time.Second
