package dataset

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/zstream"
)

// Changes in any order leave what one after the other in a map would.
func TestEdits(t *testing.T) {
	t.Parallel()
	const blocks = 2000
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		o := &object{num: 7, blksz: 512}
		want := map[uint64]int64{}
		off := int64(0)
		for layer := range uint16(4) {
			a := applier{ds: &Dataset{}, layer: layer}
			next, down := uint64(0), uint64(blocks)
			for range r.IntN(3000) {
				block := uint64(r.IntN(blocks))
				switch seed % 4 {
				case 1:
					block = next
				case 2:
					block = down - 1
				}
				if block >= blocks {
					break
				}
				length := uint64(1 + r.IntN(4))
				if seed%4 == 3 && r.IntN(100) == 0 {
					length = blocks
				}
				next, down = block+uint64(r.IntN(3)), max(block, 1)
				off += 824 + int64(r.IntN(2))*312
				if r.IntN(3) == 0 {
					must(t, a.punch(o, block, block+length))
					for b := block; b < block+length; b++ {
						delete(want, b)
					}
				} else {
					must(t, a.put(o, run{first: block, n: 1, off: off, size: 512, layer: layer, comp: uint8(r.IntN(2) * r.IntN(2) * compressLZ4)}))
					want[block] = off
				}
				if _, data := want[block]; a.hasData(o, block) != data {
					t.Fatalf("seed %d: block %d has data: %v", seed, block, !data)
				}
			}
			a.settle()
			got := map[uint64]int64{}
			for i := range o.runs {
				run := &o.runs[i]
				if i > 0 && run.first < o.runs[i-1].end() || run.n == 0 || run.comp != 0 && run.n != 1 {
					t.Fatalf("seed %d: %+v behind %+v", seed, run, o.runs[max(i, 1)-1])
				}
				for b := run.first; b < run.end(); b++ {
					got[b] = run.at(b)
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("seed %d: %.1000s", seed, d)
			}
		}
	}
}

// What costs a step for each run at each change would take minutes here.
func TestManyEdits(t *testing.T) {
	t.Parallel()
	const n = 400_000
	put := func(t *testing.T, a *applier, o *object, block int) {
		must(t, a.put(o, run{first: uint64(block), n: 1, off: int64(block) * 320, size: 20, comp: compressLZ4}))
	}
	ascending := func(t *testing.T, a *applier, o *object) {
		for i := range n {
			put(t, a, o, 2*i)
		}
	}
	for _, tt := range []struct {
		name string
		do   func(*testing.T, *applier, *object)
		want int // runs
	}{
		{"descending", func(t *testing.T, a *applier, o *object) {
			for i := range n {
				put(t, a, o, n-i)
			}
		}, n},
		{"rewritten", func(t *testing.T, a *applier, o *object) {
			ascending(t, a, o)
			ascending(t, a, o)
		}, n},
		{"from both ends", func(t *testing.T, a *applier, o *object) {
			for i := range n / 2 {
				put(t, a, o, i)
				put(t, a, o, n-i)
			}
		}, n},
		{"holes", func(t *testing.T, a *applier, o *object) {
			ascending(t, a, o)
			for i := range n / 2 {
				must(t, a.punch(o, uint64(4*i), uint64(4*i)+1))
			}
		}, n / 2},
		{"shorter and shorter", func(t *testing.T, a *applier, o *object) {
			ascending(t, a, o)
			o.runs = append(o.runs, run{first: 2 * n, n: n, size: 1000})
			for i := range n {
				must(t, a.punch(o, uint64(3*n-1-i), math.MaxUint64))
			}
		}, n},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := &object{num: 1, blksz: 512}
			a := &applier{ds: &Dataset{}}
			tt.do(t, a, o)
			a.settle()
			if len(o.runs) != tt.want {
				t.Errorf("%d runs instead of %d", len(o.runs), tt.want)
			}
		})
	}
}

// Objects are freed at the price of those that are there.
func TestManyFreeObjects(t *testing.T) {
	t.Parallel()
	const n = 200_000
	var have table[int]
	v := 1
	for i := range uint64(n) {
		have.set(i*50, &v)
	}
	for range n {
		have.removeRange(n*50, 1<<48)
		have.removeRange(25, 25+n)
	}
	if want := n - n/50; have.len() != want {
		t.Errorf("%d are left instead of %d", have.len(), want)
	}
}

func TestRemoveRange(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	v := 1
	for range 300 {
		var have table[int]
		want := map[uint64]*int{}
		shift := r.IntN(60)
		random := func() uint64 { return r.Uint64N(400) << shift }
		for range r.IntN(60) {
			num := random()
			have.set(num, &v)
			want[num] = &v
		}
		for range 5 {
			first, end := random(), random()
			if r.IntN(5) == 0 {
				end = math.MaxUint64
			}
			have.removeRange(first, end)
			maps.DeleteFunc(want, func(num uint64, _ *int) bool { return num >= first && num < end })
			if d := cmp.Diff(want, maps.Collect(have.all())); d != "" || have.len() != len(want) {
				t.Fatalf("%d to %d: %s", first, end, d)
			}
		}
		have.removeRange(0, math.MaxUint64)
		if have.remove(math.MaxUint64); len(have.pages)+len(have.above) != 0 {
			t.Fatal("empty pages are kept")
		}
	}
}

// stream makes one of the records with right checksums.
func stream(t testing.TB, features zstream.Feature, recs ...[]byte) []byte {
	t.Helper()
	b, err := unpack("rs4k.zfs")
	if err != nil {
		t.Fatal(err)
	}
	all := records(t, b)
	begin := slices.Clone(all[0])
	le.PutUint64(begin[16:], 1|uint64(features)<<2)
	return reseal(slices.Concat(begin, slices.Concat(recs...), all[len(all)-1]))
}

func record(kind zstream.Kind, payload []byte, fields map[int]uint64) []byte {
	b := make([]byte, zstream.RecordSize)
	for at, v := range fields {
		le.PutUint64(b[at:], v)
	}
	le.PutUint32(b, uint32(kind))
	return append(b, payload...)
}

func plainFile(num, blksz uint64) []byte {
	return record(zstream.KindObject, nil, map[int]uint64{8: num, 16: zstream.TypePlainFile | zstream.TypeSA<<32, 24: blksz})
}

// descendingStream has embedded data from the end of a file to its beginning,
// and many FREE and FREEOBJECTS of wide ranges.
func descendingStream(t testing.TB, n int) []byte {
	recs := [][]byte{plainFile(3, 512)}
	for i := range n {
		recs = append(recs,
			record(zstream.KindWriteEmbedded, make([]byte, 24), map[int]uint64{8: 3, 16: uint64(n-i) * 1024, 24: 512, 40: 15, 48: 512 | 20<<32}),
			record(zstream.KindFree, nil, map[int]uint64{8: 3, 16: uint64(n-i)*1024 + 512, 24: 512}),
			record(zstream.KindFreeObjects, nil, map[int]uint64{8: 4, 16: 1 << 40}))
	}
	return stream(t, zstream.FeatureSASpill|zstream.FeatureEmbedData|zstream.FeatureLZ4, recs...)
}

func TestDescendingStream(t *testing.T) {
	t.Parallel()
	x, err := Scan(context.Background(), bytes.NewReader(descendingStream(t, 10_000)))
	if err != nil {
		t.Fatal(err)
	}
	if o := x.ds.objects.get(3); len(o.runs) != 10_000 {
		t.Errorf("%d runs", len(o.runs))
	}
}

// What a stream wants to have kept is bounded.
func TestKeptIsBounded(t *testing.T) {
	t.Parallel()
	obj := zstream.Object{Number: 3, Type: zstream.TypePlainFile, BonusType: zstream.TypeSA, BlockSize: 512, BonusLen: 192}
	bonus := make([]byte, 192)
	fresh := func() applier { return applier{ds: &Dataset{}} }
	want := fmt.Sprintf("more than %d bytes of memory", int64(maxKept))

	// A million files with ACLs fit.
	a := fresh()
	must(t, a.object(obj, bonus))
	must(t, a.keep(1<<10))
	must(t, a.put(a.ds.objects.get(3), run{n: 1, size: 512}))
	if a.kept > maxKept/1_000_000 {
		t.Errorf("%d bytes for one file", a.kept)
	}
	if a.kept != a.ds.memory()+1<<10 {
		t.Errorf("%d bytes, counted anew %d", a.kept, a.ds.memory())
	}

	for name, do := range map[string]func(a *applier) error{
		"object": func(a *applier) error { return a.object(obj, bonus) },
		"data":   func(a *applier) error { return a.put(&object{blksz: 512}, run{n: 1, size: 512}) },
		"hole in the midst": func(a *applier) error {
			return a.punch(&object{blksz: 512, runs: []run{{n: 10, size: 512}}}, 3, 4)
		},
	} {
		a := fresh()
		a.kept = maxKept - 10
		if err := do(&a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a = fresh()
	a.ds.objects.n = maxObjects
	if err := a.object(obj, bonus); err == nil || !strings.Contains(err.Error(), "more than 8388608 objects") {
		t.Error(err)
	}

	// In a stream: a spill block that is replaced all the time.
	spill := record(zstream.KindSpill, make([]byte, 64<<10), map[int]uint64{8: 3, 16: 64 << 10})
	recs := [][]byte{plainFile(3, 512), spill, spill, spill}
	b := stream(t, zstream.FeatureSASpill, recs...)
	x, err := Scan(context.Background(), bytes.NewReader(b))
	must(t, err)
	if got := len(x.ds.objects.get(3).spilled()); got != 64<<10 {
		t.Errorf("%d bytes", got)
	}
}
