// Package repository reads package repositories: a directory of packages with a
// summary, on a web server or in the file system (spec pkgsrc.md section 2).
//
// pkg_add lists the directory (Names), pkgin reads the summary (Summary); both
// ways stand here side by side because images are built with both.
package repository

import (
	"context"

	"github.com/TritonDataCenter/engbld/tools/fetch"
)

// Options say how repositories are reached.
type Options struct {
	Client   *fetch.Client // nil: a default one
	CacheDir string        // downloads; needed for http and https
	Offline  bool          // only what the cache has
	Warnf    func(format string, args ...any)
}

// Entry is one record of a summary (spec pkgsrc.md section 2.1).
type Entry struct {
	Repo *Repo // where it was read

	PkgName         string // full name; "-0.0" appended where no version follows
	Depends         []string
	Conflicts       []string
	Supersedes      []string
	Provides        []string
	Requires        []string
	BuildDate       string // compared as a string, never as a time
	PkgPath         string
	PrevPkgPath     string
	SizePkg         int64
	FileSize        int64  // 0: not said
	FileName        string // PkgName + ".tgz" where not said
	FileCksum       string
	Opsys           string
	OSVersion       string
	MachineArch     string
	PkgtoolsVersion string
	Comment         string
	Categories      string
	License         string
	Homepage        string
	PkgOptions      string
	Description     []string
}

// Name and Version are the parts of PkgName.
func (e *Entry) Name() string    { panic("not yet") }
func (e *Entry) Version() string { panic("not yet") }

// Repo is one repository. It is safe for concurrent use and asks its server for
// each thing once.
type Repo struct {
	URL string // without secrets, without a final slash
}

// Open names a repository: http://, https:// or file:// and a directory, or a
// local directory's path. Nothing is read yet.
func Open(address string, opts Options) (*Repo, error) { panic("not yet") }

// Names lists the packages of the directory, sorted, without suffix; where the
// server gives no listing, those of the summary.
func (r *Repo) Names(ctx context.Context) ([]string, error) { panic("not yet") }

// Summary returns the summary's records in its order.
func (r *Repo) Summary(ctx context.Context) ([]*Entry, error) { panic("not yet") }

// Package returns the path of the package file, downloaded or found current in
// the cache. The summary is not consulted, as in pkg_add.
func (r *Repo) Package(ctx context.Context, name string) (path string, err error) { panic("not yet") }

// Fetch is Package for a record of the summary: the file must have the size and
// digest the record says, as in pkgin.
func (e *Entry) Fetch(ctx context.Context) (path string, err error) { panic("not yet") }

// Set is several repositories; earlier ones win for the same package.
type Set []*Repo

// OpenSet opens all addresses; each may hold several, separated by ";" (PKG_PATH).
func OpenSet(addresses []string, opts Options) (Set, error) { panic("not yet") }

// Summary returns the records of all repositories; a PkgName counts once.
func (s Set) Summary(ctx context.Context) ([]*Entry, error) { panic("not yet") }

// Find returns the best package of all repositories that matches the pattern,
// by directory listing, as pkg_add does; false where none does.
func (s Set) Find(ctx context.Context, pattern string) (name string, repo *Repo, ok bool, err error) {
	panic("not yet")
}

// Expand replaces $arch and $osrelease in an address (repositories.conf).
func Expand(address, arch, osrelease string) string { panic("not yet") }
