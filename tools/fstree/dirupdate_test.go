package fstree

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shape describes a tree but for what the disk has of its own: times of links,
// and owners where they cannot be set.
func shape(t *testing.T, tree *Tree) []string {
	t.Helper()
	var out []string
	err := tree.Walk(func(p string, n *Node) error {
		line := fmt.Sprintf("%s %o names=%d", p, n.Mode, n.Names())
		switch {
		case n.IsSymlink():
			line += " " + n.Target
		case n.IsDir():
			line += fmt.Sprint(" ", n.MTime)
		case n.IsRegular():
			b, err := n.ReadAll(1 << 20)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %v %q", n.MTime, b)
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func readRootOf(t *testing.T, root *os.Root) *Tree {
	t.Helper()
	tree, err := ReadRoot(t.Context(), root, RootOptions{Now: Time{Sec: 9000}})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// sample is a tree with one of everything, on disk.
func sample(t *testing.T) (*os.Root, *Tree) {
	t.Helper()
	tree := New(Time{Sec: 1000, Nsec: 5})
	for _, err := range []error{
		tree.MkdirAll("etc/deep/er", 0o755),
		tree.MkdirAll("opt/old/below", 0o700),
		tree.WriteFile("etc/one", []byte("one"), 0o640),
		tree.WriteFile("etc/big", []byte(strings.Repeat("\x00", 300<<10)+"end"), 0o644),
		tree.WriteFile("etc/empty", nil, 0o444),
		tree.WriteFile("opt/old/below/file", []byte("gone"), 0o644),
		tree.Link("etc/one", "etc/deep/again"),
		tree.Put("etc/link", &Node{Mode: TypeSymlink | 0o777, Target: "/etc/one"}),
		tree.Put("out", &Node{Mode: TypeSymlink | 0o777, Target: "../../../.."}),
		tree.WriteFile("etc/su", []byte("su"), 0o4755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root := openRoot(t, t.TempDir())
	if _, err := WriteDir(t.Context(), root, tree, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	got := readRootOf(t, root)
	if d := cmp.Diff(shape(t, tree), shape(t, got)); d != "" {
		t.Fatalf("written and read again:\n%s", d)
	}
	return root, got
}

func TestUpdateDir(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*Tree) error
	}{
		{"nothing", func(*Tree) error { return nil }},
		{"new file", func(t *Tree) error { return t.WriteFile("etc/new", []byte("x"), 0o600) }},
		{"new directories", func(t *Tree) error {
			return errors.Join(t.MkdirAll("a/b/c", 0o755), t.WriteFile("a/b/c/d", []byte("x"), 0o600), t.Link("a/b/c/d", "etc/d"), t.Link("etc/one", "a/one"))
		}},
		{"rewritten", func(t *Tree) error { return t.WriteFile("etc/one", []byte("two"), 0) }},
		{"replaced, other name stays", func(t *Tree) error {
			return t.Put("etc/one", &Node{Mode: TypeRegular | 0o600, Content: Bytes([]byte("two"))})
		}},
		{"same content, no longer one file", func(t *Tree) error {
			n, _ := t.Lstat("etc/one")
			return t.Put("etc/deep/again", &Node{Mode: TypeRegular | 0o600, Content: n.Content})
		}},
		{"mode", func(t *Tree) error { n, err := t.Lstat("etc/one"); n.SetPerm(0o2511); return err }},
		{"removed", func(t *Tree) error { return errors.Join(t.Remove("etc/one"), t.RemoveAll("opt")) }},
		{"moved", func(t *Tree) error {
			return errors.Join(t.Rename("etc/one", "moved"), t.Rename("opt/old", "etc/deep/er/old"))
		}},
		{"directory for file", func(t *Tree) error {
			return errors.Join(t.Remove("etc/one"), t.MkdirAll("etc/one/x", 0o755), t.WriteFile("etc/one/x/y", []byte("z"), 0o644))
		}},
		{"file for directory", func(t *Tree) error {
			return errors.Join(t.RemoveAll("opt"), t.WriteFile("opt", []byte("z"), 0o644))
		}},
		{"link for directory and back", func(t *Tree) error {
			return errors.Join(t.RemoveAll("opt"), t.Put("opt", &Node{Mode: TypeSymlink | 0o777, Target: "etc"}),
				t.Remove("out"), t.MkdirAll("out/in", 0o711))
		}},
		{"through a link", func(t *Tree) error { return t.WriteFile("out/file", []byte("z"), 0o644) }},
		{"leftovers", func(t *Tree) error { return t.WriteFile("etc/.engbld-new-1", []byte("z"), 0o644) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root, from := sample(t)
			to := from.Clone()
			if d := cmp.Diff(shape(t, from), shape(t, to)); d != "" {
				t.Fatalf("clone: %s", d)
			}
			if err := tt.change(to); err != nil {
				t.Fatal(err)
			}
			want := shape(t, to)
			stats, err := UpdateDir(t.Context(), root, from, to, WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", stats)
			if d := cmp.Diff(want, shape(t, readRootOf(t, root))); d != "" {
				t.Error(d)
			}
		})
	}
}

type badContent struct{ size int64 }

func (b badContent) Size() int64                       { return b.size }
func (b badContent) ReadAt([]byte, int64) (int, error) { return 0, errors.New("cannot be read") }

// Whatever goes wrong, what was there is there again.
func TestUpdateDirFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *os.Root, *Tree) error
		want   string
	}{
		{"content", func(_ *testing.T, _ *os.Root, to *Tree) error {
			return to.Put("zzz", &Node{Mode: TypeRegular | 0o600, Content: badContent{10}})
		}, "cannot be read"},
		{"in the way", func(t *testing.T, root *os.Root, to *Tree) error {
			return errors.Join(root.MkdirAll("zzz/dir", 0o755), to.WriteFile("zzz", []byte("x"), 0o600))
		}, "writing zzz"},
		{"changed meanwhile", func(t *testing.T, root *os.Root, to *Tree) error {
			n, err := to.Lstat("etc/big")
			return errors.Join(err, root.WriteFile("etc/big", []byte("other"), 0o644), to.Put("zzz", &Node{Mode: TypeRegular | 0o600, Content: n.Content}))
		}, "changed meanwhile"},
		{"gone meanwhile", func(t *testing.T, root *os.Root, to *Tree) error {
			return errors.Join(root.Remove("out"), to.Remove("out"))
		}, "out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root, from := sample(t)
			to := from.Clone()
			for _, err := range []error{
				to.MkdirAll("aaa/b", 0o755), to.WriteFile("etc/one", []byte("two"), 0o644), to.Remove("etc/link"), to.RemoveAll("opt"),
				to.WriteFile("etc/empty", []byte("not"), 0o644), tt.change(t, root, to),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			before := shape(t, readRootOf(t, root))
			_, err := UpdateDir(t.Context(), root, from, to, WriteOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			after := shape(t, readRootOf(t, root))
			clean := func(s []string) []string { // the times of what was tried
				return slices.DeleteFunc(s, func(l string) bool { return strings.HasPrefix(l, ". ") })
			}
			if d := cmp.Diff(clean(before), clean(after)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestUpdateDirStopped(t *testing.T) {
	t.Parallel()
	root, from := sample(t)
	to := from.Clone()
	if err := to.WriteFile("new", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := UpdateDir(ctx, root, from, to, WriteOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if d := cmp.Diff(shape(t, from), shape(t, readRootOf(t, root))); d != "" {
		t.Error(d)
	}
}

// Nothing is written outside, even where a directory was swapped for a link.
func TestUpdateDirConfined(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	root, from := sample(t)
	to := from.Clone()
	if err := to.WriteFile("etc/deep/er/new", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{root.Remove("etc/deep/er"), os.Symlink(outside, filepath.Join(root.Name(), "etc/deep/er"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := UpdateDir(t.Context(), root, from, to, WriteOptions{}); err == nil {
		t.Error("written through a link that leads out")
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 0 {
		t.Errorf("written outside: %v", entries)
	}
}

// Any tree becomes any other.
func TestUpdateDirRandom(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "c", "d"}
	pick := func() string {
		p := names[r.IntN(4)]
		for r.IntN(2) == 0 {
			p += "/" + names[r.IntN(4)]
		}
		return p
	}
	root := openRoot(t, t.TempDir())
	from := readRootOf(t, root)
	for round := range 60 {
		to := from.Clone()
		to.Now = Time{Sec: int64(round)}
		for range 12 { // errors do not matter: the tree is whole after each
			switch p := pick(); r.IntN(8) {
			case 0, 1:
				_ = to.MkdirAll(p, uint32(0o700|r.IntN(0o77)))
			case 2, 3:
				_ = to.WriteFile(p, []byte(p), 0o644)
			case 4:
				_ = to.Link(p, pick())
			case 5:
				_ = to.RemoveAll(p)
			case 6:
				_ = to.Rename(p, pick())
			case 7:
				_ = to.Put(p, &Node{Mode: TypeSymlink | 0o777, Target: pick()})
			}
		}
		want := shape(t, to)
		if _, err := UpdateDir(t.Context(), root, from, to, WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		from = readRootOf(t, root)
		if d := cmp.Diff(want, shape(t, from)); d != "" {
			t.Fatalf("round %d: %s", round, d)
		}
	}
}

// A process that is killed at any point of the move leaves what can be undone.
func TestRecoverDir(t *testing.T) {
	t.Parallel()
	change := func(to *Tree) error {
		n, _ := to.Lstat("etc/big")
		return errors.Join(to.WriteFile("etc/one", []byte("two"), 0), to.RemoveAll("opt"), to.MkdirAll("opt", 0o700),
			to.WriteFile("opt/new", []byte("x"), 0o600), to.Remove("etc/link"), to.MkdirAll("etc/link/dir", 0o755), to.MkdirAll("aaa/b", 0o755),
			to.Rename("etc/deep/er", "etc/er"), to.Put("etc/su", n), to.WriteFile("zzz", nil, 0o644))
	}
	for step := 0; ; step++ {
		root, from := sample(t)
		to := from.Clone()
		if err := change(to); err != nil {
			t.Fatal(err)
		}
		want := shape(t, from)
		u := &dirUpdate{
			dirWriter: newDirWriter(t.Context(), root, WriteOptions{}),
			ofOld:     make(map[*Node]*Node), ofNew: make(map[*Node]*Node), times: make(map[string]dirPair),
		}
		u.directory(".", from.Root, to.Root)
		if err := errors.Join(u.stage(), writeJournal(root, u.changes)); err != nil {
			t.Fatal(err)
		}
		// So many of the changes are made, and of the next one only the first half.
		todo := u.changes
		if step/2 > len(todo) {
			break
		}
		u.changes = slices.Clone(todo[:step/2])
		if err := u.commit(); err != nil {
			t.Fatal(err)
		}
		if step%2 == 1 && step/2 < len(todo) && todo[step/2].old != nil {
			if err := u.setAside(&todo[step/2]); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if _, err := RecoverDir(root); err != nil {
				t.Fatal(err)
			}
		}
		clean := func(s []string) []string { // the times of directories
			for i, l := range s {
				if strings.HasPrefix(strings.Fields(l)[1], "40") {
					s[i], _, _ = strings.Cut(l, " {")
				}
			}
			return s
		}
		if d := cmp.Diff(clean(want), clean(shape(t, readRootOf(t, root)))); d != "" {
			t.Errorf("step %d: %s", step, d)
		}
	}
}

func TestRecoverDirRefuses(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"x", `"a" "b" ""`, `"a" "" "dir/.engbld-old-1"`, `"a" "" "" ""`} {
		root := openRoot(t, t.TempDir())
		if err := errors.Join(root.WriteFile(journal, []byte(line+"\n"), 0o600), root.WriteFile("a", nil, 0o600), root.WriteFile("b", nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		if done, err := RecoverDir(root); done || err == nil {
			t.Errorf("%s: %v, %v", line, done, err)
		}
		if _, err := root.Lstat("a"); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	root := openRoot(t, t.TempDir())
	if done, err := RecoverDir(root); done || err != nil {
		t.Errorf("nothing to do: %v, %v", done, err)
	}
}
