package dataset

import (
	"errors"
	"fmt"
	"slices"

	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// wanted lists the attributes an object is to have, in order: base's with
// changes, or those of a new object in the order real ZFS gives them (spec
// zfs-stream.md section 9). in and vals are what base has; number tells the
// number of a file.
func (p *plan) wanted(f *file, in *inode, vals []value, number func(*file) uint64) []value {
	n := f.node
	a := attrList{sa: &p.base.sa, vals: append(p.room.want[:0], vals...)}
	isNew := f.base == nil
	mode, size, links := uint64(n.Mode), uint64(n.Size()), uint64(f.names)
	if n.IsDir() {
		size, links = uint64(n.Len())+2, 2
		for _, name := range n.List() {
			if n.Child(name).IsDir() {
				links++
			}
		}
	}
	a.u64(attrMode, mode)
	a.u64(attrSize, size)
	if f.keep {
		a.u64(attrGen, in.gen)
	} else {
		a.u64(attrGen, p.gen)
	}
	a.u64(attrUID, uint64(n.UID))
	a.u64(attrGID, uint64(n.GID))
	a.u64(attrParent, p.parentOf(f, in, number))
	aclChanged := isNew || (in.mode^mode)&0o777 != 0
	a.u64(attrFlags, p.flags(f, in, aclChanged))
	a.time(attrATime, n.ATime)
	a.time(attrMTime, n.MTime)
	ctime := n.CTime
	switch {
	case ctime != (fstree.Time{}):
	case isNew:
		ctime = p.opts.Now
	default:
		ctime = in.ctime
	}
	a.time(attrCTime, ctime)
	crtime := n.BTime
	if crtime == (fstree.Time{}) {
		crtime = p.opts.Now
		if !isNew {
			crtime = in.crtime
		}
	}
	a.time(attrCRTime, crtime)
	a.u64(attrLinks, links)
	if isNew && p.projects {
		a.u64(attrProjID, 0)
	}
	if t := n.Type(); t == fstree.TypeChar || t == fstree.TypeBlock {
		a.u64(attrRdev, n.Rdev)
	}
	if aclChanged {
		acl := trivialACL(n.Mode, n.IsDir())
		a.drop(attrZnodeACL)
		a.u64(attrACLCount, uint64(len(acl)/8))
		a.set(attrACEs, acl)
	}
	if dir := f.rarely().xattr; dir != nil {
		a.u64(attrXattr, number(dir))
	}
	if n.IsSymlink() {
		a.set(attrSymlink, []byte(n.Target))
	}
	// What changed has a new change time, unless it was given one.
	if !isNew && ctime == in.ctime && (!f.keep || f.entries || !sameValues(a.vals, vals)) {
		a.time(attrCTime, p.opts.Now)
	}
	if a.err != nil && p.layouts.err == nil {
		p.layouts.err = a.err
	}
	p.room.want = a.vals[:0] // as large as it has become
	if vals != nil {
		p.room.vals = vals[:0]
	}
	return a.vals
}

func sameValues(a, b []value) bool {
	return slices.EqualFunc(a, b, func(a, b value) bool { return a.id == b.id && string(a.data) == string(b.data) })
}

// parentOf is the directory a file says it is in: where it was if it still has
// a name there, else the first one in walk order.
func (p *plan) parentOf(f *file, in *inode, number func(*file) uint64) uint64 {
	if f.base != nil && f.names > 1 && !f.node.IsDir() {
		for _, d := range append(slices.Clone(f.rarely().others), f.parent) {
			if d.keep && d.base.num == in.parent {
				return in.parent
			}
		}
	}
	return number(f.parent)
}

// flags are ZPL_FLAGS (section 10).
func (p *plan) flags(f *file, in *inode, aclChanged bool) uint64 {
	flags := in.flags
	if f.base == nil {
		flags = flagTrivial | flagArchive | flagAVModified
		if f.node.IsDir() {
			flags |= flagAutoInherit
		}
		if p.projects {
			flags |= flagProjID
		}
	}
	if aclChanged {
		flags = flags&^(flagNoExecs|flagInheritACE) | flagTrivial
		if f.node.Mode&0o111 == 0o111 {
			flags |= flagNoExecs
		}
	}
	return flags
}

// attrList changes or appends attributes.
type attrList struct {
	sa   *saTables
	vals []value
	err  error
}

func (a *attrList) at(k attr) int {
	if id, ok := a.sa.id[k]; ok {
		for i := range a.vals {
			if a.vals[i].id == id {
				return i
			}
		}
	}
	return -1
}

func (a *attrList) set(k attr, data []byte) {
	id, ok := a.sa.id[k]
	if !ok {
		a.err = fmt.Errorf("the base's registry has no attribute %s", attrNames[k])
		return
	}
	if i := a.at(k); i >= 0 {
		a.vals[i].data = data
		return
	}
	a.vals = append(a.vals, value{id, data})
}

func (a *attrList) u64(k attr, v uint64) {
	if i := a.at(k); i >= 0 && len(a.vals[i].data) == 8 && le.Uint64(a.vals[i].data) == v {
		return // as most are
	}
	a.set(k, le.AppendUint64(nil, v))
}

func (a *attrList) time(k attr, t fstree.Time) {
	if i := a.at(k); i >= 0 && len(a.vals[i].data) == 16 && timeOf(a.vals[i].data) == t {
		return
	}
	a.set(k, timeBytes(t))
}

func (a *attrList) drop(k attr) {
	if i := a.at(k); i >= 0 {
		a.vals = slices.Delete(a.vals, i, i+1)
	}
}

// layoutTable finds the layout of a row of attributes, or adds one.
type layoutTable struct {
	numbers map[string]uint16
	all     []zapEntry // the base's, then the new ones
	added   int
	err     error
}

func layoutKey(ids []uint16) string {
	b := make([]byte, 0, 2*len(ids))
	for _, id := range ids {
		b = le.AppendUint16(b, id)
	}
	return string(b)
}

func newLayoutTable(sa *saTables) layoutTable {
	t := layoutTable{numbers: make(map[string]uint16)}
	for num := range uint16(maxLayouts) {
		ids, ok := sa.layouts[num]
		if !ok {
			continue
		}
		t.all = append(t.all, zapEntry{name: fmt.Sprint(num), words: ids})
		if _, known := t.numbers[layoutKey(ids)]; !known {
			t.numbers[layoutKey(ids)] = num
		}
	}
	return t
}

// number is the layout's number. A new one is entries + 2, as the kernel counts.
func (t *layoutTable) number(ids []uint16) uint16 {
	key := layoutKey(ids)
	if num, ok := t.numbers[key]; ok {
		return num
	}
	num := uint16(len(t.all) + firstLayout)
	name := fmt.Sprint(num)
	if num >= maxLayouts || slices.ContainsFunc(t.all, func(e zapEntry) bool { return e.name == name }) {
		if t.err == nil {
			t.err = errors.New("the base's attribute layouts are not numbered in a row, so none can be added")
		}
		return 0
	}
	t.numbers[key] = num
	t.all = append(t.all, zapEntry{name: name, words: slices.Clone(ids)})
	t.added++
	return num
}
