package compare

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/survey"
)

// A long name in a manifest is not repeated in each of the fields below it, and
// many fields are found in one pass.
func TestOddManifest(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	long := strings.Repeat("n", 300<<10)
	fmt.Fprintf(&b, `{"short":{"a":{"b":[1]}},%q:{"x":0`, long)
	for i := range 20000 {
		fmt.Fprintf(&b, `,"%d":1`, i)
	}
	b.WriteString("}")
	for i := range 50000 {
		fmt.Fprintf(&b, `,"%d":1`, i)
	}
	m, err := imgmanifest.Parse([]byte(b.String() + "}"))
	if err != nil {
		t.Fatal(err)
	}
	leaves, total := flatten(m), 0
	for path, value := range leaves {
		total += len(path) + len(value)
	}
	if leaves["short.a.b.0"] != "1" || total > 2*imgmanifest.MaxSize {
		t.Errorf("%d leaves of %d bytes; %q", len(leaves), total, leaves["short.a.b.0"])
	}
}

// What is far down is not added up level by level for each file, nor is a drawn
// tree held in memory.
func TestDeep(t *testing.T) {
	t.Parallel()
	const levels, files = 1900, 4000
	s := newSystem(t)
	dir := strings.Repeat("d/", levels)
	s.write(dir+"0", "x")
	n, err := s.tree.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range files - 1 {
		n.Add(fmt.Sprint(i+1), &fstree.Node{Mode: fstree.TypeRegular | 0o644, Content: fstree.Bytes([]byte("x"))})
	}
	im, err := survey.Read(t.Context(), s.tree, survey.Options{Name: "deep"})
	if err != nil {
		t.Fatal(err)
	}
	d, depth := Measure(im, 0).Directory, 0
	for ; d != nil; depth++ {
		i := slices.IndexFunc(d.Dirs, func(c *Dir) bool { return c.Files >= files })
		if i < 0 {
			break
		}
		if d = d.Dirs[i]; d.Bytes != files {
			t.Fatalf("%d bytes %d levels down", d.Bytes, depth)
		}
	}
	if depth != levels || d.Own != files {
		t.Errorf("%d levels, %d bytes at the end", depth, d.Own)
	}
	e, err := Tree(im, TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out counter
	if err := e.WriteText(&out, false); err != nil || out.n < files*levels || out.largest > 1<<20 {
		t.Errorf("%d bytes, %d at once, %v", out.n, out.largest, err)
	}
}

type counter struct{ n, largest int }

func (c *counter) Write(p []byte) (int, error) {
	c.n, c.largest = c.n+len(p), max(c.largest, len(p))
	return len(p), nil
}
