package app

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// What stands where everybody can make names goes into an image only if it is ours,
// and stays where it is otherwise.
func TestStageOfOthers(t *testing.T) {
	t.Parallel()
	const stranger = 54321
	build := func(t *testing.T, stage, sudo string) (int, string) {
		t.Helper()
		var story bytes.Buffer
		env := Env{Stdin: strings.NewReader(""), Stdout: &story, Stderr: &story, Now: time.Now, Dir: t.TempDir(), Getenv: func(name string) string {
			return map[string]string{"SUDO_UID": sudo, "BUILDIMAGE_MF": `{"name":"x","version":"1"}`, "ENGBLD_OFFLINE": "true"}[name]
		}}
		code := Main(context.Background(), env, []string{"image", "make", "--print-request", "--name", "x", "--prefix", "x-zfs", "--timestamp", "20260101T000000Z",
			"--base", "41bd4100-eb86-409a-85b0-e649aadf6f62", "--stage", stage, "--remove-stage"})
		return code, story.String()
	}
	for _, c := range []struct {
		name, sudo, want string
		perm             os.FileMode
		link, theirs     bool
	}{
		{name: "ours", perm: 0o755},
		{name: "our group's", perm: 0o775},
		{name: "everybody's", perm: 0o777, want: "everybody may write to it"},
		{name: "a link", perm: 0o755, link: true, want: "it is a symbolic link"},
		{name: "another user's", perm: 0o755, theirs: true, want: "it belongs to user 54321"},
		{name: "of who called sudo", perm: 0o755, theirs: true, sudo: "54321"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			shared := filepath.Join(t.TempDir(), "tmp")
			stage := filepath.Join(shared, "buildimage-x")
			evil := filepath.Join(stage, "root", "evil")
			if err := os.MkdirAll(filepath.Dir(evil), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(evil, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			for dir, perm := range map[string]os.FileMode{stage: c.perm, shared: 0o777 | os.ModeSticky} {
				if err := os.Chmod(dir, perm); err != nil {
					t.Fatal(err)
				}
			}
			if c.theirs {
				if os.Geteuid() != 0 {
					t.Skip("only root gives files to other users")
				}
				if err := os.Lchown(stage, stranger, stranger); err != nil {
					t.Skipf("files cannot be given to other users here: %v", err)
				}
			}
			if c.link {
				name := filepath.Join(shared, "link")
				if err := os.Symlink(stage, name); err != nil {
					t.Fatal(err)
				}
				stage = name
			}
			code, story := build(t, stage, c.sudo)
			switch {
			case c.want == "" && code != 0:
				t.Errorf("exit code %d: %s", code, story)
			case c.want != "" && (code != int(fault.Unfit) || !strings.Contains(story, stage) || !strings.Contains(story, c.want) || !strings.Contains(story, "BUILDIMAGE_STAGEDIR=")):
				t.Errorf("exit code %d, it lacks %q: %s", code, c.want, story)
			}
			if _, err := os.Stat(evil); err != nil {
				t.Error(err)
			}
		})
	}
	if code, story := build(t, filepath.Join(t.TempDir(), "none"), ""); code != 0 {
		t.Errorf("none: exit code %d: %s", code, story)
	}
}

// Without a home of its own the cache of a user is in the directory for temporary
// files, and nobody else's there.
func TestCacheOfOthers(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	a := &app{env: Env{Getenv: func(name string) string { return map[string]string{"TMPDIR": tmp}[name] }}}
	for range 2 {
		dir, err := a.cacheDir()
		if err != nil || filepath.Dir(dir) != tmp {
			t.Fatalf("%q, %v", dir, err)
		}
		if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", fi.Mode(), err)
		}
	}
	dir, _ := a.cacheDir()
	for name, change := range map[string]func() error{
		"writable": func() error { return os.Chmod(dir, 0o777) },
		"a link":   func() error { return errors.Join(os.Remove(dir), os.Symlink(t.TempDir(), dir)) },
		"a file":   func() error { return errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600)) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.cacheDir(); fault.KindOf(err) != fault.Unfit || !strings.Contains(fault.Hint(err), "ENGBLD_CACHE_DIR") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
