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
	"github.com/TritonDataCenter/engbld/tools/oracle"
	"github.com/TritonDataCenter/engbld/tools/zstream"
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
			if testing.Short() && chain[0] == "zoo-full" {
				t.Skip("short")
			}
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
		in, err := ds.stat(ds.objects.get(n.Base))
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
		{[]string{"minimal-base", "reuse-incr"}, "it is an increment on snapshot"},
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

// records splits a stream into records with their payloads.
func records(t testing.TB, b []byte) [][]byte {
	t.Helper()
	r, err := zstream.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out := [][]byte{b[:r.Offset()]}
	for at := r.Offset(); ; at = r.Offset() {
		if _, err := r.Next(); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, b[at:r.Offset()])
	}
}

// illumos sends the OBJECTs of 32 numbers, each with the FREE behind its blocks,
// before their data.
func TestIllumosOrder(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tiny-full", "minimal-base", "reuse-full"} {
		b, err := unpack(name + ".zfs")
		if err != nil {
			t.Fatal(err)
		}
		var out, data []byte
		group := uint64(0)
		for i, rec := range records(t, b) {
			kind, num := zstream.Kind(le.Uint32(rec)), le.Uint64(rec[8:])
			tail := kind == zstream.KindFree && le.Uint64(rec[24:]) == ^uint64(0)
			if i == 0 || kind == zstream.KindEnd || (kind == zstream.KindObject || kind == zstream.KindFreeObjects) && num/32 != group {
				out, data = append(out, data...), nil
				group = num / 32
			}
			if kind == zstream.KindWrite || kind == zstream.KindFree && !tail || kind == zstream.KindSpill {
				data = append(data, rec...)
			} else {
				out = append(out, rec...)
			}
		}
		if len(out) != len(b) || bytes.Equal(out, b) {
			t.Fatalf("%s: %d bytes of %d, or the same order", name, len(out), len(b))
		}
		ds, err := Read(context.Background(), []Layer{{R: bytes.NewReader(reseal(out)), Size: int64(len(out)), Name: name}}, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(mountListing(t, open(t, name)), mountListing(t, ds)); d != "" {
			t.Errorf("%s: %.2000s", name, d)
		}
	}
}

type warnings []string

func (w *warnings) Warnf(format string, args ...any) { *w = append(*w, fmt.Sprintf(format, args...)) }

// What is odd but harmless is read with a warning.
func TestWarnings(t *testing.T) {
	t.Parallel()
	b, err := unpack("tiny-full.zfs")
	if err != nil {
		t.Fatal(err)
	}
	var w warnings
	b = append(b, "more"...)
	if _, err := Read(context.Background(), []Layer{{R: bytes.NewReader(b), Size: int64(len(b)), Name: "x"}}, ReadOptions{Warn: &w}); err != nil {
		t.Fatal(err)
	}
	if len(w) != 1 || w[0] != "stream x: 4 bytes behind its end are not looked at" {
		t.Errorf("%q", w)
	}
}

// Streams that contradict themselves, with right checksums.
func TestContradictions(t *testing.T) {
	t.Parallel()
	good, err := unpack("rs4k.zfs")
	if err != nil {
		t.Fatal(err)
	}
	find := func(recs [][]byte, kind zstream.Kind, num uint64) int {
		return slices.IndexFunc(recs, func(r []byte) bool { return zstream.Kind(le.Uint32(r)) == kind && le.Uint64(r[8:]) == num })
	}
	const blocks = 6 // object of a file with many blocks
	for _, tt := range []struct {
		name string
		edit func([][]byte) [][]byte
		want string
	}{
		{"data of no object", func(r [][]byte) [][]byte {
			return slices.Delete(r, find(r, zstream.KindObject, blocks), find(r, zstream.KindObject, blocks)+2)
		}, "data for object 6, which does not exist"},
		{"block size", func(r [][]byte) [][]byte {
			le.PutUint32(r[find(r, zstream.KindObject, blocks)][24:], 8192)
			return r
		}, "4096 bytes of data at 0, block size 8192"},
		{"order of data", func(r [][]byte) [][]byte {
			i := find(r, zstream.KindWrite, blocks)
			r[i], r[i+1] = r[i+1], r[i]
			return r
		}, "object 6: data at 0 comes after object 6, 8192"},
		{"part of a block freed", func(r [][]byte) [][]byte {
			i := find(r, zstream.KindWrite, blocks)
			f := make([]byte, zstream.RecordSize)
			le.PutUint32(f, uint32(zstream.KindFree))
			le.PutUint64(f[8:], blocks)
			le.PutUint64(f[16:], 512)
			le.PutUint64(f[24:], 512)
			return slices.Insert(r, i+1, f)
		}, "hole at 512, block size 4096"},
		{"no master node", func(r [][]byte) [][]byte { return slices.Delete(r, 1, find(r, zstream.KindObject, 2)) }, "reading the master node: object 1 does not exist"},
		{"no root", func(r [][]byte) [][]byte {
			i := find(r, zstream.KindObject, 34)
			return append(r[:i:i], r[len(r)-1])
		}, "does not exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := reseal(slices.Concat(tt.edit(records(t, slices.Clone(good)))...))
			_, err := Read(context.Background(), []Layer{{R: bytes.NewReader(b), Size: int64(len(b)), Name: "x"}}, ReadOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// Real ZFS sends what it received from us in the form of senders before 2019.
func TestOldSenders(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	chain := layers(t, "reuse-full", "reuse-incr")
	dir := t.TempDir()
	var files []string
	for _, l := range chain {
		files = append(files, saveLayer(t, l))
	}
	if _, stderr, exit := oracle.Run(t, "zrecv", append([]string{"-q", "-r", dir}, files...)...); exit != 0 {
		t.Fatalf("zrecv: %s", stderr)
	}
	names, err := os.ReadFile(filepath.Join(dir, "received"))
	if err != nil {
		t.Fatal(err)
	}
	var old []Layer
	args := []string{"-o"}
	for _, name := range strings.Fields(string(names)) {
		out, stderr, exit := oracle.Run(t, "zsend", append(args, dir, name)...)
		if exit != 0 {
			t.Fatalf("zsend: %s", stderr)
		}
		old = append(old, Layer{R: strings.NewReader(out), Size: int64(len(out)), Name: name})
		args = []string{"-o", "-i", name}
	}
	ds, err := Read(context.Background(), old, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if f := ds.begin.Flags; f&zstream.FlagSpillBlock != 0 {
		t.Errorf("flags %#x: not the old form", f)
	}
	if d := cmp.Diff(mountListing(t, open(t, "reuse-full", "reuse-incr")), mountListing(t, ds)); d != "" {
		t.Errorf("%.2000s", d)
	}
}
