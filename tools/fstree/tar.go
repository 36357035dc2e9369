package fstree

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"
)

// TarOptions bound and tune ReadTar. Zero limits mean the defaults.
type TarOptions struct {
	Now        Time  // of directories the archive does not mention
	RootOwned  bool  // everything belongs to 0:0, whatever the archive says
	MaxEntries int   // and directories that the archive does not mention; default 1,000,000
	MaxBytes   int64 // of all files' content, default 64 GiB
}

// ReadTar reads an uncompressed tar archive (ustar, GNU or pax, as package
// archive/tar reads them) into a tree; content goes to the spool.
//
// Names are below the tree's root, a leading slash notwithstanding; one with
// ".." is an error. Parents that the archive does not mention get 0755 root:root;
// links to directories on the way are followed inside the tree. As with tar, a
// later entry replaces an earlier one of its name. Device numbers become illumos'
// major << 32 | minor. Extended attributes and ACLs are not read.
func ReadTar(ctx context.Context, r io.Reader, spool *Spool, o TarOptions) (*Tree, error) {
	if o.MaxEntries == 0 {
		o.MaxEntries = 1_000_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 30
	}
	u := untar{TarOptions: o, tree: New(o.Now), spool: spool, times: make(map[*Node]Time)}
	room := o.MaxEntries
	u.tree.Room = &room
	tr := tar.NewReader(r)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading the tar archive after %d entries: %w", u.entries, err)
		}
		if u.entries++; u.entries > o.MaxEntries {
			return nil, fmt.Errorf("the tar archive has more than %d entries", o.MaxEntries)
		}
		if err := u.entry(h, tr); err != nil {
			return nil, fmt.Errorf("tar entry %q: %w", h.Name, err)
		}
	}
	// Entries below a directory have changed its time.
	for n, t := range u.times {
		n.MTime, n.ATime = t, t
	}
	u.tree.Room = nil
	return u.tree, nil
}

type untar struct {
	TarOptions
	tree    *Tree
	spool   *Spool
	entries int
	bytes   int64
	times   map[*Node]Time // of directories the archive mentions
}

var errOutside = errors.New("the name leads out of the archive")

// inside cleans an archive's name; "" is the root.
func inside(name string) (string, error) {
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return "", errOutside
		}
	}
	if strings.IndexByte(name, 0) >= 0 || len(name) > maxPath {
		return "", fs.ErrInvalid
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}

func (u *untar) entry(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := inside(h.Name)
	if err != nil {
		return err
	}
	t := TimeOf(h.ModTime)
	n := &Node{Mode: uint32(h.Mode & PermMask), ATime: t, MTime: t}
	if !u.RootOwned {
		if h.Uid < 0 || h.Gid < 0 || int64(h.Uid) > math.MaxUint32 || int64(h.Gid) > math.MaxUint32 {
			return fmt.Errorf("owner %d:%d", h.Uid, h.Gid)
		}
		n.UID, n.GID = uint32(h.Uid), uint32(h.Gid)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.directory(name, n)
	case tar.TypeLink:
		return u.link(name, h.Linkname)
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		n.Mode |= TypeRegular
		if u.bytes += h.Size; h.Size < 0 || u.bytes > u.MaxBytes {
			return fmt.Errorf("the archive holds more than %d bytes", u.MaxBytes)
		}
		if h.Size > 0 {
			if n.Content, err = u.spool.Add(r, h.Size); err != nil {
				return err
			}
		}
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) >= maxPath || strings.IndexByte(h.Linkname, 0) >= 0 {
			return fmt.Errorf("a symbolic link to %q", h.Linkname)
		}
		n.Mode, n.Target = TypeSymlink|0o777, strings.Clone(h.Linkname) // it may be a part of a whole header
	case tar.TypeChar, tar.TypeBlock:
		if h.Devmajor < 0 || h.Devminor < 0 || h.Devmajor > math.MaxUint32 || h.Devminor > math.MaxUint32 {
			return fmt.Errorf("device %d, %d", h.Devmajor, h.Devminor)
		}
		n.Mode, n.Rdev = n.Mode|TypeChar, uint64(h.Devmajor)<<32|uint64(h.Devminor)
		if h.Typeflag == tar.TypeBlock {
			n.Mode = n.Mode&PermMask | TypeBlock
		}
	case tar.TypeFifo:
		n.Mode |= TypeFifo
	default:
		return fmt.Errorf("entries of type %q are not supported", h.Typeflag)
	}
	if name == "" {
		return ErrIsDir
	}
	if err := u.clear(name); err != nil {
		return err
	}
	return u.tree.Put(name, n)
}

// clear makes way for an entry: its parents are there, and no empty directory is.
func (u *untar) clear(name string) error {
	if err := u.tree.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if old, err := u.tree.Lstat(name); err == nil && old.IsDir() {
		delete(u.times, old)
		return u.tree.Remove(name)
	}
	return nil
}

func (u *untar) directory(name string, n *Node) error {
	old := u.tree.Root
	if name != "" {
		var err error
		if old, err = u.tree.Lstat(name); err == nil && !old.IsDir() {
			// A link to a directory stays, as tar leaves it.
			if at, e := u.tree.Stat(name); e == nil && at.IsDir() {
				old = at
			} else if err = u.tree.Remove(name); err == nil {
				err = fs.ErrNotExist
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			if err = u.tree.MkdirAll(path.Dir(name), 0o755); err == nil {
				old, err = u.tree.Mkdir(name, 0, 0, 0)
			}
		}
		if err != nil {
			return err
		}
	}
	old.SetPerm(n.Perm())
	old.UID, old.GID = n.UID, n.GID
	u.times[old] = n.MTime
	return nil
}

func (u *untar) link(name, to string) error {
	to, err := inside(to)
	if err != nil {
		return fmt.Errorf("hard link: %w", err)
	}
	n, err := u.tree.Lstat(to)
	if err != nil {
		return fmt.Errorf("hard link: %w", err)
	}
	if n.IsDir() {
		return fmt.Errorf("hard link to the directory %q", to)
	}
	if name == "" {
		return ErrIsDir
	}
	if old, err := u.tree.Lstat(name); err == nil && old == n {
		return nil
	}
	if err := u.clear(name); err != nil {
		return err
	}
	if err := u.tree.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return u.tree.Link(to, name)
}
