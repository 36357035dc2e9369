package fstree

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
)

// WriteOptions tune WriteDir and UpdateDir.
type WriteOptions struct {
	Warn   Warner // nil: silent
	Owners bool   // set owners too, which needs root
}

// WriteStats count what was written.
type WriteStats struct {
	Files   int // of all kinds, names of hard links included
	Skipped int // devices, fifos and sockets
	Removed int // by UpdateDir: names that are no more, with all below them as one
	Changed int // by UpdateDir: got another mode, owner or time only
	Bytes   int64
}

// WriteDir writes a tree below root, where none of its names may be yet. Nothing
// is written elsewhere, whatever names and links the tree holds. Modes and times
// are the tree's, also of root itself; devices, fifos and sockets are skipped
// with a warning, and so are times of symbolic links. Holes stay holes. After an
// error nothing that was written is left, but for directories where somebody else
// has put something meanwhile.
func WriteDir(ctx context.Context, root *os.Root, t *Tree, o WriteOptions) (WriteStats, error) {
	w := newDirWriter(ctx, root, o)
	var made []madeName
	w.made = func(name string, dir bool) { made = append(made, madeName{name, dir}) }
	err := w.entries(".", t.Root)
	if err == nil {
		err = w.finish(".", t.Root)
	}
	if err != nil {
		takeBack(root, made)
	}
	return w.stats, err
}

// madeName is a name that was made.
type madeName struct {
	name string
	dir  bool
}

// takeBack removes what was made, as far as it can be removed.
func takeBack(root *os.Root, made []madeName) {
	for _, m := range made {
		if m.dir {
			root.Chmod(m.name, 0o700) // it may forbid removing by now
		}
	}
	for _, m := range slices.Backward(made) {
		root.Remove(m.name)
	}
}

// dirWriter makes files below a root.
type dirWriter struct {
	WriteOptions
	ctx   context.Context
	root  *os.Root
	first map[*Node]string // where a file with several names is
	made  func(name string, dir bool)
	buf   []byte
	zero  []byte
	stats WriteStats
}

func newDirWriter(ctx context.Context, root *os.Root, o WriteOptions) *dirWriter {
	const piece = 128 << 10
	return &dirWriter{
		WriteOptions: o, ctx: ctx, root: root, first: make(map[*Node]string), made: func(string, bool) {}, buf: make([]byte, piece), zero: make([]byte, piece),
	}
}

// writes tells whether a node can be made; others are skipped.
func writes(n *Node) bool { return n.IsDir() || n.IsRegular() || n.IsSymlink() }

// put makes a node, with all below it, at a name where nothing is. shown is what
// a warning calls it.
func (w *dirWriter) put(name, shown string, n *Node) error {
	switch {
	case n.IsDir():
		if err := w.root.Mkdir(name, 0o700); err != nil {
			return err
		}
		w.made(name, true)
		w.stats.Files++
		if err := w.entries(name, n); err != nil {
			return err
		}
		return w.finish(name, n)
	case !writes(n):
		w.stats.Skipped++
		if w.Warn != nil {
			w.Warn.Warnf("%s: a %s is not written", shown, typeName(n))
		}
		return nil
	}
	w.stats.Files++
	if n.links > 1 {
		if old, ok := w.first[n]; ok {
			err := w.root.Link(old, name)
			if err == nil {
				w.made(name, false)
			}
			return err
		}
		w.first[n] = name
	}
	if n.IsSymlink() {
		if err := w.root.Symlink(n.Target, name); err != nil {
			return err
		}
		w.made(name, false)
		if !w.Owners {
			return nil
		}
		return w.root.Lchown(name, int(n.UID), int(n.GID))
	}
	if err := w.content(name, n); err != nil {
		return err
	}
	return w.finish(name, n)
}

func (w *dirWriter) entries(name string, dir *Node) error {
	for _, entry := range dir.List() {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		p := path.Join(name, entry)
		if err := w.put(p, p, dir.children[entry]); err != nil {
			return err
		}
	}
	return nil
}

func (w *dirWriter) content(name string, n *Node) (err error) {
	f, err := w.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w.made(name, false)
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	size := n.Size()
	for off := int64(0); off < size; {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		b := w.buf[:min(int64(len(w.buf)), size-off)]
		if k, err := n.Content.ReadAt(b, off); k < len(b) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading the content of %s: %w", name, err)
		}
		if !bytes.Equal(b, w.zero[:len(b)]) {
			if _, err := f.WriteAt(b, off); err != nil {
				return err
			}
		}
		off += int64(len(b))
	}
	w.stats.Bytes += size
	return f.Truncate(size)
}

// finish sets owner, mode and times; an owner's change takes set-id bits away,
// so it comes first.
func (w *dirWriter) finish(name string, n *Node) error {
	if n.IsSymlink() {
		if !w.Owners {
			return nil
		}
		return w.root.Lchown(name, int(n.UID), int(n.GID))
	}
	if w.Owners {
		if err := w.root.Chown(name, int(n.UID), int(n.GID)); err != nil {
			return err
		}
	}
	if err := w.root.Chmod(name, fileMode(n.Perm())); err != nil {
		return err
	}
	return w.root.Chtimes(name, n.ATime.Time(), n.MTime.Time())
}

func fileMode(perm uint32) fs.FileMode {
	m := fs.FileMode(perm & 0o777)
	for bit, mode := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if perm&bit != 0 {
			m |= mode
		}
	}
	return m
}

func typeName(n *Node) string {
	switch n.Type() {
	case TypeFifo:
		return "fifo"
	case TypeChar:
		return "character device"
	case TypeBlock:
		return "block device"
	case TypeSocket:
		return "socket"
	}
	return fmt.Sprintf("file of type %o", n.Type()>>12)
}
