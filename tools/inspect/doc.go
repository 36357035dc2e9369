// Package inspect looks into images: it lists, prints, describes and extracts
// the files in a chain of ZFS streams, without ZFS and without root.
//
// Paths are those in the dataset, so a zone's system is below root/ (Chroot
// makes that the root). Extract writes below one directory and nowhere else,
// whatever the image holds.
package inspect

import (
	"context"
	"fmt"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// Warner takes what a user should know but what stops nothing.
type Warner interface {
	Warnf(format string, args ...any)
}

// Image is an opened chain of streams.
type Image struct {
	Dataset *dataset.Dataset
	Tree    *fstree.Tree
}

// Open reads a chain of decompressed streams, the full one first.
func Open(ctx context.Context, layers []dataset.Layer, o dataset.ReadOptions) (*Image, error) {
	ds, err := dataset.Read(ctx, layers, o)
	if err != nil {
		return nil, err
	}
	tree, err := ds.Tree(fstree.Time{})
	if err != nil {
		return nil, err
	}
	return &Image{ds, tree}, nil
}

// Chroot returns the part of the image below path; links are followed inside it.
func (im *Image) Chroot(path string) (*Image, error) {
	sub, err := im.Tree.Sub(path)
	if err != nil {
		return nil, fmt.Errorf("looking into the image: %w", err)
	}
	return &Image{im.Dataset, sub}, nil
}
