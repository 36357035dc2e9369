package plist

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The .contents files are the +CONTENTS of the fixture repository's packages of
// that name, written by pkg_create 20170419.
func readList(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestParseRealList(t *testing.T) {
	t.Parallel()
	l, err := Parse(readList(t, "coreutils.contents"))
	if err != nil || len(l.Warnings) > 0 {
		t.Fatal(err, l.Warnings)
	}
	if l.Name() != "coreutils-9.5nb1" || l.Prefix() != "/opt/local" {
		t.Errorf("name %q, prefix %q", l.Name(), l.Prefix())
	}
	if got, want := strings.Join(l.Deps(), " "), "gettext-lib>=0.22 gmp>=6.3.0nb1 libiconv>=1.9.1"; got != want {
		t.Errorf("dependencies %q, want %q", got, want)
	}
	if !slices.Contains(l.Conflicts(), "fileutils-[0-9]*") {
		t.Errorf("conflicts %q", l.Conflicts())
	}
	links := 0
	for _, f := range l.Files() {
		if strings.HasPrefix(f.Arg, "+") {
			t.Errorf("%s was not ignored", f.Arg)
		}
		if (f.MD5 == "") == (f.Symlink == "") {
			t.Errorf("%s has no record, or two", f.Arg)
		}
		if f.Symlink != "" {
			links++
		}
	}
	if links == 0 {
		t.Error("no link has its record")
	}
}

func TestExpandAsRecorded(t *testing.T) {
	t.Parallel()
	l, err := Parse(readList(t, "execdemo.contents"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("../testdata/fixture/expected/install-extras.stdout")
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, e := range l.Entries {
		switch e.Kind {
		case File:
			last = e.Arg
		case Exec:
			if want := "Executing '" + Expand(e.Arg, l.Prefix(), last) + "'\n"; !strings.Contains(string(raw), want) {
				t.Errorf("not in the recording: %s", want)
			}
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	l, err := Parse([]byte("@cwd  /opt/local \t\n\n@name foo-1\nbin/a  \n@commentMD5:ABC\nbin/b\n" +
		"@comment Symlink:../x y\n@comment MD5:d\n@bogus x\n@ignore\n@ignore\n+COMMENT\n@ignore\n+DESC\nbin/c\n@pkgdir a/b"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range l.Entries {
		got = append(got, fmt.Sprintf("%d %s %q %s%s %v", e.Line, e.Kind, e.Arg, e.MD5, e.Symlink, e.Ignored))
	}
	want := []string{
		`1 @cwd "/opt/local"  false`, `3 @name "foo-1"  false`, `4 file "bin/a" abc false`,
		`5 @comment "MD5:ABC"  false`, `6 file "bin/b" ../x y false`, `7 @comment "Symlink:../x y"  false`,
		`8 @comment "MD5:d"  false`, `10 @ignore ""  false`, `11 @ignore ""  true`, `12 file "+COMMENT"  false`,
		`13 @ignore ""  false`, `14 file "+DESC"  true`, `15 file "bin/c"  false`, `16 @pkgdir "a/b"  false`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if want := []string{`packing list line 9: unknown command "@bogus x"`}; !slices.Equal(l.Warnings, want) {
		t.Errorf("warnings %q", l.Warnings)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ in, want string }{
		"empty":         {"", "no @name"},
		"no name":       {"@cwd /\n", "no @name"},
		"file first":    {"@name a-1\nbin/a\n", `line 2: file "bin/a" before any @cwd`},
		"empty cwd":     {"@cwd\n@cwd /\n@name a-1\nbin/a\n", `line 4: file "bin/a" before any @cwd`},
		"ignored cwd":   {"@ignore\n@cwd /\n@name a-1\nbin/a\n", `line 4: file "bin/a" before any @cwd`},
		"NUL":           {"@cwd /\n@name a-1\n\x00", "NUL"},
		"long line":     {"@cwd /\n@name a-1\n" + strings.Repeat("x", maxLine+1), "line 3"},
		"many entries":  {"@cwd /\n@name a-1\n" + strings.Repeat("x\n", maxEntries), "entries"},
		"too many byte": {strings.Repeat("\n", maxSize+1), "bytes"},
	} {
		if _, err := Parse([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestParseLinear reads lists of the greatest size: a prefix that comes late, and
// nothing but unknown commands.
func TestParseLinear(t *testing.T) {
	t.Parallel()
	const n = maxEntries / 2
	l, err := Parse([]byte("@name a-1\n" + strings.Repeat("@mode\n", n-2) + "@cwd /\n" + strings.Repeat("x\n", n)))
	if err != nil || len(l.Entries) != 2*n || l.Prefix() != "/" {
		t.Errorf("late @cwd: %v", err)
	}
	const unknown = 5_000_000
	l, err = Parse([]byte("@name a-1\n" + strings.Repeat("@z\n", unknown)))
	if err != nil || len(l.Warnings) != maxWarnings+1 ||
		l.Warnings[maxWarnings] != fmt.Sprintf("packing list: and %d more unknown commands", unknown-maxWarnings) {
		t.Errorf("unknown commands: %v, %d warnings", err, len(l.Warnings))
	}
	if l, err = Parse([]byte("@name a-1\n" + strings.Repeat("@z\n", maxWarnings))); err != nil || len(l.Warnings) != maxWarnings {
		t.Errorf("as many as are kept: %v, %d warnings", err, len(l.Warnings))
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ cmd, prefix, last, want string }{
		{"x %D %%D %q %", "/opt/local", "", "x '/opt/local' %%D %q %"},
		{"%F %B %f", "/p", "share/a b/c", "'share/a b/c' '/p/share/a b' 'c'"},
		{"%f", "/p", "it's", `'it'\''s'`},
	} {
		if got := Expand(tt.cmd, tt.prefix, tt.last); got != tt.want {
			t.Errorf("Expand(%q) = %q, want %q", tt.cmd, got, tt.want)
		}
	}
}

// FuzzParse checks that a list written back entry by entry reads the same.
func FuzzParse(f *testing.F) {
	f.Add(readList(f, "coreutils.contents"))
	f.Add(readList(f, "execdemo.contents"))
	f.Add([]byte("@name a-1\n@mode\n@mode\n@cwd /\nx\n@z\n@z\nx\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := Parse(raw)
		if err != nil {
			return
		}
		var b strings.Builder
		for _, e := range l.Entries {
			if e.Kind != File {
				b.WriteString(e.Kind.String() + " ")
			}
			b.WriteString(e.Arg + "\n")
		}
		again, err := Parse([]byte(b.String()))
		if err != nil {
			t.Fatalf("written back it is refused: %v", err)
		}
		for i := range l.Entries {
			l.Entries[i].Line, again.Entries[i].Line = 0, 0
		}
		if d := cmp.Diff(l.Entries, again.Entries); d != "" {
			t.Error(d)
		}
	})
}
