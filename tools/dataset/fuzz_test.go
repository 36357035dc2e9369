package dataset

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// zapObject makes an object whose blocks are b in a row.
func zapObject(b []byte, blksz int) (*Dataset, *object) {
	ds := &Dataset{layers: []Layer{{R: bytes.NewReader(b), Size: int64(len(b))}}}
	o := &object{num: 1, blksz: uint32(blksz)}
	if n := uint32(len(b) / blksz); n > 0 {
		o.runs = []run{{n: n, size: uint32(blksz)}}
	}
	return ds, o
}

// Any bytes parse or fail; what parses can be written and is the same then.
func FuzzZap(f *testing.F) {
	entries := func(n int, name string) (out []zapEntry) {
		for i := range n {
			out = append(out, zapEntry{name: name + string(rune('a'+i)), value: uint64(i) << 40})
		}
		return out
	}
	for _, s := range []struct {
		entries []zapEntry
		fat     bool
		size    int
	}{
		{nil, false, 0}, {entries(20, "n"), false, 0}, {entries(26, "a name that is longer than it may be in a micro ZAP"), false, 4096},
		{[]zapEntry{{name: "2", words: []uint16{5, 6, 4}}}, true, 1024},
	} {
		z, err := buildZap(s.entries, 12345, s.fat, s.size)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Join(z.blocks, nil), uint8(z.size/512-1))
	}
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		if len(b) > 1<<17 {
			return
		}
		ds, o := zapObject(b, 512*(int(size)+1))
		z, err := ds.parseZap(o)
		if err != nil || z.salt == 0 || len(z.faults) > 0 {
			return
		}
		for _, e := range z.entries {
			if len(e.name) == 0 {
				return
			}
		}
		again, err := buildZap(slices.Clone(z.entries), z.salt, z.fat, fatBlock)
		if err != nil {
			t.Fatal(err)
		}
		ds, o = zapObject(bytes.Join(again.blocks, nil), again.size)
		z2, err := ds.parseZap(o)
		if err != nil {
			t.Fatal(err)
		}
		if len(z2.faults) > 0 || len(z2.entries) != len(z.entries) {
			t.Fatalf("%v, %d entries of %d", z2.faults, len(z2.entries), len(z.entries))
		}
		for i, e := range z.entries {
			if g := z2.entries[i]; g.name != e.name || g.value != e.value || !slices.Equal(g.words, e.words) {
				t.Errorf("%+v became %+v", e, g)
			}
		}
	})
}

func FuzzSA(f *testing.F) {
	ds := open(f, "reuse-full")
	for i, num := range ds.numbers {
		if o := ds.objects.get(num); o.isFile() && i%9 == 0 {
			f.Add(o.bonus, o.spilled())
		}
	}
	f.Fuzz(func(t *testing.T, bonus, spill []byte) {
		vals, err := ds.sa.parse(nil, bonus)
		if err == nil && len(spill) > 0 {
			vals, err = ds.sa.parse(vals, spill)
		}
		if err != nil {
			return
		}
		table := newLayoutTable(&ds.sa)
		b, s, err := ds.sa.build(vals, table.number)
		if err != nil || table.err != nil {
			return // more than fits
		}
		if len(b) > bonusRoom || len(s) > maxSpill {
			t.Fatalf("bonus of %d bytes, spill of %d", len(b), len(s))
		}
		sa := ds.sa
		sa.layouts = make(map[uint16][]uint16)
		for i, e := range table.all {
			sa.layouts[uint16(i+firstLayout)] = e.words
		}
		got, err := sa.parse(nil, b)
		if err == nil && s != nil {
			got, err = sa.parse(got, s)
		}
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(vals, got, cmp.AllowUnexported(value{}), cmp.Comparer(bytes.Equal)); d != "" {
			t.Error(d)
		}
	})
}

func FuzzNvlist(f *testing.F) {
	ds := open(f, "large-dnode")
	for _, num := range ds.numbers {
		if o := ds.objects.get(num); o.isFile() {
			if in, err := ds.stat(o); err == nil && in.holds(attrDXattr) {
				f.Add(in.dxattr)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) { parseNvlist(b, make(map[string][]byte)) })
}

func FuzzLZ4(f *testing.F) {
	f.Add([]byte{0, 0, 0, 6, 0x10, 'a', 1, 0, 0x10, 'b'})
	f.Fuzz(func(t *testing.T, b []byte) { decompress(make([]byte, 4096), b, compressLZ4) })
}

// An altered stream is refused, or read and written without harm.
func FuzzDataset(f *testing.F) {
	for _, name := range []string{"tiny-full", "tiny-modern", "large-dnode", "e"} {
		b, err := unpack(name + ".zfs")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(descendingStream(f, 30))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<17 {
			return
		}
		b = reseal(b)
		ctx := context.Background()
		ds, err := Read(ctx, []Layer{{R: bytes.NewReader(b), Size: int64(len(b)), Name: "fuzz"}}, ReadOptions{})
		if err != nil {
			return
		}
		// Sizes are free to be huge where blocks are holes.
		if _, err := ds.Check(ctx, CheckOptions{}); err != nil {
			t.Error(err)
		}
		tree, err := ds.Tree(testTime)
		if err != nil {
			return
		}
		small := true
		tree.Walk(func(_ string, n *fstree.Node) error {
			small = small && n.Size() < 1<<20
			ds.Xattrs(n.Base)
			return nil
		})
		if !small {
			return
		}
		if _, err := ds.Listing(ctx, ListOptions{}); err != nil {
			return
		}
		if err := tree.WriteFile("new", []byte("x"), 0o644); err != nil {
			return
		}
		var out bytes.Buffer
		if _, err := WriteIncrement(ctx, &out, ds, tree, Options{ToGUID: ds.GUID() ^ 1 | 2, ToName: "a@b", Now: testTime}); err != nil {
			return
		}
		if ds.GUID() == 0 {
			return
		}
		ds2, err := Read(ctx, append(ds.layers, Layer{R: bytes.NewReader(out.Bytes()), Size: int64(out.Len()), Name: "again"}), ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := Listing(ctx, tree, ListOptions{Base: ds})
		if err != nil {
			t.Fatal(err)
		}
		got, err := ds2.Listing(ctx, ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%.2000s", d)
		}
	})
}
