package contract

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"packhouse/test/harness"
)

// The dashboard shows metrics that there are, by labels that they have.
func TestDashboard(t *testing.T) {
	w := newWorld(t)
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy/grafana/packhouse.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Query any }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	w.send(call{path: "/api/v4/version", as: w.root()}).must(w, 200)
	metrics := string(w.send(call{path: "/metrics", as: w.root()}).must(w, 200).body)
	check := func(title, expression string) {
		uses := regexp.MustCompile(`([a-z]+_[a-z_]+)\{([^}]*)\}`).FindAllStringSubmatch(expression, -1)
		if len(uses) == 0 {
			t.Errorf("%s: no metric in %s", title, expression)
		}
		for _, use := range uses {
			series := regexp.MustCompile(`(?m)^` + use[1] + `(\{.*\})? `).FindString(metrics)
			if series == "" {
				t.Errorf("%s: there is no metric %s", title, use[1])
			}
			for _, label := range regexp.MustCompile(`([a-z_]+) *(?:=|!)`).FindAllStringSubmatch(use[2], -1) {
				if label[1] != "job" && !strings.Contains(series, label[1]+`="`) { // Prometheus itself adds job and instance
					t.Errorf("%s: %s has no label %s", title, use[1], label[1])
				}
			}
			for _, by := range regexp.MustCompile(`by \(([^)]*)\)`).FindAllStringSubmatch(expression, -1) {
				for label := range strings.SplitSeq(by[1], ",") {
					if label = strings.TrimSpace(label); label != "instance" && !strings.Contains(series, label+`="`) {
						t.Errorf("%s: %s has no label %s", title, use[1], label)
					}
				}
			}
		}
	}
	panels := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			panels++
			check(panel.Title, target.Expr)
		}
	}
	if panels == 0 {
		t.Error("no panel shows anything")
	}
}
