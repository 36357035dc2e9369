package fstree

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type said []string

func (s *said) Warnf(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }

// A system's root is read as it is, and its content when it is wanted.
func TestReadRoot(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "r") // short, for the socket's sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "a/b"), 0o751),
		os.MkdirAll(filepath.Join(dir, "proc/1"), 0o755),
		os.WriteFile(filepath.Join(dir, "a/file"), []byte("content"), 0o600),
		os.Link(filepath.Join(dir, "a/file"), filepath.Join(dir, "a/b/again")),
		os.Symlink("/etc", filepath.Join(dir, "a/link")),
		os.Mkdir(filepath.Join(dir, "secret"), 0o755),
		os.WriteFile(filepath.Join(dir, "secret/x"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// Only root can, and not root of a namespace with one user.
	given := os.Lchown(filepath.Join(dir, "a/link"), 5, 6) == nil && os.Chown(filepath.Join(dir, "a/file"), 7, 8) == nil
	socket, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	root := openRoot(t, dir)
	tree, err := ReadRoot(t.Context(), root, RootOptions{Now: Time{Sec: 1}, Skip: func(p string) bool { return p == "proc" }})
	if err != nil {
		t.Fatal(err)
	}
	get := func(p string) *Node {
		n, err := tree.Lstat(p)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := get("socket"); n.Type() != TypeSocket {
		t.Errorf("socket: %o", n.Mode)
	}
	if n := get("proc"); !n.IsDir() || n.Len() != 0 {
		t.Errorf("proc has %d entries", n.Len())
	}
	if n := get("a/b"); n.Perm() != 0o751 || n.MTime == tree.Now {
		t.Errorf("a/b: %+v", n)
	}
	file := get("a/file")
	if file != get("a/b/again") || file.Names() != 2 {
		t.Error("two names, but not one file")
	}
	if link := get("a/link"); given && (link.UID != 5 || link.GID != 6 || file.UID != 7 || file.GID != 8) {
		t.Errorf("owners %d:%d and %d:%d", link.UID, link.GID, file.UID, file.GID)
	}
	if b, err := file.ReadAll(100); err != nil || string(b) != "content" {
		t.Errorf("%q, %v", b, err)
	}
	if n, err := file.Content.ReadAt(make([]byte, 10), 3); n != 4 || err != io.EOF {
		t.Errorf("the end: %d, %v", n, err)
	}
	if _, err := file.Content.ReadAt(make([]byte, 1), 7); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}

	// It is not the same file any more.
	if err := os.WriteFile(filepath.Join(dir, "a/file"), []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := file.ReadAll(100); err == nil || !strings.Contains(err.Error(), "changed meanwhile") {
		t.Errorf("a changed file: %v", err)
	}
}

func TestReadRootForbidden(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "secret"), 0); err != nil {
		t.Fatal(err)
	}
	root := openRoot(t, dir)
	if _, err := ReadRoot(t.Context(), root, RootOptions{}); !os.IsPermission(err) && (err == nil || !strings.Contains(err.Error(), "permission")) {
		t.Errorf("%v", err)
	}
	var s said
	tree, err := ReadRoot(t.Context(), root, RootOptions{Warn: &s})
	if err != nil || len(s) != 1 || tree.Root.Child("secret") == nil {
		t.Errorf("%q %v", s, err)
	}
}
