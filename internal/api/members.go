package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"packhouse/internal/registry"
)

// maxNewMembers bounds how many members one request adds.
const maxNewMembers = 100

func (a *API) memberRoutes() (routes []route) {
	const tag = "Members"
	filters := append([]param{inText("query").says("part of a user name or name"), inIDs("user_ids"), inIDs("skip_users")}, inPages...)
	level, expires := inNumber("access_level").must(), inDate("expires_at")
	for prefix, in := range places {
		prefix += "/members"
		for _, list := range []struct {
			path, summary string
			inherited     bool
		}{{"", "direct", false}, {"/all", "direct or inherited, with their highest level", true}} {
			routes = append(routes,
				route{"GET " + prefix + list.path, a.listMembers(in, list.inherited), operation{tag: tag, summary: "Members, " + list.summary, out: []memberJSON{}, in: filters}},
				route{"GET " + prefix + list.path + "/{user_id}", a.showMember(in, list.inherited), operation{tag: tag, summary: "A member, " + list.summary, out: memberJSON{}}},
			)
		}
		routes = append(routes,
			route{"POST " + prefix, a.createMember(in), operation{tag: tag, summary: "Add members", out: memberJSON{}, also: []int{http.StatusConflict},
				in: []param{inText("user_id").says("ids, with commas between"), inText("username").says("names, with commas between"), level, expires}}},
			route{"PUT " + prefix + "/{user_id}", a.updateMember(in), operation{tag: tag, summary: "Change a member", out: memberJSON{}, in: []param{level, expires}}},
			route{"DELETE " + prefix + "/{user_id}", a.deleteMember(in), operation{tag: tag, summary: "Remove a member, or leave",
				in: []param{inFlag("skip_subresources").says("keep the memberships below the group")}}},
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

// filter selects the members of a place.
func (p *place) filter(inherited bool) registry.MemberFilter {
	f := registry.MemberFilter{GroupID: p.groupID, ProjectID: p.projectID}
	if inherited {
		f.Above = p.above
	}
	return f
}

// event is one of a place.
func (p *place) event(name, target, detail string) *registry.Event {
	return &registry.Event{Name: name, ProjectID: p.projectID, GroupID: p.groupID, Target: target, Detail: detail}
}

func (a *API) listMembers(in finder, inherited bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		query, users, skip, pg := c.text("query", ""), c.ids("user_ids"), c.ids("skip_users"), c.page()
		if err := c.wrong(); err != nil {
			return err
		}
		place, err := in(c)
		if err != nil {
			return err
		}
		f := place.filter(inherited)
		f.Search, f.UserIDs, f.SkipUsers, f.Limit, f.Offset = query, users, skip, pg.size, pg.offset()
		list, total, err := a.members(c, r, f)
		if err != nil {
			return err
		}
		return c.writePage(w, r, pg, total, list)
	}
}

func (a *API) members(c *call, r *http.Request, f registry.MemberFilter) (list []memberJSON, total int, err error) {
	list = []memberJSON{}
	err = a.reg.Store.Read(r.Context(), func(tx registry.Tx) error {
		members, n, err := tx.PageMembers(f)
		if err != nil || len(members) == 0 {
			total = n
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
	return list, total, err
}

func (a *API) showMember(in finder, inherited bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		id := c.number("user_id", 0)
		if err := c.wrong(); err != nil {
			return err
		}
		place, err := in(c)
		if err != nil {
			return err
		}
		f := place.filter(inherited)
		f.UserIDs, f.Limit = []int64{id}, 1
		list, _, err := a.members(c, r, f)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return errNotFound
		}
		return writeJSON(w, http.StatusOK, list[0])
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
		place, err := c.place(in, manage)
		if err != nil {
			return err
		}
		if err := place.grantable(level, expires); err != nil {
			return err
		}
		if len(names) > maxNewMembers {
			return refuse(http.StatusBadRequest, "Too many users specified (limit is "+strconv.Itoa(maxNewMembers)+")")
		}
		var last memberJSON
		err = a.reg.Store.Write(r.Context(), func(tx registry.Tx) error {
			for _, name := range names {
				user, err := findUser(tx, by, name)
				if err != nil {
					return orElse(err, registry.NotFound, errNoUser)
				}
				if user.Bot {
					return refuse(http.StatusBadRequest, map[string][]string{"user": {"project bots cannot be added to other groups / projects"}})
				}
				if err := place.aboveInherited(tx, user.ID, level); err != nil {
					return err
				}
				member := &registry.Member{UserID: user.ID, GroupID: place.groupID, ProjectID: place.projectID, Level: level, ExpiresAt: expires}
				if err := tx.CreateMember(member); err != nil {
					return orElse(err, registry.Conflict, refuse(http.StatusConflict, "Member already exists"))
				}
				if err := tx.Record(place.event(registry.MemberAdded, user.Username, member.Terms())); err != nil {
					return err
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

// grantable checks what a membership is to be.
func (p *place) grantable(level registry.Level, expires time.Time) error {
	switch {
	case !level.Grantable():
		return invalid("access_level", "is not included in the list")
	case level > p.level:
		return errForbidden // nobody gives more than they have
	case !expires.IsZero() && expires.Before(time.Now().Truncate(24*time.Hour)):
		return invalid("expires_at", "cannot be a date in the past")
	}
	return nil
}

// aboveInherited refuses a level that would change nothing, because the user has a higher one from above.
func (p *place) aboveInherited(tx registry.Tx, user int64, level registry.Level) error {
	inherited, _, err := tx.EffectiveLevel(user, 0, p.above)
	if err == nil && level < inherited {
		err = invalid("access_level", "should be greater than or equal to the inherited level, which is %d", inherited)
	}
	return err
}

// member finds a direct member whom the caller may change or remove: nobody reaches above their own level, and a bot
// comes and goes with its token.
func (c *call) member(tx registry.Tx, p *place, id int64) (*registry.Member, *registry.User, error) {
	f := p.filter(false)
	f.UserIDs, f.Limit = []int64{id}, 1
	members, _, err := tx.PageMembers(f)
	if err != nil {
		return nil, nil, err
	}
	if len(members) == 0 {
		return nil, nil, errNotFound
	}
	user, err := tx.User(id)
	if err == nil && (user.Bot || members[0].Level > p.level) {
		err = errForbidden
	}
	return members[0], user, err
}

// owned makes sure, after a change in the same transaction, that a group still has an owner, be it from above.
func (p *place) owned(tx registry.Tx) error {
	if p.groupID == 0 {
		return nil
	}
	found, err := tx.HasOwner(append(slices.Clone(p.above), p.groupID))
	if err == nil && !found {
		err = registry.Errorf(registry.Forbidden, "403 Forbidden - the last owner of a group cannot be removed or lowered")
	}
	return err
}

func (a *API) updateMember(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		id, level, expires, ends := c.number("user_id", 0), registry.Level(c.requiredNumber("access_level")), c.date("expires_at"), c.has("expires_at")
		place, err := c.place(in, manage)
		if err != nil {
			return err
		}
		if err := place.grantable(level, expires); err != nil {
			return err
		}
		var changed memberJSON
		err = a.reg.Store.Write(r.Context(), func(tx registry.Tx) error {
			member, user, err := c.member(tx, place, id)
			if err != nil {
				return err
			}
			if err := place.aboveInherited(tx, id, level); err != nil {
				return err
			}
			owner := member.Level == registry.Owner
			longer := ends && !member.ExpiresAt.IsZero() && (expires.IsZero() || expires.After(member.ExpiresAt))
			if longer && id == c.who.User.ID && !c.who.User.Admin {
				return errForbidden // who was let in for a time does not stay for longer by their own word
			}
			member.Level = level
			if ends {
				member.ExpiresAt = expires
			}
			if err := tx.UpdateMember(member); err != nil {
				return err
			}
			if owner && (level < registry.Owner || !member.ExpiresAt.IsZero()) {
				if err := place.owned(tx); err != nil {
					return err
				}
			}
			changed = c.memberJSON(member, user)
			return tx.Record(place.event(registry.MemberChanged, user.Username, member.Terms()))
		})
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, changed)
	}
}

func (a *API) deleteMember(in finder) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.signedIn(w, r)
		if err != nil {
			return err
		}
		id, keep := c.number("user_id", 0), c.flag("skip_subresources", false)
		if err := c.wrong(); err != nil {
			return err
		}
		place, err := in(c)
		if err != nil {
			return err
		}
		if id != c.who.User.ID { // everybody may leave
			if err := c.may(place.level, place.manage); err != nil {
				return err
			}
		}
		err = a.reg.Store.Write(r.Context(), func(tx registry.Tx) error {
			member, user, err := c.member(tx, place, id)
			if err != nil {
				return err
			}
			if err := tx.DeleteMember(member); err != nil {
				return err
			}
			if member.Level == registry.Owner {
				if err := place.owned(tx); err != nil {
					return err
				}
			}
			if place.groupID != 0 && !keep {
				if err := tx.DeleteMembersBelow(id, append(slices.Clone(place.above), place.groupID)); err != nil {
					return err
				}
			}
			return tx.Record(place.event(registry.MemberRemoved, user.Username, ""))
		})
		if err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
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
