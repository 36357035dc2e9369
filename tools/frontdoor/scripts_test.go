package frontdoor

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shells are those of the systems we serve, as far as this machine has them: dash
// (Debian), bash, ksh93 (illumos), busybox.
var shells = [][]string{{"sh"}, {"dash"}, {"bash"}, {"ksh93"}, {"ksh"}, {"mksh"}, {"busybox", "sh"}}

// scripts are the POSIX scripts of tools/, all of them.
func scripts(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, dir := range []string{"tools", "tools/mk", "tools/buildimage/bin"} {
		entries, err := os.ReadDir(filepath.Join(root(t), dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if e.Name() == "bashstyle" {
				continue // a program for node, too; it has a test of its own
			}
			if e.Type().IsRegular() && (strings.HasSuffix(path, ".sh") || strings.HasPrefix(read(t, filepath.Join(root(t), path)), "#!/bin/sh")) {
				list = append(list, path)
			}
		}
	}
	return list
}

func TestScriptsParse(t *testing.T) {
	t.Parallel()
	found := 0
	for _, sh := range shells {
		if _, err := os.Stat("/bin/" + sh[0]); err != nil {
			continue
		}
		found++
		for _, path := range scripts(t) {
			args := append(sh[1:], "-n", filepath.Join(root(t), path))
			if r := (command{}).run(t, sh[0], args...); r.code != 0 { // ksh93 also gives advice
				t.Errorf("%s -n %s: exit %d: %s", sh, path, r.code, r.stderr)
			}
		}
	}
	if found == 0 {
		t.Skip("no shell in /bin")
	}
}

func TestScriptsCanRun(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"tools/engbld.sh", "tools/validate-buildenv.sh", "tools/buildimage-extract-pkg.sh", "tools/buildimage/bin/buildimage"} {
		info, err := os.Stat(filepath.Join(root(t), path))
		if err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

// The launcher hands names of sources to xargs.
func TestSourceNamesArePlain(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"images", "tools"} {
		err := filepath.WalkDir(filepath.Join(root(t), dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == "testdata" {
				return filepath.SkipDir
			}
			if strings.ContainsAny(d.Name(), " \t\n'\"\\") {
				t.Errorf("%q", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// newer are constructs that GNU make 3.81 does not have.
var newer = map[string]*regexp.Regexp{
	"!= (4.0)":                   regexp.MustCompile(`(?m)^[A-Za-z0-9_.$()]+\s*!=`),
	"::= (4.0)":                  regexp.MustCompile(`(?m)^[^\t#]*::?:=`),
	"undefine (3.82)":            regexp.MustCompile(`(?m)^\s*(override\s+)?undefine\s`),
	"private (3.82)":             regexp.MustCompile(`(?m)^[^\t#]*\bprivate\s+[A-Za-z_]+\s*[:+?]?=`),
	"define with = (3.82)":       regexp.MustCompile(`(?m)^\s*define\s+\S+\s*[:+?]?=`),
	"grouped targets (4.3)":      regexp.MustCompile(`(?m)^[^\t#=]*&:`),
	"special target or variable": regexp.MustCompile(`(?m)^[^\t#]*\.(ONESHELL|RECIPEPREFIX|EXTRA_PREREQS|WAIT|NOTINTERMEDIATE|SHELLSTATUS|POSIX)\b`),
	"function (4.0 and later)":   regexp.MustCompile(`\$\((file|guile|let|intcmp) `),
	"load (4.0)":                 regexp.MustCompile(`(?m)^\s*-?load\s`),
	"output-sync (4.0)":          regexp.MustCompile(`--output-sync|--trace\b|--eval\b|--shuffle`),
}

func TestMakeConstructs(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root(t), "tools/mk/Makefile.*"))
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	more, err := filepath.Glob(filepath.Join(root(t), "images/*/Makefile"))
	if err != nil || len(more) == 0 {
		t.Fatal(more, err)
	}
	files = append(append(files, more...), filepath.Join(root(t), "Makefile"), filepath.Join(root(t), "images/flavors.mk"))
	for _, f := range files {
		text := read(t, f)
		for what, re := range newer {
			if m := re.FindString(text); m != "" {
				t.Errorf("%s: %s: %q", f, what, m)
			}
		}
	}
	for what, bad := range map[string]string{"!= (4.0)": "X != date", "undefine (3.82)": "undefine X", "function (4.0 and later)": "$(file >x)", "grouped targets (4.3)": "a b &: c", "define with = (3.82)": "define X ="} {
		if !newer[what].MatchString(bad) {
			t.Errorf("the lint does not find %q", bad)
		}
	}
}

// Recipes and scripts name no shell feature that dash lacks.
func TestNoBashisms(t *testing.T) {
	t.Parallel()
	re := regexp.MustCompile(`\[\[ |(^|[;{]\s*)\s*(local|function|source|pushd|declare|typeset) |<\(|&>`)
	for _, path := range scripts(t) {
		for i, line := range strings.Split(read(t, filepath.Join(root(t), path)), "\n") {
			if code, _, _ := strings.Cut(line, "# "); re.MatchString(code) {
				t.Errorf("%s:%d: %s", path, i+1, line)
			}
		}
	}
}

func TestShowBuildenv(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, makefile, out, err string
		code                     int
		env                      []string
	}{
		{"released", "BASE_IMAGE_UUID = 502eeef2-8267-489f-b19c-a206906f57ef", "2021Q4 triton-origin-x86_64-21.4.0@master-20220322T012137Z-g9382491 6fc6ec02-a41a-4711-b811-27dc121d0396\n", "", 0, nil},
		{"skipped checks", "BASE_IMAGE_UUID = 502eeef2-8267-489f-b19c-a206906f57ef", "2021Q4 triton-origin-x86_64-21.4.0@master-20220322T012137Z-g9382491 6fc6ec02-a41a-4711-b811-27dc121d0396\n", "", 0, []string{"ENGBLD_SKIP_VALIDATE_BUILDENV=true"}},
		{"sibling's agent", "BASE_IMAGE_UUID = a7199134-7e94-11ec-be67-db6f482136c2", "2021Q4 minimal-64-lts@21.4.0 6fc6ec02-a41a-4711-b811-27dc121d0396\n", "", 0, nil},
		{"no agent", "BASE_IMAGE_UUID = 5e4c3f98-aca4-11ee-9db8-00151714048c", "2023Q4 minimal-64-lts@23.4.0\n", "no agent image is known: no jenkins-agent image is known for minimal-64-lts@23.4.0 (5e4c3f98-aca4-11ee-9db8-00151714048c)\n", 0, nil},
		{"node's image", "NODE_PREBUILT_IMAGE = 18b094b0-eb01-11e5-80c1-175dac7ddf02", "2015Q4 sdc-minimal-multiarch-lts@15.4.1 f00a393d-a1c8-4e93-a13e-c364a7d0a2a9\n", "", 0, nil},
		{"none", "", "", "no build machine is required: ", 2, nil},
		{"unknown", "BASE_IMAGE_UUID = 00000000-7e94-11ec-be67-db6f482136c2", "\n", "nothing is known of image 00000000-7e94-11ec-be67-db6f482136c2; no agent image is known: no jenkins-agent image is known for it\n", 0, nil},
		{"no uuid", "BASE_IMAGE_UUID = .*", "", "is not the uuid of an image", 2, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := component(t, t.TempDir(), "NAME = x\n"+c.makefile+"\ninclude deps/eng/tools/mk/Makefile.defs\ninclude deps/eng/tools/mk/Makefile.targ\n")
			m.env = append(m.env, c.env...)
			r := m.run(t, "make", "-s", "-j2", "show-buildenv")
			if r.code != c.code || r.stdout != c.out || !strings.Contains(r.stderr, c.err) {
				t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
			}
		})
	}
	m := component(t, t.TempDir(), "include deps/eng/tools/mk/Makefile.defs\ninclude deps/eng/tools/mk/Makefile.targ\nifeq ($(MAKECMDGOALS),print-BASE_IMAGE_UUID)\n$(error broken)\nendif\n")
	if r := m.run(t, "make", "show-buildenv"); r.code != 2 || !strings.Contains(r.stderr, "broken") {
		t.Errorf("a broken Makefile: %v", r)
	}
}

func TestExtract(t *testing.T) {
	t.Parallel()
	need(t, "tar", "gzip", "bzip2")
	dir := t.TempDir()
	c := command{dir: dir}
	write(t, filepath.Join(dir, "in/root/a b"), "x", 0o666)
	c.ok(t, "sh", "-c", "cd in && tar -czf ../a.tar.gz root && tar -cjf ../a.tar.bz2 root && cp ../a.tar.gz ../a.tgz && cp ../a.tar.bz2 ../a.tar.bz && cp ../a.tar.gz ../a.zip && echo x > ../bad.tgz")
	script := filepath.Join(root(t), "tools/buildimage-extract-pkg.sh")
	for name, code := range map[string]int{"a.tar.gz": 0, "a.tgz": 0, "a.tar.bz2": 0, "a.tar.bz": 0, "a.zip": 1, "bad.tgz": 2, "missing.tgz": 2, "": 1} {
		out := t.TempDir()
		r := command{dir: out}.run(t, script, filepath.Join(dir, name))
		if r.code != code {
			t.Errorf("%q: exit %d, want %d: %s", name, r.code, code, r.stderr)
		}
		if code == 0 {
			read(t, filepath.Join(out, "root/a b"))
		}
	}
}

// The script has the checks made by engbld, and says what became of it.
func TestValidateBuildenv(t *testing.T) {
	t.Parallel()
	const left, line = "left out, as engbld cannot be run", "validate-buildenv: not SmartOS, nothing to check\n"
	for _, c := range []struct {
		name  string
		sunos bool
		noGo  bool // nor a prebuilt program
		goals []string
		env   []string
		code  int // of make
		asked string
		err   string // in stderr
	}{
		{name: "fit", goals: []string{"all", "release"}, asked: "all release", err: "judged"},
		{name: "the default goal", asked: "all", err: "judged"},
		{name: "unfit", goals: []string{"all"}, env: []string{"STUB_DOCTOR=1"}, code: 2, asked: "all", err: "judged"},
		{name: "asked for", goals: []string{"validate-buildenv"}, env: []string{"STUB_DOCTOR=1"}, code: 2, asked: "validate-buildenv", err: "judged"},
		{name: "another goal", goals: []string{"clean"}, env: []string{"STUB_DOCTOR=1"}},
		{name: "skipped", env: []string{"STUB_DOCTOR=1", "ENGBLD_SKIP_VALIDATE_BUILDENV=1"}, err: "not checked"},
		{name: "skipped by make", goals: []string{"all", "ENGBLD_SKIP_VALIDATE_BUILDENV=1"}, env: []string{"STUB_DOCTOR=1"}, err: "not checked"},
		{name: "does not build", env: []string{"STUB_DOCTOR=6"}, asked: "all", err: left},
		{name: "cannot be fetched", env: []string{"STUB_DOCTOR=5"}, asked: "all", err: left},
		{name: "no Go", noGo: true, env: []string{"STUB_NONE=1", "STUB_DOCTOR=1"}, err: line + "validate-buildenv: " + left},
		{name: "no Go, but a program from before", noGo: true, env: []string{"STUB_DOCTOR=1"}, code: 2, asked: "all", err: "judged"},
		{name: "no Go, but a prebuilt program", noGo: true, env: []string{"STUB_NONE=1", "STUB_DOCTOR=1", "ENGBLD_PREBUILT_DIR=/x"}, code: 2, asked: "all", err: "judged"},
		{name: "SmartOS, fit", sunos: true, goals: []string{"-j2", "all", "release"}, asked: "all release", err: "judged"},
		{name: "SmartOS, unfit", sunos: true, env: []string{"STUB_DOCTOR=1"}, code: 2, asked: "all", err: "judged"},
		{name: "SmartOS, skipped", sunos: true, env: []string{"STUB_DOCTOR=1", "ENGBLD_SKIP_VALIDATE_BUILDENV=1"}, err: "not checked"},
		{name: "SmartOS, no Go", sunos: true, noGo: true, env: []string{"STUB_NONE=1", "STUB_DOCTOR=6"}, code: 2, asked: "all", err: "judged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := component(t, t.TempDir(), service)
			m.env = append(m.env, c.env...)
			if c.noGo {
				m.env = append(m.env, "ENGBLD_GO=there-is-no-such-go")
			} else {
				m.env = append(m.env, "ENGBLD_GO=sh") // anything that is there
			}
			if c.sunos {
				bin := t.TempDir()
				write(t, filepath.Join(bin, "uname"), "#!/bin/sh\necho SunOS\n", 0o777)
				m.path = bin + ":" + os.Getenv("PATH")
			}
			r := m.run(t, "make", append([]string{"-s"}, c.goals...)...)
			if r.code != c.code || !strings.Contains(r.stderr, c.err) || c.err != left && c.err != "" && strings.Contains(r.stderr, left) != strings.Contains(c.err, left) {
				t.Errorf("exit %d, want %d: %s", r.code, c.code, r.stderr)
			}
			asked, _ := os.ReadFile(strings.TrimPrefix(m.env[0], "STUB_OUT=") + ".doctor")
			want := ""
			if c.asked != "" {
				want = "arg=doctor\narg=--validate\narg=--goals\narg=" + c.asked + "\n"
			}
			if string(asked) != want {
				t.Errorf("engbld was asked %q, not %q", asked, want)
			}
		})
	}
	script := filepath.Join(root(t), "tools/validate-buildenv.sh")
	for _, args := range [][]string{{"-h"}, {"--goals"}, {"x"}} {
		if r := (command{dir: t.TempDir()}).run(t, script, args...); r.code != 2 || !strings.HasPrefix(r.stderr, "usage: ") || r.stdout != "" {
			t.Errorf("%q: %v", args, r)
		}
	}
}
