package newfile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func makeDir(t *testing.T, parent string) *Dir {
	t.Helper()
	d, err := MakeDir(parent, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(d.Name, "out", "deep"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Name, "out", "stream"), []byte("x"), 0o444); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestMakeDir(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	d := makeDir(t, parent)
	if fi, err := os.Stat(d.Name); err != nil || fi.Mode() != os.ModeDir|0o700 || !strings.HasPrefix(fi.Name(), ".engbld-dir-test-") {
		t.Errorf("%v, %v", fi, err)
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
	if got := names(t, parent); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
	if _, err := MakeDir(filepath.Join(parent, "none"), "test"); !os.IsNotExist(err) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

// Directories in use stay, and what is none of ours; those of ended processes go.
func TestSweepDirs(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	used := makeDir(t, parent)
	makeDir(t, parent).lock.Close()
	outside := filepath.Join(parent, "outside")
	for _, dir := range []string{"outside", ".engbld-dir-empty", ".engbld-dir-strange", ".engbld-dir-other", ".engbld-other"} {
		if err := os.Mkdir(filepath.Join(parent, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"outside/.engbld-used", "outside/file", ".engbld-dir-strange/file", ".engbld-dir-other/.engbld-used", ".engbld-other/.engbld-used", ".engbld-dir-file"} {
		if err := os.WriteFile(filepath.Join(parent, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(parent, ".engbld-dir-link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(parent, ".engbld-dir-pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Base(used.Name), ".engbld-dir-file", ".engbld-dir-link", ".engbld-dir-pipe", ".engbld-dir-strange", ".engbld-other", "outside"}
	if os.Chown(filepath.Join(parent, ".engbld-dir-other"), os.Geteuid()+1, -1) == nil { // only root can give it away
		want = append(want, ".engbld-dir-other")
	}
	next := makeDir(t, parent)
	defer next.Remove()
	want = append(want, filepath.Base(next.Name))
	slices.Sort(want)
	if got := names(t, parent); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := names(t, outside); len(got) != 2 {
		t.Errorf("what a link leads to: %q", got)
	}
	if got := names(t, used.Name); len(got) != 2 {
		t.Errorf("in use: %q", got)
	}
	if err := used.Remove(); err != nil {
		t.Error(err)
	}
}

// Directories are made while others sweep: nobody loses one.
func TestSweepBesideMakeDir(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	var makers sync.WaitGroup
	for range 4 {
		makers.Go(func() {
			for range 50 {
				d, err := MakeDir(parent, "x")
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(filepath.Join(d.Name, "file"), nil, 0o600); err != nil {
					t.Error(err)
				}
				sweepDirs(parent)
				if _, err := os.Stat(filepath.Join(d.Name, "file")); err != nil {
					t.Error(err)
				}
				if err := d.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	makers.Wait()
	if got := names(t, parent); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

// Whatever way a file is made, what a killed run left beside it goes.
func TestEveryWaySweeps(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(name string) error{
		"Create": func(name string) error {
			f, err := Create(name, 0o600)
			if err == nil {
				err = f.Commit()
			}
			return err
		},
		"Fill":  func(name string) error { return Fill(name, 0o600, func(*os.File) error { return nil }) },
		"Write": func(name string) error { return Write(name, nil, 0o600) },
	} {
		dir := t.TempDir()
		left, err := CreateSwept(filepath.Join(dir, "out.tar"), 0o600)
		if err != nil {
			t.Fatal(err)
		}
		left.Close()
		if err := make(filepath.Join(dir, "out.tar")); err != nil {
			t.Error(err)
		}
		if got := names(t, dir); !slices.Equal(got, []string{"out.tar"}) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
