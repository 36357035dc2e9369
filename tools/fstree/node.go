package fstree

import (
	"bytes"
	"io"
	"sort"
	"time"
)

// File types in Node.Mode, as in st_mode.
const (
	TypeMask    = 0o170000
	TypeFifo    = 0o010000
	TypeChar    = 0o020000
	TypeDir     = 0o040000
	TypeBlock   = 0o060000
	TypeRegular = 0o100000
	TypeSymlink = 0o120000
	TypeSocket  = 0o140000

	PermMask = 0o7777 // permissions with set-id and sticky bits
)

// Content is the bytes of a regular file, by reference. It is immutable and
// safe for concurrent ReadAt; reading at or behind Size gives io.EOF.
// Comparable: two equal Content values are the same bytes.
type Content interface {
	io.ReaderAt
	Size() int64
}

// Time is a point in time as ZFS stores it: seconds and nanoseconds since 1970,
// seconds may be negative.
type Time struct{ Sec, Nsec int64 }

// TimeOf converts t.
func TimeOf(t time.Time) Time { return Time{t.Unix(), int64(t.Nanosecond())} }

// Time converts to a time.Time in UTC.
func (t Time) Time() time.Time { return time.Unix(t.Sec, t.Nsec).UTC() }

// Node is one file, directory, link or special file. Fields may be set freely;
// names are changed through the Tree.
type Node struct {
	Mode     uint32 // full st_mode: type and permissions
	UID, GID uint32
	links    int32  // names of this node; a directory has one
	Rdev     uint64 // device number as stored: illumos major<<32 | minor
	ATime    Time
	MTime    Time
	CTime    Time // 0: the writer's time
	BTime    Time // creation; 0: the writer's time
	Target   string
	Content  Content // regular files; nil is empty

	// Base identifies the object this node came from in the dataset it was
	// read from (spec zfs-stream.md section 7), 0 for a node made since. The
	// dataset writer uses it to tell kept from new; others leave it alone.
	Base uint64

	children map[string]*Node
}

// Type returns the type bits of the mode.
func (n *Node) Type() uint32 { return n.Mode & TypeMask }

// Perm returns the permission bits, set-id and sticky included.
func (n *Node) Perm() uint32 { return n.Mode & PermMask }

// SetPerm replaces the permission bits.
func (n *Node) SetPerm(perm uint32) { n.Mode = n.Mode&TypeMask | perm&PermMask }

// IsDir, IsRegular and IsSymlink tell the type.
func (n *Node) IsDir() bool     { return n.Type() == TypeDir }
func (n *Node) IsRegular() bool { return n.Type() == TypeRegular }
func (n *Node) IsSymlink() bool { return n.Type() == TypeSymlink }

// Size is the file's length in bytes, a symlink's target length, else 0.
func (n *Node) Size() int64 {
	switch {
	case n.IsSymlink():
		return int64(len(n.Target))
	case n.IsRegular() && n.Content != nil:
		return n.Content.Size()
	}
	return 0
}

// Names is the number of names the node has in its tree (hard links).
func (n *Node) Names() int { return int(n.links) }

// Len is the number of a directory's entries.
func (n *Node) Len() int { return len(n.children) }

// Child returns the entry of a directory, nil where there is none.
func (n *Node) Child(name string) *Node { return n.children[name] }

// List returns a directory's names in byte order.
func (n *Node) List() []string {
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Add enters child under name, for builders of trees; an entry of that name is
// replaced. It leaves times alone. Programs that change a tree use Tree instead.
func (n *Node) Add(name string, child *Node) {
	if n.children == nil {
		n.children = make(map[string]*Node)
	}
	if old := n.children[name]; old != nil {
		old.links--
	}
	n.children[name] = child
	child.links++
}

func (n *Node) drop(name string) {
	n.children[name].links--
	delete(n.children, name)
}

// ReadAll returns the node's content, at most limit bytes; a larger file is an error.
func (n *Node) ReadAll(limit int64) ([]byte, error) {
	if n.Content == nil {
		return nil, nil
	}
	if n.Content.Size() > limit {
		return nil, &TooLargeError{n.Content.Size(), limit}
	}
	b := make([]byte, n.Content.Size())
	if _, err := io.ReadFull(NewReader(n.Content), b); err != nil {
		return nil, err
	}
	return b, nil
}

// NewReader reads all of c in order.
func NewReader(c Content) *io.SectionReader { return io.NewSectionReader(c, 0, c.Size()) }

type byteContent struct{ *bytes.Reader }

func (b byteContent) Size() int64 { return b.Reader.Size() }

// Bytes makes content of b, which must not be changed any more. For small,
// generated files only: it stays in memory. Large content goes to a Spool.
func Bytes(b []byte) Content { return byteContent{bytes.NewReader(b)} }
