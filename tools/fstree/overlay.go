package fstree

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
)

// Warner takes what a user should know but what stops nothing.
type Warner interface {
	Warnf(format string, args ...any)
}

// OverlayOptions tune Overlay. The zero value is rsync -a.
type OverlayOptions struct {
	Warn      Warner // nil: silent
	HardLinks bool   // names of one file stay that, as with rsync -H; else each becomes a file
}

// OverlayStats count what Overlay did.
type OverlayStats struct {
	Added, Replaced, Kept int // files, links, directories and so on; Kept were the same already
}

// Overlay lays src over dst as `rsync -a SRC/ DST/` does:
//
//	in src        in dst             result
//	no directory  no directory       replaced by a new file, link or device
//	no directory  empty directory    replaced
//	no directory  other directory    error
//	directory     directory          entries merged; mode, owner and time of src
//	directory     symbolic link      the link is replaced, wherever it leads
//	directory     other file         replaced
//
// Links in src are copied, never followed. A file that is equal already (type,
// content, target, device) keeps its place and takes mode, owner and time.
//
// Two things are otherwise than with rsync. A directory of src with a looser mode
// than the one it falls on (more permissions, set-id, or no sticky bit where
// others may write) leaves that mode alone, with a warning: component trees
// often carry the umask of whoever made them. And attributes of the root of src
// are not used, being those of some working directory.
//
// src is not changed; dst shares its content, not its nodes. After an error dst is
// in between and should be thrown away.
func Overlay(ctx context.Context, dst, src *Tree, o OverlayOptions) (OverlayStats, error) {
	l := overlay{ctx: ctx, OverlayOptions: o, now: dst.Now, made: make(map[*Node]*Node)}
	err := l.merge("", dst.Root, src.Root)
	return l.stats, err
}

type overlay struct {
	OverlayOptions
	ctx   context.Context
	now   Time
	stats OverlayStats
	made  map[*Node]*Node // files with several names in src → in dst
}

func (l *overlay) merge(path string, dst, src *Node) error {
	changed := false
	for _, name := range src.List() {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		p := path + "/" + name
		s, d := src.children[name], dst.children[name]
		var err error
		switch {
		case s.IsDir() && d != nil && d.IsDir():
			err = l.mergeDir(p, d, s)
		case s.IsDir():
			if d != nil {
				dst.drop(name)
				l.stats.Replaced++
			} else {
				l.stats.Added++
			}
			n := &Node{Mode: s.Mode, UID: s.UID, GID: s.GID}
			dst.Add(name, n)
			changed = true
			if err = l.merge(p, n, s); err == nil {
				n.ATime, n.MTime = s.ATime, s.MTime
			}
		default:
			var put bool
			put, err = l.file(p, dst, name, s)
			changed = changed || put
		}
		if err != nil {
			return err
		}
	}
	if changed {
		dst.MTime = l.now
	}
	return nil
}

func (l *overlay) mergeDir(path string, d, s *Node) error {
	if err := l.merge(path, d, s); err != nil {
		return err
	}
	d.UID, d.GID, d.ATime, d.MTime = s.UID, s.GID, s.ATime, s.MTime
	if looser(s.Perm(), d.Perm()) {
		if l.Warn != nil {
			l.Warn.Warnf("%s: directory mode %04o is looser than the image's %04o, which stays", path, s.Perm(), d.Perm())
		}
		return nil
	}
	d.SetPerm(s.Perm())
	return nil
}

// looser tells whether a directory's mode allows what the other does not.
func looser(mode, than uint32) bool {
	const sticky, othersWrite = 0o1000, 0o022
	return mode&^than&0o6777 != 0 || than&sticky != 0 && mode&sticky == 0 && mode&othersWrite != 0
}

func (l *overlay) file(path string, dir *Node, name string, s *Node) (changed bool, err error) {
	d := dir.children[name]
	if d != nil && d.IsDir() && len(d.children) > 0 {
		return false, &fs.PathError{Op: "overlay", Path: path, Err: fmt.Errorf("the image has a directory there: %w", ErrNotEmpty)}
	}
	if l.HardLinks && s.links > 1 {
		if n := l.made[s]; n != nil {
			if n == d {
				l.stats.Kept++
				return false, nil
			}
			if d == nil {
				l.stats.Added++
			} else {
				l.stats.Replaced++
			}
			dir.Add(name, n)
			return true, nil
		}
	}
	n := d
	same := false
	// A file with several names in dst is not changed through one of them.
	if d != nil && d.links == 1 {
		if same, err = sameData(d, s); err != nil {
			return false, &fs.PathError{Op: "overlay", Path: path, Err: err}
		}
	}
	switch {
	case same:
		l.stats.Kept++
	default:
		if d == nil {
			l.stats.Added++
		} else {
			l.stats.Replaced++
		}
		n = &Node{Rdev: s.Rdev, Target: s.Target, Content: s.Content}
		dir.Add(name, n)
	}
	n.Mode, n.UID, n.GID, n.ATime, n.MTime = s.Mode, s.UID, s.GID, s.ATime, s.MTime
	if l.HardLinks && s.links > 1 {
		l.made[s] = n
	}
	return !same, nil
}

// sameData tells whether two nodes are of one type and hold the same.
func sameData(a, b *Node) (bool, error) {
	if a.Type() != b.Type() || a.Size() != b.Size() {
		return false, nil
	}
	switch a.Type() {
	case TypeSymlink:
		return a.Target == b.Target, nil
	case TypeChar, TypeBlock:
		return a.Rdev == b.Rdev, nil
	case TypeRegular:
		return SameContent(a.Content, b.Content)
	}
	return a.Type() != TypeDir, nil
}

// SameContent compares bytes; nil is empty content.
func SameContent(a, b Content) (bool, error) {
	if a == b {
		return true, nil
	}
	if a == nil || b == nil {
		return (a == nil || a.Size() == 0) && (b == nil || b.Size() == 0), nil
	}
	if a.Size() != b.Size() {
		return false, nil
	}
	const step = 64 << 10
	p, q := make([]byte, step), make([]byte, step)
	for off := int64(0); off < a.Size(); off += step {
		n := min(step, a.Size()-off)
		for _, x := range []struct {
			c Content
			b []byte
		}{{a, p[:n]}, {b, q[:n]}} {
			if k, err := x.c.ReadAt(x.b, off); int64(k) < n {
				if err == nil || err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return false, err
			}
		}
		if !bytes.Equal(p[:n], q[:n]) {
			return false, nil
		}
	}
	return true, nil
}
