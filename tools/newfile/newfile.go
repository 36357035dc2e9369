// Package newfile makes files that get their names only when they are complete,
// and files that never get one.
//
// A file under way is beside its place, so a rename can never become a copy, and
// is called .engbld-file-*: uploads skip such names. Who writes it holds a lock on
// it, which ends with the process; what a killed one left is known by that, and
// the next run removes it.
package newfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/filelock"
)

const (
	prefix   = ".engbld-file-"
	age      = 24 * time.Hour // of a file that nobody writes to any more, where there are no locks
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
		if errors.Is(err, fs.ErrExist) && try < maxTries {
			continue
		}
		if err != nil {
			return nil, err
		}
		err = filelock.Hold(f)
		_, gone := os.Lstat(f.Name())
		switch {
		case errors.Is(err, filelock.ErrHeld), errors.Is(gone, fs.ErrNotExist):
			// Sweep came between opening and locking.
			if f.Close(); try < maxTries {
				continue
			}
			return nil, fmt.Errorf("making %s: something removes it again and again", f.Name())
		case err != nil && !errors.Is(err, errors.ErrUnsupported):
			f.Close()
			os.Remove(f.Name())
			return nil, err
		}
		return &File{File: f, name: name}, nil
	}
}

// Commit writes everything through to the disk and gives the file its name,
// replacing one that is there. After an error there is no file.
func (f *File) Commit() error {
	if err := f.Sync(); err != nil {
		f.Discard()
		return err
	}
	return f.CommitLazily()
}

// CommitLazily is Commit without waiting for the disk, for what is checked when it
// is read: if the machine stops, the file may be empty or damaged.
func (f *File) CommitLazily() error {
	err := os.Rename(f.Name(), f.name)
	if err != nil {
		os.Remove(f.Name())
	}
	if e := f.Close(); err == nil { // until here nobody takes it for a leftover
		err = e
	}
	f.done = true
	return err
}

// Discard gives the file up. After Commit it does nothing.
func (f *File) Discard() {
	if !f.done {
		f.done = true
		os.Remove(f.Name())
		f.Close()
	}
}

// Write makes a file with this content, or replaces the one there. Files that
// killed runs left beside it are removed.
func Write(name string, data []byte, perm fs.FileMode) error {
	Sweep(filepath.Dir(name))
	return Fill(name, perm, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// Fill makes a file of what write puts into it, or replaces the one there. After
// an error there is no file.
func Fill(name string, perm fs.FileMode, write func(*os.File) error) error {
	f, err := Create(name, perm)
	if err != nil {
		return err
	}
	defer f.Discard()
	if err := write(f.File); err != nil {
		return err
	}
	return f.Commit()
}

// Sweep removes from a directory the files under way whose processes have ended;
// where the file system knows no locks, those nobody has written to for a day.
// What cannot be removed stays.
func Sweep(dir string) {
	left, _ := os.ReadDir(dir)
	for _, e := range left {
		if !strings.HasPrefix(e.Name(), prefix) || !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		switch err := filelock.Hold(f); {
		case err == nil:
			os.Remove(path)
		case errors.Is(err, errors.ErrUnsupported):
			if fi, err := f.Stat(); err == nil && time.Since(fi.ModTime()) > age {
				os.Remove(path)
			}
		}
		f.Close()
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
