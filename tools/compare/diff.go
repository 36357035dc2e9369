package compare

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
	"github.com/TritonDataCenter/engbld/tools/survey"
)

// Diff is how image B differs from image A.
type Diff struct {
	A               Side             `json:"a"`
	B               Side             `json:"b"`
	Same            bool             `json:"same"` // nothing differs but perhaps what Options left out
	Packages        []PackageChange  `json:"packages"`
	Manifest        []FieldChange    `json:"manifest"`
	Files           []FileChange     `json:"files"`
	Vulnerabilities *Vulnerabilities `json:"vulnerabilities"` // nil where one image has no audit
}

// Side is one of the two images.
type Side struct {
	Name      string `json:"name"`
	UUID      string `json:"uuid,omitempty"`
	Published string `json:"published_at,omitempty"`
	Release   string `json:"pkgsrc_release,omitempty"`
	Packages  int    `json:"packages"`
	Files     int    `json:"files"`
	Bytes     int64  `json:"bytes"`                // of content
	FileBytes int64  `json:"file_bytes,omitempty"` // of the image file
}

// Change says what became of something.
type Change string

const (
	Added      Change = "added"
	Removed    Change = "removed"
	Upgraded   Change = "upgraded"
	Downgraded Change = "downgraded"
	Rebuilt    Change = "rebuilt" // a package of the same version, built at another time
	Resized    Change = "resized" // a package of the same build, with other bytes
	Changed    Change = "changed"
)

// PackageChange is one package that differs.
type PackageChange struct {
	Name     string `json:"name"` // without version
	Change   Change `json:"change"`
	Old      string `json:"old,omitempty"` // version
	New      string `json:"new,omitempty"`
	OldBytes int64  `json:"old_bytes"`
	NewBytes int64  `json:"new_bytes"`
}

// FieldChange is one manifest field that differs; fields below others are
// written a.b, values as JSON, "" where there is none.
type FieldChange struct {
	Field string `json:"field"`
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
}

// FileChange is one path that differs.
type FileChange struct {
	Path     string   `json:"path"` // odd bytes as \ooo
	Change   Change   `json:"change"`
	What     []string `json:"what,omitempty"`    // of a changed one: type, mode, owner, content, target, device, links, time
	Package  string   `json:"package,omitempty"` // without version, or a group of package survey; of A where it was removed
	OldBytes int64    `json:"old_bytes"`
	NewBytes int64    `json:"new_bytes"`
}

// Vulnerabilities are the findings of both audits. One that a package keeps
// through an upgrade is kept.
type Vulnerabilities struct {
	Added   []survey.Finding `json:"added"`
	Removed []survey.Finding `json:"removed"`
	Kept    []survey.Finding `json:"kept"` // as B has them
}

// Options tune a comparison.
type Options struct {
	Times bool // compare times of modification too
}

// Images compares two images.
func Images(ctx context.Context, a, b *survey.Image, o Options) (*Diff, error) {
	d := &Diff{A: side(a), B: side(b), Packages: packages(a, b), Manifest: manifests(a, b), Vulnerabilities: vulnerabilities(a, b)}
	var err error
	if d.Files, err = files(ctx, a, b, o); err != nil {
		return nil, err
	}
	v := d.Vulnerabilities
	d.Same = len(d.Packages)+len(d.Manifest)+len(d.Files) == 0 && (v == nil || len(v.Added)+len(v.Removed) == 0)
	return d, nil
}

func side(im *survey.Image) Side {
	s := Side{Name: im.Name, Release: im.Release, Packages: len(im.Packages), Files: im.Files, Bytes: im.Bytes}
	if m := im.Manifest; m != nil {
		s.UUID, s.Published = m.UUID(), m.PublishedAt()
		for _, f := range m.Files() {
			s.FileBytes += f.Size
		}
	}
	return s
}

// packages pairs packages by their names without version. Of several with one
// name, equal ones are paired first, the rest in order.
func packages(a, b *survey.Image) []PackageChange {
	group := func(im *survey.Image) map[string][]*survey.Package {
		m := map[string][]*survey.Package{}
		for i := range im.Packages {
			p := &im.Packages[i]
			m[p.Base] = append(m[p.Base], p)
		}
		for _, list := range m {
			slices.SortFunc(list, func(x, y *survey.Package) int {
				if c := version.Compare(x.Version, y.Version); c != 0 {
					return c
				}
				return strings.Compare(x.Version, y.Version)
			})
		}
		return m
	}
	olds, news := group(a), group(b)
	out := []PackageChange{}
	for _, name := range union(olds, news) {
		old, new := unpaired(olds[name], news[name], &out)
		for i := range max(len(old), len(new)) {
			switch {
			case i >= len(new):
				out = append(out, PackageChange{name, Removed, old[i].Version, "", old[i].Bytes, 0})
			case i >= len(old):
				out = append(out, PackageChange{name, Added, "", new[i].Version, 0, new[i].Bytes})
			default:
				change := Upgraded
				if version.Compare(old[i].Version, new[i].Version) > 0 {
					change = Downgraded
				}
				out = append(out, PackageChange{name, change, old[i].Version, new[i].Version, old[i].Bytes, new[i].Bytes})
			}
		}
	}
	return out
}

// unpaired takes out packages that both sides have in the same version; those
// of another build are changes.
func unpaired(old, new []*survey.Package, out *[]PackageChange) (restOld, restNew []*survey.Package) {
	paired := map[*survey.Package]bool{}
	for _, p := range old {
		i := slices.IndexFunc(new, func(q *survey.Package) bool { return q.Version == p.Version && !paired[q] })
		if i < 0 {
			restOld = append(restOld, p)
			continue
		}
		q := new[i]
		paired[q] = true
		switch {
		case p.Built != q.Built:
			*out = append(*out, PackageChange{p.Base, Rebuilt, p.Version, q.Version, p.Bytes, q.Bytes})
		case p.Payload != q.Payload:
			*out = append(*out, PackageChange{p.Base, Resized, p.Version, q.Version, p.Bytes, q.Bytes})
		}
	}
	for _, q := range new {
		if !paired[q] {
			restNew = append(restNew, q)
		}
	}
	return restOld, restNew
}

func union[T any](a, b map[string]T) []string {
	var keys []string
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func vulnerabilities(a, b *survey.Image) *Vulnerabilities {
	if !a.Audited || !b.Audited {
		return nil
	}
	type key struct{ base, class, url string }
	of := func(f survey.Finding) key { return key{f.Base(), f.Class, f.URL} }
	had, has := map[key]bool{}, map[key]bool{}
	for _, f := range a.Findings {
		had[of(f)] = true
	}
	v := &Vulnerabilities{Added: []survey.Finding{}, Removed: []survey.Finding{}, Kept: []survey.Finding{}}
	for _, f := range b.Findings {
		has[of(f)] = true
		if had[of(f)] {
			v.Kept = append(v.Kept, f)
		} else {
			v.Added = append(v.Added, f)
		}
	}
	for _, f := range a.Findings {
		if !has[of(f)] {
			v.Removed = append(v.Removed, f)
		}
	}
	return v
}

func files(ctx context.Context, a, b *survey.Image, o Options) ([]FileChange, error) {
	d := &walker{ctx: ctx, a: a, b: b, o: o, out: []FileChange{}}
	err := d.dirs("", a.Tree.Root, b.Tree.Root)
	return d.out, err
}

type walker struct {
	ctx  context.Context
	a, b *survey.Image
	o    Options
	out  []FileChange
}

// dirs compares two directories, either of which may be nil.
func (w *walker) dirs(prefix string, a, b *fstree.Node) error {
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	for _, name := range entries(a, b) {
		x, y := child(a, name), child(b, name)
		path := prefix + name
		if err := w.pair(path, x, y); err != nil {
			return fmt.Errorf("%s: %w", dataset.Quote(path), err)
		}
		if !isDir(x) {
			x = nil
		}
		if !isDir(y) {
			y = nil
		}
		if x != nil || y != nil {
			if err := w.dirs(path+"/", x, y); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walker) pair(path string, x, y *fstree.Node) error {
	c := FileChange{Path: dataset.Quote(path)}
	switch {
	case x == nil:
		c.Change, c.Package, c.NewBytes = Added, owner(w.b, y), y.Size()
	case y == nil:
		c.Change, c.Package, c.OldBytes = Removed, owner(w.a, x), x.Size()
	default:
		var err error
		if c.What, err = w.what(x, y); err != nil || len(c.What) == 0 {
			return err
		}
		c.Change, c.OldBytes, c.NewBytes = Changed, x.Size(), y.Size()
		if c.Package = owner(w.b, y); c.Package == "" {
			c.Package = owner(w.a, x)
		}
	}
	w.out = append(w.out, c)
	return nil
}

// what names the things two nodes differ in.
func (w *walker) what(x, y *fstree.Node) ([]string, error) {
	var list []string
	add := func(name string, differs bool) {
		if differs {
			list = append(list, name)
		}
	}
	same := x.Type() == y.Type()
	add("type", !same)
	add("mode", x.Perm() != y.Perm())
	add("owner", x.UID != y.UID || x.GID != y.GID)
	if same {
		switch x.Type() {
		case fstree.TypeRegular:
			equal := x.Size() == y.Size()
			if equal {
				var err error
				if equal, err = fstree.SameContent(x.Content, y.Content); err != nil {
					return nil, err
				}
			}
			add("content", !equal)
		case fstree.TypeSymlink:
			add("target", x.Target != y.Target)
		case fstree.TypeChar, fstree.TypeBlock:
			add("device", x.Rdev != y.Rdev)
		}
	}
	add("links", same && !x.IsDir() && x.Names() != y.Names())
	add("time", w.o.Times && x.MTime != y.MTime)
	return list, nil
}

func entries(a, b *fstree.Node) []string {
	var names []string
	if a != nil {
		names = a.List()
	}
	if b != nil {
		names = append(names, b.List()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func child(n *fstree.Node, name string) *fstree.Node {
	if n == nil {
		return nil
	}
	return n.Child(name)
}

func isDir(n *fstree.Node) bool { return n != nil && n.IsDir() }

func owner(im *survey.Image, n *fstree.Node) string {
	if p := im.Owner(n); p != nil {
		return p.Base
	}
	return im.Group(n)
}
