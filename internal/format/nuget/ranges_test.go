package nuget

import "testing"

func TestRanges(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"", "(, )"},
		{"1.0", "[1.0.0, )"},
		{"1", "[1.0.0, )"},
		{" 1.0.0 ", "[1.0.0, )"},
		{"01.02.3.0", "[1.2.3, )"},
		{"1.2.3.4", "[1.2.3.4, )"},
		{"1.0-Beta", "[1.0.0-Beta, )"},
		{"1-beta", "[1.0.0-beta, )"},
		{"1.0.0+meta", "[1.0.0, )"},
		{"[1.0]", "[1.0.0, 1.0.0]"},
		{"[1]", "[1.0.0, 1.0.0]"},
		{"[1.0,)", "[1.0.0, )"},
		{"(1.0,)", "(1.0.0, )"},
		{"[1.0,]", "[1.0.0, )"},
		{"(,2.0]", "(, 2.0.0]"},
		{"[,2.0)", "(, 2.0.0)"},
		{"[1.0,2.0)", "[1.0.0, 2.0.0)"},
		{"(1.0, 2.0)", "(1.0.0, 2.0.0)"},
		{"[ 1.0 , 2.0 ]", "[1.0.0, 2.0.0]"},
		{"(1.0,1.0)", "(1.0.0, 1.0.0)"},
		{"[1.0.0-alpha.1,2)", "[1.0.0-alpha.1, 2.0.0)"},
		{"(, )", "(, )"},
	} {
		r, ok := parseRange(row.text)
		if !ok || r.String() != row.want {
			t.Errorf("%q is %q, %v; want %q", row.text, r, ok, row.want)
		}
		if again, ok := parseRange(r.String()); !ok || again.String() != row.want {
			t.Errorf("%q is %q when it is read again", row.want, again)
		}
	}
	for _, text := range []string{
		"*", "1.*", "1.0-*", "[1.*, 2.0)", "[1.0", "1.0]", "(1.0)", "[1.0)", "(1.0]", "[]", "()", "(,)", "[,]", "[ ]", "[", "]", "[1.0,2.0,3.0]",
		"[2.0,1.0]", "[1.0,1.0)", "(1.0,1.0]", "a", ">=1.0", "1.0.0.0.0", "1..0", "[1.0;2.0]", "99999999999", "1.0-", "-beta", "1.0 2.0",
	} {
		if r, ok := parseRange(text); ok {
			t.Errorf("%q is a range: %s", text, r)
		}
	}
	for text, want := range map[string]bool{"1.0": false, "1.0-a": false, "1.0-a.1": true, "1.0+b": true, "[1.0,2.0-a.1)": true, "": false} {
		if r, ok := parseRange(text); !ok || r.semVer2() != want {
			t.Errorf("%q needs SemVer 2: %v", text, !want)
		}
	}
}

func FuzzRange(f *testing.F) {
	for _, text := range []string{"", "1.0", "[1.0,2.0-a.1)", "(,1]", "[1]", "1.*", "[1.0+b,)"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseRange(text)
		if !ok {
			return
		}
		if again, ok := parseRange(r.String()); !ok || again.String() != r.String() {
			t.Errorf("%q is %q, which is %q", text, r, again)
		}
	})
}
