package newfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	return got
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, strings.Repeat("n", 250))
	for _, text := range []string{"first", "second, longer"} {
		if err := Write(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(name); err != nil || string(b) != text {
			t.Errorf("%q, %v", b, err)
		}
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left: %q", got)
	}
	if err := Write(filepath.Join(dir, "none", "x"), nil, 0o644); !os.IsNotExist(err) {
		t.Errorf("in a directory that is not there: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "d", "x"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "d"), []byte("x"), 0o644); err == nil {
		t.Error("a directory was replaced")
	}
	if got := names(t, dir); len(got) != 2 {
		t.Errorf("left: %q", got)
	}
}

// What a person names may be no file of its own.
func TestOutput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link, fifo := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "fifo")
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		b, _ := os.ReadFile(fifo)
		read <- string(b)
	}()
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, s)
			return err
		}
	}
	for _, c := range []struct{ name, text string }{{file, "a longer text"}, {link, "by link"}, {fifo, "by pipe"}} {
		if err := Output(c.name, 0o644, text(c.text)); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-read; got != "by pipe" {
		t.Errorf("the pipe: %q", got)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "by link" {
		t.Errorf("%q, %v", b, err)
	}
	for name, want := range map[string]fs.FileMode{link: fs.ModeSymlink, fifo: fs.ModeNamedPipe} {
		if fi, err := os.Lstat(name); err != nil || fi.Mode().Type() != want {
			t.Errorf("%s was replaced: %v, %v", name, fi.Mode(), err)
		}
	}
	if err := Output(dir, 0o644, text("x")); err == nil {
		t.Error("a directory was replaced")
	}
	if got := names(t, dir); len(got) != 3 {
		t.Errorf("left: %q", got)
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "x"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); len(got) != 1 || !strings.HasPrefix(got[0], ".engbld-file-x-") {
		t.Errorf("under way: %q", got)
	}
	f.Discard()
	f.Discard()
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

// Files that are being written stay; those of ended processes go, and nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	held, err := Create(filepath.Join(dir, "held"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	left, err := Create(filepath.Join(dir, "left"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	left.Close()
	for _, name := range []string{".engbld-lock", "file"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, dir), []string{filepath.Base(held.Name()), ".engbld-lock", "file", "x"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := held.Commit(); err != nil {
		t.Error(err)
	}
}

// Files are made while others sweep: nobody loses one.
func TestSweepBesideCreate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stop := make(chan struct{})
	var sweepers, makers sync.WaitGroup
	for range 2 {
		sweepers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					Sweep(dir)
				}
			}
		})
	}
	for range 4 {
		makers.Go(func() {
			for range 200 {
				f, err := Create(filepath.Join(dir, "x"), 0o600)
				if err != nil {
					t.Error(err)
					return
				}
				if err := f.Commit(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	makers.Wait()
	close(stop)
	sweepers.Wait()
}

func TestUnnamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := Unnamed(dir, "spool")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("it has a name: %q", got)
	}
	if _, err := f.WriteString("text"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "text" {
		t.Errorf("%q, %v", b, err)
	}
	// Linux tells a name that a file once had. Some file systems know only such files.
	if link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); runtime.GOOS == "linux" && err == nil {
		if unnamed(dir, "x") == nil {
			t.Skip("the file system knows no files without names")
		}
		if strings.Contains(link, "engbld-") {
			t.Errorf("it had a name: %s", link)
		}
	}
	_, err = Unnamed(filepath.Join(dir, "none"), "spool")
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "none", ".engbld-spool")) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}
