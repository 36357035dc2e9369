// Package install installs, upgrades and removes binary packages in a file
// tree, as pkg_add, pkg_delete and pkgin do inside a chroot of a SmartOS zone
// (spec pkgsrc.md sections 5 to 8, 10).
//
// No code from a package is run. The data lines of install scripts (accounts,
// directories, configuration files, permissions, shells, info files) are done
// here; all other text of the scripts is read, and what is neither the usual
// frame nor harmless is refused with fault.Policy, by package and line, unless
// it was accepted (Options.Accept).
//
// Everything happens in the tree: a call that fails leaves the tree half
// changed and it must be thrown away; nothing else is touched. Every check of
// one package comes before its first change.
//
// What differs from the genuine tools by nature: accounts are written here and
// not by useradd; fonts and icons are not indexed; libraries named by REQUIRES
// and free space are not checked; times are the tree's.
package install

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/archive"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

// Logger takes the story: what is done, what packages have to say (+DISPLAY,
// one call a line), and what is not as it should be.
type Logger interface {
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
}

// Options say where to install what from. Root, Repos and Spool are needed.
type Options struct {
	Root  *fstree.Tree   // the system root: holds /opt/local, /etc, /var
	Repos repository.Set // asked in order
	Spool *fstree.Spool  // takes the content of package files; must outlive the tree

	// Accept names what may be left undone, see ParseAccept for the grammar.
	Accept []string

	Log Logger // nil is silent

	// Policy overrides VERIFIED_INSTALLATION of the target's pkg_install.conf
	// where it is not "".
	Policy string

	// MachineArch is what packages must be for, such as "x86_64"; "" is what the
	// installed packages say, and where none is installed nothing is compared.
	MachineArch string

	// KeepSuperseded leaves packages alone that another one supersedes at top
	// level, as pkgin up to 24.12 does.
	KeepSuperseded bool
}

// Change is one package that was installed, replaced or removed.
type Change struct {
	Name    string // full name; of a removal the old one
	Old     string // full name of what was replaced, "" for a fresh installation
	Removed bool
	SHA256  string // hex, of the archive; "" for a removal
	Size    int64  // bytes of the archive
	Signed  bool
	Repo    string // address without secrets
	Auto    bool   // came as a dependency
}

// Installer works on one root. It is not safe for concurrent use.
type Installer struct {
	opts     Options
	root     *fstree.Tree
	log      Logger
	db       *pkgdb.DB
	accept   Accepted
	archive  archive.Options
	accounts accounts
	counters counters
	platform map[string][]string // what packages must be for

	files        *pkgdb.ByFileDB // the database of files
	hadFiles     bool            // it was there
	filesChanged bool

	names   []string       // cache of Installed
	byName  *version.Index // of the same
	loaded  map[string]*loaded
	changes []Change
}

type silent struct{}

func (silent) Infof(string, ...any) {}
func (silent) Warnf(string, ...any) {}

// New reads the target's configuration and package database. Faults in Accept
// are fault.Usage. A keyring that cannot be read fails the first signed package.
func New(ctx context.Context, opts Options) (*Installer, error) {
	if opts.Root == nil || opts.Spool == nil {
		return nil, fmt.Errorf("install: no root or no spool")
	}
	root, room := *opts.Root, maxDirs
	root.Room, opts.Root = &room, &root
	in := &Installer{opts: opts, root: opts.Root, log: opts.Log, loaded: map[string]*loaded{}}
	if in.log == nil {
		in.log = silent{}
	}
	var err error
	if in.accept, err = ParseAccept(opts.Accept); err != nil {
		return nil, err
	}
	cfg, err := pkgdb.ReadConfig(opts.Root)
	if err != nil {
		return nil, err
	}
	if in.db, err = pkgdb.Open(opts.Root, cfg); err != nil {
		return nil, err
	}
	in.accounts = accounts{root: opts.Root}
	in.counters = counters{opts.Root, cfg.RefcountDir}
	if in.archive, err = archiveOptions(opts, cfg); err != nil {
		return nil, err
	}
	if in.files, in.hadFiles, err = in.db.Files(); err != nil {
		in.log.Warnf("%v: it will be made anew", err)
		in.files = pkgdb.NewByFileDB()
		if err := in.addRecorded(); err != nil {
			return nil, err
		}
		in.filesChanged = true
	}
	if in.platform, err = in.targetPlatform(); err != nil {
		return nil, err
	}
	return in, ctx.Err()
}

// maxDirs is how many directories an Installer makes: a name that is nothing but
// slashes and letters asks for one with every two bytes.
const maxDirs = 1 << 21

// archiveOptions takes policy and keyring from the target itself.
func archiveOptions(opts Options, cfg *pkgdb.Config) (archive.Options, error) {
	a := archive.Options{Spool: opts.Spool}
	var err error
	if a.Policy, err = archive.ParsePolicy(or(opts.Policy, cfg.VerifiedInstallation)); err != nil {
		return a, err
	}
	if cfg.KeyringVerify == "" {
		a.KeyringErr = fmt.Errorf("pkg_install.conf names none (GPG_KEYRING_VERIFY)")
		return a, nil
	}
	a.Keyring, a.KeyringErr, err = Keyring(opts.Root, cfg.KeyringVerify)
	return a, err
}

// Add does what "pkg_add -U ARGS" does: names or patterns are installed, or
// replaced where they are installed; dependencies that are installed and match
// stay as they are. It stops at the first failure.
func (in *Installer) Add(ctx context.Context, args []string) error {
	if err := in.prefetch(ctx, args); err != nil {
		return err
	}
	for _, arg := range args {
		name, repo, ok, err := in.opts.Repos.Find(ctx, arg)
		if err != nil {
			return fmt.Errorf("package %s: %w", arg, err)
		}
		if !ok {
			return fault.WithHint(fault.Network.Errorf("no package found for %q", arg), "no repository that was asked has one: is the name, the version right")
		}
		if err := in.put(ctx, name, repo, how{}); err != nil {
			return err
		}
	}
	return nil
}

// Delete does what "pkg_delete NAMES" does, by name or pattern. A package that
// others need, or that is marked as not for deletion, is refused.
func (in *Installer) Delete(ctx context.Context, args []string) error {
	for _, arg := range args {
		if err := ctx.Err(); err != nil {
			return err
		}
		name, ok, err := in.satisfied(arg)
		if err != nil {
			return fmt.Errorf("package %s: %w", arg, err)
		}
		if !ok {
			return fault.Step.Errorf("no package %q is installed", arg)
		}
		r, err := in.db.Record(name)
		if err != nil {
			return err
		}
		if len(r.RequiredBy) > 0 {
			return fault.Step.Errorf("package %s is still required by %s", name, strings.Join(r.RequiredBy, ", "))
		}
		if r.Preserve {
			return fault.Step.Errorf("package %s is marked as not for deletion", name)
		}
		if err := in.drop(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// drop removes an installed package, whatever needs it.
func (in *Installer) drop(ctx context.Context, name string) error {
	gone, err := in.planRemoval(name)
	if err != nil {
		return err
	}
	if err := in.accept.check(gone.findings); err != nil {
		return err
	}
	in.log.Infof("removing %s", name)
	if err := in.remove(ctx, name, gone); err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	in.changes = append(in.changes, Change{Name: name, Removed: true})
	return nil
}

// Finish writes the database of files, if packages were changed. Where there
// was none it is made from all records, as "pkg_admin rebuild" does.
func (in *Installer) Finish(ctx context.Context) error {
	if !in.filesChanged && in.hadFiles || len(in.Installed()) == 0 && !in.hadFiles {
		return ctx.Err()
	}
	if !in.hadFiles {
		if err := in.addRecorded(); err != nil {
			return err
		}
	}
	if err := in.root.WriteFile(in.db.Config.DBDir+"/"+pkgdb.ByFile, in.files.Bytes(), 0o644); err != nil {
		return fmt.Errorf("database of files: %w", err)
	}
	in.hadFiles, in.filesChanged = true, false
	return ctx.Err()
}

// addRecorded enters what the records say into the database of files, where it
// is not there yet.
func (in *Installer) addRecorded() error {
	pairs, err := in.db.Rebuild()
	for _, p := range pairs {
		in.files.Put(p.Path, p.Package)
	}
	return err
}

// DB is the package database as it stands.
func (in *Installer) DB() *pkgdb.DB { return in.db }

// Installed lists the full names of the installed packages, sorted.
func (in *Installer) Installed() []string {
	in.index()
	return slices.Clone(in.names)
}

// index is of the installed packages.
func (in *Installer) index() *version.Index {
	if in.names == nil {
		in.names = slices.DeleteFunc(in.db.Names(), func(name string) bool { return !in.db.Has(name) })
		in.byName = version.NewIndex(in.names)
	}
	return in.byName
}

// Changes lists what was done so far, in order.
func (in *Installer) Changes() []Change { return slices.Clone(in.changes) }
