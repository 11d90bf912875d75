package databasetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"packhouse/internal/registry"
)

// listed is a package as the model of a list knows it.
type listed struct {
	*registry.Package
	project *registry.Project
}

// random draws from some values.
func random[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// modelled fills a store at random and says what is in it. What happens to packages later, a change of status, removal,
// has happened to some of them.
func (s *store) modelled(r *rand.Rand, projects []*registry.Project, packages int) (all []listed) {
	s.t.Helper()
	names := []string{"@acme/hello", "@acme/Hello", "hello-world", "Größe", "größe-2", "100%", "under_score", "under-score", `back\slash`, "z", "Z", "com/acme/App", "my.pack", "My_pack"}
	types := []registry.Type{registry.NPM, registry.PyPI, registry.Generic, registry.Maven, registry.Composer}
	statuses := []registry.Status{registry.Default, registry.Default, registry.Default, registry.Default, registry.Deprecated, registry.Failed, registry.Hidden, registry.Processing}
	begin := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	for len(all) < packages {
		p := &registry.Package{
			ProjectID: random(r, projects...).ID, Type: random(r, types...), Name: random(r, names...), Version: fmt.Sprintf("%d.%d", r.IntN(12), r.IntN(3)),
			Status: random(r, statuses...), CreatedAt: begin.Add(time.Duration(r.IntN(40)) * time.Minute), Words: random(r, "hello", "world"),
		}
		if r.IntN(15) == 0 {
			p.Version = ""
		}
		entryName := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(p.Name)) // so that one entry has several spellings
		err := s.attempt(func(tx registry.Tx) error {
			entry, err := tx.TouchEntry(p.ProjectID, p.Type, entryName)
			if err != nil {
				return err
			}
			p.EntryID = entry.ID
			return tx.CreatePackage(p)
		})
		if registry.KindOf(err) == registry.Conflict {
			continue // the version exists
		}
		must(s.t, err)
		project := projects[slices.IndexFunc(projects, func(q *registry.Project) bool { return q.ID == p.ProjectID })]
		all = append(all, listed{p, project})
	}
	s.write(func(tx registry.Tx) error {
		for i, p := range all {
			var err error
			switch i % 9 {
			case 0:
				p.Status = random(r, statuses...)
				err = tx.UpdatePackage(p.Package)
			case 1:
				p.Status = registry.PendingDestruction
				err = tx.MarkForDestruction(p.ID)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return all
}

// inModel is what a list of the packages has to be. visible are the projects that the list is about.
func inModel(all []listed, f registry.PackageFilter, visible []*registry.Project) (page []string, total int) {
	found := slices.DeleteFunc(slices.Clone(all), func(p listed) bool {
		return !slices.Contains(visible, p.project) || !slices.Contains(f.Statuses, p.Status) ||
			f.Type != "" && p.Type != f.Type || f.Version != "" && p.Version != f.Version || f.Version == "" && !f.Versionless && p.Version == "" ||
			slices.ContainsFunc(f.Terms, func(term string) bool { return !strings.Contains(strings.ToLower(p.Name), strings.ToLower(term)) })
	})
	slices.SortFunc(found, func(a, b listed) int {
		var order int
		switch f.Order {
		case registry.ByCreation:
			order = a.CreatedAt.Compare(b.CreatedAt)
		case registry.ByName:
			order = strings.Compare(a.Name, b.Name)
		case registry.ByVersion:
			order = strings.Compare(a.Version, b.Version)
		case registry.ByType:
			order = a.Type.Number() - b.Type.Number()
		case registry.ByProjectPath:
			order = strings.Compare(a.project.Path, b.project.Path)
		}
		order = cmp.Or(order, cmp.Compare(a.ID, b.ID))
		if f.Descending {
			return -order
		}
		return order
	})
	from := min(f.Offset, len(found))
	for _, p := range found[from:min(from+f.Limit, len(found))] {
		page = append(page, describe(p.Package))
	}
	return page, len(found)
}

func describe(p *registry.Package) string {
	return fmt.Sprint(p.ID, " ", p.ProjectID, " ", p.EntryID, " ", p.Type, " ", p.Name, " ", p.Version, " ", p.Status, " ", p.CreatedAt.UnixMilli())
}

// Each list is compared with what a loop over all packages makes of it.
func testLists(t *testing.T, s *store) {
	r := rand.New(rand.NewPCG(3, 7))
	top := s.group(nil, "top")
	low := s.group(top, "low")
	lower := s.group(low, "lower")
	other := s.group(nil, "other")
	large := s.project(top.ID, "large")
	// Two paths are there twice, and b comes before B in no order but that of a language.
	b, upper, b2 := s.project(top.ID, "b"), s.project(lower.ID, "B"), s.project(low.ID, "b")
	deep, outside := s.project(lower.ID, "a"), s.project(other.ID, "a")
	disabled := s.projectWith(top.ID, "none", registry.Public, registry.RegistryDisabled)
	projects := []*registry.Project{large, large, large, large, large, large, b, upper, b2, deep, outside, disabled}
	all := s.modelled(r, projects, 700)
	s.project(top.ID, "empty")
	member := s.user("member")
	s.member(member, low, nil, registry.Reporter, time.Time{})

	everybody, some := registry.Viewer{All: true}, registry.Viewer{UserID: member.ID}
	scopes := []struct {
		filter  registry.PackageFilter
		visible []*registry.Project
	}{
		{registry.PackageFilter{Project: large.ID}, []*registry.Project{large}},
		{registry.PackageFilter{Project: b.ID}, []*registry.Project{b}},
		{registry.PackageFilter{Project: 4711}, nil},
		{registry.PackageFilter{Group: top, Viewer: everybody}, []*registry.Project{large, b, upper, b2, deep}},
		{registry.PackageFilter{Group: top, Viewer: everybody, Direct: true}, []*registry.Project{large, b}},
		{registry.PackageFilter{Group: low, Viewer: everybody}, []*registry.Project{b2, deep, upper}},
		{registry.PackageFilter{Group: low, Viewer: everybody, Direct: true}, []*registry.Project{b2}},
		{registry.PackageFilter{Group: top, Viewer: some}, []*registry.Project{b2, deep, upper}},
		{registry.PackageFilter{Group: top, Viewer: some, Direct: true}, nil},
		{registry.PackageFilter{Group: other, Viewer: some}, nil},
	}
	terms := [][]string{nil, nil, nil, {"hello"}, {"HELLO", "acme"}, {"größe"}, {"GRÖSSE"}, {"Größe"}, {"%"}, {"_"}, {"-"}, {"."}, {"r_s"}, {`\`}, {"z"}, {"Z"}, {"acme", "nothing"},
		{"'"}, {"o"}, {"100%"}, {"l", "l"}, {"not \xff text"}, {strings.Repeat("x", 100_000)}}
	statuses := [][]registry.Status{registry.Listed, registry.Listed, registry.Listed, {registry.Default}, {registry.Deprecated}, {registry.Hidden}, {registry.Processing},
		{registry.Failed}, {registry.PendingDestruction}, {registry.Default, registry.Hidden}, {}}
	check := func(what string, n int) {
		t.Helper()
		for range n {
			scope := random(r, scopes...)
			f := scope.filter
			f.Statuses, f.Terms = random(r, statuses...), random(r, terms...)
			f.Type = random(r, "", "", "", registry.NPM, registry.PyPI, registry.Composer, registry.NuGet, "unknown")
			f.Version = random(r, "", "", "", "", "3.1", "11.0", "4711")
			f.Order = random(r, registry.ByCreation, registry.ByName, registry.ByVersion, registry.ByType, registry.ByProjectPath)
			f.Descending, f.Versionless = r.IntN(2) == 0, r.IntN(4) == 0
			f.Limit = random(r, 1, 2, 7, 20, 100, 1000)
			_, total := inModel(all, f, scope.visible)
			f.Offset = random(r, 0, 0, r.IntN(total+1), total/2, max(0, total-f.Limit), max(0, total-1), total, total+f.Limit)
			want, wantTotal := inModel(all, f, scope.visible)
			var got []string
			var gotTotal int
			s.read(func(tx registry.Tx) error {
				packages, total, err := tx.ListPackages(f)
				got, gotTotal = nil, total
				for _, p := range packages {
					got = append(got, describe(p))
				}
				return err
			})
			same(t, fmt.Sprintf("%s: %+v", what, f), want, got)
			same(t, fmt.Sprintf("%s: total of %+v", what, f), wantTotal, gotTotal)
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	check("published", 1200)

	// The rows themselves go, of packages and of one project as a whole.
	must(t, s.Purge(t.Context()))
	all = slices.DeleteFunc(all, func(p listed) bool { return p.Status == registry.PendingDestruction })
	check("purged", 300)

	_, _, err := func() (packages []*registry.Package, total int, err error) {
		err = s.Store.Read(t.Context(), func(tx registry.Tx) error {
			packages, total, err = tx.ListPackages(registry.PackageFilter{Project: large.ID, Statuses: registry.Listed, Order: "size", Limit: 1})
			return err
		})
		return packages, total, err
	}()
	if err == nil {
		t.Error("a list has an order that there is not")
	}
}

// A list of everything is right while packages come and go at once, from its first package to its last.
func testListsWhilePublishing(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	const publishers, each = 4, 12
	done := make(chan error, publishers)
	for n := range publishers {
		go func() {
			done <- func() error {
				for i := range each {
					pub := publication(p, "common", fmt.Sprintf("%d.%d", n, i))
					if err := s.Publish(t.Context(), format, pub); err != nil {
						return err
					}
					if i%3 == 0 {
						if err := s.Delete(t.Context(), pub.Package.ID, func(registry.Tx, *registry.Package) error { return nil }); err != nil {
							return err
						}
					}
				}
				return nil
			}()
		}()
	}
	for finished := 0; finished < publishers; {
		select {
		case err := <-done:
			must(t, err)
			finished++
		default:
		}
		s.read(func(tx registry.Tx) error {
			packages, total, err := tx.ListPackages(registry.PackageFilter{Project: p.ID, Statuses: registry.Listed, Terms: []string{"common"}, Order: registry.ByVersion, Limit: 1000})
			if total != len(packages) {
				t.Errorf("a list of %d packages has the total %d", len(packages), total)
			}
			return err
		})
	}
	s.read(func(tx registry.Tx) error {
		_, total, err := tx.ListPackages(registry.PackageFilter{Project: p.ID, Statuses: registry.Listed, Order: registry.ByName, Limit: 1})
		same(t, "total", publishers*(each-each/3), total)
		return err
	})
}

func testListOfFiles(t *testing.T, s *store) {
	p := s.project(s.group(nil, "g").ID, "p")
	pkg, other := s.publish(p, "pack", "1"), s.publish(p, "pack", "2")
	var files []*registry.File
	s.read(func(tx registry.Tx) (err error) {
		files, err = tx.Files(pkg.ID)
		return err
	})
	s.write(func(tx registry.Tx) error {
		for _, name := range []string{"b", "a", "B", "ä", "a", "c", "gone"} {
			f := &registry.File{PackageID: pkg.ID, Name: name, Digests: newContent(name).sums}
			if err := tx.CreateFile(f); err != nil {
				return err
			}
			files = append(files, f)
		}
		return tx.MarkFile(files[len(files)-1].ID)
	})
	files = files[:len(files)-1]
	page := func(pkg int64, order string, descending bool, limit, offset int) (page []*registry.File, total int) {
		s.read(func(tx registry.Tx) (err error) {
			page, total, err = tx.PageFiles(pkg, order, descending, limit, offset)
			return err
		})
		return page, total
	}
	for order, compare := range map[string]func(a, b *registry.File) int{
		"id":         func(a, b *registry.File) int { return 0 },
		"created_at": func(a, b *registry.File) int { return a.CreatedAt.Compare(b.CreatedAt) },
		"file_name":  func(a, b *registry.File) int { return strings.Compare(a.Name, b.Name) },
	} {
		for _, descending := range []bool{false, true} {
			slices.SortFunc(files, func(a, b *registry.File) int {
				if descending {
					a, b = b, a
				}
				return cmp.Or(compare(a, b), cmp.Compare(a.ID, b.ID))
			})
			for limit := 1; limit <= len(files)+1; limit++ {
				for offset := range len(files) + 2 {
					got, total := page(pkg.ID, order, descending, limit, offset)
					from := min(offset, len(files))
					what := fmt.Sprintf("%d files from %d by %s, descending: %t", limit, offset, order, descending)
					same(t, what, files[from:min(from+limit, len(files))], got)
					same(t, what+", total", len(files), total)
				}
			}
		}
	}
	var bytes int64
	for _, f := range files {
		bytes += f.Size
	}
	same(t, "size of all files", bytes, find(s, func(tx registry.Tx) (int64, error) { return tx.FilesSize(pkg.ID) }))
	same(t, "size of no files", int64(0), find(s, func(tx registry.Tx) (int64, error) { return tx.FilesSize(1 << 40) }))
	if files, total := page(other.ID, "id", false, 10, 0); len(files) != 1 || total != 1 {
		t.Errorf("another package has %d files and the total %d", len(files), total)
	}
	if err := s.attempt(func(tx registry.Tx) error { _, _, err := tx.PageFiles(pkg.ID, "size", false, 1, 0); return err }); err == nil {
		t.Error("files have an order that there is not")
	}
}
