package dataset

import (
	"context"
	"strings"
	"testing"
)

func problems(t testing.TB, ds *Dataset, o CheckOptions) []Problem {
	t.Helper()
	found, err := ds.Check(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What kernel ZFS made is consistent.
func TestCheckFixtures(t *testing.T) {
	t.Parallel()
	for _, chain := range [][]string{
		{"tiny-full"}, {"tiny-modern"}, {"rs4k"}, {"rs1m"}, {"rs1m-L"}, {"c"}, {"e"}, {"Lec"}, {"large-dnode"},
		{"minimal-base", "minimal-incr"}, {"reuse-full", "reuse-incr"}, {"incr-same-base", "incr-same"}, {"zoo-full", "zoo-incr"},
	} {
		t.Run(strings.Join(chain, "+"), func(t *testing.T) {
			t.Parallel()
			if testing.Short() && chain[0] == "zoo-full" {
				t.Skip("short")
			}
			for _, p := range problems(t, open(t, chain...), CheckOptions{Linux: true}) {
				t.Error(p)
			}
		})
	}
}

// Damage is found and named.
func TestCheckDamage(t *testing.T) {
	t.Parallel()
	setInt := func(a attr, v uint64) func(*Dataset, *object) {
		return func(ds *Dataset, o *object) {
			vals, err := ds.attributes(o, nil)
			if err != nil {
				t.Fatal(err)
			}
			l := attrList{sa: &ds.sa, vals: vals}
			le.PutUint64(l.vals[l.at(a)].data, v) // in the bonus buffer itself
		}
	}
	for _, tt := range []struct {
		name, path string
		damage     func(*Dataset, *object)
		want       string
	}{
		{"links", "root/etc/motd", setInt(attrLinks, 5), "links 5, names 1"},
		{"size of directory", "root/etc", setInt(attrSize, 99), "directory size 99, entries 4 + 2"},
		{"links of directory", "root", setInt(attrLinks, 9), "directory links 9, subdirectories 2 + 2"},
		{"parent", "root/etc/motd", setInt(attrParent, 2), "parent 2, found in 3"},
		{"entry type", "root/etc/motd", setInt(attrMode, 0o120644), "directory entry type 8, mode 120644"},
		{"acl", "root/etc/motd", setInt(attrMode, 0o100600), "flagged trivial, but the ACL is not the one of mode 600"},
		{"acl count", "root/etc/motd", setInt(attrACLCount, 7), "DACL_COUNT says 7"},
		{"no execs", "root/one-byte", setInt(attrMode, 0o100644), "flag no-execs-denied"},
		{"tail", "root/etc/motd", setInt(attrSize, 5), "bytes past the end of file are not zero, at 5"},
		{"size", "root/etc/motd", setInt(attrSize, 1<<62), "size 4611686018427387904 is more than any file has"},
		{"dangling", "root/etc/motd", func(ds *Dataset, o *object) { ds.objects.remove(o.num) }, "the entry's object does not exist"},
		{"orphan", "root/etc/motd", func(ds *Dataset, o *object) {
			n := *o
			n.num = 4000
			ds.objects.set(4000, &n)
			ds.numbers = append(ds.numbers, 4000)
		}, "object 4000: allocated, but nothing refers to it"},
		{"magic", "root/etc/motd", func(ds *Dataset, o *object) { o.bonus[0] ^= 1 }, "no magic number"},
		{"layout", "root/etc/motd", func(ds *Dataset, o *object) { o.bonus[4] ^= 0x40 }, "layout 66 does not exist"},
		{"time", "root/etc/motd", func(ds *Dataset, o *object) {
			vals, _ := ds.attributes(o, nil)
			l := attrList{sa: &ds.sa, vals: vals}
			le.PutUint64(l.vals[l.at(attrMTime)].data[8:], 1e9)
		}, "a time with 1000000000 nanoseconds"},
		{"layouts in a row", "root", func(ds *Dataset, o *object) { delete(ds.sa.layouts, 3) }, "not numbered in a row"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ds := open(t, "tiny-full")
			tree, err := ds.Tree(testTime)
			if err != nil {
				t.Fatal(err)
			}
			n, err := tree.Lstat(tt.path)
			if err != nil {
				t.Fatal(err)
			}
			tt.damage(ds, ds.objects.get(n.Base))
			found := problems(t, ds, CheckOptions{})
			for _, p := range found {
				if strings.Contains(p.String(), tt.want) {
					return
				}
			}
			t.Errorf("found %v, want %q", found, tt.want)
		})
	}
}
