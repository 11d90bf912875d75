package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"slices"
	"strings"

	"packhouse/internal/registry"
)

func (a *API) userRoutes() []route {
	const tag = "Users"
	fields := []param{inText("password"), inFlag("admin"), inFlag("external")}
	routes := []route{
		{"GET /user", a.currentUser, operation{tag: tag, summary: "The caller", out: profileJSON{}}},
		{"GET /users", a.listUsers, operation{tag: tag, summary: "Users", out: []foundUserJSON{}, also: []int{http.StatusMethodNotAllowed},
			in: append([]param{inText("username"), inText("search").says("part of a user name or name; for administrators, of an address too"),
				inFlag("active"), inFlag("exclude_active"), inFlag("blocked"), inFlag("external"), inFlag("exclude_external"), inFlag("humans"), inFlag("exclude_humans"),
				inFlag("without_project_bots"), inFlag("admins").says("for administrators"), inTime("created_after"), inTime("created_before"),
				inChoice("order_by", "id", "name", "username", "created_at"), inSort, inKeyset, inText("cursor")}, inPages...)}},
		{"POST /users", a.createUser, operation{tag: tag, summary: "Create a user, as an administrator", out: profileJSON{}, also: []int{http.StatusConflict},
			in: append([]param{inName("username").must(), inName("name").must(), inName("email").must(), inFlag("reset_password"), inFlag("force_random_password")}, fields...)}},
		{"GET /users/{id}", a.showUser, operation{tag: tag, summary: "A user", out: profileJSON{}}},
		{"PUT /users/{id}", a.updateUser, operation{tag: tag, summary: "Change a user, as an administrator", out: profileJSON{}, also: []int{http.StatusConflict},
			in: append([]param{inName("username"), inName("name"), inName("email")}, fields...)}},
		{"DELETE /users/{id}", a.deleteUser, operation{tag: tag, summary: "Remove a user, as an administrator", also: []int{http.StatusConflict},
			in: []param{inFlag("hard_delete").says("with the packages in their namespace, and the groups that nobody else owns")}}},
		{"GET /users/{id}/memberships", a.listMemberships, operation{tag: tag, summary: "Where a user is a member, for administrators", out: []membershipJSON{},
			in: append([]param{inChoice("type", "Project", "Namespace")}, inPages...)}},
	}
	for _, change := range stateChanges {
		routes = append(routes, route{"POST /users/{id}/" + change.verb, a.changeState(change), operation{tag: tag, summary: change.summary + ", as an administrator", out: true}})
	}
	return routes
}

var inSort = inChoice("sort", "asc", "desc")

// userJSON is a user as everybody who is signed in may see them.
type userJSON struct {
	ID        int64   `json:"id"`
	Username  string  `json:"username"`
	Name      string  `json:"name"`
	State     string  `json:"state"` // "active", "blocked", "banned" or "deactivated"
	Locked    bool    `json:"locked"`
	AvatarURL *string `json:"avatar_url"`
	WebURL    string  `json:"web_url"`
}

func (c *call) userJSON(u *registry.User) userJSON {
	return userJSON{ID: u.ID, Username: u.Username, Name: u.Name, State: u.State.String(), WebURL: c.base + "/" + u.Username}
}

// profileJSON is a user on their own page. The pointers are for administrators and the user themselves.
type profileJSON struct {
	userJSON
	CreatedAt   timestamp `json:"created_at"`
	PublicEmail string    `json:"public_email"`
	Bot         bool      `json:"bot"`

	Email            *string `json:"email,omitempty"`
	CommitEmail      *string `json:"commit_email,omitempty"`
	External         *bool   `json:"external,omitempty"`
	TwoFactorEnabled *bool   `json:"two_factor_enabled,omitempty"`
	CanCreateGroup   *bool   `json:"can_create_group,omitempty"`
	CanCreateProject *bool   `json:"can_create_project,omitempty"`
	NamespaceID      *int64  `json:"namespace_id,omitempty"`
	IsAdmin          *bool   `json:"is_admin,omitempty"` // administrators only
}

// foundUserJSON is a user in a list, where only administrators see profiles.
type foundUserJSON struct {
	userJSON
	*profileJSON
}

func (c *call) profileJSON(u *registry.User) profileJSON {
	p := profileJSON{userJSON: c.userJSON(u), CreatedAt: timestamp(u.CreatedAt), Bot: u.Bot}
	if c.who.User.ID == u.ID || c.who.User.Admin {
		p.Email, p.CommitEmail = &u.Email, &u.Email
		p.External, p.TwoFactorEnabled, p.NamespaceID = &u.External, new(bool), &u.NamespaceID
		p.CanCreateGroup, p.CanCreateProject = new(u.Settles()), new(u.Settles())
	}
	if c.who.User.Admin {
		p.IsAdmin = &u.Admin
	}
	return p
}

func (a *API) currentUser(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r, registry.ScopeReadUser)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, c.profileJSON(c.who.User))
}

func (a *API) showUser(w http.ResponseWriter, r *http.Request) error {
	c, err := a.anyone(w, r, registry.ScopeReadUser)
	if err != nil {
		return err
	}
	id := c.number("id", 0)
	if err := c.wrong(); err != nil {
		return err
	}
	if c.who.User == nil {
		return errNoUser
	}
	user, err := c.view.UserByID(id)
	if err != nil {
		return orElse(err, registry.NotFound, errNoUser)
	}
	return writeJSON(w, http.StatusOK, c.profileJSON(user))
}

func (a *API) listUsers(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r, registry.ScopeReadUser)
	if err != nil {
		return err
	}
	admin := c.who.User.Admin
	filter := registry.UserFilter{
		Username: c.text("username", ""), Search: c.text("search", ""), ByEmail: admin, CreatedAfter: c.time("created_after"), CreatedBefore: c.time("created_before"),
		Order: registry.UserOrder(c.choice("order_by", "id", "id", "name", "username", "created_at")), Descending: c.choice("sort", "desc", "asc", "desc") == "desc",
	}
	yes, no := new(true), new(false)
	for _, only := range []struct {
		name  string
		field **bool
		value *bool
	}{
		{"external", &filter.External, yes}, {"exclude_external", &filter.External, no},
		{"humans", &filter.Bot, no}, {"without_project_bots", &filter.Bot, no}, {"exclude_humans", &filter.Bot, yes}, {"admins", &filter.Admin, yes},
	} {
		if c.flag(only.name, false) && (only.name != "admins" || admin) {
			*only.field = only.value
		}
	}
	if filter.Bot == nil && filter.Username == "" && !admin {
		filter.Bot = no
	}
	if c.flag("active", false) {
		filter.State = new(registry.Active)
	}
	if c.flag("blocked", false) {
		filter.State = new(registry.Blocked)
	}
	if c.flag("exclude_active", false) {
		filter.NotState = new(registry.Active)
	}
	pg := c.page()
	keyset, err := c.keyset(filter.Order == registry.ByUserID)
	if keyset {
		filter.After = c.afterID()
	}
	if err := errors.Join(c.wrong(), err); err != nil {
		return err
	}
	filter.Limit, filter.Offset = pg.size, pg.offset()
	if keyset {
		filter.NoTotal, filter.Limit, filter.Offset = true, pg.size+1, 0
	}
	var users []*registry.User
	var total int
	err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		users, total, err = tx.Users(filter)
		return err
	})
	if err != nil {
		return err
	}
	users, next := more(users, func(u *registry.User) int64 { return u.ID }, pg.size) // one more was read by keyset
	// One who is sought by name is answered in full to administrators, as scripts that set up expect.
	var list any = each(users, c.userJSON)
	if admin {
		list = each(users, c.profileJSON)
	}
	if keyset {
		return c.writeKeyset(w, r, next, list)
	}
	return c.writePage(w, r, pg, total, list)
}

func (a *API) createUser(w http.ResponseWriter, r *http.Request) error {
	c, err := a.signedIn(w, r)
	if err != nil {
		return err
	}
	c.atLeastOne("password", "reset_password", "force_random_password")
	password, later := c.text("password", ""), c.flag("reset_password", false) || c.flag("force_random_password", false)
	user := &registry.User{
		Username: c.required("username"), Name: c.required("name"), Email: c.required("email"),
		Admin: c.flag("admin", false), External: c.flag("external", false),
	}
	if err := c.wrong(); err != nil {
		return err
	}
	if err := c.admin(); err != nil {
		return err
	}
	if err := checkUser(user); err != nil {
		return err
	}
	// A random password that nobody is told, or one to be set by a letter that is never sent, is as good as none:
	// until an administrator sets one, the user has only tokens.
	if password != "" || !later {
		if user.PasswordHash, err = hashPassword(password); err != nil {
			return err
		}
	}
	err = a.reg.Store.Write(r.Context(), func(tx registry.Tx) error {
		if err := tx.CreateUser(user); err != nil {
			return err
		}
		return tx.Record(&registry.Event{Name: registry.UserCreated, OfUserID: user.ID, Target: user.Username, Detail: role(user)})
	})
	if err != nil {
		return a.takenUser(r, user, err)
	}
	return writeJSON(w, http.StatusCreated, c.profileJSON(user))
}

// role is what an administrator has made of a user, for people.
func role(u *registry.User) string {
	switch {
	case u.Admin:
		return "administrator"
	case u.External:
		return "external"
	}
	return ""
}

// checkUser checks the fields that are to be stored.
func checkUser(user *registry.User) error {
	if err := registry.ValidPath(user.Username, true); err != nil {
		return invalid("username", "%s", registry.MessageOf(err))
	}
	// The first administrator and bots have none.
	if address, err := mail.ParseAddress(user.Email); (err != nil || address.Address != user.Email) && (user.Email != "" || user.ID == 0) {
		return invalid("email", "is invalid")
	}
	return nil
}

func hashPassword(password string) (string, error) {
	hash, err := registry.HashPassword(password)
	if err != nil {
		err = invalid("password", "%s", strings.TrimPrefix(registry.MessageOf(err), "Password "))
	}
	return hash, err
}

// takenUser turns a conflict into the error that says which of the two is taken. A user's name is also the path of
// their namespace, so that a group may have it.
func (a *API) takenUser(r *http.Request, user *registry.User, conflict error) error {
	if registry.KindOf(conflict) != registry.Conflict {
		return conflict
	}
	return a.reg.Store.Read(r.Context(), func(tx registry.Tx) error {
		switch namespace, err := tx.GroupByPath(user.Username); {
		case err == nil && (user.ID == 0 || namespace.OwnerID != user.ID):
			return refuse(http.StatusConflict, "Username has already been taken")
		case err == nil || registry.KindOf(err) == registry.NotFound:
			return refuse(http.StatusConflict, "Email has already been taken")
		default:
			return err
		}
	})
}

// administered opens a request of an administrator about the user :id, with the parameters that read reads.
func (a *API) administered(w http.ResponseWriter, r *http.Request, read func(*call)) (*call, *registry.User, error) {
	c, err := a.signedIn(w, r)
	if err != nil {
		return nil, nil, err
	}
	id := c.number("id", 0)
	read(c)
	if err := c.wrong(); err != nil {
		return nil, nil, err
	}
	if err := c.admin(); err != nil {
		return nil, nil, err
	}
	user, err := c.view.UserByID(id)
	return c, user, orElse(err, registry.NotFound, errNoUser)
}

// userChange is what a request changes of a user; nil: nothing.
type userChange struct {
	username, name, email, password *string
	admin, external                 *bool
}

func (c *call) userChange() (change userChange) {
	for name, field := range map[string]**string{"username": &change.username, "name": &change.name, "email": &change.email} {
		if c.has(name) {
			*field = new(c.required(name))
		}
	}
	if c.has("password") {
		change.password = new(c.text("password", ""))
	}
	change.admin, change.external = c.maybe("admin"), c.maybe("external")
	return change
}

// apply changes the user and says what it changed, for people. hash is that of the password.
func (change *userChange) apply(u *registry.User, hash string) string {
	var changed []string
	for _, text := range []struct {
		name         string
		field, value *string
	}{{"username", &u.Username, change.username}, {"name", &u.Name, change.name}, {"email", &u.Email, change.email}} {
		if text.value != nil && *text.value != *text.field {
			*text.field = *text.value
			changed = append(changed, text.name)
		}
	}
	for _, flag := range []struct {
		name         string
		field, value *bool
	}{{"admin", &u.Admin, change.admin}, {"external", &u.External, change.external}} {
		if flag.value != nil && *flag.value != *flag.field {
			*flag.field = *flag.value
			changed = append(changed, fmt.Sprintf("%s %t", flag.name, *flag.value))
		}
	}
	if change.password != nil {
		u.PasswordHash, u.Temporary = hash, false
		changed = append(changed, "password")
	}
	return strings.Join(changed, ", ")
}

func (a *API) updateUser(w http.ResponseWriter, r *http.Request) error {
	var change userChange
	c, user, err := a.administered(w, r, func(c *call) { change = c.userChange() })
	if err != nil {
		return err
	}
	hash := ""
	if change.password != nil {
		if hash, err = hashPassword(*change.password); err != nil {
			return err
		}
	}
	id := user.ID
	err = a.reg.Store.Write(r.Context(), func(tx registry.Tx) error {
		if user, err = tx.User(id); err != nil {
			return orElse(err, registry.NotFound, errNoUser)
		}
		before := user.Username
		detail := change.apply(user, hash)
		if user.Bot && (user.Admin || user.PasswordHash != "") {
			return errForbidden // a bot has its token and its membership, and nothing else
		}
		if err := checkUser(user); err != nil {
			return err
		}
		if err := tx.UpdateUser(user); err != nil {
			return err
		}
		if change.password != nil { // whoever came in by the one before
			if err := tx.DeleteSessions(user.ID, 0); err != nil {
				return err
			}
		}
		if err := adminLeft(tx, "User cannot be changed"); err != nil {
			return err
		}
		return tx.Record(&registry.Event{Name: registry.UserChanged, OfUserID: user.ID, Target: before, Detail: detail})
	})
	if err != nil {
		return a.takenUser(r, user, err)
	}
	return writeJSON(w, http.StatusOK, c.profileJSON(user))
}

// adminLeft makes sure, after a change in the same transaction, that the server still has an administrator.
func adminLeft(tx registry.Tx, refusal string) error {
	found, err := tx.HasAdmin()
	if err == nil && !found {
		err = refuse(http.StatusConflict, refusal+": there would be no administrator")
	}
	return err
}

func (a *API) deleteUser(w http.ResponseWriter, r *http.Request) error {
	hard := false
	_, user, err := a.administered(w, r, func(c *call) { hard = c.flag("hard_delete", false) })
	if err != nil {
		return err
	}
	err = a.reg.Store.Write(r.Context(), func(tx registry.Tx) error {
		if err := tx.HoldPlaces(); err != nil {
			return err
		}
		alone, err := tx.OwnedAlone(user.ID)
		if err != nil {
			return err
		}
		if len(alone) > 0 && !hard {
			return refuse(http.StatusConflict, "User cannot be removed: nobody else owns the group "+alone[0].FullPath)
		}
		personal, err := tx.Group(user.NamespaceID)
		if err != nil {
			return orElse(err, registry.NotFound, errNoUser) // somebody was faster
		}
		if packages, err := tx.HasPackages(personal); err != nil {
			return err
		} else if packages && !hard {
			return refuse(http.StatusConflict, "User cannot be removed: there are packages in the namespace "+personal.FullPath)
		}
		for _, group := range alone {
			if err := tx.Record(&registry.Event{Name: registry.GroupDeleted, GroupID: group.ID, Target: group.FullPath, Detail: "with its only owner"}); err != nil {
				return err
			}
			if err := tx.Condemn(group.ID, 0); err != nil {
				return err
			}
		}
		if err := tx.Record(&registry.Event{Name: registry.UserDeleted, OfUserID: user.ID, Target: user.Username}); err != nil {
			return err
		}
		if err := tx.DeleteUser(user.ID); err != nil {
			return orElse(err, registry.NotFound, errNoUser)
		}
		return adminLeft(tx, "User cannot be removed")
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// stateChange is a route that lets a user in or keeps them out.
type stateChange struct {
	verb, summary string
	from          []registry.UserState
	to            registry.UserState
	refusal       string // of users in another state; %s is theirs
}

var stateChanges = []stateChange{
	{"block", "Keep a user out", []registry.UserState{registry.Active, registry.Deactivated, registry.Blocked}, registry.Blocked, "You cannot block %s users."},
	{"unblock", "Let a blocked user in", []registry.UserState{registry.Blocked, registry.Active}, registry.Active, "A %s user cannot be unblocked by the API"},
	{"deactivate", "Keep a user out until they sign in", []registry.UserState{registry.Active, registry.Deactivated}, registry.Deactivated, "A %s user cannot be deactivated by the API"},
	{"activate", "Let a deactivated user in", []registry.UserState{registry.Deactivated, registry.Active}, registry.Active, "A %s user must be unblocked to be activated"},
	{"ban", "Keep a user out for good", []registry.UserState{registry.Active}, registry.Banned, "You cannot ban %s users."},
	{"unban", "Let a banned user in", []registry.UserState{registry.Banned}, registry.Active, "You cannot unban %s users."},
}

func (a *API) changeState(change stateChange) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, user, err := a.administered(w, r, func(*call) {})
		if err != nil {
			return err
		}
		if user.ID == c.who.User.ID && change.to != registry.Active {
			return registry.Errorf(registry.Forbidden, "403 Forbidden - The API initiating user cannot be %s by the API", change.to)
		}
		err = a.reg.Store.Write(r.Context(), func(tx registry.Tx) error {
			user, err := tx.User(user.ID)
			switch {
			case err != nil:
				return orElse(err, registry.NotFound, errNoUser)
			case !slices.Contains(change.from, user.State):
				return registry.Errorf(registry.Forbidden, "403 Forbidden - "+change.refusal, user.State)
			case user.State == change.to:
				return nil
			}
			user.State = change.to
			if err := tx.UpdateUser(user); err != nil {
				return err
			}
			if err := adminLeft(tx, "User cannot be kept out"); err != nil {
				return err
			}
			return tx.Record(&registry.Event{Name: registry.UserChanged, OfUserID: user.ID, Target: user.Username, Detail: user.State.String()})
		})
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusCreated, true)
	}
}

type membershipJSON struct {
	ID    int64          `json:"source_id"`
	Name  string         `json:"source_name"`
	Type  string         `json:"source_type"` // "Project" or "Namespace"
	Level registry.Level `json:"access_level"`
}

func (a *API) listMemberships(w http.ResponseWriter, r *http.Request) error {
	var kind string
	var pg page
	c, user, err := a.administered(w, r, func(c *call) { kind, pg = c.choice("type", "", "Project", "Namespace"), c.page() })
	if err != nil {
		return err
	}
	var memberships []*registry.Membership
	var total int
	err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		memberships, total, err = tx.Memberships(registry.MembershipFilter{UserID: user.ID, Groups: kind != "Project", Projects: kind != "Namespace", Limit: pg.size, Offset: pg.offset()})
		return err
	})
	if err != nil {
		return err
	}
	return c.writePage(w, r, pg, total, each(memberships, func(m *registry.Membership) membershipJSON {
		if m.GroupID != 0 {
			return membershipJSON{m.GroupID, m.Name, "Namespace", m.Level}
		}
		return membershipJSON{m.ProjectID, m.Name, "Project", m.Level}
	}))
}
