package server

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// Whatever a client sends over its connection, in its path, its headers or the body of a small change, is answered as its own mistake or
// served, and never as ours. "@" stands for root's token.
func FuzzRequest(f *testing.F) {
	s := open(f, func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	do(f, s, http.StatusCreated, "POST", "/api/v4/projects", `{"name":"fuzz","visibility":"public"}`)
	const as = "PRIVATE-TOKEN: @\r\n"
	with := func(request, headers, body string) []byte {
		if body != "" {
			headers += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
			body = strings.Join([]string{strconv.FormatInt(int64(len(body)), 16), body, "0", "", ""}, "\r\n")
		}
		return []byte(request + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n" + body)
	}
	for _, seed := range [][]byte{
		with("GET /", "Accept: text/html\r\nAccept-Language: de-CH, en;q=0.5, *;q=nan\r\nCookie: session=x; language=zz\r\n", ""),
		with("GET //api/v4/../user", as, ""), with("GET /root/fuzz/-/packages/1%2f..", "Accept: text/html\r\n", ""), with("GET /%2e%2e/%00", "", ""),
		with("GET /root/fuzz.git/info/refs?service=git-upload-pack", "", ""), with("GET /root/fuzz.git/info/refs?service=x", "Authorization: Basic cm9vdDpA\r\n", ""),
		with("GET /api/v4/projects/root%2Ffuzz/packages?order_by=x&page=-1&per_page=1e9&status=zz", as, ""), with("GET /api/v4/groups?pagination=keyset&cursor=e30", as, ""),
		with("GET /-/readiness", "X-Forwarded-For: 192.0.2.1, ::1%eth0, x\r\nX-Request-Id: a b\r\ntraceparent: 00-0-0-zz\r\n", ""),
		with("PUT /api/v4/projects/1/packages/npm/-/user/org.couchdb.user:root", "", `{"name":"root","password":"x"}`),
		with("POST /api/v4/packages/npm/-/npm/v1/tokens", as, `{"password":"x","readonly":true,"cidr_whitelist":["::/0"]}`),
		with("POST /api/v4/packages/npm/-/npm/v1/security/advisories/bulk", as, `{"a":["1.0.0"]}`), with("GET /api/v4/projects/1/packages/npm/-/v1/search?text=author:x+not:y&size=-1", as, ""),
		with("PUT /api/v4/projects/1/packages/npm/-/package/a/dist-tags/b", as, `"1.0.0"`), with("PUT /api/v4/projects/1/packages/npm/a", as, `{"_id":"a","name":"a","versions":{},"_attachments":{}}`),
		with("GET /api/v4/projects/1/packages/pypi/simple/a_b/", "Accept: application/vnd.pypi.simple.v1+json;q=0.1, */*;q=inf\r\n", ""), with("GET /api/v4/projects/1/packages/pypi/files/00/a", "Range: bytes=0-,-1\r\n", ""),
		with("GET /api/v4/projects/1/packages/nuget/v2/Packages(Id='a',Version='1')?$filter=Id+eq+'b'&$orderby=Id&$select=Id", "", ""), with("GET /api/v4/projects/1/packages/nuget/query?q=id:a&skip=0&take=9999999999", "", ""),
		with("GET /api/v4/projects/1/packages/nuget/symbolfiles/a.pdb/0ff/a.pdb", "SymbolChecksum: SHA256:00\r\n", ""), with("GET /api/v4/group/1/-/packages/composer/p2/a/b~dev.json", "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n", ""),
		with("POST /api/v4/projects/1/packages/composer?tag=v1&branch=x", as, ""), with("PUT /api/v4/projects/1/packages/protection/rules/1", as, `{"package_name_pattern":"*","package_type":1}`),
		with("PUT /api/v4/projects/1/packages/cleanup_policy", as, `{"version_pattern":"(","keep_n_versions":"x","cadence":"1d"}`), with("POST /api/v4/users", as, `{"username":"\u0000","email":[],"admin":{}}`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(string(raw), "@", testToken))))
		if err != nil {
			return // net/http refuses it
		}
		if strings.Contains(r.URL.Path, ".git") && r.Method == http.MethodPost || strings.Contains(r.URL.Path, "mirror") {
			return // Git's own work, and requests to elsewhere
		}
		r.RemoteAddr = "192.0.2.1:1"
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), testToken) && r.Method == http.MethodGet {
			t.Errorf("the answer holds the token: %s", w.Body)
		}
	})
}
