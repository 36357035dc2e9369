package install

import (
	"errors"
	"fmt"
	"strings"
)

// This file cuts shell text into words and operators.

// Bounds of one script.
const (
	maxScript = 1 << 20 // bytes
	maxTokens = 200000
	maxDepth  = 20 // of substitutions in each other
)

// token is a word, or an operator (op) such as ";" or ">>"; a newline is one too.
type token struct {
	op   bool
	text string // as it stands there, quotes and all
	line int    // counted from 1

	subs []string // the text inside of `…` and $(…)
	doc  *hereDoc // on the word behind "<<"
}

type hereDoc struct {
	body   string // up to the line of the delimiter
	quoted bool   // nothing in it is expanded
}

var errUnfinished = errors.New("unfinished quote, substitution or here-document")

type lexer struct {
	src     string
	pos     int
	line    int
	depth   int
	tokens  []token
	pending []int // words of "<<" whose bodies come behind the line
}

func lex(src string, line int) ([]token, error) {
	if len(src) > maxScript {
		return nil, fmt.Errorf("more than %d bytes", maxScript)
	}
	l := &lexer{src: src, line: line}
	for l.pos < len(l.src) {
		if len(l.tokens) > maxTokens {
			return nil, fmt.Errorf("more than %d words", maxTokens)
		}
		if err := l.step(); err != nil {
			return nil, fmt.Errorf("line %d: %w", l.line, err)
		}
	}
	l.emit(token{op: true, text: "\n"})
	if len(l.pending) > 0 {
		return nil, fmt.Errorf("line %d: %w", l.line, errUnfinished)
	}
	return l.tokens, nil
}

func (l *lexer) emit(t token) {
	t.line = l.line
	l.tokens = append(l.tokens, t)
}

// operators, longest first.
var operators = []string{"<<-", "&&", "||", ";;", "<<", ">>", ">&", "<&", ">|", "<>", ";", "&", "|", "(", ")", "<", ">"}

func (l *lexer) step() error {
	rest := l.src[l.pos:]
	switch c := rest[0]; {
	case c == ' ' || c == '\t' || c == '\r':
		l.pos++
		return nil
	case strings.HasPrefix(rest, "\\\n"):
		l.pos += 2
		l.line++
		return nil
	case c == '\n':
		l.emit(token{op: true, text: "\n"})
		l.pos++
		l.line++
		return l.hereDocs()
	case c == '#':
		if i := strings.IndexByte(rest, '\n'); i >= 0 {
			l.pos += i
		} else {
			l.pos = len(l.src)
		}
		return nil
	}
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			l.emit(token{op: true, text: op})
			l.pos += len(op)
			return nil
		}
	}
	// A number right before < or > is a file descriptor.
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	if digits > 0 && digits < len(rest) && (rest[digits] == '<' || rest[digits] == '>') {
		l.pos += digits
		return nil
	}
	return l.word()
}

func (l *lexer) word() error {
	start, line := l.pos, l.line
	var t token
	for l.pos < len(l.src) && !strings.ContainsRune(" \t\r\n;&|()<>", rune(l.src[l.pos])) {
		subs, err := l.piece()
		if err != nil {
			return err
		}
		t.subs = append(t.subs, subs...)
	}
	t.text = l.src[start:l.pos]
	t.line = line
	if n := len(l.tokens); n > 0 && l.tokens[n-1].op && strings.HasPrefix(l.tokens[n-1].text, "<<") {
		l.pending = append(l.pending, n)
	}
	l.tokens = append(l.tokens, t)
	return nil
}

// piece passes one character, quotation or expansion of a word.
func (l *lexer) piece() (subs []string, err error) {
	switch l.src[l.pos] {
	case '\\':
		l.advance(2)
	case '\'':
		i := strings.IndexByte(l.src[l.pos+1:], '\'')
		if i < 0 {
			return nil, errUnfinished
		}
		l.advance(i + 2)
	case '"':
		l.advance(1)
		for l.pos < len(l.src) && l.src[l.pos] != '"' {
			s, err := l.inQuotes()
			if err != nil {
				return nil, err
			}
			subs = append(subs, s...)
		}
		if l.pos >= len(l.src) {
			return nil, errUnfinished
		}
		l.advance(1)
	default:
		return l.inQuotes()
	}
	return subs, nil
}

// inQuotes passes what means the same in and outside of double quotes.
func (l *lexer) inQuotes() ([]string, error) {
	rest := l.src[l.pos:]
	switch {
	case rest[0] == '\\':
		l.advance(2)
	case rest[0] == '`':
		i := strings.IndexByte(rest[1:], '`')
		if i < 0 {
			return nil, errUnfinished
		}
		l.advance(i + 2)
		return []string{rest[1 : i+1]}, nil
	case strings.HasPrefix(rest, "$("):
		n := balanced(rest[1:], '(', ')')
		if n < 0 {
			return nil, errUnfinished
		}
		l.advance(n + 1)
		return []string{rest[2:n]}, nil
	case strings.HasPrefix(rest, "${"):
		n := balanced(rest[1:], '{', '}')
		if n < 0 {
			return nil, errUnfinished
		}
		inner := rest[2:n]
		l.advance(n + 1)
		if i := strings.IndexAny(inner, "`"); i >= 0 || strings.Contains(inner, "$(") {
			sub := &lexer{src: inner, line: l.line, depth: l.depth + 1}
			if sub.depth > maxDepth {
				return nil, errUnfinished
			}
			var subs []string
			for sub.pos < len(sub.src) {
				s, err := sub.piece()
				if err != nil {
					return nil, err
				}
				subs = append(subs, s...)
			}
			return subs, nil
		}
	default:
		l.advance(1)
	}
	return nil, nil
}

func (l *lexer) advance(n int) {
	end := min(l.pos+n, len(l.src))
	l.line += strings.Count(l.src[l.pos:end], "\n")
	l.pos = end
}

// balanced returns the length of the bracketed text that s begins with, -1
// where it does not end.
func balanced(s string, open, end byte) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case open:
			depth++
		case end:
			if depth--; depth == 0 {
				return i + 1
			}
		case '\\':
			i++
		case '\'':
			if j := strings.IndexByte(s[i+1:], '\''); j >= 0 && open == '(' {
				i += j + 1
			}
		}
	}
	return -1
}

// hereDocs takes the bodies that follow the line just ended.
func (l *lexer) hereDocs() error {
	for _, i := range l.pending {
		word := &l.tokens[i]
		tabs := l.tokens[i-1].text == "<<-"
		delim := strings.NewReplacer("'", "", `"`, "", `\`, "").Replace(word.text)
		word.doc = &hereDoc{quoted: delim != word.text}
		start := l.pos
		for {
			if l.pos >= len(l.src) {
				return errUnfinished
			}
			begin := l.pos
			l.pos = len(l.src)
			if j := strings.IndexByte(l.src[begin:], '\n'); j >= 0 {
				l.pos = begin + j + 1
			}
			l.line++
			text := strings.TrimSuffix(l.src[begin:l.pos], "\n")
			if tabs {
				text = strings.TrimLeft(text, "\t")
			}
			if text == delim {
				word.doc.body = l.src[start:begin]
				break
			}
		}
	}
	l.pending = nil
	return nil
}
