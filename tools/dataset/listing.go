package dataset

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// ListOptions choose what a listing holds.
type ListOptions struct {
	NoTimes bool // leave mtime= out
	NoSums  bool // leave sha256= out, and do not read content
	// Base, for a tree made from it: tells the ACLs and hidden attributes of
	// files that keep them.
	Base *Dataset
}

// Listing describes a tree the way the ZFS oracle does, one line a path:
//
//	f 0640 12:34 size=1492 nlink=2 mtime=1730786828.123456789 sha256=079c… ./root/etc/numbers
//	l 0777 0:0 size=8 nlink=1 mtime=1730786828.123456789 ./root/link -> etc/motd
//
// in depth-first order of names. Odd bytes in names are written \ooo; acl=
// appears where an ACL says more than the mode, rdev= for devices, xattr= where
// there are hidden attributes. The size of a directory is its entries + 2.
func Listing(ctx context.Context, tree *fstree.Tree, o ListOptions) ([]string, error) {
	l := lister{ListOptions: o, names: make(map[*fstree.Node]int), sums: make(map[*fstree.Node]string)}
	if err := tree.Walk(func(_ string, n *fstree.Node) error {
		l.names[n]++
		return nil
	}); err != nil {
		return nil, err
	}
	err := tree.Walk(func(path string, n *fstree.Node) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if path != "." {
			path = "./" + path
		}
		line, err := l.line(path, n)
		if err != nil {
			return fmt.Errorf("listing %s: %w", path, err)
		}
		l.out = append(l.out, line)
		return nil
	})
	return l.out, err
}

// Listing lists the dataset's tree, ACLs and hidden attributes included.
func (ds *Dataset) Listing(ctx context.Context, o ListOptions) ([]string, error) {
	tree, err := ds.Tree(fstree.Time{})
	if err != nil {
		return nil, err
	}
	o.Base = ds
	return Listing(ctx, tree, o)
}

type lister struct {
	ListOptions
	names map[*fstree.Node]int
	sums  map[*fstree.Node]string // of files with several names
	out   []string
}

// TypeLetter is the letter that stands for a file type, as in ls -l but f for a
// regular file.
func TypeLetter(mode uint32) byte { return "?pc?d?b?f?l?s???"[mode>>12&15] }

func (l *lister) line(path string, n *fstree.Node) (string, error) {
	size, links := n.Size(), l.names[n]
	if n.IsDir() {
		size, links = int64(n.Len())+2, 2
		for _, name := range n.List() {
			if n.Child(name).IsDir() {
				links++
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%c %04o %d:%d size=%d nlink=%d", TypeLetter(n.Mode), n.Perm(), n.UID, n.GID, size, links)
	if !l.NoTimes {
		fmt.Fprintf(&b, " mtime=%d.%09d", n.MTime.Sec, n.MTime.Nsec)
	}
	if n.IsRegular() && !l.NoSums {
		sum, err := l.sum(n)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, " sha256=%s", sum)
	}
	if t := n.Type(); t == fstree.TypeChar || t == fstree.TypeBlock {
		fmt.Fprintf(&b, " rdev=0x%x", n.Rdev)
	}
	if l.Base != nil && n.Base != 0 && l.Base.objects.get(n.Base) != nil {
		in, err := l.Base.stat(l.Base.objects.get(n.Base))
		if err != nil {
			return "", err
		}
		if uint32(in.mode)&fstree.TypeMask == n.Type() {
			if uint32(in.mode)&0o777 == n.Mode&0o777 && !isTrivialACL(n.Mode, in.aces) {
				b.WriteString(" acl=" + aclString(in.aces))
			}
			if in.xattr != 0 {
				b.WriteString(" xattr=dir")
			}
			if in.holds(attrDXattr) {
				fmt.Fprintf(&b, " xattr=sa:%d", len(in.dxattr))
			}
		}
	}
	b.WriteByte(' ')
	b.WriteString(Quote(path))
	if n.IsSymlink() {
		b.WriteString(" -> ")
		b.WriteString(Quote(n.Target))
	}
	return b.String(), nil
}

// Quote writes blanks, backslashes and all that is not printable ASCII as \ooo.
func Quote(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			fmt.Fprintf(&b, "\\%03o", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (l *lister) sum(n *fstree.Node) (string, error) {
	if s, ok := l.sums[n]; ok {
		return s, nil
	}
	h := sha256.New()
	if n.Content != nil {
		if k, err := io.Copy(h, fstree.NewReader(n.Content)); err != nil {
			return "", err
		} else if k != n.Content.Size() {
			return "", io.ErrUnexpectedEOF
		}
	}
	s := fmt.Sprintf("%x", h.Sum(nil))
	if l.names[n] > 1 {
		l.sums[n] = s
	}
	return s, nil
}
