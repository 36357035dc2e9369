package pkgdb

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Pair is an entry of the database of files: an absolute path and the package
// it belongs to, or for a shared directory "@pkgdir" and the packages.
type Pair struct{ Path, Package string }

// The layout of a Berkeley DB 1.85 btree (spec pkgsrc.md section 6.1): fixed
// size pages, little-endian; page 0 is the header, page 1 the root. A page has
// this head, an array of 16-bit offsets that grows up, and entries that grow
// down from its end:
//
//	 0  uint32  own page number
//	 4  uint32  previous page of the level, 0 for none
//	 8  uint32  next page
//	12  uint32  flags
//	16  uint16  lower: end of the offsets
//	18  uint16  upper: start of the entries
const (
	btreeMagic   = 0x00053162
	btreeVersion = 3
	btreeNoDups  = 0x20
	btreePage    = 4096 // what the genuine tools use
	btreeHead    = 20

	pageInternal = 0x01
	pageLeaf     = 0x02
	pageType     = 0x1f

	leafHead     = 9 // key length, data length, flag byte
	internalHead = 9 // key length, page, flag byte

	maxByFileItem = 1024     // longer keys and values are not stored
	maxByFile     = 64 << 20 // bytes of a database
	maxDepth      = 16
)

var le = binary.LittleEndian

// ReadByFile parses a pkgdb.byfile.db. Pairs come in the order of their paths.
// Every page, offset, length and the order of the keys is checked.
func ReadByFile(raw []byte) ([]Pair, error) {
	r, err := newBtreeReader(raw)
	if err == nil {
		err = r.page(1, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("database of files: %w", err)
	}
	return r.pairs, nil
}

type btreeReader struct {
	raw   []byte
	size  uint32 // of a page
	seen  map[uint32]bool
	pairs []Pair
}

func newBtreeReader(raw []byte) (*btreeReader, error) {
	if len(raw) < 24 {
		return nil, fmt.Errorf("%d bytes are too few for a btree", len(raw))
	}
	if len(raw) > maxByFile {
		return nil, fmt.Errorf("%d bytes are more than the %d that are read", len(raw), maxByFile)
	}
	magic, version, size, flags := le.Uint32(raw), le.Uint32(raw[4:]), le.Uint32(raw[8:]), le.Uint32(raw[20:])
	switch {
	case magic != btreeMagic:
		return nil, fmt.Errorf("no btree of this byte order: magic %#x", magic)
	case version != btreeVersion:
		return nil, fmt.Errorf("btree version %d is not known", version)
	case size < 512 || size > 65536 || size&(size-1) != 0:
		return nil, fmt.Errorf("page size %d is impossible", size)
	case len(raw)%int(size) != 0 || len(raw) < 2*int(size):
		return nil, fmt.Errorf("%d bytes are no whole number of pages of %d", len(raw), size)
	case flags&^uint32(btreeNoDups) != 0:
		return nil, fmt.Errorf("flags %#x are not known", flags)
	}
	return &btreeReader{raw: raw, size: size, seen: map[uint32]bool{}}, nil
}

func (r *btreeReader) page(no uint32, depth int) error {
	if no == 0 || uint64(no+1)*uint64(r.size) > uint64(len(r.raw)) || r.seen[no] || depth > maxDepth {
		return fmt.Errorf("page %d is out of place", no)
	}
	r.seen[no] = true
	p := r.raw[uint64(no)*uint64(r.size):][:r.size]
	lower, upper := uint32(le.Uint16(p[16:])), uint32(le.Uint16(p[18:]))
	kind := le.Uint32(p[12:]) & pageType
	if le.Uint32(p) != no || lower < btreeHead || lower > upper || upper > r.size || (lower-btreeHead)%2 != 0 ||
		(kind != pageLeaf && kind != pageInternal) {
		return fmt.Errorf("page %d is damaged", no)
	}
	for i := uint32(btreeHead); i < lower; i += 2 {
		off := uint32(le.Uint16(p[i:]))
		if off < upper || off+leafHead > r.size {
			return fmt.Errorf("page %d: entry %d is out of place", no, (i-btreeHead)/2)
		}
		e := p[off:]
		var err error
		if kind == pageInternal {
			err = r.page(le.Uint32(e[4:]), depth+1)
		} else {
			err = r.leaf(e)
		}
		if err != nil {
			return fmt.Errorf("page %d: entry %d: %w", no, (i-btreeHead)/2, err)
		}
	}
	return nil
}

func (r *btreeReader) leaf(e []byte) error {
	klen, dlen := le.Uint32(e), le.Uint32(e[4:])
	if e[8] != 0 {
		return fmt.Errorf("overflow pages are not read")
	}
	if uint64(klen)+uint64(dlen) > uint64(len(e)-leafHead) || klen == 0 || dlen == 0 {
		return fmt.Errorf("lengths %d and %d do not fit", klen, dlen)
	}
	e = e[leafHead:]
	key, value := string(e[:klen-1]), string(e[klen:klen+dlen-1])
	if e[klen-1] != 0 || e[klen+dlen-1] != 0 || strings.IndexByte(key, 0) >= 0 || strings.IndexByte(value, 0) >= 0 {
		return fmt.Errorf("key or value is no C string")
	}
	if n := len(r.pairs); n > 0 && r.pairs[n-1].Path >= key {
		return fmt.Errorf("%q stands behind %q", key, r.pairs[n-1].Path)
	}
	r.pairs = append(r.pairs, Pair{key, value})
	return nil
}

// WriteByFile makes a pkgdb.byfile.db of the pairs, in any order. Equal pairs
// give equal bytes. Of several pairs with one path the first counts, and what
// is longer than 1023 bytes is left out, both as in the genuine tools.
func WriteByFile(pairs []Pair) []byte {
	w := &btreeWriter{}
	w.grow() // header
	w.grow() // root
	level := w.leaves(sortPairs(pairs))
	for len(level) > 1 {
		level = w.internals(level)
	}
	// The top is the page made last: move it where the root has to be.
	top := level[0].page
	copy(w.at(1), w.at(top))
	le.PutUint32(w.at(1), 1)
	w.raw = w.raw[:top*btreePage]
	h := w.at(0)
	for i, v := range []uint32{btreeMagic, btreeVersion, btreePage, 0, 0, btreeNoDups} {
		le.PutUint32(h[4*i:], v)
	}
	return w.raw
}

func sortPairs(pairs []Pair) []Pair {
	sorted := slices.DeleteFunc(slices.Clone(pairs), func(p Pair) bool {
		return len(p.Path) >= maxByFileItem || len(p.Package) >= maxByFileItem
	})
	// With its final NUL counted the shorter of two keys comes first, which is
	// the order of Go strings.
	slices.SortStableFunc(sorted, func(a, b Pair) int { return cmp.Compare(a.Path, b.Path) })
	return slices.CompactFunc(sorted, func(a, b Pair) bool { return a.Path == b.Path })
}

type btreeWriter struct{ raw []byte }

// child is a page of the level below and the first key in it.
type child struct {
	page uint32
	key  string
}

func (w *btreeWriter) at(no uint32) []byte { return w.raw[no*btreePage:][:btreePage] }

func (w *btreeWriter) grow() uint32 {
	no := uint32(len(w.raw) / btreePage)
	w.raw = append(w.raw, make([]byte, btreePage)...)
	return no
}

// start makes a page of a level, linked to the one before it.
func (w *btreeWriter) start(prev, kind uint32) uint32 {
	no := w.grow()
	p := w.at(no)
	le.PutUint32(p, no)
	le.PutUint32(p[4:], prev)
	le.PutUint32(p[12:], kind)
	le.PutUint16(p[16:], btreeHead)
	le.PutUint16(p[18:], btreePage)
	if prev != 0 {
		le.PutUint32(w.at(prev)[8:], no)
	}
	return no
}

// add puts an entry on a page; false when it is full.
func (w *btreeWriter) add(no uint32, entry []byte) bool {
	p := w.at(no)
	lower, upper := int(le.Uint16(p[16:])), int(le.Uint16(p[18:]))
	size := (len(entry) + 3) &^ 3
	if upper-lower < size+2 {
		return false
	}
	upper -= size
	copy(p[upper:], entry)
	le.PutUint16(p[lower:], uint16(upper))
	le.PutUint16(p[16:], uint16(lower+2))
	le.PutUint16(p[18:], uint16(upper))
	return true
}

func (w *btreeWriter) leaves(pairs []Pair) []child {
	no := w.start(0, pageLeaf)
	level := []child{{page: no}}
	for _, p := range pairs {
		e := make([]byte, leafHead, leafHead+len(p.Path)+len(p.Package)+2)
		le.PutUint32(e, uint32(len(p.Path)+1))
		le.PutUint32(e[4:], uint32(len(p.Package)+1))
		e = append(append(append(append(e, p.Path...), 0), p.Package...), 0)
		if !w.add(no, e) {
			no = w.start(no, pageLeaf)
			level = append(level, child{no, p.Path})
			w.add(no, e)
		}
	}
	return level
}

func (w *btreeWriter) internals(below []child) []child {
	no := w.start(0, pageInternal)
	level := []child{{no, below[0].key}}
	for _, c := range below {
		e := make([]byte, internalHead, internalHead+len(c.key)+1)
		le.PutUint32(e, uint32(len(c.key)+1))
		le.PutUint32(e[4:], c.page)
		e = append(append(e, c.key...), 0)
		if !w.add(no, e) {
			no = w.start(no, pageInternal)
			level = append(level, child{no, c.key})
			w.add(no, e)
		}
	}
	return level
}
