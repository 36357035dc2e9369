package newfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/TritonDataCenter/engbld/tools/filelock"
	"github.com/TritonDataCenter/engbld/tools/owned"
)

const (
	dirPrefix = ".engbld-dir-"
	inUse     = ".engbld-used" // in a directory: the file that is locked as long as it is used
)

// Dir is a directory for what a run has on disk meanwhile.
type Dir struct {
	Name string
	lock *os.File
}

// MakeDir makes a directory below parent ("" is the default one for temporary
// files) that nobody else can look into. what becomes a part of its name. Those of
// this user whose processes have ended are removed.
func MakeDir(parent, what string) (*Dir, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	sweepDirs(parent)
	for try := 0; ; try++ {
		name, err := os.MkdirTemp(parent, dirPrefix+what+"-*")
		if err != nil {
			return nil, err
		}
		path := filepath.Join(name, inUse)
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			if err = filelock.Hold(f); err == nil || errors.Is(err, errors.ErrUnsupported) {
				if _, err = os.Lstat(path); err == nil {
					return &Dir{name, f}, nil
				}
			}
			f.Close()
		}
		os.RemoveAll(name)
		// Another sweep may have come between.
		if swept := errors.Is(err, fs.ErrNotExist) || errors.Is(err, filelock.ErrHeld); !swept || try == maxTries {
			return nil, fmt.Errorf("making the directory %s: %w", name, err)
		}
	}
}

// Remove removes the directory with everything in it.
func (d *Dir) Remove() error {
	err := os.RemoveAll(d.Name)
	return errors.Join(err, d.lock.Close())
}

// sweepDirs removes the directories of ended processes. What cannot be removed
// stays.
func sweepDirs(parent string) {
	for _, path := range begin(parent, dirPrefix) {
		sweepDir(path)
	}
}

func sweepDir(path string) {
	named, err := os.Lstat(path)
	if err != nil || !named.IsDir() || owned.Owner(named) != os.Geteuid() {
		return
	}
	// Nothing is followed out of the directory, whatever is put in its place.
	root, err := os.OpenRoot(path)
	if err != nil {
		return
	}
	defer root.Close()
	if here, err := root.Stat("."); err != nil || !os.SameFile(here, named) {
		return
	}
	f, err := openLeft(func(flag int) (*os.File, error) { return root.OpenFile(inUse, flag, 0) })
	if errors.Is(err, fs.ErrNotExist) {
		// Its process was killed before it had the lock, or is about to take it: then
		// it makes another one.
		os.Remove(path)
	}
	if err != nil {
		return
	}
	defer f.Close()
	if !left(f) {
		return
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	for _, e := range entries {
		if e.Name() != inUse { // until the rest is gone
			err = errors.Join(err, root.RemoveAll(e.Name()))
		}
	}
	if err == nil && root.Remove(inUse) == nil {
		os.Remove(path)
	}
}
