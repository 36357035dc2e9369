// Package pkgdb reads the database of installed packages in a file tree, and
// the files by which a system tells how packages are to be installed on it
// (spec pkgsrc.md sections 6 and 12). It also reads and writes the database of
// files, pkgdb.byfile.db, a Berkeley DB 1.85 btree (section 6.1).
//
// Limits: 16384 records, 16 MiB a metadata file, 64 MiB for the database of files.
package pkgdb

import (
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/plist"
)

// Config is what a system says about its packages.
type Config struct {
	DBDir       string // PKG_DBDIR, absolute in the system
	RefcountDir string // PKG_REFCOUNT_DBDIR

	PkgPath      []string // PKG_PATH, split at ";"
	Repositories []string // pkgin's repositories.conf, $arch and $osrelease replaced
	Preferred    []string // lines of pkgin's preferred.conf

	VerifiedInstallation string // as written; "" where it is not said
	KeyringVerify        string // GPG_KEYRING_VERIFY, absolute in the system
	KeyringVuln          string // GPG_KEYRING_PKGVULN
	VulnDir, VulnURL     string // PKGVULNDIR (DBDir where not said), PKGVULNURL
	IgnoreURLs           []string
	CheckEndOfLife       bool
	CheckOSVersion       bool

	Release, Arch string // /etc/pkgsrc_version; "" where it is not said

	Vars map[string][]string // all of pkg_install.conf
}

// ReadConfig reads what there is; missing files are no error.
func ReadConfig(root *fstree.Tree) (*Config, error) { panic("not yet") }

// Record is one installed package. Its fields are not to be changed.
type Record struct {
	Name       string // full name
	Dir        string // absolute in the system
	Plist      *plist.List
	Comment    string              // without newline
	BuildInfo  map[string][]string // +BUILD_INFO
	Automatic  bool                // came as a dependency
	Preserve   bool                // marked as not for deletion
	RequiredBy []string            // in the file's order
}

// DB is the database of installed packages below a root. It reads records when
// they are asked for and remembers them until Forget.
type DB struct {
	Root   *fstree.Tree
	Config *Config
}

// Open finds the database; a missing directory is an empty database.
func Open(root *fstree.Tree, cfg *Config) (*DB, error) { panic("not yet") }

// Names lists the installed packages, sorted.
func (db *DB) Names() []string { panic("not yet") }

// Record returns the record of an installed package by its full name.
func (db *DB) Record(name string) (*Record, error) { panic("not yet") }

// Info is the output of "pkg_info -a", sorted.
func (db *DB) Info() (string, error) { panic("not yet") }

// Pair is an entry of the database of files.
type Pair struct{ Path, Package string }

// ReadByFile parses pkgdb.byfile.db; pairs come in the order of their paths.
func ReadByFile(raw []byte) ([]Pair, error) { panic("not yet") }

// WriteByFile makes a pkgdb.byfile.db; equal pairs give equal bytes.
func WriteByFile(pairs []Pair) ([]byte, error) { panic("not yet") }
