// Package checkout gives tests fresh clones of this project, and what is needed
// to run commands in them as a user would: a small environment, a program that is
// built once for all of them, and the sandbox instead of servers.
package checkout

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
)

// StampTime is the TIMESTAMP tests build with where results are compared.
const StampTime = "20260101T000000Z"

// origin is a repository that holds the files under test, shared a cache with the
// program in it. They are made at first use and are the same for a whole test
// process, at whose end Main removes them.
var (
	once   sync.Once
	origin string
	shared string
	broken error
)

// Main runs a package's tests and removes what they shared. A package that uses
// this one calls it from its TestMain.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a package that has more to do at the end: it returns the exit
// code.
func Run(m *testing.M) int {
	if strings.ContainsAny(os.TempDir(), " \t") {
		// Makefiles of components may hold their own path in lists, where make
		// knows no blanks. Tests that are about blanks make their own.
		os.Setenv("TMPDIR", "/tmp")
	}
	defer func() {
		for _, dir := range []string{origin, shared} {
			if dir != "" {
				os.RemoveAll(dir)
			}
		}
	}()
	return m.Run()
}

// prepare makes one repository from the files git knows of, as they are in the
// work tree: every clone of it has the same commit.
func prepare() error {
	top, err := Output(git("rev-parse", "--show-toplevel"))
	if err != nil {
		return err
	}
	list, err := Output(git("-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard"))
	if err != nil {
		return err
	}
	if origin, err = os.MkdirTemp("", "engbld-origin-*"); err != nil {
		return err
	}
	if shared, err = os.MkdirTemp("", "engbld-cache-*"); err != nil {
		return err
	}
	for _, name := range strings.Split(strings.TrimSuffix(list, "\x00"), "\x00") {
		if err := CopyFile(filepath.Join(top, name), filepath.Join(origin, name)); err != nil {
			return err
		}
	}
	if err := buildable(origin); err != nil {
		return err
	}
	return Commit(origin)
}

// buildable leaves those flavors in a tree that the sandbox has a base image for:
// tests build all flavors, and a new one's base is in no sandbox.
func buildable(dir string) error {
	set, err := flavor.Load(os.DirFS(filepath.Join(dir, "images")))
	if err != nil {
		return err
	}
	left := len(set.Flavors)
	for _, f := range set.Flavors {
		if _, err := fs.Stat(sandbox.Data(), "images/"+f.Base.UUID); err == nil {
			continue
		}
		left--
		if err := os.RemoveAll(filepath.Join(dir, "images", f.Name)); err != nil {
			return err
		}
	}
	if left == len(set.Flavors) {
		return nil
	}
	cmd := exec.Command("go", "run", "./tools/engbld", "flavor", "generate")
	cmd.Dir = dir
	_, err = Output(cmd)
	return err
}

// message makes commits, and with them stamps, those of this test process: some
// of what upstream's interface demands in /tmp is named by stamps, and another
// test process may be at work there.
var message = sync.OnceValue(rand.Text)

// Commit makes dir a repository with everything in it as one commit of a fixed
// date, or adds a commit to the one it is. The same files make the same commit
// within one test process.
func Commit(dir string) error {
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", message()}} {
		cmd := git(append([]string{"-c", "user.name=x", "-c", "user.email=x@example.invalid"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
		if _, err := Output(cmd); err != nil {
			return err
		}
	}
	return nil
}

// git is a command that nobody's settings change (signatures, hooks, ends of
// lines), also in a checkout of somebody else's.
func git(args ...string) *exec.Cmd {
	cmd := exec.Command("git", append([]string{"-c", "safe.directory=*"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	return cmd
}

// Output runs a command and returns its stdout without the newline at the end;
// the error of one that fails carries its stderr.
func Output(cmd *exec.Cmd) (string, error) {
	var e bytes.Buffer
	cmd.Stderr = &e
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, e.String())
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// CopyFile copies a file with its mode, or a link, making directories on the way.
// A file that is not there is none: deleted, but git was not told yet.
func CopyFile(from, to string) error {
	fi, err := os.Lstat(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if fi.Mode()&os.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return WriteFile(to, b, fi.Mode().Perm())
}

// WriteFile is os.WriteFile for what is run afterwards. Nobody starts a program
// meanwhile: it would have the file open for writing for an instant, in which the
// file cannot be run.
func WriteFile(name string, data []byte, mode os.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(name, data, mode)
}

// Clone is a directory, mostly a fresh clone, and the environment commands run
// with in there.
type Clone struct {
	Dir string
	Env []string
}

// New clones into dir below a directory of the test's own.
func New(t testing.TB, dir string) *Clone {
	t.Helper()
	c := &Clone{Dir: filepath.Join(t.TempDir(), dir), Env: Env(t)}
	Into(t, c.Dir)
	return c
}

// Into clones into dir.
func Into(t testing.TB, dir string) {
	t.Helper()
	if _, err := Output(git("clone", "-q", Origin(t), dir)); err != nil {
		t.Fatal(err)
	}
}

// Origin is the repository that clones are made of. Nobody writes to it.
func Origin(t testing.TB) string {
	t.Helper()
	once.Do(func() { broken = prepare() })
	if broken != nil {
		t.Fatal(broken)
	}
	return origin
}

// Env is the least environment a user has, with a home, a sandbox of its own and
// a cache that all tests of this process share.
func Env(t testing.TB) []string {
	t.Helper()
	Origin(t)
	var env []string
	// GOCACHE and GOPATH only spare the machine some work.
	for _, name := range []string{"PATH", "GOCACHE", "GOPATH", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	goenv, err := Output(exec.Command("go", "env", "GOCACHE", "GOMODCACHE"))
	if err != nil {
		t.Fatal(err)
	}
	paths := strings.Split(goenv, "\n")
	return append(env, "GOCACHE="+paths[0], "GOMODCACHE="+paths[1], "HOME="+t.TempDir(), "ENGBLD_CACHE_DIR="+shared,
		"ENGBLD_SANDBOX=true", "ENGBLD_SANDBOX_DIR="+t.TempDir())
}

// Flavors are the names of the clone's flavors, all of which the sandbox can build.
func (c *Clone) Flavors(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.Dir, "images/*/flavor.toml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for i, f := range files {
		files[i] = filepath.Base(filepath.Dir(f))
	}
	return files
}

// Command is a command to be run in the clone; settings come last and so win.
func (c *Clone) Command(settings []string, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = c.Dir
	cmd.Env = append(slices.Clone(c.Env), settings...)
	return cmd
}

// Run runs a command that must succeed and returns its stdout.
func (c *Clone) Run(t testing.TB, settings []string, name string, args ...string) string {
	t.Helper()
	stdout, stderr, code := c.Try(t, settings, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit %d\n%s%s", name, strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// Try runs a command and tells how it went.
func (c *Clone) Try(t testing.TB, settings []string, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := c.Command(settings, name, args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// Products returns the digests of the files in a results directory, by name.
func Products(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name()] = fmt.Sprintf("%x", sha256.Sum256(b))
	}
	return got
}
