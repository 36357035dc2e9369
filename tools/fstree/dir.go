package fstree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
)

// ReadDir reads a directory of this machine into a tree; content is copied to
// the spool, so later changes do not matter. Links are not followed, and nothing
// outside of dir is read. Everything belongs to 0:0, since who owns a work tree
// says nothing about an image; directories the umask made are as they are.
// Devices and sockets are refused.
func ReadDir(ctx context.Context, dir string, spool *Spool, now Time) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	t, err := readRoot(ctx, root, RootOptions{Now: now}, spool)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	return t, nil
}

// RootOptions tune ReadRoot.
type RootOptions struct {
	Now Time // of the tree

	// Skip names directories that are taken to be empty; nil is none.
	Skip func(path string) bool

	// Warn is told of directories that may not be read, which are taken to be
	// empty; with nil they are errors.
	Warn Warner
}

// ReadRoot reads the root of a system on this machine into a tree, as it is:
// with its owners, devices and sockets. Content stays where it is and is read
// when it is asked for, so root must stay open; a file that was changed by then
// is an error. Links are not followed and nothing outside of root is read.
func ReadRoot(ctx context.Context, root *os.Root, o RootOptions) (*Tree, error) {
	t, err := readRoot(ctx, root, o, nil)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", root.Name(), err)
	}
	return t, nil
}

func readRoot(ctx context.Context, root *os.Root, o RootOptions, spool *Spool) (*Tree, error) {
	d := dirReader{RootOptions: o, ctx: ctx, root: root, spool: spool, seen: make(map[inode]*Node)}
	t := New(o.Now)
	if spool == nil {
		n, err := d.node(root, ".", ".")
		if err != nil {
			return nil, err
		}
		n.links = 1
		t.Root = n
	}
	return t, d.fill(root, ".", t.Root)
}

type inode struct{ dev, ino uint64 }

type dirReader struct {
	RootOptions
	ctx   context.Context
	root  *os.Root
	spool *Spool          // nil: content stays on disk
	seen  map[inode]*Node // files with several names
}

// fill reads the entries of a directory, which is named name below the root.
func (d *dirReader) fill(dir *os.Root, name string, n *Node) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	f.Close()
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, entry := range names {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		p := path.Join(name, entry)
		c, err := d.node(dir, entry, p)
		if err != nil {
			return err
		}
		n.Add(entry, c)
		if !c.IsDir() || d.Skip != nil && d.Skip(p) {
			continue
		}
		if err := d.below(dir, entry, p, c); err != nil {
			return err
		}
	}
	return nil
}

func (d *dirReader) below(dir *os.Root, entry, p string, n *Node) error {
	sub, err := dir.OpenRoot(entry)
	if err == nil {
		err = d.fill(sub, p, n)
		sub.Close()
	}
	if d.Warn != nil && errors.Is(err, fs.ErrPermission) {
		d.Warn.Warnf("%s: not looked into: %v", p, err)
		return nil
	}
	return err
}

func (d *dirReader) node(dir *os.Root, entry, name string) (*Node, error) {
	fi, err := dir.Lstat(entry)
	if err != nil {
		return nil, err
	}
	n := &Node{Mode: uint32(fi.Mode().Perm()), MTime: TimeOf(fi.ModTime())}
	n.ATime = n.MTime
	for bit, m := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if fi.Mode()&bit != 0 {
			n.Mode |= m
		}
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if ok && d.spool == nil {
		n.UID, n.GID = st.Uid, st.Gid
	}
	switch fi.Mode().Type() {
	case fs.ModeDir:
		n.Mode |= TypeDir
		return n, nil
	case fs.ModeSymlink:
		n.Mode = TypeSymlink | 0o777
		n.Target, err = dir.Readlink(entry)
	case fs.ModeNamedPipe:
		n.Mode |= TypeFifo
	case 0:
		n.Mode |= TypeRegular
	case fs.ModeDevice:
		n.Mode |= TypeBlock
	case fs.ModeDevice | fs.ModeCharDevice:
		n.Mode |= TypeChar
	case fs.ModeSocket:
		n.Mode |= TypeSocket
	default:
		return nil, fmt.Errorf("%s: what is a %s?", name, fi.Mode().Type())
	}
	if d.spool != nil && fi.Mode()&(fs.ModeDevice|fs.ModeSocket) != 0 {
		return nil, fmt.Errorf("%s: a %s cannot be part of an image's files", name, fi.Mode().Type())
	}
	if ok && st.Nlink > 1 && (n.IsRegular() || d.spool == nil) {
		id := inode{uint64(st.Dev), uint64(st.Ino)}
		if other := d.seen[id]; other != nil {
			return other, nil
		}
		d.seen[id] = n
	}
	if err == nil && n.IsRegular() {
		n.Content, err = d.content(dir, entry, name, fi)
	}
	return n, err
}

func (d *dirReader) content(dir *os.Root, entry, name string, fi fs.FileInfo) (Content, error) {
	if fi.Size() == 0 {
		return nil, nil
	}
	if d.spool == nil {
		return onDisk{d.root, name, fi.Size(), TimeOf(fi.ModTime())}, nil
	}
	f, err := dir.Open(entry)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := d.spool.Add(f, fi.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// onDisk is the content of a file that lies below a root.
type onDisk struct {
	root  *os.Root
	name  string
	size  int64
	mtime Time
}

func (c onDisk) Size() int64 { return c.size }

func (c onDisk) ReadAt(p []byte, off int64) (int, error) {
	if off >= c.size {
		return 0, io.EOF
	}
	f, err := c.root.Open(c.name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !fi.Mode().IsRegular() || fi.Size() != c.size || TimeOf(fi.ModTime()) != c.mtime {
		return 0, pathError("read", c.name, errors.New("the file was changed meanwhile"))
	}
	return f.ReadAt(p, off)
}
