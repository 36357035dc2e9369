package dataset

import (
	"fmt"
	"slices"
	"strings"
)

// Info is what a dataset knows of an object beyond its fstree.Node.
type Info struct {
	Object    uint64
	Gen       uint64 // txg of creation
	Parent    uint64 // object number of (one of) its directories
	Links     uint64
	Flags     uint64 // ZPL_FLAGS, spec zfs-stream.md section 10
	BlockSize uint32
	Blocks    uint64   // blocks that hold data; holes do not count
	Spill     int      // bytes of its spill block, 0: none
	Slots     int      // size of its dnode in 512 bytes
	ACL       string   // "type:flags:mask[:id],…" in hexadecimal; "" where the ACL says just the mode
	Xattrs    []string // names of extended attributes
}

// Info tells about an object, as fstree.Node's Base names it.
func (ds *Dataset) Info(num uint64) (Info, error) {
	o := ds.objects.get(num)
	if o == nil {
		return Info{}, fmt.Errorf("object %d does not exist", num)
	}
	in, err := ds.stat(o)
	if err != nil {
		return Info{}, err
	}
	i := Info{
		Object: num, Gen: in.gen, Parent: in.parent, Links: in.links, Flags: in.flags,
		BlockSize: o.blksz, Spill: len(o.spilled()), Slots: int(o.slots),
	}
	for _, r := range o.runs {
		i.Blocks += uint64(r.n)
	}
	if !isTrivialACL(uint32(in.mode), in.aces) {
		i.ACL = aclString(in.aces)
	}
	xattrs, err := ds.Xattrs(num)
	for name := range xattrs {
		i.Xattrs = append(i.Xattrs, name)
	}
	slices.Sort(i.Xattrs)
	return i, err
}

// aclString writes an ACL's entries as the ZFS oracle does.
func aclString(aces []byte) string {
	var b strings.Builder
	entries, _ := parseACL(aces)
	for i, e := range entries {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d:%x:%x", e.typ, e.flags, e.mask)
		if e.hasID {
			fmt.Fprintf(&b, ":%d", e.id)
		}
	}
	return b.String()
}
