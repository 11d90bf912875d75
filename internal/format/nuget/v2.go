package nuget

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"packhouse/internal/format"
	"packhouse/internal/registry"
)

// V2, below /v2 of both prefixes (OData version 2; the operations are those of NuGet's gallery):
//
//	GET    /v2, /v2/$metadata                      service document and schema, to anybody
//	GET    /v2/Packages()                          versions that a filter selects
//	GET    /v2/Packages(Id='x',Version='1.0')      one version
//	GET    /v2/FindPackagesById()?id='x'           versions of an id
//	GET    /v2/Search()?searchTerm='x'             versions that are listed, of ids that a search finds
//	GET    /v2/GetUpdates()?packageIds='x|y'&…     versions that are newer than those at hand
//	GET    …/$count                                how many there are, as text
//	GET    /v2/package/:id/:version, /v2/package/:id    the package; of the latest version
//	PUT    /v2, /v2/package                        push
//	DELETE /v2/:id/:version, /v2/package/:id/:version   delete, or unlist
//
// Versions of SemVer 2 are for clients that send semVerLevel=2.0.0, but for Packages(Id,Version): who asks for one can read
// it. Which version is the latest is decided among those that a client may see.
func (h *Handler) v2Routes(route func(string, func(http.ResponseWriter, *request) error), project, group string) {
	for _, prefix := range []string{project, group} {
		route("GET "+prefix+"/v2", h.service)
		route("GET "+prefix+"/v2/$metadata", h.schema)
		route("GET "+prefix+"/v2/{call}", h.call)
		route("GET "+prefix+"/v2/{call}/{count}", h.call)
		route("GET "+prefix+"/v2/package/{name}", h.latestNupkg)
		route("GET "+prefix+"/v2/package/{name}/{version}", h.nupkg)
	}
	route("PUT "+project+"/v2", h.push)
	route("PUT "+project+"/v2/package", h.push)
	route("DELETE "+project+"/v2/{name}/{version}", h.remove)
	route("DELETE "+project+"/v2/package/{name}/{version}", h.remove)
}

// Bounds of a feed, in versions.
const (
	feedPage    = 100
	maxTop      = 6000   // what PowerShell asks for at once; it follows no links
	maxSorted   = 10_000 // of a list that is not in the order of ids: up to the end of the page
	maxExamined = 200_000
	maxSought   = 250 // ids

	maxEffort    = 1 << 30 // bytes that expressions look at, in all versions: some seconds
	effortOfPart = 64      // of an expression, besides its text
)

// service answers GET /v2. NuGet before version 3 sends a password to a feed only after this document has asked for it: so it is
// asked where anonymous callers may not read, though there is nothing to hide. It asks for the document before it pushes, too: who
// has a key and no password pushes to /v2/package.
func (h *Handler) service(w http.ResponseWriter, q *request) error {
	if agent := q.UserAgent(); strings.HasPrefix(agent, "NuGet/1.") || strings.HasPrefix(agent, "NuGet/2.") {
		if _, _, _, err := h.List(q.Request, q.at); registry.KindOf(err) == registry.Unauthenticated {
			return err
		}
	}
	return h.fixed(w, q, serviceDocument(q.prefix+"/v2"))
}

// schema answers GET /v2/$metadata.
func (h *Handler) schema(w http.ResponseWriter, q *request) error {
	return h.fixed(w, q, metadataDocument)
}

func (h *Handler) fixed(w http.ResponseWriter, q *request, text []byte) error {
	if _, _, _, err := h.place(q); err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", "application/xml; charset=utf-8")
	header.Set("DataServiceVersion", "2.0")
	http.ServeContent(w, q.Request, "", time.Time{}, bytes.NewReader(text))
	return nil
}

// nupkg answers GET /v2/package/:id/:version.
func (h *Handler) nupkg(w http.ResponseWriter, q *request) error {
	f, v, err := h.findVersion(q)
	if err != nil {
		return err
	}
	return h.file(w, q, f, v, fileName(f.Name, v, ".nupkg"))
}

// latestNupkg answers GET /v2/package/:id: the latest stable version, or else the latest.
func (h *Handler) latestNupkg(w http.ResponseWriter, q *request) error {
	f, err := h.find(q, q.PathValue("name"))
	if err != nil {
		return err
	}
	var latest *feedEntry
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		latest = nil
		packages, err := tx.Packages(f.IDs())
		for _, e := range entriesOf(packages, anyTraits, q.prefix) {
			if e.latest || e.absoluteLatest && latest == nil {
				latest = e
			}
		}
		return err
	})
	if err == nil && latest == nil {
		err = errNoPackage
	}
	if err != nil {
		return err
	}
	return h.file(w, q, f, latest.version, fileName(f.Name, latest.version, ".nupkg"))
}

// ---- what is asked for

// ask is a request for a feed.
type ask struct {
	plan
	search   registry.EntryFilter // the place, and terms
	order    []orderTerm
	skip     int
	top      int // -1: not said
	counted  bool
	onlyNum  bool // /$count
	json     bool
	selected []*property
	semVer2  bool
	unlisted bool                // those that are not listed, too
	updates  map[string][]update // by id; nil: all versions
	newest   bool                // of updates only the newest one
	effort   int64               // so far, see maxEffort
}

// update is a version that a client has.
type update struct {
	from    version
	allowed versionRange
}

// parameters are those of a query string, each once. Not [url.ParseQuery]: it leaves out what it cannot read.
func parameters(raw string) (map[string]string, error) {
	values := map[string]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if errName != nil || errValue != nil {
			return nil, registry.Errorf(registry.Invalid, "the query has %q, which is no escape", clip(strings.ToValidUTF8(pair, "\uFFFD")))
		}
		if name == "" {
			continue
		}
		if _, twice := values[name]; twice && name[0] == '$' {
			return nil, registry.Errorf(registry.Invalid, "%s is given twice", clip(name))
		}
		values[name] = value
	}
	return values, nil
}

// options reads the system options ($filter, …) of OData.
func (a *ask) options(values map[string]string) (filter *node, err error) {
	a.top = -1
	for _, name := range sortedKeys(values) {
		value := values[name]
		switch {
		case name[0] != '$':
		case name == "$filter":
			if strings.TrimSpace(value) != "" {
				filter, err = parseFilter(name, value)
			}
		case name == "$orderby":
			if strings.TrimSpace(value) != "" {
				a.order, err = parseOrder(name, value)
			}
		case name == "$select":
			if strings.TrimSpace(value) != "" {
				a.selected, err = parseSelect(name, value)
			}
		case name == "$skip":
			a.skip, err = natural(name, value)
		case name == "$top":
			a.top, err = natural(name, value)
		case name == "$inlinecount" && (value == "allpages" || value == "none"):
			a.counted = value == "allpages"
		case name == "$count" && (value == "true" || value == "false"): // as of later versions
			a.counted = value == "true"
		case name == "$format" && (value == "atom" || value == "application/atom+xml"):
			a.json = false
		case name == "$format" && (value == "json" || value == "verbosejson" || value == "application/json;odata=verbose"):
			a.json = true
		case name == "$inlinecount", name == "$count", name == "$format":
			err = registry.Errorf(registry.Invalid, "%s has no value %q here", name, clip(strings.ToValidUTF8(value, "\uFFFD")))
		default:
			err = registry.Errorf(registry.Invalid, "the option %q is not supported", clip(strings.ToValidUTF8(name, "\uFFFD")))
		}
		if err != nil {
			return nil, err
		}
	}
	return filter, nil
}

func sortedKeys(values map[string]string) []string {
	var keys []string
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// natural reads a number that is not negative.
func natural(name, text string) (int, error) {
	n, ok := format.Number(strings.TrimSpace(text))
	if !ok {
		return 0, registry.Errorf(registry.Invalid, "%s is not a number", name)
	}
	return int(min(n, maxSkip)), nil
}

// truth reads a Boolean parameter; none is false.
func truth(values map[string]string, name string) (bool, error) {
	switch strings.ToLower(strings.Trim(values[name], "'")) {
	case "true", "1":
		return true, nil
	case "false", "0", "":
		return false, nil
	}
	return false, registry.Errorf(registry.Invalid, "%s is neither true nor false", name)
}

// invalidAs makes an error about parameters one in GitLab's words.
func invalidAs(err error) error {
	if registry.KindOf(err) == registry.Invalid && !strings.HasPrefix(registry.MessageOf(err), "400 ") {
		return registry.Errorf(registry.Invalid, "400 Bad request - %s", registry.MessageOf(err))
	}
	return err
}

// call answers GET /v2/:call and GET /v2/:call/$count.
func (h *Handler) call(w http.ResponseWriter, q *request) error {
	count := q.PathValue("count")
	if count != "" && count != "$count" {
		return errNoOperation
	}
	c, err := parseCall(q.PathValue("call"))
	if err != nil {
		return invalidAs(err)
	}
	a, err := askOf(q, c)
	switch {
	case err != nil:
		return invalidAs(err)
	case len(c.args) > 0 && count != "":
		return errNoOperation
	case len(c.args) > 0:
		return h.single(w, q, a, c.args)
	}
	a.onlyNum = count != ""
	return h.list(w, q, c.name, a)
}

var errNoOperation = registry.Errorf(registry.NotFound, "404 Not Found")

// askOf reads what a call asks for. Packages of one package has its parameters in the call.
func askOf(q *request, c call) (*ask, error) {
	values, err := parameters(q.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	a := &ask{json: wantsJSON(q.Header), semVer2: knowsSemVer2(strings.Trim(values["semVerLevel"], "'"))}
	filter, err := a.options(values)
	if err != nil {
		return nil, err
	}
	a.plan = planOf(filter)
	switch c.name {
	case "Packages":
		a.unlisted = true
	case "FindPackagesById":
		a.unlisted = true
		var id string
		id, err = parseArgument("id", values["id"])
		if err == nil && !validID(id) {
			err = registry.Errorf(registry.Invalid, "id is invalid")
		}
		a.ids = intersect(a.ids, []string{normalizeID(id)})
	case "Search":
		err = a.searchOf(values)
	case "GetUpdates":
		err = a.updatesOf(values)
	default:
		return nil, errNoOperation
	}
	a.ids = slices.DeleteFunc(a.ids, func(id string) bool { return !validID(id) }) // nobody has them
	switch {
	case err != nil:
	case len(c.args) > 0 && c.name != "Packages":
		err = registry.Errorf(registry.Invalid, "%s has its parameters in the query", c.name)
	case len(a.ids) > maxSought:
		err = registry.Errorf(registry.Invalid, "more than %d ids are asked for", maxSought)
	case !a.byID() && len(a.ids) != 1 && a.skip+a.limit() > maxSorted:
		err = registry.Errorf(registry.Invalid, "$orderby other than by Id reaches %d packages", maxSorted)
	}
	return a, err
}

// wantsJSON tells whether Accept names JSON and nothing else that a feed could be.
func wantsJSON(header http.Header) bool {
	accept := strings.Join(header["Accept"], ",")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "xml") && !strings.Contains(accept, "*/*")
}

// searchOf reads the parameters of Search(). targetFramework narrows nothing: a client tells by the dependencies what fits.
func (a *ask) searchOf(values map[string]string) error {
	text, err := parseArgument("searchTerm", values["searchTerm"])
	if err != nil {
		return err
	}
	prerelease, err := truth(values, "includePrerelease")
	if err != nil {
		return err
	}
	a.listed, a.stable = true, a.stable || !prerelease
	for _, word := range strings.Fields(text) {
		field, rest, _ := strings.Cut(word, ":")
		rest = strings.Trim(rest, `"`)
		switch strings.ToLower(field) {
		case "packageid":
			a.ids = intersect(a.ids, []string{normalizeID(rest)})
			continue
		case "id", "title", "tags", "tag", "description", "summary", "author", "authors", "owner", "owners":
			if rest != "" {
				a.also(fieldCondition(strings.ToLower(field), rest))
				continue
			}
		}
		if word = strings.Trim(word, `*"`); word != "" { // PowerShell's wildcards
			a.search.Terms = append(a.search.Terms, word)
		}
	}
	if len(a.search.Terms) > maxTerms {
		return registry.Errorf(registry.Invalid, "searchTerm has more than %d words", maxTerms)
	}
	return nil
}

// fieldCondition is that a text occurs in a property; a tag is the whole of one.
func fieldCondition(field, text string) *node {
	name := map[string]string{"tag": "Tags", "author": "Authors", "owner": "Owners"}[field]
	if name == "" {
		name = field
	}
	property := propertyByName(name)
	if property.name == "Tags" {
		text = " " + text + " "
	}
	return &node{op: "substringof", kind: boolKind, args: []*node{
		{op: "literal", kind: textKind, value: value{kind: textKind, text: text}},
		{op: "property", kind: property.kind, property: property}}}
}

// also adds a condition.
func (a *ask) also(n *node) {
	if a.rest != nil {
		n = &node{op: "and", args: []*node{a.rest, n}, kind: boolKind}
	}
	a.rest = n
}

// updatesOf reads the parameters of GetUpdates().
func (a *ask) updatesOf(values map[string]string) error {
	lists := map[string][]string{}
	for _, name := range []string{"packageIds", "versions", "versionConstraints"} {
		text, err := parseArgument(name, values[name])
		if err != nil {
			return err
		}
		if strings.Trim(text, "|") != "" || name != "versionConstraints" {
			lists[name] = strings.Split(text, "|")
		}
	}
	ids, versions, ranges := lists["packageIds"], lists["versions"], lists["versionConstraints"]
	if len(ids) != len(versions) || ranges != nil && len(ranges) != len(ids) {
		return registry.Errorf(registry.Invalid, "packageIds, versions and versionConstraints have %d, %d and %d parts", len(ids), len(versions), len(ranges))
	}
	if len(ids) > maxSought {
		return registry.Errorf(registry.Invalid, "more than %d ids are asked for", maxSought)
	}
	prerelease, err := truth(values, "includePrerelease")
	if err != nil {
		return err
	}
	all, err := truth(values, "includeAllVersions")
	if err != nil {
		return err
	}
	a.listed, a.stable, a.newest = true, a.stable || !prerelease, !all
	a.updates = map[string][]update{}
	sought := []string{}
	for i, id := range ids {
		if id == "" && len(ids) == 1 {
			break
		}
		one := update{}
		var ok bool
		if !validID(id) {
			return registry.Errorf(registry.Invalid, "packageIds has %q, which is no id", clip(id))
		}
		if one.from, ok = parseVersion(versions[i]); !ok {
			return registry.Errorf(registry.Invalid, "versions has %q, which is no version", clip(versions[i]))
		}
		if ranges != nil {
			if one.allowed, ok = parseRange(ranges[i]); !ok {
				return registry.Errorf(registry.Invalid, "versionConstraints has %q, which is no range of versions", clip(ranges[i]))
			}
		}
		id = normalizeID(id)
		a.updates[id] = append(a.updates[id], one)
		sought = append(sought, id)
	}
	slices.Sort(sought)
	a.ids = intersect(a.ids, slices.Compact(sought))
	return nil
}

// byID tells whether the order is that of ids.
func (a *ask) byID() bool {
	return len(a.order) == 0 || len(a.order) == 1 && a.order[0].node.isID()
}

// limit is how many versions the page has at most.
func (a *ask) limit() int {
	if a.top < 0 {
		return feedPage
	}
	return min(a.top, maxTop)
}

// within are the traits that versions may have.
func (a *ask) within() (t registry.Traits) {
	if !a.stable {
		t |= registry.Prerelease
	}
	if a.semVer2 {
		t |= registry.SemVer2
	}
	return t
}

// seen are the traits of the versions among which the latest is found.
func (a *ask) seen() registry.Traits {
	if a.semVer2 {
		return anyTraits
	}
	return registry.Prerelease
}

// ---- answers

// single answers GET /v2/Packages(Id='x',Version='v').
func (h *Handler) single(w http.ResponseWriter, q *request, a *ask, args map[string]string) error {
	v, ok := parseVersion(args["version"])
	if len(args) != 2 || !validID(args["id"]) || !ok {
		return invalidAs(registry.Errorf(registry.Invalid, "Packages has Id and Version of one package"))
	}
	f, err := h.find(q, args["id"])
	if err != nil {
		return err
	}
	var found *feedEntry
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		found = nil
		packages, err := tx.Packages(f.IDs())
		if err != nil {
			return err
		}
		for _, e := range entriesOf(packages, anyTraits, q.prefix) {
			if e.VersionKey == v.key() {
				found = e
				return fill(tx, []*feedEntry{e})
			}
		}
		return nil
	})
	if err == nil && (found == nil || found.file == nil) {
		err = errNoPackage
	}
	if err != nil {
		return err
	}
	feed := &feed{prefix: q.prefix, selected: a.selected}
	layout := a.layout(true)
	var b bytes.Buffer
	layout.open(&b, feed)
	layout.entry(&b, feed, found)
	layout.close(&b, feed)
	a.head(w, layout.contentType(true))
	w.Write(b.Bytes())
	return nil
}

func (a *ask) layout(alone bool) layout {
	if a.json {
		return &verbose{alone: alone}
	}
	return atom{alone}
}

func (a *ask) head(w http.ResponseWriter, contentType string) {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("DataServiceVersion", "2.0")
	header.Set("Cache-Control", "private, max-age=0, must-revalidate")
	header.Set("Vary", "Accept, Authorization")
}

// list answers a feed: first it is found out which versions are on the page, then they are read and written some at a time.
func (h *Handler) list(w http.ResponseWriter, q *request, title string, a *ask) error {
	names, err := h.reach(q, a)
	if err != nil {
		return err
	}
	var page []int64
	var total int
	more := false
	err = h.Registry.Store.Read(q.Context(), func(tx registry.Tx) error {
		page, total, more, err = a.page(tx, names, q.prefix)
		return err
	})
	if err != nil {
		return invalidAs(err)
	}
	if a.onlyNum {
		n := max(total-a.skip, 0)
		if a.top >= 0 {
			n = min(n, a.top)
		}
		a.head(w, "text/plain;charset=utf-8")
		w.Write([]byte(strconv.Itoa(n)))
		return nil
	}
	f := &feed{prefix: q.prefix, title: title, self: q.prefix + "/v2/" + title, count: total, counted: a.counted, selected: a.selected, updated: time.Now()}
	if more && (a.top < 0 || a.top > maxTop) {
		f.next = nextPage(q, len(page), a)
	}
	layout := a.layout(false)
	var b bytes.Buffer
	layout.open(&b, f)
	begun := false
	for chunk := range slices.Chunk(page, feedPage) {
		var entries []*feedEntry
		err := h.Registry.Store.Read(q.Context(), func(tx registry.Tx) (err error) {
			entries, err = a.read(tx, names, chunk, q.prefix)
			return err
		})
		if err != nil {
			if begun {
				panic(http.ErrAbortHandler) // half a feed must not pass for a whole one
			}
			return err
		}
		for _, e := range entries {
			layout.entry(&b, f, e)
		}
		if !begun {
			a.head(w, layout.contentType(false))
			begun = true
		}
		w.Write(b.Bytes()) // an error is the client's hanging up
		b.Reset()
	}
	layout.close(&b, f)
	if !begun {
		a.head(w, layout.contentType(false))
	}
	w.Write(b.Bytes())
	return nil
}

// nextPage is the URL of the page that follows: the request's own, with other $skip and $top.
func nextPage(q *request, length int, a *ask) string {
	var pairs []string
	for pair := range strings.SplitSeq(q.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if name, _ = url.QueryUnescape(name); name != "$skip" && name != "$top" && pair != "" {
			pairs = append(pairs, pair)
		}
	}
	pairs = append(pairs, "$skip="+strconv.Itoa(a.skip+length))
	if a.top >= 0 {
		pairs = append(pairs, "$top="+strconv.Itoa(a.top-length))
	}
	_, path, _ := strings.Cut(q.URL.EscapedPath(), "/packages/nuget")
	return q.prefix + path + "?" + strings.Join(pairs, "&")
}
