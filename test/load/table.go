package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// packhouse is the name of the program in the samples.
const packhouse = "packhouse"

// report is what a run found.
type report struct {
	Machine  []fact    `json:"machine"`
	Programs []fact    `json:"programs"`
	Commands []string  `json:"commands"`
	Figures  []*figure `json:"figures"`

	section string // of what is added next
}

type fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// figure is one row: the same work done by each of the samples' systems.
type figure struct {
	ID      string   `json:"id"` // stays the same from run to run
	Section string   `json:"section"`
	What    string   `json:"what"`
	Unit    string   `json:"unit"`
	Samples []sample `json:"samples"` // Packhouse, then what it is measured against
	// OfLimit is Packhouse's value divided by the limit's, OfPeer by that of the
	// best peer; 0 when there is none.
	OfLimit float64   `json:"ratio_to_limit,omitempty"`
	OfPeer  float64   `json:"ratio_to_best_peer,omitempty"`
	Goals   []verdict `json:"goals,omitempty"`
}

// sample is what one system did.
type sample struct {
	System string  `json:"system"`
	Role   role    `json:"role,omitempty"`
	Value  float64 `json:"value"`
	// Latency in milliseconds; 0 when it was not measured.
	P50 float64 `json:"p50_ms,omitempty"`
	P99 float64 `json:"p99_ms,omitempty"`
	// CPU is the seconds that the system's processes ran per 1,000 answers.
	CPU float64 `json:"cpu_seconds_per_1000,omitempty"`
	// Peak and RSS are the resident memory of the system's processes in MiB, the
	// highest during the work and that after it.
	Peak float64 `json:"peak_mib,omitempty"`
	RSS  float64 `json:"rss_mib,omitempty"`
	// Rounds are the single values whose median Value is.
	Rounds []float64 `json:"rounds,omitempty"`
}

// role is what a system is in a comparison; Packhouse itself has none.
type role string

const (
	limit role = "limit"
	peer  role = "peer"
)

// verdict says whether a figure is where it must be.
type verdict struct {
	// On is "value", "each" (the value of each sample without a role), or the
	// system by whose value Packhouse's is divided.
	On    string  `json:"on"`
	Op    string  `json:"op"` // "<=" or ">="
	Bound float64 `json:"bound"`
	Got   float64 `json:"got"`
	Met   bool    `json:"met"`
}

// add puts a figure into the report, with its ratios.
func (r *report) add(f *figure) *figure {
	f.Section = r.section
	for i, s := range f.Samples {
		ratio := f.ratio(i)
		switch {
		case s.Role == limit && f.OfLimit == 0:
			f.OfLimit = ratio
		case s.Role == peer && ratio != 0 && (f.OfPeer == 0 || f.moreIsBetter() == (ratio < f.OfPeer)):
			f.OfPeer = ratio
		}
	}
	r.Figures = append(r.Figures, f)
	return f
}

func (f *figure) moreIsBetter() bool { return strings.HasSuffix(f.Unit, "/s") }

// ratio is Packhouse's value divided by that of sample i; 0 when it has none. Of
// rounds it is the median of each round's ratio to the one that came right after
// it: what else the machine did then touched both.
func (f *figure) ratio(i int) float64 {
	ours, theirs := f.Samples[0], f.Samples[i]
	if theirs.Value == 0 {
		return 0
	}
	if len(ours.Rounds) == 0 || len(ours.Rounds) != len(theirs.Rounds) {
		return ours.Value / theirs.Value
	}
	ratios := make([]float64, len(ours.Rounds))
	for i := range ratios {
		ratios[i] = ours.Rounds[i] / theirs.Rounds[i]
	}
	return median(ratios)
}

// goal sets where a figure must be. There is no verdict on a ratio to a system
// that was not measured.
func (f *figure) goal(on, op string, bound float64) *figure {
	var got []float64
	for i, s := range f.Samples {
		if on == "value" && i == 0 || on == "each" && s.Role == "" {
			got = append(got, s.Value)
		} else if on == s.System && i > 0 {
			got = append(got, f.ratio(i))
		}
	}
	if len(got) == 0 {
		return f
	}
	worst := slices.Max(got)
	if op == ">=" {
		worst = slices.Min(got)
	}
	f.Goals = append(f.Goals, verdict{On: on, Op: op, Bound: bound, Got: worst, Met: op == "<=" && worst <= bound || op == ">=" && worst >= bound})
	return f
}

func (r *report) writeJSON(file string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(content, '\n'), 0o644)
}

func readReport(file string) (*report, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &report{}
	if err := json.Unmarshal(content, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// columns of the table, of which a figure has a line for each system.
var columns = []string{"work", "system", "value", "p50 ms", "p99 ms", "CPU s/1000", "peak MiB", "RSS MiB", "of limit", "of best peer", "goal", "verdict"}

// lines of a figure: its name, ratios, goals and verdicts stand in the first.
func (f *figure) lines() (lines [][]string) {
	for i, s := range f.Samples {
		what, ofLimit, ofPeer := "", "", ""
		var goals, verdicts []string
		if i == 0 {
			what, ofLimit, ofPeer = f.What, ratioText(f.OfLimit), ratioText(f.OfPeer)
			for _, g := range f.Goals {
				text := fmt.Sprintf("%s %g", g.Op, g.Bound)
				if g.On == "value" || g.On == "each" {
					text = strings.TrimSpace(text + " " + f.Unit)
				} else {
					text += " of " + g.On
				}
				goals = append(goals, text)
				verdicts = append(verdicts, map[bool]string{true: "met", false: "missed"}[g.Met])
				if g.On != "value" && g.On != "each" && !g.Met {
					verdicts[len(verdicts)-1] += fmt.Sprintf(" (%.3g)", g.Got)
				}
			}
		}
		lines = append(lines, []string{
			what, s.System, number(s.Value, f.Unit),
			optional("%.2f", s.P50), optional("%.2f", s.P99), optional("%.3f", s.CPU), optional("%.1f", s.Peak), optional("%.1f", s.RSS),
			ofLimit, ofPeer, strings.Join(goals, "; "), strings.Join(verdicts, "; "),
		})
	}
	return lines
}

// sections calls f for each section with the figures that it has, in their order.
func (r *report) sections(f func(title string, figures []*figure)) {
	var titles []string
	for _, one := range r.Figures {
		if !slices.Contains(titles, one.Section) {
			titles = append(titles, one.Section)
		}
	}
	for _, title := range titles {
		f(title, slices.DeleteFunc(slices.Clone(r.Figures), func(one *figure) bool { return one.Section != title }))
	}
}

// facts about the machine and the programs, and how many goals were met.
func (r *report) facts() []fact {
	met, all := 0, 0
	for _, f := range r.Figures {
		for _, g := range f.Goals {
			all++
			if g.Met {
				met++
			}
		}
	}
	return slices.Concat(r.Machine, r.Programs, []fact{{"goals met", fmt.Sprintf("%d of %d", met, all)}})
}

// print writes the table for people.
func (r *report) print(out io.Writer) {
	facts := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range r.facts() {
		fmt.Fprintf(facts, "%s\t%s\n", f.Name, f.Value)
	}
	facts.Flush()

	r.sections(func(title string, figures []*figure) {
		fmt.Fprintf(out, "\n%s\n", title)
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, strings.Join(columns, "\t"))
		for _, f := range figures {
			for _, line := range f.lines() {
				fmt.Fprintln(table, strings.Join(line, "\t"))
			}
		}
		table.Flush()
	})

	fmt.Fprintln(out, "\ncommands")
	for _, c := range r.Commands {
		fmt.Fprintln(out, "  "+c)
	}
}

// markdown writes the same for docs/performance.md. Columns that are empty in a
// section are left out of it.
func (r *report) markdown(out io.Writer) {
	fmt.Fprint(out, "| | |\n|---|---|\n")
	for _, f := range r.facts() {
		fmt.Fprintf(out, "| %s | %s |\n", f.Name, f.Value)
	}
	r.sections(func(title string, figures []*figure) {
		fmt.Fprintf(out, "\n### %s\n\n", title)
		var lines [][]string
		for _, f := range figures {
			lines = append(lines, f.lines()...)
		}
		used := func(line []string) string {
			var cells []string
			for i, cell := range line {
				if slices.ContainsFunc(lines, func(line []string) bool { return line[i] != "" }) {
					cells = append(cells, cell)
				}
			}
			return "| " + strings.Join(cells, " | ") + " |\n"
		}
		header := used(columns)
		fmt.Fprint(out, header, strings.Repeat("|---", strings.Count(header, "|")-1), "|\n")
		for _, line := range lines {
			fmt.Fprint(out, used(line))
		}
	})
}

// The part of docs/performance.md between these lines is that of a run.
const (
	docsBegin = "<!-- what a run printed: begin -->\n"
	docsEnd   = "<!-- what a run printed: end -->\n"
)

// intoDocs puts the report into a Markdown file, in place of the one that it has.
func (r *report) intoDocs(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(content), docsBegin)
	_, after, closed := strings.Cut(rest, docsEnd)
	if !ok || !closed {
		return fmt.Errorf("%s: there is no place for a report", file)
	}
	var text strings.Builder
	r.markdown(&text)
	return os.WriteFile(file, []byte(before+docsBegin+"\n"+text.String()+"\n"+docsEnd+after), 0o644)
}

// ratioText writes a ratio with as many digits as can be meant; "" for none.
func ratioText(v float64) string {
	switch {
	case v == 0:
		return ""
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	}
	return number(v, "")
}

// number writes a value with as many digits as can be meant.
func number(v float64, unit string) string {
	switch unit {
	case "s":
		return fmt.Sprintf("%.3f s", v)
	case "ms", "cores":
		return fmt.Sprintf("%.2f %s", v, unit)
	case "MiB":
		return fmt.Sprintf("%.1f MiB", v)
	}
	if v < 100 && v != float64(int64(v)) {
		return strings.TrimSpace(fmt.Sprintf("%.1f %s", v, unit))
	}
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return strings.TrimSpace(digits + " " + unit)
}

func optional(format string, v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf(format, v)
}
