package install

import (
	"errors"
	"fmt"
	"strings"
)

// This file reads shell text far enough to tell its simple commands apart:
// words, quotes, here-documents, case, if, loops, functions. Nothing is run.
// What cannot be read so is an error, and then counts as a foreign command.

// maxTokens bounds one script.
const maxTokens = 200000

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

// redirection of a simple command.
type redirection struct {
	op     string // without a file descriptor's number
	target token
}

// command is a simple command and where it stands.
type command struct {
	line   int
	words  []token
	redirs []redirection
	stage  string // label of the innermost case, "" outside
	cond   bool   // whether it is reached hangs on something
	fn     string // function that it is part of
	next   string // operator behind it
}

var errUnfinished = errors.New("unfinished quote, substitution or here-document")

type lexer struct {
	src     string
	pos     int
	line    int
	tokens  []token
	pending []int // words of "<<" whose bodies come behind the line
}

func lex(src string, line int) ([]token, error) {
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
			sub := &lexer{src: inner, line: l.line}
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

// frame is an open construct.
type frame struct {
	kind  string // case, if, loop, brace, paren
	label string // of a case: the patterns of the current branch
	fn    string // of a brace: the function's name
}

type parser struct {
	tokens   []token
	pos      int
	stack    []frame
	chained  bool // behind && or ||
	commands []command
	funcs    map[string]bool
}

// parse cuts shell text into its simple commands.
func parse(src string) ([]command, map[string]bool, error) {
	tokens, err := lex(src, 1)
	if err != nil {
		return nil, nil, err
	}
	p := &parser{tokens: tokens, funcs: map[string]bool{}}
	for p.pos < len(p.tokens) {
		if err := p.step(); err != nil {
			line := p.tokens[min(p.pos, len(p.tokens)-1)].line
			return nil, nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
	if len(p.stack) > 0 {
		return nil, nil, fmt.Errorf("%s without its end", p.stack[len(p.stack)-1].kind)
	}
	return p.commands, p.funcs, nil
}

var errSyntax = errors.New("not understood as shell")

func (p *parser) push(f frame) error {
	if len(p.stack) > 100 {
		return errSyntax
	}
	p.stack = append(p.stack, f)
	return nil
}

func (p *parser) pop(kind string) error {
	n := len(p.stack)
	if n == 0 || p.stack[n-1].kind != kind {
		return errSyntax
	}
	p.stack = p.stack[:n-1]
	p.pos++
	return nil
}

func (p *parser) peek(i int) token {
	if p.pos+i < len(p.tokens) {
		return p.tokens[p.pos+i]
	}
	return token{op: true, text: "\n"}
}

// step handles what can stand where a command begins.
func (p *parser) step() error {
	t := p.peek(0)
	if t.op {
		switch t.text {
		case "\n":
			p.pos++ // a chain may go on in the next line
		case ";", "&", "|":
			p.pos++
			p.chained = false
		case "&&", "||":
			p.pos++
			p.chained = true
		case ";;":
			p.pos++
			p.chained = false
			return p.branch()
		case "(":
			p.pos++
			return p.push(frame{kind: "paren"})
		case ")":
			return p.pop("paren")
		case "<", ">", ">>", "<<", "<<-", ">&", "<&", ">|", "<>":
			return p.simple()
		default:
			return errSyntax
		}
		return nil
	}
	switch t.text {
	case "case":
		if p.peek(1).op || p.peek(2).text != "in" {
			return errSyntax
		}
		p.pos += 3
		if err := p.push(frame{kind: "case"}); err != nil {
			return err
		}
		return p.branch()
	case "esac":
		return p.pop("case")
	case "if":
		p.pos++
		return p.push(frame{kind: "if"})
	case "fi":
		return p.pop("if")
	case "while", "until":
		p.pos++
		return p.push(frame{kind: "loop"})
	case "for":
		p.pos += 2
		for !p.peek(0).op {
			p.pos++
		}
		return p.push(frame{kind: "loop"})
	case "done":
		return p.pop("loop")
	case "then", "else", "elif", "do", "!":
		p.pos++
		return nil
	case "{":
		p.pos++
		return p.push(frame{kind: "brace"})
	case "}":
		return p.pop("brace")
	}
	if open, end := p.peek(1), p.peek(2); open.op && open.text == "(" && end.op && end.text == ")" {
		p.pos += 3
		for p.peek(0).op && p.peek(0).text == "\n" && p.pos < len(p.tokens) {
			p.pos++
		}
		if p.peek(0).text != "{" {
			return errSyntax
		}
		p.pos++
		p.funcs[t.text] = true
		return p.push(frame{kind: "brace", fn: t.text})
	}
	return p.simple()
}

// branch reads the patterns of the next branch of a case, or its end.
func (p *parser) branch() error {
	n := len(p.stack)
	if n == 0 || p.stack[n-1].kind != "case" {
		return errSyntax
	}
	var label strings.Builder
	for ; p.pos < len(p.tokens); p.pos++ {
		t := p.peek(0)
		switch {
		case !t.op && t.text == "esac" && label.Len() == 0:
			return p.pop("case")
		case t.op && t.text == ")":
			p.pos++
			p.stack[n-1].label = label.String()
			return nil
		case t.op && t.text == "\n" || t.op && t.text == "(" && label.Len() == 0:
		case t.op && t.text != "|":
			return errSyntax
		default:
			label.WriteString(t.text)
		}
	}
	return errSyntax
}

func (p *parser) simple() error {
	c := command{line: p.peek(0).line, cond: p.chained}
	for _, f := range p.stack {
		switch f.kind {
		case "case":
			c.stage = f.label
		case "if", "loop", "paren":
			c.cond = true
		case "brace":
			if f.fn != "" {
				c.fn = f.fn
			}
		}
	}
	for p.pos < len(p.tokens) {
		t := p.peek(0)
		if !t.op {
			c.words = append(c.words, t)
			p.pos++
			continue
		}
		if !strings.ContainsAny(t.text, "<>") {
			c.next = t.text
			break
		}
		target := p.peek(1)
		if target.op {
			return errSyntax
		}
		c.redirs = append(c.redirs, redirection{t.text, target})
		p.pos += 2
	}
	if p.peek(0).op && p.peek(0).text == "\n" {
		p.chained = false
	}
	p.commands = append(p.commands, c)
	return nil
}

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
