package web

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"html/template"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"
	nethtml "golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// A readme is whatever its publisher has put there. What comes of it is text with a few plain elements: nothing that runs, that
// loads anything from elsewhere, that looks like a part of this page, or that a script or a style of this page takes for its own.

// maxReadme is the length in bytes up to which a readme is laid out; one that is longer is shown as text, and cut.
const (
	maxReadme = 128 << 10
	maxPlain  = 512 << 10
)

var markdown = goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe())) // what is unsafe goes afterwards

// clean is what may be left of HTML. There are no attributes but those of links, tables and lists: no id, class or style.
var clean = func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "pre", "code", "kbd", "samp", "em", "strong", "b", "i", "del", "s", "sub", "sup",
		"table", "thead", "tbody", "tr", "th", "td", "details", "summary")
	p.AllowAttrs("align").Matching(bluemonday.CellAlign).OnElements("th", "td")
	p.AllowAttrs("start").Matching(bluemonday.Integer).OnElements("ol")
	p.AllowAttrs("alt", "src").OnElements("img")
	p.AllowAttrs("href").OnElements("a")
	p.AllowURLSchemes("http", "https", "mailto")
	p.AllowRelativeURLs(false)
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.RequireParseableURLs(true)
	return p
}()

// Laying a paragraph out takes time in proportion to the square of what may begin or end something in it, and a line to the square of
// the quotes and lists that it is nested in. A text that has more than this is not one for people.
const (
	maxSigns   = 2000 // in lines without an empty one between
	maxNesting = 30
)

// nesting is what a line begins with that puts it into quotes and lists.
var nesting = regexp.MustCompile(`^(?:[ \t]*(?:>|(?:[-+*]|[0-9]{1,9}[.)])[ \t]))+`)

// tame tells whether a text is laid out in little time.
func tame(text string) bool {
	signs := 0
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			signs = 0
			continue
		}
		for i := range len(line) {
			switch line[i] {
			case '[', ']', '(', ')', '*', '_', '~', '`', '<', '>', '!', '&', '\\', '|':
				signs++
			}
		}
		if signs > maxSigns || len(nest.FindAllString(nesting.FindString(line), maxNesting+1)) > maxNesting {
			return false
		}
	}
	return true
}

var nest = regexp.MustCompile(`>|[-+*.)]`)

// boxes are those of lists of tasks: signs, as fields of forms do not stay.
var boxes = strings.NewReplacer(`<input checked="" disabled="" type="checkbox">`, "☑", `<input disabled="" type="checkbox">`, "☐")

// renderReadme makes HTML of a readme of a media type.
func renderReadme(text, kind string) template.HTML {
	if strings.TrimSpace(text) == "" {
		return ""
	}
	var b bytes.Buffer
	if kind == "text/markdown" && len(text) <= maxReadme && tame(text) && markdown.Convert([]byte(text), &b) == nil {
		if settled, ok := settle(clean.SanitizeBytes([]byte(boxes.Replace(b.String())))); ok {
			return template.HTML(settled) // cleaned
		}
	}
	if len(text) > maxPlain {
		text = strings.ToValidUTF8(text[:maxPlain], "") + "\n…"
	}
	return template.HTML(`<pre class="plain">` + template.HTMLEscapeString(text) + `</pre>`) // escaped
}

// settle fits clean HTML into the page: what it leaves open ends with it, its headings are below the page's own, its tables and code can
// be scrolled by keyboard, and for a picture, which would tell its server who reads here, there is its text, as a link. ok is false for
// what is nested too deep.
func settle(text []byte) (settled string, ok bool) {
	around := &nethtml.Node{Type: nethtml.ElementNode, Data: "div", DataAtom: atom.Div}
	nodes, err := nethtml.ParseFragment(bytes.NewReader(text), around)
	if err != nil {
		return "", false
	}
	for _, n := range nodes {
		around.AppendChild(n)
	}
	for _, n := range slices.Collect(around.Descendants()) {
		fit(n)
	}
	var out strings.Builder
	for n := range around.ChildNodes() {
		if err := nethtml.Render(&out, n); err != nil {
			return "", false
		}
	}
	return out.String(), true
}

// fit fits one element into the page.
func fit(n *nethtml.Node) {
	switch n.DataAtom {
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6: // two levels below
		n.Data = "h" + string(min(n.Data[1]+2, '6'))
	case atom.A: // the policy lets addresses of no server pass, which lead to this one
		n.Attr = slices.DeleteFunc(n.Attr, func(a nethtml.Attribute) bool {
			return a.Key == "href" && external(a.Val) == "" && !strings.HasPrefix(a.Val, "mailto:")
		})
	case atom.Img:
		picture(n)
	case atom.Th:
		if n.FirstChild == nil { // the head of nothing is none
			n.Data = "td"
		}
	case atom.Pre:
		n.Attr = append(n.Attr, nethtml.Attribute{Key: "tabindex", Val: "0"})
	case atom.Table:
		scroll := &nethtml.Node{Type: nethtml.ElementNode, Data: "div", Attr: []nethtml.Attribute{{Key: "class", Val: "scroll"}, {Key: "tabindex", Val: "0"}}}
		n.Parent.InsertBefore(scroll, n)
		n.Parent.RemoveChild(n)
		scroll.AppendChild(n)
	}
}

// picture puts the text of a picture in its place, linked to it unless a link is around it.
func picture(n *nethtml.Node) {
	text, source := "image", ""
	for _, a := range n.Attr {
		switch {
		case a.Key == "alt" && strings.TrimSpace(a.Val) != "":
			text = a.Val
		case a.Key == "src":
			source = external(a.Val)
		}
	}
	n.Data, n.Attr = "span", []nethtml.Attribute{{Key: "class", Val: "picture"}}
	n.AppendChild(&nethtml.Node{Type: nethtml.TextNode, Data: text})
	for above := range n.Ancestors() {
		if above.DataAtom == atom.A {
			return
		}
	}
	if source != "" {
		n.Data, n.Attr = "a", append(n.Attr, nethtml.Attribute{Key: "rel", Val: "nofollow noreferrer"}, nethtml.Attribute{Key: "href", Val: source})
	}
}

// readmes keeps those that were rendered last.
type readmes struct {
	mu    sync.Mutex
	order list.List // of *readme, the one used last in front
	known map[[32]byte]*list.Element
	size  int // bytes
}

type readme struct {
	key  [32]byte
	html template.HTML
}

// keptReadmes is how much is kept, in bytes.
const keptReadmes = 8 << 20

func (k *readmes) render(text, kind string) template.HTML {
	key := sha256.Sum256([]byte(kind + "\x00" + text))
	k.mu.Lock()
	if e, ok := k.known[key]; ok {
		k.order.MoveToFront(e)
		k.mu.Unlock()
		return e.Value.(*readme).html
	}
	k.mu.Unlock()
	rendered := renderReadme(text, kind)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil {
		k.known = map[[32]byte]*list.Element{}
	}
	if _, ok := k.known[key]; !ok {
		k.known[key] = k.order.PushFront(&readme{key, rendered})
		k.size += len(rendered)
	}
	for k.size > keptReadmes && k.order.Len() > 1 {
		last := k.order.Remove(k.order.Back()).(*readme)
		delete(k.known, last.key)
		k.size -= len(last.html)
	}
	return rendered
}
