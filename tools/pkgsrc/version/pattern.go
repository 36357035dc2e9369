package version

import (
	"errors"
	"fmt"
	"strings"
)

const (
	maxPattern    = 4096    // bytes, before and after expansion
	maxExpansions = 4096    // alternatives tried for one pattern
	maxSteps      = 1 << 20 // of one match, see Budget
)

// ErrPattern is the cause of all errors about patterns.
var ErrPattern = errors.New("bad package pattern")

// Match tells whether the package (name and version) satisfies the pattern.
// The only errors are unbalanced braces and a pattern out of bounds.
func Match(pattern, pkg string) (bool, error) {
	return NewBudget(maxSteps).Match(pattern, pkg)
}

// Budget bounds what many matches take together. It is counted in steps: every
// match is one, and so is every byte of a pattern, or of an alternative from its
// braces, that has to be looked at. Most patterns differ from a name in the first
// bytes and take one. It is not safe for concurrent use.
type Budget struct{ total, left int }

// NewBudget returns a budget of so many steps.
func NewBudget(steps int) *Budget { return &Budget{steps, steps} }

// Spend takes steps; the error, of ErrPattern, is that there are no more.
func (b *Budget) Spend(steps int) error {
	if b.left -= steps; b.left < 0 {
		return fmt.Errorf("%w: matching takes over %d steps", ErrPattern, b.total)
	}
	return nil
}

// Match is the function of that name within the budget. That nothing is left of
// it is an error, then and from then on.
func (b *Budget) Match(pattern, pkg string) (bool, error) {
	if err := b.Spend(1); err != nil {
		return false, err
	}
	have := min(b.left, maxSteps)
	m := matcher{expansions: maxExpansions, steps: have}
	ok := m.match(pattern, pkg)
	if m.why == tooLong && b.left < maxSteps {
		b.left = 0
		return false, b.Spend(1)
	}
	b.left -= have - max(m.steps, 0)
	if m.why != "" {
		return false, fmt.Errorf("%w %.200q: %s", ErrPattern, pattern, m.why)
	}
	return ok, nil
}

const tooLong = "matching takes too long"

// matcher is one match; why says what is wrong with the pattern.
type matcher struct {
	expansions, steps int // left
	why               string
}

// step takes steps; false where there are no more.
func (m *matcher) step(n int) bool {
	if m.steps -= n; m.steps < 0 {
		m.why = tooLong
	}
	return m.why == ""
}

// match is Match. Every pattern looked at, expanded ones included, takes one
// from the expansions.
func (m *matcher) match(pattern, pkg string) bool {
	if len(pattern) > maxPattern {
		m.why = "too long"
		return false
	}
	if m.expansions--; m.expansions < 0 {
		m.why = "too many alternatives in braces"
		return false
	}
	if !quick(pattern, pkg) || !m.step(len(pattern)) {
		return false
	}
	if i := strings.IndexByte(pattern, '{'); i >= 0 {
		return m.braces(pattern, i, pkg)
	}
	if i := strings.IndexAny(pattern, "<>"); i >= 0 {
		return m.step(len(pkg)) && matchRange(pattern, i, pkg)
	}
	if strings.ContainsAny(pattern, "*?[]") && m.glob(pattern, pkg) {
		return true
	}
	return m.why == "" && (pattern == pkg || m.glob(pattern+"-[0-9]*", pkg))
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

// braces tries each alternative of the group that opens at pattern[open].
func (m *matcher) braces(pattern string, open int, pkg string) bool {
	group, end := alternatives(pattern, open)
	if end < 0 {
		m.why = unbalanced
		return false
	}
	for _, a := range group {
		if !m.step(open + len(a) + len(pattern) - end) {
			return false
		}
		if ok := m.match(pattern[:open]+a+pattern[end:], pkg); ok || m.why != "" {
			return ok
		}
	}
	return false
}

const unbalanced = "braces do not balance"

// alternatives cuts up the group that opens at pattern[open]; end is where it
// ends, -1 where it does not.
func alternatives(pattern string, open int) (group []string, end int) {
	depth, start := 0, open+1
	for i := open; i < len(pattern); i++ {
		switch pattern[i] {
		case '{':
			depth++
		case ',':
			if depth == 1 {
				group = append(group, pattern[start:i])
				start = i + 1
			}
		case '}':
			if depth--; depth == 0 {
				return append(group, pattern[start:i]), i + 1
			}
		}
	}
	return nil, -1
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
