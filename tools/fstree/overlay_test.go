package fstree

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	then = Time{1000, 0}
	now  = Time{2000, 0}
)

// build makes a tree of lines: "d 0755 path", "f 0644 path content", "l path target",
// "h path old", "p 0600 path", "c 0600 path".
func build(t *testing.T, now Time, lines ...string) *Tree {
	t.Helper()
	tree := New(now)
	for _, line := range lines {
		w := strings.Fields(line)
		var perm uint32
		fmt.Sscanf(w[1], "%o", &perm)
		var err error
		switch w[0] {
		case "d":
			_, err = tree.Mkdir(w[2], perm, 0, 0)
		case "f":
			content := ""
			if len(w) > 3 {
				content = w[3]
			}
			err = tree.Put(w[2], &Node{Mode: TypeRegular | perm, Content: Bytes([]byte(content))})
		case "l":
			err = tree.Put(w[1], &Node{Mode: TypeSymlink | 0o777, Target: w[2]})
		case "h":
			err = tree.Link(w[2], w[1])
		case "p":
			err = tree.Put(w[2], &Node{Mode: TypeFifo | perm})
		case "c":
			err = tree.Put(w[2], &Node{Mode: TypeChar | perm, Rdev: 13<<32 | 2})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func show(t *testing.T, tree *Tree) []string {
	t.Helper()
	var out []string
	tree.Walk(func(p string, n *Node) error {
		s := fmt.Sprintf("%o %s t%d", n.Mode, p, n.MTime.Sec)
		if n.UID != 0 || n.GID != 0 {
			s += fmt.Sprintf(" %d:%d", n.UID, n.GID)
		}
		switch {
		case n.IsRegular():
			b, err := n.ReadAll(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			s += fmt.Sprintf(" %q", b)
			if n.Names() > 1 {
				s += fmt.Sprintf(" names=%d", n.Names())
			}
		case n.IsSymlink():
			s += " -> " + n.Target
		case n.Rdev != 0:
			s += fmt.Sprintf(" rdev=%#x", n.Rdev)
		}
		out = append(out, s)
		return nil
	})
	return out
}

type warnings []string

func (w *warnings) Warnf(format string, args ...any) { *w = append(*w, fmt.Sprintf(format, args...)) }

func TestOverlay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		dst, src  []string
		hardLinks bool
		want      []string
		stats     OverlayStats
		warns     int
	}{
		{"new things", nil, []string{"d 0750 d", "f 4755 d/su x", "l d/l su", "p 0600 p", "c 0666 c"}, false,
			[]string{"40755 . t2000", "20666 c t1000 rdev=0xd00000002", "40750 d t1000", "120777 d/l t1000 -> su", `104755 d/su t1000 "x"`, "10600 p t1000"},
			OverlayStats{Added: 5}, 0},
		{"file replaced", []string{"f 0644 a old"}, []string{"f 0600 a new"}, false,
			[]string{"40755 . t2000", `100600 a t1000 "new"`}, OverlayStats{Replaced: 1}, 0},
		{"the same, other mode", []string{"f 0644 a old"}, []string{"f 0600 a old"}, false,
			[]string{"40755 . t2000", `100600 a t1000 "old"`}, OverlayStats{Kept: 1}, 0},
		{"link over file", []string{"f 0644 a old"}, []string{"l a b"}, false,
			[]string{"40755 . t2000", `120777 a t1000 -> b`}, OverlayStats{Replaced: 1}, 0},
		{"file over link", []string{"d 0755 d", "l a d"}, []string{"f 0644 a x"}, false,
			[]string{"40755 . t2000", `100644 a t1000 "x"`, "40755 d t2000"}, OverlayStats{Replaced: 1}, 0},
		{"file over empty directory", []string{"d 0755 a"}, []string{"f 0644 a x"}, false,
			[]string{"40755 . t2000", `100644 a t1000 "x"`}, OverlayStats{Replaced: 1}, 0},
		{"directory over link to directory", []string{"d 0755 real", "f 0644 real/f x", "l a real"}, []string{"d 0755 a", "f 0644 a/g y"}, false,
			[]string{"40755 . t2000", "40755 a t1000", `100644 a/g t1000 "y"`, "40755 real t2000", `100644 real/f t2000 "x"`},
			OverlayStats{Replaced: 1, Added: 1}, 0},
		{"directory over file", []string{"f 0644 a x"}, []string{"d 0700 a"}, false,
			[]string{"40755 . t2000", "40700 a t1000"}, OverlayStats{Replaced: 1}, 0},
		{"stricter directory", []string{"d 0755 a", "f 0644 a/x x"}, []string{"d 0700 a"}, false,
			[]string{"40755 . t2000", "40700 a t1000", `100644 a/x t2000 "x"`}, OverlayStats{}, 0},
		{"looser directory", []string{"d 0755 a"}, []string{"d 0775 a"}, false,
			[]string{"40755 . t2000", "40755 a t1000"}, OverlayStats{}, 1},
		{"sticky bit lost", []string{"d 1777 tmp"}, []string{"d 0777 tmp"}, false,
			[]string{"40755 . t2000", "41777 tmp t1000"}, OverlayStats{}, 1},
		{"hard links become copies", nil, []string{"f 0644 a x", "h b a"}, false,
			[]string{"40755 . t2000", `100644 a t1000 "x"`, `100644 b t1000 "x"`}, OverlayStats{Added: 2}, 0},
		{"hard links", []string{"f 0644 b y"}, []string{"f 0644 a x", "h b a"}, true,
			[]string{"40755 . t2000", `100644 a t1000 "x" names=2`, `100644 b t1000 "x" names=2`}, OverlayStats{Added: 1, Replaced: 1}, 0},
		{"hard link in the image is broken", []string{"f 0644 a x", "h b a"}, []string{"f 0600 a x"}, false,
			[]string{"40755 . t2000", `100600 a t1000 "x"`, `100644 b t2000 "x"`}, OverlayStats{Replaced: 1}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dst, src := build(t, now, tt.dst...), build(t, then, tt.src...)
			before := show(t, src)
			var w warnings
			stats, err := Overlay(context.Background(), dst, src, OverlayOptions{Warn: &w, HardLinks: tt.hardLinks})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, show(t, dst)); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(before, show(t, src)); d != "" {
				t.Errorf("the source changed: %s", d)
			}
			if stats != tt.stats || len(w) != tt.warns {
				t.Errorf("%+v, warnings %q", stats, w)
			}
		})
	}
}

func TestOverlayConflict(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"f 0644 a/b x", "l a/b c", "p 0600 a/b"} {
		dst := build(t, now, "d 0755 a", "d 0755 a/b", "d 0755 a/b/c")
		src := build(t, then, "d 0755 a", line)
		if _, err := Overlay(context.Background(), dst, src, OverlayOptions{}); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), "/a/b") {
			t.Errorf("%s: %v", line, err)
		}
	}
}
