package dataset

import "iter"

// pageSize is how many numbers share a page: as many as ZFS gives a block of
// dnodes, so that pages are mostly full. One that is not costs 256 bytes.
const pageSize = 32

// table finds things by object number, at 9 bytes each where numbers lie close
// together: a map of a million pointers takes four times that. The zero value is
// empty.
type table[T any] struct {
	pages map[uint64]*[pageSize]*T
	n     int
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
			t.pages = make(map[uint64]*[pageSize]*T)
		}
		p = new([pageSize]*T)
		t.pages[num/pageSize] = p
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
