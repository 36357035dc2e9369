package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
)

// calls are the system calls that TestInputOutputErrors makes fail.
var calls = []string{"openat", "read", "pread64", "write", "pwrite64", "fsync", "getdents64", "newfstatat", "mkdirat",
	"renameat", "linkat", "fchmod", "unlinkat"}

// TestInputOutputErrors lets the n-th call of each thread fail with EIO, for all
// kinds of calls and many n, with empty caches and with full ones: the build gives
// what a clean one gives, or says what failed and leaves no results, and the next
// build gives what a clean one gives. ENGBLD_STRESS is needed, as is strace.
func TestInputOutputErrors(t *testing.T) {
	t.Parallel()
	if os.Getenv("ENGBLD_STRESS") == "" {
		t.Skip("ENGBLD_STRESS is not set")
	}
	if out, err := exec.Command("strace", "-f", "--seccomp-bpf", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("strace does not work here: %v: %s", err, out)
	}
	s := newSite(t)
	// Without a repository: git, which fails too, is not what is tested here.
	s.Env = append(s.Env, "GIT_DIR=/nonexistent")
	full, bits := t.TempDir(), t.TempDir()
	s.Run(t, s.settings(bits, full, t.TempDir()), s.program, s.args...)
	s.want = checkout.Products(t, filepath.Join(bits, theFlavor))
	for _, warm := range []bool{false, true} {
		for _, call := range calls {
			e := &injector{site: s, call: call, table: map[string]int{}}
			if warm {
				e.full = full
			}
			points := e.count(t)
			for _, n := range spread(points, often(1, 40)) {
				e.try(t, n)
			}
			line := fmt.Sprintf("warm %-5v %-10s %4d a thread:", warm, call, points)
			for _, outcome := range slices.Sorted(maps.Keys(e.table)) {
				line += fmt.Sprintf("  %s %d", outcome, e.table[outcome])
			}
			t.Log(line)
		}
	}
}

// spread picks up to n numbers from 1 to last, the first ones and then evenly.
func spread(last, n int) (picked []int) {
	for i := 1; i <= last; i += max(1, (last-i)/max(1, n-len(picked))) {
		picked = append(picked, i)
	}
	return picked
}

// injector makes one kind of call fail.
type injector struct {
	*site
	call  string
	full  string // a cache that has everything; "": none
	table map[string]int
}

// strace runs a build under strace and returns strace's own lines.
func (e *injector) strace(t *testing.T, settings []string, options ...string) (trace, stderr string, code int) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "trace")
	args := append([]string{"-f", "-qq", "-y", "--seccomp-bpf", "-o", log, "-e", "trace=" + e.call}, options...)
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "strace", append(append(args, e.program), e.args...)...)
	cmd.Dir = e.Dir
	cmd.Env = append(slices.Clone(e.Env), settings...)
	var text strings.Builder
	cmd.Stderr = &text
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s: %v, %v", e.call, err, ctx.Err())
	}
	raw, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw), text.String(), cmd.ProcessState.ExitCode()
}

func (e *injector) place(t *testing.T) (bits, sandbox, tmp string) {
	t.Helper()
	bits, sandbox, tmp = t.TempDir(), t.TempDir(), t.TempDir()
	if e.full != "" {
		if out, err := exec.Command("cp", "-a", e.full+"/.", sandbox).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return bits, sandbox, tmp
}

// count tells how often a thread makes the call at most.
func (e *injector) count(t *testing.T) int {
	t.Helper()
	bits, sandbox, tmp := e.place(t)
	trace, stderr, code := e.strace(t, e.settings(bits, sandbox, tmp))
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	threads := map[string]int{}
	for line := range strings.Lines(trace) {
		thread, rest, _ := strings.Cut(line, " ")
		if strings.HasPrefix(strings.TrimSpace(rest), e.call+"(") {
			threads[thread]++
		}
	}
	most := 0
	for _, n := range threads {
		most = max(most, n)
	}
	return most
}

// outside are what no file of ours is: sockets and such, what the runtime reads
// of the kernel.
var outside = regexp.MustCompile(`\d<(socket|anon_inode|pipe|TCP|UDP|UNIX|NETLINK|/proc/|/sys/|/dev/|/etc/)|"/(proc|sys|dev|etc)/`)

// lost tells whether words of the build's own were among what failed.
func lost(failed []string) bool {
	return slices.ContainsFunc(failed, regexp.MustCompile(`^\d+ +write\([12]<`).MatchString)
}

func (e *injector) try(t *testing.T, n int) {
	t.Helper()
	bits, sandbox, tmp := e.place(t)
	own := e.settings(bits, sandbox, tmp)
	trace, stderr, code := e.strace(t, own, "-e", fmt.Sprintf("inject=%s:error=EIO:when=%d", e.call, n))
	var failed []string
	ours := false
	begun := map[string]string{} // calls that strace tells of in two lines, by thread
	for line := range strings.Lines(trace) {
		thread, _, _ := strings.Cut(line, " ")
		if call, ok := strings.CutSuffix(strings.TrimSpace(line), "<unfinished ...>"); ok {
			begun[thread] = call
		} else if _, rest, ok := strings.Cut(line, " resumed>"); ok {
			line = begun[thread] + rest
		}
		if strings.Contains(line, "(INJECTED)") {
			failed = append(failed, strings.TrimSpace(line))
			ours = ours || !outside.MatchString(line)
		}
	}
	what := fmt.Sprintf("warm %v, %s %d: exit %d\n%s\n%s", e.full != "", e.call, n, code, strings.Join(failed, "\n"), stderr)
	left := files(t, bits)
	switch {
	case code == 0:
		e.table["as a clean build"]++
		if e.call == "unlinkat" && strings.Contains(strings.Join(failed, ""), "/.engbld-lock") {
			os.Remove(filepath.Join(bits, theFlavor, ".engbld-lock")) // which could not be
		}
		e.same(t, bits)
	case lost(failed):
		// Nobody heard what the build had to say. Its results are what it says they are.
		e.table[fmt.Sprintf("exit %d, words lost", code)]++
		if slices.ContainsFunc(left, func(f string) bool { return strings.HasSuffix(f, ".imgmanifest") }) {
			e.same(t, bits)
		}
	case !ours:
		// A broken loopback server is a network fault, a broken runtime ends as it likes.
		e.table[fmt.Sprintf("exit %d, no file of ours", code)]++
		if len(left) > 0 && !strings.Contains(stderr, "\nfatal error: ") { // the runtime's: as a kill
			t.Errorf("left behind: %v\n%s", left, what)
		}
	default:
		e.table[fmt.Sprintf("exit %d", code)]++
		if code != 4 || !strings.Contains(stderr, "error: ") || !strings.Contains(stderr, "input/output error") {
			t.Errorf("want exit 4 and what failed: %s", what)
		}
		if len(left) > 0 {
			t.Errorf("left behind: %v\n%s", left, what)
		}
	}
	if _, stderr, code := e.Try(t, own, e.program, e.args...); code != 0 {
		t.Errorf("then a build: exit %d\n%s\nafter %s", code, stderr, what)
		return
	}
	e.same(t, bits)
}
