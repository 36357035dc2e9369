package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/TritonDataCenter/engbld/tools/build"
	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// growthInput: a base of so many files and bytes is read, every tenth file is
// replaced, and the increment is written, compressed, to nowhere.
type growthInput struct {
	Dir   string
	Files int
	Bytes int64
	Every int // of so many files, one is changed
}

func (g growthInput) stream() string {
	return fmt.Sprintf("%s/growth-%d-%d.zfs", g.Dir, g.Files, g.Bytes)
}

// pattern is content made on the fly: no disk is measured by accident.
type pattern struct {
	seed int64
	size int64
}

func (p pattern) Size() int64 { return p.size }

func (p pattern) ReadAt(b []byte, off int64) (int, error) {
	for i := range b {
		if off+int64(i) >= p.size {
			return i, io.EOF
		}
		x := uint64(off+int64(i)) + uint64(p.seed)<<20
		b[i] = byte(x>>3) ^ byte(x>>9)*31 ^ byte(x>>17)*7
	}
	return len(b), nil
}

func (g growthInput) make(ctx context.Context) error {
	return made(g.stream(), func(tmp string) error {
		t, err := zone(nil, "")
		if err != nil {
			return err
		}
		dir := ""
		for i := range g.Files {
			if i%500 == 0 {
				dir = fmt.Sprintf("root/usr/lib/dir%05d", i/500)
				if err := t.MkdirAll(dir, 0o755); err != nil {
					return err
				}
			}
			n := &fstree.Node{Mode: fstree.TypeRegular | 0o644, MTime: stamp, Content: pattern{int64(i), g.Bytes / int64(g.Files)}}
			if err := t.Put(fmt.Sprintf("%s/file%d", dir, i), n); err != nil {
				return err
			}
		}
		return writeFile(tmp, func(w io.Writer) error {
			_, err := dataset.WriteFull(ctx, w, t, dataset.Options{ToGUID: 9, ToName: "zones/bench@final", CreationTime: stampTime, Now: stamp})
			return err
		})
	})
}

func growthWork(ctx context.Context, in growthInput) (measuredFunc, error) {
	debug.SetMemoryLimit(720 << 20) // as the program's main has it
	f, err := os.Open(in.stream())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int64, int64, error) {
		ds, err := dataset.Read(ctx, []dataset.Layer{{R: f, Size: fileSize(in.stream()), Name: "base"}}, dataset.ReadOptions{})
		if err != nil {
			return 0, 0, err
		}
		t, err := ds.Tree(fstree.Time{Sec: stampTime + 1})
		if err != nil {
			return 0, 0, err
		}
		for i := 0; i < in.Files; i += in.Every {
			n, err := t.Lstat(fmt.Sprintf("root/usr/lib/dir%05d/file%d", i/500, i))
			if err != nil {
				return 0, 0, err
			}
			n.Content = pattern{int64(i + 1), n.Size()}
		}
		out, err := os.CreateTemp("", "growth-*") // in memory, but not this process's
		if err != nil {
			return 0, 0, err
		}
		defer os.Remove(out.Name())
		defer out.Close()
		_, stats, err := build.WriteStream(out, func(w io.Writer) (dataset.Stats, error) {
			return dataset.WriteIncrement(ctx, w, ds, t, dataset.Options{ToGUID: 10, ToName: "zones/bench@next", CreationTime: stampTime, Now: stamp})
		})
		return stats.Bytes, int64(in.Files), err
	}, nil
}
