package api

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// idCursor is a place in a list that is ordered by falling ids.
type idCursor struct {
	id   int64
	back bool // what comes before the id, and not after it
}

// idCursorJSON is such a place as it travels, with GitLab's names: "_kd" is "n" for what comes next and "p" for the
// previous.
type idCursorJSON struct {
	ID   string `json:"id"`
	Kind string `json:"_kd"`
}

func (at idCursor) String() string {
	kind := "n"
	if at.back {
		kind = "p"
	}
	text, _ := json.Marshal(idCursorJSON{strconv.FormatInt(at.id, 10), kind}) // texts always marshal
	return base64.URLEncoding.EncodeToString(text)
}

// idCursor reads where a list goes on; without a cursor it begins with the highest id.
func (p *params) idCursor() idCursor {
	value := p.text("cursor", "")
	if value == "" {
		return idCursor{id: math.MaxInt64}
	}
	var given idCursorJSON
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(value, "="))
	if err == nil {
		err = json.Unmarshal(text, &given)
	}
	id, invalid := strconv.ParseInt(given.ID, 10, 64)
	if err != nil || invalid != nil || given.Kind != "n" && given.Kind != "p" {
		p.problem("cursor is invalid")
	}
	return idCursor{id, given.Kind == "p"}
}

// afterID reads where a list by id that is paged forwards goes on: behind which id, 0 at its beginning.
func (p *params) afterID() int64 {
	at := p.idCursor()
	switch {
	case at.back:
		p.problem("cursor is invalid")
	case at.id == math.MaxInt64:
		return 0
	}
	return at.id
}

// more cuts what was read of a list, one beyond the page, to the page. next is the cursor that leads on, nil at the end.
func more[T any](all []T, idOf func(T) int64, size int) (part []T, next map[string]string) {
	if len(all) <= size {
		return all, nil
	}
	return all[:size], map[string]string{"cursor": idCursor{id: idOf(all[size-1])}.String()}
}

// cut is the part of a list, ordered by falling ids, at a cursor, and the cursors of the parts around it; nil: there is
// nothing.
func cut[T any](all []T, idOf func(T) int64, at idCursor, size int) (part []T, before, after *idCursor) {
	// The first that does not stand before the cursor.
	from, found := slices.BinarySearchFunc(all, at.id, func(one T, id int64) int { return cmp.Compare(id, idOf(one)) })
	to := from
	if at.back {
		from = max(0, from-size)
	} else {
		if found {
			from++
		}
		to = min(from+size, len(all))
	}
	if part = all[from:to]; len(part) == 0 {
		return nil, nil, nil
	}
	if from > 0 {
		before = &idCursor{idOf(part[0]), true}
	}
	if to < len(all) {
		after = &idCursor{id: idOf(part[len(part)-1])}
	}
	return part, before, after
}

// writeCut answers a part of a list with the cursors of the others.
func (c *call) writeCut(w http.ResponseWriter, r *http.Request, before, after *idCursor, list any) error {
	next := map[string]string{}
	if before != nil {
		w.Header().Set("X-Prev-Cursor", before.String())
	}
	if after != nil {
		w.Header().Set("X-Next-Cursor", after.String())
		next["cursor"] = after.String()
	}
	return c.writeKeyset(w, r, next, list)
}
