package databasetest

import (
	"strconv"
	"testing"

	"packhouse/internal/registry"
)

// Files that join a version, with debug symbols, and how these are found.
func testJoins(t *testing.T, s *store) {
	top := s.group(nil, "top")
	g := s.group(top, "g")
	p, q := s.project(g.ID, "p"), s.project(top.ID, "q")
	// join adds a file with symbols of these checksums to version 1 of a package.
	join := func(project *registry.Project, name string, checksums ...string) error {
		pub := publication(project, name, "1")
		pub.How, pub.Fragments = registry.Join, nil
		file := registry.PublicationFile{Name: "symbols", Content: newContent(name + " symbols")}
		for _, checksum := range checksums {
			symbol := registry.Symbol{Name: "a.pdb", Signature: "5", Checksum: checksum}
			file.Symbols = append(file.Symbols, registry.PublicationSymbol{Symbol: symbol, Content: newContent(project.Path + checksum)})
		}
		pub.Files = []registry.PublicationFile{file}
		return s.Publish(t.Context(), format, pub)
	}
	wantKind(t, "a version that is not there", join(p, "none"), registry.NotFound)
	wantKind(t, "the entry of it", s.attempt(func(tx registry.Tx) error { _, err := tx.Entry(p.ID, registry.NPM, "none"); return err }), registry.NotFound)

	pkg := s.publish(p, "pack", "1")
	before := s.entry(p, "pack").Revision
	must(t, join(p, "pack", "one"))
	if files := find(s, func(tx registry.Tx) ([]*registry.File, error) { return tx.Files(pkg.ID) }); len(files) != 2 || s.entry(p, "pack").Revision <= before {
		t.Errorf("files: %v", files)
	}
	found := func(project int64, group *registry.Group, signature, name string, checksums ...string) (all []string) {
		t.Helper()
		for _, symbol := range find(s, func(tx registry.Tx) ([]*registry.ProjectSymbol, error) {
			return tx.Symbols(project, group, signature, name, checksums)
		}) {
			all = append(all, strconv.FormatInt(symbol.ProjectID-p.ID, 10)+symbol.Checksum)
		}
		return all
	}
	other := strconv.FormatInt(q.ID-p.ID, 10)
	s.publish(q, "pack", "1")
	var many []string
	for i := range 150 { // of the same name and signature: they are in nobody's way
		many = append(many, strconv.Itoa(i))
	}
	must(t, join(q, "pack", append(many, "one")...))
	for what, test := range map[string]struct{ want, got []string }{
		"below the group":         {[]string{other + "one", "0one"}, found(0, top, "5", "a.pdb", "two", "one")},
		"below the group further": {[]string{"0one"}, found(0, g, "5", "a.pdb", "one")},
		"in a project":            {[]string{other + "7"}, found(q.ID, nil, "5", "a.pdb", "7")},
		"another checksum":        {nil, found(p.ID, nil, "5", "a.pdb", "7")},
		"another signature":       {nil, found(0, top, "6", "a.pdb", "one")},
		"another name":            {nil, found(0, top, "5", "b.pdb", "one")},
		"no checksum":             {nil, found(0, top, "5", "a.pdb")},
		"bytes that are no text":  {nil, found(0, top, "\x00", "\xff", "one")},
	} {
		same(t, what, test.want, test.got)
	}

	anybody := func(registry.Tx, *registry.Package) error { return nil }
	for _, file := range find(s, func(tx registry.Tx) ([]*registry.File, error) { return tx.Files(pkg.ID) }) {
		must(t, s.DeleteFile(t.Context(), pkg.ID, file.ID, anybody))
	}
	same(t, "symbols of a file that was deleted", 0, len(found(p.ID, nil, "5", "a.pdb", "one")))
	wantKind(t, "a version whose files were deleted", join(p, "pack", "two"), registry.NotFound)
	same(t, "versions", 0, len(s.versions(s.entry(p, "pack"))))
}
