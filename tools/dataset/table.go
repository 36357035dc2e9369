package dataset

import (
	"iter"
	"math/bits"
)

// pageSize is how many numbers share a page: as many as ZFS gives a block of
// dnodes, so that pages are mostly full. One that is not costs 256 bytes.
const pageSize = 32

// table finds things by object number, at 9 bytes each where numbers lie close
// together: a map of a million pointers takes four times that. The zero value is
// empty.
type table[T any] struct {
	pages map[uint64]*[pageSize]*T
	n     int

	// above finds pages in a row: at tableLevel(level, page >> 6*level) is which
	// of 64 such rows of the level below have any, or at level 1 which pages
	// there are.
	above map[uint64]uint64
}

const tableLevels = 10 // of 6 bits each: the 59 of a page's number

func tableLevel(level int, row uint64) uint64 { return uint64(level)<<59 | row }

// note enters a page into above, or takes it out.
func (t *table[T]) note(page uint64, there bool) {
	for level := 1; level <= tableLevels; level++ {
		row, bit := tableLevel(level, page>>6), uint64(1)<<(page&63)
		old := t.above[row]
		switch {
		case there:
			t.above[row] = old | bit
		case old == bit:
			delete(t.above, row)
		default:
			t.above[row] = old &^ bit
		}
		if there && old != 0 || !there && old != bit {
			return // the levels above say so already
		}
		page >>= 6
	}
}

// next is the first page from page on; ok is false where there is none.
func (t *table[T]) next(page uint64) (_ uint64, ok bool) {
	for level := 1; level <= tableLevels; level++ {
		if word := t.above[tableLevel(level, page>>6)] &^ (1<<(page&63) - 1); word != 0 {
			page = page&^63 | uint64(bits.TrailingZeros64(word))
			for level--; level > 0; level-- {
				page = page<<6 | uint64(bits.TrailingZeros64(t.above[tableLevel(level, page)]))
			}
			return page, true
		}
		page = page>>6 + 1
	}
	return 0, false
}

// removeRange removes what has numbers from first to before end, at the price of
// that alone.
func (t *table[T]) removeRange(first, end uint64) {
	if first >= end {
		return
	}
	for page, ok := t.next(first / pageSize); ok && page <= (end-1)/pageSize; page, ok = t.next(page + 1) {
		for num := max(first, page*pageSize); num <= min(end-1, page*pageSize+pageSize-1); num++ {
			t.remove(num)
		}
	}
}

// get returns nil where there is nothing.
func (t *table[T]) get(num uint64) *T {
	if p := t.pages[num/pageSize]; p != nil {
		return p[num%pageSize]
	}
	return nil
}

// set enters v, which is not nil.
func (t *table[T]) set(num uint64, v *T) {
	p := t.pages[num/pageSize]
	if p == nil {
		if t.pages == nil {
			t.pages, t.above = make(map[uint64]*[pageSize]*T), make(map[uint64]uint64)
		}
		p = new([pageSize]*T)
		t.pages[num/pageSize] = p
		t.note(num/pageSize, true)
	}
	if p[num%pageSize] == nil {
		t.n++
	}
	p[num%pageSize] = v
}

func (t *table[T]) remove(num uint64) {
	if p := t.pages[num/pageSize]; p != nil && p[num%pageSize] != nil {
		p[num%pageSize] = nil
		t.n--
		if *p == [pageSize]*T{} {
			delete(t.pages, num/pageSize)
			t.note(num/pageSize, false)
		}
	}
}

func (t *table[T]) len() int { return t.n }

// all yields everything, in no order. What is yielded may be removed.
func (t *table[T]) all() iter.Seq2[uint64, *T] {
	return func(yield func(uint64, *T) bool) {
		for page, p := range t.pages {
			for i, v := range p {
				if v != nil && !yield(page*pageSize+uint64(i), v) {
					return
				}
			}
		}
	}
}
