package main

import (
	"context"
	"crypto/sha256"
	"io"
	"os"

	"github.com/TritonDataCenter/engbld/tools/build"
	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/imgstore"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/install"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
)

// measuredFunc is the measured part of a piece of work.
type measuredFunc = func(ctx context.Context) (size, amount int64, err error)

var stamp = fstree.Time{Sec: stampTime}

// writeInput: the increment that adds Content to a zone without files.
type writeInput struct {
	Base    string // its stream
	Content bulk
	Out     string
	Gzip    bool
}

func writeWork(ctx context.Context, in writeInput) (measuredFunc, error) {
	f, err := os.Open(in.Base)
	if err != nil {
		return nil, err
	}
	b, err := dataset.Read(ctx, []dataset.Layer{{R: f, Size: fileSize(in.Base), Name: "base"}}, dataset.ReadOptions{})
	if err != nil {
		return nil, err
	}
	t, err := b.Tree(stamp)
	if err != nil {
		return nil, err
	}
	content, err := os.Open(in.Content.Path)
	if err != nil {
		return nil, err
	}
	if err := in.Content.tree(t, "root/usr/lib", content); err != nil {
		return nil, err
	}
	out, err := os.Create(in.Out)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int64, int64, error) {
		write := func(w io.Writer) (dataset.Stats, error) {
			return dataset.WriteIncrement(ctx, w, b, t, dataset.Options{ToGUID: 77, ToName: "zones/bench@final", CreationTime: stampTime, Now: stamp})
		}
		if in.Gzip {
			w, stats, err := build.WriteStream(out, write)
			return w.Size, stats.Bytes, err
		}
		stats, err := write(out)
		if e := out.Close(); err == nil {
			err = e
		}
		return fileSize(in.Out), stats.Bytes, err
	}, nil
}

// baseInput: a base image from a directory of images, read and indexed.
type baseInput struct {
	Source, UUID, Cache string
}

func baseWork(ctx context.Context, in baseInput) (measuredFunc, error) {
	src, err := imgstore.NewDir(in.Source)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int64, int64, error) {
		store, err := imgstore.Open(imgstore.Options{CacheDir: in.Cache, Sources: []imgstore.Source{src}})
		if err != nil {
			return 0, 0, err
		}
		chain, err := store.Chain(ctx, in.UUID)
		if err != nil {
			return 0, 0, err
		}
		var layers []dataset.Layer
		for _, img := range chain {
			f, err := img.Open()
			if err != nil {
				return 0, 0, err
			}
			layers = append(layers, img.Layer(f))
		}
		ds, err := dataset.Read(ctx, layers, dataset.ReadOptions{})
		if err != nil {
			return 0, 0, err
		}
		_ = ds
		return layers[0].Size, layers[0].Size, nil
	}, nil
}

// installInput: signed packages into a tree.
type installInput struct {
	Packages packages
}

func installWork(ctx context.Context, in installInput) (measuredFunc, error) {
	keyring, err := in.Packages.keyring()
	if err != nil {
		return nil, err
	}
	t, err := zone(keyring, in.Packages.signed())
	if err != nil {
		return nil, err
	}
	root, err := t.Sub("root")
	if err != nil {
		return nil, err
	}
	set, err := repository.OpenSet([]string{in.Packages.signed()}, repository.Options{})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int64, int64, error) {
		spool, err := fstree.NewSpool("")
		if err != nil {
			return 0, 0, err
		}
		defer spool.Close()
		i, err := install.New(ctx, install.Options{Root: root, Repos: set, Spool: spool})
		if err != nil {
			return 0, 0, err
		}
		if err := i.Add(ctx, in.Packages.names()); err != nil {
			return 0, 0, err
		}
		return 0, int64(len(i.Changes())), i.Finish(ctx)
	}, nil
}

// computeWork keeps one core busy for some tenths of a second.
func computeWork(context.Context, struct{}) (measuredFunc, error) {
	return func(context.Context) (int64, int64, error) {
		var block [1 << 16]byte
		const rounds = 5000
		for range rounds {
			sum := sha256.Sum256(block[:])
			copy(block[:], sum[:])
		}
		return 0, rounds, nil
	}, nil
}
