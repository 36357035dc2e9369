package pkgcmd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

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
	var err error
	if fi, e := os.Stat(c.abs(name)); e == nil && fi.IsDir() {
		err = c.lookInto(ctx, t)
	} else if t.tree, t.close, err = c.Image(ctx, name, c.bases); err != nil {
		return nil, err
	} else {
		err = t.database()
	}
	if err != nil {
		if t.close != nil {
			t.close()
		}
		return nil, fault.Step.Errorf("%s: %w", name, err)
	}
	if !isSystem(t.tree, t.conf) {
		c.Warnf("%s: there is no system: neither %s nor etc/passwd", name, path.Clean("."+t.conf.DBDir))
	}
	return t, nil
}

// lookInto reads as much of a directory as there is to packages: their database
// and their settings. The rest may be large.
func (c *commands) lookInto(ctx context.Context, t *target) error {
	root, err := os.OpenRoot(c.abs(t.name))
	if err != nil {
		return err
	}
	t.close = func() { root.Close() }
	wanted := []string{"etc", "opt/local/etc", "opt/local/pkg", "opt/local/share/gnupg"}
	for known := 0; known < len(wanted) && len(wanted) < maxWanted; {
		known = len(wanted)
		t.tree, err = fstree.ReadRoot(ctx, root, fstree.RootOptions{Now: fstree.TimeOf(c.Now()), Skip: besides(wanted), Warn: c})
		if err != nil {
			return err
		}
		if err := t.database(); err != nil {
			return err
		}
		places := append(slices.Clone(wanted), t.conf.DBDir, t.conf.VulnDir, path.Dir(t.conf.KeyringVerify), path.Dir(t.conf.KeyringVuln))
		for _, p := range places {
			p = t.leads(strings.Trim(path.Clean("/"+p), "/"))
			if p != "" && !slices.ContainsFunc(wanted, func(w string) bool { return p == w || strings.HasPrefix(p, w+"/") }) {
				wanted = append(wanted, p)
			}
		}
	}
	return nil
}

// maxWanted bounds how many places a system's settings and links lead to.
const maxWanted = 64

// besides skips directories that are neither above nor below what is wanted.
func besides(wanted []string) func(string) bool {
	wanted = slices.Clone(wanted)
	return func(dir string) bool {
		return kernelDir(dir) || !slices.ContainsFunc(wanted, func(w string) bool {
			return dir == w || strings.HasPrefix(w, dir+"/") || strings.HasPrefix(dir, w+"/")
		})
	}
}

// leads follows the first symbolic link on the way to a place.
func (t *target) leads(p string) string {
	parts := strings.Split(p, "/")
	for i := range parts {
		n, err := t.tree.Lstat(strings.Join(parts[:i+1], "/"))
		if err != nil || !n.IsSymlink() {
			continue
		}
		to := n.Target
		if !path.IsAbs(to) {
			to = path.Join("/", strings.Join(parts[:i], "/"), to)
		}
		return strings.Trim(path.Join(to, strings.Join(parts[i+1:], "/")), "/")
	}
	return p
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

// best is the installed package, by its full name, of each name without version.
func (t *target) best() map[string]string {
	best := map[string]string{}
	for _, have := range t.installed() {
		name, _ := version.Split(have)
		if old := best[name]; old == "" || version.Better(have, old) {
			best[name] = have
		}
	}
	return best
}
