package dataset

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/oracle"
)

var testTime = fstree.Time{Sec: 1766000000, Nsec: 123456789}

func saveLayer(t testing.TB, l Layer) string {
	t.Helper()
	b := make([]byte, l.Size)
	if _, err := l.R.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), strings.ReplaceAll(l.Name, "/", "_")+".zfs")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func writeIncrement(t testing.TB, base *Dataset, tree *fstree.Tree, guid uint64) Layer {
	t.Helper()
	var b bytes.Buffer
	_, err := WriteIncrement(context.Background(), &b, base, tree, Options{ToGUID: guid, ToName: "zones/test@final", CreationTime: 1766000000, Now: testTime})
	if err != nil {
		t.Fatal(err)
	}
	return Layer{R: bytes.NewReader(b.Bytes()), Size: int64(b.Len()), Name: "incr"}
}

func listing(t testing.TB, tree *fstree.Tree, base *Dataset) []string {
	t.Helper()
	l, err := Listing(context.Background(), tree, ListOptions{Base: base})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTmpIncr(t *testing.T) {
	base := open(t, "minimal-base")
	tree, err := base.Tree(testTime)
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.MkdirAll("root/opt/new/dir", 0o755); err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(tree.WriteFile("root/opt/new/dir/f", []byte("hello"), 0o644))
	must(tree.WriteFile("root/etc/motd", []byte("hello"), 0o644))
	must(tree.Put("root/opt/new/l", &fstree.Node{Mode: fstree.TypeSymlink | 0o777, Target: strings.Repeat("x", 300)}))
	must(tree.Put("root/opt/new/dev", &fstree.Node{Mode: fstree.TypeChar | 0o666, Rdev: 13<<32 | 2}))
	must(tree.RemoveAll("root/var"))
	inc := writeIncrement(t, base, tree, 77)
	got := oracle.Check(t, oracle.Options{Linux: true}, "testdata/minimal-base.zfs.gz", saveLayer(t, inc))
	want := listing(t, tree, base)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	ds, err := Read(context.Background(), append(base.layers, inc), ReadOptions{})
	must(err)
	again, err := ds.Listing(context.Background(), ListOptions{})
	must(err)
	if d := cmp.Diff(want, again); d != "" {
		t.Error(d)
	}
}

func writeFull(t testing.TB, tree *fstree.Tree, guid uint64) Layer {
	t.Helper()
	var b bytes.Buffer
	_, err := WriteFull(context.Background(), &b, tree, Options{ToGUID: guid, ToName: "zones/base@final", CreationTime: 1766000000, Now: testTime})
	if err != nil {
		t.Fatal(err)
	}
	return Layer{R: bytes.NewReader(b.Bytes()), Size: int64(b.Len()), Name: "full"}
}
