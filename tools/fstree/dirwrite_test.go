package fstree

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reading is content that calls a function when it is read.
type reading struct{ read func() error }

func (c *reading) Size() int64 { return 3 }
func (c *reading) ReadAt(p []byte, _ int64) (int, error) {
	if err := c.read(); err != nil {
		return 0, err
	}
	return copy(p, "abc"), nil
}

// Wherever writing ends, nothing is left of it, and everything of others.
func TestWriteDirTakesBack(t *testing.T) {
	t.Parallel()
	cause := errors.New("no room")
	ctx, cancel := context.WithCancel(t.Context())
	for name, tt := range map[string]struct {
		fail func(root *os.Root) error // while d/m is read
		want error
		left string
	}{
		"no room":     {func(*os.Root) error { return cause }, cause, "."},
		"interrupted": {func(*os.Root) error { cancel(); return nil }, context.Canceled, "."},
		"somebody's own file": {func(r *os.Root) error {
			return errors.Join(r.Chmod("d/b", 0o700), r.WriteFile("d/b/mine", nil, 0o600), cause)
		}, cause, ". d d/b d/b/mine"},
		"somebody's next file": {func(r *os.Root) error { return r.WriteFile("d/n", nil, 0o600) }, os.ErrExist, ". d d/n"},
		"somebody's next link": {func(r *os.Root) error { return r.Symlink("x", "d/o") }, os.ErrExist, ". d d/o"},
		"somebody's next dir":  {func(r *os.Root) error { return r.Mkdir("d/p", 0o700) }, os.ErrExist, ". d d/p"},
		"somebody's hard link": {func(r *os.Root) error { return r.WriteFile("d/q", nil, 0o600) }, os.ErrExist, ". d d/q"},
	} {
		root := openRoot(t, t.TempDir())
		tree := New(Time{Sec: 1})
		for _, err := range []error{
			tree.MkdirAll("d/b/c", 0o755),
			tree.WriteFile("d/a", []byte("a"), 0o444),
			tree.WriteFile("d/b/file", []byte("b"), 0o644),
			tree.Put("d/b/link", &Node{Mode: TypeSymlink | 0o777, Target: "../a"}),
			tree.Link("d/a", "d/b/again"),
			tree.Put("d/m", &Node{Mode: TypeRegular | 0o644, Content: &reading{func() error { return tt.fail(root) }}}),
			tree.WriteFile("d/n", nil, 0o644),
			tree.Put("d/o", &Node{Mode: TypeSymlink | 0o777, Target: "a"}),
			tree.MkdirAll("d/p/q", 0o755),
			tree.Link("d/a", "d/q"),
			tree.WriteFile("z", nil, 0o644),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		b, err := tree.Lstat("d/b")
		if err != nil {
			t.Fatal(err)
		}
		b.SetPerm(0o555)
		c := ctx
		if name != "interrupted" {
			c = t.Context()
		}
		_, err = WriteDir(c, root, tree, WriteOptions{})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		var left []string
		if err := readRootOf(t, root).Walk(func(p string, _ *Node) error { left = append(left, p); return nil }); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.left, strings.Join(left, " ")); d != "" {
			t.Errorf("%s: left\n%s", name, d)
		}
	}
}
