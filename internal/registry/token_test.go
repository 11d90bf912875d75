package registry_test

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"packhouse/internal/registry"
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var prefixes = map[registry.TokenKind]string{
	registry.PersonalToken: "php_",
	registry.DeployToken:   "phd_",
	registry.JobToken:      "phj_",
	registry.ResourceToken: "phg_",
}

func TestNewTokenText(t *testing.T) {
	// The pattern that is given to secret scanners.
	pattern := regexp.MustCompile(`^ph[pdjg]_[0-9A-Za-z]{38}$`)
	seen := map[string]bool{}
	used := map[rune]bool{}
	for kind, prefix := range prefixes {
		// So many that some checksums are short and have to be filled up.
		for range 200 {
			text := registry.NewTokenText(kind)
			if !strings.HasPrefix(text, prefix) || !pattern.MatchString(text) {
				t.Fatalf("token %q", text)
			}
			if seen[text] {
				t.Fatalf("%q came twice", text)
			}
			seen[text] = true
			if !registry.PlausibleToken(text) {
				t.Fatalf("%q is not plausible", text)
			}
			for _, c := range text[4:36] {
				used[c] = true
			}
		}
	}
	if len(used) != len(base62) {
		t.Errorf("secrets are made of %d characters, want %d", len(used), len(base62))
	}
}

// A typo is told without a look-up, wherever it is. Only one that makes the prefix nobody's cannot be told from a
// token that an administrator chose.
func TestPlausibleTokenDetectsTypos(t *testing.T) {
	for kind := range prefixes {
		text := registry.NewTokenText(kind)
		for at := range text {
			for _, c := range []byte(base62 + "_-. ") {
				if c == text[at] {
					continue
				}
				typo := []byte(text)
				typo[at] = c
				ours := slices.Contains([]string{"php_", "phd_", "phj_", "phg_"}, string(typo[:4]))
				if got := registry.PlausibleToken(string(typo)); got == ours {
					t.Errorf("%s for %s: plausible %t", typo, text, got)
				}
			}
			if at >= 4 && registry.PlausibleToken(text[:at]+text[at+1:]) {
				t.Errorf("%s without its character %d is plausible", text, at)
			}
			if at >= 4 && at < 35 && text[at] != text[at+1] {
				swapped := []byte(text)
				swapped[at], swapped[at+1] = swapped[at+1], swapped[at]
				if registry.PlausibleToken(string(swapped)) {
					t.Errorf("%s for %s is plausible", swapped, text)
				}
			}
		}
		for _, wrong := range []string{text + "0", text + " ", text[:4], text[:10], text + text} {
			if registry.PlausibleToken(wrong) {
				t.Errorf("%q is plausible", wrong)
			}
		}
	}
	for text, want := range map[string]bool{
		"php_Packhouse03Packhouse0301234567890rsnA5": true, // the checksum is made as it ever was: tokens are out there
		"": false, "chosen": true, "glpat-0123456789": true, "ph": true, "php": true, "php_": false, "PHP_x": true,
	} {
		if got := registry.PlausibleToken(text); got != want {
			t.Errorf("PlausibleToken(%q) = %t", text, got)
		}
	}
}

func TestHashToken(t *testing.T) {
	a, b := registry.HashToken("a"), registry.HashToken("b")
	if len(a) != 32 || bytes.Equal(a, b) || !bytes.Equal(a, registry.HashToken("a")) {
		t.Errorf("hashes %x and %x", a, b)
	}
}

func TestTokenActive(t *testing.T) {
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, test := range []struct {
		what  string
		token registry.Token
		want  bool
	}{
		{"without an end", registry.Token{}, true},
		{"before its end", registry.Token{ExpiresAt: at.Add(time.Millisecond)}, true},
		{"at its end", registry.Token{ExpiresAt: at}, false},
		{"after its end", registry.Token{ExpiresAt: at.Add(-time.Millisecond)}, false},
		{"revoked", registry.Token{Revoked: true}, false},
		{"revoked before its end", registry.Token{Revoked: true, ExpiresAt: at.Add(time.Hour)}, false},
	} {
		if got := test.token.Active(at); got != test.want {
			t.Errorf("%s: active %t", test.what, got)
		}
	}
}

func TestTokenHasScope(t *testing.T) {
	token := registry.Token{Scopes: []string{registry.ScopeReadAPI, registry.ScopeReadUser}}
	for _, test := range []struct {
		scopes []string
		want   bool
	}{
		{[]string{registry.ScopeReadAPI}, true},
		{[]string{registry.ScopeAPI, registry.ScopeReadUser}, true},
		{[]string{registry.ScopeAPI}, false},
		{[]string{"read"}, false},
		{nil, false},
	} {
		if got := token.HasScope(test.scopes...); got != test.want {
			t.Errorf("HasScope(%v) = %t", test.scopes, got)
		}
	}
}
