package api

import (
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	defaultPerPage = 20
	maxPerPage     = 100
	maxPage        = 1 << 40 // so that an offset cannot overflow
)

// page is the part of a list that was asked for, both numbers at least 1.
type page struct{ number, size int }

// page reads page and per_page.
func (p *params) page() page {
	number, size := p.number("page", 1), p.number("per_page", defaultPerPage)
	switch {
	case size < 0:
		size = defaultPerPage
	case size == 0 && p.has("per_page"):
		p.problem("per_page has a value not allowed")
	}
	pg := page{int(min(max(number, 1), maxPage)), int(min(size, maxPerPage))}
	p.used.Set("page", strconv.Itoa(pg.number))
	p.used.Set("per_page", strconv.Itoa(pg.size))
	return pg
}

func (pg page) offset() int { return (pg.number - 1) * pg.size }

// writePage answers a part of a list, with headers that say which part of how many it is and where the others are.
func (c *call) writePage(w http.ResponseWriter, r *http.Request, pg page, total int, list any) error {
	pages := max(1, (total+pg.size-1)/pg.size)
	var links []string
	link := func(rel string, number int) {
		query := maps.Clone(c.used)
		query.Set("page", strconv.Itoa(number))
		links = append(links, "<"+c.base+r.URL.EscapedPath()+"?"+url.Values(query).Encode()+`>; rel="`+rel+`"`)
	}
	h := w.Header()
	h.Set("X-Prev-Page", "")
	h.Set("X-Next-Page", "")
	if pg.number > 1 && pg.number <= pages {
		h.Set("X-Prev-Page", strconv.Itoa(pg.number-1))
		link("prev", pg.number-1)
	}
	if pg.number < pages {
		h.Set("X-Next-Page", strconv.Itoa(pg.number+1))
		link("next", pg.number+1)
	}
	link("first", 1)
	link("last", pages)
	h.Set("Link", strings.Join(links, ", "))
	h.Set("X-Page", strconv.Itoa(pg.number))
	h.Set("X-Per-Page", strconv.Itoa(pg.size))
	h.Set("X-Total", strconv.Itoa(total))
	h.Set("X-Total-Pages", strconv.Itoa(pages))
	return writeJSON(w, http.StatusOK, list)
}

// maxOffset is how far lists may be paged that have keysets too.
const maxOffset = 50_000

// bounded refuses a page that is too far off.
func (pg page) bounded(what string) error {
	if pg.offset() <= maxOffset {
		return nil
	}
	return &refusal{http.StatusMethodNotAllowed, map[string]any{"error": "Offset pagination has a maximum allowed offset of " + strconv.Itoa(maxOffset) +
		" for requests that return objects of type " + what + ". Remaining records can be retrieved using keyset pagination."}}
}

// keyset tells whether pages are asked for by what the last one ended with. fits says whether the list can be had so.
func (p *params) keyset(fits bool) (bool, error) {
	if p.choice("pagination", "", "legacy", "keyset") != "keyset" {
		return false, nil
	}
	if !fits {
		return false, &refusal{http.StatusMethodNotAllowed, map[string]any{"error": "Keyset pagination is not yet available for this type of request"}}
	}
	return true, nil
}

// writeKeyset answers a part of a list, with a link to the next one: the same request with some parameters set. Without
// them it is the last one.
func (c *call) writeKeyset(w http.ResponseWriter, r *http.Request, next map[string]string, list any) error {
	if len(next) > 0 {
		query := maps.Clone(c.used)
		query.Del("page")
		for name, value := range next {
			query.Set(name, value)
		}
		w.Header().Set("Link", "<"+c.base+r.URL.EscapedPath()+"?"+query.Encode()+`>; rel="next"`)
	}
	return writeJSON(w, http.StatusOK, list)
}

var inKeyset = inChoice("pagination", "legacy", "keyset")
