package dataset

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
)

const fatBlock = 16384 // block size of a fat ZAP, by default

// zapBlocks is a ZAP ready to be written; block n has number n, all have size
// bytes, none is a hole.
type zapBlocks struct {
	size   int
	blocks [][]byte
}

// buildZap lays entries out: as a micro ZAP where that is possible and fat is
// false, else as a fat one with blocks of fatSize bytes. Hashes and cds are
// computed here. The order of entries decides the bytes, so callers sort.
func buildZap(entries []zapEntry, salt uint64, fat bool, fatSize int) (zapBlocks, error) {
	if salt == 0 {
		return zapBlocks{}, fmt.Errorf("a ZAP with salt 0")
	}
	seen := make(map[uint64]uint32, len(entries))
	micro := !fat && len(entries) <= microEntries
	for i := range entries {
		e := &entries[i]
		if len(e.name) == 0 || len(e.name) > maxZapName {
			return zapBlocks{}, fmt.Errorf("a name of %d bytes", len(e.name))
		}
		e.hash = zapHash(salt, e.name)
		e.cd = seen[e.hash]
		seen[e.hash]++
		micro = micro && len(e.name) <= microName && e.words == nil
	}
	if micro {
		return buildMicro(entries, salt), nil
	}
	return buildFat(entries, salt, fatSize)
}

func buildMicro(entries []zapEntry, salt uint64) zapBlocks {
	size := max(512, (len(entries)*microSlot+microSlot+511)&^511)
	b := make([]byte, size)
	le.PutUint64(b, zapMicro)
	le.PutUint64(b[8:], salt)
	for i := range entries {
		slot := b[microSlot*(i+1):][:microSlot]
		le.PutUint64(slot, entries[i].value)
		le.PutUint32(slot[8:], entries[i].cd)
		copy(slot[14:], entries[i].name)
	}
	return zapBlocks{size, [][]byte{b}}
}

// chunks is the number of chunks an entry takes in a leaf.
func (e *zapEntry) chunks() int {
	value := 8
	if e.words != nil {
		value = 2 * len(e.words)
	}
	return 1 + (len(e.name)+1+arrayData-1)/arrayData + (value+arrayData-1)/arrayData
}

type zapLeafPlan struct {
	prefix  uint64
	plen    int
	entries []*zapEntry
}

func buildFat(entries []zapEntry, salt uint64, bs int) (zapBlocks, error) {
	_, nchunk := leafShape(bs)
	all := make([]*zapEntry, len(entries))
	for i := range entries {
		all[i] = &entries[i]
	}
	// Split the hash space in halves until each leaf holds its entries; left
	// halves first, so leaves come out in order of their prefixes.
	todo := []zapLeafPlan{{entries: all}}
	var leaves []zapLeafPlan
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		need := 0
		for _, e := range p.entries {
			need += e.chunks()
		}
		if need <= nchunk {
			leaves = append(leaves, p)
			continue
		}
		if p.plen == zapHashLen {
			return zapBlocks{}, fmt.Errorf("%d names with the same hash", len(p.entries))
		}
		var half [2][]*zapEntry
		for _, e := range p.entries {
			bit := e.hash >> (63 - p.plen) & 1
			half[bit] = append(half[bit], e)
		}
		todo = append(todo,
			zapLeafPlan{p.prefix<<1 | 1, p.plen + 1, half[1]},
			zapLeafPlan{p.prefix << 1, p.plen + 1, half[0]})
	}
	embedded := bits.Len(uint(bs)) - 1 - 4
	shift := embedded
	for _, p := range leaves {
		shift = max(shift, p.plen)
	}
	out := zapBlocks{size: bs, blocks: make([][]byte, 1+len(leaves))}
	table := make([]byte, 8<<shift)
	for i, p := range leaves {
		for k := range uint64(1) << (shift - p.plen) {
			le.PutUint64(table[8*(p.prefix<<(shift-p.plen)+k):], uint64(1+i))
		}
		out.blocks[1+i] = buildLeaf(p, bs)
	}
	h := make([]byte, bs)
	le.PutUint64(h, zapHeader)
	le.PutUint64(h[8:], zapMagic)
	le.PutUint64(h[32:], uint64(shift))
	if shift == embedded {
		copy(h[bs/2:], table)
	} else {
		le.PutUint64(h[16:], uint64(len(out.blocks)))
		le.PutUint64(h[24:], uint64(len(table)/bs))
		out.blocks = slices.AppendSeq(out.blocks, slices.Chunk(table, bs))
	}
	le.PutUint64(h[56:], uint64(len(out.blocks)))
	le.PutUint64(h[64:], uint64(len(leaves)))
	le.PutUint64(h[72:], uint64(len(entries)))
	le.PutUint64(h[80:], salt)
	out.blocks[0] = h
	return out, nil
}

func buildLeaf(p zapLeafPlan, bs int) []byte {
	b := make([]byte, bs)
	nhash, nchunk := leafShape(bs)
	slots := b[48 : 48+2*nhash]
	for i := range slots {
		slots[i] = 0xff
	}
	chunk := func(n int) []byte { return b[48+2*nhash+chunkSize*n:][:chunkSize] }
	used := 0
	array := func(data []byte) uint16 {
		first := used
		for len(data) > 0 {
			c := chunk(used)
			c[0] = chunkArray
			data = data[copy(c[1:1+arrayData], data):]
			used++
			next := uint16(used)
			if len(data) == 0 {
				next = chainEnd
			}
			le.PutUint16(c[22:], next)
		}
		return uint16(first)
	}
	// Entries go to the heads of their chains, so the highest cd comes first
	// and each chain ascends.
	entries := slices.Clone(p.entries)
	slices.SortStableFunc(entries, func(a, b *zapEntry) int { return int(b.cd) - int(a.cd) })
	hashBits := bits.Len(uint(nhash)) - 1
	for _, e := range entries {
		n := used
		used++
		c := chunk(n)
		slot := slots[2*(int(e.hash>>(64-hashBits-p.plen))&(nhash-1)):]
		var value []byte
		intSize, nints := 8, 1
		if e.words != nil {
			intSize, nints = 2, len(e.words)
			for _, w := range e.words {
				value = binary.BigEndian.AppendUint16(value, w)
			}
		} else {
			value = binary.BigEndian.AppendUint64(nil, e.value)
		}
		c[0], c[1] = chunkEntry, byte(intSize)
		copy(c[2:4], slot[:2])
		le.PutUint16(c[4:], array(append([]byte(e.name), 0)))
		le.PutUint16(c[6:], uint16(len(e.name)+1))
		le.PutUint16(c[8:], array(value))
		le.PutUint16(c[10:], uint16(nints))
		le.PutUint32(c[12:], e.cd)
		le.PutUint64(c[16:], e.hash)
		le.PutUint16(slot, uint16(n))
	}
	free := uint16(chainEnd)
	for n := nchunk - 1; n >= used; n-- {
		c := chunk(n)
		c[0] = chunkFree
		le.PutUint16(c[22:], free)
		free = uint16(n)
	}
	le.PutUint64(b, zapLeaf)
	le.PutUint64(b[16:], p.prefix)
	le.PutUint32(b[24:], leafMagic)
	le.PutUint16(b[28:], uint16(nchunk-used))
	le.PutUint16(b[30:], uint16(len(p.entries)))
	le.PutUint16(b[32:], uint16(p.plen))
	le.PutUint16(b[34:], free)
	return b
}
