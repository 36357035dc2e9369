package gunzip

import "math/bits"

// entry is what a table says about the bits that come next:
//
//	bits 0-4    how many bits the code has (in a second table: what is left of it)
//	bits 5-8    how many further bits follow; of a link: bits of the second table
//	bits 9-11   what it is
//	bits 12-31  literal, base of length or distance, end, or place of the table
type entry uint32

const (
	kindNone    = entry(0) << 9 // no code begins so
	kindLiteral = entry(1) << 9
	kindBase    = entry(2) << 9
	kindEnd     = entry(3) << 9
	kindLink    = entry(4) << 9
	kindMask    = entry(7) << 9
)

const (
	maxSymbols   = 288
	maxDistances = 32
	maxBits      = 15

	litBits  = 11
	distBits = 8
	codeBits = 7
	// The most entries that first and second tables have together: 2342 for 288
	// symbols behind 11 bits, 402 for 32 behind 8; powers of two are quick to check.
	litSize  = 1 << 12
	distSize = 1 << 11
	codeSize = 1 << codeBits
)

var (
	lengthBase  = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	codeOrder   = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

// litEntry is what a symbol of the first alphabet means.
func litEntry(symbol int) entry {
	switch {
	case symbol < 256:
		return kindLiteral | entry(symbol)<<12
	case symbol == 256:
		return kindEnd
	case symbol < 257+len(lengthBase):
		return kindBase | entry(lengthExtra[symbol-257])<<5 | entry(lengthBase[symbol-257])<<12
	}
	return kindNone
}

// distEntry is what a symbol of the alphabet of distances means.
func distEntry(symbol int) entry {
	switch {
	case symbol < 4:
		return kindBase | entry(symbol+1)<<12
	case symbol < 30:
		extra := symbol/2 - 1
		return kindBase | entry(extra)<<5 | entry((2+symbol&1)<<extra+1)<<12
	}
	return kindNone
}

func codeEntry(symbol int) entry { return kindLiteral | entry(symbol)<<12 }

// build makes the tables of a code from the lengths of its words. The code must
// be complete; unless strict, it may also have no word, or a single one of one
// bit, as zlib has it.
func build(table []entry, first uint, lens []uint8, strict bool, meaning func(int) entry) bool {
	var count, begin [maxBits + 1]int
	for _, n := range lens {
		count[n]++
	}
	count[0] = 0
	var next [maxBits + 1]int
	code, longest, words := 0, uint(0), 0
	for n := 1; n <= maxBits; n++ {
		code <<= 1
		next[n], begin[n] = code, words
		code += count[n]
		words += count[n]
		if code > 1<<n {
			return false
		}
		if count[n] > 0 {
			longest = uint(n)
		}
	}
	if code != 1<<maxBits && (strict || longest > 1) {
		return false
	}
	// By length, then by symbol: words that begin alike stand together.
	var order [maxSymbols]uint16
	for symbol, n := range lens {
		if n > 0 {
			order[begin[n]] = uint16(symbol)
			begin[n]++
		}
	}
	clear(table[:1<<first])
	used := 1 << first
	for _, symbol := range order[:words] {
		n := uint(lens[symbol])
		word := uint(bits.Reverse16(uint16(next[n])) >> (16 - n))
		next[n]++
		e := meaning(int(symbol))
		if n <= first {
			if e != kindNone {
				e |= entry(n)
			}
			for i := word; i < 1<<first; i += 1 << n {
				table[i] = e
			}
			count[n]--
			continue
		}
		link := &table[word&(1<<first-1)]
		if *link == kindNone {
			// Room for as many words as can begin so.
			size := n - first
			for left := 1 << size; first+size < longest; size++ {
				if left -= count[first+size]; left <= 0 {
					break
				}
				left <<= 1
			}
			if used+1<<size > len(table) {
				return false
			}
			clear(table[used : used+1<<size])
			*link = kindLink | entry(first) | entry(size)<<5 | entry(used)<<12
			used += 1 << size
		}
		count[n]--
		size := uint(*link >> 5 & 15)
		if n-first > size {
			return false
		}
		if e != kindNone {
			e |= entry(n - first)
		}
		sub := table[*link>>12:][:1<<size]
		for i := word >> first; i < 1<<size; i += 1 << (n - first) {
			sub[i] = e
		}
	}
	return true
}

// fixedCodes makes the tables of blocks without codes of their own.
func (z *Reader) fixedCodes() {
	if z.fixed {
		return
	}
	for i := range maxSymbols {
		switch {
		case i < 144:
			z.lens[i] = 8
		case i < 256:
			z.lens[i] = 9
		case i < 280:
			z.lens[i] = 7
		default:
			z.lens[i] = 8
		}
	}
	build(z.lit[:], litBits, z.lens[:maxSymbols], false, litEntry)
	for i := range maxDistances {
		z.lens[i] = 5
	}
	build(z.dist[:], distBits, z.lens[:maxDistances], false, distEntry)
	z.fixed = true
}

// dynamicCodes reads a block's own codes.
func (z *Reader) dynamicCodes() error {
	z.fixed = false
	if err := z.need(14); err != nil {
		return err
	}
	nlit, ndist, ncode := int(z.take(5))+257, int(z.take(5))+1, int(z.take(4))+4
	if nlit > 286 || ndist > 30 {
		return ErrData
	}
	var small [19]uint8
	for _, i := range codeOrder[:ncode] {
		if err := z.need(3); err != nil {
			return err
		}
		small[i] = uint8(z.take(3))
	}
	if !build(z.codes[:], codeBits, small[:], true, codeEntry) {
		return ErrData
	}
	lens := z.lens[:nlit+ndist]
	for i := 0; i < len(lens); {
		e, err := z.slow(z.codes[:], codeBits)
		if err != nil {
			return err
		}
		symbol := int(e >> 12)
		if symbol < 16 {
			lens[i] = uint8(symbol)
			i++
			continue
		}
		var value uint8
		extra, n := uint(2), 3
		switch symbol {
		case 16:
			if i == 0 {
				return ErrData
			}
			value = lens[i-1]
		case 17:
			extra = 3
		case 18:
			extra, n = 7, 11
		}
		if err := z.need(extra); err != nil {
			return err
		}
		if n += int(z.take(extra)); n > len(lens)-i {
			return ErrData
		}
		for range n {
			lens[i] = value
			i++
		}
	}
	if lens[256] == 0 || !build(z.lit[:], litBits, lens[:nlit], false, litEntry) || !build(z.dist[:], distBits, lens[nlit:], false, distEntry) {
		return ErrData
	}
	return nil
}

// slow decodes one word with no more input than it takes.
func (z *Reader) slow(table []entry, first uint) (entry, error) {
	for {
		e := table[z.bits&(1<<z.nbits-1)&(1<<first-1)]
		n := uint(e & 31)
		if e&kindMask == kindLink && n <= z.nbits {
			e = table[e>>12:][z.bits&(1<<z.nbits-1)>>first&(1<<(e>>5&15)-1)]
			n = first + uint(e&31)
		}
		if e&kindMask != kindNone && n <= z.nbits {
			z.take(n)
			return e, nil
		}
		if z.nbits >= maxBits {
			return 0, ErrData
		}
		if err := z.need(z.nbits + 1); err != nil {
			return 0, err
		}
	}
}
