package dataset

import (
	"context"
	"fmt"
	"math"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/zstream"
)

// Problem is an inconsistency that a mounted file system might show as errors,
// leaks or panics.
type Problem struct {
	Object uint64
	Path   string // "" where there is none
	What   string
}

func (p Problem) String() string {
	if p.Path == "" {
		return fmt.Sprintf("object %d: %s", p.Object, p.What)
	}
	return fmt.Sprintf("object %d, %s: %s", p.Object, Quote(p.Path), p.What)
}

// CheckOptions tune Check.
type CheckOptions struct {
	// Linux accepts ACLs that contradict the mode although they are flagged as
	// meaning just it, as Linux makes them with POSIX ACLs.
	Linux bool
	// NoData leaves out reading what lies behind the ends of files.
	NoData bool
	Max    int // problems reported; 0: 100
}

// Check looks for inconsistencies in the structure of the file system: entries
// without object, link counts, hashes that lookups would miss, objects without
// name, wrong sizes, types, parents and ACLs, data behind the end of a file. It
// goes on where Tree gives up. An error means that checking itself failed.
func (ds *Dataset) Check(ctx context.Context, o CheckOptions) ([]Problem, error) {
	if o.Max == 0 {
		o.Max = 100
	}
	c := checker{ds: ds, ctx: ctx, opts: o, seen: make(map[uint64]*seenObject), owners: make(map[uint64]uint64)}
	c.directoryEntry(ds.root, ds.root, 4, ".", 0)
	c.system()
	for _, num := range ds.numbers {
		s := c.seen[num]
		if s == nil {
			c.problem(num, "", "allocated, but nothing refers to it")
		} else if s.names > 0 && !s.dir && uint64(s.names) != s.links {
			c.problem(num, "", "links %d, names %d", s.links, s.names)
		}
	}
	return c.found, ctx.Err()
}

type seenObject struct {
	names int // 0: known, but without a name
	links uint64
	dir   bool
}

type checker struct {
	ds    *Dataset
	ctx   context.Context
	opts  CheckOptions
	seen  map[uint64]*seenObject
	found []Problem

	owners map[uint64]uint64 // of attribute directories: each is read once
}

func (c *checker) problem(num uint64, path, format string, args ...any) {
	if len(c.found) < c.opts.Max {
		c.found = append(c.found, Problem{num, path, fmt.Sprintf(format, args...)})
	}
}

func (c *checker) know(num uint64) {
	if c.seen[num] == nil {
		c.seen[num] = new(seenObject)
	}
}

// system marks the objects that need no name, and checks their tables.
func (c *checker) system() {
	ds := c.ds
	table := func(num uint64, what string) *zapTable {
		c.know(num)
		if ds.objects.get(num) == nil {
			c.problem(num, "", "%s does not exist", what)
			return &zapTable{}
		}
		z, err := ds.readZap(num)
		if err != nil {
			c.problem(num, "", "%s: %v", what, err)
			return &zapTable{}
		}
		for _, f := range z.faults {
			c.problem(num, "", "%s: %s", what, f)
		}
		return z
	}
	table(masterNode, "the master node")
	for name, num := range ds.master {
		switch name {
		case "VERSION", "utf8only", "normalization", "casesensitivity", "ROOT", "DELETE_QUEUE", "SA_ATTRS":
		case "SHARES":
			// A hidden directory of illumos; what it holds has no name elsewhere.
			for _, e := range table(num, "the SHARES directory").entries {
				c.know(e.value & entryObject)
			}
		default:
			// FUID, quotas and the like: tables of their own.
			if ds.objects.get(num) != nil {
				c.know(num)
			}
		}
	}
	table(ds.saAttrs, "SA_ATTRS")
	table(ds.regObj, "the attribute registry")
	layouts := table(ds.layObj, "the attribute layouts")
	for i := range len(layouts.entries) {
		if ds.sa.layouts[uint16(i+firstLayout)] == nil {
			c.problem(ds.layObj, "", "layout %d is missing: they are not numbered in a row", i+firstLayout)
			break
		}
	}
	for _, e := range table(ds.queue, "the delete queue").entries {
		c.know(e.value)
		if o := ds.objects.get(e.value); o != nil && o.isFile() {
			c.attributes(o)
		}
	}
}

func (c *checker) attributes(o *object) {
	in, err := c.ds.stat(o)
	if err == nil && in.xattr != 0 {
		if owner := c.owners[in.xattr]; owner == o.num {
			return
		} else if owner != 0 {
			c.problem(o.num, "", "its attribute directory %d is that of object %d", in.xattr, owner)
			return
		}
		c.owners[in.xattr] = o.num
	}
	members, dir, err := c.ds.hidden(o)
	if err != nil {
		c.problem(o.num, "", "%v", err)
		return
	}
	if dir != 0 {
		c.know(dir)
	}
	for i := range members {
		c.know(members[i].value & entryObject)
	}
}

// directoryEntry checks the object an entry of directory dir leads to.
func (c *checker) directoryEntry(num, dir uint64, typ uint64, path string, depth int) {
	if c.ctx.Err() != nil {
		return
	}
	ds := c.ds
	o := ds.objects.get(num)
	if o == nil {
		c.problem(num, path, "the entry's object does not exist")
		return
	}
	s := c.seen[num]
	if s == nil {
		s = new(seenObject)
		c.seen[num] = s
	}
	s.names++
	in, err := ds.stat(o)
	if err != nil {
		c.problem(num, path, "%v", err)
		return
	}
	mode := uint32(in.mode)
	isDir := mode&fstree.TypeMask == fstree.TypeDir
	s.links, s.dir = in.links, isDir
	if typ != uint64(mode>>12&15) {
		c.problem(num, path, "directory entry type %d, mode %o", typ, mode)
	}
	if in.parent != dir && (isDir || in.links == 1) {
		c.problem(num, path, "parent %d, found in %d", in.parent, dir)
	}
	if isDir && s.names > 1 {
		c.problem(num, path, "the directory has a second name")
		return
	}
	if s.names == 1 {
		c.inode(o, &in, path)
		c.attributes(o)
	}
	if isDir {
		c.directory(num, &in, path, depth)
	}
}

func (c *checker) inode(o *object, in *inode, path string) {
	num, mode := o.num, uint32(in.mode)
	want := uint8(zstream.TypePlainFile)
	if mode&fstree.TypeMask == fstree.TypeDir {
		want = zstream.TypeDirectory
	}
	if o.typ != want {
		c.problem(num, path, "object type %d for mode %o", o.typ, mode)
	}
	if in.uid > math.MaxUint32 || in.gid > math.MaxUint32 {
		c.problem(num, path, "owner %d:%d is a Windows id", in.uid, in.gid)
	}
	if in.flags&flagNoExecs != 0 && mode&0o111 != 0o111 {
		c.problem(num, path, "flag no-execs-denied with mode %o", mode)
	}
	for _, t := range []fstree.Time{in.atime, in.mtime, in.ctime, in.crtime} {
		if t.Nsec < 0 || t.Nsec >= 1e9 {
			c.problem(num, path, "a time with %d nanoseconds", t.Nsec)
		}
	}
	switch {
	case !in.holds(attrACLCount) || !in.holds(attrACEs):
		if !in.holds(attrZnodeACL) {
			c.problem(num, path, "no ACL")
		}
	default:
		entries, whole := parseACL(in.aces)
		if !whole || uint64(len(entries)) != in.aclCount {
			c.problem(num, path, "ACL holds %d entries in %d bytes, DACL_COUNT says %d", len(entries), len(in.aces), in.aclCount)
		}
		if in.flags&flagTrivial != 0 && mode&fstree.TypeMask != fstree.TypeSymlink && !c.opts.Linux && !isTrivialACL(mode, in.aces) {
			c.problem(num, path, "flagged trivial, but the ACL is not the one of mode %o", mode&fstree.PermMask)
		}
	}
	switch mode & fstree.TypeMask {
	case fstree.TypeRegular:
		c.data(o, in, path)
	case fstree.TypeSymlink:
		if !in.holds(attrSymlink) || uint64(len(in.target)) != in.size {
			c.problem(num, path, "symbolic link: size %d, target %d bytes", in.size, len(in.target))
		}
	case fstree.TypeChar, fstree.TypeBlock:
		if !in.holds(attrRdev) {
			c.problem(num, path, "a device without number")
		}
	case fstree.TypeDir, fstree.TypeFifo, fstree.TypeSocket:
	default:
		c.problem(num, path, "mode %o has no file type", mode)
	}
}

// data checks block sizes, and that zeros follow the end of file.
func (c *checker) data(o *object, in *inode, path string) {
	bs := uint64(o.blksz)
	if power := bs&(bs-1) == 0; !power && o.blocks() > 1 {
		c.problem(o.num, path, "several blocks of %d bytes, no power of two", bs)
	} else if !power && in.size > bs {
		c.problem(o.num, path, "size %d is over its one block of %d", in.size, bs)
	}
	if in.size > maxSize {
		c.problem(o.num, path, "size %d is more than any file has", in.size)
	}
	if c.opts.NoData || in.size >= o.blocks()*bs {
		return
	}
	buf := make([]byte, bs)
	for block := in.size / bs; block < o.blocks(); block++ {
		r, next := o.find(block)
		if r == nil {
			block = next - 1
			continue
		}
		if err := c.ds.readAt(o, buf, int64(block*bs)); err != nil {
			c.problem(o.num, path, "%v", err)
			return
		}
		from := uint64(0)
		if block == in.size/bs {
			from = in.size % bs
		}
		for i, b := range buf[from:] {
			if b != 0 {
				c.problem(o.num, path, "bytes past the end of file are not zero, at %d", block*bs+from+uint64(i))
				return
			}
		}
	}
}

func (c *checker) directory(num uint64, in *inode, path string, depth int) {
	if depth > maxDepth {
		c.problem(num, path, "more than %d directories below each other", maxDepth)
		return
	}
	if len(path) > len(".")+maxPath {
		c.problem(num, "", "a path of more than %d bytes", maxPath)
		return
	}
	z, err := c.ds.readZap(num)
	if err != nil {
		c.problem(num, path, "%v", err)
		return
	}
	for _, f := range z.faults {
		c.problem(num, path, "%s", f)
	}
	subdirs := uint64(0)
	for i := range z.entries {
		e := &z.entries[i]
		if e.words != nil || !validName(e.name) {
			c.problem(num, path, "entry %q is none of a directory", e.name)
			continue
		}
		if e.value>>entryType == 4 {
			subdirs++
		}
		c.directoryEntry(e.value&entryObject, num, e.value>>entryType, path+"/"+e.name, depth+1)
	}
	if in.size != uint64(len(z.entries))+2 {
		c.problem(num, path, "directory size %d, entries %d + 2", in.size, len(z.entries))
	}
	if in.links != subdirs+2 {
		c.problem(num, path, "directory links %d, subdirectories %d + 2", in.links, subdirs)
	}
}
