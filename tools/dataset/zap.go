package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// ZAP: ZFS's table of names and integers (spec zfs-stream.md section 12).
const (
	zapMicro    = 1<<63 + 3
	zapHeader   = 1<<63 + 1
	zapLeaf     = 1 << 63
	zapMagic    = 0x2F52AB2AB
	leafMagic   = 0x2AB1EAF
	zapHashLen  = 28 // significant bits of a hash, at the top
	maxZapShift = 22 // of the pointer table read: 4 million leaves, some 800 million names

	microSlot    = 64
	microName    = 49 // bytes in a micro ZAP's name
	microEntries = 131072/microSlot - 1

	chunkSize  = 24
	chunkArray = 251
	chunkEntry = 252
	chunkFree  = 253
	arrayData  = 21
	chainEnd   = 0xffff

	maxZapBlock = 128 << 10
	maxZapName  = 255     // without NUL
	maxZapValue = 1 << 13 // bytes; LAYOUTS has the longest, 2 for each attribute
)

var crcTable = func() (t [256]uint64) {
	for i := range t {
		v := uint64(i)
		for range 8 {
			v = v>>1 ^ 0xC96C5795D7870F42&-(v&1)
		}
		t[i] = v
	}
	return t
}()

// zapHash is the hash of a name: a CRC whose start value is the salt.
func zapHash(salt uint64, name string) uint64 {
	h := salt
	for i := range len(name) {
		h = h>>8 ^ crcTable[byte(h)^name[i]]
	}
	return h &^ (1<<(64-zapHashLen) - 1)
}

// zapEntry is one name. Values of one 8-byte integer, which is nearly all of
// them, are in value; LAYOUTS' arrays of 2-byte ones are in words.
type zapEntry struct {
	name  string
	value uint64
	words []uint16
	hash  uint64 // as stored in a fat ZAP; computed in a micro one
	cd    uint32
}

// zapTable is a parsed ZAP, its entries in byte order of their names.
type zapTable struct {
	fat     bool
	salt    uint64
	entries []zapEntry
	faults  []string // what a checker should tell; names can be read all the same
}

func (z *zapTable) faultf(format string, args ...any) {
	if len(z.faults) < 20 {
		z.faults = append(z.faults, fmt.Sprintf(format, args...))
	}
}

func (z *zapTable) ints() map[string]uint64 {
	m := make(map[string]uint64, len(z.entries))
	for i := range z.entries {
		if z.entries[i].words == nil {
			m[z.entries[i].name] = z.entries[i].value
		}
	}
	return m
}

// readZap parses o's data. Names twice, values of unknown form and damaged
// structures are errors; what merely makes lookups fail is in faults.
func (ds *Dataset) readZap(num uint64) (*zapTable, error) {
	o := ds.objects.get(num)
	if o == nil {
		return nil, fmt.Errorf("object %d does not exist", num)
	}
	z, err := ds.parseZap(o)
	if err != nil {
		return nil, fmt.Errorf("object %d: %w", num, err)
	}
	return z, nil
}

func (ds *Dataset) parseZap(o *object) (*zapTable, error) {
	if o.blksz > maxZapBlock {
		return nil, fmt.Errorf("a ZAP with blocks of %d bytes", o.blksz)
	}
	b, err := ds.block(o, 0)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, errors.New("a ZAP without its first block")
	}
	var z *zapTable
	switch le.Uint64(b) {
	case zapMicro:
		z, err = parseMicro(b)
	case zapHeader:
		z, err = parseFat(b, func(n uint64) ([]byte, error) { return ds.block(o, n) }, o.blocks())
	default:
		return nil, fmt.Errorf("block type %#x is none of a ZAP", le.Uint64(b))
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(z.entries, func(a, b zapEntry) int { return strings.Compare(a.name, b.name) })
	z.checkCollisions()
	for i := 1; i < len(z.entries); i++ {
		if z.entries[i].name == z.entries[i-1].name {
			return nil, fmt.Errorf("name %q is there twice", z.entries[i].name)
		}
	}
	return z, nil
}

// checkCollisions finds entries that have both hash and cd in common: the
// kernel panics at them.
func (z *zapTable) checkCollisions() {
	type key struct {
		hash uint64
		cd   uint32
	}
	seen := make(map[key]struct{}, len(z.entries))
	for i := range z.entries {
		e := &z.entries[i]
		k := key{e.hash, e.cd}
		if _, ok := seen[k]; ok {
			z.faultf("entry %q has hash and number of another", e.name)
		}
		seen[k] = struct{}{}
		if want := zapHash(z.salt, e.name); z.fat && want != e.hash {
			z.faultf("entry %q has hash %#x instead of %#x: it cannot be found", e.name, e.hash, want)
		}
	}
}

func parseMicro(b []byte) (*zapTable, error) {
	if len(b) > maxZapBlock {
		return nil, fmt.Errorf("a micro ZAP of %d bytes", len(b))
	}
	z := &zapTable{salt: le.Uint64(b[8:])}
	if le.Uint64(b[16:]) != 0 {
		return nil, errNormalized
	}
	n := 0
	for at := microSlot; at+microSlot <= len(b); at += microSlot {
		if b[at+14] != 0 {
			n++
		}
	}
	z.entries = make([]zapEntry, 0, n)
	for at := microSlot; at+microSlot <= len(b); at += microSlot {
		slot := b[at : at+microSlot]
		if slot[14] == 0 {
			continue
		}
		name := slot[14:]
		n := slices.Index(name, 0)
		if n < 0 {
			return nil, fmt.Errorf("a name without end in slot %d", at/microSlot)
		}
		e := zapEntry{name: string(name[:n]), value: le.Uint64(slot), cd: le.Uint32(slot[8:])}
		e.hash = zapHash(z.salt, e.name)
		z.entries = append(z.entries, e)
	}
	return z, nil
}

// parseFat reads the header block b and all leaves; get returns any block, nil
// for a hole, and blocks is one more than the highest.
func parseFat(b []byte, get func(uint64) ([]byte, error), blocks uint64) (*zapTable, error) {
	bs := uint64(len(b))
	ptrBlock, ptrBlocks, shift := le.Uint64(b[16:]), le.Uint64(b[24:]), le.Uint64(b[32:])
	z := &zapTable{fat: true, salt: le.Uint64(b[80:])}
	switch {
	case bs < 1024 || bs&(bs-1) != 0 || bs > maxZapBlock:
		return nil, fmt.Errorf("a fat ZAP with blocks of %d bytes", bs)
	case le.Uint64(b[8:]) != zapMagic:
		return nil, fmt.Errorf("ZAP magic %#x", le.Uint64(b[8:]))
	case le.Uint64(b[40:]) != 0 || le.Uint64(b[48:]) != 0:
		return nil, errors.New("the ZAP's table was growing when the snapshot was taken")
	case le.Uint64(b[88:]) != 0:
		return nil, errNormalized
	case le.Uint64(b[96:]) != 0:
		return nil, fmt.Errorf("a ZAP with flags %#x", le.Uint64(b[96:]))
	case shift < 1 || shift > maxZapShift:
		return nil, fmt.Errorf("a ZAP table of 2^%d entries", shift)
	}
	var table []byte
	if ptrBlocks == 0 {
		if 8<<shift != bs/2 {
			return nil, fmt.Errorf("a ZAP table of 2^%d entries in a block of %d bytes", shift, bs)
		}
		table = b[bs/2:]
	} else {
		if ptrBlocks != (8<<shift+bs-1)/bs || ptrBlock >= blocks || ptrBlocks > blocks-ptrBlock {
			return nil, fmt.Errorf("a ZAP table of 2^%d entries in %d blocks at %d", shift, ptrBlocks, ptrBlock)
		}
		for n := range ptrBlocks {
			t, err := get(ptrBlock + n)
			if err != nil {
				return nil, err
			}
			if t == nil {
				return nil, fmt.Errorf("block %d of the ZAP's table is a hole", n)
			}
			table = append(table, t...)
		}
		table = table[:8<<shift]
	}
	count, leaves := uint64(0), uint64(0)
	for i := uint64(0); i < 1<<shift; {
		blk := le.Uint64(table[8*i:])
		if blk == 0 || blk >= blocks {
			return nil, fmt.Errorf("ZAP table entry %d is block %d of %d", i, blk, blocks)
		}
		leaf, err := get(blk)
		if err != nil {
			return nil, err
		}
		if leaf == nil {
			return nil, fmt.Errorf("ZAP leaf %d is a hole", blk)
		}
		plen := uint64(le.Uint16(leaf[32:]))
		if plen > shift || le.Uint64(leaf[16:]) != i>>(shift-plen) || i&(1<<(shift-plen)-1) != 0 {
			return nil, fmt.Errorf("ZAP leaf %d has prefix %#x of %d bits at table entry %d", blk, le.Uint64(leaf[16:]), plen, i)
		}
		for k := range uint64(1) << (shift - plen) {
			if le.Uint64(table[8*(i+k):]) != blk {
				return nil, fmt.Errorf("ZAP table entry %d is not leaf %d", i+k, blk)
			}
		}
		n, err := z.parseLeaf(leaf, plen)
		if err != nil {
			return nil, fmt.Errorf("ZAP leaf %d: %w", blk, err)
		}
		count, leaves, i = count+n, leaves+1, i+1<<(shift-plen)
	}
	if count != le.Uint64(b[72:]) {
		z.faultf("ZAP count %d, entries %d", le.Uint64(b[72:]), count)
	}
	if leaves != le.Uint64(b[64:]) {
		z.faultf("ZAP has %d leaves, its header says %d", leaves, le.Uint64(b[64:]))
	}
	return z, nil
}

// leafShape gives the number of hash slots and of chunks in a leaf.
func leafShape(bs int) (nhash, nchunk int) {
	nhash = bs / 32
	return nhash, (bs-2*nhash)/chunkSize - 2
}

func (z *zapTable) parseLeaf(b []byte, plen uint64) (uint64, error) {
	if le.Uint64(b) != zapLeaf || le.Uint32(b[24:]) != leafMagic {
		return 0, errors.New("not a leaf")
	}
	nhash, nchunk := leafShape(len(b))
	prefix := le.Uint64(b[16:])
	left := nchunk // each chunk is in one list only, so this ends all loops
	chunk := func(n uint16, kind byte) ([]byte, error) {
		if left--; int(n) >= nchunk || left < 0 {
			return nil, fmt.Errorf("chunk %d of %d, or a list in a circle", n, nchunk)
		}
		c := b[48+2*nhash+chunkSize*int(n):][:chunkSize]
		if c[0] != kind {
			return nil, fmt.Errorf("chunk %d has type %d instead of %d", n, c[0], kind)
		}
		return c, nil
	}
	array := func(n uint16, size int) ([]byte, error) {
		out := make([]byte, 0, size+arrayData)
		for len(out) < size {
			c, err := chunk(n, chunkArray)
			if err != nil {
				return nil, err
			}
			out = append(out, c[1:1+arrayData]...)
			n = le.Uint16(c[22:])
		}
		return out[:size], nil
	}
	count := uint64(0)
	for slot := range nhash {
		for n := le.Uint16(b[48+2*slot:]); n != chainEnd; {
			c, err := chunk(n, chunkEntry)
			if err != nil {
				return 0, err
			}
			intSize, nameLen, nints := int(c[1]), int(le.Uint16(c[6:])), int(le.Uint16(c[10:]))
			if nameLen < 1 || nameLen > maxZapName+1 || intSize*nints > maxZapValue {
				return 0, fmt.Errorf("chunk %d: name of %d bytes, %d integers of %d bytes", n, nameLen, nints, intSize)
			}
			e := zapEntry{cd: le.Uint32(c[12:]), hash: le.Uint64(c[16:])}
			name, err := array(le.Uint16(c[4:]), nameLen)
			if err != nil {
				return 0, err
			}
			if name[nameLen-1] != 0 || slices.Index(name, 0) != nameLen-1 {
				return 0, fmt.Errorf("chunk %d: name %q", n, name)
			}
			e.name = string(name[:nameLen-1])
			value, err := array(le.Uint16(c[8:]), intSize*nints)
			if err != nil {
				return 0, err
			}
			switch {
			case intSize == 8 && nints == 1:
				e.value = binary.BigEndian.Uint64(value)
			case intSize == 2:
				e.words = make([]uint16, nints)
				for i := range e.words {
					e.words[i] = binary.BigEndian.Uint16(value[2*i:])
				}
			default:
				return 0, fmt.Errorf("entry %q has %d integers of %d bytes", e.name, nints, intSize)
			}
			if plen > 0 && e.hash>>(64-plen) != prefix {
				z.faultf("entry %q is in the wrong leaf", e.name)
			} else if int(e.hash>>(64-uint64(bits.Len(uint(nhash))-1)-plen))&(nhash-1) != slot {
				z.faultf("entry %q is in the wrong chain", e.name)
			}
			z.entries = append(z.entries, e)
			count++
			n = le.Uint16(c[2:])
		}
	}
	if count != uint64(le.Uint16(b[30:])) {
		z.faultf("a leaf has %d entries, its header says %d", count, le.Uint16(b[30:]))
	}
	return count, nil
}
