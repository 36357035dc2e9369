package version

import (
	"errors"
	"fmt"
	"strings"
)

const (
	maxPattern    = 4096 // bytes, before and after expansion
	maxExpansions = 4096 // alternatives tried for one pattern
)

// ErrPattern is the cause of all errors about patterns.
var ErrPattern = errors.New("bad package pattern")

// Match tells whether the package (name and version) satisfies the pattern.
// The only errors are unbalanced braces and a pattern out of bounds.
func Match(pattern, pkg string) (bool, error) {
	budget := maxExpansions
	ok, why := match(pattern, pkg, &budget)
	if why != "" {
		return false, fmt.Errorf("%w %.200q: %s", ErrPattern, pattern, why)
	}
	return ok, nil
}

// match is Match; why says what is wrong with the pattern. Every pattern looked
// at, expanded ones included, takes one from the budget.
func match(pattern, pkg string, budget *int) (ok bool, why string) {
	if len(pattern) > maxPattern {
		return false, "too long"
	}
	if *budget--; *budget < 0 {
		return false, "too many alternatives in braces"
	}
	if !quick(pattern, pkg) {
		return false, ""
	}
	if i := strings.IndexByte(pattern, '{'); i >= 0 {
		return matchBraces(pattern, i, pkg, budget)
	}
	if i := strings.IndexAny(pattern, "<>"); i >= 0 {
		return matchRange(pattern, i, pkg), ""
	}
	if strings.ContainsAny(pattern, "*?[]") && glob(pattern, pkg) {
		return true, ""
	}
	return pattern == pkg || glob(pattern+"-[0-9]*", pkg), ""
}

// quick rules out most packages by the first two bytes.
func quick(pattern, pkg string) bool {
	for i := range min(2, len(pattern)) {
		if !isPlain(pattern[i]) {
			return true
		}
		if i >= len(pkg) || pkg[i] != pattern[i] {
			return false
		}
	}
	return true
}

func isPlain(c byte) bool {
	return c == '-' || isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// matchBraces tries each alternative of the group that opens at pattern[open].
func matchBraces(pattern string, open int, pkg string, budget *int) (ok bool, why string) {
	depth, start := 0, open+1
	var alternatives []string
	for i := open; i < len(pattern); i++ {
		switch pattern[i] {
		case '{':
			depth++
		case ',':
			if depth == 1 {
				alternatives = append(alternatives, pattern[start:i])
				start = i + 1
			}
		case '}':
			if depth--; depth > 0 {
				continue
			}
			alternatives = append(alternatives, pattern[start:i])
			for _, a := range alternatives {
				if ok, why := match(pattern[:open]+a+pattern[i+1:], pkg, budget); ok || why != "" {
					return ok, why
				}
			}
			return false, ""
		}
	}
	return false, "braces do not balance"
}

// matchRange handles name<v, name<=v, name>v, name>=v and name>v<w; the first
// operator is at pattern[at].
func matchRange(pattern string, at int, pkg string) bool {
	name, version := Split(pkg)
	if name != pattern[:at] || name == pkg {
		return false
	}
	op, rest := operator(pattern[at:])
	if op[0] == '>' {
		if i := strings.IndexByte(rest, '<'); i >= 0 {
			upper, limit := operator(rest[i:])
			if !holds(version, upper, limit) {
				return false
			}
			rest = rest[:i]
		}
	}
	return holds(version, op, rest)
}

// operator splits "<=1.0" into "<=" and "1.0".
func operator(s string) (op, rest string) {
	if len(s) > 1 && s[1] == '=' {
		return s[:2], s[2:]
	}
	return s[:1], s[1:]
}

func holds(version, op, limit string) bool {
	c := Compare(version, limit)
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	default:
		return c >= 0
	}
}
