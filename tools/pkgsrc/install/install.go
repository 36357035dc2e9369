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

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
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
	opts Options
	db   *pkgdb.DB
}

// New reads the target's configuration and package database. Faults in Accept
// are fault.Usage.
func New(ctx context.Context, opts Options) (*Installer, error) { panic("not yet") }

// FullUpgrade does what "pkgin -y full-upgrade" does, run until nothing is to
// do (spec pkgsrc.md section 10.4).
func (in *Installer) FullUpgrade(ctx context.Context) error { panic("not yet") }

// Add does what "pkg_add -U ARGS" does: names or patterns are installed, or
// replaced where they are installed; dependencies that are installed and match
// stay as they are. It stops at the first failure.
func (in *Installer) Add(ctx context.Context, args []string) error { panic("not yet") }

// Finish writes the database of files. Nothing may be called behind it.
func (in *Installer) Finish(ctx context.Context) error { panic("not yet") }

// DB is the package database as it stands.
func (in *Installer) DB() *pkgdb.DB { return in.db }

// Installed lists the full names of the installed packages, sorted.
func (in *Installer) Installed() []string { panic("not yet") }

// Changes lists what was done so far, in order.
func (in *Installer) Changes() []Change { panic("not yet") }
