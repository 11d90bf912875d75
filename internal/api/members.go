package api

import (
	"net/http"
	"strconv"
	"time"

	"packhouse/internal/registry"
)

// maxNewMembers bounds how many members one request adds.
const maxNewMembers = 100

func (a *API) memberRoutes() (routes []route) {
	for prefix, in := range places {
		routes = append(routes,
			route{"GET " + prefix + "/members", a.listMembers(in), operation{tag: "Members", summary: "Direct members", out: []memberJSON{}, in: inPages}},
			route{"POST " + prefix + "/members", a.createMember(in), operation{tag: "Members", summary: "Add members", out: memberJSON{}, also: []int{http.StatusConflict},
				in: []param{inText("user_id").says("ids, with commas between"), inText("username").says("names, with commas between"), inNumber("access_level").must(), inDate("expires_at")}}},
		)
	}
	return routes
}

type memberJSON struct {
	userJSON
	Level     registry.Level `json:"access_level"`
	CreatedAt timestamp      `json:"created_at"`
	ExpiresAt date           `json:"expires_at"`
	State     string         `json:"membership_state"`
}

func (c *call) memberJSON(m *registry.Member, u *registry.User) memberJSON {
	return memberJSON{c.userJSON(u), m.Level, timestamp(m.CreatedAt), date(m.ExpiresAt), "active"}
}

func (a *API) listMembers(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		pg := c.page()
		if err := c.wrong(); err != nil {
			return err
		}
		place, err := in(c)
		if err != nil {
			return err
		}
		var total int
		list := []memberJSON{}
		err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) error {
			members, n, err := tx.PageMembers(place.groupID, place.projectID, pg.size, pg.offset())
			if err != nil {
				return err
			}
			var ids []int64
			for _, m := range members {
				ids = append(ids, m.UserID)
			}
			users, _, err := tx.Users(registry.UserFilter{IDs: ids, Limit: len(ids)})
			if err != nil {
				return err
			}
			total = n
			for i, m := range members { // both are in the order of users
				list = append(list, c.memberJSON(m, users[i]))
			}
			return nil
		})
		if err != nil {
			return err
		}
		return c.writePage(w, r, pg, total, list)
	}
}

// createMember adds one user, or several with commas between, of whom either all or none become members.
func (a *API) createMember(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		c.exactlyOne("user_id", "username")
		by := "user_id"
		if c.has("username") {
			by = "username"
		}
		names := c.list(by)
		if names != nil && len(names) == 0 {
			c.problem(by + " is invalid")
		}
		level, expires := registry.Level(c.requiredNumber("access_level")), c.date("expires_at")
		if err := c.wrong(); err != nil {
			return err
		}
		place, err := in(c)
		if err != nil {
			return err
		}
		if err := c.may(place.level, place.manage); err != nil {
			return err
		}
		switch {
		case !level.Grantable():
			return invalid("access_level", "is not included in the list")
		case level > place.level:
			return errForbidden // nobody gives more than they have
		case !expires.IsZero() && expires.Before(time.Now().Truncate(24*time.Hour)):
			return invalid("expires_at", "cannot be a date in the past")
		case len(names) > maxNewMembers:
			return refuse(http.StatusBadRequest, "Too many users specified (limit is "+strconv.Itoa(maxNewMembers)+")")
		}
		var last memberJSON
		err = a.reg.Store.Write(r.Context(), func(tx registry.Tx) error {
			for _, name := range names {
				user, err := findUser(tx, by, name)
				if err != nil {
					return orElse(err, registry.NotFound, errNoUser)
				}
				inherited, _, err := tx.EffectiveLevel(user.ID, 0, place.above)
				if err != nil {
					return err
				}
				if level < inherited {
					return invalid("access_level", "should be greater than or equal to the inherited level, which is %d", inherited)
				}
				member := &registry.Member{UserID: user.ID, GroupID: place.groupID, ProjectID: place.projectID, Level: level, ExpiresAt: expires}
				if err := tx.CreateMember(member); err != nil {
					return orElse(err, registry.Conflict, refuse(http.StatusConflict, "Member already exists"))
				}
				last = c.memberJSON(member, user)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(names) > 1 {
			return writeJSON(w, http.StatusCreated, map[string]string{"status": "success"})
		}
		return writeJSON(w, http.StatusCreated, last)
	}
}

func findUser(tx registry.Tx, by, name string) (*registry.User, error) {
	if by == "username" {
		return tx.UserByUsername(name)
	}
	id, err := strconv.ParseInt(name, 10, 64)
	if err != nil {
		return nil, errNoUser
	}
	return tx.User(id)
}
