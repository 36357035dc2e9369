// Package oracle lets tests ask real ZFS code about send streams.
//
// The C programs in src call libzpool, the user-space build of
// OpenZFS 2.1 (see README.md). A test that uses them is skipped where they
// cannot be had, and fails instead when ENGBLD_REQUIRE_ORACLE is 1.
package oracle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Options are those of check-stream.
type Options struct {
	RoundTrip bool // also send again with the real dmu_send, and compare (-R)
	Relaxed   bool // findings about a careful format do not fail (-r)
	Every     bool // findings concern every stream, not just the last one (-e)
	AllPool   bool // a pool with all features (-a)
	Linux     bool // the file system was made on Linux (-l)
	NoSums    bool // no sha256 in the listing (-n)
}

func (o Options) args() []string {
	var args []string
	for flag, on := range map[string]bool{
		"-R": o.RoundTrip, "-e": o.Every, "-r": o.Relaxed, "-a": o.AllPool, "-l": o.Linux, "-n": o.NoSums,
	} {
		if on {
			args = append(args, flag)
		}
	}
	return args
}

// Result is what check-stream answered.
type Result struct {
	Exit    int      // see README.md
	Listing []string // stdout, one line a path
	Story   string   // stderr
}

// Check receives streams in order (files, plain or gzip'd, the first one full)
// and returns the listing of the last one. The test fails if real ZFS refuses a
// stream, finds the result inconsistent, or the stream is not a careful one.
func Check(t testing.TB, o Options, streams ...string) []string {
	t.Helper()
	r := Ask(t, o, streams...)
	if r.Exit != 0 {
		t.Fatalf("check-stream %s: exit %d\n%s", strings.Join(streams, " "), r.Exit, r.Story)
	}
	return r.Listing
}

// Ask is Check without a verdict, for tests that expect a refusal.
func Ask(t testing.TB, o Options, streams ...string) Result {
	t.Helper()
	out, story, code := Run(t, "check-stream", append(o.args(), streams...)...)
	r := Result{Exit: code, Story: story}
	if out = strings.TrimSuffix(out, "\n"); out != "" {
		r.Listing = strings.Split(out, "\n")
	}
	return r
}

// Run calls one of the oracle's programs and returns its output and exit code.
func Run(t testing.TB, program string, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(Dir(t), program), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var ee *exec.ExitError
	if err != nil && !errors.As(err, &ee) {
		t.Fatalf("running %s: %v", program, err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// Dir returns the directory of the built programs; without them it skips or,
// with ENGBLD_REQUIRE_ORACLE=1, fails the test.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := find()
	if err == nil {
		return dir
	}
	if os.Getenv("ENGBLD_REQUIRE_ORACLE") == "1" {
		t.Fatalf("the ZFS oracle is required here: %v", err)
	}
	t.Skipf("no ZFS oracle: %v", err)
	return ""
}

// find is done once a process: the answer does not change and building costs
// seconds. Nothing else is remembered.
var find = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("ENGBLD_ORACLE_DIR"); dir != "" {
		return dir, complete(dir)
	}
	_, self, _, ok := runtime.Caller(0)
	src := filepath.Join(filepath.Dir(self), "src")
	if !ok || !filepath.IsAbs(self) {
		// Built with -trimpath: tests run in their package's directory.
		root, err := moduleRoot()
		if err != nil {
			return "", err
		}
		src = filepath.Join(root, "tools", "oracle", "src")
	}
	if complete(src) == nil {
		return src, nil
	}
	return build(src)
})

var (
	programs = []string{"zrecv", "zls", "zsend", "zmkfs"}
	sources  = []string{"Makefile", "check-stream", "feed.c", "feed.h", "handmade.py", "selftest", "zls.c", "zmkfs.c", "zo.c", "zo.h", "zrecv.c", "zsend.c"}
)

func complete(dir string) error {
	for _, p := range append([]string{"check-stream"}, programs...) {
		if _, err := os.Stat(filepath.Join(dir, p)); err != nil {
			return fmt.Errorf("%s is not built (make -C tools/oracle/src)", filepath.Join(dir, p))
		}
	}
	return nil
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// build compiles the programs into the cache, under the digest of their
// sources. Test processes may do so at once: the first rename wins.
func build(src string) (string, error) {
	h := sha256.New()
	for _, name := range sources {
		b, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(b), b)
	}
	cache := os.Getenv("ENGBLD_CACHE_DIR")
	if cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			base = os.TempDir()
		}
		cache = filepath.Join(base, "engbld")
	}
	dir := filepath.Join(cache, "oracle", hex.EncodeToString(h.Sum(nil))[:16])
	if complete(dir) == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".engbld-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	for _, name := range sources {
		b, err := os.ReadFile(filepath.Join(src, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(tmp, name), b, 0o755)
		}
		if err != nil {
			return "", err
		}
	}
	if out, err := exec.Command("make", "-C", tmp).CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("building it: %w: %s", err, lines[max(0, len(lines)-2)])
	}
	if err := os.Rename(tmp, dir); err != nil && complete(dir) != nil {
		return "", err
	}
	return dir, nil
}
