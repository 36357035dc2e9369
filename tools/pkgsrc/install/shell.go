package install

import (
	"errors"
	"fmt"
	"strings"
)

// This file reads shell text far enough to tell its simple commands apart:
// words, quotes, here-documents, case, if, loops, functions. Nothing is run.
// What cannot be read so is an error, and then counts as a foreign command.

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
