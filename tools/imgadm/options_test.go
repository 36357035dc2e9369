package imgadm

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	a := &app{tool: tools()["updates"]}
	options := append(importOptions(), a.globals()...)
	for _, tt := range []struct {
		args string
		want string // flags in order of their names, then the rest; or the error
	}{
		{"-c gzip", "compression=gzip"}, // not the channel
		{"-cgzip -C dev", "channel=dev compression=gzip"},
		{"--compression=xz --chan dev", "channel=dev compression=xz"},
		{"--comp= x", "compression= x"},
		{"-qh", "help= quiet="},
		{"-qm file y", "manifest=file quiet= y"},
		{"-f - -- -q --", "file=- -q --"},
		{"- -m x", "manifest=x -"},
		{"--s x", `option "--s" could be any of --sha1, --storage, --source, --skip-owner-check`},
		{"--sha1=a=b", "sha1=a=b"},
		{"--q=x", "option --quiet takes no value"},
		{"-f", "option -f needs a value"},
		{"--file", "option --file needs a value"},
		{"-qx", `unknown option: "-x"`},
		{"--=x", `unknown option: "--"`},
		{"-m a -m b", "manifest=a,b"},
	} {
		f, rest, err := parse(options, strings.Fields(tt.args))
		var got []string
		for name, values := range f {
			got = append(got, name+"="+strings.Join(values, ","))
		}
		slices.Sort(got)
		s := strings.Join(append(got, rest...), " ")
		if err != nil {
			s = err.Error()
		}
		if d := cmp.Diff(tt.want, s); d != "" {
			t.Errorf("%s: %s", tt.args, d)
		}
	}
}

// Whatever is given is refused or used whole: values and arguments together
// hold every argument.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"-C\x00dev\x00list\x00-H", "--chan=dev\x00import\x00-c\x00gzip", "-qm\x00x\x00--\x00-y", "-", "--"} {
		f.Add(s)
	}
	a := &app{tool: tools()["updates"]}
	options := append(importOptions(), a.globals()...)
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x00")
		before, name, rest, err := splitCommand(a.globals(), args)
		if err == nil && name != "" && len(before)+1+len(rest) != len(args) {
			t.Errorf("%q: arguments got lost", args)
		}
		flags, positional, err := parse(options, args)
		if err != nil {
			return
		}
		n := len(positional)
		for _, values := range flags {
			n += len(values)
		}
		if n < 1 && line != "--" && line != "-" {
			t.Errorf("%q: nothing came of it", args)
		}
	})
}
