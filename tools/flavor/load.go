package flavor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"sort"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

const (
	maxFile    = 64 << 10 // the largest real file has 3 KiB
	maxFlavors = 200
)

// Load reads buildenv.toml and every */flavor.toml of fsys, which is the content
// of the images directory.
func Load(fsys fs.FS) (*Set, error) { return LoadWith(fsys, nil) }

// LoadWith is Load as if some files held other texts, or were there: what is wrong
// with an edit is known before it is written.
func LoadWith(fsys fs.FS, texts map[string]string) (*Set, error) {
	l := loader{texts: texts}
	set := &Set{}
	l.file(fsys, "buildenv.toml", &set.BuildEnv)
	names, err := l.flavors(fsys)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Usage.Errorf("reading the images directory: %w", err)
	}
	if err != nil {
		return nil, fault.Step.Errorf("reading the images directory: %w", err)
	}
	where := map[*Flavor]*source{}
	for _, name := range names {
		if len(set.Flavors) == maxFlavors {
			return nil, fault.Usage.Errorf("more than %d flavors in the images directory", maxFlavors)
		}
		f := &Flavor{}
		where[f] = l.file(fsys, name, f)
		set.Flavors = append(set.Flavors, f)
	}
	if l.broken != nil {
		return nil, fault.Step.Wrap(l.broken)
	}
	if len(l.problems) == 0 {
		l.check(set, where)
	}
	if len(l.problems) > 0 {
		return nil, l.err()
	}
	sort.SliceStable(set.Flavors, func(i, j int) bool {
		a, b := set.Flavors[i], set.Flavors[j]
		if c := compareVersions(a.Version(), b.Version()); c != 0 {
			return c < 0
		}
		return a.Name < b.Name
	})
	return set, nil
}

// flavors names the flavor files, sorted.
func (l *loader) flavors(fsys fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := path.Join(e.Name(), "flavor.toml")
		if _, ok := l.texts[name]; ok || !e.IsDir() {
			continue
		}
		if _, err := fs.Stat(fsys, name); !errors.Is(err, fs.ErrNotExist) {
			names = append(names, name)
		}
	}
	for name := range l.texts {
		if path.Base(name) == "flavor.toml" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names, nil
}

// source is one file as read: where each key stands, for messages.
type source struct {
	name string
	at   map[string]unstable.Position // "base.uuid", "released.1.uuid"
}

// loader gathers problems, so that one run tells them all.
type loader struct {
	texts    map[string]string // instead of files
	envFile  *source
	broken   error // a file that is there cannot be read
	problems []string
	hint     string
}

func (l *loader) err() error {
	const most = 20
	p := l.problems
	if len(p) > most {
		p = append(p[:most:most], fmt.Sprintf("and %d more problems", len(p)-most))
	}
	err := fault.Usage.Errorf("%s", strings.Join(p, "\n"))
	if l.hint == "" {
		l.hint = "mend the file named; another flavor.toml shows every key"
	}
	return fault.WithHint(err, "%s", l.hint)
}

// problem notes what is wrong with key in src; the nearest enclosing table stands
// in where the key itself is missing.
func (l *loader) problem(src *source, key, format string, args ...any) {
	pos := unstable.Position{Line: 1, Column: 1}
	for k := key; k != ""; {
		if p, ok := src.at[k]; ok {
			pos = p
			break
		}
		k = k[:max(strings.LastIndexByte(k, '.'), 0)]
	}
	l.add(src.name, pos.Line, pos.Column, fmt.Sprintf(format, args...))
}

func (l *loader) add(file string, line, col int, msg string) {
	l.problems = append(l.problems, fmt.Sprintf("images/%s:%d:%d: %s", file, line, col, msg))
}

func (l *loader) hintf(format string, args ...any) {
	if l.hint == "" {
		l.hint = fmt.Sprintf(format, args...)
	}
}

// file decodes one file into v.
func (l *loader) file(fsys fs.FS, name string, v any) *source {
	src := &source{name: name, at: map[string]unstable.Position{}}
	if name == "buildenv.toml" {
		l.envFile = src
	}
	text, given := l.texts[name]
	data, err := []byte(text), error(nil)
	if !given {
		data, err = readBounded(fsys, name)
	}
	if broken := (*fs.PathError)(nil); errors.As(err, &broken) && !errors.Is(err, fs.ErrNotExist) && l.broken == nil {
		l.broken = fmt.Errorf("images/%s: %w", name, err)
	}
	if err != nil {
		l.problems = append(l.problems, fmt.Sprintf("images/%s: %v", name, err))
		return src
	}
	if err := toml.Unmarshal(data, v); err != nil {
		var d *toml.DecodeError
		if errors.As(err, &d) {
			line, col := d.Position()
			l.add(name, line, col, plainError(strings.TrimPrefix(d.Error(), "toml: ")))
		} else {
			l.add(name, 1, 1, strings.TrimPrefix(err.Error(), "toml: "))
		}
		return src
	}
	l.keys(src, data, schema(reflect.TypeOf(v)))
	return src
}

// wrongType is how the decoder says that a value is of the wrong type; the names
// of our structs mean nothing to who writes the file.
var wrongType = regexp.MustCompile(`^cannot decode TOML (\w+) into (?:struct field \S+|a Go value) of type (\S+)$`)

func plainError(text string) string {
	m := wrongType.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	want := "a table"
	switch m[2] {
	case "bool":
		want = "true or false"
	case "string":
		want = "a string"
	case "[]string":
		want = "a list of strings"
	}
	article := "a"
	if strings.ContainsRune("aeiou", rune(m[1][0])) {
		article = "an"
	}
	return fmt.Sprintf("%s %s stands where %s is wanted", article, m[1], want)
}

// keys notes where each key stands and finds those that mean nothing. The decoder
// could refuse unknown keys too, but takes any letter case and tells no position
// of a key that is missing.
func (l *loader) keys(src *source, data []byte, known map[string][]string) {
	var p unstable.Parser
	p.Reset(data)
	prefix := ""              // of the current table, with indexes
	count := map[string]int{} // elements seen of each array of tables
	note := func(it unstable.Iterator, prefix string, array bool) string {
		key := prefix
		for it.Next() {
			n := it.Node()
			parent := plain(key)
			name := string(n.Data)
			key = join(key, name)
			if array && it.IsLast() {
				i := count[key]
				count[key]++
				key = fmt.Sprintf("%s.%d", key, i)
			}
			pos := p.Shape(n.Raw).Start
			if _, ok := src.at[key]; !ok {
				src.at[key] = pos
			}
			if fields, ok := known[parent]; ok && !contains(fields, name) {
				if near := nearest(name, fields); near != "" {
					l.hintf("did you mean %q?", near)
					l.add(src.name, pos.Line, pos.Column, fmt.Sprintf("unknown key %q (did you mean %q?)", name, near))
				} else {
					l.hintf("keys here are: %s", strings.Join(fields, " "))
					l.add(src.name, pos.Line, pos.Column, fmt.Sprintf("unknown key %q", name))
				}
			}
		}
		return key
	}
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table:
			prefix = note(e.Key(), "", false)
		case unstable.ArrayTable:
			prefix = note(e.Key(), "", true)
		case unstable.KeyValue:
			key := note(e.Key(), prefix, false)
			if v := e.Value(); v.Kind == unstable.InlineTable {
				for it := v.Children(); it.Next(); {
					note(it.Node().Key(), key, false)
				}
			}
		}
	}
}

// schema lists the keys of each table of t: "" is the file itself.
func schema(t reflect.Type) map[string][]string {
	known := map[string][]string{}
	var walk func(prefix string, t reflect.Type)
	walk = func(prefix string, t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return
		}
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("toml"), ",")
			known[prefix] = append(known[prefix], name)
			walk(join(prefix, name), t.Field(i).Type)
		}
	}
	walk("", t)
	return known
}

// plain removes indexes from a key: released.1.uuid becomes released.uuid.
func plain(key string) string {
	var out string
	for part := range strings.SplitSeq(key, ".") {
		if part != "" && strings.Trim(part, "0123456789") != "" {
			out = join(out, part)
		}
	}
	return out
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "." + b
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func readBounded(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening it: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading it: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	return data, nil
}
