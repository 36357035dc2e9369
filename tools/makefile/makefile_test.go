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

// conds lists the conditions around s, outermost first.
func conds(s makefile.Stmt) []string {
	all := []string{}
	for c := s.Cond; c != nil; c = c.Outer {
		all = append([]string{fmt.Sprintf("{%s %d %v}", c.Text, c.Line, c.Else)}, all...)
	}
	return all
}

func TestParse(t *testing.T) {
	t.Parallel()
	var got []string
	for _, s := range makefile.Parse("M", []byte(sample)).Stmts {
		got = append(got, fmt.Sprintf("%d-%d %d %q %q %q %q %v %v %v %v %v", s.Line, s.End, s.Kind, s.Name, s.Op, s.Value, s.Target,
			s.Paths, s.Targets, s.Prereqs, s.Double, conds(s)))
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

func load(text string) (*makefile.Tree, error) {
	return makefile.Load(fstest.MapFS{"Makefile": {Data: []byte(text)}}, "Makefile")
}

// Statements share their conditions, and those have a bound.
func TestConditions(t *testing.T) {
	t.Parallel()
	nested := func(n int) string {
		return strings.Repeat("ifdef A\n", n) + "a = 1\nb = 2\n" + strings.Repeat("endif\n", n) + "c = 3\n"
	}
	for n, want := range map[int]string{100: "", 101: "Makefile:101: more than 100 conditions inside each other", 5000: "Makefile:101: more"} {
		text := nested(n)
		stmts := makefile.Parse("Makefile", []byte(text)).Stmts
		if len(stmts) != 3 || stmts[0].Cond != stmts[1].Cond || len(conds(stmts[0])) != 100 || stmts[2].Cond != nil {
			t.Errorf("%d deep: %d statements in %d, %d, %d conditions", n, len(stmts), len(conds(stmts[0])), len(conds(stmts[1])), len(conds(stmts[2])))
		}
		if _, err := load(text); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d deep: %v", n, err)
		}
	}
}

func TestLinesAreBounded(t *testing.T) {
	t.Parallel()
	const want = "Makefile: more than 100000 lines with all that it includes"
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"many", strings.Repeat("a=b\n", 100_000), true},
		{"too many", strings.Repeat("a=b\n", 100_001), false},
		{"many names", "include" + strings.Repeat(" x", 99_999) + "\n", true},
		{"too many names", "include" + strings.Repeat(" x", 100_000) + "\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := load(tt.text); tt.ok && err != nil || !tt.ok && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Error(err)
			}
		})
	}
	tree, err := makefile.Load(fstest.MapFS{
		"Makefile": {Data: []byte("include a\n" + strings.Repeat("\n", 60_000))}, "a": {Data: []byte(strings.Repeat("\n", 60_000))},
	}, "Makefile")
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Error(tree, err)
	}
}

// What costs a step for each byte at each line would take minutes here.
func TestLongInputs(t *testing.T) {
	t.Parallel()
	const n = 90_000
	long := strings.Repeat("x", 500_000)
	for name, text := range map[string]string{
		"continued":          strings.Repeat("\\\n", n),
		"not closed":         "A=" + strings.Repeat("$(", 400_000) + "\ninclude $(A) " + strings.Repeat("$(", 50_000) + "\n",
		"appended":           "A=" + long + "\n" + strings.Repeat("A+=b\n", n),
		"long condition":     "ifdef " + long + "\n" + strings.Repeat("else\na=b\n", n/2),
		"names grow":         "A=" + long[:60_000] + "\ninclude" + strings.Repeat(" $A$(A)", n/10) + "\n",
		"names of names":     "A=$(B)$(B)\nB=" + strings.Repeat("$(C)", 15_000) + "\nC=y\n" + strings.Repeat("include $(A)\n", n/2),
		"comments":           strings.Repeat("#\n", n),
		"words before names": "A=" + strings.Repeat("$(B) ", n/2) + "\n" + strings.Repeat("export ", n/2) + "B=1\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree, err := load(text)
			if err != nil {
				t.Fatal(err)
			}
			tree.Value("A")
			tree.References()
		})
	}
}

// Values are appended to as make does, up to what an expansion may have.
func TestAppended(t *testing.T) {
	t.Parallel()
	tree, err := load("A =\nA += b\nA +=\nA += c  d\nB += e\nC = f\nC += $(A)\nL = g\n" + strings.Repeat("L += h\n", 40_000) + "M = $(L)\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"A": "b c  d", "B": "e", "C": "f b c  d", "none": ""} {
		if v, ok := tree.Value(name); v != want || !ok {
			t.Errorf("%s is %q, %v", name, v, ok)
		}
	}
	for _, name := range []string{"L", "M"} {
		if v, ok := tree.Value(name); ok || len(v) > 64<<10 {
			t.Errorf("%s is complete with %d bytes: %v", name, len(v), ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(strings.Repeat("ifdef A\n", 102) + "a=b\nelse\n" + strings.Repeat("endif\n", 102) + "a=b"))
	f.Add([]byte(strings.Repeat("\\\n", 20) + "A+=$($(${\ninclude $(A) $(A)"))
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
