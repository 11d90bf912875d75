package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/language"

	"packhouse/internal/registry"
)

//go:embed templates assets locale
var files embed.FS

// locale is a language that the pages speak. Texts are written in English where they are used; for another language there is a
// catalogue that has each of them.
type locale struct {
	tag     string // BCP 47
	Name    string // in the language itself
	catalog map[string]string
	pages   func() *template.Template // read by the first page: in a language that nobody reads they would be megabytes for nothing
}

// locales are all, the first one where nothing else fits.
var locales = []*locale{newLocale("en", "English"), newLocale("zh-CN", "简体中文")}

var matcher = func() language.Matcher {
	var tags []language.Tag
	for _, l := range locales {
		tags = append(tags, language.MustParse(l.tag))
	}
	return language.NewMatcher(tags)
}()

// localeOf is the language that a person has chosen, in their profile or on this browser, or else the one that the browser prefers.
func localeOf(r *http.Request, chosen string) *locale {
	if chosen == "" {
		if cookie, err := r.Cookie(languageCookie); err == nil {
			chosen = cookie.Value
		}
	}
	for _, l := range locales {
		if l.tag == chosen {
			return l
		}
	}
	preferred, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err != nil || len(preferred) == 0 {
		return locales[0]
	}
	_, index, confidence := matcher.Match(preferred...)
	if confidence == language.No {
		index = 0
	}
	return locales[index]
}

func newLocale(tag, name string) *locale {
	l := &locale{tag: tag, Name: name}
	if tag != "en" {
		text, err := files.ReadFile("locale/" + tag + ".json")
		if err == nil {
			err = json.Unmarshal(text, &l.catalog)
		}
		if err != nil {
			panic(err) // it is part of the program
		}
	}
	l.pages = sync.OnceValue(l.templates)
	return l
}

func (l *locale) templates() *template.Template {
	pages := template.New("").Funcs(template.FuncMap{
		"t": l.text, "n": l.plural, "msg": l.message, "count": count, "bytes": size, "when": l.when, "date": l.date, "day": isoDate, "until": l.until,
		"level": l.levelOf, "said": said, "glyph": glyph, "icon": icon, "asset": assetPath,
		"short": func(digest string) string { return digest[:min(len(digest), 12)] },
		"last":  func(full string) string { return path.Base(full) },
		"seq":   func(all ...string) []string { return all },
		"join":  strings.Join, "format": formatName,
		"field": newField, "sel": newSelect, "opt": newOption, "confirm": newConfirm, "copyline": newCopyLine,
	})
	return template.Must(pages.ParseFS(files, "templates/*.html"))
}

// Tag is the language's.
func (l *locale) Tag() string { return l.tag }

func (l *locale) text(text string, args ...any) string {
	if translated, ok := l.catalog[text]; ok {
		text = translated
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// plural is a text about a number, which stands in it as %s. The catalogue has it by the second form.
func (l *locale) plural(n any, one, many string) string {
	number := asInt(n)
	text := many
	if translated, ok := l.catalog[many]; ok {
		text = translated
	} else if number == 1 {
		text = one
	}
	return fmt.Sprintf(text, count(n))
}

// message is a sentence of the domain, which is English unless the catalogue has it, with what stands in its gaps.
func (l *locale) message(sentence string) string {
	if translated, ok := l.catalog[sentence]; ok {
		return translated
	}
	for text, pattern := range gapped {
		translated, ok := l.catalog[text]
		if found := pattern.FindStringSubmatch(sentence); ok && found != nil {
			var gaps []any
			for _, gap := range found[1:] {
				gaps = append(gaps, l.text(gap))
			}
			return fmt.Sprintf(translated, gaps...)
		}
	}
	return sentence
}

// gapped are the sentences of the domain and of the REST API that have gaps, each with what finds it. No two of them fit the same.
var gapped = func() map[string]*regexp.Regexp {
	all := map[string]*regexp.Regexp{}
	for _, text := range []string{
		"is too short (minimum is %s characters)", "is too long (maximum is %s characters)", "Name is too long (maximum is %s characters)", "must be between %s and %s", "must be before %s", "not valid RE2 syntax: %s",
		"%s is a reserved name", "%s is not allowed in a %s group.", "should be greater than or equal to the inherited level, which is %s",
		"User cannot be removed: nobody else owns the group %s", "The API initiating user cannot be %s by the API",
	} {
		all[text] = regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(text), "%s", "(.+?)") + "$")
	}
	return all
}()

func asInt(n any) int64 {
	switch v := n.(type) {
	case int:
		return int64(v)
	case int64:
		return v
	}
	return 0
}

// count is a number with its digits in groups.
func count(n any) string {
	digits := strconv.FormatInt(asInt(n), 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "\u202f" + digits[i:]
	}
	return digits
}

// size is a number of bytes with its unit.
func size(n any) template.HTML {
	number, unit := sizeOf(n)
	return template.HTML(`<span class="n">` + number + ` <span class="unit">` + unit + `</span></span>`) // digits and units
}

func plainSize(n any) string {
	number, unit := sizeOf(n)
	return number + " " + unit
}

func sizeOf(n any) (number, unitName string) {
	value, units := float64(asInt(n)), []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	unit := 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	digits := 0
	if unit > 0 && value < 10 {
		digits = 1
	}
	return strconv.FormatFloat(math.Floor(value*math.Pow10(digits))/math.Pow10(digits), 'f', -1, 64), units[unit]
}

func isoDate(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// when is a moment as people say it, with the exact one behind it. "" for never.
func (l *locale) when(t time.Time) template.HTML {
	if t.IsZero() {
		return template.HTML(template.HTMLEscapeString(l.text("never")))
	}
	return l.element(t, l.ago(time.Since(t)))
}

func (l *locale) element(t time.Time, text string) template.HTML {
	t = t.UTC()
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `" title="` + t.Format("2006-01-02 15:04:05 UTC") + `">` + template.HTMLEscapeString(text) + `</time>`)
}

// date is the day of a moment; "" for never.
func (l *locale) date(t time.Time) template.HTML {
	if t.IsZero() {
		return template.HTML(template.HTMLEscapeString(l.text("never")))
	}
	return l.element(t, isoDate(t))
}

// until is a day that something ends, or that it does not.
func (l *locale) until(t time.Time) template.HTML {
	if t.IsZero() {
		return template.HTML(template.HTMLEscapeString(l.text("no end")))
	}
	return l.date(t)
}

func (l *locale) ago(d time.Duration) string {
	if d < 0 {
		return l.in(-d)
	}
	minutes := int(d.Minutes())
	switch days := minutes / (24 * 60); {
	case minutes < 1:
		return l.text("just now")
	case minutes < 60:
		return l.plural(minutes, "%s minute ago", "%s minutes ago")
	case minutes < 24*60:
		return l.plural(minutes/60, "%s hour ago", "%s hours ago")
	case days < 60:
		return l.plural(days, "%s day ago", "%s days ago")
	case days < 730:
		return l.plural(days/30, "%s month ago", "%s months ago")
	default:
		return l.plural(days/365, "%s year ago", "%s years ago")
	}
}

func (l *locale) in(d time.Duration) string {
	minutes := int(math.Ceil(d.Minutes()))
	switch {
	case minutes < 60:
		return l.plural(minutes, "in %s minute", "in %s minutes")
	case minutes < 48*60:
		return l.plural(minutes/60, "in %s hour", "in %s hours")
	}
	return l.plural(minutes/(24*60), "in %s day", "in %s days")
}

// levelOf takes a level, or its number.
func (l *locale) levelOf(level any) string {
	if n, ok := level.(int); ok {
		return l.level(registry.Level(n))
	}
	return l.level(level.(registry.Level))
}

func (l *locale) level(level registry.Level) string {
	return l.text(map[registry.Level]string{registry.NoAccess: "anyone who may", registry.Minimal: "Minimal access", registry.Guest: "Guest", registry.Planner: "Planner",
		registry.Reporter: "Reporter", registry.Developer: "Developer", registry.Maintainer: "Maintainer", registry.Owner: "Owner", registry.Admin: "Administrator"}[level])
}
