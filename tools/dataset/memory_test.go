package dataset

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// patternContent is size bytes that are nowhere.
type patternContent struct{ size int64 }

func (c patternContent) Size() int64 { return c.size }

func (c patternContent) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = byte((off + int64(i)) >> 9)
	}
	binary.LittleEndian.PutUint64(p[:8], uint64(off))
	return len(p), nil
}

// TestMemory: memory grows with the number of files, not with their content.
// With ENGBLD_MEMORY=1 it takes a base of 300,000 files and one with a file of 4
// GiB, without it smaller ones.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	files, large := 20_000, int64(64<<20)
	if os.Getenv("ENGBLD_MEMORY") != "" {
		files, large = 300_000, 4<<30
	}
	for _, tt := range []struct {
		name  string
		make  func(*fstree.Tree)
		bound uint64 // bytes of memory in use while writing the increment
	}{
		{"many files", func(tree *fstree.Tree) {
			for i := range files {
				dir := fmt.Sprintf("d%d", i/500)
				if i%500 == 0 {
					must(t, tree.MkdirAll(dir, 0o755))
				}
				must(t, tree.Put(fmt.Sprintf("%s/file-%d", dir, i), &fstree.Node{Mode: fstree.TypeRegular | 0o644, Content: patternContent{100}}))
			}
		}, 16<<20 + uint64(files)*1500},
		{"large file", func(tree *fstree.Tree) {
			must(t, tree.Put("large", &fstree.Node{Mode: fstree.TypeRegular | 0o644, Content: patternContent{large}}))
		}, 16 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := context.Background()
			opts := Options{ToGUID: 1, ToName: "a@b", Now: testTime}
			before := inUse()
			f, err := os.Create(filepath.Join(t.TempDir(), "full.zfs"))
			must(t, err)
			defer f.Close()
			tree := fstree.New(testTime)
			tt.make(tree)
			start := time.Now()
			full, err := WriteFull(ctx, f, tree, opts)
			must(t, err)
			tree = nil
			wrote := time.Since(start)
			start = time.Now()
			base, err := Read(ctx, []Layer{{R: f, Size: full.Bytes, Name: "full"}}, ReadOptions{})
			must(t, err)
			read := time.Since(start)
			afterRead := inUse() - before
			tree, err = base.Tree(testTime)
			must(t, err)
			afterTree := inUse() - before
			must(t, tree.WriteFile("new", []byte("x"), 0o644))
			opts.ToGUID = 2
			peak := before
			start = time.Now()
			incr, err := WriteIncrement(ctx, bufio.NewWriter(watch{&peak}), base, tree, opts)
			must(t, err)
			t.Logf("%d bytes written in %v, read in %v; in use after reading %d MB, with its tree %d MB, at most %d MB while writing %d records in %v",
				full.Bytes, wrote.Round(time.Millisecond), read.Round(time.Millisecond), afterRead>>20, afterTree>>20, (peak-before)>>20, incr.Records, time.Since(start).Round(time.Millisecond))
			if peak-before > tt.bound {
				t.Errorf("%d bytes in use, more than %d", peak-before, tt.bound)
			}
			runtime.KeepAlive(base)
		})
	}
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// watch notes the memory in use at each write: the plan is complete then.
type watch struct{ peak *uint64 }

func (w watch) Write(b []byte) (int, error) {
	*w.peak = max(*w.peak, inUse())
	return len(b), nil
}
