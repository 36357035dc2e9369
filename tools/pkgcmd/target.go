package pkgcmd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

// target is a system that is looked at.
type target struct {
	name  string // as it was given
	tree  *fstree.Tree
	conf  *pkgdb.Config
	db    *pkgdb.DB
	close func()
}

// kernelDirs hold what the running system makes up; a package has nothing there.
var kernelDirs = []string{"proc", "sys", "dev", "system/contract", "system/object"}

func kernelDir(p string) bool { return slices.Contains(kernelDirs, p) }

// look opens the target that a command line names.
func (c *commands) look(ctx context.Context, name string) (*target, error) {
	t := &target{name: name}
	fi, err := os.Stat(c.abs(name))
	switch {
	case err == nil && fi.IsDir():
		root, err := os.OpenRoot(c.abs(name))
		if err != nil {
			return nil, fault.Step.Wrap(err)
		}
		t.close = func() { root.Close() }
		t.tree, err = fstree.ReadRoot(ctx, root, fstree.RootOptions{Now: fstree.TimeOf(c.Now()), Skip: kernelDir, Warn: c})
		if err != nil {
			t.close()
			return nil, fault.Step.Wrap(err)
		}
	default:
		if t.tree, t.close, err = c.Image(ctx, name, c.bases); err != nil {
			return nil, err
		}
	}
	if err := t.database(); err != nil {
		t.close()
		return nil, fault.Step.Errorf("%s: %w", name, err)
	}
	if !isSystem(t.tree, t.conf) {
		c.Warnf("%s: there is no system: neither %s nor etc/passwd", name, path.Clean("."+t.conf.DBDir))
	}
	return t, nil
}

func (t *target) database() (err error) {
	if t.conf, err = pkgdb.ReadConfig(t.tree); err != nil {
		return err
	}
	t.db, err = pkgdb.Open(t.tree, t.conf)
	return err
}

// isSystem tells whether a tree looks like the root of a system: it has
// accounts, packages, or settings for packages.
func isSystem(tree *fstree.Tree, conf *pkgdb.Config) bool {
	for _, p := range []string{"etc/passwd", conf.DBDir, "opt/local/etc/pkg_install.conf"} {
		if _, err := tree.Stat(p); err == nil {
			return true
		}
	}
	return false
}

// records are the records of all packages, by name.
func (t *target) records(ctx context.Context) ([]*pkgdb.Record, error) {
	var all []*pkgdb.Record
	for _, name := range t.db.Names() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := t.db.Record(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a directory that is no record
		}
		if err != nil {
			return nil, fault.Step.Errorf("%s: %w", t.name, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// installed are the full names of the installed packages, sorted.
func (t *target) installed() []string {
	return slices.DeleteFunc(t.db.Names(), func(name string) bool { return !t.db.Has(name) })
}

// installedAs is the installed version of a package's name; "" is none.
func installedAs(name string, installed []string) string {
	base, _ := version.Split(name)
	best := ""
	for _, have := range installed {
		if b, _ := version.Split(have); b == base && (best == "" || version.Better(have, best)) {
			best = have
		}
	}
	return best
}
