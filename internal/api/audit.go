package api

import (
	"net/http"
	"strings"

	"packhouse/internal/registry"
)

func (a *API) auditRoutes() []route {
	const tag = "Audit events"
	dates := append([]param{inTime("created_after"), inTime("created_before"), inKeyset, inText("cursor")}, inPages...)
	routes := []route{
		{"GET /audit_events", a.listAllEvents, operation{tag: tag, summary: "All events, the newest first, for administrators", out: []eventJSON{},
			in: append([]param{inChoice("entity_type", entityTypes...), inNumber("entity_id").says("with entity_type")}, dates...)}},
		{"GET /audit_events/{audit_event_id}", a.showAnyEvent, operation{tag: tag, summary: "An event, for administrators", out: eventJSON{}}},
	}
	for prefix, in := range places {
		prefix += "/audit_events"
		routes = append(routes,
			route{"GET " + prefix, a.listEvents(in), operation{tag: tag, summary: "Events, the newest first", out: []eventJSON{}, in: dates}},
			route{"GET " + prefix + "/{audit_event_id}", a.showEvent(in), operation{tag: tag, summary: "An event", out: eventJSON{}}},
		)
	}
	return routes
}

// What an event is about, in GitLab's words.
const (
	ofProject = "Project"
	ofGroup   = "Group"
	ofUser    = "User"
	ofServer  = "Gitlab::Audit::InstanceScope"
)

var entityTypes = []string{ofProject, ofGroup, ofUser}

type eventJSON struct {
	ID         int64        `json:"id"`
	AuthorID   int64        `json:"author_id"` // -1: nobody who signed in, or a deploy token
	EntityID   int64        `json:"entity_id"`
	EntityType string       `json:"entity_type"`
	EventName  string       `json:"event_name"`
	Details    eventDetails `json:"details"`
	CreatedAt  timestamp    `json:"created_at"`
}

type eventDetails struct {
	AuthorName     string `json:"author_name"`
	AuthorClass    string `json:"author_class"`
	ImpersonatedBy string `json:"impersonated_by,omitempty"` // the administrator who acted as the author
	TargetType     string `json:"target_type"`
	TargetDetails  string `json:"target_details"`
	CustomMessage  string `json:"custom_message"`
	IPAddress      string `json:"ip_address"`
	EntityPath     string `json:"entity_path"`
	TokenType      string `json:"auth_token_type,omitempty"`
	TokenID        int64  `json:"auth_token_id,omitempty"`
}

// targetTypes are GitLab's words for what events with names that begin so are done to.
var targetTypes = map[string]string{"package": "Packages::Package", "user": "User", "member": "User", "group": "Group", "project": "Project", "token": "PersonalAccessToken"}

// tokenTypes are GitLab's words for kinds of token.
var tokenTypes = map[registry.TokenKind]string{registry.PersonalToken: "PersonalAccessToken", registry.ResourceToken: "PersonalAccessToken",
	registry.DeployToken: "DeployToken", registry.JobToken: "CiJobToken"}

func newEventJSON(e *registry.Event) eventJSON {
	subject, _, _ := strings.Cut(e.Name, "_")
	message := strings.ReplaceAll(strings.TrimPrefix(e.Name, "package_registry_"), "_", " ")
	message = strings.ToUpper(message[:1]) + message[1:]
	if e.Detail != "" {
		message += ": " + e.Detail
	}
	target := targetTypes[subject]
	if target == "" {
		target = strings.ToUpper(subject[:1]) + subject[1:]
	}
	j := eventJSON{ID: e.ID, AuthorID: e.UserID, EventName: e.Name, CreatedAt: timestamp(e.CreatedAt), Details: eventDetails{
		AuthorName: e.Actor.Name, AuthorClass: "User", ImpersonatedBy: e.Sudo, TargetType: target, TargetDetails: e.Target, CustomMessage: message, IPAddress: e.Address,
		EntityPath: e.Path, TokenType: tokenTypes[e.Kind], TokenID: e.TokenID}}
	if e.UserID == 0 {
		j.AuthorID, j.Details.AuthorClass = -1, "Gitlab::Audit::UnauthenticatedAuthor"
		switch {
		case e.Kind == registry.DeployToken:
			j.Details.AuthorClass = "Gitlab::Audit::DeployTokenAuthor"
		case e.Actor.Name == "":
			j.Details.AuthorName = "(System)"
		}
	}
	switch {
	case e.ProjectID != 0:
		j.EntityID, j.EntityType = e.ProjectID, ofProject
	case e.GroupID != 0:
		j.EntityID, j.EntityType = e.GroupID, ofGroup
	case e.OfUserID != 0:
		j.EntityID, j.EntityType = e.OfUserID, ofUser
	default:
		j.EntityID, j.EntityType, j.Details.EntityPath = 1, ofServer, "gitlab_instance"
	}
	return j
}

func (a *API) writeEvents(w http.ResponseWriter, r *http.Request, c *call, f registry.EventFilter, pg page) error {
	if f.Limit, f.Offset = pg.size, pg.offset(); f.NoTotal { // by keyset
		f.Limit, f.Offset = pg.size+1, 0
	}
	var events []*registry.Event
	var total int
	err := a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		events, total, err = tx.Events(f)
		return err
	})
	if err != nil {
		return err
	}
	if f.NoTotal {
		part, next := more(events, func(e *registry.Event) int64 { return e.ID }, pg.size)
		return c.writeKeyset(w, r, next, each(part, newEventJSON))
	}
	return c.writePage(w, r, pg, total, each(events, newEventJSON))
}

// writeEvent answers the event :audit_event_id when it is one that of allows.
func (a *API) writeEvent(w http.ResponseWriter, r *http.Request, id int64, of func(*registry.Event) bool) error {
	var event *registry.Event
	err := a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		event, err = tx.Event(id)
		return err
	})
	if err == nil && !of(event) {
		err = errNotFound
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newEventJSON(event))
}

// eventDates reads which time is asked for, and from where by keyset.
func (c *call) eventDates() registry.EventFilter {
	f := registry.EventFilter{After: c.time("created_after"), Before: c.time("created_before")}
	if f.NoTotal, _ = c.keyset(true); f.NoTotal {
		f.BeforeID = c.afterID()
	}
	return f
}

func (a *API) listAllEvents(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	f, kind, id, pg := c.eventDates(), c.choice("entity_type", "", entityTypes...), c.number("entity_id", 0), c.page()
	if kind == "" && id != 0 {
		c.problem("entity_type is missing")
	}
	if err := c.wrong(); err != nil {
		return err
	}
	if err := c.admin(); err != nil {
		return err
	}
	switch kind {
	case ofProject:
		f.Projects, f.ProjectID = true, id
	case ofGroup:
		f.Groups, f.GroupID = true, id
	case ofUser:
		f.Users, f.OfUserID = true, id
	}
	return a.writeEvents(w, r, c, f, pg)
}

func (a *API) showAnyEvent(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	id := c.number("audit_event_id", 0)
	if err := c.wrong(); err != nil {
		return err
	}
	if err := c.admin(); err != nil {
		return err
	}
	return a.writeEvent(w, r, id, func(*registry.Event) bool { return true })
}

func (a *API) listEvents(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		f, pg := c.eventDates(), c.page()
		place, err := c.place(in, inspect)
		if err != nil {
			return err
		}
		f.GroupID, f.ProjectID = place.groupID, place.projectID
		return a.writeEvents(w, r, c, f, pg)
	}
}

func (a *API) showEvent(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		id := c.number("audit_event_id", 0)
		place, err := c.place(in, inspect)
		if err != nil {
			return err
		}
		return a.writeEvent(w, r, id, func(e *registry.Event) bool { return e.GroupID == place.groupID && e.ProjectID == place.projectID })
	}
}
