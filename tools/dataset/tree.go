package dataset

import (
	"fmt"
	"math"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/zstream"
)

const (
	maxDepth  = 2048    // directories below each other: paths end at 4096 bytes
	maxPath   = 1 << 14 // bytes of a path, which systems let be 1024 or 4096 long
	maxTarget = 4096    // bytes of a symbolic link
	maxSize   = 1 << 56 // bytes of a file
)

// Tree makes a file tree of the dataset. Its nodes carry their object numbers in
// Base; names of one object are one node. now is the time the tree stamps on
// what changes. Each call makes a new tree.
//
// Hidden extended attributes, ACLs beyond the mode and the delete queue are not
// part of a tree; WriteIncrement carries them along.
func (ds *Dataset) Tree(now fstree.Time) (*fstree.Tree, error) {
	b := treeBuilder{ds: ds}
	root, err := b.node(ds.root)
	if err != nil {
		return nil, fault.Step.Wrap(fmt.Errorf("the file system's root: %w", err))
	}
	if !root.IsDir() {
		return nil, fault.Step.Errorf("the file system's root is no directory")
	}
	t := fstree.New(now)
	t.Root = root
	if err := b.fill(ds.root, root, "", 0); err != nil {
		return nil, fault.Step.Wrap(err)
	}
	return t, nil
}

type treeBuilder struct {
	ds    *Dataset
	nodes table[fstree.Node]
}

func (b *treeBuilder) node(num uint64) (*fstree.Node, error) {
	if n := b.nodes.get(num); n != nil {
		if n.IsDir() {
			return nil, fmt.Errorf("directory %d has two names", num)
		}
		return n, nil
	}
	n, err := b.ds.fsNode(num)
	if err == nil {
		b.nodes.set(num, n)
	}
	return n, err
}

// fsNode makes a node of an object, directories without their entries.
func (ds *Dataset) fsNode(num uint64) (*fstree.Node, error) {
	o := ds.objects.get(num)
	if o == nil {
		return nil, fmt.Errorf("object %d does not exist", num)
	}
	in, err := ds.stat(o)
	if err != nil {
		return nil, err
	}
	if in.uid > math.MaxUint32 || in.gid > math.MaxUint32 {
		return nil, fault.WithHint(fmt.Errorf("object %d belongs to a Windows user or group (%#x, %#x), which is not supported", num, in.uid, in.gid),
			"give such files to ordinary users in the origin")
	}
	n := &fstree.Node{
		Mode: uint32(in.mode), UID: uint32(in.uid), GID: uint32(in.gid), Base: num,
		ATime: in.atime, MTime: in.mtime, CTime: in.ctime, BTime: in.crtime,
	}
	wantType := uint8(zstream.TypePlainFile)
	switch n.Type() {
	case fstree.TypeDir:
		wantType = zstream.TypeDirectory
	case fstree.TypeRegular:
		if in.size > maxSize {
			return nil, fmt.Errorf("object %d has a size of %d bytes", num, in.size)
		}
		if in.size > 0 {
			n.Content = content{ds, o, int64(in.size)}
		}
	case fstree.TypeSymlink:
		if len(in.target) > maxTarget || uint64(len(in.target)) != in.size || strings.IndexByte(string(in.target), 0) >= 0 {
			return nil, fmt.Errorf("object %d is a symbolic link of %d bytes, its size is %d", num, len(in.target), in.size)
		}
		n.Target = string(in.target)
	case fstree.TypeChar, fstree.TypeBlock:
		n.Rdev = in.rdev
	case fstree.TypeFifo, fstree.TypeSocket:
	default:
		return nil, fmt.Errorf("object %d has mode %#o", num, in.mode)
	}
	if o.typ != wantType || in.mode > 0o177777 {
		return nil, fmt.Errorf("object %d has type %d and mode %#o", num, o.typ, in.mode)
	}
	return n, nil
}

func (b *treeBuilder) fill(num uint64, dir *fstree.Node, path string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: more than %d directories below each other", path, maxDepth)
	}
	if len(path) > maxPath {
		return fmt.Errorf("directory %d: a path of more than %d bytes", num, maxPath)
	}
	z, err := b.ds.readZap(num)
	if err != nil {
		return fmt.Errorf("directory %q: %w", path, err)
	}
	for i := range z.entries {
		e := &z.entries[i]
		sub := path + "/" + e.name
		if e.words != nil || !validName(e.name) {
			return fmt.Errorf("%q: not a directory entry", sub)
		}
		n, err := b.node(e.value & entryObject)
		if err != nil {
			return fmt.Errorf("%q: %w", sub, err)
		}
		dir.Add(e.name, n)
		if n.IsDir() {
			if err := b.fill(n.Base, n, sub, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func validName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= maxZapName && !strings.ContainsAny(name, "/\x00")
}
