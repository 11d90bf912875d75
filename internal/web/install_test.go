package web

import (
	"net/url"
	"strings"
	"testing"

	"packhouse/internal/registry"
)

// Clients are told to go by plain HTTP where they would not, and never else.
func TestPlainHTTP(t *testing.T) {
	for _, server := range []struct {
		scheme, host         string
		pip, nuget, composer bool
	}{
		{"https", "packages.example.com", false, false, false},
		{"http", "packages.example.com:8080", true, true, true},
		{"http", "127.0.0.1:8080", false, true, true},
		{"http", "[::1]:8080", false, true, true},
		{"http", "localhost", false, true, true},
		{"http", "192.0.2.1:8080", true, true, true},
	} {
		m := manager{address: server.scheme + "://" + server.host, origin: url.URL{Scheme: server.scheme, Host: server.host}, project: &registry.Project{}, user: "ann"}
		m.base = m.address + "/api/v4/projects/1/packages/x"
		said := func(kind registry.Type, text string) bool {
			m.kind = kind
			var all strings.Builder
			for _, s := range append(m.install("x", "1.0"), m.setup("x")...) {
				all.WriteString(s.Text + "\n")
			}
			return strings.Contains(all.String(), text)
		}
		for _, of := range []struct {
			kind registry.Type
			text string
			want bool
		}{
			{registry.PyPI, "--trusted-host " + server.host + " ", server.pip}, {registry.PyPI, "trusted-host = " + server.host + "\n", server.pip},
			{registry.NuGet, `allowInsecureConnections="true"`, server.nuget}, {registry.Composer, `"secure-http": false`, server.composer},
		} {
			if got := said(of.kind, of.text); got != of.want {
				t.Errorf("%s://%s, %s: %q is said: %t, want %t", server.scheme, server.host, of.kind, of.text, got, of.want)
			}
		}
	}
}
