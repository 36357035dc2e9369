package frontdoor

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
)

// root is the checkout under test.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// need skips the test where a tool is missing.
func need(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here", tool)
		}
	}
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

// command is a program to run with a small, known environment.
type command struct {
	dir  string
	env  []string // NAME=value, after the common ones
	path string   // of programs; default this process's
}

func (c command) run(t testing.TB, name string, args ...string) result {
	t.Helper()
	path := c.path
	if path == "" {
		path = os.Getenv("PATH")
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = c.dir
	cmd.Env = append([]string{"PATH=" + path, "LC_ALL=C", "TZ=UTC", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.invalid", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.invalid"}, c.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// ok runs and wants success; it returns stdout.
func (c command) ok(t testing.TB, name string, args ...string) string {
	t.Helper()
	r := c.run(t, name, args...)
	if r.code != 0 {
		t.Fatalf("%s %q: exit %d\n%s%s", name, args, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

func write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := checkout.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// copyTo copies files and directories of the checkout (without testdata and Go
// sources) to dir.
func copyTo(t testing.TB, dir string, paths ...string) {
	t.Helper()
	from := root(t)
	for _, p := range paths {
		err := filepath.WalkDir(filepath.Join(from, p), func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "testdata" || d.Name() == "make_stamps") {
				return filepath.SkipDir
			}
			if d.IsDir() || strings.HasSuffix(path, ".go") {
				return nil
			}
			rel, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			write(t, filepath.Join(dir, rel), string(data), info.Mode().Perm())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// engFiles is what a component sees of deps/eng in these tests.
var engFiles = []string{"tools/mk", "tools/engbld.sh", "tools/validate-buildenv.sh",
	"tools/buildenv.maps", "tools/buildimage", "tools/buildimage-extract-pkg.sh"}

// stubEngbld replaces the launcher in a copy of tools: it says what it was asked.
func stubEngbld(t testing.TB, eng string) {
	t.Helper()
	write(t, filepath.Join(eng, "tools/engbld.sh"), `#!/bin/sh
if [ "$*" = --engbld-path ]; then [ -z "$STUB_NONE" ] && echo /path/of/engbld; exit; fi
if [ "$1" = doctor ]; then
	for a; do printf "arg=%s\n" "$a"; done > "${STUB_OUT:-/dev/null}.doctor"
	echo judged >&2
	exit ${STUB_DOCTOR:-0}
fi
{
printf "mf=%s\naccept=%s\n" "$BUILDIMAGE_MF" "$BUILDIMAGE_PKGSRC_ACCEPT"
for a; do printf "arg=%s\n" "$a"; done
} > "${STUB_OUT:-/dev/null}"
for a; do case $p in --stage) (cd "$a" && find . -type f) | LC_ALL=C sort > "$STUB_OUT.stage"; stage=$a;; esac; p=$a; done
for a; do [ "$a" != --remove-stage ] || rm -rf "$stage"; done
exit ${STUB_EXIT:-0}
`, 0o777)
	write(t, filepath.Join(eng, "tools/bits-upload.sh"), "#!/bin/sh\nfor a; do echo \"arg=$a\"; done\n", 0o777)
}

// component makes a committed component with the given Makefile, our tools as
// deps/eng and a launcher that records.
func component(t testing.TB, dir, makefile string) command {
	t.Helper()
	need(t, "make", "git")
	eng := filepath.Join(dir, "deps/eng")
	copyTo(t, eng, engFiles...)
	stubEngbld(t, eng)
	write(t, filepath.Join(dir, "Makefile"), makefile, 0o666)
	c := command{dir: dir, env: []string{"STUB_OUT=" + filepath.Join(t.TempDir(), "asked")}}
	c.ok(t, "sh", "-c", "git init -q -b master && git add Makefile && git commit -q -m x")
	return c
}

// asked returns what the recording launcher was given.
func (c command) asked(t testing.TB) string {
	t.Helper()
	for _, e := range c.env {
		if p, ok := strings.CutPrefix(e, "STUB_OUT="); ok {
			return read(t, p)
		}
	}
	return ""
}
