package install

import "strings"

// resolve takes quotes off a word and puts in the variables that are known.
// What is not known stays as it stands there, and complete is false then.
func resolve(text string, vars map[string]string) (value string, complete bool) {
	var b strings.Builder
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
			name, n := variable(rest)
			v, known := vars[name]
			if n == 0 || !known {
				n = max(n, 1)
				v, complete = rest[:n], false
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

// variable reads $NAME or ${NAME}; n is its length, 0 where it is another form.
func variable(s string) (name string, n int) {
	isName := func(c byte) bool {
		return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	if strings.HasPrefix(s, "${") {
		end := balanced(s[1:], '{', '}')
		if end < 0 {
			return "", 0
		}
		name = s[2:end]
		for i := range len(name) {
			if !isName(name[i]) {
				return "", end + 1
			}
		}
		return name, end + 1
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
