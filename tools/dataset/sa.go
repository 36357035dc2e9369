package dataset

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/TritonDataCenter/engbld/tools/zstream"
)

// attr is a system attribute's id. Those up to 15 are fixed by ZFS's code; the
// others are given out by each file system and resolved through its registry
// (spec zfs-stream.md section 8), to the numbers used here.
type attr uint16

const (
	attrATime attr = iota
	attrMTime
	attrCTime
	attrCRTime
	attrGen
	attrMode
	attrSize
	attrParent
	attrLinks
	attrXattr
	attrRdev
	attrFlags
	attrUID
	attrGID
	attrPad
	attrZnodeACL
	attrACLCount
	attrSymlink
	attrScanStamp
	attrACEs
	attrDXattr
	attrProjID
	knownAttrs
)

// fixedAttrs is the number of attributes with ids fixed by ZFS's code.
const fixedAttrs = 16

var attrNames = [knownAttrs]string{
	"ZPL_ATIME", "ZPL_MTIME", "ZPL_CTIME", "ZPL_CRTIME", "ZPL_GEN", "ZPL_MODE",
	"ZPL_SIZE", "ZPL_PARENT", "ZPL_LINKS", "ZPL_XATTR", "ZPL_RDEV", "ZPL_FLAGS",
	"ZPL_UID", "ZPL_GID", "ZPL_PAD", "ZPL_ZNODE_ACL", "ZPL_DACL_COUNT",
	"ZPL_SYMLINK", "ZPL_SCANSTAMP", "ZPL_DACL_ACES", "ZPL_DXATTR", "ZPL_PROJID",
}

var attrLengths = [knownAttrs]uint16{
	16, 16, 16, 16, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 32, 88, 8, 0, 32, 0, 0, 8,
}

// attrSwaps are the registry's byteswap kinds.
var attrSwaps = [knownAttrs]uint8{
	attrZnodeACL: 3, attrSymlink: 3, attrScanStamp: 3, attrACEs: 4, attrDXattr: 3,
}

// saTables are a file system's registry and layouts.
type saTables struct {
	length  map[uint16]uint16 // file system's id → length; 0 is variable
	small   [64]smallAttr     // what length and known say of the ids in use
	id      map[attr]uint16   // where the file system has the attribute
	known   map[uint16]attr   // the other way round
	layouts map[uint16][]uint16
}

// smallAttr is an attribute with a small id: looked up for every attribute of
// every file, so not in a map.
type smallAttr struct {
	length  uint16
	meaning attr
	known   bool
}

// lengthOf is an attribute's length, 0 where it varies.
func (t *saTables) lengthOf(id uint16) uint16 {
	if int(id) < len(t.small) {
		return t.small[id].length
	}
	return t.length[id]
}

// meaningOf tells which of the known attributes an id is.
func (t *saTables) meaningOf(id uint16) (attr, bool) {
	if int(id) < len(t.small) {
		s := &t.small[id]
		return s.meaning, s.known
	}
	a, ok := t.known[id]
	return a, ok
}

const (
	saMagic      = 0x2F505A
	firstLayout  = 2 // 0 and 1 are implied
	maxLayouts   = 1 << 10
	maxAttrs     = 256
	maxSpill     = zstream.MaxSpill
	bonusRoom    = 320 // bytes of attributes without a spill block
	bonusSpilled = 192 // with one: its pointer takes the rest
)

func newSATables(registry map[string]uint64, layouts []zapEntry) (saTables, error) {
	t := saTables{
		length: make(map[uint16]uint16), id: make(map[attr]uint16),
		known: make(map[uint16]attr), layouts: make(map[uint16][]uint16),
	}
	if len(registry) > maxAttrs || len(layouts) > maxLayouts {
		return t, fmt.Errorf("%d attributes in %d layouts", len(registry), len(layouts))
	}
	// Fixed attributes are known even to a registry that lacks them.
	for a := range attr(fixedAttrs) {
		t.id[a], t.known[uint16(a)], t.length[uint16(a)] = uint16(a), a, attrLengths[a]
	}
	for name, v := range registry {
		id, length := uint16(v), uint16(v>>24)
		a := attr(slices.Index(attrNames[:], name))
		switch {
		case int(a) < fixedAttrs && (id != uint16(a) || length != attrLengths[a]):
			return t, fmt.Errorf("attribute %s has id %d and length %d", name, id, length)
		case int(a) >= fixedAttrs && id < fixedAttrs:
			return t, fmt.Errorf("attribute %q has id %d", name, id)
		case a < knownAttrs && length != attrLengths[a]:
			return t, fmt.Errorf("attribute %s has length %d", name, length)
		}
		if _, twice := t.length[id]; twice && id >= fixedAttrs {
			return t, fmt.Errorf("attribute id %d is used twice", id)
		}
		t.length[id] = length
		if a < knownAttrs {
			t.id[a], t.known[id] = id, a
		}
	}
	for i := range layouts {
		e := &layouts[i]
		num, err := strconv.ParseUint(e.name, 10, 16)
		if err != nil || num >= maxLayouts || e.words == nil || len(e.words) > maxAttrs || strconv.FormatUint(num, 10) != e.name {
			return t, fmt.Errorf("layout %q of %d attributes", e.name, len(e.words))
		}
		for _, id := range e.words {
			if _, ok := t.length[id]; !ok {
				return t, fmt.Errorf("layout %d holds attribute %d, which is not registered", num, id)
			}
		}
		t.layouts[uint16(num)] = e.words
	}
	for id := range t.small {
		s := &t.small[id]
		s.length = t.length[uint16(id)]
		s.meaning, s.known = t.known[uint16(id)]
	}
	return t, nil
}

// value is one attribute of an object, in its file system's id.
type value struct {
	id   uint16
	data []byte
}

var errSA = errors.New("damaged attributes")

// parse appends the attributes of one buffer, bonus or spill, in its order. The
// data is not copied.
func (t *saTables) parse(out []value, b []byte) ([]value, error) {
	if len(b) < 8 || le.Uint32(b) != saMagic {
		return nil, fmt.Errorf("%w: no magic number", errSA)
	}
	info := le.Uint16(b[4:])
	hdr := int(info>>10) * 8
	ids, ok := t.layouts[info&0x3ff]
	if !ok && info&0x3ff > 1 {
		return nil, fmt.Errorf("%w: layout %d does not exist", errSA, info&0x3ff)
	}
	if hdr < 8 || hdr > len(b) {
		return nil, fmt.Errorf("%w: header of %d bytes", errSA, hdr)
	}
	at, vars := hdr, 0
	for _, id := range ids {
		at = (at + 7) &^ 7
		n := int(t.lengthOf(id))
		if n == 0 {
			if 6+2*vars+2 > hdr {
				return nil, fmt.Errorf("%w: header of %d bytes for %d lengths", errSA, hdr, vars+1)
			}
			n = int(le.Uint16(b[6+2*vars:]))
			vars++
		}
		if at+n > len(b) {
			return nil, fmt.Errorf("%w: %d bytes do not hold attribute %d of %d at %d", errSA, len(b), id, n, at)
		}
		out = append(out, value{id, b[at : at+n : at+n]})
		at += n
	}
	if want := saHeader(vars); hdr != want {
		return nil, fmt.Errorf("%w: header of %d bytes instead of %d", errSA, hdr, want)
	}
	return out, nil
}

// saHeader is the size of the header before attributes of which vars have
// variable lengths.
func saHeader(vars int) int {
	if vars <= 1 {
		return 8
	}
	return 8 + (2*(vars-1)+7)&^7
}

// attributes appends all attributes of an object, those in its spill block last.
func (ds *Dataset) attributes(o *object, vals []value) ([]value, error) {
	vals, err := ds.sa.parse(vals, o.bonus)
	if err == nil && o.spill != nil {
		vals, err = ds.sa.parse(vals, *o.spill)
	}
	if err != nil {
		return nil, fmt.Errorf("object %d: %w", o.num, err)
	}
	return vals, nil
}

// split tells how many attributes go into the bonus; the others spill.
func (t *saTables) split(vals []value) int {
	whole, vars := 0, 0
	for _, v := range vals {
		if t.lengthOf(v.id) == 0 {
			vars++
		}
		whole = (whole+7)&^7 + len(v.data)
	}
	if saHeader(vars)+whole <= bonusRoom {
		return len(vals)
	}
	at, vars := 0, 0
	for i, v := range vals {
		if t.lengthOf(v.id) == 0 {
			vars++
		}
		at = (at+7)&^7 + len(v.data)
		if saHeader(vars)+at > bonusSpilled {
			return i
		}
	}
	return len(vals)
}

// build makes an object's bonus and, if they do not fit, spill buffer. layout
// finds the number of a layout, or gives it one.
func (t *saTables) build(vals []value, layout func([]uint16) uint16) (bonus, spill []byte, err error) {
	n := t.split(vals)
	bonus = t.buffer(vals[:n], layout)
	if n == len(vals) {
		return bonus, nil, nil
	}
	bonus = append(bonus, make([]byte, bonusSpilled-len(bonus))...)
	spill = t.buffer(vals[n:], layout)
	if len(spill) > maxSpill {
		return nil, nil, fmt.Errorf("%d bytes of attributes, more than %d", len(spill), maxSpill)
	}
	return bonus, append(spill, make([]byte, -len(spill)&511)...), nil
}

func (t *saTables) buffer(vals []value, layout func([]uint16) uint16) []byte {
	ids := make([]uint16, len(vals))
	var lengths []uint16
	for i, v := range vals {
		ids[i] = v.id
		if t.lengthOf(v.id) == 0 {
			lengths = append(lengths, uint16(len(v.data)))
		}
	}
	hdr := saHeader(len(lengths))
	size := hdr
	for _, v := range vals {
		size = (size+7)&^7 + len(v.data)
	}
	b := make([]byte, hdr, size)
	le.PutUint32(b, saMagic)
	le.PutUint16(b[4:], uint16(hdr/8)<<10|layout(ids))
	for i, n := range lengths {
		le.PutUint16(b[6+2*i:], n)
	}
	for _, v := range vals {
		for len(b)%8 != 0 {
			b = append(b, 0)
		}
		b = append(b, v.data...)
	}
	return b
}
