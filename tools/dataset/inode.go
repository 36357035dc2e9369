package dataset

import (
	"fmt"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/zstream"
)

// inode is what an object's attributes mean to the ZPL (spec zfs-stream.md
// section 10).
type inode struct {
	mode, size, gen, parent, flags, links uint64
	uid, gid, rdev, xattr, projID         uint64
	atime, mtime, ctime, crtime           fstree.Time
	aclCount                              uint64
	aces                                  []byte
	target                                []byte
	dxattr                                []byte
	has                                   uint32 // set of attr
}

const (
	flagXattr       = 0x1
	flagInheritACE  = 0x2
	flagTrivial     = 0x4
	flagAutoInherit = 0x40
	flagNoExecs     = 0x100
	flagArchive     = 0x800000000
	flagAVModified  = 0x40000000000
	flagProjID      = 0x800000000000

	entryObject = 1<<48 - 1 // of a directory entry's value
	entryType   = 60        // shift
)

func (n *inode) holds(a attr) bool { return n.has&(1<<a) != 0 }

func timeOf(b []byte) fstree.Time {
	return fstree.Time{Sec: int64(le.Uint64(b)), Nsec: int64(le.Uint64(b[8:]))}
}

func timeBytes(t fstree.Time) []byte {
	return le.AppendUint64(le.AppendUint64(nil, uint64(t.Sec)), uint64(t.Nsec))
}

// stat reads an object's attributes.
func (ds *Dataset) stat(o *object) (inode, error) {
	var room [16]value
	n, _, err := ds.inode(o, room[:0])
	return n, err
}

// inode is stat, and returns the attributes as they are stored; room is used
// for them.
func (ds *Dataset) inode(o *object, room []value) (inode, []value, error) {
	var n inode
	if o.bonusType != zstream.TypeSA {
		return n, nil, fmt.Errorf("object %d has a bonus buffer of type %d", o.num, o.bonusType)
	}
	vals, err := ds.attributes(o, room)
	if err != nil {
		return n, nil, err
	}
	for _, v := range vals {
		a, ok := ds.sa.meaningOf(v.id)
		if !ok {
			continue
		}
		n.has |= 1 << a
		switch a {
		case attrATime:
			n.atime = timeOf(v.data)
		case attrMTime:
			n.mtime = timeOf(v.data)
		case attrCTime:
			n.ctime = timeOf(v.data)
		case attrCRTime:
			n.crtime = timeOf(v.data)
		case attrGen:
			n.gen = le.Uint64(v.data)
		case attrMode:
			n.mode = le.Uint64(v.data)
		case attrSize:
			n.size = le.Uint64(v.data)
		case attrParent:
			n.parent = le.Uint64(v.data)
		case attrLinks:
			n.links = le.Uint64(v.data)
		case attrXattr:
			n.xattr = le.Uint64(v.data)
		case attrRdev:
			n.rdev = le.Uint64(v.data)
		case attrFlags:
			n.flags = le.Uint64(v.data)
		case attrUID:
			n.uid = le.Uint64(v.data)
		case attrGID:
			n.gid = le.Uint64(v.data)
		case attrACLCount:
			n.aclCount = le.Uint64(v.data)
		case attrProjID:
			n.projID = le.Uint64(v.data)
		case attrACEs:
			n.aces = v.data
		case attrSymlink:
			n.target = v.data
		case attrDXattr:
			n.dxattr = v.data
		}
	}
	const need = 1<<attrMode | 1<<attrSize | 1<<attrGen | 1<<attrUID | 1<<attrGID | 1<<attrParent |
		1<<attrFlags | 1<<attrATime | 1<<attrMTime | 1<<attrCTime | 1<<attrCRTime | 1<<attrLinks
	if n.has&need != need {
		return n, nil, fmt.Errorf("object %d lacks attributes", o.num)
	}
	return n, vals, nil
}
