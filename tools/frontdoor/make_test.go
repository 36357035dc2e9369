package frontdoor

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const service = `NAME = svc
ENGBLD_USE_BUILDIMAGE = true
include deps/eng/tools/mk/Makefile.defs
RELEASE_TARBALL := $(NAME)-pkg-$(STAMP).tar.gz
BASE_IMAGE_UUID = 502eeef2-8267-489f-b19c-a206906f57ef
BUILDIMAGE_NAME = manta-svc
BUILDIMAGE_DESC = Service
BUILDIMAGE_PKGSRC = postgresql10-10.6 curl
all:
	@echo all
release: all
	@echo release
publish: release
	@echo publish
include deps/eng/tools/mk/Makefile.targ
`

const fixed = "TIMESTAMP=20200102T030405Z"

func TestImageRequest(t *testing.T) {
	t.Parallel()
	c := component(t, filepath.Join(t.TempDir(), "svc"), service)
	c.env = append(c.env, fixed)
	c.ok(t, "git", "remote", "add", "origin", "https://ci:s3cret@example.invalid/svc.git")
	stamp := strings.TrimPrefix(strings.TrimSpace(c.ok(t, "make", "-s", "print-STAMP")), "STAMP=")
	if !regexp.MustCompile(`^master-20200102T030405Z-g[0-9a-f]{7,}$`).MatchString(stamp) {
		t.Fatal(stamp)
	}
	c.ok(t, "make", "buildimage")
	top := strings.TrimSpace(c.ok(t, "pwd", "-P"))
	want := strings.Join([]string{
		`mf={"name": "manta-svc", "description": "Service", "version": "` + stamp + `", "tags": {"smartdc_service": true}} `,
		"accept=", "arg=image", "arg=make", "arg=--name", "arg=svc", "arg=--prefix", "arg=svc-zfs",
		"arg=--base", "arg=502eeef2-8267-489f-b19c-a206906f57ef", "arg=--version", "arg=" + stamp,
		"arg=--bits-dir", "arg=" + top + "/bits", "arg=--timestamp", "arg=20200102T030405Z",
		"arg=--min-platform-floor", "arg=20181206T011455Z", "arg=--top", "arg=" + top,
		"arg=--package", "arg=" + top + "/svc-pkg-" + stamp + ".tar.gz",
		"arg=--packages", "arg=postgresql10-10.6 curl",
		"arg=--motd", "arg=--audit", "",
	}, "\n")
	if got := c.asked(t); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := read(t, filepath.Join(c.dir, "make_stamps/buildimage-prep")); got != "/path/of/engbld\n" {
		t.Errorf("prep stamp holds %q", got)
	}
}

// Values of make's command line and of the environment reach the request.
func TestImageRequestOverridden(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		args, env []string
		want      []string
	}{
		{"packages", []string{"BUILDIMAGE_PKGSRC=sudo"}, nil, []string{"arg=--packages\narg=sudo\n"}},
		{"upgrade", []string{"BUILDIMAGE_DO_PKGSRC_UPGRADE=true"}, nil, []string{"arg=--upgrade\n"}},
		{"version", nil, []string{"BUILDIMAGE_VERSION=v9"}, []string{"arg=--version\narg=v9\n", `"version": "v9"`}},
		{"manifest, command line", []string{`BUILDIMAGE_MF={"name":"it's"}`}, nil, []string{"mf={\"name\":\"it's\"}\n"}},
		{"manifest, environment", nil, []string{`BUILDIMAGE_MF={"name":"it's"}`}, []string{"mf={\"name\":\"it's\"}\n"}},
		{"accept, command line", []string{`BUILDIMAGE_PKGSRC_ACCEPT=a:exec b:exec`}, nil, []string{"accept=a:exec b:exec\n"}},
		{"accept, environment", nil, []string{`BUILDIMAGE_PKGSRC_ACCEPT=a:exec`}, []string{"accept=a:exec\n"}},
		{"description", []string{`BUILDIMAGE_DESC=it's a "q" \ thing`}, nil, []string{`"description": "it's a \"q\" \\ thing"`}},
		{"bits", nil, []string{"BITS_DIR=/a b/bits"}, []string{"arg=--bits-dir\narg=/a b/bits\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := component(t, filepath.Join(t.TempDir(), "svc"), service)
			m.env = append(m.env, c.env...)
			m.ok(t, "make", append([]string{"buildimage"}, c.args...)...)
			got := m.asked(t)
			for _, w := range c.want {
				if !strings.Contains(got, w) {
					t.Errorf("%q is not in\n%s", w, got)
				}
			}
			line, _, _ := strings.Cut(strings.TrimPrefix(got, "mf="), "\n")
			if !json.Valid([]byte(line)) {
				t.Errorf("the manifest is no JSON: %s", line)
			}
		})
	}
}

func TestImageFailure(t *testing.T) {
	t.Parallel()
	c := component(t, filepath.Join(t.TempDir(), "svc"), service)
	c.env = append(c.env, "STUB_EXIT=5", fixed)
	r := c.run(t, "make", "buildimage")
	if r.code != 2 || !strings.Contains(r.stderr, "Error 5") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// What cannot be done is said before the component is built, whose targets are
// phony nearly everywhere.
func TestImpossibleSaidFirst(t *testing.T) {
	t.Parallel()
	c := component(t, filepath.Join(t.TempDir(), "svc"), service+`.PHONY: all release publish
ifdef ENGBLD_BITS_UPLOAD_OVERRIDE
bits-upload:
endif
`)
	for _, w := range []struct {
		args   []string
		stderr string
	}{
		{[]string{"buildimage", "ENGBLD_USE_BUILDIMAGE="}, "error: svc makes no image"},
		{[]string{"buildimage", "STUB_NONE=yes"}, "Error 1"},
		{[]string{"-j4", "all", "bits-upload", "STUB_NONE=yes"}, "Error 1"},
	} {
		r := c.run(t, "make", w.args...)
		if r.code != 2 || !strings.Contains(r.stderr, w.stderr) || strings.Contains(r.stdout, "all") {
			t.Errorf("make %q: exit %d, after %q: %s", w.args, r.code, r.stdout, r.stderr)
		}
	}
	// What needs no program of ours is done without it.
	c.ok(t, "make", "publish", "STUB_NONE=yes")
	c.ok(t, "make", "bits-upload", "ENGBLD_BITS_UPLOAD_OVERRIDE=yes", "STUB_NONE=yes")
}

// What a failed run left in the stage directory does not get into the next image,
// what this run puts there does, and nothing stays.
func TestStageDirectory(t *testing.T) {
	t.Parallel()
	for _, jobs := range []string{"-j1", "-j4"} {
		t.Run(jobs, func(t *testing.T) {
			t.Parallel()
			c := component(t, filepath.Join(t.TempDir(), "svc"), service+`AGENTS = a
buildimage: a-prebuilt
a-prebuilt:
	mkdir -p $(BUILDIMAGE_STAGEDIR)/root && touch $(BUILDIMAGE_STAGEDIR)/root/agent
`)
			stage := filepath.Join(t.TempDir(), "stage")
			write(t, filepath.Join(stage, "root/leftover"), "", 0o666)
			c.ok(t, "make", jobs, "buildimage", "BUILDIMAGE_STAGEDIR="+stage)
			if got := c.asked(t); !strings.Contains(got, "arg=--stage\narg="+stage+"\n") {
				t.Error(got)
			}
			for _, e := range c.env {
				if p, ok := strings.CutPrefix(e, "STUB_OUT="); ok {
					if got := read(t, p+".stage"); got != "./root/agent\n" {
						t.Errorf("the stage held %q", got)
					}
				}
			}
			if _, err := os.Stat(stage); !os.IsNotExist(err) {
				t.Errorf("the stage stays: %v", err)
			}
		})
	}
}

// The build machine is judged once, before anything else, also with -j.
func TestValidateFirst(t *testing.T) {
	t.Parallel()
	slow := strings.Replace(service, "all:\n", "all:\n\t@echo start-all\n", 1)
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		before string
	}{
		{"fit", []string{"-j4", "all", "release", "publish", "buildimage"}, 0, "checked\n"},
		{"unfit", []string{"-j4", "all", "release", "FIT=1"}, 2, "checked\n"},
		{"other goal", []string{"prepublish"}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := component(t, filepath.Join(t.TempDir(), "svc"), slow)
			log := filepath.Join(t.TempDir(), "log")
			m.env = append(m.env, "LOG="+log)
			write(t, filepath.Join(m.dir, "deps/eng/tools/validate-buildenv.sh"), "sleep 0.2; echo checked; echo checked >> $LOG; exit ${FIT:-0}\n", 0o777)
			r := m.run(t, "make", c.args...)
			if r.code != c.code || !strings.HasPrefix(r.stdout, c.before) || (c.code != 0 && strings.Contains(r.stdout, "start")) {
				t.Errorf("exit %d, %q %q", r.code, r.stdout, r.stderr)
			}
			if data, _ := os.ReadFile(log); strings.Count(string(data), "checked") != strings.Count(c.before, "checked") {
				t.Errorf("checked: %q", data)
			}
		})
	}
	m := component(t, filepath.Join(t.TempDir(), "svc"), service)
	write(t, filepath.Join(m.dir, "deps/eng/tools/validate-buildenv.sh"), "echo really run; exit 1\n", 0o777)
	if out := m.ok(t, "make", "-n", "all"); strings.Contains(out, "really run") {
		t.Errorf("make -n checks: %s", out)
	}

	// GNU make 3.81 does not say so while it reads makefiles.
	need(t, "ps")
	write(t, filepath.Join(m.dir, "old.mk"), "include Makefile\n$(info hidden=$(if $(_ENGBLD_HIDDEN_FLAGS),yes,no))\n", 0o666)
	write(t, filepath.Join(m.dir, "top.mk"), "sub:\n\t$(MAKE) -f old.mk check-copyright X=-q\n", 0o666)
	for _, c := range []struct{ args, hidden string }{
		{"-n", "yes"}, {"-sn", "yes"}, {"--dry-run", "yes"}, {"-q", "yes"}, {"-t", "yes"},
		{"-s -j2 X=-n", "no"}, {"-C .", "no"}, {"-k", "no"},
	} {
		if r := m.run(t, "make", append(strings.Fields(c.args), "-f", "old.mk", "check-copyright")...); !strings.Contains(r.stdout, "hidden="+c.hidden+"\n") {
			t.Errorf("make %s: %s%s", c.args, r.stdout, r.stderr)
		}
	}
	for args, want := range map[string]string{"-n": "yes", "-nj2": "yes", "-s": "no"} {
		if r := m.run(t, "make", args, "-f", "top.mk", "sub"); !strings.Contains(r.stdout, "hidden="+want+"\n") {
			t.Errorf("make %s sub: %s%s", args, r.stdout, r.stderr)
		}
	}
}

// A file of a goal's name does not stand in its way.
func TestFilesNamedAsGoals(t *testing.T) {
	t.Parallel()
	c := component(t, filepath.Join(t.TempDir(), "svc"), service)
	for _, n := range []string{"all", "release", "publish", "buildimage", "check", "clean", "prepublish"} {
		write(t, filepath.Join(c.dir, n), "", 0o666)
	}
	out := c.ok(t, "make", "-s", "all", "release", "publish", "buildimage", "clean")
	for _, want := range []string{"all\n", "release\n", "publish\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
}

func TestPrepublish(t *testing.T) {
	t.Parallel()
	c := component(t, filepath.Join(t.TempDir(), "a place with blanks", "svc"), service)
	c.env = append(c.env, fixed)
	c.ok(t, "make", "publish")
	stamp := strings.TrimPrefix(c.ok(t, "make", "-s", "print-STAMP"), "STAMP=")
	if got := read(t, filepath.Join(c.dir, "bits/svc/latest-build-stamp")); got != stamp {
		t.Errorf("%q, want %q", got, stamp)
	}
	read(t, filepath.Join(c.dir, "bits/svc/npm-ls.json"))
}

func TestBitsUpload(t *testing.T) {
	t.Parallel()
	c := component(t, filepath.Join(t.TempDir(), "svc"), service)
	c.env = append(c.env, fixed, "TRY_BRANCH=try me", "ENGBLD_BITS_UPLOAD_LOCAL=true", "ENGBLD_BITS_UPLOAD_IMGAPI=true")
	out := c.ok(t, "make", "-s", "bits-upload")
	stamp := strings.TrimSpace(strings.TrimPrefix(c.ok(t, "make", "-s", "print-STAMP"), "STAMP="))
	top := strings.TrimSpace(c.ok(t, "pwd", "-P"))
	want := strings.Join([]string{"arg=-b", "arg=master", "arg=-B", "arg=try me", "arg=-L", "arg=-p", "arg=-d", "arg=/public/builds/svc",
		"arg=-D", "arg=" + top + "/bits", "arg=-n", "arg=svc"}, "\n")
	if !strings.HasSuffix(out, want+"\narg=-t\narg="+stamp+"\n") || !strings.Contains(out, "publish\n") {
		t.Errorf("bits-upload: %s", out)
	}
	if c.asked(t) == "" {
		t.Error("no image was made")
	}
	if out := c.ok(t, "make", "-s", "bits-upload-latest", "TRY_BRANCH=", "ENGBLD_BITS_UPLOAD_IMGAPI="); !strings.HasPrefix(out, "arg=-b\narg=master\narg=-B\narg=\narg=-L\narg=-d\n") || strings.Contains(out, "-t\n") {
		t.Errorf("bits-upload-latest: %s", out)
	}
	if r := c.run(t, "make", "bits-upload", "ENGBLD_BITS_UPLOAD_OVERRIDE=1"); r.code == 0 || !strings.Contains(r.stderr, "No rule") {
		t.Errorf("overridden, and there all the same: %v", r)
	}
}

func TestCleanWithoutName(t *testing.T) {
	t.Parallel()
	c := component(t, t.TempDir(), "include deps/eng/tools/mk/Makefile.defs\ninclude deps/eng/tools/mk/Makefile.targ\n")
	for _, f := range []string{"make_stamps/x", "cscope.out", "build/docs/public/x", "-pkg1.gz", "keep"} {
		write(t, filepath.Join(c.dir, f), "", 0o666)
	}
	c.ok(t, "make", "clean")
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got := strings.Join(left, " "); got != ".git Makefile build deps keep" {
		t.Errorf("left: %s", got)
	}
}

// A make started by another speaks of the same stamp.
func TestStampOfSubMake(t *testing.T) {
	t.Parallel()
	c := component(t, t.TempDir(), service+"\nsub:\n\t@echo $(STAMP); sleep 1.1; $(MAKE) -s --no-print-directory print-STAMP\n")
	lines := strings.Fields(c.ok(t, "make", "-s", "sub"))
	if len(lines) != 2 || lines[1] != "STAMP="+lines[0] {
		t.Errorf("%q", lines)
	}
	c.env = append(c.env, "ENGBLD_TIMESTAMP=20010101T000000Z")
	if out := c.ok(t, "make", "-s", "print-STAMP"); strings.Contains(out, "20010101T") {
		t.Errorf("a first make took another's time: %s", out)
	}
}

func TestPrintAnything(t *testing.T) {
	t.Parallel()
	c := component(t, t.TempDir(), service+"A = it's \"x\" `id` $$HOME \\n *\n")
	if got, want := c.ok(t, "make", "-s", "print-A", "print-NOTHING"), "A=it's \"x\" `id` $HOME \\n *\nNOTHING=\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Reading the makefiles runs a shell, git and a few small tools, and with no Go
// there is nothing to miss.
func TestNoGo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "eng")
	c := engCheckout(t, dir)
	c.path = withoutGo(t, command{}, filepath.Join(t.TempDir(), "p"))
	c.env = []string{"HOME=" + t.TempDir()}
	c.ok(t, "make", "clean")
	c.ok(t, "make", "-n", "all")
	c.ok(t, "make", "print-STAMP")
	c.ok(t, "make", "triton-origin-x86_64-24.4.1-print-STAMP")
	c.ok(t, "make", "help")
	r := c.run(t, "make", "triton-origin-x86_64-24.4.1-buildimage")
	if r.code != 2 || !strings.Contains(r.stderr, `there is no "go" on PATH`) || !strings.Contains(r.stderr, "Error 6") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// engCheckout copies what the top Makefile needs, with deps/eng and a commit.
func engCheckout(t testing.TB, dir string) command {
	t.Helper()
	need(t, "make", "git")
	copyTo(t, dir, append([]string{"Makefile", "images", "go.mod", "go.sum"}, engFiles...)...)
	if err := os.MkdirAll(filepath.Join(dir, "deps"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..", filepath.Join(dir, "deps/eng")); err != nil {
		t.Fatal(err)
	}
	c := command{dir: dir}
	c.ok(t, "sh", "-c", "printf 'make_stamps\n/bits/\n' > .gitignore; git init -q -b main && git add . && git commit -q -m x")
	return c
}

// flavors are those of this checkout.
func flavors(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root(t), "images/*/flavor.toml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	return names
}

// Several goals in one word, with and without -j, all of one stamp; in a directory
// with blanks in its name.
func TestFlavorGoals(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a place with blanks")
	c := engCheckout(t, dir)
	stubEngbld(t, dir)
	c.ok(t, "git", "commit", "-q", "-a", "-m", "stubs")
	for _, jobs := range []string{"-j1", "-j4"} {
		out := c.ok(t, "make", jobs, "print-STAMP", "all-print-NAME print-STAMP")
		stamps := map[string]int{}
		for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
			if strings.HasPrefix(line, "STAMP=") {
				stamps[line]++
			}
		}
		for _, f := range flavors(t) {
			if !strings.Contains(out, "NAME="+f+"\n") {
				t.Errorf("%s: no %s in %s", jobs, f, out)
			}
		}
		if len(stamps) != 1 {
			t.Errorf("%s: stamps %v", jobs, stamps)
		}
		for _, n := range stamps {
			if want := len(flavors(t)) + 1; n != want {
				t.Errorf("%s: %d stamps, want %d", jobs, n, want)
			}
		}
	}
	asked := filepath.Join(t.TempDir(), "asked")
	c.env = []string{"STUB_OUT=" + asked}
	out := c.ok(t, "make", "triton-origin-multiarch-15.4.1-buildimage print-STAMP", "BUILDIMAGE_PKGSRC=curl")
	stamp := strings.TrimPrefix(strings.TrimSpace(out), "STAMP=")
	top := strings.TrimSpace(c.ok(t, "pwd", "-P"))
	commit := strings.TrimSpace(c.ok(t, "git", "rev-parse", "HEAD"))
	at := strings.Split(stamp, "-")[1]
	want := strings.Join([]string{
		`mf={"name": "triton-origin-multiarch-15.4.1", "description": "Triton/Manta component origin image based on multiarch 15.4.x", "version": "` + stamp +
			`", "homepage": "https://github.com/TritonDataCenter/engbld", "tags": {"branch": "main", "git": "` + commit + `", "timestamp": "` + at + `"}} `,
		"accept=", "arg=image", "arg=make", "arg=--name", "arg=triton-origin-multiarch-15.4.1", "arg=--prefix", "arg=triton-origin-multiarch-15.4.1-zfs",
		"arg=--base", "arg=ede31770-e19c-11e5-bb6e-3b7de3cca9ce", "arg=--version", "arg=" + stamp, "arg=--bits-dir", "arg=" + top + "/bits",
		"arg=--timestamp", "arg=" + at, "arg=--min-platform-floor", "arg=20181206T011455Z", "arg=--top", "arg=" + top,
		"arg=--packages", "arg=curl", "arg=--motd", "arg=--audit", "",
	}, "\n")
	if got := read(t, asked); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// in the image's own directory, too
	c.dir = filepath.Join(dir, "images/triton-origin-x86_64-24.4.1")
	c.ok(t, "make", "buildimage")
	if got := read(t, asked); !strings.Contains(got, "arg=--packages\narg=coreutils curl gsed patch sudo\narg=--upgrade\n") {
		t.Error(got)
	}
	// Each image has its own stamp files, and clean knows them all.
	c.dir = dir
	c.ok(t, "make", "-j4", "all-buildimage")
	c.ok(t, "make", "clean")
	if left, _ := filepath.Glob(filepath.Join(dir, "images/*/make_stamps")); len(left) > 0 {
		t.Errorf("clean left %v", left)
	}
	r := c.run(t, "make", "triton-origin-x86_64-24.4.2-buildimage")
	if r.code != 2 || !strings.Contains(r.stderr, `"triton-origin-x86_64-24.4.2-buildimage" is not a flavor and a goal`) {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if r := c.run(t, "make", "-j4", "all-nosuchgoal"); r.code != 2 {
		t.Errorf("all-nosuchgoal: exit %d", r.code)
	}
}

// The commands of the pipeline, in the words it uses.
func TestPipelineCommand(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "eng")
	c := engCheckout(t, dir)
	stubEngbld(t, dir)
	c.env = []string{"ENGBLD_BITS_UPLOAD_IMGAPI=true"}
	out := c.ok(t, "sh", "-c", `make clean distclean >&2 && make print-BRANCH print-STAMP triton-origin-x86_64-21.4.0-"buildimage bits-upload"`)
	stamp := regexp.MustCompile(`(?m)^STAMP=(.*)$`).FindStringSubmatch(out)
	if stamp == nil || !strings.HasPrefix(out, "BRANCH=main\n") || !strings.HasSuffix(out, "arg=-n\narg=triton-origin-x86_64-21.4.0\narg=-t\narg="+stamp[1]+"\narg=triton-origin-x86_64-21.4.0\n") ||
		!strings.Contains(out, "arg=-p\n") {
		t.Error(out)
	}
}

// Recipes work under every shell that /bin/sh may be, and so do the scripts.
func TestShells(t *testing.T) {
	t.Parallel()
	for _, sh := range []string{"/bin/dash", "/bin/bash", "/bin/ksh93"} {
		t.Run(filepath.Base(sh), func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat(sh); err != nil {
				t.Skip(err)
			}
			c := component(t, filepath.Join(t.TempDir(), "a b"), service)
			// the scripts say "sh": the first on PATH
			bin := t.TempDir()
			if err := os.Symlink(sh, filepath.Join(bin, "sh")); err != nil {
				t.Fatal(err)
			}
			c.path = bin + ":" + os.Getenv("PATH")
			out := c.ok(t, "make", "-s", "-j3", "SHELL="+sh, "print-BRANCH", "all", "release", "publish", "buildimage", "bits-upload")
			if !strings.Contains(out, "BRANCH=master\n") || !strings.Contains(out, "arg=-n\narg=svc\n") || !strings.Contains(c.asked(t), "arg=--audit\n") {
				t.Error(out)
			}
			if r := c.run(t, "make", "-s", "SHELL="+sh, "show-buildenv"); !strings.HasPrefix(r.stdout, "2021Q4 ") {
				t.Errorf("%v", r)
			}
			l := newLauncher(t)
			l.path = bin + ":" + l.path
			if r := l.run(t, sh, l.script(), "a b"); r.code != 0 || !strings.HasSuffix(r.stdout, "arg=a b\n") {
				t.Errorf("%v", r)
			}
		})
	}
}

// A monorepo: the image's directory is not the repository's, and TOP is not where
// make runs (spec engbld-interface.md sections 7, T13, and 8).
func TestMonorepo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, vars, include string }{
		{"TOP is the repository", "TOP := $(shell cd ../.. && pwd)\n", "../../deps/eng"},
		{"TOP is the image's", "TOP := $(CURDIR)\nENGBLD_REPO_ROOT := $(TOP)/../..\n", "$(ENGBLD_REPO_ROOT)/deps/eng"},
		{"absolute", "TOP := $(shell cd ../.. && pwd)\nMAKE_STAMPS_DIR := $(CURDIR)/stamps\n", "$(TOP)/deps/eng"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := component(t, filepath.Join(t.TempDir(), "repo"), "")
			write(t, filepath.Join(m.dir, "images/a/Makefile"), c.vars+strings.ReplaceAll(service, "deps/eng", c.include), 0o666)
			m.dir = filepath.Join(m.dir, "images/a")
			m.ok(t, "make", "publish", "buildimage")
			if got := m.asked(t); !strings.Contains(got, "arg=--name\narg=svc\n") {
				t.Error(got)
			}
			m.ok(t, "make", "clean", "distclean", "show-buildenv", "bits-upload-latest")
		})
	}
}

// The reading costs few processes: upstream's way takes about forty.
func TestCostOfReading(t *testing.T) {
	t.Parallel()
	need(t, "strace")
	c := component(t, t.TempDir(), service)
	r := c.run(t, "strace", "-f", "-qq", "-e", "trace=execve", "-e", "status=successful", "make", "-s", "print-STAMP")
	if r.code != 0 {
		t.Skipf("strace does not work here: %s", r.stderr)
	}
	if n := strings.Count(r.stderr, "execve("); n > 9 {
		t.Errorf("%d processes:\n%s", n, r.stderr)
	}
}

// ENGBLD_USE_BUILDIMAGE and BUILD_PLATFORM count wherever they are set.
func TestLateAndEarlySettings(t *testing.T) {
	t.Parallel()
	late := strings.Replace(service, "ENGBLD_USE_BUILDIMAGE = true\ninclude deps/eng/tools/mk/Makefile.defs\n",
		"BUILD_PLATFORM = 20210826T002459Z\ninclude deps/eng/tools/mk/Makefile.defs\nENGBLD_USE_BUILDIMAGE = true\n", 1)
	c := component(t, t.TempDir(), late)
	c.env = append(c.env, "BUILD_PLATFORM=of-some-other-tool")
	c.ok(t, "make", "bits-upload")
	if got := c.asked(t); !strings.Contains(got, "arg=--min-platform-floor\narg=20210826T002459Z\n") {
		t.Error(got)
	}
	c = component(t, t.TempDir(), service)
	c.env = append(c.env, "BUILD_PLATFORM=of-some-other-tool")
	if got := c.ok(t, "make", "-s", "print-BUILD_PLATFORM"); got != "BUILD_PLATFORM=20181206T011455Z\n" {
		t.Error(got)
	}
}

// The default goal is the component's, or what upstream's files have first.
func TestDefaultGoal(t *testing.T) {
	t.Parallel()
	const defs, deps, targ = "include deps/eng/tools/mk/Makefile.defs\n", "include deps/eng/tools/mk/Makefile.deps\n", "include deps/eng/tools/mk/Makefile.targ\n"
	for makefile, want := range map[string]string{
		defs + "mine:\n" + deps + targ: "mine",
		defs + deps + targ + "mine:\n": "deps/javascriptlint/build/install/jsl",
		defs + targ + "mine:\n":        "check-bash",
	} {
		c := component(t, t.TempDir(), makefile+"\nx:\n\t@echo $(.DEFAULT_GOAL)\n")
		if got := strings.TrimSpace(c.ok(t, "make", "-s", "x")); got != want {
			t.Errorf("%q: %s, want %s", makefile, got, want)
		}
	}
}

// A consumer's own eslint stays its own; otherwise the component's node runs the
// module's.
func TestESLint(t *testing.T) {
	t.Parallel()
	const defs, deps, targ = "include deps/eng/tools/mk/Makefile.defs\n", "include deps/eng/tools/mk/Makefile.deps\n", "include deps/eng/tools/mk/Makefile.targ\n"
	for makefile, want := range map[string]string{
		defs + deps + targ:                                    "node_modules/.bin/eslint",
		"NODE = n\n" + defs + deps + targ:                     "n node_modules/.bin/eslint",
		"NODE = n\n" + defs + targ + deps:                     "n node_modules/.bin/eslint",
		"NODE = n\nESLINT = my eslint\n" + defs + deps + targ: "my eslint",
		defs + targ + deps:                                    "eslint",
	} {
		c := component(t, t.TempDir(), makefile)
		if got := strings.TrimSpace(c.ok(t, "make", "-s", "print-ESLINT")); got != "ESLINT="+want {
			t.Errorf("%q: %s, want %s", makefile, got, want)
		}
	}
}

// Exactly the development modules are installed, versions as they stand.
func TestESLintModules(t *testing.T) {
	t.Parallel()
	need(t, "node")
	c := component(t, t.TempDir(), "include deps/eng/tools/mk/Makefile.defs\ninclude deps/eng/tools/mk/Makefile.deps\ninclude deps/eng/tools/mk/Makefile.targ\n")
	write(t, filepath.Join(c.dir, "package.json"), `{"dependencies": {"z": "1"}, "devDependencies": {"a": "^1.2.0 || 2", "@s/b": "3.x"}}`, 0o666)
	bin := t.TempDir()
	write(t, filepath.Join(bin, "npm"), "#!/bin/sh\nfor a; do echo \"npm=$a\"; done\nmkdir -p node_modules/.bin\n", 0o777)
	c.path = bin + ":" + os.Getenv("PATH")
	if got, want := c.ok(t, "make", "-s", "node_modules/.bin/eslint"), "npm=install\nnpm=--no-save\nnpm=a@^1.2.0 || 2\nnpm=@s/b@3.x\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A component that wants agents but leaves their makefile out here is told so.
func TestAgentsWithoutTheirMakefile(t *testing.T) {
	t.Parallel()
	c := component(t, t.TempDir(), "AGENTS = amon\n"+service)
	if r := c.run(t, "make", "buildimage"); r.code != 2 || !strings.Contains(r.stderr, `the agent "amon" cannot be made here`) {
		t.Errorf("%v", r)
	}
	c = component(t, t.TempDir(), "AGENTS = amon\n"+service+"include deps/eng/tools/mk/Makefile.agent_prebuilt.defs\ninclude deps/eng/tools/mk/Makefile.agent_prebuilt.targ\n")
	write(t, filepath.Join(c.dir, "deps/eng/tools/agent-prebuilt.sh"), "#!/bin/sh\nfor a; do [ \"$last\" != -C ] || mkdir \"$a/root\"; last=$a; done; echo \"did=$last\"\n", 0o777)
	for _, jobs := range []string{"-j1", "-j4"} {
		out := c.ok(t, "make", "-s", jobs, "buildimage", "AGENT_PREBUILT_DIR="+t.TempDir())
		if did := regexp.MustCompile(`did=.*`).FindAllString(out, -1); strings.Join(did, " ") != "did=clone did=build did=extract" {
			t.Errorf("%s: %q", jobs, out)
		}
	}
	// What ends before anything is built leaves no place for them.
	stage := filepath.Join(t.TempDir(), "stage")
	write(t, filepath.Join(c.dir, "deps/eng/tools/validate-buildenv.sh"), "sleep 0.2; exit ${UNFIT:-0}\n", 0o777)
	for _, why := range []string{"STUB_NONE=yes", "UNFIT=1"} {
		r := c.run(t, "make", "-j4", "buildimage", why, "BUILDIMAGE_STAGEDIR="+stage)
		if _, err := os.Lstat(stage); r.code != 2 || !os.IsNotExist(err) {
			t.Errorf("%s: exit %d, stage: %v", why, r.code, err)
		}
	}
	// Unpacked, but gone: another build with the same stamp removed them.
	if r := c.run(t, "make", "buildimage", "AMON_PREBUILT_TARGETS="); r.code != 2 || !strings.Contains(r.stderr, "are gone: another build of") {
		t.Errorf("%v", r)
	}
}
