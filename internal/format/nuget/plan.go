package nuget

import (
	"slices"
)

// plan is a filter in the parts that the store can select by, and the rest.
type plan struct {
	ids            []string // in lower case: only these; nil: any
	latest         bool     // only the latest stable version of each id
	absoluteLatest bool     // only the latest version of each id
	stable         bool     // only versions without labels
	listed         bool     // only listed ones
	rest           *node    // what else must hold; nil: nothing
}

// planOf takes apart the conditions that a filter joins with "and".
func planOf(filter *node) (p plan) {
	var rest []*node
	for _, term := range conjunction(filter) {
		ids, some := term.ids()
		if some {
			p.ids = intersect(p.ids, ids)
		}
		name, is := term.isFlag()
		switch {
		case some && term.onlyIDs():
		case name == "IsLatestVersion" && is:
			p.latest = true
		case name == "IsAbsoluteLatestVersion" && is:
			p.absoluteLatest = true
		case name == "IsPrerelease" && !is && name != "":
			p.stable = true
		case name == "Listed" && is:
			p.listed = true
		default:
			rest = append(rest, term)
		}
	}
	switch len(rest) {
	case 0:
	case 1:
		p.rest = rest[0]
	default:
		p.rest = &node{op: "and", args: rest, kind: boolKind}
	}
	return p
}

// conjunction lists the conditions that "and" joins.
func conjunction(n *node) []*node {
	if n == nil {
		return nil
	}
	if n.op != "and" {
		return []*node{n}
	}
	var terms []*node
	for _, arg := range n.args {
		terms = append(terms, conjunction(arg)...)
	}
	return terms
}

// intersect are the ids in both; a nil a has all.
func intersect(a, b []string) []string {
	if a == nil {
		return b
	}
	return slices.DeleteFunc(slices.Clone(a), func(id string) bool { return !slices.Contains(b, id) })
}

// ids are those, in lower case and each once, of which one must be a package's for the condition to hold. ok: there are such.
func (n *node) ids() (ids []string, ok bool) {
	switch n.op {
	case "eq":
		for _, sides := range [][2]*node{{n.args[0], n.args[1]}, {n.args[1], n.args[0]}} {
			if sides[0].isID() && sides[1].op == "literal" && sides[1].kind == textKind {
				return []string{normalizeID(sides[1].value.text)}, true
			}
		}
	case "or":
		ids = []string{}
		for _, arg := range n.args {
			some, all := arg.ids()
			if !all {
				return nil, false
			}
			ids = append(ids, some...)
		}
		slices.Sort(ids)
		return slices.Compact(ids), true
	case "and":
		for _, arg := range n.args {
			if some, is := arg.ids(); is {
				ids, ok = intersect(ids, some), true
			}
		}
	}
	return ids, ok
}

// onlyIDs tells whether nothing else is said than what ids has.
func (n *node) onlyIDs() bool {
	if n.op == "and" || n.op == "or" {
		return !slices.ContainsFunc(n.args, func(arg *node) bool { return !arg.onlyIDs() })
	}
	_, ok := n.ids()
	return ok
}

// isID tells whether an expression is the id, in whatever case.
func (n *node) isID() bool {
	if (n.op == "tolower" || n.op == "toupper") && len(n.args) == 1 {
		return n.args[0].isID()
	}
	return n.op == "property" && n.property.name == "Id"
}

// isFlag tells of "Flag", "Flag eq true", "not Flag" and "Flag eq false" which property it is, and what it must be.
func (n *node) isFlag() (name string, is bool) {
	switch n.op {
	case "property":
		if n.kind == boolKind {
			return n.property.name, true
		}
	case "not":
		name, is = n.args[0].isFlag()
		return name, !is
	case "eq", "ne":
		for _, sides := range [][2]*node{{n.args[0], n.args[1]}, {n.args[1], n.args[0]}} {
			if v := sides[1]; v.op == "literal" && v.kind == boolKind {
				name, is = sides[0].isFlag()
				return name, is == (v.value.flag == (n.op == "eq"))
			}
		}
	}
	return "", false
}
