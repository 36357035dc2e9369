// Package version compares pkgsrc package versions and matches package names
// against dependency patterns, as pkg_add does (spec pkgsrc.md section 9).
//
// Limits: a pattern of more than 4096 bytes, or one whose braces need more than
// 4096 expansions, or more than a MiB of them and of what its stars try, is an
// error. Numbers above 10^18 count as 10^18. Only bytes
// matter; nothing here knows of character sets.
package version

import (
	"cmp"
	"strings"
)

// Split cuts a package name at its last "-": "py310-six-1.16" is "py310-six"
// and "1.16". A name without "-" has no version.
func Split(pkg string) (name, version string) {
	i := strings.LastIndexByte(pkg, '-')
	if i < 0 {
		return pkg, ""
	}
	return pkg[:i], pkg[i+1:]
}

// Compare tells the order of two versions: negative when a is older than b, 0
// when they are equal, positive when a is newer. Different strings can be equal.
func Compare(a, b string) int {
	va, vb := parse(a), parse(b)
	for i := range max(len(va.parts), len(vb.parts)) {
		if c := cmp.Compare(va.part(i), vb.part(i)); c != 0 {
			return c
		}
	}
	return cmp.Compare(va.revision, vb.revision)
}

// parsed is a version as a list of numbers and, apart, the package revision.
type parsed struct {
	parts    []int64
	revision int64
}

func (p parsed) part(i int) int64 {
	if i < len(p.parts) {
		return p.parts[i]
	}
	return 0
}

// Words with a value of their own, in the order in which they are tried.
var keywords = [...]struct {
	text  string
	value int64
}{
	{"alpha", -3}, {"beta", -2}, {"pre", -1}, {"rc", -1}, {"pl", 0}, {"_", 0}, {".", 0},
}

func parse(s string) (p parsed) {
	// No package's version has a "-", as the name is cut at its last one; the
	// recorded tool compares as if it were not there (1.0-1 equals 1.01).
	s = strings.ReplaceAll(strings.ToLower(s), "-", "")
next:
	for len(s) > 0 {
		if isDigit(s[0]) {
			var n int64
			n, s = number(s)
			p.parts = append(p.parts, n)
			continue
		}
		for _, k := range keywords {
			if rest, ok := strings.CutPrefix(s, k.text); ok {
				p.parts = append(p.parts, k.value)
				s = rest
				continue next
			}
		}
		if rest, ok := strings.CutPrefix(s, "nb"); ok {
			p.revision, s = number(rest)
			continue
		}
		if c := s[0]; 'a' <= c && c <= 'z' {
			p.parts = append(p.parts, 0, int64(c-'a')+1)
		}
		s = s[1:]
	}
	return p
}

const maxNumber = 1_000_000_000_000_000_000

// number reads leading digits, 0 where there are none, and returns the rest.
func number(s string) (int64, string) {
	var n int64
	i := 0
	for ; i < len(s) && isDigit(s[i]); i++ {
		if n = n*10 + int64(s[i]-'0'); n > maxNumber {
			n = maxNumber
		}
		if n == maxNumber { // more digits change nothing, and must not overflow
			for i+1 < len(s) && isDigit(s[i+1]) {
				i++
			}
		}
	}
	return n, s[i:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// Better tells whether pkg_add would take the package a rather than b, both
// full names: the higher version, among equal ones the lexically smaller name.
func Better(a, b string) bool {
	_, va := Split(a)
	_, vb := Split(b)
	if c := Compare(va, vb); c != 0 {
		return c > 0
	}
	return a < b
}

// Best returns the best of the names that match the pattern; false where none does.
func Best(pattern string, names []string) (best string, found bool, err error) {
	for _, name := range names {
		ok, err := Match(pattern, name)
		if err != nil {
			return "", false, err
		}
		if ok && (!found || Better(name, best)) {
			best, found = name, true
		}
	}
	return best, found, nil
}
