// Package plist reads packing lists, the +CONTENTS file of a package (spec
// pkgsrc.md section 4).
//
// A list is read only: whoever stores it keeps the bytes it came from. Limits:
// 16 MiB, 262144 entries, 4096 bytes a line.
package plist

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

const (
	maxSize    = 16 << 20
	maxEntries = 1 << 18
	maxLine    = 4096

	maxWarnings = 100
)

// Kind is what an entry is.
type Kind uint8

// The kinds of entries; all but File are commands ("@" and the name).
const (
	File Kind = iota // a file relative to the prefix; Arg is its name as listed
	Cwd
	Src
	Exec
	Unexec
	Mode
	Owner
	Group
	Comment
	Ignore
	Name
	Display
	PkgDep
	BldDep
	PkgCfl
	PkgDir
	DirRm
	Option
)

// commands in the order in which they are tried, each as a prefix of the line:
// "@commentfoo" is a comment.
var commands = [...]struct {
	name string
	kind Kind
}{
	{"@cwd", Cwd}, {"@src", Src}, {"@exec", Exec}, {"@unexec", Unexec}, {"@mode", Mode},
	{"@owner", Owner}, {"@group", Group}, {"@comment", Comment}, {"@ignore", Ignore},
	{"@name", Name}, {"@display", Display}, {"@pkgdep", PkgDep}, {"@blddep", BldDep},
	{"@pkgcfl", PkgCfl}, {"@pkgdir", PkgDir}, {"@dirrm", DirRm}, {"@option", Option},
}

// String returns the command's name with its "@", "file" for a file.
func (k Kind) String() string {
	for _, c := range commands {
		if c.kind == k {
			return c.name
		}
	}
	return "file"
}

// Entry is one line of the list.
type Entry struct {
	Kind Kind
	Arg  string // file name, or the command's argument without surrounding blanks
	Line int    // counted from 1

	// Ignored entries follow an @ignore and are to be skipped; the @ignore
	// itself is an entry of its own.
	Ignored bool

	// Records of a file, from the @comment straight after it (which is an entry
	// of its own too).
	MD5     string // lower-case hex; "" without such a record
	Symlink string // link target; "" without such a record
}

// List is a packing list in its own order.
type List struct {
	Entries  []Entry
	Warnings []string // unknown commands, one text each, with line numbers; after a hundred how many more
}

// parser remembers what of the lines so far decides about the next one.
type parser struct {
	*List
	cwd, prefix bool // a first @cwd was there, and says something
	more        int  // warnings that are only counted
}

// Parse reads a packing list. A missing @name, a first file before any @cwd,
// a NUL byte or a limit passed are errors; unknown commands are warnings.
func Parse(raw []byte) (*List, error) {
	switch {
	case len(raw) > maxSize:
		return nil, fmt.Errorf("packing list has %d bytes, at most %d are read", len(raw), maxSize)
	case bytes.IndexByte(raw, 0) >= 0:
		return nil, errors.New("packing list has a NUL byte")
	}
	l := &List{}
	p := parser{List: l}
	number := 0
	for line := range strings.SplitSeq(string(raw), "\n") {
		number++
		line = strings.TrimRight(line, blanks)
		if line == "" {
			continue
		}
		if len(line) > maxLine || len(l.Entries) >= maxEntries {
			return nil, fmt.Errorf("packing list line %d: over %d bytes or %d entries", number, maxLine, maxEntries)
		}
		if err := p.add(line, number); err != nil {
			return nil, fmt.Errorf("packing list line %d: %w", number, err)
		}
	}
	if l.Name() == "" {
		return nil, errors.New("packing list has no @name")
	}
	if p.more > 0 {
		l.Warnings = append(l.Warnings, fmt.Sprintf("packing list: and %d more unknown commands", p.more))
	}
	return l, nil
}

const blanks = " \t\r\v\f"

func (p *parser) add(line string, number int) error {
	e := Entry{Kind: File, Arg: line, Line: number}
	if line[0] == '@' {
		var ok bool
		if e.Kind, e.Arg, ok = command(line); !ok {
			if len(p.Warnings) >= maxWarnings {
				p.more++
				return nil
			}
			p.Warnings = append(p.Warnings, fmt.Sprintf("packing list line %d: unknown command %.80q", number, line))
			return nil
		}
	}
	if n := len(p.Entries); n > 0 {
		last := &p.Entries[n-1]
		e.Ignored = last.Kind == Ignore && !last.Ignored
		if e.Kind == Comment && last.Kind == File {
			last.record(e.Arg)
		}
	}
	if e.Kind == File && !e.Ignored && !p.prefix {
		return fmt.Errorf("file %.80q before any @cwd", line)
	}
	if e.Kind == Cwd && !e.Ignored && !p.cwd {
		p.cwd, p.prefix = true, e.Arg != ""
	}
	p.Entries = append(p.Entries, e)
	return nil
}

func command(line string) (kind Kind, arg string, ok bool) {
	for _, c := range commands {
		if rest, ok := strings.CutPrefix(line, c.name); ok {
			return c.kind, strings.Trim(rest, blanks), true
		}
	}
	return File, "", false
}

func (e *Entry) record(comment string) {
	if hex, ok := strings.CutPrefix(comment, "MD5:"); ok {
		e.MD5 = strings.ToLower(hex)
	} else if target, ok := strings.CutPrefix(comment, "Symlink:"); ok {
		e.Symlink = target
	}
}

// Name is the package's full name, from the first @name.
func (l *List) Name() string { return l.first(Name) }

// Prefix is the directory of the first @cwd, "" where there is none.
func (l *List) Prefix() string { return l.first(Cwd) }

func (l *List) first(k Kind) string {
	for i := range l.Entries {
		if l.Entries[i].Kind == k && !l.Entries[i].Ignored {
			return l.Entries[i].Arg
		}
	}
	return ""
}

// Deps returns the patterns of the @pkgdep entries in order.
func (l *List) Deps() []string { return l.args(PkgDep) }

// Conflicts returns the patterns of the @pkgcfl entries in order.
func (l *List) Conflicts() []string { return l.args(PkgCfl) }

func (l *List) args(k Kind) (args []string) {
	for i := range l.Entries {
		if l.Entries[i].Kind == k && !l.Entries[i].Ignored {
			args = append(args, l.Entries[i].Arg)
		}
	}
	return args
}

// Files returns the file entries that are not ignored, in order.
func (l *List) Files() (files []Entry) {
	for i := range l.Entries {
		if l.Entries[i].Kind == File && !l.Entries[i].Ignored {
			files = append(files, l.Entries[i])
		}
	}
	return files
}
