package owned

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// stranger is a user that no machine has.
const stranger = 54321

func mkdir(t *testing.T, dir string, perm os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, perm); err != nil {
		t.Fatal(err)
	}
	return dir
}

func give(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root gives files to other users")
	}
	if err := os.Lchown(path, stranger, stranger); err != nil {
		t.Skipf("files cannot be given to other users here: %v", err)
	}
}

func perm(t *testing.T, dir string) os.FileMode {
	t.Helper()
	fi, err := os.Lstat(dir)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Mode().Perm()
}

func TestMake(t *testing.T) {
	t.Parallel()
	me := os.Geteuid()
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 {
		if err := Make(dir, me); err != nil {
			t.Fatal(err)
		}
	}
	if p := perm(t, dir); p != 0o700 {
		t.Errorf("made with mode %o", p)
	}
	for _, c := range []struct {
		name, want string
		setup      func(t *testing.T, dir string)
	}{
		{"private", "", func(t *testing.T, dir string) { mkdir(t, dir, 0o700) }},
		{"others look", "", func(t *testing.T, dir string) { mkdir(t, dir, 0o755) }},
		{"group writes", "others may write", func(t *testing.T, dir string) { mkdir(t, dir, 0o770) }},
		{"all write", "others may write", func(t *testing.T, dir string) { mkdir(t, dir, 0o777) }},
		{"another's", "belongs to user 54321", func(t *testing.T, dir string) { give(t, mkdir(t, dir, 0o755)) }},
		{"link", "not a directory", func(t *testing.T, dir string) { os.Symlink(t.TempDir(), dir) }},
		{"file", "not a directory", func(t *testing.T, dir string) { os.WriteFile(dir, nil, 0o600) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "dir")
			c.setup(t, dir)
			err := Make(dir, me)
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestTighten(t *testing.T) {
	t.Parallel()
	for was, want := range map[os.FileMode]os.FileMode{0o775: 0o755, 0o770: 0o750, 0o755: 0o755, 0o777: 0o777, 0o700: 0o700} {
		dir := mkdir(t, filepath.Join(t.TempDir(), "dir"), was)
		link := dir + "-link"
		if err := os.Symlink(dir, link); err != nil {
			t.Fatal(err)
		}
		if err := Tighten(link, os.Geteuid()); err != nil || perm(t, dir) != was {
			t.Errorf("through a link: %o is %o, %v", was, perm(t, dir), err)
		}
		if err := Tighten(dir, os.Geteuid()+1); err != nil || perm(t, dir) != was {
			t.Errorf("another's: %o is %o, %v", was, perm(t, dir), err)
		}
		if err := Tighten(dir, os.Geteuid()); err != nil || perm(t, dir) != want {
			t.Errorf("%o is %o, %v, want %o", was, perm(t, dir), err, want)
		}
	}
	if err := Tighten(filepath.Join(t.TempDir(), "none"), os.Geteuid()); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	me := []int{os.Geteuid()}
	for _, c := range []struct {
		name  string
		above os.FileMode
		setup func(t *testing.T, dir string)
		want  string
	}{
		{"ours", 0o777 | os.ModeSticky, func(t *testing.T, dir string) { mkdir(t, dir, 0o755) }, ""},
		{"our group writes", 0o777 | os.ModeSticky, func(t *testing.T, dir string) { mkdir(t, dir, 0o775) }, ""},
		{"everybody writes", 0o777 | os.ModeSticky, func(t *testing.T, dir string) { mkdir(t, dir, 0o777) }, "everybody may write"},
		{"link", 0o777 | os.ModeSticky, func(t *testing.T, dir string) { os.Symlink(t.TempDir(), dir) }, "symbolic link"},
		{"another's", 0o777 | os.ModeSticky, func(t *testing.T, dir string) { give(t, mkdir(t, dir, 0o755)) }, "belongs to user 54321"},
		{"another's, in a place of theirs", 0o755, func(t *testing.T, dir string) { give(t, mkdir(t, dir, 0o755)); give(t, filepath.Dir(dir)) }, ""},
		{"everybody writes, in a place of ours", 0o755, func(t *testing.T, dir string) { mkdir(t, dir, 0o777) }, ""},
		{"link in a place of ours", 0o775, func(t *testing.T, dir string) { os.Symlink(t.TempDir(), dir) }, ""},
		{"not there", 0o755, func(t *testing.T, dir string) {}, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			above := mkdir(t, filepath.Join(t.TempDir(), "above"), c.above)
			dir := filepath.Join(above, "dir")
			c.setup(t, dir)
			err := Check(dir, me)
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if err := Check(dir, append(me, stranger)); strings.Contains(c.name, "another's") && err != nil {
				t.Errorf("for that user: %v", err)
			}
		})
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	got := Users(func(string) string { return "54321" })
	if !slices.Contains(got, os.Geteuid()) || !slices.Contains(got, 0) || slices.Contains(got, stranger) != (os.Geteuid() == 0) {
		t.Errorf("%d", got)
	}
}
