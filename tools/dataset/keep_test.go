package dataset

import (
	"bytes"
	"context"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/oracle"
)

// Hidden attributes, in directories and in SA, stay with files that are changed
// in any way but being replaced.
func TestAttributesAreKept(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	chain := layers(t, "zoo-full")
	base := open(t, "zoo-full")
	old, err := base.Tree(testTime)
	must(t, err)
	want := make(map[string]map[string][]byte) // new path → attributes
	keep := func(from, to string) {
		n, err := old.Lstat(from)
		must(t, err)
		x, err := base.Xattrs(n.Base)
		must(t, err)
		if len(x) == 0 {
			t.Fatalf("%s has no attributes", from)
		}
		want[to] = x
	}
	ds, _ := increment(t, chain, oracle.Options{Linux: true}, func(tree *fstree.Tree) {
		for _, d := range []string{"xattr-dir/", "xattr-sa/"} {
			must(t, tree.WriteFile(d+"one", []byte("rewritten in place"), 0))
			keep(d+"one", d+"one")
			tree.Root.Child(d[:len(d)-1]).Child("many").SetPerm(0o604)
			keep(d+"many", d+"many")
			must(t, tree.Rename(d+"large", "moved-"+d[:len(d)-1]))
			keep(d+"large", "moved-"+d[:len(d)-1])
			must(t, tree.Link(d+"larger", d+"larger-2"))
			keep(d+"larger", d+"larger-2")
			n, err := tree.Lstat(d + "dir")
			must(t, err)
			n.UID = 77
			must(t, tree.WriteFile(d+"dir/new", nil, 0o644))
			keep(d+"dir", d+"dir")
			must(t, tree.Put(d+"empty-value", &fstree.Node{Mode: fstree.TypeRegular | 0o644})) // its attributes go
			want[d+"empty-value"] = map[string][]byte{}
		}
		keep("acl/a", "acl/a") // untouched
		must(t, tree.WriteFile("acl/b", []byte("x"), 0))
		keep("acl/b", "acl/b")
		must(t, tree.RemoveAll("acl/d"))
	})
	now, err := ds.Tree(testTime)
	must(t, err)
	for path, x := range want {
		n, err := now.Lstat(path)
		must(t, err)
		got, err := ds.Xattrs(n.Base)
		must(t, err)
		if !maps.EqualFunc(x, got, bytes.Equal) {
			t.Errorf("%s has attributes %q, want %q", path, got, x)
		}
	}
}

// Everything in the zoo can be written as a new file system; ACLs and hidden
// attributes are not part of a tree.
func TestFullOfZoo(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	base := open(t, "zoo-full", "zoo-incr")
	tree, err := base.Tree(testTime)
	must(t, err)
	full := writeFull(t, tree, 3)
	ds, err := Read(context.Background(), []Layer{full}, ReadOptions{})
	must(t, err)
	want := listing(t, tree, nil)
	again, err := ds.Tree(testTime)
	must(t, err)
	if d := cmp.Diff(want, listing(t, again, nil)); d != "" {
		t.Errorf("%.2000s", d)
	}
	for _, p := range problems(t, ds, CheckOptions{}) {
		t.Error(p)
	}
	if d := cmp.Diff(want, oracle.Check(t, oracle.Options{Every: true}, saveLayer(t, full))); d != "" {
		t.Errorf("real ZFS lists otherwise: %.2000s", d)
	}
}

// A new root directory makes the master node point to it.
func TestRootReplaced(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	increment(t, layers(t, "tiny-full"), oracle.Options{Linux: true}, func(tree *fstree.Tree) {
		n := &fstree.Node{Mode: fstree.TypeDir | 0o711, MTime: testTime, ATime: testTime}
		for _, name := range tree.Root.List() {
			n.Add(name, tree.Root.Child(name))
		}
		tree.Root = n
	})
}

// Chains of origins: an image of ours is the base of the next one, and a
// component's files go over that.
func TestChainOfOurs(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	chain := layers(t, "minimal-base")
	base := open(t, "minimal-base")
	tree, err := base.Tree(testTime)
	must(t, err)
	must(t, tree.WriteFile("root/etc/motd", []byte("origin\n"), 0o644))
	must(t, tree.MkdirAll("root/opt/smartdc", 0o755))
	chain = append(chain, writeIncrement(t, base, tree, 1001))
	ds, _ := increment(t, chain, oracle.Options{Linux: true}, func(tree *fstree.Tree) {
		component := fstree.New(fstree.Time{Sec: 1700000000})
		must(t, component.MkdirAll("opt/smartdc/boot", 0o775))
		must(t, component.WriteFile("opt/smartdc/boot/setup.sh", []byte("#!/bin/bash\n"), 0o755))
		must(t, component.MkdirAll("etc", 0o775))
		must(t, component.WriteFile("etc/motd", []byte("component\n"), 0o600))
		root, err := tree.Sub("root")
		must(t, err)
		_, err = fstree.Overlay(context.Background(), root, component, fstree.OverlayOptions{})
		must(t, err)
	})
	now, err := ds.Tree(testTime)
	must(t, err)
	if b, err := now.ReadFile("root/etc/motd", 100); err != nil || string(b) != "component\n" {
		t.Errorf("%q, %v", b, err)
	}
}
