package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// layer decompresses a fixture. The larger ones are shared by all tests.
func layer(t testing.TB, name string) Layer {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".zfs.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return Layer{R: bytes.NewReader(b), Size: int64(len(b)), Name: name}
}

func open(t testing.TB, names ...string) *Dataset {
	t.Helper()
	var layers []Layer
	for _, n := range names {
		layers = append(layers, layer(t, n))
	}
	ds, err := Read(context.Background(), layers, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func TestTmp(t *testing.T) {
	for _, n := range [][]string{{"tiny-full"}, {"c"}, {"e"}, {"Lec"}, {"large-dnode"}, {"zoo-full", "zoo-incr"}, {"reuse-full", "reuse-incr"}, {"minimal-base", "minimal-incr"}} {
		ds := open(t, n...)
		tr, err := ds.Tree(fstree.Time{})
		if err != nil {
			t.Error(n, err)
			continue
		}
		k := 0
		tr.Walk(func(string, *fstree.Node) error { k++; return nil })
		t.Log(n, len(ds.objects), k)
	}
}
