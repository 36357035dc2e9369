package install

import "strings"

// Bounds of what a script gets for a few words of it: a variable can hold itself
// twice over, and a helper all data lines. What scripts of packages really have
// is a few KiB.
const (
	maxValue   = 64 << 10 // bytes that variables put into one word
	maxWritten = 4 << 20  // bytes that variables and data lines put in altogether
)

// resolver puts variables into words.
type resolver struct {
	vars    map[string]string
	written int  // bytes that were put in
	full    bool // a bound was passed, and some word stayed as it was
}

// room counts bytes that are to be put in; false where they are too many.
func (r *resolver) room(n int) bool {
	if r.written += n; r.written > maxWritten {
		r.full = true
	}
	return !r.full
}

// resolve takes quotes off a word and puts in the variables that are known.
// What is not known stays as it stands there, and complete is false then.
func resolve(text string, vars map[string]string) (value string, complete bool) {
	return (&resolver{vars: vars}).resolve(text)
}

func (r *resolver) resolve(text string) (value string, complete bool) {
	var b strings.Builder
	put := 0
	var ends map[int]int // once a ${ has no end, the ends of all that have one
	complete = true
	quoted := false
	for i := 0; i < len(text); {
		rest := text[i:]
		switch c := rest[0]; {
		case c == '\'' && !quoted:
			j := strings.IndexByte(rest[1:], '\'')
			if j < 0 {
				return text, false
			}
			b.WriteString(rest[1 : j+1])
			i += j + 2
		case c == '"':
			quoted = !quoted
			i++
		case c == '\\' && len(rest) > 1:
			switch {
			case rest[1] == '\n':
			case quoted && !strings.ContainsRune("$`\"\\", rune(rest[1])):
				b.WriteString(rest[:2])
			default:
				b.WriteByte(rest[1])
			}
			i += 2
		case c == '$':
			var name string
			var n int
			if ends == nil || !strings.HasPrefix(rest, "${") {
				name, n = variable(rest)
			} else if end, ok := ends[i+1]; ok {
				name, n = braced(rest[:end-i])
			}
			if n == 0 && ends == nil && strings.HasPrefix(rest, "${") {
				ends = braces(text, i+1)
			}
			v, known := r.vars[name]
			if n == 0 || !known {
				n = max(n, 1)
				v, complete = rest[:n], false
			} else if put += len(v); put > maxValue || !r.room(len(v)) {
				r.full = true
				return text, false
			}
			b.WriteString(v)
			i += n
		case c == '`' || !quoted && (c == '*' || c == '?' || c == '[' && text != "["):
			complete = false
			fallthrough
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), complete && !quoted
}

// braces finds for every { of a text, from one on, where its balanced text ends.
func braces(text string, from int) map[int]int {
	ends := map[int]int{}
	var open []int
	for i := from; i < len(text); i++ {
		switch text[i] {
		case '{':
			open = append(open, i)
		case '}':
			if n := len(open); n > 0 {
				ends[open[n-1]] = i + 1
				open = open[:n-1]
			}
		case '\\':
			i++
		}
	}
	return ends
}

// isName tells what a variable's name is made of.
func isName(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// braced reads ${NAME}, which s is as a whole; the name is "" where it is more.
func braced(s string) (name string, n int) {
	name = s[2 : len(s)-1]
	for i := range len(name) {
		if !isName(name[i]) {
			return "", len(s)
		}
	}
	return name, len(s)
}

// variable reads $NAME or ${NAME}; n is its length, 0 where it is another form.
func variable(s string) (name string, n int) {
	if strings.HasPrefix(s, "${") {
		end := balanced(s[1:], '{', '}')
		if end < 0 {
			return "", 0
		}
		return braced(s[:end+1])
	}
	end := 1
	for end < len(s) && isName(s[end]) {
		end++
	}
	if end == 1 {
		if len(s) > 1 && strings.IndexByte("@*#?$!-", s[1]) >= 0 {
			return "", 2
		}
		return "", 0
	}
	return s[1:end], end
}
