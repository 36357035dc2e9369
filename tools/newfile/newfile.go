// Package newfile makes files that get their names only when they are complete,
// files that never get one, and directories for what lies on disk meanwhile.
//
// A file under way is beside its place, so a rename can never become a copy, and
// is called .engbld-file-*: uploads skip such names. Who writes it holds a lock on
// it, which ends with the process; what a killed one left is known by that, and
// the next run that makes a file in that directory removes it. Likewise a
// directory is called .engbld-dir-*, and the next one made beside it removes those
// of killed runs.
package newfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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
// the umask permits. Files that killed runs left beside it are removed.
func Create(name string, perm fs.FileMode) (*File, error) {
	Sweep(filepath.Dir(name))
	return CreateSwept(name, perm)
}

// CreateSwept is Create in a directory that the caller has swept: where many files
// are made, once is enough.
func CreateSwept(name string, perm fs.FileMode) (*File, error) {
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

// Write makes a file with this content, or replaces the one there.
func Write(name string, data []byte, perm fs.FileMode) error {
	return Fill(name, perm, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// Fill makes a file of what write puts into it, or replaces the one there. After
// an error there is no file.
func Fill(name string, perm fs.FileMode, write func(*os.File) error) error {
	Sweep(filepath.Dir(name))
	return FillSwept(name, perm, write)
}

// FillSwept is Fill in a directory that the caller has swept.
func FillSwept(name string, perm fs.FileMode, write func(*os.File) error) error {
	f, err := CreateSwept(name, perm)
	if err != nil {
		return err
	}
	defer f.Discard()
	if err := write(f.File); err != nil {
		return err
	}
	return f.Commit()
}

// Output is Fill for a name that a person gave: what has it and is no regular file
// (a device, a pipe, a link such as /dev/stdout) is written to, not replaced.
func Output(name string, perm fs.FileMode, write func(io.Writer) error) error {
	if Replaces(name) {
		return Fill(name, perm, func(f *os.File) error { return write(f) })
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// Replaces tells whether Output makes a file of that name, new or in place of one.
func Replaces(name string) bool {
	fi, err := os.Lstat(name)
	return err != nil || fi.Mode().IsRegular() || fi.IsDir()
}

// Sweep removes from a directory the files under way whose processes have ended;
// where the file system knows no locks, those nobody has written to for a day.
// What cannot be removed stays.
func Sweep(dir string) {
	for _, path := range begin(dir, prefix) {
		if fi, err := os.Lstat(path); err != nil || !fi.Mode().IsRegular() {
			continue
		}
		f, err := openLeft(func(flag int) (*os.File, error) { return os.OpenFile(path, flag, 0) })
		if err != nil {
			continue
		}
		if left(f) {
			os.Remove(path)
		}
		f.Close()
	}
}

// begin returns the paths in a directory whose names begin with prefix. It looks at
// no other file: the directory may hold many, and some systems tell nothing but
// names.
func begin(dir, prefix string) (paths []string) {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1000)
		for _, name := range names {
			if strings.HasPrefix(name, prefix) {
				paths = append(paths, filepath.Join(dir, name))
			}
		}
		if err != nil {
			return paths
		}
	}
}

// openLeft opens what may be a leftover for locking: for writing, which locks on
// some file systems need, or else for reading, as it may be a file that is not to
// be written.
func openLeft(open func(flag int) (*os.File, error)) (*os.File, error) {
	const flags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	f, err := open(os.O_RDWR | flags)
	if errors.Is(err, fs.ErrPermission) {
		f, err = open(os.O_RDONLY | flags)
	}
	return f, err
}

// left tells whether nobody is at work at what a file stands for, and takes its
// lock in that case, until it is closed.
func left(f *os.File) bool {
	err := filelock.Hold(f)
	if errors.Is(err, errors.ErrUnsupported) {
		fi, err := f.Stat()
		return err == nil && time.Since(fi.ModTime()) > age
	}
	return err == nil
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
