package fstree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTree(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		start []string
		do    func(*Tree) error
		err   error
		want  []string // without the root
	}{
		{"put", nil, func(x *Tree) error { return x.WriteFile("a", []byte("x"), 0o640) }, nil, []string{`100640 a t2000 "x"`}},
		{"put without parent", nil, func(x *Tree) error { return x.WriteFile("a/b", nil, 0o640) }, fs.ErrNotExist, nil},
		{"put below a file", []string{"f 0644 a"}, func(x *Tree) error { return x.WriteFile("a/b", nil, 0o640) }, ErrNotDir, []string{`100644 a t2000 ""`}},
		{"rewrite through a link", []string{"f 0604 a 1", "l b a"}, func(x *Tree) error { return x.WriteFile("b", []byte("2"), 0o777) }, nil,
			[]string{`100604 a t2000 "2"`, "120777 b t2000 -> a"}},
		{"links stay inside", []string{"d 0755 d", "l d/up ../../../d"}, func(x *Tree) error { return x.WriteFile("d/up/f", nil, 0o644) }, nil,
			[]string{"40755 d t2000", `100644 d/f t2000 ""`, "120777 d/up t2000 -> ../../../d"}},
		{"loop", []string{"l a b", "l b a"}, func(x *Tree) error { _, err := x.Stat("a"); return err }, ErrLoop,
			[]string{"120777 a t2000 -> b", "120777 b t2000 -> a"}},
		{"long name", nil, func(x *Tree) error { return x.WriteFile(strings.Repeat("n", 256), nil, 0) }, fs.ErrInvalid, nil},
		{"mkdir all", []string{"l d e", "d 0700 e"}, func(x *Tree) error { return x.MkdirAll("/d/f/g", 0o755) }, nil,
			[]string{"120777 d t2000 -> e", "40700 e t2000", "40755 e/f t2000", "40755 e/f/g t2000"}},
		{"mkdir on a file", []string{"f 0644 a"}, func(x *Tree) error { return x.MkdirAll("a/b", 0o755) }, ErrNotDir, []string{`100644 a t2000 ""`}},
		{"link", []string{"f 0644 a x"}, func(x *Tree) error { return x.Link("a", "b") }, nil, []string{`100644 a t2000 "x" names=2`, `100644 b t2000 "x" names=2`}},
		{"link a directory", []string{"d 0755 a"}, func(x *Tree) error { return x.Link("a", "b") }, ErrIsDir, []string{"40755 a t2000"}},
		{"remove", []string{"f 0644 a x", "h b a"}, func(x *Tree) error { return x.Remove("a") }, nil, []string{`100644 b t2000 "x"`}},
		{"remove full directory", []string{"d 0755 a", "f 0644 a/b"}, func(x *Tree) error { return x.Remove("a") }, ErrNotEmpty,
			[]string{"40755 a t2000", `100644 a/b t2000 ""`}},
		{"remove all", []string{"d 0755 a", "f 0644 a/b", "h c a/b"}, func(x *Tree) error { return x.RemoveAll("a") }, nil, []string{`100644 c t2000 ""`}},
		{"remove all of nothing", nil, func(x *Tree) error { return x.RemoveAll("a/b") }, nil, nil},
		{"rename over file", []string{"f 0644 a 1", "f 0644 b 2"}, func(x *Tree) error { return x.Rename("a", "b") }, nil, []string{`100644 b t2000 "1"`}},
		{"rename over its own link", []string{"f 0644 a 1", "h b a"}, func(x *Tree) error { return x.Rename("a", "b") }, nil, []string{`100644 b t2000 "1"`}},
		{"rename onto itself", []string{"f 0644 a 1"}, func(x *Tree) error { return x.Rename("a", "a") }, nil, []string{`100644 a t2000 "1"`}},
		{"rename below itself", []string{"d 0755 a", "d 0755 a/b"}, func(x *Tree) error { return x.Rename("a", "a/b/c") }, fs.ErrInvalid,
			[]string{"40755 a t2000", "40755 a/b t2000"}},
		{"rename over directory", []string{"f 0644 a", "d 0755 b"}, func(x *Tree) error { return x.Rename("a", "b") }, fs.ErrExist,
			[]string{`100644 a t2000 ""`, "40755 b t2000"}},
		{"sub", []string{"d 0755 a", "l a/l /f"}, func(x *Tree) error {
			s, err := x.Sub("a")
			if err != nil {
				return err
			}
			if err := s.WriteFile("f", []byte("x"), 0o644); err != nil {
				return err
			}
			return s.WriteFile("l", []byte("y"), 0o644)
		}, nil, []string{"40755 a t2000", `100644 a/f t2000 "y"`, "120777 a/l t2000 -> /f"}},
		{"read too much", []string{"f 0644 a 12345"}, func(x *Tree) error {
			_, err := x.ReadFile("a", 4)
			var large *TooLargeError
			if !errors.As(err, &large) {
				return errors.New("no TooLargeError")
			}
			return nil
		}, nil, []string{`100644 a t2000 "12345"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tree := build(t, now, tt.start...)
			if err := tt.do(tree); !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			got := show(t, tree)[1:]
			if len(got) == 0 {
				got = nil
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSpool(t *testing.T) {
	t.Parallel()
	s, err := NewSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a, err := s.Add(strings.NewReader("hello, world"), 5)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Add(strings.NewReader("there"), 5)
	if err != nil {
		t.Fatal(err)
	}
	if a == b || a != Content(a) {
		t.Error("contents compare wrongly")
	}
	for want, c := range map[string]Content{"hello": a, "there": b} {
		got, err := io.ReadAll(NewReader(c))
		if err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	p := make([]byte, 9)
	if n, err := a.ReadAt(p, 3); n != 2 || err != io.EOF {
		t.Errorf("reading over the end: %d, %v", n, err)
	}
	if _, err := s.Add(strings.NewReader("short"), 9); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("too short: %v", err)
	}
}

func TestLstatWithin(t *testing.T) {
	t.Parallel()
	tree := New(Time{Sec: 1})
	if err := tree.MkdirAll("a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := tree.Put("l", &Node{Mode: TypeSymlink | 0o777, Target: "a/b"}); err != nil {
		t.Fatal(err)
	}
	if err := tree.WriteFile("a/b/c", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	steps := 5 // l, c, and a, b, c
	n, err := tree.LstatWithin("l/c", &steps)
	if want, _ := tree.Lstat("a/b/c"); err != nil || n != want || steps != 0 {
		t.Errorf("%v, %v, %d steps left", n, err, steps)
	}
	steps = 4
	if _, err := tree.LstatWithin("l/c", &steps); !errors.Is(err, ErrSteps) {
		t.Errorf("with a step less: %v", err)
	}
	steps = 1
	if n, err := tree.LstatWithin("..", &steps); err != nil || n != tree.Root {
		t.Errorf("the root: %v, %v", n, err)
	}
}

// MkdirAll does what going from name to name does.
func TestMkdirAll(t *testing.T) {
	t.Parallel()
	stepwise := func(t *Tree, path string) error {
		for i, parts := 0, split(path); i < len(parts); i++ {
			p := strings.Join(parts[:i+1], "/")
			n, err := t.Stat(p)
			if errors.Is(err, fs.ErrNotExist) {
				n, err = t.Mkdir(p, 0o750, 0, 0)
			}
			if err != nil {
				return err
			}
			if !n.IsDir() {
				return ErrNotDir
			}
		}
		return nil
	}
	list := func(tree *Tree) (out []string) {
		tree.Walk(func(p string, n *Node) error {
			out = append(out, fmt.Sprintf("%o %d %s %s", n.Mode, n.UID, p, n.Target))
			return nil
		})
		return out
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "c", "..", "l", "m", "f"}
	for range 3000 {
		path := func() string {
			var parts []string
			for range 1 + rnd.IntN(5) {
				parts = append(parts, names[rnd.IntN(len(names))])
			}
			return strings.Join(parts, "/")
		}
		tree := New(Time{Sec: 7})
		for range rnd.IntN(8) {
			switch p := path(); rnd.IntN(3) {
			case 0:
				tree.Mkdir(p, 0o700, 1, 1)
			case 1:
				tree.Put(p, &Node{Mode: TypeSymlink | 0o777, Target: strings.Repeat("/", rnd.IntN(2)) + path()})
			default:
				tree.WriteFile(p, nil, 0o600)
			}
		}
		p, other := path(), tree.Clone()
		was := tree.Clone()
		err, want := tree.MkdirAll(p, 0o750), stepwise(other, p)
		for _, e := range []error{ErrNotDir, ErrLoop, fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid} {
			if errors.Is(err, e) != errors.Is(want, e) {
				t.Fatalf("%s: %v, stepwise %v", p, err, want)
			}
		}
		if (err == nil) != (want == nil) || !slices.Equal(list(tree), list(other)) {
			t.Fatalf("%s in %q: %q, %v, stepwise %q, %v", p, list(was), list(tree), err, list(other), want)
		}
	}

	tree, room := New(Time{}), 2000
	tree.Room = &room
	deep := strings.Repeat("d/", 1999)
	for i := range 500 {
		if err := tree.MkdirAll(deep, 0o755); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := tree.MkdirAll("e/f", 0o755); !errors.Is(err, ErrRoom) {
		t.Errorf("no room: %v", err)
	}
	if sub, err := tree.Sub("e"); err != nil || !errors.Is(sub.MkdirAll("f", 0o755), ErrRoom) {
		t.Errorf("a part of a tree has room, %v", err)
	}
}
