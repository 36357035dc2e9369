package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// chainOf returns fixtures as layers of a cache directory.
func chainOf(t *testing.T, dir string, names ...string) []Layer {
	t.Helper()
	var layers []Layer
	for _, name := range names {
		raw, err := os.ReadFile(filepath.Join("testdata", name+".zfs.gz"))
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, Layer{R: bytes.NewReader(b), Size: int64(len(b)), Name: name, Digest: name,
			Index: filepath.Join(dir, name+".index")})
	}
	return layers
}

// broken cannot be read: whatever needs the stream fails.
type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

func TestIndex(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	layers := chainOf(t, dir, "minimal-base", "minimal-incr")
	plain := chainOf(t, dir, "minimal-base", "minimal-incr")
	for i := range plain {
		plain[i].Digest = ""
	}
	want, err := Read(t.Context(), plain, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("without a digest there is %v", left)
	}
	same := func(what string, got *Dataset) {
		t.Helper()
		if d := cmp.Diff(want.objects, got.objects, cmp.AllowUnexported(table[object]{}, object{}),
			cmp.Comparer(bytes.Equal), cmp.Comparer(slices.Equal[[]run])); d != "" {
			t.Errorf("%s: objects differ:\n%.2000s", what, d)
		}
		if d := cmp.Diff(want.numbers, got.numbers); d != "" || want.begin != got.begin {
			t.Errorf("%s: numbers or begin differ: %+v", what, got.begin)
		}
	}
	// The first stream passes by, the second one is read.
	x, err := Scan(t.Context(), io.NewSectionReader(layers[0].R, 0, layers[0].Size))
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Save(layers[0]); err != nil {
		t.Fatal(err)
	}
	got, err := Read(t.Context(), layers, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	same("half an index", got)
	got, err = Read(t.Context(), layers, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	same("an index", got)
	ds := &Dataset{}
	for i := range layers {
		layers[i].R = broken{}
	}
	if n := ds.load(layers); n != 2 {
		t.Errorf("%d of 2 layers have an index", n)
	}

	// Whatever is wrong with the file, it is made anew.
	layers = chainOf(t, dir, "minimal-base", "minimal-incr")
	raw, err := os.ReadFile(layers[1].Index)
	if err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func([]byte) []byte{
		"empty":         func(b []byte) []byte { return nil },
		"cut short":     func(b []byte) []byte { return b[:len(b)-1] },
		"longer":        func(b []byte) []byte { return append(b, 0) },
		"flipped":       func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"other streams": func(b []byte) []byte { b[10] ^= 1; return b },
		"other version": func(b []byte) []byte { b[7]++; return b },
	} {
		if err := os.Remove(layers[1].Index); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(layers[1].Index, spoil(bytes.Clone(raw)), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := Read(t.Context(), layers, ReadOptions{})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		same(what, got)
		if again, _ := os.ReadFile(layers[1].Index); !bytes.Equal(again, raw) {
			t.Errorf("%s: the index was not made anew", what)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".engbld-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func FuzzIndex(f *testing.F) {
	ds := emptyDataset()
	var buf bytes.Buffer
	w := bufio.NewWriter(&buf)
	ds.encode(w)
	w.Flush()
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < indexBegin+indexCounts {
			return
		}
		ds := &Dataset{}
		if ds.decode(raw, 1) != nil {
			return
		}
		for _, num := range ds.numbers {
			ds.objects.get(num).find(0)
		}
	})
}
