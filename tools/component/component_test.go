package component_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/images"
	"github.com/TritonDataCenter/engbld/tools/buildenv"
	"github.com/TritonDataCenter/engbld/tools/component"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/finding"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/newfile"
)

func load(t *testing.T) *flavor.Set {
	t.Helper()
	set, err := flavor.Load(images.FS)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// write makes files of a checkout below a new directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "deps", "eng"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

const good = `NAME = ledger
ENGBLD_USE_BUILDIMAGE	= true
include ./deps/eng/tools/mk/Makefile.defs
BUILD_PLATFORM = 20210826T002459Z
ifeq ($(shell uname -s),SunOS)
	NODE_PREBUILT_VERSION = v6.17.1
	NODE_PREBUILT_TAG = zone64
	# sdcnode of minimal-64-lts@21.4.0
	NODE_PREBUILT_IMAGE = a7199134-7e94-11ec-be67-db6f482136c2
	include ./deps/eng/tools/mk/Makefile.node_prebuilt.defs
	include ./deps/eng/tools/mk/Makefile.agent_prebuilt.defs
endif
# our base image is triton-origin-x86_64-21.4.0
BASE_IMAGE_UUID = 502eeef2-8267-489f-b19c-a206906f57ef # not the minimal one
BUILDIMAGE_PKGSRC = curl haproxy-2.6.1 \
	coreutils-9.0 \
	gsed # for the boot scripts
AGENTS = amon config
JS_FILES := $(shell find lib -name '*.js')
JSSTYLE_FILES = $(JS_FILES)
RELEASE_TARBALL := $(NAME)-pkg-$(STAMP).tar.gz
all:
	$(NPM) install
clean::
	rm -rf x
include ./deps/eng/tools/mk/Makefile.deps
ifeq ($(shell uname -s),SunOS)
	include ./deps/eng/tools/mk/Makefile.node_prebuilt.targ
	include ./deps/eng/tools/mk/Makefile.agent_prebuilt.targ
endif
include ./deps/eng/tools/mk/Makefile.targ
`

const pipeline = `pipeline {
    agent { label joyCommonLabels(image_ver: '21.4.0', pi: '20210826T002459Z') }
    parameters { booleanParam(name: 'BUILD_21_4_0', defaultValue: false) }
    stages { stage('image on 21.4.0') { when { environment name: 'BUILD_21_4_0', value: 'true' } } }
}
`

func TestDoctor(t *testing.T) {
	t.Parallel()
	const (
		base  = "BASE_IMAGE_UUID = 502eeef2-8267-489f-b19c-a206906f57ef # not the minimal one"
		above = "# our base image is triton-origin-x86_64-21.4.0\n"
		mk    = "include ./deps/eng/tools/mk/Makefile."
	)
	swap := func(pairs ...string) string {
		s := good
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(s, pairs[i]) {
				t.Fatalf("%q is not in it", pairs[i])
			}
			s = strings.Replace(s, pairs[i], pairs[i+1], 1)
		}
		return s
	}
	for _, tt := range []struct {
		name, text string
		want       []string // VERDICT CHECK: a part of What
	}{
		{"good", good, []string{"warn origin-age: outdated; the newest is triton-origin-x86_64-24.4.1@"}},
		{"the newest", swap(above+base, "# triton-origin-x86_64-24.4.1\nBASE_IMAGE_UUID = 4dd8810e-10a8-49d1-b37b-1c4e32ed6c05"), []string{
			"warn node-image: no node build is known for triton-origin-x86_64-24.4.1", "warn jenkins: agents of image_ver 21.4.0 build it, its base image is of 24.4.1"}},
		{"a lie above", swap(above+base, "# Default origin image: triton-origin-x86_64-24.4.1\nBASE_IMAGE_UUID ?= 41bd4100-eb86-409a-85b0-e649aadf6f62"), []string{
			"fail base-image: the comment says triton-origin-x86_64-24.4.1, but 41bd4100-eb86-409a-85b0-e649aadf6f62 is minimal-64-lts@24.4.1",
			"warn node-image: ", "warn jenkins: "}},
		{"a lie beside", swap(above+base, "BASE_IMAGE_UUID = a7199134-7e94-11ec-be67-db6f482136c2 # triton-origin-x86_64-21.4.0@master"), []string{
			"fail base-image: is minimal-64-lts@21.4.0", "warn origin-age: "}},
		{"a lie through a variable", swap(above+base, "# triton-origin-x86_64-24.4.1\nORIGIN = 41bd4100-eb86-409a-85b0-e649aadf6f62\n# triton-origin-x86_64-24.4.1\nBASE_IMAGE_UUID = $(ORIGIN)"), []string{
			"fail base-image: is minimal-64-lts@24.4.1", "warn node-image: ", "warn jenkins: "}},
		{"another version", swap(above, "# triton-origin-x86_64-19.4.0\n"), []string{"fail base-image: the comment says triton-origin-x86_64-19.4.0", "warn origin-age: "}},
		{"another arch", swap(above, "# triton-origin-multiarch-21.4.0\n"), []string{"warn base-image: the comment says triton-origin-multiarch-21.4.0", "warn origin-age: "}},
		{"minimal, openly", swap(above+base, "# minimal-64-lts 21.4.0\nBASE_IMAGE_UUID = a7199134-7e94-11ec-be67-db6f482136c2"), []string{
			"warn base-image: minimal-64-lts@21.4.0 is not an origin image", "warn origin-age: "}},
		{"unknown", swap(base, "BASE_IMAGE_UUID = 00000000-0000-0000-0000-000000000001"), []string{"warn base-image: nothing is known of image"}},
		{"none", swap(base, ""), []string{"fail base-image: BASE_IMAGE_UUID is not set"}},
		{"other node", swap("a7199134-7e94-11ec-be67-db6f482136c2", "c2c31b00-1d60-11e9-9a77-ff9f06554b0f"), []string{
			"warn origin-age: ", "warn node-image: NODE_PREBUILT_IMAGE is minimal-64-lts@18.4.0"}},
		{"misspelt", swap("AGENTS = amon config", "AGENTS = amon config\nDIST_CLEAN_FILES += x\nENGBLD_NOBODY_READS = 1\nexport OWN_THING = 1"), []string{
			"warn origin-age: ", "fail variables: DIST_CLEAN_FILES is not", "warn variables: nothing reads ENGBLD_NOBODY_READS"}},
		{"too late", swap("ENGBLD_USE_BUILDIMAGE	= true\n", "", "AGENTS =", "ENGBLD_USE_BUILDIMAGE = true\nAGENTS ="), []string{
			"warn origin-age: ", "fail order: ENGBLD_USE_BUILDIMAGE must be set before Makefile.defs is included (Makefile:2)"}},
		{"too early", swap("BUILD_PLATFORM = 20210826T002459Z\n", "", "NAME =", "BUILD_PLATFORM = 20210826T002459Z\nNAME ="), []string{
			"warn origin-age: ", "fail order: BUILD_PLATFORM must be set after Makefile.defs"}},
		{"after targ", good + "BASH_FILES = x\nENGBLD_DEST_OUT_PATH ?= /x\n", []string{
			"warn origin-age: ", "fail order: BASH_FILES must be set before Makefile.targ", "warn order: ENGBLD_DEST_OUT_PATH ?= after Makefile.defs"}},
		{"one colon", swap("clean::", "clean:"), []string{"warn origin-age: ", "fail targets: clean has a rule with one colon"}},
		{"half", swap("	"+mk+"agent_prebuilt.targ\n", "", mk+"deps", mk+"go_prebuilt.targ"), []string{
			"warn origin-age: ", "fail order: Makefile.go_prebuilt.targ is included, Makefile.go_prebuilt.defs is not", "fail order: Makefile.agent_prebuilt.defs is included, Makefile.agent_prebuilt.targ is not"}},
		{"no targ", swap(mk+"targ", "X ="), []string{"warn origin-age: ", "warn order: Makefile.targ is not included"}},
		{"no component", "all:\n\techo\n", []string{"warn includes: nothing of deps/eng"}},
		{"an origin image", "NAME = triton-origin-x86_64-21.4.0\nENGBLD_USE_BUILDIMAGE := true\n" + mk + "defs\nBASE_IMAGE_UUID = a7199134-7e94-11ec-be67-db6f482136c2\n" + mk + "targ\n", nil},
		{"depends", swap(base, "ifdef X\nBASE_IMAGE_UUID = 502eeef2-8267-489f-b19c-a206906f57ef\nelse\nBASE_IMAGE_UUID = a9368831-958e-432d-a031-f8ce6768d190\nendif"), []string{"skip base-image: depends on conditions"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, map[string]string{"Makefile": tt.text, "Jenkinsfile": pipeline})
			r, err := component.Doctor(t.Context(), component.Options{Dir: dir, Flavors: load(t)})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range r.Findings {
				if f.Verdict != finding.OK {
					got = append(got, string(f.Verdict)+" "+f.Check+": "+f.What)
				}
				if (f.Verdict == finding.Fail || f.Verdict == finding.Warn) && (f.Why == "" || f.Mend == "") {
					t.Errorf("no reason or no way out: %+v", f)
				}
			}
			same := len(got) == len(tt.want)
			for i := 0; same && i < len(got); i++ {
				head, part, _ := strings.Cut(tt.want[i], ": ")
				same = strings.HasPrefix(got[i], head+": ") && strings.Contains(got[i], part)
			}
			if !same {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			if fails := component.Err(r) != nil; fails == r.Good() || fails && fault.KindOf(component.Err(r)) != fault.Drift {
				t.Error(component.Err(r))
			}
		})
	}
}

// askable answers for make.
type askable struct {
	buildenv.System
	out buildenv.Output
}

func (a askable) Run(_ context.Context, c buildenv.Cmd) (buildenv.Output, error) {
	if c.Args[0] == "uname" {
		return buildenv.Output{Stdout: "Linux\n"}, nil
	}
	return a.out, nil
}

func (a askable) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }
func (a askable) Executable(string) bool               { return false }

// Where the text does not tell, make does, and its errors are shown.
func TestDoctorAsksMake(t *testing.T) {
	t.Parallel()
	text := strings.Replace(good, "BASE_IMAGE_UUID = 502eeef2-8267-489f-b19c-a206906f57ef", "BASE_IMAGE_UUID = $(shell tools/which)", 1)
	dir := write(t, map[string]string{"Makefile": text})
	first := func(out buildenv.Output) string {
		r, err := component.Doctor(t.Context(), component.Options{Dir: dir, Flavors: load(t), System: askable{out: out}, Getenv: func(string) string { return "" }})
		if err != nil {
			t.Fatal(err)
		}
		return string(r.Findings[0].Verdict) + " " + r.Findings[0].What
	}
	if got := first(buildenv.Output{Stdout: "BASE_IMAGE_UUID=502eeef2-8267-489f-b19c-a206906f57ef\n"}); !strings.HasPrefix(got, "ok triton-origin-x86_64-21.4.0") {
		t.Error(got)
	}
	if got := first(buildenv.Output{Status: 2, Stderr: "Makefile:9: *** stop.\n"}); !strings.HasPrefix(got, "warn ") || !strings.Contains(got, "*** stop") {
		t.Error(got)
	}
	if got := first(buildenv.Output{Stdout: "BASE_IMAGE_UUID=\n"}); !strings.HasPrefix(got, "fail ") {
		t.Error(got)
	}
}

func TestBump(t *testing.T) {
	t.Parallel()
	const (
		to244 = "4dd8810e-10a8-49d1-b37b-1c4e32ed6c05"
		min64 = "41bd4100-eb86-409a-85b0-e649aadf6f62"
	)
	up := map[string]string{
		"Makefile": strings.NewReplacer(
			"triton-origin-x86_64-21.4.0", "triton-origin-x86_64-24.4.1", "502eeef2-8267-489f-b19c-a206906f57ef", to244,
			"= curl haproxy-2.6.1 \\\n\tcoreutils-9.0 \\\n\tgsed # for", "= haproxy-2.6.1 \\\n # for").Replace(good),
		"Jenkinsfile": strings.NewReplacer("21.4.0", "24.4.1", "21_4_0", "24_4_1").Replace(pipeline),
	}
	// Going to 19.4.0 there is a node that fits.
	down := map[string]string{
		"Makefile": strings.NewReplacer(
			"triton-origin-x86_64-21.4.0", "triton-origin-x86_64-19.4.0", "502eeef2-8267-489f-b19c-a206906f57ef", "59ba2e5e-976f-4e09-8aac-a4a7ef0395f5",
			"minimal-64-lts@21.4.0", "minimal-64-lts@19.4.0", "a7199134-7e94-11ec-be67-db6f482136c2", "5417ab20-3156-11ea-8b19-2b66f5e7a439",
			"= curl haproxy-2.6.1 \\\n\tcoreutils-9.0 \\\n\tgsed # for", "= haproxy-2.6.1 \\\n # for").Replace(good),
		"Jenkinsfile": strings.NewReplacer("21.4.0", "19.4.0", "21_4_0", "19_4_0").Replace(pipeline),
	}
	shared := map[string]string{
		"images/api/Makefile": "NAME = api\nREPO_ROOT := $(shell git rev-parse --show-toplevel)\ninclude ../common.mk\ninclude $(REPO_ROOT)/deps/eng/tools/mk/Makefile.defs\nBUILDIMAGE_PKGSRC = \\\n\tcurl\\\n\tsudo\n",
		"images/common.mk":    "# Default origin image: triton-origin-x86_64-24.4.1\nBASE_IMAGE_UUID ?= " + min64,
	}
	sharedUp := map[string]string{
		"images/api/Makefile": strings.Replace(shared["images/api/Makefile"], "BUILDIMAGE_PKGSRC = \\\n\tcurl\\\n\tsudo\n", "BUILDIMAGE_PKGSRC =\n", 1),
		"images/common.mk":    strings.Replace(shared["images/common.mk"], min64, to244, 1),
	}
	for _, tt := range []struct {
		name      string
		have      map[string]string
		dir, to   string
		from      string
		want      map[string]string
		wantNotes []string
	}{
		{"up", map[string]string{"Makefile": good, "Jenkinsfile": pipeline}, ".", "24.4.1", "", up,
			[]string{"no node build is known", "dropped", "just this version: haproxy-2.6.1"}},
		{"by uuid", map[string]string{"Makefile": good, "Jenkinsfile": pipeline}, ".", to244, "", up, []string{"no node", "dropped", "just this"}},
		{"to one with node", map[string]string{"Makefile": good, "Jenkinsfile": pipeline}, ".", "triton-origin-x86_64-19.4.0", "", down, []string{"dropped", "just this"}},
		{"the lie, in a monorepo", shared, "images/api", "24.4.1", "", sharedUp, []string{"dropped", "BUILD_PLATFORM = 20210826T002459Z"}},
		{"already", map[string]string{"Makefile": "BASE_IMAGE_UUID = " + to244 + "\nBUILD_PLATFORM = 20210826T002459Z\n"}, ".", "24.4.1", "", nil, nil},
		{"one of two", map[string]string{"Makefile": "ifdef X\nBASE_IMAGE_UUID = 1d000000-0000-0000-0000-000000000000\nelse\nBASE_IMAGE_UUID = 2d000000-0000-0000-0000-000000000000\nendif\n"}, ".", "18.4.0",
			"2d000000-0000-0000-0000-000000000000",
			map[string]string{"Makefile": "ifdef X\nBASE_IMAGE_UUID = 1d000000-0000-0000-0000-000000000000\nelse\nBASE_IMAGE_UUID = a9368831-958e-432d-a031-f8ce6768d190\nendif\n"}, nil},
		{"an image of one's own", map[string]string{"Makefile": "BASE_IMAGE_UUID = " + min64 + "\n"}, ".", "1d000000-0000-0000-0000-000000000000", "",
			map[string]string{"Makefile": "BASE_IMAGE_UUID = 1d000000-0000-0000-0000-000000000000\n"}, []string{"nothing is known of image"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			top := write(t, tt.have)
			b, err := component.Plan(component.BumpOptions{Dir: filepath.Join(top, tt.dir), Flavors: load(t), To: tt.to, From: tt.from})
			if err != nil {
				t.Fatal(err)
			}
			if len(b.Notes) != len(tt.wantNotes) {
				t.Errorf("notes %q", b.Notes)
			}
			for i := 0; i < min(len(b.Notes), len(tt.wantNotes)); i++ {
				if !strings.Contains(b.Notes[i], tt.wantNotes[i]) {
					t.Errorf("note %q, want %q", b.Notes[i], tt.wantNotes[i])
				}
			}
			if diff, err := b.Diff(); err != nil || (diff == "") != (len(tt.want) == 0) {
				t.Error(diff, err)
			}
			if d := cmp.Diff(tt.have, read(t, top, tt.have)); d != "" {
				t.Errorf("planning changed files: %s", d)
			}
			if err := b.Write(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if want == nil {
				want = tt.have
			}
			if d := cmp.Diff(want, read(t, top, want)); d != "" {
				t.Error(d)
			}
			again, err := component.Plan(component.BumpOptions{Dir: filepath.Join(top, tt.dir), Flavors: load(t), To: tt.to})
			if tt.from == "" && (err != nil || len(again.Files) != 0) {
				t.Errorf("a second time: %+v %v", again, err)
			}
			leftovers(t, top)
		})
	}
}

func read(t *testing.T, top string, names map[string]string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for n := range names {
		data, err := os.ReadFile(filepath.Join(top, n))
		if err != nil {
			t.Fatal(err)
		}
		got[n] = string(data)
	}
	return got
}

func leftovers(t *testing.T, top string) {
	t.Helper()
	err := filepath.WalkDir(top, func(name string, _ fs.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(name), ".engbld-") {
			t.Errorf("left behind: %s", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestBumpRefuses(t *testing.T) {
	t.Parallel()
	two := "BASE_IMAGE_UUID = 1d000000-0000-0000-0000-000000000000\nBASE_IMAGE_UUID = 2d000000-0000-0000-0000-000000000000\n"
	for _, tt := range []struct{ name, text, to, from string }{
		{"unknown flavor", good, "24.4.2", ""},
		{"never released", good, "23.4.0", ""},
		{"a flavor's base", good, "41bd4100-eb86-409a-85b0-e649aadf6f62", ""},
		{"no uuid", "BASE_IMAGE_UUID = $(X)\n", "24.4.1", ""},
		{"several", two, "24.4.1", ""},
		{"not among them", two, "24.4.1", "3d000000-0000-0000-0000-000000000000"},
	} {
		dir := write(t, map[string]string{"Makefile": tt.text})
		if _, err := component.Plan(component.BumpOptions{Dir: dir, Flavors: load(t), To: tt.to, From: tt.from}); fault.KindOf(err) != fault.Usage || fault.Hint(err) == "" {
			t.Errorf("%s: %v (%s)", tt.name, err, fault.Hint(err))
		}
	}
	_, err := component.Plan(component.BumpOptions{Dir: t.TempDir(), Flavors: load(t), To: "24.4.1"})
	if !errors.Is(err, fs.ErrNotExist) || fault.KindOf(err) != fault.Usage {
		t.Error(err)
	}
}

// All files or none; permissions stay; a changed file is not overwritten.
func TestBumpWrite(t *testing.T) {
	t.Parallel()
	have := map[string]string{"Makefile": good, "Jenkinsfile": pipeline}
	top := write(t, have)
	if err := os.Chmod(filepath.Join(top, "Makefile"), 0o600); err != nil {
		t.Fatal(err)
	}
	plan := func() *component.Bump {
		b, err := component.Plan(component.BumpOptions{Dir: top, Flavors: load(t), To: "24.4.1"})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := plan()
	have["Makefile"] += "# added\n"
	if err := os.WriteFile(filepath.Join(top, "Makefile"), []byte(have["Makefile"]), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Write(t.Context()); fault.KindOf(err) != fault.Drift {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := plan().Write(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if d := cmp.Diff(have, read(t, top, have)); d != "" {
		t.Error(d)
	}
	left, err := newfile.Create(filepath.Join(top, "Jenkinsfile"), 0o600) // by a run that was killed
	if err != nil {
		t.Fatal(err)
	}
	left.Close()
	if err := plan().Write(t.Context()); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(have, read(t, top, have)); d == "" {
		t.Error("nothing was written")
	}
	if st, err := os.Stat(filepath.Join(top, "Makefile")); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st, err)
	}
	leftovers(t, top)
}

func run(t *testing.T, dir string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, story bytes.Buffer
	cmd := component.Command(component.Env{Stdout: &out, Stderr: &story, Getenv: func(string) string { return "" }, Dir: dir,
		System: askable{}, Flavors: func() (*flavor.Set, error) { return load(t), nil }})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), story.String(), err
}

func TestUsage(t *testing.T) {
	t.Parallel()
	top := write(t, map[string]string{
		"a/Makefile":             good,
		"b/Makefile":             "BASE_IMAGE_UUID = 502eeef2-8267-489f-b19c-a206906f57ef\n",
		"c/Makefile":             "BASE_IMAGE_UUID = 4dd8810e-10a8-49d1-b37b-1c4e32ed6c05\n",
		"mono/images/x/Makefile": "include ../common.mk\n",
		"mono/images/y/Makefile": "include ../common.mk\n",
		"mono/images/common.mk":  "BASE_IMAGE_UUID ?= 41bd4100-eb86-409a-85b0-e649aadf6f62\n",
		"agent/GNUmakefile":      "NODE_PREBUILT_IMAGE = 5417ab20-3156-11ea-8b19-2b66f5e7a439\n",
		"own/Makefile":           "BASE_IMAGE_UUID = 1d000000-0000-0000-0000-000000000000\n",
		"tool/Makefile":          "all:\n",
		"notes/README":           "no component\n",
		"mono/deps/eng/README":   "",
	})
	if err := os.Remove(filepath.Join(top, "deps", "eng")); err != nil {
		t.Fatal(err)
	}
	out, story, err := run(t, top, "usage", ".")
	if err != nil || story != "" {
		t.Fatal(story, err)
	}
	want := `4dd8810e-10a8-49d1-b37b-1c4e32ed6c05  triton-origin-x86_64-24.4.1@master-20250116T175211Z-gb17eb8e  2024Q4, newest
    base of 1: c
41bd4100-eb86-409a-85b0-e649aadf6f62  minimal-64-lts@24.4.1  2024Q4, no origin image
    base of 2: mono/images/x mono/images/y
502eeef2-8267-489f-b19c-a206906f57ef  triton-origin-x86_64-21.4.0@master-20220322T012137Z-g9382491  2021Q4, outdated
    base of 2: a b
5417ab20-3156-11ea-8b19-2b66f5e7a439  minimal-64-lts@19.4.0  2019Q4, no origin image
    node of 1: agent
1d000000-0000-0000-0000-000000000000  unknown
    base of 1: own
not in use: triton-origin-multiarch-15.4.1@1.0.1 triton-origin-x86_64-18.4.0@master-20190410T193647Z-g982b0ce triton-origin-x86_64-19.4.0@master-20200130T200825Z-gbb45b8d
without a fixed image: 1
    tool
`
	if d := cmp.Diff(want, out); d != "" {
		t.Error(d)
	}
	out, _, err = run(t, top, "usage", "--json", "a", "b")
	var u component.Usage
	if jerr := json.Unmarshal([]byte(out), &u); jerr != nil || err != nil || len(u.Images) != 1 || len(u.Images[0].Base) != 2 {
		t.Error(out, jerr, err)
	}
	if _, _, err := run(t, top, "usage"); fault.KindOf(err) != fault.Usage {
		t.Error(err)
	}
	if _, _, err := run(t, top, "usage", "nowhere"); fault.KindOf(err) != fault.Usage {
		t.Error(err)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	top := write(t, map[string]string{"Makefile": good, "Jenkinsfile": pipeline})
	out, story, err := run(t, top, "origin-bump", "24.4.1")
	if err != nil || !strings.Contains(out, "+BASE_IMAGE_UUID = 4dd8810e") || !strings.Contains(story, "--write") {
		t.Error(out, story, err)
	}
	if data, err := os.ReadFile(filepath.Join(top, "Makefile")); err != nil || string(data) != good {
		t.Error("written without --write", err)
	}
	if _, story, err := run(t, top, "origin-bump", "24.4.1", "--write"); err != nil || !strings.Contains(story, "2 files changed") {
		t.Error(story, err)
	}
	if out, story, err := run(t, top, "origin-bump", "24.4.1", "--write"); err != nil || out != "" || !strings.Contains(story, "already") {
		t.Error(out, story, err)
	}
	out, _, err = run(t, top, "doctor", "--json")
	var reports []finding.Report
	if jerr := json.Unmarshal([]byte(out), &reports); jerr != nil || err != nil || len(reports) != 1 {
		t.Error(out, jerr, err)
	}
	bad := write(t, map[string]string{"Makefile": "DIST_CLEAN_FILES = x\n"})
	if out, _, err := run(t, bad, "doctor", ".", top); fault.KindOf(err) != fault.Drift || !strings.Contains(out, "ledger\n") {
		t.Error(out, err)
	}
}

// What makefiles hold and directories are called moves no cursor.
func TestPlainText(t *testing.T) {
	t.Parallel()
	const bad = "\x1b[2J"
	top := write(t, map[string]string{"Makefile": strings.Replace(good, "BUILDIMAGE_PKGSRC", "UNUSED", 1) + "BUILDIMAGE_PKGSRC += curl-7" + bad + "\n"})
	_, story, err := run(t, top, "origin-bump", "24.4.1")
	if err != nil || strings.Contains(story, "\x1b") || !strings.Contains(story, "curl-7") {
		t.Errorf("%v\n%q", err, story)
	}
	top = write(t, map[string]string{"a" + bad + "/Makefile": good, "b" + bad + "/Makefile": strings.Repeat("x = y\n", 200_000)})
	out, _, err := run(t, top, "usage", ".")
	if err != nil || strings.Contains(out, "\x1b") || !strings.Contains(out, "not readable") {
		t.Errorf("%v\n%q", err, out)
	}
}
