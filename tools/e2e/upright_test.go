package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/app"
	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
)

// often is how often a test does the same thing: more where ENGBLD_STRESS is set.
func often(usual, stress int) int {
	if os.Getenv("ENGBLD_STRESS") != "" {
		return stress
	}
	return usual
}

// site is a clone and what its clean build gives.
type site struct {
	*checkout.Clone
	program string
	args    []string
	want    map[string]string // the digests of the results
	took    time.Duration     // the clean build, with empty caches
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Clone: checkout.New(t, "clone"), args: []string{"image", "build", "--timestamp", stampTime, theFlavor}}
	s.program = strings.TrimSpace(s.Run(t, nil, "tools/engbld.sh", "--engbld-path"))
	s.Env = append(s.Env, "ENGBLD_ROOT="+s.Dir)
	bits := t.TempDir()
	begin := time.Now()
	s.Run(t, []string{"ENGBLD_BITS_DIR=" + bits}, s.program, s.args...)
	s.took, s.want = time.Since(begin), checkout.Products(t, filepath.Join(bits, theFlavor))
	return s
}

// settings are directories of a build's own. Files it leaves in tmp are its fault.
func (s *site) settings(bits, sandbox, tmp string) []string {
	return []string{"ENGBLD_BITS_DIR=" + bits, "ENGBLD_SANDBOX_DIR=" + sandbox, "TMPDIR=" + tmp}
}

// same tells when the results in bits are not those of the clean build.
func (s *site) same(t *testing.T, bits string) {
	t.Helper()
	if diff := cmp.Diff(s.want, checkout.Products(t, filepath.Join(bits, theFlavor))); diff != "" {
		t.Errorf("other results than those of a clean build (-clean +this):\n%s", diff)
	}
}

// TestKilledAnytime kills builds at any instant, with empty caches and with those
// that killed builds left. What has its name then is complete, the next build
// gives what a clean one gives, and nothing piles up.
func TestKilledAnytime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	random := rand.New(rand.NewPCG(1, 2))
	shared, tmp := t.TempDir(), t.TempDir()
	n := often(8, 200)
	span, builds, killed := float64(s.took), 0, 0
	for ; killed < n && builds < 5*n; builds++ {
		bits, sandbox := t.TempDir(), shared
		if builds%2 == 0 {
			sandbox = t.TempDir()
		}
		own := s.settings(bits, sandbox, tmp)
		after := time.Duration(random.Float64() * span)
		cmd := s.Command(own, s.program, s.args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		kill.Stop()
		if err != nil {
			killed++
			span *= 1.02
		} else {
			span *= 0.95 // it was too fast
		}
		if _, err := os.Stat(filepath.Join(bits, theFlavor)); err == nil {
			got := checkout.Products(t, filepath.Join(bits, theFlavor))
			for name, sum := range got {
				if !strings.HasPrefix(name, ".engbld-") && s.want[name] != sum {
					t.Errorf("killed after %v: %s is not complete", after, name)
				}
				if image, ok := strings.CutSuffix(name, ".imgmanifest"); ok && got[image+".zfs.gz"] == "" {
					t.Errorf("killed after %v: there is a manifest without its image", after)
				}
			}
		}
		s.Run(t, own, s.program, s.args...)
		s.same(t, bits)
		if left := temporary(t, bits); len(left) != 0 {
			t.Fatalf("killed after %v: left behind: %v", after, left)
		}
		// An unlinked file has a name for an instant.
		for _, f := range temporary(t, tmp) {
			if fi, err := os.Stat(filepath.Join(tmp, f)); err != nil || !strings.HasPrefix(f, ".engbld-spool-") || fi.Size() != 0 {
				t.Fatalf("killed after %v: left behind: %v", after, f)
			}
		}
	}
	t.Logf("%d of %d builds were killed, within %v", killed, builds, time.Duration(span))
	// Downloads and the like of a moment ago may be somebody's; a build takes away
	// the old ones.
	old := time.Now().AddDate(0, -1, 0)
	left := temporary(t, shared)
	for _, f := range left {
		if err := os.Chtimes(filepath.Join(shared, f), old, old); err != nil {
			t.Fatal(err)
		}
	}
	s.Run(t, s.settings(t.TempDir(), shared, tmp), s.program, append(s.args, "--again")...)
	if still := temporary(t, shared); len(still) != 0 {
		t.Errorf("%d leftovers, of which these stay: %v", len(left), still)
	}
	t.Logf("%d leftovers were taken away", len(left))
}

// temporary lists what has temporary names below dir, or is in something that has.
func temporary(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if rel != "." && (strings.HasPrefix(rel, ".") || strings.Contains(rel, "/.")) {
			list = append(list, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestTwoAtOnce: builds of one flavor at the same time, into one directory and into
// several, with one empty cache; one of them may be killed. All others give what a
// clean build gives.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i := range often(2, 30) {
		sandbox, tmp := t.TempDir(), t.TempDir()
		bits := []string{t.TempDir(), t.TempDir()}
		victim := s.Command(s.settings(bits[0], sandbox, tmp), s.program, s.args...)
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for j := range 4 {
			wg.Go(func() {
				stdout, stderr, code := s.Try(t, s.settings(bits[j%2], sandbox, tmp), s.program, s.args...)
				if code != 0 || strings.Count(stdout, "\n") != 1 {
					t.Errorf("exit %d, stdout %q\n%s", code, stdout, stderr)
				}
			})
		}
		time.Sleep(s.took * time.Duration(i%10) / 10)
		_ = victim.Process.Kill()
		_ = victim.Wait()
		wg.Wait()
		for _, b := range bits {
			s.same(t, b)
		}
	}
}

// TestReadOnlyCache: a cache that holds everything serves those who cannot write
// to it, because nobody can or because they may not. Where something is missing
// they are told what to do.
func TestReadOnlyCache(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	full := t.TempDir()
	s.Run(t, s.settings(t.TempDir(), full, t.TempDir()), s.program, s.args...)
	for _, tc := range []struct{ name, without string }{
		{"complete", ""},
		{"without the base image", "images/streams/*"},
		{"without packages", "packages/content/*"},
		{"without anything", "*"},
	} {
		for _, mount := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, mount %v", tc.name, mount), func(t *testing.T) {
				bits, sandbox, tmp := t.TempDir(), t.TempDir(), t.TempDir()
				if err := os.CopyFS(sandbox, os.DirFS(full)); err != nil {
					t.Fatal(err)
				}
				if tc.without != "" {
					names, err := filepath.Glob(filepath.Join(sandbox, tc.without))
					if err != nil || len(names) == 0 {
						t.Fatal(names, err)
					}
					for _, name := range names {
						if err := os.RemoveAll(name); err != nil {
							t.Fatal(err)
						}
					}
				}
				own := s.settings(bits, sandbox, tmp)
				why := "read-only file system"
				var run []string
				if mount {
					run = mounted(t, s.Clone, `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"`, sandbox)
				} else {
					why, run = "permission denied", forbidden(t, s.Clone, sandbox)
				}
				before := files(t, sandbox)
				_, stderr, code := s.Try(t, own, run[0], append(append(run[1:], s.program), s.args...)...)
				if tc.without == "" {
					if code != 0 {
						t.Fatalf("exit %d\n%s", code, stderr)
					}
					s.same(t, bits)
					if strings.Contains(stderr, "trying the next form") || strings.Contains(stderr, "instead of the listing") {
						t.Errorf("it made do with something else:\n%s", stderr)
					}
				} else {
					if code != 4 || !strings.Contains(stderr, why) || !strings.Contains(stderr, "hint:  set ENGBLD_SANDBOX_DIR to a directory that can be written") {
						t.Errorf("exit %d, want 4 and what to do:\n%s", code, stderr)
					}
					if left := files(t, bits); len(left) != 0 {
						t.Errorf("left behind: %v", left)
					}
				}
				if diff := cmp.Diff(before, files(t, sandbox)); diff != "" {
					t.Errorf("the cache has changed:\n%s", diff)
				}
				if left := files(t, tmp); len(left) != 0 {
					t.Errorf("left in TMPDIR: %v", left)
				}
				if !mount {
					return
				}
				s.Run(t, own, s.program, s.args...)
				s.same(t, bits)
			})
		}
	}
}

// forbidden is a command that runs what follows so that it may read what is below
// dir, but not write it; that ends with the test.
func forbidden(t *testing.T, c *checkout.Clone, dir string) []string {
	t.Helper()
	var run []string
	if os.Geteuid() == 0 { // who may write anywhere
		run = []string{"setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"}
	} else {
		run = []string{"env"}
	}
	if _, err := exec.LookPath(run[0]); err != nil {
		t.Skip(err)
	}
	if _, stderr, code := c.Try(t, nil, run[0], append(slices.Clone(run[1:]), "true")...); code != 0 {
		t.Skipf("root may write everywhere: %s", stderr)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		t.Cleanup(func() { os.Chmod(path, fi.Mode().Perm()) })
		return os.Chmod(path, fi.Mode().Perm()&^0o222)
	})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// TestFullCache builds with caches that have room for less and less of what is
// needed: it works, or says why not, and works when there is room again.
func TestFullCache(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	room := 0
	all := t.TempDir()
	s.Run(t, s.settings(t.TempDir(), all, t.TempDir()), s.program, s.args...)
	for _, f := range files(t, all) {
		fi, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		room += int(fi.Size()+4095) / 4096 * 4
	}
	n := often(6, 60)
	failed := 0
	for i := range n {
		bits, sandbox := t.TempDir(), t.TempDir()
		size := max(4, room*i/n)
		own := s.settings(bits, sandbox, t.TempDir())
		run := mounted(t, s.Clone, fmt.Sprintf(`mount -t tmpfs -o size=%dk none "$1"`, size), sandbox)
		_, stderr, code := s.Try(t, own, run[0], append(append(run[1:], s.program), s.args...)...)
		switch {
		case code == 0:
			s.same(t, bits)
		case code != 4 || !strings.Contains(stderr, "no space left on device") || !strings.Contains(stderr, "hint:  make room"):
			t.Errorf("%d KB: exit %d, want 4 and what to do:\n%s", size, code, stderr)
		default:
			failed++
			if left := files(t, bits); len(left) != 0 {
				t.Errorf("%d KB: left behind: %v", size, left)
			}
		}
		s.Run(t, own, s.program, s.args...)
		s.same(t, bits)
	}
	t.Logf("%d of %d builds had too little room", failed, n)
}

// mounted is a command that runs what follows after mounting, by a script, in a
// name space of its own.
func mounted(t *testing.T, c *checkout.Clone, script, dir string) []string {
	t.Helper()
	ns := []string{"unshare", "-m"}
	if os.Getuid() != 0 {
		ns = []string{"unshare", "-rm"}
	}
	run := append(ns, "sh", "-c", script+` && shift && exec "$@"`, "sh", dir)
	if _, stderr, code := c.Try(t, nil, run[0], append(slices.Clone(run[1:]), "true")...); code != 0 {
		t.Skipf("no mount can be made here: %s", stderr)
	}
	return run
}

// TestFewDescriptors: a build needs some 30 descriptors; with less it says so, and
// it ends.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	limits := []int{14, 20, 24, 48}
	if often(0, 1) == 1 {
		limits = nil
		for n := 8; n <= 64; n++ {
			limits = append(limits, n)
		}
	}
	for _, n := range limits {
		bits := t.TempDir()
		own := s.settings(bits, t.TempDir(), t.TempDir())
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, n), "sh", s.program}, s.args...)...)
		cmd.Dir, cmd.Env = s.Dir, append(slices.Clone(s.Env), own...)
		var story bytes.Buffer
		cmd.Stderr = &story
		begin := time.Now()
		err := cmd.Run()
		hung := ctx.Err() != nil
		cancel()
		switch {
		case hung:
			t.Errorf("%d descriptors: it does not end", n)
		case err == nil:
			s.same(t, bits)
		case n >= 48:
			t.Errorf("%d descriptors are not enough:\n%s", n, story.String())
		case strings.Count(story.String(), "error: ") != 1:
			t.Errorf("%d descriptors: not one error:\n%s", n, story.String())
		default:
			if left := files(t, bits); len(left) != 0 {
				t.Errorf("%d descriptors: left behind: %v", n, left)
			}
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Logf("%d descriptors: it took %v", n, took)
		}
		s.Run(t, own, s.program, s.args...)
		s.same(t, bits)
	}
}

// TestClock builds with clocks that are wrong, and jump between one build and the
// next with the same caches: with one TIMESTAMP the results are the same.
func TestClock(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	sandbox := t.TempDir()
	for _, clock := range []string{"2000-01-01T00:00:00Z", "2100-02-28T23:59:59Z", "1970-01-01T00:00:00Z", "2038-01-19T03:14:08Z", "9999-12-31T23:59:59Z",
		"0001-01-01T00:00:00Z", "2026-01-01T00:00:00Z"} {
		now, err := time.Parse(time.RFC3339, clock)
		if err != nil {
			t.Fatal(err)
		}
		bits := t.TempDir()
		if stderr, code := s.inside(t, func() time.Time { return now }, s.settings(bits, sandbox, ""), s.args...); code != 0 {
			t.Errorf("%s: exit %d\n%s", clock, code, stderr)
			continue
		}
		s.same(t, bits)
	}
	// A clock that goes backwards all the time.
	now := time.Now()
	var mu sync.Mutex
	back := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(-time.Hour)
		return now
	}
	bits := t.TempDir()
	if stderr, code := s.inside(t, back, s.settings(bits, t.TempDir(), ""), s.args...); code != 0 {
		t.Errorf("backwards: exit %d\n%s", code, stderr)
	} else {
		s.same(t, bits)
	}
}

// TestTimes: any second of the calendar can be an image's, and gives the same bytes
// each time.
func TestTimes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	sandbox := t.TempDir()
	for _, stamp := range []string{"19700101T000000Z", "19691231T235959Z", "00010101T000001Z", "20380119T031408Z", "21060207T062816Z", "99991231T235959Z"} {
		var got [2]map[string]string
		for i := range got {
			bits := t.TempDir()
			if stderr, code := s.inside(t, time.Now, s.settings(bits, sandbox, ""), "image", "build", "--timestamp", stamp, theFlavor); code != 0 {
				t.Errorf("%s: exit %d\n%s", stamp, code, stderr)
				continue
			}
			got[i] = checkout.Products(t, filepath.Join(bits, theFlavor))
		}
		if diff := cmp.Diff(got[0], got[1]); diff != "" || len(got[0]) != 3 {
			t.Errorf("%s: two builds differ:\n%s", stamp, diff)
		}
	}
}

// inside runs a command in this process.
func (s *site) inside(t *testing.T, now func() time.Time, settings []string, args ...string) (story string, code int) {
	t.Helper()
	env := map[string]string{}
	for _, e := range append(slices.Clone(s.Env), settings...) {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	var stdout, stderr bytes.Buffer
	code = app.Main(t.Context(), app.Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Getenv: func(name string) string { return env[name] }, Now: now, Dir: s.Dir}, args)
	return stderr.String(), code
}

// TestSoak builds again and again in one process: memory, goroutines, descriptors
// and disk stay what they were. It runs alone, for the sake of the numbers.
func TestSoak(t *testing.T) {
	s := newSite(t)
	bits, sandbox := t.TempDir(), t.TempDir()
	build := func() {
		if stderr, code := s.inside(t, time.Now, s.settings(bits, sandbox, ""), append(slices.Clone(s.args), "--again")...); code != 0 {
			t.Fatalf("exit %d\n%s", code, stderr)
		}
	}
	for range 3 {
		build()
	}
	first := measure(t, bits, sandbox)
	n := often(5, 500)
	for i := range n {
		build()
		if (i+1)%50 == 0 {
			t.Logf("%3d builds: %v", i+1, measure(t, bits, sandbox))
		}
	}
	s.same(t, bits)
	last := measure(t, bits, sandbox)
	// What ends by itself may take its time.
	for deadline := time.Now().Add(time.Minute); last.more(first) && time.Now().Before(deadline); {
		last = measure(t, bits, sandbox)
	}
	t.Logf("before: %v", first)
	t.Logf("after %d builds: %v", n, last)
	if last.goroutines > first.goroutines {
		t.Errorf("goroutines: %d, then %d", first.goroutines, last.goroutines)
	}
	if last.descriptors > first.descriptors {
		t.Errorf("descriptors: %d, then %d", first.descriptors, last.descriptors)
	}
	if last.files != first.files || last.disk > first.disk+1<<16 {
		t.Errorf("disk: %d files of %d bytes, then %d of %d", first.files, first.disk, last.files, last.disk)
	}
	if last.heap > first.heap+heapSlack {
		t.Errorf("memory: %d bytes, then %d", first.heap, last.heap)
	}
}

// usage is what a process holds.
type usage struct {
	goroutines, descriptors, files int
	heap                           uint64 // bytes, after collecting garbage
	disk                           int64  // bytes
}

const heapSlack = 4 << 20 // bytes

// more tells whether u has more than first of what goes away by itself.
func (u usage) more(first usage) bool {
	return u.goroutines > first.goroutines || u.descriptors > first.descriptors || u.heap > first.heap+heapSlack
}

func (u usage) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %.1f MB of memory, %d files of %d bytes", u.goroutines, u.descriptors,
		float64(u.heap)/1e6, u.files, u.disk)
}

func measure(t *testing.T, dirs ...string) (u usage) {
	t.Helper()
	// Connections take a moment to end.
	for range 100 {
		if n := runtime.NumGoroutine(); n == u.goroutines {
			break
		} else {
			u.goroutines = n
		}
		time.Sleep(20 * time.Millisecond)
	}
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.heap = m.HeapAlloc
	if open, err := os.ReadDir("/dev/fd"); err == nil {
		u.descriptors = len(open)
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			fi, err := d.Info()
			if err == nil {
				u.files++
				u.disk += fi.Size()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return u
}
