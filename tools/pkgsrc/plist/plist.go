// Package plist reads packing lists, the +CONTENTS file of a package (spec
// pkgsrc.md section 4).
//
// A list is read only: whoever stores it keeps the bytes it came from. Limits:
// 16 MiB, 262144 entries, 4096 bytes a line.
package plist

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

// String returns the command's name with its "@", "file" for a file.
func (k Kind) String() string { panic("not yet") }

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
	Warnings []string // unknown commands and the like, one text each, with line numbers
}

// Parse reads a packing list. A missing @name, a first file before any @cwd,
// a NUL byte or a limit passed are errors; unknown commands are warnings.
func Parse(raw []byte) (*List, error) { panic("not yet") }

// Name is the package's full name, from the first @name.
func (l *List) Name() string { panic("not yet") }

// Prefix is the directory of the first @cwd, "" where there is none.
func (l *List) Prefix() string { panic("not yet") }

// Deps returns the patterns of the @pkgdep entries in order.
func (l *List) Deps() []string { panic("not yet") }

// Conflicts returns the patterns of the @pkgcfl entries in order.
func (l *List) Conflicts() []string { panic("not yet") }

// Files returns the file entries that are not ignored, in order.
func (l *List) Files() []Entry { panic("not yet") }

// Expand puts prefix and file into the command of an @exec or @unexec, each
// value quoted for the shell (%D %F %B %f; spec pkgsrc.md section 4). last is
// the last file entry before the command, as listed; "" where there is none.
func Expand(cmd, prefix, last string) string { panic("not yet") }
