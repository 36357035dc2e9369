package inspect

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// ListOptions tune List.
type ListOptions struct {
	Recursive bool
	Long      bool // mode, links, owner, size, time and target, as ls -l
	Exact     bool // every field, hashes included, as the ZFS oracle lists; implies Recursive
	NoTimes   bool // with Exact: without mtime=
}

// List writes the names in a directory, or one name that is none; "" and "/" are
// the root. Names are in byte order, odd bytes written \ooo.
func (im *Image) List(ctx context.Context, w io.Writer, name string, o ListOptions) error {
	n, err := im.Tree.Lstat(name)
	if err != nil {
		return fault.Usage.Wrap(err)
	}
	out := bufio.NewWriter(w)
	if o.Exact {
		sub := &fstree.Tree{Root: n}
		if !n.IsDir() {
			return fault.Usage.Errorf("listing %s exactly: %w", name, fstree.ErrNotDir)
		}
		lines, err := dataset.Listing(ctx, sub, dataset.ListOptions{Base: im.Dataset, NoTimes: o.NoTimes})
		if err != nil {
			return err
		}
		for _, l := range lines {
			out.WriteString(l)
			out.WriteByte('\n')
		}
		return out.Flush()
	}
	if !n.IsDir() {
		im.line(out, path.Base(name), n, o)
		return out.Flush()
	}
	if err := im.list(ctx, out, "", n, o); err != nil {
		return err
	}
	return out.Flush()
}

func (im *Image) list(ctx context.Context, w io.Writer, prefix string, dir *fstree.Node, o ListOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, name := range dir.List() {
		n := dir.Child(name)
		if err := im.line(w, prefix+name, n, o); err != nil {
			return err
		}
		if o.Recursive && n.IsDir() {
			if err := im.list(ctx, w, prefix+name+"/", n, o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (im *Image) line(w io.Writer, name string, n *fstree.Node, o ListOptions) error {
	var err error
	if !o.Long {
		_, err = fmt.Fprintln(w, dataset.Quote(name))
		return err
	}
	size := fmt.Sprint(sizeOf(n))
	if t := n.Type(); t == fstree.TypeChar || t == fstree.TypeBlock {
		size = fmt.Sprintf("%d,%d", n.Rdev>>32, n.Rdev&(1<<32-1))
	}
	target := ""
	if n.IsSymlink() {
		target = " -> " + dataset.Quote(n.Target)
	}
	_, err = fmt.Fprintf(w, "%s %3d %5d %5d %10s %s %s%s\n", ModeString(n.Mode), linksOf(n), n.UID, n.GID, size,
		n.MTime.Time().Format("2006-01-02 15:04:05"), dataset.Quote(name), target)
	return err
}

func sizeOf(n *fstree.Node) int64 {
	if n.IsDir() {
		return int64(n.Len()) + 2
	}
	return n.Size()
}

func linksOf(n *fstree.Node) int {
	if !n.IsDir() {
		return n.Names()
	}
	links := 2
	for _, name := range n.List() {
		if n.Child(name).IsDir() {
			links++
		}
	}
	return links
}

// ModeString writes a mode as ls -l does: "-rwsr-xr-x".
func ModeString(mode uint32) string {
	letter := dataset.TypeLetter(mode)
	if letter == 'f' {
		letter = '-'
	}
	b := []byte{letter, 'r', 'w', 'x', 'r', 'w', 'x', 'r', 'w', 'x'}
	for i := range 9 {
		if mode>>(8-i)&1 == 0 {
			b[1+i] = '-'
		}
	}
	for _, s := range []struct {
		bit    uint32
		at     int
		letter byte
	}{{0o4000, 3, 's'}, {0o2000, 6, 's'}, {0o1000, 9, 't'}} {
		if mode&s.bit == 0 {
			continue
		}
		if b[s.at] == '-' {
			b[s.at] = s.letter - 'a' + 'A' // not executable
		} else {
			b[s.at] = s.letter
		}
	}
	return string(b)
}

// Cat writes the content of regular files, links followed.
func (im *Image) Cat(ctx context.Context, w io.Writer, names ...string) error {
	for _, name := range names {
		n, err := im.Tree.Stat(name)
		if err != nil {
			return fault.Usage.Wrap(err)
		}
		if !n.IsRegular() {
			return fault.Usage.Errorf("printing %s: it is no regular file", name)
		}
		if n.Content == nil {
			continue
		}
		if _, err := io.Copy(w, &reader{ctx, fstree.NewReader(n.Content)}); err != nil {
			return fmt.Errorf("printing %s: %w", name, err)
		}
	}
	return nil
}

// reader ends when its context does.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// Stat describes files in full, one "field: value" a line and an empty line
// between files. Links are not followed.
func (im *Image) Stat(ctx context.Context, w io.Writer, names ...string) error {
	for i, name := range names {
		n, err := im.Tree.Lstat(name)
		if err != nil {
			return fault.Usage.Wrap(err)
		}
		var b strings.Builder
		if i > 0 {
			b.WriteByte('\n')
		}
		field := func(name, format string, args ...any) {
			fmt.Fprintf(&b, "%-9s "+format+"\n", append([]any{name + ":"}, args...)...)
		}
		field("path", "%s", dataset.Quote(name))
		field("type", "%s", typeName(n.Mode))
		field("mode", "%04o %s", n.Perm(), ModeString(n.Mode))
		field("owner", "%d:%d", n.UID, n.GID)
		field("size", "%d", sizeOf(n))
		field("links", "%d", linksOf(n))
		switch n.Type() {
		case fstree.TypeRegular:
			h := sha256.New()
			if n.Content != nil {
				if _, err := io.Copy(h, &reader{ctx, fstree.NewReader(n.Content)}); err != nil {
					return fmt.Errorf("reading %s: %w", name, err)
				}
			}
			field("sha256", "%x", h.Sum(nil))
		case fstree.TypeSymlink:
			field("target", "%s", dataset.Quote(n.Target))
		case fstree.TypeChar, fstree.TypeBlock:
			field("device", "%d,%d", n.Rdev>>32, n.Rdev&(1<<32-1))
		}
		for _, t := range []struct {
			name string
			t    fstree.Time
		}{{"modified", n.MTime}, {"changed", n.CTime}, {"accessed", n.ATime}, {"created", n.BTime}} {
			field(t.name, "%s", t.t.Time().Format(time.RFC3339Nano))
		}
		if n.Base != 0 {
			info, err := im.Dataset.Info(n.Base)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			field("object", "%d, generation %d, parent %d, flags %#x", info.Object, info.Gen, info.Parent, info.Flags)
			field("blocks", "%d of %d bytes", info.Blocks, info.BlockSize)
			if info.Spill > 0 {
				field("spill", "%d bytes", info.Spill)
			}
			if info.ACL != "" {
				field("acl", "%s", info.ACL)
			}
			if len(info.Xattrs) > 0 {
				field("xattrs", "%s", dataset.Quote(strings.Join(info.Xattrs, ",")))
			}
		}
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
	}
	return nil
}

func typeName(mode uint32) string {
	switch mode & fstree.TypeMask {
	case fstree.TypeDir:
		return "directory"
	case fstree.TypeRegular:
		return "file"
	case fstree.TypeSymlink:
		return "symbolic link"
	case fstree.TypeChar:
		return "character device"
	case fstree.TypeBlock:
		return "block device"
	case fstree.TypeFifo:
		return "fifo"
	case fstree.TypeSocket:
		return "socket"
	}
	return "unknown"
}
