package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// stampTime is the TIMESTAMP of all builds here.
const stampTime = "20260101T000000Z"

const theFlavor = "triton-origin-x86_64-24.4.1"

var (
	once   sync.Once
	origin string // a repository that holds the files under test
	shared string // a cache with the program built once
	broken error
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range []string{origin, shared} {
		if dir != "" {
			os.RemoveAll(dir)
		}
	}
	os.Exit(code)
}

// prepare makes one repository from the files git knows of, as they are in the
// work tree, with fixed dates: every clone of it has the same commit.
func prepare() error {
	top, err := output(exec.Command("git", "rev-parse", "--show-toplevel"))
	if err != nil {
		return err
	}
	list, err := output(exec.Command("git", "-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard"))
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
		if err := copyFile(filepath.Join(top, name), filepath.Join(origin, name)); err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "x"}} {
		cmd := exec.Command("git", append([]string{"-c", "user.name=x", "-c", "user.email=x@example.invalid"}, args...)...)
		cmd.Dir = origin
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
		if _, err := output(cmd); err != nil {
			return err
		}
	}
	return nil
}

func output(cmd *exec.Cmd) (string, error) {
	var e bytes.Buffer
	cmd.Stderr = &e
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, e.String())
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

func copyFile(from, to string) error {
	fi, err := os.Lstat(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil // deleted, but git was not told yet
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
	return os.WriteFile(to, b, fi.Mode().Perm())
}

// clone is a fresh clone and the environment commands run in there.
type clone struct {
	dir string
	env []string
}

// newClone clones into dir below a directory of the test's own. The environment
// is the least a user has; the program in the cache is shared by all clones.
func newClone(t *testing.T, dir string) *clone {
	t.Helper()
	once.Do(func() { broken = prepare() })
	if broken != nil {
		t.Fatal(broken)
	}
	c := &clone{dir: filepath.Join(t.TempDir(), dir)}
	if _, err := output(exec.Command("git", "clone", "-q", origin, c.dir)); err != nil {
		t.Fatal(err)
	}
	// GOCACHE and GOPATH only spare the machine some work.
	for _, name := range []string{"PATH", "GOCACHE", "GOPATH", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			c.env = append(c.env, name+"="+v)
		}
	}
	goenv, err := output(exec.Command("go", "env", "GOCACHE", "GOMODCACHE"))
	if err != nil {
		t.Fatal(err)
	}
	paths := strings.Split(goenv, "\n")
	c.env = append(c.env, "GOCACHE="+paths[0], "GOMODCACHE="+paths[1], "HOME="+t.TempDir(), "ENGBLD_CACHE_DIR="+shared,
		"ENGBLD_SANDBOX=true", "ENGBLD_SANDBOX_DIR="+t.TempDir())
	return c
}

// command is a command to be run in the clone; settings come last and so win.
func (c *clone) command(settings []string, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = c.dir
	cmd.Env = append(slices.Clone(c.env), settings...)
	return cmd
}

// run runs a command that must succeed and returns its stdout.
func (c *clone) run(t *testing.T, settings []string, name string, args ...string) string {
	t.Helper()
	stdout, stderr, code := c.try(t, settings, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit %d\n%s", name, strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// try runs a command and tells how it went.
func (c *clone) try(t *testing.T, settings []string, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := c.command(settings, name, args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// products returns the digests of the files in a results directory, by name.
func products(t *testing.T, dir string) map[string]string {
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
