package dataset

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/zstream"
)

// Dataset is a ZPL file system at one snapshot, read from streams. It does not
// change and may be read concurrently.
type Dataset struct {
	layers  []Layer
	begin   zstream.Begin // of the last layer
	objects table[object]
	numbers []uint64 // of objects, ascending

	master  map[string]uint64 // the master node's integers
	root    uint64
	queue   uint64 // delete queue
	saAttrs uint64
	regObj  uint64
	layObj  uint64
	sa      saTables

	unpacked atomic.Pointer[unpacked] // the compressed block last read
}

// GUID is the guid of the last layer's snapshot, which increments name as their
// origin.
func (ds *Dataset) GUID() uint64 { return ds.begin.ToGUID }

// Name is the last layer's "pool/fs@snapshot".
func (ds *Dataset) Name() string { return ds.begin.ToName }

// CreationTime is the last layer's, in seconds.
func (ds *Dataset) CreationTime() int64 { return ds.begin.CreationTime }

// Read reads a full stream and the increments that follow, in order. Every
// checksum is verified, unless the layers have a digest and an index that was
// made when they were; where they have a digest and no index it is made. A layer that is altered, cut short or does not belong on
// the one before it gives an error of kind fault.Step.
func Read(ctx context.Context, layers []Layer, opts ReadOptions) (*Dataset, error) {
	if len(layers) == 0 {
		return nil, errors.New("no stream to read")
	}
	if len(layers) > maxLayers {
		return nil, fmt.Errorf("%d streams to read, more than %d", len(layers), maxLayers)
	}
	ds := &Dataset{layers: slices.Clone(layers)}
	if err := ds.readLayers(ctx, opts); err != nil {
		return nil, err
	}
	if err := ds.readSystem(); err != nil {
		return nil, fault.Step.Wrap(fmt.Errorf("reading stream %s: %w", layers[len(layers)-1].Name, err))
	}
	return ds, nil
}

const objectsAtOnce = 113 // of 72 bytes: 8 KiB, and no byte between them

const (
	maxLayers  = 1 << 16 // of a chain; images have a handful
	maxObjects = 8 << 20 // of a file system; a file with hidden attributes has three or more

	// maxKept bounds the memory that what is kept of a file system takes, in
	// bytes: a million files with ACLs in spill blocks of 1 KiB have 1.3 GiB, as
	// many without them 0.3 GiB.
	maxKept      = 2 << 30
	objectMemory = 88 // and its buffers
	runMemory    = 40
)

// slab hands out small buffers from larger ones.
type slab []byte

func (s *slab) copy(b []byte) []byte {
	if len(b) > len(*s) {
		if len(b) > 4096 {
			return slices.Clone(b)
		}
		*s = make([]byte, 1<<16)
	}
	out := (*s)[:len(b):len(b)]
	*s = (*s)[len(b):]
	copy(out, b)
	return out
}

// apply does what a stream says, and returns its length.
func (ds *Dataset) apply(ctx context.Context, index int, in *bufio.Reader, opts ReadOptions) (int64, error) {
	layer := ds.layers[index]
	r, err := zstream.NewReader(in)
	if err != nil {
		return 0, err
	}
	b := r.Begin()
	switch {
	case b.ObjsetType == zstream.ObjsetVolume:
		return 0, fault.WithHint(errors.New("it holds a volume, not a file system"), "use the image of a zone")
	case b.ObjsetType != zstream.ObjsetZFS:
		return 0, fmt.Errorf("it holds an object set of type %d, not a file system", b.ObjsetType)
	case index == 0 && b.FromGUID != 0:
		return 0, fault.WithHint(fmt.Errorf("it is an increment on snapshot %#x, which is not given", b.FromGUID),
			"give the image's origin first, and its origin before that")
	case index > 0 && b.FromGUID == 0:
		return 0, fmt.Errorf("it is a full stream, not an increment on %s", ds.layers[index-1].Name)
	case index > 0 && b.FromGUID != ds.begin.ToGUID:
		return 0, fmt.Errorf("it is an increment on snapshot %#x, and %s holds %#x", b.FromGUID, ds.layers[index-1].Name, ds.begin.ToGUID)
	}
	ds.begin = b
	a := applier{ds: ds, layer: uint16(index), spillFlag: b.Flags&zstream.FlagSpillBlock != 0, kept: ds.memory()}
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = a.record(rec, r)
		}
		if err != nil {
			return 0, err
		}
	}
	a.settle()
	if r.Unsummed() && opts.Warn != nil {
		opts.Warn.Warnf("stream %s has records without a checksum; only its whole was verified", layer.Name)
	}
	if _, err := in.ReadByte(); err == nil && opts.Warn != nil {
		opts.Warn.Warnf("stream %s: %d bytes behind its end are not looked at", layer.Name, layer.Size-r.Offset())
	}
	return r.Offset(), nil
}

// applier does what a receiver does with each record (section 6).
type applier struct {
	ds        *Dataset
	layer     uint16
	spillFlag bool
	slab      slab
	made      []object // not used yet
	edits     map[*object]*edits
	kept      int64 // bytes, see maxKept; what was replaced meanwhile counts, too

	// Where the last WRITE ended: no sender steps back (section 5).
	lastObject, lastEnd uint64
}

func (a *applier) ascending(num, offset, length uint64) error {
	if num < a.lastObject || num == a.lastObject && offset < a.lastEnd {
		return fmt.Errorf("object %d: data at %d comes after object %d, %d", num, offset, a.lastObject, a.lastEnd)
	}
	a.lastObject, a.lastEnd = num, offset+length
	return nil
}

// keep counts memory for what is read.
func (a *applier) keep(bytes int) error {
	if a.kept += int64(bytes); a.kept > maxKept {
		return fmt.Errorf("the stream's objects, data and attributes need more than %d bytes of memory", int64(maxKept))
	}
	return nil
}

// memory is what is kept of all objects, as keep counts it.
func (ds *Dataset) memory() int64 {
	sum := int64(0)
	for _, o := range ds.objects.all() {
		sum += objectMemory + int64(len(o.runs)*runMemory+len(o.bonus)+len(o.spilled()))
	}
	return sum
}

func (a *applier) record(rec zstream.Record, r *zstream.Reader) error {
	ds := a.ds
	switch rec := rec.(type) {
	case zstream.Object:
		return a.object(rec, r.Payload())
	case zstream.FreeObjects:
		ds.objects.removeRange(rec.First, rec.First+rec.Count)
	case zstream.Write:
		o, err := ds.written(rec.Number, rec.Offset, rec.Length)
		if err == nil {
			err = a.ascending(rec.Number, rec.Offset, rec.Length)
		}
		if err != nil {
			return err
		}
		nw := run{first: rec.Offset / rec.Length, n: 1, off: r.PayloadOffset(), size: uint32(rec.Length), layer: a.layer, comp: rec.Compression}
		if rec.Compression == compressOff {
			nw.comp = 0
		}
		if nw.comp != 0 {
			if nw.comp != compressLZ4 {
				return fmt.Errorf("object %d: %w", rec.Number, unsupportedCompression(nw.comp))
			}
			nw.size = uint32(len(r.Payload()))
		}
		return a.put(o, nw)
	case zstream.Embedded:
		o, err := ds.written(rec.Number, rec.Offset, uint64(rec.LSize))
		if err != nil {
			return err
		}
		if rec.Compression != compressLZ4 {
			return fmt.Errorf("object %d: %w", rec.Number, unsupportedCompression(rec.Compression))
		}
		return a.put(o, run{first: rec.Offset / uint64(rec.LSize), n: 1, off: r.PayloadOffset(), size: rec.PSize,
			layer: a.layer, comp: rec.Compression})
	case zstream.Free:
		return a.freeRange(rec)
	case zstream.Spill:
		o := ds.objects.get(rec.Number)
		if o == nil {
			return fmt.Errorf("spill block for object %d, which does not exist", rec.Number)
		}
		block := a.slab.copy(r.Payload())
		o.spill = &block
		return a.keep(len(block))
	}
	return nil
}

func (a *applier) object(rec zstream.Object, bonus []byte) error {
	ds := a.ds
	o := ds.objects.get(rec.Number)
	if o == nil {
		if ds.objects.len() == maxObjects {
			return fmt.Errorf("the stream has more than %d objects", maxObjects)
		}
		if len(a.made) == 0 {
			a.made = make([]object, objectsAtOnce)
		}
		o, a.made = &a.made[0], a.made[1:]
		o.num = rec.Number
		ds.objects.set(rec.Number, o)
	} else {
		if o.blksz != rec.BlockSize || o.typ != uint8(rec.Type) {
			o.runs = nil
			delete(a.edits, o)
		}
		same := o.blksz == rec.BlockSize && o.typ == uint8(rec.Type) && o.bonusType == uint8(rec.BonusType) &&
			len(o.bonus) == int(rec.BonusLen)
		if a.spillFlag && rec.Flags&zstream.FlagHasSpill == 0 || !a.spillFlag && !same {
			o.spill = nil
		}
	}
	o.typ, o.bonusType, o.blksz, o.slots = uint8(rec.Type), uint8(rec.BonusType), rec.BlockSize, max(rec.Slots, 1)
	o.bonus = a.slab.copy(bonus[:rec.BonusLen])
	return a.keep(objectMemory + len(o.bonus))
}

// written checks that a write is one block of an existing object.
func (ds *Dataset) written(num, offset, length uint64) (*object, error) {
	o := ds.objects.get(num)
	switch {
	case o == nil:
		return nil, fmt.Errorf("data for object %d, which does not exist", num)
	case length != uint64(o.blksz) || offset%length != 0:
		return nil, fmt.Errorf("object %d: %d bytes of data at %d, block size %d", num, length, offset, o.blksz)
	}
	return o, nil
}

func (a *applier) freeRange(rec zstream.Free) error {
	o := a.ds.objects.get(rec.Number)
	if o == nil {
		return fmt.Errorf("hole in object %d, which does not exist", rec.Number)
	}
	bs := uint64(o.blksz)
	first, end := rec.Offset/bs, (rec.Offset+rec.Length)/bs
	if rec.Offset+rec.Length == ^uint64(0) {
		end = ^uint64(0)
	}
	if rec.Offset%bs != 0 {
		// A part of a block would have to be cleared: no sender does that.
		if a.hasData(o, first) {
			return fmt.Errorf("object %d: hole at %d, block size %d", rec.Number, rec.Offset, bs)
		}
		first++
	}
	if first < end {
		return a.punch(o, first, end)
	}
	return nil
}
