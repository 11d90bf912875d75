package clients

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"packhouse/test/harness"
)

// commands are what a script may say beyond testscript's own.
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"registry":    registry,
	"feed":        feed,
	"package":     makePackage,
	"app":         makeApp,
	"json":        checkJSON,
	"jsonenv":     jsonEnv,
	"expand":      expand,
	"integrities": integrities,
	"server":      ownServer,
	"restart":     restart,
	"requested":   requested,
	"settings":    packageSettings,
	"upstream":    upstream,
	"damage":      damage,
}

// registry URL [TOKEN | USER:PASSWORD] sets all clients up for a registry, in
// the two files of the home folder that they read: with a token, which goes as
// Bearer, with a password, which goes as Basic, or without any.
func registry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: registry URL [TOKEN | USER:PASSWORD]")
	}
	url := args[0]
	// npm keeps credentials under the address without its scheme.
	_, address, _ := strings.Cut(url, ":")
	npmrc := "registry=" + url + "\n"
	// Berry refuses plain HTTP unless told; node_modules makes its installs
	// look like those of the others.
	yarnrc := fmt.Sprintf("npmRegistryServer: %q\nunsafeHttpWhitelist: [127.0.0.1, 127.0.0.2]\nnodeLinker: node-modules\n",
		strings.TrimSuffix(url, "/"))
	if len(args) == 2 {
		npmKey, yarnKey, credential := "_authToken", "npmAuthToken", args[1]
		if strings.Contains(credential, ":") {
			npmKey, yarnKey = "_auth", "npmAuthIdent"
			credential = base64.StdEncoding.EncodeToString([]byte(credential))
		}
		npmrc += fmt.Sprintf("%s:%s=%s\n", address, npmKey, credential)
		yarnrc += fmt.Sprintf("npmAlwaysAuth: true\n%s: %q\n", yarnKey, credential)
	}
	home := ts.Getenv("HOME")
	ts.Check(os.WriteFile(filepath.Join(home, ".npmrc"), []byte(npmrc), 0o600))
	ts.Check(os.WriteFile(filepath.Join(home, ".yarnrc.yml"), []byte(yarnrc), 0o600))
}

// feed URL [USER:PASSWORD] makes a feed the only source of the NuGet clients, called house, with a password or without.
func feed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: feed URL [USER:PASSWORD]")
	}
	credentials := ""
	if len(args) == 2 {
		user, password, _ := strings.Cut(args[1], ":")
		credentials = fmt.Sprintf(`<packageSourceCredentials><house><add key="Username" value=%q/><add key="ClearTextPassword" value=%q/></house></packageSourceCredentials>`,
			user, password)
	}
	// The one spelling of the name that nuget 2.8 finds.
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), "NuGet.Config"), []byte(fmt.Sprintf(
		`<configuration><packageSources><clear/><add key="house" value=%q/></packageSources>%s</configuration>`, args[0], credentials)), 0o600))
}

// package NAME VERSION [FIELD=JSON…] writes a package into the folder that is
// called like the last part of its name. Its module exports "NAME@VERSION".
func makePackage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: package NAME VERSION [FIELD=JSON...]")
	}
	name, version := args[0], args[1]
	manifest := map[string]any{"name": name, "version": version, "description": "The package " + name, "main": "index.js", "license": "MIT"}
	for _, arg := range args[2:] {
		field, value, _ := strings.Cut(arg, "=")
		if !json.Valid([]byte(value)) {
			ts.Fatalf("%s: not JSON: %s", field, value)
		}
		manifest[field] = json.RawMessage(value)
	}
	encoded, err := json.MarshalIndent(manifest, "", "  ")
	ts.Check(err)
	dir := ts.MkAbs(name[strings.LastIndex(name, "/")+1:])
	ts.Check(os.MkdirAll(dir, 0o755))
	for file, content := range map[string]string{
		"package.json": string(encoded) + "\n",
		"index.js":     fmt.Sprintf("module.exports = %q;\n", name+"@"+version),
		"README.md":    fmt.Sprintf("# %s\n\nHow to use %s.\n", name, name),
	} {
		ts.Check(os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644))
	}
}

// app NAME makes the folder of an empty application and enters it.
func makeApp(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: app NAME")
	}
	dir := filepath.Join(ts.Getenv("WORK"), args[0])
	ts.Check(os.Mkdir(dir, 0o755))
	ts.Check(os.WriteFile(filepath.Join(dir, "package.json"), []byte("{\"private\": true}\n"), 0o644))
	ts.Check(ts.Chdir(dir))
}

// lookup finds a value in a JSON file by keys and, in arrays, numbers.
func lookup(ts *testscript.TestScript, file string, keys []string) (value any, found bool) {
	if err := json.Unmarshal([]byte(ts.ReadFile(file)), &value); err != nil {
		ts.Fatalf("%s: %v", file, err)
	}
	for _, key := range keys {
		switch container := value.(type) {
		case map[string]any:
			if value, found = container[key]; !found {
				return nil, false
			}
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(container) {
				return nil, false
			}
			value = container[i]
		default:
			return nil, false
		}
	}
	return value, true
}

// text is a string as it is, and anything else as JSON.
func text(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(encoded)
}

// json FILE KEY… VALUE checks the value that stands under the keys; FILE may
// be stdout. "! json FILE KEY…" checks that nothing stands there.
func checkJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		if value, found := lookup(ts, args[0], args[1:]); found {
			ts.Fatalf("%s: %s is there: %s", args[0], strings.Join(args[1:], " "), text(value))
		}
		return
	}
	if len(args) < 2 {
		ts.Fatalf("usage: json FILE [KEY...] VALUE")
	}
	keys, want := args[1:len(args)-1], args[len(args)-1]
	value, found := lookup(ts, args[0], keys)
	if !found {
		ts.Fatalf("%s: no %s", args[0], strings.Join(keys, " "))
	}
	if got := text(value); got != want {
		ts.Fatalf("%s: %s is %s, not %s", args[0], strings.Join(keys, " "), got, want)
	}
}

// jsonenv VARIABLE FILE KEY… keeps a value in an environment variable.
func jsonEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: jsonenv VARIABLE FILE [KEY...]")
	}
	value, found := lookup(ts, args[1], args[2:])
	if !found {
		ts.Fatalf("%s: no %s", args[1], strings.Join(args[2:], " "))
	}
	ts.Setenv(args[0], text(value))
}

// expand FILE… replaces ${VARIABLE} in files of the script.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	for _, file := range args {
		content := os.Expand(ts.ReadFile(file), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(content), 0o644))
	}
}

var integrity = regexp.MustCompile(`sha512-[A-Za-z0-9+/]{86}==`)

// integrities FILE LOCK… checks that the integrities in FILE, at least one,
// all stand in one of the locks: what a client installed is what they name.
func integrities(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: integrities FILE LOCK...")
	}
	known := map[string]bool{}
	for _, lock := range args[1:] {
		for _, text := range integrity.FindAllString(ts.ReadFile(lock), -1) {
			known[text] = true
		}
	}
	found := integrity.FindAllString(ts.ReadFile(args[0]), -1)
	if len(found) == 0 {
		ts.Fatalf("%s: no integrity", args[0])
	}
	for _, text := range found {
		if !known[text] {
			ts.Fatalf("%s: %s is not in %s", args[0], text, strings.Join(args[1:], ", "))
		}
	}
}

// state is what a script has of its own beyond its environment.
type state struct {
	server *harness.Server // nil while the script uses the shared one
}

type stateKey struct{}

// server [CERTIFICATE KEY | --FLAG...] starts a server for this script alone,
// with a new world, and with TLS when it is given the names of two files,
// which it makes.
func ownServer(ts *testscript.TestScript, neg bool, args []string) {
	var config harness.Config
	if len(args) > 0 && strings.HasPrefix(args[0], "--") {
		config.Args = args
	} else if len(args) == 2 {
		certificate, key := ts.MkAbs(args[0]), ts.MkAbs(args[1])
		trusted, err := makeCertificate(certificate, key)
		ts.Check(err)
		config.RootCAs = trusted
		config.Args = []string{"--tls-cert", certificate, "--tls-key", key}
	}
	own := ts.Value(stateKey{}).(*state)
	var err error
	own.server, err = harness.Start(context.Background(), config)
	ts.Check(err)
	ts.Defer(func() { ts.Check(own.server.Stop()) })
	ts.Check(world(own.server, ts.Setenv))
}

// restart stops the script's own server and starts it again.
func restart(ts *testscript.TestScript, neg bool, args []string) {
	own := ts.Value(stateKey{}).(*state)
	if own.server == nil {
		ts.Fatalf("restart: the script has no server of its own")
	}
	next, err := own.server.Restart(context.Background())
	ts.Check(err)
	own.server = next
}

// damage flips a bit of each content of the script's own server on its disk; a second time flips it back.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	own := ts.Value(stateKey{}).(*state)
	if neg || len(args) != 0 || own.server == nil {
		ts.Fatalf("usage: damage, after server")
	}
	contents, err := filepath.Glob(filepath.Join(own.server.Data, "blobs", "sha256", "*", "*"))
	ts.Check(err)
	if len(contents) == 0 {
		ts.Fatalf("damage: the server has no content")
	}
	for _, path := range contents {
		content, err := os.ReadFile(path)
		ts.Check(err)
		content[len(content)/2] ^= 1
		ts.Check(os.Chmod(path, 0o600))
		ts.Check(os.WriteFile(path, content, 0o600))
	}
}

// requested REGEXP checks that the script's own server was asked for a path
// that matches, and with ! that it was not.
func requested(ts *testscript.TestScript, neg bool, args []string) {
	own := ts.Value(stateKey{}).(*state)
	if len(args) != 1 || own.server == nil {
		ts.Fatalf("usage: requested REGEXP, after server")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	found := ""
	for line := range strings.Lines(own.server.Log()) {
		var entry struct{ Path string }
		if json.Unmarshal([]byte(line), &entry) == nil && pattern.MatchString(entry.Path) {
			found = entry.Path
		}
	}
	if neg && found != "" {
		ts.Fatalf("%s was requested", found)
	} else if !neg && found == "" {
		ts.Fatalf("nothing that matches %s was requested", args[0])
	}
}

// settings JSON changes the package settings of the script's group.
func packageSettings(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: settings JSON")
	}
	server := shared
	if own := ts.Value(stateKey{}).(*state); own.server != nil {
		server = own.server
	}
	answer, err := server.Do("PUT", "/api/v4/groups/"+ts.Getenv("GROUP")+"/packages/settings", server.RootToken, []byte(args[0]))
	ts.Check(err)
	if answer.Status != http.StatusOK {
		ts.Fatalf("settings: %d %s", answer.Status, answer.Body)
	}
}

// makeCertificate writes a certificate for this machine that vouches for
// itself, and its key.
func makeCertificate(certificate, key string) (*x509.CertPool, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "Packhouse test"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	encoded := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public})
	if err := os.WriteFile(certificate, encoded, 0o644); err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(encoded)
	return trusted, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
}
