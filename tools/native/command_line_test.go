//go:build linux

package native_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cli prepares the engbld command that builds the component natively.
func (p *pool) cli(t *testing.T, j job, packages string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "image", "make", "--name", "component", "--prefix", "component-zfs", "--base", secondUUID,
		"--timestamp", "20260101T000000Z", "--bits-dir", j.Out, "--stage", j.Request.Component.Stage, "--packages", packages,
		"--upgrade", "--audit", "--motd", "--source-repo", "https://example.invalid/component.git")
	cmd.Dir = p.dir
	cmd.Env = append([]string{cliVar + "=1", "PATH=" + p.file("sbin") + ":/usr/bin:/bin", "HOME=" + p.dir, "TMPDIR=" + j.Temp,
		"ENGBLD_ENGINE=native", "ENGBLD_IMAGE_SOURCE=" + j.Source, "ENGBLD_CACHE_DIR=" + j.Cache, "ENGBLD_NATIVE_STATE=" + j.State,
		"ENGBLD_NATIVE_DATASET=" + p.set, "ENGBLD_ALLOW_FOREIGN=true",
		`BUILDIMAGE_MF={"name":"component","version":"1.2.3"}`}, env...)
	return cmd
}

// code waits for a command that was started.
func code(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

// TestCommandLine: the engbld command with ENGBLD_ENGINE=native, its exit codes,
// and what it says.
func TestCommandLine(t *testing.T) {
	p := inPool(t)
	if p == nil {
		return
	}
	j := p.newJob(t, p.makeImages(t))
	before := p.mounts(t)
	whole := filepath.Join(j.Out, "component", "component-zfs-1.2.3.imgmanifest")
	check := func(t *testing.T) {
		t.Helper()
		left := j
		left.Out = filepath.Join(j.Out, "component")
		p.nothingLeft(t, left, before)
	}
	run := func(t *testing.T, cmd *exec.Cmd, want int, says ...string) string {
		t.Helper()
		var out, story bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &story
		must(t, cmd.Start())
		if got := code(t, cmd); got != want {
			t.Errorf("exit code %d, want %d\n%s", got, want, story.String())
		}
		for _, s := range says {
			if !strings.Contains(story.String(), s) {
				t.Errorf("does not say %q:\n%s", s, story.String())
			}
		}
		return out.String()
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd := p.cli(t, j, "slow")
			var story bytes.Buffer
			cmd.Stderr = &story
			must(t, cmd.Start())
			p.waitForSleep(t, j)
			must(t, cmd.Process.Signal(sig))
			if got, want := code(t, cmd), 128+int(sig); got != want {
				t.Errorf("exit code %d, want %d\n%s", got, want, story.String())
			}
			if sig == syscall.SIGKILL {
				return // the next build cleans up
			}
			check(t)
		})
	}
	t.Run("after a kill", func(t *testing.T) {
		uuid := run(t, p.cli(t, j, "curl"), 0, "cleaning up what a build that was killed left", "imgadm install")
		raw, err := os.ReadFile(whole)
		if err != nil || !strings.Contains(string(raw), strings.TrimSpace(uuid)) || len(uuid) != 37 {
			t.Errorf("stdout %q; manifest %s, %v", uuid, raw, err)
		}
		check(t)
	})
	t.Run("a failure", func(t *testing.T) {
		must(t, os.RemoveAll(j.Out))
		run(t, p.cli(t, j, "absent"), 4, "packages: chroot", "no pkg found for 'absent'")
		check(t)
	})
	t.Run("kept for a look", func(t *testing.T) {
		run(t, p.cli(t, j, "absent", "ENGBLD_KEEP=true"), 4, "kept until the next native build: dataset "+p.set)
		run(t, p.cli(t, j, "curl"), 0)
		check(t)
	})
	t.Run("sandbox", func(t *testing.T) {
		run(t, p.cli(t, j, "curl", "ENGBLD_SANDBOX=true"), 2, "the native engine cannot build on them")
	})
	t.Run("dataset", func(t *testing.T) {
		run(t, p.cli(t, j, "curl", "ENGBLD_NATIVE_DATASET="), 6, "set ENGBLD_NATIVE_DATASET")
	})
	t.Run("engine", func(t *testing.T) {
		run(t, p.cli(t, j, "curl", "ENGBLD_ENGINE=other"), 2, "no such engine")
	})
	t.Run("not root", func(t *testing.T) {
		own := filepath.Join(p.dir, "own")
		must(t, os.Mkdir(own, 0o755))
		must(t, os.Chown(own, 65534, 65534))
		must(t, os.Chmod(filepath.Dir(p.dir), 0o755)) // the test's directories
		must(t, os.Chmod(p.dir, 0o755))
		other := j
		other.Out, other.Cache, other.Temp = filepath.Join(own, "bits"), filepath.Join(own, "cache"), own
		cmd := p.cli(t, other, "curl")
		self, err := os.ReadFile("/proc/self/exe") // perhaps only root may run that one
		must(t, err)
		cmd.Path = filepath.Join(own, "engbld")
		must(t, os.WriteFile(cmd.Path, self, 0o755))
		must(t, os.Chmod(cmd.Path, 0o755))
		cmd.Dir = own
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		run(t, cmd, 6, "needs root", "pfexec")
	})
}

// waitForSleep waits until the stand-in for pkg_add sleeps in the clone.
func (p *pool) waitForSleep(t *testing.T, j job) {
	t.Helper()
	for range 12000 { // two minutes
		names, err := filepath.Glob("/proc/[0-9]*")
		must(t, err)
		for _, n := range names {
			root, _ := os.Readlink(filepath.Join(n, "root"))
			line, _ := os.ReadFile(filepath.Join(n, "cmdline"))
			if strings.HasPrefix(root, j.State) && strings.HasPrefix(string(line), "sleep") {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the build does not come to its packages")
}
