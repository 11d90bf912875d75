package clients

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func init() {
	commands["await-json"] = awaitJSON
	commands["repo"] = makeRepo
	commands["v1-only"] = v1Only
	commands["commit"] = makeCommit
	commands["php-app"] = makePHPApp
	commands["composer-auth"] = composerAuth
}

// repo DIR TOKEN [PATH] makes a clone, with one branch main and nothing in it, of
// the repository of the project closed, open, or whichever DIR is called like,
// below the group, or of the one at PATH.
func makeRepo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: repo DIR TOKEN [PATH]")
	}
	dir, path := ts.MkAbs(args[0]), ts.Getenv("GROUP")+"/"+filepath.Base(args[0])
	if len(args) == 3 {
		path = args[2]
	}
	scheme, host, _ := strings.Cut(ts.Getenv("URL"), "://")
	ts.Check(ts.Exec("git", "init", "--quiet", "--initial-branch=main", dir))
	ts.Check(ts.Exec("git", "-C", dir, "remote", "add", "origin", scheme+"://git:"+args[1]+"@"+host+"/"+path+".git"))
}

// commit DIR [TAG] commits all that is in a clone, tags it, and pushes both;
// with ! the push must fail.
func makeCommit(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: commit DIR [TAG]")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(ts.Exec("git", "-C", dir, "add", "--all"))
	ts.Check(ts.Exec("git", "-C", dir, "commit", "--quiet", "--allow-empty", "-m", "Change "+strings.Join(args, " ")))
	if len(args) == 2 {
		ts.Check(ts.Exec("git", "-C", dir, "tag", args[1]))
	}
	err := ts.Exec("git", "-C", dir, "push", "--quiet", "--tags", "origin", "HEAD")
	if neg && err == nil {
		ts.Fatalf("the push has succeeded")
	} else if !neg {
		ts.Check(err)
	}
}

// awaitTime is how long what happens in the background may take.
const awaitTime = 30 * time.Second

// await-json KEY VALUE URL asks, as the maintainer, until the JSON that is
// answered has a value under a key.
func awaitJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: await-json KEY VALUE URL")
	}
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		ts.Check(ts.Exec("curl", "-s", "-H", "PRIVATE-TOKEN: "+ts.Getenv("TOKEN"), args[2]))
		if value, found := lookup(ts, "stdout", args[:1]); found && text(value) == args[1] {
			return
		}
		if time.Since(began) > awaitTime {
			ts.Fatalf("%s did not become %s", args[0], args[1])
		}
	}
}

// php-app NAME makes the folder of an application that asks only our server
// for packages, and enters it.
func makePHPApp(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: php-app NAME")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	manifest, err := json.MarshalIndent(map[string]any{
		"name": "acme/" + args[0], "repositories": map[string]any{"packagist": false}, "require": map[string]any{},
		"config": map[string]any{"secure-http": false, "gitlab-domains": []string{ts.Getenv("HOST")}, "allow-plugins": false, "lock": true},
	}, "", "    ")
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, "composer.json"), []byte(strings.Replace(string(manifest), `"require": {}`, `"require": {}`, 1)), 0o644))
	ts.Check(ts.Chdir(dir))
}

// composer-auth http-basic USER PASSWORD | gitlab-token TOKEN | gitlab-token USER TOKEN
// writes the auth.json of the application that the script is in.
func composerAuth(ts *testscript.TestScript, neg bool, args []string) {
	var credential any
	switch {
	case neg || len(args) < 2 || len(args) > 3:
		ts.Fatalf("usage: composer-auth KIND [USER] PASSWORD")
	case args[0] == "http-basic":
		credential = map[string]string{"username": args[1], "password": args[2]}
	case len(args) == 3:
		credential = map[string]string{"username": args[1], "token": args[2]}
	default:
		credential = args[1]
	}
	text, err := json.Marshal(map[string]any{args[0]: map[string]any{ts.Getenv("HOST"): credential}})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("auth.json"), text, 0o600))
}

// v1-only puts a proxy before the script's server that shows of packages.json
// only what Composer 1 knows of. URL and HOST are the proxy's afterwards.
func v1Only(ts *testscript.TestScript, neg bool, args []string) {
	target, err := url.Parse(ts.Getenv("URL"))
	ts.Check(err)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // as a client sees it, so are the URLs in what it gets
			if strings.HasSuffix(r.In.URL.Path, "/packages.json") {
				r.Out.Header.Set("User-Agent", "Composer/1.10.27")
				r.Out.Header.Del("Accept-Encoding")
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if !strings.HasSuffix(r.Request.URL.Path, "/packages.json") || r.StatusCode != http.StatusOK {
				return nil
			}
			var root map[string]json.RawMessage
			if err := json.NewDecoder(r.Body).Decode(&root); err != nil {
				return err
			}
			for key := range root {
				if key != "packages" && key != "provider-includes" && key != "providers-url" && key != "notify-batch" {
					delete(root, key)
				}
			}
			text, err := json.Marshal(root)
			r.Body = io.NopCloser(bytes.NewReader(text))
			r.ContentLength = int64(len(text))
			r.Header.Set("Content-Length", strconv.Itoa(len(text)))
			return err
		},
	}
	front := httptest.NewServer(proxy)
	ts.Defer(front.Close)
	_, host, _ := strings.Cut(front.URL, "://")
	ts.Setenv("URL", front.URL)
	ts.Setenv("HOST", host)
}
