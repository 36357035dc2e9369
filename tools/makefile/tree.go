package makefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

const (
	maxFile  = 1 << 20
	maxFiles = 100
	maxLines = 100_000  // of all files, and names in their includes
	maxValue = 64 << 10 // of an expansion
	maxPath  = 4096     // bytes of a name that is included
)

// Tree is a makefile with those of its own tree that it includes, the statements
// in the order make reads them. Files of deps/eng are named (Stmt.Eng), not read.
type Tree struct {
	Files []*File // the first is the makefile itself
	Stmts []Stmt
	// Missing are includes of the component's own that could not be followed.
	Missing []Stmt
	// Dir is make's directory as seen from the top of what was read.
	Dir string

	last  map[string]*variable // as last set
	lines int                  // see maxLines
}

// variable is an unexpanded value: words joined by blanks.
type variable struct {
	words []string
	size  int  // bytes
	long  bool // has more than maxValue, which are not kept
}

func newVariable(value string) *variable { return &variable{[]string{value}, len(value), false} }

// value joins the words, once for each time they were asked for.
func (v *variable) value() string {
	if len(v.words) > 1 {
		v.words = []string{strings.Join(v.words, " ")}
	}
	return v.words[0]
}

// add appends a value.
func (v *variable) add(value string) {
	switch {
	case value == "":
	case v.size == 0:
		*v = *newVariable(value)
	case v.size+1+len(value) > maxValue:
		v.long = true
	default:
		v.words = append(v.words, value)
		v.size += 1 + len(value)
	}
}

// Names are what make looks for, in its order.
func Names() []string { return []string{"GNUmakefile", "makefile", "Makefile"} }

// Find returns the name of the makefile in dir of fsys, "" if there is none.
func Find(fsys fs.FS, dir string) string {
	for _, n := range Names() {
		if st, err := fs.Stat(fsys, path.Join(dir, n)); err == nil && st.Mode().IsRegular() {
			return path.Join(dir, n)
		}
	}
	return ""
}

// Load reads the makefile at name (a path in fsys) and what it includes. Relative
// includes are taken from make's directory, which is the one name is in; what lies
// outside of fsys is not followed.
func Load(fsys fs.FS, name string) (*Tree, error) {
	t := &Tree{Dir: path.Dir(name), last: map[string]*variable{"CURDIR": newVariable("."), "TOP": newVariable(".")}}
	if err := t.load(fsys, path.Dir(name), name); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Tree) load(fsys fs.FS, dir, name string) error {
	if len(t.Files) == maxFiles {
		return fault.Usage.Errorf("%s: more than %d makefiles include each other", t.Files[0].Name, maxFiles)
	}
	data, err := readBounded(fsys, name)
	if err != nil {
		return fault.Usage.Errorf("reading makefile %s: %w", name, err)
	}
	if t.lines += bytes.Count(data, []byte{'\n'}); t.lines > maxLines {
		return t.tooLong(name)
	}
	f := Parse(name, data)
	if f.deep > 0 {
		return fault.Usage.Errorf("%s:%d: more than %d conditions inside each other", name, f.deep, maxConds)
	}
	t.Files = append(t.Files, f)
	for _, s := range f.Stmts {
		if s.Kind == Assign && s.Target == "" {
			t.set(s)
		}
		if s.Kind != Include {
			t.Stmts = append(t.Stmts, s)
			continue
		}
		if t.lines += len(s.Paths); t.lines > maxLines {
			return t.tooLong(name)
		}
		for _, p := range s.Paths {
			one := s
			one.Paths = []string{p}
			full, _ := t.expand(p, maxPath)
			if len(full) > maxPath {
				full = "$" // is not followed
			}
			one.Eng = engFile(full)
			at := len(t.Stmts)
			t.Stmts = append(t.Stmts, one)
			if one.Eng != "" {
				continue
			}
			full = path.Join(dir, full)
			if !fs.ValidPath(full) || strings.Contains(full, "$") || t.has(full) {
				t.Missing = append(t.Missing, one)
				continue
			}
			if err := t.load(fsys, dir, full); err != nil {
				if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
					return err
				}
				t.Missing = append(t.Missing, t.Stmts[at])
			}
		}
	}
	return nil
}

func (t *Tree) tooLong(name string) error {
	if len(t.Files) > 0 {
		name = t.Files[0].Name
	}
	return fault.Usage.Errorf("%s: more than %d lines with all that it includes", name, maxLines)
}

func (t *Tree) has(name string) bool {
	for _, f := range t.Files {
		if f.Name == name {
			return true
		}
	}
	return false
}

var engRE = regexp.MustCompile(`(?:^|/)deps/eng/tools/mk/(Makefile\.[A-Za-z_.]+)$`)

func engFile(p string) string {
	if m := engRE.FindStringSubmatch(path.Clean(p)); m != nil {
		return m[1]
	}
	return ""
}

func (t *Tree) set(s Stmt) {
	old, was := t.last[s.Name]
	switch {
	case s.Op == "?=" && was && s.Name != "TOP":
	case s.Op == "+=" && was:
		old.add(s.Value)
	case s.Name == "TOP": // always make's directory, or the way up from it
		if v := s.Value; !strings.Contains(v, "$") && !path.IsAbs(v) {
			t.last["TOP"] = newVariable(v)
		} else if i := strings.LastIndex(v, "/.."); i >= 0 && strings.Contains(v, "pwd") {
			t.last["TOP"] = newVariable(strings.Trim(v[strings.Index(v, "/..")+1:i+3], "/"))
		}
	default:
		t.last[s.Name] = newVariable(s.Value)
	}
}

// Expand replaces references to variables by their last values. complete is false
// where a function or an unknown variable was left as it stands.
func (t *Tree) Expand(s string) (value string, complete bool) {
	return t.expand(s, maxValue)
}

// expand is Expand within so many bytes that variables put in.
func (t *Tree) expand(s string, most int) (value string, complete bool) {
	e := expander{t: t, complete: true, most: most}
	v := e.expand(s, 0)
	return v, e.complete
}

// top is the way from make's directory to the top of what was read.
func (t *Tree) top() string {
	if t.Dir == "." {
		return "."
	}
	return strings.TrimSuffix(strings.Repeat("../", strings.Count(t.Dir, "/")+1), "/")
}

type expander struct {
	t        *Tree
	complete bool
	written  int
	most     int // bytes to write
}

func (e *expander) expand(s string, depth int) string {
	if !strings.Contains(s, "$") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 >= len(s) {
			b.WriteByte(s[i])
			continue
		}
		end := -1
		switch s[i+1] {
		case '(', '{':
			if end = closing(s, i+1); end < 0 { // nor has what follows one
				e.complete = false
				b.WriteString(s[i:])
				return b.String()
			}
		case '$':
			b.WriteByte('$')
			i++
			continue
		}
		name := ""
		if end > 0 {
			name = s[i+2 : end]
		}
		v, ok := e.lookup(name)
		if end < 0 || !ok || depth > 20 {
			e.complete = false
			if end < 0 {
				end = i
			}
			b.WriteString(s[i : end+1])
			i = end
			continue
		}
		b.WriteString(e.expand(v, depth+1))
		i = end
	}
	return b.String()
}

// lookup is a variable's value; ok is false where it has none, or too much was
// written.
func (e *expander) lookup(name string) (value string, ok bool) {
	switch name {
	case "shell pwd", "shell /bin/pwd":
		value, ok = ".", true
	case "shell git rev-parse --show-toplevel":
		value, ok = e.t.top(), true
	default:
		v := e.t.last[name]
		if v == nil || v.long || e.written+v.size > e.most {
			return "", false
		}
		value, ok = v.value(), true
	}
	e.written += len(value)
	return value, ok && e.written <= e.most
}

// closing is where the reference ends whose parenthesis is at, -1 if it has no
// end.
func closing(s string, at int) int {
	open, shut, depth := s[at], byte(')'), 0
	if open == '{' {
		shut = '}'
	}
	for i := at; i < len(s); i++ {
		switch s[i] {
		case open:
			depth++
		case shut:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// Assigns returns the assignments to name, in reading order, without
// target-specific ones.
func (t *Tree) Assigns(name string) []Stmt {
	var all []Stmt
	for _, s := range t.Stmts {
		if s.Kind == Assign && s.Name == name && s.Target == "" {
			all = append(all, s)
		}
	}
	return all
}

// Value returns the expanded last value of name; complete as in Expand. An unset
// variable is "" and complete.
func (t *Tree) Value(name string) (value string, complete bool) {
	last := t.last[name]
	if last == nil {
		return "", true
	}
	v, complete := t.Expand(last.value())
	return strings.TrimSpace(v), complete && !last.long
}

// File returns the file of that name.
func (t *Tree) File(name string) *File {
	for _, f := range t.Files {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Includes returns the first include of a file of deps/eng/tools/mk.
func (t *Tree) Includes(eng string) (Stmt, bool) {
	for _, s := range t.Stmts {
		if s.Kind == Include && s.Eng == eng {
			return s, true
		}
	}
	return Stmt{}, false
}

// Index returns the place of the first include of eng in Stmts, -1 if none.
func (t *Tree) Index(eng string) int {
	for i, s := range t.Stmts {
		if s.Kind == Include && s.Eng == eng {
			return i
		}
	}
	return -1
}

// refRE finds references by name, also those in functions and nested ones.
var refRE = regexp.MustCompile(`\$[({]([A-Za-z_][A-Za-z0-9_.-]*)`)

// References returns every variable that a statement outside of NAME's own
// assignments refers to.
func (t *Tree) References() map[string]bool {
	refs := map[string]bool{}
	note := func(text string) {
		for _, m := range refRE.FindAllStringSubmatch(text, -1) {
			refs[m[1]] = true
		}
	}
	for _, f := range t.Files {
		for _, l := range f.Lines {
			if !strings.HasPrefix(strings.TrimSpace(l), "#") {
				note(l)
			}
		}
		seen := map[int]bool{} // lines of conditions
		var last *Cond
		for _, s := range f.Stmts {
			for c := s.Cond; c != nil && c != last; c = c.Outer {
				if seen[c.Line] {
					continue
				}
				seen[c.Line] = true
				if w := strings.Fields(c.Text); len(w) == 2 && strings.HasSuffix(w[0], "def") {
					refs[w[1]] = true
				}
			}
			last = s.Cond
		}
	}
	return refs
}

// Where returns file:line.
func (s Stmt) Where() string { return fmt.Sprintf("%s:%d", s.File, s.Line) }

// Where returns the place of s as seen from make's directory.
func (t *Tree) Where(s Stmt) string {
	if rest, ok := strings.CutPrefix(s.Where(), t.Dir+"/"); ok {
		return rest
	}
	return s.Where()
}

func readBounded(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("larger than %d bytes", maxFile)
	}
	return data, err
}

// Locate finds the top of the checkout that dir is in (it has a .git, or a
// deps/eng), at most 16 directories up, and dir as seen from there. Without one, dir
// itself is the top.
func Locate(dir string) (top, rel string) {
	at, rel := dir, "."
	for range 16 {
		for _, mark := range []string{".git", filepath.Join("deps", "eng")} {
			if _, err := os.Lstat(filepath.Join(at, mark)); err == nil {
				return at, rel
			}
		}
		parent := filepath.Dir(at)
		if parent == at {
			break
		}
		rel = path.Join(filepath.Base(at), rel)
		at = parent
	}
	return dir, "."
}

// Open reads the makefile of the component in dir; name is the makefile's, "" the
// one make would take. The tree is bounded by the checkout that dir is in. An error
// is fs.ErrNotExist where there is no makefile.
func Open(dir, name string) (*Tree, error) {
	top, rel := Locate(dir)
	root, err := os.OpenRoot(top)
	if err != nil {
		return nil, fault.Usage.Errorf("looking into %s: %w", top, err)
	}
	defer root.Close()
	if name == "" {
		if name = Find(root.FS(), rel); name == "" {
			return nil, fault.WithHint(fault.Usage.Errorf("%s has no makefile: %w", dir, fs.ErrNotExist), "run it in a component's directory")
		}
	} else {
		name = path.Join(rel, filepath.ToSlash(name))
	}
	return Load(root.FS(), name)
}
