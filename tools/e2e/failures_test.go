package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
)

// TestBadInput: each mistake has its exit code and one message with what is
// wrong, and leaves nothing in the results directory.
func TestBadInput(t *testing.T) {
	t.Parallel()
	c := checkout.New(t, "clone")
	flavorFile := filepath.Join(c.Dir, "images", theFlavor, "flavor.toml")
	good, err := os.ReadFile(flavorFile)
	if err != nil {
		t.Fatal(err)
	}
	build := []string{"image", "build", "--timestamp", stampTime, theFlavor}
	for _, tc := range []struct {
		name     string
		flavor   string // replaces "description" in the flavor file
		settings []string
		args     []string
		code     int
		want     []string
	}{
		{name: "unknown flavor", args: []string{"image", "build", "triton-origin-x86_64-24.4.2"}, code: 2,
			want: []string{`unknown flavor "triton-origin-x86_64-24.4.2"`, "triton-origin-x86_64-24.4.1"}},
		{name: "unknown key in a flavor file", flavor: "descripton", args: build, code: 2, want: []string{"flavor.toml:3", "descripton", "description"}},
		{name: "timestamp", args: []string{"image", "build", "--timestamp", "today", theFlavor}, code: 2, want: []string{`"today"`}},
		{name: "server out of reach", settings: []string{"ENGBLD_SANDBOX=false", "ENGBLD_IMAGE_SOURCE=http://127.0.0.1:9", "ENGBLD_OFFLINE="},
			args: build, code: 5, want: []string{"127.0.0.1:9", "ENGBLD_SANDBOX=true", "ENGBLD_IMAGE_SOURCE=DIR"}},
		{name: "source that is no directory", settings: []string{"ENGBLD_SANDBOX=false", "ENGBLD_IMAGE_SOURCE=/nonexistent"}, args: build, code: 2,
			want: []string{"/nonexistent"}},
		{name: "offline", settings: []string{"ENGBLD_SANDBOX=false", "ENGBLD_OFFLINE=true"}, args: build, code: 5, want: []string{"ENGBLD_OFFLINE is set"}},
		{name: "unknown engine", settings: []string{"ENGBLD_ENGINE=steam"}, args: build, code: 2, want: []string{"steam"}},
		{name: "unknown verb", args: []string{"imgae"}, code: 2, want: []string{"imgae", "engbld image"}},
		{name: "manifest without version", settings: []string{`BUILDIMAGE_MF={"name":"x"}`}, code: 2, want: []string{"version", "BUILDIMAGE_MF"},
			args: []string{"image", "make", "--name", "x", "--prefix", "x-zfs", "--version", "1", "--timestamp", stampTime, "--base", "41bd4100-eb86-409a-85b0-e649aadf6f62"}},
		{name: "component archive missing", settings: []string{`BUILDIMAGE_MF={"name":"x","version":"1"}`}, code: 4, want: []string{"none.tar.gz", "make release"},
			args: []string{"image", "make", "--name", "x", "--prefix", "x-zfs", "--timestamp", stampTime, "--base", "41bd4100-eb86-409a-85b0-e649aadf6f62", "--package", "none.tar.gz"}},
		{name: "foreign binary", settings: []string{`BUILDIMAGE_MF={"name":"x","version":"1"}`}, code: 7, want: []string{"sh", "ENGBLD_ALLOW_FOREIGN"},
			args: []string{"image", "make", "--name", "x", "--prefix", "x-zfs", "--timestamp", stampTime, "--base", "41bd4100-eb86-409a-85b0-e649aadf6f62", "--package", foreignArchive(t)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := good
			if tc.flavor != "" {
				text = bytes.Replace(good, []byte("description"), []byte(tc.flavor), 1)
			}
			if err := os.WriteFile(flavorFile, text, 0o644); err != nil {
				t.Fatal(err)
			}
			bits := t.TempDir()
			stdout, stderr, code := c.Try(t, append([]string{"ENGBLD_BITS_DIR=" + bits}, tc.settings...), "tools/engbld.sh", tc.args...)
			if code != tc.code {
				t.Errorf("exit %d, want %d\n%s", code, tc.code, stderr)
			}
			if stdout != "" {
				t.Errorf("stdout %q, want nothing", stdout)
			}
			if n := strings.Count(stderr, "error: "); n != 1 {
				t.Errorf("%d error messages, want one:\n%s", n, stderr)
			}
			for _, w := range tc.want {
				if !strings.Contains(stderr, w) {
					t.Errorf("stderr lacks %q:\n%s", w, stderr)
				}
			}
			if left := files(t, bits); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// foreignArchive packs this machine's own shell, the classical mistake.
func foreignArchive(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "root/opt/x"), 0o755); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "root/opt/x/sh"), b, 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "x.tar.gz")
	c := checkout.Clone{Dir: dir, Env: os.Environ()}
	c.Run(t, nil, "tar", "czf", name, "root")
	return name
}

func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// signalAt runs a command and sends it a signal when a line of its story has this
// text.
func signalAt(t *testing.T, cmd *exec.Cmd, sig syscall.Signal, text string) {
	t.Helper()
	story, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(story)
	for in.Scan() && !strings.Contains(in.Text(), text) {
	}
	if err := cmd.Process.Signal(sig); err != nil {
		t.Logf("it was too fast: %v", err)
	}
	_, _ = io.Copy(io.Discard, story)
	_ = cmd.Wait()
}

// TestSignals sends a signal at several lines of the story: the exit code tells
// which, the three files do not appear, and the next run makes the same image as
// if nothing had been.
func TestSignals(t *testing.T) {
	t.Parallel()
	c := checkout.New(t, "clone")
	args := []string{"image", "build", "--timestamp", stampTime, theFlavor}
	want := t.TempDir()
	c.Run(t, []string{"ENGBLD_BITS_DIR=" + want}, "tools/engbld.sh", args...)
	program := strings.TrimSpace(c.Run(t, nil, "tools/engbld.sh", "--engbld-path"))
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		for _, step := range []string{"base:", "upgrade:", "packages:", "pkgdb:", "audit:", "finish:", "write:"} {
			t.Run(fmt.Sprintf("%v at %s", sig, step), func(t *testing.T) {
				bits := t.TempDir()
				cmd := c.Command([]string{"ENGBLD_BITS_DIR=" + bits, "ENGBLD_ROOT=" + c.Dir}, program, args...)
				signalAt(t, cmd, sig, step)
				left := files(t, bits)
				code := cmd.ProcessState.ExitCode()
				switch {
				case code == 0 && len(left) == 3:
					t.Log("it was done before the signal came")
				case sig == syscall.SIGKILL:
					for _, f := range left {
						if !strings.HasPrefix(filepath.Base(f), ".engbld-") {
							t.Errorf("half-made: %s", f)
						}
					}
				default:
					if code != 128+int(sig) {
						t.Errorf("exit %d, want %d", code, 128+int(sig))
					}
					if len(left) != 0 {
						t.Errorf("left behind: %v", left)
					}
				}
				c.Run(t, []string{"ENGBLD_BITS_DIR=" + bits}, "tools/engbld.sh", args...)
				got, ref := checkout.Products(t, filepath.Join(bits, theFlavor)), checkout.Products(t, filepath.Join(want, theFlavor))
				if fmt.Sprint(got) != fmt.Sprint(ref) {
					t.Errorf("after the signal the next build gives\n%v, want\n%v", got, ref)
				}
			})
		}
	}
}

// TestFullDisk builds onto a file system that has no room for the image.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	c := checkout.New(t, "clone")
	c.Run(t, nil, "tools/engbld.sh", "stamp") // builds the program
	dir := t.TempDir()
	// A mount of our own, in a name space of our own: root or not.
	script := `mount -t tmpfs -o size=128k none "$1" && { ENGBLD_BITS_DIR="$1" "$2" image build --timestamp ` + stampTime + ` "$3"; code=$?; ls -A "$1"/*; exit $code; }`
	ns := []string{"unshare", "-m"}
	if os.Getuid() != 0 {
		ns = []string{"unshare", "-rm"}
	}
	if _, stderr, code := c.Try(t, nil, ns[0], append(ns[1:], "mount", "-t", "tmpfs", "none", dir)...); code != 0 {
		t.Skipf("no mount can be made here: %s", stderr)
	}
	stdout, stderr, code := c.Try(t, nil, ns[0], append(ns[1:], "sh", "-c", script, "sh", dir, filepath.Join(c.Dir, "tools/engbld.sh"), theFlavor)...)
	if code != 4 || !strings.Contains(stderr, "no space left") {
		t.Errorf("exit %d, want 4 and the reason:\n%s", code, stderr)
	}
	if strings.TrimSpace(stdout) != "" {
		t.Errorf("left behind: %s", stdout)
	}
}
