package gitrepo

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"packhouse/internal/registry"
)

// Remote is a repository elsewhere that a project follows.
type Remote struct {
	URL            string // as of ParseRemote
	User, Password string // empty: none
	Local          bool   // it may be on this machine or in a private network
	MaxSize        int64  // bytes that one fetch may bring
}

// ParseRemote checks the URL of a remote: http or https, with a host, without a password in it, which everybody would see.
// No other transport of Git's is spoken: file and ext would reach into this machine. The error is Invalid.
func ParseRemote(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, len(text) > 2000, strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return nil, registry.Errorf(registry.Invalid, "is not a valid URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Opaque != "":
		return nil, registry.Errorf(registry.Invalid, "must begin with http:// or https://")
	case net.ParseIP(u.Hostname()) == nil && (!hostName.MatchString(u.Hostname()) || numericHost.MatchString(u.Hostname())):
		return nil, registry.Errorf(registry.Invalid, "has no valid host")
	case u.User != nil:
		return nil, registry.Errorf(registry.Invalid, "must not hold a user or password; these are parameters of their own")
	case u.Fragment != "", u.RawQuery != "":
		return nil, registry.Errorf(registry.Invalid, "must not have a query or fragment")
	}
	return u, nil
}

var (
	// Without a dot at the end, which some take off: then the address that was looked at is that of another name.
	hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)
	// Names that curl reads as addresses: "127.1", "0x7f000001".
	numericHost = regexp.MustCompile(`(?i)(^|\.)([0-9]+|0x[0-9a-f]*)$`)
)

// FetchTime is how long a fetch may take.
const FetchTime = 30 * time.Minute

// Fetch makes the branches and tags of a project's repository those of a remote. The error, when it is Invalid, TooLarge or
// Unavailable, says what people may know.
func (r *Repos) Fetch(ctx context.Context, project int64, remote Remote) error {
	u, err := ParseRemote(remote.URL)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, FetchTime)
	defer cancel()
	address, err := resolveHost(ctx, u.Hostname(), remote.Local)
	if err != nil {
		return err
	}
	if err := r.Make(ctx, project); err != nil {
		return err
	}
	settings := pinned(u, address)
	if remote.User != "" || remote.Password != "" {
		// In the environment, since everybody on the machine sees arguments.
		basic := base64.StdEncoding.EncodeToString([]byte(remote.User + ":" + remote.Password))
		settings = append(settings, [2]string{"http.extraHeader", "Authorization: Basic " + basic})
	}
	path := r.path(project)
	fetching, end := context.WithCancelCause(ctx)
	defer end(nil)
	cmd := r.command(fetching, path, "fetch", "--quiet", "--prune", "--force", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance",
		"--", u.String(), "+"+string(Branch)+"*:"+string(Branch)+"*", "+"+string(Tag)+"*:"+string(Tag)+"*")
	cmd.Env = append(r.environment(settings...), "GIT_DIR="+path)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} { // where the way out is a proxy, it is the proxy's to resolve names
		for _, name := range []string{name, strings.ToLower(name)} {
			if value := os.Getenv(name); value != "" {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
		}
	}
	left := incoming(path) // by another one that was cut off
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-fetching.Done():
				return
			case <-tick.C:
				if incoming(path)-left > remote.MaxSize {
					end(registry.Errorf(registry.TooLarge, "the remote has more than %d bytes", remote.MaxSize))
				}
			}
		}
	}()
	if err = r.run(fetching, cmd); err == nil {
		return nil
	}
	r.dropIncoming(path)
	var failed *gitError
	switch {
	case registry.KindOf(context.Cause(fetching)) == registry.TooLarge:
		return context.Cause(fetching)
	case ctx.Err() != nil:
		return registry.Errorf(registry.Unavailable, "the remote did not answer in time")
	case errors.As(err, &failed):
		return &registry.Error{Kind: registry.Unavailable, Message: lastLine(failed.stderr), Err: err}
	}
	return err
}

// pinned lets Git ask a host at the address that was looked at, whatever its name leads to by then. An address stands for itself.
func pinned(u *url.URL, address netip.Addr) [][2]string {
	if net.ParseIP(u.Hostname()) != nil {
		return nil
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	text := address.String()
	if address.Is6() {
		text = "[" + text + "]"
	}
	return [][2]string{{"http.curloptResolve", u.Hostname() + ":" + port + ":" + text}}
}

// lastLine is what Git complained of, in a line.
func lastLine(stderr string) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "fatal: ") || strings.HasPrefix(line, "remote: ") {
			return strings.ToValidUTF8(strings.ReplaceAll(line, "\x00", ""), "?")
		}
	}
	return strings.ToValidUTF8(strings.ReplaceAll(lines[len(lines)-1], "\x00", ""), "?")
}

// incoming is the bytes of packs that are being received.
func incoming(repository string) (size int64) {
	for _, file := range incomingFiles(repository) {
		if info, err := os.Stat(file); err == nil {
			size += info.Size()
		}
	}
	return size
}

// incomingFiles are the packs that fetches have begun. A push has its own in another folder.
func incomingFiles(repository string) []string {
	files, _ := filepath.Glob(filepath.Join(globSafe(repository), "objects", "pack", "tmp_*")) // the pattern is a good one
	return files
}

// globSafe lets a path stand for itself in a pattern.
func globSafe(path string) string {
	return strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func (r *Repos) dropIncoming(repository string) {
	for _, file := range incomingFiles(repository) {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return // the next one will
		}
	}
}

// resolveHost finds the address of a remote. Unless local, it must be a public one.
func resolveHost(ctx context.Context, host string, local bool) (netip.Addr, error) {
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(addresses) == 0 {
		return netip.Addr{}, registry.Errorf(registry.Unavailable, "the host %s is not known", host)
	}
	for _, address := range addresses {
		if address = address.Unmap(); local || public(address) {
			return address, nil
		}
	}
	return netip.Addr{}, registry.Errorf(registry.Invalid, "the host %s is in a network of our own, from which the server does not fetch", host)
}

// special are the networks besides those that netip knows which are nobody's on the Internet (IANA's registries).
var special = func() (all []netip.Prefix) {
	for _, text := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "fec0::/10", "3fff::/20", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16"} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}()

func public(address netip.Addr) bool {
	if !address.IsGlobalUnicast() || address.IsPrivate() {
		return false
	}
	for _, network := range special {
		if network.Contains(address) {
			return false
		}
	}
	return true
}
