package agent

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/filelock"
	"golang.org/x/sys/unix"
)

func TestNewest(t *testing.T) {
	t.Parallel()
	names := []string{
		"amon-agent-TOOLS-10-20200101T000000Z-g1.tgz", "amon-agent-TOOLS-1-20190101T000000Z-g2.tgz", "amon-agent-TOOLS-1-20180101T000000Z-g3.tgz",
		"amon-agent-main-20200101T000000Z-g4.tgz", "amon-agent-feature-20200101T000000Z-g5.tgz", "amon-relay-TOOLS-1-20300101T000000Z-g6.tgz",
		"amon-agent-rel-1-20200101T000000Z-g7.tgz",
	}
	tests := []struct {
		agent, branch, want string
	}{
		{"TOOLS-1", "x", "amon-agent-TOOLS-1-20190101T000000Z-g2.tgz"},
		{"TOOLS-10", "x", "amon-agent-TOOLS-10-20200101T000000Z-g1.tgz"},
		{"TOOLS", "x", "amon-agent-main-20200101T000000Z-g4.tgz"},
		{"1", "x", "amon-agent-main-20200101T000000Z-g4.tgz"},
		{"", "TOOLS-10", "amon-agent-TOOLS-10-20200101T000000Z-g1.tgz"},
		{"nosuch", "TOOLS-10", "amon-agent-TOOLS-10-20200101T000000Z-g1.tgz"},
		{"", "", "amon-agent-main-20200101T000000Z-g4.tgz"},
		{"feature/x", "master", "amon-agent-feature-20200101T000000Z-g5.tgz"},
	}
	for _, tt := range tests {
		a, err := New(Options{Cache: t.TempDir(), Repo: "r", Pattern: "build/amon-agent-.*.tgz", AgentBranch: tt.agent, Branch: tt.branch})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.newest(names); got != tt.want {
			t.Errorf("branches %q, %q: got %q, want %q", tt.agent, tt.branch, got, tt.want)
		}
	}
}

func TestNewestPatterns(t *testing.T) {
	t.Parallel()
	for pattern, names := range map[string][]string{
		"ag-.*.tar.gz":        {"ag-master-1.tar.gz", "ag-master-2.tar.gz"},
		`.*-\(pkg\|x\)-.*`:    {"y-other-20200101T000000Z", "y-pkg-master-20200101T000000Z-g1.tgz"},
		"a+b-.*":              {"aab-master-3", "a+b-master-2"},
		"config-agent-.*.gz":  {"config-agent-rel-master-20300101T000000Z-g1.tar.gz", "config-agent-pkg-master-20200101T000000Z-g2.tar.gz"},
		"build/ag[ent]*-.*gz": {"other-master-9.gz", "agent-master-1.gz"},
	} {
		a, err := New(Options{Cache: t.TempDir(), Repo: "r", Pattern: pattern})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.newest(names); got != names[1] {
			t.Errorf("%s: got %q, want %q", pattern, got, names[1])
		}
	}
}

// source makes a repository whose "make release" makes an archive named after
// its branch and commit.
func source(t *testing.T, branch string) (dir string, git func(args ...string)) {
	t.Helper()
	for _, tool := range []string{"git", "make"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir = t.TempDir()
	git = func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.invalid",
			"GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.invalid")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	git("init", "-q", "-b", branch)
	put(t, filepath.Join(dir, "Makefile"), "BRANCH=own\nrelease:\n\t@[ $(BRANCH) = own ]\n\t@[ \"$$ENGBLD_SKIP_VALIDATE_BUILDENV\" = true ]\n\techo x >>builds\n"+
		"\tmkdir -p build && tar czf build/ag-$$(git symbolic-ref --short HEAD)-20200101T000000Z-g$$(git rev-parse --short HEAD).tar.gz Makefile\n")
	put(t, filepath.Join(dir, ".gitignore"), "build\nbuilds\n")
	git("add", ".")
	git("commit", "-qm", "1")
	return dir, git
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func newAgent(t *testing.T, opts Options) *Agent {
	t.Helper()
	if opts.Cache == "" {
		opts.Cache = filepath.Join(t.TempDir(), "the cache")
	}
	opts.Repo, opts.Targets = "repo", "release"
	if opts.Pattern == "" {
		opts.Pattern = "build/ag-.*.tar.gz"
	}
	a, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func head(t *testing.T, a *Agent) string {
	t.Helper()
	b, err := a.git(t.Context(), "rev-parse", "--abbrev-ref", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCloneBuildExtract(t *testing.T) {
	t.Parallel()
	src, git := source(t, "master")
	a := newAgent(t, Options{URL: src, AgentBranch: "mine"})
	do := func() {
		t.Helper()
		if err := a.Clone(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.Build(t.Context(), append(os.Environ(), "MAKEFLAGS= -- BRANCH=other", "MAKELEVEL=1")); err != nil {
			t.Fatal(err)
		}
	}
	builds := func() int {
		b, _ := os.ReadFile(filepath.Join(a.clone(), "builds"))
		return strings.Count(string(b), "x")
	}
	do()
	do()
	if head(t, a) != "master" || builds() != 1 {
		t.Errorf("branch %s, built %d times, want master, once", head(t, a), builds())
	}
	git("branch", "mine")
	git("checkout", "-q", "mine")
	put(t, filepath.Join(src, "new"), "new\n")
	git("add", ".")
	git("commit", "-qm", "2")
	do()
	if head(t, a) != "mine" || builds() != 2 {
		t.Errorf("branch %s, built %d times, want mine, twice", head(t, a), builds())
	}
	name, err := a.Archive()
	if err != nil || !strings.Contains(name, "/ag-mine-") {
		t.Errorf("archive %q, %v", name, err)
	}

	// Another component works on another branch of the same clone.
	other := newAgent(t, Options{Cache: a.opts.Cache, URL: src, Branch: "master"})
	if err := other.Clone(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := a.Build(t.Context(), os.Environ()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); err != nil {
		t.Errorf("the archive of branch mine was not built: %v", err)
	}

	into := t.TempDir()
	if err := a.Extract(t.Context(), into, "root/opt"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(into, "root/opt/Makefile")); err != nil {
		t.Error(err)
	}

	// Changes of tracked files are not lost.
	put(t, filepath.Join(a.clone(), "Makefile"), "changed\n")
	if err := a.Clone(t.Context()); err == nil || !strings.Contains(err.Error(), "Makefile") {
		t.Errorf("a changed clone: %v", err)
	}
	if err := a.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(a.clone()); err == nil {
		t.Error("the clone is still there")
	}
}

func TestCloneBranches(t *testing.T) {
	t.Parallel()
	src, git := source(t, "main")
	git("branch", "b")
	for want, opts := range map[string]Options{
		"main": {AgentBranch: "no1", Branch: "no2"},
		"b":    {AgentBranch: "no1", Branch: "b"},
	} {
		opts.URL = src
		a := newAgent(t, opts)
		if err := a.Clone(t.Context()); err != nil || head(t, a) != want {
			t.Errorf("got %s, %v, want %s", head(t, a), err, want)
		}
		// A branch that origin lost is used as it is.
		if want == "b" {
			git("branch", "-D", "b")
			if err := a.Clone(t.Context()); err != nil || head(t, a) != want {
				t.Errorf("without a branch at origin: %s, %v", head(t, a), err)
			}
		}
	}
	a := newAgent(t, Options{URL: filepath.Join(src, "nosuch")})
	if err := a.Clone(t.Context()); err == nil {
		t.Error("no error for a repository that is not there")
	}
}

// Another tool's lock is waited for, and left to it.
func TestForeignLock(t *testing.T) {
	t.Parallel()
	slept := 0
	a := newAgent(t, Options{LockTries: 3, Sleep: func(context.Context, time.Duration) error { slept++; return nil }})
	lock := filepath.Join(a.opts.Cache, "repo.lock")
	if err := os.Mkdir(lock, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := a.Clean(t.Context()); err == nil || slept != 3 || !strings.Contains(fault.Hint(err), lock) {
		t.Errorf("error %v after %d tries", err, slept)
	}
	if _, err := os.Stat(lock); err != nil {
		t.Error("another one's lock was removed")
	}
	a.opts.Sleep = func(context.Context, time.Duration) error { return os.Remove(lock) }
	if err := a.Clean(t.Context()); err != nil {
		t.Errorf("after another one's lock is given back: %v", err)
	}
}

// What a killed one left, wherever it ran and at whatever point, counts for nothing.
func TestKilledLock(t *testing.T) {
	t.Parallel()
	a := newAgent(t, Options{Sleep: func(context.Context, time.Duration) error { return errors.New("waited") }})
	mark, file := filepath.Join(a.opts.Cache, "repo.lock"), filepath.Join(a.opts.Cache, ".engbld-repo.lock")
	for _, marked := range []bool{true, false} {
		put(t, file, "")
		if marked {
			if err := os.Symlink("process 1 on a-machine-that-is-no-more", mark); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Clean(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// One at a time, which other tools see.
func TestLock(t *testing.T) {
	t.Parallel()
	var in atomic.Int32
	done := make(chan error)
	a := newAgent(t, Options{LockTries: math.MaxInt, Sleep: func(ctx context.Context, _ time.Duration) error { return sleep(ctx, time.Millisecond) }})
	lock := filepath.Join(a.opts.Cache, "repo.lock")
	for range 5 {
		go func() {
			done <- a.locked(t.Context(), func() error {
				defer in.Add(-1)
				if n := in.Add(1); n > 1 {
					t.Errorf("%d at once hold the lock", n)
				}
				if err := os.Mkdir(lock, 0o777); !errors.Is(err, fs.ErrExist) {
					t.Errorf("another tool can take the lock: %v", err)
				}
				time.Sleep(2 * time.Millisecond)
				return nil
			})
		}()
	}
	for range 5 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(a.opts.Cache, "*lock*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}

	held, err := filelock.Try(filepath.Join(a.opts.Cache, ".engbld-repo.lock"))
	if err != nil || held == nil {
		t.Fatal(held, err)
	}
	defer held.Remove()
	if err := os.Symlink("process 5 on m", lock); err != nil {
		t.Fatal(err)
	}
	a.opts.LockTries = 2
	if err := a.Clean(t.Context()); err == nil || !strings.Contains(err.Error(), "process 5 on m") {
		t.Errorf("while somebody has the lock: %v", err)
	}
}

// A build that is told to end leaves nobody behind in the clone.
func TestBuildEndsWhole(t *testing.T) {
	t.Parallel()
	src, git := source(t, "master")
	put(t, filepath.Join(src, "Makefile"), "release:\n\t(exec 3<>../hold; echo up >../up; while :; do read x <&3; done; : >../late) & wait\n")
	git("commit", "-qam", "2")
	a := newAgent(t, Options{URL: src})
	if err := a.Clone(t.Context()); err != nil {
		t.Fatal(err)
	}
	hold, up := filepath.Join(a.opts.Cache, "hold"), filepath.Join(a.opts.Cache, "up")
	for _, f := range []string{hold, up} {
		if err := unix.Mkfifo(f, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		os.ReadFile(up) // until the one below make is there
		cancel(cause)
	}()
	if err := a.Build(ctx, os.Environ()); !errors.Is(err, cause) {
		t.Errorf("Build = %v, want the context's cause", err)
	}
	f, err := os.OpenFile(hold, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if !errors.Is(err, syscall.ENXIO) {
		f.Close()
		t.Errorf("somebody still has the fifo open: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(a.opts.Cache, "*lock*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// archive returns a compressed archive with one file.
func archive(t *testing.T, file string) string {
	t.Helper()
	var b strings.Builder
	gz := gzip.NewWriter(&b)
	tw := tar.NewWriter(gz)
	for _, err := range []error{tw.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Typeflag: tar.TypeReg}), tw.Close(), gz.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// halve leaves half of a file.
func halve(t *testing.T, file string) {
	t.Helper()
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, st.Size()/2); err != nil {
		t.Fatal(err)
	}
}

// Half an archive is none, whatever commit its name tells of.
func TestHalfArchive(t *testing.T) {
	t.Parallel()
	src, git := source(t, "master")
	a := newAgent(t, Options{URL: src})
	if err := a.Clone(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Build(t.Context(), os.Environ()); err != nil {
		t.Fatal(err)
	}
	name, err := a.Archive()
	if err != nil {
		t.Fatal(err)
	}
	into := t.TempDir()
	put(t, filepath.Join(into, "file"), "")
	if err := a.Extract(t.Context(), into, "file"); err == nil || fault.Hint(err) != "" {
		t.Errorf("into a file: %v, hint %q", err, fault.Hint(err))
	}
	if _, err := os.Stat(name); err != nil {
		t.Errorf("an archive that is whole was removed: %v", err)
	}

	halve(t, name)
	if err := a.Extract(t.Context(), into, "d"); err == nil || !strings.Contains(fault.Hint(err), "build") {
		t.Errorf("half an archive: %v, hint %q", err, fault.Hint(err))
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("half an archive was left")
	}
	for _, spoil := range []func(){func() {}, func() { halve(t, name) }, func() { put(t, name, "") }} {
		spoil()
		if err := a.Build(t.Context(), os.Environ()); err != nil {
			t.Fatal(err)
		}
		if err := a.Extract(t.Context(), into, "d"); err != nil {
			t.Error(err)
		}
	}

	// What make was at when it failed is not up to date for the next run.
	put(t, filepath.Join(src, "Makefile"), "release:\n\tmkdir -p build && cp ../whole build/ag-master-20200101T000000Z-g$$(git rev-parse --short HEAD).tar.gz\n\t[ -e ../works ]\n")
	put(t, filepath.Join(a.opts.Cache, "whole"), archive(t, "f"))
	git("commit", "-qam", "2")
	if err := a.Clone(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Build(t.Context(), os.Environ()); err == nil {
			t.Error("a build that failed is up to date")
		}
	}
	put(t, filepath.Join(a.opts.Cache, "works"), "")
	if err := a.Build(t.Context(), os.Environ()); err != nil {
		t.Error(err)
	}
}

func TestHalfDownload(t *testing.T) {
	t.Parallel()
	const name = "ag-master-20200101T000000Z-g1.tar.gz"
	dir := t.TempDir()
	put(t, filepath.Join(dir, name), archive(t, "f"))
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer srv.Close()
	a := newAgent(t, Options{Download: srv.URL, Fetch: &client{}})
	kept := filepath.Join(a.opts.Cache, name)
	for range 2 {
		if err := a.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.Extract(t.Context(), t.TempDir(), ""); err != nil {
			t.Error(err)
		}
		halve(t, kept)
	}
	put(t, filepath.Join(dir, name), "<h1>It is not here</h1>\n")
	for _, from := range []string{srv.URL, dir} {
		a.opts.Download = from
		if err := a.Get(t.Context()); fault.KindOf(err) != fault.Network {
			t.Errorf("%s sends something else: %v", from, err)
		}
		if _, err := os.Stat(kept); err == nil {
			t.Errorf("what %s sent was left", from)
		}
	}
}

type client struct{ http.Client }

func (c *client) Get(ctx context.Context, url string, limit int64) ([]byte, error) {
	r, err := c.Client.Get(url)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != 200 {
		return nil, fault.Network.Errorf("%s: %s", url, r.Status)
	}
	return io.ReadAll(io.LimitReader(r.Body, limit))
}

func (c *client) GetFile(ctx context.Context, url, dst string) error {
	b, err := c.Get(ctx, url, 1<<20)
	if err != nil {
		return err
	}
	return os.WriteFile(dst, b, 0o666)
}

func TestDownload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, n := range []string{"ag-master-20200101T000000Z-g1.tar.gz", "ag-x-20200101T000000Z-g2.tar.gz", "other"} {
		put(t, filepath.Join(dir, "agents", n), archive(t, n))
	}
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer srv.Close()
	for _, from := range []string{filepath.Join(dir, "agents"), srv.URL + "/agents", srv.URL + "/agents/"} {
		for branch, want := range map[string]string{"x": "ag-x-20200101T000000Z-g2.tar.gz", "none": "ag-master-20200101T000000Z-g1.tar.gz"} {
			a := newAgent(t, Options{Download: from, Branch: branch, Fetch: &client{}})
			if err := a.Get(t.Context()); err != nil {
				t.Errorf("%s: %v", from, err)
				continue
			}
			got, err := a.Archive()
			if err != nil || filepath.Base(got) != want || filepath.Dir(got) != a.opts.Cache {
				t.Errorf("%s, branch %s: %q, %v, want %q", from, branch, got, err, want)
			}
		}
	}
	for _, from := range []string{filepath.Join(dir, "nosuch"), srv.URL + "/nosuch"} {
		if err := newAgent(t, Options{Download: from, Fetch: &client{}}).Get(t.Context()); err == nil {
			t.Errorf("%s: no error", from)
		}
	}
}

func TestCommandUsage(t *testing.T) {
	t.Parallel()
	c := t.TempDir()
	for _, args := range [][]string{{}, {"frobnicate"}, {"-c", c, "-r", "r", "clean"}, {"-c", c, "-r", "../r", "-p", "p", "clean"},
		{"-c", c, "-r", "r", "-p", "p", "frobnicate"}, {"-c", c, "-r", "r", "-p", "p", "clone"}, {"-c", c, "-r", "r", "-p", "p", "build"}} {
		cmd := Command(Deps{})
		cmd.SetArgs(args)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		if err := cmd.ExecuteContext(t.Context()); fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// What is in the cache is run and goes into images: where everybody can make names it
// is this user's alone.
func TestCacheIsOurs(t *testing.T) {
	t.Parallel()
	const stranger = 54321
	top := filepath.Join(t.TempDir(), "tmp")
	if err := errors.Join(os.MkdirAll(filepath.Join(top, "cache"), 0o755), os.Chmod(top, 0o777|fs.ModeSticky), os.Chmod(filepath.Join(top, "cache"), 0o777)); err != nil {
		t.Fatal(err)
	}
	place := t.TempDir()
	open := func(cache string) error {
		_, err := New(Options{Cache: cache, Repo: "repo", Pattern: "ag-.*"})
		return err
	}
	fresh := filepath.Join(top, "cache", "fresh")
	for _, c := range []struct{ was, want os.FileMode }{{0, 0o700}, {0o755, 0o755}, {0o775, 0o755}} {
		if c.was != 0 {
			if err := os.Chmod(fresh, c.was); err != nil {
				t.Fatal(err)
			}
		}
		if err := open(fresh); err != nil {
			t.Errorf("a cache of mode %o: %v", c.was, err)
		}
		if fi, err := os.Stat(fresh); err != nil || fi.Mode().Perm() != c.want {
			t.Errorf("a cache of mode %o has %v, %v, want %o", c.was, fi.Mode(), err, c.want)
		}
	}
	for name, setup := range map[string]func(dir string) error{
		"everybody's": func(dir string) error { return os.Chmod(dir, 0o777) },
		"a link": func(dir string) error {
			if err := os.Rename(dir, dir+"-real"); err != nil {
				return err
			}
			return os.Symlink(dir+"-real", dir)
		},
		"another user's": func(dir string) error {
			if os.Geteuid() != 0 {
				return fs.ErrPermission
			}
			return os.Lchown(dir, stranger, stranger)
		},
	} {
		for _, above := range []string{top, place} {
			dir := filepath.Join(above, name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := setup(dir); err != nil {
				t.Logf("%s: only root gives files to other users: %v", name, err)
				continue
			}
			err := open(dir)
			switch {
			case above == place && name != "everybody's":
				if err != nil {
					t.Errorf("%s, in a place of ours: %v", name, err)
				}
			case fault.KindOf(err) != fault.Unfit || !strings.Contains(err.Error(), dir) || !strings.Contains(fault.Hint(err), dir):
				t.Errorf("%s: %v, hint %q", name, err, fault.Hint(err))
			}
		}
	}
	// A group's directory stays the group's.
	team := filepath.Join(place, "team")
	if err := errors.Join(os.Mkdir(team, 0o755), os.Chmod(team, 0o775), open(team)); err != nil {
		t.Error(err)
	}
	if fi, err := os.Stat(team); err != nil || fi.Mode().Perm() != 0o775 {
		t.Errorf("a group's cache has %v, %v", fi.Mode(), err)
	}
	if err := open(filepath.Join(place, "new", "cache")); err != nil {
		t.Error(err)
	}
}

// A name that somebody made where the copy of an archive was to go is not written through.
func TestDownloadThroughLink(t *testing.T) {
	t.Parallel()
	from, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	const name = "ag-master-20200101T000000Z-g1.tar.gz"
	whole := archive(t, "f")
	put(t, filepath.Join(from, name), whole)
	put(t, victim, "precious")
	a := newAgent(t, Options{Download: from})
	for _, n := range []string{".engbld-" + name, name} {
		if err := os.Symlink(victim, filepath.Join(a.opts.Cache, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("the other file is %q, %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(a.opts.Cache, name)); err != nil || string(b) != whole {
		t.Errorf("the archive is %q, %v", b, err)
	}
}

// Agents are not unpacked into another user's directory where everybody can make names.
func TestExtractIntoAnothers(t *testing.T) {
	t.Parallel()
	shared := filepath.Join(t.TempDir(), "tmp")
	if err := os.Mkdir(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shared, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	from := t.TempDir()
	put(t, filepath.Join(from, "file"), "text")
	a := newAgent(t, Options{Download: "here"})
	if out, err := exec.Command("tar", "-C", from, "-czf", filepath.Join(a.opts.Cache, "ag-master-20200101T000000Z-g1.tar.gz"), "file").CombinedOutput(); err != nil {
		t.Skipf("tar: %v\n%s", err, out)
	}
	stage, other := filepath.Join(shared, "stage"), t.TempDir()
	if err := os.Symlink(other, stage); err != nil {
		t.Fatal(err)
	}
	if err := a.Extract(t.Context(), stage, ""); fault.KindOf(err) != fault.Unfit || !strings.Contains(fault.Hint(err), "BUILDIMAGE_STAGEDIR=") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(other); err != nil || len(left) > 0 {
		t.Errorf("unpacked there: %v, %v", left, err)
	}
	for range 2 {
		if err := a.Extract(t.Context(), filepath.Join(shared, "ours"), ""); err != nil {
			t.Error(err)
		}
	}
}
