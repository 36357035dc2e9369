package fstree

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
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
	t := New(now)
	d := dirReader{ctx: ctx, root: root, spool: spool, seen: make(map[inode]*Node)}
	if err := d.fill(".", t.Root); err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	return t, nil
}

type inode struct{ dev, ino uint64 }

type dirReader struct {
	ctx   context.Context
	root  *os.Root
	spool *Spool
	seen  map[inode]*Node // files with several names
}

func (d *dirReader) fill(name string, n *Node) error {
	entries, err := fs.ReadDir(d.root.FS(), name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		p := path.Join(name, e.Name())
		c, err := d.node(p)
		if err != nil {
			return err
		}
		n.Add(e.Name(), c)
		if c.IsDir() {
			if err := d.fill(p, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dirReader) node(name string) (*Node, error) {
	fi, err := d.root.Lstat(name)
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
	switch fi.Mode().Type() {
	case fs.ModeDir:
		n.Mode |= TypeDir
	case fs.ModeSymlink:
		n.Mode = TypeSymlink | 0o777
		n.Target, err = d.root.Readlink(name)
	case fs.ModeNamedPipe:
		n.Mode |= TypeFifo
	case 0:
		n.Mode |= TypeRegular
		st, ok := fi.Sys().(*syscall.Stat_t)
		if id := (inode{uint64(st.Dev), uint64(st.Ino)}); ok && st.Nlink > 1 {
			if other := d.seen[id]; other != nil {
				return other, nil
			}
			d.seen[id] = n
		}
		n.Content, err = d.content(name, fi.Size())
	default:
		err = fmt.Errorf("%s: a %s cannot be part of an image's files", name, fi.Mode().Type())
	}
	return n, err
}

func (d *dirReader) content(name string, size int64) (Content, error) {
	if size == 0 {
		return nil, nil
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := d.spool.Add(f, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}
