// Package newfile makes files that get their names only when they are complete,
// and files that never get one.
//
// A file under way is beside its place, so a rename can never become a copy, and
// is called .engbld-file-*: uploads skip such names, and a later run removes what
// a killed one left.
package newfile

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	prefix   = ".engbld-file-"
	age      = 24 * time.Hour // of a file that nobody writes to any more
	maxTries = 1000           // to find a name that is free
	maxBase  = 100            // bytes of the file's own name in the one under way
)

// File is a file under way. What is written to it is seen when Commit succeeds.
type File struct {
	*os.File
	name string
	done bool
}

// Create begins a file that will be called name, with these permissions as far as
// the umask permits.
func Create(name string, perm fs.FileMode) (*File, error) {
	base := filepath.Base(name)
	stem := filepath.Join(filepath.Dir(name), prefix+base[:min(len(base), maxBase)]+"-")
	for try := 0; ; try++ {
		f, err := os.OpenFile(stem+strconv.FormatUint(rand.Uint64(), 36), os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if err == nil {
			return &File{File: f, name: name}, nil
		}
		if !errors.Is(err, fs.ErrExist) || try == maxTries {
			return nil, err
		}
	}
}

// Commit writes everything through to the disk and gives the file its name,
// replacing one that is there. After an error there is no file.
func (f *File) Commit() error {
	err := f.Sync()
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), f.name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	f.done = true
	return err
}

// Discard gives the file up. After Commit it does nothing.
func (f *File) Discard() {
	if !f.done {
		f.done = true
		f.Close()
		os.Remove(f.Name())
	}
}

// Write makes a file with this content, or replaces the one there. Files that
// killed runs left beside it are removed.
func Write(name string, data []byte, perm fs.FileMode) error {
	Sweep(filepath.Dir(name))
	f, err := Create(name, perm)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}

// Sweep removes files under way from a directory that nobody has written to for a
// day. What cannot be removed stays.
func Sweep(dir string) {
	left, _ := os.ReadDir(dir)
	for _, e := range left {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() && time.Since(fi.ModTime()) > age {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// Unnamed makes a file without a name in dir ("" is the default directory for
// temporary files): it is gone when it is closed, however the program ends.
// Errors call it dir/.engbld-WHAT.
func Unnamed(dir, what string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if f := unnamed(dir, ".engbld-"+what); f != nil {
		return f, nil
	}
	// Where files cannot be made without a name it has one for an instant.
	f, err := os.CreateTemp(dir, ".engbld-"+what+"-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
