package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ulikunitz/xz"

	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// unpack reads testdata/name with .gz or .xz behind it.
func unpack(name string) ([]byte, error) {
	name = filepath.Join("testdata", name)
	if f, err := os.Open(name + ".gz"); err == nil {
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	}
	f, err := os.Open(name + ".xz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := xz.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// The zoo is used by many tests and slow to unpack.
var zoo = map[string]func() ([]byte, error){
	"zoo-full": sync.OnceValues(func() ([]byte, error) { return unpack("zoo-full.zfs") }),
	"zoo-incr": sync.OnceValues(func() ([]byte, error) { return unpack("zoo-incr.zfs") }),
}

func layer(t testing.TB, name string) Layer {
	t.Helper()
	get := zoo[name]
	if get == nil {
		get = func() ([]byte, error) { return unpack(name + ".zfs") }
	}
	b, err := get()
	if err != nil {
		t.Fatal(err)
	}
	return Layer{R: bytes.NewReader(b), Size: int64(len(b)), Name: name}
}

func layers(t testing.TB, names ...string) []Layer {
	t.Helper()
	var out []Layer
	for _, n := range names {
		out = append(out, layer(t, n))
	}
	return out
}

func open(t testing.TB, names ...string) *Dataset {
	t.Helper()
	ds, err := Read(context.Background(), layers(t, names...), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// Every stream of the fixtures is listed as the kernel saw it.
func TestFixtures(t *testing.T) {
	t.Parallel()
	for _, chain := range [][]string{
		{"tiny-full"}, {"tiny-modern"}, {"rs4k"}, {"rs1m"}, {"rs1m-L"}, {"c"}, {"e"}, {"Lec"}, {"large-dnode"},
		{"minimal-base"}, {"minimal-base", "minimal-incr"}, {"minimal-base-2015Q4"}, {"minimal-base-2019Q4"},
		{"reuse-full"}, {"reuse-full", "reuse-incr"}, {"incr-same-base", "incr-same"},
		{"zoo-full"}, {"zoo-full", "zoo-incr"},
	} {
		name := chain[len(chain)-1]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ds := open(t, chain...)
			raw, err := unpack(name + ".listing")
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(strings.TrimSpace(string(raw)), "\n")
			got := mountListing(t, ds)
			if name == "incr-same" {
				// Another file system is mounted on child.
				drop := func(s string) bool { return strings.HasPrefix(s, "child") }
				want, got = slices.DeleteFunc(want, drop), slices.DeleteFunc(got, drop)
			}
			slices.Sort(want)
			slices.Sort(got)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("listing differs (-want +got):\n%.4000s", d)
			}
		})
	}
}

// mountListing makes the lines of testdata/*.listing, see testdata/README.md.
func mountListing(t *testing.T, ds *Dataset) []string {
	t.Helper()
	tree, err := ds.Tree(fstree.Time{})
	if err != nil {
		t.Fatal(err)
	}
	quote := func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			if c <= ' ' || c == '\\' || c == 0x7f {
				fmt.Fprintf(&b, "\\x%02x", c)
			} else {
				b.WriteByte(c)
			}
		}
		return b.String()
	}
	l := lister{names: make(map[*fstree.Node]int), sums: make(map[*fstree.Node]string)}
	first := make(map[*fstree.Node]string)
	tree.Walk(func(path string, n *fstree.Node) error {
		l.names[n]++
		if p := first[n]; p == "" || path < p {
			first[n] = path
		}
		return nil
	})
	var out []string
	err = tree.Walk(func(path string, n *fstree.Node) error {
		in, _, err := ds.inode(ds.objects[n.Base])
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s\t%c\t%04o\t%d\t%d\t%d\t%d\t%d.%09d\t%d", quote(path), TypeLetter(n.Mode), n.Perm(),
			n.UID, n.GID, in.links, in.size, n.MTime.Sec, n.MTime.Nsec, n.Base)
		switch n.Type() {
		case fstree.TypeRegular:
			sum, err := l.sum(n)
			if err != nil {
				return err
			}
			line += "\tsha256=" + sum
		case fstree.TypeSymlink:
			line += "\ttarget=" + quote(n.Target)
		case fstree.TypeChar, fstree.TypeBlock:
			line += fmt.Sprintf("\trdev=%d:%d", n.Rdev>>20, n.Rdev&(1<<20-1))
		}
		if first[n] != path {
			line += "\tsame=" + quote(first[n])
		}
		xattrs, err := ds.Xattrs(n.Base)
		if err != nil {
			return err
		}
		var names []string
		for name := range xattrs {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			line += "\tx:" + name + "=" + hex.EncodeToString(xattrs[name])
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		chain []string
		want  string
	}{
		{[]string{"R"}, "a package, as `zfs send -p` or `-R` makes it"},
		{[]string{"p"}, "a package, as `zfs send -p` or `-R` makes it"},
		{[]string{"zvol"}, "holds a volume, not a file system"},
		{[]string{"raw-encrypted"}, "raw (encrypted)"},
		{[]string{"c-zstd"}, "compressed with zstd"},
		{[]string{"formD"}, "names are normalised or case-insensitive"},
		{[]string{"minimal-incr"}, "which is not given"},
		{[]string{"minimal-base", "zoo-incr"}, "it is an increment on snapshot"},
		{[]string{"minimal-base", "tiny-full"}, "it is a full stream, not an increment on minimal-base"},
	} {
		t.Run(strings.Join(tt.chain, "+"), func(t *testing.T) {
			t.Parallel()
			_, err := Read(context.Background(), layers(t, tt.chain...), ReadOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
