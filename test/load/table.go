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

// packhouse is the name of the program in the samples; that of the limit is in
// nginx.go, and others beside it are peers.
const packhouse = "packhouse"

// report is what a run found.
type report struct {
	Machine  []fact    `json:"machine"`
	Programs []fact    `json:"programs"`
	Commands []string  `json:"commands"`
	Figures  []*figure `json:"figures"`
}

type fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// figure is one row: the same work done by each of the samples' systems.
type figure struct {
	ID      string   `json:"id"` // stays the same from run to run
	What    string   `json:"what"`
	Unit    string   `json:"unit"`
	Samples []sample `json:"samples"` // Packhouse, then what it is measured against
	// Ratio is Packhouse's value by that of the next sample; 0 when there is
	// none. Of rounds it is the median of each round's ratio to the one that
	// came right after it: what else the machine did then touched both.
	Ratio float64  `json:"ratio,omitempty"`
	Goal  *verdict `json:"goal,omitempty"`
}

// sample is what one system did.
type sample struct {
	System string  `json:"system"`
	Value  float64 `json:"value"`
	// Latency in milliseconds; 0 when it was not measured.
	P50 float64 `json:"p50_ms,omitempty"`
	P99 float64 `json:"p99_ms,omitempty"`
	// CPU is the seconds that the system's processes ran per 1,000 answers.
	CPU float64 `json:"cpu_seconds_per_1000,omitempty"`
	// Rounds are the single values whose median Value is.
	Rounds []float64 `json:"rounds,omitempty"`
}

// verdict says whether the value or the ratio of a figure is where it must be.
type verdict struct {
	On    string  `json:"on"` // "value", "ratio", or "each" system's value
	Op    string  `json:"op"` // "<=" or ">="
	Bound float64 `json:"bound"`
	Met   bool    `json:"met"`
}

func (r *report) add(f *figure) *figure {
	if len(f.Samples) > 1 && f.Samples[1].Value != 0 {
		ours, theirs := f.Samples[0], f.Samples[1]
		f.Ratio = ours.Value / theirs.Value
		if len(ours.Rounds) > 0 {
			ratios := make([]float64, len(ours.Rounds))
			for i := range ratios {
				ratios[i] = ours.Rounds[i] / theirs.Rounds[i]
			}
			f.Ratio = median(ratios)
		}
	}
	r.Figures = append(r.Figures, f)
	return f
}

// goal sets where a figure must be. Without the thing to measure against there
// is no verdict on a ratio.
func (f *figure) goal(on, op string, bound float64) {
	got := []float64{f.Samples[0].Value}
	switch on {
	case "ratio":
		if got[0] = f.Ratio; f.Ratio == 0 {
			return
		}
	case "each":
		for _, s := range f.Samples[1:] {
			got = append(got, s.Value)
		}
	}
	met := func(value float64) bool { return op == "<=" && value <= bound || op == ">=" && value >= bound }
	f.Goal = &verdict{On: on, Op: op, Bound: bound, Met: !slices.ContainsFunc(got, func(value float64) bool { return !met(value) })}
}

func (r *report) writeJSON(file string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(content, '\n'), 0o644)
}

// print writes the table for people: a line for each system, the figure's name
// and the verdict on the first of them.
func (r *report) print(out io.Writer) {
	facts := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range append(r.Machine[:len(r.Machine):len(r.Machine)], r.Programs...) {
		fmt.Fprintf(facts, "%s\t%s\n", f.Name, f.Value)
	}
	facts.Flush()

	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "figure\tsystem\tvalue\tp50 ms\tp99 ms\tCPU s/1000\tratio\tgoal\tverdict")
	for _, f := range r.Figures {
		for i, s := range f.Samples {
			what, ratio, goal, met := "", "", "", ""
			if i == 0 {
				what = f.What
				if f.Ratio != 0 {
					ratio = fmt.Sprintf("%.2f", f.Ratio)
				}
				if f.Goal != nil {
					goal = fmt.Sprintf("%s %g", f.Goal.Op, f.Goal.Bound)
					if f.Goal.On == "ratio" {
						goal = "ratio " + goal
					} else {
						goal += " " + f.Unit
					}
					met = "missed"
					if f.Goal.Met {
						met = "met"
					}
				}
			}
			fmt.Fprintln(table, strings.Join([]string{
				what, s.System, number(s.Value, f.Unit),
				optional("%.2f", s.P50), optional("%.2f", s.P99), optional("%.3f", s.CPU), ratio, goal, met,
			}, "\t"))
		}
	}
	table.Flush()

	fmt.Fprintln(out, "\ncommands")
	for _, c := range r.Commands {
		fmt.Fprintln(out, "  "+c)
	}
}

// number writes a value with as many digits as can be meant.
func number(v float64, unit string) string {
	switch unit {
	case "s":
		return fmt.Sprintf("%.3f s", v)
	case "ms", "":
		return strings.TrimSpace(fmt.Sprintf("%.2f %s", v, unit))
	case "MiB":
		return fmt.Sprintf("%.1f MiB", v)
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
