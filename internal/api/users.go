package api

import (
	"net/http"
	"net/mail"
	"strings"

	"packhouse/internal/registry"
)

func (a *API) userRoutes() []route {
	return []route{
		{"GET /user", a.currentUser, operation{tag: "Users", summary: "The caller", out: profileJSON{}}},
		{"GET /users", a.listUsers, operation{tag: "Users", summary: "Users", out: []profileJSON{},
			in: append([]param{inText("username")}, inPages...)}},
		{"POST /users", a.createUser, operation{tag: "Users", summary: "Create a user, as an administrator", out: profileJSON{}, also: []int{http.StatusConflict},
			in: []param{inName("username").must(), inName("name").must(), inName("email").must(), inText("password"),
				inFlag("reset_password"), inFlag("force_random_password"), inFlag("admin"), inFlag("external")}}},
		{"GET /users/{id}", a.showUser, operation{tag: "Users", summary: "A user", out: profileJSON{}}},
	}
}

// userJSON is a user as everybody who is signed in may see them.
type userJSON struct {
	ID        int64   `json:"id"`
	Username  string  `json:"username"`
	Name      string  `json:"name"`
	State     string  `json:"state"` // "active" or "blocked"
	Locked    bool    `json:"locked"`
	AvatarURL *string `json:"avatar_url"`
	WebURL    string  `json:"web_url"`
}

func (c *call) userJSON(u *registry.User) userJSON {
	state := "active"
	if u.Blocked {
		state = "blocked"
	}
	return userJSON{ID: u.ID, Username: u.Username, Name: u.Name, State: state, WebURL: c.base + "/" + u.Username}
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

func (c *call) profileJSON(u *registry.User) profileJSON {
	p := profileJSON{userJSON: c.userJSON(u), CreatedAt: timestamp(u.CreatedAt), Bot: u.Bot}
	if c.who.User.ID == u.ID || c.who.User.Admin {
		p.Email, p.CommitEmail = &u.Email, &u.Email
		p.External, p.TwoFactorEnabled, p.NamespaceID = &u.External, new(bool), &u.NamespaceID
		p.CanCreateGroup, p.CanCreateProject = new(!u.External), new(!u.External)
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
	username, pg := c.text("username", ""), c.page()
	if err := c.wrong(); err != nil {
		return err
	}
	var users []*registry.User
	var total int
	err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) (err error) {
		users, total, err = tx.Users(registry.UserFilter{Username: username, Limit: pg.size, Offset: pg.offset()})
		return err
	})
	if err != nil {
		return err
	}
	// One who is sought by name is answered in full to administrators, as scripts that set up expect.
	if c.who.User.Admin {
		return c.writePage(w, r, pg, total, each(users, c.profileJSON))
	}
	return c.writePage(w, r, pg, total, each(users, c.userJSON))
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
	if err := registry.ValidPath(user.Username, true); err != nil {
		return invalid("username", "%s", registry.MessageOf(err))
	}
	if address, err := mail.ParseAddress(user.Email); err != nil || address.Address != user.Email {
		return invalid("email", "is invalid")
	}
	// A random password that nobody is told, or one to be set by a letter that is never sent, is as good as none:
	// until an administrator sets one, the user has only tokens.
	if password != "" || !later {
		if user.PasswordHash, err = registry.HashPassword(password); err != nil {
			return invalid("password", "%s", strings.TrimPrefix(registry.MessageOf(err), "Password "))
		}
	}
	err = a.reg.Store.Write(r.Context(), func(tx registry.Tx) error { return tx.CreateUser(user) })
	if registry.KindOf(err) == registry.Conflict {
		// Which of the two it was. A user's name is also the path of their namespace, so that a group may have it.
		err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) error {
			_, err := tx.GroupByPath(user.Username)
			return err
		})
		switch {
		case err == nil:
			return refuse(http.StatusConflict, "Username has already been taken")
		case registry.KindOf(err) == registry.NotFound:
			return refuse(http.StatusConflict, "Email has already been taken")
		}
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, c.profileJSON(user))
}
