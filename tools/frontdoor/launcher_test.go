package frontdoor

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stubGo stands in for the go command: it records its arguments and environment
// and "builds" a program that tells how it was called.
const stubGo = `#!/bin/sh
echo "args=$*" >> "$STUB_LOG"
echo "env=${GOOS-unset},${GOARCH-unset},${GOFLAGS-unset},$GOWORK,$CGO_ENABLED dir=$PWD cache=$GOCACHE" >> "$STUB_LOG"
[ -z "$STUB_FAIL" ] || { echo "stub: it does not compile" >&2; exit 1; }
for a; do [ "$p" = -o ] && out=$a; p=$a; done
cat > "$out" <<'EOT'
#!/bin/sh
echo "pwd=$PWD root=$ENGBLD_ROOT"
for a; do echo "arg=$a"; done
exit ${STUB_EXIT:-0}
EOT
chmod 755 "$out"
sleep ${STUB_SLEEP:-0}
while [ -n "$STUB_WAIT" ] && ! [ -e "$STUB_WAIT" ]; do sleep 0.05; done
`

// launcher is a small checkout with the real tools/engbld.sh.
type launcher struct {
	command
	dir, log, cache, bin string
}

func newLauncher(t testing.TB) launcher {
	t.Helper()
	need(t, "sha256sum")
	tmp := t.TempDir()
	l := launcher{dir: filepath.Join(tmp, "eng"), log: filepath.Join(tmp, "log"), cache: filepath.Join(tmp, "cache"), bin: filepath.Join(tmp, "bin")}
	newCheckout(t, l.dir)
	write(t, filepath.Join(l.bin, "go"), stubGo, 0o777)
	l.command = command{dir: tmp, path: l.bin + ":" + os.Getenv("PATH"), env: []string{"STUB_LOG=" + l.log, "ENGBLD_CACHE_DIR=" + l.cache}}
	return l
}

func newCheckout(t testing.TB, dir string) {
	t.Helper()
	copyTo(t, dir, "tools/engbld.sh")
	copyTo(t, dir, "tools/redact.sh")
	for name, text := range map[string]string{
		"go.mod": "module x\n", "go.sum": "", "images/a.toml": "a\n", "tools/engbld/main.go": "package main\n",
		"tools/x/x_test.go": "package x\n", "tools/x/testdata/big": "1\n", "tools/x/x.go": "package x\n",
	} {
		write(t, filepath.Join(dir, name), text, 0o666)
	}
}

func (l launcher) script() string { return filepath.Join(l.dir, "tools/engbld.sh") }

// builds counts the calls of go.
func (l launcher) builds() int {
	data, _ := os.ReadFile(l.log)
	return strings.Count(string(data), "args=")
}

func TestLauncherBuildsOnceAndRuns(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	l.env = append(l.env, "GOOS=plan9", "GOARCH=arm", "GOFLAGS=-mod=vendor", "GOWORK=/x/go.work", "STUB_EXIT=7")
	for range 3 {
		r := l.run(t, l.script(), "image", "two words", "*")
		want := fmt.Sprintf("pwd=%s root=%s\narg=image\narg=two words\narg=*\n", l.command.dir, l.dir)
		if r.code != 7 || r.stdout != want {
			t.Fatalf("exit %d, stdout %q, want 7, %q\n%s", r.code, r.stdout, want, r.stderr)
		}
	}
	if n := l.builds(); n != 1 {
		t.Errorf("built %d times", n)
	}
	log := read(t, l.log)
	for _, want := range []string{"args=build -mod=readonly -trimpath -buildvcs=false -o ", " ./tools/engbld\n", "env=,,,off,0 dir=" + l.dir} {
		if !strings.Contains(log, want) {
			t.Errorf("go was called as %q, without %q", log, want)
		}
	}
}

// Of a CDPATH that the user has, cd takes directories, and says so on stdout.
func TestCDPATH(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	doors := []string{"tools/agent-prebuilt.sh", "tools/bashstyle", "tools/bits-upload.sh", "tools/buildimage/bin/buildimage", "tools/check-copyright",
		"tools/download_go", "tools/images-imgadm", "tools/updates-imgadm"}
	copyTo(t, l.dir, doors...)
	other := filepath.Join(t.TempDir(), "other")
	if err := os.MkdirAll(filepath.Join(other, "eng/tools/buildimage/bin"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, cdpath := range []string{".", other} {
		l.env = append(l.env, "CDPATH="+cdpath)
		for _, path := range append(doors, "tools/engbld.sh") {
			r := l.run(t, "eng/"+path, "x")
			if r.code != 0 || !strings.HasSuffix(r.stdout, "arg=x\n") {
				t.Errorf("CDPATH=%s %s: exit %d, %q, %s", cdpath, path, r.code, r.stdout, r.stderr)
			}
		}
	}
}

func TestLauncherKey(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	path := func() string { return l.ok(t, l.script(), "--engbld-path") }
	first := path()
	if !strings.HasPrefix(first, l.cache+"/bin/") || !strings.HasSuffix(first, "/engbld\n") {
		t.Fatal(first)
	}
	write(t, filepath.Join(l.dir, "tools/x/x_test.go"), "package x // changed\n", 0o666)
	write(t, filepath.Join(l.dir, "tools/x/testdata/big"), "2\n", 0o666)
	for _, name := range []string{"images/f/make_stamps/buildimage-prep", "images/f/flavor.lock",
		"images/f/.engbld-new", "tools/examples/mage/magefile.go"} {
		write(t, filepath.Join(l.dir, name), "x\n", 0o666)
	}
	if got := path(); got != first {
		t.Error("tests, examples or what builds leave count as sources")
	}
	seen := map[string]bool{first: true}
	for _, change := range []func(){
		func() { write(t, filepath.Join(l.dir, "tools/x/x.go"), "package y\n", 0o666) },
		func() { write(t, filepath.Join(l.dir, "tools/x/new.go"), "package y\n", 0o666) },
		func() { write(t, filepath.Join(l.dir, "images/a.toml"), "b\n", 0o666) },
		func() { write(t, filepath.Join(l.dir, "go.mod"), "module y\n", 0o666) },
		func() {
			// same size, and the old time put back, as cp -p does
			f := filepath.Join(l.dir, "tools/x/x.go")
			info, err := os.Stat(f)
			if err != nil {
				t.Fatal(err)
			}
			write(t, f, "package z\n", 0o666)
			if err := os.Chtimes(f, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		change()
		got := path()
		if seen[got] {
			t.Errorf("%s was there before", got)
		}
		seen[got] = true
	}
	// another checkout of the same sources shares the program
	n := l.builds()
	other := filepath.Join(t.TempDir(), "a place with blanks")
	newCheckout(t, other)
	if got := l.ok(t, filepath.Join(other, "tools/engbld.sh"), "--engbld-path"); got != first {
		t.Errorf("%s, not %s", got, first)
	}
	if l.builds() != n {
		t.Error("built again")
	}
}

func TestLauncherInParallel(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	l.env = append(l.env, "STUB_SLEEP=0.3")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if r := l.run(t, l.script(), "x"); r.code != 0 || !strings.HasSuffix(r.stdout, "arg=x\n") {
				t.Errorf("exit %d, %q, %q", r.code, r.stdout, r.stderr)
			}
		})
	}
	wg.Wait()
	if n := l.builds(); n != 1 {
		t.Errorf("built %d times", n)
	}
	l.onlyFinished(t)
}

// onlyFinished wants nothing half-made in the cache.
func (l launcher) onlyFinished(t testing.TB) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(l.cache, "bin/*/.engbld-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestLauncherStaleLock(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	bin := strings.TrimSpace(l.ok(t, l.script(), "--engbld-path"))
	if err := os.Remove(bin); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimSpace(l.ok(t, "uname", "-n"))
	write(t, filepath.Join(filepath.Dir(bin), ".engbld-lock/owner"), "4194305 "+host+"\n", 0o666)
	write(t, filepath.Join(l.bin, "sleep"), "#!/bin/sh\necho \"sleep $*\" >>\"$STUB_LOG\"\n", 0o777)
	l.ok(t, l.script(), "--engbld-path")
	if log := read(t, l.log); strings.Contains(log, "sleep 1\n") {
		t.Error("waited for a process that is gone")
	}
	l.onlyFinished(t)
}

// A program that lost something is built again, and never taken for a script.
func TestLauncherHalfProgram(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"sh", "dash", "bash", "ksh93"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			l := newLauncher(t)
			run := func(builds int) {
				t.Helper()
				if out := l.ok(t, shell, l.script(), "x"); !strings.HasSuffix(out, "arg=x\n") || l.builds() != builds {
					t.Errorf("built %d times, want %d; output %q", l.builds(), builds, out)
				}
			}
			run(1)
			bin := strings.TrimSpace(l.ok(t, shell, l.script(), "--engbld-path"))
			whole := filepath.Join(filepath.Dir(bin), "size")
			program := read(t, bin)
			touch := func(name string, d time.Duration) { // d after the program was built
				t.Helper()
				if err := os.Chtimes(name, time.Time{}, time.Now().Add(-time.Hour).Add(d)); err != nil {
					t.Fatal(err)
				}
			}
			put := func(text string, d time.Duration) {
				t.Helper()
				write(t, bin, text, 0o777)
				touch(whole, 0)
				touch(bin, d)
			}
			put("", -time.Minute) // as a lost write leaves it
			run(2)
			put(strings.Repeat("\x00", len(program)), -time.Minute)
			run(3)
			put(program[:len(program)/2], time.Minute)
			run(4)
			if err := os.Remove(whole); err != nil { // the power went off before that
				t.Fatal(err)
			}
			run(5)
			put(program, time.Minute) // a copy of the cache
			run(5)
			run(5)
			l.onlyFinished(t)
		})
	}
}

func TestLauncherInterrupted(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	l.env = append(l.env, "STUB_WAIT="+filepath.Join(l.command.dir, "go on"))
	r := l.run(t, "sh", "-c", `"$0" x & pid=$!
		until grep -qs env= "$STUB_LOG"; do sleep 0.05; done
		kill -TERM $pid; : >"$STUB_WAIT"; wait $pid`, l.script())
	if r.code != 143 {
		t.Errorf("exit %d, want 143: %s", r.code, r.stderr)
	}
	l.onlyFinished(t)
	if bins, _ := filepath.Glob(filepath.Join(l.cache, "bin/*/engbld")); len(bins) > 0 {
		t.Errorf("a program of an interrupted build: %v", bins)
	}
}

func TestLauncherWithoutHome(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	l.env = []string{"STUB_LOG=" + l.log, "TMPDIR=" + l.cache, "HOME="}
	if err := os.Mkdir(l.cache, 0o777); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(l.cache, fmt.Sprintf("engbld-%d", os.Getuid()))
	bin := l.ok(t, l.script(), "--engbld-path")
	if !strings.HasPrefix(bin, dir+"/bin/") {
		t.Errorf("%s is not in %s", bin, dir)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v: not private", info, err)
	}
	if log := read(t, l.log); !strings.Contains(log, "cache="+dir) {
		t.Errorf("go has no cache: %s", log)
	}
}

func TestLauncherForeignHome(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can give a home away")
	}
	l := newLauncher(t)
	home := t.TempDir()
	if err := os.Chown(home, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	l.env = []string{"STUB_LOG=" + l.log, "TMPDIR=" + l.command.dir, "HOME=" + home}
	l.ok(t, l.script(), "x")
	if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
		t.Errorf("root wrote into a user's home: %v %v", left, err)
	}
}

func TestLauncherWritesNothingBesideItself(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	before := l.ok(t, "find", l.dir, "-printf", "%p %T@ %C@\n")
	link := filepath.Join(l.command.dir, "link")
	if err := os.Symlink(l.dir, link); err != nil {
		t.Fatal(err)
	}
	l.ok(t, filepath.Join(link, "tools/engbld.sh"), "x")
	if after := l.ok(t, "find", l.dir, "-printf", "%p %T@ %C@\n"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// withoutGo is a PATH with the tools the launcher needs and no go.
func withoutGo(t testing.TB, c command, dir string) string {
	t.Helper()
	for _, tool := range []string{"sh", "find", "sort", "xargs", "cat", "uname", "id", "mkdir", "mv", "rm", "sed", "sleep", "tr",
		"sha256sum", "ls", "wc", "cp", "chmod", "git", "make", "date", "printf", "env", "touch", "dirname", "awk", "true", "false"} {
		if p := strings.TrimSpace(c.ok(t, "sh", "-c", "command -v "+tool)); strings.HasPrefix(p, "/") {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(p, filepath.Join(dir, tool)); err != nil && !os.IsExist(err) {
				t.Fatal(err)
			}
		}
	}
	for _, tool := range []string{"sh", "printf", "true", "false"} { // builtins have no path to ask for
		for _, p := range []string{"/bin/" + tool, "/usr/bin/" + tool} {
			if _, err := os.Stat(p); err == nil {
				_ = os.Symlink(p, filepath.Join(dir, tool))
			}
		}
	}
	return dir
}

func TestLauncherWithoutGo(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	path := withoutGo(t, l.command, filepath.Join(t.TempDir(), "p"))
	sum := func(text string) string {
		f := filepath.Join(t.TempDir(), "f")
		write(t, f, text, 0o666)
		return strings.Fields(l.ok(t, "sha256sum", f))[0]
	}
	goarch := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[strings.TrimSpace(l.ok(t, "uname", "-m"))]
	name := "engbld-" + strings.ToLower(strings.TrimSpace(l.ok(t, "uname", "-s"))) + "-" + goarch
	const program = "#!/bin/sh\necho prebuilt $*\n"

	for _, c := range []struct {
		name     string
		program  string // in ENGBLD_PREBUILT_DIR; empty: the variable is not set
		sums     string // tools/SHA256SUMS
		env      string
		code     int
		out, err string
	}{
		{name: "nothing", code: 6, err: `there is no "go" on PATH`},
		{name: "another go", env: "ENGBLD_GO=/no/such/go", code: 6, err: `there is no "/no/such/go" on PATH`},
		{name: "prebuilt", program: program, sums: sum(program) + "  " + name + "\n", out: "prebuilt x\n"},
		{name: "changed", program: program + "#", sums: sum(program) + "  " + name + "\n", code: 5, err: "has sha256 "},
		{name: "not released", program: program, code: 6, err: "does not name " + name},
		{name: "missing", program: "-", sums: sum(program) + "  " + name + "\n", code: 6, err: "no prebuilt program "},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLauncher(t)
			l.path = path
			if c.env != "" {
				l.env = append(l.env, c.env)
			}
			if c.program != "" {
				dir := t.TempDir()
				if c.program != "-" {
					write(t, filepath.Join(dir, name), c.program, 0o666)
				}
				l.env = append(l.env, "ENGBLD_PREBUILT_DIR="+dir)
			}
			if c.sums != "" {
				write(t, filepath.Join(l.dir, "tools/SHA256SUMS"), c.sums, 0o666)
			}
			r := l.run(t, l.script(), "x")
			if r.code != c.code || r.stdout != c.out || !strings.Contains(r.stderr, c.err) {
				t.Errorf("exit %d, stdout %q, stderr %q; want %d, %q, %q", r.code, r.stdout, r.stderr, c.code, c.out, c.err)
			}
			l.onlyFinished(t)
		})
	}
}

// A prebuilt program's address may hold a password: it is used, and is neither an
// argument nor in what is said.
func TestLauncherPrebuiltAddress(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	const program = "#!/bin/sh\necho prebuilt $*\n"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != `s3cret"\` || !strings.HasPrefix(r.URL.Path, "/dist/engbld-") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, program)
	}))
	t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "http://")
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(program)))
	for _, shell := range []string{"sh", "dash", "ksh93", "bash"} {
		bin, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		for _, c := range []struct {
			name, url, sum string
			code           int
			want           string // in stderr
		}{
			{"there", `http://ci:s3cret"\@` + host + "/dist", sum, 0, ""},
			{"another", `http://ci:s3cret"\@` + host + "/dist", strings.Repeat("0", 64), 5, " has sha256 " + sum},
			{"missing", "http://ci:s3cret@" + host + "/nosuch", sum, 5, "http://" + host + "/nosuch/engbld-"},
			{"refused", "http://ci:s3cret@127.0.0.1:1/dist?s3cret", sum, 5, "http://127.0.0.1:1/dist did not work"},
			{"no address", "http://ci:s3cret/s3cret@127.0.0.1:1", sum, 5, "http://127.0.0.1:1/engbld-"},
			{"no password", "http://127.0.0.1:1", sum, 5, "curl: (7)"},
		} {
			t.Run(shell+" "+c.name, func(t *testing.T) {
				t.Parallel()
				l := newLauncher(t)
				l.path = withoutGo(t, l.command, filepath.Join(t.TempDir(), "p"))
				curl, err := exec.LookPath("curl")
				if err != nil {
					t.Fatal(err)
				}
				args := filepath.Join(t.TempDir(), "args")
				write(t, filepath.Join(l.path, "curl"), "#!/bin/sh\necho \"$@\" >'"+args+"'\nexec "+curl+" --retry-delay 1 \"$@\" --retry 0\n", 0o777)
				l.env = append(l.env, "ENGBLD_PREBUILT_URL="+c.url)
				goos, goarch := runtime.GOOS, runtime.GOARCH
				write(t, filepath.Join(l.dir, "tools/SHA256SUMS"), c.sum+"  engbld-"+goos+"-"+goarch+"\n", 0o666)
				r := l.run(t, bin, l.script(), "x")
				if r.code != c.code || c.code == 0 && r.stdout != "prebuilt x\n" || !strings.Contains(r.stderr, c.want) {
					t.Errorf("exit %d, stdout %q, stderr %q; want %d, %q", r.code, r.stdout, r.stderr, c.code, c.want)
				}
				if all := r.stdout + r.stderr + read(t, args); strings.Contains(all, "s3cret") {
					t.Error(all)
				}
				l.onlyFinished(t)
			})
		}
	}
}

func TestLauncherBuildFails(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	l.env = append(l.env, "STUB_FAIL=1")
	r := l.run(t, l.script(), "x")
	if r.code != 6 || !strings.Contains(r.stderr, "it does not compile") || !strings.Contains(r.stderr, "did not work, for the reason above") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	l.onlyFinished(t)
}

func TestLauncherCacheUnusable(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	write(t, l.cache, "a file\n", 0o666)
	if r := l.run(t, l.script(), "x"); r.code != 6 || !strings.Contains(r.stderr, "no place for the program") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// Programs of sources long gone do not pile up.
func TestLauncherKeepsTheNewest(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	old := time.Now().Add(-time.Hour)
	for i := range 30 {
		dir := filepath.Join(l.cache, "bin", fmt.Sprintf("%064d", i))
		write(t, filepath.Join(dir, "engbld"), "", 0o777)
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}
	l.ok(t, l.script(), "x")
	if kept, err := os.ReadDir(filepath.Join(l.cache, "bin")); err != nil || len(kept) != 20 {
		t.Errorf("%d programs are kept, %v", len(kept), err)
	}
	l.ok(t, l.script(), "x")
	if l.builds() != 1 {
		t.Error("the newest is gone")
	}
}

// A launcher that finds its program adds little to every recipe: ≤ 15 ms.
func BenchmarkLauncher(b *testing.B) {
	l := newLauncher(b)
	copyTo(b, l.dir, "tools/sandbox")
	l.ok(b, l.script(), "x")
	for b.Loop() {
		if err := syscall.Access(l.script(), 1); err != nil {
			b.Fatal(err)
		}
		l.ok(b, l.script(), "--engbld-path")
	}
}
