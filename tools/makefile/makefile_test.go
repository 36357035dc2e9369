package makefile_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/makefile"
)

const sample = `# a comment
NAME = thing#after
ifeq ($(shell uname -s),SunOS)
	NODE_PREBUILT_IMAGE=abc
	include ./deps/eng/tools/mk/Makefile.node_prebuilt.defs
else
	NODE = node
endif
LIST =	one \
	two \
	three
override export V ?= 1
X ::= $(foreach a,b:c,$(a)=1)
include $(TOP)/tools/mk/own.mk $(INCMAKE)/Makefile.targ
define BODY
not = this
endef
.PHONY: all
all:: dep $(X:%=%.o) ; echo hi
	echo NAME = x \
	    more
# no rule ends here
	echo second
buildimage: export MF += a
ifneq ($(OS),SunOS)
Z=1
endif
`

func TestParse(t *testing.T) {
	t.Parallel()
	var got []string
	for _, s := range makefile.Parse("M", []byte(sample)).Stmts {
		got = append(got, fmt.Sprintf("%d-%d %d %q %q %q %q %v %v %v %v %v", s.Line, s.End, s.Kind, s.Name, s.Op, s.Value, s.Target,
			s.Paths, s.Targets, s.Prereqs, s.Double, s.Conds))
	}
	want := []string{
		`2-2 1 "NAME" "=" "thing" "" [] [] [] false []`,
		`4-4 1 "NODE_PREBUILT_IMAGE" "=" "abc" "" [] [] [] false [{ifeq ($(shell uname -s),SunOS) 3 false}]`,
		`5-5 2 "" "" "" "" [./deps/eng/tools/mk/Makefile.node_prebuilt.defs] [] [] false [{ifeq ($(shell uname -s),SunOS) 3 false}]`,
		`7-7 1 "NODE" "=" "node" "" [] [] [] false [{ifeq ($(shell uname -s),SunOS) 3 true}]`,
		`9-11 1 "LIST" "=" "one two three" "" [] [] [] false []`,
		`12-12 1 "V" "?=" "1" "" [] [] [] false []`,
		`13-13 1 "X" "::=" "$(foreach a,b:c,$(a)=1)" "" [] [] [] false []`,
		`14-14 2 "" "" "" "" [$(TOP)/tools/mk/own.mk $(INCMAKE)/Makefile.targ] [] [] false []`,
		`15-15 1 "BODY" "=" "$(define)" "" [] [] [] false []`,
		`18-18 3 "" "" "" "" [] [.PHONY] [all] false []`,
		`19-19 3 "" "" "" "" [] [all] [dep $(X:%=%.o)] true []`,
		`20-21 4 "" "" "" "" [] [] [] false []`,
		`23-23 4 "" "" "" "" [] [] [] false []`,
		`24-24 1 "MF" "+=" "a" "buildimage" [] [] [] false []`,
		`26-26 1 "Z" "=" "1" "" [] [] [] false [{ifneq ($(OS),SunOS) 25 false}]`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"images/a/Makefile": {Data: []byte(`TOP = $(shell cd ../..; pwd)
INCMAKE = ../../deps/eng/tools/mk
include $(INCMAKE)/Makefile.defs
include own.mk
include ../own.mk
include $(shell ls)
REPO := $(shell git rev-parse --show-toplevel)
include $(REPO)/common.mk
-include ../../../outside
include missing.mk
UUID = $(ORIGIN)
`)},
		"images/a/own.mk": {Data: []byte("ORIGIN = 4\ninclude own.mk\n")},
		"common.mk":       {Data: []byte("COMMON = $(ORIGIN)\n")},
		"images/own.mk":   {Data: []byte("ORIGIN += 5\n")},
	}
	if got := makefile.Find(fsys, "images/a"); got != "images/a/Makefile" {
		t.Fatal(got)
	}
	tree, err := makefile.Load(fsys, "images/a/Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := tree.Value("UUID"); v != "4 5" || !ok {
		t.Error(v, ok)
	}
	if v, ok := tree.Value("COMMON"); v != "4 5" || !ok {
		t.Error(v, ok)
	}
	if _, ok := tree.Expand("$(shell x)"); ok {
		t.Error("a function counts as known")
	}
	if s, ok := tree.Includes("Makefile.defs"); !ok || s.Where() != "images/a/Makefile:3" {
		t.Error(s, ok)
	}
	var missing []string
	for _, s := range tree.Missing {
		missing = append(missing, strings.Join(s.Paths, " "))
	}
	if d := cmp.Diff([]string{"own.mk", "$(shell", "ls)", "../../../outside", "missing.mk"}, missing); d != "" {
		t.Error(d)
	}
	if !tree.References()["ORIGIN"] || tree.References()["UUID"] {
		t.Error(tree.References())
	}
}

// Values that refer to themselves or grow without end do neither harm nor wait.
func TestExpandEnds(t *testing.T) {
	t.Parallel()
	text := "A = $(A)\nB0 = xxxxxxxxxxxxxxxx\n"
	for i := range 18 {
		text += fmt.Sprintf("B%d = $(B%d)$(B%[2]d)$(B%[2]d)$(B%[2]d)\n", i+1, i)
	}
	tree, err := makefile.Load(fstest.MapFS{"Makefile": {Data: []byte(text)}}, "Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := tree.Value("A"); ok {
		t.Error("A has a value")
	}
	if v, ok := tree.Value("B18"); ok || len(v) > 1<<20 {
		t.Error(ok, len(v))
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("else\nendif\nA=\\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := makefile.Parse("M", data)
		last := 0
		for _, s := range file.Stmts {
			if s.Line <= last || s.End < s.Line || s.End > len(file.Lines) {
				t.Fatalf("statement at %d-%d after %d of %d", s.Line, s.End, last, len(file.Lines))
			}
			last = s.End
		}
	})
}
