package web

import (
	"strings"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

type activityPage struct {
	Events []*registry.Event
	Before int64 // id that the next page begins behind; 0: there is none
	Filter string
	Entity string
}

// Said is what happened, in English.
func said(e *registry.Event) string {
	text := strings.ReplaceAll(strings.TrimPrefix(e.Name, "package_registry_"), "_", " ")
	return strings.ToUpper(text[:1]) + text[1:]
}

const eventsShown = 50

// events is a page of the audit log, the newest first.
func (q *request) events(f registry.EventFilter) (page activityPage, err error) {
	f.BeforeID, f.NoTotal, f.Limit = q.number("before"), true, eventsShown+1
	err = q.read(func(tx registry.Tx) (err error) {
		page.Events, _, err = tx.Events(f)
		return err
	})
	if len(page.Events) > eventsShown {
		page.Events = page.Events[:eventsShown]
		page.Before = page.Events[eventsShown-1].ID
	}
	return page, err
}

func (h *Handler) activity(q *request) error {
	if err := q.require(access.Inspect); err != nil {
		return err
	}
	if q.place.Group != nil && q.place.Group.Personal() {
		return errNoPage
	}
	group, project := q.place.IDs()
	page, err := q.events(registry.EventFilter{GroupID: group, ProjectID: project})
	if err != nil {
		return err
	}
	return q.render("activity", q.title("Activity"), page)
}
