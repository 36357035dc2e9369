package inspect

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// ExtractOptions tune Extract and Tar.
type ExtractOptions struct {
	Warn   Warner // nil: silent
	Owners bool   // Extract: set owners too, which needs root
}

// ExtractStats count what was written.
type ExtractStats struct {
	Files, Skipped int
	Bytes          int64 // of content
}

// Extract writes the tree below dir, which is made, or must be empty. Nothing is
// written elsewhere, whatever names and links the image holds. Modes and times
// are the image's; devices, fifos and sockets are skipped with a warning (Tar
// keeps the first two), and so are times of symbolic links. Holes stay holes.
func (im *Image) Extract(ctx context.Context, dir string, o ExtractOptions) (ExtractStats, error) {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return ExtractStats{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return ExtractStats{}, err
	}
	defer root.Close()
	if entries, err := fs.ReadDir(root.FS(), "."); err != nil {
		return ExtractStats{}, err
	} else if len(entries) > 0 {
		return ExtractStats{}, fmt.Errorf("extracting to %s: the directory is not empty", dir)
	}
	x := extractor{ctx: ctx, ExtractOptions: o, root: root, first: make(map[*fstree.Node]string), buf: make([]byte, 128<<10)}
	if err := x.directory(".", im.Tree.Root); err != nil {
		return x.stats, fmt.Errorf("extracting to %s: %w", dir, err)
	}
	return x.stats, nil
}

type extractor struct {
	ExtractOptions
	ctx   context.Context
	root  *os.Root
	first map[*fstree.Node]string // where a file with several names was written
	buf   []byte
	stats ExtractStats
}

func (x *extractor) warn(format string, args ...any) {
	if x.Warn != nil {
		x.Warn.Warnf(format, args...)
	}
}

func (x *extractor) directory(name string, dir *fstree.Node) error {
	if err := x.ctx.Err(); err != nil {
		return err
	}
	for _, entry := range dir.List() {
		n := dir.Child(entry)
		p := path.Join(name, entry)
		if n.IsDir() {
			if err := x.root.Mkdir(p, 0o700); err != nil {
				return err
			}
			x.stats.Files++
			if err := x.directory(p, n); err != nil {
				return err
			}
			continue
		}
		if err := x.file(p, n); err != nil {
			return err
		}
	}
	return x.finish(name, dir)
}

func (x *extractor) file(name string, n *fstree.Node) error {
	if n.Names() > 1 {
		if old, ok := x.first[n]; ok {
			x.stats.Files++
			return x.root.Link(old, name)
		}
	}
	switch n.Type() {
	case fstree.TypeSymlink:
		if err := x.root.Symlink(n.Target, name); err != nil {
			return err
		}
		if x.Owners {
			if err := x.root.Lchown(name, int(n.UID), int(n.GID)); err != nil {
				return err
			}
		}
	case fstree.TypeRegular:
		if err := x.content(name, n); err != nil {
			return err
		}
		if err := x.finish(name, n); err != nil {
			return err
		}
	default:
		x.stats.Skipped++
		x.warn("%s: a %s is not extracted", name, typeName(n.Mode))
		return nil
	}
	x.stats.Files++
	if n.Names() > 1 {
		x.first[n] = name
	}
	return nil
}

func (x *extractor) content(name string, n *fstree.Node) (err error) {
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	size := n.Size()
	zero := make([]byte, len(x.buf))
	for off := int64(0); off < size; {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		b := x.buf[:min(int64(len(x.buf)), size-off)]
		if k, err := n.Content.ReadAt(b, off); k < len(b) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if !bytes.Equal(b, zero[:len(b)]) {
			if _, err := f.WriteAt(b, off); err != nil {
				return err
			}
		}
		off += int64(len(b))
	}
	x.stats.Bytes += size
	return f.Truncate(size)
}

// finish sets owner, mode and times; an owner's change takes set-id bits away,
// so it comes first.
func (x *extractor) finish(name string, n *fstree.Node) error {
	if x.Owners {
		if err := x.root.Chown(name, int(n.UID), int(n.GID)); err != nil {
			return err
		}
	}
	if err := x.root.Chmod(name, fileMode(n.Perm())); err != nil {
		return err
	}
	return x.root.Chtimes(name, n.ATime.Time(), n.MTime.Time())
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

// Tar writes the tree as a pax archive: owners, modes, times to the nanosecond,
// hard links and devices (their numbers taken as illumos') included. Sockets are
// skipped with a warning. The same image gives the same bytes.
func (im *Image) Tar(ctx context.Context, w io.Writer, o ExtractOptions) (ExtractStats, error) {
	var stats ExtractStats
	tw := tar.NewWriter(w)
	first := make(map[*fstree.Node]string)
	err := im.Tree.Walk(func(name string, n *fstree.Node) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		h := &tar.Header{
			Format: tar.FormatPAX, Name: name, Mode: int64(n.Perm()), Uid: int(n.UID), Gid: int(n.GID), ModTime: n.MTime.Time(),
		}
		var content io.Reader = strings.NewReader("")
		old, again := first[n]
		switch t := n.Type(); {
		case again:
			h.Typeflag, h.Linkname = tar.TypeLink, old
		case t == fstree.TypeDir:
			h.Typeflag, h.Name = tar.TypeDir, name+"/"
		case t == fstree.TypeRegular:
			h.Typeflag, h.Size = tar.TypeReg, n.Size()
			if n.Content != nil {
				content = &reader{ctx, fstree.NewReader(n.Content)}
			}
		case t == fstree.TypeSymlink:
			h.Typeflag, h.Linkname = tar.TypeSymlink, n.Target
		case t == fstree.TypeChar || t == fstree.TypeBlock:
			h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, int64(n.Rdev>>32), int64(n.Rdev&(1<<32-1))
			if t == fstree.TypeBlock {
				h.Typeflag = tar.TypeBlock
			}
		case t == fstree.TypeFifo:
			h.Typeflag = tar.TypeFifo
		default:
			stats.Skipped++
			if o.Warn != nil {
				o.Warn.Warnf("%s: a %s is not put into archives", name, typeName(n.Mode))
			}
			return nil
		}
		if n.Names() > 1 && !n.IsDir() && !again {
			first[n] = name
		}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		k, err := io.Copy(tw, content)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		stats.Files++
		stats.Bytes += k
		return nil
	})
	if err == nil {
		err = tw.Close()
	}
	if err != nil {
		return stats, fmt.Errorf("writing the archive: %w", err)
	}
	return stats, nil
}
