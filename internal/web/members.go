package web

import (
	"net/http"
	"slices"
	"strings"

	"packhouse/internal/registry"
)

type membersPage struct {
	Members []memberRow
	Filter  string
	Levels  []registry.Level
	paging
}

type memberRow struct {
	*registry.Member
	User   *registry.User
	Direct bool
	May    bool // the person may change it
	Self   bool
}

var grantable = []registry.Level{registry.Guest, registry.Reporter, registry.Developer, registry.Maintainer, registry.Owner}

// members lists the direct members and those from above, to everybody who is signed in and may know of the place.
func (h *Handler) members(q *request) error {
	if q.who.User == nil {
		return errSignInFirst
	}
	if q.place.Group != nil && q.place.Group.Personal() {
		return errNoPage
	}
	page := membersPage{Filter: q.param("filter"), paging: q.paging(50)}
	for _, level := range grantable {
		if level <= q.place.Level {
			page.Levels = append(page.Levels, level)
		}
	}
	group, project := q.place.IDs()
	above := []int64{}
	if q.place.Project != nil {
		above = q.place.Project.Lineage
	} else {
		above = q.place.Group.Lineage[:len(q.place.Group.Lineage)-1]
	}
	err := q.read(func(tx registry.Tx) error {
		members, total, err := tx.PageMembers(registry.MemberFilter{GroupID: group, ProjectID: project, Above: above, Search: page.Filter, Limit: page.Size, Offset: page.Offset()})
		if err != nil || len(members) == 0 {
			return err
		}
		page.Total = total
		var ids []int64
		for _, m := range members {
			ids = append(ids, m.UserID)
		}
		users, _, err := tx.Users(registry.UserFilter{IDs: ids, Limit: len(ids)})
		if err != nil {
			return err
		}
		for _, m := range members {
			i := slices.IndexFunc(users, func(u *registry.User) bool { return u.ID == m.UserID })
			if i < 0 {
				continue
			}
			r := memberRow{Member: m, User: users[i], Direct: m.GroupID == group && m.ProjectID == project, Self: users[i].ID == q.who.User.ID}
			r.May = r.Direct && q.place.Manages() && !r.User.Bot && m.Level <= q.place.Level
			page.Members = append(page.Members, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return q.render("members", q.title("Members"), page)
}

func (h *Handler) addMember(q *request) error {
	form := q.fields("username", "access_level", "expires_at")
	form.Set("username", strings.TrimPrefix(strings.TrimSpace(form.Get("username")), "@"))
	return q.submit(change{method: http.MethodPost, path: q.place.api() + "/members", form: form, page: h.members, missing: registry.Errorf(registry.Invalid, "There is no such user"),
		done: "The member was added.", to: q.place.Path("members")})
}

func (h *Handler) changeMember(q *request) error {
	return q.submit(change{method: http.MethodPut, path: q.place.api() + "/members/" + q.id("user_id"), form: q.fields("access_level", "expires_at"), page: h.members,
		done: "The member was changed.", to: q.place.Path("members")})
}

func (h *Handler) removeMember(q *request) error {
	to, self := q.place.Path("members"), q.number("user_id") == q.who.User.ID
	if self {
		to = "/"
	}
	switch {
	case q.unsure() && self:
		return q.ask("Leave?", "You lose the rights that you have as a member here. Others can add you again.", "Leave")
	case q.unsure():
		return q.ask("Remove %s?", "They lose the rights that they have as a member here, and so do their tokens.", "Remove")
	}
	return q.submit(change{method: http.MethodDelete, path: q.place.api() + "/members/" + q.id("user_id"), page: h.members, done: "The member was removed.", to: to})
}
