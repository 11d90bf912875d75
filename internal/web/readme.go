package web

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"html/template"
	"regexp"
	"strings"
	"sync"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"
	nethtml "golang.org/x/net/html"
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
	if kind != "text/markdown" || len(text) > maxReadme || !tame(text) {
		if len(text) > maxPlain {
			text = strings.ToValidUTF8(text[:maxPlain], "") + "\n…"
		}
		return template.HTML(`<pre class="plain">` + template.HTMLEscapeString(text) + `</pre>`) // escaped
	}
	var b bytes.Buffer
	if err := markdown.Convert([]byte(text), &b); err != nil {
		return template.HTML(`<pre class="plain">` + template.HTMLEscapeString(text) + `</pre>`) // escaped
	}
	return template.HTML(settle(clean.SanitizeBytes([]byte(boxes.Replace(b.String()))))) // cleaned
}

// settle fits clean HTML into the page: its headings are below the page's own, its tables and code can be scrolled by keyboard, and for
// a picture, which would tell its server who reads here, there is its text, as a link.
func settle(text []byte) string {
	var out strings.Builder
	tokens := nethtml.NewTokenizer(bytes.NewReader(text))
	links := 0 // that are open
	head := "" // the start of a table's head that was not written yet
	for {
		kind := tokens.Next()
		if kind == nethtml.ErrorToken {
			return out.String()
		}
		token := tokens.Token()
		if head != "" {
			if kind == nethtml.EndTagToken && token.Data == "th" { // the head of nothing is none
				head = ""
				out.WriteString("<td></td>")
				continue
			}
			out.WriteString(head)
			head = ""
		}
		switch kind {
		case nethtml.StartTagToken, nethtml.SelfClosingTagToken:
			switch token.Data {
			case "h1", "h2", "h3", "h4", "h5", "h6":
				token.Data = lower(token.Data)
			case "img":
				picture(&out, token, links > 0)
				continue
			case "a":
				links++
			case "table":
				out.WriteString(`<div class="scroll" tabindex="0">`)
			case "th":
				head = token.String()
				continue
			case "pre":
				token.Attr = append(token.Attr, nethtml.Attribute{Key: "tabindex", Val: "0"})
			}
		case nethtml.EndTagToken:
			switch token.Data {
			case "h1", "h2", "h3", "h4", "h5", "h6":
				token.Data = lower(token.Data)
			case "a":
				links = max(0, links-1)
			case "table":
				out.WriteString("</table></div>")
				continue
			}
		}
		out.WriteString(token.String())
	}
}

// lower is a heading two levels below.
func lower(heading string) string {
	level := min(heading[1]+2, '6')
	return "h" + string(rune(level))
}

// picture writes the text of a picture, linked to it unless a link is around it.
func picture(out *strings.Builder, token nethtml.Token, linked bool) {
	var alt, src string
	for _, a := range token.Attr {
		switch a.Key {
		case "alt":
			alt = a.Val
		case "src":
			src = external(a.Val)
		}
	}
	if strings.TrimSpace(alt) == "" {
		alt = "image"
	}
	alt = template.HTMLEscapeString(alt)
	if linked || src == "" {
		out.WriteString(`<span class="picture">` + alt + `</span>`)
		return
	}
	out.WriteString(`<a class="picture" rel="nofollow noreferrer" href="` + template.HTMLEscapeString(src) + `">` + alt + `</a>`)
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
