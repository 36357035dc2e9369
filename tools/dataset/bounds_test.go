package dataset

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/zstream"
)

// Paths have a bound, the same for writing, reading and checking.
func TestPathsAreBounded(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("n", 255)
	for depth, want := range map[int]string{maxPath / 256: "", maxPath/256 + 1: "a path of more than 16384 bytes"} {
		tree := fstree.New(testTime)
		dir := tree.Root
		for range depth {
			sub := &fstree.Node{Mode: fstree.TypeDir | 0o755}
			dir.Add(name, sub)
			dir = sub
		}
		var out bytes.Buffer
		_, err := WriteFull(context.Background(), &out, tree, Options{ToGUID: 5, ToName: "a@b", Now: testTime})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d deep: %v", depth, err)
		}
		if err != nil {
			continue
		}
		ds, err := Read(context.Background(), []Layer{{R: bytes.NewReader(out.Bytes()), Size: int64(out.Len()), Name: "x"}}, ReadOptions{})
		must(t, err)
		if _, err = ds.Tree(testTime); err != nil {
			t.Error(err)
		}
		if found := problems(t, ds, CheckOptions{}); len(found) > 0 {
			t.Error(found)
		}
		b := treeBuilder{ds: ds}
		if err := b.fill(ds.root, &fstree.Node{}, strings.Repeat("n", maxPath+1), 0); err == nil || !strings.Contains(err.Error(), "a path of more than 16384 bytes") {
			t.Error(err)
		}
		c := checker{ds: ds, ctx: context.Background(), opts: CheckOptions{Max: 1}}
		if c.directory(ds.root, &inode{}, strings.Repeat("n", maxPath+2), 0); len(c.found) != 1 || c.found[0].What != "a path of more than 16384 bytes" {
			t.Error(c.found)
		}
	}
}

// An attribute directory that many files share is not read for each of them.
func TestSharedAttributes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	ds := open(t, "zoo-full")
	var first, second uint64
	for _, num := range ds.numbers {
		o := ds.objects.get(num)
		if !o.isFile() {
			continue
		}
		in, vals, err := ds.inode(o, nil)
		must(t, err)
		switch {
		case in.xattr == 0 || second != 0:
		case first == 0:
			first = in.xattr
		default:
			second = num
			i := slices.IndexFunc(vals, func(v value) bool { a, _ := ds.sa.meaningOf(v.id); return a == attrXattr })
			le.PutUint64(vals[i].data, first)
		}
	}
	if second == 0 {
		t.Fatal("too few files with attributes")
	}
	found := problems(t, ds, CheckOptions{Linux: true, NoData: true})
	if !slices.ContainsFunc(found, func(p Problem) bool {
		return strings.Contains(p.What, "its attribute directory") && strings.Contains(p.What, "is that of object")
	}) {
		t.Errorf("%.1000v", found)
	}
	tree, err := ds.Tree(testTime)
	must(t, err)
	if _, err := WriteIncrement(context.Background(), io.Discard, ds, tree, Options{ToGUID: 5, ToName: "a@b", Now: testTime}); err == nil || !strings.Contains(err.Error(), "is also another's") {
		t.Error(err)
	}
}

// A directory of large blocks is refused before they are unpacked.
func TestLargeZapBlocks(t *testing.T) {
	t.Parallel()
	ds, o := zapObject(make([]byte, 1<<18), 1<<18)
	ds.layers[0].R = broken{}
	if _, err := ds.parseZap(o); err == nil || !strings.Contains(err.Error(), "a ZAP with blocks of 262144 bytes") {
		t.Error(err)
	}
}

// counter counts reads.
type counter struct {
	io.ReaderAt
	reads *atomic.Int64
}

func (c counter) ReadAt(p []byte, off int64) (int, error) {
	c.reads.Add(1)
	return c.ReaderAt.ReadAt(p, off)
}

// A compressed block is unpacked once, in however small parts it is read.
func TestCompressedInSmallParts(t *testing.T) {
	t.Parallel()
	ds := open(t, "c")
	var reads atomic.Int64
	ds.layers[0].R = counter{ds.layers[0].R, &reads}
	tree, err := ds.Tree(testTime)
	must(t, err)
	checked := 0
	must(t, tree.Walk(func(path string, n *fstree.Node) error {
		if !n.IsRegular() || n.Content == nil {
			return nil
		}
		o := n.Content.(content).o
		blocks := int64(0)
		for _, r := range o.runs {
			if r.comp == 0 {
				return nil
			}
			blocks += int64(r.n)
		}
		want, err := n.ReadAll(64 << 20)
		if err != nil {
			return err
		}
		reads.Store(0)
		ds.unpacked.Store(nil)
		got, err := io.ReadAll(io.LimitReader(readerOf{fstree.NewReader(n.Content)}, 64<<20))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of %d, %v", path, len(got), len(want), err)
		}
		if reads.Load() > blocks {
			t.Errorf("%s: %d reads of %d blocks", path, reads.Load(), blocks)
		}
		checked++
		return nil
	}))
	if checked == 0 {
		t.Error("no file is compressed")
	}
}

// readerOf reads 512 bytes at a time.
type readerOf struct{ io.Reader }

func (r readerOf) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 512)]) }

// One of many nested directories that cannot be changed in place changes all
// above it at the price of these, not of a pass over all files for each level.
func TestAwkwardChain(t *testing.T) {
	t.Parallel()
	const depth, files = 1500, 20_000
	tree := fstree.New(testTime)
	dir, path := tree.Root, ""
	for range depth {
		sub := &fstree.Node{Mode: fstree.TypeDir | 0o755}
		dir.Add("d", sub)
		dir.Add("e", &fstree.Node{Mode: fstree.TypeRegular | 0o644})
		dir, path = sub, path+"d/"
	}
	for i := range files {
		must(t, tree.MkdirAll(fmt.Sprintf("w%d", i%20), 0o755))
		must(t, tree.Put(fmt.Sprintf("w%d/f%d", i%20, i), &fstree.Node{Mode: fstree.TypeRegular | 0o644}))
	}
	full := writeFull(t, tree, 5)
	base, err := Read(context.Background(), []Layer{full}, ReadOptions{})
	must(t, err)
	for _, num := range base.numbers {
		if o := base.objects.get(num); o.typ == zstream.TypeDirectory && num != base.root {
			o.slots = 2
		}
	}
	if tree, err = base.Tree(testTime); err != nil {
		t.Fatal(err)
	}
	must(t, tree.WriteFile(path+"new", []byte("x"), 0o644))
	p, err := newPlan(context.Background(), base, tree, Options{ToGUID: 6, ToName: "a@b", Now: testTime}, false)
	must(t, err)
	kept := 0
	for _, f := range p.files {
		if !f.keep {
			continue
		}
		kept++
		if differs, err := p.differs(f); err != nil || differs && f.awkward() {
			t.Fatalf("%s is kept and differs, %v", f.path(), err)
		}
	}
	// The chain is given up; what else is in it only says so, and the rest stays.
	if want := 1 + 20 + files + depth; kept != want || len(p.files) != want+depth+1 {
		t.Errorf("%d of %d objects are kept instead of %d", kept, len(p.files), want)
	}
}
