package install

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Action names what a package wants and this package cannot do faithfully. They
// are what Options.Accept can name.
type Action string

// The actions.
const (
	ActionSMF       Action = "svccfg-import"    // a service manifest is imported
	ActionSMFSite   Action = "svccfg-site"      // the same, accepted by copying it to /var/svc/manifest/site
	ActionInstall   Action = "install-script"   // another command of +INSTALL
	ActionDeinstall Action = "deinstall-script" // another command of +DEINSTALL
	ActionExec      Action = "exec"             // an @exec that is none of the usual ones
	ActionUnexec    Action = "unexec"           // the same for @unexec
)

// Finding is a place in a package that asks for something that cannot be done
// faithfully without running it.
type Finding struct {
	Package string // full name
	File    string // +INSTALL, +DEINSTALL or +CONTENTS
	Line    int    // counted from 1
	Text    string // the line, without surrounding blanks
	Action  Action
}

func (f Finding) String() string {
	return fmt.Sprintf("%s: %s line %d: %s", f.Package, f.File, f.Line, f.Text)
}

// helpers are the scripts that +INSTALL unpacks into the record (spec pkgsrc.md
// section 8.3), with the tags of the data lines each of them works on. What they
// do is done here; FONTS, ICON_THEMES and SHLIBS run an indexer of the system,
// which is only noted.
var helpers = map[string][]string{
	"+USERGROUP":   {"GROUP", "USER"},
	"+DIRS":        {"DIR"},
	"+FILES":       {"FILE"},
	"+PERMS":       {"PERMS"},
	"+SHELL":       {"SHELL"},
	"+INFO_FILES":  {"INFO"},
	"+FONTS":       {"FONTS"},
	"+ICON_THEMES": {"ICON_THEME"},
	"+SHLIBS":      {"SHLIBS"},
}

// callable tells whether a script's frame may call a helper. The one for OCaml
// is called by every script, if it is there; only unpacking it is foreign.
func callable(name string) bool {
	_, known := helpers[name]
	return known || name == "+OCAML_FINDLIB_REGISTER"
}

// unpacked is a helper as it lies in the record.
type unpacked struct {
	name string
	body []byte
}

// message is text that a script prints on its way.
type message struct{ stage, text string }

// script is what +INSTALL or +DEINSTALL says.
type script struct {
	helpers  []unpacked
	data     map[string][]string // tag of a native or indexing helper → fields of its lines, in file order
	messages []message
	findings []Finding
}

// manifestPath finds the file an SMF finding would import, "" where it is not plain.
var manifestPath = regexp.MustCompile(`svccfg (?:-[a-z]+ )*import ["']?([^ "';|&]+)`)

// readScript takes a script apart. What it finds depends on the text alone.
func readScript(pkg, file, prefix string, raw []byte) *script {
	r := &scriptReader{
		script: &script{data: map[string][]string{}},
		pkg:    pkg, file: file,
		lines: strings.Split(string(raw), "\n"),
		resolver: resolver{vars: map[string]string{"PKG_PREFIX": prefix, "PKGNAME": pkg,
			"1": pkg, "0": "self", "SELF": "self", "PKG_METADATA_DIR": "record"}},
		helpers: map[string]*strings.Builder{},
		found:   map[place]bool{},
	}
	commands, funcs, err := parse(string(raw))
	if err != nil {
		line := 1
		fmt.Sscanf(err.Error(), "line %d", &line)
		r.finding(line, actionOfFile)
		return r.script
	}
	r.funcs = funcs
	for i := range commands {
		r.command(&commands[i])
		if r.full { // whatever comes behind cannot be told either
			return r.unread(commands[i].line)
		}
	}
	if !r.finish() {
		return r.unread(1)
	}
	return r.script
}

// maxFindings bounds what is remembered of one script.
const maxFindings = 1000

// actionOfFile stands for the action of the script's own kind.
const actionOfFile Action = ""

// place is what one finding differs by from another of the same script.
type place struct {
	line   int
	action Action
}

type scriptReader struct {
	*script
	resolver
	pkg, file string
	lines     []string
	funcs     map[string]bool
	helpers   map[string]*strings.Builder
	depth     int // of substitutions
	order     []string
	found     map[place]bool
	data      map[string][]string // see dataLines
}

func (r *scriptReader) finding(line int, a Action) {
	if a == actionOfFile {
		a = ActionInstall
		if r.file == "+DEINSTALL" {
			a = ActionDeinstall
		}
	}
	line = min(max(line, 1), len(r.lines))
	text := strings.TrimSpace(r.lines[line-1])
	at := place{line, a}
	if len(r.findings) < maxFindings && !r.found[at] {
		r.found[at] = true
		r.findings = append(r.findings, Finding{r.pkg, r.file, line, text, a})
	}
}

// dataLines are the script's lines "# TAG: fields" at column 0, in file order.
// They are sorted by tag when they are first asked for.
func (r *scriptReader) dataLines(tag string) []string {
	if r.data == nil {
		r.data = map[string][]string{}
		for _, l := range r.lines {
			if rest, ok := strings.CutPrefix(l, "# "); ok {
				if tag, _, ok := strings.Cut(rest, ": "); ok {
					r.data[tag] = append(r.data[tag], l)
				}
			}
		}
	}
	return r.data[tag]
}

// unread is a script that went beyond a bound at a line: nothing of it is done.
func (r *scriptReader) unread(line int) *script {
	r.finding(line, actionOfFile)
	return &script{data: map[string][]string{}, findings: r.findings}
}

// maxData bounds the data lines of one script; packages have some hundreds.
const maxData = 10000

// finish collects what the helpers work on; false where it is too much.
func (r *scriptReader) finish() bool {
	lines := 0
	for _, name := range r.order {
		r.script.helpers = append(r.script.helpers, unpacked{name, []byte(r.helpers[name].String())})
		for _, tag := range helpers[name] {
			lines += len(r.dataLines(tag))
			for _, l := range r.dataLines(tag) {
				r.script.data[tag] = append(r.script.data[tag], strings.TrimPrefix(l, "# "+tag+": "))
			}
		}
	}
	return lines <= maxData
}

var stageName = regexp.MustCompile(`^[A-Z]+(-[A-Z]+)*$`)

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// command sorts one simple command: usual, harmless, or a finding.
func (r *scriptReader) command(c *command) {
	if !r.substitutions(c) {
		r.finding(c.line, actionOfFile)
		return
	}
	words := c.words
	for len(words) > 0 && assignment.MatchString(words[0].text) {
		name, value, _ := strings.Cut(words[0].text, "=")
		if v, ok := r.resolve(value); ok && len(c.words) == 1 {
			r.vars[name] = v
		}
		words = words[1:]
	}
	if len(words) == 0 {
		if len(c.redirs) > 0 {
			r.finding(c.line, actionOfFile)
		}
		return
	}
	values := r.values(words, c.fn != "")
	if len(values) == 0 {
		r.finding(c.line, actionOfFile)
		return
	}
	if r.helper(c, values) {
		return
	}
	out, doc := r.redirections(c)
	name := values[0]
	if d := path.Dir(name); path.IsAbs(name) && (path.Base(d) == "bin" || path.Base(d) == "sbin") {
		name = path.Base(name)
	}
	switch {
	case name == "svccfg":
		r.finding(c.line, ActionSMF)
	case !out:
		r.finding(c.line, actionOfFile)
	case r.frame(name, values[1:]):
	case name == "echo" || name == "printf" || name == "cat":
		r.message(c, name, words, doc)
	default:
		r.finding(c.line, actionOfFile)
	}
}

// values resolves the words of a command. A function has arguments of its own.
func (r *scriptReader) values(words []token, inFunction bool) (values []string) {
	if arg, ok := r.vars["1"]; ok && inFunction {
		delete(r.vars, "1")
		defer func() { r.vars["1"] = arg }()
	}
	for _, w := range words {
		v, ok := r.resolve(w.text)
		if _, n := variable(w.text); ok && n == len(w.text) && n > 0 && w.text[0] == '$' {
			values = append(values, strings.Fields(v)...) // such as MKDIR="/usr/bin/mkdir -p"
		} else {
			values = append(values, v)
		}
	}
	return values
}

// frame knows the commands of the usual frame of a script, and those that only
// look or print.
func (r *scriptReader) frame(name string, args []string) bool {
	switch name {
	case "[", "test", ":", "true", "false", "exit", "return", "shift", "umask", "set", "export", "readonly", "unset",
		"local", "break", "continue", "read", "pwd", "dirname", "basename", "grep", "egrep", "fgrep", "expr", "tr", "cut",
		"head", "tail", "ls", "cmp", "uname", "id", "wc":
		return true
	case "sh", "ksh", "bash":
		// The script calls itself to unpack its helpers.
		return len(args) >= 3 && args[0] == "self" && args[1] == r.pkg && (args[2] == "UNPACK" || args[2] == "INIT-INSTALL")
	case "./$@", "./$1", "$@":
		return true // a function that runs the helper it is given
	case "env":
		// The script calls itself for another stage, with variables set.
		for len(args) > 0 && assignment.MatchString(args[0]) {
			args = args[1:]
		}
		return len(args) == 3 && args[0] == "self" && args[1] == r.pkg && stageName.MatchString(args[2])
	case "mkdir":
		// pkg_install makes the directory of the database.
		if r.own() && len(args) > 0 {
			dir := args[len(args)-1]
			return (len(args) == 1 || len(args) == 2 && args[0] == "-p") &&
				(dir == "${PKG_DBDIR}" || dir == "$PKG_DBDIR" || dir == r.vars["PKG_DBDIR"])
		}
	case "pkg_admin":
		// and then the database of files, where it is missing: Finish does.
		return r.own() && len(args) > 0 && args[len(args)-1] == "rebuild"
	}
	if h, ok := strings.CutPrefix(name, "./"); ok {
		return callable(h)
	}
	if r.funcs[name] {
		if len(args) > 0 && strings.HasPrefix(args[0], "+") {
			return callable(args[0])
		}
		return true
	}
	return false
}

// own tells whether the package is pkg_install, whose script is known.
func (r *scriptReader) own() bool { return strings.HasPrefix(r.pkg, "pkg_install-") }

// substitutions tells whether every `…` of a command only looks.
func (r *scriptReader) substitutions(c *command) bool {
	var subs []string
	for _, w := range c.words {
		subs = append(subs, w.subs...)
	}
	for _, d := range c.redirs {
		subs = append(subs, d.target.subs...)
		if doc := d.target.doc; doc != nil && !doc.quoted && strings.ContainsAny(doc.body, "`") || doc != nil && !doc.quoted && strings.Contains(doc.body, "$(") {
			return false
		}
	}
	if r.depth++; r.depth > maxDepth {
		return false
	}
	defer func() { r.depth-- }()
	for _, s := range subs {
		commands, _, err := parse(s)
		if err != nil {
			return false
		}
		for i := range commands {
			in := &commands[i]
			if len(in.words) == 0 {
				return false
			}
			out, _ := r.redirections(in)
			name, _ := r.resolve(in.words[0].text)
			if path.IsAbs(name) {
				name = path.Base(name)
			}
			if name == "PWD_CMD" || name == "${PWD_CMD}" {
				name = "pwd"
			}
			if !out || !r.substitutions(in) || name != "echo" && name != "cat" && (name == "sh" || !r.frame(name, nil)) {
				return false
			}
		}
	}
	return true
}

// redirections tells whether a command writes to no file, and gives its
// here-document.
func (r *scriptReader) redirections(c *command) (ok bool, doc *hereDoc) {
	for _, d := range c.redirs {
		switch d.op {
		case "<<", "<<-":
			doc = d.target.doc
		case "<", "<&", ">&":
		default:
			if to, _ := r.resolve(d.target.text); to != "/dev/null" {
				return false, doc
			}
		}
	}
	return true, doc
}

var (
	helperFile = regexp.MustCompile(`^(?:\./)?(\+[A-Z_]+)$`)
	dataFilter = regexp.MustCompile(`^/\^\\?# ([A-Z_]+): /p$`)
)

// helper handles the commands that unpack a helper: the here-document, the data
// lines behind it, and its permissions.
func (r *scriptReader) helper(c *command, values []string) bool {
	target := ""
	var doc *hereDoc
	op := ""
	for _, d := range c.redirs {
		to, _ := r.resolve(d.target.text)
		switch m := helperFile.FindStringSubmatch(to); {
		case d.op == "<<" || d.op == "<<-":
			doc = d.target.doc
		case (d.op == ">" || d.op == ">>") && m != nil:
			target, op = m[1], d.op
		}
	}
	_, known := helpers[target]
	switch {
	case op == ">" && doc != nil && doc.quoted && len(values) == 1 && len(c.redirs) == 2:
		if r.helpers[target] == nil {
			r.order = append(r.order, target)
		}
		r.helpers[target] = &strings.Builder{}
		r.helpers[target].WriteString(doc.body)
		if !known {
			r.finding(c.line, actionOfFile)
		}
		return true
	case op == ">>" && r.helpers[target] != nil && len(values) == 4 && values[1] == "-n" && values[3] == "self" && len(c.redirs) == 1:
		m := dataFilter.FindStringSubmatch(values[2])
		if m == nil {
			return false
		}
		if known && !slices.Contains(helpers[target], m[1]) {
			r.finding(c.line, actionOfFile)
		}
		if r.helpers[target].Len() > maxScript {
			return false // no helper is that long
		}
		for _, l := range r.dataLines(m[1]) {
			if !r.room(len(l) + 1) {
				return false
			}
			r.helpers[target].WriteString(l + "\n")
		}
		return true
	case len(values) >= 3 && len(c.redirs) == 0 && (path.Base(values[0]) == "chmod" && values[1] == "+x" || path.Base(values[0]) == "rm" && values[1] == "-f"):
		for _, v := range values[2:] {
			if m := helperFile.FindStringSubmatch(v); m == nil {
				return false
			}
		}
		return true
	}
	return false
}

// message keeps what a script prints for certain.
func (r *scriptReader) message(c *command, name string, words []token, doc *hereDoc) {
	if c.cond || c.stage == "" || c.fn != "" || len(c.redirs) > 0 && doc == nil || c.next == "|" {
		return
	}
	if name == "cat" {
		if doc != nil && len(words) == 1 {
			text := doc.body
			if !doc.quoted {
				text, _ = r.resolve(strings.NewReplacer(`"`, `\"`, `'`, `\'`).Replace(text))
			}
			for l := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
				r.messages = append(r.messages, message{c.stage, l})
			}
		}
		return
	}
	if name == "echo" {
		args := make([]string, len(words)-1)
		for i, w := range words[1:] {
			args[i], _ = r.resolve(w.text)
		}
		r.messages = append(r.messages, message{c.stage, strings.Join(args, " ")})
	}
}
