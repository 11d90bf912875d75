package registry_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"packhouse/internal/registry"
)

func TestErrors(t *testing.T) {
	cause := io.ErrUnexpectedEOF
	inner := &registry.Error{Kind: registry.Full, Message: "no space left", Err: cause}
	for _, test := range []struct {
		err     error
		kind    registry.Kind
		message string
	}{
		{nil, registry.Fault, ""},
		{cause, registry.Fault, ""},
		{registry.Errorf(registry.NotFound, "no %s", "x"), registry.NotFound, "no x"},
		{inner, registry.Full, "no space left"},
		{fmt.Errorf("Publish: %w", inner), registry.Full, "no space left"},
		{&registry.Error{Kind: registry.Fault, Message: "the content is missing", Err: inner}, registry.Fault, "the content is missing"},
	} {
		if kind, message := registry.KindOf(test.err), registry.MessageOf(test.err); kind != test.kind || message != test.message {
			t.Errorf("%v: kind %d, message %q", test.err, kind, message)
		}
	}
	if !errors.Is(inner, cause) || !strings.Contains(inner.Error(), cause.Error()) {
		t.Errorf("%v hides its cause", inner)
	}

	err := error(inner)
	registry.Wrap(&err, "Publish(%d)", 7)
	if err.Error() != "Publish(7): no space left: unexpected EOF" || registry.KindOf(err) != registry.Full {
		t.Errorf("wrapped: %v", err)
	}
	err = nil
	if registry.Wrap(&err, "Publish"); err != nil {
		t.Errorf("nothing, wrapped: %v", err)
	}
}

func TestVisibility(t *testing.T) {
	order := []registry.Visibility{registry.Private, registry.Internal, registry.Public}
	for i, v := range order {
		if !v.Valid() {
			t.Errorf("%s is not valid", v)
		}
		for j, limit := range order {
			if got := v.Exceeds(limit); got != (i > j) {
				t.Errorf("%s exceeds %s: %t", v, limit, got)
			}
		}
	}
	for _, v := range []registry.Visibility{"", "Public", "secret"} {
		if v.Valid() {
			t.Errorf("%q is valid", v)
		}
	}
	for access, want := range map[registry.RegistryAccess]bool{"disabled": true, "private": true, "enabled": true, "public": true, "": false, "internal": false} {
		if access.Valid() != want {
			t.Errorf("registry access %q is valid: %t", access, !want)
		}
	}
}

func TestGrantable(t *testing.T) {
	for level := registry.Level(-1); level <= 100; level++ {
		want := map[registry.Level]bool{5: true, 10: true, 15: true, 20: true, 30: true, 40: true, 50: true}[level]
		if level.Grantable() != want {
			t.Errorf("level %d is grantable: %t", level, !want)
		}
	}
}

func TestProjectRoot(t *testing.T) {
	p := registry.Project{FullPath: "top/low/tool", Lineage: []int64{7, 12}}
	if p.RootID() != 7 || p.RootPath() != "top" {
		t.Errorf("root %d, %s", p.RootID(), p.RootPath())
	}
}

func TestLatest(t *testing.T) {
	format := registry.Format{Compare: strings.Compare}
	packages := []*registry.Package{{ID: 1, Version: "1"}, {ID: 2, Version: "3"}, {ID: 3, Version: "2"}, {ID: 4, Version: "3"}}
	latest := func(id int64) *registry.Tag { return &registry.Tag{Name: registry.LatestTag, PackageID: id} }
	for _, test := range []struct {
		what     string
		packages []*registry.Package
		tags     []*registry.Tag
		want     int64
	}{
		{"nothing", nil, nil, 0},
		{"a tag of nothing", nil, []*registry.Tag{latest(1)}, 0},
		{"the highest, of two the newest", packages, nil, 4},
		{"the tag", packages, []*registry.Tag{latest(1)}, 1},
		{"another tag", packages, []*registry.Tag{{Name: "next", PackageID: 1}}, 4},
		{"the tag moved last", packages, []*registry.Tag{latest(1), latest(3)}, 3},
		{"a tag of what is not to be had", packages, []*registry.Tag{latest(9)}, 4},
		{"the tag of what is to be had", packages, []*registry.Tag{latest(1), latest(9)}, 1},
	} {
		var got int64
		if p := registry.Latest(format, test.packages, test.tags); p != nil {
			got = p.ID
		}
		if got != test.want {
			t.Errorf("%s: package %d, want %d", test.what, got, test.want)
		}
	}
}
