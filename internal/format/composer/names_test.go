package composer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"packhouse/internal/registry"
	"packhouse/test/harness"
)

func TestVersions(t *testing.T) {
	for tag, want := range map[string]string{
		"v1.0.0": "1.0.0", "V1.0.0": "1.0.0", "1.0": "1.0", "1.0.0.1": "1.0.0.1", "1.0RC1": "1.0RC1", "v1.0.1+meta": "1.0.1+meta", "1.0.2-beta2": "1.0.2-beta2", "release-2.0": "2.0",
		"main": "", "v": "", "1.x": "", "dev-main": "", "1.0-dev": "", "1.0.x-dev": "", "1.0@beta": "", "": "", "vv1.0": "", "1.0 as 2.0": "",
	} {
		got, ok := tagVersion(tag)
		if ok != (want != "") || ok && got != want {
			t.Errorf("the tag %s is %q, %t, want %q", tag, got, ok, want)
		}
	}
	// The table of GitLab's tests.
	for branch, want := range map[string]string{
		"main": "dev-main", "feature/a": "dev-feature/a", "12-fix": "dev-12-fix", "v1": "1.x-dev", "v1.x": "1.x-dev", "1.7": "1.7.x-dev", "v1.7.x": "1.7.x-dev", "1.7.x": "1.7.x-dev", "1.0.0": "1.0.0.x-dev",
		"1.X": "1.x-dev", "1.*": "1.x-dev", "1.2.3.4": "1.2.3.4-dev", "v": "dev-v", "a#b": "dev-a+b",
	} {
		got := branchVersion(branch)
		if got != want {
			t.Errorf("the branch %s is %q, want %q", branch, got, want)
		}
		if normalized, ok := normalize(got); !ok || !isDev(normalized) {
			t.Errorf("the version %q of the branch %s: %q, %t", got, branch, normalized, ok)
		}
	}
}

// The latest version is the highest stable one, then the highest pre-release, then a branch.
func TestOrder(t *testing.T) {
	want := []string{"dev-a", "dev-main", "1.x-dev", "1.0.0-dev", "2.0.x-dev", "2.x-dev", "1.0-alpha1", "1.0-alpha.2", "1.0.0beta1", "1.0RC1", "3.0-RC1", "0.9", "1.0", "1.0.0-p1", "1.0.1", "1.2", "1.10.0", "20260102"}
	shuffled := slices.Clone(want)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	slices.SortFunc(shuffled, Format.Compare)
	// 1.0.0-dev is below all of 1.x-dev to PHP: 9999999 is a number like another.
	index := slices.Index(want, "1.x-dev")
	want[index], want[index+1] = want[index+1], want[index]
	if !slices.Equal(shuffled, want) {
		t.Errorf("%v\nwant %v", shuffled, want)
	}
}

// asComposer asks Composer's own classes.
const asComposer = `
require "Composer/autoload.php";
$parser = new Composer\Semver\VersionParser;
$asked = json_decode(stream_get_contents(STDIN), true);
$try = function (callable $f) { try { return $f(); } catch (Throwable $e) { return null; } };
$answer = ["versions" => [], "branches" => [], "constraints" => [], "order" => []];
foreach ($asked["versions"] as $v) { $answer["versions"][] = $try(fn() => $parser->normalize($v)); }
foreach ($asked["branches"] as $b) { $answer["branches"][] = $try(fn() => $parser->normalizeBranch($b)); }
foreach ($asked["constraints"] as $c) { $answer["constraints"][] = $try(fn() => (bool) $parser->parseConstraints($c)); }
foreach ($asked["order"] as [$a, $b]) { $answer["order"][] = version_compare($a, $b); }
echo json_encode($answer);
`

// What Composer can read, and how, Composer itself says.
func TestAsComposer(t *testing.T) {
	php, err := harness.Tool("php")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	number := func() string { return pick("0", "1", "2", "10", "07", "123456", "2026", "9999999", "") }
	version := func() string {
		text := pick("", "", "", "v", "V", "dev-", "release-") + number()
		for range r.IntN(5) {
			text += pick(".", ".", ".", "-", "_", ":", "") + pick(number(), number(), "x", "X", "*")
		}
		text += pick("", "", "", "-", ".", "_") + pick("", "", "", "stable", "Stable", "beta", "b", "RC", "rc", "alpha", "a", "patch", "pl", "p", "foo", "BETA") + pick("", "", "1", ".2", "-3", "1.2")
		return text + pick("", "", "", "-dev", ".x-dev", "dev", "+meta", "+a.b-c", "@dev", "@stable", " as 1.0", " ", "#abc")
	}
	branch := func() string {
		return pick("", "v", "V", "release/") + number() + pick("", ".", "-") + pick(number(), "x", "X", "*") + pick("", ".x", ".*", ".1", "-fix")
	}
	single := func() string {
		return pick("", "", "^", "~", ">=", "<", "!=", "<>", "==", "=", "=>", "~>", "> ", "^v", "- ") + version()
	}
	constraint := func() string {
		text := single()
		for range r.IntN(3) {
			text += pick(" ", ",", ", ", " || ", "|", "||", " - ", "  ", " as ", " ,", "-") + single()
		}
		return text
	}
	var asked struct {
		Versions    []string    `json:"versions"`
		Branches    []string    `json:"branches"`
		Constraints []string    `json:"constraints"`
		Order       [][2]string `json:"order"`
	}
	asked.Versions = []string{"1.0", "1.0.0", "master", "trunk", "default", "DEV-x", "dev-", "1.0.0-beta.5", "20100102.0.3", "2010-01-02-10-20-30.5", "1.0-stable1", "00.01.03.04", "1.0.0+foo as 2.0", "  1.0  ", "1.0.0.RC.15-dev", "1.x-dev"}
	asked.Constraints = []string{"*", "", "self.version", "^1.0 || ^2.0", ">=1.0 <2.0", "1.0 - 2.0", "dev-main#abc", "1.x-dev#abc", "~1.2.x-dev", "foobar-dev", ">foobar-dev", "@dev", "1.0@beta", ">=1.0,<2.0", "v*", "x.x", "dev-feature-a", "dev-a as 1.0", "^1 ,^2", "1.0|||2.0", "1.0 ||", "~ 1.0"}
	asked.Branches = []string{"main", "1.x.x", "v1", "1.2.3.4.5"}
	for range 4000 {
		asked.Versions = append(asked.Versions, version())
		asked.Branches = append(asked.Branches, branch())
		asked.Constraints = append(asked.Constraints, constraint())
	}
	var known []string
	for _, v := range asked.Versions {
		if normalized, ok := normalize(v); ok && !strings.HasPrefix(normalized, "dev-") {
			known = append(known, normalized)
		}
	}
	for range 4000 {
		asked.Order = append(asked.Order, [2]string{known[r.IntN(len(known))], known[r.IntN(len(known))]})
	}
	question, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(php, "-r", asComposer)
	cmd.Stdin = bytes.NewReader(question)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	var answer struct {
		Versions, Branches []*string
		Constraints        []*bool
		Order              []int
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("%v: %.300s", err, out)
	}
	read := 0
	for i, v := range asked.Versions {
		got, ok := normalize(v)
		if want := answer.Versions[i]; ok != (want != nil) || ok && got != *want {
			t.Errorf("version %q is %q, %t to us, to Composer %v", v, got, ok, text(want))
		} else if ok {
			read++
		}
	}
	for i, b := range asked.Branches {
		if got, want := normalizeBranch(b), answer.Branches[i]; want == nil || got != *want {
			t.Errorf("branch %q is %q to us, to Composer %v", b, got, text(want))
		}
	}
	readable := 0
	for i, c := range asked.Constraints {
		if c == "self.version" {
			continue // which Composer replaces before it reads it
		}
		if got, want := validConstraint(c), answer.Constraints[i] != nil; got != want {
			t.Errorf("constraint %q can be read by us: %t, by Composer: %t", c, got, want)
		} else if got {
			readable++
		}
	}
	for i, pair := range asked.Order {
		if got := comparePHP(pair[0], pair[1]); got != answer.Order[i] {
			t.Errorf("%q and %q: %d, to PHP %d", pair[0], pair[1], got, answer.Order[i])
		}
	}
	if read < 500 || readable < 300 {
		t.Errorf("only %d versions and %d constraints could be read", read, readable)
	}
}

func text(s *string) string {
	if s == nil {
		return "none"
	}
	return fmt.Sprintf("%q", *s)
}

// Whatever is read as a version orders like one, and reads the same again.
func FuzzVersion(f *testing.F) {
	for _, v := range []string{"1.0.0", "v1.0-beta2", "dev-main", "1.x-dev", "20260102", "1.0 as 2.0", "1.0@dev", "ſtable", "1.0-ſtable", "1.0.0.0.0", ""} {
		f.Add(v, "1.0")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, ok := normalize(a)
		if ok {
			if again, ok := normalize(x); !ok || again != x && !strings.HasPrefix(x, "dev-") {
				t.Errorf("%q is %q, and that is %q, %t", a, x, again, ok)
			}
		}
		if Format.Compare(a, b) != -Format.Compare(b, a) {
			t.Errorf("%q and %q have no order", a, b)
		}
		if version, ok := tagVersion(a); ok {
			if normalized, ok := normalize(version); !ok || isDev(normalized) {
				t.Errorf("the tag %q", a)
			}
		}
		if normalized, ok := normalize(branchVersion(a)); len(a) < 200 && (!ok || !isDev(normalized)) {
			t.Errorf("the branch %q is %q", a, branchVersion(a))
		}
		validConstraint(a)
	})
}

// A composer.json is refused in words, or is one that documents can be made of.
func FuzzManifest(f *testing.F) {
	for _, text := range []string{`{"name":"a/b"}`, `{"name":"a/b","require":{"php":">=8"},"extra":{"branch-alias":{"dev-main":"1.x-dev"}}}`, `[]`, `null`, `{"name":1}`, `{"name":"a/b","require":[]}`, `{"name":"a/b","type":null}`,
		`{"name":"a/b","name":"A/B"}`, "{\"name\":\"a/b\",\"x\":\"\xff\"}", `{"name":"a/b","abandoned":"c/d","uid":"x","dist":1,"version":"1.0"}`, `{"NAME":"a/b"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := readManifest(content)
		if err != nil {
			if refused, ok := err.(*refusal); !ok || refused.message == "" || refused.status != 400 && refused.status != 422 {
				t.Fatalf("%v", err)
			}
			return
		}
		if !validName(m.name) {
			t.Fatalf("%q", m.name)
		}
		v := version{Manifest: m.fields, Reference: "0123", Source: true}
		stored, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var read version
		if err := json.Unmarshal(stored, &read); err != nil {
			t.Fatal(err)
		}
		fields := read.show(&registry.Package{Name: m.name, Version: "1.0.0"}, "http://h", "a/b")
		all := []shown{{"1.0.0", parse("1.0.0"), fields}, {"0.9", parse("0.9"), map[string]json.RawMessage{"name": raw(m.name)}}}
		var whole, minified bytes.Buffer
		if err := writeWhole(&whole, m.name, all); err != nil || !json.Valid(whole.Bytes()) {
			t.Fatalf("%v %s", err, whole.Bytes())
		}
		if err := writeMinified(&minified, m.name, all); err != nil || !json.Valid(minified.Bytes()) {
			t.Fatalf("%v %s", err, minified.Bytes())
		}
		if len(m.words()) > 2*len(content)+100 {
			t.Errorf("%d words of %d bytes", len(m.words()), len(content))
		}
	})
}

// A zip is refused in words, or has a composer.json; reading it takes no more than its bounds.
func FuzzZip(f *testing.F) {
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Add([]byte("hello"))
	f.Add(zipOf(f, "composer.json", `{"name":"a/b"}`))
	f.Add(zipOf(f, "top/composer.json", `{"name":"a/b"}`, "top/src/", ""))
	f.Add(zipOf(f, "../composer.json", `{}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		text, err := readZip(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			if _, ok := err.(*refusal); !ok {
				t.Fatalf("%v", err)
			}
		} else if len(text) > maxManifest {
			t.Fatalf("%d bytes", len(text))
		}
	})
}

// Names are told as the expression tells them.
func FuzzName(f *testing.F) {
	for _, name := range []string{"acme/lib", "a/b", "a1-b/c--d", "a--b/c", "a/b-", "-a/b", "a_b/c.d", "a/b/c", "a", "A/b", "/a", "a/", "a/b---c", "a//b", "a/-b", "a-/b", ""} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got, want := validName(name), len(name) <= maxName && namePattern.MatchString(name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	})
}
