package api

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzReadParams feeds parameters of any form and type: they are read or refused, and what is read can be asked for.
func FuzzReadParams(f *testing.F) {
	for _, seed := range [][3]string{
		{"", "", ""},
		{"a=1&a=2&b[]=x", "application/json", `{"name":"x","scopes":["api",null,[1],{"a":1}],"n":1.5,"t":true}`},
		{"%zz", "application/x-www-form-urlencoded", "scopes[]=api&scopes[]=read_api&name=%00"},
		{"", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nx\r\n--b--\r\n"},
		{"", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nx"},
		{"", "text/plain", "x"},
		{"", "application/json", strings.Repeat("[", 2000)},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, query, kind, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", kind)
		p, err := readParams(httptest.NewRecorder(), r)
		if err != nil {
			return
		}
		for name := range p.given {
			p.value(name)
			p.list(name)
		}
	})
}
