package dataset

import (
	"errors"
	"fmt"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/zstream"
)

var errNormalized = fault.WithHint(errors.New("names are normalised or case-insensitive, which is not supported"),
	"use a file system made with normalization=none and casesensitivity=sensitive")

const masterNode = 1 // object number (spec zfs-stream.md section 8)

// readSystem reads master node, registry and layouts, and refuses what cannot be
// handled faithfully.
func (ds *Dataset) readSystem() error {
	z, err := ds.readZap(masterNode)
	if err != nil {
		return fmt.Errorf("reading the master node: %w", err)
	}
	ds.master = z.ints()
	switch v := ds.master["VERSION"]; {
	case v == 0:
		return errors.New("the master node has no VERSION")
	case v != 5:
		return fault.WithHint(fmt.Errorf("the file system has ZPL version %d, only 5 is supported", v), "zfs upgrade it, and send it again")
	case ds.master["normalization"] != 0 || ds.master["casesensitivity"] != 0:
		return errNormalized
	}
	for name, to := range map[string]*uint64{"ROOT": &ds.root, "DELETE_QUEUE": &ds.queue, "SA_ATTRS": &ds.saAttrs} {
		*to = ds.master[name]
		if ds.objects.get(*to) == nil {
			return fmt.Errorf("the master node's %s is object %d, which does not exist", name, *to)
		}
	}
	if z, err = ds.readZap(ds.saAttrs); err != nil {
		return fmt.Errorf("reading SA_ATTRS: %w", err)
	}
	sa := z.ints()
	ds.regObj, ds.layObj = sa["REGISTRY"], sa["LAYOUTS"]
	reg, err := ds.readZap(ds.regObj)
	if err != nil {
		return fmt.Errorf("reading the attribute registry: %w", err)
	}
	lay, err := ds.readZap(ds.layObj)
	if err != nil {
		return fmt.Errorf("reading the attribute layouts: %w", err)
	}
	ds.sa, err = newSATables(reg.ints(), lay.entries)
	return err
}

// isFile tells whether an object is a file, directory or the like: something
// with attributes.
func (o *object) isFile() bool {
	return o.bonusType == zstream.TypeSA && (o.typ == zstream.TypePlainFile || o.typ == zstream.TypeDirectory)
}
