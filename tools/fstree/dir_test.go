package fstree

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "a/b"), 0o755),
		os.WriteFile(filepath.Join(dir, "a/file"), []byte("content"), 0o600),
		os.WriteFile(filepath.Join(dir, "empty"), nil, 0o644),
		os.Chmod(filepath.Join(dir, "a/file"), 0o640|os.ModeSetuid),
		os.Link(filepath.Join(dir, "a/file"), filepath.Join(dir, "a/b/again")),
		os.Symlink("/etc/passwd", filepath.Join(dir, "link")),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	spool, err := NewSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	tree, err := ReadDir(context.Background(), dir, spool, Time{Sec: 7})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	if err := tree.Walk(func(p string, _ *Node) error { names = append(names, p); return nil }); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(names, " "), ". a a/b a/b/again a/file empty fifo link"; got != want {
		t.Errorf("names %q, want %q", got, want)
	}
	file, err := tree.Lstat("a/file")
	if err != nil {
		t.Fatal(err)
	}
	if file.Mode != TypeRegular|0o4640 || file.UID != 0 || file.Names() != 2 {
		t.Errorf("a/file: mode %o, owner %d, %d names", file.Mode, file.UID, file.Names())
	}
	if b, err := tree.ReadFile("a/b/again", 100); err != nil || string(b) != "content" {
		t.Errorf("a/b/again: %q, %v", b, err)
	}
	if link, _ := tree.Lstat("link"); link == nil || link.Target != "/etc/passwd" {
		t.Errorf("link: %+v", link)
	}
}

func TestReadDirMissing(t *testing.T) {
	t.Parallel()
	if _, err := ReadDir(context.Background(), filepath.Join(t.TempDir(), "none"), nil, Time{}); !os.IsNotExist(err) {
		t.Errorf("got %v, want that it does not exist", err)
	}
}
