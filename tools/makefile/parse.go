// Package makefile reads makefiles as text: assignments, includes, rules,
// conditions, each with its place, in the order make reads them. It is for
// looking at a component's makefiles and editing them without running anything.
//
// It understands the GNU make that component repositories are written in:
// continued lines, comments, nested conditions, define, target-specific
// variables, includes that begin with a tab. It does not evaluate conditions (all
// branches are read, each statement says in which it stands) nor functions;
// Expand follows simple references only and says when it cannot.
//
// Limits: a file has at most 1 MiB, a tree of includes at most 100 files, and
// 100,000 lines and included names together; conditions stand in each other 100
// deep.
package makefile

import (
	"strings"
)

// Kind is what a statement is.
type Kind int

const (
	Other   Kind = iota // a directive or a bare expansion
	Assign              // NAME OP VALUE
	Include             // include PATHS
	Rule                // TARGETS : PREREQS
	Recipe              // one line of a recipe
)

// Stmt is one logical line.
type Stmt struct {
	Kind      Kind
	File      string // as named to Parse
	Line, End int    // first and last physical line, from 1

	Name, Op, Value string // Assign; Op is one of = := ::= :::= ?= += !=
	Comment         string // Assign, Include: what follows "#" on the line
	Target          string // Assign: the targets a target-specific variable is for

	Paths    []string // Include: as written
	Optional bool     // Include: -include, sinclude
	Eng      string   // Include: the file of deps/eng/tools/mk it names, or ""

	Targets, Prereqs []string // Rule: as written
	Double           bool     // Rule: with two colons

	Text string // Recipe: the line; Rule: a recipe after ";"
	Cond *Cond  // the innermost condition around it, nil if there is none
}

// Cond is a condition a statement stands in. Statements share them.
type Cond struct {
	Text  string // ifeq ($(X),y)
	Line  int
	Else  bool  // in the branch taken when Text does not hold
	Outer *Cond // that it stands in itself, nil if there is none

	depth int // of those it stands in
}

// maxConds is how many conditions may stand in each other. Those further in are
// left out of statements.
const maxConds = 100

// File is one parsed makefile.
type File struct {
	Name  string
	Lines []string // physical, without line ends
	Stmts []Stmt

	deep int // line of a condition that stands in too many others, 0 if there is none
}

// Parse reads one makefile. There are no errors: what is not understood is Other.
func Parse(name string, data []byte) *File {
	text := strings.TrimSuffix(string(data), "\n")
	p := &parser{file: &File{Name: name, Lines: strings.Split(text, "\n")}}
	p.run()
	return p.file
}

type parser struct {
	file     *File
	cond     *Cond
	beyond   int // conditions that stand in too many others
	inRule   bool
	inDefine int
}

func (p *parser) run() {
	lines := p.file.Lines
	for i := 0; i < len(lines); {
		first := i
		line := strings.TrimSuffix(lines[i], "\r")
		i++
		if continued(line) && i < len(lines) {
			line, i = join(lines, line, i)
		}
		p.line(line, first+1, i)
	}
}

// join is a line with those from lines[i] on that continue it, and where the
// next begins.
func join(lines []string, line string, i int) (string, int) {
	var b strings.Builder
	for continued(line) && i < len(lines) {
		b.WriteString(line[:len(line)-1])
		b.WriteByte('\n')
		line = strings.TrimSuffix(lines[i], "\r")
		i++
	}
	b.WriteString(line)
	return b.String(), i
}

// continued tells whether an odd number of backslashes ends line.
func continued(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

func (p *parser) line(raw string, first, last int) {
	if strings.HasPrefix(raw, "\t") && p.inRule && p.inDefine == 0 {
		p.add(Stmt{Kind: Recipe, Line: first, End: last, Text: strings.ReplaceAll(raw[1:], "\n", "\\\n")})
		return
	}
	code, comment := splitComment(joinLines(raw))
	code = strings.TrimSpace(code)
	if code == "" {
		return
	}
	word, rest := cutWord(code)
	if p.inDefine > 0 {
		switch word {
		case "define":
			p.inDefine++
		case "endef":
			p.inDefine--
		}
		return
	}
	switch word {
	case "ifeq", "ifneq", "ifdef", "ifndef":
		p.open(code, first)
		return
	case "else":
		if c := p.cond; c != nil && p.beyond == 0 {
			other := *c
			other.Else = true
			if rest != "" { // else ifeq ...: the same endif ends both
				other.Text, other.Line, other.Else = rest, first, false
			}
			p.cond = &other
		}
		return
	case "endif":
		if p.beyond > 0 {
			p.beyond--
		} else if p.cond != nil {
			p.cond = p.cond.Outer
		}
		return
	case "include", "-include", "sinclude":
		p.inRule = false
		paths := strings.Fields(rest)
		p.add(Stmt{Kind: Include, Line: first, End: last, Paths: paths, Optional: word != "include", Comment: comment})
		return
	case "define":
		p.inRule = false
		p.inDefine++
		name, op := cutWord(rest)
		if op == "" {
			op = "="
		}
		p.add(Stmt{Kind: Assign, Line: first, End: last, Name: name, Op: op, Value: "$(define)"})
		return
	}
	p.statement(code, comment, first, last)
}

// open begins a condition.
func (p *parser) open(text string, line int) {
	c := &Cond{Text: text, Line: line, Outer: p.cond}
	if p.cond != nil {
		c.depth = p.cond.depth + 1
	}
	if p.beyond > 0 || c.depth == maxConds {
		p.beyond++
		if p.file.deep == 0 {
			p.file.deep = line
		}
		return
	}
	p.cond = c
}

// statement is an assignment or a rule.
func (p *parser) statement(code, comment string, first, last int) {
	for {
		word, rest := cutWord(code)
		if word != "export" && word != "override" && word != "private" || rest == "" || strings.ContainsAny(rest[:1], "=:?+!") {
			break
		}
		code = rest
	}
	at, op := split(code)
	switch {
	case op == "":
		p.inRule = false
		p.add(Stmt{Kind: Other, Line: first, End: last, Text: code})
	case op != ":" && op != "::":
		p.inRule = false
		p.add(Stmt{Kind: Assign, Line: first, End: last, Comment: comment,
			Name: strings.TrimSpace(code[:at]), Op: op, Value: strings.TrimSpace(code[at+len(op):])})
	default:
		p.inRule = true
		targets, rest := code[:at], code[at+len(op):]
		if vat, vop := split(strings.TrimSpace(rest)); vop != "" && vop != ":" && vop != "::" && !strings.Contains(rest, ";") {
			rest = strings.TrimSpace(rest)
			name := strings.Fields(rest[:vat])
			if len(name) > 0 {
				p.add(Stmt{Kind: Assign, Line: first, End: last, Comment: comment, Target: strings.TrimSpace(targets),
					Name: name[len(name)-1], Op: vop, Value: strings.TrimSpace(rest[vat+len(vop):])})
				return
			}
		}
		prereqs, recipe, _ := strings.Cut(rest, ";")
		p.add(Stmt{Kind: Rule, Line: first, End: last, Targets: strings.Fields(targets),
			Prereqs: strings.Fields(prereqs), Double: op == "::", Text: strings.TrimSpace(recipe)})
	}
}

func (p *parser) add(s Stmt) {
	s.File = p.file.Name
	s.Cond = p.cond
	p.file.Stmts = append(p.file.Stmts, s)
}

// split finds the first operator outside of references: an assignment's, or the
// colons of a rule.
func split(code string) (int, string) {
	depth := 0
	for i := 0; i < len(code); i++ {
		switch c := code[i]; {
		case c == '$' && i+1 < len(code) && (code[i+1] == '(' || code[i+1] == '{'):
			depth++
			i++
		case depth > 0 && (c == '(' || c == '{'):
			depth++
		case depth > 0 && (c == ')' || c == '}'):
			depth--
		case depth > 0:
		case c == '=':
			return i, "="
		case strings.IndexByte("?+!", c) >= 0 && i+1 < len(code) && code[i+1] == '=':
			return i, code[i : i+2]
		case c == ':':
			n := i
			for n < len(code) && code[n] == ':' {
				n++
			}
			if n < len(code) && code[n] == '=' {
				return i, code[i : n+1]
			}
			if n-i >= 2 {
				return i, "::"
			}
			return i, ":"
		}
	}
	return -1, ""
}

// joinLines makes one line of a continued one, as make does.
func joinLines(raw string) string {
	if !strings.Contains(raw, "\n") {
		return raw
	}
	parts := strings.Split(raw, "\n")
	for i := range parts {
		if i > 0 {
			parts[i] = strings.TrimLeft(parts[i], " \t")
		}
		if i < len(parts)-1 {
			parts[i] = strings.TrimRight(parts[i], " \t")
		}
	}
	return strings.Join(parts, " ")
}

func splitComment(s string) (code, comment string) {
	for i := 0; i < len(s); i++ {
		if s[i] == '#' && (i == 0 || s[i-1] != '\\') {
			return s[:i], strings.TrimSpace(strings.TrimLeft(s[i:], "#"))
		}
	}
	return s, ""
}

func cutWord(s string) (word, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		// ifeq(...) without a blank is read by make, too
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}

// CommentAbove returns the comment that stands directly above line, without its
// marks, one string a line; nil if there is none.
func (f *File) CommentAbove(line int) []string {
	var lines []string
	for i := line - 2; i >= 0 && len(lines) < 12; i-- {
		t := strings.TrimSpace(f.Lines[i])
		if !strings.HasPrefix(t, "#") {
			break
		}
		lines = append([]string{strings.TrimSpace(strings.TrimLeft(t, "#"))}, lines...)
	}
	return lines
}
