package version

import (
	"iter"
	"slices"
	"strings"
)

// Index holds package names, so that those which a pattern may match are found
// without looking at all of them. It is safe for concurrent use.
type Index struct{ names []string }

// NewIndex returns an index of the names; those that come several times count once.
func NewIndex(names []string) *Index {
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	return &Index{slices.Compact(sorted)}
}

// Bounds of a pattern's alternatives for each of which names are looked up; with
// more of them all names are looked at.
const (
	maxLookups     = 512
	maxLookupBytes = 64 << 10
)

// Candidates yields, in the order of the bytes, each name for which Match is true
// or an error, and some others.
func (x *Index) Candidates(pattern string) iter.Seq[string] {
	l := lookup{names: x.names, left: maxLookups, bytes: maxLookupBytes}
	if len(pattern) > maxPattern || !l.add(pattern) {
		return slices.Values(x.names)
	}
	slices.SortFunc(l.found, func(a, b span) int { return a.from - b.from })
	return func(yield func(string) bool) {
		next := 0 // names may be in several spans
		for _, s := range l.found {
			for i := max(s.from, next); i < s.to; i++ {
				if !yield(x.names[i]) {
					return
				}
			}
			next = max(next, s.to)
		}
	}
}

// Best is the function of that name over all names of the index, within a budget.
func (x *Index) Best(pattern string, b *Budget) (best string, found bool, err error) {
	for name := range x.Candidates(pattern) {
		ok, err := b.Match(pattern, name)
		if err != nil {
			return "", false, err
		}
		if ok && (!found || Better(name, best)) {
			best, found = name, true
		}
	}
	return best, found, nil
}

// span is a part of the sorted names.
type span struct{ from, to int }

// lookup collects where names that match a pattern are.
type lookup struct {
	names       []string
	left, bytes int // of the bounds
	found       []span
}

// add is for one pattern; false where it is out of bounds or bad.
func (l *lookup) add(pattern string) bool {
	l.left--
	if l.bytes -= len(pattern) + 1; l.left < 0 || l.bytes < 0 {
		return false
	}
	if open := strings.IndexByte(pattern, '{'); open >= 0 {
		group, end := alternatives(pattern, open)
		for _, a := range group {
			if !l.add(pattern[:open] + a + pattern[end:]) {
				return false
			}
		}
		return end >= 0
	}
	if i := strings.IndexAny(pattern, "<>"); i >= 0 {
		l.prefix(pattern[:i] + "-")
	} else if i := strings.IndexAny(pattern, `*?[]\`); i >= 0 {
		l.prefix(pattern[:i])
	} else {
		if i, ok := slices.BinarySearch(l.names, pattern); ok {
			l.found = append(l.found, span{i, i + 1})
		}
		l.prefix(pattern + "-")
	}
	return true
}

// prefix adds the names that begin so.
func (l *lookup) prefix(p string) {
	from, _ := slices.BinarySearch(l.names, p)
	n, _ := slices.BinarySearchFunc(l.names[from:], p, func(name, p string) int {
		if strings.HasPrefix(name, p) {
			return -1
		}
		return 1
	})
	if n > 0 {
		l.found = append(l.found, span{from, from + n})
	}
}
