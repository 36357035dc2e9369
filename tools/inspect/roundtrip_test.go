package inspect

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/oracle"
)

// TestRoundTrip writes a directory of this machine, ENGBLD_TREE, as a full
// stream: real ZFS lists it with equal hashes, and what is extracted from it is
// the same tree again.
func TestRoundTrip(t *testing.T) {
	dir := os.Getenv("ENGBLD_TREE")
	if dir == "" {
		t.Skip("ENGBLD_TREE is not set; it names a directory, such as /usr/share")
	}
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tmp := t.TempDir()
	spool, err := fstree.NewSpool(tmp)
	must(err)
	defer spool.Close()
	tree, err := fstree.ReadDir(ctx, dir, spool, fstree.Time{Sec: 1766000000})
	must(err)
	name := filepath.Join(tmp, "full.zfs")
	f, err := os.Create(name)
	must(err)
	defer f.Close()
	stats, err := dataset.WriteFull(ctx, f, tree, dataset.Options{ToGUID: 1, ToName: "zones/tree@final", Now: fstree.Time{Sec: 1766000000}})
	must(err)
	t.Logf("%+v", stats)
	want, err := dataset.Listing(ctx, tree, dataset.ListOptions{})
	must(err)
	if d := cmp.Diff(want, oracle.Check(t, oracle.Options{}, name)); d != "" {
		t.Errorf("real ZFS lists otherwise:\n%.3000s", d)
	}
	im, err := Open(ctx, []dataset.Layer{{R: f, Size: stats.Bytes, Name: name}}, dataset.ReadOptions{})
	must(err)
	if found, err := im.Dataset.Check(ctx, dataset.CheckOptions{}); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	out := filepath.Join(tmp, "out")
	_, err = im.Extract(ctx, out, ExtractOptions{})
	must(err)
	spool2, err := fstree.NewSpool(tmp)
	must(err)
	defer spool2.Close()
	again, err := fstree.ReadDir(ctx, out, spool2, fstree.Time{})
	must(err)
	again.Root.MTime, again.Root.Mode = tree.Root.MTime, tree.Root.Mode
	must(again.Walk(func(p string, n *fstree.Node) error {
		if n.IsSymlink() { // their times are not extracted
			old, err := tree.Lstat(p)
			if err != nil {
				return err
			}
			n.MTime = old.MTime
		}
		return nil
	}))
	got, err := dataset.Listing(ctx, again, dataset.ListOptions{})
	must(err)
	if !slices.Equal(want, got) {
		t.Errorf("the extracted tree differs:\n%.3000s", cmp.Diff(want, got))
	}
}
