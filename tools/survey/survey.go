package survey

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/plist"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

// Image is what is known of an image.
type Image struct {
	Name     string                // for people: NAME@VERSION, or the stream's file name
	Manifest *imgmanifest.Manifest // nil for a stream without one
	Tree     *fstree.Tree          // the zone's system
	Release  string                // of pkgsrc, such as 2024Q4; "" where the system does not say
	Arch     string                // of pkgsrc, such as x86_64

	Packages []Package // by name
	Findings []Finding // of the audit, in its order
	Audited  bool      // there is an audit; without one Findings say nothing

	Files int   // names below the root, the root itself left out
	Bytes int64 // of content

	owners map[*fstree.Node]int // index into Packages, or one of the groups below
}

// What files are that belong to no single package; no package has such a name.
const (
	Database = "(package database)" // what pkgsrc keeps about packages, beside their records
	Several  = "(several packages)" // directories that hold files of packages only
	NoGroup  = ""                   // all else
)

const (
	inDatabase = -1
	inSeveral  = -2
)

// Package is one installed package.
type Package struct {
	Name      string // full: curl-8.11.1
	Base      string // curl
	Version   string // 8.11.1
	Comment   string
	Homepage  string
	License   string // as pkgsrc writes it; "" where the package does not say
	Path      string // in pkgsrc: www/curl
	Built     string // BUILD_DATE, as written
	Automatic bool   // came as a dependency

	Requires []string // full names of installed packages, sorted
	Patterns []string // dependency patterns that nothing installed satisfies

	Files   int   // names that are there: of its packing list, its record, and directories that hold nothing else
	Bytes   int64 // of their content
	Payload int64 // of the files of its packing list alone
}

// Options are what is read beside the tree.
type Options struct {
	Name     string
	Manifest *imgmanifest.Manifest
	Audit    []byte // the .pkgaudit file; nil: there is none
}

// Read surveys the system in tree, which is not changed. An error means that the
// package database cannot be read.
func Read(ctx context.Context, tree *fstree.Tree, o Options) (*Image, error) {
	im := &Image{Name: o.Name, Manifest: o.Manifest, Tree: tree, owners: map[*fstree.Node]int{}}
	if m := o.Manifest; m != nil && im.Name == "" {
		im.Name = m.NameVersion()
	}
	cfg, err := pkgdb.ReadConfig(tree)
	if err != nil {
		return nil, fmt.Errorf("%s: package configuration: %w", im.Name, err)
	}
	im.Release, im.Arch = cfg.Release, cfg.Arch
	db, err := pkgdb.Open(tree, cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: package database: %w", im.Name, err)
	}
	names := db.Names()
	steps := maxNames
	all, best, budget := version.NewIndex(names), byBase(names), version.NewBudget(maxSteps)
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		r, err := db.Record(name)
		if errors.Is(err, fs.ErrNotExist) { // the genuine tools list it all the same
			base, v := version.Split(name)
			im.Packages = append(im.Packages, Package{Name: name, Base: base, Version: v})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: package %s: %w", im.Name, Plain(name), err)
		}
		p := describe(r)
		if p.Requires, p.Patterns, err = requires(ctx, r.Plist.Deps(), all, best, budget); err != nil {
			return nil, fmt.Errorf("%s: package %s: dependencies: %w", im.Name, Plain(name), err)
		}
		if err := im.own(r, len(im.Packages), &steps); err != nil {
			return nil, fmt.Errorf("%s: package %s: %w", im.Name, Plain(name), err)
		}
		db.Forget(name)
		im.Packages = append(im.Packages, p)
	}
	records := map[*fstree.Node]bool{}
	for _, dir := range []string{cfg.DBDir, cfg.RefcountDir} {
		if n, err := tree.Stat(dir); err == nil && n.IsDir() && n != tree.Root {
			im.bookkeeping(n, records)
		}
	}
	im.directories(tree.Root)
	im.Walk(func(_ string, n *fstree.Node, bytes int64) {
		im.Files++
		im.Bytes += bytes
		if i, ok := im.owners[n]; ok && i >= 0 {
			im.Packages[i].Files++
			im.Packages[i].Bytes += bytes
			if !records[n] {
				im.Packages[i].Payload += bytes
			}
		}
	})
	if o.Audit != nil {
		im.Audited = true
		if im.Findings, err = ParseAudit(o.Audit); err != nil {
			return nil, fmt.Errorf("%s: audit: %w", im.Name, err)
		}
	}
	return im, nil
}

// Walk calls f for every name below the root, in depth-first byte order, with
// the bytes that count there: 0 for all names of a file but its first.
func (im *Image) Walk(f func(name string, n *fstree.Node, bytes int64)) {
	seen := map[*fstree.Node]bool{}
	im.Tree.Walk(func(name string, n *fstree.Node) error {
		if name == "." {
			return nil
		}
		var bytes int64
		if n.IsRegular() && !(n.Names() > 1 && seen[n]) {
			bytes = n.Size()
			if n.Names() > 1 {
				seen[n] = true
			}
		}
		f(name, n, bytes)
		return nil
	})
}

// Owner is the package a node belongs to, nil where it belongs to none.
func (im *Image) Owner(n *fstree.Node) *Package {
	if i, ok := im.owners[n]; ok && i >= 0 {
		return &im.Packages[i]
	}
	return nil
}

// Group is the full name of the package a node belongs to, else Database,
// Several or NoGroup.
func (im *Image) Group(n *fstree.Node) string {
	switch i, ok := im.owners[n]; {
	case !ok:
		return NoGroup
	case i == inDatabase:
		return Database
	case i == inSeveral:
		return Several
	default:
		return im.Packages[i].Name
	}
}

// Package finds an installed package by its full name.
func (im *Image) Package(name string) *Package {
	i, ok := slices.BinarySearchFunc(im.Packages, name, func(p Package, name string) int { return strings.Compare(p.Name, name) })
	if !ok {
		return nil
	}
	return &im.Packages[i]
}

func describe(r *pkgdb.Record) Package {
	one := func(key string) string {
		if v := r.BuildInfo[key]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	p := Package{
		Name: r.Name, Comment: r.Comment, Homepage: one("HOMEPAGE"), License: one("LICENSE"),
		Path: one("PKGPATH"), Built: one("BUILD_DATE"), Automatic: r.Automatic,
	}
	p.Base, p.Version = version.Split(r.Name)
	return p
}

// maxNames bounds the ways to the files of all packages: a few seconds. A real image
// takes some millions, but links can lead each name through a hundred thousand.
const maxNames = 1 << 26

// own enters the nodes of a record. Names are looked up as pkg_info would, with
// links on the way followed inside of the tree, but the last not. Where two
// lists name one file, the first package has it. Each name on the way takes one of
// steps.
func (im *Image) own(r *pkgdb.Record, index int, steps *int) error {
	claim := func(n *fstree.Node) {
		if _, taken := im.owners[n]; !taken && !n.IsDir() {
			im.owners[n] = index
		}
	}
	cwd := ""
	for _, e := range r.Plist.Entries {
		switch {
		case e.Kind == plist.Cwd:
			cwd = e.Arg
		case e.Kind == plist.File && !e.Ignored:
			n, err := im.Tree.LstatWithin(path.Join("/", cwd, e.Arg), steps)
			if errors.Is(err, fstree.ErrSteps) {
				return err
			}
			if err == nil {
				claim(n)
			}
		}
	}
	dir, err := im.Tree.Stat(r.Dir)
	if err != nil || !dir.IsDir() {
		return nil
	}
	for _, name := range dir.List() {
		claim(dir.Child(name))
	}
	return nil
}

// bookkeeping enters what the package database holds beside the records, and
// tells in all what is below it.
func (im *Image) bookkeeping(dir *fstree.Node, all map[*fstree.Node]bool) {
	for _, name := range dir.List() {
		n := dir.Child(name)
		all[n] = true
		if n.IsDir() {
			im.bookkeeping(n, all)
		} else if _, taken := im.owners[n]; !taken {
			im.owners[n] = inDatabase
		}
	}
}

// directories gives each directory to the package that alone has files in it.
// It returns the owner, and false where there is a file of no group.
func (im *Image) directories(dir *fstree.Node) (owner int, all bool) {
	none := true
	all = true
	for _, name := range dir.List() {
		n := dir.Child(name)
		i, ok := im.owners[n]
		if n.IsDir() {
			i, ok = im.directories(n)
		}
		switch {
		case !ok:
			all = false
		case none:
			owner, none = i, false
		case owner != i:
			owner = inSeveral
		}
	}
	if none || !all {
		return 0, false
	}
	im.owners[dir] = owner
	return owner, true
}

// byBase groups full names by the name without version.
func byBase(names []string) map[string]*version.Index {
	lists := map[string][]string{}
	for _, n := range names {
		base, _ := version.Split(n)
		lists[base] = append(lists[base], n)
	}
	m := map[string]*version.Index{}
	for base, list := range lists {
		m[base] = version.NewIndex(list)
	}
	return m
}

// maxSteps bounds the search for what all packages of an image require, see
// version.Budget. A real image takes some ten thousand.
const maxSteps = 1 << 28

// requires finds the installed packages that satisfy dependency patterns. Most
// patterns begin with the name of the package; the others try all. A bad pattern
// is satisfied by none.
func requires(ctx context.Context, patterns []string, all *version.Index, base map[string]*version.Index, budget *version.Budget) (found, missing []string, err error) {
	for _, p := range patterns {
		if err := context.Cause(ctx); err != nil {
			return nil, nil, err
		}
		name, ok := "", false
		if end := strings.IndexAny(p, "<>={}[*?"); end > 0 {
			if one := base[strings.TrimSuffix(p[:end], "-")]; one != nil {
				name, ok, _ = one.Best(p, budget)
			}
		}
		if !ok {
			name, ok, _ = all.Best(p, budget)
		}
		if err := budget.Spend(0); err != nil {
			return nil, nil, err
		}
		if ok {
			found = append(found, name)
		} else {
			missing = append(missing, p)
		}
	}
	slices.Sort(found)
	slices.Sort(missing)
	return slices.Compact(found), slices.Compact(missing), nil
}
