package version

import "strings"

// glob is the shell's matching of a whole name: * ? [a-z] [!a-z] and \ before a
// byte. A leading dot matches only a dot that is written out. A [ that is never
// closed stands for itself.
//
// Going back is needed only to the latest *, so the time is at most the product
// of the two lengths, and times that of a set. It is taken from the steps.
func (m *matcher) glob(pattern, name string) bool {
	closed := strings.LastIndexByte(pattern, ']')
	p, n := 0, 0
	starP, starN := -1, 0 // where to go on after a mismatch
	for m.step(1) {
		if p == len(pattern) {
			if n == len(name) {
				return true
			}
		} else if pattern[p] == '*' {
			if n < len(name) && n == 0 && name[0] == '.' {
				return false
			}
			p++
			starP, starN = p, n
			continue
		} else if n < len(name) {
			if width, ok := m.one(pattern[p:], name[n], n == 0, closed > p); ok {
				p += width
				n++
				continue
			}
		}
		if starP < 0 || starN == len(name) {
			return false
		}
		starN++
		p, n = starP, starN
	}
	return false
}

// one matches one element, which is no star, against c and returns the
// element's length. first says that c begins the name, closed that there is a ]
// further on.
func (m *matcher) one(pattern string, c byte, first, closed bool) (width int, ok bool) {
	switch pattern[0] {
	case '?':
		return 1, !(first && c == '.')
	case '[':
		if !closed {
			break
		}
		width, ok, closed := bracket(pattern, c)
		if m.step(width); closed {
			return width, ok && !(first && c == '.')
		}
	case '\\':
		if len(pattern) > 1 {
			return 2, pattern[1] == c
		}
	}
	return 1, pattern[0] == c
}

// bracket matches c against the set that opens pattern; width is what was looked
// at, the whole set where it is closed.
func bracket(pattern string, c byte) (width int, ok, closed bool) {
	i := 1
	negated := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negated {
		i++
	}
	for first := true; i < len(pattern); first = false {
		if pattern[i] == ']' && !first {
			return i + 1, ok != negated, true
		}
		lo := pattern[i]
		if lo == '\\' && i+1 < len(pattern) {
			i++
			lo = pattern[i]
		}
		i++
		hi := lo
		if i+1 < len(pattern) && pattern[i] == '-' && pattern[i+1] != ']' {
			hi = pattern[i+1]
			i += 2
		}
		if lo <= c && c <= hi {
			ok = true
		}
	}
	return len(pattern), false, false
}
