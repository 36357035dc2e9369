package pkgdb

import (
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
//	 8  uint32  next page; of a free page the next free one
//	12  uint32  flags
//	16  uint16  lower: end of the offsets
//	18  uint16  upper: start of the entries
const (
	btreeMagic   = 0x00053162
	btreeVersion = 3
	btreeNoDups  = 0x20
	btreePage    = 4096 // what the genuine tools use
	btreeHead    = 20
	btreeRoot    = 1

	pageInternal = 0x01
	pageLeaf     = 0x02
	pageType     = 0x1f

	entryHead = 9 // leaf: key length, data length, flags; internal: key length, page, flags

	maxByFileItem = 1024     // longer keys and values are not stored
	maxByFilePair = 2024     // key and value: two fit on a page
	maxByFile     = 64 << 20 // bytes of a database
	maxDepth      = 16
)

var le = binary.LittleEndian

// ReadByFile parses a pkgdb.byfile.db. Pairs come in the order of their paths.
// Every page, offset, length and the order of the keys is checked.
func ReadByFile(raw []byte) ([]Pair, error) {
	db, err := ParseByFile(raw)
	if err != nil {
		return nil, err
	}
	return db.Pairs(), nil
}

// WriteByFile makes a pkgdb.byfile.db of the pairs, in any order. Equal pairs
// give equal bytes. Of several pairs with one path the first counts, and what
// is longer than 1023 bytes is left out, both as in the genuine tools.
func WriteByFile(pairs []Pair) []byte {
	db := NewByFileDB()
	for _, p := range sortPairs(pairs) {
		db.Put(p.Path, p.Package)
	}
	return db.Bytes()
}

func sortPairs(pairs []Pair) []Pair {
	sorted := slices.Clone(pairs)
	// With its final NUL counted the shorter of two keys comes first, which is
	// the order of Go strings.
	slices.SortStableFunc(sorted, func(a, b Pair) int { return strings.Compare(a.Path, b.Path) })
	return slices.CompactFunc(sorted, func(a, b Pair) bool { return a.Path == b.Path })
}

// ParseByFile reads a database so that it can be changed. What is there stays
// on its pages; pages of another size than the genuine tools make are made anew.
func ParseByFile(raw []byte) (*ByFileDB, error) {
	r, err := newBtreeReader(raw)
	if err == nil {
		r.db.root, err = r.page(btreeRoot, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("database of files: %w", err)
	}
	if r.size != btreePage {
		anew := NewByFileDB()
		for _, p := range r.db.Pairs() {
			anew.Put(p.Path, p.Package)
		}
		return anew, nil
	}
	r.freeList()
	return r.db, nil
}

type btreeReader struct {
	raw   []byte
	size  uint32 // of a page
	seen  map[uint32]bool
	last  string // key of the leaf entry before
	least string // what the pages above say of keys to come
	depth int    // of the leaves, once one was seen
	db    *ByFileDB
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
	return &btreeReader{raw: raw, size: size, seen: map[uint32]bool{}, db: &ByFileDB{pages: uint32(len(raw)) / size}}, nil
}

func (r *btreeReader) at(no uint32) []byte { return r.raw[uint64(no)*uint64(r.size):][:r.size] }

// page reads a page with all below it, from left to right.
func (r *btreeReader) page(no uint32, depth int) (*btreeNode, error) {
	if no == 0 || no >= r.db.pages || r.seen[no] || depth > maxDepth {
		return nil, fmt.Errorf("page %d is out of place", no)
	}
	r.seen[no] = true
	p := r.at(no)
	lower, upper := uint32(le.Uint16(p[16:])), uint32(le.Uint16(p[18:]))
	n := &btreeNode{no: no}
	switch le.Uint32(p[12:]) & pageType {
	case pageLeaf:
		n.leaf = true
		if r.depth == 0 {
			r.depth = depth + 1
		}
		if r.depth != depth+1 {
			return nil, fmt.Errorf("page %d: a leaf at another depth", no)
		}
	case pageInternal:
	default:
		return nil, fmt.Errorf("page %d is damaged", no)
	}
	if le.Uint32(p) != no || lower < btreeHead || lower > upper || upper > r.size || (lower-btreeHead)%2 != 0 || !n.leaf && lower == btreeHead {
		return nil, fmt.Errorf("page %d is damaged", no)
	}
	for i := uint32(btreeHead); i < lower; i += 2 {
		off := uint32(le.Uint16(p[i:]))
		if off < upper || off+entryHead > r.size {
			return nil, fmt.Errorf("page %d: entry %d is out of place", no, (i-btreeHead)/2)
		}
		var e btreeEntry
		var err error
		if n.leaf {
			e, err = r.leaf(p[off:])
		} else {
			e, err = r.internal(p[off:], i == btreeHead, depth)
		}
		if err != nil {
			return nil, fmt.Errorf("page %d: entry %d: %w", no, (i-btreeHead)/2, err)
		}
		n.entries = append(n.entries, e)
	}
	if n.used() > int(r.size) {
		return nil, fmt.Errorf("page %d: its entries overlap", no)
	}
	return n, nil
}

func (r *btreeReader) internal(e []byte, first bool, depth int) (btreeEntry, error) {
	klen := le.Uint32(e)
	if e[8] != 0 {
		return btreeEntry{}, fmt.Errorf("overflow pages are not read")
	}
	if uint64(klen) > uint64(len(e)-entryHead) || r.tooLong(klen) {
		return btreeEntry{}, fmt.Errorf("length %d does not fit", klen)
	}
	key := string(e[entryHead:][:klen])
	if !first {
		if r.last >= key {
			return btreeEntry{}, fmt.Errorf("%q stands behind %q", key, r.last)
		}
		r.least = key
	}
	below, err := r.page(le.Uint32(e[4:]), depth+1)
	return btreeEntry{key: key, below: below}, err
}

func (r *btreeReader) leaf(e []byte) (btreeEntry, error) {
	klen, dlen := le.Uint32(e), le.Uint32(e[4:])
	if e[8] != 0 {
		return btreeEntry{}, fmt.Errorf("overflow pages are not read")
	}
	if uint64(klen)+uint64(dlen) > uint64(len(e)-entryHead) || klen == 0 || dlen == 0 || r.tooLong(klen+dlen) {
		return btreeEntry{}, fmt.Errorf("lengths %d and %d do not fit", klen, dlen)
	}
	e = e[entryHead:]
	key, value := string(e[:klen]), string(e[klen:klen+dlen])
	if strings.IndexByte(key, 0) != len(key)-1 || strings.IndexByte(value, 0) != len(value)-1 {
		return btreeEntry{}, fmt.Errorf("key or value is no C string")
	}
	if r.last >= key || r.least > key {
		return btreeEntry{}, fmt.Errorf("%q stands behind %q", key, max(r.last, r.least))
	}
	r.last = key
	return btreeEntry{key: key, value: value}, nil
}

// tooLong tells whether an entry is one that belongs on overflow pages. (Pages of
// another size have other limits, but are made anew.)
func (r *btreeReader) tooLong(n uint32) bool { return r.size == btreePage && n > maxByFilePair }

// freeList takes over the free pages, as far as their list makes sense.
func (r *btreeReader) freeList() {
	for no := le.Uint32(r.raw[12:]); no != 0 && no < r.db.pages && !r.seen[no]; no = le.Uint32(r.at(no)[8:]) {
		r.seen[no] = true
		r.db.free = append(r.db.free, no)
	}
	slices.Reverse(r.db.free)
}

// Bytes is the database as a file. What no entry uses is zero, so that equal
// histories give equal bytes.
func (db *ByFileDB) Bytes() []byte {
	raw := make([]byte, int(db.pages)*btreePage)
	at := func(no uint32) []byte { return raw[int(no)*btreePage:][:btreePage] }
	next := uint32(0)
	for _, no := range db.free {
		p := at(no)
		le.PutUint32(p, no)
		le.PutUint32(p[8:], next)
		le.PutUint32(p[12:], pageLeaf)
		le.PutUint16(p[16:], btreeHead)
		le.PutUint16(p[18:], btreePage)
		next = no
	}
	for i, v := range []uint32{btreeMagic, btreeVersion, btreePage, next, 0, btreeNoDups} {
		le.PutUint32(raw[4*i:], v)
	}
	for level := []*btreeNode{db.root}; len(level) > 0; {
		var below []*btreeNode
		prev := uint32(0)
		for _, n := range level {
			p := at(n.no)
			n.encode(p)
			le.PutUint32(p[4:], prev)
			if prev != 0 {
				le.PutUint32(at(prev)[8:], n.no)
			}
			prev = n.no
			for _, e := range n.entries {
				if e.below != nil {
					below = append(below, e.below)
				}
			}
		}
		level = below
	}
	return raw
}

// encode writes a page but for its neighbours.
func (n *btreeNode) encode(p []byte) {
	kind, upper := uint32(pageInternal), len(p)
	if n.leaf {
		kind = pageLeaf
	}
	for i, e := range n.entries {
		upper -= e.size()
		le.PutUint16(p[btreeHead+2*i:], uint16(upper))
		le.PutUint32(p[upper:], uint32(len(e.key)))
		if n.leaf {
			le.PutUint32(p[upper+4:], uint32(len(e.value)))
		} else {
			le.PutUint32(p[upper+4:], e.below.no)
		}
		copy(p[upper+entryHead:], e.key)
		copy(p[upper+entryHead+len(e.key):], e.value)
	}
	le.PutUint32(p, n.no)
	le.PutUint32(p[12:], kind)
	le.PutUint16(p[16:], uint16(btreeHead+2*len(n.entries)))
	le.PutUint16(p[18:], uint16(upper))
}
