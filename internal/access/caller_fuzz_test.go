package access

import (
	"net/http/httptest"
	"testing"
)

// A credential comes from one place, and nothing that a client sends is more than text that is not known.
func FuzzCredential(f *testing.F) {
	for _, seed := range [][2]string{{"Basic dTpw", ""}, {"Basic dTpw=", ""}, {"basic", ""}, {"Bearer  x ", ""}, {"Digest x", ""}, {"", "private_token=x&job_token=y"}, {"", "token=%zz"}, {"\x00", "access_token"}} {
		f.Add("Authorization", seed[0], seed[1])
	}
	f.Add("Job-Token", "x", "")
	f.Fuzz(func(t *testing.T, header, value, query string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = query
		r.Header.Set(header, value)
		text, given := Credential(r)
		if text != "" && !given {
			t.Errorf("%s: %q, %q: not given, and yet %q", header, value, query, text)
		}
		name, sudo := sudo(r)
		if name != "" && !sudo {
			t.Errorf("sudo as %q", name)
		}
	})
}
