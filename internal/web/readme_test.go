package web

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	nethtml "golang.org/x/net/html"
)

// allowed are the elements that a readme may come to, with their attributes.
var allowed = map[string]string{"p": "", "br": "", "hr": "", "h3": "", "h4": "", "h5": "", "h6": "", "ul": "", "ol": "start", "li": "", "dl": "", "dt": "", "dd": "", "blockquote": "", "pre": "tabindex class", "code": "", "kbd": "",
	"samp": "", "em": "", "strong": "", "b": "", "i": "", "del": "", "s": "", "sub": "", "sup": "", "table": "", "thead": "", "tbody": "", "tr": "", "th": "align", "td": "align", "details": "", "summary": "",
	"a": "href rel class", "span": "class", "div": "class tabindex"}

// harmless reports what is left of a readme that should not be.
func harmless(t *testing.T, rendered string) {
	t.Helper()
	contained(t, rendered)
	tokens := nethtml.NewTokenizer(strings.NewReader(rendered))
	for tokens.Next() != nethtml.ErrorToken {
		token := tokens.Token()
		switch token.Type {
		case nethtml.CommentToken, nethtml.DoctypeToken:
			t.Fatalf("%s in %.300q", token, rendered)
		case nethtml.StartTagToken, nethtml.SelfClosingTagToken:
			attributes, ok := allowed[token.Data]
			if !ok {
				t.Fatalf("<%s> in %.300q", token.Data, rendered)
			}
			for _, a := range token.Attr {
				if !strings.Contains(" "+attributes+" ", " "+a.Key+" ") {
					t.Fatalf("%s of <%s> in %.300q", a.Key, token.Data, rendered)
				}
				if a.Key == "href" && !regexp.MustCompile(`^(https?://|mailto:)`).MatchString(a.Val) {
					t.Fatalf("a link to %q", a.Val)
				}
				if a.Key == "class" && a.Val != "scroll" && a.Val != "picture" && a.Val != "plain" {
					t.Fatalf("the class %q", a.Val)
				}
			}
		}
	}
}

// contained reports what a readme does to the page behind it: an element that it leaves open would hold that, too.
func contained(t *testing.T, rendered string) {
	t.Helper()
	page, err := nethtml.Parse(strings.NewReader(`<main><div class="readme">` + rendered + `</div><aside>facts</aside></main>`))
	if err != nil {
		return // it is nested too deep to be a page
	}
	for n := range page.Descendants() {
		if n.Type == nethtml.ElementNode && n.Data == "aside" {
			if n.Parent.Data != "main" || n.FirstChild.Data != "facts" {
				t.Fatalf("the facts are in <%s>, and begin with %q, behind %.300q", n.Parent.Data, n.FirstChild.Data, rendered)
			}
			return
		}
	}
	t.Fatalf("there are no facts behind %.300q", rendered)
}

// An element that a readme leaves open, or closes without having opened it, ends with the readme.
func TestReadmeIsContained(t *testing.T) {
	for _, text := range []string{`<a href="https://example.com">everything is a link`, "<b><i><s>", "<table>", "<table><tr><td><a href=https://e.org>x", "<details><summary>", "<ul><li><pre><code>", "</p></details></table>",
		"<a href=https://e.org><table><a href=https://e.org>", "<h1><h2><blockquote><dl><dt>", "<ol><table></ol><td>", "<b><p></b><p>", strings.Repeat("<blockquote>", 5000)} {
		harmless(t, string(renderReadme(text, "text/markdown")))
	}
}

func TestReadme(t *testing.T) {
	for text, want := range map[string]string{
		"# A":                             "<h3>A</h3>\n",
		"###### F":                        "<h6>F</h6>\n",
		"![x](https://e.org/x.png)":       `<p><a class="picture" rel="nofollow noreferrer" href="https://e.org/x.png">x</a></p>` + "\n",
		"[![x](y.png)](https://e.org/)":   `<p><a href="https://e.org/" rel="nofollow noreferrer"><span class="picture">x</span></a></p>` + "\n",
		"[a](#b)":                         "<p>a</p>\n",
		"<script>x</script>":              "",
		"<b onclick=x>y</b>":              "<p><b>y</b></p>\n",
		"- [x] done":                      "<ul>\n<li>☑ done</li>\n</ul>\n",
		"|a||\n|-|-|\n|1|2|":              `<div class="scroll" tabindex="0"><table>` + "\n<thead>\n<tr>\n<th>a</th>\n<td></td>\n</tr>\n</thead>\n<tbody>\n<tr>\n<td>1</td>\n<td>2</td>\n</tr>\n</tbody>\n</table></div>\n",
		"    code <b>":                    `<pre tabindex="0"><code>code &lt;b&gt;` + "\n</code></pre>\n",
		`<a href="http:-/sign_out">x</a>`: `<p><a rel="nofollow noreferrer">x</a></p>` + "\n", // to a browser it is relative
		"[m](mailto:a@e.org) <a href=ftp://e.org>f</a>": `<p><a href="mailto:a@e.org" rel="nofollow noreferrer">m</a> f</p>` + "\n",
	} {
		if got := string(renderReadme(text, "text/markdown")); got != want {
			t.Errorf("%q is\n%q, want\n%q", text, got, want)
		}
	}
	if got, want := string(renderReadme("a <b>\n=====", "text/x-rst")), "<pre class=\"plain\">a &lt;b&gt;\n=====</pre>"; got != want {
		t.Errorf("text is %q, want %q", got, want)
	}
}

// No readme keeps the server busy: those that make other renderers slow, at the longest that is laid out.
func TestReadmeTakesNoLongTime(t *testing.T) {
	for _, piece := range []string{"[a](\n\n", strings.Repeat("*a_ ", maxSigns/2) + "\n\n", strings.Repeat("[a](", maxSigns/3) + "\n\n", strings.Repeat("> ", maxNesting) + "a\n", strings.Repeat("1. ", maxNesting) + "a\n", "[", "[a](", "*a_ ", "> ", "<a", "`", "![", "|a", "- ", "<!--", "\\", "a**b", "[a]: b\n", "<b>", "&", "![[]()", "#", "~~a", "1. ", "<details>", "_a__", "\n- a\n  ", "<table>", "<a href=https://e.org>\n\n", "<table><tr><td>\n\n", "<table><a href=https://e.org>\n\n", "<ul><li><b>\n\n", "</b></p>\n\n"} {
		began := time.Now()
		rendered := string(renderReadme(strings.Repeat(piece, maxReadme/len(piece)), "text/markdown"))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q again and again takes %v", piece, took)
		}
		if len(rendered) > 100*maxReadme {
			t.Errorf("%q again and again becomes %d bytes", piece, len(rendered))
		}
	}
}

func FuzzReadme(f *testing.F) {
	attacks, err := os.ReadFile("../../test/web/testdata/attack.md")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(attacks))
	for line := range strings.Lines(string(attacks)) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4<<10 {
			return
		}
		harmless(t, string(renderReadme(text, "text/markdown")))
		harmless(t, string(renderReadme(text, "text/plain")))
	})
}
