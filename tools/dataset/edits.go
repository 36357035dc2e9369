package dataset

import "sort"

// fewRuns is how many runs of an object are moved about at each change in their
// midst. With more of them changes are collected: else their number times that
// of the runs would count.
const fewRuns = 64

// span is a row of blocks as one change leaves it: data, or a hole (n is 0).
type span struct {
	run
	last uint64 // one more than its last block
}

// ranged is what can be laid over each other.
type ranged[T any] interface {
	from() uint64
	end() uint64
	part(first, end uint64) T
}

func (r run) from() uint64               { return r.first }
func (r run) part(first, end uint64) run { return r.sub(first, end) }
func (s span) end() uint64               { return s.last }
func (s span) part(first, end uint64) span {
	if s.n == 0 {
		s.first, s.last = first, end
		return s
	}
	return span{s.sub(first, end), end}
}

// overlay is lower with upper in its place where that has something; what as
// refuses of upper leaves nothing. Both ascend.
func overlay[T ranged[T]](lower []T, upper []span, as func(span) (T, bool)) []T {
	out := make([]T, 0, len(lower)+len(upper))
	i, at := 0, uint64(0) // lower[i] counts from at on
	for _, u := range upper {
		for ; i < len(lower) && lower[i].from() < u.first; i++ {
			l := lower[i]
			if from, end := max(l.from(), at), min(l.end(), u.first); from < end {
				out = append(out, l.part(from, end))
			}
			if l.end() > u.first {
				break
			}
		}
		for i < len(lower) && lower[i].end() <= u.last {
			i++
		}
		if t, ok := as(u); ok {
			out = append(out, t)
		}
		at = u.last
	}
	for ; i < len(lower); i++ {
		out = append(out, lower[i].part(max(lower[i].from(), at), lower[i].end()))
	}
	return out
}

// edits are changes of one object that its runs do not have yet. Each row lies
// over those before it and is not much longer than half of the one before, so
// that a change is copied some log n times, and all rows together are not longer
// than the first two.
type edits struct{ rows [][]span }

// add enters a change, and tells whether more has to be kept for it.
func (e *edits) add(s span) bool {
	more := true
	if k := len(e.rows) - 1; k >= 0 && e.rows[k][len(e.rows[k])-1].last <= s.first {
		row := e.rows[k]
		last := &row[len(row)-1]
		switch {
		case last.last < s.first:
			e.rows[k] = append(row, s)
		case s.n == 0 && last.n == 0:
			last.last, more = s.last, false
		case s.n != 0 && last.n != 0 && last.extend(s.run):
			last.last, more = s.last, false
		default:
			e.rows[k] = append(row, s)
		}
	} else {
		e.rows = append(e.rows, []span{s})
	}
	for k := len(e.rows) - 1; k > 0 && len(e.rows[k]) >= len(e.rows[k-1])/2; k-- {
		e.merge(k)
	}
	return more
}

// merge lays the last row, k, over the one below it.
func (e *edits) merge(k int) {
	e.rows[k-1] = overlay(e.rows[k-1], e.rows[k], func(s span) (span, bool) { return s, true })
	e.rows = e.rows[:k]
}

// find tells whether block is changed, and whether it has data then.
func (e *edits) find(block uint64) (data, ok bool) {
	for k := len(e.rows) - 1; k >= 0; k-- {
		row := e.rows[k]
		if i := sort.Search(len(row), func(i int) bool { return row[i].last > block }); i < len(row) && row[i].first <= block {
			return row[i].n != 0, true
		}
	}
	return false, false
}

// applyTo makes the changes.
func (e *edits) applyTo(o *object) {
	for k := len(e.rows) - 1; k > 0; k-- {
		e.merge(k)
	}
	if len(e.rows) > 0 {
		o.runs = overlay(o.runs, e.rows[0], func(s span) (run, bool) { return s.run, s.n != 0 })
	}
	e.rows = nil
}

// put sets one block of o.
func (a *applier) put(o *object, nw run) error {
	e := a.edits[o]
	more := true
	switch {
	case e == nil && (len(o.runs) <= fewRuns || nw.first >= o.blocks()):
		more = o.put(nw)
	default:
		more = a.edit(o, e, span{nw, nw.end()})
	}
	if more {
		return a.keep(runMemory)
	}
	return nil
}

// punch makes a hole in o from block first to before block end.
func (a *applier) punch(o *object, first, end uint64) error {
	e := a.edits[o]
	if e == nil {
		switch blocks := o.blocks(); {
		case first >= blocks:
			return nil
		case end >= blocks:
			o.cut(first)
			return nil
		case len(o.runs) <= fewRuns:
			o.punch(first, end)
			return a.keep(runMemory) // it may part a run
		}
	}
	if a.edit(o, e, span{run{first: first}, end}) {
		return a.keep(runMemory)
	}
	return nil
}

func (a *applier) edit(o *object, e *edits, s span) bool {
	if e == nil {
		if a.edits == nil {
			a.edits = make(map[*object]*edits)
		}
		e = new(edits)
		a.edits[o] = e
	}
	more := e.add(s)
	if len(e.rows[0]) >= max(len(o.runs)/2, fewRuns) {
		e.applyTo(o)
		delete(a.edits, o)
	}
	return more
}

// settle makes all changes that were collected.
func (a *applier) settle() {
	for o, e := range a.edits {
		e.applyTo(o)
	}
	a.edits = nil
}

// hasData tells whether a block of o has data.
func (a *applier) hasData(o *object, block uint64) bool {
	if e := a.edits[o]; e != nil {
		if data, ok := e.find(block); ok {
			return data
		}
	}
	r, _ := o.find(block)
	return r != nil
}
