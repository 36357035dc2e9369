// Package pkgdb reads the database of installed packages in a file tree, and
// the files by which a system tells how packages are to be installed on it
// (spec pkgsrc.md sections 6 and 12). It also reads and writes the database of
// files, pkgdb.byfile.db, a Berkeley DB 1.85 btree (section 6.1).
//
// Limits: 16384 records, 16 MiB a metadata file, 64 MiB for the database of
// files, where entries on overflow pages are not read.
package pkgdb

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/plist"
)

const (
	maxRecords = 16384
	maxMeta    = 16 << 20

	// Automatic is the +INSTALLED_INFO of a package that came as a dependency.
	Automatic = "automatic=yes\n"

	// ByFile is the name of the database of files, below DBDir.
	ByFile = "pkgdb.byfile.db"
)

// Record is one installed package. Its fields are not to be changed.
type Record struct {
	Name       string // full name
	Dir        string // absolute in the system
	Plist      *plist.List
	Comment    string              // first line
	BuildInfo  map[string][]string // +BUILD_INFO
	RequiredBy []string            // in the file's order
	Automatic  bool                // came as a dependency
	Preserve   bool                // marked as not for deletion
}

// DB is the database of installed packages below a root. Nothing is kept in
// memory but what was parsed of a record, which Forget drops.
type DB struct {
	Root   *fstree.Tree
	Config *Config

	cache map[string]*Record
}

// Open finds the database by the configuration. A directory that is missing is
// an empty database.
func Open(root *fstree.Tree, cfg *Config) (*DB, error) {
	db := &DB{Root: root, Config: cfg, cache: map[string]*Record{}}
	if n := len(db.Names()); n > maxRecords {
		return nil, fmt.Errorf("%s: %d packages are more than the %d that are read", cfg.DBDir, n, maxRecords)
	}
	return db, nil
}

// Names lists the installed packages, sorted. Like the genuine tools it takes
// every directory of the database for a package.
func (db *DB) Names() []string {
	dir, err := db.Root.Stat(db.Config.DBDir)
	if err != nil || !dir.IsDir() {
		return nil
	}
	var names []string
	for _, name := range dir.List() {
		if n, err := db.Root.Stat(db.Dir(name)); err == nil && n.IsDir() {
			names = append(names, name)
		}
	}
	return names
}

// Dir is the directory of a package's record.
func (db *DB) Dir(name string) string { return db.Config.DBDir + "/" + name }

// Has tells whether exactly this package is installed.
func (db *DB) Has(name string) bool {
	n, err := db.Root.Stat(db.Dir(name) + "/+CONTENTS")
	return err == nil && n.IsRegular()
}

// File reads a metadata file of a record, nil where there is none.
func (db *DB) File(name, file string) ([]byte, error) {
	return readOptional(db.Root, db.Dir(name)+"/"+file, maxMeta)
}

// Forget drops what is remembered of a record whose files were changed.
func (db *DB) Forget(name string) { delete(db.cache, name) }

// Record returns the record of an installed package by its full name. One
// without a +CONTENTS is fs.ErrNotExist.
func (db *DB) Record(name string) (*Record, error) {
	if r := db.cache[name]; r != nil {
		return r, nil
	}
	r, err := db.read(name)
	if err != nil {
		return nil, fmt.Errorf("installed package %s: %w", name, err)
	}
	db.cache[name] = r
	return r, nil
}

func (db *DB) read(name string) (*Record, error) {
	raw, err := db.Root.ReadFile(db.Dir(name)+"/+CONTENTS", maxMeta)
	if err != nil {
		return nil, err
	}
	r := &Record{Name: name, Dir: db.Dir(name), BuildInfo: map[string][]string{}}
	if r.Plist, err = plist.Parse(raw); err != nil {
		return nil, fmt.Errorf("+CONTENTS: %w", err)
	}
	if own := r.Plist.Name(); own != name {
		return nil, fmt.Errorf("+CONTENTS says that it is of %q", own)
	}
	meta := map[string]string{}
	for _, f := range []string{"+COMMENT", "+BUILD_INFO", "+REQUIRED_BY", "+INSTALLED_INFO"} {
		b, err := db.File(name, f)
		if err != nil {
			return nil, err
		}
		meta[f] = string(b)
	}
	r.Comment, _, _ = strings.Cut(meta["+COMMENT"], "\n")
	r.BuildInfo = ParseVars(meta["+BUILD_INFO"])
	r.RequiredBy = strings.Fields(meta["+REQUIRED_BY"])
	if v := ParseVars(meta["+INSTALLED_INFO"])["automatic"]; len(v) > 0 {
		r.Automatic = yes(v[0])
	}
	_, err = db.Root.Lstat(r.Dir + "/+PRESERVE")
	r.Preserve = err == nil
	return r, nil
}

// ParseVars reads the NAME=value lines of +BUILD_INFO and +INSTALLED_INFO.
func ParseVars(text string) map[string][]string {
	vars := map[string][]string{}
	for l := range strings.SplitSeq(text, "\n") {
		if name, value, ok := strings.Cut(l, "="); ok {
			vars[name] = append(vars[name], strings.TrimSpace(value))
		}
	}
	return vars
}

// Info is the output of "pkg_info -a", sorted: for each package its name padded
// to 19, a blank and the comment.
func (db *DB) Info() (string, error) {
	var lines []string
	for _, name := range db.Names() {
		r, err := db.Record(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a directory that is no record
		}
		if err != nil {
			return "", err
		}
		lines = append(lines, fmt.Sprintf("%-19s %s\n", name, r.Comment))
	}
	slices.Sort(lines)
	return strings.Join(lines, ""), nil
}

// Files reads the database of files; false, and an empty one, where there is none.
func (db *DB) Files() (files *ByFileDB, had bool, err error) {
	raw, err := readOptional(db.Root, db.Config.DBDir+"/"+ByFile, maxByFile)
	if raw == nil || err != nil {
		return NewByFileDB(), false, err
	}
	files, err = ParseByFile(raw)
	return files, true, err
}

// Rebuild makes the pairs of the database of files anew from all records, as
// "pkg_admin rebuild" does: files that are there, with dangling links left out,
// and shared directories.
func (db *DB) Rebuild() ([]Pair, error) {
	var pairs []Pair
	shared := map[string]string{}
	for _, name := range db.Names() {
		r, err := db.Record(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range r.Plist.Entries {
			path := r.Plist.Prefix() + "/" + e.Arg
			switch {
			case e.Ignored:
			case e.Kind == plist.File:
				if _, err := db.Root.Stat(path); err == nil {
					pairs = append(pairs, Pair{path, name})
				}
			case e.Kind == plist.PkgDir:
				shared[path] += " " + name
			}
		}
	}
	for path, names := range shared {
		pairs = append(pairs, Pair{path, "@pkgdir" + names})
	}
	return sortPairs(pairs), nil
}
